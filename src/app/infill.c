#include "app/infill.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/utf8.h"

enum { MAX_FILE = 64 << 20 };

/* *text stays NULL for path NULL; mem_free. */
static int read_text(const char *path, char **text, struct hearth_error *e)
{
    struct err err = { 0 };
    size_t n;
    if (!path) return 0;
    int rc = os_read_file(path, MAX_FILE, text, &n, &err);
    if (rc == 0 && (strlen(*text) != n || !utf8_valid(*text, n)))
        rc = err_set(&err, ERR_FORMAT, "%s: not a text in UTF-8", path);
    if (rc < 0) {
        e->code = rc;
        snprintf(e->message, sizeof e->message, "%s", err.msg);
    }
    return rc;
}

static const char *base_name(const char *path) { return path ? fs_base_name(path) : NULL; }

int infill_prompt(const struct hearth_model *m, const struct infill *f, int32_t **ids, size_t *n_ids, struct hearth_error *e)
{
    struct hearth_fim_file file[OPT_MAX_STRS];
    char *text[OPT_MAX_STRS] = { NULL }, *prefix = NULL, *suffix = NULL;
    int rc = read_text(f->prefix, &prefix, e);
    if (rc == 0) rc = read_text(f->suffix, &suffix, e);
    for (size_t i = 0; i < f->file.n && rc == 0; i++) {
        rc = read_text(f->file.s[i], &text[i], e);
        file[i] = (struct hearth_fim_file){ base_name(f->file.s[i]), text[i] };
    }
    struct hearth_fim request = { .prefix = prefix, .suffix = suffix, .file = file, .n_file = f->file.n,
                                  .name = base_name(f->prefix ? f->prefix : f->suffix) };
    if (rc == 0) rc = hearth_fim_prompt(m, &request, ids, n_ids, e);
    for (size_t i = 0; i < f->file.n; i++) mem_free(text[i]);
    mem_free(prefix);
    mem_free(suffix);
    return rc;
}
