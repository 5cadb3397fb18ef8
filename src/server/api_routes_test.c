/* api_routes_test.c - the dialects over real sockets, with an engine that is none: that each endpoint is where it should be, and
 * answers in its own form.  What jobs and answers are is api_test.c's. */
#include "tests/served.h"

#include "base/mem.h"

static int start(void **unused)
{
    (void)unused;
    struct server_options o = { .embedded = { .arch = "small", .quant = "Q8_0", .n_params = 2500000, .context = 77 },
                                .embedded_bytes = 2600000 };
    setenv("HEARTH_MODELS", "/nonexistent/hearth", 1);
    served_open(&o);
    return 0;
}

/* The whole answer, head and body. */
static char *ask(const char *method, const char *path, const char *body)
{
    char head[512];
    int fd = client_open(port);
    snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n", method, path, port, body ? strlen(body) : 0);
    assert_true(client_send(fd, head, strlen(head)));
    if (body) assert_true(client_send(fd, body, strlen(body)));
    char *got = client_read(fd, NULL, 5000, NULL);
    close(fd);
    return got;
}

struct expect { const char *method, *path, *body, *status, *has, *and; };

static void expect_all(const struct expect *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *got = ask(e[i].method, e[i].path, e[i].body);
        bool ok = strstr(got, e[i].status) && (!e[i].has || strstr(got, e[i].has)) && (!e[i].and || strstr(got, e[i].and));
        if (!ok) fail_msg("%s %s %s: %s", e[i].method, e[i].path, e[i].body ? e[i].body : "", got);
        free(got);
    }
}
#define CHAT "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":2"

static void openai(void **unused)
{
    (void)unused;
    static const struct expect row[] = {
        { "GET", "/v1/models", NULL, "200", "{\"object\":\"list\",\"data\":[", "\"id\":\"spark\"" },
        { "GET", "/v1/models/spark", NULL, "200", "{\"id\":\"spark\",\"object\":\"model\"", NULL },
        { "GET", "/v1/models/none", NULL, "404", "not_found_error", "none" },
        { "POST", "/v1/chat/completions", "{" CHAT "}", "200", "\"content\":\"t0 t1 \"", "chat.completion\"" },
        { "POST", "/v1/chat/completions", "{" CHAT ",\"stream\":true}", "text/event-stream", "\"content\":\"t1 \"",
          "data: [DONE]\n" },
        { "POST", "/v1/chat/completions", "{" CHAT ",\"model\":\"none\"}", " 404 ", "model 'none' not found", NULL },
        { "POST", "/v1/chat/completions", "{}", " 400 ", "messages is required", "invalid_request_error" },
        { "POST", "/v1/chat/completions", "{}", " 400 ", "\"param\":\"messages\",\"code\":null", NULL },
        { "POST", "/v1/chat/completions", "{" CHAT ",\"top_p\":2}", " 400 ", "top_p is 2,", "\"param\":\"top_p\"" },
        { "POST", "/v1/chat/completions", "{" CHAT ",\"response_format\":{\"type\":\"json_schema\"}}", " 400 ",
          "\"param\":\"response_format", NULL },
        { "POST", "/v1/chat/completions", "[1]", " 400 ", "\"param\":null", NULL },
        { "POST", "/v1/chat/completions", "{" CHAT ",\"max_completion_tokens\":1}", "200", "\"content\":\"t0 \"", NULL },
        { "POST", "/v1/completions", "{\"prompt\":[\"a\",\"b\"],\"max_tokens\":1}", "200", "\"text\":\"t0 \",\"index\":1", NULL },
        { "POST", "/v1/completions", "{\"prompt\":[\"a\",\"b\"],\"max_tokens\":1,\"stream\":true}", "200", "\"index\":1",
          "data: [DONE]\n" },
        { "POST", "/v1/responses", "{\"input\":\"hi\",\"max_output_tokens\":1}", "200", "\"object\":\"response\"",
          "\"text\":\"t0 \"" },
        { "POST", "/v1/responses", "{\"input\":\"hi\",\"stream\":true,\"max_output_tokens\":1}", "200",
          "event: response.completed\n", NULL },
        { "GET", "/v1/responses/resp_none", NULL, "404", "not_found_error", "\"code\":\"response_not_found\"" },
        { "POST", "/v1/nothing", "{}", " 404 ", "\"code\":\"unknown_url\"", "not_found_error" },
        { "GET", "/v1/chat/completions", NULL, " 405 ", "\r\nAllow: POST\r\n", "{\"error\":{\"message\":" },
        { "PUT", "/v1/responses/x", NULL, " 405 ", "\r\nAllow: GET, HEAD, DELETE\r\n", "invalid_request_error" },
        { "OPTIONS", "/v1/models", NULL, " 204 ", "\r\nAllow: GET, HEAD\r\n", NULL },
        { "OPTIONS", "/v1/nothing", NULL, " 404 ", NULL, NULL },
        { "POST", "/v1/chat/completions", NULL, " 400 ", "missing request body", NULL },
    };
    expect_all(row, sizeof row / sizeof *row);
}

