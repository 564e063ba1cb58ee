/* What stands beside a core's room: it is looked at in every turn, ends a sleep by its descriptor and by
 * its time, and keeps nothing from going on in the room. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <smf/engine.h>
#include <smf/loop.h>

#include "core/core.h"
#include "mem/mem_count.h"
#include "test.h"

#define MEMORY_BYTES (8ull << 20)
#define CALLS 4000u
#define PAYLOAD_BYTES 16384u
#define QUIET_LOOKS_MAX 8u
#define SIGNALS 50
#define SOON_NS 20000000ull
#define SPIN_US 500000

struct beside {
    struct smf_engine *engine;
    struct smf_core *core;
    int fd; /* an eventfd: what is written to it is told of */
    char bound[128];
    uint64_t looks, begun, closed;
    uint64_t due_ns; /* then there is something to tell; UINT64_MAX: never */
    int always;      /* something in every look */
    uint64_t expected_ns;
    uint32_t told;
};

static void tell(struct beside *beside)
{
    struct smf_turn *turn = &beside->core->turn;

    turn->events[turn->event_count++] =
        (struct smf_event){.kind = SMF_EVENT_WAL, .meta = ++beside->told, .user = 7};
}

static void side_begin(void *context)
{
    ((struct beside *)context)->begun++;
}

static uint64_t side_poll(void *context)
{
    struct beside *beside = context;
    uint64_t value;

    smf__count(beside->looks, 1);
    if (read(beside->fd, &value, sizeof value) > 0 && value != 2) /* 2: nothing to tell of */
        tell(beside);
    else if (beside->always)
        tell(beside);
    if (smf__clock_now_ns(&beside->core->clock) >= beside->due_ns) {
        beside->due_ns = UINT64_MAX;
        tell(beside);
    }
    return beside->due_ns;
}

static uint64_t side_expects(void *context)
{
    return ((struct beside *)context)->expected_ns;
}

static void side_close(void *context)
{
    ((struct beside *)context)->closed++;
}

static void open_spinning(struct beside *beside, int32_t spin_us)
{
    struct smf_engine_config config = {
        .size = sizeof config, .spin_us = spin_us, .memory_bytes = MEMORY_BYTES};
    struct smf__side side = {.context = beside,
                             .begin = side_begin,
                             .poll = side_poll,
                             .close = side_close,
                             .expects = side_expects};
    struct smf_error error;

    memset(beside, 0, sizeof *beside);
    beside->due_ns = UINT64_MAX;
    beside->fd = side.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQ(smf_engine_open(&beside->engine, &config, &error), SMF_OK);
    beside->core = smf_engine_core(beside->engine, 0);
    CHECK_EQ(smf_engine_listen(beside->engine, "127.0.0.1:0", beside->bound, sizeof beside->bound,
                               &error),
             SMF_OK);
    CHECK_EQ(smf__core_furnish_side(beside->core, &side), SMF_OK);
    CHECK_EQ(smf__core_furnish_side(beside->core, &side), SMF_EEXIST);
}

static void open_beside(struct beside *beside)
{
    open_spinning(beside, -1);
}

static void close_beside(struct beside *beside)
{
    smf_engine_close(beside->engine);
    close(beside->fd);
}

static void put(const struct beside *beside, uint64_t value)
{
    CHECK_EQ(write(beside->fd, &value, sizeof value), sizeof value);
}

/* Waits in the kernel, by itself, until the core sleeps. */
static void until_asleep(const struct beside *beside)
{
    while (__atomic_load_n(&smf_core_turn(beside->core)->sleeping, __ATOMIC_SEQ_CST) == 0)
        usleep(100);
    usleep(1000);
}

static void *put_when_asleep(void *context)
{
    until_asleep(context);
    put(context, 1);
    return NULL;
}

static void its_descriptor_ends_a_sleep(void)
{
    struct beside beside;

    open_beside(&beside);
    for (int i = 1; i <= 20; i++) {
        pthread_t thread;

        CHECK_EQ(pthread_create(&thread, NULL, put_when_asleep, &beside), 0);
        CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_FOREVER), 1);
        CHECK_EQ(smf_core_turn(beside.core)->events[0].kind, SMF_EVENT_WAL);
        CHECK_EQ(smf_core_turn(beside.core)->events[0].meta, i);
        CHECK_EQ(beside.begun, i);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    close_beside(&beside);
    CHECK_EQ(beside.closed, 1);
}

