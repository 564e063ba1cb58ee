/* What is kept of a call that is served beside struct smf_call, when there is something to keep: the metadata
 * of its reply, and, when it is deferred, whether its caller still waits. An ordinary call has no record.
 *
 * Deferred calls of level 2 are found by connection and session when their caller gives up, and by
 * connection when that ends. */
#ifndef SMF_SERVICE_RECORD_H
#define SMF_SERVICE_RECORD_H

#include <smf/metadata.h>
#include <smf/service.h>

#include "core/core.h"
#include "rpc/rpc.h"

/* What a call's state may be; whatever else is an answered one. */
enum smf__call_state {
    SMF__CALL_UNSEEN = 1, /* no handler has it yet */
    SMF__CALL_SERVED,     /* by a handler, which has not returned */
    SMF__CALL_DEFERRED,   /* what the handler has is not the call any more: */
    SMF__CALL_LATER,      /* this is */
    SMF__CALL_ANSWERED
};

static inline int smf__call_is_open(const struct smf_call *call)
{
    return call->state == SMF__CALL_SERVED || call->state == SMF__CALL_LATER;
}

#define SMF__RECORD_BLOCK_SIZE_BYTES 248u /* of metadata that needs no memory of the core's */

struct smf_call_record {
    struct smf_call_record *next; /* of its bucket; of those that nobody uses */
    struct smf__link
        of_conn; /* with the other deferred calls of its connection, in that one's own record,
                                     which has session 0 */
    uint64_t conn;
    uint16_t session;
    uint8_t deferred;
    uint8_t hashed;           /* it is found by its session */
    uint32_t cancelled;       /* why its caller does not wait any more; 0: he does */
    smf_call_cancel function; /* is told of it; or NULL */
    void *context;
    struct smf_metadata_writer writer; /* of the reply's block; no bytes: nothing was added */
    struct smf_buffer *grown;          /* holds a block that is larger than: */
    uint8_t block[SMF__RECORD_BLOCK_SIZE_BYTES];
};

/* A record for a call; NULL: there is no memory. Cost: a few nanoseconds; allocates when more calls than
 * ever before have one. */
struct smf_call_record *smf__record_take(struct smf_core *core);

/* NULL is nothing. */
void smf__record_give(struct smf_core *core, struct smf_call_record *record);

/* The call is deferred: its caller may give up. Without memory he may in vain. */
void smf__record_defer(struct smf_core *core, struct smf_call_record *record, uint64_t conn,
                       uint16_t session);

/* How many records are found by connection: one for each connection with deferred calls, and one for each of
 * those that has a session. */
uint32_t smf__records_found(const struct smf_core *core);

/* Fills a call, whose problem and context are set, from a request. */
void smf__call_fill(struct smf_call *call, struct smf_core *core, const struct smf_event *event,
                    const struct smf_method *method);

/* Has a request pass the filters of core->filters, before anybody looks into it. Returns 0, or the code that
 * one has stopped it with. */
uint32_t smf__call_pass_filters(struct smf_call *call, uint8_t *compression);
/* Tells the server's owner why a call is answered with a code that is not the handler's. Returns the code. */
uint32_t smf__call_tell(const struct smf_call *call, uint32_t code, const char *text);
/* Has a call end before a handler sees it: tells the server's owner why, and at level 2 its caller. */
uint32_t smf__call_refuse(struct smf_call *call, uint32_t code, const char *text);

/* More calls that were deferred have no answer yet than may run, as their callers leave and come back: refuses this
 * one. Returns 0, or the code. */
uint32_t smf__call_refuse_over_limit(struct smf_call *call);

/* Is no table of this kind without some field? */
int smf__table_has_required(const struct smf_flat_table *table);

/* The block of the reply; NULL, of 0 bytes: there is none. */
const uint8_t *smf__record_block(struct smf_call_record *record, uint32_t *size_out);

#endif
