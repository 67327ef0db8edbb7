/*
 * kernels.c - which table of kernels is in use: the reference first, replaced by the best one that the machine runs.
 */
#include "core/kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/status.h"

typedef struct isa {
    const hop_kernels *kernels;
    bool (*runs)(void); /* NULL: always */
} isa;

/* From the plainest to the best. */
static const isa isas[] = {
    {&hop_kernels_reference, NULL},
#if defined(__x86_64__)
    {&hop_kernels_avx2, hop_cpu_runs_avx2},
    {&hop_kernels_avx512, hop_cpu_runs_avx512},
    {&hop_kernels_amx_tiles, hop_cpu_runs_amx},
    {&hop_kernels_amx, hop_cpu_runs_amx},
#define ISA_NAMES "auto, reference, avx2, avx512, amx, amx-tiles"
#elif defined(__aarch64__)
    {&hop_kernels_neon, NULL},
#define ISA_NAMES "auto, reference, neon"
#else
#define ISA_NAMES "auto, reference"
#endif
};
enum { ISAS = sizeof isas / sizeof *isas };

static _Atomic(const hop_kernels *) in_use; /* NULL: not chosen yet. The tables themselves never change. */

static bool runs(const isa *candidate)
{
    return !candidate->runs || candidate->runs();
}

static const hop_kernels *best(void)
{
    const hop_kernels *kernels = isas[0].kernels;
    for (size_t i = 1; i < ISAS; i++)
        if (runs(&isas[i]))
            kernels = isas[i].kernels;
    return kernels;
}

hop_status hop_isa_choose(const char *name, hop_error *error)
{
    if (!name)
        name = getenv("HOPFIELDD_ISA");
    if (!name || !strcmp(name, "auto")) {
        atomic_store_explicit(&in_use, best(), memory_order_release);
        return HOP_OK;
    }
    for (size_t i = 0; i < ISAS; i++) {
        if (strcmp(name, isas[i].kernels->isa))
            continue;
        if (!runs(&isas[i]))
            return hop_fail(error, HOP_E_UNKNOWN, "this machine cannot run the %s kernels", name);
        atomic_store_explicit(&in_use, isas[i].kernels, memory_order_release);
        return HOP_OK;
    }
    return hop_fail(error, HOP_E_UNKNOWN, "no kernels are called \"%.40s\"; there are " ISA_NAMES, name);
}

/* Threads that meet here at first use choose the same table, so it does not matter whose store is last. */
const hop_kernels *hop_kernels_get(void)
{
    const hop_kernels *kernels = atomic_load_explicit(&in_use, memory_order_acquire);
    if (!kernels) {
        if (hop_isa_choose(NULL, NULL))
            atomic_store_explicit(&in_use, best(), memory_order_release);
        kernels = atomic_load_explicit(&in_use, memory_order_acquire);
    }
    return kernels;
}

const char *hop_isa_name(void)
{
    return hop_kernels_get()->isa;
}
