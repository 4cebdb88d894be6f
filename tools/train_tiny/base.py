"""Train the base of builtin:tiny, a small T5 that summarizes dialogues in plain sentences, with its tokenizer.

usage: base.py --out DIR [--steps N]        needs: torch, transformers, tokenizers, safetensors
Everything follows from the seeds. About 40 minutes on two cores.
"""

import argparse
import sys
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dialogues"))

from batches import PROMPT, Lessons  # noqa: E402
from learning import dialogues, fingerprints, fit, quality, summaries  # noqa: E402
from tokens import learn  # noqa: E402

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


def main():
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=6000)
    arguments.add_argument("--tokens", type=int, default=1024, help="input tokens per batch")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    arguments.add_argument("--threads", type=int, default=2)
    asked = arguments.parse_args()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)

    rows, held_out = dialogues()
    (asked.out / "training.fingerprints").write_bytes(b"".join(fingerprints(rows)))
    tokenizer = learn([PROMPT] + [row[key] for row in rows[:10_000] for key in ("dialogue", "plain", "note")])
    tokenizer.save(str(asked.out / "tokenizer.json"), pretty=False)

    model = T5ForConditionalGeneration(T5Config(vocab_size=tokenizer.get_vocab_size(), **SHAPE))
    print(f"{model.num_parameters()} parameters, {tokenizer.get_vocab_size()} pieces", flush=True)
    lessons = Lessons(tokenizer, rows, "plain", asked.tokens, asked.seed)
    few = held_out[:48]
    fit(model, lessons, asked.steps, asked.rate, "base", lambda: quality(summaries(model, tokenizer, few), few, "plain"))
    model.half().save_pretrained(asked.out)
    model.float()
    print(f"ROUGE-L on {len(held_out)} held-out dialogues: {quality(summaries(model, tokenizer, held_out), held_out, 'plain'):.3f}", flush=True)


if __name__ == "__main__":
    main()
