/* Streams of services and clients, on a simulated network: all three kinds, slow readers, and every way in which a
 * stream ends. */
#include <smf/stream.h>

#include "service/service_stream.h"
#include "test_service_rig.h"

#define SYNC_ID 2001u
#define UPLOAD_ID 2002u
#define LIST_ID 2003u
#define NONE_ID 2004u
#define LARGE (200u << 10)

static const struct smf_method kinds[] = {
    {"Sync", "a.Node", "a.Node", &node_table, &node_table, SYNC_ID,
     SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT, 0},
    {"Upload", "a.Node", "a.Node", &node_table, &node_table, UPLOAD_ID, SMF_METHOD_STREAM_IN, 0},
    {"List", "a.Node", "a.Node", &node_table, &node_table, LIST_ID, SMF_METHOD_STREAM_OUT, 0},
    {"None", "a.Node", "a.Node", &node_table, &node_table, NONE_ID,
     SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT, 0},
};

enum { SYNC, UPLOAD, LIST, NONE };

/* One side of a stream. */
struct side {
    struct smf_stream *stream;
    int opens, messages, half_closes, writables, ends;
    uint64_t bytes; /* of names */
    uint32_t code;  /* a server's end */
    int status;     /* a client's end */
    uint32_t result_code, may_have_run;
    char message[64], name[64], metadata[64];
    int to_send; /* messages of size bytes, as soon as there is room */
    uint32_t size;
    int refusals;    /* of sending */
    int close_after; /* a client closes behind them, a server ends with 200 */
    int finished_sending;
    int holds;       /* every message */
    int echoes;
    uint32_t opens_with; /* the code of open */
    int ends_in_message, cancels_in_message;
};

struct streams {
    struct world world;
    struct smf_router *router;
    struct smf_client *client;
    struct side server, caller;
    char problem[128];
};

static struct streams rig;

static int send_name(struct smf_stream *stream, uint32_t size)
{
    static char text[BIG_BYTES];
    struct smf_flat_builder *builder = smf_stream_builder(stream);
    int status;

    if (smf_flat_payload(builder) == NULL) {
        memset(text, 'n', sizeof text);
        build_node(builder, text, size);
    }
    status = smf_stream_send(stream, builder);
    if (status != SMF_ELIMIT && status != SMF_ENOMEM)
        smf_flat_builder_fini(builder);
    return status;
}

/* Sends as much as goes. */
static void send_on(struct side *side, int is_server)
{
    int status = SMF_OK;

    while (side->to_send > 0 && (status = send_name(side->stream, side->size)) == SMF_OK)
        side->to_send--;
    side->refusals += status == SMF_ELIMIT;
    if (side->to_send != 0 || !side->close_after || side->finished_sending)
        return;
    side->finished_sending = 1;
    if (is_server)
        smf_stream_end(side->stream, SMF_CODE_OK);
    else
        CHECK_EQ(smf_stream_close(side->stream), SMF_OK);
}

static void heard(struct side *side, struct smf_stream *stream, const void *message, int is_server)
{
    struct smf_flat_string name = smf_flat_get_string(message, NODE_NAME);

    CHECK(side->ends == 0);
    side->messages++;
    side->bytes += name.size_bytes;
    snprintf(side->name, sizeof side->name, "%s", name.data);
    if (side->holds)
        smf_stream_hold(stream);
    if (side->echoes)
        CHECK_EQ(send_name(stream, name.size_bytes), SMF_OK);
    if (side->ends_in_message && is_server)
        smf_stream_end(stream, SMF_CODE_CONFLICT);
    if (side->cancels_in_message && !is_server)
        smf_stream_cancel(stream);
}

static uint32_t serve(struct smf_stream *stream, uint32_t what, const void *handlers,
                      const void *message, const struct smf_result *result, uint32_t code,
                      void *context)
{
    struct side *side = &rig.server;
    struct smf_metadata block;

    CHECK(handlers == &kinds && context == &rig && result == NULL);
    switch (what) {
    case SMF_STREAM_OPEN:
        side->opens++;
        side->stream = stream;
        (void)smf_stream_metadata(stream, &block);
        (void)value_of(&block, "key", side->metadata);
        if (message != NULL)
            snprintf(side->name, sizeof side->name, "%s",
                     smf_flat_get_string(message, NODE_NAME).data);
        CHECK_EQ(smf_stream_add_metadata(stream, "reply", "said", 4), SMF_OK);
        if (side->opens_with != SMF_CODE_OK)
            return smf_stream_fail(stream, side->opens_with,
                                   &(struct smf_failure){.message = "not today"});
        send_on(side, 1);
        return SMF_CODE_OK;
    case SMF_STREAM_MESSAGE:
        heard(side, stream, message, 1);
        break;
    case SMF_STREAM_HALF_CLOSED:
        side->half_closes++;
        if (smf_stream_method(stream) == &kinds[UPLOAD])
            CHECK_EQ(send_name(stream, 5), SMF_OK);
        if (side->to_send == 0)
            smf_stream_end(stream, SMF_CODE_OK);
        break;
    case SMF_STREAM_WRITABLE:
        side->writables++;
        send_on(side, 1);
        break;
    default:
        CHECK_EQ(what, SMF_STREAM_ENDED);
        side->ends++;
        side->code = code;
    }
    return 0;
}

