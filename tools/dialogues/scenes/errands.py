"""Small things to be done: shopping, lending, fetching, paying back."""

from words import (
    ANY_TIME,
    BIG_PRICES,
    CLOTHES,
    COLOURS,
    DEBTS,
    EVENING,
    FOUND_AT,
    FURNITURE,
    GROCERIES,
    KIDS,
    PRICES,
    SHOPS,
    SOON,
    SPOTS,
    THINGS,
    TOOLS,
    WEEKDAYS,
    WEEKEND,
)


def shopping(k):
    """One is at the shop, the other wants things."""
    one, two, three, four = k.rng.sample(GROCERIES, 4)
    k.set(shop=k.pick(SHOPS), g=one, h=two, i=three, none=four)
    k.say(
        "a",
        "[I'm at|I'm in front of|I'm just going to|I'm on my way to] {shop}. [Do we need anything|Do you need anything|Shall I get anything|Anything you want]?",
    )
    k.maybe(
        ("b", "[Let me look in the fridge|One moment|Wait, I'm checking]."),
        ("a", "[Hurry up|I'm waiting|Take your time|There's a long queue anyway]."),
    )
    k.say(
        "b",
        "[Yes, please|Oh yes|Good that you ask]: {g}[,| and] {h}[.|, please.]",
        "[I wanted to bake something|The fridge is completely empty|We ran out this morning].",
    )
    kind = k.pick(["plain", "more", "sold"])
    if kind == "more":
        k.maybe(("a", "[Okay|Got it|Noted]. [Anything else|Is that all]?"))
        k.say("b", "[And|Oh, and|Wait, also] {i}[!|, I almost forgot.]")
        k.sums_up(
            "{a} is at {shop}. {a} will buy {g}, {h} and {i} for {b}.",
            what="shopping, {g}, {h}, {i}",
            who="{a} for {b}",
            where="{shop}",
        )
    elif kind == "sold":
        k.say(
            "a",
            "[They have no|No more|I can't find any] {h} [left|here|], [shall I take|do you want] {i} [instead|]?",
            mood="sad",
        )
        k.say("b", "[Okay|Yes, fine|Fine, take it|Sure].")
        k.sums_up(
            "{a} will buy {g} and {i} for {b}. {shop} has no {h}.",
            what="shopping, {g}, {i}",
            who="{a} for {b}",
            where="{shop}",
            but="no {h}",
        )
    else:
        k.say("a", "[Okay|Got it|Will do|All right]. [Back in half an hour|See you at home|See you later].")
        k.maybe(("b", "[You're the best|Thank you|Thanks a lot]!"))
        k.sums_up(
            "{a} is at {shop}. {a} will buy {g} and {h} for {b}.", what="shopping, {g}, {h}", who="{a} for {b}", where="{shop}"
        )


def borrow(k):
    """Lending a thing."""
    k.set(
        tool=k.pick(TOOLS),
        day=k.pick(WEEKDAYS + WEEKEND[:2]),
        pickup=k.pick(SOON[:4]),
        time=k.pick(EVENING),
        back=k.pick(["Sunday", "Monday", "the end of the week", "next Friday"]),
    )
    k.say(
        "a",
        "[Do you have|Could you lend me|Can I borrow|Do you own] {tool}? I need it {day}.",
        "[I don't want to buy one just for one day|I looked in three shops and found nothing I could afford|My neighbour used to have one, but he moved away].",
    )
    if k.chance(0.75):
        k.say(
            "b",
            "[Yes, sure|Of course|I do|Sure], [you can have it|it's in the cellar|it's yours|you can pick it up].",
            mood="glad",
        )
        k.maybe(
            ("b", "[I haven't used it for years|But be careful with it, please|It's a bit dusty though]."),
            ("a", "[No worries|I'll be careful|That's fine]."),
        )
        k.say("a", "[Can I come|Can I come by|May I fetch it] {pickup} {time}?")
        k.say("b", "[Yes, I'm at home|Sure|Fine|Works]. [I need it back|Just bring it back|Please return it] by {back}.")
        k.maybe(("a", "[Thanks a million|You're a lifesaver|I owe you one|Promise]!"))
        k.sums_up(
            "{b} will lend {a} {tool}. {a} will pick it up {pickup} {time} and return it by {back}.",
            what="{tool}",
            who="{a} from {b}",
            when="{pickup_short}, {time_short}",
            back="{back}",
        )
    else:
        k.other("o")
        k.say(
            "b",
            "[Sorry, mine is broken|No, I gave mine away|I don't have one]. [Ask|But you could ask|Try] {o}[, I think {o.he} has one|]!",
            mood="sad",
        )
        k.say("a", "[Good idea|Okay, I'll call {o.him}|I'll do that|Right], thanks.")
        k.sums_up(
            "{a} needs {tool} {day}. {b} doesn't have one, so {a} will ask {o}.",
            what="{tool}",
            who="{a}",
            when="{day_short}",
            todo="{a}: ask {o}",
        )


