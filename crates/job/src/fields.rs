//! Every key of a job file, for `dybox explain FIELD`, for "did you mean" and for "not supported yet".

pub use crate::scope::Scope;

/// A key of a job file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Where it stands.
    pub scope: Scope,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What it is when it is left out; empty where nothing is.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Whether this version does it.
    pub built: bool,
}

impl Field {
    /// `retry.max`: what `dybox explain` finds it by.
    #[must_use]
    pub fn short(&self) -> String {
        let path = self.path();
        path.rsplit("NAME.").next().unwrap_or_default().to_owned()
    }

    /// `stages.NAME.retry.max`
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}{}", self.scope.prefix(), self.name)
    }
}

/// The fields that a user may mean by `memory`, `retry.max` or `stages.join.retry.max`; exact paths first.
#[must_use]
pub fn fields_named(text: &str) -> Vec<&'static Field> {
    let (before, name) = text.rsplit_once('.').unwrap_or(("", text));
    let last = before.rsplit('.').next().unwrap_or_default();
    let fits = |field: &&Field| {
        let parent = match field.scope {
            Retry => "retry",
            Timeout => "timeout",
            Placement => "placement",
            Memory => "memory",
            Idle => "idle",
            Hook => "hooks",
            Login => "registry_auth",
            Top => "",
            Stage | Param | Volume | Secret | File => {
                const PARENTS: [&str; 7] =
                    ["retry", "timeout", "placement", "memory", "idle", "hooks", "registry_auth"];
                return field.name == name && !PARENTS.contains(&last);
            }
        };
        field.name == name && (last.is_empty() || last == parent)
    };
    FIELDS.iter().filter(fits).collect()
}

pub(crate) fn find(scope: Scope, name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.scope == scope && field.name == name)
}

