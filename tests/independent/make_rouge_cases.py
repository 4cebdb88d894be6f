#!/usr/bin/env python3
"""Generates the committed test cases for ROUGE and the stemmer.

    python -m venv .venv && .venv/bin/pip install -r tests/independent/requirements.txt
    .venv/bin/python tests/independent/make_rouge_cases.py controller/stats/tests/integration/data

Scores and stems come from PyPI's rouge_score and its NLTK; the texts are generated here.
"""

import json
import random
import sys

from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

STEMS = """accept adjust agree allow analog angular arch argu bab bak bless boil broadcast cater caus class clean commun
complain condit conform connect controll cr cri decis defens depend di differ digit dri effect electr enjoy fail fall
fil fizz fl form formal geolog hap happ hes hesit hiss hop hopp infer inn irrit l lean libr lik mat meet moder motor
need nationa operat pl plast play ponder pred preced probat r rat relat rol runn s sens sing siz sk sp spi stud t tann
ti tr tri trip troubl us val vil viv walk wisp y yell yy z""".split()
SUFFIXES = """ s es ies ied y ed eed ing ings er ers est ly ally alli ful fully fulness ness iness less ment ement ments
ation ational ations ator ators tion tional ion ions ic ical ically icate icity iciti al alize alism ality aliti ive
iveness ivity iviti ative able ably ability bility biliti ible ibly ance ancy anci ence ency enci ant ent ently entli ous
ously ousli ousness ou ism ist ize izer ized izing ization ogy logy logi ll lled e ee ey ye yed ying""".split()
IRREGULAR = """sky skies dying lying tying news inning innings outing outings canning cannings howe proceed exceed
succeed dies died lies tied ties flies spied spy try tries enjoying archaeology theology 2nd 100th abc123 r2d2 aaaa
yyyy eeee being seeing feed agreed bled sized""".split()
SENTENCES = [
    "Anna will bring the cake to the party on Friday.",
    "Tom is running late because his train was cancelled.",
    "Maria and Joe are meeting at 7:30 in front of the library.",
    "The meetings were cancelled; nobody agreed on a new date.",
    "Ola's dog ate Ben's homework, so he couldn't hand it in.",
    "They're flying to Zürich next week and are staying for 3 days.",
    "Kim forgot her keys again and asks whether Sam is at home.",
    "Sam says that he's home, and that he can let her in.",
    "Nobody knows the troubled histories of the broadcasting stations.",
    "Eva bought two tickets @ 25 EUR each -- for the 2nd show!",
    "İzmir and the Kelvin sign K are lower-cased like anything else.",
    "The quick brown fox jumps over the lazy dog.",
    "The quick brown dog jumped onto the log.",
    "Could you possibly send me the files? I will send them tonight.",
]


def main(folder):
    rng = random.Random(20260101)
    words = {stem + suffix for stem in STEMS for suffix in SUFFIXES}
    words = sorted(rng.sample(sorted(words), 1800)) + IRREGULAR
    stemmer = PorterStemmer()
    with open(f"{folder}/stems.tsv", "w") as out:
        for word in sorted(word for word in set(words) if len(word) > 3):
            out.write(f"{word}\t{stemmer.stem(word)}\n")

    texts = ["", "...", "word", "Word word WORD", "a b c d e f", "a c e b d f"] + SENTENCES
    cases = [(a, b) for a in texts[:6] for b in texts[:8]]
    pieces = [word for sentence in SENTENCES for word in sentence.split()]
    for _ in range(150):
        a = " ".join(rng.sample(SENTENCES, rng.randint(1, 3)))
        kept = [word for word in a.split() if rng.random() < 0.7]
        b = " ".join(kept + rng.sample(pieces, rng.randint(0, 6)))
        if rng.random() < 0.3:
            shuffled = b.split()
            rng.shuffle(shuffled)
            b = " ".join(shuffled)
        cases.append((a, b))
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    with open(f"{folder}/rouge_cases.jsonl", "w") as out:
        for reference, summary in cases:
            scores = {name: score.fmeasure for name, score in scorer.score(reference, summary).items()}
            case = {"reference": reference, "summary": summary, **scores}
            out.write(json.dumps(case, ensure_ascii=False) + "\n")


main(*sys.argv[1:])
