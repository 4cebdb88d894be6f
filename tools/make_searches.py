#!/usr/bin/env python3
"""Write the tokens that PyTorch generates from the checkpoints in agent/tests/parity with other settings than greedy.

usage: make_searches.py > agent/tests/parity/searches.jsonl     needs: torch transformers==5.24 safetensors

A line is {"model", "eos", "generation", "input_ids", "output_ids", "score"}: f32, one prompt at a time, at most 40
tokens unless the settings say otherwise. "generation" holds arguments of generate(); "eos" is the model's list of
ending tokens; "score" is that of the best beam, or null.
Only prompts where f32 and f64 agree on every token are kept.
"""
import json
import pathlib

import torch
from transformers import T5ForConditionalGeneration, logging

PARITY = pathlib.Path(__file__).parent.parent / "agent/tests/parity"
MOST, PROMPTS = 40, 4
SEARCHES = [
    (None, {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "no_repeat_ngram_size": 3, "min_length": 12}),
    (None, {"num_beams": 2, "length_penalty": 0.8, "early_stopping": False}),
    (None, {"num_beams": 4, "length_penalty": 1.5, "early_stopping": "never"}),
    (None, {"num_beams": 3, "length_penalty": 0.0, "early_stopping": "never", "repetition_penalty": 1.2}),
    (None, {"num_beams": 5, "length_penalty": -1.0}),
    (None, {"num_beams": 4, "forced_bos_token_id": 7, "forced_eos_token_id": 1, "min_length": 30, "max_length": 34}),
    ([1, 43, 209], {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "min_new_tokens": 3}),
    ([1, 43, 209], {"num_beams": 2, "no_repeat_ngram_size": 2, "suppress_tokens": [100, 200, 300]}),
    (None, {"no_repeat_ngram_size": 2, "min_new_tokens": 20}),
    (None, {"no_repeat_ngram_size": 1, "decoder_start_token_id": 5}),
    (None, {"repetition_penalty": 1.3}),
    (None, {"repetition_penalty": 0.9, "suppress_tokens": [100, 242], "forced_eos_token_id": 1, "max_new_tokens": 12}),
]


def generate(model, ids, eos, settings):
    prompt = torch.tensor([ids])
    limit = {} if "max_length" in settings or "max_new_tokens" in settings else {"max_new_tokens": MOST}
    # Without a cache: in transformers 5.24 it fails where the stacks differ in depth.
    found = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), use_cache=False, do_sample=False,
                           eos_token_id=eos, output_scores=True, return_dict_in_generate=True, **limit, **settings)
    ids = found.sequences[0, 1:].tolist()
    ends = [place for place, token in enumerate(ids) if token in eos]
    score = float(found.sequences_scores[0]) if "num_beams" in settings else None
    return ids[:ends[0] + 1] if ends else ids, score


def main():
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    for name in ("gated-untied", "relu-tied"):
        source = PARITY / name
        cases = [json.loads(line) for line in (source / "cases.jsonl").read_text().splitlines()]
        prompts = [case["input_ids"] for case in cases if case["adapter"] is None][::4][:PROMPTS]
        models = [T5ForConditionalGeneration.from_pretrained(source, dtype=dtype).eval()
                  for dtype in (torch.float32, torch.float64)]
        for eos, settings in SEARCHES:
            eos = eos or [1]
            for ids in prompts:
                with torch.no_grad():
                    (one, score), (other, _) = (generate(model, ids, eos, settings) for model in models)
                if one == other:
                    print(json.dumps({"model": name, "eos": eos, "generation": settings, "input_ids": ids,
                                      "output_ids": one, "score": score}))


if __name__ == "__main__":
    main()
