/* Headers and checksums of level 2. */
#include <smf/frame.h>

#include <smf/metadata.h>

#include "frame/frame_inline.h"
#include "test.h"
#include "time/time_random.h"

static struct smf_frame call(uint8_t flags, uint16_t session, uint32_t size, uint32_t meta)
{
    struct smf_frame frame = {0, flags, session, size, 0, meta};
    return frame;
}

/* Every set of flags there is, against a list of those that are frames. */
static void flags_stand_together_or_not(void)
{
    enum { M = 0x01, S = 0x02, F = 0x04, R = 0x08, C = 0x10, O = 0x20, W = 0x40, X = 0x80 };
    static const uint8_t legal[] = {
        0, M,     S,     S | M,     S | F, S | F | M, /* calls and streams */
        O, O | M, O | S, O | S | M,                   /* slices */
        R, R | M, R | S, R | S | M,                   /* cancelled, refused */
        C, W,     W | M, X,
    };
    bool expected[256] = {false};
    for (size_t i = 0; i < TEST_COUNT(legal); i++)
        expected[legal[i]] = true;
    for (unsigned flags = 0; flags < 256; flags++) {
        uint32_t size = flags & X ? 8 : flags & C ? 4 : 100;
        struct smf_frame frame = call((uint8_t)flags, flags & (W | X) ? 0 : 7, size, 1);
        int fault = smf_frame_check_level2(&frame);
        CHECK_EQ(fault, expected[flags] ? SMF_FRAME_GOOD : SMF_FRAME_BAD_FLAGS);
    }
}

static int fault_of(uint8_t compression, uint8_t flags, uint16_t session, uint32_t size,
                    uint32_t meta)
{
    struct smf_frame frame = {compression, flags, session, size, 0, meta};
    CHECK_EQ(smf_frame_check_level2(&frame), smf__frame_check_level2(&frame));
    return smf_frame_check_level2(&frame);
}

static void sessions_are_0_where_nothing_is_answered(void)
{
    CHECK_EQ(fault_of(0, 0, 1, 0, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, 0, 65535, 0, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, 0, 0, 0, 1), SMF_FRAME_BAD_SESSION);
    CHECK_EQ(fault_of(0, SMF_FRAME_METADATA, 0, 8, 1), SMF_FRAME_BAD_SESSION);
    CHECK_EQ(fault_of(0, SMF_FRAME_STREAM, 0, 0, 1), SMF_FRAME_BAD_SESSION);
    CHECK_EQ(fault_of(0, SMF_FRAME_RESET, 0, 0, 499), SMF_FRAME_BAD_SESSION);
    CHECK_EQ(fault_of(0, SMF_FRAME_CREDIT, 0, 4, 1), SMF_FRAME_BAD_SESSION);
    CHECK_EQ(fault_of(0, SMF_FRAME_ONE_WAY, 0, 1, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, SMF_FRAME_ONE_WAY, 1, 1, 1), SMF_FRAME_BAD_SESSION);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 8, SMF_CONTROL_PING), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 1, 8, SMF_CONTROL_PING), SMF_FRAME_BAD_SESSION);
}

static void sizes_hold_what_the_flags_ask_for(void)
{
    CHECK_EQ(fault_of(0, SMF_FRAME_CREDIT, 1, 4, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, SMF_FRAME_CREDIT, 1, 3, 1), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_CREDIT, 1, 5, 1), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 7, SMF_CONTROL_PONG), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 9, SMF_CONTROL_GOAWAY), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_METADATA, 1, 7, 1), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_METADATA, 1, 8, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, SMF_FRAME_MORE, 1, 0, 1), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_MORE, 1, 1, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, SMF_FRAME_MORE | SMF_FRAME_METADATA, 1, 12, 1), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_MORE | SMF_FRAME_METADATA, 1, 13, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, SMF_FRAME_STREAM | SMF_FRAME_FIN, 1, 0, 1), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, 0, 1, UINT32_MAX, 1), SMF_FRAME_GOOD);
}

static void meta_and_compression_have_limits(void)
{
    for (uint32_t meta = 1; meta <= 3; meta++)
        CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 8, meta), SMF_FRAME_GOOD);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 8, 4), SMF_FRAME_BAD_CONTROL);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 8, UINT32_MAX), SMF_FRAME_BAD_CONTROL);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 8, 0), SMF_FRAME_META_ZERO);
    CHECK_EQ(fault_of(0, 0, 1, 0, 0), SMF_FRAME_META_ZERO);
    CHECK_EQ(fault_of(0, SMF_FRAME_RESET, 1, 0, 0), SMF_FRAME_META_ZERO);
    for (uint8_t compression = 0; compression <= 3; compression++) {
        int fault = compression == 0 ? SMF_FRAME_GOOD : SMF_FRAME_BAD_COMPRESSION;
        CHECK_EQ(fault_of(compression, 0, 1, 1, 1), SMF_FRAME_GOOD);
        CHECK_EQ(fault_of(compression, SMF_FRAME_ONE_WAY, 0, 1, 1), SMF_FRAME_GOOD);
        CHECK_EQ(fault_of(compression, SMF_FRAME_CREDIT, 1, 4, 1), fault);
        CHECK_EQ(fault_of(compression, SMF_FRAME_CONTROL, 0, 8, 1), fault);
    }
    CHECK_EQ(fault_of(4, 0, 1, 1, 1), SMF_FRAME_BAD_COMPRESSION);
    CHECK_EQ(fault_of(4, SMF_FRAME_STREAM, 1, 1, 1), SMF_FRAME_BAD_COMPRESSION);
}

