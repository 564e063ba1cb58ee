/* Segments that are no part of the log any more: their files are used again, or removed. */
#include <stdlib.h>

#include "wal/wal_make.h"

/* One step after the other. Where one fails the file stays as it is: the next open removes it. */
struct disposal {
    struct smf__wal_io io;
    struct smf__wal_segment *segment;
    int keep; /* it becomes a spare */
    int renamed, synced, unlinked;
    char path[SMF__DISK_PATH_MAX_BYTES], new_path[SMF__DISK_PATH_MAX_BYTES];
};

static void go_on(struct disposal *disposal);

/* A file that is to be used again: writable, with all the room that a segment needs, and wanted. */
static int is_worth_it(const struct smf__wal_segment *segment)
{
    const struct smf__wal_part *part = segment->part;
    return part->topic != NULL && part->status == SMF_OK && !part->wal->closing &&
           part->spare_count + part->disposing < SMF__WAL_SPARES_MAX &&
           segment->size_bytes >= smf__wal_segment_bytes(part) &&
           segment->header.block_bytes == part->wal->block_bytes;
}

static void forget(struct smf__wal_segment *segment)
{
    free(segment->waypoints);
    free(segment);
}

static void end(struct disposal *disposal)
{
    disposal->segment->part->disposing--;
    forget(disposal->segment);
    free(disposal);
}

static void step_done(struct smf__wal_io *io)
{
    struct disposal *disposal = io->owner;
    struct smf__wal_segment *segment = disposal->segment;
    if (io->op.kind == SMF__DISK_CLOSE) {
        segment->file = NULL;
    } else if (io->op.status != SMF_OK) {
        disposal->keep = 0;
        disposal->unlinked = 1; /* as far as this process cares */
    }
    if (io->op.kind == SMF__DISK_OPEN)
        segment->file = io->op.file;
    disposal->renamed |= io->op.kind == SMF__DISK_RENAME;
    disposal->synced |= io->op.kind == SMF__DISK_SYNC_FOLDER;
    disposal->unlinked |= io->op.kind == SMF__DISK_UNLINK;
    go_on(disposal);
}

static void step(struct disposal *disposal, uint32_t kind, const char *path)
{
    disposal->io = (struct smf__wal_io){
        .op = {.kind = kind,
               .file = kind == SMF__DISK_CLOSE ? disposal->segment->file : NULL,
               .path = path,
               .path_to = disposal->new_path},
        .done = step_done,
        .owner = disposal,
    };
    smf__wal_queue(disposal->segment->part->wal, &disposal->io);
}

/* Its new name is durable before its block 0 is overwritten: else it would come back as another file. */
static void go_on(struct disposal *disposal)
{
    struct smf__wal_segment *segment = disposal->segment;
    struct smf__wal_part *part = segment->part;
    int reopen = segment->file != NULL && segment->file->read_only;
    if (segment->file != NULL && (!disposal->keep || reopen)) {
        step(disposal, SMF__DISK_CLOSE, NULL);
    } else if (!disposal->keep) {
        if (disposal->unlinked)
            end(disposal);
        else
            step(disposal, SMF__DISK_UNLINK, disposal->path);
    } else if (!disposal->renamed) {
        step(disposal, SMF__DISK_RENAME, disposal->path);
    } else if (segment->file == NULL) {
        step(disposal, SMF__DISK_OPEN, disposal->new_path);
    } else if (!disposal->synced) {
        step(disposal, SMF__DISK_SYNC_FOLDER, part->folder);
    } else {
        part->spares[part->spare_count] = segment->file;
        part->spare[part->spare_count++] =
            (struct smf__wal_spare){segment->header.number, segment->header.id};
        end(disposal);
    }
}

/* Closes its file; the segment stays until done. */
static void queue_close(struct smf__wal_segment *segment, void (*done)(struct smf__wal_io *io))
{
    segment->part->closing++;
    segment->close = (struct smf__wal_io){
        .op = {.kind = SMF__DISK_CLOSE, .file = segment->file},
        .done = done,
        .owner = segment,
    };
    segment->file = NULL;
    smf__wal_queue(segment->part->wal, &segment->close);
}

static void given_up(struct smf__wal_io *io)
{
    struct smf__wal_segment *segment = io->owner;
    segment->part->closing--;
    forget(segment);
}

/* Without memory for more: the file is closed, and stays until the next open. */
static void give_up(struct smf__wal_segment *segment)
{
    if (segment->file == NULL) {
        forget(segment);
        return;
    }
    queue_close(segment, given_up);
}

static void dispose(struct smf__wal_segment *segment)
{
    struct disposal *disposal = calloc(1, sizeof *disposal);
    smf__wal_buffers_forget(segment->part->wal, segment);
    if (disposal == NULL) {
        give_up(segment);
        return;
    }
    disposal->segment = segment;
    disposal->keep = is_worth_it(segment);
    segment->part->disposing++;
    smf__wal_segment_path(segment, disposal->path);
    smf__wal_new_path(segment->part, segment->header.number, disposal->new_path);
    go_on(disposal);
}

static void close_done(struct smf__wal_io *io)
{
    struct smf__wal_segment *segment = io->owner;
    segment->part->closing--;
    smf__wal_segment_release(segment);
}

/* An old segment, for which nobody has any use now: there may be more of them than files can be open. */
static void close_file(struct smf__wal_segment *segment)
{
    segment->holds++;
    queue_close(segment, close_done);
}

void smf__wal_segment_release(struct smf__wal_segment *segment)
{
    smf__check(segment->holds > 0);
    if (--segment->holds > 0)
        return;
    if (segment->gone)
        dispose(segment);
    else if (segment != segment->part->last && segment->file != NULL)
        close_file(segment);
}

void smf__wal_segment_drop(struct smf__wal_segment *segment)
{
    struct smf__wal_part *part = segment->part;
    smf__check(!segment->gone);
    if (segment->previous != NULL)
        segment->previous->next = segment->next;
    else
        part->first = segment->next;
    if (segment->next != NULL)
        segment->next->previous = segment->previous;
    else
        part->last = segment->previous;
    segment->next = segment->previous = NULL;
    segment->gone = 1;
    if (segment->holds == 0)
        dispose(segment);
}
