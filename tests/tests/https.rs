//! HTTPS without a proxy: certificates by files, renewed under way, or by ACME; and signalling through it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use tercet_loadtest::token::Claims;
use tercet_protocol::Role;
use tercet_tests::https::{Authority, connect, get, shown};
use tercet_tests::{SECRET, SOON, Server, server_command};
use tokio_tungstenite::tungstenite::Message;

fn start(certificate: &Path, key: &Path) -> anyhow::Result<Server> {
    let [certificate, key] = [certificate, key].map(|path| path.to_str().context("a path of the test's"));
    Server::start_with(&["--tls-cert", certificate?, "--tls-key", key?])
}

/// Joins by a WebSocket inside TLS, and waits for the answer.
async fn join_at(server: SocketAddr, root: &Path) -> anyhow::Result<String> {
    let stream = connect(server, "localhost", root).await?;
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("wss://localhost:{}/v1/ws", server.port()), stream).await?;
    let token = Claims::new("r", "ada", Role::Speaker).sign(SECRET.as_bytes())?;
    socket
        .send(Message::text(serde_json::json!({ "type": "join", "version": 1, "token": token }).to_string()))
        .await?;
    let answer = tokio::time::timeout(SOON, socket.next()).await?.context("an answer")??;
    Ok(answer.into_text()?.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_signalling_come_through_tls() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let (certificate, key) = authority.issue("localhost")?;
    let server = start(&certificate, &key)?;
    let answer = get(connect(server.http, "localhost", &authority.root()).await?, "/healthz").await?;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    let joined = join_at(server.http, &authority.root()).await?;
    assert!(joined.contains(r#""type":"joined""#), "{joined}");
    // Whoever speaks plain HTTP to it gets nothing.
    assert!(server.get("/healthz").await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_without_a_restart() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let (certificate, key) = authority.issue("localhost")?;
    let mut server = start(&certificate, &key)?;
    let current = async |server: &Server| -> anyhow::Result<Vec<u8>> {
        shown(&connect(server.http, "localhost", &authority.root()).await?)
    };
    let first = current(&server).await?;
    // What can't be used leaves everything as it was.
    std::fs::write(&key, "no key")?;
    server.signal("HUP")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(current(&server).await?, first);
    // On the signal at once, and without it by itself.
    for (is_told, within) in [(true, Duration::from_secs(2)), (false, Duration::from_secs(15))] {
        let before = current(&server).await?;
        authority.issue("localhost")?;
        if is_told {
            server.signal("HUP")?;
        }
        let deadline = Instant::now() + within;
        while current(&server).await? == before {
            anyhow::ensure!(Instant::now() < deadline, "the former certificate is shown after {within:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(server.is_running());
    Ok(())
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_at_start() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let (certificate, key) = authority.issue("localhost")?;
    let (_, foreign) = authority.issue("example")?;
    for (certificate, key, mentions) in [
        (certificate.clone(), directory.path().join("missing.key"), "missing.key"),
        (key.clone(), key.clone(), "has no certificate"),
        (certificate, foreign, "can't be used together"),
    ] {
        let output = server_command()?
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--media-udp",
                "127.0.0.1:0",
                "--sip",
                "off",
                "--tls-cert",
            ])
            .arg(certificate)
            .arg("--tls-key")
            .arg(key)
            .output()?;
        let said = String::from_utf8(output.stderr)?;
        assert!(!output.status.success() && said.contains(mentions), "{mentions:?} is not in: {said}");
    }
    Ok(())
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One of Let's Encrypt's own test programs: `./dev test` installs them.
fn tool(name: &str) -> anyhow::Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|it| it.exists());
    let mut command =
        Command::new(found.with_context(|| format!("{name} is missing: ./dev test installs it"))?);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An ACME authority on loopback, for which every name leads here, and which asks at the port `tls`.
fn start_pebble(
    directory: &Path,
    authority: &Authority,
    tls: u16,
) -> anyhow::Result<(Vec<Process>, u16, u16)> {
    let (certificate, key) = authority.issue("localhost")?;
    let (dns, acme, management) = (free_port()?, free_port()?, free_port()?);
    let names = tool("pebble-challtestsrv")?
        .args([
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ])
        .args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{}", free_port()?)])
        .spawn()?;
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{acme}"),
        "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": certificate, "privateKey": key, "httpPort": 1, "tlsPort": tls,
    } });
    let file = directory.join("pebble.json");
    std::fs::write(&file, config.to_string())?;
    let pebble = tool("pebble")?
        .args(["-dnsserver", &format!("127.0.0.1:{dns}"), "-config"])
        .arg(&file)
        .env("PEBBLE_VA_NOSLEEP", "1")
        // Else it refuses some at random.
        .env("PEBBLE_WFE_NONCEREJECT", "0")
        .spawn()?;
    Ok((vec![Process(names), Process(pebble)], acme, management))
}

/// The root of the authority's certificates, which is new each time it starts.
async fn root_of_pebble(management: u16, authority: &Authority, into: PathBuf) -> anyhow::Result<PathBuf> {
    let address = SocketAddr::from(([127, 0, 0, 1], management));
    let deadline = Instant::now() + SOON;
    loop {
        let asked = async { get(connect(address, "localhost", &authority.root()).await?, "/roots/0").await };
        if let Ok(answer) = asked.await
            && let Some((_, pem)) = answer.split_once("\r\n\r\n")
        {
            std::fs::write(&into, pem)?;
            return Ok(into);
        }
        anyhow::ensure!(Instant::now() < deadline, "pebble did not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_comes_by_acme_and_is_kept() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let http = free_port()?;
    let (processes, acme, management) = start_pebble(directory.path(), &authority, http)?;
    let root = root_of_pebble(management, &authority, directory.path().join("pebble.pem")).await?;
    let (file, cache) = (directory.path().join("tercet.toml"), directory.path().join("acme"));
    std::fs::write(
        &file,
        format!(
            "http = '127.0.0.1:{http}'\n[tls]\nacme = ['audio.tercet.test']\nacme_cache = {cache:?}\n\
             acme_directory = 'https://localhost:{acme}/dir'\nacme_authority = {:?}\n",
            authority.root()
        ),
    )?;
    let config = file.to_str().context("a path of the test's")?;
    let at = format!("127.0.0.1:{http}");
    let mut server = Server::start_with(&["--config", config, "--http", &at])?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let first = loop {
        match connect(server.http, "audio.tercet.test", &root).await {
            Ok(stream) => break shown(&stream)?,
            Err(error) => anyhow::ensure!(Instant::now() < deadline, "no certificate: {error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // With the authority gone, a server that starts again has the same one.
    drop(processes);
    server.kill()?;
    let server = Server::start_with(&["--config", config, "--http", &at])?;
    let deadline = Instant::now() + SOON;
    let again = loop {
        match connect(server.http, "audio.tercet.test", &root).await {
            Ok(stream) => break shown(&stream)?,
            Err(error) => anyhow::ensure!(Instant::now() < deadline, "no certificate: {error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(first, again);
    Ok(())
}
