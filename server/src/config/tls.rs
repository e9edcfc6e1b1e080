//! HTTPS: certificates by files, or by ACME.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::DnsName;

use super::validate::ensure;
use super::{Config, ConfigError};

/// Where the first authority that gave certificates to everybody is asked.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// HTTPS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// The certificate and those between it and a root, PEM. Read again when it changes, and on SIGHUP.
    #[schemars(example = "/etc/tercet/http.pem")]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of it, PEM.
    #[schemars(example = "/etc/tercet/http.key")]
    pub(crate) key: Option<PathBuf>,
    /// Names to have a certificate for by ACME, in place of files. They have to lead to this node, at port 443.
    #[schemars(example = ["audio.example.com"])]
    pub(crate) acme: Vec<String>,
    /// Whom the authority writes to when something is wrong, such as `mailto:ops@example.com`.
    #[schemars(example = ["mailto:ops@example.com"])]
    pub(crate) acme_contact: Vec<String>,
    /// A directory for what came by ACME. It has to survive restarts: authorities give few certificates a week.
    #[schemars(example = "/var/lib/tercet/acme")]
    pub(crate) acme_cache: Option<PathBuf>,
    /// The authority's directory.
    pub(crate) acme_directory: String,
    /// What the authority's own HTTPS is signed with, PEM, where that is none of the usual roots.
    #[schemars(example = "/etc/tercet/authority.pem")]
    pub(crate) acme_authority: Option<PathBuf>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        TlsConfig {
            certificate: None,
            key: None,
            acme: Vec::new(),
            acme_contact: Vec::new(),
            acme_cache: None,
            acme_directory: LETS_ENCRYPT.to_owned(),
            acme_authority: None,
        }
    }
}

impl TlsConfig {
    /// Whether HTTP is HTTPS.
    pub(crate) fn is_on(&self) -> bool {
        self.certificate.is_some() || !self.acme.is_empty()
    }
}

impl Config {
    /// `http` or `https`.
    pub(crate) fn http_scheme(&self) -> &'static str {
        if self.tls.is_on() { "https" } else { "http" }
    }

    pub(super) fn check_tls(&self) -> Result<(), ConfigError> {
        let tls = &self.tls;
        ensure(tls.certificate.is_some() == tls.key.is_some(), || {
            "tls.certificate and tls.key belong together: set both (--tls-cert and --tls-key), or neither"
                .to_owned()
        })?;
        if tls.acme.is_empty() {
            return Ok(());
        }
        ensure(tls.certificate.is_none(), || {
            "the certificate is either in files or comes by ACME: remove tls.certificate and tls.key, or tls.acme"
                .to_owned()
        })?;
        for name in &tls.acme {
            let is_name = DnsName::try_from(name.as_str()).is_ok() && !name.contains('*');
            ensure(is_name, || {
                format!(
                    "tls.acme has {name:?}: write a name of DNS, such as audio.example.com, without wildcards"
                )
            })?;
        }
        for contact in &tls.acme_contact {
            ensure(contact.starts_with("mailto:"), || {
                format!("tls.acme_contact has {contact:?}: write mailto:ops@example.com")
            })?;
        }
        ensure(tls.acme_directory.starts_with("https://"), || {
            format!("tls.acme_directory is {:?}: an authority is asked by https://", tls.acme_directory)
        })?;
        ensure(tls.acme_cache.is_some(), || {
            "tls.acme has no place to keep certificates: set tls.acme_cache (or --tls-acme-cache) to a directory that \
             survives restarts"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        toml::from_str::<Config>(&format!("[tls]\n{text}"))
            .unwrap()
            .validate()
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(text: &str, mentions: &str) {
        let error = checked(text).expect_err("should be refused");
        assert!(error.contains(mentions), "{mentions:?} is not in: {error}");
    }

    #[test]
    fn files_come_in_pairs_and_not_with_acme() {
        checked("certificate = 'a.pem'\nkey = 'a.key'").unwrap();
        refused("certificate = 'a.pem'", "tls.certificate and tls.key");
        refused("key = 'a.key'", "tls.certificate and tls.key");
        refused("certificate = 'a'\nkey = 'b'\nacme = ['a.example']\nacme_cache = 'c'", "either in files");
    }

    #[test]
    fn acme_wants_names_and_a_place() {
        checked(
            "acme = ['a.example', 'b.example']\nacme_cache = 'acme'\nacme_contact = ['mailto:a@example']",
        )
        .unwrap();
        refused("acme = ['a.example']", "tls.acme_cache");
        for wrong in ["*.example", "", "a b", "https://a.example"] {
            refused(&format!("acme = ['{wrong}']\nacme_cache = 'acme'"), "write a name of DNS");
        }
        refused("acme = ['a.example']\nacme_cache = 'c'\nacme_contact = ['ops@example']", "mailto:");
        refused("acme = ['a.example']\nacme_cache = 'c'\nacme_directory = 'http://a'", "https://");
    }
}
