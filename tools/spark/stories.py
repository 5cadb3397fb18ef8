"""Tiny stories, haiku and short poems, put together from hand-written parts."""
from textkit import a, choose

HEROES = """fox owl bear rabbit mouse cat dog hedgehog squirrel frog duck goose swan crow robin sparrow penguin seal whale dolphin turtle snail bee ant butterfly spider ladybird horse pony donkey cow sheep goat pig lamb kitten puppy lion tiger elephant monkey giraffe camel zebra
wolf deer badger beaver otter mole bat squid crab octopus fish shark dragon unicorn wizard witch king queen prince princess knight pirate sailor farmer baker miller gardener painter teacher doctor boy girl child robot computer train boat ship car bus bicycle kite balloon lamp lantern
teapot clock pencil book star cloud moon snowman tree flower stone river raindrop snowflake candle key mirror puppet toaster spoon hat shoe ghost giant fairy troll parrot peacock pigeon hamster lizard worm cricket firefly astronaut detective musician dancer fisherman shepherd tailor""".split()

# fixed pronouns; all other heroes are "he" or "she" by chance
PEOPLE = {
    "wizard": "he", "witch": "she", "king": "he", "queen": "she", "prince": "he", "princess": "she", "knight": "he", "pirate": "he", "sailor": "he", "farmer": "he", "baker": "she", "miller": "he", "gardener": "she", "painter": "she", "teacher": "she", "doctor": "she", "boy": "he", "girl": "she",
    "child": "she", "astronaut": "she", "detective": "he", "musician": "he", "dancer": "she", "fisherman": "he", "shepherd": "he", "tailor": "he", "giant": "he", "fairy": "she",
}
HIS = {"he": "his", "she": "her"}
HIM = {"he": "him", "she": "her"}

NAMES_HE = "Tom Finn Otto Hugo Bruno Felix Jasper Milo Oscar Pip Toby Max Leo Ned Rollo Barnaby Gus Emil Arlo Benny".split()
NAMES_SHE = "Mia Luna Rosa Ella Tilly Nora Ivy Daisy Clara Wanda Lila Poppy Hazel Ruby Greta Bella Molly Flora Iris Nell".split()

ADJ = "small little young old shy brave curious clever kind gentle sleepy cheerful lonely tiny quiet".split()
PLACES = [
    ("at the edge of a forest", "the forest"), ("in a green valley", "the valley"), ("near a quiet lake", "the lake"), ("by the sea", "the shore"), ("on a high mountain", "the mountain"), ("in an old town", "the town"), ("on a windy hill", "the hill"), ("on a small island", "the island"),
    ("in a sunny garden", "the garden"), ("beside a slow river", "the river"), ("in a snowy village", "the village"), ("on a farm", "the farm"), ("under a big oak", "the wood"), ("in a little house", "the lane"), ("near an old mill", "the mill"),
]
HELPERS = "owl mouse crow hedgehog robin frog old woman farmer beaver bee child squirrel rabbit deer sailor miller cat duck snail goat".split()
TREATS = "warm soup,fresh bread,apple pie,hot tea,honey cakes,sweet berries,a big bowl of porridge,nut cookies,pancakes".split(",")
MORALS = {
    "help": ["Help that is given freely always comes back.", "A small friend can be a great help.", "Together, even hard things become easy.", "It is good to help, and it is fine to ask for help."],
    "brave": ["Being brave does not mean having no fear; it means going on anyway.", "Courage often begins with one small step.", "You are braver than you think."],
    "share": ["Joy grows when it is shared.", "What you share is never lost.", "A shared treasure is worth more than a hidden one."],
    "try": ["If it does not work today, try again tomorrow.", "Patience can do what strength cannot.", "Small steps also lead to the top."],
    "kind": ["A kind word opens many doors.", "Kindness costs nothing and is worth a lot.", "A friend may be found where you least expect one."],
    "home": ["The best part of a journey is coming home.", "Home is where someone waits for you.", "Far away is fine, but home is warm."],
}

