/* smf/wal.h: what is refused, with which status, and one line that says what to do. */
#include "test_wal_api.h"
#include "wal/wal_host.h"

static void one_line(const struct wal_rig *rig, int status, const char *has)
{
    CHECK_EQ(rig->error.status, status);
    CHECK(rig->error.text[0] != '\0');
    CHECK(strchr(rig->error.text, '\n') == NULL);
    if (strstr(rig->error.text, has) == NULL)
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", rig->error.text, has);
}

/* --- opening -------------------------------------------------------------------------------------- */

static void open_fails(struct wal_rig *rig, const struct smf_wal_config *config, int status,
                       const char *has)
{
    struct smf_engine *engine = wal_engine(0);
    struct smf_wal *wal = NULL;

    memset(&rig->error, 0, sizeof rig->error);
    CHECK_EQ(smf_wal_open(smf_engine_core(engine, 0), config, &wal, &rig->error), status);
    CHECK(wal == NULL);
    one_line(rig, status, has);
    CHECK_EQ(smf_core_poll(smf_engine_core(engine, 0), SMF_WAIT_NONE), 0);
    smf_engine_close(engine);
}

static void settings_that_are_refused(void)
{
    struct wal_rig rig;
    struct smf_wal_config good, config;
    struct {
        struct smf_wal_config config;
        uint64_t later;
    } newer = {0};

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    good = config = wal_config(&rig);
    config.size = 8;
    open_fails(&rig, &config, SMF_EINVAL, "smf_wal_config.size");
    newer.config = good;
    newer.config.size = sizeof newer;
    newer.later = 1;
    open_fails(&rig, &newer.config, SMF_EINVAL, "does not know");
    config = good;
    config.folder = NULL;
    open_fails(&rig, &config, SMF_EINVAL, "folder");
    config.folder = "";
    open_fails(&rig, &config, SMF_EINVAL, "folder");
    config = good;
    config.flags = 64;
    open_fails(&rig, &config, SMF_EINVAL, "does not know");
    config.flags = SMF_WAL_CREATE | SMF_WAL_READ_ONLY;
    open_fails(&rig, &config, SMF_EINVAL, "SMF_WAL_READ_ONLY");
    config = good;
    config.memory_bytes = 1 << 20;
    open_fails(&rig, &config, SMF_EINVAL, "memory_bytes");
    config = good;
    config.linger_us = UINT32_MAX;
    open_fails(&rig, &config, SMF_EINVAL, "linger_us");
    config = good;
    config.disk = 3;
    open_fails(&rig, &config, SMF_EINVAL, "disk");
    config = good;
    config.flush_delay_us = 60000001;
    open_fails(&rig, &config, SMF_EINVAL, "flush_delay_us");
    config = good;
    config.write_delay_us = 60000001;
    open_fails(&rig, &config, SMF_EINVAL, "write_delay_us");
    CHECK_EQ(smf_wal_open(NULL, &good, &rig.wal, NULL), SMF_EINVAL);
    wal_rig_close(&rig);
}

static void one_log_for_a_core_one_writer_for_a_log(void)
{
    struct wal_rig rig;
    struct smf_wal_config config;
    struct smf_wal *second = NULL;

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    config = wal_config(&rig);
    CHECK_EQ(smf_wal_open(rig.core, &config, &second, &rig.error), SMF_EINVAL);
    one_line(&rig, SMF_EINVAL, "another core");
    open_fails(&rig, &config, SMF_ELOCKED, "open for writing");
    wal_rig_close(&rig);
}

