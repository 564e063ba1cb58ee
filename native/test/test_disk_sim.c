/* The simulated disk: what a power cut leaves, what fails, what it holds against its caller. */
#include "mem/mem_count.h"
#include "test_disk.h"

#define SECTOR 512u
#define SEEDS 300u

static uint8_t *block_of(uint8_t byte, size_t size)
{
    uint8_t *block = aligned_bytes(size);

    memset(block, byte, size);
    return block;
}

/* Writes blocks that hold one byte. */
static int put(struct rig *rig, struct smf__disk_file *file, uint64_t offset, uint64_t size,
               uint8_t byte, uint32_t flags)
{
    uint8_t *data = block_of(byte, size);
    int status = write_with(rig->disk, file, offset, data, size, flags);

    free(data);
    return status;
}

static uint8_t byte_at(const struct smf__disk_world *world, const char *path, uint64_t offset)
{
    uint8_t byte = 0;

    CHECK_EQ(smf__disk_world_peek(world, path, offset, 1, &byte), 1);
    return byte;
}

static int is_there(const struct smf__disk_world *world, const char *path)
{
    uint8_t byte;

    return smf__disk_world_peek(world, path, 0, 1, &byte) >= 0;
}

/* A file whose name and room are durable. */
static struct smf__disk_file *durable_file(struct rig *rig, const char *name, uint64_t size)
{
    struct smf__disk_file *file = make_file(rig->disk, rig_path(rig, name), size);

    CHECK_EQ(run_path(rig->disk, SMF__DISK_SYNC_FOLDER, rig->folder), SMF_OK);
    CHECK_EQ(run_path(rig->disk, SMF__DISK_SYNC_FOLDER, "/"), SMF_OK);
    CHECK_EQ(smf__disk_world_unflushed(rig->world), 0);
    return file;
}

static struct smf__disk_world *cut_with(const struct rig *rig, const uint8_t *kept, uint64_t seed,
                                        int torn)
{
    struct smf__disk_cut cut = {.seed = seed, .kept = kept, .torn = torn};

    return smf__disk_world_cut(rig->world, &cut);
}

/* --- power cuts --- */

static void every_subset_can_remain(void)
{
    struct rig rig;
    struct smf__disk_file *file;

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "a", 3 * SECTOR);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(put(&rig, file, i * SECTOR, SECTOR, (uint8_t)(i + 1), 0), SMF_OK);
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 3);
    for (uint32_t subset = 0; subset < 8; subset++) {
        uint8_t kept[3];
        struct smf__disk_world *after;

        for (uint32_t i = 0; i < 3; i++)
            kept[i] = (subset >> i & 1) != 0;
        after = cut_with(&rig, kept, 0, 0);
        for (uint32_t i = 0; i < 3; i++) {
            CHECK_EQ(byte_at(after, "/log/a", i * SECTOR), kept[i] ? i + 1 : 0);
            CHECK_EQ(byte_at(after, "/log/a", (i + 1) * SECTOR - 1), kept[i] ? i + 1 : 0);
        }
        CHECK_EQ(smf__disk_world_unflushed(after), 0);
        smf__disk_world_close(after);
    }
    CHECK_EQ(byte_at(rig.world, "/log/a", 2 * SECTOR), 3); /* this one stayed as it was */
    CHECK_EQ(run_file(rig.disk, SMF__DISK_FLUSH, file, 0, 0), SMF_OK);
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 0);
    rig_close(&rig);
}

/* How many of the file's sectors hold this byte. */
static uint32_t sectors_with(const struct smf__disk_world *world, const char *path, uint32_t count,
                             uint8_t byte)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++)
        found += byte_at(world, path, i * SECTOR + i % SECTOR) == byte;
    return found;
}

