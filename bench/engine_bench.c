/* engine_bench.c - what an engine promises to those who wait.
 *
 *   gap     how long the tokens of an answer are apart alone, and at worst while the prompt of another request is read; the
 *           promise: worst <= 2 * alone + budget
 *   first   milliseconds to the first token of a long prompt: cold, with a past text in memory, and in a file of an earlier
 *           process
 * Usage: engine_bench [MODEL.gguf [TOKENS [BUDGET_MS]]]   (default: the embedded model, as many as it can read, 100) */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "median.h"

#include "base/fs.h"
#include "base/os.h"
#include "hearth.h"

enum { ALONE = 24, MOST = 4096, BEFORE = 16 };

static const char *path;
static char folder[] = "/tmp/hearth-bench-XXXXXX";
static int32_t text[1 << 16];

static void die(const char *what)
{
    fprintf(stderr, "engine_bench: %s\n", what);
    exit(1);
}

static struct hearth_model *open_model(void)
{
    struct hearth_model *m;
    struct hearth_error e;
    if ((path ? hearth_model_open(&m, path, NULL, &e) : hearth_model_open_embedded(&m, NULL, &e)) < 0) die(e.message);
    return m;
}

static struct hearth_engine *open_engine(struct hearth_model *m, uint32_t n_ctx, uint32_t budget, const char *files)
{
    struct hearth_engine *g;
    struct hearth_error e;
    struct hearth_engine_options o = { .n_ctx = n_ctx, .budget_ms = budget, .kv_files = files,
                                       .speculate = HEARTH_SPECULATE_OFF };
    if (hearth_engine_open(&g, m, &o, &e) < 0) die(e.message);
    return g;
}

/* ---- gap ---- */

struct stream { uint64_t last; double gap[2][MOST]; size_t n[2]; uint32_t seen; _Atomic int reading; };

static bool on_token(void *arg, const struct hearth_event *ev)
{
    struct stream *s = arg;
    const uint64_t now = os_now_ns();
    const int k = atomic_load(&s->reading);
    if (ev->id < 0 || k > 1) return k < 2;
    if (++s->seen > BEFORE && s->n[k] < MOST) s->gap[k][s->n[k]++] = (double)(now - s->last) / 1e6;
    s->last = now;
    return true;
}

static bool on_read(void *arg, const struct hearth_event *ev)
{
    struct stream *s = arg;
    if (ev->id >= 0) atomic_store(&s->reading, 2);
    return false;
}

static void gap(struct hearth_model *m, uint32_t n, uint32_t n_ctx, uint32_t budget)
{
    struct hearth_engine *g = open_engine(m, n_ctx, budget, NULL);
    static struct stream s;
    struct hearth_request *a, *b;
    struct hearth_error e;
    struct hearth_request_options o = { .ids = text, .n = 16, .ignore_end = true, .event = on_token, .arg = &s };
    if (hearth_request_submit(&a, g, &o, &e) < 0) die(e.message);
    for (struct hearth_engine_stats st = { 0 }; st.n_answer_tokens < BEFORE + ALONE; fs_sleep_ms(5)) hearth_engine_stats(g, &st);
    o = (struct hearth_request_options){ .ids = text, .n = n, .no_cache = true, .event = on_read, .arg = &s };
    atomic_store(&s.reading, 1);
    if (hearth_request_submit(&b, g, &o, &e) < 0) die(e.message);
    hearth_request_wait(b);
    hearth_request_wait(a);
    hearth_request_close(a);
    hearth_request_close(b);
    hearth_engine_close(g);
    double alone = median(s.gap[0], s.n[0]), usual = median(s.gap[1], s.n[1]), worst = s.gap[1][s.n[1] - 1];
    printf("gap       alone %.1f ms; while %u tokens are read %.1f ms, at worst %.1f ms <= 2 * %.1f + %u = %.1f ms: %s\n", alone,
           n, usual, worst, alone, budget, 2 * alone + budget, worst <= 2 * alone + budget ? "met" : "NOT MET");
}

/* ---- first ---- */

struct first { uint64_t at; uint32_t kept; };

static bool on_first(void *arg, const struct hearth_event *ev)
{
    struct first *f = arg;
    f->at = os_now_ns();
    f->kept = ev->n_kept;
    return false;
}

static double first_token(struct hearth_engine *g, uint32_t n, bool no_cache, uint32_t *kept)
{
    struct first f = { 0 };
    struct hearth_request *r;
    struct hearth_error e;
    struct hearth_request_options o = { .ids = text, .n = n, .no_cache = no_cache, .event = on_first, .arg = &f };
    uint64_t start = os_now_ns();
    if (hearth_request_submit(&r, g, &o, &e) < 0) die(e.message);
    hearth_request_wait(r);
    hearth_request_close(r);
    *kept = f.kept;
    return (double)(f.at - start) / 1e6;
}

static void first(struct hearth_model **m, uint32_t n, uint32_t n_ctx)
{
    uint32_t kept[3];
    struct hearth_engine *g = open_engine(*m, n_ctx, 100, folder);
    double cold = first_token(g, n, false, &kept[0]), hit = first_token(g, n, false, &kept[1]);
    uint64_t start = os_now_ns();
    hearth_engine_close(g);                            /* writes the text */
    double saved = (double)(os_now_ns() - start) / 1e6;
    hearth_model_close(*m);
    *m = open_model();
    g = open_engine(*m, n_ctx, 100, folder);
    double disk = first_token(g, n, false, &kept[2]);
    hearth_engine_close(g);
    printf("first     %u tokens: cold %.1f ms, from memory %.1f ms (%.0f times sooner; %u kept), from a file after a restart "
           "%.1f ms (%.0f times; %u kept; written in %.0f ms)\n", n, cold, hit, cold / hit, kept[1], disk, cold / disk, kept[2],
           saved);
}

int main(int argc, char **argv)
{
    path = argc > 1 ? argv[1] : NULL;
    struct hearth_model *m = open_model();
    struct hearth_model_info info;
    uint32_t budget = argc > 3 ? (uint32_t)atoi(argv[3]) : 100;
    setvbuf(stdout, NULL, _IOLBF, 0);
    hearth_model_info(m, &info);
    uint32_t room = info.n_ctx_train < 1 << 16 ? info.n_ctx_train : 1 << 16, n = argc > 2 ? (uint32_t)atoi(argv[2]) : room - 100;
    if (n > room - 100) n = room - 100;
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) text[i] = (int32_t)((uint32_t)i * 2654435761u >> 8) % 256;
    if (!mkdtemp(folder)) die("cannot make a folder");
    gap(m, n, room, budget);
    first(&m, n, room);
    hearth_model_close(m);
    char line[80];
    snprintf(line, sizeof line, "rm -r '%s'", folder);
    return system(line) != 0;
}
