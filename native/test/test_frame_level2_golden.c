/* Level 2 against the golden bytes: frames, headers, metadata blocks, Hello and Error. */
#include <smf/frame.h>

#include <smf/flat_verify.h>
#include <smf/metadata.h>

#include "frame/frame_error.h"
#include "frame/frame_hello.h"
#include "test_frame_golden.h"

#define GOLDEN_DIR SMF_SOURCE_DIR "/schema/golden-level2"

static const char *fault_name(int fault)
{
    static const char *const names[] = {
        [SMF_FRAME_GOOD] = "good",
        [SMF_FRAME_BAD_COMPRESSION] = "bad_compression",
        [SMF_FRAME_BAD_FLAGS] = "bad_flags",
        [SMF_FRAME_SIZE_ZERO] = "size_zero",
        [SMF_FRAME_CHECKSUM_ZERO] = "checksum_zero",
        [SMF_FRAME_META_ZERO] = "meta_zero",
        [SMF_FRAME_BAD_SESSION] = "bad_session",
        [SMF_FRAME_BAD_SIZE] = "bad_size",
        [SMF_FRAME_BAD_CONTROL] = "bad_control",
    };
    CHECK(fault >= 0 && (size_t)fault < TEST_COUNT(names));
    return names[fault];
}

static int golden_has(const struct golden *golden, const char *name)
{
    for (int i = 0; i < golden->field_count; i++) {
        if (strcmp(golden->fields[i].name, name) == 0)
            return 1;
    }
    return 0;
}

static uint64_t golden_u64(const struct golden *golden, const char *name)
{
    char *end;
    uint64_t value = strtoull(golden_text(golden, name), &end, 10);
    CHECK_EQ(*end, 0);
    return value;
}

/* What stands in a payload, behind the block, whose kind the flags tell. */
static void check_content(const struct golden *golden, const struct smf_frame *frame,
                          const uint8_t *payload, uint32_t size_bytes)
{
    if (frame->flags & SMF_FRAME_CREDIT) {
        CHECK_EQ(smf_flat_load_u32(payload), golden_number(golden, "credit"));
    } else if ((frame->flags & SMF_FRAME_CONTROL) && frame->meta == SMF_CONTROL_GOAWAY) {
        CHECK_EQ(smf_flat_load_u32(payload), golden_number(golden, "why"));
        CHECK_EQ(smf_flat_load_u32(payload + 4), golden_number(golden, "last"));
    } else if (frame->flags & SMF_FRAME_CONTROL) {
        CHECK_EQ(smf_flat_load_u64(payload), golden_u64(golden, "token"));
    } else if ((frame->flags & SMF_FRAME_MORE) && golden_has(golden, "message_size")) {
        CHECK_EQ(smf_flat_load_u32(payload), golden_number(golden, "message_size"));
    } else if (frame->meta >= 400 && frame->meta < 600) {
        struct smf__error error;
        CHECK_EQ(smf__error_read(payload, size_bytes, &error, NULL), SMF_OK);
    }
}

