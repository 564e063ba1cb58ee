/* What every disk does: run over each implementation by test_disk.c, and over other file systems by
 * test_disk_xfs.c. A test is a function of a rig; each_rig runs it over all of them. */
#ifndef SMF_TEST_DISK_SUITE_H
#define SMF_TEST_DISK_SUITE_H

#include <poll.h>

#include "mem/mem_count.h"
#include "test_disk.h"

#define FILE_BYTES (1u << 20)
#define WRITES_MAX 16u

typedef void (*rig_test)(struct rig *rig);

/* Of the program that includes this: over which rigs. */
static void each_rig(rig_test test);

static int has_fd(const struct rig *rig)
{
    return rig->disk->ops->fd(rig->disk) >= 0;
}

/* --- bytes --- */

struct model {
    uint8_t *bytes; /* what the file should hold */
    uint8_t *data[WRITES_MAX];
    struct smf__disk_op ops[WRITES_MAX];
    struct smf__random random;
};

/* A round of writes side by side, each in a part of the file of its own. */
static void write_round(struct rig *rig, struct smf__disk_file *file, struct model *model)
{
    uint32_t part = FILE_BYTES / WRITES_MAX;
    uint64_t align = file->offset_align_bytes;

    for (uint32_t i = 0; i < WRITES_MAX; i++) {
        struct smf__disk_op *op = &model->ops[i];
        uint64_t blocks = part / align, from = smf__random_below(&model->random, blocks);
        uint64_t count = 1 + smf__random_below(&model->random, blocks - from);

        memset(op, 0, sizeof *op);
        op->kind = SMF__DISK_WRITE;
        op->flags = smf__random_below(&model->random, 2) ? SMF__DISK_DURABLE : 0;
        op->file = file;
        op->offset = i * part + from * align;
        op->size = count * align;
        op->data = model->data[i];
        fill_bytes(model->data[i], op->size, &model->random);
        memcpy(model->bytes + op->offset, model->data[i], op->size);
        rig->disk->ops->queue(rig->disk, op);
    }
    rig->disk->ops->submit(rig->disk);
    await_ops(rig->disk, WRITES_MAX);
    for (uint32_t i = 0; i < WRITES_MAX; i++) {
        CHECK_EQ(model->ops[i].status, SMF_OK);
        CHECK_EQ(model->ops[i].done, model->ops[i].size);
    }
}

static void bytes_come_back(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), FILE_BYTES);
    struct model model = {.bytes = aligned_bytes(FILE_BYTES)};
    uint8_t *read = aligned_bytes(FILE_BYTES);

    smf__random_seed(&model.random, test_seed());
    for (uint32_t i = 0; i < WRITES_MAX; i++)
        model.data[i] = aligned_bytes(FILE_BYTES / WRITES_MAX);
    for (int round = 0; round < 8; round++) {
        CHECK_EQ(run_file(disk, SMF__DISK_RECYCLE, file, 0, 0), SMF_OK);
        write_round(rig, file, &model);
        CHECK_EQ(read_from(disk, file, 0, read, FILE_BYTES), FILE_BYTES);
        CHECK_MEM(read, model.bytes, FILE_BYTES);
    }
    CHECK_EQ(run_file(disk, SMF__DISK_FLUSH, file, 0, 0), SMF_OK);
    CHECK_EQ(smf__counted(disk->counts->writes), 8 * WRITES_MAX);
    CHECK_GT(smf__counted(disk->counts->durable_writes), 0);
    CHECK_EQ(smf__counted(disk->counts->reads), 8);
    CHECK_EQ(smf__counted(disk->counts->read_bytes), 8ull * FILE_BYTES);
    CHECK_EQ(smf__counted(disk->counts->zeroed_bytes), FILE_BYTES);
    CHECK_GE(smf__counted(disk->counts->flushes), 1);
    close_file(disk, file);
    file = open_with(disk, rig_path(rig, "a"), SMF__DISK_READ_ONLY);
    CHECK_EQ(file->size_bytes, FILE_BYTES);
    CHECK_EQ(read_from(disk, file, 0, read, FILE_BYTES), FILE_BYTES);
    CHECK_MEM(read, model.bytes, FILE_BYTES);
    close_file(disk, file);
    for (uint32_t i = 0; i < WRITES_MAX; i++)
        free(model.data[i]);
    free(model.bytes);
    free(read);
}

