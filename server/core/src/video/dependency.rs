//! Descriptors of packets in, as their sender wrote them; to which layer a frame belongs, and who needs it, out.
//!
//! The dependency descriptor is an RTP header extension (AV1 RTP payload format, appendix A), which other codecs use too. It says what
//! a forwarder would otherwise have to read out of payloads that it may not be able to read.

use std::io;

use arrayvec::ArrayVec;
use bitstream_io::{BigEndian, BitRead, BitReader};

use super::Layer;

/// Six bits name a template (section A.8.2, `frame_dependency_template_id`), ...
const TEMPLATES_MAX: usize = 64;
/// ... and five say how many decode targets there are (`dt_cnt_minus_one`). There are no more chains than these (`chain_cnt`).
const TARGETS_MAX: usize = 32;

/// The format has no bound; AV1 has eight frames to refer to, and no scalability mode of it, or of VP9, more layers than these.
const FRAME_DIFFS_MAX: usize = 16;
const SPATIAL_LAYERS_MAX: u8 = 4;
const TEMPORAL_LAYERS_MAX: u8 = 8;

/// How far behind the keyframe that is known a descriptor counts as late. One further behind is of a new numbering, or turned over.
const LATE_FRAMES_MAX: u16 = 500;

type Bits<'a> = BitReader<&'a [u8], BigEndian>;
type FrameDiffs = ArrayVec<u16, FRAME_DIFFS_MAX>;
type ChainDiffs = ArrayVec<u8, TARGETS_MAX>;

/// How a frame relates to a decode target (table A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Indication {
    /// The target doesn't have it.
    NotPresent,
    /// Nothing else of the target refers to it.
    Discardable,
    /// Whoever can decode it can decode all of the target from here on.
    Switch,
    /// Others of the target refer to it.
    Required,
}

/// A part of a stream that can be decoded by itself (section A.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeTarget {
    /// Up to which layer (`decode_target_layers`, section A.8.2).
    pub layer: Layer,
    /// Which chain protects it; `None` without chains.
    pub chain: Option<u8>,
}

/// How large a layer's pictures are at most, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// `max_render_width_minus_1`, and one.
    pub width: u32,
    /// `max_render_height_minus_1`, and one.
    pub height: u32,
}

/// What holds from one keyframe to the next (`template_dependency_structure`, section A.8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameStructure {
    /// What of the stream can be decoded by itself.
    pub targets: ArrayVec<DecodeTarget, TARGETS_MAX>,
    /// By spatial layer; empty if that isn't said.
    pub resolutions: ArrayVec<Resolution, { SPATIAL_LAYERS_MAX as usize }>,
    template_id_offset: u8,
    templates: Vec<Template>,
}

/// What many frames have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template {
    layer: Layer,
    indications: ArrayVec<Indication, TARGETS_MAX>,
    frame_diffs: FrameDiffs,
    chain_diffs: ChainDiffs,
}

/// What a packet's descriptor says, by itself and with the structure that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency<'a> {
    /// It is the first packet of its frame (`start_of_frame`).
    pub begins_frame: bool,
    /// It is the last packet of its frame (`end_of_frame`). Larger frames of the same picture may follow.
    pub ends_frame: bool,
    /// It begins a coded video sequence, and brings the structure of it: the first packet of a keyframe.
    pub begins_sequence: bool,
    /// Counts all frames of the stream, of all layers, in the order in which they are decoded.
    pub frame_number: u16,
    /// To which layer the frame belongs.
    pub layer: Layer,
    /// How the frame relates to each decode target.
    pub indications: ArrayVec<Indication, TARGETS_MAX>,
    /// By how much the frames have smaller numbers that this one refers to.
    pub frame_diffs: ArrayVec<u16, FRAME_DIFFS_MAX>,
    /// By how much the frame before has a smaller number, by chain; 0 where a chain begins anew.
    pub chain_diffs: ArrayVec<u8, TARGETS_MAX>,
    /// Which decode targets are sent: the least bit stands for the first one.
    pub active: u32,
    /// What it refers to.
    pub structure: &'a FrameStructure,
}

