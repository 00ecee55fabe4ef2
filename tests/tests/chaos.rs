//! Everything may be killed at any moment: client, masters, proxies. Each seed is one story; a failing one prints its
//! own. `DYBOX_CHAOS_SEED=N` tells one seed alone.

#![expect(clippy::print_stdout, reason = "a story that fails is told")]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dybox_tests::{Follow, Workspace, eventually, overlaps, pid_alive};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Eight stages of fourteen tasks; `c` fails at first by itself, a hook stands before `e`, and `g` is a sub-DAG of its
/// own.
const DAG: &str = concat!(
    "stages:\n",
    "  a: { parallelism: 2, stop_grace: 1s, script: \"BODY\" }\n",
    "  b: { needs: [a], parallelism: 3, stop_grace: 1s, script: \"BODY\" }\n",
    "  c: { needs: [a], parallelism: 2, stop_grace: 1s, retry: { max: 2, backoff: 200ms }, script: \"m=/said/m$DYBOX_TASK_INDEX; [ -e $m ] || { touch $m; exit 1; }; BODY\" }\n",
    "  d: { needs: [b], stop_grace: 1s, script: \"BODY\" }\n",
    "  e: { needs: [c], stop_grace: 1s, script: \"BODY\" }\n",
    "  f: { needs: [d, e], parallelism: 2, stop_grace: 1s, memory: 48MiB, script: \"BODY\" }\n",
    "  g: { parallelism: 2, stop_grace: 1s, script: \"BODY\" }\n",
    "  h: { needs: [f], stop_grace: 1s, script: \"BODY\" }\n",
    "hooks: [{ after: [c], run: [sh, -c, \"echo ran $$ $(date +%s%3N) >> said/hooks; sleep 1; echo decided $$ >> said/hooks; echo '{}'\"] }]\n",
);
const BODY: &str = ". /said/fns; say start; for i in 1 2 3 4 5 6; do sleep 0.2; say beat; done; say end";
const TASKS: [(&str, u32); 8] = [("a", 2), ("b", 3), ("c", 2), ("d", 1), ("e", 1), ("f", 2), ("g", 2), ("h", 1)];
const KILLS: u32 = 4;

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

