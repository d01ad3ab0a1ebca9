//! An HTTP endpoint on the loopback interface that keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The status that it was answered with.
    pub status: u16,
    /// The value of its `Idempotency-Key`, where it had one.
    pub key: Option<String>,
    /// Its body.
    pub body: Value,
}

/// The endpoint. It serves until the test's process ends.
#[derive(Debug)]
pub struct Endpoint {
    port: u16,
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Endpoint {
    /// Listens on a free port and answers every request with `status`.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[must_use]
    pub fn open(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Self {
            port: listener.local_addr().unwrap().port(),
            status: Arc::new(AtomicU16::new(status)),
            received: Arc::default(),
        };
        let (status, received) = (Arc::clone(&endpoint.status), Arc::clone(&endpoint.received));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who hangs up early is no concern of the next one.
                let status = status.load(Ordering::Acquire);
                if let Some(request) = serve(&stream, status) {
                    received.lock().unwrap().push(request);
                }
            }
        });
        endpoint
    }

    /// Its origin, as a grant names it.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers with another status from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }

    /// What came so far.
    ///
    /// # Panics
    /// Where the serving thread has.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The requests of one event about one address.
    #[must_use]
    pub fn about(&self, event: &str, address: &str) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|request| request.body["event"] == event && request.body["ip"] == address);
        received
    }
}

/// Reads one request (RFC 9112, with a Content-Length) and answers it.
fn serve(stream: &TcpStream, status: u16) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut key) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "idempotency-key" => key = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut stream = stream;
    let answer =
        format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Received { status, key, body })
}
