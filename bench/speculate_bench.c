/* speculate_bench.c - what guessing tokens from the text itself gains when a text is edited, and costs when nothing repeats:
 * answers of an engine that guesses as far as it pays against those of one that never does, in turns.
 *
 * The model's own choice is replaced by a given answer, so that any weights will do: the prompt's text again with every 24th
 * token changed, or tokens that have no repeats.  Prints the median of each speed, and the median of the ratios of neighbours.
 * Usage: speculate_bench [MODEL.gguf [TOKENS [PAIRS [TEXT]]]]   (default: the embedded model, 256, 9, all texts; of others than
 * TEXT one pair, from which the engine learns what steps cost) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "median.h"

#include "base/os.h"
#include "hearth.h"

enum { PROMPT = 300, MAX_TOKENS = 1000, MAX_PAIRS = 99 };

struct answer { const int32_t *text; uint64_t first, last; };

/* text[PROMPT] is the prompt, what follows the answer. */
static int32_t given(void *arg, uint32_t completion, const struct hearth_session *s)
{
    size_t n;
    hearth_session_ids(s, &n);
    (void)completion;
    return ((const struct answer *)arg)->text[n];
}

static bool see(void *arg, const struct hearth_event *ev)
{
    struct answer *a = arg;
    a->last = os_now_ns();
    if (ev->n_answer == 1) a->first = a->last;
    return true;
}

/* Seconds from the first token to the last. */
static double answer(struct hearth_engine *g, const int32_t *text, size_t n)
{
    struct answer a = { .text = text };
    struct hearth_request *r;
    struct hearth_error e;
    struct hearth_request_options o = { .ids = text, .n = PROMPT, .max_tokens = (uint32_t)n, .ignore_end = true, .pick = given,
                                        .event = see, .arg = &a };
    if (hearth_request_submit(&r, g, &o, &e) < 0 || hearth_request_wait(r) != HEARTH_FINISH_LENGTH) {
        fprintf(stderr, "speculate_bench: the answer failed\n");
        exit(1);
    }
    hearth_request_close(r);
    return (double)(a.last - a.first) / 1e9;
}

static const char *only;                               /* the text that is measured; NULL: all */

static void compare(struct hearth_engine *const g[2], const char *name, const int32_t *text, size_t n, int pairs)
{
    if (only && strncmp(name, only, strlen(only)) != 0) pairs = 1;
    double plain[MAX_PAIRS], guess[MAX_PAIRS], ratio[MAX_PAIRS];
    struct hearth_engine_stats before, after;
    answer(g[0], text, n);                             /* the prompt is in the cache from now on */
    hearth_engine_stats(g[1], &before);
    for (int i = 0; i < pairs; i++) {
        double t[2];
        for (int k = 0; k < 2; k++) t[(k + i) % 2] = answer(g[(k + i) % 2], text, n);
        plain[i] = (double)(n - 1) / t[0];
        guess[i] = (double)(n - 1) / t[1];
        ratio[i] = t[0] / t[1];
    }
    hearth_engine_stats(g[1], &after);
    printf("%-16s plain %7.1f tokens/s, guessing %7.1f tokens/s: %.3f times; %llu of %llu guesses right\n", name,
           median(plain, pairs), median(guess, pairs), median(ratio, pairs), (unsigned long long)(after.n_right - before.n_right),
           (unsigned long long)(after.n_guessed - before.n_guessed));
}

static uint32_t rnd(void)
{
    static uint64_t x = 7;
    x = x * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(x >> 33);
}

int main(int argc, char **argv)
{
    static int32_t text[PROMPT + MAX_TOKENS + 1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct hearth_model *m;
    struct hearth_model_info info;
    struct hearth_engine *g[2] = { NULL };
    struct hearth_error e;
    size_t n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 256;
    int pairs = argc > 3 ? atoi(argv[3]) : 9;
    only = argc > 4 ? argv[4] : NULL;
    if (n < 2 || n > MAX_TOKENS) n = MAX_TOKENS;
    if (pairs < 1 || pairs > MAX_PAIRS) pairs = MAX_PAIRS;
    int rc = argc > 1 ? hearth_model_open(&m, argv[1], NULL, &e) : hearth_model_open_embedded(&m, NULL, &e);
    struct hearth_engine_options o = { .n_ctx = (uint32_t)(PROMPT + n + 1), .speculate = HEARTH_SPECULATE_OFF };
    if (rc == 0) rc = hearth_engine_open(&g[0], m, &o, &e);
    o.speculate = 0;
    if (rc == 0) rc = hearth_engine_open(&g[1], m, &o, &e);
    if (rc < 0) {
        fprintf(stderr, "speculate_bench: %s\n", e.message);
        return 1;
    }
    hearth_model_info(m, &info);
    uint32_t V = info.n_tokens < info.n_vocab ? info.n_tokens : info.n_vocab;
    for (size_t i = 0; i < PROMPT; i++) text[i] = (int32_t)(rnd() % V);
    for (size_t i = PROMPT; i <= PROMPT + n; i++) text[i] = i % 24 ? text[i - PROMPT + 5] : (int32_t)(rnd() % V);
    compare(g, "editing", text, n, pairs);
    for (size_t i = PROMPT; i <= PROMPT + n; i++) text[i] = (int32_t)(rnd() % V);
    compare(g, "no repeats", text, n, pairs);
    /* every pair was there before, and never goes on alike: the worst for one who guesses */
    for (size_t i = PROMPT; i <= PROMPT + n; i++) text[i] = i % 3 ? text[rnd() % PROMPT] : text[i - 1];
    for (size_t i = PROMPT; i + 1 <= PROMPT + n; i += 3) memcpy(text + i, text + rnd() % (PROMPT - 3), 2 * sizeof *text);
    compare(g, "false repeats", text, n, pairs);
    for (int k = 0; k < 2; k++) hearth_engine_close(g[k]);
    hearth_model_close(m);
    return 0;
}
