"""About others: presents, visits, birthdays, introductions."""

from words import ANY_TIME, BOOKS, CAFES, CITIES, DATES, EVENING, GIFTS, PRICES, SERIES, SPOTS, WEEKDAYS, WEEKEND


def present(k):
    """A present for somebody who isn't here."""
    k.other("o")
    first, second = k.rng.sample(GIFTS, 2)
    k.set(
        first=first,
        gift=second,
        sum=k.pick(PRICES[4:14]),
        day=k.pick(WEEKDAYS + WEEKEND[:2] + DATES),
        buyer=k.slots[k.pick("ab")],
    )
    k.say(
        "a",
        "[{o}'s birthday is|It's {o}'s birthday|We're invited to {o}'s birthday] {day}[!|.] [What do we give {o.him}|Any idea for a present|Do you have an idea]?",
        "[I never know what to buy|Last year we were far too late|{o.he} already has everything].",
    )
    if k.chance(0.5):
        k.say("b", "[How about|Maybe|What about] {first}?")
        k.say(
            "a", "[{o.he} already has that|We gave {o.him} that last year|Too boring|Hm, no]. [What about|How about|And] {gift}?"
        )
        k.say("b", "[Yes, perfect|Even better|Good idea|I like that]!", mood="glad")
    else:
        k.say("b", "[How about|I thought of|Maybe] {gift}?")
        k.say("a", "[Perfect|Great idea|{o.he} will love it|Good one]!", mood="glad")
    k.say("b", "[That's about|It costs|I saw it for] {sum} euros. [Who buys it|Who gets it|Will you get it or shall I]?")
    if k.slots["buyer"] is k.slots["a"]:
        k.say(
            "a",
            "[I will|I'll do it|I'll get it|Leave it to me][|, I'm in town anyway]. [You can pay me half|We'll split it|Let's share the cost].",
        )
    else:
        k.say("a", "[Can you|Could you do it|You, please.]? [I have no time this week|I'll pay you half].")
        k.say("b", "[Okay|Sure|No problem].")
    k.sums_up(
        "{a} and {b} will give {o} {gift} for {o.his} birthday {day}. {buyer} will buy it for {sum} euros.",
        what="birthday {o}, {gift}",
        who="{a}, {b}",
        when="{day_short}",
        price="{sum} euros",
        todo="{buyer}: buy",
    )


def visit(k):
    """Somebody comes to town."""
    k.set(
        city=k.pick(CITIES),
        day=k.pick(WEEKDAYS + WEEKEND[:2] + DATES),
        nights=k.pick([1, 2, 3, 4]),
        place=k.pick(SPOTS),
        time=k.pick(ANY_TIME),
    )
    k.slots["n"] = "one night" if k.slots["nights"] == 1 else f"{k.slots['nights']} nights"
    k.say(
        "a",
        "[I'm coming to|I'll be in|I'm going to be in] {city} {day}! [Can I stay at yours|Could I sleep on your sofa|Can you put me up|Could I stay with you] for {n}?",
        "[The hotels are so expensive|I promise I don't snore any more|I'd love to see your new flat].",
        mood="glad",
    )
    if k.chance(0.75):
        k.say(
            "b",
            "[Of course|Sure|Yes! With pleasure|You don't even have to ask]! [When do you arrive|What time do you arrive|Shall I pick you up]?",
            mood="glad",
        )
        k.say("a", "{time}, [at|I get off at] {place}.")
        k.say("b", "[I'll be there|I'll pick you up|I'll come and get you].")
        k.maybe(("a", "[Can't wait|Thank you|I'll bring cheese]!"))
        k.sums_up(
            "{a} is coming to {city} {day} and will stay with {b} for {n}. {b} will pick {a.him} up {time} at {place}.",
            what="{a} in {city}",
            who="{a}, {b}",
            when="{day_short}, {time_short}",
            where="{place}",
            how="{n}",
        )
    else:
        k.other("o")
        k.say(
            "b",
            "[I'm not in town then|My parents are here then|We have builders in the flat], [sorry|what a pity]. [But ask|Maybe|Try] {o}, [{o.he} has a spare room|{o.he} lives round the corner].",
            mood="sad",
        )
        k.say("a", "[Okay, I'll ask {o.him}|Good idea, I'll write to {o.him}|I will, thanks].")
        k.sums_up(
            "{a} is coming to {city} {day} and needs a place for {n}. {a} can't stay with {b}, so {a.he} will ask {o}.",
            what="{a} in {city}",
            when="{day_short}",
            how="{n}",
            todo="{a}: ask {o}",
        )


