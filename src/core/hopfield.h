/*
 * hopfield.h - the public face of libhopfield: certified modern-Hopfield retrieval.
 *
 *     Z = V softmax(beta Xi^T X)            Hu et al. 2024 (arXiv 2402.04520), eq. (1.2), softmax over memories
 *     lse(x) = (1/beta) log sum_mu exp(beta <xi_mu, x>),   E(x) = |x|^2/2 - lse(x)                   eq. (1.1)
 *
 * Letters are the paper's: d dimension, M memories, L queries, p value dimension, beta inverse temperature,
 * g degree, r rank. Arrays are patterns-as-rows in C order, which is byte for byte the paper's column-major
 * d x M: memories are M x d, queries L x d, values M x p, answers L x p.
 *
 * The promise: every `error_bound` this library returns is a proven upper bound of
 * max_j |z_j - z_exact,j|, z_exact in exact arithmetic on the stored f32 data and the query as given,
 * z the f32 that is returned. docs/MATH.md has the proofs.
 *
 * The library opens no files, logs nothing, starts no threads: work is cut into tasks and handed to the
 * caller's hop_executor. Retrieval allocates nothing: ask for the workspace size, bring an aligned block.
 * One thread may use one workspace and one answer at a time; a model may be used by any number of threads.
 */
#ifndef HOPFIELD_H
#define HOPFIELD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#error "hopfield.h uses C11 atomics; include it from C"
#endif

#if defined(__GNUC__)
#define HOP_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define HOP_WARN_UNUSED
#endif

/* ---- status and errors ------------------------------------------------------------------------------- */

/* Conditions are for the caller to handle; faults (from HOP_E_NOMEM on) travel up unchanged. */
typedef enum hop_status {
    HOP_OK = 0,
    HOP_E_SHAPE,     /* sizes do not agree */
    HOP_E_DOMAIN,    /* a value outside its domain: NaN, beta <= 0, a zero norm */
    HOP_E_LIMIT,     /* over a stated limit */
    HOP_E_UNMET,     /* max_error cannot be met */
    HOP_E_FORMAT,    /* malformed bytes */
    HOP_E_UNKNOWN,   /* a name that does not exist: field, mode, parameter */
    HOP_E_NOT_FOUND, /* no such set */
    HOP_E_EXISTS,    /* a precondition on existence or version failed */
    HOP_E_BUSY,      /* another change of the same thing runs */
    HOP_E_BUDGET,    /* over the memory budget */
    HOP_E_CANCELLED, /* superseded or shutting down */
    HOP_E_UNLOADED,  /* a set that still loads, or could not be loaded */
    HOP_E_NOMEM,
    HOP_E_SPACE, /* the disk, a quota or a limit on files is full */
    HOP_E_IO,
    HOP_E_INTERNAL
} hop_status;

/* Stable word of a status: "ok", "shape", "domain", ... Never NULL. */
const char *hop_status_word(hop_status status);

enum { HOP_ERROR_TEXT_BYTES = 240 };

/*
 * What went wrong and where. Owned by the caller, last parameter of a function, may be NULL.
 * The first writer wins. Start from HOP_ERROR_NONE. row, column, byte count from 0; -1: does not apply.
 */
typedef struct hop_error {
    hop_status status;
    int64_t row, column, byte;
    double limit, actual;            /* NaN: does not apply */
    char text[HOP_ERROR_TEXT_BYTES]; /* one sentence, no trailing newline */
} hop_error;

#define HOP_ERROR_NONE                                                                                                 \
    ((hop_error){.row = -1,                                                                                            \
                 .column = -1,                                                                                         \
                 .byte = -1,                                                                                           \
                 .limit = (double)__builtin_nanf(""),                                                                  \
                 .actual = (double)__builtin_nanf("")})

/* ---- executor ---------------------------------------------------------------------------------------- */

/*
 * run(context, n, task, arg) calls task(arg, i) once for each i < n, in any order, on any threads, and
 * returns when all are done. width is how many may run at once. NULL instead of an executor: serial.
 */
typedef struct hop_executor {
    void (*run)(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg);
    void *context;
    size_t width;
} hop_executor;

/* ---- machine ----------------------------------------------------------------------------------------- */

