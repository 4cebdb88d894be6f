//! The gates of the matrix: those that failed, and all of them.

use super::naming::Names;
use super::table::{Column, Entry, Table, Tone};
use super::{Block, Detail, Section};
use crate::sentences::{gate, gate_unit, outcome};
use results::{Gate, Gates, Results};
use stats::comparison::regression::Outcome;

/// `None` without gates.
pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let gates = results.gates.as_ref()?;
    let failing: Vec<String> = (gates.failing().iter())
        .map(|one| format!("{}: {}", names.label(&one.cell), gate(one)))
        .collect();
    let mut blocks = vec![Block::Table(table(gates, names))];
    if !failing.is_empty() {
        blocks.insert(0, Block::List(failing));
    }
    let undecided = if gates.allow_undecided { "passes" } else { "fails" };
    Some(Section {
        id: "gates",
        title: "Gates".to_owned(),
        lead: format!(
            "Thresholds of the matrix. A gate passes if the whole 95% CI keeps its limit; an undecided one {undecided}. Every limit fails for an INVALID cell."
        ),
        blocks,
        detail: Detail::Summary,
    })
}

fn table(gates: &Gates, names: &Names<'_>) -> Table {
    let row = |gate: &Gate| {
        let limit = match (&gate.required, gate.limit) {
            (Some(required), _) => Entry::words(required),
            (None, limit) => {
                let entry = Entry::given(limit);
                Entry { text: format!("{}{}", entry.text, gate_unit(&gate.gate)), ..entry }
            }
        };
        let figure = match &gate.estimate {
            Some(estimate) => Entry::estimate(estimate),
            None => Entry::status(gate.status),
        };
        let tone = match gate.outcome {
            Outcome::Passed => Tone::Good,
            Outcome::Undecided => Tone::Warn,
            Outcome::Failed => Tone::Bad,
        };
        vec![
            Entry::words(names.label(&gate.cell)),
            Entry::words(&gate.gate),
            limit,
            figure,
            Entry { tone, ..Entry::words(outcome(gate.outcome)) },
        ]
    };
    let columns = vec![
        Column::words("Cell"),
        Column::words("Gate"),
        Column::figures("Limit", ""),
        Column::figures("Figure", ""),
        Column::words("Outcome"),
    ];
    let rows = gates.judged.iter().map(row);
    Table::new("gates-table", "Gates of every cell", Detail::Report, columns, rows)
}
