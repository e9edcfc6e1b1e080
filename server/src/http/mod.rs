//! HTTP: the demo, the console and the SDK, signalling, health, metrics.

mod assets;
mod calls;
mod cluster;
mod demo;
mod listener;
mod relay;
mod routing;
mod signalling;
mod tls;
mod trace;
mod websocket;
mod whip;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use tercet_protocol::ErrorCode;
use tokio::sync::{Semaphore, watch};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

pub(crate) use self::assets::has_demo;
pub(crate) use self::listener::listen;
pub(crate) use self::tls::Tls;
use crate::access::Access;
use crate::cluster::{ClusterHandle, ZoneMap};
use crate::config::Config;
use crate::control::{ControlHandle, RETRY_AFTER};
use crate::phones::Dialler;
use crate::whip::Whip;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) config: Arc<Config>,
    pub(crate) access: Arc<Access>,
    pub(crate) control: ControlHandle,
    pub(crate) metrics: PrometheusHandle,
    /// Places for WebSockets that have not joined yet.
    pub(crate) door: Arc<Semaphore>,
    /// Whether the node goes on. Whoever passes messages on listens to it, and is waited for.
    pub(crate) stop: Arc<watch::Sender<Stop>>,
    /// The other nodes, if there may be any.
    pub(crate) cluster: Option<ClusterHandle>,
    /// Which clients are in which zone.
    pub(crate) zones: Arc<ZoneMap>,
    /// Makes calls, where there are phones.
    pub(crate) dialler: Option<Dialler>,
    /// Encoders and players.
    pub(crate) whip: Whip,
}

/// How far the end of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It goes on.
    No,
    /// It takes nobody in any more, and is over by then.
    By(Instant),
    /// Whoever is still there is cut off.
    Now,
}

impl Node {
    /// Whether it takes nobody in any more.
    fn is_draining(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }
}

/// Every route of the node.
pub(crate) fn router(node: Node) -> Router {
    let cors = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(Any)
        .allow_origin(allowed_origins(&node.config));
    let sdk = Router::new().route("/sdk/{*path}", get(assets::sdk)).layer(cors);
    let signalling = Router::new()
        .route("/v1/ws", get(signalling::upgrade))
        .route("/v1/rooms/{room}/trace", get(trace::trace))
        .route("/v1/rooms/{room}/calls", post(calls::create).get(calls::list))
        .route("/v1/rooms/{room}/calls/{call}", delete(calls::delete))
        .route("/v1/rooms/{room}/phones/{participant}/transfer", post(calls::transfer))
        .route("/v1/cluster", get(cluster::describe))
        .route("/v1/demo", get(demo::describe))
        .route("/v1/demo/token", post(demo::token))
        .route_layer(from_fn_with_state(node.clone(), from_this_machine));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/console", get(assets::console))
        .route("/console/", get(assets::console_without_slash))
        .merge(signalling)
        .merge(whip::router(&node))
        .merge(sdk)
        .fallback(get(assets::demo))
        .with_state(node)
}

/// Places for WebSockets that have not joined yet.
pub(crate) fn door() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(signalling::AT_THE_DOOR_MAX))
}

/// With the development secret, lets in only what comes from pages of this machine, under a name of this
/// machine's. Loopback alone doesn't: any page that is open in a browser here reaches it, by its address or
/// by a name that resolves to it.
async fn from_this_machine(State(node): State<Node>, request: Request, next: Next) -> Response {
    if node.config.uses_dev_secret() && !names_this_machine(request.headers()) {
        let message = "with the development secret, only pages of this machine are let in: set TERCET_SECRET";
        return demo::refuse(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message);
    }
    next.run(request).await
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    header(HOST).is_some_and(|host| is_local(&format!("http://{host}")))
        && header(ORIGIN).is_none_or(is_local)
}

/// Whether a URL is one of this machine: RFC 6761, section 6.3, reserves `localhost` for it.
fn is_local(url: &str) -> bool {
    let url: Option<Uri> = url.parse().ok();
    url.as_ref().and_then(Uri::host).is_some_and(|host| {
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || host.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

fn allowed_origins(config: &Config) -> AllowOrigin {
    if config.allowed_origins.iter().any(|origin| origin == "*") {
        return AllowOrigin::any();
    }
    let origins = config.allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    AllowOrigin::list(origins)
}

/// The token of a request (RFC 6750, section 2.1); the scheme in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// For whoever sends people here: those who are here already stay, whatever it says.
async fn readyz(State(node): State<Node>) -> Response {
    if node.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    } else if node.control.is_at_limit() {
        let retry_after = [(header::RETRY_AFTER, RETRY_AFTER.as_secs().to_string())];
        (StatusCode::SERVICE_UNAVAILABLE, retry_after, "at its limit\n").into_response()
    } else if let Some(reason) = node.cluster.as_ref().and_then(ClusterHandle::not_ready) {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
    } else {
        (StatusCode::OK, "ready\n").into_response()
    }
}

async fn metrics(State(node): State<Node>) -> impl IntoResponse {
    // What was seen since the last upkeep belongs into the answer too.
    node.metrics.run_upkeep();
    ([("content-type", "text/plain; version=0.0.4")], node.metrics.render())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::sync::mpsc;

    use super::*;
    use crate::control::{self, Control};
    use crate::media::{WorkerEvent, WorkerId, WorkerPool};

    #[test]
    fn only_names_of_this_machine_are_local() {
        for url in ["http://localhost:8080", "http://127.0.0.1", "https://[::1]:1", "http://tercet.localhost"]
        {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://evil.example", "null", "", "http://127.0.0.1.evil.example", "http://192.168.0.1"]
        {
            assert!(!is_local(url), "{url}");
        }
    }

    /// The status that balancers are told, and after how many seconds to ask again.
    async fn readiness(router: &Router) -> (StatusCode, Option<String>) {
        let request = Request::builder().uri("/readyz").body(Body::empty()).expect("a request");
        let answer = TowerToHyperService::new(router.clone()).call(request).await.expect("an answer");
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        (answer.status(), retry_after.map(|seconds| seconds.to_str().expect("a number").to_owned()))
    }

    #[tokio::test]
    async fn a_node_is_not_ready_while_all_its_workers_are_strained() {
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let config = Arc::new(Config { media_udp: vec![loopback], workers: Some(1), ..Config::default() });
        let (reports, worker_events) = mpsc::channel(1);
        let pool = WorkerPool::start(&config, None, None, &reports).expect("a port is free");
        let (control, ended) =
            control::start(Control::new(config.clone(), pool.len()), pool, worker_events, None);
        let router = router(Node {
            access: Arc::new(Access::from_config(&config).expect("the development secret serves")),
            config,
            control,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            door: door(),
            stop: Arc::new(watch::Sender::new(Stop::No)),
            cluster: None,
            zones: Arc::default(),
            dialler: None,
            whip: Whip::new(),
        });
        let ready = (StatusCode::OK, None);
        assert_eq!(readiness(&router).await, ready);
        let overloaded = (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_AFTER.as_secs().to_string()));
        for (is_strained, expected) in [(true, &overloaded), (false, &ready)] {
            // As its worker reports.
            let strained = WorkerEvent::Strained { worker: WorkerId(0), is_strained };
            reports.send(strained).await.expect("the node runs");
            let told = async {
                while readiness(&router).await != *expected {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(5), told).await.expect("it is told");
        }
        drop(router);
        ended.await.expect("the node ends").stop().await;
    }
}
