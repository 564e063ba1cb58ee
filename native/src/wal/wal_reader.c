#include "wal/wal_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"

#define NAME_TAIL_BYTES 90u /* of a path, in the text of an error */

/* The end of a path, which tells files apart. */
static const char *tail_of(const char *path)
{
    size_t size = strlen(path);

    return size > NAME_TAIL_BYTES ? path + size - NAME_TAIL_BYTES : path;
}

int smf__wal_reader_fail(struct smf__wal_reader *reader, int status, const char *format, ...)
{
    va_list arguments;

    reader->error = (struct smf_error){.status = status};
    va_start(arguments, format);
    vsnprintf(reader->error.text, sizeof reader->error.text, format, arguments);
    va_end(arguments);
    return status;
}

/* --- how far -------------------------------------------------------------------------------------- */

static const struct smf__wal_mark *mark_of(const struct smf__wal_reader *reader)
{
    const struct smf__wal_part *part = reader->part;

    if (reader->view == SMF__WAL_BUFFERED)
        return &part->buffered;
    return reader->view == SMF__WAL_WRITTEN ? &part->written : &part->durable;
}

/* Where what counts of a segment ends; the last one grows. */
static uint64_t segment_end(const struct smf__wal_segment *segment)
{
    if (segment->next == NULL)
        return UINT64_MAX;
    if (smf__wal_place_number(segment->next->header.follows) != segment->header.number)
        return segment->end; /* a file is missing between the two: see cross */
    return smf__wal_place_position(segment->next->header.follows);
}

/* How much of a segment is before a place. */
static uint64_t position_before(const struct smf__wal_segment *segment, uint64_t place)
{
    uint64_t end = segment_end(segment);

    if (end == UINT64_MAX)
        end = smf__wal_place_number(place) > segment->header.number ? segment->end : end;
    if (smf__wal_place_number(place) < segment->header.number)
        return 0;
    if (smf__wal_place_number(place) > segment->header.number ||
        smf__wal_place_position(place) > end)
        return end;
    return smf__wal_place_position(place);
}

uint64_t smf__wal_reader_limit(const struct smf__wal_reader *reader,
                               const struct smf__wal_segment *segment)
{
    uint64_t limit = position_before(segment, mark_of(reader)->place);
    uint64_t damage = reader->part->damage.place;

    if (damage != 0 && smf__wal_place_number(damage) == segment->header.number &&
        smf__wal_place_position(damage) < limit)
        limit = smf__wal_place_position(damage);
    return limit;
}

uint64_t smf__wal_reader_disk_limit(const struct smf__wal_reader *reader,
                                    const struct smf__wal_segment *segment)
{
    /* The block in which a batch ends was written with it, whether padding is behind it there or not. */
    return smf__round_up(position_before(segment, reader->part->written.place),
                         segment->header.block_bytes);
}

struct smf__wal_segment *smf__wal_reader_behind(const struct smf__wal_segment *segment,
                                                uint64_t position)
{
    return segment->next != NULL && position >= segment_end(segment) ? segment->next : NULL;
}

/* --- where ---------------------------------------------------------------------------------------- */

void smf__wal_reader_release(struct smf__wal_reader *reader, struct smf__wal_segment *segment)
{
    if (segment == NULL)
        return;
    if (segment->holds == 1 && !segment->gone && segment != reader->part->last)
        smf__wal_fetch_close(segment);
    smf__wal_segment_release(segment);
}

static void release(struct smf__wal_reader *reader)
{
    struct smf__wal_segment *segment = reader->segment;

    reader->segment = NULL;
    smf__wal_reader_release(reader, segment);
}

/* Returns 1, or 0 when reads have to end before. */
static int leave(struct smf__wal_reader *reader)
{
    smf__wal_fetch_drop(reader);
    if (reader->dropping)
        return 0;
    release(reader);
    return 1;
}

/* Stands in a segment, as far in front of at as is known. */
static void enter(struct smf__wal_reader *reader, struct smf__wal_segment *segment)
{
    const struct smf__wal_waypoint *waypoint = smf__wal_index_find(segment, reader->at);
    struct smf__wal_scan *scan = &reader->scan;

    reader->segment = segment;
    segment->holds++;
    smf__wal_scan_begin(scan, &segment->header);
    if (segment->scan.file != NULL && segment->scan.next_offset <= reader->at &&
        segment->scan.end <= segment_end(segment)) {
        *scan = segment->scan;
        scan->file = &segment->header;
    } else if (waypoint != NULL) {
        scan->end = waypoint->position;
        scan->next_offset = waypoint->offset;
        scan->prev_crc = waypoint->prev_crc;
    }
}

