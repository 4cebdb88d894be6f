"""Going somewhere together: coffee, cinema, concerts, sport, parties."""

from words import (
    AFTERNOON,
    ANY_TIME,
    BANDS,
    CAFES,
    CUISINES,
    DAYS,
    EVENING,
    FILMS,
    LUNCH,
    MORNING,
    PRICES,
    SNACKS,
    SPORTS,
    SPOTS,
    WEEKDAYS,
    WEEKEND,
)

_MEALS = {
    "coffee": AFTERNOON,
    "lunch": LUNCH,
    "a beer": EVENING,
    "dinner": EVENING,
    "breakfast": MORNING,
    "a cup of tea": AFTERNOON,
    "ice cream": AFTERNOON,
    "a quick drink": EVENING,
    "brunch": MORNING[5:],
}


def meeting(k):
    """Two people agree on when and where, maybe after a change."""
    what = k.pick(sorted(_MEALS))
    k.set(what=what, day=k.pick(WEEKDAYS + WEEKEND[:2]), time=k.pick(_MEALS[what]), place=k.pick(CAFES))
    k.say(
        "a",
        "[Do you fancy|How about|Shall we meet for|Are you up for|Do you feel like] {what} {day}?",
        "[I haven't seen you for ages|We should really catch up|I need to get out of the house|I have so much to tell you].",
    )
    turn = k.pick(["yes", "yes", "later", "place", "no"])
    if turn == "no":
        k.excuse("b")
        k.say(
            "b",
            "[Sorry, I can't|I'd love to, but I can't|Ah, sorry, that won't work|Not this time, sorry], {mine}.",
            "[It's been planned for weeks|I only found out yesterday|You know how it is].",
            mood="sad",
        )
        k.maybe(
            ("a", "[Pity|Too bad|What a shame|Oh, okay]."), ("b", "[Another time|Next time for sure|I'll make it up to you]!")
        )
        k.sums_up(
            "{a} wants to meet {b} for {what} {day}, but {b} {why}.",
            what="{what}",
            who="{a}, {b}",
            when="{day_short}",
            but="{b}: {why_short}",
        )
        return
    k.maybe(("b", "[Let me check|One sec|Hm, let me look at my calendar]."), ("b", "[Yes, that works|Looks good|I'm free then]."))
    if turn == "later":
        k.set(first=k.pick([t for t in _MEALS[what] if t[1] != k.slots["time_short"]]))
        k.say("a", "[|Say|Let's say] {first} at {place}?")
        k.say(
            "b",
            "[Could we make it|Can we say|Would it be okay to meet] {time} [instead|]? [I have something else {first}|I won't make it {first}|That suits me better].",
            "[My boss wants to talk to me|I promised to help my sister|The bus only goes once an hour].",
        )
        k.say("a", "[Sure|No problem|Of course|Fine with me], {time} [then|it is].")
    elif turn == "place":
        k.set(old=k.pick([p for p in CAFES if p != k.slots["place"]]))
        k.say("b", "[Great idea|Yes, gladly|With pleasure|Sure]! {time}[, the usual place|]?", mood="glad")
        k.say("a", "[Perfect|Good]. [At|Shall we try] {old}?")
        k.say(
            "b",
            "[It's closed now|It's always so crowded|I don't like it there], [let's go to|I'd prefer] {place}.",
            "[The cake is better anyway|It has the nicest terrace|It's closer to my office].",
        )
        k.maybe(("a", "[Okay, even better|Right, good point|Fine, I like it there too]."))
    else:
        k.say("b", "[Yes|Sure|Gladly|Great idea|Oh yes]! [When and where|What time and where|Where and when]?", mood="glad")
        k.say("a", "{time} at {place}?", "[They have a new menu|I've heard it's lovely|It won't be full then].")
        k.maybe(("b", "[Perfect|Great|Sounds good|Works for me]."), ("a", "[See you there|Can't wait|Looking forward to it]!"))
    k.sums_up(
        "{a} and {b} [will meet|are meeting] for {what} at {place} {day} {time}.",
        what="{what}",
        who="{a}, {b}",
        when="{day_short}, {time_short}",
        where="{place}",
    )


