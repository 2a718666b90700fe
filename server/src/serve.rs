//! `lakeward serve`: opens the data directory, listens, and drains when told to stop.
//!
//! Queries run on a runtime of their own, apart from network I/O, so that a heavy query does not keep anybody from
//! connecting or cancelling. Invariant: nothing listens unless TLS, keys, catalog and audit log are in order; one
//! process at a time has the data directory.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lakeward_audit::{AuditConfig, AuditKeys, AuditLog};
use lakeward_base::{Clock, Redacted, SystemClock};
use lakeward_catalog::{Catalog, FOLLOW_PERIOD, TableStore};
use lakeward_engine::{Engine, Limits, Parts};
use serde::Serialize;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::emit;
use crate::config::{Config, ConnectionsSection, ListenAddress, Overrides};
use crate::error::ServerError;
use crate::http::{self, Health};
use crate::keys::{self, FileKeyRing};
use crate::layout::DataDirectory;
use crate::storage::OpenStorage;
use crate::tls;
use crate::webhook::Webhook;

/// How long a runtime may take to let go of its threads at the end.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves the data directory that the configuration names, until SIGTERM or SIGINT.
///
/// # Errors
/// [`ServerError`] where it cannot be served.
pub fn run(overrides: &Overrides) -> Result<(), ServerError> {
    let config = Config::load(overrides)?;
    config.data.require_initialised()?;
    let runtimes = Runtimes::build(&config)?;
    let served = runtimes.network().block_on(async {
        let doors = bind(&config)?;
        let lock = lock(&config.data)?;
        let server = Server::open(&config, runtimes.queries(), lock).await?;
        let signals = Signals::install()?;
        serve(&config, doors, server, signals).await
    });
    runtimes.stop();
    served
}

/// Network I/O and queries, each on threads of their own.
#[derive(Debug)]
pub struct Runtimes {
    network: Runtime,
    queries: Runtime,
}

/// A function that is busy with one batch does not give its thread back: there are some more than processors.
const SPARE_QUERY_THREADS: usize = 4;

impl Runtimes {
    /// Starts both.
    ///
    /// # Errors
    /// [`ServerError::System`] where threads cannot be had.
    pub fn build(config: &Config) -> Result<Self, ServerError> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let queries = match config.server.query_threads {
            0 => processors + SPARE_QUERY_THREADS,
            threads => threads as usize,
        };
        let network = config.server.network_threads.get() as usize;
        Ok(Self { network: start("lakeward-net", network)?, queries: start("lakeward-query", queries)? })
    }

    /// For listening and for what clients wait on.
    #[must_use]
    pub fn network(&self) -> &Runtime {
        &self.network
    }

    /// For queries.
    #[must_use]
    pub fn queries(&self) -> Handle {
        self.queries.handle().clone()
    }

    /// Stops both.
    pub fn stop(self) {
        self.queries.shutdown_timeout(RUNTIME_TIMEOUT);
        self.network.shutdown_timeout(RUNTIME_TIMEOUT);
    }
}

/// See [`start`].
const THREAD_STACK_BYTES: usize = 64 << 20;

fn start(name: &str, threads: usize) -> Result<Runtime, ServerError> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        // Planners recurse over a statement's tree: the limits of the parser fit this stack. Untouched pages cost nothing.
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| ServerError::System { what: "the async runtime", reason: error.kind() })
}

/// Everything but the listeners.
pub struct Server {
    engine: Engine,
    catalog: Arc<Catalog>,
    store: Arc<dyn TableStore>,
    audit: AuditLog,
    ticket_key: Redacted<[u8; 32]>,
    tls: Option<Arc<rustls::ServerConfig>>,
    queries: Handle,
    webhook: Option<Arc<Webhook>>,
    /// Held until the end: its lock keeps a second server out of the data directory.
    _lock: File,
}

