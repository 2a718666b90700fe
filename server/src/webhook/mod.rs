//! Notices of BREAK GLASS, posted to an address of the operator's at once: opened, ended, reviewed.
//!
//! What there is to tell is read from the catalog, so that no notice is lost by a crash, and none is told of what did not
//! become durable. Invariant: each notice is posted until it was taken (2xx), in the order of what happened to each use;
//! one that was cut short is posted again, under the same key.

mod message;
mod section;
mod told;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lakeward_base::{Clock, Redacted};
use lakeward_catalog::{BreakGlass, Catalog};
use lakeward_engine::GlassWitness;
use lakeward_udfs::KeyRing;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub use section::{BreakGlassSection, Receiver};

use crate::error::ServerError;
use crate::layout::{DataDirectory, read_file};
use message::{Event, Message, message, signed};
use told::Told;

/// How often the catalog is looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The fewest bytes of a secret.
const SHORTEST_SECRET: usize = 16;

/// See the module.
pub struct Webhook {
    client: Client,
    receiver: Receiver,
    secret: Option<Redacted<Vec<u8>>>,
    node: String,
    keys: Arc<dyn KeyRing>,
    clock: Arc<dyn Clock>,
    catalog: Arc<Catalog>,
    told: Mutex<Told>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("required", &self.receiver.required).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Reads the files that it needs.
    ///
    /// # Errors
    /// [`ServerError`] with the file, or what is wrong with it.
    pub fn open(
        receiver: Receiver,
        (data, node): (&DataDirectory, &str),
        keys: Arc<dyn KeyRing>,
        clock: Arc<dyn Clock>,
        catalog: Arc<Catalog>,
    ) -> Result<Self, ServerError> {
        let secret = receiver.secret.as_deref().map(|path| {
            let secret = read_file(path)?.trim_ascii_end().to_vec();
            if secret.len() < SHORTEST_SECRET {
                let message = format!("{}: a secret of at least {SHORTEST_SECRET} bytes is expected", path.display());
                return Err(ServerError::Config(message));
            }
            Ok(Redacted::new(secret))
        });
        let secret = secret.transpose()?;
        let client = client(&receiver)?;
        let told = Told::open(&data.break_glass_told(), &catalog.snapshot(), clock.now())?;
        let told = Mutex::new(told);
        Ok(Self { client, receiver, secret, node: node.to_owned(), keys, clock, catalog, told })
    }

    /// Whether the glass is broken only where the notice of it was taken.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.receiver.required
    }

    /// Tells what there is to tell, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = PERIOD;
        let mut failing = false;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let all_told = self.tell_what_is_due().await;
            match (all_told, failing) {
                (true, true) => tracing::info!("notices of BREAK GLASS are taken again"),
                (false, false) => {
                    tracing::error!("a notice of BREAK GLASS was not taken; it is sent again until it is");
                }
                _ => {}
            }
            failing = !all_told;
            pause = if all_told { PERIOD } else { pause.saturating_mul(2).min(LONGEST_PAUSE) };
        }
    }

    /// False where something is left to be told.
    async fn tell_what_is_due(&self) -> bool {
        let due = self.told.lock().await.due(&self.catalog.snapshot(), self.clock.now());
        for (glass, event) in due {
            if !self.tell(&glass, event).await {
                return false;
            }
        }
        true
    }

    /// Whether a notice was taken, and that is written down.
    async fn tell(&self, glass: &BreakGlass, event: Event) -> bool {
        let Ok(notice) = message(glass, event, &self.node, self.keys.as_ref()) else { return false };
        if !self.post(notice).await {
            return false;
        }
        let noted = self.told.lock().await.note(glass.id, event);
        if let Err(error) = &noted {
            tracing::error!(%error, "what was told of BREAK GLASS cannot be written down");
        }
        noted.is_ok()
    }

    async fn post(&self, notice: Message) -> bool {
        let Message { key, body } = notice;
        let mut request = self.client.post(self.receiver.url.clone());
        request = request.header("content-type", "application/json").header("idempotency-key", key);
        if let Some(secret) = &self.secret {
            let at = self.clock.now().timestamp().to_string();
            let Some(signature) = signed(secret.expose(), &[at.as_bytes(), b".", body.as_bytes()]) else {
                return false;
            };
            request = request.header("lakeward-timestamp", at);
            request = request.header("lakeward-signature", format!("sha256={signature}"));
        }
        match request.body(body).send().await {
            Ok(answer) => answer.status().is_success(),
            // Its text may hold the address, and that a token.
            Err(_) => false,
        }
    }
}

#[async_trait]
impl GlassWitness for Webhook {
    async fn sees_opening(&self, opening: &BreakGlass) -> bool {
        self.tell(opening, Event::Opened).await
    }
}

fn client(receiver: &Receiver) -> Result<Client, ServerError> {
    let mut builder = Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy();
    if let Some(path) = &receiver.ca {
        let wrong = |_| ServerError::Config(format!("{}: not a certificate (PEM)", path.display()));
        let certificates = Certificate::from_pem_bundle(&read_file(path)?).map_err(wrong)?;
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|_| ServerError::System { what: "the HTTP client", reason: std::io::ErrorKind::Other })
}
