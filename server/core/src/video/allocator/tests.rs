//! Viewers in virtual time, asked ten times a second, and properties over random demands.

use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::patience::{HOLD_MAX, HOLD_MIN};
use super::*;

const TICK: Duration = Duration::from_millis(100);

/// Each size by itself, at a quarter, half and all of its frame rate.
const SIMULCAST: [(u32, [u32; 3]); 3] =
    [(180, [60, 90, 150]), (360, [200, 300, 500]), (720, [900, 1_300, 2_000])];

fn layer(spatial: u8, temporal: u8) -> Layer {
    Layer { spatial, temporal }
}

fn costs(sizes: &[(u32, [u32; 3])]) -> Vec<LayerCost> {
    let of_size = |(spatial, &(height, rates)): (u8, &(u32, [u32; 3]))| {
        (0..).zip(rates).map(move |(temporal, kbps)| LayerCost {
            layer: layer(spatial, temporal),
            kbps,
            height,
        })
    };
    (0..).zip(sizes).flat_map(of_size).collect()
}

fn demand(costs: &[LayerCost], importance: u8, height: u32) -> Demand<'_> {
    let (content, min, max) = (Content::Camera, Layer::default(), Layer::MAX);
    Demand { costs, content, height, importance, min, max, current: None }
}

/// What somebody gets who was sent nothing before.
fn first(estimate_kbps: u32, demands: &[Demand<'_>]) -> Vec<Option<Layer>> {
    Allocator::default().allocate(Instant::now(), Some(estimate_kbps), demands).layers
}

/// One who looks at a speaker, large, and at others, small.
struct Viewer {
    allocator: Allocator,
    now: Instant,
    costs: Vec<LayerCost>,
    /// Importance and height of each slot.
    shown: Vec<(u8, u32)>,
    layers: Vec<Option<Layer>>,
    /// When something changed.
    changes: Vec<Instant>,
}

impl Viewer {
    fn new(thumbnails: usize) -> Viewer {
        let mut shown = vec![(0, 180); thumbnails + 1];
        shown[0] = (1, 720);
        Viewer {
            allocator: Allocator::default(),
            now: Instant::now(),
            costs: costs(&SIMULCAST),
            layers: vec![None; shown.len()],
            shown,
            changes: Vec::new(),
        }
    }

    fn tick(&mut self, estimate_kbps: u32) -> Allocation {
        self.now += TICK;
        let current = self.layers.iter();
        let demands: Vec<_> = self
            .shown
            .iter()
            .zip(current)
            .map(|(&(importance, height), &current)| Demand {
                current,
                ..demand(&self.costs, importance, height)
            })
            .collect();
        let allocation = self.allocator.allocate(self.now, Some(estimate_kbps), &demands);
        assert!(allocation.total_kbps <= estimate_kbps, "{allocation:?} of {estimate_kbps} kbit/s");
        if allocation.layers != self.layers {
            self.changes.push(self.now);
        }
        self.layers.clone_from(&allocation.layers);
        allocation
    }

    fn run(&mut self, time: Duration, mut estimate_kbps: impl FnMut() -> u32) -> &mut Viewer {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.tick(estimate_kbps());
        }
        self
    }

    fn run_at(&mut self, seconds: u64, estimate_kbps: u32) -> &mut Viewer {
        self.run(Duration::from_secs(seconds), || estimate_kbps)
    }

    fn speaker(&self) -> Option<Layer> {
        self.layers[0]
    }

    fn paused(&self) -> Vec<usize> {
        (0..self.layers.len()).filter(|&slot| self.layers[slot].is_none()).collect()
    }
}

#[test]
fn a_slot_takes_no_more_than_it_shows() {
    let costs = costs(&SIMULCAST);
    let given = |height| first(100_000, &[demand(&costs, 0, height)])[0];
    assert_eq!(given(0), None, "nobody sees it");
    assert_eq!([1, 90, 180].map(given), [Some(layer(0, 2)); 3]);
    assert_eq!([181, 360].map(given), [Some(layer(1, 2)); 2]);
    assert_eq!([361, 720, 1_080, u32::MAX].map(given), [Some(layer(2, 2)); 4]);
    let unknown = costs.iter().map(|cost| LayerCost { height: 0, ..*cost }).collect::<Vec<_>>();
    assert_eq!(first(100_000, &[demand(&unknown, 0, 180)])[0], Some(layer(2, 2)));
}

