//! Launch contexts and submissions, checked before they are sent.

use prost::Message;

use super::{application_to, size_to};
use crate::application::Submission;
use crate::error::YarnError;
use crate::launch::{Launch, LocalResource, Visibility};
use crate::proto::yarn;

/// A state store in ZooKeeper refuses nodes of 1 MiB, and the ResourceManager writes the whole context there.
const LARGEST_CONTEXT: usize = 900 << 10;
const MOST_TAGS: usize = 10;
const LONGEST_TAG: usize = 100;
/// YARN has no bound of its own; its page and `yarn application -list` have.
const LONGEST_NAME: usize = 1000;
const LONGEST_KIND: usize = 20;

const SUBMIT: &str = "submit the application";

fn refuse<T>(operation: &str, what: String, advice: &'static str) -> Result<T, YarnError> {
    Err(YarnError::invalid(operation, what, advice))
}

/// Splits `scheme://user@host:port/path`; the port of a name service is absent.
fn url(operation: &str, given: &str) -> Result<yarn::UrlProto, YarnError> {
    let read = || {
        let (scheme, rest) = given.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/')?);
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user.to_owned()), server),
            None => (None, authority),
        };
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, i32::from(port.parse::<u16>().ok()?)),
            _ => (server, -1),
        };
        let plain = !scheme.is_empty() && path.len() > 1;
        plain.then(|| yarn::UrlProto {
            scheme: Some(scheme.to_owned()),
            host: (!host.is_empty()).then(|| host.to_owned()),
            port: Some(port),
            file: Some(path.to_owned()),
            user_info: user,
        })
    };
    match read() {
        Some(url) => Ok(url),
        None => refuse(
            operation,
            format!("{given:?} is no address of a file"),
            "give it as hdfs://host:port/path or hdfs://nameservice/path",
        ),
    }
}

fn resource(operation: &str, name: &str, from: &LocalResource) -> Result<yarn::StringLocalResourceMapProto, YarnError> {
    const FILE: i32 = 2;
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        let what = format!("{name:?} can't be the name of a file in the working directory");
        return refuse(operation, what, "give it a plain name");
    }
    let visibility = match from.visibility {
        Visibility::Public => 1,
        Visibility::Private => 2,
        Visibility::Application => 3,
    };
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(yarn::StringLocalResourceMapProto {
        key: Some(name.to_owned()),
        value: Some(yarn::LocalResourceProto {
            resource: Some(url(operation, &from.url)?),
            size: Some(whole(from.size)),
            timestamp: Some(whole(from.mtime_ms)),
            r#type: Some(FILE),
            visibility: Some(visibility),
        }),
    })
}

/// The launch context of a container, as `operation` needs it.
pub(crate) fn launch_context(operation: &str, launch: &Launch) -> Result<yarn::ContainerLaunchContextProto, YarnError> {
    if launch.command.trim().is_empty() {
        return refuse(operation, "there is no command".to_owned(), "give a command");
    }
    let bad_name = |name: &str| name.is_empty() || name.contains(['=', '\0', ' ']);
    if let Some(name) = launch.env.keys().find(|name| bad_name(name)) {
        return refuse(operation, format!("{name:?} is no name of a variable"), "rename the variable");
    }
    let resources = launch.resources.iter().map(|(name, from)| resource(operation, name, from));
    let acl = |kind: i32, acl: &Option<String>| {
        acl.clone().map(|acl| yarn::ApplicationAclMapProto { access_type: Some(kind), acl: Some(acl) })
    };
    let context = yarn::ContainerLaunchContextProto {
        local_resources: resources.collect::<Result<_, _>>()?,
        tokens: Some(launch.credentials.write()),
        environment: launch
            .env
            .iter()
            .map(|(key, value)| yarn::StringStringMapProto { key: Some(key.clone()), value: Some(value.clone()) })
            .collect(),
        command: vec![launch.command.clone()],
        application_acls: acl(1, &launch.view_acl).into_iter().chain(acl(2, &launch.modify_acl)).collect(),
    };
    let bytes = context.encoded_len();
    if bytes > LARGEST_CONTEXT {
        return refuse(
            operation,
            format!("its launch context has {bytes} bytes, and YARN keeps at most {LARGEST_CONTEXT} safely"),
            "put what is large into a file in HDFS instead of environment and secrets",
        );
    }
    Ok(context)
}

/// The tags as YARN keeps them, or why it would not.
fn tags(given: &[String]) -> Result<Vec<String>, YarnError> {
    if given.len() > MOST_TAGS {
        return refuse(SUBMIT, format!("{} tags, and YARN takes {MOST_TAGS}", given.len()), "leave some out");
    }
    for tag in given {
        if tag.is_empty() || tag.len() > LONGEST_TAG {
            let what = format!("the tag {tag:?} has {} characters, and YARN takes 1 to {LONGEST_TAG}", tag.len());
            return refuse(SUBMIT, what, "shorten the tag");
        }
        if let Some(bad) = tag.chars().find(|c| !(' '..='~').contains(c)) {
            let what = format!("the tag {tag:?} has {bad:?}, and YARN takes printable ASCII");
            return refuse(SUBMIT, what, "leave that character out");
        }
    }
    Ok(given.iter().map(|tag| tag.to_ascii_lowercase()).collect())
}

fn check(submission: &Submission) -> Result<(), YarnError> {
    let Submission { name, kind, queue, .. } = submission;
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let what = format!("an application's name has 1 to {LONGEST_NAME} printable characters");
        return refuse(SUBMIT, what, "give the job another name");
    }
    if kind.is_empty() || kind.len() > LONGEST_KIND {
        return refuse(SUBMIT, format!("the type {kind:?} is longer than {LONGEST_KIND}"), "shorten the type");
    }
    if queue.is_empty() || queue.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse(SUBMIT, format!("{queue:?} is no name of a queue"), "check `queue:` in the job file");
    }
    Ok(())
}

/// The context that the ResourceManager keeps of an application.
pub(crate) fn submission(from: &Submission) -> Result<yarn::ApplicationSubmissionContextProto, YarnError> {
    const LIFETIME: i32 = 1;
    check(from)?;
    let millis = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let lifetime = from.lifetime.map(|span| yarn::ApplicationTimeoutMapProto {
        r#type: Some(LIFETIME),
        timeout: Some(i64::try_from(span.as_secs().max(1)).unwrap_or(i64::MAX)),
    });
    Ok(yarn::ApplicationSubmissionContextProto {
        application_id: Some(application_to(from.id)),
        application_name: Some(from.name.clone()),
        queue: Some(from.queue.clone()),
        priority: from.priority.map(|priority| yarn::PriorityProto { priority: Some(priority) }),
        am_container_spec: Some(launch_context(SUBMIT, &from.launch)?),
        max_app_attempts: (from.attempts > 0).then(|| i32::try_from(from.attempts).unwrap_or(i32::MAX)),
        resource: Some(size_to(from.size)),
        application_type: Some(from.kind.clone()),
        keep_containers: Some(from.keep_containers),
        application_tags: tags(&from.tags)?,
        attempt_failures_validity_interval: from.failures_count_for.map(millis),
        log_aggregation_context: from.logs.clone().map(|(include, exclude)| yarn::LogAggregationContextProto {
            include_pattern: Some(include),
            exclude_pattern: Some(exclude),
        }),
        node_label_expression: from.node_label.clone(),
        application_timeouts: lifetime.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests;
