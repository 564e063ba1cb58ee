/* The public functions of a core that deal with connections and frames: smf/core.h. */
#include <string.h>

#include <smf/code.h>
#include <smf/level2.h>

#include "frame/frame_inline.h"
#include "rpc/rpc_level2.h"

uint8_t *smf_core_reserve(struct smf_core *core, uint32_t size_bytes)
{
    uint64_t whole = (uint64_t)size_bytes + SMF_FRAME_HEADER_SIZE_BYTES;
    struct smf_turn *turn = &core->turn;

    if (size_bytes > core->payload_size_bytes_max)
        return NULL;
    if ((uint64_t)(turn->loan_top - turn->loan) < whole && smf_core_loan(core, whole) != SMF_OK)
        return NULL;
    return turn->loan_top - size_bytes;
}

static int is_sendable(const struct smf_core *core, uint32_t meta, uint32_t size_bytes)
{
    return size_bytes != 0 && size_bytes <= core->payload_size_bytes_max && meta != 0;
}

/* Frames of one connection that were built one under the other go out as one run. */
static void add_send(struct smf_turn *turn, uint64_t conn, uint8_t *frame, uint32_t size)
{
    if (turn->send_count > 0) {
        struct smf_send *last = &turn->sends[turn->send_count - 1];

        if (last->conn == conn && last->frames == frame + size &&
            last->buffer == turn->loan_buffer) {
            last->frames = frame;
            last->size_bytes += size;
            last->frame_count++;
            return;
        }
    }
    turn->sends[turn->send_count++] = (struct smf_send){.conn = conn,
                                                        .frames = frame,
                                                        .size_bytes = size,
                                                        .frame_count = 1,
                                                        .buffer = turn->loan_buffer};
}

int smf_core_commit(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                    uint8_t *payload, uint32_t size_bytes)
{
    struct smf_turn *turn = &core->turn;
    struct smf_frame frame = {.session = session, .size = size_bytes, .meta = meta};
    uint8_t *start = payload - SMF_FRAME_HEADER_SIZE_BYTES;

    if (!is_sendable(core, meta, size_bytes) || payload + size_bytes != turn->loan_top ||
        start < turn->loan)
        return SMF_EINVAL;
    if (turn->send_count == turn->send_capacity)
        return SMF_ELIMIT;
    smf__frame_encode(&frame, start);
    turn->loan_top = start;
    add_send(turn, conn, start, size_bytes + SMF_FRAME_HEADER_SIZE_BYTES);
    return SMF_OK;
}

int smf_core_send(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                  const void *payload, uint32_t size_bytes)
{
    uint8_t *place;

    if (!is_sendable(core, meta, size_bytes))
        return SMF_EINVAL;
    if (core->turn.send_count == core->turn.send_capacity)
        return SMF_ELIMIT;
    place = smf_core_reserve(core, size_bytes);
    if (place == NULL)
        return SMF_ENOMEM;
    memcpy(place, payload, size_bytes);
    return smf_core_commit(core, conn, session, meta, place, size_bytes);
}

int smf_core_send_code(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t code)
{
    return smf_core_send(core, conn, session, code, smf__empty_table, sizeof smf__empty_table);
}

int smf_core_connect(struct smf_core *core, const char *address, uint64_t user, uint64_t *conn_out,
                     struct smf_error *error_out)
{
    return smf_core_connect_with(core, address, user, 0, conn_out, error_out);
}

int smf_core_connect_with(struct smf_core *core, const char *address, uint64_t user, uint32_t flags,
                          uint64_t *conn_out, struct smf_error *error_out)
{
    struct smf__rpc *rpc;
    struct smf__stream *stream;
    struct smf__conn *conn;
    int status;

    if (core == NULL || address == NULL || conn_out == NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "smf_core_connect: the core, the address or conn_out is NULL");
    if (!smf__core_is_ours(core))
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    rpc = smf__rpc_of(core);
    if ((flags & ~(SMF_CONNECT_HELLO | SMF__COMPRESSIONS_KNOWN)) != 0 ||
        (flags != 0 && (flags & SMF_CONNECT_HELLO) == 0))
        return smf__error(error_out, SMF_EINVAL, 0,
                          "smf_core_connect_with: flags: 0 or SMF_CONNECT_HELLO, and with it "
                          "SMF_CONNECT_ZSTD and SMF_CONNECT_LZ4");
    if (flags != 0 && !smf__hello_can(rpc))
        return smf__error(error_out, SMF_EINVAL, 0,
                          "SMF_CONNECT_HELLO: open the engine with level 2, and with "
                          "frame_size_bytes_max of 81924 at least");
    if (!smf__rpc_take_place(rpc))
        return smf__error(error_out, SMF_ELIMIT, 0, "connections_max is reached; raise it");
    status = rpc->net->ops->connect(rpc->net, address, NULL, &stream, error_out);
    if (status != SMF_OK) {
        if (rpc->group != NULL)
            smf__seat_give(rpc->seat);
        return status;
    }
    conn = smf__conn_open(rpc, stream, 0);
    conn->user = user;
    if (flags & SMF_CONNECT_HELLO)
        conn->mode = SMF__MODE_ASKING;
    conn->offers = (uint8_t)(flags & SMF__COMPRESSIONS_KNOWN);
    rpc->net->ops->stream_context(stream, conn);
    *conn_out = conn->id;
    return SMF_OK;
}

