//! The sessions of this node that have a URL: who may use it, and how the session's task is reached.

use std::collections::{HashMap, hash_map};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

use super::Kind;
use super::session::Ask;
use crate::access::Claims;

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
}

impl Entry {
    pub(super) fn new(kind: Kind, claims: &Claims, token: &str, asks: mpsc::Sender<Ask>) -> Entry {
        let (room, identity, token) = (claims.room.clone(), claims.identity.clone(), token.to_owned());
        Entry { kind, room, identity, token, asks }
    }

    /// Whether it is the token that the session was made with. It serves for as long as the session does: an encoder has
    /// to be able to end what it began, hours after its token has expired.
    pub(crate) fn was_made_with(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }

    fn whose(&self) -> (String, String) {
        (self.room.clone(), self.identity.clone())
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

    /// How many players there are of a room and an identity.
    pub(crate) fn players_of(&self, claims: &Claims) -> usize {
        let key = (claims.room.clone(), claims.identity.clone());
        self.lock().players.get(&key).copied().unwrap_or(0)
    }

    /// Adds a session, under 128 random bits.
    pub(super) fn add(&self, entry: Entry) -> Listed {
        let id = format!("{:032x}", rand::random::<u128>());
        let mut sessions = self.lock();
        if entry.kind == Kind::Whep {
            *sessions.players.entry(entry.whose()).or_default() += 1;
        }
        sessions.by_id.insert(id.clone(), entry);
        drop(sessions);
        Listed { table: self.clone(), id }
    }

    fn remove(&self, id: &str) {
        let mut sessions = self.lock();
        let Some(entry) = sessions.by_id.remove(id).filter(|entry| entry.kind == Kind::Whep) else {
            return;
        };
        if let hash_map::Entry::Occupied(mut count) = sessions.players.entry(entry.whose()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.table.remove(&self.id);
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
        let add = |kind, claims: &Claims| {
            table.add(Entry::new(kind, claims, "token", tokio::sync::mpsc::channel(1).0))
        };
        let (ada, ben) = (claims("hall", "ada"), claims("hall", "ben"));
        let listed =
            [add(Kind::Whep, &ada), add(Kind::Whep, &ada), add(Kind::Whep, &ben), add(Kind::Whip, &ada)];
        assert_eq!((table.players_of(&ada), table.players_of(&ben)), (2, 1));
        assert_eq!(table.players_of(&claims("other", "ada")), 0);
        drop(listed);
        assert!(table.lock().players.is_empty() && table.lock().by_id.is_empty());
    }
}
