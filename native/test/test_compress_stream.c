/* Compressed messages of streams, through the filter on both ends of a connection. */
#include <smf/compress.h>

#include "test_service_stream.h"

/* What stands between the filter and the wire sees. */
struct wire {
    int packed, plain;
};

static uint32_t see(struct smf_filter_call *call, void *context)
{
    struct wire *wire = context;

    if (call->message != SMF_FILTER_MESSAGE_IN)
        return 0;
    wire->packed += call->compression == SMF_COMPRESSION_ZSTD;
    wire->plain += call->compression == SMF_COMPRESSION_NONE;
    return 0;
}

/* Of a client that compresses messages or not, and a server that reads them and answers with plain ones. */
static void one_side(uint32_t streams)
{
    const struct smf_compress_options options = {.size = sizeof options,
                                                 .compression = SMF_COMPRESSION_ZSTD,
                                                 .size_bytes_min = 1000,
                                                 .streams = streams};
    struct wire wire = {0};
    const struct smf_filter filter = {.size = sizeof filter, .message = see, .context = &wire};
    struct smf_compress *writes, *reads;
    struct smf_error error;

    open_rig(0);
    CHECK_EQ(smf_compress_open(&writes, &options, &error), SMF_OK);
    CHECK_EQ(smf_compress_open(&reads, NULL, &error), SMF_OK);
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, &filter, &error), SMF_OK);
    CHECK_EQ(smf_router_filter(rig.router, NULL, NULL, smf_compress_filter(reads), &error), SMF_OK);
    CHECK_EQ(smf_client_filter(rig.client, smf_compress_filter(writes), &error), SMF_OK);
    rig.server.echoes = 1;
    open_stream(SYNC, NULL);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(send_name(rig.caller.stream, i % 2 == 0 ? LARGE : 10), SMF_OK);
        world_run(&rig.world, 10);
    }
    CHECK_EQ(smf_stream_close(rig.caller.stream), SMF_OK);
    world_run(&rig.world, 10);
    check_ends(SMF_CODE_OK, SMF_OK, SMF_CODE_OK);
    CHECK_EQ(rig.server.bytes, 2 * LARGE + 20);
    CHECK_EQ(rig.caller.bytes, 2 * LARGE + 20);
    CHECK_EQ(wire.packed, streams != 0 ? 2 : 0);
    CHECK_EQ(wire.plain, streams != 0 ? 2 : 4);
    close_rig();
    smf_compress_close(writes);
    smf_compress_close(reads);
}

static void messages_are_compressed(void)
{
    one_side(1);
}

static void only_where_it_is_asked_for(void)
{
    one_side(0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(messages_are_compressed),
        TEST(only_where_it_is_asked_for),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
