//! A stretch of a room in, a picture of who spoke and who was heard out, rule below rule.

use std::collections::BTreeMap;
use std::ops::Range;

use svg::Document;
use svg::node::element::{Group, Rectangle, Text};

use crate::measure::{Contender, Plan};
use crate::scenarios::Scenario;
use crate::score::Speaking;
use crate::trace::Trace;

/// The rooms that tell most, with the names of their files.
pub(crate) const PICTURES: [(&str, &str); 3] =
    [("four fans", "four-fans.svg"), ("typing, doors", "typing-doors.svg"), ("all of it", "all-of-it.svg")];

/// The stretch that is shown, of the conversation with the seed 0: its beginning is settled by then.
const SHOWN_US: Range<u64> = 40_000_000..65_000_000;
const SECONDS: u64 = 25;

// Okabe and Ito's colours, which the colour-blind can tell apart; heights differ as well.
const HEARD: &str = "#0072b2";
const MISSED: &str = "#d55e00";
const SILENT: &str = "#9ad0f0";
const NOISE: &str = "#e69f00";
const TEXT: &str = "#222222";
const LINES: &str = "#dddddd";

// Pixels.
const LABELS: f64 = 130.0;
const SECOND: f64 = 32.0;
const ROW: f64 = 12.0;
const PANEL_GAP: f64 = 30.0;
const TOP: f64 = 62.0;
const WIDTH: f64 = LABELS + SECOND * SECONDS as f64 + 16.0;

/// Stretches of time, microseconds.
type Stretches = Vec<Range<u64>>;

/// By source, when it had a slot.
fn held(trace: &Trace, contender: &Contender) -> BTreeMap<u32, Stretches> {
    let mut rule = contender.rule();
    let mut held: BTreeMap<u32, Stretches> = BTreeMap::new();
    let mut since: BTreeMap<u32, u64> = BTreeMap::new();
    for packet in &trace.packets {
        rule.packet(packet);
        let slots = rule.slots();
        since.retain(|source, from| {
            let stays = slots.contains(&Some(*source));
            if !stays {
                held.entry(*source).or_default().push(*from..packet.at_us);
            }
            stays
        });
        for &source in slots.iter().flatten() {
            since.entry(source).or_insert(packet.at_us);
        }
    }
    for (source, from) in since {
        held.entry(source).or_default().push(from..u64::MAX);
    }
    held
}

/// What is in both, within what is shown.
fn both(a: &[Range<u64>], b: &[Range<u64>]) -> Stretches {
    let meet = |a: &Range<u64>, b: &Range<u64>| {
        let from = a.start.max(b.start).max(SHOWN_US.start);
        from..a.end.min(b.end).min(SHOWN_US.end)
    };
    let all = a.iter().flat_map(|a| b.iter().map(move |b| meet(a, b)));
    all.filter(|stretch| !stretch.is_empty()).collect()
}

fn length_us(stretches: &[Range<u64>]) -> u64 {
    stretches.iter().map(|stretch| stretch.end - stretch.start).sum()
}

fn x(at_us: u64) -> f64 {
    LABELS + (at_us - SHOWN_US.start) as f64 / 1e6 * SECOND
}

fn text(content: &str, x: f64, y: f64, size: u32) -> Text {
    Text::new(content).set("x", x).set("y", y).set("font-size", size).set("fill", TEXT)
}

/// Bars of a height in a row.
fn bars(group: Group, stretches: &[Range<u64>], row_y: f64, height: f64, colour: &str) -> Group {
    stretches.iter().fold(group, |group, stretch| {
        let (from, to) = (x(stretch.start), x(stretch.end));
        group.add(
            Rectangle::new()
                .set("x", format!("{from:.1}"))
                .set("y", row_y + (ROW - height) / 2.0)
                .set("width", format!("{:.1}", (to - from).max(0.6)))
                .set("height", height)
                .set("fill", colour),
        )
    })
}

