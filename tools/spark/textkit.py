"""Small helpers shared by the text generators.

A pattern is ordinary text in which `[a|b|c]` means "pick one of these" (the
pieces may be empty and may nest) and `{name}` is a slot filled from keyword
arguments.  A `|` outside brackets is an ordinary character, so that shell
pipes can be written as they are.
"""


def _split_top(body):
    """Split the inside of a bracket at the `|` signs of its own level."""
    parts, depth, start = [], 0, 0
    for i, ch in enumerate(body):
        if ch == "[":
            depth += 1
        elif ch == "]":
            depth -= 1
        elif ch == "|" and depth == 0:
            parts.append(body[start:i])
            start = i + 1
    parts.append(body[start:])
    return parts


def _close(text, start):
    """Index of the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        if text[i] == "[":
            depth += 1
        elif text[i] == "]":
            depth -= 1
            if depth == 0:
                return i
    raise ValueError("unbalanced brackets: " + text)


def choose(rng, text):
    """Resolve every `[a|b]` of a pattern."""
    out = []
    i = 0
    while i < len(text):
        if text[i] != "[":
            out.append(text[i])
            i += 1
            continue
        end = _close(text, i)
        out.append(choose(rng, rng.choice(_split_top(text[i + 1:end]))))
        i = end + 1
    return "".join(out)


def fill(rng, text, **slots):
    """Resolve the alternatives of a pattern, then its slots."""
    text = choose(rng, text)
    for key, value in slots.items():
        text = text.replace("{" + key + "}", str(value))
    return " ".join(text.split(" ")).strip()


def tidy(text):
    """Drop doubled spaces and begin with a capital letter."""
    while "  " in text:
        text = text.replace("  ", " ")
    text = text.strip()
    return text[:1].upper() + text[1:]


def article(noun):
    """"a" or "an" for an English noun."""
    if noun.lower().startswith(("hon", "hour")):
        return "an"
    if noun.lower().startswith(("uni", "one", "eu", "use")):
        return "a"
    return "an" if noun[0].lower() in "aeiou" else "a"


def a(noun):
    return article(noun) + " " + noun


# --------------------------------------------------------------- user noise

_WRAPS = [
    "hey, {q}", "hi, {q}", "spark, {q}", "ok, {q}", "hello spark, {q}",
    "quick question: {q}", "I have a question: {q}", "one more thing: {q}",
    "tell me, {q}", "so, {q}", "and {q}", "please, {q}", "right, {q}",
    "hi spark! {q}", "um, {q}", "hello, {q}", "hello! {q}", "hey! {q}", "hi! {q}", "can you tell me: {q}", "well, {q}", "question: {q}",
]


def _typo(rng, text):
    """One slip of the keyboard: swap, drop or double a letter."""
    spots = [i for i in range(1, len(text) - 1)
             if text[i].isalpha() and text[i + 1].isalpha()]
    if not spots:
        return text
    i = rng.choice(spots)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    if kind == 1:
        return text[:i] + text[i + 1:]
    return text[:i] + text[i] + text[i:]


def roughen(rng, text, exact=False):
    """Make a clean question look like something typed in a hurry."""
    if rng.random() < 0.08 and not (exact and ':' in text):
        lead = text if text.startswith(("I ", "I'")) else text[:1].lower() + text[1:]
        text = rng.choice(_WRAPS).replace("{q}", lead)
        text = text[:1].upper() + text[1:]
    r = rng.random()
    if r < 0.30:
        text = text.lower()
    elif r < 0.32 and not exact:
        text = text.upper()
    r = rng.random()
    if r < 0.30:
        text = text.rstrip("?.!")
    elif r < 0.33 and text.endswith("?"):
        text = text + "?"
    if "'" in text and rng.random() < 0.35:
        text = text.replace("'", "")
    if rng.random() < 0.10 and len(text) > 6 and not exact:
        text = _typo(rng, text)
        if rng.random() < 0.2:
            text = _typo(rng, text)
    return text
