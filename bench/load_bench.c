/* load_bench.c - what opening a model adds to the first token.
 *
 * Writes a model of the shape of Llama-3.2-1B (Q4_0, 128,256 tokens, 280,000 merges; about 0.7 GB) once, reads it so that it is
 * in the page cache, and prints medians of: opening it and a session, the prefill of 8 tokens in that fresh process state,
 * and the same prefill again in a warm session.  Load adds opening plus what the first prefill takes longer than the warm one.
 * Usage: load_bench [FOLDER]   (default: /tmp; the file is removed at the end) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "median.h"

#include "base/os.h"
#include "format/gguf.h"
#include "hearth.h"

enum { D = 2048, L = 16, H = 32, K = 8, E = 64, F = 8192, V = 128256, MERGES = 280147, RUNS = 7 };

static uint64_t seed = 7;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

/* One pool of Q4_0 blocks with small scales serves all matrices. */
static uint8_t *block_pool(size_t bytes)
{
    uint8_t *p = malloc(bytes);
    for (size_t i = 0; p && i + 18 <= bytes; i += 18) {
        p[i] = (uint8_t)rnd(256);
        p[i + 1] = 0x1c;                               /* about 0.004 */
        for (int k = 2; k < 18; k++) p[i + k] = (uint8_t)rnd(256);
    }
    return p;
}

static char *texts;                                     /* all strings one after the other */
static size_t n_text;

static struct gguf_str put(const char *a, size_t na, const char *sep, const char *b, size_t nb)
{
    struct gguf_str s = { texts + n_text, na + strlen(sep) + nb };
    memcpy(texts + n_text, a, na);
    memcpy(texts + n_text + na, sep, strlen(sep));
    memcpy(texts + n_text + na + strlen(sep), b, nb);
    n_text += s.n;
    return s;
}

/* All words of one, two, three, ... letters in order, and their merges split at every place, as in Llama 3's own list. */
static void vocabulary(struct gguf_writer *w)
{
    struct gguf_str *tok = malloc(V * sizeof *tok), *merge = malloc(MERGES * sizeof *merge);
    int32_t *kind = malloc(V * sizeof *kind);
    texts = malloc(64u << 20);
    if (!tok || !merge || !kind || !texts) exit(1);
    int n_merge = 0, first = 0, len = 1;
    for (int i = 0, count = 26; i < V; i++) {
        char c[8];
        if (i - first == count) {
            first = i;
            count *= 26;
            len++;
        }
        for (int k = len, x = i - first; k-- > 0; x /= 26) c[k] = (char)('a' + x % 26);
        kind[i] = 1;
        tok[i] = put(c, (size_t)len, "", "", 0);
        for (int k = 1; k < len && n_merge < MERGES; k++)
            merge[n_merge++] = put(c, (size_t)k, " ", c + k, (size_t)(len - k));
    }
    if (n_merge != MERGES) exit(1);
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_put_str(w, "tokenizer.ggml.pre", "llama-bpe", 9);
    gguf_put_strs(w, "tokenizer.ggml.tokens", tok, V);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, kind, V);
    gguf_put_strs(w, "tokenizer.ggml.merges", merge, MERGES);
}

static void tensors(struct gguf_writer *w)
{
    static const struct { const char *name; uint64_t in, out; } m[] = {
        { "attn_q", D, H * E }, { "attn_k", D, K * E }, { "attn_v", D, K * E }, { "attn_output", H * E, D },
        { "ffn_gate", D, F }, { "ffn_up", D, F }, { "ffn_down", F, D },
    };
    uint8_t *pool = block_pool((size_t)V * D / 32 * 18);
    float *ones = malloc(D * sizeof *ones);
    if (!pool || !ones) exit(1);
    for (int i = 0; i < D; i++) ones[i] = 1;
    gguf_put_tensor(w, "token_embd.weight", DT_Q4_0, 2, (uint64_t[]){ D, V }, pool);
    for (int l = 0; l < L; l++) {
        char name[64];
        for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, m[i].name);
            gguf_put_tensor(w, strdup(name), DT_Q4_0, 2, (uint64_t[]){ m[i].in, m[i].out }, pool + 18 * rnd(4096));
        }
        snprintf(name, sizeof name, "blk.%d.attn_norm.weight", l);
        gguf_put_tensor(w, strdup(name), DT_F32, 1, (uint64_t[]){ D }, ones);
        snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", l);
        gguf_put_tensor(w, strdup(name), DT_F32, 1, (uint64_t[]){ D }, ones);
    }
    gguf_put_tensor(w, "output_norm.weight", DT_F32, 1, (uint64_t[]){ D }, ones);
}

static int make(const char *path)
{
    struct gguf_writer *w;
    struct err err;
    if (gguf_writer_open(&w, &err) < 0) return -1;
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_u32(w, "llama.context_length", 8192);
    gguf_put_u32(w, "llama.embedding_length", D);
    gguf_put_u32(w, "llama.block_count", L);
    gguf_put_u32(w, "llama.feed_forward_length", F);
    gguf_put_u32(w, "llama.attention.head_count", H);
    gguf_put_u32(w, "llama.attention.head_count_kv", K);
    gguf_put_f32(w, "llama.rope.freq_base", 500000);
    vocabulary(w);
    tensors(w);
    int rc = gguf_writer_save(w, path, &err);
    if (rc < 0) fprintf(stderr, "%s\n", err.msg);
    gguf_writer_close(w);
    return rc;
}

static double ms_since(uint64_t t) { return (double)(os_now_ns() - t) / 1e6; }

static int run(const char *path, double *open, double *first, double *warm)
{
    struct hearth_model *m;
    struct hearth_session *s = NULL;
    struct hearth_error e;
    int32_t ids[8] = { 11, 222, 3333, 44444, 55, 666, 7777, 88 };
    uint64_t t = os_now_ns();
    if (hearth_model_open(&m, path, NULL, &e) < 0 || hearth_session_open(&s, m, NULL, &e) < 0) goto fail;
    *open = ms_since(t);
    t = os_now_ns();
    if (hearth_session_sync(s, ids, 8, &e) < 0) goto fail;
    *first = ms_since(t);
    ids[0] = 12;
    t = os_now_ns();
    if (hearth_session_sync(s, ids, 8, &e) < 0) goto fail;
    *warm = ms_since(t);
    hearth_session_close(s);
    hearth_model_close(m);
    return 0;
fail:
    fprintf(stderr, "%s\n", e.message);
    return -1;
}

int main(int argc, char **argv)
{
    char path[512];
    double open[RUNS], first[RUNS], warm[RUNS];
    snprintf(path, sizeof path, "%s/hearth-load-bench.gguf", argc > 1 ? argv[1] : "/tmp");
    if (make(path) < 0) return 1;
    int rc = 0;
    for (int i = -1; i < RUNS && rc == 0; i++) rc = run(path, &open[i < 0 ? 0 : i], &first[i < 0 ? 0 : i], &warm[i < 0 ? 0 : i]);
    unlink(path);
    if (rc < 0) return 1;
    double o = median(open, RUNS), f = median(first, RUNS), w = median(warm, RUNS);
    printf("1B Q4_0 in the page cache, median of %d: open %.1f ms, first prefill of 8 tokens %.1f ms, warm %.1f ms\n",
           RUNS, o, f, w);
    printf("load adds %.1f ms to the prefill (aim: less than 150 ms)\n", o + f - w);
    return 0;
}
