//! HTTP: the demo and the SDK, signalling, health, metrics.

mod assets;
mod demo;
mod listener;
mod signalling;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

pub(crate) use self::listener::listen;
use crate::access::Access;
use crate::config::Config;
use crate::control::ControlHandle;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) config: Arc<Config>,
    pub(crate) access: Arc<Access>,
    pub(crate) control: ControlHandle,
    pub(crate) metrics: PrometheusHandle,
    /// Set once the node stops taking anybody in.
    pub(crate) draining: Arc<AtomicBool>,
}

/// Every route of the node.
pub(crate) fn router(node: Node) -> Router {
    let cors = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(Any)
        .allow_origin(allowed_origins(&node.config));
    let sdk = Router::new().route("/sdk/{*path}", get(assets::sdk)).layer(cors);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/ws", get(signalling::upgrade))
        .route("/v1/demo", get(demo::describe))
        .route("/v1/demo/token", post(demo::token))
        .merge(sdk)
        .fallback(get(assets::demo))
        .with_state(node)
}

fn allowed_origins(config: &Config) -> AllowOrigin {
    if config.allowed_origins.iter().any(|origin| origin == "*") {
        return AllowOrigin::any();
    }
    let origins = config.allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    AllowOrigin::list(origins)
}

async fn readyz(State(node): State<Node>) -> impl IntoResponse {
    if node.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(node): State<Node>) -> impl IntoResponse {
    // What was seen since the last upkeep belongs into the answer too.
    node.metrics.run_upkeep();
    ([("content-type", "text/plain; version=0.0.4")], node.metrics.render())
}
