/* Any bytes as a compressed payload: a decompressor writes exactly as much as it has said, or refuses, and reads
 * nothing beyond its input. What is compressed comes back. */
#include <stdlib.h>
#include <string.h>

#include <smf/frame.h>
#include <smf/status.h>

#include "compress/compress_codec.h"

#define PLAIN_SIZE_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void require(int condition)
{
    if (!condition)
        abort();
}

/* A copy that ends where the allocation does. */
static uint8_t *copy_of(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);

    require(copy != NULL);
    if (size != 0)
        memcpy(copy, bytes, size);
    return copy;
}

static void decompress(struct smf__codec *codec, uint32_t compression, const uint8_t *data,
                       size_t size)
{
    uint8_t *bytes = copy_of(data, size), *plain;
    const char *problem = NULL;
    uint32_t plain_size = 0;
    int status =
        smf__codec_plain_size(compression, bytes, size, PLAIN_SIZE_MAX, &plain_size, &problem);

    if (status == SMF_OK) {
        require(plain_size > 0 && plain_size <= PLAIN_SIZE_MAX);
        plain = malloc(plain_size);
        require(plain != NULL);
        status = smf__codec_decompress(codec, compression, bytes, size, plain, plain_size);
        require(status == SMF_OK || status == SMF_EINVAL);
        free(plain);
    } else {
        require((status == SMF_EINVAL || status == SMF_ELIMIT) && problem != NULL);
    }
    free(bytes);
}

static void there_and_back(struct smf__codec *codec, uint32_t compression, const uint8_t *data,
                           uint32_t size, uint32_t capacity)
{
    uint8_t *plain = copy_of(data, size), *bytes = malloc((size_t)capacity + 1), *back;
    const char *problem;
    uint32_t made, plain_size;

    require(bytes != NULL);
    made = smf__codec_compress(codec, compression, 0, plain, size, bytes, capacity);
    require(made <= capacity);
    if (made != 0) {
        back = malloc(size);
        require(back != NULL);
        require(smf__codec_plain_size(compression, bytes, made, size, &plain_size, &problem) ==
                SMF_OK);
        require(plain_size == size);
        require(smf__codec_decompress(codec, compression, bytes, made, back, size) == SMF_OK);
        require(memcmp(back, plain, size) == 0);
        free(back);
    }
    free(bytes);
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct smf__codec codec; /* used again: what one input leaves must not reach the next */
    uint32_t compression;

    if (size_bytes < 2)
        return 0;
    compression = data[0] & 1 ? SMF_COMPRESSION_ZSTD : SMF_COMPRESSION_LZ4;
    if (data[0] & 2)
        there_and_back(&codec, compression, data + 1, (uint32_t)size_bytes - 1,
                       (uint32_t)size_bytes + (data[0] & 4 ? 64 : 0));
    else
        decompress(&codec, compression, data + 1, size_bytes - 1);
    return 0;
}
