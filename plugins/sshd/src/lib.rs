//! Recognises OpenSSH's authentication failures, unknown users and connections that end before a
//! login: the same verdicts as the plain filter `config/filters/sshd.toml`, which says what counts and
//! why. `tests/conformance/samples/sshd.log` holds both to it.
//!
//! A parser by hand instead of patterns: it is small, and it reads every message from the side that an
//! attacker does not write. There are no settings.

mod header;
mod message;
mod peer;
mod tail;

use stockade_sdk::filter::{Filter, Findings, Line, Plan};
use stockade_sdk::{Error, Settings};

/// The filter.
#[derive(Clone, Copy, Debug)]
pub struct Sshd;

impl Filter for Sshd {
    fn configure(settings: &Settings) -> Result<(Self, Plan), Error> {
        settings.only(&[])?;
        Ok((Self, Plan::new().literals(message::LITERALS)))
    }

    fn judge(&mut self, line: Line<'_>, found: &mut Findings) {
        if let Some(failure) = header::message(line.text).and_then(message::read) {
            found.add(&line, failure.addr, failure.user);
        }
    }
}

stockade_sdk::export!(Sshd as filter);

#[cfg(test)]
mod tests;
