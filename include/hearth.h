/* hearth.h - the C library of Hearth: open a model, keep sessions, sample, tokenise.
 *
 *   struct hearth_model *m;  struct hearth_session *s;  struct hearth_error e;
 *   if (hearth_model_open(&m, "model.gguf", NULL, &e) < 0) die(e.message);
 *   if (hearth_session_open(&s, m, NULL, &e) < 0) die(e.message);
 *   hearth_session_sync(s, ids, n, &e);              // the session's text is now ids[0..n)
 *   const float *logits = hearth_session_logits(s);  // of the token that would come next
 *
 * A model is immutable and may be shared by sessions; a session is one timeline of tokens.  examples/ has a complete program.
 *
 * Errors: functions that can fail return 0, or a negative HEARTH_E* code with a message in *e (e may be NULL).  Nothing
 * prints, aborts or exits.  Out-parameters are NULL on failure.
 * Determinism: on the CPU the logits of a token sequence are bit-identical for every batch composition, number of threads,
 * prefill chunk and continued or fresh session (with the same adapters), and for models with quantised weights for every
 * instruction set.
 * Threads: a model may be used from any thread, but computing calls on one model run one at a time (they are serialised
 * inside); a session, sampler or decoder belongs to one thread at a time. */
#ifndef HEARTH_H
#define HEARTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEARTH_API __attribute__((visibility("default")))

enum {
    HEARTH_OK = 0,
    HEARTH_ENOMEM = -1,        /* an allocation failed */
    HEARTH_EIO = -2,           /* the operating system refused */
    HEARTH_EFORMAT = -3,       /* a file or text is malformed */
    HEARTH_ELIMIT = -4,        /* does not fit: the message says both numbers */
    HEARTH_EARG = -5,          /* the request makes no sense */
    HEARTH_EUNSUPPORTED = -6,  /* well-formed, but not implemented */
    HEARTH_ECANCELLED = -7,    /* the progress callback asked to stop */
    HEARTH_ENOTFOUND = -8      /* no such file or thing */
};

struct hearth_error { int code; char message[512]; };

HEARTH_API const char *hearth_version(void);          /* "0.1.0" */

/* ---- models ---- */

struct hearth_model;
struct hearth_session;
struct hearth_sampler;

/* How rotary positions are made for contexts other than those a model was trained on. */
enum { HEARTH_ROPE_FILE = 0,       /* as the file says */
       HEARTH_ROPE_NONE = 1, HEARTH_ROPE_LINEAR = 2, HEARTH_ROPE_NTK = 3, HEARTH_ROPE_YARN = 4, HEARTH_ROPE_LLAMA3 = 5,
       HEARTH_ROPE_LONGROPE = 6 }; /* only where the file has its tables */
struct hearth_rope_options {       /* each zero: what the file says, else the usual */
    int scaling;                   /* HEARTH_ROPE_* */
    float base;                    /* of the frequencies; not of layers with a window that have one of their own */
    float factor;                  /* by which the context grows; without a scaling anywhere it is linear */
    uint32_t original_ctx;         /* what the model was trained on */
    float attn_factor, ext_factor, beta_fast, beta_slow;          /* of YaRN; usually 1, 1, 32, 1 */
    float low_freq_factor, high_freq_factor;                      /* of llama 3; usually 1, 4 */
};

struct hearth_model_options {      /* zero-initialise: every zero is the default */
    uint32_t threads;              /* 0: HEARTH_THREADS, else one per physical core (one for a model under 16 MB); at most 256 */
    const char *cpu;               /* "scalar", "avx2", "avxvnni", "avx512", "neon", "i8mm"; NULL: HEARTH_CPU, else the best */
    uint64_t kv_limit;             /* bytes that keys and values of all texts may take; 0: 3/4 of what the weights leave free */
    uint64_t cache_limit;          /* of these, what past texts may keep to be gone on from; 0: a quarter, or HEARTH_CACHE_NONE */
    struct hearth_rope_options rope;
    const char *chat_template;     /* Jinja or Go's language, in the place of the file's own; NULL: that */
    const char *spare_template;    /* the same, but only where the file has none of its own that can be used */
};
#define HEARTH_CACHE_NONE UINT64_MAX

/* Maps a GGUF file (the first of a split model), or the safetensors files of a folder from the Hugging Face Hub, and uses
 * them in place; loading copies no weights. */
HEARTH_API int hearth_model_open(struct hearth_model **out, const char *path, const struct hearth_model_options *o,
                                 struct hearth_error *e);
/* The tiny model that is linked into the library. HEARTH_ENOTFOUND when it was built without one. */
HEARTH_API int hearth_model_open_embedded(struct hearth_model **out, const struct hearth_model_options *o,
                                          struct hearth_error *e);
HEARTH_API void hearth_model_close(struct hearth_model *m);   /* after its sessions; NULL is fine */