static void folders_that_hold_no_log(void)
{
    struct wal_rig rig;
    struct smf_wal_config config;
    char path[512];
    int fd;

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    config = wal_config(&rig);
    config.folder = path;
    snprintf(path, sizeof path, "%s/nothing", rig.folder);
    config.flags = 0;
    open_fails(&rig, &config, SMF_ENOTFOUND, "there is no log");
    config.flags = SMF_WAL_READ_ONLY;
    open_fails(&rig, &config, SMF_ENOTFOUND, "there is no log");
    config.flags = SMF_WAL_CREATE;
    snprintf(path, sizeof path, "%s/nothing/at/all", rig.folder);
    open_fails(&rig, &config, SMF_ENOTFOUND, "nothing/at");
    snprintf(path, sizeof path, "%s/file", rig.folder);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK_GE(fd, 0);
    close(fd);
    open_fails(&rig, &config, SMF_EINVAL, "file");
    wal_rig_close(&rig);
}

/* Beside the process that writes; what it would change is refused. */
static void reading_beside_a_writer(void)
{
    struct wal_rig rig, beside;
    struct smf_wal_config config;
    struct smf_wal_topic topic = {.size = sizeof topic};
    uint64_t partition;

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    partition = wal_topic(&rig, "shared", 1);
    (void)wal_put(&rig, partition, "x", SMF_WAL_DURABLE, 0);
    wal_await(&rig, 1);
    beside = rig;
    config = wal_config(&beside);
    config.flags = SMF_WAL_READ_ONLY;
    beside.engine = wal_engine(0);
    beside.core = smf_engine_core(beside.engine, 0);
    CHECK_EQ(smf_wal_open(beside.core, &config, &beside.wal, &beside.error), SMF_OK);
    CHECK(strstr(smf_wal_describe(beside.wal), "read only") != NULL);
    partition = wal_partition(&beside, "shared", 0);
    CHECK_EQ(wal_info(&beside, partition).next, 1);
    CHECK_EQ(smf_wal_put(beside.wal, partition, NULL, 0, "x", 1, SMF_WAL_DURABLE, 0, NULL),
             SMF_EREADONLY);
    CHECK_EQ(smf_wal_topic_create(beside.wal, "other", &topic, &beside.error), SMF_EREADONLY);
    one_line(&beside, SMF_EREADONLY, "read");
    CHECK_EQ(smf_wal_truncate_tail(beside.wal, partition, 0, &beside.error), SMF_EREADONLY);
    CHECK_EQ(smf_wal_truncate_head(beside.wal, partition, 1, &beside.error), SMF_EREADONLY);
    wal_rig_shut(&beside);
    wal_rig_close(&rig);
}

/* A reader waits for what the other process writes, and is told of it. */
static void following_a_writer(void)
{
    struct wal_rig rig, beside;
    struct smf_wal_config config;
    struct smf_wal_reader *reader;
    struct smf_wal_run run;
    struct smf_wal_record record;
    uint64_t partition;

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    partition = wal_topic(&rig, "shared", 1);
    beside = rig;
    config = wal_config(&beside);
    config.flags = SMF_WAL_READ_ONLY;
    beside.engine = wal_engine(0);
    beside.core = smf_engine_core(beside.engine, 0);
    CHECK_EQ(smf_wal_open(beside.core, &config, &beside.wal, &beside.error), SMF_OK);
    CHECK_EQ(smf_wal_reader_open(beside.wal, wal_partition(&beside, "shared", 0), 0,
                                 SMF_WAL_WRITTEN, 0, 5, &reader, &beside.error),
             SMF_OK);
    for (uint64_t i = 0; i < 5; i++) {
        int status = smf_wal_reader_next(reader, &run, &beside.error);

        CHECK_EQ(status, 0);
        (void)wal_put(&rig, partition, "x", SMF_WAL_DURABLE, i);
        wal_await(&rig, i + 1);
        while (status == 0) {
            CHECK_EQ(wal_poll(&beside, SMF_WAIT_FOREVER), 1);
            status = smf_wal_reader_next(reader, &run, &beside.error);
        }
        CHECK_EQ(status, 1);
        CHECK_EQ(beside.readable_user, 5);
        CHECK_EQ(smf_wal_run_next(&run, &record), 1);
        CHECK_EQ(record.offset, i);
    }
    wal_rig_shut(&beside);
    wal_rig_close(&rig);
}

