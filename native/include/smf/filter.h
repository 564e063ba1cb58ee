/* Filters: functions around every call, on both sides. A filter sees a request before it is verified and
 * handled (or, with a client, before it is sent), and the reply before it is sent (or reaches the callback),
 * also when the call was deferred. It may read and rewrite payloads, change the code of the reply, or stop
 * the call.
 *
 *     static uint32_t let_in(struct smf_filter_call *call, void *context)
 *     {
 *         if (is_allowed(context, call->conn, call->method))
 *             return 0;
 *         call->problem = "this method is for the operators";
 *         return SMF_CODE_PERMISSION;
 *     }
 *     ...
 *     const struct smf_filter guard = {.size = sizeof guard, .request = let_in, .context = &list};
 *     smf_router_filter(router, NULL, NULL, &guard, &error);                // every call
 *     smf_router_filter(router, &admin_service, NULL, &audit, &error);      // of a service
 *     smf_router_filter(router, &admin_service, "Reset", &once, &error);    // of a method
 *     smf_client_filter(client, &trace, &error);                            // of a client
 *
 * Order. Requests pass the router's filters, then the service's, then the method's, of each kind in the
 * order in which they were added; replies pass them the other way round. A filter that stops a call has
 * its reply and done functions not called: those of the filters before it are.
 *
 * A call that no filter is for costs one branch. Calls of unknown methods pass none, nor do calls that reach a
 * service's dispatch function without a router. Filters run on the core's driver and never wait: what takes long
 * is for handlers, which may defer. */
#ifndef SMF_FILTER_H
#define SMF_FILTER_H

#include <stdint.h>

#include <smf/client.h>
#include <smf/service.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_FILTERS_MAX 16u /* around one method, and of one client */

/* Where a call is seen: of smf_filter_call.side. */
enum smf_filter_side {
    SMF_FILTER_SERVER = 0, /* it came in, and is answered */
    SMF_FILTER_CLIENT = 1  /* it goes out, and its reply comes in */
};

/* A call on its way through filters. The library makes it, and a newer one may have more at its end. What a
 * filter may write is said at the field; everything else it reads. The payload is rewritten by
 * smf_filter_commit and smf_filter_put. */
struct smf_filter_call {
    struct smf_core *core;           /* where the call is */
    const struct smf_method *method; /* which one */
    const uint8_t
        *payload; /* lent until the function returns, or another one is put: of the request, then of
                               the reply. NULL: there is none, as in a reply with another code than
                               SMF_CODE_OK, and in done */
    const char *problem; /* may be written: a sentence in static storage that tells the server's
                               smf_call_problem why a filter stopped the call */
    uint64_t *own;       /* may be written: a word of this filter and this call, 0 at first */
    uint64_t conn;       /* of the call */
    uint32_t size_bytes; /* of the payload; in done: of the reply as it was sent or delivered */
    uint32_t request_size_bytes; /* of the request as it came; with a client: as it was built */
    uint32_t code; /* enum smf_code of the reply; may be written in reply; 0: none came */
    int32_t
        status; /* with a client, how the call went, as smf_result.status; may be written in reply. In
                             done: whether the reply could be sent */
    uint32_t
        compressions; /* bit 1 << enum smf_compression: what the peer can read; all bits where that
                                    is not known, as at level 1 */
    uint16_t session; /* of the call */
    uint8_t side;     /* enum smf_filter_side */
    uint8_t
        compression; /* enum smf_compression of the payload. May be written: SMF_COMPRESSION_DISABLED
                                    in the place of NONE has filters leave it alone, and is sent as NONE */
    uint8_t request_compression; /* of the request as it came; with a client: as it was sent */
    uint8_t reserved[7];         /* 0 */
};

/* A filter: what is NULL is left out, but not all of it. It is copied when it is added. */
struct smf_filter {
    uint32_t size;     /* sizeof(struct smf_filter) */
    uint32_t reserved; /* 0 */

    /* A request. Returns 0: it goes on; or an enum smf_code that ends the call here: with SMF_CODE_OK the
     * reply is what this function has put, or an empty table. With a client, the callback then gets that code
     * in a later poll, and nothing is sent. */
    uint32_t (*request)(struct smf_filter_call *call, void *context);

    /* The reply, once for each request that this filter has let pass, but not for a call that could not be
     * sent. With a client, also when none came: status says why. */
    void (*reply)(struct smf_filter_call *call, void *context);

    /* All is over: the reply was sent, or its callback has returned, with the code and status that are in the
     * call; or the call could not be sent. Once for each request that this filter has let pass. */
    void (*done)(struct smf_filter_call *call, void *context);

    void *context; /* handed to all three; must outlive the router or client */
};

/* Adds a filter around the calls that a router hands out: around all of them (service is NULL), of a service
 * (method is NULL), or of one of its methods, by its name in the schema. Threads: while nobody serves. Ownership:
 * copies the filter. Errors, with *error_out filled: SMF_EINVAL (a filter without functions or size, a service
 * that was not added before, a method that it has not), SMF_ELIMIT (SMF_FILTERS_MAX), SMF_EUNSUPPORTED (a filter
 * of newer headers that sets what this library does not know), SMF_ENOMEM. Cost: allocates. */
int smf_router_filter(struct smf_router *router, const struct smf_service *service,
                      const char *method, const struct smf_filter *filter,
                      struct smf_error *error_out);

/* Adds a filter around the calls of a client. Threads: the driver, while no call is in flight. Ownership:
 * copies the filter. Errors, with *error_out filled: SMF_EINVAL (a call is in flight), and as
 * smf_router_filter. Cost: may allocate. */
int smf_client_filter(struct smf_client *client, const struct smf_filter *filter,
                      struct smf_error *error_out);

/* Gets memory of the core for another payload, of at most size_bytes; once more takes it back. *memory_out
 * begins at any address. Threads: the driver, in request and reply. Ownership: the call's, until it is over. Errors:
 * SMF_EINVAL (size_bytes is 0), SMF_ELIMIT (there will never be so much in one piece, an eighth of memory_bytes),
 * SMF_ENOMEM (memory is used up for now). Cost: none to speak of, whatever the size; pages that were never
 * used come when they are written to. */
int smf_filter_reserve(struct smf_filter_call *call, uint64_t size_bytes, uint8_t **memory_out);

/* Puts what was written to the memory of smf_filter_reserve, or its first size_bytes, in the place of the
 * payload, compressed as is said. Errors: SMF_EINVAL (nothing was reserved, or not so much, no size, no such
 * compression): then the payload stays. Threads: the driver, in request and reply. Cost: none. */
int smf_filter_commit(struct smf_filter_call *call, uint32_t size_bytes, uint32_t compression);

/* Puts a copy of bytes in the place of the payload. Threads, errors: as the two above. Cost: the copy. */
int smf_filter_put(struct smf_filter_call *call, const void *payload, uint32_t size_bytes,
                   uint32_t compression);

#ifdef __cplusplus
}
#endif
#endif
