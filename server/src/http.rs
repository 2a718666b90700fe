//! Health and metrics over HTTP, without TLS and without a login: nothing here is about anybody.
//!
//! Invariant: no answer holds a name, a value or a statement of a user.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lakeward_catalog::Catalog;
use lakeward_engine::Engine;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// How long the catalog may take to answer before the server counts as not ready.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(2);

/// What health is read from.
pub struct Health {
    engine: Engine,
    catalog: Arc<Catalog>,
    stopping: CancellationToken,
}

impl Health {
    /// Health of a server over these; not ready once `stopping`.
    pub fn new(engine: Engine, catalog: Arc<Catalog>, stopping: CancellationToken) -> Self {
        Self { engine, catalog, stopping }
    }

    /// Why statements cannot be taken now, in one word.
    async fn trouble(&self) -> Option<&'static str> {
        if self.stopping.is_cancelled() {
            return Some("draining");
        }
        if !self.engine.audit().healthy() {
            return Some("audit");
        }
        match tokio::time::timeout(CATALOG_TIMEOUT, self.catalog.refresh()).await {
            Ok(Ok(_)) => None,
            Ok(Err(_)) | Err(_) => Some("catalog"),
        }
    }
}

/// Serves until told to stop. A listener that fails is tried again by axum.
pub async fn serve(listener: TcpListener, health: Arc<Health>, stop: CancellationToken) -> Result<(), std::io::Error> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(health);
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

/// The process is alive.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Statements can be run.
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    match health.trouble().await {
        None => "ready\n".into_response(),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {what}\n")).into_response(),
    }
}

/// Prometheus' text format.
async fn metrics_page(State(health): State<Arc<Health>>) -> Result<Response, Infallible> {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    Ok(match metrics::render(&health.engine, &health.catalog) {
        Ok(text) => (kind, text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    })
}