static void what_is_not_flushed_is_torn(void)
{
    uint32_t whole = 0, none = 0, part = 0;
    struct rig rig;
    struct smf__disk_file *file;

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "a", 16 * SECTOR);
    CHECK_EQ(put(&rig, file, 0, 8 * SECTOR, 7, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(put(&rig, file, 8 * SECTOR, 8 * SECTOR, 9, 0), SMF_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct smf__disk_world *after = cut_with(&rig, NULL, seed, 1);
        uint32_t kept = sectors_with(after, "/log/a", 16, 9);

        CHECK_EQ(sectors_with(after, "/log/a", 16, 7), 8); /* this was durable */
        whole += kept == 8;
        none += kept == 0;
        part += kept > 0 && kept < 8;
        smf__disk_world_close(after);
    }
    CHECK(whole > 0 && none > 0 && part > 0);
    rig_close(&rig);
}

/* The disk may have written it, though nobody knows yet. */
static void what_is_under_way_may_remain(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint8_t *data = block_of(5, SECTOR);
    struct smf__disk_op op = {
        .kind = SMF__DISK_WRITE, .flags = SMF__DISK_DURABLE, .size = SECTOR, .data = data};
    uint8_t kept[1] = {1};
    struct smf__disk_world *after;

    rig_open_sim(&rig, test_seed());
    op.file = file = durable_file(&rig, "a", SECTOR);
    rig.disk->ops->queue(rig.disk, &op);
    after = cut_with(&rig, kept, 0, 0);
    CHECK_EQ(byte_at(after, "/log/a", 0), 5);
    smf__disk_world_close(after);
    kept[0] = 0;
    after = cut_with(&rig, kept, 0, 0);
    CHECK_EQ(byte_at(after, "/log/a", 0), 0);
    smf__disk_world_close(after);
    CHECK_EQ(byte_at(rig.world, "/log/a", 0), 0); /* not seen before it ends */
    rig.disk->ops->submit(rig.disk);
    await_ops(rig.disk, 1);
    CHECK_EQ(byte_at(rig.world, "/log/a", 0), 5);
    close_file(rig.disk, file);
    rig_close(&rig);
    free(data);
}

/* Not those that were under way when it was queued. */
static void a_flush_covers_what_had_completed(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint8_t *data = block_of(5, SECTOR);
    struct smf__disk_op late = {.kind = SMF__DISK_WRITE, .size = SECTOR, .data = data};
    struct smf__disk_op flush = {.kind = SMF__DISK_FLUSH};

    rig_open_sim(&rig, test_seed());
    late.file = flush.file = file = durable_file(&rig, "a", 2 * SECTOR);
    CHECK_EQ(put(&rig, file, SECTOR, SECTOR, 4, 0), SMF_OK);
    rig.disk->ops->queue(rig.disk, &late);
    rig.disk->ops->queue(rig.disk, &flush);
    rig.disk->ops->submit(rig.disk);
    await_ops(rig.disk, 2);
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 1);
    for (uint8_t kept = 0; kept < 2; kept++) {
        struct smf__disk_world *after = cut_with(&rig, &kept, 0, 0);

        CHECK_EQ(byte_at(after, "/log/a", SECTOR), 4);
        CHECK_EQ(byte_at(after, "/log/a", 0), kept ? 5 : 0);
        smf__disk_world_close(after);
    }
    rig_close(&rig);
    free(data);
}

/* What a durable write covers has no way back. */
static void the_old_stays_away(void)
{
    struct rig rig;
    struct smf__disk_file *file;

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "a", 4 * SECTOR);
    CHECK_EQ(put(&rig, file, 0, 4 * SECTOR, 1, 0), SMF_OK);
    CHECK_EQ(put(&rig, file, SECTOR, 2 * SECTOR, 2, SMF__DISK_DURABLE), SMF_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct smf__disk_world *after = cut_with(&rig, NULL, seed, 1);

        CHECK_EQ(byte_at(after, "/log/a", SECTOR), 2);
        CHECK_EQ(byte_at(after, "/log/a", 3 * SECTOR - 1), 2);
        smf__disk_world_close(after);
    }
    rig_close(&rig);
}