def lost(k):
    """Something left behind is found."""
    k.set(
        thing=k.pick(THINGS),
        where=k.pick(FOUND_AT),
        place=k.pick(SPOTS),
        time=k.pick(ANY_TIME),
        day=k.pick(SOON[:4] + WEEKDAYS[:3]),
    )
    many = k.slots["thing"] in ("keys", "glasses", "headphones", "gloves")
    k.slots["it"] = "them" if many else "it"
    k.say(
        "a",
        "[I can't find my {thing}.|Have you seen my {thing}|I've lost my {thing}!|Did I leave my {thing} somewhere]?",
        "[I've turned the whole flat upside down|I'm sure I had {it} yesterday|This is the third time this month].",
        mood="sad",
    )
    k.maybe(
        ("b", "[When did you last have {it}|Where were you yesterday|Did you look in your bag]?"),
        ("a", "[Yesterday evening, I think|No idea|I looked everywhere]."),
    )
    if k.chance(0.75):
        k.say("b", "[Found {it}|I have {it}|I see {it}|Yes, here]! {where}.", mood="glad")
        k.maybe(("a", "[Phew|Thank God|You saved my day|What a relief]!"))
        k.say("b", "[Let's meet|We can meet] {day} {time} at {place}.")
        k.say("a", "[Great|Perfect|Thank you so much|Wonderful], [see you then|I'll be there].")
        k.sums_up(
            "{b} found {a}'s {thing} {where}. They will meet {day} {time} at {place}.",
            what="{a}'s {thing}, found {where}",
            who="{a}, {b}",
            when="{day_short}, {time_short}",
            where="{place}",
        )
    else:
        k.say("b", "[No, sorry|Not here|I haven't seen {it}]. [Call|Ask at|Try] the lost property office.", mood="sad")
        k.say("a", "[Okay, I'll call them|Good idea, I'll do that|I'll try] {day}.")
        k.sums_up(
            "{a} has lost {a.his} {thing}. {a} will call the lost property office {day}.",
            what="{a}'s {thing}, lost",
            who="{a}",
            when="{day_short}",
            todo="{a}: lost property office",
        )


def debt(k):
    """Money that is owed."""
    k.set(
        what=k.pick(DEBTS),
        sum=k.pick(PRICES),
        day=k.pick(WEEKDAYS + [("tonight", "tonight"), ("today", "today")]),
        way=k.pick(["by bank transfer", "in cash", "with the app"]),
    )
    k.say(
        "a",
        "[How much do I owe you|What do I owe you|What do you get from me|How much was it] for {what}?",
        "[I completely forgot about it|I hate owing people money].",
    )
    k.say("b", "{sum} euros.", "[No hurry though|I found the receipt in my pocket|I rounded it down].")
    k.maybe(("a", "[That much|Only|Are you sure]?"), ("b", "[Yes, I checked|Exactly|Yep, prices went up]."))
    if k.chance(0.8):
        k.say("a", "[Okay, I'll pay|I'll give it to you|You'll get it|I'll send it] {day} {way}.")
        k.maybe(("b", "[No stress|Thanks|Cool|Perfect]."))
        k.sums_up(
            "{a} owes {b} {sum} euros for {what}. {a} will pay {day} {way}.",
            what="{sum} euros for {what}",
            who="{a} to {b}",
            when="{day_short}",
            how="{way}",
        )
    else:
        k.say(
            "a",
            "[I'm broke right now|I don't have it this week|I don't get paid until next week]. [Can you wait until|Is it okay after] the first?",
            mood="sad",
        )
        k.say("b", "[Sure, no problem|Okay, but not longer|Fine].")
        k.sums_up(
            "{a} owes {b} {sum} euros for {what}. {a} will pay after the first of the month.",
            what="{sum} euros for {what}",
            who="{a} to {b}",
            when="after the first",
        )


def fetch_child(k):
    """Collecting a child."""
    k.other("o")
    k.set(
        place=k.pick(KIDS),
        time=k.pick(ANY_TIME[10:24]),
        day=k.pick([("today", "today"), ("tomorrow", "tomorrow")] + WEEKDAYS[:4]),
        why=k.pick(
            ["I have a meeting", "the car is at the garage", "I have to stay at work", "I'm at the doctor's", "my train is late"]
        ),
    )
    k.slots["whys"] = {
        "I have a meeting": "has a meeting",
        "the car is at the garage": "has no car",
        "I have to stay at work": "has to stay at work",
        "I'm at the doctor's": "is at the doctor's",
        "my train is late": "is on a late train",
    }[k.slots["why"]]
    k.say(
        "a",
        "[Can you|Could you|Would you be able to] [pick up|collect|fetch] {o} from {place} {day}? [Sorry|The thing is], {why}.",
        "[I tried my mother, but she doesn't answer|I know it's short notice].",
    )
    if k.chance(0.75):
        k.say("b", "[Sure|Of course|No problem|Okay]. [When|What time|At what time]?")
        k.say("a", "{time}.", "[Don't forget the bag|{o.he} will wait at the gate|Take a snack, {o.he} is always hungry then].")
        k.maybe(("b", "[Got it|Okay, I'll be there|Consider it done]."), ("a", "[Thank you|You're an angel|I owe you one]!"))
        k.sums_up(
            "{b} will pick up {o} from {place} {day} {time}, because {a} {whys}.",
            what="pick up {o}",
            who="{b}",
            when="{day_short}, {time_short}",
            where="{place}",
            why="{a} {whys}",
        )
    else:
        k.other("p")
        k.say(
            "b",
            "[I can't|Sorry, I can't|Impossible], [I'm working|I'm out of town|I have no car today]. [Ask|What about|Did you ask] {p}?",
            mood="sad",
        )
        k.say("a", "[Okay, I'll call {p.him}|Good idea|Right, I'll ask {p.him}].")
        k.sums_up(
            "{a} {whys} and can't pick up {o} from {place} {day}. {b} can't either, so {a} will ask {p}.",
            what="pick up {o}",
            who="{a}",
            when="{day_short}",
            where="{place}",
            todo="{a}: ask {p}",
        )


