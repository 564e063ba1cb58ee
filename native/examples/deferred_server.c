/* A server on the C API that answers later: requests are kept and handed to another thread, and the
 * replies come back to the loop as letters.
 *
 *     deferred_server [ADDRESS]      127.0.0.1:11225 when not said
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <smf/code.h>
#include <smf/engine.h>

static struct smf_core *core;
static int todo[2], done[2]; /* pipes of requests: to the worker, and back */

static void on_signal(int number)
{
    (void)number;
    smf_core_stop(core); /* NOLINT(bugprone-signal-handler): it is made for that */
}

/* A letter: it runs on the loop, which alone may send and release. */
static void answer(struct smf_core *ours, void *from)
{
    struct smf_event request;

    if (read(*(int *)from, &request, sizeof request) != sizeof request)
        return;
    (void)smf_core_send(ours, request.conn, request.session, SMF_CODE_OK, request.payload,
                        request.size_bytes);
    smf_core_release(ours, request.buffer);
}

static void *work(void *unused)
{
    struct smf_event request;

    while (read(todo[0], &request, sizeof request) == sizeof request &&
           write(done[1], &request, sizeof request) == sizeof request)
        (void)smf_core_post(core, answer, &done[0]); /* what takes long would stand before this */
    return unused;
}

/* Keeps a request, and its payload where it is until the answer. */
static void handle(struct smf_core *ours, const struct smf_event *event, void *to)
{
    if (event->kind == SMF_EVENT_REQUEST &&
        write(*(int *)to, event, sizeof *event) == sizeof *event)
        smf_core_retain(ours, event->buffer);
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config; /* zero: the defaults */
    struct smf_engine *engine;
    struct smf_error error;
    pthread_t worker;
    char bound[128];

    config.size = sizeof config;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_engine_listen(engine, argc > 1 ? argv[1] : "127.0.0.1:11225", bound, sizeof bound,
                          &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    core = smf_engine_core(engine, 0);
    signal(SIGTERM, on_signal);
    if (pipe(todo) != 0 || pipe(done) != 0 || pthread_create(&worker, NULL, work, NULL) != 0)
        return 1;
    printf("listening on %s\n", bound);
    fflush(stdout);
    (void)smf_core_run(core, handle, &todo[1]);
    close(todo[1]);
    pthread_join(worker, NULL);
    smf_engine_close(engine);
    return 0;
}
