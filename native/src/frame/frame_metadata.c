#include <smf/metadata.h>

#include <string.h>

#include <smf/flat.h>
#include <smf/flat_build.h>

#define ENTRY_HEAD_SIZE_BYTES 4u /* the sizes of key and value */
#define ALIGN_BYTES 8u

static bool key_may_have(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

static bool key_is_good(const uint8_t *key, size_t size_bytes)
{
    if (size_bytes == 0 || size_bytes > SMF_METADATA_KEY_SIZE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < size_bytes; i++) {
        if (!key_may_have(key[i]))
            return false;
    }
    return true;
}

/* Is what is left behind the last entry what fills the block up? */
static int check_padding(const uint8_t *bytes, uint32_t size_bytes)
{
    if (size_bytes >= ALIGN_BYTES)
        return SMF_METADATA_BAD_PADDING;
    for (uint32_t i = 0; i < size_bytes; i++) {
        if (bytes[i] != 0)
            return SMF_METADATA_BAD_PADDING;
    }
    return SMF_METADATA_GOOD;
}

/* The entry at a position of a block: sizes may lie. */
static uint32_t entry_at(const uint8_t *at, struct smf_metadata_entry *entry_out)
{
    entry_out->key_size_bytes = smf_flat_load_u16(at);
    entry_out->value_size_bytes = smf_flat_load_u16(at + 2);
    entry_out->key = (const char *)at + ENTRY_HEAD_SIZE_BYTES;
    entry_out->value = at + ENTRY_HEAD_SIZE_BYTES + entry_out->key_size_bytes;
    return ENTRY_HEAD_SIZE_BYTES + entry_out->key_size_bytes + entry_out->value_size_bytes;
}

/* Checks entry after entry. What begins with an empty key, or is too short for an entry, is padding. */
static int check_entries(const uint8_t *bytes, uint32_t size_bytes, uint32_t *end_out)
{
    struct smf_metadata_entry entry;
    uint32_t at = SMF_METADATA_SIZE_BYTES_MIN;
    while (size_bytes - at > ENTRY_HEAD_SIZE_BYTES && smf_flat_load_u16(bytes + at) != 0) {
        if (smf_flat_load_u16(bytes + at) > SMF_METADATA_KEY_SIZE_BYTES_MAX)
            return SMF_METADATA_BAD_KEY;
        uint32_t size = entry_at(bytes + at, &entry);
        if (size > size_bytes - at)
            return SMF_METADATA_BAD_ENTRY;
        if (!key_is_good((const uint8_t *)entry.key, entry.key_size_bytes))
            return SMF_METADATA_BAD_KEY;
        at += size;
    }
    *end_out = at;
    /* An entry with a value and without a key is not padding gone wrong. */
    if (size_bytes - at > ENTRY_HEAD_SIZE_BYTES && smf_flat_load_u16(bytes + at + 2) != 0)
        return SMF_METADATA_BAD_KEY;
    return check_padding(bytes + at, size_bytes - at);
}

int smf_metadata_read(const void *payload, size_t size_bytes, struct smf_metadata *block_out)
{
    const uint8_t *bytes = payload;
    memset(block_out, 0, sizeof(*block_out));
    if (size_bytes < SMF_METADATA_SIZE_BYTES_MIN)
        return SMF_METADATA_TRUNCATED;
    uint32_t size = smf_flat_load_u32(bytes), end;
    if (size % ALIGN_BYTES != 0 || size < SMF_METADATA_SIZE_BYTES_MIN ||
        size > SMF_METADATA_SIZE_BYTES_MAX)
        return SMF_METADATA_BAD_SIZE;
    if (size > size_bytes)
        return SMF_METADATA_TRUNCATED;
    int fault = check_entries(bytes, size, &end);
    if (fault != SMF_METADATA_GOOD)
        return fault;
    block_out->bytes = bytes;
    block_out->size_bytes = size;
    block_out->end_bytes = end;
    block_out->deadline_us = smf_flat_load_u32(bytes + 4);
    return SMF_METADATA_GOOD;
}

const char *smf_metadata_fault_name(int fault)
{
    switch ((enum smf_metadata_fault)fault) {
    case SMF_METADATA_GOOD:
        return "good";
    case SMF_METADATA_TRUNCATED:
        return "truncated";
    case SMF_METADATA_BAD_SIZE:
        return "bad size";
    case SMF_METADATA_BAD_ENTRY:
        return "bad entry";
    case SMF_METADATA_BAD_KEY:
        return "bad key";
    case SMF_METADATA_BAD_PADDING:
        return "bad padding";
    }
    return "unknown fault";
}

bool smf_metadata_next(const struct smf_metadata *block, uint32_t *cursor,
                       struct smf_metadata_entry *entry_out)
{
    uint32_t at = *cursor != 0 ? *cursor : SMF_METADATA_SIZE_BYTES_MIN;
    if (at >= block->end_bytes)
        return false;
    *cursor = at + entry_at(block->bytes + at, entry_out);
    return true;
}

bool smf_metadata_find(const struct smf_metadata *block, const char *key, size_t key_size_bytes,
                       struct smf_metadata_entry *entry_out)
{
    struct smf_metadata_entry entry;
    uint32_t cursor = 0;
    while (smf_metadata_next(block, &cursor, &entry)) {
        if (entry.key_size_bytes == key_size_bytes && memcmp(entry.key, key, key_size_bytes) == 0) {
            *entry_out = entry;
            return true;
        }
    }
    return false;
}

void smf_metadata_begin(struct smf_metadata_writer *writer, void *memory, size_t size_bytes,
                        uint64_t deadline_us)
{
    writer->bytes = memory;
    writer->limit_status = SMF_ENOMEM;
    if (size_bytes >= SMF_METADATA_SIZE_BYTES_MAX) {
        size_bytes = SMF_METADATA_SIZE_BYTES_MAX;
        writer->limit_status = SMF_ELIMIT;
    }
    writer->size_bytes = (uint32_t)size_bytes & ~(ALIGN_BYTES - 1); /* what can be filled up */
    writer->used_bytes = SMF_METADATA_SIZE_BYTES_MIN;
    writer->status = writer->size_bytes >= writer->used_bytes ? SMF_OK : SMF_ENOMEM;
    if (writer->status == SMF_OK)
        smf_flat_store_u32(writer->bytes + 4,
                           deadline_us <= UINT32_MAX ? (uint32_t)deadline_us : 0);
}

int smf_metadata_add(struct smf_metadata_writer *writer, const char *key, size_t key_size_bytes,
                     const void *value, size_t value_size_bytes)
{
    if (writer->status != SMF_OK)
        return writer->status;
    uint32_t room = writer->size_bytes - writer->used_bytes;
    if (!key_is_good((const uint8_t *)key, key_size_bytes))
        return writer->status = SMF_EINVAL;
    if (value_size_bytes > SMF_METADATA_SIZE_BYTES_MAX)
        return writer->status = SMF_ELIMIT;
    if (ENTRY_HEAD_SIZE_BYTES + key_size_bytes + value_size_bytes > room)
        return writer->status = writer->limit_status;
    uint8_t *to = writer->bytes + writer->used_bytes;
    smf_flat_store_u16(to, (uint16_t)key_size_bytes);
    smf_flat_store_u16(to + 2, (uint16_t)value_size_bytes);
    memcpy(to + ENTRY_HEAD_SIZE_BYTES, key, key_size_bytes);
    if (value_size_bytes != 0) /* no bytes need no address */
        memcpy(to + ENTRY_HEAD_SIZE_BYTES + key_size_bytes, value, value_size_bytes);
    writer->used_bytes += ENTRY_HEAD_SIZE_BYTES + (uint32_t)(key_size_bytes + value_size_bytes);
    return SMF_OK;
}

int smf_metadata_end(struct smf_metadata_writer *writer, uint32_t *size_bytes_out)
{
    *size_bytes_out = 0;
    if (writer->status != SMF_OK)
        return writer->status;
    uint32_t size = (writer->used_bytes + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
    memset(writer->bytes + writer->used_bytes, 0, size - writer->used_bytes);
    smf_flat_store_u32(writer->bytes, size);
    *size_bytes_out = size;
    return SMF_OK;
}
