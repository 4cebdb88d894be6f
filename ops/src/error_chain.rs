//! An error and its causes as text.

use std::error::Error;

/// The error and its causes, outermost first. Causes whose text an earlier line already contains are left out:
/// many libraries repeat their source in their own message.
pub fn lines(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        let line = error.to_string();
        if !lines.iter().any(|earlier| earlier.contains(&line)) {
            lines.push(line);
        }
    }
    lines
}

/// [`lines`] joined by colons.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    lines(error).join(": ")
}

/// The innermost cause, which names what happened at the system or the network.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.last().map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn chain(texts: &[&'static str]) -> Layer {
        let cause = (texts.len() > 1).then(|| Box::new(chain(&texts[1..])));
        Layer(texts[0], cause)
    }

    #[test]
    fn causes_follow_their_error() {
        let error = chain(&["can't fetch x", "no connection", "refused"]);
        assert_eq!(one_line(&error), "can't fetch x: no connection: refused");
        assert_eq!(root_cause(&error), "refused");
    }

    #[test]
    fn a_cause_that_was_already_named_is_not_repeated() {
        let error = chain(&["can't fetch x: refused", "refused", "os error 111"]);
        assert_eq!(lines(&error), ["can't fetch x: refused", "os error 111"]);
    }

    #[test]
    fn an_error_without_causes_is_its_own_root() {
        let error = chain(&["refused"]);
        assert_eq!((one_line(&error), root_cause(&error)), ("refused".into(), "refused".into()));
    }
}
