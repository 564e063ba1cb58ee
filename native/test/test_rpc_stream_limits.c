/* Limits of sessions: entries, pings, calls of a program's own, and what a drain waits for. On a simulated
 * network, through two cores and against peers that don't keep to them. */
#include "test_stream.h"

#define KIB 1024u
#define STREAM SMF_FRAME_STREAM
#define FIN SMF_FRAME_FIN

/* A drain takes turns, which the simulation only has when something happens. */
static void run_turns(struct party *party)
{
    for (int i = 0; i < 20; i++)
        world_run(&party->world, 1);
}

/* All connections together: as many entries as calls may run, then calls are refused; twice as many, and the
 * connection that wants one more ends. */
static void entries_of_a_core_are_bounded(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_frame frame = {.flags = STREAM, .size = 1, .meta = PARTY_METHOD};
    struct party *party;
    struct raw *raws[3];

    limits.running_max = 10;
    party = party_open_with(&limits, 1ull << 30);
    party_connect(party);
    for (int i = 0; i < 3; i++)
        raws[i] = raw_open2(&party->world);
    for (uint16_t i = 0; i < 20; i++) {
        uint8_t byte;

        frame.session = (uint16_t)(i + 1);
        byte = party_byte(CLIENT, frame.session, 0, 0);
        CHECK(raw_frame(raws[i % 2], frame, &byte));
        if (i == 9) { /* these are over; their callers have not ended them */
            world_run(&party->world, 5);
            CHECK_EQ(smf__rpc_of(party->world.server)->sessions_open, 10);
            for (uint16_t at = 1; at <= 10; at++)
                CHECK_EQ(
                    smf_core_send_with(party->world.server,
                                       smf__rpc_of(party->world.server)->conns[1 + (at + 1) % 2].id,
                                       at, SMF_CODE_OK, STREAM | FIN, 0, NULL, 0),
                    SMF_OK);
            world_run(&party->world, 5);
            CHECK_EQ(smf_core_turn(party->world.server)->in_flight, 0);
        }
    }
    world_run(&party->world, 5);
    CHECK_EQ(party_sessions(party, SERVER), 20);
    CHECK_EQ(world_stats(party->world.server).refused_running, 10);
    CHECK_EQ(closed_for(&party->world, SMF_CLOSE_NO_MEMORY), 0);
    frame.session = 1;
    CHECK(raw_frame(raws[2], frame, "x"));
    world_run(&party->world, 5);
    CHECK_EQ(party_sessions(party, SERVER), 20);
    CHECK_EQ(closed_for(&party->world, SMF_CLOSE_NO_MEMORY), 1);
    raw_close(raws[0]);
    world_run(&party->world, 2000);
    CHECK_EQ(smf__rpc_of(party->world.server)->entries_of_peers, 10);
    raw_close(raws[1]);
    world_run(&party->world, 2000);
    CHECK_EQ(smf__rpc_of(party->world.server)->entries_of_peers, 0);
    party_close(party);
}

/* What was agreed binds the peer: a program that calls more is refused, and keeps its connection. */
static void own_calls_over_the_limit_are_refused(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party;

    limits.in_flight_max = 4;
    party = party_open_with(&limits, 1ull << 30);
    party_connect(party);
    for (uint16_t session = 1; session <= 20; session++)
        party_call(party, session, STREAM | FIN, 10);
    for (uint16_t session = 21; session <= 30; session++)
        party_call(party, session, STREAM | FIN, 10);
    world_run(&party->world, 20);
    for (uint16_t session = 1; session <= 4; session++)
        party_answer(party, session, STREAM | FIN, 0);
    world_run(&party->world, 20);
    for (uint16_t session = 1; session <= 30; session++) {
        CHECK_EQ(party->talks[CLIENT][session].replies, 1);
        CHECK_EQ(party->talks[CLIENT][session].status,
                 session <= 4 ? SMF_CODE_OK : (uint32_t)SMF_CODE_LIMIT);
    }
    CHECK_EQ(party->world.closed, 0);
    party_close(party);
}

