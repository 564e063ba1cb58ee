/* Topics: in memory, and new ones on the disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/wal_bytes.h"
#include "wal/wal_look.h"
#include "wal/wal_office.h"
#include "wal/wal_spread.h"

/* --- in memory ------------------------------------------------------------------------------------ */

void smf__wal_segment_free(struct smf__wal_segment *segment)
{
    smf__wal_do_close(segment->part->wal, &segment->file);
    free(segment->waypoints);
    free(segment);
}

void smf__wal_topic_free(struct smf__wal_topic_info *topic)
{
    for (uint32_t i = 0; topic->parts != NULL && i < topic->config.partitions; i++) {
        struct smf__wal_part *part = topic->parts[i];
        while (part != NULL && part->first != NULL) {
            struct smf__wal_segment *segment = part->first;
            part->first = segment->next;
            smf__wal_segment_free(segment);
        }
        free(part);
    }
    free(topic->parts);
    free(topic);
}

static int is_ours(const struct smf__wal *wal, const struct smf__wal_topic_info *topic,
                   uint32_t number)
{
    return wal->cores < 2 || smf__wal_core_of(topic->name, (uint32_t)strlen(topic->name), number,
                                              wal->cores) == wal->core;
}

static struct smf__wal_part *new_part(struct smf__wal *wal, struct smf__wal_topic_info *topic,
                                      uint32_t number)
{
    char folder[SMF__DISK_PATH_MAX_BYTES];
    int length =
        snprintf(folder, sizeof(folder), "%.3800s/%s/%u", wal->folder, topic->name, number);
    struct smf__wal_part *part = calloc(1, sizeof(*part) + (size_t)length + 1);
    if (part == NULL)
        return NULL;
    part->folder = memcpy(part + 1, folder, (size_t)length + 1);
    part->wal = wal;
    part->topic = topic;
    part->number = number;
    part->next_number = 1;
    return part;
}

/* Makes it have so many partitions, at least as many as before. Returns 0 or SMF_ENOMEM. */
static int have_parts(struct smf__wal *wal, struct smf__wal_topic_info *topic, uint32_t partitions)
{
    struct smf__wal_part **parts = reallocarray(topic->parts, partitions, sizeof(void *));
    if (parts == NULL)
        return SMF_ENOMEM;
    topic->parts = parts;
    while (topic->config.partitions < partitions) {
        uint32_t number = topic->config.partitions;
        int ours = is_ours(wal, topic, number);
        parts[number] = ours ? new_part(wal, topic, number) : NULL;
        if (ours && parts[number] == NULL)
            return SMF_ENOMEM;
        topic->config.partitions = number + 1;
    }
    return SMF_OK;
}

int smf__wal_topic_change(struct smf__wal *wal, struct smf__wal_topic_info *topic,
                          const struct smf__wal_topic *config)
{
    if (config->partitions < topic->config.partitions || config->name_size != strlen(topic->name) ||
        memcmp(config->name, topic->name, config->name_size) != 0)
        return SMF_EINVAL;
    int status = have_parts(wal, topic, config->partitions);
    if (status == SMF_OK) {
        topic->config = *config;
        topic->config.name = topic->name;
    }
    return status;
}

struct smf__wal_topic_info *smf__wal_topic_new(struct smf__wal *wal,
                                               const struct smf__wal_topic *config)
{
    struct smf__wal_topic_info *topic = calloc(1, sizeof(*topic));
    if (topic == NULL)
        return NULL;
    memcpy(topic->name, config->name, config->name_size);
    if (smf__wal_topic_change(wal, topic, config) != SMF_OK) {
        smf__wal_topic_free(topic);
        return NULL;
    }
    return topic;
}

struct smf__wal_topic_info *smf__wal_topic_by_id(const struct smf__wal *wal, uint64_t topic_id)
{
    struct smf__wal_topic_info *topic = wal->topics;
    while (topic != NULL && topic->config.topic_id != topic_id)
        topic = topic->next;
    return topic;
}

struct smf__wal_topic_info *smf__wal_topic_find(struct smf__wal *wal, const char *name)
{
    struct smf__wal_topic_info *topic = wal->topics;
    while (topic != NULL && strcmp(topic->name, name) != 0)
        topic = topic->next;
    return topic;
}

void smf__wal_topic_append(struct smf__wal *wal, struct smf__wal_topic_info *topic)
{
    struct smf__wal_topic_info **at = &wal->topics;
    while (*at != NULL)
        at = &(*at)->next;
    topic->next = NULL;
    *at = topic;
}

/* --- a new one ------------------------------------------------------------------------------------ */

/* Fills what was left to its default. Returns 0, or SMF_EINVAL with a line that says what is allowed. */
static int check_config(const struct smf__wal *wal, struct smf__wal_topic *config,
                        struct smf_error *error_out)
{
    if (config->name == NULL || !smf__wal_topic_name_ok(config->name, config->name_size))
        return smf__wal_say(
            error_out, SMF_EINVAL,
            "a topic can't be named \"%.*s\": 1 to %u letters, digits, '.', '_' and "
            "'-', the first a letter or a digit, and not META or LOCK",
            config->name != NULL ? (int)(config->name_size % 60) : 0,
            config->name != NULL ? config->name : "", SMF__WAL_TOPIC_NAME_MAX_BYTES);
    if (config->partitions == 0)
        config->partitions = 1;
    if (config->partitions > SMF__WAL_PARTITIONS_MAX)
        return smf__wal_say(error_out, SMF_EINVAL, "a topic has 1 to %u partitions, not %u",
                            SMF__WAL_PARTITIONS_MAX, config->partitions);
    if (config->segment_bytes == 0)
        config->segment_bytes = SMF__WAL_SEGMENT_DEFAULT_BYTES;
    if (config->segment_bytes < SMF__WAL_SEGMENT_MIN_BYTES ||
        config->segment_bytes > SMF__WAL_FILE_MAX_BYTES)
        return smf__wal_say(
            error_out, SMF_EINVAL, "segments of a topic have %llu to %llu bytes, not %llu",
            (unsigned long long)SMF__WAL_SEGMENT_MIN_BYTES,
            (unsigned long long)SMF__WAL_FILE_MAX_BYTES, (unsigned long long)config->segment_bytes);
    config->segment_bytes = smf__round_up(config->segment_bytes, wal->block_bytes);
    if (config->record_max_bytes > SMF__WAL_RECORD_MAX_BYTES)
        return smf__wal_say(error_out, SMF_EINVAL,
                            "a record has %u bytes at most, so record_max_bytes can't be %u",
                            SMF__WAL_RECORD_MAX_BYTES, config->record_max_bytes);
    return SMF_OK;
}

