#include "format/gguf.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/gguf_walk.h"
#include "tests/testing.h"

static struct gguf_str str(const char *s) { return (struct gguf_str){ s, strlen(s) }; }

static struct gguf_writer *new_writer(void)
{
    struct gguf_writer *w;
    struct err err;
    assert_int_equal(gguf_writer_open(&w, &err), 0);
    return w;
}

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/gguf-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') unlink(in_folder(e->d_name));
    if (d) closedir(d);
    return rmdir(folder);
}

/* ---- writer and reader ---- */

static const float matrix[2][32] = { { 1, 2, 3 }, { -1, -2, -3 } };
static const uint8_t block[18] = { 0, 0x3c, 0x12, 0x34 };

static void put_sample(struct gguf_writer *w)
{
    static const struct gguf_str words[] = { { "a", 1 }, { "", 0 }, { "x\0y", 3 } };
    static const uint64_t two_d[] = { 32, 2 }, one_d[] = { 32 }, four_d[] = { 2, 2, 2, 2 };
    static const int32_t types[] = { -1, 0, 70000 };
    static const uint8_t flags[] = { 1, 0 };
    static const int16_t sixteen[16] = { 7 };
    static const double doubles[] = { 0.5, -2 };
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_u32(w, "u32", 4000000000u);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_i32(w, "i32", -5);
    gguf_put_f32(w, "f32", 0.25f);
    gguf_put_bool(w, "yes", true);
    gguf_put_strs(w, "words", words, 3);
    gguf_put_array(w, "types", GGUF_I32, types, 3);
    gguf_put_array(w, "flags", GGUF_BOOL, flags, 2);
    gguf_put_array(w, "doubles", GGUF_F64, doubles, 2);
    gguf_put_array(w, "none", GGUF_F32, NULL, 0);
    gguf_put_tensor(w, "matrix", DT_F32, 2, two_d, matrix);
    gguf_put_tensor(w, "block", DT_Q4_0, 1, one_d, block);
    gguf_put_tensor(w, "cube", DT_I16, 4, four_d, sixteen);
}

static void check_sample(const struct gguf *g)
{
    uint64_t u = 1;
    int64_t i = 1;
    uint32_t w = 1;
    float f = 1;
    bool b = false;
    struct gguf_str s;
    assert_int_equal(gguf_version(g), 3);
    assert_true(gguf_get_u64(g, "u32", &u) && u == 4000000000u);
    assert_true(gguf_get_i64(g, "u32", &i) && i == 4000000000);
    assert_true(gguf_get_u32(g, "u32", &w) && w == 4000000000u);
    assert_true(gguf_get_u64(g, "u64", &u) && u == UINT64_MAX);
    assert_false(gguf_get_i64(g, "u64", &i));
    assert_false(gguf_get_u32(g, "u64", &w));
    assert_true(gguf_get_i64(g, "i32", &i) && i == -5);
    assert_false(gguf_get_u64(g, "i32", &u));
    assert_true(gguf_get_f32(g, "i32", &f) && f == -5);
    assert_true(gguf_get_f32(g, "f32", &f) && f == 0.25f);
    assert_false(gguf_get_i64(g, "f32", &i));
    assert_true(gguf_get_bool(g, "yes", &b) && b);
    assert_true(gguf_get_u64(g, "yes", &u) && u == 1);
    assert_false(gguf_get_bool(g, "i32", &b));
    assert_true(gguf_get_str(g, "general.architecture", &s) && s.n == 5 && !memcmp(s.s, "llama", 5));
    assert_false(gguf_get_str(g, "u32", &s));
    assert_false(gguf_get_u64(g, "general.architecture", &u));
    assert_false(gguf_get_u64(g, "types", &u));
    assert_false(gguf_get_str(g, "words", &s));
    assert_false(gguf_get_u64(g, "absent", &u));
    assert_null(gguf_find(g, ""));
}

