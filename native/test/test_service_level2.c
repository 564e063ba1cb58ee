/* Services and clients at level 2, on a simulated network: metadata, deadlines, errors, callers who give up,
 * one-way messages, and what servers of level 1 make of it. */
#include "frame/frame_error.h"
#include "test_service_rig.h"

static void metadata_both_ways(void)
{
    static char large[SMF_METADATA_SIZE_BYTES_MAX];
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options = with_key(memory, "value", 5);
    static const uint32_t sizes[] = {0, 1, 200, 240, 241, 5000, 16359};
    struct rig *rig = rig_open();

    memset(large, 'm', sizeof large);
    CHECK_EQ(call_once(rig, 0, &options)->code, SMF_CODE_OK);
    CHECK_STR(rig->value, "value");
    CHECK_EQ(rig->seen.level, 2);
    CHECK_EQ(rig->seen.deadline_ns, 0); /* what the block said of time does not count */
    CHECK(rig->result.metadata == NULL);
    CHECK_STR(rig->name, "Hello");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rig->reply_value = large;
        rig->reply_value_size = sizes[i];
        CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK);
        CHECK_EQ(rig->add_status, SMF_OK);
        CHECK(rig->result.metadata != NULL);
        CHECK_EQ(rig->reply_value_got, sizes[i]);
        CHECK_STR(rig->name, "Hello");
        CHECK(rig->seen.metadata == NULL);
    }
    rig->reply_value_size = sizeof large; /* too much: it is not there, and nothing else suffers */
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK);
    CHECK_EQ(rig->add_status, SMF_ELIMIT);
    rig->reply_value_size = 3;
    rig->fails = SMF_CODE_CONFLICT; /* metadata goes with errors, too */
    CHECK_EQ(call_once(rig, 0, &options)->code, SMF_CODE_CONFLICT);
    CHECK_STR(rig->reply, "mmm");
    CHECK_EQ(smf_call_add_metadata(&rig->later[0].call, "late", "x", 1), SMF_EINVAL);
    rig_close(rig);
}

/* Entries of one reply, before and after it is deferred; one that is refused takes no other with it. */
static void metadata_of_late_replies(void)
{
    static char large[SMF_METADATA_SIZE_BYTES_MAX];
    struct rig *rig = rig_open();
    struct smf_call *later = &rig->later[0].call;

    CHECK_EQ(call(rig, 1, NULL), SMF_OK);
    world_run(&rig->world, 5);
    CHECK_EQ(smf_call_add_metadata(later, "one", "1", 1), SMF_OK);
    CHECK_EQ(smf_call_add_metadata(later, "Not-A-Key", "1", 1), SMF_EINVAL);
    CHECK_EQ(smf_call_add_metadata(later, "large", large, 1000), SMF_OK);
    CHECK_EQ(smf_call_add_metadata(later, "larger", large, sizeof large), SMF_ELIMIT);
    CHECK_EQ(smf_call_add_metadata(later, "reply", "2", 1), SMF_OK);
    answer_late(&rig->later[0]);
    CHECK_EQ(smf_call_add_metadata(later, "three", "3", 1), SMF_EINVAL);
    world_run(&rig->world, 5);
    CHECK_STR(rig->reply, "2");
    CHECK_EQ(rig->entries, 3);
    CHECK_STR(rig->name, "late");
    rig_close(rig);
}

static void deadlines_travel(void)
{
    struct smf_call_options options = with_timeout(250000), hours = with_timeout(7200000000u);
    struct rig *rig = rig_open();

    CHECK_EQ(call_once(rig, 0, &options)->code, SMF_CODE_OK);
    CHECK_LE(rig->left_us, 250000);
    CHECK_GT(rig->left_us, 200000);
    CHECK_GT(rig->seen.deadline_ns, 0);
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK);
    CHECK_EQ(rig->seen.deadline_ns, 0);
    CHECK_EQ(rig->left_us, SMF_CLIENT_NO_TIMEOUT);
    CHECK_EQ(call_once(rig, 0, &hours)->code, SMF_CODE_OK); /* the wire has no room for it */
    CHECK_EQ(rig->seen.deadline_ns, 0);
    rig->late_ms = 300; /* its own time is up before it returns: that is its caller's business */
    CHECK_EQ(call_once(rig, 0, &options)->status, SMF_ETIMEOUT);
    CHECK_EQ(smf_client_in_flight(rig->client), 0);
    rig_close(rig);
}

