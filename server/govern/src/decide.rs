//! The decision: a pure function from who asks, what the catalog says and which tables are read, to what may be seen.
//!
//! Invariant: every error denies; nothing is read but the arguments, and no time, so that equal arguments always give
//! an equal decision.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, ScalarValue, TableReference};
use datafusion_expr::{Expr, lit, when};
use lakeward_base::{ColumnId, IncidentId, RoleId};
use lakeward_catalog::{Column, MaskBinding, MaskSource, Privilege, RawTable, Snapshot, Table};

use crate::access::{Access, Decision, TableDecision};
use crate::compile::{CompileError, OwnersRights, PolicyCompiler, simplified};
use crate::error::DecideError;
use crate::mask::{Arguments, compile_mask};
use crate::principal::{Principal, RoleSet};
use crate::row_policy::{self, RowCondition, Use, combine};
use crate::shadow::ShadowCheck;

/// A table of a statement, pinned at a version.
#[derive(Debug, Clone)]
pub struct ResolvedTable {
    /// What the catalog says of it.
    pub table: Arc<Table>,
    /// The pinned version.
    pub raw: RawTable,
    /// Whose SELECT privilege counts: the caller's, or that of the owner of the view through which it is read.
    pub reader: RoleSet,
}

/// Decides what `principal` may see of each of `tables`.
///
/// # Errors
/// [`DecideError`]: the privilege is missing, or a policy cannot be applied.
pub fn decide(
    principal: &Principal,
    snapshot: &Snapshot,
    tables: &[ResolvedTable],
    compiler: &dyn PolicyCompiler,
) -> Result<Decision, DecideError> {
    let decided = tables
        .iter()
        .map(|resolved| decide_table(principal, snapshot, resolved, compiler).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Decision::new(snapshot.epoch(), principal.fingerprint(), decided))
}

pub(crate) fn decide_table(
    principal: &Principal,
    snapshot: &Snapshot,
    resolved: &ResolvedTable,
    compiler: &dyn PolicyCompiler,
) -> Result<TableDecision, DecideError> {
    let readable = readable(snapshot, &resolved.table, &resolved.reader)?;
    require_maker(principal, &resolved.table)?;
    let subject = Subject::new(snapshot, resolved, compiler)?;
    let masks = if principal.superuser { Vec::new() } else { subject.masks(principal)? };
    let exempt_from_rows = principal.superuser || principal.bypass_row_security || !resolved.table.row_security;
    let rows = if exempt_from_rows {
        RowCondition { filter: None, policies: Vec::new() }
    } else {
        subject.rows(principal, Use::Read)?
    };
    let mut policies: Vec<_> =
        rows.policies.iter().map(|policy| format!("{policy} on {}", subject.qualified_name)).collect();
    policies.extend(masks.iter().flatten().map(|mask| mask.policy.clone()));
    let masked = masks.iter().flatten().map(|mask| mask.column.clone()).collect();
    let shadows =
        if principal.superuser || principal.bypass_row_security { Vec::new() } else { subject.shadows(principal) };
    let access = if rows.filter.is_none() && masks.iter().all(Option::is_none) && shadows.is_empty() {
        Access::Open
    } else {
        let masks = subject
            .visible
            .fields()
            .iter()
            .enumerate()
            .map(|(at, _)| masks.get(at).and_then(|mask| Some(mask.as_ref()?.expr.clone())));
        subject.opened(principal, rows.filter, masks.collect())?
    };
    Ok(TableDecision {
        table: resolved.table.id,
        name: resolved.table.name.clone(),
        version: resolved.raw.version(),
        epoch: snapshot.epoch(),
        access,
        schema: published_schema(&subject.visible),
        withheld: readable.map(|readable| withheld(&resolved.table, &subject.visible, &readable)).unwrap_or_default(),
        policies,
        subject: subject_column(&resolved.table),
        masked,
        shadows,
        bypass: principal.superuser || (principal.bypass_row_security && resolved.table.row_security),
        qualified_name: subject.qualified_name,
    })
}

/// The columns that `reader` may read, by name; `None` is all of them. An error where it may read nothing.
fn readable(snapshot: &Snapshot, table: &Table, reader: &RoleSet) -> Result<Option<BTreeSet<ColumnId>>, DecideError> {
    let Err(denied) = require_privilege(snapshot, table, reader, Privilege::Select) else { return Ok(None) };
    let columns = snapshot.columns_held(&reader.roles, &table.grants, Privilege::Select);
    if columns.is_empty() || !table.grantable { Err(denied) } else { Ok(Some(columns)) }
}

/// The places of the visible columns that are not `readable`.
fn withheld(table: &Table, visible: &Schema, readable: &BTreeSet<ColumnId>) -> BTreeSet<usize> {
    let granted = |name: &str| table.columns.iter().any(|column| column.name == name && readable.contains(&column.id));
    let places = visible.fields().iter().enumerate().filter(|(_, field)| !granted(field.name()));
    places.map(|(place, _)| place).collect()
}

