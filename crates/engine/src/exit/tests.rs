use super::*;

fn parse(lines: &str) -> Verdict {
    Verdict::parse(&format!("{lines}\nstarted_ms 5\nended_ms 9\ncpu_ms 7\npeak_memory 8\nend ok\n")).unwrap()
}

fn asked(by: EndedBy, cause: Cause) -> Option<Asked> {
    Some(Asked { by, cause, text: "because".to_owned() })
}

/// Lines of a verdict, what was asked, then cause, who, code, signal.
type Row = (&'static str, Option<Asked>, Option<Cause>, EndedBy, Option<i32>, Option<i32>);

#[test]
fn what_init_saw_makes_the_cause() {
    use EndedBy as B;
    let stop = || asked(B::Stop, Cause::Stopped);
    let table: Vec<Row> = vec![
        ("code 0\nby itself", None, None, B::Itself, Some(0), None),
        ("code 0\nby itself\noom_kills 2", None, None, B::Itself, Some(0), None),
        ("code 0\nby itself", stop(), None, B::Itself, Some(0), None),
        ("code 3\nby itself", None, Some(Cause::ExitCode), B::Itself, Some(3), None),
        ("code 137\nby itself", None, Some(Cause::ExitCode), B::Itself, Some(137), None),
        ("code 3\nby itself", stop(), Some(Cause::ExitCode), B::Itself, Some(3), None),
        ("signal 11\nby itself", None, Some(Cause::Signal), B::Itself, None, Some(11)),
        ("signal 9\nby oom\noom_kills 1", None, Some(Cause::Oom), B::Oom, None, Some(9)),
        ("signal 9\nby oom\noom_kills 1", stop(), Some(Cause::Oom), B::Oom, None, Some(9)),
        ("signal 15\nby stop", stop(), Some(Cause::Stopped), B::Stop, None, Some(15)),
        ("code 0\nby stop", stop(), Some(Cause::Stopped), B::Stop, Some(0), None),
        ("signal 9\nby stop", asked(B::Timeout, Cause::RunTimeout), Some(Cause::RunTimeout), B::Timeout, None, Some(9)),
        ("signal 15\nby stop", None, Some(Cause::KilledOutside), B::Outside, None, Some(15)),
        ("signal 9\nby lease", None, Some(Cause::LeaseExpired), B::Lease, None, Some(9)),
        ("signal 9\nby lease", asked(B::Stop, Cause::MasterLost), Some(Cause::MasterLost), B::Stop, None, Some(9)),
        ("error 2 not-found x: no", None, Some(Cause::CommandNotFound), B::NotStarted, None, None),
        ("error 13 not-executable x", None, Some(Cause::NotExecutable), B::NotStarted, None, None),
        ("error 2 bad-interpreter x", stop(), Some(Cause::BadInterpreter), B::NotStarted, None, None),
        ("error 0 internal x", None, Some(Cause::Internal), B::NotStarted, None, None),
        ("error 0 internal x", asked(B::Stop, Cause::GrantLost), Some(Cause::GrantLost), B::Stop, None, None),
    ];
    for (lines, asked, cause, by, code, signal) in table {
        let lines = if lines.starts_with("error") { format!("{lines}\nby not-started") } else { lines.to_owned() };
        let verdict = parse(&lines);
        let exit = exit_of(&End { verdict: Some(&verdict), asked: asked.as_ref(), ..End::default() });
        assert_eq!((exit.cause, exit.by, exit.code, exit.signal), (cause, by, code, signal), "{lines} {asked:?}");
        assert_eq!((exit.started, exit.ended, exit.used.memory), (Some(Millis(5)), Millis(9), 8));
    }
}

#[test]
fn a_success_with_killed_children_says_so() {
    let exit = exit_of(&End { verdict: Some(&parse("code 0\nby itself\noom_kills 2")), ..End::default() });
    assert!(exit.ok() && exit.text.contains("2 of its processes"), "{}", exit.text);
}

#[test]
fn a_torn_verdict_is_none() {
    assert_eq!(Verdict::parse("code 0\nby itself\nended_ms 1\n"), None);
    assert_eq!(Verdict::parse(""), None);
    assert_eq!(Verdict::parse("code x\nend ok\n"), None);
    assert!(Verdict::parse("newer thing\nend ok\n").is_some());
}

fn dead(code: i32) -> Seen {
    Seen { code: Some(code), started: Some(Millis(100)), finished: Some(Millis(200)), ..Seen::default() }
}

#[test]
fn without_a_verdict_137_alone_tells_nothing() {
    let cause = |end: End<'_>| exit_of(&end).cause;
    let seen = dead(137);
    let end = End { seen: Some(&seen), ..End::default() };
    assert_eq!(cause(end.clone()), Some(Cause::KilledOutside));
    assert_eq!(cause(End { engine_started: Some(Millis(50)), ..end.clone() }), Some(Cause::KilledOutside));
    assert_eq!(cause(End { engine_started: Some(Millis(150)), ..end.clone() }), Some(Cause::EngineRestarted));
    let counted = Usage { oom_kills: 1, ..Usage::default() };
    assert_eq!(cause(End { usage: counted, ..end.clone() }), Some(Cause::KilledOutside));
    let flagged = Seen { oom_flag: true, ..dead(137) };
    assert_eq!(cause(End { seen: Some(&flagged), ..End::default() }), Some(Cause::KilledOutside));
    assert_eq!(cause(End { seen: Some(&flagged), usage: counted, ..End::default() }), Some(Cause::Oom));
    let stop = asked(EndedBy::Stop, Cause::Stopped);
    assert_eq!(cause(End { asked: stop.as_ref(), ..end }), Some(Cause::Stopped));
    assert_eq!(cause(End::default()), Some(Cause::KilledOutside));
}

#[test]
fn inits_own_code_tells_where_the_disk_had_no_room_for_the_verdict() {
    let of = |code| exit_of(&End { seen: Some(&dead(code)), ..End::default() });
    assert!(of(0).ok());
    assert_eq!((of(3).cause, of(3).code), (Some(Cause::ExitCode), Some(3)));
    assert_eq!(of(124).cause, Some(Cause::LeaseExpired));
    assert_eq!(of(125).cause, Some(Cause::Internal));
}

#[test]
fn a_container_that_never_started_is_the_engines_failure() {
    let seen = Seen { error: "no luck".to_owned(), status: "created".to_owned(), ..Seen::default() };
    let exit = exit_of(&End { seen: Some(&seen), ..End::default() });
    assert_eq!((exit.cause, exit.by, exit.text.as_str()), (Some(Cause::EngineFailed), EndedBy::NotStarted, "no luck"));
    let stop = asked(EndedBy::Stop, Cause::Stopped);
    assert_eq!(exit_of(&End { seen: Some(&seen), asked: stop.as_ref(), ..End::default() }).cause, Some(Cause::Stopped));
}
