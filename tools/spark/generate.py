#!/usr/bin/env python3
"""Write the conversations that spark learns from.

Every conversation is a dict {"system": text or None, "turns": [[user,
assistant], ...]}.  All text comes from the hand-written parts in this folder;
the same seed always gives the same conversations.

    python3 generate.py --count 20 --seed 7        # print some as JSON lines
"""
import argparse
import json
import random

import hearthfacts
import knowledge
import smalltalk
import stories
import world
from refusals import make_long_refusal, make_refusal
from textkit import a, choose, fill, roughen, tidy


class Turn:
    """A question, its answer, and what may follow."""

    def __init__(self, user, answer, short=None, more=None, again=None, exact=False):
        self.user, self.answer = user, answer
        self.short, self.more, self.again = short, more, again
        self.exact = exact      # no typing errors: the answer repeats a word


# ------------------------------------------------------------ single turns

def topic_turn(rng, topic):
    ask = topic["q"][0] if rng.random() < 0.2 else rng.choice(topic["q"])
    user = fill(rng, ask, city=rng.choice(smalltalk.CITIES))
    return Turn(user, rng.choice(topic["a"]), topic.get("s"), topic.get("m"))


def hearth_turn(rng, _):
    return topic_turn(rng, rng.choice(HEARTH))


def small_turn(rng, _):
    return topic_turn(rng, rng.choice(SMALL))


def define_turn(rng, _):
    word = rng.choice(DEFINED)
    thing = word if word in world.BARE or rng.random() < 0.1 else ("the " + word if word in world.THE else a(word))
    ask = "What is {t}?" if rng.random() < 0.25 else rng.choice(["What is {t}?", "What's {t}?", "What is {t}?", "Explain {t}.", "What does {w} mean?", "Define {w}.", "Can you explain what {t} is?", "Do you know what {t} is?",
                      "Tell me what {t} is.", "What does the word {w} mean?", "Tell me about {t}.", "what is {w}", "What do you mean by {w}?", "{w}?", "Explain {w} to me[, please|]."])
    user = tidy(fill(rng, ask, t=thing, w=word))
    return Turn(user, rng.choice(world.DEFINITIONS[word]))


def story_turn(rng, _, again=False):
    hero, adj, user = None, None, None
    if not again:
        if rng.random() < 0.62:
            hero = rng.choice(stories.HEROES)
            adj = rng.choice(["", "", rng.choice(stories.ADJ)])
            whole = (adj + " " + hero).strip()
            shape = rng.choice([a(whole), a(whole), "the " + whole, hero + "s"])
            if rng.random() < 0.15:
                shape = a(whole) + choose(rng, " [who|that] [is afraid of the dark|lives in the sea|wants to fly|is lost|has no friends|finds a treasure|loves music|goes on a journey|cannot sleep|saves a friend|wants to see the world]")
            user = fill(rng, rng.choice(stories.STORY_ASKS_ABOUT), h=shape)
        else:
            user = fill(rng, stories.STORY_ASKS[0] if rng.random() < 0.3 else rng.choice(stories.STORY_ASKS))
    name = plot = place = None
    r = rng.random()
    if not again and r < 0.08:
        boy = rng.random() < 0.5
        hero, adj, name = "boy" if boy else "girl", None, rng.choice(stories.BOYS if boy else stories.GIRLS)
        user = fill(rng, rng.choice(stories.STORY_ASKS_ABOUT), h=rng.choice([name, name, ("a boy" if boy else "a girl") + " named " + name]))
    elif not again and r < 0.20:
        hero = adj = None
        subject = rng.choice(list(stories.SUBJECT_PLOT) + list(stories.SUBJECT_PLACE))
        plot, place = stories.SUBJECT_PLOT.get(subject), stories.SUBJECT_PLACE.get(subject)
        user = fill(rng, rng.choice(stories.STORY_ASKS_ABOUT), h=subject)
    text, short = stories.make_story(rng, hero, adj, name, plot, place)
    return Turn(user, text, short, None, lambda r: story_turn(r, None, True))


