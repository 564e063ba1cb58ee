/* Services and clients on a simulated network: what handlers answer, what reaches callbacks, and what
 * happens when something goes wrong in between. */
#include <smf/client.h>

#include "flat_sample.h"
#include "test_sim.h"

#define MEMORY_BYTES (32ull << 20)
#define ECHO_ID 1001u
#define LATE_ID 1002u
#define MISSING_ID 1003u

/* What smfc would write. */

static const struct smf_method methods[] = {
    {"Echo", "a.Node", "a.Node", &node_table, &node_table, ECHO_ID, 0, 0},
    {"Late", "a.Node", "a.Node", &node_table, &node_table, LATE_ID, SMF_METHOD_SLOW, 50000},
    {"Missing", "a.Node", "a.Node", &node_table, &node_table, MISSING_ID, 0, 0},
};

struct node_server {
    void *context;
    int unverified;
    smf_call_problem problem;
    uint32_t (*handlers[3])(struct smf_call *call, const void *node, void *context);
};

static int dispatch(const void *server, struct smf_core *core, const struct smf_event *event)
{
    const struct node_server *node_server = server;

    for (int i = 0; i < 3; i++) {
        struct smf_call call;
        const void *node;

        if (event->meta != methods[i].id)
            continue;
        call.problem = node_server->problem;
        call.context = node_server->context;
        node = smf_call_begin(&call, core, event, &methods[i], node_server->handlers[i] != NULL,
                              node_server->unverified);
        if (node != NULL)
            smf_call_end(&call, node_server->handlers[i](&call, node, node_server->context));
        return 1;
    }
    return 0;
}

static const struct smf_service service = {
    "Nodes", "a.Nodes", "nodes.fbs", methods, 3, SMF_GENERATED_VERSION, dispatch};

/* A server and a client that talk. */
struct pair {
    struct world world;
    struct smf_router *router;
    struct node_server server;
    struct smf_client *client;
    uint32_t code;       /* that the handlers return */
    uint32_t reply_size; /* of the name in a reply; 0: that of the request */
    int interferes;      /* the handler sends something else while it builds */
    struct smf_call later[8];
    int later_count;
    int handled;              /* calls that reached a handler */
    int answers;              /* callbacks that ran */
    struct smf_result result; /* of the last one */
    char name[64];            /* in the last reply */
    uint32_t name_size;
    char problem[128]; /* the last one that the server was told of */
    int again;         /* the callback calls again so often */
    int reconnects;    /* the callback connects again */
};

static void build_node(struct smf_flat_builder *builder, const void *name, uint32_t size)
{
    struct smf_flat_string_ref text = smf_flat_build_string(builder, name, size);

    smf_flat_start_table(builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(builder, NODE_NAME, text.ref);
    (void)smf_flat_finish(builder, smf_flat_end_table(builder, NULL, 0), NULL);
}

static void build_reply(struct pair *pair, struct smf_call *call, const void *node)
{
    static char big[6u << 20];
    struct smf_flat_string name = smf_flat_get_string(node, NODE_NAME);

    memset(big, 'b', sizeof big);
    CHECK_LE(pair->reply_size, sizeof big);
    build_node(&call->reply, pair->reply_size != 0 ? big : name.data,
               pair->reply_size != 0 ? pair->reply_size : name.size_bytes);
}

static uint32_t echo(struct smf_call *call, const void *node, void *context)
{
    struct pair *pair = context;

    pair->handled++;
    build_reply(pair, call, node);
    if (pair->interferes)
        CHECK_EQ(smf_core_send(call->core, call->conn, 999, 200, "something", 9), SMF_OK);
    return pair->code;
}

static uint32_t late(struct smf_call *call, const void *node, void *context)
{
    struct pair *pair = context;

    (void)node;
    pair->handled++;
    CHECK_LT(pair->later_count, 8);
    return smf_call_defer(call, &pair->later[pair->later_count++]);
}

static void told(const struct smf_call *call, uint32_t code, const char *text, void *context)
{
    struct pair *pair = context;

    snprintf(pair->problem, sizeof pair->problem, "%s %u %s", call->method->name, code, text);
}

static void handle(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct pair *pair = world->context;

    if (core == world->server)
        smf_router_handle(core, event, pair->router);
    else
        smf_client_handle(core, event, pair->client);
}

static void pair_open(struct pair *pair, uint32_t calls_max)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;

    memset(pair, 0, sizeof *pair);
    world_open(&pair->world, test_seed(), MEMORY_BYTES, &limits);
    pair->world.context = pair;
    pair->world.handle = handle;
    pair->code = SMF_CODE_OK;
    pair->server.context = pair;
    pair->server.problem = told;
    pair->server.handlers[0] = echo;
    pair->server.handlers[1] = late;
    CHECK_EQ(smf_router_open(&pair->router), SMF_OK);
    CHECK_EQ(smf_router_add(pair->router, &service, &pair->server, &error), SMF_OK);
    CHECK_EQ(smf_client_open(&pair->client, pair->world.client, calls_max), SMF_OK);
    CHECK_EQ(smf_client_connect(pair->client, WORLD_ADDRESS, &error), SMF_OK);
    CHECK_EQ(smf_client_connect(pair->client, WORLD_ADDRESS, &error), SMF_EINVAL);
}

