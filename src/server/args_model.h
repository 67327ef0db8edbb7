/*
 * args_model.h - parameters of the structured models, from `model` or the query string.
 *
 * Each mode has its own: k (top_k), keep and seed (random_mask), width (window), features and seed (random_features),
 * alpha (entmax). A parameter of another mode is refused, so that none is ever read over in silence.
 */
#ifndef SRV_ARGS_MODEL_H
#define SRV_ARGS_MODEL_H

#include "server/options.h"

/* The largest k, seed and width: what a JSON integer of the parser holds. */
#define SRV_MODEL_INTEGER_MAX INT64_MAX

/* Names of the parameters that a mode takes, NULL-terminated and static. */
const char *const *srv_model_names(hop_mode mode);

/*
 * srv_args_model_read() - the parameters that were given, over those in *out; the others stay.
 *
 * options: of the whole request; its member `model`, where there is one, holds parameters of `mode`, and so may the
 * query string. HOP_E_FORMAT: `model` is no object, a name that does not exist or belongs to another mode (named, with
 * those expected), given in both places, not a number. HOP_E_DOMAIN: out of range (limit, actual).
 */
HOP_WARN_UNUSED hop_status srv_args_model_read(const srv_options *options, hop_mode mode, hop_parameters *out,
                                               hop_error *error);

#endif
