//! `application/trickle-ice-sdpfrag` (RFC 8840, section 9): what a client says of ICE after its offer, and what it is told of a
//! restart.

use super::problem::Problem;

/// Candidates of one client. Each is one line.
const CANDIDATES_MAX: usize = 64;

/// What a PATCH carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// User fragment and password.
    pub(super) ufrag: Option<String>,
    pub(super) pwd: Option<String>,
}

impl Fragment {
    /// Reads a fragment. Candidates are checked and not used: see [`super::offer`].
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn read(text: &str) -> Result<Fragment, Problem> {
        let mut fragment = Fragment::default();
        let (mut candidates, mut says_something) = (0, false);
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if !matches!(line.as_bytes(), [b'a'..=b'z', b'=', ..]) {
                return Err(Problem::bad(
                    "a line of the fragment is none of a session description (RFC 8866)",
                ));
            }
            let Some(attribute) = line.strip_prefix("a=") else {
                continue;
            };
            if let Some(ufrag) = attribute.strip_prefix("ice-ufrag:") {
                same(&mut fragment.ufrag, ufrag, 4)?;
            } else if let Some(pwd) = attribute.strip_prefix("ice-pwd:") {
                same(&mut fragment.pwd, pwd, 22)?;
            } else if let Some(candidate) = attribute.strip_prefix("candidate:") {
                candidates += 1;
                if !is_candidate(candidate) || candidates > CANDIDATES_MAX {
                    return Err(Problem::bad(
                        "a candidate can't be read (RFC 8839, section 5.1), or is one too many",
                    ));
                }
            } else if attribute != "end-of-candidates" {
                continue;
            }
            says_something = true;
        }
        if !says_something {
            return Err(Problem::bad("the fragment has neither candidates nor credentials of ICE"));
        }
        Ok(fragment)
    }
}

/// One value for all m-lines, as they are bundled. RFC 8839, section 5.4: of 4 and 22 characters at least, and 256 at most.
fn same(known: &mut Option<String>, value: &str, length_min: usize) -> Result<(), Problem> {
    let is_ice_char = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    if !(length_min..=256).contains(&value.len()) || !value.chars().all(is_ice_char) {
        return Err(Problem::bad("ICE credentials can't be read (RFC 8839, section 5.4)"));
    }
    match known {
        Some(known) if known != value => {
            Err(Problem::unprocessable("the m-lines differ in their ICE credentials"))
        }
        _ => {
            *known = Some(value.to_owned());
            Ok(())
        }
    }
}

/// RFC 8839, section 5.1: foundation, component, transport, priority, address, port, `typ`, type.
fn is_candidate(candidate: &str) -> bool {
    let fields: Vec<&str> = candidate.split_ascii_whitespace().collect();
    match fields[..] {
        [_, component, _, priority, _, port, "typ", _, ..] => {
            component.parse::<u16>().is_ok() && priority.parse::<u32>().is_ok() && port.parse::<u16>().is_ok()
        }
        _ => false,
    }
}

/// What of an answer a client needs after a restart: the bundle, and ICE of its first m-line (RFC 9725, section 4.3.3). Of the
/// candidates the first: medooze's `whip-whep` 1.2 joins several by commas, and can't read what it made.
pub(super) fn of_answer(answer: &str) -> String {
    let head = answer.lines().take_while(|line| !line.starts_with("m="));
    let head = head.filter(|line| line.starts_with("a=group:BUNDLE") || *line == "a=ice-lite");
    let is_of_ice = |line: &&str| {
        ["m=", "a=mid:", "a=ice-", "a=candidate:", "a=end-of-candidates"]
            .iter()
            .any(|of| line.starts_with(of))
    };
    // A rejected m-line has no part in the bundle.
    let is_used = |line: &&str| line.starts_with("m=") && line.split(' ').nth(1) != Some("0");
    let body = answer.lines().skip_while(|line| !is_used(line));
    let mut m_lines = 0;
    let body = body.take_while(move |line| {
        m_lines += usize::from(line.starts_with("m="));
        m_lines <= 1
    });
    let mut candidates = 0;
    let is_wanted = |line: &&str| {
        candidates += usize::from(line.starts_with("a=candidate:"));
        is_of_ice(line) && (candidates <= 1 || !line.starts_with("a=candidate:"))
    };
    let mut fragment = String::new();
    for line in head.chain(body.filter(is_wanted)) {
        fragment.push_str(line);
        fragment.push_str("\r\n");
    }
    fragment
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANDIDATE: &str = "a=candidate:1 1 udp 2130706431 192.0.2.1 9000 typ host\r\n";

    #[test]
    fn credentials_are_read_and_candidates_are_checked() {
        let text = format!(
            "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 X 0\r\na=mid:0\r\n{CANDIDATE}"
        );
        let (ufrag, pwd) = (Some("abcd".to_owned()), Some("0123456789012345678901".to_owned()));
        assert_eq!(Fragment::read(&text), Ok(Fragment { ufrag, pwd }));
        assert_eq!(Fragment::read("a=end-of-candidates\r\n"), Ok(Fragment::default()));
        for wrong in [
            "",
            "hello",
            "a=mid:0\r\n",
            "a=ice-ufrag:abc\r\n",
            "a=ice-ufrag:ab cd\r\n",
            "a=ice-pwd:short\r\n",
            "a=candidate:1 1 udp nine 192.0.2.1 9000 typ host\r\n",
            &CANDIDATE.repeat(CANDIDATES_MAX + 1),
            "a=ice-ufrag:abcd\r\na=ice-ufrag:efgh\r\n",
        ] {
            assert!(Fragment::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fragment_of_an_answer_has_what_ice_needs_of_the_first_line_in_use() {
        let answer = "v=0\r\na=group:BUNDLE 1\r\nm=video 0 X 96\r\na=mid:0\r\n\
                      m=audio 9 X 111\r\nc=IN IP4 0.0.0.0\r\na=candidate:1\r\na=candidate:2\r\na=ice-ufrag:ab\r\na=mid:1\r\na=rtcp-mux\r\n\
                      m=audio 9 X 111\r\na=mid:2\r\n";
        let expected =
            "a=group:BUNDLE 1\r\nm=audio 9 X 111\r\na=candidate:1\r\na=ice-ufrag:ab\r\na=mid:1\r\n";
        assert_eq!(of_answer(answer), expected);
    }
}