#[test]
fn nobody_knows_what_passes_and_all_get_what_they_need() {
    let costs = costs(&SIMULCAST);
    let demands = [demand(&costs, 1, 720), demand(&costs, 0, 180), demand(&costs, 0, 0)];
    let allocation = Allocator::default().allocate(Instant::now(), None, &demands);
    assert_eq!(allocation.layers, [Some(layer(2, 2)), Some(layer(0, 2)), None]);
    assert_eq!((allocation.total_kbps, allocation.desired_kbps, allocation.next_kbps), (2_150, 2_150, None));
}

#[test]
fn half_the_frames_of_a_large_camera_come_before_all_of_a_small_one() {
    let costs = costs(&SIMULCAST);
    let given = |kbps| first(kbps, &[demand(&costs, 0, 720)])[0].map(|it| (it.spatial, it.temporal));
    let steps =
        [(59, None), (60, Some((0, 0))), (103, Some((0, 1))), (172, Some((0, 2))), (343, Some((1, 1)))];
    assert_eq!(steps.map(|(kbps, _)| given(kbps)), steps.map(|(_, layer)| layer));
    let steps = [(342, (0, 2)), (572, (1, 2)), (1_485, (1, 2)), (1_486, (2, 1)), (2_286, (2, 2))];
    assert_eq!(steps.map(|(kbps, _)| given(kbps)), steps.map(|(_, layer)| Some(layer)));
}

#[test]
fn a_screen_can_be_read_before_it_moves() {
    let costs = costs(&SIMULCAST);
    let screen = Demand { content: Content::Screen, ..demand(&costs, 0, u32::MAX) };
    let given = |kbps| first(kbps, &[screen])[0];
    assert_eq!(
        [229, 1_029, 1_486, 2_286].map(given).map(|it| it.map(|it| (it.spatial, it.temporal))),
        [Some((1, 0)), Some((2, 0)), Some((2, 1)), Some((2, 2)),]
    );
}

#[test]
fn the_speaker_is_large_before_the_others_are_smooth_and_nobody_is_missing() {
    let costs = costs(&SIMULCAST);
    let demands = [demand(&costs, 0, 180), demand(&costs, 0, 180), demand(&costs, 1, 720)];
    let given = |kbps| first(kbps, &demands).into_iter().map(|it| it.map(|it| (it.spatial, it.temporal)));
    let shown = |kbps| given(kbps).collect::<Vec<_>>();
    let least = Some((0, 0));
    assert_eq!(
        shown(180),
        [least, least, least],
        "three times 60 kbit/s, and no headroom for whoever is new"
    );
    assert_eq!(shown(1_658), [Some((0, 1)), least, Some((2, 1))], "1,300 and 60 and 60; there is some left");
    assert_eq!(shown(2_400), [Some((0, 2)), Some((0, 2)), Some((2, 1))], "what's left is not enough for him");
    assert_eq!(shown(2_423), [least, least, Some((2, 2))]);
    assert_eq!(shown(2_629), [Some((0, 2)), Some((0, 2)), Some((2, 2))]);
}

#[test]
fn equals_look_alike() {
    let costs = costs(&SIMULCAST);
    let demands = vec![demand(&costs, 0, 360); 4];
    let given = |kbps| first(kbps, &demands).into_iter().flatten().map(|it| (it.spatial, it.temporal));
    assert!(given(686).all(|it| it == (0, 2)));
    assert!(given(1_370).eq([(1, 1), (1, 1), (1, 1), (0, 2)]), "what remains goes to the first");
    assert!(given(2_286).all(|it| it == (1, 2)));
}

