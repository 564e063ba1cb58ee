/* For tests of appending: one partition over a simulated disk, built by hand; what META and the index do is
 * only counted. After a workload the bytes of the files are read as an open would read them. */
#ifndef SMF_TEST_WAL_RIG_H
#define SMF_TEST_WAL_RIG_H

#include <errno.h>

#include "disk/disk_sim.h"
#include "test.h"
#include "wal/wal_bytes.h"
#include "wal/wal_log.h"

#define RIG_APPENDS_MAX 20000u
#define RIG_FOLDER "/log/events/0"

/* One append: what was asked for, and what became of it. */
struct rig_append {
    uint64_t offset;
    uint32_t count, value_bytes, ack;
    int taken, told, status;
    int cut; /* its tail was given up */
};

struct rig {
    struct smf__disk_world *world;
    struct smf__disk *disk;
    struct smf__clock_manual time;
    struct smf__wal wal;
    struct smf__wal_topic_info topic;
    struct smf__wal_part part;
    struct smf__random random;
    struct rig_append *appends;
    uint64_t append_count, outcomes, retries;
    uint64_t last_told[SMF__WAL_ACKS]; /* the offset behind the last one that was told */
    struct smf__wal_mark seen[3];
    uint64_t last_head; /* that META was told */
    uint32_t checkpoints;
    int meta_status;
    int in_append;
    int is_cut; /* the power was: what is not durable may be missing */
};

static struct rig rig;

/* --- what is not tested here ---------------------------------------------------------------------- */

int smf__wal_meta_write(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes, int block)
{
    struct smf__wal_rest rest = {.data = items, .size = size_bytes};
    struct smf__wal_item item;
    struct smf__wal_head head;
    (void)wal;
    CHECK(block);
    CHECK_EQ(smf__wal_item_next(&rest, &item), SMF__WAL_GOOD);
    CHECK_EQ(smf__wal_head_read(&item, &head), SMF__WAL_GOOD);
    CHECK_LE(head.offset, rig.part.durable.offset); /* else META would know of what may be lost */
    rig.last_head = head.offset;
    return rig.meta_status;
}

int smf__wal_meta_checkpoint(struct smf__wal_part *part, int clean, int block)
{
    CHECK(part == &rig.part && !clean && !block);
    if (rig.meta_status == SMF_OK) {
        rig.checkpoints++;
        part->wal->meta.buffered.place += 64;
    }
    return rig.meta_status;
}

int smf__wal_index_add(struct smf__wal_segment *segment, const struct smf__wal_batch *batch,
                       uint64_t position)
{
    (void)segment;
    (void)batch;
    (void)position;
    return SMF_ENOMEM; /* nobody minds */
}

void smf__wal_readers_tell(struct smf__wal_part *part)
{
    (void)part;
}

/* --- a partition ---------------------------------------------------------------------------------- */

static inline void rig_told(void *context, const struct smf__wal_outcome *outcome)
{
    struct rig_append *append = &rig.appends[outcome->user];
    CHECK(context == &rig && !rig.in_append && outcome->user < rig.append_count);
    CHECK(append->taken && !append->told && outcome->part == &rig.part);
    CHECK_EQ(outcome->first_offset, append->offset);
    CHECK_GE(append->offset, rig.last_told[append->ack]); /* in order */
    rig.last_told[append->ack] = append->offset + append->count;
    append->told = 1;
    append->status = outcome->status;
    rig.outcomes++;
}

static inline void rig_retry(void *context)
{
    CHECK(context == &rig && !rig.in_append);
    rig.retries++;
}

static inline void rig_marks(void)
{
    const struct smf__wal_mark now[3] = {rig.part.buffered, rig.part.written, rig.part.durable};
    for (int i = 0; i < 3; i++) {
        CHECK_GE(now[i].place, rig.seen[i].place);
        CHECK_GE(now[i].offset, rig.seen[i].offset);
        rig.seen[i] = now[i];
    }
    CHECK_GE(now[0].place, now[1].place);
    CHECK_GE(now[1].place, now[2].place);
}

static inline uint64_t rig_turn(void)
{
    uint64_t due_ns = smf__wal_turn(&rig.wal);
    rig_marks();
    return due_ns;
}

static inline int64_t rig_wall_us(void *context)
{
    (void)context;
    return 1700000000000000;
}

struct rig_options {
    uint64_t segment_bytes, memory_bytes;
    uint32_t block_bytes, linger_us;
};

static inline void rig_path_run(uint32_t kind, const char *path)
{
    struct smf__disk_op op = {.kind = kind, .path = path};
    CHECK_EQ(smf__disk_run(rig.disk, &op), SMF_OK);
}

