//! What cameras send: clips of VP8 in three sizes, made by `assets/make-clips.sh`.

use std::io::Cursor;
use std::sync::LazyLock;

use bytes::Bytes;
use rtc_media::io::ivf_reader::IVFReader;

use super::descriptor::{PAYLOAD_BYTES_MAX, Place};

/// How many sizes a camera sends, each half of the next.
pub(crate) const SIZES: usize = 3;

/// The clips' temporal layers, frame by frame (`ts_layer_id`), and which of them need nothing but layer 0 (libvpx's mode 3: only
/// the second frame of layer 2 needs that of layer 1).
const LAYERS: [(u8, bool); 4] = [(0, false), (2, true), (1, true), (2, false)];

/// What moves is there again so many frames later: after the last frame the picture looks as it did before this one, which
/// therefore may follow it.
const LOOP_FROM: usize = LAYERS.len();

/// The sizes of a camera, the smallest first.
static CLIPS: LazyLock<[Clip; SIZES]> = LazyLock::new(|| {
    [
        &include_bytes!("../../assets/l.ivf")[..],
        &include_bytes!("../../assets/m.ivf")[..],
        &include_bytes!("../../assets/h.ivf")[..],
    ]
    .map(|file| Clip::read(file).expect("the clips are part of the program, and a test reads them"))
});

/// All sizes, the smallest first.
pub(crate) fn sizes() -> &'static [Clip; SIZES] {
    &CLIPS
}

/// A picture that moves. It begins with its only keyframe, and goes on for as long as one likes.
#[derive(Clone, Debug)]
pub(crate) struct Clip {
    frames: Vec<Bytes>,
}

/// Why a file is no clip.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClipError {
    #[error("not an IVF file: {0}")]
    Ivf(rtc_shared::error::Error),
    #[error("{0:?} in place of VP80")]
    Codec([u8; 4]),
    #[error("{0} frames: it needs more than {LOOP_FROM}, in whole rounds of as many")]
    Length(usize),
    #[error("frame {0} is not what stands at its place: a keyframe at the beginning, and none after it")]
    Keyframe(usize),
}

impl Clip {
    fn read(file: &[u8]) -> Result<Clip, ClipError> {
        let (mut reader, header) = IVFReader::new(Cursor::new(file)).map_err(ClipError::Ivf)?;
        if &header.four_cc != b"VP80" {
            return Err(ClipError::Codec(header.four_cc));
        }
        // The end of the file is an error to the reader: the header has how many there are.
        let frames = (0..header.num_frames).map(|_| Ok(reader.parse_next_frame()?.0.freeze()));
        let frames: Vec<Bytes> = frames.collect::<Result<_, _>>().map_err(ClipError::Ivf)?;
        if frames.len() <= LOOP_FROM || !frames.len().is_multiple_of(LAYERS.len()) {
            return Err(ClipError::Length(frames.len()));
        }
        // RFC 6386, section 9.1: the first bit of a frame is 0 in keyframes.
        let is_keyframe = |frame: &Bytes| frame.first().is_some_and(|first| first & 1 == 0);
        match frames.iter().enumerate().find(|(at, frame)| is_keyframe(frame) != (*at == 0)) {
            Some((at, _)) => Err(ClipError::Keyframe(at)),
            None => Ok(Clip { frames }),
        }
    }

    /// A frame, and what it is among the temporal layers.
    pub(crate) fn frame(&self, at: usize) -> (&Bytes, Place) {
        let (temporal, is_sync) = LAYERS[at % LAYERS.len()];
        (&self.frames[at], Place { temporal, is_sync })
    }

    /// The frame that may follow one.
    pub(crate) fn after(&self, at: usize) -> usize {
        if at + 1 < self.frames.len() { at + 1 } else { LOOP_FROM }
    }

    /// Octets and packets of a round.
    pub(crate) fn round(&self) -> (usize, usize) {
        let frames = self.frames[LOOP_FROM..].iter().map(Bytes::len);
        frames.fold((0, 0), |(bytes, packets), frame| {
            (bytes + frame, packets + frame.div_ceil(PAYLOAD_BYTES_MAX))
        })
    }
}

/// Of a packet that a viewer gets who has one large picture and eight small ones, the usual number of slots.
pub(crate) fn mean_payload_bytes() -> usize {
    const SMALL_ONES: usize = 8;
    let [(small, small_packets), _, (large, large_packets)] = sizes().each_ref().map(Clip::round);
    (large + SMALL_ONES * small) / (large_packets + SMALL_ONES * small_packets)
}

#[cfg(test)]
mod tests {
    use super::super::Packetizer;
    use super::super::descriptor::PictureReader;
    use super::*;

    #[test]
    fn the_clips_have_three_sizes_of_about_the_bitrates_of_browsers() {
        let heights = sizes().each_ref().map(|clip| {
            let (frame, place) = clip.frame(0);
            let payloads = Packetizer::new(0).packetize(frame, place);
            PictureReader::read(&payloads[0]).and_then(|read| read.keyframe_height)
        });
        assert_eq!(heights, [Some(180), Some(360), Some(720)]);
        let kbps = sizes().each_ref().map(|clip| clip.round().0 * 8 * 30 / 24 / 1_000);
        assert!((80..250).contains(&kbps[0]) && (300..700).contains(&kbps[1]), "{kbps:?}");
        assert!((1_000..2_000).contains(&kbps[2]), "{kbps:?}");
    }

    #[test]
    fn a_clip_goes_on_in_step_with_its_layers_and_without_its_keyframe() {
        for clip in sizes() {
            let mut at = 0;
            for frame in 0..500 {
                let expected = LAYERS[frame % LAYERS.len()];
                let (_, place) = clip.frame(at);
                assert_eq!((place.temporal, place.is_sync), expected);
                at = clip.after(at);
                assert_ne!(at, 0, "that is for whoever asks for it");
            }
        }
    }

    #[test]
    fn other_files_are_no_clips() {
        let file = include_bytes!("../../assets/l.ivf");
        assert!(Clip::read(file).is_ok());
        assert!(matches!(Clip::read(&file[..40]), Err(ClipError::Ivf(_))));
        assert!(matches!(Clip::read(b"RIFF"), Err(ClipError::Ivf(_))));
        let changed = |at: usize, to: &[u8]| {
            let mut file = file.to_vec();
            file[at..at + to.len()].copy_from_slice(to);
            Clip::read(&file)
        };
        assert!(matches!(changed(8, b"VP90"), Err(ClipError::Codec(_))));
        assert!(matches!(changed(24, &[4]), Err(ClipError::Length(4))));
        assert!(matches!(changed(24, &[9]), Err(ClipError::Length(9))));
        assert!(matches!(changed(32 + 12, &[1]), Err(ClipError::Keyframe(0))));
    }
}