#[test]
fn the_least_important_are_paused_first_and_come_back_last() {
    let mut viewer = Viewer::new(3);
    viewer.shown = vec![(3, 180), (0, 180), (2, 180), (1, 180)];
    viewer.run_at(20, 1_000);
    let mut paused = |seconds, kbps| viewer.run_at(seconds, kbps).paused();
    assert_eq!(paused(1, 239), [1]);
    assert_eq!(paused(1, 179), [1, 3]);
    assert_eq!(paused(1, 119), [1, 2, 3]);
    assert_eq!(paused(1, 59), [0, 1, 2, 3]);
    assert_eq!(paused(12, 150), [1, 3]);
    assert_eq!(paused(3, 240), [1], "an eighth has to remain for her");
    assert_eq!(paused(3, 275), [] as [usize; 0]);
}

#[test]
fn a_picture_that_takes_too_much_is_passed_over() {
    let (large, small) = (costs(&[(720, [2_000; 3])]), costs(&SIMULCAST));
    let demands = [demand(&large, 1, 180), demand(&small, 0, 180)];
    assert_eq!(first(1_000, &demands), [None, Some(layer(0, 2))]);
    assert_eq!(
        first(2_060, &demands),
        [Some(layer(0, 2)), Some(layer(0, 0))],
        "all of its rates take the same"
    );
}

#[test]
fn bounds_come_before_what_is_needed_and_give_way_to_what_is_sent() {
    let costs = costs(&SIMULCAST);
    let bounded = |min, max| first(100_000, &[Demand { min, max, ..demand(&costs, 0, 360) }])[0];
    assert_eq!(bounded(layer(0, 0), layer(0, 1)), Some(layer(0, 1)));
    assert_eq!(bounded(layer(2, 0), Layer::MAX), Some(layer(2, 2)));
    assert_eq!(bounded(layer(0, 0), layer(1, 0)), Some(layer(1, 0)), "slower than half, if that is wanted");
    let small = &costs[..3];
    let bounded = |min, max| first(100_000, &[Demand { min, max, ..demand(small, 0, 360) }])[0];
    assert_eq!(bounded(layer(2, 5), Layer::MAX), Some(layer(0, 2)), "there is nothing larger");
    let large = &costs[6..];
    let bounded = |min, max| first(100_000, &[Demand { min, max, ..demand(large, 0, 360) }])[0];
    assert_eq!(bounded(layer(0, 0), layer(0, 1)), Some(layer(2, 1)), "there is nothing smaller");
    assert_eq!(bounded(layer(3, 3), layer(0, 0)), Some(layer(2, 0)));
}

#[test]
fn what_nobody_has_measured_is_begun_with() {
    let costs = costs(&SIMULCAST);
    let demands = [demand(&[], 0, 720), demand(&[], 0, 0), demand(&costs, 1, 180)];
    assert_eq!(first(90, &demands), [Some(layer(0, 0)), None, Some(layer(0, 0))]);
}

#[test]
fn a_layer_that_takes_as_much_as_a_better_one_is_never_chosen() {
    let still = costs(&[(180, [30, 60, 90]), (360, [50, 80, 80])]);
    let given = |kbps| first(kbps, &[demand(&still, 0, 360)])[0].map(|it| (it.spatial, it.temporal));
    assert_eq!([60, 69, 92].map(given), [Some((0, 0)), Some((0, 1)), Some((1, 2))]);
}

#[test]
fn less_passes_and_less_is_sent_at_once() {
    let mut viewer = Viewer::new(4);
    viewer.run_at(5, 4_000);
    assert_eq!(viewer.speaker(), Some(layer(2, 2)));
    viewer.tick(2_000);
    viewer.tick(1_000);
    assert_eq!(viewer.speaker(), Some(layer(1, 2)));
    viewer.tick(200);
    assert_eq!((viewer.speaker(), viewer.paused()), (Some(layer(0, 0)), vec![3, 4]));
}

#[test]
fn a_network_that_has_fallen_is_hardly_believed_for_a_second() {
    let mut viewer = Viewer::new(0);
    viewer.run_at(5, 4_000);
    viewer.tick(1_000);
    assert_eq!(viewer.speaker(), Some(layer(0, 1)), "one step down, and not one for each estimate");
    viewer.run_at(1, 1_000);
    viewer.tick(1_000);
    assert_eq!(viewer.speaker(), Some(layer(1, 2)));
}

