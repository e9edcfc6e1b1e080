#![no_main]

use tercet_properties::ingest_slot;

libfuzzer_sys::fuzz_target!(|input: ingest_slot::Input| ingest_slot::check(&input));
