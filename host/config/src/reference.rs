//! Every key there is: what it holds, its default, and what it means. The reader, the hints for
//! mistyped keys and the printed reference all live from this one table.

use crate::diagnostic::quoted;

/// A table of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Section {
    /// The top of stockade.toml and of a drop-in.
    Root,
    Daemon,
    Firewall,
    Defaults,
    /// `bantime_increment = { … }` of `[defaults]` or of a jail.
    Increment,
    /// `ignorecache = { … }` of `[defaults]` or of a jail.
    IgnoreCache,
    Jail,
    /// `filter = { … }` of a jail.
    JailFilter,
    Plugin,
    Grant,
    /// An entry of `http` that is a table.
    HttpGrant,
    Limits,
    Exec,
    /// `[firewall.exec.NAME]`
    ExecFirewall,
    /// The top of a filter file.
    Filter,
}

impl Section {
    /// How it is named in messages.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Root => "stockade.toml",
            Self::Daemon => "[daemon]",
            Self::Firewall => "[firewall]",
            Self::Defaults => "[defaults]",
            Self::Increment => "'bantime_increment'",
            Self::IgnoreCache => "'ignorecache'",
            Self::Jail => "a jail",
            Self::JailFilter => "'filter' of a jail",
            Self::Plugin => "[plugins.NAME]",
            Self::Grant => "[plugins.NAME.grant]",
            Self::HttpGrant => "'http' of [plugins.NAME.grant]",
            Self::Limits => "[plugins.NAME.limits]",
            Self::Exec => "[exec.NAME]",
            Self::ExecFirewall => "[firewall.exec.NAME]",
            Self::Filter => "a filter",
        }
    }

    /// What stands above its keys in the printed reference.
    fn heading(self) -> &'static str {
        match self {
            Self::Root => "`stockade.toml` and `stockade.d/*.toml`",
            Self::Daemon => "`[daemon]`",
            Self::Firewall => "`[firewall]`",
            Self::Defaults => "`[defaults]`: for all jails; each jail may set them for itself",
            Self::Increment => {
                "`bantime_increment = { … }`: a jail's own table changes what it names"
            }
            Self::IgnoreCache => "`ignorecache = { … }`",
            Self::Jail => {
                "`[jails.NAME]`, or the top of `jails/NAME.toml`: these, and every key of `[defaults]`"
            }
            Self::JailFilter => "`filter = { … }` of a jail",
            Self::Plugin => "`[plugins.NAME]`",
            Self::Grant => "`[plugins.NAME.grant]`: nothing is granted by itself",
            Self::HttpGrant => "`http = [{ … }]` of `[plugins.NAME.grant]`",
            Self::Limits => "`[plugins.NAME.limits]`",
            Self::Exec => "`[exec.NAME]`: a program that is run for each ban, without a shell",
            Self::ExecFirewall => {
                "`[firewall.exec.NAME]`: programs that enforce bans, without a shell; see [exec](firewall/exec.md)"
            }
            Self::Filter => "`filters/NAME.toml`",
        }
    }
}

/// One key.
pub(crate) struct Key {
    pub(crate) section: Section,
    pub(crate) name: &'static str,
    /// What it holds, for people.
    form: &'static str,
    /// As TOML; empty where there is none.
    pub(crate) default: &'static str,
    doc: &'static str,
}

const fn key(
    section: Section,
    name: &'static str,
    form: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        section,
        name,
        form,
        default,
        doc,
    }
}

use Section::{
    Daemon, Defaults, Exec, ExecFirewall, Filter, Firewall, Grant, HttpGrant, IgnoreCache,
    Increment, Jail, JailFilter, Limits, Plugin, Root,
};

