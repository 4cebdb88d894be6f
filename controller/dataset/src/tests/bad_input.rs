//! Each problem is one error with the file, the position and the remedy.

use super::*;
use crate::{Source, read};

/// Checks that the error contains the file name and all `words`.
#[track_caller]
fn assert_error(format: Format, bytes: impl AsRef<[u8]>, words: &[&str]) {
    let text = parsed(format, bytes).unwrap_err().to_string();
    for word in words.iter().chain(&["data.x"]) {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

#[test]
fn a_missing_file_is_reported_with_its_path() {
    let source: Source = "/no/such.csv".parse().unwrap();
    let text = read(&source, &Columns::default()).unwrap_err().to_string();
    assert!(
        text.contains("/no/such.csv") && text.contains("check its permissions and its path"),
        "{text}"
    );
}

#[test]
fn a_remote_source_is_not_read_as_a_local_file() {
    for address in ["hf://knkarthick/samsum@main", "s3://bucket/key.csv"] {
        let source: Source = address.parse().unwrap();
        let text = read(&source, &Columns::default()).unwrap_err().to_string();
        assert_eq!(text, format!("{address} is not a local dataset"));
    }
}

#[test]
fn an_invalid_address_shows_the_expected_form() {
    for (address, words) in [("hf://samsum", "hf://owner/name"), ("s3://b", "s3://bucket/key")] {
        let text = address.parse::<Source>().unwrap_err().to_string();
        assert!(text.contains(address) && text.contains(words), "{text}");
    }
}

#[test]
fn no_data_is_an_error_in_every_format() {
    for (format, text) in [
        (Format::JsonLines, ""),
        (Format::JsonLines, "\n\n"),
        (Format::Json, ""),
        (Format::Json, "[]"),
        (Format::Csv, ""),
        (Format::Csv, "\u{feff}"),
        (Format::Csv, "id,dialogue\n"),
    ] {
        assert_error(format, text, &["contains no dialogues"]);
    }
    let schema = "message m { required binary id (STRING); required binary dialogue (STRING); }";
    assert_error(Format::Parquet, parquet(schema, |_, _| ()), &["contains no dialogues"]);
}

#[test]
fn a_missing_column_lists_the_existing_ones_and_the_nearest() {
    let words = [
        "the header",
        "`dialogue`",
        "found: id, Dialog",
        "did you mean `Dialog`",
        "dataset.columns.dialogue",
    ];
    assert_error(Format::Csv, "id,Dialog\n1,A: x\n", &words);
    assert_error(Format::Json, "[{\"id\":1}]", &["item 1", "`dialogue`"]);
    let schema = "message m { required binary id (STRING); required binary text (STRING); }";
    assert_error(
        Format::Parquet,
        parquet(schema, |_, w| write_text(w, &["1"], None)),
        &["the header", "found: id, text"],
    );
}

#[test]
fn a_summary_column_named_in_the_matrix_is_required() {
    let columns = Columns { summary: "gist".to_owned(), ..Columns::default() };
    let error =
        parse("data.x", b"id,dialogue\n1,x\n".to_vec(), Format::Csv, &columns, 0).unwrap_err();
    assert!(error.to_string().contains("dataset.columns.summary"), "{error}");
}

#[test]
fn a_duplicate_column_is_an_error() {
    assert_error(Format::Csv, "id,dialogue,dialogue\n1,x,y\n", &["two columns `dialogue`"]);
}

#[test]
fn a_duplicate_id_is_reported_with_both_positions() {
    assert_error(
        Format::JsonLines,
        "{\"id\":1,\"dialogue\":\"x\"}\n\n{\"id\":\"1\",\"dialogue\":\"y\"}",
        &["`1`", "line 1", "line 3"],
    );
    assert_error(
        Format::Csv,
        "id,dialogue\n1,\"x\ny\"\n1,z\n",
        &["record 1 (line 2)", "record 2 (line 4)"],
    );
    assert_error(
        Format::Json,
        "[{\"id\":\"a\",\"dialogue\":\"x\"},{\"id\":\"a\",\"dialogue\":\"y\"}]",
        &["item 1", "item 2"],
    );
}

#[test]
fn invalid_utf_8_is_reported_with_byte_and_line() {
    assert_error(Format::Csv, b"id,dialogue\n1,caf\xe9\n", &["byte 17", "line 2", "iconv"]);
    assert_error(Format::JsonLines, b"\xEF\xBB\xBF{\"id\":\"\xff\"}", &["byte 10", "line 1"]);
    assert_error(Format::Json, b"\xff[", &["byte 0"]);
}

#[test]
fn invalid_json_is_reported_with_its_line() {
    assert_error(
        Format::JsonLines,
        "{\"id\":1,\"dialogue\":\"x\"}\n{\"id\":2,",
        &["line 2", "one object per line"],
    );
    assert_error(
        Format::Json,
        "[\n{\"id\":1,\"dialogue\":\"x\"},\n]",
        &["line 3", "one object per line"],
    );
}

#[test]
fn json_of_another_shape_shows_the_expected_one() {
    assert_error(Format::Json, "{\"data\":[]}", &["the file", "an array of objects", "an object"]);
    assert_error(Format::JsonLines, "[1]", &["item 1", "an object with columns", "a number"]);
}

#[test]
fn a_row_without_dialogue_is_set_aside_with_its_position() {
    let data = parsed(Format::Csv, "id,dialogue\n1,x\n2,\" \n\"\n").unwrap();
    assert_eq!(data.dialogues.len(), 1);
    let listed: Vec<String> = data.set_aside.iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["record 2 (line 3) (id 2), column `dialogue`: the dialogue is empty"]);
    let half = parsed(Format::Csv, "id,dialogue\n1,x\n2,\n3,\n").unwrap_err().to_string();
    assert!(half.contains("2 of 3 rows are unusable, more than 50%"), "{half}");
    assert_error(Format::JsonLines, "{\"id\":1,\"dialogue\":null}", &["line 1", "empty"]);
}

#[test]
fn a_wrong_type_is_reported_with_row_and_column() {
    assert_error(
        Format::JsonLines,
        "{\"id\":1,\"dialogue\":[\"x\"]}",
        &["line 1", "`dialogue`", "a string", "a list"],
    );
    assert_error(
        Format::JsonLines,
        "{\"id\":null,\"dialogue\":\"x\"}",
        &["`id`", "a string or a number", "null"],
    );
    assert_error(
        Format::Json,
        "[{\"id\":1,\"dialogue\":\"x\",\"summary\":3}]",
        &["item 1", "`summary`", "a number"],
    );
    let schema = "message m { required binary id (STRING); required boolean dialogue; }";
    let bytes = parquet(schema, |column, writer| match column {
        0 => write_text(writer, &["1"], None),
        _ => {
            writer
                .typed::<::parquet::data_type::BoolType>()
                .write_batch(&[true], None, None)
                .unwrap();
        }
    });
    assert_error(Format::Parquet, bytes, &["row 1", "`dialogue`", "a boolean"]);
}

#[test]
fn an_empty_or_too_long_id_is_rejected() {
    assert_error(Format::Csv, "id,dialogue\n,x\n", &["record 1", "`id`"]);
    assert_error(
        Format::Csv,
        format!("id,dialogue\n{},x\n", "9".repeat(300)),
        &["record 1", "`id`"],
    );
}

#[test]
fn a_csv_record_of_another_length_is_reported_with_both_lengths() {
    assert_error(
        Format::Csv,
        "id,dialogue\n1,x\n2,y,z\n",
        &["record 2 (line 3)", "3 fields", "the header has 2"],
    );
}

#[test]
fn an_unclosed_quote_is_reported_with_the_line_of_its_start() {
    assert_error(Format::Csv, "id,dialogue\n1,x\n2,\"y\n3,z\n4,w\n", &["line 3", "unclosed quote"]);
}

#[test]
fn a_file_that_is_not_parquet_is_rejected() {
    assert_error(Format::Parquet, "id,dialogue\n1,x\n", &["Parquet", "complete"]);
    let schema = "message m { required binary id (STRING); required binary dialogue (STRING); }";
    let whole = parquet(schema, |_, writer| write_text(writer, &["1"], None));
    assert_error(Format::Parquet, &whole[..whole.len() / 2], &["Parquet"]);
}