/* A request with a block that says how much time is left. */
static void raw_request(struct raw *raw, uint16_t session, uint32_t method, uint8_t flags,
                        uint32_t left_us)
{
    struct smf_metadata_writer writer;
    struct smf_flat_builder builder;
    uint8_t payload[256];
    uint32_t block, size;

    smf_metadata_begin(&writer, payload, sizeof payload, left_us);
    CHECK_EQ(smf_metadata_end(&writer, &block), SMF_OK);
    smf_flat_builder_init(&builder, NULL, 0);
    build_node(&builder, "raw", 3);
    size = smf_flat_size_bytes(&builder);
    memcpy(payload + block, smf_flat_payload(&builder), size);
    smf_flat_builder_fini(&builder);
    CHECK(raw_frame(raw,
                    (struct smf_frame){.flags = flags | SMF_FRAME_METADATA,
                                       .session = session,
                                       .size = block + size,
                                       .meta = method},
                    payload));
}

static void late_work_is_not_started(void)
{
    struct rig *rig = rig_open();
    struct raw *raw = raw_open2(&rig->world);
    struct smf_frame frame;
    const uint8_t *payload;
    size_t at = 0;
    int refused = 0, served = 0;

    rig->late_ms = 20;
    raw_request(raw, 1, ECHO_ID, 0, 500000);
    raw_request(raw, 2, ECHO_ID, 0, 10000); /* is over when the first one is */
    raw_request(raw, 3, ECHO_ID, 0, 0);
    world_run(&rig->world, 50);
    while (raw_next2(raw, &at, &frame, &payload)) {
        served += frame.meta == SMF_CODE_OK && frame.flags == 0;
        if (frame.session != 2)
            continue;
        refused++;
        CHECK_EQ(frame.meta, SMF_CODE_DEADLINE);
        CHECK_EQ(frame.flags, SMF_FRAME_RESET);
        CHECK_GT(frame.size, 0);
    }
    CHECK_EQ(refused, 1);
    CHECK_EQ(served, 2);
    CHECK_EQ(rig->handled, 2);
    CHECK_STR(rig->problem, "Echo 408 its deadline has passed");
    rig_close(rig);
}

/* What no handler saw is refused by a reset that says why. */
static void refusals(void)
{
    static const struct {
        uint32_t method, code;
        uint8_t flags, compression;
        const char *message;
    } cases[] = {
        {77, SMF_CODE_NOT_FOUND, 0, 0, "no such method"},
        {MISSING_ID, SMF_CODE_NOT_IMPLEMENTED, 0, 0, "the method has no handler"},
        {ECHO_ID, SMF_CODE_BAD_REQUEST, 0, 0, "Node: root offset is out of range (at byte 0)"},
        {ECHO_ID, SMF_CODE_NOT_IMPLEMENTED, 0, SMF_COMPRESSION_ZSTD, "the request is compressed"},
        {ECHO_ID, SMF_CODE_BAD_REQUEST, SMF_FRAME_STREAM, 0,
         "the method does not stream: call it without"},
        {77, SMF_CODE_NOT_FOUND, SMF_FRAME_STREAM, 0, "no such method"},
    };
    struct smf_call_options options = with_timeout(0);
    uint8_t payload[256];
    struct smf__error error;
    struct rig *rig = rig_open();
    struct raw *raw = raw_open2(&rig->world);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct smf_frame frame = {.compression = cases[i].compression,
                                  .flags = cases[i].flags,
                                  .session = (uint16_t)(i + 1),
                                  .size = 16,
                                  .meta = cases[i].method};

        CHECK(raw_frame(raw, frame, "not a FlatBuffer"));
        world_run(&rig->world, 10);
        frame = raw_only(raw, payload);
        CHECK_EQ(frame.flags & ~SMF_FRAME_STREAM, SMF_FRAME_RESET);
        CHECK_EQ(frame.meta, cases[i].code);
        CHECK_EQ(frame.session, i + 1);
        CHECK_GT(frame.size, 0);
        CHECK_EQ(smf__error_read(payload, frame.size, &error, NULL), SMF_OK);
        CHECK_STR(error.message.data, cases[i].message);
        CHECK_EQ(error.may_have_run, false);
    }
    CHECK_EQ(rig->handled, 0);
    CHECK_EQ(call_once(rig, 2, NULL)->code, SMF_CODE_NOT_IMPLEMENTED);
    CHECK_EQ(rig->result.may_have_run, 0);
    CHECK_STR(rig->message, "the method has no handler");
    options.flags = SMF_CALL_ONE_WAY;
    CHECK_EQ(call(rig, 2, &options), SMF_OK);
    world_run(&rig->world, 10);
    CHECK_EQ(smf_core_turn(rig->world.server)->in_flight, 0);
    rig_close(rig);
}

