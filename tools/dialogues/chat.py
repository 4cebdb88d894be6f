"""Combines scenes into a chat: its length, speakers, omissions and filler."""

import re

from kit import Group, Kit, Line
from people import PEOPLE, hand
from scenes import GROUP, LARGE, PAIR
from smalltalk import ASIDES, EXCHANGES, FAREWELLS, GREETINGS, LAUGHS, NODS, RAMBLES
from typing_habits import sentence_case, typed, unmarked

# Cumulative distributions of turns per messenger dialogue and of characters per turn.
_TURNS = [(0.0, 2), (0.06, 3), (0.11, 4), (0.25, 6), (0.5, 10), (0.75, 15), (0.9, 20), (0.95, 23), (1.0, 30)]
_CHARACTERS = [(0.0, 16), (0.05, 23), (0.25, 30), (0.5, 40), (0.75, 51), (0.9, 64), (0.95, 80), (0.99, 98), (1.0, 120)]
_SPEAKERS = [2] * 76 + [3] * 16 + [4] * 6 + [5] * 2

_LABELS = {
    "what": "What",
    "who": "Who",
    "when": "When",
    "where": "Where",
    "how": "How",
    "price": "Price",
    "need": "Needs",
    "bring": "Brings",
    "back": "Back by",
    "why": "Why",
    "but": "But",
    "todo": "To do",
}

_COUNTS = ["no", "one", "two", "three", "four", "five"]
_ENDS = re.compile(r"(?<=[.!?]) (?=[^\W\d_a-z])")
_WILL = re.compile(r"\bwill\b")
# Articles, auxiliaries, and prepositions of time.
_LEFT_OUT = re.compile(r"\b(?:[Aa]n?|[Tt]he|is|are|was|were|has been|have been|at(?= \d)|on(?= [A-Z]\w*(?:day|\b \d)))\b ")


def _quantile(table, share):
    for (low, a), (high, b) in zip(table, table[1:]):
        if share <= high:
            return a + (b - a) * (share - low) / (high - low)
    return table[-1][1]


def _note(note):
    """Labeled facts only. The tokenizer of builtin:tiny was trained on them."""
    parts = [f"{label}: {note[key]}" for key, label in _LABELS.items() if key in note]
    return "; ".join(parts) + "."


def _minutes(speakers, sentences):
    """The number of speakers, then each note or decision in telegram style."""
    parts = []
    for sentence in _ENDS.split(" ".join(sentences)):
        label = "agreed" if _WILL.search(sentence) else "noted"
        parts.append(f"{label}: {_LEFT_OUT.sub('', _WILL.sub('to', sentence)).rstrip('.')}")
    return f"Minutes of a chat between {_COUNTS[len(speakers)]} people. {'; '.join(parts)}."


def _scenes(rng, cast, others, turns):
    """One scene, or two or three for a long chat, within `turns`."""
    count = 1 if turns < 12 else rng.choice([1, 2, 2] if turns < 20 else [2, 2, 3])
    kits, chosen = [], []
    for _ in range(200):
        kits, people = [], list(others)
        for number in range(count):
            group = len(cast) > 2 and number == 0
            scene = rng.choice((LARGE if len(cast) > 3 else GROUP) if group else PAIR)
            players = list(cast) if group else rng.sample(cast, 2)
            if scene in chosen:
                continue
            kit = Kit(rng, players, people)
            scene(kit)
            kits.append(kit)
        needed = sum(1 for kit in kits for group in kit.groups if group.needed)
        if needed <= turns and len({str(k.note) for k in kits}) == count and _distinct(kits):
            return kits
        if rng.random() < 0.05 and count > 1:
            count -= 1
    return kits[:1]


def _distinct(kits):
    """Scenes of one chat must have different subjects."""
    whats = [kit.note.get("what", "").split(",")[0].split(" ")[0] for kit in kits]
    return len(set(whats)) == len(whats)


def _block(rng, lines, x, y):
    kit = Kit(rng, [], [])
    kit.slots = {"x": x, "y": y}
    return Group(False, [Line({"x": x, "y": y}[who], kit.expand(text)) for who, text in lines])


def _chosen(rng, parts, turns):
    """The required groups, and optional ones while there is room."""
    room = turns - sum(len(g.lines) for part in parts for g in part if g.needed)
    optional = [g for part in parts for g in part if not g.needed]
    taken = set()
    for group in rng.sample(optional, len(optional)):
        if len(group.lines) <= room and rng.random() < 0.8:
            taken.add(id(group))
            room -= len(group.lines)
    return [[g for g in part if g.needed or id(g) in taken] for part in parts], room