static void pair_close(struct pair *pair)
{
    smf_client_close(pair->client);
    smf_router_close(pair->router);
    world_close(&pair->world);
}

static int call(struct pair *pair, uint32_t method, uint64_t timeout_us);

/* What smfc would write for the callback's type. */
static void answered(const struct smf_result *result, const void *reply,
                     smf_client_callback callback, void *context)
{
    struct pair *pair = context;
    struct smf_flat_string name = smf_flat_get_string(reply, NODE_NAME);
    struct smf_error error;

    CHECK(callback == NULL);
    CHECK_EQ(reply != NULL, result->status == SMF_OK && result->code == SMF_CODE_OK);
    pair->answers++;
    pair->result = *result;
    pair->name_size = name.size_bytes;
    snprintf(pair->name, sizeof pair->name, "%s", name.data);
    if (pair->reconnects > 0) {
        pair->reconnects--;
        CHECK_EQ(smf_client_connect(pair->client, WORLD_ADDRESS, &error), SMF_OK);
    }
    if (pair->again > 0) {
        pair->again--;
        CHECK_EQ(call(pair, 0, 0), SMF_OK);
    }
}

static int call(struct pair *pair, uint32_t method, uint64_t timeout_us)
{
    struct smf_flat_builder builder;
    int status;

    smf_flat_builder_init_core(&builder, pair->world.client);
    build_node(&builder, "Hello", 5);
    status =
        smf_client_call(pair->client, &methods[method], &builder, timeout_us, answered, NULL, pair);
    smf_flat_builder_fini(&builder);
    return status;
}

static void a_call_and_its_answer(void)
{
    struct pair pair;

    pair_open(&pair, 0);
    CHECK_EQ(call(&pair, 0, 0), SMF_OK);
    CHECK_EQ(smf_client_in_flight(pair.client), 1);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 1);
    CHECK_EQ(pair.result.status, SMF_OK);
    CHECK_EQ(pair.result.code, SMF_CODE_OK);
    CHECK_STR(pair.name, "Hello");
    CHECK_EQ(smf_client_in_flight(pair.client), 0);
    pair_close(&pair);
}

/* Calls out of callbacks; sessions come back into use. */
static void calls_from_callbacks(void)
{
    struct pair pair;

    pair_open(&pair, 4);
    pair.again = 1000;
    for (int i = 0; i < 4; i++)
        CHECK_EQ(call(&pair, 0, 0), SMF_OK);
    CHECK_EQ(call(&pair, 0, 0), SMF_ELIMIT);
    world_run(&pair.world, 1000);
    CHECK_EQ(pair.answers, 1004);
    CHECK_EQ(pair.handled, 1004);
    pair_close(&pair);
}

