#include "disk/disk_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "disk/disk_names.h"

struct fault {
    uint32_t kind; /* 0: any */
    int os_errno;
    uint64_t wait, times; /* so many are spared, then so many fail */
};

struct smf__disk_world {
    struct smf__random random;
    struct smf__disk_inode *inodes, *inodes_last; /* in the order of their making */
    struct smf__disk_inode *root;
    struct smf__disk_names live, durable;
    struct smf__disk_change *changes; /* of names, not durable, in their order */
    uint32_t change_count, change_capacity;
    struct fault faults[SMF__DISK_FAULTS_MAX];
    uint32_t fault_count;
    uint64_t limit_bytes, ordinal, ids;
    uint64_t steps, halt_at;
    int stalled;
};

static struct smf__disk_inode *new_inode(struct smf__disk_world *world, int is_folder)
{
    struct smf__disk_inode *inode = smf__disk_must(calloc(1, sizeof *inode));

    inode->id = ++world->ids;
    inode->is_folder = is_folder;
    if (world->inodes_last != NULL)
        world->inodes_last->next = inode;
    else
        world->inodes = inode;
    world->inodes_last = inode;
    return inode;
}

struct smf__disk_world *smf__disk_world_open(uint64_t seed)
{
    struct smf__disk_world *world = smf__disk_must(calloc(1, sizeof *world));

    smf__random_seed(&world->random, seed);
    world->limit_bytes = world->halt_at = UINT64_MAX;
    world->root = new_inode(world, 1);
    return world;
}

void smf__disk_world_close(struct smf__disk_world *world)
{
    while (world->inodes != NULL) {
        struct smf__disk_inode *inode = world->inodes;

        world->inodes = inode->next;
        smf__disk_inode_drop(inode);
    }
    smf__disk_names_drop(&world->live);
    smf__disk_names_drop(&world->durable);
    free(world->changes);
    free(world);
}

/* --- faults and steps --- */

void smf__disk_world_fail(struct smf__disk_world *world, uint32_t kind, uint64_t nth,
                          uint64_t times, int os_errno)
{
    smf__check(world->fault_count < SMF__DISK_FAULTS_MAX && nth > 0);
    world->faults[world->fault_count++] =
        (struct fault){.kind = kind, .os_errno = os_errno, .wait = nth - 1, .times = times};
}

void smf__disk_world_heal(struct smf__disk_world *world)
{
    world->fault_count = 0;
}

void smf__disk_world_limit(struct smf__disk_world *world, uint64_t bytes)
{
    world->limit_bytes = bytes;
}

void smf__disk_world_stall(struct smf__disk_world *world, int stalled)
{
    world->stalled = stalled;
}

int smf__disk_world_stalled(const struct smf__disk_world *world)
{
    return world->stalled;
}

uint64_t smf__disk_world_steps(const struct smf__disk_world *world)
{
    return world->steps;
}

void smf__disk_world_halt_at(struct smf__disk_world *world, uint64_t step)
{
    world->halt_at = step;
}

int smf__disk_world_halted(const struct smf__disk_world *world)
{
    return world->steps >= world->halt_at;
}

/* The errno that this operation is to fail with, or 0. */
static int fault_for(struct smf__disk_world *world, uint32_t kind)
{
    int os_errno = 0;

    for (uint32_t i = 0; i < world->fault_count; i++) {
        struct fault *fault = &world->faults[i];

        if (fault->kind != 0 && fault->kind != kind)
            continue;
        if (fault->wait > 0) {
            fault->wait--;
        } else if (fault->times > 0) {
            fault->times--;
            os_errno = fault->os_errno;
        }
    }
    return os_errno;
}

static int changes_something(const struct smf__disk_op *op)
{
    switch (op->kind) {
    case SMF__DISK_CLOSE:
    case SMF__DISK_READ:
    case SMF__DISK_STAT:
    case SMF__DISK_LIST:
    case SMF__DISK_RECYCLE:
        return 0;
    case SMF__DISK_OPEN:
        return (op->flags & SMF__DISK_CREATE) != 0;
    default:
        return 1;
    }
}

