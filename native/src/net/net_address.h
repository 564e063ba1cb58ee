/* Addresses as text <-> socket addresses. Numeric only: names are resolved by whoever has a resolver.
 */
#ifndef SMF_NET_ADDRESS_H
#define SMF_NET_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

#include <smf/status.h>

struct smf__address {
    struct sockaddr_storage storage;
    socklen_t size;
    int any; /* ":port": every address of the machine, IPv6 and IPv4 */
};

enum smf__address_use { SMF__ADDRESS_LISTEN, SMF__ADDRESS_CONNECT };

/* Parses "127.0.0.1:port", "[::1]:port", ":port", "localhost:port", "unix:/path", "unix:@abstract".
 * localhost is 127.0.0.1. ":port" is every address of the machine to listen on, and 127.0.0.1 to connect
 * to. Port 0 is refused where there is nobody who could choose one. Returns 0 or SMF_EADDRESS with
 * *error_out filled. */
int smf__address_parse(const char *text, enum smf__address_use use,
                       struct smf__address *address_out, struct smf_error *error_out);

/* Can't both be listened on. */
int smf__address_overlaps(const struct sockaddr_storage *bound, socklen_t bound_size,
                          const struct smf__address *address);

/* Writes an address the way smf__address_parse reads it. */
void smf__address_format(const struct sockaddr_storage *storage, socklen_t size, char *text_out,
                         size_t text_size);

#endif
