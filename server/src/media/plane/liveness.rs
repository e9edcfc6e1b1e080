//! Whether a connection stands: by its ICE checks, and of encoders also by what they send.

use std::time::{Duration, Instant};

use tercet_core::EndpointId;

use super::Plane;
use crate::media::WorkerEvent;

/// Media is sent many times a second.
const RECENT: Duration = Duration::from_secs(2);

/// An encoder that checks nothing and has sent nothing for so long is gone: as long as checks may be absent.
const GONE_AFTER: Duration = Duration::from_secs(15);

impl Plane {
    /// ICE has found a way.
    pub(super) fn connected(&mut self, now: Instant, id: EndpointId) {
        self.set_reachable(now, id, true);
        self.tell(WorkerEvent::Connected { endpoint: id });
    }

    /// Nobody checks a connection any more. That of an encoder stands for as long as it sends: FFmpeg never checks twice.
    pub(super) fn checks_ended(&mut self, now: Instant, id: EndpointId) {
        let sends = self.endpoints.get(&id).is_some_and(|endpoint| {
            let is_recent = |at: Instant| now.saturating_duration_since(at) < RECENT;
            endpoint.is_over_http && endpoint.arrived_at.is_some_and(is_recent)
        });
        if sends {
            self.unchecked.insert(id);
        } else {
            self.disconnected(now, id);
        }
    }

    fn disconnected(&mut self, now: Instant, id: EndpointId) {
        self.end_all_publishing(now, id);
        self.set_reachable(now, id, false);
        self.tell(WorkerEvent::Disconnected { endpoint: id });
    }

    /// A packet came, of which nobody has asked yet whether it may be forwarded.
    pub(super) fn media_arrived(&mut self, now: Instant, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        endpoint.arrived_at = Some(now);
        if endpoint.is_over_http && !endpoint.is_reachable {
            self.unchecked.insert(id);
            self.connected(now, id);
        }
    }

    /// Those that check nothing and send keep their addresses; those that don't send any more are gone.
    pub(super) fn look_after_unchecked(&mut self, now: Instant) {
        for id in self.unchecked.iter().copied().collect::<Vec<_>>() {
            let arrived_at = self.endpoints.get(&id).and_then(|endpoint| endpoint.arrived_at);
            let silent = arrived_at.map_or(GONE_AFTER, |at| now.saturating_duration_since(at));
            if silent < RECENT {
                self.demux.keep(now, id);
            } else if silent >= GONE_AFTER {
                self.unchecked.remove(&id);
                self.disconnected(now, id);
            }
        }
    }
}
