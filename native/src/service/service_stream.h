/* Streams of services and clients: smf/stream.h. The same on both sides but for how they begin and end.
 *
 * A stream is found by connection and session as long as its call goes on, and freed when nobody is inside of one of
 * its functions any more. Each of these is called between smf__stream_enter and smf__stream_leave. */
#ifndef SMF_SERVICE_STREAM_H
#define SMF_SERVICE_STREAM_H

#include <smf/stream.h>

#include "service/service_filter.h"
#include "service/service_record.h"

/* Sends of streams in a turn: each event may be answered besides. */
#define SMF__STREAM_SENDS_MAX (SMF__CORE_SENDS_MAX - SMF__CORE_EVENTS_MAX)

/* A message that came. */
struct smf__stream_message {
    const uint8_t *payload;    /* NULL: there is none */
    struct smf_buffer *buffer; /* holds it */
    uint32_t size_bytes;
    uint32_t taken_bytes; /* what its sender may send for it when it is taken */
    uint8_t compression;
    uint8_t owned; /* one reference to buffer is ours; else it is lent until the next poll */
};

/* Messages that wait to be handed out: small ones are copied into blocks of the core's memory. */
struct smf__stream_block;
struct smf__stream_queue {
    struct smf__stream_block *first, *last;
};

int smf__stream_queue_put(struct smf__stream_queue *queue, struct smf_core *core,
                          const struct smf__stream_message *message);
/* Returns 0 when there is none. */
int smf__stream_queue_get(struct smf__stream_queue *queue, struct smf_core *core,
                          struct smf__stream_message *message_out);
void smf__stream_queue_drop(struct smf__stream_queue *queue, struct smf_core *core);

static inline int smf__stream_queue_empty(const struct smf__stream_queue *queue)
{
    return queue->first == NULL;
}

struct smf_client;

struct smf_stream {
    struct smf_call call;       /* connection, session, method, metadata, the reply's; on a client,
                                  too, as far as it has these */
    struct smf_stream *next;    /* of its bucket; of those that nobody uses */
    struct smf__link of_conn;   /* with the other streams of its connection */
    struct smf__link due;       /* is looked at in the next poll */
    struct smf__timer deadline; /* of a server's */
    struct smf__timer again;    /* when there was no memory */
    smf_stream_dispatch dispatch;
    const void *handlers;
    void *context, *user;
    struct smf_client *client; /* or NULL: of a server */
    struct smf__stream_queue queue;
    struct smf__stream_message current; /* the program has it */
    struct smf__stream_message reply;   /* of a client's method with one reply */
    struct smf_buffer *metadata_copy;   /* holds call.metadata */
    struct smf_result result;           /* how a client's ended */
    struct smf_buffer *result_buffer;   /* holds what the result points to; or NULL */
    uint64_t ahead_turn;                /* when a message was sent last */
    uint32_t ahead_bytes;               /* sent since all of it had left */
    uint32_t wanted_bytes;              /* that there was no room for */
    uint32_t depth;                     /* functions that we are inside of */
    uint32_t code;                      /* a server's end; enum smf_code */
    struct smf__message last;           /* a server's last frame, */
    uint8_t hashed, unverified;
    uint8_t opened;     /* the program knows of it, and will be told of its end */
    uint8_t in_message; /* inside of the function that has current */
    uint8_t held;
    uint8_t drains;      /* when nobody is inside: look whether messages wait */
    uint8_t fin;         /* the other side sends nothing more; not told yet */
    uint8_t ends;        /* a client's: answered; result says how, behind the messages that wait */
    uint8_t over;        /* ended; freed as soon as nobody is inside */
    uint8_t owes;        /* which has not gone yet: the turn's sends were used up */
    uint8_t asked;       /* to be told when there is room */
    uint8_t replied;     /* of a method with one reply: it was sent */
    uint8_t told;        /* the reply's metadata have gone */
    uint8_t closed_send; /* a client's */
};

static inline int smf__stream_one_request(const struct smf_stream *stream)
{
    return !(stream->call.method->flags & SMF_METHOD_STREAM_IN);
}

static inline int smf__stream_one_reply(const struct smf_stream *stream)
{
    return !(stream->call.method->flags & SMF_METHOD_STREAM_OUT);
}

