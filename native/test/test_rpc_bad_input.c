/* What a server does with peers that break the rules or stop half-way, and what it does not send
 * itself: on a simulated network and a clock that is moved by hand. */
#include "test_serving.h"

#define GOLDEN_ZERO SMF_SOURCE_DIR "/schema/golden/payload_checksum_zero.hex"

/* Headers. */

struct bad_header {
    uint32_t reason;
    struct smf_frame frame;
};

static const struct bad_header bad_headers[] = {
    {SMF_CLOSE_BAD_COMPRESSION, {.compression = 4, .size = 3, .checksum = 1, .meta = 1}},
    {SMF_CLOSE_BAD_FLAGS, {.flags = 1, .size = 3, .checksum = 1, .meta = 1}},
    {SMF_CLOSE_BAD_FLAGS, {.flags = 0x80, .size = 3, .checksum = 1, .meta = 1}},
    {SMF_CLOSE_SIZE_ZERO, {.size = 0, .checksum = 1, .meta = 1}},
    {SMF_CLOSE_CHECKSUM_ZERO, {.size = 3, .checksum = 0, .meta = 1}},
    {SMF_CLOSE_META_ZERO, {.size = 3, .checksum = 1, .meta = 0}},
    {SMF_CLOSE_CHECKSUM_MISMATCH, {.size = 3, .checksum = 1, .meta = 1}},
    {SMF_CLOSE_FRAME_TOO_LARGE, {.size = (1u << 20) + 1, .checksum = 1, .meta = 1}},
    {SMF_CLOSE_FRAME_TOO_LARGE, {.size = UINT32_MAX, .checksum = 1, .meta = 1}},
};

static void send_bad(struct raw *raw, const struct smf_frame *frame)
{
    uint8_t bytes[HEADER + 3] = {[HEADER] = 'b', 'a', 'd'};

    smf_frame_encode(frame, bytes);
    CHECK(raw_send(raw, bytes, sizeof bytes));
}

static void bad_header_closes(const struct bad_header *bad, uint32_t recv_size_max)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link = {.recv_size_max = recv_size_max};
    struct world world;
    struct raw *raw, *other;

    limits.frame_size_bytes_max = 1u << 20;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    smf__sim_link(world.sim, &link);
    raw = raw_open(&world);
    other = raw_open(&world);
    serving.hold = 1;
    for (uint16_t session = 1; session <= 3; session++)
        raw_call(raw, session);
    send_bad(raw, &bad->frame);
    raw_call(raw, 4);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 3); /* what is behind the bad one is not looked at */
    CHECK_EQ(closed_for(&world, bad->reason), 1);
    CHECK_EQ(raw->ended, 0); /* three replies are due */
    let_go(&world);
    serving.hold = 0;
    world_run(&world, 5);
    CHECK_EQ(raw_replies(raw), 3);
    CHECK_EQ(raw->ended, 1);
    check_served(&world, other, 9);
    world_run(&world, 2000);
    CHECK_EQ(world.closed, 1);
    CHECK_EQ(world.closed_reason, bad->reason);
    CHECK(strncmp(serving.closed_peer, "sim:", 4) == 0);
    CHECK_EQ(smf_core_turn(world.server)->connections, 1);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    check_served(&world, other, 10);
    world_close(&world);
}

static void bad_headers_close_after_the_replies_that_are_due(void)
{
    for (size_t i = 0; i < TEST_COUNT(bad_headers); i++) {
        bad_header_closes(&bad_headers[i], 0);
        bad_header_closes(&bad_headers[i], 5);
    }
}

/* Sends as much as it can for 200 ms, and returns how much was taken from it. */
static uint64_t flood(struct raw *raw)
{
    static uint8_t bytes[16u << 10];
    struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
    uint64_t taken = 0;

    for (int i = 0; i < 200 && raw->stream != NULL; i++) {
        int64_t size = raw->world->raw_net->ops->send(raw->stream, &vector, 1);

        CHECK(size > 0 || size == -EAGAIN);
        if (size > 0)
            taken += (uint64_t)size;
        world_run(raw->world, 1);
    }
    return taken;
}

