//! fail2ban's commands, each as requests to the daemon and an answer in fail2ban's words.

use jiff::tz::TimeZone;
use stockade_control::{
    BanEntry, Client, ClientError, ControlReply, ControlRequest, JailStatus, Outcome, RulesReply,
    State, StatusReply, Time, TuneRequest, UnbanRequest, UnbanWhom,
};
use stockade_core::{JailName, Timestamp};

use super::texts;

/// What a command ends with where it is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The daemon cannot be asked.
    Unreachable(ClientError),
    /// fail2ban's `NOK`: what its log shows, and what it tells.
    Nok { logged: String, told: String },
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        Self::Unreachable(error)
    }
}

impl Refusal {
    fn nok(told: impl Into<String>) -> Self {
        let told = told.into();
        Self::Nok {
            logged: format!("({},)", texts::quoted(&told)),
            told,
        }
    }

    fn too_few_words() -> Self {
        Self::Nok {
            logged: "('list index out of range',)".to_owned(),
            told: "Sorry but the command is invalid".to_owned(),
        }
    }

    fn no_jail(name: &str) -> Self {
        Self::Nok {
            logged: format!("({},)", texts::quoted(name)),
            told: format!("Sorry but the jail '{name}' does not exist"),
        }
    }
}

type Answer = Result<String, Refusal>;

/// A client that speaks fail2ban's commands.
#[derive(Debug)]
pub(super) struct Commands<'a> {
    pub(super) client: &'a mut Client,
}

