//! What the fuzzer looks for, over the inputs that it has found and that are kept: the short form
//! of `fuzz/`.

mod adapter;

use std::path::Path;

#[test]
fn kept_archives_are_checked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/adapter");
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is kept in the repository") {
        let path = entry.expect("it can be listed").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        let checked = std::panic::catch_unwind(|| adapter::check(&bytes));
        assert!(checked.is_ok(), "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}