static void check_code(struct pair *pair, uint32_t method, uint32_t code)
{
    int before = pair->answers;

    CHECK_EQ(call(pair, method, 0), SMF_OK);
    world_run(&pair->world, 10);
    CHECK_EQ(pair->answers, before + 1);
    CHECK_EQ(pair->result.status, SMF_OK);
    CHECK_EQ(pair->result.code, code);
}

static void codes(void)
{
    struct pair pair;

    pair_open(&pair, 0);
    pair.code = SMF_CODE_CONFLICT;
    check_code(&pair, 0, SMF_CODE_CONFLICT);
    pair.code = SMF_CODE_OK;
    check_code(&pair, 0, SMF_CODE_OK);
    CHECK_STR(pair.problem, "");
    check_code(&pair, 2, SMF_CODE_NOT_IMPLEMENTED); /* no handler */
    CHECK_STR(pair.problem, "Missing 501 the method has no handler");
    pair.server.problem = NULL;
    check_code(&pair, 2, SMF_CODE_NOT_IMPLEMENTED);
    pair.interferes = 1;
    check_code(&pair, 0, SMF_CODE_OK); /* and the stray frame is no answer to anything */
    CHECK_STR(pair.name, "Hello");
    pair_close(&pair);
}

/* Requests that are none of ours, from a peer that speaks bytes. */
static void bad_requests(void)
{
    static const struct {
        uint32_t meta;
        uint8_t compression;
        uint32_t code;
        const char *problem;
    } cases[] = {
        {ECHO_ID, 0, SMF_CODE_BAD_REQUEST,
         "Echo 400 Node: root offset is out of range (at byte 0)"},
        {77, 0, SMF_CODE_NOT_FOUND, ""},
        {ECHO_ID, SMF_COMPRESSION_LZ4, SMF_CODE_NOT_IMPLEMENTED,
         "Echo 501 the request is compressed"},
        {ECHO_ID, SMF_COMPRESSION_ZSTD, SMF_CODE_NOT_IMPLEMENTED,
         "Echo 501 the request is compressed"},
        {ECHO_ID, SMF_COMPRESSION_DISABLED, SMF_CODE_BAD_REQUEST,
         "Echo 400 Node: root offset is out of range (at byte 0)"},
    };
    struct pair pair;
    struct raw *raw;
    size_t at = 0;

    pair_open(&pair, 0);
    raw = raw_open(&pair.world);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[64];
        size_t size = frame_make(bytes, (uint16_t)(i + 1), cases[i].meta, "not a FlatBuffer", 16);
        struct smf_frame frame;
        const uint8_t *payload;

        pair.problem[0] = 0;
        bytes[0] = cases[i].compression;
        CHECK(raw_send(raw, bytes, size));
        world_run(&pair.world, 10);
        CHECK(raw_next(raw, &at, &frame, &payload));
        CHECK_EQ(frame.session, i + 1);
        CHECK_EQ(frame.meta, cases[i].code);
        CHECK_STR(pair.problem, cases[i].problem);
        CHECK_EQ(frame.size, 12); /* an empty table */
    }
    CHECK_EQ(pair.handled, 0);
    pair_close(&pair);
}

/* Who trusts its peers reads what they send. */
static void unverified(void)
{
    static const uint8_t no_name[] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0};
    struct pair pair;
    struct raw *raw;
    uint8_t bytes[64];
    size_t size = frame_make(bytes, 1, ECHO_ID, no_name, sizeof no_name);

    pair_open(&pair, 0);
    raw = raw_open(&pair.world);
    CHECK(raw_send(raw, bytes, size));
    world_run(&pair.world, 10);
    CHECK_EQ(pair.handled, 0); /* the name is required */
    pair.server.unverified = 1;
    CHECK(raw_send(raw, bytes, size));
    world_run(&pair.world, 10);
    CHECK_EQ(pair.handled, 1);
    pair_close(&pair);
}

