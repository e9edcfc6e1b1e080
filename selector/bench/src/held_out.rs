//! The promises on seeds that no parameter was chosen by.

use crate::bars::BARS;
use crate::document::table;
use crate::measure::{Contender, Plan};
use crate::scenarios::Scenario;
use crate::tables::Results;

/// The first of each set of seeds.
const SEEDS: [u64; 3] = [100, 200, 300];

/// A row a promise, a column a set of seeds and a kind of voices: what was measured in the worst room.
pub(crate) fn promises(rooms: &[Scenario], ours: &Contender, plans: &[(&str, &Plan)]) -> String {
    let sets =
        plans.iter().flat_map(|&(voice, plan)| SEEDS.map(|seed| (voice, Plan { seed, ..plan.clone() })));
    let columns: Vec<(String, Vec<String>)> = sets
        .map(|(voice, plan)| {
            let results = Results::of(rooms, std::slice::from_ref(ours), &plan);
            (format!(">{voice}, from {}", plan.seed), results.worst_figures())
        })
        .collect();
    let headings: Vec<&str> =
        std::iter::once("promise").chain(columns.iter().map(|(heading, _)| heading.as_str())).collect();
    let rows = BARS.iter().enumerate().map(|(n, bar)| {
        let figures = columns.iter().map(|(_, figures)| figures[n].clone());
        std::iter::once(bar.promise.to_owned()).chain(figures).collect()
    });
    table(&headings, rows)
}