def cinema(k):
    """A film, tickets, who buys them."""
    k.set(film=k.pick(FILMS), day=k.pick(DAYS[:8] + [("tonight", "tonight")]), time=k.pick(EVENING), buyer=k.slots[k.pick("ab")])
    k.say(
        "a",
        "[Have you seen|Did you hear about|Do you know] \"{film}\"? [It's running {day}|They show it {day}|It's in the cinema {day}].",
        "[Everyone at work talks about it|The reviews are great|The trailer looked amazing].",
    )
    k.maybe(
        ("b", "[What is it about|Who's in it|Is it scary]?"),
        ("a", "[No idea, but people love it|I don't want to spoil it|It's a kind of thriller|It's a sad one, bring tissues]."),
    )
    if k.chance(0.25):
        k.say(
            "b",
            "[I've already seen it|I saw it last week], [it's boring|sorry|it's not worth it]. [I almost fell asleep|I left early].",
            mood="sad",
        )
        k.say("a", "[Oh|Oh, okay|Really]? [Then I'll go with my sister|I'll stay at home then|Then I'll skip it].")
        k.sums_up(
            '{a} wants to see "{film}" {day}, but {b} has already seen it and didn\'t like it.',
            what="film {film}",
            who="{a}, {b}",
            when="{day_short}",
            but="{b} has seen it",
        )
        return
    k.say("b", "[Not yet, let's go|No, shall we go?|I want to see it too|No! Let's see it]!", mood="glad")
    k.say("a", "[It starts|The film starts] {time}. [Who gets the tickets|Who buys the tickets|What about tickets]?")
    if k.slots["buyer"] is k.slots["a"]:
        k.say("b", "[Can you|Could you get them|Would you]? [I'll pay you back|I get paid next week].")
        k.say("a", "[Okay|Sure|No problem], I'll [buy|get|book] them [online|today|now].")
    else:
        k.say(
            "b",
            "[I'll do it|I can buy them|Let me get them|I'll book them], [I have a discount card|I'm near the cinema anyway|you paid last time].",
        )
        k.maybe(("a", "[Thanks|Cool|Great]! [Popcorn is on me|I'll bring sweets]."))
    k.maybe(("b", "[Middle row|At the back|Not too close to the screen], [right?|please.]"), ("a", "[Of course|As always|Sure]."))
    k.sums_up(
        '{a} and {b} are going to see "{film}" {day} {time}.',
        "{buyer} will buy the tickets.",
        what="film {film}",
        who="{a}, {b}",
        when="{day_short}, {time_short}",
        todo="{buyer}: tickets",
    )


def concert(k):
    """Tickets for a band, and their price."""
    k.set(band=k.pick(BANDS), day=k.pick(WEEKEND[:2] + DAYS[:5]), price=k.pick(PRICES[5:]))
    k.say(
        "a",
        "{band} [are playing|play|have a concert] {day}! [Are you coming|Do you want to come|Coming with me]?",
        "[I have listened to nothing else this month|I missed them last year|They only come here once every few years].",
        mood="glad",
    )
    k.say("b", "[How much is it|How much are the tickets|What does a ticket cost]?")
    k.say("a", "{price} euros.", "[The cheap ones are sold out|It includes a drink, I think].")
    if k.chance(0.55):
        k.say("b", "[Okay, I'm in|Deal|That's fine, count me in|Not cheap, but okay]!", mood="glad")
        k.maybe(
            ("a", "[Yay|Great|You won't regret it]!"), ("b", "[Send me the link|Where do I pay|I hope they play the old songs].")
        )
        k.sums_up(
            "{a} and {b} are going to the concert of {band} {day}. A ticket costs {price} euros.",
            what="concert {band}",
            who="{a}, {b}",
            when="{day_short}",
            price="{price} euros",
        )
    else:
        k.say(
            "b",
            "[Too expensive for me|That's too much|I can't afford that], [sorry|have fun|sorry, I'm saving money].",
            mood="sad",
        )
        k.maybe(("a", "[Pity|I understand|Okay, I'll ask somebody else]."))
        k.sums_up(
            "{a} is going to the concert of {band} {day}. {b} won't come because {price} euros is too much.",
            what="concert {band}",
            who="{a}",
            when="{day_short}",
            price="{price} euros",
            but="{b}: too expensive",
        )


