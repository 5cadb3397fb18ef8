/* worker_generate.c - a generate job until its first token: what is asked for, the prompt, samplers and readers. */
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "server/generation.h"

#define AT(field) offsetof(struct generate_fields, field)
static const struct read_row row[] = {
    { "messages", READ_ARRAY, AT(messages), 0, 0 },
    { "tools", READ_ARRAY, AT(tools), 0, 0 },
    { "documents", READ_ARRAY, AT(documents), 0, 0 },
    { "variables", READ_OBJECT, AT(variables), 0, 0 },
    { "continue", READ_FLAG, AT(continues), 0, 0 },
    { "prompt", READ_ANY, AT(prompt), 0, 0 },
    { "add_bos", READ_FLAG, AT(add_bos), 0, 0 },
    { "infill", READ_OBJECT, AT(infill), 0, 0 },
    { "tool_choice", READ_ANY, AT(tool_choice), 0, 0 },
    { "parallel_calls", READ_FLAG, AT(parallel_calls), 0, 0 },
    { "format", READ_OBJECT, AT(format), 0, 0 },
    { "think", READ_STR, AT(think), 0, 0 },
    { "must_think", READ_FLAG, AT(must_think), 0, 0 },
    { "think_budget", READ_U32, AT(think_budget), 0, 1 << 24 },
    { "options", READ_OBJECT, AT(options), 0, 0 },
    { "n", READ_U32, AT(n), 1, MAX_COMPLETIONS },
    { "logprobs", READ_I32, AT(logprobs), 0, MAX_TOP },
    { "logprobs_after", READ_FLAG, AT(logprobs_after), 0, 0 },
    { "no_cache", READ_FLAG, AT(no_cache), 0, 0 },
    { "want_ids", READ_FLAG, AT(want_ids), 0, 0 },
    { "progress", READ_FLAG, AT(progress), 0, 0 },
    { "slot", READ_U32, AT(slot), 0, N_SLOTS - 1 },
    { "lora", READ_ARRAY, AT(lora), 0, 0 },
    { "whole_prompt", READ_FLAG, AT(whole_prompt), 0, 0 },
    { "completes", READ_FLAG, AT(completes), 0, 0 },
    { "n_indent", READ_U32, AT(n_indent), 0, 1 << 16 },
    { "line_ms", READ_U32, AT(line_ms), 0, 1 << 30 },
};

static int wrong(struct err *err, const char *text) { return err_set(err, ERR_ARG, "%s", text); }

/* ---- prompts ---- */

static int add_ids(struct ids *v, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) ids_push(v, ids[i]);
    return v->bad ? -1 : 0;
}

static int add_text(const struct generation *g, const struct json *text, bool first, struct ids *v, struct err *err)
{
    struct hearth_error e;
    int32_t *ids;
    size_t n, n_ids;
    const char *s = json_str(text, &n);
    unsigned flags = HEARTH_TOKENIZE_PARSE | (first && g->f.add_bos ? HEARTH_TOKENIZE_SPECIAL : 0);
    if (hearth_tokenize(g->t->loaded->model, s, n, flags, &ids, &n_ids, &e) < 0) return err_of_hearth(err, &e);
    int rc = add_ids(v, ids, n_ids);
    hearth_free(ids);
    return rc < 0 ? err_set(err, ERR_NOMEM, "out of memory for the prompt") : 0;
}

static int add_part(const struct generation *g, const struct json *part, bool first, struct ids *v, struct err *err)
{
    if (json_type(part) == JSON_STRING) return add_text(g, part, first, v, err);
    int64_t id = json_int(part);
    if (json_type(part) != JSON_INT) return wrong(err, "prompt must be a string, or a list of tokens and strings");
    if (id < 0 || id >= (int64_t)g->t->loaded->info.n_vocab)
        return err_set(err, ERR_ARG, "prompt: there is no token %lld; the model has %u", (long long)id,
                       g->t->loaded->info.n_vocab);
    ids_push(v, (int32_t)id);
    return v->bad ? err_set(err, ERR_NOMEM, "out of memory for the prompt") : 0;
}

static int plain_prompt(struct generation *g, struct err *err)
{
    const struct json *p = g->f.prompt;
    struct ids v = { 0 };
    int rc = 0;
    if (json_type(p) == JSON_ARRAY)
        for (size_t i = 0; rc == 0 && i < json_len(p); i++) rc = add_part(g, json_at(p, i), i == 0, &v, err);
    else rc = add_part(g, json_type(p) == JSON_STRING ? p : NULL, true, &v, err);
    if (rc < 0) {
        ids_release(&v);
        return rc;
    }
    g->ids = v.id;
    g->n_ids = v.n;
    return 0;
}

