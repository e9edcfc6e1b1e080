//! Clusters of 3 to 200 nodes in; tables and pictures of what crosses their links, and of how soon all know, out.
//!
//! `./dev bench cluster` writes them to `docs/cluster.md` and into the folder beside it.

mod pictures;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use clap::Parser;

use tercet_cluster_sim::scenarios::{self, Crossing, Life, SmallRooms, Zone};
use tercet_selector_bench::document::with_block;

/// Simulates clusters in virtual time.
#[derive(Parser)]
struct Arguments {
    /// Whatever is random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No clusters of more nodes.
    #[arg(long, default_value_t = 200)]
    nodes_max: usize,
    /// Write the tables into this document, and the pictures into the folder beside it that has its name.
    #[arg(long)]
    write: Option<PathBuf>,
}

const SIZES: [usize; 5] = [3, 10, 50, 100, 200];
const SPEAKERS: [u32; 8] = [1, 2, 3, 4, 10, 40, 200, 1000];
const CROSSING_NODES: usize = 10;
/// In one zone.
const ZONES: [usize; 5] = [25, 50, 75, 100, 110];

/// The tables of atm0s-sdn are made on the stack.
const STACK_BYTES: usize = 64 << 20;

/// What was measured, smallest first.
#[derive(Default)]
struct Results {
    lives: Vec<Life>,
    small_rooms: Vec<SmallRooms>,
    crossings: Vec<Crossing>,
    zones: Vec<Zone>,
}

#[derive(Clone, Copy)]
enum Task {
    Life(usize),
    SmallRooms(usize),
    Crossing(u32),
    Zone(usize),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let is_asked_for = |nodes: &usize| *nodes <= arguments.nodes_max;
    let sizes = || SIZES.into_iter().filter(is_asked_for);
    // Those that take longest come first: the last of the list is taken first.
    let crossings = SPEAKERS.into_iter().map(Task::Crossing);
    let zones = ZONES.into_iter().filter(is_asked_for).map(Task::Zone);
    let rooms = sizes().flat_map(|nodes| [Task::SmallRooms(nodes), Task::Life(nodes)]);
    let results = measure(crossings.chain(zones).chain(rooms).collect(), arguments.seed)?;
    match &arguments.write {
        Some(path) => write(path, &results),
        None => {
            for (name, table) in tables::all(&results) {
                println!("{name}\n\n{table}");
            }
            Ok(())
        }
    }
}

/// Does all, on as many threads as there are cores.
fn measure(tasks: Vec<Task>, seed: u64) -> anyhow::Result<Results> {
    let tasks = Mutex::new(tasks);
    let results = Mutex::new(Results::default());
    let work = || {
        loop {
            let Some(task) = tasks.lock().expect("nobody panics with it").pop() else {
                return;
            };
            let add: Box<dyn FnOnce(&mut Results)> = match task {
                Task::Life(nodes) => {
                    let life = scenarios::life(nodes, seed);
                    Box::new(|results| results.lives.push(life))
                }
                Task::SmallRooms(nodes) => {
                    let small_rooms = scenarios::small_rooms(nodes, seed);
                    Box::new(move |results| results.small_rooms.push(small_rooms))
                }
                Task::Crossing(speakers) => {
                    let crossing = scenarios::crossing(CROSSING_NODES, speakers, seed);
                    Box::new(move |results| results.crossings.push(crossing))
                }
                Task::Zone(nodes) => {
                    let zone = scenarios::zone(nodes, seed);
                    Box::new(move |results| results.zones.push(zone))
                }
            };
            add(&mut results.lock().expect("nobody panics with it"));
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let builder = || std::thread::Builder::new().stack_size(STACK_BYTES);
        let workers: Result<Vec<_>, _> = (0..threads).map(|_| builder().spawn_scoped(scope, work)).collect();
        for worker in workers.context("a thread can't be started")? {
            worker.join().map_err(|_| anyhow::anyhow!("a simulation failed"))?;
        }
        anyhow::Ok(())
    })?;
    let mut results = results.into_inner().context("a simulation failed")?;
    results.lives.sort_by_key(|life| life.nodes);
    results.small_rooms.sort_by_key(|small_rooms| small_rooms.nodes);
    results.crossings.sort_by_key(|crossing| crossing.speakers);
    results.zones.sort_by_key(|zone| zone.nodes);
    Ok(results)
}

fn write(path: &Path, results: &Results) -> anyhow::Result<()> {
    let mut document = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    for (name, table) in tables::all(results) {
        document = with_block(&document, name, &table)?;
    }
    let folder = path.with_extension("");
    std::fs::create_dir_all(&folder)?;
    for (file, picture) in pictures::all(results) {
        std::fs::write(folder.join(file), picture)?;
    }
    std::fs::write(path, document)?;
    Ok(())
}
