//! Two clients of the load tester without a server between them: what their way from mouth to ear takes of itself, in the same
//! window as that through the server.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::RunOptions;
use crate::driver::{Addresses, CameraKind, DrivenPeer, Driver, DriverOptions};
use crate::hearing::ROOM_SHIFT;
use crate::{Histogram, Peer, PeerOptions, Place, VideoOffer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A publisher and a player who are connected to each other, on a thread of their own.
pub(super) struct Pair {
    driver: Driver,
}

impl Pair {
    /// Connects them: the same clients as those of the scenario, with the same voice and camera.
    pub(super) async fn connect(options: &RunOptions) -> anyhow::Result<Pair> {
        let scenario = &options.scenario;
        let driver = Driver::start(DriverOptions {
            threads: 1,
            addresses: Addresses::Ports,
            ip: options.server.address().ip(),
            joins_datagrams: options.joins_datagrams,
            hushed: false,
        })?;
        let (from, to) = (driver.place()?, driver.place()?);
        let peer = |place: &Place, slots| {
            let video = scenario.video.map(|_| VideoOffer { camera: slots == 0, slots, is_simulcast: false });
            let options = PeerOptions { data_channels: false, video, ..PeerOptions::default() };
            Peer::new(Instant::now(), place.address(), options)
        };
        let (mut publisher, mut player) = (peer(&from, 0)?, peer(&to, 1)?);
        let answer = player.answer(&publisher.offer(0))?;
        publisher.accept_answer(&answer)?;
        let turns = scenario.turns(0);
        let mut connections = Vec::new();
        for (number, (peer, place)) in [(publisher, from), (player, to)].into_iter().enumerate() {
            let speaks = number == 0;
            let (connected, connection) = oneshot::channel();
            connections.push(connection);
            driver.add(DrivenPeer {
                peer,
                place,
                // A room of their own, beside those of the server.
                participant: scenario.rooms << ROOM_SHIFT | number as u32,
                speaks: speaks.then_some((0, turns)),
                camera: scenario
                    .video
                    .filter(|_| speaks)
                    .map(|video| CameraKind::Filler { kbps: video.kbps }),
                watches: false,
                has_voices: false,
                spells: turns.spells,
                opens: !speaks,
                stays: true,
                connected,
            });
        }
        for connection in connections {
            let connected = timeout(CONNECT_TIMEOUT, connection).await;
            connected.context("a direct pair of clients is not connected in time")??;
        }
        Ok(Pair { driver })
    }

    /// A window begins.
    pub(super) fn start_counting(&self) {
        self.driver.start_counting();
    }

    /// What its voice took in the window, from mouth to ear.
    pub(super) fn finish(self) -> Histogram {
        self.driver.collect().heard.mouth_to_ear
    }
}
