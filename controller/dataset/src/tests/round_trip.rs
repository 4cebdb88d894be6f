//! Any text survives a round trip through each format.

use super::*;
use proptest::prelude::*;

/// Dialogues and summaries with quotes, commas, line breaks and other special characters.
fn chats() -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    let odd = "[\\PC\",\n;'\\\\\t]{0,40}";
    let dialogue = odd.prop_map(|text| format!("A: {text}"));
    let summary = proptest::option::of(odd.prop_map(|text| format!("s{text}")));
    proptest::collection::vec((dialogue, summary), 1..12)
}

fn assert_same(data: &Dataset, chats: &[(String, Option<String>)]) {
    assert_eq!(data.dialogues.len(), chats.len());
    for (number, (found, (dialogue, summary))) in data.dialogues.iter().zip(chats).enumerate() {
        assert_eq!(found.id.as_str(), number.to_string());
        assert_eq!(&found.dialogue, dialogue);
        assert_eq!(&found.summary, summary);
    }
}

proptest! {
    #[test]
    fn csv_round_trips(chats in chats()) {
        let mut writer = ::csv::Writer::from_writer(vec![]);
        writer.write_record(["id", "dialogue", "summary"]).unwrap();
        for (number, (dialogue, summary)) in chats.iter().enumerate() {
            let number = number.to_string();
            writer.write_record([&number, dialogue, summary.as_deref().unwrap_or("")]).unwrap();
        }
        assert_same(&parsed(Format::Csv, writer.into_inner().unwrap()).unwrap(), &chats);
    }

    #[test]
    fn json_round_trips(chats in chats()) {
        let objects: Vec<serde_json::Value> = chats
            .iter()
            .enumerate()
            .map(|(id, (dialogue, summary))| serde_json::json!({"id": id, "dialogue": dialogue, "summary": summary}))
            .collect();
        let lines: Vec<String> = objects.iter().map(ToString::to_string).collect();
        assert_same(&parsed(Format::JsonLines, lines.join("\n")).unwrap(), &chats);
        assert_same(&parsed(Format::Json, serde_json::to_string_pretty(&objects).unwrap()).unwrap(), &chats);
    }

    #[test]
    fn parquet_round_trips(chats in chats()) {
        let ids: Vec<String> = (0..chats.len()).map(|id| id.to_string()).collect();
        let schema = "message m { required binary id (STRING); required binary dialogue (STRING); optional binary summary (STRING); }";
        let bytes = parquet(schema, |column, writer| match column {
            0 => write_text(writer, &ids.iter().map(String::as_str).collect::<Vec<_>>(), None),
            1 => write_text(writer, &chats.iter().map(|c| c.0.as_str()).collect::<Vec<_>>(), None),
            _ => {
                let levels: Vec<i16> = chats.iter().map(|c| i16::from(c.1.is_some())).collect();
                let there: Vec<&str> = chats.iter().filter_map(|c| c.1.as_deref()).collect();
                write_text(writer, &there, Some(&levels));
            }
        });
        assert_same(&parsed(Format::Parquet, bytes).unwrap(), &chats);
    }

    #[test]
    fn text_readers_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::JsonLines, Format::Json, Format::Csv] {
            let _ = parsed(format, &bytes);
        }
    }
}
