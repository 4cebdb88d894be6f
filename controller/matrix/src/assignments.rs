//! `--set KEY=VALUE`: assignments to keys of a matrix, before it is checked.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Assigns to `table` what `assignments` holds: the texts that [`padded`] returns.
pub(super) fn assign<'i>(
    table: &mut DeTable<'i>,
    assignments: &'i [String],
) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    for text in assignments {
        match DeTable::parse(text) {
            Ok(parsed) if parsed.get_ref().is_empty() => {
                problems.push(format!("`{}`: expected KEY=VALUE", text.trim_start()));
            }
            Ok(parsed) => merge(table, parsed.into_inner(), "", &mut problems),
            Err(error) => {
                let message = error.message();
                problems.push(format!("`{}`: expected KEY=VALUE: {message}", text.trim_start()));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The assignment as TOML. A value that isn't TOML is a string: `name=a b` is `name = "a b"`. The spaces before it make
/// its places lie after the `length` bytes of the file.
pub(super) fn padded(assignment: &str, length: usize) -> String {
    let at_end = |text: &str| format!("{}{text}", " ".repeat(length));
    if DeTable::parse(assignment).is_ok() {
        return at_end(assignment);
    }
    let Some((key, value)) = assignment.split_once('=') else { return at_end(assignment) };
    let as_text = format!("{key}='{}'", value.trim());
    // The error of the value as written says more than that of a string.
    at_end(if DeTable::parse(&as_text).is_ok() { &as_text } else { assignment })
}

/// Replaces values and merges tables. In `[[target]]` and the like, a key selects the element: by its `name` (or, of a
/// local agent, its `target`), or by its number from 0.
fn merge<'i>(
    table: &mut DeTable<'i>,
    assigned: DeTable<'i>,
    path: &str,
    problems: &mut Vec<String>,
) {
    for (key, value) in assigned {
        let path = format!("{path}{}", key.get_ref());
        let known = table.iter_mut().find(|(known, _)| known.get_ref() == key.get_ref());
        match known {
            Some((_, known)) => replace(known, value, &path, problems),
            None => drop(table.insert(key, value)),
        }
    }
}

fn replace<'i>(
    known: &mut Spanned<DeValue<'i>>,
    value: Spanned<DeValue<'i>>,
    path: &str,
    problems: &mut Vec<String>,
) {
    let is_table = value.get_ref().is_table();
    match known.get_mut() {
        DeValue::Table(known) if is_table => {
            if let DeValue::Table(assigned) = value.into_inner() {
                merge(known, assigned, &format!("{path}."), problems);
            }
        }
        DeValue::Array(elements) if is_table => {
            let DeValue::Table(assigned) = value.into_inner() else { return };
            for (key, value) in assigned {
                let key = key.get_ref().to_string();
                let path = format!("{path}.{key}");
                let element = elements
                    .iter_mut()
                    .enumerate()
                    .find(|(index, element)| is_selected(element.get_ref(), *index, &key));
                match element {
                    Some((_, element)) => replace(element, value, &path, problems),
                    None => problems.push(format!("{path}: nothing has this name or number")),
                }
            }
        }
        _ => *known = value,
    }
}

fn is_selected(element: &DeValue<'_>, index: usize, key: &str) -> bool {
    let is_named = |name: &str| {
        let value =
            element.as_table().and_then(|table| table.iter().find(|(k, _)| k.get_ref() == name));
        value.is_some_and(|(_, value)| value.get_ref().as_str() == Some(key))
    };
    is_named("name") || is_named("target") || key == index.to_string()
}

#[cfg(test)]
mod tests {
    use crate::{Matrix, Overrides};
    use std::path::Path;

    const TEXT: &str = r#"
name = "n"
[dataset]
source = "builtin:dialogues"
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [1, 8]
[[target]]
name = "ml.m5.xlarge"
usd_per_hour = 1.0
[[fleet.local]]
target = "here"
usd_per_hour = 2.0
"#;

    fn checked(set: &[&str], only: &[&str]) -> Result<Matrix, String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let overrides = Overrides { set: owned(set), only: owned(only), ..Overrides::default() };
        let checked = Matrix::check(TEXT, "m.toml", Path::new("/"), &overrides);
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_set_in_sections_new_sections_and_elements() {
        let matrix = checked(
            &[
                "protocol.warmup=2",
                "name=a name without quotes",
                "dataset.columns.summary = 'minutes'",
                "target.\"ml.m5.xlarge\".agents=3",
                "fleet.local.here.threads=2",
                "model.0.name=\"small\"",
                "slo={ request_latency_ms = 50 }",
            ],
            &[],
        )
        .unwrap();
        assert_eq!(matrix.protocol.warmup, 2);
        assert_eq!(matrix.name, "a name without quotes");
        assert_eq!(matrix.dataset.summary_column, "minutes");
        assert_eq!(matrix.models[0].name, "small");
        assert!(matrix.slo.is_some());
        let [remote, local] = &matrix.targets[..] else { panic!("{:?}", matrix.targets) };
        assert_eq!((remote.agents, local.local.unwrap().threads), (3, 2));
    }

    #[test]
    fn errors_name_the_option_and_the_key() {
        let unknown = checked(&["protocol.warmups=2"], &[]).unwrap_err();
        assert!(
            unknown.contains("on the command line: protocol.warmups: unknown key"),
            "{unknown}"
        );
        let range = checked(&["protocol.warmup=-2"], &[]).unwrap_err();
        assert!(range.contains("on the command line: protocol.warmup: expected"), "{range}");
        let nobody = checked(&["target.gpu.agents=2"], &[]).unwrap_err();
        assert!(nobody.contains("target.gpu: nothing has this name"), "{nobody}");
        for text in ["protocol.warmup", "=2", ""] {
            let error = checked(&[text], &[]).unwrap_err();
            assert!(error.contains("expected KEY=VALUE"), "{text}: {error}");
        }
    }

    #[test]
    fn only_drops_cells_and_the_targets_without_any() {
        let all = checked(&[], &[]).unwrap();
        assert_eq!(crate::plan::Plan::make(&all, 10).unwrap().cells.len(), 4);
        let one = checked(&[], &["b8.offline@here"]).unwrap();
        let plan = crate::plan::Plan::make(&one, 10).unwrap();
        let ids: Vec<&str> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
        assert_eq!(ids, ["tiny.f32.b8.offline@here"]);
        assert_eq!(one.targets.len(), 1);
        let none = checked(&[], &["b16"]).unwrap_err();
        assert!(none.contains("--only b16: no cell has this in its id"), "{none}");
    }
}
