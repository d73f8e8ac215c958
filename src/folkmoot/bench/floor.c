/* The floor that fan-out is measured against: one loop over send() of the same ready bytes to each member of a group.

   Standard output says the port, standard input ends it. A client joins with "JOIN" and a group's number (4 bytes, big
   endian) and is answered one byte. What it sends then is a group's number, a length (4 bytes each) and that many bytes,
   which go to every member of the group as they are. Nothing is parsed, decided or stored. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX 65536
#define GROUPS_MAX 65536
#define MESSAGE_BYTES_MAX 65536
#define EVENTS_MAX 512
#define BACKLOG 4096

struct client { int group; size_t size; unsigned char *held; };
struct group { int *fds; int count, room; };

static struct client clients[FDS_MAX];
static struct group groups[GROUPS_MAX];
static unsigned char scratch[2 * MESSAGE_BYTES_MAX];
static unsigned long long sent, stalled;

static void die(const char *why) { perror(why); exit(1); }

static uint32_t number(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void send_whole(int fd, const unsigned char *bytes, size_t size) {
  while (size) {
    ssize_t done = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return;
      struct pollfd one = {.fd = fd, .events = POLLOUT};
      stalled++;
      poll(&one, 1, -1);
      continue;
    }
    bytes += done;
    size -= (size_t)done;
  }
}

static void join(int fd, uint32_t number_of_group) {
  if (number_of_group >= GROUPS_MAX) return;
  struct group *group = &groups[number_of_group];
  if (group->count == group->room) {
    group->room = group->room ? 2 * group->room : 16;
    group->fds = realloc(group->fds, sizeof(int) * (size_t)group->room);
    if (!group->fds) die("realloc");
  }
  group->fds[group->count++] = fd;
  clients[fd].group = (int)number_of_group;
  send_whole(fd, (const unsigned char *)"k", 1);
}

/* How many of the bytes were used: a whole request, or none. */
static size_t take(int fd, const unsigned char *bytes, size_t size) {
  if (size < 8) return 0;
  if (clients[fd].group < 0) {
    if (memcmp(bytes, "JOIN", 4)) return 0;
    join(fd, number(bytes + 4));
    return 8;
  }
  uint32_t to = number(bytes), length = number(bytes + 4);
  if (length > MESSAGE_BYTES_MAX || to >= GROUPS_MAX || size < 8 + (size_t)length) return 0;
  struct group *group = &groups[to];
  for (int i = 0; i < group->count; i++) send_whole(group->fds[i], bytes + 8, length);
  sent += (unsigned long long)group->count;
  return 8 + (size_t)length;
}

static void leave(int fd) {
  struct client *client = &clients[fd];
  if (client->group >= 0) {
    struct group *group = &groups[client->group];
    for (int i = 0; i < group->count; i++)
      if (group->fds[i] == fd) { group->fds[i] = group->fds[--group->count]; break; }
  }
  free(client->held);
  *client = (struct client){.group = -1};
  close(fd);
}

static void receive(int fd) {
  struct client *client = &clients[fd];
  if (client->size) memcpy(scratch, client->held, client->size);
  ssize_t got = recv(fd, scratch + client->size, MESSAGE_BYTES_MAX, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) { leave(fd); return; }
  size_t size = client->size + (size_t)got, at = 0, used;
  while ((used = take(fd, scratch + at, size - at))) at += used;
  free(client->held);
  client->held = NULL;
  client->size = size - at;
  if (client->size > MESSAGE_BYTES_MAX) { client->size = 0; leave(fd); return; }
  if (client->size) {
    client->held = malloc(client->size);
    if (!client->held) die("malloc");
    memcpy(client->held, scratch + at, client->size);
  }
}

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void welcome(int epoll, int listening) {
  int fd, one = 1;
  while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    if (fd >= FDS_MAX) { close(fd); continue; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    clients[fd] = (struct client){.group = -1};
    watch(epoll, fd);
  }
}

int main(void) {
  struct rlimit files;
  if (!getrlimit(RLIMIT_NOFILE, &files)) { files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files); }
  int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), epoll = epoll_create1(0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (listening < 0 || epoll < 0) die("socket");
  if (bind(listening, (struct sockaddr *)&address, sizeof address)) die("bind");
  if (listen(listening, BACKLOG) || getsockname(listening, (struct sockaddr *)&address, &length)) die("listen");
  watch(epoll, listening);
  watch(epoll, 0);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  static struct epoll_event events[EVENTS_MAX];
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listening) welcome(epoll, listening);
      else if (fd == 0) { printf("%llu %llu\n", sent, stalled); return 0; }
      else receive(fd);
    }
  }
}
