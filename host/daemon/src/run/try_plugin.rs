//! A filter plugin on a log, outside the daemon: the plugin half of `stockade regex`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use stockade_core::{
    Checkpoint, Chunk, FailureId, JailName, LineTimes, PluginName, SourceName, Timestamp,
};
use stockade_detect::{Matcher, PlanFilter};
use stockade_plugins::{
    ComponentSource, Grants, HostOptions, Limits, PluginHost, PluginSpec, Role,
};

use super::reading::{Judge, JudgedJail};

/// A filter plugin that is tried. It is granted its log and the clock, but nothing that leaves this
/// process or lasts.
#[derive(Debug)]
pub(crate) struct TriedPlugin {
    judge: Judge,
}

/// A line that the plugin calls a failure.
#[derive(Debug)]
pub(crate) struct TriedFailure {
    /// Where the line begins in the text.
    pub(crate) start: usize,
    pub(crate) at: Timestamp,
    pub(crate) id: FailureId,
    pub(crate) user: Option<Vec<u8>>,
}

impl TriedPlugin {
    /// Loads and configures the component in `file`; the error is for the person who tries it.
    pub(crate) fn load(file: &Path, settings: Vec<(String, String)>) -> Result<Self, String> {
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("plugin");
        let name = PluginName::try_new(stem).or_else(|_| PluginName::try_new("plugin"));
        let host =
            PluginHost::new(HostOptions::default()).map_err(|error| crate::cli::chain(&error))?;
        let spec = PluginSpec {
            name: name.map_err(|error| error.to_string())?,
            component: ComponentSource::File(file.to_owned()),
            grants: Grants {
                log: true,
                clock: true,
                ..Grants::default()
            },
            limits: Limits::of(Role::Filter),
            settings,
        };
        let plugin = host
            .load_filter(spec)
            .map_err(|error| crate::cli::chain(&error))?;
        let plan = PlanFilter::compile(&plugin.plan().literals, &plugin.plan().patterns)
            .map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())?;
        let jail = JudgedJail {
            name: JailName::try_new("tried").map_err(|error| error.to_string())?,
            matcher: Matcher::Plan(Arc::new(plan)),
            zone: TimeZone::system(),
        };
        Ok(Self {
            judge: Judge::new(vec![jail], vec![vec![0]], Some(plugin), BTreeSet::new()),
        })
    }

    /// The failures in `text`, whole lines, in their order.
    pub(crate) fn judge(&mut self, text: Vec<u8>) -> Vec<TriedFailure> {
        let chunk = Chunk {
            source: SourceName::new("tried"),
            text: text.into(),
            times: LineTimes::InText,
            checkpoint: Checkpoint::None,
        };
        // A plugin names addresses, never hosts.
        let (judged, _) = self.judge.chunk("tried", &[0], &chunk);
        let mut failures: Vec<TriedFailure> = judged
            .failures
            .into_iter()
            .flat_map(|failures| {
                let of = |failure: &stockade_core::Failure| TriedFailure {
                    start: failure.line.range().start,
                    at: failure.at,
                    id: failure.id.clone(),
                    user: failure.user.map(|user| user.of(&failures.text).to_vec()),
                };
                failures.items.iter().map(of).collect::<Vec<_>>()
            })
            .collect();
        failures.sort_by_key(|failure| failure.start);
        failures
    }
}