struct hearth_model_info {
    const char *path, *name, *architecture, *tokenizer, *cpu;   /* live as long as the model */
    uint64_t file_bytes, n_parameters;
    uint32_t n_vocab;              /* width of the logits */
    uint32_t n_tokens;             /* ids that the tokenizer knows (<= n_vocab in sound files) */
    uint32_t n_ctx_train, n_embd, n_layer, n_head, n_head_kv, n_expert, n_expert_used;
    uint32_t threads;
    uint32_t n_embed_tokens;       /* the longest text that can be embedded */
    int pooling;                   /* HEARTH_POOL_*: how the file wants embeddings to be made; -1: it does not say */
    bool recurrent;                /* it has a state, which cannot go back by any number of tokens */
    bool encoder;                  /* makes embeddings only: it has no sessions */
    bool guesses;                  /* has a head that guesses further tokens, which speculation asks */
    bool has_template;
    bool shows_tools;              /* the template has a form of its own for tools (others are told of them in words) */
    bool reasons, reasons_if_asked;           /* answers can begin with reasoning; which can be switched */
    const char *chat_template;     /* [n_chat_template] its text, not ended by a zero */
    size_t n_chat_template;
};
HEARTH_API void hearth_model_info(const struct hearth_model *m, struct hearth_model_info *out);

/* What keys and values take now, in bytes and in pages of 64 tokens.  Texts that are worked on and past ones share pages, which
 * count once in kv_used; what comes from the system is kv_reserved.  Beside them: the bytes of the file, what reading it took
 * from the heap, compute buffers. */
struct hearth_memory {
    uint64_t kv_limit, kv_reserved, kv_used, n_pages, cached, n_cached_pages;
    uint64_t weights, heap, buffers;
};
HEARTH_API void hearth_model_memory(struct hearth_model *m, struct hearth_memory *out);
/* Forgets past texts that nobody works on. */
HEARTH_API void hearth_cache_clear(struct hearth_model *m);

/* ---- adapters ---- */

/* What changes a model's answers without being one: a LoRA, as a GGUF file of type "adapter" or a folder of PEFT or mlx-lm
 * (adapter_config.json and its safetensors), or a steering ("control") vector, a GGUF file of architecture "controlvector".
 * It is read for one model, whose weights stay as they are, and may be used by any of its sessions. */
struct hearth_adapter;
/* HEARTH_EFORMAT, HEARTH_EARG or HEARTH_EUNSUPPORTED name the tensor, or the architecture, that does not fit. */
HEARTH_API int hearth_adapter_open(struct hearth_adapter **out, struct hearth_model *m, const char *path,
                                   struct hearth_error *e);
/* When no session and no model uses it any more; before the model is closed.  NULL is fine. */
HEARTH_API void hearth_adapter_close(struct hearth_adapter *a);

struct hearth_adapter_info { uint32_t n_matrices, rank, n_steered; };    /* the largest rank; layers that get a vector */
HEARTH_API void hearth_adapter_info(const struct hearth_adapter *a, struct hearth_adapter_info *out);

struct hearth_adapter_use {
    struct hearth_adapter *adapter;
    float scale;                       /* 1: as it was trained; 0: not at all */
    uint32_t first_layer, last_layer;  /* a steering vector is added behind these layers only; last 0: to the end */
};
/* What the sessions opened from now on begin with, and what embeddings are made with.  Several add up; n 0: none. */
HEARTH_API int hearth_model_set_adapters(struct hearth_model *m, const struct hearth_adapter_use *use, size_t n,
                                         struct hearth_error *e);
/* Another set for one session.  Its text is evaluated again (it is empty now), unless the set is equal to what it had.
 * Sessions with different adapters may be in one batch; sessions without any cost what they did. */
HEARTH_API int hearth_session_set_adapters(struct hearth_session *s, const struct hearth_adapter_use *use, size_t n,
                                           struct hearth_error *e);

/* ---- sessions ---- */

/* How keys and values of past tokens are kept.  AUTO: f16; of values: as the keys.  Keys and values of models that keep values
 * inside keys (latent attention) have the keys' type. */
enum { HEARTH_KV_AUTO = 0, HEARTH_KV_F16 = 1, HEARTH_KV_F32 = 2, HEARTH_KV_BF16 = 3, HEARTH_KV_Q8_0 = 4, HEARTH_KV_Q4_0 = 5 };

/* Called between steps of a long evaluation with the tokens done and to do; return false to stop
 * (HEARTH_ECANCELLED; the session keeps what was done). */
typedef bool hearth_progress_fn(void *arg, size_t done, size_t total);

