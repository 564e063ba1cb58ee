/* Calls, cancels, pings and goaways on connections of level 2, and what breaks their rules: on a simulated
 * network. */
#include "test_level2.h"

/* Calls. */

static void calls_go_both_ways_with_metadata(void)
{
    static uint8_t payload[SMF_METADATA_SIZE_BYTES_MAX + 64];
    struct smf__rpc_config limits = world_limits();
    const struct note *note;
    struct world world;
    uint64_t conn;
    uint32_t block;

    (void)level2_open(&world, &limits);
    conn = client_open2(&world);
    block = block_make(payload, 10);
    memcpy(payload + block, "message", 7);
    CHECK_EQ(smf_core_send_with(world.client, conn, 1, WORLD_METHOD, SMF_FRAME_METADATA,
                                SMF_COMPRESSION_LZ4, payload, block + 7),
             SMF_OK);
    CHECK_EQ(smf_core_turn(world.client)->send_count, 1);
    world_run(&world, 5);
    note = last_note(&world, 1, SMF_EVENT_REQUEST);
    CHECK_EQ(note->flags, SMF_FRAME_METADATA);
    CHECK_EQ(note->level, 2);
    CHECK_EQ(note->meta, WORLD_METHOD);
    CHECK_EQ(note->metadata_size, block);
    CHECK_EQ(note->size, 7);
    CHECK(memcmp(note->bytes, payload, block + 7) == 0);
    note = last_note(&world, 0, SMF_EVENT_REPLY);
    CHECK_EQ(note->flags, SMF_FRAME_METADATA);
    CHECK_EQ(note->metadata_size, block);
    CHECK_EQ(note->size, 7);
    CHECK_EQ(note->meta, SMF_CODE_OK);
    CHECK(memcmp(note->bytes, payload, block + 7) == 0);
    /* A largest block, and a message of nothing. */
    block = block_make(payload, SMF_METADATA_SIZE_BYTES_MAX - 15);
    CHECK_EQ(block, SMF_METADATA_SIZE_BYTES_MAX);
    CHECK_EQ(smf_core_send_with(world.client, conn, 2, WORLD_METHOD, SMF_FRAME_METADATA, 0, payload,
                                block),
             SMF_OK);
    CHECK_EQ(smf_core_send_with(world.client, conn, 3, WORLD_METHOD, 0, 0, NULL, 0), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world.replies, 3);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->size, 0);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    CHECK_EQ(world_stats(world.client).requests_sent, 3);
    CHECK_EQ(world_stats(world.server).replies_sent, 3);
    world_close(&world);
}

static void frames_come_in_single_bytes(void)
{
    static uint8_t bytes[4096], payload[2048];
    struct smf__rpc_config limits = world_limits();
    struct smf_frame frame = {.session = 1, .meta = WORLD_METHOD};
    uint32_t block = block_make(payload, 20);
    struct notes *notes;
    struct world world;
    struct raw *raw;
    size_t size = 0;
    uint64_t token = 77;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    raw = raw_open2(&world);
    size += level2_frame(bytes, frame, NULL); /* nothing at all behind the header */
    frame.flags = SMF_FRAME_METADATA;
    frame.session = 2;
    frame.size = block + 3;
    memcpy(payload + block, "abc", 3);
    size += level2_frame(bytes + size, frame, payload);
    size += level2_frame(
        bytes + size,
        (struct smf_frame){.flags = SMF_FRAME_CONTROL, .size = 8, .meta = SMF_CONTROL_PING},
        &token);
    size += level2_frame(
        bytes + size,
        (struct smf_frame){.flags = SMF_FRAME_RESET, .session = 1, .meta = SMF_CODE_CANCELLED},
        NULL);
    for (size_t i = 0; i < size; i++) {
        CHECK(raw_send(raw, bytes + i, 1));
        world_run(&world, 1);
    }
    CHECK_EQ(world.requests, 2);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_REQUEST)->metadata_size, block);
    CHECK(memcmp(last_note(&world, 1, SMF_EVENT_REQUEST)->bytes, payload, block + 3) == 0);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CANCEL)->session, 1);
    CHECK_EQ(raw_only(raw, payload).meta, SMF_CONTROL_PONG);
    CHECK_EQ(memcmp(payload, &token, 8), 0);
    world_close(&world);
}

