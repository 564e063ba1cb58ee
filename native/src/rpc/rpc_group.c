/* The count and the word "shut" are one atomic number: once a seat is shut its owner knows how many
 * promises there are, and that there will be no more. */
#include "rpc/rpc_group.h"

#include <stdlib.h>
#include <string.h>

#include "core/core.h"

#define SHUT                                                                                       \
    (1u << 31) /* or-ed to the count; above every limit, so that a shut seat is a full one */

struct smf__group {
    uint32_t count;
    struct smf__seat seats[];
};

int smf__group_open(struct smf__group **group_out, uint32_t count)
{
    size_t size = sizeof(struct smf__group) + count * sizeof(struct smf__seat);
    struct smf__group *group = aligned_alloc(SMF__SEAT_LINE_BYTES, size);

    if (group == NULL)
        return SMF_ENOMEM;
    memset(group, 0, size);
    group->count = count;
    *group_out = group;
    return SMF_OK;
}

void smf__group_close(struct smf__group *group)
{
    free(group);
}

void smf__group_set(struct smf__group *group, uint32_t index, struct smf_core *core, uint32_t limit)
{
    group->seats[index].core = core;
    group->seats[index].limit = limit < SHUT ? limit : SHUT - 1;
}

uint32_t smf__group_count(const struct smf__group *group)
{
    return group->count;
}

struct smf__seat *smf__group_seat(struct smf__group *group, uint32_t index)
{
    return &group->seats[index];
}

static uint32_t look(const struct smf__seat *seat)
{
    return __atomic_load_n(&seat->taken, __ATOMIC_ACQUIRE);
}

static int swap(struct smf__seat *seat, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&seat->taken, &from, to, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static int is_stopped(const struct smf__seat *seat)
{
    return __atomic_load_n(&seat->core->stopped, __ATOMIC_ACQUIRE) != 0;
}

int smf__group_choose(struct smf__group *group, uint32_t self)
{
    for (;;) {
        int best = SMF__SEAT_NONE;
        uint32_t fewest = 0;

        for (uint32_t i = 0; i < group->count; i++) { /* self first: a tie is kept */
            uint32_t index = (self + i) % group->count;
            const struct smf__seat *seat = &group->seats[index];
            uint32_t taken = look(seat);

            if (taken >= seat->limit || (index != self && is_stopped(seat)))
                continue;
            if (best == SMF__SEAT_NONE || taken < fewest) {
                best = (int)index;
                fewest = taken;
            }
        }
        if (best == SMF__SEAT_NONE || swap(&group->seats[best], fewest, fewest + 1))
            return best;
    }
}

/* mask: the part of the number that has to be below the limit. */
static int add(struct smf__seat *seat, uint32_t mask)
{
    for (;;) {
        uint32_t taken = look(seat);

        if ((taken & mask) >= seat->limit)
            return 0;
        if (swap(seat, taken, taken + 1))
            return 1;
    }
}

int smf__seat_take(struct smf__seat *seat)
{
    return add(seat, ~SHUT);
}

int smf__seat_promise(struct smf__seat *seat)
{
    return !is_stopped(seat) && add(seat, UINT32_MAX);
}

void smf__seat_give(struct smf__seat *seat)
{
    uint32_t before = __atomic_fetch_sub(&seat->taken, 1, __ATOMIC_ACQ_REL);

    smf__check((before & ~SHUT) != 0);
}

void smf__seat_shut(struct smf__seat *seat)
{
    __atomic_fetch_or(&seat->taken, SHUT, __ATOMIC_ACQ_REL);
}

uint32_t smf__seat_taken(const struct smf__seat *seat)
{
    return look(seat) & ~SHUT;
}
