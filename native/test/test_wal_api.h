/* For tests of smf/wal.h: an engine with a log in a folder of this test's own, and short ways to use it. */
#ifndef SMF_TEST_WAL_API_H
#define SMF_TEST_WAL_API_H

#include <smf/engine.h>
#include <smf/loop.h>
#include <smf/wal.h>

#include "test_disk.h"

#define WAL_PATIENCE_POLLS                                                                         \
    2000 /* of up to WAL_POLL_US: nothing takes so long but what never comes */
#define WAL_POLL_US 10000

struct wal_rig {
    struct smf_engine *engine;
    struct smf_core *core;
    struct smf_wal *wal;
    struct smf_error error;
    uint32_t disk;  /* enum smf_wal_disk */
    uint32_t flags; /* enum smf_wal_flag, besides CREATE */
    char folder[256];
    uint64_t appended, failed, readable, retries; /* what was told */
    uint64_t last_user, last_offset;              /* of the last append */
    int last_status;
    uint64_t readable_user;
};

static inline struct smf_engine *wal_engine(uint32_t baton)
{
    struct smf_engine_config config = {
        .size = sizeof config, .baton = baton, .spin_us = -1, .memory_bytes = 8u << 20};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static inline struct smf_wal_config wal_config(const struct wal_rig *rig)
{
    struct smf_wal_config config = {.size = sizeof config,
                                    .flags = SMF_WAL_CREATE | rig->flags,
                                    .folder = rig->folder,
                                    .memory_bytes = 4u << 20,
                                    .disk = rig->disk};

    return config;
}

/* Opens the log in the rig's folder on a new engine. */
static inline void wal_rig_reopen(struct wal_rig *rig, uint32_t baton)
{
    struct smf_wal_config config = wal_config(rig);

    rig->engine = wal_engine(baton);
    rig->core = smf_engine_core(rig->engine, 0);
    if (smf_wal_open(rig->core, &config, &rig->wal, &rig->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "no log in %s: %s", rig->folder, rig->error.text);
}

/* Returns 0 where io_uring can't be had. */
static inline int wal_rig_open(struct wal_rig *rig, uint32_t disk, uint32_t baton)
{
    struct smf__disk_options options = {.backend = SMF__DISK_URING};
    struct rig probe;

    memset(rig, 0, sizeof *rig);
    rig->disk = disk;
    if (disk == SMF_WAL_DISK_URING) {
        if (!rig_open(&probe, ".", &options))
            return 0;
        rig_close(&probe);
    }
    test_disk_folder(rig->folder, sizeof rig->folder, ".");
    wal_rig_reopen(rig, baton);
    return 1;
}

static inline void wal_rig_shut(struct wal_rig *rig)
{
    if (smf_wal_close(rig->wal, &rig->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "close: %s", rig->error.text);
    smf_engine_close(rig->engine);
}

static inline void wal_rig_close(struct wal_rig *rig)
{
    wal_rig_shut(rig);
    test_disk_remove_folder(rig->folder);
}

static inline uint64_t wal_partition(struct wal_rig *rig, const char *topic, uint32_t number)
{
    uint64_t partition;

    if (smf_wal_partition(rig->wal, topic, number, &partition, &rig->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "%s", rig->error.text);
    return partition;
}

static inline uint64_t wal_topic(struct wal_rig *rig, const char *name, uint32_t partitions)
{
    struct smf_wal_topic topic = {
        .size = sizeof topic, .partitions = partitions, .segment_bytes = 1u << 20};

    if (smf_wal_topic_create(rig->wal, name, &topic, &rig->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "%s", rig->error.text);
    return wal_partition(rig, name, 0);
}

/* One poll; notes what was told. */
static inline int wal_poll(struct wal_rig *rig, int64_t wait_us)
{
    int count = smf_core_poll(rig->core, wait_us);

    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(rig->core)->events[i];
        const struct smf_wal_done *done = (const void *)event->payload;

        CHECK_EQ(event->kind, SMF_EVENT_WAL);
        CHECK_EQ(event->user, (uint64_t)(uintptr_t)rig->wal);
        CHECK_EQ(event->conn, 0);
        CHECK_EQ(event->size_bytes, event->meta * sizeof *done);
        for (uint32_t j = 0; j < event->meta; j++) {
            if (done[j].kind == SMF_WAL_READABLE) {
                rig->readable++;
                rig->readable_user = done[j].user;
                continue;
            }
            if (done[j].kind == SMF_WAL_RETRY) {
                CHECK(done[j].user == 0 && done[j].partition == 0 && done[j].first_offset == 0);
                CHECK_EQ(done[j].status, SMF_OK);
                rig->retries++;
                continue;
            }
            CHECK_EQ(done[j].kind, SMF_WAL_APPENDED);
            rig->appended++;
            rig->failed += done[j].status != SMF_OK;
            rig->last_user = done[j].user;
            rig->last_offset = done[j].first_offset;
            rig->last_status = done[j].status;
        }
    }
    return count;
}

/* Polls until so many appends were told of. */
static inline void wal_await(struct wal_rig *rig, uint64_t appended)
{
    for (int polls = 0; rig->appended < appended; polls++) {
        if (polls == WAL_PATIENCE_POLLS)
            test_fail(__FILE__, __LINE__, "%" PRIu64 " of %" PRIu64 " appends were told of",
                      rig->appended, appended);
        (void)wal_poll(rig, WAL_POLL_US);
    }
}

static inline uint64_t wal_put(struct wal_rig *rig, uint64_t partition, const char *value,
                               uint32_t ack, uint64_t user)
{
    uint64_t offset = UINT64_MAX;
    int status;

    for (int polls = 0; polls < WAL_PATIENCE_POLLS; polls++) {
        status = smf_wal_put(rig->wal, partition, NULL, 0, value, (uint32_t)strlen(value), ack,
                             user, &offset);
        if (status != SMF_ENOMEM && status != SMF_ELIMIT)
            break;
        (void)wal_poll(rig, WAL_POLL_US);
    }
    CHECK_EQ(status, SMF_OK);
    return offset;
}

static inline struct smf_wal_info wal_info(struct wal_rig *rig, uint64_t partition)
{
    struct smf_wal_info info = {.size = sizeof info};

    CHECK_EQ(smf_wal_partition_info(rig->wal, partition, &info), SMF_OK);
    CHECK_EQ(info.size, sizeof info);
    return info;
}

/* A reader's next run, waiting for the disk. Returns 0 at the end. */
static inline int wal_next_run(struct wal_rig *rig, struct smf_wal_reader *reader,
                               struct smf_wal_run *run)
{
    for (int polls = 0; polls < WAL_PATIENCE_POLLS; polls++) {
        int status = smf_wal_reader_next(reader, run, &rig->error);

        if (status < 0)
            test_fail(__FILE__, __LINE__, "%s", rig->error.text);
        if (status == 1 || smf_wal_reader_at_end(reader))
            return status;
        (void)wal_poll(rig, WAL_POLL_US);
    }
    test_fail(__FILE__, __LINE__, "a read never ended");
}

#endif
