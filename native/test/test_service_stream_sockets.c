/* Streams over the kernel's sockets, from one engine to another: everything that is sent arrives in its order, both ways
 * at once, and each side hears of the other one's end. */
#include <smf/engine.h>
#include <smf/stream.h>

#include "flat_sample.h"
#include "test.h"

#define MEMORY_BYTES (32ull << 20)
#define POLLS_MAX 2000000
#define MESSAGES 3000u
#define SIZE_MAX_BYTES 150000u

static const struct smf_method sync_method = {"Sync",
                                              "a.Node",
                                              "a.Node",
                                              &node_table,
                                              &node_table,
                                              2001u,
                                              SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT,
                                              0};

/* One side of the stream. */
struct side {
    struct smf_stream *stream;
    uint32_t sent, got, half_closes, ends, refusals, code;
    int status;
};

static struct {
    struct smf_engine *engines[2];
    struct smf_core *server_core, *client_core;
    struct smf_client *client;
    struct side server, caller;
} pair;

/* Most are small; some go in slices. */
static uint32_t size_of(uint32_t number)
{
    return number % 97 == 0 ? SIZE_MAX_BYTES - number : number % 700;
}

/* The name says which message it is. */
static int send_message(struct smf_stream *stream, uint32_t number)
{
    static char name[SIZE_MAX_BYTES];
    struct smf_flat_builder *builder = smf_stream_builder(stream);

    if (smf_flat_payload(builder) == NULL) {
        struct smf_flat_string_ref text;

        memset(name, (int)('a' + number % 26), sizeof name);
        text = smf_flat_build_string(builder, name, size_of(number));
        smf_flat_start_table(builder, NODE_SLOTS_SIZE);
        smf_flat_add_ref(builder, NODE_NAME, text.ref);
        (void)smf_flat_finish(builder, smf_flat_end_table(builder, NULL, 0), NULL);
    }
    return smf_stream_send(stream, builder);
}

static void check_message(struct side *side, const void *node)
{
    struct smf_flat_string name = smf_flat_get_string(node, NODE_NAME);
    uint32_t number = side->got++;

    CHECK_EQ(name.size_bytes, size_of(number));
    for (uint32_t i = 0; i < name.size_bytes; i++)
        CHECK_EQ(name.data[i], (int)('a' + number % 26));
}

/* Answers each message with the same one, and takes no other while that one has to wait. */
static void echo(struct side *side)
{
    int status = send_message(side->stream, side->sent);

    if (status == SMF_OK) {
        side->sent++;
        smf_stream_release(side->stream);
        return;
    }
    CHECK(status == SMF_ELIMIT || status == SMF_ENOMEM);
    side->refusals++;
    smf_stream_hold(side->stream);
}

static uint32_t serve(struct smf_stream *stream, uint32_t what, const void *handlers,
                      const void *message, const struct smf_result *result, uint32_t code,
                      void *context)
{
    struct side *side = &pair.server;

    CHECK(handlers == &sync_method && context == &pair && result == NULL);
    side->stream = stream;
    if (what == SMF_STREAM_OPEN)
        return SMF_CODE_OK;
    if (what == SMF_STREAM_MESSAGE)
        check_message(side, message);
    if (what == SMF_STREAM_MESSAGE || what == SMF_STREAM_WRITABLE)
        echo(side);
    if (what == SMF_STREAM_HALF_CLOSED) {
        side->half_closes++;
        smf_stream_end(stream, SMF_CODE_OK);
    }
    if (what == SMF_STREAM_ENDED) {
        side->ends++;
        side->code = code;
    }
    return 0;
}

static void send_on(struct side *side, uint32_t messages)
{
    int status = SMF_OK;

    while (side->sent < messages && (status = send_message(side->stream, side->sent)) == SMF_OK)
        side->sent++;
    CHECK(status == SMF_OK || status == SMF_ELIMIT || status == SMF_ENOMEM);
    side->refusals += status != SMF_OK;
}

static uint32_t receive(struct smf_stream *stream, uint32_t what, const void *handlers,
                        const void *message, const struct smf_result *result, uint32_t code,
                        void *context)
{
    struct side *side = &pair.caller;

    (void)stream, (void)code;
    CHECK(handlers == &sync_method && context == &pair);
    if (what == SMF_STREAM_MESSAGE)
        check_message(side, message);
    if (what == SMF_STREAM_WRITABLE)
        send_on(side, MESSAGES);
    if (what == SMF_STREAM_ENDED) {
        side->ends++;
        side->status = result->status;
        side->code = result->code;
    }
    return 0;
}

