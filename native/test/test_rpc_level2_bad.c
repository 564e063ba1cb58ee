/* Frames that break the rules of level 2, bits that are turned over on the way, frames of level 2 that a
 * program sends at level 1, and everything at once over a network that delays and splits: simulated. */
#include "test_level2.h"
#include "time/time_random.h"

#define CALLS 600
#define OUTSTANDING_MAX 40
#define BLOCK_AND_PAYLOAD (SMF_METADATA_SIZE_BYTES_MAX + 20000u)

/* A frame that ends the connection. */
struct bad {
    const char *what;
    struct smf_frame frame;
    const void *payload;
};

static const uint8_t zeros[16];
static const uint8_t block_too_long[16] = {24, 0, 0, 0};
static const uint8_t block_odd[16] = {12, 0, 0, 0};
static const uint8_t bad_key[16] = {16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 'K', 'v', 0, 0};

static const struct bad bads[] = {
    {"compression", {.compression = 4, .session = 1, .size = 4, .meta = 9}, zeros},
    {"session 0 of a call", {.size = 4, .meta = 9}, zeros},
    {"meta 0", {.session = 1, .size = 4}, zeros},
    {"fin without stream", {.flags = 0x04, .session = 1, .size = 4, .meta = 9}, zeros},
    {"one-way with a session", {.flags = 0x40, .session = 1, .size = 4, .meta = 9}, zeros},
    {"one-way stream", {.flags = 0x42, .size = 4, .meta = 9}, zeros},
    {"reset and more", {.flags = 0x28, .session = 1, .size = 4, .meta = 9}, zeros},
    {"control with a session", {.flags = 0x80, .session = 1, .size = 8, .meta = 1}, zeros},
    {"control of 4 bytes", {.flags = 0x80, .size = 4, .meta = 1}, zeros},
    {"control of no kind", {.flags = 0x80, .size = 8, .meta = 4}, zeros},
    {"all flags", {.flags = 0xff, .session = 1, .size = 8, .meta = 4}, zeros},
    {"credit of 8 bytes", {.flags = 0x10, .session = 1, .size = 8, .meta = 4}, zeros},
    {"block of zeros", {.flags = 0x01, .session = 1, .size = 16, .meta = 9}, zeros},
    {"block over the end", {.flags = 0x01, .session = 1, .size = 16, .meta = 9}, block_too_long},
    {"block of 12 bytes", {.flags = 0x01, .session = 1, .size = 16, .meta = 9}, block_odd},
    {"key in capitals", {.flags = 0x01, .session = 1, .size = 16, .meta = 9}, bad_key},
    {"block of one-way", {.flags = 0x41, .size = 16, .meta = 9}, bad_key},
    {"a session in use", {.session = 77, .size = 4, .meta = 9}, zeros},
};

static void check_bad(const struct bad *bad)
{
    struct smf__rpc_config limits = world_limits();
    struct notes *notes;
    struct world world;
    struct raw *raw, *other;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    raw = raw_open2(&world);
    other = raw_open2(&world);
    raw_call2(raw, 77, 0);
    world_run(&world, 5);
    CHECK(raw_frame(raw, bad->frame, bad->payload));
    raw_call2(raw, 5, 0); /* is not read any more */
    raw_call2(other, 6, 0);
    world_run(&world, 5);
    if (closed_for(&world, SMF_CLOSE_BAD_FRAME) != 1)
        printf("a bad frame: %s\n", bad->what);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_BAD_FRAME), 1);
    CHECK_EQ(world.requests, 2);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->session, 6);
    /* What it was owed goes out before it is closed. */
    CHECK_EQ(smf_core_send(world.server, notes->all[0].conn, 77, 200, "done", 4), SMF_OK);
    world_run(&world, 1200);
    CHECK_EQ(raw_only(raw, NULL).session, 77);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CLOSED)->meta, SMF_CLOSE_BAD_FRAME);
    CHECK_EQ(smf_core_turn(world.server)->connections, 1);
    world_close(&world);
}

static void bad_frames_end_their_connection(void)
{
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++)
        check_bad(&bads[i]);
}

/* Connects to a raw server that agrees on level 2; returns its end. */
static struct raw *raw_server2(struct world *world, uint64_t *conn_out)
{
    struct smf__hello hello = hello_good();
    uint8_t bytes[256], table[SMF__HELLO_SIZE_BYTES_MAX];
    struct smf_error error;
    uint32_t size;

