/* From sends to bytes: checksums, writing, and the backlog of what a peer has not taken yet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <smf/code.h>
#include <smf/metadata.h>

#include "frame/frame_inline.h"
#include "mem/mem_count.h"
#include "rpc/rpc.h"
#include "rpc/rpc_level2.h"

#define NS_PER_MS 1000000ull
#define PAD_SIZE_BYTES 8u
#define COPY_BUFFER_SIZE_BYTES (16u << 10)

const uint8_t smf__empty_table[SMF__EMPTY_TABLE_SIZE_BYTES] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0};

struct smf__segment *smf__segment_new(struct smf__rpc *rpc)
{
    struct smf__segment *segment = rpc->free_segments;

    if (segment != NULL) {
        rpc->free_segments = segment->next;
        return segment;
    }
    return malloc(sizeof *segment); /* a slow peer's business, not the fast path's */
}

void smf__segment_free(struct smf__rpc *rpc, struct smf__segment *segment)
{
    smf__buffer_unref(rpc->core->pool, segment->buffer);
    segment->next = rpc->free_segments;
    rpc->free_segments = segment;
}

void smf__conn_forget_unsent(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->unsent_first != NULL)
        smf__uncount(rpc->core->turn.unsent, 1u);
    while (conn->unsent_first != NULL) {
        struct smf__segment *segment = conn->unsent_first;

        conn->unsent_first = segment->next;
        smf__segment_free(rpc, segment);
    }
    conn->unsent_last = NULL;
    conn->unsent_bytes = 0;
    smf__timer_stop(rpc->core->timers, &conn->send_timer);
}

static void start_send_timer(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;

    smf__timer_start(rpc->core->timers, &conn->send_timer,
                     rpc->core->turn.now_ns + rpc->config.send_timeout_ms * NS_PER_MS);
}

static void append_segment(struct smf__conn *conn, struct smf__segment *segment)
{
    segment->next = NULL;
    if (conn->unsent_last != NULL) {
        conn->unsent_last->next = segment;
    } else {
        conn->unsent_first = segment;
        smf__count(conn->rpc->core->turn.unsent, 1u);
        if (conn->state != SMF__CONN_CONNECTING)
            start_send_timer(conn);
    }
    conn->unsent_last = segment;
}

/* Adds to the last segment's buffer, when it is a copy with room behind its data. */
static int append_in_place(struct smf__conn *conn, const struct smf__piece *piece)
{
    struct smf__segment *last = conn->unsent_last;
    uint8_t *end;

    if (last == NULL || last->buffer->refs != 1 || last->buffer->capacity != COPY_BUFFER_SIZE_BYTES)
        return 0;
    end = last->data + last->size_bytes;
    if ((uint32_t)(last->buffer->data + last->buffer->capacity - end) < piece->size)
        return 0;
    memcpy(end, piece->data, piece->size);
    last->size_bytes += piece->size;
    return 1;
}

/* Keeps a piece until the peer takes it: small ones are copied, large ones hold their buffer. */
static int keep(struct smf__conn *conn, const struct smf__piece *piece)
{
    struct smf__rpc *rpc = conn->rpc;
    int copy = piece->buffer == NULL || piece->size < SMF__RPC_BACKLOG_COPY_MAX_BYTES;
    struct smf__segment *segment;

    conn->unsent_bytes += piece->size;
    if (copy && append_in_place(conn, piece))
        return SMF_OK;
    segment = smf__segment_new(rpc);
    if (segment == NULL)
        return SMF_ENOMEM;
    segment->size_bytes = piece->size;
    if (copy) {
        segment->buffer = smf__pool_get(rpc->core->pool, COPY_BUFFER_SIZE_BYTES);
        if (segment->buffer == NULL) {
            segment->next = rpc->free_segments;
            rpc->free_segments = segment;
            return SMF_ENOMEM;
        }
        segment->data = segment->buffer->data;
        memcpy(segment->data, piece->data, piece->size);
    } else {
        smf__buffer_ref(piece->buffer);
        segment->buffer = piece->buffer;
        segment->data = piece->data;
    }
    append_segment(conn, segment);
    return SMF_OK;
}

