//! Reports of runs in, the tables and pictures of docs/benchmarks.md out; and of those of phones the table of docs/sip.md.
//!
//! Which run belongs where is told by what it was, not by the name of its file: those of one scenario in several sizes are a
//! curve, those of one shape against several servers a comparison.

mod chart;
mod phones;
mod run;
mod tables;

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use chart::{Bar, Bars, Curve, Curves};
use run::Run;

/// Where the page holds what is written here.
const BEGIN: &str = "<!-- figures: written by `./dev bench forwarding` -->";
const BEGIN_PHONES: &str = "<!-- figures: written by `./dev bench phones` -->";
const END: &str = "<!-- end of figures -->";

/// What the curves of one room have on their x axis.
const PARTICIPANTS: &str = "participants who were taken in (logarithmic)";

/// Rewrites the figures of a page by the reports in a folder: which figures, the page says where it has place for them.
/// Pictures go into a folder beside the page that has its name.
///
/// # Errors
/// A report can't be read, or there is none; or the page has no place for figures, or can't be written.
pub fn write(reports: &Path, page: &Path) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(reports).with_context(|| format!("reading {}", reports.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)?;
            let run: Run =
                serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))?;
            runs.push(run);
        }
    }
    ensure!(!runs.is_empty(), "there is no report in {}", reports.display());
    runs.sort_by_key(Run::order);

    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    if text.contains(BEGIN_PHONES) {
        return Ok(fs::write(page, with_figures(&text, BEGIN_PHONES, &phones::of(&runs))?)?);
    }
    fs::write(page, with_figures(&text, BEGIN, &tables::of(&runs))?)?;

    let pictures = page.with_extension("");
    fs::create_dir_all(&pictures)?;
    for (name, document) in pictures_of(&runs) {
        svg::save(pictures.join(name), &document)?;
    }
    Ok(())
}

/// The page with other figures.
fn with_figures(page: &str, begin: &str, figures: &str) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(begin).context("the page has no place for figures")?;
    let (_, after) = rest.split_once(END).context("the page's figures have no end")?;
    Ok(format!("{before}{begin}\n\n{figures}\n{END}{after}"))
}

fn pictures_of(runs: &[Run]) -> Vec<(&'static str, svg::Document)> {
    let mut pictures = Vec::new();
    for (name, title, curve) in [
        ("growth.svg", "One voice, CPU time a packet out", run::growth(runs)),
        ("rooms.svg", "Rooms of ten, of which 30 talk at most: CPU time a packet out", run::rooms(runs)),
    ] {
        let cost = |run: &&Run| Some((run.size(), run.server.as_ref()?.ns_per_packet_out? / 1e3));
        let floor = |run: &&Run| Some((run.size(), run.floor.as_ref()?.total_ns / 1e3));
        let curves = Curves {
            title,
            x: if name == "growth.svg" { PARTICIPANTS } else { "rooms (logarithmic)" },
            y: "µs",
            curves: vec![
                Curve { name: "Tercet", points: curve.iter().filter_map(cost).collect() },
                Curve {
                    name: "the floor, in the same run",
                    points: curve.iter().filter_map(floor).collect(),
                },
            ],
        };
        if curves.curves[0].points.len() > 1 {
            pictures.push((name, curves.draw()));
        }
    }
    let delays = run::townhalls(runs);
    let delay = |of: fn(&run::Distribution) -> Option<f64>| {
        delays.iter().filter_map(|run| Some((run.size(), of(&run.heard.as_ref()?.mouth_to_ear)?))).collect()
    };
    let curves = Curves {
        title: "Three voices, from mouth to ear",
        x: PARTICIPANTS,
        y: "ms",
        curves: vec![
            Curve { name: "half of the packets take less", points: delay(|d| d.p50_ms) },
            Curve { name: "99 of 100 take less", points: delay(|d| d.p99_ms) },
        ],
    };
    if curves.curves[0].points.len() > 1 {
        pictures.push(("mouth-to-ear.svg", curves.draw()));
    }
    if let Some(shape) = run::comparisons(runs).first() {
        let bars = shape.iter().filter_map(|run| {
            let server = run.server.as_ref()?;
            let (user, system) = (server.user_ns_per_packet_out?, server.system_ns_per_packet_out?);
            Some(Bar { name: run.target.name.clone(), parts: [user / 1e3, system / 1e3] })
        });
        let floor = shape.iter().filter_map(|run| run.floor.as_ref()).map(|floor| floor.total_ns / 1e3);
        let (sum, count) = floor.fold((0.0, 0), |(sum, count), ns| (sum + ns, count + 1));
        let bars = Bars {
            title: "CPU time a packet out, 10 publishers and their subscribers",
            unit: "µs",
            parts: ["user", "system"],
            bars: bars.collect(),
            floor: (count > 0).then(|| sum / f64::from(count)),
        };
        pictures.push(("servers.svg", bars.draw()));
    }
    pictures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_rewritten() {
        let page = format!("# Phones\n\n{BEGIN_PHONES}\n\nold\n\n{END}\n\nrest\n");
        let rewritten = with_figures(&page, BEGIN_PHONES, "new\n").unwrap();
        assert_eq!(rewritten, page.replace("old", "new"));
        assert!(with_figures("# Phones", BEGIN_PHONES, "new").is_err());
        assert!(with_figures(BEGIN_PHONES, BEGIN_PHONES, "new").is_err());
    }
}
