//! Enums that are written as one of a fixed list of words.

/// A word that isn't in a fixed list.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown {what} \"{found}\": one of {}", expected.join(", "))]
pub struct Unknown {
    /// Which list.
    pub what: &'static str,
    /// The word.
    pub found: String,
    /// The list.
    pub expected: &'static [&'static str],
}

/// Defines an enum whose variants are written as fixed words: `WORDS`, `as_str`, `FromStr`, `Display` and serde.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$item_doc:meta])* $item:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        pub enum $name { $($(#[$item_doc])* #[serde(rename = $word)] $item),+ }

        impl $name {
            /// All of them, as written.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Its word, in TOML, on the wire and in reports.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$item => $word),+ }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::words::Unknown;

            fn from_str(word: &str) -> Result<Self, $crate::words::Unknown> {
                match word {
                    $($word => Ok(Self::$item),)+
                    _ => Err($crate::words::Unknown { what: $what, found: word.to_owned(), expected: Self::WORDS }),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
