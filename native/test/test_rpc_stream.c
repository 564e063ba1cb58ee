/* Streams and messages in slices, through two cores on a simulated network, and against peers that break the
 * rules. The rules themselves: test_rpc_flow.c. */
#include "test_stream.h"

#define MIB (1u << 20)
#define KIB 1024u
#define STREAM SMF_FRAME_STREAM
#define FIN SMF_FRAME_FIN
#define MORE SMF_FRAME_MORE
#define RESET SMF_FRAME_RESET

/* Calls that are no streams. */

static void a_large_call_goes_both_ways(void)
{
    struct party *party = party_open();

    party->echoes = 1;
    party_call(party, 1, 0, 64 * MIB);
    world_run(&party->world, 2000);
    CHECK_EQ(party->talks[SERVER][1].requests, 1);
    CHECK_EQ(party->talks[SERVER][1].bytes, 64 * MIB);
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    CHECK_EQ(party->talks[CLIENT][1].status, SMF_CODE_OK);
    CHECK_EQ(party->talks[CLIENT][1].bytes, 64 * MIB);
    party_close(party);
}

/* Sizes around what fits into a frame. */
static void sizes_around_a_slice_arrive(void)
{
    struct party *party = party_open();
    uint16_t session = 1;

    party->echoes = 1;
    for (uint32_t size = 64 * KIB - 5; size <= 64 * KIB + 5; size++)
        party_call(party, session++, 0, size);
    for (uint32_t size = 128 * KIB - 9; size <= 128 * KIB + 5; size++)
        party_call(party, session++, 0, size);
    world_run(&party->world, 200);
    for (uint16_t at = 1; at < session; at++) {
        CHECK_EQ(party->talks[CLIENT][at].replies, 1);
        CHECK_EQ(party->talks[CLIENT][at].bytes, party->talks[SERVER][at].bytes);
        CHECK_GE(party->talks[CLIENT][at].bytes, 64 * KIB - 5);
    }
    party_close(party);
}

static struct {
    uint64_t large_bytes; /* that the server had when the small call was answered */
    uint16_t small;
} passing;

static void note_passing(struct party *party, int of, const struct smf_event *event)
{
    if (of == CLIENT && event->kind == SMF_EVENT_REPLY && event->session == passing.small)
        passing.large_bytes = smf__rpc_of(party->world.server)->stats.bytes_received;
}

static void a_small_call_passes_a_large_one(void)
{
    struct party *party = party_open();

    passing.small = 2;
    passing.large_bytes = 0;
    party->echoes = 1;
    party->heard = note_passing;
    party_call(party, 1, 0, 32 * MIB);
    for (int turn = 0; turn < 20; turn++) {
        (void)world_step(&party->world, UINT64_MAX);
        CHECK_LE(smf__conn_find(smf__rpc_of(party->world.client), party->conn)->unsent_bytes,
                 64 * KIB + 100); /* what a small one has to wait for */
    }
    party_call(party, 2, 0, 60);
    world_run(&party->world, 2000);
    CHECK_EQ(party->talks[CLIENT][1].bytes, 32 * MIB);
    CHECK_GT(passing.large_bytes, 0);
    CHECK_LT(passing.large_bytes, 4 * MIB);
    party_close(party);
}

/* Pings, or calls, that are always more than the transport has taken must not keep a stream waiting. */
static void a_stream_passes_a_backlog_that_never_ends(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party = party_open_with(&limits, 1ull << 30);
    struct smf__sim_link link = {.latency_ns_min = 1000, .latency_ns_max = 1000, .window_bytes = 4};
    const struct smf__conn *conn;

    smf__sim_link(party->world.sim, &link);
    party_connect(party);
    conn = smf__conn_find(smf__rpc_of(party->world.client), party->conn);
    party->echoes = 1;
    for (uint32_t turn = 0; turn < 20000 && party->talks[CLIENT][1].replies == 0; turn++) {
        while (conn->unsent_bytes < 4 * (HEADER + SMF_PING_SIZE_BYTES))
            CHECK_EQ(smf_core_ping(party->world.client, party->conn, turn), SMF_OK);
        if (turn == 0)
            party_call(party, 1, STREAM, 300);
        if (turn == 1)
            party_call(party, 1, STREAM | FIN, 200);
        (void)world_step(&party->world, UINT64_MAX);
    }
    CHECK_EQ(party->talks[SERVER][1].bytes, 500);
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    world_run(&party->world, 1000);
    party_close(party);
}

