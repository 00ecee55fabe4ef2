//! What a sweep over the usage of N running containers costs: cpu time of this process, from the cgroup files.

use std::process::Command;
use std::time::{Duration, Instant};

use dybox_engine::CgroupPaths;

const CONTAINERS: usize = 50;
const SWEEPS: u32 = 200;
const GOAL_MS: f64 = 5.0;

fn docker(args: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(args).output().expect("docker");
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

/// Containers that go away with this value.
struct Crowd(Vec<String>);

impl Drop for Crowd {
    fn drop(&mut self) {
        let mut args = vec!["rm", "-fv"];
        args.extend(self.0.iter().map(String::as_str));
        docker(&args);
    }
}

fn cpu() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("own usage");
    let span = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), 0) + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    span(usage.user_time()) + span(usage.system_time())
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
fn main() {
    let mut crowd = Crowd(Vec::new());
    for _ in 0..CONTAINERS {
        let run = ["run", "-d", "--network", "none", "--memory", "16m", "dybox-test/busybox:1", "sleep", "600"];
        crowd.0.extend(docker(&run));
    }
    let mut args = vec!["inspect", "--format", "{{.State.Pid}}"];
    args.extend(crowd.0.iter().map(String::as_str));
    let pids = docker(&args);
    let open = |pid: &String| CgroupPaths::of_pid(pid.parse().expect("a pid")).expect("a cgroup");
    let mut cgroups: Vec<_> = pids.iter().map(open).collect();
    let (start, before) = (Instant::now(), cpu());
    let mut memory = 0;
    for _ in 0..SWEEPS {
        memory = cgroups.iter_mut().map(|cgroup| cgroup.read().expect("counters").memory).sum::<u64>();
    }
    let each = (cpu() - before).as_secs_f64() * 1000.0 / f64::from(SWEEPS);
    let wall = start.elapsed().as_secs_f64() * 1000.0 / f64::from(SWEEPS);
    println!("usage: {} containers, {memory} bytes, cpu {each:.2} ms a sweep, wall {wall:.2} ms", cgroups.len());
    println!("usage: ratio to the goal of {GOAL_MS} ms: {:.2} (at most 1)", each / GOAL_MS);
}
