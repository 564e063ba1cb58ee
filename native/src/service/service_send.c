#include "service/service_send.h"

#include <string.h>

#include <smf/flat.h>

#include "frame/frame_inline.h"
#include "rpc/rpc_level2.h"

#define COPIED_MAX (32u << 10) /* bytes; what is larger becomes the loan, with a block of its own */

/* Large messages go in slices, if the connection is of level 2. Returns SMF_OK, SMF_EINVAL, or SMF_ECLOSED: it is
 * gone, and a large message is to be dropped, as the core drops a small one.
 *
 * A call that the peer does not take ends with 413, which the core sees to. A stream's message is refused
 * before: the stream goes on without it. */
static int look_at_size(const struct smf_core *core, const struct smf__message *message,
                        uint64_t size)
{
    int fits = size + message->block_size <= core->payload_size_bytes_max;
    struct smf_level level;
    int status;

    if (fits && (!(message->flags & SMF_FRAME_STREAM) || size <= SMF__SLICE_SIZE_BYTES))
        return SMF_OK;
    status = smf_core_level(core, message->conn, &level);
    if (status != SMF_OK)
        return status;
    if (level.level != 2) /* or not known yet */
        return fits ? SMF_OK : SMF_EINVAL;
    return size <= level.message_size_bytes_max ? SMF_OK : SMF_EINVAL;
}

static int is_plain(const struct smf__message *message)
{
    return message->block == NULL && message->flags == 0;
}

static void place_block(const struct smf__message *message, uint8_t *to)
{
    memcpy(to, message->block, message->block_size);
    smf_flat_store_u32(to + 4, message->time_left_us);
}

/* Adds the frame that ends where the loan is free to the sends; its payload, block and all, has size bytes.
 * There is room. Never joined with what was sent before, which would leave behind it. */
static void add(struct smf_core *core, const struct smf__message *message, uint32_t size)
{
    uint32_t compressed = message->compression > SMF_COMPRESSION_DISABLED;
    struct smf_turn *turn = &core->turn;
    uint8_t *start = turn->loan_top - size - SMF_FRAME_HEADER_SIZE_BYTES;
    struct smf_frame frame = {.compression = compressed ? message->compression : 0,
                              .flags = message->flags |
                                       (message->block != NULL ? SMF_FRAME_METADATA : 0) |
                                       (compressed ? 0 : SMF_SEND_MAY_PAD),
                              .session = message->session,
                              .size = size,
                              .meta = message->meta};

    smf__check(start >= turn->loan);
    smf__frame_encode(&frame, start);
    turn->loan_top = start;
    turn->sends[turn->send_count++] =
        (struct smf_send){.conn = message->conn,
                          .frames = start,
                          .size_bytes = size + SMF_FRAME_HEADER_SIZE_BYTES,
                          .frame_count = 1,
                          .buffer = turn->loan_buffer};
}

int smf__message_send_in_place(struct smf_core *core, const struct smf__message *message,
                               uint32_t size)
{
    struct smf_turn *turn = &core->turn;
    int status;

    if (is_plain(message) && size != 0 && size <= core->payload_size_bytes_max) {
        int compressed = message->compression > SMF_COMPRESSION_DISABLED;

        status = smf_core_commit(core, message->conn, message->session, message->meta,
                                 turn->loan_top - size, size);
        if (status == SMF_OK)
            smf__core_mark_frame(core, compressed ? message->compression : SMF_COMPRESSION_NONE,
                                 compressed ? 0 : SMF_SEND_MAY_PAD);
        return status;
    }
    status = look_at_size(core, message, size);
    if (status != SMF_OK)
        return status == SMF_ECLOSED ? SMF_OK : status;
    if (message->block != NULL)
        place_block(message, turn->loan_top - size - message->block_size);
    add(core, message, size + message->block_size);
    return SMF_OK;
}

int smf__message_send(struct smf_core *core, const struct smf__message *message,
                      const void *payload, uint32_t size)
{
    uint64_t whole = (uint64_t)size + message->block_size + SMF_FRAME_HEADER_SIZE_BYTES;
    struct smf_turn *turn = &core->turn;
    int status = look_at_size(core, message, size);

    if (status != SMF_OK)
        return status == SMF_ECLOSED ? SMF_OK : status;
    if (turn->send_count == turn->send_capacity)
        return SMF_ELIMIT;
    if ((uint64_t)(turn->loan_top - turn->loan) < whole && smf_core_loan(core, whole) != SMF_OK)
        return SMF_ENOMEM;
    if (size != 0)
        memcpy(turn->loan_top - size, payload, size);
    return smf__message_send_in_place(core, message, size);
}

int smf__message_send_buffer(struct smf_core *core, const struct smf__message *message,
                             struct smf_buffer **buffer, uint32_t size)
{
    const uint8_t *payload = (*buffer)->data + SMF_FRAME_HEADER_SIZE_BYTES;

    if (size <= COPIED_MAX || message->block != NULL || look_at_size(core, message, size) != SMF_OK)
        return smf__message_send(core, message, payload, size);
    if (core->turn.send_count == core->turn.send_capacity)
        return SMF_ELIMIT;
    smf__core_loan_adopt(core, *buffer, (*buffer)->data + SMF_FRAME_HEADER_SIZE_BYTES + size);
    *buffer = NULL;
    return smf__message_send_in_place(core, message, size);
}
