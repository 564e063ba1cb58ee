/* Keeps the driver of a core on one CPU although the driver moves between threads: a thread is pinned
 * when it enters the poll, and the thread that was left behind gets the process's CPUs back.
 *
 * "The process's CPUs" are those of the thread that first asked in this process. */
#ifndef SMF_CORE_PIN_H
#define SMF_CORE_PIN_H

struct smf__pin;

int smf__pin_open(struct smf__pin **pin_out, int cpu);
void smf__pin_close(struct smf__pin *pin);

/* The calling thread drives now. A few system calls and a process-wide lock when it did not before,
 * else a comparison. */
void smf__pin_enter(struct smf__pin *pin);

/* The calling thread does not drive any more. */
void smf__pin_leave(struct smf__pin *pin);

/* A thread that was started by a pinned thread is born pinned. Gives every thread of the process that
 * sits on exactly this CPU, but for drivers and watchers, the process's CPUs back. */
void smf__pin_sweep(struct smf__pin *pin);

/* The CPU numbers of the process's set, in order. Returns how many; fills at most capacity. */
int smf__cpus(int *cpus_out, int capacity);

#endif
