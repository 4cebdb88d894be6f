"""Shared by base and adapter: the data, the training loop, and the quality of the summaries."""

import math
import time

import torch

from batches import encode
from generate import fingerprint, generate
from rouge import rouge_l

TRAIN_SEED, TRAIN_COUNT = 1, 30_000
HELD_OUT_SEED, HELD_OUT_COUNT = 2, 400


def dialogues(count=TRAIN_COUNT):
    """The first `count` training dialogues, and the held-out ones. The two sets are disjoint."""
    rows = list(generate("train", TRAIN_SEED, count))
    held_out = list(generate("builtin", HELD_OUT_SEED, HELD_OUT_COUNT))
    assert not set(fingerprints(rows)) & set(fingerprints(held_out))
    return rows, held_out


def fingerprints(rows):
    """8 bytes for each dialogue, in ascending order."""
    return sorted(fingerprint(row["dialogue"]) for row in rows)


def fit(model, lessons, steps, peak, label, look):
    """AdamW with warm-up and cosine decay; `look()` evaluates the model periodically."""
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
def summaries(model, tokenizer, rows):
    """Greedy summaries, a few dialogues at a time, in the order of `rows`."""
    model.eval()
    prompts = [prompt for prompt, _ in encode(tokenizer, rows, "plain")]
    order, texts = sorted(range(len(rows)), key=lambda i: len(prompts[i])), [None] * len(rows)
    for at in range(0, len(order), 16):
        some = order[at : at + 16]
        width = max(len(prompts[i]) for i in some)
        inputs = torch.tensor([prompts[i] + [0] * (width - len(prompts[i])) for i in some])
        made = model.generate(
            input_ids=inputs, attention_mask=(inputs != 0).long(), max_new_tokens=160, num_beams=1, do_sample=False
        )
        for i, text in zip(some, tokenizer.decode_batch(made.tolist(), skip_special_tokens=True)):
            texts[i] = text
    return texts


def quality(texts, rows, style):
    """Mean ROUGE-L of summaries against the references of a style."""
    return sum(rouge_l(row[style], text) for row, text in zip(rows, texts)) / len(rows)