static inline void rig_open(const struct rig_options *options)
{
    struct smf__disk_sim_options sim = {.offset_align_bytes = options->block_bytes};
    memset(&rig, 0, sizeof rig);
    rig.appends = calloc(RIG_APPENDS_MAX, sizeof *rig.appends);
    CHECK(rig.appends != NULL);
    smf__random_seed(&rig.random, test_seed());
    rig.world = smf__disk_world_open(test_seed());
    CHECK_EQ(smf__disk_sim_open(&rig.disk, rig.world, &sim, NULL), SMF_OK);
    rig_path_run(SMF__DISK_MAKE_FOLDER, "/log");
    rig_path_run(SMF__DISK_MAKE_FOLDER, "/log/events");
    rig_path_run(SMF__DISK_MAKE_FOLDER, RIG_FOLDER);
    rig_path_run(SMF__DISK_SYNC_FOLDER, "/");
    rig_path_run(SMF__DISK_SYNC_FOLDER, "/log");
    rig_path_run(SMF__DISK_SYNC_FOLDER, "/log/events");
    rig.time.now_ns = 1000000000;
    rig.wal.options = (struct smf__wal_options){
        .clock = smf__clock_from_manual(&rig.time),
        .wall_us = rig_wall_us,
        .memory_bytes = options->memory_bytes,
        .linger_us = options->linger_us,
    };
    snprintf(rig.wal.folder, sizeof rig.wal.folder, "/log");
    rig.wal.disk = rig.disk;
    rig.wal.block_bytes = options->block_bytes != 0 ? options->block_bytes : 512;
    smf__random_seed(&rig.wal.random, test_seed() + 1);
    rig.wal.told = rig_told;
    rig.wal.retry = rig_retry;
    rig.wal.told_context = &rig;
    rig.wal.meta.wal = &rig.wal;
    CHECK_EQ(smf__wal_buffers_open(&rig.wal), SMF_OK);
    snprintf(rig.topic.name, sizeof rig.topic.name, "events");
    rig.topic.config = (struct smf__wal_topic){.topic_id = 77,
                                               .partitions = 1,
                                               .segment_bytes = options->segment_bytes,
                                               .name = rig.topic.name,
                                               .name_size = 6};
    rig.part.wal = &rig.wal;
    rig.part.topic = &rig.topic;
    rig.part.folder = RIG_FOLDER;
}

static inline void rig_close(void)
{
    (void)smf__wal_sync(&rig.part);
    smf__wal_segments_close(&rig.part);
    while (rig.part.buffers != NULL)
        smf__wal_wait(&rig.wal);
    CHECK_EQ(rig.wal.under_way, 0);
    CHECK_EQ(rig.wal.free_count, rig.wal.buffer_count);
    for (struct smf__wal_segment *segment = rig.part.first; segment != NULL;) {
        struct smf__wal_segment *next = segment->next;
        CHECK_EQ(segment->holds, 0);
        free(segment);
        segment = next;
    }
    smf__wal_buffers_close(&rig.wal);
    rig.disk->ops->close(rig.disk);
    smf__disk_world_close(rig.world);
    free(rig.appends);
}

/* The bytes of an append follow from its number. */
static inline void rig_fill(uint8_t *value, uint64_t user, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        value[i] = (uint8_t)(user * 31 + (uint64_t)i * 7 + (i >> 8));
}

static uint8_t rig_body[SMF__WAL_BODY_MAX_BYTES], rig_value[SMF__WAL_RECORD_MAX_BYTES];

static inline uint32_t rig_build(uint64_t user, uint32_t count, uint32_t value_bytes)
{
    struct smf__wal_record record = {.value = {rig_value, value_bytes}, .time_us = 5};
    uint32_t size = 0;
    rig_fill(rig_value, user, value_bytes);
    for (uint32_t i = 0; i < count; i++) {
        smf__wal_record_write(&record, 5, rig_body + size);
        size += smf__wal_record_bytes(&record, 5);
    }
    return size;
}

/* One try. Returns 0 or a status. */
static inline int rig_try(uint32_t count, uint32_t value_bytes, uint32_t ack)
{
    uint64_t user = rig.append_count;
    struct rig_append *mine = &rig.appends[user];
    CHECK_LT(user, RIG_APPENDS_MAX);
    struct smf__wal_append append = {
        .body = rig_body,
        .body_bytes = rig_build(user, count, value_bytes),
        .count = count,
        .base_us = 5,
        .max_us = 5,
        .kind = SMF__WAL_RECORDS,
        .ack = ack,
        .user = user,
    };
    uint64_t expected = rig.part.next_offset;
    rig.in_append = 1;
    int status = smf__wal_append(&rig.part, &append, &mine->offset);
    rig.in_append = 0;
    rig_marks();
    if (status == SMF_OK) {
        CHECK_EQ(mine->offset, expected);
        mine->count = count;
        mine->value_bytes = value_bytes;
        mine->ack = ack;
        mine->taken = 1;
        rig.append_count++;
    } else {
        CHECK_EQ(rig.part.next_offset, expected);
    }
    return status;
}

