/* Appends: into buffers, from there into the file, and who is told of it. */
#include <stdio.h>
#include <string.h>

#include "mem/mem_count.h"
#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_make.h"

/* Group commit: so many writes are started for appends that wait; what arrives while they are under way
 * goes into the next one. Buffers that are full are written besides, up to SMF__WAL_WRITES_MAX. */
#define GROUP_WRITES 4u
#define LINGER_US_TO_NS 1000ull

uint64_t smf__wal_append_max_bytes(const struct smf__wal *wal)
{
    uint64_t buffers = wal->buffer_count - SMF__WAL_RESERVE_BUFFERS;
    uint64_t bytes = buffers * SMF__WAL_BUFFER_BYTES - SMF__WAL_BATCH_HEADER_BYTES;
    return bytes < SMF__WAL_BODY_MAX_BYTES ? bytes : SMF__WAL_BODY_MAX_BYTES;
}

/* --- taking a batch ------------------------------------------------------------------------------- */

/* Is no record larger than its topic allows? The body has been checked. */
static int records_fit(const struct smf__wal_part *part, const struct smf__wal_append *append)
{
    struct smf__wal_rest rest = {.data = append->body, .size = append->body_bytes};
    struct smf__wal_record record;
    uint32_t limit = part->topic->config.record_max_bytes;
    if (limit == 0 || append->body_bytes <= limit)
        return 1;
    for (uint64_t left = rest.size; left > 0; left = rest.size) {
        if (smf__wal_record_next(&rest, &record) != SMF__WAL_GOOD || left - rest.size > limit)
            return 0;
    }
    return 1;
}

static int check_append(const struct smf__wal_part *part, const struct smf__wal_append *append)
{
    if (part->status != SMF_OK)
        return part->status;
    if (part->wal->options.read_only)
        return SMF_EREADONLY;
    if (append->ack >= SMF__WAL_ACKS || append->body_bytes > smf__wal_append_max_bytes(part->wal) ||
        (append->body_bytes > 0 && append->body == NULL) ||
        (part->topic == NULL) != (append->kind == SMF__WAL_META))
        return SMF_EINVAL;
    if (append->kind == SMF__WAL_RECORDS &&
        smf__wal_records_check(append->body, append->body_bytes, append->count, append->base_us,
                               append->max_us) != SMF__WAL_GOOD)
        return SMF_EINVAL;
    if (append->kind == SMF__WAL_RECORDS && !records_fit(part, append))
        return SMF_EINVAL;
    return SMF_OK;
}

/* A clean checkpoint says that nothing was written behind it: it is revoked before something is. Returns 1
 * when it is, 0 when that is under way, or why it can't be. */
static int revoke_clean(struct smf__wal_part *part)
{
    if (part->topic == NULL || (!part->clean && part->revoke_place == 0))
        return 1;
    int status = SMF_OK;
    if (part->revoke_place == 0) {
        status = smf__wal_meta_checkpoint(part, 0, 0);
        if (status != SMF_OK)
            return status;
        part->revoke_place = smf__wal_meta_end(part->wal);
    }
    status = smf__wal_meta_reached(part->wal, part->revoke_place);
    if (status != 1)
        return status;
    part->clean = 0;
    part->revoke_place = 0;
    return 1;
}

/* Where the next batch begins. */
static uint64_t next_position(const struct smf__wal_part *part)
{
    const struct smf__wal_segment *last = part->last;
    if (part->fills != NULL)
        return last->end;
    return smf__round_up(last->end, last->header.block_bytes);
}

