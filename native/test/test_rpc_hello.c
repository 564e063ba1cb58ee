/* How connections become ones of level 2, or stay at level 1, whatever the other end says to Hello: on a
 * simulated network. */
#include "test_level2.h"
#include "time/time_random.h"

#define MUTATIONS 4000
#define RAW_ADDRESS "raw server"

/* Ours asks. */

static void both_ends_agree_on_the_lower_of_each(void)
{
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct smf_level level;
    uint64_t conn;

    limits.in_flight_max = 100;
    limits.compressions = 1u << SMF_COMPRESSION_ZSTD | 1u << SMF_COMPRESSION_LZ4;
    (void)level2_open(&world, &limits);
    smf__rpc_of(world.client)->config.credit_bytes = 64u << 10;
    smf__rpc_of(world.client)->config.frame_size_bytes_max = 1u << 20;
    smf__rpc_of(world.client)->config.message_size_bytes_max = 3u << 20;
    smf__rpc_of(world.client)->config.in_flight_max = 101;
    smf__rpc_of(world.client)->config.compressions = 1u << SMF_COMPRESSION_LZ4;
    conn = client_open2(&world);
    CHECK_EQ(last_note(&world, 0, SMF_EVENT_CONNECTED)->level, 2);
    CHECK_EQ(smf_core_level(world.client, conn, &level), SMF_OK);
    CHECK_EQ(level.level, 2);
    CHECK_EQ(level.credit_bytes, 64u << 10);
    CHECK_EQ(level.frame_size_bytes_max, 1u << 20);
    CHECK_EQ(level.message_size_bytes_max, 3u << 20);
    CHECK_EQ(level.calls_max, 100);
    CHECK_EQ(level.compressions, 1u << SMF_COMPRESSION_LZ4);
    CHECK_EQ(level.features, 0);
    CHECK_EQ(world.requests, 0); /* Hello is not handed out */
    CHECK_EQ(world_stats(world.server).hellos, 1);
    CHECK_EQ(world_stats(world.server).connections_level2, 1);
    CHECK_EQ(world_stats(world.client).connections_level2, 1);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    smf_core_disconnect(world.client, conn);
    world_run(&world, 5);
    CHECK_EQ(smf_core_level(world.client, conn, &level), SMF_ECLOSED);
    CHECK_EQ(world_stats(world.server).connections_level2, 0);
    CHECK_EQ(world_stats(world.client).connections_level2, 0);
    world_close(&world);
}

/* Connections of one engine offer what each of them decompresses. */
static void each_connection_offers_its_own_compressions(void)
{
    const uint32_t zstd = 1u << SMF_COMPRESSION_ZSTD, lz4 = 1u << SMF_COMPRESSION_LZ4;
    const struct {
        uint32_t server, engine, flags, agreed;
    } offers[] = {
        {zstd | lz4, 0, 0, 0},
        {zstd | lz4, 0, SMF_CONNECT_ZSTD, zstd},
        {zstd | lz4, 0, SMF_CONNECT_LZ4, lz4},
        {zstd | lz4, 0, SMF_CONNECT_ZSTD | SMF_CONNECT_LZ4, zstd | lz4},
        {zstd | lz4, lz4, SMF_CONNECT_ZSTD, zstd | lz4},
        {lz4, 0, SMF_CONNECT_ZSTD | SMF_CONNECT_LZ4, lz4},
        {0, 0, SMF_CONNECT_ZSTD | SMF_CONNECT_LZ4, 0},
    };
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct smf_error error;
    struct smf_level level;
    uint64_t conn;

    (void)level2_open(&world, &limits);
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        smf__rpc_of(world.server)->config.compressions = offers[i].server;
        smf__rpc_of(world.client)->config.compressions = offers[i].engine;
        CHECK_EQ(smf_core_connect_with(world.client, WORLD_ADDRESS, 0,
                                       SMF_CONNECT_HELLO | offers[i].flags, &conn, &error),
                 SMF_OK);
        world_run(&world, 5);
        CHECK_EQ(smf_core_level(world.client, conn, &level), SMF_OK);
        CHECK_EQ(level.level, 2);
        CHECK_EQ(level.compressions, offers[i].agreed);
        smf_core_disconnect(world.client, conn); /* whose place the next one gets */
        world_run(&world, 5);
    }
    CHECK_EQ(smf_core_connect_with(world.client, WORLD_ADDRESS, 0, SMF_CONNECT_ZSTD, &conn, &error),
             SMF_EINVAL);
    CHECK_EQ(smf_core_connect_with(world.client, WORLD_ADDRESS, 0, SMF_CONNECT_HELLO | 16, &conn,
                                   &error),
             SMF_EINVAL);
    world_close(&world);
}

