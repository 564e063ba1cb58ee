/* The kernel's sockets behind the net wall: addresses, what is refused and how it is said, files
 * running out, wake-ups. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <smf/engine.h>

#include "net/net_ops.h"
#include "test.h"

#define POLLS_MAX 1000
#define POLL_NS 10000000
#define REFUSED_CLIENTS 20
#define FREE_FILES 3

static struct smf__net *open_net(void)
{
    struct smf_error error;
    struct smf__net *net;

    CHECK_EQ(smf__net_epoll_open(&net, &error), SMF_OK);
    CHECK_STR(net->ops->name, "epoll");
    return net;
}

/* A folder of this test's own, for unix sockets. */
static const char *folder(void)
{
    static char path[64];

    if (path[0] == '\0') {
        snprintf(path, sizeof path, "/tmp/smf-net-XXXXXX");
        CHECK(mkdtemp(path) != NULL);
    }
    return path;
}

static void unix_address(char *text_out, size_t size, const char *name)
{
    snprintf(text_out, size, "unix:%s/%s", folder(), name);
}

static int listen_on(struct smf__net *net, const char *address, struct smf__listener **listener_out,
                     char *bound_out, struct smf_error *error_out)
{
    int status = net->ops->listen(net, address, NULL, net, listener_out, bound_out,
                                  SMF__NET_ADDRESS_SIZE_BYTES, error_out);

    if (status != SMF_OK) { /* one line that names the address */
        CHECK_EQ(error_out->status, status);
        CHECK(strchr(error_out->text, '\n') == NULL);
        CHECK(strstr(error_out->text, address) != NULL);
    }
    return status;
}

static void says(const struct smf_error *error, const char *what)
{
    if (strstr(error->text, what) == NULL)
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", error->text, what);
}

/* Waits for an event of this kind; of this stream unless that is NULL. */
static struct smf__net_event wait_for(struct smf__net *net, uint32_t kind,
                                      const struct smf__stream *stream)
{
    for (int i = 0; i < POLLS_MAX; i++) {
        struct smf__net_event events[16];
        int count = net->ops->poll(net, events, 16, POLL_NS);

        for (int j = 0; j < count; j++) {
            if ((events[j].kinds & kind) && (stream == NULL || events[j].stream == stream))
                return events[j];
        }
    }
    test_fail(__FILE__, __LINE__, "no event of kind %u", kind);
}

static void pass(struct smf__net *net, struct smf__stream *from, struct smf__stream *to,
                 const char *text)
{
    char got[64] = {0}, head[2];
    struct iovec out[2] = {{(void *)text, 1}, {(void *)(text + 1), strlen(text) - 1}};
    struct iovec in[2] = {{head, 1}, {got, sizeof got}};

    CHECK_EQ(net->ops->send(from, out, 2), (int64_t)strlen(text));
    (void)wait_for(net, SMF__NET_READABLE, to);
    CHECK_EQ(net->ops->recv(to, in, 2), (int64_t)strlen(text));
    CHECK_EQ(head[0], text[0]);
    CHECK_STR(got, text + 1);
    CHECK_EQ(net->ops->recv(to, in, 2), -EAGAIN);
}

/* Waits until a connection of ours is up and its other end was accepted. */
static struct smf__stream *meet(struct smf__net *net, const struct smf__stream *near,
                                const void *context)
{
    struct smf__stream *far = NULL;
    int connected = 0;

    for (int i = 0; i < POLLS_MAX && (far == NULL || !connected); i++) {
        struct smf__net_event events[16];
        int count = net->ops->poll(net, events, 16, POLL_NS);

        for (int j = 0; j < count; j++) {
            if (events[j].kinds & SMF__NET_ACCEPTED) {
                CHECK(far == NULL && events[j].context == net);
                far = events[j].stream;
            } else if (events[j].kinds & SMF__NET_CONNECTED) {
                CHECK(events[j].stream == near && events[j].context == context);
                CHECK_EQ(events[j].status, SMF_OK);
                connected = 1;
            }
        }
    }
    CHECK(far != NULL && connected);
    return far;
}

