#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk_image.h"
#include "wal_crash.h"

#define READ_ROUNDS_MAX 100000u

/* --- bodies and batches --- */

struct crash_body *crash_body_make(struct smf__random *random, uint32_t count, uint32_t value_max,
                                   int64_t now_us)
{
    struct crash_body *body = smf__disk_must(calloc(1, sizeof *body));
    struct smf__random content;
    uint64_t bytes = 0, seed = smf__random_next(random);
    uint8_t *value = smf__disk_must(malloc((size_t)value_max + 8));

    body->refs = 1;
    body->count = count;
    body->base_us = body->max_us = now_us;
    for (int write = 0; write < 2; write++) {
        smf__random_seed(&content, seed);
        bytes = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t size = 1 + (uint32_t)smf__random_below(&content, value_max);
            uint64_t word = smf__random_next(&content);
            struct smf__wal_record record = {.value = {.data = value, .size = size},
                                             .time_us = now_us + (int64_t)(word % 1000)};

            if (i == 0)
                record.time_us = now_us;
            if (word % 5 == 0)
                record.key = (struct smf__wal_bytes){.data = (const uint8_t *)"key", .size = 3};
            if (write) {
                for (uint32_t k = 0; k < size; k++)
                    value[k] = (uint8_t)(word >> (k % 8 * 8)) ^ (uint8_t)(k >> 3);
                smf__wal_record_write(&record, now_us, body->data + bytes);
            }
            if (record.time_us > body->max_us)
                body->max_us = record.time_us;
            bytes += smf__wal_record_bytes(&record, now_us);
        }
        if (!write)
            body->data = smf__disk_must(aligned_alloc(8, bytes));
    }
    body->bytes = (uint32_t)bytes;
    free(value);
    return body;
}

static void body_put(struct crash_body *body)
{
    if (--body->refs > 0)
        return;
    free(body->data);
    free(body);
}

struct crash_batch *crash_batch_add(struct crash_part *part, struct crash_body *body, uint32_t ack,
                                    uint64_t user)
{
    struct crash_batch *batch;

    if (part->count == part->capacity) {
        part->capacity = part->capacity != 0 ? 2 * part->capacity : 16;
        part->batches =
            smf__disk_must(realloc(part->batches, part->capacity * sizeof *part->batches));
    }
    batch = &part->batches[part->count++];
    *batch = (struct crash_batch){.body = body,
                                  .first = part->next,
                                  .end = part->next + body->count,
                                  .user = user,
                                  .ack = ack};
    part->next = batch->end;
    return batch;
}

void crash_batch_drop_last(struct crash_part *part)
{
    struct crash_batch *batch = &part->batches[--part->count];

    part->next = batch->first;
    body_put(batch->body);
}

void crash_tail_cut(struct crash_part *part, uint64_t offset)
{
    while (part->count > 0 && part->batches[part->count - 1].first >= offset)
        crash_batch_drop_last(part);
    if (part->count > 0 && part->batches[part->count - 1].end > offset)
        part->batches[part->count - 1].end = offset;
    part->next = offset;
    part->durable = part->durable < offset ? part->durable : offset;
    part->written = part->written < offset ? part->written : offset;
}

void crash_model_copy(struct crash_model *to, const struct crash_model *from)
{
    *to = *from;
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++) {
        struct crash_part *part =
            &to->topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX];
        struct crash_batch *batches = part->batches;

        part->capacity = part->count;
        part->batches = NULL;
        if (part->count == 0)
            continue;
        part->batches = smf__disk_must(malloc(part->count * sizeof *batches));
        memcpy(part->batches, batches, part->count * sizeof *batches);
        for (uint32_t k = 0; k < part->count; k++)
            part->batches[k].body->refs++;
    }
}

void crash_model_drop(struct crash_model *model)
{
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++) {
        struct crash_part *part =
            &model->topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX];

        for (uint32_t k = 0; k < part->count; k++)
            body_put(part->batches[k].body);
        free(part->batches);
    }
    memset(model, 0, sizeof *model);
}

