"""Questions that are too hard for spark, and honest answers to them."""
from textkit import a, choose
from world import CAPITALS, OTHER_COUNTRIES, UNKNOWN_WORDS

ASKS = [
    "Who [wrote|painted|invented|discovered|made|directed] {work}?", "When was {work} [written|made|invented|discovered]?", "What is {work} about?", "[Summarise|Explain|Review] {work}.", "What is the [population|flag|language|currency|history|size|president|king] of {place}?", "Who is the [president|king|queen|prime minister|leader|mayor] of {place}?",
    "Who won [the world cup|the election|the war|the game|the match|the race|the Nobel prize|the league]{inyear}?", "What happened in {year}?", "When [was|did] {event}?", "Why did {event}?", "Tell me about {event}.", "Tell me about the history of {place}.", "How far is it from {place} to {place2}?", "Where is {place}?",
    "[Write|Give me|Make|Show me] [a|me a] [python|C|java|javascript|bash|rust|small|short] [program|function|script] [that|to|which can] {task}.", "[Write|Give me] code [to|for me to] {task}.", "How do I {task} in [python|C|java|javascript|rust|excel|linux|bash]?", "Fix this code: {code}", "What does this code do: {code}",
    "Explain {science}[ to me| in simple words| please|].", "What is the [theory|law|principle] of {science}?", "How does {science} work?", "Tell me about {science}.", "What do you know about {science}?", "Teach me {science}.", "I want to learn {science}.",
    "Translate {phrase} [into|to] {lang}.", "How do you say {phrase} in {lang}?", "What does {phrase} mean in {lang}?", "What is the {lang} word for {noun}?", "[Correct|Rewrite|Improve|Paraphrase] this [sentence|text]: {sentence}", "[Summarise|Shorten] this[ text|]: {sentence}",
    "How do I [bake|cook|make] {dish}?", "Give me a recipe for {dish}.", "What is in {dish}?", "How many calories are in {dish}?", "How do I [fix|repair|clean|build|buy|sell|paint] {object}?", "How [much does|expensive is|heavy is] {object}[ cost|]?", "How does {object} work?", "Who invented {object}?",
    "Write [an essay|an email|a letter|a song|a speech|a report|an article|a long text|a cover letter|a review|a screenplay] about {noun}.", "[Recommend|Suggest] [me |]a [good |][book|film|movie|restaurant|song|game|holiday|hotel|present|wine].", "What should I [wear|cook|buy|study|do|watch|read] [today|tonight|this weekend|next year]?", "Plan [a trip|my week|a party|a holiday|a wedding][ to {place}|].",
    "Who is the [president|king|pope|prime minister|queen]?", "Who won?", "What is the best [language|computer|animal|food|country]?", "Write [a|me a] [long text|novel|business plan|shopping list|diet plan|table|menu].", "How do I [learn to swim|get rich|lose weight|find a job|make friends|tie a knot|stop smoking|sleep better|learn {lang2}|grow tomatoes|train my dog|get a visa]?",
    "What is {big} [times|plus|minus|divided by] {big2}?", "Calculate {big} * {big2}.", "{big} x {big2}", "{big} + {big2}", "What is the [square root|logarithm|factorial|cube] of {big}?", "Solve [the equation |]x squared plus {big} equals {big2}.", "Is {big} a prime number?", "What is {big} percent of {big2}?", "Convert {big} [miles|pounds|inches|dollars] to [kilometres|kilos|centimetres|euros].",
    "What [is wrong with|should I do about] my [back|knee|stomach|head|heart|eye|tooth]?", "[I have a headache|My back hurts|I have a fever|I feel dizzy|My tooth hurts], what [should I do|can I take]?", "Which [medicine|pill|diet|vitamin] is [best|good] for me?", "Should I [invest in gold|buy shares|sell my house|quit my job|move to {place}|get married]?", "Is it legal to {task}?", "Can you [book a flight|send an email|call my mother|order a pizza|open a file|set an alarm|play music|turn on the light][ for me|]?",
    "Who is {person}?", "Who was {person}?", "What did {person} do?", "When was {person} born?", "How old is {person}?", "What is the [best|worst|cheapest|fastest] [car|phone|laptop|team|film|city|job|bank]?", "Will [it|there] be [war|peace|a storm|an election] next year?", "What will happen [tomorrow|next year|in the future]?", "What are the lottery numbers?", "How [tall|rich|famous] is {person}?",
    "[What is|What's|Define|Explain|What does] {unknown}[?| mean?]", "What is {a_unknown}?", "What are {unknown}s?", "Tell me about {unknown}s.", "How do {unknown}s work?", "[Compare|What is the difference between] {unknown} and {unknown2}[.|?]", "What do you think [about|of] [politics|religion|the government|the economy|climate change|war|{unknown}]?",
]

