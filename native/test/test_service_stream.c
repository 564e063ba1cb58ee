/* Streams of services and clients, on a simulated network: all three kinds, slow readers, and every way in which a
 * stream ends. */
#include "test_service_stream.h"

static void both_ways(void)
{
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options;

    open_rig(0);
    options = with_key(memory, "asked", 5);
    options.timeout_us = 5000000;
    rig.server.echoes = 1;
    open_stream(SYNC, &options);
    CHECK_EQ(rig.server.opens, 1);
    CHECK_STR(rig.server.metadata, "asked");
    CHECK_LE(smf_stream_time_left_us(rig.server.stream), 5000000);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(send_name(rig.caller.stream, i == 2 ? LARGE : 10), SMF_OK);
        world_run(&rig.world, 10);
        CHECK_EQ(rig.caller.messages, i + 1);
    }
    CHECK_EQ(rig.caller.bytes, 20 + LARGE);
    CHECK_EQ(smf_stream_close(rig.caller.stream), SMF_OK);
    CHECK_EQ(smf_stream_close(rig.caller.stream), SMF_OK);
    CHECK_EQ(send_name(rig.caller.stream, 1), SMF_EINVAL);
    world_run(&rig.world, 10);
    CHECK_EQ(rig.server.half_closes, 1);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    CHECK_STR(rig.caller.metadata, "said");
    close_rig();
}

static void many_requests_one_reply(void)
{
    open_rig(0);
    open_stream(UPLOAD, NULL);
    rig.caller.to_send = 100;
    rig.caller.size = 3000;
    rig.caller.close_after = 1;
    send_on(&rig.caller, 0);
    world_run(&rig.world, 50);
    CHECK_EQ(rig.server.messages, 100);
    CHECK_EQ(rig.server.bytes, 300000);
    CHECK_GT(rig.caller.refusals, 0);
    CHECK_STR(rig.caller.name, "nnnnn");
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    close_rig();
}

static void one_request_many_replies(void)
{
    open_rig(0);
    rig.server.to_send = 500;
    rig.server.size = 2000;
    rig.server.close_after = 1;
    open_stream(LIST, NULL);
    world_run(&rig.world, 100);
    CHECK_STR(rig.server.name, "what");
    CHECK_EQ(rig.caller.messages, 500);
    CHECK_EQ(rig.caller.bytes, 1000000);
    CHECK_GT(rig.server.writables, 0);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    CHECK_STR(rig.caller.metadata, "said");
    close_rig();
}

/* Who holds stops his sender: no more is on the way than credit and what waits at the sender. */
static void slow_server(void)
{
    int before;

    open_rig(0);
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    rig.caller.to_send = 1000;
    rig.caller.size = 4000;
    rig.caller.close_after = 1;
    send_on(&rig.caller, 0);
    world_run(&rig.world, 200);
    CHECK_EQ(rig.server.messages, 1);
    CHECK_GT(rig.caller.to_send, 800); /* of 4 MB no more than a window, and what waits */
    before = rig.caller.to_send;
    world_run(&rig.world, 100);
    CHECK_EQ(rig.caller.to_send, before);
    while (rig.server.messages < 1000) {
        CHECK_EQ(rig.server.held.size_bytes, 4000);
        for (uint32_t i = 0; i < 4000; i++)
            CHECK(rig.server.held.data[i] == 'n');
        smf_stream_release(rig.server.stream);
        world_run(&rig.world, 2);
    }
    CHECK_EQ(rig.server.half_closes, 0);
    CHECK_EQ(rig.server.bytes, 4000000);
    smf_stream_release(rig.server.stream);
    world_run(&rig.world, 10);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    close_rig();
}

