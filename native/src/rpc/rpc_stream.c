/* Streams and messages in slices, towards the driver: what it sends, what it is told. */
#include <string.h>

#include <smf/code.h>

#include "mem/mem_count.h"
#include "rpc/rpc_session.h"

/* Events. */

/* An event about what came; without a message, if the rules say that there is none. */
static void hand_out(struct smf__session *session, uint32_t kind, const struct smf__flow_step *step,
                     const uint8_t *bytes, uint32_t metadata_size, struct smf_buffer *buffer)
{
    struct smf__conn *conn = session->of->conn;
    const struct smf_frame *frame = &conn->frame;
    struct smf_event *event = smf__rpc_event(conn->rpc, conn, kind);

    event->session = session->id;
    event->flags = frame->flags;
    event->meta = frame->meta;
    event->payload = smf__empty_table;
    if (step->meaning & SMF__FLOW_THROWN)
        return;
    if (!(step->meaning & SMF__FLOW_PLACE)) {
        event->compression = frame->compression;
        event->metadata_size_bytes = (uint16_t)metadata_size;
        event->size_bytes = frame->size - metadata_size;
        event->payload = bytes;
        event->buffer = buffer;
        return;
    }
    event->compression = session->in_compression;
    event->flags = session->in_flags | (frame->flags & SMF_FRAME_FIN);
    event->metadata_size_bytes = session->in_metadata_size;
    event->size_bytes = step->offset + step->size;
    event->payload = session->body->data + session->in_metadata_size;
    event->buffer = session->body;
    smf__rpc_lend(conn->rpc, session->body);
    session->body = NULL;
    smf__session_drop_body(session);
    smf__count(conn->rpc->stats.frames_assembled, 1);
}

/* A call that was given up before any of it was sent. */
static void tell_unborn(struct smf__session *session, struct smf_event *event)
{
    struct smf__conn *conn = session->of->conn;

    event->kind = SMF_EVENT_REPLY;
    event->flags = SMF_FRAME_RESET; /* no handler has seen it */
    event->meta = session->verdict;
    conn->in_flight -= conn->in_flight != 0;
    smf__link_append(&conn->rpc->over, &session->over);
    if (conn->goaway & SMF__GOAWAY_OF_PEER)
        smf__conn_leave_if_done(conn);
}

void smf__session_tell(struct smf__rpc *rpc)
{
    struct smf_turn *turn = &rpc->core->turn;

    while (!smf__link_alone(&rpc->telling) && turn->event_count < turn->event_capacity) {
        struct smf__session *session =
            SMF__LINK_OF(rpc->telling.next, struct smf__session, telling);
        struct smf_event *event = smf__rpc_event(rpc, session->of->conn, SMF_EVENT_WRITABLE);

        smf__link_remove(&session->telling);
        event->session = session->id;
        event->payload = smf__empty_table;
        if (session->unborn)
            tell_unborn(session, event);
    }
    if (!smf__link_alone(&rpc->telling))
        rpc->core->hurry = 1;
}

static void tell_cancel(struct smf__session *session, uint32_t status)
{
    struct smf__conn *conn = session->of->conn;
    struct smf_event *event = smf__rpc_event(conn->rpc, conn, SMF_EVENT_CANCEL);

    event->flags = SMF_FRAME_RESET;
    event->session = session->id;
    event->meta = status;
    event->payload = smf__empty_table;
}

/* The engine answers a call that the driver has not seen. */
static void answer_unseen(struct smf__session *session, uint32_t status)
{
    int resets = smf__flow_reset(&session->flow);

    session->answered = 1;
    (void)smf__level2_answered(session->of->conn, session->id);
    if (resets)
        smf__session_put_reset(session, status); /* which may close the connection: it comes last */
}

void smf__session_overrule(struct smf__session *session, uint32_t status)
{
    struct smf__conn *conn = session->of->conn;
    int resets = 0;

    smf__session_drop_body(session);
    if (conn->accepted && !session->told) {
        if (!session->answered)
            answer_unseen(session, status);
        return;
    }
    session->verdict = status;
    if (!conn->accepted) {
        smf__session_drop_queue(session);
        resets = smf__flow_reset(&session->flow);
    } else {
        smf__flow_discard(&session->flow);
        if (!session->answered)
            tell_cancel(session, status);
    }
    smf__session_mark_giving(session);
    if (resets)
        smf__session_put_reset(session, SMF_CODE_CANCELLED); /* may close the connection */
}