/* Counts a step; returns 1 when the power went out before it. */
static int step(struct smf__disk_world *world, const struct smf__disk_op *op)
{
    if (!smf__disk_world_halted(world) && changes_something(op))
        world->steps++;
    return smf__disk_world_halted(world);
}

/* --- the start of an operation --- */

static uint64_t used_bytes(const struct smf__disk_world *world)
{
    uint64_t bytes = 0;

    for (const struct smf__disk_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        if (inode->links > 0 || inode->opens > 0)
            bytes += inode->live_size;
    }
    return bytes;
}

static int begin_bytes(struct smf__disk_world *world, const struct smf__disk_op *op,
                       struct smf__disk_world_io *io)
{
    const uint8_t *bytes = op->kind == SMF__DISK_WRITE ? op->data : NULL;
    uint64_t end = op->offset + op->size;

    if (end > io->inode->live_size &&
        end - io->inode->live_size + used_bytes(world) > world->limit_bytes)
        return -ENOSPC;
    /* A block that was acknowledged as durable is not written again before RECYCLE. */
    smf__check(!smf__disk_inode_acked(io->inode, op->offset, op->size));
    io->record = smf__disk_inode_write(io->inode, op->offset, op->size, bytes);
    return 0;
}

int smf__disk_world_begin(struct smf__disk_world *world, const struct smf__disk_op *op,
                          struct smf__disk_world_io *io)
{
    if (step(world, op))
        return -ESHUTDOWN;
    io->ordinal = ++world->ordinal;
    io->record = NULL;
    if (op->kind == SMF__DISK_WRITE || op->kind == SMF__DISK_ZERO)
        return begin_bytes(world, op, io);
    return 0;
}

/* --- its end --- */

static void note_change(struct smf__disk_world *world, const struct smf__disk_name *gone,
                        const struct smf__disk_name *given)
{
    struct smf__disk_change *change;

    if (world->change_count == world->change_capacity) {
        world->change_capacity = world->change_capacity != 0 ? 2 * world->change_capacity : 16;
        world->changes = smf__disk_must(
            realloc(world->changes, world->change_capacity * sizeof *world->changes));
    }
    change = &world->changes[world->change_count++];
    memset(change, 0, sizeof *change);
    if (gone != NULL)
        change->gone = *gone;
    if (given != NULL)
        change->given = *given;
    change->gone_synced = gone == NULL;
    change->given_synced = given == NULL;
    change->ended = ++world->ordinal;
    if (gone != NULL)
        gone->child->links--;
    if (given != NULL) {
        struct smf__disk_inode *replaced =
            smf__disk_names_find(&world->live, given->folder, given->name);

        if (replaced != NULL)
            replaced->links--;
        given->child->links++;
    }
    smf__disk_names_apply(&world->live, change);
}

static int walk(const struct smf__disk_world *world, const char *path, struct smf__disk_name *where)
{
    return smf__disk_names_walk(&world->live, world->root, path, where);
}

/* A name that can be given to something new. */
static int walk_to_new(const struct smf__disk_world *world, const char *path,
                       struct smf__disk_name *where)
{
    int problem = walk(world, path, where);

    if (problem != 0)
        return problem;
    return where->child != NULL ? -EEXIST : 0;
}

static int64_t end_open(struct smf__disk_world *world, const struct smf__disk_op *op,
                        struct smf__disk_world_io *io)
{
    struct smf__disk_name where;
    int problem = walk(world, op->path, &where);

    if (problem != 0)
        return problem;
    if (where.child == NULL && (op->flags & SMF__DISK_CREATE) == 0)
        return -ENOENT;
    if (where.child != NULL && where.child->is_folder)
        return -EISDIR;
    if (where.child != NULL && (op->flags & SMF__DISK_CREATE) != 0 &&
        (op->flags & SMF__DISK_EXCLUSIVE) != 0)
        return -EEXIST;
    if (where.child == NULL) {
        where.child = new_inode(world, 0);
        note_change(world, NULL, &where);
    }
    if ((op->flags & SMF__DISK_LOCK) != 0) {
        if (where.child->locked)
            return -EBUSY;
        where.child->locked = 1;
    }
    where.child->opens++;
    io->inode = where.child;
    return (int64_t)where.child->live_size;
}