static void errors_say_more(void)
{
    static char long_text[6000];
    struct rig *rig = rig_open();

    rig->fails = SMF_CODE_LIMIT;
    rig->failure = (struct smf_failure){.message = "slower",
                                        .details = "bytes",
                                        .details_type = "a.Node",
                                        .details_size_bytes = 5,
                                        .retry_after_ms = 50};
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_LIMIT);
    CHECK_STR(rig->message, "slower");
    CHECK_STR(rig->details, "bytes");
    CHECK_STR(rig->details_type, "a.Node");
    CHECK_EQ(rig->result.retry_after_ms, 50);
    CHECK_EQ(rig->result.may_have_run, 1);
    rig->failure = (struct smf_failure){.has_not_run = 1};
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_LIMIT);
    CHECK_EQ(rig->result.may_have_run, 0);
    CHECK_STR(rig->message, "");
    memset(long_text, 'x', sizeof long_text - 1);
    memcpy(long_text + 4095, "\xc3\xa9", 2); /* a letter on the border */
    rig->failure = (struct smf_failure){.message = long_text};
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_LIMIT);
    CHECK_EQ(rig->result.message.size_bytes, 4095);
    CHECK_EQ(call(rig, 1, NULL), SMF_OK);
    world_run(&rig->world, 5);
    rig->failure.message = "late";
    rig->later[0].over = 1;
    smf_call_answer(&rig->later[0].call,
                    smf_call_fail(&rig->later[0].call, SMF_CODE_CONFLICT, &rig->failure));
    world_run(&rig->world, 5);
    CHECK_EQ(rig->result.code, SMF_CODE_CONFLICT);
    CHECK_STR(rig->message, "late");
    CHECK_EQ(call(rig, 1, NULL), SMF_OK); /* said of another code than it is answered with */
    world_run(&rig->world, 5);
    rig->later[1].over = 1;
    (void)smf_call_fail(&rig->later[1].call, SMF_CODE_CONFLICT, &rig->failure);
    smf_call_answer(&rig->later[1].call, SMF_CODE_NOT_FOUND);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->result.code, SMF_CODE_NOT_FOUND);
    CHECK_STR(rig->message, "");
    rig->fails = SMF_CODE_OK + 0;
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_INTERNAL); /* no failure has that code */
    rig_close(rig);
}

/* The server hears that the time of a call is up, and its session is free when it has answered. */
static void calls_that_time_out(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_call_options options = with_timeout(50000);
    struct rig *rig = rig_with(&limits, 1, SMF_CONNECT_HELLO);

    CHECK_EQ(call(rig, 1, &options), SMF_OK);
    world_run(&rig->world, 10);
    CHECK_EQ(smf_call_cancelled(&rig->later[0].call), 0);
    world_run(&rig->world, 50);
    CHECK_EQ(rig->answers, 1);
    CHECK_EQ(rig->result.status, SMF_ETIMEOUT);
    CHECK_EQ(rig->result.may_have_run, 1);
    CHECK_EQ(rig->later[0].told, SMF_CODE_DEADLINE);
    CHECK_EQ(rig->later[0].tells, 1);
    CHECK_EQ(call(rig, 0, NULL), SMF_ELIMIT); /* the only session is not free yet */
    answer_late(&rig->later[0]);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->answers, 1);
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK);
    rig_close(rig);
}

