#include "tests/testing.h"

#include "server/metrics.h"
#include "server/record.h"

static void values_are_harmless(void **unused)
{
    (void)unused;
    static const char evil[] = "/a\x1b]0;x\x07\r\nGET \"q\" \xe2\x80\xae\xc2\x9b\xff\xf3\xa0\x80\x81 \xc3\xa4";
    for (int json = 0; json < 2; json++) {
        struct record r = { 0 };
        size_t n;
        record_begin(&r, json, "info", "request");
        record_str(&r, "path", evil);
        record_str(&r, "none", "");
        record_str(&r, "plain", "a/b:c");
        record_int(&r, "status", 200);
        record_ms(&r, "ms", 1500000);
        const char *line = record_end(&r, &n);
        assert_int_equal(strlen(line), n);
        for (size_t i = 0; i + 1 < n; i++)
            if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) fail_msg("a control character in %s", line);
        assert_null(strstr(line, "\xe2\x80\xae"));
        assert_null(strstr(line, "\xc2\x9b"));
        assert_non_null(strstr(line, "\xc3\xa4"));
        assert_non_null(strstr(line, "\\u001b]0;x\\u0007\\u000d\\u000aGET"));
        assert_null(strstr(line, "none"));
        assert_non_null(strstr(line,
                               json ? "\"plain\":\"a/b:c\",\"status\":200,\"ms\":1.500}\n"
                                    : " plain=a/b:c status=200 ms=1.500\n"));
        struct json *j = NULL;
        struct err e = { 0 };
        if (json && json_parse(&j, line, n, &e) < 0) fail_msg("%s: %s", e.msg, line);
        json_free(j);
        record_release(&r);
    }
}

static void nothing_that_was_said_is_left(void **unused)
{
    (void)unused;
    static const char job[] = "{\"op\":\"generate\",\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"SECRET\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"SECRET\"}]}],\"tools\":[{\"name\":\"SECRET\"}],"
        "\"options\":{\"temp\":0.5,"
        "\"stop\":[\"SECRET\"]},\"prompt\":\"SECRET\",\"documents\":[\"SECRET\"]}";
    struct json *j, *safe;
    struct buf b = { 0 };
    assert_int_equal(json_parse(&j, job, sizeof job - 1, NULL), 0);
    safe = record_redact(j);
    json_write(safe, false, &b);
    assert_null(strstr(b.data, "SECRET"));
    assert_non_null(strstr(b.data, "\"content\":\"(6 bytes)\""));
    assert_non_null(strstr(b.data, "\"role\":\"user\""));
    assert_non_null(strstr(b.data, "\"temp\":0.5"));
    json_free(j);
    json_free(safe);
    buf_release(&b);
}

/* Tokens are words, and so are the names and values that a call has; only the names of ours tell what is none. */
static void neither_tokens_nor_names_are_left(void **unused)
{
    (void)unused;
    static const char *const job[] = {
        "{\"op\":\"generate\",\"prompt\":[4711,4712],\"n\":2}", "{\"op\":\"detokenize\",\"ids\":[4711]}",
        "{\"op\":\"embed\",\"input\":[[4711]],\"dims\":3}",
        "{\"op\":\"generate\",\"variables\":{\"user\":\"4711\",\"model\":\"4711\"}}",
        ("{\"op\":\"generate\",\"messages\":[{\"role\":\"assistant\","
            "\"tool_calls\":[{\"arguments\":{\"type\":\"4711\",\"n\":4711}}]}]}"),
        "{\"op\":\"generate\",\"messages\":[{\"role\":\"4711\",\"4711\":1,\"content\":4711}]}",
        "{\"op\":\"generate\",\"options\":{\"logit_bias\":[[4711,1]],\"stop\":[\"4711\"]}}",
        "{\"op\":\"generate\",\"format\":{\"schema\":{\"properties\":{\"4711\":{\"type\":\"string\"}}}}}",
    };
    for (size_t i = 0; i < sizeof job / sizeof *job; i++) {
        struct json *j, *safe;
        struct buf b = { 0 };
        assert_int_equal(json_parse(&j, job[i], strlen(job[i]), NULL), 0);
        safe = record_redact(j);
        json_write(safe, false, &b);
        if (strstr(b.data, "4711")) fail_msg("%s", b.data);
        assert_non_null(strstr(b.data, "\"op\":\""));
        json_free(j);
        json_free(safe);
        buf_release(&b);
    }
}