static int64_t end_unlink(struct smf__disk_world *world, const struct smf__disk_op *op)
{
    struct smf__disk_name where;
    int problem = walk(world, op->path, &where);
    int folder = op->kind == SMF__DISK_DROP_FOLDER;

    if (problem != 0)
        return problem;
    if (where.child == NULL)
        return -ENOENT;
    if (where.folder == NULL)
        return -EBUSY;
    if (where.child->is_folder != folder)
        return folder ? -ENOTDIR : -EISDIR;
    if (folder && !smf__disk_names_empty(&world->live, where.child))
        return -ENOTEMPTY;
    note_change(world, &where, NULL);
    return 0;
}

static int64_t end_rename(struct smf__disk_world *world, const struct smf__disk_op *op)
{
    struct smf__disk_name from, to;
    int problem = walk(world, op->path, &from);

    if (problem == 0)
        problem = walk(world, op->path_to, &to);
    if (problem != 0)
        return problem;
    if (from.child == NULL)
        return -ENOENT;
    if (from.folder == NULL || to.folder == NULL)
        return -EBUSY;
    if (from.child == to.child)
        return 0;
    if (to.child != NULL && to.child->is_folder != from.child->is_folder)
        return to.child->is_folder ? -EISDIR : -ENOTDIR;
    if (to.child != NULL && to.child->is_folder && !smf__disk_names_empty(&world->live, to.child))
        return -ENOTEMPTY;
    to.child = from.child;
    note_change(world, &from, &to);
    return 0;
}

static int64_t end_make_folder(struct smf__disk_world *world, const struct smf__disk_op *op)
{
    struct smf__disk_name where;
    int problem = walk_to_new(world, op->path, &where);

    if (problem != 0)
        return problem;
    where.child = new_inode(world, 1);
    note_change(world, NULL, &where);
    return 0;
}

/* Names that changed in this folder before the sync began; a move between two folders is durable when
 * both are synced. */
static int64_t end_sync_folder(struct smf__disk_world *world, const struct smf__disk_op *op,
                               uint64_t ordinal)
{
    struct smf__disk_name where;
    int problem = walk(world, op->path, &where);
    uint32_t kept = 0;

    if (problem != 0)
        return problem;
    if (where.child == NULL || !where.child->is_folder)
        return where.child == NULL ? -ENOENT : -ENOTDIR;
    for (uint32_t i = 0; i < world->change_count; i++) {
        struct smf__disk_change *change = &world->changes[i];

        if (change->ended < ordinal) {
            change->gone_synced |= change->gone.folder == where.child;
            change->given_synced |= change->given.folder == where.child;
        }
        if (change->gone_synced && change->given_synced)
            smf__disk_names_apply(&world->durable, change);
        else
            world->changes[kept++] = *change;
    }
    world->change_count = kept;
    return 0;
}

static int64_t end_write(struct smf__disk_world *world, const struct smf__disk_op *op,
                         struct smf__disk_world_io *io)
{
    struct smf__disk_record *record = io->record;

    if (op->kind == SMF__DISK_WRITE)
        smf__check(memcmp(record->bytes, op->data, record->size) == 0); /* it stayed as it was */
    smf__disk_inode_seen(io->inode, record, ++world->ordinal);
    if (op->kind == SMF__DISK_ZERO && op->offset + op->size > io->inode->live_size)
        smf__disk_inode_resize(io->inode, op->offset + op->size, ++world->ordinal);
    if (op->kind == SMF__DISK_ZERO)
        smf__disk_inode_flush(io->inode, ++world->ordinal);
    else if ((op->flags & SMF__DISK_DURABLE) != 0)
        smf__disk_inode_settle(io->inode, record);
    return (int64_t)op->size;
}

