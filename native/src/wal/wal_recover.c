/* What the folder of a partition holds, and where its log ends (docs/wal-format.md, "Reading a file" and
 * "After a crash"). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_look.h"

/* A file of the folder, by its name. */
struct found {
    uint32_t number;
    uint64_t first_offset;
};

struct recovery {
    struct smf__wal *wal;
    struct smf__wal_part *part;
    const struct smf__wal_checkpoint *checkpoint; /* NULL: META has none */
    struct smf__wal_look look;
    struct found *found; /* by number */
    uint32_t found_count;
    uint64_t trusted; /* everything before this place is known to be whole and durable */
    struct smf__wal_segment
        *checked; /* the first one that was scanned: it, and those behind, may be
                                         in a cache only */
    int unsupported;
    int lies;   /* the checkpoint names a batch that is not in its file */
    int is_cut; /* a file that can't be read has cut off what is from cut_at on in those before it */
    uint64_t cut_at;
    struct smf_error *error_out;
};

/* --- damage --------------------------------------------------------------------------------------- */

/* The first reason counts. */
__attribute__((format(printf, 3, 4))) static void fence(struct smf__wal_part *part, int status,
                                                        const char *format, ...)
{
    va_list arguments;
    if (part->status != SMF_OK)
        return;
    part->status = status;
    va_start(arguments, format);
    vsnprintf(part->status_text, sizeof(part->status_text), format, arguments);
    va_end(arguments);
}

/* What is from this place on can't be read. Of several the lowest counts. */
static void damage(struct recovery *recovery, uint32_t number, uint64_t first_offset,
                   struct smf__wal_mark mark, const char *why)
{
    struct smf__wal_part *part = recovery->part;
    char name[SMF__WAL_FILE_NAME_BYTES];
    smf__wal_file_name(number, first_offset, name);
    fence(part, SMF_EIO,
          "%.60s/%u/%s is damaged at byte %llu, offset %llu: %s; run smf log verify, then smf log "
          "repair",
          part->topic->name, part->number, name,
          (unsigned long long)smf__wal_place_position(mark.place), (unsigned long long)mark.offset,
          why);
    if (part->damage.place == 0 || mark.place < part->damage.place)
        part->damage = mark;
    if (recovery->is_cut && part->damage.offset > recovery->cut_at)
        part->damage.offset = recovery->cut_at;
}

static void damage_at_end(struct recovery *recovery, const struct smf__wal_segment *segment,
                          const char *why)
{
    struct smf__wal_mark mark = {
        .place = smf__wal_place(segment->header.number, segment->scan.end),
        .offset = segment->scan.next_offset,
        .crc = segment->scan.prev_crc,
    };
    damage(recovery, segment->header.number, segment->header.first_offset, mark, why);
}

/* A status that a read ended with: a disk that can't read is damage, all others end the opening. */
static int disk_failed(struct recovery *recovery, const struct smf__wal_segment *segment,
                       int status)
{
    if (status != SMF_EIO)
        return smf__wal_say(recovery->error_out, status, "%s", recovery->look.error.text);
    damage_at_end(recovery, segment, "the disk can't read it");
    return SMF_OK;
}

/* --- the folder ----------------------------------------------------------------------------------- */

static int by_number(const void *left, const void *right)
{
    uint32_t a = ((const struct found *)left)->number, b = ((const struct found *)right)->number;
    return (a > b) - (a < b);
}

static void remove_file(struct recovery *recovery, const char *name)
{
    char path[SMF__DISK_PATH_MAX_BYTES];
    /* What stays is not part of the log, and is tried again when it is opened next. */
    if (smf__wal_join(path, recovery->part->folder, name) == SMF_OK)
        (void)smf__wal_do_path(recovery->wal, SMF__DISK_UNLINK, path, NULL);
}