/* One more call is answered by the engine, and the connection is read on. */
static void check_limit(const struct smf__rpc_config *limits)
{
    struct notes *notes;
    struct world world;
    struct smf_frame refused;
    struct raw *raw;

    notes = level2_open(&world, limits);
    notes->hold = 1;
    raw = raw_open2(&world);
    for (uint16_t session = 1; session <= 4; session++)
        raw_call2(raw, session, 0);
    raw_call2(raw, 5, 0);
    raw_call2(raw, 0, SMF_FRAME_ONE_WAY); /* nobody waits for an answer */
    raw_control(raw, SMF_CONTROL_PING, 1);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 4);
    CHECK_EQ(world_stats(world.server).refused_too_many, 2);
    CHECK_EQ(world_stats(world.server).reads_paused, 0);
    {
        size_t at = 0;
        struct smf_frame pong;
        const uint8_t *payload;

        CHECK(raw_next2(raw, &at, &refused, &payload));
        CHECK(raw_next2(raw, &at, &pong, &payload));
        CHECK_EQ(at, raw->got_size);
        CHECK_EQ(pong.meta, SMF_CONTROL_PONG);
        raw_forget(raw);
    }
    CHECK_EQ(refused.flags, SMF_FRAME_RESET);
    CHECK_EQ(refused.session, 5);
    CHECK_EQ(refused.meta, SMF_CODE_LIMIT);
    CHECK_EQ(smf_core_send(world.server, notes->all[0].conn, 2, 200, "done", 4), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(raw_only(raw, NULL).session, 2);
    raw_call2(raw, 5, 0); /* its session is free, and so is a place */
    world_run(&world, 5);
    CHECK_EQ(world.requests, 5);
    CHECK_EQ(raw->got_size, 0);
    world_close(&world);
}

static void too_many_calls_are_answered_429(void)
{
    struct smf__rpc_config limits = world_limits();

    limits.in_flight_max = 4;
    check_limit(&limits);
    limits = world_limits();
    limits.running_max = 4;
    check_limit(&limits);
}

static void one_way_messages_are_not_answered(void)
{
    struct smf__rpc_config limits = world_limits();
    struct notes *notes;
    struct world world;
    struct raw *raw;
    uint64_t conn;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    raw = raw_open2(&world);
    for (int i = 0; i < 3; i++)
        raw_call2(raw, 0, SMF_FRAME_ONE_WAY);
    raw_call2(raw, 9, 0);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 4);
    CHECK_EQ(notes->all[0].flags, SMF_FRAME_ONE_WAY);
    CHECK_EQ(notes->all[0].session, 0);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 4);
    conn = notes->all[0].conn;
    for (uint16_t session = 0; session <= 9; session += 9) { /* one under the other, too */
        CHECK_EQ(smf_core_send(world.server, conn, session, 200, "over", 4), SMF_OK);
        CHECK_EQ(smf_core_send(world.server, conn, 0, 200, "over", 4), SMF_OK);
    }
    CHECK_EQ(smf_core_turn(world.server)->send_count, 1);
    world_run(&world, 5);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    CHECK_EQ(world_stats(world.server).one_way, 3);
    CHECK_EQ(world_stats(world.server).replies_sent, 1);
    CHECK_EQ(raw_only(raw, NULL).session, 9);
    conn = client_open2(&world);
    CHECK_EQ(smf_core_send_with(world.client, conn, 0, WORLD_METHOD, SMF_FRAME_ONE_WAY, 0, "go", 2),
             SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 5);
    CHECK_EQ(world_stats(world.server).one_way, 4);
    CHECK_EQ(smf__conn_find(smf__rpc_of(world.client), conn)->in_flight, 0);
    world_close(&world);
}

