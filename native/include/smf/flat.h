/* FlatBuffers, for code that smfc generates: reading fields, and checking a payload before anybody
 * reads it. The accessors of generated code are thin names over the functions below; what goes beyond
 * them is in docs/smfc-c.md.
 *
 * A payload lies at any address: alignment holds relative to its first byte, and everything is loaded
 * byte-wise. Readers check nothing but the presence of fields, so a payload from outside is first given
 * to smf_flat_verify (generated: NAME_verify_as_root). What reads as nothing: a table that is NULL is
 * one without fields, an index beyond a vector's end is an element of zeros.
 *
 * Threads: any; payloads are only read. Ownership: what is returned points into the payload. Errors:
 * none but of smf_flat_verify. Cost: a few instructions per field; no allocation. */
#ifndef SMF_FLAT_H
#define SMF_FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <smf/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What generated code needs of these headers. Code that names another number was generated for other
 * headers. */
#define SMF_GENERATED_VERSION 1

/* Scalars at any address, little endian: u8, u16, u32, u64, i8, …, f32, f64, and bool, which is false
 * when its byte is 0. */
static inline uint8_t smf_flat_load_u8(const void *at)
{
    return *(const uint8_t *)at;
}
/* @cond one is like the other */
static inline uint16_t smf_flat_load_u16(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap16(value);
#endif
    return value;
}
static inline uint32_t smf_flat_load_u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}
static inline uint64_t smf_flat_load_u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}
static inline bool smf_flat_load_bool(const void *at)
{
    return smf_flat_load_u8(at) != 0;
}
static inline int8_t smf_flat_load_i8(const void *at)
{
    return (int8_t)smf_flat_load_u8(at);
}
static inline int16_t smf_flat_load_i16(const void *at)
{
    return (int16_t)smf_flat_load_u16(at);
}
static inline int32_t smf_flat_load_i32(const void *at)
{
    return (int32_t)smf_flat_load_u32(at);
}
static inline int64_t smf_flat_load_i64(const void *at)
{
    return (int64_t)smf_flat_load_u64(at);
}
static inline float smf_flat_load_f32(const void *at)
{
    uint32_t bits = smf_flat_load_u32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline double smf_flat_load_f64(const void *at)
{
    uint64_t bits = smf_flat_load_u64(at);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* @endcond */

/* Where a field lies; NULL: it is not there. slot: of its entry in the vtable, 4, 6, 8, … */
static inline const uint8_t *smf_flat_at(const void *table, uint32_t slot)
{
    const uint8_t *at = (const uint8_t *)table, *vtable;
    uint32_t offset;

    if (at == NULL)
        return NULL;
    vtable = at - smf_flat_load_i32(at);
    if (slot >= smf_flat_load_u16(vtable))
        return NULL;
    offset = smf_flat_load_u16(vtable + slot);
    return offset != 0 ? at + offset : NULL;
}

/* What the offset at an address leads to. */
static inline const uint8_t *smf_flat_follow(const void *at)
{
    return (const uint8_t *)at + smf_flat_load_u32(at);
}

/* What an offset in a table leads to; NULL: the field is not there. */
static inline const uint8_t *smf_flat_target(const void *table, uint32_t slot)
{
    const uint8_t *at = smf_flat_at(table, slot);

    return at != NULL ? smf_flat_follow(at) : NULL;
}

/* What a union holds, whose offset is at an address, if it holds what is wanted; NULL otherwise. */
static inline const uint8_t *smf_flat_member(const uint8_t *at, uint8_t type, uint8_t wanted)
{
    return at != NULL && type == wanted ? smf_flat_follow(at) : NULL;
}

/* The root table of a payload that was verified; NULL for NULL. */
static inline const void *smf_flat_root(const void *payload)
{
    return payload != NULL ? smf_flat_follow((const uint8_t *)payload) : NULL;
}

/* A text: its bytes, which a zero byte follows. One that is not there is "". */
struct smf_flat_string {
    const char *data;    /* never NULL */
    uint32_t size_bytes; /* without the zero byte; there may be others inside */
};

/* Elements of size bytes each, one behind the other. */
struct smf_flat_vector {
    const uint8_t *data; /* the first; NULL: the vector is not there */
    uint32_t count;      /* how many */
};

/* The string that lies somewhere; NULL: nowhere. */
static inline struct smf_flat_string smf_flat_load_string(const void *at)
{
    struct smf_flat_string string = {"", 0};

    if (at != NULL) {
        string.data = (const char *)at + 4;
        string.size_bytes = smf_flat_load_u32(at);
    }
    return string;
}

/* The vector that lies somewhere; NULL: nowhere. */
static inline struct smf_flat_vector smf_flat_load_vector(const void *at)
{
    struct smf_flat_vector vector = {NULL, 0};

    if (at != NULL) {
        vector.data = (const uint8_t *)at + 4;
        vector.count = smf_flat_load_u32(at);
    }
    return vector;
}

/* A field that is a string. */
static inline struct smf_flat_string smf_flat_get_string(const void *table, uint32_t slot)
{
    return smf_flat_load_string(smf_flat_target(table, slot));
}

/* A field that is a vector. */
static inline struct smf_flat_vector smf_flat_get_vector(const void *table, uint32_t slot)
{
    return smf_flat_load_vector(smf_flat_target(table, slot));
}

/* Where an element of size_bytes lies; NULL: there are not so many. */
static inline const uint8_t *smf_flat_element(const uint8_t *data, uint32_t count, uint32_t index,
                                              uint32_t size_bytes)
{
    return index < count ? data + (size_t)index * size_bytes : NULL;
}

/* A table of a vector; NULL: there are not so many. */
static inline const void *smf_flat_table_at(const uint8_t *data, uint32_t count, uint32_t index)
{
    const uint8_t *at = smf_flat_element(data, count, index, 4);

    return at != NULL ? smf_flat_follow(at) : NULL;
}

/* A vector of strings. */
struct smf_flat_string_vector {
    const uint8_t *data; /* offsets */
    uint32_t count;      /* how many */
};

/* A field that is one. */
static inline struct smf_flat_string_vector smf_flat_get_string_vector(const void *table,
                                                                       uint32_t slot)
{
    struct smf_flat_vector any = smf_flat_get_vector(table, slot);
    struct smf_flat_string_vector vector = {any.data, any.count};

    return vector;
}

/* An element; "": there are not so many. */
static inline struct smf_flat_string smf_flat_string_vector_at(struct smf_flat_string_vector vector,
                                                               uint32_t index)
{
    const uint8_t *at = smf_flat_element(vector.data, vector.count, index, 4);

    return smf_flat_load_string(at != NULL ? smf_flat_follow(at) : NULL);
}

/* For each scalar, here i32:
 *
 *     int32_t smf_flat_get_i32(table, slot, absent)                       a field, or absent
 *     struct smf_flat_i32_vector { const uint8_t *data; uint32_t count; }
 *     struct smf_flat_i32_vector smf_flat_get_i32_vector(table, slot)     a field
 *     int32_t smf_flat_i32_vector_at(vector, index)                       an element, or 0
 */
#define SMF_FLAT_SCALAR(name, type)                                                                \
    static inline type smf_flat_get_##name(const void *table, uint32_t slot, type absent)          \
    {                                                                                              \
        const uint8_t *at = smf_flat_at(table, slot);                                              \
        return at != NULL ? smf_flat_load_##name(at) : absent;                                     \
    }                                                                                              \
    struct smf_flat_##name##_vector {                                                              \
        const uint8_t *data;                                                                       \
        uint32_t count;                                                                            \
    };                                                                                             \
    static inline struct smf_flat_##name##_vector smf_flat_get_##name##_vector(const void *table,  \
                                                                               uint32_t slot)      \
    {                                                                                              \
        struct smf_flat_vector any = smf_flat_get_vector(table, slot);                             \
        struct smf_flat_##name##_vector vector = {any.data, any.count};                            \
        return vector;                                                                             \
    }                                                                                              \
    static inline type smf_flat_##name##_vector_at(struct smf_flat_##name##_vector vector,         \
                                                   uint32_t index)                                 \
    {                                                                                              \
        const uint8_t *at = smf_flat_element(vector.data, vector.count, index, sizeof(type));      \
        return at != NULL ? smf_flat_load_##name(at) : (type)0;                                    \
    }                                                                                              \
    struct smf_flat_##name##_vector
/* @cond one is like the other */
SMF_FLAT_SCALAR(bool, bool);
SMF_FLAT_SCALAR(i8, int8_t);
SMF_FLAT_SCALAR(u8, uint8_t);
SMF_FLAT_SCALAR(i16, int16_t);
SMF_FLAT_SCALAR(u16, uint16_t);
SMF_FLAT_SCALAR(i32, int32_t);
SMF_FLAT_SCALAR(u32, uint32_t);
SMF_FLAT_SCALAR(i64, int64_t);
SMF_FLAT_SCALAR(u64, uint64_t);
SMF_FLAT_SCALAR(f32, float);
SMF_FLAT_SCALAR(f64, double);
/* @endcond */
#undef SMF_FLAT_SCALAR

#ifdef __cplusplus
}
#endif
#endif
