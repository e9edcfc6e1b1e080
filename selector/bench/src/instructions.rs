//! What a packet costs in instructions: counted by valgrind, so the same on every run of the same binary.

use std::hint::black_box;
use std::process::Command;

use anyhow::Context;

use crate::cost::{SIZES, packets};
use crate::document::table;
use crate::measure::in_parallel;
use crate::rules::{Rule, Tercet};
use crate::trace::Packet;

/// As many seconds as make some ten thousand packets or more: valgrind is fifty times slower than the machine.
fn room(sources: u32) -> Vec<Packet> {
    let length_ms = match sources {
        0..100 => 24_000,
        100..1000 => 4000,
        _ => 400,
    };
    packets(sources, length_ms)
}

/// What is counted: a room that is heard some times over, by a selector that knows it from the first time.
pub(crate) fn replay(sources: u32, times: u32) {
    let packets = room(sources);
    let end_us = packets.last().map_or(0, |packet| packet.at_us + 1);
    let mut rule = Tercet::new(crate::SLOTS);
    for time in 0..u64::from(times) {
        for packet in &packets {
            rule.packet(&Packet { at_us: packet.at_us + time * end_us, ..*packet });
        }
    }
    black_box(rule.slots());
}

/// Instructions a packet, by size of the room; `None` where valgrind is not installed.
///
/// # Errors
/// Valgrind is there, but counted nothing.
pub(crate) fn a_packet() -> anyhow::Result<Option<String>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(None);
    }
    // What is counted besides, such as the making of the room, is in both runs.
    let runs: Vec<(u32, u32)> = SIZES.into_iter().flat_map(|sources| [(sources, 1), (sources, 3)]).collect();
    let counts = in_parallel(runs.len(), |n| counted(runs[n].0, runs[n].1));
    let counts = counts.into_iter().collect::<anyhow::Result<Vec<u64>>>()?;
    let a_packet = SIZES.iter().zip(counts.chunks_exact(2)).map(|(&sources, counts)| {
        format!("{:.0}", (counts[1] - counts[0]) as f64 / (2 * room(sources).len()) as f64)
    });
    let headings = [">instructions a packet, 10 sources", ">300", ">10,000"];
    Ok(Some(table(&headings, [a_packet.collect()])))
}

/// The instructions of a run of this binary that replays a room.
fn counted(sources: u32, times: u32) -> anyhow::Result<u64> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--replay-sources", &sources.to_string(), "--replay-times", &times.to_string()])
        .output()?;
    let report = String::from_utf8_lossy(&run.stderr);
    let counted = report.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    counted.with_context(|| format!("callgrind counted nothing:\n{report}"))
}
