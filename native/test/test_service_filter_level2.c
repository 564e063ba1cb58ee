/* Filters at level 2: metadata, deadlines and one-way messages, as they see them. */
#include "test_service_rig.h"

struct tag {
    char request[64], reply[64];
    uint32_t compressions;
    uint8_t level, flags;
    uint64_t deadline_ns;
    int puts;          /* a request's payload, too, */
    uint32_t put_size; /* of so many bytes; 0: as it was */
    int stops;         /* with a code */
    uint32_t code;     /* what a reply's becomes */
    int requests, dones;
};

static uint32_t tag_request(struct smf_filter_call *filtered, void *context)
{
    struct tag *tag = context;
    struct smf_metadata block;
    static uint8_t copy[70000];

    (void)smf_filter_metadata(filtered, &block);
    (void)value_of(&block, "key", tag->request);
    tag->compressions = filtered->compressions;
    tag->level = filtered->level;
    tag->flags = filtered->flags;
    tag->deadline_ns = filtered->deadline_ns;
    if (tag->puts) {
        CHECK_LE(filtered->size_bytes, sizeof copy);
        memcpy(copy, filtered->payload, filtered->size_bytes);
        CHECK_EQ(smf_filter_put(filtered, copy,
                                tag->put_size != 0 ? tag->put_size : filtered->size_bytes, 0),
                 SMF_OK);
    }
    if (tag->puts < 2)
        CHECK_EQ(smf_filter_add_metadata(filtered, filtered->side ? "key" : "more", "tagged", 6),
                 SMF_OK);
    CHECK_EQ(smf_filter_add_metadata(filtered, "NO", "tagged", 6), SMF_EINVAL);
    CHECK_EQ(smf_filter_put_metadata(filtered, "nonsense", 8), SMF_EINVAL);
    tag->requests++;
    if (tag->stops)
        filtered->problem = "not today";
    return (uint32_t)tag->stops;
}

static void tag_reply(struct smf_filter_call *filtered, void *context)
{
    struct tag *tag = context;
    struct smf_metadata block;

    (void)smf_filter_metadata(filtered, &block);
    (void)value_of(&block, "reply", tag->reply);
    if (tag->code != 0)
        filtered->code = tag->code;
    if (filtered->side == SMF_FILTER_SERVER)
        CHECK_EQ(smf_filter_add_metadata(filtered, "reply", "of the filter", 13), SMF_OK);
    else if (tag->puts)
        CHECK_EQ(smf_filter_put_metadata(filtered, NULL, 0), SMF_OK);
}

static void tag_done(struct smf_filter_call *filtered, void *context)
{
    (void)filtered;
    ((struct tag *)context)->dones++;
}

static struct smf_filter filter_of(struct tag *tag)
{
    memset(tag, 0, sizeof *tag);
    return (struct smf_filter){
        sizeof(struct smf_filter), 0, tag_request, tag_reply, tag_done, tag, NULL};
}

