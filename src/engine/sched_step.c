/* sched_step.c - one step of the engine: the tokens that are written now and parts of new prompts in common batches. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/sched.h"

/* Of texts to embed, between steps that write: at least so many tokens.  Of a prompt, before it is known how long they take, and
 * how much more than what went well before. */
enum { LEAST_CHUNK = 8, FIRST_CHUNK = 4 };

/* ---- slots ---- */

void sched_types(const struct hearth_request *r, enum dtype out[2])
{
    for (int i = 0; i < 2; i++) out[i] = r->kind == REQUEST_SCORE ? DT_F32 : r->g->type[i];
}

void stream_key(const struct hearth_request *r, struct prefix_key *out)
{
    const struct hearth_engine *g = r->g;
    enum dtype type[2];
    sched_types(r, type);
    *out = (struct prefix_key){ .salt = r->o.cache_salt, .type = { (uint32_t)type[0], (uint32_t)type[1] },
                                .adapters = r->o.adapters ? r->adaption.key : g->m->adaption.key,
                                .variant = (uint32_t)(g->variant - g->m->variant) };
}

int stream_open(struct stream *x, struct err *err)
{
    const struct hearth_request *r = x->r;
    const struct hearth_engine *g = r->g;
    struct hearth_model *m = g->m;
    struct seq_options q = { .n_max = x->n_max, .alone = r->o.no_cache };
    x->s = (struct hearth_session){ .m = m, .variant = g->variant, .n_logits = 1, .n_rows = 1 };
    lock_take(&m->lock);
    int rc = engine_adapt_copy(&x->s.adaption, r->o.adapters ? &r->adaption : &m->adaption, err);
    if (rc == 0) engine_adapt_room(m, &x->s.adaption);
    stream_key(r, &q.key);
    lock_give(&m->lock);
    if (rc < 0) return rc;
    rc = seq_open(&x->s.q, &m->pool, &q, err);
    if (rc < 0) return rc;
    x->text = mem_new_array(int32_t, x->n_max);
    x->s.logits = x->logits = mem_new_array(float, m->h.n_vocab);
    if (!x->text || !x->logits) return err_set(err, ERR_NOMEM, "out of memory for an answer");
    if (r->kind == REQUEST_SCORE) return 0;
    memcpy(x->text, r->prompt, r->n_prompt * sizeof *x->text);
    x->n_text = r->n_prompt;
    x->cut = r->cut;
    rc = stream_open_guesses(x, err);
    return rc < 0 ? rc : stream_open_answer(x, err);
}

/* Gives its pages to others; it goes on from the cache, or from its beginning. */
static void pause(struct hearth_engine *g, struct stream *x)
{
    seq_empty(&x->s.q);
    x->state = STREAM_PAUSES;
    x->begun = false;
    lock_take(&g->lock);
    g->stats.n_preempted++;
    lock_give(&g->lock);
}

/* No pages are left: the least important of the youngest pauses, and the last of all ends. */
static void make_room(struct hearth_engine *g, const struct err *err)
{
    struct stream *least = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_run; i++) {
        struct stream *x = g->run[i];
        if (x->state != STREAM_RUNS) continue;
        n++;
        int a = x->r->o.priority, b = least ? least->r->o.priority : 0;
        if (!least || a < b || (a == b && x->age > least->age)) least = x;
    }
    if (n > 1) pause(g, least);
    else if (least) stream_end(least, HEARTH_FINISH_ERROR, -1, (const struct hearth_error *)(const void *)err);
}

/* One that pauses goes on when another has ended, or nothing else runs. */
static void resume(struct hearth_engine *g)
{
    struct stream *oldest = NULL;
    uint32_t running = 0;
    for (uint32_t i = 0; i < g->n_run; i++) {
        struct stream *x = g->run[i];
        running += x->state == STREAM_RUNS;
        if (x->state == STREAM_PAUSES && (!oldest || x->age < oldest->age)) oldest = x;
    }
    if (oldest && (g->ended || !running)) oldest->state = STREAM_RUNS;
    g->ended = false;
}

