/* A log that another process writes: what is new in it. The files are its, so nothing is changed here, and a
 * batch that does not verify is one that is being written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_look.h"

#define MEMORY_ALIGN_BYTES SMF__WAL_BLOCK_MAX_BYTES
#define FOLDER_BYTES (64u << 10) /* of names, at first */
#define ENDS_MAX 1024u
#define IDLE_LOOKS 64u /* from one question for META to the next, at most */

struct smf__wal_follow {
    uint64_t durable_before;             /* the most that was said so far */
    struct smf__wal_mark ends[ENDS_MAX]; /* of batches that are not durable yet, some of them */
    uint32_t end_count;
    uint64_t idle_at;           /* the end at the last look */
    uint32_t idle_looks;        /* since it moved */
    struct smf__wal_file meta;  /* META as it was then; id 0: never */
    struct smf__wal_scan heard; /* how far it was read */
    uint8_t *data;
    uint64_t capacity;
    struct smf__wal_window window;
};

void smf__wal_follow_free(struct smf__wal_part *part)
{
    if (part->follow != NULL)
        free(part->follow->data);
    free(part->follow);
    part->follow = NULL;
}

/* With too many of them every second one is forgotten: the watermark goes in longer steps then. */
static void add_end(struct smf__wal_follow *follow, const struct smf__wal_mark *end)
{
    if (follow->end_count == ENDS_MAX) {
        follow->end_count /= 2;
        for (uint32_t i = 0; i < follow->end_count; i++)
            follow->ends[i] = follow->ends[2 * i + 1];
    }
    follow->ends[follow->end_count++] = *end;
}

static void move_durable(struct smf__wal_part *part)
{
    struct smf__wal_follow *follow = part->follow;
    uint32_t count = 0;

    while (count < follow->end_count && follow->ends[count].place <= follow->durable_before)
        count++;
    if (count == 0)
        return;
    if (part->durable.place < follow->ends[count - 1].place)
        part->durable = follow->ends[count - 1];
    follow->end_count -= count;
    memmove(follow->ends, follow->ends + count, follow->end_count * sizeof follow->ends[0]);
}

static int fail(const struct smf__wal_part *part, int status, const char *what,
                struct smf_error *error_out)
{
    if (error_out == NULL)
        return status;
    *error_out = (struct smf_error){.status = status};
    snprintf(error_out->text, sizeof error_out->text, "%.150s %s: open the log again", part->folder,
             what);
    return status;
}

/* --- bytes ---------------------------------------------------------------------------------------- */

/* Reads so many bytes from a position on, or as many as the file has; what was read before is forgotten. */
static int fill(struct smf__wal_segment *segment, uint64_t position, uint64_t need)
{
    struct smf__wal_follow *follow = segment->part->follow;
    uint64_t from = position & ~(uint64_t)(MEMORY_ALIGN_BYTES - 1);
    uint64_t size = smf__round_up(position - from + need, MEMORY_ALIGN_BYTES);

    if (size < SMF__WAL_READ_BYTES)
        size = SMF__WAL_READ_BYTES;
    follow->window.size = 0;
    if (size > follow->capacity) {
        free(follow->data);
        follow->data = aligned_alloc(MEMORY_ALIGN_BYTES, size);
        follow->capacity = follow->data != NULL ? size : 0;
        if (follow->data == NULL)
            return SMF_ENOMEM;
    }
    struct smf__disk_op op = {.kind = SMF__DISK_READ,
                              .file = segment->file,
                              .offset = from,
                              .size = size,
                              .data = follow->data};
    int status = smf__wal_run(segment->part->wal, &op);
    if (status == SMF_OK)
        follow->window = (struct smf__wal_window){follow->data, from, op.done};
    return status;
}

/* --- batches -------------------------------------------------------------------------------------- */

static void take_batch(struct smf__wal_segment *segment, const struct smf__wal_scan *scan,
                       const struct smf__wal_batch *batch, uint64_t position)
{
    struct smf__wal_part *part = segment->part;

    (void)smf__wal_index_add(segment, batch, position);
    segment->end = scan->end;
    segment->end_offset = part->next_offset = scan->next_offset;
    part->prev_crc = scan->prev_crc;
    part->buffered = (struct smf__wal_mark){smf__wal_place(segment->header.number, scan->end),
                                            scan->next_offset, scan->prev_crc};
    part->written = part->buffered;
    if (batch->durable_before > part->follow->durable_before)
        part->follow->durable_before = batch->durable_before;
    add_end(part->follow, &part->buffered);
}

