//! A client of hyper's on rustlet's sockets: one greenlet drives the connection, another one asks and waits.

use std::error::Error;
use std::io;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{Method, Request, Response, StatusCode, Uri};
use rustlet::net::TcpStream;
use rustlet::{Executor, HyperTimer, block_on};

type Failure = Box<dyn Error + Send + Sync>;

/// Which protocol to speak. There is no TLS here to negotiate one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// A connection that requests can be sent on, one after the other, or with HTTP/2 at the same time from clones.
pub(crate) enum Client<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

impl<B> Client<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Failure>,
{
    /// Connects to the server that `uri` names.
    pub(crate) fn connect(uri: &Uri, version: Version) -> Result<Self, Failure> {
        let host = uri.host().ok_or_else(|| unusable("no host", uri))?;
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(unusable("only http is spoken here", uri));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80)))?;
        stream.set_nodelay(true)?;
        Ok(match version {
            Version::Http1 => {
                let (sender, connection) = block_on(http1::handshake(stream))?;
                // It ends when the sender is dropped or the server closes; an error comes out of the request, too.
                rustlet::spawn(move || block_on(connection).ok());
                Client::Http1(sender)
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(Executor);
                builder.timer(HyperTimer);
                let (sender, connection) = block_on(builder.handshake(stream))?;
                rustlet::spawn(move || block_on(connection).ok());
                Client::Http2(sender)
            }
        })
    }

    /// Sends a request and waits for the head of the response.
    pub(crate) fn send(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        match self {
            Client::Http1(sender) => block_on(async {
                sender.ready().await?;
                sender.send_request(request).await
            }),
            Client::Http2(sender) => block_on(async {
                sender.ready().await?;
                sender.send_request(request).await
            }),
        }
    }

    /// As [`Client::send`], and waits for the body.
    pub(crate) fn ask(&mut self, request: Request<B>) -> Result<(StatusCode, Bytes), Failure> {
        let response = self.send(request)?;
        let status = response.status();
        let body = block_on(response.into_body().collect())?;
        Ok((status, body.to_bytes()))
    }
}

/// What the server says to a GET of `uri`.
pub(crate) fn get(uri: &Uri, version: Version) -> Result<(StatusCode, Bytes), Failure> {
    Client::connect(uri, version)?.ask(request(Method::GET, uri, version, Empty::<Bytes>::new())?)
}

/// What the server says to a POST of `body` to `uri`.
pub(crate) fn post(
    uri: &Uri,
    version: Version,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Failure> {
    Client::connect(uri, version)?.ask(request(Method::POST, uri, version, Full::new(body))?)
}

/// HTTP/1 names the path and the host apart; HTTP/2 wants the whole.
pub(crate) fn request<B>(
    method: Method,
    uri: &Uri,
    version: Version,
    body: B,
) -> Result<Request<B>, Failure> {
    let authority = uri.authority().ok_or_else(|| unusable("no host", uri))?;
    let builder = Request::builder().method(method);
    let builder = match version {
        Version::Http1 => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            builder.uri(path).header(HOST, authority.as_str())
        }
        Version::Http2 => builder.uri(uri.clone()),
    };
    Ok(builder.body(body)?)
}

fn unusable(why: &str, uri: &Uri) -> Failure {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{why}: {uri}")).into()
}
