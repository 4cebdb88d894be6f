//! Panics that become errors: their words, and libraries that panic at malformed input.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many calls of [`contain`] this thread is in.
    static CONTAINED: Cell<u32> = const { Cell::new(0) };
}

/// What a caught panic said. Pass the payload itself (`&*payload`), not the box around it.
pub fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

/// Runs code that panics where it should return an error, and returns the words of its panic.
///
/// For parsers that trust their input. What `work` changed before it panicked must not be used.
///
/// # Errors
/// The words of the panic.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CONTAINED.set(CONTAINED.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(CONTAINED.get() - 1);
    done.map_err(|payload| words(&*payload).to_owned())
}

/// Whether this thread is in [`contain`], so that a panic hook has nothing to report.
pub fn is_contained() -> bool {
    CONTAINED.get() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::resume_unwind;

    #[test]
    fn a_panics_words_are_read_from_either_form() {
        let said = |panics: fn()| words(&*catch_unwind(panics).unwrap_err()).to_owned();
        assert_eq!(said(|| panic!("no room")), "no room");
        assert_eq!(said(|| panic!("{} rooms", 0)), "0 rooms");
        assert_eq!(said(|| resume_unwind(Box::new(7))), "a panic without words");
    }

    #[test]
    fn a_contained_panic_is_an_error_and_no_other_is() {
        assert_eq!(contain(|| 7), Ok(7));
        let nested = || contain(|| (is_contained(), contain(|| panic!("deep")), is_contained()));
        assert_eq!(nested(), Ok((true, Err::<(), _>("deep".to_owned()), true)));
        assert!(!is_contained());
    }
}
