//! What can be typed, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::setup::ConfigFrom;

/// Watches logs, decides who is attacking, and makes the firewall drop them.
#[derive(Debug, Parser)]
#[command(name = "stockade", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sudo stockade run                    protect this host's ssh, with no configuration at all
  stockade run --dry-run               decide and report, but change no firewall
  sudo stockade status sshd            who is failing and who is banned
  sudo stockade unban 192.0.2.1        let somebody in again, in all jails

Exit codes: 0 ok, 1 refused or not found, 64 wrong usage, 69 daemon not reachable,
70 a fault of stockade, 77 not permitted, 78 wrong configuration.";

/// Arguments of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct GlobalArgs {
    /// Main configuration file; drop-ins, jails and filters lie beside it
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of a fail2ban configuration, used instead of our own
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) fail2ban: Option<PathBuf>,
    /// Control socket, instead of the configured one
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print one JSON object instead of text (docs/control-protocol.md)
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl GlobalArgs {
    /// Which configuration is meant.
    pub(crate) fn configuration(&self) -> ConfigFrom {
        match &self.fail2ban {
            Some(dir) => ConfigFrom::Fail2ban(dir.clone()),
            None => ConfigFrom::Stockade(self.config.clone()),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon in the foreground
    #[command(after_help = "\
Examples:
  sudo stockade run
  sudo stockade run --config /etc/stockade/stockade.toml
  stockade run --dry-run --state-dir /tmp/stockade
  sudo stockade run --fail2ban /etc/fail2ban

SIGTERM and SIGINT stop it and leave the bans in the kernel; SIGHUP reloads; SIGUSR1 reopens the
log file.")]
    Run(RunArgs),
    /// Check the configuration and report every error in it
    #[command(after_help = "\
Examples:
  stockade check
  stockade check --config ./stockade.toml --json
  stockade check --injection
  stockade check --injection sshd
  stockade check --injection myapp --samples /var/log/myapp.log
  stockade check --injection sshd --fail2ban /etc/fail2ban

Exits with 78 where there is an error. With --injection it looks for lines by which a client who only
chooses texts in a log could choose who is banned, prints them, and exits with 1 if there are any.
Lines by which he can only hide, since they can be read in two ways and count for nobody, are printed
too.")]
    Check(CheckArgs),
    /// Show the jails, or one of them
    #[command(
        after_help = "Examples:\n  stockade status\n  stockade status sshd\n  stockade status --json"
    )]
    Status {
        /// Only this jail, with its banned addresses
        jail: Option<String>,
    },
    /// Print the numbers of the daemon and of each jail for Prometheus
    #[command(after_help = "\
Examples:
  stockade metrics
  stockade metrics > /var/lib/node_exporter/stockade.prom

The text exposition format; docs/metrics.md names them all.")]
    Metrics,
    /// List who is banned
    #[command(
        after_help = "Examples:\n  stockade banned\n  stockade banned sshd\n  stockade banned --json | jq '.bans[].id'"
    )]
    Banned {
        /// Only this jail
        jail: Option<String>,
    },
    /// Ban addresses or networks in a jail
    #[command(
        after_help = "Examples:\n  stockade ban sshd 192.0.2.1\n  stockade ban sshd 198.51.100.0/24 2001:db8::/64"
    )]
    Ban {
        /// The jail that bans
        jail: String,
        /// Addresses or networks
        #[arg(required = true, value_name = "IP")]
        ips: Vec<String>,
    },
    /// Lift bans
    #[command(
        after_help = "Examples:\n  stockade unban 192.0.2.1\n  stockade unban --jail sshd 192.0.2.1\n  stockade unban --me\n  stockade unban --all"
    )]
    Unban {
        /// Only in this jail
        #[arg(long)]
        jail: Option<String>,
        /// Lift every ban
        #[arg(long, conflicts_with = "ips")]
        all: bool,
        /// Addresses or networks
        #[arg(required_unless_present_any = ["all", "me"], value_name = "IP")]
        ips: Vec<String>,
        /// The address of your ssh session, or at a console those of your last logins, with every network
        /// that holds one of them
        #[arg(long, conflicts_with_all = ["ips", "all"])]
        me: bool,
    },
    /// Make the bans that are held because there were too many within a minute
    #[command(after_help = "\
Examples:
  stockade confirm
  stockade confirm --discard

'stockade status' tells how many are held; bans_per_minute under [firewall] is how many a minute are made
without asking.")]
    Confirm {
        /// Forget them instead, and the failures that led to them
        #[arg(long)]
        discard: bool,
    },
    /// Read the configuration again and apply what changed
    #[command(after_help = "\
Examples:
  sudo stockade reload
  stockade check && sudo stockade reload

