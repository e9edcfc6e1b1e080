//! Calls out and registrations, with sipp as the phone or the trunk.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use support::{
    PATIENCE, Phones, Raw, Scenario, Sipp, credentials, loopback, open_config, session, take_everything,
};
use tercet_sip_gateway::sdp::Direction;
use tercet_sip_gateway::signalling::{
    CallId, Config, Credentials, Dial, EndReason, Event, HangUp, Inbound, Registrar, Registration,
    RegistrationState, Trunk,
};

fn listening(file: &'static str) -> Sipp {
    // Whom it would call is of no matter: it is called.
    Scenario::new(file, loopback(9)).start()
}

fn provider(sipp: &Sipp) -> Trunk {
    Trunk {
        credentials: Some(Credentials { username: "tercet".to_owned(), password: "secret".to_owned() }),
        caller: Some("+15551000".to_owned()),
        ..Trunk::new("provider", &sipp.address().to_string())
    }
}

fn through(trunk: Trunk) -> Config {
    Config { trunks: vec![trunk], ..open_config() }
}

fn dial(phones: &Phones) -> CallId {
    let offer = session().offer(Direction::SendRecv);
    let dial = Dial {
        to: "+15552000".to_owned(),
        trunk: Some("provider".to_owned()),
        display: Some("The \"Garden\"".to_owned()),
        offer,
        headers: vec![("X-Room".to_owned(), "garden".to_owned()), ("Via".to_owned(), "nonsense".to_owned())],
        ..Dial::default()
    };
    phones.handle().dial(dial).unwrap()
}

