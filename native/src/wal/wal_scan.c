#include "wal/wal_scan.h"

#include <string.h>

#include "wal/wal_bytes.h"

void smf__wal_scan_begin(struct smf__wal_scan *scan, const struct smf__wal_file *file)
{
    *scan = (struct smf__wal_scan){
        .file = file,
        .end = file->block_bytes,
        .next_offset = file->first_offset,
        .prev_crc = file->follows_crc,
    };
}

static int is_linked(const struct smf__wal_scan *scan, const struct smf__wal_batch *batch)
{
    return batch->prev_crc == scan->prev_crc && batch->first_offset == scan->next_offset;
}

/* The bytes of a window from a position on, and how many there are. */
static const uint8_t *window_from(const struct smf__wal_window *window, uint64_t position,
                                  uint64_t *size_out)
{
    if (position < window->position || position - window->position >= window->size) {
        *size_out = 0;
        return window->bytes;
    }
    *size_out = window->size - (position - window->position);
    return window->bytes + (position - window->position);
}

/* Is the next batch at this position? Returns GOOD or UNSUPPORTED if so, else why not. */
static int look_at(struct smf__wal_scan *scan, const struct smf__wal_window *window,
                   uint64_t position, struct smf__wal_batch *batch_out)
{
    uint64_t size;
    const uint8_t *bytes = window_from(window, position, &size);
    int status = smf__wal_batch_parse(bytes, size, scan->file, position, batch_out);
    if (status == SMF__WAL_TRUNCATED)
        scan->need_bytes = position - scan->end + SMF__WAL_BATCH_HEADER_MAX_BYTES;
    if (status != SMF__WAL_GOOD && status != SMF__WAL_UNSUPPORTED)
        return status;
    if (!is_linked(scan, batch_out))
        return SMF__WAL_DAMAGED_HEADER; /* what should be here was not written, or elsewhere */
    int body = smf__wal_body_check(batch_out, bytes, size);
    if (body == SMF__WAL_TRUNCATED)
        scan->need_bytes = position - scan->end + smf__wal_batch_bytes(batch_out);
    return body == SMF__WAL_GOOD ? status : body;
}

int smf__wal_scan_next(struct smf__wal_scan *scan, const struct smf__wal_window *window,
                       struct smf__wal_batch *batch_out, uint64_t *position_out)
{
    uint64_t position = scan->end;
    scan->need_bytes = 0;
    int status = look_at(scan, window, position, batch_out);
    uint64_t block = smf__round_up(position, scan->file->block_bytes);
    if (status == SMF__WAL_DAMAGED_HEADER && block != position) {
        position = block; /* what stands between the two is padding */
        status = look_at(scan, window, position, batch_out);
    }
    if (status != SMF__WAL_GOOD && status != SMF__WAL_UNSUPPORTED)
        return status;
    *position_out = position;
    scan->end = position + smf__wal_batch_bytes(batch_out);
    scan->next_offset = batch_out->first_offset + batch_out->count;
    scan->prev_crc = batch_out->header_crc;
    return status;
}

void smf__wal_later_add(struct smf__wal_later *later, const struct smf__wal_scan *scan,
                        const struct smf__wal_window *window)
{
    if (later->position < scan->end)
        later->position = scan->end;
    for (;;) {
        uint64_t size;
        struct smf__wal_batch batch;
        const uint8_t *bytes = window_from(window, later->position, &size);
        int status = smf__wal_batch_parse(bytes, size, scan->file, later->position, &batch);
        if (status == SMF__WAL_TRUNCATED)
            return;
        if (status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED) {
            later->position += smf__wal_batch_bytes(&batch);
            later->last_end = later->position;
            later->batches++;
            if (batch.durable_before > later->durable_before)
                later->durable_before = batch.durable_before;
        } else {
            later->position = smf__round_up(later->position + 1, scan->file->block_bytes);
        }
    }
}