/* Connects to where a listener was bound, and talks both ways. */
static void talk(struct smf__net *net, const char *bound)
{
    struct smf_error error;
    struct smf__stream *near, *far;
    char peer[SMF__NET_ADDRESS_SIZE_BYTES], byte;
    struct iovec vector = {&byte, 1};

    CHECK_EQ(net->ops->connect(net, bound, &near, &near, &error), SMF_OK);
    far = meet(net, near, &near);
    net->ops->stream_interest(near, 1, 0);
    net->ops->stream_peer(near, peer, sizeof peer);
    CHECK_STR(peer, bound);
    pass(net, near, far, "there");
    pass(net, far, near, "and back");
    net->ops->stream_shutdown_write(near);
    (void)wait_for(net, SMF__NET_READABLE, far);
    CHECK_EQ(net->ops->recv(far, &vector, 1), 0);
    pass(net, far, near, "still");
    net->ops->stream_interest(near, 0, 0);
    net->ops->stream_shutdown_write(far);
    (void)wait_for(net, SMF__NET_HANGUP, near); /* said without interest, too */
    net->ops->stream_close(near);
    net->ops->stream_close(far);
}

static int has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct smf_error error;
    struct smf__listener *listener;
    struct smf__net *net = open_net();
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];
    int usable = fd >= 0 && net->ops->listen(net, "[::1]:0", NULL, NULL, &listener, bound,
                                             sizeof bound, &error) == SMF_OK;

    if (fd >= 0)
        close(fd);
    net->ops->close(net);
    return usable;
}

static void listen_and_talk(const char *address, const char *bound_prefix)
{
    struct smf__net *net = open_net();
    struct smf__listener *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(listen_on(net, address, &listener, bound, &error), SMF_OK);
    CHECK(strncmp(bound, bound_prefix, strlen(bound_prefix)) == 0);
    CHECK(strcmp(strrchr(bound, ':'), ":0") != 0);
    talk(net, bound);
    net->ops->listener_close(net, listener);
    CHECK_EQ(net->ops->connect(net, bound, NULL, &(struct smf__stream *){NULL}, &error) == SMF_OK &&
                 wait_for(net, SMF__NET_CONNECTED, NULL).status == SMF_OK,
             0);
    net->ops->close(net);
}

static void ipv4(void)
{
    listen_and_talk("127.0.0.1:0", "127.0.0.1:");
    listen_and_talk("localhost:0", "127.0.0.1:");
}

static void ipv6(void)
{
    if (has_ipv6())
        listen_and_talk("[::1]:0", "[::1]:");
    else
        test_note("not run: no IPv6 here");
}

/* ":port" takes both families. */
static void every_address(void)
{
    struct smf__net *net = open_net();
    struct smf__listener *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], address[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(listen_on(net, ":0", &listener, bound, &error), SMF_OK);
    snprintf(address, sizeof address, "127.0.0.1%s", strrchr(bound, ':'));
    talk(net, address);
    if (has_ipv6()) {
        snprintf(address, sizeof address, "[::1]%s", strrchr(bound, ':'));
        talk(net, address);
    }
    net->ops->close(net);
}

static void unix_sockets(void)
{
    char address[SMF__NET_ADDRESS_SIZE_BYTES], path[PATH_MAX];

    unix_address(address, sizeof address, "socket");
    listen_and_talk(address, address);
    snprintf(path, sizeof path, "%s/socket", folder());
    CHECK_EQ(access(path, F_OK), -1); /* the file goes with its listener */
    snprintf(address, sizeof address, "unix:@smf-test-%d", getpid());
    listen_and_talk(address, address);
}

