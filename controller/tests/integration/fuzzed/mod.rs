//! What the fuzzer looks for, over the inputs that it has found and that are kept: the short form of `fuzz/`.

mod bundle;
mod dataset;
mod grpc;
mod matrix;
mod prices;
mod results;
mod wire;

use std::cell::Cell;
use std::panic;
use std::path::Path;
use std::sync::Once;

thread_local! {
    /// Those of this thread, of tasks as well: a runtime catches them.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !model::panic::is_contained() {
                PANICS.set(PANICS.get() + 1);
                earlier(info);
            }
        }));
    });
}

/// Runs `check` over every kept input of a target.
fn over_corpus(target: &str, check: fn(&[u8])) {
    count_panics();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is kept in the repository") {
        let path = entry.expect("it can be listed").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        let (before, checked) = (PANICS.get(), panic::catch_unwind(|| check(&bytes)));
        assert!(checked.is_ok() && PANICS.get() == before, "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

#[test]
fn kept_matrices_are_checked() {
    over_corpus("matrix", matrix::check);
}

#[test]
fn kept_price_books_are_checked() {
    over_corpus("prices", prices::check);
}

#[test]
fn kept_datasets_are_checked() {
    over_corpus("dataset", dataset::check);
}

#[test]
fn kept_messages_are_checked() {
    over_corpus("wire", wire::check);
}

#[test]
fn kept_connections_of_agents_are_served() {
    over_corpus("grpc", grpc::check);
}

#[test]
fn kept_bundles_are_verified() {
    over_corpus("bundle", bundle::check);
}

#[test]
fn kept_results_are_compared() {
    over_corpus("results", results::check);
}
