"""The office, school, exams, appointments."""

from words import (
    ANY_TIME,
    APPOINTMENTS,
    COMPANIES,
    COURSES,
    DAYS,
    DOCUMENTS,
    EVENTS,
    ILLNESSES,
    MONTHS,
    PRICES,
    ROLES,
    SUBJECTS,
    WEEKDAYS,
    WEEKEND,
)


def document(k):
    """A paper that is due."""
    k.set(
        doc=k.pick(DOCUMENTS),
        day=k.pick(WEEKDAYS),
        time=k.pick(ANY_TIME[:19]),
        sent=k.pick([d for d in WEEKDAYS if d[1] not in ("tomorrow",)]),
    )
    k.slots["it"] = "them" if k.slots["doc"] in ("the slides", "the survey results", "the minutes", "the sales figures") else "it"
    k.say(
        "a",
        "[When can I have|Are you done with|How far are you with|Is there any news about] {doc}? [I need {it}|The client wants {it}|The boss asks for {it}] {day}.",
        "[I have to present the whole thing upstairs|I've been asked about it three times this morning].",
    )
    kind = k.pick(["ready", "delay", "help"])
    if kind == "ready":
        k.say("b", "[Almost done|Just checking the last page|Nearly there]. I'll [send|mail] {it} [to you|] today {time}.")
        k.maybe(
            ("a", "[Great|Perfect|You're a star]!"),
            ("b", "[Have a look at the second part, please|I hope you like it|It got a bit longer than planned]."),
        )
        k.sums_up(
            "{b} will send {a} {doc} today {time}. {a} needs {it} {day}.",
            what="{doc}",
            who="{b} to {a}",
            when="today, {time_short}",
        )
    elif kind == "delay":
        k.set(
            why=k.pick(
                [
                    ("the computer crashed", "computer"),
                    ("some numbers are missing", "numbers"),
                    ("nobody answered my emails", "no answers"),
                    ("I was ill", "illness"),
                ]
            )
        )
        k.slots["whys"] = {
            "the computer crashed": "the computer crashed",
            "some numbers are missing": "some numbers are missing",
            "nobody answered my emails": "nobody answered {b.his} emails",
            "I was ill": "{b.he} was ill",
        }[k.slots["why"]]
        k.slots["whys"] = k.expand(k.slots["whys"], marks=False)
        k.say(
            "b",
            "[I'm afraid it'll take longer|It's not ready|There's a problem|I'm behind], {why}.",
            "[I worked on it all weekend|I'm really sorry, it has never happened to me before].",
            mood="sad",
        )
        k.say("a", "[Oh no|Hm|Okay]. [When then|So when|What's realistic]?")
        k.say("b", "{sent}. [Is that okay|Would that still work]?")
        k.say("a", "[Fine, but not later|Okay, I'll tell them|All right, I'll explain it].")
        k.sums_up(
            "{b} hasn't finished {doc} because {whys}. {a} will get {it} {sent}.",
            what="{doc}",
            who="{b} to {a}",
            when="{sent_short}",
            why="{why_short}",
        )
    else:
        k.say(
            "b",
            "[I'm stuck|I need help|I can't do it alone]. [Can we go through {it} together|Could you look at {it} with me|Do you have an hour for me]?",
            mood="sad",
        )
        k.say("a", "[Sure|Of course|Okay]. [Come to my desk|My office|Meeting room] {time}.")
        k.maybe(("b", "[Thank you|Phew, thanks|I'll bring coffee]!"))
        k.sums_up(
            "{b} needs help with {doc}. {a} will help {b.him} {time}.",
            what="{doc}",
            who="{a}, {b}",
            when="{time_short}",
            why="help",
        )


