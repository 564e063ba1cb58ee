/* Filters around handlers and around calls, on a simulated network: in which order they run, and what they
 * can do to a call. */
#include "test_filter.h"

static void the_order_of_a_stack(void)
{
    struct probe r1, r2, s, m, c1, c2;
    struct smf_error error;
    struct rig rig;

    rig_open(&rig);
    serve_with(&rig, &service, "Echo", &m, "m");
    serve_with(&rig, NULL, NULL, &r1, "r1");
    serve_with(&rig, &service, NULL, &s, "s");
    serve_with(&rig, NULL, NULL, &r2, "r2");
    CHECK_EQ(smf_router_add(rig.router, &other_service, &rig_server, &error), SMF_OK);
    check(&rig, &methods[0], 200, "r1 r2 s m H m' s' r2' r1' m. s. r2. r1. !");
    CHECK_STR(rig.name, "Hello");
    check(&rig, &other_methods[0], 200, "r1 r2 H r2' r1' r2. r1. !");
    CHECK(r1.seen.method == &other_methods[0]);
    CHECK_EQ(r1.seen.side, SMF_FILTER_SERVER);
    CHECK_EQ(r1.done.code, SMF_CODE_OK);
    CHECK_EQ(r1.done.status, SMF_OK);
    CHECK_EQ(r1.done.size_bytes, rig.result.size_bytes);
    CHECK_EQ(r1.done.request_size_bytes, r1.seen.size_bytes);
    call_with(&rig, &c1, "c1");
    call_with(&rig, &c2, "c2");
    check(&rig, &other_methods[0], 200, "c1 c2 r1 r2 H r2' r1' r2. r1. c2' c1' ! c2. c1.");
    CHECK_EQ(c1.seen.side, SMF_FILTER_CLIENT);
    CHECK_EQ(c1.done.code, SMF_CODE_OK);
    rig_close(&rig);
}

static void count_reply(struct smf_filter_call *call, void *context)
{
    CHECK_EQ(*call->own, 0); /* nobody has written to it */
    ++*(int *)context;
}

/* Filters are the router's: what is dispatched by others, even by a handler, passes none. */
static void requests_without_a_router(void)
{
    struct probe filter;
    struct rig rig;

    rig_open(&rig);
    serve_with(&rig, NULL, NULL, &filter, "f");
    rig.nests = 1;
    check(&rig, &methods[0], 200, "f H H f' f. !");
    rig.ignores = 1;
    check(&rig, &methods[0], 404, "!");
    rig.ignores = 0;
    rig.direct = 1;
    check(&rig, &methods[0], 200, "H !");
    rig_close(&rig);
}

static void functions_may_be_left_out(void)
{
    static int replies, ends;
    const struct smf_filter of_reply = {
        .size = sizeof of_reply, .reply = count_reply, .context = &replies};
    const struct smf_filter of_done = {
        .size = sizeof of_done, .done = count_reply, .context = &ends};
    struct probe only_request;
    struct smf_filter filter;
    struct smf_error error;
    struct rig rig;

    rig_open(&rig);
    filter = filter_of(&rig, &only_request, "a");
    filter.reply = filter.done = NULL;
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, &filter, &error), SMF_OK);
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, &of_reply, &error), SMF_OK);
    CHECK_EQ(smf_client_filter(rig.client, &of_done, &error), SMF_OK);
    CHECK_EQ(smf_client_filter(rig.client, &of_reply, &error), SMF_OK);
    check(&rig, &methods[0], 200, "a H !");
    CHECK_EQ(replies, 2);
    CHECK_EQ(ends, 1);
    rig_close(&rig);
}

/* Some calls in one turn. */
static void call_many(struct rig *rig, int count)
{
    int before = rig->answers;

    for (int i = 0; i < count; i++)
        CHECK_EQ(call(rig, &methods[0], 0), SMF_OK);
    world_run(&rig->world, 100);
    CHECK_EQ(rig->answers, before + count);
    CHECK_EQ(rig->failures, 0);
}

