/* From bytes to events: reading, parsing in place, putting straddling payloads together.
 *
 * Sockets are read into a chunk that the core's connections share; events point into it. Only a
 * payload that is not complete at the end of a read gets a buffer of its own, and the rest of it is
 * read straight into that. */
#include <errno.h>
#include <string.h>

#include "frame/frame_inline.h"
#include "mem/mem_count.h"
#include "rpc/rpc.h"
#include "rpc/rpc_level2.h"

#define NS_PER_MS 1000000ull
#define CLOSE_OF_FAULT(fault)                                                                      \
    ((uint32_t)(fault) + SMF_CLOSE_BAD_COMPRESSION - SMF_FRAME_BAD_COMPRESSION)

void smf__rpc_lend(struct smf__rpc *rpc, struct smf_buffer *buffer)
{
    smf__check(rpc->lent_count < sizeof rpc->lent / sizeof rpc->lent[0]);
    rpc->lent[rpc->lent_count++] = buffer;
}

/* The events of the last turn are over: what they pointed into comes back. */
void smf__rpc_take_back(struct smf__rpc *rpc)
{
    for (uint32_t i = 0; i < rpc->lent_count; i++)
        smf__buffer_unref(rpc->core->pool, rpc->lent[i]);
    rpc->lent_count = 0;
    rpc->chunks_of_turn = 0;
    if (rpc->chunk != NULL && rpc->chunk->refs == 1)
        rpc->chunk_fill = 0;
}

static uint32_t chunk_room(const struct smf__rpc *rpc)
{
    return rpc->chunk == NULL ? 0 : rpc->chunk->capacity - rpc->chunk_fill;
}

/* How much one read may take, beside what is left of a payload: little from a peer that has not sent a
 * good header yet; of large messages a part, so that the peer sends on meanwhile. A read that would end
 * within a message as large as the last one stops before it: its beginning would have to be copied. */
static uint32_t read_room(const struct smf__conn *conn)
{
    uint32_t room = chunk_room(conn->rpc);
    uint64_t message = (uint64_t)SMF_FRAME_HEADER_SIZE_BYTES + conn->frame.size;

    if (conn->accepted && conn->frame.size == 0 && conn->level == 1)
        return room < SMF__RPC_FIRST_READ_BYTES ? room : SMF__RPC_FIRST_READ_BYTES;
    if (room > SMF__RPC_READ_SIZE_MAX_BYTES)
        room = SMF__RPC_READ_SIZE_MAX_BYTES;
    if (message >= SMF__RPC_ALIGN_READS_MIN_BYTES && message <= room)
        room -= (uint32_t)(room % message);
    return room;
}

/* Makes room to read into. 0: not in this turn. */
static int ready_chunk(struct smf__rpc *rpc)
{
    struct smf_buffer *chunk;

    if (chunk_room(rpc) >= SMF__RPC_CHUNK_ROOM_MIN_BYTES)
        return 1;
    if (rpc->chunks_of_turn == SMF__RPC_CHUNKS_OF_TURN_MAX)
        return 0;
    chunk = smf__pool_get(rpc->core->pool, SMF__RPC_CHUNK_SIZE_BYTES);
    if (chunk == NULL) {
        rpc->starved = chunk_room(rpc) == 0;
        return !rpc->starved;
    }
    if (rpc->chunk != NULL)
        smf__rpc_lend(rpc, rpc->chunk);
    rpc->chunk = chunk;
    rpc->chunk_fill = 0;
    rpc->chunks_of_turn++;
    return 1;
}

static int frames_full(const struct smf__rpc *rpc)
{
    return rpc->core->turn.event_count >= SMF__RPC_FRAMES_OF_TURN_MAX;
}

/* Why no further frame of this connection may be handed out now, or 0. */
static uint32_t must_pause(const struct smf__conn *conn)
{
    const struct smf__rpc *rpc = conn->rpc;

    if (frames_full(rpc))
        return SMF__PAUSE_TURN;
    if (conn->accepted &&
        (conn->in_flight >= rpc->config.in_flight_max ||
         rpc->core->turn.in_flight >= rpc->config.running_max) &&
        conn->level == 1) /* those of level 2 get an answer */
        return SMF__PAUSE_IN_FLIGHT;
    return 0;
}

