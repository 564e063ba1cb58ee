/* Batches and runs in the caller's memory, and readers (smf/wal.h). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wal/wal_host.h"

#define US_PER_SECOND 1000000
#define NS_PER_US 1000

/* --- batches -------------------------------------------------------------------------------------- */

static int64_t wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / NS_PER_US;
}

/* Without data there is no size. */
static int is_sane(const struct smf_wal_record *record)
{
    return (record->value != NULL || record->value_size == 0) &&
           (record->key != NULL || record->key_size == 0) &&
           (record->headers != NULL || record->headers_size == 0) && record->reserved == 0;
}

int smf_wal_add(struct smf_wal_batch *batch, const struct smf_wal_record *record)
{
    struct smf__wal_record encoded;
    int64_t base_us;
    uint32_t bytes;

    if (batch == NULL || record == NULL || batch->memory == NULL ||
        (uintptr_t)batch->memory % SMF__WAL_ALIGN_BYTES != 0 || batch->used > batch->capacity ||
        batch->used % SMF__WAL_ALIGN_BYTES != 0 || !is_sane(record))
        return SMF_EINVAL;
    encoded = (struct smf__wal_record){.value = {record->value, record->value_size},
                                       .key = {record->key, record->key_size},
                                       .headers = {record->headers, record->headers_size},
                                       .time_us = record->time_us};
    if (encoded.time_us == 0)
        encoded.time_us = wall_us();
    base_us = batch->count == 0 ? encoded.time_us : batch->base_us;
    bytes = smf__wal_record_bytes(&encoded, base_us);
    if (bytes == 0)
        return SMF_EINVAL;
    if (bytes > batch->capacity - batch->used || bytes > SMF__WAL_BODY_MAX_BYTES - batch->used)
        return SMF_ELIMIT;
    smf__wal_record_write(&encoded, base_us, batch->memory + batch->used);
    batch->base_us = base_us;
    if (batch->count == 0 || encoded.time_us > batch->max_us)
        batch->max_us = encoded.time_us;
    batch->used += bytes;
    batch->count++;
    return SMF_OK;
}

/* --- runs ----------------------------------------------------------------------------------------- */

/* What is in run.place: where the present batch begins, and how far in it its records were taken. */
static uint64_t place(uint64_t header, uint64_t at)
{
    return header << 32 | at;
}

static void enter(struct smf_wal_run *run, uint64_t header, const struct smf__wal_batch *batch)
{
    uint64_t body = header + batch->header_bytes;

    run->place = place(header, body);
    run->batch_end = run->bytes + body + batch->body_bytes;
    run->next_offset = batch->first_offset;
    run->batch_end_offset = batch->first_offset + batch->count;
    run->base_us = batch->base_us;
}

/* Reads a header of a batch of records, if one can be here. */
static int has_batch(const struct smf_wal_run *run, uint64_t at, struct smf__wal_batch *batch_out)
{
    return smf__wal_batch_read(run->bytes + at, run->size_bytes - at, batch_out) == SMF__WAL_GOOD &&
           batch_out->kind == SMF__WAL_RECORDS;
}

/* Stands at the next batch: where this one ends, or behind padding. All of them were verified, so the next
 * one is where the link to this one is. Returns 1, or 0 at the end of the run. */
static int next_batch(struct smf_wal_run *run)
{
    struct smf__wal_batch before, batch;
    uint64_t header = run->place >> 32, at;

    if (run->batch_end == NULL) {
        if (!has_batch(run, 0, &batch))
            return 0;
        enter(run, 0, &batch);
        return 1;
    }
    if (!has_batch(run, header, &before))
        return 0;
    for (at = header + smf__wal_batch_bytes(&before); at < run->size_bytes;
         at += SMF__WAL_ALIGN_BYTES) {
        if (has_batch(run, at, &batch) && batch.prev_crc == before.header_crc &&
            batch.first_offset == before.first_offset + before.count) {
            enter(run, at, &batch);
            return 1;
        }
    }
    return 0;
}

static void fill(struct smf_wal_record *record_out, const struct smf__wal_record *record,
                 uint64_t offset)
{
    *record_out = (struct smf_wal_record){.value = record->value.data,
                                          .value_size = record->value.size,
                                          .key = record->key.data,
                                          .key_size = record->key.size,
                                          .headers = record->headers.data,
                                          .headers_size = record->headers.size,
                                          .offset = offset,
                                          .time_us = record->time_us};
    if (record->headers.size == 0)
        record_out->headers = NULL;
}

/* What is left of the present batch. */
static struct smf__wal_rest rest_of(const struct smf_wal_run *run)
{
    uint64_t at = run->place & UINT32_MAX;

