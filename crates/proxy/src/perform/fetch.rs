//! What must be there before a container is made: inputs and image.

use dybox_engine::ImageInfo;
use dybox_model::TaskSpec;

use crate::files::Files;
use crate::image::{self, NoImage, Wanted};
use crate::inbox::Arrived;
use crate::ports::Ports;
use crate::{data, secrets};

/// Brings inputs and image.
pub(super) async fn fetched(ports: &Ports, spec: &TaskSpec) -> Result<ImageInfo, NoImage> {
    bring(ports, spec).await?;
    let known = ports.engine().await.map_err(NoImage::from)?;
    let wanted = Wanted::of(spec, secrets::login(ports, spec).await?);
    image::ensure(&known.engine, &ports.places.home, &wanted, |note| ports.note(note)).await
}

/// Brings the inputs.
async fn bring(ports: &Ports, spec: &TaskSpec) -> Result<(), NoImage> {
    let moved = data::bring(ports, spec).await.map_err(|no| {
        let _ = Files::of(&ports.places, spec.attempt).remove_data();
        NoImage { cause: no.cause, text: no.text }
    })?;
    if !moved.is_empty() {
        ports.arrive(Arrived::Brought(spec.attempt, moved));
    }
    Ok(())
}
