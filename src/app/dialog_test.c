#include "tests/testing.h"

#include <unistd.h>

#include "app/dialog.h"
#include "base/mem.h"

static char path[64];

static int make_path(void **unused)
{
    (void)unused;
    snprintf(path, sizeof path, "/tmp/hearth-dialog-%ld.json", (long)getpid());
    return 0;
}

static int remove_path(void **unused)
{
    (void)unused;
    unlink(path);
    return 0;
}

static void add(struct dialog *d, const char *role, const char *text)
{
    assert_int_equal(dialog_add(d, role, text, strlen(text), NULL), 0);
}

static void write_file(const char *text)
{
    struct os_writer *w;
    assert_int_equal(os_write_begin(&w, path, NULL), 0);
    assert_int_equal(os_write(w, text, strlen(text), NULL), 0);
    assert_int_equal(os_write_commit(w, NULL), 0);
}

static void the_system_message_stays_first(void **unused)
{
    (void)unused;
    struct dialog d = { 0 };
    assert_null(dialog_system(&d));
    assert_int_equal(dialog_set_system(&d, "", NULL), 0);
    add(&d, "user", "hi");
    assert_int_equal(dialog_set_system(&d, "be kind", NULL), 0);
    add(&d, "assistant", "hello");
    assert_int_equal(d.n, 3);
    assert_string_equal(dialog_system(&d), "be kind");
    assert_string_equal(d.message[1].content, "hi");
    assert_int_equal(dialog_set_system(&d, "be brief", NULL), 0);
    assert_int_equal(d.n, 3);
    assert_string_equal(dialog_system(&d), "be brief");
    dialog_clear(&d);
    assert_int_equal(d.n, 1);
    add(&d, "user", "again");
    assert_int_equal(dialog_set_system(&d, NULL, NULL), 0);
    assert_int_equal(d.n, 1);
    assert_string_equal(d.message[0].content, "again");
    assert_int_equal(dialog_add(&d, "robot", "x", 1, NULL), ERR_ARG);
    dialog_clear(&d);
    assert_int_equal(d.n, 0);
    dialog_drop_last(&d);
    dialog_release(&d);
}

static void a_chat_survives_the_file(void **unused)
{
    (void)unused;
    struct dialog d = { 0 }, back = { 0 };
    add(&d, "system", "you \"quote\" \\ and\ttabs");
    for (int i = 0; i < 40; i++) {
        add(&d, "user", "line\none \xc3\xa9 \xf0\x9f\x94\xa5 \x01\x1b[31m");
        add(&d, "assistant", i % 2 ? "" : "</s> <|im_end|>");
    }
    assert_int_equal(dialog_save(&d, "model.gguf", path, NULL), 0);
    add(&back, "user", "to be replaced");
    assert_int_equal(dialog_load(&back, path, NULL), 0);
    assert_int_equal(back.n, d.n);
    for (size_t i = 0; i < d.n; i++) {
        assert_string_equal(back.message[i].role, d.message[i].role);
        assert_string_equal(back.message[i].content, d.message[i].content);
    }
    dialog_release(&d);
    dialog_release(&back);
}

static void same_text(const char *a, const char *b) { assert_string_equal(a ? a : "none", b ? b : "none"); }