/*
 * Choose kernels once, at the start of the process and before any other call. name: "auto", "reference", on
 * x86-64 "avx2", "avx512", "amx" ("amx-tiles" is that with tiles where they do not pay too, for tests), on aarch64
 * "neon"; NULL reads HOPFIELDD_ISA and falls back to "auto". HOP_E_UNKNOWN:
 * no such name, or this CPU or OS cannot run it (the kernels in use are then unchanged). "auto" and "amx" ask Linux for
 * the process's use of AMX's tiles, which it keeps. A workspace belongs to the kernels it was measured for.
 */
HOP_WARN_UNUSED hop_status hop_isa_choose(const char *name, hop_error *error);
const char *hop_isa_name(void);    /* "reference", "avx2", "avx512", "amx", "neon", ...: the kernels in use */
const char *hop_blas_core(void);   /* what OpenBLAS runs on this CPU, for example "SkylakeX" */
const char *hop_blas_config(void); /* OpenBLAS's own description of its build */

/* Check the next-size arithmetic and alignment in one place: 64-byte aligned memory, NULL on failure. */
void *hop_aligned_alloc(size_t bytes);
void hop_aligned_free(void *block);

/* ---- a model: one frozen memory set ------------------------------------------------------------------ */

typedef enum hop_similarity {
    HOP_DOT,            /* keys are the memories as given */
    HOP_COSINE,         /* keys and queries L2-normalised */
    HOP_CENTERED_COSINE /* the stored mean subtracted from both first */
} hop_similarity;

const char *hop_similarity_word(hop_similarity similarity); /* "dot", "cosine", "centered_cosine" */
HOP_WARN_UNUSED hop_status hop_similarity_parse(const char *word, hop_similarity *out, hop_error *error);

/*
 * What a model holds packed beside its rows, for dense retrieval in f32. With d = p, once or twice the rows' bytes.
 *
 * HOP_PACK_FULL   keys and values: the fastest for batches
 * HOP_PACK_KEYS   keys. Where values are the keys, as fast for up to 4 queries at a time, and half as much again to
 *                 twice as long for batches; where they are not, values are packed on the way, at half the cost of NONE
 * HOP_PACK_NONE   nothing: each batch (of up to 264 queries) packs what it reads, which takes as long as answering
 *                 about 40 queries
 */
typedef enum hop_packing { HOP_PACK_FULL, HOP_PACK_KEYS, HOP_PACK_NONE } hop_packing;

/*
 * The centre and the power-of-two scales that a model sees its keys and values in, as hop_model_frames() gives them:
 * whoever keeps feature maps outside of memory keeps their frame too.
 */
typedef struct hop_frames {
    const double *key_centre, *key_scale;     /* d each; both NULL: none */
    const double *value_centre, *value_scale; /* p each; both NULL: none. Not read where the values are the keys */
    const double *mean;                       /* d, of centered_cosine; NULL: none */
} hop_frames;

/* Rows a model reads for its whole life. Borrowed: they must outlive the model and not change. */
typedef struct hop_source {
    size_t M, d, p;        /* p is ignored where values is NULL */
    const float *memories; /* M x d, finite */
    const float *values;   /* M x p, finite; NULL: values are the memories */
    hop_similarity similarity;
    hop_packing packing;

    /*
     * NULL, or an earlier model of the same d, p and similarity, read during the call only: keep its centre and scales
     * where the rows still fit them, so that hop_features_update() can carry its maps over. A centered_cosine keeps the
     * earlier mean, which is part of the set. Answers are proved for any centre; one far from the mean makes bounds
     * larger (hop_features_drift()).
     */
    const struct hop_model *like;

    /*
     * A promise, 0 where like is NULL or none is made: the first same_rows rows of memories and values are, bit for
     * bit, those of `like`. Where the frame is kept, what is known and packed of them is then taken over: an append of
     * a few rows costs one copy of what is packed. Bounds may be a little larger than those of a model made afresh.
     */
    size_t same_rows;

    /*
     * NULL, or a frame, read during the call only and not at all where `like` is given: it is kept under the same
     * conditions, so that a model of the same rows as hop_model_frames()'s gets that model's frame to the bit. A part
     * that is NULL is made afresh.
     */
    const hop_frames *frames;
} hop_source;

typedef struct hop_model hop_model;
typedef struct hop_features hop_features; /* feature maps: moments of the centred keys, see moments.h */

/* Progress of a long build. The builder writes permille; any thread may set cancel. */
typedef struct hop_progress {
    atomic_uint permille;
    atomic_bool cancel;
} hop_progress;

