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
 * Threads: everything here is for the core's driver. */
#ifndef SMF_CLIENT_H
#define SMF_CLIENT_H

#include <stdint.h>

#include <smf/service.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_CLIENT_CALLS_DEFAULT 4096u /* in flight: what a server takes of a connection */
#define SMF_CLIENT_CALLS_MAX 65535u    /* in flight: sessions that can be told apart */

struct smf_client; /* one connection at a time, and its calls */

/* How a call went. status is SMF_OK when the server answered (code says what), SMF_ETIMEOUT, SMF_ECLOSED, why
 * the connection could not be made, SMF_EINVAL for a malformed reply, or SMF_EUNSUPPORTED for a compressed
 * one. */
struct smf_result {
    int status;                /* enum smf_status */
    uint32_t code;             /* enum smf_code of the answer, or 0 when there is none */
    const uint8_t *payload;    /* of the answer, lent until the callback returns, or NULL */
    struct smf_buffer *buffer; /* what holds the payload, for smf_core_retain */
    uint32_t size_bytes;       /* of the payload */
    uint32_t reserved;         /* 0 */
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

#ifdef __cplusplus
}
#endif
#endif
