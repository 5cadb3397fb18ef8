#include "format/safetensors.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/testing.h"

/* A file: length, header, n bytes of data 0, 1, 2, ... */
static size_t put_file(uint8_t *dst, const char *header, size_t n_data)
{
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++) dst[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(dst + 8, header, n);
    for (size_t i = 0; i < n_data; i++) dst[8 + n + i] = (uint8_t)i;
    return 8 + n + n_data;
}

static uint8_t *kept;                       /* the bytes of the file that was parsed last */

static int parse(struct safetensors **s, const char *header, size_t n_data, struct err *e)
{
    static uint8_t bytes[4096];
    size_t n = put_file(bytes, header, n_data);
    mem_free(kept);
    kept = mem_new(n, 1);                   /* so that a read past the end is seen */
    memcpy(kept, bytes, n);
    int rc = safetensors_parse(s, kept, n, "f", e);
    if (rc < 0) assert_null(*s);
    return rc;
}

#define T(name, type, shape, from, to) \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void tensors_are_where_they_say(void **state)
{
    (void)state;
    struct safetensors *s;
    struct err e = { 0 };
    int rc = parse(&s, "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "F32", "[2,3]", "4", "28") "," T("a", "BF16", "[2]",
                                                                                                        "0", "4")
                   "," T("scalar", "U8", "[]", "28", "29") "," T("none", "F16", "[0,5]", "29", "29") "}   ", 29, &e);
    if (rc < 0) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_n(s), 4);
    const struct st_tensor *a = safetensors_find(s, "a"), *b = safetensors_find(s, "b");
    assert_true(a && a->type == ST_BF16 && a->n_dims == 1 && a->shape[0] == 2 && a->bytes == 4 && a->data[1] == 1);
    assert_true(b && b->type == ST_F32 && b->n_dims == 2 && b->shape[1] == 3 && b->bytes == 24 && b->data[0] == 4);
    assert_int_equal(safetensors_find(s, "scalar")->bytes, 1);
    assert_int_equal(safetensors_find(s, "none")->bytes, 0);
    assert_null(safetensors_find(s, "c"));
    uint64_t bytes;
    assert_ptr_equal(safetensors_data(s, 0, &bytes), a->data);
    assert_int_equal(bytes, 29);
    safetensors_close(s);
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    static const struct { const char *header; size_t data; const char *say; } bad[] = {
        { "", 0, "expected an object" },
        { "[]", 0, "expected an object" },
        { "{", 0, "expected a string" },
        { "{} x", 0, "text after the end" },
        { "{" T("a", "F32", "[1]", "0", "4") "," T("a", "F32", "[1]", "4", "8") "}", 8, "'a': the name occurs twice" },
        { "{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "2", "6") "}", 6, "overlaps that of 'a'" },
        { "{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "8", "12") "}", 12, "nobody owns the 4 bytes" },
        { "{" T("a", "F32", "[1]", "0", "4") "}", 5, "its tensors end at byte" },
        { "{" T("a", "F32", "[1]", "0", "4") "}", 3, "[0, 4) of 3 bytes" },
        { "{" T("a", "F32", "[1]", "4", "0") "}", 4, "[4, 0) of 4 bytes" },
        { "{" T("a", "F32", "[2]", "0", "4") "}", 4, "it has 4 bytes, but its type F32 and shape need 8" },
        { "{" T("a", "F32", "[4294967296,4294967296]", "0", "4") "}", 4, "overflows" },
        { "{" T("a", "F4", "[3]", "0", "1") "}", 1, "no whole number of bytes" },
        { "{" T("a", "Q4", "[1]", "0", "4") "}", 4, "type 'Q4' is not known" },
        { "{" T("a", "F32", "[-1]", "0", "4") "}", 4, "expected a whole number" },
        { "{" T("a", "F32", "[1.0]", "0", "4") "}", 4, "expected a whole number" },
        { "{" T("a", "F32", "[1]", "0", "18446744073709551615") "}", 4, "18446744073709551615) of 4" },
        { "{" T("a", "F32", "[1]", "0", "18446744073709551616") "}", 4, "expected a whole number" },
        { "{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "more than 8 dimensions" },
        { "{" T("", "F32", "[1]", "0", "4") "}", 4, "1 to 255 bytes" },
        { "{" T("a\\n", "F32", "[1]", "0", "4") "}", 4, "control characters" },
        { "{" T("a\\u0000", "F32", "[1]", "0", "4") "}", 4, "control characters" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, "needs dtype, shape and data_offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a field occurs twice" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, "two numbers" },
        { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "occurs twice" },
        { "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]", 0, "expected an object" },
        { "{\"__metadata__\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]", 0, "too many levels" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct safetensors *s;
        struct err e = { 0 };
        if (parse(&s, bad[i].header, bad[i].data, &e) == 0) fail_msg("accepted: %s", bad[i].header);
        if (strncmp(e.msg, "f: ", 3) || !strstr(e.msg, bad[i].say)) fail_msg("%s: %s", bad[i].header, e.msg);
    }
}

static void lengths_that_lie(void **state)
{
    (void)state;
    struct safetensors *s;
    struct err e = { 0 };
    static const uint8_t huge[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{', '}' };
    static const uint8_t longer[10] = { 3, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
    assert_int_equal(safetensors_parse(&s, huge, sizeof huge, "f", &e), ERR_LIMIT);
    assert_int_equal(safetensors_parse(&s, longer, sizeof longer, "f", &e), ERR_FORMAT);
    assert_non_null(strstr(e.msg, "cut off"));
    assert_int_equal(safetensors_parse(&s, longer, 5, "f", &e), ERR_FORMAT);
    assert_int_equal(safetensors_parse(&s, NULL, 0, "f", &e), ERR_FORMAT);
    assert_int_equal(safetensors_parse(&s, "version https://git-lfs.github.com/spec/v1\n", 43, "f", &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "git-lfs pointer"));
}

/* ---- folders ---- */

static char folder[] = "/tmp/hearth-st-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[2][256];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_bytes(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_true(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static void write_st(const char *name, const char *header, size_t n_data)
{
    static uint8_t bytes[4096];
    write_bytes(name, bytes, put_file(bytes, header, n_data));
}

static void refused(const char *say)
{
    struct safetensors *s;
    struct err e = { 0 };
    assert_true(safetensors_open(&s, folder, &e) < 0);
    assert_null(s);
    if (!strstr(e.msg, say)) fail_msg("expected \"%s\": %s", say, e.msg);
}

static void index_says_where_tensors_are(void **state)
{
    (void)state;
    struct safetensors *s;
    struct err e = { 0 };
    assert_non_null(mkdtemp(folder));
    refused("no model.safetensors");
    write_st("one.safetensors", "{" T("a", "F32", "[1]", "0", "4") "," T("extra", "U8", "[1]", "4", "5") "}", 5);
    write_st("two.safetensors", "{" T("b", "F32", "[2]", "0", "8") "}", 8);
    static const char name[] = "model.safetensors.index.json";
#define INDEX(text) write_bytes(name, text, sizeof text - 1)
    INDEX("{\"metadata\":{\"total_size\":12},\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    if (safetensors_open(&s, folder, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_n(s), 2);
    assert_int_equal(safetensors_n_files(s), 2);
    assert_int_equal(safetensors_find(s, "b")->file, 1);
    assert_null(safetensors_find(s, "extra"));
    safetensors_willneed(s);
    safetensors_close(s);
    INDEX("{\"weight_map\":{\"a\":\"two.safetensors\"}}");
    refused("'a' is said to be in");
    INDEX("{\"weight_map\":{\"a\":\"../one.safetensors\"}}");
    refused("is not the name of a file");
    INDEX("{\"weight_map\":{\"a\":\"..\"}}");
    refused("is not the name of a file");
    INDEX("{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"one.safetensors\"}}");
    refused("the name occurs twice");
    INDEX("{\"weight_map\":{}}");
    refused("no weight_map");
    INDEX("{\"weight_map\":{\"a\":3}}");
    refused("line 1, column 20: expected a string");
    INDEX("{\"weight_map\":{\"a\":\"three.safetensors\"}}");
    refused("three.safetensors");
    unlink(in_folder(name));
    write_st("model.safetensors", "{" T("c", "U8", "[3]", "0", "3") "}", 3);
    if (safetensors_open(&s, folder, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_find(s, "c")->data[2], 2);
    safetensors_close(s);
    unlink(in_folder("model.safetensors"));
    unlink(in_folder("one.safetensors"));
    unlink(in_folder("two.safetensors"));
    assert_int_equal(rmdir(folder), 0);
}

/* Every allocation in turn fails: an error, no leak, no crash. */
static void memory_runs_out(void **state)
{
    (void)state;
    static uint8_t bytes[4096];
    size_t n = put_file(bytes, "{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "4", "8") "}", 8);
    int rc = ERR_NOMEM;
    for (int i = 0; rc < 0; i++) {
        struct safetensors *s;
        mem_fail_after(i);
        rc = safetensors_parse(&s, bytes, n, "f", NULL);
        mem_fail_after(-1);
        if (rc == 0) safetensors_close(s);
        assert_true(i < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_where_they_say),  cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(lengths_that_lie),            cmocka_unit_test(index_says_where_tensors_are),
        cmocka_unit_test(memory_runs_out),
    };
    int failed = run_tests(tests);
    mem_free(kept);
    return failed;
}