OPEN = [
    "Once upon a time, {A} {hero} named {name} lived {place}.", "{Place} there lived {A} {hero} called {name}.", "Once there was {A} {hero} named {name} who lived {place}.", "A long time ago, {A} {hero} called {name} lived {place}.", "There once was {A} {hero}. {His} name was {name}, and {he} lived {place}.",
]

PLOTS = [
    ("help", "{name} lost {a_thing} and {a_helper} helped to find it again", [
        "One [morning|day|evening], {name} [could not find|had lost] {his} {thing}. {He} looked [under the bed, behind the door and in the grass|everywhere], but it was gone.",
        "[Sadly, {he} sat down on a stone.|{He} was very sad.|{He} did not know what to do.]",
        "Then {a_helper} came [along|by] and asked, \"Why are you so sad?\" {name} told the whole story.",
        "\"[Let us look together|I will help you|Two can see more than one],\" said the {helper}. They searched near {spot}, and [before the sun went down|soon|after a while] the {helper} found the {thing} [under some leaves|behind an old wall|in the tall grass].",
        "{name} was so happy that {he} invited the {helper} to share {treat}. [From that day on they were friends.|They talked and laughed until late.]"]),
    ("brave", "{name} was afraid of the storm but went out to save {a_helper}", [
        "{name} was [a little|very] afraid of storms. When the wind blew, {he} hid [in a corner|under a blanket|behind the door].",
        "One night a great storm came. Through the noise {he} heard a [small|weak] voice. \"Help!\" cried {a_helper} from {spot}.",
        "{name} was trembling, but {he} took a [lamp|rope|deep breath] and went out into the rain.",
        "Step by step {he} came closer, until {he} reached the {helper}. \"Hold on to me,\" said {name}, and together they found the way back.",
        "[At home|Back home], they [got dry by the fire|warmed up] and had {treat}. The storm was still loud, but {name} was not afraid any more."]),
    ("share", "{name} found {a_thing} and shared it with everyone", [
        "One day {he} found {a_thing} near {spot}. It was the most beautiful {thing} {he} had ever seen.",
        "At first {name} wanted to keep it [for {himself}|a secret]. {He} hid it and [told nobody|did not say a word].",
        "But the days [felt long|were quiet], and it was no fun to be alone with it. Then {a_helper} came by and [looked tired|looked sad|sighed].",
        "\"Come and see,\" said {name}, and showed the {helper} the {thing}. Soon all the neighbours came too, and there was [laughter|music|joy] in every corner.",
        "That evening they all ate {treat} together. {name} had never been so happy."]),
    ("try", "{name} tried again and again to reach the top of the hill and made it", [
        "{name} had one great wish: to [see the world from the top of the hill|watch the sunrise from the highest hill|touch the clouds from the top of the hill].",
        "On the first day {he} started too late, and the night came. On the second day {he} [took the wrong path|slipped in the mud|got lost in the fog].",
        "\"[Give it up|It is too far for you],\" said {a_helper} near {spot}. But {name} only smiled and [packed some food|went to bed early|made a plan].",
        "On the third day {he} rose before the sun and walked slowly, step by step, without a rest. At last {he} stood at the top.",
        "The whole world lay below, [golden in the light|bright and quiet|green and wide]. Even the {helper} [clapped|cheered], and later they shared {treat}."]),
    ("kind", "{name} was kind to {a_helper} and won a friend", [
        "Nobody [visited|talked to] {name}, because {he} lived so far from the others. {He} often [looked out of the window|listened to the wind|counted the stars] and wished for a friend.",
        "One cold evening there was a knock. It was {a_helper}, wet and [hungry|tired]. \"May I rest here?\"",
        "\"Of course,\" said {name}. {He} [made a fire|brought a blanket] and gave the {helper} {treat}.",
        "They told each other stories all night. In the morning the {helper} said, \"You were kind to me. I will not forget it.\"",
        "A few days later the {helper} came back with {a_thing} as a present, and with [many friends|a big smile|all the neighbours]. {name} was never lonely again."]),
    ("home", "{name} went on a long journey and came home happy", [
        "One spring day {name} wanted to see the world. {He} took {a_thing}, said goodbye and [walked away|set off] along {spot}.",
        "{He} saw [tall towers|wide fields|deep woods], [blue lakes|busy markets|old bridges] and [high mountains|a great ship|the endless sea]. On the way {he} met {a_helper}, and for a while they travelled together.",
        "But every night, when the stars came out, {name} thought of {his} [little bed|warm home|own front door].",
        "\"What do you miss?\" asked the {helper}. \"The smell of {treat},\" said {name}, \"and the people who know my name.\"",
        "So they turned around. When {name} saw {his} home again, {he} [laughed with joy|ran the last steps|felt warm inside], and the {helper} stayed for dinner."]),
    ("help", "{name} helped {a_helper} across the river, and was helped in return", [
        "One day {name} met {a_helper} who [could not cross the stream|was afraid of the water|stood beside the water and sighed].",
        "\"Come,\" said {name}, \"I know a way.\" {He} laid [a plank|some stones|an old branch] over the water, and the {helper} walked across.",
        "\"Thank you,\" said the {helper}. \"One day I will do something for you.\" {name} [smiled|laughed] and soon forgot about it.",
        "Then winter came, and {name} [ran out of food|had no wood for the fire|lost {his} way in the snow near {spot}]. Suddenly there was the {helper}, with a [lantern|full basket|sledge].",
        "\"I did not forget,\" said the {helper}. They sat down to {treat} and [talked until late|watched the snow fall]."]),
    ("try", "{name} learned to play music, bit by bit", [
        "{name} loved music, but {he} could not play a single note. One day {he} found an old [drum|flute|fiddle] near {spot}.",
        "The first sounds were terrible. The birds flew away, and {a_helper} [covered both ears|asked for silence|shook with laughter].",
        "{name} did not give up. Every evening {he} practised [one little tune|three notes|a bit more].",
        "After many weeks the tune [was soft and clear|sounded like the wind|made everyone stop and listen]. The {helper} came back and [began to dance|sat down to listen].",
        "\"You really can play,\" said the {helper}. That night there was a feast with {treat}, and {name} played until the moon was high."]),
]
SPOTS = ["the old bridge", "the well", "the mill", "the big oak", "the stone wall", "the market", "the little stream", "the harbour", "the edge of the wood", "the garden gate", "the long road", "the apple trees"]
END = ["{moral}", "And the moral is: {moral}", "{name} had learned something: {moral}", "The end. {moral}", "{moral} The end."]