def new_job(k):
    """An offer, or a no."""
    k.set(
        company=k.pick(COMPANIES),
        role=k.pick(ROLES),
        month=k.pick(MONTHS),
        day=k.pick(DAYS[:8]),
        bar=k.pick(["dinner", "drinks", "cake", "sushi", "champagne"]),
    )
    k.say("a", "[Guess what|You won't believe it|I have news|News from me]!")
    good = k.chance(0.65)
    if good:
        k.maybe(("b", "[What|Tell me!|Now I'm curious.]?"))
        k.say(
            "a",
            "[I got the job|They took me|They want me|I got an offer] at {company}, [as|I'll be] {role}!",
            "[There were more than eighty people who applied|I've read the email five times to be sure|I screamed so loud that the neighbours came].",
            mood="glad",
        )
        k.say(
            "b",
            "[Wow|Congratulations|That's amazing|I'm so proud of you]! [When do you start|When is your first day|From when]?",
            mood="glad",
        )
        k.say("a", "In {month}.")
        if k.chance(0.6):
            k.say("b", "[We have to celebrate|Let's celebrate|This calls for a party]! {bar} {day}?")
            k.say("a", "[Yes|Of course|Gladly], [it's on me|I'm paying|I'll invite you]!")
            k.sums_up(
                "{a} got a job at {company} as {role} and starts in {month}. {a} and {b} will celebrate with {bar} {day}.",
                what="job as {role}",
                who="{a}",
                where="{company}",
                when="{month}",
                todo="{a}, {b}: {bar}, {day_short}",
            )
        else:
            k.maybe(("b", "Does your boss know?"), ("a", "[I'll tell her tomorrow|Not yet|Yes, he took it well]."))
            k.sums_up(
                "{a} got a job at {company} as {role} and starts in {month}.",
                what="job as {role}",
                who="{a}",
                where="{company}",
                when="{month}",
            )
    else:
        k.say(
            "a",
            "[I didn't get the job|They said no|They took somebody else] at {company}. [I wanted to be|I'd have been] {role}.",
            "[The interview went so well|They didn't even call, just three lines by email].",
            mood="sad",
        )
        k.say(
            "b",
            "[I'm so sorry|Oh no|Their loss]. [Come over|Let's go out|I'm inviting you] {day}, [I'll make|there will be|for] {bar}!",
        )
        k.say("a", "[Okay|Thank you|That's sweet], [I'd like that|gladly|I need that].")
        k.sums_up(
            "{a} didn't get the job at {company} as {role}. {b} invites {a.him} for {bar} {day}.",
            what="no job as {role}",
            who="{a}",
            where="{company}",
            todo="{a}, {b}: {bar}, {day_short}",
        )


def exam(k):
    """Results, or studying together."""
    k.set(
        subject=k.pick(SUBJECTS),
        day=k.pick(WEEKDAYS + WEEKEND[:2]),
        time=k.pick(ANY_TIME),
        place=k.pick(["the library", "the café", "the study room", "the canteen", "the park"]),
        mark=k.pick(["a B", "an A", "a B plus", "a C", "an A minus"]),
    )
    kind = k.pick(["passed", "failed", "study", "study"])
    if kind == "passed":
        k.say("b", "[How was|How did it go with|Any news about] the {subject} exam?")
        k.say(
            "a",
            "[I passed|Passed|I made it]! [I got|With] {mark}!",
            "[I was sure that I had failed the last question|All those nights with coffee were worth it].",
            mood="glad",
        )
        k.maybe(("b", "[Congratulations|Brilliant|I knew it]!"))
        k.sums_up("{a} passed the {subject} exam with {mark}.", what="{subject} exam", who="{a}", how="passed, {mark}")
    elif kind == "failed":
        k.say("b", "[How was|How did it go with|Any news about] the {subject} exam?")
        k.say(
            "a",
            "[I failed|I didn't pass|Failed]. [I can repeat it|The second try is|I have to write it again] {day}.",
            "[I only missed it by two points|I studied the wrong half of the book].",
            mood="sad",
        )
        k.say(
            "b", "[Oh no|I'm sorry|That's a pity]. [I can help you study.|Shall we study together|I'll explain it to you, okay]?"
        )
        k.say("a", "[Yes, please|That would be great|Please do]!")
        k.sums_up(
            "{a} failed the {subject} exam and has to repeat it {day}. {b} will help {a.him} study.",
            what="{subject} exam",
            who="{a}",
            how="failed",
            when="again {day_short}",
            todo="{b}: help",
        )
    else:
        k.say(
            "a",
            "[Are you ready for|Have you started studying for|I'm so scared of|How is it going with] the {subject} exam?",
            "[I look at my notes and I don't understand my own writing|There are nine chapters and I know two].",
        )
        k.say(
            "b",
            "[Not at all|No, I'm lost|I haven't even begun]. [Shall we study together|Study together|Let's study together] {day}?",
            mood="sad",
        )
        k.say("a", "[Yes|Good idea|Please]! {time} at {place}?")
        k.maybe(("b", "[Okay|Deal|Perfect], I'll bring [chocolate|my notes|coffee]."))
        k.sums_up(
            "{a} and {b} will study for the {subject} exam {day} {time} at {place}.",
            what="{subject} exam",
            who="{a}, {b}",
            when="{day_short}, {time_short}",
            where="{place}",
        )