static void calls_are_given_up(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_call_options options = with_timeout(0);
    struct rig *rig = rig_with(&limits, 2, SMF_CONNECT_HELLO);
    uint64_t number = 0, first;

    options.call_out = &number;
    CHECK_EQ(call(rig, 1, &options), SMF_OK);
    first = number;
    world_run(&rig->world, 5);
    CHECK_EQ(smf_client_cancel(rig->client, first + 1), SMF_ENOTFOUND);
    CHECK_EQ(smf_client_cancel(rig->client, 0), SMF_ENOTFOUND);
    CHECK_EQ(smf_client_cancel(rig->client, UINT64_MAX), SMF_ENOTFOUND); /* of no slot */
    rig->later[0].answer_too = 1;
    CHECK_EQ(smf_client_cancel(rig->client, first), SMF_OK);
    CHECK_EQ(rig->answers, 1); /* at once */
    CHECK_EQ(rig->result.status, SMF_ECANCELLED);
    CHECK_EQ(smf_client_cancel(rig->client, first), SMF_ENOTFOUND);
    CHECK_EQ(smf_client_in_flight(rig->client), 0);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->later[0].told, SMF_CODE_CANCELLED);
    CHECK_EQ(rig->later[0].over, 1);
    CHECK_EQ(rig->answers, 1);
    for (int i = 0; i < 2; i++) /* in the turn in which it is sent, too */
        CHECK_EQ(call(rig, 1, &options), SMF_OK);
    CHECK_NE(number, first);
    CHECK_EQ(smf_client_cancel(rig->client, number), SMF_OK);
    CHECK_EQ(call(rig, 1, &options), SMF_ELIMIT);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->later_count, 3);
    CHECK_EQ(rig->later[1].tells + rig->later[2].tells, 1);
    CHECK_EQ(smf_client_in_flight(rig->client), 1);
    rig_close(rig);
}

/* A cancel that can't be sent now is sent in another turn. */
static void cancels_wait_for_room(void)
{
    struct smf_call_options options = with_timeout(0);
    struct rig *rig = rig_open();
    struct smf_turn *turn = smf_core_turn(rig->world.client);
    uint64_t number;

    options.call_out = &number;
    CHECK_EQ(call(rig, 1, &options), SMF_OK);
    world_run(&rig->world, 5);
    for (uint64_t conn = 1ull << 40; turn->send_count < turn->send_capacity; conn++)
        CHECK_EQ(smf_core_send(rig->world.client, conn, 1, 1, "nobody", 6), SMF_OK);
    CHECK_EQ(smf_client_cancel(rig->client, number), SMF_OK);
    CHECK_EQ(rig->result.status, SMF_ECANCELLED);
    world_run(&rig->world, 20);
    CHECK_EQ(rig->later[0].tells, 1);
    rig_close(rig);
}

/* The answer comes before the cancel could be sent: the next call with the session is not meant. */
static void cancels_that_are_not_needed(void)
{
    struct smf__rpc_config limits = world_limits();
    struct smf_call_options options = with_timeout(0);
    struct rig *rig = rig_with(&limits, 1, SMF_CONNECT_HELLO);
    struct smf_turn *turn = smf_core_turn(rig->world.client);
    uint64_t number, first;

    options.call_out = &number;
    CHECK_EQ(call(rig, 1, &options), SMF_OK);
    first = number;
    world_run(&rig->world, 5);
    answer_late(&rig->later[0]);
    (void)world_turn(&rig->world, rig->world.server);
    for (uint64_t conn = 1ull << 40; turn->send_count < turn->send_capacity; conn++)
        CHECK_EQ(smf_core_send(rig->world.client, conn, 1, 1, "nobody", 6), SMF_OK);
    CHECK_EQ(smf_client_cancel(rig->client, number), SMF_OK);
    while (call(rig, 1, &options) != SMF_OK)
        CHECK(world_step(&rig->world, rig->world.clock.now_ns + WORLD_MS));
    CHECK_NE(number, first);
    CHECK_EQ(smf_client_cancel(rig->client, first), SMF_ENOTFOUND);
    world_run(&rig->world, 20);
    CHECK_EQ(rig->later_count, 2);
    CHECK_EQ(rig->later[1].tells, 0);
    CHECK_EQ(smf_client_in_flight(rig->client), 1);
    rig_close(rig);
}

/* Nobody waits any more when the connection has ended: of that one. */
static void ends_cancel(void)
{
    struct rig *rig = rig_open();
    struct raw *raw = raw_open2(&rig->world);

    for (int i = 0; i < 5; i++)
        raw_request(raw, (uint16_t)(i + 1), LATE_ID, 0, 0);
    raw_request(raw, 0, LATE_ID, SMF_FRAME_ONE_WAY, 0);
    CHECK_EQ(call(rig, 1, NULL), SMF_OK);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->later_count, 7);
    for (int i = 0; i < 7; i++) {
        struct waiting *waiting = &rig->later[i];

        if (waiting->call.conn == rig->later[0].call.conn)
            waiting->answer_other = i < 3 ? 5 : 0; /* one that is not told yet, perhaps */
        waiting->answer_too = i == 1;
    }
    raw_close(raw);
    world_run(&rig->world, 5);
    for (int i = 0; i < 7; i++) {
        const struct waiting *waiting = &rig->later[i];
        int is_raws = waiting->call.conn == rig->later[0].call.conn;

        CHECK_LE(waiting->tells, is_raws);
        CHECK(waiting->over || waiting->tells == is_raws);
        if (waiting->tells != 0)
            CHECK_EQ(waiting->told, SMF_CODE_CANCELLED);
    }
    smf_client_close(rig->client);
    CHECK_EQ(rig->result.status, SMF_ECLOSED);
    CHECK_EQ(rig->result.may_have_run, 1);
    CHECK_EQ(smf_client_open(&rig->client, rig->world.client, 0), SMF_OK);
    world_run(&rig->world, 5);
    for (int i = 0; i < 7; i++)
        CHECK(rig->later[i].over || rig->later[i].tells == 1);
    rig_close(rig);
}

