"""The network of spark: a small dense Qwen3-style transformer."""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 1536
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 768
    eps: float = 1e-6
    rope_base: float = 10000.0
    context: int = 1024


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rope_table(cfg, length):
    half = cfg.head_dim // 2
    freq = cfg.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * freq[None, :]
    return angle.cos().float(), angle.sin().float()


def rotate(x, cos, sin):
    """Half-split rotation of x [batch, length, heads, head_dim]."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos[None, :, None, :], sin[None, :, None, :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Block(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        d, q, kv = cfg.width, cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
        self.attn_norm = Norm(d, cfg.eps)
        self.attn_q = nn.Linear(d, q, bias=False)
        self.attn_k = nn.Linear(d, kv, bias=False)
        self.attn_v = nn.Linear(d, kv, bias=False)
        self.attn_output = nn.Linear(q, d, bias=False)
        self.attn_q_norm = Norm(cfg.head_dim, cfg.eps)
        self.attn_k_norm = Norm(cfg.head_dim, cfg.eps)
        self.ffn_norm = Norm(d, cfg.eps)
        self.ffn_gate = nn.Linear(d, cfg.ffn, bias=False)
        self.ffn_up = nn.Linear(d, cfg.ffn, bias=False)
        self.ffn_down = nn.Linear(cfg.ffn, d, bias=False)

    def attend(self, x, cos, sin):
        cfg = self.cfg
        b, t, _ = x.shape
        q = self.attn_q(x).view(b, t, cfg.heads, cfg.head_dim)
        k = self.attn_k(x).view(b, t, cfg.kv_heads, cfg.head_dim)
        v = self.attn_v(x).view(b, t, cfg.kv_heads, cfg.head_dim)
        q = rotate(self.attn_q_norm(q), cos, sin)
        k = rotate(self.attn_k_norm(k), cos, sin)
        share = cfg.heads // cfg.kv_heads
        k = k.repeat_interleave(share, dim=2)
        v = v.repeat_interleave(share, dim=2)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return self.attn_output(y.transpose(1, 2).reshape(b, t, -1))

    def forward(self, x, cos, sin):
        x = x + self.attend(self.attn_norm(x), cos, sin)
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Spark(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.token_embd = nn.Embedding(cfg.vocab, cfg.width)
        self.blk = nn.ModuleList(Block(cfg) for _ in range(cfg.layers))
        self.output_norm = Norm(cfg.width, cfg.eps)
        cos, sin = rope_table(cfg, cfg.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._init()

    def _init(self):
        for name, p in self.named_parameters():
            if p.dim() < 2:
                continue
            std = 0.02 if "token_embd" in name else 1.0 / math.sqrt(p.shape[1])
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                std /= math.sqrt(2.0 * self.cfg.layers)
            nn.init.normal_(p, 0.0, std)

    def hidden(self, ids):
        t = ids.shape[1]
        x = self.token_embd(ids)
        cos, sin = self.cos[:t], self.sin[:t]
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output_norm(x)

    def forward(self, ids):
        return F.linear(self.hidden(ids), self.token_embd.weight)

    @torch.no_grad()
    def answer(self, ids, stop, limit=300):
        """Greedy continuation of a list of ids until `stop`."""
        out = list(ids)
        while len(out) - len(ids) < limit and len(out) < self.cfg.context:
            best = int(self.forward(torch.tensor([out]))[0, -1].argmax())
            if best == stop:
                break
            out.append(best)
        return out[len(ids):]
