/* The public functions of smf/level2.h, except smf_core_connect_with. */
#include <smf/level2.h>

#include "rpc/rpc.h"

int smf_core_level(const struct smf_core *core, uint64_t id, struct smf_level *level_out)
{
    struct smf__rpc *rpc = core->room.context;
    const struct smf__conn *conn = smf__conn_find(rpc, id);
    const struct smf__rpc_config *config = &rpc->config;

    if (conn == NULL)
        return SMF_ECLOSED;
    *level_out = (struct smf_level){.level = conn->level,
                                    .compressions = config->compressions,
                                    .frame_size_bytes_max = (uint32_t)config->frame_size_bytes_max,
                                    .calls_max = config->in_flight_max,
                                    .credit_bytes = config->credit_bytes,
                                    .message_size_bytes_max = config->message_size_bytes_max};
    return SMF_OK;
}

int smf_core_send_with(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                       uint8_t flags, uint8_t compression, const void *payload, uint32_t size_bytes)
{
    if ((flags & (uint8_t)~SMF_SEND_MAY_PAD) != 0 || compression != 0)
        return SMF_EUNSUPPORTED;
    return smf_core_send(core, conn, session, meta, payload, size_bytes);
}

int smf_core_cancel(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t status)
{
    (void)core, (void)conn, (void)session, (void)status;
    return SMF_EUNSUPPORTED;
}

int smf_core_taken(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t size_bytes)
{
    (void)core, (void)conn, (void)session, (void)size_bytes;
    return SMF_OK;
}

int smf_core_ping(struct smf_core *core, uint64_t conn, uint64_t token)
{
    (void)core, (void)conn, (void)token;
    return SMF_EUNSUPPORTED;
}

int smf_core_goaway(struct smf_core *core, uint64_t conn, uint32_t why)
{
    (void)core, (void)conn, (void)why;
    return SMF_EUNSUPPORTED;
}
