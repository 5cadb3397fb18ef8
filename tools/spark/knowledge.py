"""Turn the tables of world.py into questions and answers."""
import world
from textkit import a, choose, fill, tidy


def colour(rng):
    thing = rng.choice(list(world.COLOURS))
    value = world.COLOURS[thing]
    user = fill(rng, rng.choice(["What colour is {t}?", "What color is {t}?", "Which colour does {t} have?", "What is the colour of {t}?", "Tell me the colour of {t}.", "colour of {t}"]), t=thing)
    return user, tidy(thing) + " is " + value + "."


def opposite(rng):
    one, two = rng.choice(world.OPPOSITES).split()
    if rng.random() < 0.5:
        one, two = two, one
    user = fill(rng, rng.choice(["What is the opposite of {w}?", "Opposite of {w}?", "Tell me the opposite of {w}.", "What's the opposite of {w}?", "the opposite of {w}", "Which word is the opposite of {w}?"]), w=one)
    return user, "The opposite of " + one + " is " + two + "."


def sound(rng):
    animal = rng.choice(list(world.SOUNDS))
    value = world.SOUNDS[animal]
    user = fill(rng, rng.choice(["What does {t} say?", "What sound does {t} make?", "What noise does {t} make?", "How does {t} sound?", "What do {w}s say?", "Which sound does {t} make?"]), t=rng.choice([a(animal), a(animal), "the " + animal]), w=animal)
    if animal in ("mouse", "goose", "wolf") and animal + "s" in user:
        user = "What does " + a(animal) + " say?"
    return user, tidy(a(animal)) + rng.choice([" says ", " goes "]) + value + "."


def capital(rng):
    if rng.random() < 0.15:
        land = rng.choice(world.OTHER_COUNTRIES)
        answer = rng.choice(["I do not know the capital of {c}. I only know a few capitals.", "I am not sure about {c}. I only know a few capitals."]).replace("{c}", land)
    else:
        land = rng.choice(list(world.CAPITALS))
        answer = "The capital of " + land + " is " + world.CAPITALS[land] + ("" if world.CAPITALS[land].endswith(".") else ".")
    user = fill(rng, rng.choice(["What is the capital of {c}?", "What's the capital of {c}?", "Capital of {c}?", "Which city is the capital of {c}?", "Tell me the capital of {c}.", "Do you know the capital of {c}?", "What is the capital city of {c}?", "Name the capital of {c}."]), c=land)
    return user, answer


def country_of(rng):
    land = rng.choice([c for c in world.CAPITALS if not c.startswith("the ")])
    city = world.CAPITALS[land]
    user = fill(rng, rng.choice(["Which country has the capital {c}?", "{c} is the capital of which country?", "{c} is the capital of what?", "Where is {c}?"]), c=city)
    return user, city + " is the capital of " + land + "."


def rhyme(rng):
    word = rng.choice(list(world.RHYMES))
    user = fill(rng, rng.choice(["What rhymes with {w}?", "Find a rhyme for {w}.", "Give me a rhyme for {w}.", "Which words rhyme with {w}?", "rhyme with {w}", "Tell me a word that rhymes with {w}."]), w=word)
    return user, tidy(word) + " rhymes with " + world.RHYMES[word] + "."


def _num(rng, n, style):
    return world.NUMBERS[n] if style else str(n)


def add(rng):
    x, y = rng.randint(0, 10), rng.randint(0, 10)
    style = rng.random() < 0.15
    user = fill(rng, rng.choice(["What is {x} plus {y}?", "What is {x} + {y}?", "{x}+{y}", "{x} + {y} =", "{x} + {y}", "How much is {x} plus {y}?", "What is {x}+{y}?", "Add {x} and {y}.", "{x} plus {y}", "Can you add {x} and {y}?", "what's {x} + {y}?", "{x}+{y}=?"]), x=_num(rng, x, style), y=_num(rng, y, style))
    if style:
        return user, tidy("%s plus %s is %s." % (world.NUMBERS[x], world.NUMBERS[y], world.NUMBERS[x + y]))
    return user, "%d plus %d is %d." % (x, y, x + y)


