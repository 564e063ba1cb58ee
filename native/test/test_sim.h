/* A server core, a client core and peers that speak bytes, on a simulated network.
 *
 * world_step polls everybody once without waiting; when nothing happened it moves the clock to the
 * next thing that will. Events go to world.handle. Peers (struct raw) send and receive bytes by hand:
 * what arrives is collected in raw.got, unless raw.deaf is set. */
#ifndef SMF_TEST_SIM_H
#define SMF_TEST_SIM_H

#include <errno.h>

#include <smf/core.h>

#include "core/core.h"
#include "net/net_sim.h"
#include "rpc/rpc.h"
#include "test.h"

#define WORLD_ADDRESS "server"
#define WORLD_MS 1000000ull
#define WORLD_RAWS_MAX 80
#define WORLD_STEPS_MAX 20000u
#define WORLD_METHOD 1792279101u
#define HEADER SMF_FRAME_HEADER_SIZE_BYTES

struct raw {
    struct world *world;
    struct smf__stream *stream;   /* NULL once closed */
    int deaf;                     /* does not read */
    int connected, ended, broken; /* ended: the other end sends no more */
    uint8_t *got;
    size_t got_size, got_capacity;
};

struct world {
    struct smf__clock_manual clock;
    struct smf__sim *sim;
    struct smf__net *raw_net;
    struct smf_core *server, *client;
    struct raw *raws[WORLD_RAWS_MAX];
    int raw_count;
    void (*handle)(struct world *world, struct smf_core *core, const struct smf_event *event);
    void (*after_turn)(struct world *world, struct smf_core *core); /* or NULL */
    void *context;
    uint64_t requests, replies, closed; /* events seen by world_step */
    uint32_t closed_reason;             /* of the last one */
};

static inline struct smf__rpc_config world_limits(void)
{
    return (struct smf__rpc_config){.frame_size_bytes_max = 16u << 20,
                                    .unsent_bytes_max = 64u << 20,
                                    .in_flight_max = 4096,
                                    .running_max = 65536,
                                    .connections_max = 1024,
                                    .header_timeout_ms = 10000,
                                    .body_timeout_ms = 60000,
                                    .idle_timeout_ms = 0,
                                    .send_timeout_ms = 30000,
                                    .level = 2,
                                    .credit_bytes = 256u << 10,
                                    .message_size_bytes_max = 64u << 20};
}

static inline struct smf_core *world_core(struct world *world, uint64_t memory_bytes,
                                          const struct smf__rpc_config *limits, uint64_t seed)
{
    struct smf__core_config config = {.clock = smf__clock_from_manual(&world->clock),
                                      .random_seed = seed | 1,
                                      .memory_bytes = memory_bytes,
                                      .spin_us = -1,
                                      .cpu = SMF__CPU_NONE};
    struct smf_error error;
    struct smf_core *core;
    struct smf__net *net;

    CHECK_EQ(smf__core_open(&core, &config, &error), SMF_OK);
    CHECK_EQ(smf__sim_net_open(world->sim, &net), SMF_OK);
    CHECK_EQ(smf__rpc_open(core, net, limits, &error), SMF_OK);
    return core;
}

static inline void world_open(struct world *world, uint64_t seed, uint64_t memory_bytes,
                              const struct smf__rpc_config *limits)
{
    struct smf__listener *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    memset(world, 0, sizeof *world);
    world->clock.now_ns = 1000000 * WORLD_MS;
    CHECK_EQ(smf__sim_open(&world->sim, &world->clock, seed), SMF_OK);
    CHECK_EQ(smf__sim_net_open(world->sim, &world->raw_net), SMF_OK);
    world->server = world_core(world, memory_bytes, limits, seed);
    world->client = world_core(world, memory_bytes, limits, seed + 1);
    CHECK_EQ(smf__rpc_listen(smf__rpc_of(world->server), WORLD_ADDRESS, NULL, &listener, bound,
                             sizeof bound, &error),
             SMF_OK);
}

static inline void world_close(struct world *world)
{
    for (int i = 0; i < world->raw_count; i++) {
        free(world->raws[i]->got);
        free(world->raws[i]);
    }
    smf__core_close(world->server);
    smf__core_close(world->client);
    world->raw_net->ops->close(world->raw_net);
    smf__sim_close(world->sim);
}

static inline struct smf_core_stats world_stats(const struct smf_core *core)
{
    struct smf_core_stats stats;

    smf_core_stats(core, &stats);
    return stats;
}

