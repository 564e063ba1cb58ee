/* Metadata blocks: written, read, damaged and cut off. */
#include <smf/metadata.h>

#include "test.h"
#include "time/time_random.h"

#define MAX SMF_METADATA_SIZE_BYTES_MAX

/* Reads a copy that has exactly this size, so that a sanitizer sees a byte too many. */
static int read_copy(const uint8_t *bytes, size_t size_bytes)
{
    uint8_t *copy = malloc(size_bytes + 1);
    struct smf_metadata block;
    CHECK(copy != NULL);
    memcpy(copy + 1, bytes, size_bytes);
    int fault = smf_metadata_read(copy + 1, size_bytes, &block);
    struct smf_metadata_entry entry;
    uint32_t cursor = 0, count = 0;
    while (smf_metadata_next(&block, &cursor, &entry)) {
        CHECK_GE(entry.key_size_bytes, 1);
        CHECK_GE((const uint8_t *)entry.key - copy, 1 + SMF_METADATA_SIZE_BYTES_MIN);
        CHECK_LE(entry.value + entry.value_size_bytes - copy, 1 + size_bytes);
        count++;
    }
    CHECK(count == 0 || fault == SMF_METADATA_GOOD);
    CHECK_LE(block.size_bytes, size_bytes);
    free(copy);
    return fault;
}

static void add(struct smf_metadata_writer *writer, const char *key, const char *value)
{
    CHECK_EQ(smf_metadata_add(writer, key, strlen(key), value, strlen(value)), SMF_OK);
}

