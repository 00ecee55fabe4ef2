use dybox_model::*;
use proptest::prelude::*;

use crate::*;

fn attempt(stage: u32, index: u32, number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(stage), index }, number }
}

fn grant() -> GrantId {
    GrantId::compose(SubDagId(0), 1, 1)
}

fn outline(id: u32, tasks: u32) -> StageOutline {
    let (name, image) = (format!("stage{id}"), "busybox".to_owned());
    StageOutline { id: StageId(id), name, image, ask: Resources::default(), tasks, needs: Vec::new(), hook: false }
}

fn submitted(stages: Vec<StageOutline>) -> Fact {
    let run = "01jd0000000000000000000001".parse().unwrap();
    Fact::Submitted { run, job: "nightly".to_owned(), subdag: SubDagId(0), at: Millis(1), stages }
}

fn good(at: u64) -> Exit {
    let used = Peak { cpu_ms: 5, memory: at, ..Peak::default() };
    Exit { code: Some(0), cause: None, by: EndedBy::Itself, used, ..Exit::not_started(Cause::Oom, "", Millis(at)) }
}

fn bad(cause: Cause, at: u64) -> Exit {
    Exit { code: Some(3), ..Exit::not_started(cause, "it broke", Millis(at)) }
}

fn started(stage: u32, tasks: u32) -> Fact {
    Fact::StageStarted { stage: StageId(stage), tasks, at: Millis(2) }
}

fn given(attempt: AttemptId) -> Fact {
    Fact::AttemptStarted { attempt, grant: grant(), at: Millis(3) }
}

fn runs(attempt: AttemptId) -> Fact {
    Fact::AttemptRuns { attempt, container: "c0ffee".to_owned(), at: Millis(4), ports: Vec::new() }
}

fn ended(attempt: AttemptId, exit: Exit, again: bool) -> Fact {
    Fact::AttemptEnded { attempt, exit, again }
}

fn end(end: StageEnd) -> Fact {
    Fact::Ended { end, why: end.to_string(), at: Millis(99) }
}

/// A small life: two tasks, one retry, one failure.
fn life() -> Vec<Fact> {
    vec![
        submitted(vec![outline(0, 2), outline(1, 3)]),
        Fact::Opened { epoch: 1, at: Millis(2), pid: 7 },
        started(0, 2),
        Fact::GrantGot {
            grant: grant(),
            size: Resources::default(),
            at: Millis(2),
            host: String::new(),
            container: String::new(),
        },
        given(attempt(0, 0, 1)),
        runs(attempt(0, 0, 1)),
        given(attempt(0, 1, 1)),
        ended(attempt(0, 0, 1), good(10), false),
        ended(attempt(0, 1, 1), bad(Cause::ProxyLost, 11), true),
        given(attempt(0, 1, 2)),
        runs(attempt(0, 1, 2)),
        ended(attempt(0, 1, 2), bad(Cause::ExitCode, 12), false),
        Fact::StageEnded {
            stage: StageId(0),
            end: StageEnd::Failed,
            why: "task 1 failed".to_owned(),
            cause: None,
            at: Millis(13),
        },
        end(StageEnd::Failed),
    ]
}

fn bytes_of(facts: &[Fact]) -> Vec<u8> {
    let mut bytes = Vec::new();
    facts.iter().for_each(|fact| encode_into(fact, &mut bytes));
    bytes
}

#[test]
fn a_life_adds_up() {
    let run = fold(life());
    let stage = run.stage(StageId(0)).unwrap();
    assert_eq!(stage.state, StageState::Ended(StageEnd::Failed));
    assert_eq!(stage.counts, Counts { succeeded: 1, failed: 1, ..Counts::default() });
    assert_eq!((stage.tries, stage.failures), (3, 2));
    assert_eq!(stage.final_failure().map(|failure| failure.attempt), Some(attempt(0, 1, 2)));
    assert_eq!(stage.wall(Millis(50)), Some(Millis(11)));
    assert_eq!(run.stage(StageId(1)).unwrap().counts.waiting, 3);
    assert_eq!(run.task(attempt(0, 1, 1).task).unwrap().code, Some(3));
    assert!(run.live.is_empty());
    assert_eq!(run.strays, 0);
}

