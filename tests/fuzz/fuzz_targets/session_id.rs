#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tercet_properties::session_id::check(text));
