use super::*;

#[test]
fn ports_are_read_by_number_range_and_name() {
    let services = "# a comment\nmyssh 2222/tcp other # note\nbad line\nzero 0/tcp\n";
    for (text, first, last) in [
        ("22", 22, 22),
        ("ssh", 22, 22),
        ("8000-8010", 8000, 8010),
        ("8000:8010", 8000, 8010),
        ("myssh", 2222, 2222),
        ("other", 2222, 2222),
        ("ftp-data", 20, 20),
        ("65535", 65535, 65535),
    ] {
        let found = parse_ports(text, services);
        assert_eq!(found, Ok(PortRange { first, last }), "{text}");
    }
    for (text, error) in [
        ("0", PortError::OutOfRange),
        ("65536", PortError::OutOfRange),
        ("1-99999", PortError::OutOfRange),
        ("20-10", PortError::Reversed),
        ("zero", PortError::Unknown),
        ("", PortError::Unknown),
        ("99999999999999999999", PortError::Unknown),
    ] {
        assert_eq!(parse_ports(text, services), Err(error), "{text}");
    }
}

#[test]
fn ranges_that_touch_become_one() {
    let range = |first, last| PortRange { first, last };
    let joined = join_ranges(vec![
        range(80, 80),
        range(22, 22),
        range(20, 79),
        range(443, 443),
    ]);
    assert_eq!(joined, [range(20, 80), range(443, 443)]);
    assert_eq!(
        join_ranges(vec![range(65535, 65535), range(1, 65535)]),
        [range(1, 65535)]
    );
}

#[test]
fn entries_of_ignoreip_are_told_apart() {
    for (text, expected) in [
        ("192.0.2.1", "Net(192.0.2.1/32)"),
        ("192.0.2.0/24", "Net(192.0.2.0/24)"),
        ("192.0.2.0/255.255.255.0", "Net(192.0.2.0/24)"),
        ("::ffff:192.0.2.1", "Net(192.0.2.1/32)"),
        ("::ffff:192.0.2.0/120", "Net(192.0.2.0/24)"),
        ("2001:db8::/32", "Net(2001:db8::/32)"),
        ("Host.Example", "Name(\"host.example\")"),
        ("localhost", "Name(\"localhost\")"),
        ("id:alice", "Text(\"alice\")"),
        ("file:/etc/x", "File(\"/etc/x\")"),
        ("file:///etc/x", "File(\"/etc/x\")"),
    ] {
        let (entry, odd) = parse_ignore(text).unwrap();
        assert_eq!(format!("{entry:?}"), expected);
        assert_eq!(odd, None, "{text}");
    }
    for text in [
        "",
        "192.0.2.300",
        "192.0.2.0/33",
        "1.2.3",
        "a b",
        "id:",
        "file:x",
        "file:",
        "-a.b",
        "a..b",
    ] {
        assert_eq!(parse_ignore(text), None, "{text}");
    }
}

#[test]
fn an_entry_that_ignores_more_than_it_seems_is_odd() {
    let (entry, odd) = parse_ignore("192.0.2.7/24").unwrap();
    assert_eq!(format!("{entry:?}"), "Net(192.0.2.0/24)");
    assert_eq!(odd.unwrap(), "this means the whole network 192.0.2.0/24");
    assert!(parse_ignore("::/0").unwrap().1.is_some());
    assert!(parse_ignore("0.0.0.0/0").unwrap().1.is_some());
}

#[test]
fn origins_are_read_and_shown() {
    for (text, shown) in [
        ("https://Hooks.Example.com", "https://hooks.example.com:443"),
        ("http://192.0.2.1:8080", "http://192.0.2.1:8080"),
        ("HTTPS://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://host.", "http://host:80"),
    ] {
        let origin = HttpOrigin::parse(text).unwrap();
        assert_eq!(origin.to_string(), shown);
        assert_eq!(HttpOrigin::parse(shown), Ok(origin));
    }
    for text in [
        "",
        "hooks.example.com",
        "ftp://host",
        "https://",
        "https://host/",
        "https://host/path",
        "https://user@host",
        "https://*.example.com",
        "https://host:0",
        "https://host:",
        "https://host:99999",
        "https://2001:db8::1",
        "https://[::1",
        "https://ho st",
        "https://192.0.2.300",
    ] {
        assert!(HttpOrigin::parse(text).is_err(), "{text} was accepted");
    }
}

#[test]
fn hosts_of_private_networks_are_recognised() {
    for host in [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "[::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
        "a.localhost",
    ] {
        let origin = HttpOrigin::parse(&format!("http://{host}")).unwrap();
        assert!(origin.is_private(), "{host}");
    }
    for host in ["192.0.2.1", "8.8.8.8", "[2001:db8::1]", "example.com"] {
        let origin = HttpOrigin::parse(&format!("http://{host}")).unwrap();
        assert!(!origin.is_private(), "{host}");
    }
}