/* A stream in a session whose plain call runs ends the connection; that call still has its answer. */
static void a_session_that_is_used_twice_keeps_its_first_call(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open2(&party->world);
    const struct talk *talk = &party->talks[SERVER][5];
    uint8_t byte = party_byte(CLIENT, 5, 0, 0);

    CHECK(raw_frame(raw, (struct smf_frame){.session = 5, .size = 1, .meta = PARTY_METHOD}, &byte));
    world_run(&party->world, 5);
    CHECK_EQ(talk->requests, 1);
    CHECK(raw_frame(
        raw, (struct smf_frame){.flags = STREAM, .session = 5, .size = 1, .meta = PARTY_METHOD},
        &byte));
    world_run(&party->world, 5);
    CHECK_EQ(talk->requests, 1);
    CHECK_EQ(closed_for(&party->world, SMF_CLOSE_BAD_FRAME), 1);
    party_answer(party, 5, 0, 10);
    world_run(&party->world, 5);
    CHECK_EQ(world_stats(party->world.server).stale_replies, 0);
    CHECK_EQ(raw_only(raw, NULL).meta, SMF_CODE_OK);
    world_run(&party->world, 2000);
    party_close(party);
}

/* Its caller has the answer, and never ends his direction: a drain waits for that as for the goaway. */
static void an_answered_stream_does_not_hold_a_drain(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open2(&party->world);
    uint8_t byte = party_byte(CLIENT, 5, 0, 0);

    CHECK(raw_frame(
        raw, (struct smf_frame){.flags = STREAM, .session = 5, .size = 1, .meta = PARTY_METHOD},
        &byte));
    world_run(&party->world, 5);
    party_answer(party, 5, STREAM | FIN, 300 * KIB); /* more than its credit */
    world_run(&party->world, 5);
    smf_core_drain(party->world.server);
    run_turns(party);
    world_run(&party->world, 3000);
    CHECK(!smf_core_drained(party->world.server)); /* an answer is owed */
    CHECK(raw_frame(raw,
                    (struct smf_frame){
                        .flags = SMF_FRAME_CREDIT, .session = 5, .size = 4, .meta = PARTY_METHOD},
                    (const uint8_t[]){0, 0, 3, 0}));
    run_turns(party);
    CHECK_EQ(party_sessions(party, SERVER), 0); /* the connection is shut */
    world_run(&party->world, 2000);
    CHECK(smf_core_drained(party->world.server));
    party_close(party);
}

static void a_hello_in_a_drain_is_followed_by_goaway(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open(&party->world);
    struct smf__hello hello = hello_good();
    struct smf_frame frame;
    uint8_t bytes[256];
    size_t size = hello_frame(bytes, &hello), at = 0;
    const uint8_t *payload;

    CHECK(raw_send(raw, bytes, 20));
    world_run(&party->world, 5);
    smf_core_drain(party->world.server);
    run_turns(party);
    CHECK(raw_send(raw, bytes + 20, size - 20));
    world_run(&party->world, 5);
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CODE_OK);
    CHECK(raw_next2(raw, &at, &frame, &payload));
    CHECK_EQ(frame.flags, SMF_FRAME_CONTROL);
    CHECK_EQ(frame.meta, SMF_CONTROL_GOAWAY);
    world_run(&party->world, 4000);
    CHECK(smf_core_drained(party->world.server));
    party_close(party);
}

/* Its time is over already: it ends at once. */
static void a_hello_behind_a_drain_ends_its_connection(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_open(&party->world);
    struct smf__hello hello = hello_good();
    struct smf_frame frame;
    uint8_t bytes[256];
    size_t size = hello_frame(bytes, &hello), at = 0;
    const uint8_t *payload;

    CHECK(raw_send(raw, bytes, 20));
    world_run(&party->world, 5);
    smf_core_drain(party->world.server);
    run_turns(party);
    world_run(&party->world, 3000);
    CHECK_EQ(world_stats(party->world.server).connections_level2, 0);
    CHECK(!smf_core_drained(party->world.server)); /* half of a Hello has come */
    CHECK(raw_send(raw, bytes + 20, size - 20));
    run_turns(party);
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CODE_OK);
    CHECK(raw_next2(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CONTROL_GOAWAY);
    CHECK(raw->ended);
    world_run(&party->world, 2000);
    CHECK(smf_core_drained(party->world.server));
    party_close(party);
}