/* Is there a segment, with room for this, and are there buffers? Returns 1, or a status. */
static int make_way(struct smf__wal_part *part, uint64_t size)
{
    if (part->held || smf__wal_make_begun(part))
        return SMF_ENOMEM; /* the next file says already where this one ends, even if this would fit */
    int awake =
        smf__wal_segment_wake(part); /* while META learns that the end is not clean any more */
    int status = revoke_clean(part);
    if (status != 1)
        return status == 0 ? SMF_ENOMEM : status;
    if (!awake)
        return SMF_ENOMEM;
    if (part->last == NULL || !smf__wal_segment_fits(part, next_position(part), size)) {
        part->room_need = size;
        status = smf__wal_segment_roll(part);
    } else {
        status = smf__wal_segment_room(part, next_position(part), size);
    }
    if (status != 1)
        return status == 0 ? SMF_ENOMEM : status;
    return size <= smf__wal_buffers_room(part) ? 1 : SMF_ENOMEM;
}

static void note_batch(struct smf__wal_part *part, const struct smf__wal_batch *batch,
                       uint64_t position)
{
    struct smf__wal_segment *last = part->last;
    (void)smf__wal_index_add(last, batch, position); /* without it: a longer way to a batch */
    if (batch->kind == SMF__WAL_RECORDS && batch->max_us > last->max_us)
        last->max_us = batch->max_us;
    last->end = position + smf__wal_batch_bytes(batch);
    part->next_offset += batch->count;
    last->end_offset = part->next_offset;
    part->prev_crc = batch->header_crc;
    last->scan.end = last->end;
    last->scan.next_offset = part->next_offset;
    last->scan.prev_crc = part->prev_crc;
    struct smf__wal_mark end = {smf__wal_place(last->header.number, last->end), part->next_offset,
                                part->prev_crc};
    smf__check(end.place > part->buffered.place);
    part->buffered = end;
    part->buffers_last->end = end;
    part->said_durable = batch->durable_before;
    smf__count(part->appended_batches, 1);
    smf__count(part->appended_records, batch->count);
    smf__count(part->appended_bytes, smf__wal_batch_bytes(batch));
}

/* Header, body, padding. */
static int put_batch(struct smf__wal_part *part, const struct smf__wal_append *append)
{
    static const uint8_t zeroes[SMF__WAL_ALIGN_BYTES];
    uint8_t header[SMF__WAL_BATCH_HEADER_BYTES];
    uint64_t position = next_position(part);
    struct smf__wal_batch batch = {
        .body_crc = smf__crc32c(0, append->body, append->body_bytes),
        .body_bytes = append->body_bytes,
        .plain_bytes = append->body_bytes,
        .kind = append->kind,
        .count = append->count,
        .prev_crc = part->prev_crc,
        .first_offset = part->next_offset,
        .base_us = append->base_us,
        .max_us = append->max_us,
        .durable_before = part->durable.place,
    };
    if (smf__wal_batch_encode(&batch, &part->last->header, position, header) != SMF__WAL_GOOD)
        return SMF_EINVAL;
    uint64_t behind = position + sizeof header + append->body_bytes;
    smf__wal_buffers_put(part, position, header, sizeof header);
    smf__wal_buffers_put(part, position + sizeof header, append->body, append->body_bytes);
    smf__wal_buffers_put(part, behind, zeroes, position + smf__wal_batch_bytes(&batch) - behind);
    note_batch(part, &batch, position);
    return SMF_OK;
}

static void wait_for(struct smf__wal_part *part, const struct smf__wal_append *append,
                     uint64_t first_offset)
{
    struct smf__wal *wal = part->wal;
    struct smf__wal_pending_list *list = &part->pending[append->ack];
    struct smf__wal_pending *pending = smf__wal_pending_take(wal);
    *pending = (struct smf__wal_pending){part->buffered.place, first_offset, append->user, NULL};
    if (list->last != NULL)
        list->last->next = pending;
    else
        list->first = pending;
    list->last = pending;
}