/* --- runs ----------------------------------------------------------------------------------------- */

/* Puts a batch of so many records, whose header says another number, behind what is there. */
static void put_batch(uint8_t *bytes, uint64_t *size, uint64_t *offset, uint32_t *crc,
                      uint32_t records, uint32_t says)
{
    struct smf__wal_file file = {
        .kind = SMF__WAL_FILE_SEGMENT, .id = 1, .number = 1, .block_bytes = 512};
    struct smf__wal_record record = {.time_us = 1000,
                                     .value = {(const uint8_t *)"a value of some bytes", 21}};
    struct smf__wal_batch one = {.kind = SMF__WAL_RECORDS,
                                 .count = says,
                                 .prev_crc = *crc,
                                 .first_offset = *offset,
                                 .base_us = 1000,
                                 .max_us = 1000};
    uint8_t *body = bytes + *size + SMF__WAL_BATCH_HEADER_BYTES;

    one.body_bytes = one.plain_bytes = records * smf__wal_record_bytes(&record, 1000);
    for (uint32_t i = 0; i < records; i++)
        smf__wal_record_write(&record, 1000, body + i * (one.body_bytes / records));
    CHECK_EQ(smf__wal_batch_encode(&one, &file, 512 + *size, bytes + *size), SMF__WAL_GOOD);
    *size += smf__wal_batch_bytes(&one);
    *offset += says;
    *crc = one.header_crc;
}

/* Three batches of 4 records; one header says more or less. Records up to there are handed out, then comes an
 * error, and again; never a record too many, nor an end in silence. */
static void a_count_that_is_wrong_is_an_error(void)
{
    for (uint32_t wrong = 0; wrong < 3; wrong++) {
        for (uint32_t says = 1; says < 8; says++) {
            static _Alignas(8) uint8_t bytes[4096];
            struct smf_wal_run run = {.bytes = bytes};
            struct smf_wal_record record;
            uint64_t offset = 0, size = 0, read = 0;
            uint32_t crc = 7;
            int status;

            for (uint32_t i = 0; i < 3; i++)
                put_batch(bytes, &size, &offset, &crc, 4, i == wrong ? says : 4);
            run.size_bytes = size;
            run.end_offset = offset;
            while ((status = smf_wal_run_next(&run, &record)) == 1)
                CHECK_EQ(record.offset, read++);
            CHECK_EQ(status, says == 4 ? SMF_OK : SMF_EIO);
            CHECK_EQ(smf_wal_run_next(&run, &record), status);
            CHECK_EQ(read, says == 4 ? 12 : wrong * 4 + (says < 4 ? says : 4));
        }
    }
}

/* --- topics and partitions ------------------------------------------------------------------------ */

static void topic_fails(struct wal_rig *rig, const char *name, const struct smf_wal_topic *topic,
                        int status, const char *has)
{
    memset(&rig->error, 0, sizeof rig->error);
    CHECK_EQ(smf_wal_topic_create(rig->wal, name, topic, &rig->error), status);
    one_line(rig, status, has);
}

static void topics_that_are_refused(void)
{
    struct wal_rig rig;
    struct smf_wal_topic good = {.size = sizeof good}, topic = good;
    char name[300];

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    (void)wal_topic(&rig, "there", 1);
    topic_fails(&rig, "there", &good, SMF_EEXIST, "there");
    topic_fails(&rig, "", &good, SMF_EINVAL, "");
    topic_fails(&rig, "a/b", &good, SMF_EINVAL, "a/b");
    topic_fails(&rig, NULL, &good, SMF_EINVAL, "NULL");
    memset(name, 'a', sizeof name);
    name[299] = '\0';
    topic_fails(&rig, name, &good, SMF_EINVAL, "200");
    topic.partitions = 65537;
    topic_fails(&rig, "t", &topic, SMF_EINVAL, "65536");
    topic = good;
    topic.segment_bytes = 1000;
    topic_fails(&rig, "t", &topic, SMF_EINVAL, "");
    topic.segment_bytes = 1ull << 40;
    topic_fails(&rig, "t", &topic, SMF_EINVAL, "");
    topic = good;
    topic.record_bytes_max = 17 << 20;
    topic_fails(&rig, "t", &topic, SMF_EINVAL, "");
    topic = good;
    topic.reserved = 1;
    topic_fails(&rig, "t", &topic, SMF_EINVAL, "does not know");
    topic.size = 3;
    topic_fails(&rig, "t", &topic, SMF_EINVAL, "smf_wal_topic.size");
    CHECK_EQ(smf_wal_topic_create(NULL, "t", &good, &rig.error), SMF_EINVAL);
    CHECK(smf_wal_topic_at(rig.wal, 1, NULL) == NULL); /* nothing came of all that */
    wal_rig_close(&rig);
}

