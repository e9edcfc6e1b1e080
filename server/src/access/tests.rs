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
        first_moderates: true,
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
        let Claims { room, identity, name, role, may_send_data, first_moderates, .. } = claims;
        assert_eq!(Grant { room, identity, name, role, may_send_data, first_moderates }, grant());
    }
}

#[test]
fn what_a_token_leaves_out_has_a_default() {
    let claims = hs256().verify(&signed_with(json!({}))).unwrap();
    assert_eq!((claims.role, claims.name, claims.may_send_data), (Role::Speaker, None, true));
    let claims = hs256().verify(&signed_with(json!({"grants": {}}))).unwrap();
    assert!(claims.may_send_data && !claims.first_moderates);
}

#[test]
fn a_grant_or_a_role_that_cannot_be_meant_is_refused() {
    refused(&hs256(), &signed_with(json!({"grants": {"publish": false}})), "unknown grant \"publish\"");
    refused(&hs256(), &signed_with(json!({"grants": {"Data": false}})), "unknown grant");
    let nulled = |claim: &str| {
        let mut claims = json!({"sub": "alice", "room": "stage", "exp": now() + 3600});
        claims[claim] = Value::Null;
        signed(&claims)
    };
    for claim in ["grants", "role"] {
        refused(&hs256(), &nulled(claim), "bad claims");
    }
    for grants in [json!([false]), json!([]), json!({"data": 0}), json!("data")] {
        refused(&hs256(), &signed_with(json!({"grants": grants})), "bad claims");
    }
    for role in [json!({"moderator": null}), json!(["moderator"]), json!(1)] {
        refused(&hs256(), &signed_with(json!({"role": role})), "bad claims");
    }
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
    assert_eq!(name("\u{200b}\u{202e}\u{2066}"), None);
    assert_eq!(
        name("\u{202e}Ada \u{1f469}\u{200d}\u{1f680}"),
        Some("Ada \u{1f469}\u{200d}\u{1f680}".to_owned())
    );
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