def _cycle(asks, lead, items):
    """A turn maker for jokes, facts and the like."""
    def turn(rng, _, again=False):
        text = rng.choice(items)
        if lead and rng.random() < 0.4:
            text = rng.choice(lead) + " " + text
        return Turn(fill(rng, rng.choice(asks)), text, None, None, lambda r: turn(r, None, True))
    return turn


joke_turn = _cycle(["Tell me a joke.", "Tell me a [good |funny |short |]joke[, please|].", "Make me laugh.", "Do you know a joke?", "A joke, please.", "joke", "Can you tell me a joke?", "Say something funny.", "Give me a joke."],
                   ["Here is one:", "Gladly:"], smalltalk.JOKES)
fact_turn = _cycle(["Tell me a fact.", "Tell me [something interesting|a fun fact|an interesting fact].", "Do you know a fun fact?", "fun fact", "Give me a [fun |]fact.", "Teach me something.", "What is something I may not know?"],
                   ["Did you know?", "Here is one:"], smalltalk.FACTS)
advice_turn = _cycle(["Give me [some |]advice.", "Do you have a tip for me?", "[Give|Tell] me a tip.", "What should I do?", "Can you give me some advice?", "any advice?"], ["My advice:", "Here is a thought:"], smalltalk.ADVICE)
any_poem_turn = _cycle(["[Write|Tell me|Give me|Make|Recite] a [short |little |]poem[, please|].", "Can you write a poem?", "A poem, please.", "poem", "Do you know a poem?", "write me a rhyme", "write a poem for me"], None, stories.POEMS)


def poem_turn(rng, st):
    turn = any_poem_turn(rng, st)
    if rng.random() < 0.6:
        subject = rng.choice(stories.NO_POEM)
        turn.answer = rng.choice(["I only know a few poems. Here is one:\n\n", "I have no poem about that, but here is another one:\n\n"]) + turn.answer
        if rng.random() < 0.7:
            i = rng.randrange(len(stories.POEMS))
            subject, turn.answer = rng.choice(stories.POEM_ABOUT[i].split("|")), stories.POEMS[i]
        turn.user = fill(rng, rng.choice(["Write a [short |little |]poem about {s}[, please|].", "[Make|Give me|Tell me] a poem about {s}.", "Can you write a poem about {s}?", "poem about {s}", "I would like a poem about {s}."]), s=subject)
    return turn


def riddle_turn(rng, st):
    ask, answer = rng.choice(smalltalk.RIDDLES)
    st["riddle"] = answer
    user = fill(rng, rng.choice(["Tell me a riddle.", "Give me a riddle.", "Do you know a riddle?", "A riddle, please.", "riddle"]))
    return Turn(user, ask, None, None, lambda r: riddle_turn(r, st))


def haiku_turn(rng, _, again=False):
    topic = rng.choice([None, None] + sorted(stories.HAIKU))
    if topic is None or again:
        user = fill(rng, rng.choice(["Write a haiku.", "Write [me |]a haiku[, please|].", "Can you write a haiku?", "A haiku, please.", "haiku", "Do you know a haiku?", "Make a haiku.", "Give me a haiku."]))
        topic = None
    else:
        names = {"sea": "the sea", "hearth": rng.choice(["Hearth", "home", "fire", "a fire", "computers"]), "night": rng.choice(["the night", "the moon", "stars"]), "rain": "rain", "winter": rng.choice(["winter", "snow"])}
        user = fill(rng, rng.choice(["Write a haiku about {t}.", "Write me a haiku about {t}[, please|].", "A haiku about {t}, please.", "Can you make a haiku about {t}?", "haiku about {t}"]), t=names.get(topic, topic))
    return Turn(user, stories.make_haiku(rng, topic), None, None, lambda r: haiku_turn(r, None, True))


def refusal_turn(rng, _):
    if rng.random() < 0.05:
        user, answer = make_long_refusal(rng, stories.make_story(rng)[0])
        return Turn(user, answer, exact=True)
    user, answer = make_refusal(rng)
    return Turn(tidy(user), answer, "I do not know. Try a larger model.", "I have only a few million parameters, so there is no room for such knowledge.")


