/* Make one process: clone3 straight into its cgroup, prepare it step by step, exec.
 *
 * The child borrows our memory until it runs its program (CLONE_VM | CLONE_VFORK): no page table is
 * copied, and it can report a failed step by writing it into `struct job`. In return the child may
 * call nothing that takes a lock, allocates or changes state of ours: only system calls. It runs on
 * a stack of its own, and every signal is blocked until it has put the dispositions back.
 *
 * A process whose end has to be written down gets a keeper: a child of ours makes it in the same way
 * and then runs a small program that waits for it. The process is made by exactly the same steps; it
 * only has another parent.
 *
 * Credentials are changed by raw system calls. The functions of the C library would signal all
 * threads it knows of, and those are the parent's.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#define CLOSE_RANGE_CLOEXEC_FLAG (1U << 2)

#define CHILD_STACK_BYTES (64 * 1024)
#define MAX_LIMITS 16
#define MAX_DESCRIPTORS 1024
#define KERNEL_SIGNALS 64
#define PID_DIGITS 12

/* The kernel's own layout; glibc's struct clone_args may be older than CLONE_INTO_CGROUP. */
struct clone_request {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal;
    uint64_t stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* The kernel's struct sigaction, all zero: the default disposition. */
struct kernel_sigaction {
    uint64_t words[4];
};

enum stage {
    STAGE_NONE,
    STAGE_FORK,
    STAGE_CGROUP,
    STAGE_SESSION,
    STAGE_DESCRIPTORS,
    STAGE_LIMITS,
    STAGE_OOM_SCORE,
    STAGE_NICE,
    STAGE_CAPABILITIES,
    STAGE_GROUPS,
    STAGE_GROUP,
    STAGE_USER,
    STAGE_NO_NEW_PRIVILEGES,
    STAGE_DIRECTORY,
    STAGE_EXEC,
    STAGE_KEEPER,
    STAGE_COUNT,
};

static const char *const stage_names[STAGE_COUNT] = {
    "",       "fork",         "cgroup", "session", "descriptors", "limits",            "oom-score", "nice",
    "capabilities", "groups", "group",  "user",    "no-new-privileges", "directory", "exec",
    "keeper",
};

struct limit {
    int resource;
    struct rlimit values;
    int denied; /* errno, when the kernel refused to raise it */
};

struct job {
    const char *executable;
    char **argv;
    char **environment;
    const char *directory;
    char *pid_digits; /* where the child writes its pid, inside `environment`; or NULL */
    unsigned int umask;
    int changes_credentials;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
    struct limit limits[MAX_LIMITS];
    int limit_count;
    int reduces_capabilities;
    uint64_t capabilities;
    int no_new_privileges;
    int sets_oom_score;
    char oom_score[PID_DIGITS];
    int oom_score_denied;
    int sets_nice;
    int nice;
    int nice_denied;
    int descriptors[MAX_DESCRIPTORS];
    int descriptor_count;
    int cgroup; /* -1: none */
    char **keeper; /* command line of the keeper; NULL: none */
    int status_file; /* its standard output */
    void *keepers_child_stack;
    volatile int keeper_errno; /* why the keeper could not be run; written by it */
    volatile int made_pid; /* 0: not made; written by the kernel */
    /* Written by the child when it gives up. */
    volatile int failed_stage;
    volatile int failed_errno;
};

/* ---- in the child ------------------------------------------------------------------------- */

static void give_up(struct job *job, enum stage stage, int error)
{
    job->failed_errno = error;
    job->failed_stage = (int)stage;
    for (;;)
        syscall(SYS_exit_group, 127);
}

static int is_denial(int error)
{
    return error == EPERM || error == EACCES;
}

static void reset_dispositions(void)
{
    struct kernel_sigaction by_default;

    memset(&by_default, 0, sizeof by_default);
    for (int number = 1; number <= KERNEL_SIGNALS; number++)
        if (number != SIGKILL && number != SIGSTOP)
            syscall(SYS_rt_sigaction, number, &by_default, NULL, 8);
}

static void set_oom_score(struct job *job)
{
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
    int error = 0;

    if (file < 0)
        error = errno;
    else if (syscall(SYS_write, file, job->oom_score, strlen(job->oom_score)) < 0)
        error = errno;
    if (file >= 0)
        syscall(SYS_close, file);
    if (is_denial(error))
        job->oom_score_denied = error;
    else if (error)
        give_up(job, STAGE_OOM_SCORE, error);
}

static void set_nice(struct job *job)
{
    if (syscall(SYS_setpriority, PRIO_PROCESS, 0, job->nice) == 0)
        return;
    if (!is_denial(errno))
        give_up(job, STAGE_NICE, errno);
    job->nice_denied = errno;
}

/* Give each descriptor its number. Those whose present number is another's target step aside first. */
static void place_descriptors(struct job *job)
{
    int count = job->descriptor_count;

    for (int target = 0; target < count; target++) {
        int source = job->descriptors[target];
        if (source < count && source != target) {
            job->descriptors[target] = (int)syscall(SYS_fcntl, source, F_DUPFD_CLOEXEC, count);
            if (job->descriptors[target] < 0)
                give_up(job, STAGE_DESCRIPTORS, errno);
        }
    }
    for (int target = 0; target < count; target++) {
        int source = job->descriptors[target];
        long done = source == target ? syscall(SYS_fcntl, source, F_SETFD, 0)
                                     : syscall(SYS_dup3, source, target, 0);
        if (done < 0)
            give_up(job, STAGE_DESCRIPTORS, errno);
    }
    if (syscall(SYS_close_range, count, ~0U, CLOSE_RANGE_CLOEXEC_FLAG) != 0)
        give_up(job, STAGE_DESCRIPTORS, errno);
}

static int lower_limit(const struct limit *limit)
{
    struct rlimit present;

    if (syscall(SYS_prlimit64, 0, limit->resource, NULL, &present) != 0)
        return errno;
    if (limit->values.rlim_cur < present.rlim_max)
        present.rlim_cur = limit->values.rlim_cur;
    else
        present.rlim_cur = present.rlim_max;
    return syscall(SYS_prlimit64, 0, limit->resource, &present, NULL) == 0 ? 0 : errno;
}

static void set_limits(struct job *job)
{
    for (int index = 0; index < job->limit_count; index++) {
        struct limit *limit = &job->limits[index];
        if (syscall(SYS_prlimit64, 0, limit->resource, &limit->values, NULL) == 0)
            continue;
        if (!is_denial(errno))
            give_up(job, STAGE_LIMITS, errno);
        limit->denied = errno;
        int error = lower_limit(limit);
        if (error)
            give_up(job, STAGE_LIMITS, error);
    }
}

static void reduce_bounding_set(struct job *job)
{
    for (int number = 0; number < 64; number++) {
        if (job->capabilities >> number & 1)
            continue;
        int present = (int)syscall(SYS_prctl, PR_CAPBSET_READ, number, 0, 0, 0);
        if (present < 0)
            return; /* beyond the kernel's last capability */
        if (present && syscall(SYS_prctl, PR_CAPBSET_DROP, number, 0, 0, 0) != 0)
            give_up(job, STAGE_CAPABILITIES, errno);
    }
}

/* Leave exactly the chosen capabilities: ambient for a plain user, through the bounding set for root. */
static void settle_capabilities(struct job *job)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    int is_plain_user = job->changes_credentials && job->uid != 0;

    syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &header, sets) != 0)
        give_up(job, STAGE_CAPABILITIES, errno);
    for (int half = 0; half < 2; half++) {
        uint32_t chosen = (uint32_t)(job->capabilities >> (32 * half));
        if (is_plain_user) {
            sets[half].permitted = sets[half].effective = sets[half].inheritable = chosen;
        } else {
            sets[half].inheritable &= chosen;
        }
    }
    if (syscall(SYS_capset, &header, sets) != 0)
        give_up(job, STAGE_CAPABILITIES, errno);
    for (int number = 0; is_plain_user && number < 64; number++)
        if (job->capabilities >> number & 1)
            if (syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0)
                give_up(job, STAGE_CAPABILITIES, errno);
}

static void change_credentials(struct job *job)
{
    if (job->reduces_capabilities)
        reduce_bounding_set(job);
    if (job->changes_credentials) {
        if (job->reduces_capabilities && job->uid != 0)
            if (syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
                give_up(job, STAGE_CAPABILITIES, errno);
        if (syscall(SYS_setgroups, job->group_count, job->groups) != 0)
            give_up(job, STAGE_GROUPS, errno);
        if (syscall(SYS_setresgid, job->gid, job->gid, job->gid) != 0)
            give_up(job, STAGE_GROUP, errno);
        if (syscall(SYS_setresuid, job->uid, job->uid, job->uid) != 0)
            give_up(job, STAGE_USER, errno);
    }
    if (job->reduces_capabilities)
        settle_capabilities(job);
    if (job->no_new_privileges && syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        give_up(job, STAGE_NO_NEW_PRIVILEGES, errno);
}

static void write_own_pid(char *digits)
{
    char reversed[PID_DIGITS];
    int count = 0;

    for (long pid = syscall(SYS_getpid); pid > 0; pid /= 10)
        reversed[count++] = (char)('0' + pid % 10);
    while (count > 0)
        *digits++ = reversed[--count];
    *digits = '\0';
}

static void run_child(void *argument)
{
    struct job *job = argument;
    uint64_t no_signals = 0;

    reset_dispositions();
    if (syscall(SYS_setsid) < 0)
        give_up(job, STAGE_SESSION, errno);
    if (job->sets_oom_score)
        set_oom_score(job);
    if (job->sets_nice)
        set_nice(job);
    place_descriptors(job);
    set_limits(job);
    syscall(SYS_umask, job->umask);
    change_credentials(job);
    /* As the service's user: what that user may not enter is refused here. */
    if (syscall(SYS_chdir, job->directory) != 0)
        give_up(job, STAGE_DIRECTORY, errno);
    if (job->pid_digits)
        write_own_pid(job->pid_digits);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, 8);
    syscall(SYS_execve, job->executable, job->argv, job->environment);
    give_up(job, STAGE_EXEC, errno);
}

/* ---- in whoever makes the child ------------------------------------------------------------ */

/* Call clone3; the child calls run(job) on its own stack and never comes back here. Written in
 * assembly because the parent must return through a stack frame that the child has not touched. */
static long clone_and_run(struct clone_request *request, void (*run)(void *), struct job *job)
{
#if defined(__x86_64__)
    register long result __asm__("rax") = SYS_clone3;
    register void *first __asm__("rdi") = request;
    register long second __asm__("rsi") = sizeof *request;
    register void (*entry)(void *) __asm__("r12") = run;
    register void *argument __asm__("r13") = job;

    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %%r13, %%rdi\n\t"
                     "callq *%%r12\n\t"
                     "hlt\n"
                     "1:"
                     : "+r"(result)
                     : "r"(first), "r"(second), "r"(entry), "r"(argument)
                     : "rcx", "r11", "memory", "cc");
    return result;
#elif defined(__aarch64__)
    register long number __asm__("x8") = SYS_clone3;
    register long result __asm__("x0") = (long)request;
    register long second __asm__("x1") = sizeof *request;
    register void (*entry)(void *) __asm__("x19") = run;
    register void *argument __asm__("x20") = job;

    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, x20\n\t"
                     "blr x19\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(result)
                     : "r"(number), "r"(second), "r"(entry), "r"(argument)
                     : "x30", "memory", "cc");
    return result;
