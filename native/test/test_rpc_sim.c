/* Calls over a network that delays, splits and breaks connections. Each test is a function of its
 * seed: --seed N runs it again. */
#include "test_sim.h"
#include "time/time_random.h"

#define EQUAL_FRAMES 24
#define EQUAL_PAYLOAD 61000
#define CALLS 300
#define OUTSTANDING_MAX 32
#define PENDING_MAX 64
#define PAYLOAD_MAX (200u << 10)
#define MEMORY_BYTES (64ull << 20)
#define SMALL_PAYLOAD 24u
#define BREAKS_OF_LARGE 150

/* A request that the server has not answered yet. */
struct pending {
    uint64_t conn;
    uint16_t session;
    uint32_t meta, size;
    const uint8_t *payload;
    struct smf_buffer *buffer; /* retained */
};

struct run {
    struct smf__random random;
    struct smf__random sizes; /* of the calls */
    struct pending pending[PENDING_MAX];
    int pending_count;
    int answers_at_once; /* 1: in order, in the turn of the request */
    uint64_t conn;       /* the client's; 0: none */
    uint32_t calls;      /* to make */
    uint32_t sent, answered;
    uint32_t sizes_of[CALLS + 1]; /* by session; 0: answered or never sent */
    int connected, closed;
};

static uint8_t byte_of(uint16_t session, uint32_t at)
{
    return (uint8_t)(session * 31u + at * 7u + (at >> 8));
}

static uint32_t meta_of(uint16_t session)
{
    return WORLD_METHOD + session;
}

/* The server: a reply is the request with every bit turned over. */

static int answer(struct smf_core *core, const struct pending *pending)
{
    uint8_t *place;

    if (smf_core_turn(core)->send_count == smf_core_turn(core)->send_capacity)
        return 0;
    place = smf_core_reserve(core, pending->size);
    if (place == NULL)
        return 0;
    for (uint32_t i = 0; i < pending->size; i++)
        place[i] = (uint8_t)~pending->payload[i];
    CHECK_EQ(smf_core_commit(core, pending->conn, pending->session,
                             pending->meta - WORLD_METHOD + 200, place, pending->size),
             SMF_OK);
    return 1;
}

static void serve(struct world *world, const struct smf_event *event)
{
    struct run *run = world->context;
    struct pending pending = {.conn = event->conn,
                              .session = event->session,
                              .meta = event->meta,
                              .size = event->size_bytes,
                              .payload = event->payload,
                              .buffer = event->buffer};

    CHECK_EQ(event->meta, meta_of(event->session));
    for (uint32_t i = 0; i < event->size_bytes; i++)
        CHECK_EQ(event->payload[i], byte_of(event->session, i));
    if (run->answers_at_once || run->pending_count == PENDING_MAX) {
        CHECK(answer(world->server, &pending));
        return;
    }
    smf_core_retain(world->server, event->buffer);
    run->pending[run->pending_count++] = pending;
}

/* Answers some of those that wait, in any order; all of them if it must. */
static void answer_some(struct world *world, int all)
{
    struct run *run = world->context;

    for (int tries = run->pending_count; tries > 0; tries--) {
        int chosen = (int)smf__random_below(&run->random, (uint64_t)run->pending_count);

        if (!all && smf__random_below(&run->random, 4) != 0)
            continue;
        if (!answer(world->server, &run->pending[chosen]))
            return;
        smf_core_release(world->server, run->pending[chosen].buffer);
        run->pending[chosen] = run->pending[--run->pending_count];
    }
}

/* The client. */

static uint32_t random_size(struct smf__random *random)
{
    uint64_t limit = 1ull << smf__random_below(random, 18);

    return 1 + (uint32_t)smf__random_below(random, limit < PAYLOAD_MAX ? limit : PAYLOAD_MAX);
}

static int send_call(struct world *world, uint16_t session, uint32_t size)
{
    uint8_t *place = smf_core_reserve(world->client, size);
    struct run *run = world->context;

    if (place == NULL)
        return 0;
    for (uint32_t i = 0; i < size; i++)
        place[i] = byte_of(session, i);
    CHECK_EQ(smf_core_commit(world->client, run->conn, session, meta_of(session), place, size),
             SMF_OK);
    run->sizes_of[session] = size;
    run->sent++;
    return 1;
}

static void call_more(struct world *world)
{
    struct run *run = world->context;

    while (run->conn != 0 && run->sent < run->calls &&
           run->sent - run->answered < OUTSTANDING_MAX) {
        if (!send_call(world, (uint16_t)(run->sent + 1), random_size(&run->sizes)))
            return;
    }
}

