//! Against RFC 7677's exchange, a client written from RFC 5802, and hostile text.

use std::str::FromStr;

use ::hmac as hmac_crate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lakeward_base::Redacted;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{DEFAULT_ITERATIONS, InvalidVerifier, ScramVerifier, hmac, prepare};

/// RFC 7677 §3: user `user`, password `pencil`.
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const AUTH_MESSAGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
    r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
    c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}

fn password(text: &str) -> Redacted<String> {
    Redacted::new(text.to_owned())
}

fn rfc_verifier() -> ScramVerifier {
    ScramVerifier::derive("pencil", decode(SALT), 4096)
}

/// A client's proof, straight from RFC 5802 §3.
fn proof_of(secret: &str, verifier: &ScramVerifier, message: &[u8]) -> Vec<u8> {
    let mut salted = [0; 32];
    let prepared = prepare(secret);
    pbkdf2::pbkdf2::<hmac_crate::Hmac<Sha256>>(
        prepared.as_bytes(),
        verifier.salt(),
        verifier.iterations(),
        &mut salted,
    )
    .expect("pbkdf2");
    let client_key = hmac(&salted, &[b"Client Key"]);
    let stored: [u8; 32] = Sha256::digest(client_key).into();
    client_key.iter().zip(hmac(&stored, &[message])).map(|(key, signed)| key ^ signed).collect()
}

#[test]
fn the_exchange_of_rfc_7677_succeeds() {
    let signature = rfc_verifier().verify_proof(AUTH_MESSAGE.as_bytes(), &decode(PROOF)).expect("the proof is right");
    assert_eq!(signature.as_slice(), decode(SIGNATURE));
}

#[test]
fn a_wrong_or_cut_proof_fails() {
    let verifier = rfc_verifier();
    let proof = decode(PROOF);
    for (index, _) in proof.iter().enumerate() {
        let mut wrong = proof.clone();
        wrong[index] ^= 1;
        assert!(verifier.verify_proof(AUTH_MESSAGE.as_bytes(), &wrong).is_none());
        assert!(verifier.verify_proof(AUTH_MESSAGE.as_bytes(), &proof[..index]).is_none(), "cut to {index} bytes");
    }
    assert!(verifier.verify_proof(AUTH_MESSAGE.as_bytes(), &[proof.clone(), vec![0]].concat()).is_none());
    assert!(verifier.verify_proof(b"another message", &proof).is_none());
}

/// What `SELECT rolpassword FROM pg_authid` answered in PostgreSQL 15 after `CREATE ROLE … PASSWORD` with each of these.
const POSTGRESQL_WROTE: [(&str, &str); 8] = [
    (
        "pencil",
        "SCRAM-SHA-256$4096:luI8uTvCK8nSRWHcB2HBlQ==$Rb965Qy8gkMxoz3GDUWxuIWLT3kpuGgh6IgvPtQcBDg=:399oqKLpkLYwCr268fBktPCvAUo69Nu9FAGb4hmZ3Wo=",
    ),
    (
        "pa\u{AD}ss\u{2168}",
        "SCRAM-SHA-256$4096:ZvIWeo3EWs8ZdLt0WYD8vw==$zCVvZjJpQ5Ar2GallXNQF8qe5NteU3OoKmZ+SUT+o7Q=:qzhtvhBEgquZk4CVPz1nNs1WvCcUvur2nUGV5i2GJQM=",
    ),
    (
        "bell\u{7}",
        "SCRAM-SHA-256$4096:rYw4mlz9xO86hjzp88btYQ==$odc89zyA4Y5BhF/9BBud9Qtv1d+H2dA6oVssVkLOf3A=:URld08eOyhYgYv5f5mWUyIuRS3yoTX7u5J3t1vWcdds=",
    ),
    (
        "\u{627}1",
        "SCRAM-SHA-256$4096:w377W6S/BCn758EBbSnbXw==$f/YFPCtgfG05iS+xM6MECKZKFUcbzrYV05TRdVxukhU=:5dWLWBFMt8w14N+UyiSqwaGKqMuUzwPQd0A/PCLshOc=",
    ),
    (
        "a\u{A0}b",
        "SCRAM-SHA-256$4096:gfM/IiYR6a2qsIQeCaIuuA==$cRMwiMCyvYuDuo/jbyGEukc1aOtjD7Wl+cym19QvhP8=:dZlMVT0IxcDfekNiTG1jR6rnQ89kqYsU4UAOitoGoMs=",
    ),
    (
        "\u{221}x",
        "SCRAM-SHA-256$4096:XhOKZReSWlVujHThFB82SQ==$vJag14O4ZkyF/NpZU09EGUDQacHqhe7w9HsdviUzQws=:Y2qDQqggkR3CL2r/JNahMmqDPRb+QqXenmw5sxlHpu0=",
    ),
    (
        "\u{AD}",
        "SCRAM-SHA-256$4096:hTQ5SYJrpEwO9nSNzxWzQw==$Ufq+RsMHdSB3gUsAV+NkhNwltxVtHDLjuDvObcj8Ewg=:G8ZiRBnKp4joEieCUL3PWr1HamxOSwH3/y54PQ7nOSE=",
    ),
    (
        "\u{FF21}\u{1F600}",
        "SCRAM-SHA-256$4096:diBa5J5h6ab4incGHQ5B1g==$5K0NEvHKIziOCpqO9U6Kc6veS3EvL0U1AoG1hbTPqRo=:TRECzpzrdGzK+O8VyxOyxQqkxrQQDGQTY1hvn1wqtDk=",
    ),
];

