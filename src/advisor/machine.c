#include "advisor/machine.h"

#include <stdlib.h>
#include <string.h>

static const struct chip chip[] = {
#define CHIP(name, kind, gb_s, memory, tops, share, watts) { name, MACHINE_##kind, gb_s, memory, tops, share, watts },
#include "advisor/chips.def"
#undef CHIP
};
enum { N_CHIP = sizeof chip / sizeof *chip };

const struct chip *chip_at(size_t i) { return i < N_CHIP ? &chip[i] : NULL; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z'); }

/* How many characters of text spell the name, whatever its case and spaces; 0: it does not begin so. */
static size_t spells(const char *text, const char *name)
{
    const char *t = text;
    for (const char *n = name; *n; n++) {
        if (*n == ' ') continue;
        while (*t == ' ') t++;
        if (lower(*t) != lower(*n)) return 0;
        t++;
    }
    return is_word(*t) && !is_digit(*t) ? 0 : is_digit(*t) && is_digit(t[-1]) ? 0 : (size_t)(t - text);
}

static const struct chip *find_chip(const char *text, size_t *n)
{
    const struct chip *best = NULL;
    *n = 0;
    for (size_t i = 0; i < N_CHIP; i++) {
        size_t k = spells(text, chip[i].name);
        if (k <= *n) continue;
        *n = k;
        best = &chip[i];
    }
    return best;
}

/* "64GB", "64 GB", "64G", "0.5TB" as bytes; false when it is no such thing.  *at moves behind it. */
static bool read_memory(const char **at, double *gb)
{
    char *end;
    const char *t = *at;
    while (*t == ' ' || *t == ',' || *t == '(') t++;
    if (!is_digit(*t)) return false;
    double v = strtod(t, &end);
    while (*end == ' ') end++;
    char unit = lower(*end);
    if (unit != 'g' && unit != 't') return false;
    end++;
    if (lower(*end) == 'i') end++;
    if (lower(*end) == 'b') end++;
    while (*end == ' ' || *end == ')') end++;
    *gb = unit == 't' ? v * 1024 : v;
    *at = end;
    return v > 0 && v <= 1 << 20;
}

static int no_chip(const char *text, struct err *err)
{
    struct buf b = { 0 };
    size_t shown = 0, word = 0;
    while (word < 3 && text[word] && text[word] != ' ') word++;
    for (size_t i = 0; i < N_CHIP && shown < 12; i++) {
        size_t k = 0;
        while (k < word && lower(chip[i].name[k]) == lower(text[k])) k++;
        if (k < word || !word) continue;
        buf_printf(&b, "%s%s", shown++ ? ", " : "", chip[i].name);
    }
    int rc = err_set(err, ERR_ARG, "\"%.60s\": no such chip is known%s%s; `hearth fit --machines` lists all", text,
                     shown ? "; there are " : "", b.data ? b.data : "");
    buf_release(&b);
    return rc;
}

static uint64_t bytes_of(double gb) { return (uint64_t)(gb * 1073741824.0); }

/* What the system leaves: on Apple's the GPU's usual limit, which can be raised to all but 8 GB (or an eighth). */
static void set_room(struct machine *m)
{
    const uint64_t G = (uint64_t)1 << 30, total = m->memory;
    uint64_t system = total / 8 < 8 * G ? total / 8 : 8 * G;
    if (m->kind == MACHINE_GPU) system = total / 20 < G ? total / 20 : G;
    m->room = m->room_raised = total - system;
    if (m->kind == MACHINE_APPLE) m->room = total >= 36 * G ? total / 4 * 3 : total / 3 * 2;
}

int machine_parse(struct machine *out, const char *text, struct err *err)
{
    size_t n;
    double gb = 0, ram = 0;
    while (*text == ' ') text++;
    if (!strncmp(text, "Apple ", 6) || !strncmp(text, "apple ", 6)) text += 6;
    const struct chip *c = find_chip(text, &n);
    if (!c) return no_chip(text, err);
    const char *at = text + n;
    bool own = read_memory(&at, &gb);
    while (*at == ' ') at++;
    bool beside = *at == '+' && c->kind == MACHINE_GPU;
    if (beside) at++;
    if (beside && !read_memory(&at, &ram)) return err_set(err, ERR_ARG, "\"%.60s\": behind + stands memory, as in 64GB", text);
    while (*at == ' ') at++;
    if (*at) return err_set(err, ERR_ARG, "\"%.60s\": \"%.30s\" behind %s is not understood; memory is written as 64GB", text, at,
                            c->name);
    if (!own && c->kind != MACHINE_GPU)
        return err_set(err, ERR_ARG, "\"%.60s\": say how much memory it has, as in \"%s %.0fGB\"", text, c->name, c->memory_gb);
    if (!own) gb = c->memory_gb;
    if (gb > c->memory_gb)
        return err_set(err, ERR_ARG, "\"%.60s\": %s has at most %.0f GB, not %.0f", text, c->name, c->memory_gb, gb);
    *out = (struct machine){ .kind = c->kind, .memory = bytes_of(gb), .read = c->gb_s * 1e9, .share = c->share,
                             .ops = c->tops * 1e12, .watts = c->watts };
    if (ram > 0) out->ram = bytes_of(ram) / 8 * 7;
    set_room(out);
    fmt_into(out->name, sizeof out->name, "%s%s %.0f GB", c->kind == MACHINE_APPLE ? "Apple " : "", c->name, gb);
    if (ram > 0) fmt_into(out->name, sizeof out->name, "%s %.0f GB + %.0f GB", c->name, gb, ram);
    return 0;
}

bool machine_raise(const struct machine *m, uint64_t need, struct buf *out)
{
    if (m->kind != MACHINE_APPLE || need <= m->room || need > m->room_raised) return false;
    uint64_t mb = (need >> 20) + 1024, most = m->room_raised >> 20;
    buf_printf(out, "sudo sysctl iogpu.wired_limit_mb=%llu", (unsigned long long)(mb < most ? mb : most));
    return true;
}
