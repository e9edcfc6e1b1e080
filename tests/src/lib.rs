//! What the end-to-end tests share: a server process of their own, and clients of it.
//!
//! A [`Server`] is the real binary on loopback with ports of the system's choice; it is ended, by its
//! process id, when the value is dropped. `TERCET_BIN` names the binary, `target/debug/tercet` is
//! the default.

pub mod cluster;
pub mod https;
pub mod kamailio;
pub mod listening;
pub mod namespace;
pub mod softphone;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
pub use tercet_cluster_sim::{self as simulation, network};
use tercet_loadtest::{Client, JoinOptions, ServerUrl, SyntheticFrame, Voice, token::Claims};
use tercet_protocol::Role;

/// The secret that the servers of the tests sign tokens with.
pub const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";

/// How long anything may take that is expected to happen.
pub const SOON: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    child: Child,
    /// Where HTTP and signalling listen.
    pub http: SocketAddr,
    /// The media ports, by worker.
    pub media: Vec<SocketAddr>,
    /// Where media comes over TCP.
    pub media_tcp: Vec<SocketAddr>,
    /// Where it listens for other nodes, if it is in a cluster.
    pub nodes: Option<SocketAddr>,
    /// Where phones call, if they can.
    pub sip: Option<SocketAddr>,
}

impl Server {
    /// Starts a server with two workers, on both of which its rooms are.
    ///
    /// # Errors
    /// The binary is missing, or did not come up.
    pub fn start() -> anyhow::Result<Server> {
        Server::start_with(&[])
    }

    /// Starts a server with further arguments. They replace the usual addresses, workers and log filter.
    ///
    /// # Errors
    /// The binary is missing, or did not come up.
    pub fn start_with(arguments: &[&str]) -> anyhow::Result<Server> {
        Server::start_as(server_command()?, arguments)
    }

    /// Starts a server by a command of its own, such as one that enters a network namespace first.
    ///
    /// # Errors
    /// It did not come up.
    pub fn start_as(mut command: Command, arguments: &[&str]) -> anyhow::Result<Server> {
        command.args(["serve", "--secret", SECRET]);
        for (flag, value) in [
            ("--http", "127.0.0.1:0"),
            ("--workers", "2"),
            ("--together-max", "0"),
            ("--media-udp", "127.0.0.1:0"),
            ("--sip", "off"),
            ("--log", "warn"),
        ] {
            if !arguments.contains(&flag) {
                command.args([flag, value]);
            }
        }
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).spawn().context("starting the server")?;
        match addresses(&mut child) {
            Ok(Addresses { http, media, media_tcp, nodes, sip }) => {
                Ok(Server { child, http, media, media_tcp, nodes, sip })
            }
            Err(error) => {
                // It may be running all the same.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Where a phone calls a room.
    ///
    /// # Errors
    /// The server has no phones.
    pub fn sip_uri(&self, room: &str) -> anyhow::Result<String> {
        Ok(format!("sip:{room}@{}", self.sip.context("the server has no phones")?))
    }

    /// Its base URL.
    ///
    /// # Errors
    /// Never for a server on loopback.
    pub fn url(&self) -> anyhow::Result<ServerUrl> {
        Ok(format!("http://{}", self.http).parse()?)
    }

    /// What a client needs to join: a token of one hour, and everything else as usual.
    ///
    /// # Errors
    /// The token can't be signed.
    pub fn ticket(&self, room: &str, identity: &str, role: Role) -> anyhow::Result<JoinOptions> {
        let token = Claims::new(room, identity, role).sign(SECRET.as_bytes())?;
        Ok(JoinOptions::new(self.url()?, token))
    }

    /// A client in the room, with media flowing.
    ///
    /// # Errors
    /// The server refused, or media did not connect in time.
    pub async fn join(&self, room: &str, identity: &str, role: Role) -> anyhow::Result<Client> {
        self.join_with(self.ticket(room, identity, role)?).await
    }

    /// A client with options of its own, with media flowing.
    ///
    /// # Errors
    /// The server refused, or media did not connect in time.
    pub async fn join_with(&self, options: JoinOptions) -> anyhow::Result<Client> {
        let mut client = Client::join(options).await?;
        client.wait_connected(SOON).await?;
        Ok(client)
    }

    /// Two ordinary clients, in a room of their own, hear each other: whatever happened before.
    ///
    /// # Errors
    /// They don't, or the server refused them.
    pub async fn assert_serves(&self) -> anyhow::Result<()> {
        let mut pair = Vec::new();
        for number in 0..2 {
            let client = self.join("an-ordinary-room", &format!("ordinary-{number}"), Role::Speaker).await?;
            client.speak(Voice::new(number, -20)).await?;
            pair.push(client);
        }
        for (client, other) in pair.iter_mut().zip([1, 0]) {
            let packet = client.next_packet(SOON).await?;
            let heard = packet.frame().and_then(SyntheticFrame::decode).map(|frame| frame.publisher);
            anyhow::ensure!(heard == Some(other), "{heard:?} is heard instead of {other}");
        }
        for client in pair {
            client.leave().await?;
        }
        Ok(())
    }

    /// The value of a counter or gauge, added up over all its labels that contain `labels`.
    ///
    /// # Errors
    /// The metrics can't be read.
    pub async fn metric(&self, name: &str, labels: &str) -> anyhow::Result<f64> {
        let (status, body) = self.get("/metrics").await?;
        anyhow::ensure!(status == 200, "metrics: {status}");
        let samples = body.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        });
        let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Status and body of a GET.
    ///
    /// # Errors
    /// The server can't be reached.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        self.get_as(path, None).await
    }

