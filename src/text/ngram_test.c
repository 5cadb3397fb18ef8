#include "tests/testing.h"

#include <stdlib.h>

#include "base/detmath.h"
#include "text/ngram.h"

enum { N = 600 };

/* The longest agreement with the end of the text that any earlier place has. */
static size_t longest(const int32_t *ids, size_t n)
{
    size_t best = 0;
    for (size_t at = 1; at < n; at++) {
        size_t m = 0;
        while (m < NGRAM_MAX_MATCH && m < at && ids[at - 1 - m] == ids[n - 1 - m]) m++;
        if (m > best) best = m;
    }
    return best;
}

static void finds_what_agrees_most(void **unused)
{
    (void)unused;
    struct ngram g;
    int32_t ids[N];
    size_t found = 0, best = 0;
    assert_true(ngram_open(&g, N));
    uint64_t at = 0;
    for (int t = 0; t < 60; t++) {
        size_t n = 0;
        while (n < N) {
            bool copy = n > 20 && det_uniform(1, at++, 0) < 0.1;
            size_t from = (size_t)(det_uniform(2, at++, 0) * (double)(n - 10)), len = copy ? 8 : 1;
            for (size_t k = 0; k < len && n < N; k++, n++)
                ids[n] = copy ? ids[from + k] : (int32_t)(det_uniform(3, at++, 0) * 60);
            ngram_learn(&g, ids, n);
            size_t match, place = ngram_find(&g, ids, &match), most = longest(ids, n);
            if (place) {
                assert_true(place < n && match >= NGRAM && match <= most);
                for (size_t k = 0; k < match; k++) assert_int_equal(ids[place - 1 - k], ids[n - 1 - k]);
            }
            if (most >= NGRAM) found += place != 0, best++;
            if (det_uniform(4, at++, 0) < 0.01) {        /* the text goes back and goes on otherwise */
                n -= n > 7 ? 7 : 0;
                if (n) ngram_learn(&g, ids, n);
            }
        }
    }
    assert_true(found * 100 > best * 90);                      /* only so many places are looked at, and going back loses some */
    ngram_close(&g);
}

static void a_text_longer_than_promised_is_left_alone(void **unused)
{
    (void)unused;
    struct ngram g;
    int32_t ids[40] = { 0 };
    size_t match;
    assert_true(ngram_open(&g, 20));
    ngram_learn(&g, ids, 40);
    assert_true(ngram_find(&g, ids, &match) <= 20);
    ngram_learn(&g, ids, 1);
    assert_int_equal(ngram_find(&g, ids, &match), 0);
    ngram_close(&g);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(finds_what_agrees_most),
    cmocka_unit_test(a_text_longer_than_promised_is_left_alone),
};
int main(void) { return run_tests(tests); }
