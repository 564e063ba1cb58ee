/* What wal_append.c, wal_turn.c and their neighbours do, as far as opening and closing a log needs it, one
 * operation after the other: so that the tests of recovery depend on nothing but recovery. All of it is
 * weak. */
#ifndef SMF_TEST_WAL_FAKE_H
#define SMF_TEST_WAL_FAKE_H

#include "test.h"
#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_log.h"

#define FAKE __attribute__((weak))

FAKE int64_t smf__wal_wall_us(const struct smf__wal *wal)
{
    return wal->options.wall_us != NULL ? wal->options.wall_us(wal->options.wall_context) : 1;
}

FAKE int smf__wal_run(struct smf__wal *wal, struct smf__disk_op *op)
{
    return smf__disk_run(wal->disk, op);
}

FAKE void smf__wal_queue(struct smf__wal *wal, struct smf__wal_io *io)
{
    io->op.context = io;
    wal->under_way++;
    wal->disk->ops->queue(wal->disk, &io->op);
}

FAKE void smf__wal_wait(struct smf__wal *wal)
{
    struct smf__disk_op *done;
    wal->disk->ops->submit(wal->disk);
    wal->disk->ops->wait(wal->disk, -1);
    while (wal->disk->ops->poll(wal->disk, &done, 1) == 1) {
        struct smf__wal_io *io = done->context;
        wal->under_way--;
        io->done(io);
    }
}

FAKE int smf__wal_sync(struct smf__wal_part *part)
{
    return part->status;
}

FAKE void smf__wal_fence(struct smf__wal_part *part, int status, const char *text)
{
    part->status = status;
    snprintf(part->status_text, sizeof(part->status_text), "%s", text);
}

FAKE int smf__wal_buffers_open(struct smf__wal *wal)
{
    wal->memory = malloc(1);
    wal->buffer_count = 0;
    return wal->memory != NULL ? SMF_OK : SMF_ENOMEM;
}

FAKE void smf__wal_buffers_close(struct smf__wal *wal)
{
    free(wal->memory);
}

FAKE void smf__wal_segments_close(struct smf__wal_part *part)
{
    (void)part;
}

FAKE void smf__wal_reader_close(struct smf__wal_reader *reader)
{
    (void)reader;
}

FAKE int smf__wal_index_add(struct smf__wal_segment *segment, const struct smf__wal_batch *batch,
                            uint64_t position)
{
    (void)batch;
    (void)position;
    segment->waypoint_count++; /* batches, here */
    return SMF_OK;
}

/* One batch, on a block of its own, durable when it returns. */
FAKE int smf__wal_append(struct smf__wal_part *part, const struct smf__wal_append *append,
                         uint64_t *first_offset_out)
{
    struct smf__wal_segment *segment = part->last;
    uint64_t block = segment->header.block_bytes;
    struct smf__wal_batch batch = {
        .body_crc = smf__crc32c(0, append->body, append->body_bytes),
        .body_bytes = append->body_bytes,
        .plain_bytes = append->body_bytes,
        .kind = append->kind,
        .count = append->count,
        .prev_crc = part->prev_crc,
        .first_offset = part->next_offset,
        .base_us = append->base_us,
        .max_us = append->max_us,
        .durable_before = part->durable.place,
    };
    uint64_t position = smf__round_up(segment->end, block);
    uint64_t size = smf__round_up(SMF__WAL_BATCH_HEADER_BYTES + append->body_bytes, block);
    struct smf__disk_op zero = {
        .kind = SMF__DISK_ZERO, .file = segment->file, .offset = segment->size_bytes, .size = size};
    uint8_t *bytes = aligned_alloc(65536, smf__round_up(size, 65536));
    struct smf__disk_op write = {.kind = SMF__DISK_WRITE,
                                 .flags = SMF__DISK_DURABLE,
                                 .file = segment->file,
                                 .offset = position,
                                 .size = size,
                                 .data = bytes};
    CHECK(bytes != NULL);
    memset(bytes, 0, size);
    CHECK_EQ(smf__wal_batch_encode(&batch, &segment->header, position, bytes), SMF__WAL_GOOD);
    if (append->body_bytes > 0)
        memcpy(bytes + SMF__WAL_BATCH_HEADER_BYTES, append->body, append->body_bytes);
    int status = position + size <= segment->size_bytes ? SMF_OK : smf__wal_run(part->wal, &zero);
    if (status == SMF_OK) {
        segment->size_bytes = segment->file->size_bytes;
        status = smf__wal_run(part->wal, &write);
    }
    free(bytes);
    if (status != SMF_OK) {
        smf__wal_fence(part, status, "a write failed");
        return status;
    }
    *first_offset_out = batch.first_offset;
    segment->end = position + smf__wal_batch_bytes(&batch);
    part->prev_crc = batch.header_crc;
    part->next_offset += batch.count;
    part->durable =
        (struct smf__wal_mark){.place = smf__wal_place(segment->header.number, segment->end),
                               .offset = part->next_offset,
                               .crc = batch.header_crc};
    part->buffered = part->written = part->durable;
    return SMF_OK;
}

#endif
