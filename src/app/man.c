#include "app/man.h"

#include <string.h>

#include "base/env.h"

/* Text as troff takes it literally. */
static void put(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] == '\\') buf_puts(out, "\\e");
        else if (s[i] == '-') buf_puts(out, "\\-");
        else buf_putc(out, s[i]);
}

static void put_str(const char *s, struct buf *out) { put(s, strlen(s), out); }

/* A line that begins with . or ' would be a request. */
static void put_line(const char *s, size_t n, struct buf *out)
{
    if (n && (*s == '.' || *s == '\'')) buf_puts(out, "\\&");
    put(s, n, out);
    buf_putc(out, '\n');
}

/* Paragraphs are filled; lines that begin with two spaces keep their form. */
static void put_text(const char *s, struct buf *out)
{
    bool block = false;
    for (const char *end; *s; s = *end ? end + 1 : end) {
        end = s + strcspn(s, "\n");
        bool keep = s[0] == ' ' && s[1] == ' ';
        if (keep != block) buf_puts(out, keep ? ".PP\n.nf\n" : ".fi\n.PP\n");
        block = keep;
        if (end == s) buf_puts(out, ".PP\n");
        else put_line(s, (size_t)(end - s), out);
    }
    if (block) buf_puts(out, ".fi\n");
}

static void put_head(const char *name, const char *summary, struct buf *out)
{
    buf_puts(out, ".\\\" made by `hearth help --man`\n.TH ");
    for (const char *p = name; *p; p++) buf_putc(out, *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p);
    buf_puts(out, " 1 \"\" \"hearth " HEARTH_VERSION "\" \"Hearth\"\n.SH NAME\n");
    put_str(name, out);
    buf_puts(out, " \\- ");
    put_str(summary, out);
    buf_puts(out, "\n");
}

static void put_options(const struct opt_table *t, struct buf *out)
{
    buf_puts(out, ".SH OPTIONS\n");
    for (size_t i = 0; i < t->n; i++) {
        const struct opt *o = &t->row[i];
        buf_puts(out, ".TP\n");
        if (o->letter) buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
        buf_puts(out, "\\fB\\-\\-");
        put_str(o->name, out);
        buf_puts(out, "\\fR");
        if (o->kind != OPT_FLAG) {
            buf_puts(out, " \\fI");
            put_str(o->value, out);
            buf_puts(out, "\\fR");
        }
        buf_putc(out, '\n');
        put_line(o->help, strlen(o->help), out);
        if (!o->fallback) continue;
        buf_puts(out, "(default: ");
        put_str(o->fallback, out);
        buf_puts(out, ")\n");
    }
    buf_puts(out, ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nshow a short help\n");
}

static void put_exit(struct buf *out)
{
    buf_puts(out, ".SH \"EXIT STATUS\"\n");
    for (size_t i = 0; command_exit_codes[i].code; i++) {
        buf_printf(out, ".TP\n.B %s\n", command_exit_codes[i].code);
        put_line(command_exit_codes[i].meaning, strlen(command_exit_codes[i].meaning), out);
    }
}

static void put_environment(struct buf *out)
{
    buf_puts(out, ".SH ENVIRONMENT\n");
    for (int i = 0; i < N_ENV; i++) {
        const struct env_info *v = env_info((enum env_var)i);
        buf_printf(out, ".TP\n.B %s\n", v->name);
        put_line(v->help, strlen(v->help), out);
    }
}

static void command_page(const struct command *c, struct buf *out)
{
    struct buf name = { 0 };
    buf_printf(&name, "hearth-%s", c->name);
    put_head(name.data ? name.data : "", c->summary, out);
    buf_release(&name);
    buf_puts(out, ".SH SYNOPSIS\n.B hearth ");
    put_str(c->name, out);
    buf_puts(out, "\n");
    if (c->options.n) buf_puts(out, "[OPTIONS]\n");
    if (*c->operands) put_line(c->operands, strlen(c->operands), out);
    if (c->about) {
        buf_puts(out, ".SH DESCRIPTION\n");
        put_text(c->about, out);
    }
    put_options(&c->options, out);
    if (c->example || c->more) {
        struct buf lines = { 0 };
        command_examples(c, &lines);
        buf_puts(out, ".SH EXAMPLES\n");
        put_text(lines.data ? lines.data : "", out);
        if (lines.bad) out->bad = true;
        buf_release(&lines);
    }
    put_exit(out);
    buf_puts(out, ".SH \"SEE ALSO\"\n.BR hearth (1)\n");
}

static void program_page(struct buf *out)
{
    const struct command *c;
    put_head("hearth", "run large language models at home", out);
    buf_puts(out, ".SH SYNOPSIS\n.B hearth\n.I COMMAND\n[OPTIONS] ...\n.SH DESCRIPTION\n"
                  "Hearth is an engine, a command line and a store of models in one program.\n.SH COMMANDS\n");
    for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
        if (c->hidden) continue;
        buf_puts(out, ".TP\n.BR hearth\\-");
        put_str(c->name, out);
        buf_puts(out, " (1)\n");
        put_line(c->summary, strlen(c->summary), out);
    }
    put_exit(out);
    put_environment(out);
}

void man_page(const struct command *c, struct buf *out)
{
    if (c) command_page(c, out);
    else program_page(out);
}
