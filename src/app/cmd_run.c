#include <stdlib.h>
#include <string.h>

#include "app/attach.h"
#include "app/command.h"
#include "app/input.h"
#include "app/kv_files.h"
#include "app/model_name.h"
#include "app/run.h"
#include "app/settings.h"
#include "app/signals.h"
#include "app/state.h"
#include "app/stats.h"
#include "app/term.h"
#include "base/cpu.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/utf8.h"

#define AT(field) offsetof(struct run_options, field)
enum { N_SETTINGS = 31 };
static const struct opt row[] = {
#include "app/run_sampling.inc"
    { "stop", NULL, 0, OPT_STRS, "TEXT", NULL, "end the answer before this text; may be repeated", NULL, AT(stop), 0, 0 },
    { "ban", NULL, 0, OPT_STRS, "PHRASE", NULL, "go back and say it otherwise when this would come; may be repeated", NULL,
      AT(ban), 0, 0 },
    { "schema", NULL, 0, OPT_STR, "FILE", NULL, "the answer is JSON as this JSON Schema says", NULL, AT(schema), 0, 0 },
    { "grammar", NULL, 0, OPT_STR, "FILE", NULL, "the answer is what this grammar (GBNF) says", NULL, AT(grammar), 0, 0 },
    { "regex", NULL, 0, OPT_STR, "R", NULL, "the whole answer matches this regular expression", NULL, AT(regex), 0, 0 },
    { "choice", NULL, 0, OPT_STR, "A,B,...", NULL, "the answer is one of these", NULL, AT(choice), 0, 0 },
    { "after", NULL, 0, OPT_STR, "TEXT", "at once", "schema, grammar, regex or choice begin behind this text", NULL,
      AT(after), 0, 0 },
    { "system", NULL, 0, OPT_STR, "TEXT", NULL, "what the model is told about its role", "You are brief.", AT(system), 0, 0 },
    { "fim-prefix", NULL, 0, OPT_STR, "FILE", NULL, "write what comes between this text and that of --fim-suffix (code models)",
      NULL, AT(infill.prefix), 0, 0 },
    { "fim-suffix", NULL, 0, OPT_STR, "FILE", NULL, "see --fim-prefix", NULL, AT(infill.suffix), 0, 0 },
    { "fim-file", NULL, 0, OPT_STRS, "FILE", NULL, "another file that may help; may be repeated", NULL, AT(infill.file), 0, 0 },
    { "no-template", NULL, 0, OPT_FLAG, NULL, NULL, "continue the text as it is instead of answering it", NULL,
      AT(no_template), 0, 0 },
    { "tools", NULL, 0, OPT_STR, "FILE", NULL, "tools that the model may call: a JSON array; calls are shown, not made", NULL,
      AT(tools), 0, 0 },
    { "tool-choice", NULL, 0, OPT_STR, "auto|none|required|NAME", "auto",
      "whether tools may, must not or must be called, or which one", NULL, AT(tool_choice), 0, 0 },
    { "think", NULL, 0, OPT_CHOICE, "default|off|on|low|medium|high", "default", "whether and how much to reason first", NULL,
      AT(think), 0, 0 },
    { "think-budget", NULL, 0, OPT_U32, "N", "no limit", "end the reasoning after N tokens", NULL, AT(think_budget), 1, 1 << 24 },
    { "hide-thinking", NULL, 0, OPT_FLAG, NULL, NULL, "do not show the reasoning", NULL, AT(hide_thinking), 0, 0 },
    { "ctx", NULL, 'c', OPT_U32, "N", "the model's, at most 4096", "tokens that prompt and answer together may have", NULL,
      AT(ctx), 8, 1 << 24 },
    { "context-policy", NULL, 0, OPT_CHOICE, "stop|drop|middle|shift", "stop",
      "when a text does not fit: an error, drop the oldest turns, drop the prompt's middle, or also go on when full", "drop",
      AT(context), 0, 0 },
    { "keep", NULL, 0, OPT_U32, "N", "half", "with middle or shift: the first N tokens stay", NULL, AT(keep), 1, 1 << 24 },
    { "kv-files", NULL, 0, OPT_STR, "off|auto|FOLDER", "off",
      "keep in files what long texts took to read, and go on from there the next time", "auto", AT(kv_files), 0, 0 },
    { "kv-type", "kv", 0, OPT_CHOICE, "auto|f16|f32|bf16|q8_0|q4_0", "f16", "how keys (and values) of past tokens are kept",
      NULL, AT(kv), 0, 0 },
    { "kv-type-v", NULL, 0, OPT_CHOICE, "auto|f16|f32|bf16|q8_0|q4_0", "as the keys", "how values are kept", NULL,
      AT(kv_v), 0, 0 },
    { "batch", NULL, 'b', OPT_U32, "N", "512", "tokens of the prompt that are evaluated at once", NULL, AT(batch), 1, 512 },
    { "threads", NULL, 't', OPT_U32, "N", "one per core", "threads to compute with", NULL, AT(threads), 1, 256 },
    { "cpu", NULL, 0, OPT_STR, "NAME", "the best", "instruction set: " CPU_NAMES, NULL, AT(cpu), 0, 0 },
    { "speculate", NULL, 0, OPT_STR, "HOW", "auto", "guess tokens, check several at once: auto, off, how many, or by whom "
      "(ngram: the text, mtp: the model's own head, draft)", "mtp", AT(speculate), 0, 0 },
    { "draft", NULL, 0, OPT_STR, "MODEL", NULL, "a small model with the same tokens that guesses, too; answers stay the same",
      "small.gguf", AT(draft), 0, 0 },
    ADAPTER_ROWS(AT),
#include "app/rope.inc"
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print one JSON object with answer, counts and times", NULL, AT(json), 0, 0 },
    { "logprobs", NULL, 0, OPT_I32, "N", "none", "with --json: the log-probability of each token and of the N likeliest", NULL,
      AT(logprobs), 0, MAX_LOGPROBS },
    { "logprobs-after", NULL, 0, OPT_FLAG, NULL, NULL, "after the samplers instead of before", NULL, AT(logprobs_after), 0, 0 },
    { "file", NULL, 'f', OPT_STRS, "FILE", NULL, "a text that goes with the (first) message; may be repeated", NULL,
      AT(file), 0, 0 },
    { "continue", NULL, 0, OPT_FLAG, NULL, NULL, "go on with the last chat; its model, unless one is named", NULL, AT(again),
      0, 0 },
    { "forget", NULL, 0, OPT_FLAG, NULL, NULL, "do not keep this chat for --continue", NULL, AT(forget), 0, 0 },
    { "preset", NULL, 0, OPT_STR, "NAME", "the model's", "settings that `hearth preset` keeps; none: not even the model's", NULL,
      AT(preset), 0, 0 },
    { "yes", NULL, 'y', OPT_FLAG, NULL, NULL, "do not ask before more than 10 GB are fetched", NULL, AT(yes), 0, 0 },
    { "offline", NULL, 0, OPT_FLAG, NULL, NULL, "do not fetch a model that is not on this machine", NULL, AT(offline), 0, 0 },
    { "stats", NULL, 0, OPT_FLAG, NULL, NULL, "print a line of statistics (always in a terminal)", NULL, AT(stats), 0, 0 },
    { "verbose", NULL, 'v', OPT_FLAG, NULL, NULL, "the same, and what was loaded", NULL, AT(verbose), 0, 0 },
};
enum { N_ROWS = sizeof row / sizeof *row };
const struct opt_table run_settings = { row, N_SETTINGS };
static const struct opt_table all_rows = { row, N_ROWS };

