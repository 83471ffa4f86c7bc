//! gevent's example programs, run end to end: each as it is without arguments, and the servers as their users start
//! them. Offline, in child processes.
//!
//! `cargo test` builds the examples before it runs tests; `cargo test --test gevent_examples` alone does not, so this runs
//! what is there, and says what to do if nothing is. Under an emulator they are not built ([`support::emulated`]).

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(60);

fn example(name: &str) -> Command {
    // target/debug/deps/gevent_examples-…, beside target/debug/examples
    let test = std::env::current_exe().expect("the path of this test binary");
    let profile = test.parent().and_then(|deps| deps.parent());
    let path: PathBuf = profile
        .expect("in a target directory")
        .join("examples")
        .join(format!("gevent_{name}"));
    assert!(
        path.exists(),
        "{} is not built: `cargo build --examples` first, in the same profile",
        path.display()
    );
    Command::new(path)
}

/// Runs it without arguments; what it printed, if it succeeded.
fn run(name: &str) -> Option<String> {
    if support::emulated() {
        return None;
    }
    let mut command = example(name);
    command.stdin(Stdio::null());
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(command.output()));
    let output = receive
        .recv_timeout(LIMIT * support::slowdown())
        .unwrap_or_else(|_| panic!("gevent_{name} did not end within {LIMIT:?}"))
        .expect("start it");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    Some(stdout)
}

#[track_caller]
fn assert_lines(stdout: &str, lines: &[&str]) {
    let mut rest = stdout.lines();
    for line in lines {
        assert!(
            rest.any(|this| this == *line),
            "no {line:?}, in this order, in\n{stdout}"
        );
    }
}

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts it; its first line ends with the address that the kernel chose.
    fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        if support::emulated() {
            return None;
        }
        let mut child = example(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start it");
        // The port forwarder logs to standard error.
        let stdout: Box<dyn Read + Send> = match name {
            "portforwarder" => Box::new(child.stderr.take().expect("piped")),
            _ => Box::new(child.stdout.take().expect("piped")),
        };
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next().expect("a line").expect("text");
        thread::spawn(move || lines.for_each(drop)); // lest the pipe fill
        let start = first
            .find("127.0.0.1:")
            .expect("an address in its first line");
        let end = first[start..]
            .find(['/', ' '])
            .map_or(first.len(), |at| start + at);
        let address = first[start..end].to_owned();
        Some(Server { child, address })
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        let limit = Some(LIMIT * support::slowdown());
        stream.set_read_timeout(limit).expect("set a limit");
        stream
    }

    /// One HTTP request; the response's head and body.
    fn http(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = self.connect();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}",
            self.address
        )
        .expect("it takes a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("it answers");
        response
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn concurrent_download() {
    let Some(stdout) = run("concurrent_download") else {
        return;
    };
    let page = |name: &str| stdout.find(&format!("/{name}: "));
    assert!(
        page("now") < page("soon") && page("now").is_some(),
        "{stdout}"
    );
    assert_eq!(page("slow"), None);
    assert_lines(&stdout, &["2 of 3 in two seconds"]);
}

#[test]
fn dns_mass_resolve() {
    let Some(stdout) = run("dns_mass_resolve") else {
        return;
    };
    assert!(
        stdout.contains("127.0.0.1 = 127.0.0.1\n::1 = ::1"),
        "{stdout}"
    );
    assert!(stdout.contains("localhost = "), "{stdout}");
    assert!(stdout.contains("no..name failed with "), "{stdout}");
    assert_lines(&stdout, &["finished within 2 seconds: 25/25"]);
}

#[test]
fn echoserver() {
    let Some(stdout) = run("echoserver") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            r#"client got Some("hello")"#,
            r#"client got Some("is there an echo?")"#,
            "client quit",
            "client got None",
        ],
    );
    let Some(server) = Server::start("echoserver", &["0"]) else {
        return;
    };
    let [mut one, mut two] = [(); 2].map(|()| server.connect());
    one.write_all(b"first\r\nQuit\r\n").expect("it reads");
    two.write_all(b"second").expect("it reads");
    two.shutdown(std::net::Shutdown::Write).expect("connected");
    for (stream, echo) in [(&mut one, "first"), (&mut two, "second")] {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it ends");
        assert_eq!(
            text,
            format!("Welcome to the echo server! Type quit to exit.\r\n{echo}\r\n")
        );
    }
}