static int take_names(struct recovery *recovery, const char *names, uint64_t size)
{
    uint32_t count = 0;
    for (uint64_t at = 0; at < size; at += strlen(names + at) + 1)
        count++;
    recovery->found = calloc(count + 1, sizeof(*recovery->found));
    if (recovery->found == NULL)
        return smf__wal_say(recovery->error_out, SMF_ENOMEM, "no memory to open a partition");
    for (uint64_t at = 0; at < size; at += strlen(names + at) + 1) {
        struct found *next = &recovery->found[recovery->found_count];
        if (smf__wal_file_name_parse(names + at, &next->number, &next->first_offset) ==
            SMF__WAL_GOOD)
            recovery->found_count++;
        else if (smf__wal_name_is_new(names + at) && !recovery->wal->options.read_only)
            remove_file(recovery, names + at);
    }
    qsort(recovery->found, recovery->found_count, sizeof(*recovery->found), by_number);
    return SMF_OK;
}

static int make_folders(struct recovery *recovery)
{
    struct smf__wal *wal = recovery->wal;
    char topic[SMF__DISK_PATH_MAX_BYTES];
    int status = smf__wal_join(topic, wal->folder, recovery->part->topic->name);
    if (status == SMF_OK)
        status = smf__wal_do_path(wal, SMF__DISK_MAKE_FOLDER, topic, recovery->error_out);
    if (status == SMF_OK)
        status = smf__wal_do_path(wal, SMF__DISK_SYNC_FOLDER, wal->folder, recovery->error_out);
    if (status == SMF_OK || status == SMF_EEXIST)
        status = smf__wal_do_path(wal, SMF__DISK_MAKE_FOLDER, recovery->part->folder,
                                  recovery->error_out);
    if (status == SMF_OK)
        status = smf__wal_do_path(wal, SMF__DISK_SYNC_FOLDER, topic, recovery->error_out);
    return status;
}

static int list_files(struct recovery *recovery)
{
    char *names;
    uint64_t size;
    int status =
        smf__wal_list(recovery->wal, recovery->part->folder, &names, &size, recovery->error_out);
    if (status == SMF_ENOTFOUND) /* what META knows of it is looked at later */
        return recovery->wal->options.read_only || recovery->checkpoint != NULL ||
                       recovery->part->head > 0
                   ? SMF_OK
                   : make_folders(recovery);
    if (status != SMF_OK)
        return status;
    status = take_names(recovery, names, size);
    free(names);
    return status;
}

/* --- the chain ------------------------------------------------------------------------------------ */

/* Frees a list from this segment on. */
static void free_from(struct smf__wal_part *part, struct smf__wal_segment *segment)
{
    if (segment == NULL)
        return;
    part->last = segment->previous;
    if (part->last != NULL)
        part->last->next = NULL;
    else
        part->first = NULL;
    while (segment != NULL) {
        struct smf__wal_segment *next = segment->next;
        smf__wal_segment_free(segment);
        segment = next;
    }
}

static int open_file(struct recovery *recovery, struct smf__wal_segment *segment,
                     const struct found *found)
{
    char name[SMF__WAL_FILE_NAME_BYTES], path[SMF__DISK_PATH_MAX_BYTES];
    smf__wal_file_name(found->number, found->first_offset, name);
    if (smf__wal_join(path, recovery->part->folder, name) != SMF_OK)
        return smf__wal_say(recovery->error_out, SMF_EINVAL, "the path of a segment is too long");
    int status = smf__wal_do_open(recovery->wal, path, &segment->file, recovery->error_out);
    if (status == SMF_OK)
        segment->size_bytes = segment->file->size_bytes;
    return status;
}

static int reopen(struct recovery *recovery, struct smf__wal_segment *segment)
{
    struct found found = {segment->header.number, segment->header.first_offset};
    return segment->file != NULL ? SMF_OK : open_file(recovery, segment, &found);
}

