//! What Apache Ranger exports: `{"policies": […]}`, or the list by itself, as its REST interface has it.
//!
//! Invariant: what a policy holds beyond what is known here is kept in `others`, so that it is told rather than dropped.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Fields that say nothing about who sees what.
const SILENT: &[&str] = &[
    "id",
    "guid",
    "version",
    "createdBy",
    "updatedBy",
    "createTime",
    "updateTime",
    "service",
    "description",
    "resourceSignature",
    "isAuditEnabled",
    "options",
    "policyLabels",
    "delegateAdmin",
];

/// The file.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Export {
    /// With what it says of itself.
    File {
        /// The policies.
        policies: Vec<Policy>,
    },
    /// The policies alone.
    List(Vec<Policy>),
}

impl Export {
    /// The policies, as they stand in the file.
    #[must_use]
    pub fn into_policies(self) -> Vec<Policy> {
        match self {
            Self::File { policies } | Self::List(policies) => policies,
        }
    }
}

/// A policy.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Unique in the service.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// `hive`.
    #[serde(default)]
    pub service_type: Option<String>,
    /// 0 who may do what, 1 masks, 2 row filters.
    #[serde(default, deserialize_with = "or_default")]
    pub policy_type: i64,
    /// 1 goes before 0.
    #[serde(default, deserialize_with = "or_default")]
    pub policy_priority: i64,
    /// In force.
    #[serde(default = "yes")]
    pub is_enabled: bool,
    /// Denies whoever no item lets in.
    #[serde(default, deserialize_with = "or_default")]
    pub is_deny_all_else: bool,
    /// A security zone; empty is none.
    #[serde(default, deserialize_with = "or_default")]
    pub zone_name: String,
    /// By kind: `database`, `table`, `column`.
    #[serde(default, deserialize_with = "or_default")]
    pub resources: Resources,
    /// Further ones of the same policy.
    #[serde(default, deserialize_with = "or_default")]
    pub additional_resources: Vec<Resources>,
    /// Of masks: the first that fits counts.
    #[serde(default, deserialize_with = "or_default")]
    pub data_mask_policy_items: Vec<Item>,
    /// Of row filters: the first that fits counts.
    #[serde(default, deserialize_with = "or_default")]
    pub row_filter_policy_items: Vec<Item>,
    /// Items of policies about access.
    #[serde(default, deserialize_with = "or_default")]
    pub policy_items: Vec<Value>,
    /// The same.
    #[serde(default, deserialize_with = "or_default")]
    pub deny_policy_items: Vec<Value>,
    /// The same.
    #[serde(default, deserialize_with = "or_default")]
    pub allow_exceptions: Vec<Value>,
    /// The same.
    #[serde(default, deserialize_with = "or_default")]
    pub deny_exceptions: Vec<Value>,
    /// When the whole policy holds.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: Vec<Value>,
    /// During which times it holds.
    #[serde(default, deserialize_with = "or_default")]
    pub validity_schedules: Vec<Value>,
    /// Everything else.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Policy {
    /// Fields that nothing is known of, and that are not empty.
    pub fn unknown_fields(&self) -> impl Iterator<Item = &str> {
        unknown(&self.others)
    }
}

/// What a policy is about, by kind.
pub type Resources = BTreeMap<String, Resource>;

/// Names, perhaps with `*` and `?`.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// The names.
    #[serde(default, deserialize_with = "or_default")]
    pub values: Vec<String>,
    /// All but these.
    #[serde(default, deserialize_with = "or_default")]
    pub is_excludes: bool,
}

/// For some users: a mask, or a filter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// `select`.
    #[serde(default, deserialize_with = "or_default")]
    pub accesses: Vec<Access>,
    /// Names of users.
    #[serde(default, deserialize_with = "or_default")]
    pub users: Vec<String>,
    /// Names of groups.
    #[serde(default, deserialize_with = "or_default")]
    pub groups: Vec<String>,
    /// Names of roles.
    #[serde(default, deserialize_with = "or_default")]
    pub roles: Vec<String>,
    /// When it holds.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: Vec<Value>,
    /// The mask.
    #[serde(default)]
    pub data_mask_info: Option<DataMaskInfo>,
    /// The filter.
    #[serde(default)]
    pub row_filter_info: Option<RowFilterInfo>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Item {
    /// Fields that nothing is known of, and that are not empty.
    pub fn unknown_fields(&self) -> impl Iterator<Item = &str> {
        unknown(&self.others)
    }

    /// Whether it is about reading.
    #[must_use]
    pub fn is_about_reading(&self) -> bool {
        let reads = |access: &Access| access.is_allowed && ["select", "all"].contains(&access.kind.as_str());
        self.accesses.is_empty() || self.accesses.iter().any(reads)
    }
}

/// What an item is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    kind: String,
    #[serde(default = "yes")]
    is_allowed: bool,
}

/// A mask.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataMaskInfo {
    /// `MASK`, `CUSTOM`, ….
    #[serde(default, deserialize_with = "or_default")]
    pub data_mask_type: String,
    /// Of `CUSTOM`: an expression over `{col}`.
    #[serde(default, deserialize_with = "or_default")]
    pub value_expr: String,
    /// A condition that Ranger has never made use of.
    #[serde(default, deserialize_with = "or_default")]
    pub condition_expr: String,
}

/// A filter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowFilterInfo {
    /// A condition on the row; empty lets all rows through.
    #[serde(default, deserialize_with = "or_default")]
    pub filter_expr: String,
}

fn yes() -> bool {
    true
}

/// Ranger writes `null` for what is not there.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn unknown(others: &Map<String, Value>) -> impl Iterator<Item = &str> {
    others
        .iter()
        .filter(|(name, value)| !SILENT.contains(&name.as_str()) && !is_empty(value))
        .map(|(name, _)| name.as_str())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
