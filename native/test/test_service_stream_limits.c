/* Streams that are refused, streams where memory or a turn's sends are short, and what those cost that wait. */
#include "test_service_stream.h"

#define MANY 3000 /* more than a turn has sends */
#define HELD_MAX 4096

/* Memory of a core that somebody else has. */
static struct smf_buffer *held[HELD_MAX];
static int held_count;

static void use_up(struct smf_core *core)
{
    for (uint64_t size = 4u << 20; size >= SMF__POOL_BLOCK_MIN_BYTES; size /= 2) {
        struct smf_buffer *buffer;

        while ((buffer = smf__pool_get(core->pool, size)) != NULL) {
            CHECK_LT(held_count, HELD_MAX);
            held[held_count++] = buffer;
        }
    }
}

static void give_back(struct smf_core *core)
{
    while (held_count > 0)
        smf_core_release(core, held[--held_count]);
}

static void too_many_streams(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_stream *streams[2];
    struct side first = {0};

    limits.running_max = 2;
    open_rig_with(limits, 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(smf_client_stream(rig.client, &kinds[SYNC], NULL, NULL, receive, &kinds, &first,
                                   &streams[i]),
                 SMF_OK);
    world_run(&rig.world, 5);
    open_stream(SYNC, NULL);
    CHECK_EQ(rig.server.opens, 2);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.status, SMF_OK);
    CHECK_EQ(rig.caller.result_code, SMF_CODE_LIMIT);
    CHECK_EQ(rig.caller.may_have_run, 0);
    smf_stream_cancel(streams[0]);
    world_run(&rig.world, 5);
    rig.caller = (struct side){0};
    open_stream(SYNC, NULL);
    CHECK_EQ(rig.server.opens, 3);
    CHECK_EQ(rig.caller.ends, 0);
    smf_stream_cancel(streams[1]);
    smf_stream_cancel(rig.caller.stream);
    close_rig();
}

static void stat_answered(const struct smf_result *result, const void *reply,
                          smf_client_callback callback, void *context)
{
    CHECK(callback == NULL && reply == NULL);
    *(struct smf_result *)context = *result;
}

static struct smf_result call_plainly(int kind)
{
    struct smf_result result = {.status = 1};
    struct smf_flat_builder request;

    smf_flat_builder_init_core(&request, rig.world.client);
    build_node(&request, "what", 4);
    CHECK_EQ(smf_client_call(rig.client, &kinds[kind], &request, 0, stat_answered, NULL, &result),
             SMF_OK);
    smf_flat_builder_fini(&request);
    world_run(&rig.world, 10);
    return result;
}

/* A call of a method that streams, and a stream of one that does not. No handler sees either. */
static void the_wrong_kind(void)
{
    struct smf_method stat = kinds[STAT];
    struct smf_result result;
    struct smf_error error;

    open_rig(0);
    for (int kind = SYNC; kind <= LIST; kind++) {
        result = call_plainly(kind);
        CHECK_EQ(result.status, SMF_OK);
        CHECK_EQ(result.code, SMF_CODE_BAD_REQUEST);
        CHECK_EQ(result.may_have_run, 0);
        CHECK(strstr(rig.problem, " 400 the method streams") != NULL);
    }
    stat.flags = SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT;
    CHECK_EQ(smf_client_stream(rig.client, &stat, NULL, NULL, receive, &kinds, &rig.caller, NULL),
             SMF_OK);
    world_run(&rig.world, 10);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.result_code, SMF_CODE_BAD_REQUEST);
    CHECK_EQ(rig.caller.may_have_run, 0);
    CHECK_STR(rig.problem, "Stat 400 the method does not stream: call it without");
    CHECK_EQ(rig.server.opens + rig.stats, 0);
    smf_client_close(rig.client);
    CHECK_EQ(smf_client_open(&rig.client, rig.world.client, 0), SMF_OK);
    CHECK_EQ(smf_client_connect(rig.client, WORLD_ADDRESS, &error), SMF_OK);
    CHECK_EQ(try_stream(SYNC, NULL), SMF_EUNSUPPORTED);
    CHECK_EQ(call_plainly(SYNC).code, SMF_CODE_LEVEL);
    close_rig();
}

static void nobody_has_written_it(void)
{
    struct smf_result result;

    open_rig(0);
    result = call_plainly(NONE); /* 501 says more than 400 */
    CHECK_EQ(result.code, SMF_CODE_NOT_IMPLEMENTED);
    CHECK_EQ(result.may_have_run, 0);
    open_stream(NONE, NULL);
    CHECK_EQ(rig.caller.result_code, SMF_CODE_NOT_IMPLEMENTED);
    CHECK_STR(rig.caller.message, "the method has no handler");
    CHECK_EQ(rig.server.opens, 0);
    close_rig();
}

