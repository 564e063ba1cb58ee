/* What a server does with peers that never read or ask for more than it can take, and how connections
 * end: on a simulated network and a clock that is moved by hand. */
#include "test_serving.h"

/* Peers that do not read. */

static void never_reading_is_bounded_in_memory(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw, *other;
    uint64_t used_bytes;

    limits.unsent_bytes_max = 4u << 20;
    limits.in_flight_max = 256;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    other = raw_open(&world);
    check_served(&world, other, 1);
    used_bytes = world_stats(world.server).memory_used_bytes;
    serving.reply_size = SERVING_REPLY_MAX_BYTES;
    raw = raw_open(&world);
    raw_deaf(raw, 1);
    for (uint16_t session = 1; session < 1000 && raw->stream != NULL; session++) {
        uint8_t bytes[64];
        size_t size = frame_make(bytes, session, WORLD_METHOD, "more", 4);
        struct iovec vector = {bytes, size};

        (void)world.raw_net->ops->send(raw->stream, &vector, 1);
        world_run(&world, 1);
        CHECK_LE(world_stats(world.server).memory_used_bytes, used_bytes + (6u << 20));
    }
    CHECK_GT(world_stats(world.server).reads_paused, 0);
    CHECK_EQ(smf_core_turn(world.server)->unsent, 1);
    serving.reply_size = 0;
    check_served(&world, other, 2);
    world_run(&world, 31000);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_SLOW_READER), 1);
    CHECK_EQ(world_stats(world.server).send_timeouts, 1);
    CHECK_EQ(world_stats(world.server).unsent_exceeded, 0);
    check_served(&world, other, 3);
    world_run(&world, 10);
    CHECK_EQ(world_stats(world.server).memory_used_bytes, used_bytes);
    CHECK_EQ(smf_core_turn(world.server)->unsent, 0);
    world_close(&world);
}

static void too_much_unsent_closes_at_once(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;
    uint64_t used_bytes;

    limits.unsent_bytes_max = 1u << 20;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    raw = raw_open(&world);
    check_served(&world, raw, 1);
    used_bytes = world_stats(world.server).memory_used_bytes;
    serving.hold = 1;
    serving.reply_size = SERVING_REPLY_MAX_BYTES;
    raw_deaf(raw, 1);
    for (uint16_t session = 1; session <= 40; session++)
        raw_call(raw, session);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 41);
    let_go(&world); /* 2.5 MiB in one turn */
    world_run(&world, 5);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_SLOW_READER), 1);
    CHECK_EQ(world.closed_reason, SMF_CLOSE_SLOW_READER);
    CHECK_EQ(world_stats(world.server).unsent_exceeded, 1);
    CHECK_EQ(world_stats(world.server).send_timeouts, 0);
    CHECK_EQ(smf_core_turn(world.server)->connections, 0);
    world_run(&world, 10);
    CHECK_EQ(world_stats(world.server).memory_used_bytes, used_bytes);
    world_close(&world);
}

/* The peer reads at last, and has more to ask: a core that waits goes on by itself. */
static void reading_again_resumes_a_core_that_waits(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    limits.unsent_bytes_max = 16u << 20; /* reading stops at 1 MiB */
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.reply_size = SERVING_REPLY_MAX_BYTES;
    raw = raw_open(&world);
    raw_deaf(raw, 1);
    for (uint16_t session = 1; session <= 30; session++) {
        raw_call(raw, session);
        world_run(&world, 1);
    }
    CHECK_LT(world.requests, 30);
    CHECK_GT(world_stats(world.server).paused_unsent, 0);
    CHECK_EQ(world_stats(world.server).connections_unsent, 1);
    raw_deaf(raw, 0);
    while (smf_core_turn(world.server)->unsent != 0) {
        raw_poll(&world);
        if (smf_core_poll(world.server, 10) != 0)
            break;
    }
    if (smf_core_turn(world.server)->event_count == 0)
        CHECK_GT(smf_core_poll(world.server, 1000000), 0);
    CHECK_EQ(smf_core_turn(world.server)->events[0].kind, SMF_EVENT_REQUEST);
    world_close(&world);
}

