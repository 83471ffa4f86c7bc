//! cargo run --release --example hyper_client -- [--http2] http://127.0.0.1:8080/ http://127.0.0.1:8080/sleep?500 …
//!
//! Fetches all the addresses at the same time, by hyper 1 on rustlet: a greenlet for each, in blocking style, and one for its
//! connection. Prints the bodies in the order given.

#[allow(dead_code)] // The server's part wants more of it.
#[path = "hyper/fetch.rs"]
mod fetch;

use std::error::Error;
use std::io::{self, Write};

use hyper::Uri;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (options, addresses): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let version = match options.as_slice() {
        [] => fetch::Version::Http1,
        [option] if option == "--http2" => fetch::Version::Http2,
        _ => return Err("usage: hyper_client [--http2] URI …".into()),
    };
    let uris: Vec<Uri> = addresses
        .iter()
        .map(|a| a.parse())
        .collect::<Result<_, _>>()?;
    let greenlets: Vec<_> = uris
        .into_iter()
        .map(|uri| rustlet::spawn(move || fetch::get(&uri, version)))
        .collect();
    for greenlet in greenlets {
        let (status, body) = greenlet.join()??;
        eprintln!("{status}");
        io::stdout().write_all(&body)?;
    }
    Ok(())
}
