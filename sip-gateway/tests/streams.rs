//! TCP and TLS.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use support::{Phones, Scenario, loopback, open_config, session, take_everything};
use tercet_sip_gateway::sdp::Direction;
use tercet_sip_gateway::signalling::{
    Config, Dial, EndReason, Event, Gateway, HangUp, Limits, Listener, StartError, Tls, Transport, Trunk,
};

fn listener(transport: Transport) -> Listener {
    Listener { transport, bind: loopback(0), public: None }
}

fn over(transport: Transport) -> Config {
    Config { listeners: vec![listener(transport)], ..open_config() }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream
}

/// What comes next; empty when the peer has closed.
fn read(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 65_535];
    let length = stream.read(&mut buffer).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn options(id: &str) -> String {
    format!(
        "OPTIONS sip:room@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{id}\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:room@b>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_call_by_tcp() {
    let phones = Phones::start(over(Transport::Tcp), take_everything()).await;
    for scenario in ["basic.xml", "hold.xml", "refer.xml", "session_timer.xml"] {
        Scenario::new(scenario, phones.address()).with(&["-t", "t1"]).run().await;
    }
    let Event::Incoming(incoming) = &phones.events()[0] else { panic!() };
    assert_eq!(incoming.transport, Transport::Tcp);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trunk_is_called_by_tcp() {
    let sipp = Scenario::new("uas.xml", loopback(9)).with(&["-t", "t1"]).start();
    // It has to listen before it can be connected to.
    while TcpStream::connect(sipp.address()).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let trunk = Trunk { transport: Transport::Tcp, ..Trunk::new("provider", &sipp.address().to_string()) };
    let phones = Phones::start(Config { trunks: vec![trunk], ..over(Transport::Tcp) }, |_, _| {}).await;
    let call = phones
        .handle()
        .dial(Dial {
            to: "1".to_owned(),
            trunk: Some("provider".to_owned()),
            offer: session().offer(Direction::SendRecv),
            ..Dial::default()
        })
        .unwrap();
    phones.until("an answer", |event| matches!(event, Event::Answered { .. })).await;
    phones.handle().hang_up(call, HangUp::Normal).unwrap();
    sipp.succeeds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_pieces_and_in_heaps() {
    let phones = Phones::start(over(Transport::Tcp), take_everything()).await;
    let mut stream = connect(phones.address());
    for piece in options("pieces").as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
        stream.flush().unwrap();
    }
    assert!(read(&mut stream).starts_with("SIP/2.0 200"));
    stream.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream), "\r\n");
    stream.write_all(options("one").replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia").as_bytes()).unwrap();
    assert!(read(&mut stream).starts_with("SIP/2.0 505"));
    stream.write_all(options("foo").replace("SIP/2.0/TCP", "SIP/2.0/FOO").as_bytes()).unwrap();
    assert!(read(&mut stream).starts_with("SIP/2.0 400"));
    stream.write_all((options("two") + &options("three")).as_bytes()).unwrap();
    let mut both = read(&mut stream);
    if !(both.contains("two") && both.contains("three")) {
        both += &read(&mut stream);
    }
    assert_eq!(both.matches("SIP/2.0 200").count(), 2, "{both}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_that_makes_no_sense_is_closed() {
    let phones = Phones::start(over(Transport::Tcp), take_everything()).await;
    for nonsense in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        options("long").replace("Content-Length: 0", "Content-Length: 18446744073709551615"),
        "x".repeat(20_000),
    ] {
        let mut stream = connect(phones.address());
        let _ = stream.write_all(nonsense.as_bytes());
        assert_eq!(read(&mut stream), "");
    }
    assert_eq!(phones.gateway.counters().unparseable, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_for_each_source() {
    let limits = Limits { streams_per_source_max: 2, ..open_config().limits };
    let phones = Phones::start(Config { limits, ..over(Transport::Tcp) }, take_everything()).await;
    let mut streams: Vec<_> = (0..3).map(|_| connect(phones.address())).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let _ = streams[2].write_all(options("third").as_bytes());
    assert_eq!(read(&mut streams[2]), "");
    assert_eq!(phones.gateway.counters().streams_refused, 1);
    streams.remove(0);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut next = connect(phones.address());
    next.write_all(options("next").as_bytes()).unwrap();
    assert!(read(&mut next).starts_with("SIP/2.0 200"));
}

/// The stack answers a CANCEL of nothing in the loop that receives for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_does_not_read_stops_nobody_else_and_is_closed() {
    let phones = Phones::start(over(Transport::Tcp), take_everything()).await;
    let mut deaf = connect(phones.address());
    deaf.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let padding = format!("Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{}\r\nMax-Forwards", "p".repeat(3500));
    let flood = std::thread::spawn(move || {
        let cancel = |number: u32| {
            options(&number.to_string()).replace("OPTIONS", "CANCEL").replacen("Max-Forwards", &padding, 1)
        };
        // Buffers of the system take some megabytes.
        (0..20_000).any(|number| deaf.write_all(cancel(number).as_bytes()).is_err())
    });
    while !flood.is_finished() {
        let mut other = connect(phones.address());
        other.write_all(options("other").as_bytes()).unwrap();
        assert!(read(&mut other).starts_with("SIP/2.0 200"), "within 2 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(flood.join().unwrap(), "it is closed");
}

/// Certificates of an authority of the test's own, for 127.0.0.1.
fn certificates(directory: &tempfile::TempDir) -> Tls {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let ours = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let ours = ours.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| -> Option<PathBuf> {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        Some(file)
    };
    Tls {
        certificate: write("certificate.pem", ours.pem()),
        key: write("key.pem", key.serialize_pem()),
        authorities: write("authorities.pem", authority_certificate.pem()),
    }
}

/// sipp, as Debian has it, knows no TLS: two gateways call each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_call_each_other_by_tls() {
    let directory = tempfile::tempdir().unwrap();
    let tls = certificates(&directory);
    let callee = Phones::start(Config { tls: tls.clone(), ..over(Transport::Tls) }, take_everything()).await;
    let trunk = Trunk { transport: Transport::Tls, ..Trunk::new("other", &callee.address().to_string()) };
    let config = Config { tls, trunks: vec![trunk], ..over(Transport::Tls) };
    let caller = Phones::start(config.clone(), |_, _| {}).await;
    let dial = || Dial {
        to: "room".to_owned(),
        trunk: Some("other".to_owned()),
        offer: session().offer(Direction::SendRecv),
        ..Dial::default()
    };
    let call = caller.handle().dial(dial()).unwrap();
    caller.until("an answer", |event| matches!(event, Event::Answered { sdp: Some(_), .. })).await;
    let incoming = callee.until("a call", |event| matches!(event, Event::Incoming(_))).await;
    let Event::Incoming(incoming) = incoming else { panic!() };
    assert_eq!(incoming.transport, Transport::Tls);
    callee.handle().hang_up(incoming.call, HangUp::Removed).unwrap();
    let ended = caller.until_ended().await;
    assert_eq!(ended, Event::Ended { call, reason: EndReason::PeerHungUp, status: None });

    // Whoever isn't vouched for isn't called.
    let other = tempfile::tempdir().unwrap();
    let strange = Tls { authorities: certificates(&other).authorities, ..config.tls.clone() };
    let caller = Phones::start(Config { tls: strange, ..config }, |_, _| {}).await;
    caller.handle().dial(dial()).unwrap();
    assert!(matches!(caller.until_ended().await, Event::Ended { status: Some(503), .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_that_cannot_work_is_refused() {
    let twice = vec![Trunk::new("a", "192.0.2.1"), Trunk::new("a", "192.0.2.2")];
    let by_tls = Trunk { transport: Transport::Tls, ..Trunk::new("a", "192.0.2.1") };
    let challenged = Trunk { is_challenged: true, ..Trunk::new("a", "192.0.2.1") };
    for (config, word) in [
        (over(Transport::Tls), "certificate"),
        (Config { listeners: Vec::new(), ..open_config() }, "listener"),
        (Config { trunks: twice, ..open_config() }, "two trunks"),
        (Config { trunks: vec![by_tls], ..open_config() }, "transport"),
        (Config { trunks: vec![challenged], ..open_config() }, "credentials"),
        (Config { trunks: vec![Trunk::new("a", "not a host")], ..open_config() }, "host"),
        (Config { digests: Vec::new(), ..open_config() }, "digests"),
    ] {
        let error = Gateway::start(config).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let taken = std::net::UdpSocket::bind(loopback(0)).unwrap();
    let bind = taken.local_addr().unwrap();
    let config = Config {
        listeners: vec![Listener { transport: Transport::Udp, bind, public: None }],
        ..open_config()
    };
    assert!(matches!(Gateway::start(config).await, Err(StartError::Bind { address, .. }) if address == bind));
}
