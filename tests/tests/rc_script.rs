//! The script by which FreeBSD's rc(8) starts the daemon, with a stand-in for rc.subr(8).
//!
//! FreeBSD's own rc.subr is not here, so this shows what the script asks of it, not what becomes of that.
#![cfg(unix)]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "runs a shell; what fails there fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/rc.d/stockade");

/// What the script needs of rc.subr(8). What would be started is printed instead.
const RC_SUBR: &str = r#"
load_rc_config() { . "$RC_CONF"; }
warn() { echo "$0: WARNING: $*" >&2; }
run_rc_command() {
    eval enabled=\$$rcvar
    [ "$enabled" = YES ] || { echo "not enabled"; return 1; }
    for file in $required_files; do
        [ -r "$file" ] || { echo "$file is not readable"; return 1; }
    done
    eval precmd=\${${1}_precmd-} cmd=\${${1}_cmd-}
    if [ -n "$precmd" ]; then $precmd || return 1; fi
    if [ -n "$cmd" ]; then $cmd; return; fi
    echo "$1 $pidfile: $command $command_args"
}
"#;

/// A folder with the script, its rc.subr, and a program in place of ours that prints its arguments.
struct Host(TempDir);

impl Host {
    fn new(rc_conf: &str, exit: i32) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        let script = fs::read_to_string(SCRIPT).unwrap();
        let of_host = format!(". {}", host.path("rc.subr").display());
        assert_eq!(script.matches(". /etc/rc.subr").count(), 1);
        fs::write(
            host.path("script"),
            script.replace(". /etc/rc.subr", &of_host),
        )
        .unwrap();
        fs::write(host.path("rc.subr"), RC_SUBR).unwrap();
        let binary = host.path("stockade");
        let named = format!("stockade_binary={}\n{rc_conf}", binary.display());
        fs::write(host.path("rc.conf"), named).unwrap();
        fs::write(
            &binary,
            format!("#!/bin/sh\necho \"stockade $*\"\nexit {exit}\n"),
        )
        .unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn rc(&self, argument: &str) -> Output {
        Command::new("sh")
            .arg("-u")
            .arg(self.path("script"))
            .arg(argument)
            .env("RC_CONF", self.path("rc.conf"))
            .output()
            .unwrap()
    }

    fn says(&self, argument: &str) -> String {
        let output = self.rc(argument);
        let folder = format!("{}/", self.0.path().display());
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        format!("{text}{errors}").replace(&folder, "")
    }
}

#[test]
fn the_script_is_one_for_sh_and_may_be_run() {
    let checked = Command::new("sh").args(["-n", SCRIPT]).status().unwrap();
    assert!(checked.success());
    let mode = Path::new(SCRIPT).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
}

#[test]
fn it_starts_only_where_it_is_enabled() {
    assert_eq!(Host::new("", 0).says("start"), "not enabled\n");
    assert_eq!(
        Host::new("stockade_enable=YES", 0).says("start"),
        "start /var/run/stockade.pid: /usr/sbin/daemon -c -H -R 10 -P /var/run/stockade.pid \
         -o /var/log/stockade.log stockade run \n"
    );
}

#[test]
fn the_daemon_gets_what_rc_conf_says() {
    let host = Host::new("", 0);
    let config = host.path("my.toml");
    let rc_conf = format!(
        "{}\nstockade_enable=YES\nstockade_config={}\nstockade_args=--strict\nstockade_log=/tmp/log\n",
        fs::read_to_string(host.path("rc.conf")).unwrap(),
        config.display()
    );
    fs::write(host.path("rc.conf"), rc_conf).unwrap();
    assert_eq!(host.says("start"), "my.toml is not readable\n");
    fs::write(config, "").unwrap();
    let said = host.says("start");
    assert!(
        said.ends_with("-o /tmp/log stockade run --config my.toml --strict\n"),
        "{said}"
    );
    assert_eq!(host.says("reload"), "stockade reload --config my.toml\n");
}

#[test]
fn reload_and_configtest_ask_the_program_and_pass_on_its_answer() {
    let host = Host::new("stockade_enable=YES", 0);
    assert_eq!(host.says("reload"), "stockade reload\n");
    assert_eq!(host.says("configtest"), "stockade check\n");
    let host = Host::new("stockade_enable=YES", 78);
    assert_eq!(host.rc("configtest").status.code(), Some(78));
    assert_eq!(host.rc("reload").status.code(), Some(78));
}

#[test]
fn an_error_in_the_configuration_is_told_and_the_rest_is_started() {
    let said = Host::new("stockade_enable=YES", 78).says("start");
    assert!(said.contains("start /var/run/stockade.pid"), "{said}");
    assert!(
        said.contains("WARNING: some of the configuration is wrong"),
        "{said}"
    );
}