static void take_reply(struct world *world, const struct smf_event *event)
{
    struct run *run = world->context;

    CHECK_LE(event->session, CALLS);
    CHECK_NE(event->size_bytes, 0);
    CHECK_EQ(event->size_bytes, run->sizes_of[event->session]); /* once only */
    CHECK_EQ(event->meta, 200u + event->session);
    for (uint32_t i = 0; i < event->size_bytes; i++)
        CHECK_EQ(event->payload[i], (uint8_t)~byte_of(event->session, i));
    run->sizes_of[event->session] = 0;
    run->answered++;
}

static void handle(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct run *run = world->context;

    switch (event->kind) {
    case SMF_EVENT_REQUEST:
        CHECK(core == world->server);
        serve(world, event);
        break;
    case SMF_EVENT_REPLY:
        CHECK(core == world->client && event->conn == run->conn && event->user == 77);
        take_reply(world, event);
        break;
    case SMF_EVENT_CONNECTED:
        CHECK(core == world->client && event->conn == run->conn);
        run->connected++;
        break;
    case SMF_EVENT_CLOSED:
        if (core == world->server) /* told of what is not ordinary */
            break;
        CHECK_EQ(event->conn, run->conn);
        CHECK_MEM(event->payload, WORLD_ADDRESS, event->size_bytes);
        run->closed++;
        run->conn = 0;
        break;
    default:
        CHECK(0);
    }
}

static void after_turn(struct world *world, struct smf_core *core)
{
    if (core == world->server)
        answer_some(world, 0);
    else
        call_more(world);
}

static void run_open(struct world *world, struct run *run, uint64_t seed,
                     const struct smf__rpc_config *limits)
{
    memset(run, 0, sizeof *run);
    smf__random_seed(&run->random, seed + 10);
    smf__random_seed(&run->sizes, seed + 11);
    world_open(world, seed, MEMORY_BYTES, limits);
    world->context = run;
    world->handle = handle;
    world->after_turn = after_turn;
}

static void run_connect(struct world *world, uint32_t calls)
{
    struct run *run = world->context;
    struct smf_error error;

    memset(run->sizes_of, 0, sizeof run->sizes_of);
    run->connected = run->closed = 0;
    run->sent = run->answered = 0;
    run->calls = calls;
    CHECK_EQ(smf_core_connect(world->client, WORLD_ADDRESS, 77, &run->conn, &error), SMF_OK);
}

static void run_disconnect(struct world *world)
{
    struct run *run = world->context;

    if (run->conn != 0)
        smf_core_disconnect(world->client, run->conn);
    world_run(world, 2000);
    CHECK_EQ(run->conn, 0);
    CHECK_EQ(run->closed, 1);
}

/* Nothing is left of a connection, in either core. */
static void check_idle(struct world *world, uint64_t server_bytes, uint64_t client_bytes)
{
    struct run *run = world->context;

    answer_some(world, 1); /* for connections that are gone */
    while (run->pending_count > 0) {
        world_run(world, 1);
        answer_some(world, 1);
    }
    world_run(world, 1);
    CHECK_EQ(smf_core_turn(world->server)->connections, 0);
    CHECK_EQ(smf_core_turn(world->client)->connections, 0);
    CHECK_EQ(smf_core_turn(world->server)->in_flight, 0);
    CHECK_EQ(smf_core_turn(world->server)->unsent, 0);
    CHECK_EQ(smf_core_turn(world->client)->unsent, 0);
    CHECK_EQ(world_stats(world->server).memory_used_bytes, server_bytes);
    CHECK_EQ(world_stats(world->client).memory_used_bytes, client_bytes);
}

/* One call on a connection of its own, on a network without faults. */
static void check_usable(struct world *world)
{
    struct run *run = world->context;
    struct smf__sim_link link = {0};

    smf__sim_link(world->sim, &link);
    run_connect(world, 1);
    for (int i = 0; i < 100 && run->answered == 0; i++)
        world_run(world, 10);
    CHECK_EQ(run->answered, 1);
    run_disconnect(world);
}

static void random_link(struct smf__random *random, struct smf__sim_link *link)
{
    memset(link, 0, sizeof *link);
    link->latency_ns_min = smf__random_below(random, 1000000);
    link->latency_ns_max = link->latency_ns_min + smf__random_below(random, 1000000);
    link->window_bytes = 1 + (uint32_t)smf__random_below(random, 100000);
    if (smf__random_below(random, 2) == 0)
        link->recv_size_max = 1u << (3 + smf__random_below(random, 14));
    if (smf__random_below(random, 2) == 0)
        link->send_size_max = 1u << (3 + smf__random_below(random, 14));
    if (link->window_bytes < 1000) /* or it takes for ever */
        link->latency_ns_max = link->latency_ns_min = 0;
}

