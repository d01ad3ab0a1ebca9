use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A server on loopback that gives one answer to each connection, and then ends.
struct Server {
    addr: SocketAddr,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    /// Each answer may name the server's own port as `PORT`.
    fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            answers
                .into_iter()
                .map(|answer| {
                    let (stream, _) = listener.accept().unwrap();
                    let answer = answer.replace("PORT", &addr.port().to_string());
                    serve(stream, &answer).unwrap()
                })
                .collect()
        });
        Self { addr, thread }
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The heads of the requests that came.
    fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

/// Reads a request up to its body, answers, and waits until the client has closed.
fn serve(stream: TcpStream, answer: &str) -> io::Result<String> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            break;
        }
    }
    // A client that has had enough closes early; that is what some tests are about.
    let _written = (&stream).write_all(answer.as_bytes());
    if !answer.is_empty() {
        stream.shutdown(std::net::Shutdown::Write)?;
    }
    let _read = io::copy(&mut reader, &mut io::sink());
    Ok(head)
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn moved(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn granted(url: &str, private: bool) -> GrantedOrigin {
    GrantedOrigin {
        origin: Origin::parse(url).unwrap(),
        private,
    }
}

fn client(grants: &[GrantedOrigin]) -> Client {
    let limits = HttpLimits {
        timeout: SECOND * 5,
        sent_bytes_max: 1000,
        received_bytes_max: 1000,
    };
    Client::new(grants, limits)
}

fn request(method: &str, url: &str) -> wit::Request {
    wit::Request {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

fn get(client: &Client, url: &str) -> Result<wit::Response, wit::Error> {
    client.send(request("GET", url), SECOND * 30)
}

#[test]
fn a_request_arrives_as_it_was_made_and_the_answer_comes_back() {
    let server = Server::start(vec![
        "HTTP/1.1 404 Not Found\r\nX-One: 1\r\nContent-Length: 4\r\n\r\ngone".into(),
    ]);
    let url = server.url();
    let mut request = request("POST", &format!("{url}/hook?a=b"));
    request.headers = vec![("X-Key".into(), "k".into())];
    request.body = b"{}".to_vec();
    let response = client(&[granted(&url, true)])
        .send(request, SECOND * 30)
        .unwrap();
    assert_eq!((response.status, response.body), (404, b"gone".to_vec()));
    assert!(response.headers.contains(&("x-one".into(), "1".into())));
    let head = server.requests().remove(0).to_lowercase();
    assert!(head.starts_with("post /hook?a=b http/1.1\r\n"), "{head}");
    for header in [
        "x-key: k",
        "content-length: 2",
        "user-agent: stockade/",
        "host: 127.0.0.1:",
    ] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    assert!(!head.contains("cookie"), "{head}");
}

#[test]
fn an_empty_post_has_a_length() {
    let server = Server::start(vec![ok("")]);
    let url = server.url();
    let sent = client(&[granted(&url, true)]).send(request("POST", &url), SECOND * 30);
    assert_eq!(sent.unwrap().status, 200);
    let head = server.requests().remove(0).to_lowercase();
    assert!(head.contains("content-length: 0\r\n"), "{head}");
}

#[test]
fn only_granted_origins_are_reached() {
    let client = client(&[granted("https://hooks.example.com", false)]);
    for url in [
        "https://example.com/",
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://hooks.example.com.evil.example/",
        "https://evil.example/https://hooks.example.com/",
    ] {
        let denied = get(&client, url);
        assert!(
            matches!(denied, Err(wit::Error::Denied(_))),
            "{url}: {denied:?}"
        );
    }
    let user = get(&client, "https://hooks.example.com@evil.example/");
    assert!(matches!(user, Err(wit::Error::Invalid(_))), "{user:?}");
}

#[test]
fn addresses_of_this_machine_need_a_private_grant_whatever_they_are_called() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "127.1",
    ] {
        let url = format!("http://{host}:{port}");
        let denied = get(&client(&[granted(&url, false)]), &url);
        let Err(wit::Error::Denied(text)) = &denied else {
            panic!("{host}: {denied:?}")
        };
        assert!(text.contains("private = true"), "{text}");
    }
    // Of the unspecified address not even then: it is this machine under a name nobody grants.
    let url = format!("http://0.0.0.0:{port}");
    assert!(matches!(
        get(&client(&[granted(&url, true)]), &url),
        Err(wit::Error::Denied(_))
    ));
    listener.set_nonblocking(true).unwrap();
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
}

#[test]
fn redirects_are_followed_within_what_is_granted() {
    let server = Server::start(vec![moved("/two"), moved("three?x"), ok("here")]);
    let url = server.url();
    let response = get(&client(&[granted(&url, true)]), &format!("{url}/a/one")).unwrap();
    assert_eq!(response.body, b"here");
    let lines: Vec<String> = server
        .requests()
        .iter()
        .filter_map(|head| head.lines().next().map(String::from))
        .collect();
    assert_eq!(
        lines,
        [
            "GET /a/one HTTP/1.1",
            "GET /two HTTP/1.1",
            "GET /three?x HTTP/1.1"
        ]
    );
}

#[test]
fn a_redirect_to_another_origin_or_to_this_machine_is_denied() {
    let server = Server::start(vec![
        moved("https://evil.example/"),
        moved("http://localhost:PORT/"),
    ]);
    let url = server.url();
    let localhost = format!("http://localhost:{}", server.addr.port());
    let client = client(&[granted(&url, true), granted(&localhost, false)]);
    for expected in [
        "'https://evil.example' is not granted",
        "is no public address",
    ] {
        let denied = get(&client, &url);
        let Err(wit::Error::Denied(text)) = &denied else {
            panic!("{denied:?}")
        };
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_loop_of_redirects_ends() {
    let server = Server::start(vec![moved("/again"); 6]);
    let url = server.url();
    let ended = get(&client(&[granted(&url, true)]), &url);
    assert!(
        matches!(ended, Err(wit::Error::Unavailable(_))),
        "{ended:?}"
    );
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn a_post_gets_the_redirect_as_its_answer() {
    let server = Server::start(vec![moved("/two")]);
    let url = server.url();
    let response = client(&[granted(&url, true)])
        .send(request("POST", &url), SECOND * 30)
        .unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn credentials_stay_with_their_origin() {
    let other = Server::start(vec![ok("")]);
    let server = Server::start(vec![
        moved("/here"),
        moved(&format!("{}/there", other.url())),
    ]);
    let (url, there) = (server.url(), other.url());
    let mut request = request("GET", &url);
    request.headers = vec![
        ("Authorization".into(), "Bearer t".into()),
        ("X-Key".into(), "k".into()),
    ];
    let client = client(&[granted(&url, true), granted(&there, true)]);
    client.send(request, SECOND * 30).unwrap();
    let has = |head: &String, text: &str| head.to_lowercase().contains(text);
    assert!(
        server
            .requests()
            .iter()
            .all(|head| has(head, "authorization: bearer t"))
    );
    let head = other.requests().remove(0);
    assert!(
        !has(&head, "authorization") && has(&head, "x-key: k"),
        "{head}"
    );
}

#[test]
fn answers_have_a_size() {
    let huge_header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(5_000));
    let server = Server::start(vec![
        ok(&"x".repeat(1000)),
        ok(&"x".repeat(1001)),
        endless,
        huge_header,
    ]);
    let url = server.url();
    let client = client(&[granted(&url, true)]);
    assert_eq!(get(&client, &url).unwrap().body.len(), 1000);
    for what in [
        "a body of 1001",
        "a body without a length",
        "a header of 20,000",
    ] {
        let answer = get(&client, &url);
        assert!(
            matches!(answer, Err(wit::Error::TooLarge)),
            "{what}: {answer:?}"
        );
    }
    server.requests();
}

#[test]
fn a_slow_server_costs_no_more_than_the_time_left() {
    // One says nothing, one begins and does not go on.
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    for answer in ["", half] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            // Ends when the client gives up.
            let _read = io::copy(&mut stream, &mut io::sink());
        });
        let sent = client(&[granted(&url, true)]).send(request("GET", &url), SECOND / 10);
        assert!(matches!(sent, Err(wit::Error::Timeout)), "{sent:?}");
        thread.join().unwrap();
    }
    let none = client(&[granted("http://127.0.0.1:1", true)])
        .send(request("GET", "http://127.0.0.1:1"), Duration::ZERO);
    assert!(matches!(none, Err(wit::Error::Timeout)), "{none:?}");
}

#[test]
fn a_server_that_is_away_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let away = get(&client(&[granted(&url, true)]), &url);
    assert!(matches!(away, Err(wit::Error::Unavailable(_))), "{away:?}");
}

