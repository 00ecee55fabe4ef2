//! What the administrator allows, and the one judgement of it: client, master and proxy ask the same rules, so that no
//! two of them can differ.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::{FIRST_FREE_PORT, ImageRef, Port, PortRange, TaskSpec, format_bytes, format_cpus};

/// Never mounted, whatever a policy says: these alone, ...
const REFUSED: [&str; 14] = [
    "/", "/bin", "/boot", "/etc", "/lib", "/lib64", "/root", "/run", "/sbin", "/usr", "/var", "/var/lib", "/var/run",
    "/home",
];
/// ... and these with all below them.
const REFUSED_BELOW: [&str; 6] = ["/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/containerd", "/run/containerd"];
/// Sockets that give away the machine, wherever they lie.
const SOCKETS: [&str; 3] = ["docker.sock", "containerd.sock", "podman.sock"];

/// In [`RunAs::of`]: whoever is not named there.
pub const ANYBODY: &str = "*";

/// Whether a path is one that no container gets, under any policy: it would let it change the machine or leave its limits.
#[must_use]
pub fn is_never_given(path: &Path) -> bool {
    let socket = path.file_name().is_some_and(|name| SOCKETS.iter().any(|socket| name == *socket));
    socket
        || REFUSED.iter().any(|refused| path == Path::new(refused))
        || REFUSED_BELOW.iter().any(|refused| path.starts_with(refused))
}

/// Whom a stage's `user` may name beside the submitter: uids, names of the image, or whole `uid:gid`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunAs {
    /// By the submitter's name or uid; [`ANYBODY`] = for all who are not named.
    pub of: BTreeMap<String, Vec<String>>,
}

/// Which ports of a machine containers may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedPorts {
    /// Not any.
    None,
    /// These; where a task leaves the choice to the engine, one of them.
    Within(PortRange),
}

/// The port that only an administrator gives away, where these rules say nothing of ports: on a cluster, whose machines
/// are shared, tasks may have what any user's program may listen on.
#[must_use]
pub fn left_to_administrator<'p>(rules: Option<&Rules>, ports: &'p [Port]) -> Option<&'p Port> {
    let silent = rules.is_none_or(|rules| rules.published_ports.is_none());
    ports.iter().find(|port| silent && port.host.is_some_and(|host| host.first < FIRST_FREE_PORT))
}

/// A policy as its file has it; what is unset restricts nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// The file, for messages.
    pub file: String,
    /// The line of each rule that it has.
    pub lines: BTreeMap<String, usize>,
    /// Directories under which paths of the machine may be given to containers; nothing = none at all.
    pub mount_roots: Option<Vec<PathBuf>>,
    /// Registries whose images may run (`docker.io` for names without one).
    pub trusted_registries: Option<Vec<String>>,
    /// Who may run as whom.
    pub may_run_as: Option<RunAs>,
    /// Most thousandths of cpus of one task.
    pub max_cpus: Option<u32>,
    /// Most bytes of memory of one task.
    pub max_memory: Option<u64>,
    /// Whether images must be named by digest.
    pub require_digest: bool,
    /// Which ports may be published.
    pub published_ports: Option<PublishedPorts>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitter<'a> {
    /// The name; may be empty.
    pub name: &'a str,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// What somebody asks for, as far as a policy has a word in it. What is empty or nothing is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks<'a> {
    /// The image, as written.
    pub image: &'a str,
    /// `user`.
    pub user: Option<&'a str>,
    /// Thousandths of cpus of a task.
    pub cpu_milli: u32,
    /// The most bytes of memory of a task.
    pub memory: u64,
    /// Paths of the machine, as they really are: links followed, where that is known.
    pub paths: Vec<&'a Path>,
    /// Ports that others are to reach.
    pub ports: &'a [Port],
}

/// A rule that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule's key in the file.
    pub rule: &'static str,
    /// The file, with the line where the rule is written.
    pub file: String,
    /// What is asked for and what is allowed, as the rest of a sentence that begins with who asks.
    pub what: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it {}; `{}` in {} decides", self.what, self.rule, self.file)
    }
}

impl<'a> Asks<'a> {
    /// Those of an attempt, but for its mounts: only its machine knows what they really are.
    #[must_use]
    pub fn of(spec: &'a TaskSpec) -> Self {
        let (cpu_milli, memory) = (spec.limits.cpu_milli, spec.limits.memory);
        Self {
            image: &spec.image,
            user: spec.user.as_deref(),
            cpu_milli,
            memory,
            paths: Vec::new(),
            ports: &spec.ports,
        }
    }
}

impl Rules {
    /// All rules that what is asked for breaks.
    #[must_use]
    pub fn refuse(&self, who: Submitter<'_>, asks: &Asks<'_>) -> Vec<Refusal> {
        let paths = asks.paths.iter().filter_map(|path| self.path(path));
        let size = [self.cpus(asks.cpu_milli), self.memory(asks.memory)];
        let user = asks.user.and_then(|user| self.user(who, user));
        let ports = self.ports(asks.ports);
        paths.chain(size.into_iter().flatten()).chain(self.images(asks.image)).chain(user).chain(ports).collect()
    }

