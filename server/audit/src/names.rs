//! The words that `system.audit` and its like have for what records hold as numbers.
//!
//! Invariant: users' queries compare with them: they stay.

use lakeward_proto::{AuditDecision, AuditPhase, AuditProtocol};
use uuid::Uuid;

pub(crate) fn uuid_text(bytes: &[u8]) -> Option<String> {
    Uuid::from_slice(bytes).ok().map(|uuid| uuid.to_string())
}

pub(crate) fn phase_name(phase: AuditPhase) -> &'static str {
    match phase {
        AuditPhase::Unspecified => "",
        AuditPhase::Received => "RECEIVED",
        AuditPhase::Begin => "BEGIN",
        AuditPhase::Progress => "PROGRESS",
        AuditPhase::End => "END",
        AuditPhase::Denied => "DENIED",
        AuditPhase::Admin => "ADMIN",
        AuditPhase::Heartbeat => "HEARTBEAT",
        AuditPhase::Recovered => "RECOVERED",
    }
}

pub(crate) fn protocol_name(protocol: AuditProtocol) -> Option<&'static str> {
    match protocol {
        AuditProtocol::Unspecified => None,
        AuditProtocol::Pg => Some("pg"),
        AuditProtocol::Flight => Some("flight"),
        AuditProtocol::Grpc => Some("grpc"),
        AuditProtocol::Http => Some("http"),
        AuditProtocol::Cli => Some("cli"),
    }
}

pub(crate) fn decision_name(decision: AuditDecision) -> Option<&'static str> {
    match decision {
        AuditDecision::Unspecified => None,
        AuditDecision::Allow => Some("allow"),
        AuditDecision::Deny => Some("deny"),
    }
}