static void bad_addresses_are_explained(void)
{
    static const char no_port[] = "the port is missing", no_number[] = "the port is not a number",
                      brackets[] = "an IPv6 address belongs in brackets",
                      no_host[] = "the host is not a numeric address";
    static const struct {
        const char *text, *why;
    } bad[] = {{"", no_port},
               {"127.0.0.1", no_port},
               {"127.0.0.1:", no_port},
               {"[::1]", no_port},
               {"[::1]:", no_port},
               {"localhost", no_port},
               {":", no_port},
               {":65536", no_number},
               {":-1", no_number},
               {":1x", no_number},
               {"127.0.0.1: 80", no_number},
               {"::1:80", brackets},
               {"fe80::abcd", brackets},
               {"[::1:80", brackets},
               {"[]:80", brackets},
               {"[127.0.0.1:80", brackets},
               {"256.0.0.1:80", no_host},
               {"1.2.3:80", no_host},
               {"host.test:80", no_host},
               {"http://localhost:80", "an address is no URL"},
               {"unix:", "the socket's path is missing"},
               {"unix:@", "the socket's name is missing"}};
    struct smf__net *net = open_net();
    struct smf__listener *listener;
    struct smf__stream *stream;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], endless[300];

    for (size_t i = 0; i < TEST_COUNT(bad); i++) {
        CHECK_EQ(listen_on(net, bad[i].text, &listener, bound, &error), SMF_EADDRESS);
        says(&error, bad[i].why);
        says(&error, "use 127.0.0.1:11225");
        CHECK_EQ(net->ops->connect(net, bad[i].text, NULL, &stream, &error), SMF_EADDRESS);
        says(&error, bad[i].why);
    }
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "unix:/", 6);
    endless[sizeof endless - 1] = '\0';
    CHECK_EQ(net->ops->listen(net, endless, NULL, NULL, &listener, bound, sizeof bound, &error),
             SMF_EADDRESS);
    CHECK_LT(strlen(error.text), sizeof error.text);
    CHECK_EQ(listen_on(net, "192.0.2.1:0", &listener, bound, &error), SMF_EADDRESS);
    says(&error, "not an address of this machine");
    net->ops->close(net);
}

static void longest_unix_path(void)
{
    char address[SMF__NET_ADDRESS_SIZE_BYTES] = "unix:@", name[32];
    int size = snprintf(name, sizeof name, "smf-test-%d", (int)getpid());

    memset(address + 6, 'y', 106); /* with the @: 107 */
    memcpy(address + 6, name, (size_t)size);
    listen_and_talk(address, address);
}

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    CHECK_GE(fd, 0);
    close(fd);
}

static void nobody_listens(void)
{
    struct smf__net *net = open_net();
    struct smf__listener *listener;
    struct smf__stream *stream;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], address[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(listen_on(net, "127.0.0.1:0", &listener, bound, &error), SMF_OK);
    net->ops->listener_close(net, listener);
    CHECK_EQ(net->ops->connect(net, bound, NULL, &stream, &error), SMF_OK);
    CHECK_EQ(wait_for(net, SMF__NET_CONNECTED, stream).status, SMF_EREFUSED);
    net->ops->stream_close(stream);
    unix_address(address, sizeof address, "nobody");
    CHECK_EQ(net->ops->connect(net, address, NULL, &stream, &error), SMF_EREFUSED);
    says(&error, "nobody listens there");
    make_file(address + 5);
    CHECK_EQ(net->ops->connect(net, address, NULL, &stream, &error), SMF_EREFUSED);
    says(&error, "what is there is no socket");
    unix_address(address, sizeof address, "nobody/socket");
    CHECK_EQ(net->ops->connect(net, address, NULL, &stream, &error), SMF_EADDRESS);
    says(&error, "a part of the path is a file");
    unix_address(address, sizeof address, "nobody");
    unlink(address + 5);
    net->ops->close(net);
}

/* A port that the system would choose is no place to connect to; without a host it is this machine. */
static void where_to_connect(void)
{
    static const char *const none[] = {"127.0.0.1:0", ":0", "[::1]:0", "localhost:0"};
    struct smf__net *net = open_net();
    struct smf__listener *listener;
    struct smf__stream *stream;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], peer[SMF__NET_ADDRESS_SIZE_BYTES];

    for (size_t i = 0; i < TEST_COUNT(none); i++) {
        CHECK_EQ(net->ops->connect(net, none[i], NULL, &stream, &error), SMF_EADDRESS);
        says(&error, none[i]);
        says(&error, "port 0 is for listening; say the port that the server has");
    }
    CHECK_EQ(listen_on(net, "127.0.0.1:0", &listener, bound, &error), SMF_OK);
    CHECK_EQ(net->ops->connect(net, strrchr(bound, ':'), NULL, &stream, &error), SMF_OK);
    (void)meet(net, stream, NULL);
    net->ops->stream_peer(stream, peer, sizeof peer);
    CHECK_STR(peer, bound);
    net->ops->close(net);
}

