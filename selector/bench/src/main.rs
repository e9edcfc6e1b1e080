//! The proof of the selector: `cargo run --release -p tercet-selector-bench` prints one table, ours beside
//! the published rules.

mod conversation;
mod pair;
mod room;
mod rules;
mod scenarios;
mod score;
mod trace;
mod voice;

use std::path::PathBuf;

use clap::Parser;

use rules::{ActiveWindows, LastDominant, LoudestOfAll, PinnedSlots, Rule, Tercet};
use score::Score;
use voice::Voice;

/// Compares rules of speaker selection on conversations with seeds.
#[derive(Parser)]
struct Arguments {
    /// Minutes of each conversation.
    #[arg(long, default_value_t = 5)]
    minutes: u32,
    /// Conversations a room.
    #[arg(long, default_value_t = 4)]
    seeds: u64,
    /// Only rooms whose name contains this.
    #[arg(long, default_value = "")]
    room: String,
    /// Folder of recorded speech (16 bit mono WAV), in place of synthetic syllables.
    #[arg(long)]
    recorded: Option<PathBuf>,
    /// Write the traces to this folder, as CSV.
    #[arg(long)]
    csv: Option<PathBuf>,
}

type MakeRule = fn(usize) -> Box<dyn Rule>;

const RULES: [(&str, MakeRule); 5] = [
    ("Tercet", |slots| Box::new(Tercet::new(slots))),
    ("loudest N (Jitsi)", |slots| Box::new(LoudestOfAll::new(slots))),
    ("pinned slots (atm0s)", |slots| Box::new(PinnedSlots::new(slots))),
    ("windows (LiveKit)", |slots| Box::new(ActiveWindows::new(slots))),
    ("dominant (Volfin, Cohen)", |slots| Box::new(LastDominant::new(slots))),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let voice = match &arguments.recorded {
        Some(folder) => Voice::Recorded(voice::recordings(folder)?),
        None => Voice::Synthetic,
    };
    println!(
        "| room | rule | kept % | onset p50 | p95 | max ms | changes/spurt | changes/min | cuts/min | for noise | missed |"
    );
    println!("| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --- |");
    for scenario in scenarios::all().iter().filter(|s| s.name.contains(&arguments.room)) {
        let mut scores: Vec<Score> = RULES.iter().map(|_| Score::default()).collect();
        for seed in 0..arguments.seeds {
            let trace = scenario.trace(seed, &voice, arguments.minutes * 60_000);
            if let Some(folder) = &arguments.csv {
                let name = format!("{}-{seed}.csv", scenario.name.replace([' ', ',', '%'], "_"));
                std::fs::write(folder.join(name), trace.to_csv())?;
            }
            for ((_, make), score) in RULES.iter().zip(&mut scores) {
                score.merge(Score::of(&trace, make(3).as_mut()));
            }
        }
        for ((name, _), score) in RULES.iter().zip(scores) {
            let missed = if *name == "Tercet" { scenario.kind.missed(&score) } else { String::new() };
            println!(
                "| {} | {name} | {:.2} | {} | {} | {} | {:.2} | {:.1} | {:.2} | {:.2} | {missed} |",
                scenario.name,
                score.kept_percent(),
                score.onset_ms(0.5),
                score.onset_ms(0.95),
                score.onset_ms(1.0),
                score.changes_a_spurt(),
                score.a_minute(score.changes),
                score.a_minute(score.cuts),
                score.a_minute(score.cuts_for_noise),
            );
        }
    }
    Ok(())
}
