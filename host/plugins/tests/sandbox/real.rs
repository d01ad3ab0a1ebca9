//! The stock plugins as they are shipped: `cargo xtask plugins` builds them.

use std::path::PathBuf;

use stockade_core::{Ban, FailureId, JailName, Timestamp};
use stockade_plugins::{
    ActionErrorKind, ComponentSource, Decision, GrantedOrigin, Grants, Limits, Origin, Role, State,
};

use crate::component;
use crate::fixture::{Fixture, batch, spec};

/// The file of a stock plugin, where they are built.
#[expect(clippy::print_stdout, reason = "a skipped test has to say so")]
fn plugin(name: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("STOCKADE_PLUGIN_DIR") {
        let file = PathBuf::from(folder).join(format!("{name}.wasm"));
        assert!(
            file.exists(),
            "{} is missing; run `cargo xtask plugins`",
            file.display()
        );
        return Some(file);
    }
    let must_run = std::env::var_os("STOCKADE_TESTS_MUST_RUN").is_some();
    assert!(!must_run, "STOCKADE_PLUGIN_DIR is not set");
    println!("skipped: STOCKADE_PLUGIN_DIR is not set; run `cargo xtask test`");
    None
}

#[test]
fn the_sshd_filter_finds_an_attacker_and_not_the_one_he_names() {
    let Some(file) = plugin("sshd") else { return };
    let mut spec = spec(Role::Filter, component::empty());
    spec.component = ComponentSource::File(file);
    spec.limits = Limits::of(Role::Filter);
    let mut filter = Fixture::new().host.load_filter(spec).unwrap();
    let plan = filter.plan();
    assert!(
        !plan.literals.is_empty() || !plan.patterns.is_empty(),
        "{plan:?}"
    );
    let evaluation = filter.evaluate(&batch([
        "host sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2",
        "host sshd[1]: Accepted password for root from 192.0.2.2 port 22 ssh2",
        "host sshd[1]: Failed password for invalid user x from 203.0.113.9 port 22 from 192.0.2.3 port 4 ssh2",
    ]));
    let found: Vec<_> = evaluation
        .findings
        .iter()
        .map(|finding| (finding.line, finding.subject.to_string()))
        .collect();
    assert_eq!(
        found,
        [(0, "192.0.2.1".to_owned()), (2, "192.0.2.3".to_owned())]
    );
    assert_eq!(evaluation.state, Some(State::Healthy));
}

#[test]
fn the_webhook_action_says_when_its_server_is_away() {
    let Some(file) = plugin("webhook") else {
        return;
    };
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut spec = spec(Role::Action, component::empty());
    spec.component = ComponentSource::File(file);
    spec.limits = Limits::of(Role::Action);
    let origin = Origin::parse(&url).unwrap();
    let http = vec![GrantedOrigin {
        origin,
        private: true,
    }];
    spec.grants = Grants {
        log: true,
        clock: true,
        http,
        ..Grants::default()
    };
    spec.settings = vec![("url".into(), format!("{url}/hook"))];
    let mut action = Fixture::new().host.load_action(spec).unwrap();
    let ban = Ban {
        jail: JailName::try_new("sshd").unwrap(),
        id: FailureId::parse("192.0.2.1"),
        at: Timestamp::EPOCH,
        until: None,
        failures: 5,
        bancount: 1,
    };
    let results = action.apply(&[Decision::new(&ban, [])]);
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(
        (error.kind, error.retry),
        (ActionErrorKind::Unavailable, true),
        "{error}"
    );
}
