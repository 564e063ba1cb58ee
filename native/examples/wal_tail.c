/* Appends the lines of standard input to a log, durably and many at a time, and prints what it holds.
 *
 *     wal_tail [FOLDER]      lines.log when not said; it is made where there is none */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/engine.h>
#include <smf/wal.h>

static struct smf_engine_config engine_config; /* zeroes: the defaults */
static struct smf_wal_config config;
static struct smf_wal_topic topic;
static struct smf_error error;
static struct smf_core *core;
static unsigned in_flight;

static int check(int status)
{
    if (status < SMF_OK)
        fprintf(stderr, "%s: %s\n", smf_status_name(status), error.text), exit(1);
    return status;
}

/* What was appended goes to the disk, and what has become durable is told of. */
static void turn(void)
{
    for (int left = check(smf_core_poll(core, SMF_WAIT_FOREVER)); left > 0; left--) {
        const struct smf_event *event = &smf_core_turn(core)->events[left - 1];
        const struct smf_wal_done *done = (const struct smf_wal_done *)(const void *)event->payload;
        for (uint32_t j = 0; event->kind == SMF_EVENT_WAL && j < event->meta; j++) {
            check(done[j].status);
            in_flight -= done[j].kind == SMF_WAL_APPENDED;
        }
    }
}

int main(int argc, char **argv)
{
    static char line[65536];
    struct smf_engine *engine;
    struct smf_wal *wal;
    struct smf_wal_reader *reader;
    struct smf_wal_record record;
    struct smf_wal_run run;
    uint64_t lines;
    int status;
    engine_config.size = sizeof engine_config;
    topic.size = sizeof topic;
    config.size = sizeof config;
    config.flags = SMF_WAL_CREATE;
    config.folder = argc > 1 ? argv[1] : "lines.log";
    check(smf_engine_open(&engine, &engine_config, &error));
    core = smf_engine_core(engine, 0);
    check(smf_wal_open(core, &config, &wal, &error));
    if (smf_wal_topic_at(wal, 0, NULL) == NULL)
        check(smf_wal_topic_create(wal, "lines", &topic, &error));
    check(smf_wal_partition(wal, "lines", 0, &lines, &error));
    for (; fgets(line, sizeof line, stdin) != NULL; in_flight++) {
        uint32_t size = (uint32_t)strcspn(line, "\n");
        while (in_flight == 64 || (status = smf_wal_put(wal, lines, NULL, 0, line, size,
                                                        SMF_WAL_DURABLE, 0, NULL)) == SMF_ENOMEM)
            turn(); /* the disk has to catch up */
        check(status);
    }
    while (in_flight > 0)
        turn();
    check(smf_wal_reader_open(wal, lines, 0, SMF_WAL_DURABLE, 0, 0, &reader, &error));
    do {
        status = check(smf_wal_reader_next(reader, &run, &error));
        while (status == 1 && check(smf_wal_run_next(&run, &record)) == 1)
            printf("%llu %.*s\n", (unsigned long long)record.offset, (int)record.value_size,
                   (const char *)record.value);
        if (status == 0 && !smf_wal_reader_at_end(reader))
            turn(); /* the disk reads */
    } while (status == 1 || !smf_wal_reader_at_end(reader));
    smf_engine_close(engine); /* the log, too */
    return 0;
}