static void slow_client(void)
{
    open_rig(0);
    rig.caller.holds = 1;
    rig.server.to_send = 300;
    rig.server.size = 10000;
    rig.server.close_after = 1;
    open_stream(LIST, NULL);
    world_run(&rig.world, 200);
    CHECK_EQ(rig.caller.messages, 1);
    CHECK_GT(rig.server.to_send, 200);
    while (rig.caller.messages < 300) {
        CHECK_EQ(rig.caller.ends, 0);
        smf_stream_release(rig.caller.stream);
        world_run(&rig.world, 2);
    }
    world_run(&rig.world, 10);
    CHECK_EQ(rig.server.ends, 1); /* it is answered, and the last messages wait */
    CHECK_EQ(rig.caller.ends, 0);
    smf_stream_release(rig.caller.stream);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    CHECK_EQ(rig.caller.bytes, 3000000);
    close_rig();
}

static void client_cancels(void)
{
    open_rig(0);
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    rig.caller.to_send = 100;
    rig.caller.size = 10000;
    send_on(&rig.caller, 0);
    world_run(&rig.world, 10);
    smf_stream_cancel(rig.caller.stream);
    CHECK_EQ(rig.caller.ends, 1);
    world_run(&rig.world, 10);
    check_ends(SMF_CODE_CANCELLED, SMF_ECANCELLED, 0);
    rig.server = (struct side){.opens_with = SMF_CODE_OK, .echoes = 1};
    rig.caller = (struct side){.cancels_in_message = 1};
    open_stream(SYNC, NULL);
    CHECK_EQ(send_name(rig.caller.stream, 10), SMF_OK);
    world_run(&rig.world, 10);
    check_ends(SMF_CODE_CANCELLED, SMF_ECANCELLED, 0);
    close_rig();
}

static void server_ends_early(void)
{
    open_rig(0);
    rig.server.ends_in_message = 1;
    open_stream(SYNC, NULL);
    rig.caller.to_send = 100;
    rig.caller.size = 10000;
    send_on(&rig.caller, 0);
    world_run(&rig.world, 20);
    check_ends(SMF_CODE_CONFLICT, SMF_OK, SMF_CODE_CONFLICT);
    CHECK_EQ(rig.server.messages, 1);
    close_rig();
}

static void open_refuses(void)
{
    open_rig(0);
    rig.server.opens_with = SMF_CODE_PERMISSION;
    open_stream(LIST, NULL);
    CHECK_EQ(rig.server.ends, 0);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.result_code, SMF_CODE_PERMISSION);
    CHECK_STR(rig.caller.message, "not today");
    CHECK_STR(rig.caller.metadata, "said");
    CHECK_EQ(rig.caller.may_have_run, 1);
    rig.caller.ends = 0;
    open_stream(NONE, NULL);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.result_code, SMF_CODE_NOT_IMPLEMENTED);
    CHECK_EQ(rig.caller.may_have_run, 0);
    close_rig();
}

static void deadlines(void)
{
    struct smf_call_options options = with_timeout(50000);

    open_rig(0);
    open_stream(SYNC, &options);
    world_run(&rig.world, 100);
    CHECK_EQ(rig.server.ends, 1);
    CHECK_EQ(rig.server.code, SMF_CODE_DEADLINE);
    CHECK_EQ(rig.caller.ends, 1); /* by its own clock, or by the server's answer */
    CHECK(rig.caller.status == SMF_ETIMEOUT || rig.caller.result_code == SMF_CODE_DEADLINE);
    close_rig();
}

static void connection_ends(void)
{
    struct smf_error error;

    open_rig(0);
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    rig.caller.to_send = 100;
    rig.caller.size = 10000;
    send_on(&rig.caller, 0);
    world_run(&rig.world, 10);
    smf_core_disconnect(rig.world.server, smf_stream_conn(rig.server.stream));
    world_run(&rig.world, 20);
    CHECK_EQ(rig.server.ends, 1);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.status, SMF_ECLOSED);
    CHECK_EQ(smf_client_connect_with(rig.client, WORLD_ADDRESS, SMF_CONNECT_HELLO, &error), SMF_OK);
    close_rig();
}

