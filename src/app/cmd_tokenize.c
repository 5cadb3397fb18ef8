#include <string.h>

#include "app/command.h"
#include "app/input.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/json.h"
#include "format/hf.h"
#include "text/tokenizer.h"

struct fields { bool pieces, jsonl, special, bos, count; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "pieces", NULL, 'p', OPT_FLAG, NULL, NULL, "a table of ids and their texts", "", AT(pieces), 0, 0 },
    { "count", NULL, 0, OPT_FLAG, NULL, NULL, "only the number of tokens", NULL, AT(count), 0, 0 },
    { "bos", NULL, 0, OPT_FLAG, NULL, NULL, "add the tokens that the model wants at the beginning and end", "", AT(bos), 0, 0 },
    { "special", NULL, 0, OPT_FLAG, NULL, NULL, "text that spells a control token becomes that token", NULL, AT(special), 0, 0 },
    { "jsonl", NULL, 0, OPT_FLAG, NULL, NULL, "read JSON strings, one a line; write JSON arrays", NULL, AT(jsonl), 0, 0 },
};

struct job { const struct fields *f; struct tokenizer *t; struct ids ids; };

static int encode(struct job *j, const char *text, size_t n, struct err *err)
{
    unsigned flags = (j->f->bos ? TOK_SPECIAL : 0u) | (j->f->special ? TOK_PARSE : 0u);
    j->ids.n = 0;
    int rc = tokenizer_encode(j->t, text, n, flags, &j->ids, err);
    if (rc == 0 && j->ids.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the tokens");
    return rc;
}

static void put_list(const struct ids *v, const char *between, struct buf *out)
{
    for (size_t i = 0; i < v->n; i++) buf_printf(out, "%s%d", i ? between : "", v->id[i]);
}

/* "   17  \"text\"": the text as a JSON string, so that spaces and odd bytes can be seen. */
static void put_pieces(const struct job *j, struct buf *out)
{
    static const char *const kind[] = { "", "unknown", "control", "user-defined", "unused", "byte" };
    for (size_t i = 0; i < j->ids.n; i++) {
        int32_t id = j->ids.id[i];
        struct buf piece = { 0 }, shown = { 0 };
        tokenizer_piece(j->t, id, true, &piece);
        json_write_str(piece.data ? piece.data : "", piece.len, &shown);
        buf_printf(out, "%8d  ", id);
        term_clean(shown.data ? shown.data : "", shown.len, out);
        enum token_kind k = tokenizer_token_kind(j->t, id);
        if (k != TOKEN_NORMAL) buf_printf(out, "  (%s)", kind[k]);
        buf_putc(out, '\n');
        buf_release(&piece);
        buf_release(&shown);
    }
}

static int one(struct job *j, const char *text, size_t n, struct err *err)
{
    int rc = encode(j, text, n, err);
    if (rc < 0) return rc;
    struct buf b = { 0 };
    if (j->f->count)
        buf_printf(&b, "%zu\n", j->ids.n);
    else if (j->f->pieces)
        put_pieces(j, &b);
    else {
        put_list(&j->ids, " ", &b);
        buf_putc(&b, '\n');
    }
    return term_put(&b) ? 0 : err_set(err, ERR_IO, "cannot write the tokens");
}

static int json_line(struct job *j, const char *line, size_t n, struct err *err)
{
    struct json *v;
    size_t len;
    int rc = json_parse(&v, line, n, err);
    if (rc < 0) return rc;
    const char *text = json_str(v, &len);
    rc = text ? encode(j, text, len, err) : err_set(err, ERR_FORMAT, "not a JSON string");
    json_free(v);
    if (rc < 0) return rc;
    struct buf b = { 0 };
    buf_putc(&b, '[');
    put_list(&j->ids, ",", &b);
    buf_puts(&b, "]\n");
    return term_put(&b) ? 0 : err_set(err, ERR_IO, "cannot write the tokens");
}

static int json_lines(struct job *j, struct err *err)
{
    struct input_lines in = { 0 };
    const char *line;
    size_t n, number = 0;
    bool has = true;
    int rc = 0;
    while (rc == 0 && (rc = input_line(&in, &line, &n, &has, err)) == 0 && has) {
        number++;
        rc = json_line(j, line, n, err);
        if (rc < 0) rc = err_prefix(err, rc, "standard input, line %zu: ", number);
    }
    buf_release(&in.data);
    return rc;
}

static int work(struct job *j, const char *text, struct err *err)
{
    if (j->f->jsonl) return json_lines(j, err);
    if (text) return one(j, text, strlen(text), err);
    struct buf in = { 0 };
    int rc = input_all(&in, err);
    if (rc == 0) rc = one(j, in.data ? in.data : "", in.len, err);
    buf_release(&in);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 2 }, &f, &p, &rc)) return rc;
    if (f.jsonl && p.n_operands == 2) return term_usage(self->name, "--jsonl reads standard input and takes no text");
    if (f.jsonl + f.pieces + f.count > 1) return term_usage(self->name, "choose one of --jsonl, --pieces and --count");
    struct job j = { .f = &f };
    struct gguf *g = NULL;
    struct err e = { 0 };
    rc = named_file_open(&g, p.operand[0], &e);
    if (rc == 0) rc = tokenizer_open(&j.t, g, &e);
    if (rc == 0) rc = work(&j, p.n_operands == 2 ? p.operand[1] : NULL, &e);
    int code = EXIT_OK;
    if (rc == ERR_CANCELLED)
        code = 128 + signals_pending();
    else if (rc < 0)
        code = term_closed() ? term_write_failed() : term_fail("%s", e.msg);
    tokenizer_close(j.t);
    gguf_close(g);
    ids_release(&j.ids);
    return code;
}

const struct command command_row_tokenize = {
    .name = "tokenize",
    .operands = "MODEL [TEXT]",
    .summary = "show the tokens of a text",
    .about = "Prints token ids on one line.  Without TEXT the text is read from standard input as it is.  A file that\n"
             "holds only a vocabulary is enough, and so is a folder with config.json and tokenizer.json.\n",
    .example = "model.gguf 'Hello world'",
    .more = (const char *const[]){ "hearth tokenize model.gguf --count < book.txt",
                                   "echo '\"one string a line\"' | hearth tokenize model.gguf --jsonl", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
