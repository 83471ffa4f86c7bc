//! Accepting, and what each handler is run in.
//!
//! Accepting stands for receiving, too, and connection for datagram; what differs is in `endpoint`.
//!
//! # Slots
//! A slot comes first, then the connection: while all slots are taken, clients wait in the backlog, where a
//! server of several processes would let another one have them. An acceptor never keeps a slot while it waits
//! for clients, or those of one listener could shut out those of another.
//!
//! # Errors of accept(2)
//! | error | then |
//! |---|---|
//! | would block | wait for the listener |
//! | `ECONNABORTED`, `EINTR` | the client has gone, a signal came: the next one |
//! | `EBADF`, `EINVAL`, `ENOTSOCK`, `EOPNOTSUPP` | it is no listener (any more): the server closes with this error |
//! | the rest: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, the network's | pause, longer each time |

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::endpoint::{self, Endpoint};
use super::home::Home;
use super::incident::{Incident, Outcome};
use super::jobs;
use super::shared::{Cargo, Shared};
use crate::scheduler::{self, Killed};
use crate::timer;

/// Accepts from one endpoint.
pub(super) struct Acceptor<'a, E: Endpoint, H> {
    pub(super) shared: &'a Arc<Shared<E>>,
    pub(super) home: &'a H,
    pub(super) endpoint: Arc<E>,
    pub(super) generation: u64,
}

impl<E: Endpoint, H: Home<E>> Acceptor<'_, E, H> {
    /// Until its generation has ended.
    pub(super) fn run(&self) {
        let options = &self.shared.options;
        let mut pause = options.shortest_pause;
        let mut in_a_row = 0;
        let mut scratch = E::Scratch::default();
        while self.shared.accepts(self.generation) {
            if in_a_row == options.max_accept {
                in_a_row = 0;
                scheduler::yield_now();
                continue;
            }
            if let Some(left) = self.shared.left_to_rest() {
                timer::sleep(left);
                continue;
            }
            let slot = options.slots.take();
            // On another thread somebody may have ended this generation while it waited for the slot.
            if !self.shared.accepts(self.generation) {
                return;
            }
            let incident = match E::take(&self.endpoint, &mut scratch) {
                Ok((item, peer)) => {
                    in_a_row += 1;
                    let cargo = Cargo {
                        item,
                        peer: peer.clone(),
                        slot,
                    };
                    match jobs::spawn_connection(self.shared, self.home, cargo) {
                        Ok(()) => {
                            pause = options.shortest_pause;
                            continue;
                        }
                        Err(error) => Incident::Spawn { peer, error, pause },
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    in_a_row = 0;
                    drop(slot);
                    match self.endpoint.wait_for_item() {
                        Ok(()) => continue, // that ends no row of failures yet
                        Err(error) => Incident::Accept { error, pause },
                    }
                }
                Err(error) => {
                    drop(slot);
                    Incident::Accept { error, pause }
                }
            };
            match incident {
                Incident::Accept { error, .. } if E::is_nothing(&error) => continue,
                Incident::Accept { error, .. } if endpoint::is_fatal(&error) => {
                    if self.shared.accepts(self.generation) {
                        tracing::error!(target: "rustlet", %error, "server: accept; it closes");
                        self.shared.close(Some(error));
                    }
                    return;
                }
                passing => (options.on_error)(&passing),
            }
            // An acceptor that ended its own generation, in the hook, was not killed.
            if !self.shared.accepts(self.generation) {
                return;
            }
            timer::sleep(pause);
            pause = (pause * 2).min(options.longest_pause);
        }
    }
}

/// Runs the handler, and reports what goes wrong in it.
pub(super) fn serve<E: Endpoint, R: Outcome>(
    shared: &Shared<E>,
    peer: E::Addr,
    handler: impl FnOnce() -> R,
) {
    let report = &shared.options.on_error;
    match catch_unwind(AssertUnwindSafe(|| handler().into_error())) {
        Ok(None) => {}
        Ok(Some(error)) => report(&Incident::Failed {
            peer,
            error: &*error,
        }),
        Err(payload) => {
            if !payload.is::<Killed>() {
                report(&Incident::Panicked {
                    peer,
                    payload: &*payload,
                });
            }
            resume_unwind(payload);
        }
    }
}
