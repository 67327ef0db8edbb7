/*
 * test_public_api.c - a program as a user would write it: <hopfield.h>, libhopfield and nothing else.
 *
 * Store a few patterns, complete a damaged one, and read off how far the answer can be from the exact one; then the
 * same from feature maps, whose cost does not depend on the number of memories. Prints TAP by hand: no test library.
 */
#include <hopfield.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { M = 1000, D = 4 };

static int number, failed;

static void ok(bool holds, const char *what)
{
    number++;
    failed += !holds;
    printf("%sok %d - %s\n", holds ? "" : "not ", number, what);
}

/* Patterns on a lattice: any program that fills M x D floats, row after row, will do. */
static void fill(float *memories)
{
    for (size_t mu = 0; mu < M; mu++)
        for (size_t l = 0; l < D; l++)
            memories[mu * D + l] = (float)((mu * (2 * l + 3) + l) % 17) / 8.0f - 1.0f;
}

/* An executor that runs tasks one after the other; a thread pool goes here. */
static void run(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    for (size_t i = 0; i < n; i++)
        task(arg, i);
    *(size_t *)context += n;
}

/* exact: the definition, in f64. */
static double exact(const float *memories, double beta, const float *x, size_t j)
{
    double sum = 0, weighted = 0;
    for (size_t mu = 0; mu < M; mu++) {
        double score = 0;
        for (size_t l = 0; l < D; l++)
            score += (double)memories[mu * D + l] * (double)x[l];
        sum += exp(beta * score);
        weighted += exp(beta * score) * (double)memories[mu * D + j];
    }
    return weighted / sum;
}

static double largest_difference(const float *memories, double beta, const float *x, const float *z)
{
    double largest = 0;
    for (size_t j = 0; j < D; j++)
        largest = fmax(largest, fabs(exact(memories, beta, x, j) - (double)z[j]));
    return largest;
}

int main(void)
{
    static float memories[M * D];
    fill(memories);

    hop_error error = HOP_ERROR_NONE;
    hop_model *model = NULL;
    hop_source source = {.M = M, .d = D, .memories = memories, .similarity = HOP_DOT};
    ok(hop_model_new(&source, NULL, &model, &error) == HOP_OK, "a model from borrowed rows");
    if (!model) {
        printf("Bail out! %s\n", error.text);
        return 1;
    }
    ok(hop_model_M(model) == M && hop_model_d(model) == D && hop_model_p(model) == D, "it knows its shape");

    /* Two queries: one memory damaged, one far from all. */
    float x[2 * D], z[2 * D];
    memcpy(x, memories, D * sizeof *x);
    x[1] = 0;
    memcpy(x + D, (float[D]){0.05f, -0.02f, 0.01f, 0.04f}, D * sizeof *x);

    double bound[2], energy[2], energy_bound[2];
    int degree[2];
    hop_fallback fallback[2];
    hop_answer answer = {.z = z,
                         .error_bound = bound,
                         .degree = degree,
                         .fallback = fallback,
                         .energy = energy,
                         .energy_bound = energy_bound};
    hop_request request = {.beta = 2, .max_error = 1e-4, .mode = HOP_AUTO, .steps = 1, .want = HOP_WANT_ENERGY};

    size_t bytes = hop_retrieve_workspace_bytes(model, 2);
    void *workspace = hop_aligned_alloc(bytes);
    hop_status status = hop_retrieve(model, &request, 2, x, workspace, bytes, &answer, &error);
    ok(status == HOP_OK && degree[0] == 0 && degree[1] == 0, "dense answers before there are feature maps");
    ok(bound[0] <= request.max_error && bound[1] <= request.max_error, "within max_error");
    ok(largest_difference(memories, 2, x, z) <= bound[0] + 1e-12, "the first answer is within its bound");
    ok(largest_difference(memories, 2, x + D, z + D) <= bound[1] + 1e-12, "the second too");
    hop_aligned_free(workspace);

    size_t tasks = 0;
    hop_executor executor = {.run = run, .context = &tasks, .width = 2};
    hop_features *features = NULL;
    unsigned max_degree = hop_features_default_degree(model);
    ok(max_degree >= 1, "maps of some degree are affordable");
    max_degree = max_degree < 6 ? max_degree : 6;
    status = hop_features_build(model, max_degree, &executor, NULL, &features, &error);
    ok(status == HOP_OK && hop_features_rank(features) == hop_rank(D, max_degree), "feature maps of rank C(d+g, g)");
    hop_model_adopt_features(model, features);

    bytes = hop_retrieve_workspace_bytes(model, 2);
    workspace = hop_aligned_alloc(bytes);
    request.mode = HOP_ALMOST_LINEAR;
    request.best_effort = true;
    status = hop_retrieve(model, &request, 2, x, workspace, bytes, &answer, &error);
    ok(status == HOP_OK && degree[1] > 0 && bound[1] <= request.max_error,
       "almost-linear where the certificate allows");
    ok(largest_difference(memories, 2, x + D, z + D) <= bound[1] + 1e-12, "within its bound");
    ok(largest_difference(memories, 2, x, z) <= bound[0] + 1e-12, "and best effort within its own");

    request.best_effort = false;
    request.max_error = 1e-13;
    status = hop_retrieve(model, &request, 2, x, workspace, bytes, &answer, &error);
    ok(status == HOP_E_UNMET && error.row == 0 && error.actual > 1e-13, "a promise that cannot be kept is refused");
    printf("# %s: %s\n", hop_status_word(error.status), error.text);

    hop_plan plans[2];
    request.mode = HOP_AUTO;
    request.max_error = 1e-3;
    error = HOP_ERROR_NONE;
    status = hop_plan_queries(model, &request, 2, x, workspace, bytes, plans, &error);
    ok(status == HOP_OK && plans[0].n >= 1 && plans[1].radius > 0, "plans say what auto would do");
    ok(hop_energy(model, &request, 2, x, workspace, bytes, &answer, &error) == HOP_OK &&
           energy_bound[0] <= request.max_error,
       "energies with bounds");

    hop_aligned_free(workspace);
    hop_model_free(model);
    printf("1..%d\n", number);
    return failed ? 1 : 0;
}
