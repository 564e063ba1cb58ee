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

/* Which message of a stream: smf_filter_call.message. */
enum smf_filter_message {
    SMF_FILTER_MESSAGE_NONE = 0, /* none: the call itself */
    SMF_FILTER_MESSAGE_IN = 1,   /* it came */
    SMF_FILTER_MESSAGE_OUT = 2   /* it goes out */
};

/* A call on its way through filters. The library makes it, and a newer one may have more at its end.
 *
 * The payload is that of the request, then that of the reply; NULL in done, and where a reply has another code
 * than SMF_CODE_OK. It is lent until the function returns, or puts another one (smf_filter_commit,
 * smf_filter_put). Of the fields, filters write to *own, to problem and compression, and in reply to code and,
 * with a client, status; SMF_COMPRESSION_DISABLED in the place of NONE has the filters to come leave the
 * payload alone, and is sent as NONE. The rest they read.
 *
 * status is, with a client, that of smf_result; on a server, in done, how sending the reply went. problem is what
 * the server's smf_call_problem is told. compressions has all bits set where nobody knows, as at level 1. */
struct smf_filter_call {
    struct smf_core *core;           /* where the call is */
    const struct smf_method *method; /* which one */
    const uint8_t *payload;          /* [size_bytes], or NULL */
    const char *problem;             /* why a filter has stopped the call; static storage */
    uint64_t *own;                   /* a word of this filter and this call, 0 at first */
    uint64_t conn;                   /* of the call */
    uint32_t size_bytes;             /* of the payload; in done, of the reply as it left */
    uint32_t request_size_bytes;     /* of the request as it came, or as a client has built it */
    uint32_t code;                   /* enum smf_code of the reply; 0 where none came */
    int32_t status;                  /* how the call went */
    uint32_t compressions;           /* bit 1 << enum smf_compression of what the peer can read */
    uint16_t session;                /* of the call */
    uint8_t side;                    /* enum smf_filter_side */
    uint8_t compression;             /* enum smf_compression of the payload */
    uint8_t request_compression;     /* of the request as it came, or as a client has sent it */
    uint8_t level;                   /* of the connection: 1 or 2 */
    uint8_t flags;                   /* of the request: SMF_FRAME_ONE_WAY, SMF_FRAME_STREAM, or 0 */
    uint8_t message;                 /* enum smf_filter_message */
    uint8_t reserved[4];             /* 0 */
    const uint8_t *metadata; /* the block that goes with payload: smf_filter_metadata; or NULL */
    uint64_t deadline_ns;    /* when the caller stops waiting, as smf_turn.now_ns; 0: not known */
};

/* A filter. Functions that are NULL are left out, but not all of them. It is copied when it is added.
 *
 * request returns 0: the call goes on; or an enum smf_code, which ends it here: with SMF_CODE_OK the reply is what
 * the function has put, or an empty table. With a client nothing is sent then, and the callback gets the code in a
 * later poll.
 *
 * reply runs once for each request that the filter has let pass, but for a call that could not be sent. With a
 * client it runs also when no reply came, and status says why; but not for one-way messages.
 *
 * done runs once for each request that the filter has let pass, when all is over: the reply was sent, or the
 * callback has returned, with the code and status that the call says; or it could not be sent.
 *
 * Streams (smf/stream.h; flags has SMF_FRAME_STREAM). request runs once, for the opening, without a payload, and may
 * refuse it; reply and done once, at the end, without one. Payloads that these put have no effect. message
 * runs for every message, both ways, in the order of requests for those that go to the server and the other way
 * round for those that come from it, when it is handed out or sent; call->message says which. It may put another
 * payload (no metadata), and returns 0, or an enum smf_code that ends the stream: on a client this is the code of
 * its result. Messages go past filters without this function. */
struct smf_filter {
    uint32_t size;     /* sizeof(struct smf_filter) */
    uint32_t reserved; /* 0 */
    uint32_t (*request)(struct smf_filter_call *call, void *context); /* lets pass, or stops */
    void (*reply)(struct smf_filter_call *call, void *context);       /* sees the outcome */
    void (*done)(struct smf_filter_call *call, void *context); /* is told that the call is over */
    void *context; /* handed to all of them; must outlive the router or client */
    uint32_t (*message)(struct smf_filter_call *call, void *context); /* of streams: see above */
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

/* The metadata that goes with the payload: the request's, then the reply's. Returns 1; or 0, and *block_out is
 * a block without entries. Threads: the driver. Ownership: lent until the function returns, or another block
 * is put. Cost: one pass over the block. */
int smf_filter_metadata(const struct smf_filter_call *call, struct smf_metadata *block_out);

/* Puts a copy of a block, made by smf_metadata_end, in the place of the metadata; NULL, of 0 bytes: there is none
 * any more. The time left in it does not count. At level 1 none is sent, but what is put in the place of a
 * request's reaches its handler, and that of a reply its callback. Errors: SMF_EINVAL (no such block),
 * SMF_ENOMEM: then it stays. Threads: the driver, in request and reply. Cost: the copy. */
int smf_filter_put_metadata(struct smf_filter_call *call, const void *block, uint32_t size_bytes);

/* Puts the metadata with one entry more, behind the others. Errors: SMF_EINVAL (not a key: see smf/metadata.h),
 * SMF_ELIMIT (more than a block holds), SMF_ENOMEM: then it stays. Threads: the driver, in request and reply. Cost:
 * a copy of the block. */
int smf_filter_add_metadata(struct smf_filter_call *call, const char *key, const void *value,
                            size_t value_size_bytes);

#ifdef __cplusplus
}
#endif
#endif