/* Keeps what is left of the pieces after sent bytes, and sees to the limits. */
static void keep_left(struct smf__conn *conn, const struct smf__piece *pieces, int count,
                      uint64_t sent)
{
    const struct smf__rpc_config *config = &conn->rpc->config;

    for (int i = 0; i < count; i++) {
        struct smf__piece left = pieces[i];

        if (sent >= left.size) {
            sent -= left.size;
            continue;
        }
        left.data += sent;
        left.size -= (uint32_t)sent;
        sent = 0;
        if (keep(conn, &left) != SMF_OK) {
            smf__conn_close(conn, SMF_CLOSE_NO_MEMORY);
            return;
        }
    }
    if (conn->unsent_first == NULL)
        return;
    if (conn->accepted && conn->unsent_bytes > config->unsent_bytes_max) {
        smf__count(conn->rpc->stats.unsent_exceeded, 1);
        smf__conn_close(conn, SMF_CLOSE_SLOW_READER);
        return;
    }
    if (conn->accepted && !(conn->pauses & SMF__PAUSE_UNSENT) &&
        conn->unsent_bytes > config->unsent_bytes_max / SMF__RPC_BACKLOG_PAUSE_DIVISOR)
        smf__conn_pause(conn, SMF__PAUSE_UNSENT);
    else
        smf__conn_interest(conn);
}

void smf__conn_write(struct smf__conn *conn, const struct smf__piece *pieces, int count)
{
    struct smf__rpc *rpc = conn->rpc;
    struct iovec vectors[SMF__PIECES_MAX];
    uint64_t total = 0;
    int64_t sent = 0;

    for (int i = 0; i < count; i++) {
        vectors[i].iov_base = pieces[i].data;
        vectors[i].iov_len = pieces[i].size;
        total += pieces[i].size;
    }
    if (conn->unsent_first == NULL && conn->state != SMF__CONN_CONNECTING)
        sent = rpc->net->ops->send(conn->stream, vectors, count);
    if (sent == -EAGAIN)
        sent = 0;
    if (sent < 0) {
        smf__conn_close(conn, SMF_CLOSE_BROKEN);
        return;
    }
    smf__count(rpc->stats.bytes_sent, total);
    if ((uint64_t)sent < total)
        keep_left(conn, pieces, count, (uint64_t)sent);
}

/* The peer has taken so many bytes of the backlog. */
static void peer_took(struct smf__conn *conn, uint64_t sent)
{
    struct smf__rpc *rpc = conn->rpc;

    conn->unsent_bytes -= sent;
    while (sent > 0) {
        struct smf__segment *first = conn->unsent_first;
        uint32_t part;

        smf__check(first != NULL);
        part = sent < first->size_bytes ? (uint32_t)sent : first->size_bytes;
        sent -= part;
        first->data += part;
        first->size_bytes -= part;
        if (first->size_bytes != 0)
            return;
        conn->unsent_first = first->next;
        smf__segment_free(rpc, first);
    }
    if (conn->unsent_first == NULL) {
        conn->unsent_last = NULL;
        smf__uncount(rpc->core->turn.unsent, 1u);
    }
}

/* The peer takes again. */
void smf__conn_flush(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;
    uint64_t before = conn->unsent_bytes;

    while (conn->unsent_first != NULL) {
        struct iovec vectors[SMF__PIECES_MAX];
        int count = 0;
        int64_t sent;

        for (struct smf__segment *at = conn->unsent_first; at != NULL && count < SMF__PIECES_MAX;
             at = at->next) {
            vectors[count].iov_base = at->data;
            vectors[count++].iov_len = at->size_bytes;
        }
        sent = rpc->net->ops->send(conn->stream, vectors, count);
        if (sent == -EAGAIN)
            break;
        if (sent < 0) {
            smf__conn_close(conn, SMF_CLOSE_BROKEN);
            return;
        }
        start_send_timer(conn);
        peer_took(conn, (uint64_t)sent);
    }
    if (conn->sessions != NULL)
        smf__session_go_on(conn, before - conn->unsent_bytes);
    if (conn->unsent_first == NULL)
        smf__timer_stop(rpc->core->timers, &conn->send_timer);
    else if (!smf__timer_running(&conn->send_timer))
        start_send_timer(conn);
    smf__conn_interest(conn);
    smf__conn_settle(conn);
}

/* What level 1 does not know: flags, and payloads of 0 bytes. */
static int is_of_level2(const struct smf_frame *frame)
{
    return (frame->flags & (uint8_t)~SMF_SEND_MAY_PAD) != 0 || frame->size == 0;
}

/* Fills the checksums in, of level 1. Returns the first frame that can't go as it is, or NULL: its
 * checksum is 0, which the wire does not allow, or it is of level 2. */
