/* Compressed payloads: against the golden bytes, against the stock libraries, damaged in every way, and through
 * the filter on both ends of a connection. */
#include <malloc.h>
#include <pthread.h>

#include <lz4.h>
#include <zstd.h>

#include <smf/compress.h>

#include "compress/compress_codec.h"
#include "flat_sample.h"
#include "service/service_filter.h"
#include "test_sim.h"
#include "test_wal_golden.h"

#define MEMORY_BYTES (32ull << 20)
#define PIECE_BYTES (4u << 20) /* the largest of such a memory */
#define FOLDER "../golden-compression/"
#define ECHO_ID 1001u
#define PLAIN_MAX (2u << 20)
#define LIMIT SMF_COMPRESS_SIZE_BYTES_MAX_DEFAULT

static uint32_t compression_of(const struct golden *golden)
{
    return strcmp(golden_text(golden, "compression"), "zstd") == 0 ? SMF_COMPRESSION_ZSTD
                                                                   : SMF_COMPRESSION_LZ4;
}

static int has_field(const struct golden *golden, const char *name)
{
    for (int i = 0; i < golden->field_count; i++) {
        if (strcmp(golden->fields[i].name, name) == 0)
            return 1;
    }
    return 0;
}

static uint64_t limit_of(const struct golden *golden)
{
    return has_field(golden, "limit") ? golden_number(golden, "limit") : LIMIT;
}

/* What is meant to come of a golden's bytes. */
static const uint8_t *plain_of(const struct golden *golden, uint32_t *size_out)
{
    static const uint8_t zeros[PLAIN_MAX];
    static struct golden payload;
    char path[1024];

    if (has_field(golden, "zeros")) {
        *size_out = (uint32_t)golden_number(golden, "zeros");
        CHECK_LE(*size_out, sizeof zeros);
        return zeros;
    }
    CHECK_LT(
        snprintf(path, sizeof path, GOLDEN_WAL FOLDER "%s.hex", golden_text(golden, "payload")),
        sizeof path);
    golden_read(&payload, path);
    CHECK_EQ(payload.size_bytes, golden_number(&payload, "size"));
    *size_out = (uint32_t)payload.size_bytes;
    return payload.bytes;
}

static int decompress(uint32_t compression, const uint8_t *bytes, size_t size, uint64_t limit,
                      uint8_t *plain, uint32_t *plain_size_out)
{
    static struct smf__codec codec;
    const char *problem = NULL;
    int status = smf__codec_plain_size(compression, bytes, size, limit, plain_size_out, &problem);

    CHECK_EQ(problem == NULL, status == SMF_OK);
    if (status != SMF_OK)
        return status;
    CHECK_LE(*plain_size_out, PLAIN_MAX);
    return smf__codec_decompress(&codec, compression, bytes, size, plain, *plain_size_out);
}

static void check_good(const struct golden *golden)
{
    static uint8_t plain[PLAIN_MAX];
    uint32_t size, want_size;
    const uint8_t *want = plain_of(golden, &want_size);
    uint8_t *bytes = exactly(golden->bytes, golden->size_bytes);

    CHECK_EQ(decompress(compression_of(golden), bytes, golden->size_bytes, limit_of(golden), plain,
                        &size),
             SMF_OK);
    CHECK_EQ(size, want_size);
    CHECK_MEM(plain, want, size);
    CHECK_EQ(
        decompress(compression_of(golden), bytes, golden->size_bytes, want_size - 1, plain, &size),
        SMF_ELIMIT);
    free(bytes);
}

static void check_bad(const struct golden *golden)
{
    static uint8_t plain[PLAIN_MAX];
    uint8_t *bytes = exactly(golden->bytes, golden->size_bytes);
    uint32_t size;
    int want = golden_number(golden, "code") == SMF_CODE_TOO_LARGE ? SMF_ELIMIT : SMF_EINVAL;

    if (decompress(compression_of(golden), bytes, golden->size_bytes, limit_of(golden), plain,
                   &size) != want)
        test_fail(golden->path, 0, "is not refused with %" PRIu64, golden_number(golden, "code"));
    free(bytes);
}

