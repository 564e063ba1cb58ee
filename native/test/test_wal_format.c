/* Names, headers of files and headers of batches against the golden bytes. */
#include "wal/wal_format.h"

#include "test_wal_golden.h"
#include "time/time_random.h"
#include "wal/wal_crc.h"

/* --- names ---------------------------------------------------------------------------------------- */

static int name_ok(const char *name)
{
    return smf__wal_topic_name_ok(name, strlen(name));
}

static void topic_names_are_safe_as_folders(void)
{
    CHECK(name_ok("a") && name_ok("orders") && name_ok("0") && name_ok("Orders.of-2026_12"));
    CHECK(name_ok("METAL") && name_ok("LOCKS") && name_ok("meta") && name_ok("META-1"));
    CHECK(!name_ok("") && !name_ok(".") && !name_ok("..") && !name_ok(".a") && !name_ok("_a"));
    CHECK(!name_ok("-a") && !name_ok("a/b") && !name_ok("a b") && !name_ok("a\n"));
    CHECK(!name_ok("gr\xc3\xbc"
                   "n"));
    CHECK(!name_ok("META") && !name_ok("LOCK") && !name_ok("META.new") && !name_ok("LOCK.1"));
    CHECK(!smf__wal_topic_name_ok("a\0b", 3));
    char longest[SMF__WAL_TOPIC_NAME_MAX_BYTES + 1];
    memset(longest, 'x', sizeof(longest));
    CHECK(smf__wal_topic_name_ok(longest, sizeof(longest) - 1));
    CHECK(!smf__wal_topic_name_ok(longest, sizeof(longest)));
}