struct hearth_session_options {    /* zero-initialise */
    uint32_t n_ctx;                /* tokens the session can hold; 0: the model's own, at most 4096 */
    int kv_type, kv_type_v;        /* HEARTH_KV_* of keys, of values */
    uint32_t n_batch;              /* prefill chunk in tokens, 1..512; 0: 512.  The results do not depend on it */
    uint32_t n_logits;             /* how many of the last positions of a sync keep their logits; 0: 1 */
    hearth_progress_fn *progress;  /* or NULL */
    void *progress_arg;
    bool no_cache;                 /* goes on from no past text and leaves none */
    uint64_t cache_salt;           /* past texts are found only by those who have the same: one for each user who may not share */
};

/* Bytes of memory that such a session will take at most beside the mapped file: keys and values, and compute buffers.  o may be
 * NULL. */
HEARTH_API uint64_t hearth_session_bytes(struct hearth_model *m, const struct hearth_session_options *o);
/* Memory for keys and values is taken as the text grows.  HEARTH_ELIMIT with the numbers when a full context could never fit. */
HEARTH_API int hearth_session_open(struct hearth_session **out, struct hearth_model *m,
                                   const struct hearth_session_options *o, struct hearth_error *e);
HEARTH_API void hearth_session_close(struct hearth_session *s);     /* NULL is fine */

/* Makes the session's text equal to ids[0..n), n >= 1: keeps the longest prefix that this or any past text of the model has in
 * common with it, evaluates the rest (always at least the last token, so that its logits exist).  Models with recurrent layers or
 * sliding windows cannot go back anywhere: they evaluate again from the nearest place where a state or a window was kept.
 * HEARTH_ELIMIT when n > n_ctx, or when no memory for keys and values is left; HEARTH_EARG for an id out of range. */
HEARTH_API int hearth_session_sync(struct hearth_session *s, const int32_t *ids, size_t n, struct hearth_error *e);
/* Appends tokens. */
HEARTH_API int hearth_session_append(struct hearth_session *s, const int32_t *ids, size_t n, struct hearth_error *e);
/* One step for several sessions of one model at once; the results are those of separate calls, bit for bit. */
struct hearth_batch_item { struct hearth_session *session; const int32_t *ids; size_t n; };
HEARTH_API int hearth_batch_append(const struct hearth_batch_item *items, size_t n_items, struct hearth_error *e);

HEARTH_API const int32_t *hearth_session_ids(const struct hearth_session *s, size_t *n);
HEARTH_API uint32_t hearth_session_n_ctx(const struct hearth_session *s);
/* Tokens of the last sync that were not evaluated again. */
HEARTH_API uint32_t hearth_session_n_kept(const struct hearth_session *s);
/* Logits [n_vocab] after the last token; valid until the next evaluation; NULL before the first. */
HEARTH_API const float *hearth_session_logits(const struct hearth_session *s);
/* Forgets the last n tokens; there are no logits then.  Models with recurrent layers can go back over what an append of at most
 * n_logits tokens had behind its first, and evaluate again what stays of that; else HEARTH_EUNSUPPORTED, and nothing changes. */
HEARTH_API int hearth_session_drop(struct hearth_session *s, size_t n, struct hearth_error *e);
/* Rows [n][n_vocab] of the last positions of the last sync or append, oldest first; *n <= n_logits. */
HEARTH_API const float *hearth_session_logits_rows(const struct hearth_session *s, size_t *n);

/* ---- what a model would need ---- */

struct hearth_needs_options {      /* zero-initialise */
    uint32_t threads;              /* as for a model */
    const char *cpu;
    uint32_t n_ctx;                /* tokens of each text; 0: the model's own, at most 4096 */
    int kv_type, kv_type_v;        /* HEARTH_KV_* */
    uint32_t n_sessions;           /* texts at once; 0: 1 */
    uint32_t n_prompt;             /* tokens of the prompt for which `prefill` is counted, `decode` is behind it; 0: 512 */
};
/* What a step must at least do: bytes of weights and of keys and values that are read, and multiply-adds of the matrices, by the
 * kind of their weights; few_macs: how many 8-bit multiply-adds this device could do at best in the time in which it does them
 * (and attends to past tokens) one token at a time. */
struct hearth_work { double bytes, int_macs, float_macs, few_macs; };
struct hearth_needs {
    /* Bytes of memory.  other: what this process holds now, the file's header and tokenizer included. */
    uint64_t weights, embedding, kv, compute, other;
    uint64_t file_bytes, n_parameters, n_active;      /* n_active: parameters that one token is multiplied with */
    uint64_t kv_token;             /* bytes that one more token adds to kv, for one text */
    uint32_t n_ctx, n_ctx_train, n_layer, n_expert, n_expert_used, threads;
    bool encoder;                  /* makes embeddings only: no kv, no decode */
    char architecture[64], name[128];
    struct hearth_work prefill;    /* of one prompt */
    struct hearth_work decode;     /* of a token for each of the sessions */
};
/* Counted by what would allocate and compute, but nothing is loaded: of the file only the header is read, and whatever else is
 * small (rotary factors).  All of its weights may be missing, as holes of the right size.  `embedding`, a part of `weights`, is a
 * table that is read one row at a time. */