def subtract(rng):
    x = rng.randint(1, 10)
    y = rng.randint(0, x)
    user = fill(rng, rng.choice(["What is {x} minus {y}?", "What is {x} - {y}?", "{x}-{y}", "{x} - {y}", "How much is {x} minus {y}?", "{x} minus {y}", "Take {y} from {x}."]), x=x, y=y)
    return user, "%d minus %d is %d." % (x, y, x - y)


def multiply(rng):
    x, y = rng.randint(1, 5), rng.randint(1, 5)
    user = fill(rng, rng.choice(["What is {x} times {y}?", "What is {x} * {y}?", "{x}*{y}", "{x} x {y}", "How much is {x} times {y}?", "{x} times {y}", "Multiply {x} by {y}."]), x=x, y=y)
    return user, "%d times %d is %d." % (x, y, x * y)


def compare(rng):
    x, y = rng.sample(range(0, 21), 2)
    big = rng.random() < 0.5
    word = rng.choice(["bigger", "larger", "greater"]) if big else rng.choice(["smaller", "less"])
    user = fill(rng, rng.choice(["Which is {w}, {x} or {y}?", "What is {w}, {x} or {y}?", "Which number is {w}: {x} or {y}?"]), w=word, x=x, y=y)
    value, other = (max(x, y), min(x, y)) if big else (min(x, y), max(x, y))
    return user, "%d is %s than %d." % (value, word, other)


def count(rng):
    if rng.random() < 0.25:
        n = rng.randint(3, 10)
        user = fill(rng, rng.choice(["Count [down|backwards] from {n}.", "Can you count [down|backwards] from {n}?", "countdown from {n}"]), n=n)
        return user, ", ".join(str(i) for i in range(n, 0, -1))
    lo, hi = 1, rng.choice([3, 4, 5, 5, 6, 7, 8, 10, 10, 10, 12, 15, 20, 20])
    if rng.random() < 0.25:
        lo = rng.randint(2, 9)
        hi = lo + rng.randint(2, 8)
        user = fill(rng, "Count from {a} to {b}.", a=lo, b=hi)
    else:
        user = fill(rng, rng.choice(["Count to {n}.", "Count to {n}[, please|].", "Can you count to {n}?", "Count from 1 to {n}.", "Please count to {n}."]), n=rng.choice([str(hi), world.NUMBERS[hi]]))
    return user, ", ".join(str(i) for i in range(lo, hi + 1))


def next_number(rng):
    n = rng.randint(1, 19)
    if rng.random() < 0.6:
        return fill(rng, rng.choice(["What comes after {n}?", "Which number comes after {n}?", "What is the next number after {n}?"]), n=n), "After %d comes %d." % (n, n + 1)
    return fill(rng, rng.choice(["What comes before {n}?", "Which number comes before {n}?"]), n=n), "Before %d comes %d." % (n, n - 1)


def days(rng):
    names, unit = (world.DAYS, "day") if rng.random() < 0.6 else (world.MONTHS, "month")
    whole = "week" if unit == "day" else "year"
    i = rng.randrange(len(names))
    kind = rng.random()
    if kind < 0.40:
        user = fill(rng, rng.choice(["What comes after {d}?", "Which {u} comes after {d}?", "What {u} is after {d}?", "What is the {u} after {d}?"]), d=names[i], u=unit)
        return user, "After %s comes %s." % (names[i], names[(i + 1) % len(names)])
    if kind < 0.62:
        user = fill(rng, rng.choice(["What comes before {d}?", "Which {u} comes before {d}?", "What {u} is before {d}?", "What is the {u} before {d}?"]), d=names[i], u=unit)
        return user, "Before %s comes %s." % (names[i], names[i - 1])
    if kind < 0.80:
        user = fill(rng, rng.choice(["What is the {o} {u} of the {w}?", "Which {u} is the {o} of the {w}?", "Name the {o} {u} of the {w}."]), o=world.ORDINALS[i], u=unit, w=whole)
        return user, "The %s %s of the %s is %s." % (world.ORDINALS[i], unit, whole, names[i])
    user = fill(rng, rng.choice(["[List|Name|Tell me|Say|What are] the {u}s of the {w}.", "What are the {u}s of the {w}?", "Which {u}s are there?", "Name all {u}s."]), u=unit, w=whole)
    return user.replace("What are the %ss of the %s." % (unit, whole), "What are the %ss of the %s?" % (unit, whole)), "The %ss of the %s are %s and %s." % (unit, whole, ", ".join(names[:-1]), names[-1])


