#include "net/net_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

int smf__net_error(struct smf_error *error_out, int status, int os_errno, const char *text,
                   const char *advice)
{
    if (error_out == NULL)
        return status;
    error_out->status = status;
    error_out->os_errno = os_errno;
    snprintf(error_out->text, sizeof error_out->text, "%.80s: %s%s%s", text, strerror(os_errno),
             *advice ? ": " : "", advice);
    return status;
}

int smf__net_system_error(struct smf_error *error_out, int os_errno, const char *text)
{
    if (os_errno == EMFILE || os_errno == ENFILE)
        return smf__net_error(error_out, SMF_ELIMIT, os_errno, text,
                              "raise the limit on open files (ulimit -n)");
    return smf__net_error(error_out, SMF_ESYSTEM, os_errno, text, "");
}

static int is_unix(const struct smf__address *address)
{
    return address->storage.ss_family == AF_UNIX;
}

/* The address is a path at which there is something else than a socket. */
static int is_other_file(const struct smf__address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    struct stat status;

    return is_unix(address) && un->sun_path[0] != '\0' && lstat(un->sun_path, &status) == 0 &&
           !S_ISSOCK(status.st_mode);
}

static const char *taken_advice(const struct smf__address *address, int ours)
{
    if (ours)
        return "this engine listens there already";
    if (is_other_file(address))
        return "what is there is no socket; remove it or choose another path";
    if (is_unix(address))
        return "another server listens there, of this program or another; stop it or choose "
               "another "
               "path";
    return "another server listens there, of this program or another; stop it or choose another "
           "port (0: any)";
}

int smf__net_listen_error(struct smf_error *error_out, int os_errno, const char *text,
                          const struct smf__address *address, int ours)
{
    switch (os_errno) {
    case EADDRINUSE:
        return smf__net_error(error_out, SMF_EADDRINUSE, os_errno, text,
                              taken_advice(address, ours));
    case EADDRNOTAVAIL:
        return smf__net_error(error_out, SMF_EADDRESS, os_errno, text,
                              "not an address of this machine");
    case EAFNOSUPPORT:
        return smf__net_error(error_out, SMF_EADDRESS, os_errno, text,
                              "this machine has no IPv6; use an IPv4 address");
    case ENOENT:
        return smf__net_error(error_out, SMF_EADDRESS, os_errno, text,
                              "make the folder first, or choose another path");
    case ENOTDIR:
        return smf__net_error(error_out, SMF_EADDRESS, os_errno, text,
                              "a part of the path is a file; choose another path");
    case EACCES:
    case EPERM:
        return smf__net_error(error_out, SMF_EPERMISSION, os_errno, text,
                              is_unix(address)
                                  ? "this user may not make files in that folder; choose another"
                                  : "ports below 1024 need privileges; choose another port");
    default:
        return smf__net_system_error(error_out, os_errno, text);
    }
}

int smf__net_connect_status(int os_errno)
{
    switch (os_errno) {
    case ECONNREFUSED:
    case ENOENT:
        return SMF_EREFUSED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENOTDIR:
        return SMF_EADDRESS;
    case EACCES:
    case EPERM:
        return SMF_EPERMISSION;
    case ETIMEDOUT:
        return SMF_ETIMEOUT;
    case EMFILE:
    case ENFILE:
        return SMF_ELIMIT;
    default:
        return SMF_ESYSTEM;
    }
}

int smf__net_connect_error(struct smf_error *error_out, int os_errno, const char *text,
                           const struct smf__address *address)
{
    const char *advice = "";
    int status = smf__net_connect_status(os_errno);

    if (status == SMF_EREFUSED)
        advice = is_other_file(address) ? "what is there is no socket" : "nobody listens there";
    else if (os_errno == ENOTDIR)
        advice = "a part of the path is a file; nobody listens there";
    else if (status == SMF_EADDRESS)
        advice = "no way leads there from this machine";
    else if (status == SMF_EPERMISSION)
        advice = is_unix(address) ? "this user may not write to that socket, or enter its folder"
                                  : "a firewall of this machine forbids it, or it is a broadcast "
                                    "address";
    else if (os_errno == EAGAIN)
        advice = "too many wait there to be accepted; try again later";
    else
        return smf__net_system_error(error_out, os_errno, text);
    return smf__net_error(error_out, status, os_errno, text, advice);
}