HEARTH_API int hearth_model_needs(const char *path, const struct hearth_needs_options *o, struct hearth_needs *out,
                                  struct hearth_error *e);

/* ---- past texts in files ---- */

/* Writes what the session's text took to evaluate to a file of this folder, for later processes with the same model; removes
 * files of texts that this one begins with, and those that were used longest ago when all have more than `limit` bytes (0: any
 * number).  Models with recurrent layers: up to their last saved state. */
HEARTH_API int hearth_cache_save(struct hearth_session *s, const char *folder, uint64_t limit, struct hearth_error *e);
/* Brings the file of this folder whose text has most in common with ids into the model's cache, where hearth_session_sync of s
 * finds it; *found: that many tokens.  Other models' files are passed over; a damaged one is removed and nothing found. */
HEARTH_API int hearth_cache_load(struct hearth_session *s, const char *folder, const int32_t *ids, size_t n, size_t *found,
                                 struct hearth_error *e);

/* The same to one file, whatever its name, and from it; *n: tokens, *bytes: of the file.  Loading brings the whole text, whose
 * tokens *ids are the caller's (hearth_free), into the model's cache.  HEARTH_EARG for a file of another model, salt, kind of
 * keys and values, or adapters; HEARTH_EFORMAT for a damaged one. */
HEARTH_API int hearth_cache_save_file(struct hearth_session *s, const char *path, size_t *n, uint64_t *bytes,
                                      struct hearth_error *e);
HEARTH_API int hearth_cache_load_file(struct hearth_session *s, const char *path, int32_t **ids, size_t *n, uint64_t *bytes,
                                      struct hearth_error *e);

/* ---- embeddings ---- */

enum { HEARTH_POOL_AUTO = -1,      /* as the file says, else the mean (encoders) or the last token */
       HEARTH_POOL_NONE = 0,       /* a vector for each token */
       HEARTH_POOL_MEAN = 1, HEARTH_POOL_CLS = 2, HEARTH_POOL_LAST = 3,
       HEARTH_POOL_RANK = 4 };     /* what the model's classifier says of the text: plain numbers, never normalised */

struct hearth_embed_options {      /* start from hearth_embed_defaults */
    int pooling;
    bool normalise;                /* vectors of length 1 (default) */
    bool truncate;                 /* texts that are too long are cut, keeping a control token at the end; else HEARTH_ELIMIT */
    uint32_t n_dims;               /* only the first so many numbers, before normalising; 0: all */
    hearth_progress_fn *progress;  /* counts texts; or NULL */
    void *progress_arg;
};
HEARTH_API void hearth_embed_defaults(struct hearth_embed_options *out);
/* Numbers in one vector; 0 when the model cannot do it (a pooling of HEARTH_POOL_RANK without a classifier). */
HEARTH_API uint32_t hearth_embed_width(const struct hearth_model *m, const struct hearth_embed_options *o);
/* A text as tokens (hearth_tokenize with HEARTH_TOKENIZE_SPECIAL).  From token `second` on (0: none) it is the second text of
 * a pair.  out: [width], with HEARTH_POOL_NONE [n][width] (of a cut text only the rows of the tokens that were kept). */
struct hearth_embed_item { const int32_t *ids; size_t n, second; float *out; };
/* Vectors of texts, each the same bits whatever the others are; works for every model.  o may be NULL. */
HEARTH_API int hearth_embed(struct hearth_model *m, const struct hearth_embed_item *items, size_t n_items,
                            const struct hearth_embed_options *o, struct hearth_error *e);

struct hearth_rerank_options {     /* zero-initialise */
    const char *instruction;       /* for models that are asked in words; NULL: to find passages that answer a web search */
    bool logits;                   /* scores as the model computes them; else probabilities, 1 / (1 + e^-logit) */
    hearth_progress_fn *progress;  /* counts documents; or NULL */
    void *progress_arg;
};
/* How well each document answers the query: scores[n], the higher the better.  By the model's classifier, or by asking a model
 * that generates text for "yes" or "no"; documents that are too long are cut.  o may be NULL. */
HEARTH_API int hearth_rerank(struct hearth_model *m, const char *query, const char *const *documents, size_t n,
                             const struct hearth_rerank_options *o, float *scores, struct hearth_error *e);

/* ---- tokens ---- */

enum { HEARTH_TOKENIZE_SPECIAL = 1,    /* add BOS/EOS as the model wants them */
       HEARTH_TOKENIZE_PARSE = 2 };    /* text that spells a control token becomes it: trusted text only */

