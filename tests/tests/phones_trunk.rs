//! Phones by way of a trunk: a SIP server that is not ours, which wants passwords and has phones of its own.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;
use tercet_protocol::{Role, ServerMessage, Transport, WireParticipant};
use tercet_tests::kamailio::{ADDRESS, Kamailio, PASSWORD, SERVER};
use tercet_tests::softphone::{PhoneCodec, Softphone};
use tercet_tests::{SOON, Server, server_command};

/// What is heard of a tone: it left at -13 dBFS, and levels are evened out.
const HEARD_DBFS: f64 = -35.0;

/// What is not.
const UNHEARD_DBFS: f64 = -55.0;

/// A server with Kamailio as its trunk.
struct Registered {
    server: Server,
    directory: TempDir,
}

impl Registered {
    /// `sip` is what its configuration of phones has besides.
    fn start(kamailio: &Kamailio, password: &str, sip: &str) -> anyhow::Result<Registered> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("tercet.toml");
        let configuration = format!(
            "[sip]\n{sip}\n\
             [[sip.trunk]]\nname = \"kamailio\"\nhost = \"{}\"\nsources = [\"{ADDRESS}/32\"]\n\
             username = \"{SERVER}\"\npassword = \"{password}\"\nregister = true\ncaller = \"+493012345\"\n",
            kamailio.address
        );
        std::fs::write(&file, configuration)?;
        let mut command = server_command()?;
        command.stderr(File::create(log_of(&directory))?);
        let server = Server::start_as(
            command,
            &["--sip", "127.0.0.1:0", "--log", "info", "--config", &file.display().to_string()],
        )?;
        Ok(Registered { server, directory })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_of(&self.directory)).unwrap_or_default()
    }

    async fn wait_for_log(&self, text: &str) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + SOON;
        while !self.log().contains(text) {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "no {text:?} in {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn wait_for_metric(&self, name: &str, labels: &str, wanted: f64) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let value = self.server.metric(name, labels).await?;
            if value == wanted {
                return Ok(());
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "{name} is {value}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn log_of(directory: &TempDir) -> PathBuf {
    directory.path().join("log")
}

/// A softphone that is registered at Kamailio, besides being reached without.
async fn phone_at(kamailio: &Kamailio, name: &str, hz: f64) -> anyhow::Result<Softphone> {
    let phone = Softphone::start(name, PhoneCodec::Pcma, hz, "").await?;
    phone.command("uanew", &kamailio.account(name, "PCMA/8000/1")).await?;
    phone.wait_for_log("200 OK", SOON).await?;
    // It has another account besides, without a password; from now on it calls by this one.
    phone.command("uafind", &kamailio.uri(name)).await?;
    Ok(phone)
}

fn assert_hears(phone: &Softphone, hz: f64, own_hz: f64) -> anyhow::Result<()> {
    let heard = phone.heard()?.last(Duration::from_secs(2));
    let (other, own) = (heard.level_dbfs(hz), heard.level_dbfs(own_hz));
    anyhow::ensure!(other > HEARD_DBFS && own < UNHEARD_DBFS, "{hz} Hz: {other} dBFS, its own: {own} dBFS");
    Ok(())
}

async fn joined(client: &mut tercet_loadtest::Client) -> anyhow::Result<WireParticipant> {
    let phone = client.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantJoined { participant } if participant.transport == Transport::Sip => {
            Some(participant.clone())
        }
        _ => None,
    });
    Ok(phone.await?)
}

