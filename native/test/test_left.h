/* What is left of a core whose connections have all ended. */
#ifndef SMF_TEST_LEFT_H
#define SMF_TEST_LEFT_H

#include "rpc/rpc_session.h"
#include "test.h"

static inline uint64_t left_used(const struct smf_core *core)
{
    struct smf__pool_stats stats;

    smf__pool_stats(core->pool, &stats);
    return stats.used_bytes;
}

static inline uint64_t left_capacity(const struct smf_buffer *buffer)
{
    return buffer != NULL ? buffer->capacity : 0;
}

/* A core whose connections have all ended has what it had before there was any: the memory that it reads into
 * and that programs build in, and nothing else. What it keeps in free lists is freed with it: a sanitizer sees
 * to that. */
static inline void check_nothing_is_left(struct smf_core *core)
{
    const struct smf__rpc *rpc = smf__rpc_of(core);
    const struct smf_turn *turn = smf_core_turn(core);

    CHECK_EQ(rpc->sessions_open, 0);
    CHECK_EQ(rpc->parked_bytes, 0);
    CHECK(smf__link_alone(&rpc->pumping) && smf__link_alone(&rpc->giving));
    CHECK(smf__link_alone(&rpc->telling) && smf__link_alone(&rpc->over));
    CHECK(smf__link_alone(&rpc->hungry_sessions));
    CHECK(rpc->paused == NULL && rpc->hungry_first == NULL && rpc->hungry_last == NULL);
    CHECK(rpc->closed == NULL && rpc->leaving == NULL && rpc->put_conn == NULL);
    CHECK_EQ(rpc->slots_taken, 0);
    CHECK_EQ(rpc->accepted_open, 0);
    CHECK_EQ(rpc->stats.connections_level2, 0);
    CHECK_EQ(turn->in_flight, 0);
    CHECK_EQ(turn->unsent, 0);
    CHECK_EQ(turn->connections, 0);
    CHECK_EQ(smf__timers_next_ns(core->timers), UINT64_MAX);
    CHECK_EQ(rpc->lent_count, 0);
    CHECK_EQ(left_used(core), left_capacity(rpc->chunk) + left_capacity(turn->loan_buffer));
}

#endif
