/* What is on a disk, what of it a power cut would leave, and what a failing disk does to it: the memory
 * behind disk_sim.c, and behind the replay of what disk_record.c has seen. For tests.
 *
 * The model is stricter than the file systems of today: what no flush covers may be lost or kept, sector
 * by sector; a file that was flushed is lost if its name was not; names that were not synced survive in
 * any combination. What is kept is drawn from a seed, or chosen.
 *
 * Paths: "/a/b" and "a/b" are the same; there is no "..". No memory ends the program.
 *
 * Threads: one. */
#ifndef SMF_DISK_DISK_WORLD_H
#define SMF_DISK_DISK_WORLD_H

#include "disk/disk_ops.h"

#define SMF__DISK_FAULTS_MAX 16u

struct smf__disk_world;
struct smf__disk_inode;

struct smf__disk_world *smf__disk_world_open(uint64_t seed);

/* After every disk on it was closed. */
void smf__disk_world_close(struct smf__disk_world *world);

/* --- faults --- */

/* Of the operations of this kind (0: of any) that end from now on, the nth (1: the next) fails with this
 * errno, and so do those after it until so many have failed. Up to SMF__DISK_FAULTS_MAX are kept. A write
 * that fails may have changed any of its sectors, a RENAME that fails with EIO may have happened; after a
 * flush that failed nobody knows what is durable, and a later one does not make up for it. */
void smf__disk_world_fail(struct smf__disk_world *world, uint32_t kind, uint64_t nth,
                          uint64_t times, int os_errno);
void smf__disk_world_heal(struct smf__disk_world *world);

/* How many bytes its files may have together; ENOSPC beyond. UINT64_MAX: no limit, as in the beginning. */
void smf__disk_world_limit(struct smf__disk_world *world, uint64_t bytes);

/* Nothing completes while it is stalled; closing a disk, or waiting without end, aborts then. */
void smf__disk_world_stall(struct smf__disk_world *world, int stalled);

/* Starts and ends of operations that change something, so far. */
uint64_t smf__disk_world_steps(const struct smf__disk_world *world);

/* The power goes out before that step: from then on nothing has an effect, and every operation ends with
 * SMF_ECLOSED. UINT64_MAX: never. */
void smf__disk_world_halt_at(struct smf__disk_world *world, uint64_t step);
int smf__disk_world_halted(const struct smf__disk_world *world);

/* --- power cuts --- */

/* Things that a cut at this moment may keep or lose: writes, sizes, names. */
uint32_t smf__disk_world_unflushed(const struct smf__disk_world *world);

struct smf__disk_cut {
    uint64_t seed;
    const uint8_t *kept; /* one byte per unflushed thing, 0: lost; NULL: drawn from the seed */
    int torn;            /* a write that is kept is kept in part: every 512 bytes by themselves */
};

/* The disk as the next start finds it, a world of its own; this one stays as it is. */
struct smf__disk_world *smf__disk_world_cut(const struct smf__disk_world *world,
                                            const struct smf__disk_cut *cut);

/* --- what wears out --- */

enum smf__disk_damage {
    SMF__DISK_FLIP = 1, /* bit (to) of the byte at offset */
    SMF__DISK_WIPE,     /* zeroes */
    SMF__DISK_STALE,    /* what the sectors had held before they were made durable last */
    SMF__DISK_MISDIRECT /* what was written here went there (to), and here it is stale */
};

/* Whole sectors, but for FLIP. Returns 0, or SMF_ENOTFOUND. */
int smf__disk_world_damage(struct smf__disk_world *world, const char *path, uint32_t kind,
                           uint64_t offset, uint64_t size, uint64_t to);

/* What a read would see: bytes, or SMF_ENOTFOUND. For looking into a world from a test. */
int64_t smf__disk_world_peek(const struct smf__disk_world *world, const char *path, uint64_t offset,
                             uint64_t size, void *data);

/* --- what a disk on it does --- */

struct smf__disk_world_io {
    struct smf__disk_inode *inode; /* of the file */
    uint64_t ordinal;              /* of the start: what had ended before it, a flush covers */
    void *record;                  /* of a write */
};

/* An operation that was admitted starts. Returns 0 or -errno; then it does not end. */
int smf__disk_world_begin(struct smf__disk_world *world, const struct smf__disk_op *op,
                          struct smf__disk_world_io *io);

/* It ends, with this -errno or (0) well. Returns bytes or -errno. For OPEN io->inode is the file's. */
int64_t smf__disk_world_end(struct smf__disk_world *world, struct smf__disk_op *op,
                            struct smf__disk_world_io *io, int problem);

uint64_t smf__disk_world_size(const struct smf__disk_inode *inode);
int smf__disk_world_stalled(const struct smf__disk_world *world);
uint64_t smf__disk_world_draw(struct smf__disk_world *world, uint64_t bound);

#endif
