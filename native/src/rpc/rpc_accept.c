/* Where an accepted connection goes: it stays at this core, or is handed to one that has fewer, in a
 * letter whose context is the stream. Nothing was read of it yet, and nobody else knows it. */
#include "mem/mem_count.h"
#include "rpc/rpc.h"

/* The stream is in this core's net, and there is a place for it. */
static void keep(struct smf__rpc *rpc, struct smf__stream *stream)
{
    struct smf__conn *conn = smf__conn_open(rpc, stream, 1);

    rpc->net->ops->stream_context(stream, conn);
}

static void refuse(struct smf__rpc *rpc, struct smf__stream *stream, uint32_t reason)
{
    smf__count(rpc->stats.closed[reason], 1);
    rpc->net->ops->stream_close(stream);
}

/* Takes in a stream that is in no net; there is a place for it. */
static void take_in(struct smf__rpc *rpc, struct smf__stream *stream)
{
    if (rpc->net->ops->stream_attach(rpc->net, stream) != SMF_OK) {
        smf__seat_give(rpc->seat);
        refuse(rpc, stream, SMF_CLOSE_NO_MEMORY);
        return;
    }
    keep(rpc, stream);
    rpc->unread = 1; /* a drain reads it before it closes it */
}

/* The letter. */
static void handed_in(struct smf_core *core, void *context)
{
    struct smf__rpc *rpc = smf__rpc_of(core);

    smf__count(rpc->stats.connections_handed_in, 1);
    if (rpc->disconnected) {
        smf__seat_give(rpc->seat);
        refuse(rpc, context, SMF_CLOSE_BY_US);
        return;
    }
    take_in(rpc, context);
}

void smf__rpc_forget_letter(struct smf__rpc *rpc, smf__letter_function function, void *context)
{
    if (function == handed_in)
        rpc->net->ops->stream_close(context);
}

/* Sends a stream to another core, where it has a place. 0: the mailbox is full; the place is given
 * back. */
static int hand_over(struct smf__rpc *rpc, struct smf__seat *seat, struct smf__stream *stream)
{
    if (smf_core_post(seat->core, handed_in, stream) != SMF_OK) {
        smf__seat_give(seat);
        return 0;
    }
    smf__count(rpc->stats.connections_handed_out, 1);
    return 1;
}

/* The core that has the fewest connections does not read its mail: any other place will do. */
static void anywhere(struct smf__rpc *rpc, struct smf__stream *stream)
{
    if (smf__seat_take(rpc->seat)) {
        take_in(rpc, stream);
        return;
    }
    for (uint32_t i = 0; i < smf__group_count(rpc->group); i++) {
        struct smf__seat *seat = smf__group_seat(rpc->group, i);

        if (seat != rpc->seat && smf__seat_promise(seat) && hand_over(rpc, seat, stream))
            return;
    }
    refuse(rpc, stream, SMF_CLOSE_TOO_MANY);
}

void smf__rpc_accept(struct smf__rpc *rpc, struct smf__stream *stream)
{
    struct smf__seat *seat;
    int index;

    if (rpc->group == NULL || rpc->net->ops->stream_detach == NULL) {
        if (smf__rpc_take_place(rpc))
            keep(rpc, stream);
        else
            refuse(rpc, stream, SMF_CLOSE_TOO_MANY);
        return;
    }
    index = smf__group_choose(rpc->group, rpc->seat_index);
    if (index == SMF__SEAT_NONE) {
        refuse(rpc, stream, SMF_CLOSE_TOO_MANY);
        return;
    }
    seat = smf__group_seat(rpc->group, (uint32_t)index);
    if (seat == rpc->seat) {
        keep(rpc, stream);
        return;
    }
    rpc->net->ops->stream_detach(stream);
    if (!hand_over(rpc, seat, stream))
        anywhere(rpc, stream);
}

void smf__rpc_join(struct smf__rpc *rpc, struct smf__group *group, uint32_t index)
{
    rpc->group = group;
    rpc->seat_index = index;
    rpc->seat = smf__group_seat(group, index);
    smf__group_set(group, index, rpc->core, rpc->config.connections_max);
}

int smf__rpc_take_place(struct smf__rpc *rpc)
{
    return rpc->group == NULL ? rpc->slots_taken < rpc->config.connections_max
                              : smf__seat_take(rpc->seat);
}

void smf__rpc_give_place(struct smf__rpc *rpc)
{
    if (rpc->group != NULL)
        smf__seat_give(rpc->seat);
    smf__uncount(rpc->slots_taken, 1u); /* last: who reads the counters may rely on the seat */
}

uint32_t smf__rpc_promised(const struct smf__rpc *rpc)
{
    return rpc->group == NULL ? 0 : smf__seat_taken(rpc->seat) - rpc->slots_taken;
}