/* Walks over what was added to the last segment. Returns 0 where nothing more verifies. */
static int walk_on(struct smf__wal_segment *segment, uint64_t *budget)
{
    struct smf__wal_follow *follow = segment->part->follow;
    struct smf__wal_scan scan = {.file = &segment->header,
                                 .end = segment->end,
                                 .next_offset = segment->part->next_offset,
                                 .prev_crc = segment->part->prev_crc};
    uint64_t need = SMF__WAL_BATCH_HEADER_MAX_BYTES;

    segment->holds++;
    int status = smf__wal_segment_open(segment);
    follow->window = (struct smf__wal_window){0};
    while (status == SMF_OK && *budget > 0) {
        struct smf__wal_batch batch;
        uint64_t position, before = follow->window.position + follow->window.size;
        int what = smf__wal_scan_next(&scan, &follow->window, &batch, &position);

        if (what == SMF__WAL_GOOD || what == SMF__WAL_UNSUPPORTED) {
            take_batch(segment, &scan, &batch, position);
            continue;
        }
        if (what != SMF__WAL_TRUNCATED)
            break;
        need = scan.need_bytes;
        status = fill(segment, scan.end, need);
        *budget -= follow->window.size < *budget ? follow->window.size : *budget;
        if (follow->window.position + follow->window.size <= before)
            break; /* the file ends */
    }
    segment->holds--;
    return status;
}

/* --- files ---------------------------------------------------------------------------------------- */

/* The next name behind that number: 1, 0 when there is none, or a status. */
static int find_next(struct smf__wal_part *part, uint32_t number, struct smf__wal_file *found_out,
                     struct smf_error *error_out)
{
    struct smf__disk_op op = {.kind = SMF__DISK_LIST, .path = part->folder, .size = FOLDER_BYTES};
    int status;

    for (;;) {
        op.data = malloc(op.size);
        status = op.data != NULL ? smf__wal_run(part->wal, &op) : SMF_ENOMEM;
        if (status != SMF_ELIMIT || op.done <= op.size)
            break;
        free(op.data);
        op.size = 2 * op.done;
    }
    found_out->number = UINT32_MAX;
    for (uint64_t at = 0; status == SMF_OK && at < op.done; at += strlen(op.data + at) + 1) {
        uint32_t other;
        uint64_t first_offset;

        if (smf__wal_file_name_parse(op.data + at, &other, &first_offset) == SMF__WAL_GOOD &&
            other > number && other < found_out->number) {
            found_out->number = other;
            found_out->first_offset = first_offset;
        }
    }
    int has_memory = op.data != NULL;
    free(op.data);
    if (status == SMF_ENOTFOUND) /* nothing was written yet */
        return 0;
    if (status != SMF_OK)
        return has_memory ? smf__disk_explain(&op, part->folder, error_out)
                          : fail(part, status, "can't be listed without memory", error_out);
    return found_out->number != UINT32_MAX;
}

static int read_header(struct smf__wal_segment *segment)
{
    struct smf__wal_file named = segment->header;
    int status = smf__wal_segment_open(segment);

    if (status == SMF_OK)
        status = fill(segment, 0, SMF__WAL_FILE_HEADER_BYTES);
    if (status != SMF_OK)
        return status;
    const struct smf__wal_window *window = &segment->part->follow->window;
    if (smf__wal_file_parse(window->bytes, window->size, &segment->header) != SMF__WAL_GOOD ||
        segment->header.number != named.number ||
        segment->header.first_offset != named.first_offset)
        return SMF_EIO;
    segment->size_bytes = segment->file->size_bytes;
    return SMF_OK;
}

static void forget(struct smf__wal_segment *segment)
{
    struct smf__disk_op op = {.kind = SMF__DISK_CLOSE, .file = segment->file};

    if (segment->file != NULL)
        (void)smf__wal_run(segment->part->wal, &op);
    free(segment);
}

static void link_segment(struct smf__wal_segment *segment)
{
    struct smf__wal_part *part = segment->part;

    smf__wal_scan_begin(&segment->scan, &segment->header);
    segment->known_from = segment->header.block_bytes;
    segment->max_us = INT64_MIN;
    segment->sealed = 1;
    segment->end = segment->header.block_bytes;
    segment->end_offset = segment->header.first_offset;
    if (segment->header.durable_before > part->follow->durable_before)
        part->follow->durable_before = segment->header.durable_before;
    segment->previous = part->last;
    if (part->last != NULL)
        part->last->next = segment;
    else
        part->first = segment;
    part->last = segment;
    part->next_offset = segment->header.first_offset;
    part->prev_crc = segment->header.follows_crc;
    if (part->head < part->first->header.first_offset)
        part->head = part->first->header.first_offset;
}

/* Adds the next file of the folder to the list. Returns 1, 0 when there is none yet, or a status. */
static int add_next(struct smf__wal_part *part, struct smf_error *error_out)
{
    const struct smf__wal_segment *last = part->last;
    struct smf__wal_segment *segment = calloc(1, sizeof *segment);

    if (segment == NULL)
        return fail(part, SMF_ENOMEM, "can't be followed without memory", error_out);
    segment->part = part;
    int status =
        find_next(part, last != NULL ? last->header.number : 0, &segment->header, error_out);
    if (status <= 0) {
        free(segment);
        return status;
    }
    status = read_header(segment);
    uint64_t here = last != NULL ? smf__wal_place(last->header.number, last->end) : 0;
    uint64_t follows = segment->header.follows;
    if (status == SMF_OK &&
        (last == NULL || (follows == here && segment->header.follows_crc == part->prev_crc))) {
        link_segment(segment);
        return 1;
    }
    forget(segment);
    if (status == SMF_OK && follows > here)
        return 0; /* what is before it is not all there yet */
    if (status == SMF_OK || status == SMF_ENOTFOUND)
        return fail(part, SMF_EINVAL, "was cut by the process that writes it", error_out);
    return fail(part, status, "has a new segment whose block 0 can't be read", error_out);
}

