/* kvfile_test.c - texts in files: found after the model was opened again, with the bits of a cold evaluation; what is damaged,
 * foreign or of another model is not used; the folder stays small. */
#include <sys/stat.h>
#include <time.h>
#include <utime.h>

#include "base/fs.h"
#include "engine/kvfile.h"
#include "tests/engine_fixture.h"

static char folder[] = "/tmp/hearth-kv-XXXXXX";

static struct hearth_session *plain_session(struct hearth_model *m, bool no_cache)
{
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 256, .n_logits = ROWS, .no_cache = no_cache };
    if (hearth_session_open(&s, m, &o, &e) < 0) fail_msg("%s", e.message);
    return s;
}

static int list(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    (void)info, (void)err;
    snprintf(arg, 128, "%s/%s", folder, name);
    return 0;
}

static uint64_t bytes_there;
static uint32_t files_there;
static int add_up(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    (void)arg, (void)name, (void)err;
    bytes_there += info->size;
    files_there++;
    return 0;
}

static uint32_t count_files(void)
{
    bytes_there = files_there = 0;
    assert_int_equal(fs_list_files(folder, add_up, NULL, NULL), 0);
    return files_there;
}

static void the_only_file(char path[128])
{
    assert_int_equal(count_files(), 1);
    assert_int_equal(fs_list_files(folder, list, path, NULL), 0);
}

static void save_text(size_t i, const int32_t *text, size_t n, uint64_t limit)
{
    struct hearth_model *m = open_model(i, NULL, 1);
    struct hearth_session *s = plain_session(m, true);
    struct hearth_error e;
    assert_int_equal(hearth_session_sync(s, text, n, &e), 0);
    if (hearth_cache_save(s, folder, limit, &e) < 0) fail_msg("%s", e.message);
    hearth_session_close(s);
    hearth_model_close(m);
}

static size_t load_text(struct hearth_session *s, const int32_t *text, size_t n)
{
    struct hearth_error e;
    size_t found = 99;
    if (hearth_cache_load(s, folder, text, n, &found, &e) < 0) fail_msg("%s", e.message);
    return found;
}

static void texts_survive_their_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        char path[128];
        const char *arch = model[i].arch;
        bool recurrent = !strcmp(arch, "qwen35") || !strcmp(arch, "qwen3next") || !strcmp(arch, "lfm2");
        bool window = model[i].window > 0;
        save_text(i, ids, 140, 0);
        the_only_file(path);
        struct hearth_model *m = open_model(i, NULL, 2);
        struct hearth_session *fresh = plain_session(m, true), *s = plain_session(m, false);
        uint64_t want = sync_hash(fresh, N);
        assert_int_equal(load_text(s, ids, N), recurrent ? 64 : 140);
        assert_true(sync_hash(s, N) == want);
        assert_int_equal(hearth_session_n_kept(s), recurrent ? 64 : 140);
        hearth_session_close(s);
        hearth_cache_clear(m);
        /* A text that leaves it in the middle. */
        int32_t other[N];
        memcpy(other, ids, sizeof other);
        other[100] ^= 1;
        s = plain_session(m, false);
        size_t found = load_text(s, other, N);
        assert_int_equal(found, recurrent ? 64 : window ? 0 : 100);
        struct hearth_error e;
        assert_int_equal(hearth_session_sync(s, other, N, &e), 0);
        assert_int_equal(hearth_session_n_kept(s), found);
        assert_int_equal(hearth_session_sync(fresh, other, N, &e), 0);
        assert_true(hash_rows(s) == hash_rows(fresh));
        hearth_session_close(s);
        hearth_session_close(fresh);
        hearth_cache_clear(m);
        struct hearth_memory mem;
        hearth_model_memory(m, &mem);
        assert_int_equal(mem.n_pages, 0);
        hearth_model_close(m);
        unlink(path);
    }
}

