//! Replays a trace of levels: what the selector makes of it, and why.
//!
//! ```text
//! cargo run -q -p selector --example trace -- TRACE.csv
//! cargo run -q -p selector --example trace -- TRACE.csv --k 1 --margin-db 3
//! cargo run -q -p selector --example trace -- TRACE.csv --why 7 --at-ms 12300
//! ```
//!
//! A trace is CSV with the header `t_ms,source,level_dbov,vad`, sorted by time; `vad` is 0, 1 or empty. A running server
//! records one, with notes of mutes, standings and the room's own parameters in lines that begin with `#`: see
//! `/v1/rooms/R/trace` in docs/selection.md. Out comes `t_ms,slot,source` at each change of a slot; no
//! source frees it. The same trace gives the same bytes, on any machine.

mod flags;
mod reading;
mod replay;
mod story;

use std::io::Write;
use std::process::ExitCode;

use flags::Flags;
use reading::TraceError;
use replay::Replay;

fn main() -> ExitCode {
    let flags = Flags::of(std::env::args_os());
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads only the first lines closes the pipe.
        Err(TraceError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", flags.trace.display());
            ExitCode::from(2)
        }
    }
}

fn run(flags: &Flags) -> Result<(), TraceError> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let trace = reading::read(std::fs::File::open(&flags.trace).map_err(TraceError::Input)?)?;
    let mut replay = Replay::new(flags.apply_to(trace.params));
    match &flags.why {
        Some(source) => story::tell(&mut out, &mut replay, &trace.entries, source, flags.at_ms)?,
        None => {
            for entry in &trace.entries {
                for change in replay.replay(entry) {
                    writeln!(out, "{change}").map_err(TraceError::Output)?;
                }
            }
        }
    }
    out.flush().map_err(TraceError::Output)
}
