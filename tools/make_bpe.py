"""Write a small byte-level BPE as BART has it, and the token ids that transformers gives for some texts.

usage: make_bpe.py OUT_DIR        needs: transformers tokenizers
OUT_DIR/ contains vocab.json and merges.txt, the tokenizer.json that transformers makes of them, and
  cases.jsonl         {"text", "ids", "cut_ids", "decoded"}: with special tokens; truncated to LIMIT tokens; decoded without special tokens
"""

import json
import sys
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer
from transformers import BartTokenizer

TRAINING = [
    "Ann: Hi Bob, are you coming to the party on Saturday at 8?",
    "Bob: I don't know yet. I've got to work late, and I'll be tired.",
    "Ann: That's too bad! We're going to have cake, and Carl's bringing his guitar.",
    "Bob: OK, I'll come for an hour then. Shall I bring something to drink?",
    "Ann: Yes please, that would be great. See you on Saturday!",
]
TEXTS = [
    "",
    " ",
    "Ann",
    " Ann",
    "Ann: Hi Bob, are you coming?",
    "I'll say they've, she'd, we're, don't, it's and I'm.",
    "line one\nline two\r\n\ttabbed  two spaces   three ",
    "naïve café, Größe, 東京, пример 😀👍🏽",
    "1234567890 3.14 $5,000.00",
    "<s>quoted</s> <mask> <pad><unk> <file_photo>",
    "a<mask> b   <mask>",
    "UPPER lower MiXed\u00a0nbsp \u200bzero\u2028separator",
    "Ann: Yes please, that would be great. See you on Saturday! " * 3,
]
LIMIT = 12


def main(out):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(TRAINING, vocab_size=360, min_frequency=2, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
    trainer.save_model(str(out))
    tokenizer = BartTokenizer(vocab=str(out / "vocab.json"), merges=str(out / "merges.txt"))
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    with open(out / "cases.jsonl", "w") as file:
        for text in TEXTS:
            ids = tokenizer(text)["input_ids"]
            cut = tokenizer(text, truncation=True, max_length=LIMIT)["input_ids"]
            decoded = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            file.write(json.dumps(dict(text=text, ids=ids, cut_ids=cut, decoded=decoded)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