/// What was made of governed rows is for its maker's eyes, whoever's view it is read through and whoever else is a
/// member of its owner: it holds what the maker's attributes showed.
pub(crate) fn require_maker(principal: &Principal, table: &Table) -> Result<(), DecideError> {
    if table.grantable || principal.superuser || principal.session_role == table.owner {
        return Ok(());
    }
    Err(DecideError::Privilege { table: table.name.clone() })
}

/// Refuses unless `reader` holds `privilege` on the whole of `table`.
pub(crate) fn require_privilege(
    snapshot: &Snapshot,
    table: &Table,
    reader: &RoleSet,
    privilege: Privilege,
) -> Result<(), DecideError> {
    let held = if table.grantable {
        snapshot.holds(&reader.roles, table.owner, &table.grants, privilege)
    } else {
        reader.roles.contains(&table.owner)
    };
    if reader.superuser || held {
        return Ok(());
    }
    Err(DecideError::Privilege { table: table.name.clone() })
}

/// A mask in effect.
pub(crate) struct Mask {
    pub(crate) column: String,
    pub(crate) policy: String,
    pub(crate) expr: Expr,
}

/// One table under decision.
pub(crate) struct Subject<'a> {
    snapshot: &'a Snapshot,
    resolved: &'a ResolvedTable,
    compiler: &'a dyn PolicyCompiler,
    pub(crate) qualifier: TableReference,
    pub(crate) schema: Arc<DFSchema>,
    /// The raw fields that today's catalog knows.
    pub(crate) visible: SchemaRef,
    pub(crate) qualified_name: String,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        resolved: &'a ResolvedTable,
        compiler: &'a dyn PolicyCompiler,
    ) -> Result<Self, DecideError> {
        let table = &resolved.table;
        let raw = resolved.raw.schema();
        let known = raw.fields().iter().filter(|field| table.columns.iter().any(|column| column.name == *field.name()));
        let visible = Arc::new(Schema::new(known.cloned().collect::<Vec<_>>()));
        let qualifier = TableReference::Bare { table: table.name.as_str().into() };
        let schema = DFSchema::try_from_qualified_schema(qualifier.clone(), &visible)
            .map_err(|error| denied(table, 0, &error.into()))?;
        let qualified_name = snapshot.qualified_name(table.id);
        Ok(Self { snapshot, resolved, compiler, qualifier, schema: Arc::new(schema), visible, qualified_name })
    }

    /// What the owner of a policy may call in it.
    pub(crate) fn rights_of(&self, owner: RoleId) -> OwnersRights<'a> {
        OwnersRights { compiler: self.compiler, snapshot: self.snapshot, owner }
    }

    /// The condition that row policies put on the table.
    pub(crate) fn rows(&self, principal: &Principal, applies_to: Use) -> Result<RowCondition, DecideError> {
        let table = &self.resolved.table;
        combine(&table.policies, applies_to, principal, self).map_err(|(policy, error)| denied(table, policy.0, &error))
    }

    /// The policies in shadow that would hide rows from `principal`.
    fn shadows(&self, principal: &Principal) -> Vec<ShadowCheck> {
        let table = &self.resolved.table;
        row_policy::shadows(&table.policies, table.row_security, principal, self)
    }

    /// Per visible column, the mask in effect for `principal`.
    pub(crate) fn masks(&self, principal: &Principal) -> Result<Vec<Option<Mask>>, DecideError> {
        for column in self.resolved.table.columns.iter().filter(|column| self.snapshot.mask_of(column).is_some()) {
            self.visible.field_with_name(&column.name).map_err(|_| self.missing_column())?;
        }
        self.visible.fields().iter().map(|field| self.mask(field, principal)).collect()
    }

    fn mask(&self, field: &Field, principal: &Principal) -> Result<Option<Mask>, DecideError> {
        let table = &self.resolved.table;
        let column = table.columns.iter().find(|column| column.name == *field.name());
        let Some((column, mask)) = column.and_then(|column| Some((column, self.snapshot.mask_of(column)?))) else {
            return Ok(None);
        };
        let binding = &mask.binding;
        if column.mask.is_none() && self.snapshot.tag_masks(column).nth(1).is_some() {
            // No catalog that keeps its rules says so: which of two masks hides more is not for us to guess.
            return Err(denied(table, binding.policy.0, &CompileError::Unsupported));
        }
        let arguments = self.arguments(column, binding)?;
        let Some(policy) = self.snapshot.masking_policy(binding.policy) else {
            return Err(denied(table, binding.policy.0, &CompileError::Unsupported));
        };
        let rights = self.rights_of(policy.owner);
        let expr = compile_mask(policy, &arguments, principal, &self.schema, &self.qualifier, &rights)
            .map_err(|error| denied(table, policy.id.0, &error))?;
        let by = match mask.source {
            MaskSource::Column => String::new(),
            MaskSource::Tag(tag) => {
                self.snapshot.tag(tag).map(|tag| format!(" by tag {}", tag.name)).unwrap_or_default()
            }
        };
        let applied = format!("{} on {}.{}{by}", policy.name, self.qualified_name, column.name);
        Ok(expr.map(|expr| Mask { column: column.name.clone(), policy: applied, expr }))
    }

    fn arguments(&self, column: &Column, binding: &MaskBinding) -> Result<Arguments, DecideError> {
        // The first argument is the masked column, whatever the binding says: it decides the type and the identity.
        if binding.arguments.first() != Some(&column.id) {
            return Err(denied(
                &self.resolved.table,
                binding.policy.0,
                &CompileError::UnknownColumn(column.name.clone()),
            ));
        }
        let mut arguments = Arguments { names: Vec::new(), types: Vec::new() };
        for id in &binding.arguments {
            let name =
                self.resolved.table.columns.iter().find(|column| column.id == *id).map(|column| column.name.clone());
            let name = name.ok_or_else(|| self.missing_column())?;
            let field = self.visible.field_with_name(&name).map_err(|_| self.missing_column())?;
            arguments.types.push(field.data_type().clone());
            arguments.names.push(name);
        }
        Ok(arguments)
    }

    /// What is shown where the glass is broken for a subject: all of the subject's rows too, and in those no mask. Only of
    /// a table that the principal may read itself.
    fn opened(
        &self,
        principal: &Principal,
        row_filter: Option<Expr>,
        masks: Vec<Option<Expr>>,
    ) -> Result<Access, DecideError> {
        let table = &self.resolved.table;
        let glass = principal.glass.as_ref().filter(|_| {
            let whole = require_privilege(self.snapshot, table, &principal.role_set(), Privilege::Select);
            require_maker(principal, table).is_ok() && whole.is_ok()
        });
        let Some(is_subject) = glass.and_then(|glass| self.is_subject(&glass.subject)) else {
            return Ok(Access::Governed { row_filter, masks });
        };
        let failed = |error: CompileError| denied(table, 0, &error);
        let row_filter = row_filter.map(|filter| simplified(is_subject.clone().or(filter), &self.schema)).transpose();
        let lifted = |(mask, field): (Option<Expr>, &Arc<Field>)| -> Result<Option<Expr>, CompileError> {
            let Some(mask) = mask else { return Ok(None) };
            let raw = Expr::Column(datafusion_common::Column::new(Some(self.qualifier.clone()), field.name()));
            let mask = when(is_subject.clone(), raw).otherwise(mask)?;
            Ok(Some(simplified(mask, &self.schema)?))
        };
        let masks = masks.into_iter().zip(self.visible.fields()).map(lifted).collect::<Result<Vec<_>, _>>();
        Ok(Access::Governed { row_filter: row_filter.map_err(failed)?, masks: masks.map_err(failed)? })
    }

    /// Whether a row is the subject's; `None` where the table does not tell, or not in these terms.
    fn is_subject(&self, subject: &str) -> Option<Expr> {
        let name = subject_column(&self.resolved.table)?;
        let field = self.visible.field_with_name(&name).ok()?;
        let value = ScalarValue::try_from_string(subject.to_owned(), field.data_type()).ok()?;
        let column = datafusion_common::Column::new(Some(self.qualifier.clone()), name);
        (!value.is_null()).then(|| Expr::Column(column).eq(lit(value)))
    }

    fn missing_column(&self) -> DecideError {
        DecideError::MissingColumn { table: self.resolved.table.name.clone(), version: self.resolved.raw.version() }
    }
}