/// Every key, in the order in which a reader wants to meet them.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key(Root, "daemon", "table", "", "The process itself."),
    key(Root, "firewall", "table", "", "How the firewall is used."),
    key(Root, "defaults", "table", "", "What holds for all jails."),
    key(Root, "jails", "tables by name", "", "The services that are protected."),
    key(Root, "plugins", "tables by name", "", "WebAssembly components that recognise failures or act on bans."),
    key(Root, "exec", "tables by name", "", "Programs that act on bans."),

    key(Daemon, "state_dir", "absolute path", "\"/var/lib/stockade\"", "Where bans, the places in the logs and compiled plugins are kept. FreeBSD: `/var/db/stockade`."),
    key(Daemon, "socket", "absolute path", "\"/run/stockade/stockade.sock\"", "The control socket. FreeBSD: `/var/run/stockade/stockade.sock`."),
    key(Daemon, "socket_group", "group name", "", "The group that may use the control socket beside root. Its members can ban and unban."),
    key(Daemon, "log_target", "\"stderr\", \"journal\" or an absolute path", "\"stderr\"", "Where the daemon writes its own log."),
    key(Daemon, "log_level", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"", "\"info\"", "How much it writes there."),
    key(Daemon, "db_purge_age", "time", "\"1d\"", "How long a ban is remembered after it was over and twice its length has passed: so long it makes the next one longer."),
    key(Daemon, "plugin_dir", "absolute path", "\"/usr/lib/stockade/plugins\"", "Where plugin files lie whose `path` is relative. FreeBSD: `/usr/local/lib/stockade/plugins`."),

    key(Firewall, "priority", "-199 to 1000", "-10", "Priority of nftables' chains: those with a smaller one see a packet first. The filters of iptables, ufw and firewalld are at 0 and later."),
    key(Firewall, "never_ban", "list of \"gateway\", \"resolvers\" and \"ssh_sessions\"", "[\"gateway\", \"resolvers\", \"ssh_sessions\"]", "Addresses that no jail bans, whatever its `ignoreip` says: of the default gateways, of the name servers, and those from which `admins` work by ssh; see [never lock out](never-lock-out.md)."),
    key(Firewall, "admins", "list", "[\"root\", \"@sudo\", \"@wheel\"]", "Whose interactive ssh sessions `ssh_sessions` means: users of `/etc/passwd`, and `@GROUP` for the members of a group of `/etc/group`."),
    key(Firewall, "widest_ipv4", "8 to 32", "16", "The shortest prefix of an IPv4 network that may be banned, by whomever."),
    key(Firewall, "widest_ipv6", "12 to 128", "32", "The same for IPv6. A smaller `ipv6_prefix` of a jail counts as this."),
    key(Firewall, "bans_per_minute", "0 to 100000", "1000", "So many bans a minute are made because of failures; further ones are held until `stockade confirm`. 0 for any number."),
    key(Firewall, "exec", "tables by name", "", "Programs of your own that enforce bans, for jails that name them as their `firewall`."),

    key(Defaults, "maxretry", "1 to 1000", "5", "How many failures within `findtime` lead to a ban."),
    key(Defaults, "findtime", "time", "\"10m\"", "How long a failure counts."),
    key(Defaults, "bantime", "time, or -1 for ever", "\"10m\"", "How long a ban lasts."),
    key(Defaults, "bantime_increment", "true, false or table", "false", "Whether who was banned before is banned longer each time, and after fewer failures: one counts as 2 after the first ban, then as 3, 5, 9 and so on. `true` doubles the time; a table says more. An unban by an operator makes the next ban a first one again."),
    key(Defaults, "maxmatches", "0 to 1000", "", "How many matched lines are kept to explain a ban; `maxretry` where it is not set."),
    key(Defaults, "ignoreip", "list", "[\"127.0.0.0/8\", \"::1\"]", "Who is never banned: addresses, networks, host names, `id:TEXT` for ids that are no address, and `file:/PATH` for a file with an entry in each line, `#` before a comment, read again within a second when it changes. A jail's own list replaces this one."),
    key(Defaults, "ignoreself", "true or false", "true", "Whether the addresses of this host are never banned."),
    key(Defaults, "ignorecommand", "list", "[]", "A program that is asked before a failure is counted, by absolute path and with arguments: it ends with 0 for whom is not to be counted and with 1 for everybody else. Tags in it: `<ip>`, `<family>`, `<jail>`, `<time>`; all that is known comes as one JSON object on standard input. It is asked after `ignoreip` and `ignoreself`, and not for who is banned. Where it ends otherwise, or not within a minute, the failure counts, and the log says so. It delays no other jail."),
    key(Defaults, "ignorecache", "false or table", "false", "Whether its answers are remembered."),
    key(Defaults, "ipv6_prefix", "32 to 128", "64", "IPv6 addresses that share this many leading bits are counted and banned together."),
    key(Defaults, "usedns", "\"no\", \"warn\", \"yes\" or \"raw\"", "\"no\"", "What host names in log lines count for, in filters in fail2ban's dialect; others find addresses only. `no`: for nothing, since who owns a name decides where it leads, and could have others banned. `yes`: for the addresses that they have; `warn`: the same, and each is logged. `raw`: for themselves, which no firewall can ban."),
    key(Defaults, "logencoding", "name of an encoding, or \"auto\"", "\"auto\"", "How the bytes of a line become text for filters in fail2ban's dialect; others match the bytes. `auto`: UTF-8, with U+FFFD for what is none."),
    key(Defaults, "logtimezone", "\"local\", \"UTC\", \"+02:00\" or a name such as \"Europe/Berlin\"", "\"local\"", "The zone of dates in the log that name none."),
    key(Defaults, "backend", "\"auto\", \"file\", \"journal\" or \"stdin\"", "\"auto\"", "Where lines are read from. `auto`: the journal where the jail has a `journalmatch` and the host has a journal, else the files of `logpath`."),
    key(Defaults, "protocol", "list of \"tcp\" and \"udp\", or \"all\"", "", "The protocols that are closed to who is banned; TCP where the jail names ports, all where it does not."),
    key(Defaults, "firewall", "name, list of names, or \"none\"", "\"auto\"", "What enforces bans: `nftables`, `iptables` with ipset (or `iptables-nft` or `iptables-legacy`, where not the variant in use is meant), `ufw`, `route` (routes that lead nowhere), on FreeBSD `pf`, a name of `[firewall.exec.NAME]`, or `auto` for the best that this host has; several are filled side by side. `none`: no firewall, and only actions are told."),
    key(Defaults, "hooks", "list of \"input\", \"forward\" and \"prerouting\"", "[\"input\"]", "Where packets are stopped. `input`: what is addressed to this host. `forward`: what it passes on, such as connections to containers, by the container's own port. `prerouting`: whatever comes in, by the port that the sender named, so that published ports of containers are closed too."),
    key(Defaults, "blocktype", "\"drop\", \"reject\" or \"tarpit\"", "\"drop\"", "What happens to packets of who is banned. `reject` answers TCP with a reset and the rest with ICMP; `tarpit` lets 10 in a minute through, so that who is banned wastes his time."),
    key(Defaults, "end_connections", "true or false", "false", "Whether a ban also ends the connections that who is banned has open."),
    key(Defaults, "actions", "list of names", "[]", "Who is told of bans: plugins and `[exec.NAME]`."),

    key(Increment, "enabled", "true or false", "true", "Whether bans grow; for a jail that differs from `[defaults]`."),
    key(Increment, "factor", "number", "1", "What each grown time is multiplied by. By default a ban lasts `bantime` × 2^(number of earlier bans, at most 20) × `factor`, and never less than `bantime`."),
    key(Increment, "formula", "text", "", "How the time grows instead, never below `bantime`: an expression of `ban.Time` (`bantime` in seconds), `ban.Count` (the number of earlier bans, from 1) and `banFactor`, with Python's operators, `min`, `max`, `A if B else C` and `math.exp` and its like, such as `\"ban.Time * math.exp(ban.Count * banFactor)\"`."),
    key(Increment, "multipliers", "list of numbers", "[]", "What `bantime` × `factor` is multiplied by instead, by the number of earlier bans counted from 0; the last stands for all that follow. A ban can so be shorter than the first. The first number is never used: a first ban always lasts `bantime`."),
    key(Increment, "maxtime", "time", "", "What a grown time is cut to, also below `bantime`."),
    key(Increment, "rndtime", "time", "\"0s\"", "Up to how much is added to a further ban by chance, so that nobody can foresee its end. It comes last, so that a ban can be longer than `maxtime`; fail2ban does the same."),
    key(Increment, "overalljails", "true or false", "false", "Whether the bans of all jails count for the time, not those of this jail only. A ban's number is then one more than the numbers of the last bans in all jails together, as fail2ban counts: times grow faster than there are bans."),

    key(IgnoreCache, "key", "text", "\"<ip>\"", "What an answer holds for: `<ip>`, `<family>`, `<jail>`, `<F-USER>` and other text. Equal keys have the same answer."),
    key(IgnoreCache, "max_count", "1 to 100000", "100", "How many answers are remembered."),
    key(IgnoreCache, "max_time", "time", "\"5m\"", "For how long, up to a day."),

    key(Jail, "enabled", "true, false or \"auto\"", "true", "Whether the jail is in force. `auto`: where a file of `logpath` exists or a unit that `journalmatch` names with `_SYSTEMD_UNIT=` is installed, looked up at start and at each reload."),
    key(Jail, "filter", "name of a filter file, or { plugin = NAME }", "", "What recognises failures. Required."),
    key(Jail, "logpath", "list of absolute paths", "", "Log files, with `*`, `?` and `[…]`. A file need not exist yet."),
    key(Jail, "journalmatch", "list of lists", "", "Which entries of the journal are read: `[[\"A=1\", \"B=2\"], [\"C=3\"]]` is (A and B) or C. The filter's where it is not set."),
    key(Jail, "port", "list of numbers, ranges and names, or \"all\"", "\"all\"", "The ports that are closed to who is banned."),

    key(JailFilter, "plugin", "name of a plugin", "", "The plugin that recognises failures."),

    key(Plugin, "path", "path", "", "The component file; relative to `plugin_dir`. Required."),
    key(Plugin, "grant", "table", "", "What the plugin may do."),
    key(Plugin, "settings", "table of texts", "", "Handed to the plugin as they are; a key in a table of its own gets the table's name and a dot in front."),
    key(Plugin, "limits", "table", "", "Bounds that differ from the built-in ones."),

    key(Grant, "log", "true or false", "false", "It may write to the daemon's log."),
    key(Grant, "clock", "true or false", "false", "It may ask for the time."),
    key(Grant, "kv", "true or false", "false", "It may keep keys and values."),
    key(Grant, "http", "list of origins", "[]", "The origins that it may send requests to, such as `\"https://hooks.example.com\"`, each with a scheme and without a path."),

    key(HttpGrant, "origin", "origin", "", "The same as a text. Required."),
    key(HttpGrant, "private", "true or false", "false", "The origin may lie at an address of a private network or of this host."),

    key(Limits, "memory", "size", "", "Memory of one instance, from \"1MiB\" to \"256MiB\"."),
    key(Limits, "deadline", "time", "", "CPU time of one call, from 1 to 10 seconds."),

    key(Exec, "ban", "list", "", "An absolute path and arguments, run once for each ban. Tags in them: `<ip>`, `<family>`, `<jail>`, `<time>`, `<bantime>`, `<bancount>`, `<failures>`, `<restored>`; all that is known comes as one JSON object on standard input. Required."),
    key(Exec, "unban", "list", "", "The same, run when the ban ends."),
    key(Exec, "timeout", "time", "\"60s\"", "After this time the program is killed, up to an hour."),
    key(Exec, "restored", "true or false", "true", "Whether it is told again of bans that outlived a restart."),

    key(ExecFirewall, "ban", "list", "", "An absolute path and arguments, run for each ban; has to succeed for what is banned already. Tags in them: `<ip>`, `<family>`, `<jail>`, `<timeout>`. Required."),
    key(ExecFirewall, "unban", "list", "", "The same, run when a ban ends. Required."),
    key(ExecFirewall, "list", "list", "", "Prints what is banned: on each line a jail and an address or network."),
    key(ExecFirewall, "check", "list", "", "Exits with 0 if all is in place."),
    key(ExecFirewall, "start", "list", "", "Sets up what is missing and keeps bans that are there; run at every start and reload, and after a failed `check`."),
    key(ExecFirewall, "stop", "list", "", "Takes all away, bans too. Without it every ban is ended by `unban`."),
    key(ExecFirewall, "timeout", "time", "\"60s\"", "After this time a program is killed, up to an hour."),
    key(ExecFirewall, "batch", "true or false", "false", "Whether `ban` and `unban` are called once for many bans, which come as JSON on standard input."),

    key(Filter, "description", "text", "", "What the filter recognises, for people."),
    key(Filter, "format", "\"text\" or \"json\"", "\"text\"", "What a line of the log is. `json`: a JSON object, judged by its fields; see [Writing a filter](writing-a-filter.md#logs-of-json)."),
    key(Filter, "prefregex", "pattern", "", "What every line must match first, with `<F-CONTENT>` around what `failregex` looks at."),
    key(Filter, "failregex", "list of patterns", "", "What a failure looks like; `<HOST>`, `<ADDR>` or `<F-ID>` says who it is. Required for text."),
    key(Filter, "ignoreregex", "list of patterns", "[]", "Lines that are no failures although a `failregex` matches."),
    key(Filter, "journalmatch", "list of lists", "[]", "Which entries of the journal are read, for jails that do not say it themselves."),
    key(Filter, "datepattern", "\"default\" or \"none\"", "\"default\"", "How the date of a line is found; `none`: it has no date, and the time of reading counts. In fail2ban's dialect also a list in its language, such as `[\"^%Y-%m-%d\", \"{DEFAULT}\"]`, where `{DEFAULT}` is fail2ban's own list."),
    key(Filter, "dialect", "\"native\" or \"fail2ban\"", "\"native\"", "Who reads the patterns. `fail2ban`: as Python does, with look-around and sessions over several lines, for filters that were imported."),
    key(Filter, "maxlines", "1 to 100", "1", "How many lines a pattern gets to see at once; only in fail2ban's dialect."),
    key(Filter, "id", "path of a field, or list", "", "For JSON: the field that holds the address, such as `\"request.remote_ip\"`, alone or with a port behind it; of a list the first that is there. A number in a path is a place in an array, `\\.` a dot in a name. Not needed where a pattern has `<ADDR>`."),
    key(Filter, "user", "path of a field", "", "For JSON: the field that holds the user's name."),
    key(Filter, "time", "path of a field", "", "For JSON: the field that holds the time: seconds since 1970 or smaller units, or a date. Required, unless `datepattern` is given."),
    key(Filter, "failure", "list of tables", "", "For JSON, `[[failure]]`: the fields of a failure and what they are, all of one table. A value is a text, a number, true or false, a pattern `'^…$'` about the whole text of the field, a range `\"400..499\"`, or a list of which one must be so. Required for JSON."),
    key(Filter, "ignore", "list of tables", "", "For JSON, `[[ignore]]`: the same, for entries that are no failures although a `failure` holds."),
];

