/* The codecs alone: sizes that nobody sends, and formats that are not read. */
#include <smf/flat_build.h>
#include <smf/frame.h>
#include <smf/status.h>

#include "compress/compress_codec.h"
#include "test.h"

/* lz4 counts in ints. What is larger is refused, and not cut to what an int holds of it. */
static void sizes_beyond_an_int(void)
{
    static uint8_t plain[100], packed[200];
    struct smf__codec codec = {0};
    const char *problem = NULL;
    uint32_t size, plain_size;

    size = smf__codec_compress(&codec, SMF_COMPRESSION_LZ4, 0, plain, sizeof plain, packed,
                               3u << 30); /* more room than there is, which nobody looks at */
    CHECK_GT(size, 0);
    CHECK_EQ(
        smf__codec_plain_size(SMF_COMPRESSION_LZ4, packed, size, 1u << 20, &plain_size, &problem),
        SMF_OK);
    CHECK_EQ(plain_size, sizeof plain);
    CHECK_EQ(smf__codec_plain_size(SMF_COMPRESSION_LZ4, packed, 3u << 30, 1u << 20, &plain_size,
                                   &problem),
             SMF_EINVAL);
    CHECK_STR(problem, "the payload is longer than anything that lz4 makes");
    CHECK_EQ(smf__codec_decompress(&codec, SMF_COMPRESSION_LZ4, packed, size, plain, sizeof plain),
             SMF_OK);
    CHECK_EQ(smf__codec_decompress(&codec, SMF_COMPRESSION_LZ4, packed, (1ull << 32) + size, plain,
                                   sizeof plain),
             SMF_EINVAL);
    smf__codec_fini(&codec);
}

/* A frame that the library itself may read. */
static void old_formats_of_zstd(void)
{
    static const uint32_t magics[] = {0x1EB52FFD, 0xFD2FB522, 0xFD2FB523, 0xFD2FB524,
                                      0xFD2FB525, 0xFD2FB526, 0xFD2FB527};
    uint8_t frame[] = {0, 0, 0, 0, 0x20, 5, 0x40, 0, 5, 'H', 'e', 'l', 'l', 'o', 0xc0, 0, 0};
    const char *problem;
    uint32_t plain_size;

    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
        problem = NULL;
        smf_flat_store_u32(frame, magics[i]);
        CHECK_EQ(smf__codec_plain_size(SMF_COMPRESSION_ZSTD, frame, sizeof frame, 1000, &plain_size,
                                       &problem),
                 SMF_EINVAL);
        CHECK_STR(problem, "the payload is a frame of a zstd before 0.8, which is not read");
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(sizes_beyond_an_int),
        TEST(old_formats_of_zstd),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
