//! Each property with its committed seeds, and what becomes of them by a few changes.

use std::fs;
use std::path::Path;

use anyhow::Context;
use arbitrary::{Arbitrary, Unstructured};
use mutatis::check::Check;
use mutatis::mutators;
use tercet_properties::{
    cluster_datagram, data_frame, ingest_slot, sdp, selector, session_id, signalling, sip_message,
};

/// The seeds are taken anew so often, each time with other changes.
const ROUNDS: u64 = 60;

/// Changes of one seed, on average, one after another: the more, the less it is like anything that is sent.
const CHANGES: usize = 6;

/// A target's property holds for all of its seeds, and for what they are changed to. The changes are the same in each run.
fn holds(target: &str, check: impl Fn(&[u8])) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).with_context(|| format!("the seeds of {target}"))?;
    let mut paths = files.map(|file| Ok(file?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort_unstable();
    let seeds = paths.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    for round in 0..ROUNDS {
        let property = |bytes: &Vec<u8>| -> Result<(), String> {
            check(bytes);
            Ok(())
        };
        let tried = Check::new().seed(round).iters(CHANGES * seeds.len()).run_with(
            mutators::default::<Vec<u8>>(),
            seeds.clone(),
            property,
        );
        tried.map_err(|error| anyhow::anyhow!("{target}, round {round}: {error}"))?;
    }
    Ok(())
}

/// As cargo-fuzz makes a target's input of bytes.
fn input<'a, T: Arbitrary<'a>>(bytes: &'a [u8], check: impl FnOnce(T)) {
    if let Ok(input) = T::arbitrary_take_rest(Unstructured::new(bytes)) {
        check(input);
    }
}

#[test]
fn cluster_datagrams() -> anyhow::Result<()> {
    holds("cluster_datagram", cluster_datagram::check)
}

#[test]
fn data_frames() -> anyhow::Result<()> {
    holds("data_frame", data_frame::check)
}

#[test]
fn packets_into_slots() -> anyhow::Result<()> {
    holds("ingest_slot", |bytes| input(bytes, |input| ingest_slot::check(&input)))
}

#[test]
fn session_descriptions() -> anyhow::Result<()> {
    holds("sdp", |bytes| input(bytes, sdp::check))
}

#[test]
fn selectors() -> anyhow::Result<()> {
    holds("selector", |bytes| input(bytes, |input| selector::check(&input)))
}

#[test]
fn session_ids() -> anyhow::Result<()> {
    holds("session_id", |bytes| input(bytes, session_id::check))
}

#[test]
fn signalling_messages() -> anyhow::Result<()> {
    holds("signalling", signalling::check)
}

#[test]
fn sip_messages() -> anyhow::Result<()> {
    holds("sip_message", sip_message::check)
}