impl Server {
    /// Opens the data directory, of which the caller has the [`lock`].
    ///
    /// # Errors
    /// [`ServerError`] with what is not in order.
    pub async fn open(config: &Config, queries: Handle, lock: File) -> Result<Self, ServerError> {
        let data = &config.data;
        let tls = tls::load(&config.tls)?;
        let keys = Arc::new(FileKeyRing::open(data)?);
        let ticket_key = keys::load_ticket_key(data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let storage = config.storage.open().await?;
        let catalog = open_catalog(config, &storage, Arc::clone(&clock)).await?;
        let store: Arc<dyn TableStore> = Arc::new(storage.tables()?);
        let audit_keys = keys::audit_keys(keys.as_ref(), &config.audit.node.0)?;
        let audit = open_audit(config, audit_keys, Arc::clone(&clock), &queries).await?;
        let webhook = match &config.break_glass {
            Some(receiver) => {
                let place = (data, config.audit.node.0.as_str());
                let (keys, clock) = (Arc::clone(&keys) as _, Arc::clone(&clock));
                Some(Arc::new(Webhook::open(receiver.clone(), place, keys, clock, Arc::clone(&catalog))?))
            }
            None => None,
        };
        let engine = Engine::new(Parts {
            catalog: Arc::clone(&catalog),
            store: Arc::clone(&store),
            audit: audit.clone(),
            keys,
            clock,
            managed_root_url: config.storage.managed_root_url(data)?,
            reserved_urls: config.storage.reserved_urls(data)?,
            query_runtime: queries.clone(),
            limits: Limits {
                max_sessions: config.limits.max_sessions.get(),
                memory_bytes: config.limits.memory_pool_bytes.get(),
                statement_timeout_ms: config.limits.statement_timeout_ms,
                concurrent_statements: config.limits.concurrent_statements,
                queued_statements: config.limits.queued_statements,
                queue_timeout_ms: config.limits.queue_timeout_ms,
                ..Limits::default()
            },
        })
        .map_err(|error| ServerError::part("the engine", &error))?;
        if let Some(webhook) = webhook.as_ref().filter(|webhook| webhook.is_required()) {
            engine.demand_witness(Arc::clone(webhook) as _);
        }
        Ok(Self { engine, catalog, store, audit, ticket_key, tls, queries, webhook, _lock: lock })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// The tables.
    #[must_use]
    pub fn store(&self) -> Arc<dyn TableStore> {
        Arc::clone(&self.store)
    }
}

/// Keeps other servers out of the data directory for as long as the file is open.
///
/// # Errors
/// [`ServerError::DataDirectory`] where another server has it.
pub fn lock(data: &DataDirectory) -> Result<File, ServerError> {
    let path = data.lock();
    let file = File::create(&path).map_err(|error| ServerError::file("create", &path, &error))?;
    file.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => {
            ServerError::DataDirectory(format!("{}: another lakeward serves this directory", data.root().display()))
        }
        std::fs::TryLockError::Error(error) => ServerError::file("lock", &path, &error),
    })?;
    Ok(file)
}

/// The catalog, and what keeps it up to date.
async fn open_catalog(
    config: &Config,
    storage: &OpenStorage,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Catalog>, ServerError> {
    let place = config.storage.catalog(&config.data, storage)?;
    if place.shared {
        keys::check_shared(&config.data, &place).await?;
    }
    let shared = place.shared;
    let catalog = Catalog::open(place.store, place.prefix, clock)
        .await
        .map_err(|error| ServerError::part("the catalog", &error))?;
    drop(match shared {
        true => catalog.follow_shared(FOLLOW_PERIOD, config.storage.catalog_patience),
        false => catalog.follow(FOLLOW_PERIOD),
    });
    Ok(catalog)
}

async fn open_audit(
    config: &Config,
    keys: AuditKeys,
    clock: Arc<dyn Clock>,
    queries: &Handle,
) -> Result<AuditLog, ServerError> {
    let segment_bytes = config.audit.segment_bytes.get();
    let settings = AuditConfig {
        segment_bytes,
        heads: config.heads(),
        publish_ms: config.audit.heads_period_ms.get(),
        ..AuditConfig::new(config.data.audit(), config.audit.node.0.clone(), keys)
    };
    if let Some(directory) = settings.heads.as_ref().filter(|directory| !directory.0.is_dir()) {
        return Err(ServerError::Config(format!(
            "audit.heads = {}: there is no such directory",
            directory.0.display()
        )));
    }
    let opened = queries.spawn_blocking(move || AuditLog::open(settings, clock)).await;
    let (audit, recovery) = opened
        .map_err(|_| ServerError::System { what: "the audit log", reason: std::io::ErrorKind::Other })?
        .map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the audit log cannot be opened");
            ServerError::part("the audit log", &error)
        })?;
    if recovery.first_start || recovery.clean {
        tracing::info!("{recovery}");
    } else {
        tracing::warn!("{recovery}");
    }
    Ok(audit)
}

