//! Making a change of the catalog: permissions, the change itself, the files that go with it.
//!
//! Invariants: the edit of the catalog looks everything up, and checks every permission, in the draft that it changes; a
//! file is made before the entry that names it, and removed after the entry is gone.

mod actor;
mod column;
mod comment;
mod default_privileges;
mod dependent;
mod grant;
mod mask;
mod membership;
mod mention;
mod policy;
mod policy_test;
mod role;
mod schema;
mod subject;
mod table;
mod tag;
#[cfg(test)]
mod tests;
mod view;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::sql::sqlparser::ast;
use lakeward_base::{Coded, SqlState};
use lakeward_catalog::{
    Catalog, CatalogError, CommitNote, Draft, MaskingPolicy, ObjectKind, PolicyRead, RowPolicy, Snapshot, Table,
    TableStore,
};
use lakeward_govern::Principal;

use super::Ddl;
use crate::error::Error;
use crate::response::{Command, Notice};
use crate::statement::Name;

use actor::Actor;
pub(crate) use table::{Created, Creation, Derivation, create_table, existing_table, undo_create};

/// What a change of the catalog needs from the session that asks for it.
#[derive(Clone)]
pub(crate) struct DdlContext<'a> {
    /// The catalog.
    pub(crate) catalog: &'a Catalog,
    /// Where tables are made and removed.
    pub(crate) store: &'a dyn TableStore,
    /// Who asks.
    pub(crate) principal: &'a Principal,
    /// Schemas in which names without one are looked for; new relations go into the first that exists.
    pub(crate) search_path: &'a [String],
    /// Below which managed tables lie: an absolute URL.
    pub(crate) managed_root_url: &'a str,
    /// Where no table may be: absolute URLs that end with a slash.
    pub(crate) reserved_urls: &'a [String],
    /// What commits of Delta say.
    pub(crate) note: CommitNote,
    /// The planner's judgement of views and expressions.
    pub(crate) validator: &'a dyn DdlValidator,
    /// FORCE: policy tests are not asked.
    pub(crate) force: bool,
}

/// What only the planner can check.
#[async_trait]
pub(crate) trait DdlValidator: Send + Sync {
    /// The columns of a view over `query`: names and SQL types.
    ///
    /// # Errors
    /// The planner's: unknown names, missing privileges of the view's owner-to-be.
    async fn view_columns(&self, query: &ast::Query) -> Result<Vec<(String, String)>, Error>;

    /// Checks that `sql` is a boolean expression over a row of `table`, and answers which tables its subqueries read:
    /// those that its names stand for now, or those that the policy it stands in has them `bound` to.
    ///
    /// # Errors
    /// 42703, 42883, 42804 and their like; 42501 for a table that the one who asks may not read all of.
    async fn check_policy(&self, table: &Table, sql: &str, bound: Option<&RowPolicy>)
    -> Result<Vec<PolicyRead>, Error>;

    /// Checks that the body is an expression over the parameters, of the type that the policy returns.
    ///
    /// # Errors
    /// 42703, 42883, 42804 and their like.
    async fn check_mask(&self, policy: &MaskingPolicy) -> Result<(), Error>;

    /// The first policy test that passes under `base` and fails under `proposed`: its name, and why.
    async fn broken_test(&self, base: &Arc<Snapshot>, proposed: &Arc<Snapshot>) -> Option<(String, String)>;
}

impl fmt::Debug for DdlContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DdlContext").field("principal", &self.principal.current_user).finish_non_exhaustive()
    }
}

/// How often a change of policies is tested again because the catalog has changed meanwhile.
const ATTEMPTS: usize = 20;

/// What an edit answers: its notices.
type Edited = Result<Vec<Notice>, CatalogError>;

