#include "app/adapters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"

enum { MAX_LAYER = 1 << 16 };

static bool there(const char *path) { return os_file_exists(path) || os_is_folder(path); }

/* "FILE" or "FILE:SCALE"; a file whose own name ends like that is meant as a whole.  The path is the caller's (mem_free). */
static int read_use(const char *option, const char *text, char **path, float *scale, struct err *err)
{
    const char *colon = there(text) ? NULL : strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    *scale = 1;
    if (colon) {
        char *end;
        double v = strtod(colon + 1, &end);
        if (end == colon + 1 || *end || !isfinite(v) || fabs(v) > 1000)
            return err_set(err, ERR_ARG, "%s %s: the scale behind the colon must be a number from -1000 to 1000", option, text);
        *scale = (float)v;
    }
    *path = mem_strdup(text, n);
    return *path ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static bool read_layer(const char **s, uint32_t *out)
{
    const char *from = *s;
    for (*out = 0; **s >= '0' && **s <= '9' && *out < MAX_LAYER; ++*s) *out = *out * 10 + (uint32_t)(**s - '0');
    return *s != from && *out < MAX_LAYER;
}

static int read_layers(const char *text, struct hearth_adapter_use *u, struct err *err)
{
    const char *s = text;
    if (!text) return 0;
    if (read_layer(&s, &u->first_layer) && *s++ == '-' && read_layer(&s, &u->last_layer) && !*s && u->last_layer &&
        u->first_layer <= u->last_layer)
        return 0;
    return err_set(err, ERR_ARG, "--control-vector-layers needs two numbers such as 10-20, not \"%.40s\"", text);
}

static int add(struct adapters *out, struct hearth_model *m, struct hearth_adapter_use *u, const char *path, struct err *err)
{
    struct hearth_error e;
    if (hearth_adapter_open(&u->adapter, m, path, &e) < 0) return err_set(err, e.code, "%s", e.message);
    out->a[out->n++] = u->adapter;
    return 0;
}

int adapters_open(struct adapters *out, struct hearth_model *m, const struct adapter_options *o, struct err *err)
{
    struct hearth_adapter_use use[2 * OPT_MAX_STRS] = { { 0 } };
    struct hearth_error e;
    *out = (struct adapters){ .n = 0 };
    for (size_t i = 0; i < o->lora.n + o->steer.n; i++) {
        bool lora = i < o->lora.n;
        const char *text = lora ? o->lora.s[i] : o->steer.s[i - o->lora.n];
        char *path = NULL;
        int rc = read_use(lora ? "--lora" : "--control-vector", text, &path, &use[i].scale, err);
        if (rc == 0 && !lora) rc = read_layers(o->layers, &use[i], err);
        if (rc == 0) rc = add(out, m, &use[i], path, err);
        mem_free(path);
        if (rc < 0) return rc;
    }
    if (o->layers && !o->steer.n) return err_set(err, ERR_ARG, "--control-vector-layers needs a --control-vector");
    if (!out->n) return 0;
    if (hearth_model_set_adapters(m, use, out->n, &e) < 0) return err_set(err, e.code, "%s", e.message);
    return 0;
}

void adapters_close(struct adapters *a)
{
    while (a->n) hearth_adapter_close(a->a[--a->n]);
}
