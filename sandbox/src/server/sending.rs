//! HTTP on a connection; and how an answer travels: whole, cut, or drop by drop.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, http};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

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
    let body = match manner {
        Manner::Whole => Full::new(bytes).map_err(|never| match never {}).boxed(),
        Manner::Half => {
            // A pause lets the half leave before the connection is torn down.
            let steps = [Step::Data(bytes.slice(..length / 2)), Step::Wait(Duration::from_millis(20)), Step::Fail];
            Script::new(steps).boxed()
        }
        Manner::Drip(interval) => {
            let byte = |at| [Step::Data(bytes.slice(at..at + 1)), Step::Wait(interval)];
            Script::new((0..length).flat_map(byte)).boxed()
        }
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

enum Step {
    Data(Bytes),
    Wait(Duration),
    Fail,
}

/// A body that follows a script.
struct Script {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), waiting: None }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                if waiting.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.waiting = None;
            }
            match self.steps.pop_front() {
                Some(Step::Data(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(pause)) => self.waiting = Some(Box::pin(tokio::time::sleep(pause))),
                Some(Step::Fail) => {
                    return Poll::Ready(Some(Err(io::Error::other("this fault was asked for"))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}
