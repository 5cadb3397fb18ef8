#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/model_name.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/term.h"
#include "format/gguf_split.h"

struct fields {
    const char *max_size;
    uint32_t max_tensors;
    bool force;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "max-size", NULL, 0, OPT_STR, "SIZE", NULL, "bytes of tensors in a file, as 4G or 500M (powers of ten)", "4G", AT(max_size),
      0, 0 },
    { "max-tensors", NULL, 0, OPT_U32, "N", NULL, "tensors in a file", NULL, AT(max_tensors), 1, 65536 },
    { "force", NULL, 'f', OPT_FLAG, NULL, NULL, "replace files that exist", NULL, AT(force), 0, 0 },
};

/* A whole number with K, M, G, T or nothing behind it; false for anything else, and for 0. */
static bool read_size(const char *s, uint64_t *out)
{
    static const char unit[] = "KMGT";
    uint64_t v = 0;
    if (!*s || *s == '0') return false;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v)) return false;
    const char *u = *s ? strchr(unit, *s >= 'a' ? *s - 32 : *s) : NULL;
    if (*s && (!u || s[1])) return false;
    for (const char *k = unit; u && k <= u; k++)
        if (__builtin_mul_overflow(v, 1000, &v)) return false;
    *out = v;
    return v > 0;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err err = { 0 };
    struct progress progress = { 0 };
    struct gguf_split_options o = { .progress = progress_bytes, .arg = &progress };
    struct gguf *g;
    uint32_t n = 0;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 2, 2 }, &f, &p, &rc)) return rc;
    if (!f.max_size && !f.max_tensors) return term_usage(self->name, "split needs --max-size or --max-tensors");
    if (f.max_size && !read_size(f.max_size, &o.max_bytes))
        return term_usage(self->name, "--max-size must be a size as 4G or 500M, not \"%.40s\"", f.max_size);
    o.max_tensors = f.max_tensors;
    o.replace = f.force;
    rc = named_gguf_open(&g, p.operand[0], &err);
    if (rc == 0) rc = gguf_split(g, p.operand[1], &o, &n, &err);
    gguf_close(g);
    term_progress_end();
    if (rc == ERR_CANCELLED) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", err.msg);
    struct buf b = { 0 };
    buf_printf(&b, "%s-00001-of-%05u.gguf: the first of %u files\n", p.operand[1], n, n);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_split = {
    .name = "split",
    .operands = "IN.gguf PREFIX",
    .summary = "cut a model file into several",
    .about = "The files are PREFIX-00001-of-0000N.gguf; open the first one.  hearth merge makes one file of them again.\n",
    .example = "model.gguf model-part",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
