//! A privacy officer's questions, answered from the log's files: who searched for a value, who was shown a patient's
//! rows, what a user did.
//!
//! Statements are put together from their records: the first holds the values' tokens and the sealed text, the last the
//! subjects and how it ended. Works beside a running server.
//!
//! Invariant: a statement that the answer cannot exclude is in it, marked as possible.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use lakeward_proto::{AuditObject, AuditPhase, AuditRecord};
use serde::Serialize;

use crate::error::AuditError;
use crate::keys::{AuditKeys, Sealer, TOKEN_BYTES, Token, Tokens};
use crate::names::{decision_name, protocol_name, uuid_text};
use crate::records::Records;

/// Purposes of use whose disclosures 45 CFR 164.528(a)(1)(i) exempts from accounting: treatment, payment, operations.
const EXEMPT_PURPOSES: [&str; 3] = ["TREAT", "HPAYMT", "HOPERAT"];

/// What is asked. Does not print: it names a patient.
pub enum Question {
    /// Who used this value in a statement, as a literal or a parameter?
    Value(String),
    /// Who was shown rows of this subject?
    Subject(String),
    /// What did this user do?
    User(String),
}

/// How it is asked.
pub struct Search {
    /// What.
    pub question: Question,
    /// Statements that were recorded before this time are left out; microseconds since 1970-01-01T00:00:00Z.
    pub since_us: Option<i64>,
    /// Only disclosures that have to be accounted for.
    pub accountable_only: bool,
    /// The statements' sealed texts are opened.
    pub with_text: bool,
}

/// The answer.
pub struct Answer {
    /// The statements, in the order of their first records.
    pub accesses: Vec<Access>,
    /// Statements of which the log cannot tell: recorded before it kept tokens.
    pub untold: u64,
    /// Statements whose tokens another key made, or one that is not told: they are in the answer as possible.
    pub other_key: u64,
}

/// A statement that is part of an answer.
#[derive(Serialize)]
pub struct Access {
    /// When it began, in microseconds since 1970-01-01T00:00:00Z.
    #[serde(skip)]
    pub at_us: i64,
    /// Its first record.
    pub event_id: String,
    /// The statement.
    pub statement_id: String,
    /// Who: the user who logged in.
    pub user_name: String,
    /// Their effective roles.
    pub roles: Vec<String>,
    /// Whether they are a recipient outside the hospital.
    pub external: bool,
    /// How they logged in.
    pub auth_method: String,
    /// From where.
    pub client_addr: String,
    /// With what.
    pub application_name: String,
    /// By which protocol.
    pub protocol: Option<&'static str>,
    /// Why, where they said.
    pub purpose_of_use: Option<String>,
    /// Under which broken glass.
    pub break_glass: Option<String>,
    /// The kind of statement.
    pub statement_class: String,
    /// Its text without literals.
    pub sql_normalized: String,
    /// What it touched.
    pub objects: Vec<AccessedObject>,
    /// Version of the catalog that it was decided under.
    pub policy_epoch: Option<u64>,
    /// What was decided.
    pub decision: Option<&'static str>,
    /// `ended`, `denied`, `received`, `running`, or `unknown`: the server stopped, assume disclosed.
    pub outcome: &'static str,
    /// How it ended.
    pub sqlstate: String,
    /// Rows that left.
    pub rows: Option<u64>,
    /// The log says so; else it cannot exclude it.
    pub certain: bool,
    /// A disclosure that 45 CFR 164.528 wants accounted for.
    pub accountable: bool,
    /// Its text, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Its parameters, where the text was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Option<String>>,
}

/// A table that a statement touched.
#[derive(Serialize)]
pub struct AccessedObject {
    /// Qualified name.
    pub name: String,
    /// Delta version.
    pub version: Option<i64>,
    /// Columns that left.
    pub projected: Vec<String>,
    /// Columns that chose rows.
    pub filtered: Vec<String>,
    /// Those that were masked.
    pub masked: Vec<String>,
}

