//! Rows of Flight's DoPut.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lakeward_fuzz::held(|| lakeward_flight::hostile::rows(data)));