/* Replies of the loan's size and beyond, many in one turn. */
static void large_replies(void)
{
    static const uint32_t sizes[] = {1000, 200u << 10, 262100, 300u << 10, 1u << 20, 3u << 20};
    struct pair pair;

    pair_open(&pair, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pair.reply_size = sizes[i];
        for (int k = 0; k < 4; k++)
            CHECK_EQ(call(&pair, 0, 0), SMF_OK);
        world_run(&pair.world, 1000);
        CHECK_EQ(pair.answers, 4 * ((int)i + 1));
        CHECK_EQ(pair.result.code, SMF_CODE_OK);
        CHECK_EQ(pair.name_size, sizes[i]);
    }
    pair.reply_size = 5u << 20; /* over an eighth of the memory */
    check_code(&pair, 0, SMF_CODE_INTERNAL);
    CHECK_STR(pair.problem, "Echo 500 there is no memory for a larger payload");
    pair.reply_size = 0;
    check_code(&pair, 0, SMF_CODE_OK);
    CHECK_LT(world_stats(pair.world.server).memory_used_bytes, 2u << 20); /* all came back */
    pair_close(&pair);
}

static uint32_t build_first(struct smf_call *call, const void *node, void *context)
{
    build_reply(context, call, node);
    return late(call, node, context);
}

static uint32_t defer_twice(struct smf_call *call, const void *node, void *context)
{
    struct pair *pair = context;

    CHECK_EQ(late(call, node, context), SMF_CALL_LATER);
    CHECK_EQ(late(call, node, context), SMF_CALL_LATER);
    pair->later_count--; /* it was not filled */
    build_reply(pair, call, node);
    CHECK_EQ(call->reply.status, SMF_EINVAL);
    CHECK_STR(call->reply.problem,
              "the call was deferred: build in what smf_call_defer has filled");
    return pair->code;
}

static uint32_t leave_open(struct smf_call *call, const void *node, void *context)
{
    (void)node;
    smf_flat_start_table(&call->reply, NODE_SLOTS_SIZE);
    return ((struct pair *)context)->code;
}

static uint32_t not_finished(struct smf_call *call, const void *node, void *context)
{
    (void)node;
    (void)smf_flat_build_text(&call->reply, "text");
    return ((struct pair *)context)->code;
}

static uint32_t nothing(struct smf_call *call, const void *node, void *context)
{
    (void)call, (void)node;
    return ((struct pair *)context)->code;
}

/* Whatever a handler does wrong, its caller hears of it. */
static void handlers_that_are_wrong(void)
{
    static const uint32_t codes_of_none[] = {0, SMF_CALL_LATER, 99, 600, (uint32_t)SMF_EINVAL};
    struct pair pair;

    pair_open(&pair, 0);
    for (size_t i = 0; i < sizeof codes_of_none / sizeof *codes_of_none; i++) {
        pair.code = codes_of_none[i];
        check_code(&pair, 0, SMF_CODE_INTERNAL);
        CHECK_STR(pair.problem,
                  codes_of_none[i] == SMF_CALL_LATER
                      ? "Echo 500 the handler returned SMF_CALL_LATER without smf_call_defer"
                      : "Echo 500 what the handler returned is no code: success is SMF_CODE_OK");
    }
    pair.code = 599;
    check_code(&pair, 0, 599);
    pair.code = SMF_CODE_OK;
    pair.server.handlers[0] = leave_open;
    check_code(&pair, 0, SMF_CODE_INTERNAL);
    CHECK_STR(pair.problem, "Echo 500 the reply was begun and not finished");
    pair.problem[0] = 0;
    pair.server.handlers[0] = not_finished;
    check_code(&pair, 0, SMF_CODE_INTERNAL);
    CHECK_STR(pair.problem, "Echo 500 the reply was begun and not finished");
    pair.server.handlers[0] = nothing; /* a node has a name */
    check_code(&pair, 0, SMF_CODE_INTERNAL);
    CHECK_STR(pair.problem, "Echo 500 no reply was built, and one has fields that are required");
    pair.server.handlers[0] = echo;
    check_code(&pair, 0, SMF_CODE_OK);
    pair_close(&pair);
}

