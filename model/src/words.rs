//! Enums whose variants are written as fixed words.

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown {what} `{found}`: expected one of {}", expected.join(", "))]
pub struct Unknown {
    pub what: &'static str,
    pub found: String,
    pub expected: &'static [&'static str],
}

/// Defines a `Copy` enum whose variants are written as fixed words in TOML, JSON, the database and
/// on the wire, with `ALL`, `WORDS`, `as_str`, `FromStr`, `Display` and serde's traits. The calling crate
/// needs serde.
#[macro_export]
macro_rules! words {
    (
        $(#[$attribute:meta])* $name:ident, $what:literal,
        { $($(#[$item_attribute:meta])* $item:ident = $word:literal),+ $(,)? }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        pub enum $name { $($(#[$item_attribute])* #[serde(rename = $word)] $item),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$item),+];

            /// The words of [`Self::ALL`].
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$item => $word),+ }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::words::Unknown;

            fn from_str(word: &str) -> Result<Self, $crate::words::Unknown> {
                match word {
                    $($word => Ok(Self::$item),)+
                    _ => Err($crate::words::Unknown {
                        what: $what,
                        found: word.to_owned(),
                        expected: Self::WORDS,
                    }),
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
