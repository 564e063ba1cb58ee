/* A server on the simulated network whose handlers answer at once, or hold their calls. */
#ifndef SMF_TEST_SERVING_H
#define SMF_TEST_SERVING_H

#include "test_sim.h"

#define SERVING_HELD_MAX 4096
#define SERVING_MEMORY_BYTES (32ull << 20)
#define SERVING_REPLY_MAX_BYTES (64u << 10)

/* A server whose handlers answer at once, or hold their calls until the test lets go. */
struct serving {
    int hold;
    uint32_t reply_size; /* 0: echo */
    int held_count;
    struct {
        uint64_t conn;
        uint16_t session;
    } held[SERVING_HELD_MAX];
    char closed_peer[SMF__NET_ADDRESS_SIZE_BYTES];
    uint16_t reply_session; /* of the client's last reply event */
    uint32_t reply_meta;
};

static inline void reply(struct world *world, uint64_t conn, uint16_t session, const void *payload,
                         uint32_t size)
{
    static uint8_t big[SERVING_REPLY_MAX_BYTES];
    struct serving *serving = world->context;

    memset(big, 'r', sizeof big);
    if (serving->reply_size != 0) {
        payload = big;
        size = serving->reply_size;
    }
    CHECK_EQ(smf_core_send(world->server, conn, session, 200, payload, size), SMF_OK);
}

static inline void let_go(struct world *world)
{
    struct serving *serving = world->context;

    for (int i = 0; i < serving->held_count; i++)
        reply(world, serving->held[i].conn, serving->held[i].session, "late", 4);
    serving->held_count = 0;
}

static inline void serving_handle(struct world *world, struct smf_core *core,
                                  const struct smf_event *event)
{
    struct serving *serving = world->context;

    if (event->kind == SMF_EVENT_CLOSED && core == world->server) {
        memcpy(serving->closed_peer, event->payload, event->size_bytes);
        serving->closed_peer[event->size_bytes] = '\0';
    } else if (event->kind == SMF_EVENT_REPLY) {
        serving->reply_session = event->session;
        serving->reply_meta = event->meta;
    } else if (event->kind == SMF_EVENT_REQUEST && serving->hold) {
        CHECK_LT(serving->held_count, SERVING_HELD_MAX);
        serving->held[serving->held_count].conn = event->conn;
        serving->held[serving->held_count++].session = event->session;
    } else if (event->kind == SMF_EVENT_REQUEST) {
        reply(world, event->conn, event->session, event->payload, event->size_bytes);
    }
}

static inline void serving_open(struct world *world, struct serving *serving, uint64_t memory_bytes,
                                const struct smf__rpc_config *limits)
{
    memset(serving, 0, sizeof *serving);
    world_open(world, test_seed(), memory_bytes, limits);
    world->context = serving;
    world->handle = serving_handle;
}

static inline uint64_t closed_for(const struct world *world, uint32_t reason)
{
    return world_stats(world->server).closed[reason];
}

/* A peer that behaves gets its answer. */
static inline void check_served(struct world *world, struct raw *raw, uint16_t session)
{
    size_t before = raw->got_size;

    raw_call(raw, session);
    world_run(world, 1);
    CHECK_GT(raw->got_size, before);
    CHECK_EQ(raw->ended, 0);
}

#endif