/* One poll must do: drained by the peer, refilled by the socket, all while the core waits. */
static void one_wait_flushes_and_reads_on(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link = {.window_bytes = 1u << 20};
    struct world world;
    struct raw *raw;

    limits.unsent_bytes_max = 1u << 20; /* reading stops at 64 KiB */
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    smf__sim_link(world.sim, &link);
    serving.hold = 1;
    serving.reply_size = SERVING_REPLY_MAX_BYTES;
    raw = raw_open(&world);
    raw_deaf(raw, 1);
    for (uint16_t session = 1; session <= 20; session++)
        raw_call(raw, session);
    world_run(&world, 5);
    let_go(&world); /* 1.25 MiB: 1 MiB fits in the window */
    world_run(&world, 5);
    CHECK_EQ(smf_core_turn(world.server)->unsent, 1);
    raw_call(raw, 21);
    raw_read(raw);
    CHECK_EQ(smf_core_poll(world.server, 1000000), 1);
    CHECK_EQ(smf_core_turn(world.server)->events[0].session, 21);
    world_close(&world);
}

/* Limits of calls and connections. */

static void calls_in_flight_are_limited(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw, *other;

    limits.in_flight_max = 10;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    raw = raw_open(&world);
    other = raw_open(&world);
    for (uint16_t session = 1; session <= 100; session++)
        raw_call(raw, session);
    world_run(&world, 100);
    CHECK_EQ(world.requests, 10);
    CHECK_EQ(world_stats(world.server).in_flight, 10);
    CHECK_EQ(world_stats(world.server).paused_in_flight, 1);
    CHECK_EQ(world_stats(world.server).reads_paused, 1);
    raw_call(other, 1); /* has a limit of its own */
    world_run(&world, 5);
    CHECK_EQ(world.requests, 11);
    for (int i = 0; i < 20; i++) {
        let_go(&world);
        world_run(&world, 5);
    }
    CHECK_EQ(world.requests, 101);
    CHECK_EQ(raw_replies(raw), 100);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    world_close(&world);
}

static void running_calls_of_a_core_are_limited(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raws[8];

    limits.running_max = 20;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    for (int i = 0; i < 8; i++) {
        raws[i] = raw_open(&world);
        for (uint16_t session = 1; session <= 10; session++)
            raw_call(raws[i], session);
    }
    world_run(&world, 100);
    CHECK_EQ(world.requests, 20);
    CHECK_EQ(world_stats(world.server).paused_running, 6);
    CHECK_EQ(world_stats(world.server).reads_paused, 6);
    for (int i = 0; i < 20; i++) {
        CHECK_LE(smf_core_turn(world.server)->in_flight, 20);
        let_go(&world);
        world_run(&world, 5);
    }
    CHECK_EQ(world.requests, 80);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(raw_replies(raws[i]), 10);
    world_close(&world);
}

/* Who holds all the calls goes away while the core waits: the others are read on. */
static void a_lost_connection_resumes_the_others(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *holder, *waiting;

    limits.running_max = 1;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    holder = raw_open(&world);
    raw_deaf(holder, 1);
    raw_call(holder, 1); /* its reply stays unread, so that the end will be a reset */
    world_run(&world, 10);
    serving.hold = 1;
    raw_call(holder, 2);
    world_run(&world, 10);
    waiting = raw_open(&world);
    raw_call(waiting, 3);
    world_run(&world, 10);
    CHECK_EQ(world.requests, 2);
    raw_close(holder);
    CHECK_EQ(smf_core_poll(world.server, 1000000), 1);
    CHECK_EQ(smf_core_turn(world.server)->events[0].session, 3);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 1);
    world_close(&world);
}

static void connections_are_limited(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raws[10];
    int refused = 0;

    limits.connections_max = 6;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    for (int i = 0; i < 10; i++)
        raws[i] = raw_open(&world);
    world_run(&world, 5);
    for (int i = 0; i < 10; i++)
        refused += raws[i]->ended;
    CHECK_EQ(refused, 4);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_TOO_MANY), 4);
    for (int i = 0; i < 10; i++) {
        if (!raws[i]->ended)
            raw_close(raws[i]);
    }
    world_run(&world, 5);
    check_served(&world, raw_open(&world), 1);
    world_close(&world);
}

/* Memory. */

#define ECHO_SIZE_MAX_BYTES 50000u

static void check_echoes_of(struct raw *raw, int count, uint32_t size)
{
    static uint8_t payload[ECHO_SIZE_MAX_BYTES], bytes[HEADER + ECHO_SIZE_MAX_BYTES];
    size_t before = raw->got_size;

    for (int i = 0; i < count; i++) {
        CHECK(raw_send(raw, bytes, frame_make(bytes, (uint16_t)i, WORLD_METHOD, payload, size)));
        world_run(raw->world, 1);
        CHECK_EQ(raw->got_size - before, (size_t)(i + 1) * (HEADER + size));
    }
}