def know_turn(rng, _):
    return Turn(*rng.choice(KNOW)(rng), exact=True)


# ----------------------------------------------------------- things to keep

_SYLLABLES = "ba be bo da de di do fa fe ga go ha hi jo ka ke ki ko la le li lo lu ma me mi mo na ne ni no pa pe pi ra re ri ro ru sa se si so ta te ti to va ve vi wa we ya yo za ze zo".split()


def any_name(rng):
    if rng.random() < 0.55:
        return rng.choice(smalltalk.NAMES)
    return ("".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3))) + rng.choice(["", "", "n", "s", "l", "r", "x", "k"])).capitalize()


def name_turn(rng, st):
    name = any_name(rng)
    st["name"] = name
    user = fill(rng, rng.choice(["My name is {n}.", "My name is {n}.", "I am {n}.", "I'm {n}.", "Call me {n}.", "Hi, I am {n}.", "Hello, my name is {n}.", "Hi, I'm {n}[!|.]", "hello i am {n}", "You can call me {n}.", "Hello! My name is {n}. [How are you?|What is your name?|Who are you?|]", "This is {n}."]), n=name)
    return Turn(user, fill(rng, rng.choice(["Nice to meet you, {n}! I am spark. What can I do for you?", "Hello {n}! How can I help you?", "Hi {n}, pleased to meet you. I am spark.", "Welcome, {n}! What would you like to talk about?"]), n=name), exact=True)


def ask_name_turn(rng, st):
    user = fill(rng, rng.choice(["What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Do you know my name?", "Tell me my name.", "What did I say my name was?", "my name?", "what am I called?"]))
    if "name" in st:
        return Turn(user, fill(rng, rng.choice(["Your name is {n}.", "You are {n}.", "Your name is {n}. I remember!"]), n=st["name"]))
    return Turn(user, rng.choice(["You have not told me your name yet. What is it?", "I do not know your name yet. What should I call you?"]))


_KEEP = {
    "favourite colour": (world.LISTS["colours"], ["My favourite colour is {v}.", "I like {v} best, it is my favourite colour."], "{v} is a lovely colour.", "Your favourite colour is {v}."),
    "favourite animal": (stories.HEROES[:50], ["My favourite animal is the {v}."], "The {v} is a fine animal.", "Your favourite animal is the {v}."),
    "favourite food": ("pizza soup bread pasta rice cheese cake salad curry apples pancakes".split(), ["My favourite food is {v}.", "I like {v}, it is my favourite food."], "That sounds tasty!", "Your favourite food is {v}."),
    "cat's name": (None, ["My cat is called {v}.", "I have a cat named {v}.", "My cat's name is {v}."], "{v} is a good name for a cat.", "Your cat is called {v}."),
    "dog's name": (None, ["My dog is called {v}.", "I have a dog named {v}.", "My dog's name is {v}."], "{v} is a good name for a dog.", "Your dog is called {v}."),
    "home": (smalltalk.CITIES, ["I live in {v}.", "My home is in {v}.", "I come from {v}."], "{v} must be a nice place.", "You live in {v}."),
    "age": ([str(n) for n in range(5, 90)], ["I am {v} years old.", "My age is {v}."], "{v} is a good age.", "You are {v} years old."),
}
_KEEP_ASKS = {"home": ["Where do I live?", "Do you remember where I live?", "What is my home town?"], "age": ["How old am I?", "What is my age?", "Do you know how old I am?"],
              "cat's name": ["What is my cat's name?", "What is my cat called?", "Do you remember the name of my cat?"], "dog's name": ["What is my dog's name?", "What is my dog called?", "Do you remember the name of my dog?"]}


def keep_turn(rng, st):
    kind = rng.choice(sorted(_KEEP))
    values, tell, react, recall = _KEEP[kind]
    value = rng.choice(values) if values else any_name(rng)
    st["keep"] = (kind, recall.replace("{v}", value))
    return Turn(fill(rng, rng.choice(tell), v=value), tidy(fill(rng, react, v=value)) + rng.choice(["", " What can I do for you?", " Thank you for telling me.", " I will keep that in mind."]), exact=True)


