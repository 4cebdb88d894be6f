"""On the way: lifts, delays, trips, moving house."""

from words import (
    AFTERNOON,
    BIG_PRICES,
    CITIES,
    DATES,
    DAYS,
    DELAYS,
    EVENING,
    EVENTS,
    FAR,
    FURNITURE,
    HOLIDAYS,
    MINUTES,
    MONTHS,
    MORNING,
    PRICES,
    SPOTS,
    WEEKDAYS,
    WEEKEND,
)


def late(k):
    """Somebody will be late."""
    said, short = k.pick(DELAYS)
    k.set(delay=said, delay_short=short, minutes=k.pick(MINUTES), event=k.pick(EVENTS), place=k.pick(SPOTS))
    k.say(
        "b",
        "[Where are you|Are you coming|Are you on your way]? [{event} starts soon|We're about to start {event}|Everybody is waiting]!",
        "[I'm standing here in the cold with two coffees|People are asking me and I don't know what to say].",
    )
    k.say(
        "a",
        "[Sorry|So sorry|I know, sorry]! I'm {delay}.",
        "[I left early for once in my life|Of course today of all days|My battery is nearly empty, too].",
        mood="sad",
    )
    k.maybe(("b", "[Again|Not again|You're joking]!"), ("a", "[It's not my fault this time|I swear it's true|Don't be angry]."))
    k.say("a", "[I'll be there in|I need another|Give me|It'll take] {minutes} minutes.")
    if k.chance(0.6):
        k.say("b", "[Okay, we'll wait|No problem, I'll wait|Fine, we'll wait for you].")
        k.sums_up(
            "{a} is {delay} and will be {minutes} minutes late for {event}. {b} will wait.",
            what="{a} late for {event}",
            why="{delay_short}",
            how="{minutes} minutes",
            todo="{b}: wait",
        )
    else:
        k.say(
            "b",
            "[We'll start without you|We can't wait, sorry|We're starting now], [come in quietly|I'll save you a seat|use the back door].",
        )
        k.sums_up(
            "{a} is {delay} and will be {minutes} minutes late for {event}. They will start without {a.him}.",
            what="{a} late for {event}",
            why="{delay_short}",
            how="{minutes} minutes",
            but="start without {a}",
        )


def lift(k):
    """A ride."""
    k.set(
        goal=k.pick(
            [
                "the airport",
                "the train station",
                "the hospital",
                "the furniture store",
                "the wedding",
                "the ferry",
                "the festival",
                "the tyre shop",
            ]
        ),
        day=k.pick(WEEKDAYS + WEEKEND[:2]),
        time=k.pick(MORNING[5:] + AFTERNOON + EVENING),
        place=k.pick(SPOTS),
    )
    k.say(
        "a",
        "[Could you give me a lift|Can you drive me|Could you take me|Any chance of a ride] to {goal} {day}?",
        "[The trains are on strike|A taxi costs a fortune|I'll have two huge suitcases].",
    )
    if k.chance(0.75):
        k.say("b", "[Sure|Of course|Yes, I can do that|No problem]. [When|What time|When do you have to be there]?")
        first = k.chance(0.35)
        if first:
            k.set(early=k.pick(MORNING[:5]))
            k.say("a", "[Is {early} okay|How about {early}|{early}, if that's possible.]?")
            k.say("b", "[That's too early|I can't, I'm at work then|Hm, hard for me]. {time}?")
            k.say("a", "[Okay, still fine|That works too|Fine].")
        else:
            k.say("a", "{time}.")
        k.say(
            "b",
            "[I'll pick you up|I'll be waiting|Meet me|Let's meet] at {place}.",
            "[Look for the grey car|Be there on time, I can't park there|Bring good music].",
        )
        k.maybe(("a", "[You're the best|Thanks a lot|I'll pay for the petrol]!"))
        k.sums_up(
            "{b} will drive {a} to {goal} {day}. They will meet {time} at {place}.",
            what="lift to {goal}",
            who="{b} for {a}",
            when="{day_short}, {time_short}",
            where="{place}",
        )
    else:
        k.set(way=k.pick(["the bus", "a taxi", "the train", "the night bus"]))
        k.say(
            "b",
            "[Sorry, my car is at the garage|I can't, I have no car at the moment|I'm away then, sorry]. [Take|You could take] {way}.",
            mood="sad",
        )
        k.say("a", "[Okay|All right|Too bad], I'll take {way}.")
        k.sums_up(
            "{a} needs a lift to {goal} {day}. {b} can't drive {a.him}, so {a} will take {way}.",
            what="to {goal}",
            who="{a}",
            when="{day_short}",
            how="{way}",
        )


