/* Opening a log and its META: made, read, torn, damaged, written anew, and cut off at every step. */
#include "test_wal_written.h"

#include <errno.h>

static void an_empty_folder_becomes_a_log(void)
{
    struct rig rig;
    rig_new(&rig);
    rig_open(&rig);
    CHECK(rig.wal->topics == NULL);
    CHECK_EQ(rig.wal->block_bytes, BLOCK);
    CHECK_EQ(rig.wal->meta.last->header.number, 1);
    make_topic(&rig, "orders", 3);
    make_topic(&rig, "a.b-c_9", 1);
    rig_close(&rig);
    rig_open(&rig);
    struct smf__wal_topic_info *topic = smf__wal_topic_find(rig.wal, "orders");
    CHECK(topic != NULL);
    CHECK_EQ(topic->config.partitions, 3);
    CHECK_EQ(topic->config.segment_bytes, SMF__WAL_SEGMENT_DEFAULT_BYTES);
    CHECK(topic->config.topic_id != 0);
    CHECK(topic->parts[2]->last == NULL);
    CHECK_EQ(topic->parts[2]->next_number, 1);
    CHECK_STR(topic->parts[2]->folder, "/log/orders/2");
    CHECK(is_there(&rig, "/log/orders/2"));
    CHECK(topic->next == smf__wal_topic_find(rig.wal, "a.b-c_9"));
    CHECK(smf__wal_topic_find(rig.wal, "order") == NULL);
    CHECK_EQ(rig.wal->meta.last->header.number, 1); /* a clean end is gone on from */
    rig_close(&rig);
    rig_end(&rig);
}

/* --- what can't be opened --- */

static void check_refused(struct rig *rig, int read_only, int create, int status, const char *says)
{
    struct smf__wal_options options = {
        .folder = "/log", .disk = rig->disk, .create = create, .read_only = read_only};
    struct smf__wal *wal;
    struct smf_error error = {0};
    CHECK_EQ(smf__wal_open(&wal, &options, &error), status);
    CHECK(wal == NULL);
    CHECK_EQ(error.status, status);
    if (strstr(error.text, says) == NULL)
        test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", says, error.text);
}

static void what_is_no_log_is_refused(void)
{
    static const uint8_t bytes[BLOCK];
    struct rig rig;
    rig_new(&rig);
    check_refused(&rig, 0, 0, SMF_ENOTFOUND, "create it");
    check_refused(&rig, 1, 0, SMF_ENOTFOUND, "create it");
    CHECK(!is_there(&rig, "/log"));
    CHECK_EQ(run_path(&rig, SMF__DISK_MAKE_FOLDER, "/log"), SMF_OK);
    check_refused(&rig, 0, 0, SMF_ENOTFOUND, "create it");
    check_refused(&rig, 1, 0, SMF_ENOTFOUND, "create it");
    CHECK(!is_there(&rig, "/log/LOCK"));
    put_file(&rig, "/log/LOCK", bytes, BLOCK);
    check_refused(&rig, 1, 0, SMF_ENOTFOUND, "was not made whole");
    CHECK_EQ(run_path(&rig, SMF__DISK_MAKE_FOLDER, "/log/pictures"), SMF_OK);
    check_refused(&rig, 0, 1, SMF_EIO, "has a folder pictures");
    CHECK_EQ(run_path(&rig, SMF__DISK_DROP_FOLDER, "/log/pictures"), SMF_OK);
    rig_open(&rig); /* half created: made whole */
    rig_close(&rig);
    rig_end(&rig);
}

static void a_file_is_no_folder(void)
{
    static const uint8_t bytes[BLOCK];
    struct rig rig;
    rig_new(&rig);
    put_file(&rig, "/log", bytes, BLOCK);
    check_refused(&rig, 0, 1, SMF_EINVAL, "is a file; a log needs a folder");
    rig_end(&rig);
}

