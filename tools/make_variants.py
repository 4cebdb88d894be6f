#!/usr/bin/env python3
"""Write the tokens that PyTorch generates from changed copies of the checkpoints in agent/tests/parity.

usage: make_variants.py > agent/tests/parity/variants.jsonl     needs: torch transformers==5.24 peft safetensors

Each copy contradicts itself in a way that published checkpoints do. The test `inference::variants` makes the same
copies. A line is {"variant", "model", "input_ids", "output_ids"}: greedy in f32, one prompt at a time, at most 24
tokens. Prompts whose best two logits come closer than 1e-3 are left out.
"""
import json
import pathlib
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import T5ForConditionalGeneration, logging

PARITY = pathlib.Path(__file__).parent.parent / "agent/tests/parity"
MOST, GAP, PROMPTS = 24, 1e-3, 12
SHARED, HEAD = "shared.weight", "lm_head.weight"
ENCODER, DECODER = "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"


def own(*names):
    """Own embeddings of the stacks: the rows of the shared one in reverse."""
    return lambda tensors: tensors | {name: tensors[SHARED].flip(0).contiguous() for name in names}


def renamed(old, new):
    return lambda tensors: {new if name == old else name: tensor for name, tensor in tensors.items()}


def factor(rows, columns):
    """Exact in f32, so that the test can make the same."""
    values = [[(7 * row + 3 * column) % 11 - 5 for column in range(columns)] for row in range(rows)]
    return torch.tensor(values, dtype=torch.float32) / 16


# Variant, model, changes of config.json, generation_config.json, changes of the tensors, adapter.
VARIANTS = [
    ("own encoder embedding", "gated-untied", {}, None, own(ENCODER), None),
    ("own decoder embedding", "gated-untied", {}, None, own(DECODER), None),
    ("own embeddings, tied head", "relu-tied", {}, None, own(ENCODER, DECODER), None),
    ("own encoder embedding, only the head", "relu-tied", {}, None,
     lambda tensors: renamed(SHARED, HEAD)(own(ENCODER)(tensors)), None),
    ("only the head", "relu-tied", {}, None, renamed(SHARED, HEAD), None),
    ("only the decoder embedding", "relu-tied", {}, None, renamed(SHARED, DECODER), None),
    ("gelu, gated", "gated-untied",
     {"feed_forward_proj": "gelu", "is_gated_act": True, "dense_act_fn": "gelu"}, None, None, None),
    ("gated-gelu of relu", "gated-untied", {"dense_act_fn": "relu"}, None, None, None),
    ("start and ends", "gated-untied", {},
     {"decoder_start_token_id": 7, "eos_token_id": [1, 355, 209]}, None, None),
    ("no end", "gated-untied", {}, {"bos_token_id": 0}, None, None),
    ("adapter of a tied head", "relu-tied", {}, None, None, "head"),
]


def head_adapter(folder, tensors):
    vocabulary, width = tensors[SHARED].shape
    config = {"peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM", "r": 2, "lora_alpha": 4,
              "target_modules": ["lm_head"], "base_model_name_or_path": "parity/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.lm_head.lora_"
    save_file({f"{name}A.weight": factor(2, width), f"{name}B.weight": factor(vocabulary, 2)},
              folder / "adapter_model.safetensors")


def generate(model, ids):
    """The tokens, and the smallest distance of the best two logits."""
    prompt = torch.tensor([ids])
    # Without a cache: in transformers 5.24 it fails where the stacks differ in depth.
    found = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), use_cache=False,
                           max_new_tokens=MOST, output_logits=True, return_dict_in_generate=True)
    best = [logits[0].topk(2).values for logits in found.logits]
    return found.sequences[0, 1:].tolist(), min(float(two[0] - two[1]) for two in best)


def main():
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    for variant, name, config, generation, change, adapter in VARIANTS:
        source = PARITY / name
        cases = [json.loads(line) for line in (source / "cases.jsonl").read_text().splitlines()]
        prompts = [case["input_ids"] for case in cases if case["adapter"] is None][:PROMPTS]
        with tempfile.TemporaryDirectory() as place, torch.no_grad():
            place = pathlib.Path(place)
            found = json.loads((source / "config.json").read_text()) | config
            (place / "config.json").write_text(json.dumps(found))
            tensors = load_file(source / "model.safetensors")
            if change:
                tensors = change(tensors)
            save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
            if generation:
                (place / "generation_config.json").write_text(json.dumps(generation))
            model = T5ForConditionalGeneration.from_pretrained(place)
            if adapter:
                (place / adapter).mkdir()
                head_adapter(place / adapter, tensors)
                model = PeftModel.from_pretrained(model, place / adapter)
            model.eval()
            for ids in prompts:
                output, gap = generate(model, ids)
                if gap > GAP:
                    print(json.dumps({"variant": variant, "model": name, "input_ids": ids, "output_ids": output}))


if __name__ == "__main__":
    main()
