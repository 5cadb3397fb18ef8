/* steps_next.c - the head that guesses the token behind the next one (GLM-4.5, DeepSeek V3, Qwen3-Next): a block of the model's
 * own kind over a mixture of a token's embedding and the state of the token before it.  Source: arXiv 2412.19437, section 2.2.
 *
 * States are those behind the model's last norm, and behind the head's own when it goes on from its guess: the published
 * checkpoints of all three families were trained, and are run, in this way.  The embedding comes first in the mixture. */
#include "model/arch.h"

/* RMSNorm of x with weight `name` into y. */
static void norm_into(struct builder *b, vid x, const char *name, vid y)
{
    const struct weight *w = bind(b, name, "weight", (uint64_t[]){ b->h->n_embd, 0, 0 }, true);
    if (!w) return;
    struct op *o = graph_op(b->g, OP_NORM, x, -1, y);
    o->w = w;
    o->f[0] = b->h->eps;
}

void next_input(struct builder *b)
{
    const uint32_t D = b->h->n_embd;
    const char *table = has_tensor(b, "nextn.embed_tokens") ? "nextn.embed_tokens" : "/token_embd";
    const struct weight *w = bind(b, table, "weight", (uint64_t[]){ D, b->h->n_vocab, 0 }, true);
    if (!w) return;
    vid before = graph_value(b->g, ROWS_T, D), token = graph_value(b->g, ROWS_T, D), both = graph_value(b->g, ROWS_T, 2 * D);
    graph_op(b->g, OP_BEFORE, b->cur, -1, before);
    struct op *o = graph_op(b->g, OP_EMBED, -1, -1, token);
    o->w = w;
    o->f[0] = b->h->embed_scale;
    norm_into(b, token, "nextn.enorm", graph_view(b->g, both, 0, D));
    norm_into(b, before, "nextn.hnorm", graph_view(b->g, both, D, D));
    b->x = matmul(b, both, "nextn.eh_proj", 2 * D, D);
}

void next_output(struct builder *b)
{
    const char *own = "nextn.shared_head_norm";
    step_norm(b, &(struct step){ S_NORM, has_tensor(b, own) ? own : b->h->final_norm });
}