/* Many calls; every one is answered rightly. Returns the hash of all that happened. */
static uint64_t pipelined(uint64_t seed)
{
    static struct run run;
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link;
    struct world world;
    uint64_t trace;

    run_open(&world, &run, seed, &limits);
    random_link(&run.random, &link);
    smf__sim_link(world.sim, &link);
    run_connect(&world, CALLS);
    for (int i = 0; i < 100000 && run.answered < CALLS; i++)
        world_run(&world, 100);
    CHECK_EQ(run.answered, CALLS);
    CHECK_EQ(run.connected, 1);
    CHECK_EQ(run.closed, 0);
    run_disconnect(&world);
    CHECK_EQ(world_stats(world.server).requests, CALLS);
    CHECK_EQ(world_stats(world.client).replies, CALLS);
    CHECK_EQ(world_stats(world.client).closed[SMF_CLOSE_BY_US], 1);
    CHECK_EQ(world_stats(world.server).closed[SMF_CLOSE_BY_PEER], 1);
    trace = smf__sim_trace(world.sim);
    world_close(&world);
    return trace;
}

static void replies_match_their_requests(void)
{
    for (uint64_t i = 0; i < 12; i++)
        (void)pipelined(test_seed() + i);
}

static void same_seed_same_story(void)
{
    uint64_t seed = test_seed();
    uint64_t first = pipelined(seed), again = pipelined(seed), other = pipelined(seed + 1);

    CHECK_EQ(first, again);
    CHECK_NE(first, other);
}

static void one_byte_at_a_time(void)
{
    static struct run run;
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link = {.recv_size_max = 1, .send_size_max = 1, .window_bytes = 3};
    struct world world;

    run_open(&world, &run, test_seed(), &limits);
    smf__sim_link(world.sim, &link);
    run.answers_at_once = 1;
    run_connect(&world, 0);
    for (uint16_t i = 1; i <= 20; i++)
        CHECK(send_call(&world, i, 100));
    world_run(&world, 1000);
    CHECK_EQ(run.answered, 20);
    CHECK_GT(world_stats(world.server).frames_assembled, 0);
    run_disconnect(&world);
    world_close(&world);
}

/* Of a stream of large messages of one size none is put together from pieces: reads end where they do. */
static void reads_end_where_large_messages_do(void)
{
    static struct run run;
    static uint8_t frames[EQUAL_FRAMES * (HEADER + EQUAL_PAYLOAD)], payload[EQUAL_PAYLOAD];
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link = {.window_bytes = 2 * sizeof frames};
    struct world world;
    struct raw *raw;
    size_t size = 0;

    run_open(&world, &run, test_seed(), &limits);
    run.answers_at_once = 1;
    smf__sim_link(world.sim, &link);
    raw = raw_open(&world);
    world_run(&world, 10);
    for (uint16_t i = 0; i < EQUAL_FRAMES; i++) {
        for (uint32_t at = 0; at < sizeof payload; at++)
            payload[at] = byte_of(i, at);
        size += frame_make(frames + size, i, meta_of(i), payload, sizeof payload);
    }
    CHECK(raw_send(raw, frames, size / EQUAL_FRAMES)); /* tells the size */
    world_run(&world, 10);
    CHECK_EQ(world_stats(world.server).frames_assembled,
             1); /* of a stranger little is read at first */
    CHECK(raw_send(raw, frames, size));
    world_run(&world, 1000);
    CHECK_EQ(world_stats(world.server).requests, EQUAL_FRAMES + 1);
    CHECK_EQ(world_stats(world.server).frames_assembled, 1);
    world_close(&world);
}

/* Opens a connection that breaks as link says, lets its calls go their way, and sees that nothing is
 * left. A stall is heard of by nobody: then the client ends it. */
static void break_one(struct world *world, const struct smf__sim_link *link, uint32_t calls,
                      uint32_t size, uint64_t server_bytes, uint64_t client_bytes)
{
    struct run *run = world->context;

    smf__sim_link(world->sim, link);
    run_connect(world, 0);
    for (uint32_t i = 1; i <= calls; i++)
        CHECK(send_call(world, (uint16_t)i, size != 0 ? size : random_size(&run->sizes)));
    if (link->fault.kind == SMF__SIM_RESET) {
        world_run(world, 3000);
        CHECK_EQ(run->closed, 1);
        CHECK_EQ(run->conn, 0);
    } else {
        world_run(world, 90000); /* beyond every timer */
        run_disconnect(world);
    }
    world_run(world, 200000); /* for the server's side of a stall: its timers end it */
    check_idle(world, server_bytes, client_bytes);
}

