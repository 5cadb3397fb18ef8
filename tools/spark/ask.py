#!/usr/bin/env python3
"""Ask an exported spark file some questions (greedy), or measure its loss.

    python3 tools/spark/ask.py models/spark.gguf "Hello" "What is Hearth?"
    python3 tools/spark/ask.py models/spark.gguf --loss
"""
import argparse
import random

import torch

import train
from load_gguf import load
from model import Config, Spark


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("questions", nargs="*")
    parser.add_argument("--loss", action="store_true", help="held-out loss per answer token")
    args = parser.parse_intermixed_args()
    state, tok = load(args.model)
    model = Spark(Config(vocab=len(tok.tokens)))
    model.load_state_dict(state)
    if args.loss:
        items = train.encode_all(tok, train.HELD_OUT_SEED, 0, 300, 1024)
        batches = [train.to_tensors(rows, tok.end, 0.0) for rows in train.make_batches(random.Random(0), items, 3072)]
        print("held-out loss %.4f" % train.held_out_loss(model, batches))
    for question in args.questions:
        ids, _ = tok.chat([[question, None]])
        print("> " + question + "\n" + tok.decode(model.answer(ids, tok.im_end)) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
