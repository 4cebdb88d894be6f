//! Prompts, settings and numbers of beams in every format of a report.

use super::super::{html, markdown, terminal};
use super::*;
use model::generation::Settings;

/// Two models with a prompt and settings of their own, and two numbers of beams.
fn world() -> World {
    let matrix = MATRIX
        .replace(
            "baseline = \"base\"",
            "prompt = \"{dialogue}\"\ngeneration = { min_length = 9, system = \"Be brief.\" }",
        )
        .replace("[1, 4]", "[1]\nnum_beams = [1, 4]");
    let mut world = World::of_matrix(&matrix, 100, "plain");
    let asked = world.campaign.plan.asked(&world.campaign.matrix);
    for agent in &mut world.agents {
        let facts = agent.engines[0].clone().unwrap();
        let engines = asked[agent.target].iter().map(|asked| {
            let settings = asked.generation.settings.or(&Settings::default());
            let decoding = Some(Decoding::of(&settings, 0));
            let prompt = asked.generation.prompt.clone();
            Some(EngineFacts { decoding, prompt, system: settings.system, ..facts.clone() })
        });
        agent.engines = engines.collect();
    }
    world
}

#[test]
fn the_report_states_where_models_were_asked_differently() {
    let results = world().results();
    let document = document(&results);
    let sentences = [
        "Prompts differ between the models: \"plain {dialogue}\" (base) and \"{dialogue}\" (tuned).",
        "System messages differ between the models: none (base) and \"Be brief.\" (tuned).",
        "Settings of generation differ between the models: greedy (base with 1 beam); \
         num_beams = 4, length_penalty = 1, early_stopping = false (base with 4 beams); \
         greedy, min_new_tokens = 8 (tuned with 1 beam); num_beams = 4, length_penalty = 1, \
         early_stopping = false, min_new_tokens = 8 (tuned with 4 beams).",
    ];
    for sentence in sentences {
        assert!(
            document.verdict.notes.iter().any(|note| note == sentence),
            "{:?}",
            document.verdict.notes
        );
        let lines = annotations::render(&results, &document);
        assert!(lines.contains(&format!("asked differently::{sentence}")), "{lines}");
    }
    assert!(!document.verdict.notes.iter().any(|note| note.contains("Output limits")));
    let of_page = ["Prompts differ between the models", "(tuned with 4 beams)"];
    let plain =
        |text: String| text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        plain(terminal::render(&document, None)),
        plain(markdown::render(&document)),
        words_of(&html::render(&document)),
    ] {
        assert!(of_page.iter().all(|part| text.contains(part)), "{text}");
    }
    let csv = String::from_utf8(csv::render(&results)).unwrap();
    let columns = csv.lines().next().unwrap();
    assert!(columns.contains(",num_beams,generation,prompt,system,"), "{columns}");
    assert!(csv.contains("min_new_tokens = 8\",{dialogue},Be brief.,"), "{csv}");
    let junit = junit::render(&results);
    assert!(junit.contains("name=\"one.tuned.f32.beams4.offline\""), "{junit}");
    assert!(junit.contains("name=\"prompt\" value=\"{dialogue}\""), "{junit}");
    assert!(junit.contains("name=\"system\" value=\"Be brief.\""), "{junit}");
    assert!(html::render(&document).contains("System message"));
}

#[test]
fn numbers_of_beams_are_compared_with_the_first() {
    let results = world().results();
    assert_eq!(results.results.len(), 8);
    let beams: Vec<_> = results.results.iter().map(|entry| entry.num_beams).collect();
    assert_eq!(beams[..4], [Some(1), Some(4), Some(1), Some(4)]);
    let pairs: Vec<_> =
        results.comparisons.iter().filter(|pair| pair.kind == ComparisonKind::NumBeams).collect();
    let first = pairs[0];
    assert_eq!(pairs.len(), 4);
    assert_eq!(
        (first.baseline.as_str(), first.candidate.as_str()),
        ("base.f32.beams1.b1.offline@one", "base.f32.beams4.b1.offline@one")
    );
    let flags: Vec<&str> = first.flags.iter().map(|flag| flag.condition.as_str()).collect();
    assert!(flags.contains(&"generation"), "{flags:?}");
    assert!(first.agreement.is_some());
    let text = terminal::render(&document(&results), None);
    assert!(text.contains("Numbers of beams") && text.contains("base · 4 beams"), "{text}");
}

#[test]
fn models_that_were_asked_alike_are_not_mentioned() {
    let results = World::of(100, "plain").results();
    let notes = document(&results).verdict.notes;
    assert!(!notes.iter().any(|note| note.contains("differ between the models")), "{notes:?}");
}