static void turn(void)
{
    static const struct smf_stream_service service = {
        .dispatch = serve, .handlers = &sync_method, .context = &pair, .implemented = 1};
    int count = smf_core_poll(pair.server_core, SMF_WAIT_NONE);

    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(pair.server_core)->events[i];

        if (event->kind == SMF_EVENT_REQUEST)
            smf_stream_serve(pair.server_core, event, &sync_method, &service);
        else
            (void)smf_call_event(pair.server_core, event);
    }
    count = smf_core_poll(pair.client_core, SMF_WAIT_NONE);
    for (int i = 0; i < count; i++)
        CHECK_EQ(smf_client_take(pair.client, &smf_core_turn(pair.client_core)->events[i]), 1);
}

static void until(const uint32_t *counter, uint32_t wanted)
{
    for (int polls = 0; *counter < wanted; polls++) {
        CHECK_LT(polls, POLLS_MAX);
        turn();
    }
}

static struct smf_engine *open_engine(void)
{
    struct smf_engine_config config = {
        .size = sizeof config, .spin_us = -1, .memory_bytes = MEMORY_BYTES};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static void open_stream(void)
{
    memset(&pair.server, 0, sizeof pair.server);
    memset(&pair.caller, 0, sizeof pair.caller);
    CHECK_EQ(smf_client_stream(pair.client, &sync_method, NULL, NULL, receive, &sync_method, &pair,
                               &pair.caller.stream),
             SMF_OK);
}

static void everything_over(const char *address)
{
    struct smf_error error;
    char bound[128];

    memset(&pair, 0, sizeof pair);
    pair.engines[0] = open_engine();
    pair.engines[1] = open_engine();
    pair.server_core = smf_engine_core(pair.engines[0], 0);
    pair.client_core = smf_engine_core(pair.engines[1], 0);
    CHECK_EQ(smf_engine_listen(pair.engines[0], address, bound, sizeof bound, &error), SMF_OK);
    CHECK_EQ(smf_client_open(&pair.client, pair.client_core, 0), SMF_OK);
    CHECK_EQ(smf_client_connect_with(pair.client, bound, SMF_CONNECT_HELLO, &error), SMF_OK);
    open_stream();
    send_on(&pair.caller, MESSAGES); /* the first ones before the connection is up */
    until(&pair.caller.sent, MESSAGES);
    until(&pair.caller.got, MESSAGES);
    CHECK_GT(pair.caller.refusals, 0);
    CHECK_EQ(smf_stream_close(pair.caller.stream), SMF_OK);
    until(&pair.caller.ends, 1);
    CHECK_EQ(pair.caller.status, SMF_OK);
    CHECK_EQ(pair.caller.code, SMF_CODE_OK);
    CHECK_EQ(pair.server.half_closes, 1);
    CHECK_EQ(pair.server.code, SMF_CODE_OK);
    open_stream();
    send_on(&pair.caller, 10);
    until(&pair.caller.got, 5);
    smf_stream_cancel(pair.caller.stream);
    CHECK_EQ(pair.caller.status, SMF_ECANCELLED);
    until(&pair.server.ends, 1);
    CHECK_EQ(pair.server.code, SMF_CODE_CANCELLED);
    open_stream();
    send_on(&pair.caller, 10);
    until(&pair.caller.got, 5);
    smf_core_disconnect(pair.server_core, smf_stream_conn(pair.server.stream));
    until(&pair.server.ends, 1);
    CHECK_EQ(pair.server.code, SMF_CODE_CANCELLED);
    until(&pair.caller.ends, 1);
    CHECK_EQ(pair.caller.status, SMF_ECLOSED);
    CHECK_EQ(smf_core_turn(pair.server_core)->in_flight, 0);
    smf_client_close(pair.client);
    smf_engine_close(pair.engines[1]);
    smf_engine_close(pair.engines[0]);
}

static void over_tcp(void)
{
    everything_over("127.0.0.1:0");
}

static void over_unix_sockets(void)
{
    char address[64];

    snprintf(address, sizeof address, "unix:@smf-test-stream-%d", (int)getpid());
    everything_over(address);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(over_tcp),
        TEST(over_unix_sockets),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
