#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wal/wal_bytes.h"
#include "wal/wal_reader.h"

#define MEMORY_ALIGN_BYTES 4096u /* of chunks, or what the file wants if that is more */
#define HUGE_PAGE_BYTES (2u << 20)

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

/* Where the next chunk begins: in which segment, and at which position of it. */
static struct smf__wal_segment *fetched(struct smf__wal_reader *reader, uint64_t *position_out)
{
    struct smf__wal_segment *segment = reader->segment;
    const struct smf__wal_chunk *last =
        reader->used > 0 ? chunk_of(reader, reader->used - 1) : NULL;

    if (last != NULL && last->segment == segment)
        *position_out = last->to;
    else
        *position_out = is_joined(reader) ? reader->joined_to : reader->scan.end;
    if (reader->ahead == NULL)
        return segment;
    *position_out = last != NULL && last->segment == reader->ahead
                        ? last->to
                        : reader->ahead->header.block_bytes;
    return reader->ahead;
}

static void free_own(struct smf__wal_chunk *chunk)
{
    free(chunk->own);
    chunk->own = NULL;
    chunk->capacity = 0;
}

/* Reads that are not small any more go to one area, a chunk behind the other, so that a batch that begins in
 * one and ends in the next needs no copy. In huge pages: many disks take only so many pieces of memory in
 * a request (a virtual one often 254, less than there are small pages in one read), and so many of all
 * requests that are under way. */
static int take_area(struct smf__wal_reader *reader)
{
    size_t size = (size_t)reader->chunk_count * SMF__WAL_READ_BYTES;
    void *memory;

    if (reader->area != NULL)
        return SMF_OK;
    if (posix_memalign(&memory, HUGE_PAGE_BYTES, size) != 0)
        return SMF_ENOMEM;
    (void)madvise(memory, size, MADV_HUGEPAGE);
    reader->area = memory;
    for (uint32_t i = reader->used; i < reader->chunk_count; i++)
        free_own(chunk_of(reader, i));
    return SMF_OK;
}

/* Memory for a chunk that is not in use. */
static int chunk_room(struct smf__wal_reader *reader, struct smf__wal_chunk *chunk, uint64_t bytes,
                      uint64_t align)
{
    if (align < MEMORY_ALIGN_BYTES)
        align = MEMORY_ALIGN_BYTES;
    if (reader->read_bytes == SMF__WAL_READ_BYTES && align <= HUGE_PAGE_BYTES) {
        if (take_area(reader) != SMF_OK)
            return SMF_ENOMEM;
        free_own(chunk);
        chunk->data = reader->area + (size_t)(chunk - reader->chunks) * SMF__WAL_READ_BYTES;
        return SMF_OK;
    }
    if (chunk->capacity < bytes || chunk->align < align) {
        free_own(chunk);
        chunk->own = aligned_alloc(align, smf__round_up(bytes, align));
        if (chunk->own == NULL)
            return SMF_ENOMEM;
        chunk->capacity = smf__round_up(bytes, align);
        chunk->align = align;
    }
    chunk->data = chunk->own;
    return SMF_OK;
}

/* --- the disk ------------------------------------------------------------------------------------- */

static void read_done(struct smf__wal_io *io)
{
    struct smf__wal_reader *reader = io->owner;
    struct smf__wal_chunk *chunk = (struct smf__wal_chunk *)io;
    int is_awaited = reader->awaited < reader->used && chunk == chunk_of(reader, reader->awaited);

    chunk->under_way = 0;
    smf__wal_reader_ended(reader, is_awaited);
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
    struct smf__wal_segment *segment = reader->opening;
    int is_awaited = segment == reader->segment;

    reader->opening = NULL;
    if (io->op.status != SMF_OK) {
        if (!is_awaited)
            reader->ahead_failed = 1;
        else if (reader->error.status == SMF_OK)
            (void)smf__disk_explain(&io->op, reader->path, &reader->error);
    } else if (segment->file != NULL) { /* another reader was faster */
        close_file(reader->part->wal, io->op.file);
    } else {
        segment->file = io->op.file;
        if (segment->size_bytes < io->op.file->size_bytes)
            segment->size_bytes = io->op.file->size_bytes;
        if (segment == reader->ahead && !reader->dropping && !reader->closed)
            (void)smf__wal_fetch_ahead(reader); /* without memory: when it is asked for */
    }
    smf__wal_reader_ended(reader, is_awaited);
}

