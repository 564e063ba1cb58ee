/* The next file of a partition: one step after the other, each of them an operation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_make.h"

#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"

#define HEAD_ALIGN_BYTES SMF__WAL_BLOCK_MAX_BYTES /* of memory, whatever the disk wants */

struct smf__wal_making {
    struct smf__wal_io io;
    struct smf__wal_part *part;
    struct smf__disk_file *file;
    uint32_t number;    /* in the name of the file until it has its own */
    uint64_t id_before; /* that its blocks were written under; 0: they are zero */
    uint64_t room_bytes, capacity_bytes;
    int busy; /* an operation is under way */
    int begun;
    struct smf__wal_cut cut;
    /* What has been done. */
    int emptied, recycled, written, renamed, synced;
    int status; /* it failed: only cleaning up is left */
    int closed;

    struct smf__wal_segment *segment; /* once it is begun */
    struct smf__wal_mark end;         /* behind its state batch */
    uint8_t *head;                    /* block 0 and the state batch */
    uint64_t head_bytes;
    char path[SMF__DISK_PATH_MAX_BYTES], path_to[SMF__DISK_PATH_MAX_BYTES];
};

static void go_on(struct smf__wal_making *making);

void smf__wal_new_path(const struct smf__wal_part *part, uint32_t number, char *path_out)
{
    snprintf(path_out, SMF__DISK_PATH_MAX_BYTES, "%.*s/%010u.new",
             (int)(SMF__DISK_PATH_MAX_BYTES - 32), part->folder, number);
}

static void drop_making(struct smf__wal_making *making)
{
    struct smf__wal_part *part = making->part;
    if (making->segment != NULL && making->segment != part->last) {
        free(making->segment->waypoints);
        free(making->segment);
    }
    free(making->head);
    free(making);
    part->making = NULL;
    part->wal->ended++; /* of all steps the only end that an append waits for */
    smf__wal_touch(part);
}

/* --- what it begins with -------------------------------------------------------------------------- */

static void fill_header(struct smf__wal_making *making, struct smf__wal_file *header)
{
    struct smf__wal_part *part = making->part;
    struct smf__wal *wal = part->wal;
    const struct smf__wal_cut *cut = &making->cut;
    const struct smf__wal_topic *topic = &part->topic->config;
    if (part->next_number == 0)
        part->next_number = 1;
    *header = (struct smf__wal_file){
        .kind = SMF__WAL_FILE_SEGMENT,
        .block_bytes = wal->block_bytes,
        .number = part->next_number++,
        .partition = part->number,
        .topic_id = topic->topic_id,
        .first_offset = cut->offset,
        .topic_name_size = topic->name_size,
        .created_us = smf__wal_wall_us(wal),
    };
    memcpy(header->topic_name, topic->name, topic->name_size);
    do
        header->id = smf__random_next(&wal->random);
    while (!smf__wal_id_ok(header->id, making->id_before));
    if (cut->behind != NULL) {
        header->follows = smf__wal_place(cut->behind->header.number, cut->end);
        header->follows_crc = cut->crc;
        header->durable_before =
            part->durable.place < header->follows ? part->durable.place : header->follows;
    }
}

/* The state batch behind block 0: what the partition is. Returns where it ends, or 0. */
static uint64_t write_state(struct smf__wal_making *making)
{
    struct smf__wal_segment *segment = making->segment;
    uint64_t position = segment->header.block_bytes;
    uint8_t *at = making->head + position, *body = at + SMF__WAL_BATCH_HEADER_BYTES;
    uint32_t size = smf__wal_topic_write(&making->part->topic->config, body);
    struct smf__wal_batch batch = {
        .body_crc = smf__crc32c(0, body, size),
        .body_bytes = size,
        .plain_bytes = size,
        .kind = SMF__WAL_STATE,
        .prev_crc = segment->header.follows_crc,
        .first_offset = segment->header.first_offset,
        .base_us = segment->header.created_us,
        .max_us = segment->header.created_us,
        .durable_before = segment->header.durable_before,
    };
    if (smf__wal_batch_encode(&batch, &segment->header, position, at) != SMF__WAL_GOOD)
        return 0;
    segment->end = position + smf__wal_batch_bytes(&batch);
    segment->scan.end = segment->state_end = segment->end;
    segment->scan.prev_crc = segment->state_crc = batch.header_crc;
    (void)smf__wal_index_add(segment, &batch, position);
    making->end = (struct smf__wal_mark){smf__wal_place(segment->header.number, segment->end),
                                         segment->header.first_offset, batch.header_crc};
    return segment->end;
}

