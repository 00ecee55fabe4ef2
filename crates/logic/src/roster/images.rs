//! Images that nodes have. Those of one cluster have mostly the same ones, so each is kept once.

use std::collections::BTreeSet;
use std::sync::Arc;

use dybox_model::roster::NodeImage;

/// Every image that some node has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Images(BTreeSet<Arc<NodeImage>>);

/// The images of one node.
pub(super) type Shared = Box<[Arc<NodeImage>]>;

impl Images {
    /// The same images; what another node has, too, is not kept again.
    pub(super) fn share(&mut self, images: Vec<NodeImage>) -> Shared {
        let one = |image: NodeImage| {
            if let Some(known) = self.0.get(&image) {
                return Arc::clone(known);
            }
            let new = Arc::new(NodeImage { names: tight(image.names), ..image });
            self.0.insert(Arc::clone(&new));
            new
        };
        images.into_iter().map(one).collect()
    }

    /// A node does not have these any more.
    pub(super) fn release(&mut self, images: Shared) {
        for image in images {
            // This one and the one in the set.
            if Arc::strong_count(&image) == 2 {
                self.0.remove(&image);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// What was read piece by piece has room for more.
fn tight(mut names: Vec<String>) -> Vec<String> {
    names.shrink_to_fit();
    names
}
