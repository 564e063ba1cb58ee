/* Records and items: bodies of batches against the golden bytes, at random, and cut off. */
#include "wal/wal_record.h"

#include "test_wal_golden.h"
#include "time/time_random.h"
#include "wal/wal_crc.h"
#include "wal/wal_item.h"

#define HEADERS_MAX 8

/* A record of a golden, with the memory that it points to. */
struct told {
    struct smf__wal_record record;
    struct smf__wal_bytes names[HEADERS_MAX], values[HEADERS_MAX];
    int headers;
    uint8_t memory[1024];
    uint8_t encoded[1024];
    size_t used;
};

/* One of "-" (none), "." (empty) and hex digits. */
static struct smf__wal_bytes told_bytes(struct told *told, const char *text, size_t size)
{
    if (size == 1 && text[0] == '-')
        return (struct smf__wal_bytes){NULL, 0};
    if (size == 1 && text[0] == '.')
        return (struct smf__wal_bytes){(const uint8_t *)"", 0};
    uint8_t *at = told->memory + told->used;
    size_t got = golden_hex("record", text, size, at, sizeof(told->memory) - told->used);
    told->used += got;
    return (struct smf__wal_bytes){at, (uint32_t)got};
}

/* "TIME KEY VALUE NAME=VALUE …" */
static void told_read(struct told *told, const char *line)
{
    char text[512], *rest = NULL;
    memset(told, 0, sizeof(*told));
    snprintf(text, sizeof(text), "%s", line);
    told->record.time_us = strtoll(strtok_r(text, " ", &rest), NULL, 10);
    const char *word = strtok_r(NULL, " ", &rest);
    told->record.key = told_bytes(told, word, strlen(word));
    word = strtok_r(NULL, " ", &rest);
    told->record.value = told_bytes(told, word, strlen(word));
    uint32_t size = 0;
    while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
        const char *equals = strchr(word, '=');
        CHECK(equals != NULL && told->headers < HEADERS_MAX);
        struct smf__wal_bytes name = told_bytes(told, word, (size_t)(equals - word));
        struct smf__wal_bytes value = told_bytes(told, equals + 1, strlen(equals + 1));
        smf__wal_header_write(name, value, told->encoded + size);
        size += smf__wal_header_bytes(name, value);
        told->names[told->headers] = name;
        told->values[told->headers++] = value;
    }
    if (size > 0)
        told->record.headers = (struct smf__wal_bytes){told->encoded, size};
}

static void check_bytes(struct smf__wal_bytes got, struct smf__wal_bytes want)
{
    CHECK_EQ(got.data == NULL, want.data == NULL);
    CHECK_EQ(got.size, want.size);
    if (want.size > 0)
        CHECK_MEM(got.data, want.data, want.size);
}

static void check_record(const struct smf__wal_record *got, const struct told *want)
{
    CHECK_EQ(got->time_us, want->record.time_us);
    check_bytes(got->key, want->record.key);
    check_bytes(got->value, want->record.value);
    if (got->value.data != NULL)
        CHECK_EQ((uintptr_t)got->value.data % 8, 0);
    struct smf__wal_rest rest = {.data = got->headers.data, .size = got->headers.size};
    for (int i = 0; i < want->headers; i++) {
        struct smf__wal_bytes name, value;
        CHECK_EQ(smf__wal_header_next(&rest, &name, &value), SMF__WAL_GOOD);
        check_bytes(name, want->names[i]);
        check_bytes(value, want->values[i]);
    }
    struct smf__wal_bytes name, value;
    CHECK_EQ(smf__wal_header_next(&rest, &name, &value), SMF__WAL_END);
}

static void check_body(const struct golden *golden)
{
    static struct told told;
    static uint8_t made[GOLDEN_BYTES_MAX];
    uint8_t *body = exactly(golden->bytes, golden->size_bytes);
    int64_t base_us = (int64_t)golden_number(golden, "base_us");
    int64_t max_us = (int64_t)golden_number(golden, "max_us");
    struct smf__wal_rest rest = {.data = body, .size = golden->size_bytes, .base_us = base_us};
    struct smf__wal_record record;
    uint32_t count = 0;
    size_t size = 0;
    memset(made, 0xee, sizeof(made));
    for (int i = 0; i < golden->field_count; i++) {
        if (strcmp(golden->fields[i].name, "record") != 0)
            continue;
        told_read(&told, golden->fields[i].value);
        CHECK_EQ(smf__wal_record_next(&rest, &record), SMF__WAL_GOOD);
        check_record(&record, &told);
        smf__wal_record_write(&told.record, base_us, made + size);
        size += smf__wal_record_bytes(&told.record, base_us);
        count++;
    }
    CHECK_EQ(smf__wal_record_next(&rest, &record), SMF__WAL_END);
    CHECK_EQ(size, golden->size_bytes);
    CHECK_MEM(made, body, size);
    CHECK_EQ(smf__crc32c(0, body, size), golden_number(golden, "crc"));
    CHECK_EQ(smf__wal_records_check(body, size, count, base_us, max_us), SMF__WAL_GOOD);
    CHECK_EQ(smf__wal_records_check(body, size, count + 1, base_us, max_us), SMF__WAL_OUT_OF_RANGE);
    CHECK_EQ(smf__wal_records_check(body, size, count, base_us, max_us + 1), SMF__WAL_OUT_OF_RANGE);
    free(body);
}

