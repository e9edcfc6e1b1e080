//! The documented sample configuration. In: the JSON Schema of [`Config`] (its doc comments and
//! examples) and its defaults. Out: TOML in which each key is commented out and shows its default,
//! or an example where there is none. No key is written by hand, so that none can be out of date.
//!
//! Text is commented as `# text`, keys as `#key = value`. Table headers are not commented out, so
//! that taking away one `#` is all it takes to set a key.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

const HEAD: &str = "\
# The configuration of a Tercet server: `tercet serve --config FILE`, or TERCET_CONFIG=FILE.
# Every key may be left out. A key that is commented out shows its default, or an example where it
# has none. Environment variables win over this file, and flags over both: `tercet serve --help`.
";

impl Config {
    /// A documented TOML file with every key, equal to the defaults as it stands.
    pub(crate) fn sample() -> String {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let schema = settings
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<Config>();
        let defaults = serde_json::to_value(Config::default()).unwrap_or_default();

        let mut out = HEAD.to_owned();
        write_table(&mut out, "", schema.as_value(), &defaults);
        out
    }
}

/// Writes the keys of one table, then the tables inside it, as TOML wants it.
fn write_table(out: &mut String, path: &str, schema: &Value, values: &Value) {
    let (tables, keys): (Vec<_>, Vec<_>) =
        properties(schema).into_iter().partition(|(_, property)| is_table(property));

    for (key, property) in keys {
        write_doc(out, property);
        write_key(out, key, shown_value(property, &values[key]));
    }
    for (key, property) in tables {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        write_doc(out, property);
        out.push_str(&format!("[{path}]\n"));
        match named_entries(property) {
            Some(entry) => write_named_entries(out, entry, example(property)),
            None => write_table(out, &path, property, &values[key]),
        }
    }
}

/// Writes an example of a table whose keys are names: what may stand in an entry, and one entry.
fn write_named_entries(out: &mut String, entry: &Value, example: &Value) {
    out.push('\n');
    for (key, property) in properties(entry) {
        out.push_str(&format!("# {key}: {}\n", description(property)));
    }
    for (name, values) in example.as_object().into_iter().flatten() {
        write_key(out, name, values);
    }
}

fn write_doc(out: &mut String, property: &Value) {
    out.push('\n');
    for line in description(property).lines() {
        out.push_str(&format!("# {line}\n"));
    }
}

fn write_key(out: &mut String, key: &str, value: &Value) {
    let value = toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default();
    out.push_str(&format!("#{key} = {value}\n"));
}

/// The default, or the example where the default is nothing to look at.
fn shown_value<'a>(property: &'a Value, default: &'a Value) -> &'a Value {
    let empty = default.is_null() || default.as_array().is_some_and(Vec::is_empty);
    if empty { example(property) } else { default }
}

fn description(property: &Value) -> &str {
    property["description"].as_str().unwrap_or_default()
}

fn example(property: &Value) -> &Value {
    &property["examples"][0]
}

fn is_table(property: &Value) -> bool {
    property["type"] == "object"
}

/// The schema of one entry, where the keys of the table are names.
fn named_entries(property: &Value) -> Option<&Value> {
    property.get("additionalProperties").filter(|entry| entry.is_object())
}