#[test]
fn the_top_layer_is_back_within_three_seconds() {
    let mut viewer = Viewer::new(4);
    viewer.run_at(20, 4_000).run_at(10, 500);
    let returned_at = viewer.now;
    while viewer.speaker() != Some(layer(2, 2)) {
        viewer.tick(4_000);
    }
    let took = viewer.now - returned_at;
    assert!(took <= Duration::from_secs(3), "{took:?}");
    assert!(viewer.layers[1..].iter().all(|it| *it == Some(layer(0, 2))), "and the others are smooth");
}

#[test]
fn a_dip_of_a_moment_is_over_after_a_second() {
    let mut viewer = Viewer::new(4);
    viewer.run_at(20, 4_000).tick(500);
    let dipped_at = viewer.now;
    while viewer.speaker() != Some(layer(2, 2)) {
        viewer.tick(4_000);
    }
    assert_eq!(viewer.now - dipped_at, HOLD_MIN);
}

#[test]
fn with_a_constant_estimate_a_change_for_the_worse_and_one_for_the_better_is_all() {
    for kbps in (50..6_000).step_by(50) {
        let mut viewer = Viewer::new(8);
        viewer.run_at(15, 3_000).changes.clear();
        let changed_at = viewer.now;
        viewer.run_at(60, kbps);
        assert!(viewer.changes.len() <= 2, "{kbps} kbit/s: {:?}", viewer.changes);
        assert!(viewer.changes.iter().all(|&at| at - changed_at <= Duration::from_secs(2)), "{kbps} kbit/s");
    }
}

/// How often something changes in a minute, the first ones aside, by estimates around some constants.
fn changes_a_minute(mut estimate: impl FnMut(u32, Duration) -> u32) -> Vec<usize> {
    let count = |centre_kbps: u32| {
        let mut viewer = Viewer::new(8);
        let start = viewer.now;
        viewer.run_at(5, centre_kbps).changes.clear();
        for _ in 0..600 {
            let elapsed = viewer.now - start;
            viewer.tick(estimate(centre_kbps, elapsed));
        }
        viewer.changes.len()
    };
    (300..3_500).step_by(103).map(count).collect()
}

#[test]
fn an_estimate_that_wavers_by_a_tenth_changes_little() {
    let seed = 7;
    let mut rng = SmallRng::seed_from_u64(seed);
    let noisy = changes_a_minute(|kbps, _| kbps * rng.random_range(900..=1_100) / 1_000);
    assert!(noisy.iter().all(|&changes| changes <= 8), "seed {seed}: {noisy:?}");
}

#[test]
fn an_estimate_that_swings_is_followed_ever_more_slowly() {
    let swings = |period_s: f64| {
        changes_a_minute(move |kbps, elapsed| {
            let phase = elapsed.as_secs_f64() / period_s * std::f64::consts::TAU;
            (f64::from(kbps) * (1.0 + 0.1 * phase.sin())) as u32
        })
    };
    for (period_s, changes_max) in [(2.0, 2), (5.0, 12), (10.0, 18), (20.0, 24)] {
        let changes = swings(period_s);
        assert!(changes.iter().all(|&changes| changes <= changes_max), "{period_s} s: {changes:?}");
    }
}

#[test]
fn layers_that_take_a_tenth_more_or_less_change_little() {
    let seed = 11;
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut changes = Vec::new();
    for kbps in (300..3_500).step_by(103) {
        let mut viewer = Viewer::new(8);
        viewer.run_at(5, kbps).changes.clear();
        for _ in 0..600 {
            let factor = rng.random_range(900..=1_100);
            let measured = |cost: LayerCost| LayerCost { kbps: cost.kbps * factor / 1_000, ..cost };
            viewer.costs = costs(&SIMULCAST).into_iter().map(measured).collect();
            viewer.tick(kbps);
        }
        changes.push(viewer.changes.len());
    }
    assert!(changes.iter().all(|&changes| changes <= 36), "seed {seed}: {changes:?}");
}

