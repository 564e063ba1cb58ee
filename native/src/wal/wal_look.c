#include "wal/wal_look.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"

#define MEMORY_ALIGN_BYTES 4096u /* at least */
#define BACK_BYTES (16u << 10)   /* of the first look for a batch in front of its end */

/* --- operations ----------------------------------------------------------------------------------- */

int smf__wal_do(struct smf__wal *wal, struct smf__disk_op *op, const char *path,
                struct smf_error *error_out)
{
    int status = smf__wal_run(wal, op);
    return status == SMF_OK ? SMF_OK : smf__disk_explain(op, path, error_out);
}

int smf__wal_do_path(struct smf__wal *wal, uint32_t kind, const char *path,
                     struct smf_error *error_out)
{
    struct smf__disk_op op = {.kind = kind, .path = path};
    return smf__wal_do(wal, &op, path, error_out);
}

int smf__wal_do_open(struct smf__wal *wal, const char *path, struct smf__disk_file **file_out,
                     struct smf_error *error_out)
{
    struct smf__disk_op op = {.kind = SMF__DISK_OPEN,
                              .flags = wal->options.read_only ? SMF__DISK_READ_ONLY : 0,
                              .path = path};
    int status = smf__wal_do(wal, &op, path, error_out);
    *file_out = status == SMF_OK ? op.file : NULL;
    return status;
}

void smf__wal_do_close(struct smf__wal *wal, struct smf__disk_file **file)
{
    struct smf__disk_op op = {.kind = SMF__DISK_CLOSE, .file = *file};
    if (*file != NULL)
        (void)smf__wal_run(wal, &op); /* what has to be safe was flushed before */
    *file = NULL;
}

int smf__wal_join(char *path_out, const char *folder, const char *name)
{
    int size = snprintf(path_out, SMF__DISK_PATH_MAX_BYTES, "%s/%s", folder, name);
    return size > 0 && (unsigned)size < SMF__DISK_PATH_MAX_BYTES ? SMF_OK : SMF_EINVAL;
}

int smf__wal_say(struct smf_error *error_out, int status, const char *format, ...)
{
    va_list arguments;
    if (error_out == NULL)
        return status;
    error_out->status = status;
    error_out->os_errno = 0;
    va_start(arguments, format);
    vsnprintf(error_out->text, sizeof(error_out->text), format, arguments);
    va_end(arguments);
    return status;
}

int smf__wal_list(struct smf__wal *wal, const char *path, char **names_out, uint64_t *size_out,
                  struct smf_error *error_out)
{
    struct smf__disk_op op = {.kind = SMF__DISK_LIST, .path = path, .size = SMF__WAL_FOLDER_BYTES};
    for (;;) {
        op.data = malloc(op.size);
        if (op.data == NULL)
            return smf__wal_say(error_out, SMF_ENOMEM, "no memory to list %.120s", path);
        int status = smf__wal_run(wal, &op);
        if (status == SMF_OK) {
            *names_out = op.data;
            *size_out = op.done;
            return SMF_OK;
        }
        free(op.data);
        if (status != SMF_ELIMIT || op.done <= op.size)
            return smf__disk_explain(&op, path, error_out);
        op.size = 2 * op.done; /* names may be added meanwhile */
    }
}

void *smf__wal_aligned(const struct smf__disk_file *file, uint64_t size_bytes)
{
    uint64_t align = MEMORY_ALIGN_BYTES;
    if (align < file->memory_align_bytes)
        align = file->memory_align_bytes;
    return aligned_alloc(align, smf__round_up(size_bytes, align));
}

int smf__wal_name_is_new(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".new") == 0;
}

uint64_t smf__wal_random_id(struct smf__wal *wal)
{
    uint64_t id;
    do
        id = smf__random_next(&wal->random);
    while (id == 0);
    return id;
}

/* --- files, from front to back -------------------------------------------------------------------- */

