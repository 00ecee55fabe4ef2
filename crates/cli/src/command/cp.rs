//! `dybox cp`.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::{Buf, Bytes};
use dybox_client::untar::{Unpacked, unpack};
use dybox_engine::{Archive, Engine};
use dybox_model::{AttemptId, ExitCode, GrantId, StageId, TaskId, Want, format_bytes};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::exec::{open, running};
use super::look::{Looked, look};
use super::target::Target;
use super::tries::tries;
use super::{Context, Outcome};
use crate::live::shown;
use crate::report::{Failure, codes};

/// The end of an archive: two blocks of zeros.
const END: usize = 1024;
/// Pieces between who reads and who writes.
const WAITING: usize = 8;
const PIECE: usize = 64 << 10;
/// Proxies that are asked for a container that is kept.
const TRIED: usize = 4;

/// Copies a file or directory out of a task's container, while it runs or where it is kept
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DEST is a new name, or a directory that the copy comes into; - writes a tar archive to stdout. Nothing is written outside of DEST, whatever the container holds; links stay links.\nA container is there while its task runs, and after a failure where its stage has `keep_failed: true`. It copies out only; while the task runs, `dybox exec -i` takes in what the task's user may write.\n\nExamples:\n  dybox cp @latest/train/0:/tmp/model.bin .\n  dybox cp nightly/join/3:/var/log - | tar -t\n  dybox exec -i @latest/train/0 -- sh -c 'cat > /tmp/new.conf' < new.conf\n  tar -c data | dybox exec -i @latest/train/0 -- tar -x -C /tmp"
)]
pub(crate) struct Args {
    /// RUN/STAGE/N:PATH; the task's number may be left out where one task runs
    #[arg(value_name = "RUN/STAGE/N:PATH")]
    pub from: String,
    /// Where to; - for stdout
    #[arg(value_name = "DEST")]
    pub to: PathBuf,
}

/// A path in a task's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct From {
    target: Target,
    path: String,
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((target, path)) = text.split_once(':').filter(|(_, path)| !path.is_empty()) else {
            return Err("the path is missing: write RUN/STAGE/N:PATH".to_owned());
        };
        if !path.starts_with('/') {
            return Err(format!("{path:?} is no absolute path; one in the container starts with /"));
        }
        Ok(Self { target: target.parse()?, path: path.to_owned() })
    }
}

/// Where the bytes come from.
enum Source {
    Line(Box<dyn AsyncRead + Send + Unpin>),
    Engine(Box<Archive>),
}

/// Copies one path.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let from: From = args.from.parse().map_err(|why: String| not_from(args, &why))?;
    let looked = look(context, &from.target).await?;
    let path = &from.path;
    if let Some(failure) = in_tmpfs(&looked, path) {
        return Err(failure);
    }
    let to_stdout = args.to.as_os_str() == "-";
    let to = if to_stdout { None } else { Some(destination(&args.to, path)?) };
    let source = source(context, &looked, path).await?;
    let Some(to) = to else { return pass(source, path).await };
    let name = to.display().to_string();
    let done = take(source, to).await.map_err(|error| {
        Failure::coded(codes::NOT_COPIED, format!("{path} was not copied whole"))
            .place(name.clone())
            .source(error)
            .next("what is there already is incomplete; try again")
    })?;
    say(context, &done, (path, &name));
    Ok(ExitCode::Ok as u8)
}

/// What is wrong with the first word; who wants to copy into a container is told how.
fn not_from(args: &Args, why: &str) -> Failure {
    let failure = Failure::coded(codes::BAD_TARGET, format!("{:?} is no path in a container", args.from));
    let to = args.to.to_string_lossy();
    let Some((target, path)) = to.split_once(':').filter(|_| to.parse::<From>().is_ok()) else {
        return failure.why(why).next("write RUN/STAGE/N:PATH, like @latest/train/0:/tmp/model.bin");
    };
    let from = Path::new(&args.from);
    let feed = match from.is_dir() {
        true => format!("tar -c {} | dybox exec -i {target} -- tar -x -C {path}", args.from),
        false => {
            let name = from.file_name().filter(|_| path.ends_with('/')).unwrap_or_default().to_string_lossy();
            format!("dybox exec -i {target} -- sh -c 'cat > {path}{name}' < {}", args.from)
        }
    };
    Failure::coded(codes::BAD_TARGET, "dybox cp copies out of a container, not into one")
        .next(format!("while the task runs: {feed}"))
}