static void filters_see_metadata(void)
{
    struct tag of_server, of_client;
    struct smf_filter filter = filter_of(&of_server), other = filter_of(&of_client);
    struct smf_call_options options = with_timeout(50000);
    struct rig *rig = rig_open();
    struct smf_error error;

    CHECK_EQ(smf_router_filter(rig->router, NULL, NULL, &filter, &error), SMF_OK);
    CHECK_EQ(smf_client_filter(rig->client, &other, &error), SMF_OK);
    CHECK_EQ(call_once(rig, 0, &options)->code, SMF_CODE_OK);
    CHECK_STR(of_client.request, "");
    CHECK_STR(of_server.request, "tagged");
    CHECK_STR(rig->value, "tagged");
    CHECK_EQ(of_server.level, 2);
    CHECK_EQ(of_server.compressions, 0); /* nobody can read any */
    CHECK_EQ(of_client.compressions, 0);
    CHECK_EQ(of_server.deadline_ns, rig->seen.deadline_ns);
    CHECK_GT(of_client.deadline_ns, 0);
    CHECK_GT(rig->left_us, 0); /* the deadline goes with what the filter has put */
    CHECK_LE(rig->left_us, 50000);
    CHECK_STR(of_client.reply, "of the filter");
    CHECK_STR(rig->reply, "of the filter");
    rig->reply_value = "of the handler";
    rig->reply_value_size = 14;
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK);
    CHECK_STR(of_server.reply, "of the handler");
    CHECK_STR(rig->reply, "of the handler"); /* the first of two */
    of_client.puts = 1;                      /* and takes a reply's metadata away */
    rig->fails = SMF_CODE_CONFLICT;
    rig->failure.message = "because";
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_CONFLICT);
    CHECK_STR(of_client.reply, "of the handler");
    CHECK_STR(rig->reply, "");
    CHECK_STR(rig->message, "because");
    of_client.code = SMF_CODE_UNAVAILABLE;
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_UNAVAILABLE);
    CHECK_STR(rig->message, ""); /* it was said of the other code */
    of_client.code = 0;
    of_client.puts = 0;
    of_server.stops = SMF_CODE_PERMISSION;
    of_server.puts = 2;
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_PERMISSION);
    CHECK_EQ(rig->result.may_have_run, 0);
    CHECK_STR(rig->message, "not today");
    CHECK(rig->result.metadata == NULL); /* that of the request is not the reply's */
    CHECK_EQ(rig->handled, 4);
    CHECK_EQ(of_client.dones, 5);
    smf_client_close(rig->client);
    CHECK_EQ(smf_client_open(&rig->client, rig->world.client, 0), SMF_OK);
    CHECK_EQ(smf_client_filter(rig->client, &other, &error), SMF_OK);
    CHECK_EQ(smf_client_connect_with(rig->client, WORLD_ADDRESS, SMF_CONNECT_HELLO, &error),
             SMF_OK);
    of_client.compressions = 1;
    CHECK_EQ(call(rig, 0, NULL), SMF_OK);
    CHECK_EQ(of_client.compressions, 0); /* nothing is known yet */
    world_run(&rig->world, 5);
    CHECK_EQ(rig->result.code, SMF_CODE_PERMISSION);
    rig_close(rig);
}

