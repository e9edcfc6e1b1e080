//! A room and an identity come in, an access token goes out: signed here with the server's secret,
//! or fetched from the server's demo endpoint (docs/protocol.md, "Tokens" and "Demo tokens").

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use tercet_protocol::Role;

use crate::ServerUrl;

/// How long [`Claims::new`] lets a token be valid.
const TTL: Duration = Duration::from_secs(3600);

/// How long the demo endpoint may take to answer.
const DEMO_TIMEOUT: Duration = Duration::from_secs(10);

/// The claims of an access token (RFC 7519), as docs/protocol.md lists them. The fields are what
/// goes into the token, unchecked, so that tests can make wrong ones too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Identity: the participant's id.
    pub sub: String,
    /// The room.
    pub room: String,
    /// The role; `None` leaves the claim out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// End of validity, seconds since 1970.
    pub exp: u64,
    /// Start of validity, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Permissions that differ from the role's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
}

/// The claim `grants`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// Whether data messages are allowed.
    pub data: bool,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It couldn't be signed.
    #[error("the token can't be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// The demo endpoint can't be reached.
    #[error("the demo endpoint doesn't answer")]
    Unreachable(#[from] ureq::Error),
    /// The demo endpoint answered with something else than a token.
    #[error("no demo token, HTTP {status}: {body} (pass --secret if demo tokens are off)")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The answer's body.
        body: String,
    },
}

/// What the demo endpoint gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DemoToken {
    /// The access token.
    pub token: String,
    /// The participant id that the server chose.
    pub identity: String,
    /// The role that the token gives; whoever enters an empty room with it moderates.
    pub role: Role,
}

impl Claims {
    /// Claims that are valid from now on, for an hour.
    pub fn new(room: impl Into<String>, identity: impl Into<String>, role: Role) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Claims {
            sub: identity.into(),
            room: room.into(),
            role: Some(role),
            exp: (now + TTL).as_secs(),
            nbf: None,
            name: None,
            grants: None,
        }
    }

    /// The token: HS256 (RFC 7518, section 3.2) with the server's secret.
    pub fn sign(&self, secret: &[u8]) -> Result<String, TokenError> {
        let header = Header::new(Algorithm::HS256);
        Ok(jsonwebtoken::encode(&header, self, &EncodingKey::from_secret(secret))?)
    }
}

/// Asks the server for a token: `POST /v1/demo/token`. The endpoint knows `speaker` and `listener`;
/// a wish to be moderator is sent as `speaker`. Blocks: async callers use [`fetch`].
pub fn fetch_blocking(
    server: &ServerUrl,
    room: &str,
    name: &str,
    role: Role,
) -> Result<DemoToken, TokenError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(DEMO_TIMEOUT))
        .http_status_as_error(false)
        // A proxy from the environment would take the request off this machine.
        .proxy(None)
        .max_redirects(0)
        .build()
        .into();
    let role = if role == Role::Listener { Role::Listener } else { Role::Speaker };
    let body = serde_json::json!({ "room": room, "name": name, "role": role }).to_string();
    let mut response = agent
        .post(server.http("/v1/demo/token"))
        .header("content-type", "application/json")
        .send(body.as_bytes())?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string()?;
    if status != 200 {
        return Err(TokenError::Refused { status, body });
    }
    serde_json::from_str(&body).map_err(|_| TokenError::Refused { status, body })
}

/// [`fetch_blocking`] on a thread that may block.
pub async fn fetch(server: &ServerUrl, room: &str, name: &str, role: Role) -> Result<DemoToken, TokenError> {
    let (server, room, name) = (*server, room.to_owned(), name.to_owned());
    tokio::task::spawn_blocking(move || fetch_blocking(&server, &room, &name, role))
        .await
        .expect("the request doesn't panic and isn't aborted")
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    #[test]
    fn a_signed_token_has_the_documented_claims() {
        let mut claims = Claims::new("lounge", "ada", Role::Listener);
        claims.grants = Some(Grants { data: false });
        let token = claims.sign(b"0123456789abcdef0123456789abcdef").unwrap();
        let key = DecodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
        let read: serde_json::Value =
            jsonwebtoken::decode(&token, &key, &Validation::new(Algorithm::HS256)).unwrap().claims;
        assert_eq!(read["sub"], "ada");
        assert_eq!(read["room"], "lounge");
        assert_eq!(read["role"], "listener");
        assert_eq!(read["grants"]["data"], false);
        assert!(read.get("nbf").is_none());
    }
}
