#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lakeward_fuzz::wire(data));