static void a_block_goes_with_the_first_slice(void)
{
    struct party *party = party_open();
    static uint8_t bytes[SMF_METADATA_SIZE_BYTES_MAX + 300 * KIB];
    uint32_t block = block_make(bytes, 15000);

    for (uint32_t i = 0; i < 300 * KIB; i++)
        bytes[block + i] = party_byte(CLIENT, 5, 0, i);
    CHECK_EQ(smf_core_send_with(party->world.client, party->conn, 5, PARTY_METHOD,
                                SMF_FRAME_METADATA, SMF_COMPRESSION_LZ4, bytes, block + 300 * KIB),
             SMF_OK);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][5].requests, 1);
    CHECK_EQ(party->talks[SERVER][5].bytes, 300 * KIB);
    party_answer(party, 5, 0, 10);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[CLIENT][5].bytes, 10);
    party_close(party);
}

/* Streams. */

static void a_stream_echoes_every_size(void)
{
    static const uint32_t sizes[] = {1,         2,       1000,      64 * KIB,      5, 64 * KIB + 1,
                                     300 * KIB, 3 * MIB, 256 * KIB, 256 * KIB - 4, 8, 1 * MIB};
    uint32_t count = sizeof sizes / sizeof sizes[0];
    struct party *party = party_open();

    party->echoes = 1;
    for (uint32_t i = 0; i < count; i++)
        party_call(party, 3, i + 1 < count ? STREAM : STREAM | FIN, sizes[i]);
    world_run(&party->world, 500);
    CHECK_EQ(party->talks[SERVER][3].requests, 1);
    CHECK_EQ(party->talks[SERVER][3].messages, count);
    CHECK_EQ(party->talks[SERVER][3].fins, 1);
    CHECK_EQ(party->talks[CLIENT][3].messages, count);
    CHECK_EQ(party->talks[CLIENT][3].replies, 1);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(party->talks[SERVER][3].sizes[i], sizes[i]);
        CHECK_EQ(party->talks[CLIENT][3].sizes[i], sizes[i]);
    }
    party_close(party);
}

static void a_stream_opens_and_ends_without_a_message(void)
{
    struct party *party = party_open();

    party_call(party, 3, STREAM, 0);
    world_run(&party->world, 5);
    CHECK_EQ(party->talks[SERVER][3].requests, 1);
    CHECK_EQ(party->talks[SERVER][3].fins, 0);
    party_call(party, 3, STREAM | FIN, 0);
    world_run(&party->world, 5);
    CHECK_EQ(party->talks[SERVER][3].fins, 1);
    CHECK_EQ(party->talks[SERVER][3].messages, 0);
    party_send_as(party, SERVER, 3, SMF_CODE_CONFLICT, STREAM | FIN, 0);
    world_run(&party->world, 5);
    CHECK_EQ(party->talks[CLIENT][3].replies, 1);
    CHECK_EQ(party->talks[CLIENT][3].status, SMF_CODE_CONFLICT);
    party_close(party);
}

static void many_streams_share_a_connection(void)
{
    struct party *party = party_open();

    party->echoes = 1;
    for (uint32_t i = 0; i < 20; i++) {
        for (uint16_t session = 1; session <= 100; session++)
            party_call(party, session, i < 19 ? STREAM : STREAM | FIN, 1 + session * 37u * i);
        world_run(&party->world, i % 3);
    }
    world_run(&party->world, 1000);
    for (uint16_t session = 1; session <= 100; session++) {
        CHECK_EQ(party->talks[CLIENT][session].messages, 20);
        CHECK_EQ(party->talks[CLIENT][session].replies, 1);
    }
    party_close(party);
}

