//! What YARN's exit status of a container says about the proxy that ran in it: a pure function.

use dybox_model::Cause;

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Its proxy ended by itself, having cleaned up.
    pub(crate) clean: bool,
    /// The NodeManager saw the process end. Else the ResourceManager only took the container, and it may still run.
    pub(crate) dead: bool,
    /// Why YARN took it; nothing where the process ended by itself.
    pub(crate) cause: Option<Cause>,
    /// In a phrase that follows "the proxy of g0-1-1 ".
    pub(crate) how: String,
}

/// Longest piece of YARN's own words.
const WORDS: usize = 300;

/// Exit statuses as `ContainerExitStatus` numbers them, and those of a process.
pub(crate) fn verdict(exit: i32, diagnostics: &str) -> Verdict {
    use Cause::{GrantLost, NodeLost, Preempted};
    let (dead, cause, how) = match exit {
        0 => return Verdict { clean: true, dead: true, cause: None, how: "ended".to_owned() },
        -102 => (false, Some(Preempted), "was preempted".to_owned()),
        -100 if is_lost(diagnostics) => (false, Some(NodeLost), "was on a machine that YARN lost".to_owned()),
        -100 => (false, Some(GrantLost), "was released".to_owned()),
        -101 => (false, Some(NodeLost), "was on a machine whose disks failed".to_owned()),
        -103 | -104 => (true, Some(GrantLost), "was killed by YARN: more memory than its grant".to_owned()),
        -105 => (true, None, "was stopped because it did not answer".to_owned()),
        -106 => (false, Some(GrantLost), "was killed by the ResourceManager".to_owned()),
        -107 => (false, Some(GrantLost), "was killed because its application had ended".to_owned()),
        -1000 => (true, None, "could not be started".to_owned()),
        154 => (true, Some(GrantLost), "was gone when its NodeManager came back".to_owned()),
        129..=159 => (true, None, format!("was killed by signal {}", exit - 128)),
        1.. => (true, None, format!("exited with {exit}")),
        _ => (false, Some(GrantLost), format!("was ended by YARN with status {exit}")),
    };
    let words = words(diagnostics);
    let how = if words.is_empty() { how } else { format!("{how}: {words}") };
    Verdict { clean: false, dead, cause, how }
}

fn is_lost(diagnostics: &str) -> bool {
    diagnostics.contains("lost")
}

/// The part of YARN's diagnostics that says something.
fn words(diagnostics: &str) -> String {
    let idle = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('[') && !line.starts_with("at ") && !line.ends_with(".sh")
    };
    let line = diagnostics.lines().find(idle).unwrap_or_default().trim();
    line.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yarn_takes_is_no_fault_of_the_task() {
        let cause = |exit, words| verdict(exit, words).cause;
        assert_eq!(cause(-102, "Container preempted by scheduler"), Some(Cause::Preempted));
        assert_eq!(cause(-100, "Container released on a *lost* node"), Some(Cause::NodeLost));
        assert_eq!(cause(-106, ""), Some(Cause::GrantLost));
        assert_eq!(cause(137, ""), None);
        assert_eq!(verdict(137, "").how, "was killed by signal 9");
        assert_eq!(verdict(3, "").how, "exited with 3");
    }

    #[test]
    fn only_what_a_node_manager_saw_is_known_to_be_dead() {
        let dead = |exit| verdict(exit, "").dead;
        assert_eq!([0, 1, 143, -105].map(dead), [true; 4]);
        assert_eq!([-100, -101, -102, -106].map(dead), [false; 4]);
    }
}
