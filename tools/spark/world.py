"""Simple knowledge: definitions, colours, opposites, numbers, days, capitals."""

DEFINITIONS = {
    # words around language models
    "token": ["A token is a small piece of text, such as a word, a part of a word or a sign. Language models read and write text token by token.",
              "A token is the unit a language model works with: often a short word or a piece of a longer one."],
    "prompt": ["A prompt is the text you give to a language model. The model reads it and writes an answer.", "A prompt is what you type for the model: a question, a task or the start of a text."],
    "context": ["The context is all the text a model can see at once: your prompt, the earlier messages and its own answer so far.", "Context means the text the model has in view. Its length is counted in tokens and is set with --ctx."],
    "context length": ["The context length is the number of tokens a model can see at once. In Hearth you set it with --ctx."],
    "KV cache": ["The KV cache keeps what the model has worked out for earlier tokens, the keys and values, so that it need not compute them again.", "A KV cache is memory in which a model keeps the keys and values of the tokens it has read. It makes each new token much quicker."],
    "quantisation": ["Quantisation stores the weights of a model with fewer bits, for example 8 or 4 instead of 16. The file gets smaller and faster, and the quality drops a little.", "Quantisation means rounding the numbers in a model so that they need less memory. Q8_0 and Q4_K_M are examples."],
    "quantization": ["Quantization stores the weights of a model with fewer bits, for example 8 or 4 instead of 16. The file gets smaller and faster, and the quality drops a little."],
    "model": ["A model is a large set of numbers that was trained to do a task. A language model predicts the next token of a text.", "In this world a model is a file full of trained numbers. Hearth uses them to turn your prompt into an answer."],
    "language model": ["A language model is a program that predicts the next piece of a text. By doing this again and again it writes whole answers.", "A language model has learned from text which token is likely to come next. That is how it writes."],
    "large language model": ["A large language model is a language model with billions of parameters. It has read a great deal of text and can do many tasks."],
    "LLM": ["LLM is short for large language model: a model with very many parameters that writes text."],
    "GGUF": ["GGUF is a file format for language models. One file holds the weights, the vocabulary and all the settings. Hearth runs GGUF files.", "GGUF is the kind of model file that Hearth reads. It keeps the weights and everything else that is needed in one file."],
    "GGUF file": ["A GGUF file holds a whole language model: its weights, its vocabulary and its settings. Run it with: hearth run MODEL.gguf"],
    "temperature": ["Temperature controls how bold the choice of the next token is. Low means steady, high means varied. In Hearth it is set with --temp.", "The temperature makes answers calmer when it is low and more surprising when it is high."],
    "seed": ["A seed is the number that starts the random choices. The same seed gives the same answer. In Hearth it is set with --seed.", "A seed fixes chance: with the same seed you get the same result again. Of course, it is also what a plant grows from."],
    "logit": ["A logit is the raw score that a model gives to a possible next token. Higher scores mean more likely tokens."],
    "parameter": ["A parameter is one of the trained numbers inside a model. I have about three and a half million of them; big models have billions.", "Parameters are the numbers a model learns in training. They are also called weights."],
    "weight": ["A weight is one of the trained numbers inside a model. All weights together hold what the model has learned."],
    "tokenizer": ["A tokenizer cuts a text into tokens and turns tokens back into text. Every model has its own.", "The tokenizer is the part that splits text into tokens. You can try it with hearth tokenize MODEL TEXT."],
    "vocabulary": ["A vocabulary is the list of all tokens a model knows. Mine has about fifteen hundred.", "The vocabulary of a model is the set of tokens it can read and write."],
    "neural network": ["A neural network is a program made of many simple sums with trained numbers. Layer after layer, it turns an input into an output."],
    "transformer": ["A transformer is the kind of neural network used in language models. It uses attention to relate each token to the earlier ones."],
    "attention": ["Attention is the part of a model that lets each token look at the earlier tokens and take what is useful from them."],
    "layer": ["A layer is one step of a neural network. I have four layers; big models have dozens."],
    "embedding": ["An embedding is a list of numbers that stands for a token. Tokens with a similar meaning get similar numbers."],
    "inference": ["Inference means using a trained model to get answers. That is what Hearth does."],
    "training": ["Training is how a model learns: it sees a lot of text and its numbers are changed a little at a time, so that it predicts better."],
    "chat template": ["A chat template is the pattern that marks who says what in a chat, so that the model can tell your words from its own."],
    "system prompt": ["A system prompt is a text at the start of a chat that tells the model how to behave. In Hearth you set it with --system."],
    "sampling": ["Sampling is the choice of the next token from the likely ones. Temperature, top-k, top-p and min-p control it."],
    "metadata": ["Metadata is information about a file, such as its name, its kind and its settings. hearth inspect shows the metadata of a model."],
    "tensor": ["A tensor is a table of numbers. The weights of a model are stored as tensors."],
    "memory map": ["A memory map lets a program use a file as if it were memory. Hearth does this with models, so loading is quick."],
    "thread": ["A thread is a line of work that a processor core can do. Several threads can work at the same time. In Hearth you set them with --threads."],
    "chatbot": ["A chatbot is a program that chats with people. I am a very small one."],
    "artificial intelligence": ["Artificial intelligence means computer programs that do things which seem to need thinking, such as reading, writing or playing games."],
    "AI": ["AI is short for artificial intelligence: programs that do things which seem to need thinking."],
    "machine learning": ["Machine learning means that a program learns from examples instead of following fixed rules."],
    "chat": ["A chat is a friendly talk in short messages. hearth run MODEL.gguf opens one."],
    "spark": ["A spark is a tiny bit of fire. It is also my name: I am the tiny model inside Hearth."],
    "hearth": ["A hearth is a fireplace, the warm middle of a home. It is also the program you are using: Hearth runs language models on your own computer."],
    # computers
    "computer": ["A computer is a machine that follows instructions very fast. It can store, change and show information."],
    "CPU": ["A CPU is the main processor of a computer. It carries out the instructions of programs. Hearth runs models on it."],
    "GPU": ["A GPU is a processor made for graphics that can do many sums at once. Hearth does not need one."],
    "memory": ["Memory is where a computer keeps the things it is working on. A model needs about as much memory as its file is big."],
    "RAM": ["RAM is the working memory of a computer. It is fast and is emptied when the power goes off."],
    "program": ["A program is a list of instructions that tells a computer what to do. Hearth is a program."],
    "file": ["A file is a piece of information with a name, kept on a disk."],
    "bit": ["A bit is the smallest piece of information: it is either 0 or 1."],
    "byte": ["A byte is eight bits. It can hold a number from 0 to 255."],
    "algorithm": ["An algorithm is a clear list of steps to solve a problem, a bit like a recipe."],
    "compiler": ["A compiler turns program text into instructions that a computer can run."],
    "internet": ["The internet is a network that joins computers all over the world. Hearth does not need it."],
    "open source": ["Open source means that everyone may read, use and change the text of a program. Hearth is open source under the MIT licence."],
    "bug": ["A bug is a mistake in a program. It is also a small animal with six legs."],
    "terminal": ["A terminal is a window where you type commands for the computer. Hearth runs in a terminal."],
    "command line": ["The command line is a place where you type commands as text, for example hearth help."],
    "JSON": ["JSON is a simple text format for data that programs can read easily. hearth run can print it with --json."],
    "C": ["C is a small and fast programming language. Hearth is written in it."],
    "Python": ["Python is a programming language that is easy to read. It is popular for training models. It is also a big snake."],
    # the world
    "sun": ["The sun is the star at the middle of our solar system. It gives us light and warmth."], "moon": ["The moon is a ball of rock that goes around the Earth about once a month."],
    "star": ["A star is a huge ball of hot, glowing gas. Our sun is a star."], "planet": ["A planet is a large round body that goes around a star. The Earth is a planet."],
    "Earth": ["The Earth is the planet we live on. It goes around the sun once a year."], "rain": ["Rain is water that falls from the clouds in drops."],
    "snow": ["Snow is frozen water that falls from the clouds as soft white flakes."], "cloud": ["A cloud is made of many tiny drops of water that float in the air."],
    "rainbow": ["A rainbow is a bow of colours in the sky. It appears when the sun shines through rain."], "wind": ["Wind is air that moves."],
    "fire": ["Fire is what we see when something burns. It gives light and heat."], "water": ["Water is a clear liquid that all living things need."], "ice": ["Ice is frozen water. It is cold, hard and slippery."],
    "river": ["A river is a long stream of water that flows to a lake or to the sea."], "lake": ["A lake is a large area of water with land all around it."], "ocean": ["An ocean is a very large body of salt water."],
    "sea": ["The sea is the salt water that covers most of the Earth."], "island": ["An island is land with water all around it."], "mountain": ["A mountain is a very high and often steep piece of land."],
    "volcano": ["A volcano is a mountain from which hot melted rock and smoke can come out."], "desert": ["A desert is a very dry land where few plants grow."], "forest": ["A forest is a large area with many trees."],
    "tree": ["A tree is a tall plant with a trunk, branches and leaves."], "flower": ["A flower is the colourful part of a plant from which seeds come."],
    "bee": ["A bee is a small insect that makes honey and visits flowers."], "honey": ["Honey is a sweet food that bees make from flowers."],
    "dog": ["A dog is a friendly animal that many people keep at home. It barks and likes to play."], "cat": ["A cat is a small furry animal that purrs, catches mice and sleeps a lot."], "fox": ["A fox is a wild animal with red fur and a bushy tail."],
    "owl": ["An owl is a bird with big eyes that hunts at night."], "whale": ["A whale is a very large animal that lives in the sea and breathes air."], "dragon": ["A dragon is a big animal from old tales that can fly and breathe fire. It is not real."],
    "bird": ["A bird is an animal with feathers and wings. Most birds can fly."], "fish": ["A fish is an animal that lives in water and breathes through gills."],
    "book": ["A book is a set of printed pages with words or pictures to read."], "library": ["A library is a place where you can read and borrow books."], "school": ["A school is a place where people learn."],
    "teacher": ["A teacher is a person who helps others to learn."], "doctor": ["A doctor is a person who helps ill people to get well."], "farmer": ["A farmer grows plants and keeps animals for food."],
    "friend": ["A friend is a person whom you like and trust."], "home": ["A home is the place where you live and feel safe."], "clock": ["A clock is a thing that shows the time."], "bread": ["Bread is a food made from flour and water, baked in an oven."],
    "music": ["Music is sound put together so that it is pleasant to hear."], "poem": ["A poem is a short text in which the sound and the rhythm of the words matter."], "haiku": ["A haiku is a very short poem with three lines of five, seven and five syllables."],
    "story": ["A story tells what happened to someone, in real life or in a made-up world."], "joke": ["A joke is a short text that should make people laugh."], "riddle": ["A riddle is a question with a hidden, clever answer."],
    "gravity": ["Gravity is the force that pulls things towards each other. It keeps us on the ground."], "electricity": ["Electricity is a form of energy that runs lamps and machines."], "magnet": ["A magnet is a piece of metal that pulls iron towards it."],
    "bicycle": ["A bicycle is a vehicle with two wheels that you move with your feet."], "train": ["A train is a row of wagons that runs on rails."], "boat": ["A boat is a vehicle that floats on water."],
    "tea": ["Tea is a hot drink made from leaves and water."], "triangle": ["A triangle is a shape with three sides."], "circle": ["A circle is a perfectly round shape."], "square": ["A square is a shape with four equal sides and four right angles."],
    "number": ["A number tells how many of something there are."], "week": ["A week has seven days, from Monday to Sunday."], "year": ["A year has twelve months, or about 365 days."],
    "spring": ["Spring is the season after winter, when the plants begin to grow."], "summer": ["Summer is the warmest season of the year."], "autumn": ["Autumn is the season between summer and winter, when the leaves fall."], "winter": ["Winter is the coldest season of the year."],
}
# nouns that take no article
BARE = set("quantisation quantization attention inference training sampling metadata artificial intelligence AI machine learning memory RAM GGUF open source JSON C Python rain snow wind fire water ice honey bread music gravity electricity tea spring summer autumn winter cheese milk coffee chocolate sugar salt soup air gold wood glass paper night morning".split()) | {"artificial intelligence", "machine learning", "open source"}
THE = {"heart", "sun", "moon", "Earth", "internet", "sea", "command line", "temperature", "context", "context length", "KV cache"}

