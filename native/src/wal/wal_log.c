/* Opening and closing. */
#include "wal/wal_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_look.h"
#include "wal/wal_office.h"

#define READ_ONLY_TRIES                                                                            \
    4 /* beside a process that writes, files come and go while they are looked at */
#define FOLDER_MAX_BYTES 3800u         /* so that topic, partition and file fit behind it */
#define CHECKPOINTS_BYTES (256u << 10) /* of one batch, when it is closed */

/* --- opening -------------------------------------------------------------------------------------- */

static int check_folder(struct smf__wal *wal, struct smf_error *error_out)
{
    struct smf__disk_op stat = {.kind = SMF__DISK_STAT, .path = wal->folder};
    char parent[SMF__DISK_PATH_MAX_BYTES];
    int status = smf__wal_run(wal, &stat);
    if (status == SMF_OK && !stat.is_folder)
        return smf__wal_say(error_out, SMF_EINVAL,
                            "%.150s is a file; a log needs a folder of its own", wal->folder);
    if (status != SMF_ENOTFOUND)
        return status == SMF_OK ? SMF_OK : smf__disk_explain(&stat, wal->folder, error_out);
    if (wal->options.read_only || !wal->options.create)
        return smf__wal_say(error_out, SMF_ENOTFOUND,
                            "there is no log in %.100s; create it by opening it for writing, with "
                            "create",
                            wal->folder);
    status = smf__wal_do_path(wal, SMF__DISK_MAKE_FOLDER, wal->folder, error_out);
    if (status != SMF_OK && status != SMF_EEXIST)
        return status;
    snprintf(parent, sizeof(parent), "%s", wal->folder);
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        snprintf(parent, sizeof(parent), ".");
    else
        slash[slash == parent] = '\0';
    return smf__wal_do_path(wal, SMF__DISK_SYNC_FOLDER, parent, error_out);
}

/* A folder that is no log gets no file without being asked for one. */
static int check_log(struct smf__wal *wal, struct smf_error *error_out)
{
    char path[SMF__DISK_PATH_MAX_BYTES];
    struct smf__disk_op stat = {.kind = SMF__DISK_STAT, .path = path};
    if (wal->options.create)
        return SMF_OK;
    snprintf(path, sizeof(path), "%.3800s/%s", wal->folder, SMF__WAL_META_NAME);
    if (smf__wal_run(wal, &stat) != SMF_ENOTFOUND)
        return SMF_OK;
    return smf__wal_say(
        error_out, SMF_ENOTFOUND,
        "there is no log in %.100s; create it by opening it for writing, with create", wal->folder);
}

static int take_lock(struct smf__wal *wal, struct smf_error *error_out)
{
    char path[SMF__DISK_PATH_MAX_BYTES];
    struct smf__disk_op open = {
        .kind = SMF__DISK_OPEN, .flags = SMF__DISK_CREATE | SMF__DISK_LOCK, .path = path};
    snprintf(path, sizeof(path), "%.3800s/%s", wal->folder, SMF__WAL_LOCK_NAME);
    int status = smf__wal_run(wal, &open);
    if (status == SMF_ELOCKED)
        return smf__wal_say(
            error_out, SMF_ELOCKED,
            "the log in %.100s is open for writing in another process, or elsewhere in "
            "this one; close it there, or open it with read_only beside it",
            wal->folder);
    if (status != SMF_OK)
        return smf__disk_explain(&open, path, error_out);
    wal->lock = open.file;
    wal->block_bytes = open.file->offset_align_bytes;
    return SMF_OK;
}

static int open_parts(struct smf__wal *wal, struct smf_error *error_out)
{
    for (struct smf__wal_topic_info *topic = wal->topics; topic != NULL; topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions; i++) {
            struct smf__wal_part *part = topic->parts[i];
            int status = SMF_OK;
            if (part != NULL)
                status = smf__wal_recover_part(part, &part->checkpoint, error_out);
            if (status != SMF_OK)
                return status;
        }
    }
    return SMF_OK;
}

static void remove_leftover(struct smf__wal *wal)
{
    char path[SMF__DISK_PATH_MAX_BYTES];
    snprintf(path, sizeof(path), "%.3800s/%s", wal->folder, SMF__WAL_META_NEW_NAME);
    (void)smf__wal_do_path(wal, SMF__DISK_UNLINK, path, NULL);
}

