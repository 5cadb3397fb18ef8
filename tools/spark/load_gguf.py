"""Read a spark GGUF file back, to continue training from it or to try it."""
import struct

import numpy as np
import torch

from bpe import Tokenizer

_FORMS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def text(self):
        size = self.number("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            item, count = self.number("<I"), self.number("<Q")
            return [self.value(item) for _ in range(count)]
        return self.number(_FORMS[kind])


def _weights(data, ne, kind):
    count = int(np.prod(ne))
    if kind == 0:
        values = np.frombuffer(data, "<f4", count).copy()
    else:
        blocks = np.frombuffer(data, np.uint8, count // 32 * 34).reshape(-1, 34)
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        values = scale * blocks[:, 2:].copy().view(np.int8)
    return torch.from_numpy(values.reshape(list(reversed(ne))))


def load(path):
    """-> (state dict, tokenizer) of a file written by export_gguf.py."""
    with open(path, "rb") as src:
        reader = _Reader(src.read())
    if reader.number("<I") != 0x46554747 or reader.number("<I") != 3:
        raise ValueError(path + " is not a GGUF file")
    n_tensors, n_keys = reader.number("<Q"), reader.number("<Q")
    keys = {}
    for _ in range(n_keys):
        key = reader.text()
        keys[key] = reader.value(reader.number("<I"))
    infos = []
    for _ in range(n_tensors):
        name = reader.text()
        ne = [reader.number("<Q") for _ in range(reader.number("<I"))]
        infos.append((name, ne, reader.number("<I"), reader.number("<Q")))
    base = reader.at + -reader.at % keys["general.alignment"]
    state = {name: _weights(reader.data[base + offset:], ne, kind) for name, ne, kind, offset in infos}
    return state, Tokenizer([m.split(" ") for m in keys["tokenizer.ggml.merges"]])