static struct smf_event heard;

static void note_event(struct party *party, int of, const struct smf_event *event)
{
    (void)party, (void)of;
    heard = *event;
}

/* The client's connection, of level 2, to a server that speaks bytes. */
static struct raw *raw_server(struct party *party)
{
    struct smf__hello hello = hello_good();
    uint8_t table[SMF__HELLO_SIZE_BYTES_MAX], bytes[256];
    struct smf_error error;
    struct raw *raw;

    raw_listen(&party->world, "raw server");
    CHECK_EQ(smf_core_connect_with(party->world.client, "raw server", 7, SMF_CONNECT_HELLO,
                                   &party->conn, &error),
             SMF_OK);
    world_run(&party->world, 5);
    raw = party->world.raws[party->world.raw_count - 1];
    CHECK(
        raw_send(raw, bytes, frame_make(bytes, 1, SMF_CODE_OK, table, hello_table(table, &hello))));
    world_run(&party->world, 5);
    raw_forget(raw);
    return raw;
}

/* A message that is too large: what its server sends last does not come in its place. */
static void a_reply_that_is_replaced_brings_nothing(void)
{
    struct party *party = party_open();
    struct raw *raw = raw_server(party);
    uint8_t payload[2048], prefix[] = {0, 0, 0, 0xff, 'x'};
    uint32_t block = block_make(payload, 100);
    struct smf_frame last = {.flags = SMF_FRAME_RESET | SMF_FRAME_METADATA,
                             .compression = SMF_COMPRESSION_ZSTD,
                             .session = 1,
                             .size = block + 500,
                             .meta = SMF_CODE_CANCELLED};

    memset(payload + block, 'x', 500);
    party->heard = note_event;
    party_call(party, 1, 0, 10);
    world_run(&party->world, 5);
    raw_forget(raw);
    CHECK(raw_frame(
        raw,
        (struct smf_frame){.flags = SMF_FRAME_MORE, .session = 1, .size = 5, .meta = SMF_CODE_OK},
        prefix));
    world_run(&party->world, 5);
    CHECK_EQ(raw_only(raw, NULL).flags, SMF_FRAME_RESET);
    CHECK_EQ(party->talks[CLIENT][1].replies, 0);
    CHECK(raw_frame(raw, last, payload));
    world_run(&party->world, 5);
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    CHECK_EQ(heard.meta, SMF_CODE_TOO_LARGE);
    CHECK_EQ(heard.size_bytes, 0);
    CHECK_EQ(heard.metadata_size_bytes, 0);
    CHECK_EQ(heard.compression, SMF_COMPRESSION_NONE);
    CHECK_EQ(heard.flags & (SMF_FRAME_METADATA | SMF_FRAME_RESET), 0);
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

static void pings_are_bounded(void)
{
    struct party *party = party_open();
    struct smf_core *core = party->world.client;

    for (uint32_t i = 0; i < SMF_PINGS_MAX; i++)
        CHECK_EQ(smf_core_ping(core, party->conn, i), SMF_OK);
    CHECK_EQ(smf_core_ping(core, party->conn, 0), SMF_ELIMIT);
    world_run(&party->world, 20);
    for (uint32_t i = 0; i < SMF_PINGS_MAX; i++)
        CHECK_EQ(smf_core_ping(core, party->conn, i), SMF_OK);
    CHECK_EQ(smf_core_ping(core, party->conn, 0), SMF_ELIMIT);
    world_run(&party->world, 20);
    CHECK_EQ(party->world.closed, 0);
    party_close(party);
}

static const struct test tests[] = {
    TEST(entries_of_a_core_are_bounded),
    TEST(own_calls_over_the_limit_are_refused),
    TEST(a_session_that_is_used_twice_keeps_its_first_call),
    TEST(an_answered_stream_does_not_hold_a_drain),
    TEST(a_hello_in_a_drain_is_followed_by_goaway),
    TEST(a_hello_behind_a_drain_ends_its_connection),
    TEST(a_reply_that_is_replaced_brings_nothing),
    TEST(pings_are_bounded),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