    /// Status and body of a GET with a token.
    ///
    /// # Errors
    /// The server can't be reached.
    pub async fn get_as(&self, path: &str, token: Option<&str>) -> anyhow::Result<(u16, String)> {
        let url = format!("http://{}{path}", self.http);
        let authorization = token.map(|token| format!("Bearer {token}"));
        tokio::task::spawn_blocking(move || {
            let mut request = agent().get(&url);
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            let mut response = request.call()?;
            Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
        })
        .await?
    }

    /// Status and body of a POST of JSON.
    ///
    /// # Errors
    /// The server can't be reached.
    pub async fn post(&self, path: &str, json: &str) -> anyhow::Result<(u16, String)> {
        let (url, json) = (format!("http://{}{path}", self.http), json.to_owned());
        tokio::task::spawn_blocking(move || {
            let agent = agent();
            let mut response = agent.post(&url).header("content-type", "application/json").send(json)?;
            Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
        })
        .await?
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name, such as `TERM`.
    ///
    /// # Errors
    /// `kill` can't be run.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status()?;
        anyhow::ensure!(status.success(), "kill: {status}");
        Ok(())
    }

    /// Kills it, and waits until it is gone and its ports are free.
    ///
    /// # Errors
    /// As from the operating system.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end; returns its exit code.
    ///
    /// # Errors
    /// It did not end in time, or was killed.
    pub async fn exit_code(&mut self, within: Duration) -> anyhow::Result<i32> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return status.code().context("ended by a signal");
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "the server did not end in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Where a server says that it listens.
struct Addresses {
    http: SocketAddr,
    /// By worker.
    media: Vec<SocketAddr>,
    media_tcp: Vec<SocketAddr>,
    nodes: Option<SocketAddr>,
    sip: Option<SocketAddr>,
}

/// Reads what a server that is starting says.
fn addresses(child: &mut Child) -> anyhow::Result<Addresses> {
    let stdout = child.stdout.take().context("standard output is piped above")?;
    let mut lines = BufReader::new(stdout).lines();
    let (mut http, mut media, mut media_tcp, mut nodes, mut sip) = (None, None, Vec::new(), None, None);
    let mut is_complete = false;
    while !is_complete {
        let Some(line) = lines.next() else {
            let status = child.wait()?;
            bail!("the server ended before it was up: {status}");
        };
        let line = line?;
        if let Some((_, url)) = line.split_once("demo    ") {
            let (_, address) = url.split_once("://").context("a page has a URL")?;
            http = Some(address.trim_end_matches('/').parse()?);
        } else if let Some((_, addresses)) = line.split_once("media   UDP ") {
            media = Some(addresses.split(", ").map(str::parse).collect::<Result<_, _>>()?);
        } else if let Some(addresses) = line.strip_prefix("          TCP ") {
            media_tcp = addresses.split(", ").map(str::parse).collect::<Result<_, _>>()?;
        } else if let Some((_, address)) = line.split_once("phones  sip:") {
            sip = Some(address.trim_start_matches("ROOM@").parse()?);
        } else if let Some((_, address)) = line.split_once(" on UDP ") {
            nodes = Some(address.parse()?);
        }
        // The last line that there is in any case, after that of the cluster.
        is_complete = line.contains("  access  ");
    }
    let (http, media) = http.zip(media).context("they stand above the last line")?;
    Ok(Addresses { http, media, media_tcp, nodes, sip })
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.kill();
    }
}

/// A command for the server's binary, without the `TERCET_*` variables of whoever runs the tests.
///
/// # Errors
/// The binary is missing.
pub fn server_command() -> anyhow::Result<Command> {
    Ok(without_settings(Command::new(server_binary()?)))
}

/// The server's binary.
///
/// # Errors
/// It is missing.
pub fn server_binary() -> anyhow::Result<PathBuf> {
    let binary = match std::env::var_os("TERCET_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            // target/debug/deps/TEST → target/debug/tercet
            let test = std::env::current_exe()?;
            let folder =
                test.parent().and_then(|deps| deps.parent()).context("a test lies in target/PROFILE/deps")?;
            folder.join("tercet")
        }
    };
    anyhow::ensure!(binary.exists(), "{} is missing: run `cargo build -p tercet` first", binary.display());
    Ok(binary)
}

/// A command without the `TERCET_*` variables of whoever runs the tests.
pub fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TERCET_") {
            command.env_remove(name);
        }
    }
    command
}

/// An HTTP client for which an error status is an answer like any other.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(SOON)).build().into()
}