/* Who does not take stops its own sender, after a window, and nobody else. */
static void a_slow_reader_stops_its_sender_only(void)
{
    struct party *party = party_open();
    uint32_t window = 256 * KIB;

    party->talks[SERVER][1].keeps = 1;
    for (int i = 0; i < 64; i++) {
        party_call(party, 1, STREAM, 16 * KIB);
        party_call(party, 2, STREAM, 16 * KIB);
    }
    world_run(&party->world, 100);
    CHECK_EQ(party->talks[SERVER][1].bytes, window);
    CHECK_EQ(party->talks[SERVER][2].bytes, 64 * 16 * KIB);
    CHECK_EQ(party->talks[CLIENT][1].writables, 0);
    CHECK_EQ(party->talks[CLIENT][2].writables, 1);
    CHECK_EQ(smf_core_unsent_bytes(party->world.client, party->conn), 48 * 16 * KIB);
    for (int i = 0; i < 4; i++) /* a quarter */
        party_take(party, SERVER, 1);
    world_run(&party->world, 100);
    CHECK_EQ(party->talks[SERVER][1].bytes, window + window / 4);
    party->talks[SERVER][1].keeps = 0;
    while (party->talks[SERVER][1].taken < party->talks[SERVER][1].messages)
        party_take(party, SERVER, 1);
    world_run(&party->world, 100);
    CHECK_EQ(party->talks[SERVER][1].bytes, 64 * 16 * KIB);
    CHECK_EQ(party->talks[CLIENT][1].writables, 1);
    CHECK_EQ(smf_core_taken(party->world.server, party->server_conn, 1, 1), SMF_EINVAL);
    CHECK_EQ(smf_core_taken(party->world.server, party->server_conn, 99, 1), SMF_OK);
    for (uint16_t session = 1; session <= 2; session++) {
        party_call(party, session, STREAM | FIN, 0);
        party_answer(party, session, STREAM | FIN, 0);
    }
    party_close(party);
}

/* Large messages that nobody takes: the first comes through, of the second no more than a window. */
static void memory_stays_within_the_credit(void)
{
    struct party *party = party_open();
    uint64_t used;

    party->keeps = 1;
    for (int i = 0; i < 6; i++)
        party_call(party, 1, STREAM, 4 * MIB);
    world_run(&party->world, 300);
    CHECK_EQ(party->talks[SERVER][1].messages, 1);
    CHECK_LE(smf__rpc_of(party->world.server)->stats.bytes_received, 4 * MIB + 300 * KIB);
    used = party_used(party, SERVER) - party->used[SERVER];
    CHECK_LE(used,
             8 * MIB + MIB); /* one is put together; what the test has got is not held by it */
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_EQ(party->talks[SERVER][1].messages, i + 1);
        party_take(party, SERVER, 1);
        world_run(&party->world, 300);
    }
    party_call(party, 1, STREAM | FIN, 0);
    party_answer(party, 1, STREAM | FIN, 0);
    party_close(party);
}

/* The end of calls. */

static void a_stream_is_cancelled(void)
{
    struct party *party = party_open();

    party_call(party, 1, STREAM, 10);
    world_run(&party->world, 5);
    for (int i = 0; i < 10; i++)
        party_answer(party, 1, STREAM, 200 * KIB);
    party->talks[CLIENT][1].keeps = 1; /* so it stands in the middle of a message */
    world_run(&party->world, 50);
    CHECK_GT(smf_core_unsent_bytes(party->world.server, party->server_conn), 0);
    CHECK_EQ(smf_core_cancel(party->world.client, party->conn, 1, SMF_CODE_DEADLINE), SMF_OK);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][1].cancels, 1);
    CHECK_EQ(party->talks[SERVER][1].status, SMF_CODE_DEADLINE);
    CHECK_EQ(smf_core_unsent_bytes(party->world.server, party->server_conn), 0);
    CHECK_EQ(party->talks[CLIENT][1].replies, 0); /* the handler has not answered yet */
    CHECK_EQ(smf_core_turn(party->world.server)->in_flight, 1);
    party_answer(party, 1, STREAM, 10); /* what nobody wants */
    party_send_as(party, SERVER, 1, SMF_CODE_CANCELLED, STREAM | FIN, 0);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    CHECK_EQ(party->talks[CLIENT][1].status, SMF_CODE_CANCELLED);
    CHECK_EQ(party->talks[CLIENT][1].flags & RESET, 0); /* a handler has seen it */
    party_close(party);
}