struct infill_fields { const char *prefix, *suffix, *name, *repo; const struct json *files; };
static const struct read_row infill_row[] = {
    { "prefix", READ_STR, offsetof(struct infill_fields, prefix), 0, 0 },
    { "suffix", READ_STR, offsetof(struct infill_fields, suffix), 0, 0 },
    { "name", READ_STR, offsetof(struct infill_fields, name), 0, 0 },
    { "repo", READ_STR, offsetof(struct infill_fields, repo), 0, 0 },
    { "files", READ_ARRAY, offsetof(struct infill_fields, files), 0, 0 },
};
static const struct read_row file_row[] = {
    { "name", READ_STR, offsetof(struct hearth_fim_file, name), 0, 0 },
    { "text", READ_STR, offsetof(struct hearth_fim_file, text), 0, 0 },
};

static int infill_prompt(struct generation *g, struct err *err)
{
    struct infill_fields f = { 0 };
    struct hearth_error e;
    int rc = read_object(g->f.infill, "infill", &(struct read_table){ infill_row, 5 }, &f, err);
    size_t n = json_len(f.files);
    if (rc < 0) return rc;
    struct hearth_fim_file *file = mem_new_array(struct hearth_fim_file, n + 1);
    if (!file) return err_set(err, ERR_NOMEM, "out of memory for the prompt");
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = read_object(json_at(f.files, i), "infill.files", &(struct read_table){ file_row, 2 }, &file[i], err);
    struct hearth_fim fim = { f.prefix, f.suffix, file, n, f.name, f.repo };
    if (rc == 0 && hearth_fim_prompt(g->t->loaded->model, &fim, &g->ids, &g->n_ids, &e) < 0) rc = err_of_hearth(err, &e);
    if (rc == ERR_UNSUPPORTED) err_prefix(err, rc, "\"%s\" does not support insert: ", g->t->loaded->info.path);
    mem_free(file);
    return rc;
}

static int think_of(const char *word, struct err *err)
{
    static const char *const name[] = { "default", "off", "on", "low", "medium", "high" };
    _Static_assert(HEARTH_THINK_OFF == 1 && HEARTH_THINK_HIGH == 5, "the words are in the order of HEARTH_THINK_");
    if (!word) return HEARTH_THINK_DEFAULT;
    for (int i = 0; i <= HEARTH_THINK_HIGH; i++)
        if (!strcmp(name[i], word)) return i;
    return err_set(err, ERR_ARG, "think must be one of off, on, low, medium, high, not \"%.20s\"", word);
}

static char *text_of(const struct json *j, bool *bad)
{
    struct buf b = { 0 };
    if (!j) return NULL;
    json_write(j, false, &b);
    *bad = *bad || b.bad;
    return buf_take(&b);
}

/* ---- forms of answers ---- */

struct format_fields { const char *type; const struct json *schema, *choices; struct read_text text; };
static const struct read_row format_row[] = {
    { "type", READ_STR, offsetof(struct format_fields, type), 0, 0 },
    { "schema", READ_ANY, offsetof(struct format_fields, schema), 0, 0 },
    { "text", READ_TEXT, offsetof(struct format_fields, text), 0, 0 },
    { "choices", READ_ARRAY, offsetof(struct format_fields, choices), 0, 0 },
};

static int take_form(struct form *form, const struct format_fields *f, struct err *err)
{
    static const char *const type[] = { "grammar", "schema", "regex", "json", "choices" };
    _Static_assert(HEARTH_GRAMMAR_GBNF == 0 && HEARTH_GRAMMAR_SCHEMA == 1 && HEARTH_GRAMMAR_REGEX == 2 &&
                   HEARTH_GRAMMAR_JSON == 3 && HEARTH_GRAMMAR_CHOICES == 4, "the words are in the order of HEARTH_GRAMMAR_");
    bool bad = false;
    int kind = 0;
    while (kind < 5 && (!f->type || strcmp(type[kind], f->type) != 0)) kind++;
    if (kind == 5) return wrong(err, "format.type must be one of json, schema, grammar, regex, choices");
    form->kind = kind;
    if (kind == HEARTH_GRAMMAR_SCHEMA) form->text = text_of(f->schema, &bad);
    else if (kind == HEARTH_GRAMMAR_CHOICES) form->text = text_of(f->choices, &bad);
    else if (kind == HEARTH_GRAMMAR_JSON) form->text = mem_strdup("", 0);
    else if (f->text.s) form->text = mem_strdup(f->text.s, f->text.n);
    bad = bad || (!form->text && (f->text.s || kind == HEARTH_GRAMMAR_JSON));
    if (bad) return err_set(err, ERR_NOMEM, "out of memory for the form of the answer");
    if (!form->text) return err_set(err, ERR_ARG, "format.%s is missing", kind == HEARTH_GRAMMAR_SCHEMA ? "schema"
                                                  : kind == HEARTH_GRAMMAR_CHOICES ? "choices" : "text");
    form->n = kind == HEARTH_GRAMMAR_GBNF || kind == HEARTH_GRAMMAR_REGEX ? f->text.n : strlen(form->text);
    return 0;
}