#[test]
fn verifiers_that_postgresql_wrote_are_taken_and_written_back() {
    for (secret, text) in POSTGRESQL_WROTE {
        let read = ScramVerifier::from_str(text).expect("verifier");
        assert_eq!(read.to_string(), text);
        assert!(read.verify_password(secret), "{secret:?}");
        assert!(!read.verify_password("another"));
        assert_eq!(
            ScramVerifier::from_password_or_verifier(&password(text)).to_string(),
            text,
            "a verifier is not a password"
        );
    }
    let nearly = "SCRAM-SHA-256$pencil";
    assert!(ScramVerifier::from_password_or_verifier(&password(nearly)).verify_password(nearly));
}

#[test]
fn passwords_are_prepared_as_postgresql_does() {
    // RFC 4013 §3, and what SASLprep refuses: used as it is.
    for (text, prepared) in [
        ("I\u{AD}X", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u{AA}", "a"),
        ("\u{2168}", "IX"),
        ("a\u{A0}b", "a b"),
        ("bell\u{7}", "bell\u{7}"),
        ("\u{627}1", "\u{627}1"),
        ("\u{AD}", "\u{AD}"),
        ("", ""),
    ] {
        assert_eq!(*prepare(text), prepared, "{text:?}");
    }
    let verifier = ScramVerifier::from_password(&password("pa\u{AD}ss\u{2168}"));
    assert!(verifier.verify_password("passIX"));
}

#[test]
fn each_verifier_has_a_salt_of_its_own() {
    let (one, two) = (ScramVerifier::from_password(&password("x")), ScramVerifier::from_password(&password("x")));
    assert_ne!(one.salt(), two.salt());
    assert_eq!((one.iterations(), one.salt().len()), (DEFAULT_ITERATIONS, 16));
}

#[test]
fn a_mock_looks_like_a_verifier_and_lets_nobody_in() {
    let seed = [7; 32];
    let mock = ScramVerifier::mock(&seed, "nobody");
    let again = ScramVerifier::mock(&seed, "nobody");
    assert_eq!(mock.to_string(), again.to_string());
    assert_ne!(mock.salt(), ScramVerifier::mock(&seed, "somebody").salt());
    assert_ne!(mock.salt(), ScramVerifier::mock(&[8; 32], "nobody").salt());
    assert_eq!((mock.iterations(), mock.salt().len()), (DEFAULT_ITERATIONS, 16));
    for guess in ["", "nobody"] {
        assert!(!mock.verify_password(guess));
        assert!(mock.verify_proof(b"message", &proof_of(guess, &mock, b"message")).is_none());
    }
}

#[test]
fn debug_prints_nothing() {
    assert_eq!(format!("{:?}", rfc_verifier()), "ScramVerifier(<redacted>)");
}

#[test]
fn what_is_no_verifier_is_refused() {
    let good = rfc_verifier().to_string();
    let wrong = [
        String::new(),
        "pencil".to_owned(),
        "md5a1b2c3d4e5f60718293a4b5c6d7e8f90".to_owned(),
        good.replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
        good.replace("4096", "0"),
        good.replace("4096", "-1"),
        good.replace("4096", "+4096"),
        good.replace("4096", "1000001"),
        good.replace("4096", "99999999999"),
        good.replace("4096:", "4096"),
        good.replace(SALT, ""),
        good.replace(SALT, "not base64!"),
        format!("{good}$"),
        format!("{good}AAAA"),
        good.trim_end_matches('=').to_owned(),
    ];
    for text in wrong {
        assert_eq!(ScramVerifier::from_str(&text).err(), Some(InvalidVerifier), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_right_password_and_no_other_proves(secret in "\\PC{0,24}", other in "\\PC{0,24}", message in proptest::collection::vec(any::<u8>(), 0..64)) {
        let verifier = ScramVerifier::derive(&secret, b"salt".to_vec(), 2);
        prop_assert!(verifier.verify_proof(&message, &proof_of(&secret, &verifier, &message)).is_some());
        let same = *prepare(&secret) == *prepare(&other);
        prop_assert_eq!(verifier.verify_proof(&message, &proof_of(&other, &verifier, &message)).is_some(), same);
        prop_assert_eq!(verifier.verify_password(&other), same);
    }

    #[test]
    fn hostile_text_neither_panics_nor_changes_meaning(text in "(SCRAM-SHA-256)?[$:0-9A-Za-z+/=]{0,80}") {
        if let Ok(verifier) = ScramVerifier::from_str(&text) {
            prop_assert_eq!(ScramVerifier::from_str(&verifier.to_string()).map(|read| read.to_string()), Ok(verifier.to_string()));
        }
    }
}