/* On many connections, as many calls as there is room for. */
static void very_many_deferred_calls(void)
{
    enum { CONNS = 32, CALLS = LATER_MAX / CONNS };
    struct rig *rig = rig_open();
    struct raw *raws[CONNS];
    uint64_t first;

    for (int i = 0; i < CONNS; i++) {
        raws[i] = raw_open2(&rig->world);
        for (uint16_t k = 1; k <= CALLS; k++)
            raw_request(raws[i], k, LATE_ID, 0, 0);
    }
    world_run(&rig->world, 50);
    CHECK_EQ(rig->later_count, LATER_MAX);
    CHECK_EQ(smf__records_found(rig->world.server), LATER_MAX + CONNS);
    first = rig->later[0].call.conn;
    for (int i = 0; i < 3; i++)
        raw_cancel(raws[CONNS - 1], 7);
    for (int i = 0; i < CONNS - 1; i += 2)
        raw_close(raws[i]);
    world_run(&rig->world, 50);
    for (int i = 0; i < LATER_MAX; i++) {
        uint64_t nth = rig->later[i].call.conn - first;
        int ended = nth % 2 == 0 && nth < CONNS - 1;
        int cancelled = nth == CONNS - 1 && rig->later[i].call.session == 7;

        CHECK_LT(nth, CONNS);
        CHECK_EQ(rig->later[i].tells, ended || cancelled);
    }
    rig_close(rig);
}

/* Callers who leave and come back do not get more handlers than may run: the core counts the calls of connections,
 * and services those that their callers have left. */
static void calls_that_outlive_their_callers(uint32_t flags)
{
    struct smf__rpc_config limits = world_limits();
    struct rig *rig;

    limits.running_max = 2;
    rig = rig_with(&limits, 0, flags);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(call(rig, 1, NULL), SMF_OK);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->later_count, 2);
    smf_core_disconnect(rig->world.server, rig->later[0].call.conn);
    world_run(&rig->world, 10);
    if (smf_client_conn(rig->client) == 0)
        connect_to(rig, flags);
    CHECK_EQ(smf_core_turn(rig->world.server)->in_flight, 0);
    for (uint32_t method = 0; method < 2; method++) {
        CHECK_EQ(call_once(rig, method, NULL)->code, SMF_CODE_LIMIT);
        CHECK_EQ(rig->result.may_have_run, flags == 0);
    }
    CHECK_STR(rig->problem, "Late 429 too many calls run whose callers have gone");
    CHECK_EQ(rig->handled, 2);
    CHECK_EQ(world_stats(rig->world.server).refused_running, 2);
    answer_late(&rig->later[1]);
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK);
    rig_close(rig);
}

static void callers_who_leave_and_come_back(void)
{
    calls_that_outlive_their_callers(SMF_CONNECT_HELLO);
    calls_that_outlive_their_callers(0);
}

static void one_way_messages(void)
{
    struct smf_call_options options = with_timeout(0);
    struct rig *rig = rig_open();
    uint64_t number = 1;

    options.flags = SMF_CALL_ONE_WAY;
    options.call_out = &number;
    CHECK_EQ(call(rig, 0, &options), SMF_OK);
    CHECK_EQ(call(rig, 1, &options), SMF_OK);
    CHECK_EQ(call(rig, 2, &options), SMF_OK);
    CHECK_EQ(number, 0);
    CHECK_EQ(smf_client_in_flight(rig->client), 0);
    world_run(&rig->world, 10);
    CHECK_EQ(rig->handled, 2);
    CHECK(rig->seen.flags & SMF_FRAME_ONE_WAY);
    CHECK_EQ(smf_core_turn(rig->world.server)->in_flight, 1);
    answer_late(&rig->later[0]);
    rig->fails = SMF_CODE_CONFLICT;
    rig->failure.message = "nobody hears of it";
    CHECK_EQ(call(rig, 0, &options), SMF_OK);
    world_run(&rig->world, 10);
    CHECK_EQ(smf_core_turn(rig->world.server)->in_flight, 0);
    CHECK_EQ(rig->answers, 0);
    CHECK_EQ(rig->world.replies, 0);
    CHECK_EQ(call_sized(rig, 0, &options, 65537), SMF_EINVAL);
    rig_close(rig);
}

