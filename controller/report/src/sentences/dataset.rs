//! What is missing from a dataset.

use super::counted;
use crate::shortened::shortened;
use plot::number;
use results::RowsSetAside;

/// Rows that are listed one by one.
const MOST_LISTED: usize = 3;
/// Of an id or a reason, which may quote the file.
const MOST_CHARS: usize = 80;

/// How many rows were not measured, and the first of them; `None` if all were usable.
pub(crate) fn rows_set_aside(rows: &RowsSetAside) -> Option<String> {
    if rows.count == 0 {
        return None;
    }
    let mut listed: Vec<String> = rows
        .first
        .iter()
        .take(MOST_LISTED)
        .map(|row| {
            let id = row
                .id
                .as_ref()
                .map_or_else(String::new, |id| format!(" (id {})", shortened(id, MOST_CHARS)));
            format!("{}{id}, {}", row.position, shortened(&row.reason, MOST_CHARS))
        })
        .collect();
    let more = rows.count.saturating_sub(listed.len() as u64);
    if more > 0 {
        listed.push(format!("and {} more", number::count(more)));
    }
    Some(format!(
        "The dataset has {} that can't be measured ({}% of all): {}.",
        counted(rows.count, "row"),
        number::percent(rows.share),
        listed.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use results::RowSetAside;

    #[test]
    fn the_first_rows_are_listed_and_the_others_counted() {
        let row = |line: u64| RowSetAside {
            file: "data.csv".to_owned(),
            position: format!("line {line}"),
            id: (line == 1).then(|| "x".repeat(1000)),
            reason: "the dialogue is empty".to_owned(),
        };
        let rows = RowsSetAside { count: 1200, share: 0.125, first: (1..6).map(row).collect() };
        let text = rows_set_aside(&rows).unwrap();
        assert!(
            text.starts_with(
                "The dataset has 1,200 rows that can't be measured (12.5% of all): line 1 (id xxx"
            ),
            "{text}"
        );
        assert!(text.ends_with("; line 3, the dialogue is empty; and 1,197 more."), "{text}");
        assert!(text.len() < 400, "{text}");
        assert_eq!(rows_set_aside(&RowsSetAside { count: 0, share: 0.0, first: Vec::new() }), None);
    }
}