/*
 * hop_model_new() - measure, transform and pack a set so that dense retrieval can answer.
 *
 * Cost: a few passes over the rows, 2 M d f64 operations each; memory hop_model_bytes_estimate().
 * Errors: HOP_E_SHAPE (M, d or p zero or too large, more same_rows than rows), HOP_E_DOMAIN (NaN or Inf, a zero norm;
 * names row and column; a frame that is none names the column), HOP_E_NOMEM. On success the caller owns *out;
 * hop_model_free() takes NULL.
 */
HOP_WARN_UNUSED hop_status hop_model_new(const hop_source *source, const hop_executor *executor, hop_model **out,
                                         hop_error *error);
void hop_model_free(hop_model *model);

/* Bytes hop_model_new() will keep beside the source rows. 0: the sizes overflow. */
size_t hop_model_bytes_estimate(size_t M, size_t d, size_t p, bool has_values, hop_similarity similarity,
                                hop_packing packing);

/* The model's own arrays. mean: NULL unless centered_cosine. Where the values are the keys, so are their arrays. */
hop_frames hop_model_frames(const hop_model *model);

typedef struct hop_norms {
    double max_abs, max_l2; /* of the stored memories as given */
    double centred_max_l2;  /* rho: largest |xi_mu - c| of the keys in use */
    double value_range;     /* largest coordinate range of the values */
} hop_norms;

size_t hop_model_M(const hop_model *model);
size_t hop_model_d(const hop_model *model);
size_t hop_model_p(const hop_model *model);
hop_similarity hop_model_similarity(const hop_model *model);
hop_norms hop_model_norms(const hop_model *model);
size_t hop_model_bytes(const hop_model *model); /* held beside the source rows, feature maps excluded */

/*
 * Feature maps. They depend on neither beta nor tolerance: one set of maps answers every query up to its
 * degree. hop_features_degree_within() is the largest degree whose maps take at most byte_budget bytes, are predicted
 * to build within build_seconds on one thread and to be cheaper to evaluate than dense (maps up to 64 KiB are always
 * taken that fit the budgets); 0 where none is. hop_features_default_degree() is that for maps at most as large as the
 * memories themselves (or 64 KiB) and 10 seconds.
 */
unsigned hop_features_degree_within(const hop_model *model, size_t byte_budget, double build_seconds);
unsigned hop_features_default_degree(const hop_model *model);
size_t hop_features_bytes_estimate(const hop_model *model, unsigned max_degree); /* SIZE_MAX: overflow */
double hop_features_build_seconds(const hop_model *model, unsigned max_degree);  /* predicted, one thread */

/* The same with what hop_features_build() holds besides while it runs on an executor of that width. */
size_t hop_features_build_bytes(const hop_model *model, unsigned max_degree, size_t width);
uint64_t hop_rank(size_t d, unsigned g); /* r = C(d+g, g), Lemma A.3; UINT64_MAX: overflow */

/*
 * hop_features_build() - S_alpha = (1/M) sum_mu y_mu^alpha (1, w_mu) for |alpha| <= max_degree (+1 scalar).
 * The maps do not depend on the executor. Looks at progress->cancel at least every few milliseconds of a thread; in the
 * end, where the fourth moments are bounded (fourth.h), between factorisations.
 * Cost: M C(d+g+1, g+1) f64 multiply-adds, M p C(d+g, g) more with values, and a tenth or so besides.
 * Errors: HOP_E_LIMIT (degree or rank), HOP_E_NOMEM, HOP_E_CANCELLED. progress may be NULL.
 */
HOP_WARN_UNUSED hop_status hop_features_build(const hop_model *model, unsigned max_degree, const hop_executor *executor,
                                              hop_progress *progress, hop_features **out, hop_error *error);

/*
 * hop_features_update() - the maps of a set whose rows changed, from those it had, by adding and taking away moments.
 *
 * features  maps of `base`; they stay as they are
 * model     made with source.like = base. Its rows are those of base without the n_removed rows `removed` (ascending
 *           ids, 0-based; NULL where there are none), in the order they had, the same bits, and then any number of
 *           new ones.
 *           This is the caller's promise: kept rows are not looked at
 *
 * Cost: as hop_features_build(), for the rows that changed only. Every change leaves roundings behind that count in the
 * bounds, the more the fewer rows are left of those there were (docs/MATH.md, "Append and remove").
 * Errors: HOP_E_SHAPE (shapes or counts do not agree), HOP_E_DOMAIN (ids), HOP_E_LIMIT: build afresh, as the model did
 * not keep base's centre and scales or too many roundings would be left behind; HOP_E_NOMEM, HOP_E_CANCELLED.
 */
