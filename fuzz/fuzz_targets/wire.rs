//! Fuzzes messages of the PostgreSQL protocol: see `src/lib.rs` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lakeward_fuzz::wire(data));