static void garbage_is_not_read_for_long(const struct smf_frame *frame)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw, *other, *leaver;

    limits.frame_size_bytes_max = 1u << 20;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    raw = raw_open(&world);
    leaver = raw_open(&world);
    other = raw_open(&world);
    check_served(&world, raw, 1);
    send_bad(raw, frame);
    send_bad(leaver, frame);
    world_run(&world, 1);
    CHECK_EQ(raw->ended, 1);
    CHECK_LE(flood(raw), SMF__RPC_LINGER_BYTES_MAX + SMF__RPC_LINGER_READ_BYTES +
                             SMF__SIM_WINDOW_DEFAULT_BYTES);
    check_served(&world, other, 1);
    CHECK_GT(flood(leaver), SMF__RPC_LINGER_BYTES_MAX);
    CHECK_EQ(smf_core_turn(world.server)->connections, 3);
    raw_close(leaver); /* is seen although it is not read */
    world_run(&world, 1);
    CHECK_EQ(smf_core_turn(world.server)->connections, 2);
    world_run(&world, 1000); /* raw's time is over */
    CHECK_EQ(smf_core_turn(world.server)->connections, 1);
    CHECK_EQ(world.closed, 2);
    check_served(&world, other, 2);
    world_close(&world);
}

/* Who breaks the rules and sends on has to wait: what it sends costs nothing. */
static void garbage_at_full_speed_is_not_read(void)
{
    for (size_t i = 0; i < TEST_COUNT(bad_headers); i++)
        garbage_is_not_read_for_long(&bad_headers[i].frame);
}

/* Who has kept them may have much on the way when its connection is closed here, and its last replies
 * behind it. */
static void who_kept_the_rules_may_send_on(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    raw = raw_open(&world);
    serving.hold = 1;
    raw_call(raw, 1);
    world_run(&world, 1);
    CHECK_EQ(serving.held_count, 1);
    smf_core_disconnect(world.server, serving.held[0].conn);
    world_run(&world, 1);
    CHECK_EQ(raw->ended, 1);
    CHECK_GE(flood(raw), 1u << 20);
    world_close(&world);
}

static void frames_over_the_whole_budget_cost_nothing(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits(); /* 16 MiB, twice the budget */
    struct smf_frame frame = {.size = 4u << 20, .checksum = 1, .meta = 1};
    struct world world;
    struct raw *raw, *other;
    uint64_t used_bytes;

    serving_open(&world, &serving, SMF__POOL_BUDGET_MIN_BYTES, &limits);
    other = raw_open(&world);
    check_served(&world, other, 1);
    used_bytes = world_stats(world.server).memory_used_bytes_max;
    for (int i = 0; i < 10; i++) {
        raw = raw_open(&world);
        send_bad(raw, &frame);
        world_run(&world, 5);
        CHECK_EQ(raw->ended, 1);
        check_served(&world, other, 2);
    }
    CHECK_EQ(closed_for(&world, SMF_CLOSE_FRAME_TOO_LARGE), 10);
    CHECK_EQ(world_stats(world.server).memory_used_bytes_max, used_bytes);
    CHECK_EQ(world_stats(world.server).memory_refused, 0);
    world_close(&world);
}

static void same_session_twice_is_answered_twice(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    raw = raw_open(&world);
    raw_call(raw, 7);
    raw_call(raw, 7);
    world_run(&world, 5);
    let_go(&world);
    world_run(&world, 5);
    CHECK_EQ(raw_replies(raw), 2);
    CHECK_EQ(raw->ended, 0);
    world_close(&world);
}

/* Silence. */

