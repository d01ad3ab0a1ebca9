//! Checks what a filter answers before anything is believed of it. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use stockade_core::{FailureId, Span};

use crate::batch::FilterBatch;
use crate::bindings::exports::stockade::filter::filter as wit;
use crate::bindings::stockade::types::types::IpAddress;

/// Findings of one line.
const FINDINGS_PER_LINE_MAX: u32 = 4;
/// Bytes of a subject that is a text.
const TEXT_BYTES_MAX: usize = 256;
/// Texts in a plan, of each of its lists.
const PLAN_ITEMS_MAX: usize = 256;
/// Bytes of a literal.
const LITERAL_BYTES_MAX: usize = 256;
/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 4096;

/// Which lines the host may drop without asking the plugin; see `wit/filter`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// A line has to contain one of these, if there are any.
    pub literals: Vec<String>,
    /// And one of these has to match it, if there are any.
    pub patterns: Vec<String>,
}

/// One failure that a filter found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Index of the line in the batch.
    pub line: u32,
    /// Whom it is counted for.
    pub subject: FailureId,
    /// The user name in the batch's text, within its line.
    pub user: Option<Span>,
}

/// Findings that keep the contract, and how many could not be counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) findings: Vec<Finding>,
    pub(crate) dropped: usize,
}

/// Checks a plan's sizes; its patterns are compiled elsewhere.
pub(crate) fn check_plan(plan: wit::Plan) -> Result<Plan, String> {
    if plan.literals.len() > PLAN_ITEMS_MAX || plan.patterns.len() > PLAN_ITEMS_MAX {
        return Err(format!("more than {PLAN_ITEMS_MAX} literals or patterns"));
    }
    if plan
        .literals
        .iter()
        .any(|literal| literal.is_empty() || literal.len() > LITERAL_BYTES_MAX)
    {
        return Err(format!("a literal has not 1 to {LITERAL_BYTES_MAX} bytes"));
    }
    if plan
        .patterns
        .iter()
        .any(|pattern| pattern.len() > PATTERN_BYTES_MAX)
    {
        return Err(format!("a pattern has more than {PATTERN_BYTES_MAX} bytes"));
    }
    Ok(Plan {
        literals: plan.literals,
        patterns: plan.patterns,
    })
}

/// Checks the findings for the lines `range` of `batch` and turns their indices and spans into those of
/// the whole batch.
pub(crate) fn check_report(
    report: &wit::Report,
    batch: &FilterBatch,
    range: &Range<usize>,
) -> Result<Checked, String> {
    let base = batch.span(range.start).start;
    let mut checked = Checked::default();
    let mut of_line = 0_u32;
    let mut before = 0_u32;
    for finding in &report.findings {
        let index = usize::try_from(finding.line).unwrap_or(usize::MAX);
        if index >= range.len() {
            return Err(format!(
                "a finding is for line {} of {}",
                finding.line,
                range.len()
            ));
        }
        if finding.line < before {
            return Err(format!(
                "a finding for line {} follows one for line {before}",
                finding.line
            ));
        }
        of_line = if finding.line == before {
            of_line.saturating_add(1)
        } else {
            1
        };
        before = finding.line;
        if of_line > FINDINGS_PER_LINE_MAX {
            return Err(format!(
                "line {before} has more than {FINDINGS_PER_LINE_MAX} findings"
            ));
        }
        let index = index.saturating_add(range.start);
        let user = match finding.user {
            None => None,
            Some(span) => Some(within(span, base, batch.span(index))?),
        };
        let Some(subject) = subject(&finding.subject) else {
            checked.dropped = checked.dropped.saturating_add(1);
            continue;
        };
        let line = u32::try_from(index).unwrap_or(u32::MAX);
        let is_same = |other: &&Finding| other.line == line && other.subject == subject;
        if !checked
            .findings
            .iter()
            .rev()
            .take(3)
            .any(|other| is_same(&other))
        {
            checked.findings.push(Finding {
                line,
                subject,
                user,
            });
        }
    }
    Ok(checked)
}

fn within(span: wit::Span, base: u32, line: Span) -> Result<Span, String> {
    let wrong = || {
        format!(
            "a user is at {}..{}, which is not in its line",
            span.start, span.end
        )
    };
    let start = span.start.checked_add(base).ok_or_else(wrong)?;
    let end = span.end.checked_add(base).ok_or_else(wrong)?;
    if start > end || start < line.start || end > line.end {
        return Err(wrong());
    }
    Ok(Span { start, end })
}

