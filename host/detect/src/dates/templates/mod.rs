//! fail2ban's date patterns (`datepattern`): its language, its own list, and its way to choose among
//! several, which learns from the lines before.
//!
//! The native filters find dates by other means, which are faster and read less; see [`super`].

mod choice;
mod digits;
mod fields;
mod template;
mod tokens;
pub(crate) mod zones;

use crate::error::Fault;

pub(crate) use choice::{DateDetector, DateMatch};
use template::Template;

/// Formats in the order in which fail2ban tries its own; the order decides where several match.
const DEFAULTS: [&str; 17] = [
    // ISO 8601, and with slashes or dots.
    r"%ExY(?P<mark>[./-])%m(?P=mark)%d(?:T| {1,2})%H:%M:%S(?:[,.]%f)?(?:\s*%z)?",
    // syslog and asctime.
    r"(?:%a )?%b %d %k:%M:%S(?:[.]%f)?(?: %ExY)?",
    // The same with the year after the day.
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:[.]%f)?",
    // The day first, in numbers.
    r"%d(?P<mark>[/-])%m(?P=mark)(?:%ExY|%Exy) %k:%M:%S",
    // Apache and named.
    r"%d(?P<mark>[/-])%b(?P=mark)%ExY[: ]?%H:%M:%S(?:[.]%f)?(?: %z)?",
    // cPanel.
    "%m/%d/%ExY:%H:%M:%S",
    // The month first.
    r"%m-%d-%ExY %k:%M:%S(?:[.]%f)?",
    // Seconds since 1970.
    "EPOCH",
    // Only a time.
    "{^LN-BEG}%H:%M:%S",
    // Oracle's mail server.
    "^<%m/%d/%Exy@%H:%M:%S>",
    // MySQL.
    "%Exy%Exm%Exd {1,2}%H:%M:%S",
    // Tomcat.
    "%b %d, %ExY %I:%M:%S %p",
    // ASSP.
    "^%b-%d-%Exy %k:%M:%S",
    // ISO 8601 without marks, or, since 1.1.1, with some.
    r"%ExY%Exm%Exd(?:-|T| {1,2})%ExH:?%ExM:?%ExS(?:[,.]%f)?(?:\s*%z)?",
    // A zone's name first, as monit has it.
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:[.]%f)?(?: %ExY)?",
    // A zone's offset first.
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:[.]%f)?(?: %ExY)?",
    // daemontools.
    "TAI64N",
];

/// How much a template for the beginning of a line, that fail2ban makes of its own ones, outweighs
/// the others.
const AT_BEGINNING: f64 = 100.0;

/// Most patterns of one filter.
const PATTERNS_MAX: usize = 64;

/// The compiled patterns of a filter.
#[derive(Debug)]
pub(crate) struct Templates {
    list: Vec<Template>,
}

impl Templates {
    /// Compiles `patterns`; none at all means fail2ban's own.
    ///
    /// # Errors
    /// What is wrong with the first that is wrong; its offset is one in that pattern.
    pub(crate) fn compile(patterns: &[String]) -> Result<Self, Fault> {
        let mut templates = Self { list: Vec::new() };
        if patterns.len() > PATTERNS_MAX {
            let message = format!("a filter has at most {PATTERNS_MAX} date patterns");
            return Err(Fault::whole(message));
        }
        for pattern in patterns {
            templates.add(pattern.trim())?;
        }
        if templates.list.is_empty() {
            templates.add_own(|_| true)?;
        }
        Ok(templates)
    }

    fn add(&mut self, pattern: &str) -> Result<(), Fault> {
        // Words in braces may be written in small letters where no token is.
        let key = if pattern.contains('%') {
            pattern.to_owned()
        } else {
            pattern.to_ascii_uppercase()
        };
        match key.as_str() {
            // As its manual says; fail2ban itself adds nothing where another pattern is there.
            "{DEFAULT}" => self.add_own(|_| true),
            "{^LN-BEG}" => self.add_own(Template::is_at_beginning),
            "{NONE}" => self.push(Template::of_pattern("{UNB}^")?),
            _ if key.to_ascii_uppercase().contains("{DATE}") => self.add_around(pattern),
            _ => self.push(Template::new(pattern, &key)?),
        }
    }

    fn push(&mut self, template: Template) -> Result<(), Fault> {
        if self.has(&template.name) {
            return Err(Fault::whole("this date pattern is there twice"));
        }
        self.list.push(template);
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.list.iter().any(|template| template.name == name)
    }

    /// fail2ban's own: first those that are not bound to a place, bound to the beginning of the line,
    /// then all as they are.
    fn add_own(&mut self, wanted: fn(&Template) -> bool) -> Result<(), Fault> {
        let mut own = Vec::new();
        for pattern in DEFAULTS
            .iter()
            .filter(|pattern| !pattern.starts_with(['{', '^']))
        {
            let mut template = Template::new_at_beginning(pattern)?;
            template.weight = AT_BEGINNING;
            own.push(template);
        }
        for pattern in DEFAULTS {
            own.push(Template::new(pattern, pattern)?);
        }
        own.retain(|template| wanted(template) && !self.has(&template.name));
        self.list.append(&mut own);
        Ok(())
    }

    /// fail2ban's own where `{DATE}` stands in `pattern`.
    fn add_around(&mut self, pattern: &str) -> Result<(), Fault> {
        let upper = pattern.to_ascii_uppercase();
        let at = upper.find("{DATE}").unwrap_or_default();
        let (before, rest) = pattern.split_at(at);
        let after = rest.get("{DATE}".len()..).unwrap_or_default();
        // A number or a label has no tokens: fail2ban knows it only by its name, alone or at the
        // beginning, and reads it as that word elsewhere.
        let numbers = after.is_empty() && matches!(before, "^" | "{^LN-BEG}");
        for own in DEFAULTS.iter().filter(|own| numbers || own.contains('%')) {
            let own = own.strip_prefix("{^LN-BEG}").unwrap_or(own);
            let pattern = format!("{before}{own}{after}");
            let template = Template::new(&pattern, &pattern)?;
            if !self.has(&template.name) {
                self.list.push(template);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
