/* api_anthropic_routes.c - where Anthropic's endpoints are; its list of models is at OpenAI's place, told by a header. */
#include <string.h>

#include "server/api_anthropic.h"

void api_anthropic_error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct buf b = { 0 };
    bool started = exchange_started(x);
    (void)kind;
    if (started) buf_puts(&b, "event: error\ndata: ");
    api_anthropic_put_error(&b, status, message, exchange_id(x), exchange_context(x));
    if (started) buf_puts(&b, "\n\n");
    static const char nomem[] = "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"out of memory\"}}";
    const char *text = b.bad || !b.data ? nomem : b.data;
    if (started) exchange_write(x, text, strlen(text));
    else exchange_text(x, status, HTTP_JSON, text, strlen(text));
    buf_release(&b);
}

/* Its clients look for the number of a request under this name. */
static void handle(struct exchange *x, const struct api_form *form)
{
    exchange_set_header(x, "request-id", exchange_id(x));
    api_handle(x, form);
}

static void messages(struct exchange *x) { handle(x, &api_anthropic_messages); }
static void count(struct exchange *x) { handle(x, &api_anthropic_count); }

const struct route routes_anthropic[] = {
    { "POST", "/v1/messages", ROLE_INFER, BODY_JSON, messages, api_anthropic_error, NULL, "answers a conversation" },
    { "POST", "/v1/messages/count_tokens", ROLE_INFER, BODY_JSON, count, api_anthropic_error, NULL,
      "how many tokens a conversation has" },
    { 0 },
};
