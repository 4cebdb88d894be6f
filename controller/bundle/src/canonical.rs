//! JSON in one form: keys in the order of their bytes, no white space, the shortest decimal of every number.
//!
//! RFC 8785 would write integers as doubles, and seeds have 64 bits.

use super::Error;
use super::archive::MAX_JSON_BYTES;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) fn write(value: &impl Serialize) -> Bytes {
    let mut value = serde_json::to_value(value).expect("rows have text keys");
    value.sort_all_objects();
    serde_json::to_vec(&value).expect("values are JSON").into()
}

/// Reads what [`write`] writes, and nothing else: a key that is there twice, or a number with needless digits, is
/// refused.
pub(crate) fn read<T: DeserializeOwned>(bytes: &Bytes, name: &'static str) -> Result<T, Error> {
    if bytes.len() > MAX_JSON_BYTES {
        return Err(Error::LargeJson { name });
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|source| Error::Json { name, source })?;
    if write(&value) != bytes {
        return Err(Error::NotCanonical { name });
    }
    serde_json::from_value(value).map_err(|source| Error::Json { name, source })
}
