//! Why a decision is what it is: which grant, policy and mask made each part of it, in words.
//!
//! A trace is told from the very decision that a statement would get, never from rules of its own. Invariants: what is
//! said to be filtered, masked or denied is what [`decide_table`] and the write checks make of it; a policy's text, and
//! what it asks of the session, is told only to those who may read that text.

use std::collections::BTreeSet;

use lakeward_base::{Redacted, RoleId};
use lakeward_catalog::{Grant, Grantee, MaskSource, MaskingPolicy, Privilege, RowPolicy, Snapshot, Table};

use crate::access::{Access, TableDecision};
use crate::compile::PolicyCompiler;
use crate::decide::{ResolvedTable, Subject, decide_table, require_privilege};
use crate::error::DecideError;
use crate::principal::{Principal, RoleSet};
use crate::row_policy::{self, Use};

/// What is done with a column, or with a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Shown, or written, as it is.
    Allow,
    /// Only some rows.
    Filter,
    /// Something stands in its place.
    Mask,
    /// Refused.
    Deny,
}

impl Effect {
    /// As `EXPLAIN (POLICIES)` says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Filter => "filter",
            Self::Mask => "mask",
            Self::Deny => "deny",
        }
    }
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The column; `None` is the row set.
    pub column: Option<String>,
    /// What is done.
    pub effect: Effect,
    /// The policy that does it.
    pub policy: Option<String>,
    /// Where that comes from: `superuser`, `bypassrls`, `owner`, `grant`, `view`, `table`, `column`, `tag` and its name.
    pub source: Option<String>,
    /// Why.
    pub reason: String,
}

impl Step {
    fn new(column: Option<&str>, effect: Effect, source: &str, reason: impl Into<String>) -> Self {
        Self {
            column: column.map(str::to_owned),
            effect,
            policy: None,
            source: Some(source.to_owned()),
            reason: reason.into(),
        }
    }

    /// The row set is refused.
    #[must_use]
    pub fn denied(reason: impl Into<String>) -> Self {
        Self::new(None, Effect::Deny, "grant", reason)
    }

    fn by(mut self, policy: &str) -> Self {
        self.policy = Some(policy.to_owned());
        self
    }
}

/// What a trace is told of, and to whom.
pub struct Tracer<'a> {
    /// Whose decision it is.
    pub principal: &'a Principal,
    /// The catalog.
    pub snapshot: &'a Snapshot,
    /// Compiles policies.
    pub compiler: &'a dyn PolicyCompiler,
    /// Whether the text of policies of that owner may be known to the one who asks.
    pub knows_text: &'a dyn Fn(RoleId) -> bool,
    /// What a policy's text asks of the session, and what the session answers.
    pub asks: &'a dyn Fn(&Redacted<String>) -> Vec<String>,
}

/// Through what a table is read: oneself, or the view of somebody whose privileges count.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// The view and its owner.
    pub view: Option<(String, RoleId)>,
}