/// The three addresses, taken but not listened on yet.
#[derive(Debug)]
pub struct Doors {
    pg: TcpSocket,
    flight: TcpSocket,
    http: TcpSocket,
    addresses: [SocketAddr; 3],
}

/// What is listened on.
struct Listeners {
    pg: TcpListener,
    flight: TcpListener,
    http: TcpListener,
}

impl Doors {
    /// Where the PostgreSQL protocol is served: the real port.
    #[must_use]
    pub fn pg_address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where Flight SQL is served.
    #[must_use]
    pub fn flight_address(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// Where health and metrics are served.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.addresses[2]
    }
}

/// Takes the three addresses, so that one that cannot be had is found out before anything is opened or written.
///
/// # Errors
/// [`ServerError::Bind`] with the one that cannot be had.
pub fn bind(config: &Config) -> Result<Doors, ServerError> {
    let (pg, pg_address) = bind_one("pg", config.listen.pg, &config.connections)?;
    let (flight, flight_address) = bind_one("flight", config.listen.flight, &config.connections)?;
    let (http, http_address) = bind_one("http", config.listen.http, &config.connections)?;
    Ok(Doors { pg, flight, http, addresses: [pg_address, flight_address, http_address] })
}

fn bind_one(
    what: &'static str,
    address: ListenAddress,
    connections: &ConnectionsSection,
) -> Result<(TcpSocket, SocketAddr), ServerError> {
    let take = || {
        let socket = if address.0.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Else the address could not be had for a minute after a restart.
        socket.set_reuseaddr(true)?;
        keep_alive(&socket, connections)?;
        socket.bind(address.0)?;
        let bound = socket.local_addr()?;
        Ok((socket, bound))
    };
    take().map_err(|error: std::io::Error| ServerError::Bind { what, address: address.0, reason: error.kind() })
}

/// TCP keepalive, which accepted connections take over from the socket that listens.
fn keep_alive(socket: &TcpSocket, connections: &ConnectionsSection) -> Result<(), std::io::Error> {
    if connections.keepalive_idle_s == 0 {
        return Ok(());
    }
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(connections.keepalive_idle_s.into()))
        .with_interval(Duration::from_secs(connections.keepalive_interval_s.get().into()))
        .with_retries(connections.keepalive_count.0.into());
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

impl Doors {
    /// Lets clients in. An address that another process took meanwhile is found out here.
    fn listen(self) -> Result<Listeners, ServerError> {
        let [pg_address, flight_address, http_address] = self.addresses;
        let open = |what, socket: TcpSocket, address| {
            socket.listen(BACKLOG).map_err(|error| ServerError::Bind { what, address, reason: error.kind() })
        };
        Ok(Listeners {
            pg: open("pg", self.pg, pg_address)?,
            flight: open("flight", self.flight, flight_address)?,
            http: open("http", self.http, http_address)?,
        })
    }
}

/// The line that says that clients can connect, and where.
#[derive(Serialize)]
struct Ready {
    event: &'static str,
    pg: SocketAddr,
    flight: SocketAddr,
    http: SocketAddr,
}