static void golden_bodies_are_read_and_made(void)
{
    each_golden("body_*.hex", 5, check_body);
}

/* Cut anywhere but between two records, a body is refused, and nothing behind the cut is looked at. */
static void cut_bodies_are_refused(void)
{
    static struct golden golden;
    golden_read(&golden, GOLDEN_WAL "body_headers.hex");
    struct smf__wal_rest rest = {.data = golden.bytes, .size = golden.size_bytes};
    struct smf__wal_record record;
    CHECK_EQ(smf__wal_record_next(&rest, &record), SMF__WAL_GOOD);
    size_t first = golden.size_bytes - rest.size;
    for (size_t size = 0; size < golden.size_bytes; size++) {
        uint8_t *body = exactly(golden.bytes, size);
        rest = (struct smf__wal_rest){.data = body, .size = size};
        int status;
        do
            status = smf__wal_record_next(&rest, &record);
        while (status == SMF__WAL_GOOD);
        int whole = size == 0 || size == first;
        CHECK_EQ(status, whole ? SMF__WAL_END : SMF__WAL_OUT_OF_RANGE);
        free(body);
    }
}

static void cut_headers_are_refused(void)
{
    static struct golden golden;
    golden_read(&golden, GOLDEN_WAL "body_headers.hex");
    struct smf__wal_rest rest = {.data = golden.bytes, .size = golden.size_bytes};
    struct smf__wal_record record;
    CHECK_EQ(smf__wal_record_next(&rest, &record), SMF__WAL_GOOD);
    for (uint32_t size = 0; size < record.headers.size; size++) {
        uint8_t *copy = exactly(record.headers.data, size);
        struct smf__wal_bytes name = {NULL, 0}, value;
        rest = (struct smf__wal_rest){.data = copy, .size = size};
        uint64_t left = size;
        int status;
        while ((status = smf__wal_header_next(&rest, &name, &value)) == SMF__WAL_GOOD)
            left = rest.size;
        CHECK_EQ(status, left == 0 ? SMF__WAL_END : SMF__WAL_OUT_OF_RANGE);
        free(copy);
    }
}

static void records_have_limits(void)
{
    uint8_t *much = calloc(1, SMF__WAL_RECORD_MAX_BYTES);
    CHECK(much != NULL);
    struct smf__wal_record record = {.value = {much, SMF__WAL_RECORD_MAX_BYTES - 16}};
    CHECK_EQ(smf__wal_record_bytes(&record, 0), SMF__WAL_RECORD_MAX_BYTES);
    record.value.size++;
    CHECK_EQ(smf__wal_record_bytes(&record, 0), 0);
    record.key = record.value;
    record.value.size = record.key.size = UINT32_MAX; /* together more than 32 bits */
    CHECK_EQ(smf__wal_record_bytes(&record, 0), 0);
    record.value.size = record.key.size = 0;
    CHECK_EQ(smf__wal_record_bytes(&record, 0), 16);
    record.headers = (struct smf__wal_bytes){much, SMF__WAL_HEADERS_MAX_BYTES};
    CHECK_EQ(smf__wal_record_bytes(&record, 0), 16 + SMF__WAL_HEADERS_MAX_BYTES);
    record.headers.size += 8;
    CHECK_EQ(smf__wal_record_bytes(&record, 0), 0);
    record.headers.size = 4;
    CHECK_EQ(smf__wal_record_bytes(&record, 0), 0);
    record.headers.size = 0;
    record.time_us = SMF__WAL_DELTA_MAX_US;
    CHECK_EQ(smf__wal_record_bytes(&record, 0), 16);
    CHECK_EQ(smf__wal_record_bytes(&record, -1), 0);
    record.time_us = INT64_MIN;
    CHECK_EQ(smf__wal_record_bytes(&record, INT64_MAX), 0);
    CHECK_EQ(smf__wal_record_bytes(&record, INT64_MIN), 0);

    struct smf__wal_bytes name = {much, 5}, value = {much, SMF__WAL_HEADERS_MAX_BYTES - 13};
    CHECK_EQ(smf__wal_header_bytes(name, value), SMF__WAL_HEADERS_MAX_BYTES);
    value.size++;
    CHECK_EQ(smf__wal_header_bytes(name, value), 0);
    free(much);
}

