//! Calls in virtual time: what takes hours, and what must come in another order than it likes.

use super::super::message::{Headers, Message};
use super::super::{Dial, HangUp, Inbound, Rejection, Trunk};
use super::*;

/// A core, the time, and what came out of it.
struct World {
    core: Core,
    now: Instant,
    events: Vec<Event>,
    responses: Vec<(ServerTx, Response)>,
    /// What was answered once, and is kept by nobody.
    replied: Vec<ServerTx>,
    requests: Vec<(ClientTx, Request)>,
    /// Where those were sent.
    targets: Vec<Target>,
    acks: Vec<Request>,
    cancels: Vec<ClientTx>,
    requests_made: u64,
}

const PEER: &str = "192.0.2.2:5060";

fn open() -> Config {
    Config { inbound: Inbound::Anybody, ..Config::default() }
}

impl World {
    fn with(config: Config) -> World {
        let now = Instant::now();
        let local = Local::new(vec![(Transport::Udp, "192.0.2.1:5060".parse().unwrap())]);
        let core = Core::new(config, local, [9; 32], now, Arc::default(), Arc::default());
        World {
            core,
            now,
            events: Vec::new(),
            responses: Vec::new(),
            replied: Vec::new(),
            requests: Vec::new(),
            targets: Vec::new(),
            acks: Vec::new(),
            cancels: Vec::new(),
            requests_made: 0,
        }
    }

    fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll() {
            match output {
                Output::Respond { tx, response } => self.responses.push((tx, response)),
                Output::Reply { tx, response } => {
                    self.replied.push(tx);
                    self.responses.push((tx, response));
                }
                Output::Ignore(_) | Output::Opened(_) | Output::Closed(_) => {}
                Output::Send { tx, request, target } => {
                    self.requests.push((tx, request));
                    self.targets.push(target);
                }
                Output::Cancel(tx) => self.cancels.push(tx),
                Output::Acknowledge { ack, .. } => self.acks.push(ack),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    /// Lets time pass, and every timer fire when it is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.core.deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    /// A request of the peer; `change` has the last word.
    fn ask(&mut self, method: &str, to_tag: &str, more: &[(&str, &str)], body: &str) -> ServerTx {
        self.requests_made += 1;
        let tx = ServerTx(self.requests_made);
        let mut request = Request::new(Method::named(method), "sip:room@192.0.2.1");
        let headers: &mut Headers = &mut request.headers;
        headers.push("Via", format!("SIP/2.0/UDP {PEER};branch=z9hG4bK{}", tx.0));
        headers.push("From", "<sip:ada@192.0.2.2>;tag=ada");
        let to = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        headers.push("To", format!("<sip:room@192.0.2.1>{to}"));
        headers.push("Call-ID", "one");
        headers.push("CSeq", format!("{} {method}", tx.0));
        headers.push("Contact", format!("<sip:ada@{PEER}>"));
        for (name, value) in more {
            headers.set(name, *value);
        }
        if !body.is_empty() {
            request.set_body("application/sdp", body);
        }
        let source = PEER.parse().unwrap();
        self.handle(Input::Request { tx, request, source, transport: Transport::Udp });
        tx
    }

    /// A call in that stands, and our tag in it.
    fn standing_call(&mut self, more: &[(&str, &str)]) -> (CallId, String) {
        let tx = self.ask("INVITE", "", more, "offer");
        let call = CallId(1);
        self.command(Command::Answer(call, "answer".to_owned()));
        let tag = self.last_response(tx).headers.tag_of("To").unwrap();
        self.acknowledge(tx, "");
        (call, tag)
    }

    fn acknowledge(&mut self, tx: ServerTx, body: &str) {
        let mut ack = Request::new(Method::Ack, "sip:room@192.0.2.1");
        if !body.is_empty() {
            ack.set_body("application/sdp", body);
        }
        self.handle(Input::Acknowledged { tx, ack });
        self.handle(Input::ServerOver(tx));
    }

    /// The peer's response to our last request.
    fn reply(&mut self, status: u16, more: &[(&str, &str)], body: &str) {
        let (tx, request) = self.requests.last().unwrap().clone();
        let mut response =
            Response::to(&request, status, "peer").with("Contact", format!("<sip:bob@{PEER}>"));
        for (name, value) in more {
            response.headers.push(name, *value);
        }
        if !body.is_empty() {
            response.set_body("application/sdp", body);
        }
        self.handle(Input::Response { tx, response, sent_to: Some(PEER.parse().unwrap()) });
    }

    fn last_response(&self, tx: ServerTx) -> &Response {
        &self.responses.iter().rev().find(|(of, _)| *of == tx).unwrap().1
    }

    fn statuses(&self, tx: ServerTx) -> Vec<u16> {
        self.responses.iter().filter(|(of, _)| *of == tx).map(|(_, response)| response.status).collect()
    }

    fn methods(&self) -> Vec<&str> {
        self.requests.iter().map(|(_, request)| request.method.name()).collect()
    }

    fn ended(&self) -> Vec<(EndReason, Option<u16>)> {
        let ended = |event: &Event| match event {
            Event::Ended { reason, status, .. } => Some((*reason, *status)),
            _ => None,
        };
        self.events.iter().filter_map(ended).collect()
    }
}

#[test]
fn call_that_the_peer_does_not_refresh_ends_before_its_interval() {
    let mut world = World::with(open());
    world.standing_call(&[("Supported", "timer"), ("Session-Expires", "90;refresher=uac")]);
    // A third of 90 s before its end.
    world.pass(Duration::from_secs(59));
    assert_eq!(world.ended(), []);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.ended(), [(EndReason::PeerGone, None)]);
    assert_eq!(world.methods(), ["BYE"]);
}

#[test]
fn call_that_the_peer_refreshes_goes_on() {
    let mut world = World::with(open());
    let timer = [("Supported", "timer"), ("Session-Expires", "90;refresher=uac")];
    let (_, tag) = world.standing_call(&timer);
    for _ in 0..100 {
        world.pass(Duration::from_secs(45));
        let tx = world.ask("UPDATE", &tag, &timer, "");
        assert_eq!(world.statuses(tx), [200]);
        world.handle(Input::ServerOver(tx));
    }
    assert_eq!(world.ended(), []);
}

#[test]
fn we_refresh_by_update_where_that_is_known_and_by_invite_where_not() {
    for (allow, method) in [("INVITE, UPDATE", "UPDATE"), ("INVITE", "INVITE")] {
        let mut world = World::with(open());
        let more = [("Supported", "timer"), ("Session-Expires", "100;refresher=uas"), ("Allow", allow)];
        world.standing_call(&more);
        for round in 1..=5 {
            world.pass(Duration::from_secs(50));
            assert_eq!(world.requests.len(), round);
            let (_, refresh) = world.requests.last().unwrap();
            assert_eq!(refresh.method.name(), method);
            assert_eq!(refresh.headers.get("Session-Expires"), Some("100;refresher=uac"));
            let sdp = if method == "INVITE" { "answer" } else { "" };
            assert_eq!(refresh.body, sdp.as_bytes(), "the offer that holds");
            world.reply(200, &[("Session-Expires", "100;refresher=uac")], sdp);
        }
        assert_eq!(world.acks.len(), if method == "INVITE" { 5 } else { 0 });
        assert_eq!(world.ended(), []);
    }
}

#[test]
fn peer_gets_no_longer_interval_than_two_hours_and_no_more_timers_than_two() {
    let mut world = World::with(open());
    let timer =
        [("Supported", "timer"), ("Session-Expires", "4294967295;refresher=uac"), ("Min-SE", "4294967295")];
    let (_, tag) = world.standing_call(&timer);
    for _ in 0..100 {
        let tx = world.ask("UPDATE", &tag, &timer, "");
        let granted = world.last_response(tx).headers.get("Session-Expires");
        assert_eq!(granted, Some("7200;refresher=uac"));
        world.handle(Input::ServerOver(tx));
        world.pass(Duration::from_millis(100));
    }
    assert!(world.core.timers.count() <= 2, "{}", world.core.timers.count());
    world.pass(Duration::from_secs(7200));
    assert_eq!(world.ended(), [(EndReason::PeerGone, None)]);
}

#[test]
fn call_that_floods_is_refused_and_can_still_be_ended() {
    let mut world = World::with(open());
    let (_, tag) = world.standing_call(&[]);
    let asked: Vec<_> = (0..25).map(|_| world.ask("OPTIONS", &tag, &[], "")).collect();
    let refused = asked.iter().filter(|tx| world.statuses(**tx) == [503]).count();
    assert_eq!(refused, 5, "20 a second");
    let bye = world.ask("BYE", &tag, &[], "");
    assert_eq!(world.statuses(bye), [200]);
    assert_eq!(world.ended(), [(EndReason::PeerHungUp, None)]);
}

#[test]
fn refresh_that_nobody_answers_ends_the_call() {
    for status in [408, 481] {
        let mut world = World::with(open());
        world.standing_call(&[("Supported", "timer"), ("Session-Expires", "100;refresher=uas")]);
        world.pass(Duration::from_secs(50));
        world.reply(status, &[], "");
        assert_eq!(world.ended(), [(EndReason::PeerGone, Some(status))]);
    }
    // One that is refused again and again doesn't refresh: the session runs out.
    let mut world = World::with(open());
    world.standing_call(&[("Supported", "timer"), ("Session-Expires", "100;refresher=uas")]);
    world.pass(Duration::from_secs(50));
    while world.ended().is_empty() && world.requests.len() < 50 {
        world.reply(500, &[], "");
        world.pass(Duration::from_secs(5));
    }
    assert_eq!(world.ended(), [(EndReason::PeerGone, None)]);
    assert!(world.requests.len() < 15);
}

#[test]
fn answer_that_is_never_confirmed_ends_the_call() {
    let mut world = World::with(open());
    let tx = world.ask("INVITE", "", &[], "offer");
    world.command(Command::Answer(CallId(1), "answer".to_owned()));
    world.handle(Input::ServerOver(tx));
    assert_eq!(world.ended(), [(EndReason::NotConfirmed, None)]);
    assert_eq!(world.methods(), ["BYE"]);
}

#[test]
fn call_that_is_hung_up_before_its_ack_is_hung_up_after_it() {
    let mut world = World::with(open());
    let tx = world.ask("INVITE", "", &[], "offer");
    world.command(Command::Answer(CallId(1), "answer".to_owned()));
    world.command(Command::HangUp(CallId(1), HangUp::Normal));
    assert_eq!(world.ended(), [(EndReason::HungUp, None)]);
    assert_eq!(world.methods(), [""; 0], "no BYE before the ACK");
    world.acknowledge(tx, "");
    assert_eq!(world.methods(), ["BYE"]);
    world.reply(200, &[], "");
    assert!(world.core.calls.is_empty() && world.core.dialogs.is_empty());
}

#[test]
fn offer_that_overtakes_the_ack_waits_for_it() {
    let mut world = World::with(open());
    let tx = world.ask("INVITE", "", &[], "offer");
    world.command(Command::Answer(CallId(1), "answer".to_owned()));
    let tag = world.last_response(tx).headers.tag_of("To").unwrap();
    let reinvite = world.ask("INVITE", &tag, &[], "hold");
    assert!(!world.events.iter().any(|event| matches!(event, Event::Offered { .. })));
    world.acknowledge(tx, "");
    assert_eq!(world.events.last(), Some(&Event::Offered { call: CallId(1), sdp: Some("hold".to_owned()) }));
    world.command(Command::AnswerOffer(CallId(1), Ok("held".to_owned())));
    assert_eq!(world.statuses(reinvite), [100, 200]);
}

#[test]
fn transfer_that_overtakes_the_ack_waits_for_it() {
    let mut world = World::with(open());
    let tx = world.ask("INVITE", "", &[], "offer");
    world.command(Command::Answer(CallId(1), "answer".to_owned()));
    let tag = world.last_response(tx).headers.tag_of("To").unwrap();
    let refer = world.ask("REFER", &tag, &[("Refer-To", "<sip:bob@192.0.2.3>")], "");
    assert_eq!(world.statuses(refer), [0; 0]);
    world.acknowledge(tx, "");
    assert!(matches!(world.events.last(), Some(Event::TransferAsked { .. })));
    world.command(Command::AnswerTransfer(CallId(1), false));
    assert_eq!(world.statuses(refer), [603]);
}

#[test]
fn offers_that_meet_are_told_apart() {
    let mut world = World::with(open());
    let (call, tag) = world.standing_call(&[]);
    world.command(Command::Reoffer(call, "ours".to_owned()));
    let theirs = world.ask("INVITE", &tag, &[], "theirs");
    assert_eq!(world.statuses(theirs), [491]);
    world.reply(491, &[], "");
    assert_eq!(world.requests.len(), 1);
    // The Call-ID is theirs: we wait for less than two seconds.
    world.pass(Duration::from_secs(2));
    assert_eq!(world.methods(), ["INVITE", "INVITE"]);
    world.reply(200, &[], "agreed");
    let answer = Ok("agreed".to_owned());
    assert_eq!(world.events.last(), Some(&Event::Reoffered { call, answer }));
    let second = world.ask("UPDATE", &tag, &[], "theirs");
    let third = world.ask("UPDATE", &tag, &[], "theirs");
    assert_eq!(world.statuses(third), [500], "one is still to be answered");
    assert!(world.last_response(third).headers.get("Retry-After").is_some());
    world.command(Command::AnswerOffer(call, Err(488)));
    assert_eq!(world.statuses(second), [488]);
}

#[test]
fn reinvite_that_is_taken_back_gets_487_and_the_call_goes_on() {
    let mut world = World::with(open());
    let (call, tag) = world.standing_call(&[]);
    let reinvite = world.ask("INVITE", &tag, &[], "hold");
    world.handle(Input::Cancelled(reinvite));
    assert_eq!(world.statuses(reinvite), [100, 487]);
    world.command(Command::AnswerOffer(call, Ok("held".to_owned())));
    assert_eq!(world.statuses(reinvite), [100, 487], "too late");
    assert_eq!(world.ended(), []);
}

#[test]
fn reliable_response_is_repeated_and_given_up() {
    let mut world = World::with(open());
    let tx = world.ask("INVITE", "", &[("Supported", "100rel")], "offer");
    world.command(Command::EarlyMedia(CallId(1), "answer".to_owned()));
    world.command(Command::Answer(CallId(1), "answer".to_owned()));
    world.pass(Duration::from_secs(31));
    assert_eq!(world.statuses(tx), [100, 183, 183, 183, 183, 183, 183], "at 0.5, 1.5, 3.5, 7.5 and 15.5 s");
    world.pass(Duration::from_secs(33));
    assert_eq!(world.statuses(tx).last(), Some(&504));
    assert_eq!(world.ended(), [(EndReason::NotConfirmed, Some(504))]);
}

#[test]
fn offer_in_a_reliable_response_is_answered_by_its_prack() {
    let mut world = World::with(open());
    let tx = world.ask("INVITE", "", &[("Supported", "100rel")], "");
    world.command(Command::EarlyMedia(CallId(1), "our offer".to_owned()));
    let tag = world.last_response(tx).headers.tag_of("To").unwrap();
    world.command(Command::Answer(CallId(1), "our offer".to_owned()));
    assert_eq!(world.statuses(tx), [100, 183], "not before it is confirmed");
    let prack = world.ask("PRACK", &tag, &[("RAck", "1 1 INVITE")], "their answer");
    assert_eq!(world.statuses(prack), [200]);
    assert_eq!(
        world.events.last(),
        Some(&Event::Confirmed { call: CallId(1), sdp: Some("their answer".to_owned()) })
    );
    assert_eq!(world.statuses(tx), [100, 183, 200]);
    assert!(world.last_response(tx).body.is_empty(), "it was described before");
    world.acknowledge(tx, "");
    assert_eq!(world.ended(), []);
}

#[test]
fn ack_without_the_answer_that_is_due_ends_the_call() {
    let mut world = World::with(open());
    let tx = world.ask("INVITE", "", &[], "");
    world.command(Command::Answer(CallId(1), "our offer".to_owned()));
    world.acknowledge(tx, "");
    assert_eq!(world.ended(), [(EndReason::Protocol, None)]);
}

#[test]
fn invite_that_comes_by_two_ways_is_a_loop() {
    let mut world = World::with(open());
    world.ask("INVITE", "", &[("CSeq", "7 INVITE")], "offer");
    let twin = world.ask("INVITE", "", &[("CSeq", "7 INVITE")], "offer");
    assert_eq!(world.statuses(twin), [482]);
}

#[test]
fn dialogs_are_told_by_both_tags() {
    let mut world = World::with(open());
    let (_, tag) = world.standing_call(&[]);
    let stranger = world.ask("BYE", &tag, &[("From", "<sip:eve@192.0.2.3>;tag=eve")], "");
    assert_eq!(world.statuses(stranger), [481]);
    let guess = world.ask("BYE", "guess", &[], "");
    assert_eq!(world.statuses(guess), [481]);
    assert_eq!(world.ended(), []);
}

#[test]
fn wrong_passwords_to_challenges_that_nobody_heard_shut_nobody_out() {
    let limits = super::super::Limits { failures_per_source_per_minute: 3, ..open().limits };
    let ada = super::super::Credentials { username: "ada".to_owned(), password: "lovelace".to_owned() };
    let config = Config { inbound: Inbound::Authenticated, users: vec![ada], limits, ..open() };
    let mut world = World::with(config);
    let claim = |nonce: &str| {
        format!(
            "Digest username=\"ada\", realm=\"tercet\", nonce=\"{nonce}\", uri=\"sip:a\", response=\"00\""
        )
    };
    for _ in 0..10 {
        let blind = world.ask("INVITE", "", &[("Authorization", &claim("00"))], "offer");
        assert_eq!(world.statuses(blind), [401]);
        let challenge = world.last_response(blind).headers.get("WWW-Authenticate").unwrap();
        assert!(challenge.contains("stale=true"), "{challenge}");
    }
    for expected in [Some(401), Some(401), Some(401), None] {
        let asked = world.ask("INVITE", "", &[], "offer");
        let Some(status) = expected else {
            assert_eq!(world.statuses(asked), [0; 0], "three are enough of those");
            continue;
        };
        let challenge = world.last_response(asked).headers.get("WWW-Authenticate").unwrap().to_owned();
        let nonce = challenge.split('"').nth(3).unwrap();
        let wrong = world.ask("INVITE", "", &[("Authorization", &claim(nonce))], "offer");
        assert_eq!(world.statuses(wrong), [status]);
    }
}

#[test]
fn contact_of_a_stranger_opens_no_stream_and_that_of_a_trunk_is_followed() {
    let elsewhere = ("Contact", "<sip:x@198.51.100.9:25;transport=tcp>");
    let mut world = World::with(open());
    let (call, _) = world.standing_call(&[elsewhere]);
    world.command(Command::HangUp(call, HangUp::Normal));
    let address = PEER.parse().unwrap();
    assert_eq!(world.targets, [Target::Flow { transport: Transport::Udp, address, spare: None }]);

    let trunk = Trunk { sources: vec!["192.0.2.2/32".parse().unwrap()], ..Trunk::new("t", "192.0.2.2") };
    let mut world = World::with(Config { trunks: vec![trunk], ..open() });
    let (call, _) = world.standing_call(&[elsewhere]);
    world.command(Command::HangUp(call, HangUp::Normal));
    let host = "198.51.100.9".to_owned();
    assert_eq!(world.targets, [Target::Host { transport: Transport::Tcp, host, port: Some(25) }]);
}

/// An INVITE that leads nowhere holds nothing until its ACK, and passes the limits of its source.
#[test]
fn requests_of_calls_that_nobody_knows_are_limited_and_leave_nothing() {
    let limits = super::super::Limits { requests_per_source_per_minute: 4, ..open().limits };
    let mut world = World::with(Config { limits, ..open() });
    let (_, tag) = world.standing_call(&[]);
    let lost = world.ask("INVITE", "guess", &[], "offer");
    let hopless = world.ask("INVITE", "", &[("Max-Forwards", "0")], "offer");
    let bye = world.ask("BYE", "guess", &[], "");
    let refused = [(lost, 481), (hopless, 483), (bye, 481)];
    for (tx, status) in refused {
        assert_eq!(world.statuses(tx), [status]);
    }
    assert_eq!(world.replied, refused.map(|(tx, _)| tx));
    for (to, hops) in [("guess", "70"), ("", "0")] {
        let more = world.ask("INVITE", to, &[("Max-Forwards", hops)], "offer");
        assert_eq!(world.statuses(more), [0; 0], "no more than four a minute");
    }
    let within = world.ask("BYE", &tag, &[], "");
    assert_eq!(world.statuses(within), [200], "a call goes on");
}

#[test]
fn invite_that_is_refused_within_a_call_waits_for_no_ack() {
    let mut world = World::with(open());
    let (_, tag) = world.standing_call(&[]);
    let first = world.ask("INVITE", &tag, &[], "hold");
    let second = world.ask("INVITE", &tag, &[], "hold");
    let update = world.ask("UPDATE", &tag, &[], "hold");
    assert_eq!(
        (world.statuses(first), world.statuses(second), world.statuses(update)),
        (vec![100], vec![500], vec![500])
    );
    assert_eq!(world.replied, [second]);
}

fn dialled(world: &mut World) -> CallId {
    let call = CallId(7);
    let dial = Dial { to: format!("sip:bob@{PEER}"), offer: "offer".to_owned(), ..Dial::default() };
    world.command(Command::Dial(call, dial));
    call
}

#[test]
fn call_given_up_before_anything_is_heard_is_cancelled_when_something_is() {
    let mut world = World::with(open());
    let call = dialled(&mut world);
    world.command(Command::HangUp(call, HangUp::Normal));
    assert!(world.cancels.is_empty(), "RFC 3261, section 9.1");
    world.reply(180, &[], "");
    assert_eq!(world.cancels.len(), 1);
    world.reply(180, &[], "");
    assert_eq!(world.cancels.len(), 1);
    world.reply(487, &[], "");
    assert_eq!(world.ended(), [(EndReason::HungUp, None)]);
    assert!(world.core.calls.is_empty());
}

#[test]
fn cancel_that_nobody_answers_is_forgotten() {
    let mut world = World::with(open());
    let call = dialled(&mut world);
    world.reply(180, &[], "");
    world.command(Command::HangUp(call, HangUp::Normal));
    world.pass(Duration::from_secs(40));
    assert!(world.core.calls.is_empty() && world.core.sent.is_empty() && world.core.dialogs.is_empty());
}

#[test]
fn second_phone_that_answers_is_hung_up() {
    let mut world = World::with(open());
    let call = dialled(&mut world);
    let (_, invite) = world.requests[0].clone();
    world.reply(200, &[], "answer");
    assert_eq!(world.events.last(), Some(&Event::Answered { call, sdp: Some("answer".to_owned()) }));
    let other = Response::to(&invite, 200, "other").with("Contact", "<sip:carol@192.0.2.3>");
    world.handle(Input::StrayAnswer { response: other });
    assert_eq!(world.acks.len(), 2);
    let (_, bye) = world.requests.last().unwrap();
    assert_eq!((bye.method.name(), bye.uri.as_str()), ("BYE", "sip:carol@192.0.2.3"));
    assert_eq!(bye.headers.tag_of("To").as_deref(), Some("other"));
    assert_eq!(world.ended(), []);
}

#[test]
fn reliable_response_is_confirmed_once_and_in_order() {
    let mut world = World::with(open());
    dialled(&mut world);
    let (tx, invite) = world.requests[0].clone();
    let early = |sequence: &str| {
        Response::to(&invite, 183, "peer")
            .with("Contact", format!("<sip:bob@{PEER}>"))
            .with("Require", "100rel")
            .with("RSeq", sequence)
    };
    for sequence in ["10", "10", "12", "11"] {
        world.handle(Input::Response { tx, response: early(sequence), sent_to: None });
    }
    let racks: Vec<_> =
        world.requests[1..].iter().map(|(_, prack)| prack.headers.get("RAck").unwrap()).collect();
    assert_eq!(racks, ["10 1 INVITE", "11 1 INVITE"]);
    assert_eq!(world.events.len(), 2, "what comes again is no news");
}

#[test]
fn wrong_credentials_are_given_once() {
    let credentials = super::super::Credentials { username: "a".to_owned(), password: "b".to_owned() };
    let trunk = Trunk { credentials: Some(credentials), ..Trunk::new("t", "192.0.2.2") };
    let mut world = World::with(Config { trunks: vec![trunk], ..open() });
    let dial = Dial { to: "1".to_owned(), trunk: Some("t".to_owned()), ..Dial::default() };
    world.command(Command::Dial(CallId(1), dial));
    let challenge = ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
    world.reply(401, &[challenge], "");
    assert_eq!(world.requests.len(), 2);
    let (_, again) = &world.requests[1];
    assert_eq!(again.headers.get("CSeq"), Some("2 INVITE"));
    world.reply(
        401,
        &[("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true")],
        "",
    );
    assert_eq!(world.requests.len(), 3, "only the nonce was too old");
    world.reply(401, &[challenge], "");
    assert_eq!(world.requests.len(), 3);
    assert_eq!(world.ended(), [(EndReason::Rejected, Some(401))]);
}

#[test]
fn trunk_has_no_more_calls_than_it_may() {
    let trunk = Trunk { calls_max: 1, ..Trunk::new("t", "192.0.2.2") };
    let mut world = World::with(Config { trunks: vec![trunk], ..open() });
    for call in [1, 2] {
        let dial = Dial { to: "1".to_owned(), trunk: Some("t".to_owned()), ..Dial::default() };
        world.command(Command::Dial(CallId(call), dial));
    }
    assert_eq!(world.requests.len(), 1);
    assert_eq!(world.ended(), [(EndReason::Rejected, Some(503))]);
}

#[test]
fn stopping_refuses_what_rings_and_hangs_up_what_stands() {
    let mut world = World::with(open());
    let (_, _) = world.standing_call(&[]);
    let ringing = world.ask("INVITE", "", &[("Call-ID", "two")], "offer");
    world.handle(Input::Stop);
    assert_eq!(world.statuses(ringing), [100, 503]);
    assert_eq!(world.methods(), ["BYE"]);
    assert!(!world.core.is_done());
    let late = world.ask("INVITE", "", &[("Call-ID", "three")], "offer");
    assert_eq!(world.statuses(late), [503]);
    world.reply(200, &[], "");
    assert!(world.core.is_done());
}

#[test]
fn nothing_is_left_of_calls_that_are_over() {
    let limits = super::super::Limits { calls_per_source_per_minute: 200, ..open().limits };
    let mut world = World::with(Config { limits, ..open() });
    for number in 0..200 {
        let id = format!("call {number}");
        let tx = world.ask("INVITE", "", &[("Call-ID", &id)], "offer");
        let call = CallId(number + 1);
        match number % 4 {
            0 => world.command(Command::Reject(call, Rejection::with(486))),
            1 => world.handle(Input::Cancelled(tx)),
            2 => {
                world.command(Command::Answer(call, "answer".to_owned()));
                world.acknowledge(tx, "");
                world.command(Command::HangUp(call, HangUp::Normal));
            }
            _ => world.command(Command::Ring(call)),
        }
        world.handle(Input::ServerOver(tx));
    }
    world.pass(Duration::from_secs(3600));
    let Core { calls, dialogs, invites, servers, .. } = &world.core;
    assert!(calls.is_empty() && dialogs.is_empty() && invites.is_empty() && servers.is_empty());
    assert_eq!(world.ended().len(), 200);
}

#[test]
fn own_messages_can_be_read() {
    let mut world = World::with(open());
    world.standing_call(&[("Supported", "timer, 100rel")]);
    dialled(&mut world);
    for (_, response) in &world.responses {
        let read = super::super::message::parse(&response.to_bytes(), super::super::message::Framing::Stream);
        assert!(matches!(&read, Ok(Message::Response(read)) if read.status == response.status), "{read:?}");
    }
}
