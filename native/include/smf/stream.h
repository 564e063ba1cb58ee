/* Methods that stream, for code that smfc generates: many requests, many replies, or both, on either side. They
 * need level 2 of the wire (docs/streams.md has what both languages share).
 *
 * A server's handlers of a method are a few functions: open, then message for each request, half_closed behind
 * the last one, writable, and ended. The same on a client, without the first and the third. All but open may be NULL.
 *
 *     static void on_entry(struct smf_stream *stream, const struct a_Entry *entry, void *context)
 *     {
 *         struct smf_flat_builder *b = smf_stream_builder(stream);
 *
 *         ... build an a_Entry in b ...
 *         if (smf_stream_send(stream, b) == SMF_ELIMIT)
 *             smf_stream_hold(stream);         the other side takes nothing: no more of its messages
 *     }
 *     static void on_writable(struct smf_stream *stream, void *context)
 *     {
 *         ... send what was not sent ...
 *         smf_stream_release(stream);
 *     }
 *     static void on_half_closed(struct smf_stream *stream, void *context)
 *     {
 *         smf_stream_end(stream, SMF_CODE_OK);
 *     }
 *     ...
 *     store.Sync = (struct a_Store_Sync_handler){
 *         .open = on_open, .message = on_entry, .half_closed = on_half_closed, .writable = on_writable};
 *
 * Credit. What a side has sent and the other one has not taken is bounded, 256 KiB for each direction of a stream
 * unless limits say otherwise. A message is taken when message returns, or, if that has called smf_stream_hold, by
 * smf_stream_release. So whoever holds stops his sender, and nobody else. Messages that come meanwhile wait in
 * the core's memory.
 *
 * A stream is there until ended returns, or, where open has refused it, until open returns. Whoever ends it
 * himself does not use it any more: ended is called at once, or, from inside another function of the stream,
 * when that returns. smf_engine_close frees streams without a word: who keeps memory by smf_stream_set_user
 * closes the connections before (smf_core_disconnect_all), and polls until ended was called.
 *
 * Threads: everything here is for the core's driver, and functions are called by it: from inside of
 * smf_router_handle, a service's dispatch function, smf_call_event or smf_client_take, of smf_core_poll (writable,
 * ended), and of smf_stream_release and those that end a stream. */
#ifndef SMF_STREAM_H
#define SMF_STREAM_H

#include <stdint.h>

#include <smf/client.h>
#include <smf/service.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_STREAM_AHEAD_BYTES 65536u /* sent and still here: more is refused for now */

struct smf_stream; /* one side of a call that streams */

/* Sends a message that was finished: a server's reply, a client's request. A builder of the core (smf_stream_builder,
 * smf_flat_builder_init_core) is sent from without a copy, and empty afterwards. A message larger than a slice goes in
 * slices. A method with one reply (streaming: "client") sends it so, once, before its end.
 *
 * Returns 0: it is on its way, behind those before it. SMF_ELIMIT: SMF_STREAM_AHEAD_BYTES wait here because the
 * other side takes nothing, or the core has no room now; SMF_ENOMEM: its memory is used up; after either nothing
 * is sent, the message stays in its builder, in memory of its size, and writable is called once. One that found no
 * memory to be built in the core is not there: SMF_ENOMEM, too, and an empty builder. SMF_EINVAL: nothing was finished, it is
 * larger than the connection takes, a second reply where there is one, or smf_stream_close was before.
 * SMF_ECLOSED: the stream is over. SMF_EPERMISSION: a filter has ended it. Errors of the builder. Cost: no
 * system call. */
int smf_stream_send(struct smf_stream *stream, struct smf_flat_builder *message);

/* The stream's own builder, in the core's memory, for the next message. It is one: build and send a message, or
 * finish it and send it from writable, before the next one is begun. Before a function returns, send what is in it
 * or leave it: while it holds something, others build in memory of their own. Ownership: the stream's. Cost: none. */
struct smf_flat_builder *smf_stream_builder(struct smf_stream *stream);

/* Whether smf_stream_send would take a message now: 1, or 0, and then writable is called once. Cost: a look-up. */
int smf_stream_writable(struct smf_stream *stream);

/* Has no further message handed out until smf_stream_release. From inside of message (and of open, where that has
 * the request): the message it was called with stays where it is and is not given back to its sender's
 * credit before. A second time does nothing. Cost: none now; a small message that is held holds the 256 KiB that
 * it was read into. */
void smf_stream_hold(struct smf_stream *stream);

/* The held message is done with; those that have come meanwhile are handed out from inside of this. Without a hold
 * it does nothing. Cost: that of what is called. */
void smf_stream_release(struct smf_stream *stream);

/* What the other side has said beside its messages: on a server the request's metadata, on a client the reply's,
 * which come with its first message or its end. Returns 1; or 0, and *block_out is a block without entries.
 * Ownership: lent until the stream is over. Cost: one pass over the block. */
int smf_stream_metadata(const struct smf_stream *stream, struct smf_metadata *block_out);

/* How long the call may still take, in all: 0: its deadline has passed; UINT64_MAX: it has none. When it has passed
 * the stream ends by itself, with SMF_CODE_DEADLINE on a server, SMF_ETIMEOUT on a client. Cost: a look at the clock. */
