/* Files of a partition: made ready in the background, begun, given up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_log.h"
#include "wal/wal_make.h"

/* Room ahead of need: in steps that double, begun when what is left is half a step. */
#define ROOM_STEP_MIN_BYTES (1ull << 20)
#define ROOM_STEP_MAX_BYTES (64ull << 20)
#define ROOM_STEP_PARTS 2u
/* The next file is made when so much of this one is used. */
#define NEXT_FILE_NUMERATOR 3u
#define NEXT_FILE_DENOMINATOR 4u
#define ROOM_STATUS_NS 1000000000ull /* how long it matters that there was no room */

void smf__wal_segment_path(const struct smf__wal_segment *segment, char *path_out)
{
    char name[SMF__WAL_FILE_NAME_BYTES] = "META";
    if (segment->part->topic != NULL)
        smf__wal_file_name(segment->header.number, segment->header.first_offset, name);
    snprintf(path_out, SMF__DISK_PATH_MAX_BYTES, "%.*s/%s",
             (int)(SMF__DISK_PATH_MAX_BYTES - SMF__WAL_FILE_NAME_BYTES - 1),
             segment->part->topic != NULL ? segment->part->folder : segment->part->wal->folder,
             name);
}

/* --- room ----------------------------------------------------------------------------------------- */

uint64_t smf__wal_segment_bytes(const struct smf__wal_part *part)
{
    if (part->topic == NULL)
        return SMF__WAL_FILE_MAX_BYTES;
    uint64_t bytes = part->topic->config.segment_bytes;
    if (bytes == 0)
        bytes = SMF__WAL_SEGMENT_DEFAULT_BYTES;
    if (bytes < SMF__WAL_SEGMENT_MIN_BYTES)
        bytes = SMF__WAL_SEGMENT_MIN_BYTES;
    bytes = smf__round_up(bytes, SMF__WAL_BLOCK_MAX_BYTES);
    return bytes < SMF__WAL_FILE_MAX_BYTES ? bytes : SMF__WAL_FILE_MAX_BYTES;
}

uint64_t smf__wal_room_step(const struct smf__wal_part *part)
{
    return part->zero_step_bytes != 0 ? part->zero_step_bytes : ROOM_STEP_MIN_BYTES;
}

static uint64_t capacity_of(const struct smf__wal_segment *segment)
{
    return segment->capacity_bytes != 0 ? segment->capacity_bytes
                                        : smf__wal_segment_bytes(segment->part);
}

/* Can this segment be written to at all? */
static int is_open(const struct smf__wal_segment *last)
{
    return last != NULL && !last->sealed && last->file != NULL && !last->file->read_only &&
           last->header.block_bytes >= last->file->offset_align_bytes;
}

/* --- the one that was closed ----------------------------------------------------------------------- */

struct waking {
    struct smf__wal_io io;
    struct smf__wal_segment *segment;
    char path[SMF__DISK_PATH_MAX_BYTES];
};

static void wake_done(struct smf__wal_io *io)
{
    struct waking *waking = io->owner;
    struct smf__wal_segment *last = waking->segment;
    struct smf__wal_part *part = last->part;
    struct smf__disk_file *file = io->op.file;
    int opened = io->op.kind == SMF__DISK_OPEN && io->op.status == SMF_OK;
    if (opened && (last->file != NULL || last != part->last || last->sealed)) {
        /* A reader was faster, or the tail was cut meanwhile. */
        waking->io.op = (struct smf__disk_op){.kind = SMF__DISK_CLOSE, .file = file};
        smf__wal_queue(part->wal, &waking->io);
        return;
    }
    if (opened) {
        last->file = file;
        last->size_bytes = file->size_bytes;
    } else if (io->op.kind == SMF__DISK_OPEN) {
        last->sealed = 1; /* the next append begins another one, or says why it can't */
    }
    part->is_waking = 0;
    free(waking);
    smf__wal_touch(part);
    smf__wal_segment_release(last);
}

