#include "server/admit.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum { REMEMBERED = 1024 };

void admit_limits(struct admit *a, uint32_t running, uint32_t waiting, uint32_t per_user)
{
    lock_take(&a->lock);
    a->max_running = running;
    a->max_waiting = waiting;
    a->max_user = per_user;
    lock_give(&a->lock);
}

/* ---- under the lock ---- */

static void user_out(struct admit *a, struct admit_user *u)
{
    if (a->user == u) a->user = u->next == u ? NULL : u->next;
    u->prev->next = u->next;
    u->next->prev = u->prev;
    a->n_users--;
    mem_free(u);
}

/* Those without jobs who have had no more than others, or all when nobody asks for anything. */
static void forget(struct admit *a)
{
    bool idle = !a->running && !a->waiting;
    for (uint32_t i = a->n_users; i-- > 0 && a->user;) {
        struct admit_user *u = a->user;
        a->user = u->next;
        if (!u->n && (idle || u->served <= a->clock || a->n_users > REMEMBERED)) user_out(a, u);
    }
    if (!a->user) a->clock = 0;
}

static struct admit_user *user_of(struct admit *a, const char *name)
{
    struct admit_user *u = a->user;
    if (u)
        do {
            if (!strncmp(u->name, name, sizeof u->name - 1)) break;
            u = u->next;
        } while (u != a->user);
    bool known = u && !strncmp(u->name, name, sizeof u->name - 1);
    if (!known && !(u = mem_new(1, sizeof *u))) return NULL;
    if (u->served < a->clock) u->served = a->clock;
    if (known) return u;
    fmt_into(u->name, sizeof u->name, "%s", name);
    a->n_users++;
    if (!a->user) {
        a->user = u->prev = u->next = u;
        return u;
    }
    u->next = a->user;                                        /* the last in turn */
    u->prev = a->user->prev;
    u->prev->next = u->next->prev = u;
    return u;
}

static void user_less(struct admit *a, struct admit_user *u)
{
    if (!--u->n) forget(a);
}

/* It begins to run. */
static void charge(struct admit *a, struct ticket *t)
{
    struct admit_user *u = t->user;
    if (u->served > a->clock) a->clock = u->served;
    t->guess = a->mean_cost;
    u->served += t->guess;
}

static void take_out(struct admit *a, struct ticket *t)
{
    struct admit_user *u = t->user;
    *(t->prev ? &t->prev->next : &u->first) = t->next;
    *(t->next ? &t->next->prev : &u->last) = t->prev;
    t->prev = t->next = NULL;
    t->state = TICKET_NONE;
    a->waiting--;
}

/* ---- the queue ---- */

enum admission admit_enter(struct admit *a, struct ticket *t, const char *user, uint64_t deadline)
{
    enum admission r = ADMIT_FULL;
    lock_take(&a->lock);
    bool runs = a->running < a->max_running && !a->waiting;
    struct admit_user *u = runs || a->waiting < a->max_waiting ? user_of(a, user) : NULL;
    if (u) {
        u->n++;
        *t = (struct ticket){ .user = u, .since = os_now_ns(), .deadline = deadline };
        r = runs ? ADMIT_RUN : ADMIT_WAIT;
        if (a->max_user && u->n > a->max_user) {
            r = ADMIT_USER_FULL;
            user_less(a, u);
        } else if (runs) {
            t->state = TICKET_RUNS;
            a->running++;
            charge(a, t);
        } else {
            t->state = TICKET_WAITS;
            t->prev = u->last;
            *(u->last ? &u->last->next : &u->first) = t;
            u->last = t;
            a->waiting++;
        }
    }
    lock_give(&a->lock);
    return r;
}

void admit_leave(struct admit *a, struct ticket *t, uint64_t cost)
{
    lock_take(&a->lock);
    if (t->state == TICKET_WAITS) {
        take_out(a, t);
        user_less(a, t->user);
    } else if (t->state == TICKET_RUNS) {
        struct admit_user *u = t->user;
        uint64_t ran = os_now_ns() - t->since;
        a->mean_ns = a->mean_ns ? a->mean_ns - a->mean_ns / 8 + ran / 8 : ran;
        a->mean_cost = a->mean_cost ? a->mean_cost - a->mean_cost / 8 + cost / 8 : cost;
        u->served = u->served + cost > t->guess ? u->served + cost - t->guess : 0;
        a->running--;
        t->state = TICKET_NONE;
        user_less(a, u);
    }
    lock_give(&a->lock);
}

bool admit_withdraw(struct admit *a, struct ticket *t)
{
    lock_take(&a->lock);
    bool waits = t->state == TICKET_WAITS;
    if (waits) {
        take_out(a, t);
        user_less(a, t->user);
    }
    lock_give(&a->lock);
    return waits;
}

struct ticket *admit_next(struct admit *a)
{
    struct ticket *t = NULL;
    lock_take(&a->lock);
    if (a->waiting && a->running < a->max_running) {
        struct admit_user *u = a->user, *least = NULL;
        do {
            if (u->first && (!least || u->served < least->served)) least = u;
            u = u->next;
        } while (u != a->user);
        t = least->first;
        take_out(a, t);
        t->state = TICKET_RUNS;
        t->since = os_now_ns();
        a->running++;
        charge(a, t);
        a->user = least->next;
    }
    lock_give(&a->lock);
    return t;
}

struct ticket *admit_late(struct admit *a, uint64_t now)
{
    struct ticket *late = NULL;
    lock_take(&a->lock);
    struct admit_user *u = a->waiting ? a->user : NULL;
    if (u)
        do {
            for (struct ticket *t = u->first; t && !late; t = t->next)
                if (t->deadline && now >= t->deadline) late = t;
            u = u->next;
        } while (!late && u != a->user);
    if (late) {
        take_out(a, late);
        user_less(a, late->user);
    }
    lock_give(&a->lock);
    return late;
}

unsigned admit_retry_s(struct admit *a)
{
    lock_take(&a->lock);
    uint64_t s = a->mean_ns / 1000000000 * (a->waiting / 2 + 1) / (a->max_running ? a->max_running : 1);
    lock_give(&a->lock);
    return s < 1 ? 1 : s > 60 ? 60 : (unsigned)s;
}
