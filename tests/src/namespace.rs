//! Nodes in network namespaces of their own, which the test makes: one for each, joined by a router that loses, cuts and
//! slows down what it is told to.
//!
//! A test of this kind runs in a process of its own: [`enter`] starts the test's program once more, in a namespace that is
//! the router, and goes away with it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cluster::CLUSTER_SECRET;
use crate::{Server, server_binary, without_settings};

/// Set in the process that is the router.
const INSIDE: &str = "TEST_IS_IN_A_NAMESPACE";

/// Whether the caller is inside. If not, the test was run inside, and it is over.
///
/// # Errors
/// It failed there, or no namespace can be made.
pub fn enter(test: &str) -> anyhow::Result<bool> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(true);
    }
    let mut command = Command::new("unshare");
    command.arg("--net");
    // Whoever isn't root is root in a user namespace of their own.
    if !is_root()? {
        command.arg("--map-root-user");
    }
    let program = std::env::current_exe()?;
    let status = command.arg(program).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").status()?;
    ensure!(status.success(), "in a namespace: {status}");
    Ok(false)
}

fn is_root() -> anyhow::Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(String::from_utf8(id.stdout)?.trim() == "0")
}

/// Of what is sent over loopback to these UDP ports, so many percent are lost from now on. For a test that needs no router.
///
/// # Errors
/// This is no namespace of the test's own, or `nft` can't be run.
pub fn lose_on_loopback(ports: &str, percent: u8) -> anyhow::Result<()> {
    ensure!(std::env::var_os(INSIDE).is_some(), "call `enter` first");
    run("nft add table ip loopback")?;
    run("nft add chain ip loopback input { type filter hook input priority 0 ; }")?;
    run(&format!("nft add rule ip loopback input udp dport {ports} numgen random mod 100 < {percent} drop"))
}

/// What is sent to the one address, over UDP or TCP, gets to the other, as behind NAT. For a test that needs no router.
///
/// # Errors
/// This is no namespace of the test's own, or `nft` can't be run.
pub fn translate_on_loopback(from: SocketAddrV4, to: SocketAddrV4) -> anyhow::Result<()> {
    ensure!(std::env::var_os(INSIDE).is_some(), "call `enter` first");
    run("nft add table ip translated")?;
    run("nft add chain ip translated output { type nat hook output priority -100 ; }")?;
    let (ip, port) = (from.ip(), from.port());
    for protocol in ["udp", "tcp"] {
        run(&format!(
            "nft add rule ip translated output ip daddr {ip} {protocol} dport {port} dnat to {to}"
        ))?;
    }
    Ok(())
}

/// Brings loopback up, which a new namespace has down.
///
/// # Errors
/// `ip` can't be run.
pub fn raise_loopback() -> anyhow::Result<()> {
    run("ip link set lo up")
}

/// The namespace in the middle.
pub struct Router {
    nodes: Vec<Host>,
}

