//! The client against a socket that behaves well, badly or not at all.
#![cfg(test)]

use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use stockade_control::{
    Client, ClientError, ControlReply, ControlRequest, ExitCode, FRAME_LEN_MAX, VersionReply,
    decode_request, encode, read_frame,
};
use stockade_core::JailName;

/// Generous: only a test that is about to fail waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts one client and lets `serve` talk to it.
fn daemon(path: &Path, serve: impl FnOnce(UnixStream) + Send + 'static) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0))
}

/// Replies with `reply` to the first request, as it is.
fn say(reply: impl Into<Vec<u8>>) -> impl FnOnce(UnixStream) + Send + 'static {
    let reply = reply.into();
    move |mut stream| {
        let mut line = Vec::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        assert!(read_frame(&mut reader, FRAME_LEN_MAX, &mut line).unwrap());
        // The client may have gone away already.
        drop(stream.write_all(&reply));
    }
}

fn ask(path: &Path) -> Result<ControlReply, ClientError> {
    Client::connect(path, PATIENCE)?.request(&ControlRequest::Version {})
}

#[test]
fn several_requests_are_answered_in_order_on_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let served = daemon(&path, |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = Vec::new();
        while read_frame(&mut reader, FRAME_LEN_MAX, &mut line).unwrap() {
            let reply = match decode_request(&line).unwrap() {
                ControlRequest::Ping {} => ControlReply::Ping {},
                ControlRequest::Version {} => ControlReply::Version(VersionReply::new("1.2.3")),
                other => panic!("{other:?}"),
            };
            stream.write_all(encode(&reply).as_bytes()).unwrap();
        }
    });
    let mut client = Client::connect(&path, PATIENCE).unwrap();
    for _ in 0..3 {
        assert_eq!(
            client.request(&ControlRequest::Ping {}).unwrap(),
            ControlReply::Ping {}
        );
        let version = client.request(&ControlRequest::Version {}).unwrap();
        assert_eq!(version, ControlReply::Version(VersionReply::new("1.2.3")));
    }
    drop(client);
    served.join().unwrap();
}

#[test]
fn no_daemon_is_said_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let error = ask(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "stockade is not running, or its socket is not at '{}'",
            path.display()
        )
    );
    assert_eq!(ExitCode::from(&error).code(), 69);
    // What a killed daemon left.
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(
        ask(&path).unwrap_err(),
        ClientError::NotReachable { .. }
    ));
    let long = folder.path().join("x".repeat(300));
    assert!(matches!(
        ask(&long).unwrap_err(),
        ClientError::NotReachable { .. }
    ));
    let no_socket = folder.path().join("file");
    std::fs::write(&no_socket, b"").unwrap();
    assert!(matches!(
        ask(&no_socket).unwrap_err(),
        ClientError::NotReachable { .. }
    ));
}

#[test]
fn a_daemon_that_hangs_up_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (n, part) in ["", "{\"reply\":"].into_iter().enumerate() {
        let path = folder.path().join(n.to_string());
        let served = daemon(&path, say(part));
        let error = ask(&path).unwrap_err();
        assert!(matches!(error, ClientError::Closed { .. }), "{error:?}");
        served.join().unwrap();
    }
}

#[test]
fn a_daemon_that_is_silent_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let served = daemon(&path, |mut stream| {
        // Until the client gives up.
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let mut client = Client::connect(&path, Duration::ZERO).unwrap();
    let error = client.request(&ControlRequest::Ping {}).unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    assert_eq!(ExitCode::from(&error).code(), 69);
    drop(client);
    served.join().unwrap();
}

#[test]
fn another_program_at_the_socket_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (n, text) in ["220 mail ESMTP\n", "\n", "{}\n", "\u{0}\n"]
        .into_iter()
        .enumerate()
    {
        let path = folder.path().join(n.to_string());
        let served = daemon(&path, say(text));
        let error = ask(&path).unwrap_err();
        assert!(matches!(error, ClientError::BadReply { .. }), "{error:?}");
        assert_eq!(ExitCode::from(&error).code(), 70);
        served.join().unwrap();
    }
}

#[test]
fn a_request_that_the_daemon_would_not_read_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let served = daemon(&path, |mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert!(heard.is_empty());
    });
    let mut client = Client::connect(&path, PATIENCE).unwrap();
    let ban = ControlRequest::Ban {
        jail: JailName::try_new("sshd").unwrap(),
        ids: vec!["x".repeat(FRAME_LEN_MAX)],
    };
    let error = client.request(&ban).unwrap_err();
    assert!(
        matches!(error, ClientError::RequestTooLong { .. }),
        "{error:?}"
    );
    drop(client);
    served.join().unwrap();
}
