//! What is found in notes, and what is not.

use super::*;

fn found(text: &str) -> Vec<String> {
    let findings = Detector::new().detect(text, &Request::default(), &Hints::default()).unwrap();
    findings.iter().map(|f| format!("{}={}", f.entity.name(), &text[f.start..f.end])).collect()
}

#[test]
fn smoke() {
    for text in ["Patient John Smith was seen by Dr. Okafor on 03/04/2020. SSN 412-68-1073, MRN: 00123456."] {
        println!("{:?}", found(text));
    }
}