def ask_keep_turn(rng, st):
    kind = st["keep"][0] if "keep" in st else rng.choice(sorted(_KEEP))
    asks = _KEEP_ASKS.get(kind) or ["What is my %s?" % kind, "Do you remember my %s?" % kind, "What did I say was my %s?" % kind]
    user = rng.choice(asks)
    if "keep" in st:
        return Turn(user, st["keep"][1])
    return Turn(user, rng.choice(["You have not told me that yet.", "I do not know that. You have not told me yet."]))


# -------------------------------------------------------------- follow-ups

ANOTHER = ["Another one[, please|].", "Another[ one|]", "One more[, please|].", "Tell me another[ one|].", "Again[!|]", "more", "Do you have another one?", "Give me another[ one|].", "Next", "Can I have another one?", "A different one, please."]
SHORTER = ["Shorter, please.", "shorter please", "Make it shorter.", "In one sentence?", "Can you say that [shorter|in a few words]?", "too long", "In short?", "Keep it short.", "Give me the short version.", "tldr", "Sum it up."]
MORE = ["Tell me more.", "More[, please|].", "Go on.", "Can you tell me more?", "What else?", "And?", "Anything else?", "more details please", "Explain more."]
AGAIN_SAY = ["Can you repeat that?", "Say that again[, please|].", "Repeat that, please.", "What did you say?", "Pardon?", "Once more, please?"]
ASKED = ["What did I [just |]ask[ you|]?", "What was my [last |]question?", "What did I say?", "What was my last message?"]


YES = ["Yes[!|.|]", "Yes, please[!|.]", "yes please", "Sure[!|.|]", "ok", "Please do.", "Yeah", "Gladly.", "I would like that.", "go ahead"]
NO = ["No[.|]", "No, thanks[.|]", "no thank you", "Not now.", "Maybe later."]
DOUBT = ["Are you sure?", "Really?", "Is that true?", "Is that right?", "I don't believe you.", "How do you know?"]


def offered_turn(rng, last):
    """The user takes up (or declines) something that spark offered."""
    offers = [("story", story_turn), ("joke", joke_turn), ("poem", poem_turn), ("fact", fact_turn), ("tell you one", story_turn)]
    found = [make for word, make in offers if any(word in s and s.endswith("?") for s in last.answer.replace("?", "?|").split("|"))]
    if not found:
        return None
    if rng.random() < 0.15:
        return Turn(fill(rng, rng.choice(NO)), rng.choice(["All right. What would you like to do instead?", "That is fine. I am here if you need something."]))
    make = rng.choice(found)
    turn = make(rng, {}, True) if make is not poem_turn else any_poem_turn(rng, {}, True)
    word = {story_turn: "A story", joke_turn: "A joke", poem_turn: "A poem", fact_turn: "A fact"}[make]
    turn.user = fill(rng, rng.choice(YES)) if len(found) == 1 and rng.random() < 0.8 else rng.choice([word + ", please.", word, word + "!"])
    return turn


