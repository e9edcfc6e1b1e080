//! The tables of the page, in Markdown.

use std::fmt::Write;

use super::run::{self, Run};

/// All of them, under headings of the third level.
pub(super) fn of(runs: &[Run]) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "{}", runs[0].circumstances());
    for (heading, picture, rows) in [
        ("A town hall: three voices", "mouth-to-ear", run::townhalls(runs)),
        ("One voice, ever more listeners", "growth", run::growth(runs)),
        ("Rooms of ten", "rooms", run::rooms(runs)),
        ("Other rooms", "", run::others(runs)),
    ] {
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n### {heading}\n");
        if !picture.is_empty() && rows.len() > 1 {
            let _ = writeln!(page, "![{heading}](benchmarks/{picture}.svg)\n");
        }
        ours(&mut page, &rows);
    }
    for (index, shape) in run::comparisons(runs).iter().enumerate() {
        let scenario = &shape[0].scenario;
        let _ = writeln!(
            page,
            "\n### Beside other servers: {} publishers, {} of whom talk, and {} subscribers\n",
            scenario.speakers, scenario.talkers, scenario.listeners
        );
        if index == 0 {
            page.push_str("![CPU time a packet out](benchmarks/servers.svg)\n\n");
        }
        beside(&mut page, shape);
    }
    page
}

