/* Little-endian numbers in bytes at any address. */
#ifndef SMF_WAL_BYTES_H
#define SMF_WAL_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t smf__get_u16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return le16toh(value);
}

static inline uint32_t smf__get_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return le32toh(value);
}

static inline uint64_t smf__get_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return le64toh(value);
}

static inline void smf__put_u16(uint8_t *bytes_out, uint16_t value)
{
    value = htole16(value);
    memcpy(bytes_out, &value, sizeof(value));
}

static inline void smf__put_u32(uint8_t *bytes_out, uint32_t value)
{
    value = htole32(value);
    memcpy(bytes_out, &value, sizeof(value));
}

static inline void smf__put_u64(uint8_t *bytes_out, uint64_t value)
{
    value = htole64(value);
    memcpy(bytes_out, &value, sizeof(value));
}

/* The next multiple of align, a power of two. */
static inline uint64_t smf__round_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

#endif
