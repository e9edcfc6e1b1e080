//! What the machine is, for whoever reads the figures later.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::Serialize;

/// Facts of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// CPUs that the server and the tester may use.
    pub(crate) cpus: usize,
    /// How many of them are the server's and not the tester's; absent if they share any.
    pub(crate) server_cpus: Option<usize>,
    /// The kernel's release.
    pub(crate) kernel: String,
}

impl Machine {
    /// This one, with the server in a process of it.
    pub(crate) fn here(server: Option<u32>) -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let own_cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let server_cpus = server.and_then(|pid| alone(&cpus_of(pid as i32)?, &cpus_of(0)?));
        Machine {
            cpu: cpu_name(&cpuinfo).unwrap_or("unknown").to_owned(),
            cpus: own_cpus + server_cpus.unwrap_or_default(),
            server_cpus,
            kernel: kernel.trim().to_owned(),
        }
    }
}

/// Where a process may run; 0 is this one.
fn cpus_of(pid: i32) -> Option<CpuSet> {
    sched_getaffinity(Pid::from_raw(pid)).ok()
}

/// How many CPUs the one has for itself, if they share none.
fn alone(one: &CpuSet, other: &CpuSet) -> Option<usize> {
    let has = |set: &CpuSet, cpu| set.is_set(cpu) == Ok(true);
    let all = 0..CpuSet::count();
    let shares = all.clone().any(|cpu| has(one, cpu) && has(other, cpu));
    (!shares).then(|| all.filter(|&cpu| has(one, cpu)).count())
}

fn cpu_name(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_a_name() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t: aes\n";
        assert_eq!(cpu_name(cpuinfo), Some("AMD EPYC"));
        assert_eq!(cpu_name(""), None);
        assert!(Machine::here(None).cpus > 0);
    }

    #[test]
    fn cpus_are_the_servers_where_the_tester_has_others() {
        let set = |cpus: &[usize]| {
            let mut set = CpuSet::new();
            cpus.iter().for_each(|&cpu| set.set(cpu).unwrap());
            set
        };
        assert_eq!(alone(&set(&[0, 2]), &set(&[1])), Some(2));
        assert_eq!(alone(&set(&[0, 1]), &set(&[1])), None);
        let here = Machine::here(Some(std::process::id()));
        assert_eq!(here.server_cpus, None, "this process shares with itself");
    }
}
