//! cargo run --example gevent_webpy [port]
//!
//! gevent's `webpy.py`: a page that takes ten seconds to answer, and disturbs nobody. What a request's code knows of its
//! request is in a greenlet-local variable, as web.py's context is once it is patched. With a port (gevent's: 8088), serves
//! until it is interrupted. Without one, asks itself (a long answer takes a tenth of a second then) and ends.
//!
//! | gevent | here |
//! |---|---|
//! | `gevent.sleep(10)` in a handler | `rustlet::sleep` |
//! | `monkey.patch_all()` makes `threading.local` a greenlet's | `rustlet::local!`; std's `thread_local!` stays the thread's, which all its greenlets share |

#[path = "web.rs"]
mod web;

use std::cell::Cell;
use std::io;
use std::time::Duration;

use rustlet::server::StreamServer;
use web::Message;

rustlet::local! {
    /// How many requests have come on the connection of this greenlet.
    static REQUESTS: Cell<u32> = Cell::new(0);
}

fn application(request: &Message, long: Duration) -> Message {
    let number = REQUESTS.with(|requests| {
        requests.set(requests.get() + 1);
        requests.get()
    });
    match request.path.as_str() {
        "/" => Message::html(200, "Hello, world!<br><a href=\"/long\">/long</a>"),
        "/long" => {
            rustlet::sleep(long); // as long as one likes, without harming others
            let text = format!("Hello, {long:?} later, from request {number} of its connection");
            Message::html(200, text)
        }
        _ => Message::html(404, "Not Found"),
    }
}

fn main() -> io::Result<()> {
    if let Some(port) = std::env::args().nth(1) {
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let server = StreamServer::bind(("127.0.0.1", port))?;
        println!("Serving on http://{}/", server.local_addr());
        let long = Duration::from_secs(10);
        return server.serve_forever(move |stream, _| {
            web::serve(stream, |request| application(request, long))
        });
    }
    let long = Duration::from_millis(100);
    let server = StreamServer::bind("127.0.0.1:0")?;
    server.start(move |stream, _| web::serve(stream, |request| application(request, long)))?;
    let address = server.local_addr();
    let get =
        move |path: &str| web::fetch(&format!("http://{address}{path}")).map(|page| page.text());

    let long_ones = [(); 3].map(|()| rustlet::spawn(move || get("/long")));
    rustlet::yield_now();
    println!("meanwhile: {}", get("/")?);
    for long_one in long_ones {
        println!("{}", long_one.join().map_err(io::Error::other)??);
    }
    server.stop(Duration::from_secs(1));
    Ok(())
}

// Prints:
//
// meanwhile: Hello, world!<br><a href="/long">/long</a>
// Hello, 100ms later, from request 1 of its connection
// Hello, 100ms later, from request 1 of its connection
// Hello, 100ms later, from request 1 of its connection