/* Sends the first bytes of a frame and then nothing, or one more now and then. */
static void silence_closes(uint32_t begin, uint32_t trickle_ms, uint32_t limit_ms, uint32_t reason)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;
    uint8_t bytes[HEADER + 100] = {0}, payload[100] = {1};
    uint32_t passed_ms = 1;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    raw = raw_open(&world);
    check_served(&world, raw, 1);
    (void)frame_make(bytes, 2, WORLD_METHOD, payload, sizeof payload);
    CHECK(raw_send(raw, bytes, begin));
    world_run(&world, 1);
    while (trickle_ms != 0 && passed_ms + trickle_ms < limit_ms) {
        CHECK(raw_send(raw, bytes + begin++, 1));
        world_run(&world, trickle_ms);
        passed_ms += trickle_ms;
    }
    world_run(&world, limit_ms - passed_ms - 1);
    CHECK_EQ(raw->ended, 0);
    CHECK_EQ(closed_for(&world, reason), 0);
    world_run(&world, 10);
    CHECK_EQ(closed_for(&world, reason), 1);
    CHECK_EQ(raw->ended, 1);
    world_run(&world, 2000);
    CHECK_EQ(world.closed, 1);
    CHECK_EQ(world.closed_reason, reason);
    CHECK_EQ(smf_core_turn(world.server)->connections, 0);
    world_close(&world);
}

static void half_a_header_is_waited_for_10_s(void)
{
    silence_closes(1, 0, 10000, SMF_CLOSE_HEADER_TIMEOUT);
    silence_closes(15, 0, 10000, SMF_CLOSE_HEADER_TIMEOUT);
    silence_closes(1, 3000, 10000, SMF_CLOSE_HEADER_TIMEOUT);
}

static void half_a_body_is_waited_for_60_s(void)
{
    silence_closes(HEADER, 0, 60000, SMF_CLOSE_BODY_TIMEOUT);
    silence_closes(HEADER + 99, 0, 60000, SMF_CLOSE_BODY_TIMEOUT);
    silence_closes(HEADER + 1, 5000, 60000, SMF_CLOSE_BODY_TIMEOUT);
}

/* Every read ends in the middle of a body, for longer than a body may take: each body is in time. */
static void steady_traffic_is_no_silence(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;
    uint8_t bytes[HEADER + 100], payload[100] = {1};
    size_t size = frame_make(bytes, 2, WORLD_METHOD, payload, sizeof payload);

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    raw = raw_open(&world);
    CHECK(raw_send(raw, bytes, 50));
    for (int second = 0; second < 200; second++) {
        uint8_t rotated[HEADER + 100];

        memcpy(rotated, bytes + 50, size - 50);
        memcpy(rotated + size - 50, bytes, 50);
        CHECK(raw_send(raw, rotated, size));
        world_run(&world, 1000);
        CHECK_EQ(raw->ended, 0);
    }
    CHECK_EQ(raw_replies(raw), 200);
    world_close(&world);
}

static void idle_connections_are_closed_when_asked_for(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw, *busy;

    limits.idle_timeout_ms = 5000;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    raw = raw_open(&world);
    busy = raw_open(&world);
    for (uint16_t i = 1; i <= 8; i++) {
        check_served(&world, raw, i);
        world_run(&world, 2000);
    }
    serving.hold = 1;
    raw_call(busy, 1); /* a call that takes long is not idleness */
    world_run(&world, 6000);
    CHECK_EQ(raw->ended, 1);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_IDLE_TIMEOUT), 2); /* busy was, before its call */
    world_close(&world);
}

static void a_call_in_flight_is_not_idle(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    limits.idle_timeout_ms = 5000;
    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    raw = raw_open(&world);
    raw_call(raw, 1);
    world_run(&world, 60000);
    CHECK_EQ(raw->ended, 0);
    let_go(&world);
    world_run(&world, 20);
    CHECK_EQ(raw_replies(raw), 1);
    world_run(&world, 20000);
    CHECK_EQ(raw->ended, 1);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_IDLE_TIMEOUT), 1);
    world_close(&world);
}

/* A driver that waits for ever hears of a time-out as soon as it happens, though nothing else does. */
static void time_outs_are_told_while_the_core_waits(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link = {.fault = {SMF__SIM_STALL, SMF__SIM_BACK, HEADER + 1}};
    struct smf_error error;
    struct world world;
    uint64_t conn, begun_ns;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    smf__sim_link(world.sim, &link);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    CHECK_EQ(smf_core_send(world.client, conn, 1, WORLD_METHOD, "half of this comes back", 23),
             SMF_OK);
    world_run(&world, 100);
    CHECK_EQ(world.requests, 1);
    begun_ns = world.clock.now_ns;
    CHECK_EQ(smf_core_poll(world.client, 600 * 1000000ll), 1);
    CHECK_EQ(smf_core_turn(world.client)->events[0].kind, SMF_EVENT_CLOSED);
    CHECK_EQ(smf_core_turn(world.client)->events[0].meta, SMF_CLOSE_BODY_TIMEOUT);
    CHECK_LE(world.clock.now_ns - begun_ns, 61000 * WORLD_MS);
    world_close(&world);
}

