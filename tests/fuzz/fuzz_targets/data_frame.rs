#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tercet_properties::data_frame::check(bytes));