#[test]
fn portforwarder() {
    let Some(stdout) = run("portforwarder") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            r#"client got "hello through the forwarder""#,
            "another client: connection refused",
            r#"client got "I am still connected""#,
            "the forwarder has ended",
        ],
    );
}

/// The first SIGTERM lets connections end; the second aborts.
#[test]
fn portforwarder_is_stopped() {
    let Some(echo) = Server::start("echoserver", &["0"]) else {
        return;
    };
    for twice in [false, true] {
        let arguments = ["127.0.0.1:0", &echo.address];
        let Some(mut forwarder) = Server::start("portforwarder", &arguments) else {
            return;
        };
        let mut stream = forwarder.connect();
        let mut greeting = [0; 48];
        stream
            .read_exact(&mut greeting)
            .expect("through the forwarder");
        forwarder.terminate();
        while TcpStream::connect(&forwarder.address).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        if twice {
            forwarder.terminate();
        } else {
            stream
                .write_all(b"still here\nquit\n")
                .expect("it is forwarded");
            let mut rest = String::new();
            stream.read_to_string(&mut rest).expect("it is answered");
            assert_eq!(rest, "still here\r\n");
            drop(stream);
        }
        let status = forwarder.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(i32::from(twice)));
    }
}

#[test]
fn processes() {
    let Some(stdout) = run("processes") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            r#"uname: "Linux\n""#,
            r#"printf: "one\ntwo\n""#,
            "sleep: job is still running",
        ],
    );
}

#[test]
fn sendfile() {
    let Some(stdout) = run("sendfile") else {
        return;
    };
    assert!(stdout.contains("sent; it had to wait: true\n"), "{stdout}");
    assert!(
        stdout.contains("received 67108864 bytes, all as they should be\n"),
        "{stdout}"
    );
}

#[test]
fn threadpool() {
    let Some(stdout) = run("threadpool") else {
        return;
    };
    // When, beside the jobs, is a matter of the machine.
    assert!(stdout.contains("a greenlet goes on: 1\n"), "{stdout}");
    assert_lines(
        &stdout,
        &[
            "a job gave 1",
            "a job gave 4",
            "a job gave 9",
            "a job gave 16",
        ],
    );
    assert!(stdout.contains("with 3 threads took "), "{stdout}");
}

#[test]
fn udp_client_and_server() {
    let Some(stdout) = run("udp_server") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            r#"127.0.0.1: got "Hello""#,
            r#"client got "Received 5 bytes""#,
            r#"client got "Received 0 bytes""#,
            r#"client got "Received 11 bytes""#,
        ],
    );
    let Some(stdout) = run("udp_client") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            r#"127.0.0.1: got "Received 5 bytes""#,
            "nobody there: connection refused",
        ],
    );
    // One with the other.
    let Some(server) = Server::start("udp_server", &["0"]) else {
        return;
    };
    let (_, port) = server.address.rsplit_once(':').expect("a port");
    let output = example("udp_client")
        .args([port, "twelve bytes"])
        .output()
        .expect("start it");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_lines(&stdout, &[r#"127.0.0.1: got "Received 12 bytes""#]);
}

#[test]
fn unixsocket_client_and_server() {
    let Some(stdout) = run("unixsocket_server") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            "/: 200 <h1>Hello, unix world</h1>",
            "/nothing: 404 <h1>Not Found</h1>",
        ],
    );
    let Some(stdout) = run("unixsocket_client") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            "received 40 bytes",
            "HTTP/1.0 200 OK",
            "Hello from a greenlet",
        ],
    );
    // One with the other, where a server before has left its file.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a file in the way"));
    let mut server = example("unixsocket_server")
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start it");
    let mut line = String::new();
    let stdout = server.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert!(line.starts_with("Serving on "), "{line}");
    let output = example("unixsocket_client").arg(&path).output();
    let output = output.expect("start it");
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("Hello, unix world"), "{stdout}");
}

