"""Write tiny random Qwen2, Qwen3 and Llama checkpoints, PEFT adapters, and what PyTorch transformers makes of them.

usage: make_causal.py OUT_DIR        needs: torch transformers peft safetensors
Reference: the ...ForCausalLM classes of transformers with peft, one sequence at a time, without padding. The weights are stored as f16 and
read back for the reference, so that every engine starts from the same numbers. Llama's config is in the form of transformers 4, the
others' in that of 5.

OUT_DIR/<name>/ contains config.json, generation_config.json, model.safetensors, adapters/, and
  cases.jsonl         {"id", "adapter", "generation", "input_ids", "output_ids", "finish"}
  logits.safetensors  per id of a greedy case without an adapter, [len(FORCED), vocab_size] of f32: row i follows the prompt and FORCED[..i]
output_ids: what generate() returned in f32 without the prompt, up to and including eos, for at most MAX_NEW tokens. generation: the
arguments of generate() beside max_new_tokens; {} is greedy. A case is written only if f32 and f64 agree on every token.
"""

import json
import random
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

IDS = dict(bos_token_id=1, eos_token_id=[2, 3], pad_token_id=0)
LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32, rope_theta=10000.0
)
DEFAULT = dict(rope_type="default", rope_theta=1e6)
SHAPES = {
    "qwen2": (
        Qwen2Config,
        Qwen2ForCausalLM,
        dict(
            vocab_size=160, hidden_size=48, intermediate_size=88, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
            max_position_embeddings=128, rope_parameters=DEFAULT, tie_word_embeddings=True, **IDS,
        ),
    ),
    "qwen3": (
        Qwen3Config,
        Qwen3ForCausalLM,
        dict(
            vocab_size=144, hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=20, max_position_embeddings=128, rope_parameters=DEFAULT, tie_word_embeddings=True, **IDS,
        ),
    ),
    "llama": (
        LlamaConfig,
        LlamaForCausalLM,
        dict(
            vocab_size=152, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=1,
            max_position_embeddings=128, rope_parameters=LLAMA3, tie_word_embeddings=False, **IDS,
        ),
    ),
}
ADAPTERS = {
    "qv-r8": dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    "all-linear": dict(r=4, lora_alpha=8, use_rslora=True, target_modules="all-linear"),
}
SEARCHES = [
    {},
    dict(repetition_penalty=1.1),
    dict(min_new_tokens=16),
    dict(num_beams=3, length_penalty=2.0, early_stopping=True),
    dict(num_beams=2, no_repeat_ngram_size=2),
    dict(no_repeat_ngram_size=3),
]
LENGTHS = [1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 64, 65, 90, 104]
MAX_NEW = 24
FORCED = 14
# Minimum number of greedy cases that end before the limit, of others, of distinct outputs and of distinct lengths.
MUST_END, MUST_LAST, MUST_DIFFER, MUST_VARY = 3, 3, 8, 4


