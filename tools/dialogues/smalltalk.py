"""Small talk, which no summary mentions. An exchange is lines `(speaker, text)` between two of those present."""


def _exchange(text):
    """`x: ..` and `y: ..` separated by ` / `."""
    return [(line[0], line[3:]) for line in text.split(" / ")]


EXCHANGES = [
    _exchange(text)
    for text in (
        "x: It's so hot today. / y: [Same here|Tell me about it]. I'm melting. / x: At least it's dry.",
        "x: It's freezing here. / y: [Put on a second jumper|Tea helps]. / x: I'm already wearing three.",
        "x: It hasn't stopped raining since yesterday. / y: [Same here|Don't remind me]. / x: I want summer back.",
        "x: What a grey day. / y: I know, I could sleep [all day|until spring].",
        "x: Did you hear the thunder last night? / y: [No, I slept like a stone|Yes, I was wide awake until three].",
        "x: Did you sleep well? / y: [Not really|Three hours, maybe]. / x: Poor you. Coffee helps.",
        "x: Are you awake? / y: [Since six, sadly|Barely|More or less].",
        "x: I can't keep my eyes open. / y: [Same|Me too], it must be the weather.",
        "x: I'm on my third coffee. / y: And it's not even noon! / x: Don't judge me.",
        "x: I watched videos until two again. / y: [Worth it?|Rookie mistake.] / x: [There was one with a goat on a skateboard|No regrets].",
        "x: <file_photo> / y: [Haha, so cute!|Is that your lunch?|Oh wow] / x: [My niece made it|Found it on my phone|Isn't it great?]",
        "x: <file_photo> / y: What is that? / x: [My attempt at a birthday cake|The view from my window|My new haircut. Don't say anything].",
        "x: <file_gif> / y: [Lol|Hahaha|That's so you|I'm crying]",
        "x: <file_video> / y: [I can't open it here|Hahaha, poor dog|How many times did you watch that?]",
        "x: Have you seen the new neighbours? / y: [No, why?|Only their piano] / x: They said hello to me. In the lift. Voluntarily.",
        "x: How are the kids? / y: [Loud|Growing|They have learned to whistle]. / x: [Lovely|Give them a hug from me].",
        "x: How's your mum? / y: Better, thanks. / x: Glad to hear that.",
        "x: How's your back? / y: [Old|Better since I stopped carrying everything up myself]. / x: Take it easy.",
        "x: How's work? / y: [Don't ask|Busy, but okay|Could be worse]. / x: Hang in there.",
        "x: Is your boss still so grumpy? / y: [He smiled once, in March|She's on holiday, so it's paradise here].",
        "x: How was the weekend? / y: [Too short|Quiet, and that was good|I did nothing at all]. / x: [Sounds perfect|Same here].",
        "x: I ate too much. / y: What did you have? / x: [Everything|Half a cake|The children's leftovers, too].",
        "x: I'm starving. / y: [Have a banana|There's a sandwich in your bag, I bet]. / x: [Gone since ten|That was breakfast].",
        "y: Sorry, I was on the phone. / x: No worries.",
        "y: Sorry, my battery died. / x: I thought you fell asleep.",
        "y: Sorry, I was in the shower. / x: No problem.",
        "x: My phone is so slow. / y: [Time for a new one|Mine too since the update].",
        "x: My battery is at 3 %. / y: [Charge it at night, like normal people|Then type faster].",
        "x: The internet is terrible here. / y: [Are you in the cellar again?|Same since this morning.]",
        "x: Did you watch the news? / y: I try not to. / x: [Better that way|Wise].",
        "x: Have you seen the video I sent you? / y: Not yet. / x: [You'll laugh|It's only ten seconds, come on]!",
        "x: The bus was so full this morning. / y: That's why I walk. / x: It's nine kilometres!",
        "x: A man sang opera on the tram today. / y: I love this city. / x: He was actually quite good.",
        "x: Someone took my seat on the train again. / y: What did you say? / x: Nothing, of course.",
        "x: Is it Friday yet? / y: [Soon|I've asked myself that since Monday].",
        "x: Mondays should be forbidden. / y: I'd vote for that.",
        "x: My cat is sitting on the keyboard. / y: She's the boss. / x: I only work here.",
        "x: The dog ate my sock. / y: Again? / x: [Only the left one|He prefers wool].",
        "x: The cat woke me at five. / y: That's love. / x: That's hunger.",
        "x: I went to bed at nine like a grandmother. / y: I envy you. / x: I feel ten years younger.",
        "x: I slept until noon. / y: [Good for you|Some people have a life]!",
        "x: I dreamt about our old school. / y: Was it a nightmare? / x: Maths, so yes.",
        "x: I'm on a diet since yesterday. / y: And how long will it last? / x: Ask me tomorrow.",
        "x: No sugar for me this month. / y: You, of all people? / x: I'm serious this time.",
        "x: You wouldn't believe the queue at the post office. / y: That's why I do everything online. / x: I read half a book in there.",
        "x: The lift is out of order again. / y: Think of it as exercise. / x: Very funny. Sixth floor.",
        "x: I found an old picture of us. / y: [Burn it|Please don't post it]! / x: Too late.",
        "x: Remember our trip with the broken tent? / y: I still laugh about it. / x: I still have a cold from it.",
        "x: I just heard our song on the radio. / y: Those were the days.",
        "x: Tell me something nice. / y: My plant has a new leaf. / x: Thanks, that helps.",
        "x: Do you know a good joke? / y: [My bank account|Only bad ones]. / x: Haha, okay.",
        "x: I finally cleaned the windows. / y: Do you want to come to my place next? / x: Not for all the money in the world.",
        "x: I sorted all my socks. / y: Who are you? / x: I surprise myself sometimes.",
        "x: The new colleague talks all the time. / y: [Headphones|Mine hums]. / x: I envy you.",
        "x: They changed the coffee at the office. / y: Is it any good? / x: It's awful.",
        "x: They painted our stairs green. / y: Why would anyone do that? / x: Nobody knows.",
        "x: I've started to learn the ukulele. / y: My condolences to your neighbours. / x: They clap. I think it's clapping.",
        "x: I talked to my plants today. / y: Did they answer? / x: The cactus was a bit cold.",
        "x: Somebody on our street has a trampoline now. / y: And? / x: I can see his head every two seconds.",
        "x: I bought a pumpkin as big as a dog. / y: Why? / x: It was on offer.",
        "x: Do you still have my blue umbrella? / y: I thought that was mine. / x: It has my name on it!",
        "x: Your voice message has eleven minutes. / y: I made myself tea in the middle. / x: I could hear it.",
        "x: Did you water the plants? / y: [Yes, mum|Define plants]. / x: Oh dear.",
        "x: I have to tell you about my dentist one day. / y: Now I'm curious. / x: One day.",
        "x: My sister bought a motorbike. / y: The quiet one? / x: The quiet one.",
        "x: I have a new haircut. / y: Is it short? / x: It's... different.",
        "x: I can't find a single pair of matching socks. / y: Nobody will notice. / x: My boss noticed yesterday.",
        "x: I got a postcard today. A real one! / y: From whom? / x: From myself. It took three months.",
        "x: My grandma has learned to use emoji. / y: And? / x: Every message looks like a fruit market.",
        "x: Guess who I saw at the market. / y: Who? / x: Our old maths teacher, with a parrot. / y: I have so many questions.",
        "x: I walked into a glass door this morning. / y: Are you okay? / x: The door is fine. My pride isn't.",
    )
]

