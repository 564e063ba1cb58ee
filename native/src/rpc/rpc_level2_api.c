/* The public functions of smf/level2.h, except smf_core_connect_with. */
#include <smf/level2.h>

#include <endian.h>
#include <string.h>

#include <smf/metadata.h>

#include "frame/frame_inline.h"
#include "rpc/rpc_level2.h"

#define FLAGS_OF_PROGRAMS                                                                          \
    (SMF_FRAME_METADATA | SMF_FRAME_STREAM | SMF_FRAME_FIN | SMF_FRAME_RESET | SMF_FRAME_ONE_WAY | \
     SMF_SEND_MAY_PAD)

int smf_core_level(const struct smf_core *core, uint64_t id, struct smf_level *level_out)
{
    struct smf__rpc *rpc = core->room.context;
    const struct smf__conn *conn = smf__conn_find(rpc, id);
    const struct smf__rpc_config *config = &rpc->config;

    if (conn == NULL)
        return SMF_ECLOSED;
    if (conn->level == 2) {
        *level_out = conn->agreed;
        return SMF_OK;
    }
    *level_out = (struct smf_level){
        .level = 1,
        .compressions = config->compressions,
        .frame_size_bytes_max = (uint32_t)config->frame_size_bytes_max,
        .calls_max = config->in_flight_max,
        .credit_bytes = config->credit_bytes,
        .message_size_bytes_max = config->message_size_bytes_max,
    };
    return SMF_OK;
}

static int is_sendable(const struct smf_core *core, const struct smf__conn *conn,
                       const struct smf_frame *frame, const void *payload)
{
    const struct smf__rpc *rpc = core->room.context;
    uint64_t size_max = core->payload_size_bytes_max;
    struct smf_frame bare = *frame;
    struct smf_metadata block;

    if (frame->flags & SMF_FRAME_ONE_WAY) { /* it goes in one frame */
        if (conn != NULL && conn->level == 2 && conn->agreed.frame_size_bytes_max < size_max)
            size_max = conn->agreed.frame_size_bytes_max;
    } else if (conn != NULL && conn->mode >= SMF__MODE_ASKING &&
               rpc->config.message_size_bytes_max + SMF_METADATA_SIZE_BYTES_MAX > size_max) {
        size_max = rpc->config.message_size_bytes_max + SMF_METADATA_SIZE_BYTES_MAX;
    }
    bare.flags &= (uint8_t)~SMF_SEND_MAY_PAD;
    if ((frame->flags & ~(uint32_t)FLAGS_OF_PROGRAMS) != 0 || frame->size > size_max)
        return 0;
    if ((frame->flags & SMF_FRAME_METADATA) &&
        smf_metadata_read(payload, frame->size, &block) != SMF_METADATA_GOOD)
        return 0;
    return smf__frame_check_level2(&bare) == SMF_FRAME_GOOD || frame->session == 0;
}

int smf_core_send_with(struct smf_core *core, uint64_t id, uint16_t session, uint32_t meta,
                       uint8_t flags, uint8_t compression, const void *payload, uint32_t size_bytes)
{
    struct smf_frame frame = {.compression = compression,
                              .flags = flags,
                              .session = session,
                              .size = size_bytes,
                              .meta = meta};
    uint64_t whole = (uint64_t)size_bytes + SMF_FRAME_HEADER_SIZE_BYTES;
    struct smf_turn *turn = &core->turn;
    uint8_t *start;

    if (!is_sendable(core, smf__conn_find(core->room.context, id), &frame, payload))
        return SMF_EINVAL;
    if (turn->send_count == turn->send_capacity)
        return SMF_ELIMIT;
    if ((uint64_t)(turn->loan_top - turn->loan) < whole && smf_core_loan(core, whole) != SMF_OK)
        return SMF_ENOMEM;
    start = turn->loan_top - whole;
    smf__frame_encode(&frame, start);
    if (size_bytes != 0)
        memcpy(start + SMF_FRAME_HEADER_SIZE_BYTES, payload, size_bytes);
    turn->loan_top = start;
    /* Never joined with what was sent before: that would leave behind it. */
    turn->sends[turn->send_count++] = (struct smf_send){.conn = id,
                                                        .frames = start,
                                                        .size_bytes = (uint32_t)whole,
                                                        .frame_count = 1,
                                                        .buffer = turn->loan_buffer};
    return SMF_OK;
}

int smf_core_cancel(struct smf_core *core, uint64_t id, uint16_t session, uint32_t status)
{
    const struct smf__conn *conn = smf__conn_find(core->room.context, id);

    if (conn == NULL)
        return SMF_ECLOSED;
    if (conn->accepted || session == 0 || status == 0)
        return SMF_EINVAL;
    if (conn->mode < SMF__MODE_ASKING)
        return SMF_EUNSUPPORTED;
    return smf_core_send_with(core, id, session, status, SMF_FRAME_RESET, 0, NULL, 0);
}

int smf_core_taken(struct smf_core *core, uint64_t id, uint16_t session, uint32_t size_bytes)
{
    struct smf__conn *conn = smf__conn_find(core->room.context, id);

    return conn == NULL ? SMF_ECLOSED : smf__session_taken(conn, session, size_bytes);
}

int smf_core_writable(const struct smf_core *core, uint64_t id, uint16_t session)
{
    const struct smf__conn *conn = smf__conn_find(core->room.context, id);

    return conn == NULL || !smf__session_waits(conn, session);
}

uint64_t smf_core_queued_bytes(const struct smf_core *core, uint64_t id)
{
    const struct smf__conn *conn = smf__conn_find(core->room.context, id);

    return conn == NULL ? 0 : smf__session_queued_bytes(conn);
}

/* A connection of level 2 that can be written to now; else *status_out says what it is. */
static struct smf__conn *writable(struct smf_core *core, uint64_t id, int *status_out)
{
    struct smf__conn *conn = smf__conn_find(core->room.context, id);

    *status_out = SMF_OK;
    if (conn == NULL || conn->state == SMF__CONN_LINGERING)
        *status_out = SMF_ECLOSED;
    else if (conn->level != 2)
        *status_out = SMF_EUNSUPPORTED;
    return *status_out == SMF_OK ? conn : NULL;
}

int smf_core_ping(struct smf_core *core, uint64_t id, uint64_t token)
{
    struct smf_frame frame = {
        .flags = SMF_FRAME_CONTROL, .size = SMF_PING_SIZE_BYTES, .meta = SMF_CONTROL_PING};
    uint64_t payload = htole64(token);
    int status;
    struct smf__conn *conn = writable(core, id, &status);

    if (conn == NULL)
        return status;
    if (conn->pings == SMF_PINGS_MAX)
        return SMF_ELIMIT;
    conn->pings++;
    smf__put(conn, frame, &payload);
    smf__put_flush(conn->rpc);
    core->busy = 1;
    return SMF_OK;
}

int smf_core_goaway(struct smf_core *core, uint64_t id, uint32_t why)
{
    int status;
    struct smf__conn *conn = writable(core, id, &status);

    if (conn == NULL)
        return status;
    smf__level2_goaway(conn, why);
    smf__put_flush(conn->rpc);
    core->busy = 1;
    return SMF_OK;
}
