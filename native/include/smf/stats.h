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
 * the most memory that was used. The core's time is busy_ns, spinning_ns and asleep_ns; what is in none of
 * them was spent on turns that did nothing. */
struct smf_core_stats {
    uint64_t turns;                 /* polls of the driver */
    uint64_t waits;                 /* turns that slept in the kernel */
    uint64_t wakes;                 /* bells rung by other threads */
    uint64_t polls;                 /* system calls that asked what is ready, or read nothing */
    uint64_t recvs;                 /* system calls that read something */
    uint64_t sends;                 /* system calls that wrote */
    uint64_t requests;              /* of peers, handed out */
    uint64_t replies_sent;          /* to requests of peers */
    uint64_t requests_sent;         /* calls of ours */
    uint64_t replies;               /* to calls of ours, handed out */
    uint64_t bytes_received;        /* headers and payloads that were read */
    uint64_t bytes_sent;            /* headers and payloads, also those that wait for the peer */
    uint64_t accepted;              /* connections that came */
    uint64_t connected;             /* connections of ours that were up */
    uint64_t frames_assembled;      /* payloads that straddled two reads */
    uint64_t reads_paused;          /* times that a connection was not read, for any reason */
    uint64_t stale_replies;         /* replies and calls sent to connections that had gone */
    uint64_t memory_budget_bytes;   /* memory_bytes of the core */
    uint64_t memory_used_bytes;     /* of the budget, now */
    uint64_t memory_used_bytes_max; /* of the budget, the most at any time */
    uint64_t memory_refused;        /* requests for memory that the budget could not meet */
    uint64_t closed[SMF_CLOSE_REASONS_MAX]; /* connections that ended, by enum smf_close_reason */
    uint64_t deposed_sleeping;              /* the baton: handlers that slept and lost the loop */
    uint64_t deposed_computing;        /* the baton: handlers that computed too long and lost it */
    uint64_t handed_over;              /* the baton: handlers that gave the loop away */
    uint64_t kicks;                    /* the baton: watchers woken */
    uint64_t events;                   /* handed out, of every kind */
    uint64_t batches[SMF_BATCH_SIZES]; /* turns by events handed out: none, 1, 2 to 3, 4 to 7, … */
    uint64_t spins;                    /* looks that found nothing */
    uint64_t busy_ns;                  /* reading, sending, handling */
    uint64_t spinning_ns;              /* looking in vain */
    uint64_t asleep_ns;          /* in the kernel, or armed: from smf_core_arm to the next poll */
    uint64_t paused_in_flight;   /* reads_paused because of in_flight_max */
    uint64_t paused_running;     /* reads_paused because of running_max */
    uint64_t paused_memory;      /* reads_paused because there was no memory for a payload */
    uint64_t paused_unsent;      /* reads_paused because the peer did not take its replies */
    uint64_t starved;            /* looks without memory to read into */
    uint64_t unsent_exceeded;    /* closed as slow readers because of unsent_bytes_max */
    uint64_t send_timeouts;      /* closed as slow readers because of send_timeout_ms */
    uint64_t in_flight;          /* calls of peers that are not answered, now */
    uint64_t connections_unsent; /* with replies that the peer has not taken, now */
    uint64_t connections_open;   /* in both directions, now; until all of one is cleared away */
    uint64_t connections_handed_in;  /* accepted by another core and given to this one */
    uint64_t connections_handed_out; /* accepted by this core and given to another one */
    uint64_t connections_level2;     /* of level 2, in both directions, now */
    uint64_t hellos;                 /* of peers, answered with level 2 */
    uint64_t hellos_refused;         /* of peers, answered with an error: they stay at level 1 */
    uint64_t pings;                  /* of peers, answered */
    uint64_t cancels;                /* of peers, for calls that were running: handed out */
    uint64_t cancels_ignored;        /* of peers, for calls that were answered by then */
    uint64_t goaways;                /* of peers, handed out */
    uint64_t one_way;                /* requests of peers without an answer */
    uint64_t refused_too_many;       /* requests of peers, answered with 429 by the engine */
    uint64_t refused_draining;       /* requests of peers, answered with 503 by the engine */
    uint64_t frames_dropped;         /* of the program, and not allowed at the connection's level */
    uint64_t refused_running;        /* in refused_too_many: those that met running_max */
};

/* Reads the counters. New ones come at the end of the struct: size_bytes is its size as the caller was
 * compiled, no more is written, and what this library does not count is 0. Threads: any, while the
 * core is open; each counter is exact, two of them may be a turn apart. */
void smf_core_read_stats(const struct smf_core *core, struct smf_core_stats *stats_out,
                         size_t size_bytes);

/* C++ programs that are compiled with -Wshadow hear that a function has the name of a struct. */
#if defined __cplusplus && defined __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/* The same, with the size filled in. */
static inline void smf_core_stats(const struct smf_core *core, struct smf_core_stats *stats_out)
{
    smf_core_read_stats(core, stats_out, sizeof *stats_out);
}

#if defined __cplusplus && defined __GNUC__
#pragma GCC diagnostic pop
#endif

#ifdef __cplusplus
}
#endif
#endif
