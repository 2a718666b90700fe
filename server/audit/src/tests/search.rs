//! What the log answers to a privacy officer, and what it holds of what it is asked about.

use super::*;
use crate::{Answer, Asked, Question, Search, SubjectFacts, search};

const SSN: &str = "412-68-1073";

fn ask(log: &AuditLog, sql: &str, literals: &[&str], parameters: &[&str]) -> Audit<Begun> {
    let mut token = log.receive(who()).unwrap();
    token.describe("SELECT", "SELECT ? FROM patients");
    let literals: Vec<String> = literals.iter().map(|literal| (*literal).to_owned()).collect();
    let parameters: Vec<_> = parameters.iter().map(|value| Some((*value).to_owned())).collect();
    token.ask(&Asked { sql, literals: &literals, parameters: &parameters, more: false }).unwrap();
    token.begin(facts()).unwrap()
}

fn subjects(object: &str, subjects: &[&str], over: bool) -> SubjectFacts {
    let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    SubjectFacts { object: object.to_owned(), version: Some(3), subjects, over }
}

fn answer(directory: &Path, question: Question, accountable_only: bool) -> Answer {
    search(directory, &keys(), &Search { question, since_us: None, accountable_only, with_text: true }).unwrap()
}

#[test]
fn a_value_is_found_however_it_was_given_and_its_text_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    ask(&log, "SELECT '412-68-1073'", &[SSN], &[]).end(DONE);
    ask(&log, "SELECT 412681073", &["412681073"], &[]).end(DONE);
    ask(&log, "SELECT $1", &[], &["412 68 1073"]).end(DONE);
    ask(&log, "SELECT '412-68-1074'", &["412-68-1074"], &[]).end(DONE);
    let running = ask(&log, "SELECT $1 -- running", &[], &[SSN]);
    log.flushed().wait().unwrap();
    let found = answer(directory.path(), Question::Value(SSN.to_owned()), false);
    let told: Vec<_> =
        found.accesses.iter().map(|access| (access.sql.as_deref().unwrap(), access.outcome, access.rows)).collect();
    assert_eq!(
        told,
        [
            ("SELECT '412-68-1073'", "ended", Some(3)),
            ("SELECT 412681073", "ended", Some(3)),
            ("SELECT $1", "ended", Some(3)),
            ("SELECT $1 -- running", "running", None),
        ]
    );
    assert_eq!(found.accesses[2].parameters, [Some("412 68 1073".to_owned())]);
    assert!(found.accesses.iter().all(|access| access.certain && access.user_name == "alice"));
    running.end(DONE);
    log.shutdown().unwrap();
    // Nothing of it is in any file.
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for canary in [SSN, "412681073", "412 68 1073"] {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
        }
    }
}

#[test]
fn a_statement_of_too_many_values_may_have_used_any() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    let many: Vec<String> = (0..10_001).map(|number| format!("9{number}")).collect();
    ask(&log, "SELECT", &many.iter().map(String::as_str).collect::<Vec<_>>(), &[]).end(DONE);
    log.flushed().wait().unwrap();
    let found = answer(directory.path(), Question::Value(SSN.to_owned()), false);
    assert_eq!(found.accesses.iter().map(|access| access.certain).collect::<Vec<_>>(), [false]);
    assert!(answer(directory.path(), Question::Value("91".to_owned()), false).accesses[0].certain);
}

#[test]
fn who_was_shown_a_patient_is_listed_with_what_cannot_be_excluded() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    let shown = |tables: Vec<SubjectFacts>| {
        let mut token = ask(&log, "SELECT", &[], &[]);
        token.disclosed(tables);
        token.end(DONE);
    };
    shown(vec![subjects("public.patients", &["17", "18"], false), subjects("public.visits", &["17"], false)]);
    shown(vec![subjects("public.patients", &["18"], false)]);
    shown(vec![subjects("public.patients", &["18"], true)]);
    shown(vec![subjects("public.patients", &[], true)]);
    std::mem::forget(begin(&log).unwrap());
    log.flushed().wait().unwrap();
    let certain = |patient: &str| {
        let found = answer(directory.path(), Question::Subject(patient.to_owned()), false);
        found.accesses.iter().map(|access| (access.certain, access.outcome)).collect::<Vec<_>>()
    };
    assert_eq!(certain("17"), [(true, "ended"), (false, "ended"), (false, "ended"), (false, "running")]);
    assert_eq!(certain("18").iter().filter(|found| found.0).count(), 3);
    let shown =
        arrow::util::pretty::pretty_format_batches(&log.scan().unwrap().map(Result::unwrap).collect::<Vec<_>>())
            .unwrap()
            .to_string();
    assert_eq!(shown.matches("more subjects than are listed").count(), 2, "{shown}");
    let rows: usize = log.disclosures().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 3 + 1 + 2 + 1);
    drop(log);
    let (log, _) = open(config(directory.path()));
    assert_eq!(certain("99"), [(false, "ended"), (false, "ended"), (false, "unknown")]);
    let rows: usize = log.disclosures().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 8);
}

