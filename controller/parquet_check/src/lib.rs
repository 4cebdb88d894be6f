//! The bytes of a Parquet file -> a reader, if no header claims more than the bytes can hold.
//!
//! Pure. The `parquet` crate believes what a file says about itself: how many elements a list has, how large a page is
//! and how many values a dictionary has; and it decompresses some pages to their end, whatever size they claim. A file
//! of a few kilobytes can therefore take hours, or more memory than there is. Files from elsewhere are opened here, and
//! only here.

#![forbid(unsafe_code)]

mod cursor;
mod delta;
mod inflate;
mod thrift;
mod unsound;

use inflate::Codec;
use parquet::basic::{Compression, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use thrift::{Checked, Chunk};
use unsound::Unsound;

const MAGIC: &[u8; 4] = b"PAR1";
/// The length of the metadata, and the magic.
const END_BYTES: usize = 8;

/// Opens a file after the check of its metadata and of the headers of its pages.
///
/// The values inside pages are not checked. The parser panics at some that are malformed, such as a
/// text that ends after its page: whatever decodes pages does so in [`decode`].
pub fn open<R: ChunkReader + 'static>(file: R) -> Result<SerializedFileReader<R>, ParquetError> {
    decode(|| open_checked(file))
}

/// Runs what decodes pages; a panic of the parser is an error. A reader that panicked must not be used again.
pub fn decode<T>(pages: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    model::panic::contain(pages)
        .unwrap_or_else(|words| Err(ParquetError::General(format!("a page is malformed: {words}"))))
}

fn open_checked<R: ChunkReader + 'static>(
    file: R,
) -> Result<SerializedFileReader<R>, ParquetError> {
    let metadata = metadata(&file)?;
    let mut with_delta = Vec::new();
    for (number, group) in metadata.row_groups().iter().enumerate() {
        for (place, column) in group.columns().iter().enumerate() {
            if check(&file, group, column)?.has_delta {
                with_delta.push((number, place));
            }
        }
    }
    // The older forms of LZ4 pages, which the format doesn't define, may have any length.
    let properties = ReaderProperties::builder().set_backward_compatible_lz4(false).build();
    let options = ReadOptionsBuilder::new().with_reader_properties(properties).build();
    let reader = SerializedFileReader::new_with_options(file, options)?;
    for (group, place) in with_delta {
        let column = metadata.row_group(group).column(place).column_descr();
        delta::check(reader.get_row_group(group)?.get_column_page_reader(place)?, column)?;
    }
    Ok(reader)
}

/// The number of rows that the metadata of a file states; its pages are not read.
pub fn rows<R: ChunkReader>(file: &R) -> Result<u64, ParquetError> {
    decode(|| metadata(file)).map(|metadata| metadata.file_metadata().num_rows().cast_unsigned())
}

fn unsound(what: Unsound) -> ParquetError {
    let what = match what {
        Unsound::EmptyElements | Unsound::Malformed => {
            "its metadata claims more elements than it contains"
        }
        Unsound::Oversized => "a page claims more than it contains",
        Unsound::NoDictionary => "a page refers to a dictionary that is missing",
        Unsound::Unusual => "its metadata has a form that no writer produces",
    };
    ParquetError::General(what.to_owned())
}

fn metadata<R: ChunkReader>(file: &R) -> Result<ParquetMetaData, ParquetError> {
    if let Some(bytes) = footer(file)? {
        thrift::metadata(&bytes).map_err(unsound)?;
    }
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file)?;
    let mut rows = 0_i64;
    for group in metadata.row_groups() {
        let in_group = Some(group.num_rows()).filter(|rows| *rows >= 0);
        rows = in_group.and_then(|more| rows.checked_add(more)).ok_or_else(miscounted)?;
    }
    if rows == metadata.file_metadata().num_rows() { Ok(metadata) } else { Err(miscounted()) }
}

fn miscounted() -> ParquetError {
    ParquetError::General("its row groups don't have the rows of the file".to_owned())
}

/// The metadata at the end of a file. Missing metadata is reported by the parser.
fn footer<R: ChunkReader>(file: &R) -> Result<Option<bytes::Bytes>, ParquetError> {
    let length = file.len();
    let Some(end) = length.checked_sub(END_BYTES as u64) else { return Ok(None) };
    let bytes = file.get_bytes(end, END_BYTES)?;
    let Some((size, MAGIC)) = bytes.split_first_chunk::<4>().and_then(|(size, magic)| {
        Some((u32::from_le_bytes(*size), <&[u8; 4]>::try_from(magic).ok()?))
    }) else {
        return Ok(None);
    };
    let Some(start) = end.checked_sub(size.into()) else { return Ok(None) };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    file.get_bytes(start, size).map(Some)
}