static void check_arrays(const struct gguf *g)
{
    int64_t i;
    float f;
    struct gguf_str s;
    const struct gguf_kv *kv = gguf_find(g, "types");
    assert_true(kv->type == GGUF_ARRAY && kv->item == GGUF_I32 && kv->count == 3 && kv->bytes == 12);
    assert_true(gguf_item_i64(kv, 0, &i) && i == -1);
    assert_true(gguf_item_i64(kv, 2, &i) && i == 70000);
    assert_false(gguf_item_i64(kv, 3, &i));
    assert_true(gguf_item_f32(kv, 2, &f) && f == 70000);
    assert_true(gguf_item_i64(gguf_find(g, "flags"), 0, &i) && i == 1);
    assert_true(gguf_item_f32(gguf_find(g, "doubles"), 1, &f) && f == -2);
    assert_false(gguf_item_i64(gguf_find(g, "doubles"), 1, &i));
    assert_true(gguf_item_i64(gguf_find(g, "i32"), 12, &i) && i == -5);
    assert_int_equal(gguf_find(g, "none")->count, 0);
    assert_false(gguf_item_f32(gguf_find(g, "none"), 0, &f));
    kv = gguf_find(g, "words");
    const uint8_t *at = kv->data;
    assert_false(gguf_item_i64(kv, 0, &i));
    assert_true(gguf_next_str(kv, &at, &s) && s.n == 1 && s.s[0] == 'a');
    assert_true(gguf_next_str(kv, &at, &s) && s.n == 0);
    assert_true(gguf_next_str(kv, &at, &s) && s.n == 3 && !memcmp(s.s, "x\0y", 3));
    assert_false(gguf_next_str(kv, &at, &s));
    kv = gguf_find(g, "types");
    at = kv->data;
    assert_false(gguf_next_str(kv, &at, &s));
}

static void check_tensors(const struct gguf *g)
{
    const struct gguf_tensor *t = gguf_tensor(g, "matrix");
    assert_int_equal(gguf_n_tensors(g), 3);
    assert_true(t && t == gguf_tensor_at(g, 0) && t->type == DT_F32 && t->n_dims == 2 && t->bytes == 256);
    assert_true(t->ne[0] == 32 && t->ne[1] == 2 && t->ne[2] == 1 && t->ne[3] == 1);
    assert_memory_equal(t->data, matrix, 256);
    t = gguf_tensor(g, "block");
    assert_true(t && t->type == DT_Q4_0 && t->bytes == 18 && t->offset % 32 == 0);
    assert_memory_equal(t->data, block, 18);
    t = gguf_tensor(g, "cube");
    assert_true(t && t->n_dims == 4 && t->bytes == 32 && t->data[0] == 7);
    assert_null(gguf_tensor(g, "cub"));
    assert_null(gguf_tensor(g, ""));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct err err = { 0 };
    struct gguf *g;
    struct gguf_writer *w = new_writer();
    put_sample(w);
    assert_int_equal(gguf_writer_save(w, in_folder("sample.gguf"), &err), 0);
    gguf_writer_close(w);
    assert_int_equal(gguf_open(&g, in_folder("sample.gguf"), &err), 0);
    check_sample(g);
    check_arrays(g);
    check_tensors(g);
    assert_int_equal(gguf_n_files(g), 1);
    assert_int_equal(gguf_file_bytes(g) % 32, 0);
    assert_string_equal(gguf_path(g), in_folder("sample.gguf"));
    assert_true(gguf_walk(g) != 0);
    gguf_willneed(g);
    gguf_close(g);
    gguf_close(NULL);
    gguf_writer_close(NULL);
}

/* Copying every key and tensor of a file gives the same bytes. */
static void a_copy_is_equal(void **state)
{
    (void)state;
    struct err err = { 0 };
    struct gguf *g;
    struct buf first = { 0 }, second = { 0 };
    struct gguf_writer *w = new_writer();
    gguf_put_u32(w, "general.alignment", 256);
    put_sample(w);
    assert_int_equal(gguf_writer_bytes(w, &first, &err), 0);
    gguf_writer_close(w);
    assert_int_equal(gguf_parse(&g, first.data, first.len, "first", &err), 0);
    w = new_writer();
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        assert_int_equal(t->offset % 256, 0);
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
    }
    assert_int_equal(gguf_writer_bytes(w, &second, &err), 0);
    gguf_writer_close(w);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    gguf_close(g);
    buf_release(&first);
    buf_release(&second);
}

