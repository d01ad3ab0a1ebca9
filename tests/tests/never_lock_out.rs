//! Who and what is never banned, whatever is logged, and how an administrator gets in again.
#![cfg(test)]
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "ssh servers and clients are run as they are"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use stockade_tests::{ONE_JAIL, Place, banned, in_namespace, stockade, wait_until};

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// One jail and this in `[firewall]`.
fn with_firewall(firewall: &str) -> String {
    format!("[firewall]\n{firewall}\n{ONE_JAIL}")
}

#[test]
fn a_network_wider_than_the_configured_one_is_not_banned_and_the_answer_names_the_key() {
    in_namespace(|| {
        let place = Place::new(&with_firewall("widest_ipv6 = 48"));
        let _log = place.log_file("auth.log");
        let daemon = place.start();
        let wide = ["198.51.0.0/15", "2001:db8::/47", "198.51.0.0/16"];
        let told = place.stockade(&[&["ban", "sshd"], &wide[..]].concat());
        let told = &told.assert_code(1).out;
        assert!(
            told.contains(
                "198.50.0.0/15 failed: it is wider than /16 (widest_ipv4 under [firewall])"
            ),
            "{told}"
        );
        assert!(
            told.contains(
                "2001:db8::/47 failed: it is wider than /48 (widest_ipv6 under [firewall])"
            ),
            "{told}"
        );
        assert_eq!(banned("sshd"), set(&["198.51.0.0/16"]));
        // A narrower bound lifts what is wider.
        place.configure(&with_firewall("widest_ipv4 = 24"));
        place.stockade(&["reload"]).assert_code(0);
        place.wait_logged(r"\[sshd\] 198\.51\.0\.0/16 is wider than what may be banned");
        place.stockade(&["ban", "sshd", "192.0.2.1"]).assert_code(0);
        assert_eq!(banned("sshd"), set(&["192.0.2.1"]));
        assert_eq!(daemon.stop(&[]), 0);
    });
}

#[test]
fn bans_beyond_the_rate_wait_until_they_are_confirmed_or_discarded() {
    in_namespace(|| {
        let place = Place::new(&with_firewall("bans_per_minute = 2"));
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        let whom = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
        log.failures(3, &whom);
        place.wait_logged("the ban of 192.0.2.4 is held");
        // The log is loud once, the status as long as they wait.
        let burst = "ERROR +more than 2 bans within a minute: further ones are held";
        assert_eq!(place.count_logged(burst), 1);
        let status = place.stockade(&["status"]);
        assert!(
            status.out.contains("2 BANS ARE HELD SINCE "),
            "{}",
            status.out
        );
        let held = &place.stockade(&["status", "--json"]).json()["held"];
        assert_eq!(held["waiting"], 2);
        let metrics = place.stockade(&["metrics"]).out;
        assert!(metrics.contains("\nstockade_held_bans 2\n"), "{metrics}");
        assert_eq!(banned("sshd"), set(&["192.0.2.1", "192.0.2.2"]));
        // By hand nothing waits.
        place.stockade(&["ban", "sshd", "192.0.2.4"]).assert_code(0);
        assert_eq!(
            banned("sshd"),
            set(&["192.0.2.1", "192.0.2.2", "192.0.2.4"])
        );

        let told = place.stockade(&["confirm"]);
        assert_eq!(told.assert_code(0).out, "1 bans were held, 1 are made\n");
        assert_eq!(banned("sshd"), set(&whom));
        let status = place.stockade(&["status"]);
        assert!(!status.out.contains("HELD"), "{}", status.out);

        let more = ["198.51.100.1", "198.51.100.2", "198.51.100.3"];
        log.failures(3, &more);
        place.wait_logged("the ban of 198.51.100.3 is held");
        assert_eq!(place.count_logged(burst), 2);
        let told = place.stockade(&["confirm", "--discard"]);
        assert_eq!(told.assert_code(0).out, "1 bans were held, 0 are made\n");
        let status = place.stockade(&["status", "sshd", "--json"]).json();
        assert_eq!(status["held"]["waiting"], 0);
        assert_eq!(status["jails"][0]["currently_banned"], 6);
        assert_eq!(status["jails"][0]["currently_failing"], 0);
        assert_eq!(daemon.stop(&[]), 0);
    });
}

/// Makes this namespace's `/etc` say something else.
fn overlay(place: &Place, path: &str, text: &str) {
    let name = path.replace('/', "_");
    place.write(&name, text);
    let from = place.path(&name);
    run(&["mount", "--bind", from.to_str().unwrap(), path]);
}

