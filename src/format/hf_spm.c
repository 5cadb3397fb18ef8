/* hf_spm.c - tokenizer.model, a SentencePiece model in protobuf's encoding, becomes the keys of a GGUF vocabulary.
 *
 *   ModelProto:     1 pieces (many), 2 TrainerSpec, 3 NormalizerSpec
 *   SentencePiece:  1 piece (text), 2 score (float), 3 type (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte)
 *   TrainerSpec:    3 model_type (1 unigram, 2 BPE), 40 unk_id, 41 bos_id, 42 eos_id, 43 pad_id
 *   NormalizerSpec: 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces
 * Source: sentencepiece_model.proto of the SentencePiece project. */
#include <string.h>

#include "base/rd.h"
#include "format/hf_impl.h"

/* A field of a message: varint and fixed-size values in number, the others in data[n]. */
struct field { uint32_t id, wire; uint64_t number; const uint8_t *data; uint64_t n; };

static uint64_t varint(struct rd *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = rd_u8(r);
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128)) return v;
    }
    r->bad = true;
    return 0;
}

/* False at the end and after a failure, which r->bad tells apart. */
static bool next(struct rd *r, struct field *f)
{
    if (r->bad || r->at == r->end) return false;
    uint64_t tag = varint(r);
    *f = (struct field){ .id = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7) };
    if (!f->id || tag >> 32) r->bad = true;
    switch (f->wire) {
    case 0: f->number = varint(r); break;
    case 1: f->number = rd_u64(r); break;
    case 5: f->number = rd_u32(r); break;
    case 2:
        f->n = varint(r);
        f->data = rd_take(r, f->n);
        break;
    default: r->bad = true;
    }
    return !r->bad;
}

struct spm {
    struct hf *h;
    const char *path;
    struct hf_vocab v;
    uint64_t model;                         /* 1 unigram, 2 BPE */
    bool prefix, squeeze, escape;
    const uint8_t *charsmap;
    uint64_t charsmap_bytes;
};

static int damaged(const struct spm *s, const char *where)
{
    return err_set(s->h->err, ERR_FORMAT, "%s: damaged, or not a SentencePiece model: %s", s->path, where);
}

static int read_piece(struct spm *s, const struct field *piece)
{
    struct rd r = { piece->data, piece->data + piece->n, false };
    struct field f;
    struct gguf_str text = { "", 0 };
    float score = 0;
    uint64_t type = HF_NORMAL;
    while (next(&r, &f)) {
        uint32_t u = (uint32_t)f.number;
        if (f.id == 1 && f.wire == 2) text = (struct gguf_str){ (const char *)f.data, (size_t)f.n };
        else if (f.id == 2 && f.wire == 5) memcpy(&score, &u, 4);
        else if (f.id == 3 && f.wire == 0) type = f.number;
    }
    if (r.bad || type < 1 || type > 6) return damaged(s, "a piece");
    if (!(score - score == 0)) return damaged(s, "a score that is no number");
    return hf_vocab_put(s->h, &s->v, s->v.n, text, (int32_t)type, score);
}

static int read_trainer(struct spm *s, const struct field *spec)
{
    struct rd r = { spec->data, spec->data + spec->n, false };
    struct field f;
    int32_t *const id[] = { &s->v.unk, &s->v.bos, &s->v.eos, &s->v.pad };
    while (next(&r, &f)) {
        if (f.wire != 0) continue;
        if (f.id == 3) s->model = f.number;
        if (f.id >= 40 && f.id <= 43) *id[f.id - 40] = f.number < HF_MAX_IDS ? (int32_t)f.number : -1;
    }
    return r.bad ? damaged(s, "the trainer's part") : 0;
}

static int read_normalizer(struct spm *s, const struct field *spec)
{
    struct rd r = { spec->data, spec->data + spec->n, false };
    struct field f;
    while (next(&r, &f)) {
        if (f.id == 2 && f.wire == 2) s->charsmap = f.data, s->charsmap_bytes = f.n;
        if (f.id == 3 && f.wire == 0) s->prefix = f.number != 0;
        if (f.id == 4 && f.wire == 0) s->squeeze = f.number != 0;
        if (f.id == 5 && f.wire == 0) s->escape = f.number != 0;
    }
    return r.bad ? damaged(s, "the normaliser's part") : 0;
}

