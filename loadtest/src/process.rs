//! A process id in, what it has used and whether it listens somewhere out: from `/proc`, so on Linux only.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};
use procfs::{CurrentSI, KernelStats, ProcError, ticks_per_second};

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
    ///
    /// # Errors
    /// There is none of that id.
    pub fn of(pid: u32) -> io::Result<Self> {
        ProcessSample::read(&process(pid)?).map_err(io::Error::other)
    }

    /// Reads the figures of this process.
    ///
    /// # Errors
    /// `/proc` isn't there.
    pub fn own() -> io::Result<Self> {
        Process::myself().and_then(|own| ProcessSample::read(&own)).map_err(io::Error::other)
    }

    fn read(process: &Process) -> Result<Self, ProcError> {
        let (stat, status) = (process.stat()?, process.status()?);
        let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / ticks_per_second());
        let resident_kib = status.vmrss.unwrap_or(0);
        Ok(ProcessSample {
            user: time(stat.utime),
            system: time(stat.stime),
            resident_bytes: resident_kib * 1024,
        })
    }
}

/// CPU time that a process has used so far, of all its threads, to the nanosecond: `/proc` counts in hundredths of a second.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    let time = clock_gettime(clock_getcpuclockid(Pid::from_raw(pid))?)?;
    Ok(Duration::from_nanos(time.num_nanoseconds() as u64))
}

/// The name of a process, up to 15 characters of it.
pub(crate) fn name(pid: u32) -> io::Result<String> {
    process(pid)?.stat().map(|stat| stat.comm).map_err(io::Error::other)
}

/// CPU time that all processes of the machine have used so far, and what a hypervisor kept from it.
pub(crate) fn machine_cpu() -> io::Result<Duration> {
    let cpu = KernelStats::current().map_err(io::Error::other)?.total;
    let of_the_kernel = [cpu.irq_duration(), cpu.softirq_duration(), cpu.steal_duration()];
    let of_processes = [cpu.user_duration(), cpu.nice_duration(), cpu.system_duration()];
    Ok(of_processes.into_iter().chain(of_the_kernel.into_iter().flatten()).sum())
}

/// Whether a process listens for TCP connections to an address; `None` where that can't be told: nobody listens in this
/// network namespace, or the process is not ours to look into.
///
/// Whoever passes the id of a shell, of a wrapper or of yesterday's server would get figures of that.
pub(crate) fn listens(pid: u32, address: SocketAddr) -> Option<bool> {
    // One of the tables is missing on machines without that family.
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let entries = tables.into_iter().flat_map(Result::unwrap_or_default);
    let listening = entries.filter(|it| it.state == TcpState::Listen && accepts(it.local_address, address));
    let inodes: Vec<u64> = listening.map(|entry| entry.inode).collect();
    if inodes.is_empty() {
        return None;
    }
    let mut files = process(pid).ok()?.fd().ok()?;
    // One that was closed meanwhile is none of those that listen.
    Some(files.any(|file| matches!(file, Ok(file) if is_one_of(&inodes, &file.target))))
}

fn is_one_of(inodes: &[u64], file: &FDTarget) -> bool {
    matches!(file, FDTarget::Socket(inode) if inodes.contains(inode))
}

fn process(pid: u32) -> io::Result<Process> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "there is no such process");
    let pid = i32::try_from(pid).map_err(|_| none())?;
    Process::new(pid).map_err(|error| match error {
        ProcError::NotFound(_) => none(),
        other => io::Error::other(other),
    })
}

/// Whether a socket with this local address gets the connections to that one.
fn accepts(local: SocketAddr, to: SocketAddr) -> bool {
    let ip = local.ip().to_canonical();
    // One that is bound to all of IPv6 usually takes IPv4 too.
    local.port() == to.port()
        && (ip == to.ip().to_canonical() || ip.is_unspecified() && (ip.is_ipv6() || to.is_ipv4()))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn this_process_can_be_read_and_one_that_is_not_there_can_not() {
        assert!(ProcessSample::own().unwrap().resident_bytes > 0);
        assert!(!name(std::process::id()).unwrap().is_empty() && name(u32::MAX).is_err());
        for pid in [u32::MAX, i32::MAX as u32] {
            assert_eq!(ProcessSample::of(pid).unwrap_err().to_string(), "there is no such process");
        }
    }

    #[test]
    fn work_takes_time_of_the_process_and_of_the_machine() {
        let before = (ProcessSample::own().unwrap().cpu(), machine_cpu().unwrap());
        while ProcessSample::own().unwrap().cpu() < before.0 + Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        assert!(machine_cpu().unwrap() > before.1);
    }

    #[test]
    fn cpu_time_is_known_to_less_than_a_tick() {
        let used = cpu_time(std::process::id()).unwrap();
        assert!(cpu_time(std::process::id()).unwrap() > used);
        assert!(cpu_time(u32::MAX).is_err() && cpu_time(1 << 23).is_err());
    }

    #[test]
    fn who_listens_is_told_from_who_does_not() {
        let mut other = Command::new("sleep").arg("30").stdin(Stdio::null()).spawn().unwrap();
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let to = SocketAddr::new(
                match listener.local_addr().unwrap().ip() {
                    ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    ip => ip,
                },
                listener.local_addr().unwrap().port(),
            );
            assert_eq!(listens(std::process::id(), to), Some(true), "{address}");
            assert_eq!(listens(other.id(), to), Some(false), "{address}");
            drop(listener);
            assert_eq!(listens(std::process::id(), to), None, "{address}: nobody listens");
        }
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_socket_for_another_address_is_not_meant() {
        let accepts = |local: &str, to: &str| accepts(local.parse().unwrap(), to.parse().unwrap());
        assert!(accepts("[::]:80", "127.0.0.1:80") && accepts("[::ffff:127.0.0.1]:80", "127.0.0.1:80"));
        assert!(!accepts("0.0.0.0:80", "[::1]:80") && !accepts("127.0.0.2:80", "127.0.0.1:80"));
        assert!(!accepts("127.0.0.1:81", "127.0.0.1:80"));
    }
}
