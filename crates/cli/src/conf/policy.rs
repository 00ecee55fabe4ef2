//! What a user must not loosen: the administrator's `/etc/dybox/policy.toml`.

use dybox_model::policy::Rules;
use dybox_store::policy::{BadPolicy, POLICY_KEYS, of_machine};

use super::layer::unknown;
use crate::report::{Failure, codes};

/// This machine's policy.
///
/// # Errors
/// It can't be read or understood; its place and why.
pub(super) fn load() -> Result<Option<Rules>, Failure> {
    of_machine().map_err(bad_policy)
}

/// A policy that can't be used: nothing goes on without it.
pub(crate) fn bad_policy(bad: BadPolicy) -> Failure {
    match bad.unknown {
        Some(key) => unknown(&key, &bad.place, POLICY_KEYS.iter().map(|(key, _)| *key)),
        None => Failure::coded(codes::CONF_VALUE, "the policy can't be used").place(bad.place).why(bad.what),
    }
}
