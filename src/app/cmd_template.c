#include <string.h>
#include <time.h>

#include "app/command.h"
#include "app/input.h"
#include "app/run_model.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "format/hf.h"
#include "text/chat.h"

enum { MAX_SOURCE = 4 << 20 };

struct fields { const char *file, *now, *system; bool jsonl, tokens, source; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "file", NULL, 'f', OPT_STR, "T.jinja", "the model's", "the template; then no model is needed", NULL, AT(file), 0, 0 },
    { "jsonl", NULL, 0, OPT_FLAG, NULL, NULL, "read objects of variables, one a line; answer each with a line", NULL,
      AT(jsonl), 0, 0 },
    { "now", NULL, 0, OPT_STR, "TIME", "the clock", "local time that the template sees", "2026-11-22T10:30:00", AT(now), 0, 0 },
    { "tokens", NULL, 0, OPT_FLAG, NULL, NULL, "the prompt's tokens too (needs MODEL)", NULL, AT(tokens), 0, 0 },
    { "system", NULL, 0, OPT_STR, "TEXT", NULL, "a system message before TEXT", NULL, AT(system), 0, 0 },
    { "source", NULL, 0, OPT_FLAG, NULL, NULL, "print the template itself", NULL, AT(source), 0, 0 },
};

struct job {
    const struct fields *f;
    struct gguf *g;
    struct tokenizer *t;               /* NULL: no model */
    const char *source;
    size_t n_source;
    char *owned;                       /* the file's text */
    struct run_model from;             /* what came with a model of the store */
    struct template *tp;
    struct template_limits limits;
    struct buf text;
    struct ids ids;
};

/* ---- opening ---- */

/* "2026-11-22T10:30:00", also with a blank for the T and without the seconds. */
static int parse_time(const char *s, int64_t *out, struct err *err)
{
    int part[6] = { 0 }, n = 0;
    const char *p = s;
    for (; n < 6; n++) {
        const char *from = p;
        while (*p >= '0' && *p <= '9' && p - from < 4) part[n] = part[n] * 10 + (*p++ - '0');
        if (p == from || !*p) break;
        if (*p != "--T::"[n] && !(n == 2 && *p == ' ')) break;
        p++;
    }
    struct tm tm = { .tm_year = part[0] - 1900, .tm_mon = part[1] - 1, .tm_mday = part[2], .tm_hour = part[3],
                     .tm_min = part[4], .tm_sec = part[5], .tm_isdst = -1 };
    bool sound = !*p && n >= 4 && part[0] > 1970 && part[1] >= 1 && part[1] <= 12 && part[2] >= 1 && part[2] <= 31 &&
                 part[3] < 24 && part[4] < 60 && part[5] < 60;
    *out = sound ? (int64_t)mktime(&tm) : -1;
    if (*out > 0) return 0;
    return err_set(err, ERR_ARG, "--now %.40s: not a time after 1970 such as 2026-11-22T10:30:00", s);
}

static int open_model(struct job *j, const char *path, struct err *err)
{
    const struct run_get how = { .offline = true, .preset = "none" };
    int rc = run_model_get(&j->from, path, &how, err);
    if (rc == 0) rc = model_file_open(&j->g, j->from.path, err);
    return rc < 0 ? rc : tokenizer_open(&j->t, j->g, err);
}

static int find_source(struct job *j, struct err *err)
{
    struct gguf_str s;
    if (j->f->file) {
        int rc = os_read_file(j->f->file, MAX_SOURCE, &j->owned, &j->n_source, err);
        j->source = j->owned;
        return rc;
    }
    struct hearth_model_options came = { .threads = 0 };
    run_model_template(&j->from, &came);
    j->source = came.chat_template;
    if (!j->source && gguf_get_str(j->g, "tokenizer.chat_template", &s) && s.n) {
        j->source = s.s;
        j->n_source = s.n;
        return 0;
    }
    if (!j->source) j->source = came.spare_template;
    if (j->source) {
        j->n_source = strlen(j->source);
        return 0;
    }
    int rc = chat_default_template(j->t, &j->source, err);
    if (rc < 0) return err_set(err, rc, "%s: has no chat template; --file names one", gguf_path(j->g));
    j->n_source = strlen(j->source);
    return 0;
}

/* ---- rendering ---- */

static bool put_token(struct json *vars, const char *name, const struct tokenizer *t, int32_t id)
{
    size_t n = 0;
    if (!t || json_get(vars, name)) return true;
    const char *text = id < 0 ? NULL : tokenizer_text(t, id, &n);
    return json_put(vars, name, json_new_str(text ? text : "", text ? n : 0));
}