GREETINGS = [
    _exchange(text)
    for text in (
        "x: [Hi|Hey|Hello|Hiya] {y}! / y: [Hi|Hey|Hello|Hi there]!",
        "x: [Hi|Hey|Hello] {y}, are you there? / y: [Yes, what's up?|Sure.|Hi, yes.]",
        "x: {y}, got a minute? / y: [Sure.|For you, always.|What's up?]",
        "x: [Good morning|Morning]! / y: [Good morning|Morning|Hello]!",
        "x: Good evening! / y: [Hello|Hi|Good evening]!",
        "x: {y}? / y: [Yes?|Yep.|What is it?|Here!]",
        "x: [Hey, how are you?|Hi, how's life?|Hello, how are things?] / y: [Fine, and you?|Good, you?|Not bad, and you?] / x: [Good too|All good|Same here].",
        "x: Hey, long time no see! / y: I know, [the weeks just fly by|life got in the way|sorry about that]!",
    )
]

FAREWELLS = [
    _exchange(text)
    for text in (
        "x: [Bye|See you|Take care|Talk to you later]! / y: [Bye|See you|Bye bye|Later]!",
        "x: [Got to go|I have to run|My break is over|Back to work now]. / y: [Okay, bye|See you|Have a nice day|Take care]!",
        "x: [Have a nice evening|Have a good one]! / y: [You too|Thanks, you too|Same to you]!",
        "y: [Thanks again|Kisses|Hugs]! / x: [Any time|You're welcome|Hugs]!",
        "x: [👍|Ok|Okay|<3|😘]",
    )
]

