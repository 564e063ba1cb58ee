/* Connections that may be, or are, of level 2 (docs/wire.md): Hello, what comes and goes that is neither
 * a plain call nor its reply, and which calls run.
 *
 * rpc_hello.c makes a connection one of level 2, rpc_level2.c reads, rpc_level2_write.c writes. What has
 * a stream or a message in slices is rpc_session.c's: it is asked first for every frame that is, or whose
 * connection has such sessions. */
#ifndef SMF_RPC_LEVEL2_H
#define SMF_RPC_LEVEL2_H

#include <smf/level2.h>

#include "mem/mem_count.h"
#include "rpc/rpc.h"

#define SMF__SLICE_SIZE_BYTES (64u << 10)     /* a larger message goes in slices */
#define SMF__RUNNING_SIZE_BYTES (65536u / 8u) /* a bit for each session */
#define SMF__CONTROL_OF_TURN_MAX 1024u        /* pings, and cancels of nothing over calls_max */

/* Hands out, or deals with, the frame of conn->frame, whose payload is complete and has its checksum: in
 * every mode but SMF__MODE_LEVEL1, unless smf__level2_takes_plain has taken it. Returns 1; 0: the connection ends, nothing more of it is parsed; or
 * SMF__HELLO_IS_NONE. */
int smf__level2_emit(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer);

/* Sends runs that all go to conn: in the modes SMF__MODE_ASKING and SMF__MODE_LEVEL2. */
void smf__level2_send(struct smf__conn *conn, const struct smf_send *first,
                      const struct smf_send *end);

/* rpc_hello.c */

/* Whether this core speaks level 2. */
int smf__hello_can(const struct smf__rpc *rpc);
/* The connection is up, and asks. */
void smf__hello_ask(struct smf__conn *conn);
/* A first frame, or the answer to Hello; its checksum is right. Returns what smf__level2_emit does, or
 * SMF__HELLO_IS_NONE: it is a frame like others, and the connection of level 1. */
#define SMF__HELLO_IS_NONE 2
int smf__hello_take(struct smf__conn *conn, const uint8_t *payload);
/* Keeps what is sent before Hello is answered. */
void smf__hello_hold(struct smf__conn *conn, const struct smf_send *send);
void smf__hello_forget(struct smf__conn *conn);
/* What it means that a connection ends for a reason while it asks. */
uint32_t smf__hello_reason(const struct smf__conn *conn, uint32_t reason);

/* Tells the peer to go, once; why is a status. With what smf__put sends. */
void smf__level2_goaway(struct smf__conn *conn, uint32_t why);

/* rpc_level2.c, for rpc_session.c */

/* A call may begin: it is counted, and its session runs. 0: it is refused, and answered; or the
 * connection ends (its state says so). flags: of its frame. */
int smf__level2_admit(struct smf__conn *conn, uint16_t session, uint32_t flags);
/* The caller gave up: an event, if the call runs. The same results as of smf__level2_emit. */
int smf__level2_cancelled(struct smf__conn *conn, uint16_t session, uint32_t status);
/* One frame more in this turn that nobody asked for. 0: too many, the connection ends. */
int smf__level2_bear(struct smf__conn *conn, uint32_t allowed);
/* Splits a payload that begins with a metadata block. 0: it is none, the connection ends. */
int smf__level2_metadata(struct smf__conn *conn, const uint8_t *payload, uint32_t size_bytes,
                         uint16_t *metadata_size_out);

/* rpc_level2_write.c */

/* Sends a small frame of the engine's, sealed as the connection's level demands: with others of the same
 * connection when its bytes are parsed, or the turn goes on. The connection may end (its state). */
void smf__put(struct smf__conn *conn, struct smf_frame frame, const void *payload);
void smf__put_flush(struct smf__rpc *rpc);
/* Writes a frame that lies whole in memory of buffer (NULL: it is copied if need be), sealed here. */
void smf__level2_write(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *frame_bytes,
                       const struct smf_frame *frame);

/* rpc_session.c: streams, and messages in slices. */

/* Not the session's business: go on as with a plain frame. */
#define SMF__SESSION_NONE 2
/* A frame that came (conn->frame, header and checksum are right), with STREAM, MORE or CREDIT, or on a
 * connection that has sessions. Returns SMF__SESSION_NONE, or what smf__level2_emit does. */
int smf__session_emit(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer);
/* A frame of the program's, with STREAM, larger than a slice, or on a connection that has sessions; it
 * lies at bytes, in memory of buffer. frame->flags has no SMF_SEND_MAY_PAD any more. What was sent before
 * has been written. Returns SMF__SESSION_NONE, or 1: it is dealt with, and counted. */
