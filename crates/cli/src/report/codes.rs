//! The registry of the command line's own errors: one row makes the code, `dybox explain` and the reference page.
//! The problems of a job file have codes of their own, in `job`.

use dybox_model::ExitCode;

/// One kind of error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorInfo {
    /// Its code, as in `dybox explain E2001`.
    pub code: &'static str,
    /// What the shell gets.
    pub exit: ExitCode,
    /// What it is, in a phrase.
    pub phrase: &'static str,
    /// Why it happens.
    pub reason: &'static str,
    /// What to do next; also shown with the error where it has nothing better.
    pub next: &'static str,
}

macro_rules! errors {
    ($($name:ident $code:literal $exit:ident $phrase:literal $reason:literal $next:literal;)+) => {
        $(#[doc = $phrase] pub(crate) const $name: &ErrorInfo = &ErrorInfo {
            code: $code, exit: ExitCode::$exit, phrase: $phrase, reason: $reason, next: $next,
        };)+
        /// Every error, in the order of the codes.
        pub(crate) const ERRORS: &[&ErrorInfo] = &[$($name,)+];
    };
}

errors! {
    CONF_READ "E2001" Invalid "a configuration file can't be read"
        "It is missing where it must not be, closed to this user, or not UTF-8."
        "correct its path or its permissions";
    CONF_SYNTAX "E2002" Invalid "a configuration file is no TOML"
        "The line does not follow the TOML format."
        "correct the line that is shown";
    CONF_KEY "E2003" Invalid "unknown key in a configuration file"
        "Nobody reads this key; a misspelt setting would silently not count."
        "correct or remove the line";
    CONF_VALUE "E2004" Invalid "invalid value of a setting"
        "The value is not of the kind that the setting needs."
        "see `dybox doctor` for every setting and where it came from";
    NO_RUN "E2101" NotFound "no such run"
        "No run of this home has that id, prefix or name."
        "list the runs with `dybox ps --all`";
    MANY_RUNS "E2102" NotFound "more than one run fits"
        "The prefix is too short."
        "write more of the id";
    NO_STAGE "E2103" NotFound "no such stage"
        "The run has no stage of that name."
        "list the stages with `dybox status RUN`";
    NO_TASK "E2104" NotFound "no such task"
        "The stage has fewer tasks; they count from 0."
        "list the tasks with `dybox status RUN/STAGE`";
    NO_TOPIC "E2105" NotFound "nothing is known by that name"
        "It is neither a code, nor a cause, nor an exit code, nor a key of the job file."
        "`dybox explain` without an argument lists what there is";
    BAD_TARGET "E2106" Usage "a target is RUN[/STAGE[/N]]"
        "The text has too many parts, or its task is no number."
        "write RUN, RUN/STAGE or RUN/STAGE/N";
    BAD_PATTERN "E2107" Usage "the pattern of --grep is no regular expression"
        "The pattern can't be understood."
        "escape special characters with a backslash";
    NOT_RUNNING "E2108" Conflict "the task does not run"
        "It has not started, or has ended; a command needs its container."
        "look with `dybox status RUN/STAGE/N`";
    NOT_COPIED "E2109" NotFound "it can't be copied"
        "The path does not exist in the container, or what came is no whole archive, or can't be written here."
        "see what is there: `dybox cp RUN/STAGE/N:/DIR - | tar -t`";
    NO_CONTAINER "E2110" NotFound "the container is gone"
        "A task's container is removed when it ends, unless it failed and its stage has `keep_failed: true`."
        "set `keep_failed: true` and run it again, or copy while it runs; what should last goes to a volume or an output";
    OVERWRITE "E2150" Conflict "a file would be written over"
        "The file exists, and may hold what somebody changed by hand."
        "name another one, or add --force";
    STORE_READ "E2201" Unreachable "the store can't be read"
        "The directory of runs is missing, closed to this user, or on a disk that fails."
        "see `dybox doctor`";
    ENGINE "E2202" Unreachable "the Docker engine can't be used"
        "It is not installed, not running, too old, or closed to this user."
        "see `dybox doctor`";
    RUN_DAMAGED "E2203" Unreachable "a file of the run is damaged"
        "A disk or a person changed it; DYbox only appends to it."
        "restore the run's directory from a backup, or submit the job again";
    NO_CLUSTER "E2301" Invalid "there is no YARN configuration"
        "Neither HADOOP_CONF_DIR nor YARN_CONF_DIR nor HADOOP_HOME leads to a yarn-site.xml."
        "set HADOOP_CONF_DIR to the directory of core-site.xml and yarn-site.xml, or use --local";
    HADOOP_CONF "E2302" Invalid "the Hadoop configuration can't be used"
        "A site file is no XML, closed to this user, or has a value that makes no sense."
        "correct the file that is named; `dybox doctor` shows every value with its file";
    TOKENS "E2303" Unreachable "the file of Hadoop tokens can't be used"
        "HADOOP_TOKEN_FILE_LOCATION names a file that is missing, cut off, or of another program."
        "fetch the tokens again, or unset HADOOP_TOKEN_FILE_LOCATION";
    RM "E2304" Unreachable "the ResourceManager can't be used"
        "It does not run, is in standby, can't be reached from here, or its address in yarn-site.xml is wrong."
        "see `dybox doctor --yarn`; `dybox run --local` uses this machine";
    NOT_HADOOP "E2305" Unreachable "what answers is not the service that is meant"
        "The address in the configuration is that of a web page, of another Hadoop service or of another program."
        "correct the port in the file that is named: RPC of a ResourceManager is 8032, its page is 8088";
    DENIED "E2306" Unreachable "the cluster does not accept who we are"
        "The cluster wants Kerberos or a token that is missing, expired or of another cluster."
        "authenticate first, or ask the administrator";
    HDFS "E2307" Unreachable "HDFS can't be used"
        "The NameNode does not run, can't be reached, or no DataNode takes data."
        "see `dybox doctor --yarn`";
    SAFE_MODE "E2308" Unreachable "HDFS is in safe mode"
        "A NameNode that has just started, or that misses data, changes nothing."
        "wait a minute and try again; `hdfs dfsadmin -safemode get` shows when it is over";
    HDFS_DENIED "E2309" Refused "HDFS refuses it: no permission"
        "The directory belongs to somebody else or is closed to this user."
        "ask the administrator for a home directory in HDFS, or set `store` to a directory of yours";
    NO_QUEUE "E2310" Refused "there is no such queue"
        "The queue is misspelt, stopped, or has queues of its own."
        "name another one with --queue or in the job file";
    QUEUE_DENIED "E2311" Refused "no right to submit to the queue"
        "The queue's list of submitters does not have this user."
        "name another queue with --queue, or ask the administrator";
    NO_LABEL "E2312" Invalid "there is no such node label"
        "The cluster has no nodes with that label, or the queue may not use them."
        "correct `node_label`";
    TOO_LARGE "E2313" Invalid "an ask is larger than the cluster grants"
        "The scheduler has a largest container, and no node has more."
        "ask for less; `dybox plan` shows the limits";
    BAD_NAME "E2314" Invalid "a name or tag that YARN does not take"
        "Tags have at most 100 printable ASCII characters, names at most 200."
        "shorten it";
    REJECTED "E2315" Refused "YARN rejected the application"
        "The scheduler or the administrator's limits do not allow it."
        "read the reason; `dybox doctor --yarn` shows queue and limits";
    UNHEARD "E2316" Unreachable "a master does not answer"
        "It is starting, hangs, or can't be reached from here."
        "try again; `dybox logs RUN --system` shows what it wrote";
    CLUSTER "E2317" Unreachable "the cluster did not do it"
        "An answer of the cluster that DYbox has no better word for."
        "read the reason, then try again; `dybox doctor --yarn` checks the rest";
    NO_SERVERS "E2318" Invalid "no state server is configured"
        "The command asks the roster, and the configuration names no server of it."
        "of a cluster: set `state_servers` and `state_identity`; of this machine alone `dybox doctor` tells";
    STATE_SERVER "E2319" Unreachable "no state server answers"
        "None of the servers of `state_servers` could be reached, or all turned this user away."
        "look with `dybox doctor`";
    NO_NODE "E2320" NotFound "the roster does not know that machine"
        "No agent of that name has reported."
        "list the machines with `dybox nodes`, or start `dybox node` there";
    INTERNAL "E2901" Internal "DYbox itself failed"
        "A bug."
        "report it with the output of the same command with --debug";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ERRORS.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}
