//! Each parameter of the selector at about half and at double: what the defaults gain.

use std::time::Duration;

use selector::{Level, Params};

use crate::SLOTS;
use crate::measure::{Contender, Plan, merged, scores};
use crate::rules::Tercet;
use crate::scenarios::{Kind, Scenario};
use crate::score::Score;
use crate::tables::table;

/// The defaults with one parameter at another value.
struct Variant {
    parameter: &'static str,
    value: String,
    params: Params,
}

fn variants() -> Vec<Variant> {
    let mut variants =
        vec![Variant { parameter: "**defaults**", value: String::new(), params: Params::with_slots(SLOTS) }];
    let mut vary = |parameter, value: String, change: &dyn Fn(&mut Params)| {
        let mut params = Params::with_slots(SLOTS);
        change(&mut params);
        variants.push(Variant { parameter, value, params });
    };
    for slots in [2, 4] {
        vary("slots", slots.to_string(), &|params| params.slots = slots);
    }
    for (parameter, dbov, field) in [
        ("active_level", [-68, -56], (|params| &mut params.active_level) as fn(&mut Params) -> &mut Level),
        ("steady_level", [-56, -44], |params| &mut params.steady_level),
    ] {
        for dbov in dbov {
            vary(parameter, format!("{dbov} dBov"), &|params| *field(params) = Level::from_dbov(dbov));
        }
    }
    for (parameter, db, field) in [
        (
            "active_above_floor_db",
            [4, 16],
            (|params| &mut params.active_above_floor_db) as fn(&mut Params) -> &mut u8,
        ),
        ("unvoiced_penalty_db", [4, 18], |params| &mut params.unvoiced_penalty_db),
        ("steady_within_db", [4, 16], |params| &mut params.steady_within_db),
        ("margin_db", [3, 12], |params| &mut params.margin_db),
    ] {
        for db in db {
            vary(parameter, format!("{db} dB"), &|params| *field(params) = db);
        }
    }
    for (parameter, ms, field) in [
        (
            "steady_after",
            [1500, 6000],
            (|params| &mut params.steady_after) as fn(&mut Params) -> &mut Duration,
        ),
        ("steady_after_arrival", [150, 600], |params| &mut params.steady_after_arrival),
        ("bang_below", [40, 160], |params| &mut params.bang_below),
        ("yield_to_onset_after", [80, 320], |params| &mut params.yield_to_onset_after),
        ("yield_to_bang_after", [100, 400], |params| &mut params.yield_to_bang_after),
        ("believed_after", [40, 200], |params| &mut params.believed_after),
        ("onset_within", [120, 500], |params| &mut params.onset_within),
        ("yield_after", [350, 1400], |params| &mut params.yield_after),
        ("release_after", [1250, 5000], |params| &mut params.release_after),
        ("challenge_for", [250, 1000], |params| &mut params.challenge_for),
        ("hold_for", [750, 3000], |params| &mut params.hold_for),
    ] {
        for ms in ms {
            vary(parameter, format!("{ms} ms"), &|params| *field(params) = Duration::from_millis(ms));
        }
    }
    variants
}

/// A row a variant: the rooms where at most three talk, together, and the room where five do.
pub(crate) fn sweep(rooms: &[Scenario], plan: &Plan) -> String {
    let variants = variants();
    let contender = |variant: &Variant| {
        let params = variant.params.clone();
        Contender::new(variant.parameter, move || Tercet::with(params.clone()))
    };
    let contenders: Vec<Contender> = variants.iter().map(contender).collect();
    let scores = scores(rooms, &contenders, plan);
    let of = |is_crowded: bool| {
        let rooms = rooms.iter().zip(&scores).filter(|(room, _)| (room.kind == Kind::Crowded) == is_crowded);
        rooms.map(|(_, scores)| scores.clone()).collect::<Vec<Vec<Score>>>()
    };
    let (by_room, five) = (of(false), merged(&of(true)));
    let three = merged(&by_room);
    let rows = variants.iter().enumerate().filter_map(|(n, variant)| {
        let score = three.get(n)?;
        let worst = by_room.iter().map(|scores| scores[n].kept_percent()).fold(100.0, f64::min);
        Some(vec![
            variant.parameter.into(),
            variant.value.clone(),
            format!("{:.2}", score.kept_percent()),
            format!("{worst:.2}"),
            score.at_once.onset_ms(0.95).to_string(),
            score.at_once.onset_ms(1.0).to_string(),
            format!("{:.1}", score.a_minute(score.changes)),
            format!("{:.2}", score.a_minute(score.cuts)),
            format!("{:.2}", score.a_minute(score.cuts_for_noise)),
            five.get(n).map_or(String::new(), |five| format!("{:.1}", five.a_minute(five.changes))),
        ])
    });
    let headings = [
        "parameter",
        ">value",
        ">kept %",
        ">in the worst room",
        ">onset p95",
        ">max, ms",
        ">changes a minute",
        ">cuts a minute",
        ">of them for noise",
        ">five at once: changes a minute",
    ];
    table(&headings, rows)
}
