#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tercet_properties::sdp::check(text));