/* Messages that go in slices, with and without metadata, also larger than a frame may be. */
static void large_messages(void)
{
    static const uint32_t sizes[] = {60u << 10, 65500, 66000, 200u << 10, BIG_BYTES};
    struct smf__rpc_config limits = world_limits();
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options = with_key(memory, "value", 5);
    struct rig *rig;

    limits.frame_size_bytes_max = 128u << 10;
    rig = rig_with(&limits, 0, SMF_CONNECT_HELLO);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int both = 0; both < 2; both++) {
            rig->reply_size = sizes[i];
            rig->reply_value = both ? "value" : NULL;
            rig->reply_value_size = 5;
            CHECK_EQ(call_sized(rig, 0, both ? &options : NULL, sizes[i]), SMF_OK);
            world_run(&rig->world, 200);
            CHECK_EQ(rig->result.status, SMF_OK);
            CHECK_EQ(rig->result.code, SMF_CODE_OK);
            CHECK_EQ(rig->name_size, sizes[i]);
            CHECK_GT(rig->seen.size_bytes, sizes[i]);
            CHECK_STR(rig->value, both ? "value" : "");
            CHECK_STR(rig->reply, both ? "value" : "");
        }
    }
    rig_close(rig);
}

/* A payload that leaves no room for a block in front of it. */
static void blocks_without_room(void)
{
    static char value[500];
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options;
    struct rig *rig = rig_open();

    memset(value, 'v', sizeof value);
    options = with_key(memory, value, sizeof value);
    rig->reply_value = value;
    rig->reply_value_size = sizeof value;
    for (uint32_t size = (256u << 10) - 120; size < 256u << 10; size += 4) {
        rig->reply_size = size;
        CHECK_EQ(call_sized(rig, 0, &options, size), SMF_OK);
        world_run(&rig->world, 20);
        CHECK_EQ(rig->result.code, SMF_CODE_OK);
        CHECK_EQ(rig->name_size, size);
        CHECK_EQ(strspn(rig->value, "v"), sizeof rig->value - 1);
        CHECK_EQ(rig->reply_value_got, sizeof value);
    }
    rig_close(rig);
}

static void ponged(int status, void *context)
{
    struct rig *rig = context;

    rig->pongs++;
    rig->pong_status = status;
}

static void pings(void)
{
    struct rig *rig = rig_open();
    const uint64_t token = 99;
    struct smf_event of_another = {.kind = SMF_EVENT_PONG,
                                   .payload = (const uint8_t *)&token,
                                   .size_bytes = sizeof token,
                                   .conn = smf_client_conn(rig->client)};

    CHECK_EQ(smf_client_ping(rig->client, ponged, rig), SMF_OK);
    CHECK_EQ(smf_client_ping(rig->client, ponged, rig), SMF_ELIMIT);
    CHECK_EQ(smf_client_take(rig->client, &of_another), 1);
    CHECK_EQ(rig->pongs, 0);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->pongs, 1);
    CHECK_EQ(rig->pong_status, SMF_OK);
    CHECK_EQ(smf_client_ping(rig->client, ponged, rig), SMF_OK);
    smf_core_disconnect_all(rig->world.server);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->pongs, 2);
    CHECK_EQ(smf_client_ping(rig->client, ponged, rig), SMF_ECLOSED);
    rig_close(rig);
}

static void pings_end_with_the_connection(void)
{
    struct rig *rig = rig_open();

    CHECK_EQ(smf_client_ping(rig->client, ponged, rig), SMF_OK);
    smf_client_close(rig->client);
    CHECK_EQ(rig->pongs, 1);
    CHECK_EQ(rig->pong_status, SMF_ECLOSED);
    CHECK_EQ(smf_client_open(&rig->client, rig->world.client, 0), SMF_OK);
    rig_close(rig);
}

