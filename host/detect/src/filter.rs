//! A plain filter: patterns in, failures out.

use crate::dating::Dates;
use crate::error::{Fault, PatternError, PatternPlace};
use crate::fail2ban::Rules;
use crate::json::Json;
use crate::native::Native;
use crate::prefilter::Needs;
use crate::source::{Dialect, FilterSource, HostNames};

/// A compiled filter. Immutable; one is shared by all jails that use it.
#[derive(Debug)]
pub struct Filter {
    source: FilterSource,
    pub(crate) engine: Engine,
    pub(crate) dates: Dates,
    needs: Needs,
}

/// The patterns of a filter in its dialect.
#[derive(Debug)]
pub(crate) enum Engine {
    Native(Box<Native>),
    Json(Box<Json>),
    Fail2ban(Box<Rules>),
}

/// Most patterns of one kind in one filter. fail2ban's largest has 30.
pub(crate) const PATTERNS_MAX: usize = 1024;

impl Filter {
    /// Compiles `source`.
    ///
    /// # Errors
    /// Everything that is wrong with any of the patterns.
    pub fn compile(source: &FilterSource) -> Result<Self, Vec<PatternError>> {
        let dates = Dates::compile(&source.datepattern)
            .map_err(|(i, fault)| fault.in_place(PatternPlace::Datepattern(i)));
        let engine = match source.dialect {
            Dialect::Native => native(source),
            Dialect::Fail2ban => {
                Rules::compile(source).map(|rules| Engine::Fail2ban(Box::new(rules)))
            }
        };
        let (dates, engine) = match (dates, engine) {
            (Ok(dates), Ok(engine)) => (dates, engine),
            (dates, engine) => {
                let mut errors = engine.err().unwrap_or_default();
                errors.extend(dates.err());
                return Err(errors);
            }
        };
        let needs = match &engine {
            Engine::Native(native) => native.needs().clone(),
            Engine::Json(json) => json.needs().clone(),
            Engine::Fail2ban(rules) => rules.needs(),
        };
        Ok(Self {
            source: source.clone(),
            engine,
            dates,
            needs: source.encoding.needed(needs),
        })
    }

    /// What the filter was compiled from.
    #[must_use]
    pub fn source(&self) -> &FilterSource {
        &self.source
    }

    /// Whether every line has to be looked at, because some pattern has no text of its own that a
    /// line must contain. Such a filter costs much more.
    #[must_use]
    pub fn sees_every_line(&self) -> bool {
        matches!(self.needs, Needs::Every)
    }

    /// Whether every pattern takes time linear in the line. One that does not has a limit of steps,
    /// see [`crate::GaveUpLine`].
    #[must_use]
    pub fn is_linear(&self) -> bool {
        match &self.engine {
            Engine::Native(_) | Engine::Json(_) => true,
            Engine::Fail2ban(rules) => rules.is_linear(),
        }
    }

    /// Whether a failure can be one of a host name that has to be looked up.
    #[must_use]
    pub fn finds_host_names(&self) -> bool {
        match &self.engine {
            Engine::Native(_) | Engine::Json(_) => false,
            Engine::Fail2ban(rules) => rules.finds_host_names(),
        }
    }

    /// Whether something of a line bears on later ones, besides its date in the usual formats.
    pub(crate) fn remembers(&self) -> bool {
        matches!(self.engine, Engine::Fail2ban(_)) || matches!(self.dates, Dates::Templates(_))
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }
}

/// Compiles a filter in the native dialect, which cannot do all that fail2ban's can.
fn native(source: &FilterSource) -> Result<Engine, Vec<PatternError>> {
    let compile = || match &source.json {
        Some(json) => Json::compile(source, json).map(|json| Engine::Json(Box::new(json))),
        None => Native::compile(source).map(|native| Engine::Native(Box::new(native))),
    };
    let message = if source.maxlines != 1 {
        "a filter in the native dialect looks at one line at a time"
    } else if source.host_names != HostNames::Refuse {
        "a filter in the native dialect finds addresses, no host names"
    } else {
        return compile();
    };
    let fault = Fault::whole(message).hint("the filter may say dialect = \"fail2ban\"");
    let mut errors = compile().err().unwrap_or_default();
    errors.push(fault.in_place(PatternPlace::Failregex(0)));
    Err(errors)
}

pub(crate) fn check_counts(source: &FilterSource) -> Option<PatternError> {
    if source.failregex.is_empty() {
        return Some(
            Fault::whole("the filter has no failregex").in_place(PatternPlace::Failregex(0)),
        );
    }
    let too_many = |len: usize, which: fn(usize) -> PatternPlace| {
        (len > PATTERNS_MAX).then(|| {
            Fault::whole(format!("more than the {PATTERNS_MAX} patterns allowed"))
                .in_place(which(PATTERNS_MAX))
        })
    };
    too_many(source.failregex.len(), PatternPlace::Failregex)
        .or_else(|| too_many(source.ignoreregex.len(), PatternPlace::Ignoreregex))
}
