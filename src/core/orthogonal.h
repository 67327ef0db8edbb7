/*
 * orthogonal.h - Gaussian vectors that are orthogonal within blocks of d, a function of a seed: row i is
 *
 *     w_i = chi_i q_i,   q_i = row i mod d of a random orthonormal d x d matrix, one for each block of d rows
 *                        chi_i = |n'|, n' normal in R^d
 *
 * so that each w_i by itself is normal in R^d. q_i is what two rounds of Gram-Schmidt against the block's earlier rows
 * leave of n, normal in R^d, over its norm; n is drawn again should less than 1e-6 of it be left.
 *
 * n and n' come from streams of their own, number 2 i and 2 i + 1: splitmix64 (splitmix.h) whose state before its first
 * number is mix(mix(seed + STEP) + (number + 1) STEP). Its numbers r are taken two at a time, each as a coordinate
 * (2 floor(r / 2^12) + 1) 2^-52 - 1, until s = u^2 + v^2 < 1; then u f and v f are the next two normal numbers, with
 * f = sqrt(-2 log(s) / s) (Marsaglia's polar method). All of it takes IEEE's five operations alone, the logarithm
 * included: the same bits on every machine.
 */
#ifndef HOP_ORTHOGONAL_H
#define HOP_ORTHOGONAL_H

#include "core/hopfield.h"

/*
 * Rows first .. first + n - 1 of dimension d, `stride` apart; first is a multiple of d and n at most d. Stops early,
 * its rows then undefined, where progress (may be NULL) says cancel. Cost: 4 n^2 d flops.
 */
void hop_orthogonal_block(uint64_t seed, size_t d, size_t first, size_t n, size_t stride, double *rows,
                          const hop_progress *progress);

#endif