static void goaways(void)
{
    struct rig *rig = rig_open();

    CHECK_EQ(call(rig, 1, NULL), SMF_OK);
    world_run(&rig->world, 5);
    CHECK_EQ(smf_client_goaway(rig->client), 0);
    CHECK_EQ(smf_core_goaway(rig->world.server, rig->later[0].call.conn, SMF_CODE_UNAVAILABLE),
             SMF_OK);
    world_run(&rig->world, 5);
    CHECK_EQ(smf_client_goaway(rig->client), SMF_CODE_UNAVAILABLE);
    CHECK_EQ(call(rig, 0, NULL), SMF_ECLOSED);
    CHECK_EQ(rig->answers, 0);
    answer_late(&rig->later[0]);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->result.code, SMF_CODE_OK);
    CHECK_EQ(smf_client_conn(rig->client), 0);
    connect_to(rig, SMF_CONNECT_HELLO);
    CHECK_EQ(smf_client_goaway(rig->client), 0);
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK);
    rig_close(rig);
}

/* A server that does not know level 2, and the same calls at level 1. */
static void servers_of_level1(void)
{
    struct smf__rpc_config limits = world_limits();
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options = with_key(memory, "value", 5), one_way = with_timeout(0);
    struct rig *rig;
    struct smf_error error;

    limits.level = 1;
    rig = rig_with(&limits, 0, 0);
    CHECK_EQ(smf_client_ping(rig->client, ponged, rig), SMF_EUNSUPPORTED);
    smf_client_close(rig->client);
    CHECK_EQ(smf_client_open(&rig->client, rig->world.client, 0), SMF_OK);
    CHECK_EQ(smf_client_connect_with(rig->client, WORLD_ADDRESS, SMF_CONNECT_HELLO, &error),
             SMF_EINVAL); /* this engine is one of level 1 itself */
    smf__rpc_of(rig->world.client)->config.level = 2;
    CHECK_EQ(smf_client_connect_with(rig->client, WORLD_ADDRESS, SMF_CONNECT_HELLO, &error),
             SMF_OK);
    CHECK_EQ(call(rig, 0, &options), SMF_OK);
    world_run(&rig->world, 300);
    CHECK_EQ(rig->result.status, SMF_ECLOSED);
    CHECK_EQ(rig->result.may_have_run, 0);
    CHECK_EQ(rig->world.closed_reason, SMF_CLOSE_NOT_LEVEL2);
    CHECK_EQ(rig->handled, 0);
    connect_to(rig, 0);
    options.timeout_us = 20000;
    rig->reply_value = "value";
    rig->reply_value_size = 5;
    CHECK_EQ(call_once(rig, 0, &options)->code, SMF_CODE_OK);
    CHECK_EQ(rig->add_status, SMF_OK);
    CHECK_EQ(rig->seen.level, 1);
    CHECK_STR(rig->value, "");
    CHECK_STR(rig->reply, "");
    CHECK_EQ(rig->seen.deadline_ns, 0);
    rig->fails = SMF_CODE_CONFLICT;
    rig->failure.message = "not at this level";
    CHECK_EQ(call_once(rig, 0, &options)->code, SMF_CODE_CONFLICT);
    CHECK_STR(rig->message, "");
    CHECK_EQ(rig->result.may_have_run, 1);
    CHECK_EQ(rig->result.size_bytes, 12); /* an empty table */
    one_way.flags = SMF_CALL_ONE_WAY;
    CHECK_EQ(call(rig, 0, &one_way), SMF_EUNSUPPORTED);
    CHECK_EQ(call(rig, 1, &options), SMF_OK);
    world_run(&rig->world, 50);
    CHECK_EQ(rig->result.status, SMF_ETIMEOUT);
    CHECK_EQ(rig->later[0].tells, 0);
    rig_close(rig);
}

static void options_that_are_refused(void)
{
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options = with_key(memory, "value", 5);
    struct smf_call_options no_size = {.size = 0}, flags = with_timeout(0);
    struct rig *rig = rig_open();
    struct {
        struct smf_call_options options;
        uint64_t newer;
    } newer = {with_timeout(0), 0};

    newer.options.size = sizeof newer;
    flags.flags = 2;
    CHECK_EQ(call(rig, 0, &no_size), SMF_EINVAL);
    CHECK_EQ(call(rig, 0, &flags), SMF_EINVAL);
    CHECK_EQ(call(rig, 0, &newer.options), SMF_OK);
    newer.newer = 1;
    CHECK_EQ(call(rig, 0, &newer.options), SMF_EINVAL);
    memory[12] = 'K'; /* no key */
    CHECK_EQ(call(rig, 0, &options), SMF_EINVAL);
    memory[12] = 'k';
    options.metadata_size_bytes += 8;
    CHECK_EQ(call(rig, 0, &options), SMF_EINVAL);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->answers, 1);
    rig_close(rig);
}

