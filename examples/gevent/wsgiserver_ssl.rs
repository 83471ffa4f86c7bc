//! cargo run --example gevent_wsgiserver_ssl [port]
//!
//! gevent's `wsgiserver_ssl.py`: hello world over HTTPS. With a port (gevent's: 8443), serves until it is interrupted: try
//! `curl -ik https://127.0.0.1:8443/`. Without one, asks itself, after it has checked the certificate, and ends.
//!
//! | gevent | here |
//! |---|---|
//! | `keyfile=`, `certfile=` of the server | the handler makes a session of `rustls` around its stream: to `rustls` that is a stream like any other |
//! | the handshake is done in the greenlet of the connection | likewise, at the first read: a client that is slow at it keeps nobody waiting |
//! | `server.key`, `server.crt` | a certificate made at each start (`rcgen`), so that none can expire in a drawer |

#[path = "web.rs"]
mod web;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::server::StreamServer;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use web::Message;

fn hello_world(request: &Message) -> Message {
    match request.path.as_str() {
        "/" => Message::html(200, "<b>hello world</b>"),
        _ => Message::html(404, "<h1>Not Found</h1>"),
    }
}

/// The one line that makes HTTPS of HTTP.
fn handle(stream: TcpStream, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    let session = ServerConnection::new(config.clone())?;
    web::serve(StreamOwned::new(session, stream), hello_world)?;
    Ok(())
}

/// A certificate for `localhost`, signed by itself: what the server shows, and what a client must trust.
fn configs() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate)?;
    let client = ClientConfig::builder()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok((Arc::new(server), Arc::new(client)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (for_server, for_client) = configs()?;
    if let Some(port) = std::env::args().nth(1) {
        let server = StreamServer::bind(("127.0.0.1", port.parse::<u16>()?))?;
        println!("Serving on https://{}/", server.local_addr());
        server.serve_forever(move |stream, _| handle(stream, &for_server))?;
        return Ok(());
    }
    let server = StreamServer::bind("127.0.0.1:0")?;
    server.start(move |stream, _| handle(stream, &for_server))?;
    let address = server.local_addr();
    // One that connects and says nothing: its handshake never ends, and it is no hindrance.
    let silent = TcpStream::connect(address)?;

    let clients: Vec<_> = ["/", "/nothing"]
        .into_iter()
        .map(|path| {
            let config = for_client.clone();
            rustlet::spawn(move || -> io::Result<String> {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
                let stream = StreamOwned::new(session, TcpStream::connect(address)?);
                let response = web::ask(stream, "localhost", "GET", path, "")?;
                Ok(format!("{path}: {} {}", response.status, response.text()))
            })
        })
        .collect();
    for client in clients {
        println!("{}", client.join()??);
    }
    let stopped = server.stop(Duration::from_millis(200));
    println!("killed in its handshake: {}", stopped.killed);
    drop(silent);
    Ok(())
}

// Prints:
//
// /: 200 <b>hello world</b>
// /nothing: 404 <h1>Not Found</h1>
// killed in its handshake: 1