fn say(context: &Context, done: &Unpacked, (path, name): (&str, &str)) {
    let screen = &context.screen;
    match &done.link {
        Some(link) => {
            screen.warn(&format!("{} is a link to {}; copy that for what it leads to", shown(path), shown(link)))
        }
        None => {
            let word = if done.files == 1 { "file" } else { "files" };
            screen.hint(&format!("{name}: {} {word}, {}", done.files, format_bytes(done.bytes)));
        }
    }
    for other in &done.passed_over {
        screen.warn(&format!("{} is neither a file nor a directory: not copied", shown(other)));
    }
}

/// The name that the copy gets.
fn destination(to: &Path, path: &str) -> Result<PathBuf, Failure> {
    let name = Path::new(path).file_name().unwrap_or("root".as_ref());
    if to.is_dir() {
        return Ok(to.join(name));
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.is_dir() {
        return Ok(to.to_owned());
    }
    Err(Failure::new(ExitCode::Usage, format!("{} is no directory", parent.display()))
        .next(format!("make it first: mkdir -p {}", parent.display())))
}

/// Through the task's proxy while it runs; where its container is kept, from the engine here.
async fn source(context: &Context, looked: &Looked, path: &str) -> Result<Source, Failure> {
    let running = match running(looked, "copy from") {
        Ok((attempt, live)) => {
            let want = Want::Copy { container: live.container.clone(), path: path.to_owned() };
            let line = open(context, looked, (live.grant, attempt), want).await;
            return line.map(|line| Source::Line(Box::new(line.bytes()))).map_err(|failure| refused(failure, path));
        }
        Err(failure) => failure,
    };
    let Some(stage) = looked.stage else { return Err(running) };
    let Some((last, grant, container)) = last(context, looked, stage).await? else { return Err(running) };
    let name = format!("{}/{}", looked.name(stage), last.task.index);
    let gone = || Failure::coded(codes::NO_CONTAINER, format!("the container of {name} is gone"));
    if context.is_cluster()? {
        let want = Want::Copy { container: container.clone(), path: path.to_owned() };
        let mut missing = false;
        for through in beside(looked, grant) {
            match open(context, looked, (through, last), want.clone()).await {
                Ok(line) => return Ok(Source::Line(Box::new(line.bytes()))),
                Err(failure) => missing = is_missing(&failure),
            }
            if missing {
                break;
            }
        }
        let kept = looked.plan.stages.get(stage.0 as usize).is_some_and(|stage| stage.keep_failed);
        if !kept {
            return Err(gone().why("a container is kept only where its task failed under `keep_failed: true`"));
        }
        let host = host(looked, grant).unwrap_or("its machine");
        // The engine mounts anew what a container had, for a copy: YARN has removed the files of its output by then.
        let why = match missing {
            true => format!(
                "there is no {path} in it, or what YARN gave its task is gone, which the engine wants for a copy"
            ),
            false => {
                format!("nothing of the run is on {host} any more; if the task failed, its container is kept there")
            }
        };
        let inside = path.trim_start_matches('/');
        return Err(Failure::coded(codes::NO_CONTAINER, format!("the container of {name} can't be read from here"))
            .why(why)
            .next(format!("on {host}: docker export {container} | tar -xf - {inside}")));
    }
    let engine = Engine::connect(context.engine_conf()).await?;
    match engine.inspect(&container).await? {
        None => Err(gone()),
        Some(_) => match engine.archive(&container, path).await {
            Ok(archive) => Ok(Source::Engine(Box::new(archive))),
            Err(error) => Err(refused(Failure::from(error), path)),
        },
    }
}

/// Grants whose proxies may read a container that is kept: its own, then others of the run on the same machine that have
/// tasks now.
fn beside(looked: &Looked, grant: GrantId) -> Vec<GrantId> {
    let there = host(looked, grant);
    let live = looked.standing.view.subs.values().flat_map(|run| run.live.values()).map(|live| live.grant);
    let others: BTreeSet<_> =
        live.filter(|&other| other != grant && there.is_some() && host(looked, other) == there).collect();
    [grant].into_iter().chain(others).take(TRIED).collect()
}

/// The machine of a grant.
fn host(looked: &Looked, grant: GrantId) -> Option<&str> {
    let place = looked.standing.view.subs.get(&grant.subdag())?.places.get(&grant)?;
    Some(&place.host)
}

/// The engine copies from a container's files, and would show what lies below a tmpfs instead of what is in it.
fn in_tmpfs(looked: &Looked, path: &str) -> Option<Failure> {
    let stage = looked.plan.stages.get(looked.stage?.0 as usize)?;
    let own = stage.tmpfs.iter().map(|tmpfs| tmpfs.target.as_str());
    // What is made ready for the next task is a tmpfs.
    let dir =
        own.chain(["/dev/shm"]).chain(stage.reuse.then_some("/tmp")).find(|dir| Path::new(path).starts_with(dir))?;
    let task = format!("{}/{}/{}", looked.info.run.short(), stage.name, looked.task.unwrap_or(0));
    let failure =
        Failure::coded(codes::NOT_COPIED, format!("{path} is in the tmpfs {dir}, which the engine can't copy from"));
    Some(
        failure
            .next(format!("while the task runs: `dybox exec {task} -- cat {path} > FILE`, or tar -c for a directory")),
    )
}

/// What the engine says of a path that is not there, as such.
fn refused(failure: Failure, path: &str) -> Failure {
    if !is_missing(&failure) {
        return failure;
    }
    Failure::coded(codes::NOT_COPIED, format!("there is no {path} in the container"))
}

fn is_missing(failure: &Failure) -> bool {
    failure.why.as_deref().is_some_and(|why| why.to_lowercase().contains("could not find"))
}

/// The last attempt of the task that is meant, where it was and its container.
async fn last(
    context: &Context,
    looked: &Looked,
    stage: StageId,
) -> Result<Option<(AttemptId, GrantId, String)>, Failure> {
    let single = looked.seen(stage).filter(|seen| seen.tasks.len() == 1).map(|_| 0);
    let Some(index) = looked.task.or(single) else { return Ok(None) };
    let task = TaskId { stage, index };
    let tries = tries(context, looked, task).await?;
    let last = tries.into_iter().next_back().filter(|(_, one)| !one.container.is_empty());
    Ok(last.map(|(number, one)| (AttemptId { task, number }, one.grant, one.container)))
}

impl Source {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Engine(archive) => archive.next().await.map_err(io::Error::other),
            Self::Line(line) => {
                let mut piece = vec![0; PIECE];
                let read = line.read(&mut piece).await?;
                piece.truncate(read);
                Ok((read > 0).then(|| piece.into()))
            }
        }
    }
}