#else
#error "clone3 is written for x86_64 and aarch64 only"
#endif
}

static void report_fork(struct job *job, int error)
{
    int is_shortage = error == EAGAIN || error == ENOMEM || error == ENOSYS || error == EPERM;

    job->failed_errno = error;
    job->failed_stage = job->cgroup >= 0 && !is_shortage ? STAGE_CGROUP : STAGE_FORK;
}

/* Make the process and return its pid once it runs its program, or -errno. */
static long make_child(struct job *job, void *stack)
{
    struct clone_request request = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID,
        .parent_tid = (uint64_t)(uintptr_t)&job->made_pid,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = CHILD_STACK_BYTES,
    };

    if (job->cgroup >= 0) {
        request.flags |= CLONE_INTO_CGROUP;
        request.cgroup = (uint64_t)job->cgroup;
    }
    long pid = clone_and_run(&request, run_child, job);
    if (pid < 0)
        report_fork(job, (int)-pid);
    return pid;
}

/* ---- in the keeper ------------------------------------------------------------------------ */

/* Leave nothing open but the file, and hold no mounted file system. Signals stay blocked. */
static void become_keeper(struct job *job)
{
    char *no_environment[] = {NULL};
    long done = job->status_file == STDOUT_FILENO
                    ? syscall(SYS_fcntl, STDOUT_FILENO, F_SETFD, 0)
                    : syscall(SYS_dup3, job->status_file, STDOUT_FILENO, 0);

    syscall(SYS_close, STDIN_FILENO);
    if (done >= 0 && syscall(SYS_chdir, "/") == 0 &&
        syscall(SYS_close_range, STDERR_FILENO, ~0U, CLOSE_RANGE_CLOEXEC_FLAG) == 0)
        syscall(SYS_execve, job->keeper[0], job->keeper, no_environment);
    job->keeper_errno = errno;
}

