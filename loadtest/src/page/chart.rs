//! Numbers in, a picture out: curves over a logarithmic axis, or bars.

use svg::Document;
use svg::node::element::{Circle, Group, Line, Polyline, Rectangle, Text};

// Okabe and Ito's colours, which the colour-blind can tell apart.
const COLOURS: [&str; 2] = ["#0072b2", "#d55e00"];
const PARTS: [&str; 2] = ["#0072b2", "#9ad0f0"];
const TEXT: &str = "#222222";
const LINES: &str = "#dddddd";

// Pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 44.0;
const LABELS: f64 = 130.0;
const ROW: f64 = 30.0;

/// One line of a picture.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over a logarithmic x axis; y begins at zero.
pub(super) struct Curves {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) curves: Vec<Curve>,
}

impl Curves {
    pub(super) fn draw(&self) -> Document {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let (low, high) = bounds(points().map(|point| point.0));
        let top = nice(points().map(|point| point.1).fold(0.0, f64::max));
        let span = (high / low).ln().max(f64::MIN_POSITIVE);
        let x = |value: f64| LEFT + (value / low).ln() / span * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let mut picture = frame(self.title, HEIGHT);
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            picture = picture.add(line((LEFT, y(value)), (WIDTH - RIGHT, y(value)), LINES)).add(text(
                LEFT - 8.0,
                y(value) + 4.0,
                "end",
                &short(value),
            ));
        }
        picture = picture.add(text(LEFT - 8.0, TOP - 12.0, "end", self.y));
        if let Some(curve) = self.curves.first() {
            for (value, _) in &curve.points {
                picture = picture.add(text(x(*value), HEIGHT - BOTTOM + 18.0, "middle", &short(*value)));
            }
        }
        picture = picture.add(text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0, "middle", self.x));
        for (index, (curve, colour)) in self.curves.iter().zip(COLOURS).enumerate() {
            let line: Vec<String> =
                curve.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
            let line = Polyline::new().set("points", line.join(" ")).set("fill", "none");
            // A dash tells the second line from the first where colours don't.
            let dash = if index == 0 { "none" } else { "6 4" };
            picture =
                picture.add(line.set("stroke", colour).set("stroke-width", 2).set("stroke-dasharray", dash));
            for point in &curve.points {
                let dot = Circle::new().set("cx", x(point.0)).set("cy", y(point.1)).set("r", 3.5);
                picture = picture.add(dot.set("fill", colour));
            }
            picture = picture.add(legend(index, curve.name, colour));
        }
        picture
    }
}

/// One bar, of two parts.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) parts: [f64; 2],
}

/// Bars beside each other, and the floor across all of them.
pub(super) struct Bars {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) parts: [&'static str; 2],
    pub(super) bars: Vec<Bar>,
    pub(super) floor: Option<f64>,
}

impl Bars {
    pub(super) fn draw(&self) -> Document {
        let height = TOP + ROW * self.bars.len() as f64 + 34.0;
        let longest =
            self.bars.iter().map(|bar| bar.parts.iter().sum()).fold(self.floor.unwrap_or(0.0), f64::max);
        let scale = (WIDTH - LABELS - 90.0) / longest.max(f64::MIN_POSITIVE);
        let mut picture = frame(self.title, height);
        for (index, (name, colour)) in self.parts.iter().zip(PARTS).enumerate() {
            picture = picture.add(legend(index, name, colour));
        }
        for (row, bar) in self.bars.iter().enumerate() {
            let top = TOP + ROW * row as f64;
            picture = picture.add(text(LABELS - 8.0, top + 16.0, "end", &bar.name));
            let mut left = LABELS;
            for (part, colour) in bar.parts.iter().zip(PARTS) {
                let width = part * scale;
                let part = Rectangle::new()
                    .set("x", left)
                    .set("y", top)
                    .set("width", width)
                    .set("height", ROW - 8.0);
                picture = picture.add(part.set("fill", colour));
                left += width;
            }
            let total: f64 = bar.parts.iter().sum();
            picture =
                picture.add(text(left + 6.0, top + 16.0, "start", &format!("{total:.1} {}", self.unit)));
        }
        if let Some(floor) = self.floor {
            let (at, bottom) = (LABELS + floor * scale, height - 26.0);
            picture = picture
                .add(line((at, TOP - 8.0), (at, bottom), TEXT).set("stroke-dasharray", "4 3"))
                .add(text(at, bottom + 16.0, "middle", &format!("the floor, {floor:.1} {}", self.unit)));
        }
        picture
    }
}

fn frame(title: &str, height: f64) -> Document {
    let background = Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "#ffffff");
    Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .set("role", "img")
        .set("aria-label", title)
        .add(background)
        .add(text(16.0, 24.0, "start", title).set("font-size", 15).set("font-weight", "bold"))
}

fn legend(index: usize, name: &str, colour: &str) -> Group {
    let left = LEFT + 240.0 * index as f64;
    let mark =
        Rectangle::new().set("x", left).set("y", 36).set("width", 12).set("height", 12).set("fill", colour);
    Group::new().add(mark).add(text(left + 18.0, 46.0, "start", name))
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> Text {
    Text::new(content).set("x", x).set("y", y).set("text-anchor", anchor).set("fill", TEXT)
}

fn line(from: (f64, f64), to: (f64, f64), colour: &str) -> Line {
    let line = Line::new().set("x1", from.0).set("y1", from.1).set("x2", to.0).set("y2", to.1);
    line.set("stroke", colour)
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::MAX, 1.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    (low.clamp(1.0, high), high)
}

/// The next number of one digit that is not too coarse, upwards.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|n| n * power).find(|&n| n >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_number_that_one_can_read() {
        assert_eq!([3.2, 0.7, 8.0, 81.0].map(nice), [4.0, 0.8, 8.0, 100.0]);
    }

    #[test]
    fn a_picture_names_what_it_shows() {
        let curve = Curve { name: "Tercet", points: vec![(10.0, 4.5), (1_000.0, 3.0)] };
        let picture =
            Curves { title: "Cost", x: "listeners", y: "µs", curves: vec![curve] }.draw().to_string();
        assert!(["Cost", "Tercet", "listeners", "\n1000\n"].iter().all(|part| picture.contains(part)));
        let bar = Bar { name: "Tercet".to_owned(), parts: [1.0, 2.0] };
        let bars =
            Bars { title: "Cost", unit: "µs", parts: ["user", "system"], bars: vec![bar], floor: Some(2.5) };
        assert!(bars.draw().to_string().contains("3.0 µs"));
    }
}
