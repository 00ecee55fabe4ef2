//! Where gathered files lie, by Hadoop's rules of three major versions.

use dybox_hrpc::Settings;

use crate::ids::ApplicationId;

const ROOT: &str = "yarn.nodemanager.remote-app-log-dir";
const SUFFIX: &str = "yarn.nodemanager.remote-app-log-dir-suffix";
const FORMATS: &str = "yarn.log-aggregation.file-formats";

fn or<'a>(settings: &'a Settings, key: &str, usual: &'a str) -> &'a str {
    settings.get(key).filter(|text| !text.is_empty()).unwrap_or(usual)
}

/// The directories that may hold an application's gathered files, the likeliest first. Paths of the cluster's default
/// file system, unless the configuration names another.
#[must_use]
pub fn directories(settings: &Settings, user: &str, id: ApplicationId) -> Vec<String> {
    let root = or(settings, ROOT, "/tmp/logs");
    let suffix = or(settings, SUFFIX, "logs");
    let mut formats = settings.list(FORMATS);
    formats.extend(["TFile".to_owned(), "IFile".to_owned()]);
    let bucket = id.number.rem_euclid(10_000);
    let mut found = Vec::new();
    let mut add = |path: String| {
        if !found.contains(&path) {
            found.push(path);
        }
    };
    let mut old = Vec::new();
    for format in formats {
        let own = |key: &str| settings.get(&format!("yarn.log-aggregation.{format}.{key}"));
        let root = own("remote-app-log-dir").unwrap_or(root).trim_end_matches('/');
        let usual = format!("{suffix}-{}", format.to_ascii_lowercase());
        let suffix = own("remote-app-log-dir-suffix").unwrap_or(&usual);
        add(format!("{root}/{user}/bucket-{suffix}/{bucket:04}/{id}"));
        old.push(format!("{root}/{user}/{suffix}/{id}"));
    }
    let root = root.trim_end_matches('/');
    // Hadoop 3.1 and 3.2, then 2.
    old.into_iter().chain([format!("{root}/{user}/{suffix}/{id}")]).for_each(add);
    found
}

/// A file of an application's directory, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFile {
    /// The node that wrote it.
    pub host: String,
    /// Its NodeManager's port.
    pub port: u16,
    /// It is still being written: read it later.
    pub unfinished: bool,
}

impl NodeFile {
    /// `host_45454`, `host_45454_1732147200000` (one of several), `host_45454.tmp`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (name, unfinished) = name.strip_suffix(".tmp").map_or((name, false), |name| (name, true));
        let (front, last) = name.rsplit_once('_')?;
        let (host, port) = match (last.parse(), front.rsplit_once('_')) {
            (Ok(port), _) => (front, port),
            // Too large for a port: the time of one of several files.
            (Err(_), Some((host, port))) => {
                last.parse::<u64>().ok()?;
                (host, port.parse().ok()?)
            }
            (Err(_), None) => return None,
        };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, unfinished })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn all_places_of_three_versions_are_looked_at() {
        let id = "application_1732147200000_12345".parse().unwrap();
        let settings = Settings::from_map(BTreeMap::from([(ROOT.to_owned(), "/app-logs".to_owned())]));
        assert_eq!(
            directories(&settings, "u", id),
            [
                "/app-logs/u/bucket-logs-tfile/2345/application_1732147200000_12345",
                "/app-logs/u/bucket-logs-ifile/2345/application_1732147200000_12345",
                "/app-logs/u/logs-tfile/application_1732147200000_12345",
                "/app-logs/u/logs-ifile/application_1732147200000_12345",
                "/app-logs/u/logs/application_1732147200000_12345",
            ]
        );
    }

    #[test]
    fn a_files_name_tells_its_node() {
        let node = |name| NodeFile::from_name(name).map(|file| (file.host, file.port, file.unfinished));
        assert_eq!(node("127.0.0.2_45454"), Some(("127.0.0.2".into(), 45454, false)));
        assert_eq!(node("my_host_1_1732147200000"), Some(("my_host".into(), 1, false)));
        assert_eq!(node("h_1.tmp"), Some(("h".into(), 1, true)));
        for wrong in ["", "h", "_1", "h_x", ".checksum", "h_x_1732147200000"] {
            assert_eq!(node(wrong), None, "{wrong}");
        }
    }
}
