//! Lakeward's protobuf messages: audit records and the audit log's files, and Flight tickets.
//!
//! The `.proto` files under `proto/proto/` are the source; `cargo xtask codegen` turns them into the committed code
//! under `src/generated/`, so that a build needs no protoc. No message implements `Debug`: records hold who did what.
//!
//! Invariant: the committed code is what the generator makes of the `.proto` files (`cargo xtask codegen --check`).

/// Version 1 of the messages.
pub mod v1 {
    include!("generated/lakeward.v1.rs");
}

pub use v1::{
    AuditDecision, AuditDisclosure, AuditHead, AuditIdentity, AuditObject, AuditParameter, AuditPhase, AuditProtocol,
    AuditRecord, AuditRecordKey, AuditRecovery, AuditSealed, AuditSegmentHeader, AuditStatement, AuditStatementText,
    SignedTicket, Ticket,
};