/* ---- shared with the chat ---- */

/* Copies what the chat has: ids are the caller's. */
static int take_ids(const struct hearth_chat *c, int32_t **ids, size_t *n, struct hearth_error *e)
{
    const int32_t *have = hearth_chat_ids(c, n);
    *ids = mem_new_array(int32_t, *n + 1);
    if (*ids && *n) memcpy(*ids, have, *n * sizeof **ids);
    if (*ids) return 0;
    e->code = HEARTH_ENOMEM;
    fmt_into(e->message, sizeof e->message, "out of memory for the prompt");
    return e->code;
}

static void end_turn(struct runner *r)
{
    hearth_chat_close(r->chat);
    r->chat = NULL;
}

static void set_tool_choice(struct hearth_chat_request *q, const char *word)
{
    static const char *const known[] = { "auto", "none", "required" };      /* HEARTH_TOOLS_AUTO, ... */
    if (!word) return;
    for (int i = 0; i < 3; i++)
        if (!strcmp(word, known[i])) {
            q->tool_choice = i;
            return;
        }
    q->tool_choice = HEARTH_TOOLS_ONE;
    q->tool_name = word;
}

/* Tokens that a prompt may have before something of it goes; 0: what does not fit is an error of its own (generate.h). */
static uint32_t room_of(const struct runner *r)
{
    if (r->o.context == HEARTH_CONTEXT_STOP) return 0;
    return hearth_context_room(hearth_session_n_ctx(r->session), r->o.max_tokens > 0 ? (uint32_t)r->o.max_tokens : 0);
}

