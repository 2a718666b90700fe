//! Errors from below the barrier, reduced to an incident.
//!
//! Invariant: what is logged is an error's kind, never its text: kernels quote cell values in theirs.

use std::fmt::Display;

use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use lakeward_base::{Coded, FunctionError, IncidentId, SqlState};
use lakeward_catalog::StoreError;

use crate::error::{BarrierError, FailureKind};

/// Replaces `error` by what may cross the barrier. `table` is an identifier, or the name of a system table.
pub(crate) fn redacted(error: &DataFusionError, table: &dyn Display) -> DataFusionError {
    let root = error.find_root();
    if let DataFusionError::ResourcesExhausted(_) = root {
        return DataFusionError::ResourcesExhausted("a governed scan ran out of memory".into());
    }
    if let DataFusionError::External(inner) = root
        && let Some(own) = inner.downcast_ref::<BarrierError>()
    {
        return own.clone().into();
    }
    let (kind, cause) = classify(root);
    let incident = IncidentId::generate();
    tracing::error!(%incident, %table, cause, "governed scan failed");
    BarrierError::ScanFailed { incident, kind }.into()
}

fn classify(root: &DataFusionError) -> (FailureKind, &'static str) {
    match root {
        DataFusionError::ArrowError(error, _) => classify_arrow(error),
        DataFusionError::Execution(_) => (FailureKind::Expression, "execution"),
        DataFusionError::IoError(_) => (FailureKind::Storage, "input/output"),
        DataFusionError::ParquetError(_) => (FailureKind::Storage, "parquet"),
        DataFusionError::ObjectStore(_) => (FailureKind::Storage, "object store"),
        DataFusionError::External(error) if error.is::<FunctionError>() => (FailureKind::Expression, "function"),
        DataFusionError::External(error) => match error.downcast_ref::<StoreError>() {
            Some(store) if store.sqlstate() == SqlState::INTERNAL_ERROR => (FailureKind::Internal, "table store"),
            Some(_) => (FailureKind::Storage, "table store"),
            None => (FailureKind::Internal, "external"),
        },
        DataFusionError::Plan(_) => (FailureKind::Internal, "plan"),
        DataFusionError::SchemaError(..) => (FailureKind::Internal, "schema"),
        DataFusionError::NotImplemented(_) => (FailureKind::Internal, "not implemented"),
        DataFusionError::ExecutionJoin(_) => (FailureKind::Internal, "task"),
        _ => (FailureKind::Internal, "internal"),
    }
}

fn classify_arrow(error: &ArrowError) -> (FailureKind, &'static str) {
    match error {
        ArrowError::CastError(_) => (FailureKind::Expression, "cast"),
        ArrowError::DivideByZero => (FailureKind::Expression, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => (FailureKind::Expression, "overflow"),
        ArrowError::ComputeError(_) => (FailureKind::Expression, "compute"),
        ArrowError::ParseError(_) => (FailureKind::Expression, "parse"),
        ArrowError::InvalidArgumentError(_) => (FailureKind::Expression, "argument"),
        ArrowError::IoError(..) => (FailureKind::Storage, "input/output"),
        ArrowError::ParquetError(_) => (FailureKind::Storage, "parquet"),
        ArrowError::ExternalError(_) => (FailureKind::Internal, "external"),
        _ => (FailureKind::Internal, "arrow"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::error::ArrowError;
    use datafusion_common::DataFusionError;
    use lakeward_base::{Coded, SqlState, TableId};

    use super::redacted;
    use crate::error::BarrierError;

    fn coded(error: DataFusionError) -> (SqlState, String) {
        match redacted(&error, &TableId(1)) {
            DataFusionError::External(inner) => {
                let inner = inner.downcast::<BarrierError>().unwrap();
                (inner.sqlstate(), inner.to_string())
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn kernel_text_does_not_cross() {
        let cast = ArrowError::CastError("Cannot cast string '412-68-1073' to value of Int64 type".into());
        let wrapped = DataFusionError::Shared(Arc::new(DataFusionError::from(cast).context("scan of patients")));
        let (state, message) = coded(wrapped);
        assert_eq!(state, SqlState::INSUFFICIENT_PRIVILEGE);
        assert!(message.starts_with("governed scan failed [incident "), "{message}");
        assert!(!message.contains("412-68") && !message.contains("patients"));
    }

    #[test]
    fn kinds_decide_the_code() {
        let io = DataFusionError::IoError(std::io::Error::other("disk on fire"));
        assert_eq!(coded(io).0, SqlState::IO_ERROR);
        assert_eq!(coded(DataFusionError::Internal("bug".into())).0, SqlState::INTERNAL_ERROR);
        let store = lakeward_catalog::StoreError::Unsupported("row tracking".into());
        assert_eq!(coded(DataFusionError::External(Box::new(store))).0, SqlState::IO_ERROR);
    }

    #[test]
    fn exhausted_memory_stays_what_it_is() {
        let error = DataFusionError::ResourcesExhausted("ExternalSorter".into()).context("deep");
        assert!(
            matches!(redacted(&error, &TableId(1)), DataFusionError::ResourcesExhausted(text) if !text.contains("Sorter"))
        );
    }
}