/* What a deferred call keeps: a request that a filter has put, and metadata that is where it came. */
static void filters_and_deferred_calls(void)
{
    uint8_t memory[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_call_options options = with_key(memory, "value", 5);
    struct tag tag;
    struct smf_filter filter = filter_of(&tag);
    struct rig *rig = rig_open();
    struct smf_metadata block;
    struct smf_error error;

    CHECK_EQ(smf_router_filter(rig->router, NULL, NULL, &filter, &error), SMF_OK);
    for (int i = 0; i < 3; i++) {
        tag.puts = i; /* metadata; that and a payload; a payload */
        CHECK_EQ(call(rig, 1, &options), SMF_OK);
        world_run(&rig->world, 5);
        for (int k = 0; k < 50; k++) { /* which uses the memory again */
            uint8_t others[SMF_METADATA_SIZE_BYTES_MAX];
            struct smf_call_options other = with_key(others, "another", 7);

            CHECK_EQ(call_once(rig, 0, &other)->code, SMF_CODE_OK);
        }
        CHECK_EQ(smf_call_metadata(&rig->later[i].call, &block), 1);
        (void)value_of(&block, "key", rig->value);
        CHECK_STR(rig->value, "value");
        CHECK_STR(smf_flat_get_string(smf_flat_root(rig->later[i].call.payload), NODE_NAME).data,
                  "Hello");
        answer_late(&rig->later[i]);
        world_run(&rig->world, 5);
        CHECK_STR(rig->name, "late");
        CHECK_STR(rig->reply, "of the filter");
    }
    rig_close(rig);
}

static void filters_and_one_way_messages(void)
{
    struct smf_call_options options = with_timeout(0);
    struct tag of_server, of_client;
    struct smf_filter filter = filter_of(&of_server), other = filter_of(&of_client);
    struct rig *rig = rig_open();
    struct smf_error error;

    CHECK_EQ(smf_router_filter(rig->router, NULL, NULL, &filter, &error), SMF_OK);
    CHECK_EQ(smf_client_filter(rig->client, &other, &error), SMF_OK);
    options.flags = SMF_CALL_ONE_WAY;
    CHECK_EQ(call(rig, 0, &options), SMF_OK);
    CHECK_EQ(of_client.dones, 1);
    world_run(&rig->world, 5);
    CHECK_EQ(of_server.flags, SMF_FRAME_ONE_WAY);
    CHECK_EQ(of_client.flags, SMF_FRAME_ONE_WAY);
    CHECK_EQ(of_server.dones, 1);
    CHECK_EQ(rig->handled, 1);
    of_client.stops = SMF_CODE_PERMISSION;
    CHECK_EQ(call(rig, 0, &options), SMF_EPERMISSION);
    CHECK_EQ(of_client.dones, 1); /* it has not let it pass */
    world_run(&rig->world, 5);
    CHECK_EQ(rig->handled, 1);
    rig_close(rig);
}

/* What filters have left is what has to fit. */
static void filters_may_not_enlarge_one_way_messages_for_ever(void)
{
    struct smf_call_options options = with_timeout(0);
    struct tag tag;
    struct smf_filter filter = filter_of(&tag);
    struct rig *rig = rig_open();
    struct smf_error error;

    CHECK_EQ(smf_client_filter(rig->client, &filter, &error), SMF_OK);
    options.flags = SMF_CALL_ONE_WAY;
    tag.puts = 1;
    tag.put_size = 65537;
    CHECK_EQ(call(rig, 0, &options), SMF_EINVAL);
    CHECK_EQ(tag.dones, 1);
    world_run(&rig->world, 5);
    CHECK_EQ(call_once(rig, 0, NULL)->code, SMF_CODE_OK); /* one with an answer may have any size */
    tag.put_size = 64;                                    /* and those that get smaller are taken */
    CHECK_EQ(call_sized(rig, 0, &options, 66000), SMF_OK);
    CHECK_EQ(tag.dones, 3);
    world_run(&rig->world, 5);
    CHECK_EQ(smf_core_turn(rig->world.server)->in_flight, 0);
    rig_close(rig);
}

/* What they would do for it, such as decompressing, would be in vain. */
static void filters_see_no_call_that_will_be_refused(void)
{
    struct smf_call_options options = with_timeout(10000);
    struct tag tag;
    struct smf_filter filter = filter_of(&tag);
    struct rig *rig = rig_open();
    struct smf_error error;

    CHECK_EQ(smf_router_filter(rig->router, NULL, NULL, &filter, &error), SMF_OK);
    CHECK_EQ(call_once(rig, 2, NULL)->code, SMF_CODE_NOT_IMPLEMENTED);
    CHECK_STR(rig->message, "the method has no handler");
    CHECK_EQ(tag.requests, 0);
    rig->late_ms = 20;
    CHECK_EQ(call(rig, 0, NULL), SMF_OK);
    CHECK_EQ(call(rig, 0, &options), SMF_OK); /* is over when the first one is */
    world_run(&rig->world, 50);
    CHECK_STR(rig->problem, "Echo 408 its deadline has passed");
    CHECK_EQ(rig->handled, 1);
    CHECK_EQ(tag.requests, 1);
    CHECK_EQ(tag.dones, 1);
    rig_close(rig);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(filters_see_metadata),
        TEST(filters_and_deferred_calls),
        TEST(filters_and_one_way_messages),
        TEST(filters_may_not_enlarge_one_way_messages_for_ever),
        TEST(filters_see_no_call_that_will_be_refused),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
