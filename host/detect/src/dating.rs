//! When a line was written, and what of it is its date.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;

use crate::dates::DateFinder;
use crate::dates::templates::{DateDetector, DateMatch, Templates};
use crate::error::Fault;
use crate::source::DatePattern;

/// How long after a line with a date a line without one is taken to belong to it. fail2ban's value.
pub(crate) const UNDATED_MAX: Duration = Duration::from_secs(60);

/// Where in a line a date that templates describe must stand: each of thirty reads all of it, which in
/// a line of 64 KiB would take longer than everything else. Only a client makes lines of this length.
const DATE_WITHIN: usize = 8 * 1024;

/// Where a filter looks for the date of a line.
#[derive(Debug)]
pub(crate) enum Dates {
    Usual,
    Nowhere,
    Templates(Arc<Templates>),
}

/// What is remembered of one source about its dates.
#[derive(Debug)]
pub(crate) struct Dating {
    detector: Option<DateDetector>,
    last: Option<Timestamp>,
}

/// When a line was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dated {
    /// `None` where nothing tells, not even the lines before it.
    pub(crate) at: Option<Timestamp>,
    /// The date, which patterns do not get to see.
    pub(crate) cut: Option<(usize, usize)>,
}

impl Dates {
    /// Compiles `pattern`; a fault comes with the index of its template.
    pub(crate) fn compile(pattern: &DatePattern) -> Result<Self, (usize, Fault)> {
        Ok(match pattern {
            DatePattern::Default => Self::Usual,
            DatePattern::None => Self::Nowhere,
            DatePattern::Templates(templates) => {
                let compiled = Templates::compile(templates)
                    .map_err(|fault| (faulty(templates).unwrap_or(0), fault))?;
                Self::Templates(Arc::new(compiled))
            }
        })
    }

    /// The dates of a source that nothing was read of. Dates without a zone are of `zone`.
    pub(crate) fn dating(&self, zone: &TimeZone) -> Dating {
        Dating {
            detector: match self {
                Self::Usual | Self::Nowhere => None,
                Self::Templates(templates) => {
                    Some(DateDetector::new(Arc::clone(templates), zone.clone()))
                }
            },
            last: None,
        }
    }
}

impl Dating {
    /// Looks for the date of `line`, of which the time is `given` or else looked for as `dates` say;
    /// `usual` finds the usual formats.
    pub(crate) fn of(
        &mut self,
        dates: &Dates,
        line: &str,
        given: Option<Timestamp>,
        now: Timestamp,
        usual: &mut DateFinder,
    ) -> Dated {
        if let Some(at) = given {
            self.last = Some(at);
            return Dated {
                at: Some(at),
                cut: None,
            };
        }
        let found = match (dates, &mut self.detector) {
            (Dates::Usual, _) => usual.find(line.as_bytes()).map(|found| DateMatch {
                at: Some(found.at),
                start: found.start,
                end: found.end,
            }),
            (Dates::Templates(_), Some(detector)) => detector.find(head(line), now),
            (Dates::Nowhere | Dates::Templates(_), _) => {
                return Dated {
                    at: Some(now),
                    cut: None,
                };
            }
        };
        let recent = self
            .last
            .filter(|last| *last > now.saturating_sub(UNDATED_MAX));
        match found {
            // A template may match no text at all: then the date is not to be had, but expected so.
            Some(found) if found.start == found.end => Dated {
                at: recent.or(Some(now)),
                cut: None,
            },
            // A date that cannot be (30 February) is cut out all the same, as fail2ban does.
            Some(found) => {
                let cut = Some((found.start, found.end));
                if found.at.is_some() {
                    self.last = found.at;
                }
                Dated {
                    at: found.at.or(recent),
                    cut: cut.filter(|_| found.at.is_some() || recent.is_none()),
                }
            }
            None => Dated {
                at: recent,
                cut: None,
            },
        }
    }
}

/// Where the date of a line is looked for.
fn head(line: &str) -> &str {
    line.get(..line.floor_char_boundary(DATE_WITHIN))
        .unwrap_or(line)
}

/// Which of `templates` cannot be compiled by itself.
fn faulty(templates: &[String]) -> Option<usize> {
    templates
        .iter()
        .position(|template| Templates::compile(std::slice::from_ref(template)).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_stands_where_it_can_be_found_in_little_time() {
        let templates = DatePattern::Templates(vec!["{DEFAULT}".to_owned()]);
        let dates = Dates::compile(&templates).unwrap();
        let at = |before: &str| {
            let line = format!("{before} 2026-11-23 05:54:13 and so on");
            let mut usual = DateFinder::new(TimeZone::UTC);
            let mut dating = dates.dating(&TimeZone::UTC);
            let now = Timestamp::from_secs(1_795_413_420);
            dating.of(&dates, &line, None, now, &mut usual).cut
        };
        let date = "2026-11-23 05:54:13".len();
        let before = "é".repeat(DATE_WITHIN / 2 - date);
        assert_eq!(
            at(&before),
            Some((before.len() + 1, before.len() + 1 + date))
        );
        assert_eq!(at(&"é".repeat(DATE_WITHIN / 2)), None);
    }
}