static void a_call_is_cancelled_while_it_is_sent(void)
{
    struct party *party = party_open();

    party_call(party, 1, 0, 32 * MIB);
    for (int turn = 0; turn < 20; turn++)
        (void)world_step(&party->world, UINT64_MAX);
    CHECK_EQ(party_sessions(party, SERVER), 1);
    CHECK_EQ(smf_core_cancel(party->world.client, party->conn, 1, SMF_CODE_CANCELLED), SMF_OK);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][1].requests, 0); /* it never saw it */
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    CHECK_EQ(party->talks[CLIENT][1].status, SMF_CODE_CANCELLED);
    CHECK(party->talks[CLIENT][1].flags & RESET);
    CHECK_LT(smf__rpc_of(party->world.server)->stats.bytes_received, 8 * MIB);
    party_close(party);
}

static void a_reply_is_cancelled_while_it_is_sent(void)
{
    struct party *party = party_open();

    party_call(party, 1, 0, 10);
    world_run(&party->world, 5);
    party_answer(party, 1, 0, 32 * MIB);
    for (int turn = 0; turn < 20; turn++)
        (void)world_step(&party->world, UINT64_MAX);
    CHECK_EQ(party_sessions(party, CLIENT), 1);
    CHECK_EQ(smf_core_cancel(party->world.client, party->conn, 1, SMF_CODE_CANCELLED), SMF_OK);
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[SERVER][1].cancels, 0); /* it has answered */
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    CHECK_EQ(party->talks[CLIENT][1].status, SMF_CODE_CANCELLED);
    CHECK_EQ(party->talks[CLIENT][1].bytes, 0);
    CHECK_EQ(party->talks[CLIENT][1].flags & RESET, 0);
    party_close(party);
}

/* Nothing of it has been sent when it is given up: the peer hears nothing of it. */
static void a_call_is_given_up_before_it_is_sent(void)
{
    struct party *party = party_open();

    party_call(party, 1, STREAM, 10);
    party_call(party, 2, 0, 3 * MIB);
    CHECK_EQ(smf_core_cancel(party->world.client, party->conn, 1, SMF_CODE_CANCELLED), SMF_OK);
    CHECK_EQ(smf_core_cancel(party->world.client, party->conn, 2, SMF_CODE_DEADLINE), SMF_OK);
    world_run(&party->world, 5);
    CHECK_EQ(party->world.requests, 0);
    for (uint16_t session = 1; session <= 2; session++) {
        CHECK_EQ(party->talks[CLIENT][session].replies, 1);
        CHECK(party->talks[CLIENT][session].flags & RESET);
    }
    CHECK_EQ(party->talks[CLIENT][2].status, SMF_CODE_DEADLINE);
    party_close(party);
}

/* The server is done before the client is: what the client still sends ends, and opens nothing. */
static void an_early_answer_ends_a_stream(void)
{
    struct party *party = party_open();

    party_call(party, 1, STREAM, 10);
    party_call(party, 1, STREAM, 20 * MIB);
    world_run(&party->world, 1);
    party_send_as(party, SERVER, 1, SMF_CODE_PRECONDITION, STREAM | FIN, 100);
    while (party->talks[CLIENT][1].replies == 0)
        (void)world_step(&party->world, UINT64_MAX);
    party_call(party, 1, STREAM, 10); /* it crosses the answer */
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    CHECK_EQ(party->talks[CLIENT][1].status, SMF_CODE_PRECONDITION);
    CHECK_EQ(party->talks[SERVER][1].requests, 1);
    CHECK_EQ(party->talks[SERVER][1].cancels, 0);
    party->talks[CLIENT][1] = party->talks[SERVER][1] = (struct talk){0};
    party->echoes = 1;
    party_call(party, 1, STREAM | FIN, 77); /* the session can be used again */
    world_run(&party->world, 50);
    CHECK_EQ(party->talks[CLIENT][1].bytes, 77);
    party_close(party);
}

