//! The programs of `config/exec`, as `docs/firewall/exec.md` shows how to use them.

use std::path::{Path, PathBuf};

use stockade_firewall::{Exec, ExecOptions, Firewall, Health};

use crate::{apply, ban, listed, options, rules, unban, words};

fn script(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let path = root.join("config/exec").join(name);
    path.to_str().unwrap().to_owned()
}

fn open(options: ExecOptions) -> Exec {
    let mut firewall = Exec::open(options).unwrap();
    firewall.configure(&[rules("sshd"), rules("web")]).unwrap();
    firewall
}

fn read(file: &PathBuf) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// Names of what is in a folder, sorted.
fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn hosts_deny_holds_bans_beside_lines_of_others() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts.deny");
    let others = "# mine \\n\n\nsshd: 203.0.113.5, \\\n  203.0.113.6\n";
    std::fs::write(&file, others).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (script, path) = (script("hosts-deny.sh"), file.to_str().unwrap());
    let mut options = options(
        &[&script, "ban", path, "<jail>", "<ip>"],
        &[&script, "unban", path, "<jail>", "<ip>"],
    );
    options.list = Some(words(&[&script, "list", path]));
    options.stop = Some(words(&[&script, "stop", path]));
    let mut firewall = open(options.clone());
    let bans = [
        ban("sshd", "192.0.2.1/32", Some(600)),
        ban("sshd", "198.51.100.0/22", None),
        ban("sshd", "2001:db8::1/128", None),
        ban("web", "192.0.2.1/32", None),
        ban("web", "2001:db8:8::/61", None),
    ];
    apply(&mut firewall, &bans);
    // A restart, and everything once more.
    let mut firewall = {
        drop(firewall);
        open(options)
    };
    apply(&mut firewall, &bans);
    let held = [
        "sshd 192.0.2.1/32",
        "sshd 198.51.100.0/22",
        "sshd 2001:db8::1/128",
        "web 192.0.2.1/32",
        "web 2001:db8:8::/61",
    ];
    assert_eq!(listed(&mut firewall), held);
    let text = read(&file);
    assert!(text.starts_with(others), "{text}");
    for line in [
        "ALL: 192.0.2.1",
        "ALL: 198.51.100.0/255.255.252.0",
        "ALL: [2001:db8::1]",
        "ALL: [2001:db8:8::]/61",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    apply(
        &mut firewall,
        &[unban("web", "192.0.2.1/32"), unban("web", "192.0.2.77/32")],
    );
    assert_eq!(read(&file).matches("ALL: 192.0.2.1\n").count(), 1);

    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    firewall.teardown().unwrap();
    assert_eq!(read(&file), others);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(files(dir.path()), ["hosts.deny"]);
}

#[test]
fn a_file_for_nginx_is_made_and_reloaded_once_for_many_bans() {
    let dir = tempfile::tempdir().unwrap();
    let (file, reloads) = (dir.path().join("deny.conf"), dir.path().join("reloads"));
    let (script, path) = (script("nginx-deny.sh"), file.to_str().unwrap());
    let reload = format!("wc -l < {path} >> {}", reloads.display());
    let with_reload = |verb| vec![&*script, verb, path, "/bin/sh", "-c", &*reload];
    let mut options = options(&with_reload("ban"), &with_reload("unban"));
    options.list = Some(words(&[&script, "list", path]));
    options.start = Some(words(&[&script, "start", path]));
    options.stop = Some(words(&with_reload("stop")));
    options.batch = true;
    let mut firewall = open(options.clone());
    assert_eq!(read(&file), "");
    let mut bans: Vec<_> = (0..2000)
        .map(|n| ban("web", &format!("10.0.{}.{}/32", n / 256, n % 256), None))
        .collect();
    bans.push(ban("sshd", "10.0.0.1/32", Some(60)));
    bans.push(ban("sshd", "2001:db8::/64", Some(60)));
    apply(&mut firewall, &bans);
    let mut firewall = {
        drop(firewall);
        open(options)
    };
    apply(&mut firewall, &bans[..2]);
    assert_eq!(listed(&mut firewall).len(), 2002);
    apply(
        &mut firewall,
        &[unban("web", "10.0.0.1/32"), unban("web", "192.0.2.1/32")],
    );
    let text = read(&file);
    assert!(text.contains("deny 10.0.0.1; # stockade sshd\n"), "{text}");
    assert!(!text.contains("deny 10.0.0.1; # stockade web\n"));
    assert!(text.contains("deny 2001:db8::/64; # stockade sshd\n"));
    firewall.teardown().unwrap();
    assert_eq!(read(&file), "");
    let counts = read(&reloads)
        .split_whitespace()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert_eq!(counts, ["2002", "2002", "2001", "0"]);
    assert_eq!(files(dir.path()), ["deny.conf", "reloads"]);
}

#[test]
fn a_reload_that_fails_refuses_the_bans() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deny.conf");
    let (script, path) = (script("nginx-deny.sh"), path.to_str().unwrap());
    let mut options = options(
        &[
            &script,
            "ban",
            path,
            "/bin/sh",
            "-c",
            "echo no nginx >&2; exit 1",
        ],
        &[&script, "unban", path],
    );
    options.batch = true;
    let mut firewall = open(options);
    let refused = firewall.apply(&[ban("web", "192.0.2.1/32", None)]).unwrap();
    assert!(
        refused[0]
            .error
            .to_string()
            .ends_with("exit status: 1: no nginx")
    );
}