static int64_t end_read(struct smf__disk_world *world, const struct smf__disk_op *op,
                        const struct smf__disk_world_io *io)
{
    uint64_t size = io->inode->live_size > op->offset ? io->inode->live_size - op->offset : 0;

    size = size < op->size ? size : op->size;
    smf__disk_inode_read(io->inode, op->offset, size, op->data, &world->random);
    return (int64_t)size;
}

/* In an order that nobody may rely on. */
static int64_t end_list(struct smf__disk_world *world, struct smf__disk_op *op)
{
    struct smf__disk_name where;
    int problem = walk(world, op->path, &where);
    uint32_t count = world->live.count;
    uint32_t from = count > 0 ? (uint32_t)smf__random_below(&world->random, count) : 0;

    if (problem != 0)
        return problem;
    if (where.child == NULL || !where.child->is_folder)
        return where.child == NULL ? -ENOENT : -ENOTDIR;
    for (uint32_t i = 0; i < count; i++) {
        const struct smf__disk_name *name = &world->live.list[(from + i) % count];
        uint64_t length = strlen(name->name), needed = length + (name->child->is_folder ? 2 : 1);

        if (name->folder != where.child)
            continue;
        if (op->done + needed <= op->size) {
            uint8_t *to = (uint8_t *)op->data + op->done;

            memcpy(to, name->name, length);
            memcpy(to + length, name->child->is_folder ? "/" : "", needed - length);
        }
        op->done += needed;
    }
    return op->done <= op->size ? (int64_t)op->done : -E2BIG;
}

static int64_t end_stat(const struct smf__disk_world *world, struct smf__disk_op *op)
{
    struct smf__disk_name where;
    int problem = walk(world, op->path, &where);

    if (problem != 0)
        return problem;
    if (where.child == NULL)
        return -ENOENT;
    op->is_folder = where.child->is_folder;
    return (int64_t)where.child->live_size;
}

static int64_t end_close(const struct smf__disk_op *op, struct smf__disk_world_io *io)
{
    io->inode->opens--;
    if (op->file != NULL && op->file->locked)
        io->inode->locked = 0;
    return 0;
}

static int64_t end_well(struct smf__disk_world *world, struct smf__disk_op *op,
                        struct smf__disk_world_io *io)
{
    switch (op->kind) {
    case SMF__DISK_OPEN:
        return end_open(world, op, io);
    case SMF__DISK_CLOSE:
        return end_close(op, io);
    case SMF__DISK_READ:
        return end_read(world, op, io);
    case SMF__DISK_WRITE:
    case SMF__DISK_ZERO:
        return end_write(world, op, io);
    case SMF__DISK_FLUSH:
        smf__disk_inode_flush(io->inode, io->ordinal);
        return 0;
    case SMF__DISK_TRUNCATE:
        smf__disk_inode_resize(io->inode, op->size, ++world->ordinal);
        return 0;
    case SMF__DISK_RECYCLE:
        smf__disk_inode_recycle(io->inode);
        return 0;
    case SMF__DISK_STAT:
        return end_stat(world, op);
    case SMF__DISK_LIST:
        return end_list(world, op);
    case SMF__DISK_RENAME:
        return end_rename(world, op);
    case SMF__DISK_UNLINK:
    case SMF__DISK_DROP_FOLDER:
        return end_unlink(world, op);
    case SMF__DISK_MAKE_FOLDER:
        return end_make_folder(world, op);
    default:
        return end_sync_folder(world, op, io->ordinal);
    }
}

/* What it leaves behind when it fails. A device that failed may have done what it was told. */
static void end_badly(struct smf__disk_world *world, const struct smf__disk_op *op,
                      struct smf__disk_world_io *io, int os_errno)
{
    struct smf__disk_record *record = io->record;

