//! Who may enter. In: the token of a client, a JSON Web Token (RFC 7519). Out: [`Claims`], whose
//! fields keep the limits of `docs/protocol.md`, or an [`AccessError`] fit for the client to see.
//! Also the other direction: minting tokens, for the demo page and for `tercet token`.
//!
//! The algorithm in a token's header only chooses among the keys that are configured, and each key
//! serves one algorithm: a public key never becomes an HMAC secret, and `none` has no key at all
//! (RFC 8725, sections 2.1 and 3.1).

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    get_current_timestamp,
};
use serde::{Deserialize, Serialize};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<RawGrants>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RawGrants {
    #[serde(default = "allowed")]
    data: bool,
}

fn allowed() -> bool {
    true
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
        token.claims.try_into()
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
    let claims = RawClaims {
        sub: Some(grant.identity.clone()),
        room: Some(grant.room.clone()),
        role: Some(grant.role),
        name: grant.name.as_deref().and_then(display_name),
        exp: Some(get_current_timestamp().saturating_add(ttl.as_secs()).into()),
        grants: (!grant.may_send_data).then_some(RawGrants { data: false }),
    };
    encode(&Header::new(algorithm), &claims, key).map_err(|error| match error.into_kind() {
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
        Ok(Claims {
            room: checked_name("room", raw.room)?,
            identity: checked_name("sub", raw.sub)?,
            name: raw.name.as_deref().and_then(display_name),
            role: raw.role.unwrap_or(Role::Speaker),
            may_send_data: raw.grants.is_none_or(|grants| grants.data),
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
    let shown: String =
        name.trim().chars().filter(|c| !c.is_control()).take(DISPLAY_NAME_CHARS_MAX).collect();
    let shown = shown.trim_end();
    (!shown.is_empty()).then(|| shown.to_owned())
}

fn missing(claim: &str) -> AccessError {
    invalid(&format!("it has no `{claim}`"))
}

fn invalid(reason: &str) -> AccessError {
    AccessError::Invalid(reason.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const HOUR: Duration = Duration::from_secs(3600);

    // Made for these tests with `openssl genpkey -algorithm ed25519`; they open nothing.
    const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEILahbfRpBUcY2caLkDDYpqbbtFbBGRQ9tcrDQrxJ02x8\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAWOWjqR2tEWKtRTRf1ibWmineYHN0Ftr8ttn1ayt//Wk=\n\
        -----END PUBLIC KEY-----\n";
    const OTHER_PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIIvczwN0Wqi751ZTKdVzhD6rUjbBnto27sx6n8C7X8VY\n\
        -----END PRIVATE KEY-----\n";
    const EC_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEo2T6ndDSk5RZrkEmW9UZ1RUUBgYA\n\
        anDRhJulE+1P7E0ohFSi5GNlkdEvxkNeKnNLHaFG1qPX3ei8so1lpQe+Dw==\n\
        -----END PUBLIC KEY-----\n";

    // `{"alg":"none"}`, `{"alg":"EdDSA"}` and `{"alg":"HS256"}`, in base64url.
    const HEADER_NONE: &str = "eyJhbGciOiJub25lIn0";
    const HEADER_EDDSA: &str = "eyJhbGciOiJFZERTQSJ9";
    const HEADER_HS256: &str = "eyJhbGciOiJIUzI1NiJ9";

    fn access(secret: Option<&str>, public_key: Option<&str>) -> Access {
        Access {
            hs256: secret.map(|secret| SharedSecret::new(secret.as_bytes())),
            eddsa: public_key.map(|pem| parse_public_key(pem.as_bytes()).unwrap()),
        }
    }

    fn hs256() -> Access {
        access(Some(SECRET), None)
    }

    fn grant() -> Grant {
        Grant {
            room: "stage".to_owned(),
            identity: "alice".to_owned(),
            name: Some("Alice".to_owned()),
            role: Role::Moderator,
            may_send_data: false,
        }
    }

    fn now() -> u64 {
        get_current_timestamp()
    }

    /// A token of whatever claims, signed with the right secret.
    fn signed(claims: &Value) -> String {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
    }

    /// Valid claims, with some of them replaced, or removed where `null`.
    fn signed_with(changes: Value) -> String {
        let mut claims = json!({"sub": "alice", "room": "stage", "exp": now() + 3600});
        for (claim, value) in changes.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        signed(&claims)
    }

    #[track_caller]
    fn refused(access: &Access, token: &str, reason: &str) {
        match access.verify(token) {
            Err(AccessError::Invalid(text)) if text.contains(reason) => {}
            other => panic!("expected a refusal with {reason:?}, got {other:?}"),
        }
    }

    #[track_caller]
    fn parts(token: &str) -> [&str; 3] {
        token.split('.').collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn a_minted_token_gives_back_what_was_granted() {
        let both = access(Some(SECRET), Some(PUBLIC_KEY));
        let tokens = [
            both.mint(&grant(), HOUR).unwrap(),
            mint_hs256(SECRET, &grant(), HOUR).unwrap(),
            mint_eddsa(PRIVATE_KEY.as_bytes(), &grant(), HOUR).unwrap(),
        ];
        for token in tokens {
            let claims = both.verify(&token).unwrap();
            assert!(claims.expires.abs_diff(now() + 3600) <= 2);
            let Claims { room, identity, name, role, may_send_data, .. } = claims;
            assert_eq!(Grant { room, identity, name, role, may_send_data }, grant());
        }
    }

    #[test]
    fn what_a_token_leaves_out_has_a_default() {
        let claims = hs256().verify(&signed_with(json!({}))).unwrap();
        assert_eq!((claims.role, claims.name, claims.may_send_data), (Role::Speaker, None, true));
        let claims = hs256().verify(&signed_with(json!({"grants": {"later": 1}}))).unwrap();
        assert!(claims.may_send_data);
    }

    #[test]
    fn a_token_is_valid_until_its_end_and_a_leeway() {
        hs256().verify(&signed_with(json!({"exp": now() - 8}))).unwrap();
        let expired = hs256().verify(&signed_with(json!({"exp": now() - 12})));
        assert_eq!(expired, Err(AccessError::Expired));
        let fraction = hs256().verify(&signed_with(json!({"exp": now() as f64 + 60.5}))).unwrap();
        assert!(fraction.expires > now());
        refused(&hs256(), &signed_with(json!({"exp": null})), "`exp`");
        refused(&hs256(), &signed_with(json!({"exp": "tomorrow"})), "exp");
        refused(&hs256(), &signed_with(json!({"exp": -1})), "`exp`");
    }

    #[test]
    fn a_token_is_valid_from_its_start_less_a_leeway() {
        hs256().verify(&signed_with(json!({"nbf": now() + 8}))).unwrap();
        refused(&hs256(), &signed_with(json!({"nbf": now() + 60})), "`nbf`");
    }

    #[test]
    fn a_token_of_another_key_is_refused() {
        let other = "another secret, of sufficient length";
        let token = mint_hs256(other, &grant(), HOUR).unwrap();
        refused(&hs256(), &token, "signature");
        let token = mint_eddsa(OTHER_PRIVATE_KEY.as_bytes(), &grant(), HOUR).unwrap();
        refused(&access(None, Some(PUBLIC_KEY)), &token, "signature");
    }

    #[test]
    fn an_algorithm_without_a_key_is_refused() {
        let only_key = access(None, Some(PUBLIC_KEY));
        refused(&only_key, &hs256().mint(&grant(), HOUR).unwrap(), "not signed with EdDSA");
        let eddsa = mint_eddsa(PRIVATE_KEY.as_bytes(), &grant(), HOUR).unwrap();
        refused(&hs256(), &eddsa, "not signed with HS256");
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            let claims = json!({"sub": "alice", "room": "stage", "exp": now() + 60});
            let token = encode(&Header::new(algorithm), &claims, &key).unwrap();
            refused(&hs256(), &token, "not signed with HS256");
        }
    }

    #[test]
    fn the_public_key_does_not_serve_as_a_secret() {
        let raw_key = parse_public_key(PUBLIC_KEY.as_bytes()).unwrap().key;
        let raw_key = raw_key.try_get_as_bytes().unwrap();
        for secret in [PUBLIC_KEY.as_bytes(), raw_key] {
            let key = EncodingKey::from_secret(secret);
            let forged = sign(&grant(), HOUR, Algorithm::HS256, &key).unwrap();
            refused(&access(None, Some(PUBLIC_KEY)), &forged, "not signed with EdDSA");
            refused(&access(Some(SECRET), Some(PUBLIC_KEY)), &forged, "signature");
        }
    }

    #[test]
    fn a_header_that_names_another_algorithm_is_refused() {
        let both = access(Some(SECRET), Some(PUBLIC_KEY));
        let token = both.mint(&grant(), HOUR).unwrap();
        let [_, payload, signature] = parts(&token);
        refused(&both, &format!("{HEADER_EDDSA}.{payload}.{signature}"), "signature");
        let token = mint_eddsa(PRIVATE_KEY.as_bytes(), &grant(), HOUR).unwrap();
        let [_, payload, signature] = parts(&token);
        refused(&both, &format!("{HEADER_HS256}.{payload}.{signature}"), "signature");
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        let token = hs256().mint(&grant(), HOUR).unwrap();
        let [header, payload, signature] = parts(&token);
        refused(&hs256(), &format!("{HEADER_NONE}.{payload}."), "not signed with HS256");
        refused(&hs256(), &format!("{HEADER_NONE}.{payload}.{signature}"), "not signed");
        refused(&hs256(), &format!("{header}.{payload}."), "signature");
        for text in ["", ".", "..", "...", "a.b.c", "\u{0}", payload] {
            refused(&hs256(), text, "cannot be read");
        }
    }

    #[test]
    fn a_changed_payload_is_refused() {
        let listener = Grant { role: Role::Listener, ..grant() };
        let (token, wanted) = (hs256().mint(&listener, HOUR), hs256().mint(&grant(), HOUR));
        let (token, wanted) = (token.unwrap(), wanted.unwrap());
        let ([header, _, signature], [_, payload, _]) = (parts(&token), parts(&wanted));
        refused(&hs256(), &format!("{header}.{payload}.{signature}"), "signature");
    }

    #[test]
    fn critical_extensions_and_foreign_audiences_are_refused() {
        let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
        let claims = json!({"sub": "alice", "room": "stage", "exp": now() + 60});
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        refused(&hs256(), &encode(&header, &claims, &key).unwrap(), "critical");
        refused(&hs256(), &signed_with(json!({"aud": "elsewhere"})), "`aud`");
    }

    #[test]
    fn room_and_identity_hold_at_the_limit_and_fail_one_step_past_it() {
        for claim in ["room", "sub"] {
            // Characters, not bytes.
            hs256().verify(&signed_with(json!({claim: "\u{fc}".repeat(128)}))).unwrap();
            refused(&hs256(), &signed_with(json!({claim: "x".repeat(129)})), claim);
            refused(&hs256(), &signed_with(json!({claim: ""})), claim);
            refused(&hs256(), &signed_with(json!({claim: "a\nb"})), claim);
            refused(&hs256(), &signed_with(json!({claim: null})), &format!("has no `{claim}`"));
            refused(&hs256(), &signed_with(json!({claim: 5})), "bad claims");
        }
        refused(&hs256(), &signed_with(json!({"role": "king"})), "king");
    }

    #[test]
    fn a_display_name_is_cut_and_cleaned() {
        let name = |name: &str| hs256().verify(&signed_with(json!({"name": name}))).unwrap().name;
        assert_eq!(name(&"\u{fc}".repeat(65)), Some("\u{fc}".repeat(64)));
        assert_eq!(name(" A\u{7}l\nice "), Some("Alice".to_owned()));
        assert_eq!(name(" \n "), None);
    }

    #[test]
    fn a_token_holds_at_its_longest_and_fails_one_step_past_it() {
        let of_length = |bytes: usize| {
            let paddings = (0..bytes).rev().map(|pad| signed_with(json!({"pad": "x".repeat(pad)})));
            paddings.into_iter().find(|token| token.len() <= bytes).unwrap()
        };
        let longest = of_length(TOKEN_BYTES_MAX);
        assert!(longest.len() >= TOKEN_BYTES_MAX - 1);
        hs256().verify(&longest).unwrap();
        let longer = of_length(TOKEN_BYTES_MAX + 2);
        assert!(longer.len() > TOKEN_BYTES_MAX);
        refused(&hs256(), &longer, "longer than 4096 bytes");
    }

    #[test]
    fn what_would_be_refused_is_not_minted() {
        let nameless = Grant { identity: String::new(), ..grant() };
        let error = hs256().mint(&nameless, HOUR).unwrap_err();
        assert_eq!(error, MintError::BadName { field: "identity" });
        let only_key = access(None, Some(PUBLIC_KEY));
        assert_eq!(only_key.mint(&grant(), HOUR), Err(MintError::NoSecret));
        for pem in ["", SECRET, PUBLIC_KEY] {
            assert_eq!(mint_eddsa(pem.as_bytes(), &grant(), HOUR), Err(MintError::BadKey));
        }
    }

    #[test]
    fn keys_come_from_the_configuration() {
        let file = std::env::temp_dir().join(format!("tercet-access-{}.pem", std::process::id()));
        std::fs::write(&file, PUBLIC_KEY).unwrap();
        let mut config = Config::default();
        config.access.public_key_file = Some(file.clone());
        let access = Access::from_config(&config).unwrap();
        access.verify(&mint_eddsa(PRIVATE_KEY.as_bytes(), &grant(), HOUR).unwrap()).unwrap();
        // A configured public key puts the development secret out of use.
        let dev = mint_hs256(crate::config::DEV_SECRET, &grant(), HOUR).unwrap();
        refused(&access, &dev, "not signed with EdDSA");

        for wrong in [EC_PUBLIC_KEY, PRIVATE_KEY, "hello"] {
            std::fs::write(&file, wrong).unwrap();
            let error = Access::from_config(&config).unwrap_err().to_string();
            assert!(error.contains("not an Ed25519 public key"), "{error}");
        }
        std::fs::remove_file(&file).unwrap();
        let error = Access::from_config(&config).unwrap_err().to_string();
        assert!(error.contains("cannot read access.public_key_file"), "{error}");
    }

    #[test]
    fn the_dev_secret_is_not_taken_from_an_unvalidated_configuration() {
        let config = Config { http: "0.0.0.0:80".parse().unwrap(), ..Config::default() };
        Access::from_config(&config).unwrap_err();
    }

    #[test]
    fn no_message_or_printed_key_shows_the_secret() {
        assert!(!format!("{:?}", hs256()).contains("0123456789"));
        let token = mint_hs256("another secret, of sufficient length", &grant(), HOUR).unwrap();
        let error = hs256().verify(&token).unwrap_err().to_string();
        assert!(!error.contains(SECRET) && !error.contains(&token), "{error}");
    }
}
