//! Flight SQL's commands and tickets.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lakeward_flight::hostile::commands(data));