/* The caller gave up. */
static int cancelled(struct smf__session *session)
{
    struct smf__conn *conn = session->of->conn;
    struct smf_frame last = {.session = session->id, .meta = SMF_CODE_CANCELLED};

    smf__session_drop_queue(session);
    smf__session_drop_body(session);
    if (!session->told && !session->answered) {
        if (!smf__level2_bear(conn, SMF__CONTROL_OF_TURN_MAX + 2 * conn->agreed.calls_max))
            return 0;
        smf__count(conn->rpc->stats.cancels_ignored, 1);
        answer_unseen(session, SMF_CODE_CANCELLED);
        return 1;
    }
    if (session->verdict != 0 && !session->answered)
        return 1; /* the driver knows that it is over */
    if (!session->answered)
        return smf__level2_cancelled(conn, session->id, conn->frame.meta);
    if (session->flow.stream)
        last.flags = SMF_FRAME_STREAM | SMF_FRAME_FIN;
    return smf__session_queue(session, NULL, NULL, &last); /* in place of what was dropped */
}

static int deliver_to_callee(struct smf__session *session, const struct smf__flow_step *step,
                             const uint8_t *bytes, uint32_t metadata_size,
                             struct smf_buffer *buffer)
{
    uint32_t kind = session->told ? SMF_EVENT_MESSAGE : SMF_EVENT_REQUEST;

    if (step->meaning & SMF__FLOW_CANCEL)
        return cancelled(session);
    if (session->answered || session->flow.discards)
        return 1;
    if ((step->meaning & SMF__FLOW_PLACE) && !(step->meaning & SMF__FLOW_MESSAGE))
        return 1;
    if (session->told && !(step->meaning & (SMF__FLOW_MESSAGE | SMF__FLOW_FIN)))
        return 1; /* an empty frame says nothing but fin */
    session->told = 1;
    hand_out(session, kind, step, bytes, metadata_size, buffer);
    return 1;
}

/* The engine's verdict takes the place of a reply, and of all that it brought. */
static void replace_reply(struct smf_event *event, uint32_t verdict)
{
    event->meta = verdict;
    event->flags &= (uint8_t)~SMF_FRAME_METADATA;
    event->compression = SMF_COMPRESSION_NONE;
    event->metadata_size_bytes = 0;
    event->size_bytes = 0;
    event->payload = smf__empty_table;
    event->buffer = NULL;
}

static int deliver_to_caller(struct smf__session *session, const struct smf__flow_step *step,
                             const uint8_t *bytes, uint32_t metadata_size,
                             struct smf_buffer *buffer)
{
    struct smf__conn *conn = session->of->conn;
    struct smf_event *event;

    if (!(step->meaning & SMF__FLOW_LAST)) {
        if (step->meaning & SMF__FLOW_MESSAGE)
            hand_out(session, SMF_EVENT_MESSAGE, step, bytes, metadata_size, buffer);
        return 1;
    }
    hand_out(session, SMF_EVENT_REPLY, step, bytes, metadata_size, buffer);
    event = &conn->rpc->core->turn.events[conn->rpc->core->turn.event_count - 1];
    event->meta = conn->frame.meta;
    if (session->verdict != 0)
        replace_reply(event, session->verdict);
    if (session->verdict != 0 || (step->meaning & SMF__FLOW_TORN))
        event->flags &= (uint8_t)~SMF_FRAME_RESET; /* a handler may have seen it */
    smf__session_drop_queue(session);
    smf__session_drop_body(session);
    if ((step->meaning & SMF__FLOW_MUST_RESET) && smf__flow_reset(&session->flow))
        smf__session_put_reset(session, SMF_CODE_CANCELLED);
    conn->in_flight -= conn->in_flight != 0;
    smf__count(conn->rpc->stats.replies, 1);
    if (conn->goaway & SMF__GOAWAY_OF_PEER)
        smf__conn_leave_if_done(conn);
    return 1;
}

