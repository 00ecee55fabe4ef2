//! A job as its file says it, before names are resolved and defaults are filled in.

use std::collections::BTreeMap;

use dybox_model::{
    Declared, Idle, Millis, Mount, Need, Network, Placement, Port, PullPolicy, RegistryAuth, SecretUse, Spread,
    StageId, Tmpfs, Transfer,
};

use serde_json::Value as Json;

use crate::RetryOn;
use crate::param::ParamRule;
use crate::profiled::Profiled;
use crate::reader::Spot;
use crate::text::Span;
use crate::uses::Use;

/// A whole job file.
#[derive(Debug, Default)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) params: BTreeMap<String, Json>,
    pub(crate) rules: BTreeMap<String, ParamRule>,
    pub(crate) queue: Option<Spot<String>>,
    pub(crate) priority: Option<i32>,
    pub(crate) node_label: Option<Spot<String>>,
    pub(crate) fail_fast: bool,
    pub(crate) timeout: Option<Millis>,
    pub(crate) rightsize: bool,
    pub(crate) split: Split,
    pub(crate) stages: Vec<Stage>,
    pub(crate) hooks: Vec<Hook>,
    /// What added stages start from.
    pub(crate) ground: Option<String>,
}

/// `split`: how many sub-DAGs the parts of the DAG are packed into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Split {
    /// At most 4.
    #[default]
    Auto,
    /// Each part is one.
    Components,
    /// All in one.
    None,
    /// At most so many.
    Most(u32),
}

/// A stage; what its own keys say.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: Spot<String>,
    pub(crate) needs: Vec<(Spot<String>, Need)>,
    pub(crate) subdag: Option<Spot<String>>,
    pub(crate) queue: Option<Spot<String>>,
    pub(crate) node_label: Option<Spot<String>>,
    pub(crate) profile: Option<Profiled>,
    pub(crate) when: Option<When>,
    pub(crate) each: Option<Each>,
    pub(crate) results: Option<Declared>,
    /// Under `on_exit`.
    pub(crate) last: bool,
    pub(crate) body: Body,
}

impl Stage {
    /// One that needs nothing and is like the rest of its job.
    pub(crate) const fn plain(name: Spot<String>, body: Body) -> Self {
        Self {
            name,
            needs: Vec::new(),
            subdag: None,
            queue: None,
            node_label: None,
            profile: None,
            when: None,
            each: None,
            results: None,
            last: false,
            body,
        }
    }
}

/// `when`: a condition.
#[derive(Debug, Clone)]
pub(crate) struct When {
    pub(crate) expression: String,
    pub(crate) uses: Vec<Spot<Use>>,
}

/// `each` or `matrix`: one task an item.
#[derive(Debug, Clone, Default)]
pub(crate) struct Each {
    /// Where they are known now, each as JSON.
    pub(crate) items: Option<Vec<String>>,
    /// What gives them, where it is not a list.
    pub(crate) expression: Option<String>,
    pub(crate) uses: Vec<Spot<Use>>,
}

/// A text of a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    /// With its templates filled in, where all of them are known now.
    pub(crate) known: Option<String>,
    /// As it is written, where it has templates.
    pub(crate) written: Option<String>,
    /// What its templates read.
    pub(crate) uses: Vec<Spot<Use>>,
}

impl Words {
    /// A text without a template.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { known: Some(text.into()), ..Self::default() }
    }

    /// A text that gives this one when it is filled in.
    pub(crate) fn template(&self) -> String {
        match (&self.written, &self.known) {
            (Some(written), _) => written.clone(),
            (None, known) => known.as_deref().unwrap_or_default().replace("${", "$${"),
        }
    }

    /// What is checked of it: filled in where it can be.
    pub(crate) fn shown(&self) -> &str {
        self.known.as_deref().or(self.written.as_deref()).unwrap_or_default()
    }

    /// As the plan has it.
    pub(crate) fn planned(self, late: bool) -> String {
        if late { self.template() } else { self.known.unwrap_or_default() }
    }
}

