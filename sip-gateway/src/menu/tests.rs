//! Calls in virtual time: what a caller presses, what the room tells, and all that comes of it.

mod call;
mod flood;

use std::time::Duration;

use super::MenuOutput::{
    End, Enter, Interrupt, Leave, Music, RaiseHand, Say, SetMuted, TakePart, Tone as Play, Volume,
};
use super::*;
use call::{Call, with_pins};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn without_a_pin_the_caller_is_in_at_once() {
    let mut call = Call::start(MenuConfig::default());
    assert_eq!(call.drain(), [Enter { is_moderator: false }, Say(Prompt::Welcome)]);
    call.tell(Menu::joined);
    assert_eq!(call.drain(), [TakePart], "the welcome is still said");
    assert_eq!(call.hear_out(), [Play(Tone::Join), Say(Prompt::Joined)]);
    assert_eq!(call.menu.poll_timeout(), None);
}

#[test]
fn the_right_pin_leads_in() {
    let mut call = Call::start(with_pins());
    assert_eq!(call.drain(), [Say(Prompt::Welcome)]);
    assert_eq!(call.hear_out(), [Say(Prompt::EnterPin)]);
    assert_eq!(call.press("4711"), []);
    assert_eq!(call.press("#"), [Enter { is_moderator: false }]);
    call.tell(Menu::joined);
    assert_eq!(call.hear_out(), [TakePart, Play(Tone::Join), Say(Prompt::Joined)]);
    assert_eq!(call.menu.tries(), 0);
}

#[test]
fn a_key_cuts_the_question_short() {
    let mut call = Call::start(with_pins());
    call.drain();
    assert_eq!(call.press("4"), [Interrupt]);
    assert_eq!(call.press("711#"), [Enter { is_moderator: false }]);
}

#[test]
fn a_pause_ends_the_pin_as_the_hash_key_does() {
    let mut call = Call::start(with_pins());
    call.hear_out();
    assert_eq!(call.press("4711"), []);
    assert_eq!(call.wait(Duration::from_millis(4_999)), []);
    assert_eq!(call.wait(Duration::from_millis(1)), [Enter { is_moderator: false }]);
}

#[test]
fn as_many_digits_as_the_pin_has_are_not_its_end() {
    let mut call = Call::start(with_pins());
    call.hear_out();
    assert_eq!(call.press("471147114711"), []);
    assert_eq!(call.press("#"), [Say(Prompt::WrongPin)]);
}

#[test]
fn the_star_key_begins_the_pin_again() {
    let mut call = Call::start(with_pins());
    call.hear_out();
    assert_eq!(call.press("472*4711#"), [Enter { is_moderator: false }]);
    assert_eq!(call.menu.tries(), 0);
}

#[test]
fn the_third_wrong_pin_ends_the_call() {
    let mut call = Call::start(with_pins());
    call.hear_out();
    for tries in 1..=2 {
        assert_eq!(call.press("123#"), [Say(Prompt::WrongPin)]);
        assert_eq!(call.hear_out(), [Say(Prompt::EnterPin)]);
        assert_eq!(call.menu.tries(), tries);
    }
    assert_eq!(call.press("4712#"), [Say(Prompt::TooManyTries)]);
    assert_eq!(call.press("4711#"), [], "it is too late for the right one");
    assert_eq!(call.hear_out(), [Say(Prompt::Goodbye), End(MenuEnd::WrongPin)]);
    assert_eq!(call.menu.tries(), 3);
    assert_eq!(call.menu.poll_timeout(), None);
}

#[test]
fn no_try_at_all_is_one() {
    let mut call = Call::start(MenuConfig { tries_max: 0, ..with_pins() });
    call.hear_out();
    assert_eq!(call.press("1#"), [Say(Prompt::TooManyTries)]);
}

