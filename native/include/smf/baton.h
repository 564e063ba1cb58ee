/* The baton: lets handlers block although they run on the loop. For language runtimes whose threads
 * are cheap to leave behind (Go); a C program whose handlers block uses threads of its own.
 *
 * The state word is seq << 2 | {SMF_BATON_OWNED, SMF_BATON_IN_HANDLER}. A driver that enters a handler
 * stores the next seq with IN_HANDLER, then looks whether a watcher sleeps (watchers_asleep) and kicks
 * it; when the handler is back it compares-and-swaps the word to seq | OWNED. If that fails it was
 * deposed: the loop belongs to the stand-in, and whatever the handler produced is sent to the loop as
 * a message. A driver can only be deposed inside a handler.
 *
 * Who looks: a watcher thread of idle priority on the driver's CPU, which gets to run exactly when
 * that CPU has nothing to do, that is, when the driver sleeps; and a monitor that looks every few
 * milliseconds and finds what the watcher can't (handlers that compute, CPUs that others keep busy).
 * Both cost nothing while handlers are quick: a sleeping one is woken at most once per idle spell. */
#ifndef SMF_BATON_H
#define SMF_BATON_H

#include <stdint.h>

#include <smf/core.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMF_BATON_OWNED 0u      /* kind of state: the driver has the loop */
#define SMF_BATON_IN_HANDLER 1u /* kind of state: it is in a handler, and may be deposed */
#define SMF_BATON_SEQ_ONE 4u    /* one step of the sequence in state */

/* Why a stand-in became the driver. */
enum smf_baton_reason {
    SMF_BATON_CLOSED = 0,   /* it did not: the core is stopped */
    SMF_BATON_SLEPT = 1,    /* the driver's CPU was idle: the handler sleeps */
    SMF_BATON_COMPUTED = 2, /* the handler was late without that being known */
    SMF_BATON_HANDED = 3    /* smf_baton_hand_over */
};

/* Shared words, each group on a cache line of its own. Atomic accesses only, sequentially consistent,
 * with one exception: where fences is 1, the watchers fence the driver's thread themselves before they
 * sleep (membarrier(2)), so that on a machine with total store order (x86-64) the driver may store
 * IN_HANDLER and load watchers_asleep without a barrier in between. */
struct smf_baton {
    uint64_t state;           /* seq << 2 | kind */
    uint32_t cursor;          /* index of the event whose handler runs; written before state */
    uint32_t fences;          /* constant */
    uint32_t reserved[12];    /* fills the cache line */
    uint64_t watchers_asleep; /* low half: the watcher, high half: the monitor; 1 = asleep */
    uint32_t reserved2[14];   /* fills the cache line */
};

/* The core's words, or NULL when it was opened without a baton. Threads: any. Ownership: the core's. */
struct smf_baton *smf_core_baton(struct smf_core *core);

/* Waits until this thread is made driver. Returns enum smf_baton_reason. Threads: any, one at a time.
 * Errors: SMF_BATON_CLOSED after smf_core_stop, and in a forked child. Cost: blocks. */
int smf_baton_wait(struct smf_core *core);

/* Wakes the watchers that sleep. The driver calls it when it sees watchers_asleep != 0 after it has
 * stored IN_HANDLER. Threads: the driver. Cost: one system call for each that sleeps. */
void smf_baton_kick(struct smf_core *core);

/* A handler that is about to wait gives the loop away: deposes itself if state is still the one it
 * entered with. Returns 1 when it did, 0 when the loop was another's already. Threads: any. Cost: a
 * system call when it did. */
int smf_baton_hand_over(struct smf_core *core, uint64_t state);

#ifdef __cplusplus
}
#endif
#endif
