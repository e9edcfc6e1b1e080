//! Addresses of SIP (RFC 3261, section 19.1) and telephone numbers (RFC 3966): text in, its parts out.

use std::fmt;
use std::net::IpAddr;

/// What kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Sip,
    Sips,
    Tel,
}

/// An address, its parts as they stand: escapes are only undone by [`unescape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) scheme: Scheme,
    /// Without a password. The number, of `tel:`.
    pub(crate) user: Option<String>,
    /// A name or an IPv4 address, or an IPv6 address in brackets. Empty for `tel:`.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// After the host: `;name=value;…`, with the first semicolon, or empty.
    pub(crate) parameters: String,
    /// After `?`.
    pub(crate) headers: Option<String>,
}

/// Why there is no [`Uri`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UriError {
    /// A scheme that we don't know: 416.
    Scheme,
    /// 400.
    Malformed,
}

impl Uri {
    pub(crate) fn parse(text: &str) -> Result<Uri, UriError> {
        // Whatever stands for itself is ASCII, visible, and none of these (RFC 3261, section 25.1).
        let is_plain = |c: char| {
            c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '}' | '|')
        };
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Malformed)?;
        if !text.chars().all(is_plain) || !is_scheme(scheme) {
            return Err(UriError::Malformed);
        }
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "sip" => Scheme::Sip,
            "sips" => Scheme::Sips,
            "tel" => Scheme::Tel,
            _ => return Err(UriError::Scheme),
        };
        if scheme == Scheme::Tel {
            let (number, parameters) = rest.find(';').map_or((rest, ""), |at| rest.split_at(at));
            return if is_number(number) {
                Ok(Uri {
                    scheme,
                    user: Some(number.to_owned()),
                    host: String::new(),
                    port: None,
                    parameters: parameters.to_owned(),
                    headers: None,
                })
            } else {
                Err(UriError::Malformed)
            };
        }
        // A user may have `?` and `;` in it; after it nothing may have `@`.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user.split(':').next().unwrap_or_default()), rest),
            None => (None, rest),
        };
        let (rest, headers) =
            rest.split_once('?').map_or((rest, None), |(rest, headers)| (rest, Some(headers)));
        let (host_port, parameters) = rest.find(';').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = split_port(host_port).ok_or(UriError::Malformed)?;
        if user.is_some_and(|user| !has_sound_escapes(user)) {
            return Err(UriError::Malformed);
        }
        Ok(Uri {
            scheme,
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            parameters: parameters.to_owned(),
            headers: headers.map(str::to_owned),
        })
    }

    /// The user as people write it. A number is without what providers write behind it (RFC 3261, section 19.1.6; RFC 4694):
    /// `+4930123;npdi;rn=+4930` is `+4930123`.
    pub(crate) fn user_plain(&self) -> String {
        let user = self.user.as_deref().unwrap_or_default();
        match user.split_once(';') {
            Some((number, _)) if is_number(number) => unescape(number),
            _ => unescape(user),
        }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        super::parameter(&self.parameters, name)
    }

    /// Its host, where that is an address.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
        };
        write!(f, "{scheme}:{}", self.user.as_deref().unwrap_or_default())?;
        if self.user.is_some() && self.scheme != Scheme::Tel {
            f.write_str("@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.parameters)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

/// `HOST[:PORT]`.
pub(crate) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            rest[..end].parse::<std::net::Ipv6Addr>().ok()?;
            text.split_at(end + 2)
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let is_name = host.starts_with('[')
        || (!host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')));
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    is_name.then_some((host, port))
}

/// Undoes `%HH`. What isn't UTF-8 then becomes the replacement character.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Escapes what may not stand in the user of an address.
pub(crate) fn escape_user(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/#;".contains(&byte) && byte != b'#' {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Of a telephone (RFC 3966, section 3).
fn is_number(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_hexdigit() || matches!(c, '+' | '-' | '.' | '(' | ')' | '*' | '#');
    !text.is_empty() && text.chars().all(is_digit)
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn has_sound_escapes(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_and_written_back() {
        for text in [
            "sip:ada@example.com",
            "sips:ada@192.0.2.1:5061;transport=tls;lr",
            "sip:192.0.2.1",
            "sip:[2001:db8::1]:5060;transport=udp",
            "sip:+15551234@example.com;user=phone?Replaces=a%40b",
            "tel:+1-201-555-0123;phone-context=example.com",
            "sip:user;par=u%40example.net@example.com",
        ] {
            assert_eq!(Uri::parse(text).unwrap().to_string(), text);
        }
        let uri = Uri::parse("SIP:a%20b:secret@Example.com:5080;Transport=TCP").unwrap();
        assert_eq!((uri.user_plain().as_str(), uri.port), ("a b", Some(5080)));
        assert_eq!(uri.parameter("transport"), Some("TCP"));
        assert_eq!(Uri::parse("sip:[::1]").unwrap().ip(), Some("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_none_is_refused() {
        assert_eq!(Uri::parse("http://example.com"), Err(UriError::Scheme));
        for text in [
            "",
            "sip",
            "sip:",
            "sip:a@",
            "sip:a b@example.com",
            "<sip:a@example.com>",
            "sip:a@example.com:x",
            "sip:a@example.com:99999",
            "sip:a@[::1",
            "sip:a@[zz]",
            "sip:a%4@example.com",
            "sip:a@ex ample",
            "1x:a",
            "tel:",
            "tel:hello world",
            "sip:ü@example.com",
            "sip:a@[::1]x",
        ] {
            assert_eq!(Uri::parse(text), Err(UriError::Malformed), "{text}");
        }
    }

    #[test]
    fn users_are_escaped_and_unescaped() {
        for user in ["+49 30", "ada@home", "#31#", "ä", "a%b", "x;y"] {
            assert_eq!(unescape(&escape_user(user)), user);
            assert!(Uri::parse(&format!("sip:{}@example.com", escape_user(user))).is_ok(), "{user}");
        }
        for (user, plain) in [
            ("+4930123;npdi;rn=+4930", "+4930123"),
            ("4930123;phone-context=%2B49", "4930123"),
            ("user;par=u%40x", "user;par=u@x"),
        ] {
            assert_eq!(Uri::parse(&format!("sip:{user}@example.com")).unwrap().user_plain(), plain);
        }
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%zz%4"), "%zz%4");
    }
}
