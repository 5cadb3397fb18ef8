/* sched_say.c - what an answer of the engine may be, and what it says: samplers held to a form, stop strings and bans, the
 * reader of a chat. */
#include <string.h>

#include "base/mem.h"
#include "engine/sched.h"

static struct hearth_error *error_of(struct err *err) { return (struct hearth_error *)(void *)err; }

/* ---- requests ---- */

/* Both lists of strings in one block: pointers, then bytes. */
static bool copy_strings(struct hearth_request *r, const struct hearth_request_options *o)
{
    size_t n = o->n_stop + o->n_ban, bytes = 0, k = 0;
    const char *const *list[] = { o->stop, o->ban };
    const size_t many[] = { o->n_stop, o->n_ban };
    if (!n) return true;
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < many[l]; i++) bytes += strlen(list[l][i]) + 1;
    r->strings = mem_new(1, n * sizeof *r->strings + bytes);
    if (!r->strings) return false;
    char *at = (char *)(r->strings + n);
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < many[l]; i++) {
            size_t len = strlen(list[l][i]) + 1;
            memcpy(at, list[l][i], len);
            r->strings[k++] = at;
            at += len;
        }
    r->o.stop = r->strings;
    r->o.ban = r->strings + o->n_stop;
    return true;
}

int request_copy_answer(struct hearth_request *r, const struct hearth_request_options *o, struct err *err)
{
    r->o.stop = r->o.ban = NULL;
    r->o.bias = NULL;
    if (o->chat && hearth_chat_fork(&r->chat, o->chat, error_of(err)) < 0) return err->code;
    r->o.chat = r->chat;
    r->o.grammar = r->grammar = engine_grammar_share(o->grammar);
    bool ok = copy_strings(r, o);
    if (ok && o->n_bias) {
        r->o.bias = r->bias = mem_new_array(struct hearth_bias, o->n_bias);
        if (r->bias) memcpy(r->bias, o->bias, o->n_bias * sizeof *o->bias);
        ok = r->bias != NULL;
    }
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory for a request");
}

void request_free_answer(struct hearth_request *r)
{
    hearth_chat_close(r->chat);
    hearth_grammar_close(r->grammar);
    mem_free(r->strings);
    mem_free(r->bias);
}

void hearth_request_stop_thinking(struct hearth_request *r) { atomic_fetch_add(&r->enough, 1); }

/* ---- streams ---- */

static int open_sampler(struct stream *x, struct err *err)
{
    const struct hearth_request *r = x->r;
    struct hearth_error *e = error_of(err);
    struct hearth_sampler_options so = r->sampler;
    so.seed += x->index;
    int rc = hearth_sampler_open(&x->sampler, x->s.m, &so, e);
    for (size_t i = 0; rc == 0 && i < r->o.n_bias; i++) rc = hearth_sampler_bias(x->sampler, r->bias[i].id, r->bias[i].bias, e);
    if (rc < 0) return rc;
    if (r->o.min_tokens) hearth_sampler_no_end_before(x->sampler, (size_t)r->n_prompt + r->o.min_tokens);
    if (r->chat) return hearth_chat_hold(r->chat, x->sampler, r->n_prompt, &x->held, e);
    x->held = r->grammar != NULL;
    return x->held ? hearth_sampler_set_grammar(x->sampler, r->grammar, r->n_prompt, NULL, e) : 0;
}

int stream_open_answer(struct stream *x, struct err *err)
{
    const struct hearth_request *r = x->r;
    struct hearth_error *e = error_of(err);
    int rc = r->o.pick ? 0 : open_sampler(x, err);
    if (rc == 0 && r->chat) rc = hearth_chat_fork(&x->chat, r->chat, e);
    if (rc < 0 || (!r->chat && !r->o.said && !r->o.n_stop && !r->o.n_ban)) return rc;
    /* A form is about all of the answer: no first space is dropped. */
    bool continues = !r->chat || x->held || engine_chat_continues(r->chat);
    rc = hearth_decoder_open(&x->decoder, x->s.m, r->chat != NULL, continues, e);
    return rc < 0 ? rc : hearth_decoder_watch(x->decoder, r->o.stop, r->o.n_stop, r->o.ban, r->o.n_ban, e);
}