#[test]
fn disclosures_outside_are_accounted_for_unless_exempt() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    for (external, purpose) in [(true, None), (true, Some("TREAT")), (true, Some("HRESCH")), (false, Some("HRESCH"))] {
        let who = Who { external, purpose_of_use: purpose.map(str::to_owned), ..who().as_ref().clone() };
        let mut token = log.receive(&who).unwrap().begin(facts()).unwrap();
        token.disclosed(vec![subjects("public.patients", &["17"], false)]);
        token.end(DONE);
    }
    log.flushed().wait().unwrap();
    let purposes = |accountable_only| {
        let found = answer(directory.path(), Question::Subject("17".to_owned()), accountable_only);
        found.accesses.into_iter().map(|access| access.purpose_of_use).collect::<Vec<_>>()
    };
    assert_eq!(purposes(true), [None, Some("HRESCH".to_owned())]);
    assert_eq!(purposes(false).len(), 4);
    assert_eq!(answer(directory.path(), Question::User("alice".to_owned()), false).accesses.len(), 4);
    assert!(answer(directory.path(), Question::User("bob".to_owned()), false).accesses.is_empty());
}

#[test]
fn under_another_key_nothing_is_excluded() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    ask(&log, "SELECT $1", &[], &[SSN]).end(DONE);
    let mut token = ask(&log, "SELECT", &[], &[]);
    token.disclosed(vec![subjects("public.patients", &["17"], false)]);
    token.end(DONE);
    log.shutdown().unwrap();
    let other = AuditKeys { tokens: Zeroizing::new([1; 32]), ..keys() };
    for question in [Question::Value(SSN.to_owned()), Question::Subject("17".to_owned())] {
        let asked = Search { question, since_us: None, accountable_only: false, with_text: false };
        let own = search(directory.path(), &keys(), &asked).unwrap();
        assert_eq!((own.accesses.len(), own.accesses[0].certain, own.other_key), (1, true, 0));
        let found = search(directory.path(), &other, &asked).unwrap();
        assert_eq!((found.accesses.len(), found.accesses[0].certain, found.other_key), (1, false, 1));
    }
}

#[test]
fn an_absurd_statement_is_excerpted_and_tells_what_it_touched_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(config(directory.path()));
    let sql = format!("SELECT '{SSN}' || '{}'", "x".repeat(17 << 20));
    let mut token = log.receive(who()).unwrap();
    token.describe("SELECT", &sql.replace(SSN, "?"));
    let parameters = [Some(sql.clone()), Some("short".to_owned())];
    token.ask(&Asked { sql: &sql, literals: &[SSN.to_owned()], parameters: &parameters, more: false }).unwrap();
    let mut facts = facts();
    facts.objects[0].projected = vec!["column".repeat(1 << 20); 4];
    facts.policies = vec!["policy".repeat(1 << 20)];
    std::mem::forget(token.begin(facts).unwrap());
    log.flushed().wait().unwrap();
    drop(log);
    let (log, _) = open(config(directory.path()));
    let found = answer(directory.path(), Question::Value(SSN.to_owned()), false).accesses.remove(0);
    let text = found.sql.unwrap();
    assert!(found.certain && text.starts_with("SELECT '412-68-1073'"), "{}", text.len());
    assert!(text.len() < 300_000 && text.contains("bytes, SHA-256 "), "{}", text.len());
    assert!(found.parameters[0].as_ref().unwrap().len() < 300_000);
    let rows = answer(directory.path(), Question::Subject("17".to_owned()), false).accesses;
    assert_eq!(rows.iter().map(|access| (access.certain, access.outcome)).collect::<Vec<_>>(), [(false, "unknown")]);
    assert_eq!(rows[0].objects[0].name, "public.patients");
    let rows: usize = log.disclosures().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 1);
}
