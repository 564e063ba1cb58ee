/* Sending what sessions have, a frame of each in turn, and putting together what comes in slices.
 *
 * Slices are written while the transport takes everything, and otherwise a batch of them behind each
 * backlog: what is small and plain never waits for more than a batch, and they don't wait for ever. */
#include <stdlib.h>
#include <string.h>

#include <smf/code.h>
#include <smf/flat.h>
#include <smf/flat_build.h>
#include <smf/metadata.h>

#include "frame/frame_inline.h"
#include "mem/mem_count.h"
#include "rpc/rpc_session.h"

#define COPIES_SIZE_BYTES (16u << 10)
#define BATCH_SIZE_BYTES SMF__SLICE_SIZE_BYTES
#define BATCH_SIZE_MAX_BYTES                                                                       \
    (3u * BATCH_SIZE_BYTES)   /* with the frame that filled it, and headers */
#define PIECES_OF_FRAME_MAX 4 /* header, metadata block, size, message */
#define PARKED_DIVISOR 4u     /* of the reserve, 3/4 are for what is parked */
#define PARKED_MULTIPLIER 3u
#define SLICING_MAX 4u /* large messages that a connection sends side by side */
#define HEAD_SIZE_BYTES (SMF_FRAME_HEADER_SIZE_BYTES + SMF__FLOW_PREFIX_SIZE_BYTES)

/* Frames that are written together. */
struct batch {
    struct smf__conn *conn;
    struct smf__piece pieces[SMF__PIECES_MAX];
    uint8_t heads[SMF__PIECES_MAX][HEAD_SIZE_BYTES];
    int count, head_count;
    uint32_t size;
    struct smf__outgoing *done; /* messages whose memory the pieces point into */
};

static struct smf__outgoing *outgoing_new(struct smf__rpc *rpc)
{
    struct smf__outgoing *outgoing = rpc->free_outgoing;

    if (outgoing != NULL) {
        rpc->free_outgoing = outgoing->next;
        return outgoing;
    }
    return malloc(sizeof *outgoing);
}

static void outgoing_free(struct smf__rpc *rpc, struct smf__outgoing *outgoing)
{
    if (outgoing->buffer != NULL)
        smf__buffer_unref(rpc->core->pool, outgoing->buffer);
    outgoing->next = rpc->free_outgoing;
    rpc->free_outgoing = outgoing;
}

void smf__session_go_on(struct smf__conn *conn, uint64_t sent_bytes)
{
    struct smf__sessions *sessions = conn->sessions;

    sessions->ahead_bytes -=
        sent_bytes < sessions->ahead_bytes ? sent_bytes : sessions->ahead_bytes;
    if (!smf__link_alone(&sessions->ready))
        smf__link_append(&conn->rpc->pumping, &sessions->pumping);
}

void smf__session_mark_ready(struct smf__session *session)
{
    smf__link_append(&session->of->ready, &session->ready);
    smf__link_append(&session->of->conn->rpc->pumping, &session->of->pumping);
}

/* A large message that waits is begun, if there is a place for it. Whoever was woken and goes without taking
 * the place has to wake the next one. */
static void begin_next(struct smf__sessions *sessions)
{
    struct smf__session *next;

    if (sessions->slicing >= SLICING_MAX || smf__link_alone(&sessions->waiting))
        return;
    next = SMF__LINK_OF(sessions->waiting.next, struct smf__session, ready);
    smf__link_remove(&next->ready);
    smf__session_mark_ready(next);
}

void smf__session_stop_slicing(struct smf__session *session)
{
    session->of->slicing -= session->slicing;
    session->slicing = 0;
    begin_next(session->of);
}

/* Whether a message may go out now, or go on. The peer has memory for a part of each large message that was
 * begun, and is short of it if hundreds are: so few of them go side by side. A stream may stand still for
 * as long as its reader likes, and keeps nobody from beginning. */
static int may_slice(struct smf__session *session, const struct smf__outgoing *message)
{
    if (session->slicing || session->flow.stream || message->size <= session->flow.slice_max)
        return 1;
    if (session->of->slicing == SLICING_MAX) {
        smf__link_append(&session->of->waiting, &session->ready);
        session->waits = 1;
        return 0;
    }
    session->slicing = 1;
    session->of->slicing++;
    return 1;
}

