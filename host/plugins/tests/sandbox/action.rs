//! What an action can do wrong.

use std::time::Duration;

use stockade_core::{Ban, FailureId, JailName, Timestamp};
use stockade_plugins::{ActionErrorKind, ActionPlugin, Decision, Role, State};

use crate::component;
use crate::fixture::{Fixture, spec};

fn action(fixture: &Fixture) -> ActionPlugin {
    fixture
        .host
        .load_action(spec(Role::Action, component::action()))
        .unwrap()
}

fn decisions<'a>(subjects: impl IntoIterator<Item = &'a str>) -> Vec<Decision> {
    subjects
        .into_iter()
        .map(|subject| {
            let ban = Ban {
                jail: JailName::try_new("sshd").unwrap(),
                id: FailureId::parse(subject),
                at: Timestamp::EPOCH,
                until: None,
                failures: 5,
                bancount: 1,
            };
            Decision::new(&ban, [b"Failed password".as_slice()])
        })
        .collect()
}

type Results = Vec<Result<(), stockade_plugins::ActionError>>;

/// For each result nothing, or what is the matter and whether to try again.
fn kinds(results: &Results) -> Vec<Option<(ActionErrorKind, bool)>> {
    results
        .iter()
        .map(|result| result.as_ref().err().map(|error| (error.kind, error.retry)))
        .collect()
}

#[test]
fn each_decision_has_a_result_of_its_own() {
    let fixture = Fixture::new();
    let mut action = action(&fixture);
    let list = decisions(["192.0.2.1", "Ursula", "2001:db8::/64", "Dora"]);
    for results in [
        action.apply(&list),
        action.revoke(&list),
        action.reconcile(&list),
    ] {
        assert_eq!(
            kinds(&results),
            [
                None,
                Some((ActionErrorKind::Unavailable, true)),
                None,
                Some((ActionErrorKind::Denied, false))
            ]
        );
        assert_eq!(results[1].as_ref().unwrap_err().message, "away");
    }
    assert!(action.probe().is_ok());
    let status = action.status();
    assert_eq!((status.faults, status.items, status.skipped), (0, 12, 0));
}

#[test]
fn a_decision_the_plugin_traps_on_does_not_take_the_others_down() {
    let fixture = Fixture::new();
    for poison in ["Xaver", "Lola", "Nora"] {
        let mut action = action(&fixture);
        let mut subjects = vec!["192.0.2.1"; 70];
        subjects[40] = poison;
        let results = action.apply(&decisions(subjects));
        assert_eq!(results.len(), 70);
        for (index, kind) in kinds(&results).into_iter().enumerate() {
            let expected = (index == 40).then_some((ActionErrorKind::Fault, false));
            assert_eq!(kind, expected, "decision {index} beside {poison}");
        }
        assert_eq!(action.status().faults, 1);
    }
}

#[test]
fn a_list_of_all_bans_is_told_without_the_one_the_plugin_traps_on() {
    let fixture = Fixture::new();
    let mut action = action(&fixture);
    let results = action.reconcile(&decisions(["192.0.2.1", "Xaver", "Ursula"]));
    assert_eq!(
        kinds(&results),
        [
            None,
            Some((ActionErrorKind::Fault, false)),
            Some((ActionErrorKind::Unavailable, true))
        ]
    );
    assert_eq!(action.status().faults, 1);
}

#[test]
fn in_quarantine_every_decision_may_be_tried_again() {
    let fixture = Fixture::new();
    let mut action = action(&fixture);
    let results = action.apply(&decisions(["Xa", "Xb", "Xc", "192.0.2.1"]));
    let fault = Some((ActionErrorKind::Fault, false));
    let untried = Some((ActionErrorKind::NotTried, true));
    assert_eq!(kinds(&results), [fault, fault, fault, untried]);
    assert!(matches!(action.status().state, State::Quarantined { .. }));
    let good = decisions(["192.0.2.1"]);
    assert_eq!(kinds(&action.apply(&good)), [untried]);
    assert_eq!(kinds(&action.revoke(&good)), [untried]);
    assert_eq!(kinds(&action.reconcile(&good)), [untried]);
    assert_eq!(action.probe().unwrap_err().kind, ActionErrorKind::NotTried);
    fixture.clock.advance(Duration::from_millis(200));
    assert_eq!(kinds(&action.apply(&good)), [None]);
    assert_eq!(action.status().state, State::Probation);
}

#[test]
fn nothing_to_do_is_nothing_wrong() {
    let fixture = Fixture::new();
    let mut action = action(&fixture);
    assert!(action.apply(&[]).is_empty());
    assert!(action.reconcile(&[]).is_empty());
    assert_eq!(action.status().faults, 0);
}
