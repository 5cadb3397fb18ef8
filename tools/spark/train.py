#!/usr/bin/env python3
"""Train spark on generated conversations (CPU, PyTorch).

    python3 tools/spark/train.py --minutes 40 --work build/spark

The learning rate follows a cosine over the given wall-clock budget, so the
run always ends with a settled model.  The work folder receives tokenizer.json,
spark.pt (weights) and train.log.
"""
import argparse
import math
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import generate
import load_gguf
from bpe import Tokenizer, learn
from model import Config, Spark

HELD_OUT_SEED = 900000001


def get_tokenizer(path, vocab, seed, count=25000):
    if not os.path.exists(path):
        texts = []
        for item in generate.conversations(seed, count):
            texts.append("system\n" + (item["system"] or ""))
            for user, answer in item["turns"]:
                texts += ["user\n" + user, "assistant\n" + answer]
        Tokenizer(learn(texts, vocab)).save(path)
    return Tokenizer.load(path)


def encode_all(tok, seed, first, count, limit):
    """Encode conversations number first .. first+count-1 of the endless stream."""
    out = []
    for i in range(first, first + count):
        item = generate.conversation(random.Random("%d/%d" % (seed, i)))
        ids, flags = tok.chat(item["turns"], item["system"])
        out.append((np.array(ids[:limit], dtype=np.int64), np.array(flags[:limit], dtype=np.float32)))
    return out


def make_batches(rng, items, tokens):
    """Group conversations of similar length; each row starts at position 0."""
    items = sorted(items, key=lambda it: (len(it[0]), rng.random()))
    batches, row = [], []
    for item in items:
        if row and (len(row) + 1) * len(item[0]) > tokens:
            batches.append(row)
            row = []
        row.append(item)
    if row:
        batches.append(row)
    rng.shuffle(batches)
    return batches


def to_tensors(rows, pad, user_weight):
    length = max(len(ids) for ids, _ in rows)
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    weight = np.zeros((len(rows), length), dtype=np.float32)
    for r, (seq, flags) in enumerate(rows):
        ids[r, :len(seq)] = seq
        weight[r, :len(seq)] = np.maximum(flags, user_weight)
    ids = torch.from_numpy(ids)
    return ids[:, :-1], ids[:, 1:], torch.from_numpy(weight)[:, 1:]


def stream(tok, seed, rng, tokens, pool, limit, user_weight):
    """Endless batches of never repeated conversations."""
    first = 0
    while True:
        items = encode_all(tok, seed, first, pool, limit)
        first += pool
        for rows in make_batches(rng, items, tokens):
            yield to_tensors(rows, tok.end, user_weight)


def loss_of(model, x, y, w):
    h = model.hidden(x)
    keep = w > 0
    logits = F.linear(h[keep], model.token_embd.weight)
    loss = F.cross_entropy(logits, y[keep], reduction="none")
    return (loss * w[keep]).sum() / w.sum()