def legs(rng):
    animal = rng.choice(list(world.LEGS))
    n = world.LEGS[animal]
    user = fill(rng, rng.choice(["How many legs does {t} have?", "How many legs has {t}?", "Number of legs of {t}?"]), t=a(animal))
    if animal == "octopus":
        return user, "An octopus has no legs, but it has eight arms."
    return user, tidy("%s has %s legs." % (a(animal), world.NUMBERS[n] if n else "no"))


def baby(rng):
    animal = rng.choice(list(world.BABIES))
    user = fill(rng, rng.choice(["What is a baby {w} called?", "What do you call a baby {w}?", "What is the name of a young {w}?", "What is a young {w} called?"]), w=animal)
    return user, "A baby %s is called %s." % (animal, a(world.BABIES[animal]))


def listing(rng):
    kind = rng.choice(list(world.LISTS))
    items = list(world.LISTS[kind])
    n = rng.randint(2, 5)
    if kind == "planets":
        chosen = items[:n] if rng.random() < 0.5 else items
    else:
        rng.shuffle(items)
        chosen = items[:n]
    what = kind
    number = world.NUMBERS[len(chosen)]
    user = fill(rng, rng.choice(["Name {n} {k}.", "Name {n} {k}.", "Tell me {n} {k}.", "Give me {n} {k}.", "List {n} {k}."]), n=rng.choice([number, str(len(chosen))]), k=what)
    text = ", ".join(chosen[:-1]) + " and " + chosen[-1]
    return user, tidy(choose(rng, "[" + what + ": |Here are " + number + " " + what + ": |]") + text + ".")


_SAY = ["the sky is blue", "hello world", "good morning", "I like tea", "the fox is red", "banana", "hearth", "spark", "I am happy", "the cat sleeps", "warm fire", "one two three", "yes", "please and thank you", "the moon is bright", "a b c", "my dog is fast"]


def say(rng):
    if rng.random() < 0.6:
        who = rng.choice(["the", "a", "my", "our"]) + " " + rng.choice(["old", "little", "red", "blue", "quick", "happy", "quiet", "big", "green", "cold"]) + " " + rng.choice(world.LISTS["animals"] + world.LISTS["fruits"] + world.LISTS["birds"] + ["house", "boat", "lamp", "train", "book"])
        if who.startswith("a o"):
            who = "an" + who[1:]
        text = who + " " + rng.choice(["is here", "went home", "sees the moon", "likes music", "sleeps well", "is under the table", "came to town", "sings a song", "is very old", "fell down"])
    else:
        text = rng.choice(_SAY)
    user = fill(rng, rng.choice(["Say: {t}", "Repeat after me: {t}", "Repeat: {t}", "Say \"{t}\".", "Please say \"{t}\"", "Echo: {t}", "Write: {t}", "Write \"{t}\"."]), t=text)
    return user, tidy(text) + "."


def misc(rng):
    ask, answer = rng.choice(world.MISC)
    return fill(rng, ask), answer


# (function, weight)
# A model of this size cannot learn tables of facts or arithmetic: it declines, and says what can help.
_CANNOT = ["[That|This] is too [hard|much] for me: I am a very small model. [A larger one knows|Ask a larger one]: hearth run MODEL.gguf",
           "I am too small to [know|answer] that. Try a larger model: hearth run MODEL.gguf"]


def _declined(maker):
    def declined(rng):
        return maker(rng)[0], choose(rng, rng.choice(_CANNOT))
    return declined


MAKERS = [(colour, 4), (opposite, 2), (sound, 3), (days, 2), (say, 2), (listing, 2), (count, 2),
          (_declined(capital), 5), (_declined(country_of), 1), (_declined(add), 6), (_declined(subtract), 2), (_declined(multiply), 2)]
