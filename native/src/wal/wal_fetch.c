#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_reader.h"

#define MEMORY_ALIGN_BYTES 4096u /* of chunks, or what the file wants if that is more */

static struct smf__wal_chunk *chunk_of(struct smf__wal_reader *reader, uint32_t index)
{
    return &reader->chunks[(reader->first + index) % reader->chunk_count];
}

static void pop(struct smf__wal_reader *reader)
{
    reader->first = (reader->first + 1) % reader->chunk_count;
    reader->used--;
}

static int is_joined(const struct smf__wal_reader *reader)
{
    return reader->joined_to > reader->scan.end && reader->joined_from <= reader->scan.end;
}

/* Where the next chunk begins. */
static uint64_t fetched(struct smf__wal_reader *reader)
{
    if (reader->used > 0)
        return chunk_of(reader, reader->used - 1)->to;
    return is_joined(reader) ? reader->joined_to : reader->scan.end;
}

static int chunk_room(struct smf__wal_chunk *chunk, uint64_t bytes, uint64_t align)
{
    if (align < MEMORY_ALIGN_BYTES)
        align = MEMORY_ALIGN_BYTES;
    if (chunk->capacity >= bytes && chunk->align >= align)
        return SMF_OK;
    free(chunk->data);
    chunk->capacity = smf__round_up(bytes, align);
    chunk->align = align;
    chunk->data = aligned_alloc(align, chunk->capacity);
    if (chunk->data != NULL)
        return SMF_OK;
    chunk->capacity = 0;
    return SMF_ENOMEM;
}

/* --- the disk ------------------------------------------------------------------------------------- */

static void read_done(struct smf__wal_io *io)
{
    struct smf__wal_reader *reader = io->owner;
    struct smf__wal_chunk *chunk = (struct smf__wal_chunk *)io;
    int is_first = reader->used > 0 && chunk == chunk_of(reader, 0);

    chunk->under_way = 0;
    smf__wal_reader_ended(reader, is_first);
}

static void close_done(struct smf__wal_io *io)
{
    free(io);
}

/* A file that nobody reads any more. Without memory it stays open until the log is closed. */
static void close_file(struct smf__wal *wal, struct smf__disk_file *file)
{
    struct smf__wal_io *io = calloc(1, sizeof *io);

    if (io == NULL)
        return;
    io->op.kind = SMF__DISK_CLOSE;
    io->op.file = file;
    io->done = close_done;
    smf__wal_queue(wal, io);
}

void smf__wal_fetch_close(struct smf__wal_segment *segment)
{
    struct smf__disk_file *file = segment->file;

    if (file == NULL || !file->read_only || file->in_flight > 0)
        return;
    segment->file = NULL;
    close_file(segment->part->wal, file);
}

static void open_done(struct smf__wal_io *io)
{
    struct smf__wal_reader *reader = io->owner;
    struct smf__wal_segment *segment = reader->segment;

    reader->opening = 0;
    if (io->op.status != SMF_OK) {
        if (reader->error.status == SMF_OK)
            (void)smf__disk_explain(&io->op, reader->path, &reader->error);
    } else if (segment->file != NULL) { /* another reader was faster */
        close_file(reader->part->wal, io->op.file);
    } else {
        segment->file = io->op.file;
        if (segment->size_bytes < io->op.file->size_bytes)
            segment->size_bytes = io->op.file->size_bytes;
    }
    smf__wal_reader_ended(reader, 1);
}

static void begin_open(struct smf__wal_reader *reader)
{
    const struct smf__wal_segment *segment = reader->segment;
    /* The one that appends will go on in. */
    int writes =
        segment == reader->part->last && !segment->sealed && !reader->part->wal->options.read_only;
    if (reader->opening)
        return;
    smf__wal_segment_path(reader->segment, reader->path);
    reader->opening = 1;
    reader->under_way++;
    reader->open = (struct smf__wal_io){
        .op = {.kind = SMF__DISK_OPEN,
               .flags = writes ? 0 : SMF__DISK_READ_ONLY,
               .path = reader->path},
        .done = open_done,
        .owner = reader,
    };
    smf__wal_queue(reader->part->wal, &reader->open);
}