/* *ids is the caller's (hearth_free). */
HEARTH_API int hearth_tokenize(const struct hearth_model *m, const char *text, size_t n_text, unsigned flags,
                               int32_t **ids, size_t *n_ids, struct hearth_error *e);
/* *text (UTF-8 unless the tokens are not, NUL-terminated) is the caller's (hearth_free). */
HEARTH_API int hearth_detokenize(const struct hearth_model *m, const int32_t *ids, size_t n_ids, bool special,
                                 char **text, size_t *n_text, struct hearth_error *e);
HEARTH_API bool hearth_token_is_end(const struct hearth_model *m, int32_t id);   /* generation stops at it */
HEARTH_API int32_t hearth_token_bos(const struct hearth_model *m);               /* -1: none */
HEARTH_API int32_t hearth_token_eos(const struct hearth_model *m);               /* -1: none */

/* Text of a stream of tokens in whole UTF-8 characters. */
struct hearth_decoder;
HEARTH_API int hearth_decoder_open(struct hearth_decoder **out, const struct hearth_model *m, bool special,
                                   bool continues, struct hearth_error *e);
/* The text that became complete, valid until the next call; "" when none yet.  id < 0: the end, gives what is left. */
HEARTH_API const char *hearth_decoder_push(struct hearth_decoder *d, int32_t id);
HEARTH_API void hearth_decoder_close(struct hearth_decoder *d);

/* Before the first token: the text ends before the first of the stop strings (exact bytes), and never has one of the banned
 * phrases (ASCII letters of either case).  What may begin one is held back.  The strings are borrowed. */
HEARTH_API int hearth_decoder_watch(struct hearth_decoder *d, const char *const *stop, size_t n_stop, const char *const *ban,
                                    size_t n_ban, struct hearth_error *e);
enum { HEARTH_TEXT_GOES_ON, HEARTH_TEXT_STOPPED, HEARTH_TEXT_BANNED };
/* The stop string that ended the text, or NULL. */
HEARTH_API const char *hearth_decoder_stop(const struct hearth_decoder *d);
/* What the last push came to.  BANNED: a phrase came, and the last *n_back tokens are no part of the text any more; forget them
 * (hearth_session_sync), tell the sampler (hearth_sampler_forbid with *first) and pick again. */
HEARTH_API int hearth_decoder_state(const struct hearth_decoder *d, size_t *n_back, int32_t *first);
HEARTH_API size_t hearth_decoder_held(const struct hearth_decoder *d);   /* tokens at the end that may still be taken back */

struct hearth_message { const char *role, *content; };      /* "system", "user", "assistant"; UTF-8 */
/* The prompt of a conversation by the model's own chat template, ending where the assistant is to answer.  Text inside
 * messages never becomes a control token.  *ids is the caller's.  HEARTH_ENOTFOUND when the model has no template;
 * HEARTH_EARG with the template's own words when it refuses (role order, ...). */
HEARTH_API int hearth_chat_prompt(const struct hearth_model *m, const struct hearth_message *messages, size_t n,
                                  int32_t **ids, size_t *n_ids, struct hearth_error *e);
/* The prompt for what comes between prefix and suffix, in the way of the model's family.  HEARTH_EUNSUPPORTED when it has none.
 * Text never becomes a control token.  *ids is the caller's. */
struct hearth_fim_file { const char *name, *text; };
struct hearth_fim {                   /* zero-initialise; NULL is "" */
    const char *prefix, *suffix;
    const struct hearth_fim_file *file;                           /* [n_file] other files, which may help */
    size_t n_file;
    const char *name, *repo;          /* of the file and of what it belongs to; matter with other files only */
};
HEARTH_API int hearth_fim_prompt(const struct hearth_model *m, const struct hearth_fim *f, int32_t **ids, size_t *n_ids,
                                 struct hearth_error *e);
HEARTH_API void hearth_free(void *p);

/* ---- conversations with tools and reasoning ---- */

enum { HEARTH_THINK_DEFAULT, HEARTH_THINK_OFF, HEARTH_THINK_ON, HEARTH_THINK_LOW, HEARTH_THINK_MEDIUM, HEARTH_THINK_HIGH };

/* What an answer does with the tools.  In all cases the model is told of them, so that the prompt stays the same.  Held to what
 * is allowed are AUTO (the arguments of its calls, where calls have a mark), NONE (that mark never comes, where there is one),
 * REQUIRED (after its reasoning the answer is calls and nothing else) and ONE (calls of this tool). */
enum { HEARTH_TOOLS_AUTO, HEARTH_TOOLS_NONE, HEARTH_TOOLS_REQUIRED, HEARTH_TOOLS_ONE };
enum { HEARTH_GRAMMAR_GBNF, HEARTH_GRAMMAR_SCHEMA, HEARTH_GRAMMAR_REGEX,
       HEARTH_GRAMMAR_JSON,         /* any JSON object; the text is not looked at */
       HEARTH_GRAMMAR_CHOICES };    /* one of these: a JSON array of strings */