/* Still in our parent's memory, as run_child is. When it ends, the process it made becomes virtsupd's. */
static void run_keeper(void *argument)
{
    struct job *job = argument;

    reset_dispositions(); /* an ignored SIGCHLD would let the kernel reap what is to be waited for */
    syscall(SYS_setsid);
    long pid = make_child(job, job->keepers_child_stack);
    if (pid > 0 && job->failed_stage)
        while (syscall(SYS_wait4, pid, NULL, 0, NULL) < 0 && errno == EINTR)
            ;
    else if (pid > 0)
        become_keeper(job);
    for (;;)
        syscall(SYS_exit_group, 0);
}

static long make_keeper(struct job *job, void *stack)
{
    struct clone_request request = {
        .flags = CLONE_VM | CLONE_VFORK,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = CHILD_STACK_BYTES,
    };
    long pid = clone_and_run(&request, run_keeper, job);

    if (pid < 0)
        report_fork(job, (int)-pid);
    else if (!job->made_pid && !job->failed_stage)
        report_fork(job, EAGAIN); /* somebody killed it */
    return pid;
}

/* ---- in the parent ------------------------------------------------------------------------ */

/* One pair of stacks serves all: the lock of the interpreter lets one spawn happen at a time, and the
 * children are off them before that spawn returns. */
static char *child_stacks(void)
{
    static char *stacks;

    if (!stacks) {
        void *memory = mmap(NULL, 2 * CHILD_STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (memory != MAP_FAILED)
            stacks = memory;
    }
    return stacks;
}

static void reap(long pid)
{
    while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Set the pid of the process, or -1 with the failure in `job` and no process left; return the keeper's
 * pid, or -1 when there is none. */
static pid_t make_process(struct job *job, pid_t *made)
{
    char *stacks = child_stacks();
    uint64_t all_signals = ~(uint64_t)0, signals_before = 0;
    int dumpable = prctl(PR_GET_DUMPABLE);
    pid_t keeper = -1;

    *made = -1;
    if (!stacks) {
        report_fork(job, ENOMEM);
        return -1;
    }
    job->keepers_child_stack = stacks + CHILD_STACK_BYTES;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all_signals, &signals_before, 8);
    long pid = job->keeper ? make_keeper(job, stacks) : make_child(job, stacks);
    /* Its change of user took "dumpable" off the memory we shared. */
    if (dumpable == 1 && job->changes_credentials)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (pid > 0 && (job->failed_stage || job->keeper_errno))
        reap(pid);
    else if (pid > 0 && job->keeper)
        keeper = (pid_t)pid;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &signals_before, NULL, 8);
    if (!job->failed_stage)
        *made = job->made_pid;
    return keeper;
}