/* ---- the batch ---- */

struct tick {
    struct stream *of[MAX_RUNNING];   /* whose the items are */
    uint32_t n, n_plain, n_new;       /* items; those that write; tokens of prompts, */
    double n_cost;                    /* as so many at the beginning of a text */
    uint32_t n_guessed, n_headed, n_right, n_rows;
    uint32_t n_again;                 /* tokens of those that write, beside one of each */
};

static void add(struct hearth_engine *g, struct tick *s, struct stream *x, uint32_t n)
{
    bool last = n == stream_pending(x), prompt = !stream_writes(x);
    struct seq *q = &x->s.q;
    g->m->item[s->n] = (struct eval_item){ .q = q, .ids = x->text + q->n, .n = n, .logits = x->s.logits, .n_logits = last,
                                           .save_at = prompt ? seq_save_at(q, x->n_text - 1) : 0,
                                           .adapt = &x->s.adaption.set };
    s->of[s->n++] = x;
    if (!prompt) s->n_again += n - 1;
    if (x->ahead && !seq_back_room(q)) x->ahead = 0;
    if (!x->ahead) return;
    struct eval_item *it = &g->m->item[s->n - 1];
    it->logits = x->rows = g->rows + (size_t)s->n_rows * g->m->h.n_vocab;
    it->n_logits = 1 + x->ahead;
    it->n += it->n_guess = x->ahead;
    s->n_rows += 1 + x->ahead;
    s->n_guessed += x->ahead;
    s->n_headed += x->headed ? x->ahead : 0;
}

uint32_t sched_budget(const struct hearth_engine *g, double ns)
{
    double n = ns > 0 ? g->o.budget_ms * 1e6 / 2 / ns : LEAST_CHUNK;
    return n < LEAST_CHUNK ? LEAST_CHUNK : n < MAX_BATCH ? (uint32_t)n : MAX_BATCH;
}

/* Tokens of a prompt behind `depth` others take longer, for they look at them. */
static double weight_of(const struct hearth_engine *g, double depth) { return 1 + g->token_slope * depth; }

void sched_slope(struct hearth_engine *g)
{
    enum { FAR = 1024 };
    struct engine_work here, far;
    engine_work(g->m, &(struct engine_step){ .T = 1, .S = 1, .kv_type = g->o.kv_type, .kv_type_v = g->o.kv_type_v }, &here);
    engine_work(g->m, &(struct engine_step){ .T = 1, .S = 1, .depth = FAR, .kv_type = g->o.kv_type, .kv_type_v = g->o.kv_type_v },
                &far);
    g->token_slope = here.few_macs > 0 ? (far.few_macs / here.few_macs - 1) / FAR : 0;
}

/* How many tokens, as of the beginning of a text, go along with those that write.  The promise is that nobody waits longer than
 * twice as long as alone and the budget: two fifths are left for what nobody can foresee. */
static double chunk_of(const struct hearth_engine *g, const struct tick *s)
{
    if (!s->n) return 1e30;
    const double most = 2 * g->last_chunk + FIRST_CHUNK, budget = 0.6 * g->o.budget_ms * 1e6 + 0.5 * g->plain_ns;
    double n = g->token_ns > 0 ? budget / (g->texts_wait ? 2 : 1) / g->token_ns : FIRST_CHUNK;
    return n < most ? n : most;
}

/* Looks for what is there of a text that has just got its slot. */
static int begin(struct stream *x, struct err *err)
{
    if (x->begun) return 0;
    int rc = seq_begin(&x->s.q, x->text, x->n_text - 1, err);
    if (rc < 0) return rc;
    x->begun = true;
    x->again = 0;
    if (!x->n_answer && !x->n_back) x->n_kept = x->s.q.n;
    return 0;
}