static int read_form(struct generation *g, struct err *err)
{
    struct format_fields f = { 0 };
    if (!g->f.format) return 0;
    int rc = read_object(g->f.format, "format", &(struct read_table){ format_row, 4 }, &f, err);
    return rc < 0 ? rc : take_form(&g->form, &f, err);
}

/* Of a text that is completed; a chat knows its own form. */
static int open_grammar(struct generation *g, struct err *err)
{
    struct hearth_error e;
    if (!g->form.text || g->chat) return 0;
    int rc = hearth_grammar_open(&g->grammar, g->t->loaded->model, g->form.kind, g->form.text, g->form.n, &e);
    return rc < 0 ? err_of_hearth(err, &e) : 0;
}

/* ---- conversations ---- */

static int read_choice(const struct json *choice, struct hearth_chat_request *r, struct err *err)
{
    static const char *const word[] = { "auto", "none", "required" };
    _Static_assert(HEARTH_TOOLS_AUTO == 0 && HEARTH_TOOLS_NONE == 1 && HEARTH_TOOLS_REQUIRED == 2, "the words are in this order");
    static const struct read_row name = { "name", READ_STR, 0, 0, 0 };
    const char *s = json_str(choice, NULL);
    if (json_type(choice) == JSON_NULL) return 0;
    if (json_type(choice) == JSON_OBJECT) {
        r->tool_choice = HEARTH_TOOLS_ONE;
        int rc = read_object(choice, "tool_choice", &(struct read_table){ &name, 1 }, &r->tool_name, err);
        if (rc == 0 && !r->tool_name) rc = wrong(err, "tool_choice.name is missing");
        return rc;
    }
    for (int i = 0; s && i < 3; i++)
        if (!strcmp(word[i], s)) {
            r->tool_choice = i;
            return 0;
        }
    return wrong(err, "tool_choice must be auto, none, required, or an object with a name");
}

static uint32_t most_tokens(const struct answer_options *o)
{
    /* No token at all: the prompt is read, and what one more would say is dropped. */
    return o->max_tokens < 0 ? 0 : o->max_tokens ? (uint32_t)o->max_tokens : 1;
}

static int open_chat(struct generation *g, const struct hearth_chat_request *r, struct err *err)
{
    struct hearth_error e;
    struct hearth_chat_request with = *r;
    struct task *t = g->t;
    if (hearth_chat_open(&g->chat, t->loaded->model, r, &e) < 0) {
        int rc = err_of_hearth(err, &e);
        if (rc == ERR_NOTFOUND) t->kind = t->loaded->info.has_template ? "invalid" : "unsupported";
        return rc;
    }
    hearth_chat_ids(g->chat, &g->n_ids);
    if (g->context != HEARTH_CONTEXT_DROP || g->n_ids < t->loaded->n_ctx) return 0;
    /* Only what does not fit is cut, and then so that an answer has room. */
    hearth_chat_close(g->chat);
    g->chat = NULL;
    with.context = HEARTH_CONTEXT_DROP;
    with.room = hearth_context_room(t->loaded->n_ctx, most_tokens(&g->o));
    if (hearth_chat_open(&g->chat, t->loaded->model, &with, &e) < 0) {
        int rc = err_of_hearth(err, &e);
        if (rc == ERR_LIMIT) t->kind = "context";
        return rc;
    }
    hearth_chat_ids(g->chat, &g->n_ids);
    return 0;
}

