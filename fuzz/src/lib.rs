//! What several fuzz targets need.

/// Panics that the program turns into errors are no findings; libFuzzer's hook aborts at the others.
pub fn ignore_contained_panics() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !model::panic::is_contained() {
            abort(panic);
        }
    }));
}
