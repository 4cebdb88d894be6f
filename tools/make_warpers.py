#!/usr/bin/env python3
"""Write what the warpers of transformers make of scores, for the tests of agent/generation/src/generate/sampling.rs.

usage: make_warpers.py > agent/generation/src/generate/warpers.json     needs: torch transformers==5.24

A case is {"temperature", "top_k", "top_p", "scores", "warped"} in f32; null in "warped" is -infinity. The warpers are
those that transformers itself puts together for these settings, in its order.
"""
import json
import math

import torch
from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration, logging

SETTINGS = [(1.0, 0, 1.0), (0.7, 0, 1.0), (2.5, 0, 1.0), (1.0, 1, 1.0), (1.0, 5, 1.0), (1.0, 100, 1.0), (1.0, 0, 0.9),
            (1.0, 0, 0.5), (1.0, 0, 0.01), (0.6, 8, 0.9), (1.8, 20, 0.95), (0.3, 3, 0.3), (1.0, 50, 1.0)]


def scores():
    torch.manual_seed(7)
    for size in (1, 2, 7, 30, 64):
        yield torch.randn(size) * 4
    # Ties at the edges, and tokens that are forbidden already.
    yield torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0, 0.0, -1.0])
    yield torch.tensor([0.5] * 9)
    forbidden = torch.randn(20) * 3
    forbidden[::3] = -math.inf
    yield forbidden


def main():
    logging.set_verbosity_error()
    config = T5Config(vocab_size=8, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = T5ForConditionalGeneration(config)
    cases = []
    for temperature, top_k, top_p in SETTINGS:
        settings = GenerationConfig(do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p, num_beams=1)
        warpers = model._get_logits_processor(settings)
        for one in scores():
            warped = warpers(torch.zeros(1, 1, dtype=torch.long), one[None].clone())[0]
            cases.append({
                "temperature": temperature, "top_k": top_k, "top_p": top_p,
                "scores": [score if math.isfinite(score) else None for score in one.tolist()],
                "warped": [score if math.isfinite(score) else None for score in warped.tolist()],
            })
    print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")


main()