/* Peers. */

static inline struct raw *raw_new(struct world *world)
{
    struct raw *raw = calloc(1, sizeof *raw);

    CHECK(raw != NULL && world->raw_count < WORLD_RAWS_MAX);
    raw->world = world;
    world->raws[world->raw_count++] = raw;
    return raw;
}

static inline struct raw *raw_open(struct world *world)
{
    struct raw *raw = raw_new(world);
    struct smf_error error;

    CHECK_EQ(world->raw_net->ops->connect(world->raw_net, WORLD_ADDRESS, raw, &raw->stream, &error),
             SMF_OK);
    return raw;
}

/* A server that speaks bytes: whoever connects there becomes the world's last raw. */
static inline void raw_listen(struct world *world, const char *address)
{
    struct smf__listener *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    world->raw_net->accepts_max = 16;
    CHECK_EQ(world->raw_net->ops->listen(world->raw_net, address, NULL, NULL, &listener, bound,
                                         sizeof bound, &error),
             SMF_OK);
}

static inline void raw_accept(struct world *world, struct smf__stream *stream)
{
    struct raw *raw = raw_new(world);

    raw->stream = stream;
    raw->connected = 1;
    world->raw_net->ops->stream_context(stream, raw);
}

static inline void raw_close(struct raw *raw)
{
    if (raw->stream != NULL)
        raw->world->raw_net->ops->stream_close(raw->stream);
    raw->stream = NULL;
}

static inline void raw_deaf(struct raw *raw, int deaf)
{
    raw->deaf = deaf;
    raw->world->raw_net->ops->stream_interest(raw->stream, !deaf, 0);
}

static inline void raw_read(struct raw *raw)
{
    for (;;) {
        struct iovec vector;
        int64_t size;

        if (raw->got_capacity - raw->got_size < 4096) {
            raw->got_capacity = raw->got_capacity * 2 + (64u << 10);
            raw->got = realloc(raw->got, raw->got_capacity);
            CHECK(raw->got != NULL);
        }
        vector.iov_base = raw->got + raw->got_size;
        vector.iov_len = raw->got_capacity - raw->got_size;
        size = raw->world->raw_net->ops->recv(raw->stream, &vector, 1);
        if (size == -EAGAIN)
            return;
        if (size <= 0) {
            raw->ended = 1;
            raw->broken = size < 0;
            raw->world->raw_net->ops->stream_interest(raw->stream, 0, 0);
            if (size < 0)
                raw_close(raw);
            return;
        }
        raw->got_size += (size_t)size;
    }
}

static inline void raw_poll(struct world *world)
{
    struct smf__net_event events[64];
    int count = world->raw_net->ops->poll(world->raw_net, events, 64, 0);

    for (int i = 0; i < count; i++) {
        struct raw *raw = events[i].context;

        if (events[i].kinds & SMF__NET_ACCEPTED) {
            raw_accept(world, events[i].stream);
            continue;
        }
        if (events[i].kinds & SMF__NET_CONNECTED)
            raw->connected = events[i].status == SMF_OK;
        if (raw->stream != NULL && (events[i].kinds & SMF__NET_READABLE) && !raw->deaf &&
            !raw->ended)
            raw_read(raw);
        if (raw->stream != NULL && (events[i].kinds & SMF__NET_HANGUP)) {
            raw->ended = 1;
            raw_close(raw);
        }
    }
}

/* Steps. */

static inline int world_turn(struct world *world, struct smf_core *core)
{
    int count = smf_core_poll(core, SMF_WAIT_NONE);

    CHECK_GE(count, 0);
    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(core)->events[i];

        world->requests += event->kind == SMF_EVENT_REQUEST;
        world->replies += event->kind == SMF_EVENT_REPLY;
        world->closed += event->kind == SMF_EVENT_CLOSED;
        if (event->kind == SMF_EVENT_CLOSED)
            world->closed_reason = event->meta;
        if (world->handle != NULL)
            world->handle(world, core, event);
    }
    if (world->after_turn != NULL)
        world->after_turn(world, core);
    return count + (int)smf_core_turn(core)->send_count;
}

static inline uint64_t world_next_ns(const struct world *world)
{
    uint64_t next_ns = smf__sim_next_ns(world->sim);
    uint64_t server_ns = smf__timers_next_ns(world->server->timers);
    uint64_t client_ns = smf__timers_next_ns(world->client->timers);

    next_ns = server_ns < next_ns ? server_ns : next_ns;
    return client_ns < next_ns ? client_ns : next_ns;
}