impl Tracer<'_> {
    /// How the rows of a table and these of its columns (`None`: all) are read.
    #[must_use]
    pub fn read(&self, resolved: &ResolvedTable, route: &Route, columns: Option<&BTreeSet<String>>) -> Vec<Step> {
        let table = &resolved.table;
        let decision = match decide_table(self.principal, self.snapshot, resolved, self.compiler) {
            Ok(decision) => decision,
            Err(error) => return vec![Step::denied(self.refusal(table, Privilege::Select, route, &error))],
        };
        let mut steps = self.rows_read(resolved, route, &decision);
        for (index, field) in decision.schema.fields().iter().enumerate() {
            // Numbers of rows are no columns.
            let known =
                !field.name().starts_with('\u{1}') && table.columns.iter().any(|column| column.name == *field.name());
            if known && columns.is_none_or(|columns| columns.contains(field.name())) {
                steps.push(self.column_read(resolved, route, &decision, index, field.name()));
            }
        }
        steps
    }

    fn refusal(&self, table: &Table, privilege: Privilege, route: &Route, error: &DecideError) -> String {
        match error {
            DecideError::Privilege { .. } if !table.grantable => {
                "made of governed rows: for its maker alone".to_owned()
            }
            DecideError::Privilege { .. } => self.lacks(privilege, "table", route),
            DecideError::MaskedWrite { .. } | DecideError::MissingColumn { .. } | DecideError::Policy { .. } => {
                error.to_string()
            }
        }
    }

    /// `no SELECT on table`, and who would have to hold it.
    #[must_use]
    pub fn lacks(&self, privilege: Privilege, kind: &str, route: &Route) -> String {
        let missing = format!("no {} on {kind}", privilege_name(privilege));
        match &route.view {
            Some((view, owner)) => format!("{missing}: not even for {}, the owner of view {view}", self.role(*owner)),
            None => missing,
        }
    }

    fn rows_read(&self, resolved: &ResolvedTable, route: &Route, decision: &TableDecision) -> Vec<Step> {
        let table = &resolved.table;
        let (source, held) = self.held(table, &resolved.reader, route, Privilege::Select, None);
        let principal = self.principal;
        if principal.superuser {
            return vec![Step::new(None, Effect::Allow, "superuser", joined(&["SUPERUSER bypass", &via(route)]))];
        }
        if !table.row_security {
            return vec![Step::new(None, Effect::Allow, source, format!("{held}; row level security is off"))];
        }
        if principal.bypass_row_security {
            return vec![Step::new(None, Effect::Allow, "bypassrls", format!("BYPASSRLS bypass; {held}"))];
        }
        let filters = matches!(&decision.access, Access::Governed { row_filter: Some(_), .. });
        let (effect, tail) = if filters { (Effect::Filter, "") } else { (Effect::Allow, "every row passes") };
        let mut steps = self.policies(table, Use::Read, "SELECT", (effect, tail), &held);
        if self.principal.glass.is_some() && table.subject.is_some() {
            let reason = "BREAK GLASS: the rows of one subject are shown too, and no mask in them";
            steps.push(Step::new(None, Effect::Allow, "break glass", reason));
        }
        steps
    }

    /// A line for each row policy that applies; one that says so where none does.
    fn policies(&self, table: &Table, applies_to: Use, verb: &str, whole: (Effect, &str), held: &str) -> Vec<Step> {
        let (effect, tail) = whole;
        let applying: Vec<&RowPolicy> = table
            .policies
            .iter()
            .filter(|policy| row_policy::matches(policy, applies_to, self.principal))
            .filter(|policy| row_policy::text(policy, applies_to).is_some())
            .collect();
        let mut steps: Vec<Step> = applying
            .iter()
            .map(|policy| {
                let kind = if policy.permissive { "permissive" } else { "restrictive" };
                let to = self.grantees(&policy.grantees, self.principal.current_role, &self.principal.effective_roles);
                let rule = format!("{kind} policy for {}, to {to}", policy.command.as_sql());
                let asks = row_policy::text(policy, applies_to)
                    .filter(|_| (self.knows_text)(table.owner))
                    .map(|text| (self.asks)(text).join(", "))
                    .unwrap_or_default();
                Step::new(None, effect, "table", joined(&[&rule, &asks, tail, held])).by(&policy.name)
            })
            .collect();
        if !applying.iter().any(|policy| policy.permissive) {
            let none = format!("row level security is on, and no permissive policy for {verb} is for you: no rows");
            steps.insert(0, Step::new(None, effect, "table", joined(&[&none, held])));
        }
        steps
    }

    fn column_read(
        &self,
        resolved: &ResolvedTable,
        route: &Route,
        decision: &TableDecision,
        index: usize,
        name: &str,
    ) -> Step {
        let table = &resolved.table;
        if decision.withheld.contains(&index) {
            return Step::new(Some(name), Effect::Deny, "grant", self.lacks(Privilege::Select, "column", route));
        }
        let (source, held) = self.held(table, &resolved.reader, route, Privilege::Select, Some(name));
        let Some((policy, from)) = mask_of(self.snapshot, table, name) else {
            return Step::new(Some(name), Effect::Allow, source, held);
        };
        if self.principal.superuser {
            return Step::new(Some(name), Effect::Allow, "superuser", held).by(&policy.name);
        }
        let asks = Some(&policy.body)
            .filter(|_| (self.knows_text)(policy.owner))
            .map(|text| (self.asks)(text).join(", "))
            .unwrap_or_default();
        if decision.passes_through(index) {
            let reason = joined(&["the mask shows you the value", &asks, &held]);
            return Step::new(Some(name), Effect::Allow, &from, reason).by(&policy.name);
        }
        let reason = joined(&[&format!("masked by {}", mask_source(&from)), &asks, &held]);
        Step::new(Some(name), Effect::Mask, &from, reason).by(&policy.name)
    }

    /// How rows of a table are written with `privilege`, and these of its columns given values.
    #[must_use]
    pub fn write(&self, target: &ResolvedTable, privilege: Privilege, columns: &[String]) -> Vec<Step> {
        let (table, route, verb) = (&target.table, Route::default(), privilege_name(privilege));
        if let Err(error) = require_privilege(self.snapshot, table, &target.reader, privilege) {
            return vec![Step::denied(self.refusal(table, privilege, &route, &error))];
        }
        let (source, held) = self.held(table, &target.reader, &route, privilege, None);
        if self.principal.superuser {
            return vec![Step::new(None, Effect::Allow, "superuser", format!("{verb}: SUPERUSER bypass"))];
        }
        let masks =
            Subject::new(self.snapshot, target, self.compiler).and_then(|subject| subject.masks(self.principal));
        let masks = match masks {
            Ok(masks) => masks,
            Err(error) => return vec![Step::denied(self.refusal(table, privilege, &route, &error))],
        };
        let mut steps = self.rows_written(table, privilege, source, &held);
        for name in columns {
            let masked = masks.iter().flatten().any(|mask| mask.column == *name);
            let step = match mask_of(self.snapshot, table, name).filter(|_| masked) {
                Some((policy, from)) => {
                    let reason = format!("{verb}: a column that is masked for you cannot be written");
                    Step::new(Some(name), Effect::Deny, &from, reason).by(&policy.name)
                }
                None => Step::new(Some(name), Effect::Allow, source, format!("{verb}: {held}")),
            };
            steps.push(step);
        }
        steps
    }

    fn rows_written(&self, table: &Table, privilege: Privilege, source: &str, held: &str) -> Vec<Step> {
        let verb = privilege_name(privilege);
        if !table.row_security {
            let reason = format!("{verb}: {held}; row level security is off");
            return vec![Step::new(None, Effect::Allow, source, reason)];
        }
        if self.principal.bypass_row_security {
            return vec![Step::new(None, Effect::Allow, "bypassrls", format!("{verb}: BYPASSRLS bypass; {held}"))];
        }
        let (uses, effect): (&[(Use, &str)], Effect) = match privilege {
            Privilege::Insert => (&[(Use::Insert, "INSERT, new rows")], Effect::Deny),
            Privilege::Update => {
                (&[(Use::Update, "UPDATE, rows as they are"), (Use::Updated, "UPDATE, new values")], Effect::Filter)
            }
            _ => (&[(Use::Delete, "DELETE, rows as they are")], Effect::Filter),
        };
        let mut steps = Vec::new();
        for (applies_to, label) in uses {
            for mut step in self.policies(table, *applies_to, verb, (Effect::Filter, ""), held) {
                // Without a policy no new row is taken, which is an error, not an empty result.
                if step.policy.is_none() {
                    step.effect = effect;
                }
                step.reason = format!("{label}: {}", step.reason);
                steps.push(step);
            }
        }
        steps
    }

    /// By what right, and from where: the source, and the words.
    fn held(
        &self,
        table: &Table,
        reader: &RoleSet,
        route: &Route,
        privilege: Privilege,
        column: Option<&str>,
    ) -> (&'static str, String) {
        // How a view's owner came by a privilege is not its readers' to know.
        if let Some((view, owner)) = &route.view {
            let verb = privilege_name(privilege);
            return ("view", format!("{verb} of {}, the owner of view {view}", self.role(*owner)));
        }
        let (source, words) = self.right(table, reader, self.principal.current_role, privilege, column);
        (source, format!("{} {words}", privilege_name(privilege)))
    }

    fn right(
        &self,
        table: &Table,
        reader: &RoleSet,
        whose: RoleId,
        privilege: Privilege,
        column: Option<&str>,
    ) -> (&'static str, String) {
        if reader.superuser {
            return ("superuser", format!("as superuser {}", self.role(whose)));
        }
        if reader.roles.contains(&table.owner) {
            return ("owner", format!("as owner: {}", self.path(table.owner, whose)));
        }
        let id =
            column.and_then(|name| table.columns.iter().find(|column| column.name == name)).map(|column| column.id);
        let is_for = |grant: &&Grant| match grant.grantee {
            Grantee::Public => true,
            Grantee::Role(role) => reader.roles.contains(&role),
        };
        let fitting: Vec<&Grant> =
            table.grants.iter().filter(|grant| grant.privilege == privilege).filter(is_for).collect();
        let whole = fitting.iter().find(|grant| grant.column.is_none());
        let of_column = fitting.iter().find(|grant| id.is_none() || grant.column == id);
        match whole.or(of_column) {
            Some(grant) => {
                let what = if grant.column.is_some() { "on columns " } else { "" };
                ("grant", format!("granted {what}to {}", self.grantees(&[grant.grantee], whose, &reader.roles)))
            }
            None => ("grant", "granted".to_owned()),
        }
    }

    /// Those of `grantees` that `whose` is, or is a member of.
    fn grantees(&self, grantees: &[Grantee], whose: RoleId, roles: &BTreeSet<RoleId>) -> String {
        let named = grantees.iter().filter_map(|grantee| match grantee {
            Grantee::Role(role) if roles.contains(role) => Some(self.path(*role, whose)),
            Grantee::Role(_) | Grantee::Public => None,
        });
        named.into_iter().next().unwrap_or_else(|| "PUBLIC".to_owned())
    }

    /// `role analyst through alice`: how `whose` comes to be `role`.
    fn path(&self, role: RoleId, whose: RoleId) -> String {
        let mut words = format!("role {}", self.role(role));
        for below in self.way(whose, role).iter().rev() {
            words.push_str(" through ");
            words.push_str(&self.role(*below));
        }
        words
    }

    /// The shortest chain of memberships from `from` up to `to`, without `to`.
    fn way(&self, from: RoleId, to: RoleId) -> Vec<RoleId> {
        let mut ways = vec![vec![from]];
        let mut seen = BTreeSet::from([from]);
        let mut next = 0;
        while let Some(way) = ways.get(next).cloned() {
            next += 1;
            let Some(last) = way.last().copied() else { continue };
            if last == to {
                return way.into_iter().filter(|role| *role != to).collect();
            }
            let above = self.snapshot.role(last).map(|role| role.member_of.clone()).unwrap_or_default();
            for role in above.into_iter().filter(|role| seen.insert(*role)) {
                ways.push(way.iter().copied().chain([role]).collect());
            }
        }
        Vec::new()
    }

    fn role(&self, id: RoleId) -> String {
        self.snapshot.role(id).map_or_else(|| id.to_string(), |role| role.name.clone())
    }
}

