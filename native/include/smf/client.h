/* Calling, for code that smfc generates: a connection with its calls in flight, each with a callback.
 *
 *     smf_client_open(&client, core, 0);
 *     smf_client_connect(client, "127.0.0.1:11225", &error);
 *     smf_flat_builder_init_core(&request, core);
 *     ... build a smf_gen_demo_Request ...
 *     smf_gen_demo_SmfStorage_Get(client, &request, 250000, answered, context);
 *     smf_core_run(core, smf_client_handle, client);
 *
 * A callback runs exactly once for each call that was taken: with the reply, or when the time is over,
 * the connection ended, or the client is closed. What failed may have run. A client does not connect
 * again by itself: when its connection has ended, smf_client_connect does it; SMF_EVENT_CLOSED tells of
 * the end, also where no call is in flight. Replies come in any order.
 *
 * Level 2 of the wire (docs/wire.md) is asked for by smf_client_connect_with and SMF_CONNECT_HELLO: deadlines
 * then travel with their calls, a call that ends early is given up at the server, and calls may have
 * metadata. With a server that speaks level 1 alone such a connection ends: SMF_EVENT_CLOSED has
 * SMF_CLOSE_NOT_LEVEL2 or SMF_CLOSE_HELLO_TIMEOUT, calls end with SMF_ECLOSED and have not run. Connect again,
 * without the flag, if level 1 is enough, and remember that for the address for some minutes.
 *
 * Methods that stream are called by smf/stream.h, on the same client: a stream is a call in flight, and counts as one.
 *
 * Threads: everything here is for the core's driver. */
#ifndef SMF_CLIENT_H
#define SMF_CLIENT_H

#include <stdint.h>

#include <smf/level2.h>
#include <smf/service.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_CLIENT_CALLS_DEFAULT 4096u /* in flight: what a server takes of a connection */
#define SMF_CLIENT_CALLS_MAX 65535u    /* in flight: sessions that can be told apart */

struct smf_client; /* one connection at a time, and its calls */

/* How a call went. status is SMF_OK when the server answered (code says what), SMF_ETIMEOUT, SMF_ECANCELLED
 * (smf_client_cancel), SMF_ECLOSED, why the connection could not be made, SMF_EINVAL for a malformed reply, or
 * SMF_EUNSUPPORTED for a compressed one. may_have_run is 0 when no handler has begun with the call, so that it may
 * be made again, whatever it does; else one has, or nobody knows. What an answer of level 2 with another code than
 * SMF_CODE_OK says is in message, for people, and in details, for programs; both may be empty. All that a result
 * points to is lent until the callback returns. */
struct smf_result {
    int status;                          /* enum smf_status */
    uint32_t code;                       /* enum smf_code of the answer, or 0 when there is none */
    const uint8_t *payload;              /* of the answer, or NULL */
    struct smf_buffer *buffer;           /* what holds the payload, for smf_core_retain */
    uint32_t size_bytes;                 /* of the payload */
    uint32_t may_have_run;               /* 0: the call has not run; 1: it may have */
    const uint8_t *metadata;             /* of the answer: smf_result_metadata; NULL: none */
    struct smf_flat_string message;      /* of an error; data is never NULL */
    struct smf_flat_u8_vector details;   /* of an error; data is NULL when there are none */
    struct smf_flat_string details_type; /* what details is, by its full name; data is never NULL */
    uint32_t retry_after_ms;             /* when it is worth another try; 0: nothing is known */
    uint32_t reserved;                   /* 0 */
};

#define SMF_CALL_ONE_WAY 1u /* of smf_call_options.flags: there is no answer to wait for */

/* How a call is made; of zeros, but for its size: as one without options. metadata is a block that
 * smf_metadata_end has ended, and is copied; the time left in it does not count: timeout_us does. At level 1 it is
 * left out. */
struct smf_call_options {
    uint32_t size;                /* sizeof(struct smf_call_options) */
    uint32_t flags;               /* SMF_CALL_… */
    uint64_t timeout_us;          /* as of smf_client_call */
    const void *metadata;         /* a block, or NULL */
    uint32_t metadata_size_bytes; /* of the block */
    uint32_t reserved;            /* 0 */
    uint64_t *call_out;           /* gets the call's number, 0 for a one-way message; or NULL */
};

/* Makes a client that is not connected. calls_max: at most so many calls in flight, with those that were
 * given up and have no reply yet; 0: SMF_CLIENT_CALLS_DEFAULT. Ownership: to be closed before the engine
 * is. Errors: SMF_EINVAL, SMF_ENOMEM. Cost: allocates all that it will need. */
int smf_client_open(struct smf_client **client_out, struct smf_core *core, uint32_t calls_max);

/* Ends every call in flight with SMF_ECLOSED, closes the connection and frees the client. Not from
 * inside a callback. Errors: none; NULL is nothing. */
void smf_client_close(struct smf_client *client);

