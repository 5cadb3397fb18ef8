/* What a token costs beside the model: sampling from 150 k logits; with arguments also tokenising.
 * Arguments: a GGUF file with a vocabulary, a text file.  Best and median of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "median.h"

#include "base/detmath.h"
#include "base/mem.h"
#include "base/os.h"
#include "format/gguf.h"
#include "text/sampler.h"
#include "text/tokenizer.h"

enum { ROUNDS = 101, N_VOCAB = 151936, TEXT = 4096 };

static void print(const char *name, double *ms, size_t n)
{
    double middle = median(ms, n);
    printf("%-28s %8.3f ms best, %8.3f ms median\n", name, ms[0], middle);
}

/* Sums of uniform numbers are near enough to what models give. */
static void fill(float *logits)
{
    for (uint64_t i = 0; i < N_VOCAB; i++) {
        double sum = -6;
        for (uint32_t k = 0; k < 12; k++) sum += det_uniform(1, i, k);
        logits[i] = (float)(3 * sum);
    }
}

static int bench_sampler(const char *name, const struct sampler_options *o, const float *logits)
{
    static int32_t ids[TEXT + ROUNDS];
    for (uint64_t i = 0; i < TEXT + ROUNDS; i++) ids[i] = (int32_t)(det_uniform(2, i % 1500, 0) * N_VOCAB);

    double ms[ROUNDS];
    struct sampler *s;
    struct err err = { 0 };
    if (sampler_open(&s, o, &(struct sampler_vocab){ N_VOCAB, NULL }, &err) < 0) {
        fprintf(stderr, "text_bench: %s\n", err.msg);
        return 1;
    }
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t t = os_now_ns();
        sampler_pick(s, &(struct sampler_input){ logits, ids, i + TEXT });
        ms[i] = (double)(os_now_ns() - t) * 1e-6;
    }
    sampler_close(s);
    print(name, ms, ROUNDS);
    return 0;
}

static int bench_tokenizer(const char *model, const char *path)
{
    double ms[ROUNDS / 5];
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    struct ids ids = { 0 };
    struct err err = { 0 };
    char *text = NULL, name[64];
    size_t n = 0;
    int rc = gguf_open(&g, model, &err);
    if (rc == 0) rc = tokenizer_open(&t, g, &err);
    if (rc == 0) rc = os_read_file(path, 1 << 28, &text, &n, &err);
    for (size_t i = 0; rc == 0 && i < sizeof ms / sizeof *ms; i++) {
        ids.n = 0;
        uint64_t at = os_now_ns();
        rc = tokenizer_encode(t, text, n, 0, &ids, &err);
        ms[i] = (double)(os_now_ns() - at) * 1e-6;
    }
    if (rc == 0) {
        snprintf(name, sizeof name, "tokenise %.2f MB, %zu tokens", (double)n * 1e-6, ids.n);
        print(name, ms, sizeof ms / sizeof *ms);
    } else {
        fprintf(stderr, "text_bench: %s\n", err.msg);
    }
    ids_release(&ids);
    mem_free(text);
    tokenizer_close(t);
    gguf_close(g);
    return rc < 0;
}

int main(int argc, char **argv)
{
    float *logits = malloc(N_VOCAB * sizeof *logits);
    if (!logits || (argc != 1 && argc != 3)) {
        fprintf(stderr, "usage: text_bench [VOCABULARY.gguf TEXT]\n");
        free(logits);
        return 2;
    }
    struct sampler_options plain = sampler_defaults(), greedy = plain, all = plain, repeat = plain, sigma = plain, miro = plain;
    greedy.temperature = 0;
    repeat.repeat_penalty = 1.1f, repeat.repeat_last_n = -1, repeat.dry_multiplier = 0.8f, repeat.dry_last_n = -1;
    sigma.top_n_sigma = 1, sigma.top_k = 0;
    miro.mirostat = 2;
    all.top_k = 0, all.top_p = 1, all.min_p = 0;
    fill(logits);
    int bad = bench_sampler("sample, defaults", &plain, logits) || bench_sampler("sample, greedy", &greedy, logits) ||
              bench_sampler("sample, penalties, DRY", &repeat, logits) || bench_sampler("sample, top-n-sigma", &sigma, logits) ||
              bench_sampler("sample, mirostat 2", &miro, logits) || bench_sampler("sample, no filter", &all, logits) ||
              (argc == 3 && bench_tokenizer(argv[1], argv[2]));
    free(logits);
    return bad;
}
