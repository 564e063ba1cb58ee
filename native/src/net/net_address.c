#include "net/net_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define HOST_SIZE_BYTES 64

static int refuse(struct smf_error *error, const char *text, const char *why)
{
    if (error == NULL)
        return SMF_EADDRESS;
    error->status = SMF_EADDRESS;
    error->os_errno = 0;
    snprintf(error->text, sizeof error->text,
             "address \"%.80s\": %s (use 127.0.0.1:11225, [::1]:11225, :11225, unix:/path or "
             "unix:@name)",
             text, why);
    return SMF_EADDRESS;
}

static int parse_unix(const char *text, struct smf__address *address, struct smf_error *error)
{
    const char *path = text + strlen(UNIX_PREFIX);
    size_t length = strlen(path);
    struct sockaddr_un *un = (struct sockaddr_un *)&address->storage;

    if (length == 0)
        return refuse(error, text, "the socket's path is missing");
    if (strcmp(path, "@") == 0)
        return refuse(error, text, "the socket's name is missing");
    if (length >= sizeof un->sun_path)
        return refuse(error, text, "the socket's path is longer than 107 bytes");
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length);
    address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (path[0] == '@') { /* abstract: a zero byte first, none at the end */
        un->sun_path[0] = '\0';
        address->size--;
    }
    return SMF_OK;
}

static int parse_port(const char *text, uint16_t *port_out)
{
    char *end;
    long port;

    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    port = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || port < 0 || port > 65535)
        return -1;
    *port_out = (uint16_t)port;
    return 0;
}

static void set_v4(struct smf__address *address, struct in_addr host, uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&address->storage;

    in->sin_family = AF_INET;
    in->sin_addr = host;
    in->sin_port = htons(port);
    address->size = sizeof *in;
}

static void set_v6(struct smf__address *address, struct in6_addr host, uint16_t port)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->storage;

    in6->sin6_family = AF_INET6;
    in6->sin6_addr = host;
    in6->sin6_port = htons(port);
    address->size = sizeof *in6;
}

/* The colon before the port; NULL when there is none. */
static const char *port_colon(const char *text)
{
    const char *bracket = strrchr(text, ']'), *colon = strrchr(text, ':');

    return colon != NULL && text[0] == '[' && bracket != NULL && colon < bracket ? NULL : colon;
}

/* Copies the host part, without the brackets of an IPv6 address. Returns NULL, or what is wrong. */
static const char *split_host(const char *text, const char *colon, char *host_out)
{
    size_t length = (size_t)(colon - text);

    if (text[0] == '[') {
        if (length < 3 || text[length - 1] != ']')
            return "an IPv6 address belongs in brackets";
        text++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return "an IPv6 address belongs in brackets";
    }
    if (length >= HOST_SIZE_BYTES)
        return "the host is not a numeric address";
    memcpy(host_out, text, length);
    host_out[length] = '\0';
    return NULL;
}

/* Splits "host:port". Returns NULL, or what is wrong. */
static const char *split(const char *text, enum smf__address_use use, char *host_out,
                         uint16_t *port_out)
{
    const char *colon = port_colon(text), *wrong;

    if (strstr(text, "://") != NULL)
        return "an address is no URL";
    if (colon == NULL)
        return "the port is missing";
    wrong = split_host(text, colon, host_out);
    if (wrong != NULL)
        return wrong;
    if (colon[1] == '\0')
        return "the port is missing";
    if (parse_port(colon + 1, port_out) != 0)
        return "the port is not a number from 0 to 65535";
    if (*port_out == 0 && use == SMF__ADDRESS_CONNECT)
        return "port 0 is for listening; say the port that the server has";
    return NULL;
}

int smf__address_parse(const char *text, enum smf__address_use use,
                       struct smf__address *address_out, struct smf_error *error_out)
{
    char host[HOST_SIZE_BYTES];
    struct in_addr v4;
    struct in6_addr v6;
    uint16_t port;
    const char *wrong;

    memset(address_out, 0, sizeof *address_out);
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(text, address_out, error_out);
    wrong = split(text, use, host, &port);
    if (wrong != NULL)
        return refuse(error_out, text, wrong);
    if (host[0] == '\0' && use == SMF__ADDRESS_LISTEN) {
        address_out->any = 1;
        set_v6(address_out, in6addr_any, port);
        return SMF_OK;
    }
    if (host[0] == '\0' || strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    if (inet_pton(AF_INET, host, &v4) == 1)
        set_v4(address_out, v4, port);
    else if (inet_pton(AF_INET6, host, &v6) == 1)
        set_v6(address_out, v6, port);
    else
        return refuse(error_out, text, "the host is not a numeric address");
    return SMF_OK;
}

static uint16_t port_of(const struct sockaddr_storage *storage)
{
    return storage->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)storage)->sin6_port
                                          : ((const struct sockaddr_in *)storage)->sin_port;
}

static int is_any(const struct sockaddr_storage *storage)
{
    if (storage->ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)storage)->sin6_addr);
    return ((const struct sockaddr_in *)storage)->sin_addr.s_addr == htonl(INADDR_ANY);
}

int smf__address_overlaps(const struct sockaddr_storage *bound, socklen_t bound_size,
                          const struct smf__address *address)
{
    const struct sockaddr_storage *other = &address->storage;

    if ((bound->ss_family == AF_UNIX) != (other->ss_family == AF_UNIX))
        return 0;
    if (bound->ss_family == AF_UNIX)
        return bound_size == address->size && memcmp(bound, other, bound_size) == 0;
    if (port_of(bound) != port_of(other))
        return 0;
    if (is_any(bound) || is_any(other))
        return 1;
    if (bound->ss_family != other->ss_family)
        return 0;
    return bound->ss_family == AF_INET6 ? memcmp(&((const struct sockaddr_in6 *)bound)->sin6_addr,
                                                 &((const struct sockaddr_in6 *)other)->sin6_addr,
                                                 sizeof(struct in6_addr)) == 0
                                        : ((const struct sockaddr_in *)bound)->sin_addr.s_addr ==
                                              ((const struct sockaddr_in *)other)->sin_addr.s_addr;
}

static void format_unix(const struct sockaddr_un *un, socklen_t size, char *text_out,
                        size_t text_size)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);

    if (size <= head)
        snprintf(text_out, text_size, UNIX_PREFIX "(unnamed)");
    else if (un->sun_path[0] == '\0')
        snprintf(text_out, text_size, UNIX_PREFIX "@%.*s", (int)(size - head - 1),
                 un->sun_path + 1);
    else
        snprintf(text_out, text_size, UNIX_PREFIX "%.*s", (int)(size - head), un->sun_path);
}

void smf__address_format(const struct sockaddr_storage *storage, socklen_t size, char *text_out,
                         size_t text_size)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (storage->ss_family == AF_UNIX) {
        format_unix((const struct sockaddr_un *)storage, size, text_out, text_size);
    } else if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(text_out, text_size, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text_out, text_size, "%s:%u", host, ntohs(in->sin_port));
    } else {
        snprintf(text_out, text_size, "?");
    }
}
