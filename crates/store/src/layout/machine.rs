//! Names of what runs on a machine share.

use dybox_model::{GrantId, RunId};
use sha2::{Digest, Sha256};

/// Names that all runs of a user on one machine share.
#[derive(Debug, Clone, Copy)]
pub struct Machine;

impl Machine {
    /// Held while the shares are counted and changed.
    #[must_use]
    pub fn budget_lock() -> String {
        "machine/budget.lock".to_owned()
    }

    /// The directory of all shares.
    #[must_use]
    pub fn shares() -> String {
        "machine/shares".to_owned()
    }

    /// A grant's share of the budget.
    #[must_use]
    pub fn share(run: &RunId, grant: GrantId) -> String {
        format!("machine/shares/{run}.{grant}")
    }

    /// The directory in which runs say that they wait for room.
    #[must_use]
    pub fn waiting() -> String {
        "machine/waiting".to_owned()
    }

    /// The lock of one of the slots for starts in flight.
    #[must_use]
    pub fn start_slot(slot: u32) -> String {
        format!("machine/starts/{slot}")
    }

    /// Held while this image is pulled.
    #[must_use]
    pub fn pull(image: &str) -> String {
        format!("machine/pulls/{}", digest(image))
    }

    /// The same for all users of the machine, in the directory that the node's agent made for it.
    #[must_use]
    pub fn pull_of_all(image: &str) -> String {
        format!("pulls/{}", digest(image))
    }

    /// The directory of what is known of images.
    #[must_use]
    pub fn images() -> String {
        "machine/images".to_owned()
    }

    /// Whether DYbox brought the image with this id; written anew when it is used.
    #[must_use]
    pub fn image(id: &str) -> String {
        format!("machine/images/{}", digest(id))
    }

    /// The static init, by its digest; mode 0755.
    #[must_use]
    pub fn init(digest: &str) -> String {
        format!("machine/init/{digest}")
    }

    /// The directory of the inits.
    #[must_use]
    pub fn inits() -> String {
        "machine/init".to_owned()
    }

    /// What the machine's engine said of itself.
    #[must_use]
    pub fn engine() -> String {
        "machine/engine.json".to_owned()
    }

    /// Which run a `--request-id` made: holds the run id.
    #[must_use]
    pub fn request(id: &str) -> String {
        format!("machine/requests/{}", digest(id))
    }
}

/// Any text as a name of a file.
fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
