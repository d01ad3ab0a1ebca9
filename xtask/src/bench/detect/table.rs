//! The figures, as tables in Markdown and as JSON.

use std::fs;

use serde_json::{Value, json};

use super::super::report::{number, progress};
use super::logs::{KINDS, Kind};
use super::reading::{Case, Reading};
use super::tools::{TOOLS, Tool};
use crate::{Failure, say};

/// fail2ban judges a line that is half written, and again when it is whole; what others find may differ
/// by so much before it is said.
const SAME_WITHIN: f64 = 0.01;

/// What one tool did with one log.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) tool: Tool,
    kind: Kind,
    jails: usize,
    /// It belongs to the table of several jails.
    of_jails: bool,
    lines: u64,
    bytes: u64,
    failures: u64,
    runs: Vec<f64>,
    found: Option<u64>,
    left_out: Option<String>,
}

impl Figure {
    pub(super) fn new(tool: Tool, case: &Case<'_>, of_jails: bool) -> Self {
        Self {
            tool,
            kind: case.kind,
            jails: case.jails.len(),
            of_jails,
            lines: case.log.lines,
            bytes: case.log.bytes,
            failures: case.log.failures,
            runs: Vec::new(),
            found: None,
            left_out: None,
        }
    }

    pub(super) fn take(&mut self, reading: Reading) {
        if reading.cpu_s <= 0.0 {
            return self.leave_out("it took less time than the kernel counts".to_owned());
        }
        let lines = u32::try_from(self.lines).map_or(f64::INFINITY, f64::from);
        self.runs.push(lines / reading.cpu_s);
        self.found = reading.found;
    }

    pub(super) fn leave_out(&mut self, why: String) {
        self.left_out = Some(why);
    }

    pub(super) fn is_left_out(&self) -> bool {
        self.left_out.is_some()
    }

    /// Lines in a second of processor time: the median of all runs.
    fn per_second(&self) -> Option<f64> {
        if self.is_left_out() {
            return None;
        }
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        runs.get(runs.len() / 2).copied()
    }

    /// What it found where that is not what the log has. With several jails `rg` counts for all of
    /// them.
    fn other_result(&self) -> Option<u64> {
        let found = self
            .found
            .filter(|_| self.jails == 1 || self.tool != Tool::Rg)?;
        let exact = matches!(self.tool, Tool::Stockade | Tool::StockadeRegex | Tool::Rg);
        let within = if exact { 0.0 } else { SAME_WITHIN };
        let float = |count: u64| u32::try_from(count).map_or(f64::INFINITY, f64::from);
        let (found_f, expected) = (float(found), float(self.failures));
        ((found_f - expected).abs() > within * expected).then_some(found)
    }

    fn name(&self) -> String {
        match self.jails {
            1 => format!("{}: {}", self.tool.title(), self.kind.title()),
            jails => format!("{}: {jails} jails", self.tool.title()),
        }
    }

    fn shown(&self) -> String {
        let figure = self.per_second().map_or_else(|| "-".to_owned(), number);
        format!(
            "{:<72} {figure:>12} lines per CPU-second, {} lines",
            self.name(),
            self.lines
        )
    }