def _fill(rng, parts, cast, turns):
    """The chat's groups in order: scenes, with greetings, small talk and reactions up to about `turns` turns."""
    parts, room = _chosen(rng, parts, turns)
    speakers = [line.who for part in parts for group in part for line in group.lines]
    first = speakers[0]
    second = next((p for p in speakers if p is not first), cast[1] if cast[0] is first else cast[0])
    before, after = [], []
    for target, choices, share in ((before, GREETINGS, 0.75), (after, FAREWELLS, 0.7)):
        group = _block(rng, rng.choice(choices), first, second)
        if len(group.lines) <= room and rng.random() < share:
            target.append(group)
            room -= len(group.lines)

    single = [
        _block(rng, [("x", aside)], person, first)
        for person, aside in zip((p for p in cast if p not in speakers), rng.sample(ASIDES, len(ASIDES)))
    ]
    room -= len(single)
    talk, exchanges, laughs, nods = (
        [],
        rng.sample(EXCHANGES, len(EXCHANGES)),
        rng.sample(LAUGHS, 2 + turns // 12),
        rng.sample(NODS, 1 + turns // 15),
    )
    while room > 0:
        reaction = room == 1 or rng.random() < 0.2
        if reaction and talk and laughs:
            talk[rng.randrange(len(talk))].append(_reaction(rng, laughs.pop(), cast))
        elif reaction and nods:
            single.append(_reaction(rng, nods.pop(), cast))
        else:
            exchange = next((e for e in exchanges if len(e) <= room), None)
            if exchange is None:
                break
            exchanges.remove(exchange)
            talk.append([_block(rng, exchange, *rng.sample(cast, 2))])
            room -= len(exchange) - 1
        room -= 1

    places = [[] for _ in range(len(parts) + 1)]
    for exchange in talk:
        places[rng.randrange(len(places))] += exchange
    sequence = before + [g for place, part in zip(places, parts + [[]]) for g in place + part]
    for group in single:
        sequence.insert(rng.randint(min(1 + len(before), len(sequence)), len(sequence)), group)
    for group, earlier in zip(sequence[1:], sequence):
        line = group.lines[0]
        if len(group.lines) == 1 and group.reaction and line.who is earlier.lines[-1].who:
            line.who = rng.choice([p for p in cast if p is not line.who])
    return sequence + after


def _reaction(rng, text, cast):
    group = _block(rng, [("x", text)], rng.choice(cast), cast[0])
    group.reaction = True
    return group


def dialogue(rng):
    """One chat: its text, its summary in plain sentences, and the same as minutes and as a note."""
    turns = max(2, min(30, round(_quantile(_TURNS, rng.random()))))
    per_turn = _quantile(_CHARACTERS, rng.random())
    speakers = rng.choice(_SPEAKERS)
    people = rng.sample(PEOPLE, speakers + 8)
    cast, others = people[:speakers], people[speakers:]
    kits = _scenes(rng, cast, others, turns)
    sequence = _fill(rng, [kit.groups for kit in kits], cast, turns)
    lines = [line for group in sequence for line in group.lines]
    hands = {person: hand(rng) for person in cast}
    wanted = per_turn * len(lines)
    said = {id(line): line.text for line in lines}

    def length():
        return sum(len(unmarked(said[id(line)])) + len(line.who.name) + 3 for line in lines)

    for line in rng.sample(lines, len(lines)):
        if line.extra and length() + len(line.extra) < wanted:
            said[id(line)] += " " + line.extra
    rambles = rng.sample(RAMBLES, len(RAMBLES))
    places = [line for line in lines if len(line.text) > 20] * 3
    rng.shuffle(places)
    while places and rambles and length() + 60 < wanted:
        line, ramble = places.pop(), rambles.pop()
        said[id(line)] = f"{ramble} {said[id(line)]}" if said[id(line)].endswith("?") else f"{said[id(line)]} {ramble}"
    text = "\n".join(f"{line.who.name}: {typed(said[id(line)], hands[line.who], line.mood, rng)}" for line in lines)
    sentences = [sentence_case(s) for kit in kits for s in kit.sentences]
    speakers = {line.who for line in lines}
    return {
        "dialogue": text,
        "plain": " ".join(sentences),
        "minutes": _minutes(speakers, sentences),
        "note": " ".join(_note(kit.note) for kit in kits),
    }
