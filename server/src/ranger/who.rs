//! For whom an item is, as a condition of the session.
//!
//! Users are asked for by who logged in, groups and roles by the roles that the session has. Ranger knows no SET ROLE:
//! what is written from these conditions shows nothing to who acts as another role, since that could put off the very
//! role that a mask is for.

use super::export::Item;
use super::name::literal;

/// Acts as another role than its own.
pub const ACTS_AS_ANOTHER: &str = "session_user <> current_user";

/// For whom.
pub enum Who {
    /// Everybody.
    Everybody,
    /// Nobody: the item names none.
    Nobody,
    /// Those of whom this holds.
    Those(String),
}

/// For whom an item is, and the roles that it names. `{OWNER}` is for the caller to have refused.
pub fn of(item: &Item) -> (Who, Vec<String>) {
    let everybody = item.users.iter().any(|user| user == "{USER}") || item.groups.iter().any(|group| group == "public");
    if everybody {
        return (Who::Everybody, Vec::new());
    }
    let users = item.users.iter().map(|user| format!("session_user = {}", literal(user)));
    let groups = item.groups.iter().chain(&item.roles);
    let roles = groups.map(|role| format!("is_role_in_session({})", literal(role)));
    let conditions: Vec<String> = users.chain(roles).collect();
    let names = item.users.iter().chain(&item.groups).chain(&item.roles).cloned().collect();
    match conditions.as_slice() {
        [] => (Who::Nobody, names),
        [only] => (Who::Those(only.clone()), names),
        _ => (Who::Those(format!("({})", conditions.join(" OR "))), names),
    }
}

/// Whether an item is for the owners of what is read, which no condition of the session says.
pub fn names_owner(item: &Item) -> bool {
    item.users.iter().any(|user| user == "{OWNER}")
}
