/* Builders whose memory is the core's, and sending what they built without a copy.
 *
 * A builder takes what is free of the loan, below the room for its header: until it is sent or given
 * back, the loan has nothing free, and whoever else sends gets another one. What is larger moves to a
 * block of its own, which becomes the loan when it is sent. */
#include <smf/service.h>

#include "core/core.h"
#include "flat/flat.h"
#include "service/service_send.h"

#define KEEP_DIVISOR 4u /* of a block: what has less in it is worth a copy */

static uint8_t *end_of(const struct smf_flat_builder *builder)
{
    return builder->memory + builder->capacity;
}

/* Gives a block back; what was taken of the loan is free again if it is the loan still. */
static void give_back(struct smf_core *core, struct smf_buffer *block, uint8_t *end)
{
    if (block == core->turn.loan_buffer)
        core->turn.loan_top = end;
    smf__buffer_unref(core->pool, block);
}

/* Returns 0 when there is no loan to take: the room for loans that a turn used up is for those who send,
 * and for as many builders as there are events. */
static int take_loan(struct smf_flat_builder *builder, uint32_t capacity_min)
{
    struct smf_core *core = builder->owner;
    struct smf_turn *turn = &core->turn;

    if (core->retired_count >= SMF__CORE_EVENTS_MAX ||
        smf_core_loan(core, (uint64_t)capacity_min + SMF_FRAME_HEADER_SIZE_BYTES) != SMF_OK)
        return 0;
    builder->block = turn->loan_buffer;
    smf__buffer_ref(turn->loan_buffer);
    builder->memory = turn->loan + SMF_FRAME_HEADER_SIZE_BYTES;
    builder->capacity = (uint32_t)(turn->loan_top - builder->memory);
    turn->loan_top = turn->loan;
    return 1;
}

static void leave(struct smf_flat_builder *builder)
{
    builder->block = builder->memory = NULL;
    builder->capacity = 0;
}

static int grow_in_core(struct smf_flat_builder *builder, uint32_t capacity_min)
{
    struct smf_core *core = builder->owner;
    struct smf_buffer *block, *old = builder->block;
    uint8_t *old_end = old != NULL ? end_of(builder) : NULL;

    if (capacity_min == 0) {
        leave(builder);
    } else {
        if (old == NULL && take_loan(builder, capacity_min))
            return SMF_OK;
        block = smf__pool_get(core->pool, (uint64_t)capacity_min + SMF_FRAME_HEADER_SIZE_BYTES);
        if (block == NULL)
            return SMF_ENOMEM;
        smf__flat_move(builder, block->data + SMF_FRAME_HEADER_SIZE_BYTES,
                       block->capacity - SMF_FRAME_HEADER_SIZE_BYTES);
        builder->block = block;
    }
    if (old != NULL)
        give_back(core, old, old_end);
    return SMF_OK;
}

void smf_flat_builder_init_core(struct smf_flat_builder *builder, struct smf_core *core)
{
    smf_flat_builder_init(builder, NULL, 0);
    builder->grow = grow_in_core;
    builder->owner = core;
}

/* Has the loan end with the payload, and the builder's memory be the loan's. */
static void into_loan(struct smf_flat_builder *builder, struct smf_core *core)
{
    struct smf_buffer *block = builder->block;

    if (block == core->turn.loan_buffer)
        give_back(core, block, end_of(builder));
    else
        smf__core_loan_adopt(core, block, end_of(builder));
    leave(builder);
}

int smf__message_send_built(struct smf_core *core, const struct smf__message *message,
                            struct smf_flat_builder *builder)
{
    const uint8_t *payload = smf_flat_payload(builder);
    uint32_t size = smf_flat_size_bytes(builder);
    int status;

    if (payload == NULL) {
        if (builder->problem == NULL)
            builder->problem = "nothing was finished";
        return builder->status != SMF_OK ? builder->status : SMF_EINVAL;
    }
    if (core->turn.send_count == core->turn.send_capacity)
        return SMF_ELIMIT;
    if (builder->grow != grow_in_core || builder->owner != core)
        return smf__message_send(core, message, payload, size);
    if ((size_t)(payload - builder->memory) < message->block_size) {
        status = smf__message_send(core, message, payload, size);
        if (status == SMF_OK)
            smf_flat_builder_fini(builder);
        return status;
    }
    into_loan(builder, core);
    smf_flat_builder_reset(builder);
    return smf__message_send_in_place(core, message, size);
}

int smf__builder_may_go_on(const struct smf_flat_builder *builder)
{
    return builder->grow == grow_in_core && builder->status == SMF_ENOMEM;
}

void smf__builder_keep(struct smf_flat_builder *builder)
{
    struct smf_core *core = builder->owner;
    struct smf_buffer *block, *old = builder->block;
    uint8_t *old_end;

    if (builder->grow != grow_in_core || old == NULL ||
        old->capacity / KEEP_DIVISOR < builder->used + SMF_FRAME_HEADER_SIZE_BYTES)
        return;
    block = smf__pool_get(core->pool, (uint64_t)builder->used + SMF_FRAME_HEADER_SIZE_BYTES);
    if (block == NULL)
        return;
    old_end = end_of(builder);
    builder->noted = 0; /* of a table that is built */
    smf__flat_move(builder, block->data + SMF_FRAME_HEADER_SIZE_BYTES,
                   block->capacity - SMF_FRAME_HEADER_SIZE_BYTES);
    builder->block = block;
    give_back(core, old, old_end);
}

int smf_core_send_built(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                        struct smf_flat_builder *builder)
{
    const struct smf__message message = {.conn = conn, .session = session, .meta = meta};

    return smf__message_send_built(core, &message, builder);
}