static void sizes_are_flushed_too(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint8_t lost = 0, kept = 1, byte;
    struct smf__disk_world *after;

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "a", 2 * SECTOR);
    CHECK_EQ(put(&rig, file, SECTOR, SECTOR, 3, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(run_file(rig.disk, SMF__DISK_TRUNCATE, file, 0, SECTOR), SMF_OK);
    after = cut_with(&rig, &lost, 0, 0);
    CHECK_EQ(byte_at(after, "/log/a", SECTOR), 3);
    smf__disk_world_close(after);
    after = cut_with(&rig, &kept, 0, 0);
    CHECK_EQ(smf__disk_world_peek(after, "/log/a", SECTOR, 1, &byte), 0);
    smf__disk_world_close(after);
    CHECK_EQ(run_file(rig.disk, SMF__DISK_FLUSH, file, 0, 0), SMF_OK);
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 0);
    rig_close(&rig);
}

/* --- names --- */

static void names_need_their_folder_synced(void)
{
    uint8_t none[3] = {0}, all[3] = {1, 1, 1};
    struct rig rig;
    struct smf__disk_world *after;

    rig_open_sim(&rig, test_seed());
    CHECK_EQ(run_path(rig.disk, SMF__DISK_SYNC_FOLDER, "/"), SMF_OK);
    close_file(rig.disk, make_file(rig.disk, "/log/a", SECTOR)); /* flushed, and without a name */
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 1);
    after = cut_with(&rig, none, 0, 0);
    CHECK(!is_there(after, "/log/a"));
    smf__disk_world_close(after);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_SYNC_FOLDER, "/log"), SMF_OK);
    after = cut_with(&rig, none, 0, 0);
    CHECK(is_there(after, "/log/a"));
    smf__disk_world_close(after);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_UNLINK, "/log/a"), SMF_OK);
    after = cut_with(&rig, none, 0, 0);
    CHECK(is_there(after, "/log/a"));
    smf__disk_world_close(after);
    after = cut_with(&rig, all, 0, 0);
    CHECK(!is_there(after, "/log/a"));
    smf__disk_world_close(after);
    rig_close(&rig);
}

/* The old file or the new one, under its name, whatever else happens. */
static void a_rename_is_atomic(void)
{
    uint32_t olds = 0, news = 0;
    struct rig rig;
    struct smf__disk_file *file;
    struct smf__disk_op rename = {
        .kind = SMF__DISK_RENAME, .path = "/log/META.new", .path_to = "/log/META"};

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "META", SECTOR);
    CHECK_EQ(put(&rig, file, 0, SECTOR, 1, SMF__DISK_DURABLE), SMF_OK);
    close_file(rig.disk, file);
    file = make_file(rig.disk, "/log/META.new", SECTOR);
    CHECK_EQ(put(&rig, file, 0, SECTOR, 2, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(smf__disk_run(rig.disk, &rename), SMF_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct smf__disk_world *after = cut_with(&rig, NULL, seed, 1);
        uint8_t byte = byte_at(after, "/log/META", 0);

        CHECK(byte == 1 || byte == 2);
        olds += byte == 1;
        news += byte == 2;
        smf__disk_world_close(after);
    }
    CHECK(olds > 0 && news > 0);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_SYNC_FOLDER, "/log"), SMF_OK);
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 0);
    rig_close(&rig);
}

