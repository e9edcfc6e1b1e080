//! What a server of this kind promises, and whether it was kept: a 0 or a 1 each, with the figure that decides. Where
//! the tester itself was too slow to know, it is neither.

use serde::{Serialize, Serializer};

use super::Report;
use super::figures::MediaFigures;
use crate::scenario::Traffic;

/// Turns whose beginning has to be there.
const WHOLE_PERCENT_MIN: f64 = 99.0;
/// What a server may add to what two clients take without it, 95th percentile; and how busy it may be for that to be asked, in
/// percent of a CPU: a busier one gathers packets, which it is told to.
const ADDED_MS_MAX: f64 = 5.0;
const ADDED_BUSY_MAX: f64 = 25.0;
/// What a soak may add to the server's memory, as a factor.
const GROWTH_MAX: f64 = 1.05;

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Promise {
    pub(super) promise: &'static str,
    /// `None` where it can't be known.
    #[serde(serialize_with = "as_number")]
    pub(super) kept: Option<bool>,
    pub(super) because: String,
}

fn as_number<S: Serializer>(kept: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
    kept.map(u8::from).serialize(serializer)
}

/// The verdicts on the promises that the scenario puts to the test.
pub(super) fn of(report: &Report) -> Vec<Promise> {
    let mut promises = Vec::new();
    let mut judge = |promise, kept: Option<bool>, because| promises.push(Promise { promise, kept, because });

    let joins = &report.joins;
    if joins.succeeded + joins.failed > 0 {
        let because = format!("{} of {}", joins.succeeded, joins.succeeded + joins.failed);
        judge("everybody joined", Some(joins.failed == 0), because);
    }
    if let Some(late) = &report.late_joins {
        let because = format!("{} of {}", late.succeeded, late.succeeded + late.failed);
        let promise = match report.scenario.traffic {
            Traffic::Storm => "everybody came back",
            _ => "everybody who came got in",
        };
        judge(promise, Some(late.failed == 0), because);
    }
    if let Some(media) = &report.media {
        let (connections, signalling) = (media.peers_failed, report.signalling_failed);
        let because = format!("{connections} media connections, {signalling} signalling connections");
        judge("nothing broke", Some(connections + signalling == 0), because);
        if report.scenario.talkers > 0 {
            judge("no loss", no_loss(media), loss(media));
            let (late, twice) = (media.steady.reordered, media.steady.duplicates);
            judge("in order, once each", Some(late + twice == 0), format!("{late} late, {twice} twice"));
        }
        let silences = &media.silences;
        if silences.receivers > 0 {
            let because = format!(
                "{} of {} receivers heard nothing for over a second, the longest silence was {:.2} s",
                silences.interrupted,
                silences.receivers,
                silences.longest_ms / 1e3
            );
            judge("heard until the end", Some(silences.interrupted == 0), because);
        }
    }
    if let Some(heard) = report.heard.as_ref().filter(|heard| heard.packets > 0) {
        let of = |count| format!("{count} of {} packets", heard.packets);
        judge("nobody hears themselves", Some(heard.own == 0), of(heard.own));
        judge("rooms are apart", Some(heard.of_other_rooms == 0), of(heard.of_other_rooms));
        let changed = heard.damaged + heard.foreign;
        judge("payloads untouched", Some(changed == 0), of(changed));
        if let Some(whole) = heard.onsets_whole_percent.filter(|_| !report.scenario.overlaps) {
            let because = format!("{whole:.1} % of beginnings whole");
            // What a starved tester sent late, nobody could forward in time.
            let is_kept = whole >= WHOLE_PERCENT_MIN;
            let kept = (is_kept || !report.tester.is_starved()).then_some(is_kept);
            judge("first syllable there", kept, because);
        }
        let direct = heard.mouth_to_ear_direct.as_ref().and_then(|direct| direct.p95_ms);
        if let Some((p95_ms, direct_ms)) = heard.mouth_to_ear.p95_ms.zip(direct) {
            let because = format!("p95 {p95_ms:.1} ms, {direct_ms:.1} ms without it");
            let is_kept = p95_ms - direct_ms <= ADDED_MS_MAX;
            let is_busy = report.server.as_ref().is_some_and(|server| server.cpu_percent > ADDED_BUSY_MAX);
            let kept = (is_kept || !report.tester.is_starved() && !is_busy).then_some(is_kept);
            judge("the server adds at most 5 ms", kept, because);
        }
    }
    if let Some((pictures, media)) = report.pictures.as_ref().zip(report.media.as_ref()) {
        promises.extend(pictures.promises(media.dropped_by_tester, report.tester.is_starved()));
    }
    if let Some(calls) = &report.calls {
        promises.extend(calls.promises());
    }
    let mut judge = |promise, kept: Option<bool>, because| promises.push(Promise { promise, kept, because });
    if let (Traffic::Soak { .. }, Some(server)) = (report.scenario.traffic, &report.server) {
        let because = format!("{:.1} MB, then {:.1} MB", server.resident_mb_before, server.resident_mb);
        let kept = server.resident_mb <= GROWTH_MAX * server.resident_mb_before;
        judge("memory stays", Some(kept), because);
    }
    promises
}

/// Gaps that the tester's own drops may have made are nobody's proof.
fn no_loss(media: &MediaFigures) -> Option<bool> {
    match (media.lost, media.dropped_by_tester) {
        (0, _) => Some(media.steady.received > 0),
        (_, 0) => Some(false),
        _ => None,
    }
}

fn loss(media: &MediaFigures) -> String {
    let MediaFigures { lost, dropped_by_tester, steady, .. } = media;
    match (lost, dropped_by_tester) {
        (0, _) | (_, 0) => format!("{lost} lost of {}", steady.expected),
        (lost, dropped) => {
            format!("{lost} lost of {}, but the tester dropped {dropped} itself", steady.expected)
        }
    }
}
