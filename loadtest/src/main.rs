//! `tercet-loadtest`: puts a server on this machine under load and tells what came of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use audio_mixer::Codec as PhoneCodec;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tercet_loadtest::scenario::{SCENARIOS, Scenario, Traffic, Video};
use tercet_loadtest::{Addresses, Outcome, PhoneOptions, RunOptions, ServerUrl, Target, floor, page};
use tercet_sip_gateway::signalling::LOG_DIRECTIVE;
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
    #[command(after_help = EXIT_CODES)]
    Run(Box<RunArguments>),
    /// Measure what one packet costs this machine at least.
    Floor {
        /// How many destinations, each with a key of its own.
        #[arg(long, default_value_t = floor::DESTINATIONS, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        destinations: u32,
        /// Also write the figures to this file, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// List the scenarios.
    Scenarios,
    /// Write tables and pictures of a page by the reports of runs.
    Page {
        /// The folder of the reports: files of `run --json`.
        reports: PathBuf,
        /// The page, which says where its figures begin and end.
        page: PathBuf,
    },
}

/// Those of `run`.
const EXIT_CODES: &str = "Exit code: 0 when all promises were kept or can't be judged, 3 when one was broken, \
1 when there is no report or the server ended, 2 when the arguments are wrong.";
const BROKEN: u8 = 3;

#[derive(clap::Args)]
struct RunArguments {
    /// What the participants do; `tercet-loadtest scenarios` lists them.
    #[arg(long, value_parser = scenario_named)]
    scenario: Scenario,
    /// Rooms beside each other [default: the scenario's].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rooms: Option<u32>,
    /// How many of the rooms talk at a time, one after another for 9 s each; the speakers of the others send what Opus does
    /// with DTX [default: all].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    talking_rooms: Option<u32>,
    /// Participants of each room that only listen; with `joins`, how many join at most; with `sip-mix`, phones that call in
    /// [default: the scenario's].
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=60_000))]
    listeners: Option<u32>,
    /// Participants of each room that take turns to speak [default: the scenario's].
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=10_000))]
    speakers: Option<u32>,
    /// How many talk at a time [default: the scenario's].
    #[arg(long)]
    talkers: Option<u32>,
    /// With `churn`, visitors that join each second [default: 5].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    joins_per_second: Option<u32>,
    /// Length of the measured window [default: the scenario's].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// The kind of server.
    #[arg(long, default_value = "tercet")]
    target: TargetName,
    /// The server's version, for the report.
    #[arg(long)]
    target_version: Option<String>,
    /// The server; only loopback addresses are accepted [default: 127.0.0.1 and the usual port of its kind].
    #[arg(long)]
    url: Option<ServerUrl>,
    /// The server's token secret; without it, Tercet's demo endpoint gives the tokens, and of others the secret is the one
    /// that they have when nobody sets one.
    #[arg(long, env = "TERCET_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Process id of the server, to measure its CPU time and memory.
    #[arg(long, value_parser = process_id)]
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
    /// Joins a second, at most, of those who are there from the beginning; whoever is told to come again later does so, and
    /// nobody talks before all are there [default: as fast as they can, once each, while others talk].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    ramp_per_second: Option<u32>,
    /// Joins under way at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// With `sip-mix`, where the server listens for calls.
    #[arg(long, default_value = "127.0.0.1:5060", value_parser = sip_address)]
    sip: SocketAddr,
    /// With `sip-mix`, what phones speak: pcmu, pcma, g722 or opus.
    #[arg(long, default_value = "pcmu", value_parser = codec_named)]
    codec: PhoneCodec,
    /// With `sip-mix`, calls a second, at most.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    calls_per_second: u32,
    /// With `broadcast` and `whip-many`, over the WebSocket, as browsers come, in place of WHIP and WHEP.
    #[arg(long)]
    websocket: bool,
    /// With `broadcast` and `whip-many`, what a camera sends, in kbit/s [default: 1500].
    #[arg(long, value_parser = clap::value_parser!(u32).range(16..=20_000))]
    kbps: Option<u32>,
    /// Don't measure the machine's floor before and after.
    #[arg(long)]
    no_floor: bool,
    /// Also write the report to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TargetName {
    /// A Tercet server.
    Tercet,
    /// LiveKit, with the API key `devkey`.
    Livekit,
    /// Janus with its VideoRoom plugin, and that with `string_ids`.
    Janus,
    /// atm0s-media-server with its mixer. It scales to a hundred participants.
    Atm0s,
}

