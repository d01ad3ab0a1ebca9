//! What became of a configuration, line by line, for the person who changes over.

use std::collections::BTreeMap;
use std::fmt;

use super::super::Tree;
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

impl Note {
    /// Whether it says that a jail as a whole was left out.
    pub(super) fn is_of_whole_jail(&self) -> bool {
        self.verdict == Verdict::Left && self.what == "the jail"
    }
}

/// What became of everything.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the jails.
    pub notes: Vec<Note>,
    /// Filters of stockade's own that are for the services of these jails.
    pub suggestions: BTreeMap<String, Vec<String>>,
    /// Jails that are not enabled, and so not translated.
    pub disabled: Vec<String>,
    /// What is wrong or odd in fail2ban's files.
    pub diagnostics: Vec<Diagnostic>,
}

/// What holds for every jail, because stockade decides so and not fail2ban.
const FOR_ALL: [&str; 5] = [
    "findtime is a true sliding window: slow attempts never add up, while fail2ban scales their number down",
    "a log is read on from where it was left, and one that is new from its beginning",
    "files that come to match a logpath later are read too, while fail2ban looks at its start only",
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
        if !self.suggestions.is_empty() {
            writeln!(
                f,
                "\nstockade has filters of its own for some of these services; 'stockade regex NAME LOG' tries one:"
            )?;
            for (filter, jails) in &self.suggestions {
                writeln!(f, "  {filter} for {}", jails.join(", "))?;
            }
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

/// Writes a report, and sees to it that nothing is left out of it: what a jail consists of is laid open
/// before it is translated, and what nobody has said a word about by the end is reported as left out.
pub(super) struct Scribe<'s> {
    sources: &'s Sources,
    /// The folder with the actions, and a slash.
    actions: String,
    jail: String,
    notes: Vec<Note>,
    /// What has to be told of the jail, and where it is written.
    open: BTreeMap<String, Option<Origin>>,
}

impl<'s> Scribe<'s> {
    pub(super) fn new(tree: &'s Tree) -> Self {
        Self {
            sources: tree.sources(),
            actions: format!("{}/action.d/", tree.dir()),
            jail: String::new(),
            notes: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// What follows is about this jail, or about the daemon where the name is empty. All of `parts`
    /// have to be told.
    pub(super) fn begin(&mut self, jail: &str, parts: BTreeMap<String, Option<Origin>>) {
        jail.clone_into(&mut self.jail);
        self.open = parts;
    }

    /// What was not told is left out, and that is told.
    pub(super) fn end(&mut self) {
        for (what, at) in std::mem::take(&mut self.open) {
            self.left(&what, at, "stockade knows nothing that does it");
        }
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

    /// What was told of a whole holds for its parts, `… of WHOLE`.
    pub(super) fn settle_parts(&mut self, whole: &str) {
        let end = format!(" of {whole}");
        self.open.retain(|what, _| !what.ends_with(&end));
    }

    /// The jail is left out as a whole: nothing else is said of it.
    pub(super) fn leave_jail(&mut self, at: Option<Origin>, why: impl Into<String>) {
        self.open.clear();
        let jail = std::mem::take(&mut self.jail);
        self.notes.retain(|note| note.jail != jail);
        self.jail = jail;
        self.left("the jail", at, why);
    }

    /// The texts that origins point into.
    pub(super) fn sources(&self) -> &'s Sources {
        self.sources
    }

    fn note(&mut self, what: &str, verdict: Verdict, why: String, at: Option<Origin>) {
        self.open.remove(what);
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

    /// Whether it is written in a file that somebody laid over an action of fail2ban's own.
    pub(super) fn is_local(&self, at: Origin) -> bool {
        if at == Origin::NOWHERE {
            return false;
        }
        let name = self.sources.path(at.file).strip_prefix(&self.actions);
        name.is_some_and(|name| name.ends_with(".local") || name.contains(".d/"))
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes
    }
}
