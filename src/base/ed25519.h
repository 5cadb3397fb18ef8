/* ed25519.h - signatures with a key as OpenSSH keeps it (RFC 8032; the file: OpenSSH's PROTOCOL.key).
 * Threads: any. */
#ifndef HEARTH_BASE_ED25519_H
#define HEARTH_BASE_ED25519_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct ed25519 { uint8_t secret[32], public[32]; };

/* Reads the text of a private key without a passphrase; an error says what it is instead, without naming the file. */
int  ed25519_read(struct ed25519 *k, const char *text, size_t n, struct err *err);
/* Appends the public key as OpenSSH writes it, in base64, ':' and the signature of the n bytes in base64. */
int  ed25519_sign(const struct ed25519 *k, const char *text, size_t n, struct buf *out, struct err *err);
/* The key is no longer in memory. */
void ed25519_forget(struct ed25519 *k);

#endif
