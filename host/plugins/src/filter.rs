//! A plugin that recognises failures.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::Store;

use crate::answer::{Checked, Finding, Plan, check_plan, check_report};
use crate::batch::FilterBatch;
use crate::bindings::exports::stockade::filter::filter as wit;
use crate::escape::{escaped, hex};
use crate::fault::{Fault, FaultKind};
use crate::host::PluginHost;
use crate::isolate::{Failed, Isolation, isolate};
use crate::load::{PluginSpec, Template};
use crate::load_error::{LoadError, LoadReason};
use crate::quarantine::{Admission, State};
use crate::role::Role;
use crate::state::HostState;
use crate::supervisor::{PluginStatus, StatusHandle};
use stockade_core::PluginName;

/// A message of a plugin that is kept, in bytes; see `wit/types`.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024;
/// How much of a skipped line is shown: enough to find it in the log.
const SHOWN_BYTES_MAX: usize = 120;

/// A loaded filter. It belongs to one thread, which it blocks while it runs.
pub struct FilterPlugin {
    runner: Runner,
    status: StatusHandle,
    name: PluginName,
}

/// What a filter says about a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// The failures, in the order of their lines.
    pub findings: Vec<Finding>,
    /// Indices of the lines that were not judged, in order.
    pub skipped: Vec<u32>,
    /// The lines that were skipped because the filter cannot bear them, in order.
    pub poison: Vec<PoisonLine>,
    /// What the filter said where it refused to judge; nothing in the lines concerned is counted.
    pub refused: Option<String>,
    /// How the filter is afterwards; [`State::Quarantined`] says when it will be called again.
    pub state: Option<State>,
}

/// A line that makes a filter fail each time it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonLine {
    /// Index of the line in the batch.
    pub line: u32,
    /// SHA-256 of the line, lower-case hexadecimal, to tell whether it is always the same.
    pub sha256: String,
    /// The begin of the line, escaped.
    pub shown: String,
    /// How the filter fails.
    pub fault: Fault,
}

/// The instance and what it takes to make another.
struct Runner {
    template: Template,
    indices: wit::GuestIndices,
    plan: Plan,
    live: Option<Live>,
}

struct Live {
    store: Store<HostState>,
    guest: wit::Guest,
}

impl fmt::Debug for FilterPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterPlugin")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What a filter said about a part of a batch.
#[derive(Debug)]
enum Judged {
    Report(Checked),
    Refused(String),
}

impl PluginHost {
    /// Loads a filter, starts it and has it configured.
    ///
    /// # Errors
    /// Where it cannot be loaded or refuses to start, in words for the operator.
    pub fn load_filter(&self, spec: PluginSpec) -> Result<FilterPlugin, LoadError> {
        let name = spec.name.clone();
        let loaded = self.template(spec, Role::Filter).and_then(Runner::new);
        let runner = loaded.map_err(|reason| LoadError {
            plugin: name.clone(),
            reason,
        })?;
        let clock = Arc::clone(&self.shared.clock);
        let status = StatusHandle::new(name.clone(), Role::Filter, clock);
        Ok(FilterPlugin {
            runner,
            status,
            name,
        })
    }
}

impl FilterPlugin {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PluginName {
        &self.name
    }

    /// Which lines it wants to see.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.runner.plan
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

    /// Has the lines of `batch` judged.
    ///
    /// A filter in quarantine is not called: all lines are skipped, which means that they are not
    /// counted (a filter fails open), and [`Evaluation::state`] says so.
    pub fn evaluate(&mut self, batch: &FilterBatch) -> Evaluation {
        if let Admission::Refused { until } = self.status.admit() {
            self.status.count(batch.len(), batch.len(), 0);
            return Evaluation {
                skipped: indices(0..batch.len()).collect(),
                state: Some(State::Quarantined { until }),
                ..Evaluation::default()
            };
        }
        let (runner, status) = (&mut self.runner, &self.status);
        let isolation = isolate(
            batch.len(),
            |range| runner.judge(batch, &range).inspect(|_| status.called()),
            |_, fault| status.fault(fault),
        );
        if let Some(fault) = &isolation.failed_with {
            let _next = self.status.fault(fault);
        }
        let (mut evaluation, dropped) = gather(isolation, batch);
        for poison in &evaluation.poison {
            let PoisonLine { sha256, shown, .. } = poison;
            tracing::warn!(plugin = %self.name, sha256, "line skipped that the filter cannot bear: {shown}");
        }
        if let Some(message) = &evaluation.refused {
            tracing::warn!(plugin = %self.name, "filter refused to judge: {message}");
        }
        self.status
            .count(batch.len(), evaluation.skipped.len(), dropped);
        evaluation.state = Some(self.status.snapshot().state);
        evaluation
    }
}