int smf__wal_segment_wake(struct smf__wal_part *part)
{
    struct smf__wal_segment *last = part->last;
    if (part->is_waking)
        return 0;
    if (last == NULL || last->sealed || last->file != NULL)
        return 1;
    struct waking *waking = malloc(sizeof *waking);
    if (waking == NULL)
        return 0; /* whoever comes again tries again */
    waking->segment = last;
    smf__wal_segment_path(last, waking->path);
    waking->io = (struct smf__wal_io){
        .op = {.kind = SMF__DISK_OPEN, .path = waking->path}, .done = wake_done, .owner = waking};
    part->is_waking = 1;
    last->holds++;
    smf__wal_queue(part->wal, &waking->io);
    return 0;
}

/* --- room there ----------------------------------------------------------------------------------- */

int smf__wal_segment_fits(const struct smf__wal_part *part, uint64_t position, uint64_t size)
{
    const struct smf__wal_segment *last = part->last;
    return is_open(last) &&
           smf__round_up(position + size, last->header.block_bytes) <= capacity_of(last);
}

void smf__wal_room_failed(struct smf__wal_part *part, int status, int ahead)
{
    part->room_status = status;
    part->room_ahead = ahead && smf__wal_no_space(status);
    part->room_ns = part->wal->now_ns;
    part->zero_step_bytes = 0;
}

static int is_recent(const struct smf__wal_part *part)
{
    return part->room_status != SMF_OK &&
           smf__clock_now_ns(&part->wal->options.clock) - part->room_ns < ROOM_STATUS_NS;
}

/* Why the last attempt failed: once, to whoever needs room next. There may be enough for that where there
 * was not enough to make room ahead. */
static int say_status(struct smf__wal_part *part)
{
    int status = is_recent(part) && !part->room_ahead ? part->room_status : SMF_OK;
    part->room_status = SMF_OK;
    return status;
}

static void start_zero(struct smf__wal_segment *segment, uint64_t end);

static void zero_done(struct smf__wal_io *io)
{
    struct smf__wal_segment *segment = io->owner;
    struct smf__wal_part *part = segment->part;
    uint64_t end = io->op.offset + io->op.size;
    part->zeroing = 0;
    if (io->op.status == SMF_OK) {
        segment->size_bytes = end;
        part->zero_step_bytes = smf__wal_room_step(part) * 2;
        if (part->zero_step_bytes > ROOM_STEP_MAX_BYTES)
            part->zero_step_bytes = ROOM_STEP_MAX_BYTES;
    } else if (smf__wal_no_space(io->op.status) && part->room_need != 0 && part->room_need < end) {
        part->zero_step_bytes = 0; /* no more than what somebody needs, then */
        start_zero(segment, part->room_need);
    } else {
        smf__wal_room_failed(part, io->op.status, part->room_need == 0);
    }
    if (!part->zeroing)
        part->room_need = 0;
    smf__wal_touch(part);
    smf__wal_segment_release(segment);
}

/* Makes the file longer, up to this position. */
static void start_zero(struct smf__wal_segment *segment, uint64_t end)
{
    struct smf__wal_part *part = segment->part;
    part->zeroing = 1;
    segment->holds++;
    part->zero = (struct smf__wal_io){
        .op = {.kind = SMF__DISK_ZERO,
               .file = segment->file,
               .offset = segment->size_bytes,
               .size = end - segment->size_bytes},
        .done = zero_done,
        .owner = segment,
    };
    smf__wal_queue(part->wal, &part->zero);
}

static void zero_step(struct smf__wal_segment *last, uint64_t need)
{
    uint64_t capacity = capacity_of(last);
    uint64_t end = last->size_bytes + smf__wal_room_step(last->part);
    if (end < need)
        end = need;
    start_zero(last, end < capacity ? end : capacity);
}

int smf__wal_segment_room(struct smf__wal_part *part, uint64_t position, uint64_t size)
{
    struct smf__wal_segment *last = part->last;
    uint64_t need = smf__round_up(position + size, last->header.block_bytes);
    if (need <= last->size_bytes)
        return 1;
    if (part->zeroing) {
        part->room_need = need > part->room_need ? need : part->room_need;
        return 0;
    }
    int status = say_status(part);
    if (status != SMF_OK)
        return status;
    part->room_need = need;
    zero_step(last, need);
    return 0;
}

