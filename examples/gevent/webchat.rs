//! cargo run --example gevent_webchat [port]
//!
//! gevent's `webchat`: a chat in which browsers ask for news, and their requests wait until there is some (long polling). Any
//! number of them wait for one event; who posts a message sets it and clears it at once, which wakes all that waited. With a
//! port (8000, say), serves until it is interrupted; open two browser windows. Without one, three listeners and a speaker chat
//! for a moment.
//!
//! | gevent | here |
//! |---|---|
//! | a Django application, run by gevent's WSGI server | functions behind `web::serve` (`web.rs` beside this file) |
//! | `new_message_event.set(); new_message_event.clear()` | the same: an `Event` wakes all that waited before |
//! | module globals | a struct that the handlers share: an `Rc<RefCell>` does, as all of them run on one thread |
//! | the cursor is in a session cookie | it is in the request's path, `/a/message/updates/CURSOR` |

#[path = "web.rs"]
mod web;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustlet::server::StreamServer;
use rustlet::sync::Event;
use web::Message;

/// No more messages than these are kept.
const CACHE: usize = 200;

const PAGE: &str = r#"<!doctype html><title>chat</title><div id=all></div>
<form onsubmit="fetch('/a/message/new', {method: 'POST', body: say.value}); say.value = ''; return false">
<input id=say size=60 autofocus></form>
<script>
const listen = async cursor => {
  const lines = (await (await fetch('/a/message/updates/' + cursor, {method: 'POST'})).text()).split('\n');
  const next = lines.shift();
  for (const line of lines) all.append(line, document.createElement('br'));
  listen(next);
};
listen(0);
</script>
"#;

#[derive(Default)]
struct Room {
    /// The number of the next message.
    next: usize,
    messages: VecDeque<(usize, String)>,
}

impl Room {
    fn add(&mut self, text: String) {
        self.messages.push_back((self.next, text));
        self.next += 1;
        if self.messages.len() > CACHE {
            self.messages.pop_front();
        }
    }

    /// The next cursor, and below it the messages since this one.
    fn since(&self, cursor: usize) -> String {
        let new = self.messages.iter().filter(|(number, _)| *number >= cursor);
        new.fold(self.next.to_string(), |all, (_, text)| all + "\n" + text)
    }
}

#[derive(Default)]
struct Chat {
    room: RefCell<Room>,
    new_message: Event,
}

impl Chat {
    fn application(&self, from: &str, request: &Message) -> Message {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => Message::html(200, PAGE),
            ("POST", "/a/message/new") => {
                let text = format!("{from}: {}", request.text().replace('\n', " "));
                self.room.borrow_mut().add(text);
                self.new_message.set();
                self.new_message.clear();
                Message::new(200, "text/plain", "")
            }
            ("POST", path) => match path.strip_prefix("/a/message/updates/").map(str::parse) {
                Some(Ok(cursor)) => {
                    Message::new(200, "text/plain; charset=utf-8", self.updates(cursor))
                }
                _ => Message::html(404, "Not Found"),
            },
            _ => Message::html(404, "Not Found"),
        }
    }

    /// Waits for something new, if there is nothing yet. (The borrow has ended before it waits.)
    fn updates(&self, cursor: usize) -> String {
        while self.room.borrow().next <= cursor {
            self.new_message.wait();
        }
        self.room.borrow().since(cursor)
    }
}

fn serving(address: &str) -> io::Result<StreamServer> {
    let chat = Rc::new(Chat::default());
    let server = StreamServer::bind(address)?;
    server.start(move |stream, peer| {
        let from = peer.ip().to_string();
        web::serve(stream, |request| chat.application(&from, request))
    })?;
    Ok(server)
}

fn main() -> io::Result<()> {
    if let Some(port) = std::env::args().nth(1) {
        let server = serving(&format!("127.0.0.1:{port}"))?;
        println!("Serving on http://{}/", server.local_addr());
        return server.wait();
    }
    let server = serving("127.0.0.1:0")?;
    let address = server.local_addr();
    let post = move |path: String, body: &str| {
        let stream = rustlet::net::TcpStream::connect(address)?;
        web::ask(stream, "localhost", "POST", &path, body).map(|response| response.text())
    };

    let listeners = ["Ada", "Edsger", "Grace"].map(|name| {
        rustlet::spawn(move || -> io::Result<()> {
            let mut cursor = 0;
            while cursor < 2 {
                let news = post(format!("/a/message/updates/{cursor}"), "")?;
                let (next, texts) = news.split_once('\n').unwrap_or((&news, ""));
                println!("{name} reads {texts:?}");
                cursor = next.parse().map_err(io::Error::other)?;
            }
            Ok(())
        })
    });
    for text in ["hello", "is anybody there?"] {
        rustlet::sleep(Duration::from_millis(50));
        println!("posting {text:?} to {} who wait", server.connections());
        post("/a/message/new".to_owned(), text)?;
    }
    for listener in listeners {
        listener.join().map_err(io::Error::other)??;
    }
    server.stop(Duration::from_secs(1));
    Ok(())
}

// Prints:
//
// posting "hello" to 3 who wait
// Ada reads "127.0.0.1: hello"
// Edsger reads "127.0.0.1: hello"
// Grace reads "127.0.0.1: hello"
// posting "is anybody there?" to 3 who wait
// Ada reads "127.0.0.1: is anybody there?"
// Edsger reads "127.0.0.1: is anybody there?"
// Grace reads "127.0.0.1: is anybody there?"