/* Until both folders are synced it may be undone; never is the file in both, or in none. */
static void move_and_sync(const char *const folders[3])
{
    uint8_t lost = 0, kept = 1;
    struct rig rig;
    struct smf__disk_op move = {.kind = SMF__DISK_RENAME, .path = "/log/a", .path_to = "/old/a"};

    rig_open_sim(&rig, test_seed());
    CHECK_EQ(run_path(rig.disk, SMF__DISK_MAKE_FOLDER, "/old"), SMF_OK);
    close_file(rig.disk, durable_file(&rig, "a", SECTOR));
    CHECK_EQ(smf__disk_run(rig.disk, &move), SMF_OK);
    for (int i = 0; i < 3; i++) {
        struct smf__disk_world *before = cut_with(&rig, &lost, 0, 0);
        struct smf__disk_world *after = cut_with(&rig, &kept, 0, 0);

        CHECK_EQ(smf__disk_world_unflushed(rig.world), 1);
        CHECK(is_there(before, "/log/a") && !is_there(before, "/old/a"));
        CHECK(!is_there(after, "/log/a") && is_there(after, "/old/a"));
        smf__disk_world_close(before);
        smf__disk_world_close(after);
        CHECK_EQ(run_path(rig.disk, SMF__DISK_SYNC_FOLDER, folders[i]), SMF_OK);
    }
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 0);
    rig_close(&rig);
}

static void a_move_needs_both_folders_synced(void)
{
    move_and_sync((const char *const[]){"/", "/old", "/log"});
    move_and_sync((const char *const[]){"/", "/log", "/old"});
}

/* --- faults --- */

static void the_nth_fails(void)
{
    struct rig rig;
    struct smf__disk_file *file;

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "a", 8 * SECTOR);
    smf__disk_world_fail(rig.world, SMF__DISK_WRITE, 3, 2, ENOSPC);
    CHECK_EQ(put(&rig, file, 0, SECTOR, 1, 0), SMF_OK);
    CHECK_EQ(put(&rig, file, SECTOR, SECTOR, 1, 0), SMF_OK);
    CHECK_EQ(put(&rig, file, 2 * SECTOR, SECTOR, 1, 0), SMF_ENOSPACE);
    CHECK_EQ(put(&rig, file, 3 * SECTOR, SECTOR, 1, SMF__DISK_DURABLE), SMF_ENOSPACE);
    CHECK_EQ(put(&rig, file, 4 * SECTOR, SECTOR, 1, SMF__DISK_DURABLE), SMF_OK);
    smf__disk_world_fail(rig.world, 0, 1, UINT64_MAX, EIO);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_STAT, "/log"), SMF_EIO);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_SYNC_FOLDER, "/log"), SMF_EIO);
    smf__disk_world_heal(rig.world);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_STAT, "/log"), SMF_OK);
    rig_close(&rig);
}

/* The kernel forgets what a flush could not write, so that the next one says that all is well. */
static void a_failed_flush_is_not_made_good(void)
{
    uint8_t kept = 0;
    struct rig rig;
    struct smf__disk_file *file;
    struct smf__disk_world *after;

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "a", 2 * SECTOR);
    CHECK_EQ(put(&rig, file, 0, SECTOR, 1, 0), SMF_OK);
    smf__disk_world_fail(rig.world, SMF__DISK_FLUSH, 1, 1, EIO);
    CHECK_EQ(run_file(rig.disk, SMF__DISK_FLUSH, file, 0, 0), SMF_EIO);
    CHECK_EQ(put(&rig, file, SECTOR, SECTOR, 2, 0), SMF_OK);
    CHECK_EQ(run_file(rig.disk, SMF__DISK_FLUSH, file, 0, 0), SMF_OK);
    CHECK_EQ(smf__disk_world_unflushed(rig.world), 1);
    after = cut_with(&rig, &kept, 0, 0);
    CHECK_EQ(byte_at(after, "/log/a", 0), 0);
    CHECK_EQ(byte_at(after, "/log/a", SECTOR), 2);
    smf__disk_world_close(after);
    rig_close(&rig);
}

static void a_full_disk(void)
{
    struct rig rig;
    struct smf__disk_file *file;

    rig_open_sim(&rig, test_seed());
    smf__disk_world_limit(rig.world, 8 * SECTOR);
    close_file(rig.disk, make_file(rig.disk, "/log/a", 6 * SECTOR));
    file = make_file(rig.disk, "/log/b", 2 * SECTOR);
    CHECK_EQ(run_file(rig.disk, SMF__DISK_ZERO, file, 2 * SECTOR, SECTOR), SMF_ENOSPACE);
    CHECK_EQ(put(&rig, file, 0, 2 * SECTOR, 1, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_UNLINK, "/log/a"), SMF_OK);
    CHECK_EQ(run_file(rig.disk, SMF__DISK_ZERO, file, 2 * SECTOR, SECTOR), SMF_OK);
    rig_close(&rig);
}

