/* Changes of META, and its next version. */
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_look.h"
#include "wal/wal_make.h"

#define META_GROWN_BYTES (1u << 20) /* before that it is not worth the while */
#define META_GROWN_TIMES 4u         /* what still counts */
#define META_MAX_BYTES (1ull << 30) /* of the file: then it has to be written anew first */
#define META_BODY_BYTES (1u << 20)  /* of a batch of the next version */
#define META_ROOM_BYTES (64u << 10) /* behind it */

/* --- changes -------------------------------------------------------------------------------------- */

int smf__wal_meta_has_grown(const struct smf__wal *wal)
{
    uint64_t end = smf__wal_place_position(wal->meta.buffered.place);
    return end > META_GROWN_BYTES && end / META_GROWN_TIMES > wal->meta_live_bytes;
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
    if (wal->meta.status != SMF_OK)
        return wal->meta.status;
    if (!block) {
        int full = smf__wal_place_position(wal->meta.buffered.place) > META_MAX_BYTES;
        return wal->meta_rewriting || full ? SMF_ELIMIT : append_items(wal, items, size_bytes);
    }
    smf__check(!wal->meta_rewriting);
    if (smf__wal_meta_has_grown(wal)) {
        int status = smf__wal_meta_rewrite(wal, NULL);
        if (status != SMF_OK && wal->meta.status != SMF_OK)
            return status; /* else it goes on in the old one */
    }
    for (;;) {
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
        for (uint32_t i = 0; i < topic->config.partitions; i++)
            add_part(next, topic->parts[i]);
    }
    end_batch(next);
}

static int write_file(struct next_meta *next, struct smf__disk_file *file, const char *path,
                      struct smf_error *error_out)
{
    uint64_t size = smf__round_up(next->size, next->segment->header.block_bytes);
    struct smf__disk_op zero = {
        .kind = SMF__DISK_ZERO, .file = file, .size = size + META_ROOM_BYTES};
    struct smf__disk_op flush = {.kind = SMF__DISK_FLUSH, .file = file};
    int status = smf__wal_do(next->wal, &zero, path, error_out);
    for (uint64_t at = 0; at < size && status == SMF_OK; at += SMF__WAL_READ_BYTES) {
        struct smf__disk_op write = {
            .kind = SMF__DISK_WRITE,
            .file = file,
            .offset = at,
            .size = size - at < SMF__WAL_READ_BYTES ? size - at : SMF__WAL_READ_BYTES,
            .data = next->bytes + at,
        };
        status = smf__wal_do(next->wal, &write, path, error_out);
    }
    return status == SMF_OK ? smf__wal_do(next->wal, &flush, path, error_out) : status;
}

/* The file and its bytes, durable, under the name META.new. */
static int make_file(struct next_meta *next, const char *path, struct smf_error *error_out)
{
    struct smf__wal *wal = next->wal;
    struct smf__wal_file *header = &next->segment->header;
    struct smf__disk_op drop = {.kind = SMF__DISK_UNLINK, .path = path};
    struct smf__disk_op open = {
        .kind = SMF__DISK_OPEN, .flags = SMF__DISK_CREATE | SMF__DISK_EXCLUSIVE, .path = path};
    int status = smf__wal_run(wal, &drop); /* of a rewriting that was cut off */
    if (status != SMF_OK && status != SMF_ENOTFOUND)
        return smf__disk_explain(&drop, path, error_out);
    status = smf__wal_do(wal, &open, path, error_out);
    if (status != SMF_OK)
        return status;
    next->segment->file = open.file;
    if (open.file->offset_align_bytes > SMF__WAL_BLOCK_MAX_BYTES)
        return smf__wal_say(
            error_out, SMF_EUNSUPPORTED,
            "%.120s is on a disk with blocks of %u bytes; %u are the most that a log "
            "can use",
            path, open.file->offset_align_bytes, SMF__WAL_BLOCK_MAX_BYTES);
    wal->block_bytes = header->block_bytes = open.file->offset_align_bytes;
    fill(next);
    if (smf__round_up(next->size, header->block_bytes) + META_ROOM_BYTES > META_MAX_BYTES)
        return smf__wal_say(error_out, SMF_ELIMIT, "META would have more than %llu bytes",
                            (unsigned long long)META_MAX_BYTES);
    uint64_t bytes = smf__round_up(next->size, header->block_bytes);
    next->bytes = smf__wal_aligned(open.file, bytes);
    if (next->bytes == NULL)
        return smf__wal_say(error_out, SMF_ENOMEM, "no memory to write META anew");
    memset(next->bytes, 0, bytes);
    smf__check(smf__wal_file_encode(header, next->bytes) == SMF__WAL_GOOD);
    fill(next);
    status = write_file(next, open.file, path, error_out);
    free(next->bytes);
    return status;
}

