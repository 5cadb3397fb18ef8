#include "app/args.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/near.h"

const struct opt *args_find(const struct opt_table *t, const char *name, size_t n)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct opt *o = &t->row[i];
        if (strlen(o->name) == n && !memcmp(o->name, name, n)) return o;
        if (o->alias && strlen(o->alias) == n && !memcmp(o->alias, name, n)) return o;
    }
    return NULL;
}

static bool appeared(const struct parsed *p, size_t i) { return p->given[i / 64] >> i % 64 & 1; }

bool args_given(const struct opt_table *t, const struct parsed *p, const char *name)
{
    const struct opt *o = args_find(t, name, strlen(name));
    return o && appeared(p, (size_t)(o - t->row));
}

static size_t field_bytes(enum opt_kind k)
{
    switch (k) {
    case OPT_FLAG: return sizeof(bool);
    case OPT_STR: return sizeof(const char *);
    case OPT_STRS: return sizeof(struct opt_strs);
    case OPT_U64: return sizeof(uint64_t);
    case OPT_CHOICE: return sizeof(int);
    case OPT_I32: case OPT_U32: case OPT_F32: break;
    }
    return 4;
}

void args_copy_given(const struct opt_table *t, const struct parsed *p, void *to, const void *from)
{
    for (size_t i = 0; i < t->n; i++)
        if (appeared(p, i))
            memcpy((char *)to + t->row[i].at, (const char *)from + t->row[i].at, field_bytes(t->row[i].kind));
}

/* ---- did you mean ---- */

const char *args_nearest(const char *word, const char *(*next)(const void *arg, size_t i), const void *arg)
{
    return near_find(word, next, arg);
}

static const char *next_name(const void *arg, size_t i)
{
    const struct opt_table *t = arg;
    if (i < t->n) return t->row[i].name;
    if (i == 2 * t->n) return "help";
    return i > 2 * t->n ? NULL : t->row[i - t->n].alias ? t->row[i - t->n].alias : t->row[i - t->n].name;
}

static int unknown(const struct opt_table *t, const char *name, const char *shown, struct err *err)
{
    const char *near = args_nearest(name, next_name, t);
    if (near) return err_set(err, ERR_ARG, "unknown option %s; did you mean --%s?", shown, near);
    return err_set(err, ERR_ARG, "unknown option %s", shown);
}

/* ---- values ---- */

static int out_of_range(const struct opt *o, const char *shown, const char *value, struct err *err)
{
    return err_set(err, ERR_ARG, "%s must be %s from %.10g to %.10g, not \"%.40s\"", shown,
                   o->kind == OPT_F32 ? "a number" : "a whole number", o->min, o->max, value);
}

static int set_number(const struct opt *o, const char *shown, const char *value, void *field, struct err *err)
{
    char *end;
    errno = 0;
    if (o->kind == OPT_F32) {
        double v = strtod(value, &end);
        if (end == value || *end || !isfinite(v) || v < o->min || v > o->max)
            return out_of_range(o, shown, value, err);
        *(float *)field = (float)v;
        return 0;
    }
    bool digits = *value != 0;
    for (const char *p = value + (*value == '-'); *p; p++) digits = digits && *p >= '0' && *p <= '9';
    if (!digits) return out_of_range(o, shown, value, err);
    if (o->kind == OPT_U64) {
        unsigned long long v = strtoull(value, &end, 10);
        if (errno || *value == '-' || (double)v > o->max) return out_of_range(o, shown, value, err);
        *(uint64_t *)field = v;
        return 0;
    }
    long long v = strtoll(value, &end, 10);
    if (errno || (double)v < o->min || (double)v > o->max) return out_of_range(o, shown, value, err);
    if (o->kind == OPT_U32)
        *(uint32_t *)field = (uint32_t)v;
    else
        *(int32_t *)field = (int32_t)v;
    return 0;
}

static int set_choice(const struct opt *o, const char *shown, const char *value, int *field, struct err *err)
{
    size_t n = strlen(value);
    int index = 0;
    for (const char *w = o->value; n && *w; index++) {
        size_t len = strcspn(w, "|");
        if (len == n && !memcmp(w, value, n)) {
            *field = index;
            return 0;
        }
        w += len + (w[len] == '|');
    }
    return err_set(err, ERR_ARG, "%s must be one of %s, not \"%.40s\"", shown, o->value, value);
}

int args_set(const struct opt *o, const char *shown, const char *value, void *fields, struct err *err)
{
    void *field = (char *)fields + o->at;
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)field = true;
        return 0;
    case OPT_STR:
        *(const char **)field = value;
        return 0;
    case OPT_STRS: {
        struct opt_strs *list = field;
        if (list->n == OPT_MAX_STRS) return err_set(err, ERR_ARG, "%s may be given at most %d times", shown, OPT_MAX_STRS);
        list->s[list->n++] = value;
        return 0;
    }
    case OPT_CHOICE:
        return set_choice(o, shown, value, field, err);
    case OPT_I32:
    case OPT_U32:
    case OPT_U64:
    case OPT_F32:
        break;
    }
    return set_number(o, shown, value, field, err);
}