static void a_job_in_the_log_is_harmless(void **unused)
{
    (void)unused;
    static const char text[] = "{\"a\\u202e\":\"\\u009b31m \\u00e4 \\\"x\\\\\"}";
    struct json *j, *line;
    assert_int_equal(json_parse(&j, text, sizeof text - 1, NULL), 0);
    for (int json = 0; json < 2; json++) {
        struct record r = { 0 };
        size_t n;
        record_begin(&r, json, "trace", "job");
        record_json(&r, "job", j);
        const char *out = record_end(&r, &n);
        assert_null(strstr(out, "\xe2\x80\xae"));
        assert_null(strstr(out, "\xc2\x9b"));
        assert_non_null(strstr(out, "\xc3\xa4"));
        if (json) {
            assert_int_equal(json_parse(&line, out, n, NULL), 0);
            const struct json *value = json_get(json_get(line, "job"), "a\xe2\x80\xae");
            assert_string_equal(json_str(value, NULL), "\xc2\x9b" "31m \xc3\xa4 \"x\\");
            json_free(line);
        }
        record_release(&r);
    }
    json_free(j);
}

static void metrics_are_counted(void **unused)
{
    (void)unused;
    static struct metrics m;
    struct json *done, *status;
    struct buf b = { 0 };
    static const char text[] = "{\"event\":\"done\",\"prompt_tokens\":10,\"cached_tokens\":4,\"answer_tokens\":7,"
                               "\"drafts\":3,\"draft_tokens\":12,\"draft_right\":5,"
                               "\"draft_right_at\":[3,2,-1,\"x\"],"
                               "\"timings\":{\"load_ns\":2000000000,\"queue_ns\":30000000,"
                               "\"prompt_ns\":1,\"answer_ns\":500000000}}";
    static const char st[] = "{\"models\":[{\"model\":\"a\\\"b\",\"kv_bytes\":123,\"state\":\"ready\","
                             "\"steps\":8,\"step_texts\":12,"
                             "\"stats\":{\"pages_free\":5,\"X{\":1}}],"
                             "\"memory\":{\"used\":77}}";
    assert_int_equal(json_parse(&done, text, sizeof text - 1, NULL), 0);
    assert_int_equal(json_parse(&status, st, sizeof st - 1, NULL), 0);
    metrics_job(&m, &(struct metric_job){ .model = "a\"b", .first_s = 0.03, .text = true, .done = done });
    metrics_job(&m, &(struct metric_job){ .model = "a\"b", .failed = true });
    metrics_between(&m, "a\"b", 0.004);
    metrics_put(&m, &(struct metric_gauges){ .ready = true, .waiting = 3 }, status, &b);
    static const char *const line[] = {
        "hearth_up 1\n", "hearth_jobs_waiting 3\n", "hearth_jobs_total{model=\"a\\\"b\"} 2\n",
            "hearth_jobs_failed_total{model=\"a\\\"b\"} 1\n",
        "hearth_prompt_tokens_total{model=\"a\\\"b\"} 10\n", "hearth_cached_tokens_total{model=\"a\\\"b\"} 4\n",
        "hearth_load_seconds_total{model=\"a\\\"b\"} 2\n",
            "hearth_time_to_first_token_seconds_bucket{model=\"a\\\"b\",le=\"0.025\"} 0\n",
        "hearth_time_to_first_token_seconds_bucket{model=\"a\\\"b\",le=\"0.05\"} 1\n",
        "hearth_time_to_first_token_seconds_bucket{model=\"a\\\"b\",le=\"+Inf\"} 1\n",
            "hearth_inter_token_seconds_count{model=\"a\\\"b\"} 1\n",
        "hearth_queue_seconds_count{model=\"a\\\"b\"} 2\n", "hearth_engine_kv_bytes{model=\"a\\\"b\"} 123\n",
        "hearth_engine_pages_free{model=\"a\\\"b\"} 5\n", "hearth_engine_memory_used 77\n", "llamacpp:tokens_predicted_total 7\n",
        "hearth_draft_right_tokens_total{model=\"a\\\"b\"} 5\n", "llamacpp:spec_decode_num_drafts_total 3\n",
        "llamacpp:spec_decode_num_draft_tokens_total 12\n", "llamacpp:spec_decode_num_accepted_tokens_total 5\n",
        "llamacpp:spec_decode_num_accepted_tokens_per_pos_total{position=\"1\"} 2\n",
        "_per_pos_total{position=\"2\"} 0\n", "llamacpp:n_tokens_max 17\n", "llamacpp:n_decode_total 8\n",
        "llamacpp:n_busy_slots_per_decode 1.5\n",
    };
    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        if (!strstr(b.data, line[i])) fail_msg("%s is not in\n%s", line[i], b.data);
    assert_null(strstr(b.data, "X{"));
    char name[32];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "m%d", i);
        metrics_job(&m, &(struct metric_job){ .model = name });
    }
    assert_int_equal(m.n_models, METRIC_MODELS);
    assert_string_equal(m.model[METRIC_MODELS - 1].name, "other");
    assert_int_equal(m.model[METRIC_MODELS - 1].jobs, 100 - (METRIC_MODELS - 2));
    json_free(done);
    json_free(status);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_harmless), cmocka_unit_test(nothing_that_was_said_is_left),
            cmocka_unit_test(neither_tokens_nor_names_are_left), cmocka_unit_test(a_job_in_the_log_is_harmless),
            cmocka_unit_test(metrics_are_counted),
    };
    return run_tests(tests);
}
