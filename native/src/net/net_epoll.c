/* The kernel's sockets, level-triggered through epoll. Nothing is in flight between two calls, which
 * is why cores that Go drives use it: the loop may go on in another thread at any time. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mem/mem_count.h"
#include "net/net_address.h"
#include "net/net_error.h"
#include "net/net_ops.h"

#define LISTEN_BACKLOG 4096
#define EPOLL_BATCH 512
#define NS_PER_SECOND 1000000000ll
#define NS_PER_MS 1000000ll

enum member_kind { MEMBER_WAKE, MEMBER_STREAM, MEMBER_LISTENER, MEMBER_WATCHED };

/* What an epoll entry points to; first in every struct that is registered. */
struct member {
    enum member_kind kind;
    int fd;
    struct member *next, *previous; /* of all members of a net, for close */
};

struct net_epoll {
    struct smf__net base;
    int epoll_fd;
    int coarse;   /* no epoll_pwait2: waits are in milliseconds */
    int spare_fd; /* given up for a moment to refuse a connection when files run out */
    struct member wake;
    struct member *members;
    struct epoll_event ready[EPOLL_BATCH];
};

struct smf__stream {
    struct member member;
    struct net_epoll *net; /* NULL: detached */
    void *context;
    int connecting;
    uint32_t armed; /* what epoll was told to watch */
    socklen_t peer_size;
    struct sockaddr_storage peer;
};

struct smf__listener {
    struct member member;
    void *context;
    struct sockaddr_storage bound;
    socklen_t bound_size;
    int unlink_path;
};

static void members_add(struct net_epoll *net, struct member *member)
{
    member->previous = NULL;
    member->next = net->members;
    if (net->members != NULL)
        net->members->previous = member;
    net->members = member;
}

static void members_remove(struct net_epoll *net, struct member *member)
{
    if (member->previous != NULL)
        member->previous->next = member->next;
    else
        net->members = member->next;
    if (member->next != NULL)
        member->next->previous = member->previous;
}

static int epoll_add(struct net_epoll *net, struct member *member, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = member};

    return epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, member->fd, &event);
}

/* Ends a connection. A forked child may have a copy of the socket: then close alone would not tell the
 * peer anything before the child ends. */
static void hang_up(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
    close(fd);
}

/* Ends the watch, too: it lasts as long as the socket, which a forked child's copy keeps, and would go on
 * pointing at the stream. */
static void stream_free(struct smf__stream *stream)
{
    if (stream->net != NULL) {
        members_remove(stream->net, &stream->member);
        (void)epoll_ctl(stream->net->epoll_fd, EPOLL_CTL_DEL, stream->member.fd, NULL);
    }
    hang_up(stream->member.fd);
    free(stream);
}

static int attach(struct net_epoll *net, struct smf__stream *stream, uint32_t events)
{
    if (epoll_add(net, &stream->member, events) != 0)
        return errno == ENOMEM || errno == ENOSPC ? SMF_ENOMEM : SMF_ESYSTEM;
    stream->net = net;
    stream->armed = events;
    members_add(net, &stream->member);
    return SMF_OK;
}

/* Takes over fd; NULL (and fd closed) when memory or epoll refuses. */
static struct smf__stream *stream_new(struct net_epoll *net, int fd, void *context, uint32_t events)
{
    struct smf__stream *stream = calloc(1, sizeof *stream);
    int one = 1;

    if (stream == NULL) {
        hang_up(fd);
        return NULL;
    }
    stream->member.kind = MEMBER_STREAM;
    stream->member.fd = fd;
    stream->context = context;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* not for unix sockets */
    if (attach(net, stream, events) != SMF_OK) {
        stream_free(stream);
        return NULL;
    }
    return stream;
}

/* No file is left for a connection that waits: take it with the spare one and close it, so that the
 * peer hears about it and the listener does not stay ready for ever. */
