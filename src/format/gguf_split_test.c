#include "format/gguf_split.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/testing.h"

enum { N = 11 };

static char dir[] = "/tmp/hearth-split-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* Tensors of odd sizes, so that padding matters, and keys of several types. */
static int setup(void **state)
{
    (void)state;
    static uint8_t data[4 * 300 * N];
    static const uint16_t heads[3] = { 7, 8, 9 };
    static const struct gguf_str words[2] = { { "a", 1 }, { "bcd", 3 } };
    struct gguf_writer *w;
    struct err err;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 37 + i / 256);
    if (!mkdtemp(dir) || gguf_writer_open(&w, &err) < 0) return -1;
    gguf_put_u32(w, "general.alignment", 64);
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_array(w, "llama.heads", GGUF_U16, heads, 3);
    gguf_put_strs(w, "tokenizer.ggml.tokens", words, 2);
    gguf_put_f32(w, "llama.eps", 1e-5f);
    for (unsigned i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "blk.%u.weight", i);
        gguf_put_tensor(w, name, DT_F32, 2, (uint64_t[]){ 3 + i, 1 + i % 4 }, data + 1200 * i);
    }
    int rc = gguf_writer_save(w, in_dir("whole.gguf"), &err);
    gguf_writer_close(w);
    return rc;
}

static unsigned files(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int teardown(void **state)
{
    (void)state;
    unlink(in_dir("whole.gguf"));
    return rmdir(dir);
}

static struct gguf *open_file(const char *name)
{
    struct gguf *g;
    struct err err;
    if (gguf_open(&g, in_dir(name), &err) < 0) fail_msg("%s", err.msg);
    return g;
}

static void remove_parts(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char *p = gguf_split_path(in_dir("part"), i, n);
        unlink(p);
        mem_free(p);
    }
}

static bool same_file(const char *a, const char *b)
{
    struct os_map x, y;
    struct err err;
    assert_int_equal(os_map_open(&x, in_dir(a), &err), 0);
    assert_int_equal(os_map_open(&y, in_dir(b), &err), 0);
    bool same = x.size == y.size && !memcmp(x.data, y.data, (size_t)x.size);
    os_map_close(&x);
    os_map_close(&y);
    return same;
}

