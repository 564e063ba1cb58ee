#include <stdlib.h>

#include "wal/wal_log.h"

#define WAYPOINTS_FIRST 16u

static int add_waypoint(struct smf__wal_segment *segment, const struct smf__wal_batch *batch,
                        uint64_t position)
{
    if (segment->waypoint_count == segment->waypoint_capacity) {
        uint32_t capacity =
            segment->waypoint_capacity != 0 ? 2 * segment->waypoint_capacity : WAYPOINTS_FIRST;
        void *more = realloc(segment->waypoints, capacity * sizeof *segment->waypoints);

        if (more == NULL)
            return SMF_ENOMEM;
        segment->waypoints = more;
        segment->waypoint_capacity = capacity;
    }
    segment->waypoints[segment->waypoint_count++] = (struct smf__wal_waypoint){
        .offset = batch->first_offset,
        .position = position,
        .max_us = segment->max_us,
        .prev_crc = batch->prev_crc,
    };
    return SMF_OK;
}

/* Is a batch the next one behind what is known, or the one with which what is known ends? */
static int is_next(const struct smf__wal_segment *segment, const struct smf__wal_batch *batch,
                   uint64_t position)
{
    const struct smf__wal_scan *scan = &segment->scan;

    if (position < scan->end)
        return position + smf__wal_batch_bytes(batch) == scan->end;
    return batch->prev_crc == scan->prev_crc && batch->first_offset == scan->next_offset;
}

int smf__wal_index_add(struct smf__wal_segment *segment, const struct smf__wal_batch *batch,
                       uint64_t position)
{
    struct smf__wal_scan *scan = &segment->scan;
    uint64_t end = position + smf__wal_batch_bytes(batch);

    if (scan->file == NULL)
        smf__wal_scan_begin(scan, &segment->header);
    if (!is_next(segment, batch, position))
        return SMF_OK;
    if (segment->waypoint_count == 0) {
        if (position == segment->header.block_bytes)
            segment->max_us = INT64_MIN;
        if (add_waypoint(segment, batch, position) != SMF_OK)
            return SMF_ENOMEM;
    } else if (position >= segment->waypoints[segment->waypoint_count - 1].position +
                               SMF__WAL_INDEX_STEP_BYTES) {
        if (add_waypoint(segment, batch, position) != SMF_OK)
            return SMF_ENOMEM;
    }
    if (batch->kind == SMF__WAL_RECORDS && batch->max_us > segment->max_us)
        segment->max_us = batch->max_us;
    if (end > scan->end) {
        scan->end = end;
        scan->next_offset = batch->first_offset + batch->count;
        scan->prev_crc = batch->header_crc;
    }
    return SMF_OK;
}

const struct smf__wal_waypoint *smf__wal_index_find(const struct smf__wal_segment *segment,
                                                    uint64_t offset)
{
    uint32_t low = 0, high = segment->waypoint_count; /* the answer is before high */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (segment->waypoints[middle].offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &segment->waypoints[low - 1] : NULL;
}

int smf__wal_index_is_whole(const struct smf__wal_segment *segment)
{
    return segment->waypoint_count > 0 &&
           segment->waypoints[0].position == segment->header.block_bytes &&
           segment->known_from <= segment->header.block_bytes && segment->scan.end >= segment->end;
}

const struct smf__wal_waypoint *smf__wal_index_find_time(const struct smf__wal_segment *segment,
                                                         int64_t time_us)
{
    uint32_t low = 0, high = segment->waypoint_count;

    if (high == 0 || segment->waypoints[0].position != segment->header.block_bytes ||
        segment->known_from > segment->header.block_bytes)
        return NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (segment->waypoints[middle].max_us < time_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &segment->waypoints[low - 1] : NULL;
}
