"""Things that break, rooms, cooking, pets, neighbours."""

from words import (
    ANY_TIME,
    AREAS,
    BIG_PRICES,
    DAYS,
    DISHES,
    EVENING,
    GROCERIES,
    MACHINES,
    PETS,
    PRICES,
    RECIPES,
    RENTS,
    SHOPS,
    SOON,
    WEEKDAYS,
)


def repair(k):
    """Something is broken; who repairs it, when, for how much."""
    k.set(machine=k.pick(MACHINES), day=k.pick(WEEKDAYS), sum=k.pick(PRICES[5:] + BIG_PRICES[:4]), time=k.pick(ANY_TIME))
    k.say(
        "a",
        "My {machine} [is broken|has died|doesn't work any more|gave up this morning|stopped working today].",
        "[It makes a noise like a dying whale|There was a bang and then nothing|Of course the warranty ended last month].",
        mood="sad",
    )
    k.maybe(
        ("b", "[Oh no|Again|Not again]! [What happened|What's wrong with it|How did that happen]?"),
        ("a", "[I have no idea|It just stopped|There was smoke, I think|The children say they didn't touch it]."),
    )
    kind = k.pick(["friend", "expert", "new", "self"])
    if kind == "friend":
        k.say(
            "b",
            "[I can have a look|Let me look at it|I'll take a look|I could try to fix it] {day} {time}.",
            "[My father taught me a thing or two|I fixed mine last year with a video|No promises though].",
        )
        k.say(
            "a",
            "[Really|You would do that|Oh, that would be great!]? [I'll cook something for you|I'll make dinner|Thank you so much]!",
            mood="glad",
        )
        k.sums_up(
            "{a}'s {machine} is broken. {b} will have a look at it {day} {time}.",
            what="{machine} broken",
            who="{a}",
            when="{day_short}, {time_short}",
            todo="{b}: look at it",
        )
    elif kind == "expert":
        k.other("o")
        k.say(
            "b",
            "[Call|Try|You should call|Ask] {o}, {o.he} [repaired mine|fixed mine|is good and cheap|knows these things].",
            "[I have the number somewhere|It took {o.him} ten minutes|{o.he} even comes at weekends].",
        )
        k.say(
            "a",
            "[Did that|Just called {o.him}|Okay, I've called {o.him}]. {o.he} [is coming|will come|comes] {day}, [it costs|for|it's] {sum} euros.",
        )
        k.maybe(("b", "[That's fair|Not bad|Good price]."), ("a", "[Thanks for the tip|You saved me|Let's hope for the best]."))
        k.sums_up(
            "{a}'s {machine} is broken. {o} will repair it {day} for {sum} euros.",
            what="{machine} broken",
            who="{a}",
            when="{day_short}",
            price="{sum} euros",
            todo="{o}: repair",
        )
    elif kind == "new":
        k.say("b", "[Can it be fixed|Is it worth repairing|Can't they repair it]?")
        k.say(
            "a",
            "[No, it's too old|They said it's not worth it|The repair costs more than a new one]. [I'm buying|I'll buy|I'm going to get] a new one {day}.",
            mood="sad",
        )
        k.maybe(
            ("b", "[Get the same as mine|Look for a used one first|Mine was {sum} euros and it's great]."),
            ("a", "[Good to know|I'll think about it|Send me a link]."),
        )
        k.sums_up(
            "{a}'s {machine} is broken and not worth repairing. {a} will buy a new one {day}.",
            what="{machine} broken",
            who="{a}",
            when="{day_short}",
            todo="{a}: new one",
        )
    else:
        k.say("b", "[Did you try turning it off and on|Have you switched it off and on again|Unplug it and wait a minute].")
        k.say("a", "[Wait|One moment|Trying|Let me try].")
        k.say("a", "[It works|Now it works|You're a genius, it's running again]!", mood="glad")
        k.maybe(("b", "[Told you|My invoice will follow|Magic]!"))
        k.sums_up(
            "{a}'s {machine} didn't work. {b} told {a.him} to turn it off and on again, and now it works.",
            what="{machine} works again",
            who="{a}, {b}",
            how="off and on",
        )


