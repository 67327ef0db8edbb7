/*
 * file.h - small text files: read whole, or replaced whole.
 */
#ifndef SRV_FILE_H
#define SRV_FILE_H

#include "core/hopfield.h"
#include "server/text.h"

/*
 * Append a regular file's bytes to a text; never waits for one. Errors: HOP_E_NOT_FOUND; HOP_E_IO, also for a symbolic
 * link, a folder, a FIFO or a device; HOP_E_LIMIT where the text has no room.
 */
HOP_WARN_UNUSED hop_status srv_file_read(const char *path, srv_text *out, hop_error *error);

/*
 * Write aside and rename: a reader sees the file before or after, never between. Errors: HOP_E_IO, also where the path
 * names anything but a regular file, which is left as it is.
 */
HOP_WARN_UNUSED hop_status srv_file_replace(const char *path, const char *bytes, size_t n, hop_error *error);

#endif
