//! Names in `ignoreip`: looked up again and again, so that a host that gets another address stays safe.

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use stockade_config::IgnoreEntry;
use stockade_core::JailName;
use tokio::sync::mpsc::Sender;

use super::Event;
use crate::setup::ReadyJail;

/// fail2ban keeps what it has looked up for five minutes, and people count on that.
const LOOK_UP_EVERY: Duration = Duration::from_secs(300);

/// A thread that looks names up; ends when dropped.
#[derive(Debug)]
pub(super) struct NameResolver {
    stop: Arc<AtomicBool>,
    thread: Thread,
}

impl NameResolver {
    /// Starts the thread, where some jail ignores a name.
    pub(super) fn start(
        jails: &[ReadyJail],
        events: Sender<Event>,
    ) -> std::io::Result<Option<Self>> {
        let named: Vec<(JailName, Vec<String>)> = jails
            .iter()
            .map(names)
            .filter(|(_, n)| !n.is_empty())
            .collect();
        if named.is_empty() {
            return Ok(None);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("names".into())
            .spawn(move || {
                while !stopped.load(Ordering::Acquire) {
                    for (jail, names) in &named {
                        look_up(jail, names, &events);
                    }
                    std::thread::park_timeout(LOOK_UP_EVERY);
                }
            })?;
        Ok(Some(Self {
            stop,
            thread: thread.thread().clone(),
        }))
    }
}

impl Drop for NameResolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn names(jail: &ReadyJail) -> (JailName, Vec<String>) {
    let names = jail
        .settings
        .rules
        .ignoreip
        .iter()
        .filter_map(|entry| match entry {
            IgnoreEntry::Name(name) => Some(name.clone()),
            IgnoreEntry::Net(_) | IgnoreEntry::Text(_) => None,
        });
    (jail.settings.name.clone(), names.collect())
}

/// A name that cannot be looked up now keeps all addresses of the jail as they were: losing one could
/// ban somebody who must not be banned.
fn look_up(jail: &JailName, names: &[String], events: &Sender<Event>) {
    let mut addrs = Vec::new();
    for name in names {
        match (name.as_str(), 0).to_socket_addrs() {
            Ok(found) => addrs.extend(found.map(|found| found.ip())),
            Err(error) => {
                tracing::warn!("[{jail}] cannot look up '{name}' of ignoreip: {error}");
                return;
            }
        }
    }
    drop(events.blocking_send(Event::Resolved(jail.clone(), addrs)));
}