#[test]
fn the_moderators_pin_makes_a_moderator_who_waits_for_nobody() {
    let mut call = Call::start(MenuConfig { waits_for_moderator: true, ..with_pins() });
    call.hear_out();
    assert_eq!(call.press("0815#"), [Enter { is_moderator: true }]);
    call.tell(Menu::joined);
    assert_eq!(call.hear_out(), [TakePart, Play(Tone::Join), Say(Prompt::Joined)]);
}

#[test]
fn where_only_moderators_have_a_pin_everybody_else_gets_in_without() {
    let config = || MenuConfig { pin: None, announces: false, ..with_pins() };
    let mut call = Call::start(config());
    assert_eq!(call.drain(), [Say(Prompt::EnterModeratorPin)]);
    assert_eq!(call.press("#"), [Interrupt, Enter { is_moderator: false }]);

    let mut call = Call::start(config());
    call.hear_out();
    assert_eq!(call.wait(seconds(10)), [Enter { is_moderator: false }]);

    let mut call = Call::start(config());
    call.hear_out();
    assert_eq!(call.press("0815#"), [Enter { is_moderator: true }]);

    let mut call = Call::start(config());
    call.hear_out();
    assert_eq!(call.press("4711#"), [Say(Prompt::WrongPin)], "nobody else has one");
}

#[test]
fn who_presses_nothing_is_asked_three_times() {
    let mut call = Call::start(with_pins());
    call.hear_out();
    for _ in 0..2 {
        assert_eq!(call.wait(Duration::from_millis(9_999)), []);
        assert_eq!(call.wait(Duration::from_millis(1)), [Say(Prompt::EnterPin)]);
        // However long the question is: the time counts from its end.
        assert_eq!(call.wait(seconds(15)), []);
        call.hear_out();
    }
    assert_eq!(call.wait(seconds(10)), [Say(Prompt::Goodbye)]);
    assert_eq!(call.hear_out(), [End(MenuEnd::NoInput)]);
}

#[test]
fn keys_that_lead_nowhere_do_not_hold_the_line() {
    for keys in ["#", "*", "A", "1*", "12*3*"] {
        let mut call = Call::start(with_pins());
        let began = call.now;
        let mut ended = None;
        while ended.is_none() && call.now < began + seconds(300) {
            call.press(keys);
            ended = call
                .wait(seconds(4))
                .into_iter()
                .chain(call.hear_out())
                .find(|output| matches!(output, End(_)));
        }
        assert_eq!(ended, Some(End(MenuEnd::NoInput)), "{keys}");
        assert!(call.now <= began + seconds(130), "{keys}: {:?}", call.now - began);
    }
}

#[test]
fn the_waiting_room_has_music_until_a_moderator_comes() {
    let mut call = Call::start(MenuConfig { waits_for_moderator: true, ..MenuConfig::default() });
    call.hear_out();
    call.tell(Menu::joined);
    assert_eq!(call.hear_out(), [Music(true), Say(Prompt::WaitingForModerator)]);
    assert_eq!(call.wait(seconds(3_600)), []);
    call.tell(|menu, now| menu.moderator_present(now, true));
    assert_eq!(call.hear_out(), [TakePart, Music(false), Play(Tone::Join), Say(Prompt::ModeratorHere)]);
    for is_present in [false, true] {
        call.tell(|menu, now| menu.moderator_present(now, is_present));
        assert_eq!(call.drain(), [], "who takes part stays");
    }
}

#[test]
fn a_moderator_who_is_there_already_lets_nobody_wait() {
    let mut call = Call::start(MenuConfig { waits_for_moderator: true, ..MenuConfig::default() });
    call.tell(|menu, now| menu.moderator_present(now, true));
    call.hear_out();
    call.tell(Menu::joined);
    assert_eq!(call.hear_out(), [TakePart, Play(Tone::Join), Say(Prompt::Joined)]);
}

