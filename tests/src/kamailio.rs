//! A real SIP server that is not ours: Kamailio, a process of its own, as the trunk that a company or a provider has.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Where it is: at another address than phones and servers of tests, so that calls from it can be told from others.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What it asks all of its users for.
pub const PASSWORD: &str = "a-password-of-kamailio";

/// The user that the server is there.
pub const SERVER: &str = "tercet";

/// Below the ports that systems choose from, and above those of softphones.
const PORTS: std::ops::Range<u16> = 31_000..32_700;

/// It has what it needs of modules in less.
const MEMORY_MB: &str = "16";

/// No test takes longer; if it is killed, this is how long its Kamailio stays.
const LIFE_S: &str = "180";

/// A Kamailio process: registrar and proxy, which wants a password for every REGISTER, and for the INVITE of every call. It
/// ends with the value.
///
/// A call to a user goes to where they have registered. One to a number goes to where [`SERVER`] has, with the number in
/// place of the user, as most trunks do.
pub struct Kamailio {
    child: Child,
    directory: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Kamailio {
    /// Starts one with these users beside [`SERVER`].
    ///
    /// # Errors
    /// Kamailio is not installed, or doesn't come up.
    pub async fn start(users: &[&str]) -> anyhow::Result<Kamailio> {
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let address = free_address().await?;
        let file = at.join("kamailio.cfg");
        std::fs::write(&file, configuration(address, users))?;
        let log = std::fs::File::create(at.join("log"))?;
        // `timeout` passes on the signal that ends it.
        let child = Command::new("timeout")
            .args([LIFE_S, "/usr/sbin/kamailio", "-DD", "-E", "-m", MEMORY_MB, "-M", "4"])
            .args([Path::new("-f"), &file, Path::new("-Y"), at, Path::new("-w"), at])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting timeout")?;
        let mut kamailio = Kamailio { child, directory, address };
        kamailio.wait_until_up().await?;
        Ok(kamailio)
    }

    async fn wait_until_up(&mut self) -> anyhow::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (ours, theirs) = (socket.local_addr()?, self.address);
        let options = format!(
            "OPTIONS sip:{theirs} SIP/2.0\r\nVia: SIP/2.0/UDP {ours};branch=z9hG4bK-up\r\nMax-Forwards: 70\r\n\
             From: <sip:test@{ours}>;tag=1\r\nTo: <sip:{theirs}>\r\nCall-ID: up@{ours}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let mut buffer = [0; 2048];
        for _ in 0..100 {
            if let Some(status) = self.child.try_wait()? {
                bail!("Kamailio is not there ({status}; apt-get install kamailio?): {}", self.log());
            }
            // Before it listens, ICMP makes errors of both.
            let _ = socket.send_to(options.as_bytes(), theirs).await;
            let answer = timeout(Duration::from_millis(100), socket.recv(&mut buffer)).await;
            match answer {
                Ok(Ok(length)) if buffer[..length].starts_with(b"SIP/2.0 200") => return Ok(()),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        bail!("Kamailio did not come up: {}", self.log());
    }

    /// What the account of a softphone needs to register here as this user, with this codec as baresip names it.
    pub fn account(&self, user: &str, codec: &str) -> String {
        format!("<sip:{user}@{}>;regint=60;auth_pass={PASSWORD};audio_codecs={codec}", self.address)
    }

    /// Where a user or a number can be called.
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.address)
    }

    /// What it wrote: a line for each request and response that passed it, among others.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until its log has a text.
    ///
    /// # Errors
    /// It has not, in time.
    pub async fn wait_for_log(&self, text: &str, within: Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        while !self.log().contains(text) {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "no {text:?} in {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Asked to, it takes its processes with it. An error means that it has ended already.
        let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

async fn free_address() -> anyhow::Result<SocketAddr> {
    // Several tests run at once: each begins elsewhere.
    let start = rand::random_range(PORTS);
    for port in (start..PORTS.end).chain(PORTS.start..start) {
        let address = SocketAddr::from((ADDRESS, port));
        if UdpSocket::bind(address).await.is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free on {ADDRESS}")
}

fn configuration(address: SocketAddr, users: &[&str]) -> String {
    let passwords: String = [&[SERVER], users]
        .concat()
        .iter()
        .map(|user| format!("    $sht(passwords=>{user}) = \"{PASSWORD}\";\n"))
        .collect();
    format!(
        r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
disable_tcp=yes
listen=udp:{address}
server_header="Server: Kamailio"

loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "htable.so"
loadmodule "auth.so"
loadmodule "xlog.so"

modparam("htable", "htable", "passwords=>size=4")
# Nonces as strict as they come: each is good for one request.
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")

event_route[htable:mod-init] {{
{passwords}}}

request_route {{
    xlog("L_INFO", "<- $rm $ru from $si:$sp, $fU to $tU, user $au\n");
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        # Within a call: by the route that was recorded, and no other.
        if (loose_route()) {{ route(RELAY); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    t_check_trans();
    if (!is_method("REGISTER|INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}

    # What a REGISTER is for is who it is from; an INVITE comes from any number.
    $var(checks) = 0;
    if (is_method("REGISTER")) $var(checks) = 1;
    if ($au == $null || $sht(passwords=>$au) == $null
            || !pv_auth_check("kamailio.test", "$sht(passwords=>$au)", "0", "$var(checks)")) {{
        auth_challenge("kamailio.test", "1");
        exit;
    }}
    consume_credentials();
    if (is_method("REGISTER")) {{ save("location"); exit; }}

    record_route();
    if ($rU =~ "^[+]?[0-9]+$") {{
        $var(number) = $rU;
        $rU = "{SERVER}";
        if (!lookup("location")) {{ sl_send_reply("480", "Temporarily Unavailable"); exit; }}
        $rU = $var(number);
    }} else if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    route(RELAY);
}}

route[RELAY] {{
    if (is_method("INVITE")) t_on_reply("ANSWER");
    xlog("L_INFO", "-> $rm $ru\n");
    if (!t_relay()) sl_reply_error();
}}

onreply_route[ANSWER] {{
    xlog("L_INFO", "<- $rs $rr from $si:$sp\n");
}}
"#
    )
}