static void calls_and_results_are_kept(void **unused)
{
    (void)unused;
    static const char calls[] = "[{\"id\":\"\",\"name\":\"get\",\"arguments\":{\"a\":1}},"
                                "{\"id\":\"x1\",\"name\":\"now\",\"arguments\":\"no JSON\"}]";
    struct dialog d = { 0 }, back = { 0 };
    struct json *list;
    assert_int_equal(json_parse(&list, calls, sizeof calls - 1, NULL), 0);
    add(&d, "user", "?");
    assert_int_equal(dialog_add_result(&d, "r", 1, NULL), ERR_NOTFOUND);
    assert_int_equal(dialog_add_answer(&d, "", 0, "why", list, NULL), 0);
    assert_int_equal(dialog_waiting(&d), 2);
    assert_int_equal(dialog_add_result(&d, "r1", 2, NULL), 0);
    assert_int_equal(dialog_waiting(&d), 1);
    assert_int_equal(dialog_add_result(&d, "r2", 2, NULL), 0);
    assert_int_equal(dialog_waiting(&d), 0);
    assert_int_equal(dialog_add_result(&d, "r3", 2, NULL), ERR_NOTFOUND);
    assert_int_equal(dialog_add_answer(&d, "a", 1, NULL, list, NULL), 0);
    assert_int_equal(d.message[1].n_calls, 2);
    assert_int_equal(strlen(d.message[1].calls[0].id), 9);
    assert_string_not_equal(d.message[1].calls[0].id, d.message[4].calls[0].id);
    assert_string_equal(d.message[1].calls[0].arguments, "{\"a\":1}");
    assert_string_equal(d.message[1].calls[1].arguments, "no JSON");
    assert_string_equal(d.message[3].call_id, "x1");
    assert_string_equal(d.message[3].name, "now");
    assert_int_equal(dialog_save(&d, "m", path, NULL), 0);
    assert_int_equal(dialog_load(&back, path, NULL), 0);
    assert_int_equal(back.n, d.n);
    assert_int_equal(dialog_waiting(&back), 2);
    for (size_t i = 0; i < d.n; i++) {
        const struct hearth_chat_message *a = &d.message[i], *b = &back.message[i];
        same_text(a->role, b->role), same_text(a->content, b->content), same_text(a->reasoning, b->reasoning);
        same_text(a->name, b->name), same_text(a->call_id, b->call_id);
        assert_int_equal(a->n_calls, b->n_calls);
        for (size_t k = 0; k < a->n_calls; k++) {
            same_text(a->calls[k].id, b->calls[k].id);
            same_text(a->calls[k].name, b->calls[k].name);
            same_text(a->calls[k].arguments, b->calls[k].arguments);
        }
    }
    for (int64_t n = 0, rc = -1; n < 40 && rc < 0; n++) {
        size_t before = d.n;
        mem_fail_after(n);
        rc = dialog_add_answer(&d, "x", 1, "y", list, NULL);
        mem_fail_after(-1);
        assert_true(d.n == before + (rc == 0));
    }
    json_free(list);
    dialog_release(&d);
    dialog_release(&back);
}

static void damaged_files_change_nothing(void **unused)
{
    (void)unused;
    static const struct { const char *text, *word; } bad[] = {
        { "", "" },
        { "{", "" },
        { "[]", "not a chat" },
        { "{\"messages\": []}", "not a chat" },
        { "{\"hearth_chat\": 2, \"messages\": []}", "not a chat" },
        { "{\"hearth_chat\": 1, \"messages\": 5}", "not a chat" },
        { "{\"hearth_chat\": 1, \"messages\": [5]}", "message 1 needs" },
        { "{\"hearth_chat\": 1, \"messages\": [{\"role\": \"user\"}]}", "message 1 needs" },
        { "{\"hearth_chat\": 1, \"messages\": [{\"role\": \"root\", \"content\": \"x\"}]}", "message 1 needs" },
        { "{\"hearth_chat\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"a\\u0000b\"}]}", "" },
        { "{\"hearth_chat\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"a\", \"name\": 3}]}", "message 1 needs" },
        { "{\"hearth_chat\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"a\"}, "
          "{\"role\": \"system\", \"content\": \"x\"}]}", "only the first" },
    };
    struct dialog d = { 0 };
    add(&d, "user", "keep me");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = { 0 };
        write_file(bad[i].text);
        assert_true(dialog_load(&d, path, &e) < 0);
        assert_non_null(strstr(e.msg, path));
        if (!strstr(e.msg, bad[i].word)) fail_msg("%s: %s", bad[i].text, e.msg);
        assert_int_equal(d.n, 1);
        assert_string_equal(d.message[0].content, "keep me");
    }
    unlink(path);
    assert_int_equal(dialog_load(&d, path, NULL), ERR_NOTFOUND);
    assert_true(dialog_save(&d, "m", "/nonexistent-folder/chat.json", NULL) < 0);
    dialog_release(&d);
}

static void running_out_of_memory_is_an_error(void **unused)
{
    (void)unused;
    struct dialog d = { 0 }, back = { 0 };
    add(&d, "user", "hello");
    assert_int_equal(dialog_save(&d, "m", path, NULL), 0);
    bool done = false;
    for (int64_t n = 0; n < 200 && !done; n++) {
        mem_fail_after(n);
        int rc = dialog_load(&back, path, NULL);
        mem_fail_after(-1);
        done = rc == 0;
        assert_true(done || back.n == 0);
    }
    assert_true(done);
    assert_int_equal(back.n, 1);
    dialog_release(&d);
    dialog_release(&back);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_system_message_stays_first),
    cmocka_unit_test(a_chat_survives_the_file),
    cmocka_unit_test(calls_and_results_are_kept),
    cmocka_unit_test(damaged_files_change_nothing),
    cmocka_unit_test(running_out_of_memory_is_an_error),
};
int main(void) { return cmocka_run_group_tests(tests, make_path, remove_path); }
