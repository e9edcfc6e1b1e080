//! The active speakers of windows, as LiveKit's audio level observers find them.

use std::collections::BTreeMap;

use super::{Rule, settle};
use crate::trace::Packet;

/// How often the speakers are found out.
const WINDOW_US: u64 = 400_000;
/// Frames at or above this level are active.
const ACTIVE_DBOV: i8 = -35;
/// Share of a window's frames that have to be active.
const ACTIVE_SHARE: f64 = 0.4;
/// A window's weight in the smoothed level: two windows.
const SMOOTHING: f64 = 2.0 / 3.0;
const FRAMES_A_WINDOW: f64 = 20.0;

#[derive(Default)]
struct Window {
    active: u32,
    loudest_dbov: Option<i8>,
    /// Share of active time and loudness in one figure, 0 to 1, smoothed over windows.
    smooth: f64,
}

/// LiveKit tells who speaks and forwards everybody; here those who speak loudest are forwarded.
pub(crate) struct ActiveWindows {
    sources: BTreeMap<u32, Window>,
    ends_us: u64,
    slots: Vec<Option<u32>>,
}

impl ActiveWindows {
    /// Nobody heard yet.
    pub(crate) fn new(slots: usize) -> ActiveWindows {
        ActiveWindows { sources: BTreeMap::new(), ends_us: WINDOW_US, slots: vec![None; slots] }
    }

    fn end_window(&mut self) {
        for window in self.sources.values_mut() {
            let share = (f64::from(window.active) / FRAMES_A_WINDOW).min(1.0);
            let loudness = match window.loudest_dbov {
                // The loudest frame, weighed by how long the source was active.
                Some(dbov) if share >= ACTIVE_SHARE => {
                    10f64.powf((f64::from(dbov) + 20.0 * share.log10()) / 20.0)
                }
                _ => 0.0,
            };
            window.smooth += (loudness - window.smooth) * SMOOTHING;
            (window.active, window.loudest_dbov) = (0, None);
        }
        let mut ranked: Vec<(f64, u32)> = self.sources.iter().map(|(&id, w)| (w.smooth, id)).collect();
        ranked.retain(|(smooth, _)| *smooth >= 10f64.powf(f64::from(ACTIVE_DBOV) / 20.0) / 2.0);
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let chosen: Vec<u32> = ranked.iter().take(self.slots.len()).map(|&(_, id)| id).collect();
        settle(&mut self.slots, &chosen);
    }
}

impl Rule for ActiveWindows {
    fn packet(&mut self, packet: &Packet) {
        while packet.at_us >= self.ends_us {
            self.end_window();
            self.ends_us += WINDOW_US;
        }
        let window = self.sources.entry(packet.source).or_default();
        if packet.level_dbov >= ACTIVE_DBOV {
            window.active += 1;
            window.loudest_dbov = window.loudest_dbov.max(Some(packet.level_dbov));
        }
    }

    fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }
}
