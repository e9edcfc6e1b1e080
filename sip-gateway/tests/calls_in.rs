//! Calls in, with sipp as the phone.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::time::Duration;

use support::{Phones, Raw, Scenario, credentials, open_config, take_everything};
use tercet_sip_gateway::signalling::{
    Algorithm, Config, Credentials, Dial, EndReason, Event, Inbound, Limits, Listener, Peer, Rejection,
    Transport, Trunk,
};

fn ada() -> Credentials {
    Credentials { username: "ada".to_owned(), password: "lovelace".to_owned() }
}

fn with_users(digests: &[Algorithm]) -> Config {
    Config { inbound: Inbound::Authenticated, users: vec![ada()], digests: digests.to_vec(), ..open_config() }
}

async fn end_reason(phones: &Phones) -> EndReason {
    match phones.until_ended().await {
        Event::Ended { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_rings_is_answered_sends_keys_and_is_hung_up() {
    let config = Config { headers: vec!["x-room".to_owned()], ..open_config() };
    let phones = Phones::start(config, take_everything()).await;
    Scenario::new("basic.xml", phones.address()).run().await;
    assert_eq!(end_reason(&phones).await, EndReason::PeerHungUp);
    let events = phones.events();
    let Event::Incoming(incoming) = &events[0] else { panic!("{events:#?}") };
    assert_eq!((incoming.from.display.as_deref(), incoming.from.user.as_str()), (Some("Ada"), "ada"));
    assert_eq!((incoming.to.user.as_str(), incoming.peer.clone()), ("room", Peer::Anonymous));
    assert_eq!(incoming.headers, [("x-room".to_owned(), "garden".to_owned())]);
    let keys = events.iter().filter_map(|event| match event {
        Event::Dtmf { digit, duration_ms, .. } => Some((*digit, *duration_ms)),
        _ => None,
    });
    assert_eq!(keys.collect::<Vec<_>>(), [('5', Some(160)), ('#', None)]);
    assert!(events.iter().any(|event| matches!(event, Event::Confirmed { sdp: None, .. })));
    let counters = phones.gateway.counters();
    assert_eq!((counters.calls_in, counters.calls_answered, counters.calls_now), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_is_asked_for_and_taken() {
    // sipp 3.6 knows no other.
    for digests in [&[Algorithm::Md5][..], &[Algorithm::Md5, Algorithm::Sha256]] {
        let phones = Phones::start(with_users(digests), take_everything()).await;
        let login = ["-au", "ada", "-ap", "lovelace"];
        Scenario::new("auth.xml", phones.address()).with(&login).run().await;
        let incoming = phones.until("a call", |event| matches!(event, Event::Incoming(_))).await;
        let Event::Incoming(incoming) = incoming else { panic!() };
        assert_eq!(incoming.peer, Peer::User("ada".to_owned()));
        assert_eq!(phones.gateway.counters().authentication_failures, 0, "{digests:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_taken_once_for_each_count() {
    for digest in [Algorithm::Sha256, Algorithm::Md5] {
        let phones = Phones::start(with_users(&[digest]), take_everything()).await;
        let raw = Raw::to(phones.address());
        raw.send(raw.request("INVITE", "486", "").as_bytes());
        let challenge = raw.receive().unwrap();
        assert!(challenge.starts_with("SIP/2.0 401") && !challenge.contains("stale"), "{challenge}");
        for (count, status) in [(1, 486), (1, 401), (2, 486), (2, 401), (9, 486), (8, 486)] {
            let claim = credentials(&challenge, "INVITE", "sip:486@example.com", count);
            assert_eq!(raw.ask("INVITE", "486", &claim), Some(status), "{count}");
        }
        let counters = phones.gateway.counters();
        assert_eq!((counters.replays, counters.authentication_failures), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonce_that_is_too_old_is_stale() {
    let config = Config { nonce_lifetime: Duration::from_millis(50), ..with_users(&[Algorithm::Sha256]) };
    let phones = Phones::start(config, take_everything()).await;
    let raw = Raw::to(phones.address());
    raw.send(raw.request("INVITE", "486", "").as_bytes());
    let challenge = raw.receive().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let claim = credentials(&challenge, "INVITE", "sip:486@example.com", 1);
    raw.send(raw.request("INVITE", "486", &claim).as_bytes());
    let again = raw.receive().unwrap();
    let again = if again == challenge { raw.receive().unwrap() } else { again };
    assert!(again.starts_with("SIP/2.0 401") && again.contains("stale=true"), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_password_gets_no_call_and_after_some_tries_silence() {
    let limits = Limits { failures_per_source_per_minute: 3, ..open_config().limits };
    let config = Config { limits, ..with_users(&[Algorithm::Md5]) };
    let phones = Phones::start(config, take_everything()).await;
    for _ in 0..3 {
        let login = ["-au", "ada", "-ap", "wrong"];
        Scenario::new("auth_wrong.xml", phones.address()).with(&login).run().await;
    }
    let counters = phones.gateway.counters();
    assert_eq!((counters.authentication_failures, counters.calls_in), (3, 0));
    let raw = Raw::to(phones.address());
    assert_eq!(raw.ask("INVITE", "room", ""), None);
    assert!(phones.gateway.counters().rate_limited > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_gives_up_while_it_rings() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("cancel.xml", phones.address()).to("nobody").run().await;
    assert_eq!(end_reason(&phones).await, EndReason::Cancelled);
    assert_eq!(phones.gateway.counters().rejected.get(&487), Some(&1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_and_offers_within_the_call() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("hold.xml", phones.address()).run().await;
    let events = phones.events();
    let offers = events.iter().filter(|event| matches!(event, Event::Offered { .. })).count();
    assert_eq!(offers, 4);
    let answers =
        events.iter().filter(|event| matches!(event, Event::Confirmed { sdp: Some(_), .. })).count();
    assert_eq!(answers, 1, "the ACK of the re-INVITE without an offer has the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invite_without_an_offer_is_offered_something() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("no_offer.xml", phones.address()).run().await;
    let confirmed = phones.until("the answer", |event| matches!(event, Event::Confirmed { .. })).await;
    let Event::Confirmed { sdp: Some(sdp), .. } = confirmed else { panic!("{confirmed:?}") };
    assert!(sdp.contains("m=audio 6000"), "{sdp}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_timer_is_agreed_on_and_refreshed() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("session_timer.xml", phones.address()).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_offers_within_the_call() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("update.xml", phones.address()).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_media_is_reliable_and_updated() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("early_update.xml", phones.address()).to("early").run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ringing_is_repeated_until_confirmed_where_that_is_required() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("required_100rel.xml", phones.address()).to("nobody").run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfer_is_declined_or_taken_and_reported_on() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("refer.xml", phones.address()).run().await;
    let asked = phones
        .until(
            "a transfer",
            |event| matches!(event, Event::TransferAsked { target, .. } if target.contains("bob")),
        )
        .await;
    let Event::TransferAsked { target, referred_by, replaces, .. } = asked else { panic!() };
    assert_eq!(target, "sip:bob@example.com");
    assert_eq!(referred_by.as_deref(), Some("sip:ada@example.com"));
    assert_eq!(replaces.as_deref(), Some("a@b;to-tag=1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_belong_in_a_call_is_told_so() {
    let phones = Phones::start(open_config(), take_everything()).await;
    Scenario::new("order.xml", phones.address()).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_the_status_that_the_application_says() {
    let phones = Phones::start(open_config(), take_everything()).await;
    let raw = Raw::to(phones.address());
    for status in [302, 403, 404, 480, 486, 488, 503, 600, 603] {
        assert_eq!(raw.ask("INVITE", &status.to_string(), ""), Some(status));
    }
    raw.send(raw.request("INVITE", "503", "").as_bytes());
    let refusal = loop {
        let message = raw.receive().unwrap();
        if message.starts_with("SIP/2.0 503") && message.contains("Retry-After: 7\r\n") {
            break message;
        }
    };
    assert!(refusal.contains("Server: Tercet/"), "{refusal}");
    assert_eq!(phones.gateway.counters().rejected.get(&486), Some(&1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_out_of_the_blue_get_what_the_rfc_says() {
    let phones = Phones::start(open_config(), take_everything()).await;
    let raw = Raw::to(phones.address());
    for (method, to, more, status) in [
        ("OPTIONS", "room", "", 200),
        ("BYE", "room", "", 481),
        ("CANCEL", "room", "", 481),
        ("UPDATE", "room", "", 481),
        ("INFO", "room", "", 481),
        ("NOTIFY", "room", "", 481),
        ("PRACK", "room", "", 481),
        ("REFER", "room", "", 403),
        ("MESSAGE", "room", "", 405),
        ("SUBSCRIBE", "room", "", 405),
        ("PUBLISH", "room", "", 405),
        ("REGISTER", "room", "", 405),
        ("DANCE", "room", "", 501),
        ("INVITE", "room", "Require: teleport\r\n", 420),
        ("OPTIONS", "room", "Require: teleport\r\n", 420),
    ] {
        assert_eq!(raw.ask(method, to, more), Some(status), "{method}");
    }
    let options = |change: &dyn Fn(String) -> String| {
        raw.send(change(raw.request("OPTIONS", "room", "")).as_bytes());
        raw.receive().unwrap_or_default()
    };
    let able = options(&|message| message);
    for line in ["Allow: INVITE, ACK,", "Accept: application/sdp,", "Supported: 100rel, timer"] {
        assert!(able.contains(line), "{able}");
    }
    let hops = options(&|message| message.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert!(hops.starts_with("SIP/2.0 483 "), "{hops}");
    let version = options(&|message| message.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"));
    assert!(version.starts_with("SIP/2.0 505 "), "{version}");
    let scheme = options(&|message| message.replace("OPTIONS sip:", "OPTIONS nobody:"));
    assert!(scheme.starts_with("SIP/2.0 416 "), "{scheme}");
    let body = raw
        .request("INVITE", "room", "Content-Type: text/plain\r\n")
        .replace("Length: 0\r\n\r\n", "Length: 5\r\n\r\nhello");
    raw.send(body.as_bytes());
    assert_eq!(raw.final_status(), Some(415));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_and_fade() {
    let limits = Limits { calls_per_source_per_minute: 3, calls_per_source_max: 2, ..open_config().limits };
    let phones = Phones::start(Config { limits, ..open_config() }, take_everything()).await;
    let raw = Raw::to(phones.address());
    assert_eq!(raw.ask("INVITE", "room", ""), Some(200));
    assert_eq!(raw.ask("INVITE", "room", ""), Some(200));
    assert_eq!(raw.ask("INVITE", "room", ""), Some(503), "no more than two calls at once");
    assert_eq!(raw.ask("INVITE", "room", ""), Some(503), "and no more than three a minute");
    assert!(phones.gateway.counters().rate_limited >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_gateway_says_when_to_come_again() {
    let limits = Limits { calls_max: 1, ..open_config().limits };
    let phones = Phones::start(Config { limits, ..open_config() }, take_everything()).await;
    let raw = Raw::to(phones.address());
    assert_eq!(raw.ask("INVITE", "room", ""), Some(200));
    raw.send(raw.request("INVITE", "room", "").as_bytes());
    let full = loop {
        let message = raw.receive().unwrap();
        if !message.starts_with("SIP/2.0 200") {
            break message;
        }
    };
    assert!(full.starts_with("SIP/2.0 503 ") && full.contains("Retry-After: "), "{full}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trunk_is_known_by_its_address_and_others_are_not_let_in() {
    let trunk =
        Trunk { sources: vec!["127.0.0.0/8".parse().unwrap()], ..Trunk::new("provider", "127.0.0.1") };
    let config = Config { inbound: Inbound::Trunks, trunks: vec![trunk], ..open_config() };
    let phones = Phones::start(config, take_everything()).await;
    Scenario::new("basic.xml", phones.address()).run().await;
    let Event::Incoming(incoming) = &phones.events()[0] else { panic!() };
    assert_eq!(incoming.peer, Peer::Trunk("provider".to_owned()));

    let config = Config { inbound: Inbound::Trunks, ..open_config() };
    let strangers = Phones::start(config, take_everything()).await;
    assert_eq!(Raw::to(strangers.address()).ask("INVITE", "room", ""), Some(403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_is_spoken_both_ways() {
    let bind = "[::1]:0".parse().unwrap();
    let config = Config {
        listeners: vec![Listener { transport: Transport::Udp, bind, public: None }],
        ..open_config()
    };
    let phones = Phones::start(config, take_everything()).await;
    let raw = Raw::to(phones.address());
    assert_eq!(raw.ask("OPTIONS", "room", ""), Some(200));
    assert_eq!(raw.ask("INVITE", "486", ""), Some(486));
    let us = raw.socket.local_addr().unwrap();
    let dial = Dial { to: format!("sip:ada@{us}"), offer: "v=0\r\n".to_owned(), ..Dial::default() };
    phones.handle().dial(dial).unwrap();
    let invite = loop {
        let message = raw.receive().unwrap();
        if message.starts_with("INVITE ") {
            break message;
        }
    };
    assert!(invite.starts_with(&format!("INVITE sip:ada@{us} SIP/2.0\r\n")), "{invite}");
    assert!(invite.contains(&format!("Via: SIP/2.0/UDP {};", phones.address())), "{invite}");
}

/// Whoever is named in a `Via` hears nothing, and nobody asks for its address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_go_where_the_request_came_from_whatever_its_via_says() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let listeners =
            vec![Listener { transport: Transport::Udp, bind: bind.parse().unwrap(), public: None }];
        let phones = Phones::start(Config { listeners, ..open_config() }, take_everything()).await;
        let raw = Raw::to(phones.address());
        let us = raw.socket.local_addr().unwrap();
        let lying = |message: String, sent_by: &str, more: &str| {
            let via = format!("Via: SIP/2.0/UDP {us};");
            assert!(message.contains(&via), "{message}");
            message.replacen(&via, &format!("Via: SIP/2.0/UDP {sent_by}{more};"), 1)
        };
        for (sent_by, more) in [
            (us.to_string().as_str(), ";received=127.0.0.77"),
            (us.to_string().as_str(), ";received=127.0.0.77;rport=9"),
            ("192.0.2.77:9", ";rport"),
            ("[2001:db8::77]:9", ""),
            ("nowhere.invalid", ";rport=abc"),
        ] {
            raw.send(lying(raw.request("CANCEL", "room", ""), sent_by, more).as_bytes());
            // The answer to the call before is repeated, because nobody confirms it.
            let answer = loop {
                let message = raw.receive().unwrap_or_default();
                if message.is_empty() || message.contains("CSeq: 1 CANCEL") {
                    break message;
                }
            };
            assert!(answer.starts_with("SIP/2.0 481"), "{sent_by}{more}: {answer}");
            assert!(!answer.contains("received=127.0.0.77") && !answer.contains("[["), "{answer}");

            let invite = raw.request("INVITE", "room", "");
            let (_, rest) = invite.split_once("Call-ID: ").unwrap();
            let (call_id, _) = rest.split_once("\r\n").unwrap();
            raw.send(invite.as_bytes());
            let taken = loop {
                let message = raw.receive().unwrap();
                if message.starts_with("SIP/2.0 200") && message.contains(call_id) {
                    break message;
                }
            };
            let header = |name: &str| taken.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
            let bye = raw.request("BYE", "room", "").lines().fold(String::new(), |bye, line| {
                let name = line.split(':').next().unwrap();
                let is_kept = ["From", "To", "Call-ID"].contains(&name);
                bye + &if is_kept { header(name) } else { line.replace("CSeq: 1", "CSeq: 2") } + "\r\n"
            });
            let bye = lying(bye, sent_by, more);
            for _ in 0..2 {
                raw.send(bye.as_bytes());
                let answer = loop {
                    let message = raw.receive().unwrap_or_default();
                    if message.is_empty() || message.contains("CSeq: 2 BYE") {
                        break message;
                    }
                };
                assert!(answer.starts_with("SIP/2.0 200"), "{sent_by}{more}: {answer}");
                // A phone waits half a second before it repeats.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_in_time() {
    let config = Config { ringing_timeout: Duration::from_millis(300), ..open_config() };
    let phones = Phones::start(config, take_everything()).await;
    assert_eq!(Raw::to(phones.address()).ask("INVITE", "nobody", ""), Some(480));
    assert_eq!(end_reason(&phones).await, EndReason::NotAnswered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ringing_is_heard_within_200_ms() {
    let phones = Phones::start(open_config(), |handle, event| {
        if let Event::Incoming(incoming) = event {
            handle.ring(incoming.call).unwrap();
        }
    })
    .await;
    let raw = Raw::to(phones.address());
    let since = std::time::Instant::now();
    raw.send(raw.request("INVITE", "room", "").as_bytes());
    while !raw.receive().unwrap().starts_with("SIP/2.0 180") {}
    assert!(since.elapsed() < Duration::from_millis(200), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn application_that_is_behind_gets_no_new_calls() {
    let limits = Limits { events_waiting_max: 1, ..open_config().limits };
    let (gateway, events) =
        tercet_sip_gateway::signalling::Gateway::start(Config { limits, ..open_config() }).await.unwrap();
    let raw = Raw::to(gateway.addresses()[0].1);
    let statuses: Vec<_> = (0..4)
        .map(|_| {
            raw.send(raw.request("INVITE", "room", "").as_bytes());
            raw.receive().unwrap()[8..11].to_owned()
        })
        .collect();
    assert_eq!(statuses, ["100", "100", "503", "503"], "one event in the queue, and one behind it");
    drop(events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_that_stops_says_goodbye() {
    let phones = Phones::start(open_config(), |handle, event| {
        if let Event::Incoming(incoming) = event {
            handle.reject(incoming.call, Rejection::with(486)).unwrap();
        }
    })
    .await;
    let raw = Raw::to(phones.address());
    assert_eq!(raw.ask("INVITE", "room", ""), Some(486));
    let since = std::time::Instant::now();
    phones.gateway.shut_down(Duration::from_secs(5)).await;
    assert!(since.elapsed() < Duration::from_secs(1), "nothing to wait for");
}

/// A thousand: `TERCET_SIPP_CALLS=1000 cargo test -p tercet-sip-gateway --test calls_in hundred -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_calls_at_twenty_a_second_lose_none() {
    let calls = std::env::var("TERCET_SIPP_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(100);
    let phones = Phones::start(open_config(), take_everything()).await;
    let mut load = Scenario::new("load.xml", phones.address()).with(&["-timeout", "200s"]);
    (load.calls, load.calls_a_second) = (calls, 20);
    load.run().await;
    phones.until_quiet().await;
    let counters = phones.gateway.counters();
    assert_eq!((counters.calls_in, counters.calls_answered), (u64::from(calls), u64::from(calls)));
    assert!(counters.rejected.is_empty(), "{counters:?}");
}
