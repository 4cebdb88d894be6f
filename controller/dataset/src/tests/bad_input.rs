//! Each thing that can be wrong gives one error with file, place and way out.

use super::*;
use crate::{Source, read};

fn message(format: Format, bytes: impl AsRef<[u8]>) -> String {
    parsed(format, bytes).unwrap_err().to_string()
}

/// Checks that the error names the file and holds all `words`.
#[track_caller]
fn says(format: Format, bytes: impl AsRef<[u8]>, words: &[&str]) {
    let text = message(format, bytes);
    for word in words.iter().chain(&["data.x"]) {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

#[test]
fn a_file_that_is_not_there_names_its_path() {
    let source: Source = "/no/such.csv".parse().unwrap();
    let text = read(&source, &Columns::default()).unwrap_err().to_string();
    assert!(text.contains("/no/such.csv") && text.contains("check its path"), "{text}");
}

#[test]
fn what_is_elsewhere_is_not_read_as_if_it_were_here() {
    for address in ["hf://knkarthick/samsum@main", "s3://bucket/key.csv"] {
        let source: Source = address.parse().unwrap();
        let text = read(&source, &Columns::default()).unwrap_err().to_string();
        assert_eq!(text, format!("{address} is not on this machine"));
    }
}

#[test]
fn an_address_that_is_none_says_what_would_be() {
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
        says(format, text, &["holds no dialogues"]);
    }
    let schema = "message m { required binary id (STRING); required binary dialogue (STRING); }";
    says(Format::Parquet, parquet(schema, |_, _| ()), &["holds no dialogues"]);
}

#[test]
fn a_missing_column_lists_those_that_are_there_and_the_nearest() {
    let words = [
        "the header",
        "\"dialogue\"",
        "found: id, Dialog",
        "did you mean \"Dialog\"",
        "dataset.columns.dialogue",
    ];
    says(Format::Csv, "id,Dialog\n1,A: x\n", &words);
    let words = ["line 2", "\"id\"", "found: ID, dialogue", "did you mean \"ID\""];
    says(Format::JsonLines, "{\"id\":1,\"dialogue\":\"x\"}\n{\"ID\":1,\"dialogue\":\"x\"}", &words);
    says(Format::Json, "[{\"id\":1}]", &["item 1", "\"dialogue\""]);
    let schema = "message m { required binary id (STRING); required binary text (STRING); }";
    says(
        Format::Parquet,
        parquet(schema, |_, w| write_text(w, &["1"], None)),
        &["the header", "found: id, text"],
    );
}

#[test]
fn a_summary_column_that_the_matrix_names_must_be_there() {
    let columns = Columns { summary: "gist".to_owned(), ..Columns::default() };
    let error = parse("data.x", b"id,dialogue\n1,x\n".to_vec(), Format::Csv, &columns).unwrap_err();
    assert!(error.to_string().contains("dataset.columns.summary"), "{error}");
}

#[test]
fn a_column_that_is_there_twice_is_not_guessed() {
    says(Format::Csv, "id,dialogue,dialogue\n1,x,y\n", &["two columns \"dialogue\""]);
}

#[test]
fn an_id_that_comes_twice_names_both_places() {
    says(
        Format::JsonLines,
        "{\"id\":1,\"dialogue\":\"x\"}\n\n{\"id\":\"1\",\"dialogue\":\"y\"}",
        &["\"1\"", "line 1", "line 3"],
    );
    says(
        Format::Csv,
        "id,dialogue\n1,\"x\ny\"\n1,z\n",
        &["record 1 (line 2)", "record 2 (line 4)"],
    );
    says(
        Format::Json,
        "[{\"id\":\"a\",\"dialogue\":\"x\"},{\"id\":\"a\",\"dialogue\":\"y\"}]",
        &["item 1", "item 2"],
    );
}

#[test]
fn what_is_not_utf_8_names_the_byte_and_the_line() {
    says(Format::Csv, b"id,dialogue\n1,caf\xe9\n", &["byte 17", "line 2", "iconv"]);
    says(Format::JsonLines, b"\xEF\xBB\xBF{\"id\":\"\xff\"}", &["byte 10", "line 1"]);
    says(Format::Json, b"\xff\xfe[\0", &["byte 0"]);
}

#[test]
fn broken_json_names_the_line() {
    says(
        Format::JsonLines,
        "{\"id\":1,\"dialogue\":\"x\"}\n{\"id\":2,",
        &["line 2", "one whole object"],
    );
    says(Format::Json, "[\n{\"id\":1,\"dialogue\":\"x\"},\n]", &["line 3", ".jsonl"]);
    says(Format::Json, "{\"id\":1,\"dialogue\":\"x\"}\n{\"id\":2}", &["line 2", ".jsonl"]);
}

#[test]
fn json_of_another_shape_says_what_belongs_there() {
    says(Format::Json, "{\"data\":[]}", &["the file", "an array of objects", "an object"]);
    says(Format::JsonLines, "[1]", &["line 1", "an object with columns", "a list"]);
}

#[test]
fn an_empty_dialogue_names_its_row() {
    says(
        Format::Csv,
        "id,dialogue\n1,x\n2,\" \n\"\n",
        &["record 2 (line 3)", "\"dialogue\"", "empty"],
    );
    says(Format::JsonLines, "{\"id\":1,\"dialogue\":null}", &["line 1", "empty"]);
}

#[test]
fn a_wrong_type_names_row_and_column() {
    says(
        Format::JsonLines,
        "{\"id\":1,\"dialogue\":[\"x\"]}",
        &["line 1", "\"dialogue\"", "text", "a list"],
    );
    says(
        Format::JsonLines,
        "{\"id\":null,\"dialogue\":\"x\"}",
        &["\"id\"", "text or a number", "null"],
    );
    says(
        Format::Json,
        "[{\"id\":1,\"dialogue\":\"x\",\"summary\":3}]",
        &["item 1", "\"summary\"", "a number"],
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
    says(Format::Parquet, bytes, &["row 1", "\"dialogue\"", "true or false"]);
}

#[test]
fn an_id_that_is_empty_or_endless_is_refused() {
    says(Format::Csv, "id,dialogue\n,x\n", &["record 1", "\"id\""]);
    says(Format::Csv, format!("id,dialogue\n{},x\n", "9".repeat(300)), &["record 1", "\"id\""]);
}

#[test]
fn a_csv_record_of_another_length_is_counted_out() {
    says(
        Format::Csv,
        "id,dialogue\n1,x\n2,y,z\n",
        &["record 2 (line 3)", "3 fields", "the header has 2"],
    );
}

#[test]
fn a_quote_that_never_closes_names_the_line_where_it_opens() {
    says(Format::Csv, "id,dialogue\n1,x\n2,\"y\n3,z\n4,w\n", &["line 3", "never closed"]);
}

#[test]
fn a_file_that_is_no_parquet_says_so() {
    says(Format::Parquet, "id,dialogue\n1,x\n", &["Parquet", "whole"]);
    let schema = "message m { required binary id (STRING); required binary dialogue (STRING); }";
    let whole = parquet(schema, |_, writer| write_text(writer, &["1"], None));
    says(Format::Parquet, &whole[..whole.len() / 2], &["Parquet"]);
}