A jail with an error keeps the settings that it had, and the others change; the exit code is 78 then.
An error that concerns all jails changes nothing, and with --strict every error does that.")]
    Reload {
        /// Change nothing where there is any error
        #[arg(long)]
        strict: bool,
    },
    /// Stop the daemon; bans stay in the kernel unless --flush is given
    #[command(after_help = "Examples:\n  stockade stop\n  stockade stop --flush")]
    Stop {
        /// Clear the firewall too; bans that have not run out come back at the next start
        #[arg(long)]
        flush: bool,
    },
    /// Tell whether the daemon answers
    #[command(after_help = "Examples:\n  stockade ping\n  stockade ping || sudo stockade run")]
    Ping,
    /// Try a filter on a log: what matches, what is missed, and why
    #[command(after_help = "\
Examples:
  stockade regex sshd /var/log/auth.log
  stockade regex sshd 'Nov 23 05:54:13 host sshd[7]: Invalid user admin from 192.0.2.1 port 4711'
  stockade regex ./myapp.toml app.log --print-missed
  stockade regex 'login failed from <HOST>$' app.log
  stockade regex ./myapp.wasm app.log

Exits with 1 where nothing matched.")]
    Regex(RegexArgs),
    /// Translate a fail2ban configuration, and tell what became of each part
    #[command(after_help = "\
Examples:
  stockade import /etc/fail2ban
  stockade import /etc/fail2ban --out /etc/stockade
  stockade run --fail2ban /etc/fail2ban --dry-run

Without --out it only tells. Exits with 78 where fail2ban's files have errors.")]
    Import(ImportArgs),
    /// Compare the bans in fail2ban's log with those in stockade's
    #[command(after_help = "\
Examples:
  stockade compare --log /var/log/fail2ban.log
  stockade compare --log /var/log/fail2ban.log.1 /var/log/fail2ban.log --ours /var/log/stockade.log --within 5m

Let 'stockade run --dry-run' run beside fail2ban for a while, then see what only one of them would have
banned. Exits with 1 where they differ.")]
    Compare(CompareArgs),
    /// See whether bans hold, and what has to be set up for them to
    #[command(after_help = "Examples:\n  sudo stockade firewall doctor\n  stockade firewall setup")]
    Firewall {
        #[command(subcommand)]
        command: FirewallCommand,
    },
    /// Look into plugins
    #[command(after_help = "Examples:\n  stockade plugin inspect sshd.wasm")]
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Compile a component: standard input to standard output; the daemon calls this on itself
    #[command(hide = true)]
    PluginCompile,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Decide and report, but change no firewall and keep no state
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Refuse a configuration with any error, at the start and at reloads, instead of running the jails
    /// that are right
    #[arg(long)]
    pub(crate) strict: bool,
    /// Where state is kept, instead of the configured directory
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The directory of the fail2ban configuration
    pub(crate) dir: PathBuf,
    /// Where to write stockade.toml, jails, filters and the report; nothing that exists is replaced
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// fail2ban's log, several where it was rotated, `-` for standard input
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) log: Vec<PathBuf>,
    /// stockade's log, in the same way; where it is not given, that of the configuration
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) ours: Vec<PathBuf>,
    /// How far apart the two may ban the same
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = stockade_core::parse_duration)]
    pub(crate) within: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Look for lines that deceive these filters, or all
    #[arg(long, value_name = "FILTER", num_args = 0..)]
    pub(crate) injection: Option<Vec<String>>,
    /// Honest lines of the log, in whose fields hostile text is put; lines that begin with # are none
    #[arg(long, value_name = "FILE", requires = "injection")]
    pub(crate) samples: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RegexArgs {
    /// A filter's name, a .toml or .wasm file, or a failregex
    pub(crate) filter: String,
    /// A log file, `-` for standard input, or one line
    pub(crate) log: String,
    /// Show the lines that matched
    #[arg(long)]
    pub(crate) print_matched: bool,
    /// Show the lines that did not match; without it only when they are few
    #[arg(long)]
    pub(crate) print_missed: bool,
    /// Show the lines that an ignoreregex took out
    #[arg(long)]
    pub(crate) print_ignored: bool,
    /// A setting for a filter plugin; may be repeated
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FirewallCommand {
    /// Tell whether bans hold on this host, and what to do where they do not
    #[command(after_help = "\
Examples:
  sudo stockade firewall doctor
  sudo stockade firewall doctor --json

Bans 127.83.79.1 for a moment and tries to connect from it. Exits with 1 where bans do not hold.")]
    Doctor,
    /// Print what has to be set up by hand for bans to hold
    #[command(after_help = "Examples:\n  stockade firewall setup")]
    Setup,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Show what a component is, what it asks for, and what would have to be granted
    #[command(
        after_help = "Examples:\n  stockade plugin inspect sshd.wasm\n  stockade plugin inspect sshd.wasm --json"
    )]
    Inspect {
        /// The component
        file: PathBuf,
    },
}