/* Comes again as long as it is told to. */
static inline int rig_append(uint32_t count, uint32_t value_bytes, uint32_t ack)
{
    int status;
    while ((status = rig_try(count, value_bytes, ack)) == SMF_ENOMEM) {
        smf__wal_wait(&rig.wal);
        rig_marks();
    }
    return status;
}

/* Until nothing is under way, and nobody waits. */
static inline void rig_settle(void)
{
    do
        smf__wal_wait(&rig.wal);
    while (rig.wal.under_way > 0 || rig.wal.dirty != NULL);
    rig_marks();
}

static inline void rig_sleep(uint64_t ns)
{
    rig.time.now_ns += ns;
    rig_turn();
    rig_settle();
}

/* --- reading the files ---------------------------------------------------------------------------- */

#define RIG_FILES_MAX 1024

struct rig_file {
    struct smf__wal_file header;
    uint8_t *bytes;
    uint64_t size;
};

struct rig_found {
    struct rig_file files[RIG_FILES_MAX]; /* of the log, in order */
    int file_count;
    int new_count; /* names that end in .new */
    uint32_t numbers
        [RIG_FILES_MAX]; /* of all other names, also of what is no part of the log any more */
    int number_count;
    int stopped; /* what is behind was lost with the partition's end */
    uint64_t next_offset, batches, stamps, states, padding_bytes;
    uint64_t straddling; /* batches in more than one buffer's worth of bytes */
};

static inline void rig_load(struct rig_file *file, const char *name)
{
    char path[512];
    uint32_t number;
    uint64_t first_offset;
    snprintf(path, sizeof path, RIG_FOLDER "/%.200s", name);
    struct smf__disk_op op = {.kind = SMF__DISK_STAT, .path = path};
    CHECK_EQ(smf__disk_run(rig.disk, &op), SMF_OK);
    file->size = op.done;
    file->bytes = malloc(file->size);
    CHECK(file->bytes != NULL);
    CHECK_EQ(smf__disk_world_peek(rig.world, path, 0, file->size, file->bytes), file->size);
    CHECK_EQ(smf__wal_file_parse(file->bytes, file->size, &file->header), SMF__WAL_GOOD);
    CHECK_EQ(smf__wal_file_name_parse(name, &number, &first_offset), SMF__WAL_GOOD);
    CHECK_EQ(smf__wal_file_belongs(&file->header, 77, 0, number, first_offset), SMF__WAL_GOOD);
}

static inline int rig_by_number(const void *left, const void *right)
{
    const struct rig_file *a = left, *b = right;
    return a->header.number < b->header.number ? -1 : a->header.number > b->header.number;
}

/* All segments, by number, and then those only that are of the log. */
static inline void rig_load_all(struct rig_found *found)
{
    static char names[65536];
    struct smf__disk_op op = {
        .kind = SMF__DISK_LIST, .path = RIG_FOLDER, .size = sizeof names, .data = names};
    CHECK_EQ(smf__disk_run(rig.disk, &op), SMF_OK);
    for (const char *name = names; name < names + op.done; name += strlen(name) + 1) {
        if (strstr(name, ".new") != NULL) {
            found->new_count++;
            continue;
        }
        CHECK_LT(found->file_count, RIG_FILES_MAX);
        rig_load(&found->files[found->file_count], name);
        found->numbers[found->number_count++] = found->files[found->file_count++].header.number;
    }
    qsort(found->files, (size_t)found->file_count, sizeof found->files[0], rig_by_number);
    int first = found->file_count; /* the ones that are followed move to the end */
    uint64_t wanted = found->file_count > 0 ? found->files[first - 1].header.number : 0;
    for (int i = found->file_count; i-- > 0;) {
        if (found->files[i].header.number != wanted) {
            free(found->files[i].bytes);
            continue;
        }
        wanted = smf__wal_place_number(found->files[i].header.follows);
        struct rig_file file = found->files[i];
        found->files[--first] = file;
    }
    found->file_count -= first;
    memmove(found->files, found->files + first, (size_t)found->file_count * sizeof found->files[0]);
}