/* Reads block 0 of the file. Returns GOOD, what is wrong with it, or (negative) a status of the disk. */
static int read_header(struct recovery *recovery, struct smf__wal_segment *segment,
                       const struct found *found)
{
    struct smf__wal_part *part = recovery->part;
    struct smf__wal_look *look = &recovery->look;
    smf__wal_look_begin(look, segment->file);
    look->size_bytes = look->size_bytes < SMF__WAL_FILE_HEADER_BYTES ? look->size_bytes
                                                                     : SMF__WAL_FILE_HEADER_BYTES;
    int status = smf__wal_look_at(look, 0, SMF__WAL_FILE_HEADER_BYTES);
    if (status != SMF_OK)
        return status;
    status = smf__wal_file_parse(look->window.bytes, look->window.size, &segment->header);
    if (status != SMF__WAL_GOOD)
        return status;
    if (segment->header.kind != SMF__WAL_FILE_SEGMENT)
        return SMF__WAL_MISPLACED;
    /* A cut never goes to before the file that it ends in. */
    if (part->first != NULL && part->first->header.first_offset < found->first_offset)
        return SMF__WAL_OUT_OF_RANGE;
    return smf__wal_file_belongs(&segment->header, part->topic->config.topic_id, part->number,
                                 found->number, found->first_offset);
}

/* A file that has to be part of the log and can't be: what is behind the one before it can't be read. */
static void bad_file(struct recovery *recovery, const struct found *found,
                     const struct smf__wal_segment *segment, int why)
{
    struct smf__wal_part *part = recovery->part;
    struct smf__wal_mark mark = {.place = smf__wal_place(found->number, 0),
                                 .offset = found->first_offset};
    char name[SMF__WAL_FILE_NAME_BYTES];
    smf__wal_file_name(found->number, found->first_offset, name);
    if (why == SMF__WAL_TOO_NEW)
        fence(part, SMF_EUNSUPPORTED,
              "%.60s/%u/%s is in version %u of the log's format, this program reads versions up to "
              "%u; "
              "open it with a newer one",
              part->topic->name, part->number, name, segment->header.version, SMF__WAL_VERSION);
    if (why == SMF__WAL_UNSUPPORTED)
        fence(part, SMF_EUNSUPPORTED,
              "%.60s/%u/%s needs a feature of the log's format that this program (version %u) does "
              "not "
              "have; open it with a newer one",
              part->topic->name, part->number, name, SMF__WAL_VERSION);
    if (!recovery->is_cut || found->first_offset < recovery->cut_at)
        recovery->cut_at = found->first_offset;
    if (part->first != NULL && part->first->header.first_offset < recovery->cut_at)
        recovery->cut_at = part->first->header.first_offset;
    recovery->is_cut = 1;
    damage(recovery, found->number, found->first_offset, mark,
           why < 0 ? "the disk can't read it" : smf__wal_status_name(why));
    free_from(part, part->first);
}

/* Puts one file in front of the list. *good_out 0: it can't be read, and the list is empty. */
static int add_file(struct recovery *recovery, const struct found *found, int *good_out)
{
    struct smf__wal_part *part = recovery->part;
    struct smf__wal_segment *segment = calloc(1, sizeof(*segment));
    *good_out = 0;
    if (segment == NULL)
        return smf__wal_say(recovery->error_out, SMF_ENOMEM, "no memory to open a partition");
    segment->part = part;
    int status = open_file(recovery, segment, found);
    int why = status == SMF_OK ? read_header(recovery, segment, found) : status;
    smf__wal_do_close(recovery->wal, &segment->file);
    if (why == SMF__WAL_GOOD) {
        smf__wal_scan_begin(&segment->scan, &segment->header);
        segment->known_from = segment->header.block_bytes;
        segment->max_us = INT64_MIN;
        segment->end = segment->scan.end;
        segment->end_offset = segment->header.first_offset;
        segment->next = part->first;
        if (part->first != NULL)
            part->first->previous = segment;
        else
            part->last = segment;
        part->first = segment;
        *good_out = 1;
        return SMF_OK;
    }
    if (why > 0 || why == SMF_EIO || why == SMF_ENOTFOUND) { /* not found: taken away just now */
        bad_file(recovery, found, segment, why);
        status = SMF_OK;
    } else if (status == SMF_OK) {
        status = smf__wal_say(recovery->error_out, why, "%s", recovery->look.error.text);
    }
    free(segment);
    return status;
}

