/* graph.h - what a model computes, as a list of operations over values, and the plan that a device runs.
 *
 * model/ builds a graph once; plan_compile fuses it into steps, inserts the packing of activations that the device asks for, and
 * lays all values out in one arena.  A plan is immutable; per step only `struct params` changes.
 *
 * A value has one row of `width` numbers per token (ROWS_T), per token and chosen expert (ROWS_SLOT), or per wanted row of
 * logits (ROWS_OUT).  A view is a range of columns of another value.
 * Threads: building: one; a finished plan: any. */
#ifndef HEARTH_GRAPH_GRAPH_H
#define HEARTH_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "format/dtype.h"

enum op_shape { OP_ROW, OP_MAT, OP_ATT, OP_ONE, OP_SEQ, OP_LOW };

enum op_kind {
#define OP(name, shape) OP_##name,
#include "graph/op.def"
#undef OP
    N_OP
};

struct op_info { const char *name; enum op_shape shape; };
const struct op_info *op_info(enum op_kind k);

/* A tensor of the model file, used in place. */
struct weight {
    const char *name;
    enum dtype type;
    uint64_t ne[4];           /* ne[0] is the row length */
    const uint8_t *data;
    uint64_t bytes;
    const uint8_t *const *slice;  /* NULL, or the ne[2] matrices of a stack that lie apart */
    uint32_t id;              /* what adapters call it: 1 + its place in the file; 0: nothing */
};

typedef int32_t vid;          /* index of a value; < 0: none */

enum rows { ROWS_T, ROWS_SLOT, ROWS_OUT, ROWS_ONE };
enum value_type { VALUE_F32, VALUE_I32, VALUE_PACKED };

struct value {
    enum rows rows;
    enum value_type type;
    uint32_t width;           /* numbers per row (bytes when packed) */
    vid base;                 /* a view: the value it is part of, else -1 */
    uint32_t col;             /* a view: its first column there */
    int32_t first, last;      /* steps between which it lives; -1: unused (planner) */
    size_t row_bytes, offset; /* in the arena (planner) */
};

struct op {
    enum op_kind kind;
    vid in[2], out, out2;
    const struct weight *w;
    const struct weight *b;   /* LAYERNORM: its bias, or NULL */
    const double *freq;       /* ANGLES: [R/2] radians per position */
    float f[2];
    int32_t n[4];
    const struct route *route;
    const struct recurrence *recur;   /* DECAY, DELTA */
};

/* The heads of a gated delta net. */
struct recurrence {
    uint32_t taps;            /* of the convolution before it */
    uint32_t n_key, n_value;  /* heads; n_value is a multiple of n_key */
    uint32_t dk, dv;
    bool tiled;               /* value head j goes with key head j % n_key, else with j / (n_value / n_key) */
    bool grouped;             /* DECAY's input: for each key head the b, then the a of its value heads */
};

/* How a router chooses experts. */
struct route {
    uint32_t n_expert, n_used;
    enum { ROUTE_SOFTMAX = 1, ROUTE_SIGMOID = 2, ROUTE_SOFTMAX_AFTER = 3 } gate;
    bool norm;                /* weights divided by their sum */
    float scale;
    const struct weight *bias;/* added for the choice only, or NULL */
    uint32_t n_group, n_group_used;   /* < 2 groups: none; else at most 64, of which the best may be chosen from */
};

struct graph {
    struct arena arena;       /* owns everything below */
    struct value *value;
    struct op *op;
    uint32_t n_value, cap_value, n_op, cap_op;
    uint32_t n_slot;          /* experts per token, 0 when dense */
    bool bad;                 /* out of memory; sticky */
    bool observed;            /* plans show params.observer what their matrices are multiplied with, but those of the logits */
    /* the geometry of the KV cache, filled by the model */
    uint32_t n_layer;
    struct kv_layer {
        uint32_t n_kv, dk, dv;
        bool v_in_k;          /* a value is the first dv numbers of its key: nothing is stored for values */
        uint32_t window;      /* how far back anybody looks, itself included; 0: everywhere (graph_windows) */
    } *kv;
    uint32_t window;          /* the widest of the windows; 0: there are none */
    uint32_t n_state;         /* floats of recurrent state that a sequence has beside it */
    uint32_t n_kept;          /* width of the states that KEEP keeps; 0: none */
};

int  graph_open(struct graph **out, uint32_t n_layer, struct err *err);
void graph_close(struct graph *g);
/* Always a valid index; g->bad says whether it means anything. */
vid  graph_value(struct graph *g, enum rows rows, uint32_t width);
vid  graph_view(struct graph *g, vid base, uint32_t col, uint32_t width);
/* Fills in the windows of the cache when all operations are there. */
void graph_windows(struct graph *g);
/* Room for n floats of a sequence's recurrent state; the offset is a multiple of 16. */
uint32_t graph_state(struct graph *g, uint64_t n);
/* Forgets the operations from `from` on that nothing of KV and KEEP needs. */
void graph_prune(struct graph *g, uint32_t from);
/* Appends; the returned pointer is valid until the next call.  In-place operations pass out = in0. */
struct op *graph_op(struct graph *g, enum op_kind kind, vid in0, vid in1, vid out);

/* ---- plans ---- */

/* What a device tells the planner. */
struct plan_target {
    int (*form)(const struct weight *w);               /* activation form a weight wants; 0 = plain floats */
    size_t (*form_bytes)(int form, size_t K);          /* bytes of one packed row, a multiple of 64 */
};