/* Its header, its first bytes and its name. Returns 0 or a status. */
static int build(struct smf__wal_making *making)
{
    struct smf__wal_part *part = making->part;
    struct smf__wal_segment *segment = calloc(1, sizeof *segment);
    uint64_t block = part->wal->block_bytes;
    uint64_t most =
        block + smf__round_up(SMF__WAL_BATCH_HEADER_BYTES + SMF__WAL_ITEM_WRITTEN_MAX_BYTES, block);
    making->segment = segment;
    making->head = aligned_alloc(HEAD_ALIGN_BYTES, smf__round_up(most, HEAD_ALIGN_BYTES));
    if (segment == NULL || making->head == NULL)
        return SMF_ENOMEM;
    memset(making->head, 0, most);
    segment->part = part;
    fill_header(making, &segment->header);
    if (smf__wal_file_encode(&segment->header, making->head) != SMF__WAL_GOOD)
        return SMF_EINVAL;
    segment->file = making->file;
    segment->size_bytes = making->file->size_bytes;
    segment->capacity_bytes = making->capacity_bytes;
    segment->end_offset = segment->header.first_offset;
    segment->known_from = block;
    segment->max_us = INT64_MIN;
    smf__wal_scan_begin(&segment->scan, &segment->header);
    if (write_state(making) == 0)
        return SMF_EINVAL;
    making->head_bytes = smf__round_up(segment->end, block);
    smf__wal_segment_path(segment, making->path_to);
    return SMF_OK;
}

/* --- steps ---------------------------------------------------------------------------------------- */

/* It is part of the log. */
static void finish(struct smf__wal_making *making)
{
    struct smf__wal_part *part = making->part;
    struct smf__wal_segment *segment = making->segment, *behind = making->cut.behind;
    if (behind != NULL) {
        while (part->last != behind) /* what was cut */
            smf__wal_segment_drop(part->last);
        behind->end = making->cut.end;
        behind->end_offset = making->cut.offset;
        behind->sealed = 1;
        behind->next = segment;
    } else {
        part->first = segment;
    }
    segment->previous = behind;
    part->last = segment;
    part->next_offset = making->end.offset;
    part->prev_crc = making->end.crc;
    part->buffered = making->end;
    part->said_durable = segment->header.durable_before;
    if (behind != NULL) { /* close it, unless somebody still uses it */
        behind->holds++;
        smf__wal_segment_release(behind);
    }
    if (making->cut.is_cut)
        part->written = part->durable = part->buffered;
    drop_making(making);
}

static void fail(struct smf__wal_making *making, int status)
{
    making->status = status;
    smf__wal_room_failed(making->part, status, !making->begun);
}

/* A name that may be there and may not be durable: what is appended behind the old file's end would not
 * count then. A block 0 that was not written is like any write that failed. */
static int is_fatal(const struct smf__disk_op *op)
{
    return op->kind == SMF__DISK_WRITE || op->kind == SMF__DISK_SYNC_FOLDER ||
           (op->kind == SMF__DISK_RENAME && !smf__wal_no_space(op->status));
}

static void step_failed(struct smf__wal_making *making, const struct smf__disk_op *op)
{
    struct smf__wal_part *part = making->part;
    uint64_t least = making->capacity_bytes < SMF__DISK_ZERO_STEP_BYTES ? making->capacity_bytes
                                                                        : SMF__DISK_ZERO_STEP_BYTES;
    if (op->kind == SMF__DISK_ZERO && smf__wal_no_space(op->status) && making->room_bytes > least &&
        making->file->size_bytes < least) {
        making->room_bytes = least;
        return;
    }
    if (making->begun && is_fatal(op)) {
        char text[SMF_ERROR_TEXT_SIZE_BYTES];
        snprintf(
            text, sizeof text,
            "a new file in %.80s could not be begun (%s: %s); nothing is appended any more: look "
            "at the device, close the log and open it again",
            part->folder, smf__disk_kind_name(op->kind), smf_status_name(op->status));
        smf__wal_fence(part, SMF_EIO, text);
    }
    fail(making, op->status);
}

static void step_done(struct smf__wal_io *io)
{
    struct smf__wal_making *making = io->owner;
    making->busy = 0;
    if (io->op.kind == SMF__DISK_CLOSE) {
        making->file = NULL;
        making->closed = 1;
    } else if (io->op.kind == SMF__DISK_UNLINK) {
        drop_making(making);
        return;
    } else if (io->op.status != SMF_OK) {
        step_failed(making, &io->op);
    }
    if (io->op.status == SMF_OK) {
        if (io->op.kind == SMF__DISK_OPEN)
            making->file = io->op.file;
        making->emptied |= io->op.kind == SMF__DISK_TRUNCATE;
        making->recycled |= io->op.kind == SMF__DISK_RECYCLE;
        making->written |= io->op.kind == SMF__DISK_WRITE;
        making->renamed |= io->op.kind == SMF__DISK_RENAME;
        making->synced |= io->op.kind == SMF__DISK_SYNC_FOLDER;
    }
    go_on(making);
}

static void step(struct smf__wal_making *making, const struct smf__disk_op *op)
{
    making->busy = 1;
    making->io = (struct smf__wal_io){.op = *op, .done = step_done, .owner = making, .quiet = 1};
    making->io.op.file = making->file;
    making->io.op.path = making->path;
    smf__wal_queue(making->part->wal, &making->io);
}