static void golden_payloads(void)
{
    each_golden(FOLDER "zstd_*.hex", 8, check_good);
    each_golden(FOLDER "lz4_*.hex", 5, check_good);
    each_golden(FOLDER "bad_zstd_*.hex", 12, check_bad);
    each_golden(FOLDER "bad_lz4_*.hex", 10, check_bad);
}

/* A beginning of a payload is none; what has flipped bits is refused, or becomes as many bytes as it says. */
static void check_damage(const struct golden *golden)
{
    static uint8_t plain[PLAIN_MAX];
    uint32_t compression = compression_of(golden), size;

    if (golden->size_bytes > 1000)
        return;
    for (size_t i = 0; i < golden->size_bytes; i++) {
        uint8_t *bytes = exactly(golden->bytes, i);

        CHECK_NE(decompress(compression, bytes, i, PLAIN_MAX, plain, &size), SMF_OK);
        free(bytes);
    }
    for (size_t i = 0; i < golden->size_bytes * 8; i++) {
        uint8_t *bytes = exactly(golden->bytes, golden->size_bytes);

        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        (void)decompress(compression, bytes, golden->size_bytes, PLAIN_MAX, plain, &size);
        free(bytes);
    }
}

static void damaged_payloads(void)
{
    each_golden(FOLDER "zstd_*.hex", 8, check_damage);
    each_golden(FOLDER "lz4_*.hex", 5, check_damage);
}

/* By the stock libraries, as a peer that is none of ours would. */
static void check_stock(uint32_t compression, const uint8_t *bytes, uint32_t size,
                        const uint8_t *plain, uint32_t plain_size)
{
    uint8_t *back = malloc(plain_size);
    int made;

    CHECK(back != NULL);
    if (compression == SMF_COMPRESSION_ZSTD) {
        CHECK_EQ(ZSTD_findFrameCompressedSize(bytes, size), size);
        CHECK_EQ(ZSTD_getFrameContentSize(bytes, size), plain_size);
        CHECK_EQ(ZSTD_decompress(back, plain_size, bytes, size), plain_size);
    } else {
        CHECK_EQ(bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24, plain_size);
        made = LZ4_decompress_safe((const char *)bytes + 4, (char *)back, (int)size - 4,
                                   (int)plain_size);
        CHECK_EQ(made, plain_size);
    }
    CHECK_MEM(back, plain, plain_size);
    free(back);
}

/* Every level, whatever was compressed before with the same memory. */
static void stock_libraries_read_it(void)
{
    static uint8_t plain[100000], bytes[100000];
    struct smf__random random;

    smf__random_seed(&random, test_seed());
    for (uint32_t compression = SMF_COMPRESSION_ZSTD; compression <= SMF_COMPRESSION_LZ4;
         compression++) {
        for (int level = 0; smf__codec_has_level(compression, level); level++) {
            struct smf__codec codec = {0};

            for (int i = 0; i < (level > 12 ? 3 : 10); i++) {
                uint32_t size = 1000 + (uint32_t)smf__random_below(&random, sizeof plain - 1000);
                uint32_t made, letters = 1 + (uint32_t)smf__random_below(&random, 256);

                for (uint32_t k = 0; k < size; k++)
                    plain[k] = k <= size / 2 ? (uint8_t)smf__random_below(&random, letters)
                                             : plain[k - size / 2 - 1];
                made =
                    smf__codec_compress(&codec, compression, level, plain, size, bytes, size - 1);
                CHECK_GT(made, 0);
                CHECK_LT(made, size);
                check_stock(compression, bytes, made, plain, size);
                for (uint32_t room = 0; room < 10; room++)
                    CHECK_LE(
                        smf__codec_compress(&codec, compression, level, plain, size, bytes, room),
                        room);
            }
            smf__codec_fini(&codec);
        }
    }
}

