//! Who is heard, whose screen is, told to the control plane at most ten times a second.

use std::time::Instant;

use tercet_protocol::ByAudio;

use super::Plane;
use crate::media::trace::Tracer;
use crate::media::{Selection, WorkerEvent};

impl Plane {
    pub(super) fn announce_selections(&mut self, now: Instant) {
        self.end_stopped_shares(now);
        let mut announced = Vec::new();
        let mut occupied = 0;
        for (room, local) in &mut self.rooms {
            let ByAudio { microphone: voices, screen: stage } = &mut local.shards;
            voices.handle_timeout(now);
            stage.handle_timeout(now);
            local.tracers.retain_mut(Tracer::flush);
            let speakers = voices.speakers();
            occupied += speakers.len();
            let version = voices.selection_version();
            let switches = voices.switches();
            self.metrics.switches.increment(switches - local.counted_switches);
            local.counted_switches = switches;
            let changed = local.announced_version != version;
            let speech = !speakers.is_empty();
            // The end of speech is told once; a quiet room costs nothing.
            if changed || speech || local.announced_speech {
                let mut positions = vec![None; voices.position_count()];
                for speaker in &speakers {
                    positions[speaker.position] = Some(*speaker);
                }
                let views = voices.views().map(|(endpoint, speakers)| (endpoint, speakers.to_vec()));
                let views = views.collect();
                let selection = Selection { at: now, worker: self.id, room: room.clone(), positions, views };
                announced.push(WorkerEvent::Selected(selection));
            }
            let source = stage.speakers().first().map(|sharer| sharer.source);
            if std::mem::replace(&mut local.announced_screen, source) != source {
                announced.push(WorkerEvent::ScreenChanged { worker: self.id, room: room.clone(), source });
            }
            local.announced_version = version;
            local.announced_speech = speech;
        }
        self.metrics.slots_occupied.set(occupied as f64);
        self.metrics.rooms.set(self.rooms.len() as f64);
        self.metrics.endpoints.set(self.endpoints.len() as f64);
        for event in announced {
            self.tell(event);
        }
    }
}