static void refuse_one(struct net_epoll *net, int listen_fd)
{
    int fd;

    if (net->spare_fd >= 0)
        close(net->spare_fd);
    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        hang_up(fd);
    net->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_some(struct net_epoll *net, struct smf__listener *listener,
                       struct smf__net_event *events, int capacity)
{
    int count = 0;

    while (count < capacity) {
        struct sockaddr_storage peer;
        socklen_t peer_size = sizeof peer;
        struct smf__stream *stream;
        int fd = accept4(listener->member.fd, (struct sockaddr *)&peer, &peer_size,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                refuse_one(net, listener->member.fd);
            else if (errno == ECONNABORTED || errno == EINTR)
                continue;
            break;
        }
        stream = stream_new(net, fd, NULL, EPOLLIN);
        if (stream == NULL)
            break;
        stream->peer = peer;
        stream->peer_size = peer_size;
        events[count++] = (struct smf__net_event){
            .kinds = SMF__NET_ACCEPTED, .stream = stream, .context = listener->context};
    }
    return count;
}

static int connect_result(struct smf__stream *stream)
{
    int os_errno = 0;
    socklen_t size = sizeof os_errno;

    if (getsockopt(stream->member.fd, SOL_SOCKET, SO_ERROR, &os_errno, &size) != 0)
        os_errno = errno;
    return os_errno == 0 ? SMF_OK : smf__net_connect_status(os_errno);
}

static struct smf__net_event stream_ready(struct smf__stream *stream, uint32_t ready)
{
    struct smf__net_event event = {.stream = stream, .context = stream->context};

    if (stream->connecting) {
        stream->connecting = 0;
        event.kinds = SMF__NET_CONNECTED;
        event.status = connect_result(stream);
        return event;
    }
    if (ready & (EPOLLIN | EPOLLERR | EPOLLHUP))
        event.kinds |= SMF__NET_READABLE;
    if (ready & EPOLLOUT)
        event.kinds |= SMF__NET_WRITABLE;
    if (ready & (EPOLLERR | EPOLLHUP))
        event.kinds |= SMF__NET_HANGUP;
    return event;
}

static int wait_ready(struct net_epoll *net, int capacity, int64_t timeout_ns)
{
    struct timespec timeout;

    smf__count(net->base.polls, 1);
    if (timeout_ns <= 0)
        return epoll_wait(net->epoll_fd, net->ready, capacity, timeout_ns < 0 ? -1 : 0);
    if (!net->coarse) {
        int ready;

        timeout.tv_sec = timeout_ns / NS_PER_SECOND;
        timeout.tv_nsec = timeout_ns % NS_PER_SECOND;
        ready = epoll_pwait2(net->epoll_fd, net->ready, capacity, &timeout, NULL);
        if (ready >= 0 || (errno != ENOSYS && errno != EPERM))
            return ready;
        net->coarse = 1; /* an older kernel, or one that is told to refuse */
    }
    timeout_ns = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    return epoll_wait(net->epoll_fd, net->ready, capacity,
                      timeout_ns < INT_MAX ? (int)timeout_ns : INT_MAX);
}

static int net_poll(struct smf__net *base, struct smf__net_event *events, int capacity,
                    int64_t timeout_ns)
{
    struct net_epoll *net = (struct net_epoll *)base;
    int count = 0, accepted,
        left = net->base.accepts_max == 0 ? capacity : (int)net->base.accepts_max;
    int ready = wait_ready(net, capacity < EPOLL_BATCH ? capacity : EPOLL_BATCH, timeout_ns);

    for (int i = 0; i < ready && count < capacity; i++) {
        struct member *member = net->ready[i].data.ptr;
        uint64_t rung;

        switch (member->kind) {
        case MEMBER_WAKE:
            (void)!read(member->fd, &rung, sizeof rung);
            break;
        case MEMBER_LISTENER:
            accepted = accept_some(net, (struct smf__listener *)member, events + count,
                                   capacity - count < left ? capacity - count : left);
            count += accepted;
            left -= accepted;
            break;
        case MEMBER_STREAM:
            events[count++] = stream_ready((struct smf__stream *)member, net->ready[i].events);
            break;
        case MEMBER_WATCHED: /* whoever has it looks into it after this */
            break;
        }
    }
    return count;
}

static void net_wake(struct smf__net *base)
{
    struct net_epoll *net = (struct net_epoll *)base;
    uint64_t one = 1;

    (void)!write(net->wake.fd, &one, sizeof one);
}

static int net_fd(const struct smf__net *base)
{
    return ((const struct net_epoll *)base)->epoll_fd;
}

/* Descriptors of others. */

static int net_watch(struct smf__net *base, int fd)
{
    struct net_epoll *net = (struct net_epoll *)base;
    struct member *member = calloc(1, sizeof *member);

    if (member == NULL)
        return SMF_ENOMEM;
    member->kind = MEMBER_WATCHED;
    member->fd = fd;
    if (epoll_add(net, member, EPOLLIN) != 0) {
        int os_errno = errno;

        free(member);
        return os_errno == ENOMEM || os_errno == ENOSPC ? SMF_ENOMEM : SMF_ESYSTEM;
    }
    members_add(net, member);
    return SMF_OK;
}

static void watched_free(struct net_epoll *net, struct member *member)
{
    members_remove(net, member);
    (void)epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, member->fd, NULL);
    free(member);
}

static void net_unwatch(struct smf__net *base, int fd)
{
    struct net_epoll *net = (struct net_epoll *)base;

    for (struct member *member = net->members; member != NULL; member = member->next) {
        if (member->kind == MEMBER_WATCHED && member->fd == fd) {
            watched_free(net, member);
            return;
        }
    }
}

/* Listening. */

