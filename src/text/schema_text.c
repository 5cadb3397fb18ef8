/* schema_text.c - strings.
 *
 * JSON can spell a character in several ways.  Where a string is free all of them may be written.  Where it must match a
 * pattern, differ from names or have one of the formats, each character has one spelling; automata over spelled text can then
 * be combined like those over the text itself. */
#include <string.h>

#include "text/schema.h"

/* One of these characters: raw, or behind a backslash where JSON wants it.  Of large sets only the control characters that
 * have short names are taken. */
const struct gnode *schema_spell(struct gram *g, struct cp_set *set)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    struct cp_set raw = { 0 }, after = { 0 };
    const struct gnode *kid[40];
    size_t n = 0;
    unsigned controls = 0, control = 0;
    cp_normalise(set);
    bool in[128] = { false };
    for (uint32_t i = 0; i < set->n; i++) {
        for (uint32_t c = set->r[i].lo; c <= set->r[i].hi && c < 128; c++) in[c] = true;
        if (set->r[i].hi > 127) cp_add(g, &raw, set->r[i].lo > 128 ? set->r[i].lo : 128, set->r[i].hi);
    }
    bool large = set->n && (raw.n || set->r[set->n - 1].hi - set->r[0].lo > 40);
    for (uint32_t c = 0; c < 128; c++) {
        if (!in[c]) continue;
        const char *p = shorts;
        while (*p && (uint32_t)*p != c) p += 2;
        if (*p) cp_add(g, &after, (uint32_t)p[1], (uint32_t)p[1]);
        else if (c >= 0x20) cp_add(g, &raw, c, c);
        else controls |= 1u << (control = c);
    }
    if (raw.n) kid[n++] = gram_set(g, &raw);
    if (after.n) kid[n++] = GRAM_SEQ(g, gram_text(g, "\\"), gram_set(g, &after));
    for (control = 0; control < 0x20 && !(large && n); control++) {
        char text[8];
        if (!(controls >> control & 1)) continue;
        fmt_into(text, sizeof text, "\\u%04x", control);
        kid[n++] = gram_text(g, text);
    }
    cp_release(&raw);
    cp_release(&after);
    cp_release(set);
    return gram_alt(g, kid, n);
}

static const struct gnode *set_of(struct gram *g, const char *ranges)
{
    struct cp_set s = { 0 };
    for (; *ranges; ranges += 2) cp_add(g, &s, (uint8_t)ranges[0], (uint8_t)ranges[1]);
    return gram_set(g, &s);
}

/* Rules that every schema uses. */
void schema_basics(struct schema *s)
{
    struct gram *g = &s->g;
    struct cp_set raw = { 0 };
    cp_add(g, &raw, 0x20, 0x21);
    cp_add(g, &raw, 0x23, 0x5b);
    cp_add(g, &raw, 0x5d, GRAM_LAST_CHAR);
    const struct gnode *hex = set_of(g, "09afAF"), *hex3 = gram_rep(g, hex, 3, 3), *hex2 = gram_rep(g, hex, 2, 2);
    const struct gnode *d = set_of(g, "ddDD"), *u = gram_text(g, "u");
    const struct gnode *escape = GRAM_ALT(g, set_of(g, "\"\"\\\\//bbffnnrrtt"), GRAM_SEQ(g, u, set_of(g, "09acefACEF"), hex3),
                                          GRAM_SEQ(g, u, d, set_of(g, "07"), hex2),
                                          GRAM_SEQ(g, u, d, set_of(g, "89abAB"), hex2, gram_text(g, "\\u"), d, set_of(g,
                                              "cfCF"), hex2));
    s->character = GRAM_ALT(g, gram_set(g, &raw), GRAM_SEQ(g, gram_text(g, "\\"), escape));
    const struct gnode *quote = gram_text(g, "\""), *digit = set_of(g, "09"), *minus = gram_rep(g, gram_text(g, "-"), 0, 1);
    s->string = GRAM_SEQ(g, quote, gram_rep(g, s->character, 0, GRAM_INF), quote);
    const struct gnode *whole = GRAM_ALT(g, gram_text(g, "0"), GRAM_SEQ(g, set_of(g, "19"), gram_rep(g, digit, 0, 14)));
    s->integer = GRAM_SEQ(g, minus, whole);
    const struct gnode *fraction = GRAM_SEQ(g, gram_text(g, "."), gram_rep(g, digit, 1, 15));
    const struct gnode *power = GRAM_SEQ(g, set_of(g, "eeEE"), gram_rep(g, set_of(g, "++--"), 0, 1), gram_rep(g, digit, 1, 2));
    s->number = GRAM_SEQ(g, minus, whole, gram_rep(g, fraction, 0, 1), gram_rep(g, power, 0, 1));
    const struct gnode *indent = GRAM_SEQ(g, gram_text(g, "\n"), gram_rep(g, set_of(g, "  \t\t"), 0, 20));
    s->ws = gram_rep(g, GRAM_ALT(g, gram_text(g, " "), indent), 0, 1);
}

/* ---- formats ---- */

#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define YEAR "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
#define DATE "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|" \
             "02-(?:0[1-9]|1[0-9]|2[0-8]))|[0-9]{2}(?:0[48]|[2468][048]|[13579][26])-02-29)"
#define TIME "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define H16 "[0-9a-fA-F]{1,4}"
#define LABEL "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?"
#define HOST LABEL "(?:\\." LABEL "){0,3}"
#define SEGMENT "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})"

