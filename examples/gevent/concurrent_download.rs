//! cargo run --example gevent_concurrent_download [http://host/ …]
//!
//! gevent's `concurrent_download.py`: spawns a worker for each URL, and waits for all of them, but no longer than two
//! seconds. Without arguments it downloads from a server of its own, which has a page that takes too long.
//!
//! | gevent | here |
//! |---|---|
//! | `monkey.patch_all()`, `urlopen` | `rustlet::net`, and an HTTP client written on it as on `std::net` |
//! | `jobs = [gevent.spawn(…) for …]` | the same, as an iterator |
//! | `gevent.joinall(jobs, timeout=2)` | `wait(&jobs, Some(two seconds), None)` |

#[path = "web.rs"]
mod web;

use std::io;
use std::time::Duration;

use rustlet::server::StreamServer;
use rustlet::{spawn, wait};
use web::Message;

fn print_head(url: &str) {
    println!("Starting {url}");
    match web::fetch(url) {
        Ok(page) => {
            let head: String = page.text().chars().take(50).collect();
            println!("{url}: {} bytes: {head:?}", page.body.len());
        }
        Err(error) => println!("{url}: {error}"),
    }
}

/// Three pages, and one that does not come.
fn site(request: &Message) -> Message {
    match request.path.as_str() {
        "/slow" => rustlet::sleep(Duration::from_secs(3600)),
        "/soon" => rustlet::sleep(Duration::from_millis(100)),
        _ => {}
    }
    Message::html(200, format!("<h1>{}</h1>", request.path).repeat(50))
}

fn main() -> io::Result<()> {
    let mut urls: Vec<_> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        let server = StreamServer::bind("127.0.0.1:0")?;
        let address = server.local_addr();
        server.start(|stream, _| web::serve(stream, site))?;
        urls = Vec::from(["soon", "slow", "now"].map(|page| format!("http://{address}/{page}")));
    }

    let jobs: Vec<_> = urls
        .into_iter()
        .map(|url| spawn(move || print_head(&url)))
        .collect();
    let done = wait(&jobs, Some(Duration::from_secs(2)), None);
    println!("{} of {} in two seconds", done.len(), jobs.len());
    Ok(())
}

// Prints (the port differs):
//
// Starting http://127.0.0.1:43210/soon
// Starting http://127.0.0.1:43210/slow
// Starting http://127.0.0.1:43210/now
// http://127.0.0.1:43210/now: 650 bytes: "<h1>/now</h1><h1>/now</h1><h1>/now</h1><h1>/now</h"
// http://127.0.0.1:43210/soon: 700 bytes: "<h1>/soon</h1><h1>/soon</h1><h1>/soon</h1><h1>/soo"
// 2 of 3 in two seconds
