//! The task context in which the plan inside a scan runs.
//!
//! Invariant: object stores, caches and settings are the lake's; memory and spill files are counted against the user.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_session::Session;
use parking_lot::Mutex;

use crate::access::TableDecision;
use crate::error::BarrierError;
use crate::stamp::Stamp;
use crate::subjects::{Place, Subjects, Tally};

/// Makes task contexts for one scan.
pub(crate) struct ScanContext {
    stamp: Stamp,
    config: SessionConfig,
    lake: Arc<RuntimeEnv>,
    /// The user's runtime that was seen last, and the context made for it: partitions of one execution share it.
    last: Mutex<Option<(Arc<RuntimeEnv>, Arc<TaskContext>)>>,
}

impl ScanContext {
    /// Takes settings and object stores from a privileged session.
    pub(crate) fn new(stamp: Stamp, privileged: &dyn Session) -> Self {
        Self {
            stamp,
            config: privileged.config().clone(),
            lake: Arc::clone(privileged.runtime_env()),
            last: Mutex::new(None),
        }
    }

    /// The stamp of the scan.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The privileged session's settings.
    pub(crate) fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Where an execution by the user's `context` notes the subjects that stand at `place` of its batches.
    pub(crate) fn tally(context: &TaskContext, decision: &TableDecision, place: Option<&Place>) -> Option<Tally> {
        let subjects = context.session_config().get_extension::<Subjects>()?;
        Some(Tally::new(subjects, decision, place?))
    }

    /// The inner context for an execution by the user's `context`.
    ///
    /// # Errors
    /// [`BarrierError::WrongStamp`] where the context is not that of the statement the scan was made for.
    pub(crate) fn inner(&self, context: &TaskContext) -> Result<Arc<TaskContext>> {
        require_stamp(context.session_config(), &self.stamp)?;
        let user = context.runtime_env();
        let mut last = self.last.lock();
        if let Some((seen, made)) = last.as_ref()
            && Arc::ptr_eq(seen, &user)
        {
            return Ok(Arc::clone(made));
        }
        let ids = (context.task_id(), context.session_id());
        let made = Arc::new(lake_context(ids, self.config.clone(), &self.lake, &user));
        *last = Some((user, Arc::clone(&made)));
        Ok(made)
    }
}

/// A context with the lake's object stores whose memory and spill files are the user's.
pub(crate) fn lake_context(
    (task, session): (Option<String>, String),
    config: SessionConfig,
    lake: &RuntimeEnv,
    user: &RuntimeEnv,
) -> TaskContext {
    let mut runtime = lake.clone();
    runtime.memory_pool = Arc::clone(&user.memory_pool);
    runtime.disk_manager = Arc::clone(&user.disk_manager);
    let (scalar, higher_order) = (HashMap::new(), HashMap::new());
    TaskContext::new(task, session, config, scalar, higher_order, HashMap::new(), HashMap::new(), Arc::new(runtime))
}

/// Fails unless `config` carries exactly `stamp`.
pub(crate) fn require_stamp(config: &SessionConfig, stamp: &Stamp) -> Result<()> {
    match config.get_extension::<Stamp>() {
        Some(found) if *found == *stamp => Ok(()),
        _ => Err(BarrierError::WrongStamp.into()),
    }
}

impl fmt::Debug for ScanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanContext").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}