static void topics_are_listed(void)
{
    struct wal_rig rig;
    struct smf_wal_topic topic = {.size = sizeof topic};
    uint64_t partition, more;
    char name[32];

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    CHECK_EQ(smf_wal_partition(rig.wal, "x", 0, &partition, &rig.error), SMF_ENOTFOUND);
    one_line(&rig, SMF_ENOTFOUND, "none");
    partition = wal_topic(&rig, "first", 3);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        (void)wal_topic(&rig, name, 1);
    }
    CHECK_EQ(wal_partition(&rig, "first", 0), partition); /* it stays what it was */
    CHECK_STR(smf_wal_topic_at(rig.wal, 0, &topic), "first");
    CHECK_EQ(topic.partitions, 3);
    CHECK_EQ(topic.segment_bytes, 1 << 20);
    CHECK_EQ(topic.record_bytes_max, 16 << 20);
    topic.size = 2;
    CHECK(smf_wal_topic_at(rig.wal, 0, &topic) == NULL);
    CHECK(smf_wal_topic_at(rig.wal, 21, NULL) == NULL);
    CHECK_EQ(smf_wal_partition(rig.wal, "frist", 0, &more, &rig.error), SMF_ENOTFOUND);
    one_line(&rig, SMF_ENOTFOUND, "first, topic-0");
    CHECK_EQ(smf_wal_partition(rig.wal, "first", 3, &more, &rig.error), SMF_ENOTFOUND);
    one_line(&rig, SMF_ENOTFOUND, "it has 3");
    CHECK_EQ(smf_wal_partition(rig.wal, NULL, 3, &more, &rig.error), SMF_EINVAL);
    wal_rig_close(&rig);
}

/* --- everything with a partition ------------------------------------------------------------------ */

static void handles_that_are_none(void)
{
    struct wal_rig rig;
    struct smf_wal_reader *reader;
    uint64_t offset, good;

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    good = wal_topic(&rig, "two", 2);
    for (int i = 0; i < 4; i++) {
        const uint64_t bad[] = {0, good + 2, good + (1ull << 32), UINT64_MAX};
        struct smf_wal_info info = {.size = sizeof info};

        CHECK_EQ(smf_wal_put(rig.wal, bad[i], NULL, 0, "x", 1, SMF_WAL_BUFFERED, 0, NULL),
                 SMF_EINVAL);
        CHECK_EQ(smf_wal_partition_info(rig.wal, bad[i], &info), SMF_EINVAL);
        CHECK_EQ(smf_wal_sync(rig.wal, bad[i], &rig.error), SMF_EINVAL);
        one_line(&rig, SMF_EINVAL, "smf_wal_partition");
        CHECK_EQ(smf_wal_truncate_head(rig.wal, bad[i], 0, &rig.error), SMF_EINVAL);
        CHECK_EQ(smf_wal_truncate_tail(rig.wal, bad[i], 0, &rig.error), SMF_EINVAL);
        CHECK_EQ(smf_wal_offset_for_time(rig.wal, bad[i], 0, &offset, &rig.error), SMF_EINVAL);
        CHECK_EQ(
            smf_wal_reader_open(rig.wal, bad[i], 0, SMF_WAL_DURABLE, 0, 0, &reader, &rig.error),
            SMF_EINVAL);
        one_line(&rig, SMF_EINVAL, "smf_wal_partition");
    }
    CHECK_EQ(smf_wal_reader_open(rig.wal, good, 0, 3, 0, 0, &reader, &rig.error), SMF_EINVAL);
    one_line(&rig, SMF_EINVAL, "view");
    CHECK_EQ(smf_wal_reader_open(rig.wal, good, 1, SMF_WAL_DURABLE, 0, 0, &reader, &rig.error),
             SMF_EINVAL);
    one_line(&rig, SMF_EINVAL, "0");
    CHECK_EQ(smf_wal_offset_for_time(rig.wal, good, 0, NULL, &rig.error), SMF_EINVAL);
    wal_rig_close(&rig);
}

