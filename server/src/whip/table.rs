//! The sessions of this node that have a URL: who may use it, and how the session's task is reached.

use std::collections::{HashMap, hash_map};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, mpsc};

use super::Kind;
use super::session::Ask;
use crate::access::Claims;

/// Requests of one session that are awaited at a time.
const AT_THE_DOOR_MAX: usize = 4;

/// All of them. As many as there are sessions, which `limits.sessions_max` bounds: one is listed once it has joined, and
/// no longer than that.
#[derive(Clone, Default)]
pub(crate) struct Table(Arc<Mutex<Sessions>>);

#[derive(Default)]
struct Sessions {
    by_id: HashMap<String, Entry>,
    /// How many players there are of each room and identity.
    players: HashMap<(String, String), usize>,
}

/// One session.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) room: String,
    identity: String,
    token: String,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// Its requests whose body or answer is awaited: a session has one client.
    pub(crate) door: Arc<Semaphore>,
}

impl Entry {
    pub(super) fn new(kind: Kind, claims: &Claims, token: &str, asks: mpsc::Sender<Ask>) -> Entry {
        let (room, identity, token) = (claims.room.clone(), claims.identity.clone(), token.to_owned());
        Entry { kind, room, identity, token, asks, door: Arc::new(Semaphore::new(AT_THE_DOOR_MAX)) }
    }

    /// Whether it is the token that the session was made with. It serves for as long as the session does: an encoder has
    /// to be able to end what it began, hours after its token has expired.
    pub(crate) fn was_made_with(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Whether another token is of the same participant.
    pub(crate) fn is_of(&self, claims: &Claims) -> bool {
        claims.room == self.room && claims.identity == self.identity
    }
}

/// A place in the table, given up when dropped.
pub(super) struct Listed {
    table: Table,
    id: String,
    _player: Option<Player>,
}

/// A player is counted until this is dropped.
pub(crate) struct Player {
    table: Table,
    whose: (String, String),
}

impl Drop for Player {
    fn drop(&mut self) {
        let mut sessions = self.table.lock();
        if let hash_map::Entry::Occupied(mut count) = sessions.players.entry(self.whose.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Listed {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Table {
    /// Finds a session.
    pub(crate) fn find(&self, id: &str) -> Option<Entry> {
        self.lock().by_id.get(id).cloned()
    }

    /// Counts one more player of a room and an identity, of which there may be so many.
    pub(crate) fn count_player(&self, claims: &Claims, max: usize) -> Option<Player> {
        let whose = (claims.room.clone(), claims.identity.clone());
        let mut sessions = self.lock();
        let count = sessions.players.get(&whose).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        sessions.players.insert(whose.clone(), count + 1);
        drop(sessions);
        Some(Player { table: self.clone(), whose })
    }

    /// Adds a session, under 128 random bits.
    pub(super) fn add(&self, entry: Entry, player: Option<Player>) -> Listed {
        let id = format!("{:032x}", rand::random::<u128>());
        self.lock().by_id.insert(id.clone(), entry);
        Listed { table: self.clone(), id, _player: player }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.table.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use tercet_protocol::Role;

    use super::*;

    #[test]
    fn players_are_counted_by_room_and_identity_while_they_are_there() {
        let table = Table::default();
        let claims = |room: &str, identity: &str| Claims {
            room: room.to_owned(),
            identity: identity.to_owned(),
            name: None,
            role: Role::Listener,
            first_moderates: false,
            may_send_data: false,
            expires: 0,
        };
        let (ada, ben) = (claims("hall", "ada"), claims("hall", "ben"));
        let first = table.count_player(&ada, 2);
        let entry = Entry::new(Kind::Whep, &ada, "token", mpsc::channel(1).0);
        let listed = table.add(entry, table.count_player(&ada, 2));
        assert!(first.is_some() && table.count_player(&ada, 2).is_none());
        assert!(
            table.count_player(&ben, 1).is_some() && table.count_player(&claims("other", "ada"), 1).is_some()
        );
        drop(listed);
        assert!(table.count_player(&ada, 2).is_some());
        drop(first);
        assert!(table.lock().players.is_empty() && table.lock().by_id.is_empty());
    }
}
