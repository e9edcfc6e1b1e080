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

    /// Those that checked nothing and sent for a while, and don't any more.
    pub(super) fn end_silent_encoders(&mut self, now: Instant) {
        let is_gone = |id: &&EndpointId| {
            let arrived_at = self.endpoints.get(id).and_then(|endpoint| endpoint.arrived_at);
            arrived_at.is_none_or(|at| now.saturating_duration_since(at) >= GONE_AFTER)
        };
        for id in self.unchecked.iter().filter(is_gone).copied().collect::<Vec<_>>() {
            self.unchecked.remove(&id);
            self.disconnected(now, id);
        }
    }
}