struct hearth_tool_call { const char *id, *name, *arguments; };      /* arguments: JSON; id: NULL or "" when there is none */
struct hearth_chat_message {            /* zero-initialise; all text is UTF-8 */
    const char *role;                   /* "system", "developer", "user", "assistant", "tool" */
    const char *content;                /* NULL: none */
    const char *parts;                  /* instead: a JSON array of parts, {"type": "text", "text": ...} */
    const char *reasoning;              /* of an earlier answer; shown when the template wants it */
    const struct hearth_tool_call *calls;
    size_t n_calls;
    const char *name, *call_id;         /* of a tool's result */
};
struct hearth_chat_request {            /* zero-initialise; borrowed for the call */
    const struct hearth_chat_message *messages;
    size_t n;
    const char *messages_json;          /* instead: a JSON array as the OpenAI chat API has it */
    const char *tools, *documents;      /* JSON arrays, or NULL */
    const char *variables;              /* a JSON object: more variables of the template, or NULL */
    int think;                          /* HEARTH_THINK_* */
    uint32_t think_budget;              /* most tokens of reasoning; 0: no limit */
    bool continues;                     /* the last message is the assistant's own beginning, to be continued */
    int tool_choice;                    /* HEARTH_TOOLS_* */
    const char *tool_name;              /* of HEARTH_TOOLS_ONE */
    bool one_call;                      /* at most one call, where the answer is held to calls */
    int form;                           /* HEARTH_GRAMMAR_*: of the answer, behind its reasoning; calls are still allowed ... */
    const char *form_text;              /* ... its text; NULL: any answer */
    size_t n_form_text;
    int context;                        /* HEARTH_CONTEXT_*, for a prompt of more than `room` tokens (0: any number) */
    uint32_t room, n_keep;
    const int32_t *seen;                /* tokens of earlier turns (hearth_session_ids): kept where they spell the same text */
    size_t n_seen;
};

/* The prompt of a turn, and the reader of its answer.  Belongs to one thread at a time; close it before the model. */
struct hearth_chat;
/* Errors as hearth_chat_prompt; HEARTH_EUNSUPPORTED for images; HEARTH_ENOTFOUND, HEARTH_EFORMAT, HEARTH_EUNSUPPORTED and
 * HEARTH_ELIMIT for a tool or a form that cannot be kept. */
HEARTH_API int hearth_chat_open(struct hearth_chat **out, struct hearth_model *m, const struct hearth_chat_request *r,
                                struct hearth_error *e);
HEARTH_API void hearth_chat_close(struct hearth_chat *c);                      /* NULL is fine */
HEARTH_API const int32_t *hearth_chat_ids(const struct hearth_chat *c, size_t *n);
/* Another reader for another answer to the same prompt: the prompt, tools and form are shared.  Any thread may close it. */
HEARTH_API int hearth_chat_fork(struct hearth_chat **out, const struct hearth_chat *c, struct hearth_error *e);
/* Holds what a sampler picks from position `from` (the prompt's length) on to what the request asked for, if to anything: *held.
 * Then before each pick hearth_sampler_grammar_state and hearth_sampler_forced can be asked. */
HEARTH_API int hearth_chat_hold(const struct hearth_chat *c, struct hearth_sampler *s, size_t from, bool *held,
                                struct hearth_error *e);

enum { HEARTH_CHAT_TEXT, HEARTH_CHAT_REASONING,       /* text[n]: more of it, whole characters */
       HEARTH_CHAT_CALL,                              /* a call begins: name, id ("" when the model gave none) */
       HEARTH_CHAT_ARGUMENTS,                         /* text[n]: more of its arguments, together a JSON object */
       HEARTH_CHAT_CALL_END,
       HEARTH_CHAT_CALL_BROKEN,                       /* forget this call: what was written of it follows as text */
       HEARTH_CHAT_WARNING };                         /* text[n] for people */
struct hearth_chat_event { int kind; size_t call; const char *text; size_t n; const char *name, *id; };   /* during the call */
typedef void hearth_chat_fn(void *arg, const struct hearth_chat_event *e);

/* The next token of the answer (id < 0: the end).  However the answer is cut into tokens, the events tell the same. */
HEARTH_API int hearth_chat_push(struct hearth_chat *c, int32_t id, hearth_chat_fn *fn, void *arg, struct hearth_error *e);
/* The same for who decodes the tokens: the text of one more token, which may be none yet; end: the last.  Text of control tokens
 * belongs to it when the token is wanted (others mean nothing here and are left out). */
HEARTH_API int hearth_chat_push_text(struct hearth_chat *c, const char *text, size_t n, bool end, hearth_chat_fn *fn, void *arg,
                                     struct hearth_error *e);
