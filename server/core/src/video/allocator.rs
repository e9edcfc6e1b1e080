//! What a viewer's connection carries and what their slots could show in; which layer each slot is to show out.

use std::cmp::Reverse;
use std::ops::{Not, Range, RangeInclusive};
use std::time::Instant;

use patience::Patience;

use super::{Layer, LayerCost};

mod patience;

/// One part in so many of the estimate stays free whenever a slot gets more than it has: the estimate and the layers both waver.
const HEADROOM_PARTS: u64 = 8;

/// What matters about pictures when not all of it fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Somebody who moves: half the frame rate is enough to see them large; all of it comes last.
    #[default]
    Camera,
    /// Text, which has to be read: size comes before any frame rate.
    Screen,
}

/// What one of a viewer's slots is to show.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// What is being sent of it, each layer once, in any order. Empty if nothing is known yet.
    pub costs: &'a [LayerCost],
    /// What it is a picture of.
    pub content: Content,
    /// How high it is shown, in pixels: 0 if it isn't visible, [`u32::MAX`] if it is to be as large as there is.
    pub height: u32,
    /// Greater is served first.
    pub importance: u8,
    /// It is to be no less than this, in size and in frame rate, ...
    pub min: Layer,
    /// ... and no more than this. Where nothing is sent within the two, what is sent nearest to them stands for it.
    pub max: Layer,
    /// What the slot had of it by the answer before, even if it isn't visible any more; `None` if it showed somebody else, or nothing.
    pub current: Option<Layer>,
}

/// How the estimate is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// What each slot gets, in the order of the demands: `None` if it isn't visible, or paused because there is no room for it.
    pub layers: Vec<Option<Layer>>,
    /// What they take together, kbit/s.
    pub total_kbps: u32,
    /// What they would take if each had as much as it needs, kbit/s.
    pub desired_kbps: u32,
    /// The lowest estimate by which somebody would get more, headroom included, kbit/s; `None` if all have what they need.
    pub next_kbps: Option<u32>,
}

/// Divides what is estimated to pass to a viewer among their slots. To be asked some times a second, and whenever a demand changes.
///
/// A slot needs the smallest layer that is as high as it is shown, at full frame rate. On the way to that its layers are worth the more
/// the larger they are, and among those of a size, the more frames they have; so a small picture becomes smooth before it becomes
/// large, if it can't be large. Of a camera, sizes above the smallest begin at half the frame rate (the fastest layer but one: each
/// doubles the rate), since a large picture that stutters is worse than a small one. Layers that take as much as a better one does
/// are never chosen.
///
/// Whoever looks at a speaker wants their picture first, and to see at all that others are there. So
///
/// 1. each visible slot gets its least layer, by importance. Where these don't fit, the least important are paused: a picture that
///    takes more than is left is passed over, and not everybody after it.
/// 2. Then, by importance again, each gets what it needs before anybody less important gets more than the least. Those of one
///    importance, such as the tiles of a gallery, rise by turns, a layer each: they look alike, and what remains goes to the first of
///    them.
///
/// The sum never exceeds the estimate. What a slot has, it keeps while that holds. When it doesn't, everything above the least layers is
/// divided anew at once, so that an eighth of the estimate is free: one larger step disturbs less than many small ones. Where the estimate
/// has fallen to less than half, seven eighths are free for a second: it is too high at first, and each step down takes a keyframe, which
/// is much for a network that has just become narrow. To get more, or
/// to come back from a pause, an eighth has to remain too, by the lowest estimate of a while, and congestion has to be over for as
/// long. Meanwhile what some give up is passed on: whoever begins to speak doesn't wait.
///
/// That while is a second, as long as what is given lasts. So the top layer is back within two seconds of a dip; and of an estimate
/// that wavers by a tenth at random ten times a second, little is seen: for most, something changes once a minute or never, and 14 times
/// for the worst of 80,000 random viewers. If it swings by a tenth with a period of 5, 10 or 20 s, it is 9, 15 and 23 times at worst.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    patience: Patience,
    /// What each slot got by the last answer, kbit/s; `None` if it was paused.
    given: Vec<Option<u64>>,
    scratch: Scratch,
}

/// Kept for their memory only.
#[derive(Clone, Debug, Default)]
struct Scratch {
    plans: Vec<Plan>,
    /// The plans' layers, one plan after another.
    rungs: Vec<Rung>,
    /// The visible slots, the most important first.
    order: Vec<usize>,
    sent: Vec<LayerCost>,
}

