//! The dependency descriptor of a packet (AV1's RTP payload format, appendix A), on its way through str0m, which doesn't know it.

use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues};

pub(super) const URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// As it stood in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor(pub(super) Vec<u8>);

#[derive(Debug)]
struct Kept;

/// The extension, which is received and not sent: whoever watches decodes all that they get.
pub(super) fn extension() -> Extension {
    Extension::with_serializer(URI, Kept)
}

impl ExtensionSerializer for Kept {
    fn write_to(&self, _: &mut [u8], _: &ExtensionValues) -> usize {
        0
    }

    fn parse_value(&self, value: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Descriptor(value.to_vec()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }
}