/* When it will be written, at the latest: somebody waits for it, or it lingers. */
static void want(struct smf__wal_part *part, uint32_t ack)
{
    struct smf__wal *wal = part->wal;
    uint64_t linger_us = wal->options.linger_us;
    if (ack == SMF__WAL_DURABLE) {
        part->wanted_durable = part->buffered.place;
        part->linger_ns = 0;
        return;
    }
    if (ack == SMF__WAL_WRITTEN)
        part->wanted_written = part->buffered.place;
    if (linger_us == 0)
        linger_us = SMF__WAL_LINGER_DEFAULT_US;
    if (part->linger_ns == 0)
        part->linger_ns = smf__clock_now_ns(&wal->options.clock) + linger_us * LINGER_US_TO_NS;
}

/* told: somebody gets an outcome. */
static int take_batch(struct smf__wal_part *part, const struct smf__wal_append *append, int told,
                      uint64_t *first_offset_out)
{
    uint64_t size = smf__round_up((uint64_t)SMF__WAL_BATCH_HEADER_BYTES + append->body_bytes,
                                  SMF__WAL_ALIGN_BYTES);
    int status = make_way(part, size);
    if (status != 1)
        return status;
    uint64_t first_offset = part->next_offset;
    status = put_batch(part, append);
    if (status != SMF_OK)
        return status;
    if (told)
        wait_for(part, append, first_offset);
    want(part, append->ack);
    smf__wal_touch(part);
    *first_offset_out = first_offset;
    return SMF_OK;
}

int smf__wal_append(struct smf__wal_part *part, const struct smf__wal_append *append,
                    uint64_t *first_offset_out)
{
    int told = append->ack != SMF__WAL_BUFFERED;
    int status = check_append(part, append);
    if (status != SMF_OK)
        return status;
    if (told && part->wal->pending_free == NULL)
        status = SMF_ELIMIT;
    else
        status = take_batch(part, append, told, first_offset_out);
    if (status == SMF_OK) {
        part->stamped_for = part->buffered.place;
        part->stamp_ns = 0;
    } else if (part->topic != NULL && (status == SMF_ENOMEM || status == SMF_ELIMIT)) {
        smf__wal_refused(part->wal, status);
    }
    return status;
}

/* --- failing -------------------------------------------------------------------------------------- */

void smf__wal_fence(struct smf__wal_part *part, int status, const char *text)
{
    if (part->status != SMF_OK)
        return; /* the first reason is the one that counts */
    part->status = status;
    snprintf(part->status_text, sizeof part->status_text, "%s", text);
    smf__wal_touch(part);
}

static void fence_for(struct smf__wal_part *part, const struct smf__disk_op *op, const char *what,
                      const struct smf__wal_segment *segment)
{
    char text[SMF_ERROR_TEXT_SIZE_BYTES], path[SMF__DISK_PATH_MAX_BYTES];
    smf__wal_segment_path(segment, path);
    size_t length = strlen(path), shown = length > 90 ? 90 : length;
    snprintf(
        text, sizeof text,
        "%s %s%s failed: %s; nothing is appended any more: look at the device, close the log and "
        "open it again",
        what, shown < length ? "..." : "", path + length - shown,
        op->os_errno != 0 ? strerror(op->os_errno) : smf_status_name(op->status));
    smf__wal_fence(part, SMF_EIO, text);
}

/* --- writing -------------------------------------------------------------------------------------- */

static void write_done(struct smf__wal_io *io)
{
    struct smf__wal_buffer *buffer = io->owner;
    struct smf__wal_part *part = buffer->part;
    const struct smf__wal_buffer *through = buffer->through;
    part->writes--;
    if (io->op.status != SMF_OK)
        fence_for(part, &io->op, "a write to", buffer->segment);
    for (buffer->state = SMF__WAL_BUFFER_WRITTEN; buffer != through;
         buffer->state = SMF__WAL_BUFFER_WRITTEN)
        buffer = buffer->next;
    smf__wal_touch(part);
}

/* A durable write is a write and a flush in one: for what is the last to be written now, beside one other
 * write at most. Several writes share a flush that follows them. */