    /// Whether this path of the machine may not be given to a container.
    #[must_use]
    pub fn path(&self, path: &Path) -> Option<Refusal> {
        let straight = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        let roots = self.mount_roots.as_deref().unwrap_or_default();
        if is_never_given(path) {
            return Some(self.no("mount_roots", format!("mounts {}, which no policy allows", path.display())));
        }
        if straight && roots.iter().any(|root| path.starts_with(root)) {
            return None;
        }
        let allowed: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
        Some(self.no("mount_roots", format!("uses {} of the machine, and {allowed} is allowed", path.display())))
    }

    /// Whether this image may not run, whoever asks.
    #[must_use]
    pub fn image(&self, image: &str) -> Option<Refusal> {
        self.images(image).next()
    }

    fn images(&self, image: &str) -> impl Iterator<Item = Refusal> + use<> {
        [self.registry(image), self.digest(image)].into_iter().flatten()
    }

    fn registry(&self, image: &str) -> Option<Refusal> {
        let trusted = self.trusted_registries.as_ref()?;
        let parsed = ImageRef::parse(image).ok()?;
        let registry = parsed.registry.as_deref().unwrap_or("docker.io");
        let known = trusted.iter().any(|known| known == registry);
        (!known).then(|| {
            let what = format!("takes an image of {registry}, and trusted are {}", trusted.join(", "));
            self.no("trusted_registries", what)
        })
    }

    fn digest(&self, image: &str) -> Option<Refusal> {
        let missing = self.require_digest && !image.is_empty() && !image.contains('@');
        missing.then(|| self.no("require_digest", format!("names its image {image:?} without a digest")))
    }

    fn cpus(&self, asks: u32) -> Option<Refusal> {
        let most = self.max_cpus.filter(|&most| asks > most)?;
        let what = format!("asks for {} cpus, and at most {} are allowed", format_cpus(asks), format_cpus(most));
        Some(self.no("max_cpus", what))
    }

    fn memory(&self, asks: u64) -> Option<Refusal> {
        let most = self.max_memory.filter(|&most| asks > most)?;
        let what = format!("asks for {} of memory, and at most {} is allowed", format_bytes(asks), format_bytes(most));
        Some(self.no("max_memory", what))
    }

    fn user(&self, who: Submitter<'_>, wanted: &str) -> Option<Refusal> {
        let rule = self.may_run_as.as_ref()?;
        let uid = who.uid.to_string();
        let (user, group) = wanted.split_once(':').map_or((wanted, None), |(user, group)| (user, Some(group)));
        let own = [who.name, uid.as_str()].into_iter().filter(|name| !name.is_empty());
        let own: Vec<&Vec<String>> = own.filter_map(|name| rule.of.get(name)).collect();
        let listed: Vec<&str> = match own.is_empty() {
            true => rule.of.get(ANYBODY).into_iter().flatten().map(String::as_str).collect(),
            false => own.into_iter().flatten().map(String::as_str).collect(),
        };
        let user_good = user == uid || listed.contains(&user);
        // A group of its own name is the user's; any other one than the submitter's must be allowed as a whole.
        let group_good = group.is_none_or(|group| group == user || group == who.gid.to_string());
        if listed.contains(&wanted) || (user_good && group_good) {
            return None;
        }
        let allowed = if listed.is_empty() { "nobody else".to_owned() } else { listed.join(", ") };
        let what = format!("wants to run as {wanted:?}, and beside the submitter {allowed} is allowed");
        Some(self.no("may_run_as", what))
    }

    fn ports(&self, asked: &[Port]) -> Option<Refusal> {
        let what = match self.published_ports? {
            PublishedPorts::None => {
                format!("publishes port {}, and no port may be published", asked.first()?.container)
            }
            PublishedPorts::Within(range) => {
                let beyond = |port: &&Port| port.host.is_some_and(|host| !range.has(host));
                let host = asked.iter().find(beyond)?.host?;
                format!("publishes port {host} of the machine, and {range} are allowed")
            }
        };
        Some(self.no("published_ports", what))
    }

    /// The port with the choice of the machine's port that these rules leave.
    #[must_use]
    pub fn within(&self, port: &Port) -> Port {
        let host = match self.published_ports {
            Some(PublishedPorts::Within(range)) => Some(port.host.map_or(range, |own| own.and(range).unwrap_or(own))),
            _ => port.host,
        };
        Port { host, ..port.clone() }
    }

