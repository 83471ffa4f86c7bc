//! cargo run --release --example hyper_server -- 127.0.0.1:8080
//!
//! hyper 1 on rustlet, HTTP/1 and HTTP/2 on one port, with handlers that block:
//!
//! ```text
//! $ curl http://127.0.0.1:8080/
//! $ curl --http2-prior-knowledge http://127.0.0.1:8080/sleep?100
//! $ curl -d 'some text' http://127.0.0.1:8080/echo
//! $ curl http://127.0.0.1:8080/file
//! $ curl 'http://127.0.0.1:8080/ask?http://127.0.0.1:8080/sleep?20'    # asks itself
//! ```
//! Without an address it takes any free port. [`serve`] is what there is to see; `examples/hyper_client.rs` is the other side.

// The client's part serves `/ask` here.
#[allow(dead_code)]
#[path = "hyper/fetch.rs"]
mod fetch;
#[path = "hyper/serve.rs"]
mod serve;

use std::io;

use rustlet::net::TcpListener;

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:0"))?;
    println!("http://{}/", listener.local_addr()?);
    serve::serve(&listener)
}
