/* A server and a client that talk on a simulated network, with filters that write down when they run and do what
 * they are told. */
#ifndef SMF_TEST_FILTER_H
#define SMF_TEST_FILTER_H

#include <smf/filter.h>

#include "flat_sample.h"
#include "test_sim.h"

#define MEMORY_BYTES (32ull << 20)
#define ECHO_ID 1001u
#define LATE_ID 1002u
#define OTHER_ID 1003u
#define LARGE_BYTES (300u << 10) /* more than a loan */

static const struct smf_method methods[] = {
    {"Echo", "a.Node", "a.Node", &node_table, &node_table, ECHO_ID, 0, 0},
    {"Late", "a.Node", "a.Node", &node_table, &node_table, LATE_ID, SMF_METHOD_SLOW, 50000},
};

static const struct smf_method other_methods[] = {
    {"Other", "a.Node", "a.Node", &node_table, &node_table, OTHER_ID, 0, 0},
};

struct rig;

/* A filter that writes down when it runs, and does what it is told. */
struct probe {
    struct rig *rig;
    const char *name;
    uint32_t stop;           /* request returns it */
    const char *put_request; /* the name in the request that it puts */
    uint32_t put_size;       /* or how long one is */
    uint8_t put_as;          /* enum smf_compression */
    const char *put_reply;   /* likewise, of the reply */
    uint32_t code;           /* of the reply, or 0 */
    int makes_ok;            /* the status of an outcome becomes SMF_OK */
    struct smf_filter_call seen, done;
};

struct rig {
    struct world world;
    struct smf_router *router;
    struct smf_client *client;
    char log[512];
    char problem[128];
    uint32_t code; /* that handlers return */
    int builds;    /* they build a reply */
    int nests;     /* they hand a request to another service, without a router */
    int ignores;   /* the service answers without beginning a call */
    int direct;    /* requests reach the service without a router */
    int handled;
    struct smf_call later;
    int deferred;
    int answers;
    int failures; /* those without a reply */
    struct smf_result result;
    char name[64]; /* in the last reply, of name_size bytes */
    uint32_t name_size;
};

static inline void note(struct rig *rig, const char *name, const char *what)
{
    size_t used = strlen(rig->log);

    snprintf(rig->log + used, sizeof rig->log - used, "%s%s%s", used > 0 ? " " : "", name, what);
}

static inline uint32_t make_node(uint8_t *memory, uint32_t capacity, const char *name,
                                 uint32_t size)
{
    struct smf_flat_builder builder;
    struct smf_flat_string_ref text;
    uint32_t made;

    smf_flat_builder_init(&builder, NULL, 0);
    text = smf_flat_build_string(&builder, name, size);
    smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(&builder, NODE_NAME, text.ref);
    CHECK_EQ(smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL), SMF_OK);
    made = smf_flat_size_bytes(&builder);
    CHECK_LE(made, capacity);
    memcpy(memory, smf_flat_payload(&builder), made);
    smf_flat_builder_fini(&builder);
    return made;
}

static inline void put_node(struct smf_filter_call *call, const struct probe *probe,
                            const char *name)
{
    static char big[LARGE_BYTES];
    static uint8_t made[LARGE_BYTES + 1000];
    uint32_t size;

    memset(big, 'b', sizeof big);
    CHECK_LE(probe->put_size, sizeof big);
    size = make_node(made, sizeof made, probe->put_size != 0 ? big : name,
                     probe->put_size != 0 ? probe->put_size : (uint32_t)strlen(name));
    CHECK_EQ(smf_filter_put(call, made, size, probe->put_as), SMF_OK);
}

static inline uint32_t on_request(struct smf_filter_call *call, void *context)
{
    struct probe *probe = context;

    note(probe->rig, probe->name, "");
    CHECK_EQ(*call->own, 0);
    *call->own = (uintptr_t)probe;
    probe->seen = *call;
    if (probe->put_request != NULL)
        put_node(call, probe, probe->put_request);
    if (probe->stop != 0)
        call->problem = "stopped here";
    return probe->stop;
}

