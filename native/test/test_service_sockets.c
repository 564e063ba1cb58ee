/* Services and clients at level 2 over the kernel's sockets, from one engine to another; the service without a
 * router. */
#include <smf/client.h>
#include <smf/engine.h>

#include "flat_sample.h"
#include "test.h"

#define MEMORY_BYTES (32ull << 20)
#define POLLS_MAX 2000000
#define CALLS 3000
#define OUTSTANDING_MAX 100u
#define LARGE_BYTES (3u << 20)

static const struct smf_method methods[] = {
    {"Echo", "a.Node", "a.Node", &node_table, &node_table, 1001u, 0, 0},
    {"Late", "a.Node", "a.Node", &node_table, &node_table, 1002u, SMF_METHOD_SLOW, 0},
};

struct pair {
    struct smf_engine *engines[2];
    struct smf_core *server, *client_core;
    struct smf_client *client;
    struct smf_call later;
    uint32_t deferred, cancelled, one_way, answers, pongs, ended;
    uint32_t closed_reason;
    uint64_t left_us;
    struct smf_result result; /* of the last answer */
    uint32_t name_size;
    char value[64], message[64];
};

static void build_node(struct smf_flat_builder *builder, const void *name, uint32_t size)
{
    struct smf_flat_string_ref text = smf_flat_build_string(builder, name, size);

    smf_flat_start_table(builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(builder, NODE_NAME, text.ref);
    (void)smf_flat_finish(builder, smf_flat_end_table(builder, NULL, 0), NULL);
}

static void cancelled(uint32_t code, void *context)
{
    struct pair *pair = context;

    pair->cancelled = code;
    smf_call_answer(&pair->later,
                    smf_call_fail(&pair->later, code, &(struct smf_failure){.message = "as told"}));
}

static uint32_t serve(struct pair *pair, struct smf_call *call, const void *node)
{
    struct smf_flat_string name = smf_flat_get_string(node, NODE_NAME);
    struct smf_metadata_entry entry;
    struct smf_metadata block;

    pair->one_way += (call->flags & SMF_FRAME_ONE_WAY) != 0;
    pair->left_us = smf_call_time_left_us(call);
    if (call->method == &methods[1]) {
        (void)smf_call_defer(call, &pair->later);
        smf_call_on_cancel(&pair->later, cancelled, pair);
        pair->deferred++;
        return SMF_CALL_LATER;
    }
    if (smf_call_metadata(call, &block) && smf_metadata_find(&block, "key", 3, &entry))
        CHECK_EQ(smf_call_add_metadata(call, "key", entry.value, entry.value_size_bytes), SMF_OK);
    build_node(&call->reply, name.data, name.size_bytes);
    return SMF_CODE_OK;
}

static int dispatch(struct pair *pair, struct smf_core *core, const struct smf_event *event)
{
    struct smf_call call;
    const void *node;

    if (event->kind != SMF_EVENT_REQUEST)
        return smf_call_event(core, event);
    for (int i = 0; i < 2; i++) {
        if (event->meta != methods[i].id)
            continue;
        call.problem = NULL;
        call.context = pair;
        node = smf_call_begin(&call, core, event, &methods[i], 1, 0);
        if (node != NULL)
            smf_call_end(&call, serve(pair, &call, node));
        return 1;
    }
    return 0;
}

static void turn(struct pair *pair)
{
    int count = smf_core_poll(pair->server, SMF_WAIT_NONE);

    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(pair->server)->events[i];

        if (!dispatch(pair, pair->server, event) && event->kind == SMF_EVENT_REQUEST)
            CHECK_EQ(
                smf_core_send_code(pair->server, event->conn, event->session, SMF_CODE_NOT_FOUND),
                SMF_OK);
    }
    count = smf_core_poll(pair->client_core, SMF_WAIT_NONE);
    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(pair->client_core)->events[i];

        CHECK_EQ(smf_client_take(pair->client, event), 1);
        if (event->kind == SMF_EVENT_CLOSED) {
            pair->ended++;
            pair->closed_reason = event->meta;
        }
    }
}

static void until(struct pair *pair, const uint32_t *counter, uint32_t wanted)
{
    for (int polls = 0; *counter < wanted; polls++) {
        CHECK_LT(polls, POLLS_MAX);
        turn(pair);
    }
}

static void answered(const struct smf_result *result, const void *reply,
                     smf_client_callback callback, void *context)
{
    struct pair *pair = context;
    struct smf_metadata_entry entry;
    struct smf_metadata block;

    CHECK(callback == NULL);
    pair->answers++;
    pair->result = *result;
    pair->name_size = smf_flat_get_string(reply, NODE_NAME).size_bytes;
    snprintf(pair->message, sizeof pair->message, "%s", result->message.data);
    pair->value[0] = '\0';
    if (smf_result_metadata(result, &block) && smf_metadata_find(&block, "key", 3, &entry))
        snprintf(pair->value, sizeof pair->value, "%.*s", (int)entry.value_size_bytes,
                 (const char *)entry.value);
}

static void ponged(int status, void *context)
{
    ((struct pair *)context)->pongs += status == SMF_OK;
}

/* A call with one entry of metadata. */
static void call(struct pair *pair, uint32_t method, uint32_t size, struct smf_call_options options)
{
    static char name[LARGE_BYTES];
    struct smf_metadata_writer writer;
    struct smf_flat_builder builder;
    uint8_t memory[256];

    smf_metadata_begin(&writer, memory, sizeof memory, 0);
    CHECK_EQ(smf_metadata_add(&writer, "key", 3, "value", 5), SMF_OK);
    CHECK_EQ(smf_metadata_end(&writer, &options.metadata_size_bytes), SMF_OK);
    options.size = sizeof options;
    options.metadata = memory;
    memset(name, 'n', sizeof name);
    smf_flat_builder_init_core(&builder, pair->client_core);
    build_node(&builder, name, size);
    CHECK_EQ(smf_client_call_with(pair->client, &methods[method], &builder, &options, answered,
                                  NULL, pair),
             SMF_OK);
    smf_flat_builder_fini(&builder);
}