def appointment(k):
    """Moving an appointment."""
    k.set(
        who=k.pick(APPOINTMENTS), day=k.pick(WEEKDAYS), time=k.pick(ANY_TIME[:19]), old=k.pick(WEEKDAYS[:5]), event=k.pick(EVENTS)
    )
    k.say(
        "a",
        "[Don't forget|Remember|You do remember] [you have|your appointment:|you've got] {who} {day} {time}!",
        "[You wrote it on the wrong page of the calendar|They charge you if you don't show up].",
    )
    if k.chance(0.6):
        while k.slots["old_short"] == k.slots["day_short"]:
            k.set(old=k.pick(WEEKDAYS[:5]))
        k.say(
            "b",
            "[Oh no|Damn|Oh], [I thought it was|wasn't that|I wrote down] {old}. [I have|There's|I can't miss] {event} then!",
            mood="sad",
        )
        k.say("a", "[Call them|You have to move it|Ask for another time].")
        k.say("b", "[I'll call them right now|Calling them now|Okay, I'll call them] [and move it|to change it|].")
        k.sums_up(
            "{b} has an appointment with {who} {day} {time}, but {b.he} has {event} then. {b} will move the appointment.",
            what="{who}",
            who="{b}",
            when="{day_short}, {time_short}",
            but="{event}",
            todo="{b}: move it",
        )
    else:
        k.say("b", "[Thanks for reminding me|Right, thanks|I almost forgot]! [Can I take the car|Could I have the car]?")
        k.say("a", "[Yes|Sure|No, take it], [the keys are on the shelf|but fill it up|I'll take the bus].")
        k.sums_up(
            "{a} reminds {b} that {b.he} has an appointment with {who} {day} {time}. {b} will take the car.",
            what="{who}",
            who="{b}",
            when="{day_short}, {time_short}",
            how="car",
        )


def ill(k):
    """Calling in sick."""
    k.set(
        ill=k.pick(ILLNESSES),
        event=k.pick(EVENTS),
        day=k.pick([("today", "today"), ("tomorrow", "tomorrow"), ("tonight", "tonight")] + WEEKDAYS[:3]),
        bring=k.pick(["some soup", "medicine", "tea and honey", "oranges", "ginger tea", "painkillers"]),
        time=k.pick(ANY_TIME[10:]),
    )
    k.say(
        "a",
        "[I have|I've got|I think I have] {ill}. [I can't come to|I won't make it to|I have to miss] {event} {day}.",
        "[I've been lying in bed since yesterday with three blankets|My head feels like a pumpkin].",
        mood="sad",
    )
    k.maybe(
        ("b", "[Oh no|Poor you|Oh dear]! [Have you seen a doctor|Do you have a temperature|Since when]?"),
        ("a", "[Not yet|It's not that bad|It started last night]."),
    )
    kind = k.pick(["bring", "tell", "move"])
    if kind == "bring":
        k.say("b", "[I'll bring you|Let me bring you|I can bring you] {bring}. [I could come|I'd be there|I can come by] {time}.")
        k.say("a", "[That would be lovely|Yes, please|You're so kind], [thank you|the door is open|thanks].")
        k.sums_up(
            "{a} has {ill} and can't come to {event} {day}. {b} will bring {a.him} {bring} {time}.",
            what="{a} ill, {ill_short}",
            but="misses {event}, {day_short}",
            todo="{b}: {bring}, {time_short}",
        )
    elif kind == "tell":
        k.say(
            "b",
            "[Don't worry|Stay in bed|Just rest], [I'll tell the others|I'll let everybody know|I'll explain it to the others].",
        )
        k.maybe(("a", "[Thanks|Thank you]. [Have fun|Take notes for me|Say hi to everybody]."))
        k.sums_up(
            "{a} has {ill} and can't come to {event} {day}. {b} will tell the others.",
            what="{a} ill, {ill_short}",
            but="misses {event}, {day_short}",
            todo="{b}: tell the others",
        )
    else:
        k.set(next=k.pick(["next week", "next Friday", "next Monday", "next month"]))
        k.say("b", "[Then we'll move it|Let's do it another day|We can't do it without you]. {next}?")
        k.say("a", "[Okay, great|Yes, thanks|I should be fine by then].")
        k.sums_up(
            "{a} has {ill}, so {event} {day} will be moved to {next}.", what="{a} ill, {ill_short}", but="{event} moved to {next}"
        )


