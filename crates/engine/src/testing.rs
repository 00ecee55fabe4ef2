//! Values for unit tests.

use dybox_model::{AttemptId, Millis, Network, PullPolicy, Resources, StageId, TaskId, TaskSpec, Timeouts};

use crate::image::ImageInfo;

pub(crate) fn image() -> ImageInfo {
    ImageInfo { id: "sha256:0123".to_owned(), ..ImageInfo::default() }
}

pub(crate) fn task() -> TaskSpec {
    TaskSpec {
        run: "01jd0000000000000000000abc".parse().expect("a run id"),
        job: "nightly".to_owned(),
        stage: "extract".to_owned(),
        attempt: AttemptId { task: TaskId { stage: StageId(0), index: 3 }, number: 1 },
        tasks: 4,
        image: "busybox:1".to_owned(),
        pinned: None,
        pull: PullPolicy::Missing,
        entrypoint: None,
        command: Some(vec!["true".to_owned()]),
        script: None,
        workdir: None,
        env: vec![("DYBOX_STAGE".to_owned(), "extract".to_owned())],
        user: None,
        limits: Resources { cpu_milli: 1500, memory: 256 << 20 },
        shm: None,
        pids: 512,
        volumes: Vec::new(),
        tmpfs: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        secrets: Vec::new(),
        registry_auth: None,
        network: Network::None,
        timeout: Timeouts::default(),
        stop_grace: Millis::from_secs(10),
        stop_signal: None,
        ports: Vec::new(),
        keep_failed: false,
        attach: None,
        reuse: false,
        results: None,
        needs: "{}".to_owned(),
        hook: false,
    }
}