static void stored_answers(void **unused)
{
    (void)unused;
    char path[128], body[256], id[64];
    char *got = ask("POST", "/v1/responses", "{\"input\":\"hi\",\"max_output_tokens\":1}");
    assert_int_equal(sscanf(strstr(got, "\"id\":\"") + 6, "%60[a-z0-9_]", id), 1);
    snprintf(path, sizeof path, "X-Response-Id: %s\r\n", id);
    assert_non_null(strstr(got, path));
    free(got);
    got = ask("POST", "/v1/responses", "{\"input\":\"hi\",\"max_output_tokens\":1,\"store\":false}");
    assert_null(strstr(got, "X-Response-Id"));
    free(got);
    snprintf(path, sizeof path, "/v1/responses/%s", id);
    snprintf(body, sizeof body, "{\"input\":\"more\",\"previous_response_id\":\"%s\",\"max_output_tokens\":1}", id);
    const struct expect row[] = {
        { "GET", path, NULL, "200", "\"status\":\"completed\"", id },
        { "POST", "/v1/responses", body, "200", "previous_response_id\":\"resp_", NULL },
        { "DELETE", path, NULL, "200", "\"deleted\":true", id },
        { "GET", path, NULL, "404", "not_found_error", NULL },
        { "POST", "/v1/responses", body, "404", "\"param\":\"previous_response_id\"",
          "\"code\":\"previous_response_not_found\"" },
    };
    expect_all(row, sizeof row / sizeof *row);
}

static void anthropic(void **unused)
{
    (void)unused;
    static const struct expect row[] = {
        { "POST", "/v1/messages", "{" CHAT "}", "200", "\"type\":\"message\"", "\"text\":\"t0 t1 \"" },
        { "POST", "/v1/messages", "{" CHAT "}", "200", "\r\nrequest-id: req_", NULL },
        { "POST", "/v1/messages", "{" CHAT ",\"stream\":true}", "200", "event: message_stop\n", "event: content_block_delta\n" },
        { "POST", "/v1/messages", "{\"max_tokens\":1}", " 400 ", "\"type\":\"error\"", "\"request_id\":\"req_" },
        { "POST", "/v1/messages/count_tokens", "{" CHAT "}", "200", "input_tokens", NULL },
        { "GET", "/v1/messages", NULL, " 405 ", "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request", "Allow: POST" },
        { "POST", "/v1/messages/nothing", "{}", " 404 ", "{\"type\":\"error\",\"error\":{\"type\":\"not_found", NULL },
    };
    expect_all(row, sizeof row / sizeof *row);
    char *one = client_call(port, "GET", "/v1/models/spark", NULL, "anthropic-version: 2023-06-01\r\n");
    client_expect(one, 200, "{\"type\":\"model\",\"id\":\"spark\"");
    one = client_call(port, "GET", "/v1/models/none", NULL, "anthropic-version: 2023-06-01\r\n");
    client_expect(one, 404, "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\"");
    one = client_call(port, "GET", "/v1/models", NULL, "Anthropic-Version: 2023-06-01\r\n");
    client_expect(one, 200, "\"has_more\":false,\"first_id\":\"spark\",\"last_id\":\"spark\"}");
    one = client_call(port, "POST", "/v1/messages", "{" CHAT "}", "Content-Encoding: zstd\r\n");
    client_expect(one, 415, "is not taken; send it as it is");
}

