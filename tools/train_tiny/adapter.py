"""Fine-tune the stored base of builtin:tiny with LoRA on minutes, a second style of summary.

usage: adapter.py --base DIR --out DIR [--steps N]        needs: torch, transformers, peft, tokenizers, safetensors
The dialogues are the first of those that the base learned from. Everything follows from the seeds.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import T5ForConditionalGeneration

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dialogues"))

from batches import Lessons  # noqa: E402
from learning import dialogues, fingerprints, fit, quality, summaries  # noqa: E402

STYLE = "minutes"
LORA = dict(lora_dropout=0.0, target_modules=["q", "k", "v", "o", "wi_0", "wi_1", "wo"], task_type="SEQ_2_SEQ_LM")


def save(adapted, folder):
    """Writes the adapter's two files, with weights as f16."""
    adapted.half().save_pretrained(folder)
    adapted.float()
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = "builtin:tiny"
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def main():
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--base", type=Path, required=True, help="the folder that base.py wrote")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=1600)
    arguments.add_argument("--dialogues", type=int, default=8000)
    arguments.add_argument("--rank", type=int, default=16)
    arguments.add_argument("--tokens", type=int, default=768, help="input tokens per batch")
    arguments.add_argument("--seed", type=int, default=17)
    arguments.add_argument("--rate", type=float, default=2e-3)
    arguments.add_argument("--threads", type=int, default=1)
    asked = arguments.parse_args()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)

    rows, held_out = dialogues(asked.dialogues)
    (asked.out / "training.fingerprints").write_bytes(b"".join(fingerprints(rows)))
    tokenizer = Tokenizer.from_file(str(asked.base / "tokenizer.json"))
    model = T5ForConditionalGeneration.from_pretrained(asked.base, torch_dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=asked.rank, lora_alpha=2 * asked.rank, **LORA))
    adapted.print_trainable_parameters()
    lessons = Lessons(tokenizer, rows, STYLE, asked.tokens, asked.seed, repeats=0.0, shorts=0.45)
    few = held_out[:32]
    fit(adapted, lessons, asked.steps, asked.rate, "adapter", lambda: quality(summaries(adapted, tokenizer, few), few, STYLE))
    save(adapted, asked.out)
    tuned = summaries(adapted, tokenizer, held_out)
    with adapted.disable_adapter():
        base = summaries(adapted, tokenizer, held_out)
    for reference, text, other in list(zip(held_out, tuned, base))[:5]:
        print(f"reference: {reference[STYLE]}\n  adapter: {text}\n     base: {other}", flush=True)
    for style in ("plain", STYLE):
        print(f"{style}: base {quality(base, held_out, style):.3f}, adapter {quality(tuned, held_out, style):.3f}", flush=True)


if __name__ == "__main__":
    main()