void smf__session_mark_giving(struct smf__session *session)
{
    if (smf__flow_must_give(&session->flow))
        smf__link_append(&session->of->conn->rpc->giving, &session->giving);
}

uint64_t smf__session_queued_bytes(const struct smf__conn *conn)
{
    return conn->sessions != NULL ? conn->sessions->queued_bytes : 0;
}

uint64_t smf__session_backlog_bytes(const struct smf__conn *conn)
{
    return conn->sessions != NULL && !smf__link_alone(&conn->sessions->ready)
               ? conn->sessions->queued_bytes
               : 0;
}

/* Takes the first message out of the queue. */
static struct smf__outgoing *dequeue(struct smf__session *session)
{
    struct smf__outgoing *first = session->out_first;

    session->of->queued_bytes -= first->metadata_size + first->size;
    session->out_first = first->next;
    if (first->next == NULL)
        session->out_last = NULL;
    return first;
}

void smf__session_drop_queue(struct smf__session *session)
{
    while (session->out_first != NULL)
        outgoing_free(session->of->conn->rpc, dequeue(session));
    smf__link_remove(&session->ready); /* it may be the next one that waits */
    smf__session_stop_slicing(session);
}

/* Memory for a small message that waits: many share a buffer. NULL: there is none. */
static uint8_t *room_for_copy(struct smf__session *session, uint32_t size)
{
    struct smf__pool *pool = session->of->conn->rpc->core->pool;

    if (session->copies == NULL || session->copies->capacity - session->copies_fill < size) {
        struct smf_buffer *fresh = smf__pool_get(pool, COPIES_SIZE_BYTES);

        if (fresh == NULL)
            return NULL;
        if (session->copies != NULL)
            smf__buffer_unref(pool, session->copies);
        session->copies = fresh;
        session->copies_fill = 0;
    }
    session->copies_fill += size;
    return session->copies->data + session->copies_fill - size;
}

/* Gives a message its memory: what goes out at once stays where it is, and so does what is large. */
static void hold_bytes(struct smf__session *session, struct smf__outgoing *outgoing,
                       struct smf_buffer *buffer, uint8_t *payload)
{
    uint32_t whole = outgoing->metadata_size + outgoing->size;
    int waits = session->out_first != NULL || session->of->conn->unsent_first != NULL ||
                session->flow.credit < outgoing->size;
    uint8_t *copy = NULL;

    if (waits && whole < COPIES_SIZE_BYTES)
        copy = room_for_copy(session, whole);
    if (copy != NULL) {
        memcpy(copy, payload, whole);
        payload = copy;
        buffer = session->copies;
    }
    smf__buffer_ref(buffer);
    outgoing->buffer = buffer;
    outgoing->bytes = payload;
}

/* As with what a peer has not taken: whoever lets too much wait is closed. One message may always wait. */
static int is_too_much(struct smf__conn *conn)
{
    return conn->accepted && conn->sessions->queued_bytes != 0 &&
           conn->sessions->queued_bytes + conn->unsent_bytes > conn->rpc->config.unsent_bytes_max;
}

int smf__session_queue(struct smf__session *session, struct smf_buffer *buffer, uint8_t *payload,
                       const struct smf_frame *frame)
{
    struct smf__conn *conn = session->of->conn;
    struct smf__outgoing *outgoing;

    if (is_too_much(conn)) {
        smf__count(conn->rpc->stats.unsent_exceeded, 1);
        smf__conn_close(conn, SMF_CLOSE_SLOW_READER);
        return 0;
    }
    outgoing = outgoing_new(conn->rpc);
    if (outgoing == NULL) {
        smf__conn_close(conn, SMF_CLOSE_NO_MEMORY);
        return 0;
    }
    memset(outgoing, 0, sizeof *outgoing);
    outgoing->meta = frame->meta;
    outgoing->flags = frame->flags;
    outgoing->compression = frame->compression;
    if (frame->flags & SMF_FRAME_METADATA)
        outgoing->metadata_size = smf_flat_load_u32(payload); /* was checked when it was sent */
    outgoing->size = frame->size - outgoing->metadata_size;
    if (frame->size != 0)
        hold_bytes(session, outgoing, buffer, payload);
    if (session->out_last != NULL)
        session->out_last->next = outgoing;
    else
        session->out_first = outgoing;
    session->out_last = outgoing;
    session->of->queued_bytes += frame->size;
    if (conn->pauses & SMF__PAUSE_MEMORY) /* its credit may be in what was not read: look again */
        conn->rpc->hungry_returns = UINT64_MAX;
    smf__session_mark_ready(session);
    return 1;
}

