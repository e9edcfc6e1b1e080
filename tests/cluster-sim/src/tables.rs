//! Figures in, Markdown tables out.

use std::time::Duration;

use tercet_cluster_sim::figures::{Load, Spread};
use tercet_cluster_sim::scenarios::PARTICIPANTS_A_NODE;
use tercet_selector_bench::document::table;

use crate::{CROSSING_NODES, Results};

/// The tables, with the names of their blocks.
pub(crate) fn all(results: &Results) -> [(&'static str, String); 5] {
    [
        ("times", times(results)),
        ("crossing", crossing(results)),
        ("load", load(results)),
        ("onsets", onsets(results)),
        ("zone", zone(results)),
    ]
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("never".into(), |time| format!("{:.2}", time.as_secs_f64()))
}

fn ms(time: Option<Duration>) -> String {
    time.map_or("never".into(), |time| format!("{:.0}", time.as_secs_f64() * 1000.0))
}

/// The one in the middle, and the greatest.
fn spread(Spread { median, max }: Spread) -> [String; 2] {
    [median, max].map(|figure| if figure < 10.0 { format!("{figure:.1}") } else { format!("{figure:.0}") })
}

fn times(results: &Results) -> String {
    let headings = [
        ">nodes",
        ">all started, s",
        ">one more, s",
        ">one killed, s",
        ">a cut ended, s",
        ">a room opened on all, ms",
        ">on one more: heard there, ms",
    ];
    let rows = results.lives.iter().map(|life| {
        vec![
            life.nodes.to_string(),
            seconds(life.started),
            seconds(life.joined),
            seconds(life.buried),
            seconds(life.healed),
            ms(life.opened),
            ms(life.audible),
        ]
    });
    table(&headings, rows)
}

fn crossing(results: &Results) -> String {
    let headings = [
        ">speak at once",
        ">streams that all nodes send",
        ">a node receives, median",
        ">max",
        ">a node sends, kB/s, median",
        ">max",
    ];
    let rows = results.crossings.iter().map(|crossing| {
        let [median, max] = [crossing.received.median, crossing.received.max].map(|n| format!("{n:.2}"));
        let [sends, sends_max] = spread(crossing.load.media.kilobytes);
        vec![crossing.speakers.to_string(), format!("{:.2}", crossing.sent), median, max, sends, sends_max]
    });
    format!("{CROSSING_NODES} nodes:\n\n{}", table(&headings, rows))
}

fn load(results: &Results) -> String {
    let headings = [
        ">nodes",
        "rooms",
        ">participants",
        ">control, datagrams/s a node",
        ">max",
        ">kB/s",
        ">max",
        ">media, datagrams/s a node",
        ">max",
        ">kB/s",
        ">max",
        ">kB/s a link",
        ">max",
    ];
    let row = |nodes: usize, rooms: String, participants: usize, load: &Load| {
        let mut row = vec![nodes.to_string(), rooms, participants.to_string()];
        for rate in [load.control, load.media] {
            row.extend(spread(rate.datagrams));
            row.extend(spread(rate.kilobytes));
        }
        row.extend(spread(load.link.kilobytes));
        row
    };
    let rows = results.lives.iter().flat_map(|life| {
        let participants = life.nodes * PARTICIPANTS_A_NODE;
        let mut rows = vec![
            row(life.nodes, "none".into(), 0, &life.idle),
            row(life.nodes, "one, on all nodes".into(), participants, &life.talking),
        ];
        let small = results.small_rooms.iter().filter(|small| small.nodes == life.nodes);
        rows.extend(small.map(|small| {
            row(
                life.nodes,
                format!("{} of 10, {} on two nodes", small.rooms, small.spanning),
                participants,
                &small.load,
            )
        }));
        rows
    });
    table(&headings, rows)
}

fn onsets(results: &Results) -> String {
    let headings = [
        ">nodes",
        ">one room on all: median, ms",
        ">max, ms",
        ">spurts, on all other nodes",
        ">not heard",
        ">small rooms: median, ms",
        ">max, ms",
    ];
    let rows = results.lives.iter().map(|life| {
        let mut row = vec![life.nodes.to_string()];
        row.extend(spread(life.onset_ms));
        row.extend([life.spurts.to_string(), life.unheard.to_string()]);
        let small = results.small_rooms.iter().find(|small| small.nodes == life.nodes);
        row.extend(small.map(|small| spread(small.onset_ms)).unwrap_or_default());
        row
    });
    table(&headings, rows)
}

fn zone(results: &Results) -> String {
    let headings = [
        ">nodes in one zone",
        ">all started, s",
        ">datagrams/s a node",
        ">kB/s a node",
        ">longest datagram, bytes",
        ">too long to arrive, a second",
    ];
    let rows = results.zones.iter().map(|zone| {
        let control = zone.idle.control;
        vec![
            zone.nodes.to_string(),
            seconds(zone.started),
            format!("{:.0}", control.datagrams.median),
            format!("{:.0}", control.kilobytes.median),
            zone.idle.longest_bytes.to_string(),
            format!("{:.0}", zone.oversized_a_second()),
        ]
    });
    table(&headings, rows)
}