impl DdlContext<'_> {
    /// Runs `edit` over the newest catalog, with the one who asks as that catalog knows them.
    async fn change<T>(
        &self,
        edit: impl Fn(&mut Draft, &Actor) -> Result<T, CatalogError>,
    ) -> Result<(T, Arc<Snapshot>), Error> {
        let role = self.principal.current_role;
        let outcome = self.catalog.change(&self.principal.session_user, |draft| {
            let actor = Actor::of(draft, role, &self.principal.session_user)?;
            edit(draft, &actor)
        });
        outcome.await.map_err(|error| Error::from_coded(&error))
    }

    /// The one who asks, for checks ahead of an edit.
    fn actor(&self, snapshot: &Snapshot) -> Result<Actor, Error> {
        Actor::of(snapshot, self.principal.current_role, &self.principal.session_user)
            .map_err(|error| Error::from_coded(&error))
    }

    /// The same for a change of policies: the policy tests are run over what it would make of the catalog, and it is
    /// committed on top of just the catalog that they were run over.
    async fn policy_command(&self, tag: &str, edit: impl Fn(&mut Draft, &Actor) -> Edited) -> Result<Command, Error> {
        for _ in 0..ATTEMPTS {
            let base = self.catalog.refresh().await.map_err(|error| coded(&error))?;
            if !self.force {
                self.run_tests(&base, &edit).await?;
            }
            let (changed, _) = self
                .change(|draft, acting| {
                    let tested = self.force || draft.epoch() == base.epoch() || draft.policy_tests().next().is_none();
                    if tested { edit(draft, acting).map(Some) } else { Ok(None) }
                })
                .await?;
            if let Some(notices) = changed {
                return Ok(command(tag, notices));
            }
        }
        Err(policy_test::contended())
    }

    async fn run_tests(&self, base: &Arc<Snapshot>, edit: &impl Fn(&mut Draft, &Actor) -> Edited) -> Result<(), Error> {
        if base.policy_tests().next().is_none() {
            return Ok(());
        }
        let acting = self.actor(base)?;
        let mut draft = Draft::new(base);
        edit(&mut draft, &acting).map_err(|error| coded(&error))?;
        let proposed = Arc::new(draft.into_snapshot());
        match self.validator.broken_test(base, &proposed).await {
            Some((test, detail)) => Err(policy_test::broken(&test, &detail)),
            None => Ok(()),
        }
    }

    async fn command(&self, tag: &str, edit: impl Fn(&mut Draft, &Actor) -> Edited) -> Result<Command, Error> {
        let (notices, _) = self.change(edit).await?;
        Ok(command(tag, notices))
    }
}

