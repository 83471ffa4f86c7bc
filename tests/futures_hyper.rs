//! hyper 1, unmodified, on rustlet's sockets, executor and timers: HTTP/1 and HTTP/2, server and client, with handlers that
//! block. The code is the examples' (`examples/hyper`).

mod support;

#[path = "../examples/hyper/fetch.rs"]
mod fetch;
#[path = "../examples/hyper/serve.rs"]
mod serve;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fetch::{Client, Version, request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, StatusCode, Uri};
use rustlet::block_on;
use rustlet::net::{TcpListener, TcpStream};
use support::watchdog;

/// A server in this thread, and its address. It ends with the thread.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    rustlet::spawn(move || serve::serve(&listener));
    format!("http://{addr}")
}

fn uri(server: &str, path: &str) -> Uri {
    format!("{server}{path}").parse().unwrap()
}

const BOTH: [Version; 2] = [Version::Http1, Version::Http2];

#[test]
fn requests_of_all_kinds() {
    let _watchdog = watchdog();
    let server = server();
    for version in BOTH {
        let get = |path: &str| fetch::get(&uri(&server, path), version).unwrap();
        assert_eq!(
            get("/"),
            (StatusCode::OK, Bytes::from_static(b"Hello, World!\n"))
        );
        assert_eq!(get("/sleep?5").1, "slept for 5 ms\n");
        assert_eq!(get("/nothing").0, StatusCode::NOT_FOUND);
        assert_eq!(get("/file").1, std::fs::read("/proc/version").unwrap());
        assert_eq!(get(&format!("/ask?{server}/sleep?5")).1, "slept for 5 ms\n");
        assert_eq!(get("/ask?http://127.0.0.1:1/").0, StatusCode::BAD_GATEWAY);
        let large: Bytes = (0..2_000_000_u32).map(|n| (n / 7) as u8).collect();
        let (status, echoed) = fetch::post(&uri(&server, "/echo"), version, large.clone()).unwrap();
        assert!(status == StatusCode::OK && echoed == large);
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let _watchdog = watchdog();
    let server = server();
    for version in BOTH {
        let uri = uri(&server, "/sleep?1");
        let mut client = Client::connect(&uri, version).unwrap();
        for _ in 0..50 {
            let request = request(Method::GET, &uri, version, Empty::<Bytes>::new()).unwrap();
            assert_eq!(client.ask(request).unwrap().1, "slept for 1 ms\n");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let _watchdog = watchdog();
    let server = server();
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).unwrap();
    for millis in [30, 1, 20, 0] {
        write!(stream, "GET /sleep?{millis} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    }
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let bodies: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("slept") || line.contains("World"))
        .collect();
    assert_eq!(
        bodies,
        [
            "slept for 30 ms",
            "slept for 1 ms",
            "slept for 20 ms",
            "slept for 0 ms",
            "Hello, World!"
        ]
    );
}

#[test]
fn a_client_that_ends_its_output_gets_its_answer() {
    let _watchdog = watchdog();
    let server = server();
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\ntext"),
        "{text}"
    );
    // And one that goes in the middle of it harms nobody.
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\nte")
        .unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
    assert_eq!(
        fetch::get(&uri(&server, "/"), Version::Http1).unwrap().0,
        StatusCode::OK
    );
}

#[test]
fn streams_of_one_http2_connection_wait_at_the_same_time() {
    let _watchdog = watchdog();
    let server = server();
    let uri = uri(&server, "/sleep?2000");
    let Client::Http2(sender) = Client::connect(&uri, Version::Http2).unwrap() else {
        unreachable!("asked for")
    };
    let start = Instant::now();
    let streams: Vec<_> = (0..20)
        .map(|_| {
            let (mut sender, uri) = (sender.clone(), uri.clone());
            rustlet::spawn(move || {
                let request = request(Method::GET, &uri, Version::Http2, Empty::<Bytes>::new());
                let response = block_on(sender.send_request(request.unwrap())).unwrap();
                block_on(response.into_body().collect()).unwrap().to_bytes()
            })
        })
        .collect();
    for stream in streams {
        assert_eq!(stream.join().unwrap(), "slept for 2000 ms\n");
    }
    // One after the other would take 40 seconds.
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_client_that_says_nothing_is_sent_away_in_time() {
    use http_body_util::Full;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    let _watchdog = watchdog();
    let (ours, mut theirs) = support::tcp_pair::<TcpStream>();
    let served = rustlet::spawn(move || {
        let mut builder = http1::Builder::new();
        builder
            .timer(rustlet::HyperTimer)
            .header_read_timeout(Duration::from_millis(50));
        let service = service_fn(async |_| {
            Ok::<_, hyper::Error>(hyper::Response::new(Full::<Bytes>::default()))
        });
        block_on(builder.serve_connection(ours, service))
    });
    theirs.write_all(b"GET / HT").unwrap();
    let mut text = String::new();
    let _ = theirs.read_to_string(&mut text);
    assert!(served.join().unwrap().unwrap_err().is_timeout());
}

#[test]
fn a_request_can_be_given_up() {
    let _watchdog = watchdog();
    let server = server();
    for version in BOTH {
        let uri = uri(&server, "/sleep?3600000");
        assert!(rustlet::timeout(Duration::from_millis(50), || fetch::get(&uri, version)).is_err());
    }
    assert_eq!(
        fetch::get(&uri(&server, "/"), Version::Http1).unwrap().0,
        StatusCode::OK
    );
}

#[test]
fn a_thousand_connections_at_once() {
    let _watchdog = watchdog();
    let count = 1000 / support::slowdown();
    let server = Arc::new(server());
    let clients: Vec<_> = (0..count)
        .map(|n| {
            let server = server.clone();
            let version = BOTH[n as usize % 2];
            rustlet::spawn(move || fetch::get(&uri(&server, "/sleep?10"), version).unwrap().1)
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), "slept for 10 ms\n");
    }
}

/// What curl prints, while this thread serves.
fn curl(arguments: &[&str], server: &str) -> Option<String> {
    let child = Command::new("curl")
        .args(["-sS", "--max-time", "50", "--noproxy", "*"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("curl is not installed: {server} was not asked by it");
        return None;
    };
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (send, receive) = rustlet::sync::mpmc::bounded(1);
    let reader = thread::spawn(move || {
        let mut text = String::new();
        while stdout.read_line(&mut text).unwrap() > 0 {}
        send.send(text).unwrap();
        assert!(child.wait().unwrap().success());
    });
    let text = receive.recv().unwrap();
    reader.join().unwrap();
    Some(text)
}

#[test]
fn curl_speaks_to_it() {
    let _watchdog = watchdog();
    let server = server();
    for options in [&[][..], &["--http2-prior-knowledge"]] {
        let url = format!("{server}/");
        if let Some(text) = curl(&[options, &[&url]].concat(), &server) {
            assert_eq!(text, "Hello, World!\n");
        }
        let url = format!("{server}/echo");
        let format = " %{http_version}";
        if let Some(text) = curl(
            &[options, &["-d", "a b c", "-w", format, &url]].concat(),
            &server,
        ) {
            let version = if options.is_empty() { "1.1" } else { "2" };
            assert_eq!(text, format!("a b c {version}"));
        }
    }
    let (one, two) = (format!("{server}/sleep?10"), format!("{server}/sleep?20"));
    if let Some(text) = curl(&[&one, &two, &one], &server) {
        assert_eq!(text, "slept for 10 ms\nslept for 20 ms\nslept for 10 ms\n");
    }
}
