//! A grant that YARN takes back: a quarter of a second from SIGTERM to SIGKILL.

use std::sync::Arc;

use dybox_engine::Asked;
use dybox_logic::proxy::Event;
use dybox_model::{Cause, EndedBy};

use super::Performer;
use crate::names;
use crate::remove::remove_proven;

impl Performer {
    /// Asks the engine at once to remove everything of this grant by force, all at the same time; the engine goes on
    /// with it when this process is gone. What is about to start finds no spec and starts nothing.
    pub(crate) fn end_now(&mut self) {
        tracing::warn!("the grant is taken back: all of it is removed");
        for (attempt, hand) in &mut self.hands {
            let text = "YARN took the grant back".to_owned();
            hand.asked = Some(Asked { by: EndedBy::Stop, cause: Cause::GrantLost, text });
            hand.files.revoke();
            hand.halt.notify_one();
            let (ports, kick, attempt) = (self.ports.clone(), Arc::clone(&hand.kick), *attempt);
            let (name, id) = (hand.name.clone(), hand.container.clone());
            tokio::spawn(async move {
                let Ok(known) = ports.engine().await else { return };
                let removed = match id {
                    Some(id) => known.engine.remove(&id).await.map(drop),
                    None => remove_proven(&known.engine, &name, &ports.secret).await,
                };
                match removed {
                    Ok(()) => kick.notify_one(),
                    Err(error) => {
                        tracing::warn!(container = name, %error, "can't remove");
                        ports.tell(Event::KillFailed(attempt));
                    }
                }
            });
        }
        if let Some(parked) = self.parked.take() {
            tokio::spawn(parked.end(None));
        }
        if self.sandbox.is_some() {
            let ports = self.ports.clone();
            tokio::spawn(async move {
                let name = names::sandbox(&ports.places.run_id, ports.places.grant_id);
                let Ok(known) = ports.engine().await else { return };
                if let Err(error) = remove_proven(&known.engine, &name, &ports.secret).await {
                    tracing::warn!(container = name, %error, "can't remove");
                }
            });
        }
    }
}
