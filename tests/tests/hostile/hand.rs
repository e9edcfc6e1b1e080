//! A client whose datagrams pass through the test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tercet_loadtest::{
    Audio, Peer, PeerEvent, PeerOptions, PeerOutput, ReceivedPacket, Signalling, SyntheticFrame,
};
use tercet_protocol::Role;
use tercet_tests::{SOON, Server};
use tokio::net::UdpSocket;
use tokio::time::timeout_at;

use crate::FRAME;

pub(crate) const SLOTS: u8 = 3;

/// A joined client whose datagrams pass through the test.
pub(crate) struct Hand {
    pub(crate) signalling: Signalling,
    pub(crate) peer: Peer,
    pub(crate) socket: UdpSocket,
    /// Where the server receives its media.
    pub(crate) media: SocketAddr,
    /// The server's session description.
    pub(crate) answer: String,
    pub(crate) connected: bool,
    pub(crate) packets: Vec<ReceivedPacket>,
}

/// What becomes of a datagram that the peer wants to send: what is sent in its place.
pub(crate) type Pass<'a> = &'a mut dyn FnMut(Vec<u8>) -> Vec<Vec<u8>>;

pub(crate) fn unchanged(datagram: Vec<u8>) -> Vec<Vec<u8>> {
    vec![datagram]
}

impl Hand {
    /// Joins and negotiates; nothing of the connection is made yet.
    pub(crate) async fn negotiate(server: &Server, room: &str, identity: &str) -> anyhow::Result<Hand> {
        let as_it_is: fn(&str) -> String = str::to_owned;
        Hand::negotiate_as(server, room, identity, PeerOptions::default(), as_it_is, as_it_is).await
    }

    /// As [`Hand::negotiate`], with session descriptions that are changed on their way.
    pub(crate) async fn negotiate_as(
        server: &Server,
        room: &str,
        identity: &str,
        options: PeerOptions,
        to_server: fn(&str) -> String,
        from_server: fn(&str) -> String,
    ) -> anyhow::Result<Hand> {
        let ticket = server.ticket(room, identity, Role::Speaker)?;
        let mut signalling = Signalling::connect(&ticket.server).await?;
        signalling.join(&ticket.token, None).await?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let mut peer = Peer::new(Instant::now(), socket.local_addr()?, options)?;
        let answer = signalling.offer(to_server(&peer.offer(SLOTS)), false).await?;
        peer.accept_answer(&from_server(&answer))?;
        let media = candidate(&answer)?;
        Ok(Hand { signalling, peer, socket, media, answer, connected: false, packets: Vec::new() })
    }

    /// A client like any other, for the time being.
    pub(crate) async fn join(server: &Server, room: &str, identity: &str) -> anyhow::Result<Hand> {
        let mut hand = Hand::negotiate(server, room, identity).await?;
        hand.connect(&mut unchanged).await?;
        Ok(hand)
    }

    pub(crate) async fn connect(&mut self, pass: Pass<'_>) -> anyhow::Result<()> {
        self.run(SOON, pass, |hand| hand.connected).await?;
        anyhow::ensure!(self.connected, "no connection within {SOON:?}");
        Ok(())
    }

    /// Throws the peer away and offers a new one.
    pub(crate) async fn replace_peer(&mut self) -> anyhow::Result<()> {
        self.socket = UdpSocket::bind("127.0.0.1:0").await?;
        self.peer = Peer::new(Instant::now(), self.socket.local_addr()?, PeerOptions::default())?;
        self.answer = self.signalling.offer(self.peer.offer(SLOTS), true).await?;
        self.peer.accept_answer(&self.answer)?;
        self.connected = false;
        self.connect(&mut unchanged).await
    }

    /// Moves datagrams until `done`, or for the time given.
    pub(crate) async fn run(
        &mut self,
        time: Duration,
        pass: Pass<'_>,
        done: impl Fn(&Hand) -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        let mut datagram = [0; 2_048];
        loop {
            let deadline = self.drain(pass).await?;
            if done(self) || Instant::now() >= end {
                return Ok(());
            }
            match timeout_at(deadline.min(end).into(), self.socket.recv_from(&mut datagram)).await {
                Ok(Ok((length, from))) => self.peer.handle(Instant::now(), from, &datagram[..length])?,
                // An ICMP error of an earlier send says nothing of this moment.
                Ok(Err(_)) => {}
                Err(_) => self.peer.handle_timeout(Instant::now())?,
            }
        }
    }

    pub(crate) async fn drain(&mut self, pass: Pass<'_>) -> anyhow::Result<Instant> {
        loop {
            match self.peer.poll()? {
                PeerOutput::Timeout(at) => return Ok(at),
                PeerOutput::Transmit { contents, .. } => {
                    for datagram in pass(contents) {
                        self.send_raw(&datagram).await?;
                    }
                }
                PeerOutput::Event(PeerEvent::Connected) => self.connected = true,
                PeerOutput::Event(PeerEvent::PacketReceived(packet)) => self.packets.push(packet),
                PeerOutput::Event(_) => {}
            }
        }
    }

    /// Sends anything from the client's own address.
    pub(crate) async fn send_raw(&self, datagram: &[u8]) -> anyhow::Result<()> {
        self.socket.send_to(datagram, self.media).await?;
        Ok(())
    }

    /// Speaks for so many frames, 20 ms each.
    pub(crate) async fn speak(&mut self, publisher: u32, frames: u32, pass: Pass<'_>) -> anyhow::Result<()> {
        for count in 0..frames {
            let now = Instant::now();
            let frame = SyntheticFrame::new(publisher, count, now).encode(80);
            self.peer.send_audio(now, Audio::new(frame, -20))?;
            self.run(FRAME, pass, |_| false).await?;
        }
        Ok(())
    }

    pub(crate) fn ice_ufrag(&self) -> anyhow::Result<&str> {
        let line = self.answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
        line.map(str::trim).context("an answer has a user fragment")
    }
}

/// The first candidate of an answer (RFC 8839, section 5.1): `candidate:F 1 udp PRIORITY ADDRESS PORT typ host`.
pub(crate) fn candidate(answer: &str) -> anyhow::Result<SocketAddr> {
    let line = answer.lines().find(|line| line.starts_with("a=candidate:")).context("a candidate")?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let address = SocketAddr::new(fields[4].parse()?, fields[5].parse()?);
    anyhow::ensure!(address.ip().is_loopback(), "tests send to loopback only");
    Ok(address)
}