/* The filter alone, on a core without connections. */

static struct smf_core *core_alone(uint64_t memory_bytes)
{
    static struct smf__clock_manual clock;
    struct smf__core_config config = {.clock = smf__clock_from_manual(&clock),
                                      .random_seed = 1,
                                      .memory_bytes = memory_bytes,
                                      .spin_us = -1,
                                      .cpu = SMF__CPU_NONE};
    struct smf_error error;
    struct smf_core *core;

    CHECK_EQ(smf__core_open(&core, &config, &error), SMF_OK);
    return core;
}

static struct smf_compress *compress_open(uint32_t compression, uint32_t size_min,
                                          uint64_t size_max)
{
    const struct smf_compress_options options = {.size = sizeof options,
                                                 .compression = compression,
                                                 .size_bytes_min = size_min,
                                                 .decompressed_size_bytes_max = size_max};
    struct smf_compress *compress;
    struct smf_error error;

    CHECK_EQ(smf_compress_open(&compress, &options, &error), SMF_OK);
    return compress;
}

/* A request that passes a server's filter. */
static uint32_t pass(struct smf_core *core, const struct smf_compress *compress,
                     uint32_t compression, const void *payload, uint32_t size,
                     void (*look)(const struct smf_filter_call *call))
{
    struct smf__filters filters = {.count = 1, .list = {*smf_compress_filter(compress)}};
    struct smf__filtered *filtered = smf__filter_begin(core, &filters);
    uint32_t code;

    CHECK(filtered != NULL);
    filtered->call.payload = payload;
    filtered->call.size_bytes = size;
    filtered->call.compression = (uint8_t)compression;
    code = smf__filter_request(filtered);
    if (look != NULL)
        look(&filtered->call);
    smf__filter_done(filtered);
    return code;
}

static uint64_t memory_max(const struct smf_core *core)
{
    struct smf__pool_stats stats;

    smf__pool_stats(core->pool, &stats);
    return stats.used_bytes_max;
}

static uint64_t memory_used(const struct smf_core *core)
{
    struct smf__pool_stats stats;

    smf__pool_stats(core->pool, &stats);
    return stats.used_bytes;
}

/* What says that it becomes large, and can't, costs nothing either. */
static void check_boast(const struct golden *golden)
{
    struct smf_core *core = core_alone(1ull << 30);
    struct smf_compress *compress = compress_open(0, 0, 0);
    uint64_t before = memory_max(core);

    CHECK_EQ(pass(core, compress, compression_of(golden), golden->bytes,
                  (uint32_t)golden->size_bytes, NULL),
             SMF_CODE_BAD_REQUEST);
    CHECK_EQ(memory_max(core), before);
    smf_compress_close(compress);
    smf__core_close(core);
}

static void boasts(void)
{
    each_golden(FOLDER "bad_*_boast.hex", 2, check_boast);
}

/* A thousandth is sent, and no byte is spent on what is over the limit, or malformed before it begins. */
static void bombs(void)
{
    static uint8_t zeros[10u << 20], bomb[64u << 10];
    struct smf_core *core = core_alone(1ull << 30);
    struct smf_compress *compress = compress_open(0, 0, sizeof zeros - 1);
    struct smf_compress *allows = compress_open(0, 0, sizeof zeros);
    uint64_t before = memory_max(core), used = memory_used(core);
    uint32_t size;

    for (uint32_t compression = 2; compression <= 3; compression++) {
        struct smf__codec codec = {0};

        size = smf__codec_compress(&codec, compression, 0, zeros, sizeof zeros, bomb, sizeof bomb);
        smf__codec_fini(&codec);
        CHECK_GT(size, 0);
        CHECK_GT(sizeof zeros / size, 200); /* as much as lz4 can, and far more with zstd */
        for (int i = 0; i < 100; i++)
            CHECK_EQ(pass(core, compress, compression, bomb, size, NULL), SMF_CODE_TOO_LARGE);
        CHECK_EQ(memory_max(core), before);
        CHECK_EQ(pass(core, allows, compression, bomb, size - 1, NULL), SMF_CODE_BAD_REQUEST);
    }
    CHECK_EQ(pass(core, allows, SMF_COMPRESSION_LZ4, bomb, size, NULL), 0);
    CHECK_EQ(memory_used(core), used);
    smf_compress_close(compress);
    smf_compress_close(allows);
    smf__core_close(core);
}

