//! Which layers there are of what a player sees, as an event tells them; how much of it the player chose, as it posts that (the
//! extension for the selection of video layers in draft-murillo-whep-02, and what later versions call otherwise).
//!
//! Sizes are counted from the smallest: with simulcast they are encodings, otherwise spatial layers. What is chosen is a bound; below it
//! the allocator decides by what the network takes.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tercet_core::{ENCODINGS_MAX, Layer, LayerCost, SourceLayers};
use tercet_protocol::SlotMid;

use super::events::malformed;
use super::problem::Problem;
use crate::media::{mid_of, sections};

/// Where layers are chosen: a value of `Link`. `session` is the path of the session.
pub(crate) fn layer_link(session: &str) -> String {
    format!("<{session}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"")
}

/// What a player posts. What else it has of an event's layer it may post too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    media_id: Option<String>,
    encoding_id: Option<String>,
    /// What later versions call an encoding.
    rid: Option<String>,
    spatial_layer_id: Option<u8>,
    temporal_layer_id: Option<u8>,
    max_spatial_layer_id: Option<u8>,
    max_temporal_layer_id: Option<u8>,
    max_width: Option<IgnoredAny>,
    max_height: Option<IgnoredAny>,
}

/// How much of a picture a player wants at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerChoice {
    /// Of which line: of the first that has video, if it doesn't say, and of all if it wants whatever there is.
    media_id: Option<String>,
    /// `None` leaves it to the server.
    limit: Option<Layer>,
}

impl LayerChoice {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// It is no such object, or asks for what isn't there.
    pub(crate) fn read(body: &str) -> Result<LayerChoice, Problem> {
        let posted: Posted = serde_json::from_str(body).map_err(|error| {
            malformed(StatusCode::BAD_REQUEST, format!("not a choice of layers: {error}"))
        })?;
        if posted.max_width.is_some() || posted.max_height.is_some() {
            return Err(unprocessable(
                "layers are chosen by encodingId or spatialLayerId, not by their size",
            ));
        }
        let encoding = posted.encoding_id.or(posted.rid).map(|id| number_of(&id)).transpose()?;
        let least = |one: Option<u8>, other: Option<u8>| one.into_iter().chain(other).min();
        // An encoding of simulcast has no spatial layers here.
        let spatial = encoding.or(least(posted.spatial_layer_id, posted.max_spatial_layer_id));
        let temporal = least(posted.temporal_layer_id, posted.max_temporal_layer_id);
        let limit = (spatial.is_some() || temporal.is_some()).then(|| Layer {
            spatial: spatial.unwrap_or(Layer::MAX.spatial),
            temporal: temporal.unwrap_or(Layer::MAX.temporal),
        });
        Ok(LayerChoice { media_id: posted.media_id, limit })
    }
}

fn unprocessable(message: impl Into<String>) -> Problem {
    malformed(StatusCode::UNPROCESSABLE_ENTITY, message)
}

/// The number that an encoding is named by.
fn number_of(encoding: &str) -> Result<u8, Problem> {
    let number = encoding.parse().ok().filter(|number| usize::from(*number) < ENCODINGS_MAX);
    number.ok_or_else(|| {
        unprocessable(format!("there is no encoding {encoding:?}: the event `layers` names them"))
    })
}

/// The lines on which a player sees somebody.
#[derive(Debug, Default)]
pub(super) struct VideoLines(Vec<VideoLine>);

#[derive(Debug)]
struct VideoLine {
    slot: u8,
    mid: String,
    /// Its place among all m-lines, by which it is called in what players get and send.
    index: usize,
    limit: Option<Layer>,
}

impl VideoLine {
    fn is_called(&self, media_id: &str) -> bool {
        media_id.parse() == Ok(self.index)
    }
}