    fn no(&self, rule: &'static str, what: String) -> Refusal {
        let file = match self.lines.get(rule) {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        };
        Refusal { rule, file, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Submitter<'static> = Submitter { name: "ann", uid: 1000, gid: 1000 };

    fn rules() -> Rules {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Rules {
            file: "/etc/dybox/policy.toml".to_owned(),
            lines: BTreeMap::from([("max_cpus".to_owned(), 3)]),
            mount_roots: Some(vec!["/data".into()]),
            trusted_registries: Some(list(&["docker.io"])),
            may_run_as: Some(RunAs {
                of: BTreeMap::from([("bob".to_owned(), list(&["0"])), (ANYBODY.to_owned(), list(&["33", "7:8"]))]),
            }),
            max_cpus: Some(2000),
            max_memory: Some(1 << 30),
            require_digest: true,
            published_ports: Some(PublishedPorts::Within(PortRange { first: 8000, last: 8099 })),
        }
    }

    fn port(host: u16) -> Port {
        Port { container: 80, protocol: crate::Protocol::Tcp, address: None, host: Some(PortRange::one(host)) }
    }

    fn broken(asks: &Asks<'_>) -> Vec<&'static str> {
        rules().refuse(ANN, asks).into_iter().map(|refusal| refusal.rule).collect()
    }

    #[test]
    fn an_image_is_judged_by_itself_as_with_all_the_rest() {
        for image in ["quay.io/a/b:1", "b:1", "b@sha256:1"] {
            let all = rules().refuse(ANN, &Asks { image, ..Asks::default() });
            assert_eq!(rules().image(image), all.into_iter().next(), "{image}");
        }
        assert_eq!(rules().image("quay.io/a/b:1").map(|refusal| refusal.rule), Some("trusted_registries"));
    }

    #[test]
    fn every_rule_that_is_broken_is_named_with_its_file() {
        let (path, root) = (Path::new("/data/../etc/x"), Path::new("/data/in"));
        let asks = Asks {
            image: "quay.io/a/b:1",
            user: Some("0"),
            cpu_milli: 4000,
            memory: 2 << 30,
            paths: vec![path],
            ports: &[port(7)],
        };
        let all = [
            "mount_roots",
            "max_cpus",
            "max_memory",
            "trusted_registries",
            "require_digest",
            "may_run_as",
            "published_ports",
        ];
        assert_eq!(broken(&asks), all);
        let asks = Asks {
            image: "b@sha256:1",
            user: Some("33"),
            cpu_milli: 2000,
            memory: 1 << 30,
            paths: vec![root],
            ports: &[port(8000)],
        };
        assert_eq!(broken(&asks), Vec::<&str>::new());
        let refusal = rules().cpus(4000).unwrap().to_string();
        let said = "it asks for 4 cpus, and at most 2 are allowed; `max_cpus` in /etc/dybox/policy.toml:3 decides";
        assert_eq!(refusal, said);
        assert_eq!(Rules::default().refuse(ANN, &Asks { paths: Vec::new(), ..asks }), []);
    }

    #[test]
    fn ports_are_within_what_is_allowed() {
        let any = Port { host: None, ..port(1) };
        assert_eq!(rules().ports(&[any.clone(), port(8099)]), None);
        let said = rules().ports(&[any.clone(), port(8100)]).unwrap().what;
        assert_eq!(said, "publishes port 8100 of the machine, and 8000-8099 are allowed");
        assert_eq!(rules().within(&any).host, Some(PortRange { first: 8000, last: 8099 }), "one of them is chosen");
        assert_eq!(rules().within(&port(8001)), port(8001));
        let none = Rules { published_ports: Some(PublishedPorts::None), ..Rules::default() };
        assert_eq!(
            none.ports(std::slice::from_ref(&any)).unwrap().what,
            "publishes port 80, and no port may be published"
        );
        assert_eq!((none.ports(&[]), Rules::default().ports(&[port(1)])), (None, None));
    }

    #[test]
    fn low_ports_are_the_administrators_where_no_rule_says_otherwise() {
        let (low, high) = (port(1023), port(1024));
        let both = [high.clone(), low.clone()];
        assert_eq!(left_to_administrator(None, &both), Some(&low));
        assert_eq!(left_to_administrator(Some(&Rules::default()), &both), Some(&low));
        assert_eq!(left_to_administrator(Some(&rules()), &both), None, "that rule has its own word");
        assert_eq!(left_to_administrator(None, &[high, Port { host: None, ..low }]), None);
    }

    #[test]
    fn a_user_may_be_oneself_and_who_is_listed_for_one() {
        let may = |user: &str| rules().user(ANN, user).is_none();
        assert!(may("1000") && may("1000:1000") && may("33") && may("33:33") && may("33:1000") && may("7:8"));
        assert!(!may("0") && !may("1000:0") && !may("33:0") && !may("root") && !may("7"));
        let bob = Submitter { name: "bob", uid: 1001, gid: 1001 };
        assert!(rules().user(bob, "0").is_none() && rules().user(bob, "33").is_some(), "his own line counts");
    }

    #[test]
    fn some_paths_are_given_under_no_policy() {
        let all = Rules { mount_roots: Some(vec!["/".into()]), ..Rules::default() };
        for path in ["/", "/etc", "/proc/1", "/srv/x/docker.sock", "/var/lib/docker/x"] {
            assert!(all.path(Path::new(path)).is_some(), "{path}");
        }
        assert!(all.path(Path::new("/srv/x")).is_none());
        assert!(Rules::default().path(Path::new("/srv/x")).is_some(), "without roots nothing is allowed");
    }
}
