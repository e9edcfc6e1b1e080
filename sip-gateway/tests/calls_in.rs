//! Calls in, with sipp as the phone.

mod support;

use support::{Phones, Scenario, open_config, take_everything};
use tercet_sip_gateway::signalling::{Config, EndReason, Event, Peer};

#[tokio::test]
async fn call_rings_is_answered_sends_keys_and_is_hung_up() {
    let config = Config { headers: vec!["x-room".to_owned()], ..open_config() };
    let phones = Phones::start(config, take_everything()).await;
    Scenario::new("basic.xml", phones.address()).run().await;
    let ended = phones.until_ended().await;
    assert!(matches!(ended, Event::Ended { reason: EndReason::PeerHungUp, .. }), "{ended:?}");
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
