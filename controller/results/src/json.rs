//! results.json and its JSON Schema.

use crate::Results;
use model::text::printable_json;

/// Characters that would act where the file is shown are escaped in its strings.
pub fn render(results: &Results) -> String {
    let json = serde_json::to_string_pretty(results).expect("results are valid JSON");
    printable_json(&json).into_owned() + "\n"
}

/// The JSON Schema of results.json, made from the types.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Results);
    serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the schema is committed.
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results.schema.json");

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch for changes of the types")]
    fn the_committed_schema_is_that_of_the_types() {
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(COMMITTED, schema()).unwrap();
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(
            committed == schema(),
            "the types have another schema: run `UPDATE_SCHEMA=1 cargo test -p results`"
        );
    }
}