    CHECK_EQ(
        smf_core_connect_with(world->client, "raw server", 0, SMF_CONNECT_HELLO, conn_out, &error),
        SMF_OK);
    world_run(world, 1);
    size = hello_table(table, &hello);
    CHECK(raw_send(world->raws[0], bytes, frame_make(bytes, 1, 200, table, size)));
    return world->raws[0];
}

/* A server may not send what only a client may, and the other way round. */
static void a_server_that_breaks_rules_is_left(void)
{
    static const struct bad from_servers[] = {
        {"one-way", {.flags = 0x40, .size = 4, .meta = 9}, zeros},
        {"block", {.flags = 0x01, .session = 1, .size = 16, .meta = 200}, block_odd},
        {"meta 0", {.session = 1, .size = 4}, zeros},
    };

    for (size_t i = 0; i < sizeof from_servers / sizeof from_servers[0]; i++) {
        struct smf__rpc_config limits = world_limits();
        struct world world;
        uint64_t conn;

        (void)level2_open(&world, &limits);
        raw_listen(&world, "raw server");
        (void)raw_server2(&world, &conn);
        CHECK(raw_frame(world.raws[0], from_servers[i].frame, from_servers[i].payload));
        world_run(&world, 5);
        CHECK_EQ(noted(&world, 0, SMF_EVENT_CONNECTED), 1);
        CHECK_EQ(noted(&world, 0, SMF_EVENT_REPLY), 0);
        CHECK_EQ(world.closed_reason, SMF_CLOSE_BAD_FRAME);
        world_close(&world);
    }
}

static void connect_again(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct smf_error error;
    uint64_t conn;

    notes_handle(world, core, event);
    if (event->kind == SMF_EVENT_CLOSED && core == world->client)
        CHECK_EQ(smf_core_connect(core, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
}

/* The connection that gets its slot in the same turn has nothing to do with the goaway. */
static void a_goaway_and_the_end_in_one_turn(void)
{
    struct smf__rpc_config limits = world_limits();
    uint8_t bytes[256];
    uint32_t words[2] = {SMF_CODE_UNAVAILABLE, SMF_GOAWAY_ALL};
    struct world world;
    struct raw *raw;
    uint64_t conn;
    size_t size;

    (void)level2_open(&world, &limits);
    raw_listen(&world, "raw server");
    raw = raw_server2(&world, &conn);
    world_run(&world, 1);
    world.handle = connect_again;
    size = level2_frame(
        bytes,
        (struct smf_frame){.flags = SMF_FRAME_CONTROL, .size = 8, .meta = SMF_CONTROL_GOAWAY},
        words);
    size += level2_frame(bytes + size, (struct smf_frame){.session = 0, .meta = 200}, NULL);
    CHECK(raw_send(raw, bytes, size));
    world_run(&world, 100);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_GOAWAY), 1);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CLOSED), 1);
    CHECK_EQ(world.closed_reason, SMF_CLOSE_BAD_FRAME);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CONNECTED), 2);
    CHECK_EQ(smf_core_turn(world.client)->connections, 1);
    world_close(&world);
}

/* Every bit of a frame, header and all: none of them changes what is handed out. */
static void every_bit_is_covered_by_the_checksum(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_frame frame = {.session = 300, .size = 24, .meta = WORLD_METHOD};
    uint8_t whole[HEADER + 24], bytes[HEADER + 24];
    struct notes *notes;
    struct world world;
    uint64_t mismatches = 0;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    (void)level2_frame(whole, frame, "four and twenty letters.");
    for (size_t bit = 0; bit < sizeof whole * 8; bit++) {
        struct raw *raw = raw_open2(&world);

        memcpy(bytes, whole, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(raw_send(raw, bytes, sizeof bytes));
        world_run(&world, 2);
        CHECK_EQ(world.requests, 0);
        CHECK_EQ(noted(&world, 1, SMF_EVENT_CANCEL), 0);
        raw_close(raw);
        world_run(&world, 2);
        world.raw_count--;
        free(raw->got);
        free(raw);
    }
    mismatches = closed_for(&world, SMF_CLOSE_CHECKSUM_MISMATCH);
    CHECK_GE(mismatches, 24 * 8 + 32 + 32 + 16);
    world_close(&world);
}

static void checksums_of_level_1_are_wrong_at_level_2(void)
{
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;

    (void)level2_open(&world, &limits);
    raw = raw_open2(&world);
    raw_call(raw, 1);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 0);
    CHECK_EQ(closed_for(&world, SMF_CLOSE_CHECKSUM_MISMATCH), 1);
    world_close(&world);
}

