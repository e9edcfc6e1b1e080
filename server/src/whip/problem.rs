//! Why a request of an encoder or player was refused, with its status.

use std::time::Duration;

use axum::http::StatusCode;
use tercet_protocol::{ErrorCode, ProtocolError};

use crate::control::RETRY_AFTER;

/// A refusal over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    /// When to try again, where waiting is of use.
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Problem {
        Problem { status, code, message: message.into(), retry_after: None }
    }

    /// The request can't be read: the client's doing.
    pub(crate) fn bad(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, ErrorCode::BadSdp, message)
    }

    /// The request can be read, and asks for what isn't there (RFC 9110, section 15.5.21).
    pub(crate) fn unprocessable(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BadSdp, message)
    }

    /// The node takes nobody at the moment.
    pub(crate) fn unavailable(code: ErrorCode, message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(RETRY_AFTER)
    }

    /// The client does something too often, or too much of it at once.
    pub(crate) fn too_many(of_what: &str) -> Problem {
        let message = format!("too many {of_what}");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimited, message)
            .retry_after(Duration::from_secs(1))
    }

    /// The session is over, or never was.
    pub(crate) fn gone() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchSession, "there is no such session: POST again")
    }

    pub(crate) fn retry_after(self, after: Duration) -> Problem {
        Problem { retry_after: Some(after), ..self }
    }
}

impl From<ProtocolError> for Problem {
    fn from(error: ProtocolError) -> Problem {
        let status = match error.code {
            ErrorCode::BadSdp | ErrorCode::BadMessage => StatusCode::BAD_REQUEST,
            ErrorCode::UnsupportedCodec | ErrorCode::NoConnection => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::NoSuchSession => StatusCode::NOT_FOUND,
            ErrorCode::Overloaded | ErrorCode::RoomFull | ErrorCode::ShuttingDown => {
                return Problem::unavailable(error.code, error.message);
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, error.code, error.message)
    }
}
