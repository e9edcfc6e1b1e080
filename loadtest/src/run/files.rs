//! Open files: a scenario in, a limit that it fits into, or a refusal. Better before a run than in the middle of its joins.

use anyhow::{Context, ensure};
use rlimit::{Resource, increase_nofile_limit};

use super::RunOptions;
use crate::driver::Addresses;
use crate::scenario::Traffic;

/// Those of the process itself, of its threads and of the floor.
const OTHERS: u64 = 64;

/// Those of the floor of calls, and of phones.
const PHONES: u64 = 256;

/// Raises the limit of open files to what this process may have, and sees that it is enough.
pub(super) fn provide(options: &RunOptions) -> anyhow::Result<()> {
    // Most systems give 1,024, for the sake of programs that call select(2), and leave it to the others to ask for more.
    let limit = increase_nofile_limit(u64::MAX).or_else(|_| Resource::NOFILE.get_soft());
    let limit = limit.context("the limit of open files")?;
    let needed = needed(options);
    ensure!(
        needed <= limit,
        "this takes {needed} open files, the limit is {limit}: raise it with `ulimit -n`"
    );
    Ok(())
}

/// Of a participant: some servers have a connection for each direction.
const LEGS_MAX: u64 = 2;

/// A WebSocket for each who is there, and their own media sockets where they have some; a request for a token for each who joins.
fn needed(options: &RunOptions) -> u64 {
    let scenario = &options.scenario;
    let passing = match scenario.traffic {
        Traffic::Churn { joins_per_second, stay } => (joins_per_second * stay.as_secs_f64()).ceil() as u64,
        Traffic::None | Traffic::Storm | Traffic::Rush { .. } | Traffic::Soak { .. } => 0,
    };
    let each = match options.addresses {
        Addresses::LoopbackRange => 1,
        Addresses::Ports => 1 + LEGS_MAX,
    };
    let joining = options.concurrent_joins as u64;
    // Phones share sockets; their floor has one for each call.
    let of_phones = if scenario.by_phone { PHONES } else { 0 };
    (u64::from(scenario.participants()) + passing + joining) * each + joining + of_phones + OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_may_open_as_many_files_as_the_system_lets_it() {
        let options = RunOptions::of_tests("meeting");
        provide(&options).unwrap();
        let (soft, hard) = Resource::NOFILE.get().unwrap();
        assert_eq!(soft, hard);
    }

    #[test]
    fn each_participant_takes_a_file_and_their_own_sockets_take_more() {
        let mut options = RunOptions::of_tests("quiet-room");
        options.scenario.listeners = 10_000;
        let shared = needed(&options);
        assert!((10_010..10_200).contains(&shared), "{shared}");
        options.addresses = Addresses::Ports;
        assert!(needed(&options) > 3 * 10_010);
    }
}