static void one_process_writes_and_others_read(void)
{
    struct rig rig, other;
    (void)rig_with_orders(&rig);
    rig_open(&rig);
    rig_start(&other, rig.world);
    check_refused(&other, 0, 1, SMF_ELOCKED, "open it with read_only beside it");
    uint64_t steps = smf__disk_world_steps(rig.world);
    CHECK_EQ(rig_open_as(&other, 1), SMF_OK);
    CHECK(smf__wal_topic_find(other.wal, "orders") != NULL);
    struct smf__wal_topic config = {.name = "more", .name_size = 4};
    CHECK_EQ(smf__wal_topic_create(other.wal, &config, NULL, &other.error), SMF_EREADONLY);
    rig_close(&other);
    CHECK_EQ(smf__disk_world_steps(rig.world), steps); /* nothing was changed, nor flushed */
    rig_close(&rig);
    rig_open(&other);
    rig_close(&other);
    other.disk->ops->close(other.disk);
    rig_end(&rig);
}

static void a_disk_that_refuses_says_so(void)
{
    struct rig rig;
    rig_new(&rig);
    smf__disk_world_fail(rig.world, SMF__DISK_OPEN, 1, 1, EACCES);
    check_refused(&rig, 0, 1, SMF_EPERMISSION, "give this user the rights");
    smf__disk_world_limit(rig.world, 4096);
    check_refused(&rig, 0, 1, SMF_ENOSPACE, "free some space");
    CHECK(!is_there(&rig, "/log/META"));
    smf__disk_world_limit(rig.world, UINT64_MAX);
    rig_open(&rig);
    rig_close(&rig);
    rig_end(&rig);
}

/* --- META's bytes --- */

static void damage(struct rig *rig, uint64_t offset, uint64_t bit)
{
    CHECK_EQ(smf__disk_world_damage(rig->world, "/log/META", SMF__DISK_FLIP, offset, 1, bit), 0);
}

static void a_damaged_meta_is_refused(void)
{
    struct rig rig;
    (void)rig_with_orders(&rig);
    damage(&rig, 70, 3);
    check_refused(&rig, 0, 1, SMF_EIO, "META of /log is damaged at byte 0 (damaged header)");
    check_refused(&rig, 1, 0, SMF_EIO, "smf log verify");
    damage(&rig, 70, 3);
    rig_open(&rig);
    make_topic(&rig, "second", 1);
    make_topic(&rig, "third", 1); /* says that the first two are durable */
    rig_close(&rig);
    damage(&rig, 2 * BLOCK + 120, 0);
    check_refused(&rig, 0, 1, SMF_EIO, "is damaged at byte");
    damage(&rig, 2 * BLOCK + 120, 0);
    rig_open(&rig);
    rig_close(&rig);
    rig_end(&rig);
}

static void a_meta_from_the_future_is_unsupported(void)
{
    struct rig rig;
    uint8_t bytes[BLOCK], *whole = malloc(FILE_BYTES);
    (void)rig_with_orders(&rig);
    CHECK_EQ(smf__disk_world_peek(rig.world, "/log/META", 0, FILE_BYTES, whole), FILE_BYTES);
    memcpy(bytes, whole, BLOCK);
    bytes[8] = 7;
    uint32_t crc = smf__crc32c(0, bytes, 12);
    smf__put_u32(bytes + 12, smf__crc32c(crc, bytes + 16, 512 - 16));
    memcpy(whole, bytes, BLOCK);
    CHECK_EQ(run_path(&rig, SMF__DISK_UNLINK, "/log/META"), SMF_OK);
    put_file(&rig, "/log/META", whole, FILE_BYTES);
    check_refused(&rig, 0, 1, SMF_EUNSUPPORTED,
                  "is in version 7 of the log's format, this program "
                  "reads versions up to 1");
    free(whole);
    rig_end(&rig);
}

