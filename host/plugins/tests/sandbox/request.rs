//! A plugin's request, through the sandbox to a server on this machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use stockade_plugins::{ActionError, GrantedOrigin, Grants, Origin, Role};

use crate::component;
use crate::fixture::{Fixture, spec};

/// How long the server takes.
const SLOW: Duration = Duration::from_millis(100);

/// A server that answers one request, and what the plugin's probe says to that.
fn probe(private: bool) -> Result<(), ActionError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let origin = Origin::parse(&url).unwrap();
    let mut spec = spec(Role::Action, component::action_that_requests());
    spec.grants = Grants {
        http: vec![GrantedOrigin { origin, private }],
        ..Grants::default()
    };
    spec.settings = vec![("url".into(), format!("{url}/hook"))];
    let limits = spec.limits;
    let mut action = Fixture::new().host.load_action(spec).unwrap();
    assert!(limits.call.cpu < SLOW);
    let (_never, wait) = mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        if !private {
            return String::new();
        }
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let len = stream.read(&mut request).unwrap();
        // A slow server: longer than the CPU time that the plugin has.
        assert_eq!(wait.recv_timeout(SLOW), Err(RecvTimeoutError::Timeout));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .unwrap();
        String::from_utf8_lossy(&request[..len]).into_owned()
    });
    let result = action.probe();
    let request = server.join().unwrap();
    assert_eq!(
        request.starts_with("GET /hook HTTP/1.1\r\n"),
        private,
        "{request}"
    );
    result
}

#[test]
fn a_request_to_a_granted_private_origin_arrives_and_waiting_for_it_is_no_cpu_time() {
    assert_eq!(probe(true), Ok(()));
}

#[test]
fn a_request_to_this_machine_without_private_is_denied() {
    // Case 1 of the contract's errors is `denied`.
    assert_eq!(probe(false).unwrap_err().message, "1");
}
