//! A plugin that carries bans elsewhere.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use wasmtime::Store;

use crate::bindings::exports::stockade::action::action as wit;
use crate::bindings::stockade::types::types;
use crate::decision::Decision;
use crate::escape::escaped;
use crate::fault::{Fault, FaultKind};
use crate::filter::MESSAGE_BYTES_MAX;
use crate::host::PluginHost;
use crate::isolate::{Failed, Isolation, isolate};
use crate::load::{PluginSpec, Template};
use crate::load_error::{LoadError, LoadReason};
use crate::quarantine::Admission;
use crate::role::Role;
use crate::state::HostState;
use crate::supervisor::{PluginStatus, StatusHandle};
use stockade_core::PluginName;

/// Decisions in one call of `apply` or `revoke`: an action that makes a request for each has about a
/// second for one.
const DECISIONS_PER_CALL: usize = 32;

/// A loaded action. It belongs to one thread, which it blocks while it runs and waits.
pub struct ActionPlugin {
    runner: Runner,
    status: StatusHandle,
    name: PluginName,
}

/// Why a decision was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ActionError {
    /// What is the matter.
    pub kind: ActionErrorKind,
    /// One escaped line for the operator.
    pub message: String,
    /// Whether it may help to try again later.
    pub retry: bool,
}

/// What is the matter with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionErrorKind {
    /// The plugin says that the input is wrong.
    Invalid,
    /// The plugin says that the other side refuses for good.
    Denied,
    /// The plugin says that it cannot be done now.
    Unavailable,
    /// The plugin says something else.
    Other,
    /// The plugin failed on it.
    Fault,
    /// The plugin was not asked, because it failed on others or is in quarantine.
    NotTried,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Apply,
    Revoke,
    Reconcile,
}

struct Runner {
    template: Template,
    indices: wit::GuestIndices,
    live: Option<Live>,
}

struct Live {
    store: Store<HostState>,
    guest: wit::Guest,
}

impl fmt::Debug for ActionPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionPlugin")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl PluginHost {
    /// Loads an action, starts it and has it configured.
    ///
    /// # Errors
    /// Where it cannot be loaded or refuses to start, in words for the operator.
    pub fn load_action(&self, spec: PluginSpec) -> Result<ActionPlugin, LoadError> {
        let name = spec.name.clone();
        let loaded = self.template(spec, Role::Action).and_then(Runner::new);
        let runner = loaded.map_err(|reason| LoadError {
            plugin: name.clone(),
            reason,
        })?;
        let clock = Arc::clone(&self.shared.clock);
        let status = StatusHandle::new(name.clone(), Role::Action, clock);
        Ok(ActionPlugin {
            runner,
            status,
            name,
        })
    }
}

impl ActionPlugin {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PluginName {
        &self.name
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> PluginStatus {
        self.status.snapshot()
    }

    /// Shows how it is to other threads.
    #[must_use]
    pub fn status_handle(&self) -> StatusHandle {
        self.status.clone()
    }

    /// Puts bans into force. One result for each decision, in the same order.
    ///
    /// A decision on which the plugin fails does not take the others down: the rest is tried without
    /// it. A plugin in quarantine is not called, and every result may be tried again.
    pub fn apply(&mut self, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        let results = self.in_parts(Act::Apply, decisions);
        self.counted(results)
    }

    /// Lifts bans; as [`ActionPlugin::apply`].
    pub fn revoke(&mut self, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        let results = self.in_parts(Act::Revoke, decisions);
        self.counted(results)
    }

    /// Tells all bans that are in force; the plugin lifts any others of its own.
    ///
    /// This cannot be done in parts, since a part of the list would lift the rest. If the plugin fails,
    /// the decisions are applied to find those it fails on, and the rest is told without them.
    pub fn reconcile(&mut self, active: &[Decision]) -> Vec<Result<(), ActionError>> {
        let results = self.reconciled(active);
        self.counted(results)
    }

