/*
 * regime.h - the probes that both reports of theory.h rest on.
 */
#ifndef HOP_REGIME_H
#define HOP_REGIME_H

#include "core/theory.h"

typedef struct hop_probes {
    size_t n, met, met_below;
    unsigned g_max, degree;  /* of the maps; the highest that answered: 0: none */
    double R_t, error_bound; /* largest; the bound of those that were met, NaN: none, or predicted */
    bool predicted;
    bool middle; /* the mean of the values meets max_error: no degree is needed */
} hop_probes;

/* Errors: HOP_E_DOMAIN. What is 0 for "default" is filled in. */
HOP_WARN_UNUSED hop_status hop_theory_check(const hop_theory_request *request, hop_theory_request *out,
                                            hop_error *error);

/* hop_regime_of(), and the probes. request: checked. */
HOP_WARN_UNUSED hop_status hop_regime_probe(const hop_model *model, const hop_theory_request *request, void *workspace,
                                            size_t workspace_bytes, hop_probes *probes, hop_regime *out,
                                            hop_error *error);

#endif
