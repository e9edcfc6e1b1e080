//! What a call costs, by reports of `sip-mix`: a table, and what it says to what a server of phones has to hold.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::run::{Calls, Run};

/// The issue's: calls on a core, and how much more than their floor calls of one room may cost.
const CALLS_A_CORE_MIN: f64 = 500.0;
const OVER_SHARED_MAX: f64 = 1.2;

/// Of calls that are held against these there are at least so many.
const SHARED_CALLS: usize = 200;

const G711: [&str; 2] = ["PCMU", "PCMA"];

/// The table and the lines below it.
pub(super) fn of(runs: &[Run]) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "{}\n", runs[0].circumstances());
    page.push_str(
        "| Calls | In a room with | Lost: calls, packets | Jitter p50 / p95 / max | CPU: room, with calls | The first call | \
         A further one | Of all, each | Its floor: RTP + codec | Of the floor | Calls on a core |\n\
         | --- | --- | --- | --- | --- | --: | --: | --: | --- | --: | --: |\n",
    );
    let mut runs: Vec<(&Run, &Calls)> =
        runs.iter().filter_map(|run| Some((run, run.calls.as_ref()?))).collect();
    runs.sort_by_key(|(run, calls)| (!is_g711(calls), run.scenario.speakers, calls.answered.succeeded));
    for (run, calls) in &runs {
        row(&mut page, run, calls);
    }
    page.push('\n');
    for line in verdicts(&runs).into_iter().chain(warnings(&runs)) {
        let _ = writeln!(page, "- {line}");
    }
    page
}

fn is_g711(calls: &Calls) -> bool {
    G711.contains(&calls.codec.as_str())
}

fn name(calls: &Calls) -> String {
    format!("{} {}", calls.answered.succeeded, calls.codec)
}

fn row(page: &mut String, run: &Run, calls: &Calls) {
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
    let _ = write!(
        page,
        "| {} | {} | {}, {} of {} | {} / {} / {:.1} ms |",
        name(calls),
        run.scenario.speakers,
        calls.lost,
        calls.lost_by_server,
        calls.streams.expected,
        ms(calls.jitter.p50_ms),
        ms(calls.jitter.p95_ms),
        calls.jitter.max_ms
    );
    match &calls.cost {
        Some(cost) => {
            let added = cost.added_us_per_second.map_or_else(|| "–".to_owned(), |us| format!("{us:.0} µs/s"));
            let _ = write!(
                page,
                " {:.1} %, {:.1} % | {:.0} µs/s | {added} | **{:.0}** µs/s |",
                cost.room_cpu_percent, cost.all_cpu_percent, cost.first_us_per_second, cost.us_per_second
            );
        }
        None => page.push_str(" – | – | – | – |"),
    }
    match &calls.floor {
        Some(floor) => {
            let (rtp, codec) = (floor.receive_ns + floor.send_ns, floor.decode_ns + floor.encode_ns);
            let _ = write!(page, " {:.0} + {:.0} µs/s |", rtp / 20.0, codec / 20.0);
        }
        None => page.push_str(" – |"),
    }
    let ratio = calls.cost.as_ref().and_then(|cost| cost.over_floor);
    let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    // The mixing is the first call's: of a few it is most of what they cost.
    let on_a_core = calls.cost.as_ref().filter(|_| calls.answered.succeeded > 1);
    let on_a_core = on_a_core.map_or_else(|| "–".to_owned(), |cost| format!("{:.0}", cost.calls_a_core));
    let _ = writeln!(page, " {ratio} | {on_a_core} |");
}

/// What the figures say to each of the bars.
fn verdicts(runs: &[(&Run, &Calls)]) -> Vec<String> {
    let mut lines = Vec::new();
    let costs = || runs.iter().filter_map(|(run, calls)| Some((*run, *calls, calls.cost.as_ref()?)));
    let shared =
        || costs().filter(|(_, calls, _)| is_g711(calls) && calls.answered.succeeded >= SHARED_CALLS);
    if let Some((_, calls, cost)) = shared().max_by_key(|(_, calls, _)| calls.answered.succeeded) {
        let ratio = cost.over_floor.map_or_else(String::new, |ratio| {
            format!(", at {ratio:.2} times what RTP and the codec cost at least")
        });
        lines.push(format!(
            "**A core holds 500 listening calls: {}.** By what {} cost it is {:.0}{ratio}.",
            verdict(cost.calls_a_core >= CALLS_A_CORE_MIN),
            name(calls),
            cost.calls_a_core
        ));
    }
    let size = |run: &Run, calls: &Calls| (calls.answered.succeeded, run.scenario.speakers);
    if let Some(least) = shared().map(|(run, calls, _)| size(run, calls)).min() {
        let runs = shared().filter(|(run, calls, _)| size(run, calls) == least);
        if let Some((count, [min, median, max])) = middle(runs.filter_map(|(.., cost)| cost.over_shared)) {
            lines.push(format!(
                "**{} silent G.711 calls in a room cost at most 1.2 times the mixing of one, and RTP and encoding of the others: \
                 {}.** They cost {median:.2} times that: the median of {count}, {min:.2} to {max:.2}.",
                least.0,
                verdict(median <= OVER_SHARED_MAX),
            ));
        }
    }
    let of_one_size = || shared().filter(|(_, calls, _)| calls.answered.succeeded == SHARED_CALLS);
    let added = |speakers: u32| {
        let of_speakers = of_one_size().filter(|(run, ..)| run.scenario.speakers == speakers);
        middle(of_speakers.filter_map(|(.., cost)| cost.added_us_per_second))
            .map(|(_, [_, median, _])| median)
    };
    let sizes: BTreeSet<u32> = of_one_size().map(|(run, ..)| run.scenario.speakers).collect();
    if let (Some(&few), Some(&many)) = (sizes.first(), sizes.last())
        && few < many
        && let (Some(us_of_few), Some(us_of_many)) = (added(few), added(many))
    {
        lines.push(format!(
            "**What a further call costs doesn't depend on how many are in the room**, if these are near each other: with {few} \
             participants {us_of_few:.0} µs a second, with {many} {us_of_many:.0}."
        ));
    }
    lines
}

