//! The record of one plugin: its faults, its quarantine and its counters, visible from other threads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::fault::Fault;
use crate::isolate::Next;
use crate::quarantine::{Admission, Quarantine, State, Verdict};
use crate::role::Role;
use stockade_core::PluginName;

/// How a plugin is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStatus {
    /// Its name.
    pub name: PluginName,
    /// What it does.
    pub role: Role,
    /// Whether it is called.
    pub state: State,
    /// Calls that ended as they should, since it was loaded.
    pub calls: u64,
    /// Lines (of a filter) or decisions (of an action) that it was asked about.
    pub items: u64,
    /// Lines or decisions that it did not judge, because of faults or of quarantine.
    pub skipped: u64,
    /// Findings that cannot be counted, such as texts that are too long.
    pub dropped: u64,
    /// Faults; one for each poison item.
    pub faults: u64,
    /// Quarantines.
    pub quarantines: u64,
    /// What the last fault was, escaped.
    pub last_fault: Option<String>,
    /// Decisions that wait, where it is an action; see [`StatusHandle::set_queued`].
    pub queued: usize,
}

/// Shows how a plugin is while its own thread uses it. Cloning is cheap.
#[derive(Clone)]
pub struct StatusHandle(Arc<Shared>);

struct Shared {
    name: PluginName,
    role: Role,
    clock: Arc<dyn Clock>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    quarantine: Quarantine,
    calls: u64,
    items: u64,
    skipped: u64,
    dropped: u64,
    faults: u64,
    quarantines: u64,
    last_fault: Option<String>,
    queued: usize,
}

impl StatusHandle {
    pub(crate) fn new(name: PluginName, role: Role, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            name,
            role,
            clock,
            record: Mutex::default(),
        }))
    }

    /// How the plugin is now.
    #[must_use]
    pub fn snapshot(&self) -> PluginStatus {
        let now = self.0.clock.monotonic();
        let record = self.record();
        PluginStatus {
            name: self.0.name.clone(),
            role: self.0.role,
            state: record.quarantine.state(now),
            calls: record.calls,
            items: record.items,
            skipped: record.skipped,
            dropped: record.dropped,
            faults: record.faults,
            quarantines: record.quarantines,
            last_fault: record.last_fault.clone(),
            queued: record.queued,
        }
    }

    /// Says how many decisions wait, for [`PluginStatus::queued`].
    pub fn set_queued(&self, queued: usize) {
        self.record().queued = queued;
    }

    /// Whether the plugin may be called now.
    pub(crate) fn admit(&self) -> Admission {
        self.record().quarantine.admit(self.0.clock.monotonic())
    }

    /// A call ended as it should.
    pub(crate) fn called(&self) {
        let mut record = self.record();
        record.calls = record.calls.saturating_add(1);
    }

    /// A request was worked off.
    pub(crate) fn count(&self, items: usize, skipped: usize, dropped: usize) {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut record = self.record();
        record.items = record.items.saturating_add(wide(items));
        record.skipped = record.skipped.saturating_add(wide(skipped));
        record.dropped = record.dropped.saturating_add(wide(dropped));
    }

    /// A fault happened: counts it, says it, and decides whether to go on.
    pub(crate) fn fault(&self, fault: &Fault) -> Next {
        let now = self.0.clock.monotonic();
        let mut record = self.record();
        record.faults = record.faults.saturating_add(1);
        record.last_fault = Some(fault.message.clone());
        let verdict = record.quarantine.fault(now);
        if matches!(verdict, Verdict::Quarantine { .. }) {
            record.quarantines = record.quarantines.saturating_add(1);
        }
        drop(record);
        let (plugin, kind, role) = (&self.0.name, fault.kind, self.0.role);
        match verdict {
            Verdict::Restart => {
                tracing::warn!(%plugin, ?kind, %fault, "plugin failed; it is started again");
                Next::GoOn
            }
            Verdict::Quarantine { until } => {
                let pause_ms = until.saturating_sub(now).as_millis();
                let meanwhile = match role {
                    Role::Filter => "its lines are not judged",
                    Role::Action => "its decisions wait",
                };
                tracing::error!(%plugin, ?kind, %fault, pause_ms, "plugin is in quarantine: {meanwhile}");
                Next::Stop
            }
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Counters stay true whatever a thread was doing when it panicked.
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StatusHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatusHandle")
            .field(&self.snapshot())
            .finish()
    }
}
