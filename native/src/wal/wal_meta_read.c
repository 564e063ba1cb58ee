/* What META says. */
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_look.h"

struct reading {
    struct smf__wal *wal;
    struct smf__wal_segment *segment;
    struct smf__wal_look look;
    struct smf__wal_later later;
    struct smf_error *error_out;
};

/* --- items ---------------------------------------------------------------------------------------- */

static int drop_topic(struct smf__wal *wal, uint64_t topic_id)
{
    struct smf__wal_topic_info **at = &wal->topics;
    while (*at != NULL && (*at)->config.topic_id != topic_id)
        at = &(*at)->next;
    if (*at != NULL) {
        struct smf__wal_topic_info *topic = *at;
        *at = topic->next;
        smf__wal_topic_free(topic);
    }
    return SMF__WAL_GOOD;
}

/* Returns GOOD, OUT_OF_RANGE, or (negative) SMF_ENOMEM. */
static int take_topic(struct smf__wal *wal, const struct smf__wal_topic *config)
{
    struct smf__wal_topic_info *topic = smf__wal_topic_by_id(wal, config->topic_id);
    if (topic != NULL) {
        int status = smf__wal_topic_change(wal, topic, config);
        return status == SMF_EINVAL ? (int)SMF__WAL_OUT_OF_RANGE : status;
    }
    topic = smf__wal_topic_new(wal, config);
    if (topic == NULL)
        return SMF_ENOMEM;
    if (smf__wal_topic_find(wal, topic->name) != NULL) {
        smf__wal_topic_free(topic);
        return SMF__WAL_OUT_OF_RANGE;
    }
    smf__wal_topic_append(wal, topic);
    return SMF__WAL_GOOD;
}

/* NULL with GOOD: of a topic that is gone, about which something was still on its way. */
static int part_of(struct smf__wal *wal, uint64_t topic_id, uint32_t number,
                   struct smf__wal_part **part_out)
{
    struct smf__wal_topic_info *topic = smf__wal_topic_by_id(wal, topic_id);
    *part_out = NULL;
    if (topic == NULL)
        return SMF__WAL_GOOD;
    if (number >= topic->config.partitions)
        return SMF__WAL_OUT_OF_RANGE;
    *part_out = topic->parts[number];
    return SMF__WAL_GOOD;
}

static int take_item(struct smf__wal *wal, const struct smf__wal_item *item)
{
    struct smf__wal_topic config;
    struct smf__wal_head head;
    struct smf__wal_checkpoint checkpoint;
    struct smf__wal_part *part = NULL;
    uint64_t gone;
    int status;
    switch (item->type) {
    case SMF__WAL_ITEM_TOPIC:
        status = smf__wal_topic_read(item, &config);
        return status == SMF__WAL_GOOD ? take_topic(wal, &config) : status;
    case SMF__WAL_ITEM_TOPIC_GONE:
        status = smf__wal_topic_gone_read(item, &gone);
        return status == SMF__WAL_GOOD ? drop_topic(wal, gone) : status;
    case SMF__WAL_ITEM_HEAD:
        status = smf__wal_head_read(item, &head);
        if (status == SMF__WAL_GOOD)
            status = part_of(wal, head.topic_id, head.partition, &part);
        if (part != NULL)
            part->head = head.offset;
        return status;
    case SMF__WAL_ITEM_CHECKPOINT:
        status = smf__wal_checkpoint_read(item, &checkpoint);
        if (status == SMF__WAL_GOOD)
            status = part_of(wal, checkpoint.topic_id, checkpoint.partition, &part);
        if (part != NULL)
            part->checkpoint = checkpoint;
        return status;
    default:
        return SMF__WAL_GOOD; /* one that may be skipped */
    }
}

static int take_batch(struct smf__wal *wal, const struct smf__wal_batch *batch, const uint8_t *body)
{
    struct smf__wal_rest rest = {.data = body, .size = batch->body_bytes};
    struct smf__wal_item item;
    int status = SMF__WAL_GOOD;
    if (batch->kind == SMF__WAL_STAMP || batch->kind >= SMF__WAL_KIND_MAY_SKIP)
        return SMF__WAL_GOOD;
    if (batch->kind != SMF__WAL_META)
        return SMF__WAL_OUT_OF_RANGE;
    if (batch->compression != SMF__WAL_PLAIN)
        return SMF__WAL_UNSUPPORTED;
    while (status == SMF__WAL_GOOD) {
        status = smf__wal_item_next(&rest, &item);
        if (status == SMF__WAL_GOOD)
            status = take_item(wal, &item);
    }
    return status == SMF__WAL_END ? (int)SMF__WAL_GOOD : status;
}