/// How many there are, and of them the least, the median and the greatest; `None` of none.
fn middle(values: impl Iterator<Item = f64>) -> Option<(usize, [f64; 3])> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
    Some((values.len(), [least, median, most]))
}

fn verdict(is_kept: bool) -> &'static str {
    if is_kept { "yes" } else { "no" }
}

/// Reasons to distrust the figures.
fn warnings(runs: &[(&Run, &Calls)]) -> Vec<String> {
    let of_run = |(run, calls): &(&Run, &Calls)| {
        let name = format!("{}, in a room with {}", name(calls), run.scenario.speakers);
        (!run.warnings.is_empty()).then(|| format!("{name}: {}.", run.warnings.join("; ")))
    };
    runs.iter().filter_map(of_run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(speakers: u32, calls: usize, codec: &str, us: f64) -> Run {
        let joins = |succeeded| serde_json::json!({ "succeeded": succeeded, "failed": 0, "per_second": 40.0, "p50_ms": 5.0, "p99_ms": 9.0 });
        let report = serde_json::json!({
            "date": "2026-11-22T10:00:00Z", "seconds": 10.0, "warnings": [], "promises": [],
            "target": { "name": "tercet", "version": "abc" },
            "machine": { "cpu": "CPU", "cpus": 2, "kernel": "6" },
            "scenario": { "name": "sip-mix", "rooms": 1, "speakers": speakers, "listeners": calls, "talkers": 2 },
            "joins": joins(speakers), "tester": {},
            "calls": {
                "codec": codec, "answered": joins(calls as u32), "lost": 0, "lost_by_server": 1,
                "streams": { "expected": 500 * calls },
                "jitter": { "p50_ms": 0.2, "p95_ms": 0.8, "p99_ms": 1.0, "max_ms": 4.0 },
                "cost": {
                    "room_cpu_percent": 5.0, "all_cpu_percent": 17.0, "first_us_per_second": 10_000.0,
                    "added_us_per_second": us, "us_per_second": us, "calls_a_core": 1e6 / us,
                    "over_floor": us / 400.0, "over_shared": us / 500.0
                },
                "floor": { "receive_ns": 1_000.0, "send_ns": 4_000.0, "decode_ns": 2_000.0, "encode_ns": 1_000.0 }
            }
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn each_run_has_a_row_and_each_bar_an_answer() {
        let page = of(&[
            run(3, 100, "opus", 2_400.0),
            run(30, 200, "PCMU", 630.0),
            run(3, 200, "PCMU", 600.0),
            run(3, 200, "PCMU", 500.0),
            run(3, 200, "PCMU", 900.0),
            run(3, 1_000, "PCMU", 500.0),
        ]);
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
        assert_eq!(rows.len(), 6, "{page}");
        assert!(
            rows[0].starts_with("| 200 PCMU | 3 | 0, 1 of 100000 | 0.2 / 0.8 / 4.0 ms | 5.0 %, 17.0 %"),
            "{page}"
        );
        assert!(rows[0].ends_with("| **600** µs/s | 250 + 150 µs/s | 1.50 | 1667 |"), "{page}");
        assert!(rows[5].starts_with("| 100 opus"), "{page}");
        assert!(
            page.contains("holds 500 listening calls: yes.** By what 1000 PCMU cost it is 2000, at 1.25"),
            "{page}"
        );
        assert!(
            page.contains("of the others: yes.** They cost 1.20 times that: the median of 3, 1.00 to 1.80."),
            "{page}"
        );
        assert!(page.contains("with 3 participants 600 µs a second, with 30 630."), "{page}");
    }
}
