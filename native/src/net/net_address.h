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

/* Parses "127.0.0.1:port", "[::1]:port", ":port", "localhost:port", "unix:/path", "unix:@abstract".
 * Returns 0 or SMF_EADDRESS with *error_out filled. */
int smf__address_parse(const char *text, struct smf__address *address_out,
                       struct smf_error *error_out);

/* Writes an address the way smf__address_parse reads it. */
void smf__address_format(const struct sockaddr_storage *storage, socklen_t size, char *text_out,
                         size_t text_size);

#endif
