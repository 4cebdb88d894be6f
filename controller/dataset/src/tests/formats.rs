//! Each format with its common variants.

use super::*;

#[test]
fn json_lines_may_have_number_ids_blank_lines_a_byte_order_mark_and_crlf() {
    let text = "\u{feff}{\"id\": 1, \"dialogue\": \"A: x\\r\\nB: y\", \"summary\": \"s\"}\r\n\r\n{\"id\": \"b\", \"dialogue\": \"A: z\", \"summary\": null}";
    let data = parsed(Format::JsonLines, text).unwrap();
    assert_eq!(data.dialogues[0].id.as_str(), "1");
    assert_eq!(data.dialogues[0].dialogue, "A: x\nB: y");
    assert_eq!(data.dialogues[0].summary.as_deref(), Some("s"));
    assert_eq!(data.dialogues[1].summary, None);
    assert_eq!(data.notes, ["1 of 2 dialogues have no reference summary"]);
}

#[test]
fn json_is_an_array_of_objects_on_any_number_of_lines() {
    let text = "[\n  {\"summary\": \"s\",\n   \"dialogue\": \"A: x\", \"id\": \"1\"}\n]\n";
    let data = parsed(Format::Json, text).unwrap();
    assert_eq!(data.dialogues.len(), 1);
    assert!(data.notes.is_empty());
}

#[test]
fn csv_fields_may_contain_line_breaks_commas_and_doubled_quotes() {
    let text = "id,dialogue,summary\r\n7,\"A: so, \"\"yes\"\"\r\nB: no\",They talk\r\n8,A: x,\r\n";
    let data = parsed(Format::Csv, text).unwrap();
    assert_eq!(data.dialogues[0].dialogue, "A: so, \"yes\"\nB: no");
    assert_eq!(data.dialogues[0].summary.as_deref(), Some("They talk"));
    assert_eq!(data.dialogues[1].summary, None);
}

#[test]
fn a_quote_inside_an_unquoted_csv_field_is_literal() {
    let data = parsed(Format::Csv, "id,dialogue\n1,A: a 5\" screen\n2,B: x\n").unwrap();
    assert_eq!(data.dialogues[0].dialogue, "A: a 5\" screen");
    assert_eq!(data.dialogues.len(), 2);
}

#[test]
fn parquet_may_have_number_ids_null_summaries_and_other_columns() {
    let schema = "message m { required binary other (STRING); required int64 id; \
                  required binary dialogue (STRING); optional binary summary (STRING); }";
    let bytes = parquet(schema, |column, writer| match column {
        0 => write_text(writer, &["o", "o"], None),
        1 => {
            let ids = [13_818_513, 2];
            writer
                .typed::<::parquet::data_type::Int64Type>()
                .write_batch(&ids, None, None)
                .unwrap();
        }
        2 => write_text(writer, &["A: x\r\nB: y", "ż"], None),
        _ => write_text(writer, &["s"], Some(&[1, 0])),
    });
    let data = parsed(Format::Parquet, bytes).unwrap();
    assert_eq!(data.dialogues[0].id.as_str(), "13818513");
    assert_eq!(data.dialogues[0].dialogue, "A: x\nB: y");
    assert_eq!(data.dialogues[0].summary.as_deref(), Some("s"));
    assert_eq!(data.dialogues[1].dialogue, "ż");
    assert_eq!(data.dialogues[1].summary, None);
}

#[test]
fn parquet_strings_without_a_logical_type_are_text() {
    let schema = "message m { required binary id; required binary dialogue; }";
    let bytes = parquet(schema, |column, writer| {
        write_text(writer, if column == 0 { &["1"] } else { &["A: x"] }, None);
    });
    let data = parsed(Format::Parquet, bytes).unwrap();
    assert_eq!(data.dialogues[0].dialogue, "A: x");
    assert_eq!(data.notes, ["no reference summaries: quality is null"]);
}

#[test]
fn parquet_may_be_compressed_with_every_codec_that_writers_use() {
    use ::parquet::basic::{BrotliLevel, Compression as Codec, GzipLevel, ZstdLevel};
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    let schema = "message m { required binary id (STRING); required binary dialogue (STRING); }";
    let long = "A: is it fine? B: it is. ".repeat(200);
    for codec in [
        Codec::UNCOMPRESSED,
        Codec::SNAPPY,
        Codec::ZSTD(ZstdLevel::default()),
        Codec::GZIP(GzipLevel::default()),
        Codec::BROTLI(BrotliLevel::default()),
        Codec::LZ4,
        Codec::LZ4_RAW,
    ] {
        let columns = [["1", "2"], [&long, "B: x"]];
        let bytes = compressed_parquet(codec, schema, |column, writer| {
            write_text(writer, &columns[column], None);
        });
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes.clone())).unwrap();
        let stored = reader.metadata().row_group(0).column(1).compression();
        assert_eq!(std::mem::discriminant(&stored), std::mem::discriminant(&codec));
        assert_eq!(bytes.len() < 2000, codec != Codec::UNCOMPRESSED, "{codec}: {}", bytes.len());
        let data = parsed(Format::Parquet, bytes).unwrap();
        assert_eq!(data.dialogues[0].dialogue, long, "{codec}");
        assert_eq!(data.dialogues[1].dialogue, "B: x", "{codec}");
    }
}

#[test]
fn columns_may_have_other_names() {
    let columns =
        Columns { id: "key".to_owned(), dialogue: "chat".to_owned(), summary: "gist".to_owned() };
    let text = b"gist,key,chat\ng,1,A: x\n".to_vec();
    let data = parse("data.x", text, Format::Csv, &columns, 0).unwrap();
    assert_eq!(data.dialogues[0].summary.as_deref(), Some("g"));
}

#[test]
fn the_hash_is_that_of_the_file() {
    let data = parsed(Format::Csv, "id,dialogue\n1,A: x\n").unwrap();
    assert_eq!(data.sha256, "371eb1a3f4b5e50bef5447a23e2a089cb64a8af5b78f737e99f0a7d9ad822a6d");
}

#[test]
fn the_first_character_decides_between_json_and_json_lines() {
    let lines = "{\"id\":1,\"dialogue\":\"x\"}\n{\"id\":2,\"dialogue\":\"y\"}\n";
    let array = "[{\"id\":1,\"dialogue\":\"x\"},{\"id\":2,\"dialogue\":\"y\"}]";
    let dialogues = |format, text: &str| parsed(format, text).unwrap().dialogues;
    let expected = dialogues(Format::JsonLines, lines);
    assert_eq!(expected.len(), 2);
    assert_eq!(dialogues(Format::Json, lines), expected);
    assert_eq!(dialogues(Format::JsonLines, array), expected);
}

#[test]
fn separators_are_found_and_noted() {
    for (separator, name) in [(";", "semicolon"), ("\t", "tab")] {
        let text = "id,dialogue,summary\n1,x,s\n".replace(',', separator);
        let data = parsed(Format::Csv, &text).unwrap();
        assert_eq!(data.dialogues[0].dialogue, "x");
        assert!(data.notes.iter().any(|note| note.contains(name)), "{:?}", data.notes);
    }
}

#[test]
fn rows_without_ids_are_numbered() {
    let data = parsed(Format::Csv, "dialogue,summary\nx,s\ny,s\n").unwrap();
    let ids: Vec<&str> = data.dialogues.iter().map(|dialogue| dialogue.id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(data.notes, ["no column `id`: ids are row numbers, from 1"]);
}
