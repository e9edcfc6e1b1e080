//! Reading: a TOML file in, a [`Config`] out (not yet validated: flags may still change it), or an
//! error that names the file and the line. Also finds misspelt environment variables, which would
//! otherwise be ignored in silence, an unset secret among them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Config;

/// What is wrong with a configuration. All of it is the operator's to put right, and says how.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value of the wrong type.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where in the file, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
        /// What is wrong, with the key.
        message: String,
    },
    /// An environment variable with our prefix that nothing reads.
    #[error("unknown environment variable {name}: unset it, or use one of {known}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The names that are read.
        known: String,
    },
    /// A value, or a combination of values, that cannot work; says what to set instead.
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// Reads a TOML file; keys that it does not set have their defaults.
    pub(crate) fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Config::from_toml(&text, path)
    }

    /// As [`Config::from_file`], with the text of the file; `path` is for the errors.
    fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        // Not the error's own Display: it quotes the line, and the line may hold the secret.
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let (line, column) = line_and_column(text, start);
            let message = error.message().to_owned();
            ConfigError::Parse { path: path.to_owned(), line, column, message }
        })
    }
}

/// Refuses variables named `TERCET_*` that are not in `known`.
pub(crate) fn check_environment(
    names: impl IntoIterator<Item = String>,
    known: &BTreeSet<String>,
) -> Result<(), ConfigError> {
    let names: Vec<String> = names.into_iter().collect();
    // Kubernetes describes a service called `tercet` to every pod beside it, in names like ours.
    let in_kubernetes = names.iter().any(|name| name == "KUBERNETES_SERVICE_HOST");
    let unknown = names.into_iter().find(|name| {
        name.starts_with("TERCET_") && !known.contains(name) && !(in_kubernetes && is_service_link(name))
    });
    let Some(name) = unknown else {
        return Ok(());
    };
    let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(ConfigError::UnknownVariable { name, known })
}

/// Whether Kubernetes makes such names of a service: `X_SERVICE_HOST`, `X_SERVICE_PORT_HTTP`,
/// `X_PORT`, `X_PORT_8080_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_PORT")
        || ["_PORT_", "_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|part| name.contains(part))
}

/// The line and column, both from 1, of the byte at `offset`.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse_error(text: &str) -> String {
        let parsed = Config::from_toml(text, Path::new("tercet.toml"));
        parsed.expect_err("should be refused").to_string()
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let parsed = Config::from_toml("", Path::new("tercet.toml")).unwrap();
        assert_eq!(parsed, Config::default());
    }

    #[test]
    fn a_file_sets_what_it_names_and_leaves_the_rest() {
        let text = "media_udp = [\"[::1]:50000\"]\n[session]\nidle_ms = 5\n[rooms.\"a b\"]\nslots = 1";
        let parsed = Config::from_toml(text, Path::new("tercet.toml")).unwrap();
        assert_eq!(parsed.media_udp, ["[::1]:50000".parse().unwrap()]);
        assert_eq!(parsed.session.idle_ms, 5);
        assert_eq!(parsed.session.resume_ms, 30_000);
        assert_eq!(parsed.room("a b").slots, 1);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_file_and_line() {
        let error = parse_error("workers = 1\nhtpp = \"127.0.0.1:80\"\n");
        assert!(error.starts_with("tercet.toml:2:1: unknown field `htpp`"), "{error}");
        let error = parse_error("[room]\nslotz = 3\n");
        assert!(error.starts_with("tercet.toml:2:1: unknown field `slotz`"), "{error}");
    }

    #[test]
    fn a_number_that_a_selector_cannot_have_is_refused_by_name_file_and_line() {
        let error = parse_error("workers = 1\n[room.selector]\nmargin_db = 61\n");
        assert_eq!(error, "tercet.toml:2:1: margin_db is 61: set 0 to 60");
        let error = parse_error("[rooms.stage.selector]\nrelease_after_ms = 99\n");
        assert_eq!(error, "tercet.toml:1:1: release_after_ms is 99: set 500 to 60000");
        let error = parse_error("[room.selector]\nmarginn = 6\n");
        assert!(error.starts_with("tercet.toml:1:1: unknown field `marginn`, expected one of"), "{error}");
        let error = parse_error("[room.selector]\nmargin_db = \"6\"\n");
        assert!(error.starts_with("tercet.toml:2:13: invalid type"), "{error}");
    }

    #[test]
    fn a_parse_error_does_not_quote_the_secret() {
        let error = parse_error("[access]\nsecert = \"hush-hush\"\n");
        assert!(error.contains("secert") && !error.contains("hush-hush"), "{error}");
        let error = parse_error("[access]\nsecret = \"hush-hush\n");
        assert!(!error.contains("hush-hush"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::from_file(Path::new("/nowhere/tercet.toml")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/tercet.toml"), "{error}");
    }

    #[test]
    fn a_misspelt_variable_is_refused_and_foreign_ones_are_not() {
        let known = BTreeSet::from(["TERCET_HTTP".to_owned()]);
        let check = |names: &[&str]| check_environment(names.iter().map(ToString::to_string), &known);

        check(&["TERCET_HTTP", "HOME", "TERCETX"]).unwrap();
        let error = check(&["TERCET_HTPP"]).unwrap_err().to_string();
        assert!(error.contains("TERCET_HTPP") && error.contains("TERCET_HTTP"), "{error}");
    }

    #[test]
    fn service_links_are_ignored_inside_kubernetes_only() {
        let check =
            |names: &[&str]| check_environment(names.iter().map(ToString::to_string), &BTreeSet::new());
        let links = ["TERCET_SERVICE_HOST", "TERCET_PORT", "TERCET_PORT_8080_TCP_ADDR"];
        check(&[&links[..], &["KUBERNETES_SERVICE_HOST"]].concat()).unwrap();
        check(&links).unwrap_err();
        check(&["TERCET_SECERT", "KUBERNETES_SERVICE_HOST"]).unwrap_err();
    }
}