static uint32_t receive(struct smf_stream *stream, uint32_t what, const void *handlers,
                        const void *message, const struct smf_result *result, uint32_t code,
                        void *context)
{
    struct side *side = context;
    struct smf_metadata block;

    CHECK(handlers == &kinds && code == 0);
    switch (what) {
    case SMF_STREAM_MESSAGE:
        heard(side, stream, message, 0);
        break;
    case SMF_STREAM_WRITABLE:
        side->writables++;
        send_on(side, 0);
        break;
    default:
        CHECK_EQ(what, SMF_STREAM_ENDED);
        side->ends++;
        side->status = result->status;
        side->result_code = result->code;
        side->may_have_run = result->may_have_run;
        snprintf(side->message, sizeof side->message, "%s", result->message.data);
        (void)smf_stream_metadata(stream, &block);
        (void)value_of(&block, "reply", side->metadata);
        if (message != NULL)
            snprintf(side->name, sizeof side->name, "%s",
                     smf_flat_get_string(message, NODE_NAME).data);
    }
    return 0;
}

static void problem(const struct smf_call *call, uint32_t code, const char *text, void *context)
{
    (void)context;
    snprintf(rig.problem, sizeof rig.problem, "%s %u %s", call->method->name, code, text);
}

static int dispatch_streams(const void *server, struct smf_core *core,
                            const struct smf_event *event)
{
    struct smf_stream_service streams = {.dispatch = serve,
                                         .handlers = &kinds,
                                         .context = &rig,
                                         .problem = problem};

    (void)server;
    if (event->kind != SMF_EVENT_REQUEST)
        return smf_call_event(core, event);
    for (int i = 0; i < 4; i++) {
        if (event->meta != kinds[i].id)
            continue;
        streams.implemented = i != NONE;
        smf_stream_serve(core, event, &kinds[i], &streams);
        return 1;
    }
    return 0;
}

static const struct smf_service stream_service = {
    "Streams", "a.Streams", "streams.fbs", kinds, 4, SMF_GENERATED_VERSION, dispatch_streams};

static void handle_streams(struct world *world, struct smf_core *core,
                           const struct smf_event *event)
{
    (void)world;
    if (core == rig.world.server)
        smf_router_handle(core, event, rig.router);
    else
        smf_client_handle(core, event, rig.client);
}

static void open_rig(uint32_t calls_max)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;

    memset(&rig, 0, sizeof rig);
    rig.server.opens_with = SMF_CODE_OK;
    world_open(&rig.world, test_seed(), LEVEL2_MEMORY_BYTES, &limits);
    rig.world.handle = handle_streams;
    CHECK_EQ(smf_router_open(&rig.router), SMF_OK);
    CHECK_EQ(smf_router_add(rig.router, &stream_service, &rig, &error), SMF_OK);
    CHECK_EQ(smf_client_open(&rig.client, rig.world.client, calls_max), SMF_OK);
    CHECK_EQ(smf_client_connect_with(rig.client, WORLD_ADDRESS, SMF_CONNECT_HELLO, &error), SMF_OK);
    world_run(&rig.world, 5);
}

/* Everything that was begun is over, and all memory came back. */
static void close_rig(void)
{
    struct smf_core_stats stats;

    world_run(&rig.world, 20);
    CHECK_EQ(smf__streams_found(rig.world.server), 0);
    CHECK_EQ(smf__streams_found(rig.world.client), 0);
    CHECK_EQ(smf_client_in_flight(rig.client), 0);
    CHECK_EQ(smf_core_turn(rig.world.server)->in_flight, 0);
    stats = world_stats(rig.world.server);
    CHECK_LT(stats.memory_used_bytes, 2u << 20);
    stats = world_stats(rig.world.client);
    CHECK_LT(stats.memory_used_bytes, 2u << 20);
    smf_client_close(rig.client);
    smf_router_close(rig.router);
    world_close(&rig.world);
}

static int try_stream(int kind, const struct smf_call_options *options)
{
    struct smf_flat_builder request;
    int status;

    smf_flat_builder_init_core(&request, rig.world.client);
    if (kind == LIST)
        build_node(&request, "what", 4);
    status = smf_client_stream(rig.client, &kinds[kind], kind == LIST ? &request : NULL, options,
                               receive, &kinds, &rig.caller, &rig.caller.stream);
    smf_flat_builder_fini(&request);
    return status;
}

static void open_stream(int kind, const struct smf_call_options *options)
{
    CHECK_EQ(try_stream(kind, options), SMF_OK);
    world_run(&rig.world, 5);
}

static void check_ends(uint32_t server_code, int status, uint32_t code)
{
    CHECK_EQ(rig.server.ends, 1);
    CHECK_EQ(rig.server.code, server_code);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.status, status);
    CHECK_EQ(rig.caller.result_code, code);
}

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
    world_run(&rig.world, 10);
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
        rig.server = (struct side){.opens_with = SMF_CODE_OK, .to_send = 1, .size = 9,
                                   .close_after = 1};
        rig.caller = (struct side){0};
        open_stream(LIST, NULL);
        world_run(&rig.world, 10);
        check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
        CHECK_EQ(rig.caller.messages, 1);
    }
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
    int flips;     /* messages are turned over on their way */
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
        TEST(client_closes),
        TEST(filters_see_messages),
        TEST(compressed_without_a_filter),
        TEST(filters_stop_streams),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
