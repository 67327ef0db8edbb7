/*
 * cells.c - see cells.h.
 */
#include "store/cells.h"

#include "core/status.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    BLOCK = 2048, /* cells that are converted, checked and placed while they are in the nearest cache */
    AHEAD = 64    /* rows whose lines are fetched ahead */
};

store_cells store_cells_start(const char *name, store_npy_type type, size_t rows, size_t columns, float *out)
{
    return (store_cells){.name = name,
                         .type = type,
                         .rows = rows,
                         .columns = columns,
                         .element_bytes = store_npy_element_bytes(type),
                         .out = out};
}

size_t store_cells_left(const store_cells *cells)
{
    return cells->rows * cells->columns * cells->element_bytes - cells->taken;
}

/* Cell i, in the order of arrival, holds `value`. */
static hop_status refuse(const store_cells *cells, size_t i, float value, hop_error *error)
{
    size_t row = cells->fortran ? i % cells->rows : i / cells->columns;
    size_t column = cells->fortran ? i / cells->rows : i % cells->columns;
    row += cells->first_row;
    return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, (int64_t)column, "%s: row %zu, column %zu: the number is %s",
                       cells->name, row, column, isnan(value) ? "NaN" : "infinite as f32");
}

/* Cells first ... first + n - 1 in the order of arrival, checked, to where column-major order has them. */
static void scatter(const store_cells *cells, size_t first, const float *values, size_t n)
{
    size_t row = first % cells->rows;
    float *column = cells->out + first / cells->rows;
    for (size_t i = 0; i < n; i++) {
        /* Each cell lies in another line of memory, which is asked for well before it is written. */
        if (row + AHEAD < cells->rows)
            __builtin_prefetch(column + (row + AHEAD) * cells->columns, 1);
        column[row * cells->columns] = values[i];
        if (++row == cells->rows) {
            row = 0;
            column++;
        }
    }
}

/* n whole cells, the first of them number `first` in the order of arrival. */
static hop_status place(store_cells *cells, size_t first, const unsigned char *bytes, size_t n, hop_error *error)
{
    float buffer[BLOCK];
    for (size_t done = 0; done < n;) {
        size_t count = n - done < BLOCK ? n - done : BLOCK;
        float *values = cells->fortran ? buffer : cells->out + first + done;
        store_npy_convert(cells->type, bytes + done * cells->element_bytes, count, values);
        size_t bad = store_first_not_finite(values, count);
        if (bad < count)
            return refuse(cells, first + done + bad, values[bad], error);
        if (cells->fortran)
            scatter(cells, first + done, buffer, count);
        done += count;
    }
    return HOP_OK;
}

hop_status store_cells_feed(store_cells *cells, const void *bytes, size_t n, hop_error *error)
{
    assert(n <= store_cells_left(cells));
    const unsigned char *s = bytes;
    size_t element = cells->element_bytes, cut = cells->taken % element;
    if (cut > 0) { /* the rest of a cell, or more of it */
        size_t more = n < element - cut ? n : element - cut;
        memcpy(cells->cut + cut, s, more);
        cells->taken += more;
        s += more;
        n -= more;
        if (cut + more < element)
            return HOP_OK;
        hop_status status = place(cells, cells->taken / element - 1, cells->cut, 1, error);
        if (status != HOP_OK)
            return status;
    }
    size_t whole = n / element;
    hop_status status = place(cells, cells->taken / element, s, whole, error);
    if (status != HOP_OK)
        return status;
    memcpy(cells->cut, s + whole * element, n - whole * element);
    cells->taken += n;
    return HOP_OK;
}