#[track_caller]
fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `status` says of protected addresses.
fn protected(place: &Place, kind: &str) -> BTreeSet<String> {
    let status = place.stockade(&["status", "--json"]).json();
    let addrs = status["protected"][kind].as_array().unwrap();
    let addrs = addrs.iter().map(|addr| addr.as_str().unwrap().to_owned());
    addrs.collect()
}

#[test]
fn the_default_gateway_and_the_name_servers_are_never_banned() {
    in_namespace(|| {
        let place = Place::new(ONE_JAIL);
        overlay(&place, "/etc/resolv.conf", "nameserver 192.0.2.53\n");
        run(&[
            "ip", "link", "add", "p", "type", "veth", "peer", "name", "q",
        ]);
        run(&["ip", "link", "set", "p", "up"]);
        run(&["ip", "link", "set", "q", "up"]);
        run(&["ip", "addr", "add", "192.0.2.2/24", "dev", "p"]);
        run(&["ip", "route", "add", "default", "via", "192.0.2.1"]);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        log.failures(3, &["192.0.2.1", "192.0.2.53", "198.51.100.9"]);
        place.wait_logged(r"\[sshd\] Ban 198\.51\.100\.9$");
        place.wait_logged(r"\[sshd\] Ignore 192\.0\.2\.1 by gateway$");
        place.wait_logged(r"\[sshd\] Ignore 192\.0\.2\.53 by resolver$");
        assert_eq!(banned("sshd"), set(&["198.51.100.9"]));
        let told = place.stockade(&["ban", "sshd", "192.0.2.1", "192.0.2.0/31"]);
        let told = &told.assert_code(1).out;
        assert!(
            told.contains("192.0.2.1 not banned: it is the default gateway of this host"),
            "{told}"
        );
        assert!(
            told.contains("192.0.2.0/31 not banned: it is the default gateway"),
            "{told}"
        );

        // They are followed, and a ban that hits one by now is lifted.
        place.stockade(&["ban", "sshd", "192.0.2.9"]).assert_code(0);
        run(&["ip", "route", "replace", "default", "via", "192.0.2.9"]);
        place.wait_logged(r"\[sshd\] Unban 192\.0\.2\.9$");
        place.write("_etc_resolv.conf", "nameserver 198.51.100.9\n");
        place.wait_logged(r"\[sshd\] Unban 198\.51\.100\.9$");
        assert_eq!(banned("sshd"), set(&[]));
        assert_eq!(protected(&place, "gateways"), set(&["192.0.2.9"]));
        assert_eq!(protected(&place, "resolvers"), set(&["198.51.100.9"]));
        assert!(
            place
                .stockade(&["status"])
                .out
                .contains("192.0.2.9 (gateway)")
        );

        // Whoever does not want that says so.
        place.configure(&with_firewall("never_ban = []"));
        place.stockade(&["reload"]).assert_code(0);
        let whom = ["192.0.2.9", "198.51.100.9"];
        place
            .stockade(&[&["ban", "sshd"], &whom[..]].concat())
            .assert_code(0);
        assert_eq!(banned("sshd"), set(&whom));
        assert_eq!(protected(&place, "gateways"), set(&[]));
        assert_eq!(daemon.stop(&[]), 0);
    });
}

