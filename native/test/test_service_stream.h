/* Both sides of streams, on a simulated network: what they are told, and what they do of it. */
#ifndef SMF_TEST_SERVICE_STREAM_H
#define SMF_TEST_SERVICE_STREAM_H

#include <smf/stream.h>

#include "service/service_stream.h"
#include "test_service_rig.h"

#define SYNC_ID 2001u
#define UPLOAD_ID 2002u
#define LIST_ID 2003u
#define NONE_ID 2004u
#define STAT_ID 2005u
#define LARGE (200u << 10)

static const struct smf_method kinds[] = {
    {"Sync", "a.Node", "a.Node", &node_table, &node_table, SYNC_ID,
     SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT, 0},
    {"Upload", "a.Node", "a.Node", &node_table, &node_table, UPLOAD_ID, SMF_METHOD_STREAM_IN, 0},
    {"List", "a.Node", "a.Node", &node_table, &node_table, LIST_ID, SMF_METHOD_STREAM_OUT, 0},
    {"None", "a.Node", "a.Node", &node_table, &node_table, NONE_ID,
     SMF_METHOD_STREAM_IN | SMF_METHOD_STREAM_OUT, 0},
    {"Stat", "a.Node", "a.Node", &node_table, &node_table, STAT_ID, 0, 0},
};

enum { SYNC, UPLOAD, LIST, NONE, STAT, KINDS };

/* One side of a stream. */
struct side {
    struct smf_stream *stream;
    int opens, messages, half_closes, writables, ends;
    int replies;    /* of a method with one: in ended */
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
    int holds; /* every message */
    int echoes;
    uint32_t opens_with; /* the code of open */
    int ends_in_message, cancels_in_message;
    struct smf_flat_string held; /* the name of the message that is held */
    int opens_again, again;      /* in ended; how that went */
};

struct streams {
    struct world world;
    struct smf_router *router;
    struct smf_client *client;
    struct side server, caller;
    smf_stream_dispatch serve; /* of the server; NULL: the one below */
    char fill;                 /* of names; 0: 'n' */
    int stats;                 /* calls of Stat */
    char problem[128];
};

static struct streams rig;

static inline int send_name(struct smf_stream *stream, uint32_t size)
{
    static char text[BIG_BYTES];
    struct smf_flat_builder *builder = smf_stream_builder(stream);
    int status;

    if (smf_flat_payload(builder) == NULL) {
        memset(text, rig.fill != 0 ? rig.fill : 'n', sizeof text);
        build_node(builder, text, size);
    }
    status = smf_stream_send(stream, builder);
    if (status != SMF_ELIMIT && status != SMF_ENOMEM)
        smf_flat_builder_fini(builder);
    return status;
}

/* Sends as much as goes. */
static inline void send_on(struct side *side, int is_server)
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

static inline void heard(struct side *side, struct smf_stream *stream, const void *message,
                         int is_server)
{
    struct smf_flat_string name = smf_flat_get_string(message, NODE_NAME);

    CHECK(side->ends == 0);
    side->messages++;
    side->bytes += name.size_bytes;
    snprintf(side->name, sizeof side->name, "%s", name.data);
    side->held = name;
    if (side->holds)
        smf_stream_hold(stream);
    if (side->echoes)
        CHECK_EQ(send_name(stream, name.size_bytes), SMF_OK);
    if (side->ends_in_message && is_server)
        smf_stream_end(stream, SMF_CODE_CONFLICT);
    if (side->cancels_in_message && !is_server)
        smf_stream_cancel(stream);
}

static inline uint32_t serve(struct smf_stream *stream, uint32_t what, const void *handlers,
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

static inline uint32_t receive(struct smf_stream *stream, uint32_t what, const void *handlers,
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
        if (side->opens_again)
            side->again = smf_client_stream(rig.client, &kinds[SYNC], NULL, NULL, receive, &kinds,
                                            side, NULL);
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

static inline void problem(const struct smf_call *call, uint32_t code, const char *text,
                           void *context)
{
    (void)context;
    snprintf(rig.problem, sizeof rig.problem, "%s %u %s", call->method->name, code, text);
}

static inline int serve_stat(struct smf_core *core, const struct smf_event *event)
{
    struct smf_call call;

    call.problem = problem;
    call.context = &rig;
    if (smf_call_begin(&call, core, event, &kinds[STAT], 1, 0) == NULL)
        return 1;
    rig.stats++;
    build_node(&call.reply, "stat", 4);
    smf_call_end(&call, SMF_CODE_OK);
    return 1;
}

static inline int dispatch_streams(const void *server, struct smf_core *core,
                                   const struct smf_event *event)
{
    struct smf_stream_service streams = {
        .dispatch = serve, .handlers = &kinds, .context = &rig, .problem = problem};

    (void)server;
    if (event->kind != SMF_EVENT_REQUEST)
        return smf_call_event(core, event);
    if (event->meta == STAT_ID)
        return serve_stat(core, event);
    if (rig.serve != NULL)
        streams.dispatch = rig.serve;
    for (int i = 0; i < STAT; i++) {
        if (event->meta != kinds[i].id)
            continue;
        streams.implemented = i != NONE;
        smf_stream_serve(core, event, &kinds[i], &streams);
        return 1;
    }
    return 0;
}

static const struct smf_service stream_service = {
    "Streams", "a.Streams", "streams.fbs", kinds, KINDS, SMF_GENERATED_VERSION, dispatch_streams};

static inline void handle_streams(struct world *world, struct smf_core *core,
                                  const struct smf_event *event)
{
    (void)world;
    if (core == rig.world.server)
        smf_router_handle(core, event, rig.router);
    else
        smf_client_handle(core, event, rig.client);
}

static inline void open_rig_with(struct smf__rpc_config limits, uint32_t calls_max)
{
    struct smf_error error;

    limits.compressions = 1u << SMF_COMPRESSION_ZSTD | 1u << SMF_COMPRESSION_LZ4;
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

static inline void open_rig(uint32_t calls_max)
{
    open_rig_with(world_limits(), calls_max);
}

/* Everything that was begun is over, and all memory came back. */
static inline void close_rig(void)
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

static inline int try_stream(int kind, const struct smf_call_options *options)
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

static inline void open_stream(int kind, const struct smf_call_options *options)
{
    CHECK_EQ(try_stream(kind, options), SMF_OK);
    world_run(&rig.world, 5);
}

static inline void check_ends(uint32_t server_code, int status, uint32_t code)
{
    CHECK_EQ(rig.server.ends, 1);
    CHECK_EQ(rig.server.code, server_code);
    CHECK_EQ(rig.caller.ends, 1);
    CHECK_EQ(rig.caller.status, status);
    CHECK_EQ(rig.caller.result_code, code);
}

#endif
