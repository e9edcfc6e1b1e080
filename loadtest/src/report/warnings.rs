//! Reasons to distrust figures: whose fault it was, where that isn't the server's.

use super::Report;
use super::figures::SEND_LAG_MAX_MS;

/// Above this share of all CPUs, in percent, threads wait for each other.
const MACHINE_PERCENT_MAX: f64 = 90.0;
/// Above this, in percent of one CPU, others disturb the measurement.
const OTHERS_PERCENT_MAX: f64 = 20.0;
/// A thread that is busier than this has no reserve.
const THREAD_PERCENT_MAX: f64 = 85.0;
/// Floors that differ by more tell of a machine that changed meanwhile.
const FLOOR_PERCENT_MAX: f64 = 15.0;

pub(super) fn of(report: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    let tester = &report.tester;
    if report.server_ended {
        warnings.push("the server ended: its process was gone at the end of the window".to_owned());
    }
    if let Some(lag) = tester.send_lag_p99_ms.filter(|_| tester.is_starved()) {
        warnings.push(format!(
            "the tester is saturated or starved: publishers sent {lag:.1} ms late (p99); mouth to ear doesn't include it"
        ));
    }
    if tester.cpu_percent > THREAD_PERCENT_MAX * report.options.threads as f64 {
        warnings.push(format!(
            "the tester is saturated: {:.0} % of a CPU for {} threads",
            tester.cpu_percent, report.options.threads
        ));
    }
    if report.machine_cpu_percent > MACHINE_PERCENT_MAX * report.machine.cpus as f64 {
        warnings.push(format!(
            "the machine is full: {:.0} % used of {} CPUs",
            report.machine_cpu_percent, report.machine.cpus
        ));
    }
    // Without the server's figure, its part can't be told from that of others.
    if let Some(server) = &report.server {
        let others = report.machine_cpu_percent - server.cpu_percent - tester.cpu_percent;
        if others > OTHERS_PERCENT_MAX {
            warnings.push(format!("the machine is shared: others used {others:.0} % of a CPU"));
        }
    }
    if let Some(media) = &report.media {
        if media.dropped_by_tester > 0 {
            warnings.push(format!(
                "the tester is saturated: its sockets dropped {} datagrams, counted apart from the server's loss",
                media.dropped_by_tester
            ));
        }
        if media.sends_failed > 0 {
            warnings.push(format!("{} datagrams of the tester were not sent", media.sends_failed));
        }
    }
    if let Some(calls) = &report.calls {
        if let Some(lag) = calls.send_lag_p99_ms.filter(|lag| *lag > SEND_LAG_MAX_MS) {
            warnings.push(format!("the tester is saturated or starved: phones sent {lag:.1} ms late (p99)"));
        }
        if calls.dropped_by_tester > 0 {
            warnings.push(format!(
                "the tester is saturated: phones' sockets dropped {} datagrams, counted apart from the server's loss",
                calls.dropped_by_tester
            ));
        }
        if calls.sends_failed > 0 {
            warnings.push(format!("{} datagrams of phones were not sent", calls.sends_failed));
        }
        if let Some(reason) = &calls.first_lost_by {
            warnings.push(format!("{} calls were lost, the first by {reason}", calls.lost));
        }
        if let Some(error) = &calls.answered.first_error {
            warnings.push(format!("{} calls failed, the first: {error}", calls.answered.failed));
        }
    }
    if let Some(floor) = &report.floor {
        let (before, after) = (floor.before.total_ns, floor.after.total_ns);
        let differ = (after / before - 1.0).abs() * 100.0;
        if differ > FLOOR_PERCENT_MAX {
            warnings.push(format!("the floor moved: {before:.0} ns before, {after:.0} ns after"));
        }
        if floor.before.dropped + floor.after.dropped > 0 {
            warnings.push("the floor's receiver dropped datagrams: the floor is too low".to_owned());
        }
    }
    for joins in [Some(&report.joins), report.late_joins.as_ref()].into_iter().flatten() {
        if let Some(error) = &joins.first_error {
            warnings.push(format!("{} joins failed, the first: {error}", joins.failed));
        }
    }
    if report.options.gro {
        warnings.push("GRO: the kernel spared the server work that a network doesn't".to_owned());
    }
    warnings
}