void smf__wal_segment_ahead(struct smf__wal_part *part)
{
    struct smf__wal_segment *last = part->last;
    if (!is_open(last) || is_recent(part) || part->wal->closing || part->held)
        return;
    uint64_t capacity = capacity_of(last);
    smf__check(last->end <= last->size_bytes);
    if (!part->zeroing && last->size_bytes < capacity &&
        last->size_bytes - last->end < smf__wal_room_step(part) / ROOM_STEP_PARTS)
        zero_step(last, 0);
    if (part->topic != NULL && part->making == NULL && part->spare_count == 0 &&
        last->end > capacity / NEXT_FILE_DENOMINATOR * NEXT_FILE_NUMERATOR)
        smf__wal_make(part);
}

/* --- the next one --------------------------------------------------------------------------------- */

int smf__wal_segment_roll(struct smf__wal_part *part)
{
    if (part->topic == NULL)
        return part->last != NULL && is_open(part->last) ? SMF_ELIMIT : SMF_EREADONLY;
    if (part->making == NULL) {
        int status = say_status(part);
        if (status == SMF_OK)
            status = smf__wal_make(part);
        if (status != SMF_OK)
            return status;
    }
    smf__wal_buffers_seal(part);
    smf__wal_touch(part);
    smf__wal_make_begin(part, &(struct smf__wal_cut){.behind = part->last});
    return 0;
}

static int begin_error(const struct smf__wal_part *part, int status, struct smf_error *error_out)
{
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    if (part->status != SMF_OK)
        return smf__error(error_out, status, 0, part->status_text);
    snprintf(text, sizeof text, "no file could be begun in %.120s: %s%s", part->folder,
             smf_status_name(status),
             smf__wal_no_space(status) ? "; free some space on this file system" : "");
    return smf__error(error_out, status, 0, text);
}

static int await_segment(struct smf__wal_part *part, const struct smf__wal_segment *before,
                         struct smf_error *error_out)
{
    while (part->last == before && part->making != NULL && part->status == SMF_OK)
        smf__wal_wait(part->wal);
    if (part->last != before)
        return SMF_OK;
    int status = part->status != SMF_OK ? part->status : part->room_status;
    smf__check(status != SMF_OK);
    part->room_status = SMF_OK;
    return begin_error(part, status, error_out);
}

int smf__wal_segment_begin_at(struct smf__wal_part *part, struct smf__wal_segment *behind,
                              uint64_t end, uint32_t crc, uint64_t offset,
                              struct smf_error *error_out)
{
    struct smf__wal_cut cut = {behind, end, crc, offset, 1};
    smf__check(part->held && part->buffers == NULL && part->plain == 0);
    /* One that was to follow what is cut, or that is being given up. */
    while (smf__wal_make_begun(part) || smf__wal_make_failed(part))
        smf__wal_wait(part->wal);
    if (part->status != SMF_OK)
        return begin_error(part, part->status, error_out);
    const struct smf__wal_segment *before = part->last;
    part->room_status = SMF_OK;
    int status = part->making != NULL ? SMF_OK : smf__wal_make(part);
    if (status != SMF_OK)
        return begin_error(part, status, error_out);
    smf__wal_make_begin(part, &cut);
    return await_segment(part, before, error_out);
}

int smf__wal_segment_open(struct smf__wal_segment *segment)
{
    const struct smf__wal_part *part = segment->part;
    char path[SMF__DISK_PATH_MAX_BYTES];
    if (segment->file != NULL)
        return SMF_OK;
    int writes = segment == part->last && !segment->sealed && !part->wal->options.read_only;
    smf__wal_segment_path(segment, path);
    struct smf__disk_op op = {
        .kind = SMF__DISK_OPEN, .flags = writes ? 0 : SMF__DISK_READ_ONLY, .path = path};
    segment->holds++;
    int status = smf__wal_run(part->wal, &op);
    if (status == SMF_OK && segment->file != NULL) { /* somebody else was faster */
        struct smf__disk_op close = {.kind = SMF__DISK_CLOSE, .file = op.file};
        (void)smf__wal_run(part->wal, &close);
    } else if (status == SMF_OK) {
        segment->file = op.file;
        segment->size_bytes = op.file->size_bytes;
    }
    if (segment->gone)
        smf__wal_segment_release(segment);
    else
        segment->holds--; /* the caller's use begins now */
    return status;
}