/// Unpacks what comes.
async fn take(mut source: Source, to: PathBuf) -> io::Result<Unpacked> {
    let (give, pieces) = mpsc::channel(WAITING);
    let unpacking = tokio::task::spawn_blocking(move || unpack(&mut Pieces { pieces, now: Bytes::new() }, &to));
    while let Some(piece) = source.next().await? {
        if give.send(piece).await.is_err() {
            // It has all that it wants, or can't go on.
            break;
        }
    }
    drop(give);
    unpacking.await.map_err(io::Error::other)?
}

/// The archive as it comes, to stdout.
async fn pass(mut source: Source, path: &str) -> Outcome {
    let cut = |why: String| Failure::coded(codes::NOT_COPIED, format!("{path} was not copied whole")).why(why);
    let mut zeros = 0;
    while let Some(piece) = source.next().await.map_err(|error| cut(error.to_string()))? {
        if io::stdout().write_all(&piece).is_err() {
            return Err(Failure::quiet());
        }
        let tail = piece.iter().rev().take_while(|&&byte| byte == 0).count();
        zeros = if tail == piece.len() { zeros + tail } else { tail };
    }
    match zeros < END {
        true => Err(cut("the archive is cut off".to_owned())),
        false => io::stdout().flush().map(|()| ExitCode::Ok as u8).map_err(|_| Failure::quiet()),
    }
}

/// Pieces as they come, for who reads them one after another.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.now.is_empty() {
            self.now = self.pieces.blocking_recv().unwrap_or_default();
        }
        let len = self.now.len().min(into.len());
        self.now.split_to(len).copy_to_slice(&mut into[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(from: &str, to: &str) -> (String, String) {
        let args = Args { from: from.to_owned(), to: to.into() };
        let failure = not_from(&args, &args.from.parse::<From>().unwrap_err());
        (failure.what.clone(), failure.next.clone().unwrap_or_default())
    }

    #[test]
    fn who_wants_to_copy_into_a_container_is_told_how() {
        let (what, next) = told("a.conf", "@latest/train/0:/tmp/");
        assert!(what.contains("not into one"), "{what}");
        assert!(next.ends_with("dybox exec -i @latest/train/0 -- sh -c 'cat > /tmp/a.conf' < a.conf"), "{next}");
        let (_, next) = told("x/a.conf", "run/s:/tmp/b");
        assert!(next.ends_with("sh -c 'cat > /tmp/b' < x/a.conf"), "{next}");
        let (_, next) = told("/", "run/s:/tmp");
        assert!(next.ends_with("tar -c / | dybox exec -i run/s -- tar -x -C /tmp"), "{next}");
        assert!(told("run/s", ".").0.contains("is no path in a container"));
    }
}
