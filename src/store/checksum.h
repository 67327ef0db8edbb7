/*
 * checksum.h - CRC-32C of what is on disk.
 *
 * The Castagnoli polynomial, reflected, start and end complemented (RFC 3720, B.4: the nine bytes "123456789" give
 * e3069283). It finds every change of up to 32 bits in a row, so every changed byte, which a hash of any width does not
 * promise; what it lets through of other damage, one in 2^32, the content hash of a set has to get past too. Processors
 * have an instruction for it; elsewhere it goes by tables.
 */
#ifndef STORE_CHECKSUM_H
#define STORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what had the checksum `before` (0: nothing) with n bytes behind it. Any thread. */
uint32_t store_checksum(uint32_t before, const void *bytes, size_t n);

/* The same by tables, whatever the processor: for tests. */
uint32_t store_checksum_portable(uint32_t before, const void *bytes, size_t n);

/* The checksum of two stretches one behind the other, from theirs and the length of the second. */
uint32_t store_checksum_join(uint32_t first, uint32_t second, size_t second_bytes);

#endif