static void its_time_ends_a_sleep(void)
{
    struct beside beside;

    open_beside(&beside);
    beside.due_ns = smf__clock_now_ns(&beside.core->clock) + SOON_NS;
    CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_FOREVER), 1);
    CHECK_EQ(smf_core_poll(beside.core, 1000), 0);
    close_beside(&beside);
}

/* A program's own loop sleeps on the core's descriptor, as long as the core allows it. */
static void a_foreign_loop_hears_of_it(void)
{
    struct beside beside;
    struct pollfd ready = {.events = POLLIN};
    int64_t wait_us;

    open_beside(&beside);
    ready.fd = smf_core_fd(beside.core);
    CHECK_EQ(smf_core_arm(beside.core), 0); /* it was not looked at yet */
    CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_NONE), 0);
    CHECK_EQ(smf_core_arm(beside.core), SMF_WAIT_FOREVER);
    CHECK_EQ(poll(&ready, 1, 0), 0);
    put(&beside, 1);
    CHECK_EQ(poll(&ready, 1, -1), 1);
    CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_NONE), 1);
    CHECK_EQ(smf_core_arm(beside.core), 0);
    beside.due_ns = smf__clock_now_ns(&beside.core->clock) + 1000 * SOON_NS;
    CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_NONE), 0);
    wait_us = smf_core_arm(beside.core);
    CHECK(wait_us > 0 && wait_us <= (int64_t)(1000 * SOON_NS / 1000));
    close_beside(&beside);
}

/* Its descriptor stays readable until it was looked at, and that happens before the next sleep. */
static void the_loop_does_not_spin(void)
{
    struct beside beside;

    open_beside(&beside);
    put(&beside, 2);
    CHECK_EQ(smf_core_poll(beside.core, 50000), 0);
    CHECK_LE(beside.looks, QUIET_LOOKS_MAX);
    close_beside(&beside);
}

/* How often a poll of SPIN_US looks, when something is expected so far from its beginning. */
static uint64_t looks_when_expected(int64_t from_now_ns, int32_t spin_us)
{
    struct beside beside;
    uint64_t looks;

    open_spinning(&beside, spin_us);
    beside.expected_ns = smf__clock_now_ns(&beside.core->clock) + (uint64_t)from_now_ns;
    CHECK_EQ(smf_core_poll(beside.core, SPIN_US), 0);
    looks = beside.looks;
    close_beside(&beside);
    return looks;
}

/* A core spins around the time at which something is expected, and sleeps before and after. */
static void it_spins_when_something_is_expected(void)
{
    CHECK_LE(looks_when_expected(2ll * SPIN_US * 1000, SPIN_US), QUIET_LOOKS_MAX);
    CHECK_GE(looks_when_expected(SPIN_US * 1000ll / 10, SPIN_US), 10 * QUIET_LOOKS_MAX);
    CHECK_LE(looks_when_expected(-2ll * SPIN_US * 1000, SPIN_US), QUIET_LOOKS_MAX);
    CHECK_LE(looks_when_expected(SPIN_US * 1000ll / 10, -1), QUIET_LOOKS_MAX); /* it never spins */
}

static void who_leaves_is_not_asked_any_more(void)
{
    struct beside beside;
    struct smf__side again = {.context = &beside, .poll = side_poll};

    open_beside(&beside);
    beside.due_ns = smf__clock_now_ns(&beside.core->clock) + SOON_NS;
    CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_NONE), 0);
    smf__core_leave_side(beside.core);
    smf__core_leave_side(beside.core); /* nothing */
    put(&beside, 1);
    CHECK_EQ(smf_core_poll(beside.core, 3 * SOON_NS / 1000), 0);
    CHECK_EQ(beside.looks, 1);
    again.fd = beside.fd;
    CHECK_EQ(smf__core_furnish_side(beside.core, &again), SMF_OK);
    CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_FOREVER), 2);
    close_beside(&beside);
    CHECK_EQ(beside.closed, 0);
}