/* One system call, or one hand-over to the threads, for a turn's operations. */
static void a_turn_is_submitted_at_once(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), FILE_BYTES);
    struct smf__disk_op ops[WRITES_MAX] = {0};
    uint8_t *data = aligned_bytes(DISK_BLOCK);
    uint64_t before = smf__counted(disk->counts->submits);

    for (uint32_t i = 0; i < WRITES_MAX; i++) {
        ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                       .file = file,
                                       .offset = i * DISK_BLOCK,
                                       .size = DISK_BLOCK,
                                       .data = data};
        disk->ops->queue(disk, &ops[i]);
    }
    CHECK_EQ(smf__counted(disk->counts->submits), before);
    disk->ops->submit(disk);
    CHECK_EQ(smf__counted(disk->counts->submits), before + 1);
    await_ops(disk, WRITES_MAX);
    CHECK_EQ(smf__counted(disk->counts->submits), before + 1);
    close_file(disk, file);
    free(data);
}

static void more_than_the_queue_holds(struct rig *rig)
{
    enum { COUNT = 700 };
    struct smf__disk *disk = rig->disk;
    uint64_t size = (uint64_t)COUNT * DISK_BLOCK;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), size);
    struct smf__disk_op *ops = calloc(COUNT, sizeof *ops);
    uint8_t *data = aligned_bytes(size), *read = aligned_bytes(size);
    struct smf__random random;

    smf__random_seed(&random, test_seed());
    fill_bytes(data, size, &random);
    CHECK(ops != NULL);
    for (uint32_t i = 0; i < COUNT; i++) {
        ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                       .flags = i % 64 == 0 ? SMF__DISK_DURABLE : 0,
                                       .file = file,
                                       .offset = (uint64_t)i * DISK_BLOCK,
                                       .size = DISK_BLOCK,
                                       .data = data + (size_t)i * DISK_BLOCK};
        disk->ops->queue(disk, &ops[i]);
    }
    disk->ops->submit(disk);
    await_ops(disk, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_EQ(ops[i].status, SMF_OK);
    CHECK_EQ(read_from(disk, file, 0, read, size), size);
    CHECK_MEM(read, data, size);
    close_file(disk, file);
    free(ops);
    free(data);
    free(read);
}

static void a_read_ends_with_the_file(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), 3 * DISK_BLOCK);
    uint8_t *data = aligned_bytes(8 * DISK_BLOCK);

    CHECK_EQ(read_from(disk, file, DISK_BLOCK, data, 8 * DISK_BLOCK), 2 * DISK_BLOCK);
    CHECK_EQ(read_from(disk, file, 3 * DISK_BLOCK, data, DISK_BLOCK), 0);
    CHECK_EQ(read_from(disk, file, 64 * DISK_BLOCK, data, DISK_BLOCK), 0);
    close_file(disk, file);
    free(data);
}

