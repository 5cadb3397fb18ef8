/* kvfile.h - a text's keys and values in a file, so that another process can go on from it.
 *
 * Little-endian; numbers of pages are in the machine's own order, as they are in memory:
 *   "HEARTHKV"  u32 version  u32 tokens of a page  u64 model  u64 salt  u64 adapters  u32 type of keys, of values  u32 variant
 *   u32 n  u32 first page of windows  u32 n_saved  u64 bytes of a page[3]  i32 ids[n], padded with 0 to 8 bytes
 *   pages of layers that look everywhere, of windows from the first, the state (n_saved > 0)  u64 checksum of all before it
 * A file is named by a hash of what its key and its tokens are.  Nothing in it is believed before the sizes agree, and no page is
 * used before the checksum does.
 * Threads: any. */
#ifndef HEARTH_ENGINE_KVFILE_H
#define HEARTH_ENGINE_KVFILE_H

#include "base/err.h"
#include "engine/kv.h"

enum { KVFILE_VERSION = 1, KVFILE_MAX_TOKENS = 1 << 28 };
#define KVFILE_END ".hearth-kv"

struct kvfile_head {
    uint64_t model, salt, adapters;
    uint32_t type[2], variant;        /* types by their GGUF numbers */
    uint32_t n, window_from, n_saved;
    uint64_t bytes[N_PAGE_CLASS];
};

/* A parsed file; points into its bytes. */
struct kvfile {
    struct kvfile_head head;
    const uint8_t *ids;               /* little-endian int32 [n]; kvfile_id */
    const uint8_t *pages, *end;       /* up to the checksum */
};

/* Checks all sizes, not the sum.  name: for messages. */
int kvfile_parse(struct kvfile *out, const uint8_t *data, uint64_t n, const char *name, struct err *err);
bool kvfile_sum_is_right(const struct kvfile *f, const uint8_t *data);
int32_t kvfile_id(const struct kvfile *f, uint32_t i);

/* Sums bytes as they come; a struct of zeros is ready. */
struct kvfile_sum { uint64_t lane[4], n; uint8_t rest[32]; };
void kvfile_sum_add(struct kvfile_sum *s, const void *p, size_t n);
uint64_t kvfile_sum_of(const struct kvfile_sum *s);

uint64_t kvfile_bytes(const struct kvfile_head *h);                  /* of the whole file; h is one of ours */
/* What is before the ids. */
enum { KVFILE_HEAD = 8 + 8 + 24 + 12 + 12 + 24 };
void kvfile_put_head(uint8_t out[KVFILE_HEAD], const struct kvfile_head *h);

#endif
