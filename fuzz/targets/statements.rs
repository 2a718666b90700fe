//! SQL texts.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lakeward_engine::hostile::statements(&String::from_utf8_lossy(data)));
