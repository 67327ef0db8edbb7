/*
 * uploads.h - a binary upload taken whole, in pieces, and without its length; for the targets that take uploads.
 */
#ifndef TEST_FUZZ_UPLOADS_H
#define TEST_FUZZ_UPLOADS_H

#include "fuzz.h"
#include "server/intake.h"

/*
 * Take the n bytes as a body of that type; d NULL: no such parameter. Checks that every cut comes to the same rows or
 * the same error, that the rows are finite, and that every byte of the budget comes back. Aborts where it does not.
 */
void fuzz_upload(srv_media media, const char *d, const uint8_t *data, size_t n);

#endif
