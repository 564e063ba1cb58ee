/* What a failed system call of the kernel's sockets means: a status, and a line for people that names
 * the cause and says what to do. */
#ifndef SMF_NET_ERROR_H
#define SMF_NET_ERROR_H

#include <smf/status.h>

#include "net/net_address.h"

/* Each returns the status, and fills *error_out unless it is NULL. text: the address as it was given. */

int smf__net_error(struct smf_error *error_out, int status, int os_errno, const char *text,
                   const char *advice);

/* Of what is done for no address in particular. */
int smf__net_system_error(struct smf_error *error_out, int os_errno, const char *text);

/* ours: a listener of the same engine has the address. */
int smf__net_listen_error(struct smf_error *error_out, int os_errno, const char *text,
                          const struct smf__address *address, int ours);

int smf__net_connect_error(struct smf_error *error_out, int os_errno, const char *text,
                           const struct smf__address *address);

/* The status of a connection that failed later, of which the program learns no more than that. */
int smf__net_connect_status(int os_errno);

#endif
