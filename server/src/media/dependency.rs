//! The dependency descriptor of a packet (AV1's RTP payload format, appendix A), on its way through str0m, which doesn't know it.

use std::sync::Arc;

use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues};

pub(super) const URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Where the frame's number is (section A.8.2, `mandatory_descriptor_fields`): after two bits and the six of the template.
const FRAME_NUMBER: std::ops::Range<usize> = 1..3;

/// More than this one element of an extension with one-octet headers can't have (RFC 8285, section 4.2).
const SHORT_BYTES_MAX: usize = 16;

/// As it stands in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor(pub(super) Arc<[u8]>);

impl Descriptor {
    /// The descriptor of a frame that has another number. What it refers to it names by differences.
    pub(super) fn numbered(descriptor: &[u8], frame_number: u16) -> Descriptor {
        let mut numbered = descriptor.to_vec();
        if let Some(number) = numbered.get_mut(FRAME_NUMBER) {
            number.copy_from_slice(&frame_number.to_be_bytes());
        }
        Descriptor(numbered.into())
    }
}

#[derive(Debug)]
struct Passed;

/// The extension.
pub(super) fn extension() -> Extension {
    Extension::with_serializer(URI, Passed)
}

impl ExtensionSerializer for Passed {
    fn write_to(&self, out: &mut [u8], values: &ExtensionValues) -> usize {
        let descriptor = values.user_values.get::<Descriptor>();
        let place = descriptor.and_then(|it| Some((it, out.get_mut(..it.0.len())?)));
        place.map_or(0, |(descriptor, out)| {
            out.copy_from_slice(&descriptor.0);
            out.len()
        })
    }

    fn parse_value(&self, value: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Descriptor(value.into()));
        true
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values.user_values.get::<Descriptor>().is_some_and(|it| it.0.len() > SHORT_BYTES_MAX)
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_keeps_all_but_the_number_of_its_frame() {
        let Descriptor(numbered) = Descriptor::numbered(&[0xC1, 0x12, 0x34, 7, 8], 0xABCD);
        assert_eq!(numbered[..], [0xC1, 0xAB, 0xCD, 7, 8]);
        assert_eq!(Descriptor::numbered(&[0xC1], 7).0[..], [0xC1], "one that can't be read");
    }

    #[test]
    fn a_long_one_needs_longer_headers_and_none_is_written_where_there_is_none() {
        let (mut values, mut out) = (ExtensionValues::default(), [0; 32]);
        assert_eq!(Passed.write_to(&mut out, &values), 0);
        for (bytes, is_long) in [(16, false), (17, true)] {
            values.user_values.set(Descriptor(vec![9; bytes].into()));
            assert_eq!(
                (Passed.write_to(&mut out, &values), Passed.requires_two_byte_form(&values)),
                (bytes, is_long)
            );
        }
        values.user_values.set(Descriptor(vec![9; 33].into()));
        assert_eq!(Passed.write_to(&mut out, &values), 0, "there is no place for it");
    }
}
