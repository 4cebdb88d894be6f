"""Write dialogues with summaries as JSON lines: {"id", "dialogue", "summary"}.

usage: generate.py --split train|builtin --style plain|minutes|both --seed N --count N > FILE

The two splits never share a dialogue, whatever the seeds: a dialogue's fingerprint decides which of the
two it belongs to. `both` writes the plain style as "summary" and the other one as "minutes".
"""

import argparse
import hashlib
import json
import random
import re
import sys

from chat import dialogue


def fingerprint(text):
    """The first 8 bytes of SHA-256 over the text's ASCII letters and digits, in lower case."""
    plain = re.sub(r"[^a-z0-9]", "", re.sub(r"[A-Z]", lambda m: m.group().lower(), text))
    return hashlib.sha256(plain.encode("ascii")).digest()[:8]


def split_of(print_):
    """One in sixteen is excluded from training."""
    return "builtin" if print_[0] % 16 == 0 else "train"


def generate(split, seed, count):
    """`count` different dialogues of `split`."""
    rng = random.Random(f"{split} {seed}")
    seen = set()
    while len(seen) < count:
        made = dialogue(rng)
        print_ = fingerprint(made["dialogue"])
        if print_ in seen or split_of(print_) != split:
            continue
        seen.add(print_)
        made["id"] = f"{split}-{len(seen):0{len(str(count))}d}"
        yield made


def main():
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--split", choices=["train", "builtin"], required=True)
    arguments.add_argument("--style", choices=["plain", "minutes", "both"], required=True)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--count", type=int, required=True)
    asked = arguments.parse_args()
    for made in generate(asked.split, asked.seed, asked.count):
        row = {"id": made["id"], "dialogue": made["dialogue"], "summary": made["minutes" if asked.style == "minutes" else "plain"]}
        if asked.style == "both":
            row["minutes"] = made["minutes"]
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