def trip(k):
    """A trip to a city."""
    city = k.pick(CITIES)
    k.set(
        city=city,
        month=k.pick(MONTHS),
        way="by plane" if city in FAR else k.pick(["by train", "by plane", "by bus", "by car"]),
        sum=k.pick(PRICES[9:] + BIG_PRICES),
        nights=k.pick([2, 3, 4, 5, 7]),
    )
    k.say(
        "a",
        "[I'm going to|I want to go to|I'm planning a trip to|I've decided to go to] {city} in {month}. [Do you want to come|Come with me!|Are you in|Would you join me]?",
        "[I've never been there|I need a break from everything|I keep looking at pictures of it].",
        mood="glad",
    )
    k.say(
        "b",
        "[How are you getting there|How do we get there|Are you flying]? [And how much is it|What does it cost|And the price]?",
    )
    k.say("a", "{way}, {sum} euros [for {nights} nights|, {nights} nights].")
    kind = k.pick(["yes", "yes", "no", "think"])
    if kind == "yes":
        k.say("b", "[I'm in|Yes, let's do it|Count me in|Book it for both of us]!", mood="glad")
        k.maybe(
            ("a", "[Yay|I'm so happy|That will be fun]!"),
            ("b", "[I need new walking shoes|I'll look for a nice hotel|I'm already learning the words for coffee and cake]."),
        )
        k.sums_up(
            "{a} and {b} are going to {city} {way} in {month} for {nights} nights. It costs {sum} euros.",
            what="trip to {city}",
            who="{a}, {b}",
            when="{month}, {nights} nights",
            how="{way}",
            price="{sum} euros",
        )
    elif kind == "no":
        k.say(
            "b",
            "[I can't get time off then|I have no holidays left|I have to save money this year], [sorry|what a pity|next time].",
            mood="sad",
        )
        k.maybe(("a", "[I'll send you a postcard|Then I'll go alone|I'll bring you something]."))
        k.sums_up(
            "{a} is going to {city} {way} in {month} for {nights} nights. {b} can't come.",
            what="trip to {city}",
            who="{a}",
            when="{month}, {nights} nights",
            how="{way}",
            but="without {b}",
        )
    else:
        k.set(day=k.pick(DAYS[:7]))
        k.say(
            "b",
            "[Sounds good, let me think about it|I have to ask my boss|I need to check my account first]. I'll [tell you|let you know] {day}.",
        )
        k.say("a", "[Okay|Sure|Fine], [but the tickets go fast|take your time|I'll wait].")
        k.sums_up(
            "{a} is going to {city} {way} in {month} for {nights} nights. {b} will tell {a} {day} if {b.he} is coming.",
            what="trip to {city}",
            who="{a}",
            when="{month}, {nights} nights",
            how="{way}",
            todo="{b}: answer, {day_short}",
        )


def moving_house(k):
    """Help with boxes."""
    k.set(
        day=k.pick(WEEKEND + DATES),
        time=k.pick(MORNING),
        thing=k.pick(FURNITURE),
        food=k.pick(["pizza", "beer and pizza", "breakfast", "soup", "cake"]),
    )
    k.say(
        "a",
        "[I'm moving|We're moving|The big move is] {day}. [Can you help me|Could you help|Do you have time to help]?",
        "[There's no lift, I should say|I have far more books than I thought|It's only across the street, but still].",
    )
    if k.chance(0.75):
        k.say("b", "[Sure|Of course|Yes, I'm free], [when do you start|what time|when should I be there]?")
        k.say("a", "{time}. [There will be {food}|I'll pay with {food}|You'll get {food}].")
        k.maybe(
            ("b", "[Is the {thing} coming too|Do we have to carry the {thing}]?"), ("a", "[Haha, yes|I'm afraid so|Of course].")
        )
        k.sums_up(
            "{a} is moving {day}. {b} will help from {time_short}.",
            what="{a} moves",
            who="{a}, {b}",
            when="{day_short}, {time_short}",
        )
    else:
        k.excuse("b")
        k.say(
            "b",
            "[I'd love to, but|Sorry, but|I can't:] {mine}. [You can have my van|Take my van if you like|But you can use my van].",
            mood="sad",
        )
        k.say("a", "[That helps a lot|Oh, great|Perfect], thanks!", mood="glad")
        k.sums_up(
            "{a} is moving {day}. {b} can't help because {b.he} {why}, but {a} can use {b.his} van.",
            what="{a} moves",
            who="{a}",
            when="{day_short}",
            but="{b}: {why_short}",
            how="{b}'s van",
        )


def group_holiday(k):
    """Where to go together."""
    first, second = k.rng.sample(HOLIDAYS, 2)
    k.set(first=first, goal=second, month=k.pick(MONTHS), days=k.pick([4, 5, 7, 10, 14]), sum=k.pick(BIG_PRICES))
    k.say(
        "a",
        "[So, what about our holiday in {month}|Let's talk about the holiday in {month}.|We need to decide about the holiday in {month}.]? [I'd say|My vote:|I'm for] {first}.",
        "[The prices go up every day|I've made a list with eleven tabs open].",
    )
    k.say(
        "b",
        "[Hm|No|I'd rather not], [I'd prefer|I'm for|I vote for] {goal}.",
        "[We did that two years ago and it rained all the time|I want to see something new].",
    )
    k.maybe(("c", "[I don't care as long as the food is good|Anywhere but home|Both fine for me]."))
    k.say("c", "[{goal}|{goal} for me too|I'm with {b}]!")
    k.maybe(("a", "[Okay, {goal} then|Fine|All right, I give in]."))
    if "d" in k.slots:
        k.say("d", "[Can we stay under {sum} euros|My budget is {sum} euros.|Not more than {sum} euros, please.]?")
        k.say("a", "[Yes, we can|That's possible|Sure]. [I'll look for a place|I'll book something|I'll find us something].")
        k.sums_up(
            "{a}, {b}, {c} and {d} are going on holiday in {month}: {goal}, for less than {sum} euros.",
            "{a} will book it.",
            what="holiday, {goal}",
            who="{a}, {b}, {c}, {d}",
            when="{month}",
            price="{sum} euros",
            todo="{a}: book",
        )
    else:
        k.say("a", "[I'll book it|I'll look for a place|I'll find us something]. {days} days?")
        k.say("b", "[Perfect|Yes|Yes, {days} days].")
        k.sums_up(
            "{a}, {b} and {c} are going on holiday in {month}: {goal}, for {days} days.",
            "{a} will book it.",
            what="holiday, {goal}",
            who="{a}, {b}, {c}",
            when="{month}, {days} days",
            todo="{a}: book",
        )


PAIR = [late, lift, trip, moving_house]
GROUP = [group_holiday]
