/* An echo server inside a program's own event loop: here epoll, which also waits for an eventfd.
 *
 *     foreign_loop [ADDRESS]      127.0.0.1:11225 when not said */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <smf/code.h>
#include <smf/engine.h>
#include <smf/loop.h>

static int loop, ended; /* descriptors */

static void on_signal(int number)
{
    (void)number;
    (void)eventfd_write(ended, 1); /* NOLINT(bugprone-signal-handler): a write(2) */
}

static void watch(int fd)
{
    struct epoll_event event;

    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0)
        perror("epoll_ctl");
}

/* Sleeps as long as the core allows. Returns 1 when the program is to end. */
static int wait_for_any(int64_t wait_us)
{
    struct epoll_event events[2];
    int64_t wait_ms = wait_us < 0 ? -1 : (wait_us + 999) / 1000;
    int count = epoll_wait(loop, events, 2, wait_ms < INT_MAX ? (int)wait_ms : INT_MAX);

    for (int i = 0; i < count; i++)
        if (events[i].data.fd == ended)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config; /* zero: the defaults */
    struct smf_engine *engine;
    const struct smf_event *event;
    struct smf_core *core;
    struct smf_error error;
    char bound[128];

    config.size = sizeof config;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_engine_listen(engine, argc > 1 ? argv[1] : "127.0.0.1:11225", bound, sizeof bound,
                          &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    core = smf_engine_core(engine, 0);
    loop = epoll_create1(EPOLL_CLOEXEC);
    ended = eventfd(0, EFD_CLOEXEC);
    watch(ended);
    watch(smf_core_fd(core));
    signal(SIGTERM, on_signal);
    printf("listening on %s\n", bound);
    fflush(stdout);
    for (int count = 0; count >= 0 && !wait_for_any(smf_core_arm(core));) { /* < 0: stopped */
        count = smf_core_poll(core, SMF_WAIT_NONE);
        event = smf_core_turn(core)->events;
        for (int i = 0; i < count; i++, event++)
            if (event->kind == SMF_EVENT_REQUEST)
                (void)smf_core_send(core, event->conn, event->session, SMF_CODE_OK, event->payload,
                                    event->size_bytes);
    }
    smf_engine_close(engine);
    return 0;
}
