//! Parquet -> rows. Decodes only the needed columns.

use super::columns::Columns;
use super::error::Error;
use super::position::Position;
use super::rows::{Row, Table, Value};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::FileReader;
use ::parquet::record::Field;
use ::parquet::schema::types::Type;
use bytes::Bytes;
use ops::placeholder::Placeholder;
use parquet_check::decode;
use std::sync::Arc;

/// Rows may take this much memory whatever the size of their file.
const ALWAYS_BYTES: usize = 1 << 30;
/// Above it, this is the most that they may take of it: a dictionary repeats its values for nothing.
const MAX_RATIO: usize = 100;

pub(super) fn rows(file: &str, bytes: Vec<u8>, columns: &Columns) -> Result<Table, Error> {
    if let Some(placeholder) = Placeholder::of(&bytes) {
        return Err(Error::Placeholder { file: file.to_owned(), placeholder });
    }
    let broken = |source: ParquetError| Error::Parquet { file: file.to_owned(), source };
    let most = bytes.len().saturating_mul(MAX_RATIO).max(ALWAYS_BYTES);
    let reader = parquet_check::open(Bytes::from(bytes)).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<String> = schema.get_fields().iter().map(|f| f.name().to_owned()).collect();
    let at = columns.find(file, Position::Header, &names)?;

    let mut wanted: Vec<usize> =
        [at.id, Some(at.dialogue), at.summary].into_iter().flatten().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let fields = wanted.iter().map(|i| Arc::clone(&schema.get_fields()[*i])).collect();
    let projection =
        Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(broken)?;

    let mut rows = Vec::new();
    let mut taken = 0_usize;
    let mut decoded = decode(|| reader.get_row_iter(Some(projection))).map_err(broken)?;
    for number in 1.. {
        let Some(row) = decode(|| decoded.next().transpose()).map_err(broken)? else { break };
        let value = |at: usize| {
            let field = row.get_column_iter().find(|(name, _)| **name == names[at]);
            field.map_or(Value::Null, |(_, field)| value(field))
        };
        let row = Row {
            position: Position::Row(number),
            id: at.id.map_or(Value::Null, value),
            dialogue: value(at.dialogue),
            summary: at.summary.map_or(Value::Null, value),
        };
        let texts = [&row.id, &row.dialogue, &row.summary].map(length);
        taken = taken.saturating_add(size_of::<Row>() + texts.iter().sum::<usize>());
        if taken > most {
            let what = format!("its rows take more than {MAX_RATIO} times its size");
            return Err(broken(ParquetError::General(what)));
        }
        rows.push(row);
    }
    Ok(Table { rows, notes: Vec::new(), columns: names, has_ids: at.id.is_some() })
}

fn length(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::Null | Value::Other(_) => 0,
    }
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Str(text) => Value::Text(text.clone()),
        // Old writers omit the logical type of strings.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Other("bytes that are not UTF-8"),
        },
        Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Float16(_)
        | Field::Float(_)
        | Field::Double(_)
        | Field::Decimal(_) => Value::Number(field.to_string()),
        Field::Bool(_) => Value::Other("a boolean"),
        Field::Group(_) => Value::Other("a group"),
        Field::ListInternal(_) => Value::Other("a list"),
        Field::MapInternal(_) => Value::Other("a map"),
        _ => Value::Other("a time"),
    }
}