/* ---- from and to Python ------------------------------------------------------------------- */

/* A NULL-terminated array of pointers into `list`'s bytes, which must outlive it. */
static char **strings_of(PyObject *list)
{
    Py_ssize_t count = PyTuple_GET_SIZE(list);
    char **strings = PyMem_Calloc((size_t)count + 1, sizeof *strings);

    if (!strings) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        /* Refuses embedded NUL bytes, which would silently cut the string. */
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(list, index), &strings[index], NULL) < 0) {
            PyMem_Free(strings);
            return NULL;
        }
    }
    return strings;
}

/* Replace the last variable ("NAME=") by a copy with room for the pid. Return the copy or NULL. */
static char *make_pid_variable(struct job *job, PyObject *environment)
{
    Py_ssize_t last = PyTuple_GET_SIZE(environment) - 1;
    size_t length = last < 0 ? 0 : strlen(job->environment[last]);
    char *copy = PyMem_Malloc(length + PID_DIGITS);

    if (!copy || last < 0) {
        PyMem_Free(copy);
        PyErr_SetString(PyExc_ValueError, "no variable for the pid");
        return NULL;
    }
    memcpy(copy, job->environment[last], length + 1);
    job->environment[last] = copy;
    job->pid_digits = copy + length;
    return copy;
}

static int read_credentials(struct job *job, PyObject *credentials)
{
    PyObject *groups;
    unsigned int uid, gid;

    if (credentials == Py_None)
        return 0;
    if (!PyArg_ParseTuple(credentials, "IIO!", &uid, &gid, &PyTuple_Type, &groups))
        return -1;
    job->changes_credentials = 1;
    job->uid = uid;
    job->gid = gid;
    job->group_count = (size_t)PyTuple_GET_SIZE(groups);
    job->groups = PyMem_Calloc(job->group_count + 1, sizeof *job->groups);
    if (!job->groups) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t index = 0; index < job->group_count; index++)
        job->groups[index] = (gid_t)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(groups, (Py_ssize_t)index));
    return PyErr_Occurred() ? -1 : 0;
}

static int read_limits(struct job *job, PyObject *limits)
{
    if (PyTuple_GET_SIZE(limits) > MAX_LIMITS) {
        PyErr_SetString(PyExc_ValueError, "more limits than there are");
        return -1;
    }
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(limits); index++) {
        struct limit *limit = &job->limits[job->limit_count++];
        long long soft, hard; /* -1 is infinity, which is all ones in the kernel's type too */
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(limits, index), "iLL", &limit->resource, &soft, &hard))
            return -1;
        limit->values.rlim_cur = (rlim_t)soft;
        limit->values.rlim_max = (rlim_t)hard;
    }
    return 0;
}

static int read_descriptors(struct job *job, PyObject *descriptors)
{
    if (PyTuple_GET_SIZE(descriptors) > MAX_DESCRIPTORS) {
        PyErr_SetString(PyExc_ValueError, "more than 1024 descriptors");
        return -1;
    }
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(descriptors); index++)
        job->descriptors[job->descriptor_count++] =
            (int)PyLong_AsLong(PyTuple_GET_ITEM(descriptors, index));
    return PyErr_Occurred() ? -1 : 0;
}