static int chat_prompt(struct generation *g, struct err *err)
{
    const struct generate_fields *f = &g->f;
    bool bad = false;
    char *messages = text_of(f->messages, &bad), *tools = text_of(f->tools, &bad), *documents = text_of(f->documents, &bad),
         *variables = text_of(f->variables, &bad);
    struct hearth_chat_request r = { .messages_json = messages, .tools = tools, .documents = documents, .variables = variables,
                                     .think_budget = f->think_budget, .continues = f->continues, .one_call = !f->parallel_calls,
                                     .form = g->form.kind, .form_text = g->form.text, .n_form_text = g->form.n };
    int rc = r.think = think_of(f->think, err);
    if (rc > HEARTH_THINK_OFF && f->must_think && !g->t->loaded->info.reasons)
        rc = err_set(err, ERR_UNSUPPORTED, "\"%s\" does not support thinking", g->t->loaded->info.path);
    if (rc >= 0) rc = read_choice(f->tool_choice, &r, err);
    if (bad) rc = err_set(err, ERR_NOMEM, "out of memory for the messages");
    if (rc == 0) rc = open_chat(g, &r, err);
    mem_free(messages);
    mem_free(tools);
    mem_free(documents);
    mem_free(variables);
    return rc;
}

/* ---- the job ---- */

static int read_context(struct generation *g, struct err *err)
{
    static const char *const name[] = { "stop", "drop", "middle", "shift" };
    _Static_assert(HEARTH_CONTEXT_STOP == 0 && HEARTH_CONTEXT_SHIFT == 3, "the words are in the order of HEARTH_CONTEXT_");
    const char *word = g->o.context_policy;
    g->context = HEARTH_CONTEXT_STOP;
    while (word && g->context <= HEARTH_CONTEXT_SHIFT && strcmp(name[g->context], word) != 0) g->context++;
    if (g->context > HEARTH_CONTEXT_SHIFT)
        return err_set(err, ERR_ARG, "options.context_policy must be one of stop, drop, middle, shift, not \"%.40s\"", word);
    if (g->context == HEARTH_CONTEXT_DROP && !g->f.messages)
        return wrong(err, "options.context_policy: drop is about messages; a prompt can be cut by middle or shift");
    return 0;
}

/* Everything that can be wrong with a job without looking at its model. */
static int read_fields(struct generation *g, struct err *err)
{
    struct generate_fields *f = &g->f;
    *f = (struct generate_fields){ .head = g->t->head, .add_bos = true, .parallel_calls = true, .n = 1, .logprobs = -1 };
    int rc = task_read(g->t, &(struct read_table){ row, sizeof row / sizeof *row }, f, err);
    if (rc < 0) return rc;
    int given = (f->messages != NULL) + (f->prompt != NULL) + (f->infill != NULL);
    if (given != 1) return wrong(err, "an answer needs one of messages, prompt and infill");
    if (!f->messages && (f->tools || f->documents || f->variables || f->think || f->think_budget || f->continues))
        return wrong(err, "tools, documents, variables, think and continue need messages");
    g->n = f->n;
    hearth_sampler_defaults(NULL, &g->o.sampler);
    rc = answer_options_read(&g->o, f->options, err);
    answer_options_release(&g->o);
    if (rc == 0) rc = read_form(g, err);
    return rc == 0 ? read_context(g, err) : rc;
}

/* ---- requests ---- */

uint64_t short_hash(const char *s)
{
    char hex[SHA256_HEX + 1];
    uint64_t v = 0;
    if (!s || !*s || sha256_bytes(s, strlen(s), hex, NULL) < 0) return 0;
    for (int i = 0; i < 16; i++) v = v << 4 | (unsigned)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return v;
}

/* Whether the engine does, which knows it as a part of the request. */
static bool cuts_prompt(const struct generation *g)
{
    return g->context == HEARTH_CONTEXT_MIDDLE || g->context == HEARTH_CONTEXT_SHIFT;
}

static int check_room(struct generation *g, struct err *err)
{
    const struct loaded *l = g->t->loaded;
    if (!g->n_ids) return wrong(err, "the prompt is empty");
    if (g->n_ids < l->n_ctx || (cuts_prompt(g) && !g->f.whole_prompt)) return 0;
    g->t->kind = "context";
    g->t->n_prompt = g->n_ids;
    g->t->n_ctx = l->n_ctx;
    return err_set(err, ERR_LIMIT, "the prompt has %zu tokens, which leaves no room for an answer in the context of %u", g->n_ids,
                   l->n_ctx);
}