/* LOCK and META, or what the office knows of it. */
static int open_meta(struct smf__wal *wal, struct smf_error *error_out)
{
    int writes = !wal->options.read_only;
    if (wal->office != NULL) {
        int taken = smf__wal_office_topics(wal, 1);
        return taken == SMF_OK ? SMF_OK
                               : smf__wal_say(error_out, taken, "no memory for a log's topics");
    }
    int status = check_folder(wal, error_out);
    if (status == SMF_OK && writes)
        status = check_log(wal, error_out);
    if (status == SMF_OK && writes)
        status = take_lock(wal, error_out);
    if (status == SMF_OK)
        status = smf__wal_recover_meta(wal, error_out);
    if (status == SMF_OK && writes)
        remove_leftover(wal);
    return status;
}

static int open_files(struct smf__wal *wal, struct smf_error *error_out)
{
    int status = open_meta(wal, error_out);
    if (status == SMF_OK && !wal->options.read_only && smf__wal_buffers_open(wal) != SMF_OK)
        status = smf__wal_say(error_out, SMF_ENOMEM, "no memory for %llu bytes of buffers",
                              (unsigned long long)wal->options.memory_bytes);
    return status == SMF_OK && !wal->options.only_meta ? open_parts(wal, error_out) : status;
}

static int take_options(struct smf__wal *wal, const struct smf__wal_options *options,
                        struct smf_error *error_out)
{
    size_t length = options->folder != NULL ? strlen(options->folder) : 0;
    while (length > 1 && options->folder[length - 1] == '/')
        length--;
    if (length == 0 || length > FOLDER_MAX_BYTES)
        return smf__wal_say(error_out, SMF_EINVAL,
                            "a log needs a folder, with a path of at most %u bytes",
                            FOLDER_MAX_BYTES);
    if (options->memory_bytes != 0 && options->memory_bytes < SMF__WAL_MEMORY_MIN_BYTES)
        return smf__wal_say(error_out, SMF_EINVAL,
                            "a log needs at least %llu bytes of memory_bytes, not %llu",
                            (unsigned long long)SMF__WAL_MEMORY_MIN_BYTES,
                            (unsigned long long)options->memory_bytes);
    memcpy(wal->folder, options->folder, length);
    wal->options = *options;
    wal->options.folder = wal->folder;
    wal->disk = options->disk;
    if (options->office != NULL) {
        wal->office = options->read_only ? NULL : options->office;
        wal->cores = options->office->cores;
        wal->core = options->core;
    }
    if (wal->options.memory_bytes == 0)
        wal->options.memory_bytes = SMF__WAL_MEMORY_DEFAULT_BYTES;
    if (wal->options.linger_us == 0)
        wal->options.linger_us = SMF__WAL_LINGER_DEFAULT_US;
    if (wal->options.clock.now_ns == NULL)
        wal->options.clock = smf__clock_monotonic();
    if (options->random_seed != 0)
        smf__random_seed(&wal->random, options->random_seed);
    else
        smf__random_seed_system(&wal->random);
    wal->now_ns = smf__clock_now_ns(&wal->options.clock);
    wal->meta.wal = wal;
    wal->meta.next_number = 1;
    wal->meta.folder = wal->folder;
    return SMF_OK;
}

static void close_files(struct smf__wal *wal, struct smf__wal_part *part)
{
    if (part == NULL)
        return;
    for (struct smf__wal_segment *segment = part->first; segment != NULL; segment = segment->next)
        smf__wal_do_close(wal, &segment->file);
}

/* Files first: as long as one is being closed there are turns, which look at partitions. */
static void free_log(struct smf__wal *wal)
{
    for (struct smf__wal_topic_info *topic = wal->topics; topic != NULL; topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions; i++)
            close_files(wal, topic->parts[i]);
    }
    close_files(wal, &wal->meta);
    smf__wal_do_close(wal, &wal->lock);
    while (wal->topics != NULL) {
        struct smf__wal_topic_info *topic = wal->topics;
        wal->topics = topic->next;
        smf__wal_topic_free(topic);
    }
    while (wal->meta.first != NULL) {
        struct smf__wal_segment *segment = wal->meta.first;
        wal->meta.first = segment->next;
        smf__wal_segment_free(segment);
    }
    if (wal->memory != NULL)
        smf__wal_buffers_close(wal);
    free(wal);
}

static int open_once(struct smf__wal **wal_out, const struct smf__wal_options *options,
                     struct smf_error *error_out)
{
    struct smf__wal *wal = calloc(1, sizeof(*wal));
    *wal_out = NULL;
    if (wal == NULL)
        return smf__wal_say(error_out, SMF_ENOMEM, "no memory to open a log");
    int status = take_options(wal, options, error_out);
    if (status != SMF_OK) {
        free(wal);
        return status;
    }
    status = open_files(wal, error_out);
    if (status != SMF_OK) {
        free_log(wal);
        return status;
    }
    *wal_out = wal;
    return SMF_OK;
}