uint32_t smf__wal_meta_live(struct smf__wal *wal)
{
    struct smf__wal_segment none = {.header = {.block_bytes = SMF__WAL_BLOCK_MIN_BYTES}};
    struct next_meta next = {.wal = wal, .segment = &none};
    fill(&next);
    return next.live_bytes;
}

/* Nothing of the old file is under way any more, nor will be read from a buffer. */
static void let_go(struct smf__wal *wal)
{
    struct smf__wal_part *meta = &wal->meta;
    while (meta->zeroing || meta->writes > 0 || meta->buffers != NULL ||
           meta->flush_covers.place != 0)
        smf__wal_wait(wal);
    smf__check(meta->fills ==
               NULL); /* everything was written, and what is next is in the new file */
    for (uint32_t i = 0; i < wal->buffer_count; i++) {
        if (wal->buffers[i].segment == meta->last)
            wal->buffers[i].segment = NULL;
    }
}

/* It is META now. */
static void take_over(struct next_meta *next)
{
    struct smf__wal_part *meta = &next->wal->meta;
    struct smf__wal_segment *segment = next->segment, *old = meta->first;
    smf__check(segment->file != NULL);
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
    next->wal->meta_live_bytes = next->live_bytes;
    if (old != NULL) /* last: there are turns while its file is closed */
        smf__wal_segment_free(old);
}

/* *renamed_out: perhaps. A device that failed may have done it; without space it was not. */
static int rename_file(struct smf__wal *wal, const char *from, const char *to, int *renamed_out,
                       struct smf_error *error_out)
{
    struct smf__disk_op op = {.kind = SMF__DISK_RENAME, .path = from, .path_to = to};
    int status = smf__wal_do(wal, &op, from, error_out);
    *renamed_out = !smf__wal_no_space(status);
    return status == SMF_OK ? smf__wal_do_path(wal, SMF__DISK_SYNC_FOLDER, wal->folder, error_out)
                            : status;
}

/* Puts the new file in the place of the old one, on the disk. */
static int replace(struct next_meta *next, struct smf_error *error_out)
{
    struct smf__wal *wal = next->wal;
    char path[SMF__DISK_PATH_MAX_BYTES], path_new[SMF__DISK_PATH_MAX_BYTES];
    int renamed;
    if (smf__wal_join(path, wal->folder, SMF__WAL_META_NAME) != SMF_OK ||
        smf__wal_join(path_new, wal->folder, SMF__WAL_META_NEW_NAME) != SMF_OK)
        return smf__wal_say(error_out, SMF_EINVAL, "the path of META would be too long");
    int status = make_file(next, path_new, error_out);
    if (status == SMF_OK)
        status = rename_file(wal, path_new, path, &renamed, error_out);
    else
        renamed = 0;
    if (status != SMF_OK && renamed && wal->meta.last != NULL)
        smf__wal_fence(&wal->meta, status,
                       "which META is on the disk is not known: it could not be renamed, or its "
                       "folder not flushed; look at the device, close the log and open it again");
    return status;
}

int smf__wal_meta_rewrite(struct smf__wal *wal, struct smf_error *error_out)
{
    struct smf_error own;
    struct smf__wal_segment *last = wal->meta.last;
    struct next_meta next = {.wal = wal};
    if (last != NULL && wal->buffer_count > 0) {
        if (smf__wal_sync(&wal->meta) != SMF_OK)
            return smf__wal_say(error_out, wal->meta.status, "%.200s", wal->meta.status_text);
        let_go(wal);
    }
    if (last != NULL && last->header.number == UINT32_MAX)
        return smf__wal_say(error_out, SMF_ELIMIT,
                            "META of %.100s has the highest number that there is, so it can't be "
                            "written anew; run smf log verify",
                            wal->folder);
    next.segment = calloc(1, sizeof(*next.segment));
    if (next.segment == NULL)
        return smf__wal_say(error_out, SMF_ENOMEM, "no memory to write META anew");
    next.segment->part = &wal->meta;
    next.segment->header = (struct smf__wal_file){
        .kind = SMF__WAL_FILE_META,
        .block_bytes = SMF__WAL_BLOCK_MIN_BYTES,
        .id = smf__wal_random_id(wal),
        .number = last != NULL ? last->header.number + 1 : 1,
        .topic_id = last != NULL ? last->header.topic_id : smf__wal_random_id(wal),
        .created_us = smf__wal_wall_us(wal),
    };
    wal->meta_rewriting = 1;
    int status = replace(&next, error_out != NULL ? error_out : &own);
    if (status == SMF_OK)
        take_over(&next);
    else
        smf__wal_segment_free(next.segment);
    wal->meta_rewriting = 0;
    return status;
}
