//! Values as text.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lakeward_engine::hostile::value(data));
