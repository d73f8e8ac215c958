/* One frame to many sockets, below Python: what `gateway/lane.py` calls where this could be built. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#include "_ring.h"

/* Below this many members, handing the interpreter to another thread and asking for it back costs more than it gives,
   and so does a submission of them together. */
#define TOGETHER_MEMBERS 8

/* Both change only while the interpreter is held. `ring_is_taken`: another thread is within a submission. */
static int ring_is_wanted, ring_is_taken;

typedef struct {
  const int *fds, *slots;
  Py_ssize_t known, count;
  const char *frame;
  size_t size;
} order;

static int fd_at(const order *all, Py_ssize_t at) {
  int slot = all->slots[at];
  return slot >= 0 && slot < all->known ? all->fds[slot] : -1;
}

static ssize_t send_one(const order *all, int fd) {
  ssize_t done;
  do done = send(fd, all->frame, all->size, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (done < 0 && errno == EINTR);
  return done;
}

/* Sends to the members from `at` on: the first that did not take all of it, or `count`. */
static Py_ssize_t send_from(const order *all, Py_ssize_t at, Py_ssize_t *sent) {
  for (; at < all->count; at++) {
    int fd = fd_at(all, at);
    ssize_t done = fd < 0 ? 0 : send_one(all, fd);
    if (fd < 0 || done != (ssize_t)all->size) {
      *sent = done > 0 ? (Py_ssize_t)done : 0;
      return at;
    }
  }
  return at;
}

static int append(PyObject *left, Py_ssize_t at, Py_ssize_t sent) {
  PyObject *pair = Py_BuildValue("(nn)", at, sent);
  if (pair == NULL) return -1;
  int failed = PyList_Append(left, pair);
  Py_DECREF(pair);
  return failed;
}

/* One after the other. The interpreter is let go of between those who did not take all, not at each. */
static int send_singly(const order *all, Py_ssize_t at, PyObject *left) {
  Py_ssize_t sent = 0;
  while (at < all->count) {
    if (all->count - at < TOGETHER_MEMBERS) {
      at = send_from(all, at, &sent);
    } else {
      Py_BEGIN_ALLOW_THREADS
      at = send_from(all, at, &sent);
      Py_END_ALLOW_THREADS
    }
    if (at < all->count && append(left, at++, sent) < 0) return -1;
  }
  return 0;
}

/* As many as the ring holds in each call of the kernel, and by themselves those that it does not take. */
static int send_together(const order *all, PyObject *left) {
  Py_ssize_t at = 0;
  int failed = 0;
  while (at < all->count && !failed) {
    unsigned added = 0, done;
    for (; at < all->count && added < RING_SENDS; at++) {
      int fd = fd_at(all, at);
      if (fd >= 0) ring_add(added++, fd, all->frame, (unsigned)all->size, (uint64_t)at);
      else if (!failed) failed = append(left, at, 0);
    }
    Py_BEGIN_ALLOW_THREADS
    done = ring_submit(added);
    Py_END_ALLOW_THREADS
    for (unsigned nth = 0; nth < done; nth++) {
      uint64_t mark;
      int result = ring_result(&mark);
      if (result != (int)all->size && !failed) failed = append(left, (Py_ssize_t)mark, result > 0 ? result : 0);
    }
    for (unsigned nth = 0; nth < added - done; nth++) {
      Py_ssize_t which = (Py_ssize_t)ring_left(nth);
      ssize_t sent = send_one(all, fd_at(all, which));
      if (sent != (ssize_t)all->size && !failed) failed = append(left, which, sent > 0 ? (Py_ssize_t)sent : 0);
    }
  }
  return failed ? -1 : 0;
}

static int send_all(const order *all, PyObject *left) {
  if (!ring_is_wanted || ring_is_taken || all->count < TOGETHER_MEMBERS || all->size > INT_MAX || !ring_open())
    return send_singly(all, 0, left);
  ring_is_taken = 1;
  int failed = send_together(all, left);
  ring_is_taken = 0;
  return failed;
}

PyDoc_STRVAR(volley_doc,
"volley(fds, slots, frame, /)\n--\n\n"
"Send `frame` to the descriptor at each of `slots` in `fds`, both arrays of C ints, without waiting.\n\n"
"Returns (index in `slots`, bytes sent) of each that did not take the whole frame, in any order. A descriptor of -1 is\n"
"passed over, and told of so. What went wrong is not said: the caller's own write will find it too.");

static PyObject *volley(PyObject *module, PyObject *arguments) {
  Py_buffer fds, slots, frame;
  if (!PyArg_ParseTuple(arguments, "y*y*y*:volley", &fds, &slots, &frame)) return NULL;
  order all = {
      .fds = fds.buf,
      .slots = slots.buf,
      .known = fds.len / (Py_ssize_t)sizeof(int),
      .count = slots.len / (Py_ssize_t)sizeof(int),
      .frame = frame.buf,
      .size = (size_t)frame.len,
  };
  PyObject *left = PyList_New(0);
  if (left != NULL && send_all(&all, left) < 0) Py_CLEAR(left);
  PyBuffer_Release(&fds);
  PyBuffer_Release(&slots);
  PyBuffer_Release(&frame);
  return left;
}

PyDoc_STRVAR(together_doc,
"together(wanted, /)\n--\n\n"
"Whether volleys to many go to the kernel in one call (io_uring) from now on: only where it is `wanted` and allowed here.");

static PyObject *together(PyObject *module, PyObject *wanted) {
  int is_wanted = PyObject_IsTrue(wanted);
  if (is_wanted < 0) return NULL;
  if (!is_wanted && !ring_is_taken) ring_close();
  ring_is_wanted = is_wanted && (ring_is_taken || ring_open());
  return PyBool_FromLong(ring_is_wanted);
}

static PyMethodDef methods[] = {
    {"volley", volley, METH_VARARGS, volley_doc},
    {"together", together, METH_O, together_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_volley", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__volley(void) { return PyModuleDef_Init(&definition); }