#[test]
fn the_music_ends_with_the_call() {
    let mut call = Call::start(MenuConfig { waits_for_moderator: true, ..MenuConfig::default() });
    call.hear_out();
    call.tell(Menu::joined);
    call.hear_out();
    call.tell(Menu::closing);
    assert_eq!(call.drain(), [Music(false), Say(Prompt::Closing)]);
    assert_eq!(call.hear_out(), [Say(Prompt::Goodbye), End(MenuEnd::Closed)]);
}

#[test]
fn star_six_mutes_and_unmutes_and_says_what_the_room_answers() {
    let mut call = Call::in_room();
    assert_eq!(call.press("*6"), [SetMuted(true)]);
    call.tell(|menu, now| menu.muted(now, true, false));
    assert_eq!(call.hear_out(), [Say(Prompt::Muted)]);
    assert_eq!(call.press("*6"), [SetMuted(false)]);
    call.tell(|menu, now| menu.muted(now, false, false));
    assert_eq!(call.hear_out(), [Say(Prompt::Unmuted)]);
}

#[test]
fn who_was_muted_by_a_moderator_is_told_and_may_ask_to_be_heard() {
    let mut call = Call::in_room();
    call.tell(|menu, now| menu.muted(now, true, true));
    assert_eq!(call.hear_out(), [Say(Prompt::MutedByModerator)]);
    call.tell(|menu, now| menu.muted(now, true, true));
    assert_eq!(call.hear_out(), [], "that is known");
    assert_eq!(call.press("*6"), [SetMuted(false)]);
    call.tell(|menu, now| menu.muted(now, true, true));
    assert_eq!(call.hear_out(), [Say(Prompt::MutedByModerator)], "the room has refused");
    assert_eq!(call.press("*6"), [SetMuted(false)], "and may be asked again");
}

#[test]
fn a_mute_that_was_over_before_it_was_said_is_not_said() {
    let mut call = Call::in_room();
    call.press("*0");
    call.tell(|menu, now| menu.muted(now, true, true));
    call.tell(|menu, now| menu.hand(now, true));
    call.tell(|menu, now| menu.muted(now, false, true));
    assert_eq!(call.hear_out(), [Say(Prompt::Unmuted), Say(Prompt::HandRaised)]);
}

#[test]
fn who_is_muted_from_the_beginning_hears_so_after_the_welcome() {
    let mut call = Call::start(MenuConfig { announces: false, ..MenuConfig::default() });
    call.tell(|menu, now| menu.muted(now, true, false));
    assert_eq!(call.hear_out(), [Enter { is_moderator: false }]);
    call.tell(Menu::joined);
    assert_eq!(call.hear_out(), [TakePart, Play(Tone::Join), Say(Prompt::Muted)]);
    assert_eq!(call.press("*6"), [SetMuted(false)]);
}

#[test]
fn who_only_listens_is_told_and_asks_to_speak_with_the_hand() {
    let mut call = Call::in_room();
    call.tell(|menu, now| menu.role(now, false));
    assert_eq!(call.hear_out(), [Say(Prompt::YouOnlyListen)]);
    assert_eq!(call.press("*6"), [Say(Prompt::YouOnlyListen)]);
    call.hear_out();
    assert_eq!(call.press("*9"), [RaiseHand(true)]);
    call.tell(|menu, now| menu.hand(now, true));
    assert_eq!(call.hear_out(), [Say(Prompt::HandRaised)]);
    call.tell(|menu, now| menu.role(now, true));
    call.tell(|menu, now| menu.hand(now, false));
    assert_eq!(call.hear_out(), [Say(Prompt::YouMaySpeak), Say(Prompt::HandLowered)]);
    assert_eq!(call.press("*9"), [RaiseHand(true)]);
}

#[test]
fn the_volume_has_steps_and_ends() {
    let mut call = Call::in_room();
    for gain_db in [3, 6, 9, 12] {
        assert_eq!(call.press("*8"), [Volume { gain_db }, Play(Tone::Volume)]);
        call.hear_out();
    }
    assert_eq!(call.press("*8"), [Play(Tone::Volume)]);
    call.hear_out();
    for gain_db in [9, 6, 3, 0, -3, -6, -9, -12] {
        assert_eq!(call.press("*7"), [Volume { gain_db }, Play(Tone::Volume)]);
        call.hear_out();
    }
    assert_eq!(call.press("*7"), [Play(Tone::Volume)]);
}