/* Everything is wrong, and mended from the left: the first fault is told. */
static void faults_come_in_the_order_of_the_fields(void)
{
    const uint8_t bad = SMF_FRAME_CONTROL | SMF_FRAME_STREAM;
    CHECK_EQ(fault_of(9, bad, 5, 1, 0), SMF_FRAME_BAD_COMPRESSION);
    CHECK_EQ(fault_of(0, bad, 5, 1, 0), SMF_FRAME_BAD_FLAGS);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 5, 1, 0), SMF_FRAME_BAD_SESSION);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 1, 0), SMF_FRAME_BAD_SIZE);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 8, 0), SMF_FRAME_META_ZERO);
    CHECK_EQ(fault_of(0, SMF_FRAME_CONTROL, 0, 8, 9), SMF_FRAME_BAD_CONTROL);
    CHECK_EQ(fault_of(9, 0, 0, 0, 0), SMF_FRAME_BAD_COMPRESSION);
    CHECK_EQ(fault_of(0, 0, 0, 0, 0), SMF_FRAME_BAD_SESSION);
}

/* By the definition, from the bytes as they are on the wire. */
static void checksum_is_seeded_with_the_header(void)
{
    uint8_t bytes[SMF_FRAME_HEADER_SIZE_BYTES + 200];
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    for (int i = 0; i < 20000; i++) {
        for (size_t at = 0; at < sizeof(bytes); at++)
            bytes[at] = (uint8_t)smf__random_next(&random);
        struct smf_frame frame;
        smf_frame_decode(bytes, &frame);
        uint64_t head = 0;
        for (int at = 7; at >= 0; at--)
            head = head << 8 | bytes[at];
        size_t size = smf__random_next(&random) % 200;
        const uint8_t *payload = bytes + SMF_FRAME_HEADER_SIZE_BYTES;
        uint64_t seed = head ^ (uint64_t)frame.meta * 0x9E3779B97F4A7C15u;
        CHECK_EQ(smf_frame_checksum_level2(&frame, payload, size),
                 (uint32_t)XXH64(payload, size, seed));
        CHECK_EQ(smf__frame_checksum_level2(&frame, payload, size),
                 (uint32_t)XXH64(payload, size, seed));
        frame.checksum ^= 1; /* plays no part */
        CHECK_EQ(smf__frame_checksum_level2(&frame, payload, size),
                 (uint32_t)XXH64(payload, size, seed));
    }
    struct smf_frame none = call(0, 1, 0, 1);
    CHECK_EQ(smf_frame_checksum_level2(&none, NULL, 0), smf_frame_checksum_level2(&none, "", 0));
}

/* Of a frame: no flipped bit goes unnoticed, those of the header included. */
static void a_flipped_bit_is_found(void)
{
    uint8_t bytes[SMF_FRAME_HEADER_SIZE_BYTES + 24] = {0};
    for (size_t size = 0; size <= 24; size += 12) {
        struct smf_frame frame = call(SMF_FRAME_STREAM, 513, (uint32_t)size, 1792279101);
        memset(bytes + SMF_FRAME_HEADER_SIZE_BYTES, 'x', size);
        frame.checksum =
            smf_frame_checksum_level2(&frame, bytes + SMF_FRAME_HEADER_SIZE_BYTES, size);
        smf_frame_encode(&frame, bytes);
        for (size_t bit = 0; bit < (SMF_FRAME_HEADER_SIZE_BYTES + size) * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct smf_frame flipped;
            smf_frame_decode(bytes, &flipped);
            CHECK_NE(smf_frame_checksum_level2(&flipped, bytes + SMF_FRAME_HEADER_SIZE_BYTES, size),
                     flipped.checksum);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static const struct test tests[] = {
    TEST(flags_stand_together_or_not),
    TEST(sessions_are_0_where_nothing_is_answered),
    TEST(sizes_hold_what_the_flags_ask_for),
    TEST(meta_and_compression_have_limits),
    TEST(faults_come_in_the_order_of_the_fields),
    TEST(checksum_is_seeded_with_the_header),
    TEST(a_flipped_bit_is_found),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
