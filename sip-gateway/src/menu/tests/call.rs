//! A caller with a clock of their own.

use std::time::{Duration, Instant};

use super::super::{Menu, MenuConfig, MenuOutput};

/// A call, and the time in it.
pub(super) struct Call {
    pub(super) menu: Menu,
    pub(super) now: Instant,
}

/// 4711 for everybody, 0815 for moderators.
pub(super) fn with_pins() -> MenuConfig {
    let [pin, moderator_pin] = ["4711", "0815"].map(|pin| Some(pin.parse().unwrap()));
    MenuConfig { pin, moderator_pin, ..MenuConfig::default() }
}

impl Call {
    pub(super) fn start(config: MenuConfig) -> Call {
        let mut call = Call { menu: Menu::new(config), now: Instant::now() };
        call.menu.start(call.now);
        call
    }

    /// All was said that is said at the beginning.
    pub(super) fn in_room() -> Call {
        let mut call = Call::start(MenuConfig::default());
        call.hear_out();
        call.tell(Menu::joined);
        call.hear_out();
        call
    }

    pub(super) fn tell(&mut self, fact: impl FnOnce(&mut Menu, Instant)) {
        fact(&mut self.menu, self.now);
    }

    /// What comes out while nothing is played to its end.
    pub(super) fn drain(&mut self) -> Vec<MenuOutput> {
        std::iter::from_fn(|| self.menu.poll()).collect()
    }

    /// What comes out while all is played to its end, what is played already included.
    pub(super) fn hear_out(&mut self) -> Vec<MenuOutput> {
        let mut heard = self.drain();
        loop {
            self.menu.played(self.now);
            let next = self.drain();
            if next.is_empty() {
                return heard;
            }
            heard.extend(next);
        }
    }

    /// What comes out of keys, a fifth of a second apart.
    pub(super) fn press(&mut self, keys: &str) -> Vec<MenuOutput> {
        let mut outputs = Vec::new();
        for key in keys.chars() {
            self.now += Duration::from_millis(200);
            self.menu.key(self.now, key);
            outputs.extend(self.drain());
        }
        outputs
    }

    /// What comes out of timeouts, each at its time.
    pub(super) fn wait(&mut self, duration: Duration) -> Vec<MenuOutput> {
        let until = self.now + duration;
        let mut outputs = Vec::new();
        while let Some(at) = self.menu.poll_timeout().filter(|&at| at <= until) {
            assert!(at >= self.now, "a timeout in the past was not handled");
            self.now = at;
            self.menu.handle_timeout(at);
            outputs.extend(self.drain());
        }
        self.now = until;
        outputs
    }
}