/* One or more operations that run without a barrier between them. */
struct plan_step {
    enum op_shape shape;
    enum rows domain;             /* OP_ROW: what the rows are */
    uint32_t first, n;            /* operations plan->op[first .. first+n) */
};

struct plan {
    struct arena arena;
    struct op *op;
    struct value *value;
    struct plan_step *step;
    uint32_t n_op, n_value, n_step;
    uint32_t max_T, max_out;      /* the batch bucket: rows the arena has room for */
    uint32_t rank;                /* of adapters; see struct plan_size */
    uint32_t n_slot, n_layer;
    const struct kv_layer *kv;    /* the graph's */
    size_t arena_bytes;
    vid logits;                   /* the last operation's value, [OUT][V] */
    void *device;                 /* the device's own part (device compile) */
};

/* How many rows a plan takes, and how large its adapters may be: the sum of the ranks that any matrix has in the adapters of one
 * sequence.  0: nothing is adapted, and nothing is spent on it. */
struct plan_size { uint32_t max_T, max_out, rank; };

/* g must outlive the plan.  *out is the caller's (plan_close). */
int  plan_compile(struct plan **out, const struct graph *g, const struct plan_target *target, struct plan_size size,
                  struct err *err);
void plan_close(struct plan *p);

/* Who looks on: x[w->ne[0]] is a row that matrix `part` of w (0, or the expert or head) is multiplied with.  Called by one
 * thread, in the same order whatever the number of threads. */
struct observer {
    void (*see)(void *arg, const struct weight *w, uint32_t part, const float *x);
    void *arg;
};

/* ---- adapters ---- */

/* What an adapter adds to the products of a matrix [R][K], y += scale * B (A x); of a table, to row t: scale * B A[t]. */
struct low_rank {
    uint32_t rank;                    /* 0: nothing */
    float scale;
    const float *a;                   /* [rank][K]; of a table with R rows: [R][rank] */
    const float *b;                   /* B transposed: [rank][R]; of a table with rows of K: [rank][K] */
};
struct adapt {
    const struct low_rank *const *product;   /* [n_id] by the id of a weight: one for each of its ne[2] matrices; or NULL */
    const struct low_rank *const *table;     /* [n_id] the same where it is looked up */
    uint32_t n_id;
    const float *const *steer;        /* [n_steer] what is added behind each layer, or NULL */
    uint32_t n_steer;
};
/* The adapters of one sequence, in the order in which they are added. */
struct adapt_use { const struct adapt *adapt; float scale; uint32_t first, last; };    /* steers layers first .. last */
struct adapt_set { const struct adapt_use *use; uint32_t n; };

/* What changes from run to run. */
struct params {
    uint32_t T;                       /* tokens, 1..max_T */
    const int32_t *token;             /* [T] */
    const int64_t *pos;               /* [T] */
    const uint32_t *seq;              /* [T] index into kv */
    const uint8_t *segment;           /* [T] TYPE: the row of the table; NULL: 0 */
    const float *const *input;        /* [T] or [n_out] INPUT: rows of numbers */
    const struct kv_view *kv;         /* the sequences of this batch */
    uint32_t n_out;                   /* rows of logits wanted, 0..max_out */
    const uint32_t *out_row;          /* [n_out] which tokens */
    float *const *logits;             /* [n_out] where each row of V goes, host memory */
    const struct observer *observer;  /* of an observed graph's plan */
    const struct adapt_set *const *adapt;    /* [n_adapt] by sequence, NULL where there are none; of a plan with adapters */
    uint32_t n_adapt;
};

/* The cache of one sequence.  A page holds KV_PAGE positions of all layers of its class: those that look everywhere, or those
 * with a window, whose old pages may be gone.  Layer l's keys begin k_at[l] bytes behind page[class][position / KV_PAGE]. */
enum { KV_PAGE = 64, KEPT_ROWS = 32 };
enum kv_class { KV_FULL, KV_WINDOW, N_KV_CLASS };
struct kv_view {
    uint8_t *const *page[N_KV_CLASS];
    const size_t *k_at, *v_at;        /* [n_layer] */
    enum dtype k_type, v_type;        /* F32, F16, BF16, Q8_0, Q4_0 */
    float *state;                     /* [n_state] recurrent state, taken as zero before position 0 */
    float *saved[2];                  /* [i] gets the state before position save_at[i] > 0 when that is passed; or NULL */
    int64_t save_at[2];
    float *kept;                      /* [KEPT_ROWS][n_kept] that of position p in row p % KEPT_ROWS; NULL: there are none */
    bool before;                      /* the one before this batch is among them */
    int64_t end;                      /* bidirectional attention: positions 0 .. end - 1 are all in this batch; 0: causal */
};

static inline enum kv_class kv_class_of(const struct kv_layer *l) { return l->window ? KV_WINDOW : KV_FULL; }

/* Byte offsets of each layer's keys and values inside a page of its class (the same where values are part of keys), and the
 * pages' sizes.  k_at, v_at: [n_layer] or NULL.  A layer's keys are [n_kv][KV_PAGE] rows of dk numbers, padded to whole blocks;
 * values likewise of dv.  Values inside keys have the keys' type. */
void kv_page_layout(const struct kv_layer *kv, uint32_t n_layer, const enum dtype type[2], size_t *k_at, size_t *v_at,
                    size_t bytes[N_KV_CLASS]);

#endif
