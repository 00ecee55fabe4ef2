//! A chain whose every stage has a large image of its own, from a real registry: all images cold, beside all but the first
//! warm.

use std::fmt::Write;

use dybox_tests::{Engine, Registry};

use crate::{Bound, median, report, whole_run};

const STAGES: usize = 5;
/// Of each image, and nothing that packs.
const MIB: &str = "50";
/// What a stage does, in seconds: the image after its own comes meanwhile.
const WORK: &str = "3";

pub(crate) fn run() {
    let (engine, registry) = (Engine::machine(), Registry::start());
    let images: Vec<String> = (0..STAGES).map(|number| made(&engine, &registry, number)).collect();
    let job = job(&images);
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        images.iter().for_each(|image| drop(engine.docker(&["rmi", image])));
        cold.push(whole_run(&job));
        engine.docker(&["rmi", &images[0]]);
        warm.push(whole_run(&job));
    }
    images.iter().for_each(|image| drop(engine.docker(&["rmi", image])));
    let (cold, warm) = (median(cold), median(warm));
    let beside = format!("all but the first there {warm:.2} s");
    report(
        "five cold images of 50 MB, in a chain",
        &format!("{cold:.2} s"),
        &beside,
        cold / warm,
        &Bound::AtMost(1.15),
    );
}

/// An image that only the registry has.
fn made(engine: &Engine, registry: &Registry, number: usize) -> String {
    let (name, local) = (format!("bench-{}-{number}", std::process::id()), format!("dybox-bench/{number}:1"));
    let fill = format!("dd if=/dev/urandom of=/fill bs=1M count={MIB}");
    let done = |args: &[&str]| assert!(engine.docker(args).status.success(), "docker {args:?}");
    done(&["run", "--network", "none", "--name", &name, "dybox-test/busybox:1", "sh", "-c", &fill]);
    done(&["commit", &name, &local]);
    done(&["rm", &name]);
    let image = registry.put_image(engine, &local, &format!("dybox/bench-{number}:1"));
    done(&["rmi", &local]);
    image
}

fn job(images: &[String]) -> String {
    let mut text = "name: prefetch\nstages:\n".to_owned();
    for (number, image) in images.iter().enumerate() {
        let needs = number.checked_sub(1).map(|before| format!("s{before}")).unwrap_or_default();
        writeln!(text, "  s{number}: {{ image: \"{image}\", command: [sleep, \"{WORK}\"], needs: [{needs}] }}")
            .unwrap();
    }
    text
}