/// Answers a question from the log in `directory`. Blocks; reads all of it.
///
/// # Errors
/// [`AuditError`] where the files cannot be read, or are damaged.
pub fn search(directory: &Path, keys: &AuditKeys, search: &Search) -> Result<Answer, AuditError> {
    let tokens = Tokens::new(keys);
    let sought = match &search.question {
        Question::Value(value) => tokens.of_value(value).collect(),
        Question::Subject(subject) => [tokens.of_subject(subject)].into(),
        Question::User(_) => HashSet::new(),
    };
    let sealer = if search.with_text { Some(Sealer::new(keys)?) } else { None };
    let (open, accesses, key) = (HashMap::new(), Vec::new(), tokens.fingerprint());
    let mut reading = Reading { search, sought, sealer, open, accesses, untold: 0, other_key: 0 };
    for recorded in Records::of(directory, None)? {
        let recorded = recorded?;
        reading.take(recorded.record, recorded.token_key == Some(key));
    }
    Ok(reading.finish())
}

struct Reading<'a> {
    search: &'a Search,
    sought: HashSet<Token>,
    sealer: Option<Sealer>,
    /// First records of statements that have not ended, and whether their tokens are of this key.
    open: HashMap<Vec<u8>, (AuditRecord, bool)>,
    accesses: Vec<Access>,
    untold: u64,
    other_key: u64,
}