static void a_meta_with_the_highest_number_is_not_written_anew(void)
{
    struct rig rig;
    uint8_t *whole = malloc(FILE_BYTES);
    (void)rig_with_orders(&rig);
    CHECK_EQ(smf__disk_world_peek(rig.world, "/log/META", 0, FILE_BYTES, whole), FILE_BYTES);
    smf__put_u32(whole + 32, UINT32_MAX);
    uint32_t crc = smf__crc32c(0, whole, 12);
    smf__put_u32(whole + 12, smf__crc32c(crc, whole + 16, 512 - 16));
    CHECK_EQ(run_path(&rig, SMF__DISK_UNLINK, "/log/META"), SMF_OK);
    put_file(&rig, "/log/META", whole, FILE_BYTES);
    rig_open(&rig); /* it is whole, and nothing has to be written */
    rig_close(&rig);
    whole[FILE_BYTES - 1] = 1; /* as if its tail were torn */
    CHECK_EQ(run_path(&rig, SMF__DISK_UNLINK, "/log/META"), SMF_OK);
    put_file(&rig, "/log/META", whole, FILE_BYTES);
    check_refused(&rig, 0, 1, SMF_ELIMIT, "has the highest number that there is");
    CHECK_EQ(rig_open_as(&rig, 1), SMF_OK);
    CHECK(smf__wal_topic_find(rig.wal, "orders") != NULL);
    rig_close(&rig);
    free(whole);
    rig_end(&rig);
}

static void a_torn_meta_is_written_anew(void)
{
    struct rig rig;
    (void)rig_with_orders(&rig);
    rig_open(&rig);
    make_topic(&rig, "second", 2);
    uint64_t end = rig.wal->meta.last->end;
    rig_close(&rig);
    damage(&rig, end - 9, 0); /* the last batch: nobody says that it was durable */
    CHECK_EQ(rig_open_as(&rig, 1), SMF_OK);
    CHECK(smf__wal_topic_find(rig.wal, "second") == NULL);
    rig_close(&rig);
    rig_open(&rig);
    CHECK_EQ(rig.wal->meta.last->header.number, 2);
    CHECK(smf__wal_topic_find(rig.wal, "orders") != NULL);
    CHECK(smf__wal_topic_find(rig.wal, "second") == NULL);
    make_topic(&rig, "second", 3); /* though its folders are there */
    rig_close(&rig);
    rig_open(&rig);
    CHECK_EQ(smf__wal_topic_find(rig.wal, "second")->config.partitions, 3);
    CHECK_EQ(rig.wal->meta.last->header.number, 2);
    rig_close(&rig);
    rig_end(&rig);
}

static void a_meta_that_has_grown_is_written_anew(void)
{
    struct rig rig;
    struct smf__wal_mark mark = {.place = smf__wal_place(1, 1024), .offset = 3, .crc = 5};
    (void)rig_with_orders(&rig);
    put_head(&rig, 2);
    rig_open(&rig);
    struct smf__wal_part *part = orders(&rig);
    uint64_t topic_id = rig.wal->meta.last->header.topic_id;
    part->status = SMF_OK; /* there is no file, which is not what this is about */
    uint32_t batches = 0;
    for (; rig.wal->meta.last->header.number == 1; batches++) {
        mark.offset++;
        part->buffered = part->written = part->durable = mark;
        CHECK_EQ(smf__wal_meta_checkpoint(part, 0, 1), SMF_OK);
        CHECK_LT(batches, 5000);
    }
    CHECK_GT(batches, 2000); /* 1 MiB of them */
    CHECK_LT(rig.wal->meta.last->end, 80000);
    rig_close(&rig);
    CHECK(!is_there(&rig, "/log/META.new"));
    rig_open(&rig);
    CHECK_EQ(rig.wal->meta.last->header.number, 2);
    CHECK_EQ(rig.wal->meta.last->header.topic_id, topic_id);
    CHECK_EQ(orders(&rig)->checkpoint.next_offset, mark.offset);
    CHECK_EQ(orders(&rig)->checkpoint.prev_crc, 5);
    CHECK_EQ(orders(&rig)->head, 2);
    rig_close(&rig);
    rig_end(&rig);
}

/* Checkpoints without anybody who waits for them, until META is being written anew for the nth time. */
static void checkpoints_until(struct rig *rig, struct smf__wal_mark *mark, uint32_t nth)
{
    struct smf__wal_part *part = orders(rig);
    uint32_t begun = 0;
    part->status = SMF_OK; /* there is no file, which is not what this is about */
    for (uint32_t tries = 0; begun < nth; tries++) {
        int was = rig->wal->meta_rewriting;
        mark->offset++;
        part->buffered = part->written = part->durable = *mark;
        int status = smf__wal_meta_checkpoint(part, 0, 0);
        if (status != SMF_OK) {
            CHECK(status == SMF_ELIMIT || status == SMF_ENOMEM);
            smf__wal_wait(rig->wal);
            mark->offset--;
        }
        begun += !was && rig->wal->meta_rewriting;
        CHECK_LT(smf__wal_place_position(rig->wal->meta.buffered.place), 2u << 20);
        CHECK_LT(tries, 1000000);
    }
}