static void payloads_are_rewritten(void)
{
    static const uint32_t sizes[] = {0, 1000, 40u << 10, LARGE_BYTES}; /* 0: the name */
    struct probe in, out, client;
    struct rig rig;

    rig_open(&rig);
    serve_with(&rig, NULL, NULL, &out, "o");
    serve_with(&rig, NULL, NULL, &in, "i");
    call_with(&rig, &client, "c");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        in.put_size = out.put_size = client.put_size = sizes[i];
        in.put_request = "changed"; /* the handler answers with it */
        call_many(&rig, 10);
        CHECK_EQ(rig.name_size, sizes[i] != 0 ? sizes[i] : 7);
        in.put_request = NULL;
        in.put_reply = "inner";
        out.put_reply = "answered";
        client.put_request = "sent";
        call_many(&rig, sizes[i] <= 1000 ? 1000 : 10); /* all of them in one turn's memory */
        CHECK_EQ(rig.name_size, sizes[i] != 0 ? sizes[i] : 8);
        CHECK_EQ(in.seen.size_bytes, in.seen.request_size_bytes);
        CHECK_GT(in.seen.size_bytes, sizes[i]); /* what the client's filter has put */
        in.put_reply = out.put_reply = client.put_request = NULL;
        client.put_reply = "heard";
        call_many(&rig, 10);
        CHECK_EQ(rig.name_size, sizes[i] != 0 ? sizes[i] : 5);
        client.put_reply = NULL;
    }
    rig_close(&rig);
}

static void a_filter_stops_a_call(void)
{
    struct probe outer, guard, inner;
    struct rig rig;

    rig_open(&rig);
    serve_with(&rig, NULL, NULL, &outer, "o");
    serve_with(&rig, NULL, NULL, &guard, "g");
    serve_with(&rig, NULL, NULL, &inner, "i");
    guard.stop = SMF_CODE_PERMISSION;
    check(&rig, &methods[0], SMF_CODE_PERMISSION, "o g o' o. !");
    CHECK_STR(rig.problem, "Echo 403 stopped here");
    CHECK_EQ(outer.done.code, SMF_CODE_PERMISSION);
    CHECK_EQ(outer.done.size_bytes, 12); /* an empty table */
    CHECK_EQ(rig.result.size_bytes, 12);
    guard.stop = 7;
    check(&rig, &methods[0], SMF_CODE_INTERNAL, "o g o' o. !");
    guard.stop = SMF_CODE_OK; /* and no reply, which has a name that is required */
    check(&rig, &methods[0], SMF_CODE_INTERNAL, "o g o' o. !");
    CHECK_STR(rig.problem, "Echo 500 no reply was built, and one has fields that are required");
    guard.put_request = "from the cache";
    check(&rig, &methods[0], SMF_CODE_OK, "o g o' o. !");
    CHECK_STR(rig.name, "from the cache");
    outer.put_request = "a request that was rewritten is no reply";
    guard.put_request = NULL;
    check(&rig, &methods[0], SMF_CODE_INTERNAL, "o g o' o. !");
    CHECK_EQ(rig.handled, 0);
    rig_close(&rig);
}

static void codes_are_rewritten(void)
{
    struct probe outer, inner;
    struct rig rig;

    rig_open(&rig);
    serve_with(&rig, NULL, NULL, &outer, "o");
    serve_with(&rig, NULL, NULL, &inner, "i");
    inner.code = SMF_CODE_CONFLICT;
    check(&rig, &methods[0], SMF_CODE_CONFLICT, "o i H i' o' i. o. !");
    CHECK_EQ(rig.result.size_bytes, 12); /* the reply that was built is not sent */
    CHECK_EQ(inner.done.code, SMF_CODE_CONFLICT);
    inner.code = 1000;
    check(&rig, &methods[0], SMF_CODE_INTERNAL, "o i H i' o' i. o. !");
    CHECK_STR(rig.problem, "Echo 500 what a filter has made of the reply's code is none");
    inner.code = 0;
    outer.code = SMF_CODE_OK;
    outer.put_reply = "instead";
    rig.code = SMF_CODE_NOT_FOUND;
    check(&rig, &methods[0], SMF_CODE_OK, "o i H i' o' i. o. !");
    CHECK_STR(rig.name, "instead");
    outer.put_reply = NULL; /* no payload, then */
    rig.builds = 0;
    check(&rig, &methods[0], SMF_CODE_INTERNAL, "o i H i' o' i. o. !");
    rig_close(&rig);
}