# words that spark does not know, so that it learns to say so
UNKNOWN_WORDS = """blorp zindle quark photosynthesis democracy inflation mortgage bitcoin blockchain enzyme isotope derivative integral sonnet fugue monad pointer hypotenuse mitochondria ribosome glacier tariff parliament constitution philosophy economics
algebra chemistry molecule electron neutrino vaccine antibody hormone carburettor turbine transistor capacitor resistor antenna satellite telescope microscope lathe chisel quiche risotto sushi yoga judo chess opera ballet baroque cubism hologram
kilobyte firewall router kernel docker kubernetes regex recursion polymorphism closure semaphore mutex hash checksum entropy quasar nebula comet asteroid tsunami plankton coral fjord tundra savanna marsupial fossil dinosaur pharaoh samurai viking
knight duke sonata saxophone bassoon ukulele karma stoicism paradox metaphor irony allegory gerund adverb clause treaty census subsidy dividend bond stock hedge apple banana lemon potato tomato carrot cheese milk egg coffee chocolate sugar salt soup cake house door window table chair bed car bus ship airplane bridge road city village country king queen horse cow sheep pig mouse rabbit bear wolf lion tiger elephant snake frog duck butterfly spider ant robot phone camera keyboard screen letter word sentence question language game song day month night morning child family mother father heart air stone gold wood glass paper fireplace rose garden farm wizard pirate ghost unicorn fund startup patent tort jury verdict alibi""".split()