def sport(k):
    """Starting a sport together."""
    k.set(sport=k.pick(SPORTS), day=k.pick(WEEKDAYS[:5] + WEEKEND[:2]), time=k.pick(ANY_TIME), place=k.pick(SPOTS))
    k.maybe(
        ("a", "[I need to move more|I'm so out of shape|My back hurts from sitting all day]."),
        ("b", "[Tell me about it|Same here|Haha, me too]."),
    )
    k.say(
        "a",
        "[I want to start|I'm thinking of starting|I'd like to try] {sport}. [Will you join me|Do you want to join|Are you in]?",
        "[It's no fun alone|My doctor says I should|I even bought new shoes].",
    )
    if k.chance(0.7):
        k.say("b", "[Why not|Okay|Yes, good idea|I'm in]! [When|When do we start|What day]?", mood="glad")
        k.say(
            "a",
            "{day} {time}[, we can meet at|, let's meet at|. Meeting point:] {place}.",
            "[We'll take it slowly|Nothing too hard for the beginning].",
        )
        k.maybe(
            ("b", "[Don't laugh at me|I'm not fast, just so you know|I need to find my sports clothes first]."),
            ("a", "[Same here|We'll see|Haha, okay]."),
        )
        k.sums_up(
            "{a} and {b} are starting {sport} {day} {time}. They will meet at {place}.",
            what="{sport}",
            who="{a}, {b}",
            when="{day_short}, {time_short}",
            where="{place}",
        )
    else:
        k.set(other=k.pick([s for s in SPORTS if s != k.slots["sport"]]))
        k.say(
            "b",
            "[No way|Hm, no|That's not for me], I [hate|don't like|can't stand] {sport}. [I'd rather do|I'd prefer|I prefer] {other}.",
        )
        k.say("a", "[Okay|Fine|All right], {other} [then|it is]! {day}?")
        k.maybe(("b", "[Deal|Good|Let's do it]!"))
        k.sums_up(
            "{a} wants to start {sport}, but {b} prefers {other}. They will do {other} {day}.",
            what="{other}",
            who="{a}, {b}",
            when="{day_short}",
            but="not {sport}",
        )


def party(k):
    """A host asks each guest to bring something."""
    occasion = k.pick(["party", "barbecue", "housewarming party", "game night", "picnic", "film night"])
    k.set(day=k.pick(WEEKEND[:2] + DAYS[4:5]), time=k.pick(AFTERNOON if occasion == "picnic" else EVENING[2:]), occasion=occasion)
    things = k.rng.sample(SNACKS, len(k.cast) - 1)
    k.say(
        "a",
        "[Hi all|Hey everyone|Hello people|Guys]! [I'm having|I'm planning|There'll be] a {occasion} {day} {time}. [You're all invited!|Are you coming|Who's coming]?",
        "[The flat is finally tidy|It's been too long since we all sat together|The neighbours have been warned].",
        mood="glad",
    )
    k.maybe(("b", "[Yay|Finally|Count me in|Great]!"), ("c", "[I'll be there|Me too|Of course]."))
    k.say("b", "[What can I bring|Shall I bring something|What do you need]?")
    k.set(g=things[0])
    k.say("a", "[You could bring {g}.|Could you bring {g}|Maybe {g}]?")
    for slot, thing in zip("cde", things[1:]):
        if slot in k.slots:
            k.slots["g" + slot] = thing
            k.say(
                slot,
                "[I'll bring|I can bring|I'm bringing|And I'll take care of] {%s}." % ("g" + slot),
                "[I bought too much anyway|Everybody liked it last time|That's easy].",
            )
    k.maybe(("b", "[Okay|Sure|No problem|Will do]."))
    k.maybe(
        ("c", "[Is there parking|Can I bring my boyfriend|Is it okay if I come a bit later]?"),
        ("a", "[Sure|Of course|Yes, no problem]."),
    )
    brings = ["{b} will bring {g}"] + ["{%s} {g%s}" % (s, s) for s in "cde" if s in k.slots]
    joined = brings[0] + (" and " + brings[1] if len(brings) == 2 else "")
    if len(brings) > 2:
        joined = ", ".join(brings[:-1]) + " and " + brings[-1]
    k.sums_up(
        "{a} is having a {occasion} {day} {time}.",
        joined + ".",
        what="{occasion}",
        who=", ".join("{%s}" % s for s in "abcde" if s in k.slots),
        when="{day_short}, {time_short}",
        bring=", ".join(["{b} {g}"] + ["{%s} {g%s}" % (s, s) for s in "cde" if s in k.slots]),
    )


