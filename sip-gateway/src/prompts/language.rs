//! A language tag in, the language that prompts are spoken in out. The build reads this file too: it speaks all of them.

use std::fmt;
use std::str::FromStr;

/// A language that prompts are spoken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// `en`.
    #[default]
    English,
    /// `de`.
    German,
    /// `fr`.
    French,
    /// `es`.
    Spanish,
}

impl Language {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Language; 4] = [Language::English, Language::German, Language::French, Language::Spanish];

    /// Its code in ISO 639-1.
    pub const fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
            Language::French => "fr",
            Language::Spanish => "es",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A tag of a language (RFC 5646, section 2.1), of which the first part counts: `de`, `de-AT` and `DE-at` are German.
impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(tag: &str) -> Result<Language, UnknownLanguage> {
        let is_subtag = |part: &str| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        tag.split('-')
            .next()
            .filter(|_| tag.split('-').all(is_subtag))
            .and_then(|primary| {
                Language::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(primary))
            })
            .ok_or_else(|| UnknownLanguage { tag: tag.to_owned() })
    }
}

/// The operator asked for a language that no prompt is spoken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are no prompts in {tag:?}, only in {}", Language::ALL.map(Language::code).join(", "))]
pub struct UnknownLanguage {
    /// What was asked for.
    pub tag: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_of_a_tag_is_the_language() {
        for tag in ["de", "de-AT", "DE-at", "de-Latn-CH-1996"] {
            assert_eq!(tag.parse(), Ok(Language::German), "{tag}");
        }
        assert_eq!("es-419".parse(), Ok(Language::Spanish));
    }

    #[test]
    fn a_language_without_prompts_is_an_error_that_names_those_with() {
        for tag in ["", "-", "it", "deu", "de-", "-de", "de AT", "de-../../x", "german"] {
            let error = tag.parse::<Language>().unwrap_err();
            assert_eq!(error.to_string(), format!("there are no prompts in {tag:?}, only in en, de, fr, es"));
        }
    }

    #[test]
    fn discriminants_are_places_in_all() {
        assert!(Language::ALL.into_iter().enumerate().all(|(at, language)| language as usize == at));
    }
}
