/* context.c - texts that do not fit into their context: an error with both numbers, or what goes. */
#include <string.h>

#include "engine/engine.h"

uint32_t hearth_context_room(uint32_t n_ctx, uint32_t max_tokens)
{
    uint32_t answer = max_tokens && max_tokens < n_ctx / 2 ? max_tokens : n_ctx / 4;
    return n_ctx < 2 ? 1 : n_ctx - (answer ? answer : 1);
}

int hearth_context_fit(int policy, size_t n, size_t room, size_t n_keep, struct hearth_cut *out, struct hearth_error *e)
{
    struct err *err = err_of(e);
    *out = (struct hearth_cut){ 0 };
    if (policy < HEARTH_CONTEXT_STOP || policy > HEARTH_CONTEXT_SHIFT)
        return err_set(err, ERR_ARG, "there is no context policy %d", policy);
    if (n <= room) return 0;
    if (policy == HEARTH_CONTEXT_STOP)
        return err_set(err, ERR_LIMIT, "a prompt of %zu tokens does not fit: it may have %zu; shorten it, or use a larger "
                       "context or a context policy", n, room);
    if (policy == HEARTH_CONTEXT_DROP)
        return err_set(err, ERR_LIMIT, "what must stay of the conversation has %zu tokens, but a prompt may have %zu; shorten "
                       "the last message, or use a larger context", n, room);
    *out = (struct hearth_cut){ .from = n_keep && n_keep < room ? n_keep : room / 2, .n = n - room };
    return 0;
}

void hearth_context_shift(size_t n, size_t n_keep, struct hearth_cut *out)
{
    size_t keep = n_keep < 1 ? 1 : n_keep > n / 2 ? n / 2 : n_keep;
    *out = (struct hearth_cut){ .from = keep, .n = n - keep > 1 ? (n - keep) / 2 : 1 };
}

size_t hearth_context_cut(int32_t *ids, size_t n, const struct hearth_cut *cut)
{
    memmove(ids + cut->from, ids + cut->from + cut->n, (n - cut->from - cut->n) * sizeof *ids);
    return n - cut->n;
}