    /// Whether it could do its work now.
    ///
    /// # Errors
    /// What the plugin says, or its fault.
    pub fn probe(&mut self) -> Result<(), ActionError> {
        if !self.is_admitted() {
            return Err(ActionError::not_tried());
        }
        match self.runner.call(|guest, store| guest.call_probe(store)) {
            Ok(answer) => {
                self.status.called();
                answer.map_err(ActionError::from)
            }
            Err(Failed::Items(fault) | Failed::Broken(fault)) => Err(self.failed(&fault)),
        }
    }

    fn is_admitted(&self) -> bool {
        matches!(self.status.admit(), Admission::Run)
    }

    /// Counts a fault that no decision is to blame for.
    fn failed(&self, fault: &Fault) -> ActionError {
        // The verdict shows when the plugin is called next.
        let _next = self.status.fault(fault);
        ActionError {
            retry: true,
            ..ActionError::from(fault)
        }
    }

    fn counted(&self, results: Vec<Result<(), ActionError>>) -> Vec<Result<(), ActionError>> {
        let is_skipped = |result: &&Result<(), ActionError>| {
            let kind = result.as_ref().err().map(|error| error.kind);
            matches!(
                kind,
                Some(ActionErrorKind::Fault | ActionErrorKind::NotTried)
            )
        };
        self.status
            .count(results.len(), results.iter().filter(is_skipped).count(), 0);
        results
    }

    fn in_parts(&mut self, act: Act, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        let mut results = Vec::with_capacity(decisions.len());
        for part in decisions.chunks(DECISIONS_PER_CALL) {
            results.extend(self.part(act, part));
        }
        results
    }

    fn part(&mut self, act: Act, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        if !self.is_admitted() {
            return not_tried(decisions.len());
        }
        let (runner, status) = (&mut self.runner, &self.status);
        let isolation = isolate(
            decisions.len(),
            |range: Range<usize>| {
                let part: Vec<_> = decisions.get(range).unwrap_or_default().iter().collect();
                runner.act(act, &part).inspect(|_| status.called())
            },
            |_, fault| status.fault(fault),
        );
        if let Some(fault) = &isolation.failed_with {
            let _error = self.failed(fault);
        }
        gather(isolation, decisions.len())
    }

    fn reconciled(&mut self, active: &[Decision]) -> Vec<Result<(), ActionError>> {
        if !self.is_admitted() {
            return not_tried(active.len());
        }
        let all: Vec<_> = active.iter().collect();
        let fault = match self.runner.act(Act::Reconcile, &all) {
            Ok(results) => {
                self.status.called();
                return results;
            }
            Err(Failed::Broken(fault)) => {
                let error = self.failed(&fault);
                return vec![Err(error); active.len()];
            }
            Err(Failed::Items(fault)) => fault,
        };
        let mut results = self.in_parts(Act::Apply, active);
        let is_poison = |result: &Result<(), ActionError>| {
            result
                .as_ref()
                .is_err_and(|error| error.kind == ActionErrorKind::Fault)
        };
        if !results.iter().any(is_poison) {
            let _error = self.failed(&fault);
        }
        let (told, places): (Vec<_>, Vec<_>) = active
            .iter()
            .zip(results.iter_mut())
            .filter(|(_, result)| !is_poison(result))
            .unzip();
        let again = if matches!(self.status.admit(), Admission::Run) {
            match self.runner.act(Act::Reconcile, &told) {
                Ok(results) => {
                    self.status.called();
                    results
                }
                Err(Failed::Items(fault) | Failed::Broken(fault)) => {
                    let _next = self.status.fault(&fault);
                    vec![
                        Err(ActionError {
                            retry: true,
                            ..ActionError::from(&fault)
                        });
                        told.len()
                    ]
                }
            }
        } else {
            not_tried(told.len())
        };
        for (place, result) in places.into_iter().zip(again) {
            *place = result;
        }
        results
    }
}

impl Runner {
    fn new(template: Template) -> Result<Self, LoadReason> {
        let indices = wit::GuestIndices::new(&template.pre)
            .map_err(|error| LoadReason::Link(Fault::from(error).message))?;
        let mut runner = Self {
            template,
            indices,
            live: None,
        };
        runner.live = Some(runner.start()?);
        Ok(runner)
    }

