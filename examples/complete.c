/* complete.c - asks a model one question and prints the answer as it comes.
 *
 * Usage: complete [MODEL.gguf] [QUESTION]
 * Without a model file it uses the tiny model inside the library.  Build it against an installed Hearth with
 *     cc complete.c $(pkg-config --cflags --libs hearth) -o complete
 * (add --static to pkg-config's options to link libhearth.a). */
#include <hearth.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWER = 128 };    /* tokens */

/* Everything that main opened; all zero means nothing to close. */
struct chat {
    struct hearth_model *model;
    struct hearth_session *session;
    struct hearth_sampler *sampler;
    struct hearth_decoder *decoder;
    int32_t *prompt;
};

static void chat_close(struct chat *c)
{
    hearth_free(c->prompt);
    hearth_decoder_close(c->decoder);
    hearth_sampler_close(c->sampler);
    hearth_session_close(c->session);
    hearth_model_close(c->model);           /* last: the others refer to it */
}

/* The question as the model wants to be asked: by its chat template when it has one, else as plain text to go on from. */
static int make_prompt(struct chat *c, const char *question, size_t *n, struct hearth_error *e)
{
    const struct hearth_message message = { "user", question };
    int rc = hearth_chat_prompt(c->model, &message, 1, &c->prompt, n, e);
    if (rc != HEARTH_ENOTFOUND) return rc;
    return hearth_tokenize(c->model, question, strlen(question), HEARTH_TOKENIZE_SPECIAL, &c->prompt, n, e);
}

static int chat_open(struct chat *c, const char *path, const char *question, size_t *n_prompt, struct hearth_error *e)
{
    int rc = path ? hearth_model_open(&c->model, path, NULL, e) : hearth_model_open_embedded(&c->model, NULL, e);
    if (rc < 0) return rc;
    if ((rc = make_prompt(c, question, n_prompt, e)) < 0) return rc;

    /* NULL options are the defaults: here a context of the model's own length, up to 4096 tokens. */
    if ((rc = hearth_session_open(&c->session, c->model, NULL, e)) < 0) return rc;

    struct hearth_sampler_options sampling;
    hearth_sampler_defaults(c->model, &sampling);
    sampling.seed = 1;                      /* the same seed gives the same answer, on every machine */
    if ((rc = hearth_sampler_open(&c->sampler, c->model, &sampling, e)) < 0) return rc;

    /* The answer goes on where the prompt ends, and is shown without control tokens. */
    return hearth_decoder_open(&c->decoder, c->model, false, true, e);
}

/* Prints the answer token by token.  A character may need several tokens; the decoder holds back what is not whole. */
static int answer(struct chat *c, size_t n_prompt, struct hearth_error *e)
{
    int rc = hearth_session_sync(c->session, c->prompt, n_prompt, e);     /* reads the whole prompt */
    size_t room = hearth_session_n_ctx(c->session) - n_prompt;            /* sync has refused a prompt that is too long */
    for (size_t i = 0; rc == 0 && i < MAX_ANSWER && i < room; i++) {
        int32_t id = hearth_sampler_pick(c->sampler, c->session);
        if (hearth_token_is_end(c->model, id)) break;
        fputs(hearth_decoder_push(c->decoder, id), stdout);
        fflush(stdout);
        rc = hearth_session_append(c->session, &id, 1, e);                /* computes the logits of the next token */
    }
    fputs(hearth_decoder_push(c->decoder, -1), stdout);
    putchar('\n');
    return rc;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : NULL;
    const char *question = argc > 2 ? argv[2] : "What is a hearth?";

    struct chat c = { 0 };
    struct hearth_error e;
    size_t n_prompt;
    int rc = chat_open(&c, path, question, &n_prompt, &e);
    if (rc == 0) rc = answer(&c, n_prompt, &e);
    if (rc < 0) fprintf(stderr, "complete: %s\n", e.message);
    chat_close(&c);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
