/* Status codes and error texts.
 *
 * Every function of this library that can fail returns 0 (or a count) on success and one of these
 * negative codes otherwise. Nothing is kept per thread; where a sentence helps a person, the caller
 * passes a struct smf_error and gets the sentence there, or NULL if it wants none. */
#ifndef SMF_STATUS_H
#define SMF_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* What a function returns. */
enum smf_status {
    SMF_OK = 0,            /* done */
    SMF_EINVAL = -1,       /* an argument is out of its documented range */
    SMF_ENOMEM = -2,       /* the memory budget, or the machine's memory, is used up */
    SMF_EADDRINUSE = -3,   /* somebody else listens on that address */
    SMF_EADDRESS = -4,     /* the address can't be parsed, or is not of this machine */
    SMF_EPERMISSION = -5,  /* the operating system refused */
    SMF_ECLOSED = -6,      /* the core or connection is closed */
    SMF_ELIMIT = -7,       /* a configured limit is reached */
    SMF_ESYSTEM = -8,      /* a system call failed; struct smf_error has its errno */
    SMF_EREFUSED = -9,     /* nobody listens there */
    SMF_ETIMEOUT = -10,    /* no answer in time */
    SMF_EUNSUPPORTED = -11 /* this machine or this build can't do that */
};

#define SMF_ERROR_TEXT_SIZE_BYTES 256 /* of smf_error.text, with its end */

/* Why something failed, for people. Filled by the callee; the caller's memory. */
struct smf_error {
    int status;                           /* enum smf_status */
    int os_errno;                         /* errno of the system call that failed, or 0 */
    char text[SMF_ERROR_TEXT_SIZE_BYTES]; /* one line that says what to do; always terminated */
};

/* Returns the short name of a status, for example "SMF_ENOMEM".
 *
 * Threads: any. Ownership: static storage. Errors: "SMF_E?" for an unknown code. Cost: none. */
const char *smf_status_name(int status);

#ifdef __cplusplus
}
#endif
#endif