static int is_durable(const struct smf__wal_part *part, const struct smf__wal_buffer *first,
                      const struct smf__wal_buffer *through)
{
    return part->wanted_durable > smf__wal_place(first->segment->header.number, first->position) &&
           part->writes <= 1 && part->plain == 0 && !part->flushing && through->next == NULL;
}

/* One write of what is side by side. Returns the buffer behind it. */
static struct smf__wal_buffer *start_write(struct smf__wal_part *part,
                                           struct smf__wal_buffer *buffer)
{
    struct smf__wal_buffer *through = smf__wal_buffers_through(buffer), *each = buffer;
    int durable = is_durable(part, buffer, through);
    buffer->through = through;
    for (;; each = each->next) {
        each->durable = durable;
        each->state = SMF__WAL_BUFFER_UNDER_WAY;
        if (each == through)
            break;
    }
    buffer->io = (struct smf__wal_io){
        .op = {.kind = SMF__DISK_WRITE,
               .flags = buffer->durable ? SMF__DISK_DURABLE : 0,
               .file = buffer->segment->file,
               .offset = buffer->position,
               .size = through->position + through->used - buffer->position,
               .data = buffer->data},
        .done = write_done,
        .owner = buffer,
    };
    part->writes++;
    smf__wal_queue(part->wal, &buffer->io);
    return through->next;
}

/* Does somebody wait for what is in the buffer that fills, and is it time to write it? */
static int is_due(const struct smf__wal_part *part)
{
    const struct smf__wal_buffer *fills = part->fills;
    uint64_t wanted =
        part->wanted_durable > part->wanted_written ? part->wanted_durable : part->wanted_written;
    return fills != NULL && part->writes < GROUP_WRITES &&
           wanted > smf__wal_place(fills->segment->header.number, fills->position);
}

static void start_writes(struct smf__wal_part *part)
{
    if (part->linger_ns != 0 && part->wal->now_ns >= part->linger_ns) {
        part->wanted_durable = part->buffered.place;
        part->linger_ns = 0;
        if (part->lingered_place == 0)
            part->lingered_place = part->buffered.place;
    }
    if (is_due(part))
        smf__wal_buffers_seal(part);
    while (part->writes < SMF__WAL_WRITES_MAX && part->next_write != NULL &&
           part->next_write->state == SMF__WAL_BUFFER_WAITS)
        part->next_write = start_write(part, part->next_write);
}

/* --- watermarks ----------------------------------------------------------------------------------- */

static void move_mark(struct smf__wal_mark *mark, const struct smf__wal_mark *to)
{
    smf__check(to->place >= mark->place && to->offset >= mark->offset);
    *mark = *to;
}

static void forget_plain(struct smf__wal_part *part)
{
    struct smf__wal_segment *segment = part->plain_segment;
    part->plain_segment = NULL;
    if (segment != NULL)
        smf__wal_segment_release(segment);
}

static void count_plain(struct smf__wal_part *part, struct smf__wal_segment *segment)
{
    if (part->plain++ > 0)
        return;
    part->plain_segment = segment;
    segment->holds++;
}

/* Moves the watermarks over what has completed, in order. Returns whether what is next has to wait for a
 * flush: plain writes that no flush covers are in one file at a time. */
static int advance(struct smf__wal_part *part)
{
    struct smf__wal_buffer *buffer;
    int stuck = 0;
    while ((buffer = part->buffers) != NULL && buffer->state == SMF__WAL_BUFFER_WRITTEN) {
        stuck = part->plain > 0 && part->plain_segment != buffer->segment;
        if (stuck)
            break;
        if (buffer->end.place != 0)
            move_mark(&part->written, &buffer->end);
        if (!buffer->durable)
            count_plain(part, buffer->segment);
        smf__count(part->written_bytes, buffer->used);
        smf__wal_buffers_pop(part);
    }
    if (part->buffers ==
        NULL) /* with what a new segment begins with, which is durable before it counts */
        move_mark(&part->written, &part->buffered);
    if (part->plain == 0)
        move_mark(&part->durable, &part->written);
    return stuck;
}