struct filler { const uint8_t *from; uint64_t next; unsigned calls, stop_at; };

static int fill(void *arg, const struct gguf_tensor *t, uint64_t at, uint8_t *dst, size_t n, struct err *err)
{
    struct filler *f = arg;
    size_t unit = dtype_info(t->type)->block_bytes;
    if (++f->calls == f->stop_at) return err_set(err, ERR_CANCELLED, "enough");
    assert_true(at == f->next && n > 0 && at % unit == 0 && n % unit == 0 && at + n <= t->bytes);
    f->next = at + n;
    memcpy(dst, f->from + at, n);
    return 0;
}

/* A tensor that is made while it is written gives the file of one that was there before. */
static void filled_tensors_are_equal(void **state)
{
    (void)state;
    enum { ROWS = 20000 };                                 /* 20000 * 144 bytes: three pieces */
    struct gguf_tensor t = { .name = "t", .type = DT_Q4_K, .n_dims = 2, .ne = { 256, ROWS } };
    struct buf want = { 0 }, got = { 0 };
    struct err err = { 0 };
    static uint8_t data[ROWS * 144];
    static const float one[1] = { 1 };
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 >> 3);
    for (int filled = 0; filled < 2; filled++) {
        struct gguf_writer *w = new_writer();
        struct filler f = { .from = data };
        gguf_put_tensor(w, "a", DT_F32, 1, (uint64_t[]){ 1 }, one);
        if (filled) gguf_put_filled(w, &t, fill, &f);
        else gguf_put_tensor(w, "t", DT_Q4_K, 2, t.ne, data);
        gguf_put_tensor(w, "z", DT_F32, 1, (uint64_t[]){ 1 }, one);
        assert_int_equal(gguf_writer_data_bytes(w), 32 + sizeof data + 32);
        assert_int_equal(gguf_writer_bytes(w, filled ? &got : &want, &err), 0);
        if (filled) assert_true(f.calls == 3 && f.next == sizeof data);
        gguf_writer_close(w);
    }
    assert_int_equal(want.len, got.len);
    assert_memory_equal(want.data, got.data, got.len);
    buf_release(&want);
    buf_release(&got);
    struct gguf_writer *w = new_writer();
    struct filler f = { .from = data, .stop_at = 2 };
    gguf_put_filled(w, &t, fill, &f);
    assert_int_equal(gguf_writer_save(w, in_folder("stopped.gguf"), &err), ERR_CANCELLED);
    assert_false(os_file_exists(in_folder("stopped.gguf")));
    gguf_writer_close(w);
}

/* Writes w, expecting a refusal that says so; w is closed. */
static void refuse(struct gguf_writer *w, int code, const char *says)
{
    struct err err = { 0 };
    struct buf b = { 0 };
    assert_int_equal(gguf_writer_bytes(w, &b, &err), code);
    if (!strstr(err.msg, says)) fail_msg("'%s' does not say '%s'", err.msg, says);
    assert_int_equal(gguf_writer_save(w, in_folder("refused.gguf"), &err), code);
    assert_false(os_file_exists(in_folder("refused.gguf")));
    buf_release(&b);
    gguf_writer_close(w);
}

