//! The sessions of this node that have a URL: who may use it, and how the session's task is reached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

use super::Kind;
use super::session::Ask;
use crate::access::Claims;

/// All of them. As many as there are sessions, which `limits.sessions_max` bounds: one is listed once it has joined, and
/// no longer than that.
#[derive(Clone, Default)]
pub(crate) struct Table(Arc<Mutex<HashMap<String, Entry>>>);

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Adds a session, under 128 random bits.
    pub(super) fn add(&self, entry: Entry) -> Listed {
        let id = format!("{:032x}", rand::random::<u128>());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), entry);
        Listed { table: self.clone(), id }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.table.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
