#include "core/core_fork.h"

#include <pthread.h>

#include <smf/status.h>

uint32_t smf__forks;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int registered;

static void in_child(void)
{
    smf__forks++;
}

static void count(void)
{
    registered = pthread_atfork(NULL, NULL, in_child) == 0;
}

int smf__forks_count(void)
{
    pthread_once(&once, count);
    return registered ? SMF_OK : SMF_ENOMEM;
}