    return (struct smf__wal_rest){.data = run->bytes + at,
                                  .size = (uint64_t)(run->batch_end - run->bytes) - at,
                                  .base_us = run->base_us};
}

int smf_wal_run_next(struct smf_wal_run *run, struct smf_wal_record *record_out)
{
    if (run->bytes == NULL)
        return 0;
    if (run->batch_end == NULL && !next_batch(run))
        return SMF_EIO;
    for (;;) {
        struct smf__wal_rest rest = rest_of(run);
        struct smf__wal_record record;
        uint64_t offset = run->next_offset;

        /* Its checksums are right: a program with a fault has written another count into the header. */
        if ((offset == run->batch_end_offset) != (rest.size == 0))
            return SMF_EIO;
        if (offset >= run->end_offset)
            return 0;
        if (rest.size == 0) {
            if (!next_batch(run))
                return SMF_EIO;
            continue;
        }
        if (smf__wal_record_next(&rest, &record) != SMF__WAL_GOOD)
            return SMF_EIO;
        run->place = place(run->place >> 32, (uint64_t)(rest.data - run->bytes));
        run->next_offset++;
        if (offset < run->first_offset)
            continue;
        fill(record_out, &record, offset);
        return 1;
    }
}

/* --- readers -------------------------------------------------------------------------------------- */

static void link_reader(struct smf_wal_reader *reader)
{
    reader->next = reader->wal->readers;
    if (reader->next != NULL)
        reader->next->previous = reader;
    reader->wal->readers = reader;
}

static void unlink_reader(struct smf_wal_reader *reader)
{
    if (reader->previous != NULL)
        reader->previous->next = reader->next;
    else
        reader->wal->readers = reader->next;
    if (reader->next != NULL)
        reader->next->previous = reader->previous;
}

int smf_wal_reader_open(struct smf_wal *wal, uint64_t partition, uint64_t from, uint32_t view,
                        uint64_t ahead_bytes, uint64_t user, struct smf_wal_reader **reader_out,
                        struct smf_error *error_out)
{
    struct smf__wal_part *part = wal != NULL ? smf__wal_host_part(wal, partition) : NULL;
    struct smf_wal_reader *reader;
    int status;

    if (wal == NULL || reader_out == NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "smf_wal_reader_open: the log or reader_out is NULL");
    if (!smf__core_is_ours(wal->core))
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    if (part == NULL)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "no such partition: smf_wal_partition gives out their handles");
    if (view > SMF_WAL_DURABLE)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "view: SMF_WAL_DURABLE, SMF_WAL_WRITTEN or SMF_WAL_BUFFERED");
    reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a reader");
    *reader = (struct smf_wal_reader){.wal = wal, .partition = partition, .user = user};
    smf__wal_host_worked(wal);
    status = smf__wal_reader_open(part, from, view, ahead_bytes, (uint64_t)(uintptr_t)reader,
                                  &reader->inner, error_out);
    if (status != SMF_OK) {
        free(reader);
        return status;
    }
    link_reader(reader);
    *reader_out = reader;
    return SMF_OK;
}

void smf__wal_host_close_reader(struct smf_wal_reader *reader)
{
    smf__wal_reader_close(reader->inner);
    smf__wal_host_forget(reader);
    unlink_reader(reader);
    free(reader);
}

void smf_wal_reader_close(struct smf_wal_reader *reader)
{
    if (reader == NULL || !smf__core_is_ours(reader->wal->core))
        return;
    smf__wal_host_worked(reader->wal);
    smf__wal_host_close_reader(reader);
}

int smf_wal_reader_next(struct smf_wal_reader *reader, struct smf_wal_run *run_out,
                        struct smf_error *error_out)
{
    struct smf__wal *log = reader->wal->log;
    uint32_t under_way = log->under_way;
    struct smf__wal_run run = {0};
    int status;

    memset(run_out, 0, sizeof *run_out);
    if (!smf__core_is_ours(reader->wal->core))
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    if (reader->error.status != SMF_OK) {
        if (error_out != NULL)
            *error_out = reader->error;
        return reader->error.status;
    }
    status = smf__wal_reader_next(reader->inner, &run, error_out);
    if (log->under_way != under_way || log->dirty != NULL) /* what it has queued starts in a turn */
        smf__wal_host_worked(reader->wal);
    if (status != 1)
        return status;
    *run_out = (struct smf_wal_run){.bytes = run.bytes,
                                    .size_bytes = run.size_bytes,
                                    .first_offset = run.first_offset,
                                    .end_offset = run.end_offset};
    return 1;
}

int smf_wal_reader_at_end(const struct smf_wal_reader *reader)
{
    return smf__wal_reader_at_end(reader->inner);
}