/* By a name of one's own: the whole text comes back, for the same model and salt only. */
static void one_file(void **state)
{
    (void)state;
    char path[200];
    snprintf(path, sizeof path, "%s/mine", folder);
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_error e;
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_session *s = plain_session(m, true);
        size_t n = 0, back = 0;
        uint64_t bytes = 0, read = 0;
        int32_t *text;
        assert_int_equal(hearth_cache_save_file(s, path, &n, &bytes, &e), HEARTH_EARG);       /* there is nothing yet */
        assert_int_equal(hearth_session_sync(s, ids, 140, &e), 0);
        if (hearth_cache_save_file(s, path, &n, &bytes, &e) < 0) fail_msg("%s", e.message);
        assert_in_range(n, 64, 140);
        uint64_t want = sync_hash(s, N);
        hearth_session_close(s);
        hearth_model_close(m);
        m = open_model(i, NULL, 2);
        struct hearth_session_options other = { .cache_salt = 7 };
        assert_int_equal(hearth_session_open(&s, m, &other, &e), 0);
        assert_int_equal(hearth_cache_load_file(s, path, &text, &back, &read, &e), HEARTH_EARG);
        assert_null(text);
        hearth_session_close(s);
        s = plain_session(m, false);
        if (hearth_cache_load_file(s, path, &text, &back, &read, &e) < 0) fail_msg("%s", e.message);
        assert_int_equal(back, n);
        assert_int_equal(read, bytes);
        assert_memory_equal(text, ids, n * sizeof *ids);
        hearth_free(text);
        assert_true(sync_hash(s, N) == want);
        assert_int_equal(hearth_session_n_kept(s), n);
        assert_int_equal(hearth_cache_load_file(s, "/nowhere/at/all", &text, &back, &read, &e), HEARTH_ENOTFOUND);
        hearth_session_close(s);
        hearth_model_close(m);
    }
    unlink(path);
}

/* Any byte changed, any length cut: nothing is found, nothing else happens. */
static void damaged_files_are_not_used(void **state)
{
    (void)state;
    char path[128], *data;
    size_t n;
    struct err err;
    save_text(8, ids, 140, 0);
    the_only_file(path);
    assert_int_equal(os_read_file(path, 1 << 24, &data, &n, &err), 0);
    struct hearth_model *m = open_model(8, NULL, 1);
    for (int round = 0; round < 60; round++) {
        size_t at = round < 30 ? (size_t)round * 5 : n - 1 - (size_t)round * (n / 70), bytes = round % 7 == 6 ? at : n;
        FILE *f = fopen(path, "wb");
        data[at] ^= 16;
        assert_int_equal(fwrite(data, 1, bytes, f), bytes);
        fclose(f);
        data[at] ^= 16;
        struct hearth_session *s = plain_session(m, false);
        if (load_text(s, ids, N)) fail_msg("byte %zu of %zu", at, n);
        hearth_session_close(s);
    }
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
    struct hearth_session *s = plain_session(m, false);
    assert_int_equal(load_text(s, ids, N), 64);
    hearth_session_close(s);
    hearth_model_close(m);
    mem_free(data);
    unlink(path);
}

static void other_models_and_folders(void **state)
{
    (void)state;
    char path[128];
    struct hearth_error e;
    size_t found;
    save_text(0, ids, 140, 0);
    the_only_file(path);
    struct hearth_model *m = open_model(5, NULL, 1);
    struct hearth_session *s = plain_session(m, false);
    assert_int_equal(load_text(s, ids, N), 0);
    assert_int_equal(hearth_cache_load(s, "/nowhere/at/all", ids, N, &found, &e), HEARTH_EIO);
    assert_int_equal(hearth_session_sync(s, ids, 20, &e), 0);
    assert_int_equal(hearth_cache_save(s, "/nowhere/at/all", 0, &e), HEARTH_EIO);
    hearth_session_close(s);
    hearth_model_close(m);
    m = open_model(0, NULL, 1);
    s = plain_session(m, false);
    int32_t other[N] = { 0 };
    assert_int_equal(load_text(s, other, N), 0);
    struct hearth_session_options o = { .n_ctx = 256, .kv_type = HEARTH_KV_Q8_0 };
    hearth_session_close(s);
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    assert_int_equal(load_text(s, ids, N), 0);
    hearth_session_close(s);
    o = (struct hearth_session_options){ .n_ctx = 256, .cache_salt = 4 };
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    assert_int_equal(load_text(s, ids, N), 0);
    hearth_session_close(s);
    hearth_model_close(m);
    unlink(path);
}

/* Makes all files of the folder but that of the text beginning with 0 look old. */
static int make_old(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    char path[128];
    struct os_map map;
    struct kvfile file;
    (void)arg, (void)info, (void)err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (os_map_open(&map, path, NULL) < 0) return 0;
    bool first = kvfile_parse(&file, map.data, map.size, "f", NULL) == 0 && kvfile_id(&file, 0) == 0;
    os_map_close(&map);
    if (!first) utime(path, &(struct utimbuf){ 1000, 1000 });
    return 0;
}

