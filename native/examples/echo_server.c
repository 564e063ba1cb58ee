/* An echo server on the C API: answers every request with its own payload.
 *
 *     echo_server [ADDRESS]      127.0.0.1:11225 when not said
 */
#include <signal.h>
#include <stdio.h>

#include <smf/engine.h>

#define LOOK_US 100000 /* how often the loop looks whether it is to stop */

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void handle(struct smf_core *core, const struct smf_event *event)
{
    if (event->kind == SMF_EVENT_REQUEST)
        (void)smf_core_send(core, event->conn, event->session, 200, event->payload,
                            event->size_bytes);
    else if (event->kind == SMF_EVENT_CLOSED)
        fprintf(stderr, "%.*s: %s\n", (int)event->size_bytes, (const char *)event->payload,
                smf_close_reason_name(event->meta));
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config; /* zero: the defaults */
    struct smf_engine *engine;
    struct smf_core *core;
    struct smf_error error;
    char bound[128];

    config.size = sizeof config;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    core = smf_engine_core(engine, 0);
    if (smf_engine_listen(engine, argc > 1 ? argv[1] : "127.0.0.1:11225", bound, sizeof bound,
                          &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        smf_engine_close(engine);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on %s\n%s\n", bound, smf_engine_describe(engine));
    fflush(stdout);
    while (!stopping) {
        int count = smf_core_poll(core, LOOK_US);

        for (int i = 0; i < count; i++)
            handle(core, &smf_core_turn(core)->events[i]);
    }
    smf_engine_close(engine);
    return 0;
}