static void ollama(void **unused)
{
    (void)unused;
#define NONE64 "sha256:0000000000000000000000000000000000000000000000000000000000000000"
    static const struct expect row[] = {
        { "GET", "/", NULL, "200", "Ollama is running", NULL },
        { "GET", "/api/version", NULL, "200", "{\"version\":\"0.", NULL },
        { "GET", "/api/tags", NULL, "200", "{\"models\":[{\"name\":\"spark:latest\"", "\"details\":{" },
        { "GET", "/api/tags", NULL, "200", "\"size\":2600000,", "\"family\":\"small\",\"families\":[\"small\"],"
          "\"parameter_size\":\"2.50M\",\"quantization_level\":\"Q8_0\"" },
        { "GET", "/api/ps", NULL, "200", "{\"models\":[]}", NULL },
        { "POST", "/api/generate", "{\"model\":\"spark\",\"prompt\":\"a\",\"stream\":false,\"options\":{\"num_predict\":1}}",
          "\r\nContent-Type: application/json; charset=utf-8\r\n", "\"created_at\":\"20", NULL },
        { "POST", "/api/chat", "{\"model\":\"spark\"," CHAT "}", "application/x-ndjson", "\"done\":true",
          "\"content\":\"t1 \"" },
        { "POST", "/api/generate", "{\"model\":\"spark\",\"prompt\":\"a\",\"stream\":false,\"options\":{\"num_predict\":1}}",
          "200", "\"response\":\"t0 \"", "\"done\":true" },
        { "POST", "/api/chat", "{" CHAT "}", " 400 ", "{\"error\":\"model is required\"}", NULL },
        { "POST", "/api/chat", "{\"model\":\"none\"," CHAT "}", " 404 ", "{\"error\":\"model 'none' not found", NULL },
        { "POST", "/api/show", "{\"model\":\"spark\"}", "200", "\"capabilities\":[\"completion\"",
          "\"modelfile\":\"FROM spark" },
        { "POST", "/api/show", "{\"model\":\"none\"}", "404", "{\"error\":", NULL },
        { "HEAD", "/api/blobs/" NONE64, NULL, "404", NULL, NULL },
        { "HEAD", "/api/blobs/sha256:12", NULL, "400", NULL, NULL },
        { "DELETE", "/api/delete", "{\"model\":\"none\"}", "404", "{\"error\":\"model 'none' not found\"}", NULL },
        { "POST", "/api/copy", "{\"source\":\"none\",\"destination\":\"a\"}", "404", "model 'none' not found", NULL },
        { "POST", "/api/copy", "{\"source\":\"none\"}", "400", "destination is required", NULL },
        { "POST", "/api/create", "{\"model\":\"a\",\"from\":\"/etc/passwd\"}", "400", "is no name of a model", NULL },
        { "POST", "/api/create", "{\"model\":\"a\",\"from\":\"b\",\"quantize\":\"q4_K_M\"}", "400", "quantize", NULL },
        { "POST", "/api/pull", "{\"model\":\"/etc/passwd\"}", "400", "is no name of a registry", NULL },
        { "POST", "/api/pull", "{\"model\":\"https://example.org/a.gguf\"}", "400", "is no name of a registry", NULL },
        { "POST", "/api/pull", "{\"model\":\"evil.example/a/b\"}", " 403 ", "{\"error\":\"models of \\\"evil.example\\\"", NULL },
        { "POST", "/api/pull", "{\"model\":\"http://127.0.0.1:1/a/b\",\"stream\":false}", " 403 ", "127.0.0.1:1", NULL },
        { "GET", "/api/nothing", NULL, " 404 ", "{\"error\":\"there is nothing at this path\"}", NULL },
        { "PUT", "/api/blobs/x", NULL, " 405 ", "{\"error\":\"", "\r\nAllow: GET, HEAD, POST\r\n" },
        { "POST", "/api/chat", NULL, " 400 ", "{\"error\":\"missing request body\"}", NULL },
        { "POST", "/api/show", NULL, " 400 ", "{\"error\":\"missing request body\"}", NULL },
        { "DELETE", "/api/delete", NULL, " 400 ", "{\"error\":\"missing request body\"}", NULL },
        { "POST", "/api/pull", NULL, " 400 ", "{\"error\":\"missing request body\"}", NULL },
        { "POST", "/api/me", NULL, " 401 ", "{\"error\":\"unauthorized\",\"signin_url\":\"\"}", NULL },
        { "POST", "/api/push", "{\"model\":\"a\"}", "501", "{\"error\":\"this server only fetches models", NULL },
    };
    expect_all(row, sizeof row / sizeof *row);
}

