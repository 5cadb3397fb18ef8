#include "app/bias.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int wrong(struct hearth_error *e, const char *text)
{
    e->code = HEARTH_EARG;
    snprintf(e->message, sizeof e->message, "--logit-bias must be like 15043=2.5, \"some words=-1\" or 15043=-inf, not \"%.60s\"",
             text);
    return HEARTH_EARG;
}

/* Where the value begins: behind the last '=', or at the sign behind an id. */
static const char *value_of(const char *text, size_t *n_key)
{
    const char *equals = strrchr(text, '=');
    size_t digits = strspn(text, "0123456789");
    *n_key = equals ? (size_t)(equals - text) : digits;
    if (equals) return equals + 1;
    return digits && (text[digits] == '+' || text[digits] == '-') ? text + digits : NULL;
}

static bool read_bias(const char *s, float *out)
{
    char *end;
    *out = !strcmp(s, "false") ? -INFINITY : strtof(s, &end);
    return !strcmp(s, "false") || (end != s && !*end && !isnan(*out));
}

static int bias_text(struct hearth_sampler *s, const struct hearth_model *m, const char *text, size_t n, float bias,
                     struct hearth_error *e)
{
    int32_t *ids;
    size_t n_ids;
    int rc = hearth_tokenize(m, text, n, 0, &ids, &n_ids, e);
    for (size_t i = 0; rc == 0 && i < n_ids; i++) rc = hearth_sampler_bias(s, ids[i], bias, e);
    hearth_free(ids);
    return rc;
}

int bias_add(struct hearth_sampler *s, const struct hearth_model *m, const char *text, struct hearth_error *e)
{
    size_t n;
    float bias;
    const char *value = value_of(text, &n);
    if (!value || !n || !read_bias(value, &bias)) return wrong(e, text);
    if (n < 10 && strspn(text, "0123456789") == n) return hearth_sampler_bias(s, (int32_t)strtol(text, NULL, 10), bias, e);
    return bias_text(s, m, text, n, bias, e);
}
