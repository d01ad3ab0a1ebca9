//! Threads that only wait for the kernel to tell something.

use std::io;
use std::time::Duration;

use stockade_firewall::{OwnAddresses, Seen, Watch};
use tokio::sync::mpsc::Sender;

use super::Event;
use super::enforcer::{Enforcer, Order};

/// A thread that waits looks up at least this often, to see whether it is still needed.
const WAIT: Duration = Duration::from_secs(60);

/// Asks the enforcer to reconcile whenever somebody else changes our rules.
pub(super) fn watch_firewall(mut watch: Box<dyn Watch>, enforcer: &Enforcer) -> io::Result<()> {
    let orders = enforcer.sender();
    std::thread::Builder::new()
        .name("watch-firewall".into())
        .spawn(move || {
            loop {
                match watch.wait(WAIT) {
                    Ok(Seen::Changed) => {
                        if orders.send(Order::Reconcile).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        // Reconciling on a timer still finds changes.
                        tracing::warn!(
                            "cannot watch the firewall any more: {}",
                            crate::cli::chain(&error)
                        );
                        return;
                    }
                }
            }
        })?;
    Ok(())
}

/// Tells the addresses of this host now and whenever they change.
pub(super) fn watch_own_addresses(mut own: OwnAddresses, events: Sender<Event>) -> io::Result<()> {
    std::thread::Builder::new()
        .name("watch-addresses".into())
        .spawn(move || {
            loop {
                match own.wait_change(WAIT) {
                    Ok(false) => {}
                    Ok(true) => match own.current() {
                        Ok(addrs) => {
                            if events.blocking_send(Event::OwnAddresses(addrs)).is_err() {
                                return;
                            }
                        }
                        Err(error) => tracing::warn!("cannot read this host's addresses: {error}"),
                    },
                    Err(error) => {
                        tracing::error!("cannot watch this host's addresses any more: {error}");
                        return;
                    }
                }
            }
        })?;
    Ok(())
}
