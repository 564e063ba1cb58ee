/* Level 2 from one engine to another over the kernel's sockets; and the settings of it. */
#include <smf/code.h>
#include <smf/engine.h>
#include <smf/level2.h>
#include <smf/metadata.h>

#include "test.h"

#define MEMORY_BYTES (8ull << 20)
#define POLLS_MAX 2000000
#define CALLS 3000
#define OUTSTANDING_MAX 100u
#define TOKEN 4711u

struct pair {
    struct smf_engine *engines[2];
    struct smf_core *server, *client;
    uint64_t conn;
    uint32_t level, replies, pongs, goaways, closed, cancelled, one_way;
    uint32_t closed_reason;
    int hold; /* requests are answered when they are cancelled */
};

static struct smf_engine *engine_with(uint32_t level)
{
    struct smf_engine_config config = {
        .size = sizeof config, .spin_us = -1, .memory_bytes = MEMORY_BYTES, .level = level};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static void serve(struct pair *pair, const struct smf_event *event)
{
    pair->one_way += (event->flags & SMF_FRAME_ONE_WAY) != 0;
    if (event->kind == SMF_EVENT_CANCEL) {
        pair->cancelled++;
        CHECK_EQ(smf_core_send_code(pair->server, event->conn, event->session, SMF_CODE_CANCELLED),
                 SMF_OK);
    } else if (event->kind == SMF_EVENT_REQUEST && !pair->hold) {
        CHECK_EQ(smf_core_send_with(pair->server, event->conn, event->session, SMF_CODE_OK,
                                    event->flags & SMF_FRAME_METADATA, 0,
                                    event->payload - event->metadata_size_bytes,
                                    event->size_bytes + event->metadata_size_bytes),
                 SMF_OK);
    }
}

static void note(struct pair *pair, const struct smf_event *event)
{
    uint64_t token;

    pair->replies += event->kind == SMF_EVENT_REPLY;
    pair->goaways += event->kind == SMF_EVENT_GOAWAY;
    if (event->kind == SMF_EVENT_CONNECTED)
        pair->level = event->level;
    if (event->kind == SMF_EVENT_CLOSED) {
        pair->closed++;
        pair->closed_reason = event->meta;
    }
    if (event->kind == SMF_EVENT_PONG) {
        memcpy(&token, event->payload, sizeof token);
        pair->pongs += token == TOKEN;
    }
}

static void turn(struct pair *pair)
{
    int count = smf_core_poll(pair->server, SMF_WAIT_NONE);

    for (int i = 0; i < count; i++)
        serve(pair, &smf_core_turn(pair->server)->events[i]);
    count = smf_core_poll(pair->client, SMF_WAIT_NONE);
    for (int i = 0; i < count; i++)
        note(pair, &smf_core_turn(pair->client)->events[i]);
}

/* Turns until a count is reached. */
static void until(struct pair *pair, const uint32_t *counter, uint32_t wanted)
{
    for (int polls = 0; *counter < wanted; polls++) {
        CHECK_LT(polls, POLLS_MAX);
        turn(pair);
    }
}

static void pair_open(struct pair *pair, const char *address, uint32_t server_level)
{
    struct smf_error error;
    char bound[128];

    memset(pair, 0, sizeof *pair);
    pair->engines[0] = engine_with(server_level);
    pair->engines[1] = engine_with(0);
    pair->server = smf_engine_core(pair->engines[0], 0);
    pair->client = smf_engine_core(pair->engines[1], 0);
    CHECK_EQ(smf_engine_listen(pair->engines[0], address, bound, sizeof bound, &error), SMF_OK);
    CHECK_EQ(smf_core_connect_with(pair->client, bound, 0, SMF_CONNECT_HELLO, &pair->conn, &error),
             SMF_OK);
}

static void pair_close(struct pair *pair)
{
    smf_engine_close(pair->engines[1]);
    smf_engine_close(pair->engines[0]);
}

static void call(struct pair *pair, uint16_t session)
{
    static uint8_t payload[1024];
    struct smf_metadata_writer writer;
    uint32_t block;

    smf_metadata_begin(&writer, payload, sizeof payload, 1000000);
    CHECK_EQ(smf_metadata_add(&writer, "traceparent", 11, "00-0", 4), SMF_OK);
    CHECK_EQ(smf_metadata_end(&writer, &block), SMF_OK);
    CHECK_EQ(smf_core_send_with(pair->client, pair->conn, session, 9, SMF_FRAME_METADATA, 0,
                                payload, block + session % 700u),
             SMF_OK);
}

static void everything_over(const char *address)
{
    struct smf_core_stats stats;
    struct pair pair;

    pair_open(&pair, address, 0);
    until(&pair, &pair.level, 2);
    for (uint32_t sent = 0; sent < CALLS;) {
        while (sent < CALLS && sent - pair.replies < OUTSTANDING_MAX)
            call(&pair, (uint16_t)++sent);
        turn(&pair);
    }
    until(&pair, &pair.replies, CALLS);
    CHECK_EQ(smf_core_ping(pair.client, pair.conn, TOKEN), SMF_OK);
    until(&pair, &pair.pongs, 1);
    CHECK_EQ(smf_core_send_with(pair.client, pair.conn, 0, 9, SMF_FRAME_ONE_WAY, 0, "go", 2),
             SMF_OK);
    until(&pair, &pair.one_way, 1);
    pair.hold = 1;
    call(&pair, 1);
    CHECK_EQ(smf_core_cancel(pair.client, pair.conn, 1, SMF_CODE_DEADLINE), SMF_OK);
    until(&pair, &pair.replies, CALLS + 1);
    CHECK_EQ(pair.cancelled, 1);
    smf_core_drain(pair.server);
    until(&pair, &pair.closed, 1);
    CHECK_EQ(pair.goaways, 1);
    CHECK_EQ(pair.closed_reason, SMF_CLOSE_BY_PEER);
    for (int polls = 0; !smf_core_drained(pair.server); polls++) {
        CHECK_LT(polls, POLLS_MAX);
        turn(&pair);
    }
    smf_core_stats(pair.server, &stats);
    CHECK_EQ(stats.hellos, 1);
    CHECK_EQ(stats.in_flight, 0);
    CHECK_EQ(stats.connections_level2, 0);
    CHECK_EQ(stats.cancels, 1);
    CHECK_EQ(stats.one_way, 1);
    CHECK_EQ(stats.pings, 1);
    pair_close(&pair);
}

static void everything_over_tcp(void)
{
    everything_over("127.0.0.1:0");
}

static void everything_over_a_unix_socket(void)
{
    char address[64];

    snprintf(address, sizeof address, "unix:@smf-level2-%d", (int)getpid());
    everything_over(address);
}

/* A server of level 1 that answers no call that it does not know is left after a quarter of a second. */
static void a_server_of_level_1_is_left(void)
{
    struct pair pair;

    pair_open(&pair, "127.0.0.1:0", 1);
    pair.hold = 1;
    while (pair.closed == 0) {
        int count = smf_core_poll(pair.server, SMF_WAIT_NONE);

        CHECK_GE(count, 0);
        count = smf_core_poll(pair.client, 1000);
        for (int i = 0; i < count; i++)
            note(&pair, &smf_core_turn(pair.client)->events[i]);
    }
    CHECK_EQ(pair.closed_reason, SMF_CLOSE_HELLO_TIMEOUT);
    CHECK_EQ(pair.level, 0);
    pair_close(&pair);
}

static void refused(struct smf_engine_config config, const char *field)
{
    struct smf_engine *engine;
    struct smf_error error;

    config.size = sizeof config;
    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_EINVAL);
    CHECK(strstr(error.text, field) != NULL);
}

