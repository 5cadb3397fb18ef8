/* embed.h - batches of whole texts through a model, whoever asks for them: hearth_embed, or the engine that serves many.
 *
 * A kind is what texts must have in common to share a batch; what is done with each one's vector is its own.  The numbers of a
 * text do not depend on the others.
 * Threads: embed_kind_of and embed_check any; embed_run with the model's lock held. */
#ifndef HEARTH_ENGINE_EMBED_H
#define HEARTH_ENGINE_EMBED_H

#include "engine/engine.h"

/* Texts that are evaluated together have at most so many tokens, unless one alone has more. */
enum { EMBED_TOKENS = MAX_BATCH };

struct embed_kind {
    int pooling, pool;                /* what is asked for; how the states become one, where that is to rank */
    uint32_t limit, width;            /* tokens of a text; numbers that the states or the head give */
    bool head;                        /* they go through the model's head */
};

struct embed_text {
    const struct hearth_embed_item *item;
    const struct hearth_embed_options *o;
    const struct adapt_set *adapt;
};

/* Memory of the device that one batch leaves to the next. */
struct embed_room { uint8_t *kv, *recurrent; size_t kv_bytes, recurrent_bytes; };

int  embed_kind_of(const struct hearth_model *m, const struct hearth_embed_options *o, struct embed_kind *out, struct err *err);
/* index: for the message. */
int  embed_check(const struct hearth_model *m, const struct embed_kind *k, const struct embed_text *t, size_t index,
                 struct err *err);
/* Tokens of a text that are evaluated. */
size_t embed_used(const struct embed_kind *k, const struct hearth_embed_item *it);
/* n <= EMBED_TOKENS texts at once; their vectors go to item->out. */
int  embed_run(struct hearth_model *m, const struct embed_kind *k, struct embed_room *room, const struct embed_text *text,
               size_t n, struct err *err);
void embed_room_release(struct hearth_model *m, struct embed_room *room);

/* A text that is evaluated in parts, which only models can that do not look ahead; zeroed: nothing yet.  Its room is nobody
 * else's until it is whole. */
struct embed_part {
    size_t at;                        /* tokens that are evaluated */
    double *sum;                      /* [D] of their states */
    float *row;                       /* [D] the state that was asked for */
};
/* Evaluates at most `limit` further tokens; behind the last, the vector goes to item->out.  The numbers do not depend on the
 * parts. */
int  embed_run_part(struct hearth_model *m, const struct embed_kind *k, struct embed_room *room, const struct embed_text *text,
                    struct embed_part *part, size_t limit, struct err *err);
void embed_part_release(struct embed_part *part);

#endif