/* A flood from beside: requests are served in the same turns, and their memory comes back. */
static void the_room_goes_on(void)
{
    static uint8_t payload[PAYLOAD_BYTES];
    struct beside beside;
    struct smf_engine_config config = {.size = sizeof config, .memory_bytes = MEMORY_BYTES};
    struct smf_engine *engine;
    struct smf_core *client;
    struct smf_error error;
    uint32_t sent = 0, answered = 0;
    uint64_t conn;

    open_beside(&beside);
    beside.always = 1;
    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    client = smf_engine_core(engine, 0);
    CHECK_EQ(smf_core_connect(client, beside.bound, 0, &conn, &error), SMF_OK);
    for (uint64_t turns = 0; answered < CALLS; turns++) {
        int count;

        CHECK_LT(turns, 100 * CALLS);
        for (; sent < CALLS && sent - answered < 8; sent++)
            CHECK_EQ(smf_core_send(client, conn, (uint16_t)sent, 7, payload, sizeof payload),
                     SMF_OK);
        count = smf_core_poll(client, SMF_WAIT_NONE);
        for (int i = 0; i < count; i++)
            answered += smf_core_turn(client)->events[i].kind == SMF_EVENT_REPLY;
        count = smf_core_poll(beside.core, SMF_WAIT_FOREVER);
        CHECK_GE(count, 1);
        CHECK_EQ(smf_core_turn(beside.core)->events[0].kind, SMF_EVENT_WAL);
        for (int i = 1; i < count; i++) {
            const struct smf_event *event = &smf_core_turn(beside.core)->events[i];

            if (event->kind == SMF_EVENT_REQUEST)
                CHECK_EQ(
                    smf_core_send(beside.core, event->conn, event->session, 200, event->payload, 4),
                    SMF_OK);
        }
    }
    smf_engine_close(engine);
    close_beside(&beside);
}

static void ignore(int number)
{
    (void)number;
}

struct knocker {
    struct beside *beside;
    pthread_t driver;
};

static void *knock(void *context)
{
    struct knocker *knocker = context;

    for (int i = 0; i < SIGNALS; i++) {
        until_asleep(knocker->beside);
        CHECK_EQ(pthread_kill(knocker->driver, SIGUSR1), 0);
    }
    put(knocker->beside, 1);
    return NULL;
}

/* Operations under way interrupt the driver as signals do: whoever waits goes on waiting. */
static void interruptions_end_no_wait(void)
{
    struct sigaction action = {.sa_handler = ignore}; /* and no SA_RESTART */
    struct beside beside;
    struct knocker knocker = {&beside, pthread_self()};
    pthread_t thread;

    open_beside(&beside);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, knock, &knocker), 0);
    CHECK_EQ(smf_core_poll(beside.core, SMF_WAIT_FOREVER), 1);
    CHECK_EQ(beside.told, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close_beside(&beside);
}

static void nothing(void *context)
{
    (void)context;
}

static void nothing_found(void *context, int64_t timeout_ns)
{
    (void)context;
    (void)timeout_ns;
}

static void not_every_room_can_wait_for_two(void)
{
    struct smf__room room = {.begin = nothing, .poll = nothing_found, .wake = nothing};
    struct smf__core_config config = {
        .clock = smf__clock_monotonic(), .memory_bytes = MEMORY_BYTES, .cpu = SMF__CPU_NONE};
    struct smf__side side = {.poll = side_poll};
    struct smf_core *core;

    CHECK_EQ(smf__core_open(&core, &config, NULL), SMF_OK);
    smf__core_furnish(core, &room);
    CHECK_EQ(smf__core_furnish_side(core, &side), SMF_EUNSUPPORTED);
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    smf__core_close(core);
}

static void a_descriptor_that_is_none_is_refused(void)
{
    struct smf_engine_config config = {.size = sizeof config, .memory_bytes = MEMORY_BYTES};
    struct smf__side side = {.poll = side_poll, .fd = -1};
    struct smf_engine *engine;

    CHECK_EQ(smf_engine_open(&engine, &config, NULL), SMF_OK);
    CHECK_EQ(smf__core_furnish_side(smf_engine_core(engine, 0), &side), SMF_ESYSTEM);
    CHECK_EQ(smf_core_poll(smf_engine_core(engine, 0), SMF_WAIT_NONE), 0);
    smf_engine_close(engine);
}

static const struct test tests[] = {
    TEST(its_descriptor_ends_a_sleep),
    TEST(its_time_ends_a_sleep),
    TEST(a_foreign_loop_hears_of_it),
    TEST(the_loop_does_not_spin),
    TEST(it_spins_when_something_is_expected),
    TEST(who_leaves_is_not_asked_any_more),
    TEST(the_room_goes_on),
    TEST(interruptions_end_no_wait),
    TEST(not_every_room_can_wait_for_two),
    TEST(a_descriptor_that_is_none_is_refused),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
