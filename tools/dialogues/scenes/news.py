"""What happened: babies, quarrels, matches, good and bad luck."""

from words import CAFES, CITIES, MINUTES, MONTHS, PRICES, SPOTS, WEEKDAYS, WEEKEND

_TEAMS = [
    "the girls' team",
    "the Harbour Hawks",
    "the Riverside Rams",
    "the Old Town Owls",
    "the volleyball team",
    "the Castle Hill Cats",
]
_SCORES = ["2:1", "3:0", "4:2", "1:0", "5:3", "3:2", "25:18"]


def match(k):
    """A game and its result."""
    k.set(team=k.pick(_TEAMS), score=k.pick(_SCORES), day=k.pick(WEEKDAYS[:5] + WEEKEND[:2]), place=k.pick(CAFES))
    won = k.chance(0.6)
    k.say(
        "b",
        "[Did you watch|Did you see|How was] the match?",
        "[I was on the train and had no signal|I fell asleep before it started].",
    )
    if won:
        k.say(
            "a",
            "[Yes|Of course]! {team} [won|won it] {score}!",
            "[The last ten minutes were crazy|I have no voice left|Nobody had expected that].",
            mood="glad",
        )
    else:
        k.say(
            "a",
            "[Don't ask|It was terrible|Yes, sadly]. {team} lost {score}.",
            "[They forgot how to run|The referee needs glasses].",
            mood="sad",
        )
    k.maybe(("b", "[No way!|Wow!|Really]?"), ("a", "[Really|I can't believe it either|It was on the news]."))
    if k.chance(0.65):
        k.say("b", "[Let's watch|I want to watch] the next one together. [When is it|When do they play]?")
        k.say("a", "{day}. [Let's go to|We could watch it at|They show it at] {place}.")
        k.say("b", "[Okay|Good|I'm in]!")
        k.sums_up(
            "{team} %s {score}. {a} and {b} will watch the next match {day} at {place}." % ("won" if won else "lost"),
            what="{team}, {score} %s" % ("won" if won else "lost"),
            who="{a}, {b}",
            when="{day_short}",
            where="{place}",
        )
    else:
        k.sums_up(
            "{a} tells {b} that {team} %s {score}." % ("won" if won else "lost"),
            what="{team}, {score} %s" % ("won" if won else "lost"),
            who="{a} to {b}",
        )


def baby(k):
    """A birth, a wedding, an engagement."""
    k.other("o")
    kind = k.pick(["baby", "wedding", "moving"])
    if kind == "baby":
        k.other("p")
        k.set(kilo=k.pick(["3.1", "3.4", "2.9", "3.7", "4.0"]), day=k.pick(WEEKDAYS + WEEKEND[:2]))
        child = "girl" if k.slots["p"].he == "she" else "boy"
        k.slots["child"] = child
        k.say(
            "a",
            "[Have you heard|Did you hear|Big news!]? {o} [had the baby|has a baby]! [It's a {child}|A {child}|A little {child}], {p}.",
            "[They were in the hospital all night|I cried when I saw the picture].",
            mood="glad",
        )
        k.maybe(
            ("b", "[Oh, how lovely|That's wonderful|So early]! [Is everybody well|Are they okay|How are they]?"),
            ("a", "[Yes, all well|They're tired but happy|Very well, {kilo} kilos]."),
        )
        k.say("b", "[When can we visit them?|Shall we visit them?|I want to see {p}!|Let's go and see them!]")
        k.say("a", "[They said we can come|We can go] {day}.")
        k.sums_up(
            "{o} had a baby {child}, {p}. {a} and {b} will visit them {day}.",
            what="baby {child} {p}",
            who="{o}",
            when="{day_short}",
            todo="{a}, {b}: visit",
        )
    elif kind == "wedding":
        k.other("p")
        k.set(month=k.pick(MONTHS), city=k.pick(CITIES))
        k.say(
            "a",
            "[Have you heard|Did you hear|Guess what]? {o} and {p} are getting married!",
            "[I always knew it|They met at my birthday, you remember].",
            mood="glad",
        )
        k.say("b", "[No way|Finally|Really]! [When|When and where|Where]?", mood="glad")
        k.say("a", "In {month}, in {city}. [We're all invited|You're invited too|The invitations are coming].")
        k.maybe(("b", "[I need a new dress|I love weddings|I'll start saving]!"), ("a", "[Me too|Haha, same]."))
        k.sums_up(
            "{o} and {p} are getting married in {month} in {city}. {a} and {b} are invited.",
            what="wedding {o}, {p}",
            who="{a}, {b} invited",
            when="{month}",
            where="{city}",
        )
    else:
        k.set(
            month=k.pick(MONTHS),
            city=k.pick(CITIES),
            why=k.pick(["for a new job", "for love", "to study", "to be near {o.his} parents"]),
        )
        k.slots["why"] = k.expand(k.slots["why"], marks=False)
        k.say(
            "a",
            "[Did you know that|Have you heard that|I just heard that] {o} is moving to {city}?",
            "[I found out by chance in the queue at the bakery|Nobody told me anything].",
        )
        k.say("b", "[What|Really]? [When and why|Why]?", mood="sad")
        k.say("a", "In {month}, {why}.")
        k.say(
            "b",
            "[I'll miss {o.him}|That's so far away|I'm sad now]. [Let's throw a party before|We should have a farewell party|We need a goodbye party]!",
        )
        k.say("a", "[Good idea|Yes, let's|Definitely], I'll [organise it|plan it|ask the others].")
        k.sums_up(
            "{o} is moving to {city} in {month} {why}. {a} will organise a farewell party.",
            what="{o} to {city}",
            when="{month}",
            why="{why}",
            todo="{a}: farewell party",
        )