def weights(model, seed):
    """Random weights with bounded activations, and eos likely enough that some outputs end."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, deviation):
        return torch.randn(shape, generator=generator) * deviation

    is_tied = model.config.tie_word_embeddings
    head = "model.embed_tokens.weight" if is_tied else "lm_head.weight"
    tensors = {}
    for key, old in model.state_dict().items():
        if is_tied and key == "lm_head.weight":
            continue
        if "norm" in key and key.endswith("weight"):
            new = 1 + normal(old.shape, 0.2)
        elif key.endswith("bias"):
            new = normal(old.shape, 0.3)
        elif "embed_tokens" in key:
            new = normal(old.shape, 0.6 if is_tied else 1.0)
        else:
            new = normal(old.shape, (2.2 if "q_proj" in key else 1.4) * old.shape[1] ** -0.5)
        if key == head:
            new[2:4] *= 1.7 if is_tied else 1.5
        tensors[key] = new.half().contiguous()
    return tensors


def load(folder, name, dtype=torch.float32):
    return SHAPES[name][1].from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def build(folder, name, seed):
    config_type, model_type, shape = SHAPES[name]
    config = config_type(**shape)
    model = model_type(config)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(model, seed), folder / "model.safetensors", metadata={"format": "pt"})
    facts = config.to_dict() | {"architectures": [model_type.__name__]}
    for key in ("transformers_version", "dtype", "_name_or_path"):
        facts.pop(key, None)
    if name == "llama":
        rope = facts.pop("rope_parameters")
        facts["rope_theta"] = rope.pop("rope_theta")
        facts["rope_scaling"] = rope
        facts["torch_dtype"] = "float16"
    (folder / "config.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    generation = {key: shape[key] for key in sorted(shape) if key.endswith("_token_id")}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")


def write_adapters(folder, name, seed):
    for place, (kind, settings) in enumerate(ADAPTERS.items()):
        torch.manual_seed(seed + 10 + place)
        adapted = get_peft_model(load(folder, name), LoraConfig(task_type="CAUSAL_LM", **settings))
        generator = torch.Generator().manual_seed(seed + 50 + place)
        for key, weight in adapted.named_parameters():
            if "lora_B" in key:
                weight.data = torch.randn(weight.shape, generator=generator) * 0.1
        out = folder / "adapters" / kind
        adapted.save_pretrained(out)
        for file in out.iterdir():
            if file.name not in ("adapter_config.json", "adapter_model.safetensors"):
                file.unlink()
        config = json.loads((out / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = "parity/base"
        config["target_modules"] = sorted(config["target_modules"])
        (out / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


@torch.no_grad()
def generated(model, ids, settings):
    inputs = torch.tensor([ids])
    mask = torch.ones_like(inputs)
    out = model.generate(input_ids=inputs, attention_mask=mask, do_sample=False, max_new_tokens=MAX_NEW, **settings)[0].tolist()[len(ids):]
    for place, token in enumerate(out):
        if token in IDS["eos_token_id"]:
            return out[: place + 1], "eos"
    return out, "length"


@torch.no_grad()
def logits(model, ids, forced):
    inputs = torch.tensor([ids + forced])
    return model(input_ids=inputs, attention_mask=torch.ones_like(inputs), use_cache=False).logits[0, len(ids) - 1 : -1].contiguous()


def cases(folder, name, adapter, searches, prompts):
    models = []
    for dtype in (torch.float32, torch.float64):
        model = load(folder, name, dtype)
        if adapter:
            model = PeftModel.from_pretrained(model, folder / "adapters" / adapter, torch_dtype=dtype).merge_and_unload().to(dtype).eval()
        models.append(model)
    for search, settings in enumerate(searches):
        for place, ids in enumerate(prompts):
            single, double = (generated(model, ids, settings) for model in models)
            if single == double:
                yield dict(
                    id=f"{adapter or 'base'}-{search}-{place}", adapter=adapter, generation=settings,
                    input_ids=ids, output_ids=single[0], finish=single[1],
                )


def prompts_of(name, rng):
    return [[rng.randrange(4, SHAPES[name][2]["vocab_size"]) for _ in range(length)] for length in LENGTHS]


def main(out):
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for name in SHAPES:
        folder = Path(out) / name
        for seed in range(1, 200):
            rng = random.Random(seed)
            build(folder, name, seed)
            prompts = prompts_of(name, rng)
            greedy = list(cases(folder, name, None, [{}], prompts))
            ended = sum(len(case["output_ids"]) < MAX_NEW for case in greedy)
            differing = len({tuple(case["output_ids"]) for case in greedy})
            lengths = len({len(case["output_ids"]) for case in greedy})
            is_complete = len(greedy) == len(prompts) and ended >= MUST_END and len(greedy) - ended >= MUST_LAST
            if is_complete and differing >= MUST_DIFFER and lengths >= MUST_VARY:
                break
        else:
            raise SystemExit(f"{name}: no seed produces both cases that end and cases that don't")
        write_adapters(folder, name, seed)
        made = list(cases(folder, name, None, SEARCHES, prompts))
        for adapter in ADAPTERS:
            made += cases(folder, name, adapter, [{}], prompts)
        (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in made))
        settings = SHAPES[name][2]
        forced = [rng.randrange(4, settings["vocab_size"]) for _ in range(FORCED)]
        model = load(folder, name)
        rows = {case["id"]: logits(model, case["input_ids"], forced) for case in greedy[::3]}
        save_file(rows, folder / "logits.safetensors", metadata={"forced_ids": json.dumps(forced), "seed": str(seed)})
        for file in folder.rglob("*.safetensors"):
            file.chmod(0o644)
        print(f"{name}: seed {seed}, {len(made)} cases, greedy lengths {[len(case['output_ids']) for case in greedy]}")


if __name__ == "__main__":
    main(sys.argv[1])
