//! Why the listener stopped.

use lakeward_base::{Coded, SqlState};
use thiserror::Error;

/// An error of the listener as a whole; errors of calls go to their clients.
#[derive(Debug, Error)]
pub enum FlightError {
    /// The transport failed.
    #[error("the Flight SQL listener failed")]
    Transport(#[source] tonic::transport::Error),
}

impl Coded for FlightError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Transport(_) => SqlState::CONNECTION_FAILURE,
        }
    }
}
