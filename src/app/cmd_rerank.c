#include <string.h>

#include "app/command.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "app/texts.h"
#include "base/cpu.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sort.h"
#include "hearth.h"

enum { MAX_DOCUMENTS = 1 << 20 };

struct fields {
    const char *instruction, *cpu;
    uint32_t top, threads;
    bool logits, json, jsonl;
};

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "top", NULL, 0, OPT_U32, "N", "all", "only the N best", "3", AT(top), 1, MAX_DOCUMENTS },
    { "instruction", NULL, 0, OPT_STR, "TEXT", "to answer a web search",
      "what counts as fitting, for models that are asked in words", NULL, AT(instruction), 0, 0 },
    { "logits", NULL, 0, OPT_FLAG, NULL, NULL, "scores as the model computes them instead of probabilities", NULL, AT(logits),
      0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "write a JSON object for each document", "", AT(json), 0, 0 },
    { "jsonl", NULL, 0, OPT_FLAG, NULL, NULL, "lines of standard input are JSON strings", NULL, AT(jsonl), 0, 0 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads; does not change the scores", NULL, AT(threads), 1, 256 },
    { "cpu", NULL, 0, OPT_STR, "NAME", "the best", "instruction set: " CPU_NAMES, NULL, AT(cpu), 0, 0 },
};

static bool go_on(void *arg, size_t done, size_t total)
{
    (void)arg;
    term_progress("document %zu of %zu", done, total);
    return !signals_pending();
}

/* Grows where the score falls; the earlier document comes first when equal. */
static uint64_t key_of(float score, size_t index)
{
    uint32_t u;
    memcpy(&u, &score, sizeof u);
    u ^= u >> 31 ? 0xffffffffu : 0x80000000u;
    return (uint64_t)~u << 32 | (uint32_t)index;
}

static int report(const struct fields *f, const struct texts *t, const float *score, struct err *err)
{
    uint64_t *key = mem_new_array(uint64_t, t->n ? t->n * 2 : 1);
    if (!key) return err_set(err, ERR_NOMEM, "out of memory for the scores");
    for (size_t i = 0; i < t->n; i++) key[i] = key_of(score[i], i);
    sort_u64(key, key + t->n, t->n);
    struct buf b = { 0 };
    for (size_t i = 0; i < t->n && (!f->top || i < f->top); i++) {
        size_t index = (uint32_t)key[i];
        const char *text = t->text[index];
        if (f->json) {
            buf_printf(&b, "{\"index\":%zu,\"score\":%.9g,\"text\":", index, (double)score[index]);
            json_write_str(text, strlen(text), &b);
            buf_puts(&b, "}\n");
        } else {
            buf_printf(&b, "%.6f\t", (double)score[index]);
            if (term_out_tty()) term_clean(text, strlen(text), &b);
            else buf_puts(&b, text);
            buf_putc(&b, '\n');
        }
    }
    mem_free(key);
    return term_put(&b) ? 0 : err_set(err, ERR_IO, "cannot write the scores");
}

static int rank(const struct fields *f, struct hearth_model *m, const char *query, const struct texts *t, struct err *err)
{
    struct hearth_rerank_options o = { .instruction = f->instruction, .logits = f->logits, .progress = go_on };
    struct hearth_error e;
    float *score = mem_new_array(float, t->n ? t->n : 1);
    if (!score) return err_set(err, ERR_NOMEM, "out of memory for the scores");
    int rc = hearth_rerank(m, query, (const char *const *)t->text, t->n, &o, score, &e);
    term_progress_end();
    rc = rc < 0 ? err_set(err, e.code, "%s", e.message) : report(f, t, score, err);
    mem_free(score);
    return rc;
}

static int work(const struct fields *f, const struct parsed *p, struct err *err)
{
    struct texts t = { .json = f->jsonl };
    struct hearth_model *m = NULL;
    struct hearth_model_options mo = { .threads = f->threads, .cpu = f->cpu };
    struct hearth_error e;
    int rc = 0;
    for (size_t i = 2; rc == 0 && i < p->n_operands; i++) rc = texts_add(&t, p->operand[i], strlen(p->operand[i]), err);
    if (rc == 0 && p->n_operands == 2) rc = texts_read(&t, MAX_DOCUMENTS, err);
    if (rc == 0 && p->n_operands == 2 && !t.end && t.n == MAX_DOCUMENTS)
        rc = err_set(err, ERR_LIMIT, "standard input: at most %d documents can be ranked", MAX_DOCUMENTS - 1);
    if (rc == 0 && named_model_open(&m, p->operand[0], &mo, &e) < 0) rc = err_set(err, e.code, "%s", e.message);
    if (rc == 0) rc = rank(f, m, p->operand[1], &t, err);
    hearth_model_close(m);
    texts_release(&t);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 2, OPT_MAX_OPERANDS }, &f, &p, &rc)) return rc;
    if (f.jsonl && p.n_operands > 2) return term_usage(self->name, "--jsonl reads standard input and takes no documents");
    struct err e = { 0 };
    rc = work(&f, &p, &e);
    if (rc == ERR_CANCELLED) return 128 + signals_pending();
    if (rc < 0) return term_closed() ? term_write_failed() : term_fail("%s", e.msg);
    return EXIT_OK;
}

const struct command command_row_rerank = {
    .name = "rerank",
    .operands = "MODEL QUERY [DOCUMENT ...]",
    .summary = "order texts by how well they answer a question",
    .about = "Writes the documents, best first, each after its score from 0 to 1 and a tab.  Without DOCUMENT each line of\n"
             "standard input is one.  Takes rerankers (bge-reranker, Qwen3-Reranker, ...) and chat models in the ChatML format,\n"
             "which are asked for yes or no.\n",
    .example = "model.gguf 'What is a hearth?' 'A fireplace.' 'A kind of fish.'",
    .more = (const char *const[]){ "hearth rerank model.gguf 'What is a hearth?' --top 5 < lines.txt", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
