//! Reading of all formats, and their errors.

mod bad_input;
mod formats;
mod round_trip;
mod shipped;

use super::{Columns, Dataset, Error, Format, parse};

/// Reads `bytes` as the file `data.x`.
fn parsed(format: Format, bytes: impl AsRef<[u8]>) -> Result<Dataset, Error> {
    parse("data.x", bytes.as_ref().to_vec(), format, &Columns::default(), 0)
}

/// A Parquet file with one row group; `schema` is in Parquet's text format, `write` fills one
/// column.
fn parquet(
    schema: &str,
    write: impl Fn(usize, &mut ::parquet::file::writer::SerializedColumnWriter<'_>),
) -> Vec<u8> {
    compressed_parquet(::parquet::basic::Compression::UNCOMPRESSED, schema, write)
}

fn compressed_parquet(
    codec: ::parquet::basic::Compression,
    schema: &str,
    write: impl Fn(usize, &mut ::parquet::file::writer::SerializedColumnWriter<'_>),
) -> Vec<u8> {
    use ::parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    use ::parquet::schema::parser::parse_message_type;
    let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(codec).build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties.into()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = 0;
    while let Some(mut writer) = group.next_column().unwrap() {
        write(column, &mut writer);
        writer.close().unwrap();
        column += 1;
    }
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

/// `levels` are the definition levels of an optional column.
fn write_text(
    writer: &mut ::parquet::file::writer::SerializedColumnWriter<'_>,
    values: &[&str],
    levels: Option<&[i16]>,
) {
    use ::parquet::data_type::{ByteArray, ByteArrayType};
    let values: Vec<ByteArray> = values.iter().map(|value| ByteArray::from(*value)).collect();
    writer.typed::<ByteArrayType>().write_batch(&values, levels, None).unwrap();
}