/* --- items ---------------------------------------------------------------------------------------- */

/* Says what an item says, and writes it again if it is of those that can be. */
static uint32_t item_text(const struct smf__wal_item *item, char *text_out, size_t size,
                          uint8_t *again_out)
{
    struct smf__wal_topic topic;
    struct smf__wal_head head;
    struct smf__wal_checkpoint checkpoint;
    uint64_t gone;
    switch (item->type) {
    case SMF__WAL_ITEM_TOPIC:
        CHECK_EQ(smf__wal_topic_read(item, &topic), SMF__WAL_GOOD);
        snprintf(text_out, size,
                 "topic %" PRIu64 " %" PRId64 " %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64
                 " %" PRIu64 " %.*s",
                 topic.topic_id, topic.created_us, topic.partitions, topic.record_max_bytes,
                 topic.segment_bytes, topic.retention_bytes, topic.retention_us,
                 (int)topic.name_size, topic.name);
        return smf__wal_topic_write(&topic, again_out);
    case SMF__WAL_ITEM_TOPIC_GONE:
        CHECK_EQ(smf__wal_topic_gone_read(item, &gone), SMF__WAL_GOOD);
        snprintf(text_out, size, "topic_gone %" PRIu64, gone);
        return smf__wal_topic_gone_write(gone, again_out);
    case SMF__WAL_ITEM_HEAD:
        CHECK_EQ(smf__wal_head_read(item, &head), SMF__WAL_GOOD);
        snprintf(text_out, size, "head %" PRIu64 " %" PRIu32 " %" PRIu64, head.topic_id,
                 head.partition, head.offset);
        return smf__wal_head_write(&head, again_out);
    case SMF__WAL_ITEM_CHECKPOINT:
        CHECK_EQ(smf__wal_checkpoint_read(item, &checkpoint), SMF__WAL_GOOD);
        snprintf(text_out, size,
                 "checkpoint %" PRIu64 " %" PRIu32 " %d %" PRIu64 " %" PRIu64 " %" PRIu32,
                 checkpoint.topic_id, checkpoint.partition, checkpoint.clean, checkpoint.end,
                 checkpoint.next_offset, checkpoint.prev_crc);
        return smf__wal_checkpoint_write(&checkpoint, again_out);
    default:
        CHECK_GE(item->type, SMF__WAL_ITEM_MAY_SKIP);
        snprintf(text_out, size, "skip %" PRIu32, item->type);
        return 0;
    }
}

/* The number of an item of this golden, counted over all of its batches. */
static const char *item_told(const struct golden *golden, int index)
{
    for (int i = 0; i < golden->field_count; i++) {
        if (strcmp(golden->fields[i].name, "item") == 0 && index-- == 0)
            return golden->fields[i].value;
    }
    test_fail(golden->path, 0, "too few items");
}