/* What is no message ends the stream, behind those before it. */
static void malformed(void)
{
    static const uint8_t bad[16] = {200, 1, 1, 1};
    static const uint32_t sizes[] = {1, 16};

    for (int i = 0; i < 4; i++) {
        open_rig(0);
        rig.server.holds = i >= 2;
        open_stream(SYNC, NULL);
        CHECK_EQ(send_name(rig.caller.stream, 10), SMF_OK);
        CHECK_EQ(smf_core_send_with(rig.world.client, smf_stream_conn(rig.caller.stream),
                                    rig.caller.stream->call.session, SYNC_ID, SMF_FRAME_STREAM, 0,
                                    bad, sizes[i % 2]),
                 SMF_OK);
        world_run(&rig.world, 10);
        if (i == 3) {
            CHECK_EQ(rig.server.ends, 0);
            smf_stream_release(rig.server.stream);
            world_run(&rig.world, 10);
        }
        CHECK_EQ(rig.server.messages, 1);
        check_ends(SMF_CODE_BAD_REQUEST, SMF_OK, SMF_CODE_BAD_REQUEST);
        CHECK(strncmp(rig.problem, "Sync 400 ", 9) == 0);
        close_rig();
    }
}

/* A message of the server's that is none. */
static void malformed_reply(void)
{
    static const uint8_t bad[16] = {200, 1, 1, 1};

    open_rig(0);
    open_stream(SYNC, NULL);
    CHECK_EQ(smf_core_send_with(rig.world.server, smf_stream_conn(rig.server.stream),
                                rig.server.stream->call.session, SMF_CODE_OK, SMF_FRAME_STREAM, 0,
                                bad, sizeof bad),
             SMF_OK);
    world_run(&rig.world, 10);
    check_ends(SMF_CODE_CANCELLED, SMF_EINVAL, 0);
    close_rig();
}

static void drains(void)
{
    open_rig(0);
    rig.server.echoes = 1;
    open_stream(SYNC, NULL);
    smf_core_drain(rig.world.server);
    for (int i = 0; i < 5; i++) /* it takes a few turns */
        (void)world_turn(&rig.world, rig.world.server);
    world_run(&rig.world, 5);
    CHECK(!smf_core_drained(rig.world.server));
    CHECK_EQ(try_stream(SYNC, NULL), SMF_ECLOSED); /* goaway has been heard */
    CHECK_EQ(send_name(rig.caller.stream, 10), SMF_OK);
    CHECK_EQ(smf_stream_close(rig.caller.stream), SMF_OK);
    world_run(&rig.world, 20);
    CHECK_EQ(rig.caller.messages, 1);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    CHECK(smf_core_drained(rig.world.server));
    close_rig();
}

/* The core has not forgotten a session in the turn that told of its end. */
static void one_slot(void)
{
    open_rig(1);
    for (int i = 0; i < 5; i++) {
        rig.server =
            (struct side){.opens_with = SMF_CODE_OK, .to_send = 1, .size = 9, .close_after = 1};
        rig.caller = (struct side){0};
        rig.caller.opens_again = 1;
        open_stream(LIST, NULL);
        world_run(&rig.world, 10);
        CHECK_EQ(rig.caller.again, SMF_ELIMIT);
        check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
        CHECK_EQ(rig.caller.messages, 1);
    }
    close_rig();
}

/* Whoever has more slots opens in that turn, too. */
static void opens_in_the_turn_of_an_end(void)
{
    open_rig(2);
    rig.server.to_send = 1;
    rig.server.size = 9;
    rig.server.close_after = 1;
    rig.caller.opens_again = 1;
    open_stream(LIST, NULL);
    rig.caller.opens_again = 0;
    CHECK_EQ(rig.caller.again, SMF_OK);
    world_run(&rig.world, 10);
    CHECK_EQ(rig.server.opens, 2);
    smf_core_disconnect(rig.world.server, smf_stream_conn(rig.server.stream));
    world_run(&rig.world, 10);
    CHECK_EQ(rig.caller.ends, 2);
    close_rig();
}

