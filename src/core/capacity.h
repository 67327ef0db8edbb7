/*
 * capacity.h - Theorem B.1 of P1 (theory.h) as a function of a few numbers, in logarithms throughout.
 */
#ifndef HOP_CAPACITY_H
#define HOP_CAPACITY_H

/* What a set brings. d >= 2; m, R > 0; 0 < p < 1. */
typedef struct hop_capacity {
    double d, beta, m, R, p;
} hop_capacity;

/* ln w, where w + ln w = s, that is w = W_0(e^s): s may be any number, where e^s would leave f64. */
double hop_lambert_log(double s);

double hop_capacity_b(const hop_capacity *set);

/* log_gap = ln(R - delta) */
double hop_capacity_a(const hop_capacity *set, double log_gap);

/* ln C, C = b / w. */
double hop_capacity_log_C(const hop_capacity *set, double log_gap);

/* ln M_max = ln sqrt(p) + (d-1)/4 ln C. */
double hop_capacity_log_M(const hop_capacity *set, double log_gap);

/* ln M of the M with M = M_max(delta), delta = rate M; rate > 0. M_max falls as delta grows: there is one. */
double hop_capacity_consistent(const hop_capacity *set, double rate);

#endif