def bad_luck(k):
    """A mishap, and help."""
    kind = k.pick(["ticket", "stolen", "locked", "flight"])
    k.set(place=k.pick(SPOTS), sum=k.pick(PRICES[5:]), minutes=k.pick(MINUTES), city=k.pick(CITIES), day=k.pick(WEEKDAYS))
    if kind == "ticket":
        k.say(
            "a",
            "[I got a parking ticket|They gave me a parking ticket|Parking ticket] [again|] at {place}. {sum} euros!",
            "[I was gone for five minutes|The sign was hidden behind a tree].",
            mood="sad",
        )
        k.say("b", "[Ouch|Oh no|That's a lot]! [Are you going to pay|Will you pay it|And now]?")
        if k.chance(0.5):
            k.say(
                "a",
                "[No, I'll complain|I won't, I'm writing to them|I'm going to appeal]. [The machine was broken|I have a photo of the broken machine].",
            )
            k.sums_up(
                "{a} got a parking ticket of {sum} euros at {place}. {a} will complain because the parking machine was broken.",
                what="parking ticket",
                who="{a}",
                where="{place}",
                price="{sum} euros",
                todo="{a}: complain",
            )
        else:
            k.say("a", "[What else can I do|I have to|Yes, it was my fault]. [I'll pay|I'm paying it|I'll transfer it] {day}.")
            k.sums_up(
                "{a} got a parking ticket of {sum} euros at {place}. {a} will pay it {day}.",
                what="parking ticket",
                who="{a}",
                where="{place}",
                price="{sum} euros",
                when="{day_short}",
            )
    elif kind == "stolen":
        k.set(thing=k.pick(["bike", "phone", "wallet", "backpack", "scooter"]))
        k.say(
            "a",
            "[Somebody stole|They stole] my {thing} at {place}!",
            "[I only turned round for a second|I had just bought it].",
            mood="sad",
        )
        k.say("b", "[Oh no|That's awful|What]! [Have you been to|Did you go to|Have you called] the police?")
        k.say("a", "[Not yet|No|I'm too upset]. [Can you come with me|Will you come along|Would you go with me]?")
        k.say("b", "[Of course|Sure], [I'll be there in|I'm with you in|wait for me, I need] {minutes} minutes.")
        k.sums_up(
            "{a}'s {thing} was stolen at {place}. {b} will go to the police with {a.him}.",
            what="{a}'s {thing} stolen",
            where="{place}",
            todo="{a}, {b}: police",
        )
    elif kind == "locked":
        k.say(
            "a",
            "[I've locked myself out|I'm standing outside without my keys|The door fell shut and the keys are inside]!",
            "[And I'm in my slippers|The soup is on the stove|It's freezing out here].",
            mood="sad",
        )
        k.maybe(("b", "[Again|Not again|Classic you]!"), ("a", "[Don't laugh|It's not funny|I know, I know]."))
        k.say(
            "b",
            "[I have your spare key|Good that I have your spare key|You gave me the spare key]. I'll [be there|come over|bring it] in {minutes} minutes.",
        )
        k.say("a", "[Thank you|You're my hero|What would I do without you]!", mood="glad")
        k.sums_up(
            "{a} has locked {a.him}self out. {b} will bring the spare key in {minutes} minutes.",
            what="{a} locked out",
            todo="{b}: spare key",
            how="{minutes} minutes",
        )
    else:
        k.say(
            "a",
            "[My flight to|The flight to|Our plane to] {city} [was cancelled|is cancelled|isn't going]!",
            "[We've been sitting here on the floor for five hours|They gave us a biscuit and no information].",
            mood="sad",
        )
        k.say("b", "[Oh no|You're joking|What]! [What will you do|And now|What now]?")
        if k.chance(0.5):
            k.say(
                "a",
                "[They put me on another one|The next one is|I'm flying] {day}. [I'm going home for now|I'll sleep at a hotel].",
            )
            k.sums_up(
                "{a}'s flight to {city} was cancelled. {a} will fly {day}.",
                what="flight to {city} cancelled",
                who="{a}",
                when="{day_short}",
            )
        else:
            k.say(
                "a",
                "[I'm taking the train|I'll go by train|There's a night train, I'll take that]. [It takes forever|Fourteen hours|At least it goes].",
            )
            k.sums_up(
                "{a}'s flight to {city} was cancelled. {a} will take the train.",
                what="flight to {city} cancelled",
                who="{a}",
                how="train",
            )


PAIR = [match, baby, bad_luck, bad_luck]
GROUP = []