/* Gives the file back, and what it took of the disk; unless it has its name: that is for the next open. */
static void clean_up(struct smf__wal_making *making)
{
    if (making->file != NULL)
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_CLOSE});
    else if (making->closed && !making->renamed)
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_UNLINK});
    else
        drop_making(making);
}

/* Into the log: from a file with enough room. */
static void go_in(struct smf__wal_making *making)
{
    if (making->id_before != 0 && !making->recycled) {
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_RECYCLE});
    } else if (!making->written) {
        int status = build(making);
        if (status != SMF_OK) {
            fail(making, status);
            clean_up(making);
            return;
        }
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                            .flags = SMF__DISK_DURABLE,
                                            .size = making->head_bytes,
                                            .data = making->head});
    } else if (!making->renamed) {
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_RENAME, .path_to = making->path_to});
    } else if (!making->synced) {
        snprintf(making->path, sizeof making->path, "%s", making->part->folder);
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_SYNC_FOLDER});
    } else {
        finish(making);
    }
}

static void go_on(struct smf__wal_making *making)
{
    if (making->status == SMF_OK && !making->renamed && making->part->status != SMF_OK)
        making->status = making->part->status;
    if (making->status != SMF_OK)
        clean_up(making);
    else if (making->file == NULL)
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_OPEN, .flags = SMF__DISK_CREATE});
    else if (making->id_before == 0 && !making->emptied && making->file->size_bytes > 0)
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_TRUNCATE}); /* left by a crash */
    else if (making->file->size_bytes < making->room_bytes) {
        making->emptied = 1;
        step(making, &(struct smf__disk_op){.kind = SMF__DISK_ZERO,
                                            .offset = making->file->size_bytes,
                                            .size = making->room_bytes - making->file->size_bytes});
    } else if (making->begun)
        go_in(making);
}

/* A batch that is larger than a segment gets one of its own. */
static void set_room(struct smf__wal_making *making)
{
    struct smf__wal_part *part = making->part;
    uint64_t step_bytes = smf__wal_room_step(part), block = part->wal->block_bytes;
    uint64_t need =
        2 * block +
        smf__round_up(SMF__WAL_BATCH_HEADER_BYTES + SMF__WAL_ITEM_WRITTEN_MAX_BYTES, block) +
        part->room_need;
    making->capacity_bytes = smf__wal_segment_bytes(part);
    if (making->capacity_bytes < need)
        making->capacity_bytes = smf__round_up(need, SMF__WAL_BLOCK_MAX_BYTES);
    making->room_bytes = step_bytes < making->capacity_bytes ? step_bytes : making->capacity_bytes;
}

int smf__wal_make(struct smf__wal_part *part)
{
    struct smf__wal_making *making = calloc(1, sizeof *making);
    if (making == NULL)
        return SMF_ENOMEM;
    making->part = part;
    part->making = making;
    if (part->next_number == 0)
        part->next_number = 1;
    making->number = part->next_number;
    if (part->spare_count > 0) {
        part->spare_count--;
        making->file = part->spares[part->spare_count];
        making->number = part->spare[part->spare_count].number;
        making->id_before = part->spare[part->spare_count].id;
    }
    set_room(making);
    smf__wal_new_path(part, making->number, making->path);
    go_on(making);
    return SMF_OK;
}

void smf__wal_make_begin(struct smf__wal_part *part, const struct smf__wal_cut *cut)
{
    struct smf__wal_making *making = part->making;
    if (making->begun || making->status != SMF_OK)
        return;
    making->begun = 1;
    making->cut = *cut;
    if (!cut->is_cut) {
        making->cut.end = cut->behind != NULL ? cut->behind->end : 0;
        making->cut.crc = part->prev_crc;
        making->cut.offset = part->next_offset;
    }
    set_room(making);
    part->room_need = 0;
    if (!making->busy)
        go_on(making);
}

int smf__wal_make_begun(const struct smf__wal_part *part)
{
    return part->making != NULL && part->making->begun;
}

int smf__wal_make_failed(const struct smf__wal_part *part)
{
    return part->making != NULL && part->making->status != SMF_OK;
}

void smf__wal_segments_close(struct smf__wal_part *part)
{
    struct smf__wal_making *making = part->making;
    part->held = 1; /* no other one is made */
    if (making != NULL && !making->begun) {
        making->status = SMF_ECLOSED;
        if (!making->busy)
            clean_up(making);
    }
    while (part->making != NULL || part->disposing > 0 || part->closing > 0 || part->zeroing ||
           part->is_waking || part->writes > 0 || part->flushing)
        smf__wal_wait(part->wal);
    while (part->spare_count > 0) {
        char path[SMF__DISK_PATH_MAX_BYTES];
        part->spare_count--;
        smf__wal_new_path(part, part->spare[part->spare_count].number, path);
        struct smf__disk_op op = {.kind = SMF__DISK_CLOSE, .file = part->spares[part->spare_count]};
        (void)smf__wal_run(part->wal, &op);
        op = (struct smf__disk_op){.kind = SMF__DISK_UNLINK, .path = path};
        (void)smf__wal_run(part->wal, &op);
    }
}
