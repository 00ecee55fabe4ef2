//! Tests of the pages.

use dybox_journal::RunView;
use dybox_model::{
    AttemptId, Cause, EndedBy, Exit, Fact, GrantId, GrantState, Millis, Need, Note, Peak, Protocol, Published,
    Resources, RunId, SessionGrant, SessionRun, SessionSpec, SessionView, StageEnd, StageId, StageOutline, SubDagId,
    TaskId,
};

use crate::{About, Answer, OverRun, Session, answer, answer_session, json, of_run, page, run_asked, stage};

const NOW: Millis = Millis(1_000_000);

fn about() -> About {
    About {
        now: Millis(NOW.0 + 75_000),
        user: "ada".to_owned(),
        queue: "etl".to_owned(),
        application: "application_1763700000000_0007".to_owned(),
        nodes: [("n1.example".to_owned(), "n1.example:8042".to_owned())].into(),
        refresh: Some(3),
        ..About::default()
    }
}

fn attempt(stage: u32, index: u32, number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(stage), index }, number }
}

fn got(number: u32, host: &str) -> Fact {
    Fact::GrantGot {
        grant: GrantId::compose(SubDagId(0), 1, number),
        size: Resources { cpu_milli: 1000, memory: 64 << 20 },
        at: NOW,
        host: host.to_owned(),
        container: format!("container_1763700000000_0007_01_{number:06}"),
    }
}

fn outline(id: u32, name: &str, tasks: u32, needs: &[u32]) -> StageOutline {
    StageOutline {
        id: StageId(id),
        name: name.to_owned(),
        image: "busybox:1.36".to_owned(),
        ask: Resources { cpu_milli: 1000, memory: 64 << 20 },
        tasks,
        needs: needs.iter().map(|&need| (StageId(need), Need::Succeeded)).collect(),
        hook: false,
    }
}

/// A run in the middle: one task failed and is tried again, one runs, one stage waits.
fn view() -> RunView {
    let grant = |number| GrantId::compose(SubDagId(0), 1, number);
    let started =
        |index, number, on| Fact::AttemptStarted { attempt: attempt(0, index, number), grant: grant(on), at: NOW };
    let runs = |index, number| Fact::AttemptRuns {
        attempt: attempt(0, index, number),
        container: "c".into(),
        at: NOW,
        ports: vec![Published { container: 80, protocol: Protocol::Tcp, host: "n7.example".into(), port: 32768 }],
    };
    let failed = Exit {
        cause: Some(Cause::ExitCode),
        code: Some(7),
        by: EndedBy::Itself,
        ..Exit::not_started(Cause::ExitCode, "", Millis(NOW.0 + 10_000))
    };
    let facts = [
        Fact::Submitted {
            run: "01jd0000000000000000000000".parse().expect("a run id"),
            job: "night<script>ly".to_owned(),
            subdag: SubDagId(0),
            at: NOW,
            stages: vec![outline(0, "extract", 3, &[]), outline(1, "load", 300, &[0])],
        },
        Fact::Opened { epoch: 1, at: NOW, pid: 7 },
        Fact::StageStarted { stage: StageId(0), tasks: 3, at: NOW },
        got(1, "n1.example"),
        got(2, "n2.example"),
        started(0, 1, 1),
        started(1, 1, 2),
        Fact::ImageBrought {
            image: "busybox:1.36".to_owned(),
            host: "n1.example".to_owned(),
            stage: Some(StageId(0)),
            took: Millis(2_000),
            at: NOW,
            why: String::new(),
        },
        runs(0, 1),
        runs(1, 1),
        Fact::AttemptEnded { attempt: attempt(0, 0, 1), exit: failed, again: true },
        started(0, 2, 1),
        runs(0, 2),
    ];
    let mut view = RunView::new(1);
    facts.iter().for_each(|fact| view.apply(SubDagId(0), fact));
    let used = Peak { cpu_ms: 1200, memory: 20 << 20, ..Peak::default() };
    let notes = [
        Note::Uses { attempt: attempt(0, 1, 1), used, memory: 18 << 20, now: Box::default() },
        Note::Waits { stage: StageId(1), why: "it waits for \"extract\" & more".to_owned() },
        Note::Warns { text: "the store is slow".to_owned(), cause: None },
    ];
    notes.iter().for_each(|note| view.note(SubDagId(0), note));
    view
}

