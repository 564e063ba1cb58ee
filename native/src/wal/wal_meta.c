/* Changes of META, and its next version. */
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_look.h"
#include "wal/wal_make.h"
#include "wal/wal_office.h"

#define META_GROWN_BYTES (1u << 20)  /* before that it is not worth the while */
#define META_GROWN_TIMES 4u          /* what still counts */
#define META_MAX_BYTES (1ull << 30)  /* of the file: then it has to be written anew first */
#define META_BODY_BYTES (1u << 20)   /* of a batch of the next version */
#define META_ROOM_BYTES (64u << 10)  /* behind it */
#define META_RETRY_NS 10000000000ull /* after a rewriting in the background that failed */

/* --- changes -------------------------------------------------------------------------------------- */

int smf__wal_meta_has_grown(const struct smf__wal *wal)
{
    uint64_t end = smf__wal_place_position(wal->meta.buffered.place);
    return end > META_GROWN_BYTES && end / META_GROWN_TIMES > wal->meta_live_bytes;
}

static void rewrite_grown(struct smf__wal *wal);

/* One that was begun in a turn: nothing can be appended until it has ended. */
static void await_rewriting(struct smf__wal *wal)
{
    while (wal->meta_rewriting)
        smf__wal_wait(wal);
}

static int append_items(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes)
{
    int64_t now_us = smf__wal_wall_us(wal);
    struct smf__wal_append append = {
        .body = items,
        .body_bytes = size_bytes,
        .base_us = now_us,
        .max_us = now_us,
        .kind = SMF__WAL_META,
        .ack = SMF__WAL_DURABLE,
    };
    uint64_t first_offset;
    return smf__wal_append(&wal->meta, &append, &first_offset);
}

int smf__wal_meta_write(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes, int block)
{
    if (wal->options.read_only)
        return SMF_EREADONLY;
    if (wal->office != NULL)
        return smf__wal_office_write(wal, items, size_bytes, block);
    if (wal->meta.status != SMF_OK)
        return wal->meta.status;
    if (!block) {
        rewrite_grown(wal);
        int full = smf__wal_place_position(wal->meta.buffered.place) > META_MAX_BYTES;
        return wal->meta_rewriting || full ? SMF_ELIMIT : append_items(wal, items, size_bytes);
    }
    await_rewriting(wal);
    if (smf__wal_meta_has_grown(wal)) {
        int status = smf__wal_meta_rewrite(wal, NULL);
        if (status != SMF_OK && wal->meta.status != SMF_OK)
            return status; /* else it goes on in the old one */
    }
    for (;;) {
        await_rewriting(wal); /* what is appended to the old one now would not be in the new one */
        int status = append_items(wal, items, size_bytes);
        if (status != SMF_ENOMEM && status != SMF_ELIMIT)
            return status != SMF_OK ? status : smf__wal_sync(&wal->meta);
        smf__wal_wait(wal);
    }
}

