/* A log on a simulated disk, and files of it that are written by hand. */
#ifndef SMF_TEST_WAL_WRITTEN_H
#define SMF_TEST_WAL_WRITTEN_H

#include "test.h"

#include "disk/disk_sim.h"
#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_log.h"

#define FILE_BYTES 16384u
#define BLOCK 512u

struct rig {
    struct smf__disk_world *world;
    struct smf__disk *disk;
    struct smf__wal *wal;
    struct smf_error error;
};

static inline void rig_start(struct rig *rig, struct smf__disk_world *world)
{
    struct smf__disk_sim_options options = {0};
    memset(rig, 0, sizeof(*rig));
    rig->world = world;
    CHECK_EQ(smf__disk_sim_open(&rig->disk, world, &options, NULL), SMF_OK);
}

static inline void rig_new(struct rig *rig)
{
    rig_start(rig, smf__disk_world_open(test_seed()));
}

static inline void rig_end(struct rig *rig)
{
    rig->disk->ops->close(rig->disk);
    smf__disk_world_close(rig->world);
}

static inline int rig_open_as(struct rig *rig, int read_only)
{
    struct smf__wal_options options = {.folder = "/log",
                                       .disk = rig->disk,
                                       .random_seed = test_seed() + 1,
                                       .create = !read_only,
                                       .read_only = read_only};
    rig->error.text[0] = '\0';
    return smf__wal_open(&rig->wal, &options, &rig->error);
}

static inline void rig_open(struct rig *rig)
{
    int status = rig_open_as(rig, 0);
    if (status != SMF_OK)
        test_fail(__FILE__, __LINE__, "open: %s: %s", smf_status_name(status), rig->error.text);
}

static inline void rig_close(struct rig *rig)
{
    CHECK_EQ(smf__wal_close(rig->wal), SMF_OK);
    rig->wal = NULL;
}

static inline struct smf__wal_topic_info *make_topic(struct rig *rig, const char *name,
                                                     uint32_t parts)
{
    struct smf__wal_topic config = {
        .name = name, .name_size = (uint32_t)strlen(name), .partitions = parts};
    struct smf__wal_topic_info *topic;
    int status = smf__wal_topic_create(rig->wal, &config, &topic, &rig->error);
    if (status != SMF_OK)
        test_fail(__FILE__, __LINE__, "create: %s: %s", smf_status_name(status), rig->error.text);
    return topic;
}

static inline int run_path(struct rig *rig, uint32_t kind, const char *path)
{
    struct smf__disk_op op = {.kind = kind, .path = path};
    return smf__disk_run(rig->disk, &op);
}

static inline int is_there(struct rig *rig, const char *path)
{
    return run_path(rig, SMF__DISK_STAT, path) == SMF_OK;
}

/* Puts bytes into a new file, durable. */
static inline void put_file(struct rig *rig, const char *path, const uint8_t *bytes, uint64_t size)
{
    struct smf__disk_op open = {.kind = SMF__DISK_OPEN, .flags = SMF__DISK_CREATE, .path = path};
    CHECK_EQ(smf__disk_run(rig->disk, &open), SMF_OK);
    uint8_t *copy = aligned_alloc(BLOCK, size);
    memcpy(copy, bytes, size);
    struct smf__disk_op zero = {.kind = SMF__DISK_ZERO, .file = open.file, .size = size};
    struct smf__disk_op write = {.kind = SMF__DISK_WRITE,
                                 .flags = SMF__DISK_DURABLE,
                                 .file = open.file,
                                 .size = size,
                                 .data = copy};
    struct smf__disk_op close = {.kind = SMF__DISK_CLOSE, .file = open.file};
    char folder[SMF__DISK_PATH_MAX_BYTES];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = '\0';
    CHECK_EQ(smf__disk_run(rig->disk, &zero), SMF_OK);
    CHECK_EQ(smf__disk_run(rig->disk, &write), SMF_OK);
    CHECK_EQ(smf__disk_run(rig->disk, &close), SMF_OK);
    CHECK_EQ(run_path(rig, SMF__DISK_SYNC_FOLDER, folder), SMF_OK);
    free(copy);
}

/* --- a segment, written by hand --- */

struct draft {
    struct smf__wal_file file;
    uint8_t bytes[FILE_BYTES];
    struct smf__wal_mark end;
    uint64_t position; /* of the last batch */
};

