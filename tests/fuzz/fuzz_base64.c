/*
 * fuzz_base64.c - text that decodes encodes to itself; bytes that are encoded decode to themselves.
 */
#include "fuzz.h"
#include "server/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hop_error error = HOP_ERROR_NONE;
    size_t length = 0, characters = 0;
    char *text = fuzz_copy(data, n), *bytes = malloc(srv_base64_decoded_max(n) + 1);
    if (!bytes)
        abort();
    if (srv_base64_decode(text, n, bytes, &length, &error) == HOP_OK) {
        char *again = malloc(n + 1);
        FUZZ_CHECK(again && length <= srv_base64_decoded_max(n));
        FUZZ_CHECK(srv_base64_encoded_length(length, &characters) && characters == n);
        FUZZ_CHECK(srv_base64_encode(again, bytes, length) == again + n && memcmp(again, text, n) == 0);
        free(again);
    } else {
        FUZZ_CHECK(error.status == HOP_E_FORMAT && error.byte >= 0 && (size_t)error.byte <= n);
    }
    free(bytes);

    FUZZ_CHECK(srv_base64_encoded_length(n, &characters));
    char *encoded = malloc(characters + 1), *decoded = malloc(n + 3);
    FUZZ_CHECK(encoded && decoded && srv_base64_encode(encoded, text, n) == encoded + characters);
    FUZZ_CHECK(srv_base64_decode(encoded, characters, decoded, &length, NULL) == HOP_OK);
    FUZZ_CHECK(length == n && memcmp(decoded, text, n) == 0);
    free(encoded);
    free(decoded);
    free(text);
    return 0;
}
