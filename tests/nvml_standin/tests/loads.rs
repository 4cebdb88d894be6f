//! Lies here so that `cargo test` builds the library that the scenarios load.

use nvml_standin::script::Script;

#[test]
fn without_a_script_it_plays_an_idle_t4() {
    let script = Script::default();
    assert_eq!((script.name.as_str(), script.clock_factor), ("Tesla T4", 1.0));
}
