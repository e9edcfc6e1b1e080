//! `"Name" <sip:…>;tag=…` (RFC 3261, section 20.10): what `From`, `To`, `Contact` and routes are made of.

use std::fmt;

use super::Uri;

/// A name, an address, and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without quotes and backslashes.
    pub(crate) display: Option<String>,
    /// Not parsed: a scheme that we don't know may stand here.
    pub(crate) uri: String,
    /// `;name=value;…`, with the first semicolon, or empty.
    pub(crate) parameters: String,
}

impl Address {
    /// Reads one. Without angle brackets, all parameters are the header's, and the address may have neither `?` nor a comma
    /// (RFC 3261, section 20.10).
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let text = text.trim();
        let (display, rest) = match text.strip_prefix('"') {
            Some(_) => {
                let end = closing_quote(text)?;
                (Some(unquote(&text[..=end])), text[end + 1..].trim_start())
            }
            None => match text.find('<') {
                Some(at) => {
                    let name = text[..at].trim();
                    if !name.chars().all(is_name_char) {
                        return None;
                    }
                    ((!name.is_empty()).then(|| name.to_owned()), &text[at..])
                }
                None => (None, text),
            },
        };
        let (uri, parameters) = match rest.strip_prefix('<') {
            Some(rest) => rest.split_once('>')?,
            // A display name has to be followed by brackets.
            None if display.is_some() => return None,
            None => {
                let (uri, parameters) = rest.find(';').map_or((rest, ""), |at| rest.split_at(at));
                if uri.contains(['?', ',']) {
                    return None;
                }
                (uri.trim_end(), parameters)
            }
        };
        let parameters = parameters.trim();
        let is_sound = !uri.is_empty()
            && !uri.chars().any(|c| c.is_ascii_whitespace() || c.is_control())
            && are_parameters(parameters);
        is_sound.then(|| Address { display, uri: uri.to_owned(), parameters: parameters.to_owned() })
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.parameters, name)
    }

    pub(crate) fn uri(&self) -> Option<Uri> {
        Uri::parse(&self.uri).ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            let plain: String = display.chars().filter(|c| !c.is_control()).collect();
            write!(f, "\"{}\" ", plain.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
        write!(f, "<{}>{}", self.uri, self.parameters)
    }
}

/// A parameter of `;name=value;name`: its value without quotes, or an empty text if it has none. Names are in any case.
pub(crate) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    pieces(parameters, ';').find_map(|piece| {
        let (of, value) = piece.split_once('=').unwrap_or((piece, ""));
        of.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// The values of a list, which commas part.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    pieces(text, ',')
}

/// What a character parts, but within quotes or angle brackets.
pub(crate) fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let (mut is_quoted, mut is_escaped, mut depth) = (false, false, 0u32);
        for (at, c) in current.char_indices() {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if is_quoted => is_escaped = true,
                '"' => is_quoted = !is_quoted,
                '<' if !is_quoted => depth += 1,
                '>' if !is_quoted => depth = depth.saturating_sub(1),
                _ if c == separator && !is_quoted && depth == 0 => {
                    rest = Some(&current[at + c.len_utf8()..]);
                    return Some(&current[..at]);
                }
                _ => {}
            }
        }
        rest = None;
        Some(current)
    })
}

/// `*(;name[=value])`, each with a name.
pub(super) fn are_parameters(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(';') else { return text.is_empty() };
    pieces(rest, ';').all(|piece| {
        let (name, value) = piece.split_once('=').map_or((piece, None), |(name, value)| (name, Some(value)));
        let name = name.trim();
        let is_value = value.map(str::trim).is_none_or(|value| {
            if value.starts_with('"') {
                closing_quote(value) == Some(value.len() - 1)
            } else {
                !value.is_empty() && !value.contains([' ', '\t', '"', ',', '<', '>'])
            }
        });
        !name.is_empty() && name.chars().all(is_token_char) && is_value
    })
}

/// RFC 3261, section 25.1.
pub(super) fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)
}

/// A display name without quotes is tokens and spaces. Many phones don't quote letters beyond ASCII: nothing else could be
/// meant by them.
fn is_name_char(c: char) -> bool {
    is_token_char(c) || c == ' ' || c == '\t' || !c.is_ascii()
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| match c {
        _ if is_escaped => {
            is_escaped = false;
            None
        }
        '\\' => {
            is_escaped = true;
            None
        }
        '"' => Some(at),
        _ => None,
    })
}

fn unquote(quoted: &str) -> String {
    let mut plain = String::new();
    let mut is_escaped = false;
    for c in quoted[1..quoted.len() - 1].chars() {
        if c == '\\' && !is_escaped {
            is_escaped = true;
        } else {
            is_escaped = false;
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_tags_are_told_apart() {
        for (text, display, uri, tag) in [
            ("<sip:a@b>;tag=1", None, "sip:a@b", Some("1")),
            ("sip:a@b;tag=1", None, "sip:a@b", Some("1")),
            ("Ada Byron <sip:a@b;lr>;x=\"y;tag=2\";tag=1", Some("Ada Byron"), "sip:a@b;lr", Some("1")),
            ("\"Ada \\\"<Byron>, C.\" <sip:a@b>", Some("Ada \"<Byron>, C."), "sip:a@b", None),
            ("\"\"<sip:a@b>", Some(""), "sip:a@b", None),
            ("  \"x\"\t<tel:+1>  ;Tag=7", Some("x"), "tel:+1", Some("7")),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.display.as_deref(), display, "{text}");
            assert_eq!(address.uri, uri, "{text}");
            assert_eq!(address.parameter("tag"), tag, "{text}");
            assert_eq!(Address::parse(&address.to_string()), Some(address));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "\"x",
            "\"x\" sip:a@b",
            "<sip:a@b",
            "<>",
            "Ada, B <sip:a@b>",
            "<sip:a@b>x",
            "<sip:a@b>;",
            "<sip:a@b>;;a",
            "<sip:a b>",
            "sip:a@b?Route=x",
            "<sip:a@b>;a=",
            "<sip:a@b>;a=\"x",
            "<sip:a@b>;a b",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lists_are_split_at_commas_that_part() {
        let values: Vec<_> = split_list("\"a,b\" <sip:a,c@b>;x=\"1,2\" , <sip:d>,e").map(str::trim).collect();
        assert_eq!(values, ["\"a,b\" <sip:a,c@b>;x=\"1,2\"", "<sip:d>", "e"]);
    }
}
