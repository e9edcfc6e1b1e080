//! A document in, the same with its generated blocks written anew out; and tables for them.
//!
//! A block begins with `<!-- begin NAME: ... -->` and ends with `<!-- end NAME -->`, each on a line of its own.

use anyhow::Context;

/// Replaces what a block holds.
///
/// # Errors
/// The document has no such block.
pub fn with_block(document: &str, name: &str, text: &str) -> anyhow::Result<String> {
    let missing = || format!("the document has no block \"{name}\"");
    let begin = document.find(&format!("<!-- begin {name}:")).with_context(missing)?;
    let begin = begin + document[begin..].find('\n').with_context(missing)?;
    let end = begin + document[begin..].find(&format!("<!-- end {name} -->")).with_context(missing)?;
    Ok(format!("{}\n{}\n{}", &document[..begin], text.trim_end(), &document[end..]))
}

/// A table; a heading that begins with `>` is that of a column of figures.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let names: Vec<&str> = headings.iter().map(|heading| heading.trim_start_matches('>')).collect();
    let rule = |heading: &&str| if heading.starts_with('>') { "--:" } else { "---" };
    let rules: Vec<&str> = headings.iter().map(rule).collect();
    let mut text = format!("| {} |\n| {} |\n", names.join(" | "), rules.join(" | "));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "before\n<!-- begin cost: generated -->\nold\n<!-- end cost -->\nafter\n";

    #[test]
    fn only_the_block_changes() {
        let written = with_block(DOCUMENT, "cost", "new\n").unwrap();
        assert_eq!(written, DOCUMENT.replace("old", "new"));
        assert_eq!(with_block(&written, "cost", "new\n").unwrap(), written);
    }

    #[test]
    fn a_block_that_is_missing_is_an_error() {
        assert!(with_block(DOCUMENT, "rooms", "new").is_err());
    }
}