/* The reply and done functions run when a call is answered, whenever that is, and the request that was
 * rewritten is there until then. */
static void calls_that_are_deferred(void)
{
    struct probe outer, inner;
    struct rig rig;

    rig_open(&rig);
    serve_with(&rig, NULL, NULL, &outer, "o");
    serve_with(&rig, &service, "Late", &inner, "i");
    inner.put_request = "rewritten";
    CHECK_EQ(call(&rig, &methods[1], 1000000), SMF_OK);
    world_run(&rig.world, 10);
    CHECK_STR(rig.log, "o i H");
    check(&rig, &methods[0], 200, "o H o' o. !"); /* another one meanwhile */
    rig.log[0] = 0;
    build_reply(&rig.later, smf_flat_root(rig.later.payload));
    smf_call_answer(&rig.later, SMF_CODE_OK);
    CHECK_STR(rig.log, "i' o' i. o.");
    world_run(&rig.world, 10);
    CHECK_STR(rig.name, "rewritten");
    inner.put_request = NULL;
    CHECK_EQ(call(&rig, &methods[1], 0), SMF_OK);
    world_run(&rig.world, 100); /* the caller has given up */
    CHECK_EQ(rig.result.status, SMF_ETIMEOUT);
    rig.log[0] = 0;
    smf_call_answer(&rig.later, SMF_CODE_CONFLICT);
    CHECK_STR(rig.log, "i' o' i. o.");
    CHECK_EQ(outer.done.code, SMF_CODE_CONFLICT);
    world_run(&rig.world, 10);
    rig_close(&rig);
}

static size_t request_frame(uint8_t *bytes, uint16_t session, uint8_t compression,
                            const void *payload, uint32_t size)
{
    size_t made = frame_make(bytes, session, ECHO_ID, payload, size);

    bytes[0] = compression;
    return made;
}

/* What is compressed reaches filters as it came, and nobody behind them; what they have compressed says so on
 * the wire. */
static void compressed_payloads(void)
{
    struct probe codec;
    struct rig rig;
    struct raw *raw;
    struct smf_frame frame;
    const uint8_t *payload;
    uint8_t bytes[64];
    size_t at = 0, size = request_frame(bytes, 1, SMF_COMPRESSION_LZ4, "compressed", 10);

    rig_open(&rig);
    serve_with(&rig, NULL, NULL, &codec, "c");
    raw = raw_open(&rig.world);
    CHECK(raw_send(raw, bytes, size));
    world_run(&rig.world, 10);
    CHECK_STR(rig.log, "c c' c.");
    CHECK_STR(rig.problem, "Echo 501 the request is compressed");
    CHECK_EQ(codec.seen.compression, SMF_COMPRESSION_LZ4);
    CHECK_EQ(codec.seen.size_bytes, 10);
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CODE_NOT_IMPLEMENTED);
    codec.put_request = "decompressed";
    CHECK(raw_send(raw, bytes, size));
    world_run(&rig.world, 10);
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CODE_OK);
    CHECK_EQ(frame.compression, SMF_COMPRESSION_NONE);
    CHECK_STR(smf_flat_get_string(smf_flat_root(payload), NODE_NAME).data, "decompressed");
    codec.put_as = SMF_COMPRESSION_ZSTD; /* a filter that makes of it another compression: 501 */
    CHECK(raw_send(raw, bytes, size));
    world_run(&rig.world, 10);
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CODE_NOT_IMPLEMENTED);
    size = request_frame(bytes, 2, SMF_COMPRESSION_DISABLED, "none", 4);
    codec.put_request = NULL;
    CHECK(raw_send(raw, bytes, size));
    world_run(&rig.world, 10);
    CHECK_EQ(codec.seen.compression, SMF_COMPRESSION_DISABLED);
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(frame.meta, SMF_CODE_BAD_REQUEST);
    rig_close(&rig);
}

