//! Calls out over the WebSocket: who may make them, what they are told of them, and that nobody else is told.

use std::ops::Deref;
use std::time::Instant;

use anyhow::Context;
use tempfile::TempDir;
use tercet_loadtest::{Client, ClientError, Direction, JoinOptions, SignallingError};
use tercet_protocol::{
    CallState, DialOrder, DialRights, ErrorCode, Request, Role, ServerMessage, Transport, WireCall,
};
use tercet_tests::softphone::{PhoneCodec, Softphone};
use tercet_tests::{SOON, Server};

const PASSWORD: &str = "a-password-of-the-tests";

/// As many calls are made at once, before it is 60 a minute.
const BURST: usize = 30;

/// A server with the users `ben` and `cyd`, who may register.
struct Office {
    server: Server,
    /// Has its configuration.
    _directory: TempDir,
}

impl Deref for Office {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Office {
    /// `sip` is what its `[sip]` has besides, and `above` what stands above that.
    fn start(above: &str, sip: &str) -> anyhow::Result<Office> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("tercet.toml");
        let user = |name: &str| format!("[[sip.user]]\nname = '{name}'\npassword = '{PASSWORD}'\n");
        std::fs::write(&file, format!("{above}\n[sip]\n{sip}\n{}{}", user("ben"), user("cyd")))?;
        let path = file.display().to_string();
        let server = Server::start_with(&["--sip", "127.0.0.1:0", "--config", &path])?;
        Ok(Office { server, _directory: directory })
    }

    /// A softphone of a user's that has registered.
    async fn phone(&self, name: &str) -> anyhow::Result<Softphone> {
        let phone = Softphone::start(name, PhoneCodec::Pcma, 440.0, "").await?;
        let address = self.sip.context("the server has phones")?;
        let account =
            format!("<sip:{name}@{address}>;regint=60;auth_pass={PASSWORD};audio_codecs=PCMA/8000/1");
        phone.command("uanew", &account).await?;
        phone.wait_for_log("200 OK", SOON).await?;
        Ok(phone)
    }