/* Finds the segment that at is in. Returns 1, 0 when there is none yet, or a status. */
static int locate(struct smf__wal_reader *reader)
{
    struct smf__wal_segment *segment = reader->part->last;

    if (segment == NULL)
        return 0;
    while (segment != NULL && segment->header.first_offset > reader->at)
        segment = segment->previous;
    if (segment == NULL)
        return smf__wal_reader_fail(
            reader, SMF_ENOTFOUND,
            "offset %llu of %.100s is gone: the log begins at offset %llu, read from there",
            (unsigned long long)reader->at, tail_of(reader->part->folder),
            (unsigned long long)reader->part->first->header.first_offset);
    enter(reader, segment);
    return 1;
}

/* Goes on to the next segment. Returns 1, 0 or a status. */
static int cross(struct smf__wal_reader *reader)
{
    struct smf__wal_segment *segment = reader->segment, *next = segment->next;
    char path[SMF__DISK_PATH_MAX_BYTES];

    if (next->header.follows != smf__wal_place(segment->header.number, reader->scan.end) ||
        next->header.follows_crc != reader->scan.prev_crc ||
        next->header.first_offset > reader->scan.next_offset) {
        smf__wal_segment_path(next, path);
        return smf__wal_reader_fail(
            reader, SMF_EIO,
            "what is before %s is not there: it ends at offset %llu; restore the files, or cut the "
            "log there",
            tail_of(path), (unsigned long long)reader->scan.next_offset);
    }
    if (!smf__wal_fetch_cross(reader)) {
        if (!leave(reader))
            return 0;
        reader->segment = next;
        next->holds++;
    }
    if (reader->at < next->header.first_offset)
        reader->at = next->header.first_offset;
    smf__wal_scan_begin(&reader->scan, &next->header);
    return 1;
}

/* Were records cut that the reader has handed out, or waits for? */
static int is_tail_cut(const struct smf__wal_reader *reader)
{
    const struct smf__wal_segment *segment = reader->part->last;

    if (reader->at > reader->part->next_offset)
        return 1;
    for (; segment != NULL && segment->header.number > reader->last_number;
         segment = segment->previous) {
        if (segment->header.first_offset < reader->at)
            return 1;
    }
    return 0;
}

/* Has it passed batches without records, a stamp, that were cut then? */
static int is_past_cut(const struct smf__wal_reader *reader)
{
    return reader->segment->next != NULL && reader->scan.end > segment_end(reader->segment);
}

/* Past what this process began the file with, and the padding behind it: neither is in a buffer. */
static void pass_state(struct smf__wal_reader *reader)
{
    const struct smf__wal_segment *segment = reader->segment;
    uint64_t behind = smf__round_up(segment->state_end, segment->header.block_bytes);

    if (segment->end <= segment->state_end || reader->scan.end >= behind)
        return;
    reader->scan.end = behind;
    reader->scan.prev_crc = segment->state_crc;
}

/* Stands where the next batch is. Returns 1, 0 or a status. */
static int stand(struct smf__wal_reader *reader)
{
    struct smf__wal_part *part = reader->part;

    if (reader->at < part->head)
        return smf__wal_reader_fail(
            reader, SMF_ENOTFOUND,
            "offset %llu of %.100s is gone: the log begins at offset %llu, read from there",
            (unsigned long long)reader->at, tail_of(part->folder), (unsigned long long)part->head);
    if (is_tail_cut(reader))
        return smf__wal_reader_fail(
            reader, SMF_EINVAL,
            "records of %.100s before offset %llu were cut while it was read: read again from "
            "where both agree",
            tail_of(part->folder), (unsigned long long)reader->at);
    if (part->last != NULL)
        reader->last_number = part->last->header.number;
    /* At the end of what can be read nothing is fetched, and so nothing else would end this: the reader would
     * wait for a disk that has nothing to do for it. */
    if (reader->dropping && reader->under_way == 0)
        smf__wal_fetch_drop(reader);
    if (reader->segment != NULL && (reader->segment->gone || is_past_cut(reader)) && !leave(reader))
        return 0;
    if (reader->segment != NULL && reader->ahead != NULL && !reader->dropping &&
        (reader->ahead->gone || reader->ahead != reader->segment->next))
        smf__wal_fetch_drop(reader); /* what is ahead was cut */
    if (reader->segment == NULL) {
        int status = locate(reader);

        if (status <= 0)
            return status;
    }
    while (reader->segment->next != NULL && reader->scan.end >= segment_end(reader->segment)) {
        int status = cross(reader);

        if (status <= 0)
            return status;
    }
    pass_state(reader);
    return 1;
}

