/*
 * regime.c - see regime.h. What a set says before its maps is frozen with it; the other is written before its state is.
 */
#include "store/regime.h"

void store_regime_measure(store_set *set, store_regime_time time)
{
    const hop_theory_request request = {.beta = set->beta, .max_error = set->max_error};
    size_t bytes = hop_theory_workspace_bytes(set->model);
    void *workspace = bytes ? hop_aligned_alloc(bytes) : NULL;
    if (workspace)
        set->has_regime[time] =
            hop_regime_of(set->model, &request, workspace, bytes, &set->regime[time], NULL) == HOP_OK;
    hop_aligned_free(workspace);
}

const hop_regime *store_set_regime(const store_set *set)
{
    if (store_set_state(set) == STORE_READY && set->has_regime[STORE_WITH_MAPS])
        return &set->regime[STORE_WITH_MAPS];
    return set->has_regime[STORE_BEFORE_MAPS] ? &set->regime[STORE_BEFORE_MAPS] : NULL;
}
