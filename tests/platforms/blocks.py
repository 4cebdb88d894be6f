"""Prints the shell blocks of a page as one script.

usage: blocks.py PAGE [--build] [--short]     --build: include cargo commands; --short: skip blocks that take minutes

The line before a block can be <!-- not run: REASON --> or <!-- minutes: NUMBER -->.
"""

import re
import sys

page = open(sys.argv[1]).read()
found = 0
for block in re.finditer(r"(?P<before>[^\n]*)\n```sh\n(?P<text>.*?)^```$", page, re.M | re.S):
    if block["before"].startswith("<!-- not run"):
        continue
    if block["before"].startswith("<!-- minutes") and "--short" in sys.argv:
        print(f"echo '== left out: {block['text'].splitlines()[0]}'")
        continue
    lines = block["text"].splitlines()
    if "--build" not in sys.argv:
        lines = [re.sub(r"^cargo [^&|;]*(&& |$)", "", line) for line in lines]
    if not any(line.strip() for line in lines):
        continue
    found += 1
    print(f"echo '== block {found}'")
    print("\n".join(lines))
if not found:
    sys.exit(f"{sys.argv[1]} has no block to run")
