"""Write the small GGUF files of agent/gguf/tests and what other readers find in them.

usage: make_gguf.py        needs: gguf==0.19.0 numpy tokenizers llama-cpp-python

blocks.gguf, blocks.f32   tensors in every format that is read; their values by gguf.quants.dequantize
llama.gguf qwen2.gguf qwen3.gguf smollm.gguf   models as ggml's convert_hf_to_gguf.py writes them: the values follow from name and place,
                          q and k of llama's architecture are permuted; a tokenizer trained on a few words
tokens.json               token ids of texts by llama.cpp
"""
import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

FOLDER = pathlib.Path(__file__).parent.parent / "agent/gguf/tests"
random = np.random.default_rng(7)


def blocks():
    writer = gguf.GGUFWriter(FOLDER / "blocks.gguf", "llama")
    expected = []
    for kind in (T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K):
        values, size = gguf.GGML_QUANT_SIZES[kind]
        if kind in (T.Q4_K, T.Q5_K, T.Q6_K):
            data = random.integers(0, 256, (2, size), dtype=np.uint8)
            # Any bits are valid but those of infinite and undefined scales.
            scales = random.normal(0, 0.01, (2, 2)).astype(np.float16).view(np.uint8)
            if kind == T.Q6_K:
                data[:, -2:] = scales[:, :2]
            else:
                data[:, :4] = scales
        else:
            data = gguf.quants.quantize(random.normal(0, 1, (2, 256)).astype(np.float32), kind)
        data = np.ascontiguousarray(data)
        writer.add_tensor(kind.name, data if kind not in (T.F32, T.F16) else data, raw_dtype=kind)
        expected.append(gguf.quants.dequantize(data, kind).astype("<f4").tobytes())
    writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
    (FOLDER / "blocks.f32").write_bytes(b"".join(expected))


SPLITS = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    "qwen2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama-bpe": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
}
WORDS = "the The there meeting meet summary summarize Amy Bob said they're I'm WE'LL 12 123 1234 2026 time\n\n  spaces ... é naïve 日本 😀 <b> x+y=z\r\n\ttabs don't Don'T"
TEXTS = ["", " ", "\n\n\n", "Amy: The meeting is at 12345 o'clock!!!\nBob:  they're late...  \n\n x", "  leading and trailing  ", "naïve café 日本語 😀👍🏽", "WE'LL DON'T i'm",
         "a\tb\r\nc \n d", "<|im_start|>user\nHi<|im_end|>\n", "3.14 100,000 42nd 007", "<|im_start|> <|im_start|>x<|endoftext|>", "x" * 40, "foo_bar(baz) == 'qux'; // done", "\u00a0nbsp\u2003em\u3000"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
HIDDEN, HEADS, KV, LAYERS, FEED = 32, 4, 2, 2, 64


def tokenizer(pre):
    t = Tokenizer(models.BPE()); t.pre_tokenizer = SPLITS[pre](); t.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator([WORDS] * 3 + TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False))
    return json.loads(t.to_str())["model"]


def value(name, place):
    """What transformers' tensor NAME has at flat PLACE: exact in f16."""
    return (place * 31 + len(name) * 17) % 2000