/* The index of the file that the first of the list follows; below 0: there is none. */
static int64_t followed(struct recovery *recovery, int64_t index)
{
    const struct smf__wal_segment *first = recovery->part->first;
    uint32_t number = smf__wal_place_number(first->header.follows);
    while (index >= 0 && recovery->found[index].number > number)
        index--;
    if (index >= 0 && recovery->found[index].number == number)
        return index;
    struct found missing = {number, 0};
    struct smf__wal_mark mark = {.place = smf__wal_place(number, 0),
                                 .offset = recovery->part->head};
    if (index >= 0 && mark.offset < recovery->found[index].first_offset)
        mark.offset = recovery->found[index].first_offset;
    damage(recovery, missing.number, missing.first_offset, mark,
           "the file is not there, and another one follows it");
    free_from(recovery->part, recovery->part->first);
    return index;
}

/* From the file with the highest number to the first one that still counts. */
static int walk_back(struct recovery *recovery)
{
    struct smf__wal_part *part = recovery->part;
    int64_t index = (int64_t)recovery->found_count - 1;
    while (index >= 0) {
        const struct found *found = &recovery->found[index];
        int good;
        int status = index > 0 && found[-1].number == found->number ? SMF_EIO : SMF_OK;
        if (status != SMF_OK) {
            bad_file(recovery, found, NULL, SMF__WAL_MISPLACED); /* two files of one number */
            return SMF_OK;
        }
        status = add_file(recovery, found, &good);
        if (status != SMF_OK)
            return status;
        if (good && part->first->header.durable_before > recovery->trusted)
            recovery->trusted = part->first->header.durable_before;
        if (!good)
            index--;
        else if (part->first->header.follows == 0 || part->first->header.first_offset <= part->head)
            return SMF_OK;
        else
            index = followed(recovery, index - 1);
    }
    return SMF_OK;
}

/* --- the end -------------------------------------------------------------------------------------- */

static int checkpoint_is_in(const struct recovery *recovery, const struct smf__wal_segment *segment,
                            uint64_t until)
{
    if (recovery->checkpoint == NULL ||
        smf__wal_place_number(recovery->checkpoint->end) != segment->header.number)
        return 0;
    uint64_t position = smf__wal_place_position(recovery->checkpoint->end);
    return position >= segment->header.block_bytes && position <= until &&
           position <= segment->size_bytes;
}

/* Scanning may begin behind the batch that the checkpoint names, if that is there: else META promises what
 * the files do not hold, and everything is looked at. Its file is open. *begun_out 0: it is not. */
static int begin_at_checkpoint(struct recovery *recovery, struct smf__wal_segment *segment,
                               int *begun_out)
{
    const struct smf__wal_checkpoint *checkpoint = recovery->checkpoint;
    uint64_t position = smf__wal_place_position(checkpoint->end);
    struct smf__wal_batch batch;
    int found = 0;
    *begun_out = 0;
    if (recovery->lies)
        return SMF_OK;
    smf__wal_look_begin(&recovery->look, segment->file);
    int status = smf__wal_look_back(&recovery->look, &segment->header, position,
                                    checkpoint->prev_crc, &batch, &found);
    smf__wal_look_begin(&recovery->look, segment->file);
    if (status != SMF_OK && status != SMF_EIO)
        return smf__wal_say(recovery->error_out, status, "%s", recovery->look.error.text);
    uint64_t next = found ? batch.first_offset + batch.count : 0;
    if (position == segment->header.block_bytes &&
        checkpoint->prev_crc == segment->header.follows_crc) {
        found = 1; /* the end of the file before, said of this one: it has no batch yet */
        next = segment->header.first_offset;
    }
    /* A head may be ahead of the records. */
    recovery->lies =
        !found || checkpoint->next_offset < next ||
        (checkpoint->next_offset > next && checkpoint->next_offset > recovery->part->head);
    if (recovery->lies)
        return SMF_OK;
    segment->scan.end = position;
    segment->scan.next_offset = next;
    segment->scan.prev_crc = checkpoint->prev_crc;
    segment->known_from = position;
    *begun_out = 1;
    return SMF_OK;
}

