/* Serving, for code that smfc generates: handlers that take a table and answer with one. A server in
 * whole, with the code of schema/demo/smf_demo.fbs:
 *
 *     static uint32_t get(struct smf_call *call, const struct smf_gen_demo_Request *request,
 *                         void *context)
 *     {
 *         struct smf_flat_builder *b = &call->reply;
 *         struct smf_flat_string_ref name =
 *             smf_flat_build_copy(b, smf_gen_demo_Request_name(request));
 *
 *         smf_gen_demo_Response_start_table(b);
 *         smf_gen_demo_Response_add_name(b, name);
 *         smf_gen_demo_Response_finish_root(b, smf_gen_demo_Response_end_table(b));
 *         return SMF_CODE_OK;
 *     }
 *     ...
 *     struct smf_gen_demo_SmfStorage_server storage = {0};
 *     storage.Get = get;
 *     smf_router_open(&router);
 *     smf_gen_demo_SmfStorage_serve(router, &storage, &error);
 *     smf_core_run(core, smf_router_handle, router);
 *
 * A handler returns a code, enum smf_code, or has called smf_call_defer. 0 is not success: that, as any
 * other value outside of 100 to 599, is answered with 500.
 *
 * A request is verified before a handler sees it, unless the server says that it trusts its peers
 * (unverified). A malformed one is answered with 400, a method without a handler with 501, an unknown
 * method with 404, a compressed payload with 501 unless a filter has decompressed it
 * (smf/filter.h), and a call whose deadline has passed with 408. At level 2 these answers are refusals: they say
 * that no handler saw the call, and why it was refused. What filters can't change is looked at before they
 * run.
 *
 * Methods that stream have handlers of another kind, which smf/stream.h describes; they are served by the same
 * routers, around the same filters.
 *
 * Level 2 of the wire (docs/wire.md) brings metadata both ways, deadlines, errors that say more than a
 * code, and callers who give up. At level 1 there is none of it: what a handler says of it is left out, and
 * what it asks for is not there. */
#ifndef SMF_SERVICE_H
#define SMF_SERVICE_H

#include <stdint.h>

#include <smf/code.h>
#include <smf/core.h>
#include <smf/flat_build.h>
#include <smf/flat_verify.h>
#include <smf/metadata.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_METHOD_SLOW 1u       /* of smf_method.flags: may take long */
#define SMF_METHOD_IDEMPOTENT 2u /* may be called again when nobody knows whether it has run */
#define SMF_METHOD_STREAM_IN 4u  /* takes many requests: smf/stream.h */
#define SMF_METHOD_STREAM_OUT 8u /* answers with many replies */

/* One method of a service; static storage. */
struct smf_method {
    const char *name;                 /* as in the schema */
    const char *in_name;              /* of the requests' table, with its namespace */
    const char *out_name;             /* of the replies' table, with its namespace */
    const struct smf_flat_table *in;  /* what a request is */
    const struct smf_flat_table *out; /* what a reply is */
    uint32_t id;                      /* on the wire */
    uint32_t flags;                   /* SMF_METHOD_… */
    uint64_t timeout_us;              /* for a call that names none, or 0 */
};

/* One service; static storage. */
struct smf_service {
    const char *name;                 /* as on the wire */
    const char *full_name;            /* with its namespace */
    const char *source;               /* the schema's file */
    const struct smf_method *methods; /* [method_count] */
    uint32_t method_count;            /* how many */
    uint32_t generated;               /* SMF_GENERATED_VERSION of the code */
    /* Serves an event and returns 1 if it is a request of the service; others go to smf_call_event, and it
     * returns what that returns. */
    int (*dispatch)(const void *server, struct smf_core *core, const struct smf_event *event);
};

/* What a handler returns when it answers later: see smf_call_defer. */
#define SMF_CALL_LATER 1u

struct smf_call;
struct smf_call_record;
struct smf_filter_call;

/* Is told, before the answer is sent, why a call is answered with a code that its handler did not
 * return: with which one, and a sentence, lent until it returns. call->method says what was called. For
 * a log; it answers nothing. context: that of the handlers. Threads: the driver. */
typedef void (*smf_call_problem)(const struct smf_call *call, uint32_t code, const char *text,
                                 void *context);

/* A call that is being served. The reply is built in the core's own memory, from which it is sent.
 * deadline_ns is by the clock of smf_turn.now_ns, CLOCK_MONOTONIC. With SMF_FRAME_ONE_WAY in flags nobody hears of
 * the answer. */