/* What was built before goes on, and is sent later. */
static void a_reply_begun_before_it_was_deferred(void)
{
    struct pair pair;

    pair_open(&pair, 0);
    pair.server.handlers[1] = build_first;
    for (int i = 0; i < 8; i++)
        CHECK_EQ(call(&pair, 1, SMF_CLIENT_NO_TIMEOUT), SMF_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.later_count, 8);
    for (int i = 0; i < 8; i++) {
        smf_call_answer(&pair.later[i], i == 3 ? SMF_CODE_CONFLICT : SMF_CODE_OK);
        world_run(&pair.world, 10);
        CHECK_EQ(pair.answers, i + 1);
        CHECK_STR(pair.name, i == 3 ? "" : "Hello");
    }
    CHECK_LT(world_stats(pair.world.server).memory_used_bytes, 2u << 20); /* all came back */
    pair_close(&pair);
}

/* One answer, whoever gives how many. */
static void answers_that_are_too_many(void)
{
    struct pair pair;

    pair_open(&pair, 0);
    pair.server.handlers[1] = defer_twice; /* and returns a code */
    CHECK_EQ(call(&pair, 1, SMF_CLIENT_NO_TIMEOUT), SMF_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 0);
    smf_call_answer(&pair.later[0], SMF_CODE_CONFLICT);
    smf_call_answer(&pair.later[0], SMF_CODE_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 1);
    CHECK_EQ(pair.result.code, SMF_CODE_CONFLICT);
    check_code(&pair, 0, SMF_CODE_OK);
    pair_close(&pair);
}

static void late_answers(void)
{
    struct pair pair;
    const void *node;

    pair_open(&pair, 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(call(&pair, 1, SMF_CLIENT_NO_TIMEOUT), SMF_OK);
    world_run(&pair.world, 1000);
    CHECK_EQ(pair.answers, 0);
    CHECK_EQ(pair.later_count, 2);
    node = smf_flat_root(pair.later[0].payload); /* the request is still there */
    build_reply(&pair, &pair.later[0], node);
    smf_call_answer(&pair.later[0], SMF_CODE_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 1);
    CHECK_STR(pair.name, "Hello");
    smf_call_answer(&pair.later[1], SMF_CODE_OUT_OF_SPACE);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 2);
    CHECK_EQ(pair.result.code, SMF_CODE_OUT_OF_SPACE);
    pair_close(&pair);
}

/* Any number of builders in the core's memory at once, in any order, also across turns. */
static void builders_side_by_side(void)
{
    static const char *const names[] = {"first", "second", "third", "fourth"};
    struct smf_flat_builder builders[4];
    struct pair pair;

    pair_open(&pair, 0);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 4; i++) {
            smf_flat_builder_init_core(&builders[i], pair.world.client);
            build_node(&builders[i], names[i], (uint32_t)strlen(names[i]));
        }
        for (int k = 0; k < 3; k++) {
            int i = (k + round) % 4; /* one is never sent */

            if (k == 1)
                world_run(&pair.world, 10); /* a turn ends */
            CHECK_EQ(smf_core_send(pair.world.client, smf_client_conn(pair.client), 40000, 1,
                                   "between", 7),
                     SMF_OK);
            CHECK_EQ(
                smf_client_call(pair.client, &methods[0], &builders[i], 0, answered, NULL, &pair),
                SMF_OK);
            CHECK(smf_flat_payload(&builders[i]) == NULL);
            world_run(&pair.world, 10);
            CHECK_EQ(pair.answers, round * 3 + k + 1);
            CHECK_STR(pair.name, names[i]);
        }
        for (int i = 0; i < 4; i++)
            smf_flat_builder_fini(&builders[i]);
    }
    world_run(&pair.world, 10);
    CHECK_LT(world_stats(pair.world.client).memory_used_bytes, 2u << 20); /* all came back */
    pair_close(&pair);
}

