/* A service and a client at level 2, on a simulated network: handlers that answer at once or later, and what
 * reaches callbacks. */
#ifndef SMF_TEST_SERVICE_RIG_H
#define SMF_TEST_SERVICE_RIG_H

#include <smf/client.h>
#include <smf/filter.h>

#include "flat_sample.h"
#include "service/service_record.h"
#include "test_level2.h"

#define ECHO_ID 1001u
#define LATE_ID 1002u
#define MISSING_ID 1003u
#define LATER_MAX 4096
#define BIG_BYTES (1u << 20)

/* What smfc would write. */

static const struct smf_method methods[] = {
    {"Echo", "a.Node", "a.Node", &node_table, &node_table, ECHO_ID, 0, 0},
    {"Late", "a.Node", "a.Node", &node_table, &node_table, LATE_ID, SMF_METHOD_SLOW, 0},
    {"Missing", "a.Node", "a.Node", &node_table, &node_table, MISSING_ID, 0, 0},
};

struct rig;

static inline int dispatch(const void *server, struct smf_core *core,
                           const struct smf_event *event);

static const struct smf_service service = {
    "Nodes", "a.Nodes", "nodes.fbs", methods, 3, SMF_GENERATED_VERSION, dispatch};

struct waiting {
    struct smf_call call;
    struct rig *rig;
    uint32_t told;    /* the code that on_cancel got */
    int tells;        /* how often */
    int answer_too;   /* on_cancel answers this call, */
    int answer_other; /* and the one with this number, less 1 */
    int over;
};

struct rig {
    struct world world;
    struct smf_router *router;
    struct smf_client *client;
    uint32_t fails;             /* Echo fails with this code */
    struct smf_failure failure; /* and says this */
    uint32_t late_ms;           /* Echo takes so long */
    uint32_t reply_size;        /* of the name in a reply of Echo; 0: as in the request */
    const char *reply_value;    /* Echo adds it as "reply", */
    uint32_t reply_value_size;
    int add_status; /* which went so */
    int handled;
    struct smf_call seen; /* the last call, when its handler had it */
    char value[64];       /* of "key" in its metadata */
    uint64_t left_us;
    struct waiting *later; /* [LATER_MAX] */
    int later_count;
    int answers;
    struct smf_result result; /* of the last one */
    char name[64];
    uint32_t name_size;
    char reply[64]; /* of "reply" in its metadata */
    uint32_t reply_value_got;
    int entries; /* in its metadata */
    char message[64], details[64], details_type[64];
    int statuses[64]; /* how many answers had -status */
    int pongs, pong_status;
    char problem[128];
};

