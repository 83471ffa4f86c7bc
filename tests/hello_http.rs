//! `examples/hello_http`: the protocol by itself, and the server as its clients see it: slow ones, rude ones, many.
//!
//! `cargo test` builds the examples before it runs tests; `cargo test --test hello_http` alone does not.

#[path = "hello_http/client.rs"]
mod client;
#[path = "../examples/hello_http/http/mod.rs"]
mod http;
#[path = "hello_http/protocol.rs"]
mod protocol;
mod support;

use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

use client::{Client, Server, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &[u8] = b"Hello, World!\n";

fn server(arguments: &[&str]) -> Option<Server> {
    Server::start("hello_http", arguments)
}

#[test]
fn a_connection_lives_as_long_as_both_want() {
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(GET.as_bytes());
        let response = client.response(false);
        assert_eq!((response.status, &response.body[..]), (200, HELLO));
        assert_eq!(
            response.field("connection"),
            None,
            "HTTP/1.1 goes on without a word"
        );
        assert!(http::date::parse(response.field("date").expect("a date")).is_some());
    }
    client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response(true);
    assert_eq!(response.field("content-length"), Some("14"));
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Foo, Close\r\n\r\n");
    let response = client.response(false);
    assert_eq!(response.field("connection"), Some("close"));
    assert!(
        client.rest().is_empty(),
        "nothing of the HEAD's body was there"
    );

    let mut old = server.connect();
    old.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(old.response(false).field("connection"), Some("keep-alive"));
    old.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.response(false).field("connection"), Some("close"));
    assert!(old.rest().is_empty());
}

#[test]
fn methods_and_paths_have_their_answers() {
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    for (request, status) in [
        ("GET /?a=b", 200),
        ("GET http://elsewhere/", 200),
        ("GET /nothing", 404),
        ("POST /", 405),
        ("GET /echo", 405),
        ("OPTIONS *", 204),
        ("BREW /", 405),
    ] {
        let text = format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = server.ask(&text);
        assert_eq!(response.status, status, "{request}");
        let allow = response.field("allow");
        assert_eq!(allow.is_some(), [405, 204].contains(&status), "{request}");
    }
}

#[test]
fn a_pipeline_may_be_split_at_every_byte_on_the_way() {
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none\
        POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
    let bodies: [&[u8]; 3] = [HELLO, b"one", b"two"];
    let mut client = server.connect();
    for split in 1..requests.len() {
        let (first, second) = requests.as_bytes().split_at(split);
        client.send(first);
        // Not needed for the test to pass: it makes the split likely to be seen by the server.
        thread::sleep(Duration::from_micros(500));
        client.send(second);
        for body in bodies {
            assert_eq!(client.response(false).body, body, "split at {split}");
        }
    }
}

/// A client that does not read while it writes: the server must neither lose an answer nor keep them all in memory.
#[test]
fn answers_wait_for_a_client_that_only_writes() {
    const REQUESTS: usize = 400;
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    let mut client = server.connect();
    let body = vec![b'x'; 64 * 1024];
    let mut writer = client.stream.try_clone().expect("a descriptor");
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let sent = thread::spawn(move || {
        for _ in 0..REQUESTS {
            writer.write_all(&request).expect("the server reads on");
        }
    });
    // The writer gets stuck: both directions' buffers hold less than it sends. Then this reads.
    let mut last = usize::MAX;
    until(|| {
        let rss = memory(server.pid());
        let settled = rss == last;
        last = rss;
        thread::sleep(Duration::from_millis(50));
        settled
    });
    assert!(last < 64 * 1024 * 1024, "{last} bytes for one connection");
    for _ in 0..REQUESTS {
        assert_eq!(client.response(false).body.len(), body.len());
    }
    sent.join().expect("it has sent");
}

/// Resident memory of a process.
fn memory(pid: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    let pages = statm.split_whitespace().nth(1).expect("the second field");
    pages.parse::<usize>().expect("a number") * rustix::param::page_size()
}

#[test]
fn who_is_too_slow_is_told_and_left() {
    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    let limits = ["--idle", "700", "--head", "700", "--body", "700"];
    let Some(server) = server(&limits) else {
        return;
    };

    // Silence is ended with silence.
    let mut silent = server.connect();
    assert_eq!(silent.rest(), b"");
    let mut idle = server.connect();
    idle.send(GET.as_bytes());
    assert_eq!(idle.response(false).status, 200);
    assert_eq!(idle.rest(), b"");

    // A drop now and then does not renew the time; nor does it for a body.
    for start in [
        "GET / HTTP/1.1\r\nA: ",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
    ] {
        let mut slow = server.connect();
        slow.send(start.as_bytes());
        let mut dripping = slow.stream.try_clone().expect("a descriptor");
        let drips = thread::spawn(move || {
            // Until the server has gone.
            while dripping.write_all(b"a").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        });
        let response = slow.response(false);
        assert_eq!(response.status, 408);
        assert_eq!(response.field("connection"), Some("close"));
        assert_eq!(slow.rest(), b"");
        drop(slow);
        drips.join().expect("it noticed");
    }
}

