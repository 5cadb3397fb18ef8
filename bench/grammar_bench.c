/* What forms cost: compiling them, also those that are made to be costly; masks of a vocabulary; turns with many tools.
 * Argument: a GGUF file with a vocabulary.  Times are of one core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "format/gguf.h"
#include "text/matcher.h"
#include "text/turn_gram.h"

static double ms_since(uint64_t t) { return (double)(os_now_ns() - t) * 1e-6; }

/* ---- compiling ---- */

enum kind { GBNF, SCHEMA, REGEX };

static int compile(enum kind kind, const char *s, size_t n, struct grammar **g, struct err *err)
{
    return kind == GBNF ? grammar_from_gbnf(g, s, n, err) : kind == SCHEMA ? grammar_from_schema(g, s, n, err)
                                                                           : grammar_from_regex(g, s, n, err);
}

static double worst_compile;

static void time_compile(const char *name, enum kind kind, const char *s, size_t n)
{
    struct grammar *g = NULL;
    struct err err = { 0 };
    uint64_t t = os_now_ns();
    int rc = compile(kind, s, n, &g, &err);
    double ms = ms_since(t);
    if (ms > worst_compile) worst_compile = ms;
    printf("compile %-34s %8.2f ms  %.60s\n", name, ms, rc < 0 ? err.msg : "good");
    grammar_free(g);
}

static void many(const char *name, enum kind kind, const char *head, const char *item, size_t times, const char *tail)
{
    struct buf b = { 0 };
    buf_puts(&b, head);
    for (size_t i = 0; i < times; i++) {
        if (i && kind == SCHEMA) buf_putc(&b, ',');
        for (const char *p = item; *p; p++) {
            if (*p == '#') buf_printf(&b, "%zu", i);
            else buf_putc(&b, *p);
        }
    }
    buf_puts(&b, tail);
    if (!b.bad) time_compile(name, kind, b.data, b.len);
    buf_release(&b);
}