/// A namespace with a node in it.
struct Host {
    /// It keeps the namespace alive.
    holder: Child,
    address: Ipv4Addr,
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Router {
    /// A router without anybody.
    ///
    /// # Errors
    /// This is no namespace of the test's own.
    pub fn new() -> anyhow::Result<Router> {
        ensure!(std::env::var_os(INSIDE).is_some(), "call `enter` first");
        raise_loopback()?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("becoming a router")?;
        run("nft add table ip cluster")?;
        run("nft add chain ip cluster forward { type filter hook forward priority 0 ; }")?;
        Ok(Router { nodes: Vec::new() })
    }

    /// A node of that zone and number, in a namespace of its own, with further arguments.
    ///
    /// # Errors
    /// The namespace can't be made, or the node doesn't come up.
    pub fn start(
        &mut self,
        zone: u8,
        index: u8,
        seed: Option<Ipv4Addr>,
        arguments: &[&str],
    ) -> anyhow::Result<Server> {
        let address = address(zone, index);
        if !self.nodes.iter().any(|host| host.address == address) {
            self.add(address)?;
        }
        let host = self.nodes.iter().find(|host| host.address == address).context("it was added")?;
        let mut command = without_settings(Command::new("nsenter"));
        command.arg(format!("--net=/proc/{}/ns/net", host.holder.id())).arg(server_binary()?);
        let (zone, index) = (zone.to_string(), index.to_string());
        let [http, media, cluster] = [8080, 50000, 50100].map(|port| format!("{address}:{port}"));
        let seed = seed.map(|seed| format!("{seed}:50100"));
        let mut all = vec!["--cluster-secret", CLUSTER_SECRET, "--zone", &zone, "--node-id", &index];
        all.extend(["--http", &http, "--media-udp", &media, "--cluster-udp", &cluster]);
        if let Some(seed) = &seed {
            all.extend(["--seed", seed]);
        }
        all.extend_from_slice(arguments);
        Server::start_as(command, &all)
    }

    /// A namespace with one address, behind the router.
    fn add(&mut self, address: Ipv4Addr) -> anyhow::Result<()> {
        let number = self.nodes.len();
        let holder = Command::new("unshare").args(["--net", "sleep", "1000"]).stdin(Stdio::null()).spawn()?;
        let pid = holder.id();
        self.nodes.push(Host { holder, address });
        let own = std::fs::read_link("/proc/self/ns/net")?;
        let is_made = || std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|theirs| theirs != own);
        for _ in 0..200 {
            if is_made() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        ensure!(is_made(), "no namespace for {address}");
        let gateway = Ipv4Addr::new(10, 77, 255, number as u8 + 1);
        run(&format!("ip link add node{number} type veth peer name uplink netns {pid}"))?;
        run(&format!("ip address add {gateway}/32 dev node{number}"))?;
        run(&format!("ip link set node{number} up"))?;
        let inside = |command: &str| run(&format!("nsenter --net=/proc/{pid}/ns/net {command}"));
        inside("ip link set lo up")?;
        inside(&format!("ip address add {address}/32 dev uplink"))?;
        inside("ip link set uplink up")?;
        inside(&format!("ip route add {gateway}/32 dev uplink"))?;
        inside(&format!("ip route add default via {gateway}"))?;
        run(&format!("ip route add {address}/32 dev node{number} src {gateway}"))
    }

    /// What nodes of two zones send each other is dropped from now on.
    ///
    /// # Errors
    /// `nft` can't be run.
    pub fn cut(&self, a: u8, b: u8) -> anyhow::Result<()> {
        for (from, to) in [(a, b), (b, a)] {
            rule(&format!("ip saddr {} ip daddr {} drop", zone(from), zone(to)))?;
        }
        Ok(())
    }

    /// Of what any nodes send each other, so many percent are dropped from now on.
    ///
    /// # Errors
    /// `nft` can't be run.
    pub fn lose(&self, percent: u8) -> anyhow::Result<()> {
        rule(&format!("ip protocol udp udp dport 50100 numgen random mod 100 < {percent} drop"))
    }

    /// Nothing is dropped from now on.
    ///
    /// # Errors
    /// `nft` can't be run.
    pub fn mend(&self) -> anyhow::Result<()> {
        run("nft flush chain ip cluster forward")
    }
}

/// Where a node is.
pub fn address(zone: u8, index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, zone, index)
}

fn zone(zone: u8) -> String {
    format!("10.77.{zone}.0/24")
}

fn rule(rule: &str) -> anyhow::Result<()> {
    run(&format!("nft add rule ip cluster forward {rule}"))
}

/// Runs a command of words; what it says is shown only if it fails.
fn run(command: &str) -> anyhow::Result<()> {
    let mut words = command.split_whitespace();
    let program = words.next().context("a command has a name")?;
    let output = Command::new(program).args(words).output().with_context(|| command.to_owned())?;
    if !output.status.success() {
        let _ = std::io::stderr().write_all(&output.stderr);
    }
    ensure!(output.status.success(), "{command}: {}", output.status);
    Ok(())
}
