//! What a server of this kind promises, and whether it was kept: a 0 or a 1 each, with the figure that decides.

use serde::{Serialize, Serializer};

use super::Report;
use crate::scenario::Traffic;

/// Turns whose beginning has to be there.
const WHOLE_PERCENT_MIN: f64 = 99.0;
/// What a soak may add to the server's memory, as a factor.
const GROWTH_MAX: f64 = 1.05;

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Promise {
    pub(super) promise: &'static str,
    #[serde(serialize_with = "as_number")]
    pub(super) kept: bool,
    pub(super) because: String,
}

fn as_number<S: Serializer>(kept: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(u8::from(*kept))
}

/// The verdicts on the promises that the scenario puts to the test.
pub(super) fn of(report: &Report) -> Vec<Promise> {
    let mut promises = Vec::new();
    let mut judge = |promise, kept, because| promises.push(Promise { promise, kept, because });

    let joins = &report.joins;
    if joins.succeeded + joins.failed > 0 {
        let because = format!("{} of {}", joins.succeeded, joins.succeeded + joins.failed);
        judge("everybody joined", joins.failed == 0, because);
    }
    if let Some(late) = &report.late_joins {
        let because = format!("{} of {}", late.succeeded, late.succeeded + late.failed);
        let promise = match report.scenario.traffic {
            Traffic::Storm => "everybody came back",
            _ => "everybody who came got in",
        };
        judge(promise, late.failed == 0, because);
    }
    if let Some(media) = &report.media {
        judge("nothing broke", media.peers_failed == 0, format!("{} connections", media.peers_failed));
        if report.scenario.talkers > 0 {
            let because = format!("{} lost of {}", media.lost_by_server, media.steady.expected);
            judge("no loss", media.lost_by_server == 0 && media.steady.received > 0, because);
            let (late, twice) = (media.steady.reordered, media.steady.duplicates);
            judge("in order, once each", late + twice == 0, format!("{late} late, {twice} twice"));
        }
    }
    if let Some(heard) = report.heard.as_ref().filter(|heard| heard.packets > 0) {
        let of = |count| format!("{count} of {} packets", heard.packets);
        judge("nobody hears themselves", heard.own == 0, of(heard.own));
        judge("rooms are apart", heard.of_other_rooms == 0, of(heard.of_other_rooms));
        let changed = heard.damaged + heard.foreign;
        judge("payloads untouched", changed == 0, of(changed));
        if let Some(whole) = heard.onsets_whole_percent.filter(|_| !report.scenario.overlaps) {
            let because = format!("{whole:.1} % of beginnings whole");
            judge("first syllable there", whole >= WHOLE_PERCENT_MIN, because);
        }
    }
    if let (Traffic::Soak { .. }, Some(server)) = (report.scenario.traffic, &report.server) {
        let because = format!("{:.1} MB, then {:.1} MB", server.resident_mb_before, server.resident_mb);
        judge("memory stays", server.resident_mb <= GROWTH_MAX * server.resident_mb_before, because);
    }
    promises
}