static void the_writer_refuses_what_the_reader_would(void **state)
{
    (void)state;
    static const uint64_t one[] = { 32 }, none[] = { 0 }, huge[] = { UINT64_MAX / 2, 8 };
    static const float zeros[32];
    struct gguf_writer *w = new_writer();
    gguf_put_u32(w, "", 1);
    refuse(w, ERR_ARG, "1 to 255 bytes");
    w = new_writer();
    gguf_put_u32(w, "twice", 1);
    gguf_put_bool(w, "twice", 1);
    refuse(w, ERR_ARG, "key 'twice' was put twice");
    w = new_writer();
    gguf_put_tensor(w, "t", DT_F32, 1, one, zeros);
    gguf_put_tensor(w, "t", DT_F32, 1, one, zeros);
    refuse(w, ERR_ARG, "tensor 't' was put twice");
    w = new_writer();
    gguf_put_tensor(w, "t", DT_Q4_K, 1, one, zeros);
    refuse(w, ERR_ARG, "whole Q4_K blocks");
    w = new_writer();
    gguf_put_tensor(w, "t", DT_F32, 1, none, zeros);
    refuse(w, ERR_ARG, "tensor 't'");
    w = new_writer();
    gguf_put_tensor(w, "t", DT_F32, 2, huge, zeros);
    refuse(w, ERR_ARG, "tensor 't'");
    w = new_writer();
    gguf_put_tensor(w, "t", DT_F32, 5, huge, zeros);
    refuse(w, ERR_ARG, "1 to 4 dimensions");
    w = new_writer();
    gguf_put_tensor(w, "", DT_F32, 1, one, zeros);
    refuse(w, ERR_ARG, "1 to 63 bytes");
    w = new_writer();
    gguf_put_u32(w, "general.alignment", 48);
    refuse(w, ERR_ARG, "power of two");
    w = new_writer();
    gguf_put_tensor(w, "t", DT_F32, 1, one, zeros);
    gguf_put_u32(w, "general.alignment", 64);
    refuse(w, ERR_ARG, "before any tensor");
    w = new_writer();
    gguf_put_array(w, "a", GGUF_STRING, zeros, 1);
    refuse(w, ERR_ARG, "numeric type");
    static const uint64_t half[] = { (uint64_t)1 << 62, 1 };
    w = new_writer();
    for (unsigned i = 0; i < 4; i++) gguf_put_tensor(w, "huge", DT_I8, 2, half, zeros);
    refuse(w, ERR_LIMIT, "the file becomes too large");
    w = new_writer();
    for (unsigned i = 0; i < 65537; i++) {
        char key[16];
        snprintf(key, sizeof key, "key.%u", i);
        gguf_put_bool(w, key, true);
    }
    refuse(w, ERR_LIMIT, "65537 keys and 0 tensors");
    w = new_writer();
    char *big = mem_new((1 << 20) + 1, 1);
    gguf_put_str(w, "tokenizer.chat_template.x", big, (1 << 20) + 1);
    gguf_put_str(w, "big", big, (1 << 20) + 1);
    refuse(w, ERR_LIMIT, "key 'big'");
    mem_free(big);
}

/* ---- versions, other kinds of files ---- */

static void version_2_is_read(void **state)
{
    (void)state;
    struct err err = { 0 };
    struct gguf *g;
    struct buf b = { 0 };
    struct gguf_writer *w = new_writer();
    put_sample(w);
    assert_int_equal(gguf_writer_bytes(w, &b, &err), 0);
    gguf_writer_close(w);
    b.data[4] = 2;
    assert_int_equal(gguf_parse(&g, b.data, b.len, "v2", &err), 0);
    assert_int_equal(gguf_version(g), 2);
    check_tensors(g);
    gguf_close(g);
    buf_release(&b);
}

