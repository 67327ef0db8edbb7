/*
 * calibration.h - whose costs predictions are made of: measured at start, kept from an earlier start, or built in.
 */
#ifndef SRV_CALIBRATION_H
#define SRV_CALIBRATION_H

#include "server/app.h"
#include "server/text.h"

const char *srv_costs_word(srv_costs_source source); /* "built_in", "cache", "measured" */

/*
 * Settle the costs, once, before there are threads; logs one line that says what was done and how long it took.
 *
 * The cache file, where one is configured, is taken if this version wrote it, with the same kernels on the same CPU
 * model; else the costs are measured, unless `calibrate` is off, and written there, where nothing is there or such a
 * file: what else the path names, a symbolic link too, is neither waited for nor changed. What fails leaves the
 * built-in costs, and is no reason not to start.
 */
srv_costs_source srv_costs_settle(const srv_config *config);

/*
 * The cache file's text, and reading one: HOP_E_FORMAT where it is none, HOP_E_DOMAIN where it is another machine's or
 * another version's, or holds what cannot be a cost: over a factor of 1000 from the built-in one. cpu: the model's
 * name, one line.
 */
void srv_costs_write(const hop_costs *costs, const char *cpu, srv_text *out);
HOP_WARN_UNUSED hop_status srv_costs_parse(const char *text, const char *cpu, hop_costs *out, hop_error *error);

#endif
