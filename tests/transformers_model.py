"""Writes a model for `transformers serve`: the random weights of a checkpoint, with a tokenizer and a chat template of our own.

usage: transformers_model.py CHECKPOINT OUT_DIR        needs: transformers tokenizers

The tokenizer is a byte-level BPE, which transformers expects of Qwen2, trained on the ASCII characters of this repository's documentation: each of its
tokens is a text, and it has as many as the checkpoint. The chat template is ChatML, by which transformers finds where an answer begins.
"""

import json
import shutil
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

# In the order of the ids of the checkpoint: its padding, begin and both end tokens.
SPECIAL = ["<pad>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<unk>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

checkpoint, out = map(Path, sys.argv[1:])
out.mkdir(parents=True)
for name in ["config.json", "generation_config.json", "model.safetensors"]:
    shutil.copyfile(checkpoint / name, out / name)
# Random weights may end a text before it begins, which is a failed request.
generation = out / "generation_config.json"
generation.write_text(json.dumps(json.loads(generation.read_text()) | {"min_new_tokens": 2}))
size = json.loads((out / "config.json").read_text())["vocab_size"]
documentation = (Path(__file__).parent.parent / "docs").glob("*.md")
texts = ["".join(c for c in path.read_text() if " " <= c <= "~" or c == "\n") for path in sorted(documentation)]
tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False))
assert tokenizer.get_vocab_size() == size, f"{tokenizer.get_vocab_size()} tokens, the checkpoint has {size}"
whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<|im_end|>", unk_token="<unk>")
whole.chat_template = TEMPLATE
whole.save_pretrained(out)