COLOURS = {
    "the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "a lemon": "yellow", "blood": "red", "a tomato": "red", "a strawberry": "red", "coal": "black", "milk": "white", "the sun": "yellow", "a carrot": "orange", "an orange": "orange",
    "chocolate": "brown", "the sea": "blue", "a leaf": "green", "a frog": "green", "a flamingo": "pink", "a raven": "black", "the night": "black", "a pumpkin": "orange", "a cherry": "red", "a cucumber": "green", "an elephant": "grey", "salt": "white", "sugar": "white",
    "a polar bear": "white", "a lime": "green", "a ruby": "red", "an emerald": "green", "a fox": "red-brown", "a plum": "purple", "lavender": "purple", "a brick": "red", "wood": "brown", "cotton": "white", "gold": "yellow", "silver": "grey", "a swan": "white", "a crow": "black", "a fire engine": "red", "honey": "golden", "butter": "yellow", "a pea": "green", "ink": "often blue or black",
}
OPPOSITES = """hot cold, big small, up down, left right, day night, good bad, fast slow, old young, happy sad, light dark, high low, open closed, long short, rich poor, full empty, hard soft, wet dry, loud quiet, early late, near far, strong weak, thick thin, clean dirty, black white,
first last, inside outside, easy difficult, true false, begin end, win lose, give take, push pull, love hate, friend enemy, summer winter, north south, east west, yes no, always never, brave cowardly, cheap expensive, wide narrow, deep shallow, heavy light, sweet sour, smooth rough,
front back, above below, alive dead, asleep awake, same different, question answer, buy sell, laugh cry, remember forget, arrive leave, war peace, warm cool, tall short, large small, quick slow, new old, right wrong, noisy quiet, sharp blunt, success failure""".replace("\n", " ").split(",")
SOUNDS = {"dog": "woof", "cat": "meow", "cow": "moo", "sheep": "baa", "duck": "quack", "pig": "oink", "horse": "neigh", "rooster": "cock-a-doodle-doo", "hen": "cluck", "bee": "buzz", "owl": "hoot", "frog": "ribbit", "snake": "hiss", "lion": "roar", "mouse": "squeak", "bird": "tweet", "donkey": "hee-haw", "goat": "maa", "crow": "caw", "wolf": "howl", "turkey": "gobble", "bear": "growl", "goose": "honk", "pigeon": "coo", "monkey": "ooh ooh", "cricket": "chirp"}
CAPITALS = {"France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon", "Austria": "Vienna", "Switzerland": "Bern", "Norway": "Oslo", "Sweden": "Stockholm", "Denmark": "Copenhagen", "Finland": "Helsinki", "Poland": "Warsaw", "Greece": "Athens", "Ireland": "Dublin", "Belgium": "Brussels", "Hungary": "Budapest", "Turkey": "Ankara",
            "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi", "Russia": "Moscow", "Egypt": "Cairo", "Kenya": "Nairobi", "Canada": "Ottawa", "Mexico": "Mexico City", "Cuba": "Havana", "Peru": "Lima", "Chile": "Santiago", "Brazil": "Brasilia", "Argentina": "Buenos Aires", "Australia": "Canberra", "South Korea": "Seoul", "Thailand": "Bangkok", "Iceland": "Reykjavik",
            "England": "London", "the United Kingdom": "London", "the Netherlands": "Amsterdam", "the United States": "Washington, D.C.", "the USA": "Washington, D.C."}