static bool copy_text(struct json *to, const struct json *from, const char *name)
{
    const struct json *v = json_get(from, name);
    return !json_str(v, NULL) || json_put(to, name, json_share(v));
}

/* Renders into j->text, and into j->ids when tokens are wanted: then with barriers, which are taken out again. */
static int render(struct job *j, struct json *vars, struct err *err)
{
    buf_clear(&j->text);
    j->ids.n = 0;
    if (!put_token(vars, "bos_token", j->t, j->t ? tokenizer_bos(j->t) : -1) ||
        !put_token(vars, "eos_token", j->t, j->t ? tokenizer_eos(j->t) : -1))
        return err_set(err, ERR_NOMEM, "out of memory");
    if (!j->f->tokens) return template_render(j->tp, vars, &j->limits, &j->text, err);
    struct chat_request r = { .template = j->tp, .tokenizer = j->t, .limits = j->limits };
    struct json *trusted = json_new_object();
    struct buf marked = { 0 };
    int rc = trusted && copy_text(trusted, vars, "bos_token") && copy_text(trusted, vars, "eos_token")
                 ? chat_render(&r, vars, trusted, &marked, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0) rc = chat_encode(j->t, &marked, &j->ids, err);
    chat_plain(&marked, &j->text);
    if (rc == 0 && j->text.bad) rc = err_set(err, ERR_NOMEM, "out of memory");
    json_free(trusted);
    buf_release(&marked);
    return rc;
}

static void put_ids(const struct ids *v, const char *between, struct buf *out)
{
    for (size_t i = 0; i < v->n; i++) buf_printf(out, "%s%d", i ? between : "", v->id[i]);
}

/* {"output": ...}, {"output": ..., "tokens": [...]} or {"error": ...}: everything but out of memory is the line's own. */
static int answer_line(struct job *j, const char *line, size_t n, const struct err *broken, struct err *err)
{
    struct json *vars = NULL;
    struct err e = { 0 };
    int rc = broken->code;
    if (rc < 0) e = *broken;
    else if ((rc = json_parse(&vars, line, n, &e)) == 0 && json_type(vars) != JSON_OBJECT)
        rc = err_set(&e, ERR_FORMAT, "the line is no JSON object of variables");
    if (rc == 0) rc = render(j, vars, &e);
    json_free(vars);
    struct buf b = { 0 };
    buf_puts(&b, rc < 0 ? "{\"error\": " : "{\"output\": ");
    if (rc < 0) json_write_str(e.msg, strlen(e.msg), &b);
    else json_write_str(j->text.data ? j->text.data : "", j->text.len, &b);
    if (rc == 0 && j->f->tokens) {
        buf_puts(&b, ", \"tokens\": [");
        put_ids(&j->ids, ", ", &b);
        buf_putc(&b, ']');
    }
    buf_puts(&b, "}\n");
    return term_put(&b) ? 0 : err_set(err, ERR_IO, "cannot write the answer");
}

static int answer_lines(struct job *j, const struct err *broken, struct err *err)
{
    struct input_lines in = { 0 };
    const char *line;
    size_t n;
    bool more = true;
    int rc = 0;
    while (rc == 0 && (rc = input_line(&in, &line, &n, &more, err)) == 0 && more) rc = answer_line(j, line, n, broken, err);
    buf_release(&in.data);
    return rc;
}

static bool push_message(struct json *list, const char *role, const char *text)
{
    struct json *m = json_new_object();
    bool ok = m && json_put(m, "role", json_new_str(role, strlen(role))) &&
              json_put(m, "content", json_new_str(text, strlen(text)));
    return json_push(list, m) && ok;
}

/* What transformers gives to a template beside the messages (which are taken). */
static int wrap_messages(struct json *list, struct json **out, struct err *err)
{
    struct json *vars = json_new_object();
    bool ok = json_put(vars, "messages", list);
    ok = ok && json_put(vars, "tools", json_new_null()) && json_put(vars, "documents", json_new_null()) &&
         json_put(vars, "add_generation_prompt", json_new_bool(true));
    *out = ok ? vars : NULL;
    if (!ok) json_free(vars);
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory, or the text is not UTF-8");
}

