//! What a worker's TCP connections ask of it, and tell it.

use std::time::Instant;

use super::Plane;
use crate::media::demux::Remote;
use crate::media::fanout::Path;
use crate::media::tcp::Directory;

impl Plane {
    /// Tells which user fragments are here, for connections that come by a port of all workers.
    pub(in crate::media) fn register_in(&mut self, directory: Directory) {
        self.demux.register_in(directory, self.id);
    }

    /// A frame came on a connection. Returns whether it is anybody's, by now.
    pub(in crate::media) fn frame(&mut self, now: Instant, path: Path, frame: &[u8]) -> bool {
        self.arrived(now, path, frame);
        self.knows(path)
    }

    /// Whether a connection is anybody's.
    pub(in crate::media) fn knows(&self, path: Path) -> bool {
        self.demux.is_known(remote(path))
    }

    /// A connection is over.
    pub(in crate::media) fn forget(&mut self, path: Path) {
        self.demux.forget(remote(path));
    }

    /// How many connections there are.
    pub(in crate::media) fn has_connections(&self, count: usize) {
        self.metrics.tcp_connections.set(count as f64);
    }
}

fn remote(path: Path) -> Remote {
    Remote { protocol: path.protocol, address: path.destination }
}