HOP_WARN_UNUSED hop_status hop_features_update(const hop_features *features, const hop_model *base,
                                               const hop_model *model, const size_t *removed, size_t n_removed,
                                               const hop_executor *executor, hop_progress *progress, hop_features **out,
                                               hop_error *error);

/* What it holds while it runs on an executor of that width, the new maps included. SIZE_MAX: overflow. */
size_t hop_features_update_bytes(const hop_features *features, const hop_model *base, const hop_model *model,
                                 size_t n_removed, size_t width);

/* How far changes have carried a model and its maps from what a fresh build would be. */
typedef struct hop_drift {
    double rounding; /* of the coefficients, relative to sums of absolute values */
    double centre;   /* distance of the centre from the mean of the keys, over the radius */
    double scale;    /* largest extent of a key's scaled coordinate, or 1/2 over the smallest: 1 as built */
    bool due;        /* build afresh: bounds are, or soon will be, visibly larger than they need be */
} hop_drift;

hop_drift hop_features_drift(const hop_features *features, const hop_model *model);

void hop_features_free(hop_features *features);
unsigned hop_features_max_degree(const hop_features *features);
uint64_t hop_features_rank(const hop_features *features); /* r(d, max_degree) */
size_t hop_features_bytes(const hop_features *features);

/* Give the model its feature maps, once: ownership moves, queries see them from the next call on. */
void hop_model_adopt_features(hop_model *model, hop_features *features);
const hop_features *hop_model_features(const hop_model *model); /* NULL while there are none */

/* ---- retrieval --------------------------------------------------------------------------------------- */

/*
 * The first three retrieve Z, by whatever way. The others are models of their own (structured.h; Hu et al. 2024,
 * arXiv 2404.03900, and its family), each with its own definition of Z.
 */
typedef enum hop_mode {
    HOP_AUTO,
    HOP_DENSE,
    HOP_ALMOST_LINEAR,
    HOP_TOP_K,       /* softmax over the k largest scores, ties to the lower id */
    HOP_RANDOM_MASK, /* softmax over the memories whose hash(seed, id) is below keep */
    HOP_WINDOW,      /* softmax over |mu - c_l| <= width, c_l the place of query l of the request among the memories */
    HOP_LINEAR,      /* sum v phi(xi)^T phi(x) / sum phi(xi)^T phi(x), phi = elu + 1 */
    HOP_RANDOM_FEATURES, /* likewise, phi positive random features of exp(beta <xi, x>) */
    HOP_SPARSEMAX,       /* sum v sparsemax(beta Xi^T x) */
    HOP_ENTMAX,          /* sum v entmax_alpha(beta Xi^T x) */
    HOP_MODES
} hop_mode;

const char *hop_mode_word(hop_mode mode); /* "auto", "dense", "almost_linear", "top_k", ... */
HOP_WARN_UNUSED hop_status hop_mode_parse(const char *word, hop_mode *out, hop_error *error);

/* What error_bound is measured against. */
typedef enum hop_against {
    HOP_AGAINST_DENSE, /* Z = V softmax(beta Xi^T x) */
    HOP_AGAINST_MODEL, /* the mode's own definition in exact arithmetic */
    HOP_AGAINST_NOTHING
} hop_against;

hop_against hop_mode_against(hop_mode mode);

/* Parameters of the structured models; each mode reads its own. hop_parameters_default() fills all. */
typedef struct hop_parameters {
    size_t k;        /* top_k: 1 or more; above M means all */
    double keep;     /* random_mask: 0 < keep <= 1 */
    uint64_t seed;   /* random_mask, random_features */
    size_t width;    /* window: 0 or more; SIZE_MAX: ceil(sqrt(M)) */
    size_t features; /* random_features: at most HOP_FEATURES_MAX; 0: max(2 d, ceil(d ln d)) */
    double alpha;    /* entmax: 1.01 to 2 */
} hop_parameters;

/* k = 32, keep = 0.1, seed = 0, width = SIZE_MAX, features = 0, alpha = 1.5. */
void hop_parameters_default(hop_parameters *out);

