/*
 * capacity.c - Lambert's W in logarithms by Newton's method, and the capacity of capacity.h.
 */
#include "core/capacity.h"

#include <math.h>

/*
 * f(v) = v + e^v - s is convex and increasing. Both starts lie on the right of its root, f >= 0 there (s < 1: f = e^s;
 * else f = ln s), so Newton's steps come down to it without passing it, at last quadratically.
 */
double hop_lambert_log(double s)
{
    double v = s < 1 ? s : log(s);
    if (!isfinite(v))
        return v;
    for (int step = 0; step < 64; step++) {
        const double w = exp(v), next = v - (v + w - s) / (1 + w);
        if (!(next < v))
            break;
        v = next;
    }
    return v;
}

double hop_capacity_b(const hop_capacity *set)
{
    return 4 * set->m * set->m * set->beta / (5 * (set->d - 1));
}

double hop_capacity_a(const hop_capacity *set, double log_gap)
{
    const double log_ratio = log(2 * set->m) + log(set->p) / 2 - log_gap;
    return 4 / (set->d - 1) * (log_ratio + 2 * set->beta * set->m * set->R);
}

double hop_capacity_log_C(const hop_capacity *set, double log_gap)
{
    const double log_b = log(hop_capacity_b(set));
    return log_b - hop_lambert_log(hop_capacity_a(set, log_gap) + log_b);
}

double hop_capacity_log_M(const hop_capacity *set, double log_gap)
{
    return log(set->p) / 2 + (set->d - 1) / 4 * hop_capacity_log_C(set, log_gap);
}

/* y - ln M_max(delta) where delta = R e^{y - end}: increasing in y, above 0 at the end, where R - delta is 0. */
static double excess(const hop_capacity *set, double y, double end)
{
    return y - hop_capacity_log_M(set, log(set->R) + log(-expm1(y - end)));
}

double hop_capacity_consistent(const hop_capacity *set, double rate)
{
    const double end = log(set->R) - log(rate);
    double low = end - 1, high = end;
    for (double step = 1; !(excess(set, low, end) <= 0) && step < 0x1p60; step *= 2)
        low -= step;
    for (int step = 0; step < 200; step++) {
        const double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high))
            break;
        if (excess(set, middle, end) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}