/* Sends. */

static void replies_to_nobody_are_stale(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    CHECK_EQ(smf_core_send(world.server, 1ull << 32 | 77, 1, 200, "x", 1), SMF_OK);
    CHECK_EQ(smf_core_send(world.server, UINT64_MAX, 1, 200, "x", 1), SMF_OK);
    world_run(&world, 1);
    CHECK_EQ(world_stats(world.server).stale_replies, 2);
    serving.hold = 1;
    raw = raw_open(&world);
    raw_call(raw, 1);
    world_run(&world, 1);
    raw_close(raw);
    world_run(&world, 1);
    let_go(&world);
    world_run(&world, 10);
    raw = raw_open(&world); /* takes the same slot */
    raw_call(raw, 1);
    world_run(&world, 1);
    CHECK_EQ(smf_core_send(world.server, serving.held[0].conn - (1ull << 32), 1, 200, "x", 1),
             SMF_OK);
    world_run(&world, 1);
    CHECK_EQ(world_stats(world.server).stale_replies, 3);
    CHECK_EQ(raw->got_size, 0);
    world_close(&world);
}

static void sends_have_rules(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct smf_turn *turn;

    serving_open(&world, &serving, SMF__POOL_BUDGET_MIN_BYTES, &limits);
    turn = smf_core_turn(world.server);
    CHECK_EQ(smf_core_send(world.server, 1, 1, 200, "x", 0), SMF_EINVAL);
    CHECK_EQ(smf_core_send(world.server, 1, 1, 0, "x", 1), SMF_EINVAL);
    CHECK(smf_core_reserve(world.server, 64u << 20) == NULL);
    for (uint32_t i = 0; i < turn->send_capacity; i++)
        CHECK_EQ(smf_core_send(world.server, 1ull << 32 | (i % 2), 1, 200, "x", 1), SMF_OK);
    CHECK_EQ(smf_core_send(world.server, 1, 1, 200, "x", 1), SMF_ELIMIT);
    world_run(&world, 1);
    CHECK_EQ(world_stats(world.server).stale_replies, turn->send_capacity);
    world_close(&world);
}

/* Payloads whose checksum is 0. */

static size_t golden_zero(uint8_t *bytes_out, size_t capacity)
{
    FILE *file = fopen(GOLDEN_ZERO, "r");
    char line[256];
    size_t size = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#' || strchr(line, ':') != NULL)
            continue;
        for (const char *at = line; size < capacity && at[0] > ' ' && at[1] > ' '; at += 2) {
            char digits[3] = {at[0], at[1], '\0'};

            bytes_out[size++] = (uint8_t)strtoul(digits, NULL, 16);
        }
    }
    fclose(file);
    CHECK_EQ(smf_frame_checksum(bytes_out, size), 0);
    return size;
}

/* Sends a reply of that payload between two others, in one run; flags as given. */
static struct smf_frame zero_reply(uint8_t flags, const uint8_t **payload_out)
{
    static struct serving serving;
    static struct world world;
    struct smf__rpc_config limits = world_limits();
    struct smf_frame frame;
    struct raw *raw;
    const uint8_t *ignored;
    uint8_t zero[64], *place;
    uint32_t size = (uint32_t)golden_zero(zero, sizeof zero);
    size_t at = 0;
    uint64_t conn;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    serving.hold = 1;
    raw = raw_open(&world);
    for (uint16_t session = 1; session <= 3; session++)
        raw_call(raw, session);
    world_run(&world, 5);
    conn = serving.held[0].conn;
    CHECK_EQ(smf_core_send(world.server, conn, 3, 200, "three", 5), SMF_OK);
    place = smf_core_reserve(world.server, size);
    memcpy(place, zero, size);
    CHECK_EQ(smf_core_commit(world.server, conn, 2, 200, place, size), SMF_OK);
    place[1 - HEADER] |= flags;
    CHECK_EQ(smf_core_send(world.server, conn, 1, 200, "one", 3), SMF_OK);
    CHECK_EQ(smf_core_turn(world.server)->send_count, 1);
    world_run(&world, 5);
    CHECK_EQ(raw_replies(raw), 3);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    CHECK(raw_next(raw, &at, &frame, &ignored) && frame.session == 1);
    CHECK(raw_next(raw, &at, &frame, payload_out) && frame.session == 2);
    raw->got = NULL; /* the payload is the caller's; a few bytes of a test */
    world_close(&world);
    return frame;
}