HEARTH_API bool hearth_chat_wants(const struct hearth_chat *c, int32_t id);
/* True when the next token is already decided (the reasoning is being ended): evaluate and push it instead of a picked one. */
HEARTH_API bool hearth_chat_next(struct hearth_chat *c, int32_t *id);
HEARTH_API bool hearth_chat_thinking(const struct hearth_chat *c);
HEARTH_API uint32_t hearth_chat_n_reasoning(const struct hearth_chat *c);      /* tokens of reasoning so far */
HEARTH_API uint32_t hearth_chat_n_calls(const struct hearth_chat *c);          /* complete calls so far */
HEARTH_API void hearth_chat_stop_thinking(struct hearth_chat *c);             /* as soon as possible */

/* ---- sampling ---- */

struct hearth_sampler_options {       /* start from hearth_sampler_defaults; docs/sampling.md says what each does */
    float temperature;                /* <= 0: the most likely token, ties to the smaller id */
    float dynatemp_range, dynatemp_exponent;                      /* 0: off; 1 */
    float smoothing_factor, smoothing_curve;                      /* 0: off; 1 */
    int32_t top_k;                    /* <= 0: off */
    float top_p, min_p, typical_p;    /* >= 1, <= 0, >= 1: off */
    float top_n_sigma, top_a, tfs_z;  /* <= 0, <= 0, 0 or >= 1: off */
    float xtc_probability, xtc_threshold;                         /* 0: off; 0.1 */
    float repeat_penalty, frequency_penalty, presence_penalty;    /* 1, 0, 0: off */
    int32_t repeat_last_n;            /* tokens looked back; 0: off, -1: all */
    float dry_multiplier, dry_base;   /* 0: off; 1.75 */
    int32_t dry_allowed_length, dry_last_n;                       /* 2; tokens looked back: 64, -1: all */
    const char *const *dry_breakers;  /* [n_dry_breakers] no repeat reaches across them: "\n", ":", "\"", "*" */
    size_t n_dry_breakers;
    int32_t mirostat;                 /* 0: off, 1, 2 */
    float mirostat_tau, mirostat_eta; /* 5, 0.1 */
    float adaptive_target, adaptive_decay;                        /* <= 0: off; 0.9 */
    int32_t min_keep;
    uint64_t seed;                    /* the same seed gives the same tokens */
    const char *order;                /* names of the steps between ';'; NULL: penalties;dry;top_n_sigma;top_k;top_a;tfs_z;
                                         typ_p;top_p;min_p;xtc;temperature;smoothing */
    bool ignore_end;                  /* tokens that end a generation are never picked */
};
/* The model's own recommendation where its file has one, else 0.8, 40, 0.95, 0.05; m may be NULL. */
HEARTH_API void hearth_sampler_defaults(const struct hearth_model *m, struct hearth_sampler_options *out);
/* Nothing of the options is needed later. */
HEARTH_API int hearth_sampler_open(struct hearth_sampler **out, const struct hearth_model *m,
                                   const struct hearth_sampler_options *o, struct hearth_error *e);
HEARTH_API void hearth_sampler_close(struct hearth_sampler *s);
/* Adds to a token's logit; -INFINITY: never. */
HEARTH_API int hearth_sampler_bias(struct hearth_sampler *s, int32_t id, float bias, struct hearth_error *e);
/* No token that ends a generation is picked at positions before this one (the prompt's length and the fewest tokens). */
HEARTH_API void hearth_sampler_no_end_before(struct hearth_sampler *s, size_t position);
/* The text was taken back to `position` (the tokens before it stay), where `id` must not be picked again. */
HEARTH_API int hearth_sampler_forbid(struct hearth_sampler *s, size_t position, int32_t id, struct hearth_error *e);
/* The next token after the session's text; -1 without logits.  Penalties look at the session's ids.  Only a function of the
 * logits, the ids, the options and the position; with mirostat and adaptive-p also of the picks before. */
HEARTH_API int32_t hearth_sampler_pick(struct hearth_sampler *s, const struct hearth_session *session);

/* The same for the place `back` tokens before the end, from its row of logits; the tokens behind it are not looked at. */
HEARTH_API int32_t hearth_sampler_pick_at(struct hearth_sampler *s, const struct hearth_session *session, size_t back);

struct hearth_choice { int32_t id; float logprob; };
/* ln of the probability that the model gives to id as the token behind the place `back` tokens before the session's end, and of
 * the n likeliest there; *n (may be NULL) becomes how many were given.  Softmax of the logits, before any sampler. */
HEARTH_API float hearth_session_logprobs(const struct hearth_session *session, size_t back, int32_t id,
                                         struct hearth_choice *out, size_t *n);