static void no_memory_to_open(void)
{
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options = with_key(memory, "asked", 5);

    open_rig(0);
    use_up(rig.world.server);
    open_stream(SYNC, &options);
    give_back(rig.world.server);
    CHECK_EQ(rig.server.opens, 0);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.result_code, SMF_CODE_UNAVAILABLE);
    CHECK_EQ(rig.caller.may_have_run, 0);
    CHECK_STR(rig.caller.message, "there is no memory for a stream");
    rig.caller = (struct side){0};
    open_stream(SYNC, &options);
    CHECK_EQ(rig.server.opens, 1);
    smf_stream_cancel(rig.caller.stream);
    close_rig();
}

/* Who holds a message, and finds no memory for those behind it, ends with 503; a client, with SMF_ENOMEM. */
static void no_memory_to_wait(void)
{
    open_rig(0);
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    CHECK_EQ(send_name(rig.caller.stream, 100), SMF_OK);
    world_run(&rig.world, 5);
    use_up(rig.world.server);
    CHECK_EQ(send_name(rig.caller.stream, 100), SMF_OK);
    world_run(&rig.world, 10);
    give_back(rig.world.server);
    CHECK_EQ(rig.server.messages, 1);
    check_ends(SMF_CODE_UNAVAILABLE, SMF_OK, SMF_CODE_UNAVAILABLE);
    CHECK_STR(rig.problem, "Sync 503 there is no memory for messages that wait");
    rig.server = (struct side){.opens_with = SMF_CODE_OK};
    rig.caller = (struct side){.holds = 1};
    open_stream(SYNC, NULL);
    CHECK_EQ(send_name(rig.server.stream, 100), SMF_OK);
    world_run(&rig.world, 5);
    use_up(rig.world.client);
    CHECK_EQ(send_name(rig.server.stream, 100), SMF_OK);
    world_run(&rig.world, 10);
    give_back(rig.world.client);
    CHECK_EQ(rig.caller.messages, 1);
    check_ends(SMF_CODE_CANCELLED, SMF_ENOMEM, 0);
    close_rig();
}

/* A message that finds no memory to be built is built when there is some: writable tells. */
static void no_memory_to_build(void)
{
    struct smf_flat_builder other;

    open_rig(0);
    open_stream(SYNC, NULL);
    smf_flat_builder_init_core(&other, rig.world.client);
    build_node(&other, "n", 1); /* has the loan */
    use_up(rig.world.client);
    rig.caller.to_send = 1;
    rig.caller.size = 100;
    CHECK_EQ(send_name(rig.caller.stream, 100), SMF_ENOMEM);
    CHECK_EQ(smf_stream_builder(rig.caller.stream)->status, SMF_OK);
    world_run(&rig.world, 10);
    CHECK_EQ(rig.server.messages, 0);
    smf_flat_builder_fini(&other);
    give_back(rig.world.client);
    for (int i = 0; i < 5; i++) /* writable is told in the turn behind a timer */
        world_run(&rig.world, 5);
    CHECK_EQ(rig.server.messages, 1);
    CHECK_EQ(rig.caller.to_send, 0);
    smf_stream_cancel(rig.caller.stream);
    close_rig();
}

/* A message that is held stays as it came while others come into the same memory. */
static void held_messages_stay(void)
{
    open_rig(0);
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    for (int i = 0; i < 8; i++) {
        rig.fill = (char)('a' + i);
        CHECK_EQ(send_name(rig.caller.stream, 3000), SMF_OK);
        world_run(&rig.world, 5);
        (void)call_plainly(LIST); /* is refused, and was read */
    }
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(rig.server.messages, i + 1);
        CHECK_EQ(rig.server.held.size_bytes, 3000);
        for (uint32_t k = 0; k < 3000; k++)
            CHECK_EQ(rig.server.held.data[k], 'a' + i);
        smf_stream_release(rig.server.stream);
        world_run(&rig.world, 5);
    }
    smf_stream_cancel(rig.caller.stream);
    close_rig();
}

static void any_answer(const struct smf_result *result, const void *reply,
                       smf_client_callback callback, void *context)
{
    (void)callback, (void)context;
    CHECK(result->status == SMF_OK && reply != NULL);
}

static void call_stat(uint32_t size)
{
    static char name[BIG_BYTES];
    struct smf_flat_builder request;

    memset(name, 's', sizeof name);
    smf_flat_builder_init_core(&request, rig.world.client);
    build_node(&request, name, size);
    CHECK_EQ(smf_client_call(rig.client, &kinds[STAT], &request, 0, any_answer, NULL, NULL),
             SMF_OK);
    smf_flat_builder_fini(&request);
    world_run(&rig.world, 3);
}

/* Each comes in a turn of its own, among calls: those that wait hold what they have, and not what they came with. */
static void waiting_messages_cost_their_size(void)
{
    open_rig(0);
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(send_name(rig.caller.stream, 10000), SMF_OK);
        for (int k = 0; k < 5; k++)
            call_stat(50000); /* what is read comes into other memory */
    }
    CHECK_EQ(rig.server.messages, 1);
    CHECK_LT(world_stats(rig.world.server).memory_used_bytes, 2u << 20);
    smf_stream_cancel(rig.caller.stream);
    close_rig();
}

