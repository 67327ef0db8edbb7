/*
 * fuzz_npy.c - NumPy files: whatever parses is converted, written as f32 in C order, and parses to the same rows.
 */
#include "fuzz.h"
#include "store/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    store_npy_header header, again;
    hop_error error = HOP_ERROR_NONE;
    char *file = fuzz_copy(data, n);
    if (n >= 12)
        FUZZ_CHECK(store_npy_header_need(file, n) >= 10);
    if (store_npy_header_parse(file, n, true, &header, &error) != HOP_OK) {
        FUZZ_CHECK(error.status == HOP_E_FORMAT && error.text[0] != '\0');
        free(file);
        return 0;
    }
    FUZZ_CHECK(header.header_bytes <= n && header.header_bytes == store_npy_header_need(file, n));
    FUZZ_CHECK(header.data_bytes == header.rows * header.columns * header.element_bytes);
    if (store_npy_check_length(&header, n, &error) != HOP_OK) {
        FUZZ_CHECK(n - header.header_bytes != header.data_bytes);
        free(file);
        return 0;
    }
    size_t cells = header.rows * header.columns;
    float *rows = malloc((cells + 1) * sizeof *rows);
    if (!rows)
        abort();
    const char *bytes = file + header.header_bytes;
    hop_status status = store_npy_rows(&header, bytes, 0, header.rows, rows, &error);
    if (status != HOP_OK) {
        FUZZ_CHECK(status == HOP_E_DOMAIN && error.row >= 0 && (size_t)error.row < header.rows);
        FUZZ_CHECK(error.column >= 0 && (size_t)error.column < header.columns);
    } else {
        FUZZ_CHECK(store_first_not_finite(rows, cells) == cells);
        /* One row alone is the same row. */
        if (cells > 0) {
            float *one = malloc(header.columns * sizeof *one);
            size_t row = header.rows / 2, skip = header.fortran ? 0 : row * header.columns * header.element_bytes;
            FUZZ_CHECK(one && store_npy_rows(&header, bytes + skip, row, 1, one, NULL) == HOP_OK);
            FUZZ_CHECK(memcmp(one, rows + row * header.columns, header.columns * sizeof *one) == 0);
            free(one);
        }
        char written[STORE_NPY_WRITE_BYTES];
        store_npy_header_write(written, header.rows, header.columns);
        FUZZ_CHECK(store_npy_header_parse(written, sizeof written, false, &again, NULL) == HOP_OK);
        FUZZ_CHECK(again.rows == header.rows && again.columns == header.columns && again.type == STORE_NPY_F4);
        float *back = malloc((cells + 1) * sizeof *back);
        FUZZ_CHECK(back && store_npy_rows(&again, rows, 0, again.rows, back, NULL) == HOP_OK);
        FUZZ_CHECK(cells == 0 || memcmp(back, rows, cells * sizeof *back) == 0);
        free(back);
    }
    free(rows);
    free(file);
    return 0;
}
