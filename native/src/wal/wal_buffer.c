/* Write-behind buffers. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wal/wal_bytes.h"
#include "wal/wal_log.h"

#define HUGE_PAGE_BYTES (2u << 20)

static void give(struct smf__wal *wal, struct smf__wal_buffer *buffer)
{
    buffer->state = SMF__WAL_BUFFER_FREE;
    buffer->next = NULL;
    buffer->previous = wal->free_last;
    if (wal->free_last != NULL)
        wal->free_last->next = buffer;
    else
        wal->free_first = buffer;
    wal->free_last = buffer;
    wal->free_count++;
}

/* The one behind this in memory, if there is one. */
static struct smf__wal_buffer *neighbour(const struct smf__wal *wal,
                                         const struct smf__wal_buffer *buffer)
{
    size_t behind = (size_t)(buffer - wal->buffers) + 1;
    return behind < wal->buffer_count ? &wal->buffers[behind] : NULL;
}

/* The one behind this in memory, so that both can be one write, if it is free; else the one that was free
 * the longest. */
static struct smf__wal_buffer *take(struct smf__wal *wal, const struct smf__wal_buffer *before)
{
    struct smf__wal_buffer *buffer = before != NULL ? neighbour(wal, before) : NULL;
    if (buffer == NULL || buffer->state != SMF__WAL_BUFFER_FREE)
        buffer = wal->free_first;
    smf__check(buffer != NULL); /* smf__wal_append has counted them */
    *(buffer->previous != NULL ? &buffer->previous->next : &wal->free_first) = buffer->next;
    *(buffer->next != NULL ? &buffer->next->previous : &wal->free_last) = buffer->previous;
    wal->free_count--;
    return buffer;
}

int smf__wal_buffers_open(struct smf__wal *wal)
{
    uint64_t bytes = wal->options.memory_bytes;
    void *memory;
    size_t size;
    if (bytes == 0)
        bytes = SMF__WAL_MEMORY_DEFAULT_BYTES;
    if (bytes < SMF__WAL_MEMORY_MIN_BYTES || bytes / SMF__WAL_BUFFER_BYTES > UINT32_MAX)
        return SMF_EINVAL;
    wal->buffer_count = (uint32_t)(bytes / SMF__WAL_BUFFER_BYTES);
    wal->buffers = calloc(wal->buffer_count, sizeof *wal->buffers);
    wal->pendings = calloc(SMF__WAL_APPENDS_MAX, sizeof *wal->pendings);
    size = (size_t)wal->buffer_count * SMF__WAL_BUFFER_BYTES;
    if (posix_memalign(&memory, HUGE_PAGE_BYTES, size) == 0) {
        wal->memory = memory;
        (void)madvise(memory, size, MADV_HUGEPAGE); /* a write pins its pages: one instead of 32 */
    }
    if (wal->buffers == NULL || wal->pendings == NULL || wal->memory == NULL) {
        smf__wal_buffers_close(wal);
        return SMF_ENOMEM;
    }
    for (uint32_t i = 0; i < wal->buffer_count; i++) {
        wal->buffers[i].data = wal->memory + (size_t)i * SMF__WAL_BUFFER_BYTES;
        give(wal, &wal->buffers[i]);
    }
    wal->pending_free = wal->pendings;
    wal->pending_used = 1;
    return SMF_OK;
}

struct smf__wal_pending *smf__wal_pending_take(struct smf__wal *wal)
{
    struct smf__wal_pending *pending = wal->pending_free;
    wal->pending_free = pending->next;
    if (wal->pending_free == NULL && wal->pending_used < SMF__WAL_APPENDS_MAX)
        wal->pending_free = &wal->pendings[wal->pending_used++]; /* calloc: nothing follows it */
    return pending;
}

void smf__wal_buffers_close(struct smf__wal *wal)
{
    free(wal->buffers);
    free(wal->pendings);
    free(wal->memory);
    wal->buffers = wal->free_first = wal->free_last = NULL;
    wal->pendings = wal->pending_free = NULL;
    wal->memory = NULL;
    wal->buffer_count = wal->free_count = 0;
}

uint64_t smf__wal_buffers_room(const struct smf__wal_part *part)
{
    uint64_t count = part->wal->free_count, fills = 0;
    if (part->fills != NULL)
        fills = SMF__WAL_BUFFER_BYTES - part->fills->used;
    if (part->topic != NULL)
        count = count > SMF__WAL_RESERVE_BUFFERS ? count - SMF__WAL_RESERVE_BUFFERS : 0;
    return fills + count * SMF__WAL_BUFFER_BYTES;
}