static inline void on_reply(struct smf_filter_call *call, void *context)
{
    struct probe *probe = context;

    note(probe->rig, probe->name, "'");
    CHECK_EQ(*call->own, (uintptr_t)probe);
    if (probe->code != 0)
        call->code = probe->code;
    if (probe->makes_ok)
        call->status = SMF_OK;
    if (probe->put_reply != NULL)
        put_node(call, probe, probe->put_reply);
}

static inline void on_done(struct smf_filter_call *call, void *context)
{
    struct probe *probe = context;

    note(probe->rig, probe->name, ".");
    CHECK_EQ(*call->own, (uintptr_t)probe);
    CHECK(call->payload == NULL);
    probe->done = *call;
}

static inline struct smf_filter filter_of(struct rig *rig, struct probe *probe, const char *name)
{
    memset(probe, 0, sizeof *probe);
    probe->rig = rig;
    probe->name = name;
    return (struct smf_filter){.size = sizeof(struct smf_filter),
                               .request = on_request,
                               .reply = on_reply,
                               .done = on_done,
                               .context = probe};
}

/* What smfc would write. */

static inline void told(const struct smf_call *call, uint32_t code, const char *text, void *context)
{
    struct rig *rig = context;

    snprintf(rig->problem, sizeof rig->problem, "%s %u %s", call->method->name, code, text);
}

static inline void build_reply(struct smf_call *call, const void *node)
{
    struct smf_flat_string name = smf_flat_get_string(node, NODE_NAME);
    struct smf_flat_string_ref text =
        smf_flat_build_string(&call->reply, name.data, name.size_bytes);

    smf_flat_start_table(&call->reply, NODE_SLOTS_SIZE);
    smf_flat_add_ref(&call->reply, NODE_NAME, text.ref);
    (void)smf_flat_finish(&call->reply, smf_flat_end_table(&call->reply, NULL, 0), NULL);
}

static const struct smf_service other_service;
static struct rig *rig_server; /* what the services get */

static inline uint32_t handle_call(struct rig *rig, struct smf_call *call, const void *node)
{
    rig->handled++;
    note(rig, "H", "");
    if (rig->nests) {
        const struct smf_event event = {.kind = SMF_EVENT_REQUEST,
                                        .meta = OTHER_ID,
                                        .session = 999,
                                        .conn = call->conn,
                                        .payload = call->payload,
                                        .size_bytes = call->size_bytes,
                                        .buffer = call->buffer};

        rig->nests = 0;
        CHECK_EQ(other_service.dispatch(&rig_server, call->core, &event), 1);
    }
    if (call->method->id == LATE_ID) {
        rig->deferred = 1;
        return smf_call_defer(call, &rig->later);
    }
    if (rig->builds)
        build_reply(call, node);
    return rig->code;
}

static inline int dispatch_of(struct rig *rig, struct smf_core *core, const struct smf_event *event,
                              const struct smf_method *method)
{
    struct smf_call call;
    const void *node;

    if (event->meta != method->id)
        return 0;
    call.problem = told;
    call.context = rig;
    node = smf_call_begin(&call, core, event, method, 1, 0);
    if (node != NULL)
        smf_call_end(&call, handle_call(rig, &call, node));
    return 1;
}

static inline int dispatch(const void *server, struct smf_core *core, const struct smf_event *event)
{
    struct rig *rig = *(struct rig *const *)server;

    if (rig->ignores)
        return smf_core_send_code(core, event->conn, event->session, 404) == SMF_OK;
    return dispatch_of(rig, core, event, &methods[0]) || dispatch_of(rig, core, event, &methods[1]);
}

static inline int dispatch_other(const void *server, struct smf_core *core,
                                 const struct smf_event *event)
{
    return dispatch_of(*(struct rig *const *)server, core, event, &other_methods[0]);
}

static const struct smf_service service = {
    "Nodes", "a.Nodes", "nodes.fbs", methods, 2, SMF_GENERATED_VERSION, dispatch};
