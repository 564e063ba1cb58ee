#include "disk/disk_sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core.h"
#include "disk/disk_image.h"
#include "disk/disk_leaf.h"
#include "mem/mem_count.h"

#define SLOW_DEFAULT_PERCENT 50u
#define FILES_DEFAULT 64u
#define NO_DESCRIPTOR 0 /* what an open file has instead; anything that is not negative */

struct flight {
    struct smf__disk_op *op;
    struct smf__disk_world_io io;
};

struct disk_sim {
    struct smf__disk_leaf leaf;
    struct smf__disk_sim_options options;
    struct smf__disk_world *world;
    struct flight *flights; /* the submitted ones first */
    uint32_t flight_count, flight_capacity, submitted;
};

static struct disk_sim *sim_of(struct smf__disk *disk)
{
    return (struct disk_sim *)disk;
}

/* A write may reach the disk from here on; nothing completes before it was submitted. */
static void sim_queue(struct smf__disk *disk, struct smf__disk_op *op)
{
    struct disk_sim *sim = sim_of(disk);
    struct flight flight = {.op = op};
    int problem;

    if (!smf__disk_admit(&sim->leaf, op))
        return;
    if (op->kind != SMF__DISK_OPEN && op->file != NULL)
        flight.io.inode = op->file->inode;
    problem = smf__disk_world_begin(sim->world, op, &flight.io);
    if (problem != 0) {
        smf__disk_finish(&sim->leaf, op, problem);
        return;
    }
    if (sim->flight_count == sim->flight_capacity) {
        sim->flight_capacity = sim->flight_capacity != 0 ? 2 * sim->flight_capacity : 16;
        sim->flights =
            smf__disk_must(realloc(sim->flights, sim->flight_capacity * sizeof *sim->flights));
    }
    sim->flights[sim->flight_count++] = flight;
}

static void sim_submit(struct smf__disk *disk)
{
    struct disk_sim *sim = sim_of(disk);

    if (sim->submitted < sim->flight_count)
        smf__count(sim->leaf.counts.submits, 1);
    sim->submitted = sim->flight_count;
}

static void opened(const struct disk_sim *sim, struct smf__disk_op *op,
                   struct smf__disk_inode *inode)
{
    struct smf__disk_file *file = op->file;

    file->fd = NO_DESCRIPTOR;
    file->inode = inode;
    file->direct = 1;
    file->read_only = (op->flags & SMF__DISK_READ_ONLY) != 0;
    file->size_bytes = smf__disk_world_size(inode);
    file->offset_align_bytes = sim->options.offset_align_bytes;
    file->memory_align_bytes = sim->options.memory_align_bytes;
}

static void land_one(struct disk_sim *sim)
{
    uint32_t index = (uint32_t)smf__disk_world_draw(sim->world, sim->submitted);
    struct flight flight = sim->flights[index];
    int64_t result = smf__disk_world_end(sim->world, flight.op, &flight.io, 0);

    sim->flights[index] = sim->flights[--sim->submitted];
    sim->flights[sim->submitted] = sim->flights[--sim->flight_count];
    if (flight.op->kind == SMF__DISK_OPEN && result >= 0)
        opened(sim, flight.op, flight.io.inode);
    smf__disk_finish(&sim->leaf, flight.op, result);
}

static uint32_t sim_poll(struct smf__disk *disk, struct smf__disk_op **ops_out, uint32_t capacity)
{
    struct disk_sim *sim = sim_of(disk);
    uint32_t tries = sim->submitted;

    while (tries-- > 0 && !smf__disk_world_stalled(sim->world)) {
        if (smf__disk_world_draw(sim->world, 100) >= sim->options.slow_percent)
            land_one(sim);
    }
    return smf__disk_take(&sim->leaf, ops_out, capacity);
}

/* Something happens, then. */
static void sim_wait(struct smf__disk *disk, int64_t timeout_ns)
{
    struct disk_sim *sim = sim_of(disk);

    sim_submit(disk);
    if (sim->leaf.ready.first != NULL || sim->submitted == 0)
        return;
    if (!smf__disk_world_stalled(sim->world))
        land_one(sim);
    else
        smf__check(timeout_ns >= 0); /* a stalled disk: nothing could ever end this wait */
}

static int sim_fd(const struct smf__disk *disk)
{
    (void)disk;
    return -1;
}

static void sim_close(struct smf__disk *disk)
{
    struct disk_sim *sim = sim_of(disk);
    struct smf__disk_op *ops[16];

    sim_submit(disk);
    while (sim->submitted > 0) {
        sim_wait(disk, -1);
        (void)smf__disk_take(&sim->leaf, ops, 16);
    }
    for (uint32_t i = 0; i < sim->leaf.options.files_max; i++) {
        struct smf__disk_op op = {.kind = SMF__DISK_CLOSE, .file = &sim->leaf.files[i]};
        struct smf__disk_world_io io = {.inode = op.file->inode};

        if (op.file->fd >= 0)
            (void)smf__disk_world_end(sim->world, &op, &io, 0);
    }
    free(sim->flights);
    smf__disk_leaf_close(&sim->leaf);
    free(sim);
}

static void sim_describe(const struct smf__disk *disk, char *text_out, size_t size)
{
    const struct disk_sim *sim = (const void *)disk;

    snprintf(text_out, size, "sim, blocks of %u bytes", sim->options.offset_align_bytes);
}

static const struct smf__disk_ops sim_ops = {
    .name = "sim",
    .close = sim_close,
    .queue = sim_queue,
    .submit = sim_submit,
    .poll = sim_poll,
    .wait = sim_wait,
    .fd = sim_fd,
    .describe = sim_describe,
};

int smf__disk_sim_open(struct smf__disk **disk_out, struct smf__disk_world *world,
                       const struct smf__disk_sim_options *options, struct smf_error *error_out)
{
    struct smf__disk_options leaf = {.files_max = FILES_DEFAULT};
    struct disk_sim *sim = smf__disk_must(calloc(1, sizeof *sim));
    int status;

    if (options->files_max != 0)
        leaf.files_max = options->files_max;
    status = smf__disk_leaf_open(&sim->leaf, &sim_ops, &leaf, error_out);
    if (status != SMF_OK) {
        smf__disk_leaf_close(&sim->leaf);
        free(sim);
        return status;
    }
    sim->world = world;
    sim->options = *options;
    if (sim->options.offset_align_bytes == 0)
        sim->options.offset_align_bytes = SMF__DISK_BLOCK_MIN_BYTES;
    if (sim->options.memory_align_bytes == 0)
        sim->options.memory_align_bytes = sim->options.offset_align_bytes;
    if (sim->options.slow_percent == 0)
        sim->options.slow_percent = SLOW_DEFAULT_PERCENT;
    *disk_out = &sim->leaf.base;
    return SMF_OK;
}