void stream_close_answer(struct stream *x)
{
    hearth_sampler_close(x->sampler);
    hearth_chat_close(x->chat);
    hearth_decoder_close(x->decoder);
    x->sampler = NULL;
    x->chat = NULL;
    x->decoder = NULL;
}

/* ---- what comes next ---- */

uint32_t stream_next(struct stream *x, int32_t *ids, uint32_t most, bool *forced, int *finish, struct err *err)
{
    const struct hearth_request *r = x->r;
    struct hearth_error *e = error_of(err);
    uint32_t n = 0, enough = atomic_load(&r->enough);
    *finish = HEARTH_FINISH_STOPPED;
    *forced = true;
    if (enough != x->enough && x->chat) hearth_chat_stop_thinking(x->chat);
    x->enough = enough;
    while (n < most && x->chat && hearth_chat_next(x->chat, &ids[n])) n++;
    if (n) return n;
    if (x->held) {
        int state = hearth_sampler_grammar_state(x->sampler, &x->s, e);
        *finish = state < 0 ? HEARTH_FINISH_ERROR : HEARTH_FINISH_END;
        if (state) return 0;
        size_t many = 0;
        if (!r->o.every_token && hearth_sampler_forced(x->sampler, &x->s, ids, most, &many, e) < 0) {
            *finish = HEARTH_FINISH_ERROR;
            return 0;
        }
        if (many) return (uint32_t)many;
    }
    *forced = false;
    ids[0] = r->o.pick ? r->o.pick(r->o.arg, x->index, &x->s) : hearth_sampler_pick(x->sampler, &x->s);
    if (ids[0] >= 0 && (uint32_t)ids[0] < x->s.m->h.n_vocab) return 1;
    *finish = x->held && hearth_sampler_grammar_state(x->sampler, &x->s, e) < 0 ? HEARTH_FINISH_ERROR : HEARTH_FINISH_STOPPED;
    return 0;
}

/* ---- what is said ---- */

static void on_chat(void *arg, const struct hearth_chat_event *said)
{
    struct stream *x = arg;
    if (x->r->o.said) x->r->o.said(x->r->o.arg, x->index, said);
}

static bool say_text(struct stream *x, const char *text, bool end)
{
    size_t n = strlen(text);
    if (x->chat) return hearth_chat_push_text(x->chat, text, n, end, on_chat, x, NULL) == 0;
    if (n) on_chat(x, &(struct hearth_chat_event){ .kind = HEARTH_CHAT_TEXT, .text = text, .n = n, .name = "", .id = "" });
    return true;
}

enum said stream_say(struct stream *x, int32_t id, uint32_t *n_back, int32_t *first)
{
    size_t back = 0;
    if (!x->decoder) return SAID;
    bool wanted = !x->chat || hearth_chat_wants(x->chat, id);
    if (!say_text(x, wanted ? hearth_decoder_push(x->decoder, id) : "", false)) return SAID_NOMEM;
    if (!wanted) return SAID;
    int state = hearth_decoder_state(x->decoder, &back, first);
    *n_back = (uint32_t)back;
    return state == HEARTH_TEXT_STOPPED ? SAID_STOP : state == HEARTH_TEXT_BANNED ? SAID_BACK : SAID;
}

void stream_say_end(struct stream *x)
{
    if (x->said_end || !x->decoder) return;
    x->said_end = true;
    size_t back;
    int32_t first;
    bool stopped = hearth_decoder_state(x->decoder, &back, &first) == HEARTH_TEXT_STOPPED;
    say_text(x, stopped ? "" : hearth_decoder_push(x->decoder, -1), true);
}

const char *stream_stop(const struct stream *x) { return x->decoder ? hearth_decoder_stop(x->decoder) : NULL; }
