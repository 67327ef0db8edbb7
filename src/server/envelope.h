/*
 * envelope.h - cut a JSON body into its bulk arrays and the small rest.
 *
 * A body of 64 MiB holds megabytes of numbers and a handful of options. One pass walks the top-level object, reads
 * the members that are bulk (numbers.h, json_text.h, base64.h) straight into arrays, and squeezes what is left to
 * the front of the body, a `0` in the place of each array: at most SRV_ENVELOPE_BYTES for json.h to parse, however
 * large or hostile the body. Nesting, structure and the uniqueness of the bulk members are checked here,
 * everything else of the rest by json.h.
 */
#ifndef SRV_ENVELOPE_H
#define SRV_ENVELOPE_H

#include "server/ids.h"
#include "server/numbers.h"
#include "server/strings.h"
#include "server/json_text.h"

enum {
    SRV_ENVELOPE_BYTES = 64 * 1024, /* of the rest, white space between members included */
    SRV_ENVELOPE_VALUE = 4 * 1024,  /* a larger value outside the bulk members is cut out: no option is that long */
    SRV_ENVELOPE_GAPS = 16
};

typedef enum srv_bulk_kind { SRV_BULK_NUMBERS, SRV_BULK_BASE64, SRV_BULK_STRINGS, SRV_BULK_IDS } srv_bulk_kind;

/*
 * One bulk member: what is wanted, and after the pass what was found. limits.name is the member's; for STRINGS
 * limits.columns is the most bytes of one string and limits.rows is not used, for IDS only the name is. A member
 * that is there with another JSON type than its kind's is not `found`: it stays in the rest, for json.h to refuse.
 */
typedef struct srv_bulk {
    srv_bulk_kind kind;
    srv_numbers_limits limits;
    bool found;
    srv_numbers numbers; /* NUMBERS; BASE64: data is the decoded bytes, columns their f32 count, rows 1 */
    srv_strings strings; /* STRINGS */
    srv_ids ids;         /* IDS */
} srv_bulk;

/* The rest: text of n bytes inside the body, and where what was cut out of it stood. */
typedef struct srv_envelope {
    char *text;
    size_t n;
    int64_t oversize; /* byte of the first value longer than SRV_ENVELOPE_VALUE, null in the rest; -1: none */
    size_t n_gaps;
    struct {
        size_t at, cut; /* from position `at` of the text on, `cut` bytes of the body are missing before it */
    } gaps[SRV_ENVELOPE_GAPS];
} srv_envelope;

/*
 * srv_envelope_open() - one pass over body, which is overwritten. body[n] must be readable.
 *
 * The caller has filled kind and limits of each bulk member and zeroed the rest; whatever the outcome it ends them
 * with srv_bulk_fini(). Errors: HOP_E_FORMAT (byte), those of numbers.h. Members called as a bulk member in other
 * spellings ("quer\u0069es") are that member.
 */
HOP_WARN_UNUSED hop_status srv_envelope_open(char *body, size_t n, srv_bulk *bulk, size_t n_bulk, srv_envelope *out,
                                             hop_error *error);
void srv_bulk_fini(srv_bulk *bulk);

/* Where byte `at` of the rest stood in the body. */
size_t srv_envelope_origin(const srv_envelope *envelope, size_t at);

#endif
