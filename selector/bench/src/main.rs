//! The proof of the selector: seeded conversations in, one table out, ours beside the published rules.
//!
//! `./dev bench selection` writes it to `docs/selection.md`; `cargo run --release -p tercet-selector-bench` prints it.

mod bars;
mod conversation;
mod cost;
mod instructions;
mod measure;
mod pair;
mod pre_roll;
mod room;
mod rules;
mod scenarios;
mod score;
mod sweep;
mod tables;
mod trace;
mod voice;

use std::path::PathBuf;

use clap::Parser;

use measure::{Contender, Plan};
use rules::{ActiveWindows, LastDominant, LoudestOfAll, PinnedSlots, Tercet};
use scenarios::Scenario;
use tables::Results;
use voice::Voice;

/// Compares rules of speaker selection on conversations with seeds.
#[derive(Parser)]
struct Arguments {
    /// Minutes of each conversation.
    #[arg(long, default_value_t = 5)]
    minutes: u32,
    /// Conversations a room.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Only rooms whose name contains this.
    #[arg(long, default_value = "")]
    room: String,
    /// What the server keeps of each source that has no slot, and sends when it gets one.
    #[arg(long, default_value_t = 60)]
    pre_roll_ms: u32,
    /// Folder of recorded speech (16 bit mono WAV), in place of synthetic syllables.
    #[arg(long)]
    recorded: Option<PathBuf>,
    /// Write the traces to this folder, as CSV.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// What a packet costs each rule, and nothing else.
    #[arg(long)]
    cost: bool,
    /// Each parameter at about half and at double, and nothing else.
    #[arg(long)]
    sweep: bool,
    /// Replay a room of so many sources and end: what valgrind counts.
    #[arg(long, hide = true, requires = "replay_times")]
    replay_sources: Option<u32>,
    #[arg(long, hide = true)]
    replay_times: Option<u32>,
}

/// Main positions.
const SLOTS: usize = 3;

fn contenders() -> Vec<Contender> {
    vec![
        Contender::new("Tercet", || Tercet::new(SLOTS)),
        Contender::new("loudest N (Jitsi)", || LoudestOfAll::new(SLOTS)),
        Contender::new("pinned slots (atm0s)", || PinnedSlots::new(SLOTS)),
        Contender::new("windows (LiveKit)", || ActiveWindows::new(SLOTS)),
        Contender::new("dominant (Volfin, Cohen)", || LastDominant::new(SLOTS)),
    ]
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let (Some(sources), Some(times)) = (arguments.replay_sources, arguments.replay_times) {
        instructions::replay(sources, times);
        return Ok(());
    }
    let contenders = contenders();
    if arguments.cost {
        println!("{}", cost::costs(&contenders));
        println!("{}", instructions::a_packet()?.unwrap_or("valgrind is not installed".into()));
        return Ok(());
    }
    let voice = match &arguments.recorded {
        Some(folder) => Voice::Recorded(voice::recordings(folder)?),
        None => Voice::Synthetic,
    };
    let plan = Plan {
        voice,
        seeds: arguments.seeds,
        length_ms: arguments.minutes * 60_000,
        pre_roll_ms: arguments.pre_roll_ms,
    };
    let mut rooms = scenarios::all();
    rooms.retain(|room| room.name.contains(&arguments.room));
    if let Some(folder) = &arguments.csv {
        return write_traces(folder, &rooms, &plan);
    }
    if arguments.sweep {
        println!("{}", sweep::sweep(&rooms, &plan));
        return Ok(());
    }
    let scores = measure::scores(&rooms, &contenders, &plan);
    let results = Results { rooms: &rooms, contenders: &contenders, scores };
    for table in [results.summary(), results.by_room(), results.pre_roll(), results.bars()] {
        println!("{table}");
    }
    Ok(())
}

fn write_traces(folder: &std::path::Path, rooms: &[Scenario], plan: &Plan) -> anyhow::Result<()> {
    for room in rooms {
        for seed in 0..plan.seeds {
            let name = format!("{}-{seed}.csv", room.name.replace([' ', ',', '%'], "_"));
            std::fs::write(folder.join(name), room.trace(seed, &plan.voice, plan.length_ms).to_csv())?;
        }
    }
    Ok(())
}
