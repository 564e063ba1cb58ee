/* What comes on a connection of level 2: calls and their replies, cancels, pings, goaways. */
#include "rpc/rpc_level2.h"

#include <endian.h>
#include <string.h>

#include <smf/code.h>
#include <smf/metadata.h>

#include "frame/frame_inline.h"
#include "mem/mem_count.h"

int smf__level2_bear(struct smf__conn *conn, uint32_t allowed)
{
    if (conn->borne_turn != conn->rpc->turns) {
        conn->borne_turn = conn->rpc->turns;
        conn->borne = 0;
    }
    if (conn->borne++ < allowed)
        return 1;
    smf__conn_finish(conn, SMF_CLOSE_FLOOD, 1);
    return 0;
}

static int bad_frame(struct smf__conn *conn)
{
    smf__conn_finish(conn, SMF_CLOSE_BAD_FRAME, 0);
    return 0;
}

int smf__level2_metadata(struct smf__conn *conn, const uint8_t *payload, uint32_t size_bytes,
                         uint16_t *metadata_size_out)
{
    struct smf_metadata block;

    if (smf_metadata_read(payload, size_bytes, &block) != SMF_METADATA_GOOD)
        return bad_frame(conn);
    *metadata_size_out = (uint16_t)block.size_bytes;
    return 1;
}

/* No handler has seen the call, and none will. */
static void refuse(struct smf__conn *conn, uint16_t session, uint32_t flags, uint32_t status)
{
    struct smf__rpc *rpc = conn->rpc;
    struct smf_frame frame = {.flags = SMF_FRAME_RESET, .session = session, .meta = status};

    if (status == SMF_CODE_LIMIT)
        smf__count(rpc->stats.refused_too_many, 1);
    else
        smf__count(rpc->stats.refused_draining, 1);
    if (!(flags & SMF_FRAME_ONE_WAY))
        smf__put(conn, frame, NULL);
}

/* As many of a core as calls may run: entries that are left of calls which are over count, too, so that no
 * number of connections gets more memory for them. The call has its own already. */
static int has_too_many_entries(const struct smf__rpc *rpc, uint32_t flags)
{
    return (flags & (SMF_FRAME_STREAM | SMF_FRAME_MORE)) != 0 &&
           rpc->entries_of_peers > rpc->config.running_max;
}

int smf__level2_admit(struct smf__conn *conn, uint16_t session, uint32_t flags)
{
    struct smf__rpc *rpc = conn->rpc;
    int one_way = (flags & SMF_FRAME_ONE_WAY) != 0;

    if (!one_way && smf__level2_runs(conn, session))
        return bad_frame(conn);
    if (conn->draining) {
        refuse(conn, session, flags, SMF_CODE_UNAVAILABLE);
        return 0;
    }
    if (conn->in_flight >= conn->agreed.calls_max) {
        refuse(conn, session, flags, SMF_CODE_LIMIT);
        return 0;
    }
    if (rpc->core->turn.in_flight >= rpc->config.running_max || has_too_many_entries(rpc, flags)) {
        smf__count(rpc->stats.refused_running, 1);
        refuse(conn, session, flags, SMF_CODE_LIMIT);
        return 0;
    }
    if (one_way)
        smf__count(rpc->stats.one_way, 1);
    else
        *smf__level2_running_word(conn, session) |= smf__level2_running_bit(session);
    conn->in_flight++;
    smf__count(rpc->core->turn.in_flight, 1u);
    smf__count(rpc->stats.requests, 1);
    return 1;
}

int smf__level2_cancelled(struct smf__conn *conn, uint16_t session, uint32_t status)
{
    struct smf__rpc *rpc = conn->rpc;
    struct smf_event *event;

    if (!smf__level2_bear(conn, SMF__CONTROL_OF_TURN_MAX + 2 * conn->agreed.calls_max))
        return 0;
    if (!smf__level2_runs(conn, session)) { /* its answer is on its way */
        smf__count(rpc->stats.cancels_ignored, 1);
        return 1;
    }
    smf__count(rpc->stats.cancels, 1);
    event = smf__rpc_event(rpc, conn, SMF_EVENT_CANCEL);
    event->flags = conn->frame.flags;
    event->session = session;
    event->meta = status;
    event->payload = smf__empty_table;
    return 1;
}

static void hand_out_control(struct smf__conn *conn, uint32_t kind, const uint8_t *payload,
                             struct smf_buffer *buffer)
{
    struct smf_event *event = smf__rpc_event(conn->rpc, conn, kind);

