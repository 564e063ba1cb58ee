#include "rpc/rpc_hello_table.h"

#include <endian.h>
#include <string.h>

#include <smf/flat.h>
#include <smf/flat_verify.h>
#include <smf/frame.h>

enum hello_slot {
    SLOT_LEVEL = 4,
    SLOT_FEATURES = 6,
    SLOT_COMPRESSIONS = 8,
    SLOT_FRAME_SIZE = 10,
    SLOT_CALLS = 12,
    SLOT_CREDIT = 14,
    SLOT_MESSAGE_SIZE = 16
};

#define VTABLE_AT 6u /* bytes from the beginning: the root's offset and 2 zeros are before it */
#define TABLE_AT 24u
#define FIELDS 7u

#define INLINE_FIELD(text, at, size)                                                               \
    {                                                                                              \
        .name = (text), .slot = (at), .kind = SMF_FLAT_INLINE, .align = (size),                    \
        .size_bytes = (size)                                                                       \
    }

static const struct smf_flat_field fields[FIELDS] = {
    INLINE_FIELD("level", SLOT_LEVEL, 4),
    INLINE_FIELD("features", SLOT_FEATURES, 8),
    INLINE_FIELD("compressions", SLOT_COMPRESSIONS, 4),
    INLINE_FIELD("frame_size_bytes_max", SLOT_FRAME_SIZE, 4),
    INLINE_FIELD("calls_max", SLOT_CALLS, 4),
    INLINE_FIELD("credit_bytes", SLOT_CREDIT, 4),
    INLINE_FIELD("message_size_bytes_max", SLOT_MESSAGE_SIZE, 8),
};

static const struct smf_flat_table table_of_hello = {
    .name = "Hello", .fields = fields, .field_count = FIELDS};

static uint32_t get_u32(const void *table, uint32_t slot)
{
    const uint8_t *at = smf_flat_at(table, slot);

    return at != NULL ? smf_flat_load_u32(at) : 0;
}

static uint64_t get_u64(const void *table, uint32_t slot)
{
    const uint8_t *at = smf_flat_at(table, slot);

    return at != NULL ? smf_flat_load_u64(at) : 0;
}

int smf__hello_read(const void *payload, uint32_t size_bytes, struct smf__hello *hello_out)
{
    const void *table;

    if (smf_flat_verify(&table_of_hello, payload, size_bytes, NULL) != SMF_OK)
        return 0;
    table = smf_flat_root(payload);
    hello_out->level = get_u32(table, SLOT_LEVEL);
    hello_out->features = get_u64(table, SLOT_FEATURES);
    hello_out->compressions = get_u32(table, SLOT_COMPRESSIONS);
    hello_out->frame_size_bytes_max = get_u32(table, SLOT_FRAME_SIZE);
    hello_out->calls_max = get_u32(table, SLOT_CALLS);
    hello_out->credit_bytes = get_u32(table, SLOT_CREDIT);
    hello_out->message_size_bytes_max = get_u64(table, SLOT_MESSAGE_SIZE);
    return 1;
}

static void put_u16(uint8_t *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof value);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

void smf__hello_write(const struct smf__hello *hello, uint8_t *bytes_out)
{
    /* Where the fields are in the table, in the order of their slots. */
    static const uint16_t offsets[FIELDS] = {4, 8, 24, 28, 32, 36, 16};
    uint8_t *vtable = bytes_out + VTABLE_AT, *table = bytes_out + TABLE_AT;

    memset(bytes_out, 0, SMF__HELLO_SIZE_BYTES);
    put_u32(bytes_out, TABLE_AT);
    put_u16(vtable, (uint16_t)(4 + 2 * FIELDS));
    put_u16(vtable + 2, (uint16_t)(SMF__HELLO_SIZE_BYTES - TABLE_AT));
    for (uint32_t i = 0; i < FIELDS; i++)
        put_u16(vtable + 4 + (size_t)2 * i, offsets[i]);
    put_u32(table, TABLE_AT - VTABLE_AT);
    put_u32(table + offsets[0], hello->level);
    put_u64(table + offsets[1], hello->features);
    put_u32(table + offsets[2], hello->compressions);
    put_u32(table + offsets[3], hello->frame_size_bytes_max);
    put_u32(table + offsets[4], hello->calls_max);
    put_u32(table + offsets[5], hello->credit_bytes);
    put_u64(table + offsets[6], hello->message_size_bytes_max);
}

uint32_t smf__hello_method_id(void)
{
    return smf_method_id("smf", "Hello", "smf::HelloRequest", "smf::HelloReply");
}