static void begin_open(struct smf__wal_reader *reader, struct smf__wal_segment *segment)
{
    /* The one that appends will go on in. */
    int writes =
        segment == reader->part->last && !segment->sealed && !reader->part->wal->options.read_only;
    if (reader->opening != NULL || (segment == reader->ahead && reader->ahead_failed))
        return;
    smf__wal_segment_path(segment, reader->path);
    reader->opening = segment;
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
static int begin_read(struct smf__wal_reader *reader, struct smf__wal_segment *segment,
                      struct smf__wal_chunk *chunk, uint64_t from, uint64_t to)
{
    struct smf__disk_file *file = segment->file;
    uint64_t align = file->offset_align_bytes;
    uint64_t aligned = (from + reader->read_bytes) & ~(align - 1);

    if (to > aligned)
        to = aligned;
    chunk->segment = segment;
    chunk->start = from & ~(align - 1);
    chunk->from = from;
    chunk->to = to;
    uint64_t size = smf__round_up(to, align) - chunk->start;
    if (chunk_room(reader, chunk, size, file->memory_align_bytes) != SMF_OK)
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
static int take_buffered(struct smf__wal_reader *reader, struct smf__wal_segment *segment,
                         struct smf__wal_chunk *chunk, uint64_t from, uint64_t to)
{
    uint8_t first[SMF__WAL_ALIGN_BYTES];

    if (to - from > reader->read_bytes)
        to = from + reader->read_bytes;
    if (smf__wal_buffers_read(segment, from, sizeof first, first) == 0)
        return 0;
    if (chunk_room(reader, chunk, to - from, 0) != SMF_OK)
        return SMF_ENOMEM;
    chunk->segment = segment;
    chunk->start = chunk->from = from;
    chunk->to = from + smf__wal_buffers_read(segment, from, to - from, chunk->data);
    chunk->io.op = (struct smf__disk_op){0};
    chunk->under_way = 0;
    reader->used++;
    return 1;
}

/* Behind the end of what is fetched of the reader's segment: the next one is held, to go on with it. */
static void go_ahead(struct smf__wal_reader *reader, uint64_t fetched_to)
{
    reader->ahead = smf__wal_reader_behind(reader->segment, fetched_to);
    reader->ahead_failed = 0;
    if (reader->ahead != NULL)
        reader->ahead->holds++;
}

static void release_ahead(struct smf__wal_reader *reader)
{
    smf__wal_reader_release(reader, reader->ahead);
    reader->ahead = NULL;
}

/* Begins one chunk. Returns 1, 0 when there is none to begin, or a status. */
static int begin_next(struct smf__wal_reader *reader)
{
    struct smf__wal_chunk *chunk = chunk_of(reader, reader->used);
    uint64_t from;
    struct smf__wal_segment *segment = fetched(reader, &from);
    if (segment == reader->segment) {
        go_ahead(reader, from);
        segment = fetched(reader, &from);
    }
    uint64_t limit = smf__wal_reader_limit(reader, segment);
    uint64_t disk_limit = smf__wal_reader_disk_limit(reader, segment);

    if (from >= limit)
        return 0;
    int status = take_buffered(reader, segment, chunk, from, limit);
    if (status != 0)
        return status;
    if (from >= disk_limit)
        return 0;
    if (segment->file == NULL) {
        begin_open(reader, segment);
        return 0;
    }
    status = begin_read(reader, segment, chunk, from, limit < disk_limit ? limit : disk_limit);
    return status == SMF_OK ? 1 : status;
}

int smf__wal_fetch_ahead(struct smf__wal_reader *reader)
{
    if (reader->dropping) {
        if (reader->under_way > 0)
            return SMF_OK;
        reader->used = 0;
        reader->dropping = 0;
        release_ahead(reader);
    }
    while (reader->used < reader->depth) {
        int status = begin_next(reader);

        if (status <= 0)
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
        smf__wal_segment_path(chunk->segment, path);
        return smf__disk_explain(op, path, &reader->error);
    }
    uint64_t ends = chunk->start + op->done;
    if (ends >= chunk->to)
        return 1;
    smf__wal_segment_path(chunk->segment, path);
    return smf__wal_reader_fail(
        reader, SMF_EIO,
        "%.120s ends at byte %llu, within the log: restore the file, or cut the log at offset %llu",
        path, (unsigned long long)ends, (unsigned long long)reader->scan.next_offset);
}

void smf__wal_fetch_pass(struct smf__wal_reader *reader)
{
    while (!reader->dropping && reader->used > 0) {
        struct smf__wal_chunk *chunk = chunk_of(reader, 0);

        if (chunk->under_way || chunk->segment != reader->segment || chunk->to > reader->scan.end)
            return;
        pop(reader);
    }
}

int smf__wal_fetch_window(struct smf__wal_reader *reader, struct smf__wal_window *window_out)
{
    const struct smf__wal_chunk *chunk = reader->used > 0 ? chunk_of(reader, 0) : NULL;

    reader->awaited = 0;
    if (reader->dropping)
        return 0;
    if (chunk != NULL && chunk->segment == reader->segment && chunk->from <= reader->scan.end) {
        int status = is_there(reader, chunk);
        uint64_t to = chunk->to > reader->spanned_to ? chunk->to : reader->spanned_to;

        if (status <= 0)
            return status;
        *window_out = (struct smf__wal_window){chunk->data, chunk->start, to - chunk->start};
        return 1;
    }
    if (!is_joined(reader))
        return 0;
    uint64_t size = reader->joined_to - reader->joined_from;
    if (reader->joined_to ==
        smf__wal_reader_limit(reader, reader->segment)) /* else the log goes on there by now */
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

static int is_behind(const struct smf__wal_chunk *chunk, const struct smf__wal_chunk *before)
{
    return chunk->segment == before->segment && chunk->from == before->to &&
           chunk->data + (chunk->from - chunk->start) ==
               before->data + (before->to - before->start);
}

/* Makes the window reach up to there, if the chunks with that lie side by side and leave as many others to
 * read ahead into. Returns 1, 0 when one of them is not there yet, or a status; *spans_out is 0 when a copy
 * has to be made. */
static int span(struct smf__wal_reader *reader, uint64_t until, int *spans_out)
{
    uint32_t count = 1;

    *spans_out = 0;
    if (reader->used == 0 || chunk_of(reader, 0)->segment != reader->segment ||
        chunk_of(reader, 0)->from > reader->scan.end)
        return 1;
    for (; chunk_of(reader, count - 1)->to < until; count++) {
        if (count == reader->used || 2 * (count + 1) > reader->chunk_count ||
            !is_behind(chunk_of(reader, count), chunk_of(reader, count - 1)))
            return 1;
    }
    *spans_out = 1;
    for (uint32_t i = 0; i < count; i++) {
        int status = is_there(reader, chunk_of(reader, i));

        reader->awaited = i;
        if (status <= 0)
            return status;
    }
    reader->spanned_to = until;
    return 1;
}

/* Puts bytes together by a copy, and zeroes behind the limit. */
static int copy_until(struct smf__wal_reader *reader, uint64_t until, uint64_t limit)
{
    reader->slack_bytes = 0;
    if (joined_room(reader, until - reader->scan.end + SMF__WAL_BATCH_HEADER_MAX_BYTES) != SMF_OK)
        return SMF_ENOMEM;
    while (reader->joined_to < until) {
        struct smf__wal_chunk *chunk = chunk_of(reader, 0);
        int status = smf__wal_fetch_ahead(reader); /* in place of those that were copied */

        reader->awaited = 0;
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

int smf__wal_fetch_join(struct smf__wal_reader *reader, uint64_t need_bytes)
{
    uint64_t limit = smf__wal_reader_limit(reader, reader->segment);
    uint64_t until = reader->scan.end + need_bytes;

    if (until <= limit) {
        int spans, status = span(reader, until, &spans);

        if (spans)
            return status;
        return copy_until(reader, until, limit);
    }
    return copy_until(reader, limit, limit);
}

/* --- memory --------------------------------------------------------------------------------------- */

static void forget_joined(struct smf__wal_reader *reader)
{
    reader->joined_from = reader->joined_to = reader->slack_bytes = reader->spanned_to = 0;
}

void smf__wal_fetch_drop(struct smf__wal_reader *reader)
{
    forget_joined(reader);
    reader->dropping = reader->under_way > 0;
    if (reader->dropping)
        return;
    reader->used = 0;
    release_ahead(reader);
}

int smf__wal_fetch_cross(struct smf__wal_reader *reader)
{
    struct smf__wal_segment *segment = reader->segment;

    smf__wal_fetch_pass(reader);
    if (reader->dropping || reader->ahead == NULL || reader->ahead != segment->next ||
        reader->opening == segment ||
        (reader->used > 0 && chunk_of(reader, 0)->segment != reader->ahead))
        return 0;
    forget_joined(reader);
    reader->segment = reader->ahead;
    reader->ahead = NULL;
    smf__wal_reader_release(reader, segment);
    return 1;
}

void smf__wal_fetch_shrink(struct smf__wal_reader *reader)
{
    reader->depth = 1;
    reader->read_bytes = SMF__WAL_READ_FIRST_BYTES;
    smf__wal_fetch_pass(reader);
    if (reader->used > 0 || reader->dropping || is_joined(reader))
        return;
    for (uint32_t i = 0; i < reader->chunk_count; i++) {
        struct smf__wal_chunk *chunk = &reader->chunks[i];

        /* One small one is kept, where the next read will want it. */
        if (i > 0 || chunk->capacity > SMF__WAL_READ_FIRST_BYTES + chunk->align)
            free_own(chunk);
    }
    free(reader->area);
    reader->area = NULL;
    reader->first = 0;
    if (reader->joined_capacity > SMF__WAL_READ_FIRST_BYTES) {
        free(reader->joined);
        reader->joined = NULL;
        reader->joined_capacity = 0;
    }
}

void smf__wal_fetch_free(struct smf__wal_reader *reader)
{
    release_ahead(reader);
    for (uint32_t i = 0; i < reader->chunk_count; i++)
        free(reader->chunks[i].own);
    free(reader->chunks);
    free(reader->area);
    free(reader->joined);
}
