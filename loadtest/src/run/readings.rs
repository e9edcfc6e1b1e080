//! Counters and processes at one time: two of them make a window.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Run;
use crate::process::machine_cpu;
use crate::{Counts, ProcessSample};

/// Everything that is measured, as it stands.
pub(crate) struct Readings {
    pub(crate) at: Instant,
    /// Since the window began.
    pub(crate) counts: Counts,
    /// Participants whose signalling failed, since the run began.
    pub(crate) signalling_failed: u64,
    /// Absent also where the process has ended.
    pub(crate) server: Option<ProcessSample>,
    pub(crate) tester: ProcessSample,
    pub(crate) machine_cpu: Duration,
}

impl Readings {
    pub(super) fn take(run: &Run) -> anyhow::Result<Readings> {
        Ok(Readings {
            // The counters first: what comes after them belongs to whoever reads next.
            counts: run.driver.collect(),
            at: Instant::now(),
            signalling_failed: run.signalling_failed.load(Ordering::Relaxed),
            server: run.options.server_pid.and_then(|pid| ProcessSample::of(pid).ok()),
            tester: ProcessSample::own()?,
            machine_cpu: machine_cpu()?,
        })
    }

    /// A line about the time since others were taken.
    pub(super) fn since(&self, former: &Readings) -> impl fmt::Display {
        let seconds = (self.at - former.at).as_secs_f64();
        let packets = self.counts.packets_out.saturating_sub(former.counts.packets_out);
        let lost = self.counts.steady.lost() as i64 - former.counts.steady.lost() as i64;
        let server = self.server.zip(former.server).map_or_else(String::new, |(now, then)| {
            let cpu = now.cpu().saturating_sub(then.cpu()).as_secs_f64();
            let us = cpu * 1e6 / packets.max(1) as f64;
            let resident_mb = now.resident_bytes as f64 / 1e6;
            format!(
                "; server {:.1} % of a CPU, {us:.2} µs a packet, {resident_mb:.1} MB",
                cpu * 100.0 / seconds
            )
        });
        format!("{:.0} packets/s, {lost} lost{server}", packets as f64 / seconds)
    }
}