#[test]
fn who_cannot_have_more_is_tried_after_one_two_four_and_eight_seconds() {
    let mut viewer = Viewer::new(0);
    viewer.run_at(20, 1_000);
    let mut tries = Vec::new();
    for _ in 0..5 {
        let congested_at = viewer.now;
        while viewer.speaker() != Some(layer(2, 1)) {
            viewer.tick(1_500);
        }
        tries.push((viewer.now - congested_at).as_secs());
        // What was given turns out to be too much.
        viewer.tick(1_000);
    }
    assert_eq!(tries[1..], [2, 4, 8, 8]);
    viewer.run_at(20, 1_500).tick(1_000);
    let congested_at = viewer.now;
    while viewer.speaker() != Some(layer(2, 1)) {
        viewer.tick(1_500);
    }
    assert_eq!((viewer.now - congested_at).as_secs(), 1, "it had lasted");
}

#[test]
fn whoever_begins_to_speak_does_not_wait() {
    let mut viewer = Viewer::new(3);
    viewer.run_at(20, 3_000).tick(1_800);
    assert_eq!(viewer.speaker(), Some(layer(2, 1)));
    let total_kbps = viewer.tick(1_800).total_kbps;
    // There was congestion a moment ago. Two change places: the slots show others than before.
    (viewer.layers[0], viewer.layers[1]) = (None, None);
    let allocation = viewer.tick(1_800);
    assert_eq!(viewer.speaker(), Some(layer(2, 1)));
    assert!(allocation.total_kbps <= total_kbps);
}

#[test]
fn more_is_given_from_the_estimate_on_that_was_asked_for() {
    for kbps in (60..3_000).step_by(70) {
        let mut viewer = Viewer::new(3);
        let before = viewer.run_at(20, kbps).tick(kbps);
        let Some(next_kbps) = before.next_kbps else {
            assert_eq!(before.total_kbps, before.desired_kbps);
            continue;
        };
        assert_eq!(viewer.run_at(20, next_kbps - 1).layers, before.layers, "{kbps} kbit/s");
        let more = viewer.run_at(20, next_kbps).tick(next_kbps);
        assert!(more.layers != before.layers, "{kbps} kbit/s: {before:?} {more:?}");
    }
}

#[test]
fn after_the_first_answer_only_an_answer_takes_memory() {
    let costs = costs(&SIMULCAST);
    let demands: Vec<_> = (0..200).map(|slot| demand(&costs, (slot % 5) as u8, 90 + slot * 5)).collect();
    let (mut allocator, start) = (Allocator::default(), Instant::now());
    let capacities = |allocator: &Allocator| {
        let Scratch { plans, rungs, order, sent } = &allocator.scratch;
        [plans.capacity(), rungs.capacity(), order.capacity(), sent.capacity(), allocator.given.capacity()]
    };
    allocator.allocate(start, None, &demands);
    let before = capacities(&allocator);
    for step in 0..1_000 {
        allocator.allocate(start + TICK * step, Some(step * 100), &demands);
    }
    assert_eq!(capacities(&allocator), before);
}

/// What may be asked for: layers of any cost, also such as make no sense.
#[derive(Clone, Debug)]
struct Asked {
    costs: Vec<LayerCost>,
    content: Content,
    height: u32,
    importance: u8,
    min: Layer,
    max: Layer,
}

impl Asked {
    fn demand(&self, current: Option<Layer>) -> Demand<'_> {
        let &Asked { ref costs, content, height, importance, min, max } = self;
        Demand { costs, content, height, importance, min, max, current }
    }

    fn kbps(&self, layer: Option<Layer>) -> u64 {
        let sent = self.costs.iter().find(|cost| Some(cost.layer) == layer);
        sent.map_or(0, |cost| u64::from(cost.kbps))
    }
}

fn any_layer(max: u8) -> impl Strategy<Value = Layer> {
    (0..=max, 0..=max).prop_map(|(spatial, temporal)| layer(spatial, temporal))
}