#[test]
fn who_vanishes_leaves_nothing_behind() {
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    server.ask(GET); // opens what stays open
    let before = server.settled_fds();
    let starts = [
        "",
        "GET / HT",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        GET,
    ];
    for round in 0..40 {
        for (index, start) in starts.iter().enumerate() {
            let mut client = server.connect();
            client.send(start.as_bytes());
            if (round + index) % 2 == 0 {
                // Reset instead of a proper end.
                rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO))
                    .expect("a socket");
            }
        }
    }
    until(|| server.open_fds() <= before);
    assert_eq!(server.ask(GET).status, 200);
}

#[test]
fn a_thousand_connections_are_kept() {
    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Before the server starts: it inherits this.
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("one's own limit");
    let Some(server) = server(&["--workers", "2"]) else {
        return;
    };
    let mut clients: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.send(GET.as_bytes());
        }
        for client in &mut clients {
            assert_eq!(client.response(false).body, HELLO);
        }
    }
    assert!(server.open_fds() > 1000);
}

/// The server reads on after a refusal, so that the answer is not lost to a reset while the client still sends.
#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    let field = format!("A: {}\r\n", "a".repeat(100_000));
    for (start, status) in [
        (format!("GET / HTTP/1.1\r\n{field}"), 431),
        (format!("GET /{} ", "a".repeat(100_000)), 414),
        (
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n".into(),
            413,
        ),
    ] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(start.as_bytes());
            client.send(&[b'x'; 50_000]);
            let response = client.response(false);
            assert_eq!(response.status, status);
            assert_eq!(client.rest(), b"");
        }
    }
}

#[test]
fn curl_agrees() {
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let url = format!("http://{}", server.addr);
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "50"])
            .args(arguments)
            .output()
            .expect("curl runs");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let echo = format!("{url}/echo");
    assert_eq!(curl(&[&url]), HELLO);
    assert_eq!(curl(&["--http1.0", &url, &url]), [HELLO, HELLO].concat());
    assert!(curl(&["--head", &url]).starts_with(b"HTTP/1.1 200 OK\r\n"));
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let body: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    file.write_all(&body).expect("room");
    let data = format!("@{}", file.path().display());
    // Above a mebibyte curl asks for the word to continue; below, not.
    assert_eq!(curl(&["--data-binary", &data, &echo]), body);
    let chunked = [
        "-H",
        "Transfer-Encoding: chunked",
        "--data-binary",
        &data,
        &echo,
    ];
    assert_eq!(curl(&chunked), body);
    let expecting = ["-H", "Expect: 100-continue", "--data-binary", &data, &echo];
    assert_eq!(curl(&expecting), body);
}

/// Two requests in one write, of which the first says that it is the last.
#[test]
fn nothing_is_answered_behind_the_last() {
    let _watchdog = support::watchdog();
    let Some(server) = server(&[]) else { return };
    let mut client = server.connect();
    let close = GET.replace("Host", "Connection: close\r\nHost");
    client.send(format!("{close}{GET}").as_bytes());
    assert_eq!(client.response(false).field("connection"), Some("close"));
    assert_eq!(client.rest(), b"");
    let mut one = [0];
    assert_eq!(client.stream.read(&mut one).expect("an end, no reset"), 0);
}

/// Idle connections end at once, requests in work are answered.
#[test]
fn sigterm_ends_it_in_good_order() {
    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    for workers in ["1", "2"] {
        if let Some(server) = server(&["--grace", "60000", "--workers", workers]) {
            ends_in_good_order(server);
        }
    }
}

fn ends_in_good_order(mut server: Server) {
    let mut idle: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut idle[..10] {
        client.send(GET.as_bytes());
        assert_eq!(client.response(false).status, 200);
    }
    let mut working = server.connect();
    working.send(
        b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(working.response(true).status, 100);
    working.send(b"hel");
    server.terminate();
    for client in &mut idle {
        assert_eq!(client.rest(), b"");
    }
    assert!(
        std::net::TcpStream::connect(server.addr).is_err(),
        "nobody gets in"
    );
    working.send(b"lo");
    let response = working.response(false);
    assert_eq!((response.status, response.text()), (200, "hello"));
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(working.rest(), b"");
    assert!(server.wait().success());
}

/// Who does not get on with a request is given up after the grace; a second signal would not wait for even that.
#[test]
fn sigterm_waits_for_nobody_for_ever() {
    let _watchdog = support::watchdog();
    for (grace, signals, succeeds) in [("300", 1, true), ("600000", 2, false)] {
        let Some(mut server) = server(&["--grace", grace]) else {
            return;
        };
        let mut stuck = server.connect();
        let post =
            "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        stuck.send(post.as_bytes());
        assert_eq!(stuck.response(true).status, 100);
        for _ in 0..signals {
            server.terminate();
            // The first has been seen when nobody gets in any more.
            until(|| std::net::TcpStream::connect(server.addr).is_err());
        }
        assert_eq!(server.wait().success(), succeeds);
    }
}