static void settings_are_checked_and_have_defaults(void)
{
    struct smf_engine *engine = engine_with(0);
    struct smf_engine_config settings = {.size = sizeof settings};

    CHECK_EQ(smf_engine_settings(engine, &settings), SMF_OK);
    CHECK_EQ(settings.level, 2);
    CHECK_EQ(settings.credit_bytes, 256u << 10);
    CHECK_EQ(settings.message_size_bytes_max, 64u << 20);
    CHECK_EQ(settings.compressions, 0);
    smf_engine_close(engine);
    refused((struct smf_engine_config){.level = 3}, "level");
    refused((struct smf_engine_config){.credit_bytes = (64u << 10) - 1}, "credit_bytes");
    refused((struct smf_engine_config){.credit_bytes = UINT32_MAX}, "credit_bytes");
    refused((struct smf_engine_config){.compressions = 1}, "compressions");
    refused((struct smf_engine_config){.compressions = 1u << 4}, "compressions");
    refused((struct smf_engine_config){.message_size_bytes_max = 1ull << 32}, "message_size");
    refused((struct smf_engine_config){.reserved2 = 1}, "does not know");
}

static const struct test tests[] = {
    TEST(everything_over_tcp),
    TEST(everything_over_a_unix_socket),
    TEST(a_server_of_level_1_is_left),
    TEST(settings_are_checked_and_have_defaults),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