def _apply(rng, text, slots):
    text = choose(rng, text)
    for key, value in slots.items():
        text = text.replace("{" + key + "}", value)
    return text


def make_story(rng, hero=None, adj=None, name=None, plot=None, place=None):
    """One story; returns (text, one-sentence version)."""
    hero = hero or rng.choice(HEROES)
    he = PEOPLE.get(hero, rng.choice(["he", "she"]))
    name = name or rng.choice(NAMES_SHE if he == "she" else NAMES_HE)
    place = place or rng.choice(PLACES)[0]
    helper = rng.choice([h for h in HELPERS if h != hero])
    thing = rng.choice(THINGS_LIST)
    moral_kind, short, body = rng.choice([p for p in PLOTS if plot in (None, p[0])])
    adj = (adj or rng.choice(ADJ)) + " "
    slots = {"A": a(adj + hero).split(" ")[0], "hero": adj + hero, "name": name, "place": place, "Place": place[0].upper() + place[1:],
             "helper": helper, "a_helper": a(helper), "thing": thing, "a_thing": a(thing), "spot": rng.choice(SPOTS), "treat": rng.choice(TREATS),
             "he": he, "He": he.capitalize(), "his": HIS[he], "His": HIS[he].capitalize(), "him": HIM[he],
             "himself": "himself" if he == "he" else "herself", "moral": rng.choice(MORALS[moral_kind])}
    parts = [_apply(rng, rng.choice(OPEN), slots)]
    parts += [_apply(rng, p, slots) for p in body]
    moral = _apply(rng, rng.choice(END), slots)
    if rng.random() < 0.6:
        half = 3 if len(parts) > 4 else 2
        text = " ".join(parts[:half]) + "\n\n" + " ".join(parts[half:]) + " " + moral
    else:
        text = " ".join(parts) + " " + moral
    short = _apply(rng, "[In short: |]" + short + ".", slots)
    if not short.startswith("In short"):
        short = short[0].upper() + short[1:]
    return text, short


