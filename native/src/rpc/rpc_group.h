/* The cores of an engine that listen together: how many connections each of them has, so that whoever
 * accepts one knows where it belongs. Counting only: no I/O, no memory after open.
 *
 * Each core has a seat, on a cache line of its own, that is touched when a connection begins and when it
 * ends. What is counted are slots: taken by connections in both directions until they are free again,
 * and promised to connections that are on their way from another core.
 *
 * Threads: any. */
#ifndef SMF_RPC_GROUP_H
#define SMF_RPC_GROUP_H

#include <stdalign.h>
#include <stdint.h>

struct smf_core;

#define SMF__SEAT_LINE_BYTES 64
#define SMF__SEAT_NONE (-1)

struct smf__seat {
    alignas(SMF__SEAT_LINE_BYTES) uint32_t taken; /* atomic; see rpc_group.c */
    uint32_t limit;
    struct smf_core *core;
};

struct smf__group;

/* Returns 0 or SMF_ENOMEM. Every seat is set before the first connection. */
int smf__group_open(struct smf__group **group_out, uint32_t count);
void smf__group_close(struct smf__group *group);
void smf__group_set(struct smf__group *group, uint32_t index, struct smf_core *core,
                    uint32_t limit);
uint32_t smf__group_count(const struct smf__group *group);
struct smf__seat *smf__group_seat(struct smf__group *group, uint32_t index);

/* Takes a place for a connection that the core of seat self has accepted: at that core if no other has
 * fewer connections, else at the one that has the fewest. Seats that are full, shut, or whose core was
 * stopped are left out. Returns the seat's index, or SMF__SEAT_NONE when nobody has room.
 *
 * Several may choose at once: while no connection ends, no two open seats with room ever differ by more
 * than one because of it. */
int smf__group_choose(struct smf__group *group, uint32_t self);

/* Takes a place at this seat, shut or not. Returns 0 when it is full. */
int smf__seat_take(struct smf__seat *seat);

/* Likewise, for another core; 0 also when it takes no more. */
int smf__seat_promise(struct smf__seat *seat);

/* Gives a place back. */
void smf__seat_give(struct smf__seat *seat);

/* From now on nobody promises anything at this seat. */
void smf__seat_shut(struct smf__seat *seat);

/* How many places are taken or promised. */
uint32_t smf__seat_taken(const struct smf__seat *seat);

#endif