static void memory_that_is_short(void)
{
    static uint8_t zeros[PIECE_BYTES], bytes[64u << 10];
    struct smf_core *core = core_alone(MEMORY_BYTES);
    struct smf_compress *compress = compress_open(0, 0, 0);
    struct smf_buffer *blocks[16];
    struct smf__codec codec = {0};
    uint64_t used = memory_used(core);
    uint32_t size, count = 0;

    size = smf__codec_compress(&codec, SMF_COMPRESSION_ZSTD, 0, zeros, sizeof zeros, bytes,
                               sizeof bytes);
    CHECK_EQ(pass(core, compress, SMF_COMPRESSION_ZSTD, bytes, size, NULL), SMF_CODE_TOO_LARGE);
    size = smf__codec_compress(&codec, SMF_COMPRESSION_ZSTD, 0, zeros, sizeof zeros - HEADER, bytes,
                               sizeof bytes);
    CHECK_EQ(pass(core, compress, SMF_COMPRESSION_ZSTD, bytes, size, NULL), 0);
    while ((blocks[count] = smf__pool_get(core->pool, PIECE_BYTES)) != NULL)
        CHECK_LT(++count, 16);
    CHECK_EQ(pass(core, compress, SMF_COMPRESSION_ZSTD, bytes, size, NULL), SMF_CODE_UNAVAILABLE);
    while (count > 0)
        smf__buffer_unref(core->pool, blocks[--count]);
    CHECK_EQ(pass(core, compress, SMF_COMPRESSION_ZSTD, bytes, size, NULL), 0);
    CHECK_EQ(memory_used(core), used);
    smf__codec_fini(&codec);
    smf_compress_close(compress);
    smf__core_close(core);
}

static void is_plain(const struct smf_filter_call *call)
{
    CHECK_EQ(call->compression, SMF_COMPRESSION_NONE);
    CHECK_EQ(call->size_bytes, 5000);
    CHECK_EQ(call->payload[4999], 'x');
}

/* More cores than there are places, one after the other and the first ones again. */
static void many_cores(void)
{
    enum { CORES = 300 };
    static struct smf_core *cores[CORES];
    struct smf_compress *compress = compress_open(0, 0, 0);
    struct smf__codec codec = {0};
    uint8_t plain[5000], bytes[2][200];
    uint32_t size[2];
    int count = test_slowed() ? 20 : CORES;

    memset(plain, 'x', sizeof plain);
    for (uint32_t i = 0; i < 2; i++)
        size[i] =
            smf__codec_compress(&codec, 2 + i, 0, plain, sizeof plain, bytes[i], sizeof bytes[i]);
    smf__codec_fini(&codec);
    for (int i = 0; i < count; i++)
        cores[i] = core_alone(8u << 20);
    for (int i = 0; i < 2 * count; i++) {
        for (uint32_t k = 0; k < 2; k++)
            CHECK_EQ(pass(cores[i % count], compress, 2 + k, bytes[k], size[k], is_plain), 0);
    }
    for (int i = 0; i < count; i++)
        smf__core_close(cores[i]);
    smf_compress_close(compress);
}