/* What a program sends at level 1 that is of level 2. */

static void level_1_gets_no_frames_of_level_2(void)
{
    static uint8_t payload[256];
    struct smf__rpc_config limits = world_limits();
    uint32_t block = block_make(payload, 5);
    struct notes *notes;
    struct world world;
    struct smf_frame frame;
    const uint8_t *got;
    struct raw *raw;
    uint64_t conn;
    size_t at = 0;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    raw = raw_open(&world);
    for (uint16_t session = 1; session <= 6; session++)
        raw_call(raw, session);
    world_run(&world, 5);
    conn = notes->all[0].conn;
    memcpy(payload + block, "message", 7);
    CHECK_EQ(smf_core_send(world.server, conn, 1, 200, "plain", 5), SMF_OK);
    CHECK_EQ(
        smf_core_send_with(world.server, conn, 2, 200, SMF_FRAME_METADATA, 0, payload, block + 7),
        SMF_OK);
    CHECK_EQ(smf_core_send_with(world.server, conn, 3, 503, SMF_FRAME_RESET, 0, NULL, 0), SMF_OK);
    CHECK_EQ(smf_core_send_with(world.server, conn, 4, 200, SMF_FRAME_STREAM, 0, "stream", 6),
             SMF_OK);
    CHECK_EQ(smf_core_send_with(world.server, conn, 5, 500, SMF_FRAME_METADATA | SMF_SEND_MAY_PAD,
                                0, payload, block),
             SMF_OK);
    CHECK_EQ(smf_core_send(world.server, conn, 6, 200, "plain", 5), SMF_OK);
    world_run(&world, 5);
    CHECK(raw_next(raw, &at, &frame, &got)); /* which checks the rules of level 1 */
    CHECK_EQ(frame.session, 1);
    CHECK(raw_next(raw, &at, &frame, &got));
    CHECK_EQ(frame.session, 2);
    CHECK_EQ(frame.size, 7);
    CHECK(memcmp(got, "message", 7) == 0);
    CHECK(raw_next(raw, &at, &frame, &got));
    CHECK_EQ(frame.session, 3);
    CHECK_EQ(frame.meta, 503);
    CHECK_EQ(frame.size, SMF__EMPTY_TABLE_SIZE_BYTES);
    CHECK(raw_next(raw, &at, &frame, &got));
    CHECK_EQ(frame.session, 6); /* it was built under the one before */
    CHECK(raw_next(raw, &at, &frame, &got));
    CHECK_EQ(frame.session, 5);
    CHECK_EQ(frame.size, SMF__EMPTY_TABLE_SIZE_BYTES);
    CHECK_EQ(at, raw->got_size);
    CHECK_EQ(world_stats(world.server).frames_dropped, 1);
    world_close(&world);
}

static void sends_with_bad_arguments_are_refused(void)
{
    static uint8_t payload[256];
    struct smf__rpc_config limits = world_limits();
    struct world world;
    uint64_t conn;

    (void)level2_open(&world, &limits);
    conn = client_open2(&world);
#define SEND(session, meta, flags, compression, payload, size)                                     \
    smf_core_send_with(world.client, conn, session, meta, flags, compression, payload, size)
    CHECK_EQ(SEND(1, 9, SMF_FRAME_MORE, 0, "x", 1), SMF_EINVAL);
    CHECK_EQ(SEND(1, 9, SMF_FRAME_CREDIT, 0, "four", 4), SMF_EINVAL);
    CHECK_EQ(SEND(1, 9, SMF_FRAME_FIN, 0, "x", 1), SMF_EINVAL);
    CHECK_EQ(SEND(1, 9, SMF_FRAME_ONE_WAY, 0, "x", 1), SMF_EINVAL);
    CHECK_EQ(SEND(1, 9, 0, 4, "x", 1), SMF_EINVAL);
    CHECK_EQ(SEND(1, 0, 0, 0, "x", 1), SMF_EINVAL);
    CHECK_EQ(SEND(1, 9, SMF_FRAME_METADATA, 0, payload, 16), SMF_EINVAL);
    CHECK_EQ(SEND(1, 9, SMF_FRAME_METADATA, 0, block_odd, 16), SMF_EINVAL);
    CHECK_EQ(SEND(1, 9, 0, 0, "x", UINT32_MAX), SMF_EINVAL);
#undef SEND
    CHECK_EQ(smf_core_turn(world.client)->send_count, 0);
    world_close(&world);
}