#[test]
fn what_a_failed_stage_stopped_is_no_failure_of_its_own() {
    let with = |end, why: &str, cause| {
        let why = why.to_owned();
        Fact::StageEnded { stage: StageId(0), end, why, cause, at: Millis(13) }
    };
    let ended_as = |end, why: &str| with(end, why, None);
    let stopped = ended(attempt(0, 0, 1), bad(Cause::Stopped, 12), false);
    let fails = ended(attempt(0, 1, 1), bad(Cause::ExitCode, 12), false);
    let of = |facts: &[&Fact]| {
        let first = [submitted(vec![outline(0, 2)]), started(0, 2), given(attempt(0, 0, 1)), given(attempt(0, 1, 1))];
        fold(first.iter().chain(facts.iter().copied())).stage(StageId(0)).unwrap().clone()
    };
    let stage = of(&[&stopped, &fails, &ended_as(StageEnd::Failed, "task 1: it broke")]);
    assert_eq!((stage.cause(), stage.failures_of_its_own().count()), (Some(Cause::ExitCode), 1));
    // It failed by itself, and names the cause.
    let starved = with(StageEnd::Failed, "no room for 4s", Some(Cause::QueueTimeout));
    let stage = of(&[&stopped, &starved]);
    assert_eq!((stage.final_failure(), stage.cause()), (None, Some(Cause::QueueTimeout)));
    // Where the run goes on, nothing is left of it.
    assert_eq!(of(&[&stopped, &starved, &Fact::Reopened { at: Millis(14) }]).fault, None);
    let stage = of(&[&stopped, &ended_as(StageEnd::Stopped, "asked by ann")]);
    assert_eq!(stage.cause(), Some(Cause::Stopped));
}

#[test]
fn the_cause_of_a_stage_is_in_its_record_only_where_there_is_one() {
    let end = |cause| Fact::StageEnded {
        stage: StageId(0),
        end: StageEnd::Failed,
        why: "so".to_owned(),
        cause,
        at: Millis(3),
    };
    let json = |cause| serde_json::to_string(&end(cause)).unwrap();
    assert!(
        json(Some(Cause::QueueTimeout)).contains("\"cause\":\"queue-timeout\""),
        "{}",
        json(Some(Cause::QueueTimeout))
    );
    // As it was written before it could tell one.
    assert!(!json(None).contains("cause"), "{}", json(None));
    for cause in [None, Some(Cause::TooLarge)] {
        assert_eq!(serde_json::from_str::<Fact>(&json(cause)).unwrap(), end(cause));
    }
}

#[test]
fn what_ran_in_a_run_that_nobody_drives_does_not_run_any_more() {
    for (end, state) in [(StageEnd::Lost, TaskState::Lost), (StageEnd::Stopped, TaskState::Stopped)] {
        let (mut view, sub) = (RunView::new(1), SubDagId(0));
        let facts = [
            submitted(vec![outline(0, 3), outline(1, 1)]),
            started(0, 3),
            given(attempt(0, 0, 1)),
            given(attempt(0, 1, 1)),
            ended(attempt(0, 0, 1), bad(Cause::ExitCode, 12), false),
        ];
        facts.iter().for_each(|fact| view.apply(sub, fact));
        view.abandon(sub, end);
        let (run, stage) = view.stage(StageId(0)).unwrap();
        assert_eq!((stage.state, stage.wall(Millis(99))), (StageState::Ended(end), None));
        assert_eq!(
            stage.tasks.iter().map(|task| task.state).collect::<Vec<_>>(),
            [TaskState::Failed, state, TaskState::Waiting]
        );
        assert_eq!((stage.counts.starting, stage.counts.running, stage.counts.waiting), (0, 0, 1));
        assert_eq!((stage.counts.stopped + stage.counts.lost, stage.counts.total()), (1, 3));
        assert!(run.live.is_empty());
        assert_eq!(view.stage(StageId(1)).unwrap().1.state, StageState::Waiting);
        // The run as a whole is as its journals say.
        assert_eq!(view.state(), RunState::Submitted);
    }
}