static void a_stalled_disk(void)
{
    struct rig rig;
    struct smf__disk_op op = {.kind = SMF__DISK_STAT, .path = "/log"}, *done;

    rig_open_sim(&rig, test_seed());
    smf__disk_world_stall(rig.world, 1);
    rig.disk->ops->queue(rig.disk, &op);
    rig.disk->ops->submit(rig.disk);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rig.disk->ops->poll(rig.disk, &done, 1), 0);
        rig.disk->ops->wait(rig.disk, 1000);
    }
    smf__disk_world_stall(rig.world, 0);
    await_ops(rig.disk, 1);
    CHECK_EQ(op.status, SMF_OK);
    rig_close(&rig);
}

/* What the sectors of a used file held before can come back, and writes can go astray. */
static void sectors_wear_out(void)
{
    struct rig rig;
    struct smf__disk_file *file;

    rig_open_sim(&rig, test_seed());
    file = durable_file(&rig, "a", 4 * SECTOR);
    CHECK_EQ(put(&rig, file, 0, 4 * SECTOR, 1, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(run_file(rig.disk, SMF__DISK_RECYCLE, file, 0, 0), SMF_OK);
    CHECK_EQ(put(&rig, file, 0, 4 * SECTOR, 2, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(smf__disk_world_damage(rig.world, "/log/a", SMF__DISK_STALE, 0, SECTOR, 0), SMF_OK);
    CHECK_EQ(byte_at(rig.world, "/log/a", 0), 1);
    CHECK_EQ(byte_at(rig.world, "/log/a", SECTOR), 2);
    CHECK_EQ(smf__disk_world_damage(rig.world, "/log/a", SMF__DISK_FLIP, SECTOR + 7, 1, 4), SMF_OK);
    CHECK_EQ(byte_at(rig.world, "/log/a", SECTOR + 7), 2 ^ 16);
    CHECK_EQ(smf__disk_world_damage(rig.world, "/log/a", SMF__DISK_MISDIRECT, SECTOR, SECTOR,
                                    2 * SECTOR),
             SMF_OK);
    CHECK_EQ(byte_at(rig.world, "/log/a", SECTOR), 1);
    CHECK_EQ(byte_at(rig.world, "/log/a", 2 * SECTOR + 7), 2 ^ 16);
    CHECK_EQ(smf__disk_world_damage(rig.world, "/log/a", SMF__DISK_WIPE, 3 * SECTOR, SECTOR, 0),
             SMF_OK);
    CHECK_EQ(byte_at(rig.world, "/log/a", 3 * SECTOR), 0);
    CHECK_EQ(smf__disk_world_damage(rig.world, "/log/b", SMF__DISK_WIPE, 0, SECTOR, 0),
             SMF_ENOTFOUND);
    rig_close(&rig);
}

/* --- a small log, cut at every step --- */

#define RECORDS 12u

/* Writes a sector per record, up to four at a time; acked: which of them were acknowledged. Returns when it
 * is done or the power is out. */
static void write_log(struct rig *rig, uint8_t *acked)
{
    struct smf__disk_op open = {
        .kind = SMF__DISK_OPEN, .flags = SMF__DISK_CREATE, .path = "/log/a"};
    struct smf__disk_op ops[RECORDS] = {0};
    uint8_t *data = aligned_bytes(RECORDS * DISK_BLOCK);

    if (run_path(rig->disk, SMF__DISK_SYNC_FOLDER, "/") != SMF_OK ||
        smf__disk_run(rig->disk, &open) != SMF_OK ||
        run_file(rig->disk, SMF__DISK_ZERO, open.file, 0, RECORDS * SECTOR) != SMF_OK ||
        run_path(rig->disk, SMF__DISK_SYNC_FOLDER, "/log") != SMF_OK) {
        free(data);
        return;
    }
    for (uint32_t first = 0; first < RECORDS; first += 4) {
        for (uint32_t i = first; i < first + 4; i++) {
            memset(data + i * DISK_BLOCK, (int)i + 1, SECTOR);
            ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                           .flags = SMF__DISK_DURABLE,
                                           .file = open.file,
                                           .offset = i * SECTOR,
                                           .size = SECTOR,
                                           .data = data + i * DISK_BLOCK};
            rig->disk->ops->queue(rig->disk, &ops[i]);
        }
        rig->disk->ops->submit(rig->disk);
        await_ops(rig->disk, 4);
        for (uint32_t i = first; i < first + 4; i++) {
            CHECK(ops[i].status == SMF_OK || ops[i].status == SMF_ECLOSED);
            acked[i] = ops[i].status == SMF_OK;
        }
    }
    free(data);
}

static void check_log(const struct smf__disk_world *after, const uint8_t *acked)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint8_t bytes[SECTOR], written[SECTOR], zeroes[SECTOR] = {0};

        if (!is_there(after, "/log/a")) {
            CHECK(!acked[i]);
            continue;
        }
        memset(bytes, 0, sizeof bytes);
        memset(written, (int)i + 1, sizeof written);
        (void)smf__disk_world_peek(after, "/log/a", i * SECTOR, SECTOR, bytes);
        if (acked[i] || bytes[0] != 0)
            CHECK_MEM(bytes, written, SECTOR);
        else
            CHECK_MEM(bytes, zeroes, SECTOR);
    }
}

static void the_power_goes_out_at_every_step(void)
{
    uint64_t steps = 1;
    uint32_t cut_short = 0;

    for (uint64_t step = 1; step <= steps; step++) {
        uint8_t acked[RECORDS] = {0};
        struct rig rig;

        rig_open_sim(&rig, test_seed());
        smf__disk_world_halt_at(rig.world, smf__disk_world_steps(rig.world) + step);
        write_log(&rig, acked);
        if (smf__disk_world_halted(rig.world))
            steps = step + 1;
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct smf__disk_world *after = cut_with(&rig, NULL, seed, 1);

            check_log(after, acked);
            smf__disk_world_close(after);
        }
        cut_short += !acked[RECORDS - 1];
        rig_close(&rig);
    }
    CHECK_GT(steps, 2 * RECORDS);
    CHECK_GT(cut_short, 2 * RECORDS);
}

