//! What a viewer's network takes, and what they get of it, in virtual time.

use super::*;

impl World {
    /// A camera sends for so long, so many kbit/s, a packet of a thousand octets after another; the viewers report.
    fn film_for(&mut self, camera: usize, ms: u64, kbps: u64, mut each: impl FnMut(&mut World, u64)) {
        let mut octets = 0;
        for passed in 0..ms {
            octets += kbps / 8;
            while octets >= 1_000 {
                octets -= 1_000;
                self.frames += 1;
                let client = &mut self.clients[camera];
                let mid = *client.lines.last().expect("a camera");
                let pt = client.rtc.codec_config().params().iter().find(|it| it.spec().codec.is_video());
                let pt = pt.expect("VP8").pt();
                let is_key = self.frames % 100 == 1;
                let payload = [&[0x10, u8::from(!is_key)][..], &[7; 998]].concat();
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

#[test]
fn a_network_that_takes_all_is_found_to() {
    let mut world = World::new();
    let ada = world.join_with_video((1, 0), (1, 0));
    let viewer = world.join_with_video((1, 3), (0, 2));
    world.watch(viewer, &[ada]);
    world.film_for(ada, 20_000, 800, |world, ms| {
        if ms % 500 == 0 {
            println!("{ms} {:?} {}", world.estimate(viewer), world.clients[viewer].sent_to);
        }
    });
}