/* Walks over the batches that verify, up to a position. */
static int scan_to(struct recovery *recovery, struct smf__wal_segment *segment, uint64_t until)
{
    struct smf__wal_batch batch;
    uint64_t position;
    while (segment->scan.end < until) {
        int status = smf__wal_look_next(&recovery->look, &segment->scan, &batch, &position);
        if (status < 0)
            return status;
        if (status == SMF__WAL_UNSUPPORTED)
            recovery->unsupported = 1;
        else if (status != SMF__WAL_GOOD)
            return SMF_OK;
        status = smf__wal_index_add(segment, &batch, position);
        if (status != SMF_OK)
            return smf__wal_say(&recovery->look.error, status, "no memory for an index");
        if (batch.kind == SMF__WAL_RECORDS && batch.max_us > segment->max_us)
            segment->max_us = batch.max_us;
    }
    return SMF_OK;
}

/* The most that batches of the files behind this one say of what is durable; and how much is there. */
static int look_behind(struct recovery *recovery, struct smf__wal_segment *segment,
                       struct smf__wal_later *sum)
{
    for (; segment != NULL; segment = segment->next) {
        struct smf__wal_scan scan;
        struct smf__wal_later later = {0};
        int status = reopen(recovery, segment);
        if (status != SMF_OK)
            return status;
        smf__wal_look_begin(&recovery->look, segment->file);
        smf__wal_scan_begin(&scan, &segment->header);
        status = smf__wal_look_later(&recovery->look, &scan, &later);
        smf__wal_do_close(recovery->wal, &segment->file);
        if (status != SMF_OK)
            return smf__wal_say(recovery->error_out, status, "%s", recovery->look.error.text);
        sum->batches += later.batches;
        sum->last_end += later.batches > 0 ? later.last_end - scan.end : 0;
        if (later.durable_before > sum->durable_before)
            sum->durable_before = later.durable_before;
    }
    return SMF_OK;
}

/* Scanning has stopped in front of something: is it a torn tail, or damage? Looked at twice before it is
 * damage: beside a process that writes, what was not there yet may be by now. */
static int judge(struct recovery *recovery, struct smf__wal_segment *segment, uint64_t until)
{
    uint64_t looked_at = 0;
    for (;;) {
        struct smf__wal_later later = {0}, behind = {0};
        int status = smf__wal_look_later(&recovery->look, &segment->scan, &later);
        if (status == SMF_OK && segment->next != NULL) {
            status = look_behind(recovery, segment->next, &behind);
            if (status != SMF_OK)
                return status;
            smf__wal_look_begin(&recovery->look, segment->file);
        }
        if (status != SMF_OK)
            return disk_failed(recovery, segment, status);
        uint64_t durable = recovery->trusted;
        durable = later.durable_before > durable ? later.durable_before : durable;
        durable = behind.durable_before > durable ? behind.durable_before : durable;
        if (!smf__wal_is_damage(&segment->scan, durable)) {
            if (later.batches > 0)
                recovery->part->cut_bytes = later.last_end - segment->scan.end;
            recovery->part->cut_bytes += behind.last_end;
            return SMF_OK;
        }
        if (looked_at == segment->scan.end) {
            damage_at_end(recovery, segment, "a batch that was durable is not there");
            return SMF_OK;
        }
        looked_at = segment->scan.end;
        smf__wal_look_again(&recovery->look);
        status = scan_to(recovery, segment, until);
        if (status != SMF_OK)
            return disk_failed(recovery, segment, status);
    }
}

/* Scans a file that is not known to be whole. *ends_out: the log goes no further. */
static int scan_file(struct recovery *recovery, struct smf__wal_segment *segment, int *ends_out)
{
    const struct smf__wal_segment *next = segment->next;
    uint64_t until = next != NULL ? smf__wal_place_position(next->header.follows) : UINT64_MAX;
    int begun;
    *ends_out = 1;
    int status = reopen(recovery, segment);
    if (status != SMF_OK)
        return status;
    if (recovery->checked == NULL)
        recovery->checked = segment;
    smf__wal_look_begin(&recovery->look, segment->file);
    if (checkpoint_is_in(recovery, segment, until))
        status = begin_at_checkpoint(recovery, segment, &begun);
    if (status != SMF_OK)
        return status;
    status = scan_to(recovery, segment, until);
    if (status != SMF_OK)
        return disk_failed(recovery, segment, status);
    if (next != NULL && segment->scan.end == until &&
        segment->scan.prev_crc == next->header.follows_crc) {
        *ends_out = 0;
        return SMF_OK;
    }
    if (segment->scan.end >= until) {
        damage_at_end(recovery, segment, "the next file follows another batch");
        return SMF_OK;
    }
    return judge(recovery, segment, until);
}