#[test]
fn the_page_of_a_run_tells_where_everything_is_and_why_it_waits() {
    let page = page(&view(), &about());
    for part in [
        "<meta http-equiv=\"refresh\" content=\"3\">",
        "run 01jd0000000000000000000000",
        "ada · queue etl · application_1763700000000_0007",
        "1m15s",
        "0 of 303 succeeded, 2 running, 301 waiting",
        "try 1: exit code 7",
        "tried again",
        "Read its last lines with",
        "<td data-is=\"on\">n2.example<div class=\"port\">port 80 at n7.example:32768</div></td>",
        "18MiB",
        "http://n1.example:8042/node/containerlogs/container_1763700000000_0007_01_000001/ada",
        "the store is slow",
        "the first task waited 2.0s for it on n1.example",
    ] {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
}

#[test]
fn nothing_of_the_run_becomes_markup() {
    for text in [page(&view(), &about()), stage(&view(), &about(), "load", 0).expect("the stage")] {
        assert!(!text.contains("<script"), "{text}");
        assert!(!text.contains("\"extract\" & more"), "{text}");
    }
}

/// The pages stand behind YARN's proxy, under a path that nobody here knows.
#[test]
fn every_link_is_a_query_or_leads_to_a_nodes_logs() {
    let pages = page(&view(), &about()) + &stage(&view(), &about(), "extract", 0).expect("the stage");
    assert!(!pages.contains("src="), "nothing is loaded from elsewhere");
    for link in pages.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(link.starts_with('?') || link.contains("/node/containerlogs/"), "{link}");
    }
}

#[test]
fn a_large_stage_has_pages_of_its_own() {
    let mut view = view();
    view.apply(
        SubDagId(0),
        &Fact::StageEnded { stage: StageId(0), end: StageEnd::Succeeded, why: String::new(), cause: None, at: NOW },
    );
    view.apply(SubDagId(0), &Fact::StageStarted { stage: StageId(1), tasks: 300, at: NOW });
    let first = stage(&view, &about(), "load", 0).expect("the stage");
    assert!(first.contains("Tasks 0 to 199 of 300") && first.contains("?stage=load&amp;from=200"), "{first}");
    let last = stage(&view, &about(), "load", 200).expect("the stage");
    assert!(last.contains("Tasks 200 to 299 of 300") && last.contains("?stage=load&amp;from=0"), "{last}");
    assert!(stage(&view, &about(), "load", 5_000).is_some());
    assert_eq!(stage(&view, &about(), "nothing", 0), None);
}

#[test]
fn json_tells_the_same() {
    let text = json(&view(), &about());
    let told: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(told["state"], "running");
    assert_eq!(told["stages"][0]["tasks"]["running"], 2);
    assert_eq!(told["stages"][0]["failed"][0]["cause"], "exit-code");
    assert_eq!(told["stages"][0]["failed"][0]["host"], "n1.example");
    assert_eq!(told["stages"][0]["image_came"], "the first task waited 2.0s for it on n1.example");
    assert_eq!(told["stages"][1]["waits"], "it waits for \"extract\" & more");
    assert_eq!(told["live"][1]["memory"], 18 << 20);
    assert_eq!(told["live"][1]["logs"], serde_json::Value::Null);
}

#[test]
fn an_address_asks_for_a_page_whatever_its_path() {
    let (view, about) = (view(), about());
    let kind = |target: &str| (answer(target, &view, &about).status, answer(target, &view, &about).kind);
    assert_eq!(kind("/"), (200, "text/html; charset=utf-8"));
    assert_eq!(kind("/proxy/application_1_0007/?stage=extract"), (200, "text/html; charset=utf-8"));
    assert_eq!(kind("/proxy/application_1_0007/?format=json"), (200, "application/json"));
    assert_eq!(kind("/?stage=%3Cb%3E").0, 404);
    assert_eq!(kind("").0, 200);
}

#[test]
fn a_run_of_which_nothing_is_known_has_a_page() {
    let about = About::default();
    assert!(page(&RunView::new(2), &about).contains("submitted"));
    assert!(!page(&RunView::new(2), &about).contains("http-equiv=\"refresh\""));
    assert!(json(&RunView::new(2), &about).contains("\"state\": \"submitted\""));
}

fn session_view() -> SessionView {
    let size = Resources { cpu_milli: 1000, memory: 1 << 30 };
    let run: RunId = "01jd0000000000000000000000".parse().expect("a run id");
    let grant = |number: u32, host: &str, state, run| SessionGrant {
        container: format!("container_1763700000000_0007_01_{number:06}"),
        host: host.to_owned(),
        size,
        state,
        run,
    };
    let in_hand = |run: RunId, subdag, job: &str, waits: &str| SessionRun {
        run,
        subdag: SubDagId(subdag),
        job: job.to_owned(),
        submitted: NOW,
        waits: waits.to_owned(),
    };
    let second = "01jd0000000000000000000001".parse().expect("a run id");
    SessionView {
        spec: SessionSpec {
            name: "etl".to_owned(),
            warm: 2,
            most: 4,
            size,
            idle: Millis(600_000),
            keep: Millis(28_800_000),
        },
        since: NOW,
        epoch: 2,
        grants: vec![
            grant(2, "n1.example", GrantState::Busy, Some(run.clone())),
            grant(3, "n2.example", GrantState::Idle, None),
        ],
        runs: vec![
            in_hand(run, 0, "night<script>ly", ""),
            in_hand(second, 1, "ad-hoc", "session etl has 2 grants, none free, and waits for 2 more of YARN"),
        ],
        asked: 2,
        free: Some(Resources { cpu_milli: 4000, memory: 6 << 30 }),
        stops: false,
    }
}

