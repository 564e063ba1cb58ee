/* zstd and lz4 behind one door. */
#include <limits.h>
#include <stdlib.h>

#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>

#include <smf/flat.h>
#include <smf/frame.h>
#include <smf/status.h>

#include "compress/compress_codec.h"

#define ZSTD_LEVEL_DEFAULT 3
#define ZSTD_BLOCK_MIN_BYTES                                                                       \
    4u /* of a block that repeats one byte: the smallest that says anything */
#define ZSTD_BLOCK_PLAIN_BYTES_MAX (128u << 10) /* that comes of one block */
#define ZSTD_MAGIC_0_1 0x1EB52FFDu              /* its bytes the other way round */
#define ZSTD_MAGIC_0_2 0xFD2FB522u              /* and then one more with each version */
#define LZ4_PLAIN_BYTES_MAX 255u                /* that come of one byte */
#define LZ4_BLOCK_BYTES_MAX                                                                        \
    ((size_t)LZ4_COMPRESSBOUND(LZ4_MAX_INPUT_SIZE)) /* which an int holds, as lz4 needs it */

static int malformed(const char **problem_out, const char *problem)
{
    *problem_out = problem;
    return SMF_EINVAL;
}

static int too_large(const char **problem_out)
{
    *problem_out = "the payload is larger than is taken, when it is decompressed";
    return SMF_ELIMIT;
}

/* Of formats from before RFC 8878, 0.1 to 0.7, which a library may still read. */
static int is_old_zstd(uint32_t magic)
{
    return magic == ZSTD_MAGIC_0_1 || (magic >= ZSTD_MAGIC_0_2 && magic < ZSTD_MAGICNUMBER);
}

/* A frame says how large it becomes before its first block, and how long a block is before the block. */
static int zstd_plain_size(const uint8_t *bytes, size_t size, uint64_t size_max,
                           uint32_t *plain_size_out, const char **problem_out)
{
    unsigned long long plain = ZSTD_getFrameContentSize(bytes, size);

    if (size >= sizeof(uint32_t) && is_old_zstd(smf_flat_load_u32(bytes)))
        return malformed(problem_out,
                         "the payload is a frame of a zstd before 0.8, which is not read");
    if (plain == ZSTD_CONTENTSIZE_ERROR || size < sizeof(uint32_t) ||
        smf_flat_load_u32(bytes) != ZSTD_MAGICNUMBER)
        return malformed(problem_out, "the payload is no zstd frame");
    if (plain == ZSTD_CONTENTSIZE_UNKNOWN)
        return malformed(problem_out,
                         "the payload is a zstd frame that does not say its content's size");
    if (plain > size_max || plain > UINT32_MAX)
        return too_large(problem_out);
    if (plain == 0 || plain > (uint64_t)(size / ZSTD_BLOCK_MIN_BYTES) * ZSTD_BLOCK_PLAIN_BYTES_MAX)
        return malformed(problem_out,
                         "the payload is a zstd frame that can't have the size that it says");
    if (ZSTD_findFrameCompressedSize(bytes, size) != size)
        return malformed(problem_out, "the payload is not one whole zstd frame");
    *plain_size_out = (uint32_t)plain;
    return SMF_OK;
}

static int lz4_plain_size(const uint8_t *bytes, size_t size, uint64_t size_max,
                          uint32_t *plain_size_out, const char **problem_out)
{
    uint32_t plain;

    if (size <= SMF__LZ4_HEADER_SIZE_BYTES)
        return malformed(problem_out, "the payload is shorter than anything that lz4 makes");
    if (size - SMF__LZ4_HEADER_SIZE_BYTES > LZ4_BLOCK_BYTES_MAX)
        return malformed(problem_out, "the payload is longer than anything that lz4 makes");
    plain = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
            (uint32_t)bytes[3] << 24;
    if (plain > size_max || plain > LZ4_MAX_INPUT_SIZE)
        return too_large(problem_out);
    if (plain == 0 || plain > (size - SMF__LZ4_HEADER_SIZE_BYTES) * LZ4_PLAIN_BYTES_MAX)
        return malformed(problem_out,
                         "the payload is an lz4 block that can't have the size that it says");
    *plain_size_out = plain;
    return SMF_OK;
}

int smf__codec_plain_size(uint32_t compression, const uint8_t *bytes, size_t size,
                          uint64_t size_max, uint32_t *plain_size_out, const char **problem_out)
{
    if (compression == SMF_COMPRESSION_ZSTD)
        return zstd_plain_size(bytes, size, size_max, plain_size_out, problem_out);
    return lz4_plain_size(bytes, size, size_max, plain_size_out, problem_out);
}