def pet(k):
    """Looking after an animal."""
    animal, name = k.pick(PETS)
    k.set(
        animal=animal,
        pet=name,
        start=k.pick([d[1] for d in DAYS[:4]]),
        end=k.pick([d[1] for d in DAYS[4:7]]),
        where=k.pick(["a wedding", "a conference", "my parents' place", "the seaside", "a training course", "the hospital"]),
        day=k.pick(SOON[:4]),
        time=k.pick(EVENING),
    )
    k.say(
        "a",
        "[Could you look after|Can you take care of|Would you look after|Could you feed] {pet} from {start} to {end}?",
        "[The pet hotel is full|{pet} likes you so much|The neighbours have moved away].",
    )
    k.maybe(("b", "[Where are you going|Are you going away|What's happening]?"), ("a", "[I have to go to|I'm off to] {where}."))
    if k.chance(0.75):
        k.say("b", "[Of course|Gladly|Sure|I'd love to], [I love that {animal}|{pet} is so sweet|no problem].", mood="glad")
        k.maybe(
            ("b", "[What does {pet} eat|How often do I come by|Anything I should know]?"),
            ("a", "[Food is in the kitchen, twice a day|Everything's on a note on the fridge|Just food and a bit of company]."),
        )
        k.say("a", "[Thanks|Great|Wonderful]! I'll [bring you|give you|drop off] the keys {day} {time}.")
        k.sums_up(
            "{b} will look after {a}'s {animal} {pet} from {start} to {end}. {a} will bring the keys {day} {time}.",
            what="{animal} {pet}",
            who="{b} for {a}",
            when="{start} to {end}",
            todo="{a}: keys, {day_short}, {time_short}",
        )
    else:
        k.other("o")
        k.say(
            "b",
            "[I'm allergic|I'm away too|My flat is too small for that], [sorry|unfortunately|so I can't]. [Ask|Maybe] {o}?",
            mood="sad",
        )
        k.say("a", "[Okay|All right], I'll [ask|call|write to] {o.him}.")
        k.sums_up(
            "{a} needs somebody for {a.his} {animal} {pet} from {start} to {end}. {b} can't do it, so {a} will ask {o}.",
            what="{animal} {pet}",
            when="{start} to {end}",
            todo="{a}: ask {o}",
        )


def flat(k):
    """Rooms to rent."""
    k.set(
        area=k.pick(AREAS),
        rent=k.pick(RENTS),
        rooms=k.pick([1, 2, 3]),
        day=k.pick(WEEKDAYS + DAYS[5:6]),
        time=k.pick(ANY_TIME),
        month=k.pick(["May", "June", "July", "August", "September", "October"]),
    )
    k.slots["size"] = f"{k.slots['rooms']}-room flat"
    k.say(
        "a",
        "I [saw|looked at|visited|found] a {size} in {area}.",
        "[I've been looking for four months now|There were twenty people in the stairway|The landlady asked for my shoe size].",
    )
    k.say("b", "[And|How is it|Tell me!]? [How much is the rent|What's the rent|How much do they want]?")
    k.say("a", "{rent} euros.")
    kind = k.pick(["take", "no", "look"])
    if kind == "take":
        k.maybe(
            ("b", "[Is it noisy|Does it have a balcony|Is it far from work]?"),
            ("a", "[No, not at all|Yes|A little, but that's okay]."),
        )
        k.say(
            "a",
            "[I'm taking it|I'll take it|I signed today]! [I'm moving in|I can move in|Moving day is] in {month}.",
            mood="glad",
        )
        k.maybe(("b", "[Congratulations|Great|I'll help you carry things]!"))
        k.sums_up(
            "{a} is taking a {size} in {area} for {rent} euros. {a} will move in in {month}.",
            what="{size}",
            who="{a}",
            when="{month}",
            where="{area}",
            price="{rent} euros",
        )
    elif kind == "no":
        k.say(
            "a",
            "[But it's dark and damp|But there's mould in the bathroom|But the street is so loud]. [I said no|I'm not taking it|I'll keep looking].",
            mood="sad",
        )
        k.maybe(("b", "[You'll find something better|Good decision|Keep looking]."))
        k.sums_up(
            "{a} saw a {size} in {area} for {rent} euros, but {a.he} won't take it.",
            what="{size}",
            who="{a}",
            where="{area}",
            price="{rent} euros",
            but="not taken",
        )
    else:
        k.say("b", "[That's a lot|Sounds good|Hm]. [Shall I come with you|Do you want me to have a look too|Can I see it]?")
        k.say(
            "a",
            "[Yes, please|That would be great|Please do]. [The second viewing is|We can see it again|There's another viewing] {day} {time}.",
        )
        k.sums_up(
            "{a} found a {size} in {area} for {rent} euros. {a} and {b} will look at it {day} {time}.",
            what="{size}",
            who="{a}, {b}",
            when="{day_short}, {time_short}",
            where="{area}",
            price="{rent} euros",
        )


def cooking(k):
    """What is for dinner, and what is missing."""
    k.set(
        dish=k.pick(DISHES),
        g=k.pick(GROCERIES),
        time=k.pick(EVENING),
        shop=k.pick(SHOPS),
        day=k.pick([("today", "today"), ("tonight", "tonight"), ("tomorrow", "tomorrow")]),
    )
    k.say(
        "a",
        "[I'm making|I'm cooking|I want to make|I'll make] {dish} {day}. [Do you want to come|Are you coming|Will you eat with us|Join us!]?",
        "[It's my grandmother's recipe|I've wanted to try that for months|There will be far too much of it].",
    )
    if k.chance(0.8):
        k.say("b", "[Yum|Oh yes|Gladly|Say no more]! [When|What time|When do we eat]?", mood="glad")
        if k.chance(0.6):
            k.say(
                "a",
                "{time}. [Could you bring|Can you get] {g} [from {shop}|on the way from {shop}]?",
                "[I forgot it, as usual|I thought I still had some|The recipe needs a lot of it].",
            )
            k.say("b", "[Sure|No problem|Okay|Will do].")
            k.sums_up(
                "{a} is making {dish} {day}. {b} will come {time} and bring {g}.",
                what="dinner, {dish}",
                who="{a}, {b}",
                when="{day_short}, {time_short}",
                bring="{b} {g}",
            )
        else:
            k.say("a", "{time}. [Just bring yourself|You don't need to bring anything|Only bring hunger].")
            k.sums_up(
                "{a} is making {dish} {day}. {b} will come {time}.",
                what="dinner, {dish}",
                who="{a}, {b}",
                when="{day_short}, {time_short}",
            )
    else:
        k.say(
            "b",
            "[I've already eaten|I'm on a diet|I promised to eat at my mum's], [sorry|another time|save me some].",
            mood="sad",
        )
        k.maybe(("a", "[More for me|I'll freeze some for you|Your loss]!"))
        k.sums_up(
            "{a} is making {dish} {day}, but {b} won't come.",
            what="dinner, {dish}",
            who="{a}",
            when="{day_short}",
            but="without {b}",
        )