/* What zstd needs for itself is got once for a core. */
static void contexts_are_used_again(void)
{
    struct smf_compress *compress = compress_open(0, 0, 0);
    struct smf_core *core = core_alone(8u << 20);
    struct smf__codec codec = {0};
    uint8_t plain[5000], bytes[200];
    uint64_t before = 0;
    uint32_t size;

    memset(plain, 'x', sizeof plain);
    size = smf__codec_compress(&codec, SMF_COMPRESSION_ZSTD, 0, plain, sizeof plain, bytes,
                               sizeof bytes);
    smf__codec_fini(&codec);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(pass(core, compress, SMF_COMPRESSION_ZSTD, bytes, size, is_plain), 0);
        if (i == 0)
            before = mallinfo2().uordblks + mallinfo2().hblkhd;
    }
    CHECK_LE(mallinfo2().uordblks + mallinfo2().hblkhd, before + 1000);
    smf_compress_close(compress);
    smf__core_close(core);
}

static void *pass_often(void *context)
{
    struct smf_core *core = core_alone(8u << 20);
    struct smf__codec codec = {0};
    uint8_t plain[5000], bytes[200];
    uint32_t size;

    memset(plain, 'x', sizeof plain);
    size = smf__codec_compress(&codec, SMF_COMPRESSION_ZSTD, 0, plain, sizeof plain, bytes,
                               sizeof bytes);
    smf__codec_fini(&codec);
    for (int i = 0; i < 2000; i++)
        CHECK_EQ(pass(core, context, SMF_COMPRESSION_ZSTD, bytes, size, is_plain), 0);
    smf__core_close(core);
    return NULL;
}

static void cores_at_once(void)
{
    struct smf_compress *compress = compress_open(0, 0, 0);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, pass_often, compress), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    smf_compress_close(compress);
}

static void what_is_refused(void)
{
    struct {
        struct smf_compress_options options;
        uint64_t more;
    } newer = {.options = {.size = sizeof newer}, .more = 1};
    static const struct {
        uint32_t size, compression;
        int level;
    } cases[] = {{0, 0, 0},   {8, 0, 0},   {24, 1, 0},  {24, 4, 0}, {24, 0, 1},
                 {24, 2, -1}, {24, 2, 23}, {24, 3, 13}, {24, 3, -1}};
    struct smf_compress *compress;
    struct smf_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct smf_compress_options options = {
            .size = cases[i].size, .compression = cases[i].compression, .level = cases[i].level};

        memset(&error, 0, sizeof error);
        CHECK_EQ(smf_compress_open(&compress, &options, &error), SMF_EINVAL);
        CHECK_EQ(error.status, SMF_EINVAL);
        CHECK(error.text[0] != 0);
    }
    CHECK_EQ(smf_compress_open(NULL, NULL, &error), SMF_EINVAL);
    CHECK_EQ(smf_compress_open(&compress, &newer.options, &error), SMF_EUNSUPPORTED);
    newer.more = 0;
    CHECK_EQ(smf_compress_open(&compress, &newer.options, NULL), SMF_OK);
    smf_compress_close(compress);
    CHECK_EQ(smf_compress_open(&compress, NULL, NULL), SMF_OK);
    smf_compress_close(compress);
    smf_compress_close(NULL);
}

/* The filter on both ends of a connection. */

static const struct smf_method echo_method = {"Echo",      "a.Node", "a.Node", &node_table,
                                              &node_table, ECHO_ID,  0,        0};

struct pair {
    struct world world;
    struct smf_router *router;
    struct smf_client *client;
    struct smf_compress *server_side, *client_side; /* or NULL */
    int answers, handled;
    struct smf_result result;
    uint32_t name_size;        /* of the last reply's name */
    uint8_t leave;             /* an inner filter of the server says DISABLED */
    uint32_t read;             /* what it says the peer can read; 0: what it was */
    const struct golden *puts; /* what it puts as the reply, or NULL */
    struct smf_filter_call inner;
};

static struct pair *pair_now; /* whom the service serves */