static struct smf_engine *engine_with(uint32_t level)
{
    struct smf_engine_config config = {
        .size = sizeof config, .spin_us = -1, .memory_bytes = MEMORY_BYTES, .level = level};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static void pair_open(struct pair *pair, const char *address, uint32_t server_level, char *bound)
{
    struct smf_error error;

    memset(pair, 0, sizeof *pair);
    pair->engines[0] = engine_with(server_level);
    pair->engines[1] = engine_with(0);
    pair->server = smf_engine_core(pair->engines[0], 0);
    pair->client_core = smf_engine_core(pair->engines[1], 0);
    CHECK_EQ(smf_engine_listen(pair->engines[0], address, bound, 128, &error), SMF_OK);
    CHECK_EQ(smf_client_open(&pair->client, pair->client_core, 0), SMF_OK);
    CHECK_EQ(smf_client_connect_with(pair->client, bound, SMF_CONNECT_HELLO, &error), SMF_OK);
}

static void pair_close(struct pair *pair)
{
    smf_client_close(pair->client);
    smf_engine_close(pair->engines[1]);
    smf_engine_close(pair->engines[0]);
}

static void everything_over(const char *address)
{
    struct smf_call_options plain = {.timeout_us = 30000000}, one_way = {.flags = SMF_CALL_ONE_WAY},
                            given_up = {.flags = 0}, short_time = {.timeout_us = 20000};
    uint64_t number;
    struct pair pair;
    char bound[128];

    pair_open(&pair, address, 0, bound);
    for (uint32_t sent = 0; sent < CALLS; turn(&pair)) {
        while (sent < CALLS && sent - pair.answers < OUTSTANDING_MAX)
            call(&pair, 0, sent++ % 700u, plain);
    }
    until(&pair, &pair.answers, CALLS);
    CHECK_EQ(pair.result.code, SMF_CODE_OK);
    CHECK_STR(pair.value, "value");
    CHECK_GT(pair.left_us, 0);
    CHECK_LE(pair.left_us, 30000000);
    call(&pair, 0, LARGE_BYTES, plain);
    until(&pair, &pair.answers, CALLS + 1);
    CHECK_EQ(pair.name_size, LARGE_BYTES);
    CHECK_EQ(smf_client_ping(pair.client, ponged, &pair), SMF_OK);
    until(&pair, &pair.pongs, 1);
    call(&pair, 0, 10, one_way);
    until(&pair, &pair.one_way, 1);
    given_up.call_out = &number;
    call(&pair, 1, 10, given_up);
    until(&pair, &pair.deferred, 1);
    CHECK_EQ(smf_client_cancel(pair.client, number), SMF_OK);
    CHECK_EQ(pair.result.status, SMF_ECANCELLED);
    until(&pair, &pair.cancelled, SMF_CODE_CANCELLED);
    pair.cancelled = 0;
    call(&pair, 1, 10, short_time);
    until(&pair, &pair.cancelled, SMF_CODE_DEADLINE);
    CHECK_EQ(pair.result.status, SMF_ETIMEOUT);
    call(&pair, 1, 10, plain);
    until(&pair, &pair.deferred, 3);
    smf_core_drain(pair.server);
    for (int polls = 0; smf_client_goaway(pair.client) == 0; polls++) {
        CHECK_LT(polls, POLLS_MAX);
        turn(&pair);
    }
    smf_call_answer(&pair.later, smf_call_fail(&pair.later, SMF_CODE_CONFLICT,
                                               &(struct smf_failure){.message = "too late"}));
    until(&pair, &pair.ended, 1);
    CHECK_EQ(pair.result.code, SMF_CODE_CONFLICT);
    CHECK_STR(pair.message, "too late");
    CHECK_EQ(pair.answers, CALLS + 4);
    CHECK_EQ(smf_core_turn(pair.server)->in_flight, 0);
    pair_close(&pair);
}

static void over_tcp(void)
{
    everything_over("127.0.0.1:0");
}

static void over_unix_sockets(void)
{
    char address[64];

    snprintf(address, sizeof address, "unix:@smf-test-service-%d", (int)getpid());
    everything_over(address);
}

static void falls_back_to_level1(void)
{
    struct smf_call_options plain = {.timeout_us = 30000000};
    struct smf_error error;
    struct pair pair;
    char bound[128];

    pair_open(&pair, "127.0.0.1:0", 1, bound);
    call(&pair, 0, 10, plain);
    until(&pair, &pair.ended, 1);
    CHECK_EQ(pair.closed_reason, SMF_CLOSE_NOT_LEVEL2);
    CHECK_EQ(pair.result.status, SMF_ECLOSED);
    CHECK_EQ(pair.result.may_have_run, 0);
    CHECK_EQ(smf_client_connect_with(pair.client, bound, 0, &error), SMF_OK);
    call(&pair, 0, 10, plain);
    until(&pair, &pair.answers, 2);
    CHECK_EQ(pair.result.code, SMF_CODE_OK);
    CHECK_EQ(pair.name_size, 10);
    CHECK_STR(pair.value, "");
    pair_close(&pair);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(over_tcp),
        TEST(over_unix_sockets),
        TEST(falls_back_to_level1),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