/*
 * Sums of phi over the memories, for linear (which depend on the model alone) and random_features (on beta, seed and
 * features too). Retrieval with them costs the same for every M. Frozen once made: any number of threads.
 *
 * linear: phi(x) = elu(x) + 1 of each coordinate of keys and query as transformed by the similarity.
 * random_features: keys and query are seen from c, the mean of the keys, which takes nothing from Z and most of the
 * variance. With a_mu = e^{beta <c, xi_mu>},
 *
 *     Z ~ sum_mu v_mu a_mu phi(xi_mu - c)^T phi(x - c) / sum_mu a_mu phi(xi_mu - c)^T phi(x - c)
 *     phi(y)_i = m^{-1/2} exp(sqrt(beta) <w_i, y> - beta |y|^2 / 2)
 *
 * w: m Gaussian vectors, orthogonal within each block of d; w_i is a function of seed, d and i alone, the same bits on
 * every machine (orthogonal.h).
 */
typedef struct hop_phi_sums hop_phi_sums;

enum { HOP_FEATURES_MAX = 65536 };

/* m: features, or the default for 0 (at most HOP_FEATURES_MAX); d for linear, whose features are coordinates. */
size_t hop_phi_features(const hop_model *model, hop_mode mode, const hop_parameters *parameters);

/*
 * hop_phi_sums_new() - the sums for HOP_LINEAR or HOP_RANDOM_FEATURES.
 *
 * They do not depend on the executor. Looks at progress->cancel at least every few milliseconds of a thread; progress
 * may be NULL. The model must outlive them.
 * Cost: linear M d (p + 1) f64 multiply-adds; random_features about M m (2 d + p) and M m exp, and 4 m d^2 for w.
 * Errors: HOP_E_DOMAIN (mode, beta, features; exponents that leave the range of f64), HOP_E_SHAPE (sizes overflow),
 * HOP_E_NOMEM, HOP_E_CANCELLED.
 */
HOP_WARN_UNUSED hop_status hop_phi_sums_new(const hop_model *model, hop_mode mode, double beta,
                                            const hop_parameters *parameters, const hop_executor *executor,
                                            hop_progress *progress, hop_phi_sums **out, hop_error *error);
void hop_phi_sums_free(hop_phi_sums *sums); /* takes NULL */

size_t hop_phi_sums_bytes(const hop_phi_sums *sums);

/*
 * Bytes of the sums before they are made; and with what hop_phi_sums_new() holds besides while it runs on an executor
 * of that width. SIZE_MAX: overflow. Predicted seconds of making them, on one thread.
 */
size_t hop_phi_sums_bytes_estimate(const hop_model *model, hop_mode mode, const hop_parameters *parameters);
size_t hop_phi_sums_build_bytes(const hop_model *model, hop_mode mode, const hop_parameters *parameters, size_t width);
double hop_phi_sums_build_seconds(const hop_model *model, hop_mode mode, const hop_parameters *parameters);

/* Whether a request of this mode, beta and parameters to this model may use them. NULL: no. linear: whatever beta. */
bool hop_phi_sums_fits(const hop_phi_sums *sums, const hop_model *model, hop_mode mode, double beta,
                       const hop_parameters *parameters);

/* Why `auto` sent a row to dense. */
typedef enum hop_fallback {
    HOP_FALLBACK_NONE,     /* it did not */
    HOP_FALLBACK_BOUND,    /* no degree of the feature maps meets max_error */
    HOP_FALLBACK_COST,     /* dense is predicted cheaper */
    HOP_FALLBACK_BUILDING, /* feature maps are not ready, or there are none */
    HOP_FALLBACK_RETURN    /* something asked for needs every score */
} hop_fallback;

const char *hop_fallback_word(hop_fallback fallback); /* NULL for HOP_FALLBACK_NONE */

enum {
    HOP_WANT_ENERGY = 1u << 0,      /* energy, energy_bound */
    HOP_WANT_LOG_SUM_EXP = 1u << 1, /* log_sum_exp, log_sum_exp_bound */
    HOP_WANT_TOP = 1u << 2,         /* the `top` heaviest memories: top_id, top_weight */
    HOP_WANT_SUPPORT = 1u << 3,     /* 1 / sum_mu p_mu^2 */
    HOP_WANT_WEIGHTS = 1u << 4,     /* all of p, L x M */
    HOP_WANT_STEPS = 1u << 5        /* steps taken */
};

enum { HOP_STEPS_MAX = 64 };

