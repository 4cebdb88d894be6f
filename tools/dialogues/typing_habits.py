"""Turns clean sentences into typed text: lower case, missing periods, emoji, abbreviations, typos.

Facts (names, times, places) come between marks and are left as they are, so that the summary's words
can be found in the dialogue.
"""

import re

OPEN, CLOSE = "\x02", "\x03"

EMOJI = {
    "glad": ["😊", "🙂", "😀", "😄", "👍", "🎉", "🥳", "❤️", ":)", ":D", "xD", "💪", "😍", "<3"],
    "sad": ["😢", "😕", "😩", "🙁", "😭", ":(", ":/", "😬", "🙈"],
    "plain": ["😉", "😅", ";)", "🙂", "😊", ":)", "😄"],
}

SHORT = {
    "you": "u",
    "are": "r",
    "please": "pls",
    "thanks": "thx",
    "because": "cos",
    "tomorrow": "tmrw",
    "people": "ppl",
    "really": "rly",
    "okay": "ok",
    "though": "tho",
    "probably": "prob",
    "going to": "gonna",
    "want to": "wanna",
    "about": "abt",
    "I don't know": "idk",
    "by the way": "btw",
    "see you": "cu",
    "message": "msg",
    "your": "ur",
    "with": "w/",
    "before": "b4",
    "something": "sth",
    "got to": "gotta",
    "right now": "rn",
}

_PLAIN = re.compile(f"({OPEN}[^{CLOSE}]*{CLOSE})")
_SHORT = re.compile(r"\b(" + "|".join(sorted(map(re.escape, SHORT), key=len, reverse=True)) + r")\b")


def unmarked(text):
    """The text without the marks around facts."""
    return text.replace(OPEN, "").replace(CLOSE, "")


def sentence_case(text):
    """Capitalizes the start and after periods; ignores the marks."""

    def up(found):
        return found.group(1) + found.group(2).upper()

    text = re.sub(rf"^([{OPEN}\"]*)(\w)", up, text)
    return re.sub(rf"((?<![.])[.!?] +[{OPEN}]?)(\w)", up, text)


def _slip(word, rng):
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    return word[:at] + word[at] + word[at:]


def _outside_facts(text, change):
    parts = _PLAIN.split(text)
    return "".join(part if part.startswith(OPEN) else change(part) for part in parts)


def typed(text, hand, mood, rng):
    """`text` as a person with these habits types it."""
    text = sentence_case(text)
    if hand.short and rng.random() < hand.short:
        text = _outside_facts(
            text, lambda part: _SHORT.sub(lambda m: SHORT[m.group(1)] if rng.random() < 0.6 else m.group(1), part)
        )
    if hand.typo and rng.random() < hand.typo * 3:
        words = [w for part in _PLAIN.split(text) if not part.startswith(OPEN) for w in re.findall(r"\b[a-z]{5,}\b", part)]
        if words:
            word = rng.choice(words)
            text = _outside_facts(text, lambda part: re.sub(rf"\b{word}\b", _slip(word, rng), part, count=1))
    if hand.lower:
        text = _outside_facts(text, lambda part: re.sub(r"\bI\b", "i", part))
        text = _outside_facts(
            text, lambda part: re.sub(r"(^|[.!?] +)([A-Z])(?=[a-z' ])", lambda m: m.group(1) + m.group(2).lower(), part)
        )
    if hand.stretch and rng.random() < hand.stretch:
        text = _outside_facts(
            text,
            lambda part: re.sub(
                r"\b(so|no|yes|hey|please)\b", lambda m: m.group(1) + m.group(1)[-1] * rng.randint(1, 4), part, count=1
            ),
        )
    if rng.random() < hand.drops_stop and text.endswith("."):
        text = text[:-1]
    elif rng.random() < 0.06 and text.endswith("."):
        text = text[:-1] + rng.choice(["..", "...", "!"])
    if text.endswith("!") and rng.random() < hand.stretch:
        text += "!" * rng.randint(1, 2)
    if rng.random() < hand.emoji:
        text += " " + rng.choice(EMOJI[mood] if rng.random() < 0.7 else EMOJI["plain"])
    return unmarked(text).strip()
