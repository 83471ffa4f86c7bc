//! `examples/file_server`: ranges, conditions, listings, and nothing outside of the directory.
//!
//! `cargo test` builds the examples before it runs tests; `cargo test --test file_server` alone does not.

#[path = "hello_http/client.rs"]
mod client;
#[path = "file_server/listing.rs"]
mod listing;
#[path = "file_server/parts.rs"]
mod parts;
#[path = "../examples/file_server/path.rs"]
mod path;
#[path = "../examples/file_server/range.rs"]
mod range;
mod support;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use client::{Response, Server, until};
use tempfile::TempDir;

/// A tree with everything in it, its server, and the tree's directory.
struct Site {
    server: Server,
    root: TempDir,
    /// Not served.
    _outside: TempDir,
}

const TEXT: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

impl Site {
    fn start(arguments: &[&str]) -> Option<Site> {
        let (root, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let at = |name: &str| root.path().join(name);
        fs::write(at("text.txt"), TEXT).unwrap();
        let file = File::options().write(true).open(at("text.txt")).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
        fs::write(at("empty"), "").unwrap();
        fs::write(at(".hidden"), "hidden").unwrap();
        fs::create_dir_all(at("dir/deep")).unwrap();
        fs::write(at("dir/deep/index.html"), "<p>index").unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        symlink("text.txt", at("inside")).unwrap();
        symlink("deep/../..", at("dir/up")).unwrap();
        symlink(outside.path().join("secret"), at("outside")).unwrap();
        symlink(outside.path(), at("outdir")).unwrap();
        symlink("../../../../../../etc/passwd", at("relative")).unwrap();
        symlink("loop", at("loop")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), 0o600.into()).unwrap();
        let mut all = vec![root.path().to_str().unwrap()];
        all.extend(arguments);
        let server = Server::start("file_server", &all)?;
        Some(Site {
            server,
            root,
            _outside: outside,
        })
    }

    fn get(&self, path: &str) -> Response {
        self.get_with(path, "")
    }

    /// `fields`: each with its line's end.
    fn get_with(&self, path: &str, fields: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        self.server.ask(&request)
    }
}