/* Nothing is left of a client that is closed with a stream, and with one whose messages are held. */
static void client_closes(void)
{
    struct smf_error error;

    open_rig(0);
    rig.caller.holds = 1;
    rig.server.to_send = 3;
    rig.server.size = 100;
    rig.server.close_after = 1;
    open_stream(LIST, NULL);
    CHECK_EQ(rig.server.ends, 1);
    CHECK_EQ(rig.caller.ends, 0);
    smf_client_close(rig.client);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.status, SMF_ECLOSED);
    CHECK_EQ(smf_client_open(&rig.client, rig.world.client, 0), SMF_OK);
    CHECK_EQ(smf_client_connect_with(rig.client, WORLD_ADDRESS, SMF_CONNECT_HELLO, &error), SMF_OK);
    close_rig();
}

/* Filters. */

struct watch {
    int requests, replies, dones, in, out;
    uint32_t refuses, message_code, done_code;
    int flips; /* messages are turned over on their way */
    uint32_t flags;
};

static uint32_t watch_request(struct smf_filter_call *call, void *context)
{
    struct watch *watch = context;

    watch->requests++;
    watch->flags = call->flags;
    CHECK(call->payload == NULL);
    CHECK_EQ(smf_filter_add_metadata(call, "key", "filter", 6), SMF_OK);
    return watch->refuses;
}

static void watch_reply(struct smf_filter_call *call, void *context)
{
    (void)call;
    ((struct watch *)context)->replies++;
}

static void watch_done(struct smf_filter_call *call, void *context)
{
    struct watch *watch = context;

    watch->dones++;
    watch->done_code = call->code;
}

/* "Compresses" what leaves, and reads what comes: every byte is turned over. */
static uint32_t watch_message(struct smf_filter_call *call, void *context)
{
    struct watch *watch = context;
    int comes = call->message == SMF_FILTER_MESSAGE_IN;
    uint8_t *memory;

    watch->in += comes;
    watch->out += !comes;
    if (watch->message_code != 0)
        return watch->message_code;
    if (!watch->flips)
        return 0;
    CHECK_EQ(call->compression, comes ? SMF_COMPRESSION_ZSTD : SMF_COMPRESSION_NONE);
    CHECK_EQ(smf_filter_reserve(call, call->size_bytes, &memory), SMF_OK);
    for (uint32_t i = 0; i < call->size_bytes; i++)
        memory[i] = (uint8_t)~call->payload[i];
    CHECK_EQ(smf_filter_put_metadata(call, NULL, 0), SMF_EINVAL);
    CHECK_EQ(smf_filter_commit(call, call->size_bytes,
                               comes ? SMF_COMPRESSION_NONE : SMF_COMPRESSION_ZSTD),
             SMF_OK);
    return 0;
}

static void add_filters(struct watch *server, struct watch *client)
{
    struct smf_filter filter = {.size = sizeof filter,
                                .request = watch_request,
                                .reply = watch_reply,
                                .done = watch_done,
                                .message = watch_message};
    struct smf_error error;

    filter.context = server;
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, &filter, &error), SMF_OK);
    filter.context = client;
    CHECK_EQ(smf_client_filter(rig.client, &filter, &error), SMF_OK);
}

static void filters_see_messages(void)
{
    struct watch server = {.flips = 1}, client = {.flips = 1};

    open_rig(0);
    add_filters(&server, &client);
    rig.server.echoes = 1;
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    CHECK_STR(rig.server.metadata, "filter");
    CHECK_EQ(client.flags, SMF_FRAME_STREAM);
    CHECK_EQ(server.flags, SMF_FRAME_STREAM);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(send_name(rig.caller.stream, i == 2 ? LARGE : 100), i == 2 ? SMF_ELIMIT : SMF_OK);
    world_run(&rig.world, 10);
    CHECK_EQ(send_name(rig.caller.stream, LARGE), SMF_OK);
    smf_stream_close(rig.caller.stream);
    for (int i = 0; i < 3; i++) {
        world_run(&rig.world, 10);
        smf_stream_release(rig.server.stream);
    }
    world_run(&rig.world, 10);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    CHECK_EQ(rig.caller.bytes, 200 + LARGE);
    CHECK_EQ(client.in, 3);
    CHECK_EQ(client.out, 3);
    CHECK_EQ(server.in, 3);
    CHECK_EQ(server.out, 3);
    CHECK_EQ(server.requests + server.replies + server.dones, 3);
    CHECK_EQ(client.requests + client.replies + client.dones, 3);
    CHECK_EQ(server.done_code, SMF_CODE_OK);
    close_rig();
}

