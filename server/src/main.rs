//! The `tercet` binary: parse, build, run until told to stop.

mod accept;
mod access;
mod backlog;
mod cli;
mod cluster;
mod config;
mod control;
mod http;
mod media;
mod network;
mod phones;
mod serve;
mod shutdown;
mod turn;
mod whip;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => args.into_config().and_then(serve::serve),
        Command::Token(args) => args.run(),
        Command::Config(args) => args.run(),
        Command::Version => {
            cli::print_version();
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