static void check_frame(const struct golden *golden)
{
    static uint8_t copy[GOLDEN_BYTES_MAX];
    struct smf_frame frame;
    check_header(golden, &frame);
    CHECK_EQ(smf_frame_check_level2(&frame), SMF_FRAME_GOOD);
    CHECK_EQ(golden->size_bytes, SMF_FRAME_HEADER_SIZE_BYTES + frame.size);
    const uint8_t *payload = golden->bytes + SMF_FRAME_HEADER_SIZE_BYTES;
    CHECK_EQ(smf_frame_checksum_level2(&frame, payload, frame.size), frame.checksum);
    uint32_t size = frame.size;
    if (frame.flags & SMF_FRAME_METADATA) {
        struct smf_metadata block;
        CHECK_EQ(smf_metadata_read(payload, size, &block), SMF_METADATA_GOOD);
        CHECK_EQ(block.size_bytes, golden_number(golden, "metadata_size"));
        payload += block.size_bytes;
        size -= block.size_bytes;
    }
    check_content(golden, &frame, payload, size);

    /* No flipped bit of the frame goes unnoticed. */
    memcpy(copy, golden->bytes, golden->size_bytes);
    for (size_t bit = 0; bit < golden->size_bytes * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct smf_frame flipped;
        smf_frame_decode(copy, &flipped);
        CHECK_NE(
            smf_frame_checksum_level2(&flipped, copy + SMF_FRAME_HEADER_SIZE_BYTES, frame.size),
            flipped.checksum);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void golden_frames_are_read(void)
{
    each_golden(GOLDEN_DIR "/frame_*.hex", 30, check_frame);
}

static unsigned faults_seen;

static void check_bare_header(const struct golden *golden)
{
    struct smf_frame frame;
    CHECK_EQ(golden->size_bytes, SMF_FRAME_HEADER_SIZE_BYTES);
    check_header(golden, &frame);
    int fault = smf_frame_check_level2(&frame);
    CHECK_STR(fault_name(fault), golden_text(golden, "fault"));
    faults_seen |= 1u << fault;
}

static void golden_headers_have_their_faults(void)
{
    faults_seen = 0;
    each_golden(GOLDEN_DIR "/header_*.hex", 25, check_bare_header);
    CHECK_EQ(faults_seen, 0x1ff & ~(1u << SMF_FRAME_SIZE_ZERO | 1u << SMF_FRAME_CHECKSUM_ZERO));
}

/* Is this entry what the field says: key=value in hex? */
static void check_entry(const struct golden *golden, const char *text,
                        const struct smf_metadata_entry *entry)
{
    CHECK_EQ(strcspn(text, "="), entry->key_size_bytes);
    CHECK_MEM(text, entry->key, entry->key_size_bytes);
    text += entry->key_size_bytes + 1;
    CHECK_EQ(strlen(text), entry->value_size_bytes * 2u);
    for (uint16_t i = 0; i < entry->value_size_bytes; i++)
        CHECK_EQ(hex_digit(golden, text[2 * i]) << 4 | hex_digit(golden, text[2 * i + 1]),
                 entry->value[i]);
}

/* The entries are those of the fields, and written again they are the same bytes. */
static void check_block(const struct golden *golden, const struct smf_metadata *block)
{
    static uint8_t again[GOLDEN_BYTES_MAX];
    struct smf_metadata_writer writer;
    struct smf_metadata_entry entry;
    uint32_t cursor = 0, size;
    CHECK_EQ(block->size_bytes, golden_number(golden, "metadata_size"));
    CHECK_EQ(block->deadline_us, golden_number(golden, "deadline_us"));
    smf_metadata_begin(&writer, again, sizeof(again), block->deadline_us);
    for (int i = 0; i < golden->field_count; i++) {
        if (strcmp(golden->fields[i].name, "entry") != 0)
            continue;
        CHECK(smf_metadata_next(block, &cursor, &entry));
        check_entry(golden, golden->fields[i].value, &entry);
        CHECK_EQ(smf_metadata_add(&writer, entry.key, entry.key_size_bytes, entry.value,
                                  entry.value_size_bytes),
                 SMF_OK);
    }
    CHECK(!smf_metadata_next(block, &cursor, &entry));
    CHECK_EQ(smf_metadata_end(&writer, &size), SMF_OK);
    CHECK_EQ(size, block->size_bytes);
    CHECK_MEM(again, golden->bytes, size);
}

static void check_metadata(const struct golden *golden)
{
    struct smf_metadata block;
    char name[32];
    int fault = smf_metadata_read(golden->bytes, golden->size_bytes, &block);
    snprintf(name, sizeof(name), "%s", smf_metadata_fault_name(fault));
    for (char *space = name; (space = strchr(space, ' ')) != NULL;)
        *space = '_';
    CHECK_STR(name, golden_text(golden, "fault"));
    faults_seen |= 1u << fault;
    if (fault == SMF_METADATA_GOOD)
        check_block(golden, &block);
}

static void golden_blocks_are_read_and_written(void)
{
    faults_seen = 0;
    each_golden(GOLDEN_DIR "/metadata_*.hex", 20, check_metadata);
    CHECK_EQ(faults_seen, 0x3f); /* every one of enum smf_metadata_fault */
}

static void check_hello(const struct golden *golden)
{
    struct smf__hello hello;
    struct smf_error error;
    int status = smf__hello_read(golden->bytes, golden->size_bytes, &hello, &error);
    if (golden_has(golden, "problem")) {
        static const struct smf__hello nothing;
        CHECK_EQ(status, SMF_EINVAL);
        CHECK_EQ(error.status, SMF_EINVAL);
        CHECK_STR(error.text, golden_text(golden, "problem"));
        CHECK_MEM(&hello, &nothing, sizeof(hello));
        CHECK_EQ(smf__hello_read(golden->bytes, golden->size_bytes, &hello, NULL), SMF_EINVAL);
        return;
    }
    CHECK_EQ(status, SMF_OK);
    CHECK_EQ(hello.level, golden_number(golden, "level"));
    CHECK_EQ(hello.features, golden_u64(golden, "features"));
    CHECK_EQ(hello.compressions, golden_number(golden, "compressions"));
    CHECK_EQ(hello.frame_size_bytes_max, golden_number(golden, "frame_size_bytes_max"));
    CHECK_EQ(hello.calls_max, golden_number(golden, "calls_max"));
    CHECK_EQ(hello.credit_bytes, golden_number(golden, "credit_bytes"));
    CHECK_EQ(hello.message_size_bytes_max, golden_u64(golden, "message_size_bytes_max"));

    struct smf_flat_builder builder;
    uint8_t memory[SMF__HELLO_SIZE_BYTES_MAX];
    smf_flat_builder_init(&builder, memory, sizeof(memory));
    CHECK_EQ(smf__hello_write(&builder, &hello), SMF_OK);
    CHECK_EQ(smf_flat_size_bytes(&builder), golden->size_bytes);
    CHECK_MEM(smf_flat_payload(&builder), golden->bytes, golden->size_bytes);
}

static void golden_hellos_are_read_and_written(void)
{
    each_golden(GOLDEN_DIR "/table_hello_*.hex", 10, check_hello);
    CHECK_EQ(smf_method_id("smf", "Hello", "smf::HelloRequest", "smf::HelloReply"),
             SMF__HELLO_METHOD_ID);
    struct smf__hello hello;
    struct smf_error error;
    CHECK_EQ(smf__hello_read("not a table", 11, &hello, &error), SMF_EINVAL);
    CHECK(strstr(error.text, "Hello") != NULL);
}

static void hello_of(const char *path, struct smf__hello *hello_out)
{
    static struct golden golden;
    golden_read(&golden, path);
    CHECK_EQ(smf__hello_read(golden.bytes, golden.size_bytes, hello_out, NULL), SMF_OK);
}

static void offers_become_an_agreement(void)
{
    struct smf__hello offer, ours, agreed, made;
    hello_of(GOLDEN_DIR "/table_hello_offer.hex", &offer);
    hello_of(GOLDEN_DIR "/table_hello_ours.hex", &ours);
    hello_of(GOLDEN_DIR "/table_hello_agreed.hex", &agreed);
    memset(&made, 0xee, sizeof(made));
    smf__hello_agree(&ours, &offer, &made);
    CHECK_MEM(&made, &agreed, sizeof(made));
    smf__hello_agree(&offer, &ours, &offer); /* in place */
    CHECK_MEM(&offer, &agreed, sizeof(made));
}

/* The two frames that make a connection one of level 2 are frames of level 1. */
static void check_hello_frame(const struct golden *golden)
{
    struct smf_frame frame;
    struct smf__hello hello;
    check_header(golden, &frame);
    const uint8_t *payload = golden->bytes + SMF_FRAME_HEADER_SIZE_BYTES;
    CHECK_EQ(smf_frame_check_level1(&frame), SMF_FRAME_GOOD);
    CHECK_EQ(smf_frame_checksum(payload, frame.size), frame.checksum);
    CHECK(frame.meta == SMF__HELLO_METHOD_ID || frame.meta == 200);
    CHECK_EQ(smf__hello_read(payload, frame.size, &hello, NULL), SMF_OK);
    CHECK_EQ(hello.level, 2);
}

static void golden_hello_frames_are_of_level_1(void)
{
    each_golden(GOLDEN_DIR "/hello_*.hex", 2, check_hello_frame);
}

static void check_hex(const struct golden *golden, const char *name, const void *bytes,
                      uint32_t size_bytes)
{
    const char *text = golden_text(golden, name);
    CHECK_EQ(strlen(text), size_bytes * 2u);
    for (uint32_t i = 0; i < size_bytes; i++)
        CHECK_EQ(hex_digit(golden, text[2 * i]) << 4 | hex_digit(golden, text[2 * i + 1]),
                 ((const uint8_t *)bytes)[i]);
}

static void check_error(const struct golden *golden)
{
    struct smf__error error;
    CHECK_EQ(smf__error_read(golden->bytes, golden->size_bytes, &error, NULL), SMF_OK);
    check_hex(golden, "message", error.message.data, error.message.size_bytes);
    check_hex(golden, "details", error.details.data, error.details.count);
    check_hex(golden, "details_type", error.details_type.data, error.details_type.size_bytes);
    CHECK_EQ(error.retry_after_ms, golden_number(golden, "retry_after_ms"));
    CHECK_EQ(error.may_have_run, golden_number(golden, "may_have_run"));
    if (golden->size_bytes == 0)
        return;
    struct smf_flat_builder builder;
    uint8_t memory[SMF__ERROR_SIZE_BYTES_MAX + 64];
    smf_flat_builder_init(&builder, memory, sizeof(memory));
    CHECK_EQ(smf__error_write(&builder, &error), SMF_OK);
    CHECK_EQ(smf_flat_size_bytes(&builder), golden->size_bytes);
    CHECK_MEM(smf_flat_payload(&builder), golden->bytes, golden->size_bytes);
}

static void golden_errors_are_read_and_written(void)
{
    each_golden(GOLDEN_DIR "/table_error*.hex", 4, check_error);
}

/* What is no Error, and the empty table of level 1: nothing is known, so the call may have run. */
static void an_error_that_says_nothing_may_have_run(void)
{
    static const uint8_t empty[] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0};
    struct smf_flat_error problem;
    struct smf__error error = {.may_have_run = false};
    CHECK_EQ(smf__error_read(empty, sizeof(empty), &error, &problem), SMF_OK);
    CHECK(error.may_have_run);
    error.may_have_run = false;
    CHECK_EQ(smf__error_read("not a table", 11, &error, &problem), SMF_EINVAL);
    CHECK(error.may_have_run);
    CHECK_EQ(error.message.size_bytes, 0);
    CHECK_EQ(error.details.count, 0);
    CHECK_EQ(error.retry_after_ms, 0);
}

/* The memory that is asked for is enough for the most, at any address, and too little is told. */
static void builders_say_what_they_need(void)
{
    struct smf_flat_builder builder;
    struct smf__hello hello = {9, 9, 9, 9, 9, 9, 0, 9};
    struct smf__error error = {{"abc", 3}, {(const uint8_t *)"12345", 5}, {"x", 1}, 7, false};
    uint8_t memory[256];
    for (size_t shift = 0; shift < 8; shift++) {
        smf_flat_builder_init(&builder, memory + shift, SMF__HELLO_SIZE_BYTES_MAX);
        CHECK_EQ(smf__hello_write(&builder, &hello), SMF_OK);
        smf_flat_builder_init(&builder, memory + shift, SMF__ERROR_SIZE_BYTES_MAX + 9);
        CHECK_EQ(smf__error_write(&builder, &error), SMF_OK);
    }
    smf_flat_builder_init(&builder, memory, 40);
    CHECK_EQ(smf__hello_write(&builder, &hello), SMF_ENOMEM);
    smf_flat_builder_init(&builder, memory, 40);
    CHECK_EQ(smf__error_write(&builder, &error), SMF_ENOMEM);
}

static const struct test tests[] = {
    TEST(golden_frames_are_read),
    TEST(golden_headers_have_their_faults),
    TEST(golden_blocks_are_read_and_written),
    TEST(golden_hellos_are_read_and_written),
    TEST(offers_become_an_agreement),
    TEST(golden_hello_frames_are_of_level_1),
    TEST(golden_errors_are_read_and_written),
    TEST(an_error_that_says_nothing_may_have_run),
    TEST(builders_say_what_they_need),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
