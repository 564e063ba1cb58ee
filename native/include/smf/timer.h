/* Timers on a core: for calls that must end in time, pauses before another attempt, things to do now
 * and then. They are made for deadlines of milliseconds and more, of which most are stopped before they
 * fire: starting and stopping are cheap, a timer is never early and up to 4 ms late. */
#ifndef SMF_TIMER_H
#define SMF_TIMER_H

#include <stdint.h>

#include <smf/core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smf_timer; /* one deadline at a time */

/* Makes a timer that does not run. When it fires, function(core, context) is called from inside
 * smf_core_poll; it may do all that a driver may do between two polls, but poll: send, connect, start
 * and close timers, this one too. The poll comes back then, with 0 events if there is nothing else, so
 * that what the function sent goes out in the next one.
 *
 * Threads: the driver. Ownership: to be closed before the engine is. Errors: SMF_ENOMEM, SMF_EINVAL
 * (something but the context is NULL). Cost: one allocation. */
int smf_timer_open(struct smf_timer **timer_out, struct smf_core *core,
                   void (*function)(struct smf_core *core, void *context), void *context);

/* Stops the timer and frees it. Threads: the driver. Errors: none; NULL is nothing. */
void smf_timer_close(struct smf_timer *timer);

/* Has the timer fire once, delay_us microseconds from now; one that runs is moved. Threads: the driver.
 * Errors: none. Cost: a look at the clock; no allocation, no system call. */
void smf_timer_start(struct smf_timer *timer, uint64_t delay_us);

/* It does not fire any more; nothing happens when it does not run. Threads: the driver. Errors: none.
 * Cost: none. */
void smf_timer_stop(struct smf_timer *timer);

#ifdef __cplusplus
}
#endif
#endif