/* More builders than a turn has loans for. */
static void very_many_builders(void)
{
    static struct smf_flat_builder builders[2000];
    struct smf__rpc_config limits = world_limits();
    struct world world;
    uint64_t conn;
    struct smf_error error;
    uint32_t sent = 0;

    world_open(&world, test_seed(), 1ull << 30, &limits);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    for (uint32_t i = 0; i < 2000; i++) {
        smf_flat_builder_init_core(&builders[i], world.client);
        build_node(&builders[i], &i, sizeof i);
        CHECK_EQ(builders[i].status, SMF_OK);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        sent += smf_core_send_built(world.client, conn, (uint16_t)i, 1, &builders[i]) == SMF_OK;
        smf_flat_builder_fini(&builders[i]);
    }
    CHECK_EQ(sent, 2000);
    world_run(&world, 100);
    CHECK_EQ(world.requests, 2000);
    CHECK_LT(world_stats(world.client).memory_used_bytes, 2u << 20);
    world_close(&world);
}

/* What was built and not sent is free again at once. */
static void what_is_not_sent_is_given_back(void)
{
    struct smf_flat_builder builder;
    struct smf_turn *turn;
    struct pair pair;
    uint8_t *top;

    pair_open(&pair, 0);
    turn = smf_core_turn(pair.world.client);
    top = turn->loan_top;
    smf_flat_builder_init_core(&builder, pair.world.client);
    build_node(&builder, "Hello", 5);
    CHECK(turn->loan_top == turn->loan);
    smf_flat_builder_fini(&builder);
    CHECK(turn->loan_top == top);
    pair_close(&pair);
}

/* A builder with memory of its own is copied, and may be sent again. */
static void a_builder_of_its_own(void)
{
    struct smf_flat_builder builder;
    struct pair pair;

    pair_open(&pair, 0);
    smf_flat_builder_init(&builder, NULL, 0);
    CHECK_EQ(smf_client_call(pair.client, &methods[0], &builder, 0, answered, NULL, &pair),
             SMF_EINVAL); /* nothing was built */
    CHECK_STR(builder.problem, "nothing was finished");
    build_node(&builder, "kept", 4);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(smf_client_call(pair.client, &methods[0], &builder, 0, answered, NULL, &pair),
                 SMF_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 3);
    CHECK_STR(pair.name, "kept");
    smf_flat_builder_fini(&builder);
    pair_close(&pair);
}

/* A call that is over its time keeps its session until the reply comes. */
static void timeouts(void)
{
    struct pair pair;

    pair_open(&pair, 2);
    CHECK_EQ(call(&pair, 1, 0), SMF_OK);      /* the method's own: 50 ms */
    CHECK_EQ(call(&pair, 1, 200000), SMF_OK); /* 200 ms */
    world_run(&pair.world, 40);
    CHECK_EQ(pair.answers, 0);
    world_run(&pair.world, 30);
    CHECK_EQ(pair.answers, 1);
    CHECK_EQ(pair.result.status, SMF_ETIMEOUT);
    CHECK_EQ(pair.result.code, 0);
    world_run(&pair.world, 100);
    CHECK_EQ(pair.answers, 1);
    world_run(&pair.world, 50);
    CHECK_EQ(pair.answers, 2);
    CHECK_EQ(smf_client_in_flight(pair.client), 0);
    CHECK_EQ(call(&pair, 0, 0), SMF_ELIMIT); /* both sessions are still taken */
    smf_call_answer(&pair.later[0], SMF_CODE_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 2); /* nobody waits for it */
    check_code(&pair, 0, SMF_CODE_OK);
    smf_call_answer(&pair.later[1], SMF_CODE_OK);
    pair_close(&pair);
}

/* A deadline that comes first is met although others were set before; a call in time stays one. */
static void the_earliest_deadline_counts(void)
{
    struct pair pair;

    pair_open(&pair, 0);
    CHECK_EQ(call(&pair, 1, 500000), SMF_OK);
    CHECK_EQ(call(&pair, 0, 100000), SMF_OK);
    CHECK_EQ(call(&pair, 1, 20000), SMF_OK);
    world_run(&pair.world, 30);
    CHECK_EQ(pair.answers, 2);
    CHECK_EQ(pair.result.status, SMF_ETIMEOUT);
    world_run(&pair.world, 400);
    CHECK_EQ(pair.answers, 2);
    world_run(&pair.world, 100);
    CHECK_EQ(pair.answers, 3);
    for (int i = 0; i < pair.later_count; i++)
        smf_call_answer(&pair.later[i], SMF_CODE_OK);
    pair_close(&pair);
}

