"""Write tiny random BART and PEGASUS checkpoints, PEFT adapters, and what PyTorch transformers makes of them.

usage: make_families.py OUT_DIR        needs: torch transformers peft safetensors
Reference: BartForConditionalGeneration and PegasusForConditionalGeneration of transformers with peft, one sequence at a time, without
padding. The weights are stored as f16 and read back for the reference, so that every engine starts from the same numbers.

OUT_DIR/<name>/ contains config.json, generation_config.json, model.safetensors, adapters/, and
  cases.jsonl         {"id", "adapter", "generation", "input_ids", "output_ids", "finish"}
  logits.safetensors  per id of a greedy case without an adapter, [len(FORCED), vocab_size] of f32: row i follows the start token and FORCED[..i]
output_ids: what generate() returned in f32 without the start token, up to and including eos, for at most MAX_NEW tokens. generation: the
arguments of generate() beside max_new_tokens; {} is greedy. A case is written only if f32 and f64 agree on every token.
"""

import json
import random
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers.utils import logging
from transformers import BartConfig, BartForConditionalGeneration, PegasusConfig, PegasusForConditionalGeneration

BART = dict(bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_bos_token_id=0, forced_eos_token_id=2)
PEGASUS = dict(bos_token_id=0, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=1)
SHAPES = {
    "bart": (
        BartConfig,
        BartForConditionalGeneration,
        dict(
            vocab_size=160, d_model=40, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=2,
            encoder_ffn_dim=48, decoder_ffn_dim=64, max_position_embeddings=96, **BART,
        ),
    ),
    "pegasus": (
        PegasusConfig,
        PegasusForConditionalGeneration,
        dict(
            vocab_size=144, d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=64, decoder_ffn_dim=48, max_position_embeddings=96, activation_function="relu", scale_embedding=True, **PEGASUS,
        ),
    ),
}
ADAPTERS = {
    "qv-r8": dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    "all-linear": dict(r=4, lora_alpha=8, use_rslora=True, target_modules="all-linear"),
}
SEARCHES = [
    {},
    dict(num_beams=4, length_penalty=2.0, early_stopping=True, no_repeat_ngram_size=3, min_length=12),
    dict(num_beams=2, length_penalty=0.8, early_stopping=False),
    dict(no_repeat_ngram_size=2, min_new_tokens=20),
    dict(repetition_penalty=1.3),
]
LENGTHS = [1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 64, 65, 90, 96]
MAX_NEW = 24
FORCED = 14
# Minimum number of greedy cases that end before the limit, of others, of distinct outputs and of distinct lengths.
MUST_END, MUST_LAST, MUST_DIFFER, MUST_VARY = 3, 3, 8, 4


def weights(model, name, seed):
    """Random weights with bounded activations, and eos likely enough that some summaries end."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, deviation):
        return torch.randn(shape, generator=generator) * deviation

    eos = model.config.eos_token_id
    tensors = {}
    for key, old in model.state_dict().items():
        if key.endswith("embed_tokens.weight") or key == "lm_head.weight":
            continue
        if name == "pegasus" and "embed_positions" in key:
            continue
        if "norm" in key and key.endswith("weight"):
            new = 1 + normal(old.shape, 0.2)
        elif key == "final_logits_bias":
            new = normal(old.shape, 0.3)
            new[0, eos] += 3.0 if name == "bart" else 0.5
        elif key.endswith("bias"):
            new = normal(old.shape, 0.1)
        elif key == "model.shared.weight":
            new = normal(old.shape, 0.35 if name == "bart" else 0.25)
            if name == "pegasus":
                new[eos] *= 1.7
        elif "embed_positions" in key:
            new = normal(old.shape, 0.9)
        else:
            factor = 2.2 if "q_proj" in key else (0.7 if name == "bart" else 1.5) if "encoder_attn.out_proj" in key else 2.0
            new = normal(old.shape, factor * old.shape[1] ** -0.5)
        tensors[key] = new.half().contiguous()
    return tensors


def load(folder, name, dtype=torch.float32):
    return SHAPES[name][1].from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def build(folder, name, seed):
    config_type, model_type, shape = SHAPES[name]
    config = config_type(**shape)
    model = model_type(config)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(model, name, seed), folder / "model.safetensors", metadata={"format": "pt"})
    facts = config.to_dict() | {"architectures": [model_type.__name__]}
    for key in ("transformers_version", "dtype", "_name_or_path"):
        facts.pop(key, None)
    (folder / "config.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    generation = {key: shape[key] for key in sorted(shape) if key.endswith("_token_id")}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")
    loaded = load(folder, name)
    for stack in (loaded.model.encoder, loaded.model.decoder):
        assert torch.equal(stack.embed_tokens.weight, loaded.model.shared.weight)
        if name == "pegasus":
            positions = stack.embed_positions
            assert torch.equal(positions.weight, positions.create_weight()), "the sinusoids must be computed on loading"


def write_adapters(folder, name, seed):
    for place, (kind, settings) in enumerate(ADAPTERS.items()):
        torch.manual_seed(seed + 10 + place)
        adapted = get_peft_model(load(folder, name), LoraConfig(task_type="SEQ_2_SEQ_LM", **settings))
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
    out = model.generate(input_ids=inputs, attention_mask=mask, do_sample=False, max_new_tokens=MAX_NEW, **settings)[0].tolist()[1:]
    eos = model.generation_config.eos_token_id
    return (out[: out.index(eos) + 1], "eos") if eos in out else (out, "length")


@torch.no_grad()
def logits(model, ids, forced):
    inputs = torch.tensor([ids])
    mask = torch.ones_like(inputs)
    decoder_ids = torch.tensor([forced])
    return model(input_ids=inputs, attention_mask=mask, decoder_input_ids=decoder_ids, use_cache=False).logits[0].contiguous()


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
    settings = SHAPES[name][2]
    eos = settings["eos_token_id"]
    word = lambda: rng.randrange(4, settings["vocab_size"])
    if name == "bart":
        return [[0] + [word() for _ in range(max(length - 2, 0))] + [eos] for length in LENGTHS]
    return [[word() for _ in range(length - 1)] + [eos] for length in LENGTHS]


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
        forced = [settings["decoder_start_token_id"]] + [rng.randrange(4, settings["vocab_size"]) for _ in range(FORCED - 1)]
        model = load(folder, name)
        rows = {case["id"]: logits(model, case["input_ids"], forced) for case in greedy[::3]}
        save_file(rows, folder / "logits.safetensors", metadata={"decoder_ids": json.dumps(forced), "seed": str(seed)})
        for file in folder.rglob("*.safetensors"):
            file.chmod(0o644)
        print(f"{name}: seed {seed}, {len(made)} cases, greedy lengths {[len(case['output_ids']) for case in greedy]}")


if __name__ == "__main__":
    main(sys.argv[1])
