//! Machines that press keys, rooms that tell anything, and shells that play nothing.

use std::time::Duration;

use proptest::prelude::*;

use super::super::playback::WAITING_MAX;
use super::super::{Menu, MenuConfig, MenuEnd, MenuOutput, Refused};
use super::call::{Call, with_pins};

/// What may happen in a call.
#[derive(Clone, Copy, Debug)]
enum Step {
    Key(char),
    Wait(u64),
    Played,
    Drain,
    Joined,
    Refused,
    ModeratorPresent(bool),
    Muted(bool, bool),
    Role(bool),
    Hand(bool),
    Removed,
    Closing,
}

fn key() -> impl Strategy<Value = Step> {
    proptest::char::ranges(vec!['0'..='9', '#'..='#', '*'..='*', 'A'..='E', '*'..='*'].into())
        .prop_map(Step::Key)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => key(),
        10 => (0_u64..12_000).prop_map(Step::Wait),
        10 => Just(Step::Played),
        10 => Just(Step::Drain),
        4 => Just(Step::Joined),
        1 => Just(Step::Refused),
        3 => any::<bool>().prop_map(Step::ModeratorPresent),
        5 => any::<(bool, bool)>().prop_map(|(is_muted, by_moderator)| Step::Muted(is_muted, by_moderator)),
        3 => any::<bool>().prop_map(Step::Role),
        3 => any::<bool>().prop_map(Step::Hand),
        1 => Just(Step::Removed),
        1 => Just(Step::Closing),
    ]
}

fn config() -> impl Strategy<Value = MenuConfig> {
    (any::<[bool; 4]>(), 0_u8..5).prop_map(
        |([has_pin, has_moderator_pin, waits_for_moderator, announces], tries_max)| {
            let pins = with_pins();
            MenuConfig {
                pin: pins.pin.filter(|_| has_pin),
                moderator_pin: pins.moderator_pin.filter(|_| has_moderator_pin),
                waits_for_moderator,
                tries_max,
                announces,
            }
        },
    )
}

/// What a shell relies on, whatever comes in.
#[derive(Default)]
struct Shell {
    is_playing: bool,
    has_entered: bool,
    takes_part: bool,
    ended: Option<MenuEnd>,
}

impl Shell {
    fn take(&mut self, output: MenuOutput) {
        assert_eq!(self.ended, None, "{output:?} after the end");
        match output {
            MenuOutput::Say(_) | MenuOutput::Tone(_) => {
                assert!(!self.is_playing, "{output:?} while something is played");
                self.is_playing = true;
            }
            MenuOutput::Interrupt => {
                assert!(self.is_playing, "there is nothing to stop");
                self.is_playing = false;
            }
            MenuOutput::Enter { .. } => {
                assert!(!self.has_entered, "the room is entered once");
                self.has_entered = true;
            }
            MenuOutput::TakePart => {
                assert!(self.has_entered && !self.takes_part);
                self.takes_part = true;
            }
            MenuOutput::SetMuted(_) | MenuOutput::RaiseHand(_) | MenuOutput::Leave => {
                assert!(self.has_entered)
            }
            MenuOutput::Volume { gain_db } => assert!(gain_db.abs() <= 12 && gain_db % 3 == 0),
            MenuOutput::Music(_) => {}
            MenuOutput::End(end) => {
                assert!(!self.is_playing, "the farewell is said first");
                self.ended = Some(end);
            }
        }
    }

    fn step(&mut self, call: &mut Call, step: Step) {
        let mut waited = Vec::new();
        match step {
            Step::Key(key) => call.menu.key(call.now, key),
            Step::Wait(millis) => waited = call.wait(Duration::from_millis(millis)),
            Step::Played if self.is_playing => {
                self.is_playing = false;
                call.menu.played(call.now);
            }
            Step::Played => {}
            Step::Drain => waited = call.drain(),
            Step::Joined => call.tell(Menu::joined),
            Step::Refused => call.tell(|menu, now| menu.refused(now, Refused::Full)),
            Step::ModeratorPresent(is) => call.tell(|menu, now| menu.moderator_present(now, is)),
            Step::Muted(is, by) => call.tell(|menu, now| menu.muted(now, is, by)),
            Step::Role(may) => call.tell(|menu, now| menu.role(now, may)),
            Step::Hand(is) => call.tell(|menu, now| menu.hand(now, is)),
            Step::Removed => call.tell(Menu::removed),
            Step::Closing => call.tell(Menu::closing),
        }
        waited.into_iter().for_each(|output| self.take(output));
        assert!(call.menu.outbox.playback.waiting() <= WAITING_MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_a_shell_can_follow_and_the_call_ends_or_waits(
        config in config(),
        steps in proptest::collection::vec(step(), 0..400),
    ) {
        let (mut call, mut shell) = (Call::start(config), Shell::default());
        for step in steps {
            shell.step(&mut call, step);
        }
        let outputs_left = call.drain();
        prop_assert!(outputs_left.len() <= 11, "one of each kind: {outputs_left:?}");
        outputs_left.into_iter().for_each(|output| shell.take(output));
        // From now on nobody presses a key, and all is played.
        for _ in 0..300 {
            shell.step(&mut call, Step::Played);
            shell.step(&mut call, Step::Drain);
            shell.step(&mut call, Step::Wait(1_000));
        }
        let waits = call.menu.state.is_in_room();
        prop_assert!(waits != shell.ended.is_some(), "{:?}", call.menu);
        prop_assert_eq!(call.menu.poll_timeout(), None);
    }

    #[test]
    fn a_machine_that_guesses_has_its_tries_and_no_more(keys in proptest::collection::vec(key(), 2_000)) {
        let mut config = with_pins();
        config.pin = Some("98765432109876".parse().unwrap());
        config.moderator_pin = None;
        let (mut call, mut shell) = (Call::start(config), Shell::default());
        for key in keys {
            shell.step(&mut call, key);
            shell.step(&mut call, Step::Drain);
            shell.step(&mut call, Step::Wait(100));
        }
        for _ in 0..5 {
            shell.step(&mut call, Step::Played);
            shell.step(&mut call, Step::Drain);
        }
        prop_assert!(matches!(shell.ended, Some(MenuEnd::WrongPin | MenuEnd::NoInput)));
        prop_assert!(call.menu.tries() <= 3 && !shell.has_entered);
    }
}
