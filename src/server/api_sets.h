/*
 * api_sets.h - how a set describes itself; the handlers are declared in route.h, the hooks in app.h.
 */
#ifndef SRV_API_SETS_H
#define SRV_API_SETS_H

#include "server/request.h"
#include "server/text.h"
#include "store/progress.h"
#include "store/set.h"

/* Append a set's description, one JSON object (http-api: "Describing a set"). */
void srv_set_write_description(const store_set *set, srv_text *out);

/* Append a regime, one JSON object; with what the probes said of it or without. In api_theory.c. */
void srv_regime_write(const hop_regime *regime, bool probes, srv_text *out);

/* Answer with an operation as it is: 200, or 202 with its Location. In api_operations.c. */
void srv_reply_operation(srv_request *request, srv_outcome outcome, const store_work_view *view);

/* True where the client takes application/json; otherwise the request has been answered (SRV_NOT_ACCEPTABLE). */
bool srv_accepts_json(srv_request *request);

#endif