impl VideoLines {
    /// An offer was answered: these of its lines are the video slots. What was chosen of a slot holds.
    pub(super) fn seat(&mut self, offer: &str, slots: &[SlotMid]) {
        let former = std::mem::take(&mut self.0);
        let line = |slot: &SlotMid| {
            let index = sections(offer).skip(1).position(|section| mid_of(section) == Some(&slot.mid))?;
            let limit = former.iter().find(|line| line.slot == slot.index).and_then(|line| line.limit);
            Some(VideoLine { slot: slot.index, mid: slot.mid.clone(), index, limit })
        };
        self.0 = slots.iter().filter_map(line).collect();
        self.0.sort_unstable_by_key(|line| line.index);
    }

    /// The player chooses.
    ///
    /// # Errors
    /// There is no such line.
    pub(super) fn choose(&mut self, choice: &LayerChoice) -> Result<(), Problem> {
        let chosen = match choice.media_id.as_deref() {
            None if choice.limit.is_none() => {
                self.0.iter_mut().for_each(|line| line.limit = None);
                return Ok(());
            }
            None => self.0.first_mut().ok_or_else(|| unprocessable("there is no m-line with video"))?,
            Some(id) => {
                // Browsers name lines by their places; some others send the name.
                let by_place = self.0.iter().position(|line| line.is_called(id));
                let place = by_place.or_else(|| self.0.iter().position(|line| line.mid == id));
                let line = place.and_then(|place| self.0.get_mut(place));
                line.ok_or_else(|| unprocessable(format!("m-line {id:?} has no video")))?
            }
        };
        chosen.limit = choice.limit;
        Ok(())
    }

    /// What each slot may have at most, of those for which something was chosen.
    pub(super) fn limits(&self) -> Vec<(u8, Layer)> {
        self.0.iter().filter_map(|line| Some((line.slot, line.limit?))).collect()
    }

    /// The data of an event, of what there is for each slot.
    pub(super) fn event(&self, slots: &[Option<SourceLayers>]) -> String {
        let of_line = |line: &VideoLine| {
            let layers = slots.get(usize::from(line.slot)).and_then(Option::as_ref);
            (line.index, layers.map(LineLayers::of).unwrap_or_default())
        };
        let lines: BTreeMap<usize, LineLayers> = self.0.iter().map(of_line).collect();
        serde_json::to_string(&lines).expect("numbers are keys too")
    }
}

/// What there is on an m-line.
#[derive(Default, Serialize)]
struct LineLayers {
    /// Streams of which something comes, the largest first.
    active: Vec<ActiveEncoding>,
    /// Encodings of simulcast of which nothing comes: nobody wants them, or their sender's network doesn't take them.
    inactive: Vec<InactiveEncoding>,
    /// What may be chosen, the most first.
    layers: Vec<ChosenFrom>,
}