/* Tokens that were added later: added_tokens_decoder { "id": { content, special, lstrip, rstrip } } of tokenizer_config.json. */
static int read_added(struct spm *s)
{
    const char *key;
    struct json *x;
    void *it = NULL;
    int rc = 0;
    while (rc == 0 && json_next(json_get(s->h->tokenizer, "added_tokens_decoder"), &it, &key, &x)) {
        size_t n;
        const char *text = json_str(json_get(x, "content"), &n);
        uint64_t id = 0;
        for (const char *p = key; *p; p++) id = *p >= '0' && *p <= '9' && id < HF_MAX_IDS ? id * 10 + (uint64_t)(*p - '0')
            : UINT64_MAX;
        if (!*key || id >= HF_MAX_IDS || !text || !n)
            return err_set(s->h->err, ERR_FORMAT, "%s/tokenizer_config.json: added_tokens_decoder: entry '%.20s' is not sound",
                           s->h->folder, key);
        bool known = id < s->v.n && s->v.text[id].s && s->v.text[id].n == n && !memcmp(s->v.text[id].s, text, n);
        bool special = json_bool(json_get(x, "special"));
        if (!known) rc = hf_vocab_put(s->h, &s->v, id, (struct gguf_str){ text, n }, special ? HF_CONTROL : HF_USER, -1000);
        int32_t strip = (json_bool(json_get(x, "lstrip")) ? 1 : 0) | (json_bool(json_get(x, "rstrip")) ? 2 : 0);
        if (rc == 0 && !hf_vocab_strip(&s->v, (uint32_t)id, strip)) rc = hf_nomem(s->h);
    }
    return rc;
}

static int put_keys(struct spm *s)
{
    struct gguf_writer *w = s->h->w;
    bool bpe = s->model == 2;
    int32_t *const id[] = { &s->v.unk, &s->v.bos, &s->v.eos, &s->v.pad };
    if (s->model != 1 && s->model != 2)
        return err_set(s->h->err, ERR_UNSUPPORTED, "%s: SentencePiece model type %llu is not supported", s->path,
                       (unsigned long long)s->model);
    if (bpe && s->charsmap_bytes)
        return err_set(s->h->err, ERR_UNSUPPORTED, "%s: a BPE model with a normaliser (charsmap) is not supported", s->path);
    for (size_t i = 0; i < 4; i++)
        if (*id[i] >= (int32_t)s->v.n) *id[i] = -1;
    gguf_put_str(w, "tokenizer.ggml.model", bpe ? "llama" : "t5", bpe ? 5 : 2);
    if (bpe) gguf_put_str(w, "tokenizer.ggml.pre", "default", 7);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", s->prefix);
    gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", s->squeeze);
    gguf_put_bool(w, "tokenizer.ggml.escape_whitespaces", s->escape);
    if (s->charsmap_bytes)
        gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, s->charsmap, s->charsmap_bytes);
    int rc = read_added(s);
    if (rc < 0) return rc;
    for (uint32_t i = 0; i < s->v.n; i++)
        if (!s->v.text[i].s) s->v.score[i] = 0;
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, s->v.score, s->v.n);
    s->v.add_bos = bpe;                      /* unless tokenizer_config.json says otherwise */
    const struct json *said = json_get(s->h->tokenizer, "add_bos_token");
    if (json_type(said) == JSON_BOOL) s->v.add_bos = json_bool(said);
    return hf_vocab_keys(s->h, &s->v);
}

static int read_model(struct spm *s, const uint8_t *data, uint64_t n)
{
    struct rd r = { data, data + n, false };
    struct field f;
    int rc = 0;
    while (rc == 0 && next(&r, &f)) {
        if (f.wire != 2) continue;
        if (f.id == 1) rc = read_piece(s, &f);
        else if (f.id == 2) rc = read_trainer(s, &f);
        else if (f.id == 3) rc = read_normalizer(s, &f);
    }
    if (rc < 0) return rc;
    return r.bad ? damaged(s, "it is cut off") : put_keys(s);
}

int hf_tokenizer_model(struct hf *h, const char *path)
{
    struct os_map map;
    struct spm s = { .h = h, .path = path, .model = 1, .prefix = true, .squeeze = true, .escape = true };
    s.v = (struct hf_vocab){ .unk = 0, .bos = 1, .eos = 2, .pad = -1, .add_bos = -1, .add_eos = -1 };
    int rc = os_map_open(&map, path, h->err);
    if (rc == 0 && map.size > HF_MAX_TOKENIZER)
        rc = err_set(h->err, ERR_LIMIT, "%s: %llu bytes, the limit is %d", path, (unsigned long long)map.size, HF_MAX_TOKENIZER);
    if (rc == 0) rc = read_model(&s, map.data ? map.data : (const uint8_t *)"", map.size);
    os_map_close(&map);
    hf_vocab_release(&s.v);
    return rc;
}