THINGS_LIST = ["lantern", "key", "map", "bell", "drum", "book", "red kite", "silver spoon", "blue stone", "wooden boat", "warm coat", "basket", "golden ring", "old hat", "little flute", "music box", "shell", "feather", "button", "small mirror", "green scarf", "glass ball"]

STORY_ASKS = [
    "Tell me a story.", "Tell me a [short |little |tiny |nice |good |bedtime |]story[, please|].", "Can you tell me a story?", "I want a story.", "Story please", "A story, please.", "[Write|Make up|Invent] a [short |little |]story.", "Do you know a story?", "Give me a story.", "Please tell me a story.", "Tell a story", "I would like to hear a story.", "Could you tell me a story?", "bedtime story", "Once upon a time", "Tell me a [bedtime |little |]story for my [son|daughter|children|kids|little sister|class].", "Write a [short |]story for [children|kids|a child].",
]
STORY_ASKS_ABOUT = [
    "Tell me a story about {h}.", "Tell me a [short |little |nice |bedtime |]story about {h}[, please|].", "[Write|Make up|Invent] a [short |little |]story about {h}.", "Can you tell me a story about {h}?", "A story about {h}, please.", "I want a story about {h}.", "Do you know a story about {h}?", "story about {h}", "Tell me about {h} in a story.", "Could you write a story about {h}?", "Give me a story about {h}.", "tell me a tale about {h}",
]

# subjects that choose the plot or the place
SUBJECT_PLOT = {"friendship": "kind", "kindness": "kind", "friends": "kind", "a lonely animal": "kind", "courage": "brave", "fear": "brave", "a storm": "brave", "bravery": "brave", "sharing": "share", "a treasure": "share", "a secret": "share", "a journey": "home", "travel": "home", "adventure": "home", "an adventure": "home",
                "coming home": "home", "patience": "try", "a mountain": "try", "learning": "try", "helping": "help", "help": "help", "something lost": "help", "neighbours": "help"}
SUBJECT_PLACE = {"the sea": "by the sea", "the forest": "at the edge of a forest", "the mountains": "on a high mountain", "an island": "on a small island", "a farm": "on a farm", "a garden": "in a sunny garden", "winter": "in a snowy village", "a village": "in a snowy village", "a lake": "near a quiet lake", "a town": "in an old town", "the woods": "under a big oak", "a river": "beside a slow river"}
BOYS = "Tom Ben David Felix Hugo Leo Noah Paul Sam Adam Bruno Daniel Frank George Jack John Lucas Max Michael Oliver Peter Simon Theo".split()
GIRLS = "Anna Clara Emma Grace Ida Maria Olivia Rosa Tina Alice Bella Chloe Diana Eva Hanna Jane Julia Laura Lucy Mia Nora Sofia Zoe".split()