int smf__codec_decompress(struct smf__codec *codec, uint32_t compression, const uint8_t *bytes,
                          size_t size, uint8_t *plain_out, uint32_t plain_size)
{
    size_t got;

    if (compression == SMF_COMPRESSION_LZ4) {
        int made;

        if (size <= SMF__LZ4_HEADER_SIZE_BYTES || plain_size > LZ4_MAX_INPUT_SIZE ||
            size - SMF__LZ4_HEADER_SIZE_BYTES > LZ4_BLOCK_BYTES_MAX)
            return SMF_EINVAL;
        made =
            LZ4_decompress_safe((const char *)bytes + SMF__LZ4_HEADER_SIZE_BYTES, (char *)plain_out,
                                (int)(size - SMF__LZ4_HEADER_SIZE_BYTES), (int)plain_size);
        if (made < 0 || (uint32_t)made != plain_size)
            return SMF_EINVAL;
    } else {
        if (codec->zstd_in == NULL)
            codec->zstd_in = ZSTD_createDCtx();
        if (codec->zstd_in == NULL)
            return SMF_ENOMEM;
        got = ZSTD_decompressDCtx(codec->zstd_in, plain_out, plain_size, bytes, size);
        if (ZSTD_isError(got) || got != plain_size)
            return SMF_EINVAL;
    }
    return SMF_OK;
}

static uint32_t zstd_compress(struct smf__codec *codec, int level, const uint8_t *plain,
                              uint32_t plain_size, uint8_t *bytes_out, uint32_t capacity)
{
    size_t made;

    if (codec->zstd_out == NULL) {
        codec->zstd_out = ZSTD_createCCtx();
        if (codec->zstd_out == NULL)
            return 0;
        (void)ZSTD_CCtx_setParameter(codec->zstd_out, ZSTD_c_compressionLevel,
                                     level != 0 ? level : ZSTD_LEVEL_DEFAULT);
    }
    made = ZSTD_compress2(codec->zstd_out, bytes_out, capacity, plain, plain_size);
    return ZSTD_isError(made) ? 0 : (uint32_t)made;
}

static uint32_t lz4_compress(struct smf__codec *codec, int level, const uint8_t *plain,
                             uint32_t plain_size, uint8_t *bytes_out, uint32_t capacity)
{
    int fast = level <= SMF__LZ4_LEVEL_FAST, room, made;
    char *block = (char *)bytes_out + SMF__LZ4_HEADER_SIZE_BYTES;

    if (capacity <= SMF__LZ4_HEADER_SIZE_BYTES || plain_size > LZ4_MAX_INPUT_SIZE)
        return 0;
    if (codec->lz4_out == NULL)
        codec->lz4_out = malloc((size_t)(fast ? LZ4_sizeofState() : LZ4_sizeofStateHC()));
    if (codec->lz4_out == NULL)
        return 0;
    capacity -= SMF__LZ4_HEADER_SIZE_BYTES;
    room = capacity < INT_MAX ? (int)capacity : INT_MAX;
    made = fast ? LZ4_compress_fast_extState(codec->lz4_out, (const char *)plain, block,
                                             (int)plain_size, room, 1)
                : LZ4_compress_HC_extStateHC(codec->lz4_out, (const char *)plain, block,
                                             (int)plain_size, room, level);
    if (made <= 0)
        return 0;
    for (uint32_t i = 0; i < SMF__LZ4_HEADER_SIZE_BYTES; i++)
        bytes_out[i] = (uint8_t)(plain_size >> 8 * i);
    return (uint32_t)made + SMF__LZ4_HEADER_SIZE_BYTES;
}

uint32_t smf__codec_compress(struct smf__codec *codec, uint32_t compression, int level,
                             const uint8_t *plain, uint32_t plain_size, uint8_t *bytes_out,
                             uint32_t capacity)
{
    return compression == SMF_COMPRESSION_ZSTD
               ? zstd_compress(codec, level, plain, plain_size, bytes_out, capacity)
               : lz4_compress(codec, level, plain, plain_size, bytes_out, capacity);
}

int smf__codec_has_level(uint32_t compression, int level)
{
    int level_max = compression == SMF_COMPRESSION_ZSTD  ? ZSTD_maxCLevel()
                    : compression == SMF_COMPRESSION_LZ4 ? LZ4HC_CLEVEL_MAX
                                                         : 0;

    return level >= 0 && level <= level_max;
}

void smf__codec_fini(struct smf__codec *codec)
{
    (void)ZSTD_freeCCtx(codec->zstd_out);
    (void)ZSTD_freeDCtx(codec->zstd_in);
    free(codec->lz4_out);
}
