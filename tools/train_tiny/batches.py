"""Dialogues as batches of token ids, grouped by length to reduce padding."""

import random

import torch

PROMPT = "Summarize: {dialogue}"
MAX_INPUT, MAX_OUTPUT = 512, 160


def encode(tokenizer, rows, style):
    """Pairs of prompt ids and summary ids; longer prompts are truncated and end with `</s>`."""
    prompts = tokenizer.encode_batch([PROMPT.format(dialogue=row["dialogue"]) for row in rows])
    summaries = tokenizer.encode_batch([row[style] for row in rows])
    return [
        (p.ids if len(p.ids) <= MAX_INPUT else p.ids[: MAX_INPUT - 1] + [1], s.ids[:MAX_OUTPUT])
        for p, s in zip(prompts, summaries)
    ]


def _padded(rows, fill):
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def batches(pairs, tokens, rng):
    """Endless batches of at most about `tokens` input tokens each, shuffled; seeded by `rng`."""
    while True:
        order = sorted(rng.sample(range(len(pairs)), len(pairs)), key=lambda i: len(pairs[i][0]) + 12 * rng.random())
        groups, group, width = [], [], 0
        for i in order:
            width = max(width, len(pairs[i][0]))
            if group and width * (len(group) + 1) > tokens:
                groups.append(group)
                group, width = [], len(pairs[i][0])
            group.append(i)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            inputs = _padded([pairs[i][0] for i in group], 0)
            yield inputs, (inputs != 0).long(), _padded([pairs[i][1] for i in group], -100)


def snippets(tokenizer, rows, rng):
    """Pairs of identical texts of one to three lines of chat: teaches the model to copy names."""
    texts = []
    for row in rows:
        lines = row["dialogue"].split("\n")
        start = rng.randrange(len(lines))
        texts.append(" ".join(lines[start : start + rng.randint(1, 3)]))
    return [(e.ids, e.ids) for e in tokenizer.encode_batch(texts) if len(e.ids) <= 48]


class Lessons:
    """Curriculum by progress (0 to 1): copying, then summaries of short dialogues, then of all.

    Summaries need copying, and copying is learned many times faster where every token asks for it.
    """

    def __init__(self, tokenizer, rows, style, tokens, seed, repeats=0.12, shorts=0.45):
        pairs = encode(tokenizer, rows, style)
        self.repeats, self.shorts = repeats, shorts
        self.repeat = batches(snippets(tokenizer, rows, random.Random(seed)), tokens // 2, random.Random(seed + 1))
        self.short = batches([pair for pair in pairs if len(pair[0]) <= 110], tokens, random.Random(seed + 2))
        self.all = batches(pairs, tokens, random.Random(seed + 3))

    def next(self, progress):
        """The next batch: inputs, their mask, labels."""
        if progress < self.repeats:
            return next(self.repeat)
        return next(self.short if progress < self.shorts else self.all)
