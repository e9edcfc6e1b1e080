//! Offers and answers (RFC 3264): a phone's session description and what we can do come in, ours and what both sides
//! agreed on go out. Pure: addresses and key material are passed in.
//!
//! ```
//! use audio_mixer::Codec;
//! use tercet_sip_gateway::sdp::{Direction, LocalMedia, SECRET_BYTES, Session};
//!
//! let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n";
//! let local = LocalMedia::at("198.51.100.1:5004".parse().unwrap(), &[Codec::G722, Codec::Pcma, Codec::Pcmu]);
//! let mut session = Session::new(local, &[0; SECRET_BYTES]);
//! let (answer, agreed) = session.answer(offer).unwrap();
//! assert_eq!(agreed.codec, Codec::Pcma);
//! assert_eq!(agreed.remote, Some("192.0.2.1:4000".parse().unwrap()));
//! assert_eq!(agreed.direction, Direction::SendRecv);
//! assert!(answer.contains("m=audio 5004 RTP/AVP 8\r\n"));
//! ```

mod crypto;
mod description;
mod error;
mod format;
mod media;
mod negotiated;
mod session;

pub use crypto::{Crypto, MasterKey, SECRET_BYTES, Suite};
pub use error::SdpError;
pub use media::{LocalMedia, SrtpPolicy};
pub use negotiated::{Direction, Negotiated, TelephoneEvent};
pub use session::Session;
