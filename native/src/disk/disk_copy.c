#include "disk/disk_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "disk/disk.h"

#define PIECE_BYTES (1u << 20)
#define PIECE_ALIGN_BYTES 4096u

struct copy {
    struct smf__disk *from, *to;
    void *piece;
    struct smf_error *error_out;
};

static int run(const struct copy *copy, struct smf__disk *disk, struct smf__disk_op *op,
               const char *path)
{
    int status = smf__disk_run(disk, op);

    return status == SMF_OK ? SMF_OK : smf__disk_explain(op, path, copy->error_out);
}

static uint64_t round_up(uint64_t size, uint64_t align)
{
    return (size + align - 1) / align * align;
}

static int copy_bytes(const struct copy *copy, struct smf__disk_file *in,
                      struct smf__disk_file *out, const char *path)
{
    uint64_t size = round_up(in->size_bytes, out->offset_align_bytes);
    struct smf__disk_op zero = {.kind = SMF__DISK_ZERO, .file = out, .size = size};
    struct smf__disk_op flush = {.kind = SMF__DISK_FLUSH, .file = out};
    int status = size > 0 ? run(copy, copy->to, &zero, path) : SMF_OK;

    for (uint64_t at = 0; at < size && status == SMF_OK; at += PIECE_BYTES) {
        uint64_t part = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
        struct smf__disk_op read = {.kind = SMF__DISK_READ, .file = in, .offset = at};
        struct smf__disk_op write = {
            .kind = SMF__DISK_WRITE, .file = out, .offset = at, .size = part};

        read.data = write.data = copy->piece;
        read.size = round_up(part, in->offset_align_bytes);
        memset(copy->piece, 0, PIECE_BYTES);
        status = run(copy, copy->from, &read, path);
        if (status == SMF_OK)
            status = run(copy, copy->to, &write, path);
    }
    return status == SMF_OK ? run(copy, copy->to, &flush, path) : status;
}

static int copy_file(const struct copy *copy, const char *from_path, const char *to_path)
{
    struct smf__disk_op in = {
        .kind = SMF__DISK_OPEN, .flags = SMF__DISK_READ_ONLY, .path = from_path};
    struct smf__disk_op out = {
        .kind = SMF__DISK_OPEN, .flags = SMF__DISK_CREATE | SMF__DISK_EXCLUSIVE, .path = to_path};
    int status = run(copy, copy->from, &in, from_path);

    if (status != SMF_OK)
        return status;
    status = run(copy, copy->to, &out, to_path);
    if (status == SMF_OK) {
        struct smf__disk_op close_out = {.kind = SMF__DISK_CLOSE, .file = out.file};

        status = copy_bytes(copy, in.file, out.file, to_path);
        (void)smf__disk_run(copy->to, &close_out);
    }
    in.kind = SMF__DISK_CLOSE;
    (void)smf__disk_run(copy->from, &in);
    return status;
}

static int copy_folder(const struct copy *copy, const char *from_path, const char *to_path,
                       int depth);

static int copy_name(const struct copy *copy, const char *name, const char *from_path,
                     const char *to_path, int depth)
{
    size_t length = strcspn(name, "/");
    char from[SMF__DISK_PATH_MAX_BYTES], to[SMF__DISK_PATH_MAX_BYTES];
    struct smf__disk_op make = {.kind = SMF__DISK_MAKE_FOLDER, .path = to};
    int status;

    if (snprintf(from, sizeof from, "%s/%.*s", from_path, (int)length, name) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/%.*s", to_path, (int)length, name) >= (int)sizeof to)
        return smf__error(copy->error_out, SMF_ELIMIT, 0, "a path is too long to be copied");
    if (name[length] == '\0')
        return copy_file(copy, from, to);
    status = run(copy, copy->to, &make, to);
    return status == SMF_OK ? copy_folder(copy, from, to, depth + 1) : status;
}

static int copy_folder(const struct copy *copy, const char *from_path, const char *to_path,
                       int depth)
{
    char *names = malloc(SMF__DISK_COPY_NAMES_BYTES);
    struct smf__disk_op list = {.kind = SMF__DISK_LIST,
                                .path = from_path,
                                .data = names,
                                .size = SMF__DISK_COPY_NAMES_BYTES};
    struct smf__disk_op sync = {.kind = SMF__DISK_SYNC_FOLDER, .path = to_path};
    int status;

    if (names == NULL)
        return smf__error(copy->error_out, SMF_ENOMEM, 0, "no memory to copy a folder");
    if (depth > SMF__DISK_COPY_DEPTH_MAX)
        status = smf__error(copy->error_out, SMF_ELIMIT, 0, "folders are too deep to be copied");
    else
        status = run(copy, copy->from, &list, from_path);
    for (uint64_t at = 0; status == SMF_OK && at < list.done; at += strlen(names + at) + 1)
        status = copy_name(copy, names + at, from_path, to_path, depth);
    free(names);
    return status == SMF_OK ? run(copy, copy->to, &sync, to_path) : status;
}

int smf__disk_copy_folder(struct smf__disk *from, const char *from_path, struct smf__disk *to,
                          const char *to_path, struct smf_error *error_out)
{
    struct copy copy = {.from = from, .to = to, .error_out = error_out};
    int status;

    copy.piece = aligned_alloc(PIECE_ALIGN_BYTES, PIECE_BYTES);
    if (copy.piece == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory to copy a folder");
    status = copy_folder(&copy, from_path, to_path, 0);
    free(copy.piece);
    return status;
}
