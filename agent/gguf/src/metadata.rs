//! The metadata of a file: values by key.

use super::error;
use super::reader::Reader;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    /// Of integers of any width, and of truth values.
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{key}` is missing")]
    Missing { key: String },
    #[error("`{key}`: expected {expected}")]
    Value { key: String, expected: &'static str },
}

#[derive(Debug, Default)]
pub struct Metadata {
    values: BTreeMap<String, Value>,
}

/// The numbers of the types of values in a file.
mod types {
    pub(super) const U8: u32 = 0;
    pub(super) const I8: u32 = 1;
    pub(super) const U16: u32 = 2;
    pub(super) const I16: u32 = 3;
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const TEXT: u32 = 8;
    pub(super) const ARRAY: u32 = 9;
    pub(super) const U64: u32 = 10;
    pub(super) const I64: u32 = 11;
    pub(super) const F64: u32 = 12;
}

impl Metadata {
    /// Reads `count` keys with their values.
    pub(crate) fn read(
        reader: &mut Reader,
        name: &str,
        count: usize,
    ) -> Result<Self, error::Error> {
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = match kind {
                types::ARRAY => array(reader, name, &key)?,
                kind => scalar(reader, kind)?.ok_or_else(|| error::Error::Kind {
                    file: name.to_owned(),
                    key: key.clone(),
                    kind,
                })?,
            };
            if values.insert(key.clone(), value).is_some() {
                return Err(error::Error::Twice {
                    file: name.to_owned(),
                    what: format!("key `{key}`"),
                });
            }
        }
        Ok(Self { values })
    }

    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(misfit(key, "a text")),
        }
    }

    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => Ok(Some(texts)),
            Some(_) => Err(misfit(key, "a list of texts")),
        }
    }

    pub fn integers(&self, key: &str) -> Result<Option<&[i64]>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Integers(integers)) => Ok(Some(integers)),
            Some(_) => Err(misfit(key, "a list of integers")),
        }
    }

    /// An id or a size.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, Error> {
        let integer = match self.value(key) {
            None => return Ok(None),
            Some(Value::Integer(integer)) => u32::try_from(*integer).ok(),
            Some(_) => None,
        };
        integer.map(Some).ok_or_else(|| misfit(key, "one integer from 0 to 4294967295"))
    }

    /// A size that a model can't lack.
    pub fn size(&self, key: &str) -> Result<u32, Error> {
        let size = self.u32(key)?.ok_or_else(|| Error::Missing { key: key.to_owned() })?;
        if size == 0 { Err(misfit(key, "an integer above 0")) } else { Ok(size) }
    }

    pub fn float(&self, key: &str) -> Result<Option<f64>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Float(float)) if float.is_finite() => Ok(Some(*float)),
            Some(_) => Err(misfit(key, "a finite floating-point number")),
        }
    }

    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(misfit(key, "true or false")),
        }
    }
}

fn misfit(key: &str, expected: &'static str) -> Error {
    Error::Value { key: key.to_owned(), expected }
}

fn scalar(reader: &mut Reader, kind: u32) -> Result<Option<Value>, error::Error> {
    Ok(Some(match kind {
        types::F32 => {
            // As the number that was written, not as its neighbor in f64.
            let float = f32::from_le_bytes(reader.array()?);
            Value::Float(float.to_string().parse().unwrap_or(f64::from(float)))
        }
        types::F64 => Value::Float(f64::from_le_bytes(reader.array()?)),
        types::BOOL => Value::Bool(reader.array::<1>()? != [0]),
        types::TEXT => Value::Text(reader.text()?),
        kind => match integer(reader, kind)? {
            Some(integer) => Value::Integer(integer),
            None => return Ok(None),
        },
    }))
}

fn integer(reader: &mut Reader, kind: u32) -> Result<Option<i128>, error::Error> {
    Ok(Some(match kind {
        types::U8 | types::BOOL => u8::from_le_bytes(reader.array()?).into(),
        types::I8 => i8::from_le_bytes(reader.array()?).into(),
        types::U16 => u16::from_le_bytes(reader.array()?).into(),
        types::I16 => i16::from_le_bytes(reader.array()?).into(),
        types::U32 => u32::from_le_bytes(reader.array()?).into(),
        types::I32 => i32::from_le_bytes(reader.array()?).into(),
        types::U64 => u64::from_le_bytes(reader.array()?).into(),
        types::I64 => i64::from_le_bytes(reader.array()?).into(),
        _ => return Ok(None),
    }))
}

fn array(reader: &mut Reader, name: &str, key: &str) -> Result<Value, error::Error> {
    let kind = reader.u32()?;
    let unknown = || error::Error::Kind { file: name.to_owned(), key: key.to_owned(), kind };
    // Bytes per item, at least.
    let least = match kind {
        types::U8 | types::I8 | types::BOOL => 1,
        types::U16 | types::I16 => 2,
        types::U32 | types::I32 | types::F32 => 4,
        types::U64 | types::I64 | types::F64 | types::TEXT => 8,
        _ => return Err(unknown()),
    };
    let count = reader.count(least)?;
    Ok(match kind {
        types::TEXT => Value::Texts((0..count).map(|_| reader.text()).collect::<Result<_, _>>()?),
        types::F32 => {
            let float = |_| Ok(f32::from_le_bytes(reader.array()?));
            Value::Floats((0..count).map(float).collect::<Result<_, error::Error>>()?)
        }
        types::F64 => {
            #[expect(clippy::cast_possible_truncation, reason = "no such list is computed with")]
            let float = |_| Ok(f64::from_le_bytes(reader.array()?) as f32);
            Value::Floats((0..count).map(float).collect::<Result<_, error::Error>>()?)
        }
        kind => {
            let integer = |_| {
                let integer = integer(reader, kind)?.ok_or_else(unknown)?;
                i64::try_from(integer).map_err(|_| unknown())
            };
            Value::Integers((0..count).map(integer).collect::<Result<_, _>>()?)
        }
    })
}
