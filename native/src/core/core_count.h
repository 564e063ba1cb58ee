/* What a core counts of itself: batches, and where its time went. Written by the driver, read by any
 * thread. Time is taken from the clock readings that the loop makes anyway. */
#ifndef SMF_CORE_COUNT_H
#define SMF_CORE_COUNT_H

#include <stdint.h>

#include <smf/core.h>
#include <smf/tally.h>

struct smf__core_counts {
    uint64_t events;
    uint64_t batches[SMF_BATCH_SIZES];
    uint64_t spins;
    uint64_t busy_ns, spinning_ns;
    uint64_t
        asleep; /* awake: how many ns it has slept. Asleep: ASLEEP, and the clock less this is it */
    uint64_t asleep_told; /* any reader's: the most that was ever answered */
    uint64_t armed_at_ns; /* while asleep outside of a poll: since when */
    uint64_t armed_ns;    /* since the last poll: how long it was asleep */
    int worked; /* this turn began with something to send, or with letters: its first look is not in vain */
    struct smf_tally *tallies; /* or NULL */
};

/* A turn is over, and the next one begins: turn.now_ns is when, handed_ns when the last poll returned. */
void smf__count_turn(struct smf_core *core, uint64_t handed_ns);

/* A look has ended that began at from_ns. */
void smf__count_look(struct smf_core *core, uint64_t from_ns);

/* Around a wait. */
void smf__count_sleep(struct smf_core *core, uint64_t now_ns);
void smf__count_wake(struct smf_core *core, uint64_t now_ns);

/* The same for a program that waits outside of a poll: from arming to the next poll, or to the next
 * attempt to arm. What else the program does in between counts as sleep, too: only it knows better. */
void smf__count_armed(struct smf_core *core, uint64_t now_ns);
void smf__count_unarmed(struct smf_core *core, uint64_t now_ns);
int smf__counts_asleep(const struct smf_core *core);

/* core_tally.c. Settles what was answered since handed_ns, now that it is sent. */
void smf__tallies_settle(struct smf_core *core, uint64_t handed_ns);
void smf__tallies_close(struct smf_core *core);

#endif