static void llama(void **unused)
{
    (void)unused;
    static const struct expect row[] = {
        { "POST", "/completion", "{\"prompt\":\"a\",\"n_predict\":2}", "200", "\"content\":\"t0 t1 \"", "\"stop\":true" },
        { "POST", "/completion", "{}", "400", "{\"error\":{\"code\":400,", "invalid_request_error" },
        { "GET", "/nothing", NULL, " 404 ", "{\"error\":{\"code\":404,", "\"type\":\"not_found_error\"" },
        { "GET", "/completion", NULL, " 405 ", "{\"error\":{\"code\":405,", "Allow: POST" },
        { "GET", "/props", NULL, "200", "\"total_slots\":64", "\"chat_template\":" },
        { "DELETE", "/models?model=none", NULL, "404", "not_found_error", NULL },
        { "DELETE", "/models", NULL, "400", "model is required", NULL },
        { "POST", "/v1/chat/completions/control", "{\"id\":\"chatcmpl-x\",\"action\":\"reasoning_end\"}", "404",
          "is being written", NULL },
        { "POST", "/v1/chat/completions/control", "{\"id\":\"x\",\"action\":\"dance\"}", "400", "reasoning_end", NULL },
        { "POST", "/completion", "{\"prompt\":\"a\",\"n_indent\":4}", "200", NULL, NULL },
        { "POST", "/completion", "{\"prompt\":\"a\",\"echo\":true}", "400", "echo", NULL },
        { "GET", "/slots", NULL, "200", "[{\"id\":0", NULL },
        { "POST", "/slots/0?action=save", "{\"filename\":\"../x\"}", "400", "filename", NULL },
        { "POST", "/slots/0?action=burn", "{}", "400", "action", NULL },
        { "POST", "/slots/0?action=save", "{\"filename\":\"x\"}", "200", "{\"id_slot\":0,\"filename\":\"x\"", "\"save_ms\":" },
        { "POST", "/slots/1?action=restore", "{\"filename\":\"x\"}", "200", "{\"id_slot\":1", "\"n_read\":" },
        { "POST", "/slots/0?action=erase", "{}", "200", "{\"id_slot\":0,\"n_erased\":", NULL },
        { "GET", "/lora-adapters", NULL, "200", "[]", NULL },
        { "POST", "/lora-adapters", "[{\"id\":0,\"scale\":1}]", "400", "there is no adapter 0", NULL },
        { "POST", "/lora-adapters", "{\"id\":0}", "400", "an array", NULL },
        { "POST", "/lora-adapters?model=none", "[]", "404", "not found", NULL },
        { "GET", "/models", NULL, "200", "\"status\":{\"value\":\"unloaded\"}", NULL },
        { "POST", "/models/load", "{\"model\":\"spark\"}", "200", "{\"success\":true}", NULL },
        { "POST", "/models", "{\"model\":\"evil.example/a/b\"}", " 403 ", "not fetched for clients", "permission_error" },
        { "POST", "/rerank", "{\"query\":\"a\",\"documents\":[]}", "400", "no documents", NULL },
    };
    expect_all(row, sizeof row / sizeof *row);
    static const struct { const char *path; bool only; } loads[] = {
        { "/completion?autoload=false", true }, { "/v1/completions?autoload=0", true }, { "/completion?autoload=true", false },
        { "/completion", false },
    };
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        free(ask("POST", loads[i].path, "{\"prompt\":\"a\",\"max_tokens\":1}"));
        assert_int_equal(fake->last_only_loaded, loads[i].only);
    }
}

