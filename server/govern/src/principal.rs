//! Who asks: the principal of a session, and its fingerprint.
//!
//! Invariant: two principals with equal fingerprints get equal decisions at one epoch: every field that a policy or a
//! grant can depend on is part of the fingerprint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lakeward_base::RoleId;
use lakeward_catalog::Snapshot;
use sha2::{Digest, Sha256};

/// Who asks, as policies and grants see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who logged in.
    pub session_user: String,
    /// Who acts: the session user, or the role of `SET ROLE`.
    pub current_user: String,
    /// The role that logged in.
    pub session_role: RoleId,
    /// The role that acts.
    pub current_role: RoleId,
    /// The acting role and every role that it inherits.
    pub effective_roles: BTreeSet<RoleId>,
    /// The names of the effective roles.
    pub role_names: BTreeSet<String>,
    /// Attributes of the login role.
    pub attributes: BTreeMap<String, String>,
    /// Bypasses grants, row policies and masks.
    pub superuser: bool,
    /// Bypasses row policies.
    pub bypass_row_security: bool,
    /// The purpose of use, where one is set.
    pub purpose: Option<String>,
    /// The subject whose rows are open to it.
    pub glass: Option<Glass>,
}

/// A subject whose rows BREAK GLASS has opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Glass {
    /// The number of its use.
    pub id: String,
    /// The subject, as text.
    pub subject: String,
}

impl Principal {
    /// A hash over every field.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = FieldHash::new();
        hash.text(&self.session_user);
        hash.text(&self.current_user);
        hash.number(self.session_role.0);
        hash.number(self.current_role.0);
        hash.number(self.effective_roles.len() as u64);
        self.effective_roles.iter().for_each(|role| hash.number(role.0));
        hash.number(self.role_names.len() as u64);
        self.role_names.iter().for_each(|name| hash.text(name));
        hash.number(self.attributes.len() as u64);
        for (name, value) in &self.attributes {
            hash.text(name);
            hash.text(value);
        }
        hash.number(u64::from(self.superuser));
        hash.number(u64::from(self.bypass_row_security));
        hash.number(u64::from(self.purpose.is_some()));
        hash.text(self.purpose.as_deref().unwrap_or_default());
        hash.number(u64::from(self.glass.is_some()));
        if let Some(Glass { id, subject }) = &self.glass {
            hash.text(id);
            hash.text(subject);
        }
        hash.finish()
    }

    /// Somebody without roles, attributes or rights, for checking a policy when it is made.
    pub(crate) fn nobody() -> Self {
        Self {
            session_user: String::new(),
            current_user: String::new(),
            session_role: RoleId(0),
            current_role: RoleId(0),
            effective_roles: BTreeSet::new(),
            role_names: BTreeSet::new(),
            attributes: BTreeMap::new(),
            superuser: false,
            bypass_row_security: false,
            purpose: None,
            glass: None,
        }
    }

    /// A role by itself, as though it had logged in.
    pub(crate) fn of_role(snapshot: &Snapshot, id: RoleId) -> Option<Self> {
        let role = snapshot.role(id)?;
        let effective_roles = snapshot.effective_roles(id);
        Some(Self {
            session_user: role.name.clone(),
            current_user: role.name.clone(),
            session_role: id,
            current_role: id,
            role_names: effective_roles.iter().filter_map(|id| Some(snapshot.role(*id)?.name.clone())).collect(),
            effective_roles,
            attributes: role.attributes.clone(),
            superuser: role.superuser,
            bypass_row_security: role.bypass_row_security,
            purpose: None,
            glass: None,
        })
    }

    /// The roles whose privileges count when the principal itself reads.
    #[must_use]
    pub fn role_set(&self) -> RoleSet {
        RoleSet { roles: self.effective_roles.clone(), superuser: self.superuser }
    }
}

/// Attributes may name a person: only the user names print.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("session_user", &self.session_user)
            .field("current_user", &self.current_user)
            .finish_non_exhaustive()
    }
}

/// Roles whose table privileges are checked: the caller's, or those of a view's owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleSet {
    /// The role and every role that it inherits.
    pub roles: BTreeSet<RoleId>,
    /// The role itself is a superuser (the attribute is not inherited).
    pub superuser: bool,
}

impl RoleSet {
    /// The effective roles of `role`; nobody where the role is unknown.
    #[must_use]
    pub fn of(snapshot: &Snapshot, role: RoleId) -> Self {
        match snapshot.role(role) {
            Some(found) => Self { roles: snapshot.effective_roles(role), superuser: found.superuser },
            None => Self::default(),
        }
    }
}

/// SHA-256 over all fields of a [`Principal`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hashes fields so that no two different sequences of fields collide by concatenation.
struct FieldHash(Sha256);

impl FieldHash {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn text(&mut self, value: &str) {
        self.number(value.len() as u64);
        self.0.update(value.as_bytes());
    }

    fn number(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::principal;

    #[test]
    fn every_field_changes_the_fingerprint() {
        let base = principal("alice");
        let mut variants = vec![base.clone()];
        let mut vary = |change: &dyn Fn(&mut super::Principal)| {
            let mut changed = base.clone();
            change(&mut changed);
            variants.push(changed);
        };
        vary(&|p| p.session_user = "bob".into());
        vary(&|p| p.current_user = "bob".into());
        vary(&|p| p.session_role = lakeward_base::RoleId(77));
        vary(&|p| p.current_role = lakeward_base::RoleId(77));
        vary(&|p| p.effective_roles.extend([lakeward_base::RoleId(77)]));
        vary(&|p| p.role_names.extend(["privacy".into()]));
        vary(&|p| p.attributes.extend([("hospital_id".into(), "3".into())]));
        vary(&|p| p.superuser = true);
        vary(&|p| p.bypass_row_security = true);
        vary(&|p| p.purpose = Some(String::new()));
        let glass = |id: &str, subject: &str| Some(super::Glass { id: id.into(), subject: subject.into() });
        vary(&|p| p.glass = glass("1", "17"));
        vary(&|p| p.glass = glass("2", "17"));
        vary(&|p| p.glass = glass("1", "18"));
        let distinct: std::collections::BTreeSet<_> = variants.iter().map(super::Principal::fingerprint).collect();
        assert_eq!(distinct.len(), variants.len());
    }

    #[test]
    fn debug_does_not_show_attributes() {
        let mut alice = principal("alice");
        alice.attributes.insert("npi".into(), "1234567893".into());
        assert!(!format!("{alice:?}").contains("1234567893"));
    }
}