static void replies_say_how_they_are_compressed(void)
{
    static const uint32_t sizes[] = {100, LARGE_BYTES};
    struct probe codec;
    struct rig rig;
    struct raw *raw;
    struct smf_frame frame;
    const uint8_t *payload;
    uint8_t node[128], bytes[256];
    size_t at = 0, size;

    rig_open(&rig);
    serve_with(&rig, NULL, NULL, &codec, "c");
    raw = raw_open(&rig.world);
    size = request_frame(bytes, 1, 0, node, make_node(node, sizeof node, "Hello", 5));
    for (uint8_t as = 0; as <= SMF_FRAME_COMPRESSION_MAX; as++) {
        for (int i = 0; i < 2; i++) {
            codec.put_reply = "";
            codec.put_size = sizes[i];
            codec.put_as = as;
            CHECK(raw_send(raw, bytes, size));
            world_run(&rig.world, 100);
            CHECK(raw_next(raw, &at, &frame, &payload));
            CHECK_EQ(frame.meta, SMF_CODE_OK);
            CHECK_EQ(frame.compression, as >= SMF_COMPRESSION_ZSTD ? as : 0);
            CHECK_GT(frame.size, sizes[i]);
            CHECK_EQ(codec.done.size_bytes, frame.size);
        }
    }
    codec.put_reply = NULL;
    CHECK_EQ(call(&rig, &methods[0], 0), SMF_OK); /* and the next one not */
    world_run(&rig.world, 10);
    CHECK_EQ(rig.result.status, SMF_OK);
    codec.put_reply = "";
    CHECK_EQ(call(&rig, &methods[0], 0), SMF_OK); /* a client without a filter */
    world_run(&rig.world, 10);
    CHECK_EQ(rig.result.status, SMF_EUNSUPPORTED);
    rig_close(&rig);
}

/* A client's filter ends a call: its callback runs in a later poll, and the server hears nothing. */
static void a_client_stops_a_call(void)
{
    struct probe outer, guard, inner;
    struct rig rig;

    rig_open(&rig);
    call_with(&rig, &outer, "o");
    call_with(&rig, &guard, "g");
    call_with(&rig, &inner, "i");
    guard.stop = SMF_CODE_LIMIT;
    check(&rig, &methods[0], SMF_CODE_LIMIT, "o g o' ! o.");
    guard.put_request = "from the cache";
    guard.stop = SMF_CODE_OK;
    check(&rig, &methods[0], SMF_CODE_OK, "o g o' ! o.");
    CHECK_STR(rig.name, "from the cache");
    outer.put_reply = "changed once more";
    check(&rig, &methods[0], SMF_CODE_OK, "o g o' ! o.");
    CHECK_STR(rig.name, "changed once more");
    for (uint32_t i = 0; i <= SMF_CLIENT_CALLS_DEFAULT; i++) /* no session is lost by it */
        check(&rig, &methods[0], SMF_CODE_OK, "o g o' ! o.");
    CHECK_EQ(rig.world.requests, 0);
    CHECK_EQ(call(&rig, &methods[0], 0), SMF_OK);
    smf_core_disconnect(rig.world.client, smf_client_conn(rig.client));
    world_run(&rig.world, 10); /* the end of the connection does not change the answer */
    CHECK_EQ(rig.answers, 3 + SMF_CLIENT_CALLS_DEFAULT + 1 + 1);
    CHECK_EQ(rig.result.status, SMF_OK);
    CHECK_EQ(smf_client_in_flight(rig.client), 0);
    CHECK_EQ(call(&rig, &methods[0], 0), SMF_ECLOSED);
    rig_close(&rig);
}

