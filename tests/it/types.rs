//! Values of every type through every door and back: parameters in text and in binary, COPY in each form, Flight's
//! parameters; rows in text and in binary, COPY out, Flight. What psycopg and ADBC send is what they get.

use crate::harness::{Lab, python};

#[test]
fn every_value_comes_back_as_it_went_in() {
    let lab = Lab::open("SELECT 1");
    let ca = lab.server.data().join("ca.pem");
    let url = lab.server.url("admin");
    let flight = format!("grpc+tls://localhost:{}", lab.server.port("flight"));
    let told = python("every_type.py", &["20260127", &url, "secret", &flight, &ca.display().to_string()]);
    assert_eq!(told, "done");
}