/* All that write, then parts of prompts, each in its turn. */
static int plan_step(struct hearth_engine *g, struct tick *s, struct err *err)
{
    for (uint32_t i = 0; i < g->n_run; i++) {
        struct stream *x = g->run[i];
        int rc = x->state == STREAM_RUNS ? begin(x, err) : 0;
        if (rc < 0) return rc;
        if (x->state == STREAM_RUNS && stream_writes(x)) add(g, s, x, stream_pending(x));
    }
    s->n_plain = s->n;
    const double all = chunk_of(g, s);
    for (uint32_t k = 0; k < g->n_run && s->n_plain + s->n_new < MAX_BATCH; k++) {
        struct stream *x = g->run[(g->turn + k) % g->n_run];
        if (x->state != STREAM_RUNS || stream_writes(x)) continue;
        const double weight = weight_of(g, x->s.q.n), left = (all - s->n_cost) / weight;
        uint32_t n = MAX_BATCH - s->n_plain - s->n_new;
        if (stream_pending(x) < n) n = stream_pending(x);
        if (left < n) n = left >= 1 ? (uint32_t)left : !s->n_new;      /* one at least, so that prompts get on */
        if (!n) break;
        add(g, s, x, n);
        s->n_new += n;
        s->n_cost += n * weight;
    }
    g->turn++;
    return 0;
}

/* Rows of logits may need several batches. */
static int evaluate(struct hearth_engine *g, const struct tick *s, struct err *err)
{
    struct hearth_model *m = g->m;
    for (uint32_t i = 0; i < s->n;) {
        int rc = engine_eval(m, g->variant, m->item + i, s->n - i, MAX_BATCH, err);
        if (rc < 0) return rc;
        while (i < s->n && m->item[i].at == m->item[i].n) i++;
    }
    return 0;
}

/* How long steps take decides how much of a prompt goes along with those that write. */
static void learn(struct hearth_engine *g, const struct tick *s, double ns)
{
    const double keep = 0.75;
    if (s->n_plain && s->n_new) g->last_chunk = s->n_cost;
    if (!s->n_new && s->n_plain <= MOST_GUESSING) pace_learn(&g->pace[s->n_plain], s->n_guessed + s->n_again, ns);
    if (s->n_guessed || s->n_again) return;
    if (!s->n_new) {
        g->plain_ns = g->plain_ns > 0 ? keep * g->plain_ns + (1 - keep) * ns : ns;
        return;
    }
    double base = s->n_plain ? g->plain_ns : 0, token = ns > base ? (ns - base) / s->n_cost : 0;
    /* Believed at once when they took longer; few tokens say little. */
    double share = (token > g->token_ns ? keep : 1 - keep) * s->n_new / (s->n_new + FIRST_CHUNK);
    g->token_ns += (g->token_ns > 0 ? share : 1) * (token - g->token_ns);
}

/* ---- what comes out ---- */

/* The other completions go on from where the first has read the prompt; one that cannot reads it itself. */
static void fork_others(struct stream *x)
{
    struct hearth_request *r = x->r;
    for (uint32_t i = 0; i < r->o.n_completions; i++) {
        struct stream *y = &r->stream[i];
        if (y->state != STREAM_FORKS) continue;
        y->state = STREAM_RUNS;
        bool shares = seq_fork(&y->s.q, &x->s.q, NULL) == 0;
        if (r->kind == REQUEST_SCORE) question_next(y);
        if (r->kind == REQUEST_SCORE || !shares) continue;
        memcpy(y->s.logits, x->s.logits, x->s.m->h.n_vocab * sizeof *y->s.logits);
        y->begun = y->ready = true;
        y->n_kept = r->n_prompt;
    }
}