/* Of a file that is open. to is at most so far as the disk has it. */
static int begin_read(struct smf__wal_reader *reader, struct smf__wal_chunk *chunk, uint64_t from,
                      uint64_t to)
{
    struct smf__disk_file *file = reader->segment->file;
    uint64_t align = file->offset_align_bytes;
    uint64_t aligned = (from + reader->read_bytes) & ~(align - 1);

    if (to > aligned)
        to = aligned;
    chunk->start = from & ~(align - 1);
    chunk->from = from;
    chunk->to = to;
    uint64_t size = smf__round_up(to, align) - chunk->start;
    if (chunk_room(chunk, size, file->memory_align_bytes) != SMF_OK)
        return SMF_ENOMEM;
    chunk->io = (struct smf__wal_io){
        .op = {.kind = SMF__DISK_READ,
               .file = file,
               .offset = chunk->start,
               .size = size,
               .data = chunk->data},
        .done = read_done,
        .owner = reader,
    };
    chunk->under_way = 1;
    reader->under_way++;
    reader->used++;
    smf__wal_queue(reader->part->wal, &chunk->io);
    if (reader->read_bytes < SMF__WAL_READ_BYTES)
        reader->read_bytes *= 2;
    else if (reader->depth < reader->chunk_count)
        reader->depth =
            2 * reader->depth < reader->chunk_count ? 2 * reader->depth : reader->chunk_count;
    return SMF_OK;
}

/* What is still in a buffer needs no disk. Returns 1, 0, or SMF_ENOMEM. */
static int take_buffered(struct smf__wal_reader *reader, struct smf__wal_chunk *chunk,
                         uint64_t from, uint64_t to)
{
    uint8_t first[SMF__WAL_ALIGN_BYTES];

    if (to - from > reader->read_bytes)
        to = from + reader->read_bytes;
    if (smf__wal_buffers_read(reader->segment, from, sizeof first, first) == 0)
        return 0;
    if (chunk_room(chunk, to - from, 0) != SMF_OK)
        return SMF_ENOMEM;
    chunk->start = chunk->from = from;
    chunk->to = from + smf__wal_buffers_read(reader->segment, from, to - from, chunk->data);
    chunk->io.op = (struct smf__disk_op){0};
    chunk->under_way = 0;
    reader->used++;
    return 1;
}

int smf__wal_fetch_ahead(struct smf__wal_reader *reader)
{
    uint64_t limit = smf__wal_reader_limit(reader);
    uint64_t disk_limit = smf__wal_reader_disk_limit(reader);

    if (reader->dropping) {
        if (reader->under_way > 0)
            return SMF_OK;
        reader->used = 0;
        reader->dropping = 0;
    }
    while (reader->used < reader->depth) {
        struct smf__wal_chunk *chunk = chunk_of(reader, reader->used);
        uint64_t from = fetched(reader);

        if (from >= limit)
            return SMF_OK;
        int status = take_buffered(reader, chunk, from, limit);
        if (status < 0)
            return status;
        if (status > 0)
            continue;
        if (from >= disk_limit)
            return SMF_OK;
        if (reader->segment->file == NULL) {
            begin_open(reader);
            return SMF_OK;
        }
        status = begin_read(reader, chunk, from, limit < disk_limit ? limit : disk_limit);
        if (status != SMF_OK)
            return status;
    }
    return SMF_OK;
}

/* --- what is there -------------------------------------------------------------------------------- */

/* Has a chunk come, and whole? Returns 1, 0, or the reader's error. */
static int is_there(struct smf__wal_reader *reader, const struct smf__wal_chunk *chunk)
{
    const struct smf__disk_op *op = &chunk->io.op;
    char path[SMF__DISK_PATH_MAX_BYTES];

    if (chunk->under_way)
        return 0;
    if (op->kind == 0) /* from a buffer */
        return 1;
    if (op->status != SMF_OK) {
        smf__wal_segment_path(reader->segment, path);
        return smf__disk_explain(op, path, &reader->error);
    }
    uint64_t ends = chunk->start + op->done;
    if (ends >= chunk->to)
        return 1;
    smf__wal_segment_path(reader->segment, path);
    return smf__wal_reader_fail(
        reader, SMF_EIO,
        "%.120s ends at byte %llu, within the log: restore the file, or cut the log at offset %llu",
        path, (unsigned long long)ends, (unsigned long long)reader->scan.next_offset);
}

void smf__wal_fetch_pass(struct smf__wal_reader *reader)
{
    while (!reader->dropping && reader->used > 0) {
        struct smf__wal_chunk *chunk = chunk_of(reader, 0);

        if (chunk->under_way || chunk->to > reader->scan.end)
            return;
        pop(reader);
    }
}

