//! The words of a panic, which are the reason of the failure that it becomes.

use std::any::Any;

/// What a caught panic said. Pass the payload itself (`&*payload`), not the box around it.
pub fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{catch_unwind, resume_unwind};

    #[test]
    fn a_panics_words_are_read_from_either_form() {
        let said = |panics: fn()| words(&*catch_unwind(panics).unwrap_err()).to_owned();
        assert_eq!(said(|| panic!("no room")), "no room");
        assert_eq!(said(|| panic!("{} rooms", 0)), "0 rooms");
        assert_eq!(said(|| resume_unwind(Box::new(7))), "a panic without words");
    }
}