static void tell_queue(struct generation *g)
{
    struct hearth_engine_stats s;
    hearth_engine_stats(g->t->loaded->engine, &s);
    if (!s.n_queued) return;
    struct json *e = json_new_object();
    if (put_str(e, "event", "queued") && put_int(e, "ahead", s.n_queued)) task_event(g->t, e);
    else json_free(e);
}

static void set_request(struct generation *g, struct hearth_request_options *r)
{
    const struct task *t = g->t;
    const struct answer_options *o = &g->o;
    uint64_t now = os_now_ns();
    *r = (struct hearth_request_options){
        .ids = g->ids, .n = g->n_ids, .chat = g->chat, .grammar = g->grammar, .stop = o->stop.s, .n_stop = o->stop.n,
        .ban = o->ban.s, .n_ban = o->ban.n, .min_tokens = o->min_tokens > 0 ? (uint32_t)o->min_tokens : 0,
        .every_token = g->f.logprobs >= 0, .n_completions = g->n, .sampler = &o->sampler, .priority = t->head.priority,
        .user = short_hash(t->head.user), .cache_salt = short_hash(t->head.salt), .no_cache = g->f.no_cache,
        .context = cuts_prompt(g) ? g->context : HEARTH_CONTEXT_STOP, .n_keep = o->n_keep < 0 ? UINT32_MAX : (uint32_t)o->n_keep,
        .event = answer_event, .said = answer_said, .read = answer_read, .arg = g };
    r->max_tokens = most_tokens(o);
    r->adapters = g->use;
    r->n_adapters = g->n_use;
    if (t->deadline) r->deadline_ms = now < t->deadline ? (uint32_t)((t->deadline - now) / 1000000) + 1 : 1;
}

static int submit(struct generation *g, struct err *err)
{
    struct task *t = g->t;
    struct hearth_request_options r;
    struct hearth_request *request;
    struct hearth_error e;
    struct hearth_bias *bias = NULL;
    int rc = answer_options_bias(&g->o, t->loaded->model, &bias, &r.n_bias, err);
    if (rc < 0) return rc;
    size_t n_bias = r.n_bias;
    set_request(g, &r);
    r.bias = bias;
    r.n_bias = n_bias;
    g->n_open = g->n;
    g->submitted = os_now_ns();
    /* From here on events may come, and the task may even be over before this returns: the later of both clears up. */
    atomic_store(&g->parties, 2);
    rc = hearth_request_submit(&request, t->loaded->engine, &r, &e);
    mem_free(bias);
    if (rc < 0) {
        struct hearth_engine_stats s;
        hearth_engine_stats(t->loaded->engine, &s);
        if (e.code == HEARTH_ELIMIT) t->kind = s.n_queued ? "busy" : "memory";
        return err_of_hearth(err, &e);
    }
    lock_take(&t->w->lock);
    g->request = request;
    lock_give(&t->w->lock);
    if (atomic_load(&t->cancel)) hearth_request_cancel(request);
    if (atomic_load(&g->stop_thinking)) hearth_request_stop_thinking(request);
    task_waits(t);
    generation_leave(g);
    return 1;
}

void generation_leave(struct generation *g)
{
    if (atomic_fetch_sub(&g->parties, 1) == 1) task_clear(g->t);
}

/* Clients look for the first words of these. */
static int check_model(struct generation *g, struct err *err)
{
    const struct hearth_model_info *i = &g->t->loaded->info;
    if (!i->encoder) return 0;
    return err_set(err, ERR_UNSUPPORTED, "\"%s\" does not support %s: it makes embeddings only", i->path,
                   g->f.messages && !g->f.completes ? "chat" : "generate");
}

static int any_prompt(struct generation *g, struct err *err)
{
    struct generate_fields *f = &g->f;
    if (!f->messages) return f->prompt ? plain_prompt(g, err) : infill_prompt(g, err);
    int rc = chat_prompt(g, err);
    if (rc != ERR_NOTFOUND || !f->completes) return rc;
    g->t->kind = NULL;                                         /* there is no template: the text itself */
    f->prompt = json_get(json_at(f->messages, json_len(f->messages) ? json_len(f->messages) - 1 : 0), "content");
    return plain_prompt(g, err);
}