/* What the engine process says of models, and what happens to the list of them, comes as it happens. */
static void models_as_they_change(void **unused)
{
    (void)unused;
    static const char ask_for[] = "GET /models/sse HTTP/1.1\r\nHost: localhost:%d\r\n\r\n";
    static const struct { const char *event, *says; } row[] = {
        { "{\"event\":\"model\",\"model\":\"embedded\",\"state\":\"loading\",\"done\":1,\"total\":3}",
          "data: {\"model\":\"spark\",\"event\":\"model_status\",\"data\":{\"status\":\"loading\",\"progress\":"
          "{\"done\":1,\"total\":3}}}\n\n" },
        { "{\"event\":\"model\",\"model\":\"embedded\",\"state\":\"ready\",\"done\":3,\"total\":3}",
          "\"data\":{\"status\":\"loaded\"}}\n\n" },
        { "{\"event\":\"model\",\"model\":\"/secret/x.gguf\",\"state\":\"failed\",\"done\":0,\"total\":0}",
          "data: {\"model\":\"x.gguf\",\"event\":\"model_status\",\"data\":{\"status\":\"unloaded\",\"failed\":true" },
        { NULL, "data: {\"model\":\"spark\",\"event\":\"model_status\",\"data\":{\"status\":\"unloaded\",\"failed\":true" },
        { "{\"event\":\"model\",\"model\":\"embedded\",\"state\":\"gone\",\"done\":0,\"total\":0}",
          "\"data\":{\"status\":\"unloaded\",\"exit_code\":0}}\n\n" },
    };
    char text[128];
    int fd[2];
    free(ask("POST", "/models/load", "{\"model\":\"spark\"}"));
    for (int i = 0; i < 2; i++) {
        fd[i] = client_open(port);
        snprintf(text, sizeof text, ask_for, port);
        assert_true(client_send(fd[i], text, strlen(text)));
        char *head = client_read(fd[i], ":\n\n", 15000, NULL);
        if (!strstr(head, "text/event-stream")) fail_msg("%s", head);
        free(head);
    }
    for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
        fake_model(fake, row[k].event);
        for (int i = 0; i < 2; i++) {
            char *got = client_read(fd[i], row[k].says, 15000, NULL);
            if (!strstr(got, row[k].says)) fail_msg("%s is not in %s", row[k].says, got);
            free(got);
        }
    }
    close(fd[1]);                                              /* one leaves, the other still hears */
    free(ask("GET", "/models?reload=1", NULL));
    char *got = client_read(fd[0], "{\"model\":\"*\",\"event\":\"models_reload\",\"data\":{}}", 15000, NULL);
    assert_non_null(strstr(got, "models_reload"));
    free(got);
    /* The end of the server ends it, and is not held up by it. */
    uint64_t begun = os_now_ns();
    server_drain(server, 60000, NULL);
    assert_true(os_now_ns() - begun < UINT64_C(30000000000));
    got = client_read(fd[0], "0\r\n\r\n", 15000, NULL);
    assert_non_null(strstr(got, "0\r\n\r\n"));
    free(got);
    close(fd[0]);
}