static int bind_socket(struct smf__listener *listener, const struct smf__address *address)
{
    int one = 1, zero = 0;
    int family = address->storage.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->any)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, (const struct sockaddr *)&address->storage, address->size) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int os_errno = errno;
        close(fd);
        errno = os_errno;
        return -1;
    }
    listener->bound_size = sizeof listener->bound;
    (void)getsockname(fd, (struct sockaddr *)&listener->bound, &listener->bound_size);
    return fd;
}

/* A socket file whose server is gone may be replaced; one that answers may not. */
static void remove_stale(const struct smf__address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    struct stat status;
    int fd;

    if (un->sun_path[0] == '\0' || lstat(un->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)un, address->size) != 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(fd);
}

static int listen_first(struct smf__listener *listener, struct smf__address *address)
{
    int fd;

    if (address->storage.ss_family == AF_UNIX) {
        remove_stale(address);
        fd = bind_socket(listener, address);
        listener->unlink_path = fd >= 0;
        return fd;
    }
    fd = bind_socket(listener, address);
    if (fd < 0 && address->any && errno == EAFNOSUPPORT) { /* a kernel without IPv6 */
        struct sockaddr_in *in = (struct sockaddr_in *)&address->storage;
        in_port_t port = ((struct sockaddr_in6 *)&address->storage)->sin6_port;
        memset(in, 0, sizeof *in);
        in->sin_family = AF_INET;
        in->sin_port = port;
        address->size = sizeof *in;
        address->any = 0;
        fd = bind_socket(listener, address);
    }
    return fd;
}

/* One socket, watched by every core: the kernel wakes one that waits, so that a core which is busy does
 * not hold anybody up. */
static int listen_joined(struct smf__listener *listener, const struct smf__listener *first)
{
    listener->bound = first->bound;
    listener->bound_size = first->bound_size;
    return fcntl(first->member.fd, F_DUPFD_CLOEXEC, 0);
}

/* Every core of an engine has the same listeners: those of this net speak for all. */
static int has_listener(const struct net_epoll *net, const struct smf__address *address)
{
    for (const struct member *member = net->members; member != NULL; member = member->next) {
        const struct smf__listener *listener = (const struct smf__listener *)member;

        if (member->kind == MEMBER_LISTENER &&
            smf__address_overlaps(&listener->bound, listener->bound_size, address))
            return 1;
    }
    return 0;
}

static int net_listen(struct smf__net *base, const char *text, const struct smf__listener *first,
                      void *context, struct smf__listener **listener_out, char *bound_out,
                      size_t bound_size, struct smf_error *error_out)
{
    struct net_epoll *net = (struct net_epoll *)base;
    struct smf__address address;
    struct smf__listener *listener;
    int status = smf__address_parse(text, SMF__ADDRESS_LISTEN, &address, error_out);

    if (status != SMF_OK)
        return status;
    listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return smf__net_error(error_out, SMF_ENOMEM, ENOMEM, text, "");
    listener->member.kind = MEMBER_LISTENER;
    listener->context = context;
    listener->member.fd =
        first != NULL ? listen_joined(listener, first) : listen_first(listener, &address);
    if (listener->member.fd < 0 ||
        epoll_add(net, &listener->member, EPOLLIN | EPOLLEXCLUSIVE) != 0) {
        status =
            smf__net_listen_error(error_out, errno, text, &address, has_listener(net, &address));
        if (listener->member.fd >= 0)
            close(listener->member.fd);
        free(listener);
        return status;
    }
    members_add(net, &listener->member);
    smf__address_format(&listener->bound, listener->bound_size, bound_out, bound_size);
    *listener_out = listener;
    return SMF_OK;
}

static void net_listener_close(struct smf__net *base, struct smf__listener *listener)
{
    struct net_epoll *net = (struct net_epoll *)base;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&listener->bound;

    members_remove(net, &listener->member);
    /* Closing does not end the watch while another core, or a forked child, has the same socket. */
    (void)epoll_ctl(net->epoll_fd, EPOLL_CTL_DEL, listener->member.fd, NULL);
    close(listener->member.fd);
    if (listener->unlink_path && un->sun_path[0] != '\0')
        unlink(un->sun_path);
    free(listener);
}

/* Streams. */

static int net_connect(struct smf__net *base, const char *text, void *context,
                       struct smf__stream **stream_out, struct smf_error *error_out)
{
    struct net_epoll *net = (struct net_epoll *)base;
    struct smf__address address;
    struct smf__stream *stream;
    int fd, status = smf__address_parse(text, SMF__ADDRESS_CONNECT, &address, error_out);

