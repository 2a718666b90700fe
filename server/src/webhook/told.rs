//! Which notices have been taken, in a file of the data directory.
//!
//! What there is to tell is in the catalog's log for good; only what was told must be remembered. Invariant: a notice is
//! written down after it was taken, so that one that is cut short is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use lakeward_catalog::{BreakGlass, Snapshot};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::Event;
use crate::error::ServerError;
use crate::layout::{read_file, replace_secret};

/// See the module.
#[derive(Debug)]
pub struct Told {
    path: PathBuf,
    events: Events,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    told: BTreeMap<Uuid, BTreeSet<Event>>,
}

impl Told {
    /// What the file says. Where there is none yet, what was over before is nobody's news.
    ///
    /// # Errors
    /// [`ServerError`] where it cannot be read, or written.
    pub fn open(path: &Path, catalog: &Snapshot, now: DateTime<Utc>) -> Result<Self, ServerError> {
        if path.exists() {
            let wrong = |_| ServerError::DataDirectory(format!("{}: cannot be understood", path.display()));
            let events = serde_json::from_slice(&read_file(path)?).map_err(wrong)?;
            return Ok(Self { path: path.to_owned(), events });
        }
        let mut told = Self { path: path.to_owned(), events: Events::default() };
        for glass in catalog.break_glasses().filter(|glass| !glass.is_open(now)) {
            told.events.told.insert(glass.id, Event::of(glass, now).collect());
        }
        told.save()?;
        Ok(told)
    }

    /// What there is to tell, each in its order.
    pub fn due(&self, catalog: &Snapshot, now: DateTime<Utc>) -> Vec<(BreakGlass, Event)> {
        let untold = |glass: &BreakGlass, event: &Event| {
            self.events.told.get(&glass.id).is_none_or(|told| !told.contains(event))
        };
        let of_one = |glass: &BreakGlass| {
            let events = Event::of(glass, now).filter(|event| untold(glass, event));
            events.map(|event| (glass.clone(), event)).collect::<Vec<_>>()
        };
        catalog.break_glasses().flat_map(|glass| of_one(glass)).collect()
    }

    /// Writes down that a notice was taken.
    ///
    /// # Errors
    /// [`ServerError`] where it cannot be written.
    pub fn note(&mut self, id: Uuid, event: Event) -> Result<(), ServerError> {
        self.events.told.entry(id).or_default().insert(event);
        self.save()
    }

    fn save(&self) -> Result<(), ServerError> {
        let text = serde_json::to_vec(&self.events)
            .map_err(|_| ServerError::DataDirectory(format!("{}: cannot be written", self.path.display())))?;
        replace_secret(&self.path, &text)
    }
}