#[derive(Serialize)]
struct ActiveEncoding {
    #[serde(flatten)]
    encoding: Option<InactiveEncoding>,
    /// Bits a second.
    bitrate: u64,
    #[serde(skip_serializing_if = "is_unknown")]
    height: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InactiveEncoding {
    id: String,
    simulcast_idx: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChosenFrom {
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulcast_idx: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spatial_layer_id: Option<u8>,
    temporal_layer_id: u8,
    /// With all that it is made of, bits a second.
    bitrate: u64,
    #[serde(skip_serializing_if = "is_unknown")]
    height: u32,
}

fn is_unknown(height: &u32) -> bool {
    *height == 0
}

fn bits(kbps: u32) -> u64 {
    u64::from(kbps) * 1_000
}

impl LineLayers {
    fn of(known: &SourceLayers) -> LineLayers {
        let is_simulcast = known.encodings > 1;
        let mut costs: Vec<&LayerCost> = known.costs.iter().collect();
        costs.sort_unstable_by_key(|cost| std::cmp::Reverse(cost.layer));
        let encoding = |number: u8| InactiveEncoding { id: number.to_string(), simulcast_idx: number };
        // What takes the most comes first, and is all that there is of its size.
        let mut sizes: Vec<&LayerCost> = costs.clone();
        sizes.dedup_by_key(|cost| if is_simulcast { cost.layer.spatial } else { 0 });
        let active = sizes.iter().map(|cost| ActiveEncoding {
            encoding: is_simulcast.then(|| encoding(cost.layer.spatial)),
            bitrate: bits(cost.kbps),
            height: cost.height,
        });
        let encodings = if is_simulcast { known.encodings } else { 0 };
        let rests = |number: &u8| !sizes.iter().any(|cost| cost.layer.spatial == *number);
        let layers = costs.iter().map(|cost| ChosenFrom {
            encoding_id: is_simulcast.then(|| cost.layer.spatial.to_string()),
            simulcast_idx: is_simulcast.then_some(cost.layer.spatial),
            spatial_layer_id: (!is_simulcast).then_some(cost.layer.spatial),
            temporal_layer_id: cost.layer.temporal,
            bitrate: bits(cost.kbps),
            height: cost.height,
        });
        LineLayers {
            active: active.collect(),
            inactive: (0..encodings).filter(rests).rev().map(encoding).collect(),
            layers: layers.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &str) -> Result<(u8, u8), u16> {
        let choice = LayerChoice::read(body).map_err(|problem| problem.status.as_u16())?;
        let limit = choice.limit.unwrap_or(Layer::MAX);
        Ok((limit.spatial, limit.temporal))
    }

    #[test]
    fn a_choice_is_a_bound_for_size_and_frame_rate() {
        for (body, limit) in [
            ("{}", Ok((255, 255))),
            (r#"{"mediaId": "1"}"#, Ok((255, 255))),
            (r#"{"encodingId": "1"}"#, Ok((1, 255))),
            (r#"{"rid": "2", "unheardOf": [1]}"#, Ok((2, 255))),
            (r#"{"encodingId": "1", "spatialLayerId": 0, "temporalLayerId": 2}"#, Ok((1, 2))),
            (r#"{"spatialLayerId": 2, "maxSpatialLayerId": 1, "maxTemporalLayerId": 0}"#, Ok((1, 0))),
            (r#"{"encodingId": null, "temporalLayerId": 1}"#, Ok((255, 1))),
            ("", Err(400)),
            ("[]", Err(400)),
            (r#"{"spatialLayerId": -1}"#, Err(400)),
            (r#"{"mediaId": 1}"#, Err(400)),
            (r#"{"encodingId": "h"}"#, Err(422)),
            (r#"{"encodingId": "4"}"#, Err(422)),
            (r#"{"maxHeight": 360}"#, Err(422)),
        ] {
            assert_eq!(read(body), limit, "{body}");
        }
    }

    /// Audio, video, a stopped line, and video by a name of its own.
    fn lines() -> VideoLines {
        let line = |kind: &str, mid: &str| format!("m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\n");
        let named = [("audio", "0"), ("video", "1"), ("video", "2"), ("video", "cam")];
        let offer: String = named.map(|(kind, mid)| line(kind, mid)).concat();
        let slot = |(index, mid): (u8, &str)| SlotMid { index, mid: mid.to_owned() };
        let mut lines = VideoLines::default();
        lines.seat(&format!("v=0\r\n{offer}"), &[(0, "1"), (2, "cam")].map(slot));
        lines
    }

    #[test]
    fn a_line_is_called_by_its_place_or_its_name() {
        let mut lines = lines();
        let mut choose = |body: &str| {
            let chosen = lines.choose(&LayerChoice::read(body).unwrap());
            chosen.map_err(|problem| problem.status.as_u16())?;
            Ok(lines.limits().iter().map(|(slot, limit)| (*slot, limit.spatial)).collect())
        };
        assert_eq!(choose(r#"{"encodingId": "0"}"#), Ok(vec![(0, 0)]), "the first");
        assert_eq!(choose(r#"{"mediaId": "3", "encodingId": "1"}"#), Ok(vec![(0, 0), (2, 1)]));
        assert_eq!(choose(r#"{"mediaId": "cam", "encodingId": "2"}"#), Ok(vec![(0, 0), (2, 2)]));
        for other in ["0", "2", "7", ""] {
            assert_eq!(choose(&format!(r#"{{"mediaId": "{other}"}}"#)), Err(422), "{other}");
        }
        assert_eq!(choose(r#"{"mediaId": "1"}"#), Ok(vec![(2, 2)]), "one is the server's to choose again");
        assert_eq!(choose(r#"{"encodingId": "0"}"#), Ok(vec![(0, 0), (2, 2)]));
        assert_eq!(choose("{}"), Ok(vec![]), "all are");
        let nothing = VideoLines::default().choose(&LayerChoice::read(r#"{"encodingId": "0"}"#).unwrap());
        assert_eq!(nothing.unwrap_err().status, StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn what_was_chosen_outlasts_another_offer() {
        let mut lines = lines();
        lines.choose(&LayerChoice::read(r#"{"encodingId": "0"}"#).unwrap()).unwrap();
        let limits = lines.limits();
        lines.seat("v=0\r\nm=video 9 X 1\r\na=mid:1\r\n", &[SlotMid { index: 0, mid: "1".to_owned() }]);
        assert_eq!(lines.limits(), limits);
    }

    fn event(slots: &[Option<SourceLayers>]) -> Value {
        serde_json::from_str(&lines().event(slots)).unwrap()
    }

    fn cost((spatial, temporal, kbps, height): (u8, u8, u32, u32)) -> LayerCost {
        LayerCost { layer: Layer { spatial, temporal }, kbps, height }
    }

    #[test]
    fn an_event_names_encodings_of_simulcast_and_layers_of_scalable_coding() {
        let costs = [(0, 0, 60, 180), (0, 1, 100, 180), (1, 0, 400, 0)].map(cost).into();
        let simulcast = SourceLayers { costs, smallest_height: 180, encodings: 3, ..SourceLayers::default() };
        let costs = [(0, 0, 100, 270), (1, 0, 400, 540)].map(cost).into();
        let scalable = SourceLayers { costs, smallest_height: 270, encodings: 1, ..SourceLayers::default() };
        let small = |temporal: u8, bitrate: u32| json!({"encodingId": "0", "simulcastIdx": 0, "temporalLayerId": temporal, "bitrate": bitrate, "height": 180});
        let told = event(&[Some(simulcast), None, Some(scalable)]);
        assert_eq!(
            told["1"],
            json!({
                "active": [
                    {"id": "1", "simulcastIdx": 1, "bitrate": 400_000},
                    {"id": "0", "simulcastIdx": 0, "bitrate": 100_000, "height": 180},
                ],
                "inactive": [{"id": "2", "simulcastIdx": 2}],
                "layers": [
                    {"encodingId": "1", "simulcastIdx": 1, "temporalLayerId": 0, "bitrate": 400_000},
                    small(1, 100_000),
                    small(0, 60_000),
                ],
            })
        );
        assert_eq!(
            told["3"],
            json!({
                "active": [{"bitrate": 400_000, "height": 540}],
                "inactive": [],
                "layers": [
                    {"spatialLayerId": 1, "temporalLayerId": 0, "bitrate": 400_000, "height": 540},
                    {"spatialLayerId": 0, "temporalLayerId": 0, "bitrate": 100_000, "height": 270},
                ],
            })
        );
    }

    #[test]
    fn a_line_on_which_nobody_is_seen_has_no_layers() {
        let nothing = json!({"active": [], "inactive": [], "layers": []});
        assert_eq!(event(&[]), json!({"1": nothing, "3": nothing}));
        assert_eq!(event(&[None, Some(SourceLayers::default())]), json!({"1": nothing, "3": nothing}));
    }
}
