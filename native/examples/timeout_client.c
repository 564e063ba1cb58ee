/* Calls that end in time on the C API: 64 of them in flight, one timer for the earliest deadline.
 *     timeout_client [ADDRESS [TIMEOUT_MS]]      127.0.0.1:11225 and 1000 when not said */
#include <stdio.h>
#include <stdlib.h>

#include <smf/engine.h>
#include <smf/timer.h>

#define CALLS 10000u
#define IN_FLIGHT 64
#define METHOD 1792279101u  /* SmfStorage.Get; an echo server answers any */
#define GIVEN_UP UINT64_MAX /* over; its session is not free before its reply comes */

static uint64_t deadlines_ns[IN_FLIGHT], timeout_ns; /* by session; 0: it is free */
static unsigned sent, answered, given_up;

/* The timer has fired: gives up what is late, and sleeps until the next deadline. */
static void look(struct smf_core *core, void *timer)
{
    uint64_t now_ns = smf_core_turn(core)->now_ns, next_ns = now_ns + timeout_ns;

    for (int i = 0; i < IN_FLIGHT; i++)
        if (deadlines_ns[i] != 0 && deadlines_ns[i] <= now_ns) {
            deadlines_ns[i] = GIVEN_UP;
            given_up++;
        } else if (deadlines_ns[i] != 0 && deadlines_ns[i] < next_ns) {
            next_ns = deadlines_ns[i];
        }
    smf_timer_start(*(struct smf_timer **)timer, (next_ns - now_ns) / 1000 + 1);
}

/* Sends what may be sent. Returns how many calls wait for their reply. */
static unsigned send_some(struct smf_core *core, uint64_t conn)
{
    for (uint16_t i = 0; i < IN_FLIGHT && sent < CALLS; i++)
        if (deadlines_ns[i] == 0 && smf_core_send(core, conn, i, METHOD, "hello", 5) == SMF_OK) {
            deadlines_ns[i] = smf_core_turn(core)->now_ns + timeout_ns;
            sent++;
        }
    return sent - answered - given_up;
}

static void take(const struct smf_event *event)
{
    if (event->kind == SMF_EVENT_CLOSED) /* its calls are given up when their time is over */
        fprintf(stderr, "%s\n", smf_close_reason_name(event->meta));
    if (event->kind != SMF_EVENT_REPLY || event->session >= IN_FLIGHT)
        return;
    answered += deadlines_ns[event->session] != GIVEN_UP;
    deadlines_ns[event->session] = 0;
}

int main(int argc, char **argv)
{
    static struct smf_engine_config config; /* zero: the defaults */
    struct smf_engine *engine;
    struct smf_error error = {SMF_ENOMEM, 0, "no memory for a timer"};
    struct smf_core *core;
    struct smf_timer *timer;
    uint64_t conn;

    timeout_ns = (argc > 2 ? strtoul(argv[2], NULL, 10) : 1000) * 1000000ull;
    config.size = sizeof config;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK ||
        smf_timer_open(&timer, smf_engine_core(engine, 0), look, &timer) != SMF_OK ||
        smf_core_connect(smf_engine_core(engine, 0), argc > 1 ? argv[1] : "127.0.0.1:11225", 0,
                         &conn, &error) != SMF_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    core = smf_engine_core(engine, 0);
    for (look(core, &timer); send_some(core, conn) > 0;)
        for (int i = 0, count = smf_core_poll(core, SMF_WAIT_FOREVER); i < count; i++)
            take(&smf_core_turn(core)->events[i]);
    printf("%u calls, %u answered, %u given up\n", sent, answered, given_up);
    smf_timer_close(timer);
    smf_engine_close(engine);
    return answered != sent;
}
