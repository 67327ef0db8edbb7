/*
 * maps_file.h - the feature maps of a version of a set as a file of their own, and back.
 *
 * They are beside the set's file and not in it: a set is written once, when it comes, and never again because a build
 * of maps ended. What is lost or damaged here is built again. docs/SNAPSHOT.md has the layout.
 */
#ifndef STORE_MAPS_FILE_H
#define STORE_MAPS_FILE_H

#include "store/set.h"

/* Write the maps of a named set that has some into an empty file and sync it. HOP_E_IO, HOP_E_SHAPE, HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_maps_write(const store_set *set, int file, hop_error *error);

/*
 * Read the maps of a set, charge them to its budget, give them to its model.
 *
 * bytes_most  larger ones are not read where the set names no max_degree; where it names one, only maps of that degree
 * are Errors: HOP_E_LIMIT (not what the set should have), HOP_E_FORMAT (of another set, of another frame or damaged),
 * HOP_E_IO, HOP_E_BUDGET, HOP_E_NOMEM, HOP_E_CANCELLED. The set is then as before.
 */
HOP_WARN_UNUSED hop_status store_maps_read(store_set *set, int file, size_t bytes_most, const hop_executor *executor,
                                           const atomic_bool *cancel, hop_error *error);

#endif