/// What a stage may leave to `defaults`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body {
    /// As it is written, where it is known late.
    pub(crate) image: Option<String>,
    /// Where the image has templates.
    pub(crate) image_words: Option<Spot<Words>>,
    /// The image was there and is reported as wrong.
    pub(crate) bad_image: bool,
    pub(crate) command: Option<Vec<Words>>,
    pub(crate) script: Option<Words>,
    pub(crate) entrypoint: Option<Vec<Words>>,
    pub(crate) workdir: Option<Words>,
    pub(crate) file_env: BTreeMap<String, Words>,
    pub(crate) env: BTreeMap<String, Words>,
    /// What stands for it, where it is known late.
    pub(crate) cpus: Option<u32>,
    pub(crate) memory: Option<Memory>,
    /// Where these are known late.
    pub(crate) cpus_words: Option<Spot<Words>>,
    pub(crate) memory_words: Option<Spot<Words>>,
    pub(crate) shm_size: Option<u64>,
    pub(crate) pids: Option<u32>,
    pub(crate) parallelism: Option<u32>,
    pub(crate) priority: Option<i32>,
    pub(crate) retry: RetryDraft,
    pub(crate) timeout: TimeoutDraft,
    pub(crate) idle: Option<Idle>,
    pub(crate) stop_grace: Option<Millis>,
    pub(crate) stop_signal: Option<String>,
    pub(crate) volumes: Option<Vec<Spot<Mount>>>,
    pub(crate) tmpfs: Option<Vec<Spot<Tmpfs>>>,
    pub(crate) inputs: Option<Vec<Spot<Moved>>>,
    pub(crate) outputs: Option<Vec<Spot<Moved>>>,
    pub(crate) secrets: Option<Vec<Spot<SecretUse>>>,
    pub(crate) registry_auth: Option<RegistryAuth>,
    pub(crate) network: Option<Network>,
    pub(crate) ports: Option<Vec<Spot<Port>>>,
    pub(crate) user: Option<String>,
    pub(crate) pull: Option<PullPolicy>,
    pub(crate) placement: PlacementDraft,
    pub(crate) keep_failed: Option<bool>,
    pub(crate) reuse: Option<Spot<bool>>,
    pub(crate) cache: Option<bool>,
    pub(crate) profile: Option<Spot<ProfileWanted>>,
}

/// One of `inputs` or `outputs`.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    /// In the container.
    pub(crate) path: String,
    /// The whole address.
    pub(crate) place: Words,
}

impl Moved {
    /// As the plan has it.
    pub(crate) fn planned(self, late: bool) -> Transfer {
        Transfer { path: self.path, place: self.place.planned(late) }
    }
}

/// `profile`: which one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProfileWanted {
    /// By its name.
    Name(String),
    /// The one that has all of these labels.
    Labels(BTreeMap<String, String>),
}

/// `memory`: what a task begins with, and how far it may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) request: u64,
    /// Nothing = the request.
    pub(crate) limit: Option<u64>,
}

/// `retry`, as far as it is given.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetryDraft {
    pub(crate) max: Option<u32>,
    pub(crate) backoff: Option<Millis>,
    pub(crate) on: Option<Vec<RetryOn>>,
    /// Hundredths.
    pub(crate) memory: Option<Spot<u32>>,
    pub(crate) cap: Option<Spot<u64>>,
}

/// `timeout`, as far as it is given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeoutDraft {
    pub(crate) run: Option<Millis>,
    pub(crate) pull: Option<Millis>,
    pub(crate) silence: Option<Millis>,
    pub(crate) queue: Option<Millis>,
}

/// `placement`, as far as it is given.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlacementDraft {
    pub(crate) spread: Option<Spot<Spread>>,
    pub(crate) max_per_host: Option<Spot<u32>>,
    pub(crate) apart_from: Option<Vec<Spot<String>>>,
    pub(crate) avoid: Option<Vec<Spot<String>>>,
    pub(crate) nodes: Option<Vec<Spot<String>>>,
    pub(crate) racks: Option<Vec<Spot<String>>>,
    pub(crate) hard: Option<bool>,
}

impl PlacementDraft {
    /// `apart_from`: what its names mean.
    pub(crate) fn to_plan(&self, apart_from: &[u32]) -> Placement {
        let values = |list: &Option<Vec<Spot<String>>>| list.iter().flatten().map(|spot| spot.value.clone()).collect();
        let placement = Placement {
            spread: self.spread.as_ref().map(|spot| spot.value),
            max_per_host: self.max_per_host.as_ref().map(|spot| spot.value),
            apart_from: apart_from.iter().copied().map(StageId).collect(),
            avoid: values(&self.avoid),
            nodes: values(&self.nodes),
            racks: values(&self.racks),
            hard: self.hard.unwrap_or(true),
        };
        // `hard` alone says nothing.
        if placement.is_anywhere() { Placement::default() } else { placement }
    }
}

/// A hook.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) span: Span,
    pub(crate) after: Vec<Spot<String>>,
    pub(crate) run: Vec<String>,
    pub(crate) timeout: Option<Millis>,
    pub(crate) memory: Option<u64>,
    /// The task that it is, where it has an image.
    pub(crate) body: Option<Box<Body>>,
}

impl Hook {
    /// The stage that the `number`th hook of the file (from 0) runs as.
    pub(crate) fn stage_name(number: usize) -> String {
        format!("hook-{}", number + 1)
    }
}