static int cut_prompt(struct runner *r, uint32_t room, int32_t **ids, size_t *n, struct hearth_error *e)
{
    int rc = hearth_context_fit(r->o.context, *n, room, r->o.keep, &r->cut, e);
    if (rc == 0) *n = hearth_context_cut(*ids, *n, &r->cut);
    else hearth_free(*ids);
    if (rc < 0) *ids = NULL;
    return rc;
}

int run_prompt(struct runner *r, const struct hearth_chat_message *m, size_t n, int32_t **ids, size_t *n_ids,
               struct hearth_error *e)
{
    const char *text = m[n - 1].content;
    const uint32_t room = room_of(r);
    r->cut = (struct hearth_cut){ 0 };
    if (r->raw) {
        int rc = hearth_tokenize(r->model, text, strlen(text), HEARTH_TOKENIZE_SPECIAL, ids, n_ids, e);
        return rc < 0 || !room ? rc : cut_prompt(r, room, ids, n_ids, e);
    }
    struct hearth_chat_request q = { .messages = m, .n = n, .tools = r->tools, .think = r->o.think,
                                     .think_budget = r->o.think_budget, .form = r->form, .form_text = r->form_text,
                                     .n_form_text = r->n_form_text, .context = r->o.context, .room = room,
                                     .n_keep = r->o.keep };
    set_tool_choice(&q, r->o.tool_choice);
    *ids = NULL;
    q.seen = hearth_session_ids(r->session, &q.n_seen);
    end_turn(r);
    int rc = hearth_chat_open(&r->chat, r->model, &q, e);
    if (rc < 0) return rc;
    hearth_chat_cut(r->chat, &r->cut);
    return take_ids(r->chat, ids, n_ids, e);
}

static bool print_text(void *arg, const char *text, size_t n)
{
    (void)arg;
    return term_text(text, n);
}

int run_answer(struct runner *r, const int32_t *ids, size_t n, struct gen_result *out, struct hearth_error *e)
{
    if (r->new_seed) r->o.sampler.seed = os_random64() >> 32;
    struct gen g = { .model = r->model, .session = r->session, .progress = &r->progress, .sampler = &r->o.sampler,
                     .stop = r->o.stop.s, .n_stop = r->o.stop.n, .ban = r->o.ban.s, .n_ban = r->o.ban.n,
                     .max_tokens = r->o.max_tokens,
                     .min_tokens = r->o.min_tokens, .bias = r->o.bias.s, .n_bias = r->o.bias.n, .continues = r->raw,
                     .speculate = r->speculate, .guess_by = r->guess_by, .draft = r->draft,
                     .n_logprobs = r->o.logprobs, .after = r->o.logprobs_after,
                     .grammar = r->grammar, .grammar_after = r->o.after,
                     .sink = r->o.json ? NULL : print_text };
    g.chat = r->chat;
    g.show = !r->o.json;
    g.hide_reasoning = r->o.hide_thinking;
    kv_files_find(r->session, &r->kv_folder, ids, n);
    g.context = r->o.context;
    g.n_keep = r->o.keep;
    int rc = generate(&g, ids, n, out, e);
    out->cut = r->cut;
    end_turn(r);
    return rc;
}

void run_remarks(const struct runner *r, const struct gen_result *g, bool stats)
{
    if (g->context_full)
        term_note("hearth: the context of %u tokens is full; a larger one (--ctx) makes room for more",
                  hearth_session_n_ctx(r->session));
    if (g->cut.n_messages)
        term_note("hearth: %zu messages of %zu tokens did not fit and were left out (--context-policy)", g->cut.n_messages,
                  g->cut.n);
    else if (g->cut.n)
        term_note("hearth: %zu tokens of the prompt, from number %zu on, did not fit and were left out (--context-policy)",
                  g->cut.n, g->cut.from);
    if (g->n_shifts)
        term_note("hearth: the context was full %zu times; %zu tokens were left out (--context-policy)", g->n_shifts,
                  g->n_shifted);
    struct stats s = { r->info.path, r->model, g, r->load_ns, r->o.sampler.seed };
    if (stats) stats_line(&s);
}

/* ---- opening ---- */

