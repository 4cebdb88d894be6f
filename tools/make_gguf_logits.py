"""Write the small GGUF files of agent/tests/gguf and the logits that llama.cpp computes from them.

usage: make_gguf_logits.py [F ...]
       make_gguf_logits.py of MODEL.gguf ...     the same logits of any files, to MODEL.json beside each, for FLEETMARK_TEST_GGUF
needs: gguf==0.19.0 numpy llama-cpp-python==0.3.36, compiled for this CPU (the last bits depend on it)

F.gguf      random weights, quantized by libllama itself (llama_model_quantize), for F in q8_0, q4_0, q4_1, q4_k_m (Llama's architecture), qwen2, qwen3 (Q8_0)
logits.json for each file token ids, and llama.cpp's logits after each of the last PLACES of them, fed one by one; and the same of the file's values as F32, with caches in F32
The blocks of the K formats have 256 values, so that the model of q4_k_m is wider. libllama decides itself which tensors have more bits; its embeddings are
Q6_K where the width allows.
"""
import ctypes
import json
import pathlib
import sys
import tempfile

import gguf
import llama_cpp as L
import numpy as np

FOLDER = pathlib.Path(__file__).parent.parent / "agent/tests/gguf"
TOKENS, PLACES, VOCABULARY = 24, 12, 96
F32, F16 = 0, 1
# Numbers of llama_ftype.
FILES = {"q8_0": 7, "q4_0": 2, "q4_1": 3, "q4_k_m": 15, "qwen2": 7, "qwen3": 7}


def model(out, architecture, width, heads, keys, feed, layers):
    random = np.random.default_rng(11)
    # Qwen3's heads needn't divide the width.
    head_dim = 32 if architecture == "qwen3" else width // heads
    w = gguf.GGUFWriter(out, architecture)
    w.add_block_count(layers); w.add_context_length(64); w.add_embedding_length(width); w.add_feed_forward_length(feed)
    w.add_head_count(heads); w.add_head_count_kv(keys); w.add_layer_norm_rms_eps(1e-5); w.add_rope_dimension_count(head_dim)
    w.add_rope_freq_base(10000.0); w.add_vocab_size(VOCABULARY); w.add_file_type(0); w.add_tokenizer_model("none")
    if architecture == "qwen3":
        w.add_key_length(head_dim); w.add_value_length(head_dim)
    add = lambda name, rows, columns, scale: w.add_tensor(name, (random.normal(0, scale * columns**-0.5, (rows, columns))).astype(np.float32))
    gain = lambda name, size=width: w.add_tensor(name, random.normal(1, 0.1, size).astype(np.float32))
    add("token_embd.weight", VOCABULARY, width, 4)
    gain("output_norm.weight")
    for i in range(layers):
        p = f"blk.{i}."
        gain(p + "attn_norm.weight"); gain(p + "ffn_norm.weight")
        add(p + "attn_q.weight", heads * head_dim, width, 2); add(p + "attn_k.weight", keys * head_dim, width, 2)
        add(p + "attn_v.weight", keys * head_dim, width, 1); add(p + "attn_output.weight", width, heads * head_dim, 1)
        add(p + "ffn_gate.weight", feed, width, 1); add(p + "ffn_up.weight", feed, width, 1); add(p + "ffn_down.weight", width, feed, 1)
        for name, count in (("q", heads), ("k", keys), ("v", keys)):
            if architecture == "qwen2":
                w.add_tensor(f"{p}attn_{name}.bias", random.normal(0, 0.5, count * head_dim).astype(np.float32))
            elif architecture == "qwen3" and name != "v":
                gain(f"{p}attn_{name}_norm.weight", head_dim)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def dequantized(file, out, architecture):
    """The same model with the same values as F32."""
    reader, w = gguf.GGUFReader(file), gguf.GGUFWriter(out, architecture)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "general.file_type", "general.quantization_version"):
            w.add_key_value(key, field.contents(), field.types[0])
    w.add_file_type(0)
    for tensor in reader.tensors:
        w.add_tensor(tensor.name, np.ascontiguousarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def logits(file, ids, caches, vocabulary=VOCABULARY):
    params = L.llama_model_default_params()
    loaded = L.llama_model_load_from_file(str(file).encode(), params)
    params = L.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_threads, params.n_threads_batch, params.type_k, params.type_v, params.flash_attn_type = 64, 64, 1, 1, caches, caches, 0
    context = L.llama_init_from_model(loaded, params)
    found = []
    for place, token in enumerate(ids):
        batch = L.llama_batch_get_one((ctypes.c_int32 * 1)(token), 1)
        assert L.llama_decode(context, batch) == 0
        if place >= TOKENS - PLACES:
            values = np.ctypeslib.as_array(L.llama_get_logits_ith(context, -1), (vocabulary,)).copy()
            found.append([round(float(value), 4) for value in values])
    L.llama_free(context); L.llama_model_free(loaded)
    return found


if sys.argv[1:2] == ["of"]:
    for file in map(pathlib.Path, sys.argv[2:]):
        [embedding] = [t for t in gguf.GGUFReader(file).tensors if t.name == "token_embd.weight"]
        vocabulary = int(embedding.shape[1])
        ids = np.random.default_rng(5).integers(0, vocabulary, TOKENS).tolist()
        file.with_suffix(".json").write_text(json.dumps({"ids": ids, "logits": logits(file, ids, F16, vocabulary)}))
    sys.exit()
FOLDER.mkdir(exist_ok=True)
path = FOLDER / "logits.json"
cases = json.loads(path.read_text()) if path.exists() else {}
for name in sys.argv[1:] or FILES:
    kind, architecture = FILES[name], name if name.startswith("qwen") else "llama"
    temporary = tempfile.TemporaryDirectory()
    f32, file, back = f"{temporary.name}/f32.gguf", FOLDER / f"{name}.gguf", f"{temporary.name}/back.gguf"
    shape = (256, 4, 1, 256, 1) if name == "q4_k_m" else (64, 4, 2, 96, 2)
    model(f32, architecture, *shape)
    params = L.llama_model_quantize_default_params(); params.ftype = kind; params.nthread = 1
    assert L.llama_model_quantize(f32.encode(), str(file).encode(), params) == 0
    dequantized(file, back, architecture)
    ids = np.random.default_rng(5).integers(0, VOCABULARY, TOKENS).tolist()
    cases[name] = {"ids": ids, "logits": logits(file, ids, F16), "of_values": logits(back, ids, F32)}
    print(name, {t.name: t.tensor_type.name for t in gguf.GGUFReader(file).tensors if len(t.shape) == 2})
    a, b = np.array(cases[name]["logits"]), np.array(cases[name]["of_values"])
    print("  llama.cpp against itself with F32 values, in standard deviations: largest", np.abs(a - b).max() / b.std(), "mean", np.abs(a - b).mean() / b.std())
path.write_text(json.dumps(cases) + "\n")
