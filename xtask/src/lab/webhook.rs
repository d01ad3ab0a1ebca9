//! The endpoint that the webhook plugin posts to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::Failure;

/// No request of the plugin is longer (`stockade:http`).
const BODY_LEN_MAX: u64 = 1024 * 1024;
/// A silent client does not hold the endpoint up.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// Listens on this host, on a thread that ends with the process, and hands over each document.
pub(crate) fn listen(mut told: impl FnMut(Value) + Send + 'static) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // What a broken client wanted is not known; the story shows that nothing came.
            if let Ok(Some(body)) = answer(&stream)
                && let Ok(document) = serde_json::from_slice(&body)
            {
                told(document);
            }
        }
    });
    Ok(address)
}

/// Reads one request, answers it, and returns its body if it has one.
fn answer(mut stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    stream.set_read_timeout(Some(SILENT_FOR))?;
    let mut reader = BufReader::new(stream);
    let mut body_len = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body_len = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = Vec::new();
    reader
        .take(BODY_LEN_MAX.min(body_len))
        .read_to_end(&mut body)?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
    Ok((!body.is_empty()).then_some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_posted_is_handed_over_and_answered() {
        let (sender, documents) = std::sync::mpsc::channel();
        let address = listen(move |document| sender.send(document).unwrap()).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let request =
            "POST /ban HTTP/1.1\r\nHost: x\r\ncontent-length: 15\r\n\r\n{\"event\":\"ban\"}";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        let document = documents.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(document["event"], "ban");
    }
}
