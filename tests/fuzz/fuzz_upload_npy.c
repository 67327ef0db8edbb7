/*
 * fuzz_upload_npy.c - npy files and bare rows as uploads, in any cuts.
 */
#include "uploads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_upload(SRV_MEDIA_NPY, NULL, data, n);
    fuzz_upload(SRV_MEDIA_OCTET, "3", data, n);
    return 0;
}
