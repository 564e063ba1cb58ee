/* smf/wal.h on file systems that fill up: XFS and ext4 on images behind loop devices, and tmpfs. What
 * was acknowledged is counted and its bytes are known, so that nothing of it can go missing unseen. Skipped
 * where this user may not mount. */
#include <sys/statvfs.h>

#include "test_mounts.h"
#include "test_wal_api.h"

#define VALUE_MAX_BYTES 60000u
#define ROOM_BYTES (12ull << 20) /* that a filler leaves */
#define SEGMENT_BYTES (1u << 20)
#define PUTS_MAX (1u << 20)
#define UNDER_WAY_MAX 16u
#define REFUSALS 20            /* of a disk that is full, one after the other */
#define GOES_ON 100u           /* records, once there is space */
#define UNUSED_BYTES (2 << 20) /* of a disk that is full, at most: no file of that size fits */

struct way {
    uint32_t disk, flags; /* enum smf_wal_disk, enum smf_wal_flag */
};

static const struct way ways[] = {
    {SMF_WAL_DISK_URING, 0},
    {SMF_WAL_DISK_POSIX, 0},
    {SMF_WAL_DISK_POSIX, SMF_WAL_PAGE_CACHE},
};

/* --- a file system that fills --------------------------------------------------------------------- */

static const char *at_point(const char *name)
{
    static char path[160];

    snprintf(path, sizeof path, "%s/%s", test_mounts.point, name);
    return path;
}

