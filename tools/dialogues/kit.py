"""Building blocks of scenes: slots, alternatives, required and optional lines.

Templates know two things. `{day}` is a slot: a fact, or a person (`{a}`, `{a.his}`). `[x|y|]` is a choice,
which may be empty and may hold choices; if what is chosen ends a sentence, the stop behind it is left out.
"""

import re
from dataclasses import dataclass, field

from people import Person
from typing_habits import CLOSE, OPEN, sentence_case
from words import EXCUSES

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_STOPS = {".", "!", "?"}
_SLOT = re.compile(r"\{([a-z_]+)(?:\.(he|him|his))?\}")


@dataclass
class Line:
    """One utterance. `extra` is added if the dialogue has room for it."""

    who: Person
    text: str
    extra: str = ""
    mood: str = "plain"


@dataclass
class Group:
    """Lines that stay together. Short dialogues omit optional groups."""

    needed: bool
    lines: list = field(default_factory=list)
    reaction: bool = False


class Kit:
    """A scene's tools. It collects groups of lines and the scene's outcome."""

    def __init__(self, rng, cast, others):
        self.rng, self.cast, self.others = rng, cast, others
        self.slots = dict(zip("abcde", cast))
        self.groups, self.sentences, self.note = [], [], {}

    def pick(self, options):
        """One of `options`."""
        return self.rng.choice(options)

    def chance(self, share):
        """True with this probability."""
        return self.rng.random() < share

    def set(self, **slots):
        """Fills slots. A pair fills `{x}` and `{x_short}`."""
        for name, value in slots.items():
            if isinstance(value, tuple):
                self.slots[name], self.slots[name + "_short"] = value
            else:
                self.slots[name] = value

    def other(self, slot):
        """A person outside the chat."""
        self.slots[slot] = self.others.pop()

    def excuse(self, slot):
        """A reason why this person can't: `{mine}` as they say it, `{why}` as others do."""
        person = self.slots[slot]
        why, mine, short = self.pick(EXCUSES)
        self.set(why=(why.replace("{x.his}", person.his), short), mine=mine)

    def say(self, who, text, extra="", mood="plain"):
        """A line required by the summary."""
        self.groups.append(Group(True, [self._line(who, text, extra, mood)]))

    def maybe(self, *lines, mood="plain"):
        """Lines `(who, text[, extra])` that can be omitted together."""
        group = Group(False, [self._line(line[0], line[1], line[2] if len(line) > 2 else "", mood) for line in lines])
        self.groups.append(group)

    def sums_up(self, *sentences, **note):
        """The summary's sentences, and the same as a note: what, who, when, where, but."""
        self.sentences += [sentence_case(self.expand(s, marks=False)) for s in sentences]
        self.note = {key: self.expand(text, marks=False) for key, text in note.items()}

    def _line(self, who, text, extra, mood):
        return Line(self.slots[who], self.expand(text), self.expand(extra), mood)

    def expand(self, text, marks=True):
        """`text` with its choices made and its slots filled."""
        while found := _CHOICE.search(text):
            chosen, rest = self.rng.choice(found.group(1).split("|")), text[found.end() :]
            if chosen[-1:] in _STOPS and rest[:1] in _STOPS:
                rest = rest[1:]
            text = text[: found.start()] + chosen + rest

        def fill(found):
            value = self.slots[found.group(1)]
            if isinstance(value, Person):
                value = getattr(value, found.group(2) or "name")
                if found.group(2):
                    return value
            value = str(value)
            return OPEN + value + CLOSE if marks else value

        return re.sub(r" +(?=[ ?!.,])", "", _SLOT.sub(fill, text)).strip()