/// Checks the pages of a column.
fn check<R: ChunkReader>(
    file: &R,
    group: &RowGroupMetaData,
    column: &ColumnChunkMetaData,
) -> Result<Checked, ParquetError> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let (start, size) = (u64::try_from(start), usize::try_from(column.compressed_size()));
    let (Ok(start), Ok(size)) = (start, size) else { return Err(unsound(Unsound::Malformed)) };
    let is_inside = start.checked_add(size as u64).is_some_and(|end| end <= file.len());
    if !is_inside {
        return Err(unsound(Unsound::Malformed));
    }
    let value_bytes = match column.column_type() {
        Type::BOOLEAN | Type::FIXED_LEN_BYTE_ARRAY => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
    };
    let values = column.num_values().max(group.num_rows());
    let codec = match column.compression() {
        Compression::GZIP(_) => Some(Codec::Gzip),
        Compression::BROTLI(_) => Some(Codec::Brotli),
        _ => None,
    };
    let chunk = Chunk { values: u64::try_from(values).unwrap_or(0), value_bytes, codec };
    let bytes = file.get_bytes(start, size)?;
    thrift::pages(&bytes, chunk).map_err(unsound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::basic::{BrotliLevel, Encoding, GzipLevel, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::io::Write;
    use std::sync::Arc;

    /// 100 different values, in a dictionary.
    fn file() -> Vec<u8> {
        file_with(WriterProperties::default())
    }

    fn file_with(properties: WriterProperties) -> Vec<u8> {
        let schema = Arc::new(parse_message_type("message m { REQUIRED INT32 a; }").unwrap());
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<i32> = (0..1000).map(|row| row % 100).collect();
        column.typed::<Int32Type>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        file.into_inner().unwrap()
    }

    #[test]
    fn a_file_is_opened_and_its_rows_are_known() {
        let bytes = bytes::Bytes::from(file());
        assert_eq!(rows(&bytes).unwrap(), 1000);
        open(bytes).unwrap();
    }

    #[test]
    fn a_dictionary_that_claims_more_values_than_it_holds_is_refused() {
        let mut bytes = file();
        // The first page is the dictionary; 100 is c8 01 in its header, and fe 7f is 8,191.
        let at = bytes.windows(2).position(|pair| pair == [0xc8, 0x01]).unwrap();
        assert!(at < 40, "{at}");
        bytes[at..at + 2].copy_from_slice(&[0xfe, 0x7f]);
        let error = open(bytes::Bytes::from(bytes)).err().unwrap().to_string();
        assert!(error.contains("a page claims more than it contains"), "{error}");
    }

    fn rows_of(bytes: Vec<u8>) -> usize {
        let file = open(bytes::Bytes::from(bytes)).unwrap();
        file.get_row_iter(None).unwrap().map(Result::unwrap).count()
    }

    /// The first text of the dictionary swallows all but two bytes of the second and its length.
    #[test]
    fn a_text_that_ends_after_its_page_is_an_error() {
        let schema = "message m { REQUIRED BYTE_ARRAY a (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut file =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default()))
                .unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts = ["Amanda baked cookies", "Jerry wants a cookie"].map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        let mut bytes = file.into_inner().unwrap();
        let at = bytes.windows(6).position(|bytes| bytes == b"Amanda").unwrap();
        assert_eq!(bytes[at - 4..at], [20, 0, 0, 0]);
        bytes[at - 4] = 20 + 4 + 18;
        let file = open(bytes::Bytes::from(bytes)).unwrap();
        let read = decode(|| file.get_row_iter(None)?.collect::<Result<Vec<_>, _>>());
        let error = read.unwrap_err().to_string();
        assert!(error.contains("a page is malformed: "), "{error}");
    }

    #[test]
    fn pages_of_every_codec_and_version_are_read() {
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::BROTLI(BrotliLevel::default()),
            Compression::LZ4,
            Compression::LZ4_RAW,
            Compression::ZSTD(ZstdLevel::default()),
        ] {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let properties = WriterProperties::builder()
                    .set_compression(compression)
                    .set_writer_version(version)
                    .build();
                assert_eq!(rows_of(file_with(properties)), 1000, "{compression:?}, {version:?}");
            }
        }
    }

    /// Optional texts in lists, most of which begin like the one before.
    fn texts(encoding: Encoding, version: WriterVersion) -> Vec<u8> {
        let schema = "message m { OPTIONAL group l (LIST) { REPEATED group list {
            OPTIONAL BYTE_ARRAY element (UTF8); } } }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_dictionary_enabled(false)
            .set_encoding(encoding)
            .set_compression(Compression::SNAPPY)
            .build();
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts: Vec<ByteArray> = (0..1000)
            .map(|row| ByteArray::from(format!("Amanda baked {row} cookies").into_bytes()))
            .collect();
        let (definition, repetition) = (vec![3; 1000], vec![0; 1000]);
        let column_writer = column.typed::<ByteArrayType>();
        column_writer.write_batch(&texts, Some(&definition), Some(&repetition)).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        file.into_inner().unwrap()
    }

    #[test]
    fn texts_in_delta_encodings_are_read() {
        for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let bytes = texts(encoding, version);
                assert_eq!(rows_of(bytes), 1000, "{encoding:?}, {version:?}");
            }
        }
    }

    /// A few kilobytes whose texts, each like the one before, would take 160 MB.
    #[test]
    fn texts_that_repeat_each_other_without_end_are_refused() {
        let schema = "message m { REQUIRED BYTE_ARRAY a (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::DELTA_BYTE_ARRAY)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_data_page_size_limit(1 << 30)
            .set_data_page_row_count_limit(1 << 30)
            .build();
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let text = ByteArray::from(vec![b'a'; 1 << 14]);
        let column_writer = column.typed::<ByteArrayType>();
        column_writer.write_batch(&vec![text; 10_000], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        let error = open(bytes::Bytes::from(file.into_inner().unwrap())).err().unwrap();
        assert!(error.to_string().contains("claims more than it contains"), "{error}");
    }

    /// The header of a page of version 1 whose content is longer than it claims, and the content.
    fn long_page(content: &[u8], claimed: i64, encoding: i64) -> Vec<u8> {
        let mut page = Vec::new();
        let number = |page: &mut Vec<u8>, value: i64| {
            let mut zigzag = (value << 1).cast_unsigned();
            while zigzag >= 0x80 {
                page.push(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
                zigzag >>= 7;
            }
            page.push(u8::try_from(zigzag).unwrap());
        };
        // Kind, size, compressed size: fields 1, 2 and 3, numbers of 32 bits.
        for value in [0, claimed, i64::try_from(content.len()).unwrap()] {
            page.push(0x15);
            number(&mut page, value);
        }
        // Field 5, a structure: values, encoding, and the encodings of levels.
        page.push(0x2c);
        for value in [1000, encoding, 3, 3] {
            page.push(0x15);
            number(&mut page, value);
        }
        page.extend([0, 0]);
        page.extend(content);
        page
    }

    #[test]
    fn a_page_that_decompresses_to_more_than_it_claims_is_refused() {
        let long = vec![7; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&long).unwrap();
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4096, 5, 22).write_all(&long).unwrap();
        for (codec, content) in [(Codec::Gzip, gzip.finish().unwrap()), (Codec::Brotli, brotli)] {
            let chunk = Chunk { values: 1000, value_bytes: 4, codec: Some(codec) };
            let checked = |claimed| thrift::pages(&long_page(&content, claimed, 0), chunk);
            assert!(checked(1 << 20).is_ok(), "{codec:?}");
            assert_eq!(checked((1 << 20) - 1), Err(Unsound::Oversized), "{codec:?}");
            // What is cut off is left to the parser, which stops there as well.
            let cut = &content[..content.len() - 1];
            let cut = long_page(cut, 1 << 20, 0);
            assert!(thrift::pages(&cut, chunk).is_ok(), "{codec:?}");
        }
    }

    #[test]
    fn a_page_without_its_dictionary_is_refused() {
        let chunk = Chunk { values: 1000, value_bytes: 4, codec: None };
        for encoding in [2, 8] {
            let page = long_page(&[1, 2, 3, 4], 4, encoding);
            assert_eq!(thrift::pages(&page, chunk), Err(Unsound::NoDictionary), "{encoding}");
        }
    }

    #[test]
    fn what_is_no_parquet_is_left_to_the_parser() {
        for bytes in [&b""[..], b"PAR1", b"PAR1\0\0\0\0PAR1", b"PAR1\xff\xff\xff\xffPAR1"] {
            assert!(open(bytes::Bytes::from_static(bytes)).is_err());
        }
    }
}