fn asked(kbps: std::ops::Range<u32>) -> impl Strategy<Value = Asked> {
    let heights = prop::collection::vec(0_u32..1_200, 4);
    let costs =
        (prop::collection::btree_map(any_layer(3), kbps, 0..9), heights).prop_map(|(sent, heights)| {
            let cost = |(layer, kbps): (Layer, u32)| {
                let height = heights[usize::from(layer.spatial)];
                LayerCost { layer, kbps, height }
            };
            sent.into_iter().rev().map(cost).collect::<Vec<_>>()
        });
    let content = prop_oneof![Just(Content::Camera), Just(Content::Screen)];
    let height = prop_oneof![Just(0_u32), Just(u32::MAX), 1_u32..1_200];
    let (min, max) = (any_layer(2), prop_oneof![Just(Layer::MAX), any_layer(3)]);
    (costs, content, height, 0_u8..4, min, max).prop_map(|(costs, content, height, importance, min, max)| {
        Asked { costs, content, height, importance, min, max }
    })
}

/// Cameras that send alike, at times.
fn cameras() -> impl Strategy<Value = Vec<Asked>> {
    let camera =
        (0_u8..4, prop::sample::select(vec![0_u32, 90, 180, 360, 720])).prop_map(|(importance, height)| {
            let (content, min, max) = (Content::Camera, Layer::default(), Layer::MAX);
            Asked { costs: costs(&SIMULCAST), content, height, importance, min, max }
        });
    prop::collection::vec(camera, 1..25)
}

fn demands<'a>(asked: &'a [Asked], layers: &[Option<Layer>]) -> Vec<Demand<'a>> {
    asked.iter().zip(layers).map(|(asked, &current)| asked.demand(current)).collect()
}

/// Asks with these estimates, so many milliseconds after another.
fn replay(asked: &[Asked], estimates: &[(u64, u32)]) -> Vec<Allocation> {
    let (mut allocator, mut now) = (Allocator::default(), Instant::now());
    let mut layers = vec![None; asked.len()];
    let mut answers = Vec::new();
    for &(wait_ms, kbps) in estimates {
        now += Duration::from_millis(wait_ms);
        let allocation = allocator.allocate(now, Some(kbps), &demands(asked, &layers));
        layers.clone_from(&allocation.layers);
        answers.push(allocation);
    }
    answers
}

