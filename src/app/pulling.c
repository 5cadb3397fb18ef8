#include "app/pulling.h"

#include <string.h>

#include "app/input.h"
#include "app/listing.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/json.h"
#include "base/os.h"

static bool ask(struct pulling *p, uint64_t missing)
{
    struct buf size = { 0 }, name = { 0 };
    struct input_lines in = { 0 };
    const char *line = "";
    size_t n = 0;
    bool has = false;
    put_bytes(missing, &size);
    name_put_short(p->name, &name);
    bool yes = false;
    if (!term_in_tty() || !term_err_tty()) {
        term_note("hearth: %s would fetch %s and nobody is here to ask; type: hearth pull --yes %s", name.data, size.data,
                  name.data);
        p->refused = "more than 10 GB, and nobody to ask";
    } else {
        term_note("hearth: %s has %s to fetch.  Go on? [y/N]", name.data, size.data);
        yes = input_line(&in, &line, &n, &has, NULL) == 0 && has && n && (*line == 'y' || *line == 'Y');
        if (!yes) p->refused = "not wanted";
    }
    buf_release(&in.data);
    buf_release(&size);
    buf_release(&name);
    return yes;
}

static bool planned(void *arg, uint64_t total, uint64_t missing)
{
    struct pulling *p = arg;
    p->missing = missing;
    p->total = total;
    p->fetched_from = total - missing;
    p->begun = p->speed_at = os_now_ns();
    p->speed_bytes = p->done = p->fetched_from;
    return p->yes || missing <= PULL_ASK_ABOVE || ask(p, missing);
}

/* Bytes a second, of the last seconds. */
static void measure(struct pulling *p, uint64_t now)
{
    double s = (double)(now - p->speed_at) / 1e9;
    if (s < 0.5) return;
    double v = (double)(p->done - p->speed_bytes) / s;
    p->speed = p->speed > 0 ? 0.7 * p->speed + 0.3 * v : v;
    p->speed_at = now;
    p->speed_bytes = p->done;
}

static void show_json(const struct pulling *p, const char *file, uint64_t total)
{
    struct buf b = { 0 };
    buf_puts(&b, "{\"status\":\"pulling\",\"file\":");
    json_write_str(file, strlen(file), &b);
    buf_printf(&b, ",\"completed\":%llu,\"total\":%llu,\"bytes_per_second\":%.0f", (unsigned long long)p->done,
               (unsigned long long)total, p->speed);
    if (p->speed > 0) buf_printf(&b, ",\"seconds_left\":%.0f", (double)(total - p->done) / p->speed);
    buf_puts(&b, "}\n");
    term_put(&b);
}

static void put_amount(uint64_t done, uint64_t total, struct buf *out)
{
    if (total >= 1000000000) buf_printf(out, "%.2f of %.2f GB", (double)done / 1e9, (double)total / 1e9);
    else buf_printf(out, "%.1f of %.1f MB", (double)done / 1e6, (double)total / 1e6);
}

static void show_line(const struct pulling *p, uint64_t total)
{
    struct buf amount = { 0 };
    char left[32] = "";
    unsigned s = p->speed > 0 ? (unsigned)((double)(total - p->done) / p->speed + 0.5) : 0;
    if (p->speed > 0 && s < 360000) fmt_into(left, sizeof left, s >= 3600 ? "%u:%02u:%02u left" : "%u:%02u left",
                                             s >= 3600 ? s / 3600 : s / 60, s >= 3600 ? s / 60 % 60 : s % 60, s % 60);
    put_amount(p->done, total, &amount);
    term_progress("%3.0f %%  %s  %.1f MB/s  %s", total ? 100 * (double)p->done / (double)total : 100.0,
                  amount.data ? amount.data : "", p->speed / 1e6, left);
    buf_release(&amount);
}

static bool progress(void *arg, const char *file, uint64_t done, uint64_t total)
{
    struct pulling *p = arg;
    const uint64_t every = p->json ? 500000000 : 100000000;
    uint64_t now = os_now_ns();
    if (signals_pending()) return false;
    if (!total) return true;
    if (done > p->done) p->done = done;                          /* never backwards, even when bytes are fetched again */
    measure(p, now);
    if (now - p->shown < every && p->done < total) return true;
    p->shown = now;
    if (p->json) show_json(p, file, total);
    else show_line(p, total);
    return !term_closed();
}

static bool compare(void *arg, uint64_t done, uint64_t total)
{
    struct pulling *p = arg;
    return progress_bytes(&p->reading, done, total);
}

static void in_place(void *arg, const char *file, const char *path, const char *owner)
{
    struct pulling *p = arg;
    p->reading = (struct progress){ 0 };
    p->in_place++;
    term_progress_end();
    if (p->quiet) return;
    term_note("hearth: %s is here already (%s): %s has its SHA-256 and is used where it lies; --own fetches it even so",
              file, strcmp(owner, "hearth") ? owner : "imported", path);
}

void pulling_tell(struct pulling *p)
{
    p->o.planned = planned;
    p->o.progress = progress;
    p->o.compare = compare;
    p->o.in_place = in_place;
    p->o.arg = p;
}

/* What a pull that did not end well has brought is not lost. */
static int say_kept(const struct pulling *p, int rc, const char *operand, struct err *err)
{
    struct buf b = { 0 };
    bool some = p->total && p->done && p->done < p->total;
    if (some) {
        put_amount(p->done, p->total, &b);
        buf_printf(&b, " are here, and `hearth pull %s` goes on from there", operand);
    }
    if (b.bad || !some || (rc != ERR_CANCELLED && rc != ERR_IO)) {
        buf_release(&b);
        return rc;
    }
    if (rc == ERR_IO) err_set(err, rc, "%.300s; %s", err->msg, b.data);
    else if (!term_closed() && !p->quiet) term_note("hearth: interrupted; %s", b.data);
    if (rc == ERR_CANCELLED && p->json && !term_closed()) {
        buf_clear(&b);
        buf_printf(&b, "{\"status\":\"interrupted\",\"completed\":%llu,\"total\":%llu}\n", (unsigned long long)p->done,
                   (unsigned long long)p->total);
        term_put(&b);
    }
    buf_release(&b);
    return rc;
}

int pulling(struct pulling *p, const char *operand, struct name *kept, struct err *err)
{
    struct store s;
    struct name n, mine;
    int rc = name_parse(&n, operand, err);
    if (rc == 0) rc = store_open(&s, err);
    if (rc < 0) return rc;
    p->name = &n;
    pulling_tell(p);
    rc = pull_model(&s, &n, &p->o, &mine, err);
    term_progress_end();
    store_close(&s);
    if (rc < 0 && p->refused) return err_set(err, ERR_ARG, "%.200s: %s", operand, p->refused);
    if (rc < 0) return say_kept(p, rc, operand, err);
    if (rc == 0 && kept) *kept = mine;
    return rc;
}