typedef struct hop_request {
    double beta;      /* > 0, finite, f64 and never narrowed */
    double max_error; /* >= 0, absolute, in the values' unit; INFINITY: no promise asked */
    hop_mode mode;
    bool best_effort;             /* answer rows whose bound exceeds max_error; the bound says so */
    unsigned steps;               /* 1..HOP_STEPS_MAX; more than 1 needs p = d */
    double tolerance;             /* >= 0: a row stops when its max-norm change is below it */
    unsigned want;                /* HOP_WANT_* */
    size_t top;                   /* rows of top_id/top_weight; clipped to M by the caller */
    const hop_executor *executor; /* for dense passes; NULL: serial. Answers do not depend on it */

    /* Structured modes only. */
    hop_parameters parameters;
    size_t first, total; /* window: number of the call's first row among the `total` of its request; 0: L of the call */
    const hop_phi_sums *sums; /* linear and random_features: made for this model, mode, beta and parameters */
} hop_request;

/*
 * The caller's arrays; those not wanted may be NULL. Contents are defined only after HOP_OK.
 * error_bound is rounded up and always finite, but for modes that are measured against nothing: theirs is INFINITY.
 * degree 0 means dense or a structured mode, -1 that no degree had a better bound than the mean of the values with
 * their range, which then is the answer; it is, too, where it meets max_error and the dense pass of auto does not
 * (degree 0). energy, log_sum_exp, top, support and weights refer to the state before the last step taken (for one
 * step: to the query), and to the mode's own weights.
 */
typedef struct hop_answer {
    float *z;                                                        /* L x p */
    double *error_bound;                                             /* L */
    int *degree;                                                     /* L */
    hop_fallback *fallback;                                          /* L */
    double *energy, *energy_bound, *log_sum_exp, *log_sum_exp_bound; /* L each */
    uint64_t *top_id;                                                /* L x top, heaviest first, ties to the lower id */
    double *top_weight;                                              /* L x top */
    double *support;                                                 /* L */
    float *weights;                                                  /* L x M */
    unsigned *steps;                                                 /* L */
    size_t *top_count;      /* L: how many of `top` there are (fewer where fewer memories have a weight); may be NULL */
    double *standard_error; /* L: of random_features, of the last step, largest over coordinates; may be NULL */
} hop_answer;

/*
 * Bytes of workspace for a call with at most L queries (any mode, any options). 0: the sizes overflow. Feature maps
 * that are adopted between this call and the next one may want more: a call that finds too little for them
 * answers as if they were not there yet (HOP_FALLBACK_BUILDING).
 */
size_t hop_retrieve_workspace_bytes(const hop_model *model, size_t L);

/*
 * hop_retrieve() - L queries to L answers: the front door.
 *
 * x          L x d, row-major, as given by the client (before the similarity's transform)
 * workspace  workspace_bytes >= hop_retrieve_workspace_bytes(model, L) bytes, 64-byte aligned
 *
 * Errors: HOP_E_DOMAIN (beta, max_error, tolerance, a query that is not finite, a zero norm), HOP_E_SHAPE (L = 0,
 * steps with p != d), HOP_E_LIMIT (steps), HOP_E_UNMET (a row's bound exceeds max_error and best_effort is
 * off: row, actual = the bound, limit = max_error). almost_linear without maps is HOP_E_UNMET too; almost_linear with
 * top, support or weights is HOP_E_DOMAIN. Structured modes: HOP_E_DOMAIN for a parameter outside its range and for a
 * return that has no meaning (linear, random_features: all but steps; sparsemax, entmax: log_sum_exp, while their
 * energy is |x|^2/2 - Psi*(beta Xi^T x)/beta), HOP_E_SHAPE for rows that are not among request->total, HOP_E_UNMET for
 * a finite max_error where the mode is measured against nothing and best_effort is off; linear and random_features are
 * HOP_E_DOMAIN where request->sums is NULL or does not fit (hop_phi_sums_fits()), and cost about 2 m (d + p) f64
 * multiply-adds a row, whatever M.
 * Cost: dense 4 d M flops and M exp a row; almost_linear about 4 C(d+g+1, g+1) f64 flops a row, whatever M.
 * Allocates nothing, takes no locks. One thread, but for the request's executor, which runs dense passes: pieces of the
 * memories, as many as the shapes say, whatever its width. A row's bits may depend on the rows it came with (bounds
 * hold whatever they are), never on threads.
 */
HOP_WARN_UNUSED hop_status hop_retrieve(const hop_model *model, const hop_request *request, size_t L, const float *x,
                                        void *workspace, size_t workspace_bytes, const hop_answer *answer,
                                        hop_error *error);