/* Everything at once. */

struct storm {
    struct smf__random random;
    uint64_t conn;
    uint32_t sent, answered, cancelled;
    uint8_t open[CALLS + 1]; /* by session: 1: in flight */
};

static void storm_sends(struct world *world, struct storm *storm)
{
    static uint8_t payload[BLOCK_AND_PAYLOAD];

    while (storm->sent < CALLS && storm->sent - storm->answered < OUTSTANDING_MAX &&
           smf__random_below(&storm->random, 4) != 0) {
        uint16_t session = (uint16_t)++storm->sent;
        uint32_t block =
            smf__random_below(&storm->random, 2)
                ? block_make(payload, (uint32_t)smf__random_below(&storm->random, 3000))
                : 0;
        uint32_t size = (uint32_t)smf__random_below(&storm->random, 20000);

        memset(payload + block, (int)session, size);
        CHECK_EQ(smf_core_send_with(world->client, storm->conn, session, WORLD_METHOD,
                                    block != 0 ? SMF_FRAME_METADATA : 0, 0, payload, block + size),
                 SMF_OK);
        storm->open[session] = 1;
        if (smf__random_below(&storm->random, 5) == 0) {
            CHECK_EQ(smf_core_cancel(world->client, storm->conn, session, SMF_CODE_CANCELLED),
                     SMF_OK);
            storm->cancelled++;
        }
        if (smf__random_below(&storm->random, 10) == 0)
            CHECK_EQ(smf_core_ping(world->client, storm->conn, session), SMF_OK);
    }
}

static void storm_handle(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct storm *storm = world->context;
    uint32_t whole = event->size_bytes + event->metadata_size_bytes;

    CHECK(event->kind != SMF_EVENT_CLOSED);
    if (event->kind == SMF_EVENT_REQUEST) {
        CHECK_EQ(smf_core_send_with(core, event->conn, event->session, SMF_CODE_OK, event->flags, 0,
                                    event->payload - event->metadata_size_bytes, whole),
                 SMF_OK);
    } else if (event->kind == SMF_EVENT_REPLY) {
        CHECK_EQ(storm->open[event->session], 1);
        storm->open[event->session] = 0;
        storm->answered++;
        CHECK_EQ(event->meta, SMF_CODE_OK);
        CHECK_EQ(event->metadata_size_bytes != 0, (event->flags & SMF_FRAME_METADATA) != 0);
        for (uint32_t i = 0; i < event->size_bytes; i++)
            CHECK_EQ(event->payload[i], (uint8_t)event->session);
    }
}

static void everything_at_once_over_a_rough_network(void)
{
    static struct storm storm;
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link = {.latency_ns_max = 3 * WORLD_MS,
                                 .recv_size_max = 1 + (uint32_t)(test_seed() % 700),
                                 .send_size_max = 1 + (uint32_t)(test_seed() % 1300)};
    struct world world;
    struct smf_error error;
    int rounds = 0;

    memset(&storm, 0, sizeof storm);
    smf__random_seed(&storm.random, test_seed() | 1);
    world_open(&world, test_seed(), LEVEL2_MEMORY_BYTES, &limits);
    world.context = &storm;
    world.handle = storm_handle;
    smf__sim_link(world.sim, &link);
    CHECK_EQ(smf_core_connect_with(world.client, WORLD_ADDRESS, 0, SMF_CONNECT_HELLO, &storm.conn,
                                   &error),
             SMF_OK);
    world_run(&world, 100);
    while (storm.answered < CALLS) {
        CHECK_LT(rounds++, 100000);
        storm_sends(&world, &storm);
        world_run(&world, 1);
    }
    world_run(&world, 1000);
    CHECK_GT(storm.cancelled, 0);
    CHECK_EQ(world_stats(world.server).cancels + world_stats(world.server).cancels_ignored,
             storm.cancelled);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    CHECK_EQ(smf__conn_find(smf__rpc_of(world.client), storm.conn)->in_flight, 0);
    world_close(&world);
}

static const struct test tests[] = {
    TEST(bad_frames_end_their_connection),           TEST(a_server_that_breaks_rules_is_left),
    TEST(a_goaway_and_the_end_in_one_turn),          TEST(every_bit_is_covered_by_the_checksum),
    TEST(checksums_of_level_1_are_wrong_at_level_2), TEST(level_1_gets_no_frames_of_level_2),
    TEST(sends_with_bad_arguments_are_refused),      TEST(everything_at_once_over_a_rough_network),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