/* Cancels. */

static void a_cancelled_call_is_answered_once(void)
{
    struct smf__rpc_config limits = world_limits();
    struct notes *notes;
    struct world world;
    uint64_t conn, at_server;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    conn = client_open2(&world);
    CHECK_EQ(smf_core_cancel(world.client, conn, 0, SMF_CODE_CANCELLED), SMF_EINVAL);
    CHECK_EQ(smf_core_cancel(world.client, conn, 1, 0), SMF_EINVAL);
    /* In one turn: it is behind the call that it cancels, however they were built. */
    CHECK_EQ(smf_core_send(world.client, conn, 1, WORLD_METHOD, "long", 4), SMF_OK);
    CHECK_EQ(smf_core_cancel(world.client, conn, 1, SMF_CODE_DEADLINE), SMF_OK);
    CHECK_EQ(smf_core_send(world.client, conn, 2, WORLD_METHOD, "long", 4), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 2);
    at_server = last_note(&world, 1, SMF_EVENT_CANCEL)->conn;
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CANCEL)->session, 1);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CANCEL)->meta, SMF_CODE_DEADLINE);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 2);
    CHECK_EQ(world.replies, 0);
    CHECK_EQ(smf_core_send_code(world.server, at_server, 1, SMF_CODE_CANCELLED), SMF_OK);
    CHECK_EQ(smf_core_send_code(world.server, at_server, 1, SMF_CODE_OK), SMF_OK); /* once more */
    world_run(&world, 5);
    CHECK_EQ(world.replies, 1);
    CHECK_EQ(last_note(&world, 0, SMF_EVENT_REPLY)->session, 1);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 1);
    CHECK_EQ(world_stats(world.server).stale_replies, 1);
    CHECK_EQ(smf_core_cancel(world.client, conn, 1, SMF_CODE_CANCELLED), SMF_OK); /* too late */
    CHECK_EQ(smf_core_cancel(world.server, at_server, 2, SMF_CODE_CANCELLED), SMF_EINVAL);
    world_run(&world, 5);
    CHECK_EQ(noted(&world, 1, SMF_EVENT_CANCEL), 1);
    CHECK_EQ(world_stats(world.server).cancels, 1);
    CHECK_EQ(world_stats(world.server).cancels_ignored, 1);
    CHECK_EQ(noted(&world, 1, SMF_EVENT_CLOSED), 0);
    world_close(&world);
}

static void cancels_are_for_level_2(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;
    struct world world;
    uint64_t conn;

    (void)level2_open(&world, &limits);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(smf_core_cancel(world.client, conn, 1, SMF_CODE_CANCELLED), SMF_EUNSUPPORTED);
    CHECK_EQ(smf_core_ping(world.client, conn, 1), SMF_EUNSUPPORTED);
    CHECK_EQ(smf_core_goaway(world.client, conn, SMF_CODE_UNAVAILABLE), SMF_EUNSUPPORTED);
    CHECK_EQ(smf_core_cancel(world.client, conn + 1, 1, SMF_CODE_CANCELLED), SMF_ECLOSED);
    CHECK_EQ(smf_core_ping(world.client, conn + 1, 1), SMF_ECLOSED);
    CHECK_EQ(smf_core_goaway(world.client, conn + 1, 503), SMF_ECLOSED);
    CHECK_EQ(smf_core_taken(world.client, conn + 1, 1, 1), SMF_ECLOSED);
    world_close(&world);
}