static uint8_t *seal(uint8_t *at, uint32_t size)
{
    uint8_t *end = at + size;

    while (at < end) {
        struct smf_frame frame;

        smf__frame_decode(at, &frame);
        if (__builtin_expect(is_of_level2(&frame), 0))
            return at;
        frame.checksum = smf__frame_checksum(at + SMF_FRAME_HEADER_SIZE_BYTES, frame.size);
        if (__builtin_expect(frame.checksum == 0, 0))
            return at;
        frame.flags &= (uint8_t)~SMF_SEND_MAY_PAD;
        smf__frame_encode(&frame, at);
        at += SMF_FRAME_HEADER_SIZE_BYTES + frame.size;
    }
    return NULL;
}

static void write_one(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *data,
                      uint32_t size)
{
    struct smf__piece piece = {buffer, data, size};

    if (size != 0 && conn->state != SMF__CONN_CLOSED)
        smf__conn_write(conn, &piece, 1);
}

/* Sends a copy of a FlatBuffer with zero bytes behind it. */
static int write_padded(struct smf__conn *conn, const uint8_t *bytes, struct smf_frame frame)
{
    struct smf__rpc *rpc = conn->rpc;
    uint32_t whole = SMF_FRAME_HEADER_SIZE_BYTES + frame.size;
    struct smf_buffer *copy = smf__pool_get(rpc->core->pool, (uint64_t)whole + PAD_SIZE_BYTES);

    if (copy == NULL)
        return SMF_ENOMEM;
    memcpy(copy->data, bytes, whole);
    memset(copy->data + whole, 0, PAD_SIZE_BYTES);
    for (uint32_t pad = 4; pad <= PAD_SIZE_BYTES; pad += 4) {
        struct smf_frame longer = frame;

        longer.size = frame.size + pad;
        smf__frame_encode(&longer, copy->data);
        if (seal(copy->data, whole + pad) == NULL) {
            write_one(conn, copy, copy->data, whole + pad);
            break;
        }
    }
    smf__buffer_unref(rpc->core->pool, copy);
    return SMF_OK;
}

/* Sends a status without a payload, or a call that may not be empty, with an empty table. */
static void write_empty_table(struct smf__conn *conn, struct smf_frame frame)
{
    uint8_t bytes[SMF_FRAME_HEADER_SIZE_BYTES + sizeof smf__empty_table];

    frame.compression = frame.flags = 0;
    frame.size = sizeof smf__empty_table;
    smf__frame_encode(&frame, bytes);
    memcpy(bytes + SMF_FRAME_HEADER_SIZE_BYTES, smf__empty_table, sizeof smf__empty_table);
    (void)seal(bytes, sizeof bytes);
    write_one(conn, NULL, bytes, sizeof bytes);
}

/* A payload that happens to have checksum 0 and may not be changed: its sender gets an error. */
static void refuse_frame(struct smf__conn *conn, struct smf_frame frame)
{
    if (!conn->accepted) {
        struct smf_turn *turn = &conn->rpc->core->turn;
        struct smf_event *event;

        if (turn->event_count == turn->event_capacity) { /* no way to tell of it but this */
            smf__conn_close(conn, SMF_CLOSE_NO_MEMORY);
            return;
        }
        event = smf__rpc_event(conn->rpc, conn, SMF_EVENT_REPLY);
        event->session = frame.session;
        event->meta = SMF_CODE_INTERNAL;
        event->payload = smf__empty_table;
        event->size_bytes = sizeof smf__empty_table;
        return;
    }
    frame.meta = SMF_CODE_INTERNAL;
    write_empty_table(conn, frame);
}

/* It is not sent, and nobody waits for an answer to it. */
static void drop(struct smf__conn *conn)
{
    smf__count(conn->rpc->stats.frames_dropped, 1);
    if (conn->accepted)
        return;
    conn->in_flight -= conn->in_flight != 0;
    smf__uncount(conn->rpc->stats.requests_sent, 1);
}

/* Sends a frame of level 2 on a connection of level 1, without what that one does not know. */
static void write_at_level1(struct smf__conn *conn, const struct smf_send *send, uint8_t *at,
                            struct smf_frame frame)
{
    uint32_t known = SMF_SEND_MAY_PAD | SMF_FRAME_METADATA | SMF_FRAME_FIN | SMF_FRAME_RESET;
    struct smf_metadata block = {0};

