/* One core's timers: a hashed wheel of 4 ms slots with intrusive entries. Starting and stopping are
 * O(1) and allocate nothing; a timer never fires early and at most one slot (plus the time between
 * two runs) late. One whose deadline has passed when it is started fires at the end of the current
 * slot, never from inside the run that started it. Timers of one slot fire in the order of their
 * start, and slot after slot unless runs lie more than a turn apart.
 *
 * Threads: owner only. */
#ifndef SMF_TIME_TIMERS_H
#define SMF_TIME_TIMERS_H

#include <stdint.h>

#define SMF__TIMER_SLOT_NS (4ull * 1000 * 1000)
#define SMF__TIMER_SLOTS 1024u /* 4 s a turn; farther timers go round */

struct smf__timers;

/* Lives inside the thing that it is for; zeroed memory is a stopped timer. */
struct smf__timer {
    struct smf__timer *next, *previous; /* of its slot; NULL while stopped */
    uint64_t deadline_ns;
    /* The timer is stopped when this is called, and may be started again or freed by it. */
    void (*fire)(struct smf__timer *timer);
};

/* Returns 0 or SMF_ENOMEM. */
int smf__timers_open(struct smf__timers **timers_out, uint64_t now_ns);

/* Stops every timer. Not from inside a callback. */
void smf__timers_close(struct smf__timers *timers);

/* Starts, or moves a running timer. fire must be set. */
void smf__timer_start(struct smf__timers *timers, struct smf__timer *timer, uint64_t deadline_ns);

/* Stops; nothing happens if it does not run. */
void smf__timer_stop(struct smf__timers *timers, struct smf__timer *timer);

static inline int smf__timer_running(const struct smf__timer *timer)
{
    return timer->next != 0;
}

/* Fires what is due. Returns how many fired. Callbacks may start and stop any timer, but not run or
 * close. Time that goes back is ignored. Cost: a comparison while nothing is due, else a look at every
 * slot. */
int smf__timers_run(struct smf__timers *timers, uint64_t now_ns);

/* The loop may sleep until this time, and should run the timers then: the end of a slot, at or before
 * the moment when the next timer fires; UINT64_MAX when no timer runs. After timers were stopped it
 * may be earlier than need be, once. Cost: a load. */
uint64_t smf__timers_next_ns(const struct smf__timers *timers);

#endif
