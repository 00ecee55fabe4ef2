//! Where the ResourceManager's services listen, by Hadoop's rules.

use dybox_hrpc::{Address, Settings};

use crate::error::YarnError;

/// One of the ResourceManager's services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// The key after `yarn.resourcemanager.`.
    key: &'static str,
    port: u16,
}

/// For clients.
pub(crate) const CLIENTS: Service = Service { key: "address", port: 8032 };
/// For ApplicationMasters.
pub(crate) const SCHEDULER: Service = Service { key: "scheduler.address", port: 8030 };

fn wrong(what: String) -> YarnError {
    YarnError::Conf { what, advice: "correct yarn-site.xml in HADOOP_CONF_DIR" }
}

/// Reads the value of `key`.
fn read(settings: &Settings, key: &str, port: u16) -> Result<Address, YarnError> {
    let value = settings.value(key);
    let text = value.map_or("", |value| &value.text);
    let text = text.strip_suffix(':').unwrap_or(text);
    Address::read(text, port).ok_or_else(|| {
        let place = value.map_or_else(String::new, |value| format!("{}: ", value.source));
        wrong(format!("{place}{key} is {text:?}, which is no host and port"))
    })
}

/// `address.<id>`, else `hostname.<id>` with the default port.
fn of_id(settings: &Settings, service: Service, id: &str) -> Result<Address, YarnError> {
    let key = format!("yarn.resourcemanager.{}.{id}", service.key);
    let set = |key: &str| settings.get(key).is_some_and(|text| !text.is_empty());
    if set(&key) {
        return Ok(read(settings, &key, service.port)?.named(id));
    }
    let host = format!("yarn.resourcemanager.hostname.{id}");
    match set(&host) {
        true => Ok(read(settings, &host, service.port)?.named(id)),
        false => {
            Err(wrong(format!("yarn.resourcemanager.ha.rm-ids names {id:?}, but neither {key} nor {host} is set")))
        }
    }
}

/// All servers of a service: one, or each of `yarn.resourcemanager.ha.rm-ids`.
pub(crate) fn addresses(settings: &Settings, service: Service) -> Result<Vec<Address>, YarnError> {
    if settings.get("yarn.resourcemanager.ha.enabled") == Some("true") {
        let ids = settings.list("yarn.resourcemanager.ha.rm-ids");
        if ids.is_empty() {
            return Err(wrong(
                "yarn.resourcemanager.ha.enabled is true, but yarn.resourcemanager.ha.rm-ids is not set".to_owned(),
            ));
        }
        return ids.iter().map(|id| of_id(settings, service, id)).collect();
    }
    let key = format!("yarn.resourcemanager.{}", service.key);
    let host = "yarn.resourcemanager.hostname";
    for key in [key.as_str(), host] {
        // Hadoop's own default is 0.0.0.0, which finds nobody but on a machine that is the whole cluster.
        if settings.get(key).is_some_and(|text| !text.is_empty() && !text.starts_with("0.0.0.0")) {
            return Ok(vec![read(settings, key, service.port)?]);
        }
    }
    let named = settings.site().contains_key(&key) || settings.site().contains_key(host);
    if named {
        return Ok(vec![Address::new("127.0.0.1", service.port)]);
    }
    Err(wrong(format!("the configuration names no ResourceManager: neither {key} nor {host} is set")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let map: BTreeMap<_, _> =
            pairs.iter().map(|(key, value)| (format!("yarn.resourcemanager.{key}"), (*value).to_owned())).collect();
        let all = addresses(&Settings::from_map(map), CLIENTS).map_err(|error| error.to_string())?;
        Ok(all.iter().map(|address| format!("{}={address}", address.id)).collect())
    }

    #[test]
    fn one_resource_manager_is_found_by_its_address_or_host() {
        assert_eq!(found(&[("address", "rm:1"), ("hostname", "other")]).unwrap(), ["rm:1=rm:1"]);
        assert_eq!(found(&[("hostname", "rm")]).unwrap(), ["rm:8032=rm:8032"]);
    }

    #[test]
    fn two_are_found_by_their_ids() {
        let ha = [("ha.enabled", "true"), ("ha.rm-ids", "a, b"), ("address.a", "x:1"), ("hostname.b", "y")];
        assert_eq!(found(&ha).unwrap(), ["a=x:1", "b=y:8032"]);
        let error = found(&ha[..3]).unwrap_err();
        assert!(error.contains("names \"b\", but neither"), "{error}");
    }

    #[test]
    fn a_configuration_without_one_is_no_configuration() {
        let error = found(&[]).unwrap_err();
        assert!(error.contains("names no ResourceManager"), "{error}");
        assert!(found(&[("address", "rm:http")]).unwrap_err().contains("no host and port"));
    }
}
