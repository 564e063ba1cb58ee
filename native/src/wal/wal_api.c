/* What programs do with a log: topics, partitions, appending, cutting (smf/wal.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core_settings.h"
#include "mem/mem_count.h"
#include "wal/wal_host.h"

/* Of SMF_ABI_VERSION 1 when it began; never change. */
#define TOPIC_SIZE_MIN_BYTES 24u
#define INFO_SIZE_MIN_BYTES 344u
#define NAMES_BYTES 120u /* of topics, in the text of an error */

_Static_assert(sizeof(struct smf_wal_config) == 48, "what no program was compiled with, yet");
_Static_assert(sizeof(struct smf_wal_topic) == TOPIC_SIZE_MIN_BYTES, "nor this");
_Static_assert(sizeof(struct smf_wal_info) == INFO_SIZE_MIN_BYTES, "nor this");
_Static_assert(sizeof(struct smf_wal_done) == 32, "as the header says");
_Static_assert((int)SMF_WAL_BUFFERED == SMF__WAL_BUFFERED &&
                   (int)SMF_WAL_WRITTEN == SMF__WAL_WRITTEN &&
                   (int)SMF_WAL_DURABLE == SMF__WAL_DURABLE,
               "they are handed on");

static int refuse(struct smf_error *error_out, const char *text)
{
    return smf__error(error_out, SMF_EINVAL, 0, text);
}

/* Of every function that has something done: 0, or why not. */
static int check_wal(const struct smf_wal *wal, struct smf_error *error_out)
{
    if (wal == NULL)
        return refuse(error_out, "the log is NULL: smf_wal_open opens one");
    if (!smf__core_is_ours(wal->core))
        return smf__error(error_out, SMF_ECLOSED, 0, SMF__FORK_ADVICE);
    return SMF_OK;
}

static int find_part(const struct smf_wal *wal, uint64_t partition, struct smf__wal_part **part_out,
                     struct smf_error *error_out)
{
    int status = check_wal(wal, error_out);

    if (status != SMF_OK)
        return status;
    *part_out = smf__wal_host_part(wal, partition);
    if (*part_out == NULL)
        return refuse(error_out, "no such partition: smf_wal_partition gives out their handles");
    return SMF_OK;
}

/* --- topics --------------------------------------------------------------------------------------- */

int smf_wal_topic_create(struct smf_wal *wal, const char *name, const struct smf_wal_topic *given,
                         struct smf_error *error_out)
{
    struct smf_wal_topic topic = {0};
    struct smf__wal_topic config = {0};
    struct smf__wal_topic_info *made;
    int status = check_wal(wal, error_out);

    if (status != SMF_OK)
        return status;
    if (name == NULL || given == NULL)
        return refuse(error_out, "smf_wal_topic_create: the name or the settings are NULL");
    status = smf__settings_read(&topic, sizeof topic, given, TOPIC_SIZE_MIN_BYTES, "smf_wal_topic",
                                error_out);
    if (status != SMF_OK)
        return status;
    if (topic.reserved != 0)
        return smf__settings_unknown("smf_wal_topic", error_out);
    if (strlen(name) > SMF__WAL_TOPIC_NAME_MAX_BYTES)
        return refuse(error_out, "a topic's name has at most 200 bytes");
    config.name = name;
    config.name_size = (uint32_t)strlen(name);
    config.partitions = topic.partitions;
    config.segment_bytes = topic.segment_bytes;
    config.record_max_bytes = topic.record_bytes_max;
    smf__wal_host_worked(wal);
    status = smf__wal_topic_create(wal->log, &config, &made, error_out);
    if (status == SMF_OK && smf__wal_host_topics(wal) != SMF_OK)
        return smf__error(error_out, SMF_ENOMEM, 0,
                          "the topic is there, but there is no memory to use it: open the log "
                          "again");
    return status;
}

static void fill_topic(const struct smf__wal_topic *config, struct smf_wal_topic *topic_out)
{
    topic_out->partitions = config->partitions;
    topic_out->segment_bytes =
        config->segment_bytes != 0 ? config->segment_bytes : SMF__WAL_SEGMENT_DEFAULT_BYTES;
    topic_out->record_bytes_max =
        config->record_max_bytes != 0 ? config->record_max_bytes : SMF__WAL_RECORD_MAX_BYTES;
}

const char *smf_wal_topic_at(const struct smf_wal *wal, uint32_t index,
                             struct smf_wal_topic *topic_out)
{
    struct smf_wal_topic topic = {.size = sizeof topic};