/* The same of what the last pick chose from, after all samplers; -INFINITY for what they left out. */
HEARTH_API float hearth_sampler_logprobs(struct hearth_sampler *s, int32_t id, struct hearth_choice *out, size_t *n);

/* ---- speculation ----
 *
 * Guesses of the next tokens, taken from where the text was like this before, or made by a model.  Evaluate the token that is
 * next and the guesses in one append, then pick at each place in order (hearth_sampler_pick_at): as long as the pick is the
 * guess, the next place is already there; at the first that is not, drop the rest (hearth_session_drop) and go on.  The tokens
 * are those of plain decoding, whatever was guessed. */

enum { HEARTH_MAX_DRAFT = 15 };
/* Who guesses: the text itself, the model's own head for guesses (hearth_model_info.guesses), another model. */
enum { HEARTH_GUESS_TEXT = 1, HEARTH_GUESS_HEAD = 2, HEARTH_GUESS_DRAFT = 4, HEARTH_GUESS_ALL = 7 };
struct hearth_speculator;
/* Of a session with n_logits of at least 2 (a guess is at most one shorter), which must outlive it.  n_draft: 0: as long as it
 * pays, measured; else always so long. */
HEARTH_API int hearth_speculator_open(struct hearth_speculator **out, struct hearth_session *s, uint32_t n_draft,
                                      struct hearth_error *e);
HEARTH_API void hearth_speculator_close(struct hearth_speculator *p);
/* Only these guess, of those that there are (HEARTH_GUESS_* together; 0: all). */
HEARTH_API void hearth_speculator_ask(struct hearth_speculator *p, int whom);
/* Where the text itself gives no guess, a session of another model makes it: a small one with the same tokens, else HEARTH_EARG
 * names the first that differs.  The session is the speculator's until that is closed, and follows the text. */
HEARTH_API int hearth_speculator_set_draft(struct hearth_speculator *p, struct hearth_session *draft, struct hearth_error *e);
/* Whether the model of this path could guess for the other: the same by their headers; no weights are read. */
HEARTH_API int hearth_draft_check(const char *path, const char *draft, struct hearth_error *e);
/* How the text ids[0..n) may go on; returns how many tokens, at most `most`.  Call it once for each step. */
HEARTH_API size_t hearth_speculator_draft(struct hearth_speculator *p, const int32_t *ids, size_t n, int32_t *out, size_t most);
/* The step of so many tokens took so long. */
HEARTH_API void hearth_speculator_timed(struct hearth_speculator *p, size_t n_tokens, uint64_t ns);

/* ---- grammars: answers of a form that can be relied on ---- */

struct hearth_grammar;
/* What an answer may be: kind is HEARTH_GRAMMAR_* (docs/structured.md).  HEARTH_EFORMAT, HEARTH_EUNSUPPORTED and HEARTH_ELIMIT
 * say what is wrong with the text, and where.  Immutable; must not outlive the model. */
HEARTH_API int hearth_grammar_open(struct hearth_grammar **out, struct hearth_model *m, int kind, const char *text, size_t n,
                                   struct hearth_error *e);
/* The answer is one of these. */
HEARTH_API int hearth_grammar_open_choices(struct hearth_grammar **out, struct hearth_model *m, const char *const *choices,
                                           size_t n, struct hearth_error *e);
HEARTH_API void hearth_grammar_close(struct hearth_grammar *g);       /* samplers may still use it; NULL is fine */

/* From position `from` of the session's text on, a sampler only picks what g allows: the rest of the sampling works on the
 * logits of the allowed tokens.  An end of generation is picked only where the answer may end.  after (or NULL): the grammar
 * begins behind this text, for example "</think>", before which everything but the end is allowed. */
HEARTH_API int hearth_sampler_set_grammar(struct hearth_sampler *s, const struct hearth_grammar *g, size_t from,
                                          const char *after, struct hearth_error *e);
/* 1: the answer is complete, nothing may follow; 0: it goes on; or the error because of which hearth_sampler_pick gave -1. */
HEARTH_API int hearth_sampler_grammar_state(struct hearth_sampler *s, const struct hearth_session *session,
                                            struct hearth_error *e);
/* The same of the text without its last `back` tokens, as hearth_sampler_pick_at sees it. */
HEARTH_API int hearth_sampler_grammar_state_at(struct hearth_sampler *s, const struct hearth_session *session, size_t back,
                                               struct hearth_error *e);
/* The tokens that must come next, as far as there is no choice: they can be appended in one step, without picking.  At most
 * `most` are given; *n may become 0. */
HEARTH_API int hearth_sampler_forced(struct hearth_sampler *s, const struct hearth_session *session, int32_t *ids, size_t most,
                                     size_t *n, struct hearth_error *e);

#ifdef __cplusplus
}
#endif
#include "hearth_serve.h"       /* engines that answer many at once, and pools of several models */

#endif