/* The append that an offset belongs to: the last one that was given it. */
static inline const struct rig_append *rig_find(uint64_t offset)
{
    for (uint64_t i = rig.append_count; i-- > 0;) {
        const struct rig_append *append = &rig.appends[i];
        if (append->taken && !append->cut && append->offset == offset)
            return append;
    }
    return NULL;
}

static inline void rig_check_batch(const struct smf__wal_batch *batch, const uint8_t *bytes,
                                   uint8_t *there)
{
    const struct rig_append *append = rig_find(batch->first_offset);
    CHECK(append != NULL);
    uint64_t user = (uint64_t)(append - rig.appends);
    CHECK_EQ(batch->count, append->count);
    CHECK_EQ(batch->body_bytes, rig_build(user, append->count, append->value_bytes));
    CHECK_MEM(bytes + batch->header_bytes, rig_body, batch->body_bytes);
    there[user] = 1;
}

/* Walks over one file up to where the next one follows. */
static inline void rig_walk_file(struct rig_found *found, int index, uint8_t *there)
{
    const struct rig_file *file = &found->files[index];
    const struct smf__wal_file *next =
        index + 1 < found->file_count ? &found->files[index + 1].header : NULL;
    struct smf__wal_window window = {file->bytes, 0, file->size};
    struct smf__wal_scan scan;
    uint64_t end = next != NULL ? smf__wal_place_position(next->follows) : UINT64_MAX;
    smf__wal_scan_begin(&scan, &file->header);
    if (index > 0)
        CHECK_EQ(scan.next_offset, found->next_offset);
    while (scan.end < end) {
        struct smf__wal_batch batch;
        uint64_t position, before = scan.end;
        int status = smf__wal_scan_next(&scan, &window, &batch, &position);
        if (status != SMF__WAL_GOOD && next == NULL)
            break;
        if (status != SMF__WAL_GOOD && (rig.part.status != SMF_OK || rig.is_cut)) {
            /* A write of the old file failed, or was lost, when the new one had begun. */
            CHECK_GE(smf__wal_place(file->header.number, scan.end), rig.part.durable.place);
            found->next_offset = scan.next_offset;
            found->stopped = 1;
            return;
        }
        CHECK_EQ(status, SMF__WAL_GOOD);
        CHECK_LE(batch.durable_before, rig.part.durable.place);
        CHECK_EQ(batch.kind == SMF__WAL_STATE, before == file->header.block_bytes);
        found->batches++;
        found->states += batch.kind == SMF__WAL_STATE;
        found->stamps += batch.kind == SMF__WAL_STAMP;
        found->padding_bytes += position - before;
        found->straddling += position / SMF__WAL_BUFFER_BYTES != scan.end / SMF__WAL_BUFFER_BYTES;
        if (batch.kind == SMF__WAL_RECORDS)
            rig_check_batch(&batch, file->bytes + position, there);
    }
    if (next != NULL) {
        CHECK_EQ(scan.end, end);
        CHECK_EQ(scan.prev_crc, next->follows_crc);
        found->next_offset = next->first_offset;
    } else {
        found->next_offset = scan.next_offset;
    }
}

/* Every append that somebody was told is safe is there, linked, once. Nothing is under way. */
static inline void rig_verify(struct rig_found *found)
{
    uint8_t *there = calloc(RIG_APPENDS_MAX, 1);
    CHECK(there != NULL);
    memset(found, 0, sizeof *found);
    rig_load_all(found);
    for (int i = 0; i < found->file_count && !found->stopped; i++)
        rig_walk_file(found, i, there);
    for (uint64_t i = 0; i < rig.append_count; i++) {
        const struct rig_append *append = &rig.appends[i];
        if (rig.is_cut && append->ack != SMF__WAL_DURABLE)
            continue;
        if (append->told && append->status == SMF_OK && !append->cut &&
            append->offset >= rig.part.head)
            CHECK(there[i]);
    }
    for (int i = 0; i < found->file_count; i++)
        free(found->files[i].bytes);
    free(there);
}

/* The same after the power was cut now. */
static inline void rig_verify_cut(struct rig_found *found, uint64_t seed)
{
    struct smf__disk_world *world = rig.world;
    struct smf__disk *disk = rig.disk;
    rig.is_cut = 1;
    rig.world = smf__disk_world_cut(world, &(struct smf__disk_cut){.seed = seed, .torn = 1});
    CHECK_EQ(smf__disk_sim_open(&rig.disk, rig.world, &(struct smf__disk_sim_options){0}, NULL),
             SMF_OK);
    rig_verify(found);
    rig.disk->ops->close(rig.disk);
    smf__disk_world_close(rig.world);
    rig.world = world;
    rig.disk = disk;
    rig.is_cut = 0;
}

#endif
