/* Cutting a partition's head and tail. */
#include <stdio.h>
#include <stdlib.h>

#include "wal/wal_bytes.h"
#include "wal/wal_log.h"

#define READ_ALIGN_BYTES SMF__WAL_BLOCK_MAX_BYTES /* of memory, and of positions */

static int range_error(const struct smf__wal_part *part, uint64_t offset,
                       struct smf_error *error_out)
{
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    snprintf(text, sizeof text, "offset %llu is not there: give one from %llu to %llu",
             (unsigned long long)offset, (unsigned long long)part->head,
             (unsigned long long)part->next_offset);
    return smf__error(error_out, SMF_EINVAL, 0, text);
}

static int can_write(const struct smf__wal_part *part, struct smf_error *error_out)
{
    if (part->status != SMF_OK)
        return smf__error(error_out, part->status, 0, part->status_text);
    if (part->wal->options.read_only)
        return smf__error(error_out, SMF_EREADONLY, 0,
                          "the log is open for reading only: open it for writing");
    return SMF_OK;
}

/* --- the head ------------------------------------------------------------------------------------- */

int smf__wal_truncate_head(struct smf__wal_part *part, uint64_t offset, struct smf_error *error_out)
{
    uint8_t item[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    int status = can_write(part, error_out);
    if (status != SMF_OK)
        return status;
    if (offset <= part->head)
        return SMF_OK;
    if (offset > part->next_offset)
        return range_error(part, offset, error_out);
    if (offset > part->durable.offset) /* a head that is behind the end would look like damage */
        status = smf__wal_sync(part);
    if (status != SMF_OK)
        return smf__error(error_out, status, 0, part->status_text);
    struct smf__wal_head head = {
        .topic_id = part->topic->config.topic_id, .offset = offset, .partition = part->number};
    status = smf__wal_meta_write(part->wal, item, smf__wal_head_write(&head, item), 1);
    if (status != SMF_OK)
        return smf__error(error_out, status, 0, "the new head could not be written to META");
    if (part->head < offset) /* others' turns went on */
        part->head = offset;
    while (part->first != part->last && part->first->end_offset <= part->head)
        smf__wal_segment_drop(part->first);
    smf__wal_readers_tell(part);
    return SMF_OK;
}

/* --- the tail ------------------------------------------------------------------------------------- */

/* Memory to read into, that grows to what the largest batch needs. */
struct window {
    uint8_t *data;
    uint64_t capacity, position, size;
};

/* Fills it from a position on, with so many bytes at least if the file has them. */
static int fill(struct smf__wal_segment *segment, struct window *window, uint64_t position,
                uint64_t need)
{
    uint64_t from = position & ~(uint64_t)(READ_ALIGN_BYTES - 1);
    uint64_t size = smf__round_up(position - from + need, READ_ALIGN_BYTES);
    if (size < SMF__WAL_READ_BYTES)
        size = SMF__WAL_READ_BYTES;
    if (size > window->capacity) {
        free(window->data);
        window->data = aligned_alloc(READ_ALIGN_BYTES, size);
        window->capacity = window->data != NULL ? size : 0;
        if (window->data == NULL)
            return SMF_ENOMEM;
    }
    struct smf__disk_op op = {.kind = SMF__DISK_READ,
                              .file = segment->file,
                              .offset = from,
                              .size = window->capacity,
                              .data = window->data};
    int status = smf__wal_run(segment->part->wal, &op);
    window->position = from;
    window->size = status == SMF_OK ? op.done : 0;
    return status;
}

/* Walks over a segment's batches until they have all records before an offset. */
static int walk_to(struct smf__wal_segment *segment, uint64_t offset, struct window *window,
                   struct smf__wal_scan *scan)
{
    uint64_t need = 0;
    smf__wal_scan_begin(scan, &segment->header);
    do {
        struct smf__wal_window bytes = {window->data, window->position, window->size};
        struct smf__wal_batch batch;
        uint64_t position;
        int status = smf__wal_scan_next(scan, &bytes, &batch, &position);
        if (status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED) {
            need = 0;
            continue;
        }
        if (status != SMF__WAL_TRUNCATED || scan->end + scan->need_bytes <= need)
            return SMF_EIO;
        need = scan->end + scan->need_bytes;
        int read = fill(segment, window, scan->end, scan->need_bytes);
        if (read != SMF_OK)
            return read;
    } while (scan->end == segment->header.block_bytes || scan->next_offset < offset);
    return SMF_OK;
}

/* The segment with the last record before an offset; or the first one. */
static struct smf__wal_segment *segment_of(const struct smf__wal_part *part, uint64_t offset)
{
    struct smf__wal_segment *segment = part->last;
    while (segment->previous != NULL && segment->header.first_offset >= offset)
        segment = segment->previous;
    return segment;
}

/* What is behind the end is in no waypoint. */
static void forget_waypoints(struct smf__wal_segment *segment)
{
    while (segment->waypoint_count > 0 &&
           segment->waypoints[segment->waypoint_count - 1].position >= segment->end)
        segment->waypoint_count--;
}

static int cut_tail(struct smf__wal_part *part, uint64_t offset, struct smf_error *error_out)
{
    struct smf__wal_segment *segment = segment_of(part, offset);
    struct smf__wal_scan scan;
    struct window window = {0};
    segment->holds++;
    int status = smf__wal_segment_open(segment);
    if (status == SMF_OK)
        status = walk_to(segment, offset, &window, &scan);
    free(window.data);
    if (status == SMF_OK)
        status =
            smf__wal_segment_begin_at(part, segment, scan.end, scan.prev_crc, offset, error_out);
    else
        status = smf__error(error_out, status, 0,
                            "the batch at the new end can't be read; nothing was cut");
    if (status == SMF_OK) {
        segment->scan = scan;
        forget_waypoints(segment);
    }
    smf__wal_segment_release(segment);
    return status;
}

int smf__wal_truncate_tail(struct smf__wal_part *part, uint64_t offset, struct smf_error *error_out)
{
    int status = can_write(part, error_out);
    if (status != SMF_OK)
        return status;
    if (part->held)
        return smf__error(error_out, SMF_ELIMIT, 0, "the tail is being cut already");
    if (offset < part->head || offset > part->next_offset)
        return range_error(part, offset, error_out);
    part->held = 1;
    status = smf__wal_sync(part);
    if (status != SMF_OK)
        status = smf__error(error_out, status, 0, part->status_text);
    else if (offset < part->next_offset)
        status = cut_tail(part, offset, error_out);
    part->held = 0;
    part->wal->ended++; /* who was told to come again may */
    smf__wal_touch(part);
    smf__wal_readers_tell(part);
    return status;
}
