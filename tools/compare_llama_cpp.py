"""Compare the greedy summaries of `agent generate` with those of llama.cpp on the same GGUF file.

usage: compare_llama_cpp.py dequantize MODEL.gguf F32.gguf                         the same values as F32, which llama.cpp computes without rounding activations
       compare_llama_cpp.py make MODEL.gguf DIALOGUES.jsonl N REFERENCE.jsonl     what llama.cpp generates, and how far its best two logits are apart
       compare_llama_cpp.py compare REFERENCE.jsonl OURS.jsonl                     OURS: output of `agent generate` for the same dialogues
needs: llama-cpp-python, compiled for this CPU, transformers (for the chat template), gguf

The reference evaluates one prompt at a time with caches in f32. llama.cpp quantizes activations to 8 bits before products with quantized weights, so logits differ a
little from those of a computation in f32; where its best two logits are close, the other token is as right.
"""
import json
import sys

MAX_NEW_TOKENS = 64
PROMPT = "Summarize: {dialogue}"


def dequantize(model, out):
    import gguf
    import numpy as np

    reader, writer = gguf.GGUFReader(model), gguf.GGUFWriter(out, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type", "general.quantization_version"):
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    writer.add_file_type(0)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.ascontiguousarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(model, dialogues, count, out):
    import llama_cpp
    import numpy as np
    from transformers.utils.chat_template_utils import render_jinja_template

    llama = llama_cpp.Llama(model, n_ctx=2048, n_batch=2048, n_threads=1, n_threads_batch=1, type_k=0, type_v=0, flash_attn=False, logits_all=False, verbose=False)
    template = llama.metadata["tokenizer.chat_template"]
    vocabulary = llama._model.vocab
    size = llama.n_vocab()
    with open(out, "w") as file:
        for line in [json.loads(line) for line in open(dialogues)][: int(count)]:
            chat = [{"role": "user", "content": PROMPT.replace("{dialogue}", line["dialogue"], 1)}]
            text = render_jinja_template([chat], chat_template=template, add_generation_prompt=True)[0][0]
            prompt = llama.tokenize(text.encode(), add_bos=False, special=True)
            llama.reset()
            llama.eval(prompt)
            output, gaps = [], []
            while len(output) < MAX_NEW_TOKENS:
                logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llama._ctx.ctx, -1), (size,))
                best = np.argpartition(logits, -2)[-2:]
                best = best[np.argsort(-logits[best], kind="stable")]
                gaps.append(float(logits[best[0]] - logits[best[1]]))
                output.append(int(best[0]))
                if llama_cpp.llama_vocab_is_eog(vocabulary, output[-1]):
                    break
                llama.eval([output[-1]])
            file.write(json.dumps({"id": line["id"], "prompt_ids": prompt, "output_ids": output, "gaps": gaps}) + "\n")
            file.flush()


def compare(reference, ours):
    reference = {line["id"]: line for line in map(json.loads, open(reference))}
    equal, prompts, gaps, tokens = 0, 0, [], 0
    for line in map(json.loads, open(ours)):
        theirs = reference.pop(line["id"])
        prompts += line["input_tokens"] == len(theirs["prompt_ids"])
        pairs = list(zip(line["output_ids"], theirs["output_ids"]))
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if first is None and line["output_ids"] == theirs["output_ids"]:
            equal += 1
            tokens += len(pairs)
            continue
        first = len(pairs) if first is None else first
        tokens += first
        gaps.append(theirs["gaps"][first])
        print(f"{line['id']}: differs at token {first}, where llama.cpp's best two logits are {gaps[-1]:.4f} apart")
    total = equal + len(gaps)
    print(f"{prompts} of {total} prompts have as many tokens; {equal} of {total} summaries are equal ({100 * equal / total:.0f} %), {tokens} tokens before a difference")
    if gaps:
        print(f"at the first difference of the others the best two logits are at most {max(gaps):.4f} apart")


if __name__ == "__main__":
    {"dequantize": dequantize, "make": make, "compare": compare}[sys.argv[1]](*sys.argv[2:])
