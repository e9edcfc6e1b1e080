//! The network's part: datagrams to many addresses, and a thread that receives them as the load tester's do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::driver::{Batch, Port, UdpTable, bind_shared};

/// Nobody else's addresses.
const RANGE_START: u32 = Ipv4Addr::new(127, 128, 0, 0).to_bits();
/// As the driver's threads do when there is much to read.
const STEP: Duration = Duration::from_millis(1);
/// The receiver is done when it has read nothing for so long, and isn't waited for much longer.
const QUIET: Duration = Duration::from_millis(3);
const QUIET_WITHIN: Duration = Duration::from_millis(50);

/// Addresses of one socket, and the socket that sends to them.
pub(super) struct Destinations {
    socket: UdpSocket,
    state: UdpSocketState,
    addresses: Vec<SocketAddr>,
}

impl Destinations {
    pub(super) fn new(count: u32, port: u16) -> io::Result<Destinations> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let address = |n| SocketAddr::from((Ipv4Addr::from_bits(RANGE_START + n), port));
        Ok(Destinations { socket, state, addresses: (0..count).map(address).collect() })
    }

    /// One system call, one datagram.
    pub(super) fn send(&mut self, to: u32, datagram: &[u8]) -> anyhow::Result<()> {
        self.socket.send_to(datagram, self.addresses[to as usize])?;
        Ok(())
    }

    /// One system call, several datagrams of so many bytes each.
    pub(super) fn send_segments(&mut self, to: u32, datagrams: &[u8], bytes: usize) -> anyhow::Result<()> {
        let transmit = Transmit {
            destination: self.addresses[to as usize],
            ecn: None,
            contents: datagrams,
            segment_size: Some(bytes),
            src_ip: None,
        };
        Ok(self.state.try_send(UdpSockRef::from(&self.socket), &transmit)?)
    }
}

/// The thread that receives. Dropping it stops it.
pub(super) struct Sink {
    port: Arc<Port>,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

impl Sink {
    pub(super) fn start() -> io::Result<Sink> {
        let port = Arc::new(Port::new(bind_shared()?, None, false)?);
        let (received, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (reads, counts, stops) = (port.clone(), received.clone(), stop.clone());
        let handle = thread::Builder::new().name("floor".to_owned()).spawn(move || {
            let mut batch = Batch::new(false);
            while !stops.load(Ordering::Relaxed) {
                let mut count = 0;
                while let Ok(true) = reads.receive(&mut batch, |_| count += 1) {}
                counts.fetch_add(count, Ordering::Relaxed);
                thread::sleep(STEP);
            }
        })?;
        Ok(Sink { port, received, stop, handle: Some(handle) })
    }

    pub(super) fn port(&self) -> u16 {
        self.port.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Waits until what was sent is read.
    pub(super) fn wait_until_quiet(&self) {
        let end = Instant::now() + QUIET_WITHIN;
        let mut read = self.received.load(Ordering::Relaxed);
        while Instant::now() < end {
            thread::sleep(QUIET);
            let now = self.received.load(Ordering::Relaxed);
            if now == read {
                return;
            }
            read = now;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.port.dropped(&UdpTable::read())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(handle) = self.handle.take() {
            // A thread that panicked has said so already.
            let _ = handle.join();
        }
    }
}
