/* Any bytes: what is taken for a metadata block is walked over without leaving it, has keys that are keys,
 * and comes out the same when it is written again. */
#include <stdlib.h>
#include <string.h>

#include <smf/metadata.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_key(const struct smf_metadata_entry *entry)
{
    require(entry->key_size_bytes >= 1 && entry->key_size_bytes <= SMF_METADATA_KEY_SIZE_BYTES_MAX);
    for (uint16_t i = 0; i < entry->key_size_bytes; i++)
        require(entry->key[i] != 0 &&
                strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", entry->key[i]) != NULL);
}

static void check_block(const uint8_t *bytes, const struct smf_metadata *block)
{
    static uint8_t again[SMF_METADATA_SIZE_BYTES_MAX];
    struct smf_metadata_writer writer;
    struct smf_metadata_entry entry, found;
    uint32_t cursor = 0, size;
    smf_metadata_begin(&writer, again, sizeof(again), block->deadline_us);
    while (smf_metadata_next(block, &cursor, &entry)) {
        check_key(&entry);
        require(smf_metadata_find(block, entry.key, entry.key_size_bytes, &found));
        require(found.key <= entry.key && found.key_size_bytes == entry.key_size_bytes);
        require(smf_metadata_add(&writer, entry.key, entry.key_size_bytes, entry.value,
                                 entry.value_size_bytes) == SMF_OK);
    }
    require(smf_metadata_end(&writer, &size) == SMF_OK);
    require(size == block->size_bytes && memcmp(again, bytes, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct smf_metadata block;
    /* A copy of exactly this size, at an odd address: reading one byte too many is found. */
    uint8_t *copy = malloc(size_bytes + 1);
    require(copy != NULL);
    memcpy(copy + 1, data, size_bytes);
    int fault = smf_metadata_read(copy + 1, size_bytes, &block);
    require(fault >= SMF_METADATA_GOOD && fault <= SMF_METADATA_BAD_PADDING);
    if (fault == SMF_METADATA_GOOD) {
        require(block.size_bytes <= size_bytes);
        check_block(copy + 1, &block);
    } else {
        require(block.bytes == NULL && block.size_bytes == 0);
    }
    free(copy);
    return 0;
}