/// A child that is ended when it is not needed any more.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Users `admin`, of the group sudo, and `mallory`; the password of both and of root is `secret`.
fn make_users(place: &Place) {
    let hash = run(&["openssl", "passwd", "-6", "secret"]);
    let hash = hash.trim();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let without_root = |text: String| -> String {
        let lines = text.lines().filter(|line| !line.starts_with("root:"));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let passwd = read("/etc/passwd")
        + "admin:x:2001:2001::/tmp:/bin/sh\nmallory:x:2002:2002::/tmp:/bin/sh\n";
    let shadow = without_root(read("/etc/shadow"))
        + &format!("root:{hash}:1::::::\nadmin:{hash}:1::::::\nmallory:{hash}:1::::::\n");
    overlay(place, "/etc/passwd", &passwd);
    overlay(place, "/etc/shadow", &shadow);
    overlay(
        place,
        "/etc/group",
        "root:x:0:\nsudo:x:27:admin\nadmin:x:2001:\nmallory:x:2002:\n",
    );
}

/// An ssh server of this namespace, and a host beside it from which one can log in.
///
/// The server is 10.9.0.1, port 2222; the other host has 10.9.0.5, 10.9.0.6 and so on.
struct Ssh {
    other: Ended,
    _server: Ended,
}

impl Ssh {
    /// Makes users, too: see [`make_users`].
    fn start(place: &Place) -> Self {
        make_users(place);
        std::fs::create_dir_all("/run/sshd").unwrap();
        let (key, config) = (place.path("host_key"), place.path("sshd_config"));
        run(&[
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            key.to_str().unwrap(),
        ]);
        let settings = format!(
            "Port 2222\nHostKey {}\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication yes\n\
             StrictModes no\nPidFile none\nUseDNS no\n",
            key.display()
        );
        place.write("sshd_config", &settings);
        let other = Ended(
            Command::new("unshare")
                .args(["--net", "sleep", "600"])
                .spawn()
                .unwrap(),
        );
        let pid = other.0.id().to_string();
        run(&[
            "ip", "link", "add", "p", "type", "veth", "peer", "name", "q",
        ]);
        wait_until("the other host has a network of its own", || {
            let moved = ["ip", "link", "set", "q", "netns", &pid];
            let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
            namespace(&pid).unwrap() != namespace("self").unwrap()
                && Command::new(moved[0])
                    .args(&moved[1..])
                    .status()
                    .unwrap()
                    .success()
        });
        run(&["ip", "addr", "add", "10.9.0.1/24", "dev", "p"]);
        run(&["ip", "link", "set", "p", "up"]);
        let inside = |command: &str| {
            let words: Vec<&str> = command.split(' ').collect();
            run(&[&["nsenter", "--target", &pid, "--net"], &words[..]].concat());
        };
        inside("ip link set lo up");
        inside("ip link set q up");
        for last in 5..10 {
            inside(&format!("ip addr add 10.9.0.{last}/24 dev q"));
        }
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", config.to_str().unwrap()])
            .stderr(Stdio::null())
            .spawn();
        let server = Ended(server.unwrap());
        wait_until("sshd listens", || {
            TcpStream::connect("10.9.0.1:2222").is_ok()
        });
        Self {
            other,
            _server: server,
        }
    }

    /// A command on the other host.
    fn beside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.other.0.id().to_string();
        command.args(["--target", &pid, "--net", program]);
        command
    }

    /// Logs in from `from` and runs a command; with a terminal if `interactive`.
    fn log_in(&self, user: &str, from: &str, interactive: bool, remote: &str) -> Command {
        let mut command = self.beside("sshpass");
        command.args([
            "-p",
            "secret",
            "ssh",
            if interactive { "-tt" } else { "-T" },
        ]);
        command.args([
            "-F",
            "none",
            "-b",
            from,
            "-p",
            "2222",
            "-o",
            "LogLevel=ERROR",
        ]);
        command.args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ]);
        command.args([&format!("{user}@10.9.0.1"), remote]);
        command
    }

    /// The same, and waits until the command runs; it is to say `ready` and go on.
    fn session(&self, user: &str, from: &str, interactive: bool, remote: &str) -> Ended {
        let mut command = self.log_in(user, from, interactive, remote);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut session = Ended(child.unwrap());
        let mut said = BufReader::new(session.0.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready", "{user} from {from}");
        session
    }
}