void smf__wal_meta_take(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes)
{
    struct smf__wal_rest rest = {.data = items, .size = size_bytes};
    struct smf__wal_item item;
    while (smf__wal_item_next(&rest, &item) == SMF__WAL_GOOD)
        smf__check(take_item(wal, &item) == SMF__WAL_GOOD);
}

/* --- the file ------------------------------------------------------------------------------------- */

static int damaged(const struct reading *reading, uint64_t position, int why)
{
    return smf__wal_say(
        reading->error_out, SMF_EIO,
        "META of %.100s is damaged at byte %llu (%s); run smf log verify, then smf log "
        "repair",
        reading->wal->folder, (unsigned long long)position, smf__wal_status_name(why));
}

static int read_header(struct reading *reading)
{
    struct smf__wal_file *header = &reading->segment->header;
    int status = smf__wal_look_at(&reading->look, 0, SMF__WAL_FILE_HEADER_BYTES);
    if (status != SMF_OK)
        return smf__wal_say(reading->error_out, status, "%s", reading->look.error.text);
    status = smf__wal_file_parse(reading->look.window.bytes, reading->look.window.size, header);
    if (status == SMF__WAL_TOO_NEW)
        return smf__wal_say(
            reading->error_out, SMF_EUNSUPPORTED,
            "META of %.100s is in version %u of the log's format, this program reads "
            "versions up to %u; open it with a newer one",
            reading->wal->folder, header->version, SMF__WAL_VERSION);
    if (status == SMF__WAL_UNSUPPORTED)
        return smf__wal_say(reading->error_out, SMF_EUNSUPPORTED,
                            "META of %.100s needs a feature of the log's format that this program "
                            "(version %u) does not have; open it with a newer one",
                            reading->wal->folder, SMF__WAL_VERSION);
    if (status == SMF__WAL_GOOD && header->kind != SMF__WAL_FILE_META)
        status = SMF__WAL_MISPLACED;
    return status == SMF__WAL_GOOD ? SMF_OK : damaged(reading, 0, status);
}

/* Returns 0 at the end of what verifies. */
static int read_batches(struct reading *reading)
{
    struct smf__wal_scan *scan = &reading->segment->scan;
    struct smf__wal_batch batch;
    uint64_t position;
    smf__wal_scan_begin(scan, &reading->segment->header);
    for (;;) {
        int status = smf__wal_look_next(&reading->look, scan, &batch, &position);
        if (status < 0)
            return smf__wal_say(reading->error_out, status, "%s", reading->look.error.text);
        if (status == SMF__WAL_GOOD)
            status =
                take_batch(reading->wal, &batch,
                           reading->look.window.bytes + (position - reading->look.window.position) +
                               batch.header_bytes);
        else if (status != SMF__WAL_UNSUPPORTED)
            return SMF_OK;
        if (status == SMF_ENOMEM)
            return smf__wal_say(reading->error_out, status, "no memory for a log's topics");
        if (status == SMF__WAL_UNSUPPORTED)
            return smf__wal_say(
                reading->error_out, SMF_EUNSUPPORTED,
                "META of %.100s has at byte %llu what this program (version %u of the "
                "format) does not know; open it with a newer one",
                reading->wal->folder, (unsigned long long)position, SMF__WAL_VERSION);
        if (status != SMF__WAL_GOOD)
            return damaged(reading, position, status);
    }
}

/* What stands behind the end: damage, a torn tail (*torn_out), or nothing. */
static int read_later(struct reading *reading, int *torn_out)
{
    struct smf__wal_scan *scan = &reading->segment->scan;
    int zero = 0;
    int status = smf__wal_look_later(&reading->look, scan, &reading->later);
    if (status == SMF_OK)
        status = smf__wal_look_zero(&reading->look, scan->end, &zero);
    if (status != SMF_OK)
        return smf__wal_say(reading->error_out, status, "%s", reading->look.error.text);
    if (smf__wal_is_damage(scan, reading->later.durable_before))
        return damaged(reading, scan->end, SMF__WAL_DAMAGED_HEADER);
    *torn_out = !zero;
    return SMF_OK;
}

static void set_end(struct reading *reading)
{
    struct smf__wal_part *meta = &reading->wal->meta;
    struct smf__wal_segment *segment = reading->segment;
    segment->size_bytes = reading->look.size_bytes;
    segment->end = segment->scan.end;
    segment->known_from = segment->header.block_bytes;
    segment->max_us = INT64_MIN;
    meta->prev_crc = segment->scan.prev_crc;
    meta->next_number = segment->header.number + 1;
    meta->durable = (struct smf__wal_mark){
        .place = smf__wal_place(segment->header.number, segment->end), .crc = meta->prev_crc};
    meta->written = meta->buffered = meta->durable;
}