/// The keys that may stand in a table.
pub(crate) fn keys_of(section: Section) -> impl Iterator<Item = &'static str> {
    let own =
        move |key: &&Key| key.section == section || (section == Jail && key.section == Defaults);
    KEYS.iter().filter(own).map(|key| key.name)
}

/// Keys that people know from elsewhere, and what they write here instead.
#[rustfmt::skip]
const FOREIGN: &[(Section, &str, &str)] = &[
    (Root, "jail", "a jail is written [jails.NAME]"),
    (Root, "DEFAULT", "what holds for all jails is written [defaults]"),
    (Root, "default", "what holds for all jails is written [defaults]"),
    (Root, "filters", "a filter is a file of its own: filters/NAME.toml"),
    (Root, "Definition", "a filter is a file of its own: filters/NAME.toml"),
    (Root, "actions", "an action is a table [plugins.NAME] or [exec.NAME], and actions = [\"NAME\"] in the jail"),
    (Jail, "jails", "this file holds the body of one jail: leave the header [jails.NAME] out"),
    (Jail, "defaults", "[defaults] belongs in stockade.toml"),
    (Jail, "plugins", "[plugins.NAME] belongs in stockade.toml"),
    (Jail, "action", "the firewall needs no action; others are named in actions = [\"NAME\"]"),
    (Jail, "banaction", "what enforces bans is written firewall = \"nftables\""),
    (Jail, "failregex", "patterns belong in a filter file: filters/NAME.toml"),
    (Jail, "ignoreregex", "patterns belong in a filter file: filters/NAME.toml"),
    (Jail, "prefregex", "patterns belong in a filter file: filters/NAME.toml"),
    (Jail, "datepattern", "how dates are found belongs in the filter file: filters/NAME.toml"),
    (Jail, "skip_if_nologs", "leave it out: a log file need not exist yet"),
    (Jail, "mode", "a mode is a filter of its own: filters/NAME.toml"),
    (Jail, "settings", "settings belong to the plugin: [plugins.NAME.settings]"),
    (Increment, "increment", "write bantime_increment = true, or enabled = true in its table"),
    (Increment, "maxbantime", "write maxtime"),
    (Defaults, "banaction", "what enforces bans is written firewall = \"nftables\""),
    (Defaults, "enabled", "each jail says for itself whether it is enabled"),
    (Firewall, "blocktype", "'blocktype' belongs in [defaults] or in a jail"),
    (Firewall, "banaction", "what enforces bans is written firewall = \"nftables\" in [defaults] or in a jail"),
    (Firewall, "backend", "what enforces bans is written firewall = \"nftables\" in [defaults] or in a jail"),
    (Daemon, "pidfile", "leave it out: the control socket says whether the daemon runs"),
    (Daemon, "dbfile", "the database lies in state_dir"),
    (Plugin, "http", "what a plugin may do stands in [plugins.NAME.grant]"),
    (Plugin, "log", "what a plugin may do stands in [plugins.NAME.grant]"),
    (Plugin, "url", "what the plugin is told stands in [plugins.NAME.settings]"),
    (Filter, "Definition", "this file needs no header: leave [Definition] out"),
];