static void file_names_come_back(void)
{
    static const struct {
        uint32_t number;
        uint64_t first_offset;
        const char *name;
    } cases[] = {
        {1, 0, "0000000001-00000000000000000000.seg"},
        {7, 1234, "0000000007-00000000000000001234.seg"},
        {UINT32_MAX, INT64_MAX, "4294967295-09223372036854775807.seg"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char name[SMF__WAL_FILE_NAME_BYTES];
        uint32_t number;
        uint64_t first_offset;
        smf__wal_file_name(cases[i].number, cases[i].first_offset, name);
        CHECK_STR(name, cases[i].name);
        CHECK_EQ(smf__wal_file_name_parse(name, &number, &first_offset), SMF__WAL_GOOD);
        CHECK_EQ(number, cases[i].number);
        CHECK_EQ(first_offset, cases[i].first_offset);
    }
}

static void strange_file_names_are_not_ours(void)
{
    static const char *const names[] = {
        "",
        ".",
        "META",
        "0000000007-00000000000000001234.seg.new",
        "0000000007-00000000000000001234.idx",
        "0000000007-0000000000000001234.seg",
        "00000000007-0000000000000001234.seg",
        "0000000000-00000000000000001234.seg",
        "4294967296-00000000000000001234.seg",
        "0000000007-09223372036854775808.seg",
        "0000000007-99999999999999999999.seg",
        "0000000007_00000000000000001234.seg",
        "000000000 -00000000000000001234.seg",
        "+000000007-00000000000000001234.seg",
    };
    for (size_t i = 0; i < TEST_COUNT(names); i++) {
        uint32_t number;
        uint64_t first_offset;
        CHECK_EQ(smf__wal_file_name_parse(names[i], &number, &first_offset), SMF__WAL_NOT_OURS);
    }
}

/* --- block 0 -------------------------------------------------------------------------------------- */

static unsigned statuses_seen;

static void check_file_fields(const struct golden *golden, const struct smf__wal_file *file)
{
    CHECK_EQ(file->version, golden_number(golden, "version"));
    CHECK_EQ(file->flags, golden_number(golden, "flags"));
    CHECK_EQ(file->kind, golden_number(golden, "kind"));
    CHECK_EQ(file->id, golden_number(golden, "id"));
    CHECK_EQ(file->number, golden_number(golden, "number"));
    CHECK_EQ(file->block_bytes, golden_number(golden, "block_bytes"));
    CHECK_EQ(file->first_offset, golden_number(golden, "first_offset"));
    CHECK_EQ(file->follows, golden_number(golden, "follows"));
    CHECK_EQ(file->durable_before, golden_number(golden, "durable_before"));
    CHECK_EQ(file->follows_crc, golden_number(golden, "follows_crc"));
    CHECK_EQ(file->partition, golden_number(golden, "partition"));
    CHECK_EQ(file->topic_id, golden_number(golden, "topic_id"));
    CHECK_EQ(file->created_us, golden_number(golden, "created_us"));
    CHECK_STR(file->topic_name, golden_text(golden, "topic_name"));
    CHECK_EQ(file->topic_name_size, strlen(file->topic_name));
}

static void check_file(const struct golden *golden)
{
    struct smf__wal_file file;
    uint8_t *bytes = exactly(golden->bytes, golden->size_bytes);
    int status = smf__wal_file_parse(bytes, golden->size_bytes, &file);
    golden_status(golden, status);
    statuses_seen |= 1u << status;
    uint8_t again[SMF__WAL_FILE_HEADER_BYTES];
    if (status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED ||
        status == SMF__WAL_OUT_OF_RANGE) {
        check_file_fields(golden, &file);
        memset(again, 0xee, sizeof(again));
        CHECK_EQ(smf__wal_file_encode(&file, again), status);
        if (status == SMF__WAL_GOOD)
            CHECK_MEM(again, bytes, sizeof(again));
        else
            CHECK_EQ(again[0], 0xee);
    }
    if (status == SMF__WAL_TOO_NEW)
        CHECK_EQ(file.version, golden_number(golden, "version"));
    free(bytes);
}

static void golden_file_headers_are_read_and_made(void)
{
    statuses_seen = 0;
    each_golden("file_*.hex", 17, check_file);
    CHECK_EQ(statuses_seen, 1u << SMF__WAL_GOOD | 1u << SMF__WAL_TRUNCATED |
                                1u << SMF__WAL_NOT_OURS | 1u << SMF__WAL_TOO_NEW |
                                1u << SMF__WAL_UNSUPPORTED | 1u << SMF__WAL_DAMAGED_HEADER |
                                1u << SMF__WAL_OUT_OF_RANGE);
}

static void a_misplaced_file_is_recognised(void)
{
    static struct golden golden;
    struct smf__wal_file file;
    golden_read(&golden, GOLDEN_WAL "file_follows.hex");
    CHECK_EQ(smf__wal_file_parse(golden.bytes, golden.size_bytes, &file), SMF__WAL_GOOD);
    uint64_t id = file.topic_id, first = file.first_offset;
    CHECK_EQ(smf__wal_file_belongs(&file, id, 3, 8, first), SMF__WAL_GOOD);
    CHECK_EQ(smf__wal_file_belongs(&file, id + 1, 3, 8, first), SMF__WAL_MISPLACED);
    CHECK_EQ(smf__wal_file_belongs(&file, id, 2, 8, first), SMF__WAL_MISPLACED);
    CHECK_EQ(smf__wal_file_belongs(&file, id, 3, 9, first), SMF__WAL_MISPLACED);
    CHECK_EQ(smf__wal_file_belongs(&file, id, 3, 8, first + 1), SMF__WAL_MISPLACED);
}

/* --- batches -------------------------------------------------------------------------------------- */

static struct smf__wal_file golden_file(const struct golden *golden)
{
    return (struct smf__wal_file){
        .version = SMF__WAL_VERSION,
        .kind = SMF__WAL_FILE_SEGMENT,
        .id = golden_number(golden, "file_id"),
        .number = (uint32_t)golden_number(golden, "file_number"),
        .block_bytes = (uint32_t)golden_number(golden, "block_bytes"),
    };
}

static void check_batch_fields(const struct golden *golden, const struct smf__wal_batch *batch)
{
    CHECK_EQ(batch->header_crc, golden_number(golden, "header_crc"));
    CHECK_EQ(batch->body_crc, golden_number(golden, "body_crc"));
    CHECK_EQ(batch->body_bytes, golden_number(golden, "body_bytes"));
    CHECK_EQ(batch->plain_bytes, golden_number(golden, "plain_bytes"));
    CHECK_EQ(batch->header_bytes, golden_number(golden, "header_bytes"));
    CHECK_EQ(batch->kind, golden_number(golden, "kind"));
    CHECK_EQ(batch->compression, golden_number(golden, "compression"));
    CHECK_EQ(batch->flags, golden_number(golden, "flags"));
    CHECK_EQ(batch->count, golden_number(golden, "count"));
    CHECK_EQ(batch->first_offset, golden_number(golden, "first_offset"));
    CHECK_EQ(batch->base_us, golden_number(golden, "base_us"));
    CHECK_EQ(batch->max_us, golden_number(golden, "max_us"));
    CHECK_EQ(batch->durable_before, golden_number(golden, "durable_before"));
    CHECK_EQ(batch->producer_id, golden_number(golden, "producer_id"));
    CHECK_EQ(batch->producer_epoch, golden_number(golden, "producer_epoch"));
    CHECK_EQ(batch->producer_sequence, golden_number(golden, "producer_sequence"));
    CHECK_EQ(batch->consensus_index, golden_number(golden, "consensus_index"));
    CHECK_EQ(batch->consensus_term, golden_number(golden, "consensus_term"));
    CHECK_EQ(batch->prev_crc, golden_number(golden, "prev_crc"));
}

/* Encodes what was parsed. Only a header of this version's size comes back as it was. */
static void check_encode(const struct smf__wal_batch *batch, const struct smf__wal_file *file,
                         uint64_t position, const uint8_t *bytes, int parsed)
{
    uint8_t again[SMF__WAL_BATCH_HEADER_BYTES + 1];
    struct smf__wal_batch same = *batch;
    memset(again, 0xee, sizeof(again));
    CHECK_EQ(smf__wal_batch_encode(&same, file, position, again + 1), parsed);
    CHECK_EQ(again[0], 0xee);
    if (parsed != SMF__WAL_GOOD)
        CHECK_EQ(again[1], 0xee);
    else if (batch->header_bytes == SMF__WAL_BATCH_HEADER_BYTES)
        CHECK_MEM(again + 1, bytes, SMF__WAL_BATCH_HEADER_BYTES);
}

static void check_batch(const struct golden *golden)
{
    struct smf__wal_file file = golden_file(golden);
    struct smf__wal_batch batch;
    uint64_t position = golden_number(golden, "position");
    uint8_t *bytes = exactly(golden->bytes, golden->size_bytes);
    int status = smf__wal_batch_parse(bytes, golden->size_bytes, &file, position, &batch);
    int header = status;
    if (status == SMF__WAL_GOOD)
        status = smf__wal_body_check(&batch, bytes, golden->size_bytes);
    golden_status(golden, status);
    statuses_seen |= 1u << status;
    if (status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED ||
        status == SMF__WAL_DAMAGED_BODY)
        check_batch_fields(golden, &batch);
    if (header != SMF__WAL_TRUNCATED && header != SMF__WAL_DAMAGED_HEADER)
        check_encode(&batch, &file, position, bytes, header);
    free(bytes);
}

static void golden_batches_are_read_and_made(void)
{
    statuses_seen = 0;
    each_golden("batch_*.hex", 20, check_batch);
    CHECK_EQ(statuses_seen, 1u << SMF__WAL_GOOD | 1u << SMF__WAL_TRUNCATED |
                                1u << SMF__WAL_UNSUPPORTED | 1u << SMF__WAL_DAMAGED_HEADER |
                                1u << SMF__WAL_DAMAGED_BODY | 1u << SMF__WAL_OUT_OF_RANGE);
}

/* A header is bound to its file and to its place in it, and not by chance: ids that may follow each
 * other never verify each other's headers, nor do two positions of one file. */
static void headers_verify_in_their_place_alone(void)
{
    static struct golden golden;
    golden_read(&golden, GOLDEN_WAL "batch_records.hex");
    struct smf__wal_file file = golden_file(&golden);
    struct smf__wal_batch batch;
    struct smf__random random;
    uint64_t id = file.id;
    smf__random_seed(&random, test_seed());
    for (int i = 0; i < 100000; i++) {
        file.id = smf__random_next(&random);
        if (!smf__wal_id_ok(file.id, id))
            continue;
        int status = smf__wal_batch_parse(golden.bytes, golden.size_bytes, &file, 512, &batch);
        CHECK_EQ(status, SMF__WAL_DAMAGED_HEADER);
    }
    file.id = id;
    for (uint64_t position = 520; position < 8000000; position += 8) {
        int status = smf__wal_batch_parse(golden.bytes, golden.size_bytes, &file, position, &batch);
        CHECK_EQ(status, SMF__WAL_DAMAGED_HEADER);
    }
    CHECK(!smf__wal_id_ok(id, id));
    CHECK(!smf__wal_id_ok(0, id));
    CHECK(smf__wal_id_ok(id, 0));
}

/* The same checksum before a header, by search: such an id may not follow. */
static void ids_that_look_alike_are_refused(void)
{
    uint64_t id = 0x1122334455667788;
    /* An id's checksum is linear: what changes nothing for one changes nothing for all. The
     * polynomial itself, shifted, is such a change. */
    uint64_t change = 0x105ec76f1ull; /* x^32 + … + 1, bit 0 first */
    CHECK(!smf__wal_id_ok(id ^ change, id));
    CHECK(!smf__wal_id_ok(id ^ change << 8, id));
    CHECK(smf__wal_id_ok(id ^ (change | 2), id));
}

static void random_bytes_are_no_headers(void)
{
    struct smf__random random;
    struct smf__wal_file file = {.id = 1, .number = 1, .block_bytes = 512};
    smf__random_seed(&random, test_seed());
    for (int i = 0; i < 200000; i++) {
        uint64_t words[SMF__WAL_FILE_HEADER_BYTES / 8];
        struct smf__wal_batch batch;
        struct smf__wal_file other;
        for (size_t j = 0; j < TEST_COUNT(words); j++)
            words[j] = smf__random_next(&random);
        uint8_t *bytes = (uint8_t *)words;
        bytes[12] = 96;
        bytes[13] = 0;
        uint64_t position = 512 + (uint64_t)i * 8;
        int status = smf__wal_batch_parse(bytes, sizeof(words), &file, position, &batch);
        CHECK_EQ(status, SMF__WAL_DAMAGED_HEADER);
        CHECK_EQ(smf__wal_file_parse(bytes, sizeof(words), &other), SMF__WAL_NOT_OURS);
    }
}

static void zeroes_are_found(void)
{
    uint8_t bytes[64] = {0};
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        CHECK(smf__wal_is_zero(bytes, size));
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = 0x80;
            CHECK_EQ(smf__wal_is_zero(bytes, size), i >= size);
            bytes[i] = 0;
        }
    }
}

static void statuses_have_names(void)
{
    for (int a = 0; a < SMF__WAL_STATUSES; a++) {
        for (int b = 0; b < a; b++)
            CHECK(strcmp(smf__wal_status_name(a), smf__wal_status_name(b)) != 0);
    }
    CHECK_STR(smf__wal_status_name(-1), "unknown status");
    CHECK_STR(smf__wal_status_name(SMF__WAL_STATUSES), "unknown status");
}

static const struct test tests[] = {
    TEST(topic_names_are_safe_as_folders),
    TEST(file_names_come_back),
    TEST(strange_file_names_are_not_ours),
    TEST(golden_file_headers_are_read_and_made),
    TEST(a_misplaced_file_is_recognised),
    TEST(golden_batches_are_read_and_made),
    TEST(headers_verify_in_their_place_alone),
    TEST(ids_that_look_alike_are_refused),
    TEST(random_bytes_are_no_headers),
    TEST(zeroes_are_found),
    TEST(statuses_have_names),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