/*
 * hop_energy() - log-sum-exp and energy with bounds, no retrieval. max_error bounds log_sum_exp_bound and
 * energy_bound (both in the energy's unit). Fills degree, fallback and the four energy arrays only.
 * Same errors, workspace and threads as hop_retrieve(); steps, tolerance, top and want are ignored. Structured modes
 * are HOP_E_DOMAIN.
 */
HOP_WARN_UNUSED hop_status hop_energy(const hop_model *model, const hop_request *request, size_t L, const float *x,
                                      void *workspace, size_t workspace_bytes, const hop_answer *answer,
                                      hop_error *error);

/* ---- cost model -------------------------------------------------------------------------------------- */

/*
 * What a prediction is summed from: seconds of one occurrence, on one thread. A pair is one query and one memory, a
 * pass is one walk over all memories for a batch of queries, columns are p rounded up to a multiple of 16.
 */
typedef enum hop_cost {
    HOP_COST_ROW,             /* a row, whatever answers it: transform, certificate, bookkeeping */
    HOP_COST_NUMBER,          /* a coordinate of a row's query and of its answer */
    HOP_COST_PAIR,            /* dense, f32: a pair's exp and its share of loads */
    HOP_COST_MADD,            /* dense, f32: one of a pair's d + columns multiply-adds */
    HOP_COST_PASS_PAIR,       /* dense, f32: a memory of a pass, whatever the number of queries */
    HOP_COST_PASS_NUMBER,     /* dense, f32: one of its d + columns numbers, from cache */
    HOP_COST_STREAM,          /* a byte of a pass over memories that no cache holds, more than one that is cached */
    HOP_COST_SHIFT,           /* dense, f32: one of a pair's d multiply-adds where the maximum is found first */
    HOP_COST_F64_PAIR,        /* as above, in f64 */
    HOP_COST_F64_MADD,        /* */
    HOP_COST_F64_PASS_NUMBER, /* one number of a memory, packed on the fly (f32 too, where nothing is kept packed) */
    HOP_COST_SCORE,           /* a pair's weight one by one: top, support, weights */
    HOP_COST_DEGREE,          /* almost-linear: a degree of a row; rows are evaluated in groups, as below */
    HOP_COST_VARIABLE,        /* and one of a group's d (g + 1) variables of a degree */
    /*
     * Almost-linear, four costs each in the form that it is evaluated in: a vector of rows side by side, in f32 or in
     * f64, or a single row. One of C(d+g+1, g+1) coefficients of such a group, and one of its C(d+g, g) monomials,
     * there and back, where all of them are in a near cache; and where they fill far ones.
     */
    HOP_COST_LANES_F32_COEFFICIENT,
    HOP_COST_LANES_F32_MONOMIAL,
    HOP_COST_LANES_F32_FAR_COEFFICIENT,
    HOP_COST_LANES_F32_FAR_MONOMIAL,
    HOP_COST_LANES_F64_COEFFICIENT,
    HOP_COST_LANES_F64_MONOMIAL,
    HOP_COST_LANES_F64_FAR_COEFFICIENT,
    HOP_COST_LANES_F64_FAR_MONOMIAL,
    HOP_COST_ONE_F32_COEFFICIENT,
    HOP_COST_ONE_F32_MONOMIAL,
    HOP_COST_ONE_F32_FAR_COEFFICIENT,
    HOP_COST_ONE_F32_FAR_MONOMIAL,
    HOP_COST_ONE_F64_COEFFICIENT,
    HOP_COST_ONE_F64_MONOMIAL,
    HOP_COST_ONE_F64_FAR_COEFFICIENT,
    HOP_COST_ONE_F64_FAR_MONOMIAL,
    HOP_COST_PRODUCT, /* values that are not the keys: one of a row's C(d+g, g) p multiply-adds in f64, two in f32 */
    HOP_COST_PRODUCT_PASS, /* and one of the C(d+g, g) p numbers read for a group: eight bytes */
    HOP_COST_BUILD,        /* one of the M C(d+g+1, g+1) multiply-adds of building feature maps */
    HOP_COSTS
} hop_cost;

const char *hop_cost_word(hop_cost cost); /* "row", "number", "pair", ... */

/*
 * Costs decide what is tried first, never what is returned: wrong ones make answers slower, not less right. Answers
 * of `auto` may differ between two sets of costs as they may between modes, each within its bound.
 */
