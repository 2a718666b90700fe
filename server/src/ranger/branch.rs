//! Items in their order, the first that fits counting, as branches of a condition.
//!
//! Invariant: an item that could not be mapped hides everything from whom it was for; none is left out.

use super::export::{Item, Policy};
use super::who::{self, ACTS_AS_ANOTHER, Who};

/// `when` it holds of the session, `then`; `None` is always.
pub struct Branch {
    when: Option<String>,
    then: String,
}

/// What the items of some policies came to.
#[derive(Default)]
pub struct Branches {
    branches: Vec<Branch>,
    /// What could not be mapped.
    pub unmapped: Vec<String>,
    /// The roles that are named.
    pub roles: Vec<String>,
    /// Some `then` has a subquery, which stands under AND, OR and NOT only.
    pub has_subquery: bool,
}

impl Branches {
    /// Adds the items of a policy: `then` says what one is to do, `hidden` what hides everything, and `shown` what nothing.
    pub fn add(
        &mut self,
        policy: &Policy,
        items: &[Item],
        (hidden, shown): (&str, &str),
        then: impl Fn(&Item) -> Result<(String, bool), String>,
    ) {
        let always_hidden = limits(policy);
        for (place, item) in items.iter().enumerate() {
            let here = format!("policy {:?}, item {}", policy.name, place + 1);
            let (who, roles) = who::of(item);
            self.roles.extend(roles.into_iter().filter(|role| !role.starts_with('{')));
            let mapped = always_hidden.clone().map_or_else(|| check(item).and_then(|()| then(item)), Err);
            let (then, told) = match mapped {
                Ok((then, has_subquery)) => {
                    self.has_subquery |= has_subquery;
                    (then, None)
                }
                Err(why) => (hidden.to_owned(), Some(why)),
            };
            let when = match who {
                // Whose it is cannot be asked: it may be anybody's.
                _ if who::names_owner(item) && then == shown => {
                    self.unmapped.push(format!("{here}: {{OWNER}} sees no more than others"));
                    continue;
                }
                _ if who::names_owner(item) => {
                    self.unmapped.push(format!("{here}: {{OWNER}} cannot be told from others: it is for everybody"));
                    None
                }
                Who::Everybody => None,
                Who::Nobody => {
                    self.unmapped.push(format!("{here}: it is for nobody"));
                    continue;
                }
                Who::Those(condition) => Some(condition),
            };
            if let Some(why) = told {
                self.unmapped.push(format!("{here}: {why}: hidden from whom it is for"));
            }
            self.branches.push(Branch { when, then });
        }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// As a CASE.
    pub fn as_case(&self, hidden: &str, shown: &str) -> String {
        let mut text = format!("CASE WHEN {ACTS_AS_ANOTHER} THEN {hidden}");
        for branch in &self.branches {
            match &branch.when {
                Some(when) => text.push_str(&format!("\n    WHEN {when} THEN {}", branch.then)),
                None => return format!("{text}\n    ELSE {} END", branch.then),
            }
        }
        format!("{text}\n    ELSE {shown} END")
    }

    /// The same for conditions that have subqueries, joined by AND, OR and NOT.
    pub fn as_condition(&self) -> String {
        let mut alternatives = Vec::new();
        let mut before = vec![format!("NOT ({ACTS_AS_ANOTHER})")];
        for branch in &self.branches {
            let mut all = before.clone();
            all.extend(branch.when.clone());
            all.push(branch.then.clone());
            alternatives.push(format!("({})", all.join(" AND ")));
            match &branch.when {
                Some(when) => before.push(format!("NOT {when}")),
                None => return alternatives.join("\n    OR "),
            }
        }
        alternatives.push(format!("({})", before.join(" AND ")));
        alternatives.join("\n    OR ")
    }
}

/// Why no item of a policy says for certain what is seen.
fn limits(policy: &Policy) -> Option<String> {
    if !policy.validity_schedules.is_empty() {
        return Some("it holds at certain times only".to_owned());
    }
    if !policy.conditions.is_empty() {
        return Some("it holds under conditions".to_owned());
    }
    None
}

fn check(item: &Item) -> Result<(), String> {
    if let Some(field) = item.unknown_fields().next() {
        return Err(format!("it has {field}"));
    }
    if !item.conditions.is_empty() {
        return Err("it holds under conditions".to_owned());
    }
    if !item.is_about_reading() {
        return Err("it is not about reading".to_owned());
    }
    Ok(())
}