def recipe(k):
    """Asking for a recipe."""
    dish = k.pick(sorted(RECIPES))
    one, two, three = k.rng.sample(RECIPES[dish], 3)
    k.set(
        dish=dish,
        g=one,
        h=two,
        i=three,
        minutes=k.pick([20, 30, 40, 45, 60, 90]),
        whom=k.pick(["in-laws", "boss", "flatmates", "neighbours", "kids", "brother"]),
        day=k.pick(SOON[1:] + DAYS[:5]),
    )
    k.say(
        "a",
        "[How do you make|Can you give me the recipe for|What goes into|Do you remember how to make] {dish}? [I'm cooking for|It's for] my {whom} {day}.",
        "[Yours was the best I ever had|I burnt water last week|I don't trust the internet].",
    )
    k.say(
        "b",
        "[Easy|It's simple|That's not hard]: [you need|take] {g}, {h} and {i}.",
        "[More salt than you think|Don't stir it too much|Use the big pot].",
    )
    k.say("a", "[And how long does it take|How long]?")
    k.say("b", "{minutes} minutes.")
    k.maybe(
        ("a", "[Thank you, chef|I'll send you a photo|Wish me luck]!"),
        ("b", "[Good luck|You can do it|Call me if something burns]."),
    )
    k.sums_up(
        "{a} wants to make {dish} for {a.his} {whom} {day}. {b} says that it needs {g}, {h} and {i} and takes {minutes} minutes.",
        what="{dish}",
        who="{a} for {a.his} {whom}",
        when="{day_short}",
        need="{g}, {h}, {i}",
        how="{minutes} minutes",
    )


def noise(k):
    """Neighbours."""
    k.set(
        noise=k.pick(
            [
                "drilling",
                "playing the drums",
                "having a party",
                "singing opera",
                "moving furniture",
                "barking, I mean the dog,",
                "practising the trumpet",
            ]
        ),
        since=k.pick(["since 6 in the morning", "since midnight", "for three hours", "all night", "every evening this week"]),
        day=k.pick([("tonight", "tonight"), ("today", "today"), ("tomorrow", "tomorrow"), ("after work", "after work")]),
    )
    if k.slots["noise"].startswith("barking"):
        k.set(noise="hammering")
    k.say(
        "a",
        "[My neighbour|The neighbour upstairs|The man next door|My new neighbour] has been {noise} {since}[!|, I'm going mad!|. I can't take it.]",
        "[Even the walls are shaking|I've tried earplugs and two pillows|I have to get up at six].",
        mood="sad",
    )
    k.maybe(("b", "[Oh dear|Poor you|Again]!"), ("a", "[I haven't slept at all|My head hurts|I can't hear myself think]."))
    kind = k.pick(["talk", "note", "bed"])
    if kind == "talk":
        k.say("b", "[Have you talked to them|Just go and talk to them.|Why don't you ring the bell and ask]?")
        k.say("a", "[I'll do that|I'll go up there|I'll ring the bell] {day}.")
        k.sums_up(
            "{a}'s neighbour has been {noise} {since}. {a} will talk to the neighbour {day}.",
            what="neighbour, {noise}",
            who="{a}",
            when="{day_short}",
            todo="{a}: talk",
        )
    elif kind == "note":
        k.say("b", "[Write them a note|Put a letter in their mailbox|Leave a note on the door].")
        k.say("a", "[Good idea|Okay|I'll try that], [I'll write one|I'll do it] {day}.")
        k.sums_up(
            "{a}'s neighbour has been {noise} {since}. {a} will write the neighbour a note {day}.",
            what="neighbour, {noise}",
            who="{a}",
            when="{day_short}",
            todo="{a}: note",
        )
    else:
        k.say("b", "[You can sleep at my place|Come and sleep here|My sofa is free] {day}.")
        k.say("a", "[Really? Thank you|You're an angel|I'm packing my things]!", mood="glad")
        k.sums_up(
            "{a}'s neighbour has been {noise} {since}. {a} will sleep at {b}'s place {day}.",
            what="neighbour, {noise}",
            who="{a}",
            when="{day_short}",
            where="{b}'s place",
        )


PAIR = [repair, repair, pet, flat, cooking, recipe, noise]
GROUP = []
