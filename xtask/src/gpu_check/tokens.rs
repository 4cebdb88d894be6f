//! Tokens of the GPU against those of the CPU, and against themselves in other batches.

use super::Extent;
use super::agent::{Agent, Run};
use super::table::{Outcome, Row};

/// The share of rows that may differ from the CPU's: sums in another order move logits in their last
/// bits, so a row goes another way where the best two are that close. Weights alone are int8 on a
/// GPU while the CPU rounds activations too, so that many rows differ.
const DTYPES: [(&str, Option<f64>); 3] = [("f32", Some(0.05)), ("f16", Some(0.3)), ("int8", None)];

struct Model {
    name: &'static str,
    adapter: Option<&'static str>,
    vocabulary: usize,
}

const TINY: Model = Model { name: "builtin:tiny", adapter: None, vocabulary: 256 };
const ADAPTED: Model = Model { adapter: Some("builtin:tiny-minutes"), ..TINY };
const LARGER: [Model; 3] = [
    Model { name: "dummy:flan-t5-small", adapter: None, vocabulary: 32_100 },
    Model { name: "dummy:flan-t5-base", adapter: None, vocabulary: 32_100 },
    Model { name: "dummy:bart-base", adapter: None, vocabulary: 50_265 },
];

pub(super) fn check(agent: &Agent, extent: Extent, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let mut models = vec![TINY, ADAPTED];
    let (prompts, new_tokens, sizes) = match extent {
        Extent::Full => {
            models.extend(LARGER);
            (64, 32, &[1, 8, 16][..])
        }
        Extent::Rehearsal => (2, 3, &[1, 2][..]),
    };
    for Model { name, adapter, vocabulary } in models {
        agent.write_prompts(prompts, vocabulary)?;
        for (dtype, most) in DTYPES {
            let run = |batch_size| Run { model: name, adapter, dtype, batch_size, new_tokens };
            let on_cpu = agent.generate("cpu", run(16))?;
            let mut on_gpu = Vec::new();
            for size in sizes {
                on_gpu.push(agent.generate(&agent.device, run(*size))?);
            }
            let what = format!("{name}{}, {dtype}", adapter.map_or("", |_| " with an adapter"));
            let is_same = on_gpu.iter().all(|tokens| *tokens == on_gpu[0]);
            rows.push(Row::new(
                format!("{what}: equal tokens at batch sizes {sizes:?}"),
                if is_same { "yes" } else { "no" },
                if is_same { Outcome::Passed } else { Outcome::Failed },
            ));
            rows.push(against_cpu(&what, &on_gpu[0], &on_cpu, most));
        }
    }
    Ok(())
}

fn against_cpu<T: PartialEq>(what: &str, gpu: &[T], cpu: &[T], most: Option<f64>) -> Row {
    let others = gpu.iter().zip(cpu).filter(|(gpu, cpu)| gpu != cpu).count();
    let share = others as f64 / cpu.len() as f64;
    let outcome = match most {
        _ if gpu.len() != cpu.len() => Outcome::Failed,
        Some(most) if share > most => Outcome::Failed,
        Some(_) => Outcome::Passed,
        None => Outcome::Noted,
    };
    let limit = most.map_or_else(String::new, |most| format!(" (at most {:.0}%)", 100.0 * most));
    let found = format!("{others} of {} rows differ{limit}", cpu.len());
    Row::new(format!("{what}: tokens of the CPU"), found, outcome)
}

/// NVIDIA's own checks of memory and races, if they are installed.
pub(super) fn sanitize(agent: &Agent, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    agent.write_prompts(2, TINY.vocabulary)?;
    let run = Run { model: TINY.name, adapter: None, dtype: "f16", batch_size: 2, new_tokens: 4 };
    let arguments = Agent::generation(&agent.device, run);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for tool in ["memcheck", "racecheck"] {
        let options = ["--tool", tool, "--error-exitcode", "9"];
        let outcome = agent.under("compute-sanitizer", &options, &arguments).output();
        let (found, outcome) = match outcome {
            Ok(output) if output.status.success() => ("no errors".to_owned(), Outcome::Passed),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let last = text.lines().last().unwrap_or_default();
                (format!("{}: {last}", output.status), Outcome::Failed)
            }
            Err(_) => ("compute-sanitizer isn't installed".to_owned(), Outcome::Skipped),
        };
        rows.push(Row::new(format!("compute-sanitizer {tool}"), found, outcome));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_than_the_limit_fail() {
        let outcome = |most| against_cpu("x", &[1, 2, 3, 4], &[1, 2, 3, 5], most).outcome;
        assert_eq!(outcome(Some(0.2)), Outcome::Failed);
        assert_eq!(outcome(Some(0.25)), Outcome::Passed);
        assert_eq!(outcome(None), Outcome::Noted);
        assert_eq!(against_cpu("x", &[1], &[1, 2], None).outcome, Outcome::Failed);
    }
}
