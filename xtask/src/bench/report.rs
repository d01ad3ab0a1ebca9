//! The figures, as a table for people and as JSON.

use serde_json::{Value, json};

use crate::{Failure, say};

/// Tells what is being done, beside the result.
#[expect(
    clippy::print_stderr,
    reason = "the result alone goes to standard output"
)]
pub(super) fn progress(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// Whether more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Word for scripts.
    pub(super) key: &'static str,
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    /// Whom ours is compared with.
    pub(super) with: &'static str,
}

/// A measured value, or why there is none.
pub(super) type Measured = Result<f64, Failure>;

#[derive(Debug)]
struct Line {
    row: Row,
    ours: Result<f64, String>,
    theirs: Result<f64, String>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    fail2ban: Option<String>,
    lines: Vec<Line>,
    notes: Vec<String>,
}

impl Report {
    pub(super) fn new(fail2ban: Option<String>) -> Self {
        Self {
            fail2ban,
            lines: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes a figure in.
    pub(super) fn add(&mut self, row: Row, ours: Measured, theirs: Measured) {
        let plain = |measured: Measured| measured.map_err(|why| why.to_string());
        let line = Line {
            row,
            ours: plain(ours),
            theirs: plain(theirs),
        };
        progress(line.shown());
        self.lines.push(line);
    }

    /// Takes in what a reader should know of a figure.
    pub(super) fn note(&mut self, note: String) {
        progress(format_args!("  {note}"));
        self.notes.push(note);
    }

    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            say(self.json());
        } else {
            self.table();
        }
    }

    fn table(&self) {
        let version = self.fail2ban.as_deref().unwrap_or("not there");
        say(format_args!("fail2ban: {version}\n"));
        say(format_args!(
            "{:<52} {:>12} {:>12} {:>9}",
            "", "stockade", "other", "ratio"
        ));
        for line in &self.lines {
            say(line.shown());
        }
        for (name, why) in self.lines.iter().flat_map(Line::missing) {
            say(format_args!("not measured: {name}: {why}"));
        }
        for note in &self.notes {
            say(note);
        }
    }

    fn json(&self) -> Value {
        let value = |measured: &Result<f64, String>| match measured {
            Ok(value) => json!(value),
            Err(_) => Value::Null,
        };
        let figures = self.lines.iter().map(|line| {
            let missing: Vec<_> = line.missing().map(|(_, why)| why).collect();
            json!({
                "key": line.row.key,
                "what": line.row.what,
                "unit": line.row.unit,
                "stockade": value(&line.ours),
                "other": value(&line.theirs),
                "other_is": line.row.with,
                "ratio": line.ratio(),
                "not_measured": missing,
            })
        });
        json!({
            "fail2ban": self.fail2ban,
            "figures": figures.collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

impl Line {
    /// How many times better ours is.
    fn ratio(&self) -> Option<f64> {
        match (&self.ours, &self.theirs) {
            (Ok(ours), Ok(theirs)) => Some(match self.row.better {
                Better::More => ours / theirs,
                Better::Less => theirs / ours,
            }),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        let Row {
            what, unit, with, ..
        } = self.row;
        let cell = |measured: &Result<f64, String>| {
            measured
                .as_ref()
                .map_or_else(|_| "-".to_owned(), |value| number(*value))
        };
        let ratio = self
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}x"));
        format!(
            "{:<52} {:>12} {:>12} {ratio:>9}  against {with}",
            format!("{what}, {unit}"),
            cell(&self.ours),
            cell(&self.theirs),
        )
    }

    fn missing(&self) -> impl Iterator<Item = (String, &str)> {
        let ours = self.ours.as_ref().err().map(|why| ("stockade", why));
        let theirs = self.theirs.as_ref().err().map(|why| (self.row.with, why));
        let what = self.row.what;
        ours.into_iter()
            .chain(theirs)
            .map(move |(who, why)| (format!("{what} of {who}"), why.as_str()))
    }
}

/// Three digits, which is more than a measurement is worth; thousands are set apart.
pub(super) fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let unit = 10_f64.powf(value.log10().floor() - 2.0);
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = Row {
        key: "k",
        what: "w",
        unit: "ms",
        better: Better::Less,
        with: "x",
    };

    #[test]
    fn numbers_have_their_thousands_set_apart() {
        assert_eq!(number(1.234), "1.23");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(1_234_567.0), "1,230,000");
    }

    #[test]
    fn a_ratio_says_how_many_times_better_ours_is() {
        let mut report = Report::new(None);
        report.add(ROW, Ok(2.0), Ok(300.0));
        report.add(
            Row {
                better: Better::More,
                ..ROW
            },
            Ok(300.0),
            Ok(2.0),
        );
        assert_eq!(report.lines[0].ratio(), Some(150.0));
        assert_eq!(report.lines[1].ratio(), Some(150.0));
    }

    #[test]
    fn what_could_not_be_measured_is_said_and_has_no_number() {
        let mut report = Report::new(None);
        report.add(ROW, Ok(2.0), Err("not there".into()));
        let json = report.json();
        let figure = &json["figures"][0];
        assert_eq!(figure["other"], Value::Null);
        assert_eq!(figure["ratio"], Value::Null);
        assert_eq!(figure["not_measured"], json!(["not there"]));
    }
}