/* The variables: TEXT as a message, or an object or a list of messages from standard input. */
static int read_variables(const struct job *j, const char *text, struct json **out, struct err *err)
{
    *out = NULL;
    if (text) {
        struct json *list = json_new_array();
        if (list && (!j->f->system || push_message(list, "system", j->f->system)) && push_message(list, "user", text))
            return wrap_messages(list, out, err);
        json_free(list);
        return err_set(err, ERR_NOMEM, "out of memory, or the text is not UTF-8");
    }
    struct buf in = { 0 };
    struct json *v = NULL;
    int rc = input_all(&in, err);
    if (rc == 0 && (rc = json_parse(&v, in.data ? in.data : "", in.len, err)) < 0)
        rc = err_prefix(err, rc, "standard input: ");
    buf_release(&in);
    if (rc < 0) return rc;
    if (json_type(v) == JSON_ARRAY) return wrap_messages(v, out, err);
    *out = v;
    if (json_type(v) == JSON_OBJECT) return 0;
    json_free(v);
    *out = NULL;
    return err_set(err, ERR_FORMAT, "standard input: expected an object of variables, or a list of messages");
}

static int print_one(struct job *j, const char *text, struct err *err)
{
    struct json *vars;
    int rc = read_variables(j, text, &vars, err);
    if (rc == 0) rc = render(j, vars, err);
    json_free(vars);
    if (rc < 0) return rc;
    struct buf b = { 0 };
    bool open = j->text.len && j->text.data[j->text.len - 1] != '\n';
    bool ok = term_text(j->text.data ? j->text.data : "", j->text.len);
    if (open && (j->f->tokens || term_out_tty())) buf_putc(&b, '\n');
    if (j->f->tokens) {
        put_ids(&j->ids, " ", &b);
        buf_putc(&b, '\n');
    }
    return term_put(&b) && ok ? 0 : err_set(err, ERR_IO, "cannot write the prompt");
}

static int work(struct job *j, const struct parsed *p, struct err *err)
{
    struct err broken = { 0 };
    const char *text = p->n_operands == 2 ? p->operand[1] : NULL;
    int rc = j->f->now ? parse_time(j->f->now, &j->limits.now, err) : 0;
    if (rc == 0 && p->n_operands) rc = open_model(j, p->operand[0], err);
    if (rc == 0) rc = find_source(j, err);
    if (rc < 0) return rc;
    if (j->f->source) return term_text(j->source, j->n_source) ? 0 : err_set(err, ERR_IO, "cannot write the template");
    rc = template_compile(&j->tp, j->source, j->n_source, &broken);
    if (j->f->jsonl) return answer_lines(j, &broken, err);
    if (rc < 0) *err = broken;
    return rc < 0 ? rc : print_one(j, text, err);
}

static int check(const struct command *self, const struct fields *f, const struct parsed *p)
{
    bool model = p->n_operands > 0, text = p->n_operands == 2;
    if (!model && !f->file) return term_usage(self->name, "name a MODEL, or a template with --file");
    if (f->tokens && !model) return term_usage(self->name, "--tokens needs a MODEL, whose tokenizer makes them");
    if (f->jsonl && text) return term_usage(self->name, "--jsonl reads standard input and takes no TEXT");
    if (f->jsonl && f->source) return term_usage(self->name, "choose one of --jsonl and --source");
    if (f->system && !text) return term_usage(self->name, "--system needs a TEXT");
    return EXIT_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int code;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 2 }, &f, &p, &code)) return code;
    if ((code = check(self, &f, &p)) != EXIT_OK) return code;
    struct job j = { .f = &f };
    struct err e = { 0 };
    int rc = work(&j, &p, &e);
    if (rc == ERR_CANCELLED)
        code = 128 + signals_pending();
    else if (rc < 0)
        code = term_closed() ? term_write_failed() : term_fail("%s", e.msg);
    template_free(j.tp);
    tokenizer_close(j.t);
    gguf_close(j.g);
    mem_free(j.owned);
    run_model_release(&j.from);
    buf_release(&j.text);
    ids_release(&j.ids);
    return code;
}

const struct command command_row_template = {
    .name = "template",
    .operands = "[MODEL] [TEXT]",
    .summary = "show what a chat template makes of a conversation",
    .about = "Prints the prompt of TEXT, or of what standard input holds: a JSON object with all variables of the template, or\n"
             "a list of messages.  With --jsonl each line of standard input is such an object, and is answered by a line\n"
             "{\"output\": ...} or {\"error\": ...}.\n",
    .example = "model.gguf 'Why is the sky blue?'",
    .more = (const char *const[]){ "hearth template model.gguf --tokens < messages.json",
                                   "hearth template --file chat.jinja --jsonl < conversations.jsonl", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