    if (wal == NULL || index >= wal->topic_count)
        return NULL;
    fill_topic(&wal->topics[index]->config, &topic);
    if (topic_out != NULL &&
        smf__settings_write(topic_out, TOPIC_SIZE_MIN_BYTES, &topic, sizeof topic) != SMF_OK)
        return NULL;
    return wal->topics[index]->name;
}

/* As many names as there is room for. */
static void list_topics(const struct smf_wal *wal, char *text_out, size_t size)
{
    size_t used = 0;

    text_out[0] = '\0';
    for (uint32_t i = 0; i < wal->topic_count; i++) {
        const char *name = wal->topics[i]->name;
        size_t needed = strlen(name) + (i > 0 ? 2 : 0);

        if (used + needed + sizeof ", …" > size) {
            snprintf(text_out + used, size - used, "%s…", i > 0 ? ", " : "");
            return;
        }
        used += (size_t)snprintf(text_out + used, size - used, "%s%s", i > 0 ? ", " : "", name);
    }
}

static int no_topic(const struct smf_wal *wal, const char *name, struct smf_error *error_out)
{
    char names[NAMES_BYTES];

    if (wal->topic_count == 0)
        return smf__wal_host_error(error_out, SMF_ENOTFOUND,
                                   "no topic %.60s: there is none in this log, create it", name);
    list_topics(wal, names, sizeof names);
    return smf__wal_host_error(error_out, SMF_ENOTFOUND, "no topic %.60s: create it, or take %s",
                               name, names);
}

int smf_wal_partition(struct smf_wal *wal, const char *name, uint32_t number,
                      uint64_t *partition_out, struct smf_error *error_out)
{
    int status = check_wal(wal, error_out);

    if (status != SMF_OK)
        return status;
    if (name == NULL || partition_out == NULL)
        return refuse(error_out, "smf_wal_partition: the topic or partition_out is NULL");
    if (smf__wal_office_has_news(wal->log) && smf__wal_host_news(wal, 1) != SMF_OK)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a log's topics");
    for (uint32_t i = 0; i < wal->topic_count; i++) {
        const struct smf__wal_topic_info *topic = wal->topics[i];

        if (strcmp(topic->name, name) != 0)
            continue;
        if (number >= topic->config.partitions)
            return smf__wal_host_error(
                error_out, SMF_ENOTFOUND,
                "topic %.100s has no partition %u: it has %u, counted from 0", name, number,
                topic->config.partitions);
        if (topic->parts[number] == NULL)
            return smf__wal_host_error(
                error_out, SMF_EINVAL,
                "%.100s/%u is on core %u of this log's %u, and this is core %u: ask there", name,
                number, smf_wal_core_of(name, number, wal->log->cores), wal->log->cores,
                wal->log->core);
        *partition_out = ((uint64_t)i + 1) << 32 | number;
        return SMF_OK;
    }
    return no_topic(wal, name, error_out);
}

int smf_wal_partition_info(const struct smf_wal *wal, uint64_t partition,
                           struct smf_wal_info *info_out)
{
    const struct smf__wal_part *part =
        wal != NULL && info_out != NULL ? smf__wal_host_part(wal, partition) : NULL;
    struct smf_wal_info info = {.size = sizeof info};

    if (part == NULL)
        return SMF_EINVAL;
    info.status = part->status;
    info.head = part->head;
    info.next = part->next_offset;
    info.written = part->written.offset;
    info.durable = part->durable.offset;
    for (const struct smf__wal_segment *segment = part->first; segment != NULL;
         segment = segment->next) {
        info.segments++;
        info.bytes += segment->size_bytes;
    }
    info.appended_records = part->appended_records;
    info.appended_bytes = part->appended_bytes;
    info.written_bytes = part->written_bytes;
    info.cut_bytes = part->cut_bytes;
    memcpy(info.text, part->status_text, sizeof info.text);
    return smf__settings_write(info_out, INFO_SIZE_MIN_BYTES, &info, sizeof info);
}

/* --- appending ------------------------------------------------------------------------------------ */