static void sends_wait_for_the_answer_in_their_order(void)
{
    struct smf__rpc_config limits = world_limits();
    struct notes *notes;
    struct world world;
    struct smf_error error;
    uint64_t conn;
    int at = 0;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    CHECK_EQ(
        smf_core_connect_with(world.client, WORLD_ADDRESS, 0, SMF_CONNECT_HELLO, &conn, &error),
        SMF_OK);
    for (uint16_t session = 1; session <= 40; session++) {
        CHECK_EQ(smf_core_send_with(world.client, conn, session, WORLD_METHOD, 0, 0, "early", 5),
                 SMF_OK);
        if (session % 10 == 0)
            (void)world_turn(&world, world.client); /* some before it is up, some behind it */
    }
    CHECK_EQ(smf_core_cancel(world.client, conn, 40, SMF_CODE_CANCELLED), SMF_OK);
    (void)world_turn(&world, world.client);
    CHECK_EQ(smf_core_unsent_bytes(world.client, conn), 40 * (HEADER + 5) + HEADER);
    CHECK_EQ(smf_core_ping(world.client, conn, 1), SMF_EUNSUPPORTED);
    world_run(&world, 5);
    CHECK_EQ(smf_core_unsent_bytes(world.client, conn), 0);
    CHECK_EQ(world.requests, 40);
    for (int i = 0; i < notes->count; i++) {
        if (notes->all[i].of_server && notes->all[i].kind == SMF_EVENT_REQUEST)
            CHECK_EQ(notes->all[i].session, (uint32_t)++at);
    }
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CANCEL)->session, 40);
    world_close(&world);
}

/* What a raw server says to Hello; nothing of it may be taken for level 2. */
struct saying {
    const char *what;
    uint32_t meta, session;
    const void *payload; /* NULL: a good table */
    uint32_t size;
    int flip;  /* the byte of the frame with a bit turned over; -1: none */
    int close; /* 1: closes instead */
    uint32_t reason;
};

static const uint8_t empty_table[] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0};

static const struct saying sayings[] = {
    {"closes", 0, 0, NULL, 0, -1, 1, SMF_CLOSE_NOT_LEVEL2},
    {"knows no such method", 404, 1, empty_table, 12, -1, 0, SMF_CLOSE_NOT_LEVEL2},
    {"does not implement it", 501, 1, empty_table, 12, -1, 0, SMF_CLOSE_NOT_LEVEL2},
    {"refuses", 400, 1, NULL, 0, -1, 0, SMF_CLOSE_NOT_LEVEL2},
    {"an empty table", 200, 1, empty_table, 12, -1, 0, SMF_CLOSE_NOT_LEVEL2},
    {"no table", 200, 1, "no FlatBuffer", 13, -1, 0, SMF_CLOSE_NOT_LEVEL2},
    {"of another call", 200, 2, NULL, 0, -1, 0, SMF_CLOSE_NOT_LEVEL2},
    {"flags", 200, 1, NULL, 0, 1, 0, SMF_CLOSE_NOT_LEVEL2},
    {"another checksum", 200, 1, NULL, 0, 9, 0, SMF_CLOSE_NOT_LEVEL2},
    {"compressed", 200, 1, NULL, 0, 0, 0, SMF_CLOSE_NOT_LEVEL2},
};