static int check_items(const struct golden *golden, const uint8_t *body, uint32_t size, int index)
{
    struct smf__wal_rest rest = {.data = body, .size = size};
    struct smf__wal_item item;
    int status;
    while ((status = smf__wal_item_next(&rest, &item)) == SMF__WAL_GOOD) {
        char text[512];
        uint8_t again[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
        uint32_t written = item_text(&item, text, sizeof(text), again);
        CHECK_STR(text, item_told(golden, index++));
        uint64_t taken = smf__wal_item_bytes(item.size);
        if (written == taken) /* else it has a field of a later version */
            CHECK_MEM(again, item.data - SMF__WAL_ITEM_HEADER_BYTES, taken);
        else
            CHECK_LT(written, taken);
    }
    CHECK_EQ(status, SMF__WAL_END);
    return index;
}

static void golden_items_are_read_and_made(void)
{
    static struct golden golden;
    golden_read(&golden, GOLDEN_WAL "meta_small.hex");
    struct smf__wal_file file;
    CHECK_EQ(smf__wal_file_parse(golden.bytes, golden.size_bytes, &file), SMF__WAL_GOOD);
    CHECK_EQ(file.kind, SMF__WAL_FILE_META);
    int items = 0;
    for (int i = 0; i < golden.field_count; i++) {
        uint64_t position;
        struct smf__wal_batch batch;
        if (sscanf(golden.fields[i].value, "%" SCNu64, &position) != 1 ||
            strcmp(golden.fields[i].name, "batch") != 0)
            continue;
        const uint8_t *at = golden.bytes + position;
        CHECK_EQ(smf__wal_batch_parse(at, 1024, &file, position, &batch), SMF__WAL_GOOD);
        CHECK_EQ(batch.kind, SMF__WAL_META);
        uint8_t *body = exactly(at + batch.header_bytes, batch.body_bytes);
        items = check_items(&golden, body, batch.body_bytes, items);
        free(body);
    }
    CHECK_EQ(items, 7);
}

static void items_have_limits(void)
{
    uint8_t bytes[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    struct smf__wal_topic topic = {
        .topic_id = 1, .partitions = 1, .name = "orders", .name_size = 6};
    CHECK_EQ(smf__wal_topic_write(&topic, bytes), 72);
    topic.name = "META";
    topic.name_size = 4;
    CHECK_EQ(smf__wal_topic_write(&topic, bytes), 0);
    topic.name = "x";
    topic.name_size = 1;
    topic.partitions = SMF__WAL_PARTITIONS_MAX + 1;
    CHECK_EQ(smf__wal_topic_write(&topic, bytes), 0);
    topic.partitions = 0;
    CHECK_EQ(smf__wal_topic_write(&topic, bytes), 0);
    CHECK_EQ(smf__wal_topic_gone_write(0, bytes), 0);
    struct smf__wal_head head = {.topic_id = 1, .offset = (uint64_t)INT64_MAX + 1};
    CHECK_EQ(smf__wal_head_write(&head, bytes), 0);
    struct smf__wal_checkpoint checkpoint = {.topic_id = 1, .end = 1ull << 32 | 513};
    CHECK_EQ(smf__wal_checkpoint_write(&checkpoint, bytes), 0);
    checkpoint.end = 512; /* of no file */
    CHECK_EQ(smf__wal_checkpoint_write(&checkpoint, bytes), 0);
}

/* Any payload of any type: what is read can be written, and is the same then. */
static void strange_items_are_refused(void)
{
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    uint8_t *zeroes = exactly((const uint8_t[8]){0}, 8);
    struct smf__wal_rest rest = {.data = zeroes, .size = 8};
    struct smf__wal_item item;
    CHECK_EQ(smf__wal_item_next(&rest, &item), SMF__WAL_UNSUPPORTED); /* type 0 */
    CHECK_EQ(smf__wal_item_next(&rest, &item), SMF__WAL_END);
    for (uint64_t size = 1; size < 8; size++) {
        rest = (struct smf__wal_rest){.data = zeroes + 8 - size, .size = size};
        CHECK_EQ(smf__wal_item_next(&rest, &item), SMF__WAL_OUT_OF_RANGE);
    }
    free(zeroes);
    for (int i = 0; i < 200000; i++) {
        uint64_t words[12];
        for (size_t j = 0; j < TEST_COUNT(words); j++)
            words[j] = smf__random_next(&random) >> smf__random_below(&random, 64);
        uint32_t size = (uint32_t)smf__random_below(&random, sizeof(words) + 1);
        uint8_t *payload = exactly((const uint8_t *)words, size);
        item = (struct smf__wal_item){.type = 1 + (uint32_t)i % 4, .size = size, .data = payload};
        struct smf__wal_topic topic;
        struct smf__wal_head head;
        struct smf__wal_checkpoint checkpoint;
        uint64_t gone;
        uint8_t again[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
        if (smf__wal_topic_read(&item, &topic) == SMF__WAL_GOOD)
            CHECK_GT(smf__wal_topic_write(&topic, again), 0);
        if (smf__wal_topic_gone_read(&item, &gone) == SMF__WAL_GOOD)
            CHECK_GT(smf__wal_topic_gone_write(gone, again), 0);
        if (smf__wal_head_read(&item, &head) == SMF__WAL_GOOD)
            CHECK_GT(smf__wal_head_write(&head, again), 0);
        if (smf__wal_checkpoint_read(&item, &checkpoint) == SMF__WAL_GOOD)
            CHECK_GT(smf__wal_checkpoint_write(&checkpoint, again), 0);
        free(payload);
    }
}

static const struct test tests[] = {
    TEST(golden_bodies_are_read_and_made), TEST(cut_bodies_are_refused),
    TEST(cut_headers_are_refused),         TEST(records_have_limits),
    TEST(golden_items_are_read_and_made),  TEST(items_have_limits),
    TEST(strange_items_are_refused),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
