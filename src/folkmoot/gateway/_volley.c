/* One frame to many sockets, below Python: what `gateway/lane.py` calls where this could be built. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Below this many members, handing the interpreter to another thread and asking for it back costs more than it gives. */
#define GIL_KEPT_MEMBERS 8

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

typedef struct { Py_ssize_t at, sent; } left_over;

/* Sends the frame to the members from `at` on: the first that did not take all of it, or `count`. */
static Py_ssize_t send_from(const int *fds, Py_ssize_t slots_known, const int *slots, Py_ssize_t count, Py_ssize_t at,
                            const char *frame, size_t size, Py_ssize_t *sent) {
  for (; at < count; at++) {
    int slot = slots[at], fd = slot >= 0 && slot < slots_known ? fds[slot] : -1;
    *sent = 0;
    if (fd < 0) return at;
    ssize_t done;
    do done = send(fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (done < 0 && errno == EINTR);
    if (done != (ssize_t)size) {
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

/* `left`: whom it did not reach whole. The interpreter is let go of between them, not at each. */
static int send_all(const Py_buffer *fds, const Py_buffer *slots, const Py_buffer *frame, PyObject *left) {
  Py_ssize_t known = fds->len / (Py_ssize_t)sizeof(int), count = slots->len / (Py_ssize_t)sizeof(int), at = 0, sent;
  while (at < count) {
    if (count - at < GIL_KEPT_MEMBERS) {
      at = send_from(fds->buf, known, slots->buf, count, at, frame->buf, (size_t)frame->len, &sent);
    } else {
      Py_BEGIN_ALLOW_THREADS
      at = send_from(fds->buf, known, slots->buf, count, at, frame->buf, (size_t)frame->len, &sent);
      Py_END_ALLOW_THREADS
    }
    if (at < count && append(left, at++, sent) < 0) return -1;
  }
  return 0;
}

PyDoc_STRVAR(volley_doc,
"volley(fds, slots, frame, /)\n--\n\n"
"Send `frame` to the descriptor at each of `slots` in `fds`, both arrays of C ints, without waiting.\n\n"
"Returns (index in `slots`, bytes sent) of each that did not take the whole frame, in order. A descriptor of -1 is\n"
"passed over, and told of so. What went wrong is not said: the caller's own write will find it too.");

static PyObject *volley(PyObject *module, PyObject *arguments) {
  Py_buffer fds, slots, frame;
  if (!PyArg_ParseTuple(arguments, "y*y*y*:volley", &fds, &slots, &frame)) return NULL;
  PyObject *left = PyList_New(0);
  if (left != NULL && send_all(&fds, &slots, &frame, left) < 0) Py_CLEAR(left);
  PyBuffer_Release(&fds);
  PyBuffer_Release(&slots);
  PyBuffer_Release(&frame);
  return left;
}

static PyMethodDef methods[] = {{"volley", volley, METH_VARARGS, volley_doc}, {NULL, NULL, 0, NULL}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_volley", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__volley(void) { return PyModuleDef_Init(&definition); }