static int has_damage(const struct smf__wal *wal)
{
    for (const struct smf__wal_topic_info *topic = wal->topics; topic != NULL;
         topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions; i++) {
            if (topic->parts[i] != NULL && topic->parts[i]->damage.place != 0)
                return 1;
        }
    }
    return 0;
}

int smf__wal_open(struct smf__wal **wal_out, const struct smf__wal_options *options,
                  struct smf_error *error_out)
{
    for (int tries = 1;; tries++) {
        int status = open_once(wal_out, options, error_out);
        if (status != SMF_OK || !options->read_only || tries == READ_ONLY_TRIES)
            return status;
        smf__check(*wal_out != NULL);
        if (!has_damage(*wal_out))
            return SMF_OK;
        free_log(*wal_out);
    }
}

/* --- closing -------------------------------------------------------------------------------------- */

static void keep_first(int *status, int other)
{
    if (*status == SMF_OK)
        *status = other;
}

/* Fills the checkpoint that a partition should have in META. Returns 0 when it is there. */
static int last_checkpoint(const struct smf__wal_part *part, struct smf__wal_checkpoint *checkpoint)
{
    int clean = part->last != NULL && !part->last->sealed && part->status == SMF_OK &&
                part->durable.place == part->buffered.place;
    if (part->durable.place == 0 || part->damage.place != 0 ||
        (part->durable.place == part->checkpoint.end && (part->checkpoint.clean || !clean)))
        return 0;
    *checkpoint = (struct smf__wal_checkpoint){
        .topic_id = part->topic->config.topic_id,
        .partition = part->number,
        .end = part->durable.place,
        .next_offset = part->durable.offset,
        .prev_crc = part->durable.crc,
        .clean = clean,
    };
    return 1;
}

static int write_checkpoints(struct smf__wal *wal)
{
    uint8_t *items = malloc(CHECKPOINTS_BYTES);
    uint32_t size = 0;
    int status = items != NULL ? SMF_OK : SMF_ENOMEM;
    for (struct smf__wal_topic_info *topic = wal->topics; topic != NULL && status == SMF_OK;
         topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions && status == SMF_OK; i++) {
            struct smf__wal_part *part = topic->parts[i];
            if (part == NULL || !last_checkpoint(part, &part->checkpoint))
                continue;
            size += smf__wal_checkpoint_write(&part->checkpoint, items + size);
            if (size > CHECKPOINTS_BYTES - SMF__WAL_ITEM_WRITTEN_MAX_BYTES) {
                status = smf__wal_meta_write(wal, items, size, 1);
                size = 0;
            }
        }
    }
    if (size > 0 && status == SMF_OK)
        status = smf__wal_meta_write(wal, items, size, 1);
    free(items);
    return status;
}

/* Everything of a partition is at rest afterwards. */
static int close_part(struct smf__wal_part *part)
{
    int status = smf__wal_sync(part);
    while (part->readers != NULL)
        smf__wal_reader_close(part->readers);
    smf__wal_segments_close(part);
    return status;
}

static int close_parts(struct smf__wal *wal)
{
    int status = SMF_OK;
    for (struct smf__wal_topic_info *topic = wal->topics; topic != NULL; topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions; i++) {
            struct smf__wal_part *part = topic->parts[i];
            if (part == NULL)
                continue;
            int was_fenced = part->damage.place != 0;
            int ended = close_part(part);
            if (!was_fenced) /* that it was damaged was known when it was opened */
                keep_first(&status, ended);
        }
    }
    return status;
}

static void close_readers(struct smf__wal *wal)
{
    for (struct smf__wal_topic_info *topic = wal->topics; topic != NULL; topic = topic->next) {
        for (uint32_t i = 0; i < topic->config.partitions; i++) {
            struct smf__wal_part *part = topic->parts[i];
            while (part != NULL && part->readers != NULL)
                smf__wal_reader_close(part->readers);
        }
    }
}

int smf__wal_close(struct smf__wal *wal)
{
    int status = SMF_OK;
    wal->closing = 1;
    if (wal->options.read_only) {
        close_readers(wal);
    } else if (!wal->options.only_meta) {
        status = close_parts(wal);
        keep_first(&status, write_checkpoints(wal));
    }
    if (!wal->options.read_only) {
        while (wal->meta_rewriting)
            smf__wal_wait(wal);
        smf__wal_segments_close(&wal->meta);
    }
    while (wal->under_way > 0)
        smf__wal_wait(wal);
    free_log(wal);
    return status;
}