static int dispatch(const void *server, struct smf_core *core, const struct smf_event *event)
{
    struct smf_call call = {.problem = NULL, .context = NULL};
    struct smf_flat_string name;
    struct smf_flat_string_ref text;
    const void *node;

    (void)server;
    if (event->meta != ECHO_ID && event->meta != WORLD_METHOD)
        return 0;
    node = smf_call_begin(&call, core, event, &echo_method, 1, 0);
    if (node == NULL)
        return 1;
    pair_now->handled++;
    name = smf_flat_get_string(node, NODE_NAME);
    text = smf_flat_build_string(&call.reply, name.data, name.size_bytes);
    smf_flat_start_table(&call.reply, NODE_SLOTS_SIZE);
    smf_flat_add_ref(&call.reply, NODE_NAME, text.ref);
    (void)smf_flat_finish(&call.reply, smf_flat_end_table(&call.reply, NULL, 0), NULL);
    smf_call_end(&call, SMF_CODE_OK);
    return 1;
}

static const struct smf_method served[] = {
    {"Echo", "a.Node", "a.Node", &node_table, &node_table, ECHO_ID, 0, 0},
    {"Get", "a.Node", "a.Node", &node_table, &node_table, WORLD_METHOD, 0, 0},
};

static const struct smf_service service = {
    "Nodes", "a.Nodes", "nodes.fbs", served, 2, SMF_GENERATED_VERSION, dispatch};

static void on_inner_reply(struct smf_filter_call *call, void *context)
{
    struct pair *pair = context;

    if (pair->puts != NULL)
        CHECK_EQ(smf_filter_put(call, pair->puts->bytes, (uint32_t)pair->puts->size_bytes,
                                compression_of(pair->puts)),
                 SMF_OK);
    if (pair->leave)
        call->compression = SMF_COMPRESSION_DISABLED;
    if (pair->read != 0)
        call->compressions = pair->read;
}

static void on_inner_done(struct smf_filter_call *call, void *context)
{
    ((struct pair *)context)->inner = *call;
}

static void handle(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct pair *pair = world->context;

    if (core == world->server)
        smf_router_handle(core, event, pair->router);
    else
        smf_client_handle(core, event, pair->client);
}

static void pair_open(struct pair *pair, struct smf_compress *server_side,
                      struct smf_compress *client_side)
{
    const struct smf_filter inner = {
        .size = sizeof inner, .reply = on_inner_reply, .done = on_inner_done, .context = pair};
    struct smf__rpc_config limits = world_limits();
    struct smf_error error;

    memset(pair, 0, sizeof *pair);
    world_open(&pair->world, test_seed(), MEMORY_BYTES, &limits);
    pair->world.context = pair_now = pair;
    pair->world.handle = handle;
    pair->server_side = server_side;
    pair->client_side = client_side;
    CHECK_EQ(smf_router_open(&pair->router), SMF_OK);
    CHECK_EQ(smf_router_add(pair->router, &service, pair, &error), SMF_OK);
    if (server_side != NULL)
        CHECK_EQ(
            smf_router_filter(pair->router, NULL, NULL, smf_compress_filter(server_side), &error),
            SMF_OK);
    CHECK_EQ(smf_router_filter(pair->router, NULL, NULL, &inner, &error), SMF_OK);
    CHECK_EQ(smf_client_open(&pair->client, pair->world.client, 0), SMF_OK);
    if (client_side != NULL)
        CHECK_EQ(smf_client_filter(pair->client, smf_compress_filter(client_side), &error), SMF_OK);
    CHECK_EQ(smf_client_connect(pair->client, WORLD_ADDRESS, &error), SMF_OK);
}

static void pair_close(struct pair *pair)
{
    smf_client_close(pair->client);
    CHECK_LT(world_stats(pair->world.server).memory_used_bytes, 2u << 20); /* all came back */
    CHECK_LT(world_stats(pair->world.client).memory_used_bytes, 2u << 20);
    smf_router_close(pair->router);
    world_close(&pair->world);
    smf_compress_close(pair->server_side);
    smf_compress_close(pair->client_side);
}

static void answered(const struct smf_result *result, const void *reply,
                     smf_client_callback callback, void *context)
{
    struct pair *pair = context;

    (void)callback;
    pair->answers++;
    pair->result = *result;
    pair->name_size = smf_flat_get_string(reply, NODE_NAME).size_bytes;
}