/* The last tokens are no part of the answer: its text is as it was before them, and the first is not picked again there. */
static void take_back(struct stream *x, uint32_t n, int32_t first)
{
    struct err err = { 0 };
    struct hearth_error *e = (struct hearth_error *)(void *)&err;
    x->n_text -= n;
    x->n_answer -= n;
    x->n_back += n;
    x->begun = false;
    int rc = x->sampler ? hearth_sampler_forbid(x->sampler, x->n_text, first, e) : 0;
    if (rc == 0 && x->n_back > 4096 + 16 * x->n_answer)
        err_set(&err, ERR_LIMIT, "the model comes back to banned phrases again and again; ban fewer");
    if (err.code) {
        stream_end(x, HEARTH_FINISH_ERROR, -1, e);
        return;
    }
    struct hearth_event event = stream_event(x, -1);
    event.n_back = n;
    if (x->r->o.event && !x->r->o.event(x->r->o.arg, &event)) stream_end(x, HEARTH_FINISH_STOPPED, -1, NULL);
}

/* Not when tokens would go that may still be taken back. */
static bool may_shift(const struct stream *x)
{
    struct hearth_cut c;
    if (x->r->o.context != HEARTH_CONTEXT_SHIFT) return false;
    hearth_context_shift(x->n_text, x->r->o.n_keep, &c);
    return !x->decoder || c.from + c.n + hearth_decoder_held(x->decoder) <= x->n_text;
}

/* The context is full, and goes on with a part of its text. */
static void shift(struct stream *x)
{
    const struct hearth_request_options *o = &x->r->o;
    struct err err = { 0 };
    hearth_context_shift(x->n_text, o->n_keep, &x->cut);
    if (x->sampler && engine_sampler_cut(x->sampler, x->text, x->n_text, &x->cut, &err) < 0) {
        stream_end(x, HEARTH_FINISH_ERROR, -1, (const struct hearth_error *)(const void *)&err);
        return;
    }
    x->n_text = (uint32_t)hearth_context_cut(x->text, x->n_text, &x->cut);
    x->begun = false;
    size_t more = o->min_tokens > x->n_answer ? o->min_tokens - x->n_answer : 0;
    if (x->sampler) hearth_sampler_no_end_before(x->sampler, more ? x->n_text + more : 0);
}

/* One more token of the answer; picked: from the logits that are there.  false: nothing may follow it in this step. */
static bool take_token(struct stream *x, int32_t id, bool picked)
{
    struct hearth_request *r = x->r;
    x->n_answer++;
    x->picked = picked;
    x->text[x->n_text++] = id;
    bool end = !r->o.ignore_end && hearth_token_is_end(x->s.m, id);
    uint32_t n_back = 0;
    int32_t first = -1;
    enum said said = end ? SAID : stream_say(x, id, &n_back, &first);
    int finish = end ? HEARTH_FINISH_END : said == SAID_STOP ? HEARTH_FINISH_STOP
               : r->o.max_tokens && x->n_answer == r->o.max_tokens ? HEARTH_FINISH_LENGTH
               : x->n_text == x->n_max && !may_shift(x) ? HEARTH_FINISH_CONTEXT : 0;
    if (said == SAID_NOMEM) {
        struct err err;
        err_set(&err, ERR_NOMEM, "out of memory for the answer");
        stream_end(x, HEARTH_FINISH_ERROR, -1, (const struct hearth_error *)(const void *)&err);
        return false;
    }
    if (finish && said != SAID_BACK) {
        stream_end(x, finish, id, NULL);
        return false;
    }
    struct hearth_event event = stream_event(x, id);
    if (r->o.event && !r->o.event(r->o.arg, &event)) {
        stream_end(x, HEARTH_FINISH_STOPPED, -1, NULL);
        return false;
    }
    x->cut.n = 0;
    if (said == SAID_BACK) take_back(x, n_back, first);
    else if (x->n_text == x->n_max) shift(x);
    return said == SAID && x->state == STREAM_RUNS;
}

/* The tokens that come next at the place whose logits there are. */
static uint32_t give_tokens(struct stream *x, bool *goes_on)
{
    struct err err = { 0 };
    int32_t ids[MOST_FORCED];
    bool forced;
    int finish;
    uint32_t room = x->n_max - x->n_text, n, i = 0;
    n = stream_next(x, ids, room < MOST_FORCED ? room : MOST_FORCED, &forced, &finish, &err);
    if (!n) stream_end(x, finish, -1, err.code ? (const struct hearth_error *)(const void *)&err : NULL);
    *goes_on = n > 0;
    while (i < n && *goes_on) *goes_on = take_token(x, ids[i++], !forced);
    return i;
}

