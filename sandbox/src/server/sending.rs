//! HTTP on a connection; and how an answer travels: whole, cut, or drop by drop.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, SendError, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, http};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::reply::Reply;

const LARGEST_BODY: usize = 4 << 20;

/// The answer as it is sent.
pub(crate) type Sent = Response<BoxBody<Bytes, io::Error>>;

/// Answers the requests on a connection, until one is not answered.
pub(crate) async fn speak<A>(stream: impl AsyncRead + AsyncWrite + Unpin, answer: impl Fn(Request<Incoming>) -> A)
where
    A: Future<Output = io::Result<Sent>>,
{
    // A client that goes away is its own business.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

/// The whole body of a request.
pub(crate) async fn received(body: Incoming) -> io::Result<Bytes> {
    Ok(Limited::new(body, LARGEST_BODY).collect().await.map_err(io::Error::other)?.to_bytes())
}

/// How an answer travels.
pub(crate) enum Manner {
    Whole,
    Half,
    Drip(Duration),
}

/// The answer as it is sent.
pub(crate) fn sent(reply: Reply, manner: Manner) -> Sent {
    let length = reply.body.len();
    let bytes = Bytes::from(reply.body);
    let body = if let Manner::Whole = manner {
        Full::new(bytes).map_err(|never| match never {}).boxed()
    } else {
        let (to_client, body) = Channel::new(1);
        tokio::spawn(trickle(bytes, manner, to_client));
        body.boxed()
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_LENGTH, length.into());
    for (name, value) in reply.headers {
        // A fault's headers come from the user; one that HTTP cannot carry is left out.
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_str(&value))
        {
            headers.append(name, value);
        }
    }
    response
}

/// Sends a body as its manner is. A client that goes away ends it.
async fn trickle(bytes: Bytes, manner: Manner, mut to_client: Sender<Bytes, io::Error>) -> Result<(), SendError> {
    match manner {
        Manner::Whole => to_client.send_data(bytes).await?,
        Manner::Half => {
            to_client.send_data(bytes.slice(..bytes.len() / 2)).await?;
            // A pause lets the half leave before the connection is torn down.
            sleep(Duration::from_millis(20)).await;
            to_client.abort(io::Error::other("this fault was asked for"));
        }
        Manner::Drip(interval) => {
            for at in 0..bytes.len() {
                to_client.send_data(bytes.slice(at..=at)).await?;
                sleep(interval).await;
            }
        }
    }
    Ok(())
}