/// Makes a change of the catalog.
///
/// # Errors
/// 42501 without the permission, else what the catalog, the table store and the planner say.
pub(crate) async fn execute(context: &DdlContext<'_>, ddl: &Ddl) -> Result<Command, Error> {
    match ddl {
        Ddl::CreateRole(create) => role::create(context, create).await,
        Ddl::AlterRole(alter) => role::alter(context, alter).await,
        Ddl::RenameRole { role, to } => role::rename(context, role, to).await,
        Ddl::SetAttribute { role, name, value } => role::set_attribute(context, role, name, value.as_ref()).await,
        Ddl::RoleSetting { role, name, value } => role::set(context, role, name.as_deref(), value.as_deref()).await,
        Ddl::AllowedPurposes { role, purposes } => role::set_purposes(context, role, purposes.as_deref()).await,
        Ddl::ReassignOwned { from, to } => role::reassign(context, from, to).await,
        Ddl::DropOwned(roles) => role::drop_owned(context, roles).await,
        Ddl::Comment { on, text } => comment::set(context, on, text.as_ref()).await,
        Ddl::MoveRelation { relation, if_exists, is_view, to } => {
            view::move_to(context, relation, *if_exists, *is_view, to).await
        }
        Ddl::ChangeSchemaOwner { schema, to } => schema::change_owner(context, schema, to).await,
        Ddl::DropRole(drop) => role::drop(context, drop).await,
        Ddl::Membership(membership) => membership::change(context, membership).await,
        Ddl::Privileges(privileges) => grant::privileges(context, privileges).await,
        Ddl::DefaultPrivileges(change) => default_privileges::alter(context, change).await,
        Ddl::CreateSchema { name, if_not_exists, owner } => {
            schema::create(context, name.as_deref(), *if_not_exists, owner.as_ref()).await
        }
        Ddl::DropSchema(drop) => schema::drop(context, drop).await,
        Ddl::CreateTable(create) => table::create(context, create).await,
        Ddl::RegisterTable(register) => table::register(context, register).await,
        Ddl::AddColumn(add) => column::add(context, add).await,
        Ddl::ChangeColumn(change) => column::change(context, change).await,
        Ddl::DropTable(drop) => table::drop(context, drop).await,
        Ddl::CreateView(create) => view::create(context, create).await,
        Ddl::DropView(drop) => view::drop(context, drop).await,
        Ddl::ChangeOwner { relation, if_exists, is_view, to } => {
            view::change_owner(context, relation, *if_exists, *is_view, to).await
        }
        Ddl::RowSecurity { table, if_exists, enable } => {
            policy::row_security(context, table, *if_exists, *enable).await
        }
        Ddl::SubjectColumn { table, if_exists, column } => subject::set(context, table, *if_exists, column).await,
        // They change the session too: see `crate::glass`.
        Ddl::BreakGlass(_) | Ddl::EndBreakGlass | Ddl::ReviewBreakGlass { .. } => {
            Err(crate::publish::incident("execution", "break glass"))
        }
        Ddl::CreatePolicy(create) => policy::create(context, create).await,
        Ddl::AlterPolicy(alter) => policy::alter(context, alter).await,
        Ddl::DropPolicy { name, table, if_exists } => policy::drop(context, name, table, *if_exists).await,
        Ddl::CreateMaskingPolicy(create) => mask::create(context, create).await,
        Ddl::AlterMaskingPolicy { name, body } => mask::alter(context, name, body).await,
        Ddl::DropMaskingPolicy(drop) => mask::drop(context, drop).await,
        Ddl::CreatePolicyTest(create) => policy_test::create(context, create).await,
        Ddl::DropPolicyTest(drop) => policy_test::drop(context, drop).await,
        Ddl::Forced(ddl) => Box::pin(execute(&DdlContext { force: true, ..context.clone() }, ddl)).await,
        Ddl::SetMask { table, column, mask } => mask::set(context, table, column, mask.as_ref()).await,
        Ddl::Tag(ddl) => tag::execute(context, ddl).await,
    }
}

fn command(tag: &str, notices: Vec<Notice>) -> Command {
    Command { tag: tag.to_owned(), notices, ..Command::default() }
}

fn notice(message: String) -> Notice {
    Notice { severity: "NOTICE", sqlstate: SqlState::SUCCESS, message }
}

fn warning(message: String) -> Notice {
    Notice { severity: "WARNING", sqlstate: SqlState::WARNING, message }
}

/// `IF EXISTS` makes of "does not exist" a notice.
fn skip_missing<T>(
    found: Result<T, CatalogError>,
    if_exists: bool,
    notices: &mut Vec<Notice>,
) -> Result<Option<T>, CatalogError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if if_exists && is_missing(&error) => {
            notices.push(notice(format!("{}, skipping", error.message())));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What DROP asked for by its kind is missed by its kind.
fn missed_as<T>(found: Result<T, CatalogError>, kind: ObjectKind, name: &Name) -> Result<T, CatalogError> {
    found.map_err(|error| {
        let is_missing = error.sqlstate() == SqlState::UNDEFINED_TABLE;
        if is_missing { CatalogError::not_found(kind, &name.name) } else { error }
    })
}

fn is_missing(error: &CatalogError) -> bool {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_OBJECT, SqlState::INVALID_SCHEMA_NAME];
    missing.contains(&error.sqlstate())
}

/// An error of ours, from within an edit.
fn refused(error: Error) -> CatalogError {
    CatalogError::refused(error)
}

fn coded(error: &(impl Coded + ?Sized)) -> Error {
    Error::from_coded(error)
}
