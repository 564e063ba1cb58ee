/* The timer wheel.
 *
 * Time is counted in ticks of one slot. A timer belongs to the first tick that is not before its
 * deadline, so it is never early, and sits in the slot of that tick modulo the number of slots. Every
 * slot knows a tick before which none of its timers is due: slots that hold only timers of later
 * turns are not walked, and the loop does not wake up for them. */
#include "time/time_timers.h"

#include <stdlib.h>

#include <smf/status.h>

#define NEVER UINT64_MAX

struct slot {
    struct smf__timer list; /* head of a circular list; only its links are used */
    uint64_t tick_min;      /* <= the tick of each of its timers; NEVER when it is empty */
};

struct smf__timers {
    uint64_t tick;     /* ticks up to this one are done */
    uint64_t tick_min; /* <= the tick of every running timer */
    uint64_t due_ns;   /* tick_min as a time */
    uint64_t running;
    struct slot slots[SMF__TIMER_SLOTS];
};

static void list_init(struct smf__timer *list)
{
    list->next = list;
    list->previous = list;
}

static int list_empty(const struct smf__timer *list)
{
    return list->next == list;
}

static void list_append(struct smf__timer *list, struct smf__timer *timer)
{
    timer->next = list;
    timer->previous = list->previous;
    list->previous->next = timer;
    list->previous = timer;
}

static void list_unlink(struct smf__timer *timer)
{
    timer->next->previous = timer->previous;
    timer->previous->next = timer->next;
    timer->next = NULL;
    timer->previous = NULL;
}

/* Moves every timer of one list to another, which must be new. */
static void list_move(struct smf__timer *from, struct smf__timer *to)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->previous = to;
    to->previous->next = to;
    list_init(from);
}

/* The first tick that is not before the deadline. */
static uint64_t tick_of(uint64_t deadline_ns)
{
    return deadline_ns / SMF__TIMER_SLOT_NS + (deadline_ns % SMF__TIMER_SLOT_NS != 0);
}

static void set_tick_min(struct smf__timers *timers, uint64_t tick)
{
    timers->tick_min = tick;
    timers->due_ns = tick > UINT64_MAX / SMF__TIMER_SLOT_NS ? NEVER : tick * SMF__TIMER_SLOT_NS;
}

/* Puts a stopped timer into its slot, or into the next one when its own is done already. */
static void insert(struct smf__timers *timers, struct smf__timer *timer)
{
    uint64_t tick = tick_of(timer->deadline_ns);
    if (tick <= timers->tick)
        tick = timers->tick + 1;
    struct slot *slot = &timers->slots[tick % SMF__TIMER_SLOTS];
    list_append(&slot->list, timer);
    if (tick < slot->tick_min)
        slot->tick_min = tick;
    if (tick < timers->tick_min)
        set_tick_min(timers, tick);
}

int smf__timers_open(struct smf__timers **timers_out, uint64_t now_ns)
{
    struct smf__timers *timers = malloc(sizeof(*timers));
    if (timers == NULL)
        return SMF_ENOMEM;
    timers->tick = now_ns / SMF__TIMER_SLOT_NS;
    timers->running = 0;
    set_tick_min(timers, NEVER);
    for (uint32_t i = 0; i < SMF__TIMER_SLOTS; i++) {
        list_init(&timers->slots[i].list);
        timers->slots[i].tick_min = NEVER;
    }
    *timers_out = timers;
    return SMF_OK;
}

void smf__timers_close(struct smf__timers *timers)
{
    if (timers == NULL)
        return;
    for (uint32_t i = 0; i < SMF__TIMER_SLOTS; i++) {
        const struct smf__timer *list = &timers->slots[i].list;
        struct smf__timer *timer = list->next;
        while (timer != list) {
            struct smf__timer *next = timer->next;
            timer->next = NULL;
            timer->previous = NULL;
            timer = next;
        }
    }
    free(timers);
}

void smf__timer_start(struct smf__timers *timers, struct smf__timer *timer, uint64_t deadline_ns)
{
    smf__timer_stop(timers, timer);
    timer->deadline_ns = deadline_ns;
    insert(timers, timer);
    timers->running++;
}

void smf__timer_stop(struct smf__timers *timers, struct smf__timer *timer)
{
    if (!smf__timer_running(timer))
        return;
    list_unlink(timer);
    struct slot *slot = &timers->slots[tick_of(timer->deadline_ns) % SMF__TIMER_SLOTS];
    if (list_empty(&slot->list))
        slot->tick_min = NEVER;
    if (--timers->running == 0)
        set_tick_min(timers, NEVER);
}

/* Fires what is due in one slot. Every timer is taken off a list that no callback can add to, so each
 * is looked at once, whatever callbacks start and stop. */
static int slot_run(struct smf__timers *timers, struct slot *slot)
{
    int fired = 0;
    struct smf__timer list;
    list_move(&slot->list, &list);
    slot->tick_min = NEVER;
    while (!list_empty(&list)) {
        struct smf__timer *timer = list.next;
        list_unlink(timer);
        if (tick_of(timer->deadline_ns) > timers->tick) {
            insert(timers, timer);
            continue;
        }
        timers->running--;
        fired++;
        timer->fire(timer);
    }
    return fired;
}

int smf__timers_run(struct smf__timers *timers, uint64_t now_ns)
{
    if (now_ns < timers->due_ns)
        return 0;
    uint64_t tick_first = timers->tick + 1;
    uint64_t tick_last = now_ns / SMF__TIMER_SLOT_NS;
    if (tick_last < tick_first)
        return 0;
    uint64_t count = tick_last - tick_first + 1;
    if (count > SMF__TIMER_SLOTS)
        count = SMF__TIMER_SLOTS;

    /* From here on what callbacks start belongs to later ticks: this call comes to an end. */
    timers->tick = tick_last;
    int fired = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct slot *slot = &timers->slots[(tick_first + i) % SMF__TIMER_SLOTS];
        if (slot->tick_min <= tick_last)
            fired += slot_run(timers, slot);
    }
    uint64_t tick_min = NEVER;
    for (uint32_t i = 0; i < SMF__TIMER_SLOTS; i++) {
        if (timers->slots[i].tick_min < tick_min)
            tick_min = timers->slots[i].tick_min;
    }
    set_tick_min(timers, tick_min);
    return fired;
}

uint64_t smf__timers_next_ns(const struct smf__timers *timers)
{
    return timers->due_ns;
}