/* Ports and files that others have. */

static void port_in_use(void)
{
    struct smf__net *net = open_net(), *other = open_net();
    struct smf__listener *listener, *second;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(listen_on(net, "127.0.0.1:0", &listener, bound, &error), SMF_OK);
    CHECK_EQ(listen_on(other, bound, &second, bound, &error), SMF_EADDRINUSE);
    CHECK_EQ(error.os_errno, EADDRINUSE);
    says(&error, "another server listens there, of this program or another; stop it or choose "
                 "another port (0: any)");
    CHECK_EQ(listen_on(net, bound, &second, bound, &error), SMF_EADDRINUSE);
    says(&error, "this engine listens there already");
    CHECK_EQ(listen_on(net, strrchr(bound, ':'), &second, bound, &error), SMF_EADDRINUSE);
    says(&error, "this engine listens there already");
    net->ops->close(net);
    CHECK_EQ(listen_on(other, bound, &second, bound, &error), SMF_OK);
    other->ops->close(other);
}

/* The port is ours on one address; on another one it is somebody else's. */
static void port_in_use_on_another_address(void)
{
    struct smf__net *net = open_net(), *other = open_net();
    struct smf__listener *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], again[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(listen_on(net, "127.0.0.1:0", &listener, bound, &error), SMF_OK);
    snprintf(again, sizeof again, "127.0.0.2%s", strrchr(bound, ':'));
    CHECK_EQ(listen_on(other, again, &listener, bound, &error), SMF_OK);
    CHECK_EQ(listen_on(net, again, &listener, bound, &error), SMF_EADDRINUSE);
    says(&error, "another server listens there");
    net->ops->close(net);
    other->ops->close(other);
}

