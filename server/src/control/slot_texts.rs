//! What slots carry in, the message that says so out: written once for all who have the same.

use std::collections::VecDeque;

use selector::SourceId;
use tercet_protocol::ServerMessage;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::session::text;

/// So many are kept: more than there are talkers and kinds of clients, mostly.
const TEXTS_MAX: usize = 16;

/// The latest messages to the clients of a room that aren't the same for all.
pub(super) struct SlotTexts<M>(VecDeque<SlotText<M>>);

struct SlotText<M> {
    slots: Vec<Option<SourceId>>,
    mids: Vec<M>,
    text: Utf8Bytes,
}

// Derived, it would ask the same of `M`.
impl<M> Default for SlotTexts<M> {
    fn default() -> Self {
        SlotTexts(VecDeque::new())
    }
}

impl<M: Clone + PartialEq> SlotTexts<M> {
    /// The message for a client with these m-lines whose slots carry these sources; `message` makes it, if nobody had the same.
    pub(super) fn get(
        &mut self,
        slots: &[Option<SourceId>],
        mids: &[M],
        message: impl FnOnce() -> ServerMessage,
    ) -> Utf8Bytes {
        if let Some(same) = self.0.iter().find(|it| it.slots == slots && it.mids == mids) {
            return same.text.clone();
        }
        let text = text(&message());
        self.0.truncate(TEXTS_MAX - 1);
        self.0.push_front(SlotText { slots: slots.to_vec(), mids: mids.to_vec(), text: text.clone() });
        text
    }
}
