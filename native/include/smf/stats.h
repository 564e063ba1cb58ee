/* A core's counters. They are read while the core runs, by any thread. */
#ifndef SMF_STATS_H
#define SMF_STATS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smf_core;

#define SMF_CLOSE_REASONS_MAX 32u /* enum smf_close_reason will never have more */

#define SMF_BATCH_SIZES 12u /* how many classes of turns by size there are */

/* Counters since the core was opened; and levels: those whose comment says "now", the memory budget, and
 * the most memory that was used. */
struct smf_core_stats {
    uint64_t turns; /* polls of the driver */
    uint64_t waits; /* turns that slept in the kernel */
    uint64_t wakes; /* bells rung by other threads */
    uint64_t polls; /* system calls of the transport, by kind; reads that find nothing are polls */
    uint64_t recvs; /* system calls that read something */
    uint64_t sends; /* system calls that wrote */
    uint64_t requests;                      /* handed out */
    uint64_t replies_sent;                  /* to them */
    uint64_t requests_sent;                 /* calls of ours */
    uint64_t replies;                       /* to them, handed out */
    uint64_t bytes_received;                /* headers and payloads */
    uint64_t bytes_sent;                    /* likewise; also those that still wait for the peer */
    uint64_t accepted;                      /* connections that came */
    uint64_t connected;                     /* connections of ours that were up */
    uint64_t frames_assembled;              /* straddled two reads */
    uint64_t reads_paused;                  /* for memory, calls in flight or unsent replies */
    uint64_t stale_replies;                 /* for connections that had gone */
    uint64_t memory_budget_bytes;           /* of the core */
    uint64_t memory_used_bytes;             /* of the budget, now */
    uint64_t memory_used_bytes_max;         /* the most of it at any time */
    uint64_t memory_refused;                /* requests that the budget could not meet */
    uint64_t closed[SMF_CLOSE_REASONS_MAX]; /* by enum smf_close_reason */
    uint64_t deposed_sleeping;              /* the baton: handlers that slept, */
    uint64_t deposed_computing;             /* that computed for long, */
    uint64_t handed_over;                   /* that gave it away, */
    uint64_t kicks;                         /* and watchers woken */
    /* Where the time goes. What is in none of them: turns that did nothing. */
    uint64_t events;                   /* handed out, of every kind */
    uint64_t batches[SMF_BATCH_SIZES]; /* turns by events handed out: none, 1, 2 to 3, 4 to 7, … */
    uint64_t spins;                    /* looks that found nothing */
    uint64_t busy_ns;                  /* reading, sending, handling */
    uint64_t spinning_ns;              /* looking in vain */
    uint64_t asleep_ns; /* in the kernel, or armed: from smf_core_arm to the next poll */
    /* Limits that were met, beside those in closed and memory_refused. */
    uint64_t paused_in_flight; /* reads_paused by reason: in_flight_max, */
    uint64_t paused_running;   /* running_max, */
    uint64_t paused_memory;    /* no memory for a payload, */
    uint64_t paused_unsent;    /* the peer does not take its replies */
    uint64_t starved;          /* looks without memory to read into */
    uint64_t unsent_exceeded;  /* closed as slow readers: over unsent_bytes_max, */
    uint64_t send_timeouts;    /* over send_timeout_ms */
    /* Levels. */
    uint64_t in_flight;          /* calls, now */
    uint64_t connections_unsent; /* now, with replies that the peer has not taken yet */
    /* Placement: how the cores of an engine share its connections. */
    uint64_t connections_open;       /* now, in both directions, until all of it is cleared away */
    uint64_t connections_handed_in;  /* accepted by another core and given to this one, */
    uint64_t connections_handed_out; /* accepted by this core and given to another */
};

/* Counters. New ones come at the end of the struct: size_bytes is its size as the caller was compiled, no
 * more is written, and what this library does not count is 0. Threads: any, while the core is open; each
 * counter is exact, two of them may be a turn apart. */
void smf_core_read_stats(const struct smf_core *core, struct smf_core_stats *stats_out,
                         size_t size_bytes);

/* The same, with the size filled in. */
static inline void smf_core_stats(const struct smf_core *core, struct smf_core_stats *stats_out)
{
    smf_core_read_stats(core, stats_out, sizeof *stats_out);
}

#ifdef __cplusplus
}
#endif
#endif