/* Whatever happens, each call that was taken has one callback, and nothing stays. */
static void everything_at_once(void)
{
    struct smf__rpc_config limits = world_limits();
    struct rig *rig = rig_with(&limits, 64, SMF_CONNECT_HELLO);
    uint64_t seed = test_seed(), numbers[64] = {0};
    int taken = 0, answers_due;

    test_note("seed %llu", (unsigned long long)seed);
    for (int i = 0; i < 3000 && rig->later_count < LATER_MAX - 64; i++) {
        struct smf_call_options options = with_timeout(0);
        uint32_t random;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        random = (uint32_t)(seed >> 33);
        options.call_out = &numbers[random % 64];
        options.timeout_us = random % 3 == 0 ? random % 20000 : 0;
        if (random % 200 == 0)
            smf_core_disconnect(rig->world.server, rig->seen.conn);
        else if (random % 7 == 0)
            (void)smf_client_cancel(rig->client, numbers[random / 64 % 64]);
        else if (random % 5 == 0 && rig->later_count != 0)
            answer_late(&rig->later[random % (uint32_t)rig->later_count]);
        else if (call(rig, random / 16 % 3, &options) == SMF_OK)
            taken++;
        if (random % 4 == 0)
            world_run(&rig->world, random % 3);
        if (smf_client_conn(rig->client) == 0)
            connect_to(rig, SMF_CONNECT_HELLO);
    }
    world_run(&rig->world, 5);
    for (int i = 0; i < rig->later_count; i++)
        answer_late(&rig->later[i]);
    world_run(&rig->world, 50);
    CHECK_EQ(smf_client_in_flight(rig->client), 0);
    CHECK_EQ(rig->answers, taken);
    CHECK_GT(rig->statuses[0], 100);
    CHECK_GT(rig->statuses[-SMF_ECANCELLED], 5);
    CHECK_GT(rig->statuses[-SMF_ETIMEOUT], 5);
    CHECK_GT(rig->statuses[-SMF_ECLOSED], 0);
    for (answers_due = 0; answers_due < 64; answers_due++) /* all places are free */
        CHECK_EQ(call(rig, 0, NULL), SMF_OK);
    world_run(&rig->world, 50);
    CHECK_EQ(rig->answers, taken + 64);
    rig_close(rig);
}

/* A reply that nobody gets is no error, however large it is. */
static void replies_to_nobody(void)
{
    static const uint32_t sizes[] = {5, 100u << 10, 200u << 10};
    static char big[200u << 10];
    struct smf__rpc_config limits = world_limits();
    struct rig *rig;

    limits.frame_size_bytes_max = 128u << 10;
    rig = rig_with(&limits, 0, SMF_CONNECT_HELLO);
    memset(big, 'b', sizeof big);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(call(rig, 1, NULL), SMF_OK);
    world_run(&rig->world, 5);
    CHECK_EQ(rig->later_count, 3);
    smf_core_disconnect_all(rig->world.server);
    world_run(&rig->world, 5);
    for (int i = 0; i < 3; i++) {
        rig->later[i].over = 1;
        build_node(&rig->later[i].call.reply, big, sizes[i]);
        smf_call_answer(&rig->later[i].call, SMF_CODE_OK);
        CHECK_STR(rig->problem, "");
    }
    world_run(&rig->world, 5);
    rig_close(rig);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(metadata_both_ways),
        TEST(metadata_of_late_replies),
        TEST(deadlines_travel),
        TEST(late_work_is_not_started),
        TEST(refusals),
        TEST(errors_say_more),
        TEST(calls_that_time_out),
        TEST(calls_are_given_up),
        TEST(cancels_wait_for_room),
        TEST(cancels_that_are_not_needed),
        TEST(ends_cancel),
        TEST(very_many_deferred_calls),
        TEST(callers_who_leave_and_come_back),
        TEST(one_way_messages),
        TEST(replies_to_nobody),
        TEST(large_messages),
        TEST(blocks_without_room),
        TEST(pings),
        TEST(pings_end_with_the_connection),
        TEST(goaways),
        TEST(servers_of_level1),
        TEST(options_that_are_refused),
        TEST(everything_at_once),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
