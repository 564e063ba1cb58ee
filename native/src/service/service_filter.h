/* A call's way through a stack of filters, the same on both sides.
 *
 *     filtered = smf__filter_begin(core, filters)      a record, or NULL: no memory
 *     ... fill filtered->call from the request ...
 *     code = smf__filter_request(filtered)             0: it goes on
 *     ... fill filtered->call from the reply, with smf__filter_turn ...
 *     smf__filter_reply(filtered)
 *     smf__filter_done(filtered)                       gives the record back */
#ifndef SMF_SERVICE_FILTER_H
#define SMF_SERVICE_FILTER_H

#include <smf/filter.h>

#include "core/core.h"
#include "service/service_send.h"

#define SMF__FILTERS_ADVICE "no more than 16 filters may be around a method: join some of them"

/* A stack, from the outermost to the innermost. */
struct smf__filters {
    uint32_t count;
    uint32_t of_router;  /* the first ones */
    uint32_t of_service; /* those behind them; the rest is the method's */
    struct smf_filter list[SMF_FILTERS_MAX];
};

/* A call that passes filters. Kept by its core when it is over, for the next one. */
struct smf__filtered {
    struct smf_filter_call call; /* first: filters get its address */
    struct smf__spare spare;     /* while nobody uses it */
    const struct smf__filters *filters;
    struct smf_buffer *request;  /* holds a request that was rewritten, until the call is over */
    struct smf_buffer *put;      /* holds the payload that was put; NULL: nothing was */
    struct smf_buffer *reserved; /* of smf_filter_reserve */
    uint32_t passed;             /* filters that have let the request pass */
    uint32_t stopped;            /* the code with which the next one did not; 0 */
    uint32_t commits;            /* payloads that were put */
    uint32_t blocks;             /* of metadata, likewise */
    struct smf_buffer
        *request_block;       /* holds the request's, if it was put, until the call is over */
    struct smf_buffer *block; /* likewise, of the reply */
    uint64_t own[SMF_FILTERS_MAX];
};

/* Checks a filter and copies it, as of this library's headers. Returns 0, or a status with *error_out
 * filled. */
int smf__filter_copy(const struct smf_filter *filter, struct smf_filter *copy_out,
                     struct smf_error *error_out);

/* Puts a filter into a stack that has room, behind index others. */
void smf__filters_insert(struct smf__filters *filters, uint32_t index,
                         const struct smf_filter *filter);

/* Cost: a few nanoseconds; allocates when more calls are under way than ever before. */
struct smf__filtered *smf__filter_begin(struct smf_core *core, const struct smf__filters *filters);

/* Has the request pass. Returns 0, or the code of the filter that stopped it; call.payload is then what that
 * one has put, or NULL. */
uint32_t smf__filter_request(struct smf__filtered *filtered);

/* From the request to the reply, which has no payload and no metadata yet. */
void smf__filter_turn(struct smf__filtered *filtered);

void smf__filter_reply(struct smf__filtered *filtered);

/* What the peer can read, as far as it is known; asked: a connection of level 2 that is not up yet. */
uint32_t smf__filter_compressions(const struct smf_core *core, uint64_t conn, int asked);

/* Has a message go with the metadata that the filters have left, in a connection of level 2. */
void smf__filter_metadata_of(const struct smf__filtered *filtered, struct smf__message *message);

/* Sends the payload that was put. Returns as smf_core_send. Cost: a copy of a small one. */
int smf__filter_send(struct smf__filtered *filtered, struct smf__message *message);

/* Ends the call: call.code and call.status say how. */
void smf__filter_done(struct smf__filtered *filtered);

static inline int smf__is_compressed(uint32_t compression)
{
    return compression == SMF_COMPRESSION_ZSTD || compression == SMF_COMPRESSION_LZ4;
}

#endif