impl Commands<'_> {
    /// Carries out a command; the answer has no line end.
    pub(super) fn run(&mut self, words: &[&str]) -> Answer {
        match words {
            ["ping"] => self.ping(),
            ["version"] => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            ["status"] => Ok(texts::status(&self.status(None)?.jails)),
            ["status", jail] => self.jail_status(jail, true),
            ["status", jail, flavor, ..] => self.jail_status(jail, *flavor != "short"),
            ["banned", ips @ ..] => self.banned(ips),
            ["unban", "--all"] => self.unban(None, UnbanWhom::All),
            ["unban", ip, ..] if !ip.is_empty() => {
                let ips = words.iter().skip(1).map(|ip| (*ip).to_owned());
                self.unban(None, UnbanWhom::Ids(ips.collect()))
            }
            ["echo", words @ ..] => Ok(words.join(" ")),
            ["get", what] => self.get_global(what),
            ["get", jail, what, arguments @ ..] => self.get(jail, what, arguments),
            ["set", jail, what, arguments @ ..] => self.set(jail, what, arguments),
            ["get" | "set", ..] => Err(Refusal::too_few_words()),
            ["stop", jail] => {
                self.rules(jail)?;
                Err(Refusal::nok(format!(
                    "stockade stops no single jail: write enabled = false under [jails.{jail}] and reload"
                )))
            }
            ["stop"] => match self.client.request(&ControlRequest::Stop { flush: true })? {
                ControlReply::Stop(_) => Ok("Shutdown successful".to_owned()),
                other => Err(unexpected(other)),
            },
            ["reload" | "restart", ..] => self.reload(words.get(1..).unwrap_or_default()),
            _ => Err(Refusal::nok("Invalid command")),
        }
    }

    fn ping(&mut self) -> Answer {
        match self.client.request(&ControlRequest::Ping {})? {
            ControlReply::Ping {} => Ok("Server replied: pong".to_owned()),
            other => Err(unexpected(other)),
        }
    }

    fn status(&mut self, jail: Option<JailName>) -> Result<StatusReply, Refusal> {
        match self.client.request(&ControlRequest::Status { jail })? {
            ControlReply::Status(mut status) => {
                // fail2ban leaves out a jail that it could not make.
                status.jails.retain(|jail| jail.state != State::Broken);
                Ok(*status)
            }
            other => Err(unexpected(other)),
        }
    }

    fn rules(&mut self, name: &str) -> Result<RulesReply, Refusal> {
        let jail = JailName::try_new(name).map_err(|_| Refusal::no_jail(name))?;
        match self.client.request(&ControlRequest::Rules { jail })? {
            ControlReply::Rules(rules) => Ok(*rules),
            ControlReply::Error(error)
                if error.kind == stockade_control::ErrorKind::UnknownJail =>
            {
                Err(Refusal::no_jail(name))
            }
            other => Err(unexpected(other)),
        }
    }

    /// The bans in force, of a jail or of all, the longest first.
    fn bans(&mut self, jail: Option<JailName>) -> Result<Vec<BanEntry>, Refusal> {
        match self.client.request(&ControlRequest::Banned { jail })? {
            ControlReply::Banned(mut reply) => {
                let end = |ban: &BanEntry| ban.until.map_or(Timestamp::MAX, Time::timestamp);
                reply.bans.sort_by_key(|ban| std::cmp::Reverse(end(ban)));
                Ok(reply.bans)
            }
            other => Err(unexpected(other)),
        }
    }

    fn jail_status(&mut self, name: &str, with_ids: bool) -> Answer {
        let rules = self.rules(name)?;
        let jail = JailName::try_new(name).map_err(|_| Refusal::no_jail(name))?;
        let status = self.status(Some(jail.clone()))?;
        let bans = self.bans(Some(jail))?;
        let banned: Vec<String> = bans.into_iter().rev().map(|ban| ban.id).collect();
        match status.jails.first() {
            Some(jail) => Ok(texts::jail_status(
                jail,
                &rules,
                with_ids.then_some(&banned),
            )),
            None => Err(Refusal::no_jail(name)),
        }
    }

    fn banned(&mut self, ips: &[&str]) -> Answer {
        let jails = self.status(None)?.jails;
        let bans = self.bans(None)?;
        if ips.is_empty() {
            let of_jail = jails.iter().map(|jail| {
                let banned = bans.iter().rev().filter(|ban| ban.jail == jail.name);
                let banned = texts::list(banned.map(|ban| texts::quoted(&ban.id)));
                format!("{{{}: {banned}}}", texts::quoted(&jail.name))
            });
            return Ok(texts::list(of_jail));
        }
        let of_ip = ips.iter().map(|ip| {
            let has = |jail: &&JailStatus| {
                let mut bans = bans.iter();
                bans.any(|ban| ban.jail == jail.name && ban.id == *ip)
            };
            let having = jails.iter().filter(has);
            texts::list(having.map(|jail| texts::quoted(&jail.name)))
        });
        Ok(texts::list(of_ip))
    }

    fn unban(&mut self, jail: Option<JailName>, whom: UnbanWhom) -> Answer {
        let request = ControlRequest::Unban(UnbanRequest::new(jail, whom));
        match self.client.request(&request)? {
            ControlReply::Unban(reply) => Ok(reply.unbanned.to_string()),
            other => Err(unexpected(other)),
        }
    }

    fn get(&mut self, name: &str, what: &str, arguments: &[&str]) -> Answer {
        let rules = self.rules(name)?;
        Ok(match what {
            "bantime" => rules
                .bantime_s
                .map_or_else(|| "-1".to_owned(), |seconds| seconds.to_string()),
            "findtime" => rules.findtime_s.to_string(),
            "maxretry" => rules.maxretry.to_string(),
            "maxmatches" => rules.maxmatches.to_string(),
            "ignoreself" => python_bool(rules.ignoreself).to_owned(),
            "ignorecommand" => String::new(),
            "ignoreip" => texts::ignoreip(&rules),
            "failregex" => texts::patterns(&rules.failregex),
            "ignoreregex" => texts::patterns(&rules.ignoreregex),
            "prefregex" => rules.prefregex.unwrap_or_default(),
            "usedns" => rules.usedns,
            "maxlines" => rules.maxlines.to_string(),
            "logencoding" => texts::encoding(&rules),
            "datepattern" => texts::date_pattern(&rules),
            "logtimezone" => texts::zone(&rules),
            "logpath" => texts::logpath(&rules.logpath),
            "journalmatch" => {
                let status = self.status(JailName::try_new(name).ok())?;
                if status.jails.iter().any(texts::reads_journal) {
                    let matches = texts::journal_match(&rules);
                    texts::branches("Current match filter:", &[matches])
                } else {
                    "No journal match filter set".to_owned()
                }
            }
            "actions" => {
                let jail = JailName::try_new(name).ok();
                let status = self.status(jail)?;
                let own = status.jails.into_iter().find(|jail| jail.name == name);
                let mut actions = own.map(|jail| jail.firewall).unwrap_or_default();
                actions.extend(rules.actions);
                texts::actions(name, &actions)
            }
            "banip" => return self.banip_list(name, arguments),
            "banned" => return self.banned_in(name, arguments),
            _ => {
                return Err(Refusal::nok(
                    "Invalid command (no get action or not yet implemented)",
                ));
            }
        })
    }

    /// What is so for all jails.
    fn get_global(&mut self, what: &str) -> Answer {
        let status = |this: &mut Self| this.status(None);
        Ok(match what {
            "loglevel" => texts::log_level(&status(self)?.log),
            "logtarget" => texts::log_target(&status(self)?.log),
            "dbfile" => texts::branches("Current database file is:", &[status(self)?.store.path]),
            "dbpurgeage" => texts::purge_age(&status(self)?.store),
            _ => return Err(Refusal::too_few_words()),
        })
    }

    fn bans_of(&mut self, name: &str) -> Result<Vec<BanEntry>, Refusal> {
        let jail = JailName::try_new(name).map_err(|_| Refusal::no_jail(name))?;
        self.bans(Some(jail))
    }

    fn banip_list(&mut self, name: &str, arguments: &[&str]) -> Answer {
        let bans = self.bans_of(name)?;
        if arguments.first() == Some(&"--with-time") {
            let lines: Vec<String> = bans.iter().map(with_time).collect();
            return Ok(lines.join("\n"));
        }
        let separator = arguments.first().copied().unwrap_or(" ");
        let ids: Vec<String> = bans.into_iter().map(|ban| ban.id).collect();
        Ok(ids.join(separator))
    }

    fn banned_in(&mut self, name: &str, ips: &[&str]) -> Answer {
        let bans = self.bans_of(name)?;
        let is_banned = |ip: &str| u8::from(bans.iter().any(|ban| ban.id == ip));
        Ok(match ips {
            [] => texts::list(bans.iter().rev().map(|ban| texts::quoted(&ban.id))),
            [ip] => is_banned(ip).to_string(),
            ips => texts::list(ips.iter().map(|ip| is_banned(ip).to_string())),
        })
    }

    fn set(&mut self, name: &str, what: &str, arguments: &[&str]) -> Answer {
        self.rules(name)?;
        let jail = JailName::try_new(name).map_err(|_| Refusal::no_jail(name))?;
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut tune = TuneRequest::new(jail.clone());
        match (what, arguments) {
            ("attempt", []) => return Err(Refusal::too_few_words()),
            ("attempt", [ip, lines @ ..]) => return self.attempt(jail, ip, owned(lines)),
            ("banip", ips) => return self.ban(jail, owned(ips)),
            ("unbanip", []) => return Err(Refusal::too_few_words()),
            ("unbanip", ["--report-absent", ips @ ..]) => {
                return self.unban_or_report(&jail, ips);
            }
            ("unbanip", ips) => return self.unban(Some(jail), UnbanWhom::Ids(owned(ips))),
            ("addignoreip", ips) => tune.ignore = owned(ips),
            ("delignoreip", ips) => tune.unignore = owned(ips),
            ("bantime", [time]) => tune.bantime = Some((*time).to_owned()),
            ("findtime", [time]) => tune.findtime = Some((*time).to_owned()),
            ("maxretry", [count]) => tune.maxretry = Some(number(what, count, 1)?),
            ("maxmatches", [count]) => tune.maxmatches = Some(number(what, count, 0)?),
            ("ignoreself", [value]) => tune.ignoreself = Some(is_true(value)),
            _ => {
                return Err(Refusal::nok(format!(
                    "Invalid command {} (no set action or not yet implemented)",
                    texts::quoted(what)
                )));
            }
        }
        self.tune(tune)?;
        match what {
            "addignoreip" | "delignoreip" => self.get(name, "ignoreip", &[]),
            what => self.get(name, what, &[]),
        }
    }

    fn tune(&mut self, request: TuneRequest) -> Result<(), Refusal> {
        match self.client.request(&ControlRequest::Tune(request))? {
            ControlReply::Tune(_) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// fail2ban answers 1 whatever becomes of it.
    fn attempt(&mut self, jail: JailName, ip: &str, lines: Vec<String>) -> Answer {
        let id = ip.to_owned();
        let request = ControlRequest::Attempt { jail, id, lines };
        match self.client.request(&request)? {
            ControlReply::Attempt(reply) if reply.result.outcome == Outcome::NotAnAddress => Err(
                Refusal::nok(format!("{ip} is neither an address nor a network")),
            ),
            ControlReply::Attempt(_) => Ok("1".to_owned()),
            other => Err(unexpected(other)),
        }
    }

    fn ban(&mut self, jail: JailName, ids: Vec<String>) -> Answer {
        match self.client.request(&ControlRequest::Ban { jail, ids })? {
            ControlReply::Ban(reply) => Ok(reply.banned.to_string()),
            other => Err(unexpected(other)),
        }
    }

    fn unban_or_report(&mut self, jail: &JailName, ips: &[&str]) -> Answer {
        let ids = ips.iter().map(|ip| (*ip).to_owned()).collect();
        let request = UnbanRequest::new(Some(jail.clone()), UnbanWhom::Ids(ids));
        let request = ControlRequest::Unban(request);
        let reply = match self.client.request(&request)? {
            ControlReply::Unban(reply) => reply,
            other => return Err(unexpected(other)),
        };
        let absent = reply
            .results
            .iter()
            .filter(|item| item.outcome == Outcome::NotBanned);
        let absent: Vec<String> = absent.map(|item| texts::quoted(&item.id)).collect();
        if absent.is_empty() {
            return Ok(reply.unbanned.to_string());
        }
        Err(Refusal::nok(format!("not banned: {}", texts::list(absent))))
    }

    fn reload(&mut self, words: &[&str]) -> Answer {
        for name in words.iter().filter(|word| !word.starts_with("--")) {
            self.rules(name)?;
        }
        match self
            .client
            .request(&ControlRequest::Reload { strict: false })?
        {
            ControlReply::Reload(_) => Ok("OK".to_owned()),
            other => Err(unexpected(other)),
        }
    }
}

/// What the daemon says instead of the answer, mostly that it refuses.
fn unexpected(reply: ControlReply) -> Refusal {
    match reply {
        ControlReply::Error(error) => Refusal::nok(error.message),
        _ => Refusal::nok("stockade gave another answer than was asked for"),
    }
}

fn number<N: std::str::FromStr>(what: &str, text: &str, least: u32) -> Result<N, Refusal> {
    let wrong = |_| Refusal::nok(format!("{what} must be a whole number from {least}"));
    text.parse().map_err(wrong)
}

/// fail2ban's words for yes.
fn is_true(text: &str) -> bool {
    matches!(text.to_lowercase().as_str(), "1" | "on" | "true" | "yes")
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `192.0.2.1 \t2026-11-24 15:38:25 + 600 = 2026-11-24 15:48:25`, in local time.
fn with_time(ban: &BanEntry) -> String {
    let at = ban.at.timestamp();
    let (length, end) = match ban.until {
        Some(until) => {
            let until = until.timestamp();
            let length = until.saturating_since(at).as_secs();
            (length.to_string(), local(until.into()))
        }
        None => ("-1".to_owned(), "9999-12-31 23:59:59".to_owned()),
    };
    format!("{} \t{} + {length} = {end}", ban.id, local(ban.at))
}

fn local(at: Time) -> String {
    let seconds = at.timestamp().as_secs();
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    at.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}
