//! What became of a configuration, line by line, for the person who changes over.

use std::collections::BTreeMap;
use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::source::{Origin, Sources};

/// What became of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It means the same.
    Translated,
    /// It was translated, and differs in something.
    Different,
    /// It was not translated.
    Left,
}

/// One thing and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The jail; empty for what concerns all.
    pub jail: String,
    /// The option, action or pattern.
    pub what: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The difference, or why it was left out; empty where it was translated.
    pub why: String,
    /// `path:line`, where it was written.
    pub place: Option<String>,
}

/// What became of everything.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the jails.
    pub notes: Vec<Note>,
    /// Jails that are not enabled, and so not translated.
    pub disabled: Vec<String>,
    /// What is wrong or odd in fail2ban's files.
    pub diagnostics: Vec<Diagnostic>,
}

/// What holds for every jail, because stockade decides so and not fail2ban.
const FOR_ALL: [&str; 4] = [
    "findtime is a true sliding window: slow attempts never add up, while fail2ban scales their number down",
    "a log is read from where it was left, and one that is new from its beginning; 'tail' and 'head' make no difference",
    "a line that a pattern can read with two different addresses bans nobody, and is logged",
    "bans stay in the firewall when the daemon stops, and run out there",
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "For all jails:")?;
        for difference in FOR_ALL {
            writeln!(f, "  different   {difference}")?;
        }
        let mut of_jail: BTreeMap<&str, Vec<&Note>> = BTreeMap::new();
        for note in &self.notes {
            of_jail.entry(&note.jail).or_default().push(note);
        }
        for (jail, notes) in of_jail {
            match jail {
                "" => writeln!(f, "\nfail2ban.conf:")?,
                jail => writeln!(f, "\n[{jail}]")?,
            }
            show(f, &notes)?;
        }
        if !self.disabled.is_empty() {
            writeln!(f, "\nNot enabled, and so not translated:")?;
            writeln!(f, "  {}", self.disabled.join(", "))?;
        }
        if !self.diagnostics.is_empty() {
            writeln!(f, "\nIn fail2ban's files:")?;
            for diagnostic in &self.diagnostics {
                writeln!(f, "{}", diagnostic.render())?;
            }
        }
        Ok(())
    }
}

fn show(f: &mut fmt::Formatter<'_>, notes: &[&Note]) -> fmt::Result {
    let same = notes
        .iter()
        .filter(|note| note.verdict == Verdict::Translated);
    let same: Vec<&str> = same.map(|note| note.what.as_str()).collect();
    if !same.is_empty() {
        writeln!(f, "  translated  {}", same.join(", "))?;
    }
    for note in notes {
        let word = match note.verdict {
            Verdict::Translated => continue,
            Verdict::Different => "different ",
            Verdict::Left => "left out  ",
        };
        write!(f, "  {word}  {}: {}", note.what, note.why)?;
        match &note.place {
            Some(place) => writeln!(f, " ({place})")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}

/// Writes a report.
pub(super) struct Scribe<'s> {
    sources: &'s Sources,
    jail: String,
    notes: Vec<Note>,
}

impl<'s> Scribe<'s> {
    pub(super) fn new(sources: &'s Sources) -> Self {
        Self {
            sources,
            jail: String::new(),
            notes: Vec::new(),
        }
    }

    /// What follows is about this jail.
    pub(super) fn begin(&mut self, jail: &str) {
        jail.clone_into(&mut self.jail);
    }

    pub(super) fn translated(&mut self, what: &str) {
        self.note(what, Verdict::Translated, String::new(), None);
    }

    pub(super) fn different(&mut self, what: &str, at: Option<Origin>, why: impl Into<String>) {
        self.note(what, Verdict::Different, why.into(), at);
    }

    pub(super) fn left(&mut self, what: &str, at: Option<Origin>, why: impl Into<String>) {
        self.note(what, Verdict::Left, why.into(), at);
    }

    fn note(&mut self, what: &str, verdict: Verdict, why: String, at: Option<Origin>) {
        self.notes.push(Note {
            jail: self.jail.clone(),
            what: what.to_owned(),
            verdict,
            why,
            place: at.and_then(|at| self.place(at)),
        });
    }

    /// `path:line`.
    pub(super) fn place(&self, at: Origin) -> Option<String> {
        if at == Origin::NOWHERE {
            return None;
        }
        let line = self.sources.position(at.file, at.start).line;
        Some(format!("{}:{line}", self.sources.path(at.file)))
    }

    pub(super) fn into_report(self, disabled: Vec<String>, diagnostics: Vec<Diagnostic>) -> Report {
        Report {
            notes: self.notes,
            disabled,
            diagnostics,
        }
    }
}
