#include "core/core_pin.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <smf/status.h>

#define OWN_THREADS "smf-" /* how the names of our own threads begin */

struct smf__pin {
    struct smf__pin *next;
    cpu_set_t one;       /* the core's CPU */
    int driver_tid;      /* 0: nobody yet */
    uint64_t generation; /* of the driver's pinning; written by the driver */
};

/* All pins of the process, of all engines: a thread that drove one core may drive another by the time
 * the first one notices that it was left. Guards driver_tid, too; never taken on the fast path. */
static pthread_mutex_t pins_lock = PTHREAD_MUTEX_INITIALIZER;
static struct smf__pin *pins;
static uint64_t generations; /* no two pinnings of a process share one */
static __thread uint64_t thread_generation;

static pthread_once_t all_once = PTHREAD_ONCE_INIT;
static cpu_set_t all; /* the process's CPUs */

static void read_all(void)
{
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        CPU_ZERO(&all);
}

int smf__pin_open(struct smf__pin **pin_out, int cpu)
{
    struct smf__pin *pin = calloc(1, sizeof *pin);

    if (pin == NULL)
        return SMF_ENOMEM;
    pthread_once(&all_once, read_all);
    CPU_SET(cpu, &pin->one);
    pthread_mutex_lock(&pins_lock);
    pin->next = pins;
    pins = pin;
    pthread_mutex_unlock(&pins_lock);
    *pin_out = pin;
    return SMF_OK;
}

void smf__pin_close(struct smf__pin *pin)
{
    struct smf__pin **link = &pins;

    pthread_mutex_lock(&pins_lock);
    while (*link != pin)
        link = &(*link)->next;
    *link = pin->next;
    pthread_mutex_unlock(&pins_lock);
    free(pin);
}

/* Gives a thread the process's CPUs back, if it still is one of this process's. */
static void unpin(int tid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d", tid);
    if (access(path, F_OK) == 0)
        (void)sched_setaffinity(tid, sizeof all, &all);
}

void smf__pin_enter(struct smf__pin *pin)
{
    int tid;

    if (__builtin_expect(thread_generation == pin->generation && thread_generation != 0, 1))
        return;
    tid = gettid();
    pthread_mutex_lock(&pins_lock);
    for (struct smf__pin *other = pins; other != NULL; other = other->next) {
        if (other != pin && other->driver_tid == tid)
            other->driver_tid = 0;
    }
    if (pin->driver_tid != 0 && pin->driver_tid != tid)
        unpin(pin->driver_tid);
    pin->driver_tid = tid;
    (void)sched_setaffinity(0, sizeof pin->one, &pin->one); /* refused: not pinned, no harm */
    pin->generation = ++generations;
    thread_generation = pin->generation;
    pthread_mutex_unlock(&pins_lock);
}

void smf__pin_leave(struct smf__pin *pin)
{
    pthread_mutex_lock(&pins_lock);
    if (pin->driver_tid == gettid()) {
        pin->driver_tid = 0;
        (void)sched_setaffinity(0, sizeof all, &all);
        thread_generation = 0;
    }
    pthread_mutex_unlock(&pins_lock);
}

static int drives(int tid)
{
    for (const struct smf__pin *pin = pins; pin != NULL; pin = pin->next) {
        if (pin->driver_tid == tid)
            return 1;
    }
    return 0;
}

static int is_our_own(int tid)
{
    char path[64], name[32] = "";
    FILE *file;
    int ours;

    snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
    file = fopen(path, "re");
    if (file == NULL)
        return 1; /* gone */
    ours = fgets(name, sizeof name, file) != NULL &&
           strncmp(name, OWN_THREADS, strlen(OWN_THREADS)) == 0;
    (void)fclose(file);
    return ours;
}

void smf__pin_sweep(struct smf__pin *pin)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    cpu_set_t set;

    if (tasks == NULL)
        return;
    pthread_mutex_lock(&pins_lock);
    while (!CPU_EQUAL(&all, &pin->one) && (entry = readdir(tasks)) != NULL) {
        int tid = (int)strtol(entry->d_name, NULL, 10); /* 0 for "." and ".." */

        if (tid != 0 && !drives(tid) && sched_getaffinity(tid, sizeof set, &set) == 0 &&
            CPU_EQUAL(&set, &pin->one) && !is_our_own(tid))
            unpin(tid);
    }
    pthread_mutex_unlock(&pins_lock);
    closedir(tasks);
}

int smf__cpus(int *cpus_out, int capacity)
{
    int count = 0;

    pthread_once(&all_once, read_all);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        if (count < capacity)
            cpus_out[count] = cpu;
        count++;
    }
    return count;
}