struct crash_batch *crash_batch_find(struct crash_model *model, uint64_t user,
                                     struct crash_part **part_out)
{
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++) {
        struct crash_part *part =
            &model->topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX];

        *part_out = part;
        for (uint32_t k = part->count; k > 0; k--) {
            if (part->batches[k - 1].user == user)
                return &part->batches[k - 1];
        }
    }
    return NULL;
}

/* --- reading, and comparing --- */

static const struct crash_batch *batch_at(const struct crash_part *part, uint64_t offset)
{
    uint32_t low = 0, high = part->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (part->batches[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < part->count && part->batches[low].first <= offset ? &part->batches[low] : NULL;
}

/* One batch of a run. Returns the position behind it; *next moves behind its records. */
static uint64_t check_batch(const struct crash *run, const struct crash_part *part_model,
                            const struct smf__wal_run *read, uint64_t position, uint64_t *next)
{
    const uint8_t *bytes = read->bytes + (position - read->position);
    uint64_t size = read->position + read->size_bytes - position;
    struct smf__wal_batch batch;
    const struct crash_batch *expected;
    int status = smf__wal_batch_parse(bytes, size, &read->segment->header, position, &batch);

    if (status == SMF__WAL_DAMAGED_HEADER && position % read->segment->header.block_bytes != 0) {
        position += read->segment->header.block_bytes - 1; /* padding */
        return position - position % read->segment->header.block_bytes;
    }
    CRASH_PROMISE(run, "no_corrupt_data_served", status == SMF__WAL_GOOD,
                  "a reader got a header that is %s", smf__wal_status_name(status));
    status = smf__wal_body_check(&batch, bytes, size);
    CRASH_PROMISE(run, "no_corrupt_data_served", status == SMF__WAL_GOOD,
                  "a reader got a body that is %s", smf__wal_status_name(status));
    position += smf__wal_batch_bytes(&batch);
    if (batch.count == 0)
        return position;
    expected = batch_at(part_model, *next);
    CRASH_PROMISE(run, "offsets_dense",
                  batch.first_offset <= *next && *next < batch.first_offset + batch.count,
                  "at offset %" PRIu64 " a batch from %" PRIu64 ", %u records", *next,
                  batch.first_offset, batch.count);
    CRASH_PROMISE(run, "bytes_identical", expected != NULL, "offset %" PRIu64 " was never written",
                  *next);
    CRASH_PROMISE(run, "batch_is_atomic",
                  batch.first_offset == expected->first && batch.count == expected->body->count,
                  "offsets %" PRIu64 "+%u, appended as %" PRIu64 "+%u", batch.first_offset,
                  batch.count, expected->first, expected->body->count);
    CRASH_PROMISE(
        run, "bytes_identical",
        batch.body_bytes == expected->body->bytes && batch.base_us == expected->body->base_us &&
            batch.max_us == expected->body->max_us &&
            memcmp(bytes + batch.header_bytes, expected->body->data, batch.body_bytes) == 0,
        "offset %" PRIu64 " has other bytes than were appended: %u (%u), times %" PRId64
        " (%" PRId64 "), %" PRId64 " (%" PRId64 "), at %" PRIu64 " of segment %u",
        *next, batch.body_bytes, expected->body->bytes, batch.base_us, expected->body->base_us,
        batch.max_us, expected->body->max_us, position, read->segment->header.number);
    *next = expected->end;
    return position;
}

uint64_t crash_check_run(const struct crash *run, const struct crash_part *part_model,
                         const struct smf__wal_run *read, uint64_t from)
{
    uint64_t next = from, position = read->position;

    CRASH_PROMISE(run, "offsets_dense", read->first_offset == from,
                  "a run begins at %" PRIu64 " instead of %" PRIu64, read->first_offset, from);
    CRASH_PROMISE(run, "no_corrupt_data_served", (uintptr_t)read->bytes % 8 == 0,
                  "a run is not aligned");
    while (position < read->position + read->size_bytes && next < read->end_offset)
        position = check_batch(run, part_model, read, position, &next);
    CRASH_PROMISE(run, "offsets_dense", next == read->end_offset,
                  "a run that ends at %" PRIu64 " has records up to %" PRIu64, read->end_offset,
                  next);
    return next;
}

static uint64_t mark_of(const struct smf__wal_part *part, uint32_t view)
{
    return view == SMF__WAL_DURABLE   ? part->durable.offset
           : view == SMF__WAL_WRITTEN ? part->written.offset
                                      : part->buffered.offset;
}

uint64_t crash_check_read(const struct crash *run, struct smf__wal_part *part,
                          const struct crash_part *part_model, uint64_t from, uint32_t view,
                          int *status_out, char *text_out)
{
    struct smf__wal_reader *reader;
    struct smf_error error = {.text = ""};
    struct smf__wal_run read;
    uint64_t next = from;
    uint32_t rounds = 0;
    int got;

    crash_counts.reads++;
    CRASH_IN_LOG(*status_out, smf__wal_reader_open(part, from, view, 0, 0, &reader, &error));
    snprintf(text_out, SMF_ERROR_TEXT_SIZE_BYTES, "%s", error.text);
    if (*status_out != SMF_OK)
        return from;
    for (;;) {
        memset(&read, 0, sizeof read);
        CRASH_IN_LOG(got, smf__wal_reader_next(reader, &read, &error));
        if (got == 1) {
            next = crash_check_run(run, part_model, &read, next);
            rounds = 0;
            continue;
        }
        if (got < 0 || smf__wal_reader_at_end(reader))
            break;
        CRASH_PROMISE(run, "reading_ends", rounds++ < READ_ROUNDS_MAX,
                      "a reader at %" PRIu64 " waits for ever, the mark is at %" PRIu64, next,
                      mark_of(part, view));
        smf__wal_wait(part->wal);
    }
    if (got < 0) {
        *status_out = got;
        snprintf(text_out, SMF_ERROR_TEXT_SIZE_BYTES, "%s", error.text);
    }
    smf__wal_reader_close(reader);
    return next;
}

/* The first record of that time or a later one, among those before an offset. */
static uint64_t expected_offset(const struct crash_part *part_model, uint64_t head, uint64_t end,
                                int64_t time_us)
{
    for (uint32_t i = 0; i < part_model->count; i++) {
        const struct crash_batch *batch = &part_model->batches[i];
        struct smf__wal_rest rest = {
            .data = batch->body->data, .size = batch->body->bytes, .base_us = batch->body->base_us};
        struct smf__wal_record record;

        for (uint64_t offset = batch->first; offset < batch->end && offset < end; offset++) {
            (void)smf__wal_record_next(&rest, &record);
            if (offset >= head && record.time_us >= time_us)
                return offset;
        }
    }
    return end;
}

void crash_check_time(const struct crash *run, struct smf__wal_part *part,
                      const struct crash_part *part_model, int64_t time_us)
{
    uint64_t before = part->durable.offset, offset = 0, head = part->head, low, high;
    struct smf_error error = {.text = ""};
    int status;

    CRASH_IN_LOG(status, smf__wal_offset_for_time(part, time_us, &offset, &error));
    if (status != SMF_OK && run->options.faulty)
        return;
    CRASH_PROMISE(run, "found_by_time", status == SMF_OK, "offset for time: %s: %s",
                  smf_status_name(status), error.text);
    /* More may have become durable meanwhile. */
    low = expected_offset(part_model, head, before, time_us);
    high = expected_offset(part_model, head, part->durable.offset, time_us);
    CRASH_PROMISE(run, "found_by_time", offset == low || offset == high,
                  "time %" PRId64 " is at %" PRIu64 ", was said to be at %" PRIu64, time_us, low,
                  offset);
}

/* --- a partition after a crash --- */

void crash_check_marks(const struct crash *run, const struct smf__wal_part *part)
{
    CRASH_PROMISE(run, "watermarks_ordered",
                  part->buffered.place >= part->written.place &&
                      part->written.place >= part->durable.place &&
                      part->buffered.offset >= part->written.offset &&
                      part->written.offset >= part->durable.offset,
                  "%s: buffered %" PRIu64 " (%" PRIx64 "), written %" PRIu64 " (%" PRIx64
                  "), durable %" PRIu64 " (%" PRIx64 ")",
                  part->folder, part->buffered.offset, part->buffered.place, part->written.offset,
                  part->written.place, part->durable.offset, part->durable.place);
}

/* May a partition end there? */
static void check_end(const struct crash *run, const struct smf__wal_part *part,
                      const struct crash_part *part_model, int after_power)
{
    uint64_t end = part->next_offset;
    uint64_t least = after_power ? part_model->durable : part_model->written;
    const struct crash_batch *batch;

    if (end == part_model->tail_to || end == part_model->next)
        return;
    CRASH_PROMISE(run, after_power ? "acked_durable_survives" : "acked_written_survives",
                  end >= least, "%s ends at %" PRIu64 ", %" PRIu64 " was promised", part->folder,
                  end, least);
    CRASH_PROMISE(run, "truncated_stays_truncated", end < part_model->next,
                  "%s ends at %" PRIu64 ", only %" PRIu64 " were appended", part->folder, end,
                  part_model->next);
    batch = batch_at(part_model, end);
    CRASH_PROMISE(run, "batch_is_atomic",
                  batch == NULL || batch->first == end || end == part_model->head ||
                      end == part_model->head_to,
                  "%s ends at %" PRIu64 ", inside the batch %" PRIu64 " to %" PRIu64, part->folder,
                  end, batch->first, batch->end);
}

void crash_check_part(const struct crash *run, struct smf__wal_part *part,
                      struct crash_part *part_model, int after_power)
{
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    uint64_t head = part->head, end = part->next_offset, read_to;
    int status;

    CRASH_PROMISE(run, "a_torn_tail_is_no_damage", part->status == SMF_OK, "%s is fenced: %s: %s",
                  part->folder, smf_status_name(part->status), part->status_text);
    CRASH_PROMISE(run, "truncated_stays_truncated",
                  head == part_model->head || head == part_model->head_to,
                  "%s begins at %" PRIu64 ", not at %" PRIu64 " or %" PRIu64, part->folder, head,
                  part_model->head, part_model->head_to);
    check_end(run, part, part_model, after_power);
    CRASH_PROMISE(run, "offsets_not_reused", end >= head,
                  "%s begins at %" PRIu64 " and ends at %" PRIu64, part->folder, head, end);
    crash_check_marks(run, part);
    CRASH_PROMISE(run, "recovered_is_durable", part->durable.offset == end,
                  "%s ends at %" PRIu64 ", durable up to %" PRIu64, part->folder, end,
                  part->durable.offset);
    crash_tail_cut(part_model, end);
    read_to = crash_check_read(run, part, part_model, head, SMF__WAL_DURABLE, &status, text);
    CRASH_PROMISE(run, "order_kept", status == SMF_OK && read_to == end,
                  "%s ends at %" PRIu64 ", could be read from %" PRIu64 " to %" PRIu64 ": %s %s",
                  part->folder, end, head, read_to, smf_status_name(status), text);
    part_model->durable = part_model->written = end;
    part_model->head = part_model->head_to = head;
    part_model->tail_to = UINT64_MAX;
    part_model->lame = 0;
}

static void check_topic(const struct crash *run, struct smf__wal *wal, struct crash_topic *topic,
                        int after_power)
{
    struct smf__wal_topic_info *info = smf__wal_topic_find(wal, topic->name);

    if (info == NULL) {
        CRASH_PROMISE(run, "topics_survive", topic->made != CRASH_MADE, "topic %s is gone",
                      topic->name);
        topic->made = CRASH_NONE;
        return;
    }
    CRASH_PROMISE(run, "topics_survive", topic->made != CRASH_NONE, "topic %s was never made",
                  topic->name);
    CRASH_PROMISE(run, "topics_survive",
                  info->config.partitions == topic->partitions &&
                      info->config.segment_bytes == topic->segment_bytes,
                  "topic %s has %u partitions and segments of %" PRIu64 " bytes", topic->name,
                  info->config.partitions, info->config.segment_bytes);
    topic->made = CRASH_MADE;
    for (uint32_t i = 0; i < topic->partitions; i++)
        crash_check_part(run, crash_named(run, topic->name, i), &topic->parts[i], after_power);
}

void crash_check_topics(const struct crash *run, struct smf__wal *wal, struct crash_model *model,
                        int after_power)
{
    for (uint32_t i = 0; i < CRASH_TOPICS_MAX; i++) {
        if (model->topics[i].name[0] != 0)
            check_topic(run, wal, &model->topics[i], after_power);
    }
}
