#include <stdio.h>

#include "wal/wal_bytes.h"
#include "wal/wal_log.h"

#define AHEAD_BYTES (8u << 20) /* of a walk over what is not indexed */

struct search {
    int64_t time_us;
    uint64_t from, end; /* offsets to look at */
    uint64_t found;     /* UINT64_MAX: none so far */
};

/* The first record of a batch that is late enough. Returns 1 when there is one. */
static int search_batch(struct search *search, const struct smf__wal_batch *batch,
                        const uint8_t *bytes)
{
    struct smf__wal_rest rest = {bytes + batch->header_bytes, batch->body_bytes, batch->base_us};
    struct smf__wal_record record;

    if (batch->max_us < search->time_us)
        return 0;
    for (uint64_t offset = batch->first_offset; offset < search->end; offset++) {
        if (smf__wal_record_next(&rest, &record) != SMF__WAL_GOOD)
            return 0;
        if (offset >= search->from && record.time_us >= search->time_us) {
            search->found = offset;
            return 1;
        }
    }
    return 0;
}

static void search_run(struct search *search, const struct smf__wal_run *run)
{
    struct search here = *search;
    uint64_t at = 0;

    here.from = run->first_offset;
    here.end = run->end_offset < search->end ? run->end_offset : search->end;
    while (at < run->size_bytes && here.found == UINT64_MAX) {
        const struct smf__wal_file *file = &run->segment->header;
        struct smf__wal_batch batch;
        int what = smf__wal_batch_parse(run->bytes + at, run->size_bytes - at, file,
                                        run->position + at, &batch);

        if (what != SMF__WAL_GOOD) { /* padding */
            uint64_t next = smf__round_up(run->position + at + 1, file->block_bytes);

            at = next - run->position;
            continue;
        }
        if (search_batch(&here, &batch, run->bytes + at))
            break;
        at += smf__wal_batch_bytes(&batch);
    }
    search->found = here.found;
}

/* Reads on from an offset until a record is found, or what the segment can have ends. Blocks. */
static int search_from(struct smf__wal_part *part, uint64_t from, uint64_t until,
                       struct search *search, struct smf_error *error_out)
{
    struct smf__wal_reader *reader;
    int status =
        smf__wal_reader_open(part, from, SMF__WAL_DURABLE, AHEAD_BYTES, 0, &reader, error_out);

    if (status != SMF_OK)
        return status;
    while (from < until && search->found == UINT64_MAX) {
        struct smf__wal_run run;

        status = smf__wal_reader_next(reader, &run, error_out);
        if (status < 0)
            break;
        if (status == 0) {
            if (smf__wal_reader_at_end(reader))
                break;
            smf__wal_wait(part->wal);
            continue;
        }
        search_run(search, &run);
        from = run.end_offset;
    }
    smf__wal_reader_close(reader);
    return status < 0 ? status : SMF_OK;
}

/* The segment that an offset is in; other ones may have come and gone while something was waited for. */
static struct smf__wal_segment *segment_of(const struct smf__wal_part *part, uint64_t offset)
{
    struct smf__wal_segment *segment = part->last;

    while (segment != NULL && segment->header.first_offset > offset)
        segment = segment->previous;
    return segment;
}

int smf__wal_offset_for_time(struct smf__wal_part *part, int64_t time_us, uint64_t *offset_out,
                             struct smf_error *error_out)
{
    struct search search = {.time_us = time_us, .end = part->durable.offset, .found = UINT64_MAX};
    uint64_t at = part->head;
    int status = SMF_OK;

    while (at < search.end && search.found == UINT64_MAX && status == SMF_OK) {
        struct smf__wal_segment *segment = segment_of(part, at);
        uint64_t until = search.end;

        if (segment == NULL)
            break;
        if (segment->next != NULL && segment->next->header.first_offset < until)
            until = segment->next->header.first_offset;
        if (!smf__wal_index_is_whole(segment) || segment->max_us >= time_us) {
            const struct smf__wal_waypoint *waypoint = smf__wal_index_find_time(segment, time_us);

            if (waypoint != NULL && waypoint->offset > at && waypoint->offset < until)
                at = waypoint->offset;
            status = search_from(part, at, until, &search, error_out);
        }
        at = until;
    }
    *offset_out = search.found != UINT64_MAX ? search.found : search.end;
    return status;
}
