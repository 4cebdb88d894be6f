"""Facts to choose from. A pair is (form in a sentence, form in a note)."""

# fmt: off

DAYS = [(f"on {d}", d) for d in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")] + [
    ("tomorrow", "tomorrow"), ("the day after tomorrow", "the day after tomorrow"), ("next Monday", "next Monday"),
    ("next Friday", "next Friday"), ("next Saturday", "next Saturday"), ("next week", "next week"),
]
WEEKDAYS = DAYS[:5] + [("tomorrow", "tomorrow"), ("next Monday", "next Monday"), ("next Friday", "next Friday")]
WEEKEND = [
    ("on Saturday", "Saturday"), ("on Sunday", "Sunday"), ("this weekend", "this weekend"),
    ("next weekend", "next weekend"),
]
SOON = [
    ("today", "today"), ("tonight", "tonight"), ("this evening", "this evening"), ("after work", "after work"),
    ("tomorrow", "tomorrow"),
]
DATES = [(f"on {m} {n}", f"{m} {n}")
         for m in ("March", "April", "May", "June", "September", "October")
         for n in (2, 5, 9, 12, 17, 21, 24, 28)]
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]

MORNING = [
    ("at 8", "8"), ("at 8:30", "8:30"), ("at 9", "9"), ("at 9 am", "9 am"), ("at 9:30", "9:30"), ("at 10", "10"),
    ("at 10 am", "10 am"), ("at 10:30", "10:30"), ("at 11", "11"),
]
AFTERNOON = [
    ("at noon", "noon"), ("at 1 pm", "1 pm"), ("at 2", "2"), ("at 2 pm", "2 pm"), ("at 2:30", "2:30"),
    ("at 3", "3"), ("at 3 pm", "3 pm"), ("at 3:30", "3:30"), ("at 4", "4"), ("at 4 pm", "4 pm"),
]
LUNCH = [("at noon", "noon"), ("at 12:30", "12:30"), ("at 1", "1"), ("at 1 pm", "1 pm"), ("at 1:30", "1:30")]
EVENING = [
    ("at 5", "5"), ("at 5 pm", "5 pm"), ("at 5:30", "5:30"), ("at 6", "6"), ("at 6 pm", "6 pm"),
    ("at 6:30", "6:30"), ("at 7", "7"), ("at 7 pm", "7 pm"), ("at 7:30", "7:30"), ("at 8 pm", "8 pm"),
    ("at 8:15", "8:15"), ("at 9 pm", "9 pm"),
]
ANY_TIME = MORNING + AFTERNOON + EVENING
MINUTES = [5, 10, 15, 20, 25, 30, 40, 45]