static const struct smf_service other_service = {
    "Others", "a.Others", "nodes.fbs", other_methods, 1, SMF_GENERATED_VERSION, dispatch_other};

static inline void handle(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct rig *rig = world->context;

    if (core == world->server && rig->direct && event->kind == SMF_EVENT_REQUEST)
        CHECK_EQ(service.dispatch(&rig_server, core, event), 1);
    else if (core == world->server)
        smf_router_handle(core, event, rig->router);
    else
        smf_client_handle(core, event, rig->client);
}

static inline void rig_open(struct rig *rig)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;

    memset(rig, 0, sizeof *rig);
    world_open(&rig->world, test_seed(), MEMORY_BYTES, &limits);
    rig->world.context = rig_server = rig;
    rig->world.handle = handle;
    rig->code = SMF_CODE_OK;
    rig->builds = 1;
    CHECK_EQ(smf_router_open(&rig->router), SMF_OK);
    CHECK_EQ(smf_router_add(rig->router, &service, &rig_server, &error), SMF_OK);
    CHECK_EQ(smf_client_open(&rig->client, rig->world.client, 0), SMF_OK);
    CHECK_EQ(smf_client_connect(rig->client, WORLD_ADDRESS, &error), SMF_OK);
}

static inline void rig_close(struct rig *rig)
{
    smf_client_close(rig->client);
    CHECK_LT(world_stats(rig->world.server).memory_used_bytes, 2u << 20); /* all came back */
    CHECK_LT(world_stats(rig->world.client).memory_used_bytes, 2u << 20);
    smf_router_close(rig->router);
    world_close(&rig->world);
}

static inline void serve_with(struct rig *rig, const struct smf_service *of, const char *method,
                              struct probe *probe, const char *name)
{
    struct smf_filter filter = filter_of(rig, probe, name);
    struct smf_error error;

    CHECK_EQ(smf_router_filter(rig->router, of, method, &filter, &error), SMF_OK);
}

static inline void call_with(struct rig *rig, struct probe *probe, const char *name)
{
    struct smf_filter filter = filter_of(rig, probe, name);
    struct smf_error error;

    CHECK_EQ(smf_client_filter(rig->client, &filter, &error), SMF_OK);
}

static inline void answered(const struct smf_result *result, const void *reply,
                            smf_client_callback callback, void *context)
{
    struct rig *rig = context;
    struct smf_flat_string name = smf_flat_get_string(reply, NODE_NAME);

    CHECK(callback == NULL);
    CHECK_EQ(reply != NULL, result->status == SMF_OK && result->code == SMF_CODE_OK);
    note(rig, "!", "");
    rig->answers++;
    rig->failures += reply == NULL;
    rig->result = *result;
    rig->name_size = name.size_bytes;
    snprintf(rig->name, sizeof rig->name, "%s", name.data);
}

static inline int call(struct rig *rig, const struct smf_method *method, uint64_t timeout_us)
{
    struct smf_flat_builder builder;
    struct smf_flat_string_ref text;
    int status;

    smf_flat_builder_init_core(&builder, rig->world.client);
    text = smf_flat_build_string(&builder, "Hello", 5);
    smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(&builder, NODE_NAME, text.ref);
    (void)smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL);
    status = smf_client_call(rig->client, method, &builder, timeout_us, answered, NULL, rig);
    smf_flat_builder_fini(&builder);
    return status;
}

/* One call, and what became of it. */
static inline void check(struct rig *rig, const struct smf_method *method, uint32_t code,
                         const char *log)
{
    int before = rig->answers;

    rig->log[0] = rig->problem[0] = 0;
    CHECK_EQ(call(rig, method, 0), SMF_OK);
    CHECK_EQ(rig->answers, before);
    world_run(&rig->world, 10);
    CHECK_EQ(rig->answers, before + 1);
    CHECK_EQ(rig->result.status, SMF_OK);
    CHECK_EQ(rig->result.code, code);
    CHECK_STR(rig->log, log);
}

#endif
