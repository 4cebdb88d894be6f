//! What a campaign says about its dataset.

use scenarios::scripted;

const ROWS: &str = "id,dialogue,summary
a,\"A: Lunch?\nB: Yes.\",They have lunch.
b,,An empty dialogue.
c,\"A: Tea?\nB: No.\",B has no tea.
d,\"A: Late?\nB: A bit.\",B is late.
";

#[test]
fn rows_that_are_set_aside_are_in_the_results_and_in_every_report() {
    let matrix = scripted::matrix("rows", 0, scripted::HERE)
        .replace("builtin:dialogues", "data.csv")
        + "[protocol]\nruns = 1\nwarmup = 0\n[report]\nformats = [\"html\", \"markdown\", \"pdf\"]\n";
    let workspace = scripted::workspace(&scripted::script(false), &matrix);
    workspace.write("data.csv", ROWS);
    let finished = workspace.run(&[&scripted::RUN[..], &["--quiet"]].concat()).expect(0);
    assert!(!finished.err.contains("set aside"), "quiet: {}", finished.err);

    let dataset = &workspace.results("results.json")["dataset"];
    let set_aside = &dataset["set_aside"];
    assert_eq!((dataset["samples"].as_u64(), set_aside["count"].as_u64()), (Some(3), Some(1)));
    assert_eq!(set_aside["share"].as_f64(), Some(0.25));
    let first = &set_aside["first"][0];
    assert_eq!(
        (first["id"].as_str(), first["position"].as_str()),
        (Some("b"), Some("record 2 (line 4)"))
    );
    assert_eq!(first["reason"], "column `dialogue`: the dialogue is empty");

    let note = "The dataset has 1 row that can't be measured (25% of all): record 2 (line 4) (id b), \
                column `dialogue`: the dialogue is empty.";
    let report = workspace.run(&["report", "latest", "--data-dir", "data"]).expect(0);
    assert!(report.out.contains(note), "{}", report.out);
    for file in ["report.md", "report.html"] {
        let text = std::fs::read_to_string(workspace.path(file)).expect("it was written");
        let text = text.replace("&#39;", "'").replace("&#x27;", "'").replace('\\', "");
        assert!(text.contains(note), "{file}: {text}");
    }
}