static void bench_compile(void)
{
    static const struct { const char *name; enum kind kind; const char *source; } row[] = {
        { "a{1,1000000000}", REGEX, "a{1,1000000000}" },
        { "(a{1,1000}){1,1000}", REGEX, "(a{1,1000}){1,1000}" },
        { "nested ((a*)*)*", REGEX, "((((((((((a*)*)*)*)*)*)*)*)*)*)*" },
        { "(a+)+$", REGEX, "(a+)+$" },
        { "(a|a)*b(a|b){24}", REGEX, "(a|b)*b(a|b){24}" },
        { "left recursion", GBNF, "root ::= root \"a\" | \"b\"" },
        { "mutual recursion", GBNF, "root ::= \"x\" a\na ::= b \"1\" | \"2\"\nb ::= a \"3\" | \"4\"" },
        { "$ref cycle", SCHEMA,
          "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}}}" },
        { "not a{20} of strings", SCHEMA, "{\"type\":\"string\",\"pattern\":\"^(a|b)*a(a|b){20}$\",\"maxLength\":5000}" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        time_compile(row[i].name, row[i].kind, row[i].source, strlen(row[i].source));
    many("100,000 alternatives", GBNF, "root ::= \"x\"", " | \"a#\"", 100000, "");
    many("20,000 rules", GBNF, "root ::= r0\n", "r# ::= \"a\" r#0 | \"b\"\n", 1500, "");
    many("oneOf of 1,000", SCHEMA, "{\"oneOf\":[", "{\"const\":#}", 1000, "]}");
    many("oneOf of 1,000 objects", SCHEMA, "{\"oneOf\":[",
         "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"v#\"}},\"required\":[\"k\"]}", 1000, "]}");
    many("anyOf of 1,000 objects", SCHEMA, "{\"anyOf\":[",
         "{\"type\":\"object\",\"properties\":{\"k\":{\"minLength\":#}},\"required\":[\"k\"]}", 1000, "]}");
    many("10,000 properties", SCHEMA, "{\"type\":\"object\",\"properties\":{", "\"p#\":{\"type\":\"string\"}", 10000, "}}");
    many("enum of 100,000", SCHEMA, "{\"enum\":[", "\"value #\"", 100000, "]}");
    many("allOf of 200 patterns", SCHEMA, "{\"allOf\":[", "{\"pattern\":\"a.{#}b\"}", 200, "]}");
    uint64_t t = os_now_ns();
    for (int i = 0; i < 10000; i++) {
        char s[100];
        struct grammar *g = NULL;
        int n = snprintf(s, sizeof s, "{\"type\":\"object\",\"properties\":{\"a%d\":{\"type\":\"string\"}}}", i);
        grammar_from_schema(&g, s, (size_t)n, NULL);
        grammar_free(g);
    }
    printf("compile %-34s %8.2f ms\n", "10,000 small schemas", ms_since(t));
}

/* ---- masks ---- */

static uint64_t seed = 1;
static uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

static int by_size(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Walks of random tokens; the time of every mask. */
static void bench_masks(const char *name, enum kind kind, const char *source, const struct vocab *v)
{
    enum { WALKS = 12, STEPS = 150 };
    static double us[WALKS * STEPS];
    struct grammar *g;
    struct err err = { 0 };
    size_t n = 0;
    double sum = 0;
    if (compile(kind, source, strlen(source), &g, &err) < 0) {
        printf("%s: %s\n", name, err.msg);
        return;
    }
    for (int w = 0; w < WALKS; w++) {
        struct matcher *m;
        if (matcher_open(&m, g, v, NULL, &err) < 0) break;
        for (int k = 0; k < STEPS; k++) {
            const uint64_t *mask;
            uint64_t t = os_thread_ns();
            if (matcher_mask(m, &mask, &err) < 0) break;
            us[n] = (double)(os_thread_ns() - t) * 1e-3;
            sum += us[n++];
            int32_t id = -1;
            for (int32_t i = 0, at = (int32_t)draw((uint32_t)v->n_vocab); i < v->n_vocab && id < 0; i++)
                if (mask[(at + i) % v->n_vocab / 64] >> ((at + i) % v->n_vocab % 64) & 1) id = (at + i) % v->n_vocab;
            if (id < 0 || matcher_accept(m, id, &err) < 0 || matcher_is_done(m)) break;
        }
        matcher_close(m);
    }
    grammar_free(g);
    if (!n) return;
    qsort(us, n, sizeof *us, by_size);
    printf("masks   %-34s mean %7.1f us, half below %6.1f, 99 %% below %7.1f, worst %7.1f\n", name, sum / (double)n, us[n / 2],
           us[n * 99 / 100], us[n - 1]);
}

/* ---- turns ---- */

static void bench_turn(const struct tokenizer *t, size_t n_tools)
{
    struct buf b = { 0 };
    struct json *tools = NULL;
    struct err err = { 0 };
    struct dialect d;
    struct turn_plan plan;
    buf_putc(&b, '[');
    for (size_t i = 0; i < n_tools; i++)
        buf_printf(&b, "%s{\"type\":\"function\",\"function\":{\"name\":\"tool_%zu\",\"parameters\":{\"type\":\"object\","
                   "\"properties\":{\"path\":{\"type\":\"string\"},\"limit\":{\"type\":\"integer\",\"minimum\":0},"
                   "\"mode\":{\"enum\":[\"a\",\"b\",\"c\"]},"
                   "\"edits\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"old\":{\"type\":\"string\"},"
                   "\"new\":{\"type\":\"string\"}},\"required\":[\"old\",\"new\"]}}},\"required\":[\"path\"]}}}",
                   i ? "," : "", i);
    buf_putc(&b, ']');
    if (!b.bad && json_parse(&tools, b.data, b.len, NULL) == 0) {
        dialect_find("<tool_call>", 11, &d);
        uint64_t at = os_now_ns();
        static struct gram_cache cache;
        struct turn_gram q = { .dialect = &d, .tokenizer = t, .tools = tools, .cache = &cache };
        int rc = turn_grammar(&q, &plan, &err);
        double ms = ms_since(at);
        const char *how = rc < 0 ? err.msg : plan.notes.len ? "good, with notes" : "good";
        turn_plan_release(&plan);
        at = os_now_ns();
        if (rc == 0 && turn_grammar(&q, &plan, &err) == 0) turn_plan_release(&plan);
        double again = ms_since(at);
        printf("turn    %4zu tools %34.2f ms, again %.2f ms, %zu KB kept  %s\n", n_tools, ms, again, cache.bytes >> 10, how);
        gram_cache_release(&cache);
    }
    json_free(tools);
    buf_release(&b);
}

static int with_vocab(const struct tokenizer *t)
{
    static const struct { const char *name; enum kind kind; const char *source; } row[] = {
        { "any JSON", SCHEMA, "true" },
        { "invoice", SCHEMA,
          "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"items\":{"
          "\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
          "\"sku\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{3}-[0-9]{4}$\"},"
          "\"price\":{\"type\":\"number\"}},\"required\":[\"sku\",\"price\"]}}},\"required\":[\"name\",\"n\",\"items\"]}" },
        { "string, maxLength 300", SCHEMA, "{\"type\":\"string\",\"maxLength\":300}" },
        { "string, pattern of words", SCHEMA, "{\"type\":\"string\",\"pattern\":\"^([A-Z][a-z]+ ){2,40}$\"}" },
        { "([^x] [^y] [^z]){1,300}", GBNF, "root ::= ([^x] [^y] [^z]){1,300}" },
        { "([^a] [^b] [^c] [^d] [^e]){1,300}", GBNF, "root ::= ([^a] [^b] [^c] [^d] [^e]){1,300}" },
        { "[^x]{1,300} then [^y]*", GBNF, "root ::= [^x]{1,300} [^y]*" },
        { "words apart: ([a-z]+ [A-Z]*){1,300}", GBNF, "root ::= ([a-z]+ \" \"? [A-Z]*){1,300}" },
        { "even letters: ((.){2})*", REGEX, "((.){2})*" },
        { "(a|b|..)*.{30} of anything", REGEX, "(.|..|...)*x.{0,30}" },
        { "balanced brackets", GBNF, "root ::= ( [^()] | \"(\" root \")\" )*" },
        { "text until a mark", GBNF, "root ::= ( [^<] | \"<\" [^/] )* \"</a>\"" },
    };
    struct vocab *v;
    struct err err = { 0 };
    uint64_t at = os_now_ns();
    if (vocab_open(&v, t, tokenizer_n_vocab(t), &err) < 0) {
        fprintf(stderr, "grammar_bench: %s\n", err.msg);
        return 1;
    }
    printf("vocabulary of %d tokens as a trie: %.1f ms\n", v->n_vocab, ms_since(at));
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) bench_masks(row[i].name, row[i].kind, row[i].source, v);
    vocab_close(v);
    bench_turn(t, 20);
    bench_turn(t, 200);
    bench_turn(t, 2000);
    return 0;
}

int main(int argc, char **argv)
{
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    struct err err = { 0 };
    if (argc > 2) {
        fprintf(stderr, "usage: grammar_bench [VOCABULARY.gguf]\n");
        return 2;
    }
    bench_compile();
    printf("worst compile %.1f ms\n", worst_compile);
    if (argc == 1) return 0;
    int rc = gguf_open(&g, argv[1], &err);
    if (rc == 0) rc = tokenizer_open(&t, g, &err);
    if (rc < 0) fprintf(stderr, "grammar_bench: %s\n", err.msg);
    int bad = rc < 0 || with_vocab(t);
    tokenizer_close(t);
    gguf_close(g);
    return bad;
}
