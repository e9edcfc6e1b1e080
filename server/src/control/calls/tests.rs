//! Who may have somebody called, and who is told of calls.

use std::sync::Arc;

use tercet_protocol::{ClientMessage, Request, Welcome};
use tokio::sync::mpsc;

use super::*;
use crate::access::Claims;
use crate::config::Config;
use crate::control::tests::join;
use crate::control::{ControlInput, Outgoing};

const SIP: &str = "[[sip.user]]\nname = 'ada'\npassword = 'a-long-password'\n\
                   [[sip.trunk]]\nname = 'carrier'\nhost = 'carrier.example'\n";

/// A node that has phones, and clients in rooms of it.
struct Desk {
    control: Control,
    commands: mpsc::Receiver<PhoneCommand>,
    now: Instant,
}

struct Client {
    attached: Attached,
    outbox: mpsc::Receiver<Arc<Outgoing>>,
}

impl Client {
    fn told(&mut self) -> Vec<ServerMessage> {
        let mut told = Vec::new();
        while let Ok(outgoing) = self.outbox.try_recv() {
            if let Outgoing::Text(text) = &*outgoing {
                told.push(serde_json::from_str(text.as_str()).expect("a message of the protocol"));
            }
        }
        told
    }

    fn welcome(&mut self) -> Welcome {
        match self.told().remove(0) {
            ServerMessage::Joined(welcome) => welcome,
            other => panic!("{other:?} instead of a welcome"),
        }
    }

    /// The code of the only message that it was told.
    fn refused(&mut self) -> ErrorCode {
        match &self.told()[..] {
            [ServerMessage::Error(error)] => error.code,
            other => panic!("{other:?} instead of a refusal"),
        }
    }
}

impl Desk {
    fn new(config: &str) -> Desk {
        let config: Config = toml::from_str(config).expect("a configuration");
        let mut control = Control::new(Arc::new(config), 1);
        let (sender, commands) = mpsc::channel(2);
        control.input(Instant::now(), ControlInput::ServeCalls { commands: sender });
        Desk { control, commands, now: Instant::now() }
    }

    /// One who comes with a token of this role, and moderates if nobody is there.
    fn join(&mut self, room: &str, identity: &str, role: Role) -> Client {
        let claims = Claims {
            room: room.to_owned(),
            identity: identity.to_owned(),
            name: None,
            role,
            may_send_data: true,
            first_moderates: true,
            expires: 0,
        };
        let (attached, outbox) = join(&mut self.control, self.now, claims, 64).expect("there is place");
        Client { attached, outbox }
    }

    fn request(&mut self, client: &Client, request: Request) {
        let message = ClientMessage { id: Some(7), request };
        self.control.input(self.now, ControlInput::Request { from: client.attached, message });
    }

    fn dial(&mut self, client: &Client) {
        let order = DialOrder { to: "ada".to_owned(), trunk: None, name: None, role: None, language: None };
        self.request(client, Request::Dial(order));
    }

    /// What a call's task says.
    fn stands(&mut self, room: &str, call: u64, state: CallState, asker: Option<Asker>) -> WireCall {
        let call = WireCall {
            call,
            name: "•••456".to_owned(),
            state,
            participant: None,
            reason: (state == CallState::Ended).then(|| "rejected".to_owned()),
            status: (state == CallState::Ended).then_some(486),
        };
        let changed = ControlInput::CallChanged { room: RoomId::from(room), call: call.clone(), asker };
        self.control.input(self.now, changed);
        call
    }

    fn set_role(&mut self, by: &Client, whom: &str, role: Role) {
        self.request(by, Request::SetRole { participant: whom.to_owned(), role });
    }
}

fn rights(users: bool, trunks: &[&str]) -> Option<DialRights> {
    Some(DialRights { users, trunks: trunks.iter().map(|&name| name.to_owned()).collect() })
}

fn of_calls(told: &[ServerMessage]) -> Vec<&ServerMessage> {
    let is_of_calls = |message: &&ServerMessage| {
        matches!(
            message,
            ServerMessage::CallUpdated { .. }
                | ServerMessage::Dialled { .. }
                | ServerMessage::DialRights { .. }
                | ServerMessage::Error(_)
        )
    };
    told.iter().filter(is_of_calls).collect()
}

