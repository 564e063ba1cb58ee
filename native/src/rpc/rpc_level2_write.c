/* What goes on a connection of level 2: frames of the program, sealed, and small ones of the engine. */
#include <endian.h>
#include <stddef.h>
#include <string.h>

#include "frame/frame_inline.h"
#include "mem/mem_count.h"
#include "rpc/rpc_level2.h"

/* What a program may set. */
#define FLAGS_OF_PROGRAMS                                                                          \
    (SMF_FRAME_METADATA | SMF_FRAME_STREAM | SMF_FRAME_FIN | SMF_FRAME_RESET | SMF_FRAME_ONE_WAY)

enum verdict { WRITE_IT, DROP_IT, DEALT_WITH };

/* The hash out of line: inlined it is in seal_in_place, which every call needs. */
static void seal(uint8_t *at, struct smf_frame *frame)
{
    frame->checksum =
        smf_frame_checksum_level2(frame, at + SMF_FRAME_HEADER_SIZE_BYTES, frame->size);
    smf__frame_encode(frame, at);
}

/* The same for a frame that was encoded before, but for its checksum and MAY_PAD: what is there already is
 * not written again, and nothing is read that was just written in pieces. */
static inline void seal_in_place(uint8_t *at, struct smf_frame frame)
{
    uint32_t checksum =
        htole32(smf__frame_checksum_level2(&frame, at + SMF_FRAME_HEADER_SIZE_BYTES, frame.size));

    at[offsetof(struct smf_frame, flags)] = frame.flags;
    memcpy(at + offsetof(struct smf_frame, checksum), &checksum, sizeof checksum);
}

void smf__level2_write(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *frame_bytes,
                       const struct smf_frame *frame)
{
    struct smf_frame sealed = *frame;
    struct smf__piece piece = {buffer, frame_bytes, SMF_FRAME_HEADER_SIZE_BYTES + frame->size};

    seal(frame_bytes, &sealed);
    if (conn->state != SMF__CONN_CLOSED)
        smf__conn_write(conn, &piece, 1);
}

void smf__put_flush(struct smf__rpc *rpc)
{
    struct smf__conn *conn = rpc->put_conn;
    struct smf__piece piece = {NULL, rpc->put, rpc->put_size};

    if (conn == NULL)
        return;
    rpc->put_conn = NULL;
    rpc->put_size = 0;
    smf__conn_write(conn, &piece, 1);
}

void smf__put(struct smf__conn *conn, struct smf_frame frame, const void *payload)
{
    struct smf__rpc *rpc = conn->rpc;
    uint32_t whole = SMF_FRAME_HEADER_SIZE_BYTES + frame.size;
    uint8_t *at;

    smf__check(whole <= sizeof rpc->put);
    if (rpc->put_conn != conn || rpc->put_size + whole > sizeof rpc->put)
        smf__put_flush(rpc);
    if (conn->state == SMF__CONN_CLOSED)
        return;
    rpc->put_conn = conn;
    at = rpc->put + rpc->put_size;
    if (frame.size != 0)
        memcpy(at + SMF_FRAME_HEADER_SIZE_BYTES, payload, frame.size);
    if (conn->level == 1) {
        frame.checksum = smf_frame_checksum(payload, frame.size);
        smf__frame_encode(&frame, at);
    } else {
        seal(at, &frame);
    }
    rpc->put_size += whole;
}

/* Of an accepted connection: an answer, once for each call. */
static enum verdict judge_answer(struct smf__conn *conn, uint16_t session)
{
    struct smf__rpc *rpc = conn->rpc;

    if (!smf__level2_answered(conn, session)) {
        smf__count(rpc->stats.stale_replies, 1);
        return DROP_IT;
    }
    if (session == 0) /* of a one-way message: it only says that it is over */
        return DROP_IT;
    smf__count(rpc->stats.replies_sent, 1);
    return WRITE_IT;
}

/* Of a connection that we opened: a call, or that one is given up. */
static enum verdict judge_call(struct smf__conn *conn, uint32_t flags)
{
    if (flags & SMF_FRAME_RESET)
        return WRITE_IT;
    if (!(flags & SMF_FRAME_ONE_WAY))
        conn->in_flight++;
    smf__count(conn->rpc->stats.requests_sent, 1);
    return WRITE_IT;
}

