/* Timers of programs: smf/timer.h. */
#include <smf/timer.h>

#include <stdlib.h>

#include "core/core.h"

#define NS_PER_US 1000u

struct smf_timer {
    struct smf__timer inner; /* first */
    struct smf_core *core;
    void (*function)(struct smf_core *core, void *context);
    void *context;
};

/* The function may close the timer: nothing of it is touched behind the call. */
static void fired(struct smf__timer *inner)
{
    struct smf_timer *timer = (struct smf_timer *)inner;

    timer->core->hurry = 1;
    timer->function(timer->core, timer->context);
}

int smf_timer_open(struct smf_timer **timer_out, struct smf_core *core,
                   void (*function)(struct smf_core *core, void *context), void *context)
{
    struct smf_timer *timer;

    if (timer_out == NULL || core == NULL || function == NULL)
        return SMF_EINVAL;
    timer = calloc(1, sizeof *timer);
    if (timer == NULL)
        return SMF_ENOMEM;
    timer->inner.fire = fired;
    timer->core = core;
    timer->function = function;
    timer->context = context;
    *timer_out = timer;
    return SMF_OK;
}

void smf_timer_close(struct smf_timer *timer)
{
    if (timer == NULL)
        return;
    smf_timer_stop(timer);
    free(timer);
}

void smf_timer_start(struct smf_timer *timer, uint64_t delay_us)
{
    uint64_t now_ns = smf__clock_now_ns(&timer->core->clock);
    uint64_t delay_max_us = (UINT64_MAX - now_ns) / NS_PER_US;

    if (delay_us > delay_max_us)
        delay_us = delay_max_us;
    smf__timer_start(timer->core->timers, &timer->inner, now_ns + delay_us * NS_PER_US);
}

void smf_timer_stop(struct smf_timer *timer)
{
    smf__timer_stop(timer->core->timers, &timer->inner);
}