#[test]
fn who_moderates_by_the_token_may_call_anybody_and_who_came_first_users_where_it_is_loopback() {
    let mut desk = Desk::new(SIP);
    assert_eq!(desk.join("a", "mod", Role::Moderator).welcome().dial, rights(true, &["carrier"]));
    assert_eq!(desk.join("b", "first", Role::Speaker).welcome().dial, rights(true, &[]));
    assert_eq!(desk.join("b", "second", Role::Speaker).welcome().dial, None);

    let mut public = Desk::new(&format!("{SIP}[access]\nsecret = '{}'\n", "s".repeat(32)));
    assert_eq!(public.join("a", "mod", Role::Moderator).welcome().dial, rights(true, &["carrier"]));
    let mut first = public.join("b", "first", Role::Speaker);
    assert_eq!(first.welcome().dial, None);
    public.dial(&first);
    assert_eq!(first.refused(), ErrorCode::Forbidden);

    let mut open = Desk::new(&format!("[sip]\npromoted_dials = 'anybody'\n{SIP}"));
    assert_eq!(open.join("b", "first", Role::Speaker).welcome().dial, rights(true, &["carrier"]));
    let mut closed = Desk::new(&format!("[sip]\npromoted_dials = 'nobody'\n{SIP}"));
    assert_eq!(closed.join("b", "first", Role::Speaker).welcome().dial, None);
}

#[test]
fn where_nobody_can_be_called_nobody_is_told_that_they_may() {
    assert_eq!(Desk::new("").join("a", "mod", Role::Moderator).welcome().dial, None);
    let control = Control::new(Arc::new(toml::from_str(SIP).expect("a configuration")), 1);
    let (_, commands) = mpsc::channel(1);
    let mut without = Desk { control, commands, now: Instant::now() };
    let mut moderator = without.join("a", "mod", Role::Moderator);
    assert_eq!(moderator.welcome().dial, None);
    without.dial(&moderator);
    assert_eq!(moderator.refused(), ErrorCode::NoPhones);
}

#[test]
fn an_order_goes_to_phones_and_what_becomes_of_it_to_those_who_may_dial_and_nobody_else() {
    let mut desk = Desk::new(SIP);
    let mut moderator = desk.join("hall", "mod", Role::Moderator);
    let mut second = desk.join("hall", "second", Role::Moderator);
    let mut speaker = desk.join("hall", "speaker", Role::Speaker);
    let mut elsewhere = desk.join("other", "mod", Role::Moderator);
    for client in [&mut moderator, &mut second, &mut speaker, &mut elsewhere] {
        client.told();
    }
    desk.dial(&moderator);
    let Ok(PhoneCommand::Dial { order, asker }) = desk.commands.try_recv() else {
        panic!("phones are told");
    };
    assert_eq!((order.room.as_str(), order.scope), ("hall", SipDials::Anybody));
    assert_eq!(moderator.told(), [], "until phones have it");
    let call = desk.stands("hall", 3, CallState::Dialling, Some(asker));
    let updated = ServerMessage::CallUpdated { call };
    assert_eq!(moderator.told(), [updated.clone(), ServerMessage::Dialled { re: Some(7), call: 3 }]);
    assert_eq!(second.told(), [updated]);

    let call = desk.stands("hall", 3, CallState::Ringing, None);
    desk.stands("hall", 3, CallState::Ringing, None);
    assert_eq!(moderator.told(), [ServerMessage::CallUpdated { call }], "what is as it was is no news");
    let call = desk.stands("hall", 3, CallState::Ended, None);
    assert_eq!(moderator.told(), [ServerMessage::CallUpdated { call }]);
    assert_eq!((speaker.told(), elsewhere.told()), (vec![], vec![]));
}

#[test]
fn who_moderates_no_more_may_not_dial_and_learns_nothing_more() {
    let mut desk = Desk::new(SIP);
    let mut moderator = desk.join("hall", "mod", Role::Moderator);
    let mut second = desk.join("hall", "second", Role::Moderator);
    desk.stands("hall", 1, CallState::Ringing, None);
    moderator.told();
    second.told();
    desk.set_role(&moderator, "second", Role::Speaker);
    let told = second.told();
    assert_eq!(of_calls(&told), [&ServerMessage::DialRights { dial: None, calls: vec![] }]);
    desk.stands("hall", 1, CallState::Talking, None);
    assert_eq!(second.told(), []);
    desk.dial(&second);
    assert_eq!(second.refused(), ErrorCode::Forbidden);
    desk.request(&second, Request::HangUp { call: 1 });
    assert_eq!(second.refused(), ErrorCode::Forbidden);
    assert!(desk.commands.try_recv().is_err());

    let call = desk.stands("hall", 2, CallState::Ringing, None);
    desk.set_role(&moderator, "second", Role::Moderator);
    let told = second.told();
    let [ServerMessage::DialRights { dial, calls }] = of_calls(&told)[..] else {
        panic!("{told:?}");
    };
    assert_eq!((dial, calls.last()), (&rights(true, &["carrier"]), Some(&call)));
}