/// The properties in the order of the fields in the source. `properties` is a sorted map, but
/// `required` is a list, and all that is written without a condition is required when serialized.
fn properties(schema: &Value) -> Vec<(&str, &Value)> {
    let properties = &schema["properties"];
    let order = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    order
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|key| properties.get(key).map(|property| (key, property)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{
        AccessConfig, ClusterConfig, SipCallers, SipConfig, SipDials, TlsConfig, TurnConfig, sip,
    };

    /// The sample with every key set; text stays commented.
    fn uncommented() -> String {
        let sample = Config::sample();
        let lines = sample.lines().map(|line| match line.strip_prefix('#') {
            Some(key) if !key.is_empty() && !key.starts_with(' ') => key.to_owned(),
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_sample_as_it_stands_is_the_default_configuration() {
        let parsed: Config = toml::from_str(&Config::sample()).unwrap();
        assert_eq!(parsed, Config::default());
    }

    #[test]
    fn the_sample_with_every_key_set_differs_from_the_defaults_in_its_examples_only() {
        let parsed: Config = toml::from_str(&uncommented()).unwrap();
        let examples = Config {
            http_proxies: vec!["10.0.0.7/32".parse().unwrap()],
            media_tcp: Some(vec!["0.0.0.0:50000".parse().unwrap()]),
            public_ip: vec!["203.0.113.7".parse().unwrap()],
            media_udp_public: vec!["203.0.113.7:40000".parse().unwrap()],
            media_tcp_public: vec!["203.0.113.7:443".parse().unwrap()],
            workers: Some(4),
            demo: Some(true),
            tls: TlsConfig {
                certificate: Some("/etc/tercet/http.pem".into()),
                key: Some("/etc/tercet/http.key".into()),
                acme: vec!["audio.example.com".to_owned()],
                acme_contact: vec!["mailto:ops@example.com".to_owned()],
                acme_cache: Some("/var/lib/tercet/acme".into()),
                acme_authority: Some("/etc/tercet/authority.pem".into()),
                ..TlsConfig::default()
            },
            turn: TurnConfig {
                urls: ["turn:turn.example.com:3478", "turns:turn.example.com:5349?transport=tcp"]
                    .map(str::to_owned)
                    .to_vec(),
                secret: Some("<openssl rand -hex 32>".to_owned()),
                ..TurnConfig::default()
            },
            cluster: ClusterConfig {
                secret: Some("<openssl rand -hex 32>".to_owned()),
                seeds: vec!["tercet-1.example.com:50100".to_owned()],
                public: Some("203.0.113.7:50100".parse().unwrap()),
                http_public: Some("https://node-1.example.com".to_owned()),
                zone_map: Some("/etc/tercet/zones.toml".into()),
                ..ClusterConfig::default()
            },
            access: AccessConfig {
                secret: Some("<openssl rand -hex 32>".to_owned()),
                public_key_file: Some("/etc/tercet/access.pub.pem".into()),
            },
            sip: SipConfig {
                public: Some("203.0.113.7:5060".parse().unwrap()),
                tls: Some("0.0.0.0:5061".parse().unwrap()),
                certificate: Some("/etc/tercet/sip.pem".into()),
                key: Some("/etc/tercet/sip.key".into()),
                callers: Some(SipCallers::Authenticated),
                promoted_dials: Some(SipDials::Nobody),
                prompts: Some("/etc/tercet/prompts".into()),
                user: sip::example_users(),
                trunk: sip::example_trunks(),
                route: sip::example_routes(),
                ..SipConfig::default()
            },
            rooms: super::super::example_rooms(),
            ..Config::default()
        };
        assert_eq!(parsed, examples);

        let defaults = Config {
            http_proxies: Vec::new(),
            media_tcp: None,
            public_ip: Vec::new(),
            media_udp_public: Vec::new(),
            media_tcp_public: Vec::new(),
            workers: None,
            demo: None,
            tls: TlsConfig::default(),
            turn: TurnConfig::default(),
            cluster: ClusterConfig::default(),
            sip: SipConfig::default(),
            access: AccessConfig::default(),
            rooms: BTreeMap::new(),
            ..parsed
        };
        assert_eq!(defaults, Config::default());
    }

    #[test]
    fn the_secret_of_the_sample_is_refused() {
        let mut config = Config::default();
        config.access.secret = Some("<openssl rand -hex 32>".to_owned());
        config.validate().unwrap_err();
        let mut config = Config::default();
        config.cluster.secret = Some("<openssl rand -hex 32>".to_owned());
        config.validate().unwrap_err();
    }

    #[test]
    fn every_key_of_the_configuration_is_in_the_sample_with_a_text() {
        let sample: toml::Table = toml::from_str(&uncommented()).unwrap();
        let mut config = serde_json::to_value(Config::default()).unwrap();
        // Keys without a default are in the JSON as null.
        assert_eq!(config["workers"], Value::Null);
        for (key, value) in config.as_object_mut().unwrap() {
            let shown = sample.get(key).unwrap_or_else(|| panic!("{key} is not in the sample"));
            for inner in value.as_object().into_iter().flat_map(|table| table.keys()) {
                assert!(shown.get(inner).is_some(), "{key}.{inner} is not in the sample");
            }
        }
        assert!(!Config::sample().contains("\n\n["), "a table without a text");
        assert!(!Config::sample().contains(" = \n"), "a key without a value");
    }
}