static int prepare(struct generation *g, struct err *err)
{
    struct task *t = g->t;
    int rc = read_fields(g, err);
    if (rc == 0) rc = models_take(t->w->models, t, 0, err);
    if (rc < 0) return rc;
    atomic_store(&g->speculative, t->loaded->guesses);
    hearth_sampler_defaults(t->loaded->model, &g->o.sampler);
    if ((rc = answer_options_read(&g->o, g->f.options, err)) < 0) return rc;
    if (!g->o.has_seed) g->o.sampler.seed = os_random64() >> 32;
    g->answer = mem_new_array(struct answer, g->n);
    if (!g->answer) return err_set(err, ERR_NOMEM, "out of memory for an answer");
    if ((rc = check_model(g, err)) < 0) return rc;
    rc = any_prompt(g, err);
    if (rc == 0) rc = check_room(g, err);
    if (rc == 0) rc = open_grammar(g, err);
    if (rc == 0) rc = read_lora(t, g->f.lora, &g->use, &g->n_use, err);
    return rc == 0 ? task_go_on(t, err) : rc;
}

static struct generation *begin(struct task *t, struct err *err)
{
    struct generation *g = mem_new(1, sizeof *g);
    if (!g) {
        err_set(err, ERR_NOMEM, "out of memory for an answer");
        return NULL;
    }
    g->t = t;
    lock_take(&t->w->lock);
    t->gen = g;
    lock_give(&t->w->lock);
    return g;
}

int generate_run(struct task *t, struct err *err)
{
    struct generation *g = begin(t, err);
    if (!g) return ERR_NOMEM;
    int rc = prepare(g, err);
    if (rc < 0) return rc;
    tell_queue(g);
    return submit(g, err);
}

int template_run(struct task *t, struct err *err)
{
    struct generation *g = begin(t, err);
    if (!g) return ERR_NOMEM;
    int rc = read_fields(g, err);
    if (rc == 0 && !g->f.messages) rc = wrong(err, "a template needs messages");
    if (rc == 0) rc = models_take(t->w->models, t, 0, err);
    if (rc == 0) rc = chat_prompt(g, err);
    if (rc < 0) return rc;
    struct hearth_error e;
    char *text;
    size_t n;
    const int32_t *ids = hearth_chat_ids(g->chat, &n);
    if (hearth_detokenize(t->loaded->model, ids, g->n_ids, true, &text, &n, &e) < 0) return err_of_hearth(err, &e);
    struct json *answer = json_new_object(), *list = json_new_array();
    bool ok = json_put(answer, "prompt", json_new_str(text, n));
    for (size_t i = 0; ok && i < g->n_ids; i++) ok = json_push(list, json_new_int(ids[i]));
    ok = json_put(answer, "ids", list) && ok;
    hearth_free(text);
    if (ok) task_done(t, answer);
    else json_free(answer);
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory for the prompt");
}

void generation_cancel(struct generation *g)
{
    if (g->request) hearth_request_cancel(g->request);
}

void generation_stop_thinking(struct generation *g)
{
    atomic_store(&g->stop_thinking, true);
    if (g->request) hearth_request_stop_thinking(g->request);
}

bool generation_tell(struct generation *g, struct json *to)
{
    const struct json *given = json_get(g->t->doc, "options");
    struct json *options = NULL;
    struct buf b = { 0 };
    if (json_type(given) == JSON_OBJECT) json_write(given, false, &b);       /* a copy: a value belongs to one thread */
    if (b.data && !b.bad && json_parse(&options, b.data, b.len, NULL) < 0) options = NULL;
    buf_release(&b);
    const struct json *most = json_get(options, "max_tokens");
    int64_t n = json_type(most) == JSON_INT ? json_int(most) : -1;
    bool ok = put_int(to, "tokens", atomic_load(&g->n_written)) && json_put(to, "max_tokens", json_new_int(n)) &&
              json_put(to, "new_line", json_new_bool(atomic_load(&g->new_line))) &&
              json_put(to, "speculative", json_new_bool(atomic_load(&g->speculative)));
    return json_put(to, "options", options ? options : json_new_object()) && ok;
}

void generation_close(struct generation *g)
{
    if (g->request) hearth_request_wait(g->request);
    hearth_request_close(g->request);
    for (uint32_t i = 0; g->answer && i < g->n; i++) {
        struct answer *a = &g->answer[i];
        buf_release(&a->logprobs);
        buf_release(&a->said);
        mem_free(a->untold);
        mem_free(a->saying);
    }
    hearth_chat_close(g->chat);
    hearth_grammar_close(g->grammar);
    answer_options_release(&g->o);
    buf_release(&g->line);
    hearth_free(g->ids);
    mem_free(g->form.text);
    mem_free(g->use);
    mem_free(g->answer);
    mem_free(g);
}