/* Settings that were not given are those that the model brings with it, or that its file recommends. */
static void fill_settings(struct runner *r, const struct parsed *p)
{
    r->o = r->given;
    if (r->model) hearth_sampler_defaults(r->model, &r->o.sampler);
    settings_apply(&all_rows, r->from.params, &r->o, r->model ? "the model" : NULL);
    settings_apply(&all_rows, r->from.preset.settings, &r->o, r->model ? "the preset" : NULL);
    r->new_seed = !args_given(&all_rows, p, "seed") && !settings_seed(r->from.params) && !settings_seed(r->from.preset.settings);
    args_copy_given(&all_rows, p, &r->o, &r->given);
    if (r->o.breakers.n) {
        r->o.sampler.dry_breakers = r->o.breakers.s;
        r->o.sampler.n_dry_breakers = strcmp(r->o.breakers.s[0], "none") ? r->o.breakers.n : 0;
    }
}

/* Those of the model come first. */
static int take_adapters(struct runner *r, struct err *err)
{
    struct opt_strs all = { .n = 0 };
    const struct opt_strs *given = &r->given.adapters.lora;
    if (r->from.parts.n_adapter + given->n > OPT_MAX_STRS) return err_set(err, ERR_LIMIT, "more than %d adapters", OPT_MAX_STRS);
    for (size_t i = 0; i < r->from.parts.n_adapter; i++) all.s[all.n++] = r->from.parts.adapter[i];
    for (size_t i = 0; i < given->n; i++) all.s[all.n++] = given->s[i];
    r->given.adapters.lora = r->o.adapters.lora = all;
    return 0;
}

/* The model that guesses; whether it can is found out now and not in the middle of an answer. */
static int open_draft(struct runner *r, struct hearth_error *e)
{
    struct hearth_model_options mo = { .threads = r->o.threads, .cpu = r->o.cpu };
    struct hearth_session_options so = { .n_ctx = hearth_session_n_ctx(r->session), .kv_type = r->o.kv, .kv_type_v = r->o.kv_v };
    struct hearth_speculator *check = NULL;
    if (!r->o.draft) return 0;
    int rc = named_model_open(&r->draft_model, r->o.draft, &mo, e);
    if (rc == 0) rc = hearth_session_open(&r->draft, r->draft_model, &so, e);
    if (rc == 0) rc = hearth_speculator_open(&check, r->session, 0, e);
    if (rc == 0) rc = hearth_speculator_set_draft(check, r->draft, e);
    hearth_speculator_close(check);
    return rc;
}

static int open_runner(struct runner *r, const char *path, struct hearth_error *e)
{
    uint64_t start = os_now_ns();
    struct hearth_model_options mo = { .threads = r->o.threads, .cpu = r->o.cpu, .rope = r->o.rope };
    run_model_template(&r->from, &mo);
    int rc = path ? hearth_model_open(&r->model, path, &mo, e) : hearth_model_open_embedded(&r->model, &mo, e);
    if (rc < 0) return rc;
    hearth_model_info(r->model, &r->info);
    struct err err = { 0 };
    if ((rc = adapters_open(&r->adapters, r->model, &r->o.adapters, &err)) < 0) {
        e->code = rc;
        memcpy(e->message, err.msg, sizeof err.msg);
        return rc;
    }
    if (r->guess_by == HEARTH_GUESS_HEAD && !r->info.guesses)
        return err_set((struct err *)(void *)e, ERR_UNSUPPORTED, "%s: has no head that guesses (nextn, MTP), so --speculate mtp "
                       "means nothing to it", r->info.path);
    struct hearth_session_options so = { .n_ctx = r->o.ctx, .kv_type = r->o.kv, .kv_type_v = r->o.kv_v, .n_batch = r->o.batch,
                                         .n_logits = r->speculate == GEN_PLAIN ? 1 : GEN_ROWS,
                                         .progress = gen_on_progress, .progress_arg = &r->progress };
    if ((rc = hearth_session_open(&r->session, r->model, &so, e)) < 0 || (rc = open_draft(r, e)) < 0) return rc;
    r->load_ns = os_now_ns() - start;
    r->raw = r->o.no_template || infill_wanted(&r->o.infill) || !r->info.has_template;
    return 0;
}