    fn json(&self) -> Value {
        json!({
            "tool": self.tool.key(),
            "log": self.kind.key(),
            "jails": self.jails,
            "lines": self.lines,
            "bytes": self.bytes,
            "failures": self.failures,
            "found": self.found,
            "lines_per_cpu_second": self.per_second(),
            "runs": self.runs,
            "left_out": self.left_out,
        })
    }
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Table {
    versions: Vec<(&'static str, String)>,
    runs: usize,
    figures: Vec<Figure>,
}

impl Table {
    pub(super) fn new(versions: Vec<(&'static str, String)>, runs: usize) -> Self {
        Self {
            versions,
            runs,
            figures: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, figure: Figure) {
        progress(figure.shown());
        self.figures.push(figure);
    }

    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            say(self.json());
            return;
        }
        for line in self.markdown() {
            say(line);
        }
    }

    /// Our own programs must have been measured and must find what the log has, and nothing else; so
    /// must the ceiling, or else the comparison is none.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for figure in &self.figures {
            let must = matches!(
                figure.tool,
                Tool::Stockade | Tool::Imported | Tool::StockadeRegex | Tool::Rg
            );
            let wrong = figure.other_result().is_some() || figure.per_second().is_none();
            let can = figure.jails == 1 || figure.tool != Tool::StockadeRegex;
            if must && can && wrong {
                return Err(format!("not measured, or wrong: {}", figure.name()).into());
            }
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let versions = self.versions.iter();
        json!({
            "machine": machine(),
            "runs": self.runs,
            "versions": versions.map(|(name, text)| (*name, text)).collect::<std::collections::BTreeMap<_, _>>(),
            "figures": self.figures.iter().map(Figure::json).collect::<Vec<_>>(),
        })
    }

    fn markdown(&self) -> Vec<String> {
        let mut lines = vec![machine(), String::new()];
        lines.extend(self.by_log());
        lines.push(String::new());
        lines.extend(self.by_jails());
        lines.push(String::new());
        lines.extend(self.notes());
        lines
    }

    fn per_second(&self, tool: Tool, kind: Kind) -> Option<f64> {
        let mut figures = self.figures.iter();
        let own = |figure: &&Figure| !figure.of_jails && figure.kind == kind && figure.tool == tool;
        figures.find(own)?.per_second()
    }

    fn per_second_with(&self, tool: Tool, jails: usize) -> Option<f64> {
        let mut figures = self.figures.iter();
        let own =
            |figure: &&Figure| figure.of_jails && figure.jails == jails && figure.tool == tool;
        figures.find(own)?.per_second()
    }

    /// Tools against logs, and what follows from that.
    fn by_log(&self) -> Vec<String> {
        let kinds: Vec<Kind> = KINDS
            .into_iter()
            .filter(|kind| {
                let mut figures = self.figures.iter();
                figures.any(|figure| !figure.of_jails && figure.kind == *kind)
            })
            .collect();
        let mut lines = head(
            "lines per CPU-second",
            kinds.iter().map(|kind| kind.title().to_owned()),
        );
        for tool in TOOLS {
            let figures: Vec<_> = kinds
                .iter()
                .map(|kind| self.per_second(tool, *kind))
                .collect();
            if figures.iter().any(Option::is_some) {
                let cells = figures.into_iter().map(|figure| figure.map(number));
                lines.push(row(tool.title(), cells));
            }
        }
        for (title, one, other) in [
            (
                "stockade : `rg -c`, the same patterns",
                Tool::Stockade,
                Tool::Rg,
            ),
            (
                "stockade : `rg -c`, four short patterns",
                Tool::Stockade,
                Tool::RgTyped,
            ),
            ("stockade : fail2ban", Tool::Stockade, Tool::Fail2ban),
            (
                "with fail2ban's filter : fail2ban",
                Tool::Imported,
                Tool::Fail2ban,
            ),
            ("stockade : fail2ban-rs", Tool::Stockade, Tool::Fail2banRs),
        ] {
            let ratios: Vec<_> = kinds
                .iter()
                .map(|kind| Some(self.per_second(one, *kind)? / self.per_second(other, *kind)?))
                .collect();
            if ratios.iter().any(Option::is_some) {
                lines.push(row(title, ratios.into_iter().map(|ratio| ratio.map(times))));
            }
        }
        lines
    }

    /// Tools against jails that watch the same log.
    fn by_jails(&self) -> Vec<String> {
        if !self.figures.iter().any(|figure| figure.of_jails) {
            return Vec::new();
        }
        let heads = super::JAILS.iter().map(|jails| match jails {
            1 => "1 jail".to_owned(),
            jails => format!("{jails} jails"),
        });
        let mut lines = head(
            "sshd, 77 % hits, lines per CPU-second",
            heads.chain(["100 jails cost".to_owned()]),
        );
        for tool in super::WITH_JAILS {
            let figures = super::JAILS.map(|jails| self.per_second_with(tool, jails));
            let cost = match figures {
                [Some(one), _, Some(hundred)] => Some(times(one / hundred)),
                _ => None,
            };
            if figures.iter().any(Option::is_some) {
                let cells = figures.into_iter().map(|figure| figure.map(number));
                lines.push(row(tool.title(), cells.chain([cost])));
            }
        }
        lines
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .versions
            .iter()
            .map(|(name, version)| format!("- {name}: {version}"))
            .collect();
        notes.push(format!("- medians of {} runs", self.runs));
        for figure in &self.figures {
            let (name, failures) = (figure.name(), figure.failures);
            if let Some(why) = &figure.left_out {
                notes.push(format!("- left out: {name}: {why}"));
            } else if let Some(found) = figure.other_result() {
                notes.push(format!("- {name}: found {found} of {failures} failures"));
            }
        }
        notes.extend(self.shares());
        notes
    }

    /// How much of each log everybody has read.
    fn shares(&self) -> Vec<String> {
        let mut shares: Vec<(String, Vec<Tool>)> = Vec::new();
        for figure in self.figures.iter().filter(|figure| !figure.is_left_out()) {
            let log = match figure.of_jails {
                true => format!("{} jails", figure.jails),
                false => figure.kind.title().to_owned(),
            };
            let what = format!(
                "{log}: {} lines, {} MB, {} failures",
                figure.lines,
                figure.bytes / 1_000_000,
                figure.failures
            );
            match shares.iter_mut().find(|(own, _)| *own == what) {
                Some((_, tools)) => tools.push(figure.tool),
                None => shares.push((what, vec![figure.tool])),
            }
        }
        let line = |(what, tools): (String, Vec<Tool>)| {
            let tools: Vec<&str> = tools.into_iter().map(Tool::key).collect();
            format!("- {what} for {}", tools.join(", "))
        };
        shares.into_iter().map(line).collect()
    }
}

fn head(first: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    let cells: Vec<String> = cells.collect();
    let rule = "|---".repeat(cells.len());
    vec![
        format!("| {first} | {} |", cells.join(" | ")),
        format!("|---{rule}|"),
    ]
}

fn row(first: &str, cells: impl Iterator<Item = Option<String>>) -> String {
    let cells: Vec<String> = cells
        .map(|cell| cell.unwrap_or_else(|| "–".to_owned()))
        .collect();
    format!("| {first} | {} |", cells.join(" | "))
}

fn times(ratio: f64) -> String {
    if ratio < 10.0 {
        format!("{ratio:.2}x")
    } else {
        format!("{ratio:.0}x")
    }
}

/// The machine and the day.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpus.lines().find(|line| line.starts_with(name))?;
        line.split_once(": ").map(|(_, text)| text.to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "an unknown processor".to_owned());
    let (family, number) = (field("cpu family"), field("model\t"));
    let kind = match (family, number) {
        (Some(family), Some(number)) => format!(" (family {family}, model {number})"),
        _ => String::new(),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let date = jiff::Zoned::now().strftime("%Y-%m-%d");
    format!("{cores} cores of {model}{kind}, {date}")
}

#[cfg(test)]
mod tests {
    use super::super::filters::Jail;
    use super::super::logs::Log;
    use super::*;