impl TimeoutDraft {
    fn over(self, defaults: &Self) -> Self {
        Self {
            run: self.run.or(defaults.run),
            pull: self.pull.or(defaults.pull),
            silence: self.silence.or(defaults.silence),
            queue: self.queue.or(defaults.queue),
        }
    }
}

impl Body {
    /// This body, with what it does not say taken from `defaults`. Mappings are merged key by key, the rest is replaced.
    pub(crate) fn over(self, defaults: &Self) -> Self {
        let own_program = self.command.is_some() || self.script.is_some();
        let inherits = !own_program;
        let mut file_env = defaults.file_env.clone();
        file_env.extend(defaults.env.clone());
        file_env.extend(self.file_env);
        Self {
            image_words: if self.image.is_some() { self.image_words } else { defaults.image_words.clone() },
            image: self.image.or_else(|| defaults.image.clone()),
            bad_image: self.bad_image || defaults.bad_image,
            command: self.command.or_else(|| defaults.command.clone().filter(|_| inherits)),
            script: self.script.or_else(|| defaults.script.clone().filter(|_| inherits)),
            entrypoint: self.entrypoint.or_else(|| defaults.entrypoint.clone()),
            workdir: self.workdir.or_else(|| defaults.workdir.clone()),
            file_env,
            env: self.env,
            cpus_words: if self.cpus.is_some() { self.cpus_words } else { defaults.cpus_words.clone() },
            memory_words: if self.memory.is_some() { self.memory_words } else { defaults.memory_words.clone() },
            cpus: self.cpus.or(defaults.cpus),
            memory: self.memory.or(defaults.memory),
            shm_size: self.shm_size.or(defaults.shm_size),
            pids: self.pids.or(defaults.pids),
            parallelism: self.parallelism.or(defaults.parallelism),
            priority: self.priority.or(defaults.priority),
            retry: RetryDraft {
                max: self.retry.max.or(defaults.retry.max),
                backoff: self.retry.backoff.or(defaults.retry.backoff),
                on: self.retry.on.or_else(|| defaults.retry.on.clone()),
                memory: self.retry.memory.or_else(|| defaults.retry.memory.clone()),
                cap: self.retry.cap.or_else(|| defaults.retry.cap.clone()),
            },
            timeout: self.timeout.over(&defaults.timeout),
            idle: self.idle.or(defaults.idle),
            stop_grace: self.stop_grace.or(defaults.stop_grace),
            stop_signal: self.stop_signal.or_else(|| defaults.stop_signal.clone()),
            volumes: self.volumes.or_else(|| defaults.volumes.clone()),
            tmpfs: self.tmpfs.or_else(|| defaults.tmpfs.clone()),
            inputs: self.inputs.or_else(|| defaults.inputs.clone()),
            outputs: self.outputs.or_else(|| defaults.outputs.clone()),
            secrets: self.secrets.or_else(|| defaults.secrets.clone()),
            registry_auth: self.registry_auth.or_else(|| defaults.registry_auth.clone()),
            network: self.network.or_else(|| defaults.network.clone()),
            ports: self.ports.or_else(|| defaults.ports.clone()),
            user: self.user.or_else(|| defaults.user.clone()),
            pull: self.pull.or(defaults.pull),
            placement: PlacementDraft {
                spread: self.placement.spread.or_else(|| defaults.placement.spread.clone()),
                max_per_host: self.placement.max_per_host.or_else(|| defaults.placement.max_per_host.clone()),
                apart_from: self.placement.apart_from.or_else(|| defaults.placement.apart_from.clone()),
                avoid: self.placement.avoid.or_else(|| defaults.placement.avoid.clone()),
                nodes: self.placement.nodes.or_else(|| defaults.placement.nodes.clone()),
                racks: self.placement.racks.or_else(|| defaults.placement.racks.clone()),
                hard: self.placement.hard.or(defaults.placement.hard),
            },
            keep_failed: self.keep_failed.or(defaults.keep_failed),
            profile: self.profile.or_else(|| defaults.profile.clone()),
            reuse: self.reuse.or_else(|| defaults.reuse.clone()),
            cache: self.cache.or(defaults.cache),
        }
    }

    /// This body with its places elsewhere: those of a profile mean nothing in the job file.
    pub(crate) fn at(mut self, span: Span) -> Self {
        self.volumes.iter_mut().flatten().for_each(|spot| spot.span = span);
        self.tmpfs.iter_mut().flatten().for_each(|spot| spot.span = span);
        self.secrets.iter_mut().flatten().for_each(|spot| spot.span = span);
        self.inputs.iter_mut().chain(&mut self.outputs).flatten().for_each(|spot| spot.span = span);
        self
    }
}