static void outcomes_without_a_reply(void)
{
    struct probe outer;
    struct rig rig;

    rig_open(&rig);
    call_with(&rig, &outer, "o");
    CHECK_EQ(call(&rig, &methods[1], 20000), SMF_OK);
    world_run(&rig.world, 30);
    CHECK_EQ(rig.result.status, SMF_ETIMEOUT);
    CHECK_STR(rig.log, "o H o' ! o.");
    CHECK_EQ(outer.done.status, SMF_ETIMEOUT);
    smf_call_answer(&rig.later, SMF_CODE_CONFLICT);
    world_run(&rig.world, 10); /* its reply comes too late for anybody */
    CHECK_STR(rig.log, "o H o' ! o.");
    rig.log[0] = 0;
    outer.makes_ok = 1;
    outer.code = SMF_CODE_OK;
    outer.put_reply = "a default";
    CHECK_EQ(call(&rig, &methods[1], 20000), SMF_OK);
    world_run(&rig.world, 30);
    CHECK_EQ(rig.result.status, SMF_OK);
    CHECK_STR(rig.name, "a default");
    smf_call_answer(&rig.later, SMF_CODE_CONFLICT);
    outer.put_reply = NULL; /* no reply can't be one */
    smf_client_unverified(rig.client, 1);
    CHECK_EQ(call(&rig, &methods[1], 20000), SMF_OK);
    world_run(&rig.world, 30);
    CHECK_EQ(rig.result.status, SMF_EINVAL);
    smf_call_answer(&rig.later, SMF_CODE_CONFLICT);
    outer.makes_ok = 0;
    outer.code = 0;
    rig.log[0] = 0;
    CHECK_EQ(call(&rig, &methods[1], 0), SMF_OK);
    world_run(&rig.world, 10);
    smf_core_disconnect(rig.world.client, smf_client_conn(rig.client));
    world_run(&rig.world, 10);
    CHECK_EQ(rig.result.status, SMF_ECLOSED);
    CHECK_STR(rig.log, "o H o' ! o.");
    smf_call_answer(&rig.later, SMF_CODE_CONFLICT);
    world_run(&rig.world, 10);
    rig_close(&rig);
}

/* A call that can't be sent is over for its filters, too. */
static void a_call_that_is_not_taken(void)
{
    struct smf_flat_builder builder;
    struct probe outer;
    struct rig rig;

    rig_open(&rig);
    call_with(&rig, &outer, "o");
    smf_flat_builder_init_core(&builder, rig.world.client);
    CHECK_EQ(smf_client_call(rig.client, &methods[0], &builder, 0, answered, NULL, &rig),
             SMF_EINVAL); /* nothing was finished */
    CHECK_STR(rig.log, "");
    smf_core_turn(rig.world.client)->send_capacity = 0;
    CHECK_EQ(call(&rig, &methods[0], 0), SMF_ELIMIT);
    CHECK_STR(rig.log, "");
    smf_core_turn(rig.world.client)->send_capacity = SMF__CORE_SENDS_MAX;
    rig.world.client->payload_size_bytes_max = 16;
    outer.put_request = "longer than 16 bytes";
    CHECK_EQ(call(&rig, &methods[0], 0), SMF_EINVAL);
    CHECK_STR(rig.log, "o o.");
    CHECK_EQ(outer.done.status, SMF_EINVAL);
    CHECK_EQ(smf_client_in_flight(rig.client), 0);
    rig_close(&rig);
}

static uint32_t try_memory(struct smf_filter_call *call, void *context)
{
    uint8_t *memory;

    (void)context;
    CHECK_EQ(smf_filter_reserve(call, 0, &memory), SMF_EINVAL);
    CHECK_EQ(smf_filter_reserve(call, MEMORY_BYTES / 8, &memory), SMF_ELIMIT); /* with a header */
    CHECK_EQ(smf_filter_reserve(call, UINT64_MAX, &memory), SMF_ELIMIT);
    CHECK_EQ(smf_filter_commit(call, 1, 0), SMF_EINVAL);
    CHECK_EQ(smf_filter_reserve(call, 100, &memory), SMF_OK);
    CHECK_EQ(smf_filter_commit(call, 0, 0), SMF_EINVAL);
    CHECK_EQ(smf_filter_commit(call, 1, 4), SMF_EINVAL);
    CHECK_EQ(smf_filter_commit(call, 1u << 20, 0), SMF_EINVAL);
    CHECK_EQ(smf_filter_reserve(call, 200, &memory), SMF_OK);
    memcpy(memory, "not a FlatBuffer", 16);
    CHECK_EQ(smf_filter_commit(call, 16, 0), SMF_OK);
    CHECK_EQ(smf_filter_commit(call, 16, 0), SMF_EINVAL);
    CHECK_EQ(smf_filter_reserve(call, 300, &memory), SMF_OK); /* and nothing comes of it */
    return 0;
}