/* --- META ----------------------------------------------------------------------------------------- */

static void hear(struct smf__wal_part *part, const uint8_t *body, uint32_t size)
{
    struct smf__wal_rest rest = {.data = body, .size = size};
    struct smf__wal_item item;
    struct smf__wal_checkpoint said;

    while (smf__wal_item_next(&rest, &item) == SMF__WAL_GOOD) {
        if (item.type == SMF__WAL_ITEM_CHECKPOINT &&
            smf__wal_checkpoint_read(&item, &said) == SMF__WAL_GOOD &&
            said.topic_id == part->topic->config.topic_id && said.partition == part->number &&
            said.end > part->follow->durable_before)
            part->follow->durable_before = said.end;
    }
}

/* Reads what is new in META, or all of it where it is another file by now. */
static void hear_all(struct smf__wal_segment *meta)
{
    struct smf__wal_follow *follow = meta->part->follow;
    struct smf__wal_scan *scan = &follow->heard;
    struct smf__wal_file header;
    int status = fill(meta, 0, SMF__WAL_FILE_HEADER_BYTES);

    if (status != SMF_OK ||
        smf__wal_file_parse(follow->window.bytes, follow->window.size, &header) != SMF__WAL_GOOD ||
        header.kind != SMF__WAL_FILE_META)
        return;
    if (header.id != follow->meta.id) {
        follow->meta = header;
        smf__wal_scan_begin(scan, &follow->meta);
    }
    while (status == SMF_OK) {
        struct smf__wal_batch batch;
        uint64_t position, before = follow->window.position + follow->window.size;
        int what = smf__wal_scan_next(scan, &follow->window, &batch, &position);

        if (what == SMF__WAL_GOOD && batch.kind == SMF__WAL_META &&
            batch.compression == SMF__WAL_PLAIN)
            hear(meta->part,
                 follow->window.bytes + (position - follow->window.position) + batch.header_bytes,
                 batch.body_bytes);
        if (what == SMF__WAL_GOOD || what == SMF__WAL_UNSUPPORTED)
            continue;
        if (what != SMF__WAL_TRUNCATED)
            break;
        status = fill(meta, scan->end, scan->need_bytes);
        if (follow->window.position + follow->window.size <= before)
            break; /* the file ends */
    }
}

/* A checkpoint is all that says so where a process has closed the log right after an append. META is opened
 * by its name each time, since it may be another file. What fails here is tried again by a later look. */
static void ask_meta(struct smf__wal_part *part)
{
    struct smf__wal_segment meta = {.part = part};
    char path[SMF__DISK_PATH_MAX_BYTES];

    if (smf__wal_join(path, part->wal->folder, SMF__WAL_META_NAME) != SMF_OK)
        return;
    struct smf__disk_op op = {.kind = SMF__DISK_OPEN, .flags = SMF__DISK_READ_ONLY, .path = path};
    if (smf__wal_run(part->wal, &op) != SMF_OK)
        return;
    meta.file = op.file;
    hear_all(&meta);
    smf__wal_do_close(part->wal, &meta.file);
}

/* The longer nothing comes the rarer: a writer that has crashed may never say more. */
static int is_worth_asking(struct smf__wal_part *part)
{
    struct smf__wal_follow *follow = part->follow;

    if (follow->idle_at != part->buffered.place) {
        follow->idle_at = part->buffered.place;
        follow->idle_looks = 0;
        return 0;
    }
    follow->idle_looks++;
    return (follow->idle_looks & (follow->idle_looks - 1)) == 0 ||
           follow->idle_looks % IDLE_LOOKS == 0;
}

int smf__wal_reader_look(struct smf__wal_reader *reader, struct smf_error *error_out)
{
    struct smf__wal_part *part = smf__wal_reader_part(reader);
    uint64_t budget = SMF__WAL_FOLLOW_BYTES;
    int status = 1;

    if (!part->wal->options.read_only)
        return SMF_OK;
    if (part->follow == NULL) {
        part->follow = calloc(1, sizeof *part->follow);
        if (part->follow == NULL)
            return fail(part, SMF_ENOMEM, "can't be followed without memory", error_out);
        if (part->buffered.place > part->durable.place)
            add_end(part->follow, &part->buffered);
    }
    while (status > 0 && budget > 0) {
        status = part->last != NULL ? walk_on(part->last, &budget) : SMF_OK;
        if (status < 0)
            (void)fail(part, status, "has a segment that can't be read", error_out);
        else if (budget > 0)
            status = add_next(part, error_out);
        move_durable(part);
    }
    if (status == SMF_OK && part->follow->end_count > 0) {
        if (is_worth_asking(part))
            ask_meta(part);
        move_durable(part);
    }
    smf__wal_readers_tell(part);
    return status;
}