/* --- batches -------------------------------------------------------------------------------------- */

static int fail_damage(struct smf__wal_reader *reader, int what)
{
    char path[SMF__DISK_PATH_MAX_BYTES];

    smf__wal_segment_path(reader->segment, path);
    return smf__wal_reader_fail(
        reader, SMF_EIO, "%s: %s at byte %llu, where offset %llu should be: %s", tail_of(path),
        smf__wal_status_name(what), (unsigned long long)reader->scan.end,
        (unsigned long long)reader->scan.next_offset,
        reader->part->wal->options.read_only
            ? "open the log again, if another process has cut it; else restore the file"
            : "restore the file, or cut the log there");
}

static int fail_unsupported(struct smf__wal_reader *reader)
{
    char path[SMF__DISK_PATH_MAX_BYTES];

    smf__wal_segment_path(reader->segment, path);
    return smf__wal_reader_fail(
        reader, SMF_EUNSUPPORTED,
        "%s: the batch at byte %llu, from offset %llu on, was written by a later version: read it "
        "with that one",
        tail_of(path), (unsigned long long)reader->scan.end,
        (unsigned long long)reader->scan.next_offset);
}

/* Adds a batch of records to a run, if any of them is to be handed out. */
static void add(struct smf__wal_reader *reader, const struct smf__wal_window *window,
                const struct smf__wal_batch *batch, uint64_t position, struct smf__wal_run *run)
{
    const struct smf__wal_segment *next = reader->segment->next;
    uint64_t end = reader->scan.next_offset;

    if (next != NULL && end > next->header.first_offset)
        end = next->header.first_offset;
    /* What a file cut off that can't be read now does not count again. */
    if (reader->part->damage.place != 0 && end > mark_of(reader)->offset)
        end = mark_of(reader)->offset;
    if (end <= reader->at)
        return;
    if (run->batches == 0) {
        run->bytes = window->bytes + (position - window->position);
        run->position = position;
        run->first_offset = batch->first_offset > reader->at ? batch->first_offset : reader->at;
        run->segment = reader->segment;
    }
    run->size_bytes = reader->scan.end - run->position;
    run->end_offset = end;
    run->batches++;
    reader->at = end;
}

static int is_plain(const struct smf__wal_batch *batch)
{
    return batch->kind == SMF__WAL_RECORDS && batch->compression == SMF__WAL_PLAIN;
}

/* Takes batches from a window into a run, until it has to end. Returns GOOD, TRUNCATED when the run is
 * empty and the window ends too early, or a status (< 0). */
static int take_from(struct smf__wal_reader *reader, const struct smf__wal_window *window,
                     uint64_t limit, struct smf__wal_run *run)
{
    while (reader->scan.end < limit) {
        struct smf__wal_scan before = reader->scan;
        struct smf__wal_batch batch;
        uint64_t position;
        int what = smf__wal_scan_next(&reader->scan, window, &batch, &position);

        if (what == SMF__WAL_TRUNCATED && run->batches == 0)
            return SMF__WAL_TRUNCATED;
        if (what == SMF__WAL_GOOD && reader->scan.end > limit)
            what = SMF__WAL_OUT_OF_RANGE; /* what counts ends within a batch */
        else if (what == SMF__WAL_GOOD && batch.compression != SMF__WAL_PLAIN)
            what = SMF__WAL_UNSUPPORTED;
        if (run->batches > 0 && (what != SMF__WAL_GOOD || !is_plain(&batch))) {
            reader->scan = before; /* the next call tells */
            return SMF__WAL_GOOD;
        }
        if (what != SMF__WAL_GOOD) {
            reader->scan = before;
            return what == SMF__WAL_UNSUPPORTED ? fail_unsupported(reader)
                                                : fail_damage(reader, what);
        }
        /* Without memory it stays unknown, and is walked over again. */
        (void)smf__wal_index_add(reader->segment, &batch, position);
        if (batch.kind == SMF__WAL_RECORDS)
            add(reader, window, &batch, position, run);
    }
    return SMF__WAL_GOOD;
}