/* Writing. */

static void add_piece(struct batch *batch, struct smf_buffer *buffer, uint8_t *data, uint32_t size)
{
    if (size == 0)
        return;
    batch->pieces[batch->count++] = (struct smf__piece){buffer, data, size};
    batch->size += size;
}

static void write_batch(struct batch *batch)
{
    struct smf__conn *conn = batch->conn;

    if (batch->count != 0 && conn->state != SMF__CONN_CLOSED) {
        smf__conn_write(conn, batch->pieces, batch->count);
        if (conn->sessions != NULL)
            conn->sessions->ahead_bytes = conn->unsent_bytes;
    }
    while (batch->done != NULL) {
        struct smf__outgoing *outgoing = batch->done;

        batch->done = outgoing->next;
        outgoing_free(conn->rpc, outgoing);
    }
    batch->count = batch->head_count = 0;
    batch->size = 0;
}

/* The checksum of a first slice, whose parts lie apart. */
static uint32_t checksum_of_parts(const struct smf_frame *frame, const struct smf__outgoing *from,
                                  const uint8_t *prefix, uint32_t size)
{
    XXH64_state_t state;

    XXH64_reset(&state, smf__frame_seed(frame));
    XXH64_update(&state, from->bytes, from->metadata_size);
    XXH64_update(&state, prefix, SMF__FLOW_PREFIX_SIZE_BYTES);
    XXH64_update(&state, from->bytes + from->metadata_size, size);
    return (uint32_t)XXH64_digest(&state);
}

/* Adds a frame with a part of a message. */
static void add_slice(struct batch *batch, const struct smf__session *session,
                      const struct smf__outgoing *from, const struct smf__flow_slice *slice)
{
    uint32_t metadata_size = slice->offset == 0 ? from->metadata_size : 0;
    uint8_t *head = batch->heads[batch->head_count++];
    uint8_t *prefix = head + SMF_FRAME_HEADER_SIZE_BYTES;
    uint8_t *bytes = from->bytes == NULL ? NULL : from->bytes + from->metadata_size + slice->offset;
    struct smf_frame frame = {.compression = from->compression,
                              .flags = slice->flags,
                              .session = session->id,
                              .size = metadata_size + slice->prefix + slice->size,
                              .meta = from->meta};

    if (metadata_size != 0)
        frame.flags |= SMF_FRAME_METADATA;
    if (slice->prefix != 0) {
        smf_flat_store_u32(prefix, from->size);
        frame.checksum = checksum_of_parts(&frame, from, prefix, slice->size);
    } else {
        frame.checksum = smf__frame_checksum_level2(
            &frame, bytes == NULL ? NULL : bytes - metadata_size, frame.size);
    }
    smf__frame_encode(&frame, head);
    if (slice->prefix != 0 && metadata_size != 0) {
        add_piece(batch, NULL, head, SMF_FRAME_HEADER_SIZE_BYTES);
        add_piece(batch, from->buffer, from->bytes, metadata_size);
        add_piece(batch, NULL, prefix, slice->prefix);
        add_piece(batch, from->buffer, bytes, slice->size);
        return;
    }
    add_piece(batch, NULL, head, SMF_FRAME_HEADER_SIZE_BYTES + slice->prefix);
    add_piece(batch, from->buffer, bytes == NULL ? NULL : bytes - metadata_size,
              metadata_size + slice->size);
}

/* All that the driver sent on a stream is on its way. */
static void queue_is_empty(struct smf__session *session)
{
    if (session->waits && session->flow.stream && session->flow.out == SMF__FLOW_OPEN)
        smf__link_append(&session->of->conn->rpc->telling, &session->telling);
    session->waits = 0;
    if (session->of->conn->draining) /* that may be what it waited for */
        session->of->conn->rpc->core->hurry = 1;
}

