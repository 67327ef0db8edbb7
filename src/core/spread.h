/*
 * spread.h - the part of a geometry that needs the centre first: the radius and the tails.
 */
#ifndef HOP_SPREAD_H
#define HOP_SPREAD_H

#include "core/geometry.h"

/*
 * Fill in radius, and where there is room for them (tails not NULL) tails, tail_reach and tail_rest of a geometry whose
 * frame and ranges are those of all n_rows rows. known: NULL, or what is known of the first rows in the same frame;
 * only those behind them are then read, and thresholds are the known ones. executor NULL: on this thread; nothing
 * depends on it. Errors: HOP_E_NOMEM. Cost: one pass.
 */
HOP_WARN_UNUSED hop_status hop_spread_measure(hop_geometry *g, const float *rows, size_t n_rows,
                                              const hop_known_rows *known, const hop_executor *executor,
                                              hop_error *error);

/* What it holds while it runs. */
size_t hop_spread_bytes(size_t n, bool tails);

#endif