/// Serves until a signal comes, then drains and closes the audit log.
///
/// # Errors
/// [`ServerError`] where a listener fails.
pub async fn serve(config: &Config, doors: Doors, server: Server, mut signals: Signals) -> Result<(), ServerError> {
    let [pg, flight, http] = doors.addresses;
    let ready = Ready { event: "ready", pg, flight, http };
    let listeners = doors.listen()?;
    let stop = CancellationToken::new();
    let stop_http = CancellationToken::new();
    let Server { engine, catalog, store: _, audit, ticket_key, tls, queries, webhook, _lock } = server;
    let authentication_timeout_ms = config.connections.authentication_timeout_ms.get();
    let mut parts: JoinSet<Result<(), ServerError>> = JoinSet::new();
    let pg = {
        let limits =
            lakeward_pg::Limits { startup_timeout_ms: authentication_timeout_ms, ..lakeward_pg::Limits::default() };
        lakeward_pg::serve_with(listeners.pg, tls.clone(), engine.clone(), stop.clone(), limits)
    };
    parts.spawn(async move { pg.await.map_err(|error| ServerError::part("pg", &error)) });
    let flight = {
        let patience = Duration::from_millis(authentication_timeout_ms);
        lakeward_flight::serve(listeners.flight, tls, engine.clone(), ticket_key, patience, stop.clone())
    };
    parts.spawn(async move { flight.await.map_err(|error| ServerError::part("flight", &error)) });
    let health = Arc::new(Health::new(engine, catalog, queries, stop.clone()));
    let mut web = JoinSet::new();
    web.spawn(http::serve(listeners.http, health, stop_http.clone()));
    if let Some(webhook) = webhook {
        let stop = stop.clone();
        web.spawn(async move {
            webhook.run(stop).await;
            Ok(())
        });
    }
    emit(&ready);

    let outcome = tokio::select! {
        name = signals.next() => { tracing::info!(signal = name, "draining"); Ok(()) }
        ended = parts.join_next() => ended.map_or(Ok(()), |joined| joined.unwrap_or_else(|_| Err(crashed()))),
    };
    stop.cancel();
    let drained = drain(&mut parts, Duration::from_millis(config.server.drain_timeout_ms), &mut signals).await;
    stop_http.cancel();
    web.shutdown().await;
    let closed = tokio::task::spawn_blocking(move || audit.shutdown()).await;
    let closed = match closed {
        Ok(closed) => closed.map_err(|error| ServerError::part("closing the audit log", &error)),
        Err(_) => Err(crashed()),
    };
    outcome.and(drained).and(closed)
}

fn crashed() -> ServerError {
    ServerError::System { what: "a task", reason: std::io::ErrorKind::Other }
}

/// Waits for what is running; after the time-out, or a second signal, it is cancelled.
async fn drain(
    parts: &mut JoinSet<Result<(), ServerError>>,
    limit: Duration,
    signals: &mut Signals,
) -> Result<(), ServerError> {
    let all = async {
        let mut outcome = Ok(());
        while let Some(joined) = parts.join_next().await {
            outcome = outcome.and(joined.unwrap_or_else(|_| Err(crashed())));
        }
        outcome
    };
    tokio::select! {
        outcome = tokio::time::timeout(limit, all) => match outcome {
            Ok(outcome) => return outcome,
            Err(_) => tracing::warn!(limit_ms = limit.as_millis() as u64, "statements still running are cancelled"),
        },
        name = signals.next() => tracing::warn!(signal = name, "statements still running are cancelled"),
    }
    parts.shutdown().await;
    Ok(())
}

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over: from now on they do not end the process by themselves.
    ///
    /// # Errors
    /// [`ServerError::System`].
    pub fn install() -> Result<Self, ServerError> {
        let install =
            |kind| signal(kind).map_err(|error| ServerError::System { what: "signals", reason: error.kind() });
        Ok(Self { terminate: install(SignalKind::terminate())?, interrupt: install(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