/* A log that nobody closes, and that makes no topic, for a year. */
static void a_meta_that_grows_is_written_anew_in_turns(void)
{
    struct rig rig;
    struct smf__wal_mark mark = {.place = smf__wal_place(1, 1024), .offset = 3, .crc = 5};
    (void)rig_with_orders(&rig);
    put_head(&rig, 2);
    for (uint32_t end = 0; end < 3; end++) {
        rig_open(&rig);
        uint32_t number = rig.wal->meta.last->header.number;
        checkpoints_until(&rig, &mark, 3);
        CHECK_GE(rig.wal->meta.last->header.number, number + 2);
        if (end == 1) /* who has to wait for META waits for that, too */
            make_topic(&rig, "waits", 1);
        while (end == 2 && rig.wal->meta_rewriting)
            smf__wal_wait(rig.wal);
        rig_close(&rig); /* end 0: under way */
        CHECK(!is_there(&rig, "/log/META.new"));
        rig_open(&rig);
        CHECK_EQ(rig.wal->meta.last->header.number, number + 3);
        CHECK_EQ(orders(&rig)->checkpoint.next_offset, mark.offset);
        CHECK_EQ(orders(&rig)->head, 2);
        CHECK_EQ(smf__wal_topic_find(rig.wal, "waits") != NULL, end > 0);
        rig_close(&rig);
    }
    rig_end(&rig);
}

/* META goes on in the old file, and tries again later: it is no reason to stop. */
static void a_rewriting_in_turns_that_fails_is_tried_again(void)
{
    static const uint32_t kinds[] = {SMF__DISK_OPEN,  SMF__DISK_ZERO,   SMF__DISK_WRITE,
                                     SMF__DISK_FLUSH, SMF__DISK_RENAME, SMF__DISK_SYNC_FOLDER};
    for (size_t i = 0; i < TEST_COUNT(kinds); i++) {
        struct rig rig;
        struct smf__wal_mark mark = {.place = smf__wal_place(1, 1024), .offset = 3, .crc = 5};
        (void)rig_with_orders(&rig);
        rig_open(&rig);
        checkpoints_until(&rig, &mark, 1);
        while (rig.wal->meta.durable.place < rig.wal->meta.buffered.place || rig.wal->meta.zeroing)
            smf__wal_wait(rig.wal); /* a write of the old file that fails is another story */
        if (rig.wal->meta_rewriting)
            smf__disk_world_fail(rig.world, kinds[i], 1, 1, ENOSPC);
        while (rig.wal->meta_rewriting)
            smf__wal_wait(rig.wal);
        int fenced = rig.wal->meta.status != SMF_OK;
        CHECK(!fenced || kinds[i] == SMF__DISK_SYNC_FOLDER);
        smf__disk_world_heal(rig.world);
        CHECK(fenced || !is_there(&rig, "/log/META.new"));
        if (!fenced) {
            make_topic(&rig, "more", 1);
            CHECK_EQ(rig.wal->meta.last->header.number, 2);
        }
        (void)smf__wal_close(rig.wal);
        rig_open(&rig);
        CHECK(fenced || smf__wal_topic_find(rig.wal, "more") != NULL);
        CHECK(smf__wal_topic_find(rig.wal, "orders") != NULL);
        rig_close(&rig);
        rig_end(&rig);
    }
}

static void the_next_meta_has_all_that_counts(void)
{
    struct rig rig;
    struct smf__wal_mark mark = {.place = smf__wal_place(1, 1024), .offset = 3, .crc = 5};
    (void)rig_with_orders(&rig);
    put_head(&rig, 2);
    put_checkpoint(&rig, &mark, 1);
    for (uint32_t number = 2; number < 4; number++) {
        rig_open(&rig);
        CHECK_EQ(smf__wal_meta_rewrite(rig.wal, &rig.error), SMF_OK);
        rig_close(&rig);
        rig_open(&rig);
        CHECK_EQ(rig.wal->meta.last->header.number, number);
        CHECK_EQ(orders(&rig)->checkpoint.end, mark.place);
        CHECK_EQ(orders(&rig)->checkpoint.next_offset, 3);
        CHECK_EQ(orders(&rig)->checkpoint.prev_crc, 5);
        CHECK(orders(&rig)->checkpoint.clean);
        CHECK_EQ(orders(&rig)->head, 2);
        CHECK_EQ(orders(&rig)->topic->config.segment_bytes, SMF__WAL_SEGMENT_DEFAULT_BYTES);
        rig_close(&rig);
    }
    rig_end(&rig);
}

