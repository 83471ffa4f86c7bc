//! cargo run --release --example file_server -- DIR --addr 127.0.0.1:8080
//!
//! Serves a directory: by sendfile, with ranges, conditions and listings that a browser shows; one greenlet a
//! connection, in blocking style.
//!
//! | module | one idea |
//! |---|---|
//! | [`args`] | the command line |
//! | [`conditions`] | tags and dates: what a client has already |
//! | [`http`] | the protocol, shared with `examples/hello_http.rs` |
//! | [`listing`] | the page of a directory |
//! | [`mime`] | media types by the ending of a name |
//! | [`page`] | HTML: the frame of every page, errors |
//! | [`path`] | what a request's path means |
//! | [`range`] | which bytes are wanted |
//! | [`send`] | parts of files, by sendfile |
//! | [`site`] | from a request to an answer |
//! | [`tree`] | opens what is below the root, and nothing else |
//!
//! ```text
//! $ curl -r 0-99 http://127.0.0.1:8080/Cargo.toml
//! $ curl -C - -O http://127.0.0.1:8080/large.iso       # goes on where a download ended
//! $ xdg-open http://127.0.0.1:8080/
//! ```

#[path = "file_server/args.rs"]
mod args;
#[path = "file_server/conditions.rs"]
mod conditions;
#[path = "hello_http/http/mod.rs"]
mod http;
#[path = "file_server/listing.rs"]
mod listing;
#[path = "file_server/mime.rs"]
mod mime;
#[path = "file_server/page.rs"]
mod page;
#[path = "file_server/path.rs"]
mod path;
#[path = "file_server/range.rs"]
mod range;
#[path = "file_server/send.rs"]
mod send;
#[path = "file_server/site.rs"]
mod site;
#[path = "file_server/tree.rs"]
mod tree;

use std::error::Error;
use std::io;
use std::sync::Arc;

use args::Args;
use http::limits::Limits;
use http::roster::Roster;
use http::server;
use rustlet::net::TcpListener;
use site::Site;
use tree::Tree;

fn serve(args: Args) -> io::Result<()> {
    let tree = Arc::new(Tree::new(&args.dir, args.hidden)?);
    let listener = TcpListener::bind(args.addr)?;
    println!(
        "{} is at http://{}",
        args.dir.display(),
        listener.local_addr()?
    );
    // Nobody sends a file server anything.
    let limits = Arc::new(Limits {
        body: 16 * 1024,
        ..Limits::default()
    });
    let site = Site { tree };
    let roster = Arc::<Roster>::default();
    server::run_until_signal(listener, roster, limits, args.grace, move || site.clone())
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(args) = args::parse()? else {
        print!("{}", args::HELP);
        return Ok(());
    };
    server::on_workers(args.workers, move || serve(args))??;
    Ok(())
}