fn over() -> Vec<OverRun> {
    let run = "01jc0000000000000000000009".parse().expect("a run id");
    let ended = Some(Millis(NOW.0 + 15_000));
    vec![OverRun { run, subdag: SubDagId(0), job: "early".to_owned(), state: "failed", ended }]
}

fn about_session() -> About {
    About { session: "etl".to_owned(), ..about() }
}

fn shown(target: &str) -> Answer {
    let (view, over) = (session_view(), over());
    let linked = [view.runs[0].run.clone(), over[0].run.clone()].into();
    answer_session(target, &Session { view: &view, linked: &linked, over: &over }, &about_session())
}

#[test]
fn the_page_of_a_session_tells_what_it_has_may_have_and_waits_for() {
    let page = shown("/proxy/application_1_0007/");
    assert_eq!(page.status, 200);
    for part in [
        "session etl <span class=\"state ready\">ready</span>",
        "ada · queue etl · application_1763700000000_0007 · its master number 2 up for 1m15s",
        "2 of at most 4 grants: 1 busy, 1 idle",
        "2 grants are kept ready, each of 1 cpu, 1GiB; one beyond them goes back after 10m00s without work",
        "it waits for 2 more grants of YARN, whose queue has 4 cpus, 6GiB left for it",
        "<a href=\"?run=01jd0000000000000000000000\">night",
        "none free, and waits for 2 more of YARN",
        "ad-hoc <span class=\"dim\">sub-DAG 1</span>",
        "http://n1.example:8042/node/containerlogs/container_1763700000000_0007_01_000002/ada",
        "<a href=\"?run=01jc0000000000000000000009\">early</a>",
        "1m00s ago",
    ] {
        assert!(page.body.contains(part), "{part:?} is not in\n{}", page.body);
    }
    assert!(!page.body.contains("run=01jd0000000000000000000001"), "a run without a page is not linked");
    assert!(!page.body.contains("<script"), "{}", page.body);
}

#[test]
fn a_session_as_json_tells_the_same() {
    let told: serde_json::Value = serde_json::from_str(&shown("/?format=json").body).expect("it is JSON");
    assert_eq!((&told["session"], &told["state"], &told["asked"]), (&"etl".into(), &"ready".into(), &2.into()));
    assert_eq!(told["grants"][0]["run"], "01jd0000000000000000000000");
    assert_eq!(told["grants"][1]["logs"], serde_json::Value::Null);
    assert_eq!(told["runs"][0]["page"], "run=01jd0000000000000000000000");
    assert_eq!(told["runs"][1]["page"], serde_json::Value::Null);
    assert_eq!(told["over"][0]["state"], "failed");
}

#[test]
fn the_pages_of_a_run_in_a_session_lead_to_itself_and_to_the_session() {
    let run = "01jd0000000000000000000000".parse().expect("a run id");
    let about = About { query: of_run(&run), ..about_session() };
    let pages = page(&view(), &about) + &stage(&view(), &about, "load", 200).expect("the stage");
    let links = pages.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let links = links.filter(|link| !link.contains("/node/containerlogs/"));
    let links: Vec<_> = links.map(|link| link.replace("&#38;", "&").replace("&amp;", "&")).collect();
    for link in ["?", "?run=01jd0000000000000000000000&stage=extract"] {
        assert!(links.iter().any(|known| known == link), "{link} is not in {links:?}");
    }
    for link in links {
        let asked = (link != "?").then_some("01jd0000000000000000000000");
        assert_eq!(run_asked(&link), asked, "{link}");
    }
}

/// `DYBOX_PAGES=DIR` keeps the pages, to look at.
#[test]
fn pages_to_look_at() {
    let Some(dir) = std::env::var_os("DYBOX_PAGES").map(std::path::PathBuf::from) else { return };
    std::fs::write(dir.join("run.html"), page(&view(), &about())).expect("written");
    std::fs::write(dir.join("stage.html"), stage(&view(), &about(), "extract", 0).expect("the stage"))
        .expect("written");
    std::fs::write(dir.join("session.html"), shown("/").body).expect("written");
}
