/* A core inside a program's own event loop: epoll, libuv, libev, GLib and their like.
 *
 * The loop sleeps on a descriptor as long as the core allows it, and polls without waiting:
 *
 *     add smf_core_fd(core) to the loop, for input
 *     for (;;) {
 *         int64_t wait_us = smf_core_arm(core);
 *         if (wait_us != 0)
 *             sleep until the descriptor is readable, wait_us have passed, or something else happens;
 *         serve what else there is;
 *         int count = smf_core_poll(core, SMF_WAIT_NONE);
 *         if (count < 0) break;
 *         for (int i = 0; i < count; i++) serve(core, &smf_core_turn(core)->events[i]);
 *     }
 *
 * What it rests on, and what goes wrong without it:
 *
 * - The loop sleeps only while the core is armed, and uses nothing of the core between smf_core_arm and
 *   sleeping. Arming tells other threads to ring the bell (smf_core_post, smf_core_wake, smf_core_stop),
 *   and looks for what they left before; a loop that sleeps unarmed may miss them for good. libuv's
 *   prepare, libev's ev_prepare and GLib's GSource prepare are the place.
 * - Arming fails (0) while the core is not done: sends are collected and not sent, the last turn found
 *   something, a connection was closed, memory was released. Then poll instead of sleeping.
 * - The descriptor tells of sockets and of the bell, not of timers: these are what wait_us is for. A
 *   loop that counts in milliseconds rounds up; rounding down keeps it awake until the time has come.
 * - A loop that was woken for other reasons may sleep again without a poll, if it arms again.
 *
 * It makes no difference whether the descriptor is watched level- or edge-triggered. smf_core_wake
 * leaves smf_turn.pending set, and a core with pending set can't be armed: who uses it clears it. */
#ifndef SMF_LOOP_H
#define SMF_LOOP_H

#include <stdint.h>

#include <smf/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The descriptor: readable when smf_core_poll would find something. Only to be watched: it is neither
 * read nor closed by the program. The same one for the core's life; SMF_EUNSUPPORTED when the transport
 * has none. Threads: any. Cost: none; there is no other descriptor and no system call behind it. */
int smf_core_fd(const struct smf_core *core);

/* Asks whether the driver may sleep outside of smf_core_poll, and prepares it: for how many
 * microseconds at most (1 or more), SMF_WAIT_FOREVER, or 0: not at all, poll first. Holds until the next
 * poll; may be called again before. spin_us of the configuration has no say in it. The counters take the
 * time until then for sleep (smf_core_stats.asleep_ns), whatever else the program does meanwhile.
 *
 * Threads: the driver. Errors: none; a stopped core says 0, and the poll SMF_ECLOSED. Cost: a memory
 * barrier and a look at the clock; no system call. */
int64_t smf_core_arm(struct smf_core *core);

#ifdef __cplusplus
}
#endif
#endif
