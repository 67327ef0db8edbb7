/*
 * openapi.h - docs/openapi.json, compiled in: embed.py writes the definition when the project is built.
 */
#ifndef SRV_OPENAPI_H
#define SRV_OPENAPI_H

#include <stddef.h>

extern const unsigned char srv_openapi[];
extern const size_t srv_openapi_bytes;

#endif