void args_format(const struct opt *o, const void *fields, struct buf *out)
{
    const void *field = (const char *)fields + o->at;
    switch (o->kind) {
    case OPT_FLAG: buf_puts(out, *(const bool *)field ? "on" : "off"); break;
    case OPT_STR: buf_puts(out, *(const char *const *)field ? *(const char *const *)field : ""); break;
    case OPT_STRS: buf_printf(out, "%zu", ((const struct opt_strs *)field)->n); break;
    case OPT_I32: buf_printf(out, "%d", *(const int32_t *)field); break;
    case OPT_U32: buf_printf(out, "%u", *(const uint32_t *)field); break;
    case OPT_U64: buf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)field); break;
    case OPT_F32: buf_printf(out, "%.6g", (double)*(const float *)field); break;
    case OPT_CHOICE: {
        const char *w = o->value;
        for (int i = *(const int *)field; i > 0; i--) w += strcspn(w, "|") + 1;
        buf_put(out, w, strcspn(w, "|"));
        break;
    }
    }
}

/* ---- the command line ---- */

struct cursor { const struct opt_table *t; int argc, at; char **argv; void *fields; struct parsed *out; };

static int take(struct cursor *c, const struct opt *o, const char *shown, const char *value, struct err *err)
{
    if (o->kind == OPT_FLAG) {
        if (value) return err_set(err, ERR_ARG, "%s takes no value", shown);
    } else if (!value) {
        if (c->at == c->argc) return err_set(err, ERR_ARG, "%s needs a value (%s)", shown, o->value);
        value = c->argv[c->at++];
    }
    size_t i = (size_t)(o - c->t->row);
    c->out->given[i / 64] |= (uint64_t)1 << i % 64;
    return args_set(o, shown, value, c->fields, err);
}

static int take_long(struct cursor *c, const char *word, struct err *err)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    char shown[64];
    if (n + 3 > sizeof shown) return err_set(err, ERR_ARG, "unknown option %.40s...", word);
    memcpy(shown, word, n + 2);
    shown[n + 2] = 0;
    const struct opt *o = args_find(c->t, name, n);
    if (o) return take(c, o, shown, equals ? equals + 1 : NULL, err);
    if (strcmp(shown, "--help")) return unknown(c->t, shown + 2, shown, err);
    c->out->help = true;
    return 0;
}

static int take_letters(struct cursor *c, const char *word, struct err *err)
{
    for (const char *p = word + 1; *p; p++) {
        char shown[3] = { '-', *p, 0 };
        const struct opt *o = NULL;
        for (size_t i = 0; i < c->t->n; i++)
            if (c->t->row[i].letter == *p) o = &c->t->row[i];
        if (!o && *p == 'h') {
            c->out->help = true;
            continue;
        }
        if (!o) return unknown(c->t, word + 1, word, err);
        bool flag = o->kind == OPT_FLAG;
        int rc = take(c, o, shown, !flag && p[1] ? p + 1 : NULL, err);
        if (rc < 0 || !flag) return rc;
    }
    return 0;
}

int args_parse(const struct opt_table *t, int argc, char **argv, void *fields, struct parsed *out, struct err *err)
{
    *out = (struct parsed){ 0 };
    struct cursor c = { t, argc, 1, argv, fields, out };
    bool options = true;
    while (c.at < argc) {
        const char *word = argv[c.at++];
        int rc = 0;
        if (options && !strcmp(word, "--"))
            options = false;
        else if (options && word[0] == '-' && word[1] == '-')
            rc = take_long(&c, word, err);
        else if (options && word[0] == '-' && word[1])
            rc = take_letters(&c, word, err);
        else if (out->n_operands == OPT_MAX_OPERANDS)
            rc = err_set(err, ERR_ARG, "too many arguments at \"%.40s\"; put text that has spaces into quotes", word);
        else
            out->operand[out->n_operands++] = word;
        if (rc < 0) return rc;
    }
    return 0;
}

/* ---- help ---- */

void args_help(const struct opt_table *t, struct buf *out)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct opt *o = &t->row[i];
        struct buf left = { 0 };
        if (o->letter)
            buf_printf(&left, "  -%c, --%s", o->letter, o->name);
        else
            buf_printf(&left, "      --%s", o->name);
        if (o->kind != OPT_FLAG) buf_printf(&left, " %s", o->value);
        buf_printf(out, left.len < 30 ? "%-30s" : "%s\n                              ", left.data ? left.data : "");
        buf_puts(out, o->help);
        if (o->fallback) buf_printf(out, " (default: %s)", o->fallback);
        buf_putc(out, '\n');
        buf_release(&left);
    }
    buf_puts(out, "  -h, --help                  show this help\n");
}

static void put_quoted(const char *s, struct buf *out)
{
    bool plain = *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@,")];
    buf_printf(out, plain ? "%s" : "'%s'", s);
}

void args_example(const struct opt_table *t, struct buf *out)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct opt *o = &t->row[i];
        if (!o->example) continue;
        buf_printf(out, " --%s", o->name);
        if (o->kind == OPT_FLAG) continue;
        buf_putc(out, ' ');
        put_quoted(o->example, out);
    }
}