static void other_files_are_recognised(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t n; const char *says; } rows[] = {
        { "", 0, "empty" },
        { "PK\3\4xxxxxxxxxx", 14, "ZIP" },
        { "\x80\2cfoo", 6, "pickle" },
        { "version https://git-lfs.github.com/spec/v1\noid", 46, "git lfs pull" },
        { "\x1f\x8b\x08xxxx", 7, "gzip" },
        { "\x28\xb5\x2f\xfdxx", 6, "zstd" },
        { "\xfd" "7zXZ\0", 6, "xz" },
        { "lmgg\1\0\0\0", 8, "GGML format" },
        { "tjgg\1\0\0\0", 8, "GGJT format" },
        { "\x40\0\0\0\0\0\0\0{\"__metadata__\"", 23, "safetensors" },
        { "\n <!DOCTYPE HTML><html>", 23, "web page" },
        { "\xef\xbb\xbf<html>", 9, "web page" },
        { "<?xml version", 13, "XML" },
        { "{\"error\":\"not found\"}", 21, "JSON" },
        { "\0\0\0\0\0\0\0\0\0\0\0\0", 12, "did not finish" },
        { "MZ\x90\0", 4, "4d 5a 90 00" },
        { "ab", 2, "only 2 bytes" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gguf *g;
        struct err err = { 0 };
        assert_true(gguf_parse(&g, rows[i].n ? rows[i].bytes : NULL, rows[i].n, "x", &err) < 0);
        if (!strstr(err.msg, rows[i].says)) fail_msg("'%s' does not say '%s'", err.msg, rows[i].says);
    }
}

static void missing_files_are_named(void **state)
{
    (void)state;
    struct gguf *g;
    struct err err = { 0 };
    assert_int_equal(gguf_open(&g, in_folder("absent.gguf"), &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, "absent.gguf"));
    assert_true(gguf_open(&g, folder, &err) < 0);
    assert_non_null(strstr(err.msg, "directory"));
    assert_true(gguf_open(&g, "/dev/zero", NULL) < 0);
}

/* ---- split files ---- */

struct part { unsigned no, count, total; const char *tensor; };

static void put_u16(struct gguf_writer *w, const char *key, uint16_t v)
{
    uint8_t le[2] = { (uint8_t)v, (uint8_t)(v >> 8) };
    struct gguf_kv kv = { .key = str(key), .type = GGUF_U16, .item = GGUF_U16, .count = 1, .data = le, .bytes = 2 };
    gguf_copy_kv(w, &kv);
}

static void write_part(const char *name, struct part p)
{
    static const uint64_t ne[] = { 8 };
    float v[8] = { (float)p.no };
    struct err err = { 0 };
    struct gguf_writer *w = new_writer();
    put_u16(w, "split.no", (uint16_t)p.no);
    put_u16(w, "split.count", (uint16_t)p.count);
    gguf_put_i32(w, "split.tensors.count", (int32_t)p.total);
    if (!p.no) gguf_put_str(w, "general.architecture", "llama", 5);
    if (p.tensor) gguf_put_tensor(w, p.tensor, DT_F32, 1, ne, v);
    assert_int_equal(gguf_writer_save(w, in_folder(name), &err), 0);
    gguf_writer_close(w);
}

static void open_refused(const char *name, int code, const char *says)
{
    struct gguf *g;
    struct err err = { 0 };
    assert_int_equal(gguf_open(&g, in_folder(name), &err), code);
    assert_null(g);
    if (!strstr(err.msg, says)) fail_msg("'%s' does not say '%s'", err.msg, says);
}

static void split_files_are_one_model(void **state)
{
    (void)state;
    struct gguf *g;
    struct err err = { 0 };
    write_part("m-00001-of-00003.gguf", (struct part){ 0, 3, 2, NULL });
    write_part("m-00002-of-00003.gguf", (struct part){ 1, 3, 2, "a" });
    write_part("m-00003-of-00003.gguf", (struct part){ 2, 3, 2, "b" });
    assert_int_equal(gguf_open(&g, in_folder("m-00001-of-00003.gguf"), &err), 0);
    assert_int_equal(gguf_n_files(g), 3);
    assert_int_equal(gguf_n_tensors(g), 2);
    const struct gguf_tensor *b = gguf_tensor(g, "b");
    assert_true(b && b->file == 2 && b->data[3] == 0x40);
    assert_int_equal(gguf_tensor(g, "a")->file, 1);
    assert_non_null(gguf_find(g, "general.architecture"));
    assert_true(gguf_walk(g) != 0);
    gguf_willneed(g);
    gguf_close(g);
    int rc = ERR_NOMEM;
    for (unsigned n = 0; rc != 0; n++) {
        mem_fail_after(n);
        rc = gguf_open(&g, in_folder("m-00001-of-00003.gguf"), &err);
        mem_fail_after(-1);
        if (rc != 0) assert_int_equal(rc, ERR_NOMEM);
        if (rc != 0) assert_null(g);
        gguf_close(g);
    }
}