int smf__wal_fetch_window(struct smf__wal_reader *reader, struct smf__wal_window *window_out)
{
    const struct smf__wal_chunk *chunk = reader->used > 0 ? chunk_of(reader, 0) : NULL;

    if (reader->dropping)
        return 0;
    if (chunk != NULL && chunk->from <= reader->scan.end) {
        int status = is_there(reader, chunk);

        if (status <= 0)
            return status;
        *window_out = (struct smf__wal_window){chunk->data, chunk->start, chunk->to - chunk->start};
        return 1;
    }
    if (!is_joined(reader))
        return 0;
    uint64_t size = reader->joined_to - reader->joined_from;
    if (reader->joined_to == smf__wal_reader_limit(reader)) /* else the log goes on there by now */
        size += reader->slack_bytes;
    *window_out = (struct smf__wal_window){reader->joined, reader->joined_from, size};
    return 1;
}

/* Room for so many bytes, with what is there from scan.end on at its beginning. */
static int joined_room(struct smf__wal_reader *reader, uint64_t bytes)
{
    uint64_t kept = is_joined(reader) ? reader->joined_to - reader->scan.end : 0;
    const uint8_t *from =
        kept > 0 ? reader->joined + (reader->scan.end - reader->joined_from) : NULL;

    if (bytes > reader->joined_capacity) {
        uint64_t capacity = smf__round_up(bytes, MEMORY_ALIGN_BYTES);
        uint8_t *more = aligned_alloc(MEMORY_ALIGN_BYTES, capacity);

        if (more == NULL)
            return SMF_ENOMEM;
        if (kept > 0)
            memcpy(more, from, kept);
        free(reader->joined);
        reader->joined = more;
        reader->joined_capacity = capacity;
    } else if (kept > 0) {
        memmove(reader->joined, from, kept);
    }
    reader->joined_from = reader->scan.end;
    reader->joined_to = reader->scan.end + kept;
    return SMF_OK;
}

int smf__wal_fetch_join(struct smf__wal_reader *reader, uint64_t need_bytes)
{
    uint64_t limit = smf__wal_reader_limit(reader);
    uint64_t until = reader->scan.end + need_bytes;

    if (until > limit)
        until = limit;
    reader->slack_bytes = 0;
    if (joined_room(reader, until - reader->scan.end + SMF__WAL_BATCH_HEADER_MAX_BYTES) != SMF_OK)
        return SMF_ENOMEM;
    while (reader->joined_to < until) {
        struct smf__wal_chunk *chunk = chunk_of(reader, 0);
        int status = smf__wal_fetch_ahead(reader); /* in place of those that were copied */

        if (status != SMF_OK || reader->used == 0)
            return status;
        status = is_there(reader, chunk);
        if (status <= 0)
            return status;
        uint64_t to = chunk->to < until ? chunk->to : until;
        memcpy(reader->joined + (reader->joined_to - reader->joined_from),
               chunk->data + (reader->joined_to - chunk->start), to - reader->joined_to);
        reader->joined_to = to;
        if (to == chunk->to)
            pop(reader);
    }
    if (until == limit) {
        reader->slack_bytes = SMF__WAL_BATCH_HEADER_MAX_BYTES;
        memset(reader->joined + (until - reader->joined_from), 0, reader->slack_bytes);
    }
    return 1;
}

/* --- memory --------------------------------------------------------------------------------------- */

void smf__wal_fetch_drop(struct smf__wal_reader *reader)
{
    reader->joined_from = reader->joined_to = reader->slack_bytes = 0;
    reader->dropping = reader->under_way > 0;
    if (!reader->dropping)
        reader->used = 0;
}

void smf__wal_fetch_shrink(struct smf__wal_reader *reader)
{
    reader->depth = 1;
    reader->read_bytes = SMF__WAL_READ_FIRST_BYTES;
    if (reader->used > 0 || reader->dropping || is_joined(reader))
        return;
    for (uint32_t i = 0; i < reader->chunk_count; i++) {
        struct smf__wal_chunk *chunk = &reader->chunks[i];

        /* One small one is kept, where the next read will want it. */
        if (chunk->data == NULL ||
            (i == 0 && chunk->capacity <= SMF__WAL_READ_FIRST_BYTES + chunk->align))
            continue;
        free(chunk->data);
        chunk->data = NULL;
        chunk->capacity = 0;
    }
    reader->first = 0;
    if (reader->joined_capacity > SMF__WAL_READ_FIRST_BYTES) {
        free(reader->joined);
        reader->joined = NULL;
        reader->joined_capacity = 0;
    }
}

void smf__wal_fetch_free(struct smf__wal_reader *reader)
{
    for (uint32_t i = 0; i < reader->chunk_count; i++)
        free(reader->chunks[i].data);
    free(reader->chunks);
    free(reader->joined);
}