    if (op->kind == SMF__DISK_RENAME && os_errno == EIO &&
        smf__random_below(&world->random, 2) == 0)
        (void)end_rename(world, op);
    if (op->kind == SMF__DISK_FLUSH)
        smf__disk_inode_abandon(io->inode, io->ordinal);
    if (record == NULL)
        return;
    record->abandoned = 1;
    for (uint64_t i = 0; i < record->size / SMF__DISK_SECTOR_BYTES; i++)
        record->alive[i] = smf__random_below(&world->random, 2) != 0;
    record->ended = ++world->ordinal;
    for (uint64_t i = 0; i < record->size / SMF__DISK_SECTOR_BYTES; i++) {
        uint64_t at = i * SMF__DISK_SECTOR_BYTES;

        if (record->alive[i])
            smf__disk_image_write(&io->inode->live, record->offset + at, SMF__DISK_SECTOR_BYTES,
                                  record->bytes != NULL ? record->bytes + at : NULL);
    }
}

int64_t smf__disk_world_end(struct smf__disk_world *world, struct smf__disk_op *op,
                            struct smf__disk_world_io *io, int problem)
{
    if (step(world, op))
        return -ESHUTDOWN;
    if (problem == 0)
        problem = -fault_for(world, op->kind);
    if (problem == 0)
        return end_well(world, op, io);
    end_badly(world, op, io, -problem);
    return problem;
}

uint64_t smf__disk_world_size(const struct smf__disk_inode *inode)
{
    return inode->live_size;
}

uint64_t smf__disk_world_draw(struct smf__disk_world *world, uint64_t bound)
{
    return smf__random_below(&world->random, bound);
}

/* --- power cuts --- */

static uint32_t record_count(const struct smf__disk_inode *inode)
{
    uint32_t count = 0;

    for (const struct smf__disk_record *record = inode->first; record != NULL;
         record = record->next)
        count++;
    return count;
}

uint32_t smf__disk_world_unflushed(const struct smf__disk_world *world)
{
    uint32_t count = world->change_count;

    for (const struct smf__disk_inode *inode = world->inodes; inode != NULL; inode = inode->next)
        count += record_count(inode);
    return count;
}

struct cutter {
    const struct smf__disk_cut *cut;
    struct smf__random random;
    uint32_t index; /* of the next unflushed thing */
};

enum fate { LOST, KEPT, TORN };

static enum fate decide(struct cutter *cutter)
{
    uint32_t index = cutter->index++;
    uint64_t coin = smf__random_below(&cutter->random, cutter->cut->torn ? 3 : 2);

    if (cutter->cut->kept == NULL)
        return coin == 0 ? LOST : coin == 1 ? KEPT : TORN;
    if (!cutter->cut->kept[index])
        return LOST;
    return cutter->cut->torn ? TORN : KEPT;
}

static struct smf__disk_inode *cut_inode(struct smf__disk_world *after,
                                         const struct smf__disk_inode *inode, struct cutter *cutter)
{
    struct smf__disk_inode *copy = new_inode(after, inode->is_folder);

    copy->durable_size = inode->durable_size;
    smf__disk_image_copy(&copy->durable, &inode->durable);
    smf__disk_image_copy(&copy->before, &inode->before);
    for (const struct smf__disk_record *record = inode->first; record != NULL;
         record = record->next) {
        enum fate fate = decide(cutter);

        if (fate != LOST)
            smf__disk_inode_apply(copy, record, fate == TORN ? &cutter->random : NULL);
    }
    smf__disk_image_cut(&copy->durable, copy->durable_size);
    smf__disk_image_copy(&copy->live, &copy->durable);
    copy->live_size = copy->durable_size;
    copy->acked_sectors = copy->durable_size / SMF__DISK_SECTOR_BYTES;
    if (copy->acked_sectors > inode->acked_sectors)
        copy->acked_sectors = inode->acked_sectors;
    if (copy->acked_sectors > 0) {
        copy->acked = smf__disk_must(malloc(copy->acked_sectors));
        memcpy(copy->acked, inode->acked, copy->acked_sectors);
    }
    return copy;
}

/* The durable names, with those changes that the cut keeps. */
static void cut_names(struct smf__disk_world *after, const struct smf__disk_world *world,
                      struct cutter *cutter)
{
    struct smf__disk_names *names = &after->durable;