static void a_rewriting_that_fails_leaves_meta_as_it_was(void)
{
    static const uint32_t kinds[] = {SMF__DISK_ZERO, SMF__DISK_WRITE, SMF__DISK_FLUSH,
                                     SMF__DISK_RENAME, SMF__DISK_SYNC_FOLDER};
    for (size_t i = 0; i < TEST_COUNT(kinds); i++) {
        struct rig rig;
        (void)rig_with_orders(&rig);
        rig_open(&rig);
        smf__disk_world_fail(rig.world, kinds[i], 1, 1, ENOSPC);
        CHECK_EQ(smf__wal_meta_rewrite(rig.wal, &rig.error), SMF_ENOSPACE);
        int fenced = kinds[i] == SMF__DISK_SYNC_FOLDER; /* nobody knows which one it is */
        CHECK_EQ(rig.wal->meta.status, fenced ? SMF_ENOSPACE : SMF_OK);
        if (!fenced)
            make_topic(&rig, "more", 1);
        rig_close(&rig);
        rig_open(&rig);
        CHECK(fenced || smf__wal_topic_find(rig.wal, "more") != NULL);
        CHECK(smf__wal_topic_find(rig.wal, "orders") != NULL);
        CHECK(!is_there(&rig, "/log/META.new"));
        rig_close(&rig);
        rig_end(&rig);
    }
}

/* The name may be the new file's already: what went into the old one would be lost with it. */
static void a_renaming_that_fails_is_fatal(void)
{
    for (uint32_t draw = 0; draw < 16; draw++) {
        struct smf__wal_topic config = {.name = "more", .name_size = 4, .partitions = 1};
        struct smf__wal_topic_info *topic;
        struct rig rig;
        (void)rig_with_orders(&rig);
        rig_open(&rig);
        for (uint32_t i = 0; i < draw; i++) /* other coins */
            (void)smf__disk_world_draw(rig.world, 2);
        smf__disk_world_fail(rig.world, SMF__DISK_RENAME, 1, 1, EIO);
        CHECK_EQ(smf__wal_meta_rewrite(rig.wal, &rig.error), SMF_EIO);
        CHECK_EQ(rig.wal->meta.status, SMF_EIO);
        CHECK(strstr(rig.wal->meta.status_text, "open it again") != NULL);
        int made = smf__wal_topic_create(rig.wal, &config, &topic, &rig.error) == SMF_OK;
        (void)smf__wal_close(rig.wal);
        rig_open(&rig);
        CHECK(smf__wal_topic_find(rig.wal, "orders") != NULL);
        CHECK_EQ(smf__wal_topic_find(rig.wal, "more") != NULL, made);
        CHECK(!made);
        CHECK(!is_there(&rig, "/log/META.new"));
        rig_close(&rig);
        rig_end(&rig);
    }
}

/* --- the power fails --- */

/* Runs something on a log with "orders", cut off at every step, and looks at what the next start finds. */
static void cut_everywhere(void (*run)(struct rig *rig), void (*check)(struct rig *rig, int done),
                           int from_nothing)
{
    struct rig rig;
    struct smf__disk_cut nothing_lost = {.seed = 1};
    if (from_nothing)
        rig_new(&rig);
    else
        (void)rig_with_orders(&rig);
    struct smf__disk_world *whole = rig.world;
    rig.disk->ops->close(rig.disk);
    int done = 0;
    for (uint64_t step = 1; !done; step++) {
        for (uint32_t draw = 0; draw < 8; draw++) {
            struct smf__disk_cut cut = {.seed = test_seed() + 8 * step + draw,
                                        .torn = draw % 2 != 0};
            struct smf__disk_world *world = smf__disk_world_cut(whole, &nothing_lost);
            rig_start(&rig, world);
            smf__disk_world_halt_at(world, smf__disk_world_steps(world) + step);
            run(&rig);
            done = !smf__disk_world_halted(world);
            struct smf__disk_world *after = smf__disk_world_cut(world, &cut);
            rig_end(&rig);
            rig_start(&rig, after);
            rig_open(&rig);
            check(&rig, done);
            rig_close(&rig);
            rig_end(&rig);
        }
        CHECK_LT(step, 1000);
    }
    smf__disk_world_close(whole);
}