int smf__session_deliver(struct smf__session *session, const struct smf__flow_step *step,
                         const uint8_t *payload, uint32_t metadata_size, struct smf_buffer *buffer)
{
    return session->of->conn->accepted
               ? deliver_to_callee(session, step, payload, metadata_size, buffer)
               : deliver_to_caller(session, step, payload, metadata_size, buffer);
}

/* What the driver sends. */

static int drop(struct smf__conn *conn)
{
    smf__count(conn->rpc->stats.frames_dropped, 1);
    return 1;
}

static int drop_answer(struct smf__conn *conn)
{
    smf__count(conn->rpc->stats.stale_replies, 1);
    return 1;
}

static int is_last(uint32_t flags)
{
    return !(flags & SMF_FRAME_STREAM) || (flags & SMF_FRAME_FIN);
}

/* The driver's answer ends the call: what its caller still sends is not for it. */
static int send_last(struct smf__session *session, struct smf_buffer *buffer, uint8_t *payload,
                     struct smf_frame frame)
{
    struct smf__conn *conn = session->of->conn;

    if (!smf__level2_answered(conn, session->id))
        return drop_answer(conn);
    session->answered = 1;
    smf__count(conn->rpc->stats.replies_sent, 1);
    smf__session_drop_body(session);
    if (session->flow.in == SMF__FLOW_OPEN)
        smf__flow_discard(&session->flow);
    if (session->verdict != 0 && !(frame.flags & SMF_FRAME_RESET)) {
        frame.meta = session->verdict;
        frame.size = 0;
    }
    if (session->flow.out_torn && frame.size > SMF__SLICE_SIZE_BYTES)
        frame.size = 0; /* in one frame, for a caller that gave up */
    if (frame.size == 0) {
        frame.flags &= (uint8_t)~SMF_FRAME_METADATA;
        frame.compression = SMF_COMPRESSION_NONE;
    }
    if (!(frame.flags & SMF_FRAME_RESET))
        return smf__session_queue(session, buffer, payload, &frame);
    smf__session_drop_queue(session);
    if (smf__flow_reset(&session->flow))
        smf__session_write(session, buffer, payload, &frame);
    if (conn->state == SMF__CONN_OPEN)
        (void)smf__session_free_if_over(session);
    return 1;
}

/* An answer to a call that has no entry, and can't go as it is. */
static int send_plain_answer(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *bytes,
                             struct smf_frame frame)
{
    struct smf__session *session;

    if (!is_last(frame.flags))
        return drop(conn);
    if (conn->state != SMF__CONN_OPEN || !smf__level2_runs(conn, frame.session)) {
        (void)smf__level2_answered(conn, frame.session);
        return drop_answer(conn);
    }
    frame.flags &= (uint8_t) ~(SMF_FRAME_STREAM | SMF_FRAME_FIN); /* the call is no stream */
    if (frame.size <= SMF__SLICE_SIZE_BYTES) {
        (void)smf__level2_answered(conn, frame.session);
        smf__count(conn->rpc->stats.replies_sent, 1);
        smf__level2_write(conn, buffer, bytes, &frame);
        return 1;
    }
    session = smf__session_new(conn, frame.session, SMF__FLOW_CALLEE, 0);
    if (session == NULL)
        return 1;
    session->told = 1;
    smf__flow_request_is_over(&session->flow);
    return send_last(session, buffer, bytes + SMF_FRAME_HEADER_SIZE_BYTES, frame);
}