static void appends_that_are_refused(void)
{
    static uint8_t memory[4096] __attribute__((aligned(8)));
    struct wal_rig rig;
    struct smf_wal_batch batch = {.memory = memory, .capacity = sizeof memory};
    struct smf_wal_record record = {.value = "v", .value_size = 1};
    struct smf_wal_topic small = {.size = sizeof small, .record_bytes_max = 64};
    struct smf_wal_info info = {.size = 4};
    uint64_t partition;

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    CHECK_EQ(smf_wal_topic_create(rig.wal, "small", &small, &rig.error), SMF_OK);
    partition = wal_partition(&rig, "small", 0);
    (void)wal_put(&rig, partition, "fits", SMF_WAL_DURABLE, 0);
    CHECK_EQ(smf_wal_append(rig.wal, partition, &batch, SMF_WAL_DURABLE, 0, NULL), SMF_EINVAL);
    CHECK_EQ(smf_wal_append(rig.wal, partition, NULL, SMF_WAL_DURABLE, 0, NULL), SMF_EINVAL);
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_OK);
    CHECK_EQ(smf_wal_append(rig.wal, partition, &batch, 3, 0, NULL), SMF_EINVAL);
    batch.count = 2; /* not what was added */
    CHECK_EQ(smf_wal_append(rig.wal, partition, &batch, SMF_WAL_DURABLE, 0, NULL), SMF_EINVAL);
    batch.count = 1;
    memset(memory, 0xff, 16); /* nor what was written */
    CHECK_EQ(smf_wal_append(rig.wal, partition, &batch, SMF_WAL_DURABLE, 0, NULL), SMF_EINVAL);
    CHECK_EQ(smf_wal_put(rig.wal, partition, NULL, 0, memory, 65, SMF_WAL_DURABLE, 0, NULL),
             SMF_EINVAL); /* over this topic's limit */
    CHECK_EQ(smf_wal_put(rig.wal, partition, NULL, 1, "x", 1, SMF_WAL_DURABLE, 0, NULL),
             SMF_EINVAL);
    CHECK_EQ(smf_wal_put(rig.wal, partition, NULL, 0, memory, 17u << 20, SMF_WAL_DURABLE, 0, NULL),
             SMF_EINVAL);
    CHECK_EQ(smf_wal_partition_info(rig.wal, partition, &info), SMF_EINVAL);
    CHECK_EQ(smf_wal_partition_info(rig.wal, partition, NULL), SMF_EINVAL);
    CHECK_EQ(wal_info(&rig, partition).next, 1);
    wal_await(&rig, 1);
    wal_rig_close(&rig);
}

static const struct test tests[] = {
    TEST(a_count_that_is_wrong_is_an_error),
    TEST(settings_that_are_refused),
    TEST(one_log_for_a_core_one_writer_for_a_log),
    TEST(folders_that_hold_no_log),
    TEST(reading_beside_a_writer),
    TEST(following_a_writer),
    TEST(topics_that_are_refused),
    TEST(topics_are_listed),
    TEST(handles_that_are_none),
    TEST(appends_that_are_refused),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