static void describe(const struct runner *r)
{
    uint32_t n_ctx = hearth_session_n_ctx(r->session);
    struct hearth_session_options so = { .n_ctx = n_ctx, .kv_type = r->o.kv, .kv_type_v = r->o.kv_v, .n_batch = r->o.batch };
    term_note("%s: %s, %.2f M parameters, context %u (%.1f MB), %u threads, %s", r->info.path,
              r->info.name && *r->info.name ? r->info.name : r->info.architecture, (double)r->info.n_parameters / 1e6, n_ctx,
              (double)hearth_session_bytes(r->model, &so) / 1e6, r->info.threads, r->info.cpu);
}

/* ---- one answer ---- */

static bool finish_output(const struct runner *r, const struct gen_result *g)
{
    if (!r->o.json) return (g->text.len && g->text.data[g->text.len - 1] == '\n') || term_puts("\n");
    struct stats s = { r->info.path, r->model, g, r->load_ns, r->o.sampler.seed };
    struct buf b = { 0 };
    if (!stats_json(&s, &b)) b.bad = true;
    return term_put(&b);
}

void run_keep(struct runner *r, const struct dialog *d)
{
    struct buf path = { 0 };
    struct err e;
    if (r->raw || r->o.forget || !state_path(STATE_LAST_CHAT, &path)) return;
    if (dialog_save(d, r->called, path.data, &e) < 0) {
        term_note("hearth: this chat cannot be continued another day: %s", e.msg);
        r->o.forget = true;                                     /* once is enough */
    }
    buf_release(&path);
}

/* The chat of last time. */
static int go_on(struct runner *r, struct dialog *d, struct err *err)
{
    struct buf path = { 0 };
    int rc = r->raw ? err_set(err, ERR_ARG, "--continue needs a chat template") : 0;
    if (rc == 0 && !(state_path(STATE_LAST_CHAT, &path) && os_file_exists(path.data)))
        rc = err_set(err, ERR_NOTFOUND, "there is no chat to continue; `hearth run MODEL` begins one");
    if (rc == 0) rc = dialog_load(d, path.data, err);
    buf_release(&path);
    return rc;
}

int run_begin(struct runner *r, struct dialog *d, struct err *err)
{
    int rc = r->o.again ? go_on(r, d, err) : r->raw ? 0 : run_model_begin(&r->from, d, err);
    return rc == 0 && r->o.system && !r->raw ? dialog_set_system(d, r->o.system, err) : rc;
}

static int one_shot(struct runner *r, const char *prompt)
{
    struct dialog d = { 0 };
    struct err err;
    struct hearth_error e;
    int32_t *ids = NULL;
    size_t n;
    struct gen_result g = { 0 };
    int code = EXIT_OK;
    int rc = run_begin(r, &d, &err);
    if (rc == 0) rc = dialog_add(&d, "user", prompt, strlen(prompt), &err);
    if (rc < 0) {
        dialog_release(&d);
        return term_fail("%s", err.msg);
    }
    rc = infill_wanted(&r->o.infill) ? infill_prompt(r->model, &r->o.infill, &ids, &n, &e)
                                     : run_prompt(r, d.message, d.n, &ids, &n, &e);
    if (rc < 0 || run_answer(r, ids, n, &g, &e) < 0)
        code = term_fail("%s", e.message);
    else if (term_closed() || !finish_output(r, &g))
        code = term_write_failed();
    else {
        if (r->o.again && g.text.len && dialog_add(&d, "assistant", g.text.data, g.text.len, &err) == 0) run_keep(r, &d);
        run_remarks(r, &g, r->o.verbose || r->o.stats || (term_err_tty() && !r->o.json));
        if (g.finish == FINISH_CANCELLED) code = 128 + signals_pending();
    }
    gen_result_release(&g);
    hearth_free(ids);
    dialog_release(&d);
    return code;
}

/* prompt, an empty line, standard input; either may be missing. */
static int gather_prompt(const char *prompt, struct buf *out, struct err *err)
{
    struct buf in = { 0 };
    int rc = prompt && !input_waits() ? 0 : input_all(&in, err);
    size_t n = in.len;
    if (n && in.data[n - 1] == '\n') n--;
    if (n && in.data[n - 1] == '\r') n--;
    if (prompt) utf8_put_valid(out, prompt, strlen(prompt));
    if (prompt && *prompt && n) buf_puts(out, "\n\n");
    utf8_put_valid(out, in.data ? in.data : "", n);
    if (rc == 0 && (out->bad || in.bad)) rc = err_set(err, ERR_NOMEM, "out of memory for the prompt");
    if (rc == 0 && !out->len) rc = err_set(err, ERR_ARG, "the prompt is empty; give a text, or none for a chat in the terminal");
    if (rc == 0 && strlen(out->data) != out->len) rc = err_set(err, ERR_ARG, "the prompt has a zero byte: is it a text?");
    buf_release(&in);
    return rc;
}

