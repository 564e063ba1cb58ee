/* Messages of a stream that wait to be handed out. */
#include <string.h>

#include "service/service_stream.h"

#define BLOCK_SIZE_BYTES (16u << 10)
#define COPIED_MAX (64u << 10) /* bytes; what is larger came in slices, into memory of its own */

/* At the beginning of its buffer; entries follow. */
struct smf__stream_block {
    struct smf__stream_block *next;
    struct smf_buffer *buffer;
    uint32_t fill, at; /* bytes from the block's first one */
};

/* A multiple of 8 bytes; the message follows, or where it is. */
struct entry {
    uint32_t size_bytes;
    uint8_t compression;
    uint8_t kept; /* struct kept follows */
    uint8_t reserved[2];
};

struct kept {
    const uint8_t *payload;
    struct smf_buffer *buffer;
    uint64_t taken_bytes;
};

static uint32_t rounded(uint32_t size)
{
    return (size + 7) & ~7u;
}

/* The block with room for so many bytes more; NULL: no memory. */
static struct smf__stream_block *block_for(struct smf__stream_queue *queue, struct smf_core *core,
                                           uint32_t size)
{
    struct smf__stream_block *block = queue->last;
    struct smf_buffer *buffer;

    if (block != NULL && block->buffer->capacity - block->fill >= size)
        return block;
    size += rounded(sizeof *block);
    buffer = smf__pool_get(core->pool, size > BLOCK_SIZE_BYTES ? size : BLOCK_SIZE_BYTES);
    if (buffer == NULL)
        return NULL;
    block = (struct smf__stream_block *)(void *)buffer->data;
    block->next = NULL;
    block->buffer = buffer;
    block->fill = block->at = rounded(sizeof *block);
    if (queue->last != NULL)
        queue->last->next = block;
    else
        queue->first = block;
    queue->last = block;
    return block;
}

static uint32_t entry_size(const struct smf__stream_message *message, int kept)
{
    return (uint32_t)sizeof(struct entry) +
           (kept ? (uint32_t)sizeof(struct kept) : rounded(message->size_bytes));
}

/* A message that is kept where it came may keep 256 KiB from being read into; so only where a copy finds no memory. */
int smf__stream_queue_put(struct smf__stream_queue *queue, struct smf_core *core,
                          const struct smf__stream_message *message)
{
    struct entry entry = {.size_bytes = message->size_bytes,
                          .compression = message->compression,
                          .kept = message->size_bytes > COPIED_MAX};
    struct kept kept = {message->payload, message->buffer, message->taken_bytes};
    uint32_t size = entry_size(message, entry.kept);
    struct smf__stream_block *block = block_for(queue, core, size);
    uint8_t *to;

    if (block == NULL && !entry.kept) {
        entry.kept = 1;
        size = entry_size(message, 1);
        block = block_for(queue, core, size);
    }
    if (block == NULL)
        return SMF_ENOMEM;
    to = block->buffer->data + block->fill;
    memcpy(to, &entry, sizeof entry);
    if (entry.kept) {
        memcpy(to + sizeof entry, &kept, sizeof kept);
        smf_core_retain(core, message->buffer);
    } else {
        memcpy(to + sizeof entry, message->payload, message->size_bytes);
    }
    block->fill += size;
    return SMF_OK;
}

int smf__stream_queue_get(struct smf__stream_queue *queue, struct smf_core *core,
                          struct smf__stream_message *message_out)
{
    struct smf__stream_block *block = queue->first;
    const uint8_t *from;
    struct entry entry;
    struct kept kept;

    if (block == NULL)
        return 0;
    from = block->buffer->data + block->at;
    memcpy(&entry, from, sizeof entry);
    from += sizeof entry;
    *message_out = (struct smf__stream_message){.payload = from,
                                                .buffer = block->buffer,
                                                .size_bytes = entry.size_bytes,
                                                .taken_bytes = entry.size_bytes,
                                                .compression = entry.compression,
                                                .owned = 1};
    if (entry.kept) {
        memcpy(&kept, from, sizeof kept);
        message_out->payload = kept.payload;
        message_out->buffer = kept.buffer;
        message_out->taken_bytes = (uint32_t)kept.taken_bytes;
        block->at += sizeof entry + sizeof kept;
    } else {
        smf__buffer_ref(block->buffer);
        block->at += sizeof entry + rounded(entry.size_bytes);
    }
    if (block->at == block->fill) {
        queue->first = block->next;
        if (queue->first == NULL)
            queue->last = NULL;
        smf__buffer_unref(core->pool, block->buffer);
    }
    return 1;
}

void smf__stream_queue_drop(struct smf__stream_queue *queue, struct smf_core *core)
{
    struct smf__stream_message message;

    while (smf__stream_queue_get(queue, core, &message))
        smf_core_release(core, message.buffer);
}
