/*
 * replay_state.h - what replay.c finds out and replay_build.c makes a set of.
 *
 * Every row there ever was since the snapshot has a place: first the snapshot's, then those appended, in order. Ids of
 * appended rows follow one another, so that a row's place follows from its id.
 */
#ifndef STORE_REPLAY_STATE_H
#define STORE_REPLAY_STATE_H

#include "store/replay.h"

struct store_replay {
    int snapshot, log; /* files */
    char name[STORE_NAME_BYTES];
    const store_loading *loading;
    store_snapshot says;
    store_log_base base;
    store_log_reader reader;
    bool has_log;
    size_t charged_bytes; /* for what is here */

    size_t places, gone_rows; /* rows there ever were, and how many of them are not any more */
    bool *gone;               /* places; NULL: none is */
    size_t gone_room;
    uint64_t *base_ids; /* of the snapshot's rows; NULL: their numbers */
    store_log_record *appends;
    size_t n_appends, appends_room;
    bool labelled;
    const char **label; /* places; NULL where the label is empty */
    size_t label_room;
    char **texts; /* that labels point into */
    size_t n_texts;

    uint64_t version, content_hash, next_id; /* after the last record */
    store_options options;
};

/* Room for bytes, charged until the replay is freed. */
HOP_WARN_UNUSED hop_status store_replay_charge(store_replay *self, size_t bytes, hop_error *error);

/* An array of `room` elements grows to at least n, charged likewise. HOP_E_SHAPE, HOP_E_BUDGET, HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_replay_grow(store_replay *self, void **array, size_t *room, size_t n, size_t element,
                                             hop_error *error);

/* Room for the labels of all places, empty at first. */
HOP_WARN_UNUSED hop_status store_replay_room_for_labels(store_replay *self, hop_error *error);

/* The snapshot's version as that of a log. */
store_log_base store_replay_base_of(const store_snapshot *says, const char *name);

static inline bool store_replay_gone(const store_replay *self, size_t place)
{
    return self->gone && self->gone[place];
}

#endif