/* Blocks are written once, and what was read may be in a cache only: so a torn META is written into its next
 * version, and a whole one is flushed before anything is built on it. */
static int make_safe(struct reading *reading, int torn)
{
    struct smf__wal *wal = reading->wal;
    struct smf__wal_segment *segment = reading->segment;
    struct smf__disk_op flush = {.kind = SMF__DISK_FLUSH, .file = segment->file};
    if (torn || segment->header.block_bytes < segment->file->offset_align_bytes ||
        smf__wal_meta_has_grown(wal))
        return smf__wal_meta_rewrite(wal, reading->error_out);
    int status = smf__wal_do(wal, &flush, SMF__WAL_META_NAME, reading->error_out);
    if (status != SMF_OK)
        return status;
    return smf__wal_do_path(wal, SMF__DISK_SYNC_FOLDER, wal->folder, reading->error_out);
}

static int read_file(struct reading *reading)
{
    struct smf__wal *wal = reading->wal;
    int torn = 0;
    int status = read_header(reading);
    if (status == SMF_OK)
        status = read_batches(reading);
    if (status == SMF_OK && !wal->options.read_only)
        status = read_later(reading, &torn); /* beside a writer it would mean nothing */
    if (status != SMF_OK)
        return status;
    set_end(reading);
    wal->meta_live_bytes = smf__wal_meta_live(wal);
    return wal->options.read_only ? SMF_OK : make_safe(reading, torn);
}

/* --- a log without META --------------------------------------------------------------------------- */

/* A log gets META before it gets anything else. So where there are folders that could be topics, it was
 * lost, or this is no log. */
static int check_no_topics(struct smf__wal *wal, struct smf_error *error_out)
{
    char *names;
    uint64_t size;
    int status = smf__wal_list(wal, wal->folder, &names, &size, error_out);
    if (status != SMF_OK)
        return status;
    for (uint64_t at = 0; at < size && status == SMF_OK; at += strlen(names + at) + 1) {
        size_t length = strcspn(names + at, "/");
        if (names[at + length] == '/' && smf__wal_topic_name_ok(names + at, length))
            status =
                smf__wal_say(error_out, SMF_EIO,
                             "%.100s has a folder %.60s but no META: it is no log, or a damaged "
                             "one; take an empty folder, or see what smf log repair says",
                             wal->folder, names + at);
    }
    free(names);
    return status;
}

static int begin_meta(struct smf__wal *wal, struct smf_error *error_out)
{
    char lock[SMF__DISK_PATH_MAX_BYTES];
    struct smf__disk_op stat = {.kind = SMF__DISK_STAT, .path = lock};
    int half = smf__wal_join(lock, wal->folder, SMF__WAL_LOCK_NAME) == SMF_OK &&
               smf__wal_run(wal, &stat) == SMF_OK;
    if (wal->options.read_only && half)
        return smf__wal_say(
            error_out, SMF_ENOTFOUND,
            "the log in %.100s was not made whole: it is just being created, or that "
            "was cut off; open it for writing, with create, first",
            wal->folder);
    if (wal->options.read_only || !wal->options.create)
        return smf__wal_say(error_out, SMF_ENOTFOUND,
                            "there is no log in %.100s; create it by opening it for writing, with "
                            "create",
                            wal->folder);
    int status = check_no_topics(wal, error_out);
    return status == SMF_OK ? smf__wal_meta_rewrite(wal, error_out) : status;
}

int smf__wal_recover_meta(struct smf__wal *wal, struct smf_error *error_out)
{
    char path[SMF__DISK_PATH_MAX_BYTES];
    struct smf__disk_file *file;
    int status = smf__wal_join(path, wal->folder, SMF__WAL_META_NAME);
    if (status != SMF_OK)
        return smf__wal_say(error_out, status, "the path of META would be too long");
    status = smf__wal_do_open(wal, path, &file, error_out);
    if (status == SMF_ENOTFOUND)
        return begin_meta(wal, error_out);
    if (status != SMF_OK)
        return status;
    struct smf__wal_segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL) {
        smf__wal_do_close(wal, &file);
        return smf__wal_say(error_out, SMF_ENOMEM, "no memory to open a log");
    }
    struct reading reading = {
        .wal = wal, .segment = segment, .look = {.wal = wal}, .error_out = error_out};
    segment->part = &wal->meta;
    segment->file = file;
    wal->block_bytes = file->offset_align_bytes;
    wal->meta.first = wal->meta.last = segment;
    smf__wal_look_begin(&reading.look, file);
    status = read_file(&reading);
    smf__wal_look_end(&reading.look);
    return status;
}