/// The sender's fault: what it wrote can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// It ends before all that it announces.
    #[error("the descriptor is cut off")]
    Truncated,
    /// The packet with the structure didn't come.
    #[error("the descriptor refers to a structure that is not known")]
    NoStructure,
    /// The template isn't one of the structure: of another one that was lost, or of the one before.
    #[error("the descriptor refers to template {0}, which is not known")]
    UnknownTemplate(u8),
    /// It is of a keyframe before the one that is known.
    #[error("the descriptor's structure is out of date")]
    Late,
    /// More templates, layers or references than there may be.
    #[error("the descriptor's structure is too large")]
    TooLarge,
}

impl From<io::Error> for DependencyError {
    /// Reading out of memory fails for no other reason.
    fn from(_: io::Error) -> DependencyError {
        DependencyError::Truncated
    }
}

/// Reads the descriptors of a stream, one a packet, in the order in which they come.
///
/// It keeps the structure of the newest keyframe. A new numbering of the stream takes a new reader.
#[derive(Clone, Debug, Default)]
pub struct DependencyReader {
    known: Option<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    structure: FrameStructure,
    /// The number of the frame that brought it.
    since_frame: u16,
    active: u32,
    /// The number of the frame that said which decode targets are active.
    active_since_frame: u16,
}

/// The part of a descriptor that stands for itself (`mandatory_descriptor_fields`, `extended_descriptor_fields`).
struct Fields {
    begins_frame: bool,
    ends_frame: bool,
    template_id: u8,
    frame_number: u16,
    structure: Option<FrameStructure>,
    active: Option<u32>,
    has_indications: bool,
    has_frame_diffs: bool,
    has_chain_diffs: bool,
}

impl DependencyReader {
    /// One packet's header extension (`dependency_descriptor`, section A.8.2).
    ///
    /// # Errors
    /// What of it can't be read. What was known stays known.
    pub fn read(&mut self, extension: &[u8]) -> Result<Dependency<'_>, DependencyError> {
        let mut bits = BitReader::endian(extension, BigEndian);
        let known = self.known.as_ref();
        let mut fields = Fields::read(&mut bits, extension.len(), known.map(|known| &known.structure))?;
        let frame_number = fields.frame_number;
        if fields.structure.is_some() && known.is_some_and(|it| is_earlier(frame_number, it.since_frame)) {
            return Err(DependencyError::Late);
        }
        let new = fields.structure.take();
        let structure = new.as_ref().or(known.map(|known| &known.structure));
        let frame = Template::read_frame(&mut bits, &fields, structure.ok_or(DependencyError::NoStructure)?)?;
        // Nothing fails from here on.
        let begins_sequence = new.is_some();
        if let Some(structure) = new {
            let active = u32::MAX >> (TARGETS_MAX - structure.targets.len());
            let (since_frame, active_since_frame) = (frame_number, frame_number);
            self.known = Some(Known { structure, since_frame, active, active_since_frame });
        }
        let known = self.known.as_mut().ok_or(DependencyError::NoStructure)?;
        // "Valid until the next update in RTP packet sequence number order" (section A.4).
        if let Some(active) = fields.active.filter(|_| !is_earlier(frame_number, known.active_since_frame)) {
            (known.active, known.active_since_frame) = (active, frame_number);
        }
        let Template { layer, indications, frame_diffs, chain_diffs } = frame;
        let Fields { begins_frame, ends_frame, .. } = fields;
        Ok(Dependency {
            begins_frame,
            ends_frame,
            begins_sequence,
            frame_number,
            layer,
            indications,
            frame_diffs,
            chain_diffs,
            active: known.active,
            structure: &known.structure,
        })
    }
}