/* A buffer for what follows at this position. */
static struct smf__wal_buffer *begin(struct smf__wal_part *part, uint64_t position)
{
    struct smf__wal_buffer *buffer = take(part->wal, part->buffers_last);
    smf__check(position % part->last->header.block_bytes == 0);
    buffer->part = part;
    buffer->segment = part->last;
    buffer->segment->holds++;
    buffer->position = position;
    buffer->used = 0;
    buffer->state = SMF__WAL_BUFFER_FILLS;
    buffer->durable = 0;
    buffer->end = (struct smf__wal_mark){0};
    buffer->next = NULL;
    if (part->buffers_last != NULL)
        part->buffers_last->next = buffer;
    else
        part->buffers = buffer;
    part->buffers_last = part->fills = buffer;
    return buffer;
}

void smf__wal_buffers_seal(struct smf__wal_part *part)
{
    struct smf__wal_buffer *buffer = part->fills;
    if (buffer == NULL)
        return;
    uint32_t padded = (uint32_t)smf__round_up(buffer->used, part->last->header.block_bytes);
    memset(buffer->data + buffer->used, 0, padded - buffer->used);
    buffer->used = padded;
    buffer->state = SMF__WAL_BUFFER_WAITS;
    part->fills = NULL;
    if (part->next_write == NULL)
        part->next_write = buffer;
}

void smf__wal_buffers_put(struct smf__wal_part *part, uint64_t position, const void *data,
                          uint64_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        struct smf__wal_buffer *buffer = part->fills;
        if (buffer == NULL)
            buffer = begin(part, position);
        smf__check(buffer->segment == part->last && buffer->position + buffer->used == position);
        uint64_t room = SMF__WAL_BUFFER_BYTES - buffer->used, moved = size < room ? size : room;
        memcpy(buffer->data + buffer->used, from, moved);
        buffer->used += (uint32_t)moved;
        from += moved;
        position += moved;
        size -= moved;
        if (buffer->used == SMF__WAL_BUFFER_BYTES)
            smf__wal_buffers_seal(part);
    }
}

struct smf__wal_buffer *smf__wal_buffers_through(struct smf__wal_buffer *first)
{
    struct smf__wal_buffer *last = first;
    for (uint32_t i = 1; i < SMF__WAL_WRITE_BUFFERS; i++) {
        struct smf__wal_buffer *next = last->next;
        if (next == NULL || next->state != SMF__WAL_BUFFER_WAITS ||
            next->segment != first->segment || next->data != last->data + last->used ||
            next->position != last->position + last->used)
            break;
        last = next;
    }
    return last;
}

void smf__wal_buffers_pop(struct smf__wal_part *part)
{
    struct smf__wal_buffer *buffer = part->buffers;
    smf__check(buffer->state != SMF__WAL_BUFFER_UNDER_WAY);
    part->buffers = buffer->next;
    if (part->buffers == NULL)
        part->buffers_last = NULL;
    if (part->fills == buffer)
        part->fills = NULL;
    if (part->next_write == buffer)
        part->next_write = part->buffers;
    struct smf__wal_segment *segment = buffer->segment;
    give(part->wal, buffer);
    smf__wal_segment_release(segment); /* last: it may be freed, and forgotten here */
}

void smf__wal_buffers_forget(struct smf__wal *wal, const struct smf__wal_segment *segment)
{
    for (uint32_t i = 0; i < wal->buffer_count; i++) {
        if (wal->buffers[i].segment == segment)
            wal->buffers[i].segment = NULL;
    }
}

/* The buffer with this byte of a segment, or NULL. A position is in one of them at most: blocks are
 * written once. */
static const struct smf__wal_buffer *holder(const struct smf__wal_segment *segment,
                                            uint64_t position)
{
    const struct smf__wal *wal = segment->part->wal;
    for (uint32_t i = 0; i < wal->buffer_count; i++) {
        const struct smf__wal_buffer *buffer = &wal->buffers[i];
        if (buffer->segment == segment && position >= buffer->position &&
            position - buffer->position < buffer->used)
            return buffer;
    }
    return NULL;
}

uint64_t smf__wal_buffers_read(struct smf__wal_segment *segment, uint64_t position, uint64_t size,
                               uint8_t *data_out)
{
    uint64_t done = 0;
    while (done < size) {
        const struct smf__wal_buffer *buffer = holder(segment, position + done);
        if (buffer == NULL)
            break;
        uint64_t from = position + done - buffer->position, moved = buffer->used - from;
        if (moved > size - done)
            moved = size - done;
        memcpy(data_out + done, buffer->data + from, moved);
        done += moved;
    }
    return done;
}
