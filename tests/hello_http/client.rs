//! The other end: an example server as a child process, and a plain blocking client that keeps the server to the letter.
//!
//! Shared by the tests of both HTTP examples, each of which uses a part. Nothing here uses the library.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::support;

/// How long a client waits for anything: to fail, not to measure.
const PATIENCE: Duration = Duration::from_secs(50);

/// An example that serves until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts the example `name`; `None` under an emulator, where examples are not built.
    ///
    /// The last word of its first line is its URL.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Option<Server> {
        if support::emulated() {
            return None;
        }
        // target/debug/deps/hello_http-…, beside target/debug/examples
        let test = std::env::current_exe().expect("the path of this test binary");
        let profile = test.parent().and_then(|deps| deps.parent());
        let path: PathBuf = profile
            .expect("in a target directory")
            .join("examples")
            .join(name);
        assert!(
            path.exists(),
            "{} is not built: `cargo build --examples` first, in the same profile",
            path.display()
        );
        let mut child = Command::new(path)
            .args(["--addr", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the server");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the server says where it is");
        let addr = line.trim().rsplit("http://").next();
        let addr = addr.and_then(|addr| addr.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("no address in {line:?}"));
        Some(Server { child, addr })
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Response {
        let mut client = self.connect();
        client.send(request.as_bytes());
        client.response(request.starts_with("HEAD "))
    }

    /// Open descriptors of the server.
    pub(crate) fn open_fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("the server runs")
            .count()
    }

    /// The same, when connections that have ended are gone and what the first of them opened for all is there.
    pub(crate) fn settled_fds(&self) -> usize {
        let (mut fds, mut times) = (self.open_fds(), 0);
        until(|| {
            let now = self.open_fds();
            times = if now == fds { times + 1 } else { 0 };
            fds = now;
            times == 20
        });
        fds
    }

    /// Asks it to end, as `kill` does.
    pub(crate) fn terminate(&self) {
        use rustix::process::{Pid, Signal, kill_process};

        let pid = Pid::from_raw(self.child.id() as i32).expect("a process");
        kill_process(pid, Signal::TERM).expect("it runs");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the server's own end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is a child")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(this, _)| this.eq_ignore_ascii_case(name))?;
        Some(&field.1)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).expect("connect");
        let patience = PATIENCE * support::slowdown();
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        stream.set_write_timeout(Some(patience)).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        Client {
            stream,
            input: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// The next answer; that to a `HEAD` has no body, whatever its length says.
    pub(crate) fn response(&mut self, head_only: bool) -> Response {
        let (mut response, head) = loop {
            if let Some(parsed) = parse(&self.input) {
                break parsed;
            }
            assert!(self.more(), "the end, after {:?}", self.text());
        };
        let length = match response.field("content-length") {
            Some(length) if !head_only => length.parse().expect("a length"),
            _ => 0,
        };
        while self.input.len() < head + length {
            assert!(self.more(), "the end within a body");
        }
        response.body = self.input[head..head + length].to_vec();
        self.input.drain(..head + length);
        response
    }

    /// Waits for the server's end of the connection; what came before it.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.input)
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let read = self
            .stream
            .read(&mut buffer)
            .expect("an answer, or the end");
        self.input.extend_from_slice(&buffer[..read]);
        read > 0
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.input).into_owned()
    }
}

/// The head that `input` begins with, and its length.
pub(crate) fn parse(input: &[u8]) -> Option<(Response, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let status = head.parse(input).expect("an answer in HTTP");
    let httparse::Status::Complete(length) = status else {
        return None;
    };
    let fields = head.headers.iter().map(|field| {
        let value = std::str::from_utf8(field.value).expect("text");
        (field.name.to_owned(), value.to_owned())
    });
    let response = Response {
        status: head.code.expect("complete"),
        fields: fields.collect(),
        body: Vec::new(),
    };
    Some((response, length))
}

/// Waits until `is_so`, for as long as a watchdog lets it.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(5));
    }
}
