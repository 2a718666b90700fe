//! Notices of BREAK GLASS: what a receiver is posted, when, and until it takes it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Lab, Server};

const SETUP: &str = "
    CREATE TABLE patients (patient_id bigint, ssn text); INSERT INTO patients VALUES (17, '123-45-6789');
    ALTER TABLE patients SUBJECT COLUMN (patient_id); CREATE POLICY none ON patients USING (false);
    CREATE ROLE ann LOGIN PASSWORD 'secret'; GRANT SELECT ON patients TO ann; GRANT BREAK GLASS TO ann;
    CREATE ROLE bob LOGIN PASSWORD 'secret'; CREATE ROLE chief LOGIN PASSWORD 'secret' IN ROLE policy_admin";

const BREAK: &str = "BREAK GLASS FOR SUBJECT 17 REASON 'found unconscious' TICKET 'T-1'";

/// What was posted: headers, as they came, and the body.
type Posted = (Vec<String>, String);

/// A receiver of notices, which answers with a status of the test's choice.
struct Receiver {
    url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
    status: Arc<Mutex<u16>>,
}

impl Receiver {
    fn open(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/glass", listener.local_addr().unwrap());
        let (posted, status) = (Arc::<Mutex<Vec<Posted>>>::default(), Arc::new(Mutex::new(status)));
        let (kept, answer) = (Arc::clone(&posted), Arc::clone(&status));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut headers = Vec::new();
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                        break;
                    }
                    headers.push(line.trim().to_lowercase());
                }
                let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                let status = *answer.lock().unwrap();
                if status == 200 {
                    kept.lock().unwrap().push((headers, String::from_utf8(body).unwrap()));
                }
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { url, posted, status }
    }

    fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    /// The notices, once there are so many.
    fn wait(&self, count: usize) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let bodies: Vec<Value> =
                self.posted.lock().unwrap().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
            if bodies.len() >= count {
                return bodies;
            }
            assert!(Instant::now() < until, "{count} notices are expected: {bodies:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn lab(receiver: &Receiver, required: bool) -> Lab {
    let url = format!("webhook_url = \"{}\"\nsecret_file = \"keys/mask.key\"", receiver.url);
    let wanted = format!("required = {required}\n{url}");
    Lab::configured(&[("required = false", &wanted)], SETUP)
}

fn events(notices: &[Value]) -> Vec<&str> {
    notices.iter().map(|notice| notice["event"].as_str().unwrap()).collect()
}

#[test]
fn each_thing_that_happens_is_told_once_and_without_health_data() {
    let receiver = Receiver::open(200);
    let lab = lab(&receiver, false);
    lab.psql("ann").rows(&format!("{BREAK}; SELECT 1; END BREAK GLASS"));
    let notices = receiver.wait(2);
    let id = notices[0]["id"].as_str().unwrap().to_owned();
    lab.psql("chief").rows(&format!("REVIEW BREAK GLASS '{id}' NOTE 'was right'"));
    let notices = receiver.wait(3);
    assert_eq!(events(&notices), ["break_glass.opened", "break_glass.ended", "break_glass.reviewed"]);
    let (first, last) = (&notices[0], &notices[2]);
    assert_eq!((first["user_name"].as_str(), first["ticket"].as_str()), (Some("ann"), Some("T-1")));
    assert_eq!(last["reviewed_by"].as_str(), Some("chief"));
    assert!(first["expires_at"].as_str() > first["opened_at"].as_str());
    let token = lab.psql("admin").rows("SELECT mask_hash('17', 'break_glass')");
    assert_eq!(first["subject_token"].as_str(), Some(token.as_str()));
    for (headers, body) in receiver.posted.lock().unwrap().iter() {
        for hidden in ["unconscious", "was right", "\"17\"", "123-45"] {
            assert!(!body.contains(hidden), "{hidden}: {body}");
        }
        for header in ["idempotency-key: ", "lakeward-timestamp: ", "lakeward-signature: sha256="] {
            assert!(headers.iter().any(|line| line.starts_with(header)), "{header}: {headers:?}");
        }
    }
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(receiver.wait(3).len(), 3, "once each");
    assert_eq!(lab.psql("bob").fails(BREAK).0, "42501");
}

#[test]
fn a_receiver_that_fails_is_told_later_even_by_the_next_server() {
    let receiver = Receiver::open(500);
    let lab = lab(&receiver, false);
    let opened = lab.psql("ann").rows(&format!("{BREAK}; SELECT count(*) FROM patients"));
    assert_eq!(opened, "1", "it does not stand in the way");
    lab.server.kill();
    receiver.answer(200);
    let next = Server::serve(lab.server.data());
    assert_eq!(events(&receiver.wait(1)), ["break_glass.opened"]);
    drop(next);
}

#[test]
fn where_the_notice_is_required_nothing_opens_without_it() {
    let receiver = Receiver::open(500);
    let lab = lab(&receiver, true);
    assert_eq!(lab.psql("ann").fails(&format!("{BREAK}; SELECT 1")).0, "58030");
    assert_eq!(lab.psql("admin").rows("SELECT count(*) FROM system.break_glass"), "0");
    assert_eq!(lab.psql("bob").fails(BREAK).0, "42501", "who may not is nobody's news");
    receiver.answer(200);
    assert_eq!(lab.psql("ann").rows(&format!("{BREAK}; SELECT count(*) FROM patients")), "1");
    assert_eq!(events(&receiver.wait(1)), ["break_glass.opened"]);
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(receiver.wait(1).len(), 1, "once");
}
