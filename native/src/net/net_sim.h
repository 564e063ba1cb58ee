/* A network that exists only in this process, for tests: streams are byte pipes on a clock that is
 * moved by hand, and everything that a network may do to a stream is drawn from one seed. The same
 * seed, and the same calls in the same order, give the same events.
 *
 * What it does to streams: latency, bounded windows, short reads and writes, a limited rate, resets
 * and silent stalls at a chosen byte, a reset for whoever closes with bytes unread (as kernels do).
 * Addresses are any text. Nets that have joined a listener accept in each other's place, or do not.
 *
 * A poll that waits moves the clock to the next thing that happens to its net, or to the end of the
 * wait. A wait without end, while nothing is under way, aborts: nothing could ever end it.
 *
 * Threads: one for the whole simulation; wake alone may be called from any thread. */
#ifndef SMF_NET_SIM_H
#define SMF_NET_SIM_H

#include "net/net_ops.h"
#include "time/time_clock.h"

#define SMF__SIM_WINDOW_DEFAULT_BYTES (64u << 10)

struct smf__sim;

enum smf__sim_fault_kind {
    SMF__SIM_NO_FAULT = 0,
    SMF__SIM_RESET = 1, /* both ends hear of it; bytes that have arrived may be lost with it */
    SMF__SIM_STALL = 2  /* nothing passes any more in this direction, and nobody hears of it */
};

enum smf__sim_direction { SMF__SIM_FORTH = 0, SMF__SIM_BACK = 1 }; /* seen from who connects */

struct smf__sim_fault {
    uint32_t kind;      /* enum smf__sim_fault_kind */
    uint32_t direction; /* enum smf__sim_direction */
    uint64_t at_byte;   /* so many bytes pass; 0: from the beginning */
};

/* What a connection is like. Zeroes: no latency, no limit but the default window, no fault. */
struct smf__sim_link {
    uint64_t latency_ns_min, latency_ns_max; /* of each segment; order is kept */
    uint64_t bytes_per_second;               /* 0: no limit */
    uint32_t window_bytes;                   /* sent and not yet received; 0: the default */
    uint32_t recv_size_max; /* a read returns 1 to this many bytes; 0: all there is */
    uint32_t send_size_max; /* likewise for writes */
    struct smf__sim_fault fault;
};

/* Returns 0 or SMF_ENOMEM. The clock is the caller's and outlives the simulation. */
int smf__sim_open(struct smf__sim **sim_out, struct smf__clock_manual *clock, uint64_t seed);

/* After every net of it, and every stream that is in none, was closed: aborts otherwise. */
void smf__sim_close(struct smf__sim *sim);

/* A core's transport. Returns 0 or SMF_ENOMEM; closed by its ops. */
int smf__sim_net_open(struct smf__sim *sim, struct smf__net **net_out);

/* Connections that are opened from now on are like this. */
void smf__sim_link(struct smf__sim *sim, const struct smf__sim_link *link);

/* The next so many streams that a core wants to attach are refused. */
void smf__sim_fail_attach(struct smf__sim *sim, uint32_t times);

/* When the next thing happens, later than now; UINT64_MAX: nothing is under way. */
uint64_t smf__sim_next_ns(const struct smf__sim *sim);

/* A hash over everything that happened so far. */
uint64_t smf__sim_trace(const struct smf__sim *sim);

#endif
