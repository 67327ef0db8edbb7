/*
 * metrics.h - counters in fixed arrays and the Prometheus text page (version 0.0.4).
 *
 * Every series exists at 0 from the start; unknown routes are counted under "other". Any thread may count at any
 * time: plain relaxed atomics, no locks. Gauges are read when the page is written.
 */
#ifndef SRV_METRICS_H
#define SRV_METRICS_H

#include "core/hopfield.h"
#include "server/app.h"
#include "server/reply.h"
#include "server/request.h"
#include "server/text.h"

HOP_WARN_UNUSED hop_status srv_metrics_new(srv_metrics **out, hop_error *error);
void srv_metrics_free(srv_metrics *metrics);

/* One finished exchange. route_index as srv_route_index(). */
void srv_metrics_request(srv_metrics *metrics, size_t route_index, srv_method method, srv_outcome outcome,
                         double seconds);

/* rows answered by one mode; for auto dense or almost_linear, row by row: HOP_AUTO never occurs. */
void srv_metrics_queries(srv_metrics *metrics, hop_mode mode, uint64_t rows);

/* rows that `auto` sent to dense, by reason; HOP_FALLBACK_NONE is ignored. */
void srv_metrics_fallbacks(srv_metrics *metrics, hop_fallback reason, uint64_t rows);

/* A request turned away for load, not for its content. */
typedef enum srv_rejection {
    SRV_REJECTED_QUEUE_FULL,
    SRV_REJECTED_DEADLINE,
    SRV_REJECTED_DRAINING,
    SRV_REJECTED_MEMORY,
    SRV_REJECTED_BODY_LIMIT,
    SRV_REJECTED_CLIENT_GONE,
    SRV_REJECTIONS
} srv_rejection;

void srv_metrics_rejected(srv_metrics *metrics, srv_rejection reason);

void srv_metrics_connections(srv_metrics *metrics, int change); /* +1 opened, -1 closed */

/* Requests between their first line and their completion; the drain waits for 0. */
void srv_metrics_in_flight(srv_metrics *metrics, int change);
int srv_metrics_in_flight_count(const srv_metrics *metrics);

/* The page. */
void srv_metrics_write(const srv_app *app, srv_text *out);

#endif