typedef struct hop_costs {
    double seconds[HOP_COSTS];
} hop_costs;

void hop_costs_built_in(hop_costs *out); /* what comes with the kernels in use; measured on one machine */
void hop_costs_get(hop_costs *out);      /* in use: the built-in ones until others are set */

/*
 * Use other costs from now on; NULL: the built-in ones again. HOP_E_DOMAIN unless each is above 0 and below 1 s. Safe
 * from any thread; a prediction that is made meanwhile may see some of both.
 */
HOP_WARN_UNUSED hop_status hop_costs_set(const hop_costs *costs, hop_error *error);

/* The core has no clock of its own: monotonic seconds, since whenever. */
typedef struct hop_clock {
    double (*seconds)(void *context);
    void *context;
} hop_clock;

/*
 * hop_calibrate() - measure the costs of the kernels in use, on this thread.
 *
 * Small sets are made and asked through hop_retrieve(), each several times, and the shortest time counts; the costs
 * that fit those times best are returned, each within a factor of 32 of the built-in one after all of those are scaled
 * to this machine's speed. *misfit (may be NULL): the largest factor by which a prediction made of them misses its
 * time. Does not set them.
 *
 * Cost: about 0.1 s and 25 MB meanwhile. Errors: HOP_E_NOMEM; HOP_E_DOMAIN where no sense can be made of the clock or
 * the machine: a misfit above 8, or more than a second spent.
 */
HOP_WARN_UNUSED hop_status hop_calibrate(const hop_clock *clock, hop_costs *out, double *misfit, hop_error *error);

/* ---- plan -------------------------------------------------------------------------------------------- */

enum {
    HOP_PLAN_DEGREE_MAX = 23,                     /* the highest degree there is */
    HOP_PLAN_CANDIDATES = HOP_PLAN_DEGREE_MAX + 2 /* dense in f32, in f64, and every degree */
};

/* Why a candidate is or is not the choice. */
typedef enum hop_reason {
    HOP_REASON_CHOSEN,
    HOP_REASON_BOUND,     /* not expected to meet max_error */
    HOP_REASON_COST,      /* expected to meet, but the choice is predicted cheaper, or surer for about as much */
    HOP_REASON_RADIUS,    /* the exponents are too large for any degree: auto does not try */
    HOP_REASON_RETURN,    /* something asked for needs every score */
    HOP_REASON_NO_MAPS,   /* would be the choice, or cheaper, if there were feature maps, or already */
    HOP_REASON_MAX_DEGREE /* likewise, if they went up to this degree: bytes, build time or max_degree ended them */
} hop_reason;

const char *hop_reason_word(hop_reason reason); /* "chosen", "bound", "cost", ... */

/* One way to answer a row. */
typedef struct hop_candidate {
    int degree;               /* 0: dense */
    bool f64;                 /* the precision of the sums */
    double predicted_seconds; /* per query */
    double predicted_bound;   /* an estimate, not a promise; INFINITY: none expected */
    bool meets;               /* predicted_bound <= max_error */
    hop_reason reason;
} hop_candidate;

typedef struct hop_plan {
    hop_mode mode; /* HOP_DENSE or HOP_ALMOST_LINEAR */
    int degree;    /* of the chosen candidate */
    hop_fallback fallback;
    double predicted_seconds;
    double radius; /* T_abs: proven upper bound of max_mu |t_mu| */
    size_t n;      /* dense first */
    hop_candidate candidates[HOP_PLAN_CANDIDATES];
} hop_plan;

/*
 * What `auto` would do for each row of this batch, without doing it. Exactly one candidate is chosen; where none is
 * expected to meet, the most accurate dense one. Errors as hop_energy(). plans: L of them.
 */
HOP_WARN_UNUSED hop_status hop_plan_queries(const hop_model *model, const hop_request *request, size_t L,
                                            const float *x, void *workspace, size_t workspace_bytes, hop_plan *plans,
                                            hop_error *error);

/*
 * Predicted seconds of one thread for the whole request on this machine, for admission: an estimate, from the norms of
 * a few of the L x d queries x. Needs no workspace.
 */
double hop_predict_seconds(const hop_model *model, const hop_request *request, size_t L, const float *x);

/* The same if nothing goes as predicted: every step of every row dense twice, after all degrees were tried. */
double hop_worst_seconds(const hop_model *model, const hop_request *request, size_t L);

#endif
