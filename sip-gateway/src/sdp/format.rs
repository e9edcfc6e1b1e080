//! What a payload type stands for: `a=rtpmap` in, one of our codecs out; and the other way round.

use audio_mixer::Codec;

/// A format by its name, clock and channels (RFC 8866, section 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Codec(Codec),
    /// Keys and tones (RFC 4733).
    TelephoneEvent {
        clock_hz: u32,
    },
}

impl Format {
    /// What `NAME/CLOCK[/CHANNELS]` stands for, if we know it. Names are in any case.
    pub(super) fn named(rtpmap: &str) -> Option<Format> {
        let mut parts = rtpmap.trim().split('/');
        let name = parts.next()?;
        let clock_hz: u32 = parts.next()?.parse().ok()?;
        let channels = parts.next();
        let is_mono = channels.is_none_or(|channels| channels == "1");
        let format = match name.to_ascii_lowercase().as_str() {
            "pcmu" if clock_hz == 8000 && is_mono => Format::Codec(Codec::Pcmu),
            "pcma" if clock_hz == 8000 && is_mono => Format::Codec(Codec::Pcma),
            // Its RTP clock is 8000 (RFC 3551, section 4.5.2); 16000 is what some phones say and don't mean.
            "g722" if (clock_hz == 8000 || clock_hz == 16000) && is_mono => Format::Codec(Codec::G722),
            // "MUST be opus/48000/2" (RFC 7587, section 7), whatever the number of channels in the packets.
            "opus" if clock_hz == 48000 && channels == Some("2") => Format::Codec(Codec::Opus),
            "telephone-event" if is_mono => Format::TelephoneEvent { clock_hz },
            _ => return None,
        };
        Some(format)
    }

    /// The static payload types (RFC 3551, table 4), which need no `a=rtpmap`.
    pub(super) fn of_static_type(payload_type: u8) -> Option<Format> {
        match payload_type {
            0 => Some(Format::Codec(Codec::Pcmu)),
            8 => Some(Format::Codec(Codec::Pcma)),
            9 => Some(Format::Codec(Codec::G722)),
            _ => None,
        }
    }

    /// The payload type that we would give it.
    pub(super) fn payload_type(self) -> u8 {
        match self {
            Format::Codec(Codec::Pcmu) => 0,
            Format::Codec(Codec::Pcma) => 8,
            Format::Codec(Codec::G722) => 9,
            Format::Codec(Codec::Opus) => 96,
            Format::TelephoneEvent { clock_hz: 8000 } => 101,
            Format::TelephoneEvent { .. } => 100,
        }
    }

    /// As `a=rtpmap` names it.
    pub(super) fn rtpmap(self) -> String {
        match self {
            Format::Codec(Codec::Pcmu) => "PCMU/8000".to_owned(),
            Format::Codec(Codec::Pcma) => "PCMA/8000".to_owned(),
            Format::Codec(Codec::G722) => "G722/8000".to_owned(),
            Format::Codec(Codec::Opus) => "opus/48000/2".to_owned(),
            Format::TelephoneEvent { clock_hz } => format!("telephone-event/{clock_hz}"),
        }
    }

    /// Its parameters, of `a=fmtp`.
    pub(super) fn parameters(self) -> Option<&'static str> {
        match self {
            // We hear one channel, and can mend a lost packet from the next (RFC 7587, section 6.1).
            Format::Codec(Codec::Opus) => Some("useinbandfec=1;stereo=0;sprop-stereo=0"),
            Format::Codec(_) => None,
            // 0 to 9, *, #, A to D (RFC 4733, section 2.4.1).
            Format::TelephoneEvent { .. } => Some("0-15"),
        }
    }
}

/// The RTP clock of a codec.
pub(super) fn clock_hz(codec: Codec) -> u32 {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => 8000,
        Codec::Opus => 48000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_any_case_and_clocks_must_fit() {
        assert_eq!(Format::named("pcmu/8000"), Some(Format::Codec(Codec::Pcmu)));
        assert_eq!(Format::named("PCMA/8000/1"), Some(Format::Codec(Codec::Pcma)));
        assert_eq!(Format::named("Opus/48000/2"), Some(Format::Codec(Codec::Opus)));
        assert_eq!(Format::named("telephone-event/48000"), Some(Format::TelephoneEvent { clock_hz: 48000 }));
        for unknown in ["PCMU/16000", "PCMU/8000/2", "opus/48000", "speex/8000", "PCMU", "", "/", "PCMU/x"] {
            assert_eq!(Format::named(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_we_write_is_what_we_read() {
        for format in [
            Format::Codec(Codec::Pcmu),
            Format::Codec(Codec::Pcma),
            Format::Codec(Codec::G722),
            Format::Codec(Codec::Opus),
            Format::TelephoneEvent { clock_hz: 8000 },
            Format::TelephoneEvent { clock_hz: 48000 },
        ] {
            assert_eq!(Format::named(&format.rtpmap()), Some(format));
        }
    }
}