int smf__wal_meta_checkpoint(struct smf__wal_part *part, int clean, int block)
{
    uint8_t item[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    struct smf__wal_checkpoint checkpoint = {
        .topic_id = part->topic->config.topic_id,
        .partition = part->number,
        .end = part->durable.place,
        .next_offset = part->durable.offset,
        .prev_crc = part->durable.crc,
        .clean = clean,
    };
    if (checkpoint.end == 0)
        return SMF_OK;
    smf__check(!clean || part->durable.place == part->buffered.place);
    uint32_t size = smf__wal_checkpoint_write(&checkpoint, item);
    smf__check(size != 0);
    int status = smf__wal_meta_write(part->wal, item, size, block);
    if (status != SMF_OK)
        return status;
    part->checkpoint = checkpoint;
    part->checkpoint_place = checkpoint.end;
    part->checkpoint_ns = part->wal->now_ns;
    if (block)
        part->clean = clean;
    return SMF_OK;
}

/* --- its next version ----------------------------------------------------------------------------- */

/* The bytes of a file that is being made. */
struct next_meta {
    struct smf__wal *wal;
    struct smf__wal_segment *segment;
    uint8_t *bytes;          /* aligned; NULL while they are only counted */
    uint64_t size, batch_at; /* where the batch begins that is being filled; 0: none */
    uint32_t prev_crc;
    uint32_t live_bytes;
};

/* Gives the batch that was filled its header. */
static void end_batch(struct next_meta *next)
{
    if (next->batch_at == 0)
        return;
    uint64_t body_at = next->batch_at + SMF__WAL_BATCH_HEADER_BYTES;
    int64_t now_us = next->segment->header.created_us;
    struct smf__wal_batch batch = {
        .body_bytes = (uint32_t)(next->size - body_at),
        .plain_bytes = (uint32_t)(next->size - body_at),
        .kind = SMF__WAL_META,
        .prev_crc = next->prev_crc,
        .base_us = now_us,
        .max_us = now_us,
    };
    if (next->bytes != NULL) {
        batch.body_crc = smf__crc32c(0, next->bytes + body_at, batch.body_bytes);
        smf__check(smf__wal_batch_encode(&batch, &next->segment->header, next->batch_at,
                                         next->bytes + next->batch_at) == SMF__WAL_GOOD);
        next->prev_crc = batch.header_crc;
    }
    next->batch_at = 0;
}

static void add_item(struct next_meta *next, const uint8_t *item, uint32_t size)
{
    smf__check(size != 0);
    if (next->batch_at != 0 && next->size - next->batch_at + size > META_BODY_BYTES)
        end_batch(next);
    if (next->batch_at == 0) {
        next->batch_at = next->size;
        next->size += SMF__WAL_BATCH_HEADER_BYTES;
    }
    if (next->bytes != NULL)
        memcpy(next->bytes + next->size, item, size);
    next->size += size;
    next->live_bytes += size;
}

static void add_part(struct next_meta *next, const struct smf__wal_part *part)
{
    uint8_t item[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    if (part->head > 0) {
        struct smf__wal_head head = {.topic_id = part->topic->config.topic_id,
                                     .partition = part->number,
                                     .offset = part->head};
        add_item(next, item, smf__wal_head_write(&head, item));
    }
    if (part->checkpoint.end != 0)
        add_item(next, item, smf__wal_checkpoint_write(&part->checkpoint, item));
}

/* Everything that counts. */
static void fill(struct next_meta *next)
{
    uint8_t item[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    next->size = next->segment->header.block_bytes;
    next->live_bytes = 0;
    for (const struct smf__wal_topic_info *topic = next->wal->topics; topic != NULL;
         topic = topic->next) {
        add_item(next, item, smf__wal_topic_write(&topic->config, item));
        for (uint32_t i = 0; i < topic->config.partitions; i++) {
            if (topic->parts[i] != NULL) /* what is read only is nobody's to write */
                add_part(next, topic->parts[i]);
        }
    }
    end_batch(next);
}

uint32_t smf__wal_meta_live(struct smf__wal *wal)
{
    struct smf__wal_segment none = {.header = {.block_bytes = SMF__WAL_BLOCK_MIN_BYTES}};
    struct next_meta next = {.wal = wal, .segment = &none};
    fill(&next);
    return next.live_bytes;
}

/* --- putting it in the place of the old one ------------------------------------------------------- */

/* One operation after the other, in turns and at the ends of operations: nobody has to wait for it. */
enum rewrite_step {
    STEP_QUIET, /* everything that was appended to the old file is durable */
    STEP_DROP,  /* what a rewriting has left that was cut off */
    STEP_OPEN,
    STEP_ZERO,
    STEP_WRITE,
    STEP_FLUSH,
    STEP_RENAME,
    STEP_SYNC,
    STEP_TAKE_OVER,
    STEP_CLOSE_OLD,
    STEP_CLOSE_NEW, /* it failed */
    STEP_GIVE_UP,
    STEP_END,
};

struct smf__wal_rewriting {
    struct smf__wal_io io;
    struct next_meta next;
    struct smf__wal_segment *old;
    uint32_t step; /* enum rewrite_step */
    int busy;      /* an operation is under way */
    int named;     /* the new file has the name, perhaps */
    uint64_t bytes, written;
    struct smf_error error; /* of the first that failed */
    int *status_out;        /* of who waits for it, or NULL */
    struct smf_error *error_out;
    char path[SMF__DISK_PATH_MAX_BYTES], path_new[SMF__DISK_PATH_MAX_BYTES];
};

/* Until the new one has its name META is as it was; then nobody knows. */
static void rewrite_failed(struct smf__wal_rewriting *rewriting)
{
    struct smf__wal *wal = rewriting->next.wal;
    if (rewriting->named && wal->meta.last != NULL)
        smf__wal_fence(&wal->meta, rewriting->error.status,
                       "which META is on the disk is not known: it could not be renamed, or its "
                       "folder not flushed; look at the device, close the log and open it again");
    wal->meta_retry_ns = wal->now_ns + META_RETRY_NS;
    rewriting->step = rewriting->next.segment->file != NULL ? STEP_CLOSE_NEW : STEP_END;
}

/* What is next after an operation. */
static void step_ended(struct smf__wal_rewriting *rewriting, const struct smf__disk_op *op)
{
    int status = op->status;
    if (rewriting->step >= STEP_CLOSE_OLD) { /* what has to be safe was flushed before */
        int leftover = rewriting->step == STEP_CLOSE_NEW && !rewriting->named;
        if (rewriting->step == STEP_CLOSE_NEW)
            rewriting->next.segment->file = NULL;
        rewriting->step = leftover ? STEP_GIVE_UP : STEP_END;
        return;
    }
    if (rewriting->step == STEP_OPEN && status == SMF_OK)
        rewriting->next.segment->file = op->file;
    if (rewriting->step == STEP_DROP && status == SMF_ENOTFOUND)
        status = SMF_OK;
    /* A device that failed may have renamed it; one without space has not. */
    rewriting->named |= rewriting->step == STEP_RENAME && !smf__wal_no_space(status);
    if (status != SMF_OK) {
        (void)smf__disk_explain(op, rewriting->path_new, &rewriting->error);
        rewrite_failed(rewriting);
        return;
    }
    if (rewriting->step == STEP_WRITE) {
        rewriting->written += op->size;
        if (rewriting->written < rewriting->bytes)
            return;
    }
    rewriting->step++;
}

static void rewrite_go_on(struct smf__wal_rewriting *rewriting);

static void rewrite_done(struct smf__wal_io *io)
{
    struct smf__wal_rewriting *rewriting = io->owner;
    rewriting->busy = 0;
    step_ended(rewriting, &io->op);
    rewrite_go_on(rewriting);
}

/* Nothing of the old file is under way any more? */
static int is_quiet(struct smf__wal *wal)
{
    struct smf__wal_part *meta = &wal->meta;
    if (meta->durable.place < meta->buffered.place) {
        if (meta->wanted_durable < meta->buffered.place) {
            meta->wanted_durable = meta->buffered.place;
            smf__wal_touch(meta);
        }
        return 0;
    }
    return !meta->zeroing && meta->writes == 0 && meta->buffers == NULL && !meta->flushing &&
           meta->fills == NULL;
}

/* The new file's bytes. */
static int fill_file(struct smf__wal_rewriting *rewriting)
{
    struct next_meta *next = &rewriting->next;
    struct smf__disk_file *file = next->segment->file;
    struct smf__wal_file *header = &next->segment->header;
    if (file->offset_align_bytes > SMF__WAL_BLOCK_MAX_BYTES)
        return smf__wal_say(
            &rewriting->error, SMF_EUNSUPPORTED,
            "%.120s is on a disk with blocks of %u bytes; %u are the most that a log can use",
            rewriting->path_new, file->offset_align_bytes, SMF__WAL_BLOCK_MAX_BYTES);
    next->wal->block_bytes = header->block_bytes = file->offset_align_bytes;
    fill(next);
    rewriting->bytes = smf__round_up(next->size, header->block_bytes);
    if (rewriting->bytes + META_ROOM_BYTES > META_MAX_BYTES)
        return smf__wal_say(&rewriting->error, SMF_ELIMIT, "META would have more than %llu bytes",
                            (unsigned long long)META_MAX_BYTES);
    next->bytes = smf__wal_aligned(file, rewriting->bytes);
    if (next->bytes == NULL)
        return smf__wal_say(&rewriting->error, SMF_ENOMEM, "no memory to write META anew");
    memset(next->bytes, 0, rewriting->bytes);
    smf__check(smf__wal_file_encode(header, next->bytes) == SMF__WAL_GOOD);
    fill(next);
    return SMF_OK;
}

/* It is META now. */
static void take_over(struct smf__wal_rewriting *rewriting)
{
    struct next_meta *next = &rewriting->next;
    struct smf__wal *wal = next->wal;
    struct smf__wal_part *meta = &wal->meta;
    struct smf__wal_segment *segment = next->segment;
    smf__check(segment->file != NULL);
    rewriting->old = meta->first;
    for (uint32_t i = 0; i < wal->buffer_count; i++) {
        if (wal->buffers[i].segment == meta->last)
            wal->buffers[i].segment = NULL;
    }
    smf__wal_scan_begin(&segment->scan, &segment->header);
    segment->scan.end = next->size;
    segment->scan.prev_crc = next->prev_crc;
    segment->known_from = segment->header.block_bytes;
    segment->max_us = INT64_MIN;
    segment->size_bytes = segment->file->size_bytes;
    segment->end = next->size;
    meta->first = meta->last = segment;
    meta->next_number = segment->header.number + 1;
    meta->prev_crc = next->prev_crc;
    meta->buffered = (struct smf__wal_mark){
        .place = smf__wal_place(segment->header.number, segment->end), .crc = next->prev_crc};
    meta->written = meta->durable = meta->buffered;
    wal->meta_live_bytes = next->live_bytes;
    next->segment = NULL;
    rewriting->step = rewriting->old != NULL ? STEP_CLOSE_OLD : STEP_END;
}

static void rewrite_end(struct smf__wal_rewriting *rewriting)
{
    struct smf__wal *wal = rewriting->next.wal;
    if (rewriting->old != NULL) {
        rewriting->old->file = NULL;
        smf__wal_segment_free(rewriting->old);
    }
    if (rewriting->next.segment != NULL)
        smf__wal_segment_free(rewriting->next.segment);
    if (rewriting->status_out != NULL)
        *rewriting->status_out = rewriting->error.status;
    if (rewriting->error_out != NULL && rewriting->error.status != SMF_OK)
        *rewriting->error_out = rewriting->error;
    free(rewriting->next.bytes);
    free(rewriting);
    wal->meta_rewriting = 0;
    wal->at_turn = NULL;
    wal->rewriting = NULL;
}

/* The operation of a step; those that need one. */
static struct smf__disk_op op_of(struct smf__wal_rewriting *rewriting)
{
    struct smf__disk_file *file =
        rewriting->next.segment != NULL ? rewriting->next.segment->file : rewriting->old->file;
    struct smf__disk_op op = {.file = file, .path = rewriting->path_new};
    uint64_t left = rewriting->bytes - rewriting->written;
    static const uint32_t kinds[STEP_END] = {
        [STEP_DROP] = SMF__DISK_UNLINK,      [STEP_OPEN] = SMF__DISK_OPEN,
        [STEP_ZERO] = SMF__DISK_ZERO,        [STEP_WRITE] = SMF__DISK_WRITE,
        [STEP_FLUSH] = SMF__DISK_FLUSH,      [STEP_RENAME] = SMF__DISK_RENAME,
        [STEP_SYNC] = SMF__DISK_SYNC_FOLDER, [STEP_CLOSE_OLD] = SMF__DISK_CLOSE,
        [STEP_CLOSE_NEW] = SMF__DISK_CLOSE,  [STEP_GIVE_UP] = SMF__DISK_UNLINK,
    };
    op.kind = kinds[rewriting->step];
    if (rewriting->step == STEP_OPEN)
        op.flags = SMF__DISK_CREATE | SMF__DISK_EXCLUSIVE;
    if (rewriting->step == STEP_ZERO)
        op.size = rewriting->bytes + META_ROOM_BYTES;
    if (rewriting->step == STEP_WRITE) {
        op.offset = rewriting->written;
        op.size = left < SMF__WAL_READ_BYTES ? left : SMF__WAL_READ_BYTES;
        op.data = rewriting->next.bytes + rewriting->written;
    }
    if (rewriting->step == STEP_RENAME)
        op.path_to = rewriting->path;
    if (rewriting->step == STEP_SYNC)
        op.path = rewriting->next.wal->folder;
    return op;
}

static void rewrite_go_on(struct smf__wal_rewriting *rewriting)
{
    struct smf__wal *wal = rewriting->next.wal;
    if (rewriting->busy)
        return;
    if (rewriting->step == STEP_QUIET) {
        if (wal->meta.status != SMF_OK) {
            (void)smf__wal_say(&rewriting->error, wal->meta.status, "%.200s",
                               wal->meta.status_text);
            rewrite_failed(rewriting);
        } else if (!is_quiet(wal)) {
            return;
        } else {
            rewriting->step = STEP_DROP;
        }
    }
    if (rewriting->step == STEP_ZERO && fill_file(rewriting) != SMF_OK)
        rewrite_failed(rewriting);
    if (rewriting->step == STEP_TAKE_OVER) {
        if (wal->meta.zeroing) /* room ahead, in the old file */
            return;
        take_over(rewriting);
    }
    if (rewriting->step == STEP_END) {
        rewrite_end(rewriting);
        return;
    }
    rewriting->busy = 1;
    rewriting->io =
        (struct smf__wal_io){.op = op_of(rewriting), .done = rewrite_done, .owner = rewriting};
    smf__wal_queue(wal, &rewriting->io);
}

static void rewrite_turn(struct smf__wal *wal)
{
    rewrite_go_on(wal->rewriting);
}

/* Returns 0 when it is under way, or why it can't be. */
static int rewrite_begin(struct smf__wal *wal, int *status_out, struct smf_error *error_out)
{
    const struct smf__wal_segment *last = wal->meta.last;
    if (last != NULL && last->header.number == UINT32_MAX)
        return smf__wal_say(error_out, SMF_ELIMIT,
                            "META of %.100s has the highest number that there is, so it can't be "
                            "written anew; run smf log verify",
                            wal->folder);
    struct smf__wal_rewriting *rewriting = calloc(1, sizeof(*rewriting));
    struct smf__wal_segment *segment = calloc(1, sizeof(*segment));
    if (rewriting == NULL || segment == NULL) {
        free(rewriting);
        free(segment);
        (void)smf__wal_say(error_out, SMF_ENOMEM, "no memory to write META anew");
        return SMF_ENOMEM;
    }
    if (smf__wal_join(rewriting->path, wal->folder, SMF__WAL_META_NAME) != SMF_OK ||
        smf__wal_join(rewriting->path_new, wal->folder, SMF__WAL_META_NEW_NAME) != SMF_OK) {
        free(rewriting);
        free(segment);
        return smf__wal_say(error_out, SMF_EINVAL, "the path of META would be too long");
    }
    segment->part = &wal->meta;
    segment->header = (struct smf__wal_file){
        .kind = SMF__WAL_FILE_META,
        .block_bytes = SMF__WAL_BLOCK_MIN_BYTES,
        .id = smf__wal_random_id(wal),
        .number = last != NULL ? last->header.number + 1 : 1,
        .topic_id = last != NULL ? last->header.topic_id : smf__wal_random_id(wal),
        .created_us = smf__wal_wall_us(wal),
    };
    rewriting->next = (struct next_meta){.wal = wal, .segment = segment};
    rewriting->status_out = status_out;
    rewriting->error_out = error_out;
    wal->meta_rewriting = 1;
    wal->rewriting = rewriting;
    wal->at_turn = rewrite_turn;
    rewrite_go_on(rewriting);
    return SMF_OK;
}

static void rewrite_grown(struct smf__wal *wal)
{
    if (wal->meta_rewriting || wal->closing || !smf__wal_meta_has_grown(wal) ||
        wal->now_ns < wal->meta_retry_ns)
        return;
    if (rewrite_begin(wal, NULL, NULL) != SMF_OK)
        wal->meta_retry_ns = wal->now_ns + META_RETRY_NS;
}

int smf__wal_meta_rewrite(struct smf__wal *wal, struct smf_error *error_out)
{
    struct smf_error own;
    int ended = SMF_OK;
    await_rewriting(wal);
    int status = rewrite_begin(wal, &ended, error_out != NULL ? error_out : &own);
    await_rewriting(wal);
    return status != SMF_OK ? status : ended;
}