/* Those that have just got their slot, or that read a prompt, tell how far they are. */
static void tell_read(const struct hearth_engine *g, bool begun)
{
    for (uint32_t i = 0; i < g->n_run; i++) {
        const struct stream *x = g->run[i];
        const struct hearth_request *r = x->r;
        if (r->o.read && x->index == 0 && x->state == STREAM_RUNS && x->begun == begun && !x->n_answer && stream_pending(x))
            r->o.read(r->o.arg, begun ? x->s.q.n : 0, begun ? x->n_kept : 0, r->n_prompt);
    }
}

static void count(struct hearth_engine *g, const struct tick *s, uint32_t answers)
{
    atomic_fetch_add(&g->n_steps, s->n > 0);
    atomic_fetch_add(&g->n_step_texts, s->n);
    lock_take(&g->lock);
    g->stats.n_steps++;
    g->stats.n_prompt_tokens += s->n_new;
    g->stats.n_answer_tokens += answers;
    g->stats.n_guessed += s->n_guessed;
    g->stats.n_head_guessed += s->n_headed;
    g->stats.n_right += s->n_right;
    lock_give(&g->lock);
}

static int compute(struct hearth_engine *g, struct tick *s, struct err *err)
{
    s->n_cost = 0;
    s->n = s->n_plain = s->n_new = s->n_guessed = s->n_headed = s->n_right = s->n_rows = s->n_again = 0;
    int rc = plan_step(g, s, err);
    return rc < 0 ? rc : evaluate(g, s, err);
}

/* The first text of an answer reaches its reader before all threads compute again: where they keep all processors busy, those
 * who pass it on get their turn milliseconds later.  It takes a hundredth of a step, once for each answer. */
static void let_out(struct hearth_engine *g)
{
    const double most = 4e5, ns = g->plain_ns > 0 ? 0.01 * g->plain_ns : 1e5;
    os_wait_for(&g->wake, atomic_load(&g->wake), (uint64_t)(ns < most ? ns : most));
}

void sched_step(struct hearth_engine *g)
{
    struct tick s;
    struct err err = { 0 };
    resume(g);
    tell_read(g, false);
    guesses_make(g);
    lock_take(&g->m->lock);
    uint64_t start = os_now_ns();
    int rc = compute(g, &s, &err);
    if (rc < 0) {
        guesses_forget(g);                                    /* nobody gives way for what is only likely */
        if (s.n_guessed) rc = compute(g, &s, &err);
    }
    for (uint32_t i = 0; i < s.n; i++) {
        const struct eval_item *it = &g->m->item[i];
        s.of[i]->ready = it->n_logits && it->at == it->n;
    }
    lock_give(&g->m->lock);
    if (rc == 0) learn(g, &s, (double)(os_now_ns() - start));
    tell_read(g, true);
    for (uint32_t i = 0; i < s.n; i++) {
        if (!s.of[i]->ready || s.of[i]->n_answer) continue;
        seq_publish(&s.of[i]->s.q);
        if (s.of[i]->index == 0) fork_others(s.of[i]);
    }
    uint32_t answers = 0;
    bool first = false;
    for (uint32_t i = 0, n = g->n_run; i < n; i++) {
        struct stream *x = g->run[i];
        bool goes_on;
        if (!x->ready || x->state != STREAM_RUNS) continue;
        x->ready = false;
        x->again = 0;
        first |= !x->n_answer;
        if (x->r->kind == REQUEST_SCORE) question_answer(x);
        else answers += x->ahead ? guesses_check(x, give_tokens, &s.n_right) : give_tokens(x, &goes_on);
    }
    count(g, &s, answers);
    if (rc < 0) make_room(g, &err);
    if (first && g->n_run) let_out(g);
}