/* Connects to a numeric address, as smf_core_connect. Calls may be made at once. Returns 0, SMF_EINVAL
 * when there is a connection already, or what smf_core_connect returns, with *error_out filled. */
int smf_client_connect(struct smf_client *client, const char *address, struct smf_error *error_out);

/* Likewise, with flags of smf_core_connect_with (smf/level2.h): SMF_CONNECT_HELLO asks for level 2. Calls may be
 * made at once; they go out when the server has agreed, or end when it has not, as is said above. */
int smf_client_connect_with(struct smf_client *client, const char *address, uint32_t flags,
                            struct smf_error *error_out);

/* The connection, or 0: there is none. Cost: none. */
uint64_t smf_client_conn(const struct smf_client *client);

/* Calls in flight, without those that were given up. Cost: none. */
uint32_t smf_client_in_flight(const struct smf_client *client);

/* on is 1: replies are handed out without verifying them, because the server is trusted. */
void smf_client_unverified(struct smf_client *client, int on);

/* Deals with an event, if it is of the client's connection: then it returns 1. Callbacks run inside. A
 * program that does more than calling looks at the event itself afterwards, or before: the connection's
 * end is SMF_EVENT_CLOSED. */
int smf_client_take(struct smf_client *client, const struct smf_event *event);

/* Likewise, for smf_core_run. context: a client. */
void smf_client_handle(struct smf_core *core, const struct smf_event *event, void *context);

/* The metadata of an answer. Returns 1; or 0, and *block_out is a block without entries. Ownership: lent until
 * the callback returns. Cost: one pass over the block. */
int smf_result_metadata(const struct smf_result *result, struct smf_metadata *block_out);

/* Gives a call up: its callback runs before this returns, with SMF_ECANCELLED, and at level 2 the server hears of
 * it. Its place is taken until the server's last word has come (SMF_CLIENT_CALLS_DEFAULT). call: what
 * smf_call_options.call_out got. Returns 0, or SMF_ENOTFOUND: it is over. Cost: a small frame. */
int smf_client_cancel(struct smf_client *client, uint64_t call);

/* Asks the server for a sign of life: pong(status, context) runs once, with SMF_OK when it came, or with
 * SMF_ECLOSED when the connection has ended before. One at a time. Returns 0, SMF_ECLOSED (not connected),
 * SMF_EUNSUPPORTED (level 1, or not agreed yet: wait for SMF_EVENT_CONNECTED) or SMF_ELIMIT (one is under way). A
 * silent server is no error: close the client, or call on, when patience is over. Cost: a system call. */
int smf_client_ping(struct smf_client *client, void (*pong)(int status, void *context),
                    void *context);

/* Whether the server takes no new calls on this connection: why, as a code, or 0: it takes them. Those in flight
 * still end there, and then the connection; until then calls are refused with SMF_ECLOSED. Connect another
 * client meanwhile, or wait for SMF_EVENT_CLOSED. Cost: none. */
uint32_t smf_client_goaway(const struct smf_client *client);

/* A callback, without its type. */
typedef void (*smf_client_callback)(void);

/* How a reply reaches a callback of the method's own type: generated code passes both, and casts in
 * deliver what it has cast for smf_client_call. reply: the root table of an answer with SMF_CODE_OK;
 * NULL: there is none. */
typedef void (*smf_client_deliver)(const struct smf_result *result, const void *reply,
                                   smf_client_callback callback, void *context);

/* For generated code: calls a method with a request that was finished. timeout_us: 0 takes the
 * method's own, or none, for ever, when it has none; SMF_CLIENT_NO_TIMEOUT: none. Returns 0, and the callback runs later; or SMF_ECLOSED (not
 * connected), SMF_ELIMIT (too many calls), or what smf_core_send_built returns, and it never does. The
 * request is copied, or sent from where it is if it was built in the core. Cost: no allocation, no
 * system call; a look at the clock when it has a timeout. */
int smf_client_call(struct smf_client *client, const struct smf_method *method,
                    struct smf_flat_builder *request, uint64_t timeout_us,
                    smf_client_deliver deliver, smf_client_callback callback, void *context);
#define SMF_CLIENT_NO_TIMEOUT UINT64_MAX /* of a call that waits for as long as it takes */

/* Likewise, with options; NULL: none. Errors, too: SMF_EINVAL (options without size, or that set what this
 * library does not know; metadata that is no block; a one-way message with a callback, which would never run,
 * or of more than 64 KiB as its filters have left it, as the builder's problem then says: make a call of it),
 * SMF_EUNSUPPORTED (a one-way message at level 1), SMF_EPERMISSION (a filter has
 * stopped a one-way message). */
int smf_client_call_with(struct smf_client *client, const struct smf_method *method,
                         struct smf_flat_builder *request, const struct smf_call_options *options,
                         smf_client_deliver deliver, smf_client_callback callback, void *context);

#ifdef __cplusplus
}
#endif
#endif
