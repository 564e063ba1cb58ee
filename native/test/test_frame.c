/* Frames against the golden bytes, and headers at random. */
#include <smf/frame.h>

#include <smf/status.h>

#include "frame/frame_inline.h"
#include "test.h"
#include "test_frame_golden.h"
#include "time/time_random.h"

#ifndef SMF_GOLDEN_DIR
#define SMF_GOLDEN_DIR SMF_SOURCE_DIR "/schema/golden"
#endif

#define LINE_SIZE_BYTES 4096

static void check_frame(const struct golden *golden)
{
    struct smf_frame frame;
    check_header(golden, &frame);
    CHECK_EQ(smf_frame_check_level1(&frame), SMF_FRAME_GOOD);
    CHECK_EQ(golden->size_bytes, SMF_FRAME_HEADER_SIZE_BYTES + frame.size);
    const uint8_t *payload = golden->bytes + SMF_FRAME_HEADER_SIZE_BYTES;
    CHECK_EQ(smf_frame_checksum(payload, frame.size), frame.checksum);

    /* No flipped bit of the payload goes unnoticed. */
    static uint8_t copy[GOLDEN_BYTES_MAX];
    memcpy(copy, payload, frame.size);
    for (uint32_t bit = 0; bit < frame.size * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_NE(smf_frame_checksum(copy, frame.size), frame.checksum);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void golden_frames_are_read_and_made(void)
{
    each_golden(SMF_GOLDEN_DIR "/frame_*.hex", 5, check_frame);
}

static const char *fault_name(int fault)
{
    static const char *const names[] = {
        [SMF_FRAME_GOOD] = "good",
        [SMF_FRAME_BAD_COMPRESSION] = "bad_compression",
        [SMF_FRAME_BAD_FLAGS] = "bad_flags",
        [SMF_FRAME_SIZE_ZERO] = "size_zero",
        [SMF_FRAME_CHECKSUM_ZERO] = "checksum_zero",
        [SMF_FRAME_META_ZERO] = "meta_zero",
    };
    CHECK(fault >= 0 && (size_t)fault < TEST_COUNT(names));
    return names[fault];
}

static unsigned faults_seen;

static void check_bare_header(const struct golden *golden)
{
    struct smf_frame frame;
    CHECK_EQ(golden->size_bytes, SMF_FRAME_HEADER_SIZE_BYTES);
    check_header(golden, &frame);
    int fault = smf_frame_check_level1(&frame);
    CHECK_STR(fault_name(fault), golden_text(golden, "fault"));
    faults_seen |= 1u << fault;
}

static void golden_headers_have_their_faults(void)
{
    faults_seen = 0;
    each_golden(SMF_GOLDEN_DIR "/header_*.hex", 14, check_bare_header);
    CHECK_EQ(faults_seen, 0x3f); /* every one of enum smf_frame_fault */
}

static void check_payload(const struct golden *golden)
{
    CHECK_EQ(golden->size_bytes, golden_number(golden, "size"));
    CHECK_EQ(smf_frame_checksum(golden->bytes, golden->size_bytes),
             golden_number(golden, "checksum"));
}

static void golden_payloads_have_their_checksums(void)
{
    each_golden(SMF_GOLDEN_DIR "/payload_*.hex", 4, check_payload);
    CHECK_EQ(smf_frame_checksum(NULL, 0), 0x51d8e999);

    struct golden zero;
    golden_read(&zero, SMF_GOLDEN_DIR "/payload_checksum_zero.hex");
    CHECK_GT(zero.size_bytes, 0);
    CHECK_EQ(smf_frame_checksum(zero.bytes, zero.size_bytes), 0);
}

static void golden_method_ids_are_made(void)
{
    FILE *file = fopen(SMF_GOLDEN_DIR "/method_ids.txt", "r");
    CHECK(file != NULL);
    char line[LINE_SIZE_BYTES];
    int count = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        char service[256], method[256], in[256], out[256], id[16], made[16];
        CHECK_EQ(sscanf(line, "%255s %255s %255s %255s %15s", service, method, in, out, id), 5);
        snprintf(made, sizeof(made), "%" PRIu32, smf_method_id(service, method, in, out));
        CHECK_STR(made, id);
        count++;
    }
    fclose(file);
    CHECK_GE(count, 5);
}

static void method_ids_have_limits(void)
{
    char longest[1002];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[1001] = 0;
    CHECK_EQ(smf_method_id(longest, "M", "I", "O"), 0);
    CHECK_EQ(smf_method_id("S", longest, "I", "O"), 0);
    CHECK_EQ(smf_method_id("S", "M", longest, "O"), 0);
    CHECK_EQ(smf_method_id("S", "M", "I", longest), 0);
    longest[1000] = 0;
    CHECK_NE(smf_method_id(longest, "M", "I", "O"), 0);
    CHECK_NE(smf_method_id("S", "M", "I", longest), 0);
    /* The two halves cancel each other out: an id that may not be used. */
    CHECK_EQ(smf_method_id("M:I:O", "M", "I", "O"), 0);
}

static void crc32_is_the_ieee_one(void)
{
    CHECK_EQ(smf_crc32("", 0), 0);
    CHECK_EQ(smf_crc32("123456789", 9), 0xcbf43926);
    CHECK_EQ(smf_crc32("SmfStorage", 10), 212494116);
    /* Bit by bit, from the definition. */
    uint8_t bytes[300];
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    for (size_t size = 0; size < sizeof(bytes); size++) {
        uint32_t crc = 0xffffffff;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)smf__random_next(&random);
            crc ^= bytes[i];
            for (int bit = 0; bit < 8; bit++)
                crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        }
        CHECK_EQ(smf_crc32(bytes, size), ~crc);
    }
}

