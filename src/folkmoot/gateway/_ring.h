/* The kernel's queue of submissions (io_uring), for many sends in one system call: what `_volley.c` sends large groups
   by where the system has it. A send so costs an eighth less, and some runtimes of containers forbid it: see `volley`.

   Every send says MSG_DONTWAIT, so it is done, or has failed, when the call that submits it returns. */

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__) && defined(__has_include)
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#endif
#endif

#ifdef IORING_SETUP_SUBMIT_ALL

#define RING_SENDS 256

static struct {
  int fd;
  pid_t owner;
  unsigned char *shared;
  size_t shared_size, sqes_size;
  unsigned *sq_head, *sq_tail, *cq_head, *cq_tail;
  unsigned sq_mask, cq_mask;
  struct io_uring_sqe *sqes;
  struct io_uring_cqe *cqes;
} ring = {.fd = -1};

static unsigned ring_read(const unsigned *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
static void ring_write(unsigned *at, unsigned value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }

static void ring_close(void) {
  if (ring.fd < 0) return;
  if (ring.shared) munmap(ring.shared, ring.shared_size);
  if (ring.sqes) munmap(ring.sqes, ring.sqes_size);
  close(ring.fd);
  ring.fd = -1;
  ring.shared = NULL;
  ring.sqes = NULL;
}

static int ring_map(const struct io_uring_params *made) {
  int how = MAP_SHARED | MAP_POPULATE, may = PROT_READ | PROT_WRITE;
  size_t submissions = made->sq_off.array + made->sq_entries * sizeof(unsigned);
  size_t completions = made->cq_off.cqes + made->cq_entries * sizeof(struct io_uring_cqe);
  ring.shared_size = submissions > completions ? submissions : completions;
  ring.sqes_size = made->sq_entries * sizeof(struct io_uring_sqe);
  unsigned char *shared = mmap(NULL, ring.shared_size, may, how, ring.fd, IORING_OFF_SQ_RING);
  if (shared == MAP_FAILED) return 0;
  ring.shared = shared;
  void *sqes = mmap(NULL, ring.sqes_size, may, how, ring.fd, IORING_OFF_SQES);
  if (sqes == MAP_FAILED) return 0;
  ring.sqes = sqes;
  ring.sq_head = (unsigned *)(shared + made->sq_off.head);
  ring.sq_tail = (unsigned *)(shared + made->sq_off.tail);
  ring.cq_head = (unsigned *)(shared + made->cq_off.head);
  ring.cq_tail = (unsigned *)(shared + made->cq_off.tail);
  ring.sq_mask = made->sq_entries - 1;
  ring.cq_mask = made->cq_entries - 1;
  ring.cqes = (struct io_uring_cqe *)(shared + made->cq_off.cqes);
  /* What is the same for every send is said once. */
  unsigned *places = (unsigned *)(shared + made->sq_off.array);
  memset(ring.sqes, 0, ring.sqes_size);
  for (unsigned at = 0; at < made->sq_entries; at++) {
    places[at] = at;
    ring.sqes[at].opcode = IORING_OP_SEND;
    ring.sqes[at].msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  }
  return 1;
}

/* Whether there is a ring: set up where there is none yet, or where it is that of the process this was forked from. */
static int ring_open(void) {
  pid_t here = getpid();
  if (ring.fd >= 0 && ring.owner == here) return 1;
  ring_close();
  struct io_uring_params made;
  memset(&made, 0, sizeof made);
  /* One that fails must not keep those after it from being submitted. */
  made.flags = IORING_SETUP_SUBMIT_ALL;
  ring.fd = (int)syscall(__NR_io_uring_setup, RING_SENDS, &made);
  if (ring.fd < 0) return 0;
  ring.owner = here;
  if ((made.features & IORING_FEAT_SINGLE_MMAP) && ring_map(&made)) return 1;
  ring_close();
  return 0;
}

static void ring_add(unsigned nth, int fd, const char *frame, unsigned size, uint64_t mark) {
  struct io_uring_sqe *sqe = &ring.sqes[(*ring.sq_tail + nth) & ring.sq_mask];
  sqe->fd = fd;
  sqe->addr = (uint64_t)(uintptr_t)frame;
  sqe->len = size;
  sqe->user_data = mark;
}

/* Submits the `count` that were added, and returns how many of them, the first, are done or have failed by now. */
static unsigned ring_submit(unsigned count) {
  unsigned left = count;
  ring_write(ring.sq_tail, *ring.sq_tail + count);
  while (left) {
    long taken = syscall(__NR_io_uring_enter, ring.fd, left, 0, 0, NULL, 0);
    if (taken > 0) left -= (unsigned)taken;
    else if (taken == 0 || errno != EINTR) break;
  }
  /* What the kernel did not take it does not come back for. */
  if (left) ring_write(ring.sq_tail, *ring.sq_tail - left);
  unsigned submitted = count - left;
  while (ring_read(ring.cq_tail) - *ring.cq_head < submitted)
    syscall(__NR_io_uring_enter, ring.fd, 0, submitted, IORING_ENTER_GETEVENTS, NULL, 0);
  return submitted;
}

/* The mark of the nth of those that were added and not submitted, after a submission of fewer. */
static uint64_t ring_left(unsigned nth) { return ring.sqes[(*ring.sq_tail + nth) & ring.sq_mask].user_data; }

/* What became of the next that is done: bytes sent, or an error below 0. */
static int ring_result(uint64_t *mark) {
  struct io_uring_cqe *cqe = &ring.cqes[*ring.cq_head & ring.cq_mask];
  int result = cqe->res;
  *mark = cqe->user_data;
  ring_write(ring.cq_head, *ring.cq_head + 1);
  return result;
}

#else

#define RING_SENDS 1
static int ring_open(void) { return 0; }
static void ring_close(void) {}
static void ring_add(unsigned nth, int fd, const char *frame, unsigned size, uint64_t mark) {
  (void)nth, (void)fd, (void)frame, (void)size, (void)mark;
}
static unsigned ring_submit(unsigned count) { return (void)count, 0; }
static uint64_t ring_left(unsigned nth) { return (void)nth, 0; }
static int ring_result(uint64_t *mark) { return (void)mark, 0; }

#endif
