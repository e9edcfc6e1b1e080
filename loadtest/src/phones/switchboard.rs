//! The thread of phones' sound: a few sockets for all of them, and their 20 ms.
//!
//! It wakes each millisecond, reads what there is, and has a twentieth of the phones send: so their packets come to the server
//! one by one, as those of phones do that know nothing of each other. When a packet came the kernel says, so it doesn't matter
//! that it waited here.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::counts::CallCounts;
use super::phone::{Phone, silence};
use crate::driver::{Arrival, Batch, Port, UdpTable, bind_shared};

/// What a tick of the server's sends all phones comes at once: each socket's buffer in the kernel holds a part of it.
const PORTS: usize = 8;

const STEP: Duration = Duration::from_millis(1);

/// Steps of 20 ms.
const STEPS: u64 = 20;

/// What the thread was held up by is made up for, but no more than this: else phones would send what nobody waits for any more.
const CATCH_UP_STEPS_MAX: u64 = 100;

/// The thread. Dropping it stops it.
pub(super) struct Switchboard {
    shared: Arc<Shared>,
    next_port: AtomicUsize,
    addresses: Vec<SocketAddr>,
    handle: Option<JoinHandle<io::Result<()>>>,
}

struct Shared {
    ports: Vec<Port>,
    /// By port. Locked while the thread works, for well less than a millisecond.
    state: Mutex<State>,
    stops: AtomicBool,
}

#[derive(Default)]
struct State {
    phones: Vec<Connected>,
    /// By the server's address of the call.
    by_remote: HashMap<SocketAddr, usize>,
    /// What they say.
    silence: Vec<Bytes>,
    counts: CallCounts,
    dropped_before: u64,
}

struct Connected {
    port: usize,
    from: SocketAddr,
    phone: Phone,
    ticks: usize,
}

impl Switchboard {
    pub(super) fn start(ip: IpAddr) -> io::Result<Switchboard> {
        let ports = (0..PORTS).map(|_| Port::new(bind_shared()?, None, false));
        let ports = ports.collect::<io::Result<Vec<_>>>()?;
        let address = |port: &Port| Ok(SocketAddr::new(ip, port.socket.local_addr()?.port()));
        let addresses = ports.iter().map(address).collect::<io::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared { ports, state: Mutex::default(), stops: AtomicBool::new(false) });
        let runs = shared.clone();
        let handle = thread::Builder::new().name("switchboard".to_owned()).spawn(move || runs.run())?;
        Ok(Switchboard { shared, next_port: AtomicUsize::new(0), addresses, handle: Some(handle) })
    }

    /// The socket of the next phone.
    pub(super) fn next_port(&self) -> usize {
        self.next_port.fetch_add(1, Ordering::Relaxed) % PORTS
    }

    /// Its address, for an offer.
    pub(super) fn address(&self, port: usize) -> SocketAddr {
        self.addresses[port]
    }

    /// A call was answered.
    pub(super) fn add(&self, port: usize, phone: Phone) {
        let mut state = self.shared.lock();
        if state.silence.is_empty() {
            state.silence = silence(phone.codec());
        }
        let (index, from) = (state.phones.len(), self.addresses[port]);
        state.by_remote.insert(phone.remote, index);
        // They don't say the same at once.
        state.phones.push(Connected { port, from, phone, ticks: index });
    }

    pub(super) fn start_counting(&self) {
        let dropped = self.shared.dropped();
        let mut state = self.shared.lock();
        state.counts = CallCounts::default();
        state.dropped_before = dropped;
        state.phones.iter_mut().for_each(|connected| connected.phone.start_counting());
    }

    pub(super) fn collect(&self) -> CallCounts {
        let dropped = self.shared.dropped();
        let state = self.shared.lock();
        let mut counts = state.counts.clone();
        state.phones.iter().for_each(|connected| connected.phone.add_to(&mut counts));
        counts.dropped_here = dropped.saturating_sub(state.dropped_before);
        counts
    }

    /// Ends the thread. Returns what ended it before, if something did.
    pub(super) fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.shared.stops.store(true, Ordering::Relaxed);
        // A thread that panicked has said so already.
        self.handle.take().map_or(Ok(()), |handle| handle.join().unwrap_or(Ok(())))
    }
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Shared {
    /// No code panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dropped(&self) -> u64 {
        let table = UdpTable::read();
        self.ports.iter().map(|port| port.dropped(&table)).sum()
    }

    fn run(&self) -> io::Result<()> {
        let (mut batch, mut datagram) = (Batch::new(false), BytesMut::new());
        let (began, mut step) = (Instant::now(), 0);
        while !self.stops.load(Ordering::Relaxed) {
            let mut state = self.lock();
            for port in &self.ports {
                while port.receive(&mut batch, |arrival| state.receive(&arrival))? {}
            }
            let now = Instant::now();
            let reached = now.saturating_duration_since(began).as_millis() as u64;
            step = step.max(reached.saturating_sub(CATCH_UP_STEPS_MAX));
            while step < reached {
                step += 1;
                let due = began + STEP * (step as u32);
                state.send(due, now, (step % STEPS) as usize, &self.ports, &mut datagram);
            }
            drop(state);
            thread::sleep((began + STEP * (step as u32 + 1)).saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}

impl State {
    fn receive(&mut self, arrival: &Arrival<'_>) {
        // What comes before the answer is of no phone yet.
        if let Some(&index) = self.by_remote.get(&arrival.from) {
            self.phones[index].phone.receive(arrival.at, arrival.contents, &mut self.counts);
        }
    }

    /// Those of one step send.
    fn send(&mut self, due: Instant, now: Instant, step: usize, ports: &[Port], datagram: &mut BytesMut) {
        for connected in self.phones.iter_mut().skip(step).step_by(STEPS as usize) {
            connected.ticks += 1;
            let payload = &self.silence[connected.ticks % self.silence.len()];
            let Some(to) = connected.phone.tick(now, payload, datagram) else { continue };
            match ports[connected.port].send(connected.from, to, datagram) {
                true => self.counts.packets_in += 1,
                false => self.counts.sends_failed += 1,
            }
            self.counts.send_lag.record(now.saturating_duration_since(due));
        }
    }
}
