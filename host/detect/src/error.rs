//! What can be wrong with a pattern, said so that its author can mend it.

use std::fmt;

/// Which text of a filter a message is about; indexes begin at 0 and are shown from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatternPlace {
    /// `prefregex`.
    Prefregex,
    /// One of `failregex`.
    Failregex(usize),
    /// One of `ignoreregex`.
    Ignoreregex(usize),
    /// One of the templates of `datepattern`.
    Datepattern(usize),
    /// Something of a filter of JSON entries.
    Field(FieldPlace),
    /// One of the literals of a plugin's plan.
    PlanLiteral(usize),
    /// One of the patterns of a plugin's plan.
    PlanPattern(usize),
}

/// Which part of a filter of JSON entries a message is about; indexes begin at 0 and are shown from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldPlace {
    /// One of the fields that may hold the id.
    Id(usize),
    /// The field that holds the user.
    User,
    /// The field that holds the time.
    Time,
    /// One of the alternatives of a failure.
    Failure(RulePlace),
    /// One of the alternatives of what is none.
    Ignore(RulePlace),
}

/// Which part of an alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RulePlace {
    /// The alternative.
    pub entry: usize,
    /// Its condition; `None` for all of it.
    pub condition: Option<usize>,
    /// One of the values of the condition; `None` for its field.
    pub value: Option<usize>,
}

impl From<FieldPlace> for PatternPlace {
    fn from(place: FieldPlace) -> Self {
        Self::Field(place)
    }
}

impl fmt::Display for FieldPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(_) => f.write_str("id"),
            Self::User => f.write_str("user"),
            Self::Time => f.write_str("time"),
            Self::Failure(place) => write!(f, "failure {}", place.entry + 1),
            Self::Ignore(place) => write!(f, "ignore {}", place.entry + 1),
        }
    }
}

impl fmt::Display for PatternPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefregex => f.write_str("prefregex"),
            Self::Failregex(i) => write!(f, "failregex {}", i + 1),
            Self::Ignoreregex(i) => write!(f, "ignoreregex {}", i + 1),
            Self::Datepattern(i) => write!(f, "datepattern {}", i + 1),
            Self::Field(place) => place.fmt(f),
            Self::PlanLiteral(i) => write!(f, "literal {} of the plan", i + 1),
            Self::PlanPattern(i) => write!(f, "pattern {} of the plan", i + 1),
        }
    }
}

/// One thing that is wrong with one pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{which}: {message}")]
pub struct PatternError {
    /// The pattern.
    pub which: PatternPlace,
    /// Byte offset in the text as its author wrote it, where the fault has a place.
    pub offset: Option<usize>,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// What the author can do about it.
    pub hint: Option<String>,
}

/// A [`PatternError`] before it is known which pattern it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: Option<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn at(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset: Some(offset),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self {
            offset: None,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn in_place(self, which: PatternPlace) -> PatternError {
        PatternError {
            which,
            offset: self.offset,
            message: self.message,
            hint: self.hint,
        }
    }
}
