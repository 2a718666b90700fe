//! RESTORE, OPTIMIZE and VACUUM, for a table's owner.
//!
//! Invariant: a restored version comes back under today's policies; files that time travel within a week needs stay.

use std::sync::{Arc, OnceLock};

use lakeward_audit::ObjectFacts;
use lakeward_base::SqlState;
use lakeward_catalog::{Maintenance, VersionSelector};
use lakeward_govern::ResolvedTable;

use crate::error::Error;
use crate::execute::{Done, commit_note};
use crate::publish;
use crate::resolve::Resolved;
use crate::response::{Command, Notice};
use crate::statement::{Maintain, MaintainWork};
use crate::stream::Deadline;
use crate::vantage::Vantage;
use crate::version::{self, Moment};

/// Work that is ready to run.
pub(crate) struct MaintainPlan {
    target: ResolvedTable,
    work: Maintenance,
}

impl MaintainPlan {
    /// What the audit keeps of it.
    pub(crate) fn object(&self, vantage: &Vantage) -> ObjectFacts {
        let name = vantage.snapshot.qualified_name(self.target.table.id);
        ObjectFacts { name, version: i64::try_from(self.target.raw.version()).ok(), ..ObjectFacts::default() }
    }
}

/// Checks and plans.
///
/// # Errors
/// 42501 for whoever does not own the table, 22023 and 42703 for what cannot be.
pub(crate) fn plan(vantage: &Vantage, resolved: &Resolved, maintain: &Maintain) -> Result<MaintainPlan, Error> {
    let Some(target) = &resolved.target else { return Err(publish::incident("planning", "work")) };
    let (table, principal) = (&target.table, &vantage.principal);
    if !principal.superuser && !principal.effective_roles.contains(&table.owner) {
        let message = format!("must be owner of table {}", table.name);
        return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
    }
    let work = match &maintain.work {
        MaintainWork::Restore(to) => {
            let to = version::selector(to, Moment { parameters: &[], time_zone: &vantage.time_zone })?;
            if matches!(to, VersionSelector::AsOf(at) if at > vantage.session.engine().shared.parts.clock.now()) {
                let message = "that time is outside of the table's history";
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            Maintenance::Restore(to)
        }
        MaintainWork::Optimize(columns) => {
            let missing = columns.iter().find(|name| !table.columns.iter().any(|column| column.name == **name));
            if let Some(name) = missing {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
                return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
            }
            Maintenance::Optimize(columns.clone())
        }
        MaintainWork::Vacuum { retain_hours, dry_run } => {
            if retain_hours.is_some_and(|hours| hours < Maintenance::SHORTEST_RETENTION_HOURS) {
                let message = format!("VACUUM keeps at least {} hours", Maintenance::SHORTEST_RETENTION_HOURS);
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            Maintenance::Vacuum { retain_hours: *retain_hours, dry_run: *dry_run }
        }
    };
    Ok(MaintainPlan { target: target.clone(), work })
}

/// Does it.
pub(crate) async fn run(vantage: &Vantage, plan: MaintainPlan, deadline: &Deadline) -> Result<Done, Error> {
    let table = &plan.target.table;
    let store = &vantage.session.engine().shared.parts.store;
    let note = commit_note(vantage);
    // It may be stopped until it commits.
    let (gate, held) = (deadline.clone(), OnceLock::new());
    let may_commit = Arc::new(move || *held.get_or_init(|| gate.hold().is_ok()));
    let work = store.maintain(table, &plan.work, &note, may_commit);
    let files = async { work.await.map_err(|error| publish::store(&error, &table.name)) };
    let files = deadline.enforce(files).await?;
    let (tag, message) = match &plan.work {
        Maintenance::Restore(_) => ("RESTORE", None),
        Maintenance::Optimize(_) => ("OPTIMIZE", Some(format!("{files} files were rewritten"))),
        Maintenance::Vacuum { dry_run: true, .. } => ("VACUUM", Some(format!("{files} files would be deleted"))),
        Maintenance::Vacuum { dry_run: false, .. } => ("VACUUM", Some(format!("{files} files were deleted"))),
    };
    let notices = message.map(|message| Notice { severity: "NOTICE", sqlstate: SqlState::SUCCESS, message });
    let command = Command { tag: tag.to_owned(), notices: notices.into_iter().collect(), ..Command::default() };
    Ok(Done::only(command))
}
