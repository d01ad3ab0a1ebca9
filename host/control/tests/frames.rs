//! Lines from anybody: understood, or answered with what is wrong, and never more than a bounded
//! memory.
#![cfg(test)]

use std::io::{BufReader, Read};

use proptest::prelude::*;
use stockade_control::{
    ControlReply, ControlRequest, DecodeError, ErrorKind, FRAME_LEN_MAX, FrameError, UnbanRequest,
    UnbanWhom, decode_reply, decode_request, encode, encode_request, read_frame,
};
use stockade_core::JailName;

fn jail(name: &str) -> JailName {
    JailName::try_new(name).unwrap()
}

/// What a line is answered with where it is not understood.
fn refusal(line: &str) -> (ErrorKind, String) {
    let error = decode_request(line.as_bytes()).expect_err(line);
    match ControlReply::from(error) {
        ControlReply::Error(error) => (error.kind, error.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_have_their_documented_form() {
    let ids = || vec!["192.0.2.1".to_owned(), "2001:db8::/64".to_owned()];
    let unban = |jail, whom| ControlRequest::Unban(UnbanRequest::new(jail, whom));
    let wider = UnbanRequest {
        wider: true,
        ..UnbanRequest::new(None, UnbanWhom::Ids(ids()))
    };
    for (request, line) in [
        (ControlRequest::Ping {}, r#"{"command":"ping"}"#),
        (ControlRequest::Version {}, r#"{"command":"version"}"#),
        (
            ControlRequest::Status { jail: None },
            r#"{"command":"status","jail":null}"#,
        ),
        (
            ControlRequest::Banned {
                jail: Some(jail("sshd")),
            },
            r#"{"command":"banned","jail":"sshd"}"#,
        ),
        (
            ControlRequest::Ban {
                jail: jail("sshd"),
                ids: ids(),
            },
            r#"{"command":"ban","jail":"sshd","ids":["192.0.2.1","2001:db8::/64"]}"#,
        ),
        (
            unban(None, UnbanWhom::Ids(ids())),
            r#"{"command":"unban","jail":null,"ids":["192.0.2.1","2001:db8::/64"]}"#,
        ),
        (
            unban(Some(jail("sshd")), UnbanWhom::All),
            r#"{"command":"unban","jail":"sshd","all":true}"#,
        ),
        (
            ControlRequest::Unban(wider),
            r#"{"command":"unban","jail":null,"ids":["192.0.2.1","2001:db8::/64"],"wider":true}"#,
        ),
        (
            ControlRequest::Confirm { discard: true },
            r#"{"command":"confirm","discard":true}"#,
        ),
        (
            ControlRequest::Reload { strict: true },
            r#"{"command":"reload","strict":true}"#,
        ),
        (
            ControlRequest::Stop { flush: true },
            r#"{"command":"stop","flush":true}"#,
        ),
    ] {
        assert_eq!(encode_request(&request), format!("{line}\n"));
        assert_eq!(decode_request(line.as_bytes()).unwrap(), request);
        let command = line.split('"').nth(3).unwrap();
        assert!(ControlRequest::COMMANDS.contains(&command), "{command}");
    }
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    for (line, full) in [
        (
            r#" { "command" : "status" } "#,
            r#"{"command":"status","jail":null}"#,
        ),
        (
            r#"{"command":"stop"}"#,
            r#"{"command":"stop","flush":false}"#,
        ),
        (
            r#"{"command":"confirm"}"#,
            r#"{"command":"confirm","discard":false}"#,
        ),
        (
            r#"{"all":true,"command":"unban"}"#,
            r#"{"command":"unban","jail":null,"all":true}"#,
        ),
    ] {
        assert_eq!(
            encode_request(&decode_request(line.as_bytes()).unwrap()),
            format!("{full}\n")
        );
    }
}

#[test]
fn a_misspelt_field_is_refused_and_never_means_everybody() {
    for line in [
        r#"{"command":"unban","jails":"sshd","all":true}"#,
        r#"{"command":"stop","flsh":true}"#,
        r#"{"command":"ping","jail":"sshd"}"#,
        r#"{"command":"reload","force":true}"#,
        r#"{"command":"status","Jail":"sshd"}"#,
    ] {
        let (kind, message) = refusal(line);
        assert_eq!(kind, ErrorKind::BadRequest, "{line}");
        assert!(message.contains("unknown field"), "{line}: {message}");
    }
    assert_eq!(
        refusal(r#"{"command":"unban"}"#).1,
        "not understood: 'unban' needs 'ids' or 'all'"
    );
    assert_eq!(
        refusal(r#"{"command":"unban","all":true,"ids":["192.0.2.1"]}"#).1,
        "not understood: 'unban' takes either 'ids' or 'all', not both"
    );
}

#[test]
fn an_unknown_command_is_told_from_a_wrong_request() {
    let (kind, message) = refusal(r#"{"command":"dance","partner":1}"#);
    assert_eq!(kind, ErrorKind::UnknownCommand);
    assert_eq!(message, "there is no command 'dance'");
    let (kind, message) = refusal("{\"command\":\"a\\n[sshd] Ban 192.0.2.1\"}");
    assert_eq!(kind, ErrorKind::UnknownCommand);
    assert!(!message.contains('\n'), "{message:?}");
    for line in [
        "",
        "\n",
        "ping",
        "[]",
        "{}",
        "null",
        r#"{"command":1}"#,
        r#"{"command":"ban"}"#,
    ] {
        assert_eq!(refusal(line).0, ErrorKind::BadRequest, "{line}");
    }
    let (kind, message) = refusal(r#"{"command":"status","jail":"a/../b"}"#);
    assert_eq!(kind, ErrorKind::BadRequest);
    assert!(
        message.contains("a jail's name may not contain '/'"),
        "{message}"
    );
}

#[test]
fn a_request_that_is_too_long_is_refused() {
    let start = r#"{"command":"ban","jail":"sshd","ids":[""#;
    let fitting = FRAME_LEN_MAX - start.len() - 4;
    let line = |len: usize| format!("{start}{}\"]}}\n", "x".repeat(len)).into_bytes();
    assert_eq!(line(fitting).len(), FRAME_LEN_MAX);
    assert!(decode_request(&line(fitting)).is_ok());
    let error = decode_request(&line(fitting + 1)).unwrap_err();
    assert!(matches!(error, DecodeError::TooLong { max: FRAME_LEN_MAX }));
    // What a reader that stops at the limit holds.
    let cut = &line(fitting + 1)[..FRAME_LEN_MAX];
    assert!(matches!(
        decode_request(cut).unwrap_err(),
        DecodeError::TooLong { .. }
    ));
    let reply = ControlReply::from(error);
    assert!(matches!(&reply, ControlReply::Error(e) if e.kind == ErrorKind::RequestTooLong));
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!(r#"{{"command":"ban","jail":{}"#, "[".repeat(500_000));
    assert_eq!(refusal(&deep).0, ErrorKind::BadRequest);
}

#[test]
fn words_and_fields_of_a_newer_daemon_do_not_disturb_a_client() {
    let line = r#"{"reply":"ban","banned":1,"mood":"good","results":
        [{"id":"192.0.2.1","outcome":"banned-twice","since":{"deep":[1]}}]}"#;
    let ControlReply::Ban(reply) = decode_reply(line.as_bytes()).unwrap() else {
        panic!("not a ban")
    };
    assert_eq!(reply.banned, 1);
    assert_eq!(reply.results[0].outcome, stockade_control::Outcome::Unknown);
    let error = decode_reply(br#"{"reply":"error","kind":"new-kind","message":"m"}"#).unwrap();
    assert_eq!(error, ControlReply::error(ErrorKind::Unknown, "m"));
    assert!(decode_reply(br#"{"reply":"a-new-reply"}"#).is_err());
}

#[test]
fn frames_are_read_one_by_one() {
    let mut reader = BufReader::with_capacity(3, &b"one\n\nthree and more\nrest"[..]);
    let mut line = Vec::new();
    let mut next = || read_frame(&mut reader, 100, &mut line).map(|more| (more, line.clone()));
    assert_eq!(next().unwrap(), (true, b"one".to_vec()));
    assert_eq!(next().unwrap(), (true, b"".to_vec()));
    assert_eq!(next().unwrap(), (true, b"three and more".to_vec()));
    assert!(matches!(next(), Err(FrameError::Incomplete)));
    let mut ended = &b""[..];
    assert!(!read_frame(&mut ended, 100, &mut line).unwrap());
}

#[test]
fn a_frame_without_end_takes_no_more_memory_than_the_limit() {
    let max = 100_000;
    let mut endless = BufReader::new(std::io::repeat(b'x'));
    let mut line = Vec::new();
    let error = read_frame(&mut endless, max, &mut line).unwrap_err();
    assert!(matches!(error, FrameError::TooLong { .. }), "{error:?}");
    assert!(line.capacity() <= max, "{} bytes", line.capacity());
    // The longest that is allowed: its end is the last byte of the limit.
    let mut fitting = BufReader::new(std::io::repeat(b'x').take(99_999).chain(&b"\n"[..]));
    assert!(read_frame(&mut fitting, max, &mut line).unwrap());
    assert_eq!(line.len(), 99_999);
    assert!(line.capacity() <= max, "{} bytes", line.capacity());
}

/// Nearly a request or a reply, so that random bytes get past the first brace.
fn nearly() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"sshd\"".to_owned()),
        Just("[\"192.0.2.1\",1]".to_owned()),
        Just("[]".to_owned()),
        Just("-1e999".to_owned()),
        Just("{\"at\":\"2026-99-99T00:00:00Z\"}".to_owned()),
        any::<String>().prop_map(|s| format!("{s:?}")),
    ];
    let name = prop_oneof![
        Just("jail"),
        Just("ids"),
        Just("all"),
        Just("flush"),
        Just("bans"),
        Just("results"),
        Just("command"),
        Just("jails"),
        Just("started_at"),
        Just("kind"),
    ];
    let word = prop::sample::select([&ControlRequest::COMMANDS[..], &["error", "x"]].concat());
    let tag = prop_oneof![Just("command"), Just("reply")];
    (tag, word, prop::collection::vec((name, value), 0..4)).prop_map(|(tag, word, fields)| {
        let fields: String = fields
            .iter()
            .map(|(name, value)| format!(",\"{name}\":{value}"))
            .collect();
        format!("{{\"{tag}\":\"{word}\"{fields}}}")
    })
}

proptest! {
    #[test]
    fn random_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = decode_request(&line) {
            let text = encode(&error.into());
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(decode_reply(text.as_bytes()).is_ok());
        }
        drop(decode_reply(&line));
    }

    #[test]
    fn what_is_nearly_a_message_never_panics_and_round_trips_where_it_is_one(line in nearly()) {
        match decode_request(line.as_bytes()) {
            Ok(request) => {
                let again = decode_request(encode_request(&request).as_bytes()).unwrap();
                prop_assert_eq!(again, request);
            }
            Err(error) => prop_assert!(matches!(ControlReply::from(error), ControlReply::Error(_))),
        }
        if let Ok(reply) = decode_reply(line.as_bytes()) {
            let again = decode_reply(encode(&reply).as_bytes()).unwrap();
            prop_assert_eq!(again, reply);
        }
    }
}
