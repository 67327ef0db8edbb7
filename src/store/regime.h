/*
 * regime.h - the regime of a set at its own beta and max_error (hop_regime), as its description says it.
 *
 * Measured twice, by whoever has the set in hand anyway: when it is frozen, before it has feature maps, and by the
 * builder of its maps once they are there. Readers never wait for it.
 */
#ifndef STORE_REGIME_H
#define STORE_REGIME_H

#include "store/set.h"

typedef enum store_regime_time { STORE_BEFORE_MAPS, STORE_WITH_MAPS, STORE_REGIME_TIMES } store_regime_time;

/*
 * Measure the set's regime, once for each of the two times: before it is published, and before it is settled as ready.
 * Where memory is out the set goes without. A few milliseconds (hop_regime_of()).
 */
void store_regime_measure(store_set *set, store_regime_time time);

/* The newest there is, NULL where there is none. Valid while the caller holds a reference. */
const hop_regime *store_set_regime(const store_set *set);

#endif