/* Old bytes never show through room that was made. */
static void zero_and_truncate(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    uint64_t step = SMF__DISK_ZERO_STEP_BYTES, size = 3 * step + DISK_BLOCK;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), size);
    uint8_t *data = aligned_bytes(size), *zeroes = aligned_bytes(size);

    CHECK_EQ(file->size_bytes, size);
    memset(data, 0xa5, size);
    CHECK_EQ(write_with(disk, file, 0, data, size, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(run_file(disk, SMF__DISK_TRUNCATE, file, 0, DISK_BLOCK), SMF_OK);
    CHECK_EQ(file->size_bytes, DISK_BLOCK);
    CHECK_EQ(write_with(disk, file, DISK_BLOCK, data, DISK_BLOCK, 0), SMF_EINVAL);
    CHECK_EQ(run_file(disk, SMF__DISK_TRUNCATE, file, 0, 2 * DISK_BLOCK), SMF_EINVAL);
    CHECK_EQ(run_file(disk, SMF__DISK_ZERO, file, DISK_BLOCK, size - DISK_BLOCK), SMF_OK);
    CHECK_EQ(file->size_bytes, size);
    CHECK_EQ(read_from(disk, file, 0, data, size), size);
    CHECK_EQ(data[DISK_BLOCK - 1], 0xa5);
    CHECK_MEM(data + DISK_BLOCK, zeroes, size - DISK_BLOCK);
    /* What was written before is used again. */
    CHECK_EQ(run_file(disk, SMF__DISK_RECYCLE, file, 0, 0), SMF_OK);
    CHECK_EQ(run_file(disk, SMF__DISK_ZERO, file, 0, DISK_BLOCK), SMF_OK);
    CHECK_EQ(file->size_bytes, size);
    CHECK_EQ(read_from(disk, file, 0, data, size), size);
    CHECK_MEM(data, zeroes, size);
    close_file(disk, file);
    free(data);
    free(zeroes);
}

/* --- what is refused --- */

static void bad_operations_come_back(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), 4 * DISK_BLOCK);
    uint8_t *data = aligned_bytes(2 * DISK_BLOCK);
    uint64_t align = file->offset_align_bytes, failures = smf__counted(disk->counts->failures);
    static char long_path[2 * SMF__DISK_PATH_MAX_BYTES];
    const struct smf__disk_op bad[] = {
        {.kind = 0},
        {.kind = SMF__DISK_KINDS},
        {.kind = SMF__DISK_WRITE, .size = align, .data = data},
        {.kind = SMF__DISK_WRITE, .file = file, .data = data},
        {.kind = SMF__DISK_WRITE, .file = file, .size = align},
        {.kind = SMF__DISK_WRITE, .file = file, .size = align + 1, .data = data},
        {.kind = SMF__DISK_WRITE, .file = file, .offset = 1, .size = align, .data = data},
        {.kind = SMF__DISK_WRITE, .file = file, .size = align, .data = data + 1},
        {.kind = SMF__DISK_WRITE,
         .file = file,
         .offset = 4 * DISK_BLOCK,
         .size = align,
         .data = data},
        {.kind = SMF__DISK_WRITE,
         .file = file,
         .offset = UINT64_MAX - align + 1,
         .size = align,
         .data = data},
        {.kind = SMF__DISK_READ,
         .file = file,
         .size = SMF__DISK_IO_MAX_BYTES + align,
         .data = data},
        {.kind = SMF__DISK_READ, .file = file, .offset = 7, .size = align, .data = data},
        {.kind = SMF__DISK_ZERO, .file = file, .size = 0},
        {.kind = SMF__DISK_ZERO, .file = file, .offset = 3, .size = align},
        {.kind = SMF__DISK_TRUNCATE, .file = file, .size = 5},
        {.kind = SMF__DISK_FLUSH},
        {.kind = SMF__DISK_CLOSE},
        {.kind = SMF__DISK_OPEN},
        {.kind = SMF__DISK_OPEN, .path = ""},
        {.kind = SMF__DISK_OPEN, .path = rig->folder},
        {.kind = SMF__DISK_STAT, .path = long_path},
        {.kind = SMF__DISK_RENAME, .path = "a"},
        {.kind = SMF__DISK_LIST, .path = rig->folder, .size = 5},
    };

    memset(long_path, 'x', sizeof long_path - 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct smf__disk_op op = bad[i];

        if (smf__disk_run(disk, &op) != SMF_EINVAL)
            test_fail(__FILE__, __LINE__, "bad operation %zu: %s", i, smf_status_name(op.status));
        CHECK(op.kind != SMF__DISK_OPEN || op.file == NULL);
    }
    CHECK_EQ(smf__counted(disk->counts->failures), failures + sizeof bad / sizeof bad[0]);
    close_file(disk, file);
    file = open_with(disk, rig_path(rig, "a"), SMF__DISK_READ_ONLY);
    CHECK_EQ(write_with(disk, file, 0, data, align, 0), SMF_EREADONLY);
    CHECK_EQ(run_file(disk, SMF__DISK_ZERO, file, 0, align), SMF_EREADONLY);
    CHECK_EQ(run_file(disk, SMF__DISK_TRUNCATE, file, 0, 0), SMF_EREADONLY);
    close_file(disk, file);
    free(data);
}