/* May the last segment be gone on with where a clean checkpoint says? */
static int ends_clean(const struct recovery *recovery)
{
    const struct smf__wal_part *part = recovery->part;
    const struct smf__wal_segment *last = part->last;
    return recovery->checkpoint != NULL && recovery->checkpoint->clean && part->status == SMF_OK &&
           last->header.number == recovery->found[recovery->found_count - 1].number &&
           checkpoint_is_in(recovery, last, UINT64_MAX);
}

/* Scans what may have suffered, from the front. */
static int find_end(struct recovery *recovery)
{
    struct smf__wal_part *part = recovery->part;
    part->clean = ends_clean(recovery);
    int status = SMF_OK;
    if (part->clean)
        status = begin_at_checkpoint(recovery, part->last, &part->clean);
    if (status != SMF_OK)
        return status;
    for (struct smf__wal_segment *segment = part->first; segment != NULL; segment = segment->next) {
        int ends = segment->next == NULL;
        if (!(ends && part->clean) && (ends || segment->next->header.follows > recovery->trusted))
            status = scan_file(recovery, segment, &ends);
        if (status != SMF_OK)
            return status;
        if (ends) {
            if (recovery->lies && part->damage.place == 0)
                damage_at_end(recovery, segment,
                              "META's checkpoint names a batch that is not in its file");
            segment->end = segment->scan.end;
            segment->end_offset = segment->scan.next_offset;
            free_from(part, segment->next);
            return SMF_OK;
        }
        segment->end = smf__wal_place_position(segment->next->header.follows);
        segment->end_offset = segment->next->header.first_offset;
    }
    return SMF_OK;
}

/* --- what follows from it ------------------------------------------------------------------------- */

/* Files that no file of the log follows: left by a cut, or dropped. Those behind the last one stay until
 * another one is there, so that no number is used twice. */
static void remove_abandoned(struct recovery *recovery)
{
    const struct smf__wal_segment *segment = recovery->part->first;
    char name[SMF__WAL_FILE_NAME_BYTES];
    for (uint32_t i = 0; i < recovery->found_count; i++) {
        const struct found *found = &recovery->found[i];
        while (segment != NULL && segment->header.number < found->number)
            segment = segment->next;
        if (segment == NULL)
            return;
        if (segment->header.number == found->number)
            continue;
        smf__wal_file_name(found->number, found->first_offset, name);
        remove_file(recovery, name);
    }
}

/* What was read may be in a cache only, names included. */
static void make_durable(struct recovery *recovery)
{
    struct smf__wal_part *part = recovery->part;
    struct smf_error error = {0};
    int status = smf__wal_do_path(recovery->wal, SMF__DISK_SYNC_FOLDER, part->folder, &error);
    for (struct smf__wal_segment *segment = recovery->checked; segment != NULL && status == SMF_OK;
         segment = segment->next) {
        struct smf__disk_op flush = {.kind = SMF__DISK_FLUSH};
        status = reopen(recovery, segment);
        if (status == SMF_OK) {
            flush.file = segment->file;
            status = smf__wal_do(recovery->wal, &flush, part->folder, &error);
        }
    }
    if (status != SMF_OK)
        fence(part, status, "what was recovered could not be made durable: %.150s", error.text);
}