impl Dependency<'_> {
    /// How the frame relates to the best decode target that has nothing beyond a layer: the largest, and of these the fastest.
    /// [`Indication::NotPresent`] if there is none.
    ///
    /// Whoever is sent that target needs the frame, unless it isn't present. Whoever is sent another may change to it with this frame
    /// if it indicates [`Indication::Switch`] and they can decode it, because they have what it refers to (section A.7); with one that
    /// begins a sequence, everybody can.
    pub fn indication(&self, up_to: Layer) -> Indication {
        let target = self.target(up_to).and_then(|target| self.indications.get(target));
        target.copied().unwrap_or(Indication::NotPresent)
    }

    /// Whether it is a frame for whoever gets nothing beyond a layer.
    pub fn is_needed(&self, up_to: Layer) -> bool {
        self.indication(up_to) != Indication::NotPresent
    }

    /// Whether whoever can decode this frame may get all up to a layer from here on.
    pub fn may_switch(&self, up_to: Layer) -> bool {
        self.indication(up_to) == Indication::Switch
    }

    /// By how much the frame has a smaller number that whoever gets nothing beyond a layer must have got before this one (section A.5).
    /// 0 if none; `None` without chains.
    pub fn chain_diff(&self, up_to: Layer) -> Option<u8> {
        let target = self.structure.targets.get(self.target(up_to)?)?;
        self.chain_diffs.get(usize::from(target.chain?)).copied()
    }

    /// The best decode target that is sent and has nothing beyond a layer.
    fn target(&self, up_to: Layer) -> Option<usize> {
        let targets = self.structure.targets.iter().enumerate();
        targets
            .filter(|(index, _)| self.active >> index & 1 == 1)
            .filter(|(_, it)| it.layer.spatial <= up_to.spatial && it.layer.temporal <= up_to.temporal)
            .max_by_key(|(_, target)| target.layer)
            .map(|(index, _)| index)
    }
}

impl Fields {
    fn read(
        bits: &mut Bits<'_>,
        bytes: usize,
        known: Option<&FrameStructure>,
    ) -> Result<Fields, DependencyError> {
        let mut fields = Fields {
            begins_frame: bits.read_bit()?,
            ends_frame: bits.read_bit()?,
            template_id: bits.read::<6, u8>()?,
            frame_number: bits.read::<16, u16>()?,
            structure: None,
            active: None,
            has_indications: false,
            has_frame_diffs: false,
            has_chain_diffs: false,
        };
        if bytes <= 3 {
            return Ok(fields);
        }
        let [has_structure, has_active] = bits.read::<1, [bool; 2]>()?;
        [fields.has_indications, fields.has_frame_diffs, fields.has_chain_diffs] =
            bits.read::<1, [bool; 3]>()?;
        if has_structure {
            fields.structure = Some(FrameStructure::read(bits)?);
        }
        if has_active {
            let structure = fields.structure.as_ref().or(known).ok_or(DependencyError::NoStructure)?;
            fields.active = Some(bits.read_var::<u32>(structure.targets.len() as u32)?);
        }
        Ok(fields)
    }
}

impl FrameStructure {
    fn read(bits: &mut Bits<'_>) -> Result<FrameStructure, DependencyError> {
        let template_id_offset = bits.read::<6, u8>()?;
        let target_count = bits.read::<5, u8>()? + 1;
        let mut templates = Template::read_layers(bits)?;
        for template in &mut templates {
            template.indications = read_indications(bits, target_count)?;
        }
        for template in &mut templates {
            // `template_fdiffs`
            while bits.read_bit()? {
                let diff = u16::from(bits.read::<4, u8>()?) + 1;
                template.frame_diffs.try_push(diff).map_err(|_| DependencyError::TooLarge)?;
            }
        }
        // `template_chains`
        let chain_count = read_non_symmetric(bits, target_count + 1)?;
        let mut targets = ArrayVec::new();
        for index in 0..usize::from(target_count) {
            let chain = (chain_count > 0).then(|| read_non_symmetric(bits, chain_count)).transpose()?;
            targets.push(DecodeTarget { layer: target_layer(&templates, index), chain });
        }
        for template in &mut templates {
            for _ in 0..chain_count {
                template.chain_diffs.push(bits.read::<4, u8>()?);
            }
        }
        let mut resolutions = ArrayVec::new();
        if bits.read_bit()? {
            // `render_resolutions`
            let largest = templates.last().map_or(0, |template| template.layer.spatial);
            for _ in 0..=largest {
                let [width, height] = [bits.read::<16, u32>()? + 1, bits.read::<16, u32>()? + 1];
                resolutions.push(Resolution { width, height });
            }
        }
        Ok(FrameStructure { targets, resolutions, template_id_offset, templates })
    }
}