# haiku lines, sorted by syllables (five, seven, five)
HAIKU = {
    "winter": (["Snow falls on the roof", "A white, silent field", "Frost upon the glass"], ["one small bird looks for some bread", "footprints lead to the old door", "smoke is rising, thin and grey"], ["the fire keeps me warm", "spring is far away", "the kettle sings low"]),
    "spring": (["The first green leaf wakes", "Warm rain in April", "A bird builds its nest"], ["the old tree puts on new clothes", "bees are busy in the light", "the brook is talking again"], ["the world breathes again", "winter says goodbye", "children run outside"]),
    "summer": (["Long light on the hill", "A bee in the rose", "Bare feet in the grass"], ["the lake is a blue mirror", "the afternoon moves slowly", "somewhere a child is laughing"], ["the night smells of hay", "nobody goes home", "the sun takes its time"]),
    "autumn": (["Red leaves on the path", "Wind in the bare trees", "Mist over the field"], ["an apple drops in the grass", "the last geese are flying south", "smoke and rain are in the air"], ["the year becomes still", "I light the first fire", "the days grow shorter"]),
    "sea": (["Waves come, and waves go", "Salt wind on my face", "A shell in my hand"], ["the boats are sleeping at night", "one gull is calling my name", "the tide erases my steps"], ["the sea has no end", "I hear the deep blue", "the moon pulls the tide"]),
    "night": (["The moon is so near", "Stars above the town", "A lamp in the dark"], ["an owl asks its one question", "the streets are empty and soft", "all the windows are asleep"], ["dreams come through the door", "the quiet is kind", "morning can still wait"]),
    "hearth": (["The fire is awake", "Small spark in the dark", "A chair by the fire"], ["words are glowing, one by one", "the machine hums its own song", "nothing leaves this quiet house"], ["home is warm and bright", "the night can stay out", "I am glad you came"]),
    "rain": (["Rain on the window", "Grey clouds over town", "A drop on a leaf"], ["the garden drinks and is glad", "an umbrella hurries past", "the gutter sings its wet song"], ["tea is warm and sweet", "then the sun returns", "all the world is clean"]),
}
NO_POEM = "cars|love|football|computers|my mother|freedom|the city|mathematics|a dragon|robots|life|war|school|money|horses|chocolate|music|Berlin|a mountain|friendship|coffee|trains".split("|")
POEM_ABOUT = ["a fox|sleep|the night", "a spark|light|yourself|hope", "rain|the rain|tea|the weather", "a bee|summer|a rose|spring|flowers|honey", "a river|water|nature", "the sea|the stars|a boat|home", "an owl|the moon|a tree|the evening", "winter|snow|a cat|the fire"]
POEMS = [
    "The fire is low, the night is deep,\nthe little fox has gone to sleep.\nThe moon looks in, the wind is mild,\nand dreams come softly to the child.", "A tiny spark, a tiny light,\nit glows within the quiet night.\nIt is not big, it is not wise,\nbut it can help, and so it tries.",
    "The rain comes down on roof and tree,\nand makes a cup of tea for me.\nThe clouds go by, the sky turns blue,\nand here I am to talk with you.", "A bee flew out one day in May\nand found a rose along the way.\nIt took some honey, said goodbye,\nand hummed its way across the sky.",
    "The river runs, the river sings,\nit carries leaves and little things.\nIt never stops, it knows the way\nto reach the sea another day.", "The stars are small, the sky is wide,\nthe boat is rocking on the tide.\nThe wind is soft, the waves are low,\nand home is where we want to go.",
    "An owl sat in the old oak tree\nand asked the moon to come for tea.\nThe moon came down, as moons can do,\nand stayed until the night was through.", "The snow has covered field and lane,\nthe frost drew flowers on the pane.\nBut by the fire the cat lies curled,\nthe warmest place in all the world.",
]


def make_haiku(rng, topic=None):
    one, two, three = HAIKU[topic or rng.choice(sorted(HAIKU))]
    return "\n".join([rng.choice(one), rng.choice(two), rng.choice(three)])