/* A small rest that may stay for long is copied: it would keep a whole chunk from being read into. */
static void keep_rest(struct smf__conn *conn, uint8_t *at, uint32_t size, struct smf_buffer *buffer,
                      uint32_t why)
{
    struct smf_buffer *copy = NULL;

    if (why != SMF__PAUSE_TURN && buffer->capacity >= SMF__RPC_CHUNK_SIZE_BYTES &&
        size <= SMF__RPC_CHUNK_SIZE_BYTES / SMF__RPC_REST_COPY_DIVISOR)
        copy = smf__pool_get(conn->rpc->core->pool, size);
    if (copy != NULL) {
        memcpy(copy->data, at, size);
        at = copy->data;
        buffer = copy;
    } else {
        smf__buffer_ref(buffer);
    }
    conn->rest = at;
    conn->rest_size = size;
    conn->rest_buffer = buffer;
    smf__conn_pause(conn, why);
}

int smf__rpc_body_fits(const struct smf__rpc *rpc, uint64_t size)
{
    struct smf__pool_stats stats;

    smf__pool_stats(rpc->core->pool, &stats);
    return stats.used_bytes + smf__pool_block_bytes(size) <=
           stats.budget_bytes - stats.budget_bytes / SMF__RPC_BODY_RESERVE_DIVISOR;
}

struct smf_buffer *smf__rpc_body_get(struct smf__rpc *rpc, uint64_t size)
{
    if (smf__rpc_body_fits(rpc, size))
        return smf__pool_get(rpc->core->pool, size);
    smf__pool_refuse(rpc->core->pool);
    return NULL;
}

/* One copy of the hash for both levels: at level 1 its seed is 0. */
static int checksum_fits(const struct smf__conn *conn, const uint8_t *payload)
{
    const struct smf_frame *frame = &conn->frame;
    uint64_t seed = conn->mode == SMF__MODE_LEVEL2 ? smf__frame_seed(frame) : 0;

    return (uint32_t)XXH64(payload, frame->size, seed) == frame->checksum;
}

/* Hands a complete payload out. 0: its checksum is wrong and the connection ends. */
static int emit(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer)
{
    struct smf__rpc *rpc = conn->rpc;
    const struct smf_frame *frame = &conn->frame;
    struct smf_event *event;

    conn->have_frame = 0;
    if (smf__timer_running(&conn->read_timer)) /* what follows has its own time */
        smf__timer_stop(rpc->core->timers, &conn->read_timer);
    if (__builtin_expect(!checksum_fits(conn, payload), 0)) {
        smf__conn_finish(conn, SMF_CLOSE_CHECKSUM_MISMATCH, 0);
        return 0;
    }
    if (conn->mode != SMF__MODE_LEVEL1 && !smf__level2_takes_plain(conn)) {
        int taken = smf__level2_emit(conn, payload, buffer);

        if (taken != SMF__HELLO_IS_NONE)
            return taken;
    }
    event = smf__rpc_event(rpc, conn, conn->accepted ? SMF_EVENT_REQUEST : SMF_EVENT_REPLY);
    event->compression = frame->compression;
    event->session = frame->session;
    event->meta = frame->meta;
    event->size_bytes = frame->size;
    event->payload = payload;
    event->buffer = buffer;
    if (conn->accepted) {
        conn->in_flight++;
        smf__count(rpc->core->turn.in_flight, 1u);
        smf__count(rpc->stats.requests, 1);
    } else {
        conn->in_flight -= conn->in_flight != 0;
        smf__count(rpc->stats.replies, 1);
    }
    return 1;
}

/* Why the connection ends because of its frame's header, or 0. */
static uint32_t fault_of(const struct smf__conn *conn)
{
    int fault = conn->mode == SMF__MODE_LEVEL2 ? smf__frame_check_level2(&conn->frame)
                                               : smf__frame_check_level1(&conn->frame);

    if (__builtin_expect(fault == SMF_FRAME_GOOD, 1))
        return 0;
    return conn->mode == SMF__MODE_LEVEL2 ? SMF_CLOSE_BAD_FRAME : CLOSE_OF_FAULT(fault);
}