static int read_adjustments(struct job *job, PyObject *oom_score, PyObject *nice, PyObject *capabilities)
{
    if (oom_score != Py_None) {
        job->sets_oom_score = 1;
        PyOS_snprintf(job->oom_score, sizeof job->oom_score, "%ld", PyLong_AsLong(oom_score));
    }
    if (nice != Py_None) {
        job->sets_nice = 1;
        job->nice = (int)PyLong_AsLong(nice);
    }
    if (capabilities != Py_None) {
        job->reduces_capabilities = 1;
        job->capabilities = PyLong_AsUnsignedLongLong(capabilities);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int add_denial(PyObject *denials, enum stage stage, int index, int error)
{
    PyObject *item;
    int failed;

    if (!error)
        return 0;
    item = Py_BuildValue("(sii)", stage_names[stage], index, error);
    failed = !item || PyList_Append(denials, item) < 0;
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* (pid, keeper, stage, errno, denials): denials are (stage, index of the limit or 0, errno). */
static PyObject *describe(const struct job *job, pid_t pid, pid_t keeper)
{
    PyObject *denials = PyList_New(0);

    if (!denials)
        return NULL;
    for (int index = 0; index < job->limit_count; index++)
        if (add_denial(denials, STAGE_LIMITS, index, job->limits[index].denied) < 0)
            goto failed;
    if (add_denial(denials, STAGE_OOM_SCORE, 0, job->oom_score_denied) < 0 ||
        add_denial(denials, STAGE_NICE, 0, job->nice_denied) < 0 ||
        add_denial(denials, STAGE_KEEPER, 0, job->keeper_errno) < 0)
        goto failed;
    return Py_BuildValue("(iisiN)", (int)pid, (int)keeper, stage_names[job->failed_stage],
                         job->failed_errno, denials);
failed:
    Py_DECREF(denials);
    return NULL;
}

static PyObject *spawn_process(PyObject *Py_UNUSED(module), PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"executable",   "argv",        "environment",       "has_pid_variable",
                            "directory",    "umask",       "credentials",       "limits",
                            "capabilities", "oom_score",   "nice",              "no_new_privileges",
                            "descriptors",  "cgroup",      "keeper",            "status_file",
                            NULL};
    PyObject *argv, *environment, *credentials, *limits, *capabilities, *oom_score, *nice, *descriptors,
        *keeper;
    PyObject *result = NULL;
    char *pid_variable = NULL;
    int has_pid_variable;
    pid_t pid, keeper_pid;
    struct job *job = PyMem_Calloc(1, sizeof *job);

    if (!job)
        return PyErr_NoMemory();
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "$yO!O!pyIOO!OOOpO!iO!i", names, &job->executable, &PyTuple_Type, &argv,
            &PyTuple_Type, &environment, &has_pid_variable, &job->directory, &job->umask, &credentials,
            &PyTuple_Type, &limits, &capabilities, &oom_score, &nice, &job->no_new_privileges,
            &PyTuple_Type, &descriptors, &job->cgroup, &PyTuple_Type, &keeper, &job->status_file))
        goto done;
    if (read_credentials(job, credentials) < 0 || read_limits(job, limits) < 0 ||
        read_descriptors(job, descriptors) < 0 ||
        read_adjustments(job, oom_score, nice, capabilities) < 0)
        goto done;
    job->argv = strings_of(argv);
    if (!job->argv)
        goto done;
    job->environment = strings_of(environment);
    if (!job->environment)
        goto done;
    if (has_pid_variable && !(pid_variable = make_pid_variable(job, environment)))
        goto done;
    if (PyTuple_GET_SIZE(keeper) > 0 && !(job->keeper = strings_of(keeper)))
        goto done;
    keeper_pid = make_process(job, &pid);
    result = describe(job, pid, keeper_pid);
done:
    PyMem_Free(job->keeper);
    PyMem_Free(pid_variable);
    PyMem_Free(job->environment);
    PyMem_Free(job->argv);
    PyMem_Free(job->groups);
    PyMem_Free(job);
    return result;
}

/* Whether the kernel (or a filter in front of it) takes the two calls that everything rests on. */
static PyObject *is_supported(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    int has_clone3 = syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL;
    int has_close_range = syscall(SYS_close_range, ~0U, ~0U, CLOSE_RANGE_CLOEXEC_FLAG) == 0;

    return PyBool_FromLong(has_clone3 && has_close_range);
}

static PyMethodDef methods[] = {
    {"spawn", (PyCFunction)(void (*)(void))spawn_process, METH_VARARGS | METH_KEYWORDS,
     "Make a process; return (pid, keeper, failed stage, errno, denials)."},
    {"is_supported", is_supported, METH_NOARGS, "Tell whether this kernel has clone3 and close_range."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_spawn", "clone3 to exec, step by step.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__spawn(void)
{
    return PyModule_Create(&definition);
}
