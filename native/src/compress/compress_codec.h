/* Payloads from compressed to plain and back: bytes in memory of others, as docs/wire.md has them.
 *
 * zstd: one frame of RFC 8878 with its content size in it. lz4: the size as a little-endian u32, then one raw
 * block. */
#ifndef SMF_COMPRESS_CODEC_H
#define SMF_COMPRESS_CODEC_H

#include <stddef.h>
#include <stdint.h>

#define SMF__LZ4_HEADER_SIZE_BYTES 4u
#define SMF__LZ4_LEVEL_FAST 1 /* those above are of its slower mode */

/* What is used again from call to call; one thread at a time. NULL: not needed yet. */
struct smf__codec {
    void *zstd_out; /* ZSTD_CCtx, at its level */
    void *zstd_in;  /* ZSTD_DCtx */
    void *lz4_out;  /* lz4's state, for the mode of its level */
};

/* How large a payload is when it is decompressed: looks at its head, and with zstd at the head of each block, and
 * not at what is in them. Returns 0;
 * SMF_ELIMIT: it says that it is larger than size_max; SMF_EINVAL: it is malformed, or can't become as
 * large as it says. *problem_out says why, and is not written to else. Cost: a few nanoseconds for each 128 KiB that
 * come of it; no allocation. */
int smf__codec_plain_size(uint32_t compression, const uint8_t *bytes, size_t size,
                          uint64_t size_max, uint32_t *plain_size_out, const char **problem_out);

/* Decompresses into plain_size bytes, as smf__codec_plain_size has said. Returns 0, SMF_EINVAL (malformed, or of
 * another size) or SMF_ENOMEM. */
int smf__codec_decompress(struct smf__codec *codec, uint32_t compression, const uint8_t *bytes,
                          size_t size, uint8_t *plain_out, uint32_t plain_size);

/* Compresses into at most capacity bytes; a codec is for one level. Returns how many it were; 0: they do not fit, there
 * is no memory, or lz4 does not take so many (its limit is 2 GiB less 32 MiB). */
uint32_t smf__codec_compress(struct smf__codec *codec, uint32_t compression, int level,
                             const uint8_t *plain, uint32_t plain_size, uint8_t *bytes_out,
                             uint32_t capacity);

/* Is there such a level? 0 is the default one. */
int smf__codec_has_level(uint32_t compression, int level);

void smf__codec_fini(struct smf__codec *codec);

#endif