static void failures_say_what_to_do(struct rig *rig)
{
    struct smf__disk_op op = {.kind = SMF__DISK_OPEN, .path = rig_path(rig, "nothing")};
    struct smf_error error;

    CHECK_EQ(smf__disk_run(rig->disk, &op), SMF_ENOTFOUND);
    CHECK_EQ(smf__disk_explain(&op, NULL, &error), SMF_ENOTFOUND);
    CHECK(strstr(error.text, "cannot open ") == error.text);
    CHECK(strstr(error.text, "nothing: No such file or directory") != NULL);
    op.status = SMF_ENOSPACE;
    op.os_errno = ENOSPC;
    CHECK_EQ(smf__disk_explain(&op, "segment 7", &error), SMF_ENOSPACE);
    CHECK_STR(error.text, "cannot open segment 7: No space left on device; free some space on this "
                          "file system");
    CHECK_EQ(error.os_errno, ENOSPC);
}

static void one_holds_the_lock(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    uint32_t flags = SMF__DISK_CREATE | SMF__DISK_LOCK;
    struct smf__disk_file *file = open_with(disk, rig_path(rig, "LOCK"), flags);
    struct smf__disk_op op = {
        .kind = SMF__DISK_OPEN, .flags = flags, .path = rig_path(rig, "LOCK")};
    struct smf_error error;

    CHECK_EQ(smf__disk_run(disk, &op), SMF_ELOCKED);
    (void)smf__disk_explain(&op, NULL, &error);
    CHECK(strstr(error.text, "LOCK: it is in use; stop the other process") != NULL);
    close_file(disk, open_with(disk, rig_path(rig, "LOCK"), SMF__DISK_READ_ONLY));
    CHECK_EQ(smf__disk_run(disk, &op), SMF_ELOCKED);
    close_file(disk, file);
    CHECK_EQ(smf__disk_run(disk, &op), SMF_OK);
    close_file(disk, op.file);
}

/* --- names --- */

/* The names in a folder, sorted, with blanks between them. */
static void list(const struct rig *rig, const char *path, char *text_out, size_t size)
{
    char names[1024], *sorted[16];
    struct smf__disk_op op = {
        .kind = SMF__DISK_LIST, .path = path, .data = names, .size = sizeof names};
    size_t count = 0, at = 0;

    CHECK_EQ(smf__disk_run(rig->disk, &op), SMF_OK);
    for (uint64_t i = 0; i < op.done; i += strlen(names + i) + 1) {
        size_t place = count++;

        CHECK_LE(count, 16);
        for (; place > 0 && strcmp(names + i, sorted[place - 1]) < 0; place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = names + i;
    }
    text_out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text_out + at, size - at, "%s%s", i > 0 ? " " : "", sorted[i]);
}