/* Reads a header, which may have come in pieces. Returns 1 when there is one, 0 when more bytes are
 * needed, -1 when the connection ends because of it. */
static int take_header(struct smf__conn *conn, uint8_t **at, uint32_t *size)
{
    struct smf__rpc *rpc = conn->rpc;
    uint32_t missing = SMF_FRAME_HEADER_SIZE_BYTES - conn->head_have;
    uint32_t why;

    if (conn->head_have == 0 && *size >= missing) {
        smf__frame_decode(*at, &conn->frame);
    } else {
        if (*size < missing)
            missing = *size;
        memcpy(conn->head + conn->head_have, *at, missing);
        conn->head_have += (uint8_t)missing;
        if (conn->head_have == SMF_FRAME_HEADER_SIZE_BYTES)
            smf__frame_decode(conn->head, &conn->frame);
    }
    *at += missing;
    *size -= missing;
    if (conn->head_have != 0 && conn->head_have < SMF_FRAME_HEADER_SIZE_BYTES)
        return 0;
    conn->head_have = 0;
    why = fault_of(conn);
    if (why != 0) {
        smf__conn_finish(conn, why, 0);
        return -1;
    }
    if (conn->frame.size > rpc->frame_size_fits_max) {
        smf__conn_finish(conn, SMF_CLOSE_FRAME_TOO_LARGE, 0);
        return -1;
    }
    conn->have_frame = 1;
    return 1;
}

/* Hands out every whole frame of size bytes at at, which live in buffer. */
static void parse(struct smf__conn *conn, uint8_t *at, uint32_t size, struct smf_buffer *buffer)
{
    smf__check(at != NULL);
    while (size > 0) {
        if (!conn->have_frame) {
            uint32_t why = conn->head_have == 0 ? must_pause(conn) : 0;

            if (why != 0) {
                keep_rest(conn, at, size, buffer, why);
                return;
            }
            if (take_header(conn, &at, &size) <= 0)
                return;
        }
        if (__builtin_expect((conn->frame.flags & SMF_FRAME_MORE) != 0, 0) && size != 0) {
            conn->wanted_bytes = smf__session_must_wait(conn, at, size);
            if (conn->wanted_bytes != 0) {
                keep_rest(conn, at, size, buffer, SMF__PAUSE_MEMORY);
                return;
            }
        }
        if (size < conn->frame.size) {
            if (size == 0)
                return;
            conn->body = smf__session_must_read(conn)
                             ? smf__pool_get(conn->rpc->core->pool, conn->frame.size)
                             : smf__rpc_body_get(conn->rpc, conn->frame.size);
            if (conn->body == NULL) {
                conn->wanted_bytes = conn->frame.size;
                keep_rest(conn, at, size, buffer, SMF__PAUSE_MEMORY);
                return;
            }
            memcpy(conn->body->data, at, size);
            conn->body_have = size;
            return;
        }
        if (!emit(conn, at, buffer))
            return;
        at += conn->frame.size;
        size -= conn->frame.size;
    }
}

/* A peer that has begun a header or a payload must end it in time, and a payload does not wait for memory
 * for longer. The timer runs from the first byte and is not moved by further ones. */
static void mind_time(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;
    uint32_t timing, limit_ms;
    int hungry;

    if (conn->state != SMF__CONN_OPEN || conn->mode == SMF__MODE_ASKING)
        return; /* the timer is stopped, or means something else */
    hungry = conn->rest_size != 0 && (conn->pauses & SMF__PAUSE_MEMORY);
    if ((conn->rest_size != 0 && !hungry) || (!conn->have_frame && conn->head_have == 0)) {
        smf__timer_stop(rpc->core->timers, &conn->read_timer);
        return;
    }
    timing = hungry             ? SMF_CLOSE_NO_MEMORY
             : conn->have_frame ? SMF_CLOSE_BODY_TIMEOUT
                                : SMF_CLOSE_HEADER_TIMEOUT;
    if (smf__timer_running(&conn->read_timer) && conn->timing == timing)
        return;
    conn->timing = (uint8_t)timing;
    limit_ms = conn->have_frame ? rpc->config.body_timeout_ms : rpc->config.header_timeout_ms;
    smf__timer_start(rpc->core->timers, &conn->read_timer,
                     rpc->core->turn.now_ns + limit_ms * NS_PER_MS);
}