/* A call with a name of so many letters; returns the payload's size. */
static uint32_t call(struct pair *pair, uint32_t name_size)
{
    static char letters[PIECE_BYTES];
    struct smf_flat_builder builder;
    struct smf_flat_string_ref text;
    int before = pair->answers;
    uint32_t size;

    memset(letters, 'a', sizeof letters);
    smf_flat_builder_init_core(&builder, pair->world.client);
    text = smf_flat_build_string(&builder, letters, name_size);
    smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(&builder, NODE_NAME, text.ref);
    (void)smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL);
    size = smf_flat_size_bytes(&builder);
    CHECK_EQ(smf_client_call(pair->client, &echo_method, &builder, 0, answered, NULL, pair),
             SMF_OK);
    smf_flat_builder_fini(&builder);
    world_run(&pair->world, 1000);
    CHECK_EQ(pair->answers, before + 1);
    return size;
}

static void both_ends(void)
{
    static const uint32_t sizes[] = {10, 1000, 100000, 2u << 20};
    struct pair pair;

    for (uint32_t there = 0; there <= 3; there += there == 0 ? 2 : 1) {
        for (uint32_t back = 0; back <= 3; back += back == 0 ? 2 : 1) {
            pair_open(&pair, compress_open(back, 100, 0), compress_open(there, 100, 0));
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                uint32_t size = call(&pair, sizes[i]);

                CHECK_EQ(pair.result.status, SMF_OK);
                CHECK_EQ(pair.result.code, SMF_CODE_OK);
                CHECK_EQ(pair.name_size, sizes[i]);
                CHECK_EQ(pair.inner.request_compression, size > 100 ? there : 0);
                CHECK_EQ(pair.inner.compression, size > 100 ? back : 0);
                if (size > 100 && back != 0)
                    CHECK_LT(pair.inner.size_bytes, size / 5);
            }
            pair_close(&pair);
        }
    }
}

/* Strictly larger than the minimum, and only if it helps. */
static void what_is_compressed(void)
{
    struct pair pair;
    uint32_t size;

    pair_open(&pair, compress_open(SMF_COMPRESSION_LZ4, 0, 0), compress_open(0, 0, 0));
    size = call(&pair, 400);
    CHECK_EQ(pair.inner.compression, SMF_COMPRESSION_LZ4);
    CHECK_EQ(pair.result.size_bytes, size);
    (void)call(&pair, 1); /* becomes no smaller */
    CHECK_EQ(pair.inner.compression, SMF_COMPRESSION_NONE);
    pair.leave = 1;
    (void)call(&pair, 400);
    CHECK_EQ(pair.inner.compression, SMF_COMPRESSION_DISABLED);
    CHECK_EQ(pair.name_size, 400);
    pair.leave = 0;
    pair.read = 1u << SMF_COMPRESSION_NONE | 1u << SMF_COMPRESSION_ZSTD;
    (void)call(&pair, 400); /* the peer can't read lz4 */
    CHECK_EQ(pair.inner.compression, SMF_COMPRESSION_NONE);
    pair_close(&pair);
    for (uint32_t less = 0; less <= 1; less++) {
        pair_open(&pair, compress_open(SMF_COMPRESSION_ZSTD, size - less, 0),
                  compress_open(0, 0, 0));
        CHECK_EQ(call(&pair, 400), size);
        CHECK_EQ(pair.inner.compression, less ? SMF_COMPRESSION_ZSTD : SMF_COMPRESSION_NONE);
        pair_close(&pair);
    }
}

static struct pair golden_pair;
static struct raw *golden_raw;
static size_t golden_at;