static void names_come_and_go(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_op op = {.kind = SMF__DISK_RENAME};
    char text[1024];

    CHECK_EQ(run_path(disk, SMF__DISK_MAKE_FOLDER, rig_path(rig, "t")), SMF_OK);
    CHECK_EQ(run_path(disk, SMF__DISK_MAKE_FOLDER, rig_path(rig, "t")), SMF_EEXIST);
    CHECK_EQ(run_path(disk, SMF__DISK_MAKE_FOLDER, rig_path(rig, "no/t")), SMF_ENOTFOUND);
    close_file(disk, make_file(disk, rig_path(rig, "t/a"), DISK_BLOCK));
    close_file(disk, make_file(disk, rig_path(rig, "t/b"), 2 * DISK_BLOCK));
    CHECK_EQ(run_path(disk, SMF__DISK_SYNC_FOLDER, rig_path(rig, "t")), SMF_OK);
    list(rig, rig_path(rig, "t"), text, sizeof text);
    CHECK_STR(text, "a b");
    list(rig, rig->folder, text, sizeof text);
    CHECK_STR(text, "t/");
    op.path = rig_path(rig, "t/b");
    op.path_to = rig_path(rig, "t/a");
    CHECK_EQ(smf__disk_run(disk, &op), SMF_OK);
    list(rig, rig_path(rig, "t"), text, sizeof text);
    CHECK_STR(text, "a");
    op = (struct smf__disk_op){.kind = SMF__DISK_STAT, .path = rig_path(rig, "t/a")};
    CHECK_EQ(smf__disk_run(disk, &op), SMF_OK);
    CHECK_EQ(op.done, 2 * DISK_BLOCK);
    CHECK_EQ(op.is_folder, 0);
    op.path = rig_path(rig, "t");
    CHECK_EQ(smf__disk_run(disk, &op), SMF_OK);
    CHECK_EQ(op.is_folder, 1);
    CHECK_EQ(run_path(disk, SMF__DISK_STAT, rig_path(rig, "t/b")), SMF_ENOTFOUND);
    CHECK_EQ(run_path(disk, SMF__DISK_DROP_FOLDER, rig_path(rig, "t")), SMF_EEXIST);
    CHECK_EQ(run_path(disk, SMF__DISK_UNLINK, rig_path(rig, "t/a")), SMF_OK);
    CHECK_EQ(run_path(disk, SMF__DISK_UNLINK, rig_path(rig, "t/a")), SMF_ENOTFOUND);
    CHECK_EQ(run_path(disk, SMF__DISK_SYNC_FOLDER, rig_path(rig, "none")), SMF_ENOTFOUND);
    CHECK_EQ(run_path(disk, SMF__DISK_DROP_FOLDER, rig_path(rig, "t")), SMF_OK);
    list(rig, rig->folder, text, sizeof text);
    CHECK_STR(text, "");
}

static void names_that_do_not_fit(struct rig *rig)
{
    char names[16];
    struct smf__disk_op op = {
        .kind = SMF__DISK_LIST, .path = rig->folder, .data = names, .size = sizeof names};

    for (int i = 0; i < 4; i++) {
        char name[16];

        snprintf(name, sizeof name, "file-%d", i);
        close_file(rig->disk, make_file(rig->disk, rig_path(rig, name), 0));
    }
    CHECK_EQ(smf__disk_run(rig->disk, &op), SMF_ELIMIT);
    CHECK_EQ(op.done, 4 * sizeof "file-0");
}

static void an_open_file_outlives_its_name(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), DISK_BLOCK);
    struct smf__disk_op again = {.kind = SMF__DISK_OPEN,
                                 .flags = SMF__DISK_CREATE | SMF__DISK_EXCLUSIVE,
                                 .path = rig_path(rig, "a")};
    uint8_t *data = aligned_bytes(DISK_BLOCK), *read = aligned_bytes(DISK_BLOCK);

    CHECK_EQ(smf__disk_run(disk, &again), SMF_EEXIST);
    memset(data, 0x3c, DISK_BLOCK);
    CHECK_EQ(run_path(disk, SMF__DISK_UNLINK, rig_path(rig, "a")), SMF_OK);
    CHECK_EQ(smf__disk_run(disk, &again), SMF_OK);
    CHECK_EQ(again.file->size_bytes, 0);
    CHECK_EQ(write_with(disk, file, 0, data, DISK_BLOCK, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(read_from(disk, file, 0, read, DISK_BLOCK), DISK_BLOCK);
    CHECK_MEM(read, data, DISK_BLOCK);
    close_file(disk, file);
    close_file(disk, again.file);
    free(data);
    free(read);
}

/* --- waiting --- */

static int readable(const struct rig *rig, int timeout_ms)
{
    struct pollfd ready = {.fd = rig->disk->ops->fd(rig->disk), .events = POLLIN};

    return poll(&ready, 1, timeout_ms) == 1;
}

/* The core sleeps on this descriptor, beside its own. */
static void the_descriptor_tells(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), DISK_BLOCK);
    uint8_t *data = aligned_bytes(DISK_BLOCK);
    const uint32_t kinds[] = {SMF__DISK_WRITE, SMF__DISK_STAT}; /* of the ring, of the threads */

    for (int i = 0; i < 4 && has_fd(rig); i++) {
        struct smf__disk_op op = {.kind = kinds[i % 2],
                                  .flags = i < 2 ? SMF__DISK_DURABLE : 0,
                                  .file = file,
                                  .size = DISK_BLOCK,
                                  .data = data,
                                  .path = rig->folder};
        struct smf__disk_op *done[4];
        uint32_t count;

        if (op.kind == SMF__DISK_STAT)
            op.file = NULL;
        CHECK_EQ(disk->ops->poll(disk, done, 4), 0);
        CHECK(!readable(rig, 0));
        disk->ops->queue(disk, &op);
        disk->ops->submit(disk);
        do {
            while (!readable(rig, 1000))
                continue;
            count = disk->ops->poll(disk, done, 4);
        } while (count == 0); /* a wrapper may have more to do */
        CHECK_EQ(count, 1);
        CHECK(done[0] == &op);
        CHECK_EQ(op.status, SMF_OK);
        CHECK_EQ(disk->ops->poll(disk, done, 4), 0);
        CHECK(!readable(rig, 0));
    }
    close_file(disk, file);
    free(data);
}