def course(k):
    """Signing up for something."""
    k.set(course=k.pick(COURSES), day=k.pick(DAYS[:7]), sum=k.pick(PRICES[6:]), start=k.pick(MONTHS))
    k.slots["weekday"] = k.slots["day_short"] + "s"
    k.say(
        "a",
        "[I've signed up for|I'm going to do|I'm starting|I want to take] {course}, on {weekday}.",
        "[I've been saying it for years and never did it|My sister did it and can't stop talking about it].",
        mood="glad",
    )
    k.say("b", "[Cool|Interesting|Sounds fun]! [What does it cost|How much is it|Is it expensive]?")
    k.say("a", "{sum} euros. [It starts|We start|First lesson] in {start}.")
    if k.chance(0.5):
        k.say(
            "b",
            "[Is there a place left|Can I still join|Do they have room for one more]? [I'd like to come|I'm interested|I want to do it too].",
        )
        k.say("a", "[Yes|I think so|Two places left], [hurry up|I'll send you the link|sign up today].")
        k.sums_up(
            "{a} is taking {course} on {weekday} for {sum} euros from {start}. {b} wants to join.",
            what="{course}",
            who="{a}, {b}",
            when="{weekday}, from {start}",
            price="{sum} euros",
        )
    else:
        k.say("b", "[I have no time for that|Not my thing|I'm too lazy for that], but [tell me how it was|have fun|enjoy].")
        k.sums_up(
            "{a} is taking {course} on {weekday} for {sum} euros from {start}.",
            what="{course}",
            who="{a}",
            when="{weekday}, from {start}",
            price="{sum} euros",
        )


def group_project(k):
    """Who does which part by when."""
    k.set(
        doc=k.pick(
            ["the presentation", "the group essay", "the poster", "the school play", "the flea market stand", "the newsletter"]
        ),
        day=k.pick(WEEKDAYS),
        time=k.pick(ANY_TIME[:19]),
    )
    parts = k.rng.sample(
        [
            "the introduction",
            "the pictures",
            "the numbers",
            "the text",
            "the costumes",
            "the interviews",
            "the printing",
            "the last part",
            "the sources",
        ],
        3,
    )
    k.set(p=parts[0], q=parts[1], r=parts[2])
    k.say(
        "a",
        "[Hi all|Hey team|Guys], [we have to talk about|what about|time is running out for] {doc}. [It's due|We need it|It has to be ready] {day}.",
        "[I've had dreams about it, and not the good kind|The teacher already asked me twice in the corridor].",
    )
    k.maybe(("b", "[Already|So soon|Oh no!]?"), ("c", "[I haven't started|Time flies|Don't panic]."))
    k.say("a", "I'll [do|take|take care of] {p}.")
    k.say("b", "[Then I'll do|I can do|I'd like] {q}.")
    k.say("c", "[So I'll take|And I'll do|Leaves me with] {r}.", "[As always the hard part|I wanted that anyway].")
    if k.chance(0.5):
        k.say("a", "[Great|Perfect|Good]. [Let's meet|We should meet|We'll meet] {time} [to put it together|to practise|before].")
        k.sums_up(
            "{a}, {b} and {c} are preparing {doc} for {day_short}.",
            "{a} will do {p}, {b} {q} and {c} {r}.",
            "They will meet {time}.",
            what="{doc}",
            who="{a} {p}, {b} {q}, {c} {r}",
            when="{day_short}",
            todo="meet, {time_short}",
        )
    else:
        k.sums_up(
            "{a}, {b} and {c} are preparing {doc} for {day_short}.",
            "{a} will do {p}, {b} {q} and {c} {r}.",
            what="{doc}",
            who="{a} {p}, {b} {q}, {c} {r}",
            when="{day_short}",
        )


PAIR = [document, document, new_job, exam, appointment, ill, course]
GROUP = [group_project, group_project]