def group_dinner(k):
    """Where to eat: a vote."""
    first, second = k.rng.sample(CUISINES, 2)
    k.set(first=first, food=second, day=k.pick(DAYS[:8] + [("tonight", "tonight")]), time=k.pick(EVENING))
    k.say(
        "a",
        "[Shall we eat out {day}|Who wants to eat out {day}|Dinner together {day}|Let's go for dinner {day}.]? [I'd like|I feel like|I'm for] {first}.",
        "[I haven't cooked all week and I don't want to start now|My fridge is empty anyway].",
    )
    k.say(
        "b",
        "[Not again|We had that last time|Hm, no], [I'd prefer {food}.|I'm for {food}.|what about {food}]?",
        "[There is this new place near my flat|I have been dreaming of it for days].",
    )
    leave = len(k.cast) > 3 and k.chance(0.6)
    k.say("c", "[{food} for me too|I'm with {b}|+1 for {food}|{b} is right, {food}]!")
    k.maybe(("a", "[Okay, okay|Fine, you win|Outvoted, as always|All right]."))
    if leave:
        k.excuse("d")
        k.say("d", "[I'm out|Without me|I can't come], {mine}.", mood="sad")
    for slot in "de":
        if slot in k.slots and not (leave and slot == "d"):
            k.say(slot, "[I'm in|Me too|Fine, I eat everything|Count me in].")
    k.say("b", "[I'll book a table|I'll call them|I'll reserve a table] {time}.")
    k.maybe(("c", "[Perfect|Great|See you there]."), ("a", "[See you|I'm hungry already|Don't be late]!"))
    more = ["{d} can't come because {d.he} {why}."] if leave else []
    rest = [s for s in "abcde" if s in k.slots and not (leave and s == "d")]
    who = ", ".join("{%s}" % s for s in rest[:-1]) + " and {%s}" % rest[-1]
    k.sums_up(
        who + " will have {food} {day} {time}.",
        "{b} will book a table.",
        *more,
        what="dinner, {food}",
        who=", ".join("{%s}" % s for s in rest),
        when="{day_short}, {time_short}",
        todo="{b}: table",
        **({"but": "{d}: {why_short}"} if leave else {}),
    )


def picnic_weather(k):
    """Rain changes the plan."""
    k.set(
        day=k.pick(WEEKEND),
        outside=k.pick(["the picnic", "the barbecue", "the hike", "the garden party", "the bike trip", "the beach volleyball"]),
    )
    k.set(
        inside=k.pick(
            ["go bowling", "go to the museum", "play board games", "go to the cinema", "cook together", "go to the indoor pool"]
        )
    )
    k.say(
        "a",
        "[They say it will rain|The forecast is terrible|It's going to pour] {day}. [What about|So what do we do with] {outside}?",
        mood="sad",
    )
    k.maybe(("b", "[Oh no|Again|Not again]!"), ("c", "[Typical|I knew it|We should move south]."))
    k.say(
        "c",
        "[We can't do it in the rain|Let's cancel it|We should call it off].",
        "[I don't want to sit in the mud again|Last time everything got wet, even the cake].",
    )
    k.say("a", "[Then let's|We could|How about we]... {inside}?")
    k.say("b", "[Good idea|Fine with me|I'm in|Better than nothing]!", mood="glad")
    k.maybe(("c", "[Me too|Okay|Sounds fun]."))
    k.sums_up(
        "It is going to rain {day}, so {a}, {b} and {c} cancel {outside}. They will {inside}.",
        what="{inside}",
        who="{a}, {b}, {c}",
        when="{day_short}",
        but="rain",
    )


PAIR = [meeting, meeting, meeting, cinema, concert, sport]
GROUP = [party, party, group_dinner, group_dinner, picnic_weather]
