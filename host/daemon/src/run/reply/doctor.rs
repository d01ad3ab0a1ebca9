//! The answer to `doctor`: whether bans hold on this host, in words for a person.

use std::collections::BTreeSet;

use stockade_config::{Hook, JailSettings};
use stockade_control::{Check, ControlReply, DoctorReply};
use stockade_firewall::{FirewallError, Health, TEST_ADDRESS, Tested, Translation};

use crate::run::enforcement::Examination;
use crate::run::main_loop::Daemon;

impl Daemon {
    pub(super) async fn doctor(&mut self) -> ControlReply {
        let mut checks = Vec::new();
        if self.parts.dry_run {
            let hint = "start stockade without --dry-run".to_owned();
            checks.push(Check::bad(
                "this is a dry run: nobody is banned",
                Some(hint),
            ));
        }
        let examined = self.engine.enforcement.examine().await;
        for (id, running) in self.engine.enforcement.running() {
            let name = running.backend.name();
            if let Some(because) = &running.because {
                checks.push(Check::good(format!("{name} was chosen since {because}")));
            }
            if let Some((_, examination)) = examined.iter().find(|(found, _)| *found == id) {
                checks.extend(of_backend(name, examination));
            }
        }
        let jails = self.setup.jails.iter().map(|jail| &jail.settings);
        checks.extend(unenforced(jails.clone()));
        // Elsewhere, since the kernel may have very many rules.
        let translations = tokio::task::spawn_blocking(stockade_firewall::translations);
        if let Ok(translations) = translations.await {
            checks.extend(around(translations, jails));
        }
        ControlReply::Doctor(DoctorReply { checks })
    }
}

/// Whether the rules of a backend are there, and what became of the test.
fn of_backend(name: &str, examination: &Result<Examination, FirewallError>) -> Vec<Check> {
    let examination = match examination {
        Ok(examination) => examination,
        Err(error) => {
            let hint = error.hint().map(str::to_owned);
            let why = crate::cli::chain(error);
            return vec![Check::bad(format!("{name} does not work: {why}"), hint)];
        }
    };
    let mut checks = vec![match &examination.health {
        Health::InPlace => Check::good(format!("{name} has all our rules")),
        Health::Missing { what } => {
            let what = what.join("; ");
            let hint = "stockade mends this by itself within a minute; see its log if it does not";
            Check::bad(
                format!("{name} lacks or was altered: {what}"),
                Some(hint.to_owned()),
            )
        }
    }];
    checks.extend(examination.tested.as_ref().map(|(jail, tested)| match tested {
        Tested::Stopped => Check::good(format!(
            "{name} stopped a connection from {TEST_ADDRESS}, which jail '{jail}' banned for a moment"
        )),
        Tested::Through => Check::bad(
            format!(
                "{name} let a connection from {TEST_ADDRESS} through although jail '{jail}' had banned it"
            ),
            Some("look for a rule in front of ours that accepts it: 'nft list ruleset', 'iptables-save'".to_owned()),
        ),
        Tested::Unknown { why } => Check::unknown(format!("{name} was not tested with a packet: {why}")),
    }));
    checks
}

/// Jails whose bans no firewall knows of.
fn unenforced<'a>(jails: impl Iterator<Item = &'a JailSettings>) -> Option<Check> {
    let bare = jails.filter(|jail| jail.rules.enforcement.firewall.is_empty());
    let names: Vec<&str> = bare.map(|jail| jail.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        Check::unknown(format!(
            "no firewall knows of the bans of {names} (firewall = \"none\")"
        ))
    })
}

/// What goes around hook `input`.
fn around<'a>(
    translations: Result<BTreeSet<Translation>, FirewallError>,
    jails: impl Iterator<Item = &'a JailSettings>,
) -> Option<Check> {
    let translations = match translations {
        Ok(translations) => translations,
        Err(error) => {
            let why = crate::cli::chain(&error);
            return Some(Check::unknown(format!(
                "it is not known what goes around our rules: {why}"
            )));
        }
    };
    let first = translations.iter().next()?;
    let input_only = BTreeSet::from([Hook::Input]);
    let open = jails.filter(|jail| {
        let enforcement = &jail.rules.enforcement;
        !enforcement.firewall.is_empty() && enforcement.hooks == input_only
    });
    let names: Vec<&str> = open.map(|jail| jail.name.as_str()).collect();
    if names.is_empty() {
        return Some(Check::good(
            "connections are sent on to other hosts or containers, and all jails close that way too",
        ));
    }
    let names = names.join(", ");
    Some(Check::bad(
        format!(
            "{first} sends connections on to other hosts or containers; they do not pass hook 'input', \
             where bans of {names} are enforced"
        ),
        Some(
            "where a jail protects a published port, give it hooks = [\"input\", \"prerouting\"]"
                .to_owned(),
        ),
    ))
}
