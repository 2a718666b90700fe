//! Tags: which values they take, and which masks they bring along.

use lakeward_base::{SqlState, TagId};

use super::{Hospital, refused};
use crate::draft::NewTag;
use crate::error::CatalogError;
use crate::mask::MaskSource;
use crate::model::Column;

impl Hospital {
    fn tag(&mut self, name: &str, allowed: Option<&[&str]>) -> Result<TagId, CatalogError> {
        let allowed_values = allowed.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
        self.draft.create_tag(NewTag { name: name.to_owned(), allowed_values, owner: self.admin })
    }

    fn tag_column(&mut self, column: &str, tag: TagId, value: Option<&str>) -> Result<(), CatalogError> {
        self.draft.set_tag(self.patients, self.column(column), tag, value.map(str::to_owned))
    }

    fn mask_tag(&mut self, tag: TagId, value: &str, policy: &str) -> Result<(), CatalogError> {
        let policy = self.draft.masking_policy_by_name(policy).expect("policy").id;
        self.draft.alter_tag(tag, |tag| {
            tag.masks.insert(value.to_owned(), policy);
        })
    }

    /// The policy in effect on a column, and whether a tag brings it along.
    fn in_effect(&self, column: &str) -> Option<(String, bool)> {
        let table = self.draft.table(self.patients).expect("patients");
        let column: &Column = table.columns.iter().find(|known| known.name == column).expect("column");
        let mask = self.draft.mask_of(column)?;
        let name = self.draft.masking_policy(mask.binding.policy).expect("policy").name.clone();
        Some((name, matches!(mask.source, MaskSource::Tag(_))))
    }
}

#[test]
fn a_tags_mask_holds_on_every_column_so_tagged_and_a_columns_own_beats_it() {
    let mut hospital = Hospital::new();
    let phi = hospital.tag("phi", None).expect("phi");
    let own = hospital.mask("own", 1).expect("own");
    hospital.mask("by_tag", 1).expect("by_tag");
    hospital.tag_column("ssn", phi, Some("ssn")).expect("tagged");
    assert_eq!(hospital.in_effect("ssn"), None);
    hospital.mask_tag(phi, "ssn", "by_tag").expect("set");
    assert_eq!(hospital.in_effect("ssn"), Some(("by_tag".to_owned(), true)));
    assert_eq!(hospital.in_effect("patient_id"), None);
    hospital.tag_column("patient_id", phi, Some("ssn")).expect("tagged");
    assert_eq!(hospital.in_effect("patient_id"), Some(("by_tag".to_owned(), true)));
    hospital.tag_column("patient_id", phi, Some("name")).expect("another value");
    assert_eq!(hospital.in_effect("patient_id"), None);
    hospital.set_mask(own, &["ssn"]).expect("own mask");
    assert_eq!(hospital.in_effect("ssn"), Some(("own".to_owned(), false)));
    hospital.draft.set_mask(hospital.patients, hospital.column("ssn"), None).expect("unset");
    assert_eq!(hospital.in_effect("ssn"), Some(("by_tag".to_owned(), true)));
    hospital.tag_column("ssn", phi, None).expect("untagged");
    assert_eq!(hospital.in_effect("ssn"), None);
}

#[test]
fn a_second_mask_by_a_tag_is_refused_whichever_statement_would_bring_it() {
    let mut hospital = Hospital::new();
    let (phi, pii) = (hospital.tag("phi", None).expect("phi"), hospital.tag("pii", None).expect("pii"));
    hospital.mask("m", 1).expect("m");
    hospital.mask("n", 1).expect("n");
    hospital.mask_tag(phi, "ssn", "m").expect("set");
    hospital.mask_tag(pii, "high", "n").expect("set");
    hospital.tag_column("ssn", phi, Some("ssn")).expect("tagged");
    let message = "two tags would each set a masking policy on column \"ssn\" of table \"patients\": m, n";
    refused(hospital.tag_column("ssn", pii, Some("high")), SqlState::INVALID_OBJECT_DEFINITION, message);
    hospital.tag_column("ssn", pii, Some("low")).expect("no mask for it");
    refused(hospital.mask_tag(pii, "low", "n"), SqlState::INVALID_OBJECT_DEFINITION, message);
    // A mask of its own hides the conflict only until it is taken away.
    let own = hospital.draft.masking_policy_by_name("m").expect("m").id;
    hospital.set_mask(own, &["ssn"]).expect("own mask");
    refused(hospital.mask_tag(pii, "low", "n"), SqlState::INVALID_OBJECT_DEFINITION, message);
}

