"""The time of a decoder step of T5 in PyTorch, for `cargo xtask gpu-check`.

Random weights of the given sizes in f16, a static cache and the same fusion as a careful user of
PyTorch writes: stacked projections, `scaled_dot_product_attention` with the bias as its mask. Each
batch size is measured launch by launch and as one CUDA graph. Prints one JSON object per batch size.
Needs PyTorch and no other package.
"""

import argparse
import json
import statistics
import time

import torch
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

parser = argparse.ArgumentParser()
for name, default in [
    ("d-model", 768), ("heads", 12), ("head-width", 64), ("d-ff", 2048), ("blocks", 12),
    ("vocabulary", 32128), ("prompt-tokens", 512), ("own-tokens", 32), ("steps", 32),
]:
    parser.add_argument("--" + name, type=int, default=default)
parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
parser.add_argument("--device", default="cuda:0")
options = parser.parse_args()

DEVICE = torch.device(options.device)
ON_GPU = DEVICE.type == "cuda"
DTYPE = torch.float16 if ON_GPU else torch.float32
WIDTH, HEADS, HEAD = options.d_model, options.heads, options.head_width
INNER = HEADS * HEAD
PLACES = options.own_tokens + 1


def weights(*shape):
    return torch.randn(*shape, device=DEVICE, dtype=DTYPE) * shape[-1] ** -0.5


def norm(x, gain):
    """T5's RMS norm: the mean in f32."""
    scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
    return (x.float() * scale).to(DTYPE) * gain


class Decoder:
    def __init__(self, rows):
        self.rows = rows
        self.tokens = torch.zeros(rows, 1, dtype=torch.long, device=DEVICE)
        self.position = torch.zeros(1, dtype=torch.long, device=DEVICE)
        self.embedding = weights(options.vocabulary, WIDTH)
        self.head = weights(options.vocabulary, WIDTH)
        self.bias = weights(1, HEADS, 1, PLACES)
        self.gain = torch.ones(WIDTH, device=DEVICE, dtype=DTYPE)
        cache = lambda places: torch.zeros(rows, HEADS, places, HEAD, device=DEVICE, dtype=DTYPE)
        self.blocks = [
            {
                "qkv": weights(3 * INNER, WIDTH), "out": weights(WIDTH, INNER),
                "query": weights(INNER, WIDTH), "cross": weights(WIDTH, INNER),
                "into": weights(2 * options.d_ff, WIDTH), "wo": weights(WIDTH, options.d_ff),
                "keys": cache(PLACES), "values": cache(PLACES),
                "prompt_keys": cache(options.prompt_tokens),
                "prompt_values": cache(options.prompt_tokens),
            }
            for _ in range(options.blocks)
        ]
        self.places = torch.arange(PLACES, device=DEVICE)

    def split(self, x):
        return x.view(self.rows, 1, HEADS, HEAD).transpose(1, 2)

    def step(self):
        x = self.embedding[self.tokens]
        hidden = (self.places > self.position).view(1, 1, 1, -1)
        mask = self.bias.masked_fill(hidden, float("-inf"))
        for block in self.blocks:
            q, k, v = linear(norm(x, self.gain), block["qkv"]).chunk(3, -1)
            block["keys"].index_copy_(2, self.position, self.split(k))
            block["values"].index_copy_(2, self.position, self.split(v))
            attended = scaled_dot_product_attention(
                self.split(q), block["keys"], block["values"], attn_mask=mask, scale=1.0
            )
            x = x + linear(attended.transpose(1, 2).reshape(self.rows, 1, INNER), block["out"])
            q = self.split(linear(norm(x, self.gain), block["query"]))
            attended = scaled_dot_product_attention(
                q, block["prompt_keys"], block["prompt_values"], scale=1.0
            )
            x = x + linear(attended.transpose(1, 2).reshape(self.rows, 1, INNER), block["cross"])
            gate, up = linear(norm(x, self.gain), block["into"]).chunk(2, -1)
            x = x + linear(gelu(gate, approximate="tanh") * up, block["wo"])
        logits = linear(norm(x, self.gain), self.head)
        self.tokens.copy_(logits.argmax(-1))
        self.position.add_(1).remainder_(PLACES)


def median_ms(call):
    """Of five times, each over all steps."""
    times = []
    for _ in range(6):
        if ON_GPU:
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(options.steps):
            call()
        if ON_GPU:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / options.steps * 1e3)
    return statistics.median(times[1:])


with torch.inference_mode():
    for rows in options.batch_sizes:
        decoder = Decoder(rows)
        eager = median_ms(decoder.step)
        replayed = None
        if ON_GPU:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                decoder.step()
            replayed = median_ms(graph.replay)
        print(json.dumps({
            "torch": torch.__version__, "batch_size": rows, "eager_ms": eager,
            "graph_ms": replayed,
        }), flush=True)