static void run_open(struct rig *rig)
{
    if (rig_open_as(rig, 0) == SMF_OK)
        (void)smf__wal_close(rig->wal);
}

static void check_any(struct rig *rig, int done)
{
    (void)done;
    CHECK(rig->wal->topics == NULL);
    make_topic(rig, "orders", 1);
}

static void making_a_log_may_be_cut_off_anywhere(void)
{
    cut_everywhere(run_open, check_any, 1);
}

static int created; /* was told so */

static void run_create(struct rig *rig)
{
    struct smf__wal_topic config = {.name = "second", .name_size = 6, .partitions = 2};
    struct smf_error error;
    created = 0;
    if (rig_open_as(rig, 0) != SMF_OK)
        return;
    created = smf__wal_topic_create(rig->wal, &config, NULL, &error) == SMF_OK;
    (void)smf__wal_close(rig->wal);
}

static void check_create(struct rig *rig, int done)
{
    CHECK(!done || created);
    CHECK(smf__wal_topic_find(rig->wal, "orders") != NULL);
    if (smf__wal_topic_find(rig->wal, "second") == NULL) {
        CHECK(!created);
        make_topic(rig, "second", 2);
    }
    CHECK_EQ(smf__wal_topic_find(rig->wal, "second")->parts[1]->status, SMF_OK);
    CHECK(is_there(rig, "/log/second/1"));
}

static void making_a_topic_may_be_cut_off_anywhere(void)
{
    cut_everywhere(run_create, check_create, 0);
}

static void run_rewrite(struct rig *rig)
{
    struct smf__wal_topic config = {.name = "second", .name_size = 6};
    struct smf_error error;
    created = 0;
    if (rig_open_as(rig, 0) != SMF_OK)
        return;
    if (smf__wal_meta_rewrite(rig->wal, &error) == SMF_OK)
        created = smf__wal_topic_create(rig->wal, &config, NULL, &error) == SMF_OK;
    (void)smf__wal_close(rig->wal);
}

static void check_rewrite(struct rig *rig, int done)
{
    CHECK(!done || created);
    CHECK(smf__wal_topic_find(rig->wal, "orders") != NULL);
    CHECK(!created || smf__wal_topic_find(rig->wal, "second") != NULL);
    CHECK(!is_there(rig, "/log/META.new"));
}

static void rewriting_meta_may_be_cut_off_anywhere(void)
{
    cut_everywhere(run_rewrite, check_rewrite, 0);
}

/* --- topics --- */

static void check_no_topic(struct rig *rig, const struct smf__wal_topic *config, int status,
                           const char *says)
{
    struct smf_error error = {0};
    CHECK_EQ(smf__wal_topic_create(rig->wal, config, NULL, &error), status);
    if (strstr(error.text, says) == NULL)
        test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", says, error.text);
}

