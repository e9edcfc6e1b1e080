//! Digest authentication (RFC 7616, as RFC 3261, section 22, and RFC 8760 use it): challenges and credentials, their texts
//! and their arithmetic. Which nonces hold is `nonces.rs`.
//!
//! The crate `digest_auth` was weighed: it computes what a client answers, but parses a server's input leniently, knows no
//! nonce policy, and brings another generation of hashes and random numbers along.

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::message::split_list;

/// A hash that credentials are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What everything speaks, and nothing should rely on alone.
    Md5,
    /// RFC 7616; phones of the last years have it.
    Sha256,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// None given is MD5 (RFC 7616, section 3.3).
    fn named(name: Option<&str>) -> Option<Algorithm> {
        match name {
            None => Some(Algorithm::Md5),
            Some(name) if name.eq_ignore_ascii_case("MD5") => Some(Algorithm::Md5),
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Some(Algorithm::Sha256),
            Some(_) => None,
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
            Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

/// What a server asks with (`WWW-Authenticate`, `Proxy-Authenticate`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) opaque: Option<String>,
    pub(super) algorithm: Algorithm,
    /// Whether it takes `qop=auth`; without, it is of RFC 2069.
    pub(super) has_qop: bool,
    /// Only the nonce was too old: the same password may be right.
    pub(super) is_stale: bool,
}

impl Challenge {
    /// `None` if it isn't a digest, or one that we can't do.
    pub(super) fn parse(value: &str) -> Option<Challenge> {
        let fields = Fields::parse(value)?;
        let qop = fields.get("qop");
        let has_auth =
            qop.is_some_and(|qop| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
        if qop.is_some() && !has_auth {
            return None;
        }
        Some(Challenge {
            realm: fields.get("realm")?.to_owned(),
            nonce: fields.get("nonce")?.to_owned(),
            opaque: fields.get("opaque").map(str::to_owned),
            algorithm: Algorithm::named(fields.get("algorithm"))?,
            has_qop: has_auth,
            is_stale: fields.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The header that answers it (RFC 7616, section 3.4), for the `count`-th request with this nonce.
    pub(super) fn answer(
        &self,
        credentials: &super::Credentials,
        method: &str,
        uri: &str,
        count: u32,
        cnonce: &str,
    ) -> String {
        let claim = Claim {
            username: credentials.username.clone(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: uri.to_owned(),
            response: String::new(),
            algorithm: self.algorithm,
            qop: self.has_qop.then(|| Qop {
                count,
                count_text: format!("{count:08x}"),
                cnonce: cnonce.to_owned(),
            }),
        };
        let response = claim.expected_response(&credentials.password, method);
        let mut text = format!(
            "Digest username={}, realm={}, nonce={}, uri=\"{uri}\", response=\"{response}\", algorithm={}",
            quoted(&claim.username),
            quoted(&self.realm),
            quoted(&self.nonce),
            self.algorithm.name(),
        );
        if let Some(qop) = &claim.qop {
            text.push_str(&format!(", qop=auth, nc={}, cnonce=\"{cnonce}\"", qop.count_text));
        }
        if let Some(opaque) = &self.opaque {
            text.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        text
    }
}

/// How often a nonce was used, with `qop=auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Qop {
    pub(super) count: u32,
    /// As it stands: it is hashed so.
    count_text: String,
    cnonce: String,
}

/// What a client answers (`Authorization`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) username: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    uri: String,
    response: String,
    algorithm: Algorithm,
    pub(super) qop: Option<Qop>,
}

impl Claim {
    pub(super) fn parse(value: &str) -> Option<Claim> {
        let fields = Fields::parse(value)?;
        let qop = match fields.get("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let count_text = fields.get("nc")?.to_owned();
                let is_count = count_text.len() == 8 && count_text.bytes().all(|b| b.is_ascii_hexdigit());
                let count = u32::from_str_radix(&count_text, 16).ok().filter(|_| is_count)?;
                Some(Qop { count, count_text, cnonce: fields.get("cnonce")?.to_owned() })
            }
            Some(_) => return None,
        };
        Some(Claim {
            username: fields.get("username")?.to_owned(),
            realm: fields.get("realm")?.to_owned(),
            nonce: fields.get("nonce")?.to_owned(),
            uri: fields.get("uri")?.to_owned(),
            response: fields.get("response")?.to_owned(),
            algorithm: Algorithm::named(fields.get("algorithm"))?,
            qop,
        })
    }

    /// Whether it was made with this password, in constant time. The URI is taken as the client hashed it: proxies rewrite
    /// request URIs, and the nonce count sees to it that nothing is used twice.
    pub(super) fn is_made_with(&self, password: &str, method: &str) -> bool {
        let expected = self.expected_response(password, method);
        expected.as_bytes().ct_eq(self.response.to_ascii_lowercase().as_bytes()).into()
    }

    /// RFC 7616, section 3.4.1.
    fn expected_response(&self, password: &str, method: &str) -> String {
        let hash = |text: &str| self.algorithm.hash(text);
        let whom = hash(&format!("{}:{}:{password}", self.username, self.realm));
        let what = hash(&format!("{method}:{}", self.uri));
        match &self.qop {
            Some(qop) => {
                hash(&format!("{whom}:{}:{}:{}:auth:{what}", self.nonce, qop.count_text, qop.cnonce))
            }
            None => hash(&format!("{whom}:{}:{what}", self.nonce)),
        }
    }
}

/// `Digest name=value, …`.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(value: &str) -> Option<Fields> {
        let (scheme, rest) = value.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let fields = split_list(rest).map(|field| {
            let (name, value) = field.trim().split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())?))
        });
        fields.collect::<Option<_>>().map(Fields)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

fn unquoted(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let inner = inner.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        plain.push(if c == '\\' { characters.next()? } else { c });
    }
    Some(plain)
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Credentials;
    use super::*;

    fn mufasa(password: &str) -> Credentials {
        Credentials { username: "Mufasa".to_owned(), password: password.to_owned() }
    }

    fn response_of(header: &str) -> String {
        Claim::parse(header).unwrap().response
    }

    #[test]
    fn example_of_rfc_2617_section_3_5() {
        let challenge = Challenge::parse(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        )
        .unwrap();
        let header = challenge.answer(&mufasa("Circle Of Life"), "GET", "/dir/index.html", 1, "0a4f113b");
        assert_eq!(response_of(&header), "6629fae49393a05397450978507c4ef1");
        assert!(header.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""), "{header}");
        assert!(Claim::parse(&header).unwrap().is_made_with("Circle Of Life", "GET"));
        assert!(!Claim::parse(&header).unwrap().is_made_with("Circle of Life", "GET"));
        assert!(!Claim::parse(&header).unwrap().is_made_with("Circle Of Life", "PUT"));
    }

    #[test]
    fn examples_of_rfc_7616_section_3_9_1() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = Challenge::parse(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
            ))
            .unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let header = challenge.answer(&mufasa("Circle of Life"), "GET", "/dir/index.html", 1, cnonce);
            assert_eq!(response_of(&header), response, "{algorithm}");
        }
    }

    #[test]
    fn challenge_of_old_gets_an_answer_of_old() {
        let challenge = Challenge::parse("digest realm=\"a\", nonce=\"b\"").unwrap();
        let header = challenge.answer(&mufasa("x"), "REGISTER", "sip:a", 1, "c");
        assert!(!header.contains("qop") && !header.contains("nc="), "{header}");
        assert!(Claim::parse(&header).unwrap().is_made_with("x", "REGISTER"));
    }

    #[test]
    fn what_is_no_digest_of_ours_is_refused() {
        for value in [
            "",
            "Digest",
            "Basic abc",
            "Digest realm=\"a\"",
            "Digest realm=\"a, nonce=\"b\"",
            "Digest ,,,",
            "Digest realm=\"a\", nonce=\"b\", algorithm=MD5-sess",
            "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"",
        ] {
            assert_eq!(Challenge::parse(value), None, "{value}");
            assert_eq!(Claim::parse(value), None, "{value}");
        }
        let claim = "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\", response=\"e\", qop=auth, cnonce=\"f\", nc=";
        for count in ["1", "0000000g", "+0000001", "000000001"] {
            assert_eq!(Claim::parse(&format!("{claim}{count}")), None, "{count}");
        }
        assert_eq!(Claim::parse(&format!("{claim}0000010A")).unwrap().qop.unwrap().count, 0x10a);
    }

    #[test]
    fn quotes_in_names_survive() {
        let credentials = Credentials { username: "a\"b\\c".to_owned(), password: "p".to_owned() };
        let challenge = Challenge::parse("Digest realm=\"r\\\"s\", nonce=\"n\", qop=\"auth\"").unwrap();
        let claim = Claim::parse(&challenge.answer(&credentials, "INVITE", "sip:x", 7, "c")).unwrap();
        assert_eq!((claim.username.as_str(), claim.realm.as_str()), ("a\"b\\c", "r\"s"));
        assert!(claim.is_made_with("p", "INVITE"));
    }
}