static uint32_t sample(uint8_t *memory, size_t size_bytes)
{
    struct smf_metadata_writer writer;
    uint32_t size;
    smf_metadata_begin(&writer, memory, size_bytes, 250000);
    add(&writer, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    add(&writer, "a", "");
    add(&writer, "user.id_9-x", "one");
    add(&writer, "a", "two");
    CHECK_EQ(smf_metadata_end(&writer, &size), SMF_OK);
    return size;
}

static void check_entry(const struct smf_metadata_entry *entry, const char *key, const char *value)
{
    CHECK_EQ(entry->key_size_bytes, strlen(key));
    CHECK_MEM(entry->key, key, strlen(key));
    CHECK_EQ(entry->value_size_bytes, strlen(value));
    CHECK_MEM(entry->value, value, strlen(value));
}

static void what_is_written_is_read(void)
{
    uint8_t memory[256];
    struct smf_metadata block;
    struct smf_metadata_entry entry;
    memset(memory, 0xee, sizeof(memory));
    uint32_t size = sample(memory, sizeof(memory)), cursor = 0;
    CHECK_EQ(size % 8, 0);
    CHECK_EQ(memory[size], 0xee);
    CHECK_EQ(smf_metadata_read(memory, sizeof(memory), &block), SMF_METADATA_GOOD);
    CHECK_EQ(block.size_bytes, size);
    CHECK_EQ(block.deadline_us, 250000);
    CHECK(smf_metadata_next(&block, &cursor, &entry));
    check_entry(&entry, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    CHECK(smf_metadata_next(&block, &cursor, &entry));
    check_entry(&entry, "a", "");
    CHECK(smf_metadata_next(&block, &cursor, &entry));
    check_entry(&entry, "user.id_9-x", "one");
    CHECK(smf_metadata_next(&block, &cursor, &entry));
    check_entry(&entry, "a", "two");
    CHECK(!smf_metadata_next(&block, &cursor, &entry));
    CHECK(!smf_metadata_next(&block, &cursor, &entry));

    CHECK(smf_metadata_find(&block, "a", 1, &entry));
    check_entry(&entry, "a", "");
    CHECK(smf_metadata_find(&block, "user.id_9-x", 11, &entry));
    check_entry(&entry, "user.id_9-x", "one");
    CHECK(!smf_metadata_find(&block, "user.id_9-", 10, &entry));
    CHECK(!smf_metadata_find(&block, "b", 1, &entry));
    CHECK(!smf_metadata_find(&block, "", 0, &entry));
    check_entry(&entry, "user.id_9-x", "one"); /* as before */
}

static void no_block_has_no_entries(void)
{
    struct smf_metadata block;
    struct smf_metadata_entry entry;
    uint32_t cursor = 0;
    memset(&block, 0, sizeof(block));
    CHECK(!smf_metadata_next(&block, &cursor, &entry));
    CHECK(!smf_metadata_find(&block, "a", 1, &entry));
}

static uint32_t deadline_after(uint64_t deadline_us)
{
    uint8_t memory[8];
    struct smf_metadata_writer writer;
    struct smf_metadata block;
    uint32_t size;
    smf_metadata_begin(&writer, memory, sizeof(memory), deadline_us);
    CHECK_EQ(smf_metadata_end(&writer, &size), SMF_OK);
    CHECK_EQ(size, 8);
    CHECK_EQ(smf_metadata_read(memory, 8, &block), SMF_METADATA_GOOD);
    return block.deadline_us;
}

static void a_deadline_that_is_too_far_is_none(void)
{
    CHECK_EQ(deadline_after(0), 0);
    CHECK_EQ(deadline_after(1), 1);
    CHECK_EQ(deadline_after(UINT32_MAX), UINT32_MAX);
    CHECK_EQ(deadline_after(1ull << 32), 0);
    CHECK_EQ(deadline_after((1ull << 32) + 5), 0);
}

static void every_truncation_is_found(void)
{
    uint8_t memory[256];
    uint32_t size = sample(memory, sizeof(memory));
    for (uint32_t cut = 0; cut < size; cut++)
        CHECK_EQ(read_copy(memory, cut), SMF_METADATA_TRUNCATED);
    CHECK_EQ(read_copy(memory, size), SMF_METADATA_GOOD);
    /* And with a size that says so. */
    for (uint32_t cut = 8; cut < size; cut += 8) {
        memory[0] = (uint8_t)cut;
        CHECK_NE(read_copy(memory, cut), SMF_METADATA_TRUNCATED);
    }
}

static void any_byte_may_be_any_other(void)
{
    uint8_t memory[256];
    uint32_t size = sample(memory, sizeof(memory));
    unsigned seen = 0;
    for (uint32_t at = 0; at < size; at++) {
        uint8_t was = memory[at];
        for (unsigned value = 0; value < 256; value++) {
            memory[at] = (uint8_t)value;
            int fault = read_copy(memory, size);
            CHECK(fault >= SMF_METADATA_GOOD && fault <= SMF_METADATA_BAD_PADDING);
            seen |= 1u << fault;
        }
        memory[at] = was;
    }
    CHECK_EQ(seen, 0x3f); /* every one of enum smf_metadata_fault */
}

/* Bytes behind the 8 of a block's beginning. */
static int fault_of(const char *bytes, size_t size_bytes)
{
    uint8_t block[512] = {0};
    uint32_t size = (uint32_t)(8 + size_bytes);
    CHECK_LE(size, sizeof(block));
    memcpy(block, &(uint8_t[]){(uint8_t)size, (uint8_t)(size >> 8), 0, 0}, 4);
    memcpy(block + 8, bytes, size_bytes);
    return read_copy(block, size);
}

#define FAULT(bytes) fault_of(bytes, sizeof(bytes) - 1)

static void faults_have_their_names(void)
{
    CHECK_EQ(FAULT("\x03\0\1\0keyv"), SMF_METADATA_GOOD);
    CHECK_EQ(FAULT("\x01\0\0\0k\0\0\0"), SMF_METADATA_GOOD);
    CHECK_EQ(FAULT("\x04\0\0\0keyv"), SMF_METADATA_GOOD);
    CHECK_EQ(FAULT("\x04\0\1\0keyv"), SMF_METADATA_BAD_ENTRY);
    CHECK_EQ(FAULT("\x05\0\0\0keyv"), SMF_METADATA_BAD_ENTRY);
    CHECK_EQ(FAULT("\x03\0\xff\xffkeyv"), SMF_METADATA_BAD_ENTRY);
    CHECK_EQ(FAULT("\0\1\0\0keyv"), SMF_METADATA_BAD_KEY); /* 256 bytes */
    CHECK_EQ(FAULT("\0\0\1\0keyv"), SMF_METADATA_BAD_KEY);
    CHECK_EQ(FAULT("\x03\0\1\0Keyv"), SMF_METADATA_BAD_KEY);
    CHECK_EQ(FAULT("\x03\0\1\0k yv"), SMF_METADATA_BAD_KEY);
    CHECK_EQ(FAULT("\x03\0\1\0k:yv"), SMF_METADATA_BAD_KEY);
    CHECK_EQ(FAULT("\0\0\0\0\0\0\0\0"), SMF_METADATA_BAD_PADDING); /* 8 bytes */
    CHECK_EQ(FAULT("\x01\0\0\0k\0\0\1"), SMF_METADATA_BAD_PADDING);
    CHECK_EQ(FAULT("\x01\0\3\0kabc\x01\0\0\0k\0\0\0"), SMF_METADATA_GOOD);
    CHECK_EQ(FAULT("\x01\0\7\0kabcdefg\0\0\1\0"), SMF_METADATA_BAD_PADDING);
    CHECK_EQ(FAULT("\x01\0\7\0kabcdefg\1\0\0\0"), SMF_METADATA_BAD_PADDING); /* no room */
    CHECK_STR(smf_metadata_fault_name(SMF_METADATA_BAD_PADDING), "bad padding");
    CHECK_STR(smf_metadata_fault_name(6), "unknown fault");
}

static void sizes_have_limits(void)
{
    static uint8_t big[MAX + 8];
    static const uint32_t bad[] = {0, 4, 7, 9, 12, MAX + 8, MAX + 1, 0x80000008, UINT32_MAX};
    for (size_t i = 0; i < TEST_COUNT(bad); i++) {
        big[0] = (uint8_t)bad[i], big[1] = (uint8_t)(bad[i] >> 8);
        big[2] = (uint8_t)(bad[i] >> 16), big[3] = (uint8_t)(bad[i] >> 24);
        CHECK_EQ(read_copy(big, sizeof(big)), SMF_METADATA_BAD_SIZE);
    }
}

/* Adds entries with such a value until it does not go any further; returns how it ended. */
static int fill(uint8_t *memory, size_t size_bytes, size_t value_size, uint32_t *size_out)
{
    static const uint8_t value[MAX];
    struct smf_metadata_writer writer;
    uint32_t size;
    int count = 0, status;
    smf_metadata_begin(&writer, memory, size_bytes, 1);
    while ((status = smf_metadata_add(&writer, "k", 1, value, value_size)) == SMF_OK)
        count++;
    CHECK_EQ(smf_metadata_add(&writer, "k", 1, value, 0), status); /* it sticks */
    CHECK_EQ(smf_metadata_end(&writer, &size), status);
    CHECK_EQ(size, 0);
    smf_metadata_begin(&writer, memory, size_bytes, 1);
    while (count-- > 0)
        CHECK_EQ(smf_metadata_add(&writer, "k", 1, value, value_size), SMF_OK);
    CHECK_EQ(smf_metadata_end(&writer, size_out), SMF_OK);
    return status;
}

static void memory_and_limit_are_kept(void)
{
    static uint8_t memory[MAX + 64];
    uint32_t size;
    for (size_t room = 8; room < 200; room++) {
        memset(memory, 0xee, sizeof(memory));
        CHECK_EQ(fill(memory, room, room % 13, &size), SMF_ENOMEM);
        CHECK_LE(size, room);
        CHECK_EQ(memory[room], 0xee);
        CHECK_EQ(read_copy(memory, size), SMF_METADATA_GOOD);
    }
    CHECK_EQ(fill(memory, sizeof(memory), MAX - 13, &size), SMF_ELIMIT); /* one entry: all of it */
    CHECK_EQ(size, MAX);
    CHECK_EQ(read_copy(memory, size), SMF_METADATA_GOOD);
    CHECK_EQ(fill(memory, MAX, MAX - 12, &size), SMF_ELIMIT);
    CHECK_EQ(size, 8);
    CHECK_EQ(fill(memory, MAX, 0, &size), SMF_ELIMIT);
    CHECK_GT(size, MAX - 8);

    struct smf_metadata_writer writer;
    for (size_t room = 0; room < 8; room++) {
        memset(memory, 0xee, sizeof(memory));
        smf_metadata_begin(&writer, memory, room, 1);
        CHECK_EQ(smf_metadata_add(&writer, "k", 1, "", 0), SMF_ENOMEM);
        CHECK_EQ(smf_metadata_end(&writer, &size), SMF_ENOMEM);
        CHECK_EQ(memory[0], 0xee);
        CHECK_EQ(memory[4], 0xee);
    }
    smf_metadata_begin(&writer, memory, sizeof(memory), 1);
    CHECK_EQ(smf_metadata_add(&writer, "k", 1, NULL, SIZE_MAX - 2), SMF_ELIMIT);
}

static void bad_keys_are_refused(void)
{
    uint8_t memory[600];
    char key[SMF_METADATA_KEY_SIZE_BYTES_MAX + 1];
    struct smf_metadata_writer writer;
    uint32_t size;
    memset(key, 'k', sizeof(key));
    for (size_t length = 0; length <= sizeof(key); length++) {
        int good = length >= 1 && length <= SMF_METADATA_KEY_SIZE_BYTES_MAX;
        smf_metadata_begin(&writer, memory, sizeof(memory), 0);
        CHECK_EQ(smf_metadata_add(&writer, key, length, "v", 1), good ? SMF_OK : SMF_EINVAL);
        CHECK_EQ(smf_metadata_end(&writer, &size), good ? SMF_OK : SMF_EINVAL);
        if (good)
            CHECK_EQ(read_copy(memory, size), SMF_METADATA_GOOD);
    }
    for (int c = 0; c < 256; c++) {
        const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
        int good = c != 0 && strchr(text, c) != NULL;
        key[1] = (char)c;
        smf_metadata_begin(&writer, memory, sizeof(memory), 0);
        CHECK_EQ(smf_metadata_add(&writer, key, 3, NULL, 0), good ? SMF_OK : SMF_EINVAL);
    }
}

/* Blocks of random entries come back, and random bytes do no harm. */
static void random_blocks_survive(void)
{
    static uint8_t memory[MAX], value[600];
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    for (int round = 0; round < (test_slowed() ? 200 : 5000); round++) {
        struct smf_metadata_writer writer;
        struct smf_metadata block;
        struct smf_metadata_entry entry;
        int count = (int)(smf__random_next(&random) % 20);
        uint16_t sizes[20];
        uint32_t size, cursor = 0;
        smf_metadata_begin(&writer, memory, sizeof(memory), (uint64_t)round);
        for (int i = 0; i < count; i++) {
            sizes[i] = (uint16_t)(smf__random_next(&random) % sizeof(value));
            memset(value, i + round, sizes[i]);
            CHECK_EQ(smf_metadata_add(&writer, "key", 1 + (size_t)i % 3, value, sizes[i]), SMF_OK);
        }
        CHECK_EQ(smf_metadata_end(&writer, &size), SMF_OK);
        CHECK_EQ(smf_metadata_read(memory, size, &block), SMF_METADATA_GOOD);
        for (int i = 0; i < count; i++) {
            CHECK(smf_metadata_next(&block, &cursor, &entry));
            memset(value, i + round, sizes[i]);
            CHECK_EQ(entry.key_size_bytes, 1 + i % 3);
            CHECK_EQ(entry.value_size_bytes, sizes[i]);
            CHECK_MEM(entry.value, value, sizes[i]);
        }
        CHECK(!smf_metadata_next(&block, &cursor, &entry));
        for (int i = 0; i < 8; i++)
            memory[smf__random_next(&random) % size] = (uint8_t)smf__random_next(&random);
        read_copy(memory, size);
    }
}

static const struct test tests[] = {
    TEST(what_is_written_is_read),
    TEST(no_block_has_no_entries),
    TEST(a_deadline_that_is_too_far_is_none),
    TEST(every_truncation_is_found),
    TEST(any_byte_may_be_any_other),
    TEST(faults_have_their_names),
    TEST(sizes_have_limits),
    TEST(memory_and_limit_are_kept),
    TEST(bad_keys_are_refused),
    TEST(random_blocks_survive),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
