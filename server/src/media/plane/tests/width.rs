//! What a viewer's network takes, and what they get of it, in virtual time.

use super::*;

impl World {
    /// A camera sends for so long, so many kbit/s, a packet of a thousand octets after another; the viewers report.
    fn film_for(&mut self, camera: usize, ms: u64, kbps: u64, mut each: impl FnMut(&mut World, u64)) {
        let (mut octets, mut asked) = (0, 0);
        for passed in 0..ms {
            octets += kbps / 8;
            while octets >= 1_000 {
                octets -= 1_000;
                self.frames += 1;
                let client = &mut self.clients[camera];
                let mid = *client.lines.last().expect("a camera");
                let pt = client.rtc.codec_config().params().iter().find(|it| it.spec().codec.is_video());
                let pt = pt.expect("VP8").pt();
                // RFC 7741, section 4.2: three temporal layers, as 0, 2, 1, 2, and which of them need none before.
                let is_key = self.frames == 1 || client.keyframes_asked > asked;
                asked = client.keyframes_asked;
                let temporal = [2, 0, 2, 1][self.frames as usize % 4];
                let layer = temporal << 6 | u8::from(!self.frames.is_multiple_of(4)) << 5;
                let payload = [&[0x90, 0x20, layer, u8::from(!is_key)][..], &[7; 996]].concat();
                let timestamp = (passed as u32 + self.frames) * 90;
                let write = RtpWrite::new(pt, u64::from(self.frames).into(), timestamp, self.now, payload);
                let mut api = client.rtc.direct_api();
                let stream = api.stream_tx_by_mid(mid, None).expect("the line sends");
                stream.write_rtp(write.marker(true).nackable(true));
            }
            self.step(1);
            each(self, passed);
        }
    }

    fn estimate(&self, client: usize) -> Option<u32> {
        self.plane.rooms[&RoomId::from("r")].video.estimate(self.clients[client].endpoint)
    }
}

/// The camera's bitrate, and that of its slowest layer.
const CAMERA_KBPS: u64 = 800;

fn watching() -> (World, usize, usize) {
    let mut world = World::new();
    let ada = world.join_with_video((1, 0), (1, 0));
    let viewer = world.join_with_video((1, 3), (0, 2));
    world.watch(viewer, &[ada]);
    (world, ada, viewer)
}

/// The estimates in the course of some time.
fn estimates(world: &mut World, ada: usize, viewer: usize, ms: u64) -> Vec<(u64, u32)> {
    let mut seen = Vec::new();
    world.film_for(ada, ms, CAMERA_KBPS, |world, at| {
        if at.is_multiple_of(100) {
            seen.extend(world.estimate(viewer).map(|kbps| (at, kbps)));
        }
    });
    seen
}

#[test]
fn a_network_that_takes_all_is_found_to() {
    let (mut world, ada, viewer) = watching();
    let seen = estimates(&mut world, ada, viewer, 20_000);
    let late = seen.iter().filter(|(at, _)| *at > 3_000);
    assert!(late.clone().count() > 100 && late.clone().all(|(_, kbps)| *kbps > 900), "{seen:?}");
}

#[test]
fn a_network_that_gets_narrow_and_wide_again_is_followed() {
    let (mut world, ada, viewer) = watching();
    estimates(&mut world, ada, viewer, 5_000);
    world.clients[viewer].link = Some(Link::new(300));
    let narrow = estimates(&mut world, ada, viewer, 10_000);
    let late: Vec<u32> = narrow.iter().filter(|(at, _)| *at >= 5_000).map(|(_, kbps)| *kbps).collect();
    let mean = late.iter().sum::<u32>() / late.len() as u32;
    assert!((240..=360).contains(&mean), "after five seconds {mean} kbit/s, of 300: {narrow:?}");
    world.clients[viewer].link = None;
    let wide = estimates(&mut world, ada, viewer, 5_000);
    let found_ms = wide.iter().find(|(_, kbps)| u64::from(*kbps) > CAMERA_KBPS).map(|(at, _)| *at);
    assert!(found_ms.is_some_and(|ms| ms < 3_000), "{wide:?}");
}
