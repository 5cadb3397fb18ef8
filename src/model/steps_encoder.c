/* steps_encoder.c - what only encoders do: token types, and norms of the residual itself. */
#include "model/arch.h"

void step_types(struct builder *b, const struct step *s)
{
    (void)s;
    const struct hparams *h = b->h;
    if (b->il || !h->n_segment) return;
    const struct weight *w = bind(b, "/token_types", "weight", (uint64_t[]){ h->n_embd, h->n_segment, 0 }, true);
    if (!w) return;
    vid y = graph_value(b->g, ROWS_T, h->n_embd);
    graph_op(b->g, OP_TYPE, -1, -1, y)->w = w;
    graph_op(b->g, OP_ADD, b->x, y, b->x);
}

void step_xnorm(struct builder *b, const struct step *s)
{
    step_norm(b, s);
    b->x = b->cur;
}

void step_firstnorm(struct builder *b, const struct step *s)
{
    if (!b->il) step_xnorm(b, s);
}

void step_norm_may(struct builder *b, const struct step *s)
{
    if (has_tensor(b, s->name)) step_norm(b, s);
    else step_input(b, s);
}