#[test]
fn webchat() {
    let Some(stdout) = run("webchat") else { return };
    for name in ["Ada", "Edsger", "Grace"] {
        let [one, two] = ["hello", "is anybody there?"]
            .map(|text| format!("{name} reads \"127.0.0.1: {text}\""));
        assert_lines(&stdout, &["posting \"hello\" to 3 who wait", &one, &two]);
    }
    let Some(server) = Server::start("webchat", &["0"]) else {
        return;
    };
    assert!(server.http("GET", "/", "").contains("<title>chat</title>"));
    assert!(
        server
            .http("GET", "/nothing", "")
            .starts_with("HTTP/1.1 404 ")
    );
    thread::scope(|scope| {
        let waiting = scope.spawn(|| server.http("POST", "/a/message/updates/0", ""));
        server.http("POST", "/a/message/new", "hi");
        let news = waiting.join().expect("it got an answer");
        assert!(news.ends_with("\r\n\r\n1\n127.0.0.1: hi"), "{news}");
    });
}

#[test]
fn webproxy() {
    let Some(stdout) = run("webproxy") else {
        return;
    };
    let links = r##"200 <a href="http://PROXY/http://SITE/next">next</a> <img src='http://PROXY/http://SITE/logo.gif'> <a href="#top">top</a>"##;
    assert_lines(&stdout, &[links, "200 the next page"]);
    assert!(stdout.contains("\n502 <h1>Connection refused"), "{stdout}");

    let Some(site) = Server::start("wsgiserver", &["0"]) else {
        return;
    };
    let Some(proxy) = Server::start("webproxy", &["0"]) else {
        return;
    };
    assert!(
        proxy
            .http("GET", "/", "")
            .contains("<form action=/ method=post>")
    );
    let found = proxy.http("POST", "/", &format!("url=http%3A%2F%2F{}/", site.address));
    let to = format!(
        "location: http://{}/http://{}/\r\n",
        proxy.address, site.address
    );
    assert!(
        found.starts_with("HTTP/1.1 302 Found") && found.contains(&to),
        "{found}"
    );
    let page = proxy.http("GET", &format!("/http://{}/", site.address), "");
    assert!(page.ends_with("<b>hello world</b>"), "{page}");
    assert!(proxy.http("PUT", "/", "").starts_with("HTTP/1.1 501 "));
}

#[test]
fn webpy() {
    let Some(stdout) = run("webpy") else { return };
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(
        lines[0],
        r#"meanwhile: Hello, world!<br><a href="/long">/long</a>"#
    );
    assert_eq!(
        lines[1..],
        ["Hello, 100ms later, from request 1 of its connection"; 3]
    );
}

#[test]
fn wsgiserver() {
    let Some(stdout) = run("wsgiserver") else {
        return;
    };
    assert_eq!(
        stdout,
        "/: 200 <b>hello world</b>\n/nothing: 404 <h1>Not Found</h1>\n"
    );
    let Some(server) = Server::start("wsgiserver", &["0"]) else {
        return;
    };
    // Kept alive, and two requests at once.
    let mut stream = server.connect();
    let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream
        .write_all([request, request].concat().as_bytes())
        .expect("it reads");
    stream
        .write_all(b"GET /x HTTP/1.1\r\nconnection: close\r\n\r\n")
        .expect("it reads");
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .expect("it closes after the last");
    assert_eq!(text.matches("<b>hello world</b>").count(), 2, "{text}");
    assert!(text.ends_with("<h1>Not Found</h1>"), "{text}");
    // A head without its end, and one that is none: the connection ends, the server does not.
    for wrong in ["GET / HTTP/1.1\r\nhost", "???\r\n\r\n"] {
        let mut stream = server.connect();
        stream.write_all(wrong.as_bytes()).expect("it reads");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("connected");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    let head = server.http("HEAD", "/", "");
    assert!(
        head.contains("content-length: 18\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[test]
fn wsgiserver_ssl() {
    let Some(stdout) = run("wsgiserver_ssl") else {
        return;
    };
    assert_lines(
        &stdout,
        &[
            "/: 200 <b>hello world</b>",
            "/nothing: 404 <h1>Not Found</h1>",
            "killed in its handshake: 1",
        ],
    );
    let Some(server) = Server::start("wsgiserver_ssl", &["0"]) else {
        return;
    };
    // It is TLS that is spoken: a plain request gets no plain answer.
    let mut stream = server.connect();
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
}