static struct smf_engine *engine_of(uint32_t cores)
{
    struct smf_engine_config config = {
        .size = sizeof config, .cores = cores, .memory_bytes = 8u << 20};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

/* Cores share a port among themselves, and with nobody else. */
static void port_in_use_by_several_cores(void)
{
    struct smf_engine *engine = engine_of(3), *other = engine_of(2);
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], again[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(smf_engine_listen(engine, "127.0.0.1:0", bound, sizeof bound, &error), SMF_OK);
    CHECK_EQ(smf_engine_listen(other, bound, again, sizeof again, &error), SMF_EADDRINUSE);
    CHECK(strchr(error.text, '\n') == NULL && strstr(error.text, bound) != NULL);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(smf_core_turn(smf_engine_core(engine, i))->listeners, 1);
    smf_engine_close(engine);
    CHECK_EQ(smf_engine_listen(other, bound, again, sizeof again, &error), SMF_OK);
    CHECK_STR(bound, again);
    smf_engine_close(other);
}

static void unix_socket_of_several_cores(void)
{
    struct smf_engine *engine = engine_of(3);
    struct smf_error error;
    char address[SMF__NET_ADDRESS_SIZE_BYTES], bound[SMF__NET_ADDRESS_SIZE_BYTES];
    struct stat status;

    unix_address(address, sizeof address, "shared");
    CHECK_EQ(smf_engine_listen(engine, address, bound, sizeof bound, &error), SMF_OK);
    CHECK_STR(bound, address);
    CHECK_EQ(stat(address + 5, &status), 0);
    smf_engine_close(engine);
    CHECK_EQ(stat(address + 5, &status), -1);
}

/* A server that never accepts; closed, it leaves its file as one that was killed does. */
static int plain_server(const char *path, int backlog)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_LT(strlen(path), sizeof name.sun_path);
    memcpy(name.sun_path, path, strlen(path) + 1);
    CHECK_EQ(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    CHECK_EQ(listen(fd, backlog), 0);
    return fd;
}

static int connect_plain(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    CHECK_GE(fd, 0);
    memcpy(name.sun_path, path, strlen(path) + 1);
    CHECK_EQ(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

/* One that is too busy to answer is not dead. */
static void unix_file_of_a_busy_server(void)
{
    struct smf__net *net = open_net();
    struct smf__listener *listener;
    struct smf_error error;
    char address[SMF__NET_ADDRESS_SIZE_BYTES], bound[SMF__NET_ADDRESS_SIZE_BYTES];
    int server, client;

    unix_address(address, sizeof address, "busy");
    server = plain_server(address + 5, 0);
    client = connect_plain(address + 5); /* all that fits */
    CHECK_EQ(listen_on(net, address, &listener, bound, &error), SMF_EADDRINUSE);
    CHECK_EQ(access(address + 5, F_OK), 0);
    close(client);
    close(server);
    CHECK_EQ(listen_on(net, address, &listener, bound, &error), SMF_OK);
    net->ops->close(net);
}

static void unix_files_of_others(void)
{
    struct smf__net *net = open_net(), *other = open_net();
    struct smf__listener *listener, *second;
    struct smf_error error;
    char address[SMF__NET_ADDRESS_SIZE_BYTES], bound[SMF__NET_ADDRESS_SIZE_BYTES];

    unix_address(address, sizeof address, "stale");
    close(plain_server(address + 5, 1));
    CHECK_EQ(access(address + 5, F_OK), 0);
    CHECK_EQ(listen_on(net, address, &listener, bound, &error), SMF_OK); /* replaced */
    talk(net, address);
    CHECK_EQ(listen_on(other, address, &second, bound, &error), SMF_EADDRINUSE); /* it lives */
    says(&error, "another server listens there, of this program or another; stop it or choose "
                 "another path");
    CHECK_EQ(listen_on(net, address, &second, bound, &error), SMF_EADDRINUSE);
    says(&error, "this engine listens there already");
    (void)wait_for(net, SMF__NET_ACCEPTED, NULL); /* somebody looked whether it does */
    talk(net, address);
    unix_address(address, sizeof address, "file");
    make_file(address + 5);
    CHECK_EQ(listen_on(other, address, &second, bound, &error), SMF_EADDRINUSE);
    says(&error, "what is there is no socket; remove it or choose another path");
    CHECK_EQ(access(address + 5, F_OK), 0); /* nobody's file is removed */
    unix_address(address, sizeof address, "file/socket");
    CHECK_EQ(listen_on(other, address, &second, bound, &error), SMF_EADDRESS);
    says(&error, "a part of the path is a file; choose another path");
    unix_address(address, sizeof address, "file");
    unlink(address + 5);
    unix_address(address, sizeof address, "no/such/folder");
    CHECK_EQ(listen_on(other, address, &second, bound, &error), SMF_EADDRESS);
    CHECK_EQ(error.os_errno, ENOENT);
    says(&error, "make the folder first, or choose another path");
    net->ops->close(net);
    other->ops->close(other);
}

/* Several nets, one socket. */

/* A connection comes to one of those that listen; who has closed its listener hears of nothing. */
static void joined_listeners(const char *address)
{
    struct smf__net *first = open_net(), *second = open_net(), *client = open_net();
    struct smf__net_event events[16];
    struct smf__listener *listener, *joined;
    struct smf__stream *near;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], again[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(listen_on(first, address, &listener, bound, &error), SMF_OK);
    CHECK_EQ(
        second->ops->listen(second, bound, listener, second, &joined, again, sizeof again, &error),
        SMF_OK);
    CHECK_STR(again, bound);
    CHECK_EQ(client->ops->connect(client, bound, NULL, &near, &error), SMF_OK);
    (void)wait_for(client, SMF__NET_CONNECTED, near);
    CHECK(wait_for(second, SMF__NET_ACCEPTED, NULL).context == second);
    CHECK_EQ(first->ops->poll(first, events, 16, 0), 0); /* told, and too late */
    first->ops->listener_close(first, listener);
    CHECK_EQ(client->ops->connect(client, bound, NULL, &near, &error),
             strncmp(bound, "unix:/", 6) == 0 ? SMF_EREFUSED : SMF_OK); /* the file has gone */
    if (strncmp(bound, "unix:/", 6) != 0) {
        (void)wait_for(client, SMF__NET_CONNECTED, near);
        CHECK_EQ(first->ops->poll(first, events, 16, 0), 0);
        (void)wait_for(second, SMF__NET_ACCEPTED, NULL);
    }
    first->ops->close(first);
    second->ops->close(second);
    client->ops->close(client);
}

static void a_socket_of_several_nets(void)
{
    char address[SMF__NET_ADDRESS_SIZE_BYTES];

    joined_listeners("127.0.0.1:0");
    joined_listeners(":0");
    snprintf(address, sizeof address, "unix:@smf-joined-%d", (int)getpid());
    joined_listeners(address);
    unix_address(address, sizeof address, "joined");
    joined_listeners(address);
}

/* What arrives while a stream is between two nets is not lost. */
static void a_stream_moves(void)
{
    struct smf__net *net = open_net(), *other = open_net();
    struct smf__net_event events[16];
    struct smf__listener *listener;
    struct smf__stream *near, *far;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES], peer[SMF__NET_ADDRESS_SIZE_BYTES], text[8];
    struct iovec out = {"hello", 5}, in = {text, sizeof text};

    CHECK_EQ(listen_on(net, "127.0.0.1:0", &listener, bound, &error), SMF_OK);
    CHECK_EQ(net->ops->connect(net, bound, NULL, &near, &error), SMF_OK);
    far = meet(net, near, NULL);
    net->ops->stream_interest(near, 1, 0);
    net->ops->stream_detach(far);
    CHECK_EQ(net->ops->send(near, &out, 1), 5);
    CHECK_EQ(net->ops->poll(net, events, 16, POLL_NS), 0);
    CHECK_EQ(other->ops->stream_attach(other, far), SMF_OK);
    other->ops->stream_context(far, text);
    CHECK(wait_for(other, SMF__NET_READABLE, far).context == text);
    CHECK_EQ(other->ops->recv(far, &in, 1), 5);
    CHECK_MEM(text, "hello", 5);
    CHECK_EQ(net->recvs + other->recvs, 1);
    CHECK_EQ(other->recvs, 1); /* counted where it is now */
    other->ops->stream_peer(far, peer, sizeof peer);
    CHECK(strncmp(peer, "127.0.0.1:", 10) == 0);
    net->ops->close(net); /* and it lives on without the first one */
    (void)wait_for(other, SMF__NET_READABLE, far);
    CHECK_EQ(other->ops->recv(far, &in, 1), 0);
    other->ops->stream_detach(far);
    other->ops->stream_close(far);
    other->ops->close(other);
}

/* Privileges. */

static int first_free_port(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    char text[32];
    int port = 1024;

    if (file == NULL)
        return port;
    if (fgets(text, sizeof text, file) != NULL)
        port = (int)strtol(text, NULL, 10);
    fclose(file);
    return port;
}

static void refused_without_privileges(void *context)
{
    const char *address = context;
    struct smf__stream *stream;
    struct smf__net *net;
    struct smf__listener *listener;
    struct smf_error error;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    if (geteuid() == 0)
        CHECK_EQ(setuid(65534), 0);
    net = open_net();
    CHECK_EQ(listen_on(net, address, &listener, bound, &error), SMF_EPERMISSION);
    says(&error, strncmp(address, "unix:", 5) == 0
                     ? "this user may not make files in that folder; choose another"
                     : "ports below 1024 need privileges; choose another port");
    if (strncmp(address, "unix:", 5) == 0) {
        CHECK_EQ(net->ops->connect(net, address, NULL, &stream, &error), SMF_EPERMISSION);
        says(&error, "this user may not write to that socket, or enter its folder");
    }
    net->ops->close(net);
}

static void no_permission(void)
{
    char address[SMF__NET_ADDRESS_SIZE_BYTES];

    CHECK_EQ(chmod(folder(), 0700), 0);
    if (first_free_port() > 1)
        CHECK_EQ(test_in_child(refused_without_privileges, "127.0.0.1:1", NULL, 0), 0);
    else
        test_note("port 1 not tried: every port is free to everybody here");
    if (geteuid() != 0) {
        test_note("foreign folder not tried: needs root");
        return;
    }
    unix_address(address, sizeof address, "private");
    CHECK_EQ(test_in_child(refused_without_privileges, address, NULL, 0), 0);
}

/* Files. */

static int lowest_free_file(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    CHECK_GE(fd, 0);
    close(fd);
    return fd;
}

/* Connections wait and no file is left: the first ones are taken, the others hear a refusal instead of
 * keeping the listener ready for ever. */
static void files_run_out(void *context)
{
    struct smf__net *net = open_net();
    struct smf__listener *listener;
    struct smf_error error;
    struct rlimit limit;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];
    int clients[REFUSED_CLIENTS], accepted = 0, refused = 0;

    CHECK_EQ(listen_on(net, context, &listener, bound, &error), SMF_OK);
    for (int i = 0; i < REFUSED_CLIENTS; i++)
        clients[i] = connect_plain((const char *)context + 5);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)lowest_free_file() + FREE_FILES;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < 2 * REFUSED_CLIENTS; i++) {
        struct smf__net_event events[16];

        accepted += net->ops->poll(net, events, 16, 0);
    }
    CHECK_EQ(accepted, FREE_FILES);
    for (int i = 0; i < REFUSED_CLIENTS; i++) {
        char byte;

        refused += recv(clients[i], &byte, 1, 0) == 0;
    }
    CHECK_EQ(refused, REFUSED_CLIENTS - FREE_FILES);
    close(clients[0]); /* room again */
    close(clients[1]);
    clients[0] = connect_plain((const char *)context + 5);
    (void)wait_for(net, SMF__NET_ACCEPTED, NULL);
    net->ops->close(net);
}

