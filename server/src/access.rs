//! Who may enter. In: the token of a client, a JSON Web Token (RFC 7519). Out: [`Claims`], whose
//! fields keep the limits of `docs/protocol.md`, or an [`AccessError`] fit for the client to see.
//! Also the other direction: minting tokens, for the demo page and for `tercet token`.
//!
//! The algorithm in a token's header only chooses among the keys that are configured, and each key
//! serves one algorithm: a public key never becomes an HMAC secret, and `none` has no key at all
//! (RFC 8725, sections 2.1 and 3.1).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    get_current_timestamp,
};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use tercet_protocol::Role;

use crate::config::{Config, NAME_CHARS_MAX, is_name};

/// The longest token that is looked at.
pub(crate) const TOKEN_BYTES_MAX: usize = 4096;

/// How far apart the clocks of the issuer and of this server may be.
const LEEWAY_SECONDS: u64 = 10;

/// The longest display name, in characters; what is longer is cut.
const DISPLAY_NAME_CHARS_MAX: usize = 64;

const ED25519_KEY_BYTES: usize = 32;

/// The keys that tokens are checked and minted with.
#[derive(Debug)]
pub(crate) struct Access {
    hs256: Option<SharedSecret>,
    eddsa: Option<Verifier>,
}

/// What a token lets its bearer do, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The room, 1 to 128 characters without control characters.
    pub(crate) room: String,
    /// The participant, 1 to 128 characters without control characters.
    pub(crate) identity: String,
    /// The name to show, 1 to 64 characters without control characters.
    pub(crate) name: Option<String>,
    /// What the participant may do.
    pub(crate) role: Role,
    /// Whether the participant may send data messages.
    pub(crate) may_send_data: bool,
    /// Whether they become a moderator where nobody is in the room yet.
    pub(crate) first_moderates: bool,
    /// End of validity, seconds since 1970.
    pub(crate) expires: u64,
}

/// What a new token shall say; its times are chosen when it is minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The room.
    pub(crate) room: String,
    /// The participant.
    pub(crate) identity: String,
    /// The name to show.
    pub(crate) name: Option<String>,
    /// What the participant may do.
    pub(crate) role: Role,
    /// Whether the participant may send data messages.
    pub(crate) may_send_data: bool,
    /// Whether they become a moderator where nobody is in the room yet.
    pub(crate) first_moderates: bool,
}

/// Why a token is refused. The text goes to the client, who holds the token but not the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessError {
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// It is no token for this server, or not one that says what it has to say.
    #[error("the token is not valid: {0}")]
    Invalid(String),
}

/// Why no token can be minted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MintError {
    /// Only a public key is configured.
    #[error("no access secret is set: a public key cannot sign tokens")]
    NoSecret,
    /// A token like this would be refused.
    #[error("{field} must have 1 to {NAME_CHARS_MAX} characters, none of them control characters")]
    BadName {
        /// What is wrong, in the words of the command line.
        field: &'static str,
    },
    /// The private key is not one.
    #[error("the private key is not an Ed25519 key in PEM (`openssl genpkey -algorithm ed25519`)")]
    BadKey,
    /// The cryptography failed, which no known input brings about.
    #[error("signing failed: {0}")]
    Signing(String),
}

/// One secret in the two forms that the library wants.
#[derive(Debug)]
struct SharedSecret {
    verifier: Verifier,
    signer: EncodingKey,
}

/// One key, and the only algorithm it is good for.
#[derive(Debug)]
struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

/// The claims as they stand in a token; `exp` and `nbf` are checked by the library.
#[derive(Debug, Default, Serialize, Deserialize)]
struct RawClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    // What is there has to be meant: `null` is no role, and no grant.
    #[serde(default, deserialize_with = "role", skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    grants: BTreeMap<String, bool>,
}

/// The grants that this server knows. One that it doesn't know is refused: its issuer meant to restrict
/// something, and would believe to have done so.
const GRANT_DATA: &str = "data";
const GRANT_FIRST_MODERATES: &str = "first_moderates";
const GRANT_ADMIN: &str = "admin";

/// A role by its name, and by nothing else.
fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
    let name = String::deserialize(deserializer)?;
    Role::deserialize(name.into_deserializer()).map(Some)
}

impl Access {
    /// Takes the keys from the configuration; reads the public key file.
    pub(crate) fn from_config(config: &Config) -> anyhow::Result<Self> {
        let secret = config.access_secret()?;
        let public_key = config.access.public_key_file.as_deref().map(read_public_key);
        Ok(Access {
            hs256: secret.map(|secret| SharedSecret::new(secret.as_bytes())),
            eddsa: public_key.transpose()?,
        })
    }