/// Events may still be on their way when the gateway has stopped.
async fn until_heard(heard: &Mutex<Vec<Event>>, is_it: impl Fn(&Event) -> bool) {
    let since = Instant::now();
    while !heard.lock().unwrap().iter().any(&is_it) {
        assert!(since.elapsed() < PATIENCE, "{heard:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn answered(phones: &Phones) -> Event {
    phones.until("an answer", |event| matches!(event, Event::Answered { .. })).await
}

async fn ended(phones: &Phones) -> (EndReason, Option<u16>) {
    match phones.until_ended().await {
        Event::Ended { reason, status, .. } => (reason, status),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_rings_is_answered_and_hung_up_by_us() {
    let sipp = listening("uas.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    let Event::Answered { sdp: Some(sdp), .. } = answered(&phones).await else { panic!() };
    assert!(sdp.contains("m=audio 6000"), "{sdp}");
    assert_eq!(phones.events()[0], Event::Progress { call, status: 180, sdp: None });
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    assert_eq!(ended(&phones).await, (EndReason::HungUp, None));
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_is_hung_up_by_the_peer_and_routes_are_kept() {
    let sipp = listening("uas_bye.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    dial(&phones);
    assert_eq!(ended(&phones).await, (EndReason::PeerHungUp, None));
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trunk_that_asks_for_credentials_gets_them() {
    let sipp = listening("uas_407.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    answered(&phones).await;
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    sipp.succeeds().await;

    let sipp = listening("uas_407.xml");
    let phones = Phones::start(through(Trunk { credentials: None, ..provider(&sipp) }), |_, _| {}).await;
    dial(&phones);
    assert_eq!(ended(&phones).await, (EndReason::Rejected, Some(407)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_line_says_so() {
    let sipp = listening("uas_busy.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    dial(&phones);
    assert_eq!(ended(&phones).await, (EndReason::Rejected, Some(486)));
    assert_eq!(phones.gateway.counters().dial_failed.get(&486), Some(&1));
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_rings_is_given_up() {
    let sipp = listening("uas_cancel.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    phones.until("ringing", |event| matches!(event, Event::Progress { .. })).await;
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    assert_eq!(ended(&phones).await, (EndReason::HungUp, None));
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_nobody_takes_is_given_up() {
    let sipp = listening("uas_cancel.xml");
    let config = Config { ringing_timeout: Duration::from_millis(500), ..through(provider(&sipp)) };
    let phones = Phones::start(config, |_, _| {}).await;
    dial(&phones);
    assert_eq!(ended(&phones).await, (EndReason::NotAnswered, None));
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_crosses_the_cancel_is_hung_up() {
    let sipp = listening("uas_crossed.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    phones.until("ringing", |event| matches!(event, Event::Progress { .. })).await;
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    sipp.succeeds().await;
    assert!(!phones.events().iter().any(|event| matches!(event, Event::Answered { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_media_is_confirmed() {
    let sipp = listening("uas_early.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    let Event::Answered { sdp, .. } = answered(&phones).await else { panic!() };
    assert_eq!(sdp, None, "it came with the 183");
    assert!(matches!(&phones.events()[0], Event::Progress { status: 183, sdp: Some(_), .. }));
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_comes_again_is_confirmed_again() {
    let sipp = listening("uas_lost_ack.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    answered(&phones).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offer_that_meets_another_is_made_again() {
    let sipp = listening("uas_reoffer.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    answered(&phones).await;
    let held = session().offer(Direction::SendOnly);
    phones.handle().reoffer(call, held.clone()).unwrap();
    let answer = phones.until("an answer", |event| matches!(event, Event::Reoffered { .. })).await;
    assert!(
        matches!(&answer, Event::Reoffered { answer: Ok(sdp), .. } if sdp.contains("recvonly")),
        "{answer:?}"
    );
    phones.handle().reoffer(call, held).unwrap();
    phones.until("a refusal", |event| matches!(event, Event::Reoffered { answer: Err(488), .. })).await;
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_is_transferred_and_let_go() {
    let sipp = listening("uas_transfer.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    answered(&phones).await;
    phones.handle().transfer(call, "sip:carol@example.com".to_owned()).unwrap();
    assert_eq!(ended(&phones).await, (EndReason::Transferred, None));
    let progress: Vec<_> = phones
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::TransferProgress { status, is_final, .. } => Some((status, is_final)),
            _ => None,
        })
        .collect();
    assert_eq!(progress, [(100, false), (200, true)]);
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn longer_session_interval_is_granted() {
    let sipp = listening("uas_422.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    let call = dial(&phones);
    answered(&phones).await;
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_dialled_ends_at_once() {
    let phones = Phones::start(open_config(), |_, _| {}).await;
    for (to, trunk, status) in [
        ("+1", Some("nobody"), 404),
        ("ada", None, 404),
        ("tel:+1", None, 404),
        ("sip:ada@127.0.0.1?X-Header=1", None, 404),
    ] {
        let dial = Dial { to: to.to_owned(), trunk: trunk.map(str::to_owned), ..Dial::default() };
        let call = phones.handle().dial(dial).unwrap();
        let is_it = |event: &Event| matches!(event, Event::Ended { call: of, .. } if *of == call);
        let Event::Ended { status: given, .. } = phones.until("the end", is_it).await else { panic!() };
        assert_eq!(given, Some(status), "{to}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_that_stops_hangs_up_and_waits_for_the_peer() {
    let sipp = listening("uas.xml");
    let phones = Phones::start(through(provider(&sipp)), |_, _| {}).await;
    dial(&phones);
    answered(&phones).await;
    let Phones { gateway, heard } = phones;
    gateway.shut_down(Duration::from_secs(5)).await;
    until_heard(&heard, |event| matches!(event, Event::Ended { reason: EndReason::ShutDown, .. })).await;
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_with_a_trunk_is_made_renewed_and_taken_back() {
    let sipp = listening("registrar.xml");
    let registration = Registration { user: "tercet".to_owned(), expires_s: 600 };
    let trunk = Trunk { registration: Some(registration), ..provider(&sipp) };
    let config = Config { inbound: Inbound::Trunks, ..through(trunk) };
    let phones = Phones::start(config, take_everything()).await;
    let is_of = |expires: u32| move |event: &Event| matches!(event, Event::Registration { state: RegistrationState::Registered { expires_s }, .. } if *expires_s == expires);
    phones.until("the registration", is_of(2)).await;
    assert_eq!(phones.gateway.counters().trunks_registered_now, 1);
    phones.until("its renewal", is_of(1200)).await;
    // Where it is registered, calls may come from.
    Scenario::new("load.xml", phones.address()).run().await;
    let Phones { gateway, heard } = phones;
    gateway.shut_down(Duration::from_secs(5)).await;
    until_heard(&heard, |event| {
        matches!(event, Event::Registration { state: RegistrationState::Unregistered, .. })
    })
    .await;
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_that_fails_is_tried_again_later() {
    let trunk = Trunk {
        registration: Some(Registration { user: "tercet".to_owned(), expires_s: 600 }),
        ..Trunk::new("provider", "name.invalid")
    };
    let phones = Phones::start(through(trunk), |_, _| {}).await;
    let failed = phones.until("a failure", |event| matches!(event, Event::Registration { .. })).await;
    let Event::Registration { state, .. } = failed else { panic!() };
    assert_eq!(state, RegistrationState::Failed { status: 503, retry_s: 30 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn softphone_registers_and_leaves() {
    let config = Config {
        users: vec![Credentials { username: "ada".to_owned(), password: "lovelace".to_owned() }],
        registrar: Some(Registrar::default()),
        ..open_config()
    };
    let phones = Phones::start(config, |_, _| {}).await;
    let login = ["-au", "ada", "-ap", "lovelace"];
    Scenario::new("register.xml", phones.address()).with(&login).run().await;
    phones.until("a departure", |event| matches!(event, Event::UserRegistered { contacts: 0, .. })).await;
    let contacts: Vec<_> = phones
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::UserRegistered { contacts, .. } => Some(contacts),
            _ => None,
        })
        .collect();
    assert_eq!(contacts, [1, 0]);
    assert_eq!(phones.gateway.counters().contacts_now, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn softphone_that_registered_is_called() {
    let config = Config {
        users: vec![Credentials { username: "ada".to_owned(), password: "lovelace".to_owned() }],
        registrar: Some(Registrar::default()),
        ..open_config()
    };
    let phones = Phones::start(config, |_, _| {}).await;
    let raw = Raw::to(phones.address());
    raw.send(raw.request("REGISTER", "ada", "").as_bytes());
    let challenge = raw.receive().unwrap();
    let bob = raw.request("REGISTER", "bob", &credentials(&challenge, "REGISTER", "sip:x", 1));
    raw.send(bob.as_bytes());
    assert_eq!(raw.final_status(), Some(403), "with her password, but not as somebody else");
    let ada = raw.request("REGISTER", "ada", &credentials(&challenge, "REGISTER", "sip:x", 2));
    raw.send(ada.as_bytes());
    assert_eq!(raw.final_status(), Some(200));
    let dial = Dial { to: "ada".to_owned(), offer: session().offer(Direction::SendRecv), ..Dial::default() };
    phones.handle().dial(dial).unwrap();
    let invite = raw.receive().unwrap();
    let us = raw.socket.local_addr().unwrap();
    assert!(invite.starts_with(&format!("INVITE sip:tester@{us} SIP/2.0")), "{invite}");
}