static void no_files_left_while_accepting(void)
{
    char address[SMF__NET_ADDRESS_SIZE_BYTES], text[512];
    int status;

    unix_address(address, sizeof address, "crowded");
    status = test_in_child(files_run_out, address, text, sizeof text);
    if (status != 0)
        test_fail(__FILE__, __LINE__, "%s", text);
}

/* Waking. */

static void *wake_later(void *context)
{
    struct smf__net *net = context;
    struct timespec pause = {.tv_nsec = 2000000};

    nanosleep(&pause, NULL);
    net->ops->wake(net);
    return NULL;
}

static void wake_ends_a_poll(void)
{
    struct smf__net *net = open_net();
    struct smf__net_event event;
    pthread_t thread;

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, wake_later, net), 0);
        CHECK_EQ(net->ops->poll(net, &event, 1, -1), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    net->ops->wake(net); /* before: the next one returns */
    net->ops->wake(net);
    CHECK_EQ(net->ops->poll(net, &event, 1, -1), 0);
    net->ops->close(net);
}

static void no_folder_is_left(void)
{
    CHECK_EQ(rmdir(folder()), 0);
}

static const struct test tests[] = {
    TEST(ipv4),
    TEST(ipv6),
    TEST(every_address),
    TEST(unix_sockets),
    TEST(bad_addresses_are_explained),
    TEST(longest_unix_path),
    TEST(nobody_listens),
    TEST(where_to_connect),
    TEST(port_in_use),
    TEST(port_in_use_on_another_address),
    TEST(port_in_use_by_several_cores),
    TEST(unix_socket_of_several_cores),
    TEST(unix_file_of_a_busy_server),
    TEST(unix_files_of_others),
    TEST(a_socket_of_several_nets),
    TEST(a_stream_moves),
    TEST(no_permission),
    TEST(no_files_left_while_accepting),
    TEST(wake_ends_a_poll),
    TEST(no_folder_is_left),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
