//! Parquet -> rows. Decodes only the needed columns.

mod thrift;

use super::columns::Columns;
use super::error::Error;
use super::position::Position;
use super::rows::{Row, Table, Value};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use ::parquet::schema::types::Type;
use bytes::Bytes;
use ops::placeholder::Placeholder;
use std::sync::Arc;
use thrift::Unsound;

const UNSOUND: &str = "its metadata claims more elements than it contains";

pub(super) fn rows(file: &str, bytes: Vec<u8>, columns: &Columns) -> Result<Table, Error> {
    if let Some(placeholder) = Placeholder::of(&bytes) {
        return Err(Error::Placeholder { file: file.to_owned(), placeholder });
    }
    let broken = |source: ParquetError| Error::Parquet { file: file.to_owned(), source };
    let reader = opened(bytes).map_err(broken)?;
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
    for (number, row) in (1..).zip(reader.get_row_iter(Some(projection)).map_err(broken)?) {
        let row = row.map_err(broken)?;
        let value = |at: usize| {
            let field = row.get_column_iter().find(|(name, _)| **name == names[at]);
            field.map_or(Value::Null, |(_, field)| value(field))
        };
        rows.push(Row {
            position: Position::Row(number),
            id: at.id.map_or(Value::Null, value),
            dialogue: value(at.dialogue),
            summary: at.summary.map_or(Value::Null, value),
        });
    }
    Ok(Table { rows, notes: Vec::new(), columns: names, has_ids: at.id.is_some() })
}

/// Opens a file after the check of its Thrift structures.
fn opened(bytes: Vec<u8>) -> Result<SerializedFileReader<Bytes>, ParquetError> {
    let unsound = |_: Unsound| ParquetError::General(UNSOUND.to_owned());
    thrift::footer(&bytes).map_err(unsound)?;
    let bytes = Bytes::from(bytes);
    let reader = SerializedFileReader::new(bytes.clone())?;
    for column in reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let chunk = chunk(&bytes, column).ok_or(Unsound::Malformed);
        chunk.and_then(thrift::pages).map_err(unsound)?;
    }
    Ok(reader)
}

/// The pages of a column; `None` if they are outside of the file.
fn chunk<'b>(bytes: &'b [u8], column: &ColumnChunkMetaData) -> Option<&'b [u8]> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let start = usize::try_from(start).ok()?;
    let length = usize::try_from(column.compressed_size()).ok()?;
    bytes.get(start..start.checked_add(length)?)
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