static void the_connection_ends_in_the_middle(void)
{
    for (int how = 0; how < 3; how++) {
        struct party *party = party_open();

        party_call(party, 1, 0, 20 * MIB);
        party_call(party, 2, STREAM, 20 * MIB);
        party_call(party, 3, STREAM, 10);
        for (int turn = 0; turn < 30; turn++)
            (void)world_step(&party->world, UINT64_MAX);
        party_answer(party, 3, STREAM, 3 * MIB);
        (void)world_step(&party->world, UINT64_MAX);
        CHECK_EQ(party_sessions(party, SERVER), 3);
        if (how == 0)
            smf_core_disconnect(party->world.client, party->conn);
        else if (how == 1)
            smf_core_disconnect(party->world.server, party->server_conn);
        else
            smf_core_disconnect_all(party->world.client);
        world_run(&party->world, 3000);
        CHECK_EQ(party->world.closed, 2); /* both heard of it: calls were in flight */
        party_close(party);
    }
}

/* Limits. */

static void a_message_over_the_limit_is_refused(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party = party_open_with(&limits, 1ull << 30);

    smf__rpc_of(party->world.server)->config.message_size_bytes_max = 1 * MIB;
    party_connect(party);
    /* What was agreed on binds our own sender, too: a peer that does not care is a raw one. */
    smf__conn_find(smf__rpc_of(party->world.client), party->conn)->agreed.message_size_bytes_max =
        64 * MIB;
    party_call(party, 1, 0, 2 * MIB);
    party_call(party, 2, STREAM, 2 * MIB);
    party_call(party, 3, STREAM, 5);
    party_call(party, 3, STREAM, 2 * MIB);
    world_run(&party->world, 100);
    for (uint16_t session = 1; session <= 2; session++) {
        CHECK_EQ(party->talks[SERVER][session].requests, 0);
        CHECK_EQ(party->talks[CLIENT][session].replies, 1);
        CHECK_EQ(party->talks[CLIENT][session].status, SMF_CODE_TOO_LARGE);
        CHECK(party->talks[CLIENT][session].flags & RESET);
    }
    CHECK_EQ(party->talks[SERVER][3].cancels, 1);
    CHECK_EQ(party->talks[SERVER][3].status, SMF_CODE_TOO_LARGE);
    CHECK_EQ(party->talks[CLIENT][3].replies, 0);
    party_answer(party, 3, STREAM | FIN, 10);
    world_run(&party->world, 100);
    CHECK_EQ(party->talks[CLIENT][3].status, SMF_CODE_TOO_LARGE);
    CHECK_EQ(party->talks[CLIENT][3].flags & RESET, 0);
    party_close(party);
}

static void a_reply_over_the_limit_ends_its_call(void)
{
    struct party *party = party_open();

    party_call(party, 1, 0, 5);
    party_call(party, 2, STREAM | FIN, 5);
    world_run(&party->world, 5);
    smf__conn_find(smf__rpc_of(party->world.client), party->conn)->agreed.message_size_bytes_max =
        1 * MIB;
    party_answer(party, 1, 0, 2 * MIB);
    party_answer(party, 2, STREAM, 2 * MIB);
    world_run(&party->world, 100);
    CHECK_EQ(party->talks[CLIENT][1].replies, 1);
    CHECK_EQ(party->talks[CLIENT][1].status, SMF_CODE_TOO_LARGE);
    CHECK_EQ(party->talks[SERVER][1].cancels, 0);
    CHECK_EQ(party->talks[SERVER][2].cancels, 1);
    party_answer(party, 2, STREAM | FIN, 0);
    world_run(&party->world, 100);
    CHECK_EQ(party->talks[CLIENT][2].status, SMF_CODE_TOO_LARGE);
    party_close(party);
}