    event->flags = conn->frame.flags;
    event->payload = payload;
    event->size_bytes = conn->frame.size;
    event->buffer = buffer;
    if (kind == SMF_EVENT_GOAWAY) {
        uint32_t words[2];

        memcpy(words, payload, sizeof words);
        event->meta = le32toh(words[0]);
        event->session = (uint16_t)le32toh(words[1]);
    }
}

/* The peer of a connection that we opened takes no calls any more. The driver hears of it now; what it has
 * sent until the next turn still goes out, and without calls in flight the connection ends then. */
static void went_away(struct smf__conn *conn)
{
    smf__count(conn->rpc->stats.goaways, 1);
    conn->goaway |= SMF__GOAWAY_OF_PEER;
    smf__conn_leave_if_done(conn);
}

void smf__level2_goaway(struct smf__conn *conn, uint32_t why)
{
    struct smf_frame frame = {.flags = SMF_FRAME_CONTROL,
                              .size = SMF_FRAME_CONTROL_SIZE_BYTES,
                              .meta = SMF_CONTROL_GOAWAY};
    uint32_t words[2] = {htole32(why), htole32(SMF_GOAWAY_ALL)};

    conn->goaway |= SMF__GOAWAY_OF_US;
    smf__put(conn, frame, words);
}

static int take_control(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer)
{
    const struct smf_frame *frame = &conn->frame;
    struct smf_frame pong = {.flags = SMF_FRAME_CONTROL, .size = frame->size};

    if (!smf__level2_bear(conn, SMF__CONTROL_OF_TURN_MAX))
        return 0;
    switch (frame->meta) {
    case SMF_CONTROL_PING:
        pong.meta = SMF_CONTROL_PONG;
        smf__count(conn->rpc->stats.pings, 1);
        smf__put(conn, pong, payload);
        return 1;
    case SMF_CONTROL_PONG:
        conn->pings -= conn->pings != 0;
        hand_out_control(conn, SMF_EVENT_PONG, payload, buffer);
        return 1;
    default:
        hand_out_control(conn, SMF_EVENT_GOAWAY, payload, buffer);
        went_away(conn);
        return 1;
    }
}

/* A frame of ours may have found the peer gone. */
static int is_there(const struct smf__conn *conn)
{
    return conn->state == SMF__CONN_OPEN;
}

/* A call or a reply that is whole, in one frame. */
static int take_message(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer)
{
    struct smf__rpc *rpc = conn->rpc;
    const struct smf_frame *frame = &conn->frame;
    uint16_t metadata_size = 0;
    struct smf_event *event;

    if ((frame->flags & SMF_FRAME_METADATA) &&
        !smf__level2_metadata(conn, payload, frame->size, &metadata_size))
        return 0;
    if (conn->accepted) {
        if (!smf__level2_admit(conn, frame->session, frame->flags))
            return is_there(conn);
    } else {
        if (frame->flags & SMF_FRAME_ONE_WAY)
            return bad_frame(conn);
        conn->in_flight -= conn->in_flight != 0;
        smf__count(rpc->stats.replies, 1);
    }
    event = smf__rpc_event(rpc, conn, conn->accepted ? SMF_EVENT_REQUEST : SMF_EVENT_REPLY);
    event->compression = frame->compression;
    event->flags = frame->flags;
    event->session = frame->session;
    event->metadata_size_bytes = metadata_size;
    event->meta = frame->meta;
    event->size_bytes = frame->size - metadata_size;
    event->payload = payload + metadata_size;
    event->buffer = buffer;
    if (!conn->accepted && (conn->goaway & SMF__GOAWAY_OF_PEER))
        smf__conn_leave_if_done(conn);
    return 1;
}

int smf__level2_emit(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer)
{
    const struct smf_frame *frame = &conn->frame;
    uint32_t of_session = SMF_FRAME_STREAM | SMF_FRAME_MORE | SMF_FRAME_CREDIT;

    if (conn->mode != SMF__MODE_LEVEL2)
        return smf__hello_take(conn, payload);
    if (frame->flags & SMF_FRAME_CONTROL)
        return take_control(conn, payload, buffer) && is_there(conn);
    if ((frame->flags & of_session) != 0 || smf__conn_has_sessions(conn)) {
        int taken = smf__session_emit(conn, payload, buffer);

        if (taken != SMF__SESSION_NONE)
            return taken && is_there(conn);
    }
    if ((frame->flags & SMF_FRAME_RESET) && conn->accepted)
        return smf__level2_cancelled(conn, frame->session, frame->meta);
    return take_message(conn, payload, buffer);
}
