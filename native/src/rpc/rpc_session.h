/* Sessions of level 2 that have a stream, or a message in slices: a table for each connection that has
 * some, made with the first and gone with the last. Calls that fit into a frame are not in it.
 *
 * rpc_flow.h knows the rules; here is what they are about: the messages that wait to be sent, the memory in
 * which one is put together, and what the driver is told. rpc_session.c keeps the table and asks the rules
 * about frames that come, rpc_slice.c sends and puts together, rpc_stream.c deals with the driver.
 *
 * What is due is done at two points of a turn: when its sends have been collected, and when its input has
 * been read. Until then sessions are linked into lists of the core (credit to give, something to tell) and
 * of their connection (something to send), so that each is looked at once. */
#ifndef SMF_RPC_SESSION_H
#define SMF_RPC_SESSION_H

#include "rpc/rpc_flow.h"
#include "rpc/rpc_level2.h"

/* A message of the program's that is not sent yet, or not all of it. */
struct smf__outgoing {
    struct smf__outgoing *next;
    struct smf_buffer *buffer; /* one reference; NULL: there are no bytes */
    uint8_t *bytes;            /* metadata block, then the message */
    uint32_t metadata_size, size;
    uint32_t meta;
    uint8_t flags, compression;
};

struct smf__session {
    struct smf__link ready;  /* in sessions->ready: has something to send, and credit perhaps; or in
                                 sessions->waiting */
    struct smf__link giving; /* in rpc->giving: may have credit to give */
    struct smf__link telling; /* in rpc->telling: SMF_EVENT_WRITABLE */
    struct smf__link over;   /* in rpc->over: ended; the driver has not heard of it in a poll yet */
    struct smf__link hungry; /* in rpc->hungry_sessions: body has a window only */
    struct smf__session *next; /* of its bucket; of those that are free */
    struct smf__sessions *of;
    struct smf__flow flow;
    struct smf__timer timer; /* of a message that is put together */
    struct smf__outgoing *out_first, *out_last;
    struct smf_buffer *copies; /* holds small messages that wait; or NULL */
    uint32_t copies_fill;
    struct smf_buffer *body; /* a metadata block, then the message that is put together */
    uint16_t id;
    uint16_t in_metadata_size; /* of body */
    uint32_t in_meta;          /* of its first slice */
    uint8_t in_flags, in_compression;
    uint8_t told;          /* accepted: the driver has the request */
    uint8_t answered;      /* accepted: the driver has answered */
    uint8_t waits;         /* a send of the driver's left something here */
    uint8_t slicing;       /* is among sessions->slicing */
    uint8_t whole;         /* body is for all of the message; among sessions->whole */
    uint8_t begun;         /* a frame of it was sent */
    uint8_t unborn;        /* given up before: the peer will never answer */
    uint32_t method;       /* of the frames that come on an accepted connection */
    uint64_t parked_bytes; /* of body, in rpc->parked_bytes */
    uint32_t verdict; /* the status that the engine ends it with, whatever the answer is; or 0 */
};

struct smf__sessions {
    struct smf__link pumping; /* in rpc->pumping: some are ready */
    struct smf__link ready;   /* of struct smf__session.ready: sent from in turns */
    struct smf__link
        waiting; /* likewise: their large message is not begun before others have ended */
    struct smf__conn *conn;
    uint32_t count;
    uint32_t mask;         /* buckets - 1 */
    uint32_t whole;        /* messages that are put together, and have their memory */
    uint32_t slicing;      /* large messages, not of streams, that have been begun */
    uint64_t queued_bytes; /* of what waits to be sent */
    uint64_t ahead_bytes;  /* of the connection's backlog: they go before any more is added here */
    struct smf__session **buckets;
};

/* rpc_session.c */
struct smf__session *smf__session_find(const struct smf__conn *conn, uint16_t id);
/* NULL: there is no memory (the connection has been closed). */
struct smf__session *smf__session_new(struct smf__conn *conn, uint16_t id, uint32_t role,
                                      uint32_t stream);
void smf__session_free(struct smf__session *session);
/* Frees it if both directions have ended; of a connection that we opened, when the driver has had the time
 * to notice. 1: it has gone, or is about to. */
int smf__session_free_if_over(struct smf__session *session);
/* A broken rule: ends the connection. Returns 0. */
int smf__session_bad(struct smf__conn *conn);

/* rpc_slice.c */
/* Its large message is over, or will not be sent: the next one may begin. */
void smf__session_stop_slicing(struct smf__session *session);
void smf__session_mark_ready(struct smf__session *session);
void smf__session_mark_giving(struct smf__session *session);
/* Puts a message behind those that wait; payload begins with metadata_size bytes of a block. Returns 0
 * when the connection has been closed for it. */
int smf__session_queue(struct smf__session *session, struct smf_buffer *buffer, uint8_t *payload,
                       const struct smf_frame *frame);
void smf__session_drop_queue(struct smf__session *session);
/* Sends one frame at once, whatever waits. */
void smf__session_write(struct smf__session *session, struct smf_buffer *buffer, uint8_t *payload,
                        const struct smf_frame *frame);
void smf__session_put_reset(struct smf__session *session, uint32_t status);
/* Memory for a message in slices of which the first came, with a metadata block; all of it, or a window:
 * then it waits for the rest. NULL: there is none now. */
struct smf_buffer *smf__session_body(struct smf__session *session, uint32_t metadata_size,
                                     uint32_t size);
/* Forgets the message that is put together. */
void smf__session_drop_body(struct smf__session *session);
/* Its slice is in place. */
void smf__session_placed(struct smf__session *session, const struct smf__flow_step *step,
                         const uint8_t *bytes);

/* rpc_stream.c */
/* What came, for the driver. Returns 0 when the connection ends. */
int smf__session_deliver(struct smf__session *session, const struct smf__flow_step *step,
                         const uint8_t *payload, uint32_t metadata_size, struct smf_buffer *buffer);
/* Tells the driver of sessions that have something to tell. */
void smf__session_tell(struct smf__rpc *rpc);
/* The engine ends the call with a status; what still comes of it is thrown away. */
void smf__session_overrule(struct smf__session *session, uint32_t status);

#endif
