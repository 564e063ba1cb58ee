/* Tallies: how many calls of one kind a core has answered, and how fast. A server has one for each of
 * its methods.
 *
 * No clock is read for them. What a turn hands out has come when its poll returned, and the answers that
 * the turn collects leave together when the next poll begins: the loop reads the clock at both times
 * anyway. So a latency is the time from when a request was read and checked until its answer was handed
 * to the transport, other calls of the same turn included. It is what the peer waits for, less the
 * network; it is not what one handler costs.
 *
 *     struct smf_tally *tallies;
 *     smf_core_tallies(core, METHODS, &tallies);
 *     …
 *     smf_core_send(core, event->conn, event->session, status, payload, size);
 *     smf_tally_answered(core, &tallies[method], status != 200);
 */
#ifndef SMF_TALLY_H
#define SMF_TALLY_H

#include <stdint.h>

#include <smf/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Latencies are counted in buckets, four for each doubling: up to 256 ns, 320, 384, 448, 512, 640, …
 * and the last one for what took longer than 68.7 s. */
#define SMF_TALLY_BUCKETS 114u

/* One kind of call on one core; 944 bytes. The fields of the turn are the driver's, and settled when the
 * next poll begins. The others count since the core was opened, and any thread may read them, each with a
 * relaxed atomic load. */
struct smf_tally {
    uint32_t turn_answered;              /* answers of the turn that goes on */
    uint32_t turn_failed;                /* those of them that failed */
    uint64_t succeeded;                  /* failed: all that is in the buckets, less these */
    uint64_t latency_ns;                 /* of all answers together */
    uint64_t buckets[SMF_TALLY_BUCKETS]; /* answers by latency, both succeeded and failed */
    uint64_t reserved;                   /* 0 */
};

/* What a turn has to settle. */
struct smf_tallied {
    struct smf_tally *tally; /* where it is counted */
    uint64_t since_ns;       /* one answer to a request of an earlier turn: when that turn's poll
                                returned; 0: the tally's own turn_answered and turn_failed */
    uint32_t failed;         /* of an answer with since_ns: 1 for a status other than 200 */
    uint32_t reserved;       /* 0 */
};

/* How many answers with since_ns a turn's list has room for; then they are settled at once. */
#define SMF_TALLIED_LATE_MAX 2048u

/* Gives a core count tallies, all zero. Once, before its first poll. Returns 0, SMF_EINVAL (count 0, a
 * NULL, or the core has tallies already) or SMF_ENOMEM. Ownership: the core's; they
 * live as long as it does. */
int smf_core_tallies(struct smf_core *core, uint32_t count, struct smf_tally **tallies_out);

/* Counts an answer to a request of this turn, which was sent in this turn. Threads: the driver. Cost:
 * two additions. */
void smf_tally_answered(struct smf_core *core, struct smf_tally *tally, int failed);

/* Counts an answer to a request that was handed out by an earlier turn, when smf_turn.now_ns was
 * since_ns. Threads: the driver. */
void smf_tally_answered_late(struct smf_core *core, struct smf_tally *tally, uint64_t since_ns,
                             int failed);

/* The bucket of a latency. Threads: any. Cost: a few instructions. */
uint32_t smf_tally_bucket(uint64_t latency_ns);

/* The greatest latency that a bucket holds; UINT64_MAX for the last one and for those beyond. Threads:
 * any. */
uint64_t smf_tally_bound_ns(uint32_t bucket);

#ifdef __cplusplus
}
#endif
#endif