struct smf_call {
    struct smf_core *core;            /* where it came in, and is answered */
    const struct smf_method *method;  /* which one */
    const uint8_t *payload;           /* the request, lent until the handler returns */
    struct smf_buffer *buffer;        /* what holds the payload */
    uint64_t conn;                    /* who called */
    uint32_t size_bytes;              /* of the payload */
    uint16_t session;                 /* of the call */
    uint16_t state;                   /* the library's own: served, deferred, answered */
    struct smf_flat_builder reply;    /* to build the reply in */
    smf_call_problem problem;         /* of the server, or NULL */
    void *context;                    /* of the server */
    struct smf_filter_call *filtered; /* the library's own: its way through filters, or NULL */
    struct smf_call_record *record;   /* the library's own: what else is known of it, or NULL */
    const uint8_t *metadata;          /* of the request, lent like it: smf_call_metadata; or NULL */
    struct smf_buffer *metadata_buffer; /* what holds it */
    uint64_t deadline_ns; /* when its caller stops waiting; 0: nothing is known of it */
    uint32_t failed;      /* the library's own: the code of smf_call_fail, or 0 */
    uint8_t level;        /* of the connection: 1 or 2 */
    uint8_t flags;        /* of the request: enum smf_frame_flag */
    uint16_t reserved;    /* 0 */
};

/* The metadata that came with a request. Returns 1; or 0, and *block_out is a block without entries. Threads:
 * the driver; others until the answer of a deferred call. Ownership: lent as the request is. Cost: one pass
 * over the block. */
int smf_call_metadata(const struct smf_call *call, struct smf_metadata *block_out);

/* Adds an entry to the metadata of the reply, whatever its code will be; both parts are copied. Before the
 * answer, in the handler or, of a deferred call, later. Returns 0, also at level 1, where none is sent;
 * SMF_EINVAL (not a key: see smf/metadata.h; or the call is answered), SMF_ELIMIT (more than a block holds),
 * SMF_ENOMEM: then the entry is not there. Threads: the driver. Cost: the copy; 16 KiB of the core's memory
 * for a block of more than 248 bytes. */
int smf_call_add_metadata(struct smf_call *call, const char *key, const void *value,
                          size_t value_size_bytes);

/* How long the caller still waits: for calls that are made for this one. 0: its deadline has passed;
 * UINT64_MAX, which is SMF_CLIENT_NO_TIMEOUT, too: it has none. Threads: the driver. Cost: a look at the
 * clock. */
uint64_t smf_call_time_left_us(const struct smf_call *call);

/* What there is to say of a failed call; of zeros: nothing. */
struct smf_failure {
    const char *message; /* for people; NULL: none */
    const void *details; /* for programs, any bytes; NULL: none */
    const char
        *details_type; /* what details is: the full name of a table, or what both sides know */
    uint32_t details_size_bytes; /* of details */
    uint32_t retry_after_ms;     /* when it is worth another try; 0: nothing is known */
    uint32_t has_not_run; /* 1: nothing was begun; the call may be made again, whatever it does */
};

/* Says why a call fails, in place of what was built of the reply, and returns code:
 *
 *     return smf_call_fail(call, SMF_CODE_NOT_FOUND, &(struct smf_failure){.message = "no such key"});
 *     smf_call_answer(&later, smf_call_fail(&later, SMF_CODE_LIMIT, &slower));
 *
 * It is sent when the call is answered with that code, at level 2. Threads: the driver. Ownership: all is
 * copied; NULL says nothing. Errors: what can't be sent is left out, and the code goes alone. Cost: building
 * a small table. */
uint32_t smf_call_fail(struct smf_call *call, uint32_t code, const struct smf_failure *failure);

/* Takes a call away from the handler, which then returns SMF_CALL_LATER: moves it to *later_out, with
 * what was built of the reply, and keeps the request where it is. It is answered by smf_call_answer,
 * exactly once, by the driver (smf_core_post reaches it from elsewhere); a handler that can't go on
 * after this answers so, too: what it returns does not count any more. call->reply refuses what is
 * built in it from now on. Returns SMF_CALL_LATER. Threads: the driver; others may read the request
 * until the answer. A call counts against running_max of the engine until it is answered, also when its caller's
 * connection has ended before: beyond that others are refused with 429. Ownership: later_out is the caller's. Errors: none; a second time nothing happens,
 * and its later_out is not filled. Cost: none; a small request holds the 256 KiB that it was read into,
 * and so does what was built. */
uint32_t smf_call_defer(struct smf_call *call, struct smf_call *later_out);

/* Answers a call that was deferred, as a handler's return does, and gives the request back: SMF_CODE_OK
 * with what was built in later->reply, or with an empty table when nothing was; any other code with an
 * empty table, or with what smf_call_fail has said. Threads: the driver. Errors: 500 for a reply that can't be built or sent, was not
 * finished, or was not begun though its table has required fields, and for what is no code (0,
 * SMF_CALL_LATER, a negative status), 413 for a reply that is larger than may be sent; where there is
 * no memory even for that, the connection is closed. That the connection is gone is no error, whatever the
 * reply's size.
 * A second answer, and one of a call that was not deferred, does nothing. Cost: no copy. */
