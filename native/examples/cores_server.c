/* An echo server on two cores, each driven by a thread of its own: connections are spread over both.
 *
 *     cores_server [ADDRESS]      127.0.0.1:11225 when not said
 *
 * Every core is to be driven: one that is not leaves its connections waiting. SIGTERM ends both. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include <smf/code.h>
#include <smf/engine.h>

#define CORES 2

static struct smf_core *cores[CORES];

static void on_signal(int number)
{
    (void)number;
    for (int i = 0; i < CORES; i++)
        smf_core_stop(cores[i]); /* NOLINT(bugprone-signal-handler): it is made for that */
}

/* Runs on the thread of the connection's core. Cores share nothing, so it takes no lock. */
static void handle(struct smf_core *core, const struct smf_event *event, void *unused)
{
    (void)unused;
    if (event->kind == SMF_EVENT_REQUEST)
        (void)smf_core_send(core, event->conn, event->session, SMF_CODE_OK, event->payload,
                            event->size_bytes);
}

static void *drive(void *core)
{
    (void)smf_core_run((struct smf_core *)core, handle, NULL);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config; /* zero: the defaults */
    struct smf_engine *engine;
    struct smf_error error;
    pthread_t threads[CORES];
    char bound[128];

    config.size = sizeof config;
    config.cores = CORES;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_engine_listen(engine, argc > 1 ? argv[1] : "127.0.0.1:11225", bound, sizeof bound,
                          &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    for (uint32_t i = 0; i < CORES; i++)
        cores[i] = smf_engine_core(engine, i);
    signal(SIGTERM, on_signal);
    for (uint32_t i = 0; i < CORES; i++)
        if (pthread_create(&threads[i], NULL, drive, cores[i]) != 0)
            return 1;
    printf("listening on %s\n", bound);
    fflush(stdout);
    for (uint32_t i = 0; i < CORES; i++) {
        struct smf_core_stats stats;

        pthread_join(threads[i], NULL);
        smf_core_stats(cores[i], &stats);
        printf("core %u: %llu connections, %llu requests\n", i, (unsigned long long)stats.accepted,
               (unsigned long long)stats.requests);
    }
    smf_engine_close(engine);
    return 0;
}