/* Adds a session's next frame. 1: it has more, and may send it. */
static int send_next(struct batch *batch, struct smf__session *session)
{
    while (session->out_first != NULL) {
        struct smf__outgoing *first = session->out_first;
        struct smf__flow_slice slice;
        int sending;

        if (!may_slice(session, first))
            return 0;
        sending = smf__flow_send(&session->flow, first->size, first->flags, &slice);
        if (sending == SMF__FLOW_WAIT) {
            session->waits = 1;
            return 0;
        }
        if (sending == SMF__FLOW_DROP) {
            smf__session_stop_slicing(session);
            outgoing_free(batch->conn->rpc, dequeue(session));
            continue;
        }
        add_slice(batch, session, first, &slice);
        session->begun = 1;
        if (!slice.done)
            return 1;
        smf__session_stop_slicing(session);
        (void)dequeue(session);
        first->next = batch->done;
        batch->done = first;
        if (session->out_first == NULL)
            queue_is_empty(session);
        if (smf__session_free_if_over(session))
            return 0;
        return session->out_first != NULL;
    }
    return 0;
}

/* Those that are left wait for the transport. */
static void note_waiting(struct smf__sessions *sessions)
{
    for (struct smf__link *at = sessions->ready.next; at != &sessions->ready; at = at->next)
        SMF__LINK_OF(at, struct smf__session, ready)->waits = 1;
}

/* Whoever does not take his replies is not read until he does. What waits for credit alone does not
 * count: credit comes by reading. */
static void mind_backlog(struct smf__conn *conn)
{
    if (conn->accepted && conn->state == SMF__CONN_OPEN && !(conn->pauses & SMF__PAUSE_UNSENT) &&
        conn->unsent_bytes + smf__session_backlog_bytes(conn) >
            conn->rpc->config.unsent_bytes_max / SMF__RPC_BACKLOG_PAUSE_DIVISOR)
        smf__conn_pause(conn, SMF__PAUSE_UNSENT);
}

/* A batch may go: the transport takes everything, or has taken the batch before and what was in front of it.
 * So what is small and plain waits for a batch at most, and can't keep sessions waiting for ever by being
 * more than the transport takes. Not where the batch would be what makes the backlog too large. */
static int has_turn(const struct smf__conn *conn)
{
    if (conn->unsent_first == NULL)
        return 1;
    return conn->sessions->ahead_bytes == 0 &&
           (!conn->accepted || conn->unsent_bytes + (uint64_t)BATCH_SIZE_MAX_BYTES <=
                                   conn->rpc->config.unsent_bytes_max);
}

/* Sends what the sessions of a connection have, until it is all gone or the transport takes no more. */
static void pump(struct smf__sessions *sessions, int sent)
{
    struct smf__conn *conn = sessions->conn;
    struct batch batch;

    batch.conn = conn;
    batch.count = batch.head_count = 0;
    batch.size = 0;
    batch.done = NULL;
    /* Sessions that end free themselves, and the last one their table: so it is the connection's that is
     * looked at. */
    while (conn->sessions != NULL && has_turn(conn) && conn->state == SMF__CONN_OPEN &&
           !smf__link_alone(&conn->sessions->ready)) {
        struct smf__session *session =
            SMF__LINK_OF(conn->sessions->ready.next, struct smf__session, ready);

        smf__link_remove(&session->ready);
        if (send_next(&batch, session))
            smf__link_append(&session->of->ready, &session->ready);
        if (batch.size >= BATCH_SIZE_BYTES || batch.count + PIECES_OF_FRAME_MAX > SMF__PIECES_MAX)
            write_batch(&batch);
    }
    write_batch(&batch);
    mind_backlog(conn);
    if (sent && conn->sessions != NULL)
        note_waiting(conn->sessions);
}

void smf__session_write(struct smf__session *session, struct smf_buffer *buffer, uint8_t *payload,
                        const struct smf_frame *frame)
{
    struct smf__conn *conn = session->of->conn;
    struct smf_frame sealed = *frame;
    uint8_t head[SMF_FRAME_HEADER_SIZE_BYTES];
    struct smf__piece pieces[2] = {{NULL, head, sizeof head}, {buffer, payload, frame->size}};

    smf__put_flush(conn->rpc);
    if (conn->state == SMF__CONN_CLOSED)
        return;
    sealed.checksum = smf__frame_checksum_level2(&sealed, payload, sealed.size);
    smf__frame_encode(&sealed, head);
    smf__conn_write(conn, pieces, frame->size != 0 ? 2 : 1);
}

