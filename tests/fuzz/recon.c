/* A list of chunks that is accepted has terms one behind the other, each within its range. */
#include <stdbool.h>
#include <stdlib.h>

#include "store/recon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct recon r;
    struct err e;
    if (recon_parse(&r, (const char *)data, n, &e) < 0) return 0;
    uint64_t at = 0;
    for (size_t i = 0; i < r.n_terms; i++) {
        const struct recon_term *t = &r.term[i];
        check(t->at == at && t->length && t->first < t->end);
        check(t->range && t->range->first <= t->first && t->end <= t->range->end);
        at += t->length;
    }
    check(at == r.length && r.n_terms <= RECON_MANY && r.n_fetch <= RECON_MANY);
    for (size_t i = 0; i < r.n_fetch; i++) {
        check(r.fetch[i].url && r.fetch[i].n && r.fetch[i].n <= RECON_RANGES);
        for (size_t k = 0; k < r.fetch[i].n; k++) check(r.fetch[i].range[k].from <= r.fetch[i].range[k].to);
    }
    recon_release(&r);
    return 0;
}
