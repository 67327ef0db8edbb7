/*
 * returns.c - a row's returns (returns.h).
 */
#include "core/returns.h"

#include <string.h>

hop_returns hop_returns_of(const hop_model *model, const hop_request *request, const hop_answer *answer, size_t row)
{
    hop_returns to = {.top = request->top};
    if (request->want & HOP_WANT_TOP) {
        to.top_id = answer->top_id + row * request->top;
        to.top_weight = answer->top_weight + row * request->top;
        to.top_count = answer->top_count ? answer->top_count + row : NULL;
    }
    if (request->want & HOP_WANT_SUPPORT)
        to.support = answer->support + row;
    if (request->want & HOP_WANT_WEIGHTS)
        to.weights = answer->weights + row * model->M;
    return to;
}

void hop_returns_clear(const hop_returns *to, size_t M)
{
    if (to->weights)
        memset(to->weights, 0, M * sizeof *to->weights);
}

void hop_returns_top(const hop_returns *to, size_t done, const hop_entry *entries, size_t n)
{
    for (size_t i = 0; to->top_id && i < n && done + i < to->top; i++) {
        to->top_id[done + i] = entries[i].id;
        to->top_weight[done + i] = entries[i].score;
    }
}

void hop_returns_scan(const hop_returns *to, const hop_scan *scan, size_t most, hop_entry *room, size_t capacity)
{
    const size_t round = (capacity - HOP_SCAN_BLOCK) / 2;
    hop_entry last;
    most = most < to->top ? most : to->top;
    for (size_t done = 0, n; to->top_id && done < most; done += n) {
        n = hop_scan_best(scan, done ? &last : NULL, most - done < round ? most - done : round, room, capacity);
        if (n == 0)
            return;
        last = room[n - 1];
        hop_returns_top(to, done, room, n);
    }
}