/* The peer has gone: nobody waits for what it called. */
static void an_end_with_calls_in_flight_is_told(void)
{
    struct smf__rpc_config limits = world_limits();
    struct notes *notes;
    struct world world;
    struct raw *raw, *idle;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    raw = raw_open2(&world);
    idle = raw_open2(&world);
    raw_call2(raw, 1, 0);
    world_run(&world, 5);
    world.raw_net->ops->stream_shutdown_write(raw->stream);
    world.raw_net->ops->stream_shutdown_write(idle->stream);
    world_run(&world, 5);
    CHECK_EQ(noted(&world, 1, SMF_EVENT_CLOSED), 1);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CLOSED)->conn, notes->all[0].conn);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CLOSED)->meta, SMF_CLOSE_BY_PEER);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CLOSED)->level, 2);
    CHECK_EQ(smf_core_turn(world.server)->in_flight, 0);
    CHECK_EQ(smf_core_turn(world.server)->connections, 0);
    CHECK_EQ(smf_core_send(world.server, notes->all[0].conn, 1, 200, "late", 4), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world_stats(world.server).stale_replies, 1);
    world_close(&world);
}

/* Pings. */

static void pings_are_answered_by_the_engine(void)
{
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct raw *raw;
    uint64_t conn, token;
    uint8_t payload[8];

    (void)level2_open(&world, &limits);
    conn = client_open2(&world);
    CHECK_EQ(smf_core_ping(world.client, conn, 0x1122334455667788), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(last_note(&world, 0, SMF_EVENT_PONG)->conn, conn);
    memcpy(&token, last_note(&world, 0, SMF_EVENT_PONG)->bytes, 8);
    CHECK_EQ(token, 0x1122334455667788);
    CHECK_EQ(world_stats(world.server).pings, 1);
    raw = raw_open2(&world);
    raw_call2(raw, 1, 0);
    world_run(&world, 5);
    raw_forget(raw);
    CHECK_EQ(smf_core_ping(world.server, last_note(&world, 1, SMF_EVENT_REQUEST)->conn, 5), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(raw_only(raw, payload).meta, SMF_CONTROL_PING);
    raw_control(raw, SMF_CONTROL_PONG, 5);
    world_run(&world, 5);
    CHECK_EQ(noted(&world, 1, SMF_EVENT_PONG), 1);
    CHECK_EQ(noted(&world, 1, SMF_EVENT_CLOSED), 0);
    world_close(&world);
}

/* So many pings or cancels in one write, which is one turn. */
static uint32_t flood(uint32_t pings, uint32_t cancels, struct world *world)
{
    struct smf__rpc_config limits = world_limits();
    struct smf__sim_link link = {.window_bytes = 1u << 20};
    static uint8_t bytes[8192 * (HEADER + 8)];
    struct raw *raw;
    uint64_t token = 0;
    size_t size = 0;

    limits.in_flight_max = 100;
    (void)level2_open(world, &limits);
    smf__sim_link(world->sim, &link);
    raw = raw_open2(world);
    raw_call2(raw, 1, 0); /* a header that is good: reads are large from then on */
    world_run(world, 5);
    for (uint32_t i = 0; i < pings; i++)
        size += level2_frame(
            bytes + size,
            (struct smf_frame){.flags = SMF_FRAME_CONTROL, .size = 8, .meta = SMF_CONTROL_PING},
            &token);
    for (uint32_t i = 0; i < cancels; i++)
        size += level2_frame(
            bytes + size, (struct smf_frame){.flags = SMF_FRAME_RESET, .session = 1, .meta = 499},
            NULL);
    CHECK(raw_send(raw, bytes, size));
    world_run(world, 5);
    return (uint32_t)closed_for(world, SMF_CLOSE_FLOOD);
}

static void floods_end_the_connection(void)
{
    struct world world;

    CHECK_EQ(flood(SMF__CONTROL_OF_TURN_MAX, 0, &world), 0);
    CHECK_EQ(world_stats(world.server).pings, SMF__CONTROL_OF_TURN_MAX);
    world_close(&world);
    CHECK_EQ(flood(SMF__CONTROL_OF_TURN_MAX + 1, 0, &world), 1);
    world_run(&world, 1200);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_CLOSED)->meta, SMF_CLOSE_FLOOD);
    world_close(&world);
    CHECK_EQ(flood(0, SMF__CONTROL_OF_TURN_MAX + 2 * 100, &world), 0);
    CHECK_EQ(world_stats(world.server).cancels_ignored, SMF__CONTROL_OF_TURN_MAX + 2 * 100);
    world_close(&world);
    CHECK_EQ(flood(0, SMF__CONTROL_OF_TURN_MAX + 2 * 100 + 1, &world), 1);
    world_close(&world);
}

