//! Figures in, pictures out: lines over axes.

use svg::Document;
use svg::node::element::{Circle, Group, Line, Polyline, Rectangle, Text};

use crate::Results;

// Okabe and Ito's colours, which the colour-blind can tell apart.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
const TEXT: &str = "#222222";
const LINES: &str = "#dddddd";

// Pixels.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 46.0;

/// What an axis shows.
struct Axis {
    name: &'static str,
    ticks: Vec<f64>,
    is_logarithmic: bool,
}

impl Axis {
    /// Where a figure is, from 0 to 1.
    fn place(&self, figure: f64) -> f64 {
        let scale = |figure: f64| if self.is_logarithmic { figure.max(1e-3).ln() } else { figure };
        let (first, last) = (self.ticks.first().copied(), self.ticks.last().copied());
        let (first, last) = (scale(first.unwrap_or_default()), scale(last.unwrap_or(1.0)));
        ((scale(figure) - first) / (last - first)).clamp(0.0, 1.0)
    }
}

/// A line, with its name.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    has_dots: bool,
}

/// The pictures, with the names of their files.
pub(crate) fn all(results: &Results) -> [(&'static str, String); 3] {
    [("start.svg", start(results)), ("streams.svg", streams(results)), ("load.svg", load(results))]
}

/// From the first start on, who knows whom.
fn start(results: &Results) -> String {
    let series = results.lives.iter().map(|life| Series {
        name: format!("{} nodes", life.nodes),
        points: life.known.iter().enumerate().map(|(n, share)| (n as f64 / 10.0, 100.0 * share)).collect(),
        has_dots: false,
    });
    let series: Vec<Series> = series.collect();
    let last = series.iter().flat_map(|series| &series.points).map(|(at, _)| at.ceil()).fold(2.0, f64::max);
    let x = Axis {
        name: "seconds from the start of the first; the last starts within one",
        ticks: (0..=last as u32).map(f64::from).collect(),
        is_logarithmic: false,
    };
    let y = Axis {
        name: "of all pairs of nodes, how many know each other, %",
        ticks: vec![0.0, 25.0, 50.0, 75.0, 100.0],
        is_logarithmic: false,
    };
    picture("Nodes that know one seed find all others", &x, &y, &series)
}

/// However many speak.
fn streams(results: &Results) -> String {
    let points = |of: fn(&crate::Crossing) -> f64| {
        results.crossings.iter().map(|crossing| (f64::from(crossing.speakers), of(crossing))).collect()
    };
    let series = [
        Series { name: "all nodes send".into(), points: points(|c| c.sent), has_dots: true },
        Series {
            name: "a node receives, at most".into(),
            points: points(|c| c.received.max),
            has_dots: true,
        },
    ];
    let x =
        Axis { name: "how many speak at once", ticks: vec![1.0, 10.0, 100.0, 1000.0], is_logarithmic: true };
    let y = Axis {
        name: "streams between nodes",
        ticks: (0..=6).map(f64::from).collect(),
        is_logarithmic: false,
    };
    picture("A room of 10 nodes with 100 participants each", &x, &y, &series)
}

/// What a node sends, by how many there are.
fn load(results: &Results) -> String {
    let lives = |of: fn(&crate::Life) -> f64| {
        results.lives.iter().map(|life| (life.nodes as f64, of(life))).collect()
    };
    let small = |of: fn(&crate::SmallRooms) -> f64| {
        results.small_rooms.iter().map(|small| (small.nodes as f64, of(small))).collect()
    };
    let series = |name: &str, points| Series { name: name.into(), points, has_dots: true };
    let series = [
        series("no room: control", lives(|life| life.idle.control.kilobytes.median)),
        series("one room: control", lives(|life| life.talking.control.kilobytes.median)),
        series("the same, busiest node", lives(|life| life.talking.control.kilobytes.max)),
        series("small rooms: control", small(|small| small.load.control.kilobytes.median)),
        series("small rooms: media", small(|small| small.load.media.kilobytes.median)),
    ];
    let x = Axis { name: "nodes", ticks: vec![3.0, 10.0, 50.0, 100.0, 200.0], is_logarithmic: true };
    let y = Axis {
        name: "kB/s that a node sends",
        ticks: vec![1.0, 10.0, 100.0, 1000.0, 10_000.0],
        is_logarithmic: true,
    };
    picture("What a node sends to others", &x, &y, &series)
}

fn text(content: &str, x: f64, y: f64, size: u32) -> Text {
    Text::new(content).set("x", x).set("y", y).set("font-size", size).set("fill", TEXT)
}

fn picture(title: &str, x: &Axis, y: &Axis, all: &[Series]) -> String {
    let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let at_x = |figure| LEFT + width * x.place(figure);
    let at_y = |figure| TOP + height * (1.0 - y.place(figure));
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, HEIGHT))
        .set("width", WIDTH)
        .set("height", HEIGHT)
        .set("font-family", "sans-serif")
        .add(Rectangle::new().set("width", WIDTH).set("height", HEIGHT).set("fill", "#ffffff"))
        .add(text(title, LEFT, 22.0, 15))
        .add(text(y.name, LEFT, TOP - 10.0, 11))
        .add(text(x.name, LEFT + width / 2.0, HEIGHT - 10.0, 11).set("text-anchor", "middle"));
    let line = |from: (f64, f64), to: (f64, f64)| {
        Line::new().set("x1", from.0).set("y1", from.1).set("x2", to.0).set("y2", to.1).set("stroke", LINES)
    };
    for &tick in &x.ticks {
        let label = text(&tick.to_string(), at_x(tick), HEIGHT - BOTTOM + 16.0, 11);
        document = document
            .add(line((at_x(tick), TOP), (at_x(tick), TOP + height)))
            .add(label.set("text-anchor", "middle"));
    }
    for &tick in &y.ticks {
        let label = text(&tick.to_string(), LEFT - 6.0, at_y(tick) + 4.0, 11);
        document = document
            .add(line((LEFT, at_y(tick)), (LEFT + width, at_y(tick))))
            .add(label.set("text-anchor", "end"));
    }
    for ((n, series), colour) in all.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let points: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| (at_x(*x), at_y(*y))).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = Polyline::new().set("points", path.join(" ")).set("fill", "none");
        let mut group = Group::new().add(path.set("stroke", *colour).set("stroke-width", 2));
        for (x, y) in points.iter().filter(|_| series.has_dots) {
            let (x, y) = (format!("{x:.1}"), format!("{y:.1}"));
            group = group.add(Circle::new().set("cx", x).set("cy", y).set("r", 3).set("fill", *colour));
        }
        let at = LEFT + n as f64 * width / all.len() as f64;
        let swatch = Rectangle::new().set("x", at).set("y", 34).set("width", 14).set("height", 4);
        document =
            document.add(group).add(swatch.set("fill", *colour)).add(text(&series.name, at + 18.0, 40.0, 10));
    }
    format!("{document}\n")
}