/* Calls of a peer that behaves; several chunks full of them are a million bytes. */
static void check_echoes(struct raw *raw, int count)
{
    check_echoes_of(raw, count, ECHO_SIZE_MAX_BYTES);
}

static void check_small_echoes(struct raw *raw, int count)
{
    check_echoes_of(raw, count, 60);
}

/* Peers begin large payloads and stop. apart: each when others have sent a chunk full in between. */
static void half_sent(uint32_t attackers, uint32_t body_size, int apart)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf_frame frame = {.size = body_size, .checksum = 1, .meta = 1};
    struct world world;
    struct raw *other;
    uint64_t used_bytes, paused;

    serving_open(&world, &serving, SMF__POOL_BUDGET_MIN_BYTES, &limits);
    other = raw_open(&world);
    check_echoes(other, 1);
    used_bytes = world_stats(world.server).memory_used_bytes;
    for (uint32_t i = 0; i < attackers; i++) {
        uint8_t bytes[HEADER + 1] = {0};

        smf_frame_encode(&frame, bytes);
        CHECK(raw_send(raw_open(&world), bytes, sizeof bytes));
        check_echoes(other, apart ? 6 : 0);
    }
    world_run(&world, 5);
    CHECK_GT(world_stats(world.server).paused_memory, 0);
    CHECK_GT(world_stats(world.server).memory_refused, 0);
    CHECK_EQ(world_stats(world.server).connections_open, attackers + 1);
    CHECK_LE(world_stats(world.server).memory_used_bytes, SMF__POOL_BUDGET_MIN_BYTES);
    paused = world_stats(world.server).reads_paused;
    check_small_echoes(other,
                       1000); /* they take no memory, and bring none back: nobody is tried again */
    CHECK_EQ(world_stats(world.server).reads_paused, paused);
    check_echoes(other, 40);
    for (int i = 0; i < 100 && smf_core_turn(world.server)->connections > 1; i++)
        world_run(&world, 65000);
    CHECK_EQ(smf_core_turn(world.server)->connections, 1);
    CHECK_GT(world_stats(world.server).closed[SMF_CLOSE_BODY_TIMEOUT], 0);
    CHECK_EQ(world_stats(world.server).closed[SMF_CLOSE_BODY_TIMEOUT] +
                 world_stats(world.server).closed[SMF_CLOSE_NO_MEMORY],
             attackers);
    check_echoes(other, 10);
    world_run(&world, 10);
    CHECK_EQ(world_stats(world.server).memory_used_bytes, used_bytes);
    world_close(&world);
}

static void half_sent_bodies_do_not_stop_the_others(void)
{
    half_sent(40, 1u << 20, 0);
    half_sent(75, 300u << 10, 0);
    half_sent(40, 1u << 20, 1);
}

#define WAITING 64
#define WAITING_SIZE_BYTES (600u << 10)
#define PIECE_SIZE_BYTES 4096u

/* Many more wait for memory than are tried in one turn; all of them are served when it comes back. */
static void everyone_who_waits_for_memory_gets_it(void)
{
    static struct serving serving;
    static uint8_t payload[WAITING_SIZE_BYTES], bytes[HEADER + WAITING_SIZE_BYTES];
    struct smf__rpc_config limits = world_limits();
    struct raw *waiting[WAITING];
    struct world world;
    size_t size = frame_make(bytes, 1, WORLD_METHOD, payload, sizeof payload);

    serving_open(&world, &serving, SMF__POOL_BUDGET_MIN_BYTES, &limits);
    for (uint32_t i = 0; i < WAITING; i++) { /* each begins a payload: a few of them fit */
        waiting[i] = raw_open(&world);
        CHECK(raw_send(waiting[i], bytes, PIECE_SIZE_BYTES));
        world_run(&world, 1);
    }
    CHECK_GT(world_stats(world.server).reads_paused, 3 * SMF__RPC_FEED_MAX);
    for (uint32_t i = 0; i < WAITING; i++) {
        for (size_t at = PIECE_SIZE_BYTES; at < size; at += PIECE_SIZE_BYTES) {
            size_t piece = size - at < PIECE_SIZE_BYTES ? size - at : PIECE_SIZE_BYTES;

            CHECK(raw_send(waiting[i], bytes + at, piece));
            world_run(&world, 1);
        }
        CHECK_EQ(raw_replies(waiting[i]), 1);
    }
    world_close(&world);
}

#define PIECES 13 /* of 512 KiB, as many as may be lent for payloads */