    if ((frame.flags & ~known) != 0 || (!conn->accepted && (frame.flags & SMF_FRAME_RESET)) ||
        ((frame.flags & SMF_FRAME_METADATA) &&
         smf_metadata_read(at + SMF_FRAME_HEADER_SIZE_BYTES, frame.size, &block) !=
             SMF_METADATA_GOOD)) {
        drop(conn);
        return;
    }
    at += block.size_bytes; /* the header goes over the block's end */
    frame.size -= block.size_bytes;
    frame.flags &= SMF_SEND_MAY_PAD;
    if (frame.size == 0) {
        write_empty_table(conn, frame);
        return;
    }
    smf__frame_encode(&frame, at);
    if (seal(at, SMF_FRAME_HEADER_SIZE_BYTES + frame.size) == NULL)
        write_one(conn, send->buffer, at, SMF_FRAME_HEADER_SIZE_BYTES + frame.size);
    else if (!(frame.flags & SMF_SEND_MAY_PAD) || write_padded(conn, at, frame) != SMF_OK)
        refuse_frame(conn, frame);
}

/* Sends a run in which the frame at bad can't go as it is. */
static void write_around(struct smf__conn *conn, const struct smf_send *send, uint8_t *bad)
{
    uint8_t *at = send->frames, *end = send->frames + send->size_bytes;

    while (bad != NULL) {
        struct smf_frame frame;

        smf__frame_decode(bad, &frame);
        write_one(conn, send->buffer, at, (uint32_t)(bad - at));
        if (conn->state == SMF__CONN_CLOSED)
            return;
        if (is_of_level2(&frame))
            write_at_level1(conn, send, bad, frame);
        else if (!(frame.flags & SMF_SEND_MAY_PAD) || write_padded(conn, bad, frame) != SMF_OK)
            refuse_frame(conn, frame);
        if (conn->state == SMF__CONN_CLOSED)
            return;
        at = bad + SMF_FRAME_HEADER_SIZE_BYTES + frame.size;
        bad = seal(at, (uint32_t)(end - at));
    }
    write_one(conn, send->buffer, at, (uint32_t)(end - at));
}

static void count_sent(struct smf__conn *conn, uint32_t frames)
{
    struct smf__rpc *rpc = conn->rpc;

    if (!conn->accepted) {
        conn->in_flight += frames;
        smf__count(rpc->stats.requests_sent, frames);
        return;
    }
    if (frames > conn->in_flight) /* somebody answered twice; the peer will notice, we go on */
        frames = conn->in_flight;
    conn->in_flight -= frames;
    smf__uncount(rpc->core->turn.in_flight, frames);
    smf__count(rpc->stats.replies_sent, frames);
}

static int takes_sends(const struct smf__conn *conn)
{
    return conn->state == SMF__CONN_CONNECTING || conn->state == SMF__CONN_OPEN ||
           (conn->state == SMF__CONN_FINISHING && !conn->forget_calls && conn->accepted);
}

/* Sends the runs first..end-1, which all go to conn. */
static void send_group(struct smf__conn *conn, const struct smf_send *first,
                       const struct smf_send *end)
{
    struct smf__piece pieces[SMF__PIECES_MAX];
    int count = 0;

    if (__builtin_expect(conn->mode >= SMF__MODE_ASKING, 0)) {
        smf__level2_send(conn, first, end);
        return;
    }
    for (const struct smf_send *send = first; send < end; send++) {
        uint8_t *bad = seal(send->frames, send->size_bytes);

        count_sent(conn, send->frame_count);
        if (bad == NULL) {
            pieces[count++] = (struct smf__piece){send->buffer, send->frames, send->size_bytes};
            if (count < SMF__PIECES_MAX && send + 1 < end)
                continue;
        }
        if (count != 0)
            smf__conn_write(conn, pieces, count);
        count = 0;
        if (conn->state == SMF__CONN_CLOSED)
            return;
        if (bad != NULL)
            write_around(conn, send, bad);
        if (conn->state == SMF__CONN_CLOSED)
            return;
    }
    if (conn->state == SMF__CONN_FINISHING || conn->draining)
        smf__conn_settle(conn);
}

void smf__rpc_send_collected(struct smf__rpc *rpc)
{
    const struct smf_send *send = rpc->core->turn.sends;
    const struct smf_send *end = send + rpc->core->turn.send_count;

    while (send < end) {
        struct smf__conn *conn = smf__conn_find(rpc, send->conn);
        const struct smf_send *next = send + 1;

        while (next < end && next->conn == send->conn)
            next++;
        if (conn != NULL && takes_sends(conn)) {
            send_group(conn, send, next);
        } else {
            for (; send < next; send++)
                smf__count(rpc->stats.stale_replies, send->frame_count);
        }
        send = next;
    }
}
