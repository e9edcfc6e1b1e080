//! One node, from its configuration to its end.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::access::Access;
use crate::cluster::{self, ClusterCommand, ZoneMap};
use crate::config::Config;
use crate::control::{self, Control, ControlHandle, ControlInput};
use crate::http::{self, Node, Stop};
use crate::media::WorkerPool;
use crate::phones;
use crate::shutdown::Signals;
use crate::whip::Whip;

/// Worker events under way to the control plane; a worker keeps its own backlog beyond.
const WORKER_EVENTS_MAX: usize = 8192;

/// Events of the cluster under way to the control plane; its thread keeps its own backlog beyond.
const CLUSTER_EVENTS_MAX: usize = 8192;

const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How long the last words to clients may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(config: Config) -> anyhow::Result<()> {
    start_logging(&config)?;
    raise_open_files(&config);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(run(Arc::new(config)))
}

async fn run(config: Arc<Config>) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let metrics = install_metrics()?;
    let access = Arc::new(Access::from_config(&config)?);
    let zones = config.cluster.zone_map.as_deref().map(ZoneMap::from_file).transpose()?.unwrap_or_default();
    let tls = http::Tls::start(&config.tls).context("HTTPS")?;
    let listener = TcpListener::bind(config.http)
        .await
        .with_context(|| format!("HTTP on {} (choose another with --http)", config.http))?;
    let http_address = listener.local_addr()?;

    let nodes = config.cluster.secret.is_some().then(|| cluster::bind(&config)).transpose()?;
    let (event_sender, worker_events) = mpsc::channel(WORKER_EVENTS_MAX);
    let inbox = nodes.as_ref().map(|nodes| nodes.inbox.clone());
    let phones = config.sip.enabled.then(phones::bind).transpose()?;
    let phones_inbox = phones.as_ref().map(|phones| phones.inbox.clone());
    let mut pool = WorkerPool::start(&config, phones_inbox, inbox, &event_sender)?;
    let lines = match (phones, pool.phones()) {
        (Some(phones), Some(worker)) => {
            let inboxes = pool.inboxes().to_vec();
            let (handle, lines) = phones.start(worker, inboxes, event_sender, config.sip.silent_after())?;
            pool.add_phones(handle);
            Some(lines)
        }
        _ => None,
    };
    let media = pool.bound().flatten().copied().collect::<Vec<_>>();
    let tcp = pool.tcp().to_vec();
    let nodes_address = nodes.as_ref().map(|nodes| nodes.address);

    let (cluster_sender, cluster_events) = mpsc::channel(CLUSTER_EVENTS_MAX);
    let inboxes = pool.inboxes().to_vec();
    let started = nodes.map(|nodes| nodes.start(&config, http_address, inboxes, cluster_sender));
    let cluster = started.transpose()?;
    if let Some(cluster) = &cluster {
        let seeds = &config.cluster.seeds;
        tokio::spawn(cluster::keep_resolving(cluster.clone(), seeds.clone()));
        if !seeds.is_empty() {
            tokio::spawn(cluster::warn_if_alone(cluster.clone(), seeds.clone()));
        }
    }
    let state = Control::new(config.clone(), pool.len());
    let events = cluster.clone().map(|handle| control::Cluster { handle, events: cluster_events });
    let (control, control_task) = control::start(state, pool, worker_events, events);
    let stop = Arc::new(watch::Sender::new(Stop::No));
    let phones = match lines {
        Some(lines) => phones::start(config.clone(), lines, control.clone(), stop.clone()).await?,
        None => None,
    };
    let sip = phones.as_ref().map_or(&[][..], |phones| phones.addresses());
    announce(&config, http_address, (&media, &tcp), nodes_address, sip);
    let node = Node {
        config: config.clone(),
        access,
        control: control.clone(),
        metrics,
        door: http::door(),
        stop: stop.clone(),
        cluster: cluster.clone(),
        zones: Arc::new(zones),
        dialler: phones.as_ref().map(|phones| phones.dialler()),
        whip: Whip::new(),
    };
    let (stop_http, http_stopped) = oneshot::channel::<()>();
    let mut server = tokio::spawn(http::listen(listener, tls, http::router(node), http_stopped));

    tokio::select! {
        () = signals.next() => {}
        ended = &mut server => anyhow::bail!("the HTTP server ended by itself: {ended:?}"),
    }
    tokio::select! {
        () = drain(&config, &control, &stop) => {}
        () = signals.next() => {
            warn!("told twice to stop: stopping at once");
            return Ok(());
        }
    }
    if let Some(phones) = phones {
        phones.stop(GOODBYE).await;
    }
    drop(control);
    let _ = stop_http.send(());
    // Connections that stay open, such as one that never sent a request, don't hold up the end.
    if tokio::time::timeout(GOODBYE, &mut server).await.is_err() {
        server.abort();
    }
    if let Ok(Ok(pool)) = tokio::time::timeout(GOODBYE, control_task).await {
        pool.stop().await;
    }
    if let Some(cluster) = cluster {
        let leave = cluster.ask(|left| ClusterCommand::Leave { left });
        let _ = tokio::time::timeout(GOODBYE, leave).await;
    }
    info!("stopped");
    Ok(())
}

/// Tells everybody, waits until they have left or the time is over, and ends the rest.
async fn drain(config: &Config, control: &ControlHandle, stop: &watch::Sender<Stop>) {
    let deadline = Duration::from_millis(config.shutdown_ms);
    info!(?deadline, "stopping: no one is taken in any more");
    stop.send_replace(Stop::By(Instant::now() + deadline));
    // Those whose sessions are here, and those who are passed on to other nodes.
    let drained = async {
        tokio::join!(control.ask(|drained| ControlInput::Drain { deadline, drained }), stop.closed());
    };
    if tokio::time::timeout(deadline, drained).await.is_err() {
        info!("time is over: ending the sessions that are left");
        stop.send_replace(Stop::Now);
        control.ask(|ended| ControlInput::EndAll { ended }).await;
        // The sockets still have to write what was queued for them.
        tokio::time::sleep(GOODBYE).await;
    }
}