void smf_call_answer(struct smf_call *later, uint32_t code);

/* Whether the caller of a deferred call still waits: 0; or why he does not, SMF_CODE_CANCELLED (he gave
 * up, or his connection has ended) or SMF_CODE_DEADLINE. It is to be answered all the same, with any code:
 * until then it counts as in flight. Only calls of level 2 are given up, and only those whose events reach
 * smf_router_handle, the service's dispatch function or smf_call_event. Threads: the driver. Cost: none. */
uint32_t smf_call_cancelled(const struct smf_call *later);

/* Is told that the caller of a deferred call has given up: with the code of smf_call_cancelled. It may answer
 * this call, and others. Threads: the driver. */
typedef void (*smf_call_cancel)(uint32_t code, void *context);

/* Has function(code, context) be called, at most once, when the caller of a deferred call gives up: at once
 * if that has happened. NULL takes it back. Threads: the driver, which calls it from inside smf_router_handle,
 * the dispatch function or smf_call_event. Cost: none. */
void smf_call_on_cancel(struct smf_call *later, smf_call_cancel function, void *context);

/* Serves what is no request: messages of streams and their room (SMF_EVENT_MESSAGE, SMF_EVENT_WRITABLE), callers who
 * gave up (SMF_EVENT_CANCEL), and connections that ended (SMF_EVENT_CLOSED); for programs that hand these neither to
 * a router nor to a dispatch function. Each message once: one that is handed over twice is two; the others more than
 * once do not matter. Events of clients are left alone. Returns 1 for an event of a stream that is served, and for a
 * cancel of a call that was deferred, otherwise 0. Threads: the driver. Cost: a look-up, and for the end of a
 * connection one for each call of it that was deferred. */
int smf_call_event(struct smf_core *core, const struct smf_event *event);

/* For generated code: fills a call, whose problem and context are set, from a request, and verifies it. Returns the root table, or NULL:
 * then it is answered already, as when there is no handler (implemented is 0). Threads: the driver.
 * Cost: verifying; no allocation. */
const void *smf_call_begin(struct smf_call *call, struct smf_core *core,
                           const struct smf_event *event, const struct smf_method *method,
                           int implemented, int unverified);

/* For generated code: answers with what a handler returned, unless it has deferred the call: a handler
 * that returns SMF_CALL_LATER and has not is answered with 500. Threads, errors: as smf_call_answer. */
void smf_call_end(struct smf_call *call, uint32_t code);

/* Makes a builder in a core's own memory: what is built in it is sent without a copy. Threads: the
 * driver. Ownership: when it is not sent, smf_flat_builder_fini gives the memory back. Errors: none, and
 * SMF_ENOMEM later when the core's memory is used up. Cost: none. */
void smf_flat_builder_init_core(struct smf_flat_builder *builder, struct smf_core *core);

/* Sends a payload that was finished as a frame of a connection: as smf_core_send, but without a copy
 * when the builder is one of smf_flat_builder_init_core, which is empty afterwards. Returns 0, the
 * builder's status, SMF_EINVAL (nothing was finished, as the builder's problem then says), or what smf_core_send returns. Threads: the
 * driver. Cost: no system call. */
int smf_core_send_built(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                        struct smf_flat_builder *builder);

/* Several services behind one door. */
struct smf_router;

/* Makes a router without services. Threads: any. Ownership: to be closed when no core uses it any more.
 * Errors: SMF_ENOMEM. Cost: some allocations. */
int smf_router_open(struct smf_router **router_out);

/* Frees a router. Errors: none; NULL is nothing. */
void smf_router_close(struct smf_router *router);

/* Adds a service, and the struct with its handlers that its dispatch function takes; generated code has
 * a NAME_serve that checks the type. Refuses, with SMF_EINVAL and both places in *error_out: a service
 * without a server, a second one of one name, an id of 0 or of another method, code that was generated
 * for another version of the library. SMF_ENOMEM. Threads: while nobody serves. Ownership: both have to live as long as the
 * router. Cost: an allocation now and then. */
int smf_router_add(struct smf_router *router, const struct smf_service *service, const void *server,
                   struct smf_error *error_out);

/* Serves an event, if it is a request, or one for smf_call_event; for smf_core_run. context: a router. Threads:
 * the driver of any core; several at once may use one router. Cost: a look-up, and the handler. */
void smf_router_handle(struct smf_core *core, const struct smf_event *event, void *context);

#ifdef __cplusplus
}
#endif
#endif