/* There is enough memory, but not in one piece: nobody tries again and again. */
static void memory_in_pieces_is_not_asked_for_again(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf_frame small = {.size = 300u << 10, .checksum = 1, .meta = 1};
    struct smf_frame large = {.size = 1u << 20, .checksum = 1, .meta = 1};
    struct raw *lending[PIECES], *other;
    uint8_t bytes[HEADER + 1] = {0};
    struct world world;
    uint64_t refused;

    serving_open(&world, &serving, SMF__POOL_BUDGET_MIN_BYTES, &limits);
    other = raw_open(&world);
    check_small_echoes(other, 1);
    smf_frame_encode(&small, bytes);
    for (int i = 0; i < PIECES; i++) {
        lending[i] = raw_open(&world);
        CHECK(raw_send(lending[i], bytes, sizeof bytes));
        world_run(&world, 1);
    }
    smf_frame_encode(&large, bytes);
    for (int i = 0; i < 4; i++) {
        CHECK(raw_send(raw_open(&world), bytes, sizeof bytes));
        world_run(&world, 1);
    }
    for (int i = 0; i < PIECES; i += 2)
        raw_close(lending[i]);
    world_run(&world, 10);
    CHECK_GT(world_stats(world.server).paused_memory, 0);
    refused = world_stats(world.server).memory_refused;
    check_small_echoes(other, 1000);
    CHECK_EQ(world_stats(world.server).memory_refused, refused);
    world_close(&world);
}

/* The ends of connections. */

static void disconnect_lets_replies_out(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    raw = raw_open(&world);
    raw_call(raw, 1);
    raw_call(raw, 2);
    world_run(&world, 5);
    reply(&world, serving.held[0].conn, 1, "goodbye", 7);
    smf_core_disconnect(world.server, serving.held[0].conn);
    world_run(&world, 5);
    CHECK_EQ(raw_replies(raw), 1);
    CHECK_EQ(raw->ended, 1);
    world_run(&world, 2000);
    CHECK_EQ(smf_core_turn(world.server)->connections, 0);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_BY_US), 1);
    world_close(&world);
}

static void half_closed_peers_get_their_replies(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    raw = raw_open(&world);
    raw_call(raw, 1);
    world_run(&world, 5);
    world.raw_net->ops->stream_shutdown_write(raw->stream);
    world_run(&world, 500);
    CHECK_EQ(raw->ended, 0);
    let_go(&world);
    world_run(&world, 5);
    CHECK_EQ(raw_replies(raw), 1);
    CHECK_EQ(raw->ended, 1);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_BY_PEER), 1);
    CHECK_EQ(smf_core_turn(world.server)->connections, 0);
    world_close(&world);
}

static void draining_answers_what_has_come(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;
    struct world world;
    struct raw *busy, *idle, *knocking;
    uint64_t conn;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    busy = raw_open(&world);
    idle = raw_open(&world);
    raw_call(busy, 1);
    world_run(&world, 5);
    raw_call(busy, 2);           /* in the socket when the drain begins */
    knocking = raw_open(&world); /* not accepted yet */
    smf_core_drain(world.server);
    world_run(&world, 5);
    CHECK_EQ(smf_core_turn(world.server)->listeners, 0);
    CHECK_EQ(world.requests, 2);
    CHECK_EQ(knocking->connected, 1);
    CHECK_EQ(idle->ended, 1);
    CHECK_EQ(busy->ended, 0);
    CHECK_EQ(smf_core_drained(world.server), 0);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    let_go(&world);
    world_run(&world, 2000);
    CHECK_EQ(raw_replies(busy), 2);
    CHECK_EQ(busy->ended, 1);
    CHECK_EQ(smf_core_drained(world.server), 1);
    CHECK_EQ(world_stats(world.client).closed[SMF_CLOSE_CONNECT_FAILED], 1);
    world_close(&world);
}

static const struct test tests[] = {
    TEST(never_reading_is_bounded_in_memory),
    TEST(too_much_unsent_closes_at_once),
    TEST(reading_again_resumes_a_core_that_waits),
    TEST(one_wait_flushes_and_reads_on),
    TEST(calls_in_flight_are_limited),
    TEST(running_calls_of_a_core_are_limited),
    TEST(a_lost_connection_resumes_the_others),
    TEST(connections_are_limited),
    TEST(half_sent_bodies_do_not_stop_the_others),
    TEST(everyone_who_waits_for_memory_gets_it),
    TEST(memory_in_pieces_is_not_asked_for_again),
    TEST(disconnect_lets_replies_out),
    TEST(half_closed_peers_get_their_replies),
    TEST(draining_answers_what_has_come),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