static void flush_done(struct smf__wal_io *io)
{
    struct smf__wal_part *part = io->owner;
    part->flushing = 0;
    if (io->op.status != SMF_OK) {
        fence_for(part, &io->op, "a flush of", part->plain_segment);
    } else {
        part->plain -= part->flush_plain;
        if (part->flush_covers.place > part->durable.place)
            move_mark(&part->durable, &part->flush_covers);
    }
    part->flush_covers = (struct smf__wal_mark){0};
    if (part->plain == 0)
        forget_plain(part);
    smf__wal_touch(part);
}

/* A flush is worth it when it lets somebody go who waits, or what has lingered: not before all of their
 * writes have ended. */
static int is_flush_due(const struct smf__wal_part *part)
{
    const struct smf__wal_pending *pending = part->pending[SMF__WAL_DURABLE].first;
    if (part->wanted_durable <= part->durable.place)
        return 0;
    return part->writes == 0 || (pending != NULL && pending->end_place <= part->written.place) ||
           (part->lingered_place != 0 && part->lingered_place <= part->written.place);
}

static void start_flush(struct smf__wal_part *part)
{
    part->flushing = 1;
    if (part->lingered_place <= part->written.place)
        part->lingered_place = 0;
    part->flush_covers = part->written;
    part->flush_plain = part->plain;
    part->flush = (struct smf__wal_io){
        .op = {.kind = SMF__DISK_FLUSH, .file = part->plain_segment->file},
        .done = flush_done,
        .owner = part,
    };
    smf__wal_queue(part->wal, &part->flush);
}

/* --- outcomes ------------------------------------------------------------------------------------- */

static void tell_first(struct smf__wal_part *part, uint32_t ack, int status)
{
    struct smf__wal *wal = part->wal;
    struct smf__wal_pending_list *list = &part->pending[ack];
    struct smf__wal_pending *pending = list->first;
    struct smf__wal_outcome outcome = {pending->user, pending->first_offset, status, part};
    list->first = pending->next;
    if (list->first == NULL)
        list->last = NULL;
    pending->next = wal->pending_free;
    wal->pending_free = pending;
    if (wal->told != NULL)
        wal->told(wal->told_context, &outcome);
}

/* Those behind which a watermark has come. With a status: the others as well, they have failed. */
static void tell(struct smf__wal_part *part)
{
    const struct smf__wal_mark *marks[SMF__WAL_ACKS] = {&part->buffered, &part->written,
                                                        &part->durable};
    for (uint32_t ack = SMF__WAL_WRITTEN; ack < SMF__WAL_ACKS; ack++) {
        struct smf__wal_pending_list *list = &part->pending[ack];
        while (list->first != NULL && list->first->end_place <= marks[ack]->place)
            tell_first(part, ack, SMF_OK);
        while (list->first != NULL && part->status != SMF_OK)
            tell_first(part, ack, part->status);
    }
}

/* --- a turn --------------------------------------------------------------------------------------- */

/* The watermarks stay where they are: whether what was under way has arrived, the next open will see. */
static void drop_buffers(struct smf__wal_part *part)
{
    part->next_write = NULL;
    while (part->buffers != NULL && part->buffers->state != SMF__WAL_BUFFER_UNDER_WAY)
        smf__wal_buffers_pop(part);
    part->next_write = NULL;
    if (part->plain > 0 && !part->flushing) {
        part->plain = 0;
        forget_plain(part);
    }
    part->linger_ns = part->stamp_ns = 0;
}