static void lmstudio(void **unused)
{
    (void)unused;
    static const struct expect row[] = {
        { "POST", "/api/v1/chat", "{\"model\":\"spark\",\"input\":\"a\",\"max_output_tokens\":1}", "200", "\"content\":\"t0 \"",
          "\"response_id\":\"resp_" },
        { "POST", "/api/v1/chat", "{\"model\":\"spark\",\"input\":\"a\",\"stream\":true}", "200", "event: chat.end\n", NULL },
        { "POST", "/api/v1/chat", "{\"model\":\"none\",\"input\":\"a\"}", "404", "model_not_found", NULL },
        { "POST", "/api/v1/chat", "{\"model\":\"spark\",\"input\":\"a\",\"previous_response_id\":\"resp_none\"}", "404",
          "{\"error\":{\"type\":\"invalid_request\"", "\"param\":\"previous_response_id\"" },
        { "GET", "/api/v1/models", NULL, "200", "{\"models\":[{\"type\":\"llm\"", "\"key\":\"spark\"" },
        { "POST", "/api/v1/models/load", "{\"model\":\"spark\",\"context_length\":512,\"echo_load_config\":true}", "200",
          "\"status\":\"loaded\"", "\"context_length\":512" },
        { "POST", "/api/v1/models/unload", "{\"instance_id\":\"spark\"}", "200", "{\"instance_id\":\"spark\"}", NULL },
        { "POST", "/api/v1/models/download", "{\"model\":\"spark\"}", "200", "already_downloaded", NULL },
        { "POST", "/api/v1/models/download", "{\"model\":\"evil.example/a/b\"}", " 403 ", "not fetched for clients",
          "{\"error\":{\"type\":\"invalid_request\"" },
        { "POST", "/api/v1/models/download", "{\"model\":\"169.254.169.254/a/b\"}", " 403 ", "169.254.169.254", NULL },
        { "GET", "/api/v1/models/download/status/x", NULL, "404", "job_not_found", NULL },
        { "GET", "/api/v1/nothing", NULL, " 404 ", "{\"error\":{\"type\":\"invalid_request\"", NULL },
        { "GET", "/api/v1/chat", NULL, " 405 ", "{\"error\":{\"type\":\"invalid_request\"", "Allow: POST" },
        { "GET", "/api/v0/models", NULL, "200", "\"state\":\"not-loaded\"", NULL },
        { "GET", "/api/v1/models", NULL, "200", "\"architecture\":\"small\"", "\"max_context_length\":77" },
        { "GET", "/api/v0/models/spark", NULL, "200", "{\"id\":\"spark\"", NULL },
        { "POST", "/api/v0/chat/completions", "{" CHAT "}", "200", "\"runtime\":{", "\"stop_reason\":\"eosFound\"" },
        { "POST", "/api/v0/chat/completions", "{" CHAT ",\"stream\":true}", "200", "\"quant\":\"Q8_0\",\"format\":\"gguf\"",
          "data: [DONE]\n" },
        { "POST", "/api/v0/completions", "{\"model\":\"spark\",\"prompt\":\"a\"}", "200",
          "\"quant\":\"Q8_0\",\"format\":\"gguf\"", NULL },
    };
    expect_all(row, sizeof row / sizeof *row);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(openai),
    cmocka_unit_test(stored_answers),
    cmocka_unit_test(anthropic),
    cmocka_unit_test(ollama),
    cmocka_unit_test(llama),
    cmocka_unit_test(lmstudio),
    cmocka_unit_test(models_as_they_change),       /* the last: it ends the server */
};
int main(void) { return cmocka_run_group_tests(tests, start, served_close); }