/// One slot's way from its least layer to the one that it needs.
#[derive(Clone, Debug)]
struct Plan {
    /// Its layers, the better the later; each takes more than the one before.
    rungs: Range<usize>,
    /// What it takes already, of what it needs.
    held_kbps: u64,
    /// What it took before, also of what it needs no more, or of somebody else.
    former_kbps: u64,
    was_paused: bool,
    chosen: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Rung {
    layer: Layer,
    kbps: u64,
}

/// What is being divided.
struct Division {
    /// The least layers fit into this, ...
    begin_kbps: u64,
    /// ... what slots have already into this, ...
    keep_kbps: u64,
    /// ... and what they get beyond it into this.
    rise_kbps: u64,
    spent_kbps: u64,
    /// The least sum that would have been more, but didn't fit.
    refused_kbps: Option<u64>,
}

impl Allocator {
    /// What each slot gets if so much passes, `None` if nobody knows how much: then all get what they need.
    pub fn allocate(
        &mut self,
        now: Instant,
        estimate_kbps: Option<u32>,
        demands: &[Demand<'_>],
    ) -> Allocation {
        let begin_kbps = estimate_kbps.map_or(u64::MAX, u64::from);
        let recent_kbps = self.patience.lowest(now, begin_kbps);
        let beyond_doubt_kbps = self.patience.beyond_doubt(now, begin_kbps);
        self.scratch.plan(demands, &self.given);
        let Scratch { plans, rungs, order, .. } = &mut self.scratch;
        let is_congested = plans.iter().map(|plan| plan.held_kbps).sum::<u64>() > begin_kbps;
        if is_congested {
            self.patience.congested(now);
        }
        let mut rise_kbps = recent_kbps - recent_kbps.div_ceil(HEADROOM_PARTS);
        if self.patience.is_waiting(now) {
            let removed = self.given.iter().skip(demands.len()).flatten();
            let former_kbps = plans.iter().map(|plan| plan.former_kbps).chain(removed.copied()).sum();
            rise_kbps = rise_kbps.min(former_kbps);
        }
        let rise_kbps = if estimate_kbps.is_some() { rise_kbps.max(beyond_doubt_kbps) } else { u64::MAX };
        let rise_kbps = rise_kbps.min(self.patience.believed(now, estimate_kbps.map(u64::from)));
        let keep_kbps = if is_congested { rise_kbps } else { begin_kbps };
        let mut division = Division { begin_kbps, keep_kbps, rise_kbps, spent_kbps: 0, refused_kbps: None };
        for &index in &*order {
            division.begin(&mut plans[index], rungs);
        }
        for equals in order.chunk_by(|&a, &b| demands[a].importance == demands[b].importance) {
            division.raise_by_turns(plans, equals, rungs);
        }
        if plans.iter().any(|plan| plan.kbps(rungs) > plan.held_kbps) {
            self.patience.raised(now);
        }
        self.given.clear();
        self.given.extend(plans.iter().map(|plan| plan.is_paused().not().then(|| plan.kbps(rungs))));
        self.answer(demands, &division)
    }

    fn answer(&self, demands: &[Demand<'_>], division: &Division) -> Allocation {
        let Scratch { plans, rungs, .. } = &self.scratch;
        let layer = |(plan, demand): (&Plan, &Demand<'_>)| match plan.chosen {
            Some(chosen) => Some(rungs[chosen].layer),
            // Of what nobody has measured yet, the least: that is how it gets measured.
            None => (demand.height > 0 && demand.costs.is_empty()).then_some(demand.min),
        };
        let needed_kbps = |plan: &Plan| rungs[plan.rungs.clone()].last().map_or(0, |rung| rung.kbps);
        let with_headroom = |kbps: u64| (kbps * HEADROOM_PARTS).div_ceil(HEADROOM_PARTS - 1);
        Allocation {
            layers: plans.iter().zip(demands).map(layer).collect(),
            total_kbps: clamped(division.spent_kbps),
            desired_kbps: clamped(plans.iter().map(needed_kbps).sum()),
            next_kbps: division.refused_kbps.map(with_headroom).map(clamped),
        }
    }
}

impl Scratch {
    fn plan(&mut self, demands: &[Demand<'_>], given: &[Option<u64>]) {
        self.plans.clear();
        self.rungs.clear();
        for (index, demand) in demands.iter().enumerate() {
            self.sent.clear();
            self.sent.extend_from_slice(demand.costs);
            self.sent.sort_unstable_by_key(|cost| cost.layer);
            let begin = self.rungs.len();
            if demand.height > 0 {
                add_rungs(&mut self.rungs, demand, &self.sent);
            }
            // If what it had is sent no more, it has what is nearest to it.
            let held = |current| self.sent.iter().rev().find(|cost| cost.layer <= current);
            let held_kbps =
                demand.current.map(|current| held(current).map_or(0, |cost| u64::from(cost.kbps)));
            let needed_kbps = self.rungs[begin..].last().map_or(0, |rung| rung.kbps);
            let given = given.get(index).copied().unwrap_or(Some(0));
            self.plans.push(Plan {
                rungs: begin..self.rungs.len(),
                held_kbps: held_kbps.unwrap_or(0).min(needed_kbps),
                former_kbps: held_kbps.or(given).unwrap_or(0),
                was_paused: given.is_none() && demand.current.is_none(),
                chosen: None,
            });
        }
        self.order.clear();
        self.order.extend((0..demands.len()).filter(|&index| !self.plans[index].rungs.is_empty()));
        self.order.sort_unstable_by_key(|&index| (Reverse(demands[index].importance), index));
    }
}

/// Adds what may be chosen of what is sent, which is sorted by layer.
fn add_rungs(rungs: &mut Vec<Rung>, demand: &Demand<'_>, sent: &[LayerCost]) {
    let begin = rungs.len();
    let sizes = bounds(sent.iter().map(|cost| cost.layer.spatial), demand.min.spatial, demand.max.spatial);
    let is_enough = |cost: &&LayerCost| sizes.contains(&cost.layer.spatial) && cost.height >= demand.height;
    let needed = sent.iter().find(is_enough).map_or(*sizes.end(), |cost| cost.layer.spatial);
    for size in sent.chunk_by(|a, b| a.layer.spatial == b.layer.spatial) {
        if !(*sizes.start()..=needed).contains(&size[0].layer.spatial) {
            continue;
        }
        let rates = bounds(size.iter().map(|it| it.layer.temporal), demand.min.temporal, demand.max.temporal);
        let is_smallest = rungs.len() == begin;
        let slowest = match demand.content {
            Content::Camera if !is_smallest => {
                let half = size[size.len().saturating_sub(2)].layer.temporal;
                half.clamp(*rates.start(), *rates.end())
            }
            Content::Camera | Content::Screen => *rates.start(),
        };
        for cost in size.iter().filter(|it| (slowest..=*rates.end()).contains(&it.layer.temporal)) {
            let (layer, kbps) = (cost.layer, u64::from(cost.kbps));
            while rungs.len() > begin && rungs.last().is_some_and(|worse| worse.kbps >= kbps) {
                rungs.pop();
            }
            rungs.push(Rung { layer, kbps });
        }
    }
}

/// Of the numbers that are sent, in ascending order, those within the bounds, or nearest to them.
fn bounds(mut sent: impl DoubleEndedIterator<Item = u8> + Clone, min: u8, max: u8) -> RangeInclusive<u8> {
    let greatest = sent.clone().rev().find(|&number| number <= max).or_else(|| sent.next()).unwrap_or(0);
    min.min(greatest)..=greatest
}

impl Plan {
    fn is_paused(&self) -> bool {
        self.chosen.is_none() && !self.rungs.is_empty()
    }

    fn kbps(&self, rungs: &[Rung]) -> u64 {
        self.chosen.map_or(0, |chosen| rungs[chosen].kbps)
    }
}

impl Division {
    /// Gives a slot its least layer, if that fits.
    fn begin(&mut self, plan: &mut Plan, rungs: &[Rung]) {
        let limit_kbps = if plan.was_paused { self.rise_kbps } else { self.begin_kbps };
        let first = plan.rungs.start;
        if self.spend(rungs[first].kbps, limit_kbps) {
            plan.chosen = Some(first);
        }
    }

    /// Gives each of some slots a layer more as long as that fits, by turns.
    fn raise_by_turns(&mut self, plans: &mut [Plan], equals: &[usize], rungs: &[Rung]) {
        let mut has_risen = true;
        while has_risen {
            has_risen = false;
            for &index in equals {
                has_risen |= self.raise(&mut plans[index], rungs);
            }
        }
    }

    /// Gives a slot its next layer, if there is one and it fits. Returns whether it does.
    fn raise(&mut self, plan: &mut Plan, rungs: &[Rung]) -> bool {
        let next = plan.chosen.map(|chosen| chosen + 1).filter(|next| plan.rungs.contains(next));
        let Some(next) = next else {
            return false;
        };
        let kbps = rungs[next].kbps;
        let limit_kbps = if kbps <= plan.held_kbps { self.keep_kbps } else { self.rise_kbps };
        let fits = self.spend(kbps - plan.kbps(rungs), limit_kbps);
        if fits {
            plan.chosen = Some(next);
        }
        fits
    }

    fn spend(&mut self, more_kbps: u64, limit_kbps: u64) -> bool {
        let sum_kbps = self.spent_kbps + more_kbps;
        let fits = sum_kbps <= limit_kbps;
        if fits {
            self.spent_kbps = sum_kbps;
        } else {
            self.refused_kbps = Some(self.refused_kbps.map_or(sum_kbps, |least| least.min(sum_kbps)));
        }
        fits
    }
}

fn clamped(kbps: u64) -> u32 {
    u32::try_from(kbps).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