/* What was refused waits in memory of its size: the loan is for others. */
static void refused_messages_cost_their_size(void)
{
    const struct smf_flat_builder *builder;

    open_rig(0);
    rig.server.holds = 1;
    open_stream(SYNC, NULL);
    CHECK_EQ(send_name(rig.caller.stream, LARGE), SMF_OK);
    rig.fill = 'x';
    CHECK_EQ(send_name(rig.caller.stream, 100), SMF_ELIMIT);
    builder = smf_stream_builder(rig.caller.stream);
    CHECK_LE(builder->capacity, SMF__POOL_BLOCK_MIN_BYTES);
    CHECK_EQ(
        smf_flat_verify(&node_table, smf_flat_payload(builder), smf_flat_size_bytes(builder), NULL),
        SMF_OK);
    world_run(&rig.world, 20);
    CHECK_EQ(send_name(rig.caller.stream, 1), SMF_OK); /* the one that was refused */
    smf_stream_release(rig.server.stream);
    world_run(&rig.world, 10);
    CHECK_EQ(rig.server.messages, 2);
    CHECK_EQ(rig.server.held.size_bytes, 100);
    CHECK_EQ(rig.server.held.data[99], 'x');
    smf_stream_cancel(rig.caller.stream);
    close_rig();
}

/* Many streams, and how they end. */

static struct smf_stream *all[MANY];
static int opened, server_ends, client_ends, client_failures;

static uint32_t serve_many(struct smf_stream *stream, uint32_t what, const void *handlers,
                           const void *message, const struct smf_result *result, uint32_t code,
                           void *context)
{
    (void)handlers, (void)message, (void)result, (void)code, (void)context;
    if (what == SMF_STREAM_OPEN) {
        CHECK_LT(opened, MANY);
        all[opened++] = stream;
        return SMF_CODE_OK;
    }
    server_ends += what == SMF_STREAM_ENDED;
    return 0;
}

static uint32_t call_many(struct smf_stream *stream, uint32_t what, const void *handlers,
                          const void *message, const struct smf_result *result, uint32_t code,
                          void *context)
{
    (void)stream, (void)handlers, (void)message, (void)code;
    if (what == SMF_STREAM_ENDED) {
        client_ends++;
        client_failures += result->status != SMF_OK || result->code != *(uint32_t *)context;
        CHECK(result->status != SMF_OK || result->code != SMF_CODE_CONFLICT ||
              result->message.size_bytes == 4);
    }
    return 0;
}

static void open_many(uint32_t *code, const struct smf_call_options *options)
{
    opened = server_ends = client_ends = client_failures = 0;
    rig.serve = serve_many;
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(smf_client_stream(rig.client, &kinds[SYNC], NULL, options, call_many, &kinds, code,
                                   NULL),
                 SMF_OK);
        if (i % 100 == 99)
            world_run(&rig.world, 1);
    }
    world_run(&rig.world, 5);
    CHECK_EQ(opened, MANY);
}

static void end_one(struct smf_stream *stream, uint32_t code)
{
    if (code == SMF_CODE_OK)
        smf_stream_end(stream, code);
    else
        (void)smf_stream_fail(stream, code, &(struct smf_failure){.message = "over"});
}

/* More than a turn has sends: the rest of the ends goes in the turns behind it, and no connection is lost. */
static void many_end_at_once(void)
{
    uint32_t codes[] = {SMF_CODE_OK, SMF_CODE_CONFLICT};
    struct smf_core *core;
    uint64_t gone;

    open_rig(0);
    for (int round = 0; round < 2; round++) {
        open_many(&codes[round], NULL);
        core = all[0]->call.core;
        gone = all[0]->call.conn + (1ull << 32);
        for (int i = 0; i < MANY; i++)
            end_one(all[i], codes[round]);
        CHECK_LT(server_ends, MANY); /* the others are told when their last frame has gone */
        for (uint32_t i = 0; i < SMF__CORE_EVENTS_MAX;
             i++) /* each event of the turn is answered still */
            CHECK_EQ(smf_core_send(core, gone, 1, SMF_CODE_OK, "x", 1), SMF_OK);
        world_run(&rig.world, 50);
        CHECK_EQ(server_ends, MANY);
        CHECK_EQ(client_ends, MANY);
        CHECK_EQ(client_failures, 0);
        CHECK(smf_client_conn(rig.client) != 0);
    }
    close_rig();
}

/* The core is closed with ends that have not gone. */
static void many_end_and_nobody_polls(void)
{
    uint32_t code = SMF_CODE_OK;

    open_rig(0);
    open_many(&code, NULL);
    for (int i = 0; i < MANY; i++)
        smf_stream_end(all[i], SMF_CODE_OK);
    smf_client_close(rig.client);
    CHECK_EQ(client_ends, MANY);
    smf_router_close(rig.router);
    world_close(&rig.world);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(too_many_streams),
        TEST(the_wrong_kind),
        TEST(nobody_has_written_it),
        TEST(no_memory_to_open),
        TEST(no_memory_to_wait),
        TEST(no_memory_to_build),
        TEST(held_messages_stay),
        TEST(waiting_messages_cost_their_size),
        TEST(refused_messages_cost_their_size),
        TEST(many_end_at_once),
        TEST(many_end_and_nobody_polls),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