/// Whom a finding is for, or `None` where it cannot be counted.
///
/// That is no fault, since what the text says may be in an attacker's hand. A text that reads as an
/// address or a network is not counted either: ids are stored and shown as texts, and a user who calls
/// himself `0.0.0.0/0` must not come back from there as a network.
fn subject(subject: &wit::Subject) -> Option<FailureId> {
    match subject {
        wit::Subject::Address(IpAddress::Ipv4(bits)) => {
            Some(FailureId::from_addr(IpAddr::V4(Ipv4Addr::from_bits(*bits))))
        }
        wit::Subject::Address(IpAddress::Ipv6((high, low))) => {
            let bits = u128::from(*high) << 64 | u128::from(*low);
            Some(FailureId::from_addr(IpAddr::V6(Ipv6Addr::from_bits(bits))))
        }
        wit::Subject::Text(text) if text.is_empty() || text.len() > TEXT_BYTES_MAX => None,
        wit::Subject::Text(text) => match FailureId::parse(text) {
            id @ FailureId::Text(_) => Some(id),
            FailureId::Addr(_) | FailureId::Subnet(_) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::Timestamp;

    const ADDR: wit::Subject = wit::Subject::Address(IpAddress::Ipv4(0xc000_0201));

    fn batch() -> FilterBatch {
        let mut batch = FilterBatch::new();
        for line in ["aaaa", "bb", "cccccc"] {
            assert_eq!(
                batch.push(line.as_bytes(), Timestamp::EPOCH, 0),
                crate::Pushed::Taken
            );
        }
        batch
    }

    fn finding(line: u32, subject: wit::Subject, user: Option<(u32, u32)>) -> wit::Finding {
        let user = user.map(|(start, end)| wit::Span { start, end });
        wit::Finding {
            line,
            subject,
            user,
        }
    }

    fn check(findings: Vec<wit::Finding>, range: Range<usize>) -> Result<Checked, String> {
        check_report(&wit::Report { findings }, &batch(), &range)
    }

    #[test]
    fn indices_and_spans_become_those_of_the_whole_batch() {
        let checked = check(vec![finding(1, ADDR, Some((2, 4)))], 1..3).unwrap();
        let expected = Finding {
            line: 2,
            subject: FailureId::parse("192.0.2.1"),
            user: Some(Span { start: 6, end: 8 }),
        };
        assert_eq!(checked.findings, [expected]);
    }

    #[test]
    fn answers_that_break_the_contract_are_faults() {
        let wrong = |findings| check(findings, 1..3).unwrap_err();
        assert!(wrong(vec![finding(2, ADDR, None)]).contains("line 2 of 2"));
        assert!(wrong(vec![finding(1, ADDR, None), finding(0, ADDR, None)]).contains("follows"));
        assert!(wrong(vec![finding(0, ADDR, None); 5]).contains("more than 4"));
        for user in [(0, 3), (2, 3), (2, 1), (0, u32::MAX), (u32::MAX, u32::MAX)] {
            assert!(wrong(vec![finding(0, ADDR, Some(user))]).contains("not in its line"));
        }
    }

    #[test]
    fn the_same_subject_counts_once_a_line() {
        let checked = check(vec![finding(0, ADDR, None); 4], 0..3).unwrap();
        assert_eq!(checked.findings.len(), 1);
        let two = check(vec![finding(0, ADDR, None), finding(1, ADDR, None)], 0..3).unwrap();
        assert_eq!(two.findings.len(), 2);
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_texts_that_read_as_addresses_do_not_count() {
        let mapped = wit::Subject::Address(IpAddress::Ipv6((0, 0xffff_c000_0201)));
        assert_eq!(subject(&mapped), Some(FailureId::parse("192.0.2.1")));
        let text = |text: &str| subject(&wit::Subject::Text(text.into()));
        assert_eq!(text("alice"), Some(FailureId::Text("alice".into())));
        for bad in ["", "192.0.2.1", "0.0.0.0/0", "::1", &"x".repeat(257)] {
            assert_eq!(text(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn plans_have_bounds() {
        let plan = |literal: &str, count: usize, pattern: &str| wit::Plan {
            literals: vec![literal.into(); count],
            patterns: vec![pattern.into()],
        };
        assert!(check_plan(plan("Failed", 256, "x")).is_ok());
        assert!(check_plan(plan("Failed", 257, "x")).is_err());
        assert!(check_plan(plan("", 1, "x")).is_err());
        assert!(check_plan(plan("x", 1, &"x".repeat(4097))).is_err());
    }
}