OTHER_COUNTRIES = """Chad Mali Niger Togo Ghana Benin Gabon Angola Zambia Malawi Rwanda Burundi Uganda Somalia Sudan Libya Tunisia Algeria Morocco Senegal Gambia Liberia Botswana Namibia Lesotho Madagascar Mauritius Bolivia Paraguay Uruguay Ecuador Colombia Venezuela Guyana Suriname Panama Honduras
Guatemala Jamaica Haiti Belize Estonia Latvia Lithuania Ukraine Belarus Moldova Romania Bulgaria Serbia Croatia Slovenia Albania Malta Cyprus Georgia Armenia Kazakhstan Mongolia Nepal Bhutan Laos Cambodia Vietnam Malaysia Indonesia Fiji Samoa Tonga Qatar Oman Yemen Jordan Lebanon Syria Iraq Iran Pakistan Bangladesh""".split()
RHYMES = {"cat": "hat, mat and bat", "house": "mouse and blouse", "light": "night, bright and kite", "star": "car, far and jar", "tree": "bee, sea and free", "moon": "spoon, soon and June", "fire": "wire and higher", "day": "play, way and say", "rain": "train, plane and lane", "book": "look, cook and hook", "dog": "fog, frog and log", "sun": "fun, run and one", "king": "ring, sing and wing",
          "bear": "chair, hair and pear", "blue": "shoe, two and new", "fox": "box, socks and rocks", "gold": "cold, old and told", "heart": "art, cart and part", "fish": "dish and wish", "ball": "tall, wall and fall", "snow": "go, low and slow", "dream": "cream, stream and team", "spark": "dark, park and bark", "red": "bed, bread and head", "sky": "fly, high and why", "boat": "coat, goat and note", "cake": "lake, make and snake", "love": "dove and glove", "hand": "land, sand and band", "time": "rhyme, climb and lime"}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