def opinion(k):
    """A photo from the shop: take it or leave it?"""
    clothes = k.chance(0.6)
    first, second = k.rng.sample(COLOURS, 2)
    k.set(
        item=k.pick(CLOTHES if clothes else FURNITURE), red=first, blue=second, sum=k.pick(PRICES[6:] if clothes else BIG_PRICES)
    )
    k.say("a", "[What do you think|Opinion, please!|Look at this!|Yes or no]?")
    k.say("a", "<file_photo>")
    k.maybe(
        ("b", "[Where are you|Is that the shop near the station|Ooh!]?"),
        ("a", "[In town|Shopping with my mum|Just looking around]."),
    )
    k.say("b", "[Nice {item}|A new {item}|I like the {item}]! [How much|What does it cost]?")
    k.say("a", "{sum} euros. [They also have it in {blue}.|There is a {blue} one, too.|Or should I take {blue}]?")
    if k.chance(0.7):
        k.say(
            "b",
            "[Take the {red} one|{red} is better|I prefer {red}|{red}, definitely]!",
            "[The other one makes everything look dark|It goes with everything you have].",
            mood="glad",
        )
        k.say("a", "[Okay, I'm taking it|Sold|You're right|I'll take it]!", mood="glad")
        k.sums_up(
            "{a} will buy the {red} {item} for {sum} euros. {b} likes {red} better than {blue}.",
            what="{red} {item}",
            who="{a}",
            price="{sum} euros",
            but="not {blue}",
        )
    else:
        k.say(
            "b",
            "[That's too expensive|Way too much money|You don't need it]. [Wait for the sales|I'd leave it|Look online first].",
            mood="sad",
        )
        k.say("a", "[You're right|Hm, okay|True], [I'll leave it|I won't buy it|I'm not buying it].")
        k.sums_up(
            "{a} won't buy the {item} for {sum} euros, because {b} finds it too expensive.",
            what="no {item}",
            who="{a}",
            price="{sum} euros",
            why="too expensive",
        )


def parcel(k):
    """A neighbour takes a parcel."""
    k.set(
        day=k.pick([("today", "today"), ("tomorrow", "tomorrow")] + WEEKDAYS[:5]),
        time=k.pick(EVENING),
        what=k.pick(["parcel", "pizza oven", "new shoes", "box of books", "plants", "mattress", "bike", "birthday present"]),
    )
    k.say(
        "a",
        "[Will you be at home|Are you at home|Are you in] {day}? [I'm waiting for my|They're delivering my|I ordered something: my] {what}.",
        "[The courier never calls|Last time they sent it back|They only say between 8 and 6].",
    )
    if k.chance(0.75):
        k.say("b", "[Yes|Yes, all day|I'm working from home, so yes], [I can take it|I'll take it|they can ring at my door].")
        k.say("a", "[Great|Thank you|Fantastic]! [I'll come|I'll pick it up|I'll fetch it] {day} {time}.", mood="glad")
        k.maybe(("b", "[No problem|Any time|That's what neighbours are for]."))
        k.sums_up(
            "{b} will take in {a}'s {what}. {a} will pick it up {day} {time}.",
            what="{a}'s {what}",
            who="{b} for {a}",
            when="{day_short}, {time_short}",
        )
    else:
        k.other("o")
        k.say(
            "b",
            "[No, sorry|Sadly not|No, I'm away]. {o} [from the ground floor|from upstairs|next door] [should be there|is at home then|can take it].",
            mood="sad",
        )
        k.say("a", "[Okay, I'll ask {o.him}|I'll ring at {o}'s|Then I'll ask {o}].")
        k.sums_up(
            "{a} is waiting for {a.his} {what} {day}. {b} won't be at home, so {a} will ask {o}.",
            what="{a}'s {what}",
            who="{a}",
            when="{day_short}",
            todo="{a}: ask {o}",
        )


PAIR = [shopping, shopping, borrow, lost, debt, fetch_child, opinion, parcel]
GROUP = []