void smf__wal_look_begin(struct smf__wal_look *look, struct smf__disk_file *file)
{
    look->file = file;
    look->size_bytes = file->size_bytes;
    look->window.size = 0;
}

void smf__wal_look_end(struct smf__wal_look *look)
{
    free(look->bytes);
    look->bytes = NULL;
    look->capacity = 0;
    look->window.size = 0;
}

static void piece_read(struct smf__wal_io *io)
{
    (*(uint32_t *)io->owner)--;
}

/* Several at a time: one alone leaves the device idle in between. Returns 0 with how much is there, or the
 * status of the first that failed. */
static int read_pieces(struct smf__wal_look *look, uint64_t position, uint64_t size,
                       uint64_t *done_out)
{
    struct smf__wal_io pieces[SMF__WAL_LOOK_READS];
    uint64_t started = 0;

    *done_out = 0;
    while (started < size) {
        uint32_t count = 0, under_way = 0;
        for (; count < SMF__WAL_LOOK_READS && started < size; count++) {
            uint64_t left = size - started;
            pieces[count] = (struct smf__wal_io){
                .op = {.kind = SMF__DISK_READ,
                       .file = look->file,
                       .offset = position + started,
                       .size = left < SMF__WAL_READ_BYTES ? left : SMF__WAL_READ_BYTES,
                       .data = look->bytes + started},
                .done = piece_read,
                .owner = &under_way,
            };
            started += pieces[count].op.size;
            under_way++;
            smf__wal_queue(look->wal, &pieces[count]);
        }
        while (under_way > 0)
            smf__wal_wait(look->wal);
        for (uint32_t i = 0; i < count; i++) {
            if (pieces[i].op.status != SMF_OK)
                return smf__disk_explain(&pieces[i].op, NULL, &look->error);
            *done_out += pieces[i].op.done;
            if (pieces[i].op.done < pieces[i].op.size)
                return SMF_OK; /* the file ends */
        }
    }
    return SMF_OK;
}

static int make_room(struct smf__wal_look *look, uint64_t size)
{
    if (look->capacity >= size)
        return SMF_OK;
    smf__wal_look_end(look);
    look->bytes = smf__wal_aligned(look->file, size);
    if (look->bytes == NULL)
        return smf__wal_say(&look->error, SMF_ENOMEM, "no memory to read a log's file");
    look->capacity = size;
    return SMF_OK;
}

static int is_covered(const struct smf__wal_look *look, uint64_t position, uint64_t size)
{
    const struct smf__wal_window *window = &look->window;
    uint64_t until = position + size < look->size_bytes ? position + size : look->size_bytes;
    return window->size > 0 && position >= window->position &&
           until <= window->position + window->size;
}

int smf__wal_look_at(struct smf__wal_look *look, uint64_t position, uint64_t size)
{
    uint64_t align = look->file->offset_align_bytes;
    if (is_covered(look, position, size))
        return SMF_OK;
    uint64_t from = position & ~(align - 1);
    uint64_t until =
        position + size > from + SMF__WAL_LOOK_BYTES ? position + size : from + SMF__WAL_LOOK_BYTES;
    if (until > look->size_bytes)
        until = look->size_bytes;
    look->window = (struct smf__wal_window){look->bytes, from, 0};
    if (from >= until)
        return SMF_OK;
    uint64_t bytes = smf__round_up(until - from, align);
    int status = make_room(look, bytes);
    if (status != SMF_OK)
        return status;
    uint64_t done;
    status = read_pieces(look, from, bytes, &done);
    if (status != SMF_OK)
        return status;
    if (done < until - from)
        look->size_bytes = from + done; /* somebody else has shortened it */
    look->window = (struct smf__wal_window){look->bytes, from, done < bytes ? done : bytes};
    return SMF_OK;
}

static int window_is_last(const struct smf__wal_look *look)
{
    return look->window.position + look->window.size >= look->size_bytes;
}