async fn left(client: &mut tercet_loadtest::Client) -> anyhow::Result<String> {
    let left = client.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, .. } => Some(participant.clone()),
        _ => None,
    });
    Ok(left.await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_registers_with_its_trunk_and_takes_that_back_when_it_ends() -> anyhow::Result<()> {
    let kamailio = Kamailio::start(&[]).await?;
    let mut ours = Registered::start(&kamailio, PASSWORD, "")?;
    ours.wait_for_metric("tercet_sip_trunks_registered", "", 1.0).await?;
    ours.wait_for_log("registered with the trunk").await?;
    ours.server.signal("TERM")?;
    assert_eq!(ours.server.exit_code(SOON).await?, 0);
    ours.wait_for_log("no longer registered with the trunk").await?;
    // With the password, to come and to go.
    let registers = kamailio.log().matches("<- REGISTER").count();
    assert!(registers >= 3, "{}", kamailio.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_wrong_password_is_not_registered_and_says_so() -> anyhow::Result<()> {
    let kamailio = Kamailio::start(&[]).await?;
    let ours = Registered::start(&kamailio, "not-the-password", "")?;
    ours.wait_for_log("the trunk doesn't let us register").await?;
    assert!(ours.log().contains("status=401"), "{}", ours.log());
    assert!(!ours.log().contains("not-the-password"), "{}", ours.log());
    ours.wait_for_metric("tercet_sip_trunks_registered", "", 0.0).await?;
    // It is asked once for its password, and doesn't insist.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kamailio.log().matches("<- REGISTER").count(), 2, "{}", kamailio.log());
    Ok(())
}

/// What a moderator does over HTTP.
struct Dialler {
    url: String,
    authorization: String,
}

impl Dialler {
    fn of(server: &Server, room: &str) -> anyhow::Result<Dialler> {
        let token = server.ticket(room, "eve", Role::Moderator)?.token;
        let url = format!("http://{}/v1/rooms/{room}/calls", server.http);
        Ok(Dialler { url, authorization: format!("Bearer {token}") })
    }

    fn dial(&self, order: &str) -> anyhow::Result<u64> {
        let request = ureq::post(&self.url).header("authorization", &self.authorization);
        let answer =
            request.header("content-type", "application/json").send(order)?.body_mut().read_to_string()?;
        serde_json::from_str::<Value>(&answer)?["call"].as_u64().context("a call has a number")
    }

    fn hang_up(&self, call: u64) -> anyhow::Result<()> {
        let request =
            ureq::delete(format!("{}/{call}", self.url)).header("authorization", &self.authorization);
        assert_eq!(request.call()?.status(), 204);
        Ok(())
    }

    /// How a call ended.
    async fn ended(&self, call: u64) -> anyhow::Result<Value> {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let request = ureq::get(&self.url).header("authorization", &self.authorization);
            let calls: Vec<Value> = serde_json::from_str(&request.call()?.body_mut().read_to_string()?)?;
            match calls.into_iter().find(|view| view["call"] == call) {
                Some(view) if view["state"] == "ended" => return Ok(view),
                view => anyhow::ensure!(tokio::time::Instant::now() < deadline, "call {call} is {view:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_called_through_a_trunk_that_wants_a_password() -> anyhow::Result<()> {
    let kamailio = Kamailio::start(&["ben"]).await?;
    let ours = Registered::start(&kamailio, PASSWORD, "")?;
    let server = &ours.server;
    let mut moderator = server.join("hall", "eve", Role::Moderator).await?;
    let ben = phone_at(&kamailio, "ben", 700.0).await?;
    let ada = Softphone::start("ada", PhoneCodec::G722, 440.0, "").await?;
    ada.dial(&server.sip_uri("hall")?).await?;
    joined(&mut moderator).await?;

    let dialler = Dialler::of(server, "hall")?;
    let call = dialler.dial(r#"{"to": "ben", "name": "Ben"}"#)?;
    ben.wait_for_log("Incoming call from:  sip:+493012345@", SOON).await?;
    ben.accept().await?;
    let there = joined(&mut moderator).await?;
    assert_eq!((there.name.as_str(), there.role), ("Ben", Role::Speaker));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_hears(&ben, 440.0, 700.0)?;
    assert_hears(&ada, 700.0, 440.0)?;
    ben.hang_up().await?;
    assert_eq!(left(&mut moderator).await?, there.id);
    assert_eq!(dialler.ended(call).await?["reason"], "peer_hung_up");
    kamailio.wait_for_log("-> BYE", SOON).await?;

    let nobody = dialler.ended(dialler.dial(r#"{"to": "nobody"}"#)?).await?;
    assert_eq!((nobody["reason"].as_str(), nobody["status"].as_u64()), (Some("rejected"), Some(404)));
    // The first INVITE of a call has no password, the second one has.
    let invites = kamailio.log().matches(&format!("user {SERVER}\n")).count();
    assert!(invites >= 3, "one REGISTER and two INVITEs: {}", kamailio.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_through_a_trunk_is_taken_back_while_it_rings_and_hung_up_later() -> anyhow::Result<()> {
    let kamailio = Kamailio::start(&["ben"]).await?;
    let ours = Registered::start(&kamailio, PASSWORD, "")?;
    let mut moderator = ours.server.join("hall", "eve", Role::Moderator).await?;
    let ben = phone_at(&kamailio, "ben", 700.0).await?;
    let dialler = Dialler::of(&ours.server, "hall")?;
    let call = dialler.dial(r#"{"to": "ben"}"#)?;
    ben.wait_for_log("Incoming call from", SOON).await?;
    dialler.hang_up(call)?;
    assert_eq!(dialler.ended(call).await?["reason"], "hung_up");
    kamailio.wait_for_log("<- CANCEL", SOON).await?;
    kamailio.wait_for_log("<- 487", SOON).await?;

    let call = dialler.dial(r#"{"to": "ben"}"#)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ben.accept().await?;
    let there = joined(&mut moderator).await?;
    dialler.hang_up(call)?;
    assert_eq!(left(&mut moderator).await?, there.id);
    kamailio.wait_for_log("-> BYE", SOON).await?;
    ben.wait_for_log("session closed: Connection reset by peer", SOON).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_of_the_trunk_calls_a_number_and_others_may_not() -> anyhow::Result<()> {
    let kamailio = Kamailio::start(&["ben"]).await?;
    let routes = r#"
        callers = "trunks"
        route = [
            { number = "+493012345", trunk = "kamailio", room = "hall" },
            { number = "tercet", room = "lobby" },
        ]
    "#;
    let ours = Registered::start(&kamailio, PASSWORD, routes)?;
    let server = &ours.server;
    ours.wait_for_metric("tercet_sip_trunks_registered", "", 1.0).await?;
    let mut hall = server.join("hall", "eve", Role::Moderator).await?;
    let mut lobby = server.join("lobby", "eve", Role::Moderator).await?;
    let ben = phone_at(&kamailio, "ben", 700.0).await?;
    ben.dial(&kamailio.uri("493012345")).await?;
    let there = joined(&mut hall).await?;
    assert_eq!((there.name.as_str(), there.role), ("ben", Role::Speaker));
    let heard = hall.wait_for(SOON, |message| match message {
        ServerMessage::Slots { slots } => slots.iter().find_map(|slot| slot.participant.clone()),
        _ => None,
    });
    assert_eq!(heard.await?, there.id);
    ben.hang_up().await?;
    assert_eq!(left(&mut hall).await?, there.id);
    ours.wait_for_log("call ended").await?;
    assert!(ours.log().contains(r#"peer=Trunk("kamailio")"#), "{}", ours.log());

    // Called by its name there, its own name is all that the server hears.
    ben.dial(&kamailio.uri(SERVER)).await?;
    joined(&mut lobby).await?;
    ben.hang_up().await?;
    left(&mut lobby).await?;
    ben.dial(&kamailio.uri("493099999")).await?;
    ben.wait_for_log("404 Not Found", SOON).await?;

    let cyd = Softphone::start("cyd", PhoneCodec::Pcma, 0.0, "").await?;
    cyd.dial(&server.sip_uri("493012345")?).await?;
    cyd.wait_for_log("403 Forbidden", SOON).await?;
    ours.wait_for_metric("tercet_sip_rejected_total", "403", 1.0).await?;
    Ok(())
}
