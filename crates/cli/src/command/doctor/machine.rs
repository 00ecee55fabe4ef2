//! The machine: the home's directory, room on disks, the budget.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use dybox_model::{format_bytes, format_cpus};
use nix::sys::statvfs::statvfs;

use super::Finding;
use crate::command::{Context, job};

const PART: &str = "home";

/// Looks at the home and the budget.
pub(super) fn look(context: &Context) -> Vec<Finding> {
    let home = context.home();
    let mut found = vec![writable(home)];
    if let Ok(facts) = fs::metadata(home) {
        found.push(rights(home, &facts));
        found.push(disk(PART, "disk", home));
    }
    found.push(budget(context));
    found
}

/// Tries to make the home and a file in it, and leaves neither.
fn writable(home: &Path) -> Finding {
    let there = home.exists();
    let tried = (|| -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        let probe = home.join(format!(".doctor-{}", std::process::id()));
        fs::write(&probe, b"x")?;
        fs::remove_file(&probe)
    })();
    if !there {
        // Only what is empty goes, so nothing of a run that began just now.
        let _ = fs::remove_dir(home);
    }
    match tried {
        Ok(()) => Finding::ok(PART, "writable", home.display().to_string()),
        Err(e) => Finding::fail(
            PART,
            "writable",
            format!("{}: {e}", home.display()),
            "correct its permissions, free some room, or set DYBOX_HOME to a directory of yours",
        ),
    }
}

fn rights(home: &Path, facts: &fs::Metadata) -> Finding {
    let mode = facts.permissions().mode() & 0o777;
    let me = nix::unistd::geteuid().as_raw();
    let found = format!("mode {mode:03o}, owner uid {}", facts.uid());
    if facts.uid() != me {
        return Finding::warn(PART, "rights", found, "every user needs a home of their own: set DYBOX_HOME");
    }
    if mode & 0o077 != 0 {
        let fix = format!("chmod 700 {}; logs and secrets of runs lie there", home.display());
        return Finding::warn(PART, "rights", found, fix);
    }
    Finding::ok(PART, "rights", found)
}

/// Room on the file system of a directory.
pub(super) fn disk(part: &'static str, name: &str, dir: &Path) -> Finding {
    let room = match statvfs(dir) {
        Ok(room) => room,
        Err(nix::errno::Errno::EACCES) => {
            return Finding::ok(part, name, format!("{} is closed to this user", dir.display()));
        }
        Err(e) => return Finding::warn(part, name, format!("{}: {}", dir.display(), e.desc()), "check the path"),
    };
    let unit = room.fragment_size();
    let (free, all) = (room.blocks_available() * unit, room.blocks() * unit);
    let found = format!("{} free of {} on {}", format_bytes(free), format_bytes(all), dir.display());
    let fix = "free some room: `dybox gc`, `docker system df`, `docker system prune`";
    match free {
        0..0x1000_0000 => Finding::fail(part, name, found, fix),
        _ if free < 2 << 30 || free.saturating_mul(20) < all => Finding::warn(part, name, found, fix),
        _ => Finding::ok(part, name, found),
    }
}

fn budget(context: &Context) -> Finding {
    let (machine, budget) = (dybox_local::machine(), job::budget(context));
    let of = |part: String, whole: String| if part == whole { part } else { format!("{part} of {whole}") };
    let cpus = of(format_cpus(budget.cpu_milli), format_cpus(machine.cpu_milli));
    let memory = of(format_bytes(budget.memory), format_bytes(machine.memory));
    let found = format!("{cpus} cpus, {memory} for all runs together");
    if !budget.fits(machine) {
        let fix = "lower `cpus` and `memory`: tasks would have to share what is not there";
        return Finding::warn("machine", "budget", found, fix);
    }
    Finding::ok("machine", "budget", found)
}
