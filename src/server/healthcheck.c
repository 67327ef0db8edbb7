/*
 * healthcheck.c - one GET over a plain socket, a few seconds at most, and an exit code.
 */
#include "server/healthcheck.h"

#include "server/config.h"
#include "server/lifecycle.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT_S = 5, OPTIONS_MAX = 64 };

/* The status code of the answer, 0 when there is none, and then *why. */
static int probe(const char *host, uint16_t port, const char *path, const char **why)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    bool is_v6 = strchr(host, ':') != NULL;
    if (is_v6) {
        *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        inet_pton(AF_INET6, strcmp(host, "::") == 0 ? "::1" : host, &v6->sin6_addr);
    } else {
        *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        inet_pton(AF_INET, strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : host, &v4->sin_addr);
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    char text[512];
    int code = 0;
    size_t used = 0;
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: healthcheck\r\nConnection: close\r\n\r\n", path);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0 ||
        connect(fd, (struct sockaddr *)&address, is_v6 ? sizeof *v6 : sizeof *v4) != 0 ||
        send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) {
        *why = strerror(errno);
    } else {
        ssize_t n;
        while (used < sizeof text - 1 && (n = recv(fd, text + used, sizeof text - 1 - used, 0)) > 0) {
            used += (size_t)n;
            text[used] = '\0';
            if (strchr(text, '\n'))
                break;
        }
        text[used] = '\0';
        *why = "no HTTP answer in time";
        if (sscanf(text, "HTTP/1.%*d %d", &code) != 1)
            code = 0;
    }
    if (fd >= 0)
        close(fd);
    return code;
}

static uint16_t port_from_file(const char *path)
{
    unsigned port = 0;
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%5u", &port) != 1 || port > 65535)
            port = 0;
        fclose(file);
    }
    return (uint16_t)port;
}

int srv_healthcheck(int argc, char *const *argv, char *const *environment)
{
    /* The daemon's options, minus --ready, plus leave to name any address: nothing is served here. */
    char *options[OPTIONS_MAX];
    char insecure[] = "--insecure";
    int n = 0;
    bool ready = false;
    for (int i = 0; i < argc && n < OPTIONS_MAX - 1; i++) {
        if (i > 0 && strcmp(argv[i], "--ready") == 0)
            ready = true;
        else
            options[n++] = argv[i];
    }
    options[n++] = insecure;
    srv_config config;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = srv_config_load(n, options, environment, &config, &error);
    if (status != HOP_OK) {
        printf("healthcheck: %s\n", error.text);
        return status == HOP_E_UNKNOWN ? SRV_EXIT_USAGE : SRV_EXIT_CONFIG;
    }
    if (config.help) {
        printf("usage: hopfieldd healthcheck [--ready] [--listen ADDR:PORT]\n");
        return SRV_EXIT_OK;
    }
    uint16_t port = config.port == 0 && config.port_file[0] ? port_from_file(config.port_file) : config.port;
    const char *path = ready ? "/readyz" : "/livez", *why = "";
    int code = port ? probe(config.host, port, path, &why) : 0;
    if (!port)
        why = "the port is 0 and no port file says which";
    if (code == 0)
        printf("%s %s port %u: failed: %s\n", path, config.host, port, why);
    else
        printf("%s %s port %u: %d\n", path, config.host, port, code);
    return code == 200 ? SRV_EXIT_OK : SRV_EXIT_FAILURE;
}
