/*
 * machine.c - how many CPUs and how much memory this process may use: cgroup limits first, then the machine.
 *
 * Both cgroup versions are read, from the process's own group up to the root, and the smallest limit holds.
 */
#include "server/config.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4200 };

/* This process's group for one controller: "" is the unified hierarchy (version 2). False: it has none. */
static bool group_of(const char *controller, char *out, size_t bytes)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return false;
    char line[PATH_BYTES];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        for (char *save = NULL, *name = names + 1; !found; name = NULL) {
            if (name && !*name) {
                found = !*controller;
                break;
            }
            char *word = strtok_r(name, ",", &save);
            if (!word)
                break;
            found = strcmp(word, controller) == 0;
        }
        if (found)
            snprintf(out, bytes, "%s", path);
    }
    fclose(file);
    return found;
}

/* The first line of a file; false where it cannot be read. */
static bool read_first_line(const char *path, char *out, int bytes)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool ok = fgets(out, bytes, file) != NULL;
    fclose(file);
    return ok;
}

/* Call see() with the first line of `name` in every group from the process's own up to the root. */
static void walk_groups(const char *controller, const char *root, const char *name,
                        void (*see)(const char *line, const char *folder, void *context), void *context)
{
    char group[PATH_BYTES];
    if (!group_of(controller, group, sizeof group))
        return;
    for (;;) {
        char folder[PATH_BYTES + 64], path[PATH_BYTES + 128], line[128];
        snprintf(folder, sizeof folder, "%s%s", root, strcmp(group, "/") == 0 ? "" : group);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (read_first_line(path, line, sizeof line))
            see(line, folder, context);
        char *slash = strrchr(group, '/');
        if (!slash || !*group)
            return;
        *slash = '\0';
    }
}

/* "max 100000" or "150000 100000" */
static void see_cpu_v2(const char *line, const char *folder, void *context)
{
    (void)folder;
    double *cpus = context, quota, period;
    if (sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0)
        *cpus = fmin(*cpus, quota / period);
}

static void see_cpu_v1(const char *line, const char *folder, void *context)
{
    char path[PATH_BYTES + 128], text[64];
    double *cpus = context, quota = strtod(line, NULL);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (quota > 0 && read_first_line(path, text, sizeof text) && strtod(text, NULL) > 0)
        *cpus = fmin(*cpus, quota / strtod(text, NULL));
}

void srv_cpu_model(char out[SRV_CPU_MODEL_BYTES])
{
    /* x86-64 has a name; arm64 has numbers, which tell models apart as well. */
    static const char *const keys[] = {"model name", "CPU implementer", "CPU variant", "CPU part"};
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[512];
    size_t used = 0;
    while (file && fgets(line, sizeof line, file) && line[0] != '\n') { /* the first CPU ends at an empty line */
        const char *value = strchr(line, ':');
        for (size_t i = 0; value && i < sizeof keys / sizeof *keys; i++) {
            if (strncmp(line, keys[i], strlen(keys[i])) != 0)
                continue;
            value += 1 + strspn(value + 1, " \t");
            snprintf(out + used, SRV_CPU_MODEL_BYTES - used, "%s%.*s", used ? " " : "", (int)strcspn(value, "\n"),
                     value);
            used = strlen(out);
            break;
        }
    }
    if (file)
        fclose(file);
    if (!used)
        snprintf(out, SRV_CPU_MODEL_BYTES, "unknown");
}

unsigned srv_cpu_quota(void)
{
    cpu_set_t set;
    double cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cpus = fmin(cpus, CPU_COUNT(&set));
    walk_groups("", "/sys/fs/cgroup", "cpu.max", see_cpu_v2, &cpus);
    walk_groups("cpu", "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", see_cpu_v1, &cpus);
    return cpus > 1 ? (unsigned)ceil(cpus) : 1;
}

/* "max" or bytes; version 1 writes a huge number for no limit. */
static void see_memory(const char *line, const char *folder, void *context)
{
    (void)folder;
    double *bytes = context, limit = strtod(line, NULL);
    if (limit > 0)
        *bytes = fmin(*bytes, limit);
}

uint64_t srv_memory_limit_bytes(void)
{
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    walk_groups("", "/sys/fs/cgroup", "memory.max", see_memory, &bytes);
    walk_groups("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", see_memory, &bytes);
    return (uint64_t)bytes;
}
