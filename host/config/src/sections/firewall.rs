//! `[firewall]`: how the backends work.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use stockade_core::{PluginName, Safeguards};

use crate::diagnostic::quoted;
use crate::reading::{self, Found, Keys, Reading};
use crate::reference::Section;
use crate::sections::enforcement::is_builtin;
use crate::sections::exec::{TIMEOUT, TIMEOUT_MAX, command};
use crate::sections::safeguards;
use crate::settings::{EXEC_FIREWALL_TAGS, ExecFirewall, FirewallSettings};
use crate::source::Origin;
use crate::tree::{Table, Value};
use crate::words::NAME_FORM;

/// Chains of filters stand after connection tracking (`NF_IP_PRI_CONNTRACK`, -200); a number over 1000
/// is a slip.
const PRIORITY: RangeInclusive<i32> = -199..=1000;

/// Each that is used costs a thread.
const EXEC_MAX: usize = 16;

impl FirewallSettings {
    /// Before the filters of iptables, ufw, firewalld and most hand-written tables, which are at 0 and
    /// later, and after connection tracking.
    const PRIORITY: i32 = -10;

    /// The settings of a daemon without configuration.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            priority: Self::PRIORITY,
            never_ban: safeguards::all_kinds(),
            admins: safeguards::usual_admins(),
            safeguards: Safeguards::default(),
            exec: BTreeMap::new(),
        }
    }
}

pub(crate) fn firewall(table: Table, reading: &mut Reading) -> FirewallSettings {
    let builtin = FirewallSettings::builtin();
    let mut keys = Keys::new(Section::Firewall, table, reading);
    let settings = FirewallSettings {
        priority: keys
            .get("priority", |reading, found| {
                reading::number(reading, found, PRIORITY)
            })
            .unwrap_or(builtin.priority),
        never_ban: keys
            .get("never_ban", safeguards::never_ban)
            .unwrap_or(builtin.never_ban),
        admins: keys
            .get("admins", safeguards::admins)
            .unwrap_or(builtin.admins),
        safeguards: safeguards::safeguards(&mut keys),
        exec: keys.get("exec", programs).unwrap_or_default(),
    };
    keys.finish();
    settings
}

fn programs(reading: &mut Reading, found: &Found) -> Option<BTreeMap<PluginName, ExecFirewall>> {
    let table = reading::table(reading, found)?;
    if table.0.len() > EXEC_MAX {
        let count = table.0.len();
        let message = format!(
            "there are {count} tables [firewall.exec.NAME], at most {EXEC_MAX} are allowed"
        );
        reading.error(found.at(), message, None);
    }
    let mut programs = BTreeMap::new();
    for (text, entry) in table.0 {
        let Ok(name) = PluginName::try_new(&text) else {
            let message = format!("{} is not the name of a firewall", quoted(&text));
            reading.error(entry.key, message, Some(format!("a name is {NAME_FORM}")));
            continue;
        };
        if is_builtin(&text) {
            let message = format!("'{name}' is a firewall of stockade's own; take another name");
            reading.error(entry.key, message, None);
        }
        let Value::Table(body) = &entry.node.value else {
            let kind = entry.node.value.kind();
            let message = format!("[firewall.exec.{name}] must be a table, found {kind}");
            reading.error(entry.node.origin, message, None);
            continue;
        };
        let keys = Keys::new(Section::ExecFirewall, body.clone(), reading);
        if let Some(program) = exec(keys, &name, entry.key) {
            programs.insert(name, program);
        }
    }
    Some(programs)
}

/// `None` where `ban` or `unban` is missing or wrong; that was reported.
fn exec(mut keys: Keys<'_>, name: &PluginName, place: Origin) -> Option<ExecFirewall> {
    let batch = keys.get("batch", reading::boolean).unwrap_or(false);
    // What comes in one call for many bans cannot stand in its arguments.
    let tags: &[&str] = if batch { &[] } else { &EXEC_FIREWALL_TAGS };
    let mut required = |key: &'static str| {
        let Some(found) = keys.take(key) else {
            let message = format!("[firewall.exec.{name}] has no {key}");
            let hint = format!("write {key} = [\"/path/of/program\", \"<ip>\"]");
            keys.reading.missing(place, message, Some(hint));
            return None;
        };
        command(keys.reading, &found, tags)
    };
    let (ban, unban) = (required("ban"), required("unban"));
    let mut optional = |key| keys.get(key, |reading, found| command(reading, found, &[]));
    let (list, check) = (optional("list"), optional("check"));
    let (start, stop) = (optional("start"), optional("stop"));
    let timeout = keys.get("timeout", |reading, found| {
        reading::duration(reading, found, Duration::from_secs(1)..=TIMEOUT_MAX)
    });
    keys.finish();
    Some(ExecFirewall {
        ban: ban?,
        unban: unban?,
        list,
        check,
        start,
        stop,
        timeout: timeout.unwrap_or(TIMEOUT),
        batch,
    })
}
