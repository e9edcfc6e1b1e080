//! Scores in, Markdown tables out.

use crate::bars::{BARS, Worst, missed};
use crate::cost::SIZES;
use crate::document::table;
use crate::measure::{Contender, Plan, merged, scores};
use crate::scenarios::{Kind, Scenario};
use crate::score::Score;

/// What was measured of all rooms and rules.
pub(crate) struct Results<'a> {
    /// The rooms.
    rooms: &'a [Scenario],
    /// The rules; ours is the first.
    contenders: &'a [Contender],
    /// By room, then by rule.
    scores: Vec<Vec<Score>>,
}

impl<'a> Results<'a> {
    /// Measures.
    pub(crate) fn of(rooms: &'a [Scenario], contenders: &'a [Contender], plan: &Plan) -> Results<'a> {
        Results { rooms, contenders, scores: scores(rooms, contenders, plan) }
    }

    /// A row a rule, all rooms of a kind together; `costs` are nanoseconds a packet, by rule, if they were measured.
    pub(crate) fn summary(&self, costs: &[[f64; SIZES.len()]]) -> String {
        let mut headings = vec![
            "rule",
            ">clean: kept %",
            ">disturbed: kept %",
            ">onset p50",
            ">p95",
            ">max, ms",
            ">changes a minute",
            ">cuts a minute",
            ">of them for noise",
            ">five at once: kept %",
            ">changes a minute",
        ];
        if !costs.is_empty() {
            headings.extend([">ns a packet, 10 sources", ">300", ">10,000"]);
        }
        let [clean, hard, crowded] =
            [Kind::Clean, Kind::Hard, Kind::Crowded].map(|kind| self.together(&[kind]));
        let three = self.together(&[Kind::Clean, Kind::Hard]);
        let kept = |scores: &[Score], n: usize| {
            scores.get(n).map_or(String::new(), |score| format!("{:.2}", score.kept_percent()))
        };
        table(
            &headings,
            self.contenders.iter().enumerate().map(|(n, contender)| {
                let mut row = vec![contender.name.clone(), kept(&clean, n), kept(&hard, n)];
                row.extend(three.get(n).map_or(vec![String::new(); 6], |score| {
                    let onset = |share| score.at_once.onset_ms(share).to_string();
                    let a_minute = |count| format!("{:.2}", score.a_minute(count));
                    vec![
                        onset(0.5),
                        onset(0.95),
                        onset(1.0),
                        format!("{:.1}", score.a_minute(score.changes)),
                        a_minute(score.cuts),
                        a_minute(score.cuts_for_noise),
                    ]
                }));
                let changes = |score: &Score| format!("{:.1}", score.a_minute(score.changes));
                row.extend([kept(&crowded, n), crowded.get(n).map_or(String::new(), changes)]);
                row.extend(costs.get(n).into_iter().flatten().map(|ns| format!("{ns:.0}")));
                row
            }),
        )
    }

    /// A row a room and rule.
    pub(crate) fn by_room(&self) -> String {
        let headings = [
            "room",
            "rule",
            ">kept %",
            ">onset p50",
            ">p95",
            ">max, ms",
            ">changes a spurt",
            ">changes a minute",
            ">cuts a minute",
            ">of them for noise",
            "missed",
        ];
        let rows = self.rooms.iter().zip(&self.scores).flat_map(|(room, scores)| {
            self.contenders.iter().zip(scores).enumerate().map(|(n, (contender, score))| {
                vec![
                    if n == 0 { format!("**{}**", room.name) } else { String::new() },
                    contender.name.clone(),
                    format!("{:.2}", score.kept_percent()),
                    score.at_once.onset_ms(0.5).to_string(),
                    score.at_once.onset_ms(0.95).to_string(),
                    score.at_once.onset_ms(1.0).to_string(),
                    format!("{:.2}", score.changes_a_spurt()),
                    format!("{:.1}", score.a_minute(score.changes)),
                    format!("{:.2}", score.a_minute(score.cuts)),
                    format!("{:.2}", score.a_minute(score.cuts_for_noise)),
                    // The promises are ours.
                    if n == 0 { missed(room.kind, score) } else { String::new() },
                ]
            })
        });
        table(&headings, rows)
    }

    /// A row a room: ours, without the ring of the server and with it.
    pub(crate) fn pre_roll(&self) -> String {
        let headings = [
            "room",
            ">kept %",
            ">with pre-roll",
            ">onset p95, ms",
            ">with pre-roll",
            ">onset max, ms",
            ">with pre-roll",
            ">changes a minute",
        ];
        let rows = self.ours().map(|(room, _, score)| {
            let heard = [&score.at_once, &score.with_pre_roll];
            let mut row = vec![room.to_string()];
            row.extend(heard.map(|heard| format!("{:.2}", score.percent(heard))));
            for share in [0.95, 1.0] {
                row.extend(heard.map(|heard| heard.onset_ms(share).to_string()));
            }
            row.push(format!("{:.1}", score.a_minute(score.changes)));
            row
        });
        table(&headings, rows)
    }

    /// A row a promise, with the room that is worst.
    pub(crate) fn bars(&self) -> String {
        let rows = BARS.iter().filter_map(|bar| {
            let worst = bar.worst(self.ours())?;
            let holds = if worst.holds { "yes" } else { "**no**" };
            Some(vec![bar.promise.into(), worst.figure(), worst.room.into(), holds.into()])
        });
        table(&["promise", ">measured in the worst room", "which", "holds"], rows)
    }

    /// A figure a promise, of the room that is worst; in bold where the promise is missed.
    pub(crate) fn worst_figures(&self) -> Vec<String> {
        let figure = |worst: Worst| {
            if worst.holds { worst.figure() } else { format!("**{}** ({})", worst.figure(), worst.room) }
        };
        BARS.iter().map(|bar| bar.worst(self.ours()).map_or(String::new(), figure)).collect()
    }

    fn ours(&self) -> impl Iterator<Item = (&'static str, Kind, &Score)> {
        let ours = self.rooms.iter().zip(&self.scores);
        ours.filter_map(|(room, scores)| Some((room.name, room.kind, scores.first()?)))
    }

    /// The rooms of these kinds together, by rule; none if there is none.
    fn together(&self, kinds: &[Kind]) -> Vec<Score> {
        let rooms = self.rooms.iter().zip(&self.scores).filter(|(room, _)| kinds.contains(&room.kind));
        merged(&rooms.map(|(_, scores)| scores.clone()).collect::<Vec<_>>())
    }
}
