/*
 * requests.h - arguments written as requests again, and compared; for the targets that parse requests.
 */
#ifndef TEST_FUZZ_REQUESTS_H
#define TEST_FUZZ_REQUESTS_H

#include "fuzz.h"
#include "server/args.h"

extern const srv_args_limits fuzz_limits;

/* What an upload came to, as its reader had it; borrowed. */
typedef struct fuzz_uploaded {
    size_t M, d, p;
    const float *memories, *values;
    const char **labels; /* NULL: none */
    double beta, max_error;
    int max_degree;
    hop_similarity similarity;
} fuzz_uploaded;

/* JSON requests that mean what args say, from malloc, NUL-terminated. */
char *fuzz_retrieve_json(const srv_retrieve_args *args, size_t d);
char *fuzz_upload_json(const fuzz_uploaded *args);

/* "name=value&..." of the same options, from malloc. */
char *fuzz_retrieve_query(const srv_retrieve_args *args);
char *fuzz_upload_query(const fuzz_uploaded *args);

void fuzz_check_same_retrieve(const srv_retrieve_args *a, const srv_retrieve_args *b, size_t d);
void fuzz_check_same_upload(const fuzz_uploaded *a, const fuzz_uploaded *b);

/* Cut text at '&' and '=' into at most n parameters, in place; returns how many. */
size_t fuzz_parameters(char *text, srv_parameter *parameters, size_t n);

/* An error that a reader returned is complete. */
void fuzz_check_error(hop_status status, const hop_error *error);

#endif
