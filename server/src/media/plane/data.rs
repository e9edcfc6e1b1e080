//! Data frames: from a peer to the control plane, and from there to peers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::EndpointId;
use tercet_protocol::DATA_BYTES_MAX;

use super::Plane;
use crate::media::WorkerEvent;
use crate::media::peer::CHANNEL_BUFFER_BYTES_MAX;

const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);

impl Plane {
    pub(super) fn send_data(&mut self, now: Instant, id: EndpointId, reliable: bool, frame: &Arc<[u8]>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        let is_open = endpoint.peer.as_ref().is_some_and(|peer| peer.is_reliable_open());
        if reliable && !is_open && endpoint.data_pending_bytes + frame.len() <= CHANNEL_BUFFER_BYTES_MAX {
            endpoint.data_pending_bytes += frame.len();
            endpoint.data_pending.push_back(frame.clone());
            return;
        }
        if self.with_peer(now, id, |peer| Ok(peer.send_data(reliable, frame))) == Some(true) {
            self.speak_soon(now, id);
        } else {
            self.metrics.data_dropped.increment(1);
        }
    }

    pub(super) fn send_pending_data(&mut self, now: Instant, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        endpoint.data_pending_bytes = 0;
        for frame in std::mem::take(&mut endpoint.data_pending) {
            self.send_data(now, id, true, &frame);
        }
    }

    pub(super) fn data(&mut self, now: Instant, id: EndpointId, reliable: bool, frame: Vec<u8>) {
        let allowed = self.endpoints.get_mut(&id).is_some_and(|e| e.data_allowance.take(now));
        if !allowed || frame.len() > DATA_BYTES_MAX {
            self.metrics.data_dropped.increment(1);
            return self.refuse_data(now, id, allowed);
        }
        self.tell(WorkerEvent::DataReceived { endpoint: id, reliable, frame });
    }

    /// Tells the client, not more than once a second.
    fn refuse_data(&mut self, now: Instant, id: EndpointId, too_large: bool) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        let told = endpoint.data_refused_at;
        if told.is_none_or(|at| now.saturating_duration_since(at) >= REFUSAL_INTERVAL) {
            endpoint.data_refused_at = Some(now);
            self.tell(WorkerEvent::DataRefused { endpoint: id, too_large });
        }
    }
}