#[test]
fn on_a_cluster_it_is_known_where_each_attempt_was() {
    let other = GrantId::compose(SubDagId(0), 1, 2);
    let got = |grant, host: &str| Fact::GrantGot {
        grant,
        size: Resources::default(),
        at: Millis(2),
        host: host.to_owned(),
        container: format!("container_{grant}"),
    };
    let again = Fact::AttemptStarted { attempt: attempt(0, 0, 2), grant: other, at: Millis(6) };
    let run = fold([
        submitted(vec![outline(0, 1)]),
        started(0, 1),
        got(grant(), "n1"),
        given(attempt(0, 0, 1)),
        ended(attempt(0, 0, 1), bad(Cause::NodeLost, 5), true),
        Fact::GrantEnded { grant: grant(), at: Millis(5) },
        got(other, "n2"),
        again,
    ]);
    assert_eq!(run.place_of(attempt(0, 0, 2).task).map(|place| place.host.as_str()), Some("n2"));
    let failed = run.stages[0].failed[0].grant;
    assert_eq!(run.places[&failed], Where { host: "n1".to_owned(), container: "container_g0-1-1".to_owned() });
    assert_eq!(run.grants.len(), 1, "the lost one is over");
    let alone = fold(life());
    assert!(alone.places.is_empty(), "one machine has no names");
}

#[test]
fn ports_of_live_attempts_are_known_and_those_of_older_records_are_none() {
    let port = |port| Published { container: 80, protocol: Protocol::Tcp, host: "n1".to_owned(), port };
    let first = attempt(0, 0, 1);
    let mut facts = vec![submitted(vec![outline(0, 2)]), started(0, 2), given(first), given(attempt(0, 1, 1))];
    let Fact::AttemptRuns { attempt: of, container, at, .. } = runs(first) else { panic!() };
    facts.push(Fact::AttemptRuns { attempt: of, container, at, ports: vec![port(8080), port(8081)] });
    facts.push(runs(attempt(0, 1, 1)));
    let bytes = bytes_of(&facts);
    assert_eq!(decode(&bytes).facts, facts, "they come back");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert_eq!(text.matches("ports").count(), 1, "a task without any writes what it always wrote: {text}");
    let mut run = fold(&facts);
    let all: Vec<_> = run.published(StageId(0)).map(|(attempt, port)| (attempt, port.port)).collect();
    assert_eq!(all, [(first, 8080), (first, 8081)]);
    run.apply(&ended(first, good(5), false));
    assert_eq!(run.published(StageId(0)).count(), 0, "nobody is there any more");
}

#[test]
fn a_reopened_run_keeps_what_succeeded() {
    let mut run = fold(life());
    run.apply(&Fact::Reopened { at: Millis(100) });
    assert_eq!((&run.end, &run.stop), (&None, &None));
    let stage = run.stage(StageId(0)).unwrap();
    assert_eq!(stage.state, StageState::Waiting);
    assert_eq!(stage.counts, Counts { succeeded: 1, waiting: 1, ..Counts::default() });
    run.apply(&started(0, 2));
    run.apply(&given(attempt(0, 1, 3)));
    run.apply(&ended(attempt(0, 1, 3), good(20), false));
    assert_eq!(run.stage(StageId(0)).unwrap().counts.succeeded, 2);
}

#[test]
fn stages_that_a_hook_added_are_stages_like_others() {
    let new = Added { outline: outline(7, 3), stage: "{}".to_owned() };
    let decision = Decision { add: vec![new], ..Decision::default() };
    let decided = Fact::HookDecided { hook: HookId(0), decision, at: Millis(4) };
    let facts = [submitted(vec![outline(0, 1)]), decided.clone(), started(7, 3)];
    let mut bytes = Vec::new();
    facts.iter().for_each(|fact| encode_into(fact, &mut bytes));
    let mut run = fold(decode(&bytes).facts);
    assert_eq!((run.stage_named("stage7").unwrap().counts.waiting, run.strays), (3, 0));
    // Told twice, they are what they are.
    run.apply(&decided);
    assert_eq!((run.stages.len(), run.stage(StageId(7)).unwrap().counts.waiting), (2, 3));
    run.apply(&Fact::Reopened { at: Millis(9) });
    assert_eq!((run.stages.len(), run.hooks.len()), (2, 1));
}