static void mind_time_of_new(struct smf__conn *conn, int was_waiting)
{
    if (was_waiting || conn->have_frame || conn->head_have != 0)
        mind_time(conn);
}

/* The peer sends nothing more. What it is still owed goes out; one of level 2 has no half of a
 * connection, and what it has called is cancelled. */
static void end_of_stream(struct smf__conn *conn)
{
    int owed =
        conn->accepted && (conn->in_flight != 0 || conn->unsent_first != NULL) && conn->level == 1;

    if (owed)
        smf__conn_finish(conn, SMF_CLOSE_BY_PEER, 0);
    else
        smf__conn_close(conn, SMF_CLOSE_BY_PEER);
}

/* Reads and throws away until the peer closes, or has sent too much. */
static void linger(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;
    struct iovec vector;
    int64_t size;

    if (!ready_chunk(rpc))
        return;
    vector.iov_base = rpc->chunk->data + rpc->chunk_fill;
    vector.iov_len = chunk_room(rpc);
    if (vector.iov_len > SMF__RPC_LINGER_READ_BYTES)
        vector.iov_len = SMF__RPC_LINGER_READ_BYTES;
    size = rpc->net->ops->recv(conn->stream, &vector, 1);
    if (size > 0) {
        conn->thrown_bytes += (uint32_t)size;
        if (!smf__conn_throws_away(conn))
            smf__conn_interest(conn);
    } else if (size != -EAGAIN) {
        smf__conn_close(conn, conn->reason);
    }
}

static void took(struct smf__conn *conn, uint32_t size)
{
    struct smf__rpc *rpc = conn->rpc;
    uint32_t missing;

    conn->active_ns = rpc->core->turn.now_ns;
    smf__count(rpc->stats.bytes_received, size);
    if (conn->body != NULL) {
        struct smf_buffer *body = conn->body;

        missing = conn->frame.size - conn->body_have;
        if (size < missing) {
            conn->body_have += size;
            return;
        }
        size -= missing;
        conn->body = NULL;
        smf__rpc_lend(rpc, body);
        smf__count(rpc->stats.frames_assembled, 1);
        if (!emit(conn, body->data, body))
            return;
    }
    if (size > 0) {
        uint8_t *at = rpc->chunk->data + rpc->chunk_fill;

        rpc->chunk_fill += size;
        parse(conn, at, size, rpc->chunk);
    }
}

/* There is no memory to read into, and those who have gone may hold it: one of level 2, which has no half of a
 * connection, ends before all that it has sent was read. Who is of level 1 may wait for his replies. */
static void mind_end(struct smf__conn *conn)
{
    if (conn->rpc->starved && conn->level > 1 && conn->rpc->net->ops->stream_ended(conn->stream))
        smf__conn_close(conn, SMF_CLOSE_BY_PEER);
}

void smf__conn_read(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;
    struct iovec vectors[2];
    int count = 0, was_waiting = smf__timer_running(&conn->read_timer);
    int64_t size;

    if (conn->state == SMF__CONN_LINGERING) {
        linger(conn);
        return;
    }
    if (conn->state != SMF__CONN_OPEN || conn->pauses != 0 || frames_full(rpc))
        return;
    if (!ready_chunk(rpc)) {
        mind_end(conn);
        return;
    }
    if (conn->body != NULL) {
        vectors[count].iov_base = conn->body->data + conn->body_have;
        vectors[count++].iov_len = conn->frame.size - conn->body_have;
    }
    vectors[count].iov_base = rpc->chunk->data + rpc->chunk_fill;
    vectors[count++].iov_len = read_room(conn);
    size = rpc->net->ops->recv(conn->stream, vectors, count);
    if (size > 0) {
        took(conn, (uint32_t)size);
        if (rpc->put_conn != NULL)
            smf__put_flush(rpc);
        mind_time_of_new(conn, was_waiting);
    } else if (size == 0) {
        end_of_stream(conn);
    } else if (size != -EAGAIN) {
        smf__conn_close(conn, SMF_CLOSE_BROKEN);
    }
}

