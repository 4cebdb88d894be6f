//! `controller schema matrix`: the JSON Schema of matrix.toml accepts the matrices that the controller accepts.

use model::engine::Dtype;
use scenarios::{Workspace, repository};
use serde_json::Value;

/// `None` if the schema accepts the text.
fn objection(schema: &Value, text: &str) -> Option<String> {
    let matrix: Value = toml::from_str(text).expect("the matrix is TOML");
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("matrix.schema.json", schema.clone()).expect("the name is a URL");
    let compiled = compiler.compile("matrix.schema.json", &mut schemas).expect("it is a schema");
    schemas.validate(&matrix, compiled).err().map(|error| format!("{error:#}"))
}

#[test]
fn the_schema_accepts_the_examples_and_names_what_is_wrong() {
    let workspace = Workspace::default();
    let printed = workspace.run(&["schema", "matrix"]).expect(0).out;
    let schema: Value = serde_json::from_str(&printed).expect("the schema is JSON");
    let _ = workspace.run(&["init", "new.toml"]).expect(0);
    let mut texts = vec![std::fs::read_to_string(workspace.path("new.toml")).expect("it is there")];
    for file in std::fs::read_dir(repository("examples")).expect("the folder is there") {
        let path = file.expect("it can be read").path();
        // Traffic files belong to `controller decide`.
        let is_traffic = path.display().to_string().contains("/traffic-");
        if path.extension().is_some_and(|extension| extension == "toml") && !is_traffic {
            texts.push(std::fs::read_to_string(path).expect("it is UTF-8"));
        }
    }
    assert!(texts.len() > 5, "the examples are there");
    for text in &texts {
        assert_eq!(objection(&schema, text), None, "{text}");
    }
    for dtype in Dtype::WORDS {
        let text = texts[0].replacen("dtypes = [\"f32\"]", &format!("dtypes = [\"{dtype}\"]"), 1);
        assert!(text.contains(dtype));
        assert_eq!(objection(&schema, &text), None, "{dtype}");
    }
    for (right, wrong, place) in [
        ("seed = 1 ", "sead = 1 ", "sead"),
        ("batch_sizes = [1, 8]", "batch_sizes = [0]", "/factors/batch_sizes/0"),
        ("dtypes = [\"f32\"]", "dtypes = [\"f64\"]", "/factors/dtypes/0"),
        ("name = \"summaries\"", "", "name"),
    ] {
        assert!(texts[0].contains(right), "{right}");
        let found = objection(&schema, &texts[0].replacen(right, wrong, 1));
        assert!(found.as_ref().is_some_and(|found| found.contains(place)), "{wrong}: {found:?}");
    }
}
