//! Every code of a diagnostic, for `dybox explain CODE`.

/// A kind of diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `E0312`
    pub code: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// What to do about it.
    pub next: &'static str,
}

const fn c(code: &'static str, meaning: &'static str, next: &'static str) -> Code {
    Code { code, meaning, next }
}

/// All of them, sorted. E01 file, E02 keys and values, E03 names and DAG, E04 images, E05 mounts, E06 environment,
/// E07 parameters and templates, E08 refused by policy (exit 4), E09 what a cluster, or one machine, has not. `W` is a warning.
pub const CODES: &[Code] = &[
    c("E0101", "The job file does not exist.", "Correct the path; the message names the nearest file."),
    c("E0102", "The job file is a directory or a device.", "Name the file itself."),
    c("E0103", "The job file can't be read.", "Ask for the right to read it."),
    c("E0104", "The job file is empty.", "Start with a name and one stage."),
    c("E0105", "The file has more than 1 MiB.", "Move data out of it, into files that the stages mount."),
    c("E0106", "The file is not UTF-8.", "Save it as UTF-8."),
    c("E0107", "A tab indents a line; YAML takes spaces only.", "Use spaces."),
    c("E0108", "A bracket or a quote is never closed.", "Close it."),
    c("E0109", "The file holds a second document.", "Put each job into a file of its own."),
    c("E0110", "A key is given twice in one mapping.", "Keep one of them."),
    c("E0111", "Aliases of aliases stand for too many values.", "Use fewer aliases."),
    c("E0112", "The file is nested too deep.", "Look for brackets that are not closed."),
    c("E0113", "An alias stands inside of its own anchor.", "Write the value out."),
    c("E0114", "A YAML tag asks for more than plain data.", "Take the tag away."),
    c("E0115", "The file is no YAML.", "Look at the line and the one before it."),
    c("E0116", "An alias has no anchor before it.", "Define the anchor first, or quote a text that begins with *."),
    c("E0117", "A name, a key or a value holds a character that nobody sees.", "Take it out."),
    c("E0118", "The file is no mapping of keys.", "Start with name: and stages:."),
    c("E0119", "There are more problems than are shown.", "Correct the shown ones first."),
    c("E0201", "A key is not known.", "Correct it; dybox explain FIELD tells what there is."),
    c("E0202", "A value is of another type than the key takes.", "Give what the message says."),
    c("E0203", "A key has no value.", "Give it one, or take the key away."),
    c("E0204", "A key or a word is known, and not built yet.", "Take it away until a later version."),
    c("E0205", "A key that must be there is missing.", "Add it."),
    c("E0206", "Two keys exclude each other.", "Keep one of them."),
    c("E0207", "A value is empty or can't be what it is.", "Write a value that fits."),
    c("E0208", "A value is none of the words that the key takes.", "Write one of them."),
    c("E0210", "A number of cpus can't be.", "Write a number like 1 or 0.5."),
    c("E0211", "A size has no unit, or none that is clear.", "Write it with its unit, like 512MiB."),
    c("E0212", "A text is no size.", "Write a number and a unit, like 512MiB."),
    c("E0213", "Memory is below what the engine can give.", "Write 6MiB or more."),
    c("E0214", "A stage asks for more than the largest machine has.", "Ask for less."),
    c("E0215", "A text is no duration.", "Write a number and a unit, like 10m."),
    c("E0216", "A number is out of its range.", "Write one within the range."),
    c("E0220", "A word of retry.on is not known.", "Write any, oom, infra, image, timeout, exit:N or signal:NAME."),
    c("E0221", "A user is neither an id nor a name.", "Write uid, uid:gid or a name."),
    c("E0222", "A working directory is not absolute.", "Write a path that begins with /."),
    c("E0223", "A script has carriage returns.", "Take them out; dos2unix does it."),
    c("E0224", "A network is not of this run.", "Write none, bridge or a name."),
    c("E0225", "An argument or a variable is longer than a program can be given.", "Put it into a script or a file."),
    c("E0231", "A text can't name a host or a rack.", "Write it as YARN shows it."),
    c("E0232", "A text can't be a queue or a node label.", "Write its name."),
    c("E0301", "A text can't be a name.", "Write lower-case letters, digits and -."),
    c("E0302", "Two names are equal but for case.", "Rename one of them."),
    c("E0310", "The job has no stages.", "Add one."),
    c("E0311", "Stages need each other in a circle.", "Take one of the needs away."),
    c("E0312", "A stage needs one that does not exist.", "Correct the name."),
    c("E0313", "A stage needs itself.", "Take it away."),
    c("E0315", "A stage is named twice in one list.", "Keep one of them."),
    c("E0316", "A hook runs after a stage that does not exist.", "Correct the name."),
    c("E0318", "Hooks wait for each other.", "Make one hook of them."),
    c("E0320", "Sub-DAGs need each other in a circle.", "Give the stages the same subdag."),
    c("E0321", "A hook reaches into another sub-DAG.", "Give the stages the same subdag."),
    c("E0322", "The job would be cut into too many sub-DAGs.", "Write split: auto."),
    c("E0401", "A text is no image reference.", "Write [registry/]name[:tag][@sha256:...]."),
    c("E0501", "A text is no volume.", "Write /source:/target or /source:/target:ro."),
    c("E0502", "The source of a volume is no absolute path.", "Write an absolute path, or ./ for one beside the file."),
    c("E0503", "The source of a volume goes up with ...", "Write the absolute path."),
    c("E0504", "The source of a volume does not exist.", "Correct the path, or make it."),
    c("E0505", "The target of a mount can't be.", "Write an absolute path below /."),
    c("E0506", "The target of a mount lies over a path that the container needs.", "Write another target."),
    c("E0507", "A text is no tmpfs.", "Write /path or /path:size=64MiB."),
    c("E0508", "Two mounts have one target.", "Give one of them another target."),
    c("E0601", "The name of an environment variable can't be.", "Write KEY: value."),
    c("E0602", "Variables that begin with DYBOX_ are DYbox's own.", "Use another name."),
    c("E0603", "A variable would change whom a program is taken for, or what it loads.", "Take it away."),
    c("E0604", "A line gives a variable no value.", "Write KEY=value; nothing of the caller's environment goes in."),
    c("E0605", "An env_file can't be read.", "Correct the path, or make the file."),
    c("E0701", "A parameter has no value.", "Add --param NAME=VALUE."),
    c("E0702", "A parameter that was given is not in the file.", "Correct its name."),
    c("E0703", "A value is none of a parameter's choices.", "Give one of them."),
    c("E0705", "A template names something that is not defined.", "Write params.NAME, or $${ for the shell's ${."),
    c("E0706", "A template is no expression.", "Correct it, or write $${ for the shell's ${."),
    c("E0707", "A template has no value that fits.", "Make a text or a number of it."),
    c("E0708", "An expression costs too much.", "Compute it in a stage."),
    c("E0801", "A path is never given to a container.", "Mount the directory that the stage works on."),
    c("E0802", "A path is outside of what may be mounted.", "Move the data, or have /etc/dybox/policy.toml changed."),
    c("E0803", "A registry is not trusted.", "Use an image of a trusted one, or have /etc/dybox/policy.toml changed."),
    c("E0804", "The queue does not take your jobs.", "Ask the administrator for the right, or use another queue."),
    c("E0901", "The cluster has no such queue.", "Correct its name."),
    c("E0902", "A queue takes no jobs.", "Name a leaf queue that is running."),
    c("E0903", "The cluster has no such node label.", "Correct its name, or take it away."),
    c("E0904", "A stage asks for more than any container can have.", "Ask for less."),
    c("E0905", "No machine fits a stage's placement and size.", "Change the placement, or ask for less."),
    c("E0906", "The cluster has no such machine or rack.", "Correct its name."),
    c("W0314", "A stage can never run.", "Ask for finished instead of failed or succeeded."),
    c("W0402", "An image has no tag, or latest.", "Name a version or a digest."),
    c("W0606", "A value looks like a secret.", "Mount a file that only you can read."),
    c("W0901", "A key counts on a cluster only.", "Nothing; one machine passes over it."),
    c("W0902", "Each sub-DAG has a master process, or a YARN application.", "Write split: auto."),
    c("W0906", "The cluster has no such machine or rack.", "Correct its name, or take it away."),
    c("W0907", "A stage has more tasks than machines or racks to spread over.", "Nothing; they run in turns."),
];

/// The code by this name, in either case.
#[must_use]
pub fn code(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.code.eq_ignore_ascii_case(name))
}