/// The name of the column that says whose data a row is.
fn subject_column(table: &Table) -> Option<String> {
    let id = table.subject?;
    table.columns.iter().find(|column| column.id == id).map(|column| column.name.clone())
}

/// Denies because of a policy, and tells the operator which one. The text of the error may quote the policy: only its
/// kind is logged.
fn denied(table: &Table, policy: u64, error: &CompileError) -> DecideError {
    let incident = IncidentId::generate();
    let kind = match error {
        CompileError::Subquery(_) => "subquery",
        CompileError::Mapping(_) => "rights of its owner on a mapping table",
        CompileError::Comparison(..) => "comparison",
        CompileError::Aggregate => "aggregate",
        CompileError::Parameter => "parameter",
        CompileError::Unsupported => "unsupported expression",
        CompileError::UnknownColumn(_) => "unknown column",
        CompileError::Type { .. } => "type",
        CompileError::Arguments { .. } => "arguments",
        CompileError::Execute(_) => "execute privilege of its owner",
        CompileError::Planner(_) => "planner",
    };
    tracing::error!(%incident, table = %table.id, policy, kind, "a policy could not be compiled; access was denied");
    DecideError::Policy { table: table.name.clone(), incident }
}

/// What users see: the same for every role, so every field is nullable and carries no metadata.
fn published_schema(visible: &Schema) -> SchemaRef {
    let fields = visible.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