/* Which of its pauses still hold. */
static uint32_t pauses_left(const struct smf__conn *conn)
{
    const struct smf__rpc *rpc = conn->rpc;
    uint32_t left = 0;

    if ((conn->pauses & SMF__PAUSE_IN_FLIGHT) && must_pause(conn) == SMF__PAUSE_IN_FLIGHT)
        left |= SMF__PAUSE_IN_FLIGHT;
    if ((conn->pauses & SMF__PAUSE_UNSENT) &&
        conn->unsent_bytes + smf__session_backlog_bytes(conn) >
            rpc->config.unsent_bytes_max / SMF__RPC_BACKLOG_PAUSE_DIVISOR / 2)
        left |= SMF__PAUSE_UNSENT;
    return left;
}

/* Goes on with bytes that were read in an earlier turn. */
static void parse_rest(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;
    struct smf_buffer *buffer = conn->rest_buffer;
    uint32_t size = conn->rest_size, events = rpc->core->turn.event_count;

    conn->rest_buffer = NULL;
    conn->rest_size = 0;
    parse(conn, conn->rest, size, buffer);
    if (rpc->core->turn.event_count != events)
        smf__rpc_lend(rpc, buffer);
    else
        smf__buffer_unref(rpc->core->pool, buffer);
}

/* Lets a connection go on, unless it is paused for another reason. */
static void go_on(struct smf__conn *conn, uint32_t left)
{
    struct smf__rpc *rpc = conn->rpc;

    conn->pauses = (uint8_t)left;
    if (left != 0) {
        conn->listed = SMF__LIST_PAUSED;
        conn->next = rpc->paused;
        rpc->paused = conn;
        return;
    }
    if (conn->rest_size != 0)
        parse_rest(conn);
    if (rpc->put_conn != NULL)
        smf__put_flush(rpc);
    mind_time(conn);
    smf__conn_interest(conn);
}

/* Wakes the paused connections whose reason is gone. */
void smf__rpc_resume(struct smf__rpc *rpc)
{
    struct smf__conn *conn = rpc->paused, *next;

    for (rpc->paused = NULL; conn != NULL; conn = next) {
        next = conn->next;
        conn->listed = SMF__LIST_NONE;
        if (conn->state == SMF__CONN_CLOSED) {
            conn->next = rpc->closed;
            rpc->closed = conn;
            continue;
        }
        go_on(conn, conn->state != SMF__CONN_OPEN ? 0
                    : frames_full(rpc)            ? conn->pauses
                                                  : pauses_left(conn));
    }
}

/* Whether the connection's payload gets memory now. */
static int body_comes(struct smf__rpc *rpc, uint64_t size)
{
    struct smf_buffer *body =
        smf__rpc_body_fits(rpc, size) ? smf__pool_get(rpc->core->pool, size) : NULL;

    if (body == NULL) /* there may be enough, but not in one piece */
        return 0;
    smf__buffer_unref(rpc->core->pool, body);
    return 1;
}

/* Looks through the connections that wait for memory, the longest first: one pass after memory has come
 * back, and not too many in one turn. Thousands that ask for more than there is must not take the time of
 * the others, nor keep those behind them from what there is. */
void smf__rpc_feed(struct smf__rpc *rpc)
{
    struct smf__pool_stats stats;

    smf__pool_stats(rpc->core->pool, &stats);
    if (rpc->hungry_next == NULL && stats.returns != rpc->hungry_returns) {
        rpc->hungry_returns = stats.returns;
        rpc->hungry_next = rpc->hungry_first;
        rpc->hungry_end = rpc->hungry_last;
    }
    for (uint32_t i = 0; i < SMF__RPC_FEED_MAX && rpc->hungry_next != NULL; i++) {
        struct smf__conn *conn = rpc->hungry_next;

        if (frames_full(rpc))
            break;
        rpc->hungry_next = conn == rpc->hungry_end ? NULL : conn->next;
        if (conn->state == SMF__CONN_OPEN && !smf__session_must_read(conn) &&
            !body_comes(rpc, conn->wanted_bytes))
            continue;
        smf__conn_no_longer_hungry(conn);
        go_on(conn, conn->state == SMF__CONN_OPEN ? pauses_left(conn) : 0);
    }
    if (rpc->hungry_next != NULL)
        rpc->core->hurry = 1;
}