static int check(const struct command *self, const struct run_options *o, const char *prompt, bool chat)
{
    for (size_t i = 0; i < o->stop.n; i++)
        if (!*o->stop.s[i]) return term_usage(self->name, "--stop needs a text that is not empty");
    for (size_t i = 0; i < o->ban.n; i++)
        if (!*o->ban.s[i]) return term_usage(self->name, "--ban needs a phrase that is not empty");
    if (o->no_template && o->system) return term_usage(self->name, "--system needs the chat template; leave --no-template out");
    if (o->no_template && (o->tools || o->think || o->think_budget))
        return term_usage(self->name, "--tools and --think need the chat template; leave --no-template out");
    if (o->tool_choice && !o->tools) return term_usage(self->name, "--tool-choice needs --tools");
    if (o->logprobs >= 0 && !o->json) return term_usage(self->name, "--logprobs needs --json");
    if (o->logprobs_after && o->logprobs < 0) return term_usage(self->name, "--logprobs-after needs --logprobs N");
    if (infill_wanted(&o->infill) && (o->system || prompt))
        return term_usage(self->name, "--fim-prefix and --fim-suffix are the whole prompt; leave %s out",
                          prompt ? "the text" : "--system");
    if (infill_wanted(&o->infill) && (o->file.n || o->again))
        return term_usage(self->name, "--file and --continue are for chats; leave --fim-prefix and --fim-suffix out");
    if (o->again && o->no_template) return term_usage(self->name, "--continue needs the chat template; leave --no-template out");
    if (o->infill.file.n && !infill_wanted(&o->infill))
        return term_usage(self->name, "--fim-file needs --fim-prefix or --fim-suffix");
    int forms = (o->schema != NULL) + (o->grammar != NULL) + (o->regex != NULL) + (o->choice != NULL);
    if (forms > 1) return term_usage(self->name, "--schema, --grammar, --regex and --choice exclude each other");
    if (o->context == HEARTH_CONTEXT_SHIFT && (forms || o->ban.n || o->tools))
        return term_usage(self->name, "--context-policy shift does not go with --ban, --tools or a form of the answer");
    if (o->keep && o->context < HEARTH_CONTEXT_MIDDLE)
        return term_usage(self->name, "--keep needs --context-policy middle or shift");
    if (o->after && !forms) return term_usage(self->name, "--after needs --schema, --grammar, --regex or --choice");
    if (o->json && chat) return term_usage(self->name, "--json needs a prompt");
    return EXIT_OK;
}

/* by: who guesses; 0: all. */
static bool read_speculate(const char *s, int *out, int *by)
{
    static const struct { const char *word; int by; } who[] = { { "ngram", HEARTH_GUESS_TEXT }, { "mtp", HEARTH_GUESS_HEAD },
                                                                { "draft", HEARTH_GUESS_DRAFT } };
    char *end = NULL;
    *out = *by = 0;
    for (int i = 0; s && i < 3; i++)
        if (!strcmp(s, who[i].word)) return (*by = who[i].by) != 0;
    long n = s && *s ? strtol(s, &end, 10) : 0;
    *out = !s || !strcmp(s, "auto") ? 0 : !strcmp(s, "off") ? GEN_PLAIN : (int)n;
    return *out <= 0 ? !s || !strcmp(s, "auto") || !strcmp(s, "off") : end && !*end && n <= HEARTH_MAX_DRAFT;
}

/* The words of --choice as a JSON array. */
static int choices_json(const char *words, struct buf *out, struct err *err)
{
    enum { MAX_CHOICES = 256 };
    size_t n = 0;
    buf_putc(out, '[');
    for (const char *p = words; p; n++) {
        size_t len = strcspn(p, ",");
        if (n == MAX_CHOICES) return err_set(err, ERR_LIMIT, "--choice has more than %d", MAX_CHOICES);
        if (n) buf_putc(out, ',');
        json_write_str(p, len, out);
        p = p[len] ? p + len + 1 : NULL;
    }
    buf_putc(out, ']');
    return out->bad ? err_set(err, ERR_NOMEM, "out of memory for the choices") : 0;
}

