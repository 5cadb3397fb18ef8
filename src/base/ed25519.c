#include "base/ed25519.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "base/rd.h"

static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----", end[] = "-----END OPENSSH PRIVATE KEY-----";
static const char magic[] = "openssh-key-v1", kind[] = "ssh-ed25519";
enum { MAX_KEY = 8192, KEY = 32 };

/* Numbers are big endian here. */
static uint32_t number(struct rd *r)
{
    const uint8_t *p = rd_take(r, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static struct rd string(struct rd *r)
{
    uint32_t n = number(r);
    const uint8_t *p = rd_take(r, n);
    return p ? (struct rd){ .at = p, .end = p + n } : (struct rd){ .bad = true };
}

static bool is(const struct rd *s, const char *text)
{
    return !s->bad && rd_left(s) == strlen(text) && !memcmp(s->at, text, strlen(text));
}

/* Whether the public key is that of the secret one. */
static bool belong(const struct ed25519 *k)
{
    uint8_t public[KEY];
    size_t n = KEY;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, k->secret, KEY);
    bool ok = key && EVP_PKEY_get_raw_public_key(key, public, &n) == 1 && n == KEY && !memcmp(public, k->public, KEY);
    EVP_PKEY_free(key);
    return ok;
}

static int read_secret(struct ed25519 *k, struct rd r, struct err *err)
{
    uint32_t a = number(&r), b = number(&r);
    struct rd type = string(&r), public = string(&r), both = string(&r);
    if (r.bad || a != b || !is(&type, kind) || public.bad || rd_left(&public) != KEY || both.bad || rd_left(&both) != 2 * KEY ||
        memcmp(both.at + KEY, public.at, KEY) != 0)
        return err_set(err, ERR_FORMAT, "holds no whole Ed25519 key");
    memcpy(k->secret, both.at, KEY);
    memcpy(k->public, public.at, KEY);
    return belong(k) ? 0 : err_set(err, ERR_FORMAT, "is damaged: its two keys do not belong together");
}

static int read_bytes(struct ed25519 *k, const uint8_t *p, size_t n, struct err *err)
{
    struct rd r = { .at = p, .end = p + n };
    const uint8_t *head = rd_take(&r, sizeof magic);           /* with its zero */
    if (!head || memcmp(head, magic, sizeof magic) != 0) return err_set(err, ERR_FORMAT, "is no private key of OpenSSH");
    struct rd cipher = string(&r), kdf = string(&r), options = string(&r);
    uint32_t keys = number(&r);
    struct rd public = string(&r), secret = string(&r);
    if (r.bad || keys != 1 || options.bad || public.bad || secret.bad)
        return err_set(err, ERR_FORMAT, "is no whole file of one private key");
    if (!is(&cipher, "none") || !is(&kdf, "none"))
        return err_set(err, ERR_UNSUPPORTED, "has a passphrase, which is not asked for");
    return read_secret(k, secret, err);
}

/* The base64 between the lines, as bytes. */
static int decode(const char *text, size_t n, uint8_t bytes[MAX_KEY], size_t *n_bytes, struct err *err)
{
    char packed[MAX_KEY];
    size_t k = 0, pad = 0;
    if (n < sizeof begin || memcmp(text, begin, sizeof begin - 1) != 0)
        return err_set(err, ERR_FORMAT, "is no private key of OpenSSH");
    size_t i = sizeof begin - 1;
    for (; i < n && text[i] != '-'; i++) {
        if (strchr(" \t\r\n", text[i])) continue;
        if (k == sizeof packed - 1) return err_set(err, ERR_LIMIT, "is longer than any key of this kind");
        packed[k++] = text[i];
    }
    while (pad < k && packed[k - 1 - pad] == '=') pad++;
    int got = k && k % 4 == 0 && pad < 3 ? EVP_DecodeBlock(bytes, (const unsigned char *)packed, (int)k) : -1;
    OPENSSL_cleanse(packed, sizeof packed);
    if (got < (int)pad || n - i < sizeof end - 1 || memcmp(text + i, end, sizeof end - 1) != 0)
        return err_set(err, ERR_FORMAT, "is no whole private key");
    *n_bytes = (size_t)got - pad;
    return 0;
}

int ed25519_read(struct ed25519 *k, const char *text, size_t n, struct err *err)
{
    uint8_t bytes[MAX_KEY];
    size_t n_bytes = 0;
    *k = (struct ed25519){ { 0 }, { 0 } };
    int rc = decode(text, n, bytes, &n_bytes, err);
    if (rc == 0) rc = read_bytes(k, bytes, n_bytes, err);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return rc;
}

static void put_base64(struct buf *b, const uint8_t *p, size_t n)
{
    char text[128];
    EVP_EncodeBlock((unsigned char *)text, p, (int)n);
    buf_puts(b, text);
}

int ed25519_sign(const struct ed25519 *k, const char *text, size_t n, struct buf *out, struct err *err)
{
    uint8_t line[4 + sizeof kind - 1 + 4 + KEY] = { 0, 0, 0, sizeof kind - 1 }, signature[2 * KEY];
    size_t size = sizeof signature;
    memcpy(line + 4, kind, sizeof kind - 1);
    line[4 + sizeof kind - 1 + 3] = KEY;
    memcpy(line + sizeof line - KEY, k->public, KEY);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, k->secret, KEY);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &size, (const unsigned char *)text, n) == 1 && size == sizeof signature;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!ok) return err_set(err, ERR_NOMEM, "the library cannot sign");
    put_base64(out, line, sizeof line);
    buf_putc(out, ':');
    put_base64(out, signature, sizeof signature);
    return out->bad ? err_set(err, ERR_NOMEM, "out of memory for a signature") : 0;
}

void ed25519_forget(struct ed25519 *k) { OPENSSL_cleanse(k, sizeof *k); }