/// Whether this process is the machine's root: an ssh server can be run then.
fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[test]
fn only_interactive_sessions_of_administrators_protect_where_they_come_from() {
    in_namespace(|| {
        if !is_root() {
            return;
        }
        let place = Place::new(ONE_JAIL);
        let ssh = Ssh::start(&place);
        let mut log = place.log_file("auth.log");
        let daemon = place.start();
        let stays = "echo ready; cat";
        let admin = ssh.session("admin", "10.9.0.5", true, stays);
        // Without a terminal it is a program that copies files, or a tunnel.
        let _copy = ssh.session("admin", "10.9.0.6", false, stays);
        // Somebody who is guessing is connected too, and has a friend on this host, who says that it is him,
        // in a program with root's rights that waits for a password.
        let guessing = ssh
            .beside("nc")
            .args(["-s", "10.9.0.8", "-p", "40008", "10.9.0.1", "2222"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut guessing = Ended(guessing.unwrap());
        let mut hello = String::new();
        BufReader::new(guessing.0.stdout.take().unwrap())
            .read_line(&mut hello)
            .unwrap();
        assert!(hello.starts_with("SSH-2.0-"), "{hello}");
        let claims = "SSH_CONNECTION='10.9.0.8 40008 10.9.0.1 2222'";
        let lies = format!("export {claims}; sh -c 'echo ready; su root'");
        let _friend = ssh.session("mallory", "10.9.0.7", true, &lies);

        let whom = ["10.9.0.5", "10.9.0.6", "10.9.0.7", "10.9.0.8"];
        log.failures(3, &whom);
        place.wait_logged(r"\[sshd\] Ignore 10\.9\.0\.5 by ssh session$");
        for last in 6..9 {
            place.wait_logged(&format!(r"\[sshd\] Ban 10\.9\.0\.{last}$"));
        }
        assert_eq!(banned("sshd"), set(&whom[1..]));
        assert_eq!(protected(&place, "ssh_sessions"), set(&whom[..1]));
        let told = place.stockade(&["ban", "sshd", "10.9.0.5"]);
        let told = &told.assert_code(1).out;
        assert!(
            told.contains("10.9.0.5 not banned: an administrator works from it by ssh"),
            "{told}"
        );

        // A ban is lifted when an administrator has come from there, and can be made when he has gone.
        let _other = ssh.session("admin", "10.9.0.6", true, stays);
        place.wait_logged(r"\[sshd\] Unban 10\.9\.0\.6$");
        drop(admin);
        wait_until("the administrator has gone", || {
            protected(&place, "ssh_sessions") == set(&["10.9.0.6"])
        });
        place.stockade(&["ban", "sshd", "10.9.0.5"]).assert_code(0);

        // Others may be administrators.
        place.configure(&with_firewall(r#"admins = ["mallory"]"#));
        place.stockade(&["reload"]).assert_code(0);
        place.wait_logged(r"\[sshd\] Unban 10\.9\.0\.7$");
        assert_eq!(protected(&place, "ssh_sessions"), set(&["10.9.0.7"]));
        assert_eq!(daemon.stop(&[]), 0);
    });
}

#[test]
fn who_is_banned_lets_himself_in_again_from_his_session_or_by_his_last_logins() {
    in_namespace(|| {
        if !is_root() {
            return;
        }
        let place = Place::new(ONE_JAIL);
        let ssh = Ssh::start(&place);
        let _log = place.log_file("auth.log");
        let daemon = place.start();
        // Narrow ones first: what a wider ban holds is banned already.
        for whom in ["10.9.0.5", "10.9.0.4/30", "10.9.0.9"] {
            place.stockade(&["ban", "sshd", whom]).assert_code(0);
        }
        let unban = format!(
            "{} --socket {} unban --me",
            stockade().display(),
            place.path("control.sock").display()
        );
        let told = ssh
            .log_in("root", "10.9.0.5", false, &unban)
            .output()
            .unwrap();
        let out = String::from_utf8(told.stdout).unwrap();
        let expected = "your ssh session comes from 10.9.0.5\n\
                        [sshd] 10.9.0.5 unbanned\n\
                        [sshd] 10.9.0.4/30 unbanned\n\
                        to be never banned, add \"10.9.0.5\" to ignoreip under [defaults], and 'stockade reload'\n";
        assert_eq!(out, expected, "{}", String::from_utf8_lossy(&told.stderr));
        assert_eq!(banned("sshd"), set(&["10.9.0.9"]));
        // sudo takes the connection out of the environment; the shell above still has it.
        place.stockade(&["ban", "sshd", "10.9.0.5"]).assert_code(0);
        let cleaned = format!("env -u SSH_CONNECTION -u SSH_CLIENT {unban}; exit $?");
        let told = ssh
            .log_in("root", "10.9.0.5", false, &cleaned)
            .output()
            .unwrap();
        assert!(told.status.success(), "{told:?}");
        assert_eq!(banned("sshd"), set(&["10.9.0.9"]));

        // At a console the record of logins tells; sshd without PAM writes it itself.
        let me = |user: &str| {
            // Whoever runs the tests may have come by ssh, and processes above would tell.
            let mut command = Command::new("unshare");
            command
                .args(["--pid", "--fork", "--mount-proc"])
                .arg(stockade());
            for name in ["SSH_CONNECTION", "SSH_CLIENT"] {
                command.env_remove(name);
            }
            let socket = place.path("control.sock");
            command.env("SUDO_USER", user).arg("--socket").arg(socket);
            command.args(["unban", "--me"]).output().unwrap()
        };
        overlay(&place, "/var/log/wtmp", "");
        drop(ssh.session("admin", "10.9.0.9", true, "echo ready; cat"));
        wait_until("the login is on record", || {
            std::fs::metadata("/var/log/wtmp").unwrap().len() > 0
        });
        let told = me("admin");
        let out = String::from_utf8(told.stdout).unwrap();
        assert!(
            out.contains("'admin' has logged in from 10.9.0.9\n"),
            "{out}"
        );
        assert_eq!(banned("sshd"), set(&[]), "{out}");
        let told = me("mallory");
        assert_eq!(told.status.code(), Some(1));
        let err = String::from_utf8(told.stderr).unwrap();
        assert!(err.contains("knows no login of 'mallory'"), "{err}");
        assert_eq!(daemon.stop(&[]), 0);
    });
}