static void a_reply_with_checksum_0_becomes_an_error(void)
{
    const uint8_t *payload;
    struct smf_frame frame = zero_reply(0, &payload);

    CHECK_EQ(frame.meta, 500);
    CHECK_EQ(frame.size, 12); /* an empty table */
    free((void *)(payload - HEADER - (HEADER + 3)));
}

static void a_flatbuffer_with_checksum_0_is_padded(void)
{
    const uint8_t *payload;
    struct smf_frame frame = zero_reply(SMF_SEND_MAY_PAD, &payload);
    uint8_t zero[64], zeroes[8] = {0};
    uint32_t size = (uint32_t)golden_zero(zero, sizeof zero);

    CHECK_EQ(frame.meta, 200);
    CHECK_EQ(frame.flags, 0);
    CHECK_GT(frame.size, size);
    CHECK_MEM(payload, zero, size);
    CHECK_MEM(payload + size, zeroes, frame.size - size);
    free((void *)(payload - HEADER - (HEADER + 3)));
}

static void calls_with_checksum_0_fail_at_their_sender(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;
    struct world world;
    uint8_t zero[64];
    uint32_t size = (uint32_t)golden_zero(zero, sizeof zero);
    uint64_t conn;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(smf_core_send(world.client, conn, 5, WORLD_METHOD, zero, size), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world.replies, 1);
    CHECK_EQ(serving.reply_session, 5);
    CHECK_EQ(serving.reply_meta, 500);
    CHECK_EQ(world.requests, 0);
    CHECK_EQ(smf_core_send(world.client, conn, 6, WORLD_METHOD, "good", 4), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(serving.reply_session, 6);
    CHECK_EQ(serving.reply_meta, 200);
    world_close(&world);
}

/* More of them in one turn than it has events. */
static void many_calls_with_checksum_0(void)
{
    static struct serving serving;
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;
    struct world world;
    uint8_t zero[64];
    uint32_t size = (uint32_t)golden_zero(zero, sizeof zero);
    uint64_t conn;

    serving_open(&world, &serving, SERVING_MEMORY_BYTES, &limits);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    world_run(&world, 5);
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(smf_core_send(world.client, conn, (uint16_t)i, WORLD_METHOD, zero, size), SMF_OK);
    world_run(&world, 5);
    CHECK_GT(world.replies, 0);
    CHECK(world.replies == 5000 || world.closed == 1); /* nobody waits for ever */
    world_close(&world);
}

static const struct test tests[] = {
    TEST(bad_headers_close_after_the_replies_that_are_due),
    TEST(garbage_at_full_speed_is_not_read),
    TEST(who_kept_the_rules_may_send_on),
    TEST(frames_over_the_whole_budget_cost_nothing),
    TEST(same_session_twice_is_answered_twice),
    TEST(half_a_header_is_waited_for_10_s),
    TEST(half_a_body_is_waited_for_60_s),
    TEST(steady_traffic_is_no_silence),
    TEST(idle_connections_are_closed_when_asked_for),
    TEST(a_call_in_flight_is_not_idle),
    TEST(time_outs_are_told_while_the_core_waits),
    TEST(replies_to_nobody_are_stale),
    TEST(sends_have_rules),
    TEST(a_reply_with_checksum_0_becomes_an_error),
    TEST(a_flatbuffer_with_checksum_0_is_padded),
    TEST(calls_with_checksum_0_fail_at_their_sender),
    TEST(many_calls_with_checksum_0),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