/* Who pings and does not read is not read either, after a while. */
static void pongs_that_nobody_takes_are_bounded(void)
{
    struct smf__rpc_config limits = world_limits();
    struct world world;
    uint64_t used_bytes, token = 0;
    struct raw *raw;

    limits.unsent_bytes_max = 4u << 20;
    (void)level2_open(&world, &limits);
    raw = raw_open2(&world);
    used_bytes = world_stats(world.server).memory_used_bytes;
    raw_deaf(raw, 1);
    for (int i = 0; i < 40000; i++) {
        uint8_t bytes[HEADER + 8];
        struct iovec vector = {bytes, level2_frame(bytes,
                                                   (struct smf_frame){.flags = SMF_FRAME_CONTROL,
                                                                      .size = 8,
                                                                      .meta = SMF_CONTROL_PING},
                                                   &token)};

        if (world.raw_net->ops->send(raw->stream, &vector, 1) != (int64_t)sizeof bytes)
            break;
        if (i % 500 == 0)
            world_run(&world, 1);
    }
    world_run(&world, 5);
    CHECK_GT(world_stats(world.server).paused_unsent, 0);
    CHECK_LE(world_stats(world.server).memory_used_bytes, used_bytes + (1u << 20));
    CHECK_EQ(closed_for(&world, SMF_CLOSE_FLOOD), 0);
    world_close(&world);
}

/* Goaway. */

static void drain(struct world *world)
{
    smf_core_drain(world->server);
    for (int i = 0; i < 5; i++) /* it takes a few turns */
        (void)world_turn(world, world->server);
    world_run(world, 5);
}

static void a_drain_sends_peers_away(void)
{
    struct smf__rpc_config limits = world_limits();
    struct notes *notes;
    struct world world;
    struct smf_error error;
    uint64_t conn, idle, level1;
    uint32_t words[2];

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    idle = client_open2(&world);
    conn = client_open2(&world);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &level1, &error), SMF_OK);
    CHECK_EQ(smf_core_send(world.client, conn, 1, WORLD_METHOD, "call", 4), SMF_OK);
    world_run(&world, 5);
    drain(&world);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_GOAWAY), 2);
    CHECK_EQ(last_note(&world, 0, SMF_EVENT_GOAWAY)->meta, SMF_CODE_UNAVAILABLE);
    memcpy(words, last_note(&world, 0, SMF_EVENT_GOAWAY)->bytes, sizeof words);
    CHECK_EQ(words[1], SMF_GOAWAY_ALL);
    /* The idle one has left by itself; nothing has waited for a timer. */
    CHECK_EQ(smf_core_peer(world.client, idle, NULL, 0), SMF_ECLOSED);
    CHECK_EQ(smf_core_peer(world.client, level1, NULL, 0), SMF_ECLOSED);
    CHECK_EQ(smf_core_peer(world.client, conn, NULL, 0), SMF_OK);
    CHECK_EQ(smf_core_drained(world.server), 0);
    CHECK_EQ(smf_core_send(world.server, last_note(&world, 1, SMF_EVENT_REQUEST)->conn, 1, 200,
                           "done", 4),
             SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world.replies, 1);
    CHECK_EQ(smf_core_drained(world.server), 1);
    CHECK_EQ(smf_core_turn(world.client)->connections, 0);
    CHECK_EQ(world_stats(world.client).goaways, 2);
    CHECK_EQ(last_note(&world, 0, SMF_EVENT_CLOSED)->meta, SMF_CLOSE_BY_PEER);
    world_close(&world);
}