fn ours(page: &mut String, rows: &[&Run]) {
    page.push_str(
        "| Scenario | Joined (a second) | Join p50 / p99 | Packets out a second | Lost | Mouth to ear p50 / p99 | \
         Switch p50 / p99 | Onsets whole | CPU | A packet out: user + system | Of the floor | Memory (a participant) | \
         Promises |\n| --- | --- | --- | --: | --: | --- | --- | --: | --: | --- | --: | --- | --- |\n",
    );
    for run in rows {
        let server = run.server.as_ref();
        let heard = run.heard.as_ref();
        let cost = server.and_then(|s| {
            let (all, user, system) =
                (s.ns_per_packet_out?, s.user_ns_per_packet_out?, s.system_ns_per_packet_out?);
            Some(format!("**{:.1}** µs: {:.1} + {:.1}", all / 1e3, user / 1e3, system / 1e3))
        });
        let cost = cost.or_else(|| Some(format!("{:.2} ms a join", server?.ms_per_join?)));
        let memory = server.map(|s| match s.resident_kb_per_participant {
            Some(kb) => format!("{:.0} MB ({kb:.0} kB)", s.resident_mb),
            None => format!("{:.0} MB", s.resident_mb),
        });
        let judged = run.promises.iter().filter_map(|promise| promise.kept);
        let kept = judged.clone().filter(|kept| *kept == 1).count();
        let cells = [
            shape(run),
            joins(run, |it| {
                format!("{} of {} ({:.0})", it.succeeded, it.succeeded + it.failed, it.per_second)
            }),
            joins(run, |it| pair(it.p50_ms, it.p99_ms)),
            or_dash(run.media.as_ref().map(|m| format!("{:.0}", m.packets_out_per_second))),
            or_dash(run.media.as_ref().map(lost)),
            or_dash(heard.map(|h| pair(h.mouth_to_ear.p50_ms, h.mouth_to_ear.p99_ms))),
            or_dash(heard.map(|h| pair(h.switch_delay.p50_ms, h.switch_delay.p99_ms))),
            or_dash(heard.and_then(|h| Some(format!("{:.0} %", h.onsets_whole_percent?)))),
            or_dash(server.map(|s| format!("{:.0} %", s.cpu_percent))),
            or_dash(cost),
            or_dash(ratio(run).map(|ratio| format!("{ratio:.2}"))),
            or_dash(memory),
            format!("{kept} of {}", judged.count()),
        ];
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    notes(page, rows);
}

fn beside(page: &mut String, rows: &[&Run]) {
    page.push_str(
        "| Server | Joined | Packets out a second | Lost | Mouth to ear p50 / p99 | CPU | A packet out | Of the floor | \
         Of ours | The room, of ours | Memory (a participant) |\n\
         | --- | --- | --: | --: | --- | --: | --: | --: | --: | --: | --- |\n",
    );
    let cost = |run: &Run| run.server.as_ref()?.ns_per_packet_out;
    let room = |run: &Run| Some(run.server.as_ref()?.cpu_percent);
    let tercet = rows.iter().find(|run| run.target.name == "tercet");
    let (ours, our_room) = (tercet.and_then(|run| cost(run)), tercet.and_then(|run| room(run)));
    for run in rows {
        let server = run.server.as_ref();
        let memory = server.and_then(|s| {
            Some(format!("{:.0} MB ({:.0} kB)", s.resident_mb, s.resident_kb_per_participant?))
        });
        let cells = [
            [run.target.name.as_str(), run.target.version.as_deref().unwrap_or_default()].join(" "),
            joins(run, |it| format!("{} of {}", it.succeeded, it.succeeded + it.failed)),
            or_dash(run.media.as_ref().map(|m| format!("{:.0}", m.packets_out_per_second))),
            or_dash(run.media.as_ref().map(lost)),
            or_dash(run.heard.as_ref().map(|h| pair(h.mouth_to_ear.p50_ms, h.mouth_to_ear.p99_ms))),
            or_dash(server.map(|s| format!("{:.0} %", s.cpu_percent))),
            or_dash(cost(run).map(|ns| format!("{:.1} µs", ns / 1e3))),
            or_dash(ratio(run).map(|ratio| format!("{ratio:.1}"))),
            or_dash(ours.and_then(|ours| Some(format!("{:.1}", cost(run)? / ours)))),
            or_dash(our_room.and_then(|ours| Some(format!("{:.1}", room(run)? / ours)))),
            or_dash(memory),
        ];
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    notes(page, rows);
}

/// What is to be said against the figures above.
fn notes(page: &mut String, rows: &[&Run]) {
    let warned: Vec<&&Run> = rows.iter().filter(|run| !run.warnings.is_empty()).collect();
    if !warned.is_empty() {
        page.push('\n');
    }
    for run in warned {
        let tester = run
            .tester
            .ns_per_packet_received
            .map(|ns| format!("; the tester took {:.1} µs a packet", ns / 1e3));
        let _ = writeln!(
            page,
            "- {} on {}: {}{}.",
            shape(run),
            run.target.name,
            run.warnings.join("; "),
            tester.unwrap_or_default()
        );
    }
}

fn shape(run: &Run) -> String {
    let run::Scenario { name, rooms, talking_rooms, speakers, listeners, talkers } = &run.scenario;
    let each = format!("{speakers} + {listeners}");
    if speakers + listeners == 0 {
        return name.clone();
    }
    // Where rooms are compared, one of them is a number of rooms too.
    if *rooms == 1 && name != "rooms" {
        return format!("{name}, {each}, {talkers} talk");
    }
    match talking_rooms.filter(|talking| talking < rooms) {
        Some(talking) => format!("{rooms} × ({each}), {talking} rooms talk"),
        None => format!("{rooms} × ({each}), all talk"),
    }
}

/// Those who are there from the beginning, and those who came later.
fn joins(run: &Run, cell: impl Fn(&run::Joins) -> String) -> String {
    let at_first = Some(&run.joins).filter(|it| it.succeeded + it.failed > 0).map(&cell);
    let later = run.late_joins.as_ref().map(cell);
    match (at_first, later) {
        (Some(at_first), Some(later)) => format!("{at_first}, later {later}"),
        (only, None) | (None, only) => or_dash(only),
    }
}

fn lost(media: &run::Media) -> String {
    let expected = media.steady.expected;
    match (media.lost_by_server, media.dropped_by_tester) {
        (lost, 0) => format!("{lost} of {expected}"),
        (lost, dropped) => format!("{lost} of {expected}, {dropped} more by the tester"),
    }
}

fn ratio(run: &Run) -> Option<f64> {
    run.floor.as_ref()?.cpu_per_packet_over_floor
}

fn pair(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) => format!("{a:.1} / {b:.1} ms"),
        _ => "–".to_owned(),
    }
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(joins: usize, late_joins: Option<usize>) -> Run {
        let joined =
            |succeeded| serde_json::json!({ "succeeded": succeeded, "failed": 0, "per_second": 5.0 });
        let report = serde_json::json!({
            "date": "2026-11-21T12:00:00Z",
            "seconds": 10.0,
            "target": { "name": "tercet" },
            "machine": { "cpu": "one", "cpus": 2, "kernel": "6" },
            "scenario": { "name": "churn", "rooms": 1, "speakers": 10, "listeners": 50, "talkers": 3 },
            "joins": joined(joins),
            "late_joins": late_joins.map(joined),
            "tester": {},
            "promises": [{ "kept": 1 }, { "kept": 0 }, { "kept": null }],
            "warnings": [],
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn those_who_come_later_stand_beside_those_of_the_beginning() {
        let cell = |run: &Run| joins(run, |it| it.succeeded.to_string());
        assert_eq!(cell(&run(60, None)), "60");
        assert_eq!(cell(&run(60, Some(80))), "60, later 80");
        assert_eq!(cell(&run(0, Some(80))), "80", "a rush");
    }

    #[test]
    fn a_row_says_how_many_rooms_talk() {
        let shape = |name: &str, rooms, talking_rooms| {
            let mut run = run(0, None);
            let speakers = 3;
            let (listeners, talkers) = (7, 3);
            let name = name.to_owned();
            run.scenario = run::Scenario { name, rooms, talking_rooms, speakers, listeners, talkers };
            super::shape(&run)
        };
        assert_eq!(shape("rooms", 1_000, Some(30)), "1000 × (3 + 7), 30 rooms talk");
        assert_eq!(shape("rooms", 30, Some(30)), "30 × (3 + 7), all talk");
        assert_eq!(shape("rooms", 1, None), "1 × (3 + 7), all talk");
        assert_eq!(shape("panel", 1, None), "panel, 3 + 7, 3 talk");
    }

    #[test]
    fn promises_that_cannot_be_judged_do_not_count() {
        let page = of(&[run(60, Some(80))]);
        assert!(page.contains("| 1 of 2 |"), "{page}");
    }

    #[test]
    fn what_is_lost_is_lost_of_what_those_who_stay_expect() {
        let lost_of = |dropped_by_tester| {
            lost(&run::Media {
                packets_out_per_second: 9_000.0,
                steady: run::Streams { expected: 150_000 },
                dropped_by_tester,
                lost_by_server: 3,
            })
        };
        assert_eq!(lost_of(0), "3 of 150000");
        assert_eq!(lost_of(7), "3 of 150000, 7 more by the tester");
    }
}
