/* Any bytes are the body of a batch of the metadata log: items lie inside of it, and what is understood
 * of one can be written again, and read again. */
#include <stdlib.h>
#include <string.h>

#include "wal/wal_format.h"
#include "wal/wal_item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void require(int condition)
{
    if (!condition)
        abort();
}

/* Reads an item and writes it: bytes that it took, or 0 when it was not understood. */
static uint32_t again(const struct smf__wal_item *item, uint8_t *bytes_out)
{
    struct smf__wal_topic topic;
    struct smf__wal_head head;
    struct smf__wal_checkpoint checkpoint;
    uint64_t gone;
    if (smf__wal_topic_read(item, &topic) == SMF__WAL_GOOD) {
        require(topic.name >= (const char *)item->data &&
                topic.name + topic.name_size <= (const char *)item->data + item->size);
        return smf__wal_topic_write(&topic, bytes_out);
    }
    if (smf__wal_topic_gone_read(item, &gone) == SMF__WAL_GOOD)
        return smf__wal_topic_gone_write(gone, bytes_out);
    if (smf__wal_head_read(item, &head) == SMF__WAL_GOOD)
        return smf__wal_head_write(&head, bytes_out);
    if (smf__wal_checkpoint_read(item, &checkpoint) == SMF__WAL_GOOD)
        return smf__wal_checkpoint_write(&checkpoint, bytes_out);
    return 0;
}

static void check_item(const struct smf__wal_item *item)
{
    uint8_t first[SMF__WAL_ITEM_WRITTEN_MAX_BYTES], second[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    uint32_t size = again(item, first);
    if (size == 0)
        return;
    struct smf__wal_rest rest = {.data = first, .size = size};
    struct smf__wal_item same;
    require(smf__wal_item_next(&rest, &same) == SMF__WAL_GOOD && rest.size == 0);
    require(same.type == item->type);
    require(again(&same, second) == size && memcmp(first, second, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    uint8_t *body = malloc(size_bytes > 0 ? size_bytes : 1); /* reading one byte more is found */
    require(body != NULL);
    if (size_bytes > 0)
        memcpy(body, data, size_bytes);
    struct smf__wal_rest rest = {.data = body, .size = size_bytes};
    struct smf__wal_item item;
    int status;
    while ((status = smf__wal_item_next(&rest, &item)) == SMF__WAL_GOOD ||
           status == SMF__WAL_UNSUPPORTED) {
        require(item.data >= body && item.data + item.size <= body + size_bytes);
        check_item(&item);
    }
    require(status == SMF__WAL_END || status == SMF__WAL_OUT_OF_RANGE);
    require((status == SMF__WAL_END) == (rest.size == 0));
    free(body);
    return 0;
}