/* The text of what the answer is held to, and of which kind it is; *file: where it is from. */
static int form_of(struct runner *r, const char **file, struct err *err)
{
    const struct run_options *o = &r->o;
    struct buf b = { 0 };
    int rc = 0;
    *file = o->schema ? o->schema : o->grammar;
    r->form = o->schema ? HEARTH_GRAMMAR_SCHEMA : o->grammar ? HEARTH_GRAMMAR_GBNF : o->regex ? HEARTH_GRAMMAR_REGEX
                                                                                              : HEARTH_GRAMMAR_CHOICES;
    if (*file) return os_read_file(*file, 4 << 20, &r->form_text, &r->n_form_text, err);
    if (o->choice) rc = choices_json(o->choice, &b, err);
    else if (o->regex) buf_puts(&b, o->regex);
    else return 0;
    r->n_form_text = b.len;
    r->form_text = rc == 0 ? buf_take(&b) : NULL;
    buf_release(&b);
    return rc < 0 || r->form_text ? rc : err_set(err, ERR_NOMEM, "out of memory for the form of the answer");
}

/* Compiles what the answer is held to.  A chat only learns here whether it is good: it says itself where it begins. */
static int open_grammar(struct runner *r, struct hearth_error *e)
{
    const char *file;
    int rc = form_of(r, &file, (struct err *)(void *)e);
    if (rc < 0 || !r->form_text) return rc;
    rc = hearth_grammar_open(&r->grammar, r->model, r->form, r->form_text, r->n_form_text, e);
    if (rc < 0 && file && e->code != HEARTH_ENOMEM) {
        char why[sizeof e->message];
        memcpy(why, e->message, sizeof why);
        fmt_into(e->message, sizeof e->message, "%.200s: %s", file, why);
    }
    bool turn = !r->raw && !r->o.after;
    if (rc == 0 && turn) {
        hearth_grammar_close(r->grammar);
        r->grammar = NULL;
    } else {
        mem_free(r->form_text);
        r->form_text = NULL;
    }
    return rc;
}

/* An array of tools, or an object that has it as "tools". */
static int read_tools(struct runner *r, struct err *err)
{
    enum { MAX_TOOLS = 16 << 20 };
    size_t n;
    struct json *j = NULL;
    int rc = os_read_file(r->o.tools, MAX_TOOLS, &r->tools, &n, err);
    if (rc < 0) return rc;
    rc = json_parse(&j, r->tools, n, err);
    const struct json *list = json_get(j, "tools") ? json_get(j, "tools") : j;
    struct buf b = { 0 };
    if (rc < 0) rc = err_prefix(err, rc, "%s: ", r->o.tools);
    else if (json_type(list) != JSON_ARRAY) rc = err_set(err, ERR_FORMAT, "%s: expected a JSON array of tools", r->o.tools);
    else json_write(list, false, &b);
    json_free(j);
    mem_free(r->tools);
    r->tools = rc == 0 ? buf_take(&b) : NULL;
    return rc == 0 && !r->tools ? err_set(err, ERR_NOMEM, "out of memory for the tools") : rc;
}

static int with_model(struct runner *r, const struct parsed *p, const char *prompt)
{
    struct hearth_error e;
    struct err te;
    int code;
    const char *name = p->n_operands ? p->operand[0] : r->called;
    bool embedded = model_is_embedded(name);
    const struct run_get how = { .offline = r->o.offline, .yes = r->o.yes, .preset = r->o.preset };
    if (r->o.tools && read_tools(r, &te) < 0) return term_fail("%s", te.msg);
    int rc = embedded ? run_model_embedded(&r->from, &how, &te) : run_model_get(&r->from, name, &how, &te);
    if (rc == 0) rc = take_adapters(r, &te);
    if (rc < 0) return rc == ERR_CANCELLED && signals_pending() ? 128 + signals_pending() : term_fail("%s", te.msg);
    fill_settings(r, p);
    if (open_runner(r, embedded ? NULL : r->from.path, &e) < 0)
        return e.code == HEARTH_ENOTFOUND && !p->n_operands
                   ? term_fail("%s; name a model: hearth run model.gguf", e.message) : term_fail("%s", e.message);
    if (open_grammar(r, &e) < 0) return term_fail("%s", e.message);
    if (kv_files_open(r->given.kv_files, &r->kv_folder, &te) < 0) return term_fail("%s", te.msg);
    fill_settings(r, p);
    if (r->o.verbose) describe(r);
    if (r->raw && !r->o.no_template && !infill_wanted(&r->o.infill)) {
        if (r->o.tools) return term_fail("%s: has no chat template, so --tools means nothing to it", r->info.path);
        if (r->o.system) return term_fail("%s: has no chat template, so --system means nothing to it", r->info.path);
        term_note("hearth: %s has no chat template; continuing the text as it is, as with --no-template", r->info.path);
    }
    code = prompt ? one_shot(r, prompt) : repl(r);
    return code;
}