#[test]
fn a_file_is_what_it_is() {
    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    let response = site.get("/text.txt");
    assert_eq!((response.status, response.text()), (200, TEXT));
    assert_eq!(
        response.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(
        response.field("last-modified"),
        Some("Sun, 09 Sep 2001 01:46:40 GMT")
    );
    assert_eq!(response.field("accept-ranges"), Some("bytes"));
    let head = site
        .server
        .ask("HEAD /text.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(head.field("content-length"), Some("36"));
    assert_eq!(head.field("etag"), response.field("etag"));
    assert_eq!(site.get("/empty").body, b"");
    assert_eq!(site.get("/empty").status, 200);
    assert_eq!(site.get("/dir/deep/").text(), "<p>index");

    // Files, errors and listings on one connection, together.
    let mut client = site.server.connect();
    client.send(
        b"GET /text.txt HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n\
          HEAD /text.txt HTTP/1.1\r\nHost: x\r\n\r\nGET /dir/ HTTP/1.1\r\nHost: x\r\n\r\n\
          GET /empty HTTP/1.1\r\nHost: x\r\n\r\nGET /text.txt HTTP/1.0\r\n\r\n",
    );
    assert_eq!(client.response(false).text(), TEXT);
    assert_eq!(client.response(false).status, 404);
    assert_eq!(client.response(true).status, 200);
    assert!(client.response(false).text().contains("deep/"));
    assert_eq!(client.response(false).text(), "");
    assert_eq!(client.response(false).text(), TEXT);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_range_is_a_part() {
    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    let range = |range: &str| site.get_with("/text.txt", &format!("Range: {range}\r\n"));
    for (asked, part, field) in [
        ("bytes=0-0", "0", "bytes 0-0/36"),
        ("bytes=10-12", "abc", "bytes 10-12/36"),
        ("bytes=33-", "xyz", "bytes 33-35/36"),
        ("bytes=-3", "xyz", "bytes 33-35/36"),
        ("bytes=-1000", TEXT, "bytes 0-35/36"),
        ("Bytes = 34-99999999999999999999999", "yz", "bytes 34-35/36"),
        ("bytes=100-200, 35-35", "z", "bytes 35-35/36"),
    ] {
        let response = range(asked);
        assert_eq!((response.status, response.text()), (206, part), "{asked}");
        assert_eq!(response.field("content-range"), Some(field), "{asked}");
    }
    for nothing in ["bytes=36-", "bytes=-0", "bytes=50-60,70-"] {
        let response = range(nothing);
        assert_eq!(response.status, 416, "{nothing}");
        assert_eq!(response.field("content-range"), Some("bytes */36"));
    }
    assert_eq!(site.get_with("/empty", "Range: bytes=0-\r\n").status, 416);
    for whole in [
        "bytes=",
        "bytes=3-1",
        "bytes=a-b",
        "bytes=1",
        "lines=1-2",
        "bytes=0-35,0-35",
    ] {
        let response = range(whole);
        assert_eq!((response.status, response.text()), (200, TEXT), "{whole}");
    }
    let head = "HEAD /text.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n\r\n";
    assert_eq!(site.server.ask(head).status, 200);
}

#[test]
fn several_ranges_are_several_parts() {
    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    let response = site.get_with("/text.txt", "Range: bytes=10-12,0-1,-2\r\n");
    assert_eq!(response.status, 206);
    let kind = response.field("content-type").expect("a type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("parts");
    let part = |range: &str, bytes: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/36\r\n\r\n{bytes}\r\n"
        )
    };
    let expected = [
        part("10-12", "abc"),
        part("0-1", "01"),
        part("34-35", "yz"),
        format!("--{boundary}--\r\n"),
    ];
    assert_eq!(response.text(), expected.concat());
}

#[test]
fn conditions_hold() {
    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    let response = site.get("/text.txt");
    let tag = response.field("etag").expect("a tag").to_owned();
    let (same, before, after) = (
        "Sun, 09 Sep 2001 01:46:40 GMT",
        "Sun, 09 Sep 2001 01:46:39 GMT",
        "Sunday, 09-Sep-01 01:46:41 GMT",
    );
    for (status, fields) in [
        (304, format!("If-None-Match: {tag}")),
        (304, format!("If-None-Match: \"x\", W/{tag}")),
        (304, "If-None-Match: *".into()),
        (200, "If-None-Match: \"x\"".into()),
        (304, format!("If-Modified-Since: {same}")),
        (304, format!("If-Modified-Since: {after}")),
        (200, format!("If-Modified-Since: {before}")),
        (200, "If-Modified-Since: yesterday".into()),
        // The tag says more than the date.
        (
            200,
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {same}"),
        ),
        (200, format!("If-Match: {tag}")),
        (412, format!("If-Match: W/{tag}")),
        (412, "If-Match: \"x\"".into()),
        (200, format!("If-Unmodified-Since: {same}")),
        (412, format!("If-Unmodified-Since: {before}")),
        (206, format!("Range: bytes=0-1\r\nIf-Range: {tag}")),
        (206, format!("Range: bytes=0-1\r\nIf-Range: {same}")),
        (200, "Range: bytes=0-1\r\nIf-Range: \"x\"".into()),
        (200, format!("Range: bytes=0-1\r\nIf-Range: {after}")),
        (304, format!("Range: bytes=0-1\r\nIf-None-Match: {tag}")),
    ] {
        let response = site.get_with("/text.txt", &format!("{fields}\r\n"));
        assert_eq!(response.status, status, "{fields}");
        if status == 304 {
            assert_eq!(response.field("etag"), Some(&*tag));
            assert!(response.body.is_empty());
        }
    }
    // Another content of the same length, in the same second.
    fs::write(site.root.path().join("text.txt"), TEXT.to_uppercase()).unwrap();
    let changed = site.get_with("/text.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(
        (changed.status, changed.text()),
        (200, &*TEXT.to_uppercase())
    );
}

#[test]
fn nothing_outside_is_served() {
    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    for (status, path) in [
        (403, "/../secret"),
        (403, "/dir/../text.txt"),
        (403, "/%2e%2e/secret"),
        (403, "/.%2E/secret"),
        (403, "/./text.txt"),
        (403, "/dir/deep/.."),
        (404, "/..%2fsecret"),
        (404, "/dir%2Fdeep"),
        (404, "/%2Fetc%2Fpasswd"),
        (404, "//etc/passwd"),
        (404, "/etc/passwd"),
        (400, "/text.txt%00"),
        (400, "/%zz"),
        (400, "/%2"),
        (403, "/outside"),
        (403, "/outdir"),
        (403, "/outdir/secret"),
        (403, "/relative"),
        (403, "/loop"),
        (403, "/pipe"),
        (404, "/.hidden"),
        (404, "/nothing"),
        (404, "/text.txt/"),
        (404, "/text.txt/more"),
        (200, "/inside"),
        (200, "/dir/up/text.txt"),
        (200, "//text.txt"),
        (200, "/%74ext.txt?query"),
    ] {
        let response = site.get(path);
        assert_eq!(response.status, status, "{path}");
        assert!(!response.text().contains("secret"), "{path}");
        assert!(!response.text().contains("root:"), "{path}");
    }
    let long = format!("/{}", "a".repeat(5000));
    assert_eq!(site.get(&long).status, 404);
    for method in ["POST", "PUT", "DELETE", "TRACE", "BREW"] {
        let request = format!("{method} /text.txt HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = site.server.ask(&request);
        assert_eq!(response.status, 405);
        assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
    }
    let redirect = site.get("//dir");
    assert_eq!(redirect.status, 301);
    assert_eq!(
        redirect.field("location"),
        Some("/dir/"),
        "no host of that name"
    );

    let Some(open) = Site::start(&["--hidden"]) else {
        return;
    };
    assert_eq!(open.get("/.hidden").text(), "hidden");
    assert_eq!(open.get("/..").status, 403);
}

/// Root may read everything, so that this proves something only for others.
#[test]
fn what_may_not_be_read_is_forbidden() {
    use std::os::unix::fs::PermissionsExt;

    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    let path = site.root.path().join("closed");
    fs::write(&path, "closed").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let status = match File::open(&path) {
        Ok(_) => 200,
        Err(_) => 403,
    };
    assert_eq!(site.get("/closed").status, status);
}

/// Bytes that no block of repeats itself, so that a wrong offset shows.
fn large(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn downloads_go_on_side_by_side() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    let Some(site) = Site::start(&["--workers", "2"]) else {
        return;
    };
    let bytes = large(100 * 1024 * 1024);
    fs::write(site.root.path().join("large"), &bytes).unwrap();

    // One that takes nothing while others go on, and one that leaves in the middle.
    let mut stuck = site.server.connect();
    stuck.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut leaves = site.server.connect();
    leaves.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    drop(leaves);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(site.get("/large").body == bytes, "all as it should be"));
        }
        scope.spawn(|| {
            let part = site.get_with("/large", "Range: bytes=1234567-98765432\r\n");
            assert!(part.body == bytes[1_234_567..=98_765_432]);
        });
        scope.spawn(|| {
            for _ in 0..20 {
                assert_eq!(site.get("/text.txt").text(), TEXT);
            }
        });
    });
    assert!(
        stuck.response(false).body == bytes,
        "and in the end it has all"
    );
}