    for (uint32_t i = 0; i < world->durable.count; i++)
        smf__disk_names_add(names, &world->durable.list[i]);
    for (uint32_t i = 0; i < world->change_count; i++) {
        if (decide(cutter) != LOST)
            smf__disk_names_apply(names, &world->changes[i]);
    }
    for (uint32_t i = 0; i < names->count; i++) {
        names->list[i].folder = names->list[i].folder->copy;
        names->list[i].child = names->list[i].child->copy;
        names->list[i].child->links++;
    }
    for (uint32_t i = 0; i < names->count; i++)
        smf__disk_names_add(&after->live, &names->list[i]);
}

struct smf__disk_world *smf__disk_world_cut(const struct smf__disk_world *world,
                                            const struct smf__disk_cut *cut)
{
    struct smf__disk_world *after = smf__disk_must(calloc(1, sizeof *after));
    struct cutter cutter = {.cut = cut};

    smf__random_seed(&cutter.random, cut->seed);
    after->limit_bytes = world->limit_bytes;
    after->halt_at = UINT64_MAX;
    for (struct smf__disk_inode *inode = world->inodes; inode != NULL; inode = inode->next)
        inode->copy = cut_inode(after, inode, &cutter);
    after->root = after->inodes;
    cut_names(after, world, &cutter);
    after->random = cutter.random;
    return after;
}

/* --- what wears out --- */

static struct smf__disk_inode *file_at(const struct smf__disk_world *world, const char *path)
{
    struct smf__disk_name where;

    if (walk(world, path, &where) != 0 || where.child == NULL || where.child->is_folder)
        return NULL;
    return where.child;
}

static void put_both(struct smf__disk_inode *inode, uint64_t offset, uint64_t size,
                     const uint8_t *bytes)
{
    smf__disk_image_write(&inode->live, offset, size, bytes);
    smf__disk_image_write(&inode->durable, offset, size, bytes);
}

static void make_stale(struct smf__disk_inode *inode, uint64_t offset)
{
    uint8_t sector[SMF__DISK_SECTOR_BYTES];

    smf__disk_image_read(&inode->before, offset, sizeof sector, sector);
    put_both(inode, offset, sizeof sector, sector);
}

static void misdirect(struct smf__disk_inode *inode, uint64_t offset, uint64_t to)
{
    uint8_t sector[SMF__DISK_SECTOR_BYTES];

    smf__disk_image_read(&inode->live, offset, sizeof sector, sector);
    put_both(inode, to, sizeof sector, sector);
    make_stale(inode, offset);
}

int smf__disk_world_damage(struct smf__disk_world *world, const char *path, uint32_t kind,
                           uint64_t offset, uint64_t size, uint64_t to)
{
    struct smf__disk_inode *inode = file_at(world, path);
    uint8_t byte;

    if (inode == NULL)
        return SMF_ENOTFOUND;
    if (kind == SMF__DISK_FLIP) {
        smf__disk_image_read(&inode->live, offset, 1, &byte);
        byte ^= (uint8_t)(1u << (to & 7));
        put_both(inode, offset, 1, &byte);
        return SMF_OK;
    }
    if (kind == SMF__DISK_WIPE)
        put_both(inode, offset, size, NULL);
    for (uint64_t at = 0; at < size; at += SMF__DISK_SECTOR_BYTES) {
        if (kind == SMF__DISK_STALE)
            make_stale(inode, offset + at);
        else if (kind == SMF__DISK_MISDIRECT)
            misdirect(inode, offset + at, to + at);
    }
    return SMF_OK;
}

int64_t smf__disk_world_peek(const struct smf__disk_world *world, const char *path, uint64_t offset,
                             uint64_t size, void *data)
{
    const struct smf__disk_inode *inode = file_at(world, path);

    if (inode == NULL)
        return SMF_ENOTFOUND;
    if (offset >= inode->live_size)
        return 0;
    size = size < inode->live_size - offset ? size : inode->live_size - offset;
    smf__disk_image_read(&inode->live, offset, size, data);
    return (int64_t)size;
}
