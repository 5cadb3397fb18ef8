/* Texts that random schemas allow are valid for an independent validator (python3-jsonschema; skipped where it is missing).
 * tools/schema-oracle makes the schemas and judges; it runs this program as `schema_oracle_test walk N`, which writes N random
 * texts for each schema: tokens are drawn evenly from the masks, then what closes is preferred. */
#include "tests/testing.h"
#include "tests/tiny_vocab.h"

#include "base/mem.h"
#include "text/matcher.h"

static const char *program;

static uint64_t seed = 1;
static uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

static bool has(const uint64_t *mask, int32_t id) { return mask[id >> 6] >> (id & 63) & 1; }

static int32_t choose(const struct vocab *v, const uint64_t *mask, int step)
{
    static const char *const closer[] = { "\"", "}", "]", "0", "1", ":", "," };
    if (step > 30 || draw(4) == 0)
        for (size_t i = 0; i < sizeof closer / sizeof *closer; i++) {
            int32_t id = tokenizer_find(v->tokenizer, closer[i], 1);
            if (id >= 0 && has(mask, id)) return id;
        }
    for (int32_t i = 0, at = (int32_t)draw((uint32_t)v->n_vocab); i < v->n_vocab; i++)
        if (has(mask, (at + i) % v->n_vocab)) return (at + i) % v->n_vocab;
    return -1;
}

/* A whole text, or nothing when it does not end in time. */
static bool one_text(const struct grammar *g, const struct vocab *v, struct buf *out)
{
    struct matcher *m;
    struct err e = { 0 };
    const uint64_t *mask;
    bool whole = false;
    if (matcher_open(&m, g, v, NULL, &e) < 0) return false;
    for (int k = 0; k < 600 && !whole && matcher_mask(m, &mask, &e) == 0; k++) {
        int32_t id = choose(v, mask, k);
        if (id < 0 || matcher_accept(m, id, &e) < 0) break;
        if (!tokenizer_is_eog(v->tokenizer, id)) tokenizer_piece(v->tokenizer, id, false, out);
        whole = matcher_is_done(m) || (matcher_may_end(m) && draw(3) == 0);
    }
    if (e.code) fprintf(stderr, "%s\n", e.msg);
    matcher_close(m);
    return whole && !e.code;
}

/* Standard input: schemas, a zero byte behind each.  Output for each: code, message, texts; a zero byte behind each. */
static int walk(int texts)
{
    struct tiny_vocab tiny = tiny_open(TINY_BPE, "qwen2");
    struct vocab *v;
    struct buf in = { 0 };
    if (vocab_open(&v, tiny.t, tokenizer_n_vocab(tiny.t), NULL) < 0) return 1;
    for (int c; (c = getchar()) != EOF;) {
        buf_putc(&in, (char)c);
        if (c) continue;
        struct grammar *g;
        struct err e = { 0 };
        int rc = grammar_from_schema(&g, in.data, in.len - 1, &e);
        printf("%d%c%s%c", rc, 0, rc < 0 ? e.msg : "", 0);
        for (int i = 0; i < texts; i++) {
            struct buf out = { 0 };
            if (rc == 0 && one_text(g, v, &out)) fwrite(out.data, 1, out.len, stdout);
            putchar(0);
            buf_release(&out);
        }
        grammar_free(g);
        buf_clear(&in);
    }
    buf_release(&in);
    vocab_close(v);
    tiny_close(&tiny);
    return 0;
}

static void random_schemas_are_kept(void **unused)
{
    (void)unused;
    char command[600];
    if (getenv("EMULATOR") && *getenv("EMULATOR")) skip();
    if (system("python3 -c 'import jsonschema' > /dev/null 2>&1") != 0) skip();
    snprintf(command, sizeof command, "python3 tools/schema-oracle %s 200 1 >&2", program);
    assert_int_equal(system(command), 0);
}

/* The cases of every keyword (schema_keywords_test.c) are what the validator says. */
static void keywords_are_judged_alike(void **unused)
{
    (void)unused;
    static const char command[] =
        "python3 -c 'import json, jsonschema, sys\n"
        "V = jsonschema.Draft202012Validator\n"
        "n = 0\n"
        "for k, cases in json.load(open(\"tests/golden/schema/keywords.json\")).items():\n"
        "  for c in cases:\n"
        "    v = V(c[\"schema\"], format_checker=V.FORMAT_CHECKER)\n"
        "    for what, want in ((\"good\", True), (\"bad\", False), (\"unwritten\", True)):\n"
        "      for x in c.get(what, []):\n"
        "        n += 1\n"
        "        if v.is_valid(x) != want: sys.exit(\"%s: %s: %s is not %s\" % (k, c[\"schema\"], x, what))\n"
        "sys.exit(n < 400)' >&2";
    if (getenv("EMULATOR") && *getenv("EMULATOR")) skip();
    if (system("python3 -c 'import jsonschema' > /dev/null 2>&1") != 0) skip();
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_schemas_are_kept), cmocka_unit_test(keywords_are_judged_alike) };
    program = argv[0];
    if (argc == 3 && !strcmp(argv[1], "walk")) return walk(atoi(argv[2]));
    return run_tests(tests);
}