/* A folder that is there already may be left from a creation that was cut off: then it is empty. What has
 * segments belonged to something that META does not know of, and would be taken for damage. */
static int check_leftover(struct smf__wal *wal, const char *folder, struct smf_error *error_out)
{
    char *names;
    uint64_t size;
    uint32_t number;
    uint64_t first_offset;
    int status = smf__wal_list(wal, folder, &names, &size, error_out);
    if (status != SMF_OK)
        return status;
    for (uint64_t at = 0; at < size && status == SMF_OK; at += strlen(names + at) + 1) {
        if (smf__wal_file_name_parse(names + at, &number, &first_offset) == SMF__WAL_GOOD)
            status =
                smf__wal_say(error_out, SMF_EEXIST,
                             "%.120s has segments of a topic that META does not know; move them "
                             "away, or take another name",
                             folder);
    }
    free(names);
    return status;
}

static int make_folder(struct smf__wal *wal, const char *folder, int *was_there_out,
                       struct smf_error *error_out)
{
    int status = smf__wal_do_path(wal, SMF__DISK_MAKE_FOLDER, folder, error_out);
    *was_there_out = status == SMF_EEXIST;
    return *was_there_out ? SMF_OK : status;
}

static int make_folders(struct smf__wal *wal, const struct smf__wal_topic_info *topic,
                        struct smf_error *error_out)
{
    char folder[SMF__DISK_PATH_MAX_BYTES];
    int was_there;
    int status = smf__wal_join(folder, wal->folder, topic->name);
    if (status != SMF_OK)
        return smf__wal_say(error_out, status, "the path of a topic's folder would be too long");
    status = make_folder(wal, folder, &was_there, error_out);
    for (uint32_t i = 0; i < topic->config.partitions && status == SMF_OK; i++) {
        status = make_folder(wal, topic->parts[i]->folder, &was_there, error_out);
        if (status == SMF_OK && was_there)
            status = check_leftover(wal, topic->parts[i]->folder, error_out);
    }
    if (status == SMF_OK)
        status = smf__wal_do_path(wal, SMF__DISK_SYNC_FOLDER, folder, error_out);
    if (status == SMF_OK)
        status = smf__wal_do_path(wal, SMF__DISK_SYNC_FOLDER, wal->folder, error_out);
    return status;
}

static int write_topic(struct smf__wal *wal, const struct smf__wal_topic *config,
                       struct smf_error *error_out)
{
    uint8_t item[SMF__WAL_ITEM_WRITTEN_MAX_BYTES];
    uint32_t size = smf__wal_topic_write(config, item);
    if (size == 0)
        return smf__wal_say(error_out, SMF_EINVAL, "a topic's configuration is out of range");
    int status = smf__wal_meta_write(wal, item, size, 1);
    if (status != SMF_OK)
        return smf__wal_say(error_out, status, "%.200s",
                            wal->meta.status != SMF_OK ? wal->meta.status_text
                                                       : "META could not be written");
    return SMF_OK;
}

int smf__wal_topic_create(struct smf__wal *wal, const struct smf__wal_topic *config,
                          struct smf__wal_topic_info **topic_out, struct smf_error *error_out)
{
    struct smf__wal_topic own = *config;
    if (wal->options.read_only)
        return smf__wal_say(error_out, SMF_EREADONLY,
                            "the log is open for reading only; open it for writing to make topics");
    if (wal->office != NULL)
        return smf__wal_office_create(wal, config, topic_out, error_out);
    int status = check_config(wal, &own, error_out);
    if (status != SMF_OK)
        return status;
    own.created_us = smf__wal_wall_us(wal);
    do
        own.topic_id = smf__wal_random_id(wal);
    while (smf__wal_topic_by_id(wal, own.topic_id) != NULL ||
           own.topic_id == wal->meta.last->header.topic_id);
    struct smf__wal_topic_info *topic = smf__wal_topic_new(wal, &own);
    if (topic == NULL)
        return smf__wal_say(error_out, SMF_ENOMEM, "no memory for a topic of %u partitions",
                            own.partitions);
    if (smf__wal_topic_find(wal, topic->name) != NULL)
        status =
            smf__wal_say(error_out, SMF_EEXIST, "there is a topic %.200s already", topic->name);
    if (status == SMF_OK)
        status = make_folders(wal, topic, error_out);
    if (status == SMF_OK)
        status = write_topic(wal, &topic->config, error_out);
    if (status != SMF_OK) {
        smf__wal_topic_free(topic);
        return status;
    }
    smf__wal_topic_append(wal, topic);
    if (topic_out != NULL)
        *topic_out = topic;
    return SMF_OK;
}