#[test]
fn star_zero_tells_the_keys_and_any_key_ends_that() {
    let mut call = Call::in_room();
    assert_eq!(call.press("*0"), [Say(Prompt::Keys)]);
    assert_eq!(call.press("5"), [Interrupt]);
    assert_eq!(call.press("*0"), [Say(Prompt::Keys)]);
    assert_eq!(call.press("*6"), [Interrupt, SetMuted(true)]);
}

#[test]
fn star_hash_leaves_at_once_and_says_goodbye() {
    let mut call = Call::in_room();
    call.press("*0");
    assert_eq!(call.press("*#"), [Interrupt, Leave, Play(Tone::Leave)]);
    assert_eq!(call.press("*6"), [], "it is over");
    assert_eq!(call.hear_out(), [Say(Prompt::Goodbye), End(MenuEnd::Left)]);
}

#[test]
fn only_the_codes_do_something() {
    let mut call = Call::in_room();
    for keys in ["6", "9", "#", "#*", "*1", "*2", "*3", "*4", "*5", "**", "*A", "66", "0"] {
        assert_eq!(call.press(keys), [], "{keys}");
        call.wait(seconds(3));
    }
    assert_eq!(call.press("**6"), [SetMuted(true)], "a second star begins again");
}

#[test]
fn a_code_has_three_seconds() {
    for (pause, comes) in [(Duration::from_millis(2_999), true), (seconds(3), false)] {
        let mut call = Call::in_room();
        call.press("*");
        call.wait(pause - Duration::from_millis(200));
        assert_eq!(call.press("9") == [RaiseHand(true)], comes, "{pause:?}");
    }
}

#[test]
fn a_late_key_is_late_even_if_the_timeout_was_not_handled() {
    let mut call = Call::in_room();
    call.press("*");
    call.now += seconds(4);
    assert_eq!(call.press("#"), []);
}

#[test]
fn a_room_that_cannot_be_joined_says_why() {
    for (why, prompt) in [
        (Refused::Full, Prompt::RoomFull),
        (Refused::NotFound, Prompt::NotFound),
        (Refused::Other, Prompt::CannotJoin),
    ] {
        let mut call = Call::start(MenuConfig::default());
        call.hear_out();
        call.tell(|menu, now| menu.refused(now, why));
        assert_eq!(call.hear_out(), [Say(prompt), Say(Prompt::Goodbye), End(MenuEnd::Refused(why))]);
    }
}

#[test]
fn a_room_that_does_not_answer_is_left() {
    let mut call = Call::start(MenuConfig::default());
    call.hear_out();
    assert_eq!(call.wait(seconds(15)), [Leave, Say(Prompt::CannotJoin)]);
    call.tell(Menu::joined);
    assert_eq!(call.hear_out(), [Say(Prompt::Goodbye), End(MenuEnd::Refused(Refused::Other))]);
}

#[test]
fn who_was_removed_hears_it_before_the_end() {
    let mut call = Call::in_room();
    call.press("*0");
    call.tell(Menu::removed);
    call.tell(Menu::closing);
    assert_eq!(call.drain(), [Interrupt, Play(Tone::Leave)]);
    assert_eq!(call.hear_out(), [Say(Prompt::Removed), Say(Prompt::Goodbye), End(MenuEnd::Removed)]);
}

#[test]
fn a_farewell_that_nobody_plays_ends_too() {
    let mut call = Call::in_room();
    call.tell(Menu::removed);
    call.drain();
    assert_eq!(call.wait(seconds(20)), [Interrupt, End(MenuEnd::Removed)]);
    assert_eq!(call.menu.poll_timeout(), None);
}
