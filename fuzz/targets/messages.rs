//! The PostgreSQL protocol's messages.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    lakeward_pg::hostile::messages(data);
});
