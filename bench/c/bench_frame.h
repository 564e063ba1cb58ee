/* Frames of the wire format for the benchmark programs: inline, so that the programs that stand for
 * "the best that C can do" pay no call per frame. Any thread; no state; no allocation. */
#ifndef SMF_BENCH_FRAME_H
#define SMF_BENCH_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "headers are copied as they are");

#define BENCH_HEADER_SIZE_BYTES 16u
#define BENCH_PAYLOAD_SIZE_BYTES_MAX (1u << 20)
#define BENCH_STATUS_OK 200u
#define BENCH_STATUS_MALFORMED 400u

struct bench_header {
    uint8_t compression;
    uint8_t flags;
    uint16_t session;
    uint32_t size; /* payload bytes that follow */
    uint32_t checksum;
    uint32_t meta; /* request: method id; reply: status */
};

_Static_assert(sizeof(struct bench_header) == BENCH_HEADER_SIZE_BYTES, "as on the wire");

static inline struct bench_header bench_header_read(const uint8_t *bytes)
{
    struct bench_header header;
    memcpy(&header, bytes, sizeof(header));
    return header;
}

static inline void bench_header_write(uint8_t *bytes, uint16_t session, uint32_t size,
                                      uint32_t checksum, uint32_t meta)
{
    const struct bench_header header = {
        .session = session, .size = size, .checksum = checksum, .meta = meta};
    memcpy(bytes, &header, sizeof(header));
}

__attribute__((nonnull)) static inline uint32_t bench_checksum(const uint8_t *payload,
                                                               size_t size_bytes)
{
    return (uint32_t)XXH64(payload, size_bytes, 0);
}

/* Whether a header may stay on the connection: the level-1 rules and the size limit. */
static inline int bench_header_good(const struct bench_header *header)
{
    return header->compression <= 3 && header->flags == 0 && header->size != 0 &&
           header->size <= BENCH_PAYLOAD_SIZE_BYTES_MAX && header->checksum != 0 &&
           header->meta != 0;
}

#endif
