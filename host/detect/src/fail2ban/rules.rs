//! A filter in fail2ban's dialect, compiled.

use crate::error::{Fault, PatternError, PatternPlace};
use crate::filter::{PATTERNS_MAX, check_counts};
use crate::prefilter::{Needs, bit};
use crate::source::{FilterSource, HostNames};

use super::expression::{Expression, ExpressionOptions};
use super::fields::{Names, Naming};
use super::window::WINDOW_LINES_MAX;

/// The patterns of a filter. Immutable; what is remembered from line to line is in
/// [`super::judge::State`].
#[derive(Debug)]
pub(crate) struct Rules {
    pub(super) prefix: Option<Rule>,
    pub(super) fail: Vec<Rule>,
    pub(super) ignore: Vec<Expression>,
    pub(super) names: Names,
    pub(super) maxlines: usize,
    pub(super) host_names: HostNames,
}

/// An expression and what its groups are called.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) expression: Expression,
    pub(super) naming: Naming,
}

impl Rules {
    pub(crate) fn compile(source: &FilterSource) -> Result<Self, Vec<PatternError>> {
        let mut compiling = Compiling {
            options: ExpressionOptions {
                host_names: source.host_names,
                multiline: source.maxlines > 1,
            },
            names: Names::new(),
            errors: Vec::new(),
        };
        let prefix = source.prefregex.as_deref();
        let prefix_names = prefix.map(|text| {
            // The prefregex is compiled for single lines whatever `maxlines` is, and so are
            // ignoreregexes; fail2ban does the same.
            compiling.rule(text, PatternPlace::Prefregex, false)
        });
        let somebody = match &prefix_names {
            Some(Some(rule)) => rule.naming.names_somebody(),
            // What is wrong with it is told already.
            Some(None) => true,
            None => false,
        };
        let mut fail = Vec::new();
        for (i, text) in source.failregex.iter().take(PATTERNS_MAX).enumerate() {
            let place = PatternPlace::Failregex(i);
            let Some(rule) = compiling.rule(text, place, true) else {
                continue;
            };
            if !somebody && !rule.naming.names_somebody() {
                compiling.errors.push(nobody().in_place(place));
            }
            fail.push(rule);
        }
        let mut ignore = Vec::new();
        for (i, text) in source.ignoreregex.iter().take(PATTERNS_MAX).enumerate() {
            ignore.extend(compiling.expression(text, PatternPlace::Ignoreregex(i), false));
        }
        compiling.errors.extend(check_counts(source));
        compiling.check_lines(source);
        if !compiling.errors.is_empty() {
            return Err(compiling.errors);
        }
        Ok(Self {
            prefix: prefix_names.flatten(),
            fail,
            ignore,
            names: compiling.names,
            maxlines: usize::try_from(source.maxlines).unwrap_or(usize::MAX),
            host_names: source.host_names,
        })
    }

    /// The texts without which no line changes anything. A filter that looks at several lines needs
    /// every one of them.
    pub(crate) fn needs(&self) -> Needs {
        if self.maxlines > 1 {
            return Needs::Every;
        }
        let sets: Option<Vec<_>> = self
            .fail
            .iter()
            .map(|rule| rule.expression.required())
            .collect();
        if let Some(sets) = sets {
            let with_bits = sets
                .into_iter()
                .enumerate()
                .flat_map(|(i, set)| set.iter().map(move |text| (text.clone(), bit(i))));
            return Needs::Texts(with_bits.collect());
        }
        match self
            .prefix
            .as_ref()
            .and_then(|rule| rule.expression.required())
        {
            Some(set) => Needs::Texts(set.iter().map(|text| (text.clone(), u64::MAX)).collect()),
            None => Needs::Every,
        }
    }

    pub(crate) fn finds_host_names(&self) -> bool {
        let mut rules = self.prefix.iter().chain(&self.fail);
        self.host_names == HostNames::Resolve && rules.any(|rule| rule.naming.names_a_host())
    }

    pub(crate) fn is_linear(&self) -> bool {
        let rules = self.prefix.iter().chain(&self.fail);
        let mut all = rules.map(|rule| &rule.expression).chain(&self.ignore);
        all.all(Expression::is_linear)
    }

    /// Whether the ignoreregexes are asked first; fail2ban does where they are fewer by three.
    pub(super) fn ignores_first(&self) -> bool {
        !self.ignore.is_empty() && self.ignore.len() + 2 < self.fail.len()
    }
}

fn nobody() -> Fault {
    Fault::whole("failregex has no <HOST>, <ADDR>, <F-ID> or <F-MLFID>")
        .hint("write <HOST> where the address of the attacker stands")
}

struct Compiling {
    options: ExpressionOptions,
    names: Names,
    errors: Vec<PatternError>,
}

impl Compiling {
    fn expression(
        &mut self,
        text: &str,
        place: PatternPlace,
        multiline: bool,
    ) -> Option<Expression> {
        let options = ExpressionOptions {
            multiline: multiline && self.options.multiline,
            ..self.options
        };
        Expression::compile(text, options)
            .map_err(|fault| self.errors.push(fault.in_place(place)))
            .ok()
    }

    fn rule(&mut self, text: &str, place: PatternPlace, multiline: bool) -> Option<Rule> {
        let expression = self.expression(text, place, multiline)?;
        let naming = Naming::new(&expression, &mut self.names);
        Some(Rule { expression, naming })
    }

    fn check_lines(&mut self, source: &FilterSource) {
        let message = match source.maxlines {
            0 => "maxlines is at least 1".to_owned(),
            lines if lines > WINDOW_LINES_MAX => {
                format!("maxlines is at most {WINDOW_LINES_MAX}, found {lines}")
            }
            _ => return,
        };
        let fault = Fault::whole(message);
        self.errors.push(fault.in_place(PatternPlace::Failregex(0)));
    }
}