    fn figure(tool: Tool, jails: usize, readings: &[(f64, Option<u64>)]) -> Figure {
        let log = Log {
            path: "log".into(),
            lines: 1_000,
            bytes: 100_000,
            failures: 770,
        };
        let jails: Vec<Jail> = (0..jails).map(Jail::App).collect();
        let case = Case {
            kind: Kind::Hits,
            log: &log,
            jails: &jails,
        };
        let mut figure = Figure::new(tool, &case, jails.len() > 1);
        for (cpu_s, found) in readings {
            figure.take(Reading {
                cpu_s: *cpu_s,
                found: *found,
            });
        }
        figure
    }

    #[test]
    fn the_median_counts_and_ratios_are_of_medians() {
        let mut table = Table::new(Vec::new(), 3);
        let found = Some(770);
        table.add(figure(
            Tool::Stockade,
            1,
            &[(1.0, found), (0.01, found), (0.5, found)],
        ));
        table.add(figure(Tool::Rg, 1, &[(0.25, found)]));
        table.check().unwrap();
        let text = table.markdown().join("\n");
        assert!(
            text.contains("| **stockade**, the daemon | 2,000 |"),
            "{text}"
        );
        assert!(text.contains("the same patterns | 0.50x |"), "{text}");
    }

    #[test]
    fn whoever_finds_something_else_is_named_and_must_not_be_us() {
        let mut table = Table::new(Vec::new(), 1);
        table.add(figure(Tool::Sshguard, 1, &[(1.0, Some(700))]));
        table.add(figure(Tool::Fail2ban, 1, &[(1.0, Some(771))]));
        table.check().unwrap();
        let notes = table.notes().join("\n");
        assert!(notes.contains("found 700 of 770"), "{notes}");
        assert!(!notes.contains("771"), "{notes}");
        table.add(figure(Tool::Stockade, 1, &[(1.0, Some(771))]));
        assert!(table.check().is_err());
    }

    #[test]
    fn what_was_left_out_has_no_figure_and_a_reason() {
        let mut table = Table::new(Vec::new(), 1);
        let mut one = figure(Tool::Sshguard, 1, &[(1.0, Some(770))]);
        one.leave_out("not there".to_owned());
        table.add(one);
        table.check().unwrap();
        let text = table.markdown().join("\n");
        assert!(
            text.contains("left out: sshguard") && text.contains("not there"),
            "{text}"
        );
        assert!(!text.contains("| sshguard"), "{text}");
        let mut ours = figure(Tool::Imported, 1, &[(1.0, Some(770))]);
        ours.leave_out("broken".to_owned());
        table.add(ours);
        assert!(table.check().is_err());
    }
}