static void there_and_back(const struct gguf_split_options *o, uint32_t want)
{
    struct gguf *g = open_file("whole.gguf"), *parts;
    struct err err;
    uint32_t n;
    if (gguf_split(g, in_dir("part"), o, &n, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(n, want);
    char *first = gguf_split_path(in_dir("part"), 0, n);
    if (gguf_open(&parts, first, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(gguf_n_files(parts), n);
    assert_int_equal(gguf_n_tensors(parts), N);
    for (size_t i = 0; i < N; i++) {
        const struct gguf_tensor *a = gguf_tensor_at(g, i), *b = gguf_tensor_at(parts, i);
        assert_string_equal(a->name, b->name);
        assert_memory_equal(a->data, b->data, (size_t)a->bytes);
    }
    assert_int_equal(gguf_merge(parts, in_dir("again.gguf"), o, &err), 0);
    assert_true(same_file("whole.gguf", "again.gguf"));
    assert_int_equal(gguf_merge(parts, first, o, &err), ERR_ARG);
    gguf_close(parts);
    gguf_close(g);
    mem_free(first);
    unlink(in_dir("again.gguf"));
    remove_parts(n);
    assert_int_equal(files(), 1);
}

static void parts_make_the_whole_again(void **state)
{
    (void)state;
    there_and_back(&(struct gguf_split_options){ .max_tensors = 1 }, N);
    there_and_back(&(struct gguf_split_options){ .max_tensors = 4 }, 3);
    there_and_back(&(struct gguf_split_options){ .max_tensors = 100 }, 1);
    there_and_back(&(struct gguf_split_options){ .max_bytes = 1 }, N);
    there_and_back(&(struct gguf_split_options){ .max_bytes = 1 << 20, .max_tensors = 6 }, 2);
    there_and_back(&(struct gguf_split_options){ .max_bytes = 1 << 20 }, 1);
}

/* No part has more bytes than asked for, and none could take the first tensor of the next. */
static void parts_are_as_full_as_they_may_be(void **state)
{
    (void)state;
    struct gguf *g = open_file("whole.gguf");
    struct gguf_split_options o = { .max_bytes = 400 };
    uint32_t file[N], n;
    assert_int_equal(gguf_split_plan(g, &o, file, &n, NULL), 0);
    uint64_t bytes[N + 1] = { 0 };
    for (size_t i = 0; i < N; i++) {
        uint64_t padded = (gguf_tensor_at(g, i)->bytes + 31) / 32 * 32;
        if (i && file[i] != file[i - 1]) {
            assert_int_equal(file[i], file[i - 1] + 1);
            assert_true(bytes[file[i - 1]] + padded > o.max_bytes);
        }
        bytes[file[i]] += padded;
        assert_true(bytes[file[i]] <= o.max_bytes);
    }
    assert_true(n == file[N - 1] + 1 && n > 1);
    gguf_close(g);
}

static bool stop(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    return done < total / 2;
}

static void nothing_is_left_behind(void **state)
{
    (void)state;
    struct gguf *g = open_file("whole.gguf");
    struct err err;
    uint32_t n;
    struct gguf_split_options o = { .max_tensors = 2, .progress = stop };
    assert_int_equal(gguf_split(g, in_dir("part"), &o, &n, &err), ERR_CANCELLED);
    assert_int_equal(files(), 1);
    assert_int_equal(gguf_merge(g, in_dir("again.gguf"), &o, &err), ERR_CANCELLED);
    assert_int_equal(files(), 1);
    /* A file in the way is found before anything is written. */
    o.progress = NULL;
    char *third = gguf_split_path(in_dir("part"), 2, 6);
    FILE *f = fopen(third, "w");
    fclose(f);
    assert_int_equal(gguf_split(g, in_dir("part"), &o, &n, &err), ERR_ARG);
    assert_non_null(strstr(err.msg, "part-00003-of-00006.gguf exists already"));
    assert_int_equal(files(), 2);
    o.replace = true;
    assert_int_equal(gguf_split(g, in_dir("part"), &o, &n, &err), 0);
    remove_parts(n);
    mem_free(third);
    assert_int_equal(gguf_split(g, "/nowhere/part", &o, &n, &err), ERR_IO);
    gguf_close(g);
}

/* A missing or damaged part is refused with its name. */
static void damaged_parts_are_refused(void **state)
{
    (void)state;
    struct gguf *g = open_file("whole.gguf"), *parts;
    struct err err;
    uint32_t n;
    assert_int_equal(gguf_split(g, in_dir("part"), &(struct gguf_split_options){ .max_tensors = 4 }, &n, &err), 0);
    char *first = gguf_split_path(in_dir("part"), 0, n), *last = gguf_split_path(in_dir("part"), 2, n);
    struct os_map map;
    assert_int_equal(os_map_open(&map, last, &err), 0);
    long size = (long)map.size;
    os_map_close(&map);
    assert_int_equal(truncate(last, size - 1), 0);             /* padding only */
    for (long cut = size - 64; cut > 0; cut -= 41) {
        assert_int_equal(truncate(last, cut), 0);
        if (gguf_open(&parts, first, &err) == 0) fail_msg("%ld of %ld bytes", cut, size);
        assert_non_null(strstr(err.msg, "part-00003-of-00003.gguf"));
    }
    unlink(last);
    assert_int_equal(gguf_open(&parts, first, &err), ERR_NOTFOUND);
    mem_free(first);
    mem_free(last);
    gguf_close(g);
    remove_parts(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_make_the_whole_again), cmocka_unit_test(parts_are_as_full_as_they_may_be),
        cmocka_unit_test(nothing_is_left_behind),     cmocka_unit_test(damaged_parts_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