    /// One who comes as the demo page lets them.
    async fn join_demo(&self, room: &str, name: &str) -> anyhow::Result<Client> {
        let (status, body) =
            self.post("/v1/demo/token", &format!(r#"{{"room": "{room}", "name": "{name}"}}"#)).await?;
        anyhow::ensure!(status == 200, "{status} {body}");
        let answer: serde_json::Value = serde_json::from_str(&body)?;
        let token = answer["token"].as_str().context("a token")?.to_owned();
        self.join_with(JoinOptions::new(self.url()?, token)).await
    }

    /// The status of a call by HTTP.
    fn post_call(&self, room: &str, to: &str) -> anyhow::Result<u16> {
        self.post_to(room, "calls", to)
    }

    /// The status of a request of a moderator's that names somebody.
    fn post_to(&self, room: &str, what: &str, to: &str) -> anyhow::Result<u16> {
        let token = self.ticket(room, "by-http", Role::Moderator)?.token;
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("http://{}/v1/rooms/{room}/{what}", self.http));
        let request = request.header("authorization", format!("Bearer {token}"));
        let body = format!(r#"{{"to": "{to}"}}"#);
        Ok(request.header("content-type", "application/json").send(body)?.status().as_u16())
    }
}

fn order(to: &str) -> DialOrder {
    DialOrder { to: to.to_owned(), trunk: None, name: None, role: None, language: None }
}

/// The number of the call, or why there is none.
async fn dial(client: &mut Client, order: DialOrder) -> anyhow::Result<Result<u64, ErrorCode>> {
    match client.request(Request::Dial(order)).await {
        Ok(ServerMessage::Dialled { call, .. }) => Ok(Ok(call)),
        Err(ClientError::Signalling(SignallingError::Refused(error))) if !error.fatal => Ok(Err(error.code)),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn refusal(client: &mut Client, request: Request) -> anyhow::Result<ErrorCode> {
    match client.request(request).await {
        Err(ClientError::Signalling(SignallingError::Refused(error))) if !error.fatal => Ok(error.code),
        other => anyhow::bail!("{other:?}"),
    }
}

/// Waits until a client is told that a call stands so.
async fn stands(client: &mut Client, call: u64, state: CallState) -> anyhow::Result<WireCall> {
    let updated = client.wait_for(SOON, |message| match message {
        ServerMessage::CallUpdated { call: it } if it.call == call && it.state == state => Some(it.clone()),
        _ => None,
    });
    updated.await.with_context(|| format!("call {call} is never {state:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_has_a_user_called_sees_it_ring_and_talk_and_hangs_up() -> anyhow::Result<()> {
    let office = Office::start("", "")?;
    let ben = office.phone("ben").await?;
    let mut ada = office.join("hall", "ada", Role::Moderator).await?;
    assert_eq!(ada.welcome().dial, Some(DialRights { users: true, trunks: vec![] }));
    let mut options = office.ticket("hall", "eve", Role::Speaker)?;
    options.record = true;
    let mut eve = office.join_with(options).await?;
    assert_eq!(eve.welcome().dial, None);
    assert_eq!(dial(&mut eve, order("ben")).await?, Err(ErrorCode::Forbidden));

    let call = dial(&mut ada, DialOrder { name: Some("Ben".into()), ..order("ben") }).await?;
    let call = call.map_err(|code| anyhow::anyhow!("{code:?}"))?;
    assert_eq!(stands(&mut ada, call, CallState::Dialling).await?.name, "Ben");
    stands(&mut ada, call, CallState::Ringing).await?;
    let second = office.join("hall", "second", Role::Moderator).await?;
    assert_eq!(
        second.welcome().calls.iter().map(|it| (it.call, it.state)).collect::<Vec<_>>(),
        [(call, CallState::Ringing)]
    );
    let hang_up = Request::HangUp { call };
    assert_eq!(refusal(&mut eve, hang_up.clone()).await?, ErrorCode::Forbidden);
    let mut elsewhere = office.join("elsewhere", "ada", Role::Moderator).await?;
    assert_eq!(refusal(&mut elsewhere, hang_up.clone()).await?, ErrorCode::NoSuchCall);
    assert_eq!(elsewhere.welcome().calls, []);

    ben.accept().await?;
    let there = eve.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantJoined { participant } if participant.transport == Transport::Sip => {
            Some(participant.clone())
        }
        _ => None,
    });
    let there = there.await?;
    assert_eq!(there.name, "Ben");
    let talking = stands(&mut ada, call, CallState::Talking).await?;
    assert_eq!(talking.participant.as_deref(), Some(there.id.as_str()));
    ada.request(hang_up.clone()).await?;
    let ended = stands(&mut ada, call, CallState::Ended).await?;
    assert_eq!((ended.reason.as_deref(), ended.participant), (Some("hung_up"), None));
    ben.wait_for_log("session closed", SOON).await?;
    ada.request(hang_up).await.context("it is over, which is what was asked for")?;

    eve.wait_for(SOON, |message| {
        matches!(message, ServerMessage::ParticipantLeft { participant, .. } if *participant == there.id)
            .then_some(())
    })
    .await?;
    let told = eve.signalling().recorded().iter().filter(|frame| frame.direction == Direction::FromServer);
    for frame in told {
        assert!(!frame.text.contains("call"), "{}", frame.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_declined_is_busy_and_one_that_is_hung_up_while_it_rings_has_ended()
-> anyhow::Result<()> {
    let office = Office::start("", "")?;
    let ben = office.phone("ben").await?;
    let mut ada = office.join("hall", "ada", Role::Moderator).await?;
    // Calls by HTTP are told as well.
    assert_eq!(office.post_call("hall", "ben")?, 201);
    let ringing = ada.wait_for(SOON, |message| match message {
        ServerMessage::CallUpdated { call } if call.state == CallState::Ringing => Some(call.call),
        _ => None,
    });
    let call = ringing.await?;
    ben.hang_up().await?;
    let ended = stands(&mut ada, call, CallState::Ended).await?;
    assert_eq!((ended.reason.as_deref(), ended.status), (Some("rejected"), Some(486)));

    let call = dial(&mut ada, order("ben")).await?.map_err(|code| anyhow::anyhow!("{code:?}"))?;
    stands(&mut ada, call, CallState::Ringing).await?;
    ada.request(Request::HangUp { call }).await?;
    let ended = stands(&mut ada, call, CallState::Ended).await?;
    assert_eq!((ended.reason.as_deref(), ended.participant), (Some("hung_up"), None));

    // Whose phone isn't there.
    let call = dial(&mut ada, order("cyd")).await?.map_err(|code| anyhow::anyhow!("{code:?}"))?;
    assert_eq!(stands(&mut ada, call, CallState::Ended).await?.status, Some(404));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_or_role_is_refused_and_so_is_what_comes_too_fast_over_whatever_way()
-> anyhow::Result<()> {
    let office = Office::start("", "")?;
    let mut ada = office.join("hall", "ada", Role::Moderator).await?;
    for wrong in ["", "sip:ben@192.0.2.1", "ben@192.0.2.1", "+49 30"] {
        assert_eq!(dial(&mut ada, order(wrong)).await?, Err(ErrorCode::BadMessage), "{wrong}");
    }
    assert_eq!(dial(&mut ada, order("+4930123456")).await?, Err(ErrorCode::NoSuchTrunk));
    let through = DialOrder { trunk: Some("carrier".into()), ..order("ben") };
    assert_eq!(dial(&mut ada, through).await?, Err(ErrorCode::NoSuchTrunk));
    let moderator = DialOrder { role: Some(Role::Moderator), ..order("ben") };
    assert_eq!(dial(&mut ada, moderator).await?, Err(ErrorCode::BadMessage));
    let language = DialOrder { language: Some("xx".into()), ..order("ben") };
    assert_eq!(dial(&mut ada, language).await?, Err(ErrorCode::BadMessage));

    let began = Instant::now();
    let mut made = 0;
    let code = loop {
        // By turns: they have one allowance.
        if made % 2 == 1 {
            match office.post_call("hall", "ben")? {
                201 => made += 1,
                429 => break ErrorCode::RateLimited,
                status => anyhow::bail!("{status}"),
            }
        } else {
            match dial(&mut ada, order("ben")).await? {
                Ok(_) => made += 1,
                Err(code) => break code,
            }
        }
        anyhow::ensure!(made < 200, "there is no limit");
    };
    assert_eq!(code, ErrorCode::RateLimited);
    let earned = began.elapsed().as_secs() as usize + 1;
    assert!((BURST..=BURST + earned).contains(&made), "{made} calls were made");
    // Unless a second has passed, neither way has one more.
    let statuses = [office.post_call("hall", "ben")?, office.post_call("hall", "ben")?];
    assert!(statuses.contains(&429), "{statuses:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moderates_by_having_come_first_calls_nobody_unless_it_is_configured_and_no_trunk()
-> anyhow::Result<()> {
    let trunk = "\n[[sip.trunk]]\nname = 'carrier'\nhost = '127.0.0.1:9'\n";
    let closed = Office::start("demo = true", trunk)?;
    let mut first = closed.join_demo("hall", "First").await?;
    assert_eq!(first.welcome().participants[0].role, Role::Moderator);
    assert_eq!(first.welcome().dial, None);
    for to in ["ben", "+4930123456"] {
        assert_eq!(dial(&mut first, order(to)).await?, Err(ErrorCode::Forbidden), "{to}");
    }
    // A token says more than having come first; and what a moderator makes of somebody is no token.
    let mut moderator = closed.join("hall", "mod", Role::Moderator).await?;
    let rights = DialRights { users: true, trunks: vec!["carrier".to_owned()] };
    assert_eq!(moderator.welcome().dial, Some(rights));
    let mut promoted = closed.join("hall", "promoted", Role::Speaker).await?;
    let promote = Request::SetRole { participant: "promoted".into(), role: Role::Moderator };
    moderator.request(promote).await?;
    assert_eq!(dial(&mut promoted, order("ben")).await?, Err(ErrorCode::Forbidden));
    // A moderator who is one no more.
    let mut second = closed.join("hall", "second", Role::Moderator).await?;
    let demote = Request::SetRole { participant: "second".into(), role: Role::Speaker };
    moderator.request(demote).await?;
    let told = second.wait_for(SOON, |message| match message {
        ServerMessage::DialRights { dial, calls } => Some((dial.clone(), calls.len())),
        _ => None,
    });
    assert_eq!(told.await?, (None, 0));
    assert_eq!(dial(&mut second, order("ben")).await?, Err(ErrorCode::Forbidden));

    let users = Office::start("demo = true", &format!("promoted_dials = 'users'{trunk}"))?;
    let mut first = users.join_demo("hall", "First").await?;
    assert_eq!(first.welcome().dial, Some(DialRights { users: true, trunks: vec![] }));
    let through = |to| DialOrder { trunk: Some("carrier".into()), ..order(to) };
    for order in [order("+4930123456"), through("+4930123456"), through("ben")] {
        assert_eq!(dial(&mut first, order.clone()).await?, Err(ErrorCode::Forbidden), "{order:?}");
    }
    assert!(dial(&mut first, order("ben")).await?.is_ok());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_no_phones_nobody_is_told_that_they_may_dial() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut ada = server.join("hall", "ada", Role::Moderator).await?;
    assert_eq!(ada.welcome().dial, None);
    assert_eq!(dial(&mut ada, order("ben")).await?, Err(ErrorCode::NoPhones));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_was_called_is_sent_to_another_room() -> anyhow::Result<()> {
    let office = Office::start("", "")?;
    let mut host = office.join("hall", "host", Role::Moderator).await?;
    let mut side = office.join("side", "side", Role::Listener).await?;
    let phone = office.phone("ben").await?;
    let call = dial(&mut host, order("ben")).await?.map_err(|code| anyhow::anyhow!("{code:?}"))?;
    stands(&mut host, call, CallState::Ringing).await?;
    phone.accept().await?;
    let there = stands(&mut host, call, CallState::Talking).await?.participant.context("who it is")?;
    assert_eq!(office.post_to("hall", &format!("phones/{there}/transfer"), "side")?, 202);
    let joined = side.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantJoined { participant } => Some(participant.transport),
        _ => None,
    });
    assert_eq!(joined.await.with_context(|| phone.log())?, Transport::Sip);
    stands(&mut host, call, CallState::Ended).await?;
    Ok(())
}
