#include "time/time_clock.h"

#include <time.h>

static uint64_t monotonic_now_ns(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t manual_now_ns(void *context)
{
    const struct smf__clock_manual *manual = context;
    return manual->now_ns;
}

struct smf__clock smf__clock_monotonic(void)
{
    return (struct smf__clock){.now_ns = monotonic_now_ns, .context = 0};
}

struct smf__clock smf__clock_from_manual(struct smf__clock_manual *manual)
{
    return (struct smf__clock){.now_ns = manual_now_ns, .context = manual};
}
