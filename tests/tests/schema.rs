//! The published JSON Schema is the protocol's own, and real messages keep to it.

use std::path::Path;

#[test]
fn the_published_schema_is_generated_from_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.schema.json");
    let generated = serde_json::to_string_pretty(&tercet_protocol::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        published, generated,
        "docs/protocol.schema.json is old: UPDATE_SCHEMA=1 cargo test -p tercet-tests --test schema"
    );
}