def recommend(k):
    """What to read or watch."""
    series = k.chance(0.5)
    k.set(
        title=k.pick(SERIES if series else BOOKS),
        thing="series" if series else "book",
        when=k.pick(["tonight", "this weekend", "on the train", "on holiday", "tomorrow"]),
        about=k.pick(
            [
                "a family that runs a hotel",
                "two sisters and a secret",
                "a detective who can't sleep",
                "life on a ship",
                "a village without children",
                "a cook in love",
                "a bank robbery",
                "an island doctor",
            ]
        ),
    )
    k.say(
        "a",
        "[I need a new {thing}.|Can you recommend a {thing}|Do you know a good {thing}|I'm looking for a good {thing}.]?",
        "[I'm tired of falling asleep over the news|I've finished everything I had].",
    )
    k.say(
        "b",
        "[Try|You have to try|My tip:|Definitely] \"{title}\"! [It's about|It's the story of] {about}.",
        "[I couldn't stop and was tired the whole week|My mother recommended it and she never likes anything].",
        mood="glad",
    )
    if k.chance(0.7):
        k.say("a", "[Sounds good|Just what I need|Oh, I like that], I'll [start it|begin|try it] {when}.")
        k.maybe(("b", "[Tell me what you think|No spoilers from me|I want to hear everything]!"))
        k.sums_up(
            '{b} recommends the {thing} "{title}" about {about}. {a} will start it {when}.',
            what="{thing} {title}",
            who="{b} to {a}",
            when="{when}",
        )
    else:
        k.say(
            "a", "[I know it already|I started it once], [it was too slow for me|I didn't like the end|not my taste].", mood="sad"
        )
        k.say("b", "[Really|What|Too bad]! [I'll think of something else|Then I don't know|We have different tastes].")
        k.sums_up(
            '{b} recommends the {thing} "{title}" about {about}, but {a} knows it and didn\'t like it.',
            what="{thing} {title}",
            who="{b} to {a}",
            but="{a} didn't like it",
        )


def surprise_party(k):
    """A secret for three or more."""
    k.other("o")
    k.set(day=k.pick(WEEKEND[:2] + DATES), time=k.pick(EVENING), place=k.pick(CAFES), gift=k.pick(GIFTS))
    k.say(
        "a",
        "[Psst!|Secret chat!|Can everybody keep a secret?] [I want to organise|I'm planning|Let's throw] a surprise party for {o} {day}!",
        "[{o.he} thinks we have all forgotten|It's a round birthday, after all].",
        mood="glad",
    )
    k.maybe(("b", "[Yes|I love it|{o.he} has no idea]!"), ("c", "[How exciting|I can't keep secrets|Count me in]."))
    k.say("b", "[Where|Where and when|Where would that be]?")
    k.say("a", "{place}, {time}. [I'll book it|I've already asked them|They have a back room].")
    k.say("b", "[I'll get|I can organise|I'll take care of] the [cake|cake, chocolate of course|cake then].")
    k.say("c", "[And I'll buy|I'll get|And I get] {gift} [from all of us|as our present|as a present].")
    if "d" in k.slots:
        k.say(
            "d",
            "[And I'll bring {o.him} there|I'll make sure {o.he} comes|I'll pretend that we're going for a walk and bring {o.him}].",
        )
        k.sums_up(
            "{a}, {b}, {c} and {d} are planning a surprise party for {o} {day} {time} at {place}.",
            "{b} will get the cake and {c} {gift}. {d} will bring {o}.",
            what="surprise party for {o}",
            who="{a}, {b}, {c}, {d}",
            when="{day_short}, {time_short}",
            where="{place}",
            todo="{b} cake, {c} {gift}, {d} {o}",
        )
    else:
        k.sums_up(
            "{a}, {b} and {c} are planning a surprise party for {o} {day} {time} at {place}.",
            "{b} will get the cake and {c} {gift}.",
            what="surprise party for {o}",
            who="{a}, {b}, {c}",
            when="{day_short}, {time_short}",
            where="{place}",
            todo="{b} cake, {c} {gift}",
        )


def group_meeting_point(k):
    """Several people find a time that suits all."""
    one, two = k.rng.sample(WEEKDAYS[:5] + WEEKEND[:2], 2)
    k.set(
        first=one,
        day=two,
        time=k.pick(ANY_TIME),
        place=k.pick(CAFES),
        what=k.pick(
            [
                "talk about the trip",
                "plan the wedding present",
                "practise the song",
                "look at the photos",
                "play cards",
                "plan the summer party",
                "have breakfast together",
            ]
        ),
    )
    k.say(
        "a",
        "[When can we meet to {what}|Shall we meet to {what}|We should meet to {what}.]? [How about {first}|I could do it {first}.|Maybe {first}]?",
        "[I've lost track of who is where this week].",
    )
    k.excuse("c")
    k.say("b", "[Fine with me|I can|Works for me].")
    k.say("c", "[Not {first}|I can't {first}|{first} is bad], {mine}. {day}?", mood="sad")
    k.say("a", "{day} [is fine|works|is okay for me too]. {time} at {place}?")
    k.say("b", "[Okay|Yes|Good for me too].")
    k.maybe(("c", "[Great|See you then|Perfect]!"))
    everyone = "{a}, {b} and {c}"
    k.sums_up(
        everyone + " will meet {day} {time} at {place} to {what}.",
        "{c} can't come {first}.",
        what="{what}",
        who="{a}, {b}, {c}",
        when="{day_short}, {time_short}",
        where="{place}",
        but="not {first_short}",
    )


PAIR = [present, present, visit, recommend]
GROUP = [surprise_party, group_meeting_point, group_meeting_point]