/* Of zeros but for its core; NULL: no memory. */
struct smf_stream *smf__stream_new(struct smf_core *core);

/* Frees one that the program has never heard of, or no longer knows. */
void smf__stream_free(struct smf_stream *stream);

/* Has it found by its connection and session. Returns 0 or SMF_ENOMEM. */
int smf__stream_hash(struct smf_stream *stream);
void smf__stream_unhash(struct smf_stream *stream);

/* A stream of a client's, or of a server's. */
struct smf_stream *smf__stream_find(const struct smf_core *core, uint64_t conn, uint16_t session);

/* How many are found, of both sides. */
uint32_t smf__streams_found(const struct smf_core *core);

/* Looks at it in the next poll. */
void smf__stream_due(struct smf_stream *stream);

/* An event of a client's stream, or of a server's: SMF_EVENT_MESSAGE, SMF_EVENT_WRITABLE, and SMF_EVENT_CANCEL of a
 * server's. Returns 1 when there is such a stream. */
int smf__stream_event(struct smf_core *core, const struct smf_event *event, int of_client);

/* The end of a connection, for a server's streams. */
void smf__stream_conn_ended(struct smf_core *core, uint64_t conn);

static inline void smf__stream_enter(struct smf_stream *stream)
{
    stream->depth++;
}
/* The stream may be gone behind it. */
void smf__stream_leave(struct smf_stream *stream);

/* Has the program open it, with the one request, or NULL. Somebody is inside. */
void smf__stream_open_with(struct smf_stream *stream, const void *request);

/* The program gets no further message, and the call ends: with a code and a problem on a server, with a status, or
 * SMF_OK and a code, on a client. */
void smf__stream_break_off(struct smf_stream *stream, uint32_t code, int status,
                           const char *problem);

/* What an event brings: its message, if any, and whether it is the last one. */
void smf__stream_take(struct smf_stream *stream, const struct smf_event *event);

/* No message is wanted any more. */
void smf__stream_discard(struct smf_stream *stream);

/* Sends what is in builder, or nothing, as the stream's next frame, and counts it. Filters see it. */
int smf__stream_put(struct smf_stream *stream, struct smf__message *message,
                    struct smf_flat_builder *builder);

int smf__stream_send_server(struct smf_stream *stream, struct smf_flat_builder *builder);
int smf__stream_send_client(struct smf_stream *stream, struct smf_flat_builder *builder);

/* May a message of so many bytes be sent now? */
int smf__stream_has_room(struct smf_stream *stream, uint32_t size);

/* Tells the program when there is room for size bytes; status: why there is none now. */
void smf__stream_ask(struct smf_stream *stream, uint32_t size, int status);

/* Keeps a copy of a block. Returns 0 or SMF_ENOMEM. */
int smf__stream_keep_metadata(struct smf_stream *stream, const struct smf_event *event);

/* Has a message pass the filters that have seen the opening; which says SMF_FILTER_MESSAGE_IN or OUT. Returns 0, or
 * the code of the one that stops the stream. What was put is filtered->put. */
uint32_t smf__filter_message(struct smf__filtered *filtered, uint32_t which);

/* Ends a server's stream, sends its last frame, and tells the program as soon as nobody is inside. problem: of a code
 * that is not the handler's. */
void smf__stream_end_server(struct smf_stream *stream, uint32_t code, const char *problem);

/* Has the last frame sent later; status: why it is not sent now. */
void smf__stream_owe(struct smf_stream *stream, int status);

/* Sends the last frame of a server's, in a later turn if the sends of this one are used up, and has the program told
 * behind it. Somebody is inside, and is not any more when it has gone. */
void smf__stream_send_last(struct smf_stream *stream);

/* Ends a client's because of what came: status, or SMF_OK and the code of a filter. */
void smf__stream_break_client(struct smf_stream *stream, int status, uint32_t code);

/* Has a client's result pass the filters, and completes it. */
void smf__stream_filter_end(struct smf_stream *stream);

/* A client's call is over: behind the messages that wait, if the server has said so. event: that answer, or NULL. */
void smf__stream_conclude(struct smf_stream *stream, const struct smf_result *result,
                          const struct smf_event *event);

#endif
