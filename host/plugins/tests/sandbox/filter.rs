//! What a filter can do wrong while it judges.

use std::time::Duration;

use stockade_core::{FailureId, Span};
use stockade_plugins::{Evaluation, FaultKind, FilterPlugin, Grants, Role, State};

use crate::component;
use crate::fixture::{Fixture, batch, spec};

fn filter(fixture: &Fixture) -> FilterPlugin {
    fixture
        .host
        .load_filter(spec(Role::Filter, component::filter()))
        .unwrap()
}

/// 256 failures, but for `line` at 77.
fn with_one(line: &str) -> Vec<&str> {
    let mut lines = vec!["F"; 256];
    lines[77] = line;
    lines
}

/// One line of 256 is skipped for `kind`, all others are judged, and it counts as one fault.
fn check_poison(line: &str, kind: FaultKind, reason: &str) {
    let fixture = Fixture::new();
    let mut filter = filter(&fixture);
    let evaluation = filter.evaluate(&batch(with_one(line)));
    assert_eq!(evaluation.skipped, [77]);
    assert_eq!(evaluation.findings.len(), 255);
    assert!(evaluation.findings.iter().all(|finding| finding.line != 77));
    assert!(evaluation.findings.is_sorted_by_key(|finding| finding.line));
    let poison = &evaluation.poison[0];
    assert_eq!(
        (poison.line, poison.fault.kind),
        (77, kind),
        "{}",
        poison.fault
    );
    assert!(poison.fault.message.contains(reason), "{}", poison.fault);
    let status = filter.status();
    assert_eq!((status.faults, status.skipped, status.items), (1, 1, 256));
    assert_eq!(status.state, State::Healthy);
}

#[test]
fn failures_are_found_with_their_subjects_and_users() {
    let fixture = Fixture::new();
    let mut filter = filter(&fixture);
    assert_eq!(filter.plan().literals, ["Failed"]);
    assert!(filter.plan().patterns.is_empty());
    let evaluation = filter.evaluate(&batch(["F one", "nothing", "", "U two"]));
    let found: Vec<_> = evaluation
        .findings
        .iter()
        .map(|finding| (finding.line, finding.subject.clone(), finding.user))
        .collect();
    let user = Span { start: 12, end: 13 };
    assert_eq!(
        found,
        [
            (0, FailureId::parse("192.0.2.1"), None),
            (3, FailureId::parse("alice"), Some(user))
        ]
    );
    assert!(evaluation.skipped.is_empty());
    assert_eq!(evaluation.state, Some(State::Healthy));
    assert_eq!(filter.evaluate(&batch([])).findings, []);
}

#[test]
fn a_trap_on_one_line_of_256_costs_that_line_only() {
    check_poison("X", FaultKind::Trap, "unreachable");
}

#[test]
fn an_endless_loop_ends_at_its_limit() {
    check_poison("L", FaultKind::Deadline, "more than 40 ms of CPU time");
}

#[test]
fn a_memory_bomb_ends_at_its_limit() {
    check_poison("M", FaultKind::Memory, "more than 32768 KiB of memory");
}

#[test]
fn deep_recursion_ends_at_its_limit() {
    check_poison("R", FaultKind::Stack, "stack");
}

#[test]
fn a_huge_result_is_not_copied() {
    check_poison("H", FaultKind::TooLarge, "fuel allocated for hostcalls");
}

#[test]
fn a_finding_for_a_line_that_was_not_asked_is_a_fault() {
    check_poison("B", FaultKind::Answer, "line 9999 of 1");
}

#[test]
fn a_skipped_line_is_shown_escaped_and_by_its_hash() {
    let fixture = Fixture::new();
    let evaluation = filter(&fixture).evaluate(&batch(["X\x1b[2J\n[sshd] Ban 192.0.2.7"]));
    let poison = &evaluation.poison[0];
    assert_eq!(poison.shown, "X\\u{1b}[2J\\n[sshd] Ban 192.0.2.7");
    assert_eq!(poison.sha256.len(), 64);
}