#[test]
fn a_mask_by_a_tag_has_the_columns_type_and_reads_the_column_alone() {
    let mut hospital = Hospital::new();
    let phi = hospital.tag("phi", None).expect("phi");
    let number = hospital.mask("number", 1).expect("number");
    hospital
        .draft
        .alter_masking_policy(number, |policy| {
            "bigint".clone_into(&mut policy.returns);
            "bigint".clone_into(&mut policy.parameters[0].sql_type);
        })
        .expect("altered");
    hospital.mask("two", 2).expect("two");
    hospital.mask_tag(phi, "n", "number").expect("no column has it yet");
    let message = "column \"ssn\" of table \"patients\" is of type text, but masking policy \"number\" takes bigint";
    refused(hospital.tag_column("ssn", phi, Some("n")), SqlState::DATATYPE_MISMATCH, message);
    hospital.tag_column("ssn", phi, Some("other")).expect("tagged");
    refused(hospital.mask_tag(phi, "other", "number"), SqlState::DATATYPE_MISMATCH, message);
    let message = "masking policy \"two\" takes 2 columns, and cannot be set on tag \"phi\"";
    refused(hospital.mask_tag(phi, "other", "two"), SqlState::INVALID_OBJECT_DEFINITION, message);
    // In use, its types stay.
    let altered = hospital.draft.alter_masking_policy(number, |policy| "text".clone_into(&mut policy.returns));
    let message = "cannot change the parameters of masking policy number because other objects depend on it";
    refused(altered, SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
}

#[test]
fn values_are_those_that_the_tag_allows() {
    let mut hospital = Hospital::new();
    let phi = hospital.tag("phi", Some(&["name", "ssn"])).expect("phi");
    hospital.mask("m", 1).expect("m");
    let message = "the value is not one that tag \"phi\" allows";
    refused(hospital.tag_column("ssn", phi, Some("SSN")), SqlState::INVALID_PARAMETER_VALUE, message);
    refused(hospital.mask_tag(phi, "x", "m"), SqlState::INVALID_PARAMETER_VALUE, message);
    hospital.tag_column("ssn", phi, Some("ssn")).expect("tagged");
    hospital.mask_tag(phi, "name", "m").expect("set");
    let message = "a value of tag phi that is in use must stay allowed";
    for kept in [&["name"][..], &["ssn"]] {
        let values = kept.iter().map(|value| (*value).to_owned()).collect();
        let fewer = hospital.draft.alter_tag(phi, |tag| tag.allowed_values = Some(values));
        refused(fewer, SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    }
    hospital.draft.alter_tag(phi, |tag| tag.allowed_values = None).expect("all");
    hospital.tag_column("ssn", phi, Some("anything")).expect("tagged");
    let long = "x".repeat(257);
    let message = "the value of a tag is too long, or has control characters";
    refused(hospital.tag_column("ssn", phi, Some(&long)), SqlState::INVALID_PARAMETER_VALUE, message);
}

#[test]
fn what_a_tag_is_used_by_keeps_it() {
    let mut hospital = Hospital::new();
    let phi = hospital.tag("phi", None).expect("phi");
    refused(hospital.tag("phi", None), SqlState::DUPLICATE_OBJECT, "tag \"phi\" already exists");
    let mask = hospital.mask("m", 1).expect("m");
    hospital.mask_tag(phi, "ssn", "m").expect("set");
    let error = refused(
        hospital.draft.drop_tag(phi),
        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
        "cannot drop tag phi because other objects depend on it",
    );
    assert_eq!(lakeward_base::Coded::detail(&error).as_deref(), Some("masking policy m is set on it"));
    let message = "cannot drop masking policy m because other objects depend on it";
    refused(hospital.draft.drop_masking_policy(mask), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    hospital.draft.alter_tag(phi, |tag| tag.masks.clear()).expect("unset");
    hospital.draft.drop_masking_policy(mask).expect("dropped");
    hospital.tag_column("ssn", phi, Some("ssn")).expect("tagged");
    assert!(hospital.draft.drop_tag(phi).is_err());
    // A column that goes, or changes its type, would lose it.
    let columns = super::columns(&["patient_id", "hospital_id"]);
    let message = "cannot drop column ssn of table patients: it is tagged";
    let replaced = hospital.draft.replace_columns(hospital.patients, &columns, 7);
    refused(replaced, SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    hospital.draft.drop_table(hospital.patients).expect("dropped");
    hospital.draft.drop_tag(phi).expect("dropped");
}