int smf__wal_look_next(struct smf__wal_look *look, struct smf__wal_scan *scan,
                       struct smf__wal_batch *batch_out, uint64_t *position_out)
{
    uint64_t need = SMF__WAL_BATCH_HEADER_MAX_BYTES;
    for (;;) {
        int status = smf__wal_look_at(look, scan->end, need);
        if (status != SMF_OK)
            return status;
        status = smf__wal_scan_next(scan, &look->window, batch_out, position_out);
        if (status != SMF__WAL_TRUNCATED || window_is_last(look))
            return status;
        need = scan->need_bytes;
    }
}

int smf__wal_look_later(struct smf__wal_look *look, const struct smf__wal_scan *scan,
                        struct smf__wal_later *later)
{
    if (later->position < scan->end)
        later->position = scan->end;
    while (later->position < look->size_bytes) {
        int status = smf__wal_look_at(look, later->position, SMF__WAL_BATCH_HEADER_MAX_BYTES);
        if (status != SMF_OK)
            return status;
        smf__wal_later_add(later, scan, &look->window);
        if (window_is_last(look))
            return SMF_OK;
    }
    return SMF_OK;
}

/* From the last place before a position, at which the batch could begin, to the first of the window. */
static int find_back(const struct smf__wal_window *window, const struct smf__wal_file *file,
                     uint64_t before, uint64_t end, uint32_t crc, struct smf__wal_batch *batch_out)
{
    uint64_t first = smf__round_up(window->position, SMF__WAL_ALIGN_BYTES);
    uint64_t last =
        before < window->position + window->size ? before : window->position + window->size;
    while (last >= first + SMF__WAL_ALIGN_BYTES) {
        last -= SMF__WAL_ALIGN_BYTES;
        const uint8_t *bytes = window->bytes + (last - window->position);
        if (smf__get_u32(bytes) != crc)
            continue;
        int status = smf__wal_batch_parse(bytes, window->size - (last - window->position), file,
                                          last, batch_out);
        if ((status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED) &&
            last + smf__wal_batch_bytes(batch_out) == end)
            return 1;
    }
    return 0;
}

int smf__wal_look_back(struct smf__wal_look *look, const struct smf__wal_file *file, uint64_t end,
                       uint32_t crc, struct smf__wal_batch *batch_out, int *found_out)
{
    uint64_t most = SMF__WAL_BATCH_HEADER_MAX_BYTES + SMF__WAL_BODY_MAX_BYTES;
    uint64_t before = end, step = BACK_BYTES;
    *found_out = 0;
    if (end < file->block_bytes || end > look->size_bytes || end % SMF__WAL_ALIGN_BYTES != 0)
        return SMF_OK;
    uint64_t least = end - file->block_bytes > most ? end - most : file->block_bytes;
    while (before > least && !*found_out) {
        uint64_t from = before - least > step ? before - step : least;
        uint64_t until = before + SMF__WAL_BATCH_HEADER_MAX_BYTES; /* a header may reach so far */
        look->size_bytes = until < end ? until : end;
        int status = smf__wal_look_at(look, from, look->size_bytes - from);
        if (status != SMF_OK)
            return status;
        *found_out = find_back(&look->window, file, before, end, crc, batch_out);
        if (look->size_bytes < (until < end ? until : end))
            break; /* somebody has shortened the file */
        before = from;
        step = end - from; /* as much again */
    }
    return SMF_OK;
}

int smf__wal_look_zero(struct smf__wal_look *look, uint64_t position, int *zero_out)
{
    *zero_out = 1;
    while (position < look->size_bytes && *zero_out) {
        int status = smf__wal_look_at(look, position, 1);
        if (status != SMF_OK)
            return status;
        uint64_t from = position - look->window.position;
        if (from >= look->window.size)
            break;
        *zero_out = smf__wal_is_zero(look->window.bytes + from, look->window.size - from);
        position = look->window.position + look->window.size;
    }
    return SMF_OK;
}