static inline void build_node(struct smf_flat_builder *builder, const void *name, uint32_t size)
{
    struct smf_flat_string_ref text = smf_flat_build_string(builder, name, size);

    smf_flat_start_table(builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(builder, NODE_NAME, text.ref);
    (void)smf_flat_finish(builder, smf_flat_end_table(builder, NULL, 0), NULL);
}

/* The value of a key as text. */
static inline uint32_t value_of(const struct smf_metadata *block, const char *key, char *text_out)
{
    struct smf_metadata_entry entry = {.value_size_bytes = 0};

    text_out[0] = '\0';
    if (!smf_metadata_find(block, key, strlen(key), &entry))
        return 0;
    snprintf(text_out, 64, "%.*s", (int)entry.value_size_bytes, (const char *)entry.value);
    return entry.value_size_bytes;
}

static inline void look(struct rig *rig, const struct smf_call *call)
{
    struct smf_metadata block;
    int has = smf_call_metadata(call, &block);

    CHECK_EQ(has, call->metadata != NULL);
    rig->handled++;
    rig->seen = *call;
    rig->left_us = smf_call_time_left_us(call);
    (void)value_of(&block, "key", rig->value);
}

static inline uint32_t echo(struct rig *rig, struct smf_call *call, const void *node)
{
    static char big[BIG_BYTES];
    struct smf_flat_string name = smf_flat_get_string(node, NODE_NAME);

    look(rig, call);
    rig->world.clock.now_ns += rig->late_ms * WORLD_MS;
    if (rig->reply_value != NULL)
        rig->add_status =
            smf_call_add_metadata(call, "reply", rig->reply_value, rig->reply_value_size);
    memset(big, 'b', sizeof big);
    build_node(&call->reply, rig->reply_size != 0 ? big : name.data,
               rig->reply_size != 0 ? rig->reply_size : name.size_bytes);
    return rig->fails != 0 ? smf_call_fail(call, rig->fails, &rig->failure) : SMF_CODE_OK;
}

static inline void answer_late(struct waiting *waiting)
{
    if (waiting->over)
        return;
    waiting->over = 1;
    build_node(&waiting->call.reply, "late", 4);
    smf_call_answer(&waiting->call, SMF_CODE_OK);
}

static inline void on_cancel(uint32_t code, void *context)
{
    struct waiting *waiting = context;

    waiting->told = code;
    waiting->tells++;
    CHECK_EQ(smf_call_cancelled(&waiting->call), code);
    if (waiting->answer_too)
        answer_late(waiting);
    if (waiting->answer_other != 0)
        answer_late(&waiting->rig->later[waiting->answer_other - 1]);
}

static inline uint32_t late(struct rig *rig, struct smf_call *call)
{
    struct waiting *waiting = &rig->later[rig->later_count++];

    look(rig, call);
    CHECK_LE(rig->later_count, LATER_MAX);
    memset(waiting, 0, sizeof *waiting);
    waiting->rig = rig;
    (void)smf_call_defer(call, &waiting->call);
    smf_call_on_cancel(&waiting->call, on_cancel, waiting);
    return SMF_CALL_LATER;
}

static inline void told(const struct smf_call *call, uint32_t code, const char *text, void *context)
{
    struct rig *rig = context;

    snprintf(rig->problem, sizeof rig->problem, "%s %u %s", call->method->name, code, text);
}

static inline int dispatch(const void *server, struct smf_core *core, const struct smf_event *event)
{
    struct rig *rig = *(struct rig *const *)server;
    struct smf_call call;
    const void *node;

    if (event->kind != SMF_EVENT_REQUEST)
        return smf_call_event(core, event);
    for (int i = 0; i < 3; i++) {
        if (event->meta != methods[i].id)
            continue;
        call.problem = told;
        call.context = rig;
        node = smf_call_begin(&call, core, event, &methods[i], i != 2, 0);
        if (node != NULL)
            smf_call_end(&call, i == 0 ? echo(rig, &call, node) : late(rig, &call));
        return 1;
    }
    return 0;
}

static inline void handle(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct rig *rig = world->context;

    if (core == world->server)
        smf_router_handle(core, event, rig->router);
    else
        smf_client_handle(core, event, rig->client);
}

static inline void connect_to(struct rig *rig, uint32_t flags)
{
    struct smf_error error;

    CHECK_EQ(smf_client_connect_with(rig->client, WORLD_ADDRESS, flags, &error), SMF_OK);
    world_run(&rig->world, 5);
}

static inline struct rig *rig_with(const struct smf__rpc_config *limits, uint32_t calls_max,
                                   uint32_t flags)
{
    static struct rig rig;
    static struct rig *server;
    struct smf_error error;

    memset(&rig, 0, sizeof rig);
    server = &rig;
    world_open(&rig.world, test_seed(), LEVEL2_MEMORY_BYTES, limits);
    rig.world.context = &rig;
    rig.world.handle = handle;
    rig.later = calloc(LATER_MAX, sizeof *rig.later);
    CHECK(rig.later != NULL);
    CHECK_EQ(smf_router_open(&rig.router), SMF_OK);
    CHECK_EQ(smf_router_add(rig.router, &service, &server, &error), SMF_OK);
    CHECK_EQ(smf_client_open(&rig.client, rig.world.client, calls_max), SMF_OK);
    connect_to(&rig, flags);
    return &rig;
}

static inline struct rig *rig_open(void)
{
    struct smf__rpc_config limits = world_limits();

    return rig_with(&limits, 0, SMF_CONNECT_HELLO);
}

/* Everything that was begun is over. */
static inline void rig_close(struct rig *rig)
{
    struct smf_core_stats stats;

    for (int i = 0; i < rig->later_count; i++)
        answer_late(&rig->later[i]);
    world_run(&rig->world, 5);
    stats = world_stats(rig->world.server);
    CHECK_EQ(smf_core_turn(rig->world.server)->in_flight, 0);
    CHECK_EQ(smf__records_found(rig->world.server), 0);
    CHECK_LT(stats.memory_used_bytes, 2u << 20); /* all came back */
    smf_client_close(rig->client);
    smf_router_close(rig->router);
    world_close(&rig->world);
    free(rig->later);
}

static inline void answered(const struct smf_result *result, const void *reply,
                            smf_client_callback callback, void *context)
{
    struct rig *rig = context;
    struct smf_flat_string name = smf_flat_get_string(reply, NODE_NAME);
    struct smf_metadata_entry entry;
    struct smf_metadata block;
    uint32_t cursor = 0;

    CHECK(callback == NULL);
    CHECK_EQ(reply != NULL, result->status == SMF_OK && result->code == SMF_CODE_OK);
    rig->answers++;
    rig->statuses[-result->status]++;
    rig->result = *result;
    rig->name_size = name.size_bytes;
    snprintf(rig->name, sizeof rig->name, "%s", name.data);
    snprintf(rig->message, sizeof rig->message, "%s", result->message.data);
    snprintf(rig->details, sizeof rig->details, "%.*s", (int)result->details.count,
             (const char *)result->details.data);
    snprintf(rig->details_type, sizeof rig->details_type, "%s", result->details_type.data);
    CHECK_EQ(smf_result_metadata(result, &block), result->metadata != NULL);
    rig->reply_value_got = value_of(&block, "reply", rig->reply);
    for (rig->entries = 0; smf_metadata_next(&block, &cursor, &entry);)
        rig->entries++;
}

static inline int call_sized(struct rig *rig, uint32_t method,
                             const struct smf_call_options *options, uint32_t size)
{
    static char big[BIG_BYTES];
    struct smf_flat_builder builder;
    int status;

    memset(big, 'r', sizeof big);
    smf_flat_builder_init_core(&builder, rig->world.client);
    build_node(&builder, size != 0 ? big : "Hello", size != 0 ? size : 5);
    status =
        smf_client_call_with(rig->client, &methods[method], &builder, options, answered, NULL, rig);
    smf_flat_builder_fini(&builder);
    return status;
}

static inline int call(struct rig *rig, uint32_t method, const struct smf_call_options *options)
{
    return call_sized(rig, method, options, 0);
}

static inline struct smf_call_options with_timeout(uint64_t timeout_us)
{
    return (struct smf_call_options){.size = sizeof(struct smf_call_options),
                                     .timeout_us = timeout_us};
}

/* A block with one entry. */
static inline struct smf_call_options with_key(uint8_t *memory, const char *value, uint32_t size)
{
    struct smf_call_options options = with_timeout(0);
    struct smf_metadata_writer writer;

    smf_metadata_begin(&writer, memory, SMF_METADATA_SIZE_BYTES_MAX, 77);
    CHECK_EQ(smf_metadata_add(&writer, "key", 3, value, size), SMF_OK);
    CHECK_EQ(smf_metadata_end(&writer, &options.metadata_size_bytes), SMF_OK);
    options.metadata = memory;
    return options;
}

/* One call, and how it went. */
static inline const struct smf_result *call_once(struct rig *rig, uint32_t method,
                                                 const struct smf_call_options *options)
{
    int before = rig->answers;

    CHECK_EQ(call(rig, method, options), SMF_OK);
    world_run(&rig->world, 10);
    CHECK_EQ(rig->answers, before + 1);
    return &rig->result;
}

#endif