def followup(rng, st, last):
    """A turn that refers to the one before, or None."""
    if rng.random() < 0.7:
        turn = offered_turn(rng, last)
        if turn:
            return turn
    if rng.random() < 0.06:
        return Turn(rng.choice(DOUBT), rng.choice(["I think so, but I am very small and can be wrong.", "I believe it is right, but please check it: I am only a tiny model."]))
    if rng.random() < 0.06:
        return Turn(rng.choice(["Why?", "Why is that?", "Why so?", "why", "How come?", "But why?"]), rng.choice(["I am too small to explain that well. A larger model could: hearth run MODEL.gguf", "I cannot explain it, I am afraid. I only know a few simple things."]))
    options = []
    if last.again:
        options += ["again"] * 4
    if last.short:
        options += ["short"] * 2
    if last.more:
        options += ["more"] * 2
    if "riddle" in st:
        options = ["solve"] * 3 + (["again"] if last.again else [])
    if len(last.answer) < 160 and rng.random() < 0.15:
        options += ["repeat"]
    if len(last.user) < 60 and rng.random() < 0.15:
        options += ["asked"]
    if not options:
        return None
    kind = rng.choice(options)
    if kind == "again":
        turn = last.again(rng)
        while turn.answer == last.answer:
            turn = last.again(rng)
        turn.user = fill(rng, rng.choice(ANOTHER))
        return turn
    if kind == "short":
        return Turn(fill(rng, rng.choice(SHORTER)), last.short)
    if kind == "more":
        return Turn(fill(rng, rng.choice(MORE)), last.more)
    if kind == "solve":
        answer = st.pop("riddle")
        user = fill(rng, rng.choice(["What is the answer?", "I don't know.", "Tell me.", "I give up.", "No idea.", "What is it?", "The answer?"]))
        return Turn(user, choose(rng, "[The answer is|It is] " + answer + "."))
    if kind == "repeat":
        return Turn(fill(rng, rng.choice(AGAIN_SAY)), rng.choice(["", "I said: "]) + last.answer.replace("I said: ", ""))
    return Turn(fill(rng, rng.choice(ASKED)), choose(rng, "[You said|Your last message was]: \"") + last.user + "\"")


# ------------------------------------------------------------------- mixing

HEARTH = []
SMALL = []
DEFINED = []
KNOW = []
KINDS = []


def _setup():
    for i, topic in enumerate(hearthfacts.TOPICS):
        HEARTH.extend([topic] * (7 if i == 0 else 6 if i == 1 else 1))
    for topic in smalltalk.TOPICS:
        SMALL.extend([topic] * topic.get("n", 1))
    words = list(world.DEFINITIONS)
    DEFINED.extend(words + words[:words.index("computer")] * 3)
    for func, weight in knowledge.MAKERS:
        KNOW.extend([func] * weight)
    for func, weight in [(hearth_turn, 34), (small_turn, 30), (define_turn, 12), (story_turn, 12), (know_turn, 10), (joke_turn, 3), (fact_turn, 2), (advice_turn, 1), (poem_turn, 2),
                         (riddle_turn, 1), (haiku_turn, 4), (refusal_turn, 14), (name_turn, 4), (ask_name_turn, 1), (keep_turn, 2), (ask_keep_turn, 1)]:
        KINDS.extend([func] * weight)


_setup()

SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant.", "You are spark, a tiny helpful model.", "You are a friendly assistant.", "Be kind and helpful.", "You are a helpful and honest assistant.", "You are a chatbot."]


def next_turn(rng, st, last):
    r = rng.random()
    if last is not None:
        if r < 0.40:
            turn = followup(rng, st, last)
            if turn:
                return turn
        st.pop("riddle", None)
        if r < 0.60 and "name" in st:
            return ask_name_turn(rng, st)
        if r < 0.60 and "keep" in st:
            return ask_keep_turn(rng, st)
    return rng.choice(KINDS)(rng, st)


def conversation(rng):
    """One whole conversation."""
    count = rng.choice([1, 1, 1, 1, 1, 2, 2, 3, 3, 4])
    most = 1500
    if rng.random() < 0.04:
        count, most = rng.randint(5, 9), 2600
    st, last, turns, size = {}, None, [], 0
    for i in range(count):
        if i == 0 and count > 1 and rng.random() < 0.15:
            turn = topic_turn(rng, smalltalk.TOPICS[0])
        else:
            turn = next_turn(rng, st, last)
        user = roughen(rng, turn.user, exact=turn.exact)
        if "{" in turn.answer:
            raise ValueError("open slot: " + turn.answer)
        turns.append([user, turn.answer])
        turn.user = user
        last = turn
        size += len(user) + len(turn.answer)
        if size > most:
            break
    system = rng.choice(SYSTEMS) if rng.random() < 0.12 else None
    return {"system": system, "turns": turns}


def conversations(seed, count):
    """`count` conversations; each depends only on the seed and its number."""
    for i in range(count):
        yield conversation(random.Random("%d/%d" % (seed, i)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for item in conversations(args.seed, args.count):
        print(json.dumps(item, ensure_ascii=False))


if __name__ == "__main__":
    main()