static void bad_topics_are_refused(void)
{
    struct rig rig;
    (void)rig_with_orders(&rig);
    rig_open(&rig);
    struct smf__wal_topic good = {.name = "more", .name_size = 4}, bad = good;
    bad.name = "a/bc";
    check_no_topic(&rig, &bad, SMF_EINVAL, "\"a/bc\": 1 to 200 letters");
    bad.name = "META";
    check_no_topic(&rig, &bad, SMF_EINVAL, "not META or LOCK");
    bad.name_size = 0;
    check_no_topic(&rig, &bad, SMF_EINVAL, "can't be named \"\"");
    bad = good;
    bad.partitions = 65537;
    check_no_topic(&rig, &bad, SMF_EINVAL, "1 to 65536 partitions, not 65537");
    bad = good;
    bad.segment_bytes = 65535;
    check_no_topic(&rig, &bad, SMF_EINVAL, "65536 to 2147483648 bytes, not 65535");
    bad.segment_bytes = (2ull << 30) + 1;
    check_no_topic(&rig, &bad, SMF_EINVAL, "65536 to 2147483648 bytes");
    bad = good;
    bad.record_max_bytes = (16u << 20) + 1;
    check_no_topic(&rig, &bad, SMF_EINVAL, "16777216 bytes at most");
    bad = good;
    bad.name = "orders";
    bad.name_size = 6;
    check_no_topic(&rig, &bad, SMF_EEXIST, "there is a topic orders already");
    good.segment_bytes = 65537;
    CHECK_EQ(smf__wal_topic_create(rig.wal, &good, NULL, NULL), SMF_OK);
    CHECK_EQ(smf__wal_topic_find(rig.wal, "more")->config.segment_bytes, 65536 + BLOCK);
    CHECK_EQ(smf__wal_topic_find(rig.wal, "more")->config.partitions, 1);
    rig_close(&rig);
    rig_end(&rig);
}

static void segments_of_an_unknown_topic_are_not_adopted(void)
{
    struct rig rig;
    static struct draft draft;
    rig_new(&rig);
    rig_open(&rig);
    CHECK_EQ(run_path(&rig, SMF__DISK_MAKE_FOLDER, "/log/orders"), SMF_OK);
    CHECK_EQ(run_path(&rig, SMF__DISK_MAKE_FOLDER, "/log/orders/0"), SMF_OK);
    draft_begin(&draft, 77, 1, NULL);
    draft_put(&rig, &draft);
    struct smf__wal_topic config = {.name = "orders", .name_size = 6};
    check_no_topic(&rig, &config, SMF_EEXIST,
                   "/log/orders/0 has segments of a topic that META does "
                   "not know");
    CHECK(smf__wal_topic_find(rig.wal, "orders") == NULL);
    rig_close(&rig);
    CHECK(draft_is_there(&rig, &draft));
    rig_end(&rig);
}

static void a_topic_that_meta_could_not_take_is_none(void)
{
    struct rig rig;
    (void)rig_with_orders(&rig);
    rig_open(&rig);
    struct smf__wal_topic config = {.name = "more", .name_size = 4};
    smf__disk_world_fail(rig.world, SMF__DISK_WRITE, 1, 1, EIO);
    check_no_topic(&rig, &config, SMF_EIO, "a write to /log/META failed");
    CHECK(smf__wal_topic_find(rig.wal, "more") == NULL);
    check_no_topic(&rig, &config, SMF_EIO, "a write to /log/META failed"); /* it is fenced */
    rig_close(&rig);
    rig_open(&rig);
    CHECK(smf__wal_topic_find(rig.wal, "orders") != NULL);
    rig_close(&rig);
    rig_end(&rig);
}

static const struct test tests[] = {
    TEST(an_empty_folder_becomes_a_log),
    TEST(what_is_no_log_is_refused),
    TEST(a_file_is_no_folder),
    TEST(one_process_writes_and_others_read),
    TEST(a_disk_that_refuses_says_so),
    TEST(a_damaged_meta_is_refused),
    TEST(a_meta_from_the_future_is_unsupported),
    TEST(a_meta_with_the_highest_number_is_not_written_anew),
    TEST(a_torn_meta_is_written_anew),
    TEST(a_meta_that_has_grown_is_written_anew),
    TEST(a_meta_that_grows_is_written_anew_in_turns),
    TEST(a_rewriting_in_turns_that_fails_is_tried_again),
    TEST(the_next_meta_has_all_that_counts),
    TEST(a_rewriting_that_fails_leaves_meta_as_it_was),
    TEST(a_renaming_that_fails_is_fatal),
    TEST(making_a_log_may_be_cut_off_anywhere),
    TEST(making_a_topic_may_be_cut_off_anywhere),
    TEST(rewriting_meta_may_be_cut_off_anywhere),
    TEST(bad_topics_are_refused),
    TEST(segments_of_an_unknown_topic_are_not_adopted),
    TEST(a_topic_that_meta_could_not_take_is_none),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
