/*
 * replay.c - a fuzz target as a plain test: every file of the folders named in argv, whole and cut short
 * everywhere. TAP on standard output.
 */
#include "fuzz.h"

#include <dirent.h>

enum { PATH_BYTES = 4096, FILE_BYTES = 4096 };

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Bytes of the file, at most FILE_BYTES; -1 where it cannot be read. */
static long read_file(const char *path, uint8_t *out)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    size_t n = fread(out, 1, FILE_BYTES, file);
    fclose(file);
    return (long)n;
}

int main(int argc, char **argv)
{
    int tests = 0, failures = 0;
    for (int a = 1; a < argc; a++) {
        struct dirent **names = NULL;
        int count = scandir(argv[a], &names, NULL, by_name);
        for (int i = 0; i < count; i++) {
            char path[PATH_BYTES];
            uint8_t bytes[FILE_BYTES];
            if (names[i]->d_name[0] != '.') {
                snprintf(path, sizeof path, "%s/%s", argv[a], names[i]->d_name);
                long n = read_file(path, bytes);
                for (long length = 0; length <= n; length++)
                    LLVMFuzzerTestOneInput(bytes, (size_t)length);
                failures += n < 0;
                printf("%sok %d - %s\n", n < 0 ? "not " : "", ++tests, names[i]->d_name);
                fflush(stdout);
            }
            free(names[i]);
        }
        free(names);
        if (count <= 0) {
            failures++;
            printf("not ok %d - %s cannot be listed\n", ++tests, argv[a]);
        }
    }
    printf("1..%d\n", tests);
    return failures == 0 && tests > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