/* Every call in flight fails with the connection; callbacks may connect again and call. */
static void the_connection_ends(void)
{
    struct pair pair;

    pair_open(&pair, 4);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(call(&pair, 1, SMF_CLIENT_NO_TIMEOUT), SMF_OK);
    world_run(&pair.world, 10);
    pair.reconnects = 1;
    pair.again = 1;
    smf_core_disconnect(pair.world.client, smf_client_conn(pair.client));
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 4);
    CHECK_EQ(pair.result.status, SMF_OK); /* the one on the new connection */
    CHECK_STR(pair.name, "Hello");
    for (int i = 0; i < pair.later_count; i++)
        smf_call_answer(&pair.later[i], SMF_CODE_OK); /* to nobody */
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 4);
    pair_close(&pair);
}

static void nobody_listens(void)
{
    struct smf_error error;
    struct pair pair;

    pair_open(&pair, 0);
    smf_core_disconnect(pair.world.client, smf_client_conn(pair.client));
    world_run(&pair.world, 10);
    CHECK_EQ(smf_client_conn(pair.client), 0);
    CHECK_EQ(call(&pair, 0, 0), SMF_ECLOSED);
    CHECK_EQ(smf_client_connect(pair.client, "nobody", &error), SMF_OK);
    CHECK_EQ(call(&pair, 0, 0), SMF_OK);
    world_run(&pair.world, 100);
    CHECK_EQ(pair.answers, 1);
    CHECK_EQ(pair.result.status, SMF_EREFUSED);
    pair_close(&pair);
}

static void closing_ends_calls(void)
{
    struct pair pair;
    struct smf_call *later = pair.later;

    pair_open(&pair, 0);
    CHECK_EQ(call(&pair, 1, 0), SMF_OK);
    world_run(&pair.world, 10);
    smf_client_close(pair.client);
    CHECK_EQ(pair.answers, 1);
    CHECK_EQ(pair.result.status, SMF_ECLOSED);
    CHECK_EQ(smf_client_open(&pair.client, pair.world.client, 0), SMF_OK);
    smf_call_answer(&later[0], SMF_CODE_OK);
    pair_close(&pair);
}

/* A reply that is none, and one that nobody asked for. */
static void bad_replies(void)
{
    struct pair pair;

    pair_open(&pair, 0);
    CHECK_EQ(call(&pair, 1, SMF_CLIENT_NO_TIMEOUT), SMF_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(smf_core_send(pair.world.server, pair.later[0].conn, 4000, 200, "stray", 5), SMF_OK);
    CHECK_EQ(smf_core_send(pair.world.server, pair.later[0].conn, 0, 200, "stray", 5), SMF_OK);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 0);
    CHECK_EQ(smf_core_send(pair.world.server, pair.later[0].conn, pair.later[0].session, 200,
                           "not a FlatBuffer", 16),
             SMF_OK);
    smf_core_release(pair.world.server, pair.later[0].buffer);
    world_run(&pair.world, 10);
    CHECK_EQ(pair.answers, 1);
    CHECK_EQ(pair.result.status, SMF_EINVAL);
    CHECK_EQ(pair.result.code, 200);
    pair.code = SMF_CODE_OK;
    pair.server.handlers[2] = late;
    pair_close(&pair);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(a_call_and_its_answer),
        TEST(calls_from_callbacks),
        TEST(codes),
        TEST(bad_requests),
        TEST(unverified),
        TEST(large_replies),
        TEST(handlers_that_are_wrong),
        TEST(a_reply_begun_before_it_was_deferred),
        TEST(answers_that_are_too_many),
        TEST(late_answers),
        TEST(builders_side_by_side),
        TEST(very_many_builders),
        TEST(what_is_not_sent_is_given_back),
        TEST(a_builder_of_its_own),
        TEST(timeouts),
        TEST(the_earliest_deadline_counts),
        TEST(the_connection_ends),
        TEST(nobody_listens),
        TEST(closing_ends_calls),
        TEST(bad_replies),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