static void set_marks(struct recovery *recovery)
{
    struct smf__wal_part *part = recovery->part;
    struct smf__wal_segment *last = part->last;
    part->next_offset = part->head;
    if (last == NULL)
        return;
    if (recovery->is_cut && last->end_offset > recovery->cut_at)
        last->end_offset = recovery->cut_at;
    if (part->head < part->first->header.first_offset)
        part->head = part->first->header.first_offset;
    /* A head may be durable before what it lets begin is: offsets go on from there. */
    part->next_offset = last->end_offset > part->head ? last->end_offset : part->head;
    part->prev_crc = last->scan.prev_crc;
    part->durable = (struct smf__wal_mark){
        .place = smf__wal_place(last->header.number, last->end),
        .offset = part->next_offset,
        .crc = part->prev_crc,
    };
    part->written = part->buffered = part->durable;
}

static void settle(struct recovery *recovery)
{
    struct smf__wal *wal = recovery->wal;
    struct smf__wal_part *part = recovery->part;
    int writes = !wal->options.read_only;
    if (recovery->unsupported)
        fence(part, SMF_EUNSUPPORTED,
              "%.60s/%u has batches that this program (version %u of the log's format) can't read; "
              "open "
              "it with a newer one",
              part->topic->name, part->number, SMF__WAL_VERSION);
    if (writes && part->next_number == 0)
        fence(part, SMF_EUNSUPPORTED,
              "%.60s/%u has a file with the highest number that there is, so no other can follow; "
              "run "
              "smf log verify",
              part->topic->name, part->number);
    if (writes && part->last != NULL && !part->clean && part->status == SMF_OK)
        make_durable(recovery);
    if (writes && part->status == SMF_OK)
        remove_abandoned(recovery);
    if (!writes)
        part->cut_bytes = 0; /* or just being written */
    set_marks(recovery);
    for (struct smf__wal_segment *segment = part->first; segment != NULL; segment = segment->next) {
        int goes_on = writes && segment == part->last && part->clean && part->status == SMF_OK &&
                      segment->end_offset == part->next_offset && segment->file != NULL &&
                      segment->header.block_bytes >= segment->file->offset_align_bytes;
        segment->sealed = !goes_on;
        smf__wal_do_close(wal,
                          &segment->file); /* there may be more of them than files can be open */
    }
}

/* META knows of records that no file has. */
static void check_lost(struct recovery *recovery)
{
    struct smf__wal_part *part = recovery->part;
    uint64_t end = recovery->checkpoint != NULL ? recovery->checkpoint->end : 0;
    struct smf__wal_mark mark = {.place = end != 0 ? smf__wal_place(smf__wal_place_number(end), 0)
                                                   : smf__wal_place(1, 0),
                                 .offset = part->head};
    if (part->last == NULL && (end != 0 || part->head > 0))
        damage(recovery, smf__wal_place_number(mark.place), part->head, mark,
               "META knows of records, and there is no file");
}

static int recover(struct recovery *recovery)
{
    struct smf__wal_part *part = recovery->part;
    int status = list_files(recovery);
    if (status != SMF_OK)
        return status;
    if (recovery->checkpoint != NULL)
        recovery->trusted = recovery->checkpoint->end;
    uint32_t highest = smf__wal_place_number(recovery->trusted);
    if (recovery->found_count > 0 && recovery->found[recovery->found_count - 1].number > highest)
        highest = recovery->found[recovery->found_count - 1].number;
    part->next_number = highest + 1;
    status = walk_back(recovery);
    if (status != SMF_OK)
        return status;
    if (part->last != NULL)
        status = reopen(recovery, part->last);
    if (status == SMF_OK && part->last != NULL)
        status = find_end(recovery);
    if (status != SMF_OK)
        return status;
    check_lost(recovery);
    settle(recovery);
    return SMF_OK;
}

int smf__wal_recover_part(struct smf__wal_part *part, const struct smf__wal_checkpoint *checkpoint,
                          struct smf_error *error_out)
{
    struct recovery recovery = {
        .wal = part->wal,
        .part = part,
        .checkpoint = checkpoint != NULL && checkpoint->end != 0 ? checkpoint : NULL,
        .look = {.wal = part->wal},
        .error_out = error_out,
    };
    if (recovery.checkpoint != NULL)
        part->checkpoint_place = recovery.checkpoint->end;
    int status = recover(&recovery);
    smf__wal_look_end(&recovery.look);
    free(recovery.found);
    return status;
}