impl Reading<'_> {
    fn take(&mut self, record: AuditRecord, same_key: bool) {
        if record.statement_id.is_empty() {
            return;
        }
        match record.phase() {
            AuditPhase::Begin => drop(self.open.insert(record.statement_id.clone(), (record, same_key))),
            AuditPhase::End | AuditPhase::Recovered => {
                let begin = self.open.remove(&record.statement_id);
                let (begin, same_key) = begin.map_or((None, same_key), |(begin, same)| (Some(begin), same && same_key));
                self.judge(begin.as_ref().unwrap_or(&record), &record, same_key);
            }
            AuditPhase::Denied | AuditPhase::Received => self.judge(&record, &record, same_key),
            AuditPhase::Progress | AuditPhase::Admin | AuditPhase::Heartbeat | AuditPhase::Unspecified => {}
        }
    }

    fn finish(mut self) -> Answer {
        for (_, (begin, same_key)) in std::mem::take(&mut self.open) {
            self.judge(&begin, &begin, same_key);
        }
        self.accesses.sort_by(|one, other| (one.at_us, &one.event_id).cmp(&(other.at_us, &other.event_id)));
        Answer { accesses: self.accesses, untold: self.untold, other_key: self.other_key }
    }

    /// Decides whether a statement, by its first and last records, is part of the answer.
    fn judge(&mut self, first: &AuditRecord, last: &AuditRecord, same_key: bool) {
        if self.search.since_us.is_some_and(|since_us| last.at_us < since_us) {
            return;
        }
        let certain = match &self.search.question {
            Question::User(name) => first.who.as_ref().is_some_and(|who| who.session_user == *name).then_some(true),
            Question::Value(_) | Question::Subject(_) if first.version < 2 => {
                self.untold += 1;
                None
            }
            Question::Value(_) => self.used(first, same_key),
            Question::Subject(_) => self.shown(last, same_key),
        };
        let Some(certain) = certain else { return };
        let access = self.access(first, last, certain);
        if access.accountable || !self.search.accountable_only {
            self.accesses.push(access);
        }
    }

    /// Whether the value was used for certain, or perhaps.
    fn used(&mut self, first: &AuditRecord, same_key: bool) -> Option<bool> {
        let asked = first.statement.as_ref()?;
        if !same_key && !asked.value_tokens.is_empty() {
            self.other_key += 1;
            return Some(false);
        }
        let found = self.sought_in(&asked.value_tokens);
        if found { Some(true) } else { asked.values_over.then_some(false) }
    }

    /// Whether rows of the subject were shown for certain, or perhaps.
    fn shown(&mut self, last: &AuditRecord, same_key: bool) -> Option<bool> {
        match last.phase() {
            // It never said whose rows it had read.
            AuditPhase::Begin | AuditPhase::Recovered => {
                last.objects.iter().any(|object| !object.subject_column.is_empty()).then_some(false)
            }
            _ if !same_key && last.disclosures.iter().any(|disclosure| !disclosure.tokens.is_empty()) => {
                self.other_key += 1;
                Some(false)
            }
            _ => {
                let found = last.disclosures.iter().any(|disclosure| self.sought_in(&disclosure.tokens));
                let perhaps = last.disclosures.iter().any(|disclosure| disclosure.over);
                if found { Some(true) } else { perhaps.then_some(false) }
            }
        }
    }

    fn sought_in(&self, tokens: &[u8]) -> bool {
        tokens.chunks_exact(TOKEN_BYTES).any(|token| self.sought.iter().any(|sought| sought == token))
    }

    fn access(&self, first: &AuditRecord, last: &AuditRecord, certain: bool) -> Access {
        let (who, asked) = (last.who.clone().unwrap_or_default(), last.statement.clone().unwrap_or_default());
        let purpose = who.purpose_of_use.clone().filter(|purpose| !purpose.is_empty());
        let discloses = !matches!(last.phase(), AuditPhase::Denied | AuditPhase::Received);
        let sealed = first.statement.as_ref().and_then(|asked| asked.sealed.as_ref());
        let text = self.sealer.as_ref().zip(sealed).and_then(|(key, text)| key.open(text, &first.statement_id));
        let (sql, parameters) = text.map(|text| (text.sql, text.parameters)).unzip();
        Access {
            at_us: first.at_us,
            event_id: uuid_text(&first.event_id).unwrap_or_default(),
            statement_id: uuid_text(&first.statement_id).unwrap_or_default(),
            accountable: discloses && is_accountable(who.external, purpose.as_deref()),
            external: who.external,
            protocol: protocol_name(who.protocol()),
            user_name: who.session_user,
            roles: who.roles,
            auth_method: who.auth_method,
            client_addr: who.client_addr,
            application_name: who.application_name,
            purpose_of_use: purpose,
            break_glass: Some(last.break_glass.clone()).filter(|glass| !glass.is_empty()),
            statement_class: asked.class,
            sql_normalized: asked.sql_normalized,
            objects: last.objects.iter().map(AccessedObject::from).collect(),
            policy_epoch: last.policy_epoch,
            decision: decision_name(last.decision()),
            outcome: outcome_of(last.phase()),
            sqlstate: last.sqlstate.clone(),
            rows: last.rows,
            certain,
            sql,
            parameters: parameters.into_iter().flatten().map(|parameter| parameter.value).collect(),
        }
    }
}

/// Whether a disclosure has to be accounted for.
pub(crate) fn is_accountable(external: bool, purpose: Option<&str>) -> bool {
    external
        && !purpose.is_some_and(|purpose| EXEMPT_PURPOSES.iter().any(|exempt| exempt.eq_ignore_ascii_case(purpose)))
}

fn outcome_of(phase: AuditPhase) -> &'static str {
    match phase {
        AuditPhase::End => "ended",
        AuditPhase::Denied => "denied",
        AuditPhase::Received => "received",
        AuditPhase::Recovered => "unknown",
        AuditPhase::Begin
        | AuditPhase::Progress
        | AuditPhase::Admin
        | AuditPhase::Heartbeat
        | AuditPhase::Unspecified => "running",
    }
}

impl From<&AuditObject> for AccessedObject {
    fn from(object: &AuditObject) -> Self {
        let AuditObject { name, version, projected, filtered, masked, subject_column: _ } = object.clone();
        Self { name, version, projected, filtered, masked }
    }
}