uint64_t smf_stream_time_left_us(const struct smf_stream *stream);

/* Keeps a pointer of the program's with a stream, for smf_stream_user. Cost: none. */
void smf_stream_set_user(struct smf_stream *stream, void *user);

/* What smf_stream_set_user has set; NULL at first. Ownership: the program's. Cost: none. */
void *smf_stream_user(const struct smf_stream *stream);

/* The core that the stream is on. Ownership: the engine's. Cost: none. */
struct smf_core *smf_stream_core(const struct smf_stream *stream);

/* The connection that it is of. Cost: none. */
uint64_t smf_stream_conn(const struct smf_stream *stream);

/* The method that was called. Ownership: static storage. Cost: none. */
const struct smf_method *smf_stream_method(const struct smf_stream *stream);

/* Of a server. */

/* Ends the call: SMF_CODE_OK behind the messages that were sent, or another code, which does not overtake them
 * either, and goes in a later turn where those of this one are used up. What the caller still sends is dropped. What is no code becomes 500, as does SMF_CODE_OK of a method
 * with one reply that has required fields, when none was sent. A second end does nothing. Cost: a frame of 16
 * bytes, and what ended does. */
void smf_stream_end(struct smf_stream *stream, uint32_t code);

/* Likewise, and says why, as smf_call_fail does; returns code, for open to return it:
 *
 *     return smf_stream_fail(stream, SMF_CODE_NOT_FOUND, &(struct smf_failure){.message = "no such topic"});
 *
 * Inside of open the stream ends when that returns. Ownership: all is copied. */
uint32_t smf_stream_fail(struct smf_stream *stream, uint32_t code,
                         const struct smf_failure *failure);

/* Adds an entry to the metadata of the reply, which goes with the first message, or with the end. Returns as
 * smf_call_add_metadata, and SMF_EINVAL when it has gone, and on a client. */
int smf_stream_add_metadata(struct smf_stream *stream, const char *key, const void *value,
                            size_t value_size_bytes);

/* Of a client. */

/* Nothing more will be sent; the server's messages go on. A second time does nothing. Returns 0, SMF_ECLOSED (the
 * stream is over), SMF_EUNSUPPORTED (on a server), SMF_ELIMIT or SMF_ENOMEM: try again from writable, which is
 * called once. Cost: a frame of 16 bytes. */
int smf_stream_close(struct smf_stream *stream);

/* Gives the call up: the server's handlers are told, and ended gets SMF_ECANCELLED. On a server it does nothing.
 * Cost: a small frame, and what ended does. */
void smf_stream_cancel(struct smf_stream *stream);

/* What follows is for generated code. */

/* What is to be done with a stream. */
enum smf_stream_what {
    SMF_STREAM_OPEN = 1,    /* on a server: message is the one request, or NULL; returns a code */
    SMF_STREAM_MESSAGE,     /* message is a root table */
    SMF_STREAM_HALF_CLOSED, /* on a server: the caller sends nothing more */
    SMF_STREAM_WRITABLE,    /* what was refused before may be sent */
    SMF_STREAM_ENDED        /* the last call */
};

/* Calls one of a method's functions, by its type. handlers: the struct that has them. message: of OPEN and MESSAGE,
 * and of ENDED the one reply of a method with streaming "client"; result: of ENDED on a client; code: of ENDED on a
 * server. What is NULL is left out. Only the result of OPEN counts. */
typedef uint32_t (*smf_stream_dispatch)(struct smf_stream *stream, uint32_t what,
                                        const void *handlers, const void *message,
                                        const struct smf_result *result, uint32_t code,
                                        void *context);

/* A server's side of a method. */
struct smf_stream_service {
    uint32_t size;                /* sizeof(struct smf_stream_service) */
    uint32_t reserved;            /* 0 */
    smf_stream_dispatch dispatch; /* static storage */
    const void *handlers;         /* lives as long as the server */
    void *context;                /* of the server */
    smf_call_problem problem;     /* of the server, or NULL */
    int implemented;              /* 0: 501 */
    int unverified;               /* 1: messages are not verified */
};

/* Serves a request of a method that streams: opens a stream, or refuses it. Threads: the driver. Cost: some
 * look-ups; allocates when more streams are open than ever before. */
void smf_stream_serve(struct smf_core *core, const struct smf_event *event,
                      const struct smf_method *method, const struct smf_stream_service *service);

/* Opens a stream. request: of a method with one (streaming: "server"), finished; else NULL. options: as of
 * smf_client_call_with; timeout_us is for the whole stream. handlers has to live until ended has returned.
 * stream_out may be NULL.
 *
 * Returns 0, and ended is called once, later. SMF_EUNSUPPORTED: the connection is of level 1, or the call would be a
 * one-way message. Otherwise as smf_client_call_with. Cost: as smf_stream_serve. */
int smf_client_stream(struct smf_client *client, const struct smf_method *method,
                      struct smf_flat_builder *request, const struct smf_call_options *options,
                      smf_stream_dispatch dispatch, const void *handlers, void *context,
                      struct smf_stream **stream_out);

#ifdef __cplusplus
}
#endif
#endif
