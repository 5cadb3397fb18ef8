"""Byte-level BPE: learn a vocabulary, encode and decode.

The text is first cut into words by the pattern that GGUF files call "qwen2"
(single digits, words with one leading sign or space).  Inside a word, bytes
are merged by rank.  Bytes are written with a printable alphabet, as usual for
byte-level vocabularies.
"""
import json
from collections import Counter, defaultdict

import regex

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_alphabet():
    """byte value -> printable character."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for value in range(256):
        if value in plain:
            table[value] = chr(value)
        else:
            table[value] = chr(256 + extra)
            extra += 1
    return table


ALPHABET = byte_alphabet()
INVERSE = {ch: value for value, ch in ALPHABET.items()}
WORDS = regex.compile(PATTERN)


def to_symbols(word):
    return [ALPHABET[b] for b in word.encode("utf-8")]


def _join(symbols, left, right):
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] == left and symbols[i + 1] == right:
            out.append(left + right)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def learn(texts, size):
    """Learn merges until bytes + merges + special tokens reach `size`."""
    counts = Counter()
    for text in texts:
        counts.update(WORDS.findall(text))
    words = [(to_symbols(w), n) for w, n in sorted(counts.items())]
    pairs, where = Counter(), defaultdict(set)
    for k, (symbols, n) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
            where[pair].add(k)
    merges = []
    while 256 + len(merges) + len(SPECIAL) < size:
        best = max(pairs, key=lambda p: (pairs[p], p))
        if pairs[best] < 2:
            raise ValueError("not enough text for this vocabulary")
        merges.append(best)
        for k in where.pop(best):
            symbols, n = words[k]
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] -= n
            symbols = _join(symbols, *best)
            words[k] = (symbols, n)
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
                where[pair].add(k)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.tokens = [ALPHABET[b] for b in range(256)]
        self.tokens += [x + y for x, y in self.merges] + SPECIAL
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.end, self.im_start, self.im_end = (self.ids[s] for s in SPECIAL)
        self._cache = {}

    def _word(self, word):
        if word not in self._cache:
            symbols = to_symbols(word)
            while len(symbols) > 1:
                best = min(zip(symbols, symbols[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if best not in self.rank:
                    break
                symbols = _join(symbols, *best)
            self._cache[word] = [self.ids[s] for s in symbols]
        return self._cache[word]

    def encode(self, text):
        """Ordinary text only; special tokens are never produced."""
        return [i for word in WORDS.findall(text) for i in self._word(word)]

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            token = self.tokens[i]
            if token not in SPECIAL:
                out += bytes(INVERSE[ch] for ch in token)
        return out.decode("utf-8", "replace")

    def chat(self, turns, system=None):
        """-> (ids, flags); flag 1 marks what the assistant has to write."""
        ids, flags = [], []

        def put(items, flag):
            ids.extend(items)
            flags.extend([flag] * len(items))

        def message(role, content, flag):
            put([self.im_start] + self.encode(role + "\n"), 0)
            put(self.encode(content) + [self.im_end], flag)
            put(self.encode("\n"), 0)

        if system:
            message("system", system, 0)
        for user, answer in turns:
            message("user", user, 0)
            if answer is None:
                put([self.im_start] + self.encode("assistant\n"), 0)
            else:
                message("assistant", answer, 1)
        return ids, flags

    def save(self, path):
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"merges": self.merges}, out, ensure_ascii=False)

    @staticmethod
    def load(path):
        with open(path, encoding="utf-8") as src:
            return Tokenizer(json.load(src)["merges"])