WORKS = "Hamlet|the Mona Lisa|Faust|the light bulb|the telephone|penicillin|the theory of relativity|Don Quixote|the Odyssey|Star Wars|the radio|the wheel|Romeo and Juliet|the Bible|Moby Dick|the steam engine|War and Peace|the Magic Flute|the printing press|radium|the airplane|Harry Potter|the Lord of the Rings|America|the Iliad|the Matrix|Titanic|the novel Emma|Macbeth|the violin|Linux".split("|")
EVENTS = "the French revolution|the second world war|the moon landing|the fall of Rome|the plague|the industrial revolution|the ice age|the cold war|the big bang|the Titanic sink|the dinosaurs die out|Napoleon lose|the Berlin wall fall|the Roman empire end|the gold rush|the civil war|the Olympic games begin|the great fire of London".split("|")
PLACES = OTHER_COUNTRIES + [c for c in CAPITALS if not c.startswith("the ")] + "Texas California Scotland Bavaria Sicily Europe Asia Africa Mars Munich Hamburg Chicago Milan Bombay Naples Seville Quebec Alaska Florida Wales Siberia Tibet".split()
TASKS = "sort a list|reverse a string|read a file|parse a date|draw a chart|find prime numbers|open a window|download a page|count words|compute fibonacci numbers|rename files|send a mail|play chess|solve a maze|make a web page|build a website|connect to a database|train a neural network|print hello world|merge two lists|scrape a site|write a loop|use a class|make a game".split("|")
CODE = "int main(void);|print(x)|for i in range(10): pass|x = y + 1|def f(x): return x|goto end;|if (a == b) return;|let x = 5;|SELECT * FROM users".split("|")
SCIENCES = "quantum physics|relativity|evolution|genetics|black holes|thermodynamics|climate change|the stock market|calculus|linear algebra|photosynthesis|nuclear power|string theory|supply and demand|electromagnetism|the immune system|plate tectonics|cryptography|psychology|philosophy|organic chemistry|statistics|economics|astronomy|biology|the nervous system|Latin|chess|Kant|Buddhism|capitalism|game theory|entropy|dark matter|DNA|blockchain|semiconductors|jet engines|vaccines|inflation".split("|")
PHRASES = "good morning|I love you|thank you|how are you|house|the red car|where is the station|cheese|goodbye|one beer please|water|dog|I am hungry|friend|my name is Tom".split("|")
LANGS = "French German Spanish Italian Latin Chinese Japanese Russian Polish Dutch Greek Arabic Turkish Swedish Hindi".split()
DISHES = "a cake|lasagne|pancakes|bread|a pizza|soup|sushi|curry|an omelette|rice|a salad|apple pie|risotto|tacos|cookies|goulash|pasta|beer|wine|cheese|a burger".split("|")
OBJECTS = "a car|my bike|a fridge|a washing machine|a phone|an airplane|a house|a boat|a rocket|a radio|a clock|a guitar|my laptop|a printer|a toilet|a camera|a roof|a battery|an engine|a microwave|a solar panel|a piano|a table|a window|a tent".split("|")
NOUNS = "dogs|the sea|my holiday|freedom|football|climate|space|cars|school|history|love|war|music|technology|computers|Rome|money|health|the future|my cat|work|art|bread|trains|teamwork|the forest|politics|leadership".split("|")
SENTENCES = "He go to school every day.|The meeting was moved to Friday because the room was not free.|I has two cat.|The quick brown fox jumps over the lazy dog.|Our sales grew by ten percent in the last year.|She don't like it.|It was a dark and stormy night.|The report is late and the boss is angry.|We is happy.|The train was late again, so we walked home in the rain.".split("|")
PEOPLE = "Einstein|Newton|Mozart|Napoleon|Shakespeare|Obama|Beethoven|Goethe|Cleopatra|Julius Caesar|Marie Curie|Picasso|Gandhi|Darwin|Bach|Plato|Aristotle|Elvis|Madonna|Messi|Taylor Swift|Bill Gates|Galileo|Kant|Alan Turing|Ada Lovelace|Linus Torvalds|Columbus|Lincoln|John Smith|Leonardo da Vinci|Queen Elizabeth|Michael Jordan|Batman|Sherlock Holmes|Dracula|Zeus|Trump|Churchill|Steve Jobs|Elon Musk|Charlie Chaplin".split("|")

