"""ROUGE-L (F1 of the longest common subsequence of words), without stemming; names keep their accents."""

import re


def _words(text):
    return re.findall(r"\w+", text.lower())


def rouge_l(reference, candidate):
    """Between 0 and 1."""
    a, b = _words(reference), _words(candidate)
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    common = row[-1]
    return 2 * common / (len(a) + len(b)) if common else 0.0