static void check_frame(const struct golden *golden)
{
    struct smf_frame frame, sent;
    const uint8_t *payload, *plain;
    uint32_t plain_size;

    smf_frame_decode(golden->bytes, &sent);
    CHECK_EQ(sent.compression, compression_of(golden));
    CHECK_EQ(sent.session, golden_number(golden, "session"));
    CHECK_EQ(sent.meta, golden_number(golden, "meta"));
    CHECK_EQ(sent.size, golden->size_bytes - HEADER);
    CHECK_EQ(smf_frame_checksum(golden->bytes + HEADER, sent.size), sent.checksum);
    if (sent.meta == SMF_CODE_OK)
        return; /* a reply: bad_replies takes it */
    plain = plain_of(golden, &plain_size);
    CHECK(raw_send(golden_raw, golden->bytes, golden->size_bytes));
    world_run(&golden_pair.world, 10);
    CHECK(raw_next(golden_raw, &golden_at, &frame, &payload));
    CHECK_EQ(frame.session, sent.session);
    CHECK_EQ(frame.meta, SMF_CODE_OK);
    CHECK_EQ(frame.compression, SMF_COMPRESSION_ZSTD);
    CHECK_EQ(ZSTD_getFrameContentSize(payload, frame.size), plain_size);
    check_stock(frame.compression, payload, frame.size, plain, plain_size); /* it echoes */
}

static void check_bad_frame(const struct golden *golden)
{
    static uint8_t bytes[GOLDEN_BYTES_MAX + HEADER];
    struct smf_frame frame;
    const uint8_t *payload;
    size_t size;

    if (has_field(golden, "limit"))
        return; /* another one than that of the pair */
    size = frame_make(bytes, 3, WORLD_METHOD, golden->bytes, (uint32_t)golden->size_bytes);
    bytes[0] = (uint8_t)compression_of(golden);
    CHECK(raw_send(golden_raw, bytes, size));
    world_run(&golden_pair.world, 10);
    CHECK(raw_next(golden_raw, &golden_at, &frame, &payload));
    CHECK_EQ(frame.meta, golden_number(golden, "code"));
    CHECK_EQ(frame.size, 12);
}

static void golden_requests(void)
{
    pair_open(&golden_pair, compress_open(SMF_COMPRESSION_ZSTD, 100, 0), NULL);
    golden_raw = raw_open(&golden_pair.world);
    golden_at = 0;
    each_golden(FOLDER "frame_*.hex", 4, check_frame);
    CHECK_EQ(golden_pair.handled, 2);
    each_golden(FOLDER "bad_*.hex", 20, check_bad_frame);
    CHECK_EQ(golden_pair.handled, 2);
    CHECK_EQ(golden_raw->ended, 0);
    pair_close(&golden_pair);
}

static void check_reply(const struct golden *golden)
{
    golden_pair.puts = golden;
    (void)call(&golden_pair, 10);
    CHECK_EQ(golden_pair.result.code, SMF_CODE_OK);
    if (!has_field(golden, "code")) { /* zeros are read, and are no table */
        CHECK_EQ(golden_pair.result.status, has_field(golden, "zeros") ? SMF_EINVAL : SMF_OK);
        return;
    }
    CHECK_EQ(golden_pair.result.status,
             golden_number(golden, "code") == 413 && !has_field(golden, "limit") ? SMF_ELIMIT
                                                                                 : SMF_EINVAL);
}

/* Replies of a stock server, and such as nobody should send. */
static void golden_replies(void)
{
    pair_open(&golden_pair, NULL, compress_open(0, 0, 0));
    each_golden(FOLDER "zstd_*.hex", 8, check_reply);
    each_golden(FOLDER "lz4_*.hex", 5, check_reply);
    each_golden(FOLDER "bad_*.hex", 20, check_reply);
    pair_close(&golden_pair);
}

static const struct test tests[] = {
    TEST(golden_payloads),
    TEST(damaged_payloads),
    TEST(stock_libraries_read_it),
    TEST(bombs),
    TEST(boasts),
    TEST(memory_that_is_short),
    TEST(many_cores),
    TEST(contexts_are_used_again),
    TEST(cores_at_once),
    TEST(what_is_refused),
    TEST(both_ends),
    TEST(what_is_compressed),
    TEST(golden_requests),
    TEST(golden_replies),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