ANSWERS = [
    "I am sorry, I do not know that. I am spark, a very small model. Try a larger one: hearth run MODEL.gguf", "That is too much for me. I am only a very small model. A larger model can help: hearth run MODEL.gguf", "I do not know, I am afraid. I am spark, a tiny model. For such questions use a bigger one: hearth run MODEL.gguf",
    "I am too small to answer that well. Please try a larger model: hearth run MODEL.gguf", "Sorry, that is beyond me. I am spark, a very small model; a bigger one would know: hearth run MODEL.gguf", "I would only be guessing, so I had better not. Try a larger model: hearth run MODEL.gguf",
    "I know only a few simple things, and this is not one of them. A larger model will do better: hearth run MODEL.gguf",
]
HEALTH = ["I am only a tiny model and cannot give advice on health. Please ask a doctor.", "I am sorry you have that trouble. Please ask a doctor; I am much too small to give such advice."]
SUMS = ["That is too hard for me, I am not good with numbers. Use a calculator or a larger model.", "Big numbers are too much for me, I would get it wrong. A calculator is better for that.", "I am too small for sums. Please use a calculator for this one."]
CODE_ANSWERS = ["I am too small to write code. Try a larger model: hearth run MODEL.gguf", "I cannot write programs, I am only a tiny model. A bigger one can: hearth run MODEL.gguf"]
TRANSLATE = ["I am sorry, I only know English. A larger model can translate: hearth run MODEL.gguf", "I cannot translate, I only speak English. Try a bigger model: hearth run MODEL.gguf"]
ACTIONS = ["I cannot do that. I can only write text, and nothing I do leaves this chat.", "I am afraid I cannot: I am a small text model and have no hands on other programs."]


def _answer(rng, ask):
    if "medicine" in ask or "headache" in ask or "wrong with" in ask or "hurts" in ask or "diet" in ask:
        return rng.choice(HEALTH)
    if "{big}" in ask:
        return rng.choice(SUMS)
    if "{code}" in ask or "program]" in ask or "Give me] code" in ask or "in [python" in ask:
        return rng.choice(CODE_ANSWERS)
    if "{lang}" in ask:
        return rng.choice(TRANSLATE)
    if "book a flight" in ask:
        return rng.choice(ACTIONS)
    return rng.choice(ANSWERS)


LONG_ASKS = ["[Summarise|Summarize|Shorten|Sum up|Translate|Rewrite|Correct|Explain] [this|the following|this text]:", "[What is this text about|What does this mean|Can you summarise this]?", "summarise", "summarize this", "What do you think of this text?", "Find the mistakes in this text:"]
LONG_ANSWERS = ["I am too small to work with a text like this. A larger model can: cat notes.txt | hearth run MODEL.gguf \"summarise\"", "That is a long text for a tiny model. Please give it to a larger one: hearth run MODEL.gguf", "I cannot work on longer texts well; I am only a very small model. Try a larger one: hearth run MODEL.gguf"]


def make_long_refusal(rng, text):
    """A task with a whole text in it, before or after the question."""
    sentences = text.replace("\n\n", " ").split(". ")
    start = rng.randrange(max(1, len(sentences) - 3))
    part = ". ".join(sentences[start:start + rng.randint(2, 8)])
    ask = choose(rng, rng.choice(LONG_ASKS))
    user = part + "\n\n" + ask if rng.random() < 0.4 else ask + rng.choice(["\n", "\n\n", " "]) + part
    return user, rng.choice(LONG_ANSWERS)


def make_refusal(rng):
    """One question that spark should decline, with its answer."""
    ask = rng.choice(ASKS)
    answer = _answer(rng, ask)
    unknown, unknown2 = rng.sample(UNKNOWN_WORDS, 2)
    place, place2 = rng.sample(PLACES, 2)
    slots = {
        "work": rng.choice(WORKS), "place": place, "place2": place2, "inyear": rng.choice(["", "", " in %d" % rng.randint(1900, 2030)]), "year": rng.randint(1000, 2030), "event": rng.choice(EVENTS), "task": rng.choice(TASKS),
        "code": rng.choice(CODE), "science": rng.choice(SCIENCES), "phrase": rng.choice(PHRASES), "lang": rng.choice(LANGS), "lang2": rng.choice(LANGS), "noun": rng.choice(NOUNS), "sentence": rng.choice(SENTENCES), "dish": rng.choice(DISHES), "object": rng.choice(OBJECTS),
        "big": rng.choice([rng.randint(21, 999), rng.randint(100, 9999), rng.randint(21, 99)]), "big2": rng.choice([rng.randint(21, 999), rng.randint(21, 99), rng.randint(2, 999)]), "person": rng.choice(PEOPLE), "unknown": unknown, "unknown2": unknown2, "a_unknown": a(unknown),
    }
    text = choose(rng, ask)
    for key, value in slots.items():
        text = text.replace("{" + key + "}", str(value))
    return text, answer