static void compressed_without_a_filter(void)
{
    struct watch server = {0}, client = {.flips = 1};

    open_rig(0);
    add_filters(&server, &client);
    open_stream(SYNC, NULL);
    CHECK_EQ(send_name(rig.caller.stream, 100), SMF_OK);
    world_run(&rig.world, 10);
    check_ends(SMF_CODE_NOT_IMPLEMENTED, SMF_OK, SMF_CODE_NOT_IMPLEMENTED);
    CHECK_EQ(server.done_code, SMF_CODE_NOT_IMPLEMENTED);
    close_rig();
}

static void filters_stop_streams(void)
{
    for (int i = 0; i < 4; i++) {
        struct watch server = {.refuses = i == 0 ? SMF_CODE_PERMISSION : 0,
                               .message_code = i == 2 ? SMF_CODE_TOO_LARGE : 0};
        struct watch client = {.refuses = i == 1 ? SMF_CODE_PERMISSION : 0,
                               .message_code = i == 3 ? SMF_CODE_TOO_LARGE : 0};
        uint32_t code = i < 2 ? SMF_CODE_PERMISSION : SMF_CODE_TOO_LARGE;

        open_rig(0);
        add_filters(&server, &client);
        open_stream(SYNC, NULL);
        CHECK_EQ(rig.server.opens, i >= 2);
        if (i >= 2)
            CHECK_EQ(send_name(rig.caller.stream, 10), i == 2 ? SMF_OK : SMF_EPERMISSION);
        world_run(&rig.world, 20);
        CHECK_EQ(rig.caller.ends, 1);
        CHECK_EQ(rig.caller.status, SMF_OK);
        CHECK_EQ(rig.caller.result_code, code);
        CHECK_EQ(rig.server.ends, i >= 2);
        CHECK_EQ(client.dones, i != 1);
        close_rig();
    }
}

/* A success without a handler has what its kind of method has: one reply, or none. */
static void filters_answer_for_streams(void)
{
    for (int kind = SYNC; kind <= LIST; kind++) {
        struct watch server = {.refuses = SMF_CODE_OK}, client = {0};

        open_rig(0);
        add_filters(&server, &client);
        open_stream(kind, NULL);
        world_run(&rig.world, 20);
        CHECK_EQ(rig.server.opens, 0);
        CHECK_EQ(rig.caller.ends, 1);
        CHECK_EQ(rig.caller.status, SMF_OK);
        CHECK_EQ(rig.caller.result_code, /* its one reply has a field that is required */
                 kind == UPLOAD ? SMF_CODE_INTERNAL : SMF_CODE_OK);
        CHECK_EQ(rig.caller.messages, 0);
        CHECK_EQ(client.done_code, rig.caller.result_code);
        close_rig();
    }
}

static void a_filter_ends_a_stream_well(void)
{
    struct watch server = {.message_code = SMF_CODE_OK}, client = {0};

    open_rig(0);
    add_filters(&server, &client);
    open_stream(SYNC, NULL);
    CHECK_EQ(send_name(rig.caller.stream, 10), SMF_OK);
    world_run(&rig.world, 20);
    CHECK_EQ(rig.server.messages, 0);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    close_rig();
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(both_ways),
        TEST(many_requests_one_reply),
        TEST(one_request_many_replies),
        TEST(slow_server),
        TEST(slow_client),
        TEST(client_cancels),
        TEST(server_ends_early),
        TEST(open_refuses),
        TEST(deadlines),
        TEST(connection_ends),
        TEST(malformed),
        TEST(malformed_reply),
        TEST(drains),
        TEST(one_slot),
        TEST(opens_in_the_turn_of_an_end),
        TEST(client_closes),
        TEST(filters_see_messages),
        TEST(compressed_without_a_filter),
        TEST(filters_stop_streams),
        TEST(filters_answer_for_streams),
        TEST(a_filter_ends_a_stream_well),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
