//! Janus's messages, as far as a load tester needs them: JSON in, types out, and descriptions the other way.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

/// VideoRoom's error for a room that is there already.
const ROOM_EXISTS: u32 = 427;

/// A session description to send.
pub(super) enum Description {
    Offer(String),
    Answer(String),
}

impl Description {
    pub(super) fn to_json(&self) -> Value {
        let (kind, sdp) = match self {
            Description::Offer(sdp) => ("offer", sdp),
            Description::Answer(sdp) => ("answer", sdp),
        };
        json!({ "type": kind, "sdp": sdp })
    }
}

/// What Janus sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Incoming {
    /// `success`, `ack`, `event`, `error`, `timeout`, `webrtcup`, ...
    pub(super) janus: String,
    /// The request's, in a reply.
    pub(super) transaction: Option<String>,
    pub(super) jsep: Option<Jsep>,
    pub(super) error: Option<Value>,
    data: Option<Created>,
    #[serde(rename = "plugindata")]
    plugin: Option<PluginData>,
}

/// A session description that was received.
#[derive(Debug, Deserialize)]
pub(super) struct Jsep {
    pub(super) sdp: String,
}

#[derive(Debug, Deserialize)]
struct Created {
    id: u64,
}

#[derive(Debug, Deserialize)]
struct PluginData {
    data: RoomEvent,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoomEvent {
    error_code: Option<u32>,
    error: String,
    publishers: Vec<Publisher>,
}

#[derive(Debug, Deserialize)]
struct Publisher {
    /// A number, or a text where the plugin is set to `string_ids`.
    id: Value,
}

impl Incoming {
    /// The id of a new session or handle.
    pub(super) fn id(&self) -> anyhow::Result<u64> {
        Ok(self.data.as_ref().context("Janus gives no id")?.id)
    }

    /// The session description, which there has to be.
    pub(super) fn description(self) -> anyhow::Result<String> {
        Ok(self.jsep.context("Janus gives no session description")?.sdp)
    }

    /// The ids of others who publish.
    pub(super) fn feeds(self) -> Vec<Value> {
        let publishers = self.plugin.map(|plugin| plugin.data.publishers).unwrap_or_default();
        publishers.into_iter().map(|publisher| publisher.id).collect()
    }

    /// Whether a room couldn't be made because it is there.
    pub(super) fn room_exists(&self) -> bool {
        self.plugin.as_ref().is_some_and(|plugin| plugin.data.error_code == Some(ROOM_EXISTS))
    }

    /// The reply, unless the plugin refuses.
    pub(super) fn accepted(self) -> anyhow::Result<Self> {
        if let Some(PluginData { data: RoomEvent { error_code: Some(code), error, .. } }) = &self.plugin {
            bail!("Janus refuses: {error} ({code})");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(message: Value) -> Incoming {
        serde_json::from_value(message).unwrap()
    }

    #[test]
    fn a_new_handle_has_an_id() {
        let reply = json!({ "janus": "success", "session_id": 1, "transaction": "2", "data": { "id": 8044577949607453_u64 } });
        assert_eq!(parse(reply).id().unwrap(), 8_044_577_949_607_453);
        assert!(parse(json!({ "janus": "success" })).id().is_err());
    }

    #[test]
    fn who_publishes_is_known_from_the_welcome_and_from_events() {
        let plugin = |data: Value| {
            parse(
                json!({ "janus": "event", "plugindata": { "plugin": "janus.plugin.videoroom", "data": data } }),
            )
        };
        let welcome = json!({
            "videoroom": "joined", "room": "r", "id": "me", "private_id": 1,
            "publishers": [{ "id": "a", "streams": [{ "type": "audio", "mindex": 0, "mid": "0" }] }, { "id": 7 }],
        });
        assert_eq!(plugin(welcome).feeds(), [json!("a"), json!(7)]);
        assert!(plugin(json!({ "videoroom": "event", "room": "r", "leaving": "a" })).feeds().is_empty());
    }

    #[test]
    fn a_refusal_is_an_error_and_a_room_that_exists_is_told_apart() {
        let refusal = |code: u32| {
            parse(json!({
                "janus": "event",
                "plugindata": { "data": { "videoroom": "event", "error_code": code, "error": "because" } },
            }))
        };
        assert!(refusal(427).room_exists());
        assert!(!refusal(428).room_exists());
        assert_eq!(refusal(428).accepted().unwrap_err().to_string(), "Janus refuses: because (428)");
    }
}
