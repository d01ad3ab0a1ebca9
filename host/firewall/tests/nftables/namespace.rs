//! Namespaces for tests, other hosts, and waiting.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Set in the process that is already inside.
const INSIDE: &str = "STOCKADE_TEST_INSIDE_NAMESPACE";
/// Where tests must not be skipped.
const MUST_RUN: &str = "STOCKADE_TESTS_MUST_RUN";

pub(crate) fn command(program: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "namespaces are made with the system's tools"
    )]
    Command::new(program)
}

/// Runs `body` in a fresh network namespace: this test's binary again, this one test, inside.
///
/// `name` is the test's path as the test harness prints it.
pub(crate) fn in_namespace(name: &str, body: impl FnOnce()) {
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    run_unshared(name, &ways, body);
}

/// The same with a mount namespace, and an empty `/run` in it.
#[allow(
    dead_code,
    reason = "for tests of programs that keep locks and settings in files"
)]
pub(crate) fn in_namespaces(name: &str, body: impl FnOnce()) {
    let ways: [&[&str]; 2] = [
        &["--net", "--mount"],
        &["--user", "--map-root-user", "--net", "--mount"],
    ];
    run_unshared(name, &ways, || {
        run("mount -t tmpfs none /run");
        body();
    });
}

/// Runs `body` in a fresh user namespace, so without power over the network it is in.
pub(crate) fn without_power(name: &str, body: impl FnOnce()) {
    run_unshared(name, &[&["--user"]], body);
}

fn run_unshared(name: &str, ways: &[&[&str]], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let works = |way: &&&[&str]| succeeds(command("unshare").args(**way).arg("true"));
    let tools = succeeds(command("nft").arg("--version")) && succeeds(command("ip").arg("-V"));
    let Some(way) = ways.iter().find(works).filter(|_| tools) else {
        assert!(
            std::env::var_os(MUST_RUN).is_none(),
            "needs unshare, ip, nft and permission to make namespaces"
        );
        write_line("skipped: needs unshare, ip, nft and permission to make namespaces");
        return;
    };
    let status = command("unshare")
        .args(*way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    let errors = String::from_utf8_lossy(&status.stderr);
    assert!(status.status.success(), "inside:\n{output}\n{errors}");
    assert!(
        output.contains("1 passed"),
        "no test is called {name}: {output}"
    );
}

#[expect(clippy::print_stderr, reason = "the harness prints what tests say")]
pub(crate) fn write_line(text: &str) {
    eprintln!("{text}");
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Whether these commands succeed; where they do not, the test says that it is skipped, or fails.
#[allow(dead_code, reason = "for tests that need more than all of them do")]
pub(crate) fn have(commands: &[&[&str]]) -> bool {
    let works = |words: &&[&str]| succeeds(command(words[0]).args(&words[1..]));
    let Some(missing) = commands.iter().find(|words| !works(words)) else {
        return true;
    };
    let missing = missing.join(" ");
    assert!(
        std::env::var_os(MUST_RUN).is_none(),
        "needs what '{missing}' asks for"
    );
    write_line(&format!("skipped: needs what '{missing}' asks for"));
    false
}

/// Runs a command that must succeed; what it printed.
#[track_caller]
pub(crate) fn run(line: &str) -> String {
    run_with_input(line, "")
}

/// The same, with something to read.
#[track_caller]
pub(crate) fn run_with_input(line: &str, input: &str) -> String {
    let mut words = line.split(' ');
    let mut child = command(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until `condition` holds; fails after half a minute.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if condition() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    panic!("waited in vain until {what}");
}

/// Another machine: a namespace joined to ours by a veth pair.
///
/// Host number 7 has 10.9.7.2 and fd09:7::2; we have 10.9.7.1 and fd09:7::1 on that link.
pub(crate) struct Host {
    holder: Child,
    number: u8,
}

impl Host {
    pub(crate) fn join(number: u8) -> Self {
        let mut holder = command("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(holder.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let (n, pid) = (number, holder.id());
        run(&format!(
            "ip link add to{n} type veth peer name up{n} netns {pid}"
        ));
        let host = Self { holder, number };
        set_up(
            &format!("to{n}"),
            &format!("10.9.{n}.1"),
            &format!("fd09:{n}::1"),
        );
        host.inside(|| {
            set_up(
                &format!("up{n}"),
                &format!("10.9.{n}.2"),
                &format!("fd09:{n}::2"),
            );
        });
        host
    }

    pub(crate) fn v4(&self) -> String {
        format!("10.9.{}.2/32", self.number)
    }

    pub(crate) fn v6(&self) -> String {
        format!("fd09:{}::2/128", self.number)
    }

    /// Our addresses as this host sees them.
    pub(crate) fn server(&self) -> [String; 2] {
        let n = self.number;
        [format!("10.9.{n}.1"), format!("[fd09:{n}::1]")]
    }

    /// Runs `act` on that machine.
    pub(crate) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        let enter = || {
            // Only this thread moves; what it starts moves with it.
            move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&namespace),
                Some(LinkNameSpaceType::Network),
            )
            .unwrap();
            act()
        };
        std::thread::scope(|scope| scope.spawn(enter).join()).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

fn set_up(link: &str, v4: &str, v6: &str) {
    run(&format!("ip addr add {v4}/24 dev {link}"));
    run(&format!("ip addr add {v6}/64 dev {link} nodad"));
    run(&format!("ip link set {link} up"));
}