#[test]
fn requests_that_are_not_well_formed_are_not_sent() {
    let url = "http://127.0.0.1:1";
    let client = client(&[granted(url, true)]);
    let check = |change: &dyn Fn(&mut wit::Request)| {
        let mut request = request("POST", url);
        change(&mut request);
        let sent = client.send(request, SECOND * 30);
        assert!(matches!(sent, Err(wit::Error::Invalid(_))), "{sent:?}");
    };
    check(&|request| request.method = "post".into());
    check(&|request| request.method = "CONNECT".into());
    check(&|request| request.url = "/relative".into());
    check(&|request| request.url = "file:///etc/passwd".into());
    check(&|request| request.url = format!("{url}/{}", "x".repeat(9000)));
    check(&|request| request.body = vec![0; 1001]);
    check(&|request| {
        request.method = "GET".into();
        request.body = vec![0];
    });
    for (name, value) in [
        ("Host", "evil.example"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authorization", "x"),
        ("Connection", "close"),
        ("X Y", "x"),
        ("X", "a\r\nHost: b"),
        ("X\r\nHost: b", "x"),
    ] {
        check(&|request| request.headers = vec![(name.into(), value.into())]);
    }
    check(&|request| request.headers = vec![("a".into(), "b".into()); 65]);
    check(&|request| request.headers = vec![("a".into(), "x".repeat(17_000))]);
}