static int send_answer(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *bytes,
                       const struct smf_frame *frame)
{
    struct smf__session *session = smf__session_find(conn, frame->session);
    uint8_t *payload = bytes + SMF_FRAME_HEADER_SIZE_BYTES;

    if (session == NULL) {
        if (!(frame->flags & SMF_FRAME_STREAM) &&
            (frame->size <= SMF__SLICE_SIZE_BYTES || (frame->flags & SMF_FRAME_RESET)))
            return SMF__SESSION_NONE;
        return send_plain_answer(conn, buffer, bytes, *frame);
    }
    if (session->answered || !session->told)
        return drop_answer(conn);
    if (is_last(frame->flags) || (frame->flags & SMF_FRAME_RESET))
        return send_last(session, buffer, payload, *frame);
    if (!session->flow.stream || session->flow.in == SMF__FLOW_RESET || session->verdict != 0)
        return drop(conn); /* nobody wants it any more */
    return smf__session_queue(session, buffer, payload, frame);
}

static int open_call(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *payload,
                     const struct smf_frame *frame)
{
    struct smf__session *session = smf__session_new(conn, frame->session, SMF__FLOW_CALLER,
                                                    (frame->flags & SMF_FRAME_STREAM) != 0);

    if (session == NULL)
        return 1;
    conn->in_flight++;
    smf__count(conn->rpc->stats.requests_sent, 1);
    return smf__session_queue(session, buffer, payload, frame);
}

/* The driver gives a call up. */
static void give_up(struct smf__session *session, uint32_t status)
{
    int sends = session->out_first != NULL; /* else all of it has gone, or it was a plain one */

    smf__session_drop_queue(session);
    smf__session_drop_body(session);
    if (!smf__flow_reset(&session->flow))
        return;
    if (session->begun || !sends) {
        smf__session_mark_giving(session);
        smf__session_put_reset(session, status); /* may close the connection */
        return;
    }
    session->unborn = 1;
    session->verdict = status;
    session->flow.in = SMF__FLOW_ENDED;
    smf__link_append(&session->of->conn->rpc->telling, &session->telling);
}

static int send_call(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *bytes,
                     const struct smf_frame *frame)
{
    struct smf__session *session = smf__session_find(conn, frame->session);
    uint8_t *payload = bytes + SMF_FRAME_HEADER_SIZE_BYTES;
    int opens =
        (frame->flags & SMF_FRAME_STREAM) ||
        (frame->size > SMF__SLICE_SIZE_BYTES && !(frame->flags & SMF_FRAME_ONE_WAY)); /* whole */

    if (session != NULL && smf__flow_over(&session->flow)) {
        if (frame->flags & (SMF_FRAME_STREAM | SMF_FRAME_RESET))
            return drop(conn); /* it crossed the end of the call */
        smf__session_free(session);
        session = NULL;
    }
    if (session == NULL) {
        if ((frame->flags & SMF_FRAME_RESET) || !opens)
            return SMF__SESSION_NONE;
        return open_call(conn, buffer, payload, frame);
    }
    if (frame->flags & SMF_FRAME_RESET) {
        give_up(session, frame->meta);
        return 1;
    }
    if (!(frame->flags & SMF_FRAME_STREAM) || session->flow.out != SMF__FLOW_OPEN)
        return drop(conn);
    return smf__session_queue(session, buffer, payload, frame);
}

int smf__session_send(struct smf__conn *conn, struct smf_buffer *buffer, uint8_t *bytes,
                      const struct smf_frame *frame)
{
    int sent = conn->accepted ? send_answer(conn, buffer, bytes, frame)
                              : send_call(conn, buffer, bytes, frame);

    return sent == SMF__SESSION_NONE ? SMF__SESSION_NONE : 1;
}

int smf__session_taken(struct smf__conn *conn, uint16_t id, uint32_t size_bytes)
{
    struct smf__session *session = smf__session_find(conn, id);

    if (session == NULL || session->flow.in != SMF__FLOW_OPEN || session->flow.discards)
        return SMF_OK; /* nobody waits for it any more */
    if (size_bytes > session->flow.untaken)
        return SMF_EINVAL;
    smf__flow_taken(&session->flow, size_bytes);
    smf__session_mark_giving(session);
    conn->rpc->core->busy = 1;
    return SMF_OK;
}

int smf__session_waits(const struct smf__conn *conn, uint16_t id)
{
    struct smf__session *session = smf__session_find(conn, id);

    if (session == NULL || session->out_first == NULL)
        return 0;
    session->waits = 1; /* who has asked is told when it is gone */
    return 1;
}