static void wrong_parts_are_refused(void **state)
{
    (void)state;
    write_part("m-00001-of-00003.gguf", (struct part){ 0, 3, 2, NULL });
    write_part("m-00002-of-00003.gguf", (struct part){ 1, 3, 2, "a" });
    write_part("m-00003-of-00003.gguf", (struct part){ 2, 3, 2, "b" });
    open_refused("m-00002-of-00003.gguf", ERR_ARG, "this is part 2 of 3 of a model: open the first part, /tmp/");
    open_refused("m-00003-of-00003.gguf", ERR_ARG, "m-00001-of-00003.gguf");
    write_part("renamed.gguf", (struct part){ 0, 3, 2, NULL });
    open_refused("renamed.gguf", ERR_ARG, "does not end in -00001-of-00003.gguf");
    write_part("m-00003-of-00003.gguf", (struct part){ 2, 3, 2, "a" });
    open_refused("m-00001-of-00003.gguf", ERR_FORMAT, "m-00003-of-00003.gguf: byte 160: tensor 'a': the name occurs twice");
    write_part("m-00003-of-00003.gguf", (struct part){ 2, 3, 2, NULL });
    open_refused("m-00001-of-00003.gguf", ERR_FORMAT, "says 2 tensors, but the 3 parts have 1");
    write_part("m-00003-of-00003.gguf", (struct part){ 1, 3, 2, "b" });
    open_refused("m-00001-of-00003.gguf", ERR_FORMAT, "says it is part 2 of 3, but its name says 3 of 3");
    unlink(in_folder("m-00003-of-00003.gguf"));
    open_refused("m-00001-of-00003.gguf", ERR_NOTFOUND, "part 3 of 3 of the model");
    write_part("n-00001-of-02000.gguf", (struct part){ 0, 2000, 2, NULL });
    open_refused("n-00001-of-02000.gguf", ERR_LIMIT, "2000 files, the limit is 1000");
    write_part("n-00004-of-00003.gguf", (struct part){ 3, 3, 2, NULL });
    open_refused("n-00004-of-00003.gguf", ERR_FORMAT, "part 4 does not exist");
}

static void too_many_tensors_in_all_parts_are_refused(void **state)
{
    (void)state;
    enum { EACH = 32769 };
    static const uint64_t ne[] = { 1 };
    static const char *const files[] = { "t-00001-of-00002.gguf", "t-00002-of-00002.gguf" };
    struct err err = { 0 };
    for (unsigned no = 0; no < 2; no++) {
        struct gguf_writer *w = new_writer();
        put_u16(w, "split.no", (uint16_t)no);
        put_u16(w, "split.count", 2);
        for (unsigned i = 0; i < EACH; i++) {
            char name[32];
            snprintf(name, sizeof name, "%u.%u", no, i);
            gguf_put_tensor(w, name, DT_I8, 1, ne, "");
        }
        assert_int_equal(gguf_writer_save(w, in_folder(files[no]), &err), 0);
        gguf_writer_close(w);
    }
    open_refused(files[0], ERR_LIMIT, "the parts have 65538 tensors");
}

/* ---- size and memory ---- */