#[test]
fn stale_news_changes_nothing_but_the_count_of_strays() {
    let facts = &life()[..11];
    let mut run = fold(facts);
    let before = run.clone();
    for stale in [
        runs(attempt(0, 1, 1)),
        ended(attempt(0, 1, 1), good(9), false),
        given(attempt(0, 1, 2)),
        ended(attempt(9, 0, 1), good(9), false),
        started(9, 1),
    ] {
        run.apply(&stale);
    }
    assert_eq!(run.strays, 5);
    assert_eq!(Run { strays: 0, ..run }, before);
}

#[test]
fn notes_colour_the_live_state() {
    let mut run = fold(&life()[..6]);
    run.note(&Note::Pulling { image: "a".to_owned(), have: 1, total: 2 });
    run.note(&Note::Uses {
        attempt: attempt(0, 0, 1),
        used: Peak { cpu_ms: 7, memory: 8, ..Peak::default() },
        memory: 6,
        now: Box::default(),
    });
    run.note(&Note::Waits { stage: StageId(1), why: "no room".to_owned() });
    assert_eq!(run.pulls["a"], Pull { have: 1, total: 2 });
    assert_eq!(run.live_of(attempt(0, 0, 1).task).map(|(_, live)| live.memory), Some(6));
    assert_eq!(run.stage(StageId(1)).unwrap().waits, "no room");
    run.note(&Note::Pulling { image: "b".to_owned(), have: 0, total: 0 });
    run.note(&Note::NotPulled { image: "b".to_owned() });
    run.note(&Note::Pulled { image: "a".to_owned() });
    assert!(run.pulls.is_empty());
}

#[test]
fn what_is_tried_again_and_what_is_odd_is_known() {
    let (first, second) = (attempt(0, 1, 1), attempt(0, 1, 2));
    let mut facts = vec![submitted(vec![outline(0, 2)]), started(0, 2), given(first)];
    let stage = |facts: &[Fact]| fold(facts).stage(StageId(0)).unwrap().clone();
    assert_eq!(stage(&facts).tried_again(), None);
    facts.push(ended(first, bad(Cause::RegistryDown, 9), true));
    assert_eq!(stage(&facts).tried_again().map(|failure| failure.attempt), Some(first));
    facts.push(given(second));
    assert_eq!(stage(&facts).tried_again(), None, "its next try has begun");
    facts.extend([runs(second), ended(second, Exit { text: "a child was killed".to_owned(), ..good(12) }, false)]);
    assert_eq!(stage(&facts).odd, Some((second, "a child was killed".to_owned())));
}

#[test]
fn the_whole_run_is_what_its_sub_dags_are() {
    let mut view = RunView::new(2);
    assert_eq!(view.state(), RunState::Submitted);
    view.apply(SubDagId(0), &Fact::Opened { epoch: 1, at: Millis(1), pid: 1 });
    assert_eq!(view.state(), RunState::Running);
    view.apply(SubDagId(0), &end(StageEnd::Succeeded));
    assert_eq!(view.state(), RunState::Running, "the second has not ended");
    let of_second = |how| {
        let mut view = view.clone();
        view.apply(SubDagId(1), &end(how));
        (view.state(), view.why().to_owned())
    };
    assert_eq!(of_second(StageEnd::Succeeded).0, RunState::Succeeded);
    assert_eq!(of_second(StageEnd::Failed), (RunState::Failed, "failed".to_owned()));
    assert_eq!(of_second(StageEnd::Stopped).0, RunState::Stopped);
    assert_eq!(of_second(StageEnd::Lost).0, RunState::Lost);
}

#[test]
fn facts_of_two_sub_dags_may_interleave_in_any_way() {
    let (a, b) = (life(), life());
    let mut apart = RunView::new(2);
    a.iter().for_each(|fact| apart.apply(SubDagId(0), fact));
    b.iter().for_each(|fact| apart.apply(SubDagId(1), fact));
    let mut mixed = RunView::new(2);
    for (a, b) in a.iter().zip(&b) {
        mixed.apply(SubDagId(1), b);
        mixed.apply(SubDagId(0), a);
    }
    assert_eq!(mixed, apart);
}