void smf__session_put_reset(struct smf__session *session, uint32_t status)
{
    smf__put(session->of->conn,
             (struct smf_frame){.flags = SMF_FRAME_RESET, .session = session->id, .meta = status},
             NULL);
}

/* Messages in slices. */

/* How many bytes a message needs that begins with this frame, with its metadata block, as far as have bytes
 * of the payload tell; 0: it is malformed, which whoever looks at it next finds out. */
static uint64_t bytes_of_message(const struct smf__conn *conn, const uint8_t *payload,
                                 uint32_t have)
{
    const struct smf_frame *frame = &conn->frame;
    uint64_t metadata_size = 0;

    if (frame->flags & SMF_FRAME_METADATA) {
        if (frame->size < sizeof(uint32_t))
            return 0;
        if (have < sizeof(uint32_t))
            return conn->agreed.credit_bytes;
        metadata_size = smf_flat_load_u32(payload);
    }
    if (frame->size < metadata_size + SMF__FLOW_PREFIX_SIZE_BYTES)
        return 0;
    if (have < metadata_size + SMF__FLOW_PREFIX_SIZE_BYTES)
        return conn->agreed.credit_bytes;
    return metadata_size + smf_flat_load_u32(payload + metadata_size);
}

/* Where memory is short, a message that begins waits with its connection, which is not read until there is
 * some. But not where that has to be read on: then the message is parked (smf__session_body). */
int smf__session_must_read(const struct smf__conn *conn)
{
    return conn->sessions != NULL &&
           (conn->sessions->whole != 0 || conn->sessions->queued_bytes != 0);
}

uint64_t smf__session_must_wait(const struct smf__conn *conn, const uint8_t *payload, uint32_t have)
{
    const struct smf__session *session = smf__session_find(conn, conn->frame.session);
    uint64_t size;

    if (smf__session_must_read(conn))
        return 0;
    if (session != NULL && (session->flow.in_size != 0 || session->flow.discards))
        return 0;
    size = bytes_of_message(conn, payload, have);
    if (size > conn->agreed.message_size_bytes_max ||
        !smf__pool_could_fit(conn->rpc->core->pool, size) || smf__rpc_body_fits(conn->rpc, size))
        return 0;
    return size;
}

static void has_whole(struct smf__session *session)
{
    session->whole = 1;
    session->of->whole++;
}

/* A part of the memory that is kept free for everything else holds what connections bring that have to be
 * read on: of each message a window at most. */
static struct smf_buffer *park(struct smf__session *session, uint64_t size)
{
    struct smf__rpc *rpc = session->of->conn->rpc;
    uint64_t block = smf__pool_block_bytes(size);
    struct smf__pool_stats stats;
    struct smf_buffer *body;

    smf__pool_stats(rpc->core->pool, &stats);
    if (rpc->parked_bytes + block >
        stats.budget_bytes / SMF__RPC_BODY_RESERVE_DIVISOR / PARKED_DIVISOR * PARKED_MULTIPLIER)
        return NULL;
    body = smf__pool_get(rpc->core->pool, size);
    if (body != NULL) {
        session->parked_bytes = block;
        rpc->parked_bytes += block;
    }
    return body;
}

static void no_longer_parked(struct smf__session *session)
{
    session->of->conn->rpc->parked_bytes -= session->parked_bytes;
    session->parked_bytes = 0;
}

struct smf_buffer *smf__session_body(struct smf__session *session, uint32_t metadata_size,
                                     uint32_t size)
{
    struct smf__conn *conn = session->of->conn;
    uint32_t window = conn->agreed.credit_bytes;
    uint64_t whole = (uint64_t)metadata_size + size;
    struct smf_buffer *body = NULL;

    if (smf__rpc_body_fits(conn->rpc, whole))
        body = smf__pool_get(conn->rpc->core->pool, whole);
    if (body == NULL)
        body = park(session, size > window ? (uint64_t)metadata_size + window : whole);
    if (body == NULL) {
        smf__pool_refuse(conn->rpc->core->pool);
        return NULL;
    }
    if (body->capacity >= whole) {
        has_whole(session);
    } else {
        smf__flow_hold(&session->flow);
        smf__link_append(&conn->rpc->hungry_sessions, &session->hungry);
    }
    return body;
}