/* Writes a stamp when it is time: durable batches that no header behind them vouches for. */
static void look_at_stamp(struct smf__wal_part *part)
{
    struct smf__wal *wal = part->wal;
    uint64_t vouch =
        part->durable.place < part->stamped_for ? part->durable.place : part->stamped_for;
    if (part->said_durable >= vouch || wal->closing || part->held) {
        part->stamp_ns = 0;
        return;
    }
    if (part->stamp_ns == 0) {
        part->stamp_wait_ns = SMF__WAL_IDLE_NS;
        part->stamp_ns = wal->now_ns + part->stamp_wait_ns;
    }
    if (wal->now_ns < part->stamp_ns)
        return;
    /* Another try, if there is no room now; a disk that is full may stay so. */
    part->stamp_ns = wal->now_ns + part->stamp_wait_ns;
    if (part->stamp_wait_ns < SMF__WAL_STAMP_WAIT_MAX_NS)
        part->stamp_wait_ns *= 2;
    if (part->topic == NULL && wal->meta_rewriting)
        return;
    uint64_t offset;
    int64_t now_us = smf__wal_wall_us(wal);
    struct smf__wal_append stamp = {
        .base_us = now_us,
        .max_us = now_us,
        .kind = part->topic != NULL ? SMF__WAL_STAMP : SMF__WAL_META,
        .ack = SMF__WAL_DURABLE,
    };
    if (take_batch(part, &stamp, 0, &offset) == SMF_OK)
        part->stamp_ns = 0;
}

/* When the next checkpoint is due: UINT64_MAX without anything to say. */
static uint64_t checkpoint_due(const struct smf__wal_part *part)
{
    if (part->topic == NULL || part->wal->closing || part->revoke_place != 0 || part->clean ||
        part->durable.place <= part->checkpoint_place)
        return UINT64_MAX;
    if (part->appended_bytes - part->checkpoint_bytes >= SMF__WAL_CHECKPOINT_BYTES)
        return part->wal->now_ns;
    return part->checkpoint_ns + SMF__WAL_CHECKPOINT_NS;
}

static void look_at_checkpoint(struct smf__wal_part *part)
{
    struct smf__wal *wal = part->wal;
    if (part->checkpoint_ns == 0)
        part->checkpoint_ns =
            wal->now_ns; /* the first one comes when something was durable so long */
    if (checkpoint_due(part) > wal->now_ns)
        return;
    if (smf__wal_meta_checkpoint(part, 0, 0) == SMF_OK)
        part->checkpoint_place = part->durable.place;
    part->checkpoint_ns = wal->now_ns; /* also after a failure: it only makes an open shorter */
    part->checkpoint_bytes = part->appended_bytes;
}

static uint64_t next_due(const struct smf__wal_part *part)
{
    uint64_t due_ns = checkpoint_due(part);
    if (part->linger_ns != 0 && part->linger_ns < due_ns)
        due_ns = part->linger_ns;
    if (part->stamp_ns != 0 && part->stamp_ns < due_ns)
        due_ns = part->stamp_ns;
    return due_ns;
}

uint64_t smf__wal_part_turn(struct smf__wal_part *part)
{
    int stuck = 0;
    if (part->status == SMF_OK)
        stuck = advance(part);
    tell(part);
    smf__wal_readers_tell(part);
    if (part->status != SMF_OK) {
        drop_buffers(part);
        return UINT64_MAX;
    }
    look_at_stamp(part);
    look_at_checkpoint(part);
    start_writes(part);
    if (part->plain > 0 && !part->flushing && (stuck || is_flush_due(part)))
        start_flush(part);
    smf__wal_segment_ahead(part);
    return next_due(part);
}

int smf__wal_sync(struct smf__wal_part *part)
{
    uint64_t target = part->buffered.place;
    if (part->status == SMF_OK && part->wanted_durable < target)
        part->wanted_durable = target;
    smf__wal_touch(part);
    while (part->status == SMF_OK && part->durable.place < target)
        smf__wal_wait(part->wal);
    return part->status;
}