/* --- the same seed --- */

static uint64_t order_of(uint64_t seed)
{
    struct smf__disk_op ops[16] = {0}, *done[16];
    uint64_t order = 0;
    uint32_t left = 16;
    struct rig rig;

    rig_open_sim(&rig, seed);
    for (uint32_t i = 0; i < 16; i++) {
        ops[i].kind = SMF__DISK_STAT;
        ops[i].path = "/log";
        rig.disk->ops->queue(rig.disk, &ops[i]);
    }
    rig.disk->ops->submit(rig.disk);
    while (left > 0) {
        uint32_t count = rig.disk->ops->poll(rig.disk, done, left);

        for (uint32_t i = 0; i < count; i++)
            order = order * 31 + (uint64_t)(done[i] - ops);
        left -= count;
    }
    rig_close(&rig);
    return order;
}

static void the_same_seed_does_the_same(void)
{
    uint32_t different = 0;

    for (uint64_t seed = 1; seed < 20; seed++) {
        CHECK_EQ(order_of(seed), order_of(seed));
        different += order_of(seed) != order_of(seed + 1);
    }
    CHECK_GT(different, 10);
}

/* --- what aborts --- */

static void rewrite_acknowledged(void *context)
{
    struct rig rig;
    struct smf__disk_file *file;

    (void)context;
    rig_open_sim(&rig, 1);
    file = durable_file(&rig, "a", 4 * SECTOR);
    (void)put(&rig, file, 0, SECTOR, 1, 0);
    (void)put(&rig, file, 0, SECTOR, 2, 0); /* nobody relies on it yet */
    (void)run_file(rig.disk, SMF__DISK_FLUSH, file, 0, 0);
    (void)run_file(rig.disk, SMF__DISK_RECYCLE, file, 0, 0);
    (void)put(&rig, file, 0, SECTOR, 3, SMF__DISK_DURABLE);
    fprintf(stderr, "until here all is well; ");
    (void)put(&rig, file, 0, 2 * SECTOR, 4, 0);
}