static inline enum verdict judge(struct smf__conn *conn, const struct smf_frame *frame)
{
    return conn->accepted ? judge_answer(conn, frame->session) : judge_call(conn, frame->flags);
}

/* Most frames: nothing but a call or its answer. */
static int is_plain(const struct smf__conn *conn, const struct smf_frame *frame)
{
    return frame->flags == 0 && frame->size <= SMF__SLICE_SIZE_BYTES &&
           !smf__conn_has_sessions(conn);
}

static int is_of_session(const struct smf__conn *conn, const struct smf_frame *frame)
{
    return (frame->flags & SMF_FRAME_STREAM) != 0 || frame->size > SMF__SLICE_SIZE_BYTES ||
           smf__conn_has_sessions(conn);
}

static void add_piece(struct smf__conn *conn, struct smf__piece *pieces, int *count,
                      struct smf_buffer *buffer, uint8_t *from, const uint8_t *to)
{
    if (from == to || conn->state == SMF__CONN_CLOSED)
        return;
    pieces[(*count)++] = (struct smf__piece){buffer, from, (uint32_t)(to - from)};
    if (*count == SMF__PIECES_MAX) {
        smf__conn_write(conn, pieces, *count);
        *count = 0;
    }
}

/* A frame that sessions may want: what is before it goes first. */
static enum verdict ask_sessions(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *at,
                                 const struct smf_frame *frame, struct smf__piece *pieces,
                                 int *count)
{
    if (*count != 0)
        smf__conn_write(conn, pieces, *count);
    *count = 0;
    if (conn->state == SMF__CONN_CLOSED ||
        smf__session_send(conn, buffer, at, frame) != SMF__SESSION_NONE)
        return DEALT_WITH;
    return judge(conn, frame);
}

/* A frame that is not plain. *from is where what has not been written begins. */
static enum verdict judge_other(struct smf__conn *conn, const struct smf_send *send, uint8_t *at,
                                const struct smf_frame *frame, uint8_t **from,
                                struct smf__piece *pieces, int *count)
{
    if ((frame->flags & ~(uint32_t)FLAGS_OF_PROGRAMS) != 0) {
        smf__count(conn->rpc->stats.frames_dropped, 1);
        return DROP_IT;
    }
    if (!is_of_session(conn, frame))
        return judge(conn, frame);
    add_piece(conn, pieces, count, send->buffer, *from, at);
    *from = at;
    return ask_sessions(conn, send->buffer, at, frame, pieces, count);
}

/* Judges and seals a run; frames that go as they are stay together. */
static void send_run(struct smf__conn *conn, const struct smf_send *send, struct smf__piece *pieces,
                     int *count)
{
    uint8_t *at = send->frames, *end = at + send->size_bytes, *from = at;

    while (at < end && conn->state != SMF__CONN_CLOSED) {
        struct smf_frame frame;
        enum verdict verdict;

        smf__frame_decode(at, &frame);
        frame.flags &= (uint8_t)~SMF_SEND_MAY_PAD;
        verdict = __builtin_expect(is_plain(conn, &frame), 1)
                      ? judge(conn, &frame)
                      : judge_other(conn, send, at, &frame, &from, pieces, count);
        if (verdict == WRITE_IT) {
            seal_in_place(at, frame);
        } else {
            add_piece(conn, pieces, count, send->buffer, from, at);
            from = at + SMF_FRAME_HEADER_SIZE_BYTES + frame.size;
        }
        at += SMF_FRAME_HEADER_SIZE_BYTES + frame.size;
    }
    if (conn->state != SMF__CONN_CLOSED)
        add_piece(conn, pieces, count, send->buffer, from, end);
}

void smf__level2_send(struct smf__conn *conn, const struct smf_send *first,
                      const struct smf_send *end)
{
    struct smf__piece pieces[SMF__PIECES_MAX];
    int count = 0;

    for (const struct smf_send *send = first; send < end && conn->state != SMF__CONN_CLOSED;
         send++) {
        if (conn->mode == SMF__MODE_ASKING)
            smf__hello_hold(conn, send);
        else
            send_run(conn, send, pieces, &count);
    }
    if (conn->state == SMF__CONN_CLOSED)
        return;
    if (count != 0)
        smf__conn_write(conn, pieces, count);
    if (conn->state == SMF__CONN_FINISHING || conn->draining)
        smf__conn_settle(conn);
}