    if (status != SMF_OK)
        return status;
    fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return smf__net_connect_error(error_out, errno, text, &address);
    if (connect(fd, (struct sockaddr *)&address.storage, address.size) != 0 &&
        errno != EINPROGRESS) {
        status = smf__net_connect_error(error_out, errno, text, &address);
        close(fd);
        return status;
    }
    stream = stream_new(net, fd, context, EPOLLOUT);
    if (stream == NULL)
        return smf__net_error(error_out, SMF_ENOMEM, ENOMEM, text, "");
    stream->connecting = 1;
    stream->peer = address.storage;
    stream->peer_size = address.size;
    *stream_out = stream;
    return SMF_OK;
}

static int64_t stream_recv(struct smf__stream *stream, const struct iovec *vectors, int count)
{
    ssize_t size;

    do {
        size = count == 1 ? recv(stream->member.fd, vectors[0].iov_base, vectors[0].iov_len, 0)
                          : readv(stream->member.fd, vectors, count);
    } while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN) { /* it was only looked at */
        smf__count(stream->net->base.polls, 1);
        return -EAGAIN;
    }
    smf__count(stream->net->base.recvs, 1);
    return size < 0 ? -errno : size;
}

static int stream_ended(const struct smf__stream *stream)
{
    struct pollfd look = {.fd = stream->member.fd, .events = POLLRDHUP};

    smf__count(stream->net->base.polls, 1);
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static int64_t stream_send(struct smf__stream *stream, const struct iovec *vectors, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count};
    ssize_t size;

    smf__count(stream->net->base.sends, 1);
    do {
        size = count == 1
                   ? send(stream->member.fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL)
                   : sendmsg(stream->member.fd, &message, MSG_NOSIGNAL);
    } while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

static void stream_context(struct smf__stream *stream, void *context)
{
    stream->context = context;
}

static void stream_interest(struct smf__stream *stream, int read, int write)
{
    uint32_t events = (read ? (uint32_t)EPOLLIN : 0) | (write ? (uint32_t)EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.ptr = &stream->member};

    if (events == stream->armed)
        return;
    stream->armed = events;
    (void)epoll_ctl(stream->net->epoll_fd, EPOLL_CTL_MOD, stream->member.fd, &event);
}

static void stream_peer(struct smf__stream *stream, char *text_out, size_t size)
{
    smf__address_format(&stream->peer, stream->peer_size, text_out, size);
}

static void stream_shutdown_write(struct smf__stream *stream)
{
    (void)shutdown(stream->member.fd, SHUT_WR);
}

static void stream_detach(struct smf__stream *stream)
{
    (void)epoll_ctl(stream->net->epoll_fd, EPOLL_CTL_DEL, stream->member.fd, NULL);
    members_remove(stream->net, &stream->member);
    stream->net = NULL;
}

static int stream_attach(struct smf__net *base, struct smf__stream *stream)
{
    return attach((struct net_epoll *)base, stream, EPOLLIN);
}

static void net_close(struct smf__net *base)
{
    struct net_epoll *net = (struct net_epoll *)base;

    while (net->members != NULL) {
        if (net->members->kind == MEMBER_STREAM)
            stream_free((struct smf__stream *)net->members);
        else if (net->members->kind == MEMBER_WATCHED)
            watched_free(net, net->members);
        else
            net_listener_close(base, (struct smf__listener *)net->members);
    }
    if (net->wake.fd >= 0)
        close(net->wake.fd);
    if (net->spare_fd >= 0)
        close(net->spare_fd);
    if (net->epoll_fd >= 0)
        close(net->epoll_fd);
    free(net);
}

static const struct smf__net_ops net_epoll_ops = {
    .name = "epoll",
    .close = net_close,
    .poll = net_poll,
    .wake = net_wake,
    .fd = net_fd,
    .watch = net_watch,
    .unwatch = net_unwatch,
    .listen = net_listen,
    .listener_close = net_listener_close,
    .connect = net_connect,
    .recv = stream_recv,
    .send = stream_send,
    .stream_ended = stream_ended,
    .stream_context = stream_context,
    .stream_interest = stream_interest,
    .stream_peer = stream_peer,
    .stream_shutdown_write = stream_shutdown_write,
    .stream_close = stream_free,
    .stream_detach = stream_detach,
    .stream_attach = stream_attach,
};

int smf__net_epoll_open(struct smf__net **net_out, struct smf_error *error_out)
{
    struct net_epoll *net = calloc(1, sizeof *net);

    if (net == NULL)
        return smf__net_error(error_out, SMF_ENOMEM, ENOMEM, "epoll", "");
    net->base.ops = &net_epoll_ops;
    net->wake.kind = MEMBER_WAKE;
    net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    net->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    net->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (net->epoll_fd < 0 || net->wake.fd < 0 || epoll_add(net, &net->wake, EPOLLIN) != 0) {
        int status = smf__net_system_error(error_out, errno, "epoll");
        net_close(&net->base);
        return status;
    }
    *net_out = &net->base;
    return SMF_OK;
}
