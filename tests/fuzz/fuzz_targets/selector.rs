#![no_main]

use tercet_properties::selector;

libfuzzer_sys::fuzz_target!(|input: selector::Input| selector::check(&input));
