/* name.h - what a model is called: the text that a user types, taken apart and checked.
 *
 *   qwen3:30b                       a registry: [host/][namespace/]model[:tag], default registry.ollama.ai/library/...:latest
 *   hf.co/user/repo[:quant|:file]   a repository of the Hugging Face Hub (also huggingface.co/...)
 *   https://host/path/x.gguf        one file; http only from this machine itself
 *   file:PATH, /PATH, ./PATH, ~/PATH, PATH.gguf   a file or folder here
 *
 * Parts are at most 80 characters (host 350), begin with a letter, digit or _ and go on with those and . - (no . in a
 * namespace), so that none can leave the folder that it names.  Names compare without regard to case; what was typed is kept.
 * Threads: pure functions. */
#ifndef HEARTH_STORE_NAME_H
#define HEARTH_STORE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum name_kind { NAME_PATH, NAME_URL, NAME_REGISTRY, NAME_HUB };
enum { NAME_HOST = 350, NAME_PART = 80, NAME_HUB_PART = 96, NAME_FILE = 511, NAME_TEXT = 2047 };

#define NAME_DEFAULT_HOST  "registry.ollama.ai"
#define NAME_DEFAULT_SPACE "library"
#define NAME_DEFAULT_TAG   "latest"
#define NAME_HUB_HOST      "hf.co"

struct name {
    enum name_kind kind;
    bool plain;                            /* http:// was written: only good for this machine */
    char host[NAME_HOST + 1];              /* with its port; hub: hf.co */
    char space[NAME_HUB_PART + 1];         /* namespace, or the hub's user */
    char model[NAME_HUB_PART + 1];         /* or the hub's repository */
    char tag[NAME_PART + 1];               /* hub: quantisation, "" when none was given */
    char file[NAME_FILE + 1];              /* hub: a file of the repository, or "" */
    char text[NAME_TEXT + 1];              /* path or URL */
};

/* ERR_ARG names the part and what is wrong with it. */
int  name_parse(struct name *out, const char *text, struct err *err);
/* Appends the whole name (registry.ollama.ai/library/qwen3:30b), or the shortest that means the same (qwen3:30b). */
void name_put(const struct name *n, struct buf *out);
void name_put_short(const struct name *n, struct buf *out);
bool name_same(const struct name *a, const struct name *b);

/* Whether this machine itself is meant: localhost, 127.x.x.x or [::1], with or without a port. */
bool name_is_loopback(const char *host);
/* Whether an address, as numbers, is one that only this machine or its own network has: private, link-local, loopback,
 * unspecified, carrier-grade, multicast; also IPv4 inside IPv6. */
bool name_is_private_address(const char *ip);
/* A relative path of 1 to max bytes whose parts are made of printable characters and none of \ : * ? " < > |, and are not .
 * or ..; what a registry says is used for files only after this. */
bool name_is_safe_path(const char *path, size_t max);
/* Equal but for the case of ASCII letters. */
bool name_equal(const char *a, const char *b);
/* Whether text contains part, but for the case of ASCII letters. */
bool name_contains(const char *text, const char *part);
bool name_ends_with(const char *text, const char *end);

#endif