static const struct { const char *name, *pattern; } format[] = {
    { "date", DATE }, { "time", TIME }, { "date-time", DATE "T" TIME },
    { "duration", "P(?:[0-9]{1,4}W|(?:[0-9]{1,4}Y(?:[0-9]{1,4}M(?:[0-9]{1,4}D)?)?|[0-9]{1,4}M(?:[0-9]{1,4}D)?|[0-9]{1,4}D)"
                  "(?:T(?:[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S))?"
                  "|T(?:[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S))" },
    { "uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}" },
    { "ipv4", OCTET "\\." OCTET "\\." OCTET "\\." OCTET },
    { "ipv6", "(?:(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,7}:|(?:" H16 ":){1,6}:" H16 "|(?:" H16 ":){1,5}(?::" H16 "){2}|(?:" H16
              ":){1,4}(?::" H16 "){3}|(?:" H16 ":){1,3}(?::" H16 "){4}|(?:" H16 ":){1,2}(?::" H16 "){5}|" H16 ":(?::" H16
              "){6}|:(?::" H16 "){1,7}|::)" },
    { "hostname", HOST },
    { "email", "[a-zA-Z0-9_%+-]{1,32}(?:\\.[a-zA-Z0-9_%+-]{1,16}){0,2}@" LABEL "(?:\\." LABEL "){1,3}" },
    { "uri", "[a-z][a-z0-9+.-]{1,15}://" HOST "(?::[1-9][0-9]{0,3})?(?:/" SEGMENT "*)*(?:\\?" SEGMENT "*)?(?:#" SEGMENT "*)?" },
    { "uri-reference", "(?:[a-z][a-z0-9+.-]{1,15}://" HOST ")?(?:/" SEGMENT "*)+(?:\\?" SEGMENT "*)?(?:#" SEGMENT "*)?" },
    { "iri", "[a-z][a-z0-9+.-]{1,15}://" HOST "(?:/" SEGMENT "*)*" },
    { "json-pointer", "(?:/(?:[^/~]|~[01])*)*" },
};

const struct gnode *schema_format(struct schema *s, const char *name, bool plain)
{
    const struct regex_use use = { .spell = plain ? NULL : schema_spell };
    for (size_t i = 0; i < sizeof format / sizeof *format; i++)
        if (!strcmp(name, format[i].name)) return gram_regex(&s->g, format[i].pattern, strlen(format[i].pattern), &use);
    return NULL;
}

bool schema_format_is_number(const char *name)
{
    static const char *const row[] = { "int32", "int64", "float", "double" };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (!strcmp(name, row[i])) return true;
    return false;
}

/* ---- constraints ---- */

static const struct gnode *both(struct schema *s, const struct gnode *x, const struct gnode *y)
{
    return x ? gram_both(&s->g, x, y, false) : y;
}

/* A pattern of the schema; errors say where it is. */
const struct gnode *schema_pattern(struct schema *s, const char *pattern, size_t n, const struct regex_use *use, const char *path)
{
    struct gram *g = &s->g;
    if (g->rc) return &gram_failure;
    const struct gnode *x = gram_regex(g, pattern, n, use);
    if (!g->rc) return x;
    struct err why = g->err ? *g->err : (struct err){ 0 };
    const char *text = strncmp(why.msg, "schema: ", 8) ? why.msg : why.msg + 8;
    err_set(g->err, g->rc, "schema: %.150s: %.300s", path, text);
    return &gram_failure;
}

const struct gnode *schema_characters(struct schema *s, const struct conj *c, bool plain)
{
    struct gram *g = &s->g;
    const struct regex_use search = { .search = true, .spell = plain ? NULL : schema_spell };
    const struct gnode *x = NULL;
    uint32_t min = conj_count(s, c, "minLength", true, 0), max = conj_count(s, c, "maxLength", false, GRAM_INF);
    for (size_t i = 0; i < c->n && !g->rc; i++) {
        size_t n;
        const char *p = json_str(json_get(c->p[i].j, "pattern"), &n), *f = json_str(json_get(c->p[i].j, "format"), NULL);
        const char *at = schema_path(s, c->p[i].path, "pattern");
        const struct gnode *y = p ? schema_pattern(s, p, n, &search, at) : NULL;
        if (g->rc) return &gram_failure;
        if (y) x = both(s, x, y);
        y = f ? schema_format(s, f, plain) : NULL;
        if (y) x = both(s, x, y);
        else if (f && !schema_format_is_number(f) && strcmp(f, "password") != 0)
            schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, c->p[i].path, "format"), "%.60s is not known", f);
    }
    if (min > max) return &gram_failure;
    if (x && !min && max == GRAM_INF) return x;
    struct cp_set any = { 0 };
    cp_add(g, &any, 0, GRAM_LAST_CHAR);
    const struct gnode *one = x || plain ? (plain ? gram_set(g, &any) : schema_spell(g, &any)) : s->character;
    cp_release(&any);
    const struct gnode *lengths = gram_rep(g, one, min, max);
    return x ? both(s, x, lengths) : lengths;
}

const struct gnode *schema_string(struct schema *s, const struct conj *c)
{
    struct gram *g = &s->g;
    const struct gnode *x = schema_characters(s, c, false), *quote = gram_text(g, "\"");
    return GRAM_SEQ(g, quote, x, quote);
}

const struct gnode *schema_key(struct schema *s, const char *name)
{
    struct buf b = { 0 };
    json_write_str(name, strlen(name), &b);
    buf_putc(&b, ':');
    if (b.bad) gram_nomem(&s->g);
    const struct gnode *x = b.bad ? &gram_failure : gram_bytes(&s->g, b.data, b.len);
    buf_release(&b);
    return GRAM_SEQ(&s->g, x, gram_rep(&s->g, gram_text(&s->g, " "), 0, 1));
}