void smf__session_drop_body(struct smf__session *session)
{
    struct smf__rpc *rpc = session->of->conn->rpc;

    smf__timer_stop(rpc->core->timers, &session->timer);
    smf__link_remove(&session->hungry);
    if (session->body != NULL)
        smf__buffer_unref(rpc->core->pool, session->body);
    session->body = NULL;
    session->of->whole -= session->whole;
    session->whole = 0;
    no_longer_parked(session);
}

void smf__session_placed(struct smf__session *session, const struct smf__flow_step *step,
                         const uint8_t *bytes)
{
    uint64_t at = (uint64_t)session->in_metadata_size + step->offset;

    smf__check(at + step->size <= session->body->capacity);
    memcpy(session->body->data + at, bytes, step->size);
}

/* Memory for all of a message, of which a window has come at most. 0: there is none. */
static int feed(struct smf__session *session)
{
    struct smf__rpc *rpc = session->of->conn->rpc;
    uint64_t have = (uint64_t)session->in_metadata_size + session->flow.in_done;
    uint64_t whole = (uint64_t)session->in_metadata_size + session->flow.in_size;
    struct smf_buffer *body;

    if (!smf__rpc_body_fits(rpc, whole))
        return 0;
    body = smf__pool_get(rpc->core->pool, whole);
    if (body == NULL)
        return 0;
    memcpy(body->data, session->body->data, have);
    smf__buffer_unref(rpc->core->pool, session->body);
    session->body = body;
    has_whole(session);
    no_longer_parked(session);
    smf__link_remove(&session->hungry);
    smf__flow_release(&session->flow);
    smf__session_mark_giving(session);
    return 1;
}

/* Memory has come back: one pass, the longest wait first, and not too many in one turn. The mark stands in
 * front of the next one while a pass goes on. */
static void feed_hungry(struct smf__rpc *rpc)
{
    struct smf__link *list = &rpc->hungry_sessions, *mark = &rpc->hungry_mark;
    struct smf__pool_stats stats;

    smf__pool_stats(rpc->core->pool, &stats);
    if (smf__link_alone(mark)) {
        if (stats.returns == rpc->hungry_sessions_returns)
            return;
        rpc->hungry_sessions_returns = stats.returns;
        smf__link_append(list->next, mark);
    }
    for (uint32_t i = 0; i < SMF__RPC_FEED_MAX && mark->next != list; i++) {
        struct smf__link *at = mark->next;

        smf__link_remove(mark);
        smf__link_append(at->next, mark);
        (void)feed(SMF__LINK_OF(at, struct smf__session, hungry));
    }
    if (mark->next == list)
        smf__link_remove(mark);
    else
        rpc->core->hurry = 1;
}

/* What is due. */

static void give_credit(struct smf__session *session)
{
    struct smf_frame frame = {.flags = SMF_FRAME_CREDIT,
                              .session = session->id,
                              .size = SMF_FRAME_CREDIT_SIZE_BYTES,
                              .meta = SMF_CODE_OK};
    uint32_t given = smf__flow_give(&session->flow);
    uint8_t payload[SMF_FRAME_CREDIT_SIZE_BYTES];

    if (given == 0)
        return;
    smf_flat_store_u32(payload, given);
    smf__put(session->of->conn, frame, payload);
}

void smf__session_work(struct smf__rpc *rpc, int sent)
{
    while (sent && !smf__link_alone(&rpc->over))
        smf__session_free(SMF__LINK_OF(rpc->over.next, struct smf__session, over));
    if (!smf__link_alone(&rpc->hungry_sessions))
        feed_hungry(rpc);
    while (!smf__link_alone(&rpc->giving)) {
        struct smf__session *session = SMF__LINK_OF(rpc->giving.next, struct smf__session, giving);

        smf__link_remove(&session->giving);
        give_credit(session);
    }
    if (rpc->put_conn != NULL)
        smf__put_flush(rpc);
    while (!smf__link_alone(&rpc->pumping)) {
        struct smf__sessions *sessions =
            SMF__LINK_OF(rpc->pumping.next, struct smf__sessions, pumping);

        smf__link_remove(&sessions->pumping);
        pump(sessions, sent);
    }
    if (!sent && !smf__link_alone(&rpc->telling))
        smf__session_tell(rpc);
}
