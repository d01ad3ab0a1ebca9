//! Threads that only wait for the kernel to tell something.

use std::io;
use std::sync::Weak;
use std::thread::JoinHandle;
use std::time::Duration;

use stockade_firewall::{DefaultGateways, OwnAddresses, Seen, Watch};
use tokio::sync::mpsc::Sender;

use super::Event;
use super::enforcement::{Order, Queue};

/// A thread that waits looks up at least this often, to see whether it is still needed.
const WAIT: Duration = Duration::from_secs(60);

/// Has a backend reconcile whenever somebody else changes our rules, until its thread has ended.
pub(super) fn watch_firewall(
    mut watch: Box<dyn Watch>,
    queue: Weak<Queue>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("watch-firewall".into())
        .spawn(move || {
            loop {
                let seen = watch.wait(WAIT);
                let Some(queue) = queue.upgrade() else {
                    return;
                };
                match seen {
                    Ok(Seen::Changed) => queue.push(Order::Reconcile),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(
                            "cannot watch the firewall any more: {}",
                            crate::cli::chain(&error)
                        );
                        // A connection that is lost is found by looking, and a new one is watched again.
                        queue.push(Order::Reconcile);
                        return;
                    }
                }
            }
        })
}

/// Tells the addresses of this host whenever they change.
pub(super) fn watch_own_addresses(mut own: OwnAddresses, events: Sender<Event>) -> io::Result<()> {
    watch_addresses("this host's addresses", events, move || {
        let changed = own.wait_change(WAIT)?;
        Ok(changed.then(|| own.current().map(Event::OwnAddresses)))
    })
}

/// Tells the default gateways whenever they change.
pub(super) fn watch_gateways(
    mut gateways: DefaultGateways,
    events: Sender<Event>,
) -> io::Result<()> {
    watch_addresses("the default gateways", events, move || {
        let changed = gateways.wait_change(WAIT)?;
        Ok(changed.then(|| gateways.current().map(Event::Gateways)))
    })
}

/// Waits for changes until nobody listens any more, or waiting fails.
fn watch_addresses(
    what: &'static str,
    events: Sender<Event>,
    mut wait: impl FnMut() -> io::Result<Option<io::Result<Event>>> + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new()
        .name("watch-addresses".into())
        .spawn(move || {
            loop {
                match wait() {
                    Ok(None) => {}
                    Ok(Some(Ok(event))) => {
                        if events.blocking_send(event).is_err() {
                            return;
                        }
                    }
                    Ok(Some(Err(error))) => tracing::warn!("cannot read {what}: {error}"),
                    Err(error) => {
                        tracing::error!("cannot watch {what} any more: {error}");
                        return;
                    }
                }
            }
        })?;
    Ok(())
}