/* Returns 1 with a run, 0 or a status. */
static int take_run(struct smf__wal_reader *reader, struct smf__wal_run *run)
{
    uint64_t limit = smf__wal_reader_limit(reader, reader->segment);
    uint64_t whole = UINT64_MAX; /* from there on all bytes up to the limit were tried */

    while (reader->scan.end < limit) {
        struct smf__wal_window window;
        int status;

        smf__wal_fetch_pass(reader);
        status = smf__wal_fetch_ahead(reader);
        if (status != SMF_OK)
            return status;
        status = smf__wal_fetch_window(reader, &window);
        if (status <= 0)
            return status;
        status = take_from(reader, &window, limit, run);
        if (status < 0)
            return status;
        if (run->batches > 0)
            return 1;
        if (status == SMF__WAL_GOOD || reader->scan.end >= window.position + window.size)
            continue; /* all of it was passed */
        if (window.position + window.size >= limit) {
            if (whole == reader->scan.end)
                return fail_damage(reader, SMF__WAL_TRUNCATED);
            whole = reader->scan.end;
        }
        status = smf__wal_fetch_join(reader, reader->scan.need_bytes);
        if (status <= 0)
            return status;
    }
    return 0;
}

/* At the end of what can be read: because it is damaged there? Nothing is appended behind damage, and what
 * stands between here and the damage has no records. */
static int stopped_by_damage(const struct smf__wal_reader *reader)
{
    return reader->part->damage.place != 0 && reader->at >= mark_of(reader)->offset;
}

static int next_run(struct smf__wal_reader *reader, struct smf__wal_run *run)
{
    if (reader->error.status != SMF_OK)
        return reader->error.status;
    for (;;) {
        int status = stand(reader);

        if (status > 0)
            status = take_run(reader, run);
        if (status != 0)
            return status;
        if (reader->segment == NULL || reader->dropping ||
            reader->scan.end < smf__wal_reader_limit(reader, reader->segment))
            break;
        if (reader->segment->next == NULL || reader->scan.end < segment_end(reader->segment))
            break; /* else on to the next segment */
    }
    if (stopped_by_damage(reader))
        return smf__wal_reader_fail(reader, SMF_EIO, "%.200s",
                                    reader->part->status_text[0] != 0
                                        ? reader->part->status_text
                                        : "the log is damaged from here on");
    return 0;
}

/* --- who waits ------------------------------------------------------------------------------------ */

static void tell(struct smf__wal_reader *reader)
{
    struct smf__wal *wal = reader->part->wal;

    reader->waits = SMF__WAL_WAITS_NOT;
    if (wal->readable != NULL)
        wal->readable(wal->told_context, reader);
}

static void free_reader(struct smf__wal_reader *reader)
{
    release(reader);
    smf__wal_fetch_free(reader);
    free(reader);
}

void smf__wal_reader_ended(struct smf__wal_reader *reader, int is_awaited)
{
    reader->under_way--;
    if (reader->closed) {
        if (reader->under_way == 0)
            free_reader(reader);
        return;
    }
    if (reader->dropping)
        is_awaited = reader->under_way == 0;
    if (is_awaited && reader->waits == SMF__WAL_WAITS_FOR_DISK)
        tell(reader);
}

void smf__wal_readers_tell(struct smf__wal_part *part)
{
    for (struct smf__wal_reader *reader = part->readers; reader != NULL; reader = reader->next) {
        if (reader->waits == SMF__WAL_WAITS_FOR_LOG &&
            (mark_of(reader)->offset > reader->at || reader->at < part->head ||
             part->damage.place != 0 || is_tail_cut(reader)))
            tell(reader);
    }
}

/* --- calls ---------------------------------------------------------------------------------------- */