static void too_many_streams_are_refused(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party;

    limits.in_flight_max = 4;
    party = party_open_with(&limits, 1ull << 30);
    party_connect(party);
    for (uint16_t session = 1; session <= 4; session++)
        party_call(party, session, STREAM, 5);
    for (uint16_t session = 5; session <= 7; session++)
        party_call(party, session, session == 5 ? 0 : STREAM, 500 * KIB);
    world_run(&party->world, 100);
    for (uint16_t session = 5; session <= 7; session++) {
        CHECK_EQ(party->talks[SERVER][session].requests, 0);
        CHECK_EQ(party->talks[CLIENT][session].replies, 1);
        CHECK_EQ(party->talks[CLIENT][session].status, SMF_CODE_LIMIT);
    }
    CHECK_EQ(party_sessions(party, SERVER), 4);
    for (uint16_t session = 1; session <= 4; session++)
        party_answer(party, session, STREAM | FIN, 5);
    world_run(&party->world, 100);
    party_close(party);
}

static void a_message_must_end_in_time(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party;
    struct smf_frame frame = {.flags = MORE, .session = 9, .size = 104, .meta = PARTY_METHOD};
    uint8_t payload[104] = {0, 0, 16};
    struct raw *raw;

    limits.body_timeout_ms = 500;
    party = party_open_with(&limits, 1ull << 30);
    party_connect(party);
    raw = raw_open2(&party->world);
    CHECK(raw_frame(raw, frame, payload));
    frame.session = 10;
    frame.flags = STREAM;
    frame.size = 100;
    for (uint32_t i = 0; i < frame.size; i++)
        payload[i] = party_byte(CLIENT, 10, 0, i);
    CHECK(raw_frame(raw, frame, payload));
    world_run(&party->world, 100);
    CHECK_EQ(raw->got_size, 0);
    CHECK_EQ(party_sessions(party, SERVER), 2);
    world_run(&party->world, 600);
    frame = raw_only(raw, NULL);
    CHECK_EQ(frame.flags, RESET);
    CHECK_EQ(frame.session, 9);
    CHECK_EQ(frame.meta, SMF_CODE_DEADLINE);
    CHECK_EQ(raw->ended, 0);
    raw_cancel(raw, 9); /* its direction is over, too */
    world_run(&party->world, 5);
    CHECK_EQ(party_sessions(party, SERVER), 1);
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

/* What the call was answered with is not sent, and its last frame does not say what that was. */
static void an_answer_that_is_overruled_says_nothing(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party;
    struct smf_frame frame = {.flags = STREAM, .session = 10, .size = 0, .meta = PARTY_METHOD};
    uint8_t payload[104] = {0, 0, 16};
    struct raw *raw;

    limits.body_timeout_ms = 500;
    party = party_open_with(&limits, 1ull << 30);
    party_connect(party);
    raw = raw_open2(&party->world);
    CHECK(raw_frame(raw, frame, payload));
    frame.flags = STREAM | MORE;
    frame.size = 104;
    CHECK(raw_frame(raw, frame, payload));
    world_run(&party->world, 700);
    CHECK_EQ(party->talks[SERVER][10].cancels, 1);
    CHECK_EQ(party->talks[SERVER][10].status, SMF_CODE_DEADLINE);
    CHECK_EQ(smf_core_send_with(party->world.server, party->server_conn, 10, SMF_CODE_OK,
                                STREAM | FIN, SMF_COMPRESSION_LZ4, "compressed", 10),
             SMF_OK);
    world_run(&party->world, 100);
    frame = raw_only(raw, NULL);
    CHECK_EQ(frame.session, 10);
    CHECK_EQ(frame.flags, STREAM | FIN);
    CHECK_EQ(frame.meta, SMF_CODE_DEADLINE);
    CHECK_EQ(frame.size, 0);
    CHECK_EQ(frame.compression, SMF_COMPRESSION_NONE);
    raw_close(raw);
    world_run(&party->world, 5);
    party_close(party);
}

/* More than there is memory for, all at once and on one connection. */
static void messages_wait_for_memory(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party = party_open_with(&limits, 64ull << 20);

    smf__core_close(party->world.client);
    party->world.client = world_core(&party->world, 1ull << 30, &limits, test_seed() + 1);
    party_connect(party);
    for (uint16_t session = 1; session <= 12; session++)
        party_call(party, session, 0, 5 * MIB); /* 8 MiB each, in the server's pool */
    world_run(&party->world, 2000);
    for (uint16_t session = 1; session <= 12; session++) {
        CHECK_EQ(party->talks[SERVER][session].requests, 1);
        CHECK_EQ(party->talks[SERVER][session].bytes, 5 * MIB);
        party_answer(party, session, 0, 5);
    }
    world_run(&party->world, 100);
    party_close(party);
}

/* Peers that break the rules. */

struct lie {
    uint8_t flags;
    uint32_t size;
    uint32_t first; /* the payload's first u32 */
    int session;    /* beside the one that is open */
};

static void check_lie(const struct lie *before, const struct lie *lie, uint32_t reason)
{
    struct party *party = party_open();
    struct raw *raw = raw_open2(&party->world);
    static uint8_t payload[600 * KIB];
    static uint8_t bytes[HEADER + sizeof payload];

    party->keeps = 1;
    for (int i = 0; i < 2; i++) {
        const struct lie *at = i == 0 ? before : lie;
        struct smf_frame frame = {.flags = at->flags,
                                  .session = (uint16_t)(50 + at->session),
                                  .size = at->size,
                                  .meta = PARTY_METHOD};

        for (uint32_t at_byte = 0; at_byte < sizeof payload; at_byte++)
            payload[at_byte] = party_byte(CLIENT, frame.session, 0, at_byte);
        if (at->flags & (MORE | SMF_FRAME_CREDIT))
            memcpy(payload, &at->first, 4);
        CHECK_EQ(closed_for(&party->world, reason), 0);
        (void)raw_send(raw, bytes, level2_frame(bytes, frame, payload));
        party->talks[SERVER][50] = (struct talk){0};
        world_run(&party->world, 20);
    }
    CHECK_EQ(closed_for(&party->world, reason), 1);
    if (party->server_conn != 0) /* a handler that runs is waited for */
        party_answer(party, 50, STREAM | FIN, 0);
    if (raw->stream != NULL)
        raw_close(raw);
    world_run(&party->world, 2000);
    party_close(party);
}

static void lies_end_the_connection(void)
{
    static const struct lie open = {STREAM, 5, 0, 0};
    static const struct lie half = {STREAM | MORE, 104, 1000, 0};
    static const struct lie done = {STREAM | FIN, 5, 0, 0};
    static const struct lie of_open[] = {
        {STREAM, 256 * KIB, 0, 0},          /* 5 bytes over its credit */
        {STREAM | MORE, 256 * KIB, MIB, 0}, /* so is a slice */
        {STREAM | MORE, 256 * KIB + 5, MIB, 1},
        {SMF_FRAME_CREDIT, 4, 1, 0}, /* nothing was sent */
        {SMF_FRAME_CREDIT, 4, 0, 0}, /* of nothing */
        {STREAM | MORE, 4, 1000, 0}, /* a slice without a byte */
        {MORE, 104, 1000, 0},        /* a stream's frame without its bit */
        {0, 10, 0, 0},
        {STREAM | MORE, 1004, 1000, 0}, /* goes on, with nothing left */
        {STREAM | MORE, 1004, 0, 1},    /* a message of nothing */
    };
    static const struct lie of_half[] = {
        {STREAM, 100, 0, 0}, /* ends before its message does */
        {STREAM, 901, 0, 0}, /* and after it */
        {STREAM | MORE, 900, 0, 0},
        {STREAM | FIN, 0, 0, 0},
        {SMF_FRAME_METADATA | STREAM | MORE, 100, 0, 0},
    };

    for (size_t i = 0; i < sizeof of_open / sizeof of_open[0]; i++)
        check_lie(&open, &of_open[i], SMF_CLOSE_BAD_STREAM);
    for (size_t i = 0; i < sizeof of_half / sizeof of_half[0]; i++)
        check_lie(&half, &of_half[i], SMF_CLOSE_BAD_STREAM);
    check_lie(&done, &open, SMF_CLOSE_BAD_STREAM); /* behind fin */
}

/* Calls that are refused have an entry until their caller ends them: one that never does is cut off. */
static void entries_are_bounded(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party;
    struct raw *raw;

    limits.in_flight_max = 10;
    party = party_open_with(&limits, 1ull << 30);
    party_connect(party);
    raw = raw_open2(&party->world);
    for (uint16_t session = 1; session <= 20; session++) {
        struct smf_frame frame = {
            .flags = STREAM, .session = session, .size = 1, .meta = PARTY_METHOD};
        uint8_t byte = party_byte(CLIENT, session, 0, 0);

        CHECK(raw_frame(raw, frame, &byte));
    }
    world_run(&party->world, 5);
    CHECK_EQ(party_sessions(party, SERVER), 20);
    CHECK_EQ(closed_for(&party->world, SMF_CLOSE_BAD_STREAM), 0);
    CHECK(raw_frame(
        raw, (struct smf_frame){.flags = STREAM, .session = 30, .size = 1, .meta = PARTY_METHOD},
        "x"));
    world_run(&party->world, 5);
    CHECK_EQ(closed_for(&party->world, SMF_CLOSE_BAD_STREAM), 1);
    for (uint16_t session = 1; session <= 10; session++)
        party_answer(party, session, STREAM | FIN, 0);
    world_run(&party->world, 3000);
    party_close(party);
}

/* A plain call has no entry, nor does one that was answered before it was cancelled. */
static void plain_calls_have_no_entry(void)
{
    struct party *party = party_open();

    party->echoes = 1;
    for (uint16_t session = 1; session <= 100; session++)
        party_call(party, session, 0, session * 600u);
    (void)world_step(&party->world, UINT64_MAX);
    while (party->talks[CLIENT][100].replies == 0) {
        CHECK_EQ(party_sessions(party, CLIENT) + party_sessions(party, SERVER), 0);
        (void)world_step(&party->world, UINT64_MAX);
    }
    CHECK_EQ(smf__conn_find(smf__rpc_of(party->world.client), party->conn)->sessions, NULL);
    party_close(party);
}

static const struct test tests[] = {
    TEST(a_large_call_goes_both_ways),
    TEST(sizes_around_a_slice_arrive),
    TEST(a_small_call_passes_a_large_one),
    TEST(a_stream_passes_a_backlog_that_never_ends),
    TEST(a_block_goes_with_the_first_slice),
    TEST(a_stream_echoes_every_size),
    TEST(a_stream_opens_and_ends_without_a_message),
    TEST(many_streams_share_a_connection),
    TEST(a_slow_reader_stops_its_sender_only),
    TEST(memory_stays_within_the_credit),
    TEST(a_stream_is_cancelled),
    TEST(a_call_is_cancelled_while_it_is_sent),
    TEST(a_reply_is_cancelled_while_it_is_sent),
    TEST(a_call_is_given_up_before_it_is_sent),
    TEST(an_early_answer_ends_a_stream),
    TEST(the_connection_ends_in_the_middle),
    TEST(a_message_over_the_limit_is_refused),
    TEST(a_reply_over_the_limit_ends_its_call),
    TEST(too_many_streams_are_refused),
    TEST(a_message_must_end_in_time),
    TEST(an_answer_that_is_overruled_says_nothing),
    TEST(messages_wait_for_memory),
    TEST(lies_end_the_connection),
    TEST(entries_are_bounded),
    TEST(plain_calls_have_no_entry),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