@torch.no_grad()
def held_out_loss(model, batches):
    total, count = 0.0, 0.0
    for x, y, w in batches:
        total += float(loss_of(model, x, y, w)) * float(w.sum())
        count += float(w.sum())
    return total / count


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made nearly orthogonal (Newton-Schulz).

    Matrices of one shape are handled together.  The iteration only needs the
    small product x x^T: every step multiplies x from the left by a polynomial
    of it, so the factors are collected first and applied to x once.
    """

    def __init__(self, params, lr, momentum=0.95, decay=0.0):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @staticmethod
    def orthogonal(x, steps=5):
        a, b, c = 3.4445, -4.7750, 2.0315
        x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
        s = x @ x.mT
        eye = a * torch.eye(s.shape[1])
        whole = None
        for i in range(steps):
            part = torch.baddbmm(b * s, s, s, alpha=c) + eye
            whole = part if whole is None else part @ whole
            if i + 1 < steps:
                s = part @ s @ part
        return whole @ x

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                state = self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                state["m"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["m"], group["momentum"])
                flip = p.shape[0] > p.shape[1]
                shapes.setdefault((flip, p.shape), []).append((p, update.T if flip else update))
            for (flip, shape), pairs in shapes.items():
                updates = self.orthogonal(torch.stack([u for _, u in pairs]).contiguous())
                scale = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                for (p, _), u in zip(pairs, updates):
                    p.mul_(1 - group["lr"] * group["decay"])
                    p.add_(u.T if flip else u, alpha=-scale)


def make_optimizers(model, args):
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "token_embd" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() < 2 or "token_embd" in n]
    if args.adam:
        groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        return [(torch.optim.AdamW(groups, lr=args.adam_lr, betas=(0.9, 0.98), fused=True), args.adam_lr)]
    return [(Muon(matrices, args.muon_lr, decay=0.05), args.muon_lr),
            (torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True), args.adam_lr)]


def factor(progress, flat, warm=0.03, floor=0.01):
    """Learning-rate factor: short warm-up, a flat part, then a cosine down to the floor."""
    if progress < warm:
        return max(0.05, progress / warm)
    part = min(1.0, max(0.0, (progress - flat) / (1 - flat)))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * part))


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    os.makedirs(args.work, exist_ok=True)
    path = os.path.join(args.work, "tokenizer.json")
    state = None
    if args.init and args.init.endswith(".gguf"):
        state, tok = load_gguf.load(args.init)
        tok.save(path)
    else:
        tok = get_tokenizer(path, args.vocab, args.seed)
        if args.init:
            state = torch.load(args.init, map_location="cpu")
    model = Spark(Config(vocab=len(tok.tokens)))
    if state:
        model.load_state_dict(state)
    log = open(os.path.join(args.work, "train.log"), "a", encoding="utf-8")

    def say(text):
        print(text, flush=True)
        print(text, file=log, flush=True)

    held = make_batches(random.Random(0), encode_all(tok, HELD_OUT_SEED, 0, 300, args.limit), args.tokens)
    held = [to_tensors(rows, tok.end, 0.0) for rows in held]
    say("parameters %d, vocabulary %d, seed %d" % (sum(p.numel() for p in model.parameters()), len(tok.tokens), args.seed))
    optimizers = make_optimizers(model, args)
    batches = stream(tok, args.seed + args.stream, random.Random(args.seed), args.tokens, args.pool, args.limit, args.user_weight)
    start, step, seen, mean = time.time(), 0, 0, None
    path = os.path.join(args.work, "spark.pt")
    while True:
        progress = step / args.steps if args.steps else (time.time() - start) / (60.0 * args.minutes)
        if progress >= 1.0:
            break
        x, y, w = next(batches)
        for opt, lr in optimizers:
            for group in opt.param_groups:
                group["lr"] = lr * factor(progress, args.flat)
            opt.zero_grad(set_to_none=True)
        loss = loss_of(model, x, y, w)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt, _ in optimizers:
            opt.step()
        step += 1
        seen += x.numel()
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % args.every == 0:
            took = time.time() - start
            say("step %5d  %5.1f min  %6.2fM tokens  %5.0f tok/s  train %.4f" % (step, took / 60, seen / 1e6, seen / took, mean))
        if step % (args.every * 5) == 0:
            torch.save(model.state_dict(), path)
            say("             held-out %.4f" % held_out_loss(model, held))
    torch.save(model.state_dict(), path)
    say("done: %d steps, %.1f min, %.2fM tokens, train %.4f, held-out %.4f" % (step, (time.time() - start) / 60, seen / 1e6, mean, held_out_loss(model, held)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", default="build/spark", help="folder for the tokenizer, the weights and the log")
    parser.add_argument("--minutes", type=float, default=40.0, help="wall-clock budget")
    parser.add_argument("--steps", type=int, default=0, help="a fixed number of steps instead of --minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stream", type=int, default=0, help="added to the seed of the text, for a second run")
    parser.add_argument("--init", help="start from these weights (.gguf brings its tokenizer, .pt needs the one in --work)")
    parser.add_argument("--vocab", type=int, default=1536)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens in a batch")
    parser.add_argument("--pool", type=int, default=2000, help="conversations sorted by length at a time")
    parser.add_argument("--limit", type=int, default=1024, help="longest conversation in tokens")
    parser.add_argument("--user-weight", type=float, default=0.1, help="weight of the loss outside answers")
    parser.add_argument("--adam", action="store_true", help="AdamW for everything instead of Muon for the matrices")
    parser.add_argument("--adam-lr", type=float, default=3e-3)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--flat", type=float, default=0.1, help="part of the budget before the learning rate goes down")
    parser.add_argument("--every", type=int, default=50)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