static void memory_of_filters(void)
{
    const struct smf_filter filter = {.size = sizeof filter, .request = try_memory};
    struct smf_error error;
    struct rig rig;

    rig_open(&rig);
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, &filter, &error), SMF_OK);
    for (int i = 0; i < 1000; i++)
        check(&rig, &methods[0], SMF_CODE_BAD_REQUEST, "!");
    rig_close(&rig);
}

static void what_is_refused(void)
{
    struct {
        struct smf_filter filter;
        uint64_t more;
    } newer;
    struct probe probe;
    struct smf_filter filter;
    struct smf_error error;
    struct rig rig;

    rig_open(&rig);
    filter = filter_of(&rig, &probe, "p");
    CHECK_EQ(smf_router_filter(rig.router, &other_service, NULL, &filter, &error), SMF_EINVAL);
    CHECK_STR(error.text,
              "service a.Others of nodes.fbs is not there yet: add it before its filters");
    CHECK_EQ(smf_router_filter(rig.router, &service, "Moan", &filter, &error), SMF_EINVAL);
    CHECK_STR(error.text, "service a.Nodes of nodes.fbs has no method Moan");
    CHECK_EQ(smf_router_filter(rig.router, NULL, "Echo", &filter, &error), SMF_EINVAL);
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, NULL, &error), SMF_EINVAL);
    filter.size = 0;
    CHECK_EQ(smf_client_filter(rig.client, &filter, &error), SMF_EINVAL);
    newer.filter = filter_of(&rig, &probe, "p");
    newer.filter.size = sizeof newer;
    newer.more = 1;
    CHECK_EQ(smf_client_filter(rig.client, &newer.filter, &error), SMF_EUNSUPPORTED);
    newer.more = 0;
    CHECK_EQ(smf_client_filter(rig.client, &newer.filter, &error), SMF_OK);
    memset(&filter, 0, sizeof filter);
    filter.size = sizeof filter;
    CHECK_EQ(smf_client_filter(rig.client, &filter, &error), SMF_EINVAL);
    CHECK_STR(error.text, "a filter needs at least one function: request, reply, done or message");
    filter = filter_of(&rig, &probe, "p");
    CHECK_EQ(call(&rig, &methods[0], 0), SMF_OK);
    CHECK_EQ(smf_client_filter(rig.client, &filter, &error), SMF_EINVAL); /* a call in flight */
    world_run(&rig.world, 10);
    for (uint32_t i = 1; i < SMF_FILTERS_MAX; i++)
        CHECK_EQ(smf_client_filter(rig.client, &filter, &error), SMF_OK);
    CHECK_EQ(smf_client_filter(rig.client, &filter, &error), SMF_ELIMIT);
    for (uint32_t i = 0; i < SMF_FILTERS_MAX; i++)
        CHECK_EQ(smf_router_filter(rig.router, &service, "Late", &filter, &error), SMF_OK);
    CHECK_EQ(smf_router_filter(rig.router, &service, NULL, &filter, &error), SMF_ELIMIT);
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, &filter, &error), SMF_ELIMIT);
    CHECK_EQ(smf_router_filter(rig.router, &service, "Echo", &filter, &error), SMF_OK);
    rig_close(&rig);
}

static const struct test tests[] = {
    TEST(the_order_of_a_stack),
    TEST(requests_without_a_router),
    TEST(functions_may_be_left_out),
    TEST(payloads_are_rewritten),
    TEST(a_filter_stops_a_call),
    TEST(codes_are_rewritten),
    TEST(calls_that_are_deferred),
    TEST(compressed_payloads),
    TEST(replies_say_how_they_are_compressed),
    TEST(a_client_stops_a_call),
    TEST(outcomes_without_a_reply),
    TEST(a_call_that_is_not_taken),
    TEST(memory_of_filters),
    TEST(what_is_refused),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
