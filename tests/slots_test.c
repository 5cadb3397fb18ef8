/* slots_test.c - texts by number: saved to a file by one engine process, restored by another. */
#include "tests/link_fixture.h"

#include <sys/stat.h>

static char dir[200];

static struct link *open_one(bool saves)
{
    static char folder[256];
    snprintf(folder, sizeof folder, "%s/slots", dir);
    return open_link((struct link_options){ .threads = 1, .slot_folder = saves ? folder : NULL, .keep_alive_s = -1 });
}

static int64_t number(struct link *l, const char *job, const char *key)
{
    struct kept k = { .n_text = 0 };
    run_job(l, &k, job);
    if (k.message[0]) fail_msg("%s: %s", job, k.message);
    int64_t v = json_int(json_get(k.done, key));
    kept_release(&k);
    return v;
}

static void refused(struct link *l, const char *job, const char *kind, const char *word)
{
    struct kept k = { .n_text = 0 };
    run_job(l, &k, job);
    if (strcmp(k.kind, kind) != 0 || !strstr(k.message, word)) fail_msg("%s: %s: %s", job, k.kind, k.message);
    kept_release(&k);
}

#define SLOT(action, rest) "{\"op\":\"slot\",\"model\":\"embedded\",\"action\":\"" action "\"" rest "}"
#define ASK(rest) "{\"op\":\"generate\",\"model\":\"embedded\",\"options\":{\"max_tokens\":8,\"temperature\":0}" rest "}"
/* More than a page of 64 tokens. */
#define LONG ",\"prompt\":\"Once upon a time there was a little girl who lived in a house by the sea with a cat, a dog, a bird " \
             "and an old man who told her every evening how he had sailed around the whole world in a small wooden boat, and " \
             "what he had seen: towers of ice, whales, and a mountain that spat fire into the night.  One day she asked him\""

static void a_text_outlives_its_process(void **unused)
{
    (void)unused;
    NEED_LINK();
    char path[300];
    struct stat st;
    struct kept first = { .n_text = 0 }, again = { .n_text = 0 };
    struct link *l = open_one(true);
    refused(l, SLOT("save", ",\"slot\":3,\"file\":\"a.bin\""), "not_found", "slot 3");
    run_job(l, &first, ASK(LONG ",\"slot\":3,\"salt\":\"ann\""));
    refused(l, SLOT("save", ",\"slot\":3,\"file\":\"a.bin\""), "not_found", "slot 3");          /* it is somebody else's */
    int64_t n = number(l, SLOT("save", ",\"slot\":3,\"salt\":\"ann\",\"file\":\"a.bin\""), "n");
    assert_in_range(n, 64, 200);
    assert_int_equal(number(l, SLOT("erase", ",\"slot\":3"), "n"), 0);
    assert_in_range(number(l, SLOT("erase", ",\"slot\":3,\"salt\":\"ann\""), "n"), n, n + 8);
    refused(l, SLOT("save", ",\"slot\":3,\"salt\":\"ann\",\"file\":\"b.bin\""), "not_found", "slot 3");
    link_close(l);
    snprintf(path, sizeof path, "%s/slots/a.bin", dir);
    assert_int_equal(stat(path, &st), 0);
    l = open_one(true);
    refused(l, SLOT("restore", ",\"slot\":1,\"file\":\"a.bin\""), "invalid", "another user");
    assert_int_equal(number(l, SLOT("restore", ",\"slot\":1,\"salt\":\"ann\",\"file\":\"a.bin\""), "bytes"), st.st_size);
    run_job(l, &again, ASK(LONG ",\"salt\":\"ann\""));
    assert_string_equal(text_of(&again, 0), text_of(&first, 0));
    assert_int_equal(json_int(json_get(first.done, "cached_tokens")), 0);
    assert_true(json_int(json_get(again.done, "cached_tokens")) >= 64);
    assert_int_equal(number(l, SLOT("save", ",\"slot\":1,\"salt\":\"ann\",\"file\":\"c.bin\""), "n"), n);
    /* A damaged one, and names that lead elsewhere. */
    FILE *f = fopen(path, "r+b");
    fseek(f, st.st_size / 2, SEEK_SET);
    fputs("damaged", f);
    fclose(f);
    refused(l, SLOT("restore", ",\"slot\":1,\"salt\":\"ann\",\"file\":\"a.bin\""), "invalid", "damaged");
    static const char *const name[] = { "../a", "/etc/passwd", "", ".", "..", "x/y", ".hidden", "a\\\\b" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        char job[200];
        snprintf(job, sizeof job, SLOT("save", ",\"slot\":1,\"salt\":\"ann\",\"file\":\"%s\""), name[i]);
        refused(l, job, "invalid", "filename");
    }
    /* Where the folder is, is nobody's business. */
    struct kept told = { .n_text = 0 };
    run_job(l, &told, SLOT("restore", ",\"file\":\"none\""));
    assert_null(strstr(told.message, dir));
    kept_release(&told);
    refused(l, SLOT("restore", ",\"file\":\"none\""), "not_found", "none: ");
    refused(l, SLOT("save", ",\"slot\":64,\"file\":\"x\""), "invalid", "slot");
    refused(l, SLOT("burn", ",\"file\":\"x\""), "invalid", "action");
    kept_release(&first);
    kept_release(&again);
    link_close(l);
}

static void only_where_it_is_allowed(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_one(false);
    refused(l, SLOT("save", ",\"file\":\"a\""), "unsupported", "--slot-save-path");
    refused(l, SLOT("erase", ""), "unsupported", "--slot-save-path");
    link_close(l);
}

int main(void)
{
    snprintf(dir, sizeof dir, "%s/hearth-slots-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_outlives_its_process),
        cmocka_unit_test(only_where_it_is_allowed),
    };
    int rc = run_tests(tests);
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) || rc;
}
