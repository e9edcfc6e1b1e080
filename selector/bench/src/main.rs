//! The proof of the selector: seeded conversations in, one table out, ours beside the published rules.
//!
//! `./dev bench selection` writes it to `docs/selection.md`; `cargo run --release -p tercet-selector-bench` prints it.

mod bars;
mod cost;
mod held_out;
mod instructions;
mod measure;
mod pair;
mod pre_roll;
mod rules;
mod scenarios;
mod score;
mod sweep;
mod tables;
mod timeline;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;

use tercet_selector_bench::{conversation, document, room, trace, voice};

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
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Seed of the first: others than the usual ones tell whether a parameter fits these alone.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Only rooms whose name contains this.
    #[arg(long, default_value = "")]
    room: String,
    /// What the server keeps of each source that has no slot, and sends when it gets one.
    #[arg(long, default_value_t = 100)]
    pre_roll_ms: u32,
    /// Folder of recorded speech (16 bit mono WAV), in place of synthetic syllables.
    #[arg(long)]
    recorded: Option<PathBuf>,
    /// Write the traces to this folder, as CSV.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Write all tables into this document and the pictures into the folder beside it that has its name. With
    /// `--recorded` there is a table of recorded speech too.
    #[arg(long)]
    write: Option<PathBuf>,
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
        println!("{}", cost::costs(&contenders, &cost::measure(&contenders)));
        println!("{}", instructions::a_packet()?.unwrap_or("valgrind is not installed".into()));
        return Ok(());
    }
    let recorded = match &arguments.recorded {
        Some(folder) => Some(Voice::Recorded(voice::recordings(folder)?)),
        None => None,
    };
    let plan = Plan {
        voice: Voice::Synthetic,
        seed: arguments.seed.into(),
        seeds: arguments.seeds,
        length_ms: arguments.minutes * 60_000,
        pre_roll_ms: arguments.pre_roll_ms,
    };
    let of_recorded = recorded.map(|voice| Plan { voice, ..plan.clone() });
    let mut rooms = scenarios::all();
    rooms.retain(|room| room.name.contains(&arguments.room));
    if let Some(path) = &arguments.write {
        return write(path, &rooms, &contenders, (&plan, of_recorded.as_ref()));
    }
    let plan = of_recorded.unwrap_or(plan);
    if let Some(folder) = &arguments.csv {
        return write_traces(folder, &rooms, &plan);
    }
    if arguments.sweep {
        println!("{}", sweep::sweep(&rooms, &plan));
        return Ok(());
    }
    let results = Results::of(&rooms, &contenders, &plan);
    for table in [results.summary(&[]), results.by_room(), results.pre_roll(), results.bars()] {
        println!("{table}");
    }
    Ok(())
}

/// Everything, into a document and the pictures beside it.
fn write(
    path: &Path,
    rooms: &[Scenario],
    contenders: &[Contender],
    (plan, recorded): (&Plan, Option<&Plan>),
) -> anyhow::Result<()> {
    let costs = cost::measure(contenders);
    let mut blocks = vec![("cost", cost::costs(contenders, &costs))];
    if let Some(instructions) = instructions::a_packet()? {
        blocks.push(("instructions", instructions));
    }
    let results = Results::of(rooms, contenders, plan);
    blocks.extend([
        ("summary", results.summary(&costs)),
        ("rooms", results.by_room()),
        ("pre-roll", results.pre_roll()),
        ("bars", results.bars()),
        ("parameters", sweep::parameters()),
        ("sweep", sweep::sweep(rooms, plan)),
    ]);
    let voices: Vec<(&str, &Plan)> =
        std::iter::once(("synthetic", plan)).chain(recorded.map(|plan| ("recorded", plan))).collect();
    blocks.push(("held-out", held_out::promises(rooms, &contenders[0], &voices)));
    if let Some(recorded) = recorded {
        let results = Results::of(rooms, contenders, recorded);
        blocks.push(("recorded", format!("{}\n{}", results.summary(&[]), results.pre_roll())));
        blocks.push(("recorded-bars", results.bars()));
        blocks.push(("recorded-sweep", sweep::sweep(rooms, recorded)));
    }
    let mut document = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    for (name, text) in blocks {
        document = document::with_block(&document, name, &text)?;
    }
    let folder = path.with_extension("");
    std::fs::create_dir_all(&folder)?;
    for (name, file) in timeline::PICTURES {
        for room in rooms.iter().filter(|room| room.name == name) {
            std::fs::write(folder.join(file), timeline::picture(room, contenders, plan))?;
        }
    }
    std::fs::write(path, document)?;
    Ok(())
}

fn write_traces(folder: &Path, rooms: &[Scenario], plan: &Plan) -> anyhow::Result<()> {
    for room in rooms {
        for seed in plan.seed..plan.seed + plan.seeds {
            let name = format!("{}-{seed}.csv", room.name.replace([' ', ',', '%'], "_"));
            std::fs::write(folder.join(name), room.trace(seed, &plan.voice, plan.length_ms).to_csv())?;
        }
    }
    Ok(())
}