static void large_files_are_read_fast(void **state)
{
    (void)state;
    enum { N_WORDS = 150000, N_TENSORS = 65536 };
    const uint64_t QUADRATIC = UINT64_C(5000000000);          /* would take more, and emulation less */
    static const uint64_t ne[] = { 1 };
    static const float one = 1;
    struct err err = { 0 };
    struct gguf *g;
    struct buf b = { 0 };
    struct gguf_str *words = mem_new_array(struct gguf_str, N_WORDS);
    for (unsigned i = 0; i < N_WORDS; i++) words[i] = (struct gguf_str){ &"abcdefgh"[i % 8], 8 - i % 8 };
    struct gguf_writer *w = new_writer();
    gguf_put_strs(w, "tokens", words, N_WORDS);
    assert_int_equal(gguf_writer_bytes(w, &b, &err), 0);
    uint64_t t = os_thread_ns();
    assert_int_equal(gguf_parse(&g, b.data, b.len, "words", &err), 0);
    t = os_thread_ns() - t;
    print_message("# %d strings: %.2f ms\n", N_WORDS, (double)t / 1e6);
    assert_true(t < QUADRATIC);
    assert_int_equal(gguf_find(g, "tokens")->count, N_WORDS);
    gguf_close(g);
    gguf_put_u32(w, "general.alignment", 4);
    for (unsigned i = 0; i < N_TENSORS; i++) {
        char name[32];
        snprintf(name, sizeof name, "blk.%u.weight", i);
        gguf_put_tensor(w, name, DT_F32, 1, ne, &one);
    }
    assert_int_equal(gguf_writer_bytes(w, &b, &err), 0);
    t = os_thread_ns();
    assert_int_equal(gguf_parse(&g, b.data, b.len, "tensors", &err), 0);
    t = os_thread_ns() - t;
    print_message("# %d tensors: %.2f ms\n", N_TENSORS, (double)t / 1e6);
    assert_true(t < QUADRATIC);
    assert_int_equal(gguf_tensor(g, "blk.65535.weight") - gguf_tensor_at(g, 0), 65535);
    gguf_close(g);
    gguf_writer_close(w);
    mem_free(words);
    buf_release(&b);
}

static void writer_allocation_failures_are_clean(void **state)
{
    (void)state;
    int rc = ERR_NOMEM;
    for (unsigned n = 0; rc != 0; n++) {
        struct err err = { 0 };
        struct gguf_writer *w;
        mem_fail_after(n);
        rc = gguf_writer_open(&w, &err);
        if (rc == 0) {
            put_sample(w);
            rc = gguf_writer_save(w, in_folder("memory.gguf"), &err);
        }
        mem_fail_after(-1);
        gguf_writer_close(w);
        if (rc != 0) assert_int_equal(rc, ERR_NOMEM);
        assert_int_equal(os_file_exists(in_folder("memory.gguf")), rc == 0);
    }
}

/* ---- real files ---- */

static unsigned open_all(const char *dir)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1600];
        size_t len = strlen(e->d_name);
        struct gguf *g;
        struct err err = { 0 };
        if (len < 5 || strcmp(e->d_name + len - 5, ".gguf") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (gguf_open(&g, path, &err) < 0) fail_msg("%s", err.msg);
        assert_non_null(gguf_find(g, "general.architecture"));
        assert_true(gguf_n_tensors(g) > 0);
        if (!gguf_walk(g)) fail_msg("%s: a lookup fails", path);
        gguf_close(g);
        n++;
    }
    if (d) closedir(d);
    return n;
}

static void reference_models_open(void **state)
{
    (void)state;
    char path[1024];
    REF_OR_SKIP(path, "models/quantized");
    assert_true(open_all(path) >= 25);
    ref_path(path, sizeof path, "models");
    assert_true(open_all(path) >= 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_copy_is_equal),
        cmocka_unit_test(filled_tensors_are_equal),
        cmocka_unit_test(the_writer_refuses_what_the_reader_would),
        cmocka_unit_test(version_2_is_read),
        cmocka_unit_test(other_files_are_recognised),
        cmocka_unit_test(missing_files_are_named),
        cmocka_unit_test(split_files_are_one_model),
        cmocka_unit_test(wrong_parts_are_refused),
        cmocka_unit_test(too_many_tensors_in_all_parts_are_refused),
        cmocka_unit_test(large_files_are_read_fast),
        cmocka_unit_test(writer_allocation_failures_are_clean),
        cmocka_unit_test(reference_models_open),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
