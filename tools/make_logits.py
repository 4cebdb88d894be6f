"""Write tiny random T5 checkpoints and their teacher-forced logits from PyTorch transformers.

usage: make_logits.py OUT_DIR        needs: torch transformers safetensors numpy
Reference: T5ForConditionalGeneration of transformers, in f32, one sequence at a time, without padding and without a cache.
The weights are stored as f16 and read back for the reference, so that every engine starts from the same numbers.

OUT_DIR/<name>/ contains config.json, model.safetensors, and per case
  cases.jsonl         {"id", "input_ids", "decoder_ids", "greedy_ids", "eos"}
  logits.safetensors  one tensor [len(decoder_ids), vocab_size] of f32 per id: row i follows decoder_ids[..=i]
decoder_ids begin with the start token and are random, to cover every token's row and every position. greedy_ids are
the greedy output without the start token: up to and including </s> (id 1), or MAX_NEW tokens.
"""

import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

COMMON = dict(d_kv=8, num_heads=4, num_layers=2, num_decoder_layers=2, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
SHAPES = {
    "gated-untied": dict(d_model=48, d_ff=80, vocab_size=160, feed_forward_proj="gated-gelu", tied=False),
    "relu-tied": dict(d_model=40, d_ff=96, vocab_size=144, feed_forward_proj="relu", tied=True),
    "gated-tied": dict(d_model=32, d_ff=64, vocab_size=152, feed_forward_proj="gated-gelu", tied=True),
}
PROMPT_LENGTHS = [1, 2, 7, 16, 40, 90, 150]
FORCED, MAX_NEW = 14, 32
# Minimum number of cases that end with </s>, and of cases that don't end immediately.
MUST_END, MUST_LAST = 3, 5


def weights(model, tied, seed):
    """Random weights with bounded activations, and </s> likely enough that some summaries end."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, deviation):
        return torch.randn(shape, generator=generator) * deviation

    tensors = {}
    for name, old in model.state_dict().items():
        if name.endswith("embed_tokens.weight") or name == "lm_head.weight":
            continue
        if name == "shared.weight":
            new = normal(old.shape, 0.5 if tied else 1.0)
        elif "relative_attention_bias" in name:
            new = normal(old.shape, 1.5)
        elif "layer_norm" in name:
            new = 1 + normal(old.shape, 0.2)
        else:
            new = normal(old.shape, old.shape[1] ** -0.5 * (1.0 if "Attention.q" in name or not tied else 1.6))
        tensors[name] = new
    if tied:
        tensors["shared.weight"][1] *= 2.2
    else:
        tensors["lm_head.weight"] = normal(tensors["shared.weight"].shape, 0.5)
        tensors["lm_head.weight"][1] *= 2.0
    return {name: tensor.half().contiguous() for name, tensor in tensors.items()}


def build(folder, shape, seed):
    """Writes the checkpoint and loads it with transformers, in f32."""
    shape = dict(shape)
    tied = shape.pop("tied")
    config = T5Config(tie_word_embeddings=tied, **COMMON, **shape)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(T5ForConditionalGeneration(config), tied, seed), folder / "model.safetensors", metadata={"format": "pt"})
    facts = config.to_dict()
    # transformers 5 adds a key for the scale of a tied head; older files have only the tie.
    facts.pop("scale_decoder_outputs", None)
    facts |= {"tie_word_embeddings": tied, "architectures": ["T5ForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    same = model.lm_head.weight.data_ptr() == model.shared.weight.data_ptr()
    assert same == tied, "the head must be tied as in the shape"
    return model


@torch.no_grad()
def logits(model, prompt, decoder_ids):
    """`[len(decoder_ids), vocab_size]`."""
    inputs = torch.tensor([prompt])
    return model(
        input_ids=inputs, attention_mask=torch.ones_like(inputs), decoder_input_ids=torch.tensor([decoder_ids]), use_cache=False
    ).logits[0]


def greedy(model, prompt):
    """Ids after the start token, and the smallest gap between the top two logits."""
    ids, gap = [0], float("inf")
    while len(ids) <= MAX_NEW and ids[-1:] != [1]:
        best = torch.topk(logits(model, prompt, ids)[-1].double(), 2)
        gap = min(gap, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids[1:], gap


def cases(model, vocabulary, seed):
    """Prompts of all lengths with forced and greedy tokens."""
    rng = random.Random(seed)
    for length in PROMPT_LENGTHS:
        prompt = [rng.randrange(2, vocabulary) for _ in range(length - 1)] + [1]
        forced = [0] + [rng.randrange(2, vocabulary) for _ in range(FORCED - 1)]
        ids, gap = greedy(model, prompt)
        yield dict(id=f"prompt-{length}", input_ids=prompt, decoder_ids=forced, greedy_ids=ids, eos=ids[-1] == 1), gap


def main(out):
    """For every shape, uses the first seed with clear greedy choices and both short and long outputs."""
    torch.set_num_threads(1)
    for name, shape in SHAPES.items():
        for seed in range(1, 200):
            folder = Path(out) / name
            model = build(folder, shape, seed)
            made = list(cases(model, shape["vocab_size"], seed))
            ended = sum(case["eos"] for case, _ in made)
            long = sum(len(case["greedy_ids"]) >= 8 for case, _ in made)
            if ended >= MUST_END and long >= MUST_LAST and min(gap for _, gap in made) > 1e-3:
                break
        else:
            raise SystemExit(f"{name}: no seed produces both cases that end and cases that don't")
        rows = {case["id"]: logits(model, case["input_ids"], case["decoder_ids"]).contiguous() for case, _ in made}
        save_file(rows, folder / "logits.safetensors", metadata={"seed": str(seed)})
        (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case, _ in made))
        spread = max(float(row.std()) for row in rows.values())
        print(f"{name}: seed {seed}, {ended} of {len(made)} end, lengths {[len(c['greedy_ids']) for c, _ in made]}, spread {spread:.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