fn legend() -> Group {
    let entries = [
        ("speaks and is heard", HEARD, 9.0),
        ("speaks and is not heard", MISSED, 9.0),
        ("has a slot in a pause", SILENT, 4.0),
        ("never speaks, has a slot", NOISE, 6.0),
    ];
    entries.iter().enumerate().fold(Group::new(), |group, (n, &(name, colour, height))| {
        let at = LABELS + 195.0 * n as f64;
        let swatch = Rectangle::new()
            .set("x", at)
            .set("y", 38.0 - height / 2.0)
            .set("width", 22)
            .set("height", height)
            .set("fill", colour);
        group.add(swatch).add(text(name, at + 28.0, 42.0, 12))
    })
}

/// One rule's panel: a row a source.
fn panel(contender: &Contender, trace: &Trace, labels: &[String], y: f64) -> Group {
    let all = SHOWN_US;
    let (held, speaking) = (held(trace, contender), Speaking::new(trace));
    let (mut spoken_us, mut heard_us, mut changes) = (0, 0, 0);
    let mut group = Group::new();
    for (source, label) in (0..).zip(labels) {
        let row_y = y + ROW * f64::from(source);
        let held = held.get(&source).cloned().unwrap_or_default();
        let spoken = both(speaking.of(source), std::slice::from_ref(&all));
        let heard = both(&spoken, &held);
        let shown = both(&held, std::slice::from_ref(&all));
        spoken_us += length_us(&spoken);
        heard_us += length_us(&heard);
        changes += held.iter().filter(|stretch| SHOWN_US.contains(&stretch.start)).count();
        let line = Rectangle::new()
            .set("x", LABELS)
            .set("y", row_y + ROW - 0.5)
            .set("width", SECOND * SECONDS as f64)
            .set("height", 0.5)
            .set("fill", LINES);
        group = group.add(line);
        let label = text(label, LABELS - 6.0, row_y + ROW - 2.5, 10).set("text-anchor", "end");
        group = group.add(label);
        let talks = !speaking.of(source).is_empty();
        let (height, colour) = if talks { (4.0, SILENT) } else { (6.0, NOISE) };
        group = bars(group, &shown, row_y, height, colour);
        group = bars(group, &spoken, row_y, 9.0, MISSED);
        group = bars(group, &heard, row_y, 9.0, HEARD);
    }
    let kept = 100.0 * heard_us as f64 / spoken_us.max(1) as f64;
    let title = format!(
        "{}: {kept:.1} % of the time in which somebody speaks, {changes} times a slot given",
        contender.name
    );
    group.add(text(&title, LABELS, y - 6.0, 13).set("font-weight", "bold"))
}

/// The picture of a room.
pub(crate) fn picture(room: &Scenario, contenders: &[Contender], plan: &Plan) -> String {
    let trace = room.trace(0, &plan.voice, plan.length_ms);
    let labels = room.labels();
    let panel_height = ROW * labels.len() as f64 + PANEL_GAP;
    let height = TOP + panel_height * contenders.len() as f64 + 12.0;
    let title = format!("Room \"{}\", seed 0, {SECONDS} s: who speaks, and who has a slot", room.name);
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("font-family", "sans-serif")
        .add(Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "#ffffff"))
        .add(text(&title, LABELS, 20.0, 15))
        .add(legend());
    let bottom = height - PANEL_GAP;
    for second in (0..=SECONDS).step_by(5) {
        let at = x(SHOWN_US.start + second * 1_000_000);
        let line =
            Rectangle::new().set("x", at).set("y", TOP).set("width", 0.7).set("height", bottom - TOP + 4.0);
        document = document.add(line.set("fill", LINES));
        let label = text(&format!("{second} s"), at, bottom + 16.0, 11);
        document = document.add(label.set("text-anchor", "middle"));
    }
    for (n, contender) in contenders.iter().enumerate() {
        let y = TOP + 16.0 + panel_height * n as f64;
        document = document.add(panel(contender, &trace, &labels, y));
    }
    format!("{document}\n")
}