static int append_body(struct smf_wal *wal, uint64_t partition, struct smf__wal_append *append,
                       uint64_t *first_offset_out)
{
    struct smf__wal_part *part;
    uint64_t first_offset;
    int status = find_part(wal, partition, &part, NULL);

    if (status != SMF_OK)
        return status;
    if (append->count == 0 || append->ack > SMF_WAL_DURABLE)
        return SMF_EINVAL;
    if (wal->owed == SMF__WAL_APPENDS_MAX && append->ack != SMF_WAL_BUFFERED) {
        wal->full = 1;
        return SMF_ELIMIT;
    }
    append->kind = SMF__WAL_RECORDS;
    status = smf__wal_append(part, append, &first_offset);
    smf__wal_host_worked(wal);
    if (status != SMF_OK)
        return status;
    if (append->ack != SMF_WAL_BUFFERED)
        wal->owed++;
    if (first_offset_out != NULL)
        *first_offset_out = first_offset;
    return SMF_OK;
}

int smf_wal_append(struct smf_wal *wal, uint64_t partition, const struct smf_wal_batch *batch,
                   uint32_t ack, uint64_t user, uint64_t *first_offset_out)
{
    struct smf__wal_append append;

    if (batch == NULL || batch->memory == NULL || batch->used > batch->capacity)
        return SMF_EINVAL;
    append = (struct smf__wal_append){.body = batch->memory,
                                      .body_bytes = batch->used,
                                      .count = batch->count,
                                      .base_us = batch->base_us,
                                      .max_us = batch->max_us,
                                      .ack = ack,
                                      .user = user};
    return append_body(wal, partition, &append, first_offset_out);
}

int smf_wal_put(struct smf_wal *wal, uint64_t partition, const void *key, uint32_t key_size,
                const void *value, uint32_t value_size, uint32_t ack, uint64_t user,
                uint64_t *offset_out)
{
    struct smf__wal_record record = {.value = {value, value_size}, .key = {key, key_size}};
    struct smf__wal_append append = {.count = 1, .ack = ack, .user = user};
    uint8_t *body;
    int status;

    if (wal == NULL || (key == NULL && key_size != 0) || (value == NULL && value_size != 0))
        return SMF_EINVAL;
    record.time_us = append.base_us = append.max_us = smf__wal_wall_us(wal->log);
    append.body_bytes = smf__wal_record_bytes(&record, append.base_us);
    if (append.body_bytes == 0)
        return SMF_EINVAL;
    body = append.body_bytes <= SMF__WAL_SCRATCH_BYTES ? wal->scratch : malloc(append.body_bytes);
    if (body == NULL) {
        smf__wal_refused(wal->log, SMF_ENOMEM);
        smf__wal_host_worked(wal);
        return SMF_ENOMEM;
    }
    smf__wal_record_write(&record, append.base_us, body);
    append.body = body;
    status = append_body(wal, partition, &append, offset_out);
    if (body != wal->scratch)
        free(body);
    return status;
}

/* --- what blocks ---------------------------------------------------------------------------------- */

int smf_wal_sync(struct smf_wal *wal, uint64_t partition, struct smf_error *error_out)
{
    struct smf__wal_part *part;
    int status = find_part(wal, partition, &part, error_out);

    if (status != SMF_OK)
        return status;
    smf__wal_host_worked(wal);
    status = smf__wal_sync(part);
    if (status == SMF_OK)
        return SMF_OK;
    return smf__wal_host_error(error_out, status, "%s",
                               part->status_text[0] != '\0' ? part->status_text
                                                            : smf_status_name(status));
}

int smf_wal_truncate_head(struct smf_wal *wal, uint64_t partition, uint64_t offset,
                          struct smf_error *error_out)
{
    struct smf__wal_part *part;
    int status = find_part(wal, partition, &part, error_out);

    if (status != SMF_OK)
        return status;
    smf__wal_host_worked(wal);
    return smf__wal_truncate_head(part, offset, error_out);
}

int smf_wal_truncate_tail(struct smf_wal *wal, uint64_t partition, uint64_t offset,
                          struct smf_error *error_out)
{
    struct smf__wal_part *part;
    int status = find_part(wal, partition, &part, error_out);

    if (status != SMF_OK)
        return status;
    smf__wal_host_worked(wal);
    return smf__wal_truncate_tail(part, offset, error_out);
}

int smf_wal_offset_for_time(struct smf_wal *wal, uint64_t partition, int64_t time_us,
                            uint64_t *offset_out, struct smf_error *error_out)
{
    struct smf__wal_part *part;
    int status = find_part(wal, partition, &part, error_out);

    if (status != SMF_OK)
        return status;
    if (offset_out == NULL)
        return refuse(error_out, "smf_wal_offset_for_time: offset_out is NULL");
    smf__wal_host_worked(wal);
    return smf__wal_offset_for_time(part, time_us, offset_out, error_out);
}