static int remove_it(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    char path[128];
    (void)arg, (void)info, (void)err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    return 0;
}

/* What was used longest ago goes; foreign files stay. */
static void the_folder_stays_small(void **state)
{
    (void)state;
    int32_t text[N];
    char note[128];
    memcpy(text, ids, sizeof text);
    snprintf(note, sizeof note, "%s/notes.txt", folder);
    FILE *f = fopen(note, "wb");
    fputs("mine", f);
    fclose(f);
    for (int k = 0; k < 2; k++) {
        text[0] = k;
        save_text(1, text, 100, 0);
    }
    assert_int_equal(count_files(), 3);
    uint64_t one = (bytes_there - 4) / 2;
    assert_int_equal(fs_list_files(folder, make_old, NULL, NULL), 0);
    text[0] = 2;
    save_text(1, text, 100, 2 * one);
    assert_int_equal(count_files(), 3);
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_session *s = plain_session(m, false);
    for (int k = 0; k < 3; k++) {
        text[0] = k;
        assert_int_equal(load_text(s, text, N), k == 1 ? 0 : 100);
    }
    hearth_session_close(s);
    hearth_model_close(m);
    assert_true(os_file_exists(note));
    assert_int_equal(fs_list_files(folder, remove_it, NULL, NULL), 0);
}

static void put_zeros(const char *path, off_t n, time_t when)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), n), 0);
    fclose(f);
    if (when) assert_int_equal(utime(path, &(struct utimbuf){ when, when }), 0);
}

/* Names, sizes and times tell what a text goes on from and what was left half written: nothing of other files is read. */
static void the_folder_is_tidied_by_names(void **state)
{
    (void)state;
    static const char *const rest[] = { "0123456789abcdef.hearth-kv.tmp-1-2", "0123456789abcdef.hearth-kv.tmp-3-4",
                                        "0123456789abcdeX.hearth-kv.tmp-1-2", "notes.tmp-1-2", "0123456789abcdef.hearth-kv" };
    char begun[128], path[128];
    struct stat st;
    int32_t other[N];
    memcpy(other, ids, sizeof other);
    other[10] ^= 1;
    save_text(1, ids, 64, 0);
    the_only_file(begun);
    assert_int_equal(stat(begun, &st), 0);
    put_zeros(begun, st.st_size, 0);
    save_text(1, other, 30, 0);
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, rest[i]);
        put_zeros(path, 100, i == 1 ? 0 : time(NULL) - 4000);
    }
    assert_int_equal(count_files(), 7);
    save_text(1, ids, 100, 0);
    assert_false(os_file_exists(begun));
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, rest[i]);
        assert_int_equal(os_file_exists(path), i != 0);
    }
    assert_int_equal(count_files(), 6);                        /* these, the other text, the longer one */
    put_zeros(begun, st.st_size + 1, 0);                      /* no text of that length is so long */
    save_text(1, ids, 101, 0);
    assert_int_equal(count_files(), 7);
    assert_int_equal(fs_list_files(folder, remove_it, NULL, NULL), 0);
}

static void sums_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    uint8_t data[333];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 31);
    struct kvfile_sum a = { 0 };
    kvfile_sum_add(&a, data, sizeof data);
    for (size_t step = 1; step < 70; step++) {
        struct kvfile_sum b = { 0 };
        for (size_t at = 0; at < sizeof data; at += step)
            kvfile_sum_add(&b, data + at, sizeof data - at < step ? sizeof data - at : step);
        assert_true(kvfile_sum_of(&a) == kvfile_sum_of(&b));
    }
    for (size_t i = 0; i < sizeof data; i++) {
        struct kvfile_sum b = { 0 };
        data[i] ^= 4;
        kvfile_sum_add(&b, data, sizeof data);
        data[i] ^= 4;
        assert_true(kvfile_sum_of(&a) != kvfile_sum_of(&b));
    }
}

static int before(void **state) { return mkdtemp(folder) ? setup(state) : -1; }
static int after(void **state) { return rmdir(folder) < 0 ? -1 : teardown(state); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_do_not_depend_on_the_cuts),
        cmocka_unit_test(texts_survive_their_process),
        cmocka_unit_test(one_file),
        cmocka_unit_test(damaged_files_are_not_used),
        cmocka_unit_test(other_models_and_folders),
        cmocka_unit_test(the_folder_stays_small),
        cmocka_unit_test(the_folder_is_tidied_by_names),
    };
    return cmocka_run_group_tests(tests, before, after);
}