static inline void draft_begin(struct draft *draft, uint64_t topic_id, uint32_t number,
                               const struct smf__wal_mark *follows)
{
    memset(draft, 0, sizeof(*draft));
    draft->file = (struct smf__wal_file){
        .kind = SMF__WAL_FILE_SEGMENT,
        .block_bytes = BLOCK,
        .id = 0x1234567890 + number,
        .number = number,
        .topic_id = topic_id,
        .topic_name_size = 6,
        .topic_name = "orders",
    };
    if (follows != NULL) {
        draft->file.follows = follows->place;
        draft->file.follows_crc = follows->crc;
        draft->file.first_offset = follows->offset;
    }
    CHECK_EQ(smf__wal_file_encode(&draft->file, draft->bytes), SMF__WAL_GOOD);
    draft->end = (struct smf__wal_mark){.place = smf__wal_place(number, BLOCK),
                                        .offset = draft->file.first_offset,
                                        .crc = draft->file.follows_crc};
}

/* One batch on a block of its own: of so many records of 16 bytes, or (0) a STATE. */
static inline void draft_add(struct draft *draft, uint32_t count, uint64_t durable_before)
{
    uint8_t body[BLOCK] = {0};
    struct smf__wal_record record = {.time_us = 1000};
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        smf__wal_record_write(&record, 1000, body + size);
        size += smf__wal_record_bytes(&record, 1000);
    }
    struct smf__wal_batch batch = {
        .body_crc = smf__crc32c(0, body, size),
        .body_bytes = size,
        .plain_bytes = size,
        .kind = count > 0 ? SMF__WAL_RECORDS : SMF__WAL_STATE,
        .count = count,
        .prev_crc = draft->end.crc,
        .first_offset = draft->end.offset,
        .base_us = 1000,
        .max_us = 1000,
        .durable_before = durable_before,
    };
    uint64_t position = smf__round_up(smf__wal_place_position(draft->end.place), BLOCK);
    CHECK_LE(position + SMF__WAL_BATCH_HEADER_BYTES + size, FILE_BYTES);
    CHECK_EQ(smf__wal_batch_encode(&batch, &draft->file, position, draft->bytes + position),
             SMF__WAL_GOOD);
    memcpy(draft->bytes + position + SMF__WAL_BATCH_HEADER_BYTES, body, size);
    draft->position = position;
    draft->end = (struct smf__wal_mark){
        .place = smf__wal_place(draft->file.number, position + smf__wal_batch_bytes(&batch)),
        .offset = draft->end.offset + count,
        .crc = batch.header_crc};
}

static inline void draft_path(const struct draft *draft, char *path_out)
{
    char name[SMF__WAL_FILE_NAME_BYTES];
    smf__wal_file_name(draft->file.number, draft->file.first_offset, name);
    snprintf(path_out, 128, "/log/orders/0/%s", name);
}

static inline void draft_put(struct rig *rig, const struct draft *draft)
{
    char path[128];
    draft_path(draft, path);
    put_file(rig, path, draft->bytes, FILE_BYTES);
}

static inline int draft_is_there(struct rig *rig, const struct draft *draft)
{
    char path[128];
    draft_path(draft, path);
    return is_there(rig, path);
}

/* A log with the topic "orders" of one partition, closed. Returns the topic's id. */
static inline uint64_t rig_with_orders(struct rig *rig)
{
    rig_new(rig);
    rig_open(rig);
    uint64_t topic_id = make_topic(rig, "orders", 1)->config.topic_id;
    rig_close(rig);
    return topic_id;
}

static inline struct smf__wal_part *orders(struct rig *rig)
{
    struct smf__wal_topic_info *topic = smf__wal_topic_find(rig->wal, "orders");
    CHECK(topic != NULL);
    return topic->parts[0];
}

/* Has META say something about the partition, which has no file yet. */
static inline void put_checkpoint(struct rig *rig, const struct smf__wal_mark *mark, int clean)
{
    rig_open(rig);
    struct smf__wal_part *part = orders(rig);
    part->buffered = part->written = part->durable = *mark;
    CHECK_EQ(smf__wal_meta_checkpoint(part, clean, 1), SMF_OK);
    rig_close(rig);
}

static inline void put_head(struct rig *rig, uint64_t offset)
{
    uint8_t item[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    rig_open(rig);
    struct smf__wal_head head = {.topic_id = orders(rig)->topic->config.topic_id, .offset = offset};
    CHECK_EQ(smf__wal_meta_write(rig->wal, item, smf__wal_head_write(&head, item), 1), SMF_OK);
    rig_close(rig);
}

#endif