void smf_core_disconnect(struct smf_core *core, uint64_t id)
{
    struct smf__rpc *rpc = smf__rpc_of(core);
    struct smf__conn *conn = smf__conn_find(rpc, id);

    if (conn != NULL)
        smf__conn_leave(conn, SMF__LEAVING); /* the sends of this turn go out first */
    core->busy = 1;
}

void smf_core_disconnect_all(struct smf_core *core)
{
    struct smf__rpc *rpc = smf__rpc_of(core);

    if (!smf__core_is_ours(core))
        return;
    rpc->disconnected = 1;
    smf__rpc_close_listeners(rpc);
    for (uint32_t i = 0; i < rpc->conns_used; i++) {
        if (rpc->conns[i].state != SMF__CONN_FREE)
            smf__conn_close(&rpc->conns[i], SMF_CLOSE_BY_US);
    }
    core->busy = 1;
}

int smf_core_peer(const struct smf_core *core, uint64_t id, char *text_out, uint32_t size)
{
    struct smf__rpc *rpc = core->room.context;
    const struct smf__conn *conn = smf__conn_find(rpc, id);
    char text[SMF__NET_ADDRESS_SIZE_BYTES] = "";
    size_t text_size;

    if (text_out != NULL && size > 0)
        *text_out = '\0';
    if (conn == NULL)
        return SMF_ECLOSED;
    if (text_out == NULL)
        return size == 0 ? SMF_OK : SMF_EINVAL;
    rpc->net->ops->stream_peer(conn->stream, text, sizeof text);
    text_size = strlen(text) + 1;
    if (size < text_size)
        return SMF_EINVAL;
    memcpy(text_out, text, text_size);
    return SMF_OK;
}

uint64_t smf_core_unsent_bytes(const struct smf_core *core, uint64_t id)
{
    const struct smf__conn *conn = smf__conn_find(core->room.context, id);

    return conn != NULL ? conn->unsent_bytes + conn->held_bytes + smf__session_queued_bytes(conn)
                        : 0;
}

void smf_core_drain(struct smf_core *core)
{
    struct smf__rpc *rpc = smf__rpc_of(core);

    if (rpc->drain_turns == 0)
        rpc->drain_turns = 1;
    rpc->net->accepts_max = 0; /* who has knocked already is let in, all at once */
    core->busy = 1;
}

int smf_core_drained(const struct smf_core *core)
{
    const struct smf__rpc *rpc = core->room.context;

    return rpc->settling && rpc->accepted_open == 0;
}

const char *smf_close_reason_name(uint32_t reason)
{
    static const char *const names[SMF_CLOSE_REASONS] = {
        [SMF_CLOSE_BY_PEER] = "by peer",
        [SMF_CLOSE_BY_US] = "by us",
        [SMF_CLOSE_CONNECT_FAILED] = "connect failed",
        [SMF_CLOSE_BROKEN] = "broken",
        [SMF_CLOSE_BAD_COMPRESSION] = "bad compression",
        [SMF_CLOSE_BAD_FLAGS] = "bad flags",
        [SMF_CLOSE_SIZE_ZERO] = "size zero",
        [SMF_CLOSE_CHECKSUM_ZERO] = "checksum zero",
        [SMF_CLOSE_META_ZERO] = "meta zero",
        [SMF_CLOSE_CHECKSUM_MISMATCH] = "checksum mismatch",
        [SMF_CLOSE_FRAME_TOO_LARGE] = "frame too large",
        [SMF_CLOSE_HEADER_TIMEOUT] = "header timeout",
        [SMF_CLOSE_BODY_TIMEOUT] = "body timeout",
        [SMF_CLOSE_IDLE_TIMEOUT] = "idle timeout",
        [SMF_CLOSE_SLOW_READER] = "slow reader",
        [SMF_CLOSE_NO_MEMORY] = "no memory",
        [SMF_CLOSE_TOO_MANY] = "too many connections",
        [SMF_CLOSE_HELLO_TIMEOUT] = "hello timeout",
        [SMF_CLOSE_NOT_LEVEL2] = "not level 2",
        [SMF_CLOSE_BAD_FRAME] = "bad frame",
        [SMF_CLOSE_BAD_STREAM] = "bad stream",
        [SMF_CLOSE_FLOOD] = "flood",
    };

    return reason < SMF_CLOSE_REASONS ? names[reason] : "unknown";
}