    /// A new, configured instance.
    fn start(&self) -> Result<Live, LoadReason> {
        let template = &self.template;
        let mut store = template.store();
        let limit = template.limits.configure;
        let (guest, answer) = template
            .call(&mut store, limit, |store| {
                let instance = template.pre.instantiate(&mut *store)?;
                let guest = self.indices.load(&mut *store, &instance)?;
                let answer = guest.call_configure(&mut *store, &template.settings)?;
                Ok((guest, answer))
            })
            .map_err(|fault| LoadReason::Start(fault.message))?;
        answer.map_err(|error| {
            LoadReason::Refused(escaped(error.message.as_bytes(), MESSAGE_BYTES_MAX))
        })?;
        Ok(Live { store, guest })
    }

    /// Makes one call, on a new instance after a fault; a fault drops the instance.
    fn call<T>(
        &mut self,
        call: impl FnOnce(&wit::Guest, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, Failed<Fault>> {
        let live = match self.live.take() {
            Some(live) => Ok(live),
            None => self.start(),
        };
        let Live { mut store, guest } = live.map_err(|reason| {
            Failed::Broken(Fault {
                kind: FaultKind::Restart,
                message: format!("it {reason}"),
            })
        })?;
        let answer = self
            .template
            .call(&mut store, self.template.limits.call, |store| {
                call(&guest, store)
            })
            .map_err(Failed::Items)?;
        self.live = Some(Live { store, guest });
        Ok(answer)
    }

    fn act(
        &mut self,
        act: Act,
        decisions: &[&Decision],
    ) -> Result<Vec<Result<(), ActionError>>, Failed<Fault>> {
        let list: Vec<_> = decisions.iter().map(|decision| decision.to_wit()).collect();
        let answer = self.call(|guest, store| match act {
            Act::Apply => guest.call_apply(store, &list),
            Act::Revoke => guest.call_revoke(store, &list),
            Act::Reconcile => guest.call_reconcile(store, &list),
        })?;
        if answer.len() == decisions.len() {
            return Ok(answer
                .into_iter()
                .map(|result| result.map_err(ActionError::from))
                .collect());
        }
        self.live = None;
        let (got, wanted) = (answer.len(), decisions.len());
        Err(Failed::Items(Fault::answer(format!(
            "it gave {got} results for {wanted} decisions"
        ))))
    }
}

/// Puts the parts of a list together again.
fn gather(
    isolation: Isolation<Vec<Result<(), ActionError>>, Fault>,
    len: usize,
) -> Vec<Result<(), ActionError>> {
    let mut results = not_tried(len);
    for (range, part) in isolation.judged {
        for (place, result) in results.iter_mut().skip(range.start).zip(part) {
            *place = result;
        }
    }
    for (index, fault) in isolation.poison {
        if let Some(place) = results.get_mut(index) {
            *place = Err(ActionError::from(&fault));
        }
    }
    results
}

fn not_tried(len: usize) -> Vec<Result<(), ActionError>> {
    vec![Err(ActionError::not_tried()); len]
}

impl ActionError {
    fn not_tried() -> Self {
        Self {
            kind: ActionErrorKind::NotTried,
            message: "the plugin failed and is left alone for a while".into(),
            retry: true,
        }
    }
}

impl From<&Fault> for ActionError {
    /// A decision that the plugin failed on: it would fail again.
    fn from(fault: &Fault) -> Self {
        Self {
            kind: ActionErrorKind::Fault,
            message: fault.message.clone(),
            retry: false,
        }
    }
}

impl From<types::Error> for ActionError {
    fn from(error: types::Error) -> Self {
        let (kind, retry) = match error.kind {
            types::ErrorKind::Invalid => (ActionErrorKind::Invalid, false),
            types::ErrorKind::Denied => (ActionErrorKind::Denied, false),
            types::ErrorKind::Unavailable => (ActionErrorKind::Unavailable, true),
            types::ErrorKind::Other => (ActionErrorKind::Other, false),
        };
        Self {
            kind,
            message: escaped(error.message.as_bytes(), MESSAGE_BYTES_MAX),
            retry,
        }
    }
}