/// The masking policy that rules a column, and from where: `column`, or `tag` and its name.
fn mask_of<'a>(snapshot: &'a Snapshot, table: &Table, name: &str) -> Option<(&'a MaskingPolicy, String)> {
    let column = table.columns.iter().find(|column| column.name == name)?;
    let mask = snapshot.mask_of(column)?;
    let source = match mask.source {
        MaskSource::Column => "column".to_owned(),
        MaskSource::Tag(tag) => format!("tag {}", snapshot.tag(tag)?.name),
    };
    Some((snapshot.masking_policy(mask.binding.policy)?, source))
}

fn mask_source(from: &str) -> String {
    if from == "column" {
        "the column's own masking policy".to_owned()
    } else {
        format!("the masking policy of {from}")
    }
}

fn via(route: &Route) -> String {
    route.view.as_ref().map(|(view, _)| format!("through view {view}")).unwrap_or_default()
}

fn joined(parts: &[&str]) -> String {
    let told: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    told.join("; ")
}

fn privilege_name(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Select => "SELECT",
        Privilege::Insert => "INSERT",
        Privilege::Update => "UPDATE",
        Privilege::Delete => "DELETE",
        Privilege::Usage => "USAGE",
        Privilege::Create => "CREATE",
        Privilege::Execute => "EXECUTE",
        Privilege::BreakGlass => "BREAK GLASS",
    }
}
