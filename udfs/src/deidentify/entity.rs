//! The kinds of identifiers that text can hold, under the names that Presidio gives them.
//!
//! Invariant: a kind's name is stable: users write it in SQL, and `replace` writes it into notes.

/// A kind of identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// A person's name, or a part of one.
    Person,
    /// An e-mail address.
    EmailAddress,
    /// A telephone, pager or extension number.
    PhoneNumber,
    /// A fax number.
    Fax,
    /// A social security number, or its last digits where the text says so.
    UsSsn,
    /// An individual taxpayer identification number.
    UsItin,
    /// A professional licence: a DEA number, or what is called a licence.
    MedicalLicense,
    /// A National Provider Identifier.
    UsNpi,
    /// A Medicare Beneficiary Identifier.
    UsMbi,
    /// A medical record number.
    MedicalRecordNumber,
    /// A date more exact than a year.
    DateTime,
    /// An age over 89.
    Age,
    /// A place smaller than a state.
    Location,
    /// A web address.
    Url,
    /// An internet address.
    IpAddress,
    /// A payment card's number.
    CreditCard,
    /// A bank account.
    UsBankNumber,
    /// A bank's routing number.
    AbaRoutingNumber,
    /// An international bank account number.
    IbanCode,
    /// A driver's licence.
    UsDriverLicense,
    /// A passport.
    UsPassport,
    /// A vehicle's identification number or plate.
    Vehicle,
    /// A device's serial number or address.
    DeviceId,
    /// A health plan's member or policy number.
    HealthPlanNumber,
    /// An account, a case, an encounter, an accession; any other number of one person's.
    AccountNumber,
    /// A hospital, a clinic, a school, an employer.
    Organization,
    /// What the strict mode removes because nothing says that it is safe.
    Unverified,
}

/// Every kind, in the order of the reference.
pub(crate) const ALL: [Entity; 27] = [
    Entity::Person,
    Entity::EmailAddress,
    Entity::PhoneNumber,
    Entity::Fax,
    Entity::UsSsn,
    Entity::UsItin,
    Entity::MedicalLicense,
    Entity::UsNpi,
    Entity::UsMbi,
    Entity::MedicalRecordNumber,
    Entity::DateTime,
    Entity::Age,
    Entity::Location,
    Entity::Url,
    Entity::IpAddress,
    Entity::CreditCard,
    Entity::UsBankNumber,
    Entity::AbaRoutingNumber,
    Entity::IbanCode,
    Entity::UsDriverLicense,
    Entity::UsPassport,
    Entity::Vehicle,
    Entity::DeviceId,
    Entity::HealthPlanNumber,
    Entity::AccountNumber,
    Entity::Organization,
    Entity::Unverified,
];

impl Entity {
    /// The name in SQL and in replaced text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "PERSON",
            Self::EmailAddress => "EMAIL_ADDRESS",
            Self::PhoneNumber => "PHONE_NUMBER",
            Self::Fax => "FAX",
            Self::UsSsn => "US_SSN",
            Self::UsItin => "US_ITIN",
            Self::MedicalLicense => "MEDICAL_LICENSE",
            Self::UsNpi => "US_NPI",
            Self::UsMbi => "US_MBI",
            Self::MedicalRecordNumber => "MEDICAL_RECORD_NUMBER",
            Self::DateTime => "DATE_TIME",
            Self::Age => "AGE",
            Self::Location => "LOCATION",
            Self::Url => "URL",
            Self::IpAddress => "IP_ADDRESS",
            Self::CreditCard => "CREDIT_CARD",
            Self::UsBankNumber => "US_BANK_NUMBER",
            Self::AbaRoutingNumber => "ABA_ROUTING_NUMBER",
            Self::IbanCode => "IBAN_CODE",
            Self::UsDriverLicense => "US_DRIVER_LICENSE",
            Self::UsPassport => "US_PASSPORT",
            Self::Vehicle => "VEHICLE",
            Self::DeviceId => "DEVICE_ID",
            Self::HealthPlanNumber => "HEALTH_PLAN_NUMBER",
            Self::AccountNumber => "ACCOUNT_NUMBER",
            Self::Organization => "ORGANIZATION",
            Self::Unverified => "UNVERIFIED",
        }
    }

    /// The kind of that name, or of one of its aliases; upper and lower case are the same.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_uppercase();
        let meant = match name.as_str() {
            "EMAIL" => "EMAIL_ADDRESS",
            "SSN" => "US_SSN",
            "MRN" => "MEDICAL_RECORD_NUMBER",
            "PHONE" => "PHONE_NUMBER",
            "NPI" => "US_NPI",
            "MBI" => "US_MBI",
            "ABA" => "ABA_ROUTING_NUMBER",
            "IBAN" => "IBAN_CODE",
            "DATE" => "DATE_TIME",
            "NAME" => "PERSON",
            other => other,
        };
        ALL.into_iter().find(|entity| entity.name() == meant)
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entities(u32);

impl Entities {
    /// Every kind.
    pub const ALL: Self = Self(u32::MAX);

    /// These kinds.
    #[must_use]
    pub fn of(kinds: impl IntoIterator<Item = Entity>) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | kind.bit()))
    }

    /// Whether `kind` is one of them.
    #[must_use]
    pub const fn contains(self, kind: Entity) -> bool {
        self.0 & kind.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_is_in_its_own_set() {
        for (at, kind) in ALL.into_iter().enumerate() {
            assert_eq!(Entity::parse(kind.name()), Some(kind));
            let alone = Entities::of([kind]);
            assert!(ALL.into_iter().enumerate().all(|(other, k)| alone.contains(k) == (other == at)));
        }
        assert_eq!(Entity::parse("email"), Some(Entity::EmailAddress));
        assert_eq!(Entity::parse("PERSONS"), None);
    }
}