#[test]
fn a_journal_comes_back_and_every_cut_is_torn_and_nothing_else() {
    let facts = life();
    let bytes = bytes_of(&facts);
    let whole = decode(&bytes);
    assert_eq!((whole.facts.as_slice(), whole.consumed, whole.state), (facts.as_slice(), bytes.len(), State::Clean));
    let mut ends = vec![0];
    facts.iter().for_each(|fact| ends.push(ends[ends.len() - 1] + encode(fact).len()));
    for cut in 0..bytes.len() {
        let cut_one = decode(&bytes[..cut]);
        let records = ends.iter().filter(|&&end| end <= cut).count() - 1;
        assert_eq!(cut_one.facts, facts[..records]);
        assert_eq!(cut_one.consumed, ends[records]);
        let torn = cut - ends[records];
        assert_eq!(cut_one.state, if torn == 0 { State::Clean } else { State::Torn { bytes: torn } }, "cut at {cut}");
    }
}

#[test]
fn every_flipped_bit_stops_the_reader_at_its_record() {
    let facts = life();
    let bytes = bytes_of(&facts);
    let mut ends = vec![0];
    facts.iter().for_each(|fact| ends.push(ends[ends.len() - 1] + encode(fact).len()));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            let offset = ends[ends.iter().filter(|&&end| end <= place).count() - 1];
            let read = decode(&flipped);
            assert_eq!(read.consumed, offset);
            assert_eq!(read.state, State::Broken { offset }, "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn room_that_was_never_filled_is_a_torn_end() {
    let mut bytes = bytes_of(&life());
    let whole = bytes.len();
    bytes.extend([0; 4096]);
    let read = decode(&bytes);
    assert_eq!((read.consumed, read.state), (whole, State::Torn { bytes: 4096 }));
}

#[test]
fn a_record_of_a_newer_dybox_is_said_and_not_skipped() {
    let mut bytes = bytes_of(&life()[..1]);
    let offset = bytes.len();
    let json = br#"?{"fact":"teleported"}"#;
    for version in [VERSION, 9] {
        bytes.truncate(offset);
        let mut body = json.to_vec();
        body[0] = version;
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(crc32c::crc32c(&body).to_le_bytes());
        bytes.extend(body);
        let read = decode(&bytes);
        assert_eq!(read.facts.len(), 1);
        assert!(matches!(read.state, State::Foreign { offset: at, version: v, .. } if at == offset && v == version));
    }
}

fn facts() -> impl Strategy<Value = Fact> {
    let ids = (0..5u32, any::<u32>(), any::<u32>()).prop_map(|(stage, index, number)| attempt(stage, index, number));
    let causes = (0..CAUSES.len()).prop_map(|at| CAUSES[at].cause);
    prop_oneof![
        (0..5u32, any::<u32>(), any::<u64>()).prop_map(|(id, tasks, at)| Fact::StageStarted {
            stage: StageId(id),
            tasks,
            at: Millis(at)
        }),
        (ids.clone(), any::<u64>()).prop_map(|(attempt, grant)| Fact::AttemptStarted {
            attempt,
            grant: GrantId(grant),
            at: Millis(0)
        }),
        (ids.clone(), ".*").prop_map(|(attempt, container)| Fact::AttemptRuns {
            attempt,
            container,
            at: Millis(0),
            ports: Vec::new()
        }),
        (ids, prop::option::of(causes), ".*", prop::option::of(".*"), any::<bool>()).prop_map(
            |(attempt, cause, text, result, again)| {
                let exit = Exit { cause, result, ..Exit::not_started(Cause::Oom, text, Millis(1)) };
                Fact::AttemptEnded { attempt, exit, again }
            }
        ),
        (".*", any::<u64>()).prop_map(|(why, at)| Fact::StopAsked { why, at: Millis(at) }),
        (".*", ".*").prop_map(|(image, id)| Fact::ImagePinned { image, id }),
        (".*", ".*", prop::option::of(0..5u32), any::<u64>()).prop_map(|(image, why, stage, took)| {
            let (host, stage) = ("n1".to_owned(), stage.map(StageId));
            Fact::ImageBrought { image, host, stage, took: Millis(took), at: Millis(took), why }
        }),
    ]
}

#[test]
fn how_an_image_came_is_told_by_who_brought_it_and_who_waited() {
    let of = |id, image: &str| StageOutline { image: image.to_owned(), ..outline(id, 1) };
    let start = |id, at| Fact::StageStarted { stage: StageId(id), tasks: 1, at: Millis(at) };
    let over = |id, at| Fact::StageEnded {
        stage: StageId(id),
        end: StageEnd::Succeeded,
        why: String::new(),
        cause: None,
        at: Millis(at),
    };
    let brought = |stage: Option<u32>, image: &str, (host, why): (&str, &str), (took, at)| Fact::ImageBrought {
        image: image.to_owned(),
        host: host.to_owned(),
        stage: stage.map(StageId),
        took: Millis(took),
        at: Millis(at),
        why: why.to_owned(),
    };
    let facts = [
        submitted(vec![of(0, "one"), of(1, "two"), of(2, "three"), of(3, "one")]),
        start(0, 1_000),
        brought(Some(0), "one", ("n1", ""), (2_000, 3_000)),
        brought(None, "two", ("n1", ""), (3_100, 7_000)),
        brought(None, "two", ("n2", ""), (900, 7_100)),
        over(0, 9_000),
        start(1, 9_000),
        brought(None, "three", ("n1", "the registry can't be reached"), (500, 9_600)),
        over(1, 9_700),
        start(2, 9_700),
        brought(Some(2), "three", ("", ""), (1_500, 11_300)),
        brought(Some(2), "three", ("n2", ""), (2_500, 12_300)),
    ];
    let mut view = RunView::new(1);
    facts.iter().for_each(|fact| view.apply(SubDagId(0), fact));
    let words = |id| view.image_story(StageId(id)).unwrap().words();
    assert_eq!(words(0), "the first task waited 2.0s for it on n1");
    assert_eq!(words(1), "brought ahead to 2 machines in 3.1s at most while stage0 ran");
    assert_eq!(words(2), "not brought ahead on n1: the registry can't be reached; the first task waited 1.5s for it");
    assert_eq!(words(3), "", "it is there");
    assert_eq!(view.image_story(StageId(9)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_facts_come_back(facts in prop::collection::vec(facts(), 0..20), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&facts);
        let read = decode(&bytes);
        prop_assert_eq!(&read.facts, &facts);
        prop_assert_eq!(read.state, State::Clean);
        let cut = cut.index(bytes.len() + 1);
        let part = decode(&bytes[..cut]);
        prop_assert!(facts.starts_with(&part.facts));
        prop_assert!(matches!(part.state, State::Clean | State::Torn { .. }), "cut at {}", cut);
    }

    #[test]
    fn records_are_what_their_json_says(facts in prop::collection::vec(facts(), 0..20)) {
        let bytes = bytes_of(&facts);
        let (mut json, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((len, behind)) = rest.split_first_chunk::<4>() {
            let end = 4 + u32::from_le_bytes(*len) as usize;
            json.push(serde_json::from_slice::<Fact>(&behind[5..end]).unwrap());
            rest = &behind[end..];
        }
        prop_assert_eq!(json, facts);
        prop_assert_eq!(whole(&bytes), bytes.len());
    }

    #[test]
    fn no_bytes_make_the_reader_fall(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let read = decode(&bytes);
        prop_assert!(read.consumed <= bytes.len());
        prop_assert_eq!(whole(&bytes), read.consumed);
    }

    #[test]
    fn counts_always_add_up(moves in prop::collection::vec((0..4u32, 1..4u32, 0..4u8), 0..60)) {
        let mut run = fold([submitted(vec![outline(0, 4)]), started(0, 4)]);
        for (index, number, kind) in moves {
            let id = attempt(0, index, number);
            run.apply(&match kind {
                0 => given(id),
                1 => runs(id),
                2 => ended(id, good(1), false),
                _ => ended(id, bad(Cause::ExitCode, 1), number < 3),
            });
            let stage = run.stage(StageId(0)).unwrap();
            prop_assert_eq!(stage.counts.total(), 4);
            for state in [TaskState::Waiting, TaskState::Starting, TaskState::Running, TaskState::Succeeded] {
                let there = stage.tasks.iter().filter(|task| task.state == state).count();
                prop_assert_eq!(*stage.counts.clone().of(state) as usize, there);
            }
            prop_assert_eq!(run.live.len() as u32, stage.counts.starting + stage.counts.running);
        }
    }
}
