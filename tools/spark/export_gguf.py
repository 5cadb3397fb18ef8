#!/usr/bin/env python3
"""Write the trained weights as a GGUF file (Q8_0 matrices, F32 norms).

    python3 tools/spark/export_gguf.py --work build/spark --out models/spark.gguf

The same weights always give the same bytes.
"""
import argparse
import os
import struct

import numpy as np
import torch

from bpe import SPECIAL, Tokenizer
from model import Config

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TYPE_F32, TYPE_Q8_0 = 0, 8
ALIGN = 32

TEMPLATE = (
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|im_start|>assistant\\n' -}}\n"
    "{%- endif -%}\n"
)


def text(value):
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def record(key, kind, value, item=None):
    """One key/value record; `item` is the element type of an array."""
    head = text(key) + struct.pack("<I", kind)
    if kind != ARRAY:
        return head + scalar(kind, value)
    return head + struct.pack("<IQ", item, len(value)) + b"".join(scalar(item, v) for v in value)


def q8_0(matrix):
    """Blocks of 32 weights: a half-precision scale and 32 signed bytes."""
    blocks = matrix.astype(np.float32).reshape(-1, 32)
    scale = (np.abs(blocks).max(axis=1) / 127.0).astype(np.float16)
    wide = scale.astype(np.float32)
    inverse = np.divide(1.0, wide, out=np.zeros_like(wide), where=wide > 0)
    quants = np.clip(np.rint(blocks * inverse[:, None]), -127, 127).astype(np.int8)
    out = np.zeros((len(blocks), 34), dtype=np.uint8)
    out[:, :2] = scale.view(np.uint8).reshape(-1, 2)
    out[:, 2:] = quants.view(np.uint8)
    return out.tobytes()


def metadata(cfg, tok):
    kinds = [3 if t in SPECIAL else 1 for t in tok.tokens]
    return [
        record("general.architecture", STRING, "qwen3"),
        record("general.type", STRING, "model"),
        record("general.name", STRING, "spark"),
        record("general.description", STRING, "A very small chat model that comes inside Hearth, so that it can answer without a download."),
        record("general.license", STRING, "MIT"),
        record("general.size_label", STRING, "3.5M"),
        record("general.languages", ARRAY, ["en"], STRING),
        record("general.file_type", U32, 7),
        record("general.quantization_version", U32, 2),
        record("general.alignment", U32, ALIGN),
        record("general.sampling.temp", F32, 0.3),
        record("general.sampling.top_k", I32, 20),
        record("general.sampling.top_p", F32, 0.9),
        record("qwen3.block_count", U32, cfg.layers),
        record("qwen3.context_length", U32, cfg.context),
        record("qwen3.embedding_length", U32, cfg.width),
        record("qwen3.feed_forward_length", U32, cfg.ffn),
        record("qwen3.attention.head_count", U32, cfg.heads),
        record("qwen3.attention.head_count_kv", U32, cfg.kv_heads),
        record("qwen3.attention.key_length", U32, cfg.head_dim),
        record("qwen3.attention.value_length", U32, cfg.head_dim),
        record("qwen3.attention.layer_norm_rms_epsilon", F32, cfg.eps),
        record("qwen3.rope.freq_base", F32, cfg.rope_base),
        record("qwen3.rope.dimension_count", U32, cfg.head_dim),
        record("qwen3.vocab_size", U32, cfg.vocab),
        record("tokenizer.ggml.model", STRING, "gpt2"),
        record("tokenizer.ggml.pre", STRING, "qwen2"),
        record("tokenizer.ggml.tokens", ARRAY, tok.tokens, STRING),
        record("tokenizer.ggml.token_type", ARRAY, kinds, I32),
        record("tokenizer.ggml.merges", ARRAY, [x + " " + y for x, y in tok.merges], STRING),
        record("tokenizer.ggml.eos_token_id", U32, tok.im_end),
        record("tokenizer.ggml.padding_token_id", U32, tok.end),
        record("tokenizer.ggml.add_bos_token", BOOL, False),
        record("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def tensors(weights, cfg):
    """(name, ne, type, bytes) in file order."""
    names = ["token_embd.weight"]
    for i in range(cfg.layers):
        names += ["blk.%d.%s.weight" % (i, part) for part in (
            "attn_norm", "attn_q", "attn_k", "attn_v", "attn_q_norm", "attn_k_norm", "attn_output",
            "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")]
    names.append("output_norm.weight")
    if sorted(names) != sorted(weights):
        raise ValueError("unexpected set of tensors")
    for name in names:
        value = weights[name].float().numpy()
        if not np.isfinite(value).all():
            raise ValueError(name + " is not finite")
        ne = list(reversed(value.shape))
        if value.ndim == 1:
            yield name, ne, TYPE_F32, value.astype("<f4").tobytes()
        else:
            yield name, ne, TYPE_Q8_0, q8_0(value)


def pad(data):
    return data + b"\0" * (-len(data) % ALIGN)


def build(weights, cfg, tok):
    records = metadata(cfg, tok)
    parts = list(tensors(weights, cfg))
    head = struct.pack("<IIQQ", 0x46554747, 3, len(parts), len(records)) + b"".join(records)
    offset = 0
    for name, ne, kind, data in parts:
        head += text(name) + struct.pack("<I%dQ" % len(ne), len(ne), *ne) + struct.pack("<IQ", kind, offset)
        offset += len(pad(data))
    return pad(head) + b"".join(pad(data) for _, _, _, data in parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", default="build/spark")
    parser.add_argument("--out", default="models/spark.gguf")
    parser.add_argument("--average", help="another work folder: the mean of both runs' weights is written")
    args = parser.parse_args()
    tok = Tokenizer.load(os.path.join(args.work, "tokenizer.json"))
    weights = torch.load(os.path.join(args.work, "spark.pt"), map_location="cpu")
    if args.average:
        other = torch.load(os.path.join(args.average, "spark.pt"), map_location="cpu")
        weights = {name: (w + other[name]) / 2 for name, w in weights.items()}
    data = build(weights, Config(vocab=len(tok.tokens)), tok)
    with open(args.out, "wb") as out:
        out.write(data)
    print("%s: %d bytes" % (args.out, len(data)))


if __name__ == "__main__":
    main()