static void nothing_to_wait_for(struct rig *rig)
{
    struct smf__disk_op bad = {0}, *done[4];

    rig->disk->ops->wait(rig->disk, -1); /* returns */
    rig->disk->ops->queue(rig->disk, &bad);
    rig->disk->ops->wait(rig->disk, -1);
    CHECK_EQ(rig->disk->ops->poll(rig->disk, done, 4), 1);
    CHECK(done[0] == &bad);
}

/* Whoever closes waits: memory of operations may be freed afterwards. */
static void closing_waits(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), FILE_BYTES);
    uint8_t *data[8];
    struct smf__disk_op *ops[8];
    struct smf__disk_world *world = rig->world;
    struct smf__disk_sim_options sim = {0};

    for (uint32_t i = 0; i < 8; i++) {
        ops[i] = calloc(1, sizeof *ops[i]);
        data[i] = aligned_bytes(FILE_BYTES / 8);
        CHECK(ops[i] != NULL);
        *ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                        .flags = SMF__DISK_DURABLE,
                                        .file = file,
                                        .offset = i * (FILE_BYTES / 8),
                                        .size = FILE_BYTES / 8,
                                        .data = data[i]};
        disk->ops->queue(disk, ops[i]);
    }
    disk->ops->submit(disk);
    disk->ops->close(disk);
    for (uint32_t i = 0; i < 8; i++) {
        free(ops[i]);
        free(data[i]);
    }
    /* Something for the rig to close. */
    if (world != NULL)
        CHECK_EQ(smf__disk_sim_open(&rig->disk, world, &sim, NULL), SMF_OK);
    else
        CHECK_EQ(smf__disk_open(&rig->disk, &(struct smf__disk_options){.backend = SMF__DISK_POSIX},
                                NULL),
                 SMF_OK);
}

#define RIG_TEST(name)                                                                             \
    static void every_##name(void)                                                                 \
    {                                                                                              \
        each_rig(name);                                                                            \
    }
RIG_TEST(bytes_come_back)
RIG_TEST(a_turn_is_submitted_at_once)
RIG_TEST(more_than_the_queue_holds)
RIG_TEST(a_read_ends_with_the_file)
RIG_TEST(zero_and_truncate)
RIG_TEST(bad_operations_come_back)
RIG_TEST(failures_say_what_to_do)
RIG_TEST(one_holds_the_lock)
RIG_TEST(names_come_and_go)
RIG_TEST(names_that_do_not_fit)
RIG_TEST(an_open_file_outlives_its_name)
RIG_TEST(the_descriptor_tells)
RIG_TEST(nothing_to_wait_for)
RIG_TEST(closing_waits)

#define SUITE                                                                                      \
    TEST(every_bytes_come_back), TEST(every_a_turn_is_submitted_at_once),                          \
        TEST(every_more_than_the_queue_holds), TEST(every_a_read_ends_with_the_file),              \
        TEST(every_zero_and_truncate), TEST(every_bad_operations_come_back),                       \
        TEST(every_failures_say_what_to_do), TEST(every_one_holds_the_lock),                       \
        TEST(every_names_come_and_go), TEST(every_names_that_do_not_fit),                          \
        TEST(every_an_open_file_outlives_its_name), TEST(every_the_descriptor_tells),              \
        TEST(every_nothing_to_wait_for), TEST(every_closing_waits)

#endif