#[test]
fn a_file_that_shrinks_ends_the_connection() {
    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    let path = site.root.path().join("shrinks");
    fs::write(&path, large(64 * 1024 * 1024)).unwrap();
    site.get("/"); // on the blocking pool, which opens what it needs
    let before = site.server.settled_fds();
    let mut client = site.server.connect();
    client.send(b"GET /shrinks HTTP/1.1\r\nHost: x\r\n\r\n");
    // The answer has begun, so its length is decided; and the buffers are full: nobody reads.
    client.stream.peek(&mut [0]).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1000).unwrap();
    let rest = client.rest();
    let (response, head) = client::parse(&rest).expect("a head");
    assert_eq!(response.field("content-length"), Some("67108864"));
    assert!(rest.len() - head < 67_108_864);
    until(|| site.server.open_fds() <= before);
}

#[test]
fn curl_continues_a_download() {
    let _watchdog = support::watchdog();
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let Some(site) = Site::start(&[]) else { return };
    let bytes = large(3_000_000);
    fs::write(site.root.path().join("file"), &bytes).unwrap();
    let target = site.root.path().join("target");
    fs::write(&target, &bytes[..1_234_567]).unwrap();
    let url = format!("http://{}/file", site.server.addr);
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "50"])
            .args(arguments)
            .output()
            .expect("curl runs");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    curl(&["-C", "-", "-o", target.to_str().unwrap(), &url]);
    assert!(fs::read(&target).unwrap() == bytes);
    assert_eq!(curl(&["-r", "5-9", &url]), bytes[5..=9]);
    assert_eq!(curl(&["-r", "-7", &url]), bytes[bytes.len() - 7..]);
    // -z: If-Modified-Since of the file that is there.
    let again = curl(&["-z", target.to_str().unwrap(), "-w", "%{http_code}", &url]);
    assert_eq!(again, b"304");
}
