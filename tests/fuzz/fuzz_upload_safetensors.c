/*
 * fuzz_upload_safetensors.c - safetensors files as uploads, by their type and by how they start, in any cuts.
 */
#include "uploads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_upload(SRV_MEDIA_SAFETENSORS, NULL, data, n);
    fuzz_upload(SRV_MEDIA_OCTET, NULL, data, n);
    return 0;
}