/* Lets our end connect to a raw server; returns that one's end. */
static struct raw *asked(struct world *world, const struct smf__rpc_config *limits,
                         uint64_t *conn_out)
{
    struct smf_error error;
    size_t at = 0;
    struct smf_frame frame;
    const uint8_t *payload;
    struct smf__hello hello;
    struct raw *raw;

    (void)level2_open(world, limits);
    raw_listen(world, RAW_ADDRESS);
    CHECK_EQ(
        smf_core_connect_with(world->client, RAW_ADDRESS, 0, SMF_CONNECT_HELLO, conn_out, &error),
        SMF_OK);
    CHECK_EQ(smf_core_send(world->client, *conn_out, 1, WORLD_METHOD, "waits", 5), SMF_OK);
    world_run(world, 1);
    CHECK_EQ(world->raw_count, 1);
    raw = world->raws[0];
    CHECK(raw_next(raw, &at, &frame, &payload)); /* a whole frame of level 1 */
    CHECK_EQ(at, raw->got_size);                 /* and nothing behind it */
    CHECK_EQ(frame.meta, SMF__HELLO_METHOD_ID);
    CHECK_EQ(smf__hello_read(payload, frame.size, &hello, NULL), SMF_OK);
    CHECK_EQ(hello.level, 2);
    CHECK_EQ(hello.calls_max, limits->in_flight_max);
    return raw;
}

static void check_saying(const struct saying *saying)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__hello hello = hello_good();
    uint8_t bytes[256], table[SMF__HELLO_SIZE_BYTES_MAX];
    struct world world;
    struct raw *raw;
    uint64_t conn;
    size_t size;

    raw = asked(&world, &limits, &conn);
    size = hello_table(table, &hello);
    size = frame_make(bytes, (uint16_t)saying->session, saying->meta,
                      saying->payload != NULL ? saying->payload : table,
                      saying->payload != NULL ? saying->size : (uint32_t)size);
    if (saying->flip >= 0)
        bytes[saying->flip] ^= 2;
    if (saying->close)
        raw_close(raw);
    else
        CHECK(raw_send(raw, bytes, size));
    world_run(&world, 10);
    if (noted(&world, 0, SMF_EVENT_CLOSED) != 1 || world.closed_reason != saying->reason)
        printf("a server that says: %s: reason %u\n", saying->what, world.closed_reason);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CLOSED), 1);
    CHECK_EQ(world.closed_reason, saying->reason);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CONNECTED), 0);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_REPLY), 0);
    world_run(&world, 1000);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CLOSED), 1);
    CHECK_EQ(world_stats(world.client).connections_open, 0);
    world_close(&world);
}

static void other_answers_say_that_it_is_not_level_2(void)
{
    for (size_t i = 0; i < sizeof sayings / sizeof sayings[0]; i++)
        check_saying(&sayings[i]);
}

static void a_silent_server_is_left_after_250_ms(void)
{
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;
    uint64_t conn;

    raw = asked(&world, &limits, &conn);
    CHECK(raw_send(raw, "\0\0\1", 3)); /* a part of a header does not count */
    world_run(&world, SMF_HELLO_TIMEOUT_MS - 10);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CLOSED), 0);
    world_run(&world, 20);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CLOSED), 1);
    CHECK_EQ(world.closed_reason, SMF_CLOSE_HELLO_TIMEOUT);
    CHECK_EQ(world_stats(world.client).connections_open, 0);
    world_close(&world);
}

static void an_answer_in_single_bytes_is_one(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__hello hello = hello_good();
    uint8_t bytes[256], table[SMF__HELLO_SIZE_BYTES_MAX];
    struct world world;
    struct raw *raw;
    uint64_t conn;
    size_t size;

    raw = asked(&world, &limits, &conn);
    raw_forget(raw);
    size = hello_table(table, &hello);
    size = frame_make(bytes, 1, 200, table, (uint32_t)size);
    for (size_t i = 0; i < size; i++) {
        CHECK_EQ(noted(&world, 0, SMF_EVENT_CONNECTED), 0);
        CHECK(raw_send(raw, bytes + i, 1));
        world_run(&world, 1);
    }
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CONNECTED), 1);
    CHECK_EQ(raw_only(raw, NULL).meta, WORLD_METHOD); /* what waited, sealed as level 2 is */
    world_run(&world, 1000);                          /* the timer of Hello is off */
    CHECK_EQ(noted(&world, 0, SMF_EVENT_CLOSED), 0);
    smf_core_disconnect(world.client, conn);
    world_run(&world, 10);
    CHECK_EQ(world.closed_reason, SMF_CLOSE_BY_US);
    world_close(&world);
}

