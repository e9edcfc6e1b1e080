//! Who is heard, told to the control plane at most ten times a second.

use std::time::Instant;

use super::Plane;
use crate::media::trace::Tracer;
use crate::media::{Selection, WorkerEvent};

impl Plane {
    pub(super) fn announce_selections(&mut self, now: Instant) {
        let mut announced = Vec::new();
        let mut occupied = 0;
        for (room, local) in &mut self.rooms {
            local.shard.handle_timeout(now);
            local.tracers.retain_mut(Tracer::flush);
            let speakers = local.shard.speakers();
            occupied += speakers.len();
            let version = local.shard.selection_version();
            let switches = local.shard.switches();
            self.metrics.switches.increment(switches - local.counted_switches);
            local.counted_switches = switches;
            let changed = local.announced_version != version;
            let speech = !speakers.is_empty();
            // The end of speech is told once; a quiet room costs nothing.
            if changed || speech || local.announced_speech {
                let mut positions = vec![None; local.shard.position_count()];
                for speaker in &speakers {
                    positions[speaker.position] = Some((speaker.source, speaker.level));
                }
                let views = local.shard.views().map(|(endpoint, speakers)| (endpoint, speakers.to_vec()));
                let views = views.collect();
                announced.push(Selection { worker: self.id, room: room.clone(), positions, views });
            }
            local.announced_version = version;
            local.announced_speech = speech;
        }
        self.metrics.slots_occupied.set(occupied as f64);
        self.metrics.rooms.set(self.rooms.len() as f64);
        self.metrics.endpoints.set(self.endpoints.len() as f64);
        for selection in announced {
            self.tell(WorkerEvent::Selected(selection));
        }
    }
}
