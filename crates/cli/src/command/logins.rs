//! Docker's logins of the submitter, for runs whose images others pull: machines of a cluster.

use std::collections::BTreeMap;

use dybox_job::Plan;
use dybox_model::Login;

use super::Context;
use crate::report::Failure;

/// Those for the registries of the plan's images; none on one machine, whose proxies ask docker themselves. An image
/// whose stage names its own login needs none.
pub(crate) async fn of(context: &Context, plan: &Plan) -> Result<BTreeMap<String, Login>, Failure> {
    if !context.is_cluster()? {
        return Ok(BTreeMap::new());
    }
    let stages = plan.stages.iter().filter(|stage| stage.registry_auth.is_none() && stage.taken.is_none());
    Ok(dybox_engine::logins(&context.engine_conf(), stages.map(|stage| stage.image.as_str())).await)
}