const fn now(
    scope: Scope,
    name: &'static str,
    takes: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Field {
    Field { scope, name, takes, default, meaning, built: true }
}

const fn later(scope: Scope, name: &'static str, meaning: &'static str) -> Field {
    Field { scope, name, takes: "", default: "", meaning, built: false }
}

use Scope::{File, Hook, Idle, Login, Memory, Param, Placement, Retry, Secret, Stage, Timeout, Top, Volume};

/// All of them, in the order of the page.
pub const FIELDS: &[Field] = &[
    now(Top, "name", "a name", "the file's name", "The job's name."),
    now(Top, "version", "1", "1", "Version of the job file's format."),
    now(Top, "tags", "a list of texts", "none", "Words to find runs by."),
    now(
        Top,
        "params",
        "a mapping",
        "none",
        "Parameters: name to default value, or to {type, default, required, choices, description}.",
    ),
    now(Top, "defaults", "a mapping", "none", "Keys of a stage that hold for every stage; mappings are merged."),
    now(Top, "stages", "a mapping", "", "The stages: name to what it runs."),
    now(Top, "include", "a path or a list of paths", "none", "Files with more params, stages, templates and on_exit."),
    now(Top, "templates", "a mapping", "none", "Stages that do not run by themselves: others extend them."),
    now(Top, "hooks", "a list", "none", "User code that runs between stages and decides what follows."),
    now(
        Top,
        "volumes",
        "a mapping",
        "none",
        "Named volumes: name to nothing, or to {keep}. Stages mount them by name.",
    ),
    now(Top, "split", "auto, components, none or a number", "auto", "How the DAG is cut into sub-DAGs."),
    now(Top, "fail_fast", "true or false", "false", "Whether the first failed stage stops the whole run."),
    now(
        Top,
        "rightsize",
        "true or false",
        "false",
        "Whether memory follows what was measured, up to what is asked for.",
    ),
    now(Top, "queue", "a text", "", "YARN queue; one machine has none."),
    now(Top, "priority", "a whole number", "", "YARN priority; one machine has none."),
    now(Top, "node_label", "a text", "", "YARN node label; one machine has none."),
    now(
        Top,
        "on_exit",
        "a mapping",
        "none",
        "Stages that run after everything, also after a failure or a stop; they know run.state.",
    ),
    now(
        Top,
        "secrets",
        "a mapping",
        "none",
        "Secrets by reference: name to {env}, {file} or {hdfs}. Stages take them by name.",
    ),
    later(Top, "schedule", "When the job runs by itself."),
    later(Top, "notify", "Who is told of the end."),
    now(
        Top,
        "timeout",
        "a duration",
        "none",
        "From the submission to the end of all stages but those of on_exit: then the run is stopped, and has failed.",
    ),
    now(Stage, "image", "an image reference", "", "The image of the stage's containers."),
    now(Stage, "command", "a list of texts", "the image's command", "Program and arguments."),
    now(Stage, "script", "a text", "", "A script instead of a command: run by its #! line, else by /bin/sh."),
    now(Stage, "entrypoint", "a list of texts", "the image's entrypoint", "Comes before the command; [] clears it."),
    now(Stage, "workdir", "an absolute path", "the image's", "Working directory."),
    now(Stage, "env", "a mapping of texts", "none", "Environment variables."),
    now(Stage, "env_file", "a path or a list of paths", "none", "Files of KEY=value lines; env goes over them."),
    now(Stage, "cpus", "a number", "1", "Cpus of each task; its request and its limit."),
    now(
        Stage,
        "memory",
        "a size, or a mapping",
        "256MiB",
        "Memory of each task: its request and its limit, or each by name. No swap comes on top.",
    ),
    now(Stage, "shm_size", "a size", "64MiB", "Size of /dev/shm."),
    now(Stage, "pids", "a whole number", "512", "Most processes and threads of a task."),
    now(Stage, "parallelism", "a whole number, 1 to 100000", "1", "How many tasks the stage has."),
    now(
        Stage,
        "needs",
        "a list of stages, or a mapping",
        "none",
        "Stages that end first: as succeeded, failed or finished.",
    ),
    now(
        Stage,
        "priority",
        "a whole number, -100 to 100",
        "0",
        "Where room is short, tasks of stages with more of it come first; within the run.",
    ),
    now(Stage, "retry", "a mapping", "{max: 0}", "When a failed task is tried again."),
    now(Stage, "timeout", "a mapping", "none", "Limits in time."),
    now(
        Stage,
        "idle",
        "a duration, or a mapping",
        "none",
        "How long a task may do next to nothing: then it is ended, and its grant goes back.",
    ),
    now(Stage, "stop_grace", "a duration", "10s", "Between TERM and KILL."),
    now(
        Stage,
        "stop_signal",
        "a name",
        "the image's, else TERM",
        "The signal, like INT, that a task gets that is to stop, stop_grace before KILL.",
    ),
    now(
        Stage,
        "volumes",
        "a list of source:target[:ro]",
        "none",
        "Paths of the machine, or named volumes, in the container.",
    ),
    now(
        Stage,
        "inputs",
        "a mapping of paths to places",
        "none",
        "Files or directories that are brought in before the task: path in the container to hdfs://, file://, ./ or run:.",
    ),
    now(
        Stage,
        "outputs",
        "a mapping of paths to places",
        "none",
        "What is put there after a success, in one step; a place that ends in / gets NAME-INDEX of each task.",
    ),
    now(Stage, "tmpfs", "a list of paths", "none", "Temporary file systems: /path or /path:size=64MiB."),
    now(
        Stage,
        "secrets",
        "a list of names, or a mapping",
        "none",
        "Secrets that its tasks find as files in memory: /run/secrets/NAME, or as {target, mode} says.",
    ),
    now(
        Stage,
        "network",
        "none, bridge or a name",
        "none",
        "No network, the way out, or a network of the run by that name.",
    ),
    now(
        Stage,
        "ports",
        "a list of [[address:]host:]container[/udp]",
        "none",
        "Ports that others reach: of the container alone, where the engine picks a free one of the machine, or both. network is bridge then.",
    ),
    now(Stage, "user", "uid, uid:gid or a name", "the submitter", "Who the container runs as."),
    now(Stage, "pull", "missing, always or never", "missing", "When the registry is asked for the image."),
    now(Stage, "subdag", "a name", "", "Stages with the same name go to one sub-DAG of their own."),
    now(Stage, "queue", "a text", "the job's", "Another YARN queue; the stage goes to a sub-DAG of its own."),
    now(Stage, "node_label", "a text", "the job's", "Another YARN node label; the stage goes to a sub-DAG of its own."),
    now(Stage, "placement", "a mapping", "anywhere", "Where its tasks may run; one machine has no choice."),
    now(
        Stage,
        "profile",
        "a name, or {labels: {...}}",
        "none",
        "A kind of container of the administrator's registry: what the stage does not say and the profile does.",
    ),
    now(Stage, "keep_failed", "true or false", "false", "Keep the containers of failed attempts."),
    now(Stage, "reuse", "true or false", "false", "Tasks follow each other in one container, made ready in between."),
    now(
        Stage,
        "cache",
        "true or false",
        "false",
        "It may be taken from an earlier run where all that it depends on is the same.",
    ),
    now(Stage, "extends", "a name", "none", "A stage or template: what this one does not say itself is taken from it."),
    later(Stage, "gpus", "Graphics processors of each task."),
    now(
        Stage,
        "each",
        "a list, or ${results.STAGE}",
        "none",
        "One task for each item; it finds it in $DYBOX_ITEM and ${item}.",
    ),
    now(
        Stage,
        "matrix",
        "a mapping of names to lists",
        "none",
        "One task for each combination, less exclude, with include; ${item.NAME} is a value of it.",
    ),
    now(Stage, "when", "an expression", "true", "The stage is skipped where it is false."),
    now(
        Stage,
        "results",
        "a type, or a mapping of names to types",
        "none",
        "What each task must write to $DYBOX_RESULT: string, int, float, bool, list, map or any; ? behind it = it may be missing.",
    ),
    now(
        Stage,
        "registry_auth",
        "a name, or a mapping",
        "docker's logins of the submitter",
        "The login for the image: a secret that is user:password or docker's config.json, or a user with the secret that is their password.",
    ),
    later(Stage, "gang", "Start all tasks together or none."),
    later(Stage, "service", "A stage that runs until it is stopped."),
    now(Param, "default", "a value of its type", "", "Its value when none is given."),
    now(Param, "required", "true or false", "false", "Whether a value must be given."),
    now(Param, "choices", "a list of values", "any", "The values that it may have."),
    now(Param, "type", "string, int, float, bool, list or map", "string", "What it is in expressions."),
    now(Param, "description", "a text", "", "What it is for."),
    now(Retry, "max", "a whole number, 0 to 100", "0", "Most further tries after the first."),
    now(Retry, "backoff", "a duration", "1s", "Pause before the first further try; doubled each time, at most 5m."),
    now(
        Retry,
        "on",
        "a list",
        "any",
        "oom, infra, image, timeout, idle, exit:N, exit:N-M, signal:NAME, any (all but idle).",
    ),
    now(
        Retry,
        "memory",
        "a text",
        "x1",
        "How much more memory tasks get after one of the stage ran out of it, like x1.5.",
    ),
    now(Retry, "cap", "a size", "4 times the request", "The most that it becomes."),
    now(Timeout, "run", "a duration", "none", "From the start of the program to its end."),
    now(Timeout, "pull", "a duration", "1h", "For bringing the image to the machine."),
    now(Timeout, "silence", "a duration", "none", "Without a byte on stdout or stderr."),
    now(
        Placement,
        "spread",
        "host or rack",
        "none",
        "No two of the stage's tasks at a time on one machine, or in one rack.",
    ),
    now(
        Placement,
        "max_per_host",
        "a whole number, 1 to 100000",
        "1 with spread",
        "Most of the stage's tasks at a time on one machine.",
    ),
    now(
        Placement,
        "apart_from",
        "a list of stages",
        "none",
        "Never on a machine (with spread: rack, in a rack) where tasks of these stages are; it holds both ways.",
    ),
    now(Placement, "avoid", "a list of hosts", "none", "Not on these machines."),
    now(Placement, "nodes", "a list of hosts", "any", "On these machines alone."),
    now(Placement, "racks", "a list of racks", "any", "In these racks alone; with nodes, what either of them names."),
    now(Placement, "hard", "true or false", "true", "Whether a task rather waits than runs elsewhere."),
    now(Memory, "request", "a size", "", "What a task begins with."),
    now(Memory, "limit", "a size", "the request", "How far it may grow, in a larger grant, when it nears its limit."),
    now(Idle, "after", "a duration", "", "How long."),
    now(Idle, "cpus", "a number", "0.01", "A task that uses fewer cpus than this, and hardly a disk, does nothing."),
    now(
        Timeout,
        "queue",
        "a duration",
        "none",
        "While tasks of the stage wait for room and none of them gets any: then the stage has failed.",
    ),
    now(
        Hook,
        "after",
        "a list of stages",
        "",
        "It runs when all of these have succeeded; what follows them waits for it.",
    ),
    now(
        Hook,
        "run",
        "a list of texts",
        "",
        "Program and arguments, in the job file's directory, or, with image, in its container.",
    ),
    now(
        Hook,
        "image",
        "an image reference",
        "none",
        "It runs as the one task of a stage hook-N (N counts the hooks of the file) in a container of this image, wherever there is room.",
    ),
    now(Hook, "cpus", "a number", "1", "With image: cpus of its container."),
    now(Hook, "timeout", "a duration", "10m", "Most time; with image, from the start of its program."),
    now(
        Hook,
        "memory",
        "a size",
        "1GiB, with image 256MiB",
        "Most address space; with image, memory of its container.",
    ),
    now(Volume, "keep", "true or false", "true", "Whether it outlives the run, for later runs on the same machine."),
    now(Secret, "env", "a name", "", "A variable of the submitter's environment, read at submission."),
    now(Secret, "file", "a path", "", "A file of the submitter's, read at submission; ./ is the job file's directory."),
    now(Secret, "hdfs", "a path", "", "A file in HDFS, read where the task runs: hdfs://HOST/DIR/NAME or /DIR/NAME."),
    now(
        File,
        "target",
        "a path",
        "/run/secrets/NAME",
        "The file in the container; a name without / is one in /run/secrets.",
    ),
    now(File, "mode", "a text", "\"0400\"", "The file's mode, in octal digits."),
    now(Login, "username", "a text", "", "The user."),
    now(Login, "password_secret", "a name", "", "The secret that is the user's password."),
];