/* Any 16 bytes come back as they were, and the inline functions say what the public ones say. */
static void random_headers_survive(void)
{
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    for (int i = 0; i < 100000; i++) {
        uint8_t bytes[SMF_FRAME_HEADER_SIZE_BYTES], again[SMF_FRAME_HEADER_SIZE_BYTES];
        uint64_t words[2] = {smf__random_next(&random), smf__random_next(&random)};
        if (i % 2 == 0)
            words[0] &= ~0xfffcull; /* legal compression, no flags */
        memcpy(bytes, words, sizeof(bytes));
        struct smf_frame frame, same;
        smf_frame_decode(bytes, &frame);
        smf__frame_decode(bytes, &same);
        CHECK_MEM(&frame, &same, sizeof(frame));
        CHECK_EQ(frame.session, bytes[2] | bytes[3] << 8);
        CHECK_EQ(frame.size,
                 (uint32_t)bytes[4] | bytes[5] << 8 | bytes[6] << 16 | (uint32_t)bytes[7] << 24);
        smf_frame_encode(&frame, again);
        CHECK_MEM(bytes, again, sizeof(bytes));
        smf__frame_encode(&frame, again);
        CHECK_MEM(bytes, again, sizeof(bytes));
        CHECK_EQ(smf_frame_check_level1(&frame), smf__frame_check_level1(&frame));
        CHECK_EQ(smf_frame_checksum(bytes, sizeof(bytes)),
                 smf__frame_checksum(bytes, sizeof(bytes)));
    }
}

/* A payload begins anywhere in memory. */
static void checksum_does_not_depend_on_the_address(void)
{
    static uint8_t bytes[300], moved[300 + 64];
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)smf__random_next(&random);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        uint32_t checksum = smf_frame_checksum(bytes, size);
        for (size_t shift = 0; shift < 64; shift += 1 + size % 7) {
            memcpy(moved + shift, bytes, size);
            CHECK_EQ(smf_frame_checksum(moved + shift, size), checksum);
        }
    }
}

static void statuses_have_names(void)
{
    CHECK_STR(smf_status_name(SMF_OK), "SMF_OK");
    CHECK_STR(smf_status_name(SMF_ENOMEM), "SMF_ENOMEM");
    CHECK_STR(smf_status_name(SMF_EUNSUPPORTED), "SMF_EUNSUPPORTED");
    CHECK_STR(smf_status_name(SMF_ECANCELLED), "SMF_ECANCELLED");
    CHECK_STR(smf_status_name(1), "SMF_E?");
    CHECK_STR(smf_status_name(SMF_ECANCELLED - 1), "SMF_E?");
    for (int a = SMF_OK; a > SMF_ECANCELLED; a--) {
        for (int b = a - 1; b >= SMF_ECANCELLED; b--)
            CHECK(strcmp(smf_status_name(a), smf_status_name(b)) != 0);
    }
}

static const struct test tests[] = {
    TEST(golden_frames_are_read_and_made),
    TEST(golden_headers_have_their_faults),
    TEST(golden_payloads_have_their_checksums),
    TEST(golden_method_ids_are_made),
    TEST(method_ids_have_limits),
    TEST(crc32_is_the_ieee_one),
    TEST(random_headers_survive),
    TEST(checksum_does_not_depend_on_the_address),
    TEST(statuses_have_names),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
