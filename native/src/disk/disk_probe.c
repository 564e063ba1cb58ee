/* Finds out what cannot be asked, with a file that is gone afterwards. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/core.h"
#include "disk/disk_leaf.h"

#define SCRATCH_BYTES (256u << 10)
#define BLOCK_BYTES 4096u
#define TOGETHER 4u /* writes under way at the same time, as a busy log has them */
#define ROUNDS_MIN 3u
#define ROUNDS_MAX 9u
#define MARGIN 4u /* a quarter */
#define PROBE_NS 20000000u
#define NS_PER_US 1000u

struct probe {
    _Alignas(BLOCK_BYTES) uint8_t block[2 * BLOCK_BYTES];
    struct smf__disk_leaf *leaf;
    struct smf__disk *disk;
    struct smf__disk_file *file;
    uint32_t at;  /* where the next write goes; round and round */
    int os_errno; /* of what failed last */
    char path[SMF__DISK_PATH_MAX_BYTES];
};

static int run(struct probe *probe, uint32_t kind, uint64_t size)
{
    struct smf__disk_op op = {.kind = kind, .file = probe->file, .path = probe->path, .size = size};

    if (kind == SMF__DISK_OPEN)
        op.flags = SMF__DISK_CREATE | SMF__DISK_EXCLUSIVE;
    if (smf__disk_run(probe->disk, &op) == SMF_OK)
        probe->file = op.file;
    else
        probe->os_errno = op.os_errno;
    return op.status;
}

static int reads_with(struct probe *probe, uint32_t align_bytes)
{
    return pread(probe->file->fd, probe->block + align_bytes, align_bytes, align_bytes) ==
           (ssize_t)align_bytes;
}

/* An old kernel: which blocks does it read? */
static void try_alignment(struct probe *probe)
{
    static const uint32_t candidates[] = {512, 1024, 2048, 4096};

    probe->leaf->known.offset_align_bytes = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        if (reads_with(probe, candidates[i])) {
            probe->leaf->known.offset_align_bytes = candidates[i];
            break;
        }
    }
    probe->leaf->known.memory_align_bytes = probe->leaf->known.offset_align_bytes;
}

static void learn_alignment(struct probe *probe)
{
    struct smf__disk_known *known = &probe->leaf->known;
    struct stat status;

    if (fstat(probe->file->fd, &status) != 0)
        return;
    known->device = (uint64_t)status.st_dev;
    if (probe->file->direct && probe->leaf->options.no_statx) {
        try_alignment(probe);
    } else if (probe->file->direct) {
        known->offset_align_bytes = probe->file->offset_align_bytes;
        known->memory_align_bytes = probe->file->memory_align_bytes;
    }
    known->valid = 1;
}

/* A round of durable writes, in ns; UINT64_MAX when one fails. */
static uint64_t time_round(struct probe *probe, uint32_t durable_by)
{
    struct smf__disk_op ops[TOGETHER], *done[TOGETHER];
    uint64_t from_ns = smf__clock_now_ns(&probe->leaf->options.clock);
    uint32_t left = TOGETHER;
    int failed = 0;

    probe->leaf->durable_by = durable_by;
    memset(ops, 0, sizeof ops);
    for (uint32_t i = 0; i < TOGETHER; i++) {
        ops[i].kind = SMF__DISK_WRITE;
        ops[i].flags = SMF__DISK_DURABLE;
        ops[i].file = probe->file;
        ops[i].offset = probe->at;
        ops[i].size = BLOCK_BYTES;
        ops[i].data = probe->block;
        probe->at = (probe->at + BLOCK_BYTES) % SCRATCH_BYTES;
        probe->disk->ops->queue(probe->disk, &ops[i]);
    }
    probe->disk->ops->submit(probe->disk);
    while (left > 0) {
        uint32_t count = probe->disk->ops->poll(probe->disk, done, TOGETHER);

        for (uint32_t i = 0; i < count; i++)
            failed |= done[i]->status != SMF_OK;
        left -= count;
        if (count == 0)
            probe->disk->ops->wait(probe->disk, -1);
    }
    return failed ? UINT64_MAX : smf__clock_now_ns(&probe->leaf->options.clock) - from_ns;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The best round of each counts: what else the machine does makes rounds slower, never faster. With many
 * writes under way RWF_DSYNC gains, as the kernel merges its flushes; so it takes more than a hair's
 * breadth against it. */
static void choose_durable(struct probe *probe)
{
    uint64_t dsync_ns = UINT64_MAX, flush_ns = UINT64_MAX;
    uint64_t from_ns = smf__clock_now_ns(&probe->leaf->options.clock);
    uint32_t rounds = 0;

    while (rounds < ROUNDS_MIN ||
           (rounds < ROUNDS_MAX &&
            smf__clock_now_ns(&probe->leaf->options.clock) - from_ns < PROBE_NS)) {
        dsync_ns = least(dsync_ns, time_round(probe, SMF__DISK_BY_DSYNC));
        flush_ns = least(flush_ns, time_round(probe, SMF__DISK_BY_FLUSH));
        rounds++;
    }
    probe->leaf->durable_by =
        flush_ns < dsync_ns - dsync_ns / MARGIN ? SMF__DISK_BY_FLUSH : SMF__DISK_BY_DSYNC;
    if (dsync_ns != UINT64_MAX && flush_ns != UINT64_MAX)
        snprintf(probe->leaf->probed, sizeof probe->leaf->probed,
                 " (%u at a time: RWF_DSYNC %llu us, write and fdatasync %llu us)", TOGETHER,
                 (unsigned long long)(dsync_ns / NS_PER_US),
                 (unsigned long long)(flush_ns / NS_PER_US));
}

static int probe_file(struct probe *probe)
{
    int status = run(probe, SMF__DISK_ZERO, SCRATCH_BYTES);

    if (status == SMF_OK)
        learn_alignment(probe);
    if (status == SMF_OK && probe->leaf->options.durable_by == SMF__DISK_BY_PROBE)
        choose_durable(probe);
    (void)run(probe, SMF__DISK_CLOSE, 0);
    return status;
}

int smf__disk_probe(struct smf__disk_leaf *leaf, struct smf_error *error_out)
{
    const char *folder = leaf->options.folder;
    struct probe *probe;
    int status;

    if (folder == NULL)
        return SMF_OK;
    probe = aligned_alloc(BLOCK_BYTES, sizeof *probe);
    if (probe == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a disk's probe");
    memset(probe, 0, sizeof *probe);
    probe->leaf = leaf;
    probe->disk = &leaf->base;
    (void)snprintf(probe->path, sizeof probe->path, "%s/.smf-probe-%d-%p", folder, (int)getpid(),
                   (void *)leaf); /* what is cut short is too long to be opened */
    status = run(probe, SMF__DISK_OPEN, 0);
    if (status == SMF_OK) {
        (void)unlink(probe->path); /* it stays until it is closed, and not when this process dies */
        status = probe_file(probe);
        memset(&leaf->counts, 0, sizeof leaf->counts);
    }
    if (status == SMF_ENOSPACE || status == SMF_EQUOTA || status == SMF_EREADONLY ||
        status == SMF_EPERMISSION || status == SMF_ELIMIT) {
        snprintf(leaf->probed, sizeof leaf->probed, " (not measured: %s)", smf_status_name(status));
        status = SMF_OK; /* what is there can be read */
    }
    if (status != SMF_OK) {
        struct smf__disk_op op = {
            .kind = SMF__DISK_OPEN, .status = status, .os_errno = probe->os_errno};

        (void)smf__disk_explain(&op, folder, error_out);
    }
    free(probe);
    return status;
}
