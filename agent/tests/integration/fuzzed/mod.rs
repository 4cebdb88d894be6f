//! What the fuzzer looks for, over the inputs that it has found and that are kept: the short form
//! of `fuzz/`.

mod adapter;
mod serve_http;

use std::path::Path;

/// Runs `check` over every kept input of a target.
fn over_corpus(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is kept in the repository") {
        let path = entry.expect("it can be listed").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        let checked = std::panic::catch_unwind(|| check(&bytes));
        assert!(checked.is_ok(), "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

#[test]
fn kept_archives_are_checked() {
    over_corpus("adapter", adapter::check);
}

#[test]
fn kept_requests_are_answered() {
    over_corpus("serve_http", serve_http::check);
}