/* Takes what is free, up to so many bytes. */
static void fill_up_to(const char *name, uint64_t leave)
{
    int fd = open(at_point(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs system;
    uint64_t free_bytes, piece;
    off_t end = 0;

    CHECK(fd >= 0);
    CHECK_EQ(statvfs(test_mounts.point, &system), 0);
    free_bytes = (uint64_t)system.f_bfree * system.f_frsize;
    CHECK_GT(free_bytes, leave);
    if (leave > 0) {
        CHECK_EQ(posix_fallocate(fd, 0, (off_t)(free_bytes - leave)), 0);
    } else {
        for (piece = 64u << 20; piece >= 512; piece /= 2) {
            while (posix_fallocate(fd, end, (off_t)piece) == 0)
                end += (off_t)piece;
        }
    }
    CHECK_EQ(fsync(fd), 0);
    close(fd);
}

static void take_away(const char *name)
{
    CHECK_EQ(unlink(at_point(name)), 0);
}

static void it_is_used_up(void)
{
    int fd = open(at_point("unused"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) { /* not even an inode */
        CHECK_EQ(errno, ENOSPC);
        return;
    }
    CHECK_EQ(posix_fallocate(fd, 0, UNUSED_BYTES), ENOSPC);
    close(fd);
    take_away("unused");
}

/* --- records whose bytes follow from their offsets ------------------------------------------------- */

static uint32_t value_of(uint64_t offset, uint8_t *bytes_out)
{
    struct smf__random random = {0};
    uint32_t size;

    smf__random_seed(&random, offset + 1);
    size = (uint32_t)(smf__random_next(&random) % VALUE_MAX_BYTES);
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = smf__random_next(&random);

        memcpy(bytes_out + i, &word, size - i < 8 ? size - i : 8);
    }
    return size;
}

/* One append, tried again while it is told to. Returns what came of it. */
static int put_one(struct wal_rig *rig, uint64_t partition, uint64_t offset, uint32_t ack)
{
    static uint8_t bytes[VALUE_MAX_BYTES + 8];
    uint32_t size = value_of(offset, bytes);
    uint64_t got = UINT64_MAX;
    int status = SMF_ENOMEM;

    for (int polls = 0; polls < WAL_PATIENCE_POLLS && status == SMF_ENOMEM; polls++) {
        status = smf_wal_put(rig->wal, partition, NULL, 0, bytes, size, ack, offset, &got);
        if (status == SMF_ENOMEM)
            (void)wal_poll(rig, WAL_POLL_US);
    }
    if (status == SMF_OK)
        CHECK_EQ(got, offset);
    return status;
}

/* Appends until the disk is full. Returns the offset behind the last one: all before it were
 * acknowledged as durable. */
static uint64_t append_until_full(struct wal_rig *rig, uint64_t partition, uint64_t offset)
{
    uint64_t told = rig->appended, first = offset;
    int status;

    while ((status = put_one(rig, partition, offset, SMF_WAL_DURABLE)) == SMF_OK) {
        offset++;
        CHECK_LT(offset - first, PUTS_MAX);
        if (offset - first > UNDER_WAY_MAX)
            wal_await(rig, told + offset - first - UNDER_WAY_MAX);
    }
    CHECK_EQ(status, SMF_ENOSPACE);
    wal_await(rig, told + offset - first);
    CHECK_EQ(rig->failed, 0);
    CHECK_EQ(wal_info(rig, partition).durable, offset);
    CHECK_EQ(wal_info(rig, partition).status, SMF_OK);
    return offset;
}

/* Still full: it is told so, and no offset is taken. A small record may find room. */
static uint64_t refused(struct wal_rig *rig, uint64_t partition, uint64_t offset)
{
    uint32_t refusals = 0;

    for (uint32_t i = 0; i < REFUSALS; i++) {
        uint64_t told = rig->appended;
        int status = put_one(rig, partition, offset, i % 2 ? SMF_WAL_DURABLE : SMF_WAL_WRITTEN);

        refusals += status == SMF_ENOSPACE;
        if (status == SMF_OK) {
            wal_await(rig, told + 1);
            offset++;
        } else {
            CHECK_EQ(status, SMF_ENOSPACE);
        }
    }
    CHECK_GT(refusals, 0);
    CHECK_EQ(rig->failed, 0);
    CHECK_EQ(smf_wal_sync(rig->wal, partition, &rig->error), SMF_OK);
    CHECK_EQ(wal_info(rig, partition).next, offset);
    return offset;
}

/* There is space again: the same log goes on, after at most one word of how it was before. */
static uint64_t goes_on(struct wal_rig *rig, uint64_t partition, uint64_t offset)
{
    uint64_t told = rig->appended;
    int status = put_one(rig, partition, offset, SMF_WAL_DURABLE);

    if (status == SMF_ENOSPACE)
        status = put_one(rig, partition, offset, SMF_WAL_DURABLE);
    CHECK_EQ(status, SMF_OK);
    for (uint64_t i = 1; i < GOES_ON; i++)
        CHECK_EQ(put_one(rig, partition, offset + i, SMF_WAL_DURABLE), SMF_OK);
    wal_await(rig, told + GOES_ON);
    CHECK_EQ(rig->failed, 0);
    return offset + GOES_ON;
}

/* Every record is there, byte for byte, and no other. */
static void check_all(struct wal_rig *rig, uint64_t partition, uint64_t head, uint64_t end)
{
    static uint8_t bytes[VALUE_MAX_BYTES + 8];
    struct smf_wal_reader *reader;
    struct smf_wal_record record;
    struct smf_wal_run run;
    uint64_t offset = head;

    CHECK_EQ(wal_info(rig, partition).status, SMF_OK);
    CHECK_EQ(wal_info(rig, partition).head, head);
    CHECK_EQ(wal_info(rig, partition).next, end);
    CHECK_EQ(
        smf_wal_reader_open(rig->wal, partition, head, SMF_WAL_DURABLE, 0, 0, &reader, &rig->error),
        SMF_OK);
    while (wal_next_run(rig, reader, &run) == 1) {
        while (smf_wal_run_next(&run, &record) == 1) {
            CHECK_EQ(record.offset, offset);
            CHECK_EQ(record.value_size, value_of(offset, bytes));
            CHECK_MEM(record.value, bytes, record.value_size);
            offset++;
        }
    }
    CHECK_EQ(offset, end);
    smf_wal_reader_close(reader);
}

/* --- stories -------------------------------------------------------------------------------------- */

static void open_log(struct wal_rig *rig, const struct way *way)
{
    memset(rig, 0, sizeof *rig);
    rig->disk = way->disk;
    rig->flags = way->flags;
    snprintf(rig->folder, sizeof rig->folder, "%s", at_point("log"));
    wal_rig_reopen(rig, 0);
}

static uint64_t topic_of(struct wal_rig *rig, const char *name, uint64_t segment_bytes)
{
    struct smf_wal_topic topic = {.size = sizeof topic, .segment_bytes = segment_bytes};

    if (smf_wal_topic_create(rig->wal, name, &topic, &rig->error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "%s", rig->error.text);
    return wal_partition(rig, name, 0);
}

static uint64_t reopen(struct wal_rig *rig)
{
    wal_rig_shut(rig);
    wal_rig_reopen(rig, 0);
    rig->appended = 0;
    return wal_partition(rig, "full", 0);
}

/* segment_bytes: 0 for a segment that the disk has no room for. Full, read, given space by a filler that goes, full again, given space by a head that goes. */
static void tell_full(const struct way *way, uint64_t segment_bytes)
{
    struct wal_rig rig;
    uint64_t partition, end, head = 0;

    fill_up_to("filler", ROOM_BYTES);
    open_log(&rig, way);
    partition = topic_of(&rig, "full", segment_bytes);
    end = append_until_full(&rig, partition, 0);
    it_is_used_up();
    check_all(&rig, partition, head, end);
    end = refused(&rig, partition, end);
    check_all(&rig, partition, head, end);
    take_away("filler");
    end = goes_on(&rig, partition, end);
    check_all(&rig, partition, head, end);

    fill_up_to("filler", 0);
    end = append_until_full(&rig, partition, end);
    partition = reopen(&rig); /* with no more space than it had */
    check_all(&rig, partition, head, end);
    end = append_until_full(&rig, partition, end);
    end = refused(&rig, partition, end);
    if (segment_bytes != 0) { /* else there is one file, and none that could go */
        head = end - 2;
        CHECK_EQ(smf_wal_truncate_head(rig.wal, partition, head, &rig.error), SMF_OK);
        end = goes_on(&rig, partition, end);
        check_all(&rig, partition, head, end);
        end = append_until_full(&rig, partition, end);
    }
    partition = reopen(&rig);
    check_all(&rig, partition, head, end);
    take_away("filler");
    end = goes_on(&rig, partition, end);
    partition = reopen(&rig);
    check_all(&rig, partition, head, end);
    wal_rig_close(&rig);
}

static int can_open(const struct way *way)
{
    struct smf__disk_options options = {.backend = SMF__DISK_URING};
    struct rig probe;

    if (way->disk != SMF_WAL_DISK_URING)
        return 1;
    if (!rig_open(&probe, ".", &options))
        return 0;
    rig_close(&probe);
    return 1;
}

/* No log where there is no room for one; and what that leaves is in nobody's way. */
static void tell_created_full(const struct way *way)
{
    struct wal_rig rig = {.disk = way->disk, .flags = way->flags};
    struct smf_wal_config config;
    uint64_t partition;

    snprintf(rig.folder, sizeof rig.folder, "%s", at_point("log"));
    config = wal_config(&rig);
    fill_up_to("filler", 0);
    rig.engine = wal_engine(0);
    rig.core = smf_engine_core(rig.engine, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(smf_wal_open(rig.core, &config, &rig.wal, &rig.error), SMF_ENOSPACE);
        if (strstr(rig.error.text, "free some space on this file system") == NULL ||
            strstr(rig.error.text, rig.folder) == NULL)
            test_fail(__FILE__, __LINE__, "what is said: %s", rig.error.text);
    }
    take_away("filler");
    CHECK_EQ(smf_wal_open(rig.core, &config, &rig.wal, &rig.error), SMF_OK);
    partition = topic_of(&rig, "full", SEGMENT_BYTES);
    CHECK_EQ(goes_on(&rig, partition, 0), GOES_ON);
    partition = reopen(&rig);
    check_all(&rig, partition, 0, GOES_ON);
    wal_rig_close(&rig);
}

/* A topic that finds no room: others do not suffer, and it can be made later. */
static void tell_topic_full(const struct way *way)
{
    struct wal_rig rig;
    struct smf_wal_topic topic = {.size = sizeof topic, .partitions = 3};
    uint64_t partition, end;
    int status;

    open_log(&rig, way);
    partition = topic_of(&rig, "full", SEGMENT_BYTES);
    end = goes_on(&rig, partition, 0);
    fill_up_to("filler", 0);
    end = append_until_full(&rig, partition, end);
    status = smf_wal_topic_create(rig.wal, "late", &topic, &rig.error);
    if (status != SMF_OK && strstr(rig.error.text, "free some space") == NULL)
        test_fail(__FILE__, __LINE__, "what is said: %s", rig.error.text);
    check_all(&rig, partition, 0, end);
    take_away("filler");
    end = goes_on(&rig, partition, end);
    if (status != SMF_OK)
        CHECK_EQ(smf_wal_topic_create(rig.wal, "late", &topic, &rig.error), SMF_OK);
    CHECK_EQ(goes_on(&rig, wal_partition(&rig, "late", 2), 0), GOES_ON);
    partition = reopen(&rig);
    check_all(&rig, partition, 0, end);
    check_all(&rig, wal_partition(&rig, "late", 2), 0, GOES_ON);
    wal_rig_close(&rig);
}

static void tell_all(void)
{
    for (uint32_t i = 0; i < TEST_COUNT(ways); i++) {
        if (!can_open(&ways[i]))
            continue;
        tell_full(&ways[i], SEGMENT_BYTES);
        if (ways[i].flags != 0)
            continue;
        tell_full(&ways[i], 0);
        tell_created_full(&ways[i]);
        tell_topic_full(&ways[i]);
    }
}

/* --- file systems --------------------------------------------------------------------------------- */

/* The log takes what the device asks for. */
static void it_says(const char *words)
{
    struct wal_rig rig;

    open_log(&rig, &ways[1]);
    if (strstr(smf_wal_describe(rig.wal), words) == NULL)
        test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", words, smf_wal_describe(rig.wal));
    wal_rig_close(&rig);
}

static void tell_on(const struct test_image *image, const char *words)
{
    if (!test_mounts_on(image))
        return;
    it_says(words);
    tell_all();
    test_mounts_drop();
}

static void on_xfs(void)
{
    tell_on(&(struct test_image){.type = "xfs", .program = "/usr/sbin/mkfs.xfs"},
            "O_DIRECT in blocks of 512 bytes");
}

static void on_xfs_with_large_sectors(void)
{
    tell_on(&(struct test_image){.type = "xfs",
                                 .program = "/usr/sbin/mkfs.xfs",
                                 .options = "-s size=4096",
                                 .sector_bytes = 4096},
            "O_DIRECT in blocks of 4096 bytes");
}

static void on_ext4(void)
{
    tell_on(&(struct test_image){.type = "ext4", .program = "/usr/sbin/mkfs.ext4"},
            "O_DIRECT in blocks of 512 bytes");
}

static void on_ext4_with_large_sectors(void)
{
    tell_on(&(struct test_image){.type = "ext4",
                                 .program = "/usr/sbin/mkfs.ext4",
                                 .options = "-b 4096",
                                 .sector_bytes = 4096},
            "O_DIRECT in blocks of 4096 bytes");
}

static void on_tmpfs(void)
{
    tell_on(&(struct test_image){.type = "tmpfs", .options = "size=64m"}, "through the page cache");
}

static const struct test tests[] = {
    TEST(on_xfs),   TEST(on_xfs_with_large_sectors),
    TEST(on_ext4),  TEST(on_ext4_with_large_sectors),
    TEST(on_tmpfs),
};

int main(int argc, char **argv)
{
    int status;

    test_mounts_begin();
    status = test_main(argc, argv, tests, TEST_COUNT(tests));
    test_mounts_end();
    return status;
}
