//! cargo run --example gevent_webproxy [port]
//!
//! gevent's `webproxy.py`: a web application that retrieves other web sites for you. With a port (gevent's: 8088), serves
//! until it is interrupted: try `http://127.0.0.1:8088/example.org/` in a browser. Without one, it is a proxy to a site of its
//! own and ends.
//!
//! | gevent | here |
//! |---|---|
//! | `urllib2.urlopen`, patched | `web::fetch`, over a stream that yields; `http://` alone |
//! | links are found by regular expressions | by looking for `href=`, `src=` and `action=` before a quote |
//! | a traceback as the page of an error | its text |

#[path = "web.rs"]
mod web;

use std::io;
use std::time::Duration;

use rustlet::server::StreamServer;
use web::Message;

const FORM: &str = "<!doctype html><title>Web Proxy - gevent example</title>
<p>Type in the address you want to visit and press Enter
<form action=/ method=post><input size=80 name=url value=\"http://example.org/\"></form>
";

fn application(request: &Message) -> Message {
    let proxy = format!("http://{}/", request.header("host").unwrap_or("localhost"));
    let path = request.path.trim_start_matches('/');
    match (request.method.as_str(), path) {
        ("GET", "") => Message::html(200, FORM),
        ("GET", path) => retrieve(path, &proxy),
        ("POST", "") => match request.text().strip_prefix("url=") {
            Some(url) => {
                Message::html(302, "").with_header("location", &(proxy + &percent_decoded(url)))
            }
            None => Message::html(404, "Not Found"),
        },
        ("POST", _) => Message::html(404, "Not Found"),
        _ => Message::html(501, "Not Implemented"),
    }
}

/// Fetches a page, in this connection's greenlet, and leads its links through the proxy.
fn retrieve(path: &str, proxy: &str) -> Message {
    let url = match path.contains("://") {
        true => path.to_owned(),
        false => format!("http://{path}"),
    };
    match web::fetch(&url) {
        Ok(page) => {
            println!("{url}: {}", page.status);
            let kind = page
                .header("content-type")
                .unwrap_or("text/html")
                .to_owned();
            let body = match kind.starts_with("text/html") {
                true => fix_links(&page.text(), proxy, &host_of(&url)).into_bytes(),
                false => page.body,
            };
            Message::new(page.status, &kind, body)
        }
        Err(error) => {
            println!("{url}: {error}");
            let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
            let (url, error) = (escape(&url), escape(&error.to_string()));
            Message::html(502, format!("<h1>{error}</h1><h2>{url}</h2>"))
        }
    }
}

/// `http://host:port`, without what follows.
fn host_of(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    url[..end].to_owned()
}

/// `<img src="/a.gif">` → `<img src="http://proxy/http://host/a.gif">`.
fn fix_links(page: &str, proxy: &str, host: &str) -> String {
    let mut fixed = String::with_capacity(page.len());
    let mut rest = page;
    let quoted = |name: &str| [format!("{name}=\""), format!("{name}='")];
    let markers = ["href", "src", "action"].map(quoted).concat();
    while let Some(end) = markers
        .iter()
        .filter_map(|marker| rest.find(marker).map(|at| at + marker.len()))
        .min()
    {
        let (before, after) = rest.split_at(end);
        fixed.push_str(before);
        if !after.starts_with('#') {
            fixed.push_str(proxy);
            let is_whole = after.starts_with("http://") || after.starts_with("https://");
            if !is_whole {
                fixed.push_str(host);
                fixed.push_str(if after.starts_with('/') { "" } else { "/" });
            }
        }
        rest = after;
    }
    fixed + rest
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.trim().as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The site behind the proxy.
fn origin(request: &Message) -> Message {
    match request.path.as_str() {
        "/" => Message::html(
            200,
            "<a href=\"/next\">next</a> <img src='logo.gif'> <a href=\"#top\">top</a>",
        ),
        "/next" => Message::new(200, "text/plain", "the next page"),
        _ => Message::html(404, "no such page"),
    }
}

fn main() -> io::Result<()> {
    if let Some(port) = std::env::args().nth(1) {
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let server = StreamServer::bind(("127.0.0.1", port))?;
        println!("Serving on http://{}/", server.local_addr());
        return server.serve_forever(|stream, _| web::serve(stream, application));
    }
    let [site, proxy] = [origin, application].map(|application| {
        let server = StreamServer::bind("127.0.0.1:0")?;
        server.start(move |stream, _| web::serve(stream, application))?;
        io::Result::Ok(server)
    });
    let (site, proxy) = (site?, proxy?);
    let (behind, before) = (site.local_addr(), proxy.local_addr());
    // Ports differ from run to run; names read better.
    let named = |text: &str| {
        text.replace(&before.to_string(), "PROXY")
            .replace(&behind.to_string(), "SITE")
    };
    let unused = rustlet::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for path in [
        format!("{behind}/"),
        format!("{behind}/next"),
        format!("{unused}/"),
    ] {
        let response = web::fetch(&format!("http://{before}/{path}"))?;
        println!("{} {}", response.status, named(&response.text()));
    }
    for server in [proxy, site] {
        server.stop(Duration::from_secs(1));
    }
    Ok(())
}

// Prints, ports aside:
//
// http://127.0.0.1:33007/: 200
// 200 <a href="http://PROXY/http://SITE/next">next</a> <img src='http://PROXY/http://SITE/logo.gif'> <a href="#top">top</a>
// http://127.0.0.1:33007/next: 200
// 200 the next page
// http://127.0.0.1:42763/: Connection refused (os error 111)
// 502 <h1>Connection refused (os error 111)</h1><h2>http://127.0.0.1:42763/</h2>
