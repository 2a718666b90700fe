//! Health and metrics over HTTP, without TLS and without a login: nothing here is about anybody.
//!
//! Slow clients are dropped (`patience.rs`). Invariant: no answer holds a name, a value or a statement of a user.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lakeward_catalog::Catalog;
use lakeward_engine::Engine;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::patience::Patient;

/// How long the catalog may take to answer before the server counts as not ready.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the query threads may take to get round to a task that does nothing.
const QUERIES_TIMEOUT: Duration = Duration::from_secs(1);
/// Probes are at least this far apart, however often readiness is asked for.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// What health is read from.
pub struct Health {
    engine: Engine,
    catalog: Arc<Catalog>,
    queries: Handle,
    stopping: CancellationToken,
    /// What the last probe found, and when it ended.
    probed: Mutex<Option<(Instant, Option<&'static str>)>>,
}

impl Health {
    /// Health of a server over these; not ready once `stopping`.
    pub fn new(engine: Engine, catalog: Arc<Catalog>, queries: Handle, stopping: CancellationToken) -> Self {
        Self { engine, catalog, queries, stopping, probed: Mutex::new(None) }
    }

    /// Why statements cannot be taken now, in one word.
    async fn trouble(&self) -> Option<&'static str> {
        if self.stopping.is_cancelled() {
            return Some("draining");
        }
        if !self.engine.audit().healthy() {
            return Some("audit");
        }
        // One at a time: whoever asks meanwhile gets the same answer.
        let mut probed = self.probed.lock().await;
        match *probed {
            Some((ended, found)) if ended.elapsed() < PROBE_INTERVAL => found,
            _ => {
                let found = self.probe().await;
                *probed = Some((Instant::now(), found));
                found
            }
        }
    }

    /// Asks those who may be slow to answer.
    async fn probe(&self) -> Option<&'static str> {
        if !runs(&self.queries).await {
            return Some("queries");
        }
        match tokio::time::timeout(CATALOG_TIMEOUT, self.catalog.refresh()).await {
            Ok(Ok(_)) => None,
            Ok(Err(_)) | Err(_) => Some("catalog"),
        }
    }
}

/// Whether a runtime gets round to a task in time.
async fn runs(runtime: &Handle) -> bool {
    let task = runtime.spawn(async {});
    let abort = task.abort_handle();
    let ran = tokio::time::timeout(QUERIES_TIMEOUT, task).await;
    abort.abort();
    matches!(ran, Ok(Ok(())))
}

/// Serves until told to stop. A listener that fails is tried again by axum.
pub async fn serve(listener: TcpListener, health: Arc<Health>, stop: CancellationToken) -> Result<(), std::io::Error> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(health);
    axum::serve(Patient::new(listener), router).with_graceful_shutdown(async move { stop.cancelled().await }).await
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::runs;

    #[test]
    fn a_runtime_whose_threads_are_all_taken_does_not_run() {
        let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (network, queries) = (build(), build());
        assert!(network.block_on(runs(queries.handle())));
        let (taken, is_taken) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        queries.spawn(async move {
            taken.send(()).unwrap();
            // Blocks the only thread, as a query that never gives way does.
            let _ = released.recv();
        });
        is_taken.recv().unwrap();
        assert!(!network.block_on(runs(queries.handle())));
        drop(release);
        assert!(network.block_on(runs(queries.handle())), "and does again when one is free");
    }
}