static int check_open(const struct smf__wal_part *part, uint64_t from, uint32_t view,
                      uint64_t ahead_bytes, struct smf_error *error)
{
    error->status = SMF_EINVAL;
    if (view >= SMF__WAL_ACKS)
        snprintf(error->text, sizeof error->text,
                 "view %u is none: 0 is what is buffered, 1 written, 2 durable", view);
    else if (ahead_bytes > SMF__WAL_AHEAD_MAX_BYTES)
        snprintf(error->text, sizeof error->text,
                 "a reader can't read %llu bytes ahead: at most %u",
                 (unsigned long long)ahead_bytes, SMF__WAL_AHEAD_MAX_BYTES);
    else if (from < part->head || from > part->next_offset)
        snprintf(error->text, sizeof error->text,
                 "offset %llu is not in %.100s: read from an offset between %llu and %llu, its end",
                 (unsigned long long)from, tail_of(part->folder), (unsigned long long)part->head,
                 (unsigned long long)part->next_offset);
    else
        error->status = SMF_OK;
    return error->status;
}

/* NULL: no memory. */
static struct smf__wal_reader *new_reader(uint32_t chunk_count, struct smf_error *error)
{
    struct smf__wal_reader *reader = calloc(1, sizeof *reader);
    struct smf__wal_chunk *chunks = calloc(chunk_count, sizeof *chunks);

    if (reader == NULL || chunks == NULL) {
        free(reader);
        free(chunks);
        error->status = SMF_ENOMEM;
        snprintf(error->text, sizeof error->text, "no memory for a reader: close another one");
        return NULL;
    }
    reader->chunks = chunks;
    reader->chunk_count = chunk_count;
    return reader;
}

int smf__wal_reader_open(struct smf__wal_part *part, uint64_t from, uint32_t view,
                         uint64_t ahead_bytes, uint64_t user, struct smf__wal_reader **reader_out,
                         struct smf_error *error_out)
{
    struct smf_error error = {0};
    struct smf__wal_reader *reader = NULL;

    if (ahead_bytes == 0)
        ahead_bytes = SMF__WAL_AHEAD_BYTES;
    if (check_open(part, from, view, ahead_bytes, &error) == SMF_OK)
        reader = new_reader(
            1 + (uint32_t)((ahead_bytes + SMF__WAL_READ_BYTES - 1) / SMF__WAL_READ_BYTES), &error);
    if (reader == NULL) {
        if (error_out != NULL)
            *error_out = error;
        return error.status;
    }
    reader->part = part;
    reader->view = view;
    reader->user = user;
    reader->at = from;
    reader->last_number = part->last != NULL ? part->last->header.number : 0;
    reader->depth = 1;
    reader->read_bytes = SMF__WAL_READ_FIRST_BYTES;
    reader->next = part->readers;
    part->readers = reader;
    *reader_out = reader;
    return SMF_OK;
}

void smf__wal_reader_close(struct smf__wal_reader *reader)
{
    struct smf__wal_reader **link = &reader->part->readers;

    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    if (reader->part->readers == NULL)
        smf__wal_follow_free(reader->part);
    reader->closed = 1;
    if (reader->under_way == 0)
        free_reader(reader);
}

int smf__wal_reader_next(struct smf__wal_reader *reader, struct smf__wal_run *run_out,
                         struct smf_error *error_out)
{
    memset(run_out, 0, sizeof *run_out);
    reader->waits = SMF__WAL_WAITS_NOT;
    int status = next_run(reader, run_out);

    if (status == 0) {
        const struct smf__wal_segment *segment = reader->segment;
        int is_at_limit =
            segment == NULL || reader->scan.end >= smf__wal_reader_limit(reader, segment);

        reader->waits = reader->dropping || (reader->under_way > 0 && !is_at_limit)
                            ? SMF__WAL_WAITS_FOR_DISK
                            : SMF__WAL_WAITS_FOR_LOG;
        if (is_at_limit)
            smf__wal_fetch_shrink(reader);
    } else if (status < 0 && error_out != NULL) {
        *error_out = reader->error;
        if (reader->error.status == SMF_OK) { /* not kept */
            error_out->status = status;
            snprintf(error_out->text, sizeof error_out->text,
                     "no memory to read on: close another reader, and try again");
        }
    }
    return status;
}

uint64_t smf__wal_reader_user(const struct smf__wal_reader *reader)
{
    return reader->user;
}

struct smf__wal_part *smf__wal_reader_part(const struct smf__wal_reader *reader)
{
    return reader->part;
}

int smf__wal_reader_at_end(const struct smf__wal_reader *reader)
{
    /* Where it is damaged, the next call says so. */
    return reader->error.status == SMF_OK && mark_of(reader)->offset <= reader->at &&
           !stopped_by_damage(reader);
}