#[test]
fn a_refusal_counts_nothing_and_is_no_fault() {
    let fixture = Fixture::new();
    let mut filter = filter(&fixture);
    let evaluation = filter.evaluate(&batch(["F", "E"]));
    assert_eq!(evaluation.refused.as_deref(), Some("not\\ntoday"));
    assert_eq!(evaluation.skipped, [0, 1]);
    assert!(evaluation.findings.is_empty());
    assert_eq!(filter.status().faults, 0);
}

#[test]
fn three_faults_in_a_minute_are_a_quarantine_and_then_a_probation() {
    let fixture = Fixture::new();
    let mut filter = filter(&fixture);
    let Evaluation {
        findings,
        skipped,
        state,
        ..
    } = filter.evaluate(&batch(["F", "X", "F", "X", "X", "F", "F", "F"]));
    assert_eq!(
        findings
            .iter()
            .map(|finding| finding.line)
            .collect::<Vec<_>>(),
        [0, 2]
    );
    assert_eq!(skipped, [1, 3, 4, 5, 6, 7]);
    let until = Duration::from_millis(200);
    assert_eq!(state, Some(State::Quarantined { until }));

    let refused = filter.evaluate(&batch(["F", "F"]));
    assert_eq!((refused.skipped, refused.state), (vec![0, 1], state));
    assert!(refused.findings.is_empty());

    fixture.clock.advance(until);
    let tried = filter.evaluate(&batch(["F", "F"]));
    assert_eq!(
        (tried.findings.len(), tried.state),
        (2, Some(State::Probation))
    );

    let again = filter.evaluate(&batch(["F", "X", "F"]));
    assert_eq!(again.skipped, [1, 2]);
    let until = until + Duration::from_millis(400);
    assert_eq!(again.state, Some(State::Quarantined { until }));

    fixture.clock.advance(Duration::from_secs(61));
    let healed = filter.evaluate(&batch(["F"]));
    assert_eq!(
        (healed.findings.len(), healed.state),
        (1, Some(State::Healthy))
    );
    let status = filter.status();
    assert_eq!(
        (status.faults, status.quarantines, status.skipped),
        (4, 2, 10)
    );
}

#[test]
fn other_plugins_do_not_notice() {
    let fixture = Fixture::new();
    let (mut bad, mut good) = (filter(&fixture), filter(&fixture));
    for _ in 0..3 {
        assert_eq!(bad.evaluate(&batch(["X"])).skipped, [0]);
        assert_eq!(good.evaluate(&batch(["F"])).findings.len(), 1);
    }
    assert!(matches!(bad.status().state, State::Quarantined { .. }));
    assert_eq!(good.status().state, State::Healthy);
}

#[test]
fn a_plugins_log_lines_are_escaped_and_past_fifty_a_second_held_back() {
    let fixture = Fixture::new();
    let mut spec = spec(Role::Filter, component::filter_that_logs());
    spec.grants = Grants {
        log: true,
        ..Grants::default()
    };
    let mut filter = fixture.host.load_filter(spec).unwrap();
    assert!(filter.evaluate(&batch(vec!["G"; 100])).skipped.is_empty());
    // A new instance gets no new allowance.
    assert_eq!(filter.evaluate(&batch(["X", "G"])).skipped, [0]);
    let lines = fixture.log.lines();
    assert_eq!(lines.len(), 50);
    assert!(
        lines.iter().all(|line| line == "x Warn hello\\n"),
        "{lines:?}"
    );
    fixture.clock.advance(Duration::from_secs(1));
    assert!(filter.evaluate(&batch(["G"])).skipped.is_empty());
    let lines = fixture.log.lines();
    assert_eq!(
        lines[50..],
        [
            "x Warn 51 lines of this plugin were held back",
            "x Warn hello\\n"
        ]
    );
}