def permute(data, heads):
    return data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def model(file, architecture, pre, **change):
    w = gguf.GGUFWriter(FOLDER / f"{file}.gguf", architecture)
    head_dim = change.get("head_dim", HIDDEN // HEADS)
    vocabulary = tokenizer(pre)
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    w.add_block_count(LAYERS); w.add_context_length(512); w.add_embedding_length(HIDDEN); w.add_feed_forward_length(FEED)
    w.add_head_count(HEADS); w.add_head_count_kv(KV); w.add_rope_freq_base(change.get("theta", 10000.0)); w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(tokens)); w.add_file_type(1)
    if "head_dim" in change:
        w.add_key_length(head_dim); w.add_value_length(head_dim)
    w.add_rope_dimension_count(head_dim)
    w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre(pre); w.add_token_list(tokens)
    w.add_token_types([3 if t in SPECIAL else 1 for t in tokens])
    w.add_token_merges([" ".join(m) for m in vocabulary["merges"]])
    w.add_bos_token_id(1); w.add_eos_token_id(2); w.add_pad_token_id(0); w.add_chat_template(TEMPLATE)
    if pre != "llama-bpe":
        w.add_add_bos_token(False)
    shapes = {"model.embed_tokens.weight": (len(tokens), HIDDEN), "model.norm.weight": (HIDDEN,)}
    if not change.get("tied"):
        shapes["lm_head.weight"] = (len(tokens), HIDDEN)
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        rows = {"q": HEADS * head_dim, "k": KV * head_dim, "v": KV * head_dim}
        shapes |= {f"{p}self_attn.{x}_proj.weight": (n, HIDDEN) for x, n in rows.items()} | {f"{p}self_attn.o_proj.weight": (HIDDEN, HEADS * head_dim)}
        if architecture == "qwen2":
            shapes |= {f"{p}self_attn.{x}_proj.bias": (n,) for x, n in rows.items()}
        if architecture == "qwen3":
            shapes |= {f"{p}self_attn.{x}_norm.weight": (head_dim,) for x in "qk"}
        shapes |= {f"{p}mlp.gate_proj.weight": (FEED, HIDDEN), f"{p}mlp.up_proj.weight": (FEED, HIDDEN), f"{p}mlp.down_proj.weight": (HIDDEN, FEED)}
        shapes |= {f"{p}input_layernorm.weight": (HIDDEN,), f"{p}post_attention_layernorm.weight": (HIDDEN,)}
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture.upper()), LAYERS)
    for name, shape in shapes.items():
        data = np.array([value(name, i) for i in range(int(np.prod(shape)))], dtype=np.float32).reshape(shape)
        if architecture == "llama" and "q_proj" in name:
            data = permute(data, HEADS)
        if architecture == "llama" and "k_proj" in name:
            data = permute(data, KV)
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        w.add_tensor(theirs, np.ascontiguousarray(data if len(shape) == 1 else data.astype(np.float16)))
    if change.get("llama3"):
        factor, low, high, old = 32.0, 1.0, 4.0, 8192
        base = change["theta"] ** (np.arange(0, head_dim, 2) / head_dim)
        factors = []
        for wave in 2 * np.pi * base:
            smooth = (old / wave - low) / (high - low)
            factors.append(1 if wave < old / high else factor if wave > old / low else 1 / ((1 - smooth) / factor + smooth))
        w.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def seed():
    """A model of one layer without a purpose, for the fuzzer to change."""
    w = gguf.GGUFWriter(FOLDER.parent.parent.parent / "fuzz/corpus/gguf/small", "llama")
    w.add_block_count(1); w.add_context_length(8); w.add_embedding_length(32); w.add_feed_forward_length(32)
    w.add_head_count(2); w.add_head_count_kv(1); w.add_layer_norm_rms_eps(1e-5); w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("smollm")
    w.add_token_list(["<|im_end|>", "a", "b", "ab"]); w.add_token_types([3, 1, 1, 1]); w.add_token_merges(["a b"])
    w.add_bos_token_id(0); w.add_eos_token_id(0); w.add_chat_template("{{ messages }}")
    w.add_tensor("token_embd.weight", np.zeros((4, 34), dtype=np.uint8), raw_dtype=T.Q8_0)
    w.add_tensor("blk.0.attn_q.weight", np.zeros((32, 20), dtype=np.uint8), raw_dtype=T.Q4_1)
    w.add_tensor("rope_freqs.weight", np.ones(8, dtype=np.float32))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def ids(file):
    from llama_cpp import Llama
    vocabulary = Llama(str(FOLDER / f"{file}.gguf"), vocab_only=True, verbose=False)
    return [vocabulary.tokenize(text.encode(), add_bos=True, special=True) for text in TEXTS]


blocks()
seed()
model("llama", "llama", "llama-bpe", theta=500000.0, llama3=True, head_dim=32)
model("smollm", "llama", "smollm", tied=True)
model("qwen2", "qwen2", "qwen2", tied=True)
model("qwen3", "qwen3", "gpt-2", head_dim=12)
tokens = {file: ids(file) for file in ("llama", "smollm", "qwen2", "qwen3")}
(FOLDER / "tokens.json").write_text(json.dumps({"texts": TEXTS, "ids": tokens}, ensure_ascii=False) + "\n")