fn start_logging(config: &Config) -> anyhow::Result<()> {
    let filter = log_filter(&config.log.filter).context("log.filter")?;
    let colours = std::io::stderr().is_terminal();
    let logger =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    if config.log.json {
        logger.json().init()
    } else {
        logger.init()
    }
    Ok(())
}

/// What is logged. The libraries below the media workers log what peers send, some of it a line for each
/// attribute of a stranger's datagram: that is counted, and logged only where it is asked for by name. So is what the
/// WebSocket's library logs: with `trace`, messages with their tokens. That of the nodes' network warns of what is usual.
fn log_filter(directives: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    const OF_PEERS: &str = "str0m=off,is=off,dimpl=off,sctp_proto=off,tungstenite=off,tokio_tungstenite=off,\
                            atm0s_sdn=off,atm0s_sdn_network=off,atm0s_sdn_router=off";
    // Whatever is asked for: what SIP's library logs has credentials in it.
    EnvFilter::try_new(format!("{OF_PEERS},{directives},{}", tercet_sip_gateway::signalling::LOG_DIRECTIVE))
}

/// Raises the limit of open files, as far as we may: each session is a connection, and the limit that most
/// service managers begin with, 1,024, is soon reached.
fn raise_open_files(config: &Config) {
    let sessions_max = config.limits.sessions_max;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < u64::from(sessions_max) => {
            warn!(limit, sessions_max, "fewer files may be open than sessions: raise `ulimit -n`");
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "raising the limit of open files"),
    }
}

fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    const LAG_BUCKETS_S: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0];
    let builder = PrometheusBuilder::new().set_buckets(&LAG_BUCKETS_S).context("metrics")?;
    let metrics = builder.install_recorder().context("metrics")?;
    let handle = metrics.clone();
    tokio::spawn(async move {
        // Histograms keep every sample until they are taken up, also where nobody ever asks for `/metrics`.
        let mut due = tokio::time::interval(METRICS_UPKEEP);
        loop {
            due.tick().await;
            handle.run_upkeep();
        }
    });
    Ok(metrics)
}

/// What an operator wants to see, on standard output: where the demo is, and who may enter.
fn announce(
    config: &Config,
    http: SocketAddr,
    (media, tcp): (&[SocketAddr], &[SocketAddr]),
    nodes: Option<SocketAddr>,
    sip: &[(phones::SipTransport, SocketAddr)],
) {
    let media_is_local = media.iter().all(|address| address.ip().is_loopback());
    let list = |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let tcp = if tcp.is_empty() { String::new() } else { format!("          TCP {}\n", list(tcp)) };
    let demo = match (http::has_demo(), config.demo_open()) {
        (true, true) => "",
        (true, false) => "\n          with ?token=..., see `tercet token`",
        (false, _) => "\n          not in this binary: the page says how to build it",
    };
    let secret = config.access.secret.is_some().then_some("HS256 with the secret");
    let key = config.access.public_key_file.is_some().then_some("EdDSA with the public key");
    let tokens: Vec<&str> = secret.into_iter().chain(key).collect();
    let access = if config.uses_dev_secret() {
        "tokens of the development secret (loopback only)".to_owned()
    } else {
        format!("tokens, {}", tokens.join(" or "))
    };
    let cluster =
        nodes.map(|address| format!("  cluster node {} on UDP {address}\n", cluster::own_id(config)));
    let phones = sip.iter().find(|(transport, _)| *transport == phones::SipTransport::Udp);
    // With routes, who calls names no room.
    let called = if config.sip.route.is_empty() { "ROOM@" } else { "" };
    let phones = phones.map(|(_, address)| format!("  phones  sip:{called}{address}\n"));
    let scheme = config.http_scheme();
    let said = format!(
        "Tercet {}\n  demo    {scheme}://{http}/{demo}\n  media   UDP {}\n{tcp}{}{}  access  {access}\n",
        env!("CARGO_PKG_VERSION"),
        list(media),
        phones.unwrap_or_default(),
        cluster.unwrap_or_default(),
    );
    // In one piece, and whoever started the server may have closed its end.
    let _ = std::io::stdout().write_all(said.as_bytes());
    if config.demo_open() && !http.ip().is_loopback() {
        warn!("demo is on: whoever reaches {http} may enter any room");
    }
    let is_announced = !config.public_ip.is_empty() || !config.media_udp_public.is_empty();
    if !http.ip().is_loopback() && media_is_local && !is_announced {
        warn!("media_udp is loopback only: nobody on another machine will hear anything");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use str0m::ice::StunMessage;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while a stranger's STUN message of 500 attributes is read.
    fn logged(directives: &str) -> String {
        // RFC 8489, section 14.1: MAPPED-ADDRESS, but empty.
        let attributes = [0, 1, 0, 0].repeat(500);
        let mut message = vec![0, 0x11, (attributes.len() / 256) as u8, (attributes.len() % 256) as u8];
        message.extend([0x21, 0x12, 0xa4, 0x42]);
        message.extend([7; 12]);
        message.extend(attributes);
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = log_filter(directives).expect("directives can be read");
        let subscriber =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let _ = StunMessage::parse(&message);
            info!("of our own");
        });
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_strangers_datagram_is_not_logged_unless_asked_for() {
        assert_eq!(logged("info").lines().count(), 1);
        assert_eq!(logged("info,is=warn").lines().count(), 501);
    }
}