CITIES = [
    "Lisbon", "Porto", "Kraków", "Prague", "Vienna", "Oslo", "Dublin", "Rome", "Naples", "Madrid", "Seville",
    "Berlin", "Hamburg", "Zürich", "Paris", "Lyon", "Ghent", "London", "Bristol", "Leeds", "Athens", "Istanbul",
    "Tokyo", "Montreal", "Chicago", "Boston", "Cairo", "Málaga", "Gdańsk", "Riga", "Budapest", "Edinburgh",
]
FAR = ["Tokyo", "Montreal", "Chicago", "Boston", "Cairo"]
CAFES = [
    "Café Luna", "the Blue Door", "Mirabelle", "the Old Mill", "Corner Beans", "the Tea Room", "Pepe's",
    "the Green Lantern", "Nonna's", "the Station Café", "Kiosk 9", "Sunny Side", "the Red Fox", "Bar Milano",
    "the Copper Pot", "Olive & Thyme",
]
SPOTS = [
    "the main station", "the library", "the north gate", "the fountain", "the town hall", "the tram stop",
    "the cinema", "the post office", "the bridge", "the market", "the park entrance", "the bus stop", "the bakery",
    "the pharmacy",
]
SHOPS = [
    "the supermarket", "the corner shop", "the market", "the bakery", "the mall", "the organic shop",
    "the discount store",
]
GROCERIES = [
    "milk", "eggs", "bread", "butter", "tomatoes", "onions", "rice", "pasta", "coffee", "sugar", "apples",
    "bananas", "cheese", "yoghurt", "carrots", "potatoes", "flour", "olive oil", "lemons", "garlic", "cat food",
    "toilet paper", "washing powder", "orange juice", "cereal", "mushrooms",
]
DISHES = [
    "lasagne", "pumpkin soup", "chicken curry", "pancakes", "a lentil stew", "pierogi", "ramen", "paella",
    "a quiche", "falafel", "chilli", "goulash", "a risotto", "tacos", "fried rice", "moussaka",
]
RECIPES = {
    "lasagne": ["pasta", "tomatoes", "cheese", "onions", "butter"], "pumpkin soup": ["pumpkin", "onions", "butter", "ginger", "cream"],
    "chicken curry": ["chicken", "rice", "garlic", "ginger", "yoghurt"], "pancakes": ["eggs", "milk", "flour", "sugar", "butter"],
    "a lentil stew": ["lentils", "carrots", "onions", "garlic", "potatoes"], "pierogi": ["flour", "potatoes", "onions", "cheese", "butter"],
    "paella": ["rice", "olive oil", "garlic", "tomatoes", "lemons"], "a quiche": ["eggs", "cheese", "flour", "butter", "cream"],
    "goulash": ["beef", "onions", "potatoes", "tomatoes", "garlic"], "a risotto": ["rice", "mushrooms", "butter", "cheese", "onions"],
    "fried rice": ["rice", "eggs", "carrots", "ginger", "garlic"], "moussaka": ["potatoes", "tomatoes", "cheese", "garlic", "milk"],
}
CUISINES = [
    "pizza", "sushi", "Thai food", "Indian food", "burgers", "Greek food", "ramen", "tapas", "kebab", "dumplings",
    "Mexican food", "Lebanese food",
]
SNACKS = [
    "a salad", "crisps", "the drinks", "a cake", "some wine", "ice cream", "hummus and bread", "paper plates",
    "the music", "a cheese board", "lemonade", "brownies", "sausages", "a fruit bowl", "board games", "candles",
]
PETS = [
    ("cat", "Mruczek"), ("cat", "Pixel"), ("cat", "Miso"), ("cat", "Salem"), ("dog", "Rufus"), ("dog", "Bruno"),
    ("dog", "Daisy"), ("dog", "Waffle"), ("parrot", "Kiwi"), ("rabbit", "Nibbles"), ("hamster", "Peanut"),
    ("tortoise", "Turbo"), ("guinea pig", "Muffin"),
]
MACHINES = [
    "washing machine", "dishwasher", "laptop", "fridge", "boiler", "car", "bike", "phone", "printer",
    "coffee machine", "heating", "vacuum cleaner", "oven", "TV", "kitchen tap", "lawn mower",
]
TOOLS = [
    "a drill", "a ladder", "a tent", "a sewing machine", "a suitcase", "a projector", "a sleeping bag", "a camera",
    "a suit", "a bike pump", "a folding table", "a cool box", "a guitar", "an air mattress", "a hammer",
    "a waffle iron",
]
THINGS = [
    "keys", "wallet", "umbrella", "scarf", "phone", "glasses", "headphones", "backpack", "jacket", "gloves",
    "notebook", "charger", "passport", "water bottle",
]
FOUND_AT = [
    "under the sofa", "on the kitchen table", "in the car", "at the reception desk", "in the meeting room",
    "behind the door", "in the gym locker", "on the balcony", "under the bench", "in the coat pocket", "at the bar",
    "on the bus seat",
]
GIFTS = [
    "a cookbook", "a bottle of wine", "concert tickets", "a board game", "a plant", "a scarf", "headphones",
    "a voucher for a spa", "a watch", "a backpack", "a puzzle", "a coffee grinder", "a teapot", "a yoga mat",
    "a camera bag", "a model train", "a photo album", "a fountain pen",
]
FILMS = [
    "The Last Lighthouse", "Paper Tigers", "Seven Winters", "Night Ferry", "A House of Salt", "The Beekeeper's Son",
    "Cold Harbour", "Moonlight Market", "Nobody's Orchard", "The Quiet Engine",
]
SERIES = [
    "Dark Meadows", "The Night Shift", "Harbour Lights", "Second Floor", "Salt and Iron", "The Glass Office",
    "Northbound", "Family Recipe", "Ghost Town", "Low Tide",
]
BOOKS = [
    "The Clockmaker's Garden", "Letters from Room 12", "Small Rivers", "The Winter Baker", "A Map of Dust",
    "The Silent Choir", "Borrowed Summers", "The Fourth Door", "Under One Roof", "The Salt Road",
]
BANDS = [
    "the Paper Kites Club", "Velvet Tram", "Northern Static", "Los Faros", "Blue Monday Choir", "the Rusty Spoons",
    "Hollow Moon", "Ada and the Owls",
]
SPORTS = [
    "running", "swimming", "yoga", "climbing", "badminton", "tennis", "cycling", "squash", "Pilates", "basketball",
    "table tennis", "dancing",
]
COURSES = [
    "a Spanish course", "a pottery class", "a first aid course", "a photography course", "a cooking class",
    "a sewing course", "a Python course", "a salsa class", "a German course", "a drawing class", "a driving course",
    "a bread baking class",
]
SUBJECTS = [
    "maths", "history", "chemistry", "statistics", "biology", "law", "anatomy", "French", "physics", "economics",
    "geography", "driving theory",
]
DOCUMENTS = [
    "the report", "the slides", "the budget", "the contract", "the invoice", "the survey results",
    "the press release", "the translation", "the minutes", "the sales figures", "the project plan",
    "the floor plan",
]
COMPANIES = [
    "Norwind", "Bluepeak", "Halden & Sons", "Kestrel Labs", "Ostara", "Fernweh Travel", "Brightloaf",
    "Quayside Bank", "Lumen Media", "Tandem Logistics", "Arbor Design", "Medifax",
]
ROLES = [
    "a designer", "an accountant", "a nurse", "a project manager", "a developer", "a teacher", "a chef",
    "a data analyst", "a receptionist", "an editor", "a sales assistant", "a lab technician",
]
ILLNESSES = [
    ("the flu", "flu"), ("a bad cold", "cold"), ("a migraine", "migraine"), ("a fever", "fever"),
    ("a stomach bug", "stomach bug"), ("a sore throat", "sore throat"), ("a sprained ankle", "sprained ankle"),
    ("food poisoning", "food poisoning"),
]
EVENTS = [
    "the team meeting", "the rehearsal", "the dinner", "the training", "the wedding", "the book club",
    "the barbecue", "the quiz night", "the choir practice", "the open day", "the picnic", "the game night",
]
DELAYS = [
    ("stuck in traffic", "traffic"), ("still at work", "work"), ("waiting for a bus that never comes", "bus"),
    ("looking for a parking space", "parking"), ("on a train that isn't moving", "train"),
    ("still at the doctor's", "doctor"), ("waiting for the plumber", "plumber"),
]
# Third-person form, first-person form, note form.
EXCUSES = [
    ("has to work late", "I have to work late", "work"),
    ("is visiting {x.his} parents", "I'm visiting my parents", "parents"),
    ("has a dentist's appointment", "I have a dentist's appointment", "dentist"),
    ("has an exam the next day", "I have an exam the next day", "exam"),
    ("is out of town", "I'm out of town", "out of town"),
    ("has to look after {x.his} nephew", "I have to look after my nephew", "nephew"),
    ("is short of money", "I'm short of money", "money"),
    ("has football practice", "I have football practice", "football practice"),
    ("is moving house", "I'm moving house", "moving"),
]
APPOINTMENTS = [
    "the dentist", "the hairdresser", "the optician", "the physiotherapist", "the vet", "the tax adviser",
    "the bank", "the driving school", "the doctor",
]
KIDS = [
    "school", "kindergarten", "football practice", "the piano lesson", "the swimming pool", "ballet",
    "the chess club",
]
CLOTHES = ["dress", "coat", "jacket", "pair of boots", "jumper", "suit", "skirt", "pair of trainers", "hat"]
COLOURS = ["red", "blue", "green", "black", "yellow", "grey", "white", "purple", "brown", "orange"]
FURNITURE = ["sofa", "desk", "armchair", "bookshelf", "rug", "lamp", "wardrobe", "kitchen table", "bed"]
AREAS = [
    "the old town", "Riverside", "the harbour", "Northfield", "the university quarter", "Elm Street", "Mill Lane",
    "Castle Hill", "the west end", "Garden Row",
]
DEBTS = [
    "the pizza", "the concert tickets", "the taxi", "the groceries", "the birthday present", "the hotel", "lunch",
    "the petrol", "the cinema",
]
PRICES = [8, 10, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 60, 70, 75, 80, 90, 100, 120]
BIG_PRICES = [150, 180, 200, 220, 250, 280, 300, 350, 400, 450]
RENTS = [540, 600, 650, 680, 720, 750, 800, 850, 900, 950, 1100, 1200]
HOLIDAYS = [
    "the mountains", "the sea", "the lakes", "the islands", "a cabin in the forest", "a city break",
    "a cycling tour", "a campsite",
]