/// `decode_target_layers`: the largest and the fastest of all that are present.
fn target_layer(templates: &[Template], target: usize) -> Layer {
    let has = |template: &&Template| template.indications.get(target) != Some(&Indication::NotPresent);
    let layers = templates.iter().filter(has).map(|template| template.layer);
    layers.fold(Layer::default(), |most, layer| Layer {
        spatial: most.spatial.max(layer.spatial),
        temporal: most.temporal.max(layer.temporal),
    })
}

impl Template {
    /// `template_layers`, with nothing but them.
    fn read_layers(bits: &mut Bits<'_>) -> Result<Vec<Template>, DependencyError> {
        let mut templates = Vec::new();
        let mut layer = Layer::default();
        loop {
            let is_within = layer.spatial < SPATIAL_LAYERS_MAX && layer.temporal < TEMPORAL_LAYERS_MAX;
            if !is_within || templates.len() == TEMPLATES_MAX {
                return Err(DependencyError::TooLarge);
            }
            let (indications, frame_diffs, chain_diffs) = Default::default();
            templates.push(Template { layer, indications, frame_diffs, chain_diffs });
            // Table A.2.
            match bits.read::<2, u8>()? {
                0 => {}
                1 => layer.temporal += 1,
                2 => layer = Layer { spatial: layer.spatial + 1, temporal: 0 },
                _ => return Ok(templates),
            }
        }
    }

    /// A frame's template, with what of it doesn't hold for the frame replaced (`frame_dependency_definition`).
    fn read_frame(
        bits: &mut Bits<'_>,
        fields: &Fields,
        structure: &FrameStructure,
    ) -> Result<Template, DependencyError> {
        let id = fields.template_id;
        let index = usize::from(id.wrapping_sub(structure.template_id_offset)) % TEMPLATES_MAX;
        let mut frame = structure.templates.get(index).ok_or(DependencyError::UnknownTemplate(id))?.clone();
        if fields.has_indications {
            frame.indications = read_indications(bits, structure.targets.len() as u8)?;
        }
        if fields.has_frame_diffs {
            // `frame_fdiffs`
            frame.frame_diffs.clear();
            loop {
                let nibbles = bits.read::<2, u32>()?;
                if nibbles == 0 {
                    break;
                }
                let diff = bits.read_var::<u16>(4 * nibbles)? + 1;
                frame.frame_diffs.try_push(diff).map_err(|_| DependencyError::TooLarge)?;
            }
        }
        if fields.has_chain_diffs {
            // `frame_chains`
            for diff in &mut frame.chain_diffs {
                *diff = bits.read::<8, u8>()?;
            }
        }
        Ok(frame)
    }
}

/// `template_dtis` of one template, `frame_dtis`.
fn read_indications(
    bits: &mut Bits<'_>,
    targets: u8,
) -> Result<ArrayVec<Indication, TARGETS_MAX>, DependencyError> {
    let indication = |_| {
        Ok(match bits.read::<2, u8>()? {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        })
    };
    (0..targets).map(indication).collect()
}

/// `ns(n)`: a number below `n`, of which the smaller ones take a bit less.
fn read_non_symmetric(bits: &mut Bits<'_>, n: u8) -> Result<u8, DependencyError> {
    let width = u8::BITS - n.leading_zeros();
    let shorter = (1 << width) - n;
    let value = bits.read_var::<u8>(width.saturating_sub(1))?;
    if value < shorter {
        return Ok(value);
    }
    Ok((value << 1) - shorter + u8::from(bits.read_bit()?))
}

/// Whether a frame comes a little before another, by their numbers, which turn over.
fn is_earlier(number: u16, than: u16) -> bool {
    (1..=LATE_FRAMES_MAX).contains(&than.wrapping_sub(number))
}

#[cfg(test)]
mod tests;