/* A peer that calls all the same is refused; one that stays is closed when its time is over. */
static void who_stays_in_a_drain_is_refused_and_closed(void)
{
    struct smf__rpc_config limits = world_limits();
    struct world world;
    struct smf_frame frame;
    const uint8_t *payload;
    struct raw *raw;
    size_t at = 0;

    (void)level2_open(&world, &limits);
    raw = raw_open2(&world);
    drain(&world);
    raw_call2(raw, 4, 0);
    raw_call2(raw, 0, SMF_FRAME_ONE_WAY);
    world_run(&world, 5);
    CHECK(raw_next2(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CONTROL_GOAWAY);
    CHECK(raw_next2(raw, &at, &frame, &payload));
    CHECK_EQ(frame.flags, SMF_FRAME_RESET);
    CHECK_EQ(frame.session, 4);
    CHECK_EQ(frame.meta, SMF_CODE_UNAVAILABLE);
    CHECK_EQ(at, raw->got_size);
    CHECK_EQ(world.requests, 0);
    CHECK_EQ(world_stats(world.server).refused_draining, 2);
    world_run(&world, 900);
    CHECK_EQ(raw->ended, 0);
    world_run(&world, 200);
    CHECK_EQ(raw->ended, 1);
    world_run(&world, 1100); /* and does not close its end */
    CHECK_EQ(smf_core_drained(world.server), 1);
    world_close(&world);
}

static void goaways_go_both_ways(void)
{
    struct smf__rpc_config limits = world_limits();
    struct notes *notes;
    struct world world;
    uint64_t conn, at_server;

    notes = level2_open(&world, &limits);
    notes->hold = 1;
    conn = client_open2(&world);
    CHECK_EQ(smf_core_send(world.client, conn, 1, WORLD_METHOD, "call", 4), SMF_OK);
    world_run(&world, 5);
    at_server = last_note(&world, 1, SMF_EVENT_REQUEST)->conn;
    CHECK_EQ(smf_core_goaway(world.client, conn, SMF_CODE_CANCELLED), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(last_note(&world, 1, SMF_EVENT_GOAWAY)->meta, SMF_CODE_CANCELLED);
    CHECK_EQ(smf_core_goaway(world.server, at_server, SMF_CODE_UNAVAILABLE), SMF_OK);
    world_run(&world, 2000);
    CHECK_EQ(noted(&world, 0, SMF_EVENT_GOAWAY), 1);
    CHECK_EQ(smf_core_peer(world.client, conn, NULL, 0), SMF_OK); /* a call is in flight */
    /* What was called in the turn of the goaway is served, too. */
    CHECK_EQ(smf_core_send(world.client, conn, 2, WORLD_METHOD, "call", 4), SMF_OK);
    CHECK_EQ(smf_core_send(world.server, at_server, 1, 200, "done", 4), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world.requests, 2);
    CHECK_EQ(smf_core_peer(world.client, conn, NULL, 0), SMF_OK);
    CHECK_EQ(smf_core_send(world.server, at_server, 2, 200, "done", 4), SMF_OK);
    world_run(&world, 5);
    CHECK_EQ(world.replies, 2);
    CHECK_EQ(smf_core_peer(world.client, conn, NULL, 0), SMF_ECLOSED);
    CHECK_EQ(smf_core_turn(world.server)->connections, 0);
    world_close(&world);
}

static const struct test tests[] = {
    TEST(calls_go_both_ways_with_metadata),
    TEST(frames_come_in_single_bytes),
    TEST(too_many_calls_are_answered_429),
    TEST(one_way_messages_are_not_answered),
    TEST(a_cancelled_call_is_answered_once),
    TEST(cancels_are_for_level_2),
    TEST(an_end_with_calls_in_flight_is_told),
    TEST(pings_are_answered_by_the_engine),
    TEST(floods_end_the_connection),
    TEST(pongs_that_nobody_takes_are_bounded),
    TEST(a_drain_sends_peers_away),
    TEST(who_stays_in_a_drain_is_refused_and_closed),
    TEST(goaways_go_both_ways),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
