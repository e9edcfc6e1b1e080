//! TCP connections in, their requests to the router.
//!
//! `axum::serve` waits for ever for the head of a request. Here a connection that doesn't send one
//! is closed, so that silent connections don't use up the files that the process may open.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tracing::debug;

use super::Tls;
use crate::accept::accept;

/// How long a client may take for the head of a request, on a connection that is kept alive too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until told to stop, and then until the requests under way are answered. A connection
/// that became a WebSocket is its handler's, and not waited for.
pub(crate) async fn listen(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    mut stop: oneshot::Receiver<()>,
) {
    let (stopping, stopped) = watch::channel(());
    loop {
        let (stream, from) = tokio::select! {
            accepted = accept(&listener, "HTTP") => accepted,
            _ = &mut stop => break,
        };
        tokio::spawn(open(stream, from, tls.clone(), router.clone(), stopped.clone()));
    }
    drop((listener, stopped));
    stopping.send_replace(());
    stopping.closed().await;
}

/// Where a request came from: the client, or the last proxy before this server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender(pub(super) SocketAddr);

/// Serves a connection, after the handshake where there is TLS.
async fn open(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Tls>,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    // Signalling is small messages, one after the other: none may wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return serve(stream, from, router, stopped).await;
    };
    let sealed = tokio::select! {
        sealed = tls.accept(stream) => sealed,
        _ = stopped.changed() => return,
    };
    match sealed {
        Ok(Some(stream)) => serve(stream, from, router, stopped).await,
        Ok(None) => debug!("an authority looked whether the name is ours"),
        Err(error) => debug!(%error, "a TLS handshake"),
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    from: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Sender(from));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "an HTTP connection");
    }
}