    /// Checks a token: signature, time, and that every claim is there and within its limits.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, AccessError> {
        self.read(token)?.try_into()
    }

    /// Checks a token as [`Access::verify`] does, and whether it lets its bearer look into the server.
    pub(crate) fn is_admin(&self, token: &str) -> Result<bool, AccessError> {
        let claims = self.read(token)?;
        check_grants(&claims)?;
        checked_name("sub", claims.sub)?;
        Ok(claims.grants.get(GRANT_ADMIN) == Some(&true))
    }

    fn read(&self, token: &str) -> Result<RawClaims, AccessError> {
        // Before anything is decoded: what an unknown peer sends costs nothing yet.
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid(&format!("it is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let header = decode_header(token).map_err(|_| {
            invalid(&format!("it cannot be read, or is not signed with {}", self.algorithms()))
        })?;
        let verifier = match header.alg {
            Algorithm::HS256 => self.hs256.as_ref().map(|secret| &secret.verifier),
            Algorithm::EdDSA => self.eddsa.as_ref(),
            _ => None,
        };
        let verifier =
            verifier.ok_or_else(|| invalid(&format!("it is not signed with {}", self.algorithms())))?;
        // "If any of the listed extension Header Parameters are not understood and supported by
        // the recipient, then the JWS is invalid" (RFC 7515, section 4.1.11). We support none.
        if header.crit.is_some() {
            return Err(invalid("its header has critical extensions"));
        }
        let token = decode::<RawClaims>(token, &verifier.key, &verifier.validation)?;
        Ok(token.claims)
    }

    /// A token signed with the access secret, valid from now on for `ttl`.
    pub(crate) fn mint(&self, grant: &Grant, ttl: Duration) -> Result<String, MintError> {
        let secret = self.hs256.as_ref().ok_or(MintError::NoSecret)?;
        sign(grant, ttl, Algorithm::HS256, &secret.signer)
    }

    /// The algorithms that have a key, for messages.
    fn algorithms(&self) -> &'static str {
        match (&self.hs256, &self.eddsa) {
            (Some(_), Some(_)) => "HS256 or EdDSA",
            (None, Some(_)) => "EdDSA",
            (_, None) => "HS256",
        }
    }
}

/// A token signed with `secret` (HS256), valid from now on for `ttl`.
pub(crate) fn mint_hs256(secret: &str, grant: &Grant, ttl: Duration) -> Result<String, MintError> {
    sign(grant, ttl, Algorithm::HS256, &EncodingKey::from_secret(secret.as_bytes()))
}

/// A token that lets its bearer look into the server, signed with `secret` (HS256), or with an Ed25519 private key.
pub(crate) fn mint_admin(identity: &str, signer: Signer<'_>, ttl: Duration) -> Result<String, MintError> {
    if !is_name(identity) {
        return Err(MintError::BadName { field: "identity" });
    }
    let claims = RawClaims {
        sub: Some(identity.to_owned()),
        exp: Some(get_current_timestamp().saturating_add(ttl.as_secs()).into()),
        grants: [(GRANT_ADMIN.to_owned(), true)].into(),
        ..RawClaims::default()
    };
    match signer {
        Signer::Secret(secret) => {
            write(&claims, Algorithm::HS256, &EncodingKey::from_secret(secret.as_bytes()))
        }
        Signer::PrivateKey(pem) => {
            let key = EncodingKey::from_ed_pem(pem).map_err(|_| MintError::BadKey)?;
            write(&claims, Algorithm::EdDSA, &key)
        }
    }
}

/// What a token is signed with.
#[derive(Clone, Copy)]
pub(crate) enum Signer<'a> {
    /// HS256.
    Secret(&'a str),
    /// EdDSA: PKCS #8 in PEM.
    PrivateKey(&'a [u8]),
}

/// A token signed with an Ed25519 private key (PKCS #8 in PEM), valid from now on for `ttl`.
pub(crate) fn mint_eddsa(private_key_pem: &[u8], grant: &Grant, ttl: Duration) -> Result<String, MintError> {
    let key = EncodingKey::from_ed_pem(private_key_pem).map_err(|_| MintError::BadKey)?;
    sign(grant, ttl, Algorithm::EdDSA, &key)
}

fn sign(grant: &Grant, ttl: Duration, algorithm: Algorithm, key: &EncodingKey) -> Result<String, MintError> {
    for (field, value) in [("room", &grant.room), ("identity", &grant.identity)] {
        if !is_name(value) {
            return Err(MintError::BadName { field });
        }
    }
    let data = (!grant.may_send_data).then(|| (GRANT_DATA.to_owned(), false));
    let moderates = grant.first_moderates.then(|| (GRANT_FIRST_MODERATES.to_owned(), true));
    let grants = data.into_iter().chain(moderates);
    let claims = RawClaims {
        sub: Some(grant.identity.clone()),
        room: Some(grant.room.clone()),
        role: Some(grant.role),
        name: grant.name.as_deref().and_then(display_name),
        exp: Some(get_current_timestamp().saturating_add(ttl.as_secs()).into()),
        grants: grants.collect(),
    };
    write(&claims, algorithm, key)
}

fn write(claims: &RawClaims, algorithm: Algorithm, key: &EncodingKey) -> Result<String, MintError> {
    encode(&Header::new(algorithm), claims, key).map_err(|error| match error.into_kind() {
        ErrorKind::InvalidEddsaKey => MintError::BadKey,
        kind => MintError::Signing(JwtError::from(kind).to_string()),
    })
}

fn read_public_key(path: &Path) -> anyhow::Result<Verifier> {
    let shown = path.display();
    let pem = std::fs::read(path).with_context(|| format!("cannot read access.public_key_file {shown}"))?;
    parse_public_key(&pem).with_context(|| {
        format!(
            "access.public_key_file {shown} is not an Ed25519 public key in PEM: make one with \
             `openssl genpkey -algorithm ed25519 -out private.pem` and \
             `openssl pkey -in private.pem -pubout`"
        )
    })
}

fn parse_public_key(pem: &[u8]) -> Option<Verifier> {
    let key = DecodingKey::from_ed_pem(pem).ok()?;
    let whole = key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == ED25519_KEY_BYTES);
    whole.then(|| Verifier::new(key, Algorithm::EdDSA))
}