fn seeds(fixed: &[u64]) -> Vec<u64> {
    std::env::var("DYBOX_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).map_or(fixed.to_vec(), |seed| vec![seed])
}

/// A client succeeds, is killed, finds the run held, or gives up where masters die again and again.
fn is_fine(code: i32) -> bool {
    matches!(code, 0 | 8 | 9 | 137)
}

/// How often something is killed: `DYBOX_CHAOS_KILLS=N` asks for more.
fn kills() -> u32 {
    std::env::var("DYBOX_CHAOS_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

struct Story {
    place: Workspace,
    rng: Rng,
    follow: Option<Follow>,
    run: String,
    began: Instant,
}

impl Story {
    fn begin(seed: u64) -> Self {
        let place = Workspace::new();
        place.job(&DAG.replace("BODY", BODY));
        let follow = Some(place.start(&["run", "job.yaml"]));
        let run = eventually("the run is durable", Duration::from_secs(30), || {
            let run = place.runs().pop()?;
            place.home().join("runs").join(&run).join("run.json").exists().then_some(run)
        });
        let story =
            Self { place, rng: Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)), follow, run, began: Instant::now() };
        story.tell(&format!("seed {seed}, run {} in {}", story.run, story.place.path().display()));
        story
    }

    fn tell(&self, what: &str) {
        println!("{:>6} ms  {what}", self.began.elapsed().as_millis());
    }

    fn state(&self) -> String {
        let status = self.place.dybox(&["status", &self.run, "-o", "json"]).expect(0).json();
        status["run"]["state"].as_str().unwrap_or_default().to_owned()
    }

    fn is_followed(&self) -> bool {
        self.follow.as_ref().is_some_and(|follow| pid_alive(follow.pid()))
    }

    /// A user who comes back: where nobody follows the run, and no master holds it, it is resumed.
    fn look_after(&mut self) {
        if self.is_followed() {
            return;
        }
        if let Some(done) = self.follow.take().map(|follow| follow.end(Duration::from_secs(10))) {
            self.tell(&format!("the client ended with {}", done.code));
            assert!(is_fine(done.code), "\n{}\n{}", done.out, done.err);
        }
        if self.place.pids("master").is_empty() && self.state() != "succeeded" {
            self.tell("resume");
            self.follow = Some(self.place.start(&["resume", &self.run]));
        }
    }

    fn pids_of(&self, kind: &str) -> Vec<i32> {
        match kind {
            "client" => self.follow.iter().filter(|_| self.is_followed()).map(Follow::pid).collect(),
            kind => self.place.pids(kind),
        }
    }

    /// A client, a master or a proxy; rarely all of them at once.
    fn kill_some(&mut self) {
        let choice = ["client", "client", "master", "master", "proxy", "proxy", "proxy", "proxy", "all"];
        let kind = choice[self.rng.below(choice.len())];
        let pids = match kind {
            "all" => ["client", "master", "proxy"].iter().flat_map(|kind| self.pids_of(kind)).collect(),
            kind => {
                let pids = self.pids_of(kind);
                let one = self.rng.below(pids.len().max(1));
                pids.get(one).copied().into_iter().collect::<Vec<_>>()
            }
        };
        for &pid in &pids {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        self.tell(&format!("killed {kind}: {pids:?}"));
    }

    fn run_to_its_end(&mut self) {
        for _ in 0..kills() {
            std::thread::sleep(Duration::from_millis(
                u64::try_from(100 + self.rng.below(9600 / kills() as usize)).expect("small"),
            ));
            if self.state() == "succeeded" {
                break;
            }
            self.kill_some();
            self.look_after();
        }
        while self.state() != "succeeded" {
            assert!(self.began.elapsed() < Duration::from_secs(240), "it never ends");
            self.look_after();
            std::thread::sleep(Duration::from_millis(300));
        }
        if let Some(done) = self.follow.take().map(|follow| follow.end(Duration::from_secs(60))) {
            assert!(is_fine(done.code), "{}\n{}\n{}", done.code, done.out, done.err);
        }
        self.tell("succeeded");
    }

    fn check(&self) {
        let said = self.place.said();
        assert!(overlaps(&said).is_empty(), "{said:#?}");
        let mut ends = BTreeMap::<(String, u32), u32>::new();
        for line in &said {
            let ends = ends.entry((line.stage.clone(), line.index)).or_default();
            assert!(*ends == 0, "a task went on after its good end: {line:?}\n{said:#?}");
            *ends += u32::from(line.what == "end");
        }
        let tasks =
            TASKS.iter().flat_map(|&(stage, tasks)| (0..tasks).map(move |index| ((stage.to_owned(), index), 1)));
        assert_eq!(ends, tasks.collect());
        self.check_hook();
        // Who is killed after the end was written down leaves the cleaning to the next one who looks after the run.
        if self.place.pids("master").is_empty() && self.place.shares() > 0 {
            self.place.dybox(&["resume", &self.run]).expect(0);
        }
        self.place.assert_nothing_left();
        self.place.dybox(&["gc"]).expect(0).says("nothing to remove");
    }

    /// A hook whose master dies runs again, but never beside itself, and never after its decision was written down.
    fn check_hook(&self) {
        let sub = self.place.home().join("runs").join(&self.run).join("sub/0/journal");
        let journal = String::from_utf8_lossy(&std::fs::read(sub).expect("the journal")).into_owned();
        let decided: Vec<_> = journal.split("{\"fact\":\"hook_decided\"").skip(1).collect();
        assert_eq!(decided.len(), 1);
        let at = decided[0].split("\"at\":").nth(1).and_then(|rest| rest.split('}').next()).expect("a time");
        let hooks = std::fs::read_to_string(self.place.path().join("said/hooks")).expect("it ran");
        let mut running = "";
        for words in hooks.lines().map(|line| line.split(' ').collect::<Vec<_>>()) {
            match words[..] {
                ["ran", pid, ms] => {
                    assert!(ms <= at, "it ran after its decision at {at}: {hooks}");
                    running = pid;
                }
                [_, pid] => assert_eq!(pid, running, "two ran at once: {hooks}"),
                _ => panic!("{hooks}"),
            }
        }
        assert!(hooks.contains("decided"), "{hooks}");
    }
}

#[test]
fn whatever_is_killed_the_run_ends_well_and_nothing_is_left() {
    for seed in seeds(&[1, 2, 3]) {
        let mut story = Story::begin(seed);
        story.run_to_its_end();
        story.check();
    }
}

#[test]
fn a_submission_that_is_killed_is_a_whole_run_or_none() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \". /said/fns; say start; say end\" }\n");
    let mut rng = Rng(seeds(&[7])[0].wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut told = Vec::new();
    for _ in 0..12 {
        let mut command = place.command(&["run", "--detach", "job.yaml"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("dybox starts");
        std::thread::sleep(Duration::from_millis(u64::try_from(rng.below(60)).expect("small")));
        let _ = child.kill();
        let output = child.wait_with_output().expect("it was started");
        told.extend(String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.len() == 26).map(str::to_owned));
    }
    place.dybox(&["ps", "--all"]).expect(0);
    println!("{} of 12 ids were told, {} directories are there", told.len(), place.runs().len());
    eventually("no master is left", Duration::from_secs(60), || place.pids("master").is_empty().then_some(()));
    for run in &told {
        place.dybox(&["status", run]).expect(0);
        place.dybox(&["resume", run]).expect(0);
        place.dybox(&["status", run]).expect(0).says("succeeded");
    }
    place.dybox(&["ps", "--all"]).expect(0);
    place.dybox(&["gc"]).expect(0);
    place.assert_nothing_left();
}
