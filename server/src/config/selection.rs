//! How speakers are chosen, for every room and for single ones: the selector's tunables, by their names.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use selector::{Params, Tunable};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// Every tunable of the selector; docs/selection.md says what each is worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SelectorConfig(Params);

/// What one room has of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SelectorOverride(Vec<(&'static str, i32)>);

impl SelectorConfig {
    /// With what a room has of its own.
    pub(super) fn with(&self, own: &SelectorOverride) -> SelectorConfig {
        let mut params = self.0.clone();
        for &(name, value) in &own.0 {
            let tunable = Tunable::named(name).expect("the name was looked up");
            tunable.set(&mut params, value).expect("the range was checked");
        }
        SelectorConfig(params)
    }

    /// As the selector has it.
    pub(super) fn params(&self, slots: u8) -> Params {
        Params { slots: slots.into(), ..self.0.clone() }
    }
}

impl SelectorOverride {
    /// Sets one more; of a name that is given twice the last counts.
    fn set(&mut self, name: &str, value: i32) -> Result<(), String> {
        let Some(tunable) = Tunable::named(name) else {
            let known: Vec<&str> = Tunable::all().iter().map(|tunable| tunable.name).collect();
            return Err(format!("unknown field `{name}`, expected one of {}", known.join(", ")));
        };
        tunable.set(&mut Params::default(), value).map_err(|refused| refused.to_string())?;
        self.0.push((tunable.name, value));
        Ok(())
    }
}

impl<'de> Deserialize<'de> for SelectorOverride {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tunables;

        impl<'de> Visitor<'de> for Tunables {
            type Value = SelectorOverride;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of the selector's parameters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = SelectorOverride::default();
                while let Some((name, value)) = map.next_entry::<String, i32>()? {
                    values.set(&name, value).map_err(de::Error::custom)?;
                }
                Ok(values)
            }
        }

        deserializer.deserialize_map(Tunables)
    }
}

impl<'de> Deserialize<'de> for SelectorConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SelectorOverride::deserialize(deserializer).map(|set| SelectorConfig::default().with(&set))
    }
}

impl Serialize for SelectorOverride {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl Serialize for SelectorConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Tunable::all().iter().map(|tunable| (tunable.name, tunable.get(&self.0))))
    }
}

impl JsonSchema for SelectorConfig {
    fn schema_name() -> Cow<'static, str> {
        "SelectorConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let property = |tunable: &Tunable| {
            let (least, most) = (tunable.range.start(), tunable.range.end());
            json!({
                "type": "integer",
                "description": format!("{}, {least} to {most}.", tunable.about),
                "minimum": least,
                "maximum": most,
            })
        };
        let properties: Map<String, Value> =
            Tunable::all().iter().map(|tunable| (tunable.name.to_owned(), property(tunable))).collect();
        let names: Vec<&str> = Tunable::all().iter().map(|tunable| tunable.name).collect();
        json_schema!({ "type": "object", "properties": properties, "required": names })
    }
}

impl JsonSchema for SelectorOverride {
    fn schema_name() -> Cow<'static, str> {
        "SelectorOverride".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SelectorConfig::json_schema(generator)
    }
}