impl Runner {
    fn new(template: Template) -> Result<Self, LoadReason> {
        let indices = wit::GuestIndices::new(&template.pre)
            .map_err(|error| LoadReason::Link(Fault::from(error).message))?;
        let mut runner = Self {
            template,
            indices,
            plan: Plan::default(),
            live: None,
        };
        let (live, plan) = runner.start()?;
        runner.live = Some(live);
        runner.plan = plan;
        Ok(runner)
    }

    /// A new, configured instance.
    fn start(&self) -> Result<(Live, Plan), LoadReason> {
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
        let plan = answer.map_err(|error| {
            LoadReason::Refused(escaped(error.message.as_bytes(), MESSAGE_BYTES_MAX))
        })?;
        let plan = check_plan(plan).map_err(LoadReason::Plan)?;
        Ok((Live { store, guest }, plan))
    }

    /// The running instance, or a new one after a fault.
    fn live(&mut self) -> Result<Live, Fault> {
        if let Some(live) = self.live.take() {
            return Ok(live);
        }
        let broken = |message: String| Fault {
            kind: FaultKind::Restart,
            message,
        };
        let (live, plan) = self
            .start()
            .map_err(|reason| broken(format!("it {reason}")))?;
        if plan == self.plan {
            Ok(live)
        } else {
            Err(broken(
                "it has another plan than before for the same settings".into(),
            ))
        }
    }

    /// Has the lines `range` of `batch` judged; drops the instance if that faults.
    fn judge(
        &mut self,
        batch: &FilterBatch,
        range: &Range<usize>,
    ) -> Result<Judged, Failed<Fault>> {
        let Live { mut store, guest } = self.live().map_err(Failed::Broken)?;
        let part = batch.part(range);
        let limit = self.template.limits.call;
        let judged = self
            .template
            .call(&mut store, limit, |store| guest.call_evaluate(store, &part))
            .and_then(|answer| match answer {
                Ok(report) => check_report(&report, batch, range)
                    .map(Judged::Report)
                    .map_err(Fault::answer),
                Err(error) => Ok(Judged::Refused(escaped(
                    error.message.as_bytes(),
                    MESSAGE_BYTES_MAX,
                ))),
            });
        let judged = judged.map_err(Failed::Items)?;
        self.live = Some(Live { store, guest });
        Ok(judged)
    }
}

/// Puts the parts of a batch together again. The second value counts findings that do not count.
fn gather(isolation: Isolation<Judged, Fault>, batch: &FilterBatch) -> (Evaluation, usize) {
    let mut evaluation = Evaluation::default();
    let mut dropped = 0_usize;
    for (range, judged) in isolation.judged {
        match judged {
            Judged::Report(checked) => {
                dropped = dropped.saturating_add(checked.dropped);
                evaluation.findings.extend(checked.findings);
            }
            Judged::Refused(message) => {
                evaluation.skipped.extend(indices(range));
                evaluation.refused = Some(message);
            }
        }
    }
    for (index, fault) in isolation.poison {
        let line = u32::try_from(index).unwrap_or(u32::MAX);
        let text = batch.span(index).of(batch.text());
        evaluation.skipped.push(line);
        evaluation.poison.push(PoisonLine {
            line,
            sha256: hex(&Sha256::digest(text)),
            shown: escaped(text, SHOWN_BYTES_MAX),
            fault,
        });
    }
    evaluation
        .skipped
        .extend(isolation.untried.into_iter().flat_map(indices));
    evaluation.skipped.sort_unstable();
    (evaluation, dropped)
}

fn indices(range: Range<usize>) -> impl Iterator<Item = u32> {
    range.map(|index| u32::try_from(index).unwrap_or(u32::MAX))
}