static void change_under_way(void *context)
{
    struct rig rig;
    uint8_t *data = aligned_bytes(SECTOR * 8);
    struct smf__disk_op op = {.kind = SMF__DISK_WRITE, .size = SECTOR, .data = data};

    (void)context;
    rig_open_sim(&rig, 1);
    op.file = durable_file(&rig, "a", SECTOR);
    rig.disk->ops->queue(rig.disk, &op);
    rig.disk->ops->submit(rig.disk);
    data[17] = 1;
    fprintf(stderr, "until here all is well; ");
    await_ops(rig.disk, 1);
}

static void overlap_under_way(void *context)
{
    struct rig rig;
    uint8_t *data = aligned_bytes(DISK_BLOCK);
    struct smf__disk_op ops[2] = {0};

    (void)context;
    rig_open_sim(&rig, 1);
    for (uint32_t i = 0; i < 2; i++) {
        ops[i] = (struct smf__disk_op){
            .kind = SMF__DISK_WRITE, .offset = i * SECTOR, .size = 2 * SECTOR, .data = data};
        ops[i].file = i == 0 ? durable_file(&rig, "a", 4 * SECTOR) : ops[0].file;
        if (i == 1)
            fprintf(stderr, "until here all is well; ");
        rig.disk->ops->queue(rig.disk, &ops[i]);
    }
}

static void wait_for_ever(void *context)
{
    struct rig rig;
    struct smf__disk_op op = {.kind = SMF__DISK_STAT, .path = "/"};

    (void)context;
    rig_open_sim(&rig, 1);
    smf__disk_world_stall(rig.world, 1);
    rig.disk->ops->queue(rig.disk, &op);
    fprintf(stderr, "until here all is well; ");
    rig.disk->ops->wait(rig.disk, -1);
}

static void mistakes_abort(void)
{
    static const struct {
        void (*run)(void *context);
        const char *says;
    } mistakes[] = {
        {rewrite_acknowledged, "!smf__disk_inode_acked(io->inode, op->offset, op->size)"},
        {change_under_way, "memcmp(record->bytes, op->data, record->size) == 0"},
        {overlap_under_way, "!overlaps_a_write(op)"},
        {wait_for_ever, "timeout_ns >= 0"},
    };

    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        char text[1024];
        int status = test_in_child(mistakes[i].run, NULL, text, sizeof text);

        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strstr(text, "until here all is well") != NULL);
        CHECK(strstr(text, mistakes[i].says) != NULL);
    }
}

static const struct test tests[] = {
    TEST(every_subset_can_remain),
    TEST(what_is_not_flushed_is_torn),
    TEST(what_is_under_way_may_remain),
    TEST(a_flush_covers_what_had_completed),
    TEST(the_old_stays_away),
    TEST(sizes_are_flushed_too),
    TEST(names_need_their_folder_synced),
    TEST(a_rename_is_atomic),
    TEST(a_move_needs_both_folders_synced),
    TEST(the_nth_fails),
    TEST(a_failed_flush_is_not_made_good),
    TEST(a_full_disk),
    TEST(a_stalled_disk),
    TEST(sectors_wear_out),
    TEST(the_power_goes_out_at_every_step),
    TEST(the_same_seed_does_the_same),
    TEST(mistakes_abort),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