/// What to do instead of a key that is known from elsewhere.
pub(crate) fn foreign(section: Section, name: &str) -> Option<&'static str> {
    FOREIGN
        .iter()
        .find(|(of, key, _)| *of == section && *key == name)
        .map(|(_, _, hint)| *hint)
}

/// The table in which `name` would be known, where it is another one.
pub(crate) fn hint_for_section(section: Section, name: &str) -> Option<String> {
    if section == Grant {
        return Some("a plugin can be granted log, clock, kv and http".to_owned());
    }
    if section == Root && crate::words::is_name(name) && keys_elsewhere(name).is_none() {
        return Some(format!("a jail is written [jails.{name}]"));
    }
    let other = keys_elsewhere(name)?;
    Some(format!("{} belongs in {}", quoted(name), other.title()))
}

fn keys_elsewhere(name: &str) -> Option<Section> {
    KEYS.iter()
        .find(|key| key.name == name)
        .map(|key| key.section)
}

/// The reference of all settings as Markdown, for the book and for `--help`.
#[must_use]
pub fn settings_reference() -> String {
    let mut text = String::from("# Settings\n");
    let mut section = None;
    for key in KEYS {
        if section != Some(key.section) {
            section = Some(key.section);
            let heading = key.section.heading();
            text.push_str(&format!("\n## {heading}\n\n"));
            text.push_str("| key | holds | default | meaning |\n|---|---|---|---|\n");
        }
        let default = match key.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let Key {
            name, form, doc, ..
        } = key;
        text.push_str(&format!("| `{name}` | {form} | {default} | {doc} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_key_is_listed_twice() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert((key.section, key.name)), "{}", key.name);
        }
    }

    #[test]
    fn a_key_from_elsewhere_is_not_one_of_ours() {
        for (section, name, _) in FOREIGN {
            assert!(keys_of(*section).all(|key| key != *name), "{name}");
        }
    }

    #[test]
    fn the_printed_reference_holds_every_key_in_one_row() {
        let text = settings_reference();
        for key in KEYS {
            assert!(
                text.contains(&format!("| `{}` |", key.name)),
                "{}",
                key.name
            );
        }
        let rows = text.lines().filter(|line| line.starts_with('|'));
        for row in rows {
            assert_eq!(
                row.matches(" | ").count(),
                if row.starts_with("|--") { 0 } else { 3 },
                "{row}"
            );
        }
    }
}
