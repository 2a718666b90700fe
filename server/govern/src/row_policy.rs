//! Which row policies apply to a principal, and what they amount to together.
//!
//! Invariant: where row level security is on, a principal with no matching permissive policy gets no rows.

use std::collections::BTreeSet;

use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, lit};
use lakeward_base::{PolicyId, Redacted, TableId};
use lakeward_catalog::{Grantee, PolicyCommand, RowPolicy, Table};

use crate::compile::{CompileError, compile_predicate, simplified};
use crate::decide::Subject;
use crate::principal::Principal;
use crate::shadow::{ShadowCheck, text_mark};

/// What a statement does to the rows that a policy speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Rows are read: USING of policies for SELECT and ALL.
    Read,
    /// Rows are added: WITH CHECK of policies for INSERT and ALL (USING where an ALL policy has no WITH CHECK).
    Insert,
    /// Rows get new values: USING of policies for UPDATE and ALL, of the rows as they were.
    Update,
    /// The same rows as they will be: WITH CHECK, or USING where there is none.
    Updated,
    /// Rows go: USING of policies for DELETE and ALL.
    Delete,
}

/// The combined condition, and the names of the policies in it.
pub(crate) struct RowCondition {
    /// `None`: every row passes.
    pub(crate) filter: Option<Expr>,
    /// Names of the policies that took part.
    pub(crate) policies: Vec<String>,
}

/// Combines the policies that apply: permissive ones ORed, restrictive ones ANDed.
pub(crate) fn combine(
    policies: &[RowPolicy],
    applies_to: Use,
    principal: &Principal,
    subject: &Subject<'_>,
) -> Result<RowCondition, (PolicyId, CompileError)> {
    let mut permissive = lit(false);
    let mut restrictive = lit(true);
    let mut names = Vec::new();
    for policy in policies.iter().filter(|policy| matches(policy, applies_to, principal)) {
        let Some(sql) = text(policy, applies_to) else { continue };
        let rights = subject.rights_of(policy.owner);
        let expr =
            compile_predicate(sql.expose(), &policy.reads, principal, &subject.schema, &subject.qualifier, &rights)
                .map_err(|error| (policy.id, error))?;
        names.push(policy.name.clone());
        if policy.permissive {
            permissive = permissive.or(expr);
        } else {
            restrictive = restrictive.and(expr);
        }
    }
    let filter = simplified(permissive.and(restrictive), &subject.schema).map_err(|error| (PolicyId(0), error))?;
    Ok(RowCondition { filter: if is_true(&filter) { None } else { Some(filter) }, policies: names })
}

/// The tables that policies of `table` read to decide about `principal`, whatever it does.
#[must_use]
pub fn mapping_tables(principal: &Principal, table: &Table) -> BTreeSet<TableId> {
    if !table.row_security || principal.superuser || principal.bypass_row_security {
        return BTreeSet::new();
    }
    let concerns = table.policies.iter().filter(|policy| !policy.shadow && concerns(policy, principal));
    concerns.flat_map(|policy| &policy.reads).map(|read| read.table).collect()
}

/// The policies in shadow that would hide rows which `principal` reads. A permissive one hides none where row level
/// security is on already: it would add some. One that cannot be compiled is left out: it must not stand in the way.
pub(crate) fn shadows(
    policies: &[RowPolicy],
    row_security: bool,
    principal: &Principal,
    subject: &Subject<'_>,
) -> Vec<ShadowCheck> {
    let would_hide = |policy: &&RowPolicy| policy.shadow && !(policy.permissive && row_security);
    let check = |policy: &RowPolicy| {
        let sql = text(policy, Use::Read)?;
        let rights = subject.rights_of(policy.owner);
        let condition =
            compile_predicate(sql.expose(), &policy.reads, principal, &subject.schema, &subject.qualifier, &rights)
                .ok()?;
        let (policy, text) = (policy.id, text_mark(sql.expose()));
        (!is_true(&condition)).then_some(ShadowCheck { policy, text, role: principal.current_role, condition })
    };
    policies.iter().filter(would_hide).filter(|policy| covers(policy, Use::Read, principal)).filter_map(check).collect()
}

/// Whether a policy is in force for what `principal` does.
pub(crate) fn matches(policy: &RowPolicy, applies_to: Use, principal: &Principal) -> bool {
    !policy.shadow && covers(policy, applies_to, principal)
}

fn covers(policy: &RowPolicy, applies_to: Use, principal: &Principal) -> bool {
    let command = match policy.command {
        PolicyCommand::All => true,
        PolicyCommand::Select => applies_to == Use::Read,
        PolicyCommand::Insert => applies_to == Use::Insert,
        PolicyCommand::Update => matches!(applies_to, Use::Update | Use::Updated),
        PolicyCommand::Delete => applies_to == Use::Delete,
    };
    command && concerns(policy, principal)
}

fn concerns(policy: &RowPolicy, principal: &Principal) -> bool {
    policy.grantees.iter().any(|grantee| match grantee {
        Grantee::Public => true,
        Grantee::Role(role) => principal.effective_roles.contains(role),
    })
}

pub(crate) fn text(policy: &RowPolicy, applies_to: Use) -> Option<&Redacted<String>> {
    match applies_to {
        Use::Read | Use::Update | Use::Delete => policy.using.as_ref(),
        Use::Insert | Use::Updated => policy.with_check.as_ref().or(policy.using.as_ref()),
    }
}

fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}
