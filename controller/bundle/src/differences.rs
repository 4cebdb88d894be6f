//! Two JSON values -> the places where they differ.

use serde_json::Value;

/// A place where a stated value is not the recomputed one. `None`: it is not there.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Such as `results[0].cells[1].estimates.latency_ms.mean.value`.
    pub path: String,
    pub stated: Option<Value>,
    pub recomputed: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// Texts, numbers, Booleans and nulls that were compared.
    pub values: u64,
    pub differences: Vec<Difference>,
}

/// Numbers that are closer, as a share of the larger one, are equal: mathematical functions of two machines or releases
/// differ in the last digits. `tests/independent` holds figures to the same bound.
const TOLERANCE: f64 = 1e-9;

/// Compares what was stated with what was recomputed.
pub fn compare(stated: &Value, recomputed: &Value) -> Compared {
    let mut compared = Compared::default();
    at(&mut String::new(), Some(stated), Some(recomputed), &mut compared);
    compared
}

fn at(
    path: &mut String,
    stated: Option<&Value>,
    recomputed: Option<&Value>,
    compared: &mut Compared,
) {
    let length = path.len();
    match (stated, recomputed) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                at(path, before.get(key), after.get(key), compared);
                path.truncate(length);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                path.push_str(&format!("[{index}]"));
                at(path, before.get(index), after.get(index), compared);
                path.truncate(length);
            }
        }
        _ => {
            compared.values += 1;
            if !are_equal(stated, recomputed) {
                compared.differences.push(Difference {
                    path: path.clone(),
                    stated: stated.cloned(),
                    recomputed: recomputed.cloned(),
                });
            }
        }
    }
}

fn are_equal(stated: Option<&Value>, recomputed: Option<&Value>) -> bool {
    let number = |value: Option<&Value>| value.filter(|value| value.is_f64())?.as_f64();
    match (number(stated), number(recomputed)) {
        (Some(before), Some(after)) => {
            (before - after).abs() <= TOLERANCE * before.abs().max(after.abs())
        }
        _ => stated == recomputed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_difference_is_named_by_its_path() {
        let stated = json!({"a": [{"b": 1.0, "c": "x"}, 2], "gone": null, "same": 1});
        let recomputed = json!({"a": [{"b": 1.5, "c": "x"}, 2, 3], "new": true, "same": 1});
        let compared = compare(&stated, &recomputed);
        let found: Vec<_> = (compared.differences.iter())
            .map(|one| (one.path.as_str(), one.stated.clone(), one.recomputed.clone()))
            .collect();
        let expected = [
            ("a[0].b", Some(json!(1.0)), Some(json!(1.5))),
            ("a[2]", None, Some(json!(3))),
            ("gone", Some(Value::Null), None),
            ("new", None, Some(json!(true))),
        ];
        assert_eq!(found, expected);
        assert_eq!(compared.values, 7);
    }

    #[test]
    fn the_last_digits_of_a_real_number_may_differ_and_those_of_a_count_may_not() {
        let differ = |stated: Value, recomputed: Value| {
            !compare(&stated, &recomputed).differences.is_empty()
        };
        assert!(!differ(json!(0.1), json!(0.1 + 1e-12)));
        assert!(differ(json!(0.1), json!(0.1 + 1e-6)));
        assert!(differ(json!(0.0), json!(1e-300)));
        assert!(differ(json!(10_000_000_000_000_u64), json!(10_000_000_000_001_u64)));
        assert!(differ(json!(null), json!(0.0)));
    }
}
