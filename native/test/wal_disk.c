#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk_image.h"
#include "wal_crash.h"

#define POLL_NS_MAX 20000u

/* --- memory --- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory_out, size_t alignment, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory_out, size_t alignment, size_t size);
void __wrap_free(void *memory);

static struct {
    int is_log, failed;
    uint64_t nth;
    int64_t bytes;
} heap;

void crash_malloc_fail(uint64_t nth)
{
    heap.nth = nth;
    heap.failed = 0;
}

int crash_malloc_failed(void)
{
    return heap.failed;
}

int64_t crash_malloc_bytes(void)
{
    return heap.bytes;
}

/* Each open of a log takes megabytes: what is given back to the system has to be cleared again. */
__attribute__((constructor)) static void keep_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

int crash_malloc_enter(int is_log)
{
    int was = heap.is_log;

    heap.is_log = is_log;
    return was;
}

static int fails_now(void)
{
    if (!heap.is_log || heap.nth == 0 || --heap.nth > 0)
        return 0;
    heap.failed = 1;
    return 1;
}

static void *got(void *memory)
{
    if (heap.is_log && memory != NULL)
        heap.bytes += (int64_t)malloc_usable_size(memory);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : got(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : got(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails_now())
        return NULL;
    if (heap.is_log && memory != NULL)
        heap.bytes -= (int64_t)malloc_usable_size(memory);
    return got(__real_realloc(memory, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : got(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **memory_out, size_t alignment, size_t size)
{
    int status;

    if (fails_now())
        return 12; /* ENOMEM */
    status = __real_posix_memalign(memory_out, alignment, size);
    if (status == 0)
        (void)got(*memory_out);
    return status;
}

void __wrap_free(void *memory)
{
    if (heap.is_log && memory != NULL)
        heap.bytes -= (int64_t)malloc_usable_size(memory);
    __real_free(memory);
}

/* --- the disk --- */

static struct crash_disk *disk_of(struct smf__disk *disk)
{
    return (struct crash_disk *)disk;
}

static void tell(struct crash_disk *disk, uint64_t steps_before, struct smf__disk_world *world)
{
    if (disk->step != NULL && smf__disk_world_steps(world) != steps_before)
        disk->step(disk->context);
}

/* Puts one pointer in the place of another. Returns whether that was there. */
static int swap_file(struct crash_disk *disk, const struct smf__disk_file *from,
                     const struct smf__disk_file *to)
{
    for (uint32_t i = 0; i < CRASH_FILES_MAX; i++) {
        if (disk->segments[i] != from)
            continue;
        disk->segments[i] = to;
        return 1;
    }
    return 0;
}

static int is_segment(const char *path)
{
    size_t length = strlen(path);

    return length > 4 && strcmp(path + length - 4, ".seg") == 0;
}

static void refuse(struct crash_disk *disk, struct smf__disk_op *op)
{
    if (disk->killed_count == CRASH_KILLED_MAX)
        abort();
    op->status = SMF_ECLOSED;
    op->done = 0;
    disk->killed[disk->killed_count++] = op;
}

static void disk_queue(struct smf__disk *base, struct smf__disk_op *op)
{
    struct crash_disk *disk = disk_of(base);
    int was = crash_malloc_enter(0);
    uint64_t steps = smf__disk_world_steps(disk->world);

    if (disk->dead) {
        refuse(disk, op);
        crash_malloc_enter(was);
        return;
    }
    disk->under_way++;
    if (op->kind == SMF__DISK_CLOSE)
        (void)swap_file(disk, op->file, NULL);
    if (op->kind == SMF__DISK_WRITE && ++disk->writes > disk->writes_most)
        disk->writes_most = disk->writes;
    disk->inner->ops->queue(disk->inner, op);
    tell(disk, steps, disk->world);
    crash_malloc_enter(was);
}

static void disk_submit(struct smf__disk *base)
{
    disk_of(base)->inner->ops->submit(disk_of(base)->inner);
}

static uint32_t take(struct crash_disk *disk, struct smf__disk_op **ops_out, uint32_t capacity)
{
    uint32_t count = disk->inner->ops->poll(disk->inner, ops_out, capacity);

    for (uint32_t i = 0; i < count; i++) {
        const struct smf__disk_op *op = ops_out[i];

        disk->under_way--;
        disk->ended[op->kind]++;
        disk->failed += op->status != SMF_OK;
        disk->writes -= op->kind == SMF__DISK_WRITE;
        disk->flush_failed |= op->kind == SMF__DISK_FLUSH && op->status != SMF_OK;
        if (op->kind == SMF__DISK_OPEN && op->status == SMF_OK && is_segment(op->path))
            (void)swap_file(disk, NULL, op->file);
        if (op->kind == SMF__DISK_READ && swap_file(disk, op->file, op->file))
            disk->read_bytes += op->done;
    }
    return count;
}

/* One operation after the other, with a look at the world between them. */
static uint32_t disk_poll(struct smf__disk *base, struct smf__disk_op **ops_out, uint32_t capacity)
{
    struct crash_disk *disk = disk_of(base);
    int was = crash_malloc_enter(0);
    uint32_t count = 0, more = 1;

    while (disk->dead && disk->killed_count > 0 && count < capacity)
        ops_out[count++] = disk->killed[--disk->killed_count];
    if (disk->dead) {
        crash_malloc_enter(was);
        return count;
    }
    count = take(disk, ops_out, capacity);

    disk->clock->now_ns += smf__random_below(&disk->random, POLL_NS_MAX);
    while (count < capacity && more > 0 && !smf__disk_world_stalled(disk->world) &&
           smf__random_below(&disk->random, 100) < disk->land_percent) {
        uint64_t steps = smf__disk_world_steps(disk->world);

        disk->inner->ops->wait(disk->inner, 0);
        more = take(disk, ops_out + count, 1);
        count += more;
        tell(disk, steps, disk->world);
    }
    crash_malloc_enter(was);
    return count;
}

static void disk_wait(struct smf__disk *base, int64_t timeout_ns)
{
    struct crash_disk *disk = disk_of(base);
    int was = crash_malloc_enter(0);
    uint64_t steps = smf__disk_world_steps(disk->world);

    disk->clock->now_ns += smf__random_below(&disk->random, POLL_NS_MAX);
    if (!disk->dead)
        disk->inner->ops->wait(disk->inner, timeout_ns);
    tell(disk, steps, disk->world);
    crash_malloc_enter(was);
}

static int disk_fd(const struct smf__disk *base)
{
    (void)base;
    return -1;
}

static void disk_close(struct smf__disk *base)
{
    disk_of(base)->inner->ops->close(disk_of(base)->inner);
}

static void disk_describe(const struct smf__disk *base, char *text_out, size_t size)
{
    const struct crash_disk *disk = (const void *)base;

    disk->inner->ops->describe(disk->inner, text_out, size);
}

static const struct smf__disk_ops crash_disk_ops = {
    .name = "crash",
    .close = disk_close,
    .queue = disk_queue,
    .submit = disk_submit,
    .poll = disk_poll,
    .wait = disk_wait,
    .fd = disk_fd,
    .describe = disk_describe,
};

void crash_disk_open(struct crash_disk *disk, struct smf__disk_world *world, uint32_t align_bytes,
                     uint64_t seed, struct smf__clock_manual *clock)
{
    /* What completes, and when, is said here: one operation for each wait. */
    struct smf__disk_sim_options options = {
        .offset_align_bytes = align_bytes, .files_max = CRASH_FILES_MAX, .slow_percent = 100};
    struct smf_error error;

    memset(disk, 0, sizeof *disk);
    if (smf__disk_sim_open(&disk->inner, world, &options, &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    disk->base.ops = &crash_disk_ops;
    disk->base.counts = disk->inner->counts;
    disk->world = world;
    disk->clock = clock;
    disk->land_percent = 50;
    smf__random_seed(&disk->random, seed);
}

void crash_disk_kill(struct crash_disk *disk)
{
    struct smf__disk_op *ops[16];

    while (disk->under_way > 0) {
        uint32_t count = take(disk, ops, 16);

        for (uint32_t i = 0; i < count; i++)
            refuse(disk, ops[i]);
        disk->inner->ops->wait(disk->inner, 0);
    }
    disk->dead = 1;
}

void crash_disk_close(struct crash_disk *disk)
{
    disk->step = NULL;
    disk_close(&disk->base);
}
