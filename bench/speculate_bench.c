/* speculate_bench.c - what guessing tokens from the text itself gains when a text is edited, and costs when nothing repeats.
 *
 * The model's own choice is replaced by a given answer, so that any weights will do: the prompt's text again with every 24th
 * token changed, or tokens that have no repeats.  Prints the speed of plain decoding and of decoding with guesses, and the ratio.
 * Usage: speculate_bench [MODEL.gguf [TOKENS]]   (default: the embedded model, 256) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "hearth.h"

enum { PROMPT = 300, MAX_TOKENS = 1000 };

static int fail(const struct hearth_error *e)
{
    fprintf(stderr, "speculate_bench: %s\n", e->message);
    return 1;
}

struct run { struct hearth_model *m; const int32_t *text; size_t n_tokens; double seconds; size_t guessed, right; };

/* text[PROMPT] is the prompt, what follows the answer. */
static int decode(struct run *r, bool guess, struct hearth_error *e)
{
    struct hearth_session *s = NULL;
    struct hearth_speculator *g = NULL;
    struct hearth_session_options o = { .n_ctx = (uint32_t)(PROMPT + r->n_tokens + 1), .n_logits = HEARTH_MAX_DRAFT + 1 };
    int rc = hearth_session_open(&s, r->m, &o, e);
    if (rc == 0) rc = hearth_speculator_open(&g, s, 0, e);
    if (rc == 0) rc = hearth_session_sync(s, r->text, PROMPT, e);
    uint64_t start = os_now_ns();
    for (size_t n = PROMPT + 1; rc == 0 && n <= PROMPT + r->n_tokens;) {
        int32_t next[HEARTH_MAX_DRAFT + 1] = { r->text[n - 1] };
        size_t most = PROMPT + r->n_tokens - n, right = 0;
        if (most > HEARTH_MAX_DRAFT) most = HEARTH_MAX_DRAFT;
        size_t k = guess ? hearth_speculator_draft(g, r->text, n, next + 1, most) : 0;
        uint64_t before = os_now_ns();
        rc = hearth_session_append(s, next, k + 1, e);
        if (guess) hearth_speculator_timed(g, k + 1, os_now_ns() - before);
        while (right < k && next[1 + right] == r->text[n + right]) right++;
        if (rc == 0) rc = hearth_session_drop(s, k - right, e);
        r->guessed += k;
        r->right += right;
        n += right + 1;
    }
    r->seconds = (double)(os_now_ns() - start) / 1e9;
    hearth_speculator_close(g);
    hearth_session_close(s);
    return rc;
}

static int compare(struct hearth_model *m, const char *name, const int32_t *text, size_t n, struct hearth_error *e)
{
    double best[2] = { 1e9, 1e9 };
    struct run r = { 0 };
    for (int i = 0; i < 4; i++) {
        r = (struct run){ .m = m, .text = text, .n_tokens = n };
        int rc = decode(&r, i % 2, e);
        if (rc < 0) return rc;
        if (r.seconds < best[i % 2]) best[i % 2] = r.seconds;
    }
    printf("%-16s plain %7.1f tokens/s, guessing %7.1f tokens/s: %.3f times; %zu of %zu guesses right\n", name,
           (double)n / best[0], (double)n / best[1], best[0] / best[1], r.right, r.guessed);
    return 0;
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
    struct hearth_model *m;
    struct hearth_model_info info;
    struct hearth_error e;
    size_t n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 256;
    if (n < 1 || n > MAX_TOKENS) n = MAX_TOKENS;
    int rc = argc > 1 ? hearth_model_open(&m, argv[1], NULL, &e) : hearth_model_open_embedded(&m, NULL, &e);
    if (rc < 0) return fail(&e);
    hearth_model_info(m, &info);
    uint32_t V = info.n_tokens < info.n_vocab ? info.n_tokens : info.n_vocab;
    for (size_t i = 0; i < PROMPT; i++) text[i] = (int32_t)(rnd() % V);
    for (size_t i = PROMPT; i <= PROMPT + n; i++) text[i] = i % 24 ? text[i - PROMPT + 5] : (int32_t)(rnd() % V);
    rc = compare(m, "editing", text, n, &e);
    for (size_t i = PROMPT; i <= PROMPT + n; i++) text[i] = (int32_t)(rnd() % V);
    if (rc == 0) rc = compare(m, "no repeats", text, n, &e);
    /* every pair was there before, and never goes on alike: the worst for one who guesses */
    for (size_t i = PROMPT; rc == 0 && i <= PROMPT + n; i++) text[i] = i % 3 ? text[rnd() % PROMPT] : text[i - 1];
    for (size_t i = PROMPT; rc == 0 && i + 1 <= PROMPT + n; i += 3)
        memcpy(text + i, text + rnd() % (PROMPT - 3), 2 * sizeof *text);
    if (rc == 0) rc = compare(m, "false repeats", text, n, &e);
    hearth_model_close(m);
    return rc < 0 ? fail(&e) : 0;
}