impl TargetName {
    /// The kind, and the port of its server's that HTTP connections go to where nothing else is set.
    fn target(self) -> (Target, u16) {
        match self {
            TargetName::Tercet => (Target::Tercet, 8080),
            TargetName::Livekit => (Target::LiveKit, 7880),
            TargetName::Janus => (Target::Janus, 8188),
            TargetName::Atm0s => (Target::Atm0s, 3000),
        }
    }
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
    // Last, so that nothing loosens it.
    let filter = filter.add_directive(LOG_DIRECTIVE.parse().expect("the directive is well formed"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Run(arguments) => {
            let json = arguments.json.clone();
            let options = arguments.into_options();
            if let Err(error) = options.scenario.check() {
                Arguments::command().error(ErrorKind::ValueValidation, error).exit();
            }
            json.as_deref().map_or(Ok(()), ensure_writable)?;
            let report = tercet_loadtest::run(options).await?;
            print!("{report}");
            write_json(json.as_deref(), &report)?;
            return Ok(match report.outcome() {
                Outcome::Kept => ExitCode::SUCCESS,
                Outcome::Broken => BROKEN.into(),
                Outcome::ServerEnded => ExitCode::FAILURE,
            });
        }
        Command::Page { reports, page } => page::write(&reports, &page)?,
        Command::Scenarios => {
            for Scenario { name, about, .. } in SCENARIOS {
                println!("{name:<16} {about}");
            }
        }
        Command::Floor { destinations, json } => {
            let floor = floor::measure(destinations)?;
            println!("{floor}");
            write_json(json.as_deref(), &floor)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl RunArguments {
    fn into_options(self) -> RunOptions {
        let (target, port) = self.target.target();
        let usual = ServerUrl::new((Ipv4Addr::LOCALHOST, port).into()).expect("a loopback address");
        RunOptions {
            target,
            addresses: match self.addresses {
                AddressesName::LoopbackRange => Addresses::LoopbackRange,
                AddressesName::Ports => Addresses::Ports,
            },
            scenario: self.adapted_scenario(),
            target_version: self.target_version,
            server: self.url.unwrap_or(usual),
            secret: self.secret,
            server_pid: self.server_pid,
            threads: self.threads.into(),
            joins_datagrams: self.gro,
            concurrent_joins: self.concurrency.into(),
            ramp_per_second: self.ramp_per_second,
            phones: PhoneOptions {
                server: self.sip,
                codec: self.codec,
                calls_per_second: self.calls_per_second,
            },
            floor: !self.no_floor,
        }
    }

    /// The scenario with the numbers that were asked for.
    fn adapted_scenario(&self) -> Scenario {
        let Scenario { rooms, speakers, listeners, talkers, window, traffic, .. } = self.scenario;
        let (listeners, traffic) = match traffic {
            Traffic::Rush { joins_max } => {
                (listeners, Traffic::Rush { joins_max: self.listeners.unwrap_or(joins_max) })
            }
            Traffic::Churn { joins_per_second, stay } => {
                let joins_per_second = self.joins_per_second.map_or(joins_per_second, f64::from);
                (self.listeners.unwrap_or(listeners), Traffic::Churn { joins_per_second, stay })
            }
            other => (self.listeners.unwrap_or(listeners), other),
        };
        Scenario {
            rooms: self.rooms.unwrap_or(rooms),
            talking_rooms: self.talking_rooms,
            speakers: self.speakers.unwrap_or(speakers),
            listeners,
            talkers: self.talkers.unwrap_or(talkers),
            traffic,
            is_standard: self.scenario.is_standard && !self.websocket,
            video: self.scenario.video.map(|video| Video { kbps: self.kbps.unwrap_or(video.kbps), ..video }),
            window: self.seconds.map_or(window, Duration::from_secs),
            ..self.scenario.clone()
        }
    }
}

fn scenario_named(name: &str) -> Result<Scenario, String> {
    Scenario::named(name).ok_or_else(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("scenarios are {}", names.join(", "))
    })
}

/// As with [`ServerUrl`]: calls to other machines would be an attack.
fn sip_address(text: &str) -> Result<SocketAddr, String> {
    let address: Option<SocketAddr> = text.parse().ok();
    let address = address.filter(|it| it.is_ipv4() && ServerUrl::new(*it).is_ok());
    address.ok_or_else(|| "an address on 127.0.0.0/8, please, with its port".to_owned())
}

fn codec_named(name: &str) -> Result<PhoneCodec, String> {
    PhoneCodec::from_encoding_name(name).ok_or_else(|| "codecs are pcmu, pcma, g722, opus".to_owned())
}

fn process_id(text: &str) -> Result<u32, String> {
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| "one process id, please, such as `pidof -s tercet` prints".to_owned())
}

/// Better before a run than after it.
fn ensure_writable(file: &Path) -> anyhow::Result<()> {
    let existed = file.exists();
    let opened = fs::OpenOptions::new().append(true).create(true).open(file);
    opened.with_context(|| format!("write {}", file.display()))?;
    // A run that fails leaves no empty report.
    if !existed {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn write_json(file: Option<&Path>, value: &impl Serialize) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut json = serde_json::to_string_pretty(value)?;
    json.push('\n');
    fs::write(file, json).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_id_is_asked_for() {
        assert_eq!(process_id(" 4711\n"), Ok(4_711));
        for text in ["tercet", "12 13", "0", ""] {
            assert!(process_id(text).unwrap_err().starts_with("one process id, please"), "{text}");
        }
    }

    #[test]
    fn phones_call_on_this_machine_and_speak_what_phones_do() {
        assert_eq!(sip_address("127.0.0.1:5070"), Ok(SocketAddr::from(([127, 0, 0, 1], 5_070))));
        for text in ["198.51.100.1:5060", "127.0.0.1", "[::1]:5060", "localhost:5060"] {
            assert!(sip_address(text).is_err(), "{text}");
        }
        assert_eq!((codec_named("g722"), codec_named("PCMA")), (Ok(PhoneCodec::G722), Ok(PhoneCodec::Pcma)));
        assert!(codec_named("gsm").is_err());
    }

    #[test]
    fn a_report_that_cannot_be_written_is_told_of_before_the_run() {
        let folder = std::env::temp_dir();
        let file = folder.join(format!("tercet-loadtest-{}.json", std::process::id()));
        ensure_writable(&file).unwrap();
        assert!(!file.exists(), "nothing is left of the attempt");
        assert!(ensure_writable(&folder).is_err() && ensure_writable(&file.join("no")).is_err());
    }
}