static void ends_for_other_reasons_keep_them(void)
{
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct smf_error error;
    uint64_t conn;

    (void)asked(&world, &limits, &conn);
    smf_core_disconnect(world.client, conn);
    world_run(&world, 10);
    CHECK_EQ(world.closed_reason, SMF_CLOSE_BY_US);
    CHECK_EQ(smf_core_connect_with(world.client, "nobody", 0, SMF_CONNECT_HELLO, &conn, &error),
             SMF_OK);
    world_run(&world, 10);
    CHECK_EQ(world.closed_reason, SMF_CLOSE_CONNECT_FAILED);
    CHECK_EQ(smf_core_connect_with(world.client, "nobody", 0, 2, &conn, &error), SMF_EINVAL);
    smf__rpc_of(world.client)->config.level = 1;
    CHECK_EQ(smf_core_connect_with(world.client, "nobody", 0, SMF_CONNECT_HELLO, &conn, &error),
             SMF_EINVAL);
    world_close(&world);
}

/* We are asked. */

static void a_peer_that_asks_byte_by_byte_is_answered(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__hello hello = hello_good(), answer;
    uint8_t bytes[512];
    struct world world;
    struct smf_frame frame = {.session = 9, .size = 5, .meta = WORLD_METHOD};
    const uint8_t *payload;
    struct raw *raw;
    size_t size, at = 0;

    (void)level2_open(&world, &limits);
    raw = raw_open(&world);
    size = hello_frame(bytes, &hello);
    size += level2_frame(bytes + size, frame, "bytes");
    for (size_t i = 0; i < size; i++) {
        CHECK(raw_send(raw, bytes + i, 1));
        world_run(&world, 1);
    }
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CODE_OK);
    CHECK_EQ(smf__hello_read(payload, frame.size, &answer, NULL), SMF_OK);
    CHECK_EQ(answer.level, 2);
    CHECK_EQ(answer.credit_bytes, 256u << 10);
    CHECK(raw_next2(raw, &at, &frame, &payload));
    CHECK_EQ(frame.session, 9);
    CHECK_EQ(at, raw->got_size);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->level, 2);
    world_close(&world);
}

/* Refused, and at level 1: a call of level 1 is served. */
static void check_refused(const struct smf__hello *hello)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__hello answer;
    struct world world;
    struct raw *raw;

    (void)level2_open(&world, &limits);
    raw = raw_open(&world);
    CHECK_EQ(raw_hello(raw, hello, &answer), SMF_CODE_BAD_REQUEST);
    raw_call(raw, 3);
    world_run(&world, 5);
    CHECK_EQ(raw_replies(raw), 1);
    CHECK_EQ(world.requests, 1);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->level, 1);
    CHECK_EQ(world_stats(world.server).hellos_refused, 1);
    CHECK_EQ(world_stats(world.server).connections_level2, 0);
    world_close(&world);
}

static void limits_that_are_too_small_are_refused(void)
{
    struct smf__hello hello = hello_good();

    hello.credit_bytes = (64u << 10) - 1;
    check_refused(&hello);
    hello = hello_good();
    hello.frame_size_bytes_max = (64u << 10) + (16u << 10) + 3;
    check_refused(&hello);
    hello = hello_good();
    hello.calls_max = 0;
    check_refused(&hello);
    hello = hello_good();
    hello.message_size_bytes_max = 0;
    check_refused(&hello);
    hello = (struct smf__hello){0};
    check_refused(&hello);
}

static void hello_of_level_1_stays_there(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__hello hello = {.level = 1}, answer;
    struct world world;
    struct raw *raw;

    (void)level2_open(&world, &limits);
    raw = raw_open(&world);
    CHECK_EQ(raw_hello(raw, &hello, &answer), SMF_CODE_OK);
    CHECK_EQ(answer.level, 1);
    raw_call(raw, 3);
    world_run(&world, 5);
    CHECK_EQ(raw_replies(raw), 1);
    CHECK_EQ(world_stats(world.server).connections_level2, 0);
    world_close(&world);
}