#[test]
fn who_is_promoted_may_call_no_trunk_and_where_nobody_may_is_told_nothing() {
    let mut desk = Desk::new(SIP);
    let moderator = desk.join("hall", "mod", Role::Moderator);
    let mut speaker = desk.join("hall", "speaker", Role::Speaker);
    speaker.told();
    desk.set_role(&moderator, "speaker", Role::Moderator);
    let told = speaker.told();
    assert_eq!(of_calls(&told), [&ServerMessage::DialRights { dial: rights(true, &[]), calls: vec![] }]);

    let mut closed = Desk::new(&format!("[sip]\npromoted_dials = 'nobody'\n{SIP}"));
    let moderator = closed.join("hall", "mod", Role::Moderator);
    let mut speaker = closed.join("hall", "speaker", Role::Speaker);
    speaker.told();
    closed.set_role(&moderator, "speaker", Role::Moderator);
    let told = speaker.told();
    assert!(of_calls(&told).is_empty(), "{told:?}");
}

#[test]
fn who_comes_later_finds_the_calls_of_the_room_and_for_a_minute_those_that_ended() {
    let mut desk = Desk::new(SIP);
    let ended = desk.stands("hall", 1, CallState::Ended, None);
    let ringing = desk.stands("hall", 2, CallState::Ringing, None);
    desk.stands("other", 3, CallState::Ringing, None);
    assert_eq!(desk.join("hall", "mod", Role::Moderator).welcome().calls, [ended, ringing.clone()]);
    assert_eq!(desk.join("hall", "speaker", Role::Speaker).welcome().calls, []);
    desk.now += ENDED_SHOWN_FOR + Duration::from_secs(1);
    desk.control.expire(desk.now);
    assert_eq!(desk.join("hall", "second", Role::Moderator).welcome().calls, [ringing]);
}

#[test]
fn a_room_hangs_up_its_own_calls_only() {
    let mut desk = Desk::new(SIP);
    let mut moderator = desk.join("hall", "mod", Role::Moderator);
    desk.stands("hall", 1, CallState::Ringing, None);
    desk.stands("other", 2, CallState::Ringing, None);
    moderator.told();
    desk.request(&moderator, Request::HangUp { call: 2 });
    assert_eq!(moderator.refused(), ErrorCode::NoSuchCall);
    desk.request(&moderator, Request::HangUp { call: 1 });
    assert_eq!(moderator.told(), [ServerMessage::Ok { re: 7 }]);
    assert!(matches!(desk.commands.try_recv(), Ok(PhoneCommand::HangUp { call: 1 })));
    assert!(desk.commands.try_recv().is_err());
}

#[test]
fn phones_that_are_busy_refuse_and_nobody_waits() {
    let mut desk = Desk::new(SIP);
    let mut moderator = desk.join("hall", "mod", Role::Moderator);
    moderator.told();
    for _ in 0..2 {
        desk.dial(&moderator);
    }
    assert_eq!(moderator.told(), []);
    desk.dial(&moderator);
    assert_eq!(moderator.refused(), ErrorCode::Overloaded);
    let Ok(PhoneCommand::Dial { asker, .. }) = desk.commands.try_recv() else {
        panic!("phones are told");
    };
    let error = (ErrorCode::RateLimited, "too many".to_owned());
    desk.control.input(desk.now, ControlInput::NotDialled { asker, error });
    assert_eq!(moderator.refused(), ErrorCode::RateLimited);
}

#[test]
fn no_list_of_calls_grows_without_end() {
    let mut desk = Desk::new(SIP);
    let state = |call| if call == 5 { CallState::Ended } else { CallState::Talking };
    for call in 1..=CALLS_MAX as u64 + 1 {
        desk.stands("hall", call, state(call), None);
    }
    let numbers: Vec<u64> =
        desk.control.calls.of_room(&RoomId::from("hall")).iter().map(|call| call.call).collect();
    assert_eq!(numbers.len(), CALLS_MAX);
    assert!(numbers.contains(&1) && !numbers.contains(&5), "the one that has ended goes first");
    let told = desk.join("hall", "mod", Role::Moderator).welcome().calls;
    assert_eq!((told.len(), told.last().map(|call| call.call)), (CALLS_TOLD_MAX, Some(CALLS_MAX as u64 + 1)));
}
