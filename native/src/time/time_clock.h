/* The clock wall: where "now" comes from. A real core asks the kernel's monotonic clock; a simulation
 * hands in a clock that it moves by hand, and becomes deterministic. */
#ifndef SMF_TIME_CLOCK_H
#define SMF_TIME_CLOCK_H

#include <stdint.h>

struct smf__clock {
    uint64_t (*now_ns)(void *context); /* never goes back */
    void *context;
};

/* CLOCK_MONOTONIC; about 25 ns. */
struct smf__clock smf__clock_monotonic(void);

/* A clock that stands still until it is told otherwise. The memory is the caller's. */
struct smf__clock_manual {
    uint64_t now_ns;
};
struct smf__clock smf__clock_from_manual(struct smf__clock_manual *manual);

static inline uint64_t smf__clock_now_ns(const struct smf__clock *clock)
{
    return clock->now_ns(clock->context);
}

#endif
