//! `tercet-loadtest`: puts a server on this machine under load and tells what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tercet_loadtest::scenario::{self, RunOptions, Scenario};
use tercet_loadtest::{Addresses, ServerUrl, Target, floor};
use tracing_subscriber::EnvFilter;

/// Load for a Tercet server on this machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scenario against a server and report what was measured.
    Run(RunArguments),
    /// Measure what one packet costs this machine at least.
    Floor {
        /// Also write the figures to this file, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// What the participants do.
    #[arg(long)]
    scenario: ScenarioName,
    /// Participants that only listen; with `joins`, how many join at most [default: room 300, joins 100000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    listeners: Option<u32>,
    /// Participants that take turns to speak; with `joins`, none.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=10_000))]
    speakers: u32,
    /// Length of the measured window.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The kind of server.
    #[arg(long, default_value = "tercet")]
    target: TargetName,
    /// The server; only loopback addresses are accepted.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: ServerUrl,
    /// The server's token secret; without it, tokens come from its demo endpoint.
    #[arg(long, env = "TERCET_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Process id of the server, to measure its CPU time and memory.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Threads that drive the participants.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Where the clients' addresses come from.
    #[arg(long, default_value = "loopback-range")]
    addresses: AddressesName,
    /// Let the kernel join datagrams on their way to the clients: cheaper, also for the server, whose cost it hides.
    #[arg(long)]
    gro: bool,
    /// Joins under way at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Also write the report to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScenarioName {
    /// One room: speakers take turns, three at a time; listeners listen.
    Room,
    /// Participants join as fast as they can, and leave at once.
    Joins,
}

#[derive(Clone, Copy, ValueEnum)]
enum TargetName {
    /// A Tercet server.
    Tercet,
}

#[derive(Clone, Copy, ValueEnum)]
enum AddressesName {
    /// An address in 127.0.0.0/8 for each, a few sockets for all.
    LoopbackRange,
    /// A port and a socket for each, all on the server's address.
    Ports,
}

/// Signalling runs on one thread, the media on the driver's threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,str0m=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Run(arguments) => {
            let json = arguments.json.clone();
            let report = scenario::run(arguments.into_options()).await?;
            println!("{report}");
            write_json(json.as_deref(), &report)
        }
        Command::Floor { json } => {
            let floor = floor::measure()?;
            println!("{floor}");
            write_json(json.as_deref(), &floor)
        }
    }
}

impl RunArguments {
    fn into_options(self) -> RunOptions {
        let TargetName::Tercet = self.target;
        let (scenario, speakers, listeners) = match self.scenario {
            ScenarioName::Room => (Scenario::Room, self.speakers, self.listeners.unwrap_or(300)),
            ScenarioName::Joins => (Scenario::Joins, 0, self.listeners.unwrap_or(100_000)),
        };
        RunOptions {
            scenario,
            target: Target::Tercet,
            server: self.url,
            secret: self.secret,
            speakers,
            listeners,
            window: Duration::from_secs(self.seconds),
            server_pid: self.server_pid,
            threads: self.threads.into(),
            addresses: match self.addresses {
                AddressesName::LoopbackRange => Addresses::LoopbackRange,
                AddressesName::Ports => Addresses::Ports,
            },
            joins_datagrams: self.gro,
            concurrent_joins: self.concurrency.into(),
        }
    }
}

fn write_json(file: Option<&Path>, value: &impl Serialize) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut json = serde_json::to_string_pretty(value)?;
    json.push('\n');
    fs::write(file, json).with_context(|| format!("write {}", file.display()))
}
