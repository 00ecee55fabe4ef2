//! Every file of `jobs/` runs to success on the machine's real engine and leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};

use dybox_tests::Workspace;

fn jobs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobs")
}

fn copy(from: &Path, place: &Workspace) {
    for entry in fs::read_dir(from).expect("a directory of examples").flatten().filter(|entry| entry.path().is_file()) {
        let text = fs::read_to_string(entry.path()).expect("an example is text");
        place.write(&entry.file_name().to_string_lossy(), &text);
    }
}

#[test]
fn each_example_runs() {
    let mut names: Vec<_> = fs::read_dir(jobs())
        .expect("jobs/")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let place = Workspace::new();
        copy(&jobs(), &place);
        let done = place.dybox(&["run", &name]).expect(0).says("succeeded");
        assert_eq!(place.runs(), [done.run_id()], "{name}");
        place.assert_nothing_left();
    }
}

#[test]
fn wordcount_counts_the_words_that_are_there() {
    let place = Workspace::new();
    copy(&jobs().join("wordcount"), &place);
    fs::create_dir(place.path().join("work")).expect("a directory");
    // 9,000 lines of three words: enough for several parts, so that the hook widens the next stages.
    place.write("corpus/one.md", &"grant lease Container\n".repeat(6_000));
    place.write("corpus/two.md", &"sweep, container; proxy!\n".repeat(3_000));
    let done = place.dybox(&["run", "job.yaml", "--param", "top=2"]).expect(0);
    let report = fs::read_to_string(place.path().join("work/report.txt")).expect("a report");
    let rows: Vec<Vec<&str>> = report.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["9000", "container"], ["6000", "grant"]], "{report}");
    let widths = done.err.lines().find(|line| line.contains("hook decided")).expect("the hook is told of").to_owned();
    assert!(widths.contains("count-busybox gets 4 tasks") && widths.contains("count-gnu gets 4 tasks"), "{widths}");
    place.assert_nothing_left();
}
