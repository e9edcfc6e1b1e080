//! Each parameter of the selector at half and at double: what the defaults gain.

use selector::{Params, Tunable};

use crate::SLOTS;
use crate::document::table;
use crate::measure::{Contender, Plan, merged, scores};
use crate::rules::Tercet;
use crate::scenarios::{Kind, Scenario};
use crate::score::Score;

/// The defaults with one parameter at another value.
struct Variant {
    parameter: &'static str,
    value: String,
    params: Params,
}

/// How far a level in dBov, which has no half, is moved.
const LEVEL_STEP_DB: i32 = 6;

fn variants() -> Vec<Variant> {
    let defaults = Params::with_slots(SLOTS);
    let variant = |parameter, value, params| Variant { parameter, value, params };
    let mut variants = vec![variant("**defaults**", String::new(), defaults.clone())];
    for slots in [SLOTS - 1, SLOTS + 1] {
        variants.push(variant("slots", slots.to_string(), Params { slots, ..defaults.clone() }));
    }
    for tunable in Tunable::all() {
        let value = tunable.get(&defaults);
        let is_level = tunable.name.ends_with("_dbov");
        let others =
            if is_level { [value - LEVEL_STEP_DB, value + LEVEL_STEP_DB] } else { [value / 2, value * 2] };
        for value in others {
            let mut params = defaults.clone();
            tunable.set(&mut params, value).expect("half and double are within the range");
            variants.push(variant(tunable.name, value.to_string(), params));
        }
    }
    variants
}

/// A row a parameter: what it is.
pub(crate) fn parameters() -> String {
    let defaults = Params::with_slots(SLOTS);
    let rows = Tunable::all().iter().map(|tunable| {
        let range = format!("{} to {}", tunable.range.start(), tunable.range.end());
        vec![format!("`{}`", tunable.name), tunable.get(&defaults).to_string(), range, tunable.about.into()]
    });
    table(&["parameter", ">default", ">range", "what it is"], rows)
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