# The first fit behind small talk, the others anywhere.
LAUGHS = ["Haha", "Lol", "😂", "👏", "🙈", "<file_gif>", "Wow", "Nice", "😍"]
NODS = ["Hmm", "Ok", "I see", "Mhm", "👍", "Okay"]

ASIDES = [
    "I'm reading this in a meeting.",
    "You two are funny.",
    "What did I miss?",
    "Forty new messages, people!",
    "Can you all type more slowly, please?",
    "I agree with everything.",
    "I'm only here for the jokes.",
    "Carry on, I'm listening.",
    "I'm on the bus, bad signal.",
    "This chat never sleeps.",
]

RAMBLES = [
    "It's been one of those weeks where everything happens at once and there is no time to breathe.",
    "I've been running from one thing to the next since the early morning and I haven't even combed my hair.",
    "I hardly had time to eat today, so don't mind my mood.",
    "I've had nothing but biscuits all day, and it's not over yet.",
    "You know me, I always say yes and then I complain about it.",
    "You know how I am, I plan everything twice and still forget half of it.",
    "Honestly, I can't decide to save my life.",
    "I've been looking forward to this for days.",
    "To be honest, I needed some good news today.",
    "My mother says hello, by the way.",
    "By the way, I ran into our old teacher yesterday and he still remembers that thing with the fire alarm.",
    "By the way, your last message made me laugh out loud on the train and everybody stared.",
    "It reminds me of the year when everything went wrong and we laughed about it for months.",
    "They say it gets easier with practice, but I have my doubts.",
    "My grandfather used to say that patience is everything, but he never had to wait for our bus.",
    "I wanted to write earlier, but the day just disappeared.",
    "I started this message three times and was interrupted each time.",
    "The whole office is talking about the new coffee machine and nobody is doing any work.",
    "Half of my colleagues are on holiday, so it's very quiet here.",
    "The phone hasn't stopped ringing since nine.",
    "I'm sitting on the balcony in a blanket, and it's quite nice, actually.",
    "I'm writing this from the kitchen floor, don't ask.",
    "I'm hiding in the bathroom for two minutes of peace.",
    "And I still have to do the dishes, call my aunt and water the plants.",
    "The laundry has been looking at me since last week.",
    "Sometimes I think we should all just move to the countryside and keep chickens.",
    "Some days I'd like to switch off the phone and read for a week.",
    "The kids are jumping on the bed while I type this, so forgive my spelling.",
    "There is a fly in this room and it's driving me mad.",
    "I know, I've said that before, but this time I mean it.",
    "It's always the same with me.",
    "Life is funny sometimes.",
    "It's a small world, I keep thinking that.",
    "I told my sister about it and she just shook her head.",
    "I told my flatmate and he couldn't stop laughing.",
    "I asked around at work and nobody had a better idea.",
    "I've made a list, and then a list of my lists.",
    "My horoscope said that today would be quiet, so much for that.",
    "I just spilled coffee over the notes I had made for this.",
    "I've been telling everybody about it, even the woman at the bakery.",
    "I'm saying this as someone who once got lost in a car park for an hour.",
    "My neighbour is practising the same three notes on the piano and I can sing them by now.",
    "It took me half an hour to find my glasses, and they were on my nose.",
    "I know it's not the most exciting thing in the world, but it has to be done.",
    "If I had known that a year ago, I would have saved myself a lot of trouble.",
    "I'm trying to be a more organised person, and you can see how that is going.",
    "Between the dentist, the tax papers and the broken lamp I don't know where my head is.",
    "I've just come home and I'm still wearing my shoes and my coat.",
    "My aunt calls every Sunday to ask if I eat enough, and she doesn't believe a word.",
    "One day I'll write a book about all this, and nobody will believe it.",
]