/* Returns 0 when the clock would have to move beyond until_ns for anything to happen. */
static inline int world_step(struct world *world, uint64_t until_ns)
{
    uint64_t before = smf__sim_trace(world->sim), next_ns;
    int happened = world_turn(world, world->server) + world_turn(world, world->client);

    raw_poll(world);
    if (happened != 0 || smf__sim_trace(world->sim) != before)
        return 1;
    next_ns = world_next_ns(world);
    if (next_ns > until_ns)
        return 0;
    if (next_ns > world->clock.now_ns)
        world->clock.now_ns = next_ns;
    return 1;
}

/* What a world that gets on increases: the time, or the bytes that the cores have read. */
static inline uint64_t world_progress(const struct world *world)
{
    return world->clock.now_ns + smf__rpc_of(world->server)->stats.bytes_received +
           smf__rpc_of(world->client)->stats.bytes_received;
}

/* Lets ms milliseconds pass. */
static inline void world_run(struct world *world, uint64_t ms)
{
    uint64_t until_ns = world->clock.now_ns + ms * WORLD_MS, seen = 0;
    uint32_t steps = 0; /* without progress */

    while (world_step(world, until_ns)) {
        steps = world_progress(world) == seen ? steps + 1 : 0;
        seen = world_progress(world);
        CHECK_LT(steps, WORLD_STEPS_MAX); /* busy, and nothing comes of it */
    }
    world->clock.now_ns = until_ns;
    (void)world_step(world, until_ns);
}

/* Sends all of it, letting time pass while the pipe is full. Returns 0 when the connection broke. */
static inline int raw_send(struct raw *raw, const void *bytes, size_t size)
{
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = size};
    uint64_t until_ns = raw->world->clock.now_ns + 1000 * WORLD_MS;

    while (vector.iov_len > 0) {
        int64_t sent =
            raw->stream == NULL ? -EPIPE : raw->world->raw_net->ops->send(raw->stream, &vector, 1);

        if (sent == -EAGAIN) {
            if (!world_step(raw->world, until_ns))
                return 0;
            continue;
        }
        if (sent < 0)
            return 0;
        vector.iov_base = (uint8_t *)vector.iov_base + sent;
        vector.iov_len -= (size_t)sent;
    }
    return 1;
}

/* Writes a whole frame to bytes_out; returns its size. */
static inline size_t frame_make(uint8_t *bytes_out, uint16_t session, uint32_t meta,
                                const void *payload, uint32_t size)
{
    struct smf_frame frame = {.session = session,
                              .size = size,
                              .checksum = smf_frame_checksum(payload, size),
                              .meta = meta};

    smf_frame_encode(&frame, bytes_out);
    memcpy(bytes_out + HEADER, payload, size);
    return HEADER + size;
}

/* Sends a request with a small payload that tells its session. */
static inline void raw_call(struct raw *raw, uint16_t session)
{
    uint8_t bytes[64];
    char payload[32];
    int size = snprintf(payload, sizeof payload, "request %u", session);

    CHECK(raw_send(raw, bytes, frame_make(bytes, session, WORLD_METHOD, payload, (uint32_t)size)));
}

/* Reads the frame at *at of what a peer got; 0: there is no whole one. */
static inline int raw_next(const struct raw *raw, size_t *at, struct smf_frame *frame_out,
                           const uint8_t **payload_out)
{
    if (raw->got_size - *at < HEADER)
        return 0;
    smf_frame_decode(raw->got + *at, frame_out);
    if (raw->got_size - *at - HEADER < frame_out->size)
        return 0;
    *payload_out = raw->got + *at + HEADER;
    CHECK_EQ(smf_frame_check_level1(frame_out), SMF_FRAME_GOOD);
    CHECK_EQ(smf_frame_checksum(*payload_out, frame_out->size), frame_out->checksum);
    *at += HEADER + frame_out->size;
    return 1;
}

/* How many whole replies a peer got; all of what it got must be whole. */
static inline int raw_replies(const struct raw *raw)
{
    size_t at = 0;
    int count = 0;
    struct smf_frame frame;
    const uint8_t *payload;

    while (raw_next(raw, &at, &frame, &payload))
        count++;
    CHECK_EQ(at, raw->got_size);
    return count;
}

#endif
