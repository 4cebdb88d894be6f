"""Train builtin:tiny, a small T5 that summarizes dialogues, and a LoRA adapter for the brief style.

usage: train.py --out DIR [--steps N]        needs: torch, transformers, peft, tokenizers, safetensors
Everything follows from the seeds. About 40 minutes on two cores.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import T5Config, T5ForConditionalGeneration

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dialogues"))

from batches import PROMPT, Lessons, encode  # noqa: E402
from generate import fingerprint, generate  # noqa: E402
from rouge import rouge_l  # noqa: E402
from tokens import learn  # noqa: E402

TRAIN_SEED, TRAIN_COUNT, HELD_OUT_SEED, HELD_OUT_COUNT = 1, 30_000, 2, 400
SHAPE = dict(
    d_model=192,
    d_kv=32,
    num_heads=6,
    d_ff=512,
    num_layers=3,
    num_decoder_layers=2,
    feed_forward_proj="gated-gelu",
    dropout_rate=0.0,
    tie_word_embeddings=True,
    pad_token_id=0,
    eos_token_id=1,
    decoder_start_token_id=0,
)
LORA = dict(
    r=16, lora_alpha=32, lora_dropout=0.0, target_modules=["q", "k", "v", "o", "wi_0", "wi_1", "wo"], task_type="SEQ_2_SEQ_LM"
)


def fit(model, lessons, steps, peak, label, look):
    """AdamW with warm-up and a cosine; `look()` now and then says how good the model is."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    warmup, started, mean = min(300, steps // 10), time.monotonic(), None
    model.train()
    for step in range(steps):
        rate = (
            peak * (step + 1) / warmup
            if step < warmup
            else peak * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs, mask, labels = lessons.next(step / steps)
        loss = model(input_ids=inputs, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0 or step + 1 == steps:
            print(f"{label} step {step}/{steps} loss {mean:.3f} rate {rate:.5f} {time.monotonic() - started:.0f} s", flush=True)
        if step % 500 == 499:
            print(f"{label} ROUGE-L of a few held-out dialogues: {look():.3f}", flush=True)
            model.train()


@torch.no_grad()
def summaries(model, tokenizer, rows, style):
    """Greedy summaries, a few dialogues at a time, in the order of `rows`."""
    model.eval()
    pairs = encode(tokenizer, rows, style)
    order, texts = sorted(range(len(rows)), key=lambda i: len(pairs[i][0])), [None] * len(rows)
    for at in range(0, len(order), 16):
        some = order[at : at + 16]
        width = max(len(pairs[i][0]) for i in some)
        inputs = torch.tensor([pairs[i][0] + [0] * (width - len(pairs[i][0])) for i in some])
        made = model.generate(
            input_ids=inputs, attention_mask=(inputs != 0).long(), max_new_tokens=160, num_beams=1, do_sample=False
        )
        for i, text in zip(some, tokenizer.decode_batch(made.tolist(), skip_special_tokens=True)):
            texts[i] = text
    return texts


def quality(model, tokenizer, rows, style):
    """Mean ROUGE-L of greedy summaries, and the summaries."""
    texts = summaries(model, tokenizer, rows, style)
    return sum(rouge_l(row[style], text) for row, text in zip(rows, texts)) / len(rows), texts


def main():
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=6000, help="of the base; the adapter takes an eighth")
    arguments.add_argument("--tokens", type=int, default=1024, help="input tokens per batch")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    asked = arguments.parse_args()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(2)
    asked.out.mkdir(parents=True, exist_ok=True)

    rows = list(generate("train", TRAIN_SEED, TRAIN_COUNT))
    held_out = list(generate("builtin", HELD_OUT_SEED, HELD_OUT_COUNT))
    prints = sorted(fingerprint(row["dialogue"]) for row in rows)
    assert not set(prints) & {fingerprint(row["dialogue"]) for row in held_out}
    (asked.out / "training.fingerprints").write_bytes(b"".join(prints))
    tokenizer = learn([PROMPT] + [row[key] for row in rows[:10_000] for key in ("dialogue", "plain", "brief")])
    tokenizer.save(str(asked.out / "tokenizer.json"), pretty=False)

    model = T5ForConditionalGeneration(T5Config(vocab_size=tokenizer.get_vocab_size(), **SHAPE))
    print(f"{model.num_parameters()} parameters, {tokenizer.get_vocab_size()} pieces", flush=True)
    lessons = Lessons(tokenizer, rows, "plain", asked.tokens, asked.seed)
    fit(model, lessons, asked.steps, asked.rate, "base", lambda: quality(model, tokenizer, held_out[:48], "plain")[0])
    model.half().save_pretrained(asked.out)
    model.float()
    scores = {f"base on {style}": quality(model, tokenizer, held_out, style)[0] for style in ("plain", "brief")}
    print(scores, flush=True)

    adapted = get_peft_model(model, LoraConfig(**LORA))
    lessons = Lessons(tokenizer, rows[:8000], "brief", asked.tokens, asked.seed + 10, repeats=0.0, shorts=0.3)
    fit(adapted, lessons, asked.steps // 8, asked.rate, "adapter", lambda: quality(adapted, tokenizer, held_out[:48], "brief")[0])
    adapted.half().save_pretrained(asked.out / "adapter")
    adapted.float()
    scores |= {f"adapter on {style}": quality(adapted, tokenizer, held_out, style)[0] for style in ("plain", "brief")}
    (asked.out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    print(scores, flush=True)


if __name__ == "__main__":
    main()
