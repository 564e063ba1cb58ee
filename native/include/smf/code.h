/* The codes with which calls are answered: smf_event.meta of a reply. They follow HTTP; docs/wire.md has
 * the list. A code other than SMF_CODE_OK comes with an empty table: 12 bytes that any reader of
 * FlatBuffers takes for a table without fields. */
#ifndef SMF_CODE_H
#define SMF_CODE_H

#include <stdint.h>

#include <smf/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a call went. */
enum smf_code {
    SMF_CODE_OK = 200,              /* well */
    SMF_CODE_BAD_REQUEST = 400,     /* the payload is not what the method takes */
    SMF_CODE_UNAUTHENTICATED = 401, /* who calls is not known */
    SMF_CODE_PERMISSION = 403,      /* who calls may not */
    SMF_CODE_NOT_FOUND = 404,       /* no such method, or what a handler did not find */
    SMF_CODE_DEADLINE = 408,        /* its time has passed */
    SMF_CODE_CONFLICT = 409,        /* somebody else was first */
    SMF_CODE_PRECONDITION = 412,    /* things are not as the caller demands */
    SMF_CODE_TOO_LARGE = 413,       /* the payload is over a limit of the method */
    SMF_CODE_MISDIRECTED = 421,     /* it is served elsewhere */
    SMF_CODE_LIMIT = 429,           /* the caller is over a limit */
    SMF_CODE_CANCELLED = 499,       /* the caller does not want it any more */
    SMF_CODE_INTERNAL = 500,        /* the handler failed */
    SMF_CODE_NOT_IMPLEMENTED = 501, /* known and not served, or a compressed payload */
    SMF_CODE_UNAVAILABLE = 503,     /* draining, or not connected */
    SMF_CODE_LEVEL = 505,           /* the level of the wire format is not supported */
    SMF_CODE_OUT_OF_SPACE = 507     /* nothing more can be stored */
};

/* The code's meaning in a few words, "not found". Threads: any. Ownership: static storage. Errors:
 * "unknown code". Cost: none. */
const char *smf_code_name(uint32_t code);

/* Answers a request with a code and an empty table, as smf_core_send does. Threads: the driver. Errors:
 * as smf_core_send. Cost: no system call. */
int smf_core_send_code(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t code);

#ifdef __cplusplus
}
#endif
#endif
