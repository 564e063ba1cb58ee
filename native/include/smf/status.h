/* Status codes and error texts.
 *
 * Every function of this library that can fail returns 0 (or a count) on success and one of these
 * negative codes otherwise. Nothing is kept per thread; where a sentence helps a person, the caller
 * passes a struct smf_error and gets the sentence there, or NULL if it wants none.
 *
 * A NULL for what a function can't do without is SMF_EINVAL where that costs nothing (opening, listening,
 * connecting, posting), and ends the program where every call would pay for it (polling, sending). */
#ifndef SMF_STATUS_H
#define SMF_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* What a function returns. */
enum smf_status {
    SMF_OK = 0,          /* done */
    SMF_EINVAL = -1,     /* an argument is out of its documented range: the same call fails again */
    SMF_ENOMEM = -2,     /* the memory budget, or the machine's memory, is used up */
    SMF_EADDRINUSE = -3, /* the address is taken, by a listener or by a file */
    SMF_EADDRESS = -4, /* no such address: it can't be read, is elsewhere, or no way leads there */
    SMF_EPERMISSION = -5,   /* the operating system refused */
    SMF_ECLOSED = -6,       /* the core or connection is closed */
    SMF_ELIMIT = -7,        /* a configured limit is reached */
    SMF_ESYSTEM = -8,       /* a system call failed; struct smf_error has its errno */
    SMF_EREFUSED = -9,      /* nobody listens there */
    SMF_ETIMEOUT = -10,     /* no answer in time */
    SMF_EUNSUPPORTED = -11, /* this machine or this build can't do that */
    SMF_EIO = -12,          /* the disk failed; what the call covered may be lost */
    SMF_ENOSPACE = -13,     /* the disk is full */
    SMF_EQUOTA = -14,       /* the quota of this user, group or project is used up */
    SMF_EREADONLY = -15,    /* the file system, or the file, can only be read */
    SMF_ENOTFOUND = -16,    /* no file of that name */
    SMF_EEXIST = -17,       /* there is a file of that name already */
    SMF_ELOCKED = -18,      /* another process, or another part of this one, has it open */
    SMF_ECANCELLED = -19    /* it was given up by the program itself */
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