LEGS = {"dog": 4, "cat": 4, "horse": 4, "cow": 4, "spider": 8, "ant": 6, "bee": 6, "bird": 2, "chicken": 2, "fish": 0, "snake": 0, "octopus": 0, "person": 2, "frog": 4, "mouse": 4, "elephant": 4, "duck": 2, "butterfly": 6, "beetle": 6}
BABIES = {"dog": "puppy", "cat": "kitten", "cow": "calf", "horse": "foal", "sheep": "lamb", "goat": "kid", "pig": "piglet", "duck": "duckling", "hen": "chick", "bear": "cub", "lion": "cub", "fox": "cub", "frog": "tadpole", "goose": "gosling", "deer": "fawn", "swan": "cygnet", "kangaroo": "joey", "owl": "owlet"}
LISTS = {
    "fruits": "apple banana pear orange cherry grape plum lemon peach mango melon strawberry".split(), "animals": "fox owl bear rabbit horse cat dog whale lion frog mouse elephant".split(), "colours": "red blue green yellow orange purple white black brown pink".split(),
    "vegetables": "carrot potato onion tomato cabbage bean pea spinach leek pumpkin".split(), "countries": "France Japan Brazil Kenya Canada Norway India Egypt Italy Peru".split(), "cities": "Paris Tokyo Cairo Lima Oslo Rome Berlin Dublin Madrid Athens".split(),
    "birds": "owl eagle robin crow duck swan pigeon sparrow".split(), "planets": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split(), "trees": "oak pine birch maple willow ash beech".split(), "flowers": "rose tulip daisy lily violet poppy".split(), "drinks": "water tea coffee milk juice".split(), "instruments": "piano violin guitar drum flute trumpet".split(), "names": "Anna Ben Clara David Emma Felix Grace Hugo".split(),
}
MISC = [
    ("How many [days are there in|days are in|days has|days does] a week[ have|]?", "A week has seven days."), ("How many months are there in a year?", "A year has twelve months."), ("How many days are in a year?", "A year has 365 days, and a leap year has 366."), ("How many hours are in a day?", "A day has 24 hours."),
    ("How many minutes are in an hour?", "An hour has 60 minutes."), ("How many seconds are in a minute?", "A minute has 60 seconds."), ("How many legs does a table have?", "A table often has four legs."), ("How many sides does a triangle have?", "A triangle has three sides."), ("How many sides does a square have?", "A square has four sides."),
    ("What are the seasons?", "The four seasons are spring, summer, autumn and winter."), ("How many seasons are there?", "There are four seasons: spring, summer, autumn and winter."), ("How many planets are there[ in the solar system|]?", "There are eight planets in our solar system."), ("What is the biggest planet?", "Jupiter is the biggest planet of our solar system."),
    ("What is the [biggest|largest] animal?", "The blue whale is the largest animal."), ("What is the fastest [land |]animal?", "The cheetah is the fastest animal on land."), ("What is the tallest animal?", "The giraffe is the tallest animal."), ("What is the highest mountain[ in the world|]?", "Mount Everest is the highest mountain in the world."),
    ("Why is the sky blue?", "Sunlight has many colours. The air scatters the blue part most, so the sky looks blue."), ("Why does it rain?", "Water rises into the air, forms clouds and falls down again as drops."), ("Why is grass green?", "Grass is green because its leaves hold a green substance that helps the plant to use sunlight."), ("Why do leaves fall?", "In autumn many trees drop their leaves to save water and strength for the winter."),
    ("Why is the sea salty?", "Rivers carry a little salt from the land into the sea, and it stays there when the water dries off."), ("Where does the sun rise?", "The sun rises in the east."), ("Where does the sun set?", "The sun sets in the west."), ("What do bees make?", "Bees make honey."), ("What do cows give us?", "Cows give us milk."), ("What do [cats|dogs] eat?", "They mostly eat meat."), ("What do rabbits eat?", "Rabbits eat grass, leaves and roots."),
    ("What is ice made of?", "Ice is frozen water."), ("At what temperature does water freeze?", "Water freezes at 0 degrees Celsius."), ("At what temperature does water boil?", "Water boils at 100 degrees Celsius."), ("How many letters are in the alphabet?", "The English alphabet has 26 letters."), ("What is the first letter of the alphabet?", "The first letter is A."), ("What is the last letter of the alphabet?", "The last letter is Z."),
    ("[Say|Recite|List|Tell me] the alphabet.", "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"), ("How many fingers does a person have?", "A person has ten fingers."), ("How many eyes does a person have?", "A person has two eyes."), ("What comes after night?", "After the night comes the morning."), ("Which is bigger, a mouse or an elephant?", "An elephant is much bigger than a mouse."), ("What is heavier, a feather or a stone?", "A stone is heavier than a feather."),
    ("How many continents are there?", "There are seven continents."), ("What is the largest ocean?", "The Pacific is the largest ocean."), ("What is the longest river?", "The Nile and the Amazon are the longest rivers."), ("What does a baker do?", "A baker makes bread and cakes."), ("Can birds fly?", "Most birds can fly, but penguins and ostriches cannot."), ("Can fish fly?", "No, fish live in the water, though a few kinds can glide above it for a moment."), ("Can pigs fly?", "No, pigs cannot fly."), ("Is the Earth [flat|round]?", "The Earth is round, almost like a ball."), ("Is water wet?", "Yes, water makes things wet."), ("Are cats better than dogs?", "Both are lovely. Cats are quiet, dogs are loyal."), ("Which is better, tea or coffee?", "I cannot drink either. Choose the one you like."),
]