fn estimates() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((0_u64..3_000, 0_u32..8_000), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sum_never_exceeds_the_estimate(
        asked in prop::collection::vec(asked(0..3_000), 0..12),
        estimates in estimates(),
    ) {
        let answers = replay(&asked, &estimates);
        prop_assert_eq!(&answers, &replay(&asked, &estimates), "a replay is the same");
        for (answer, (_, kbps)) in answers.iter().zip(&estimates) {
            let sum: u64 = asked.iter().zip(&answer.layers).map(|(it, &layer)| it.kbps(layer)).sum();
            prop_assert_eq!(sum, u64::from(answer.total_kbps));
            prop_assert!(sum <= u64::from(*kbps) && answer.total_kbps <= answer.desired_kbps);
            prop_assert_eq!(answer.next_kbps.is_none(), answer.total_kbps == answer.desired_kbps
                && asked.iter().zip(&answer.layers).all(|(it, layer)| it.height == 0 || layer.is_some()));
            for (asked, given) in asked.iter().zip(&answer.layers) {
                let is_sent = given.is_none_or(|layer| asked.costs.iter().any(|cost| cost.layer == layer));
                prop_assert!(is_sent || asked.costs.is_empty());
                prop_assert!(asked.height > 0 || given.is_none());
            }
        }
    }

    #[test]
    fn no_sum_is_too_large_to_be_added_up(asked in prop::collection::vec(asked(0..u32::MAX), 0..12)) {
        let layers = vec![None; asked.len()];
        for estimate_kbps in [None, Some(0), Some(u32::MAX)] {
            Allocator::default().allocate(Instant::now(), estimate_kbps, &demands(&asked, &layers));
        }
    }

    #[test]
    fn nobody_is_paused_for_somebody_to_have_more_than_the_least(
        asked in cameras(),
        estimates in prop::collection::vec((0_u64..3_000, 0_u32..4_000), 1..40),
    ) {
        let least_kbps = |asked: &Asked| u64::from(asked.costs[0].kbps);
        let mut shown: Vec<&Asked> = asked.iter().filter(|it| it.height > 0).collect();
        shown.sort_by_key(|it| Reverse(it.importance));
        let answers = replay(&asked, &estimates);
        for answer in &answers {
            let is_paused = |slot: usize| asked[slot].height > 0 && answer.layers[slot].is_none();
            for slot in (0..asked.len()).filter(|&slot| is_paused(slot)) {
                for other in (0..asked.len()).filter(|&other| asked[other].importance < asked[slot].importance) {
                    prop_assert!(asked[other].height == 0 || is_paused(other), "{} before {}", slot, other);
                }
            }
        }
        // At first nothing is held back, and in the end all that fits with headroom has come back.
        let last_kbps = estimates[estimates.len() - 1].1;
        let mut settled = estimates.clone();
        settled.extend([(100, last_kbps); 100]);
        let settled = replay(&asked, &settled);
        let rise_kbps = last_kbps - last_kbps.div_ceil(HEADROOM_PARTS as u32);
        for (answer, limit_kbps) in [(&answers[0], estimates[0].1), (&settled[settled.len() - 1], rise_kbps)] {
            let mut sum_kbps = 0;
            let fit = shown.iter().take_while(|it| {
                sum_kbps += least_kbps(it);
                sum_kbps <= u64::from(limit_kbps)
            });
            let fit = fit.count();
            prop_assert!(answer.layers.iter().flatten().count() >= fit);
        }
    }

    #[test]
    fn nobody_has_more_than_the_least_before_those_who_matter_more_have_what_fits(
        asked in cameras(),
        kbps in 0_u32..6_000,
    ) {
        let answer = &replay(&asked, &[(0, kbps)])[0];
        let rise_kbps = u64::from(kbps - kbps.div_ceil(HEADROOM_PARTS as u32));
        for (slot, one) in asked.iter().enumerate().filter(|(slot, _)| answer.layers[*slot].is_some()) {
            // What it would have if all who matter less had the least.
            let others = asked.iter().zip(&answer.layers).enumerate().filter(|(other, _)| *other != slot);
            let others_kbps: u64 = others
                .map(|(_, (other, &given))| match other.importance < one.importance {
                    true => other.kbps(given.map(|_| layer(0, 0))),
                    false => other.kbps(given),
                })
                .sum();
            let mut all = Allocator::default();
            let needed = all.allocate(Instant::now(), None, &[one.demand(None)]).layers[0];
            let has_all = answer.layers[slot] == needed;
            let is_next = |it: &Layer| Some(*it) > answer.layers[slot] && (it.spatial == 0 || it.temporal > 0);
            let better = one.costs.iter().filter(|cost| is_next(&cost.layer));
            let next_kbps = better.map(|cost| u64::from(cost.kbps)).min().unwrap_or(u64::MAX);
            prop_assert!(has_all || others_kbps + next_kbps > rise_kbps, "slot {} of {:?}", slot, answer);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_constant_estimate_comes_to_rest(
        asked in prop::collection::vec(asked(0..3_000), 0..12),
        before in estimates(),
        kbps in 0_u32..8_000,
    ) {
        let waits = HOLD_MAX.as_millis() as usize / 100 + 20;
        let estimates = [before, vec![(100, kbps); waits + 100]].concat();
        let answers = replay(&asked, &estimates);
        let constant = &answers[answers.len() - waits - 100..];
        let changes = constant.windows(2).filter(|pair| pair[0].layers != pair[1].layers).count();
        prop_assert!(changes <= 3, "{} changes", changes);
        prop_assert!(constant[waits..].windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_tenth_of_noise_changes_little(asked in cameras(), kbps in 100_u32..6_000, seed in any::<u64>()) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut noisy = || kbps * rng.random_range(900..=1_100) / 1_000;
        let estimates: Vec<_> = (0..650).map(|_| (100, noisy())).collect();
        let answers = replay(&asked, &estimates);
        let changes = answers[50..].windows(2).filter(|pair| pair[0].layers != pair[1].layers).count();
        prop_assert!(changes <= 20, "{} changes in a minute", changes);
    }
}