static void warm_up(struct world *world, uint64_t *server_bytes, uint64_t *client_bytes)
{
    check_usable(world);
    *server_bytes = world_stats(world->server).memory_used_bytes;
    *client_bytes = world_stats(world->client).memory_used_bytes;
    check_idle(world, *server_bytes, *client_bytes);
}

static void break_at_every_byte(uint32_t kind, uint32_t direction)
{
    static struct run run;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    uint64_t server_bytes, client_bytes;
    uint32_t whole_calls = 0, frame = HEADER + SMALL_PAYLOAD;

    limits.idle_timeout_ms = 100000; /* the only way to notice some of the stalls */
    run_open(&world, &run, test_seed(), &limits);
    run.answers_at_once = 1;
    warm_up(&world, &server_bytes, &client_bytes);
    for (uint32_t byte = 0; byte <= 2 * frame; byte++) {
        struct smf__sim_link link = {.latency_ns_min = 1000,
                                     .latency_ns_max = 90000,
                                     .recv_size_max = byte % 3 == 0 ? 7 : 0,
                                     .fault = {kind, direction, byte}};

        break_one(&world, &link, 2, SMALL_PAYLOAD, server_bytes, client_bytes);
        CHECK_EQ(smf_core_turn(world.server)->connections, 0);
        CHECK_LE(run.answered, direction == SMF__SIM_BACK ? byte / frame : 2);
        whole_calls += run.answered;
        check_usable(&world);
        check_idle(&world, server_bytes, client_bytes);
    }
    CHECK_GT(whole_calls, 0);
    world_close(&world);
}

static void reset_at_every_byte_of_a_request(void)
{
    break_at_every_byte(SMF__SIM_RESET, SMF__SIM_FORTH);
}

static void reset_at_every_byte_of_a_reply(void)
{
    break_at_every_byte(SMF__SIM_RESET, SMF__SIM_BACK);
}

static void stall_at_every_byte_of_a_request(void)
{
    break_at_every_byte(SMF__SIM_STALL, SMF__SIM_FORTH);
}

static void stall_at_every_byte_of_a_reply(void)
{
    break_at_every_byte(SMF__SIM_STALL, SMF__SIM_BACK);
}

static void breaks_of_large_calls(void)
{
    static struct run run;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    uint64_t server_bytes, client_bytes;

    limits.idle_timeout_ms = 100000;
    run_open(&world, &run, test_seed(), &limits);
    warm_up(&world, &server_bytes, &client_bytes);
    for (int i = 0; i < BREAKS_OF_LARGE; i++) {
        struct smf__sim_link link;

        random_link(&run.random, &link);
        if (link.window_bytes < 1000)
            link.window_bytes += 1000;
        link.fault.kind = SMF__SIM_RESET;
        link.fault.direction = (uint32_t)smf__random_below(&run.random, 2);
        link.fault.at_byte = smf__random_below(&run.random, 300000);
        smf__sim_link(world.sim, &link);
        run_connect(&world, CALLS);
        for (int turns = 0; turns < 1000 && run.closed == 0; turns++)
            world_run(&world, 100);
        CHECK_EQ(run.closed, 1);
        world_run(&world, 200000);
        check_usable(&world);
        check_idle(&world, server_bytes, client_bytes);
    }
    CHECK_EQ(world_stats(world.server).accepted, 2 * BREAKS_OF_LARGE + 1);
    world_close(&world);
}

static void nobody_listens(void)
{
    static struct run run;
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;
    struct world world;

    run_open(&world, &run, test_seed(), &limits);
    world.handle = NULL;
    CHECK_EQ(smf_core_connect(world.client, "elsewhere", 5, &run.conn, &error), SMF_OK);
    world_run(&world, 10);
    CHECK_EQ(world.closed, 1);
    CHECK_EQ(world.closed_reason, SMF_CLOSE_CONNECT_FAILED);
    CHECK_EQ(smf_core_turn(world.client)->connections, 0);
    run.conn = 0;
    world_close(&world);
}

static const struct test tests[] = {
    TEST(replies_match_their_requests),
    TEST(same_seed_same_story),
    TEST(one_byte_at_a_time),
    TEST(reads_end_where_large_messages_do),
    TEST(reset_at_every_byte_of_a_request),
    TEST(reset_at_every_byte_of_a_reply),
    TEST(stall_at_every_byte_of_a_request),
    TEST(stall_at_every_byte_of_a_reply),
    TEST(breaks_of_large_calls),
    TEST(nobody_listens),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