impl SharedSecret {
    fn new(secret: &[u8]) -> Self {
        SharedSecret {
            verifier: Verifier::new(DecodingKey::from_secret(secret), Algorithm::HS256),
            signer: EncodingKey::from_secret(secret),
        }
    }
}

impl Verifier {
    fn new(key: DecodingKey, algorithm: Algorithm) -> Self {
        // `exp` is required and checked. So is `aud`, by default: a token that is made out to
        // somebody else is refused, since this server has no name to find in it (RFC 7519, 4.1.3).
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        Verifier { key, validation }
    }
}

impl TryFrom<RawClaims> for Claims {
    type Error = AccessError;

    fn try_from(raw: RawClaims) -> Result<Self, AccessError> {
        // RFC 7519, section 2: a NumericDate may have a fraction.
        let seconds = |exp: serde_json::Number| exp.as_u64().or(exp.as_f64().map(|s| s as u64));
        check_grants(&raw)?;
        Ok(Claims {
            room: checked_name("room", raw.room)?,
            identity: checked_name("sub", raw.sub)?,
            name: raw.name.as_deref().and_then(display_name),
            role: raw.role.unwrap_or(Role::Speaker),
            may_send_data: raw.grants.get(GRANT_DATA).copied().unwrap_or(true),
            first_moderates: raw.grants.get(GRANT_FIRST_MODERATES).copied().unwrap_or(false),
            expires: raw.exp.and_then(seconds).ok_or_else(|| missing("exp"))?,
        })
    }
}

impl From<JwtError> for AccessError {
    fn from(error: JwtError) -> Self {
        match error.kind() {
            ErrorKind::ExpiredSignature => AccessError::Expired,
            ErrorKind::InvalidSignature => invalid("its signature does not match"),
            ErrorKind::ImmatureSignature => invalid("its time has not come yet (`nbf`)"),
            ErrorKind::InvalidAudience => invalid("it is made out to somebody else (`aud`)"),
            ErrorKind::MissingRequiredClaim(claim) => missing(claim),
            ErrorKind::InvalidClaimFormat(claim) => invalid(&format!("bad claim `{claim}`")),
            // Only reached under a signature that is right: an issuer's mistake, worth telling.
            ErrorKind::Json(error) => invalid(&format!("bad claims: {error}")),
            _ => invalid("it cannot be read"),
        }
    }
}

fn check_grants(raw: &RawClaims) -> Result<(), AccessError> {
    let known = [GRANT_DATA, GRANT_FIRST_MODERATES, GRANT_ADMIN];
    match raw.grants.keys().find(|grant| !known.contains(&grant.as_str())) {
        Some(unknown) => {
            Err(invalid(&format!("unknown grant {unknown:?}: this server knows {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// The claim `claim`, present and fit to name a room or a participant.
fn checked_name(claim: &str, value: Option<String>) -> Result<String, AccessError> {
    let value = value.ok_or_else(|| missing(claim))?;
    if !is_name(&value) {
        return Err(invalid(&format!(
            "`{claim}` must have 1 to {NAME_CHARS_MAX} characters, none of them control characters"
        )));
    }
    Ok(value)
}

/// A name made fit to show: no control characters, cut to its limit, `None` where nothing is left.
pub(crate) fn display_name(name: &str) -> Option<String> {
    let shown: String = name
        .trim()
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .take(DISPLAY_NAME_CHARS_MAX)
        .collect();
    let shown = shown.trim_end();
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// Characters that show nothing and turn the text around them (Unicode, category Cf), but for the joiners
/// that some scripts, and emoji, are written with.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

fn missing(claim: &str) -> AccessError {
    invalid(&format!("it has no `{claim}`"))
}

fn invalid(reason: &str) -> AccessError {
    AccessError::Invalid(reason.to_owned())
}

#[cfg(test)]
mod tests;
