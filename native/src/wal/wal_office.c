#include "wal/wal_office.h"

#include <stdlib.h>

#include "wal/wal_look.h"

/* --- opening and closing -------------------------------------------------------------------------- */

static uint32_t topic_count(const struct smf__wal *wal)
{
    uint32_t count = 0;
    for (const struct smf__wal_topic_info *topic = wal->topics; topic != NULL; topic = topic->next)
        count++;
    return count;
}

/* With the mutex. */
static void note_topics(struct smf__wal_office *office)
{
    __atomic_store_n(&office->topic_count, topic_count(office->log), __ATOMIC_SEQ_CST);
}

int smf__wal_office_open(struct smf__wal_office **office_out,
                         const struct smf__wal_options *options, uint32_t cores,
                         struct smf_error *error_out)
{
    struct smf__wal_options own = *options;
    struct smf__wal_office *office = calloc(1, sizeof(*office));
    int status = SMF_OK;
    *office_out = NULL;
    if (office == NULL)
        return smf__wal_say(error_out, SMF_ENOMEM, "no memory to open a log");
    smf__check(cores > 0 && cores <= SMF__WAL_CORES_MAX);
    office->cores = cores;
    office->due_ns = UINT64_MAX;
    own.only_meta = 1;
    own.office = NULL;
    own.memory_bytes = SMF__WAL_MEMORY_MIN_BYTES;
    if (!own.read_only)
        status = smf__wal_open(&office->log, &own, error_out);
    if (status != SMF_OK) {
        free(office);
        return status;
    }
    pthread_mutex_init(&office->mutex, NULL);
    if (office->log != NULL) {
        note_topics(office);
        smf__wal_office_drive(office, office->keeper);
    }
    *office_out = office;
    return SMF_OK;
}

int smf__wal_office_close(struct smf__wal_office *office)
{
    int status = SMF_OK;
    for (uint32_t i = 0; i < office->cores; i++)
        smf__check(!office->seats[i].taken);
    if (office->log != NULL)
        status = smf__wal_close(office->log);
    pthread_mutex_destroy(&office->mutex);
    free(office);
    return status;
}

/* With the mutex. Returns how many cores are there. */
static uint32_t choose_keeper(struct smf__wal_office *office)
{
    uint32_t count = 0;
    for (uint32_t i = office->cores; i > 0; i--) {
        if (!office->seats[i - 1].taken)
            continue;
        count++;
        __atomic_store_n(&office->keeper, i - 1, __ATOMIC_SEQ_CST);
    }
    return count;
}

int smf__wal_office_claim(struct smf__wal_office *office)
{
    uint32_t core = 0;
    pthread_mutex_lock(&office->mutex);
    while (core < office->cores && office->seats[core].taken)
        core++;
    if (core < office->cores)
        office->seats[core].taken = 1;
    (void)choose_keeper(office);
    pthread_mutex_unlock(&office->mutex);
    return core < office->cores ? (int)core : SMF_EEXIST;
}

void smf__wal_office_wake(struct smf__wal_office *office, uint32_t core, void (*wake)(void *),
                          void *context)
{
    pthread_mutex_lock(&office->mutex);
    office->seats[core].wake = wake;
    office->seats[core].context = context;
    pthread_mutex_unlock(&office->mutex);
}

uint32_t smf__wal_office_leave(struct smf__wal_office *office, uint32_t core)
{
    pthread_mutex_lock(&office->mutex);
    office->seats[core] = (struct smf__wal_seat){0};
    uint32_t left = choose_keeper(office);
    const struct smf__wal_seat *keeper = &office->seats[office->keeper];
    if (left > 0 && keeper->wake != NULL) /* it may be another one now */
        keeper->wake(keeper->context);
    pthread_mutex_unlock(&office->mutex);
    return left;
}

/* --- META ----------------------------------------------------------------------------------------- */

int smf__wal_office_write(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes,
                          int block)
{
    struct smf__wal_office *office = wal->office;
    if (!smf__wal_office_enter(office, block))
        return SMF_ELIMIT;
    int status = smf__wal_meta_write(office->log, items, size_bytes, block);
    if (status == SMF_OK) {
        /* One that began between the append and this would fill META's next version without it: only a
         * write begins one, before it appends, and the next write needs the mutex. */
        smf__check(!office->log->meta_rewriting);
        smf__wal_meta_take(office->log, items, size_bytes);
    }
    wal->meta_end = office->log->meta.buffered.place;
    smf__wal_office_drive(office, wal->core);
    pthread_mutex_unlock(&office->mutex);
    return status;
}

/* --- topics --------------------------------------------------------------------------------------- */

/* With what META says of the partitions that are this core's. */
static int take_topic(struct smf__wal *wal, const struct smf__wal_topic_info *known)
{
    struct smf__wal_topic_info *topic = smf__wal_topic_new(wal, &known->config);
    if (topic == NULL)
        return SMF_ENOMEM;
    for (uint32_t i = 0; i < topic->config.partitions; i++) {
        if (topic->parts[i] == NULL)
            continue;
        topic->parts[i]->head = known->parts[i]->head;
        topic->parts[i]->checkpoint = known->parts[i]->checkpoint;
    }
    smf__wal_topic_append(wal, topic);
    return SMF_OK;
}

/* With the mutex. */
static int take_topics(struct smf__wal *wal)
{
    const struct smf__wal *from = wal->office->log;
    int status = SMF_OK;
    for (const struct smf__wal_topic_info *known = from->topics; known != NULL && status == SMF_OK;
         known = known->next) {
        if (smf__wal_topic_by_id(wal, known->config.topic_id) == NULL)
            status = take_topic(wal, known);
    }
    if (status == SMF_OK)
        wal->topics_taken = wal->office->topic_count;
    wal->block_bytes = from->block_bytes;
    return status;
}

int smf__wal_office_topics(struct smf__wal *wal, int block)
{
    if (!smf__wal_office_enter(wal->office, block))
        return SMF_ELIMIT;
    int status = take_topics(wal);
    pthread_mutex_unlock(&wal->office->mutex);
    return status;
}

int smf__wal_office_create(struct smf__wal *wal, const struct smf__wal_topic *config,
                           struct smf__wal_topic_info **topic_out, struct smf_error *error_out)
{
    struct smf__wal_office *office = wal->office;
    struct smf__wal_topic_info *made;
    (void)smf__wal_office_enter(office, 1);
    int status = smf__wal_topic_create(office->log, config, &made, error_out);
    note_topics(office);
    if (status == SMF_OK && take_topics(wal) != SMF_OK)
        status = smf__wal_say(error_out, SMF_ENOMEM,
                              "the topic is there, but there is no memory to use it: open the log "
                              "again");
    if (status == SMF_OK && topic_out != NULL)
        *topic_out = smf__wal_topic_by_id(wal, made->config.topic_id);
    smf__wal_office_drive(office, wal->core);
    pthread_mutex_unlock(&office->mutex);
    return status;
}