/* How the model is to be found again: a file by its whole path.  None named: that of the last chat, or the one inside. */
static int find_called(struct runner *r, const char *operand, struct buf *called, struct err *err)
{
    int rc = 0;
    if (!operand && r->o.again) rc = state_last_model(called, err);
    else if (!operand || !os_file_exists(operand) || !fs_real_path(operand, called)) buf_puts(called,
                                                                                              operand ? operand : "spark");
    if (rc == 0 && called->bad) rc = err_set(err, ERR_NOMEM, "out of memory");
    r->called = called->data;
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct runner r = { .o = { .max_tokens = -1, .logprobs = -1 } };
    struct parsed p;
    int code;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 2 }, &r.o, &p, &code)) return code;
    r.given = r.o;
    if (!read_speculate(r.o.speculate, &r.speculate, &r.guess_by))
        return term_usage(self->name, "--speculate must be auto, off, ngram, mtp, draft or 1 to %d, not \"%.20s\"",
                          HEARTH_MAX_DRAFT, r.o.speculate);
    if (r.guess_by == HEARTH_GUESS_DRAFT && !r.o.draft) return term_usage(self->name, "--speculate draft needs --draft MODEL");
    if (r.o.draft && r.speculate == GEN_PLAIN) return term_usage(self->name, "--draft does not go with --speculate off");
    const char *prompt = p.n_operands == 2 ? p.operand[1] : NULL;
    bool infill = infill_wanted(&r.o.infill), chat = !prompt && !infill && term_in_tty();
    if ((code = check(self, &r.o, prompt, chat)) != EXIT_OK) return code;
    struct buf text = { 0 }, called = { 0 };
    struct err e = { 0 };
    int rc = find_called(&r, p.n_operands ? p.operand[0] : NULL, &called, &e);
    if (rc == 0 && !chat && !infill) rc = gather_prompt(prompt, &text, &e);
    for (size_t i = 0; rc == 0 && !chat && i < r.o.file.n; i++) rc = attach_file(r.o.file.s[i], &text, &e);
    if (rc == ERR_CANCELLED)
        code = 128 + signals_pending();
    else if (rc < 0)
        code = rc == ERR_ARG ? term_usage(self->name, "%s", e.msg) : term_fail("%s", e.msg);
    else
        code = with_model(&r, &p, chat ? NULL : infill ? "" : text.data);
    end_turn(&r);
    if (r.session) kv_files_keep(r.session, &r.kv_folder);
    buf_release(&r.kv_folder);
    mem_free(r.tools);
    mem_free(r.form_text);
    hearth_session_close(r.session);
    hearth_session_close(r.draft);
    hearth_grammar_close(r.grammar);
    adapters_close(&r.adapters);
    hearth_model_close(r.model);
    hearth_model_close(r.draft_model);
    run_model_release(&r.from);
    buf_release(&called);
    buf_release(&text);
    return code;
}

const struct command command_row_run = {
    .name = "run",
    .operands = "[MODEL] [PROMPT]",
    .summary = "chat with a model, or get one answer",
    .about = "MODEL is a name (of `hearth list`, or of a model that is then fetched), a GGUF file (of a split model the first\n"
             "part) or a folder from the Hugging Face Hub; without one, or with the name spark, the tiny model in this program\n"
             "answers.  With a prompt there is one answer; without, a chat.  Text from a pipe is added to the prompt.\n",
    .example = "model.gguf 'Why is the sky blue?'",
    .more = (const char *const[]){ "hearth run model.gguf", "hearth run --continue",
                                   "hearth run qwen3:0.6b \"Why is the sky blue?\"",
                                   "cat letter.txt | hearth run model.gguf \"Summarise this letter.\"",
                                   "hearth run model.gguf --file main.c \"What does it do?\"",
                                   "hearth run coder.gguf --fim-prefix before.c --fim-suffix after.c",
                                   "hearth run base.gguf --no-template --seed 1 \"Once upon a time\"",
                                   "hearth run large.gguf --draft small.gguf \"Write a program.\"",
                                   "hearth run model.gguf --choice yes,no \"Is this spam? Win a prize!\"", NULL },
    .options = { row, N_ROWS },
    .run = run,
};
