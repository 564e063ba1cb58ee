/* The demo's tables by hand: `table Request{name:string;}` and `table Response{name:string;}` have the
 * same layout, and what is built here is byte for byte what the FlatBuffers builders make:
 *
 *    0          4       6          12         16          20         24
 *    +----------+-------+----------+----------+-----------+----------+----------------------------+
 *    | root: 12 | pad   | vtable:  | back to  | name: +4  | length   | name, zero, padding to a   |
 *    |          |       | 6, 8, 4  | vtable 6 |           |          | multiple of 4              |
 *    +----------+-------+----------+----------+-----------+----------+----------------------------+
 *
 * Any thread; no state; no allocation. */
#ifndef SMF_BENCH_TABLE_H
#define SMF_BENCH_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BENCH_TABLE_NAME_OFFSET 24u
#define BENCH_TABLE_EMPTY_SIZE_BYTES 12u
#define BENCH_METHOD_GET 1792279101u /* SmfStorage.Get of smf_gen.demo */

static inline uint32_t bench_table_load32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline uint16_t bench_table_load16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

/* The size of a table with a name of that length. */
static inline uint32_t bench_table_size(uint32_t name_size_bytes)
{
    return BENCH_TABLE_NAME_OFFSET + ((name_size_bytes + 1 + 3) & ~3u);
}

/* Builds a table of bench_table_size(name_size_bytes) bytes. */
static inline void bench_table_build(uint8_t *out, const uint8_t *name, uint32_t name_size_bytes)
{
    static const uint8_t front[20] = {12, 0, 0, 0, 0, 0, 6, 0, 8, 0, 4, 0, 6, 0, 0, 0, 4, 0, 0, 0};
    const uint32_t size_bytes = bench_table_size(name_size_bytes);

    memcpy(out, front, sizeof(front));
    memcpy(out + sizeof(front), &name_size_bytes, sizeof(name_size_bytes));
    /* The last word holds the terminator and the padding; the name then covers its first bytes. */
    memset(out + size_bytes - 4, 0, 4);
    memcpy(out + BENCH_TABLE_NAME_OFFSET, name, name_size_bytes);
}

/* Builds a table without any field. */
static inline void bench_table_build_empty(uint8_t *out)
{
    static const uint8_t empty[BENCH_TABLE_EMPTY_SIZE_BYTES] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0};
    memcpy(out, empty, sizeof(empty));
}

/* Finds the name in a table that may lie: every offset is checked against the payload and for
 * alignment before it is followed. Returns 1 and the name (an absent one is NULL, 0 bytes), or 0. */
static inline int bench_table_name(const uint8_t *bytes, uint32_t size_bytes,
                                   const uint8_t **name_out, uint32_t *name_size_out)
{
    *name_out = NULL;
    *name_size_out = 0;
    if (size_bytes < BENCH_TABLE_EMPTY_SIZE_BYTES) {
        return 0;
    }
    const uint32_t table = bench_table_load32(bytes);
    if ((table & 3) != 0 || table < 4 || table > size_bytes - 4) {
        return 0;
    }
    const int64_t vtable = (int64_t)table - (int32_t)bench_table_load32(bytes + table);
    if ((vtable & 1) != 0 || vtable < 0 || vtable > (int64_t)size_bytes - 4) {
        return 0;
    }
    const uint32_t vtable_size = bench_table_load16(bytes + vtable);
    const uint32_t table_size = bench_table_load16(bytes + vtable + 2);
    if (vtable_size < 4 || (vtable_size & 1) != 0 || vtable_size > size_bytes - vtable ||
        table_size < 4 || table_size > size_bytes - table) {
        return 0;
    }
    const uint32_t field = vtable_size >= 6 ? bench_table_load16(bytes + vtable + 4) : 0;
    if (field == 0) {
        return 1;
    }
    if ((field & 3) != 0 || field < 4 || field + 4 > table_size) {
        return 0;
    }
    const uint64_t string = (uint64_t)table + field + bench_table_load32(bytes + table + field);
    if ((string & 3) != 0 || string + 4 > size_bytes) {
        return 0;
    }
    const uint64_t length = bench_table_load32(bytes + string);
    if (string + 4 + length + 1 > size_bytes || bytes[string + 4 + length] != 0) {
        return 0;
    }
    *name_out = bytes + string + 4;
    *name_size_out = (uint32_t)length;
    return 1;
}

#endif