int smf__session_send(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *bytes,
                      const struct smf_frame *frame);
/* The connection has to be read on even where memory is short: a message that has its memory is in the middle,
 * or what waits to be sent needs credit, which comes by reading. */
int smf__session_must_read(const struct smf__conn *conn);
/* Of the payload of conn->frame, which has MORE, have bytes are here: how many bytes have to be free before
 * it is looked at, or 0: it may be now. */
uint64_t smf__session_must_wait(const struct smf__conn *conn, const uint8_t *payload,
                                uint32_t have);
/* The transport has taken so many bytes of the backlog: slices may be sent again, perhaps. */
void smf__session_go_on(struct smf__conn *conn, uint64_t sent_bytes);
/* Something waits to be sent. Where no call runs, sessions that owe nothing are those whose callers have not
 * ended them yet. Cost: a look at each session. */
int smf__session_owes(const struct smf__conn *conn);
/* Bytes of messages that wait to be sent. */
uint64_t smf__session_queued_bytes(const struct smf__conn *conn);
/* Likewise, where the transport is what it waits for; 0 where it is credit alone. */
uint64_t smf__session_backlog_bytes(const struct smf__conn *conn);
/* What is due in the middle of a turn (sent: its sends have been collected) or at its end: credit is given,
 * slices are sent, the driver is told. */
void smf__session_work(struct smf__rpc *rpc, int sent);
/* Whether that may be anything: every list that it looks at is of sessions with an entry. */
static inline int smf__session_is_due(const struct smf__rpc *rpc)
{
    return rpc->sessions_open != 0 || rpc->put_conn != NULL;
}
void smf__session_open_room(struct smf__rpc *rpc);
void smf__session_close_room(struct smf__rpc *rpc);
/* smf_core_taken */
int smf__session_taken(struct smf__conn *conn, uint16_t session, uint32_t size_bytes);
/* Something that was sent on it waits for credit, or for the transport. */
int smf__session_waits(const struct smf__conn *conn, uint16_t session);
/* The connection ends: whatever it has of sessions is freed. */
void smf__session_forget(struct smf__conn *conn);

static inline int smf__conn_has_sessions(const struct smf__conn *conn)
{
    return conn->sessions != NULL;
}

/* What is on the path of every call. */

/* Which calls run: a bit for each session. */
static inline uint64_t *smf__level2_running_word(const struct smf__conn *conn, uint16_t session)
{
    return (uint64_t *)(void *)conn->running->data + session / 64u;
}

static inline uint64_t smf__level2_running_bit(uint16_t session)
{
    return 1ull << (session % 64u);
}

static inline int smf__level2_runs(const struct smf__conn *conn, uint16_t session)
{
    return (*smf__level2_running_word(conn, session) & smf__level2_running_bit(session)) != 0;
}

/* The call has its last answer. 0: it does not run. */
static inline int smf__level2_answered(struct smf__conn *conn, uint16_t session)
{
    if (session != 0) { /* session 0 is of all one-way messages: nobody knows which */
        uint64_t *word = smf__level2_running_word(conn, session);

        if (!(*word & smf__level2_running_bit(session)))
            return 0;
        *word &= ~smf__level2_running_bit(session);
    }
    if (conn->in_flight == 0)
        return 0;
    conn->in_flight--;
    smf__uncount(conn->rpc->core->turn.in_flight, 1u);
    return 1;
}

/* Whether conn->frame is what most are, a call that may begin or a reply, and nothing besides: the rest is
 * as at level 1. A call then runs; the caller counts it. 0: smf__level2_emit finds out what it is. */
static inline int smf__level2_takes_plain(struct smf__conn *conn)
{
    const struct smf__rpc *rpc = conn->rpc;
    uint16_t session = conn->frame.session;

    if (conn->mode != SMF__MODE_LEVEL2 || conn->frame.flags != 0 || smf__conn_has_sessions(conn))
        return 0;
    if (!conn->accepted)
        return !(conn->goaway & SMF__GOAWAY_OF_PEER);
    if (smf__level2_runs(conn, session) || conn->draining ||
        conn->in_flight >= conn->agreed.calls_max ||
        rpc->core->turn.in_flight >= rpc->config.running_max)
        return 0;
    *smf__level2_running_word(conn, session) |= smf__level2_running_bit(session);
    return 1;
}

#endif