/* Bytes of the table turned over, cut or made up: every answer is 200 or 400, and nothing else ends. */
static void garbage_in_hello_is_answered(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__random random;
    struct world world;
    int agreed = 0, refused = 0;

    smf__random_seed(&random, test_seed() | 1);
    (void)level2_open(&world, &limits);
    for (int i = 0; i < MUTATIONS; i++) {
        uint8_t bytes[256], table[SMF__HELLO_SIZE_BYTES_MAX];
        struct smf__hello hello = hello_good();
        uint32_t size = hello_table(table, &hello);
        struct raw *raw = raw_open(&world);
        struct smf_frame frame;

        for (uint32_t n = smf__random_below(&random, 4); n > 0; n--)
            table[smf__random_below(&random, size)] = (uint8_t)smf__random_next(&random);
        if (smf__random_below(&random, 4) == 0)
            size = 1 + (uint32_t)smf__random_below(&random, size);
        CHECK(raw_send(raw, bytes, frame_make(bytes, 1, SMF__HELLO_METHOD_ID, table, size)));
        world_run(&world, 1);
        CHECK_GE(raw->got_size, HEADER);
        smf_frame_decode(raw->got, &frame);
        agreed += frame.meta == SMF_CODE_OK;
        refused += frame.meta == SMF_CODE_BAD_REQUEST;
        raw_close(raw);
        world_run(&world, 1);
        free(raw->got);
        free(raw);
        world.raw_count--;
    }
    CHECK_EQ(agreed + refused, MUTATIONS);
    CHECK_GT(agreed, 0);
    CHECK_GT(refused, 0);
    CHECK_EQ(world.requests, 0);
    CHECK_EQ(world.closed, 0);
    world_close(&world);
}

static void level_1_is_as_it_was(void)
{
    struct smf__rpc_config limits = world_limits();
    uint8_t bytes[256], hello_bytes[256];
    struct smf__hello hello = hello_good();
    struct world world;
    struct raw *raw;
    size_t size;

    (void)level2_open(&world, &limits);
    raw = raw_open(&world);
    CHECK(raw_send(raw, bytes, frame_make(bytes, 3, WORLD_METHOD, "echo", 4)));
    world_run(&world, 5);
    size = frame_make(bytes, 3, SMF_CODE_OK, "echo", 4);
    CHECK_EQ(raw->got_size, size);
    CHECK(memcmp(raw->got, bytes, size) == 0);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->level, 1);
    /* Behind another call it is a method like others. */
    CHECK(raw_send(raw, hello_bytes, hello_frame(hello_bytes, &hello)));
    world_run(&world, 5);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->meta, SMF__HELLO_METHOD_ID);
    CHECK_EQ(world_stats(world.server).hellos, 0);
    CHECK_EQ(world_stats(world.server).connections_level2, 0);
    world_close(&world);
}

static void an_engine_of_level_1_hands_hello_out(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__hello hello = hello_good();
    uint8_t bytes[256];
    struct world world;
    struct raw *raw;

    limits.level = 1;
    (void)level2_open(&world, &limits);
    raw = raw_open(&world);
    CHECK(raw_send(raw, bytes, hello_frame(bytes, &hello)));
    world_run(&world, 5);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->meta, SMF__HELLO_METHOD_ID);
    CHECK_EQ(raw_replies(raw), 1);
    world_close(&world);
}

static const struct test tests[] = {
    TEST(both_ends_agree_on_the_lower_of_each),
    TEST(each_connection_offers_its_own_compressions),
    TEST(sends_wait_for_the_answer_in_their_order),
    TEST(other_answers_say_that_it_is_not_level_2),
    TEST(a_silent_server_is_left_after_250_ms),
    TEST(an_answer_in_single_bytes_is_one),
    TEST(ends_for_other_reasons_keep_them),
    TEST(a_peer_that_asks_byte_by_byte_is_answered),
    TEST(limits_that_are_too_small_are_refused),
    TEST(hello_of_level_1_stays_there),
    TEST(garbage_in_hello_is_answered),
    TEST(level_1_is_as_it_was),
    TEST(an_engine_of_level_1_hands_hello_out),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
