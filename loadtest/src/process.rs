//! A process id in, the CPU time and memory it has used out: from `/proc`, so on Linux only.

mod listening;

use std::fs;
use std::io;
use std::time::Duration;

pub(crate) use listening::listens;

/// `utime` and `stime` count in hundredths of a second on every Linux platform (proc(5): divide by
/// `sysconf(_SC_CLK_TCK)`, which the kernel fixes at 100 as USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// CPU time in user mode, of all threads.
    pub user: Duration,
    /// CPU time in kernel mode, of all threads.
    pub system: Duration,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
}

impl ProcessSample {
    /// CPU time in user and kernel mode.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }

    /// Reads the figures of a process.
    pub fn of(pid: u32) -> io::Result<Self> {
        ProcessSample::read(&pid.to_string())
    }

    /// Reads the figures of this process.
    pub fn own() -> io::Result<Self> {
        ProcessSample::read("self")
    }

    fn read(process: &str) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        parse(&stat, &status).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{process} is unreadable"))
        })
    }
}

/// The name of a process, up to 15 characters of it.
pub(crate) fn name(pid: u32) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).map(|name| name.trim_end().to_owned())
}

/// CPU time that all processes of the machine have used so far, and what a hypervisor kept from it.
pub(crate) fn machine_cpu() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    parse_machine(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat is unreadable"))
}

fn parse_machine(stat: &str) -> Option<Duration> {
    // user, nice, system, idle, iowait, irq, softirq, steal (proc(5)).
    let fields: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().flat_map(str::parse).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields[..] else { return None };
    Some(Duration::from_millis(TICK.as_millis() as u64 * (user + nice + system + irq + softirq + steal)))
}

fn parse(stat: &str, status: &str) -> Option<ProcessSample> {
    // The second field is the name in parentheses and may itself hold spaces and parentheses;
    // utime and stime are fields 14 and 15 (proc(5)).
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = after_name.next()?.parse().ok()?;
    let system: u32 = after_name.next()?.parse().ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(ProcessSample { user: TICK * user, system: TICK * system, resident_bytes: resident_kib * 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 25";
        let sample = parse(stat, "Name:\ta\nVmRSS:\t    2048 kB\n").unwrap();
        assert_eq!((sample.user, sample.system), (Duration::from_millis(2_500), Duration::from_millis(500)));
        assert_eq!(sample.cpu(), Duration::from_secs(3));
        assert_eq!(sample.resident_bytes, 2 << 20);
    }

    #[test]
    fn the_machines_time_is_without_its_idle_time() {
        let stat = "cpu  100 1 50 9999 9999 2 3 4 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse_machine(stat), Some(Duration::from_millis(1_600)));
        assert!(machine_cpu().unwrap() > Duration::ZERO);
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(ProcessSample::own().unwrap().resident_bytes > 0);
        assert!(ProcessSample::of(u32::MAX).is_err());
        assert!(!name(std::process::id()).unwrap().is_empty() && name(u32::MAX).is_err());
    }
}
