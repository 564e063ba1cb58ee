#include "disk/disk_pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/core.h"
#include "disk/disk_call.h"

struct smf__disk_pool {
    const struct smf__disk_leaf *leaf;
    pthread_mutex_t mutex;
    pthread_cond_t work;          /* there is some, or it is time to stop */
    struct smf__disk_list queued; /* under the mutex */
    struct smf__disk_list done;   /* likewise; the bell rings while it is not empty */
    int stopping;                 /* likewise */
    uint32_t has_done;            /* atomic; of done, for a look without the mutex */
    int bell;                     /* eventfd */
    uint32_t thread_count;
    pthread_t threads[SMF__DISK_THREADS_MAX];
};

static void ring(struct smf__disk_pool *pool)
{
    uint64_t one = 1;

    while (write(pool->bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void silence(struct smf__disk_pool *pool)
{
    uint64_t count;

    while (read(pool->bell, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

/* A step is done: the operation is, too, or waits its turn again. Under the mutex. The bell is last: whoever
 * it wakes may take this thread's CPU, and has to find something, or the mutex, to wait for. */
static void put_down(struct smf__disk_pool *pool, struct smf__disk_op *op)
{
    int was_empty;

    if (op->result == SMF__DISK_CALL_AGAIN) {
        smf__disk_list_push(&pool->queued, op);
        return;
    }
    was_empty = pool->done.first == NULL;
    smf__disk_list_push(&pool->done, op);
    __atomic_store_n(&pool->has_done, 1, __ATOMIC_RELEASE);
    if (was_empty)
        ring(pool);
}

static void *serve(void *context)
{
    struct smf__disk_pool *pool = context;

    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct smf__disk_op *op = smf__disk_list_pop(&pool->queued);

        if (op == NULL) {
            if (pool->stopping)
                break;
            pthread_cond_wait(&pool->work, &pool->mutex);
            continue;
        }
        pthread_mutex_unlock(&pool->mutex);
        op->result = smf__disk_call(pool->leaf, op);
        pthread_mutex_lock(&pool->mutex);
        put_down(pool, op);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Signals of the process are for its own threads. */
static int start(struct smf__disk_pool *pool, uint32_t threads)
{
    sigset_t all, before;
    int status = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (status == 0 && pool->thread_count < threads) {
        status = pthread_create(&pool->threads[pool->thread_count], NULL, serve, pool);
        if (status == 0)
            pool->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

int smf__disk_pool_open(struct smf__disk_pool **pool_out, const struct smf__disk_leaf *leaf,
                        uint32_t threads, struct smf_error *error_out)
{
    struct smf__disk_pool *pool = calloc(1, sizeof *pool);
    int problem;

    if (pool == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a disk's threads");
    pool->leaf = leaf;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    problem = pool->bell < 0 ? errno : start(pool, threads);
    if (problem != 0) {
        smf__disk_pool_close(pool);
        return smf__error(error_out, SMF_ESYSTEM, problem,
                          "a disk's threads could not be started; raise the limits on threads "
                          "(ulimit -u) and open files (ulimit -n)");
    }
    *pool_out = pool;
    return SMF_OK;
}

void smf__disk_pool_close(struct smf__disk_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    if (pool->bell >= 0)
        close(pool->bell);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

void smf__disk_pool_push(struct smf__disk_pool *pool, struct smf__disk_list *list)
{
    int many = list->first != list->last;

    if (list->first == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    if (pool->queued.last != NULL)
        pool->queued.last->next = list->first;
    else
        pool->queued.first = list->first;
    pool->queued.last = list->last;
    if (many)
        pthread_cond_broadcast(&pool->work);
    else
        pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    list->first = list->last = NULL;
}

void smf__disk_pool_reap(struct smf__disk_pool *pool, struct smf__disk_leaf *leaf)
{
    struct smf__disk_list done;
    struct smf__disk_op *op;

    if (__atomic_load_n(&pool->has_done, __ATOMIC_ACQUIRE) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    done = pool->done;
    pool->done.first = pool->done.last = NULL;
    __atomic_store_n(&pool->has_done, 0, __ATOMIC_RELAXED);
    silence(pool);
    pthread_mutex_unlock(&pool->mutex);
    while ((op = smf__disk_list_pop(&done)) != NULL)
        smf__disk_finish(leaf, op, op->result);
}

int smf__disk_pool_fd(const struct smf__disk_pool *pool)
{
    return pool->bell;
}
