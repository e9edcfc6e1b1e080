//! Whatever comes as a SIP message, by datagram or stream, is answered, dropped or read; nothing panics.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tercet_sip_gateway::fuzz::message(bytes));
