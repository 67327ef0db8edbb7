/*
 * pencil.h - a number K, close to the least, for which K B - A (and K B + A) is proved positive semidefinite.
 *
 * A and B are symmetric, known up to errors; B is positive definite. The caller fills the upper parts,
 * hop_pencil_scale() and hop_pencil_scale_A() scale so that B's diagonal is 1 (K is the same), hop_pencil_bound() finds
 * K (docs/MATH.md, "Fourth moments").
 */
#ifndef HOP_PENCIL_H
#define HOP_PENCIL_H

#include "core/hopfield.h"

typedef struct hop_pencil {
    size_t n;
    bool both;              /* also K B + A */
    double *A, *B;          /* n x n, row-major */
    double *factor, *trial; /* n x n: what B was factored to; the same where hop_pencil_bound() is called once */
    double *root;           /* n: what rows and columns were scaled by */
    double *work;           /* 4 n */
    /*
     * Scaled: no entry's parts sum up to more, at most 24 roundings each, and an exact entry may be this far off:
     * error_A and error_B in absolute value.
     */
    double most_A, most_B, error_A, error_B;
} hop_pencil;

/* B and root by B's diagonal; then A by root, returning its largest entry in absolute value. */
void hop_pencil_scale(const hop_pencil *pencil);
double hop_pencil_scale_A(const hop_pencil *pencil);

/* factor, of B; false: B is not positive definite to working precision. */
bool hop_pencil_factor(const hop_pencil *pencil);

/*
 * K, no less than 1e-6 most_A + 1e3 n error_A: where A is 0 but for rounding, the errors alone say how small a K could
 * be proved, and any larger one is as true. INFINITY: none was proved, or progress (or NULL) cancelled, which is looked
 * at between factorisations. Takes a few
 * of n^3/3 flops; trial is overwritten, and factor with it where they are one.
 */
double hop_pencil_bound(const hop_pencil *pencil, const hop_progress *progress);

#endif
