//! What is found in notes, what is not, and what holds for any text at all.

use proptest::prelude::*;

use super::*;

fn detect(text: &str, request: &Request) -> Vec<Finding> {
    Detector::new().detect(text, request, &Hints::default()).expect("a short text")
}

fn found(text: &str) -> Vec<String> {
    let findings = detect(text, &Request::default());
    findings.iter().map(|f| format!("{} {}", f.entity.name(), &text[f.start..f.end])).collect()
}

fn applied(mut operator: Operator<'_>, text: &str, findings: &[Finding]) -> String {
    let mut output = String::new();
    operator.apply(text, findings, &mut output).expect("whole characters");
    output
}

#[test]
fn every_kind_is_found() {
    for (text, expected) in [
        ("Seen by Dr. Okafor", "PERSON Okafor"),
        ("SMITH, JOHN A", "PERSON SMITH, JOHN A"),
        ("Pt's daughter maria called", "PERSON maria"),
        ("Signed: Ann Lee, RN", "PERSON Ann Lee"),
        ("mail x.y+z@mail.example.org now", "EMAIL_ADDRESS x.y+z@mail.example.org"),
        ("call (617) 555-0142 ext. 12", "PHONE_NUMBER (617) 555-0142 ext. 12"),
        ("fax: 617-555-0142", "FAX 617-555-0142"),
        ("SSN 412-68-1073", "US_SSN 412-68-1073"),
        ("ITIN 912-70-1234", "US_ITIN 912-70-1234"),
        ("DEA AB1234563", "MEDICAL_LICENSE AB1234563"),
        ("NPI: 1234567893", "US_NPI 1234567893"),
        ("MBI 1EG4-TE5-MK73", "US_MBI 1EG4-TE5-MK73"),
        ("medical record number is 889-21-443", "MEDICAL_RECORD_NUMBER 889-21-443"),
        ("DOB 03/04/1956", "DATE_TIME 03/04/1956"),
        ("on March 4th, 2020 she", "DATE_TIME March 4th, 2020"),
        ("a 92-year-old man", "AGE 92"),
        ("ninety-two years old", "AGE ninety-two"),
        ("14 Maple Street, Apt 3B,\nSpringfield, IL 62704", "LOCATION 14 Maple Street, Apt 3B,\nSpringfield, IL 62704"),
        ("see https://example.org/a?b=c.", "URL https://example.org/a?b=c"),
        ("from 192.168.14.22", "IP_ADDRESS 192.168.14.22"),
        ("card 4111 1111 1111 1111", "CREDIT_CARD 4111 1111 1111 1111"),
        ("bank account 000123456789", "US_BANK_NUMBER 000123456789"),
        ("routing number 021000021", "ABA_ROUTING_NUMBER 021000021"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN_CODE GB82 WEST 1234 5698 7654 32"),
        ("driver's license S530-4218-9931", "US_DRIVER_LICENSE S530-4218-9931"),
        ("passport number 531209944", "US_PASSPORT 531209944"),
        ("VIN 1M8GDM9AXKP042788", "VEHICLE 1M8GDM9AXKP042788"),
        ("license plate 7ABC123", "VEHICLE 7ABC123"),
        ("serial number RNB412299S", "DEVICE_ID RNB412299S"),
        ("Member ID: XWF884210993", "HEALTH_PLAN_NUMBER XWF884210993"),
        ("Account # 8841-22-0091", "ACCOUNT_NUMBER 8841-22-0091"),
        ("at Massachusetts General Hospital", "ORGANIZATION Massachusetts General Hospital"),
    ] {
        assert_eq!(found(text), [expected], "{text}");
    }
}

#[test]
fn what_only_looks_like_one_is_left_alone() {
    for text in [
        "Parkinson's disease, Crohn disease, Foley catheter, Wolff-Parkinson-White syndrome, Hodgkin lymphoma",
        "BP 120/80, HR 98, 2/6 murmur, 5/5 strength, pain 3/10, SpO2 91% on 2 L",
        "metoprolol 25 mg BID, Lasix 40 mg IV, insulin 18 units",
        "3 days ago, in 2 weeks, since 2010, at 14:30, 63-year-old man, see section 3.2.1",
        "WBC 14.2, Hgb 10.1, Plt 233, Na 138, troponin 0.04, L4-L5, T12, ratio 1:4",
        "SSN 000-12-3456",
        "NPI 1234567890",
        "the hospital, Pain Clinic, Emergency Department, Primary Care",
    ] {
        assert_eq!(found(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn characters_that_look_alike_hide_nothing() {
    for text in [
        "SSN 412\u{200b}-68-1073",
        "SSN ４１２-６８-１０７３",
        "SSN 412\u{2011}68\u{2013}1073",
        "SSN 412-68-\n1073",
        "SSN 412-\u{ad}68-1073",
    ] {
        let findings = detect(text, &Request::default());
        assert_eq!(findings.len(), 1, "{text:?}");
        assert_eq!((&text[findings[0].start..findings[0].end], findings[0].entity), (&text[4..], Entity::UsSsn));
    }
}

#[test]
fn a_name_is_found_again_and_a_hint_wherever_it_stands() {
    let text = "Dr. Zyzzowitz called. Zyzzowitz will come.";
    assert_eq!(found(text), ["PERSON Zyzzowitz", "PERSON Zyzzowitz"]);
    let hints = Hints::of(["Qwrtz Example", "77-12-04"]);
    let text = "QWRTZ came in, chart 771204.";
    let findings = Detector::new().detect(text, &Request::default(), &hints).unwrap();
    let spans: Vec<_> = findings.iter().map(|f| &text[f.start..f.end]).collect();
    assert_eq!(spans, ["QWRTZ", "771204"]);
}

#[test]
fn the_strict_mode_leaves_only_what_is_known_to_be_safe() {
    let request = Request { strict: true, ..Request::default() };
    let text = "Given 5 mg heparin by xqzzk and Blorptan, code 99812234, pain at L4.";
    let findings = detect(text, &request);
    let spans: Vec<_> = findings.iter().map(|f| &text[f.start..f.end]).collect();
    assert_eq!(spans, ["xqzzk", "Blorptan", "99812234"]);
}

#[test]
fn a_hint_hides_nothing_less() {
    let hints = Hints::of(["John Smith", "02139", "Boston"]);
    for (text, expected) in [
        ("Lives at 12 Smith Street, Boston, MA 02139", "Lives at <LOCATION>"),
        ("Seen at Smith Memorial Hospital", "Seen at <ORGANIZATION>"),
        ("Smith was seen", "<PERSON> was seen"),
    ] {
        let findings = Detector::new().detect(text, &Request::default(), &hints).unwrap();
        assert_eq!(applied(Operator::Replace, text, &findings), expected);
    }
}

#[test]
fn a_card_ends_where_its_number_does() {
    for rest in [" 12/25", " 123", "\n12 Oaks", " 5", ", cvv 123"] {
        for before in ["Card ", "", "Visa: "] {
            let text = format!("{before}4111 1111 1111 1111{rest}");
            let hidden = found(&text).iter().any(|one| one == "CREDIT_CARD 4111 1111 1111 1111");
            assert!(hidden, "{text:?}: {:?}", found(&text));
        }
    }
}

#[test]
fn a_labelled_number_is_no_measure() {
    assert_eq!(found("MRN 1234567 Unit 5 West"), ["MEDICAL_RECORD_NUMBER 1234567"]);
    assert_eq!(found("Account 99887766 cc the team"), ["ACCOUNT_NUMBER 99887766"]);
    assert_eq!(found("Plan: 5000 units heparin"), Vec::<String>::new());
}

#[test]
fn a_character_of_several_is_replaced_once() {
    let request = Request { strict: true, ..Request::default() };
    for text in ["12345½67890", "12345⑴67890", "½½½123456½½½", "㏂123456㏂", "MRN 12345½ 617-555-0142½"] {
        let findings = detect(text, &request);
        assert!(findings.windows(2).all(|two| two[0].end <= two[1].start), "{text}");
        assert!(!applied(Operator::Replace, text, &findings).contains("12345"), "{text}");
    }
}

#[test]
fn dates_are_found_however_they_are_parted() {
    for (text, expected) in [
        ("DOB 03 04 1956", "DATE_TIME 03 04 1956"),
        ("DOB: 3.4.56", "DATE_TIME 3.4.56"),
        ("the 4th of July, 1956", "DATE_TIME 4th of July, 1956"),
        ("the 21st March 1956", "DATE_TIME 21st March 1956"),
    ] {
        assert_eq!(found(text), [expected], "{text}");
    }
    assert_eq!(found("gave 3 4 1956 and 2 5 10"), Vec::<String>::new());
}

#[test]
fn a_label_may_be_written_to_its_number() {
    for (text, expected) in [
        ("MRN1234567", "MEDICAL_RECORD_NUMBER 1234567"),
        ("SSN412681073", "US_SSN 412681073"),
        ("SSN412-68-1073", "US_SSN 412-68-1073"),
        ("Acct99887766", "ACCOUNT_NUMBER 99887766"),
        ("DOB03/04/1956", "DATE_TIME 03/04/1956"),
        ("call x71234", "PHONE_NUMBER 71234"),
        ("pager x71234", "PHONE_NUMBER 71234"),
    ] {
        assert_eq!(found(text), [expected], "{text}");
    }
    assert_eq!(found("given x2, x10 daily"), Vec::<String>::new());
}

#[test]
fn an_age_is_a_persons() {
    for (text, expected) in [
        ("She is 94 and lives alone", "AGE 94"),
        ("his 95th birthday", "AGE 95"),
        ("Pt is 91.", "AGE 91"),
        ("92 F with chest pain", "AGE 92"),
    ] {
        assert_eq!(found(text), [expected], "{text}");
    }
    for text in [
        "Temp 98 F with chills",
        "T 101 F with rigors",
        "fever to 102 F with rigors",
        "HR is 94 and rising",
        "T 99F with",
    ] {
        assert_eq!(found(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_strict_mode_removes_the_unverified_whichever_kinds_are_asked_for() {
    let request = Request { strict: true, entities: Entities::of([Entity::EmailAddress]), ..Request::default() };
    let text = "Mail a@b.org about xqzzk";
    let spans: Vec<_> = detect(text, &request).iter().map(|f| text[f.start..f.end].to_owned()).collect();
    assert_eq!(spans, ["a@b.org", "xqzzk"]);
}

#[test]
fn an_address_is_one_thing_and_short_numbers_are_no_hints() {
    assert_eq!(found("mail John-Smith@x.org"), ["EMAIL_ADDRESS John-Smith@x.org"]);
    let many = (0..200).map(|n| format!("10{n:04}-77")).chain(["17".to_owned(), "MRN 88-31-2".to_owned()]);
    let many: Vec<String> = many.collect();
    let hints = Hints::of(many.iter().map(String::as_str));
    let text = "bed 17, chart 10.0042-77, 88312 and mrn88312";
    let findings = Detector::new().detect(text, &Request::default(), &hints).unwrap();
    let spans: Vec<_> = findings.iter().map(|f| &text[f.start..f.end]).collect();
    assert_eq!(spans, ["10.0042-77", "mrn88312"]);
}

/// Texts of what notes are made of, and of what they are not.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\PC{0,6}",
        "[0-9]{1,10}",
        "[-./:@() \n\r\t'#<>,;]{1,3}",
        Just("Dr. ".to_owned()),
        Just("SMITH, John A. MD ".to_owned()),
        Just("MRN: ".to_owned()),
        Just("14 Maple Street, Boston, MA 02139".to_owned()),
        Just("March 4".to_owned()),
        Just("<PERSON>".to_owned()),
        Just("\u{200b}".to_owned()),
        Just("٤١٢".to_owned()),
        Just("½".to_owned()),
        Just("⑴".to_owned()),
        Just("http://".to_owned()),
        Just("St. Mary's Hospital".to_owned()),
        Just("ninety".to_owned()),
        Just("x@y.".to_owned()),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

struct Reverse;

impl Cipher for Reverse {
    fn seal(&mut self, _: Entity, value: &str) -> Option<Vec<u8>> {
        Some(value.bytes().rev().map(|byte| !byte).chain([0; 32]).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn spans_are_in_order_and_of_whole_characters(text in hostile(), strict in any::<bool>()) {
        let findings = detect(&text, &Request { strict, ..Request::default() });
        let mut end = 0;
        for finding in &findings {
            prop_assert!(end <= finding.start && finding.start < finding.end, "{findings:?}");
            prop_assert!(text.get(finding.start..finding.end).is_some());
            prop_assert!((0.0..=1.0).contains(&finding.score));
            end = finding.end;
        }
    }

    #[test]
    fn what_was_replaced_is_not_found_in_the_output(text in hostile()) {
        let findings = detect(&text, &Request::default());
        let values: Vec<&str> = findings.iter().map(|f| &text[f.start..f.end]).collect();
        let outputs = [
            applied(Operator::Replace, &text, &findings),
            applied(Operator::Mask, &text, &findings),
            applied(Operator::Seal(&mut Reverse), &text, &findings),
        ];
        for output in outputs {
            for again in detect(&output, &Request::default()) {
                let value = &output[again.start..again.end];
                let hidden = value.chars().all(|c| !c.is_alphanumeric());
                // What is found now was not marked as one of the same kind in the same place before.
                prop_assert!(hidden || !values.contains(&value) || text.matches(value).count() > values.iter().filter(|v| **v == value).count(), "{value:?} of {output:?}");
            }
        }
        // Redacting takes exactly the spans away.
        let redacted = applied(Operator::Redact, &text, &findings);
        prop_assert_eq!(redacted.len() + values.iter().map(|value| value.len()).sum::<usize>(), text.len());
    }

    #[test]
    fn an_output_stays_as_it_is(text in hostile()) {
        // Markers are read as such: nothing within one is replaced again.
        let findings = detect(&text, &Request::default());
        let output = applied(Operator::Seal(&mut Reverse), &text, &findings);
        let again = detect(&output, &Request::default());
        for finding in again {
            let value = &output[finding.start..finding.end];
            prop_assert!(value.len() < 64 || !value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value:?}");
        }
    }
}

#[test]
fn time_grows_with_the_length_alone() {
    // A quadratic rule would take hours here.
    for unit in [
        "a",
        "1",
        "1-",
        "John ",
        "Dr. ",
        "x@",
        "a.",
        "<PERSON",
        "MRN ",
        "St. ",
        "\u{200b}1",
        "O'",
        "12 Elm ",
        "::",
        "A-",
    ] {
        let text = unit.repeat(200_000 / unit.len());
        detect(&text, &Request::default());
    }
}
